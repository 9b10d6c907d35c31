/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts.inc.c: two hosts without a Xen, on which xl's commands for guests
 * of Xen run as they are, in processes of their own: a libxl of domains that
 * have names, run, suspend and end (xen_hosts_libxl.inc.c), a xenstore
 * (xen_hosts_store.inc.c), a hypervisor in memory (xen_hosts_hv.inc.c), and
 * a carrier between the two (xen_hosts_run.inc.c).
 *
 * All of that is in memory that every process maps, so a process may die and
 * its host goes on.  The program that includes this is also what it starts:
 * xl on either host, its monitor, and the carrier.
 *
 * What a test may let fail is counted here, use by use.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooked_hv.inc.c"
#include "fake_helper.inc.c"

#include "xl_commands.h"
#include "xl_link.h"
#include "xl_xen_record.h"

#define HOST_PFNS    96u
#define HOST_DOMAINS 6u
#define HOST_NODES   120u
#define GUEST_UUID   "00010203-0405-0607-0809-0a0b0c0d0e0f"

enum
{
    HERE,  /* the host that the guest leaves */
    THERE, /* the one that it comes to */
    NR_HOSTS,
};

struct host_domain
{
    uint32_t domid; /* 0: there is none */
    char name[80];
    uint8_t uuid[16];
    unsigned int pauses;
    bool shutdown;
    int reason;
    bool ran;
};

struct host_node
{
    char path[140]; /* "": there is none */
    char value[360];
};

struct host
{
    struct fake_libxl helper;
    struct host_domain domains[HOST_DOMAINS];
    uint32_t next_domid;
    struct host_node nodes[HOST_NODES];
    uint64_t free_kb;     /* memory */
    atomic_uint monitors; /* processes */
    atomic_uint watchers; /* those of them that wait for a guest's end */
    int action;           /* in configurations: what is to be done then */
    atomic_bool lost;     /* a process of it has seen the connection break */
    bool has_guest;       /* what follows is a guest's */
    bool missing[HOST_PFNS], populated[HOST_PFNS], present[HOST_PFNS];
    uint32_t types[HOST_PFNS];
    uint8_t memory[HOST_PFNS * XC_SR_PAGE_SIZE];
};

enum plan
{
    NO_PLAN,
    KILL_AT_OWNER, /* its receiver dies before it runs there */
    CUT_RUNNING,   /* the connection breaks when it does, pages missing */
    KILL_RUNNING,  /* its receiver dies then */
    KILL_NAMED,    /* or when it has got its name, and before it is watched */
};

enum what
{
    LIBXL_CALL,  /* one of libxl's functions */
    XENSTORE,    /* an answer of xenstored's */
    LIBXL_LATE,  /* a long call says at its end that it failed */
    LIBXL_WORDS, /* what it says to its helper, or its own records */
    NR_WHATS,
};

struct world
{
    pthread_mutex_t lock;
    char dir[80];
    struct host hosts[NR_HOSTS];
    enum plan plan;
    pid_t carrier;
    atomic_uint receivers; /* that are at work */
    atomic_uint others;    /* commands, but for monitors */
    /* What is to fail, and what has. */
    int order_host;
    enum what order_what;
    unsigned int nth; /* 0: nothing */
    bool for_good;
    atomic_uint used;
    char refused[48];       /* the first of them, by name */
    atomic_bool over;       /* every guest is taken for dead */
    atomic_bool two_ran;    /* at a time, or an older copy after a newer */
    atomic_bool lost_guest; /* the only whole copy was destroyed */
    atomic_uint leaks;      /* objects of libxl's that were never freed */
};

static struct world *world;
static int here; /* this process's host */
static int objects;

/* In the processes of a host libcheck has nothing to say. */
static void must(bool holds)
{
    if ( !holds )
        abort();
}

static struct host *me(void)
{
    return &world->hosts[here];
}

/* A process may be killed with it. */
static void lock_world(void)
{
    if ( pthread_mutex_lock(&world->lock) == EOWNERDEAD )
        pthread_mutex_consistent(&world->lock);
}

static void unlock_world(void)
{
    pthread_mutex_unlock(&world->lock);
}

/* ---- What fails --------------------------------------------------------------- */

/* One more use of it; true: this one is to fail. */
static bool is_refused(enum what what, const char *name)
{
    unsigned int n;
    bool hit;

    if ( what != world->order_what || here != world->order_host )
        return false;
    n = atomic_fetch_add(&world->used, 1) + 1;
    hit =
        world->nth && (n == world->nth || (world->for_good && n > world->nth));
    if ( !hit )
        return false;
    lock_world();
    if ( !world->refused[0] )
        snprintf(world->refused, sizeof(world->refused), "%s", name);
    unlock_world();
    return true;
}

static bool long_call_fails(enum fake_use use)
{
    switch ( use )
    {
    case FAKE_USE_CALL:
        return is_refused(LIBXL_CALL, here == HERE
                                          ? "libxl_domain_suspend"
                                          : "libxl_domain_create_restore");
    case FAKE_USE_LATE:
        return is_refused(LIBXL_LATE, "the end of a long call");
    case FAKE_USE_REFUSAL:
        return is_refused(LIBXL_WORDS, "an answer to the helper");
    case FAKE_USE_RECORD:
        return is_refused(LIBXL_WORDS, "a record of libxl's");
    case FAKE_USE_DEATH:
        return is_refused(LIBXL_WORDS, "the helper");
    case FAKE_USE_SILENCE:
        return false;
    }
    return false;
}

/* ---- Where it runs -------------------------------------------------------------- */

const char *xl_xen_state_dir(void)
{
    static char dir[100];

    snprintf(dir, sizeof(dir), "%s/%d", world->dir, here);
    return dir;
}

const char *xl_xen_place(bool at_source)
{
    static char dirs[2][120];

    snprintf(dirs[at_source], sizeof(dirs[0]), "%s/%s", xl_xen_state_dir(),
             at_source ? "source" : "destination");
    return dirs[at_source];
}

/* The linker's names. */
int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
uid_t __wrap_geteuid(void);
int __wrap_dladdr(const void *address, void *info_r);
int __real_xl_xen_record_put(void *ctx, enum xc_sr_owner owner,
                             const uint8_t session[16], uint64_t epoch);
int __wrap_xl_xen_record_put(void *ctx, enum xc_sr_owner owner,
                             const uint8_t session[16], uint64_t epoch);
void __real_xl_link_lost(struct xl_link *link, const char *why);
void __wrap_xl_link_lost(struct xl_link *link, const char *why);

/* This is the control domain of a Xen, with an xl.conf. */
int __wrap_access(const char *path, int mode)
{
    if ( !strcmp(path, "/proc/xen") || !strcmp(path, "/etc/xen/xl.conf") ||
         !strncmp(path, "/dev/xen/", 9) )
        return 0;
    return __real_access(path, mode);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
    static char text[] = "control_d\n";

    return strcmp(path, "/proc/xen/capabilities")
               ? __real_fopen(path, mode)
               : fmemopen(text, sizeof(text) - 1, "r");
}

uid_t __wrap_geteuid(void)
{
    return 0;
}

/* The libxl of this program is the one we know. */
int __wrap_dladdr(const void *address, void *info_r)
{
    const char **name = info_r; /* Dl_info begins with it */

    (void)address;
    *name = "libxenlight.so.4.17";
    return 1;
}

/* ---- Accidents ------------------------------------------------------------------- */

static void die(void)
{
    world->plan = NO_PLAN;
    atomic_fetch_sub(&world->receivers, 1);
    raise(SIGKILL);
}

int __wrap_xl_xen_record_put(void *ctx, enum xc_sr_owner owner,
                             const uint8_t session[16], uint64_t epoch)
{
    int rc = __real_xl_xen_record_put(ctx, owner, session, epoch);

    if ( !rc && owner == XC_SR_OWNER_OWNER && here == THERE &&
         world->plan == KILL_AT_OWNER )
        die();
    return rc;
}

void __wrap_xl_link_lost(struct xl_link *link, const char *why)
{
    __real_xl_link_lost(link, why);
    atomic_store(&me()->lost, true);
}

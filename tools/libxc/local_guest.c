/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest.c: xen-postcopy-guest, the program that is a local guest.
 *
 * Started by xc_sr_local_create() in the host's directory, with its standard
 * output a socket on which it says "ok" or what is wrong.  It detaches itself,
 * makes memory and vCPUs, binds NAME.sock and serves it until it is told to
 * end.  Its standard error is NAME.log.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "local_guest.h"

/* Whoever made us has only to read a line. */
#define HEARD_TIMEOUT_MS 20000

static const char usage[] =
    "Usage: xen-postcopy-guest --dir DIR --name NAME [OPTION...]\n"
    "One guest of the local host DIR.  Not for hand use: xl --local DIR create"
    "\nOptions, each with a number: --memory-kib --vcpus --workload --rate\n"
    "--working-set-kib --populate --seed --suspend-delay-us --sync-dirty-log\n"
    "--incoming\n";

struct options
{
    struct xc_sr_local_config config;
    const char *dir;
    bool incoming;
};

static int parse_u64(const char *text, uint64_t *value_r)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if ( errno || *end || end == text || *text == '-' )
        return -EINVAL;
    *value_r = value;
    return 0;
}

static int take_option(struct options *o, int opt, uint64_t value)
{
    struct xc_sr_local_config *c = &o->config;

    switch ( opt )
    {
    case 'm':
        c->memory_kib = value;
        break;
    case 'c':
        c->vcpus = (uint32_t)value;
        break;
    case 'w':
        c->workload = (enum xc_sr_local_workload)value;
        break;
    case 'r':
        c->rate_ops_per_s = value;
        break;
    case 's':
        c->working_set_kib = value;
        break;
    case 'p':
        c->populate_percent = (uint32_t)value;
        break;
    case 'x':
        c->seed = value;
        break;
    case 'u':
        c->suspend_delay_us = (uint32_t)value;
        break;
    case 'y':
        c->sync_dirty_log = value;
        break;
    case 'i':
        o->incoming = value;
        break;
    default:
        return -EINVAL;
    }
    return 0;
}

static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "dir", required_argument, NULL, 'd' },
        { "name", required_argument, NULL, 'n' },
        { "memory-kib", required_argument, NULL, 'm' },
        { "vcpus", required_argument, NULL, 'c' },
        { "workload", required_argument, NULL, 'w' },
        { "rate", required_argument, NULL, 'r' },
        { "working-set-kib", required_argument, NULL, 's' },
        { "populate", required_argument, NULL, 'p' },
        { "seed", required_argument, NULL, 'x' },
        { "suspend-delay-us", required_argument, NULL, 'u' },
        { "sync-dirty-log", required_argument, NULL, 'y' },
        { "incoming", required_argument, NULL, 'i' },
        { NULL, 0, NULL, 0 },
    };
    int opt;

    xc_sr_local_config_init(&o->config);
    while ( (opt = getopt_long(argc, argv, "", longs, NULL)) != -1 )
    {
        uint64_t value;

        if ( opt == 'd' )
            o->dir = optarg;
        else if ( opt == 'n' )
            snprintf(o->config.name, sizeof(o->config.name), "%s", optarg);
        else if ( opt == '?' || parse_u64(optarg, &value) ||
                  take_option(o, opt, value) )
            return -EINVAL;
    }
    return o->dir && optind == argc ? xc_sr__local_config_check(&o->config)
                                    : -EINVAL;
}

/* ---- Setting up ---------------------------------------------------------------- */

/* Away from the terminal, the session and the descriptors of whoever made
 * us; standard output, the socket, stays until we are ready. */
static int detach(const char *dir)
{
    if ( chdir(dir) < 0 )
        return -errno;
    umask(077);
    close_range(3, ~0u, 0);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int open_log(const char *name)
{
    char path[XC_SR_LOCAL_NAME_MAX + 8];
    int null_fd, log_fd, rc = 0;

    snprintf(path, sizeof(path), "%s.log", name);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if ( null_fd < 0 || log_fd < 0 || dup2(null_fd, 0) < 0 ||
         dup2(log_fd, 2) < 0 )
        rc = -errno;
    if ( null_fd >= 0 )
        close(null_fd);
    if ( log_fd >= 0 )
        close(log_fd);
    setvbuf(stderr, NULL, _IOLBF, 0);
    return rc;
}

static bool nobody_listens(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused;

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    refused = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
              errno == ECONNREFUSED;
    if ( fd >= 0 )
        close(fd);
    return refused;
}

/*
 * Takes NAME.sock.  The socket gets that name only when it listens, so that
 * one that refuses connections is certainly a dead guest's and may go.
 */
static int bind_socket(const char *name, int *fd_r)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    char path[XC_SR_LOCAL_NAME_MAX + 8];
    int rc,
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if ( fd < 0 )
        return -errno;
    snprintf(path, sizeof(path), "%s.sock", name);
    snprintf(sa.sun_path, sizeof(sa.sun_path), ".new-%d", (int)getpid());
    unlink(sa.sun_path);
    if ( bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
         chmod(sa.sun_path, 0600) < 0 || listen(fd, 16) < 0 )
    {
        rc = -errno;
        goto out;
    }
    rc = renameat2(AT_FDCWD, sa.sun_path, AT_FDCWD, path, RENAME_NOREPLACE);
    if ( rc && errno == EEXIST && nobody_listens(path) )
        rc = rename(sa.sun_path, path);
    if ( rc )
    {
        rc = -errno;
        goto out;
    }
    *fd_r = fd;
    fd = -1;

out:
    if ( fd >= 0 )
    {
        unlink(sa.sun_path);
        close(fd);
    }
    return rc;
}

static void unlink_socket(const char *name)
{
    char path[XC_SR_LOCAL_NAME_MAX + 8];

    snprintf(path, sizeof(path), "%s.sock", name);
    unlink(path);
}

/* One in which nothing stands says nothing. */
static void unlink_empty_log(const char *name)
{
    char path[XC_SR_LOCAL_NAME_MAX + 8];
    struct stat st;

    snprintf(path, sizeof(path), "%s.log", name);
    if ( !fstat(2, &st) && S_ISREG(st.st_mode) && !st.st_size )
        unlink(path);
}

static int set_up(struct guest *g, const struct options *o)
{
    int rc;

    g->config = o->config;
    snprintf(g->name, sizeof(g->name), "%s", o->config.name);
    g->incoming = o->incoming;
    g->held = true; /* until memory is filled */
    g->handle = g->suspend_event = g->gone_sock = g->missing_uffd = -1;
    atomic_store(&g->stall_ticks, NO_STALL);

    guest_caps_init(g);
    rc = guest_ticks_calibrate();
    if ( !rc )
        rc = guest_mem_init(g);
    if ( !rc && !g->incoming )
        guest_mem_fill(g);
    if ( !rc )
        rc = guest_run_init(g);
    if ( !rc )
        rc = guest_sampler_start(g);
    if ( rc )
        return rc;

    /* All vCPUs have parked once: from now on their threads are known. */
    pthread_mutex_lock(&g->lock);
    if ( !guest_hold(g) )
        rc = -ETIMEDOUT;
    guest_release(g);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* An answer.  Its maker may fail to read, or to wait, after it was told. */
static bool is_heard(void)
{
    struct pollfd pfd = { .fd = 1, .events = POLLIN };
    ssize_t got;
    char octet;

    if ( poll(&pfd, 1, HEARD_TIMEOUT_MS) == 0 )
        return false;
    got = read(1, &octet, 1);
    /* Its end says that nobody does, and no failure of our own. */
    return got == 1 || (got < 0 && errno != ECONNRESET);
}

/* To whoever waits in xc_sr_local_create(): "ok", or an errno value.  False:
 * nobody does, and has said already that there is no such guest. */
static bool report(int rc)
{
    char line[16];
    int len = rc ? snprintf(line, sizeof(line), "%d\n", -rc)
                 : snprintf(line, sizeof(line), "ok\n");
    bool heard = write(1, line, (size_t)len) == len && (rc || is_heard());

    dup2(0, 1);
    return heard;
}

int main(int argc, char **argv)
{
    static struct guest g;
    struct options o = { 0 };
    int listen_fd = -1, rc = parse_options(argc, argv, &o);

    if ( rc )
    {
        fputs(usage, stderr);
        report(rc);
        return 2;
    }
    /* The name first: memory is not made in vain, and the log of another
     * guest of that name is not touched. */
    rc = detach(o.dir);
    if ( !rc )
        rc = bind_socket(o.config.name, &listen_fd);
    if ( !rc )
    {
        rc = open_log(o.config.name);
        if ( !rc )
            rc = set_up(&g, &o);
        if ( rc )
        {
            fprintf(stderr, "%s: %s\n", o.config.name, strerror(-rc));
            unlink_socket(o.config.name);
        }
    }
    if ( !report(rc) && !rc )
    {
        fprintf(stderr, "nobody waits for this guest\n");
        unlink_socket(o.config.name);
        rc = -EPIPE;
    }
    if ( rc )
        return 1;

    rc = guest_serve(&g, listen_fd);
    unlink_socket(g.name);
    unlink_empty_log(g.name);
    /* Without running exit handlers: vCPUs may be in the middle of anything. */
    _exit(rc ? 1 : 0);
}

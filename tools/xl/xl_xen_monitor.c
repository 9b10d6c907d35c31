/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_monitor.c: the process that waits for a guest to shut down and does
 * what its configuration says then (on_poweroff, on_reboot, on_crash, ...),
 * as the one that stock xl leaves behind; a guest that was migrated needs a
 * new one, on either side.  Stock xl's is a fork of the xl that created the
 * guest and cannot be had alone, and a process with threads must not fork one:
 * so it is this program again, `xl postcopy-monitor DOMID`, started anew.
 *
 * It has one thread and shares nothing with who started it but a pipe, on
 * which it says that it watches.  Its words go to libxl's log directory.
 */
#include "xl_xen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libxl_event.h>

#include "xl_transport.h"
#include "xl_xen_record.h"

/* The descriptor on which the monitor says that it watches. */
#define READY_FD         3
#define READY_WORD       "ready-on-3"
#define MAX_DOMID        0x7fef
#define READY_TIMEOUT_US UINT64_C(30000000)
#define LOCK_TIMEOUT_US  UINT64_C(600000000)
/* Whoever watched a guest leaves when it has suspended, on a busy host too. */
#define LEAVE_TIMEOUT_US UINT64_C(10000000)
#define DUMP_DIR         "/var/lib/xen/dump"
/* For the pages of a large guest over a slow link. */
#define DUMP_TIMEOUT_US  UINT64_C(3600000000)

struct monitor
{
    libxl_ctx *ctx;
    uint32_t domid;
    struct xl_xen_watch turn; /* one process at a time */
    libxl_domain_config config;
    libxl_evgen_domain_death *death;
    libxl_evgen_disk_eject **ejects; /* one for each disk, some NULL */
    int nr_ejects;
};

/* A line with the time, in the log that stderr leads to. */
static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
    char text[400], when[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    va_list args;

    if ( localtime_r(&now, &tm) )
        strftime(when, sizeof(when), "%F %T ", &tm);
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    xl_note("%s%s", when, text);
}

/* ---- Watching ---------------------------------------------------------------- */

static void unwatch(struct monitor *m)
{
    int i;

    if ( m->death )
        libxl_evdisable_domain_death(m->ctx, m->death);
    m->death = NULL;
    for ( i = 0; i < m->nr_ejects; i++ )
        if ( m->ejects[i] )
            libxl_evdisable_disk_eject(m->ctx, m->ejects[i]);
    free(m->ejects);
    m->ejects = NULL;
    m->nr_ejects = 0;
}

static int watch(struct monitor *m)
{
    int i;

    if ( libxl_evenable_domain_death(m->ctx, m->domid, 0, &m->death) )
        return -EIO;
    m->ejects = calloc((size_t)m->config.num_disks + 1, sizeof(*m->ejects));
    if ( !m->ejects )
        return -ENOMEM;
    m->nr_ejects = m->config.num_disks;
    for ( i = 0; i < m->nr_ejects; i++ )
        if ( m->config.disks[i].removable &&
             libxl_evenable_disk_eject(
                 m->ctx, m->domid, m->config.disks[i].vdev, 0, &m->ejects[i]) )
            note("cannot watch %s for being ejected", m->config.disks[i].vdev);
    return 0;
}

/* What it is made of now: devices come and go. */
static int reload_config(struct monitor *m)
{
    libxl_domain_config config;

    libxl_domain_config_init(&config);
    if ( libxl_retrieve_domain_configuration(m->ctx, m->domid, &config, NULL) )
    {
        libxl_domain_config_dispose(&config);
        return -EIO;
    }
    libxl_domain_config_dispose(&m->config);
    m->config = config;
    return 0;
}

/* ---- What is done to a guest that shut down ------------------------------------ */

static libxl_action_on_shutdown choose(const struct monitor *m, int reason)
{
    switch ( reason )
    {
    case LIBXL_SHUTDOWN_REASON_POWEROFF:
        return m->config.on_poweroff;
    case LIBXL_SHUTDOWN_REASON_REBOOT:
        return m->config.on_reboot;
    case LIBXL_SHUTDOWN_REASON_CRASH:
        return m->config.on_crash;
    case LIBXL_SHUTDOWN_REASON_WATCHDOG:
        return m->config.on_watchdog;
    case LIBXL_SHUTDOWN_REASON_SOFT_RESET:
        return m->config.on_soft_reset;
    default:
        return LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
    }
}

static void dump_core(struct monitor *m)
{
    char file[300];

    (void)mkdir(DUMP_DIR, 0700);
    snprintf(file, sizeof(file), "%s/%s", DUMP_DIR, m->config.c_info.name);
    if ( libxl_domain_core_dump(m->ctx, m->domid, file, NULL) )
        note("could not dump its memory to %s: %s", file, xl_xen_complaint());
    else
        note("its memory is in %s", file);
}

/* Out of the way of its successor: another name and another UUID. */
static int rename_old(struct monitor *m)
{
    char suffix[32] = "-old";
    time_t now = time(NULL);
    struct tm tm;
    libxl_uuid uuid;

    if ( gmtime_r(&now, &tm) )
        strftime(suffix, sizeof(suffix), "-%Y%m%dT%H%MZ", &tm);
    libxl_uuid_generate(&uuid);
    return libxl_domain_preserve(m->ctx, m->domid, &m->config.c_info, suffix,
                                 uuid)
               ? -EIO
               : 0;
}

static int create_again(struct monitor *m)
{
    uint64_t deadline_us = xl_now_us() + LOCK_TIMEOUT_US;
    int lock_fd = -1, rc;

    /* It need not get the number it was moved with. */
    m->config.c_info.domid = INVALID_DOMID;
    rc = xl_xen_lock(deadline_us, &lock_fd);
    if ( rc )
        return rc;
    rc = xl_xen_free_memory(m->ctx, &m->config, deadline_us);
    if ( !rc &&
         libxl_domain_create_new(m->ctx, &m->config, &m->domid, NULL, NULL) )
        rc = -EIO;
    close(lock_fd);
    if ( !rc && xl_xen_watch_take(&m->turn, m->domid) )
        note("another process may watch domain %u, too", m->domid);
    if ( !rc && libxl_domain_unpause(m->ctx, m->domid, NULL) )
        rc = -EIO;
    return rc;
}

/* It goes on with the memory it has: all of that has to be here.  A receiver
 * sees to it, however long that takes, until somebody destroys the guest. */
static int wait_for_pages(struct monitor *m)
{
    const struct timespec pause = { .tv_nsec = 200000000 };
    char uuid[XL_XEN_UUID_LEN];
    libxl_dominfo info;
    int rc = 0;

    xl_xen_uuid_text(&m->config.c_info.uuid, uuid);
    while ( !rc && xl_xen_pages_missing(uuid, m->domid) )
    {
        (void)nanosleep(&pause, NULL);
        libxl_dominfo_init(&info);
        rc = libxl_domain_info(m->ctx, &info, m->domid) ? -ESRCH : 0;
        libxl_dominfo_dispose(&info);
    }
    return rc;
}

/* What is missing would be waited for, for ever. */
static bool is_whole(const struct monitor *m, const char *uuid)
{
    if ( !xl_xen_pages_missing(uuid, m->domid) )
        return true;
    note("pages of it are missing and nobody brings them: it is not dumped");
    return false;
}

/*
 * A dump ends after as many pages as there were when it began, so it waits for
 * those that are still on their way.  A receiver that has lost its connection
 * gives them up.
 */
static void dump_when_whole(struct monitor *m)
{
    const struct timespec pause = { .tv_nsec = 200000000 };
    uint64_t deadline_us = xl_now_us() + DUMP_TIMEOUT_US;
    char uuid[XL_XEN_UUID_LEN];

    xl_xen_uuid_text(&m->config.c_info.uuid, uuid);
    if ( xl_xen_pages_missing(uuid, m->domid) )
        note("pages of it are on their way; its memory is dumped when they "
             "are here");
    while ( xl_xen_pages_missing(uuid, m->domid) &&
            xl_xen_record_is_held(uuid, false) && xl_now_us() < deadline_us )
        (void)nanosleep(&pause, NULL);
    if ( is_whole(m, uuid) )
        dump_core(m);
}

static int soft_reset(struct monitor *m)
{
    int lock_fd = -1, rc = wait_for_pages(m);

    if ( !rc )
        rc = xl_xen_lock(xl_now_us() + LOCK_TIMEOUT_US, &lock_fd);
    if ( rc )
        return rc;
    if ( libxl_domain_soft_reset(m->ctx, &m->config, m->domid, NULL, NULL) )
        rc = -EIO;
    close(lock_fd);
    if ( !rc && libxl_domain_unpause(m->ctx, m->domid, NULL) )
        rc = -EIO;
    return rc;
}

/* *again_r: there is a guest to watch afterwards. */
static int act(struct monitor *m, libxl_action_on_shutdown action,
               bool *again_r)
{
    bool gone = action != LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME;
    int rc = 0;

    *again_r = action == LIBXL_ACTION_ON_SHUTDOWN_RESTART ||
               action == LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME ||
               action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART ||
               action == LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET;
    if ( action == LIBXL_ACTION_ON_SHUTDOWN_PRESERVE )
        return 0;
    if ( action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY ||
         action == LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART )
        dump_when_whole(m);
    if ( *again_r && reload_config(m) )
        note("its configuration cannot be read again; going on with the last");
    if ( action == LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET )
        return soft_reset(m);
    if ( gone )
        rc = libxl_domain_destroy(m->ctx, m->domid, NULL) ? -EIO : 0;
    else
        rc = rename_old(m);
    return rc || !*again_r ? rc : create_again(m);
}

/* An event of the guest's end; *again_r as above. */
static int on_end(struct monitor *m, const libxl_event *event, bool *again_r)
{
    int reason = event->u.domain_shutdown.shutdown_reason;
    libxl_action_on_shutdown action;
    const char *name;

    *again_r = false;
    if ( event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH )
    {
        note("domain %u was destroyed", m->domid);
        return 0;
    }
    /* To be saved or migrated: whoever does it looks after it. */
    if ( reason == LIBXL_SHUTDOWN_REASON_SUSPEND )
    {
        note("domain %u has suspended", m->domid);
        return 0;
    }
    action = choose(m, reason);
    name = libxl_action_on_shutdown_to_string(action);
    note("domain %u has shut down (%s); its configuration says: %s", m->domid,
         libxl_shutdown_reason_to_string((libxl_shutdown_reason)reason),
         name ? name : "nothing");
    return act(m, action, again_r);
}

static void eject(struct monitor *m, libxl_event *event)
{
    libxl_device_disk *disk = &event->u.disk_eject.disk;

    note("%s was ejected", event->u.disk_eject.vdev);
    if ( libxl_cdrom_insert(m->ctx, m->domid, disk, NULL) )
        note("%s cannot be emptied: %s", event->u.disk_eject.vdev,
             xl_xen_complaint());
}

/* Until the guest ends; *again_r as above. */
static int wait_for_end(struct monitor *m, bool *again_r)
{
    for ( ;; )
    {
        libxl_event *event = NULL;
        bool ended;
        int rc = 0;

        if ( libxl_event_wait(m->ctx, &event, LIBXL_EVENTMASK_ALL, 0, 0) )
            return -EIO;
        xl_xen_complaint_reset();
        ended = event->domid == m->domid &&
                (event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH ||
                 event->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN);
        if ( ended )
        {
            unwatch(m);
            rc = on_end(m, event, again_r);
        }
        else if ( event->type == LIBXL_EVENT_TYPE_DISK_EJECT )
            eject(m, event);
        libxl_event_free(m->ctx, event);
        if ( ended )
            return rc;
    }
}

/* ---- The process ------------------------------------------------------------------ */

static void be_silent(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if ( fd < 0 )
        return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* stderr becomes the log file; the rest leads nowhere. */
static void take_log(struct monitor *m)
{
    char *file = NULL, name[XL_XEN_NAME_MAX + 8];
    int fd;

    be_silent();
    snprintf(name, sizeof(name), "xl-%s", m->config.c_info.name);
    if ( libxl_create_logfile(m->ctx, name, &file) )
        return;
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if ( fd >= 0 )
    {
        dup2(fd, STDERR_FILENO);
        close(fd);
    }
    free(file);
}

/* Once; nobody need be waiting for it. */
static void say_ready(int *ready_fd)
{
    if ( *ready_fd >= 0 && (write(*ready_fd, "R", 1) < 0 || close(*ready_fd)) )
        note("nobody heard that this process watches");
    *ready_fd = -1;
}

/*
 * -EBUSY: another process watches it.  Who had this one started has the guest
 * watched by that; but it may have watched until the guest suspended, and be
 * about to leave.
 */
static int take_turn(struct monitor *m, int *ready_fd)
{
    const struct timespec pause = { .tv_nsec = 50000000 };
    uint64_t deadline_us = xl_now_us() + LEAVE_TIMEOUT_US;
    int rc = xl_xen_watch_take(&m->turn, m->domid);

    if ( rc == -EBUSY && *ready_fd < 0 )
    {
        xl_error("domain %u is watched already, by another process", m->domid);
        return rc;
    }
    if ( rc == -EBUSY )
    {
        be_silent();
        say_ready(ready_fd);
    }
    while ( rc == -EBUSY && xl_now_us() < deadline_us )
    {
        (void)nanosleep(&pause, NULL);
        rc = xl_xen_watch_take(&m->turn, m->domid);
    }
    if ( !rc || rc == -EBUSY )
        return rc;
    note("whether another process watches domain %u, too, cannot be known: %s",
         m->domid, strerror(-rc));
    return 0;
}

static int monitor(struct monitor *m, int ready_fd)
{
    bool again = true;
    int rc = reload_config(m);

    if ( !rc )
        rc = take_turn(m, &ready_fd);
    if ( rc == -EBUSY )
        return rc;
    if ( !rc )
        rc = watch(m);
    if ( rc )
    {
        xl_error("domain %u cannot be watched: %s", m->domid,
                 xl_xen_complaint());
        return rc;
    }
    take_log(m);
    note("watching %s, domain %u", m->config.c_info.name, m->domid);
    say_ready(&ready_fd);
    while ( !rc && again )
    {
        if ( !m->death )
            rc = watch(m);
        if ( !rc )
            rc = wait_for_end(m, &again);
    }
    xl_xen_watch_leave(&m->turn);
    if ( rc )
        note("giving up: %s",
             *xl_xen_complaint() ? xl_xen_complaint() : strerror(-rc));
    else
        note("done");
    return rc;
}

/* Away from who started us: its death, its terminal, its settings. */
static int detach(void)
{
    int fd;
    pid_t pid = fork(); /* there is no thread yet */

    if ( pid )
        _exit(pid < 0 ? XL_EXIT_FAILED : XL_EXIT_DONE);
    unsetenv("LIBXL_SAVE_HELPER");
    /* Who waits to hear that it watches may be killed before it does. */
    (void)signal(SIGPIPE, SIG_IGN);
    /* It was run as /proc/self/exe. */
    (void)prctl(PR_SET_NAME, "xl");
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if ( fd >= 0 )
    {
        if ( write(fd, "0", 1) < 0 )
            note("the out-of-memory killer spares this process");
        close(fd);
    }
    return setsid() < 0 || chdir("/") ? -errno : 0;
}

int xl_cmd_postcopy_monitor(const struct xl_global *global, int argc,
                            char **argv)
{
    struct monitor m = { .domid = INVALID_DOMID, .turn = { .fd = -1 } };
    uint64_t domid = 0;
    int status, ready_fd = -1;

    if ( argc < 2 || argc > 3 || xl_parse_u64(argv[1], 1, MAX_DOMID, &domid) ||
         (argc == 3 && strcmp(argv[2], READY_WORD)) )
    {
        xl_error("%s: the number of a domain is wanted", argv[0]);
        return XL_EXIT_USAGE;
    }
    if ( argc == 3 && !fcntl(READY_FD, F_SETFD, FD_CLOEXEC) )
        ready_fd = READY_FD;
    if ( detach() )
        return XL_EXIT_FAILED;
    m.domid = (uint32_t)domid;
    libxl_domain_config_init(&m.config);
    xl_set_message_prefix("xl postcopy-monitor: ");
    status = xl_xen_open(global, &m.ctx);
    if ( status )
        return status;
    status = monitor(&m, ready_fd) ? XL_EXIT_FAILED : XL_EXIT_DONE;
    unwatch(&m);
    libxl_domain_config_dispose(&m.config);
    libxl_ctx_free(m.ctx);
    return status;
}

/* ---- Starting one ----------------------------------------------------------------- */

static int spawn(uint32_t domid, int ready_fd, pid_t *pid_r)
{
    char number[16];
    char *argv[] = { (char *)"xl", (char *)"postcopy-monitor", number,
                     (char *)READY_WORD, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t defaults, none;
    int rc;

    snprintf(number, sizeof(number), "%u", domid);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGHUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_adddup2(&actions, ready_fd, READY_FD);
    rc = -posix_spawn(pid_r, "/proc/self/exe", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

int xl_xen_start_monitor(uint32_t domid)
{
    int fds[2], status, high, rc;
    pid_t pid = 0;
    char octet;

    if ( pipe2(fds, O_CLOEXEC) )
        return -errno;
    /* A descriptor that is READY_FD already would stay close-on-exec. */
    high = fcntl(fds[1], F_DUPFD_CLOEXEC, READY_FD + 1);
    close(fds[1]);
    rc = high < 0 ? -errno : spawn(domid, high, &pid);
    if ( high >= 0 )
        close(high);
    if ( !rc )
    {
        rc = xl_read_exact(fds[0], &octet, 1, xl_now_us() + READY_TIMEOUT_US,
                           -1);
        /* It has left a child and ended; libxl may have collected it. */
        (void)waitpid(pid, &status, WNOHANG);
    }
    close(fds[0]);
    if ( rc )
        xl_error("no process watches domain %u now (%s): what is to be done "
                 "when it shuts down or reboots is not done; `xl "
                 "postcopy-monitor %u` starts one",
                 domid, rc == -EPIPE ? "it ended at once" : strerror(-rc),
                 domid);
    return rc;
}

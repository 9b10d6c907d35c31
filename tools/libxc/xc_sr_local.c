/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_local.c: what a toolstack does to local guests, one short
 * conversation with the guest's process each; see xenpostcopy_local.h.
 * Creating one is in xc_sr_local_create.c.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "local_wire.h"

#define END_TIMEOUT_US 10000000u /* a TiB of memory is freed in less */
#define WAIT_STEP_US   5000u
/* More guests than that in one directory are a mistake. */
#define MAX_GUESTS     4096u

/* ---- Names ------------------------------------------------------------------ */

static const char *const state_names[] = {
    [XC_SR_LOCAL_DEAD] = "dead",           [XC_SR_LOCAL_INCOMING] = "incoming",
    [XC_SR_LOCAL_RUNNING] = "running",     [XC_SR_LOCAL_PAUSED] = "paused",
    [XC_SR_LOCAL_SUSPENDED] = "suspended", [XC_SR_LOCAL_CRASHED] = "crashed",
};

static const char *const workload_names[] = {
    [XC_SR_LOCAL_IDLE] = "idle",
    [XC_SR_LOCAL_SEQ] = "seq",
    [XC_SR_LOCAL_RANDOM] = "random",
};

const char *xc_sr_local_state_name(enum xc_sr_local_state state)
{
    return (size_t)state < XC_SR_ARRAY_SIZE(state_names) ? state_names[state]
                                                         : "unknown";
}

const char *xc_sr_local_workload_name(enum xc_sr_local_workload workload)
{
    return (size_t)workload < XC_SR_ARRAY_SIZE(workload_names)
               ? workload_names[workload]
               : "unknown";
}

int xc_sr_local_workload_parse(const char *name,
                               enum xc_sr_local_workload *workload_r)
{
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(workload_names); i++ )
    {
        if ( strcmp(name, workload_names[i]) )
            continue;
        *workload_r = (enum xc_sr_local_workload)i;
        return 0;
    }
    return -EINVAL;
}

void xc_sr_local_config_init(struct xc_sr_local_config *config)
{
    *config = (struct xc_sr_local_config){
        .memory_kib = 64 * 1024,
        .vcpus = 1,
        .workload = XC_SR_LOCAL_RANDOM,
        .populate_percent = 100,
        .seed = 1,
        .suspend_delay_us = 1000,
    };
}

int xc_sr__local_config_check(const struct xc_sr_local_config *config)
{
    bool ok = memchr(config->name, '\0', sizeof(config->name)) &&
              xc_sr__lw_name_ok(config->name) &&
              config->memory_kib >= XC_SR_LOCAL_MIN_MEMORY_KIB &&
              config->memory_kib <= XC_SR_LOCAL_MAX_MEMORY_KIB &&
              config->memory_kib % 4 == 0 && config->vcpus >= 1 &&
              config->vcpus <= XC_SR_LOCAL_MAX_VCPUS &&
              config->workload <= XC_SR_LOCAL_RANDOM &&
              config->rate_ops_per_s <= 1000000000 &&
              config->working_set_kib <= config->memory_kib &&
              config->working_set_kib % 4 == 0 &&
              config->populate_percent <= 100 &&
              config->suspend_delay_us <= 10000000;

    return ok ? 0 : -EINVAL;
}

const char *xc_sr__local_why(int rc)
{
    switch ( rc )
    {
    case -ENOENT:
        return "there is no such guest";
    case -EEXIST:
        return "there is a guest of that name already";
    case -ECONNREFUSED:
        return "its process is gone";
    case -ETIMEDOUT:
        return "it does not answer";
    case -EBUSY:
        return "not now: it is migrating, or waits for pages or an operator";
    case -EALREADY:
        return "it is in that state already";
    case -ESHUTDOWN:
        return "it has crashed";
    case -EBADMSG:
        return "it is of another version";
    default:
        return strerror(-rc);
    }
}

/* ---- Conversations ------------------------------------------------------------ */

/* One question, one answer; the message is the caller's, 32 KiB. */
static int ask(const char *dir, const char *name, struct lw_msg *msg,
               const struct xc_sr_log *log)
{
    int sock, rc = xc_sr__lw_connect(dir, name, &sock);

    if ( !rc )
    {
        rc = xc_sr__lw_call(sock, msg, NULL, LW_TIMEOUT_US);
        close(sock);
    }
    if ( rc )
        xc_sr__error(log, "%s: guest %s: %s", dir, name, xc_sr__local_why(rc));
    return rc;
}

static int ask_simple(const char *dir, const char *name, enum lw_op op,
                      const struct xc_sr_log *log)
{
    struct lw_msg *msg = calloc(1, sizeof(*msg));
    int rc;

    if ( !msg )
        return -ENOMEM;
    msg->op = op;
    rc = ask(dir, name, msg, log);
    free(msg);
    return rc;
}

/* A question whose answer is one struct of that size. */
static int ask_data(const char *dir, const char *name, enum lw_op op,
                    const struct xc_sr_log *log, void *data_r, size_t size)
{
    struct lw_msg *msg = calloc(1, sizeof(*msg));
    int rc;

    if ( !msg )
        return -ENOMEM;
    msg->op = op;
    rc = ask(dir, name, msg, log);
    if ( !rc && msg->len != size )
    {
        xc_sr__error(log, "%s: guest %s is of another version", dir, name);
        rc = -EBADMSG;
    }
    if ( !rc )
        memcpy(data_r, msg->data, size);
    free(msg);
    return rc;
}

int xc_sr_local_info_get(const char *dir, const char *name,
                         const struct xc_sr_log *log,
                         struct xc_sr_local_info *info_r)
{
    return ask_data(dir, name, LW_INFO, log, info_r, sizeof(*info_r));
}

int xc_sr_local_config_get(const char *dir, const char *name,
                           const struct xc_sr_log *log,
                           struct xc_sr_local_config *config_r)
{
    struct xc_sr_local_info info;
    int rc = xc_sr_local_info_get(dir, name, log, &info);

    if ( !rc )
        *config_r = info.config;
    return rc;
}

int xc_sr_local_pause(const char *dir, const char *name,
                      const struct xc_sr_log *log)
{
    return ask_simple(dir, name, LW_PAUSE, log);
}

int xc_sr_local_unpause(const char *dir, const char *name,
                        const struct xc_sr_log *log)
{
    return ask_simple(dir, name, LW_UNPAUSE, log);
}

int xc_sr_local_resume(const char *dir, const char *name,
                       const struct xc_sr_log *log)
{
    return ask_simple(dir, name, LW_FORCE_RESUME, log);
}

int xc_sr_local_rename(const char *dir, const char *name, const char *new_name,
                       const struct xc_sr_log *log)
{
    struct lw_msg *msg;
    int rc;

    if ( !xc_sr__lw_name_ok(new_name) )
    {
        xc_sr__error(log, "%s: not a guest's name: %s", dir, new_name);
        return -EINVAL;
    }
    msg = calloc(1, sizeof(*msg));
    if ( !msg )
        return -ENOMEM;
    msg->op = LW_RENAME;
    msg->len = (uint32_t)strlen(new_name);
    memcpy(msg->data, new_name, msg->len);
    rc = ask(dir, name, msg, log);
    free(msg);
    return rc;
}

int xc_sr_local_check(const char *dir, const char *name,
                      const struct xc_sr_log *log,
                      struct xc_sr_local_check *check_r)
{
    return ask_data(dir, name, LW_CHECK, log, check_r, sizeof(*check_r));
}

bool xc_sr_local_check_ok(const struct xc_sr_local_check *check)
{
    return check->complete && check->info.state != XC_SR_LOCAL_CRASHED &&
           check->ops == check->counters && !check->errors && !check->bad_pages;
}

int xc_sr_local_wait(const char *dir, const char *name,
                     enum xc_sr_local_state state, uint64_t timeout_us,
                     const struct xc_sr_log *log,
                     struct xc_sr_local_info *info_r)
{
    uint64_t deadline_us = xc_sr__now_us() + timeout_us;

    for ( ;; )
    {
        struct timespec step = { .tv_nsec = WAIT_STEP_US * 1000 };
        struct xc_sr_local_info info;
        int rc = xc_sr_local_info_get(dir, name, NULL, &info);

        if ( !rc && info.state == state && !info.paging )
        {
            *info_r = info;
            return 0;
        }
        if ( rc && rc != -ENOENT && rc != -ECONNREFUSED )
        {
            xc_sr__error(log, "%s: guest %s: %s", dir, name,
                         xc_sr__local_why(rc));
            return rc;
        }
        if ( xc_sr__now_us() >= deadline_us )
        {
            xc_sr__error(log, "%s: guest %s is not %s, it is %s", dir, name,
                         xc_sr_local_state_name(state),
                         rc            ? strerror(-rc)
                         : info.paging ? "waiting for pages"
                                       : xc_sr_local_state_name(info.state));
            return -ETIMEDOUT;
        }
        nanosleep(&step, NULL);
    }
}

/* ---- Its end --------------------------------------------------------------------- */

/* The process at the other end, as a descriptor that is readable when it has
 * ended; what it held is closed by then. */
static int open_process(int sock, int *pidfd_r)
{
    struct ucred peer = { 0 };
    socklen_t len = sizeof(peer);
    int fd;

    if ( getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 )
        return -errno;
    fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    if ( fd < 0 )
        return -errno;
    *pidfd_r = fd;
    return 0;
}

static int wait_end(int pidfd, uint64_t timeout_us)
{
    uint64_t deadline_us = xc_sr__now_us() + timeout_us;

    for ( ;; )
    {
        struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
        uint64_t now_us = xc_sr__now_us();
        int nr;

        if ( now_us >= deadline_us )
            return -ETIMEDOUT;
        nr = poll(&pfd, 1, xc_sr__poll_ms(deadline_us, now_us));
        if ( nr > 0 )
            return 0;
        if ( nr < 0 && errno != EINTR )
            return -errno;
    }
}

static void unlink_dead(const char *dir, const char *name)
{
    char path[4096];

    if ( snprintf(path, sizeof(path), "%s/%s.sock", dir, name) <
         (int)sizeof(path) )
        unlink(path);
}

/* Asks it to end, and if it does not answer, sees to it. */
static int end_process(const char *dir, const char *name, int sock, int pidfd,
                       const struct xc_sr_log *log)
{
    struct lw_msg *msg = calloc(1, sizeof(*msg));
    int rc;

    if ( !msg )
        return -ENOMEM;
    msg->op = LW_DESTROY;
    rc = xc_sr__lw_call(sock, msg, NULL, LW_TIMEOUT_US);
    free(msg);
    if ( rc == -ETIMEDOUT )
    {
        xc_sr__warn(log, "%s: guest %s does not answer: killed", dir, name);
        rc = (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        rc = rc < 0 ? -errno : 0;
        unlink_dead(dir, name);
    }
    if ( rc == -ECONNREFUSED )
        rc = 0; /* somebody else was faster */
    return rc ? rc : wait_end(pidfd, END_TIMEOUT_US);
}

int xc_sr_local_destroy(const char *dir, const char *name,
                        const struct xc_sr_log *log)
{
    int sock = -1, pidfd = -1, rc;

    rc = xc_sr__lw_connect(dir, name, &sock);
    if ( !rc )
        rc = open_process(sock, &pidfd);
    if ( !rc )
        rc = end_process(dir, name, sock, pidfd, log);
    else if ( rc == -ECONNREFUSED || rc == -ESRCH )
    {
        unlink_dead(dir, name);
        rc = 0;
    }
    if ( rc )
        xc_sr__error(log, "%s: guest %s: %s", dir, name, xc_sr__local_why(rc));
    if ( pidfd >= 0 )
        close(pidfd);
    if ( sock >= 0 )
        close(sock);
    return rc;
}

/* ---- All of them ------------------------------------------------------------------- */

/* True if it is the socket of a guest, whose name is then in name_r. */
static bool guest_name(const char *file, char name_r[XC_SR_LOCAL_NAME_MAX + 1])
{
    size_t len = strlen(file), suffix = strlen(".sock");
    char name[XC_SR_LOCAL_NAME_MAX + 1];

    if ( len <= suffix || len - suffix >= sizeof(name) ||
         strcmp(file + len - suffix, ".sock") )
        return false;
    memcpy(name, file, len - suffix);
    name[len - suffix] = '\0';
    if ( !xc_sr__lw_name_ok(name) )
        return false;
    memcpy(name_r, name, sizeof(name));
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct xc_sr_local_info *)a)->config.name,
                  ((const struct xc_sr_local_info *)b)->config.name);
}

/* False: it went away between two looks. */
static bool look(const char *dir, const char *name,
                 struct xc_sr_local_info *info)
{
    int rc = xc_sr_local_info_get(dir, name, NULL, info);

    if ( rc == -ENOENT )
        return false;
    if ( rc )
    {
        memset(info, 0, sizeof(*info));
        info->state = XC_SR_LOCAL_DEAD;
        snprintf(info->why, sizeof(info->why), "%s", xc_sr__local_why(rc));
    }
    snprintf(info->config.name, sizeof(info->config.name), "%s", name);
    return true;
}

int xc_sr_local_list(const char *dir, const struct xc_sr_log *log,
                     struct xc_sr_local_info **infos_r, size_t *nr_r)
{
    struct xc_sr_local_info *infos = NULL, *more;
    char name[XC_SR_LOCAL_NAME_MAX + 1];
    const struct dirent *entry;
    size_t nr = 0;
    DIR *d = opendir(dir);
    int rc = 0;

    if ( !d )
    {
        rc = -errno;
        xc_sr__error(log, "%s: %s", dir, strerror(-rc));
        return rc;
    }
    while ( nr < MAX_GUESTS && (entry = readdir(d)) )
    {
        if ( !guest_name(entry->d_name, name) )
            continue;
        more = realloc(infos, (nr + 1) * sizeof(*infos));
        if ( !more )
        {
            rc = -ENOMEM;
            break;
        }
        infos = more;
        nr += look(dir, name, &infos[nr]);
    }
    closedir(d);
    if ( rc )
    {
        free(infos);
        return rc;
    }
    if ( nr )
        qsort(infos, nr, sizeof(*infos), compare_names);
    *infos_r = infos;
    *nr_r = nr;
    return 0;
}

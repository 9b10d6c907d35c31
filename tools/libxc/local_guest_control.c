/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_control.c: what a local guest is told on its socket, and what
 * it does when its migration's connection ends.
 *
 * One request at a time, by one thread; none waits for a page of the guest's
 * memory or for another host.  The socket is its user's alone (mode 0600), so
 * a client is trusted as that user is; its messages are checked none the less.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local_guest.h"

#define MAX_CONNS         32u
#define ATTACH_TIMEOUT_US 60000000u
#define MEMORY_NAP_US     10000u

struct server
{
    struct guest *g;
    int listen_fd;
    unsigned int nr;
    int conns[MAX_CONNS];
    bool end; /* the process is to go */
};

/* The request, becoming the answer. */
struct request
{
    struct lw_msg msg;
    struct lw_fds fds;
    int conn;
};

static bool from_handle(const struct guest *g, const struct request *rq,
                        enum xc_sr_hv_role role)
{
    return g->handle == rq->conn && g->role == role;
}

/* ---- Anybody's requests (lock held) --------------------------------------------- */

static enum xc_sr_local_state state_of(const struct guest *g)
{
    if ( g->crashed )
        return XC_SR_LOCAL_CRASHED;
    if ( g->incoming )
        return XC_SR_LOCAL_INCOMING;
    if ( g->suspend == SUSPEND_SEEN || g->suspend == SUSPEND_GOING ||
         g->suspend == SUSPEND_DONE )
        return XC_SR_LOCAL_SUSPENDED;
    return g->admin_paused || g->stopped ? XC_SR_LOCAL_PAUSED
                                         : XC_SR_LOCAL_RUNNING;
}

static void fill_info(struct guest *g, struct xc_sr_local_info *info)
{
    memset(info, 0, sizeof(*info));
    info->config = g->config;
    snprintf(info->config.name, sizeof(info->config.name), "%s", g->name);
    info->state = state_of(g);
    info->pid = getpid();
    info->paging = g->missing_uffd >= 0;
    info->migrating = g->handle >= 0;
    info->retained = g->retained;
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        info->ops += atomic_load(&g->vcpus[i].ops);
        info->errors += atomic_load(&g->vcpus[i].errors);
    }
    snprintf(info->why, sizeof(info->why), "%s", g->why);
}

static int do_info(struct guest *g, struct request *rq)
{
    struct xc_sr_local_info info;

    fill_info(g, &info);
    memcpy(rq->msg.data, &info, sizeof(info));
    rq->msg.len = sizeof(info);
    rq->msg.arg[0] = g->caps;
    rq->msg.arg[1] = g->admin_paused;
    return 0;
}

/* First operation here, last one there; both 0 if it does none. */
static void fill_move(struct guest *g, struct xc_sr_local_check *check)
{
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        uint64_t first = atomic_load(&g->vcpus[i].first_op_us);

        if ( first && (!check->first_op_us || first < check->first_op_us) )
            check->first_op_us = first;
    }
    check->moves = g->moves;
    check->baseline_ops_per_s = g->baseline_ops_per_s;
    check->back_to_speed_us = g->speed.back_us;
    check->ops_per_s = guest_speed(g);
    if ( !g->started_us )
        check->first_op_us = 0;
    else if ( check->first_op_us && check->last_op_us )
        check->downtime_us = check->first_op_us - check->last_op_us;
    else
        check->downtime_us = g->started_us - g->frozen_us;
}

static int do_check(struct guest *g, struct request *rq)
{
    struct xc_sr_local_check check = { 0 };

    if ( g->missing_uffd < 0 && !g->incoming )
    {
        check.complete = guest_hold(g);
        pthread_mutex_unlock(&g->lock);
        if ( check.complete )
            guest_mem_check(g, &check);
        pthread_mutex_lock(&g->lock);
    }
    fill_info(g, &check.info);
    check.ops = check.info.ops;
    check.errors = check.info.errors;
    check.last_op_us = g->last_op_there_us;
    fill_move(g, &check);
    guest_stalls_sum(g, &check);
    if ( g->held )
        guest_release(g);

    memcpy(rq->msg.data, &check, sizeof(check));
    rq->msg.len = sizeof(check);
    return 0;
}

static int do_pause(struct guest *g, struct request *rq)
{
    (void)rq;
    g->admin_paused = true;
    guest_recompute(g);
    return 0;
}

static int do_unpause(struct guest *g, struct request *rq)
{
    (void)rq;
    if ( g->incoming )
        return -EBUSY;
    g->admin_paused = false;
    guest_recompute(g);
    return 0;
}

static int rename_file(const char *from, const char *to, const char *suffix,
                       unsigned int flags)
{
    char old_path[XC_SR_LOCAL_NAME_MAX + 8], new_path[sizeof(old_path)];

    snprintf(old_path, sizeof(old_path), "%s%s", from, suffix);
    snprintf(new_path, sizeof(new_path), "%s%s", to, suffix);
    return renameat2(AT_FDCWD, old_path, AT_FDCWD, new_path, flags) ? -errno
                                                                    : 0;
}

static int do_rename(struct guest *g, struct request *rq)
{
    char name[XC_SR_LOCAL_NAME_MAX + 1];
    int rc;

    if ( rq->msg.len >= sizeof(name) )
        return -EINVAL;
    memcpy(name, rq->msg.data, rq->msg.len);
    name[rq->msg.len] = '\0';
    rq->msg.len = 0;
    if ( !xc_sr__lw_name_ok(name) )
        return -EINVAL;
    rc = rename_file(g->name, name, ".sock", RENAME_NOREPLACE);
    if ( rc )
        return rc;
    /* A log of that name is of a guest that is no more. */
    rename_file(g->name, name, ".log", 0);
    memcpy(g->name, name, sizeof(name));
    return 0;
}

static int do_force_resume(struct guest *g, struct request *rq)
{
    (void)rq;
    if ( g->handle >= 0 )
        return -EBUSY;
    if ( g->suspend == SUSPEND_NONE )
        return -EALREADY;
    guest_resume(g);
    return 0;
}

/* ---- The migration handle's (lock held) -------------------------------------------- */

static int do_attach(struct guest *g, struct request *rq)
{
    bool destination = rq->msg.arg[0] == XC_SR_HV_DESTINATION;
    bool parked = rq->msg.arg[0] == XC_SR_HV_PARKED;
    int pair[2];

    if ( g->handle >= 0 || g->missing_uffd >= 0 || g->retained != parked ||
         destination != g->incoming )
        return -EBUSY;
    if ( g->crashed )
        return -ESHUTDOWN;
    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 )
        return -errno;
    g->suspend_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rq->fds.fd[0] = fcntl(g->mem_fd, F_DUPFD_CLOEXEC, 0);
    rq->fds.fd[1] = fcntl(g->suspend_event, F_DUPFD_CLOEXEC, 0);
    rq->fds.fd[2] = pair[1];
    rq->fds.nr = 3;
    if ( rq->fds.fd[0] < 0 || rq->fds.fd[1] < 0 )
    {
        if ( g->suspend_event >= 0 )
            close(g->suspend_event);
        g->suspend_event = -1;
        close(pair[0]);
        return -EMFILE;
    }
    g->gone_sock = pair[0];
    g->handle = rq->conn;
    g->role = destination ? XC_SR_HV_DESTINATION : XC_SR_HV_SOURCE;
    if ( !destination )
        g->baseline_ops_per_s = guest_speed(g);
    return 0;
}

static int do_suspend(struct guest *g, struct request *rq)
{
    (void)rq;
    guest_suspend(g);
    return 0;
}

static int do_suspend_go(struct guest *g, struct request *rq)
{
    (void)rq;
    guest_suspend_go(g);
    return 0;
}

static int do_resume(struct guest *g, struct request *rq)
{
    (void)rq;
    guest_resume(g);
    return 0;
}

static int do_retain(struct guest *g, struct request *rq)
{
    (void)rq;
    if ( g->suspend != SUSPEND_DONE )
        return -EBUSY;
    g->retained = true;
    return 0;
}

static void first_start(struct guest *g)
{
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        uint64_t last = atomic_load(&g->vcpus[i].last_op_us);

        if ( last > g->last_op_there_us )
            g->last_op_there_us = last;
        atomic_store(&g->vcpus[i].first_op_us, 0);
    }
    guest_stalls_reset(g);
    g->moves++;
    g->incoming = false;
}

/* Handing over, and going on after LW_STOP. */
static int do_start(struct guest *g, struct request *rq)
{
    if ( g->incoming && !g->have_state )
        return -EINVAL;
    if ( g->incoming )
    {
        first_start(g);
        atomic_store(&g->info_missing, rq->msg.arg[1]);
        g->admin_paused = rq->msg.arg[0];
        g->started_us = xc_sr__now_us();
    }
    g->stopped = false;
    guest_recompute(g);
    return 0;
}

static int do_stop(struct guest *g, struct request *rq)
{
    (void)rq;
    g->stopped = true;
    guest_recompute(g);
    return 0;
}

static int do_dirty_on(struct guest *g, struct request *rq)
{
    return guest_dirty_on(g, &rq->msg, &rq->fds);
}

static int do_dirty_fetch(struct guest *g, struct request *rq)
{
    return guest_dirty_fetch(g, rq->msg.arg[0]);
}

static int do_dirty_off(struct guest *g, struct request *rq)
{
    (void)rq;
    guest_dirty_off(g);
    return 0;
}

static int do_state_get(struct guest *g, struct request *rq)
{
    size_t len;
    int rc = guest_state_get(g, rq->msg.data, sizeof(rq->msg.data), &len);

    if ( !rc )
        rq->msg.len = (uint32_t)len;
    return rc;
}

static int do_state_put(struct guest *g, struct request *rq)
{
    uint32_t len = rq->msg.len;

    rq->msg.len = 0;
    return guest_state_put(g, rq->msg.data, len);
}

static int do_paging_on(struct guest *g, struct request *rq)
{
    int rc = guest_paging_on(g, &rq->fds);

    if ( rc )
        return rc;
    rq->msg.arg[0] = (uintptr_t)g->mem;
    rq->msg.arg[1] = g->huge;
    rq->msg.len = g->config.vcpus * 4;
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        int32_t tid = atomic_load(&g->vcpus[i].tid);

        memcpy(rq->msg.data + 4 * i, &tid, 4);
    }
    return 0;
}

static int do_paging_off(struct guest *g, struct request *rq)
{
    (void)rq;
    return guest_paging_off(g);
}

/* ---- Who may ask for what ------------------------------------------------------------ */

enum allowed
{
    ANYBODY,
    SOURCE,
    DESTINATION,
};

static const struct action
{
    enum lw_op op;
    enum allowed allowed;
    int (*act)(struct guest *g, struct request *rq);
} actions[] = {
    { LW_INFO, ANYBODY, do_info },
    { LW_CHECK, ANYBODY, do_check },
    { LW_PAUSE, ANYBODY, do_pause },
    { LW_UNPAUSE, ANYBODY, do_unpause },
    { LW_RENAME, ANYBODY, do_rename },
    { LW_FORCE_RESUME, ANYBODY, do_force_resume },
    { LW_ATTACH, ANYBODY, do_attach },
    { LW_SUSPEND, SOURCE, do_suspend },
    { LW_SUSPEND_GO, SOURCE, do_suspend_go },
    { LW_RESUME, SOURCE, do_resume },
    { LW_RETAIN, SOURCE, do_retain },
    { LW_DIRTY_ON, SOURCE, do_dirty_on },
    { LW_DIRTY_FETCH, SOURCE, do_dirty_fetch },
    { LW_DIRTY_OFF, SOURCE, do_dirty_off },
    { LW_STATE_GET, SOURCE, do_state_get },
    { LW_START, DESTINATION, do_start },
    { LW_STOP, DESTINATION, do_stop },
    { LW_STATE_PUT, DESTINATION, do_state_put },
    { LW_PAGING_ON, DESTINATION, do_paging_on },
    { LW_PAGING_OFF, DESTINATION, do_paging_off },
};

static int act(struct guest *g, struct request *rq)
{
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(actions); i++ )
    {
        const struct action *a = &actions[i];
        int rc;

        if ( a->op != rq->msg.op )
            continue;
        if ( (a->allowed == SOURCE && !from_handle(g, rq, XC_SR_HV_SOURCE)) ||
             (a->allowed == DESTINATION &&
              !from_handle(g, rq, XC_SR_HV_DESTINATION)) )
            return -EPERM;
        pthread_mutex_lock(&g->lock);
        rc = a->act(g, rq);
        pthread_mutex_unlock(&g->lock);
        return rc;
    }
    return -ENOSYS;
}

/* ---- The loop ---------------------------------------------------------------------- */

/* What the migration's end means depends on how far it had come. */
static void handle_closed(struct server *s)
{
    struct guest *g = s->g;

    pthread_mutex_lock(&g->lock);
    g->handle = -1;
    guest_dirty_off(g);
    if ( g->role == XC_SR_HV_SOURCE && !g->retained )
        guest_resume(g);
    if ( g->role == XC_SR_HV_DESTINATION && g->incoming )
        s->end = true;
    close(g->suspend_event);
    close(g->gone_sock);
    g->suspend_event = g->gone_sock = -1;
    pthread_mutex_unlock(&g->lock);
}

static void drop(struct server *s, unsigned int i)
{
    int fd = s->conns[i];

    s->conns[i] = s->conns[--s->nr];
    if ( s->g->handle == fd )
        handle_closed(s);
    close(fd);
}

/* False: the connection is to be dropped. */
static bool serve(struct server *s, int fd)
{
    static struct request rq; /* 32 KiB, one at a time */
    struct lw_fds got = { 0 };
    int rc = xc_sr__lw_recv(fd, &rq.msg, &got);

    if ( rc == -EAGAIN )
        return true;
    xc_sr__lw_close_fds(&got);
    if ( rc )
        return false;

    rq.conn = fd;
    rq.fds.nr = 0;
    if ( rq.msg.op == LW_DESTROY )
    {
        s->end = true;
        rq.msg.rc = 0;
        rq.msg.len = 0;
    }
    else
    {
        rq.msg.rc = act(s->g, &rq);
        /* What a refusal has made so far goes nowhere. */
        if ( rq.msg.rc )
        {
            rq.msg.len = 0;
            xc_sr__lw_close_fds(&rq.fds);
        }
    }
    if ( rq.msg.op == LW_SUSPEND_GO )
        return true;
    rc = xc_sr__lw_send(fd, &rq.msg, &rq.fds);
    xc_sr__lw_close_fds(&rq.fds);
    return !rc;
}

static void accept_one(struct server *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if ( fd < 0 )
        return;
    if ( s->nr == MAX_CONNS )
        close(fd);
    else
        s->conns[s->nr++] = fd;
}

static bool overdue(const struct guest *g)
{
    return g->incoming && g->handle < 0 &&
           xc_sr__now_us() >= g->attach_deadline_us;
}

int guest_serve(struct guest *g, int listen_fd)
{
    struct server s = { .g = g, .listen_fd = listen_fd };

    g->attach_deadline_us = xc_sr__now_us() + ATTACH_TIMEOUT_US;
    while ( !s.end )
    {
        struct pollfd pfds[1 + MAX_CONNS];
        unsigned int nr = s.nr;

        pfds[0] = (struct pollfd){ .fd = listen_fd, .events = POLLIN };
        for ( unsigned int i = 0; i < nr; i++ )
            pfds[1 + i] = (struct pollfd){ .fd = s.conns[i], .events = POLLIN };
        if ( poll(pfds, 1 + nr, g->incoming ? 1000 : -1) < 0 && errno != EINTR )
        {
            if ( errno != ENOMEM )
                return -errno;
            /* The kernel is short of memory; the guest goes on meanwhile. */
            usleep(MEMORY_NAP_US);
        }
        if ( overdue(g) )
            break;
        /* From the end, because drop() moves the last one. */
        for ( unsigned int i = nr; i-- > 0 && !s.end; )
            if ( pfds[1 + i].revents && !serve(&s, pfds[1 + i].fd) )
                drop(&s, i);
        if ( pfds[0].revents )
            accept_one(&s);
    }
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * recover_world.inc.c: two engines, connections that fail as planned, and an
 * operator.  Included by test_engine_recover.c.
 *
 * Each connection is a thread that carries octets both ways until its plan
 * says otherwise.  A side whose engine has returned is asked for its record,
 * as a toolstack does whose process is gone.
 */
#include <poll.h>

#include "engine_pair.inc.c"
#include "../../tools/libxc/xc_sr_engine_recover.h"

#define NR_PFNS      96u
#define MAX_ATTEMPTS 40u

enum how
{
    NOTHING, /* carries all */
    CUT,     /* both ways at once */
    HALF,    /* the way that was counted, the other stays */
    SILENCE, /* open and mute */
};

struct plan
{
    enum how how;
    bool back;     /* octets are counted on the way back */
    size_t octets; /* so many are let through */
};

struct conn
{
    struct plan plan;
    pthread_t thread;
    int src; /* the engines' ends */
    int dst;
    int a; /* ours */
    int b;
    atomic_bool stop;
};

struct world
{
    struct pair p; /* first: its callbacks' ctx */
    struct xc_sr_control *src_control;
    struct xc_sr_control *dst_control;
    struct conn conns[MAX_ATTEMPTS];
    unsigned int nr_conns;
    atomic_uint src_losses;
    atomic_uint dst_losses;
    atomic_uint recoveries;
    unsigned int src_known; /* losses that were answered before operate() */
    unsigned int dst_known;
    atomic_bool dst_runs;
    atomic_bool src_done;
    atomic_bool dst_done;
    pthread_t src_thread;
    pthread_t dst_thread;
};

/* ---- A connection ------------------------------------------------------------ */

static void nap(void)
{
    usleep(500);
}

/* Carries at most what the plan still allows; false: at its end. */
static bool carry(int from, int to, size_t *left)
{
    uint8_t buf[1500];
    size_t want = *left < sizeof(buf) ? *left : sizeof(buf);
    ssize_t got = recv(from, buf, want, MSG_DONTWAIT);

    if ( got < 0 )
        return errno == EAGAIN;
    if ( got == 0 )
        return false;
    for ( ssize_t at = 0; at < got; )
    {
        ssize_t put = send(to, buf + at, (size_t)(got - at), MSG_NOSIGNAL);

        if ( put < 0 )
            return false;
        at += put;
    }
    *left -= (size_t)got;
    return true;
}

static bool act_on_plan(struct conn *c)
{
    switch ( c->plan.how )
    {
    case HALF:
        shutdown(c->plan.back ? c->b : c->a, SHUT_RD);
        shutdown(c->plan.back ? c->a : c->b, SHUT_WR);
        break;
    case SILENCE:
        while ( !atomic_load(&c->stop) )
            nap();
        return false;
    case CUT:
    case NOTHING:
        return false;
    }
    /* Half of it is left: until either engine lets go. */
    for ( size_t all = SIZE_MAX;
          !atomic_load(&c->stop) &&
          carry(c->plan.back ? c->a : c->b, c->plan.back ? c->b : c->a, &all); )
        nap();
    return false;
}

static void *run_conn(void *arg)
{
    struct conn *c = arg;
    size_t fwd = SIZE_MAX, back = SIZE_MAX;
    bool on = true;

    if ( c->plan.how != NOTHING )
        *(c->plan.back ? &back : &fwd) = c->plan.octets;
    while ( on && !atomic_load(&c->stop) )
    {
        struct pollfd fds[2] = { { .fd = c->a, .events = POLLIN },
                                 { .fd = c->b, .events = POLLIN } };

        if ( poll(fds, 2, 5) > 0 )
            on = (!fds[0].revents || carry(c->a, c->b, &fwd)) &&
                 (!fds[1].revents || carry(c->b, c->a, &back));
        if ( on && (!fwd || !back) )
            on = act_on_plan(c);
    }
    shutdown(c->a, SHUT_RDWR);
    shutdown(c->b, SHUT_RDWR);
    return NULL;
}

static struct conn *open_conn(struct world *w, struct plan plan)
{
    struct conn *c = &w->conns[w->nr_conns++];
    int a[2], b[2];

    ck_assert_uint_le(w->nr_conns, MAX_ATTEMPTS);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b), 0);
    *c = (struct conn){
        .plan = plan, .src = a[0], .a = a[1], .b = b[1], .dst = b[0]
    };
    ck_assert_int_eq(pthread_create(&c->thread, NULL, run_conn, c), 0);
    return c;
}

static void close_conn(struct conn *c)
{
    atomic_store(&c->stop, true);
    pthread_join(c->thread, NULL);
    close(c->a);
    close(c->b);
}

/* ---- The world ----------------------------------------------------------------- */

static void src_lost(void *ctx, const char *why)
{
    struct world *w = ctx;

    ck_assert(why[0] != '\0');
    atomic_fetch_add(&w->src_losses, 1);
}

static void dst_lost(void *ctx, const char *why)
{
    struct world *w = ctx;

    ck_assert(why[0] != '\0');
    atomic_fetch_add(&w->dst_losses, 1);
}

static void on_running(void *ctx)
{
    struct world *w = ctx;

    atomic_store(&w->dst_runs, true);
}

static void on_recovered(void *ctx)
{
    struct world *w = ctx;

    atomic_fetch_add(&w->recoveries, 1);
}

static void world_init(struct world *w, struct plan first)
{
    struct conn *c;

    memset(w, 0, sizeof(*w));
    pair_init(&w->p, NR_PFNS, 3);
    close(w->p.fd[0]);
    close(w->p.fd[1]);
    ck_assert_int_eq(xc_sr_control_new(&w->src_control), 0);
    ck_assert_int_eq(xc_sr_control_new(&w->dst_control), 0);
    c = open_conn(w, first);
    w->p.fd[0] = w->p.save.send_fd = w->p.save.recv_fd = c->src;
    w->p.fd[1] = w->p.restore.send_fd = w->p.restore.recv_fd = c->dst;
    w->p.save.control = w->src_control;
    w->p.restore.control = w->dst_control;
    w->p.save.recovery = (struct xc_sr_recovery){
        .enabled = true, .lost = src_lost, .recovered = on_recovered, .ctx = w
    };
    w->p.restore.recovery =
        (struct xc_sr_recovery){ .enabled = true, .lost = dst_lost, .ctx = w };
    w->p.restore.running = on_running;
    w->p.dst.faults_wanted = 9;
    w->p.restore.commit_timeout_us = 20000000;
    w->p.save.ready_timeout_us = 20000000;
}

static void world_dispose(struct world *w)
{
    for ( unsigned int i = 0; i < w->nr_conns; i++ )
        close_conn(&w->conns[i]);
    xc_sr_control_free(w->src_control);
    xc_sr_control_free(w->dst_control);
    pair_dispose(&w->p);
}

static void *run_src(void *arg)
{
    struct world *w = arg;

    w->p.save_rc = xc_sr_save(&w->p.save, &w->p.saved);
    /* What its process would do by ending. */
    if ( w->p.save_rc )
        shutdown(w->p.fd[0], SHUT_RDWR);
    atomic_store(&w->src_done, true);
    return NULL;
}

static void *run_dst(void *arg)
{
    struct world *w = arg;

    w->p.restore_rc = xc_sr_restore(&w->p.restore, &w->p.restored);
    if ( w->p.restore_rc )
        shutdown(w->p.fd[1], SHUT_RDWR);
    atomic_store(&w->dst_done, true);
    return NULL;
}

static __attribute__((unused)) void start(struct world *w)
{
    ck_assert_int_eq(pthread_create(&w->src_thread, NULL, run_src, w), 0);
    ck_assert_int_eq(pthread_create(&w->dst_thread, NULL, run_dst, w), 0);
}

static void join(struct world *w)
{
    pthread_join(w->src_thread, NULL);
    pthread_join(w->dst_thread, NULL);
}

static struct xc_sr_record_of record_of(const struct journal *j)
{
    struct xc_sr_record_of record = { .epoch = j->epoch };

    record.owner = j->nr ? j->seen[j->nr - 1] : XC_SR_OWNER_NONE;
    memcpy(record.session, j->session, sizeof(record.session));
    return record;
}

/* The source has aborted and is gone; its record is told to who waits. */
static void tell_from_source(struct world *w, int fd)
{
    struct xc_sr_record_of from = record_of(&w->p.src_journal);
    struct xc_sr_save_params params = w->p.save;
    struct xc_sr_save_result result;

    params.from = &from;
    params.send_fd = params.recv_fd = fd;
    params.recovery.enabled = false;
    (void)xc_sr_save(&params, &result);
    ck_assert_int_eq(result.owner, XC_SR_OWNER_RESUMED);
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

static void tell_from_destination(struct world *w, int fd)
{
    struct xc_sr_tell_params params = {
        .record = record_of(&w->p.dst_journal),
        .send_fd = fd,
        .recv_fd = fd,
        .journal = { put_journal, &w->p.dst_journal },
        .timeout_us = 20000000,
    };
    bool settled;

    (void)xc_sr_restore_tell(&params, &settled);
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

/* One more connection, to whoever is left on either side. */
static void reconnect(struct world *w, struct plan plan)
{
    bool src_done = atomic_load(&w->src_done);
    bool dst_done = atomic_load(&w->dst_done);
    struct conn *c = open_conn(w, plan);

    if ( !dst_done )
        ck_assert_int_eq(
            xc_sr_control_reconnect(w->dst_control, c->dst, c->dst), 0);
    if ( !src_done )
        ck_assert_int_eq(
            xc_sr_control_reconnect(w->src_control, c->src, c->src), 0);
    if ( dst_done )
        tell_from_destination(w, c->dst);
    if ( src_done )
        tell_from_source(w, c->src);
}

static bool both_done(struct world *w)
{
    return atomic_load(&w->src_done) && atomic_load(&w->dst_done);
}

/*
 * Until both have ended: whenever a side has lost its connection, or is alone,
 * the next of the plans; behind the last of them connections hold.
 */
static __attribute__((unused)) void operate(struct world *w,
                                            const struct plan *plans,
                                            unsigned int nr)
{
    unsigned int tried = 0, src = w->src_known, dst = w->dst_known;

    while ( !both_done(w) )
    {
        bool src_lost_one = atomic_load(&w->src_losses) > src;
        bool dst_lost_one = atomic_load(&w->dst_losses) > dst;

        if ( (src_lost_one || atomic_load(&w->src_done)) &&
             (dst_lost_one || atomic_load(&w->dst_done)) && !both_done(w) )
        {
            src = atomic_load(&w->src_losses);
            dst = atomic_load(&w->dst_losses);
            reconnect(w, tried < nr ? plans[tried] : (struct plan){ NOTHING });
            tried++;
        }
        nap();
    }
    join(w);
}

/* Exactly one of them, and whole. */
static void assert_one_whole_guest(const struct world *w)
{
    const struct pair *p = &w->p;
    bool here = p->src.resumed || !p->src.suspended;

    ck_assert_msg(here != p->dst.unpaused, "source %s, destination %s (%s; %s)",
                  xc_sr_owner_name(p->saved.owner),
                  xc_sr_owner_name(p->restored.owner), p->saved.why,
                  p->restored.why);
    if ( here )
    {
        ck_assert_int_eq(p->saved.owner, XC_SR_OWNER_RESUMED);
        return;
    }
    ck_assert_msg(p->saved.owner == XC_SR_OWNER_DONE, "source: %s, %s",
                  xc_sr_owner_name(p->saved.owner), p->saved.why);
    ck_assert_int_eq(p->restored.owner, XC_SR_OWNER_FINISHED);
    ck_assert(p->src.retained);
    ck_assert(!p->dst.paging);
    ck_assert(!p->dst.paused);
    assert_memory_equal(p);
}

/* Another source takes up the record of a parked one. */
static __attribute__((unused)) void restart_source(struct world *w)
{
    struct xc_sr_record_of from = record_of(&w->p.src_journal);
    struct conn *c = open_conn(w, (struct plan){ NOTHING });

    ck_assert_int_eq(from.owner, XC_SR_OWNER_COMMITTED);
    w->p.save.from = &from;
    close(w->p.fd[0]);
    w->p.fd[0] = w->p.save.send_fd = w->p.save.recv_fd = c->src;
    ck_assert_int_eq(xc_sr_control_reconnect(w->dst_control, c->dst, c->dst),
                     0);
    w->p.save_rc = xc_sr_save(&w->p.save, &w->p.saved);
    ck_assert_msg(w->p.save_rc == 0, "%s", w->p.saved.why);
    pthread_join(w->dst_thread, NULL);
    assert_one_whole_guest(w);
}

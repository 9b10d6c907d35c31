/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_nth.c: everything fails once, and everything fails for good.
 *
 * Whatever an engine asks of the hypervisor, the allocator or a descriptor
 * fails at its first use, at its second, and so on until a whole move, with
 * whatever it needed, has passed without meeting the failure; over pre-copy,
 * post-copy, and a connection that is cut and recovered.  After each of them
 * exactly one side has the guest or it is parked, the engine that was hit says
 * why, nothing is leaked and nothing waits beyond its deadline.
 *
 * The library's calls come here by the linker's --wrap.
 */
#include <fcntl.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <dirent.h>

#include "recover_world.inc.c"
#include "live.inc.c"

enum side
{
    NOBODY, /* the test's own threads */
    SOURCE,
    DESTINATION,
};

enum what
{
    HV_CALL,
    ALLOCATION,
    READ,
    WRITE,
    POLL,
    SETUP, /* of descriptors, random numbers */
    NR_WHATS,
};

static const char *const what_names[] = {
    "hypervisor call", "allocation", "read", "write", "poll", "setup"
};

enum move
{
    PRECOPY,
    POSTCOPY,
    RECOVERY,
    NR_MOVES,
};

static const char *const move_names[] = { "pre-copy", "post-copy", "recovery" };

/* What is to fail; constant while engines run. */
static struct
{
    enum side side;
    enum what what;
    unsigned int nth; /* 0: nothing */
    bool for_good;
} order;

static atomic_uint used; /* of order.what on order.side */
static __thread enum side me;

static bool fails(enum what what)
{
    unsigned int n;

    if ( me == NOBODY || me != order.side || what != order.what )
        return false;
    n = atomic_fetch_add(&used, 1) + 1;
    return order.nth && (n == order.nth || (order.for_good && n > order.nth));
}

/* ---- What the library calls ---------------------------------------------------- */

/* The linker's names. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __real_writev(int fd, const struct iovec *iov, int nr);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
int __real_poll(struct pollfd *fds, nfds_t nr, int ms);
ssize_t __real_getrandom(void *buf, size_t len, unsigned int flags);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int nr);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t nr, int ms);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags);

static void note(void *p)
{
    if ( p && me != NOBODY )
        live_add(p);
}

static bool no_memory(void)
{
    if ( !fails(ALLOCATION) )
        return false;
    errno = ENOMEM;
    return true;
}

static bool no_io(enum what what)
{
    if ( !fails(what) )
        return false;
    errno = EIO;
    return true;
}

void *__wrap_malloc(size_t size)
{
    void *p = no_memory() ? NULL : __real_malloc(size);

    note(p);
    return p;
}

void *__wrap_calloc(size_t nr, size_t size)
{
    void *p = no_memory() ? NULL : __real_calloc(nr, size);

    note(p);
    return p;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *p;

    if ( no_memory() )
        return NULL;
    live_forget(old);
    p = __real_realloc(old, size);
    note(p);
    return p;
}

void __wrap_free(void *p)
{
    live_forget(p);
    __real_free(p);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
    return no_io(READ) ? -1 : __real_read(fd, buf, len);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    return no_io(WRITE) ? -1 : __real_write(fd, buf, len);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int nr)
{
    return no_io(WRITE) ? -1 : __real_writev(fd, iov, nr);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return no_io(WRITE) ? -1 : __real_sendmsg(fd, msg, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t nr, int ms)
{
    return no_io(POLL) ? -1 : __real_poll(fds, nr, ms);
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
    return no_io(SETUP) ? -1 : __real_getrandom(buf, len, flags);
}

/* ---- One move -------------------------------------------------------------------- */

static void *nth_src(void *arg)
{
    me = SOURCE;
    return run_src(arg);
}

static void *nth_dst(void *arg)
{
    me = DESTINATION;
    return run_dst(arg);
}

/* What the test does in an engine's thread does not fail, nor does libcheck. */
static int nth_put(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
                   uint64_t epoch)
{
    enum side was = me;
    int rc;

    me = NOBODY;
    rc = put_journal(ctx, owner, session, epoch);
    me = was;
    return rc;
}

static void nth_src_lost(void *ctx, const char *why)
{
    enum side was = me;

    me = NOBODY;
    src_lost(ctx, why);
    me = was;
}

static void nth_dst_lost(void *ctx, const char *why)
{
    enum side was = me;

    me = NOBODY;
    dst_lost(ctx, why);
    me = was;
}

static struct fake_guest *guest_hit(struct world *w)
{
    return order.side == SOURCE ? &w->p.src : &w->p.dst;
}

/* Somebody reconnects a few times; what cannot be recovered stays parked. */
static void attend(struct world *w)
{
    unsigned int src = 0, dst = 0;

    while ( !both_done(w) )
    {
        if ( atomic_load(&w->src_losses) > src &&
             atomic_load(&w->dst_losses) > dst && w->nr_conns < 4 &&
             !atomic_load(&w->src_done) && !atomic_load(&w->dst_done) )
        {
            src = atomic_load(&w->src_losses);
            dst = atomic_load(&w->dst_losses);
            reconnect(w, (struct plan){ NOTHING });
        }
        nap();
    }
    join(w);
}

static unsigned int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned int nr = 0;

    ck_assert_ptr_nonnull(d);
    while ( readdir(d) )
        nr++;
    closedir(d);
    return nr;
}

static void set_up(struct world *w, enum move move)
{
    struct plan first = { NOTHING };

    /* In the middle of what follows COMMIT: behind the pages of the resume
     * set, before the last ones. */
    if ( move == RECOVERY )
        first = (struct plan){ CUT, false, 240000 };
    world_init(w, first);
    w->p.save.policy.allow_postcopy = move != PRECOPY;
    w->p.save.policy.max_iterations = move == RECOVERY ? 0 : 2;
    w->p.src.dirty_per_fetch = 5;
    /* Not waited for long where something fails; valgrind needs its time. */
    if ( order.nth )
    {
        w->p.save.recovery.timeout_us = w->p.restore.recovery.timeout_us =
            60000;
        w->p.save.ready_timeout_us = w->p.restore.commit_timeout_us = 250000;
    }
    w->p.save.recovery.enabled = w->p.restore.recovery.enabled =
        move == RECOVERY;
    w->p.save.journal.put = w->p.restore.journal.put = nth_put;
    w->p.save.recovery.lost = nth_src_lost;
    w->p.restore.recovery.lost = nth_dst_lost;
    if ( order.what == HV_CALL )
    {
        guest_hit(w)->hv.fail_at = order.nth;
        guest_hit(w)->hv.fail_from_then_on = order.for_good;
    }
}

static void assert_sane(const struct world *w)
{
    const struct pair *p = &w->p;
    bool here = p->src.resumed || !p->src.suspended;
    bool there = p->dst.unpaused;

    ck_assert_msg(!here || !there, "runs on both sides");
    /* Neither: kept for recovery, or told that it could not be resumed. */
    if ( !here && !there )
        ck_assert_msg(p->saved.owner == XC_SR_OWNER_COMMITTED ||
                          p->saved.suspended_here,
                      "nobody has it: %s", xc_sr_owner_name(p->saved.owner));
    if ( there )
        ck_assert_msg(p->saved.owner == XC_SR_OWNER_DONE ||
                          p->saved.owner == XC_SR_OWNER_COMMITTED,
                      "runs there, the source says %s",
                      xc_sr_owner_name(p->saved.owner));
    if ( p->saved.owner == XC_SR_OWNER_DONE )
    {
        ck_assert(there);
        assert_memory_equal(p);
    }
    if ( p->save_rc )
        ck_assert_msg(p->saved.why[0],
                      "use %u: the source failed and says nothing: %s",
                      order.nth, strerror(-p->save_rc));
    if ( p->restore_rc )
        ck_assert_msg(p->restored.why[0],
                      "use %u: the destination failed and says nothing: %s",
                      order.nth, strerror(-p->restore_rc));
}

/* True if the failure was met. */
static bool try_move(enum move move, void (*alter)(struct pair *p))
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned int fds = open_fds();
    bool met;

    ck_assert_ptr_nonnull(w);
    atomic_store(&used, 0);
    set_up(w, move);
    if ( alter )
        alter(&w->p);
    ck_assert_int_eq(pthread_create(&w->src_thread, NULL, nth_src, w), 0);
    ck_assert_int_eq(pthread_create(&w->dst_thread, NULL, nth_dst, w), 0);
    attend(w);
    assert_sane(w);
    met = order.what == HV_CALL ? guest_hit(w)->hv.calls >= order.nth
                                : atomic_load(&used) >= order.nth;
    world_dispose(w);
    ck_assert_msg(open_fds() == fds, "a descriptor is leaked");
    ck_assert_msg(nr_live == 0, "%u allocations are leaked", nr_live);
    free(w);
    return met;
}

/* ---- The matrix ------------------------------------------------------------------- */

#define NR_CASES (NR_MOVES * 2 * NR_WHATS * 2)

START_TEST(test_every_use_fails)
{
    unsigned int i = (unsigned int)_i;
    enum move move = (enum move)(i / (2 * NR_WHATS * 2));

    order.side = i / (NR_WHATS * 2) % 2 ? DESTINATION : SOURCE;
    order.what = (enum what)(i / 2 % NR_WHATS);
    order.for_good = i % 2;
    for ( order.nth = 1;; order.nth++ )
    {
        mark_point();
        if ( !try_move(move, NULL) )
            break;
        ck_assert_msg(order.nth < 5000, "%s, %s: no end", move_names[move],
                      what_names[order.what]);
    }
}
END_TEST

static void starts_slowly(struct pair *p)
{
    p->save.policy.max_iterations = 0;
    p->src.dirty_per_fetch = 1;
    p->dst.unpause_calls = 6;
}

/* Pages come meanwhile, and what they need of memory grows with their number:
 * nothing has come yet that took as much. */
START_TEST(test_no_memory_while_it_is_started)
{
    order.side = DESTINATION;
    order.what = ALLOCATION;
    order.for_good = true;
    for ( order.nth = 1; try_move(POSTCOPY, starts_slowly); order.nth++ )
        ck_assert_uint_lt(order.nth, 5000);
}
END_TEST

START_TEST(test_without_a_failure_it_moves)
{
    enum move move = (enum move)_i;
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    memset(&order, 0, sizeof(order));
    set_up(w, move);
    ck_assert_int_eq(pthread_create(&w->src_thread, NULL, nth_src, w), 0);
    ck_assert_int_eq(pthread_create(&w->dst_thread, NULL, nth_dst, w), 0);
    attend(w);
    assert_one_whole_guest(w);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_DONE);
    ck_assert_uint_eq(atomic_load(&w->recoveries), move == RECOVERY ? 1 : 0);
    world_dispose(w);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_nth");
    TCase *tc = tcase_create("matrix");
    TCase *start = tcase_create("start");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_without_a_failure_it_moves, 0, NR_MOVES);
    tcase_add_loop_test(tc, test_every_use_fails, 0, NR_CASES);
    tcase_set_timeout(start, 100);
    tcase_add_test(start, test_no_memory_while_it_is_started);
    suite_add_tcase(suite, tc);
    suite_add_tcase(suite, start);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

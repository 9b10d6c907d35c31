/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_domain_nth.c: whatever libxl is asked for fails once, and for good; and
 * so does whatever libxlpostcopy asks the system for.
 *
 * Each of libxl's functions, its answers to its helper's messages, the helper
 * itself, libxl's own records, and memory, descriptors, reads, writes and
 * polls of the library fail at their first use, at their second, and so on
 * until a whole move has passed without meeting the failure; over pre-copy,
 * post-copy, a stock stream, and a connection that is cut and recovered.
 * After each of them exactly one side has the guest or it is kept for
 * recovery, who failed says why, nothing is leaked and nobody waits beyond its
 * deadline.
 *
 * The library's calls come here by the linker's --wrap.
 */
#define NR_PFNS 96u

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "domain_world.inc.c"
#include "live.inc.c"

enum what
{
    LIBXL_CALL,
    LIBXL_LATE,
    REFUSAL,
    SILENCE,
    DEATH,
    RECORD,
    NR_LIBXL_WHATS,
    ALLOCATION = NR_LIBXL_WHATS,
    READ,
    WRITE,
    POLL,
    SETUP, /* of descriptors and threads */
    NR_WHATS,
};

static const char *const what_names[] = {
    "libxl's function",
    "libxl's last word",
    "refusal",
    "silence",
    "dead helper",
    "libxl's record",
    "memory",
    "read",
    "write",
    "poll",
    "setup",
};

enum move
{
    PRECOPY,
    POSTCOPY,
    PLAIN,
    RECOVERY,
    NR_MOVES,
};

static const char *const move_names[] = { "pre-copy", "post-copy", "plain",
                                          "recovery" };

/* What is to fail; constant while a move runs. */
static struct
{
    bool destination;
    enum what what;
    unsigned int nth; /* 0: nothing */
    bool for_good;
} order;

/* Of both processes. */
static struct tally
{
    atomic_uint used; /* of order.what, on the side that is meant */
    atomic_uint leaked_fds;
    atomic_uint leaked_memory;
} * tally;

static atomic_bool counting; /* the library is at work in this process */

static bool fails(enum what what)
{
    unsigned int n;

    if ( !atomic_load(&counting) || what != order.what ||
         order.destination != (fake == &world->destination) )
        return false;
    n = atomic_fetch_add(&tally->used, 1) + 1;
    return order.nth && (n == order.nth || (order.for_good && n > order.nth));
}

static bool libxl_fails(enum fake_use use)
{
    return fails((enum what)use); /* in the same order */
}

/* ---- What the library calls ---------------------------------------------------- */

static bool ours(void)
{
    return atomic_load(&counting) && !fake_inside;
}

static void note(void *p)
{
    if ( p && ours() )
        live_add(p);
}

static bool no(enum what what, int error)
{
    if ( !ours() || !fails(what) )
        return false;
    errno = error;
    return true;
}

/* The linker's names: each as declared, failing as it does, and the real one. */
#define WRAP(type, name, params, args, what, error)                            \
    type __real_##name params;                                                 \
    type __wrap_##name params;                                                 \
    type __wrap_##name params                                                  \
    {                                                                          \
        return no(what, error) ? (type)-1 : __real_##name args;                \
    }

WRAP(ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len), READ, EIO)
WRAP(ssize_t, recv, (int fd, void *buf, size_t len, int flags),
     (fd, buf, len, flags), READ, EIO)
WRAP(ssize_t, send, (int fd, const void *buf, size_t len, int flags),
     (fd, buf, len, flags), WRITE, EIO)
WRAP(int, poll, (struct pollfd * fds, nfds_t nr, int ms), (fds, nr, ms), POLL,
     EIO)
WRAP(int, epoll_wait, (int fd, struct epoll_event *evs, int nr, int ms),
     (fd, evs, nr, ms), POLL, EIO)
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *len, int flags),
     (fd, a, len, flags), SETUP, EMFILE)
WRAP(int, epoll_create1, (int flags), (flags), SETUP, EMFILE)
WRAP(int, epoll_ctl, (int fd, int op, int of, struct epoll_event *ev),
     (fd, op, of, ev), SETUP, ENOSPC)
WRAP(int, socketpair, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds), SETUP, EMFILE)
WRAP(int, eventfd, (unsigned int count, int flags), (count, flags), SETUP,
     EMFILE)
WRAP(int, getsockopt,
     (int fd, int level, int name, void *value, socklen_t *len),
     (fd, level, name, value, len), SETUP, ENOBUFS)

/* The linker's names. */
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);

/* Eight octets are an eventfd's, which takes them or is readable already. */
ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    return len != sizeof(uint64_t) && no(WRITE, EIO)
               ? -1
               : __real_write(fd, buf, len);
}

void *__wrap_malloc(size_t size)
{
    void *p = no(ALLOCATION, ENOMEM) ? NULL : __real_malloc(size);

    note(p);
    return p;
}

void *__wrap_calloc(size_t nr, size_t size)
{
    void *p = no(ALLOCATION, ENOMEM) ? NULL : __real_calloc(nr, size);

    note(p);
    return p;
}

void *__wrap_realloc(void *old, size_t size)
{
    void *p;

    if ( no(ALLOCATION, ENOMEM) )
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

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg)
{
    return no(SETUP, EAGAIN) ? EAGAIN
                             : __real_pthread_create(thread, attr, start, arg);
}

/* ---- One move -------------------------------------------------------------------- */

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

/* This process's end of the connection after the first, and its engine's. */
static int *next_end(void)
{
    return &next_wire[fake == &world->destination];
}

static struct xc_sr_control **control_of(void)
{
    return fake == &world->source ? &send_params.save.control
                                  : &receive_params.restore.control;
}

static void let_go(int *fd)
{
    if ( *fd >= 0 )
        close(*fd);
    *fd = -1;
}

static unsigned int fds_before;

/* What the library is lent comes after the first count, and goes before the
 * second. */
static void begin_watch(void)
{
    let_go(&next_wire[fake == &world->source]);
    fds_before = open_fds() - 1; /* where the shim calls: see end_watch() */
    if ( *next_end() >= 0 )
    {
        fds_before--;
        ck_assert_int_eq(xc_sr_control_new(control_of()), 0);
    }
    atomic_store(&counting, true);
}

static void end_watch(void)
{
    atomic_store(&counting, false);
    if ( *control_of() )
        xc_sr_control_free(*control_of());
    let_go(next_end());
    libxl_postcopy_fini(); /* where it could not, it was closed before */
    atomic_fetch_add(&tally->leaked_memory, nr_live);
    atomic_fetch_add(&tally->leaked_fds, open_fds() - fds_before);
    nr_live = 0;
}

static void watch_over(bool begins)
{
    if ( begins )
        begin_watch();
    else
        end_watch();
}

/* The connection breaks with COMMIT. */
static int cut(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
               uint64_t epoch)
{
    (void)ctx;
    (void)session;
    if ( owner == XC_SR_OWNER_COMMITTED && !epoch )
        shutdown(wire[0], SHUT_RDWR);
    return 0;
}

/* There is one more connection, and no third. */
static void connect_once(void *ctx, const char *why)
{
    int *fd = next_end();

    (void)ctx;
    (void)why;
    fake_inside++;
    if ( *fd >= 0 && !xc_sr_control_reconnect(*control_of(), *fd, *fd) )
        *fd = -1;
    fake_inside--;
}

static void prepare(enum move move)
{
    set_up();
    around = watch_over;
    fake_fails = libxl_fails;
    next_wire[0] = next_wire[1] = -1;
    send_params.save.policy.allow_postcopy =
        move == POSTCOPY || move == RECOVERY;
    send_params.save.plain = move == PLAIN;
    world->source.emulator_octets = 3000;
    /* Where somebody will wait in vain. */
    if ( order.what == SILENCE || order.for_good )
    {
        send_params.libxl_timeout_us = receive_params.libxl_timeout_us =
            SECOND / 4;
        send_params.save.ready_timeout_us = SECOND / 2;
        receive_params.restore.stall_timeout_us = SECOND;
        receive_params.restore.commit_timeout_us = SECOND;
    }
    if ( move != RECOVERY )
        return;
    ck_assert_int_eq(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, next_wire), 0);
    send_params.save.ready_timeout_us = SECOND;
    receive_params.restore.commit_timeout_us = SECOND / 2;
    send_params.save.journal.put = cut;
    send_params.save.recovery = receive_params.restore.recovery =
        (struct xc_sr_recovery){ .enabled = true,
                                 .timeout_us = SECOND / 5,
                                 .lost = connect_once };
}

static void clean_up(void)
{
    let_go(&wire[0]);
    tear_down();
}

static void assert_says_why(int rc, const char *why, bool hit)
{
    if ( !rc )
        return;
    ck_assert_msg(why[0], "%s, use %u: no word why (%s)",
                  what_names[order.what], order.nth, strerror(-rc));
    /* Of somebody who is silent another deadline may speak first. */
    if ( hit && order.what < NR_LIBXL_WHATS && order.what != SILENCE )
        ck_assert_msg(strstr(why, "libxl") || strstr(why, "unpause") ||
                          strstr(why, "network cards"),
                      "%s, use %u: says %s", what_names[order.what], order.nth,
                      why);
}

/* A stock stream's receiver has the guest and nobody's word on it: its caller
 * asks the sender's. */
static void assert_plain(void)
{
    if ( world->send_rc )
        ck_assert(!world->source.suspended ||
                  world->sent.engine.suspended_here);
    if ( !world->receive_rc )
    {
        ck_assert(world->destination.exists);
        ck_assert_uint_eq(world->destination.unpauses, 0);
        assert_memory_arrived();
    }
}

static void assert_handed_over(void)
{
    enum xc_sr_owner owner = world->sent.engine.owner;
    bool here = !world->source.suspended;
    bool there = world->destination.unpauses;

    ck_assert_msg(!here || !there, "runs on both sides");
    if ( !here && !there )
        ck_assert_msg(owner == XC_SR_OWNER_COMMITTED ||
                          world->sent.engine.suspended_here,
                      "nobody has it: %s", xc_sr_owner_name(owner));
    if ( there )
        ck_assert_msg(
            owner == XC_SR_OWNER_DONE || owner == XC_SR_OWNER_COMMITTED,
            "runs there, the source says %s", xc_sr_owner_name(owner));
    if ( there )
        ck_assert_msg(world->destination.exists, "it ran, and was destroyed");
    if ( owner == XC_SR_OWNER_DONE )
    {
        ck_assert(there);
        assert_memory_arrived();
    }
}

static void assert_sane(enum move move)
{
    if ( move == PLAIN )
        assert_plain();
    else
        assert_handed_over();
    assert_says_why(world->send_rc, world->sent.engine.why, !order.destination);
    assert_says_why(world->receive_rc, world->received.engine.why,
                    order.destination);
    if ( world->receive_rc && !world->destination.unpauses )
        ck_assert_msg(!world->destination.exists ||
                          world->received.not_destroyed,
                      "a domain is left, and nobody says so");
    ck_assert_msg(!atomic_load(&tally->leaked_fds), "a descriptor is leaked");
    ck_assert_msg(!atomic_load(&tally->leaked_memory), "memory is leaked");
}

static void assert_went_well(enum move move)
{
    if ( move != PLAIN )
        assert_moved();
    ck_assert_msg(!world->send_rc, "%s", world->sent.engine.why);
    ck_assert_msg(!world->receive_rc, "%s", world->received.engine.why);
    ck_assert_uint_eq(world->sent.engine.stats.recoveries, move == RECOVERY);
}

static bool went_well(void)
{
    return !world->send_rc && !world->receive_rc;
}

/* True if the failure was met. */
static bool try_move(enum move move)
{
    static unsigned int tries;
    bool met;

    memset(tally, 0, sizeof(*tally));
    prepare(move);
    migrate();
    assert_sane(move);
    met = order.nth && atomic_load(&tally->used) >= order.nth;
    /* On a busy machine a short deadline may have passed by itself. */
    if ( !met && !went_well() && tries++ < 20 )
    {
        clean_up();
        return try_move(move);
    }
    if ( !met )
        assert_went_well(move);
    clean_up();
    return met;
}

/* ---- The matrix ------------------------------------------------------------------- */

#define NR_CASES (NR_MOVES * 2 * NR_WHATS * 2)

START_TEST(every_use_fails)
{
    unsigned int i = (unsigned int)_i;
    enum move move = (enum move)(i / (2 * NR_WHATS * 2));

    order.destination = i / (NR_WHATS * 2) % 2;
    order.what = (enum what)(i / 2 % NR_WHATS);
    order.for_good = i % 2;
    /* Silence goes on by itself, and is over before there is a COMMIT; and a
     * stock stream's source has no receiver that loses patience before it. */
    if ( order.what == SILENCE &&
         (order.for_good || move == RECOVERY || move == PLAIN) )
        return;
    /* What make check has the time for, and of that its sanitizers. */
    if ( !getenv("XP_WHOLE") &&
         (move != POSTCOPY || (getenv("XP_BRIEF") && order.for_good)) )
        return;
    for ( order.nth = 1; try_move(move); order.nth++ )
        ck_assert_msg(order.nth < 5000, "%s, %s: no end", move_names[move],
                      what_names[order.what]);
}
END_TEST

START_TEST(without_a_failure_it_moves)
{
    memset(&order, 0, sizeof(order));
    ck_assert(!try_move((enum move)_i));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("domain_nth");
    TCase *tc = tcase_create("matrix");
    SRunner *runner;
    int failed;

    signal(SIGPIPE, SIG_IGN);
    tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ( tally == MAP_FAILED )
        return EXIT_FAILURE;
    tcase_set_timeout(tc, 400);
    tcase_add_loop_test(tc, without_a_failure_it_moves, 0, NR_MOVES);
    tcase_add_loop_test(tc, every_use_fails, 0, NR_CASES);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

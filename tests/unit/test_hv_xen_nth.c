/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_xen_nth.c: a guest moves from one Xen in memory (fake_xen.h) to
 * another, both engines and the Xen backend as they are, and every call of
 * Xen's libraries fails: the first, the second, and so on until a whole move
 * has passed without meeting the failure; once, and from then on; likewise
 * each paging call within a batch.
 *
 * After each of them exactly one side has the guest or it is kept, whoever
 * failed says why, every handle, buffer and mapping is given back, and no vCPU
 * was killed for a page that nobody could bring.
 */
#include <pthread.h>
#include <sys/socket.h>

#include "fake_xen_more.inc.c"

#define NR     240u
#define SECOND UINT64_C(1000000)

enum side
{
    SOURCE,
    DESTINATION,
};

enum move
{
    PRECOPY,
    POSTCOPY,
    NR_MOVES,
};

/* What is to fail; constant while engines run. */
static struct
{
    enum side side;
    bool sub; /* a paging call of a batch */
    unsigned int nth;
    bool for_good;
} order;

static struct world
{
    struct fake_host *src;
    struct fake_host *dst;
    int fd[2];
    struct xc_sr_save_params save;
    struct xc_sr_restore_params restore;
    struct xc_sr_save_result saved;
    struct xc_sr_restore_result restored;
    int save_rc;
    int restore_rc;
    bool destroyed;
    uint64_t
        given_back; /* by the guest, when it is asked to suspend; 0: none */
} w;

/* ---- What only a toolstack can do ---------------------------------------------------- */

static int suspend_start(void *ctx)
{
    (void)ctx;
    if ( w.given_back )
    {
        w.src->p2m[w.given_back].state = FAKE_HOLE;
        w.src->p2m[w.given_back].dirty = true;
    }
    return 0;
}

static int suspend_poll(void *ctx, uint64_t timeout_us, bool *suspended_r)
{
    (void)ctx;
    (void)timeout_us;
    *suspended_r = w.src->suspended = true;
    return 0;
}

static int resume(void *ctx)
{
    (void)ctx;
    w.src->suspended = false;
    return 0;
}

static int destroy(void *ctx)
{
    (void)ctx;
    w.destroyed = true;
    w.dst->exists = false;
    return 0;
}

static const struct xc_sr_xen_source_hooks source_hooks = {
    .suspend_start = suspend_start,
    .suspend_poll = suspend_poll,
    .resume = resume,
};

static const struct xc_sr_xen_destination_params destination_params = {
    .store_evtchn = 3,
    .console_evtchn = 4,
};

/* ---- One move ------------------------------------------------------------------------ */

static void *send_it(void *arg)
{
    struct xc_sr_hv *hv = NULL;

    (void)arg;
    fake_here = w.src;
    w.save_rc = xc_sr_hv_open_xen_source(FAKE_DOMID, &source_hooks, NULL, &hv);
    if ( w.save_rc )
        snprintf(w.saved.why, sizeof(w.saved.why), "cannot be opened");
    w.save.hv = hv;
    if ( hv )
        w.save_rc = xc_sr_save(&w.save, &w.saved);
    xc_sr_hv_close(hv);
    shutdown(w.fd[0], SHUT_RDWR);
    return NULL;
}

static void *receive_it(void *arg)
{
    struct xc_sr_hv *hv = NULL;

    (void)arg;
    fake_here = w.dst;
    w.restore_rc = xc_sr_hv_open_xen_destination(
        FAKE_DOMID, &destination_params, NULL, &hv);
    if ( w.restore_rc )
        snprintf(w.restored.why, sizeof(w.restored.why), "cannot be opened");
    w.restore.hv = hv;
    if ( hv )
        w.restore_rc = xc_sr_restore(&w.restore, &w.restored);
    xc_sr_hv_close(hv);
    shutdown(w.fd[1], SHUT_RDWR);
    return NULL;
}

static void set_up(enum move move)
{
    struct fake_host *hit;

    memset(&w, 0, sizeof(w));
    w.src = fake_host_new();
    w.dst = fake_host_new();
    fake_guest_full(w.src, NR);
    w.src->writes_per_look = 4;
    fake_guest_empty(w.dst, NR + 4);
    for ( unsigned int n = 0; n < FAKE_VCPUS; n++ )
        w.dst->vcpus[n] =
            (struct fake_vcpu){ .at = 50 * n, .end = 50 * n + 12 };
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w.fd),
                     0);
    w.save = (struct xc_sr_save_params){
        .send_fd = w.fd[0],
        .recv_fd = w.fd[0],
        .stream_version = 3,
        .policy = { .allow_postcopy = move == POSTCOPY, .max_iterations = 2 },
        .watch = { .fd = -1 },
        .ready_timeout_us = 5 * SECOND,
    };
    w.restore = (struct xc_sr_restore_params){
        .send_fd = w.fd[1],
        .recv_fd = w.fd[1],
        .destroy = destroy,
        .watch = { .fd = -1 },
        .commit_timeout_us = 5 * SECOND,
        .stall_timeout_us = 10 * SECOND,
    };
    hit = order.side == SOURCE ? w.src : w.dst;
    hit->fail_at = order.sub ? 0 : order.nth;
    hit->fail_sub = order.sub ? order.nth : 0;
    hit->fail_from_then_on = order.for_good;
}

static void clean_up(void)
{
    close(w.fd[0]);
    close(w.fd[1]);
    fake_host_free(w.src);
    fake_host_free(w.dst);
}

static const char *what_failed(void)
{
    const struct fake_host *hit = order.side == SOURCE ? w.src : w.dst;

    return hit->failed_name ? hit->failed_name : "a paging call";
}

static void assert_all_closed(const struct fake_host *h)
{
    ck_assert_msg(!h->handles && !h->buffers && !h->resources && !h->events,
                  "%s, call %u: left open: %u handles, %u buffers, %u "
                  "resources, %u event channels",
                  what_failed(), order.nth, h->handles, h->buffers,
                  h->resources, h->events);
    ck_assert_msg(!fake_mapped(h), "%s, call %u: %u mappings left",
                  what_failed(), order.nth, fake_mapped(h));
    ck_assert_uint_eq(h->bad_responses, 0);
}

/* Rings and the like begin anew, and the paging ring's page is taken away. */
static bool is_special(uint64_t pfn)
{
    return pfn == w.src->params[HVM_PARAM_STORE_PFN] ||
           pfn == w.src->params[HVM_PARAM_CONSOLE_PFN] ||
           pfn == w.src->params[HVM_PARAM_PAGING_RING_PFN];
}

static void assert_memory_arrived(void)
{
    for ( uint64_t pfn = 0; pfn < NR; pfn++ )
        if ( !is_special(pfn) && pfn != w.given_back )
            ck_assert_msg(!memcmp(fake_contents(w.src, pfn),
                                  fake_contents(w.dst, pfn), XC_SR_PAGE_SIZE),
                          "pfn %llu differs", (unsigned long long)pfn);
}

static void assert_says_why(int rc, const char *why)
{
    if ( rc )
        ck_assert_msg(why[0], "%s, call %u: no word why (%s)", what_failed(),
                      order.nth, strerror(-rc));
}

static void assert_sane(void)
{
    bool here = !w.src->suspended;
    bool there = w.dst->exists && !w.dst->pauses;

    ck_assert_msg(!here || !there, "%s, call %u: runs on both sides",
                  what_failed(), order.nth);
    ck_assert_msg(!w.dst->crashed, "%s, call %u: the guest was killed",
                  what_failed(), order.nth);
    /* Complete there, and Xen does not let go of it: that is said. */
    if ( w.restored.owner == XC_SR_OWNER_FINISHED && !there )
        ck_assert(w.restore_rc && w.dst->exists && order.for_good);
    else if ( !here && !there )
        ck_assert_msg(
            w.saved.owner == XC_SR_OWNER_COMMITTED || w.saved.suspended_here,
            "%s, call %u: nobody has it, the source says %s, the destination "
            "%s: %s%s",
            what_failed(), order.nth, xc_sr_owner_name(w.saved.owner),
            xc_sr_owner_name(w.restored.owner), w.restored.why,
            w.destroyed ? ", destroyed" : "");
    if ( w.saved.owner == XC_SR_OWNER_DONE )
    {
        ck_assert_int_eq(w.restored.owner, XC_SR_OWNER_FINISHED);
        assert_memory_arrived();
    }
    assert_says_why(w.save_rc, w.saved.why);
    assert_says_why(w.restore_rc, w.restored.why);
    assert_all_closed(w.src);
    assert_all_closed(w.dst);
}

static void assert_went_well(enum move move)
{
    ck_assert_msg(!w.save_rc, "%s", w.saved.why);
    ck_assert_msg(!w.restore_rc, "%s", w.restored.why);
    ck_assert_int_eq(w.saved.owner, XC_SR_OWNER_DONE);
    ck_assert(w.saved.stats.postcopy == (move == POSTCOPY));
    ck_assert(!w.src->dirty_log && !w.dst->paging);
    ck_assert_uint_eq(w.dst->claimed, 0);
    for ( unsigned int n = 0; n < FAKE_VCPUS; n++ )
        ck_assert_uint_eq(w.dst->vcpus[n].at, w.dst->vcpus[n].end);
    ck_assert_uint_eq(w.dst->requests, w.dst->responses);
    /* Where nobody pages a vCPU would wait for it, for ever. */
    ck_assert_uint_eq(fake_count(w.dst, FAKE_OUT), 0);
    ck_assert_uint_eq(fake_count(w.dst, FAKE_NOMINATED), 0);
}

static void move_it(void)
{
    pthread_t sender, receiver;

    ck_assert_int_eq(pthread_create(&receiver, NULL, receive_it, NULL), 0);
    ck_assert_int_eq(pthread_create(&sender, NULL, send_it, NULL), 0);
    pthread_join(sender, NULL);
    pthread_join(receiver, NULL);
}

/* True if the failure was met. */
static bool try_move(enum move move)
{
    const struct fake_host *hit;
    bool met;

    set_up(move);
    hit = order.side == SOURCE ? w.src : w.dst;
    move_it();
    assert_sane();
    met = order.nth && (order.sub ? hit->sub_calls : hit->calls) >= order.nth;
    if ( !met )
        assert_went_well(move);
    clean_up();
    return met;
}

/* ---- The matrix ------------------------------------------------------------------------ */

/* Source once, source for good, destination once, for good, and its batches. */
#define NR_CASES (NR_MOVES * 5)

START_TEST(every_call_fails)
{
    enum move move = (enum move)(_i / 5);

    order.side = _i % 5 >= 2 ? DESTINATION : SOURCE;
    order.for_good = _i % 5 % 2;
    order.sub = _i % 5 == 4;
    /* As the sanitizers see it in make check. */
    if ( getenv("XP_BRIEF") && (order.for_good || move != POSTCOPY) )
        return;
    for ( order.nth = 1; try_move(move); order.nth++ )
        ck_assert_uint_lt(order.nth, 5000);
}
END_TEST

START_TEST(without_a_failure_it_moves)
{
    memset(&order, 0, sizeof(order));
    ck_assert(!try_move((enum move)_i));
}
END_TEST

/* All pages are announced; then the guest gives one back. */
START_TEST(a_page_given_back_is_not_missing_for_ever)
{
    uint64_t pfn = 130; /* no vCPU touches it there */

    memset(&order, 0, sizeof(order));
    set_up(POSTCOPY);
    w.save.policy.max_iterations = 0;
    w.given_back = pfn;
    move_it();
    assert_sane();
    assert_went_well(POSTCOPY);
    clean_up();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hv_xen_nth");
    TCase *tc = tcase_create("matrix");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, without_a_failure_it_moves, 0, NR_MOVES);
    tcase_add_test(tc, a_page_given_back_is_not_missing_for_ever);
    tcase_add_loop_test(tc, every_call_fails, 0, NR_CASES);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

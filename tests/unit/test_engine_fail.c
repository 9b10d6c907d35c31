/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_fail.c: sender and receiver against each other, and something
 * goes wrong on either side.  Whatever it is, exactly one side runs the guest
 * or it is parked, somebody is told why, and nothing waits for ever.
 */
#include "engine_pair.inc.c"

/* ---- Refusals and failures before COMMIT -------------------------------------- */

START_TEST(test_refused_untouched)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.probe_error = -ENODEV;
    run(&p);
    assert_stays(&p);
    ck_assert(p.saved.refused);
    ck_assert_uint_eq(p.saved.refuse_reason, XC_SR_REASON_NO_PAGING);
    ck_assert_ptr_nonnull(strstr(p.saved.why, "no paging in this fake"));
    ck_assert(!p.src.dirty_on);
    ck_assert(!p.src.suspended);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_refused_no_memory)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.reserve_error = -ENOMEM;
    run(&p);
    assert_stays(&p);
    ck_assert_uint_eq(p.saved.refuse_reason, XC_SR_REASON_NO_MEMORY);
    pair_dispose(&p);
}
END_TEST

/* Version 2 asks nobody before: it is found out before it runs there. */
START_TEST(test_no_memory_in_version_2)
{
    struct pair p;

    pair_init(&p, 300, 2);
    p.dst.reserve_error = -ENOMEM;
    run(&p);
    ck_assert_int_eq(p.restore_rc, -ENOMEM);
    ck_assert_ptr_nonnull(strstr(p.restored.why, "not enough free memory"));
    ck_assert(!p.restored.ran);
    ck_assert(p.destroyed);
    ck_assert_int_ne(p.save_rc, 0);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_version_refused)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.restore.max_stream_version = 2;
    run(&p);
    assert_stays(&p);
    ck_assert(p.saved.refused);
    ck_assert_uint_eq(p.saved.refuse_reason, XC_SR_REASON_VERSION);
    pair_dispose(&p);
}
END_TEST

/* A record that cannot be written stops everything that depends on it. */
static const struct
{
    bool source;
    enum xc_sr_owner owner;
} journal_failures[] = {
    { true, XC_SR_OWNER_COMMITTED },
    { false, XC_SR_OWNER_PREP },
};

START_TEST(test_journal_failure)
{
    struct pair p;

    pair_init(&p, 300, 3);
    if ( journal_failures[_i].source )
        p.src_journal.fail_on = journal_failures[_i].owner;
    else
        p.dst_journal.fail_on = journal_failures[_i].owner;
    run(&p);
    assert_stays(&p);
    ck_assert(p.destroyed);
    pair_dispose(&p);
}
END_TEST

/* Records that cannot be written at the end: still one owner, and told. */
START_TEST(test_late_journal_failure)
{
    const enum xc_sr_owner late[] = { XC_SR_OWNER_DONE, XC_SR_OWNER_FINISHED };
    struct pair p;

    pair_init(&p, 300, 3);
    if ( late[_i] == XC_SR_OWNER_DONE )
        p.src_journal.fail_on = late[_i];
    else
        p.dst_journal.fail_on = late[_i];
    run(&p);
    ck_assert_int_ne(p.save_rc, 0);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(p.saved.why[0]);
    ck_assert(p.dst.unpaused);
    ck_assert(p.restored.whole);
    ck_assert(!p.dst.paging);
    ck_assert(!p.src.resumed);
    ck_assert(!p.destroyed);
    pair_dispose(&p);
}
END_TEST

/* RESUMED cannot be recorded: before COMMIT it runs here all the same. */
START_TEST(test_resumed_is_not_recorded)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.src_journal.fail_on = XC_SR_OWNER_RESUMED;
    if ( _i ) /* after COMMIT it stays parked: the record says COMMITTED */
        p.dst_journal.fail_on = XC_SR_OWNER_OWNER;
    else
        p.dst_journal.fail_on = XC_SR_OWNER_PREP;
    run(&p);
    ck_assert_int_ne(p.save_rc, 0);
    ck_assert_int_eq(p.saved.owner,
                     _i ? XC_SR_OWNER_COMMITTED : XC_SR_OWNER_RESUMED);
    ck_assert_int_eq(p.src.resumed, !_i);
    ck_assert(!p.dst.unpaused);
    pair_dispose(&p);
}
END_TEST

/* Bad parameters touch nobody's descriptors. */
START_TEST(test_bad_params)
{
    struct pair p;
    char c = 'x';

    pair_init(&p, 300, 3);
    p.save.recv_fd = -1;
    ck_assert_int_eq(dup2(p.fd[0], 0), 0);
    ck_assert_int_eq(xc_sr_save(&p.save, &p.saved), -EINVAL);
    ck_assert_int_eq(write(0, &c, 1), 1);
    ck_assert_int_eq(read(p.fd[1], &c, 1), 1);
    pair_dispose(&p);
}
END_TEST

/* A receiver that takes nothing any more does not keep anybody from giving
 * up. */
static void *abort_later(void *arg)
{
    usleep(100000);
    xc_sr_control_abort(arg);
    return NULL;
}

START_TEST(test_abort_while_the_wire_is_stuck)
{
    struct pair p;
    struct xc_sr_control *control = NULL;
    pthread_t thread;

    pair_init(&p, 3000, 3);
    p.save.plain = true;
    p.save.policy.allow_postcopy = false;
    p.save.policy.max_iterations = 3;
    ck_assert_int_eq(xc_sr_control_new(&control), 0);
    p.save.control = control;
    ck_assert_int_eq(pthread_create(&thread, NULL, abort_later, control), 0);
    p.save_rc = xc_sr_save(&p.save, &p.saved);
    pthread_join(thread, NULL);
    ck_assert_int_eq(p.save_rc, -ECANCELED);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_RESUMED);
    xc_sr_control_free(control);
    pair_dispose(&p);
}
END_TEST

/* OWNER cannot be recorded: it never ran there, NAK, the source resumes. */
START_TEST(test_nak_after_commit)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst_journal.fail_on = XC_SR_OWNER_OWNER;
    run(&p);
    assert_stays(&p);
    ck_assert(p.src.resumed);
    ck_assert(p.src.retained);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_FENCED);
    ck_assert(p.destroyed);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_unpause_never_works)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.unpause_failures = 1000;
    run(&p);
    assert_stays(&p);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_FENCED);
    pair_dispose(&p);
}
END_TEST

/* The Nth call of either hypervisor fails: one owner or none harmed. */
static void check_one_owner(const struct pair *p, uint64_t n)
{
    bool runs_there = p->dst.unpaused;
    bool runs_here = p->saved.owner == XC_SR_OWNER_RESUMED;

    ck_assert_msg(!(runs_there && runs_here), "call %llu: two owners",
                  (unsigned long long)n);
    ck_assert_msg(runs_there || runs_here ||
                      p->saved.owner == XC_SR_OWNER_COMMITTED,
                  "call %llu: nobody has it (save %d %s)",
                  (unsigned long long)n, p->save_rc, p->saved.why);
    if ( p->save_rc )
        ck_assert_msg(p->saved.why[0], "call %llu: no reason given",
                      (unsigned long long)n);
}

START_TEST(test_hv_call_failures)
{
    uint64_t n;

    for ( n = 1; n < 400; n++ )
    {
        struct pair p;
        bool reached;

        pair_init(&p, 120, 3);
        p.src.suspend_seen = true;
        p.src.dirty_per_fetch = 5;
        p.dst.faults_wanted = 4;
        p.save.policy.max_iterations = 1;
        if ( _i )
            p.dst.hv.fail_at = n;
        else
            p.src.hv.fail_at = n;
        run(&p);
        check_one_owner(&p, n);
        reached = (_i ? p.dst.hv.calls : p.src.hv.calls) >= n;
        pair_dispose(&p);
        if ( !reached )
            break;
    }
    ck_assert_uint_gt(n, 10);
    ck_assert_uint_lt(n, 400);
}
END_TEST

START_TEST(test_abort_by_control)
{
    struct pair p;
    struct xc_sr_control *control = NULL;

    pair_init(&p, 300, 3);
    ck_assert_int_eq(xc_sr_control_new(&control), 0);
    ck_assert_int_eq(xc_sr_control_abort(control), 0);
    p.save.control = control;
    run(&p);
    assert_stays(&p);
    ck_assert_int_eq(p.save_rc, -ECANCELED);
    xc_sr_control_free(control);
    pair_dispose(&p);
}
END_TEST

/* The guest is destroyed at the destination while it owes pages. */
static void kill_guest(void *ctx)
{
    struct pair *p = ctx;
    uint64_t one = 1;

    p->dst.gone = true;
    ck_assert_int_eq(write(p->dst.gone_fd, &one, sizeof(one)), sizeof(one));
}

/* The guest balloons while it is being moved: announced pages lose memory. */
static void balloon_down(void *ctx, const struct xc_sr_progress *progress)
{
    struct pair *p = ctx;

    if ( progress->phase != XC_SR_PHASE_POSTCOPY )
        return;
    for ( uint64_t pfn = 4000; pfn < 4050; pfn++ )
    {
        p->src.types[pfn] = XC_SR_PTYPE_XTAB;
        p->ballooned = true;
    }
}

START_TEST(test_announced_page_becomes_a_hole)
{
    struct pair p;

    pair_init(&p, 5000, 3);
    p.save.deny_features = _i ? XC_SR_FEATURE_ZERO_PAGES : 0;
    p.save.max_postcopy_bandwidth_bytes_per_s = 40 << 20;
    p.save.progress = balloon_down;
    p.save.progress_ctx = &p;
    run(&p);
    assert_moved(&p);
    ck_assert(p.ballooned);
    ck_assert_uint_eq(p.dst.memory[4049 * XC_SR_PAGE_SIZE], 0);
    ck_assert(!p.dst.missing[4049]);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_guest_gone)
{
    struct pair p;

    pair_init(&p, 5000, 3);
    p.save.max_postcopy_bandwidth_bytes_per_s = _i ? 4 << 20 : 0;
    p.restore.running = kill_guest;
    run(&p);
    ck_assert_int_eq(p.save_rc, 0);
    ck_assert_int_eq(p.restore_rc, 0);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_DONE);
    if ( _i )
    {
        ck_assert_uint_gt(p.restored.stats.abandoned, 0);
        ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_ENDED);
        ck_assert(p.saved.peer_stats_valid);
        ck_assert_uint_eq(p.saved.peer_stats.abandoned,
                          p.restored.stats.abandoned);
    }
    pair_dispose(&p);
}
END_TEST

/* It crashes with its first instruction, while its device model is told that
 * it runs: nobody wants the rest, and it is not said that it never ran. */
START_TEST(test_guest_gone_at_once)
{
    struct pair p;

    pair_init(&p, 5000, 3);
    p.save.max_postcopy_bandwidth_bytes_per_s = 4 << 20;
    p.dst.unpause_crashes = true;
    run(&p);
    ck_assert_int_eq(p.save_rc, 0);
    ck_assert_int_eq(p.restore_rc, 0);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_DONE);
    ck_assert_uint_gt(p.restored.stats.abandoned, 0);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_ENDED);
    ck_assert_str_eq(p.restored.why, "");
    ck_assert(!p.destroyed);
    pair_dispose(&p);
}
END_TEST

/* It may have started: it is not fenced, and the source stays parked. */
START_TEST(test_unpause_of_unknown_outcome)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.unpause_unknown = true;
    run(&p);
    ck_assert_int_ne(p.restore_rc, 0);
    ck_assert(p.restored.ran);
    ck_assert(!p.destroyed);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(!p.src.resumed);
    pair_dispose(&p);
}
END_TEST

/* A guest that cannot be ended is no ground for a NAK. */
START_TEST(test_no_nak_over_a_live_guest)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.unpause_failures = 1000;
    p.destroy_rc = -EBUSY;
    run(&p);
    ck_assert(p.destroyed);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(!p.src.resumed);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_resume_that_fails_is_told)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.src.resume_fails = true;
    p.dst_journal.fail_on = XC_SR_OWNER_PREP;
    run(&p);
    ck_assert_int_ne(p.save_rc, 0);
    ck_assert(p.saved.suspended_here);
    pair_dispose(&p);
}
END_TEST

/* The layer above never says what it has to: the guest does not wait. */
static int upper_says_nothing(void *ctx, void *buf, size_t cap, size_t *len_r,
                              bool *done_r)
{
    (void)ctx;
    (void)buf;
    (void)cap;
    *len_r = 0;
    *done_r = false;
    return 0;
}

START_TEST(test_silent_upper_layer)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.save.upper.read = upper_says_nothing;
    p.save.upper.ready_fd = -1;
    p.save.ready_timeout_us = 300000;
    run(&p);
    assert_stays(&p);
    ck_assert_int_eq(p.save_rc, -ETIMEDOUT);
    ck_assert(p.src.resumed);
    pair_dispose(&p);
}
END_TEST

/* A limit is one: time is at least what the octets take. */
START_TEST(test_rate_limits)
{
    const uint64_t rate = 8u << 20;
    struct pair p;
    uint64_t us, bytes;

    pair_init(&p, 1200, 3);
    if ( _i )
        p.save.max_postcopy_bandwidth_bytes_per_s = rate;
    else
    {
        p.save.max_bandwidth_bytes_per_s = rate;
        p.save.policy.max_iterations = 1;
        p.save.policy.allow_postcopy = false;
    }
    run(&p);
    assert_moved(&p);
    us = p.saved.stats.end_us - p.saved.stats.start_us;
    bytes = _i ? p.saved.stats.bytes_push : p.saved.stats.bytes_precopy;
    ck_assert_uint_gt(bytes, 3u << 20);
    /* A fiftieth of a second may be in credit at the start. */
    ck_assert_uint_ge(us + 40000, bytes * 1000000u / rate);
    pair_dispose(&p);
}
END_TEST

/* Zero pages travel for nearly nothing, which is no slow link. */
START_TEST(test_zero_pages_do_not_look_slow)
{
    struct pair p;

    pair_init(&p, 5000, 3);
    memset(p.src.memory, 0, 5000 * XC_SR_PAGE_SIZE);
    p.src.dirty_per_fetch = 300;
    p.save.policy.max_iterations = 4;
    p.save.policy.threshold_pages = 1;
    run(&p);
    assert_moved(&p);
    /* The first round sent 5000 pages faster than 300 were dirtied. */
    ck_assert_uint_gt(p.saved.stats.nr_rounds, 1);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_bytes_add_up)
{
    struct pair p;
    const struct xc_sr_stats *st = &p.saved.stats;

    pair_init(&p, 700, 3);
    p.save.policy.max_iterations = 1;
    p.src.dirty_per_fetch = 100;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_eq(st->bytes_precopy + st->bytes_resume_set +
                          st->bytes_announce + st->bytes_state +
                          st->bytes_fault + st->bytes_push + st->bytes_upper +
                          st->bytes_other,
                      st->bytes_total);
    ck_assert_uint_lt(st->bytes_other, 1000);
    pair_dispose(&p);
}
END_TEST

/* ---- Losing the peer ---------------------------------------------------------------- */

/* The receiver stops after so many octets of the stream. */
START_TEST(test_receiver_dies_early)
{
    struct pair p;
    uint8_t junk[4096];

    pair_init(&p, 300, 3);
    ck_assert_int_eq(shutdown(p.fd[1], SHUT_WR), 0);
    p.save_rc = xc_sr_save(&p.save, &p.saved);
    assert_stays(&p);
    ck_assert_int_gt(read(p.fd[1], junk, sizeof(junk)), 0);
    pair_dispose(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_fail");
    TCase *tc = tcase_create("engine_fail");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_refused_untouched);
    tcase_add_test(tc, test_refused_no_memory);
    tcase_add_test(tc, test_no_memory_in_version_2);
    tcase_add_test(tc, test_version_refused);
    tcase_add_loop_test(tc, test_journal_failure, 0,
                        XC_SR_ARRAY_SIZE(journal_failures));
    tcase_add_loop_test(tc, test_late_journal_failure, 0, 2);
    tcase_add_loop_test(tc, test_resumed_is_not_recorded, 0, 2);
    tcase_add_test(tc, test_bad_params);
    tcase_add_test(tc, test_abort_while_the_wire_is_stuck);
    tcase_add_test(tc, test_nak_after_commit);
    tcase_add_test(tc, test_unpause_never_works);
    tcase_add_loop_test(tc, test_hv_call_failures, 0, 2);
    tcase_add_test(tc, test_abort_by_control);
    tcase_add_loop_test(tc, test_announced_page_becomes_a_hole, 0, 2);
    tcase_add_loop_test(tc, test_guest_gone, 0, 2);
    tcase_add_test(tc, test_guest_gone_at_once);
    tcase_add_test(tc, test_unpause_of_unknown_outcome);
    tcase_add_test(tc, test_no_nak_over_a_live_guest);
    tcase_add_test(tc, test_resume_that_fails_is_told);
    tcase_add_test(tc, test_silent_upper_layer);
    tcase_add_loop_test(tc, test_rate_limits, 0, 2);
    tcase_add_test(tc, test_zero_pages_do_not_look_slow);
    tcase_add_test(tc, test_bytes_add_up);
    tcase_add_test(tc, test_receiver_dies_early);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

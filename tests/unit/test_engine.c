/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine.c: sender and receiver against each other, over a socketpair,
 * with hypervisors in memory.  What is asserted is what a user would notice:
 * every page arrived as it was when the guest was suspended, exactly one side
 * runs it, and a refusal leaves it alone.
 */
#include "engine_pair.inc.c"

/* ---- Moves ------------------------------------------------------------------ */

/* version, rounds, dirty pages a fetch, SEEN, faults */
static const struct
{
    unsigned int version, rounds, dirty, faults;
    bool seen, postcopy;
} moves[] = {
    { 3, 0, 0, 0, true, true },     { 3, 0, 40, 30, true, true },
    { 3, 1, 200, 30, true, true },  { 3, 3, 200, 64, false, true },
    { 3, 3, 100, 0, false, false }, { 3, 0, 10, 0, true, false },
    { 2, 0, 40, 30, true, true },   { 2, 2, 100, 30, false, true },
};

START_TEST(test_moves)
{
    struct pair p;

    pair_init(&p, 700, moves[_i].version);
    p.save.policy.max_iterations = moves[_i].rounds;
    p.save.policy.allow_postcopy = moves[_i].postcopy;
    p.src.dirty_per_fetch = moves[_i].dirty;
    p.src.suspend_seen = moves[_i].seen;
    p.dst.faults_wanted = moves[_i].faults;
    p.dst.foreign = moves[_i].faults / 3;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_eq(p.dst.faults_answered, moves[_i].faults);
    ck_assert_uint_eq(p.restored.stats.faults, moves[_i].faults);
    ck_assert_uint_eq(p.restored.stats.faults_foreign, moves[_i].faults / 3);
    ck_assert_uint_eq(p.restored.stats.duplicates, 0);
    if ( moves[_i].version == 3 )
    {
        ck_assert(p.saved.peer_stats_valid);
        ck_assert_uint_eq(p.saved.peer_stats.faults, moves[_i].faults);
        ck_assert_uint_eq(p.saved.peer_stats.faults_foreign,
                          moves[_i].faults / 3);
        ck_assert_uint_eq(p.src_journal.nr, 2);
        ck_assert_uint_eq(p.src_journal.seen[0], XC_SR_OWNER_COMMITTED);
        ck_assert_uint_eq(p.src_journal.seen[1], XC_SR_OWNER_DONE);
        ck_assert_uint_eq(p.dst_journal.nr, 3);
        ck_assert_uint_eq(p.dst_journal.seen[0], XC_SR_OWNER_PREP);
        ck_assert_uint_eq(p.dst_journal.seen[1], XC_SR_OWNER_OWNER);
        ck_assert_uint_eq(p.dst_journal.seen[2], XC_SR_OWNER_FINISHED);
    }
    ck_assert_int_eq(p.saved.stats.postcopy, moves[_i].postcopy);
    if ( moves[_i].postcopy && moves[_i].rounds == 0 )
        ck_assert_uint_eq(p.saved.stats.pages_fault + p.saved.stats.pages_push +
                              p.saved.stats.pages_resume_set +
                              p.saved.stats.pages_precopy,
                          699u); /* one of 700 is a hole */
    pair_dispose(&p);
}
END_TEST

/* Pages the guest touches while it suspends are never paged out. */
START_TEST(test_resume_set_is_present)
{
    struct pair p;

    pair_init(&p, 700, 3);
    p.src.suspend_seen = true;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_ge(p.saved.stats.pages_resume_set, 1);
    ck_assert_uint_lt(p.saved.stats.pages_resume_set, 10);
    ck_assert_uint_eq(p.saved.stats.pages_announced +
                          p.saved.stats.pages_resume_set +
                          p.saved.stats.pages_precopy,
                      699); /* one of 700 is a hole */
    pair_dispose(&p);
}
END_TEST

/* However long one vCPU takes, the page of the other one stays in the set. */
START_TEST(test_resume_set_of_slow_vcpus)
{
    struct pair p;

    pair_init(&p, 700, 3);
    p.src.suspend_seen = _i & 1;
    p.src.suspend_slow = 20;
    p.save.max_postcopy_bandwidth_bytes_per_s = 8 << 20;
    run(&p);
    assert_moved(&p);
    ck_assert_msg(p.dst.present_at_start[p.dst.nr_pfns - 1],
                  "the first vCPU's page was paged out");
    pair_dispose(&p);
}
END_TEST

START_TEST(test_leave_paused)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.restore.leave_paused = true;
    run(&p);
    assert_moved(&p);
    ck_assert(p.dst.left_paused);
    pair_dispose(&p);
}
END_TEST

/* Its administrator had paused it: it arrives as it left. */
START_TEST(test_paused_stays_paused)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.src.hv.info.paused = true;
    run(&p);
    assert_moved(&p);
    ck_assert(p.dst.left_paused);
    pair_dispose(&p);
}
END_TEST

START_TEST(test_unpause_is_retried)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.dst.unpause_failures = 3;
    run(&p);
    assert_moved(&p);
    pair_dispose(&p);
}
END_TEST

/* Who unpauses it may need a page first; the push alone is too slow. */
START_TEST(test_unpause_may_need_pages)
{
    struct pair p;

    pair_init(&p, 3000, 3);
    p.save.max_postcopy_bandwidth_bytes_per_s = 8 << 20;
    p.dst.unpause_needs_page = true;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_ge(p.restored.stats.faults, 1);
    pair_dispose(&p);
}
END_TEST

static void when_it_is_said(void *ctx, enum xc_sr_log_level level,
                            const char *line)
{
    (void)level;
    if ( strstr(line, "still being started") )
        atomic_store((atomic_bool *)ctx, true);
}

/* However long that takes: what has been begun is not given up. */
START_TEST(test_unpause_may_take_long)
{
    atomic_bool said = false;
    const struct xc_sr_log log = { when_it_is_said, &said, XC_SR_LOG_WARN };
    struct pair p;

    pair_init(&p, 3000, 3);
    p.restore.commit_timeout_us = 2000000;
    p.restore.log = &log;
    p.dst.unpause_waits_for = &said;
    run(&p);
    assert_moved(&p);
    ck_assert(atomic_load(&said));
    pair_dispose(&p);
}
END_TEST

START_TEST(test_features_can_be_denied)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.save.deny_features = XC_SR_FEATURE_ZERO_PAGES;
    p.restore.deny_features = XC_SR_FEATURE_ACK;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_eq(p.saved.stats.features,
                      XC_SR_FEATURE_STATS | XC_SR_FEATURE_KEEPALIVE);
    ck_assert_uint_eq(p.saved.stats.pages_zero, 0);
    pair_dispose(&p);
}
END_TEST

/* Some pages the guest cannot wait for, whether they were written or not. */
START_TEST(test_pinned_is_present)
{
    struct pair p;

    pair_init(&p, 700, 3);
    p.save.policy.max_iterations = (unsigned int)_i;
    p.src.pinned_pfn = 123;
    run(&p);
    assert_moved(&p);
    ck_assert(p.dst.present_at_start[123]);
    pair_dispose(&p);
}
END_TEST

/* And some the destination cannot page out: they come before it runs. */
START_TEST(test_busy_page_comes_first)
{
    struct pair p;

    pair_init(&p, 700, _i ? 2 : 3);
    p.dst.busy_pfn = 650;
    run(&p);
    assert_moved(&p);
    ck_assert(p.dst.present_at_start[650]);
    ck_assert_uint_ge(p.saved.stats.pages_fault, 1);
    pair_dispose(&p);
}
END_TEST

/* What a backend is told besides blobs, and how often. */
START_TEST(test_state_in_order)
{
    struct pair p;

    pair_init(&p, 300, _i ? 2 : 3);
    run(&p);
    assert_moved(&p);
    ck_assert_uint_eq(p.dst.static_data_done, 1);
    ck_assert_uint_eq(p.dst.early_params, _i ? 0 : 1);
    ck_assert(p.dst.state_done);
    pair_dispose(&p);
}
END_TEST

/* A device model that starts: it reads a page of the guest, and is ready
 * once it has got it. */
static int prepare_with_page(void *ctx, bool *ready_r)
{
    struct fake_guest *g = &((struct pair *)ctx)->dst;

    if ( !g->faults_wanted )
        for ( uint64_t pfn = g->nr_pfns; pfn-- && !g->nr_faults; )
            if ( g->missing[pfn] )
                g->faults[g->nr_faults++] = pfn;
    g->faults_wanted = 1; /* this was it */
    *ready_r = g->faults_answered != 0;
    return 0;
}

START_TEST(test_prepare_may_need_pages)
{
    int fd = eventfd(1, EFD_CLOEXEC);
    struct pair p;

    pair_init(&p, 600, 3);
    p.restore.prepare = prepare_with_page;
    p.restore.prepare_fd = fd;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_ge(p.restored.stats.faults, 1);
    ck_assert_uint_ge(p.dst.faults_answered, 1);
    pair_dispose(&p);
    close(fd);
}
END_TEST

START_TEST(test_prepare_has_its_time)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    struct pair p;

    pair_init(&p, 600, 3);
    p.dst.faults_wanted = 1; /* no fault, so it never gets ready */
    p.restore.prepare = prepare_with_page;
    p.restore.prepare_fd = fd;
    p.restore.stall_timeout_us = 300000;
    run(&p);
    assert_stays(&p);
    ck_assert_int_eq(p.restore_rc, -ETIMEDOUT);
    ck_assert_str_eq(p.restored.why, "the guest was not prepared in 300 ms");
    ck_assert(p.destroyed);
    pair_dispose(&p);
    close(fd);
}
END_TEST

START_TEST(test_plain)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.save.plain = true;
    p.save.policy.allow_postcopy = false;
    p.save.policy.max_iterations = 2;
    p.src.dirty_per_fetch = 50;
    run(&p);
    ck_assert_int_eq(p.save_rc, 0);
    ck_assert_int_eq(p.restore_rc, 0);
    ck_assert(p.restored.plain);
    ck_assert(!p.dst.unpaused);
    assert_memory_equal(&p);
    pair_dispose(&p);
}
END_TEST

/* ---- A slow wire ------------------------------------------------------------------ */

/* What a round has left in the queue is out before the dirty log is read. */
START_TEST(test_slow_wire_keeps_its_pages)
{
    int octets = 4608;
    struct pair p;

    pair_init(&p, 300, 3);
    ck_assert_int_eq(
        setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &octets, sizeof(octets)), 0);
    p.save.policy.max_iterations = 3;
    p.src.dirty_per_fetch = 40;
    run(&p);
    assert_moved(&p);
    pair_dispose(&p);
}
END_TEST

/* ---- What people see ------------------------------------------------------------ */

static void note_progress(void *ctx, const struct xc_sr_progress *progress)
{
    uint64_t *worst = ctx;

    if ( progress->total_pages != 250 || progress->done_pages > 250 )
        *worst = progress->total_pages;
}

/* Holes above the guest's memory are not among the pages that are counted. */
START_TEST(test_progress_counts_pages_not_pfns)
{
    uint64_t worst = 0;
    struct pair p;

    pair_init(&p, 300, 3);
    p.src.hv.info.nr_pages = p.dst.hv.info.nr_pages = 250;
    p.save.progress = p.restore.progress = note_progress;
    p.save.progress_ctx = p.restore.progress_ctx = &worst;
    run(&p);
    assert_moved(&p);
    ck_assert_uint_eq(worst, 0);
    pair_dispose(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *tc = tcase_create("engine");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_moves, 0, XC_SR_ARRAY_SIZE(moves));
    tcase_add_test(tc, test_progress_counts_pages_not_pfns);
    tcase_add_test(tc, test_slow_wire_keeps_its_pages);
    tcase_add_test(tc, test_resume_set_is_present);
    tcase_add_loop_test(tc, test_resume_set_of_slow_vcpus, 0, 2);
    tcase_add_test(tc, test_leave_paused);
    tcase_add_test(tc, test_paused_stays_paused);
    tcase_add_test(tc, test_unpause_is_retried);
    tcase_add_test(tc, test_unpause_may_need_pages);
    tcase_add_test(tc, test_unpause_may_take_long);
    tcase_add_test(tc, test_features_can_be_denied);
    tcase_add_loop_test(tc, test_pinned_is_present, 0, 2);
    tcase_add_loop_test(tc, test_busy_page_comes_first, 0, 2);
    tcase_add_loop_test(tc, test_state_in_order, 0, 2);
    tcase_add_test(tc, test_prepare_may_need_pages);
    tcase_add_test(tc, test_prepare_has_its_time);
    tcase_add_test(tc, test_plain);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

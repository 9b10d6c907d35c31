/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_start.c: between COMMIT and RUNNING, where the guest is being
 * started: what fails then, and a guest that is not started after all; and a
 * pager that cannot take the place of a dead one.
 */
#include "recover_world.inc.c"

/* It is not the connection that fails meanwhile, but the loading of pages: the
 * source has sent them, and sends them again only to who has lost it. */
START_TEST(test_page_lost_while_unpausing)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.policy.max_iterations = 0;
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.dst.unpause_needs_page = true;
    w->p.dst.page_in_failures = 1;
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_eq(w->p.restored.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* Pages are lost while it is being started, and nobody recovers: that it has
 * started does not make them come, so nobody waits for them for ever. */
START_TEST(test_page_lost_for_good)
{
    struct pair p;

    pair_init(&p, 3000, 3);
    p.save.max_postcopy_bandwidth_bytes_per_s = 8 << 20;
    p.dst.unpause_calls = 200;
    p.dst.page_in_failures = 1;
    run(&p);
    ck_assert_int_eq(p.restore_rc, -EIO);
    ck_assert(p.restored.ran);
    ck_assert(!p.restored.whole);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_OWNER);
    ck_assert_ptr_nonnull(strstr(p.restored.why, "cannot load"));
    ck_assert(!p.destroyed);
    ck_assert_int_eq(p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(!p.src.resumed);
    pair_dispose(&p);
}
END_TEST

static int destroy_for_good(void *ctx)
{
    struct pair *p = ctx;
    uint64_t one = 1;

    p->dst.gone = true;
    ck_assert_int_eq(write(p->dst.gone_fd, &one, sizeof(one)), sizeof(one));
    return on_destroy(p);
}

/* What the source sent before it read NAK does not hide its END. */
START_TEST(test_nak_while_pages_come)
{
    struct pair p;

    pair_init(&p, 5000, 3);
    p.save.deny_features = XC_SR_FEATURE_ACK; /* no rests */
    p.save.policy.max_iterations = 0;
    p.dst_journal.fail_on = XC_SR_OWNER_OWNER;
    p.restore.destroy = destroy_for_good;
    run(&p);
    assert_stays(&p);
    ck_assert(p.src.resumed);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_FENCED);
    ck_assert(p.destroyed);
    ck_assert(p.restored.end_seen);
    pair_dispose(&p);
}
END_TEST

/* No memory for its lists, or the hypervisor does not say which pages are
 * missing: what the record says holds on, and nothing is undone or said. */
START_TEST(test_pager_is_not_replaced)
{
    const struct xc_sr_record_of from = { XC_SR_OWNER_OWNER, { 1 }, 3 };
    struct pair p;
    char octet;

    pair_init(&p, 300, 3);
    if ( _i )
        p.dst.hv.fail_at = 2; /* paging_on(), is_missing() */
    else
        p.dst.hv.info.nr_pfns = 1ULL << 60;
    p.restore.from = &from;
    ck_assert_int_ne(xc_sr_restore(&p.restore, &p.restored), 0);
    ck_assert_int_eq(p.restored.owner, XC_SR_OWNER_OWNER);
    ck_assert(p.restored.ran && !p.restored.whole);
    ck_assert(!p.destroyed);
    ck_assert_int_eq(p.dst.paging, _i);
    ck_assert_uint_eq(p.dst_journal.nr, 0);
    ck_assert_int_eq(recv(p.fd[0], &octet, 1, MSG_DONTWAIT), -1);
    pair_dispose(&p);
}
END_TEST

/* Sanitizers do not let so large an allocation fail in silence. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FIRST_CAUSE 1
#else
#define FIRST_CAUSE 0
#endif

int main(void)
{
    Suite *suite = suite_create("engine_start");
    TCase *tc = tcase_create("start");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_page_lost_while_unpausing);
    tcase_add_test(tc, test_page_lost_for_good);
    tcase_add_test(tc, test_nak_while_pages_come);
    tcase_add_loop_test(tc, test_pager_is_not_replaced, FIRST_CAUSE, 2);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_unsure.c: a record of who owns the guest that may be on the disk
 * or may not: whichever is read later, one side runs it.
 */
#include "recover_world.inc.c"

/*
 * COMMITTED is on the record, or is not: COMMIT is not said.  The guest runs
 * here if that can be recorded; else nobody runs it, and the record can be
 * read to mean that somebody else does.
 */
START_TEST(test_committed_is_perhaps_recorded)
{
    struct pair p;

    pair_init(&p, 300, 3);
    p.src_journal.unsure_of = XC_SR_OWNER_COMMITTED;
    if ( _i )
        p.src_journal.fail_on = XC_SR_OWNER_RESUMED;
    run(&p);
    ck_assert_int_ne(p.save_rc, 0);
    ck_assert(strstr(p.saved.why, "COMMITTED") != NULL);
    ck_assert(!p.dst.unpaused);
    ck_assert(p.destroyed);
    ck_assert_int_eq(p.src.resumed, !_i);
    ck_assert_int_eq(p.saved.owner,
                     _i ? XC_SR_OWNER_COMMITTED : XC_SR_OWNER_RESUMED);
    ck_assert_int_eq(p.src_journal.seen[p.src_journal.nr - 1], p.saved.owner);
    pair_dispose(&p);
}
END_TEST

/* Parked because nobody knew whether COMMITTED is on the disk: the record that
 * is read later is acted upon, and the destination, which waits, runs it. */
START_TEST(test_perhaps_committed_is_recovered)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.src_journal.unsure_of = XC_SR_OWNER_COMMITTED;
    w->p.src_journal.fail_on = XC_SR_OWNER_RESUMED;
    start(w);
    pthread_join(w->src_thread, NULL);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(!w->p.src.resumed);
    while ( !atomic_load(&w->dst_losses) )
        nap();
    ck_assert(!w->p.dst.unpaused);
    w->p.src_journal.unsure_of = w->p.src_journal.fail_on = XC_SR_OWNER_NONE;
    restart_source(w);
    ck_assert(w->p.dst.unpaused);
    world_dispose(w);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_unsure");
    TCase *tc = tcase_create("unsure");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_committed_is_perhaps_recorded, 0, 2);
    tcase_add_test(tc, test_perhaps_committed_is_recovered);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

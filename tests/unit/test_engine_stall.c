/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_stall.c: a sender and a receiver on one machine that stands
 * still.  The world is that of recovery, recover_world.inc.c.
 */
#include "recover_world.inc.c"

/* Both sides of one machine; the first to go on is the last to stop. */
struct machine
{
    atomic_bool stands;  /* the other side */
    atomic_bool goes_on; /* the first */
    unsigned int seen;
};

static void stand_longer(void *ctx, const struct xc_sr_progress *progress)
{
    struct machine *m = ctx;

    if ( progress->phase != XC_SR_PHASE_POSTCOPY || atomic_load(&m->stands) )
        return;
    atomic_store(&m->stands, true);
    while ( !atomic_load(&m->goes_on) )
        nap();
    usleep(300000); /* time to find nothing said */
}

/* Has read all that the other has said, and then longer than it may be silent. */
static void stand(void *ctx, const struct xc_sr_progress *progress)
{
    struct machine *m = ctx;

    (void)progress;
    if ( !atomic_load(&m->stands) || m->seen++ != 2 )
        return;
    usleep(2500000);
    atomic_store(&m->goes_on, true);
}

/* Nobody spoke because nobody ran: no connection is lost by that. */
START_TEST(test_stall_is_not_silence)
{
    struct world *w = calloc(1, sizeof(*w));
    struct machine m = { .seen = 0 };

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.silence_timeout_us = w->p.restore.silence_timeout_us = 2000000;
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 100000;
    w->p.save.policy.max_iterations = 0;
    w->p.save.progress = _i ? stand : stand_longer;
    w->p.restore.progress = _i ? stand_longer : stand;
    w->p.save.progress_ctx = w->p.restore.progress_ctx = &m;
    start(w);
    operate(w, NULL, 0);
    ck_assert(atomic_load(&m.goes_on));
    ck_assert_uint_eq(w->p.saved.stats.losses, 0);
    ck_assert_uint_eq(w->p.restored.stats.losses, 0);
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine-stall");
    TCase *tc = tcase_create("stall");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_stall_is_not_silence, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_crash.c: the guest crashes at its destination while pages of it
 * are missing, and is kept for a dump.  They come as long as there is a
 * connection; nobody waits for another one.
 */
#include "recover_world.inc.c"

static void end_guest(struct fake_guest *g, bool crashes)
{
    g->crashed = crashes;
    g->gone = true;
    ck_assert_int_eq(eventfd_write(g->gone_fd, 1), 0);
}

static void crash(void *ctx)
{
    struct world *w = ctx;

    end_guest(&w->p.dst, true);
    atomic_store(&w->dst_runs, true);
}

static struct world *new_world(struct plan first)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, first);
    w->p.save.policy.max_iterations = 0;
    w->p.restore.running = crash;
    w->p.restore.ctx = w;
    return w;
}

static void end_world(struct world *w)
{
    world_dispose(w);
    free(w);
}

static void when_it_is_said(void *ctx, enum xc_sr_log_level level,
                            const char *line)
{
    (void)level;
    if ( strstr(line, "has crashed") )
        atomic_store((atomic_bool *)ctx, true);
}

/* And whoever moved it hears of it: the migration itself does not fail. */
START_TEST(test_a_crashed_guest_gets_its_pages)
{
    atomic_bool said = false;
    const struct xc_sr_log log = { when_it_is_said, &said, XC_SR_LOG_WARN };
    struct world *w = new_world((struct plan){ NOTHING });

    w->p.restore.log = &log;
    start(w);
    join(w);
    ck_assert_int_eq(w->p.save_rc, 0);
    ck_assert_int_eq(w->p.restore_rc, 0);
    ck_assert_uint_gt(w->p.restored.stats.pages_announced, 0);
    ck_assert_uint_eq(w->p.restored.stats.abandoned, 0);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_FINISHED);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_DONE);
    ck_assert(atomic_load(&said));
    assert_memory_equal(&w->p);
    end_world(w);
}
END_TEST

static void crash_when_whole(void *ctx, const struct xc_sr_progress *p)
{
    struct world *w = ctx;

    if ( p->phase == XC_SR_PHASE_DONE && !w->p.dst.crashed )
        end_guest(&w->p.dst, true);
}

static void run_on(void *ctx)
{
    struct world *w = ctx;

    atomic_store(&w->dst_runs, true);
}

/* Not one page is missing any more, and still it is not done. */
START_TEST(test_a_crash_at_the_very_end_is_said)
{
    atomic_bool said = false;
    const struct xc_sr_log log = { when_it_is_said, &said, XC_SR_LOG_WARN };
    struct world *w = new_world((struct plan){ NOTHING });

    w->p.restore.log = &log;
    w->p.restore.running = run_on;
    w->p.restore.progress = crash_when_whole;
    w->p.restore.progress_ctx = w;
    start(w);
    join(w);
    ck_assert_int_eq(w->p.restore_rc, 0);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_FINISHED);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_DONE);
    ck_assert(w->p.dst.crashed);
    ck_assert(atomic_load(&said));
    end_world(w);
}
END_TEST

static void crash_and_lose_it(void *ctx)
{
    struct world *w = ctx;

    crash(ctx);
    shutdown(w->conns[0].dst, SHUT_RDWR);
}

/* With its connection, or what is left of it, they are given up; also where
 * the next one could have been waited for. */
START_TEST(test_a_crashed_guest_waits_for_no_connection)
{
    struct world *w = new_world((struct plan){ NOTHING });

    /* Nothing may be complete before it is lost. */
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.restore.running = crash_and_lose_it;
    w->p.restore.recovery.enabled = _i;
    w->p.restore.recovery.pause = true;
    start(w);
    operate(w, NULL, 0);
    ck_assert(atomic_load(&w->dst_runs));
    ck_assert_int_eq(w->p.restore_rc, 0);
    ck_assert_uint_gt(w->p.restored.stats.abandoned, 0);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_ENDED);
    ck_assert_uint_eq(w->p.dst.pauses, 0);
    /* Which the source has read, or was told by the record. */
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_DONE);
    end_world(w);
}
END_TEST

/* Dumped, or not wanted: whoever saw to it destroys it. */
static void on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct world *w = ctx;

    if ( atomic_load(&w->dst_runs) && p->phase == XC_SR_PHASE_POSTCOPY &&
         w->p.dst.crashed )
        end_guest(&w->p.dst, false);
}

START_TEST(test_a_crashed_guest_is_destroyed)
{
    struct world *w = new_world((struct plan){ NOTHING });

    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.restore.progress = on_progress;
    w->p.restore.progress_ctx = w;
    start(w);
    join(w);
    ck_assert_int_eq(w->p.restore_rc, 0);
    ck_assert_uint_gt(w->p.restored.stats.abandoned, 0);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_ENDED);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_DONE);
    end_world(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_crash");
    TCase *tc = tcase_create("crash");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_a_crashed_guest_gets_its_pages);
    tcase_add_test(tc, test_a_crash_at_the_very_end_is_said);
    tcase_add_loop_test(tc, test_a_crashed_guest_waits_for_no_connection, 0, 2);
    tcase_add_test(tc, test_a_crashed_guest_is_destroyed);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

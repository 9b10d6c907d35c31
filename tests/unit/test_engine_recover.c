/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_recover.c: a sender and a receiver whose connections are cut,
 * silenced and half-closed at chosen octets, and an operator who opens the
 * next one.  Whatever happens: exactly one guest runs, and it is whole.
 *
 * How connections fail and who opens the next is in recover_world.inc.c.
 */
#include <fcntl.h>

#include "recover_world.inc.c"

/* ---- Cuts ------------------------------------------------------------------------ */

static void run_with(struct plan first, const struct plan *plans,
                     unsigned int nr)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, first);
    start(w);
    operate(w, plans, nr);
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}

/* How long the two streams are when nothing is cut; faults make them vary. */
static void measure(size_t *fwd_r, size_t *back_r)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    start(w);
    join(w);
    assert_one_whole_guest(w);
    *fwd_r = w->p.saved.stats.bytes_total;
    *back_r = w->p.saved.stats.bytes_back;
    world_dispose(w);
    free(w);
}

START_TEST(test_cut_anywhere_forward)
{
    size_t fwd, back;
    const struct plan again = { CUT, false, 5000 };

    measure(&fwd, &back);
    for ( int i = 0; i < 12; i++ )
        run_with((struct plan){ CUT, false, fwd * (size_t)(_i * 12 + i) / 120 },
                 &again, 1);
}
END_TEST

START_TEST(test_cut_anywhere_back)
{
    size_t fwd, back;
    const struct plan again = { CUT, true, 90 };

    measure(&fwd, &back);
    for ( size_t at = (size_t)_i; at < back; at += 7 )
        run_with((struct plan){ CUT, true, at }, &again, 1);
}
END_TEST

/* The handshake itself is cut at every octet of either direction. */
START_TEST(test_cut_recovery)
{
    const struct plan first = { CUT, true, 32 + 8 + 32 + 32 + 8 + 60 };
    struct plan plans[2];

    for ( size_t at = (size_t)_i; at < 180; at += 9 )
    {
        plans[0] = (struct plan){ CUT, true, at };
        plans[1] = (struct plan){ CUT, false, at };
        run_with(first, plans, 2);
    }
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

START_TEST(test_cut_many_times)
{
    uint32_t state = 12345u + (uint32_t)_i * 7919u;
    struct plan plans[6];
    size_t fwd, back;

    measure(&fwd, &back);
    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(plans); i++ )
    {
        bool way = next_random(&state) & 1;

        plans[i] = (struct plan){
            .how = next_random(&state) % 3 ? CUT : HALF,
            .back = way,
            .octets = next_random(&state) % (way ? back : fwd / 4),
        };
    }
    run_with(
        (struct plan){ CUT, false, fwd / 2 + next_random(&state) % fwd / 2 },
        plans, XC_SR_ARRAY_SIZE(plans));
}
END_TEST

/* ---- What else may happen to a connection -------------------------------------------- */

START_TEST(test_half_closed)
{
    size_t fwd, back;

    measure(&fwd, &back);
    run_with((struct plan){ HALF, false, fwd * (size_t)(_i + 1) / 12 }, NULL,
             0);
    run_with((struct plan){ HALF, true, back * (size_t)(_i + 1) / 12 }, NULL,
             0);
}
END_TEST

static void run_silent(bool back, size_t octets)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ SILENCE, back, octets });
    w->p.save.silence_timeout_us = w->p.restore.silence_timeout_us = 400000;
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}

/* Nobody closes anything: the deadline alone tells. */
START_TEST(test_silence_is_noticed)
{
    size_t fwd, back;

    measure(&fwd, &back);
    run_silent(false, fwd * (size_t)(_i + 7) / 12);
    run_silent(true, back * (size_t)(_i + 7) / 12);
}
END_TEST

/* A quiet connection that is alive is left alone, however long. */
START_TEST(test_quiet_is_not_silent)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.silence_timeout_us = w->p.restore.silence_timeout_us = 1500000;
    /* A page takes longer than either may be silent; there are only a few. */
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 1800;
    w->p.save.policy.max_iterations = 1;
    w->p.src.dirty_per_fetch = 1;
    w->p.dst.faults_wanted = 0;
    start(w);
    operate(w, NULL, 0);
    ck_assert_uint_eq(w->p.saved.stats.losses, 0);
    ck_assert_uint_eq(w->p.restored.stats.losses, 0);
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}
END_TEST

/* The guest is stopped while pages are missing and nobody brings them. */
START_TEST(test_paused_on_loss)
{
    struct world *w = calloc(1, sizeof(*w));
    size_t fwd, back;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.restore.recovery.pause = true;
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    if ( w->p.restored.stats.losses )
        ck_assert_uint_eq(w->p.dst.pauses, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* Somebody connects anew while all is well: the newest counts. */
START_TEST(test_newest_connection_counts)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.save.policy.max_iterations = 0;
    start(w);
    while ( !atomic_load(&w->dst_runs) && !both_done(w) )
        nap();
    for ( int i = 0; i < 3 && !both_done(w); i++ )
    {
        unsigned int before = atomic_load(&w->recoveries);

        reconnect(w, (struct plan){ NOTHING });
        while ( atomic_load(&w->recoveries) == before && !both_done(w) )
            nap();
    }
    w->src_known = atomic_load(&w->src_losses);
    w->dst_known = atomic_load(&w->dst_losses);
    operate(w, NULL, 0);
    ck_assert_uint_ge(w->p.saved.stats.recoveries, 1);
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}
END_TEST

/* ---- Dead processes ------------------------------------------------------------------- */

/* A source that stops waiting is a parked one. */
START_TEST(test_source_restarted)
{
    struct world *w = calloc(1, sizeof(*w));
    size_t fwd, back;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.save.recovery.enabled = false;
    w->p.save.policy.max_iterations = 0;
    start(w);
    pthread_join(w->src_thread, NULL);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(!w->p.src.resumed);
    restart_source(w);
    world_dispose(w);
    free(w);
}
END_TEST

static void *tell_fenced(void *arg)
{
    struct xc_sr_tell_params *tell = arg;
    bool settled = false;

    ck_assert_int_eq(xc_sr_restore_tell(tell, &settled), 0);
    ck_assert(settled);
    return NULL;
}

/* Both processes are gone; the guest never ran there, so it does here. */
START_TEST(test_restarted_source_is_given_it_back)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xc_sr_record_of from = { .owner = XC_SR_OWNER_COMMITTED,
                                    .session = { 1, 2, 3 } };
    struct xc_sr_tell_params tell = { .record = from, .timeout_us = 20000000 };
    pthread_t thread;

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.src.suspended = true;
    tell.record.owner = XC_SR_OWNER_FENCED;
    tell.send_fd = tell.recv_fd = w->p.fd[1];
    w->p.save.from = &from;
    ck_assert_int_eq(pthread_create(&thread, NULL, tell_fenced, &tell), 0);
    ck_assert_int_ne(xc_sr_save(&w->p.save, &w->p.saved), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_RESUMED);
    ck_assert(w->p.src.resumed);
    world_dispose(w);
    free(w);
}
END_TEST

/* The word of an operator is about a loss that he sees, and no later one. */
START_TEST(test_stop_waiting_is_not_remembered)
{
    struct world *w = calloc(1, sizeof(*w));
    size_t fwd, back;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.save.policy.max_iterations = 0;
    ck_assert_int_eq(xc_sr_control_stop_waiting(w->src_control), 0);
    ck_assert_int_eq(xc_sr_control_stop_waiting(w->dst_control), 0);
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_ge(w->p.saved.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* All is there, and the disk does not take it for a while: nothing is lost. */
START_TEST(test_finished_is_recorded_later)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.restore.recovery.pause = true;
    w->p.dst_journal.fail_on = XC_SR_OWNER_FINISHED;
    w->p.dst_journal.failures = 1;
    start(w);
    operate(w, NULL, 0);
    ck_assert_uint_eq(w->p.dst_journal.failures, 0);
    ck_assert_uint_eq(w->p.restored.stats.recoveries, 1);
    ck_assert_uint_eq(w->p.dst.pauses, 0); /* it misses nothing */
    assert_one_whole_guest(w);
    world_dispose(w);
    free(w);
}
END_TEST

/* The guest runs, and the connection takes not even that word. */
static void run_and_lose_it(void *ctx)
{
    struct world *w = ctx;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(full, 0);
    ck_assert_int_eq(dup2(full, w->conns[0].dst), w->conns[0].dst);
    close(full);
}

START_TEST(test_lost_before_running_is_said)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.policy.max_iterations = 0;
    /* Nothing may be complete before it is lost. */
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.restore.running = run_and_lose_it;
    w->p.restore.ctx = w;
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_ge(w->p.restored.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

static int cut_at_owner(void *ctx, enum xc_sr_owner owner,
                        const uint8_t session[16], uint64_t epoch)
{
    struct world *w = ctx;

    if ( owner == XC_SR_OWNER_OWNER && epoch == 0 )
        shutdown(w->conns[0].dst, SHUT_RDWR);
    return put_journal(&w->p.dst_journal, owner, session, epoch);
}

static struct world *about_to_lose_it_unpausing(bool pauses)
{
    struct world *w = calloc(1, sizeof(*w));

    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ NOTHING });
    w->p.save.policy.max_iterations = 0;
    w->p.save.max_postcopy_bandwidth_bytes_per_s = 200000;
    w->p.dst.unpause_needs_page = true;
    w->p.restore.recovery.pause = pauses;
    w->p.restore.journal = (struct xc_sr_journal){ cut_at_owner, w };
    return w;
}

/* A device model that is told to go on waits for a page of another connection.
 * The guest may run at any time: where it is to be stopped for the loss it is. */
START_TEST(test_lost_while_unpausing)
{
    struct world *w = about_to_lose_it_unpausing(_i);

    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_eq(w->p.dst.pauses, _i);
    ck_assert_uint_ge(w->p.restored.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* Where nobody brings one it stays stopped. */
START_TEST(test_lost_while_unpausing_for_good)
{
    struct world *w = about_to_lose_it_unpausing(true);

    w->p.save.recovery.timeout_us = w->p.restore.recovery.timeout_us = 200000;
    start(w);
    join(w);
    ck_assert(w->p.restored.ran && w->p.dst.paused && !w->p.src.resumed);
    world_dispose(w);
    free(w);
}
END_TEST

/* A dead pager's place is taken: the hypervisor knows what is missing. */
START_TEST(test_pager_replaced)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xc_sr_record_of from;
    size_t fwd, back;
    struct conn *c;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.restore.recovery.enabled = false;
    w->p.save.policy.max_iterations = 0;
    start(w);
    pthread_join(w->dst_thread, NULL);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_OWNER);
    while ( !atomic_load(&w->src_losses) )
        nap();
    /* Xen has stopped it, and shows the faults of those who wait again. */
    w->p.dst.paused = true;
    w->p.dst.paging = false;
    from = record_of(&w->p.dst_journal);
    w->p.restore.from = &from;
    w->p.restore.recovery.enabled = true;
    c = open_conn(w, (struct plan){ CUT, false, 9000 });
    close(w->p.fd[1]);
    w->p.fd[1] = w->p.restore.send_fd = w->p.restore.recv_fd = c->dst;
    ck_assert_int_eq(xc_sr_control_reconnect(w->src_control, c->src, c->src),
                     0);
    atomic_store(&w->dst_done, false);
    ck_assert_int_eq(pthread_create(&w->dst_thread, NULL, run_dst, w), 0);
    w->src_known = 1;
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_ge(w->p.restored.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* A pager that is gone for good: the source keeps its copy and says why. */
START_TEST(test_destination_lost)
{
    struct world *w = calloc(1, sizeof(*w));
    struct xc_sr_record_of lost;
    size_t fwd, back;
    struct conn *c;
    struct xc_sr_tell_params tell = { .timeout_us = 20000000 };
    bool settled = true;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.restore.recovery.enabled = false;
    w->p.save.policy.max_iterations = 0;
    start(w);
    pthread_join(w->dst_thread, NULL);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_OWNER);
    while ( !atomic_load(&w->src_losses) )
        nap();
    lost = record_of(&w->p.dst_journal);
    lost.owner = XC_SR_OWNER_LOST;
    c = open_conn(w, (struct plan){ NOTHING });
    ck_assert_int_eq(xc_sr_control_reconnect(w->src_control, c->src, c->src),
                     0);
    tell.record = lost;
    tell.send_fd = tell.recv_fd = c->dst;
    ck_assert_int_eq(xc_sr_restore_tell(&tell, &settled), 0);
    ck_assert(!settled);
    close(c->dst);
    while ( atomic_load(&w->src_losses) < 2 )
        nap();
    ck_assert_int_eq(xc_sr_control_stop_waiting(w->src_control), 0);
    pthread_join(w->src_thread, NULL);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert(strstr(w->p.saved.why, "lost") != NULL);
    ck_assert(!w->p.src.resumed);
    world_dispose(w);
    free(w);
}
END_TEST

/* There is room for more than comes, as on Xen: the bitmap is the source's. */
START_TEST(test_recovered_in_a_larger_guest)
{
    struct world *w = calloc(1, sizeof(*w));
    size_t fwd, back;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.save.policy.max_iterations = 0;
    fake_guest_dispose(&w->p.dst);
    fake_guest_init(&w->p.dst, NR_PFNS + 70, false);
    start(w);
    operate(w, NULL, 0);
    assert_one_whole_guest(w);
    ck_assert_uint_ge(w->p.saved.stats.recoveries, 1);
    world_dispose(w);
    free(w);
}
END_TEST

/* Nobody comes: a deadline, not for ever. */
START_TEST(test_waiting_ends)
{
    struct world *w = calloc(1, sizeof(*w));
    size_t fwd, back;

    measure(&fwd, &back);
    ck_assert_ptr_nonnull(w);
    world_init(w, (struct plan){ CUT, false, fwd - 6 * XC_SR_PAGE_SIZE });
    w->p.save.policy.max_iterations = 0;
    w->p.save.recovery.timeout_us = w->p.restore.recovery.timeout_us = 200000;
    start(w);
    join(w);
    ck_assert_int_eq(w->p.saved.owner, XC_SR_OWNER_COMMITTED);
    ck_assert_int_eq(w->p.restored.owner, XC_SR_OWNER_OWNER);
    ck_assert(!w->p.src.resumed);
    ck_assert(w->p.dst.unpaused);
    world_dispose(w);
    free(w);
}
END_TEST

/* ---- The table --------------------------------------------------------------------------- */

START_TEST(test_table_of_answers)
{
    static const struct
    {
        enum xc_sr_owner source;
        enum xc_sr_answer
            by_record[6]; /* none prep owner fenced finished lost */
    } rows[] = {
        { XC_SR_OWNER_NONE,
          { XC_SR_ANSWER_END, XC_SR_ANSWER_ABORTED, XC_SR_ANSWER_IMPOSSIBLE,
            XC_SR_ANSWER_END, XC_SR_ANSWER_IMPOSSIBLE, XC_SR_ANSWER_END } },
        { XC_SR_OWNER_RESUMED,
          { XC_SR_ANSWER_END, XC_SR_ANSWER_ABORTED, XC_SR_ANSWER_IMPOSSIBLE,
            XC_SR_ANSWER_END, XC_SR_ANSWER_IMPOSSIBLE, XC_SR_ANSWER_END } },
        { XC_SR_OWNER_COMMITTED,
          { XC_SR_ANSWER_PARK, XC_SR_ANSWER_COMMIT, XC_SR_ANSWER_GO,
            XC_SR_ANSWER_RESUME_HERE, XC_SR_ANSWER_DONE, XC_SR_ANSWER_PARK } },
        { XC_SR_OWNER_DONE,
          { XC_SR_ANSWER_END, XC_SR_ANSWER_IMPOSSIBLE, XC_SR_ANSWER_IMPOSSIBLE,
            XC_SR_ANSWER_IMPOSSIBLE, XC_SR_ANSWER_END, XC_SR_ANSWER_END } },
    };

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(rows); i++ )
        for ( uint32_t record = 0; record < 6; record++ )
            ck_assert_int_eq(xc_sr__recover_answer(rows[i].source, record),
                             rows[i].by_record[record]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine-recover");
    TCase *tc = tcase_create("recover");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_table_of_answers);
    tcase_add_loop_test(tc, test_cut_anywhere_forward, 0, 10);
    tcase_add_loop_test(tc, test_cut_anywhere_back, 0, 7);
    tcase_add_loop_test(tc, test_cut_recovery, 0, 9);
    tcase_add_loop_test(tc, test_cut_many_times, 0, 20);
    tcase_add_loop_test(tc, test_half_closed, 0, 11);
    tcase_add_loop_test(tc, test_silence_is_noticed, 0, 5);
    tcase_add_test(tc, test_quiet_is_not_silent);
    tcase_add_test(tc, test_paused_on_loss);
    tcase_add_test(tc, test_newest_connection_counts);
    tcase_add_test(tc, test_source_restarted);
    tcase_add_test(tc, test_restarted_source_is_given_it_back);
    tcase_add_test(tc, test_stop_waiting_is_not_remembered);
    tcase_add_test(tc, test_finished_is_recorded_later);
    tcase_add_test(tc, test_lost_before_running_is_said);
    tcase_add_loop_test(tc, test_lost_while_unpausing, 0, 2);
    tcase_add_test(tc, test_lost_while_unpausing_for_good);
    tcase_add_test(tc, test_pager_replaced);
    tcase_add_test(tc, test_destination_lost);
    tcase_add_test(tc, test_recovered_in_a_larger_guest);
    tcase_add_test(tc, test_waiting_ends);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

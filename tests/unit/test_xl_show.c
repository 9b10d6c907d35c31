/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_show.c: what people see of a migration: the progress line, on a
 * terminal and elsewhere, and the summary at its end.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xl_progress.h"
#include "xl_stats.h"

#define MS UINT64_C(1000)
#define S  UINT64_C(1000000)

static char text[4096];

/* ---- Progress ---------------------------------------------------------------- */

static struct xc_sr_progress in_phase(enum xc_sr_phase phase)
{
    return (struct xc_sr_progress){
        .phase = phase,
        .round = 1,
        .total_pages = 1000,
        .done_pages = 250,
        .bytes_per_s = 117000000,
        .dirty_pages_per_s = 12345,
        .faults = 77,
    };
}

static const struct
{
    enum xc_sr_phase phase;
    const char *line;
} lines[] = {
    { XC_SR_PHASE_SETUP, "setting up (guest runs here): 25%, 117 MB/s" },
    { XC_SR_PHASE_PRECOPY, "pre-copy, round 2 (guest runs here): 25%, 117 "
                           "MB/s, 12.3k pages/s dirtied" },
    { XC_SR_PHASE_SUSPEND, "suspending the guest: 25%, 117 MB/s" },
    { XC_SR_PHASE_HANDOVER,
      "handing over (guest stands still): 25%, 117 MB/s, 77 faults" },
    { XC_SR_PHASE_POSTCOPY,
      "post-copy (guest runs there): 25%, 117 MB/s, 77 faults" },
};

START_TEST(a_line_says_the_phase_and_where_the_guest_runs)
{
    struct xc_sr_progress p = in_phase(lines[_i].phase);
    char line[160];

    xl_progress_line(&p, line, sizeof(line));
    ck_assert_str_eq(line, lines[_i].line);
}
END_TEST

/* With its record an engine begins, or ends, where another word would be wrong. */
static const struct
{
    enum xc_sr_phase phase;
    enum xc_sr_owner owner;
    const char *place;
} places[] = {
    { XC_SR_PHASE_SETUP, XC_SR_OWNER_NONE, "source" },
    { XC_SR_PHASE_SETUP, XC_SR_OWNER_COMMITTED, "unknown" },
    { XC_SR_PHASE_SETUP, XC_SR_OWNER_OWNER, "destination" },
    { XC_SR_PHASE_SUSPEND, XC_SR_OWNER_NONE, "source" },
    { XC_SR_PHASE_HANDOVER, XC_SR_OWNER_COMMITTED, "nowhere" },
    { XC_SR_PHASE_POSTCOPY, XC_SR_OWNER_COMMITTED, "destination" },
    { XC_SR_PHASE_DISCONNECTED, XC_SR_OWNER_COMMITTED, "unknown" },
    { XC_SR_PHASE_DISCONNECTED, XC_SR_OWNER_PREP, "nowhere" },
    { XC_SR_PHASE_DISCONNECTED, XC_SR_OWNER_OWNER, "destination" },
    { XC_SR_PHASE_DONE, XC_SR_OWNER_DONE, "destination" },
    { XC_SR_PHASE_DONE, XC_SR_OWNER_ENDED, "nowhere" },
    { XC_SR_PHASE_FAILED, XC_SR_OWNER_NONE, "source" },
    { XC_SR_PHASE_FAILED, XC_SR_OWNER_RESUMED, "source" },
    { XC_SR_PHASE_FAILED, XC_SR_OWNER_COMMITTED, "unknown" },
    { XC_SR_PHASE_FAILED, XC_SR_OWNER_FENCED, "source" },
    { XC_SR_PHASE_FAILED, XC_SR_OWNER_OWNER, "destination" },
};

START_TEST(nobody_is_told_that_it_runs_where_it_may_not)
{
    struct xc_sr_progress p = in_phase(places[_i].phase);
    char line[160];

    p.owner = places[_i].owner;
    ck_assert_str_eq(xl_progress_guest_place(&p), places[_i].place);
    xl_progress_line(&p, line, sizeof(line));
    if ( strcmp(places[_i].place, "source") )
        ck_assert_ptr_null(strstr(line, "runs here"));
}
END_TEST

START_TEST(a_line_is_cut_not_overrun)
{
    struct xc_sr_progress p = in_phase(XC_SR_PHASE_POSTCOPY);
    char line[160];
    size_t len;

    for ( len = 1; len < 80; len++ )
    {
        memset(line, '#', sizeof(line));
        xl_progress_line(&p, line, len);
        ck_assert_uint_lt(strlen(line), len);
        ck_assert_int_eq(line[len], '#');
    }
}
END_TEST

/* What act() writes to stderr, in text. */
static void catch_stderr(void (*act)(void))
{
    FILE *out = tmpfile();
    int saved = dup(STDERR_FILENO);
    size_t len;

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(saved, 0);
    ck_assert_int_ge(dup2(fileno(out), STDERR_FILENO), 0);
    act();
    fflush(stderr);
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    close(saved);
    rewind(out);
    len = fread(text, 1, sizeof(text) - 1, out);
    text[len] = '\0';
    fclose(out);
}

static void show_on_terminal(void)
{
    struct xc_sr_progress p = in_phase(XC_SR_PHASE_PRECOPY);
    struct xl_progress shown;

    xl_progress_init(&shown, XL_PROGRESS_TTY, "g");
    xl_progress_update(&shown, &p);
    p.elapsed_us += XL_PROGRESS_PERIOD_US / 2; /* too soon for news */
    xl_progress_update(&shown, &p);
    p.phase = XC_SR_PHASE_POSTCOPY; /* which is always news */
    xl_progress_update(&shown, &p);
    xl_progress_end(&shown);
}

START_TEST(on_a_terminal_one_line_is_rewritten_and_taken_away)
{
    catch_stderr(show_on_terminal);
    ck_assert_str_eq(text,
                     "\r\033[Kpre-copy, round 2 (guest runs here): 25%, 117 "
                     "MB/s, 12.3k pages/s dirtied"
                     "\r\033[Kpost-copy (guest runs there): 25%, 117 MB/s, 77 "
                     "faults"
                     "\r\033[K");
}
END_TEST

static void show_long_line(void)
{
    struct xc_sr_progress p = in_phase(XC_SR_PHASE_PRECOPY);
    struct xl_progress shown;

    p.round = 4000000000u - 1;
    p.dirty_pages_per_s = UINT64_MAX;
    xl_progress_init(&shown, XL_PROGRESS_TTY, "g");
    xl_progress_update(&shown, &p);
    xl_progress_end(&shown);
}

START_TEST(on_a_terminal_no_line_is_as_wide_as_80_columns)
{
    catch_stderr(show_long_line);
    ck_assert_uint_le(strlen(text), 2 * strlen("\r\033[K") + 78);
    ck_assert_ptr_nonnull(strstr(text, "round 4000000000"));
}
END_TEST

static void show_elsewhere(void)
{
    struct xc_sr_progress p = in_phase(XC_SR_PHASE_PRECOPY);
    struct xl_progress shown;

    xl_progress_init(&shown, XL_PROGRESS_PLAIN, "g");
    xl_progress_update(&shown, &p);
    p.elapsed_us += 10 * S;
    xl_progress_update(&shown, &p);
    p.round = 2;
    xl_progress_update(&shown, &p);
    p.phase = XC_SR_PHASE_DONE;
    xl_progress_update(&shown, &p);
    xl_progress_end(&shown);
}

START_TEST(elsewhere_there_is_a_line_for_each_phase_and_round)
{
    catch_stderr(show_elsewhere);
    ck_assert_str_eq(text, "xl: g: pre-copy, round 2 (guest runs here)\n"
                           "xl: g: pre-copy, round 3 (guest runs here)\n");
}
END_TEST

/* ---- Summary ------------------------------------------------------------------- */

static struct xl_migrate_args args = {
    .name = "web",
    .dest = "there:/srv",
    .stream_version = 3,
};

static struct xc_sr_save_result a_postcopy(void)
{
    struct xc_sr_save_result r = {
        .owner = XC_SR_OWNER_DONE,
        .stats = {
            .start_us = 1 * S,
            .ready_us = 1 * S + 1,
            .suspended_us = 3 * S,
            .transition_us = 3 * S + 2 * MS,
            .prepared_us = 3 * S + 5 * MS,
            .commit_us = 3 * S + 6 * MS,
            .running_us = 3 * S + 9 * MS,
            .complete_us = 5 * S,
            .end_us = 5 * S,
            .nr_pfns = 65536,
            .bytes_total = 500000000,
            .bandwidth_bytes_per_s = 125000000,
            .bytes_precopy = 268000000,
            .pages_precopy = 65536,
            .pages_resume_set = 5,
            .pages_announced = 50000,
            .pages_fault = 1200,
            .pages_push = 48800,
            .faults = 1234,
            .nr_rounds = 1,
            .postcopy = true,
            .stream_version = 3,
        },
        .peer_stats_valid = true,
    };

    /* All in [512, 1024). */
    r.peer_stats.fault_service_count = 1200;
    r.peer_stats.fault_service_hist[9] = 1200;
    r.peer_stats.fault_service_max_us = 1000;
    return r;
}

static bool crashed;

static void summarize(const struct xc_sr_save_result *result,
                      const struct xc_sr_local_check *guest)
{
    struct xl_story story = {
        .args = &args,
        .result = result,
        .owner = result->owner,
        .why = "",
        .guest = guest,
        .crashed = crashed,
    };
    FILE *out = fmemopen(text, sizeof(text), "w");

    ck_assert_ptr_nonnull(out);
    xl_summary_print(out, &story);
    fclose(out);
}

static void says(const char *what)
{
    ck_assert_msg(strstr(text, what) != NULL, "no `%s` in:\n%s", what, text);
}

static void says_no(const char *what)
{
    ck_assert_msg(!strstr(text, what), "`%s` in:\n%s", what, text);
}

START_TEST(a_postcopy_is_summed_up)
{
    struct xc_sr_save_result r = a_postcopy();

    summarize(&r, NULL);
    says("web is at there:/srv, moved post-copy\n");
    says("  total      4.00 s, 500 MB sent (125 MB/s)\n");
    says("  downtime   9.00 ms, of it 2.00 ms here\n");
    says("  pre-copy   1 round, 65.5k pages, 268 MB\n");
    says("  post-copy  50.0k pages owed: 1.20k on demand, 48.8k pushed; 5 in "
         "the resume set\n");
    says("  faults     1234, answered in 768 us (half), 1.00 ms (99 of 100), "
         "1.00 "
         "ms (slowest)\n");
    says_no("found by dom0");
    says_no("zero pages");
    says_no("memory");

    r.peer_stats.faults_foreign = 90;
    summarize(&r, NULL);
    says("  faults     1234 (90 found by dom0), answered in 768 us (half)");
}
END_TEST

/* The one end of a migration in which the guest is nowhere. */
START_TEST(a_guest_that_has_ended_is_not_there)
{
    struct xc_sr_save_result r = a_postcopy();

    summarize(&r, NULL);
    says("web is at ");
    says_no("ended");
    r.peer_stats.abandoned = 77;
    summarize(&r, NULL);
    says("web has ended at ");
    says("  abandoned  77 pages, which were missing when it ended\n");
    says_no("web is at");
    r.peer_stats_valid = false;
    summarize(&r, NULL);
    says(" or has ended there, moved post-copy\n");
}
END_TEST

START_TEST(a_guest_that_has_crashed_is_not_just_there)
{
    struct xc_sr_save_result r = a_postcopy();

    crashed = true;
    summarize(&r, NULL);
    says("web has crashed at there:/srv, moved post-copy\n");
    r.peer_stats.abandoned = 77;
    summarize(&r, NULL);
    says("web has crashed at ");
    says("  abandoned  77 pages");
    r.peer_stats_valid = false;
    summarize(&r, NULL);
    says_no("ended there");
    crashed = false;
}
END_TEST

START_TEST(what_did_not_happen_is_left_out)
{
    struct xc_sr_save_result r = a_postcopy();

    r.stats.postcopy = false;
    r.stats.nr_rounds = 3;
    r.stats.pages_zero = 17;
    summarize(&r, NULL);
    says("moved by stop-and-copy\n");
    says("  pre-copy   3 rounds, ");
    says("  zero pages 17, sent without contents\n");
    says_no("post-copy");
    says_no("faults");

    r = a_postcopy();
    r.peer_stats_valid = false;
    summarize(&r, NULL);
    says("  faults     1234\n");
}
END_TEST

START_TEST(the_guest_has_the_last_word)
{
    struct xc_sr_save_result r = a_postcopy();
    struct xc_sr_local_check guest = {
        .complete = true,
        .downtime_us = 12 * MS,
        .ops = 1000,
        .counters = 1000,
    };

    summarize(&r, &guest);
    says("; the guest felt 12.00 ms\n");
    says("  memory     checked by the guest: nothing lost\n");
    guest.counters = 999;
    summarize(&r, &guest);
    says("  memory     NOT what the guest left behind: see xl check\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_show");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, a_line_says_the_phase_and_where_the_guest_runs, 0,
                        sizeof(lines) / sizeof(lines[0]));
    tcase_add_loop_test(t, nobody_is_told_that_it_runs_where_it_may_not, 0,
                        sizeof(places) / sizeof(places[0]));
    tcase_add_test(t, a_line_is_cut_not_overrun);
    tcase_add_test(t, on_a_terminal_one_line_is_rewritten_and_taken_away);
    tcase_add_test(t, on_a_terminal_no_line_is_as_wide_as_80_columns);
    tcase_add_test(t, elsewhere_there_is_a_line_for_each_phase_and_round);
    tcase_add_test(t, a_postcopy_is_summed_up);
    tcase_add_test(t, a_guest_that_has_ended_is_not_there);
    tcase_add_test(t, a_guest_that_has_crashed_is_not_just_there);
    tcase_add_test(t, what_did_not_happen_is_left_out);
    tcase_add_test(t, the_guest_has_the_last_word);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

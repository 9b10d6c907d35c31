/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_policy.c: the policy, the window, the rate and the out-queue: situations
 * and what is decided in them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../tools/libxc/xc_sr_outq.h"
#include "../../tools/libxc/xc_sr_window.h"

#define MB 1000000ULL

/* What the user asked for, what is known, what follows. */
static const struct
{
    struct xc_sr_policy policy;
    struct xc_sr_policy_input in;
    enum xc_sr_decision decision;
} cases[] = {
    /* Post-copy from no round: at once, every page owed. */
    { { true, 0, 50, 0 }, { 0, 1000, 0, 0, false }, XC_SR_DECIDE_POSTCOPY },
    /* The first round is always due otherwise. */
    { { true, 3, 50, 0 }, { 0, 1000, 0, 0, false }, XC_SR_DECIDE_CONTINUE },
    { { false, 3, 50, 0 }, { 0, 1000, 0, 0, false }, XC_SR_DECIDE_CONTINUE },
    /* Little is owed: a switch would cost more. */
    { { true, 3, 50, 0 },
      { 1, 50, 10, 100 * MB, false },
      XC_SR_DECIDE_STOP_AND_COPY },
    { { true, 3, 50, 0 },
      { 1, 51, 10, 100 * MB, false },
      XC_SR_DECIDE_CONTINUE },
    /* 2441 pages at 100 MB/s are just under 100 ms. */
    { { true, 3, 50, 100000 },
      { 1, 2441, 10, 100 * MB, false },
      XC_SR_DECIDE_STOP_AND_COPY },
    { { true, 3, 50, 100000 },
      { 1, 2500, 10, 100 * MB, false },
      XC_SR_DECIDE_CONTINUE },
    /* An unknown bandwidth promises nothing. */
    { { false, 3, 0, 100000 }, { 1, 60, 10, 0, false }, XC_SR_DECIDE_CONTINUE },
    /* The rounds are used up. */
    { { true, 3, 50, 0 },
      { 3, 500, 10, 100 * MB, false },
      XC_SR_DECIDE_POSTCOPY },
    { { false, 3, 50, 0 },
      { 3, 500, 10, 100 * MB, false },
      XC_SR_DECIDE_STOP_AND_COPY },
    /* It dirties as fast as the link carries: another round is wasted. */
    { { true, 9, 50, 0 },
      { 1, 500, 24415, 100 * MB, false },
      XC_SR_DECIDE_POSTCOPY },
    { { false, 9, 50, 0 },
      { 1, 500, 24415, 100 * MB, false },
      XC_SR_DECIDE_CONTINUE },
    /* By hand, at any moment, where it is allowed. */
    { { true, 9, 50, 0 }, { 0, 1000, 0, 0, true }, XC_SR_DECIDE_POSTCOPY },
    { { false, 9, 50, 0 }, { 0, 1000, 0, 0, true }, XC_SR_DECIDE_CONTINUE },
    /* Overflow does not look like a short time. */
    { { true, 9, 50, 1000 },
      { 1, 1ULL << 59, 0, 1, false },
      XC_SR_DECIDE_CONTINUE },
    /* No rounds and no post-copy: a cold move. */
    { { false, 0, 50, 0 },
      { 0, 1000, 0, 0, false },
      XC_SR_DECIDE_STOP_AND_COPY },
};

START_TEST(test_decisions)
{
    ck_assert_int_eq(xc_sr_policy_decide(&cases[_i].policy, &cases[_i].in),
                     cases[_i].decision);
}
END_TEST

/* ---- Window ------------------------------------------------------------------ */

START_TEST(test_window_bounds)
{
    struct xc_sr_window w;

    xc_sr__window_init(&w);
    ck_assert(xc_sr__window_open(&w));
    xc_sr__window_sent(&w, 100 * MB, 1);
    ck_assert_msg(xc_sr__window_open(&w), "without ACK nothing is bounded");
    w.enabled = true;
    ck_assert(!xc_sr__window_open(&w));
    ck_assert_int_eq(xc_sr__window_acked(&w, 100 * MB, 1000), 0);
    ck_assert(xc_sr__window_open(&w));
    ck_assert_int_eq(xc_sr__window_acked(&w, 100 * MB + 1, 1000), -EPROTO);
    ck_assert_int_eq(xc_sr__window_acked(&w, 99 * MB, 1000), -EPROTO);
}
END_TEST

/* A simulated link: rate octets/s, rtt_us; what window does it end with? */
static uint64_t settle_window(uint64_t rate, uint64_t rtt_us)
{
    struct xc_sr_window w;
    uint64_t now_us = 1, sent = 0, delivered;
    const uint64_t step_us = rtt_us < 100 ? 10 : rtt_us / 10;
    uint64_t sent_at[64] = { 0 };

    xc_sr__window_init(&w);
    w.enabled = true;
    for ( unsigned int i = 0; i < 20000; i++ )
    {
        const uint64_t burst = rate * step_us / 1000000u + 1;

        now_us += step_us;
        if ( sent - w.acked < w.limit )
        {
            uint64_t room = w.limit - (sent - w.acked);

            sent += burst < room ? burst : room;
            xc_sr__window_sent(&w, sent, now_us);
        }
        sent_at[i % 64] = sent;
        delivered = i >= 10 ? sent_at[(i - 10) % 64] : 0;
        if ( delivered > w.acked )
            ck_assert_int_eq(xc_sr__window_acked(&w, delivered, now_us), 0);
    }
    return w.limit;
}

START_TEST(test_window_follows_link)
{
    uint64_t lan = settle_window(117 * MB, 100);
    uint64_t wan = settle_window(117 * MB, 20000);

    /* A short link needs its product, 12 KB, and the cushion: under 2 ms. */
    ck_assert_uint_ge(lan, XC_SR_WINDOW_MIN);
    ck_assert_uint_le(lan, 2000 * 117);
    /* 117 MB/s for 20 ms are 2.3 MB: the window has grown to carry them. */
    ck_assert_uint_ge(wan, 2 * MB);
    ck_assert_uint_le(wan, 8 * MB);
}
END_TEST

/* ---- Out-queue ----------------------------------------------------------------- */

START_TEST(test_outq_order_and_bounds)
{
    static uint8_t page[XC_SR_PAGE_SIZE * 40];
    struct xc_sr_outq q;
    int fd[2];
    size_t wrote = 0, total = 0;
    uint8_t *got = malloc(sizeof(page) * 2);
    size_t want = 0, have = 0;

    signal(SIGPIPE, SIG_IGN); /* a pipe has no MSG_NOSIGNAL */
    memset(page, 7, sizeof(page));
    ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(xc_sr__outq_init(&q, fd[1]), 0);
    for ( unsigned int i = 0; i < 20; i++ )
    {
        uint8_t head[8];

        memset(head, (int)i, sizeof(head));
        ck_assert_int_eq(xc_sr__outq_copy(&q, head, sizeof(head)), 0);
        ck_assert_int_eq(xc_sr__outq_ref(&q, page + i * 8192, 8192), 0);
        want += 8 + 8192;
    }
    ck_assert_uint_eq(xc_sr__outq_len(&q), want);
    while ( have < want )
    {
        ssize_t n;

        ck_assert_int_eq(xc_sr__outq_flush(&q, &wrote), 0);
        total += wrote;
        n = read(fd[0], got + have, 5000);
        ck_assert_int_gt(n, 0);
        have += (size_t)n;
    }
    ck_assert_uint_eq(total, want);
    ck_assert_uint_eq(q.total, want);
    ck_assert_uint_eq(xc_sr__outq_len(&q), 0);
    for ( unsigned int i = 0; i < 20; i++ )
    {
        ck_assert_uint_eq(got[i * 8200], i);
        ck_assert_uint_eq(got[i * 8200 + 7], i);
        ck_assert_uint_eq(got[i * 8200 + 8], 7);
        ck_assert_uint_eq(got[i * 8200 + 8199], 7);
    }
    close(fd[0]);
    ck_assert_int_eq(xc_sr__outq_copy(&q, page, 10), 0);
    ck_assert_int_eq(xc_sr__outq_flush(&q, &wrote), -EPIPE);
    xc_sr__outq_dispose(&q);
    close(fd[1]);
    free(got);
}
END_TEST

/* All that may go out now, as the engine sends it. */
static uint64_t send_all(struct xc_sr_rate *rate, uint64_t now_us,
                         uint64_t *until_us)
{
    uint64_t sent = 0;

    while ( xc_sr__rate_allows(rate, now_us, until_us) )
    {
        uint64_t octets = xc_sr__rate_pages(rate, 16) * XC_SR_PAGE_SIZE;

        xc_sr__rate_charge(rate, octets);
        sent += octets;
        /* A check that holds costs a system call: not for each record. */
        if ( sent > 300 * MB )
            ck_abort_msg("no end to what may be sent at once");
    }
    return sent;
}

/* A loop that always comes so much later than it wanted to. */
static const struct
{
    uint64_t bytes_per_s;
    uint64_t late_us;
} lates[] = {
    { 2 * MB, 0 },       { 2 * MB, 1000 },     { 2 * MB, 60000 },
    { 2 * MB, 190000 },  { 20000, 150000 },    { 100 * MB, 30000 },
    { 1000 * MB, 1000 }, { 100 * MB, 190000 },
};

START_TEST(test_a_late_loop_gets_what_was_promised)
{
    uint64_t now_us = 123456789, end_us = now_us + 20000000, sent = 0;
    uint64_t wanted = 20 * lates[_i].bytes_per_s;
    struct xc_sr_rate rate;

    xc_sr__rate_start(&rate, lates[_i].bytes_per_s);
    while ( now_us < end_us )
    {
        uint64_t until_us = UINT64_MAX;

        sent += send_all(&rate, now_us, &until_us);
        if ( until_us <= now_us )
            ck_abort_msg("it is to wait for what is past");
        now_us = until_us + lates[_i].late_us;
    }
    ck_assert_uint_ge(sent, wanted / 100 * 95);
    ck_assert_uint_le(sent, wanted / 100 * 101 + 2 * XC_SR_PAGE_SIZE);
}
END_TEST

/* However long nothing was sent, a while's worth follows at once. */
START_TEST(test_a_burst_is_bounded)
{
    uint64_t until_us = 0;
    struct xc_sr_rate rate;

    xc_sr__rate_start(&rate, 10 * MB);
    ck_assert_uint_eq(send_all(&rate, 1000, &until_us), 0);
    ck_assert_uint_le(send_all(&rate, UINT64_MAX / 2, &until_us),
                      10 * MB / 4 + XC_SR_PAGE_SIZE);
    /* Nothing is left of what was earned at another rate. */
    xc_sr__rate_start(&rate, 1 * MB);
    ck_assert_uint_eq(send_all(&rate, UINT64_MAX / 2 + 10000000, &until_us), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tc = tcase_create("policy");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, test_decisions, 0, XC_SR_ARRAY_SIZE(cases));
    tcase_add_test(tc, test_window_bounds);
    tcase_add_test(tc, test_window_follows_link);
    tcase_add_loop_test(tc, test_a_late_loop_gets_what_was_promised, 0,
                        XC_SR_ARRAY_SIZE(lates));
    tcase_add_test(tc, test_a_burst_is_bounded);
    tcase_add_test(tc, test_outq_order_and_bounds);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

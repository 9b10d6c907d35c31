/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_signals.c: what ends other programs is a request to this one, which
 * may have given a guest away whose pages it alone still has.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "xl_signals.h"

static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };

START_TEST(test_a_signal_is_a_request)
{
    int fd = -1;

    (void)signal(signals[_i], SIG_DFL);
    ck_assert_int_eq(xl_signals_init(&fd), 0);
    ck_assert(!xl_signals_take(fd));
    ck_assert_int_eq(raise(signals[_i]), 0);
    ck_assert(xl_signals_take(fd));
    ck_assert(!xl_signals_take(fd));
    close(fd);
}
END_TEST

/* nohup, a shell's background, a receiver: it is none of our business. */
START_TEST(test_an_ignored_signal_stays_so)
{
    int fd = -1;

    (void)signal(signals[_i], SIG_IGN);
    ck_assert_int_eq(xl_signals_init(&fd), 0);
    ck_assert_int_eq(raise(signals[_i]), 0);
    ck_assert(!xl_signals_take(fd));
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("xl_signals");
    TCase *tc = tcase_create("xl_signals");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, test_a_signal_is_a_request, 0, 4);
    tcase_add_loop_test(tc, test_an_ignored_signal_stays_so, 0, 4);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

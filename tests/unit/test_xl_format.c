/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_format.c: numbers in both directions: as people read them, as they
 * type them, and percentiles out of histograms.
 */
#include <check.h>
#include <stdlib.h>

#include "xenpostcopy.h"
#include "xl.h"
#include "xl_format.h"

static const struct
{
    uint64_t us;
    const char *text;
} times[] = {
    { 0, "0 us" },
    { 999, "999 us" },
    { 1000, "1.00 ms" },
    { 4500, "4.50 ms" },
    { 1230000, "1.23 s" },
    { 60000000, "60.00 s" },
    { 125000000, "2 min 05 s" },
};

START_TEST(times_read_well)
{
    char buf[XL_FORMAT_LEN];

    ck_assert_str_eq(xl_format_us(times[_i].us, buf), times[_i].text);
}
END_TEST

static const struct
{
    uint64_t bytes;
    const char *text;
} sizes[] = {
    { 0, "0 B" },
    { 999, "999 B" },
    { 1000, "1.00 kB" },
    { 117000000, "117 MB" },
    { 12345678, "12.3 MB" },
    { 999999, "1.00 MB" }, /* never "1000 kB" */
    { 1073741824, "1.07 GB" },
    { UINT64_MAX, "18447 PB" },
};

START_TEST(sizes_read_well)
{
    char buf[XL_FORMAT_LEN];

    ck_assert_str_eq(xl_format_bytes(sizes[_i].bytes, buf), sizes[_i].text);
}
END_TEST

START_TEST(percent_keeps_100_for_everything)
{
    ck_assert_uint_eq(xl_percent(0, 10), 0);
    ck_assert_uint_eq(xl_percent(5, 10), 50);
    ck_assert_uint_eq(xl_percent(9999, 10000), 99);
    ck_assert_uint_eq(xl_percent(10, 10), 100);
    ck_assert_uint_eq(xl_percent(11, 10), 100);
    ck_assert_uint_eq(xl_percent(0, 0), 100);
    ck_assert_uint_eq(xl_percent(UINT64_MAX - 1, UINT64_MAX), 100);
}
END_TEST

START_TEST(percentiles_of_nothing_are_0)
{
    uint64_t hist[XC_SR_HISTOGRAM_BUCKETS] = { 0 };

    ck_assert_uint_eq(xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 990, 77),
                      0);
}
END_TEST

START_TEST(percentiles_lie_in_their_bucket)
{
    uint64_t hist[XC_SR_HISTOGRAM_BUCKETS] = { 0 };
    uint64_t p50, p90, p99;

    hist[6] = 90; /* 64..127 */
    hist[9] = 9;  /* 512..1023 */
    hist[12] = 1; /* 4096..8191 */
    p50 = xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 500, 5000);
    p90 = xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 900, 5000);
    p99 = xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 990, 5000);
    ck_assert_uint_ge(p50, 64);
    ck_assert_uint_lt(p50, 128);
    ck_assert_uint_le(p90, 128);
    ck_assert_uint_ge(p99, 512);
    ck_assert_uint_le(p99, 1024);
    ck_assert_uint_le(p50, p90);
    ck_assert_uint_eq(
        xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 1000, 5000), 5000);
}
END_TEST

START_TEST(percentiles_never_exceed_the_maximum)
{
    uint64_t hist[XC_SR_HISTOGRAM_BUCKETS] = { 0 };
    unsigned int permille;

    hist[6] = 1;
    for ( permille = 1; permille <= 1000; permille++ )
        ck_assert_uint_le(
            xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, permille, 70), 70);
}
END_TEST

START_TEST(the_widest_bucket_does_not_overflow)
{
    uint64_t hist[XC_SR_HISTOGRAM_BUCKETS] = { 0 };

    hist[XC_SR_HISTOGRAM_BUCKETS - 1] = UINT64_MAX;
    ck_assert_uint_ge(
        xl_percentile_us(hist, XC_SR_HISTOGRAM_BUCKETS, 500, UINT64_MAX),
        UINT64_C(1) << (XC_SR_HISTOGRAM_BUCKETS - 1));
}
END_TEST

START_TEST(integers_are_digits_and_nothing_else)
{
    static const char *const bad[] = {
        "",     "-1",  "+1",  " 1", "1 ",
        "0x10", "1e3", "one", "11", "99999999999999999999999"
    };
    uint64_t v = 7;
    unsigned int i;

    for ( i = 0; i < sizeof(bad) / sizeof(bad[0]); i++ )
        ck_assert_msg(xl_parse_u64(bad[i], 0, 10, &v) < 0 && v == 7,
                      "taken: `%s`", bad[i]);
    ck_assert_int_lt(xl_parse_u64("1", 2, 10, &v), 0);
    ck_assert_int_eq(xl_parse_u64("10", 0, 10, &v), 0);
    ck_assert_uint_eq(v, 10);
    ck_assert_int_eq(xl_parse_u64("18446744073709551615", 0, UINT64_MAX, &v),
                     0);
    ck_assert_uint_eq(v, UINT64_MAX);
    ck_assert_int_lt(xl_parse_u64("18446744073709551616", 0, UINT64_MAX, &v),
                     0);
}
END_TEST

START_TEST(decimals_have_three_places)
{
    static const char *const bad[] = { "",   ".",   "1.",   ".5",     "1.2345",
                                       "-1", "1,5", "1.5x", "100.001" };
    uint64_t v = 0;
    unsigned int i;

    for ( i = 0; i < sizeof(bad) / sizeof(bad[0]); i++ )
        ck_assert_msg(xl_parse_milli(bad[i], 100000, &v) < 0, "taken: `%s`",
                      bad[i]);
    ck_assert_int_eq(xl_parse_milli("1.5", 100000, &v), 0);
    ck_assert_uint_eq(v, 1500);
    ck_assert_int_eq(xl_parse_milli("0.007", 100000, &v), 0);
    ck_assert_uint_eq(v, 7);
    ck_assert_int_eq(xl_parse_milli("100", 100000, &v), 0);
    ck_assert_uint_eq(v, 100000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_format");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, times_read_well, 0,
                        sizeof(times) / sizeof(times[0]));
    tcase_add_loop_test(t, sizes_read_well, 0,
                        sizeof(sizes) / sizeof(sizes[0]));
    tcase_add_test(t, percent_keeps_100_for_everything);
    tcase_add_test(t, percentiles_of_nothing_are_0);
    tcase_add_test(t, percentiles_lie_in_their_bucket);
    tcase_add_test(t, percentiles_never_exceed_the_maximum);
    tcase_add_test(t, the_widest_bucket_does_not_overflow);
    tcase_add_test(t, integers_are_digits_and_nothing_else);
    tcase_add_test(t, decimals_have_three_places);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_config.c: a guest's configuration as JSON and back, and what is
 * said about texts that are none.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "xl_config.h"

static struct xc_sr_local_config sample(void)
{
    struct xc_sr_local_config c = { .name = "" };

    xc_sr_local_config_init(&c);
    snprintf(c.name, sizeof(c.name), "web-1.example_2");
    c.memory_kib = 1048576;
    c.vcpus = 16;
    c.workload = XC_SR_LOCAL_SEQ;
    c.rate_ops_per_s = 123456;
    c.working_set_kib = 65536;
    c.populate_percent = 37;
    c.seed = UINT64_MAX;
    c.suspend_delay_us = 2500;
    c.sync_dirty_log = true;
    return c;
}

START_TEST(every_member_survives_the_way)
{
    struct xc_sr_local_config a = sample(), b = { .name = "" };
    char why[160] = "", *text = NULL;
    size_t len = 0;

    ck_assert_int_eq(xl_config_to_json(&a, &text, &len), 0);
    ck_assert_uint_eq(strlen(text), len);
    ck_assert_int_eq(xl_config_from_json(text, len, &b, why, sizeof(why)), 0);
    ck_assert_str_eq(b.name, a.name);
    ck_assert_uint_eq(b.memory_kib, a.memory_kib);
    ck_assert_uint_eq(b.vcpus, a.vcpus);
    ck_assert_int_eq(b.workload, a.workload);
    ck_assert_uint_eq(b.rate_ops_per_s, a.rate_ops_per_s);
    ck_assert_uint_eq(b.working_set_kib, a.working_set_kib);
    ck_assert_uint_eq(b.populate_percent, a.populate_percent);
    ck_assert_uint_eq(b.seed, a.seed);
    ck_assert_uint_eq(b.suspend_delay_us, a.suspend_delay_us);
    ck_assert(b.sync_dirty_log);
    free(text);
}
END_TEST

static int parse(const char *text, struct xc_sr_local_config *config,
                 char why[160])
{
    why[0] = '\0';
    return xl_config_from_json(text, strlen(text), config, why, 160);
}

START_TEST(missing_members_get_their_default_and_unknown_ones_pass)
{
    static const char text[] = "{\"x\":[1,{}],\"local_guest\":{\"name\":\"g\","
                               "\"memory_kib\":4096,\"vcpus\":1,"
                               "\"later\":{\"a\":null},\"rate\":null}}";
    struct xc_sr_local_config c, wanted = { .name = "" };
    char why[160];

    xc_sr_local_config_init(&wanted);
    ck_assert_int_eq(parse(text, &c, why), 0);
    ck_assert_uint_eq(c.rate_ops_per_s, wanted.rate_ops_per_s);
    ck_assert_int_eq(c.workload, wanted.workload);
    ck_assert_uint_eq(c.seed, wanted.seed);
}
END_TEST

#define GUEST(members) "{\"local_guest\":{" members "}}"
#define SIZED          "\"memory_kib\":4096,\"vcpus\":1"

static const struct
{
    const char *text;
    const char *why; /* has to be part of what is said */
} hostile[] = {
    { "", "" },
    { "{", "" },
    { "null", "local_guest" },
    { "[]", "local_guest" },
    { "{}", "local_guest" },
    { "{\"local_guest\":7}", "local_guest" },
    { GUEST(SIZED), "name is missing" },
    { GUEST("\"name\":\"\"," SIZED), "name" },
    { GUEST("\"name\":\"..\"," SIZED), "name" },
    { GUEST("\"name\":\"../../etc/passwd\"," SIZED), "name" },
    { GUEST("\"name\":\"a/b\"," SIZED), "name" },
    { GUEST("\"name\":\"-f\"," SIZED), "name" },
    { GUEST("\"name\":\"a\\u0000b\"," SIZED), "NUL" },
    { GUEST("\"name\":\"a\\nb\"," SIZED), "name" },
    { GUEST("\"name\":[]," SIZED), "name" },
    { GUEST(
          "\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaa\"," SIZED),
      "name" },
    { GUEST("\"name\":\"g\",\"vcpus\":1"), "memory_kib is missing" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":0"), "memory_kib" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":-4"), "memory_kib" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":4097"), "multiple" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":4096.5"), "memory_kib" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":\"4096\""),
      "memory_kib" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":9223372036854775804"),
      "memory_kib" },
    { GUEST("\"name\":\"g\",\"vcpus\":1,\"memory_kib\":99999999999999999999"),
      "" },
    { GUEST("\"name\":\"g\",\"memory_kib\":4096"), "vcpus is missing" },
    { GUEST("\"name\":\"g\",\"memory_kib\":4096,\"vcpus\":0"), "vcpus" },
    { GUEST("\"name\":\"g\",\"memory_kib\":4096,\"vcpus\":65"), "vcpus" },
    { GUEST("\"name\":\"g\"," SIZED ",\"workload\":\"mine\""), "workload" },
    { GUEST("\"name\":\"g\"," SIZED ",\"workload\":3"), "workload" },
    { GUEST("\"name\":\"g\"," SIZED ",\"populate_percent\":101"),
      "populate_percent" },
    { GUEST("\"name\":\"g\"," SIZED ",\"suspend_delay_us\":10000001"),
      "suspend_delay_us" },
    { GUEST("\"name\":\"g\"," SIZED ",\"working_set_kib\":4100"),
      "working_set_kib: more than memory_kib" },
    { GUEST("\"name\":\"g\"," SIZED ",\"working_set_kib\":3"),
      "working_set_kib: not a multiple" },
    { GUEST("\"name\":\"g\"," SIZED ",\"seed\":\"0x1\""), "seed" },
    { GUEST("\"name\":\"g\"," SIZED ",\"seed\":\"99999999999999999999\""),
      "seed" },
    { GUEST("\"name\":\"g\"," SIZED ",\"seed\":1"), "seed" },
    { GUEST("\"name\":\"g\"," SIZED ",\"sync_dirty_log\":1"),
      "sync_dirty_log" },
    { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "deep" },
    { "{\"local_guest\":{\"name\":\"g\"," SIZED "}} trailing", "" },
};

START_TEST(hostile_texts_are_refused_and_explained)
{
    struct xc_sr_local_config before = sample(), c = before;
    char why[160];

    ck_assert_msg(parse(hostile[_i].text, &c, why) < 0, "taken: %s",
                  hostile[_i].text);
    ck_assert_msg(why[0] != '\0', "nothing said about %s", hostile[_i].text);
    ck_assert_msg(strstr(why, hostile[_i].why) != NULL, "%s: said `%s`",
                  hostile[_i].text, why);
    ck_assert_msg(!strchr(why, '\n'), "more than one line: %s", why);
    ck_assert_msg(!memcmp(&before, &c, sizeof(c)), "touched on failure");
}
END_TEST

START_TEST(a_nul_inside_is_refused)
{
    static const char text[] = "{\"local_guest\":\0{}}";
    struct xc_sr_local_config c;
    char why[160] = "";

    ck_assert_int_lt(
        xl_config_from_json(text, sizeof(text) - 1, &c, why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "NUL"));
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    struct xc_sr_local_config a = sample(), b;
    char why[160], *text = NULL;
    size_t len = 0, cut;

    ck_assert_int_eq(xl_config_to_json(&a, &text, &len), 0);
    for ( cut = 0; cut < len; cut++ )
    {
        char *copy = strndup(text, cut);

        ck_assert_msg(xl_config_from_json(copy, cut, &b, why, sizeof(why)) < 0,
                      "taken with %zu of %zu octets", cut, len);
        free(copy);
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_config");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_test(t, every_member_survives_the_way);
    tcase_add_test(t, missing_members_get_their_default_and_unknown_ones_pass);
    tcase_add_loop_test(t, hostile_texts_are_refused_and_explained, 0,
                        sizeof(hostile) / sizeof(hostile[0]));
    tcase_add_test(t, a_nul_inside_is_refused);
    tcase_add_test(t, every_truncation_is_refused);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_args.c: the command line of migrate, its defaults, and where DEST
 * leads.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "xl_migrate_args.h"
#include "xl_transport.h"

#define MAX_ARGS 32

/* Splits at blanks; "''" is an empty argument.  The number of words. */
static int split(const char *command, const char *line, char *text,
                 size_t text_len, char *argv[MAX_ARGS + 1])
{
    char *save = NULL, *word;
    int argc = 0;

    snprintf(text, text_len, "%s %s", command, line);
    for ( word = strtok_r(text, " ", &save); word && argc < MAX_ARGS;
          word = strtok_r(NULL, " ", &save) )
        argv[argc++] = strcmp(word, "''") ? word : word + 2;
    argv[argc] = NULL;
    return argc;
}

static int parse(const char *line, struct xl_migrate_args *args, char why[256])
{
    static char text[512];
    char *argv[MAX_ARGS + 1];
    int argc = split("migrate", line, text, sizeof(text), argv);

    why[0] = '\0';
    return xl_migrate_args_parse(argc, argv, args, why, 256);
}

START_TEST(defaults_without_postcopy)
{
    struct xl_migrate_args a;
    char why[256];

    ck_assert_int_eq(parse("g dest", &a, why), 0);
    ck_assert_str_eq(a.name, "g");
    ck_assert_str_eq(a.dest, "dest");
    ck_assert_ptr_null(a.carrier);
    ck_assert_ptr_null(a.stats_file);
    ck_assert(!a.policy.allow_postcopy);
    ck_assert_uint_eq(a.policy.max_iterations, 5);
    ck_assert_uint_eq(a.policy.threshold_pages, 50);
    ck_assert_uint_eq(a.policy.max_downtime_us, 0);
    ck_assert_uint_eq(a.bandwidth_bytes_per_s, 0);
    ck_assert_uint_eq(a.stream_version, 3);
    ck_assert_int_eq(a.progress, XL_PROGRESS_AUTO);
    ck_assert(!a.paused);
    ck_assert_uint_eq(a.timeout_s, 0);
}
END_TEST

START_TEST(postcopy_switches_after_one_round)
{
    struct xl_migrate_args a;
    char why[256];

    ck_assert_int_eq(parse("--postcopy g dest", &a, why), 0);
    ck_assert(a.policy.allow_postcopy);
    ck_assert_uint_eq(a.policy.max_iterations, 1);
    ck_assert_int_eq(parse("--postcopy --precopy-iterations 0 g d", &a, why),
                     0);
    ck_assert_uint_eq(a.policy.max_iterations, 0);
}
END_TEST

START_TEST(every_option_counts)
{
    struct xl_migrate_args a;
    char why[256];

    ck_assert_int_eq(parse("g --postcopy --precopy-iterations=7 --threshold 3 "
                           "--max-downtime 250 --bandwidth 1.5 "
                           "--postcopy-bandwidth=20 --stream-version 2 -p -q "
                           "-s '' --stats f --timeout 90 dest",
                           &a, why),
                     0);
    ck_assert_uint_eq(a.policy.max_iterations, 7);
    ck_assert_uint_eq(a.policy.threshold_pages, 3);
    ck_assert_uint_eq(a.policy.max_downtime_us, 250000);
    ck_assert_uint_eq(a.bandwidth_bytes_per_s, 1500000);
    ck_assert_uint_eq(a.postcopy_bandwidth_bytes_per_s, 20000000);
    ck_assert_uint_eq(a.stream_version, 2);
    ck_assert(a.paused && a.quiet);
    ck_assert_int_eq(a.progress, XL_PROGRESS_NONE);
    ck_assert_str_eq(a.carrier, "");
    ck_assert_str_eq(a.stats_file, "f");
    ck_assert_uint_eq(a.timeout_s, 90);
}
END_TEST

static const struct
{
    const char *line;
    const char *why;
} wrong[] = {
    { "", "NAME and DEST" },
    { "g", "NAME and DEST" },
    { "g d extra", "NAME and DEST" },
    { "../g d", "name" },
    { "--frob g d", "--frob" },
    { "-x g d", "-x: no such" },
    { "-qvp g d", "-v: no such" },
    { "-qs", "-s: a value is missing" },
    { "--stats", "--stats: a value is missing" },
    { "g d --stats", "--stats" },
    { "--precopy-iterations -1 g d", "--precopy-iterations" },
    { "--precopy-iterations many g d", "--precopy-iterations" },
    { "--threshold 1.5 g d", "--threshold" },
    { "--max-downtime 0 g d", "--max-downtime" },
    { "--max-downtime 3600001 g d", "--max-downtime" },
    { "--bandwidth 0 g d", "--bandwidth" },
    { "--bandwidth 117MB g d", "--bandwidth" },
    { "--bandwidth 1.2345 g d", "three decimals" },
    { "--bandwidth 99999999999 g d", "--bandwidth" },
    { "--postcopy-bandwidth 10 g d", "--postcopy" },
    { "--stream-version 1 g d", "2 or 3" },
    { "--stream-version 4 g d", "2 or 3" },
    { "--progress=loud g d", "json" },
    { "--postcopy=yes g d", "--postcopy" },
    { "--timeout 0 g d", "from 1 to 3600" },
    { "--timeout 3601 g d", "from 1 to 3600" },
    { "--timeout 1.5 g d", "--timeout: `1.5`" },
};

START_TEST(nonsense_is_refused_by_name)
{
    struct xl_migrate_args a = { .name = "before" };
    char why[256];

    ck_assert_msg(parse(wrong[_i].line, &a, why) < 0, "taken: %s",
                  wrong[_i].line);
    ck_assert_msg(strstr(why, wrong[_i].why) != NULL, "%s: said `%s`",
                  wrong[_i].line, why);
    ck_assert_str_eq(a.name, "before");
}
END_TEST

static int parse_receive(const char *line, struct xl_receive_args *args,
                         char why[256])
{
    char text[128], *argv[MAX_ARGS + 1];
    int argc = split("migrate-receive", line, text, sizeof(text), argv);

    why[0] = '\0';
    return xl_receive_args_parse(argc, argv, args, why, 256);
}

START_TEST(what_a_receiver_is_told)
{
    struct xl_receive_args a;
    char why[256];

    ck_assert_int_eq(parse_receive("", &a, why), 0);
    ck_assert(!a.paused);
    ck_assert_uint_eq(a.timeout_s, 0);
    ck_assert_int_eq(parse_receive("--timeout=3600 -p", &a, why), 0);
    ck_assert(a.paused);
    ck_assert_uint_eq(a.timeout_s, 3600);
}
END_TEST

static const struct
{
    const char *line;
    const char *why;
} receive_wrong[] = {
    { "-x", "-x: no such option" },
    { "--postcopy", "--postcopy: no such option" },
    { "g", "`g` is not wanted" },
    { "--timeout", "value is missing" },
    { "--timeout soon", "`soon` is not seconds" },
    { "--timeout 0", "from 1 to 3600" },
};

START_TEST(a_receiver_refuses_nonsense)
{
    struct xl_receive_args a = { .timeout_s = 7 };
    char why[256];

    ck_assert_int_lt(parse_receive(receive_wrong[_i].line, &a, why), 0);
    ck_assert_msg(strstr(why, receive_wrong[_i].why) != NULL, "%s: said `%s`",
                  receive_wrong[_i].line, why);
    ck_assert_uint_eq(a.timeout_s, 7);
}
END_TEST

static int resolve(const char *dest, const char *carrier, struct xl_target *t)
{
    char why[256] = "";
    struct xl_target_wish wish = { .dest = dest,
                                   .carrier = carrier,
                                   .receiver = { .paused = true } };
    int rc = xl_target_resolve(&wish, t, why, sizeof(why));

    if ( rc )
        ck_assert_msg(why[0] != '\0', "nothing said about %s", dest);
    return rc;
}

START_TEST(destinations)
{
    struct xl_target t;

    ck_assert_int_eq(resolve("/", NULL, &t), 0);
    ck_assert_str_eq(t.dir, "/");
    ck_assert_ptr_null(t.command);

    ck_assert_int_eq(resolve("host:/srv/a b", NULL, &t), 0);
    ck_assert_str_eq(t.dir, "");
    ck_assert_str_eq(t.command,
                     "exec ssh 'host' 'xl --local '\\''/srv/a b'\\'' "
                     "migrate-receive -p'");
    xl_target_dispose(&t);

    ck_assert_int_eq(resolve("[fe80::1]:dir", "ssh -i key", &t), 0);
    ck_assert_str_eq(t.command,
                     "exec ssh -i key '[fe80::1]' 'xl --local '\\''dir'\\'' "
                     "migrate-receive -p'");
    xl_target_dispose(&t);

    ck_assert_int_eq(resolve("nc there 9100", "", &t), 0);
    ck_assert_str_eq(t.command, "nc there 9100");
    xl_target_dispose(&t);
}
END_TEST

START_TEST(what_is_no_destination)
{
    static const char *const bad[] = { "",     "host",    "host:",
                                       ":dir", "-oX:dir", "/no/such/dir" };
    struct xl_target t;
    unsigned int i;

    for ( i = 0; i < sizeof(bad) / sizeof(bad[0]); i++ )
        ck_assert_msg(resolve(bad[i], NULL, &t) < 0, "taken: `%s`", bad[i]);
    ck_assert_int_lt(resolve(" \t", "", &t), 0);
}
END_TEST

/* A receiver that we start has the deadline we were given, and no other. */
START_TEST(the_deadline_is_passed_on)
{
    struct xl_target_wish wish = { .dest = "h:d", .receiver.timeout_s = 9 };
    struct xl_target t;
    char why[256] = "";

    ck_assert_int_eq(xl_target_resolve(&wish, &t, why, sizeof(why)), 0);
    ck_assert_str_eq(t.command, "exec ssh 'h' 'xl --local '\\''d'\\'' "
                                "migrate-receive --timeout 9'");
    xl_target_dispose(&t);
}
END_TEST

/* What the far shell makes of it is the directory, whatever is in its name. */
START_TEST(quoting_survives_two_shells)
{
    static const char dir[] = "a'b \"c\" $(echo no) `x` \\ ;&|";
    char dest[128], line[256] = "";
    struct xl_target t;
    FILE *out;

    snprintf(dest, sizeof(dest), "h:%s", dir);
    /* `sh -c COMMAND` stands for the far side; $0 is then the host. */
    ck_assert_int_eq(resolve(dest,
                             "sh -c 'xl() { printf %s \"$2\"; }; eval "
                             "\"$1\"'",
                             &t),
                     0);
    out = popen(t.command, "r");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fread(line, 1, sizeof(line) - 1, out), strlen(dir));
    ck_assert_int_eq(pclose(out), 0);
    ck_assert_str_eq(line, dir);
    xl_target_dispose(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_args");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_test(t, defaults_without_postcopy);
    tcase_add_test(t, postcopy_switches_after_one_round);
    tcase_add_test(t, every_option_counts);
    tcase_add_loop_test(t, nonsense_is_refused_by_name, 0,
                        sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(t, what_a_receiver_is_told);
    tcase_add_loop_test(t, a_receiver_refuses_nonsense, 0,
                        sizeof(receive_wrong) / sizeof(receive_wrong[0]));
    tcase_add_test(t, destinations);
    tcase_add_test(t, the_deadline_is_passed_on);
    tcase_add_test(t, what_is_no_destination);
    tcase_add_test(t, quoting_survives_two_shells);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

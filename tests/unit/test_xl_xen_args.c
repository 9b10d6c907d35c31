/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_args.c: the command lines of migrate and migrate-receive for
 * guests of a real Xen, and what a shell at the other host makes of the
 * command that it is sent.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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
    return xl_migrate_args_parse_xen(argc, argv, args, why, 256);
}

START_TEST(postcopy_alone)
{
    struct xl_migrate_args a;
    char why[256];

    ck_assert_int_eq(parse("--postcopy 17 xen2", &a, why), 0);
    ck_assert_str_eq(a.name, "17");
    ck_assert_str_eq(a.dest, "xen2");
    ck_assert(a.policy.allow_postcopy);
    ck_assert(!a.require_postcopy);
    ck_assert(!a.no_monitor && !a.keep_domid && !a.debug && !a.paused);
    ck_assert_ptr_null(a.config_file);
    ck_assert_ptr_null(a.remote_xl);
    ck_assert_uint_eq(a.policy.max_iterations, 1);
    ck_assert_uint_eq(a.stream_version, 3);
}
END_TEST

START_TEST(every_option_counts)
{
    struct xl_migrate_args a;
    char why[256];

    ck_assert_int_eq(parse("--postcopy=require -e -p -D -C new.cfg --debug -s "
                           "rsh --remote-xl /opt/xl --stats f --timeout 9 "
                           "--bandwidth 10 --postcopy-bandwidth 5.5 "
                           "--precopy-iterations 0 --max-downtime 30 "
                           "--stream-version 2 --progress=json web root@h",
                           &a, why),
                     0);
    ck_assert(a.require_postcopy && a.policy.allow_postcopy);
    ck_assert(a.no_monitor && a.keep_domid && a.debug && a.paused);
    ck_assert_str_eq(a.config_file, "new.cfg");
    ck_assert_str_eq(a.remote_xl, "/opt/xl");
    ck_assert_str_eq(a.carrier, "rsh");
    ck_assert_str_eq(a.stats_file, "f");
    ck_assert_uint_eq(a.timeout_s, 9);
    ck_assert_uint_eq(a.bandwidth_bytes_per_s, 10000000);
    ck_assert_uint_eq(a.postcopy_bandwidth_bytes_per_s, 5500000);
    ck_assert_uint_eq(a.policy.max_iterations, 0);
    ck_assert_uint_eq(a.policy.max_downtime_us, 30000);
    ck_assert_uint_eq(a.stream_version, 2);
    ck_assert_int_eq(a.progress, XL_PROGRESS_JSON);
    ck_assert_str_eq(a.name, "web");
    ck_assert_str_eq(a.dest, "root@h");
}
END_TEST

static const struct
{
    const char *line;
    const char *why;
} wrong[] = {
    { "--postcopy g", "DOMAIN and HOST" },
    { "--postcopy", "0 arguments" },
    { "--postcopy=yes g h", "`yes` is not `require`" },
    { "--postcopy= g h", "`require`" },
    { "--postcopy g h more", "3 arguments" },
    { "--postcopy -x g h", "-x: no such option" },
    { "--postcopy '' h", "`` cannot be a domain" },
    { "--postcopy g ''", "`` cannot be a host" },
    { "--postcopy -- g -oProxyCommand=x", "cannot be a host" },
    { "--postcopy -s '' --remote-xl /x g h", "--remote-xl has no meaning" },
    { "--postcopy --remote-xl '' g h", "--remote-xl: `` is not" },
    { "--postcopy --timeout 0 g h", "from 1 to 3600" },
    { "--postcopy -C", "-C: a value is missing" },
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
    return xl_receive_args_parse_xen(argc, argv, args, why, 256);
}

START_TEST(what_a_receiver_is_told)
{
    struct xl_receive_args a;
    char why[256];

    ck_assert_int_eq(parse_receive("--postcopy", &a, why), 0);
    ck_assert(!a.paused && !a.no_monitor);
    ck_assert_int_eq(parse_receive("--postcopy -p -e --timeout 7", &a, why), 0);
    ck_assert(a.paused && a.no_monitor);
    ck_assert_uint_eq(a.timeout_s, 7);
    ck_assert_int_lt(parse_receive("--postcopy g", &a, why), 0);
    ck_assert_ptr_nonnull(strstr(why, "`g` is not wanted"));
    ck_assert_int_lt(parse_receive("-r", &a, why), 0);
}
END_TEST

/* ---- The command for the other host -------------------------------------------- */

/* The far login shell: takes the remote command as ssh would give it one. */
#define FAR_SHELL "sh -c 'exec sh -c \"$1\"'"

static void run(const char *command, char *line, size_t len)
{
    FILE *out = popen(command, "r");

    ck_assert_ptr_nonnull(out);
    line[fread(line, 1, len - 1, out)] = '\0';
    ck_assert_int_eq(pclose(out), 0);
}

START_TEST(the_named_xl_is_run)
{
    struct xl_remote_wish wish = { .host = "h",
                                   .carrier = FAR_SHELL,
                                   .remote_xl = "/bin/echo",
                                   .arguments = "migrate-receive --postcopy" };
    char *command = NULL, line[128];

    ck_assert_int_eq(xl_remote_command(&wish, &command), 0);
    run(command, line, sizeof(line));
    ck_assert_str_eq(line, "migrate-receive --postcopy\n");
    free(command);
}
END_TEST

START_TEST(a_strange_path_is_one_word)
{
    struct xl_remote_wish wish = { .host = "h",
                                   .carrier = FAR_SHELL,
                                   .remote_xl = "/no 'such' $(xl)",
                                   .arguments = "2>&1 || true" };
    char *command = NULL, line[256];
    FILE *out;

    ck_assert_int_eq(xl_remote_command(&wish, &command), 0);
    /* exec fails, which ends the far shell: look at what it says. */
    out = popen(command, "r");
    ck_assert_ptr_nonnull(out);
    line[fread(line, 1, sizeof(line) - 1, out)] = '\0';
    ck_assert_int_ne(pclose(out), 0);
    ck_assert_ptr_nonnull(strstr(line, "/no 'such' $(xl)"));
    free(command);
}
END_TEST

/* Where ours is, here this very program, or else xl in PATH. */
START_TEST(ours_is_preferred_there)
{
    struct xl_remote_wish wish = { .host = "h",
                                   .carrier = "echo",
                                   .arguments = "postcopy-check" };
    char *command = NULL, line[1024];

    ck_assert_int_eq(xl_remote_command(&wish, &command), 0);
    run(command, line, sizeof(line));
    ck_assert_ptr_nonnull(strstr(line, "test_xl_xen_args"));
    ck_assert_ptr_nonnull(strstr(line, "|| x=xl; exec \"$x\" postcopy-check"));
    free(command);
}
END_TEST

/* Without a terminal there is nobody to answer a question of ssh's. */
START_TEST(ssh_asks_nobody)
{
    struct xl_remote_wish wish = { .host = "h", .arguments = "x" };
    char *command = NULL;
    pid_t pid = fork();
    int status = -1;

    ck_assert_int_ge(pid, 0);
    if ( !pid )
        _exit(setsid() < 0 || xl_remote_command(&wish, &command) ? 1
              : strstr(command, "BatchMode=yes")                 ? 42
                                                                 : 2);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 42);
}
END_TEST

START_TEST(ssh_never_waits_for_ever)
{
    struct xl_remote_wish wish = { .host = "h", .arguments = "x" };
    char *command = NULL;

    ck_assert_int_eq(xl_remote_command(&wish, &command), 0);
    ck_assert_ptr_nonnull(strstr(command, "exec ssh "));
    ck_assert_ptr_nonnull(strstr(command, "ConnectTimeout="));
    ck_assert_ptr_nonnull(strstr(command, "ServerAliveInterval="));
    free(command);
    wish.carrier = "";
    ck_assert_int_eq(xl_remote_command(&wish, &command), 0);
    ck_assert_str_eq(command, "h");
    free(command);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_args");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_test(t, postcopy_alone);
    tcase_add_test(t, every_option_counts);
    tcase_add_loop_test(t, nonsense_is_refused_by_name, 0,
                        sizeof(wrong) / sizeof(wrong[0]));
    tcase_add_test(t, what_a_receiver_is_told);
    tcase_add_test(t, the_named_xl_is_run);
    tcase_add_test(t, a_strange_path_is_one_word);
    tcase_add_test(t, ours_is_preferred_there);
    tcase_add_test(t, ssh_never_waits_for_ever);
    tcase_add_test(t, ssh_asks_nobody);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

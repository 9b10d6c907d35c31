/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_helper_msgs.c: libxl's helper messages: what is written for libxl, what
 * the stock helper writes, what is refused, and libxl's command lines.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper_msgs.h"

static uint8_t buf[LIBXL_PC_MSG_PREFIX + LIBXL_PC_MSG_MAX];

static int decode(const void *p, size_t len,
                  struct libxl_postcopy__message *msg_r, size_t *used_r)
{
    return libxl_postcopy__msg_decode(p, len, msg_r, used_r);
}

/* ---- Octets ---------------------------------------------------------------------- */

/* As libxl 4.17 on x86 reads them; each was taken from its own helper. */
static const struct
{
    struct libxl_postcopy__message msg;
    const char *octets;
    size_t len;
} known[] = {
    { { LIBXL_PC_MSG_SUSPEND, { 0 }, { NULL } }, "\2\0\3\0", 4 },
    { { LIBXL_PC_MSG_LOGDIRTY, { 4, 1 }, { NULL } },
      "\12\0\7\0\4\0\0\0\1\0\0\0",
      12 },
    { { LIBXL_PC_MSG_STATIC_DATA_DONE, { 3 }, { NULL } },
      "\6\0\10\0\3\0\0\0",
      8 },
    { { LIBXL_PC_MSG_RESTORE_RESULTS, { 0xfeffc, 0xfefff }, { NULL } },
      "\22\0\11\0\374\357\17\0\0\0\0\0\377\357\17\0\0\0\0\0",
      20 },
    { { LIBXL_PC_MSG_COMPLETE, { (uint64_t)-1, EIO }, { NULL } },
      "\12\0\12\0\377\377\377\377\5\0\0\0",
      12 },
    { { LIBXL_PC_MSG_LOG, { 8, 2 }, { "xc", "no" } },
      "\30\0\1\0\10\0\0\0\2\0\0\0\3\0\0\0xc\0\3\0\0\0no\0",
      26 },
    { { LIBXL_PC_MSG_PROGRESS, { 1, 2 }, { "a", "b" } },
      "\36\0\2\0\2\0\0\0a\0\2\0\0\0b\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0",
      32 },
};

#define NR_KNOWN ((int)(sizeof(known) / sizeof(known[0])))

START_TEST(written_as_libxl_reads_it)
{
    size_t len = 0;

    ck_assert_int_eq(
        libxl_postcopy__msg_encode(&known[_i].msg, buf, sizeof(buf), &len), 0);
    ck_assert_uint_eq(len, known[_i].len);
    ck_assert_mem_eq(buf, known[_i].octets, len);
}
END_TEST

START_TEST(read_as_it_was_written)
{
    const struct libxl_postcopy__message *want = &known[_i].msg;
    struct libxl_postcopy__message got;
    size_t used = 99;

    /* Too little is no message yet, at every octet. */
    for ( size_t len = 0; len < known[_i].len; len++ )
    {
        ck_assert_int_eq(decode(known[_i].octets, len, &got, &used), 0);
        ck_assert_uint_eq(used, 0);
    }
    ck_assert_int_eq(decode(known[_i].octets, known[_i].len, &got, &used), 0);
    ck_assert_uint_eq(used, known[_i].len);
    ck_assert_int_eq((int)got.number, (int)want->number);
    ck_assert_mem_eq(got.values, want->values, sizeof(got.values));
    for ( int i = 0; i < LIBXL_PC_MSG_STRINGS; i++ )
        ck_assert_pstr_eq(got.strings[i], want->strings[i]);
}
END_TEST

START_TEST(what_is_no_message_is_refused)
{
    static const struct
    {
        const char *octets;
        size_t len;
    } wrong[] = {
        { "\1\0\3", 3 },        /* half a number */
        { "\0\0", 2 },          /* none */
        { "\2\0\13\0", 4 },     /* number 11 */
        { "\2\0\0\0", 4 },      /* number 0 */
        { "\3\0\3\0\0", 5 },    /* octets too many */
        { "\4\0\10\0\1\0", 6 }, /* too few */
        { "\22\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20 }, /* empty strings */
        { "\24\0\1\0\0\0\0\0\0\0\0\0\377\0\0\0aa\0\0\0\0", 22 }, /* long one */
        { "\24\0\1\0\0\0\0\0\0\0\0\0\1\0\0\0a\1\0\0\0\0", 22 },  /* no NUL */
    };

    for ( size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++ )
    {
        struct libxl_postcopy__message got;
        size_t used;

        ck_assert_int_eq(decode(wrong[i].octets, wrong[i].len, &got, &used),
                         -EPROTO);
    }
}
END_TEST

START_TEST(what_does_not_fit_is_not_written)
{
    struct libxl_postcopy__message msg = { .number = LIBXL_PC_MSG_LOG,
                                           .strings = { "a", NULL } };
    char *text = malloc(LIBXL_PC_MSG_MAX + 1);
    size_t len = 7;

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', LIBXL_PC_MSG_MAX);
    text[LIBXL_PC_MSG_MAX] = '\0';
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     -EINVAL);
    msg.strings[1] = text;
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     -EMSGSIZE);
    /* number 2, numbers 8, lengths 8, "a" 2: so much is left for the text. */
    text[LIBXL_PC_MSG_MAX - 20] = '\0';
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     -EMSGSIZE);
    text[LIBXL_PC_MSG_MAX - 21] = '\0';
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     0);
    ck_assert_uint_eq(len, sizeof(buf));
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, len - 1, &len),
                     -EMSGSIZE);
    msg.number = LIBXL_PC_MSG_STATIC_DATA_DONE;
    msg.values[0] = UINT64_C(1) << 32;
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     -EINVAL);
    msg.number = LIBXL_PC_MSG_COUNT;
    ck_assert_int_eq(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len),
                     -EINVAL);
    free(text);
}
END_TEST

START_TEST(answers_mean_what_libxl_means)
{
    static const struct
    {
        enum libxl_postcopy__msg number;
        int of_0;
        int of_1;
    } rules[] = {
        { LIBXL_PC_MSG_SUSPEND, -EIO, 0 },
        { LIBXL_PC_MSG_POSTCOPY, -EIO, 0 },
        { LIBXL_PC_MSG_CHECKPOINT, -EIO, 0 },
        { LIBXL_PC_MSG_WAIT_CHECKPOINT, -EIO, 0 },
        { LIBXL_PC_MSG_LOGDIRTY, 0, -EIO },
        { LIBXL_PC_MSG_STATIC_DATA_DONE, 0, -EIO },
        { LIBXL_PC_MSG_COMPLETE, 0, 0 },
    };

    for ( size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++ )
    {
        enum libxl_postcopy__msg n = rules[i].number;

        ck_assert(libxl_postcopy__msg_wants_answer(n));
        ck_assert_int_eq(libxl_postcopy__msg_verdict(n, 0), rules[i].of_0);
        ck_assert_int_eq(libxl_postcopy__msg_verdict(n, 1), rules[i].of_1);
    }
    ck_assert(!libxl_postcopy__msg_wants_answer(LIBXL_PC_MSG_LOG));
    ck_assert(!libxl_postcopy__msg_wants_answer(LIBXL_PC_MSG_RESTORE_RESULTS));
    ck_assert_ptr_null(libxl_postcopy__msg_name(LIBXL_PC_MSG_COUNT));
    ck_assert_str_eq(libxl_postcopy__msg_name(LIBXL_PC_MSG_LOGDIRTY),
                     "switch_qemu_logdirty");
}
END_TEST

/* ---- What the stock helper said ----------------------------------------------------- */

/*
 * Recorded in the rig between xl 4.17 and its own helper, a PVH guest saved to
 * a file and restored from it; repeated progress was cut out.
 */
static const struct
{
    const char *name;
    const unsigned char *said; /* numbers but log and progress */
} transcripts[] = {
    { "helper-save", (const unsigned char *)"\7\3\7\12" },
    { "helper-restore", (const unsigned char *)"\10\11\12" },
};

static size_t read_vector(const char *name, const char *what, uint8_t *to)
{
    char path[512];
    size_t len;
    FILE *f;

    ck_assert_ptr_nonnull(getenv("TOP"));
    snprintf(path, sizeof(path), "%s/tests/vectors/%s.%s", getenv("TOP"), name,
             what);
    f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    len = fread(to, 1, 8192, f);
    ck_assert_uint_lt(len, 8192);
    fclose(f);
    return len;
}

START_TEST(what_the_stock_helper_said)
{
    static uint8_t out[8192], in[8192];
    size_t len = read_vector(transcripts[_i].name, "out", out);
    size_t answers = read_vector(transcripts[_i].name, "in", in);
    const unsigned char *said = transcripts[_i].said;
    size_t at = 0, used, again;

    for ( size_t answered = 0; at < len; at += used )
    {
        struct libxl_postcopy__message msg;
        int value;

        ck_assert_int_eq(decode(out + at, len - at, &msg, &used), 0);
        ck_assert_uint_gt(used, 0);
        ck_assert_int_eq(
            libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &again), 0);
        ck_assert_uint_eq(again, used);
        ck_assert_mem_eq(buf, out + at, used);
        if ( msg.number > LIBXL_PC_MSG_PROGRESS )
            ck_assert_int_eq((int)msg.number, *said++);
        if ( !libxl_postcopy__msg_wants_answer(msg.number) )
            continue;
        ck_assert_uint_le(answered + sizeof(value), answers);
        memcpy(&value, in + answered, sizeof(value));
        answered += sizeof(value);
        ck_assert_int_eq(libxl_postcopy__msg_verdict(msg.number, value), 0);
        ck_assert(msg.number != LIBXL_PC_MSG_COMPLETE || answered == answers);
    }
    ck_assert_int_eq(*said, 0);
}
END_TEST

START_TEST(how_the_stock_helper_was_run)
{
    static uint8_t text[8192];
    size_t len = read_vector(transcripts[_i].name, "args", text);
    struct libxl_postcopy__helper_args args;
    char *argv[16] = { NULL };
    int argc = 0;

    argv[argc++] = NULL; /* the program: nobody looks */
    for ( size_t at = 0; at < len && argc < 16;
          at += strlen((char *)text + at) + 1 )
        argv[argc++] = (char *)text + at;
    ck_assert_int_eq(libxl_postcopy__helper_args_parse(argc, argv, &args), 0);
    ck_assert(args.restore == (_i == 1));
    ck_assert_uint_eq(args.domid, args.restore ? 6 : 5);
    ck_assert_uint_eq(args.cbflags, args.restore ? 768 : 136);
    ck_assert_uint_eq(args.console_evtchn, args.restore ? 2 : 0);
}
END_TEST

/* ---- Command lines ------------------------------------------------------------------ */

#define ARGS(...)                                                              \
    (char *const[])                                                            \
    {                                                                          \
        __VA_ARGS__                                                            \
    }

START_TEST(command_lines)
{
    struct libxl_postcopy__helper_args a;

    ck_assert_int_eq(
        libxl_postcopy__helper_args_parse(
            8, ARGS("h", "--save-domain", "4", "14", "1", "1", "136", "0"), &a),
        0);
    ck_assert(!a.restore);
    ck_assert_int_eq(a.io_fd, 4);
    ck_assert_int_eq(a.back_fd, 14);
    ck_assert_uint_eq(a.domid, 1);
    ck_assert_uint_eq(a.flags, 1);
    ck_assert_uint_eq(a.cbflags,
                      libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_SUSPEND) |
                          libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_LOGDIRTY));
    ck_assert_uint_eq(a.stream_type, 0);

    ck_assert_int_eq(libxl_postcopy__helper_args_parse(
                         11,
                         ARGS("h", "--restore-domain", "17", "-1", "5", "1",
                              "0", "2", "7", "768", "3"),
                         &a),
                     0);
    ck_assert(a.restore);
    ck_assert_int_eq(a.back_fd, -1);
    ck_assert_uint_eq(a.domid, 5);
    ck_assert_uint_eq(a.store_evtchn, 1);
    ck_assert_uint_eq(a.store_domid, 0);
    ck_assert_uint_eq(a.console_evtchn, 2);
    ck_assert_uint_eq(a.console_domid, 7);
    ck_assert_uint_eq(a.cbflags, 768);
    ck_assert_uint_eq(a.stream_type, 3);
}
END_TEST

START_TEST(other_command_lines_are_refused)
{
    static char *const wrong[][8] = {
        { "h", "--save-domain", "4", "14", "1", "1", "136", "x" },
        { "h", "--save-domain", "4", "14", "", "1", "136", "0" },
        { "h", "--save-domain", "4", "14", "-1", "1", "136", "0" },
        { "h", "--save-domain", "4", "14", "4294967296", "1", "136", "0" },
        { "h", "--save-domain", "-2", "14", "1", "1", "136", "0" },
        { "h", "--restore-domain", "4", "14", "1", "1", "136", "0" },
        { "h", "--help", "4", "14", "1", "1", "136", "0" },
    };
    struct libxl_postcopy__helper_args a;

    for ( size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++ )
        ck_assert_int_eq(libxl_postcopy__helper_args_parse(8, wrong[i], &a),
                         -EINVAL);
    ck_assert_int_eq(libxl_postcopy__helper_args_parse(7, wrong[0], &a),
                     -EINVAL);
    ck_assert_int_eq(libxl_postcopy__helper_args_parse(1, wrong[0], &a),
                     -EINVAL);
}
END_TEST

static Suite *helper_msgs_suite(void)
{
    Suite *s = suite_create("helper_msgs");
    TCase *tc = tcase_create("messages");

    tcase_add_loop_test(tc, written_as_libxl_reads_it, 0, NR_KNOWN);
    tcase_add_loop_test(tc, read_as_it_was_written, 0, NR_KNOWN);
    tcase_add_test(tc, what_is_no_message_is_refused);
    tcase_add_test(tc, what_does_not_fit_is_not_written);
    tcase_add_test(tc, answers_mean_what_libxl_means);
    tcase_add_loop_test(tc, what_the_stock_helper_said, 0, 2);
    tcase_add_loop_test(tc, how_the_stock_helper_was_run, 0, 2);
    tcase_add_test(tc, command_lines);
    tcase_add_test(tc, other_command_lines_are_refused);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(helper_msgs_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

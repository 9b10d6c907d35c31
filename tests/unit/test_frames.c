/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_frames.c: the xl and libxl layers: what the writer makes the reader
 * reads back, in pieces of any size; turns, bounds, and each rule on bodies.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

#define LIBXC_LEN 100u /* octets that stand for a libxc stream */

static struct libxl_postcopy__buf buf;
static struct libxl_postcopy__frames frames;

static void set_up(void)
{
    memset(&buf, 0, sizeof(buf));
    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_LIBXL);
}

static void tear_down(void)
{
    libxl_postcopy__frames_dispose(&frames);
    libxl_postcopy__buf_dispose(&buf);
}

/* ---- Helpers ------------------------------------------------------------------ */

/* Everything that happened, one letter an event; bodies are collected. */
struct story
{
    char events[64];
    uint8_t body[256];
    size_t body_len;
};

/* Feeds from *at_r on, as a reader of a descriptor does: never more than
 * want() says.  Stops where it is not libxl's turn any more. */
static int tell(struct story *story, size_t piece, size_t *at_r)
{
    static const char letters[] = ".xhrbeLT!";
    size_t nr = strlen(story->events);

    for ( ;; )
    {
        enum libxl_postcopy__frame_event ev;
        size_t want = libxl_postcopy__frames_want(&frames), used = 0;
        size_t n = buf.len - *at_r;
        int rc;

        n = n < want ? n : want;
        n = n < piece ? n : piece;
        rc = libxl_postcopy__frames_feed(&frames, buf.data + *at_r, n, &used,
                                         &ev);
        if ( rc )
            return rc;
        ck_assert_uint_le(used, n);
        *at_r += used;
        if ( ev == LIBXL_PC_EV_MORE && *at_r == buf.len )
            return 0;
        if ( ev == LIBXL_PC_EV_BODY )
        {
            ck_assert_uint_le(story->body_len + frames.body_len,
                              sizeof(story->body));
            memcpy(story->body + story->body_len, frames.body, frames.body_len);
            story->body_len += frames.body_len;
            if ( nr && story->events[nr - 1] == 'b' )
                continue; /* how often depends on the pieces */
        }
        if ( ev != LIBXL_PC_EV_MORE )
            story->events[nr++] = letters[ev];
        if ( ev == LIBXL_PC_EV_LIBXC || ev == LIBXL_PC_EV_TURN_END ||
             ev == LIBXL_PC_EV_END )
            return 0;
    }
}

static void put_open(void)
{
    libxl_postcopy__put_header(&buf);
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_LIBXC_CONTEXT);
}

static void put_emulator(const char *context)
{
    libxl_postcopy__put_emulator(&buf, LIBXL_PC_FRAME_EMULATOR_CONTEXT,
                                 LIBXL_PC_EMULATOR_QEMU_UPSTREAM, 0, context,
                                 strlen(context));
}

/* A reader in the middle of a turn, with what stands in buf to read. */
static int read_turn(enum libxl_postcopy__turn turn, struct story *story)
{
    size_t at = 0;

    libxl_postcopy__frames_begin_turn(&frames, turn, 0);
    return tell(story, SIZE_MAX, &at);
}

static void expect_fault(int rc, int error, const char *type, const char *field,
                         uint64_t offset)
{
    ck_assert_int_eq(rc, error);
    ck_assert_int_eq(frames.fault.error, error);
    ck_assert_str_eq(frames.fault.type, type);
    ck_assert_str_eq(frames.fault.field, field);
    ck_assert_uint_eq(frames.fault.offset, offset);
    ck_assert_uint_gt(strlen(frames.fault.why), 0);
}

/* ---- Round trips ------------------------------------------------------------------ */

START_TEST(xl_stock_round_trip)
{
    static const char config[] = "{\"name\":\"g\"}";
    struct story story = { .body_len = 0 };
    size_t at = 0, open_len;

    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_XL);
    libxl_postcopy__put_xl_header(&buf, config, strlen(config));
    put_open();
    open_len = buf.len;
    put_emulator("state");
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(buf.error, 0);

    ck_assert_int_eq(tell(&story, (size_t)_i, &at), 0);
    ck_assert_str_eq(story.events, "xhreL");
    ck_assert_uint_eq(at, open_len); /* not one octet of the libxc stream */
    ck_assert_uint_eq(libxl_postcopy__frames_want(&frames), 0);
    ck_assert_str_eq(frames.xl.config, config);
    ck_assert_uint_eq(frames.xl.config_len, strlen(config));

    libxl_postcopy__frames_begin_turn(&frames, LIBXL_PC_TURN_FINAL, LIBXC_LEN);
    ck_assert_int_eq(tell(&story, (size_t)_i, &at), 0);
    ck_assert_str_eq(story.events, "xhreLrbere!");
    ck_assert_uint_eq(at, buf.len);
    ck_assert_uint_eq(story.body_len, 5);
    ck_assert_mem_eq(story.body, "state", 5);
    ck_assert_uint_eq(frames.offset, buf.len + LIBXC_LEN);
    ck_assert_uint_eq(frames.octets, buf.len);
    ck_assert_int_eq(libxl_postcopy__frames_eof(&frames), 0);
}
END_TEST

START_TEST(postcopy_turns)
{
    struct story story = { .body_len = 0 };
    size_t at = 0;

    put_open();
    put_emulator("one");
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END);
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(tell(&story, 9, &at), 0);
    libxl_postcopy__frames_begin_turn(&frames, LIBXL_PC_TURN_POSTCOPY_2, 7);
    ck_assert_int_eq(tell(&story, 9, &at), 0);
    ck_assert_int_eq(libxl_postcopy__frames_eof(&frames), -EPROTO);
    libxl_postcopy__frames_dispose(&frames);

    /* The same again, to its end. */
    memset(&story, 0, sizeof(story));
    at = 0;
    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_LIBXL);
    ck_assert_int_eq(tell(&story, 9, &at), 0);
    libxl_postcopy__frames_begin_turn(&frames, LIBXL_PC_TURN_POSTCOPY_2, 7);
    ck_assert_int_eq(tell(&story, 9, &at), 0);
    libxl_postcopy__frames_begin_turn(&frames, LIBXL_PC_TURN_LAST, 7);
    ck_assert_int_eq(tell(&story, 9, &at), 0);
    ck_assert_str_eq(story.events, "hreLrbereTre!");
    ck_assert_int_eq(libxl_postcopy__frames_eof(&frames), 0);
}
END_TEST

START_TEST(postcopy3_turn_alone)
{
    struct story story = { .body_len = 0 };

    /* A receiver's upper layer: nothing but this turn. */
    put_emulator("x");
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_POSTCOPY_3, &story), 0);
    ck_assert_str_eq(story.events, "rbereT");
}
END_TEST

START_TEST(checkpoints)
{
    struct story story = { .body_len = 0 };

    put_emulator("x");
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_CHECKPOINT_END);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_CHECKPOINT, &story), 0);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_CHECKPOINT, &story), 0);
    ck_assert_str_eq(story.events, "rbereTrbereT");
}
END_TEST

START_TEST(context_may_be_skipped)
{
    enum libxl_postcopy__frame_event ev;
    size_t used;

    put_emulator("0123456789");
    libxl_postcopy__frames_begin_turn(&frames, LIBXL_PC_TURN_FINAL, 0);
    ck_assert_uint_eq(libxl_postcopy__frames_skippable(&frames), 0);
    ck_assert_int_eq(
        libxl_postcopy__frames_feed(&frames, buf.data, 16, &used, &ev), 0);
    ck_assert_int_eq(ev, LIBXL_PC_EV_RECORD);
    ck_assert_uint_eq(frames.record.emulator_id, 2);
    ck_assert_uint_eq(libxl_postcopy__frames_skippable(&frames), 10);
    ck_assert_int_eq(libxl_postcopy__frames_skip(&frames, 11), -EINVAL);
    ck_assert_int_eq(libxl_postcopy__frames_skip(&frames, 10), 0);
    /* The padding is looked at all the same. */
    buf.data[16 + 10] = 1;
    ck_assert_int_eq(
        libxl_postcopy__frames_feed(&frames, buf.data + 26, 6, &used, &ev),
        -EPROTO);
    ck_assert_str_eq(frames.fault.field, "padding");
}
END_TEST

START_TEST(config_without_nul_and_without_config)
{
    struct story story = { .body_len = 0 };
    size_t at = 0;

    libxl_postcopy__put_xl_header(&buf, "{}", 2);
    buf.data[44] = 6; /* optional data: length and two octets */
    buf.data[48] = 2;
    buf.len--;
    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_XL);
    ck_assert_int_eq(tell(&story, SIZE_MAX, &at), 0);
    ck_assert_str_eq(frames.xl.config, "{}");
    libxl_postcopy__frames_dispose(&frames);

    buf.data[44] = 0;
    buf.len = LIBXL_PC_XL_HEADER_LEN;
    at = 0;
    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_XL);
    ck_assert_int_eq(tell(&story, SIZE_MAX, &at), 0);
    ck_assert_ptr_null(frames.xl.config);
    ck_assert_str_eq(story.events, "xx");
}
END_TEST

/* ---- Refusals --------------------------------------------------------------------- */

START_TEST(out_of_turn)
{
    static const struct
    {
        enum libxl_postcopy__turn turn;
        enum libxl_postcopy__frame_type type;
    } cases[] = {
        { LIBXL_PC_TURN_FINAL, LIBXL_PC_FRAME_LIBXC_CONTEXT },
        { LIBXL_PC_TURN_FINAL, LIBXL_PC_FRAME_CHECKPOINT_END },
        { LIBXL_PC_TURN_FINAL, LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END },
        { LIBXL_PC_TURN_CHECKPOINT, LIBXL_PC_FRAME_END },
        { LIBXL_PC_TURN_POSTCOPY_2, LIBXL_PC_FRAME_END },
        { LIBXL_PC_TURN_POSTCOPY_3, LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END },
        { LIBXL_PC_TURN_LAST, LIBXL_PC_FRAME_CHECKPOINT_END },
    };
    struct story story = { .body_len = 0 };

    libxl_postcopy__put_empty(&buf, cases[_i].type);
    expect_fault(read_turn(cases[_i].turn, &story), -EPROTO,
                 libxl_postcopy__frame_name(cases[_i].type), "type", 0);
}
END_TEST

START_TEST(before_libxc_context)
{
    struct story story = { .body_len = 0 };
    size_t at = 0;

    libxl_postcopy__put_header(&buf);
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    expect_fault(tell(&story, SIZE_MAX, &at), -EPROTO, "LIBXL_END", "type", 16);
}
END_TEST

/* Each of these changes one octet of a sound turn. */
static const struct
{
    const char *what;
    size_t at;
    uint8_t octet;
    int error;
    const char *type;
    const char *field;
    uint64_t offset;
} wrong[] = {
    { "mandatory unknown", 0, 7, -EPROTONOSUPPORT, "UNKNOWN", "type", 0 },
    { "too short", 4, 7, -EPROTO, "EMULATOR_XENSTORE_DATA", "length", 4 },
    { "too long", 7, 1, -EMSGSIZE, "EMULATOR_XENSTORE_DATA", "length", 4 },
    { "emulator", 8, 3, -EPROTO, "EMULATOR_XENSTORE_DATA", "emulator_id", 8 },
    { "key absolute", 16, '/', -EPROTO, "EMULATOR_XENSTORE_DATA", "key", 16 },
    { "key empty", 16, 0, -EPROTO, "EMULATOR_XENSTORE_DATA", "key", 16 },
    { "key blank", 17, ' ', -EPROTO, "EMULATOR_XENSTORE_DATA", "key", 17 },
    { "key alone", 18, 'k', -EPROTO, "EMULATOR_XENSTORE_DATA", "value", 19 },
    { "no NUL", 19, 'v', -EPROTO, "EMULATOR_XENSTORE_DATA", "value", 19 },
    { "padding", 23, 1, -EPROTO, "EMULATOR_XENSTORE_DATA", "padding", 23 },
    { "context twice", 24, 2, -EPROTO, "EMULATOR_XENSTORE_DATA", "index", 36 },
    { "END not empty", 52, 8, -EPROTO, "LIBXL_END", "length", 52 },
};

START_TEST(wrong_octet)
{
    struct story story = { .body_len = 0 };

    libxl_postcopy__put_emulator(&buf, LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA, 2,
                                 0, "kk\0", 4);
    put_emulator("context!");
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_uint_eq(buf.len, 56);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_FINAL, &story), 0);
    ck_assert_str_eq(story.events, "rberbere!");

    memset(&story, 0, sizeof(story));
    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_LIBXL);
    buf.data[wrong[_i].at] = wrong[_i].octet;
    expect_fault(read_turn(LIBXL_PC_TURN_FINAL, &story), wrong[_i].error,
                 wrong[_i].type, wrong[_i].field, wrong[_i].offset);
    /* It stays that way. */
    memset(&story, 0, sizeof(story));
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_FINAL, &story), wrong[_i].error);
}
END_TEST

START_TEST(xenstore_after_context)
{
    struct story story = { .body_len = 0 };

    put_emulator("x");
    libxl_postcopy__put_emulator(&buf, LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA, 2,
                                 0, "k\0v", 4);
    expect_fault(read_turn(LIBXL_PC_TURN_FINAL, &story), -EPROTO,
                 "EMULATOR_XENSTORE_DATA", "index", 24 + 12);
}
END_TEST

START_TEST(second_emulator_is_fine)
{
    struct story story = { .body_len = 0 };

    put_emulator("x");
    libxl_postcopy__put_emulator(&buf, LIBXL_PC_FRAME_EMULATOR_CONTEXT, 2, 1,
                                 "y", 1);
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_FINAL, &story), 0);
}
END_TEST

START_TEST(optional_unknown_is_passed_over)
{
    struct story story = { .body_len = 0 };

    put_emulator("x");
    buf.data[3] = 0x80;
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_FINAL, &story), 0);
    ck_assert_uint_eq(frames.nr_unknown, 1);
    ck_assert_uint_eq(frames.by_type[LIBXL_PC_FRAME_EMULATOR_CONTEXT], 0);
}
END_TEST

START_TEST(colo_state)
{
    struct story story = { .body_len = 0 };

    put_emulator("");
    buf.data[0] = LIBXL_PC_FRAME_CHECKPOINT_STATE;
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_CHECKPOINT_END);
    ck_assert_int_eq(read_turn(LIBXL_PC_TURN_CHECKPOINT, &story), 0);
    buf.data[8] = 4;
    expect_fault(read_turn(LIBXL_PC_TURN_CHECKPOINT, &story), -EPROTO,
                 "CHECKPOINT_STATE", "control_id",
                 buf.len + LIBXL_PC_RECORD_HEADER_LEN);
}
END_TEST

START_TEST(bounds_of_the_writer)
{
    static char big[LIBXL_PC_XENSTORE_MAX];

    libxl_postcopy__put_emulator(&buf, LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA, 2,
                                 0, big, sizeof(big));
    ck_assert_int_eq(buf.error, -EMSGSIZE);
    libxl_postcopy__put_empty(&buf, LIBXL_PC_FRAME_END);
    ck_assert_uint_eq(buf.len, 0); /* nothing goes out after a failure */
    libxl_postcopy__buf_dispose(&buf);
    libxl_postcopy__put_xl_header(&buf, big, LIBXL_PC_CONFIG_MAX);
    ck_assert_int_eq(buf.error, -EMSGSIZE);
}
END_TEST

START_TEST(octets_of_somebody_else)
{
    enum libxl_postcopy__frame_event ev;
    struct story story = { .body_len = 0 };
    size_t at = 0, used = 0;

    put_open();
    ck_assert_int_eq(tell(&story, SIZE_MAX, &at), 0);
    expect_fault(libxl_postcopy__frames_feed(&frames, "x", 1, &used, &ev),
                 -EPROTO, "LIBXC_CONTEXT", "length", buf.len);
}
END_TEST

static Suite *frames_suite(void)
{
    Suite *s = suite_create("frames");
    TCase *tc = tcase_create("frames");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, xl_stock_round_trip, 1, 60);
    tcase_add_test(tc, postcopy_turns);
    tcase_add_test(tc, postcopy3_turn_alone);
    tcase_add_test(tc, checkpoints);
    tcase_add_test(tc, context_may_be_skipped);
    tcase_add_test(tc, config_without_nul_and_without_config);
    tcase_add_loop_test(tc, out_of_turn, 0, 7);
    tcase_add_test(tc, before_libxc_context);
    tcase_add_loop_test(tc, wrong_octet, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_test(tc, xenstore_after_context);
    tcase_add_test(tc, second_emulator_is_fine);
    tcase_add_test(tc, optional_unknown_is_passed_over);
    tcase_add_test(tc, colo_state);
    tcase_add_test(tc, bounds_of_the_writer);
    tcase_add_test(tc, octets_of_somebody_else);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(frames_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

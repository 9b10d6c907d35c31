/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_relay.c: libxl's records are passed on whole, in pieces of any size,
 * never beyond their turn, never half a record, and bounded.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay.h"

static struct libxl_postcopy__relay relay;
static struct libxl_postcopy__buf tail; /* libxl's part after the state */

static void set_up(void)
{
    static const uint8_t state[3001] = { 0 };
    static const char keys[] = "physmap/1/name\0vram";

    memset(&tail, 0, sizeof(tail));
    libxl_postcopy__put_emulator(&tail, LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA,
                                 LIBXL_PC_EMULATOR_QEMU_UPSTREAM, 0, keys,
                                 sizeof(keys));
    libxl_postcopy__put_emulator(&tail, LIBXL_PC_FRAME_EMULATOR_CONTEXT,
                                 LIBXL_PC_EMULATOR_QEMU_UPSTREAM, 0, state,
                                 sizeof(state));
    libxl_postcopy__put_empty(&tail, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(tail.error, 0);
    libxl_postcopy__relay_init(&relay);
}

static void tear_down(void)
{
    libxl_postcopy__relay_dispose(&relay);
    libxl_postcopy__buf_dispose(&tail);
}

/* Where a record of the tail ends, or 0 for no such place. */
static bool is_boundary(size_t at)
{
    size_t pos = 0;

    while ( pos < at )
    {
        uint32_t len =
            (uint32_t)tail.data[pos + 4] | (uint32_t)tail.data[pos + 5] << 8;

        pos += LIBXL_PC_RECORD_HEADER_LEN + (len + 7) / 8 * 8;
    }
    return pos == at;
}

START_TEST(whole_records_in_pieces_of_any_size)
{
    size_t piece = (size_t)_i, at = 0, out = 0;
    uint8_t *passed = malloc(tail.len);

    ck_assert_ptr_nonnull(passed);
    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_END);
    while ( at < tail.len )
    {
        size_t n = tail.len - at < piece ? tail.len - at : piece, used = 0;
        const uint8_t *p;

        ck_assert(!relay.turn_over);
        ck_assert_int_eq(
            libxl_postcopy__relay_put(&relay, tail.data + at, n, &used), 0);
        ck_assert_uint_eq(used, n);
        at += n;
        n = libxl_postcopy__relay_waiting(&relay, &p);
        ck_assert(is_boundary(out + n));
        memcpy(passed + out, p, n);
        libxl_postcopy__relay_take(&relay, n);
        out += n;
    }
    ck_assert(relay.turn_over);
    ck_assert_uint_eq(libxl_postcopy__relay_want(&relay), 0);
    ck_assert_uint_eq(out, tail.len);
    ck_assert_mem_eq(passed, tail.data, out);
    free(passed);
}
END_TEST

START_TEST(octets_after_the_turn_are_not_taken)
{
    uint8_t *more = malloc(tail.len + 100);
    size_t used = 0;

    ck_assert_ptr_nonnull(more);
    memcpy(more, tail.data, tail.len);
    memset(more + tail.len, 0xff, 100);
    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_FINAL, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(
        libxl_postcopy__relay_put(&relay, more, tail.len + 100, &used), 0);
    ck_assert_uint_eq(used, tail.len);
    ck_assert(relay.turn_over);
    free(more);
}
END_TEST

/* A reader of the wire takes what want() says and so leaves the engine its
 * part. */
START_TEST(the_opening_ends_where_the_engine_begins)
{
    struct libxl_postcopy__buf b = { 0 };
    size_t at = 0, want, used;
    const uint8_t *p;

    libxl_postcopy__put_header(&b);
    libxl_postcopy__put_empty(&b, LIBXL_PC_FRAME_LIBXC_CONTEXT);
    ck_assert_int_eq(b.error, 0);
    while ( (want = libxl_postcopy__relay_want(&relay)) > 0 )
    {
        ck_assert_uint_le(at + want, b.len);
        ck_assert_int_eq(
            libxl_postcopy__relay_put(&relay, b.data + at, want, &used), 0);
        ck_assert_uint_eq(used, want);
        at += want;
    }
    ck_assert_uint_eq(at, b.len);
    ck_assert(relay.turn_over);
    ck_assert_uint_eq(libxl_postcopy__relay_waiting(&relay, &p), b.len);
    libxl_postcopy__buf_dispose(&b);
}
END_TEST

/* What version 2 has in the place of END, out and in again. */
START_TEST(version_2_ends_the_turn_by_another_record)
{
    struct libxl_postcopy__relay back;
    size_t used = 0, len;
    const uint8_t *p;

    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END);
    ck_assert_int_eq(
        libxl_postcopy__relay_put(&relay, tail.data, tail.len, &used), 0);
    len = libxl_postcopy__relay_waiting(&relay, &p);
    ck_assert_uint_eq(len, tail.len);
    ck_assert_mem_eq(p, tail.data, len - LIBXL_PC_RECORD_HEADER_LEN);
    ck_assert_uint_eq(p[len - LIBXL_PC_RECORD_HEADER_LEN],
                      LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END);

    libxl_postcopy__relay_init(&back);
    libxl_postcopy__relay_turn(&back, LIBXL_PC_TURN_POSTCOPY_2,
                               LIBXL_PC_FRAME_END);
    ck_assert_int_eq(libxl_postcopy__relay_put(&back, p, len, &used), 0);
    ck_assert(back.turn_over);
    ck_assert_uint_eq(libxl_postcopy__relay_waiting(&back, &p), tail.len);
    ck_assert_mem_eq(p, tail.data, tail.len);
    libxl_postcopy__relay_dispose(&back);
}
END_TEST

START_TEST(nothing_of_a_bad_record_is_passed_on)
{
    static const uint8_t checkpoint[8] = { LIBXL_PC_FRAME_CHECKPOINT_END };
    const uint8_t *p;
    size_t used = 0;

    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_END);
    ck_assert_int_eq(libxl_postcopy__relay_put(&relay, checkpoint,
                                               sizeof(checkpoint), &used),
                     -EPROTO);
    ck_assert(relay.frames.fault.why[0]);
    ck_assert_uint_eq(libxl_postcopy__relay_waiting(&relay, &p), 0);
}
END_TEST

/* A length that somebody announces costs nothing until the octets come. */
START_TEST(memory_follows_what_came)
{
    static const uint8_t big[8] = {
        LIBXL_PC_FRAME_EMULATOR_CONTEXT, 0, 0, 0, 0, 0, 0, 8
    }; /* 128 MiB */
    static const uint8_t bigger[8] = {
        LIBXL_PC_FRAME_EMULATOR_CONTEXT, 0, 0, 0, 8, 0, 0, 8
    };
    size_t used = 0;

    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_END);
    ck_assert_int_eq(libxl_postcopy__relay_put(&relay, big, sizeof(big), &used),
                     0);
    ck_assert_uint_le(relay.cap, 4096);
    tear_down();
    set_up();
    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_END);
    ck_assert_int_eq(
        libxl_postcopy__relay_put(&relay, bigger, sizeof(bigger), &used),
        -EMSGSIZE);
}
END_TEST

/* ---- With descriptors ---------------------------------------------------------------- */

/* libxl stops in the middle, at any octet: no failure is taken for an end. */
START_TEST(an_early_end_of_libxl_is_noticed)
{
    size_t step = tail.len / 40 + 1;

    for ( size_t len = 0; len < tail.len; len += step )
    {
        struct libxl_postcopy__relay r;
        int fds[2], rc;

        libxl_postcopy__relay_init(&r);
        libxl_postcopy__relay_turn(&r, LIBXL_PC_TURN_POSTCOPY_3,
                                   LIBXL_PC_FRAME_END);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        ck_assert_int_eq(write(fds[1], tail.data, len), (ssize_t)len);
        for ( rc = 0; !rc && len; )
            rc = libxl_postcopy__relay_fill(&r, fds[0]);
        ck_assert_int_eq(len ? rc : -EAGAIN, -EAGAIN);
        close(fds[1]);
        ck_assert_int_eq(libxl_postcopy__relay_fill(&r, fds[0]), -EPIPE);
        ck_assert(!r.turn_over);
        close(fds[0]);
        libxl_postcopy__relay_dispose(&r);
    }
}
END_TEST

/* A libxl that does not read: what there is waits, and comes out in order. */
START_TEST(a_slow_libxl_gets_everything)
{
    static const uint8_t state[1 << 20] = { 7 };
    struct libxl_postcopy__buf b = { 0 };
    size_t used = 0, got = 0;
    uint8_t piece[8192];
    int fds[2], rc;

    libxl_postcopy__put_emulator(&b, LIBXL_PC_FRAME_EMULATOR_CONTEXT,
                                 LIBXL_PC_EMULATOR_QEMU_UPSTREAM, 0, state,
                                 sizeof(state));
    libxl_postcopy__put_empty(&b, LIBXL_PC_FRAME_END);
    ck_assert_int_eq(b.error, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    libxl_postcopy__relay_turn(&relay, LIBXL_PC_TURN_POSTCOPY_3,
                               LIBXL_PC_FRAME_END);
    ck_assert_int_eq(libxl_postcopy__relay_put(&relay, b.data, b.len, &used),
                     0);
    ck_assert_uint_eq(used, b.len);
    ck_assert_int_eq(libxl_postcopy__relay_flush(&relay, fds[0]), -EAGAIN);
    do
    {
        ssize_t n = read(fds[1], piece, sizeof(piece));

        ck_assert_int_gt(n, 0);
        ck_assert_mem_eq(piece, b.data + got, (size_t)n);
        got += (size_t)n;
        rc = libxl_postcopy__relay_flush(&relay, fds[0]);
        ck_assert(rc == 0 || rc == -EAGAIN);
    } while ( got < b.len );
    ck_assert_int_eq(rc, 0);
    close(fds[1]);
    close(fds[0]);
    libxl_postcopy__buf_dispose(&b);
}
END_TEST

static Suite *relay_suite(void)
{
    Suite *s = suite_create("relay");
    TCase *tc = tcase_create("relay");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, whole_records_in_pieces_of_any_size, 1, 40);
    tcase_add_test(tc, octets_after_the_turn_are_not_taken);
    tcase_add_test(tc, the_opening_ends_where_the_engine_begins);
    tcase_add_test(tc, version_2_ends_the_turn_by_another_record);
    tcase_add_test(tc, nothing_of_a_bad_record_is_passed_on);
    tcase_add_test(tc, memory_follows_what_came);
    tcase_add_test(tc, an_early_end_of_libxl_is_noticed);
    tcase_add_test(tc, a_slow_libxl_gets_everything);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(relay_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

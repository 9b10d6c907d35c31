/* SPDX-License-Identifier: LGPL-2.1-only */
/* Log lines, the clock, little endian, exact I/O with deadlines, the inbuf. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xc_sr_base.h"

struct seen
{
    unsigned int lines;
    enum xc_sr_log_level level;
    char last[1024];
};

static void note_line(void *ctx, enum xc_sr_log_level level, const char *line)
{
    struct seen *seen = ctx;

    seen->lines++;
    seen->level = level;
    snprintf(seen->last, sizeof(seen->last), "%s", line);
}

START_TEST(log_passes_what_is_wanted)
{
    struct seen seen = { 0 };
    struct xc_sr_log log = { note_line, &seen, XC_SR_LOG_WARN };

    xc_sr__error(&log, "pfn 0x%x of %s", 17, "vm");
    ck_assert_str_eq(seen.last, "pfn 0x11 of vm");
    ck_assert_int_eq(seen.level, XC_SR_LOG_ERROR);
    xc_sr__info(&log, "too much");
    ck_assert_uint_eq(seen.lines, 1);
    xc_sr__error(NULL, "nobody listens");
    log.write = NULL;
    xc_sr__error(&log, "nobody listens");
    ck_assert_uint_eq(seen.lines, 1);
}
END_TEST

START_TEST(log_cuts_an_endless_line)
{
    struct seen seen = { 0 };
    struct xc_sr_log log = { note_line, &seen, XC_SR_LOG_DEBUG };
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    xc_sr__debug(&log, "%s", text);
    ck_assert_uint_eq(seen.lines, 1);
    ck_assert_uint_gt(strlen(seen.last), 100);
    ck_assert_uint_lt(strlen(seen.last), 1000);
}
END_TEST

START_TEST(poll_milliseconds)
{
    ck_assert_int_eq(xc_sr__poll_ms(XC_SR_NO_DEADLINE, 5), -1);
    ck_assert_int_eq(xc_sr__poll_ms(5, 5), 0);
    ck_assert_int_eq(xc_sr__poll_ms(4, 5), 0);
    ck_assert_int_eq(xc_sr__poll_ms(6, 5), 1);
    ck_assert_int_eq(xc_sr__poll_ms(2005, 5), 2);
    ck_assert_int_eq(xc_sr__poll_ms(2006, 5), 3);
    ck_assert_int_eq(xc_sr__poll_ms(UINT64_MAX - 1, 0), INT_MAX);
}
END_TEST

START_TEST(the_clock_runs_forward)
{
    uint64_t a = xc_sr__now_us();
    uint64_t b = xc_sr__now_us();

    ck_assert_uint_gt(a, 0);
    ck_assert_uint_ge(b, a);
}
END_TEST

START_TEST(names_are_given)
{
    ck_assert_str_eq(xc_sr_phase_name(XC_SR_PHASE_POSTCOPY), "postcopy");
    ck_assert_str_eq(xc_sr_phase_name((enum xc_sr_phase)99), "unknown");
    ck_assert_str_eq(xc_sr_owner_name(XC_SR_OWNER_LOST), "lost");
    ck_assert_str_eq(xc_sr_owner_name((enum xc_sr_owner)99), "unknown");
    ck_assert_str_eq(xc_sr_reason_name(XC_SR_REASON_TIMEOUT), "timed out");
    ck_assert_str_eq(xc_sr_reason_name(0xffffffff), "unknown reason");
}
END_TEST

START_TEST(integers_have_their_byte_order)
{
    uint8_t b[8];

    xc_sr__put_le64(b, 0x0102030405060708ULL);
    ck_assert_mem_eq(b, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    ck_assert_uint_eq(xc_sr__le64(b), 0x0102030405060708ULL);
    ck_assert_uint_eq(xc_sr__le32(b), 0x05060708);
    ck_assert_uint_eq(xc_sr__le16(b), 0x0708);
    ck_assert_uint_eq(xc_sr__be32(b), 0x08070605);
    ck_assert_uint_eq(xc_sr__be16(b), 0x0807);
    xc_sr__put_be32(b, 0xa1b2c3d4);
    ck_assert_mem_eq(b, "\xa1\xb2\xc3\xd4", 4);
    xc_sr__put_be16(b, 0xa1b2);
    xc_sr__put_le16(b + 2, 0xa1b2);
    ck_assert_mem_eq(b, "\xa1\xb2\xb2\xa1", 4);
}
END_TEST

START_TEST(arithmetic_says_when_it_overflows)
{
    uint64_t v = 0;

    ck_assert(xc_sr__add_u64(UINT64_MAX - 1, 1, &v));
    ck_assert_uint_eq(v, UINT64_MAX);
    ck_assert(!xc_sr__add_u64(UINT64_MAX, 1, &v));
    ck_assert(xc_sr__mul_u64(1ULL << 32, (1ULL << 32) - 1, &v));
    ck_assert(!xc_sr__mul_u64(1ULL << 32, 1ULL << 32, &v));
}
END_TEST

static void pair(int fd[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

/* Soon enough for a test that waits for it, late enough to be a wait. */
static uint64_t soon(void)
{
    return xc_sr__now_us() + 20000;
}

START_TEST(exact_io_moves_everything)
{
    uint8_t out[1000], in[1000];
    int fd[2];

    for ( size_t i = 0; i < sizeof(out); i++ )
        out[i] = (uint8_t)i;
    pair(fd);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[_i], true), 0);
    ck_assert_int_eq(
        xc_sr__write_exact(fd[1], out, sizeof(out), XC_SR_NO_DEADLINE), 0);
    ck_assert_int_eq(xc_sr__read_exact(fd[0], in, 1, soon()), 0);
    ck_assert_int_eq(xc_sr__read_exact(fd[0], in + 1, 999, soon()), 0);
    ck_assert_mem_eq(in, out, sizeof(in));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(exact_io_keeps_its_deadline)
{
    uint8_t *big = calloc(1, 8 << 20);
    uint8_t in[8];
    int fd[2];

    pair(fd);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[0], _i), 0);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[1], _i), 0);
    ck_assert_int_eq(xc_sr__write_exact(fd[1], "abc", 3, soon()), 0);
    ck_assert_int_eq(xc_sr__read_exact(fd[0], in, 8, soon()), -ETIMEDOUT);
    /* Nobody reads: more than any socket buffer cannot be written. */
    ck_assert_int_eq(xc_sr__write_exact(fd[1], big, 8 << 20, soon()),
                     -ETIMEDOUT);
    close(fd[0]);
    close(fd[1]);
    free(big);
}
END_TEST

START_TEST(exact_io_sees_the_peer_go)
{
    uint8_t in[8];
    int fd[2];

    pair(fd);
    ck_assert_int_eq(xc_sr__write_exact(fd[1], "abc", 3, soon()), 0);
    close(fd[1]);
    ck_assert_int_eq(xc_sr__read_exact(fd[0], in, 8, XC_SR_NO_DEADLINE),
                     -EPIPE);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(xc_sr__write_exact(fd[0], "abc", 3, soon()), -EPIPE);
    close(fd[0]);
    ck_assert_int_eq(xc_sr__read_exact(fd[0], in, 8, soon()), -EBADF);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[0], true), -EBADF);
}
END_TEST

START_TEST(nonblock_is_set_and_cleared)
{
    int fd[2];

    pair(fd);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[0], true), 0);
    ck_assert(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[0], false), 0);
    ck_assert(!(fcntl(fd[0], F_GETFL) & O_NONBLOCK));
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(inbuf_is_a_window)
{
    struct xc_sr_inbuf in;
    bool eof = true;
    size_t got = 9;
    int fd[2];

    pair(fd);
    ck_assert_int_eq(xc_sr__set_nonblock(fd[0], true), 0);
    ck_assert_int_eq(xc_sr__inbuf_init(&in, fd[0], 16), 0);
    ck_assert_int_eq(xc_sr__inbuf_fill(&in, &eof, &got), 0);
    ck_assert(!eof && got == 0);

    ck_assert_int_eq(
        xc_sr__write_exact(fd[1], "0123456789abcdefghij", 20, soon()), 0);
    ck_assert_int_eq(xc_sr__inbuf_fill(&in, &eof, &got), 0);
    ck_assert_uint_eq(got, 16);
    ck_assert_int_eq(xc_sr__inbuf_fill(&in, &eof, &got), -ENOBUFS);
    xc_sr__inbuf_use(&in, 13);
    ck_assert_uint_eq(xc_sr__inbuf_len(&in), 3);
    ck_assert_int_eq(xc_sr__inbuf_fill(&in, &eof, &got), 0);
    ck_assert_uint_eq(got, 4);
    ck_assert_uint_eq(xc_sr__inbuf_len(&in), 7);
    ck_assert_mem_eq(xc_sr__inbuf_data(&in), "defghij", 7);
    ck_assert_uint_eq(in.total, 20);

    /* A longer window keeps what there is; beyond the bound it is refused. */
    ck_assert_int_eq(xc_sr__inbuf_need(&in, 101, 100), -EMSGSIZE);
    ck_assert_int_eq(xc_sr__inbuf_need(&in, 100, 100), 0);
    ck_assert_mem_eq(xc_sr__inbuf_data(&in), "defghij", 7);
    ck_assert_uint_ge(in.cap - in.start, 100);

    close(fd[1]);
    ck_assert_int_eq(xc_sr__inbuf_fill(&in, &eof, &got), 0);
    ck_assert(eof && got == 0);
    xc_sr__inbuf_dispose(&in);
    xc_sr__inbuf_dispose(&in);
    close(fd[0]);
}
END_TEST

START_TEST(a_zero_page_is_zero_to_its_last_octet)
{
    uint8_t *page = aligned_alloc(4096, 4096);

    memset(page, 0, 4096);
    ck_assert(xc_sr__page_is_zero(page));
    for ( size_t i = 0; i < 4096; i++ )
    {
        page[i] = 0x80;
        ck_assert(!xc_sr__page_is_zero(page));
        page[i] = 0;
    }
    free(page);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tc = tcase_create("base");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, log_passes_what_is_wanted);
    tcase_add_test(tc, log_cuts_an_endless_line);
    tcase_add_test(tc, poll_milliseconds);
    tcase_add_test(tc, the_clock_runs_forward);
    tcase_add_test(tc, names_are_given);
    tcase_add_test(tc, integers_have_their_byte_order);
    tcase_add_test(tc, arithmetic_says_when_it_overflows);
    tcase_add_loop_test(tc, exact_io_moves_everything, 0, 2);
    tcase_add_loop_test(tc, exact_io_keeps_its_deadline, 0, 2);
    tcase_add_test(tc, exact_io_sees_the_peer_go);
    tcase_add_test(tc, nonblock_is_set_and_cleared);
    tcase_add_test(tc, inbuf_is_a_window);
    tcase_add_test(tc, a_zero_page_is_zero_to_its_last_octet);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

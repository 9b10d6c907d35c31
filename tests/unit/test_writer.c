/* SPDX-License-Identifier: LGPL-2.1-only */
/* The writer: framing, numbers of both versions, and its own limits. */
#include <check.h>
#include <errno.h>

#include "codec_kit.h"

START_TEST(headers_are_big_and_little_endian)
{
    static const uint8_t expected[40] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* marker */
        'X',  'E',  'N',  'F',  0,    0,    0,    2,    /* id, version */
        0,    0,    0,    0,    0,    0,    0,    0,    /* options */
        2,    0,    0,    0,    12,   0,    0,    0,    /* type, page shift */
        4,    0,    0,    0,    17,   0,    0,    0,    /* Xen's version */
    };
    struct xc_sr_writer w;

    xc_sr__writer_init(&w, 2);
    kit_headers(&w, KIT_HEAD_HVM);
    ck_assert_uint_eq(w.len, sizeof(expected));
    ck_assert_mem_eq(w.buf, expected, sizeof(expected));
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(a_body_is_padded_with_zeroes)
{
    struct xc_sr_writer w;

    for ( uint32_t len = 0; len <= 17; len++ )
    {
        size_t padded = (len + 7u) & ~7u;

        xc_sr__writer_init(&w, 3);
        kit_fill(&w, 3); /* a record need not stand at the front */
        xc_sr__write_begin(&w, XC_SR_REC_HVM_CONTEXT);
        kit_fill(&w, len);
        xc_sr__write_end(&w, 0);
        ck_assert_int_eq(w.error, 0);
        ck_assert_uint_eq(w.len, 3 + 8 + padded);
        ck_assert_uint_eq(xc_sr__le32(w.buf + 3), 9);
        ck_assert_uint_eq(xc_sr__le32(w.buf + 7), len);
        for ( size_t i = 11 + len; i < w.len; i++ )
            ck_assert_uint_eq(w.buf[i], 0);
        xc_sr__writer_dispose(&w);
    }
}
END_TEST

START_TEST(contents_that_follow_count_as_body)
{
    struct xc_sr_writer w;

    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_PAGE_DATA);
    kit_u32s(&w, 1, 0);
    xc_sr__write_u64(&w, 5);
    xc_sr__write_end(&w, XC_SR_PAGE_SIZE);
    ck_assert_int_eq(w.error, 0);
    ck_assert_uint_eq(w.len, 24);
    ck_assert_uint_eq(xc_sr__le32(w.buf + 4), 16 + 4096);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(numbers_are_those_of_the_version)
{
    struct xc_sr_writer w;

    for ( unsigned int version = 2; version <= 3; version++ )
        for ( unsigned int i = 0; i < XC_SR_REC_COUNT; i++ )
        {
            enum xc_sr_rec rec = (enum xc_sr_rec)i;

            xc_sr__writer_init(&w, version);
            xc_sr__write_empty(&w, rec);
            if ( xc_sr__rec_type(rec, version) == XC_SR_NO_TYPE )
                ck_assert_int_eq(w.error, -EINVAL);
            else
            {
                ck_assert_int_eq(w.error, 0);
                ck_assert_uint_eq(xc_sr__le32(w.buf),
                                  xc_sr__rec_type(rec, version));
            }
            xc_sr__writer_dispose(&w);
        }
}
END_TEST

START_TEST(an_error_stays_and_nothing_is_written)
{
    struct xc_sr_writer w;
    size_t len;

    xc_sr__writer_init(&w, 2);
    xc_sr__write_empty(&w, XC_SR_REC_POSTCOPY_BEGIN);
    len = w.len;
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_ADVISE); /* version 3 only */
    ck_assert_int_eq(w.error, -EINVAL);
    xc_sr__write_u64(&w, 1);
    xc_sr__write_bytes(&w, "x", 1);
    xc_sr__write_end(&w, 0);
    xc_sr__write_image_header(&w);
    ck_assert_uint_eq(w.len, len);
    xc_sr__writer_reset(&w);
    ck_assert_int_eq(w.error, -EINVAL);
    xc_sr__writer_dispose(&w);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(what_no_reader_would_take_is_refused)
{
    struct xc_sr_writer w;

    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_PAGE_DATA);
    xc_sr__write_end(&w, XC_SR_RECORD_MAX + XC_SR_PAGE_SIZE);
    ck_assert_int_eq(w.error, -EMSGSIZE);
    xc_sr__writer_dispose(&w);

    /* Contents that are no whole pages, or would come before the padding. */
    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_PAGE_DATA);
    xc_sr__write_end(&w, 100);
    ck_assert_int_eq(w.error, -EMSGSIZE);
    xc_sr__writer_dispose(&w);
    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_PAGE_DATA);
    xc_sr__write_u32(&w, 1);
    xc_sr__write_end(&w, XC_SR_PAGE_SIZE);
    ck_assert_int_eq(w.error, -EMSGSIZE);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(a_small_buffer_grows_and_is_used_again)
{
    struct xc_sr_writer w;
    size_t cap;

    xc_sr__writer_init(&w, 3);
    for ( int i = 0; i < 5000; i++ )
        xc_sr__write_empty(&w, XC_SR_REC_VERIFY);
    xc_sr__write_begin(&w, XC_SR_REC_TOOLSTACK);
    for ( int i = 0; i < 1000; i++ )
        xc_sr__write_bytes(&w, "12345678", 8);
    xc_sr__write_end(&w, 0);
    ck_assert_int_eq(w.error, 0);
    ck_assert_uint_eq(w.len, 5000 * 8 + 8 + 8000);
    ck_assert_uint_eq(xc_sr__le32(w.buf + 40000), 0x0b);
    ck_assert_uint_eq(xc_sr__le32(w.buf + 40004), 8000);
    ck_assert_mem_eq(w.buf + w.len - 8, "12345678", 8);
    cap = w.cap;
    xc_sr__writer_reset(&w);
    xc_sr__write_empty(&w, XC_SR_REC_END);
    ck_assert_uint_eq(w.len, 8);
    ck_assert_uint_eq(w.cap, cap);
    xc_sr__writer_dispose(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer");
    TCase *tc = tcase_create("writer");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, headers_are_big_and_little_endian);
    tcase_add_test(tc, a_body_is_padded_with_zeroes);
    tcase_add_test(tc, contents_that_follow_count_as_body);
    tcase_add_test(tc, numbers_are_those_of_the_version);
    tcase_add_test(tc, an_error_stays_and_nothing_is_written);
    tcase_add_test(tc, what_no_reader_would_take_is_refused);
    tcase_add_test(tc, a_small_buffer_grows_and_is_used_again);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

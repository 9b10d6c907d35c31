/* SPDX-License-Identifier: LGPL-2.1-only */
/* The record table itself, the cursor, bodies on their own, descriptions. */
#include <check.h>
#include <errno.h>

#include "codec_kit.h"

/* The numbers as the specifications give them: the table must not drift. */
START_TEST(numbers_are_those_of_the_specifications)
{
    static const struct
    {
        enum xc_sr_rec rec;
        uint32_t v2, v3;
    } numbers[] = {
        { XC_SR_REC_END, 0x00, 0x00 },
        { XC_SR_REC_PAGE_DATA, 0x01, 0x01 },
        { XC_SR_REC_X86_PV_INFO, 0x02, 0x02 },
        { XC_SR_REC_X86_PV_P2M_FRAMES, 0x03, 0x03 },
        { XC_SR_REC_X86_PV_VCPU_BASIC, 0x04, 0x04 },
        { XC_SR_REC_X86_PV_VCPU_EXTENDED, 0x05, 0x05 },
        { XC_SR_REC_X86_PV_VCPU_XSAVE, 0x06, 0x06 },
        { XC_SR_REC_SHARED_INFO, 0x07, 0x07 },
        { XC_SR_REC_X86_TSC_INFO, 0x08, 0x08 },
        { XC_SR_REC_HVM_CONTEXT, 0x09, 0x09 },
        { XC_SR_REC_HVM_PARAMS, 0x0a, 0x0a },
        { XC_SR_REC_TOOLSTACK, 0x0b, 0x0b },
        { XC_SR_REC_X86_PV_VCPU_MSRS, 0x0c, 0x0c },
        { XC_SR_REC_VERIFY, 0x0d, 0x0d },
        { XC_SR_REC_CHECKPOINT, 0x0e, 0x0e },
        { XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST, 0x0f, 0x0f },
        { XC_SR_REC_STATIC_DATA_END, XC_SR_NO_TYPE, 0x10 },
        { XC_SR_REC_X86_CPUID_POLICY, XC_SR_NO_TYPE, 0x11 },
        { XC_SR_REC_X86_MSR_POLICY, XC_SR_NO_TYPE, 0x12 },
        { XC_SR_REC_POSTCOPY_BEGIN, 0x10, 0x110 },
        { XC_SR_REC_POSTCOPY_PFNS_BEGIN, 0x11, 0x111 },
        { XC_SR_REC_POSTCOPY_PFNS, 0x12, 0x112 },
        { XC_SR_REC_POSTCOPY_TRANSITION, 0x13, 0x113 },
        { XC_SR_REC_POSTCOPY_PAGE_DATA, 0x14, 0x114 },
        { XC_SR_REC_POSTCOPY_FAULT, 0x15, 0x115 },
        { XC_SR_REC_POSTCOPY_COMPLETE, 0x16, 0x116 },
        { XC_SR_REC_POSTCOPY_ADVISE, XC_SR_NO_TYPE, 0x120 },
        { XC_SR_REC_POSTCOPY_READY, XC_SR_NO_TYPE, 0x121 },
        { XC_SR_REC_POSTCOPY_DISCARD, XC_SR_NO_TYPE, 0x122 },
        { XC_SR_REC_POSTCOPY_PREPARED, XC_SR_NO_TYPE, 0x123 },
        { XC_SR_REC_POSTCOPY_COMMIT, XC_SR_NO_TYPE, 0x124 },
        { XC_SR_REC_POSTCOPY_RUNNING, XC_SR_NO_TYPE, 0x125 },
        { XC_SR_REC_POSTCOPY_NAK, XC_SR_NO_TYPE, 0x126 },
        { XC_SR_REC_POSTCOPY_ABORT, XC_SR_NO_TYPE, 0x127 },
        { XC_SR_REC_POSTCOPY_RECOVER, XC_SR_NO_TYPE, 0x128 },
        { XC_SR_REC_POSTCOPY_RESUME, XC_SR_NO_TYPE, 0x129 },
        { XC_SR_REC_POSTCOPY_ACK, XC_SR_NO_TYPE, 0x12a },
        { XC_SR_REC_ZERO_PAGES, XC_SR_NO_TYPE, 0x12b },
        { XC_SR_REC_POSTCOPY_STATS, XC_SR_NO_TYPE, 0x12d },
        { XC_SR_REC_POSTCOPY_KEEPALIVE, XC_SR_NO_TYPE, 0x12e },
        { XC_SR_REC_POSTCOPY_ALIVE, XC_SR_NO_TYPE, 0x12f },
    };

    ck_assert_uint_eq(XC_SR_ARRAY_SIZE(numbers), XC_SR_REC_COUNT);
    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(numbers); i++ )
    {
        ck_assert_uint_eq(xc_sr__rec_type(numbers[i].rec, 2), numbers[i].v2);
        ck_assert_uint_eq(xc_sr__rec_type(numbers[i].rec, 3), numbers[i].v3);
    }
}
END_TEST

START_TEST(a_number_finds_its_record_and_no_other)
{
    for ( unsigned int version = 2; version <= 3; version++ )
        for ( unsigned int i = 0; i < XC_SR_REC_COUNT; i++ )
        {
            enum xc_sr_rec rec = (enum xc_sr_rec)i;
            uint32_t type = xc_sr__rec_type(rec, version);
            enum xc_sr_rec fwd, back;

            if ( type == XC_SR_NO_TYPE )
                continue;
            fwd = xc_sr__rec_find(type, version, XC_SR_FORWARD);
            back = xc_sr__rec_find(type, version, XC_SR_BACK);
            /* A number belongs to one direction only. */
            ck_assert((fwd == rec && back == XC_SR_REC_COUNT) ||
                      (back == rec && fwd == XC_SR_REC_COUNT));
        }
    ck_assert_int_eq(xc_sr__rec_find(0x120, 2, XC_SR_FORWARD), XC_SR_REC_COUNT);
    ck_assert_int_eq(xc_sr__rec_find(0x10, 4, XC_SR_FORWARD), XC_SR_REC_COUNT);
    ck_assert_int_eq(xc_sr__rec_find(XC_SR_NO_TYPE, 2, XC_SR_FORWARD),
                     XC_SR_REC_COUNT);
    ck_assert_uint_eq(xc_sr__rec_type(XC_SR_REC_END, 1), XC_SR_NO_TYPE);
    ck_assert_uint_eq(xc_sr__rec_type(XC_SR_REC_COUNT, 3), XC_SR_NO_TYPE);
    ck_assert_str_eq(xc_sr__rec_name(XC_SR_REC_ZERO_PAGES), "ZERO_PAGES");
    ck_assert_str_eq(xc_sr__rec_name(XC_SR_REC_COUNT), "unknown");
}
END_TEST

START_TEST(the_cursor_stays_inside)
{
    static const uint8_t body[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    struct xc_sr_cursor c;

    xc_sr__cursor_init(&c, body, sizeof(body));
    ck_assert_uint_eq(xc_sr__cursor_u16(&c), 0x0201);
    ck_assert_uint_eq(xc_sr__cursor_u64(&c), 0x0a09080706050403ULL);
    ck_assert(xc_sr__cursor_at_end(&c));
    ck_assert_uint_eq(xc_sr__cursor_u32(&c), 0);
    ck_assert(c.short_read);
    ck_assert(!xc_sr__cursor_at_end(&c));

    xc_sr__cursor_init(&c, body, 5);
    ck_assert_ptr_eq(xc_sr__cursor_bytes(&c, 2), body);
    ck_assert_uint_eq(xc_sr__cursor_u32(&c), 0);
    ck_assert(c.short_read);
    /* Once short, always short: no field is read from the wrong place. */
    ck_assert_ptr_null(xc_sr__cursor_bytes(&c, 1));
    ck_assert_uint_eq(c.at, 2);
}
END_TEST

/* Bodies of example records cut to every shorter length: never accepted. */
START_TEST(no_record_may_be_shorter_than_it_is)
{
    enum xc_sr_rec rec = (enum xc_sr_rec)_i;
    unsigned int version = xc_sr__rec_type(rec, 3) == XC_SR_NO_TYPE ? 2 : 3;
    struct xc_sr_body_shape shape;
    struct xc_sr_stream_fault fault;
    struct xc_sr_writer w;
    struct xc_sr_record record = { .id = rec };
    uint32_t length;

    /* Blobs and lists of leaves may have other lengths. */
    if ( rec == XC_SR_REC_HVM_CONTEXT || rec == XC_SR_REC_TOOLSTACK ||
         rec == XC_SR_REC_X86_CPUID_POLICY ||
         rec == XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST ||
         (rec >= XC_SR_REC_X86_PV_VCPU_BASIC &&
          rec <= XC_SR_REC_X86_PV_VCPU_XSAVE) ||
         rec == XC_SR_REC_X86_PV_VCPU_MSRS )
        return;
    xc_sr__writer_init(&w, version);
    kit_record(&w, rec, 0);
    length = xc_sr__le32(w.buf + 4);
    if ( rec == XC_SR_REC_POSTCOPY_RECOVER || rec == XC_SR_REC_POSTCOPY_RESUME )
        w.buf[8 + 16] = 1; /* epoch */
    record.body = w.buf + 8;
    for ( uint32_t cut = 0; cut <= length; cut++ )
    {
        struct xc_sr_known known = { .guest_type = XC_SR_GUEST_HVM };
        int rc;

        record.length = length - cut;
        rc = xc_sr__length_check(&record, &fault);
        if ( !rc )
            rc = xc_sr__body_check(&record, version, &known, &shape, &fault);
        /* PAGE_DATA without its contents is found at its entries. */
        if ( !cut || (shape.data_pages < 2 && cut % XC_SR_PAGE_SIZE == 0) )
            ck_assert_msg(!rc, "%s: %s", xc_sr__rec_name(rec), fault.why);
        else
        {
            ck_assert_msg(rc == -EPROTO, "%s cut by %u", xc_sr__rec_name(rec),
                          cut);
            ck_assert(fault.field[0] && fault.why[0]);
        }
        if ( rc )
            shape.data_pages = 2;
    }
    xc_sr__writer_dispose(&w);
}
END_TEST

/* Errata of the stock specification: Xen 4.6 to 4.8 wrote empty ones. */
START_TEST(version_2_may_have_empty_records)
{
    static const enum xc_sr_rec recs[] = { XC_SR_REC_HVM_PARAMS,
                                           XC_SR_REC_X86_PV_VCPU_EXTENDED,
                                           XC_SR_REC_X86_PV_VCPU_XSAVE,
                                           XC_SR_REC_X86_PV_VCPU_MSRS };
    static const uint8_t zeroes[8];
    struct xc_sr_record record = { .length = 8, .body = zeroes };
    struct xc_sr_known known = { 0 };
    struct xc_sr_body_shape shape;
    struct xc_sr_stream_fault fault;

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(recs); i++ )
    {
        record.id = recs[i];
        ck_assert_int_eq(xc_sr__length_check(&record, &fault), 0);
        ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault),
                         0);
        ck_assert_int_eq(xc_sr__body_check(&record, 3, &known, &shape, &fault),
                         -EPROTO);
    }
    record.id = XC_SR_REC_X86_PV_VCPU_BASIC;
    ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault),
                     -EPROTO);
}
END_TEST

/* A 32-bit guest's P2M frame holds twice the entries. */
START_TEST(p2m_frames_depend_on_the_guest_width)
{
    uint8_t body[8 + 8 * 3] = { 0 };
    struct xc_sr_record record = { .id = XC_SR_REC_X86_PV_P2M_FRAMES,
                                   .body = body };
    struct xc_sr_known known = { .guest_width = 4 };
    struct xc_sr_body_shape shape;
    struct xc_sr_stream_fault fault;

    xc_sr__put_le32(body, 0);
    xc_sr__put_le32(body + 4, 1024);
    record.length = 8 + 8 * 2;
    ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault), 0);
    ck_assert_uint_eq(shape.count, 2);
    known.guest_width = 8;
    ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault),
                     -EPROTO);
    record.length = 8 + 8 * 3;
    ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault), 0);
    /* The largest range there is does not wrap. */
    xc_sr__put_le32(body + 4, 0xffffffff);
    ck_assert_int_eq(xc_sr__body_check(&record, 2, &known, &shape, &fault),
                     -EPROTO);
}
END_TEST

/* A failed check leaves nothing behind in what is known. */
START_TEST(a_bad_body_teaches_nothing)
{
    struct xc_sr_known known = { 0 }, before = known;
    struct xc_sr_body_shape shape;
    struct xc_sr_stream_fault fault;
    struct xc_sr_writer w;
    struct xc_sr_record record = { .id = XC_SR_REC_POSTCOPY_ADVISE };

    xc_sr__writer_init(&w, 3);
    kit_record(&w, XC_SR_REC_POSTCOPY_ADVISE, 0);
    record.body = w.buf + 8;
    record.length = xc_sr__le32(w.buf + 4);
    w.buf[8 + 36] = 1; /* reserved */
    ck_assert_int_eq(xc_sr__body_check(&record, 3, &known, &shape, &fault),
                     -EPROTO);
    ck_assert_mem_eq(&known, &before, sizeof(known));
    w.buf[8 + 36] = 0;
    ck_assert_int_eq(xc_sr__body_check(&record, 3, &known, &shape, &fault), 0);
    ck_assert_uint_eq(known.nr_pfns, KIT_NR_PFNS);
    ck_assert(known.session_known && known.features_known);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(text_is_utf8_without_controls)
{
    static const struct
    {
        const char *text;
        size_t len; /* of its first character, 0: refused */
    } cases[] = {
        { "a", 1 },
        { "~", 1 },
        { " ", 1 },
        { "\x1f", 0 },
        { "\x7f", 0 },
        { "\xc2\xa0", 2 },
        { "\xc2\x9f", 0 }, /* a control character of the upper half */
        { "\xdf\xbf", 2 },
        { "\xc1\xbf", 0 }, /* overlong */
        { "\xe0\xa0\x80", 3 },
        { "\xe0\x9f\xbf", 0 }, /* overlong */
        { "\xed\x9f\xbf", 3 },
        { "\xed\xa0\x80", 0 }, /* a surrogate */
        { "\xef\xbf\xbd", 3 },
        { "\xf0\x90\x80\x80", 4 },
        { "\xf0\x8f\xbf\xbf", 0 }, /* overlong */
        { "\xf4\x8f\xbf\xbf", 4 },
        { "\xf4\x90\x80\x80", 0 }, /* above the last character */
        { "\xf5\x80\x80\x80", 0 },
        { "\x80", 0 },
        { "\xff", 0 },
        { "\xc3", 0 }, /* cut short */
        { "\xf0\x90\x80", 0 },
        { "\xe2\x28\xa1", 0 },
    };

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(cases); i++ )
        ck_assert_msg(xc_sr__text_step((const uint8_t *)cases[i].text,
                                       strlen(cases[i].text)) == cases[i].len,
                      "case %u", i);
    ck_assert_uint_eq(xc_sr__text_step((const uint8_t *)"", 1), 0);
}
END_TEST

/* Descriptions: one printable line each, naming the record. */
START_TEST(every_record_describes_itself)
{
    enum xc_sr_rec rec = (enum xc_sr_rec)_i;
    unsigned int version = xc_sr__rec_type(rec, 3) == XC_SR_NO_TYPE ? 2 : 3;
    struct xc_sr_record record = { .id = rec };
    struct xc_sr_writer w;
    char text[400], tiny[8];

    xc_sr__writer_init(&w, version);
    kit_record(&w, rec, 0);
    record.type = xc_sr__le32(w.buf);
    record.length = xc_sr__le32(w.buf + 4);
    if ( xc_sr__rec_body(rec) == XC_SR_BODY_WHOLE )
        record.body = w.buf + 8;
    ck_assert_ptr_eq(
        xc_sr__record_describe(&record, version, text, sizeof(text)), text);
    ck_assert_ptr_nonnull(strstr(text, xc_sr__rec_name(rec)));
    ck_assert_ptr_null(strpbrk(text, "\n\r\t"));
    /* A short buffer cuts, and no more. */
    xc_sr__record_describe(&record, version, tiny, sizeof(tiny));
    ck_assert_uint_lt(strlen(tiny), sizeof(tiny));
    ck_assert_int_eq(strncmp(tiny, text, strlen(tiny)), 0);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(descriptions_say_what_is_inside)
{
    static const struct
    {
        enum xc_sr_rec rec;
        const char *text;
    } cases[] = {
        { XC_SR_REC_X86_TSC_INFO,
          "X86_TSC_INFO (0x8), mode 2, 2400000 kHz, 123456789 ns, "
          "incarnation 1" },
        { XC_SR_REC_HVM_PARAMS,
          "HVM_PARAMS (0xa), 2 parameters: 1=0xfeffc, 28=0xfeff9" },
        { XC_SR_REC_POSTCOPY_COMMIT,
          "POSTCOPY_COMMIT (0x124), session 0102030405060708090a0b0c0d0e0f10, "
          "epoch 0" },
        { XC_SR_REC_POSTCOPY_NAK,
          "POSTCOPY_NAK (0x126), session 0102030405060708090a0b0c0d0e0f10, "
          "epoch 0, reason 8 (failed): d\xc3\xa9sol\xc3\xa9, no." },
        { XC_SR_REC_POSTCOPY_RECOVER,
          "POSTCOPY_RECOVER (0x128), session 0102030405060708090a0b0c0d0e0f10,"
          " epoch 0, record owner, which of 100 pages are present" },
        { XC_SR_REC_POSTCOPY_STATS,
          "POSTCOPY_STATS (0x12d), 3 values, 5 faults" },
        { XC_SR_REC_POSTCOPY_PFNS, "POSTCOPY_PFNS (0x112), 32 octets" },
    };
    char text[400];

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(cases); i++ )
    {
        struct xc_sr_record record = { .id = cases[i].rec };
        struct xc_sr_writer w;

        xc_sr__writer_init(&w, 3);
        kit_record(&w, cases[i].rec, 0);
        record.length = xc_sr__le32(w.buf + 4);
        if ( xc_sr__rec_body(cases[i].rec) == XC_SR_BODY_WHOLE ||
             cases[i].rec == XC_SR_REC_POSTCOPY_RECOVER )
            record.body = w.buf + 8;
        ck_assert_str_eq(xc_sr__record_describe(&record, 3, text, sizeof(text)),
                         cases[i].text);
        xc_sr__writer_dispose(&w);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("records");
    TCase *tc = tcase_create("records");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, numbers_are_those_of_the_specifications);
    tcase_add_test(tc, a_number_finds_its_record_and_no_other);
    tcase_add_test(tc, the_cursor_stays_inside);
    tcase_add_loop_test(tc, no_record_may_be_shorter_than_it_is, 0,
                        XC_SR_REC_COUNT);
    tcase_add_test(tc, version_2_may_have_empty_records);
    tcase_add_test(tc, p2m_frames_depend_on_the_guest_width);
    tcase_add_test(tc, a_bad_body_teaches_nothing);
    tcase_add_test(tc, text_is_utf8_without_controls);
    tcase_add_loop_test(tc, every_record_describes_itself, 0, XC_SR_REC_COUNT);
    tcase_add_test(tc, descriptions_say_what_is_inside);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

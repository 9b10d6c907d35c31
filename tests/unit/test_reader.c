/* SPDX-License-Identifier: LGPL-2.1-only */
/* The stream reader: every stream at every chunking, every rule broken. */
#include <check.h>
#include <errno.h>

#include "codec_kit.h"

static void describe_failure(const struct kit_stream *s,
                             const struct xc_sr_reader *r, const char *doing)
{
    char text[400];

    ck_abort_msg("%s, %s: %s", s->name, doing,
                 xc_sr__fault_text(&r->fault, text, sizeof(text)));
}

START_TEST(every_stream_at_every_chunking)
{
    const size_t chunks[] = { 1,  2,  3,  7,   8,    9,    15,   16,  17,
                              23, 24, 63, 100, 4095, 4096, 4097, 9999 };
    const struct kit_stream *s = &kit_streams[_i];
    struct kit_trace whole = { 0 }, pieces = { 0 };
    struct kit_index index;
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    kit_build(s, &w, &index);
    kit_reader(s, &r);
    if ( kit_run(&r, w.buf, w.len, w.len, &whole) )
        describe_failure(s, &r, "whole");
    ck_assert_uint_eq(r.offset, w.len);
    ck_assert_uint_eq(r.nr_records, index.nr);
    ck_assert_int_eq(xc_sr__reader_eof(&r), 0);

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(chunks); i++ )
    {
        kit_reader(s, &r);
        if ( kit_run(&r, w.buf, w.len, chunks[i], &pieces) )
            describe_failure(s, &r, "in pieces");
        ck_assert_str_eq(pieces.text, whole.text);
        ck_assert_uint_eq(pieces.digest, whole.digest);
        ck_assert_uint_eq(r.offset, w.len);
    }
    xc_sr__writer_dispose(&w);
}
END_TEST

/* Every length, but inside a page's contents only some. */
static size_t next_length(const struct kit_index *index, size_t len)
{
    size_t start = 0;

    for ( unsigned int i = 0; i < index->nr; i++ )
    {
        if ( index->at[i] > len && index->at[i] < len + 100 )
            return len + 1;
        if ( index->at[i] <= len )
            start = index->at[i];
    }
    return len < start + 200 ? len + 1 : len + 61;
}

START_TEST(every_truncation_is_found)
{
    const struct kit_stream *s = &kit_streams[_i];
    struct kit_trace t = { .quiet = true };
    struct kit_index index;
    struct xc_sr_writer w;

    kit_build(s, &w, &index);
    for ( size_t len = 0; len < w.len; len = next_length(&index, len) )
        for ( int skip = 0; skip < 2; skip++ )
        {
            struct xc_sr_reader r;
            int rc;

            kit_reader(s, &r);
            r.skip_contents = skip;
            rc = kit_run(&r, w.buf, len, len + 1, &t);
            ck_assert_msg(rc == -EPROTO, "%s: %zu octets: rc %d", s->name, len,
                          rc);
            ck_assert_int_eq(r.fault.error, rc);
            /* The upper layer's octets are not the reader's to count. */
            if ( !strstr(r.fault.why, "layer above") )
                ck_assert_uint_eq(r.fault.offset, len);
        }
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(contents_can_be_skipped)
{
    const struct kit_stream *s = &kit_streams[_i];
    struct kit_trace t = { 0 };
    struct kit_index index;
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    kit_build(s, &w, &index);
    for ( size_t chunk = 1; chunk < 9000; chunk += 1777 )
    {
        kit_reader(s, &r);
        r.skip_contents = true;
        if ( kit_run(&r, w.buf, w.len, chunk, &t) )
            describe_failure(s, &r, "skipping");
        ck_assert_uint_eq(r.offset, w.len);
        ck_assert_uint_eq(r.nr_records, index.nr);
    }
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(events_of_a_migration)
{
    const struct kit_stream *s = kit_find("postcopy-3");
    struct kit_trace t = { 0 };
    struct kit_index index;
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    kit_build(s, &w, &index);
    kit_reader(s, &r);
    ck_assert_int_eq(kit_run(&r, w.buf, w.len, 100, &t), 0);
    ck_assert_str_eq(
        t.text, "image3 domain2 POSTCOPY_ADVISE(72) X86_CPUID_POLICY(48) "
                "X86_MSR_POLICY(16) STATIC_DATA_END(0) PAGE_DATA[4 4+2] "
                "ZERO_PAGES[2 2+0] POSTCOPY_DISCARD[2 2+0] PAGE_DATA[4 4+2] "
                "POSTCOPY_BEGIN(0) X86_TSC_INFO(24) HVM_CONTEXT(43) "
                "HVM_PARAMS(40) POSTCOPY_PFNS_BEGIN(0) POSTCOPY_PFNS[3 3+0] "
                "POSTCOPY_TRANSITION(0) upper POSTCOPY_PAGE_DATA[2 2+2] "
                "POSTCOPY_COMMIT(24) ZERO_PAGES[2 2+0] "
                "POSTCOPY_KEEPALIVE(0) END(0) end");
    xc_sr__writer_dispose(&w);
}
END_TEST

/*
 * A stream with one field changed: record number (-1: the headers), where in
 * it (from its header), how wide, the new value; and what must be said.
 */
struct broken
{
    const char *stream;
    int record;
    size_t at;
    int width;
    uint64_t value;
    int error;
    const char *type;
    const char *field;
    size_t fault_at; /* from the record's header */
};

/* clang-format off */
static const struct broken broken[] = {
    /* headers */
    { "stock-3-hvm", -1, 7, 1, 0xfe, -EPROTO, "image header", "marker", 0 },
    { "stock-3-hvm", -1, 8, 1, 'Y', -EPROTO, "image header", "id", 8 },
    { "stock-3-hvm", -1, 15, 1, 1, -EPROTONOSUPPORT, "image header", "version",
      12 },
    { "stock-3-hvm", -1, 15, 1, 4, -EPROTONOSUPPORT, "image header", "version",
      12 },
    { "stock-3-hvm", -1, 17, 1, 1, -EPROTONOSUPPORT, "image header", "options",
      16 },
    { "stock-3-hvm", -1, 16, 1, 1, -EPROTO, "image header", "options", 16 },
    { "stock-3-hvm", -1, 18, 1, 1, -EPROTO, "image header", "reserved", 18 },
    { "stock-3-hvm", -1, 23, 1, 1, -EPROTO, "image header", "reserved", 18 },
    { "stock-3-hvm", -1, 24, 4, 0, -EPROTO, "domain header", "type", 24 },
    { "stock-3-hvm", -1, 24, 4, 3, -EPROTO, "domain header", "type", 24 },
    { "stock-3-hvm", -1, 28, 2, 13, -EPROTO, "domain header", "page_shift",
      28 },
    { "stock-3-hvm", -1, 30, 2, 1, -EPROTO, "domain header", "reserved", 30 },
    /* framing */
    { "stock-3-hvm", 0, 0, 4, 0x7777, -EPROTONOSUPPORT, "UNKNOWN", "type", 0 },
    { "stock-3-hvm", 0, 0, 4, 0x115, -EPROTO, "UNKNOWN", "type", 0 },
    { "stock-2-hvm", 0, 0, 4, 0x111, -EPROTONOSUPPORT, "UNKNOWN", "type", 0 },
    { "back-3", 0, 0, 4, 0x1, -EPROTO, "UNKNOWN", "type", 0 },
    { "stock-3-hvm", 0, 4, 4, 0xfffffffb, -EMSGSIZE, "X86_CPUID_POLICY",
      "body_length", 4 },
    { "stock-3-hvm", 4, 4, 4, 0xfffffffb, -EMSGSIZE, "UNKNOWN", "body_length",
      4 },
    { "stock-3-hvm", 4, 35, 1, 1, -EPROTO, "UNKNOWN", "padding", 35 },
    { "stock-3-hvm", 6, 51, 1, 1, -EPROTO, "HVM_CONTEXT", "padding", 51 },
    { "stock-3-hvm", 2, 4, 4, 8, -EPROTO, "STATIC_DATA_END", "body_length",
      4 },
    { "stock-3-hvm", 5, 4, 4, 32, -EPROTO, "X86_TSC_INFO", "body_length", 4 },
    { "stock-3-hvm", 6, 4, 4, 0, -EPROTO, "HVM_CONTEXT", "body_length", 4 },
    { "stock-3-hvm", 6, 4, 4, 0x1000001, -EMSGSIZE, "HVM_CONTEXT",
      "body_length", 4 },
    /* stock bodies */
    { "stock-3-hvm", 0, 4, 4, 40, -EPROTO, "X86_CPUID_POLICY", "body_length",
      4 },
    { "stock-3-hvm", 1, 12, 4, 1, -EPROTO, "X86_MSR_POLICY", "flags", 12 },
    { "stock-3-hvm", 3, 8, 4, 0, -EPROTO, "PAGE_DATA", "count", 8 },
    { "stock-3-hvm", 3, 8, 4, 0xffffffff, -EPROTO, "PAGE_DATA", "count", 8 },
    { "stock-3-hvm", 3, 8, 4, 3, -EPROTO, "PAGE_DATA", "body_length", 4 },
    { "stock-3-hvm", 3, 12, 4, 1, -EPROTO, "PAGE_DATA", "reserved", 12 },
    { "stock-3-hvm", 3, 22, 1, 0x10, -EPROTO, "PAGE_DATA", "entry[0]", 16 },
    { "stock-3-hvm", 3, 31, 1, 0x01, -EPROTO, "PAGE_DATA", "entry[1]", 24 },
    { "stock-3-hvm", 3, 31, 1, 0x10, -EPROTO, "PAGE_DATA", "entry[1]", 24 },
    { "stock-3-hvm", 3, 31, 1, 0x50, -EPROTO, "PAGE_DATA", "entry[1]", 24 },
    { "stock-3-hvm", 3, 31, 1, 0x90, -EPROTO, "PAGE_DATA", "entry[1]", 24 },
    { "stock-3-hvm", 3, 31, 1, 0x00, -EPROTO, "PAGE_DATA", "body_length", 4 },
    { "stock-3-hvm", 3, 23, 1, 0xf0, -EPROTO, "PAGE_DATA", "body_length", 4 },
    { "stock-2-pv", 2, 23, 1, 0x50, -EPROTO, "PAGE_DATA", "entry[0]", 16 },
    { "stock-2-pv", 2, 23, 1, 0x80, -EPROTO, "PAGE_DATA", "entry[0]", 16 },
    { "stock-3-hvm", 5, 8, 4, 4, -EPROTO, "X86_TSC_INFO", "mode", 8 },
    { "stock-3-hvm", 5, 28, 4, 1, -EPROTO, "X86_TSC_INFO", "reserved", 28 },
    { "stock-3-hvm", 7, 8, 4, 3, -EPROTO, "HVM_PARAMS", "body_length", 4 },
    { "stock-3-hvm", 7, 8, 4, 0x10000002, -EPROTO, "HVM_PARAMS", "body_length",
      4 },
    { "stock-3-hvm", 7, 8, 4, 0, -EPROTO, "HVM_PARAMS", "count", 8 },
    { "stock-3-hvm", 7, 12, 4, 1, -EPROTO, "HVM_PARAMS", "reserved", 12 },
    { "stock-2-pv", 0, 8, 1, 5, -EPROTO, "X86_PV_INFO", "guest_width", 8 },
    { "stock-2-pv", 0, 9, 1, 3, -EPROTO, "X86_PV_INFO", "pt_levels", 9 },
    { "stock-2-pv", 0, 10, 1, 1, -EPROTO, "X86_PV_INFO", "reserved", 10 },
    { "stock-2-pv", 0, 12, 1, 1, -EPROTO, "X86_PV_INFO", "reserved", 12 },
    { "stock-2-pv", 1, 12, 4, 499, -EPROTO, "X86_PV_P2M_FRAMES",
      "p2m_end_pfn", 12 },
    { "stock-2-pv", 1, 12, 4, 1023, -EPROTO, "X86_PV_P2M_FRAMES",
      "body_length", 4 },
    { "stock-2-pv", 1, 31, 1, 0x10, -EPROTO, "X86_PV_P2M_FRAMES", "entry[1]",
      24 },
    { "stock-2-pv", 4, 4, 4, 4095, -EPROTO, "SHARED_INFO", "body_length", 4 },
    { "stock-2-pv", 5, 12, 4, 1, -EPROTO, "X86_PV_VCPU_BASIC", "reserved",
      12 },
    { "stock-2-pv", 5, 4, 4, 8, -EPROTO, "X86_PV_VCPU_BASIC", "context", 16 },
    /* our own, forward */
    { "postcopy-3", 0, 24, 4, 16, -EPROTO, "POSTCOPY_ADVISE", "features",
      24 },
    { "postcopy-3", 0, 28, 4, 4, -EPROTO, "POSTCOPY_ADVISE", "flags", 28 },
    { "postcopy-3", 0, 32, 8, 0, -EPROTO, "POSTCOPY_ADVISE", "nr_pfns", 32 },
    { "postcopy-3", 0, 32, 8, (1ULL << 40) + 1, -EPROTO, "POSTCOPY_ADVISE",
      "nr_pfns", 32 },
    { "postcopy-3", 0, 40, 4, 65, -EPROTO, "POSTCOPY_ADVISE", "nr_params",
      40 },
    { "postcopy-3", 0, 40, 4, 1, -EPROTO, "POSTCOPY_ADVISE", "body_length",
      4 },
    { "postcopy-3", 0, 44, 4, 1, -EPROTO, "POSTCOPY_ADVISE", "reserved", 44 },
    { "postcopy-3", 0, 24, 4, 6, -EPROTO, "ZERO_PAGES", "type", 0 },
    { "postcopy-3", 4, 16, 1, KIT_NR_PFNS, -EPROTO, "PAGE_DATA", "entry[0]",
      16 },
    { "postcopy-3", 5, 31, 1, 0xf0, -EPROTO, "ZERO_PAGES", "entry[1]", 24 },
    { "postcopy-3", 5, 8, 4, 1, -EPROTO, "ZERO_PAGES", "body_length", 4 },
    { "postcopy-3", 6, 8, 4, 0, -EPROTO, "POSTCOPY_DISCARD", "count", 8 },
    { "postcopy-3", 6, 12, 4, 9, -EPROTO, "POSTCOPY_DISCARD", "reserved", 12 },
    { "postcopy-3", 6, 23, 1, 0xd0, -EPROTO, "POSTCOPY_DISCARD", "entry[0]",
      16 },
    { "postcopy-3", 6, 24, 8, 0, -EPROTO, "POSTCOPY_DISCARD", "nr_pages[0]",
      24 },
    { "postcopy-3", 6, 24, 8, 81, -EPROTO, "POSTCOPY_DISCARD", "nr_pages[0]",
      24 },
    { "postcopy-3", 6, 40, 8, ~0ULL, -EPROTO, "POSTCOPY_DISCARD",
      "nr_pages[1]", 40 },
    { "postcopy-3", 13, 16, 8, 1000, -EPROTO, "POSTCOPY_PFNS", "entry[0]",
      16 },
    { "postcopy-3", 15, 31, 1, 0xf0, -EPROTO, "POSTCOPY_PAGE_DATA", "entry[1]",
      24 },
    { "postcopy-3", 16, 8, 1, 9, -EPROTO, "POSTCOPY_COMMIT", "session", 8 },
    { "postcopy-3", 16, 24, 8, 1, -EPROTO, "POSTCOPY_COMMIT", "epoch", 24 },
    { "aborted-3", 3, 8, 1, 9, -EPROTO, "POSTCOPY_ABORT", "session", 8 },
    { "aborted-3", 3, 32, 4, 0, -EPROTO, "POSTCOPY_ABORT", "reason", 32 },
    { "aborted-3", 3, 36, 4, 11, -EPROTO, "POSTCOPY_ABORT", "body_length", 4 },
    { "aborted-3", 3, 40, 1, 0, -EPROTO, "POSTCOPY_ABORT", "text", 40 },
    { "aborted-3", 3, 40, 1, '\n', -EPROTO, "POSTCOPY_ABORT", "text", 40 },
    { "aborted-3", 3, 42, 1, 'x', -EPROTO, "POSTCOPY_ABORT", "text", 41 },
    { "aborted-3", 3, 40, 2, 0x80c0, -EPROTO, "POSTCOPY_ABORT", "text", 40 },
    { "aborted-3", 3, 40, 4, 0x8080a0ed, -EPROTO, "POSTCOPY_ABORT", "text",
      40 },
    { "aborted-3", 3, 40, 2, 0x85c2, -EPROTO, "POSTCOPY_ABORT", "text", 40 },
    { "aborted-3", 3, 51, 1, 0xf0, -EPROTO, "POSTCOPY_ABORT", "text", 51 },
    { "resumed-3", 0, 24, 8, 0, -EPROTO, "POSTCOPY_RESUME", "epoch", 24 },
    { "resumed-3", 0, 32, 4, 2, -EPROTO, "POSTCOPY_RESUME", "verdict", 32 },
    { "resumed-3", 0, 36, 4, 1, -EPROTO, "POSTCOPY_RESUME", "reserved", 36 },
    { "resumed-3", 0, 24, 8, 7, -EPROTO, "POSTCOPY_COMMIT", "epoch", 24 },
    /* the back channel */
    { "back-2", 0, 22, 1, 0x10, -EPROTO, "POSTCOPY_FAULT", "entry[0]", 16 },
    { "back-2", 0, 31, 1, 0xf0, -EPROTO, "POSTCOPY_FAULT", "entry[1]", 24 },
    { "back-2", 0, 8, 4, 0, -EPROTO, "POSTCOPY_FAULT", "count", 8 },
    { "back-2", 0, 4, 4, 8 + 8 * 1025, -EMSGSIZE, "POSTCOPY_FAULT",
      "body_length", 4 },
    { "back-3", 0, 28, 4, 16, -EPROTO, "POSTCOPY_READY", "features", 28 },
    { "back-3", 0, 32, 4, 1, -EPROTO, "POSTCOPY_READY", "text_len", 32 },
    { "back-3", 0, 36, 4, 1, -EPROTO, "POSTCOPY_READY", "reserved", 36 },
    { "back-3", 0, 28, 4, 5, -EPROTO, "POSTCOPY_ACK", "type", 0 },
    { "back-3", 0, 28, 4, 3, -EPROTO, "POSTCOPY_STATS", "type", 0 },
    { "back-3", 1, 8, 8, 1001, -EPROTO, "POSTCOPY_ACK", "octets", 8 },
    { "back-3", 3, 8, 1, 9, -EPROTO, "POSTCOPY_PREPARED", "session", 8 },
    { "back-3", 4, 24, 8, 9, -EPROTO, "POSTCOPY_RUNNING", "epoch", 24 },
    { "back-3", 8, 8, 4, 4, -EPROTO, "POSTCOPY_STATS", "body_length", 4 },
    { "back-3", 8, 12, 4, 1, -EPROTO, "POSTCOPY_STATS", "reserved", 12 },
    { "back-nak-3", 1, 32, 4, 0, -EPROTO, "POSTCOPY_NAK", "reason", 32 },
    { "back-nak-3", 1, 36, 4, 257, -EPROTO, "POSTCOPY_NAK", "body_length", 4 },
    { "back-recover-3", 0, 24, 8, 0, -EPROTO, "POSTCOPY_RECOVER", "epoch",
      24 },
    { "back-recover-3", 0, 32, 4, 6, -EPROTO, "POSTCOPY_RECOVER", "record",
      32 },
    { "back-recover-3", 0, 36, 4, 16, -EPROTO, "POSTCOPY_RECOVER", "features",
      36 },
    { "back-recover-3", 0, 40, 8, 0, -EPROTO, "POSTCOPY_RECOVER", "nr_pfns",
      40 },
    { "back-recover-3", 0, 40, 8, 129, -EPROTO, "POSTCOPY_RECOVER",
      "body_length", 4 },
    { "back-recover-3", 0, 40, 8, 99, -EPROTO, "POSTCOPY_RECOVER", "bitmap",
      56 },
    /* order */
    { "stock-3-hvm", 2, 0, 8, 0x0d, -EPROTO, "VERIFY", "phase", 0 },
    { "stock-3-hvm", 2, 0, 4, 0x110, -EPROTO, "POSTCOPY_BEGIN", "phase", 0 },
    { "stock-3-hvm", 8, 0, 4, 0x10, -EPROTO, "STATIC_DATA_END", "phase", 0 },
    { "stock-3-hvm", 8, 0, 4, 0x110, -EPROTO, "POSTCOPY_BEGIN", "phase", 0 },
    { "postcopy-3", 8, 0, 4, 0x00, -EPROTO, "END", "phase", 0 },
    { "postcopy-3", 9, 0, 4, 0x124, -EPROTO, "POSTCOPY_COMMIT", "phase", 0 },
    { "postcopy-3", 12, 0, 4, 0x113, -EPROTO, "POSTCOPY_TRANSITION", "phase",
      0 },
    { "aborted-3", 1, 0, 4, 0x110, -EPROTO, "POSTCOPY_BEGIN", "phase", 0 },
    { "back-2", 0, 0, 4, 0x0f, -EPROTO, "POSTCOPY_FAULT", "phase", 0 },
    { "back-3", 4, 0, 4, 0x123, -EPROTO, "POSTCOPY_PREPARED", "phase", 0 },
};
/* clang-format on */

START_TEST(every_broken_field_is_named)
{
    const struct broken *b = &broken[_i];
    const struct kit_stream *s = kit_find(b->stream);
    const size_t chunks[] = { 1, 8, 4096, SIZE_MAX / 2 };
    struct kit_index index;
    struct xc_sr_writer w;
    uint8_t *p;

    kit_build(s, &w, &index);
    p = w.buf + (b->record < 0 ? 0 : index.at[b->record]) + b->at;
    for ( int i = 0; i < b->width; i++ )
        p[i] = (uint8_t)(b->value >> (8 * i));

    for ( unsigned int i = 0; i < XC_SR_ARRAY_SIZE(chunks); i++ )
    {
        struct kit_trace t = { 0 };
        struct xc_sr_reader r;
        char text[400];
        size_t start = 0;
        int rc;

        kit_reader(s, &r);
        rc = kit_run(&r, w.buf, w.len, chunks[i], &t);
        xc_sr__fault_text(&r.fault, text, sizeof(text));
        ck_assert_msg(rc == b->error, "case %d: rc %d, said: %s", _i, rc, text);
        ck_assert_msg(!strcmp(r.fault.field, b->field), "case %d: %s", _i,
                      text);
        ck_assert_msg(!strcmp(r.fault.type, b->type), "case %d: %s", _i, text);
        /* The record at fault is the changed one, or a later one it broke. */
        if ( b->record >= 0 )
        {
            ck_assert_uint_ge(r.fault.record, (uint64_t)b->record);
            ck_assert_uint_lt(r.fault.record, index.nr);
            start = index.at[r.fault.record];
        }
        ck_assert_msg(r.fault.offset == start + b->fault_at,
                      "case %d: expected offset 0x%zx: %s", _i,
                      start + b->fault_at, text);
        /* Final: the same answer again. */
        rc = kit_run(&r, w.buf, w.len, w.len, &t);
        ck_assert_int_eq(rc, b->error);
        ck_assert_int_eq(xc_sr__reader_eof(&r), b->error);
    }
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(newer_versions_can_be_refused)
{
    const struct kit_stream *s = kit_find("stock-3-hvm");
    struct kit_trace t = { 0 };
    struct kit_index index;
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    kit_build(s, &w, &index);
    kit_reader(s, &r);
    r.max_version = 2;
    ck_assert_int_eq(kit_run(&r, w.buf, w.len, w.len, &t), -EPROTONOSUPPORT);
    ck_assert_str_eq(r.fault.field, "version");
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(a_big_optional_record_is_not_held)
{
    enum
    {
        BODY = 100 << 20
    };
    uint8_t header[40 + 8], zeroes[8192] = { 0 };
    struct xc_sr_event ev;
    struct xc_sr_reader r;
    struct xc_sr_writer w;
    size_t used, passed = 0, at = 0;

    xc_sr__writer_init(&w, 2);
    kit_headers(&w, KIT_HEAD_HVM);
    kit_u32s(&w, 0x80000001, BODY - 3);
    memcpy(header, w.buf, sizeof(header));
    xc_sr__reader_init(&r, XC_SR_FORWARD, 0);
    do
    {
        ck_assert_int_eq(xc_sr__reader_next(&r, header + at,
                                            sizeof(header) - at, &ev, &used),
                         0);
        at += used;
    } while ( at < sizeof(header) );
    while ( ev.kind == XC_SR_EV_NEED )
    {
        ck_assert_uint_le(ev.need, sizeof(zeroes));
        ck_assert_int_eq(
            xc_sr__reader_next(&r, zeroes, sizeof(zeroes), &ev, &used), 0);
        passed += used;
    }
    ck_assert_int_eq(ev.kind, XC_SR_EV_UNKNOWN);
    ck_assert_uint_eq(passed, BODY);
    ck_assert_uint_eq(ev.record.length, BODY - 3);
    ck_assert_uint_eq(r.nr_unknown, 1);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(a_refusal_ends_the_back_channel)
{
    struct kit_trace t = { 0 };
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_READY);
    xc_sr__write_bytes(&w, kit_session, 16);
    kit_u32s(&w, XC_SR_REASON_NO_MEMORY, 0);
    kit_u32s(&w, 5, 0);
    kit_text(&w, "sorry");
    xc_sr__write_end(&w, 0);
    xc_sr__reader_init(&r, XC_SR_BACK, 3);
    ck_assert_int_eq(kit_run(&r, w.buf, w.len, w.len, &t), 0);
    ck_assert_str_eq(t.text, "POSTCOPY_READY(37) end");
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(a_checkpoint_hands_over_to_the_layer_above)
{
    const struct kit_stream *s = kit_find("checkpointed-3");
    struct kit_index index;
    struct xc_sr_event ev;
    struct xc_sr_reader r;
    struct xc_sr_writer w;
    size_t at = 0, used;

    kit_build(s, &w, &index);
    kit_reader(s, &r);
    do
    {
        ck_assert_int_eq(
            xc_sr__reader_next(&r, w.buf + at, w.len - at, &ev, &used), 0);
        at += used;
    } while ( ev.kind != XC_SR_EV_RECORD ||
              ev.record.id != XC_SR_REC_CHECKPOINT );
    xc_sr__reader_upper_done(&r, 64);
    ck_assert_uint_eq(r.offset, at + 64);
    while ( ev.kind != XC_SR_EV_END )
    {
        ck_assert_int_eq(
            xc_sr__reader_next(&r, w.buf + at, w.len - at, &ev, &used), 0);
        at += used;
    }
    ck_assert_uint_eq(r.offset, w.len + 64);
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(an_aborted_resume_ends_the_stream)
{
    struct kit_trace t = { 0 };
    struct xc_sr_reader r;
    struct xc_sr_writer w;

    xc_sr__writer_init(&w, 3);
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_RESUME);
    kit_session_epoch(&w, 3);
    kit_u32s(&w, 1, 0);
    xc_sr__write_end(&w, 0);
    xc_sr__reader_init_resuming(&r);
    ck_assert_int_eq(kit_run(&r, w.buf, w.len, w.len, &t), 0);
    ck_assert_str_eq(t.text, "POSTCOPY_RESUME(32) end");
    xc_sr__writer_dispose(&w);
}
END_TEST

START_TEST(the_fault_is_one_line_with_everything)
{
    const struct kit_stream *s = kit_find("stock-3-hvm");
    struct kit_trace t = { 0 };
    struct kit_index index;
    struct xc_sr_reader r;
    struct xc_sr_writer w;
    char text[400];

    kit_build(s, &w, &index);
    w.buf[index.at[3] + 8] = 0;
    kit_reader(s, &r);
    ck_assert_int_eq(kit_run(&r, w.buf, w.len, w.len, &t), -EPROTO);
    ck_assert_str_eq(xc_sr__fault_text(&r.fault, text, sizeof(text)),
                     "offset 0x88: record 3 (PAGE_DATA): count: 0, at least 1");
    xc_sr__writer_dispose(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reader");
    TCase *tc = tcase_create("reader");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, every_stream_at_every_chunking, 0,
                        (int)KIT_NR_STREAMS);
    tcase_add_loop_test(tc, every_truncation_is_found, 0, (int)KIT_NR_STREAMS);
    tcase_add_loop_test(tc, contents_can_be_skipped, 0, (int)KIT_NR_STREAMS);
    tcase_add_test(tc, events_of_a_migration);
    tcase_add_loop_test(tc, every_broken_field_is_named, 0,
                        (int)XC_SR_ARRAY_SIZE(broken));
    tcase_add_test(tc, newer_versions_can_be_refused);
    tcase_add_test(tc, a_big_optional_record_is_not_held);
    tcase_add_test(tc, a_refusal_ends_the_back_channel);
    tcase_add_test(tc, a_checkpoint_hands_over_to_the_layer_above);
    tcase_add_test(tc, an_aborted_resume_ends_the_stream);
    tcase_add_test(tc, the_fault_is_one_line_with_everything);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_vectors.c: the golden streams are well-formed however they are cut in
 * pieces, and every way of breaking them is found and blamed on the record
 * that was broken.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vectors/vectors.h"
#include "verify_stream.h"

struct verdict
{
    int rc;
    struct xc_sr_verify_fault fault;
    struct xc_sr_verify_report report;
    char text[300];
};

/*
 * Feeds pieces of `piece` octets; skips what may be skipped where asked to,
 * as one does with a file.
 */
static struct verdict judge_in_pieces(const struct vector *v, size_t len,
                                      size_t piece, bool skip)
{
    struct verify_options options = { .back = v->back };
    struct verify_nest nest;
    struct verdict verdict;
    size_t at = 0;
    int rc = verify_nest_init(&nest, &options);

    memset(&verdict, 0, sizeof(verdict));
    while ( !rc && at < len )
    {
        uint64_t may = skip ? verify_nest_skippable(&nest) : 0;
        size_t n = len - at;

        if ( may )
        {
            n = n < may ? n : (size_t)may;
            rc = verify_nest_skip(&nest, n);
        }
        else
        {
            n = n < piece ? n : piece;
            rc = verify_nest_feed(&nest, v->data + at, n);
        }
        at += n;
    }
    if ( !rc )
        rc = verify_nest_eof(&nest);
    verdict.rc = rc;
    verdict.fault = nest.fault;
    if ( nest.libxc )
        xc_sr_verifier_report(nest.libxc, &verdict.report);
    xc_sr_verify_fault_text(&nest.fault, verdict.text, sizeof(verdict.text));
    verify_nest_dispose(&nest);
    return verdict;
}

static struct verdict judge(const struct vector *v, size_t len)
{
    return judge_in_pieces(v, len, len ? len : 1, false);
}

/* ---- As they are ------------------------------------------------------------- */

START_TEST(whole)
{
    struct vector *v = vec_build((unsigned int)_i);
    struct verdict verdict = judge(v, v->len);

    ck_assert_msg(verdict.rc == 0, "%s: %s", v->name, verdict.text);
    ck_assert_uint_eq(verdict.report.records + verdict.report.unknown > 0, 1);
    vec_free(v);
}
END_TEST

START_TEST(in_pieces)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 8, 13, 24, 100, 4096, 4099 };
    struct vector *v = vec_build((unsigned int)_i);
    struct verdict one = judge(v, v->len);

    for ( size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++ )
    {
        for ( int skip = 0; skip < 2; skip++ )
        {
            struct verdict verdict =
                judge_in_pieces(v, v->len, pieces[i], skip);

            ck_assert_msg(verdict.rc == 0, "%s in %zus: %s", v->name, pieces[i],
                          verdict.text);
            ck_assert_mem_eq(&verdict.report, &one.report,
                             sizeof(verdict.report));
        }
    }
    vec_free(v);
}
END_TEST

START_TEST(octets_after_the_end)
{
    struct vector *v = vec_build((unsigned int)_i);
    struct verdict verdict;

    ck_assert_uint_lt(v->len, v->cap);
    v->data[v->len] = 0;
    verdict = judge(v, v->len + 1);
    ck_assert_int_eq(verdict.rc, -EPROTO);
    ck_assert_str_eq(verdict.fault.field, "trailing");
    ck_assert_uint_eq(verdict.fault.offset, v->len);
    vec_free(v);
}
END_TEST

/* ---- Broken ------------------------------------------------------------------- */

static void expect_blame(const struct vector *v, const struct vec_mark *mark,
                         const char *how)
{
    const char *type = mark->rule == VEC_TYPE ? "UNKNOWN" : mark->type;
    struct verdict verdict = judge(v, v->len);

    ck_assert_msg(verdict.rc < 0, "%s: %s of %s at 0x%zx %s, and still valid",
                  v->name, mark->field, mark->type, mark->offset, how);
    ck_assert_msg(verdict.fault.error == verdict.rc, "%s: no fault", v->name);
    /* Without a format nobody can say what it should have been. */
    if ( mark->offset >= 8 && strcmp(verdict.fault.type, type) )
        ck_abort_msg("%s: %s of %s at 0x%zx %s, blamed: %s", v->name,
                     mark->field, mark->type, mark->offset, how, verdict.text);
    ck_assert_msg(verdict.fault.field[0] && verdict.fault.why[0], "%s",
                  verdict.text);
}

static void break_octet(struct vector *v, const struct vec_mark *mark,
                        size_t at, uint8_t value)
{
    uint8_t before = v->data[mark->offset + at];

    v->data[mark->offset + at] = value;
    expect_blame(v, mark, "one octet wrong");
    v->data[mark->offset + at] = before;
}

static void break_all(struct vector *v, const struct vec_mark *mark,
                      uint8_t value, const char *how)
{
    uint8_t before[64];

    ck_assert_uint_le(mark->len, sizeof(before));
    memcpy(before, v->data + mark->offset, mark->len);
    memset(v->data + mark->offset, value, mark->len);
    expect_blame(v, mark, how);
    memcpy(v->data + mark->offset, before, mark->len);
}

static void break_type(struct vector *v, const struct vec_mark *mark)
{
    uint8_t before[4];

    memcpy(before, v->data + mark->offset, 4);
    memcpy(v->data + mark->offset, "\xf1\xff\xff\x7f", 4);
    expect_blame(v, mark, "unknown");
    memcpy(v->data + mark->offset, before, 4);
}

static void break_field(struct vector *v, const struct vec_mark *mark)
{
    const uint8_t *p = v->data + mark->offset;

    switch ( mark->rule )
    {
    case VEC_EXACT:
    case VEC_LENGTH:
        for ( size_t i = mark->rule == VEC_LENGTH; i < mark->len; i++ )
            break_octet(v, mark, i, p[i] ^ 0x41);
        break;
    case VEC_ZERO:
        break_all(v, mark, 0, "all zeroes");
        break_all(v, mark, 0xff, "all ones");
        break;
    case VEC_HIGH:
        break_all(v, mark, 0xff, "all ones");
        break;
    case VEC_ENTRY:
        for ( int bit = 4; bit < 8; bit++ )
            break_octet(v, mark, 6, (uint8_t)(p[6] | 1 << bit));
        for ( int bit = 0; bit < 4; bit++ )
            break_octet(v, mark, 7, (uint8_t)(p[7] | 1 << bit));
        break_octet(v, mark, 7, 0x50);
        break;
    case VEC_TYPE:
        break_type(v, mark);
        break;
    }
}

START_TEST(every_field_wrong)
{
    struct vector *v = vec_build((unsigned int)_i);

    ck_assert_uint_gt(v->nr_marks, 0);
    for ( size_t i = 0; i < v->nr_marks; i++ )
        break_field(v, &v->marks[i]);
    ck_assert_int_eq(judge(v, v->len).rc, 0); /* all of it was put back */
    vec_free(v);
}
END_TEST

static const struct vec_span *span_at(const struct vector *v, size_t at)
{
    for ( size_t i = 0; i < v->nr_spans; i++ )
        if ( at >= v->spans[i].offset && at < v->spans[i].end )
            return &v->spans[i];
    return NULL;
}

START_TEST(every_truncation)
{
    struct vector *v = vec_build((unsigned int)_i);

    for ( size_t len = 0; len < v->len; len++ )
    {
        const struct vec_span *span = span_at(v, len);
        struct verdict verdict = judge(v, len);

        ck_assert_ptr_nonnull(span);
        ck_assert_msg(verdict.rc == -EPROTO, "%s cut at 0x%zx: %d %s", v->name,
                      len, verdict.rc, verdict.text);
        ck_assert_msg(verdict.fault.offset == len, "%s cut at 0x%zx: %s",
                      v->name, len, verdict.text);
        /* In the first octets, and in a record's head, it has no name yet. */
        if ( len < 8 || (len < span->body && span->body != span->offset) )
            continue;
        if ( len == span->offset || !strcmp(span->type, "UNKNOWN") )
            continue;
        ck_assert_msg(!strcmp(verdict.fault.type, span->type),
                      "%s cut at 0x%zx, in %s: %s", v->name, len, span->type,
                      verdict.text);
    }
    vec_free(v);
}
END_TEST

/* ---- What only several records together can get wrong --------------------------- */

static struct vector *find(const char *name)
{
    for ( unsigned int i = 0; i < vec_count(); i++ )
    {
        struct vector *v = vec_build(i);

        if ( !strcmp(v->name, name) )
            return v;
        vec_free(v);
    }
    ck_abort_msg("no vector %s", name);
    return NULL;
}

/* The octet that is the low end of the nth entry of the nth such record. */
static uint8_t *entry_of(struct vector *v, const char *type, unsigned int nth)
{
    for ( size_t i = 0; i < v->nr_marks; i++ )
        if ( v->marks[i].rule == VEC_ENTRY && !strcmp(v->marks[i].type, type) &&
             !nth-- )
            return v->data + v->marks[i].offset;
    ck_abort_msg("no entry of %s", type);
    return NULL;
}

static void expect(struct vector *v, const char *type, const char *why)
{
    struct verdict verdict = judge(v, v->len);

    ck_assert_int_eq(verdict.rc, -EPROTO);
    ck_assert_str_eq(verdict.fault.type, type);
    ck_assert_msg(strstr(verdict.fault.why, why), "%s", verdict.text);
    vec_free(v);
}

START_TEST(page_never_announced)
{
    struct vector *v = find("postcopy3");

    *entry_of(v, "POSTCOPY_PAGE_DATA", 0) = 41;
    expect(v, "POSTCOPY_PAGE_DATA", "0x29 was never announced");
    v = find("xl-postcopy2");
    *entry_of(v, "POSTCOPY_PAGE_DATA", 2) = 4;
    expect(v, "POSTCOPY_PAGE_DATA", "0x4 was never announced");
}
END_TEST

START_TEST(page_never_came)
{
    struct vector *v = find("postcopy3");

    *entry_of(v, "ZERO_PAGES", 4) = 3; /* 10 is now missing, 3 comes twice */
    *entry_of(v, "ZERO_PAGES", 2) = 3;
    expect(v, "END", "announced pages never came, the first is pfn 0xa");
}
END_TEST

START_TEST(pulled_out_by_page_data)
{
    struct vector *v = find("postcopy3");

    /* 9 was announced, then sent: it may not come again by post-copy. */
    *entry_of(v, "POSTCOPY_PAGE_DATA", 2) = 9;
    expect(v, "POSTCOPY_PAGE_DATA", "0x9 was never announced");
}
END_TEST

START_TEST(pfn_outside_the_guest)
{
    struct vector *v = find("postcopy3");

    *entry_of(v, "PAGE_DATA", 0) = 64;
    ck_assert_int_eq(judge(v, v->len).rc, -EPROTO);
    vec_free(v);
}
END_TEST

/* Two faults in one record, found by different rules: the first one counts. */
START_TEST(same_fault_however_cut)
{
    static const size_t pieces[] = { 1, 8, 11, 64, 100000 };
    struct vector *v = find("postcopy2");

    *entry_of(v, "POSTCOPY_PAGE_DATA", 0) = 8;
    entry_of(v, "POSTCOPY_PAGE_DATA", 1)[6] = 0xff;
    for ( size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++ )
    {
        struct verdict verdict =
            judge_in_pieces(v, v->len, pieces[i], i % 2 != 0);

        ck_assert_msg(strstr(verdict.fault.why, "0x8 was never announced"),
                      "in %zus: %s", pieces[i], verdict.text);
    }
    vec_free(v);
}
END_TEST

static Suite *vectors_suite(void)
{
    Suite *s = suite_create("vectors");
    TCase *tc = tcase_create("each");
    int n = (int)vec_count();

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, whole, 0, n);
    tcase_add_loop_test(tc, in_pieces, 0, n);
    tcase_add_loop_test(tc, octets_after_the_end, 0, n);
    tcase_add_loop_test(tc, every_field_wrong, 0, n);
    tcase_add_loop_test(tc, every_truncation, 0, n);
    suite_add_tcase(s, tc);

    tc = tcase_create("together");
    tcase_add_test(tc, page_never_announced);
    tcase_add_test(tc, page_never_came);
    tcase_add_test(tc, pulled_out_by_page_data);
    tcase_add_test(tc, pfn_outside_the_guest);
    tcase_add_test(tc, same_fault_however_cut);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(vectors_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

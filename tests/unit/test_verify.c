/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_verify.c: the verifier of libxenpostcopy by itself: its contract with
 * whoever feeds it, its book of announced pages, and that neither time nor
 * memory is at a stream's mercy.  What a stream may look like is tested in
 * test_vectors.c.
 */
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_stream.h"
#include "xc_sr_verify_set.h"
#include "xenpostcopy_verify.h"

static struct xc_sr_writer w;
static struct xc_sr_verifier *v;
static char lines[40][300];
static unsigned int nr_lines;

static void keep_line(void *ctx, const char *line)
{
    (void)ctx;
    ck_assert_uint_lt(nr_lines, 40);
    snprintf(lines[nr_lines++], sizeof(lines[0]), "%s", line);
}

static void open_verifier(struct xc_sr_verify_params params)
{
    xc_sr_verifier_free(v);
    v = NULL;
    nr_lines = 0;
    params.line = keep_line;
    ck_assert_int_eq(xc_sr_verifier_new(&params, &v), 0);
}

static void set_up(void)
{
    xc_sr__writer_init(&w, 3);
    open_verifier((struct xc_sr_verify_params){ .version = 0 });
}

static void tear_down(void)
{
    xc_sr_verifier_free(v);
    v = NULL;
    xc_sr__writer_dispose(&w);
}

/* Feeds what was written since `from`; expects all of it to be used. */
static enum xc_sr_verify_status feed_from(size_t from)
{
    enum xc_sr_verify_status status = XC_SR_VERIFY_MORE;
    size_t used = 0;
    int rc = xc_sr_verifier_feed(v, w.buf + from, w.len - from, &used, &status);

    ck_assert_msg(rc == 0, "%s: %s", xc_sr_verifier_fault(v)->field,
                  xc_sr_verifier_fault(v)->why);
    ck_assert_uint_eq(used, w.len - from);
    return status;
}

static int feed_rc(size_t from)
{
    enum xc_sr_verify_status status;
    size_t used;

    return xc_sr_verifier_feed(v, w.buf + from, w.len - from, &used, &status);
}

/* ---- Streams --------------------------------------------------------------------- */

static void put_headers(uint32_t guest)
{
    const struct xc_sr_domain_header dhdr = {
        .type = guest,
        .page_shift = 12,
        .xen_major = 4,
        .xen_minor = 17,
    };

    xc_sr__write_image_header(&w);
    xc_sr__write_domain_header(&w, &dhdr);
}

static void put_advised(uint64_t nr_pfns)
{
    put_headers(XC_SR_GUEST_HVM);
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_ADVISE);
    xc_sr__write_bytes(&w, "0123456789abcdef", 16);
    xc_sr__write_u32(&w, XC_SR_FEATURES_ALL);
    xc_sr__write_u32(&w, 1);
    xc_sr__write_u64(&w, nr_pfns);
    xc_sr__write_u64(&w, 0);
    xc_sr__write_end(&w, 0);
    xc_sr__write_empty(&w, XC_SR_REC_STATIC_DATA_END);
}

static void put_run(uint64_t pfn, uint64_t nr_pages)
{
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_DISCARD);
    xc_sr__write_u64(&w, 1);
    xc_sr__write_u64(&w, pfn);
    xc_sr__write_u64(&w, nr_pages);
    xc_sr__write_end(&w, 0);
}

static void put_zero_pages(uint64_t pfn, uint32_t count)
{
    xc_sr__write_begin(&w, XC_SR_REC_ZERO_PAGES);
    xc_sr__write_u64(&w, count);
    for ( uint32_t i = 0; i < count; i++ )
        xc_sr__write_u64(&w, pfn + i);
    xc_sr__write_end(&w, 0);
}

static void put_state(void)
{
    xc_sr__write_begin(&w, XC_SR_REC_X86_TSC_INFO);
    for ( int i = 0; i < 3; i++ )
        xc_sr__write_u64(&w, 0);
    xc_sr__write_end(&w, 0);
    xc_sr__write_begin(&w, XC_SR_REC_HVM_CONTEXT);
    xc_sr__write_u64(&w, 0);
    xc_sr__write_end(&w, 0);
    xc_sr__write_begin(&w, XC_SR_REC_HVM_PARAMS);
    xc_sr__write_u64(&w, 1);
    xc_sr__write_u64(&w, 1);
    xc_sr__write_u64(&w, 2);
    xc_sr__write_end(&w, 0);
}

static void put_transition(void)
{
    xc_sr__write_empty(&w, XC_SR_REC_POSTCOPY_BEGIN);
    put_state();
    xc_sr__write_empty(&w, XC_SR_REC_POSTCOPY_PFNS_BEGIN);
    xc_sr__write_empty(&w, XC_SR_REC_POSTCOPY_TRANSITION);
}

static void put_commit_end(void)
{
    xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_COMMIT);
    xc_sr__write_bytes(&w, "0123456789abcdef", 16);
    xc_sr__write_u64(&w, 0);
    xc_sr__write_end(&w, 0);
    xc_sr__write_empty(&w, XC_SR_REC_END);
}

/* ---- The contract ------------------------------------------------------------------ */

START_TEST(versions_that_do_not_exist)
{
    static const unsigned int versions[] = { 1, 4, 77 };
    struct xc_sr_verifier *none = NULL;

    for ( size_t i = 0; i < 3; i++ )
    {
        struct xc_sr_verify_params params = { .back = true,
                                              .version = versions[i] };

        ck_assert_int_eq(xc_sr_verifier_new(&params, &none), -EINVAL);
        ck_assert_ptr_null(none);
    }
    xc_sr_verifier_free(NULL);
}
END_TEST

START_TEST(contents_need_not_be_fed)
{
    struct xc_sr_verify_report report;
    size_t from;

    put_headers(XC_SR_GUEST_HVM);
    xc_sr__write_empty(&w, XC_SR_REC_STATIC_DATA_END);
    xc_sr__write_begin(&w, XC_SR_REC_PAGE_DATA);
    xc_sr__write_u64(&w, 3);
    for ( uint64_t i = 0; i < 3; i++ )
        xc_sr__write_u64(&w, i);
    xc_sr__write_end(&w, 3 * 4096);
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_MORE);
    ck_assert_uint_eq(xc_sr_verifier_skippable(v), 3 * 4096);
    ck_assert_int_eq(xc_sr_verifier_skip(v, 3 * 4096 + 1), -EINVAL);
    ck_assert_int_eq(xc_sr_verifier_skip(v, 1), 0);
    ck_assert_int_eq(xc_sr_verifier_skip(v, 3 * 4096 - 1), 0);
    ck_assert_uint_eq(xc_sr_verifier_skippable(v), 0);

    from = w.len;
    put_state();
    xc_sr__write_empty(&w, XC_SR_REC_END);
    ck_assert_int_eq(feed_from(from), XC_SR_VERIFY_END);
    ck_assert_int_eq(xc_sr_verifier_eof(v), 0);
    xc_sr_verifier_report(v, &report);
    ck_assert_uint_eq(report.octets, w.len + 3 * 4096);
    ck_assert_uint_eq(report.by_page_type[0].count, 3);
    ck_assert_str_eq(report.by_page_type[0].name, "normal");
    ck_assert(report.ended && !report.postcopy && !report.aborted);
}
END_TEST

START_TEST(upper_layer_has_its_turn)
{
    size_t from;

    put_advised(64);
    put_run(8, 2);
    put_transition();
    ck_assert_int_eq(xc_sr_verifier_upper_done(v, 1), -EINVAL); /* not now */
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_TRANSITION);
    ck_assert_int_eq(xc_sr_verifier_upper_done(v, 1000), 0);
    from = w.len;
    put_zero_pages(8, 2);
    put_commit_end();
    ck_assert_int_eq(feed_from(from), XC_SR_VERIFY_END);
    /* The upper layer's octets count in what people are told. */
    ck_assert_ptr_nonnull(strstr(lines[nr_lines - 1], "END"));
    ck_assert_uint_eq(strtoull(lines[nr_lines - 1], NULL, 16),
                      w.len + 1000 - 8);
}
END_TEST

START_TEST(end_in_the_upper_layers_turn)
{
    put_advised(64);
    put_transition();
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_TRANSITION);
    ck_assert_int_eq(xc_sr_verifier_eof(v), -EPROTO);
}
END_TEST

START_TEST(checkpoints_only_where_asked)
{
    put_headers(XC_SR_GUEST_HVM);
    xc_sr__write_empty(&w, XC_SR_REC_STATIC_DATA_END);
    put_state();
    xc_sr__write_empty(&w, XC_SR_REC_CHECKPOINT);
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_MORE);
    open_verifier((struct xc_sr_verify_params){ .upper_at_checkpoint = true });
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_CHECKPOINT);
    ck_assert_int_eq(xc_sr_verifier_upper_done(v, 24), 0);
}
END_TEST

START_TEST(a_fault_is_final_and_counts_from_base)
{
    char text[300];
    int rc;

    open_verifier((struct xc_sr_verify_params){ .base = 0x1000 });
    put_headers(7);
    rc = feed_rc(0);
    ck_assert_int_eq(rc, -EPROTO);
    ck_assert_uint_eq(xc_sr_verifier_fault(v)->offset, 0x1000 + 24);
    ck_assert_str_eq(
        xc_sr_verify_fault_text(xc_sr_verifier_fault(v), text, sizeof(text)),
        "offset 0x1018: domain header: type: 7, must be 1 (PV) "
        "or 2 (HVM)");
    ck_assert_int_eq(feed_rc(0), rc);
    ck_assert_int_eq(xc_sr_verifier_eof(v), rc);
    ck_assert_uint_eq(xc_sr_verifier_fault(v)->offset, 0x1000 + 24);
}
END_TEST

START_TEST(runs_are_folded_into_a_line)
{
    put_advised(64);
    put_zero_pages(0, 4);
    put_zero_pages(4, 1);
    put_run(8, 2);
    put_run(20, 30);
    put_transition();
    feed_from(0);
    ck_assert_ptr_nonnull(
        strstr(lines[4], "records 2-3 ZERO_PAGES: 5 pages: 5 normal"));
    ck_assert_ptr_nonnull(
        strstr(lines[5], "records 4-5 POSTCOPY_DISCARD: 32 pages: 32 normal"));
    ck_assert_ptr_nonnull(strstr(lines[6], "record 6 POSTCOPY_BEGIN"));
}
END_TEST

/* ---- Back channels ------------------------------------------------------------------ */

START_TEST(checkpointed_back_channel_has_no_last_record)
{
    open_verifier((struct xc_sr_verify_params){ .back = true });
    xc_sr__write_begin(&w, XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST);
    xc_sr__write_u64(&w, 5);
    xc_sr__write_end(&w, 0);
    ck_assert_int_eq(feed_from(0), XC_SR_VERIFY_MORE);
    ck_assert_int_eq(xc_sr_verifier_eof(v), 0);
}
END_TEST

START_TEST(empty_back_channel)
{
    open_verifier((struct xc_sr_verify_params){ .back = true });
    ck_assert_int_eq(xc_sr_verifier_eof(v), -EPROTO);
}
END_TEST

/* ---- The book of announced pages ------------------------------------------------------ */

START_TEST(a_guest_larger_than_the_book)
{
    const uint64_t nr_pfns = XC_SR_VERIFY_MAX_PFNS * 4;
    struct xc_sr_verify_report report;
    size_t from;

    put_advised(nr_pfns);
    put_run(XC_SR_VERIFY_MAX_PFNS - 1, 2);
    put_run(nr_pfns - 10, 10);
    put_transition();
    feed_from(0);
    xc_sr_verifier_report(v, &report);
    ck_assert_uint_eq(report.announced_pages, 1);
    ck_assert_uint_eq(report.untracked_pages, 11);
    ck_assert_int_eq(xc_sr_verifier_upper_done(v, 0), 0);
    from = w.len;
    put_zero_pages(XC_SR_VERIFY_MAX_PFNS - 1, 2);
    put_zero_pages(nr_pfns - 10, 10);
    put_commit_end();
    ck_assert_int_eq(feed_from(from), XC_SR_VERIFY_END);
}
END_TEST

START_TEST(missing_pages_where_that_is_allowed)
{
    struct xc_sr_verify_report report;
    size_t from;

    open_verifier((struct xc_sr_verify_params){ .allow_missing = true });
    put_advised(64);
    put_run(8, 2);
    put_transition();
    feed_from(0);
    ck_assert_int_eq(xc_sr_verifier_upper_done(v, 0), 0);
    from = w.len;
    put_zero_pages(9, 1);
    put_commit_end();
    ck_assert_int_eq(feed_from(from), XC_SR_VERIFY_END);
    xc_sr_verifier_report(v, &report);
    ck_assert_uint_eq(report.missing_pages, 1);
}
END_TEST

/* Each of these runs is the whole of the largest guest that is followed. */
START_TEST(endless_runs_cost_no_memory)
{
    struct xc_sr_verify_report report;
    size_t before;

    put_advised(XC_SR_VERIFY_MAX_PFNS);
    for ( int i = 0; i < 1024; i++ )
    {
        xc_sr__write_begin(&w, XC_SR_REC_POSTCOPY_DISCARD);
        xc_sr__write_u64(&w, 1);
        xc_sr__write_u64(&w, 0);
        xc_sr__write_u64(&w, XC_SR_VERIFY_MAX_PFNS);
        xc_sr__write_end(&w, 0);
    }
    before = mallinfo2().uordblks;
    feed_from(0);
    ck_assert_uint_lt(mallinfo2().uordblks, before + (1u << 20));
    xc_sr_verifier_report(v, &report);
    ck_assert_uint_eq(report.announced_pages, XC_SR_VERIFY_MAX_PFNS);
}
END_TEST

/* ---- The set ---------------------------------------------------------------------------- */

#define MODEL_PFNS (4 * XC_SR_VSET_CHUNK_PFNS)

static bool model[MODEL_PFNS];

static void compare(const struct xc_sr_vset *set)
{
    uint64_t count = 0, first = XC_SR_VERIFY_MAX_PFNS;

    for ( uint64_t pfn = 0; pfn < MODEL_PFNS; pfn++ )
    {
        if ( model[pfn] != xc_sr__vset_has(set, pfn) )
            ck_abort_msg("pfn %llu", (unsigned long long)pfn);
        if ( model[pfn] && !count++ )
            first = pfn;
    }
    ck_assert_uint_eq(set->count, count);
    ck_assert_uint_eq(xc_sr__vset_first(set), first);
}

START_TEST(set_against_a_model)
{
    static const uint64_t edges[] = { 0,     1,     63,    64,    65,    32767,
                                      32768, 32769, 65536, 98303, 131000 };
    struct xc_sr_vset set = { .count = 0 };
    uint64_t x = 88172645463325252ULL;

    memset(model, 0, sizeof(model));
    for ( int round = 0; round < 300; round++ )
    {
        uint64_t pfn, n;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        pfn = x % 3 ? x / 3 % MODEL_PFNS : edges[x / 3 % 11];
        n = 1 + (x >> 40) % (round % 5 ? 70 : 70000);
        n = n < MODEL_PFNS - pfn ? n : MODEL_PFNS - pfn;
        if ( round % 3 )
        {
            ck_assert_int_eq(xc_sr__vset_add(&set, pfn, n), 0);
            memset(model + pfn, true, n);
        }
        for ( uint64_t i = 0; round % 3 == 0 && i < n; i++ )
        {
            ck_assert_int_eq(xc_sr__vset_remove(&set, pfn + i), 0);
            model[pfn + i] = false;
        }
        if ( round % 10 == 0 )
            compare(&set);
    }
    compare(&set);
    xc_sr__vset_dispose(&set);
    ck_assert_uint_eq(xc_sr__vset_first(&set), XC_SR_VERIFY_MAX_PFNS);
    xc_sr__vset_dispose(&set);
}
END_TEST

START_TEST(set_beyond_its_end)
{
    struct xc_sr_vset set = { .count = 0 };

    ck_assert_int_eq(xc_sr__vset_add(&set, UINT64_MAX - 1, UINT64_MAX), 0);
    ck_assert_uint_eq(set.count, 0);
    ck_assert_int_eq(xc_sr__vset_add(&set, 5, UINT64_MAX), 0);
    ck_assert_uint_eq(set.count, XC_SR_VERIFY_MAX_PFNS - 5);
    ck_assert(!xc_sr__vset_has(&set, XC_SR_VERIFY_MAX_PFNS));
    ck_assert_int_eq(xc_sr__vset_remove(&set, UINT64_MAX), 0);
    ck_assert_uint_eq(xc_sr__vset_first(&set), 5);
    xc_sr__vset_dispose(&set);
}
END_TEST

static Suite *verify_suite(void)
{
    Suite *s = suite_create("verify");
    TCase *tc = tcase_create("verifier");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, versions_that_do_not_exist);
    tcase_add_test(tc, contents_need_not_be_fed);
    tcase_add_test(tc, upper_layer_has_its_turn);
    tcase_add_test(tc, end_in_the_upper_layers_turn);
    tcase_add_test(tc, checkpoints_only_where_asked);
    tcase_add_test(tc, a_fault_is_final_and_counts_from_base);
    tcase_add_test(tc, runs_are_folded_into_a_line);
    tcase_add_test(tc, checkpointed_back_channel_has_no_last_record);
    tcase_add_test(tc, empty_back_channel);
    tcase_add_test(tc, a_guest_larger_than_the_book);
    tcase_add_test(tc, missing_pages_where_that_is_allowed);
    tcase_add_test(tc, endless_runs_cost_no_memory);
    suite_add_tcase(s, tc);

    tc = tcase_create("set");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, set_against_a_model);
    tcase_add_test(tc, set_beyond_its_end);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(verify_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv.c: the gate in front of the backends (xc_sr_hv.c): what is missing,
 * what is counted, what is made to fail, and that the rest gets through.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv.h"

struct seen
{
    unsigned int infos, maps, unmaps, probes, closes;
};

static int fake_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r)
{
    struct seen *seen = hv->priv;

    seen->infos++;
    *info_r = (struct xc_sr_hv_info){ .nr_pfns = 7 };
    return 0;
}

static int fake_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    const void **pages_r, int *errs_r)
{
    struct seen *seen = hv->priv;

    seen->maps++;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        pages_r[i] = pfns;
        errs_r[i] = 0;
    }
    return 0;
}

static void fake_unmap(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void **pages)
{
    struct seen *seen = hv->priv;

    (void)pfns;
    (void)nr;
    (void)pages;
    seen->unmaps++;
}

static int fake_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                      size_t why_len)
{
    struct seen *seen = hv->priv;

    (void)reason_r;
    (void)why;
    (void)why_len;
    seen->probes++;
    return 0;
}

static int fake_gone_fd(struct xc_sr_hv *hv)
{
    (void)hv;
    return 42;
}

static void fake_close(struct xc_sr_hv *hv)
{
    struct seen *seen = hv->priv;

    seen->closes++;
}

static const struct xc_sr_hv_ops some_ops = {
    .name = "some",
    .info = fake_info,
    .map = fake_map,
    .unmap = fake_unmap,
    .paging_probe = fake_probe,
    .gone_fd = fake_gone_fd,
    .close = fake_close,
};

static const struct xc_sr_hv_ops no_ops = { .name = "none" };

START_TEST(calls_get_through_and_are_counted)
{
    struct seen seen = { 0 };
    struct xc_sr_hv hv = { .ops = &some_ops, .priv = &seen };
    struct xc_sr_hv_info info;
    uint64_t pfns[2] = { 1, 2 };
    const void *pages[2];
    int errs[2];

    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), 0);
    ck_assert_uint_eq(info.nr_pfns, 7);
    ck_assert_int_eq(xc_sr__hv_map(&hv, pfns, 2, pages, errs), 0);
    xc_sr__hv_unmap(&hv, pfns, 2, pages);
    ck_assert_int_eq(xc_sr__hv_gone_fd(&hv), 42);
    ck_assert_uint_eq(seen.infos, 1);
    ck_assert_uint_eq(seen.maps, 1);
    ck_assert_uint_eq(seen.unmaps, 1);
    ck_assert_uint_eq(hv.calls, 2);
}
END_TEST

START_TEST(the_nth_call_fails_once)
{
    struct seen seen = { 0 };
    struct xc_sr_hv hv = { .ops = &some_ops, .priv = &seen, .fail_at = 2 };
    struct xc_sr_hv_info info;

    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), 0);
    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), -EIO);
    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), 0);
    ck_assert_uint_eq(seen.infos, 2);
}
END_TEST

START_TEST(from_the_nth_call_on_all_fail)
{
    struct seen seen = { 0 };
    struct xc_sr_hv hv = {
        .ops = &some_ops, .priv = &seen, .fail_at = 2, .fail_from_then_on = true
    };
    struct xc_sr_hv_info info;

    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), 0);
    for ( int i = 0; i < 3; i++ )
        ck_assert_int_eq(xc_sr__hv_info(&hv, &info), -EIO);
    ck_assert_uint_eq(seen.infos, 1);
}
END_TEST

START_TEST(a_missing_member_is_not_supported)
{
    struct xc_sr_hv hv = { .ops = &no_ops,
                           .info.caps =
                               XC_SR_HV_CAP_DIRTY | XC_SR_HV_CAP_PAGING };
    struct xc_sr_hv_fault fault = { 0 };
    struct xc_sr_hv_info info;
    struct xc_sr_hv_blob blob;
    enum xc_sr_hv_suspend state;
    struct xc_sr_pageset set = { 0 };
    uint64_t pfn = 0, count;
    const void *page = NULL;
    uint32_t type;
    unsigned int nr;
    bool flag;
    int err;

    ck_assert_int_eq(xc_sr__hv_info(&hv, &info), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_suspend_start(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_suspend_poll(&hv, 0, &state), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_resume(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_retain(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_unpause(&hv, false), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_pause(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_is_gone(&hv, &flag), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_page_types(&hv, &pfn, 1, &type), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_map(&hv, &pfn, 1, &page, &err), -EOPNOTSUPP);
    xc_sr__hv_unmap(&hv, &pfn, 1, &page);
    ck_assert_int_eq(xc_sr__hv_populate(&hv, &pfn, 1, &err), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_write_pages(&hv, &pfn, 1, NULL, &err),
                     -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_dirty_on(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(&hv, XC_SR_HV_FETCH_PEEK, &set, &count),
        -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_dirty_off(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_state_get(&hv, XC_SR_HV_STATE_TSC, &blob),
                     -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_state_put(&hv, XC_SR_HV_STATE_TSC, "", 0),
                     -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_paging_reserve(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_paging_on(&hv), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_page_out(&hv, &pfn, 1, &err), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_is_missing(&hv, &pfn, 1, &flag), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_next_faults(&hv, &fault, 1, &nr), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_page_in(&hv, &pfn, 1, NULL, &err), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_fault_done(&hv, &fault, 1), -EOPNOTSUPP);
    ck_assert_int_eq(xc_sr__hv_paging_off(&hv), -EOPNOTSUPP);
    ck_assert_int_lt(xc_sr__hv_gone_fd(&hv), 0);
    ck_assert_int_lt(xc_sr__hv_event_fd(&hv), 0);
}
END_TEST

START_TEST(a_probe_without_the_capability_gives_a_reason)
{
    struct seen seen = { 0 };
    struct xc_sr_hv hv = { .ops = &some_ops, .priv = &seen };
    uint32_t reason = XC_SR_REASON_NONE;
    char why[64] = "";

    ck_assert_int_eq(xc_sr__hv_paging_probe(&hv, &reason, why, sizeof(why)),
                     -EOPNOTSUPP);
    ck_assert_uint_eq(reason, XC_SR_REASON_NO_PAGING);
    ck_assert_str_ne(why, "");
    ck_assert_uint_eq(seen.probes, 0);

    hv.info.caps = XC_SR_HV_CAP_PAGING;
    ck_assert_int_eq(xc_sr__hv_paging_probe(&hv, &reason, why, sizeof(why)), 0);
    ck_assert_uint_eq(seen.probes, 1);
}
END_TEST

START_TEST(a_batch_is_bounded)
{
    static uint64_t pfns[XC_SR_HV_BATCH + 1];
    static const void *pages[XC_SR_HV_BATCH + 1];
    static int errs[XC_SR_HV_BATCH + 1];
    struct seen seen = { 0 };
    struct xc_sr_hv hv = { .ops = &some_ops, .priv = &seen };

    ck_assert_int_eq(xc_sr__hv_map(&hv, pfns, XC_SR_HV_BATCH + 1, pages, errs),
                     -EINVAL);
    ck_assert_uint_eq(seen.maps, 0);
    ck_assert_int_eq(xc_sr__hv_map(&hv, pfns, XC_SR_HV_BATCH, pages, errs), 0);
    ck_assert_uint_eq(seen.maps, 1);
}
END_TEST

START_TEST(closing_asks_the_backend_and_takes_null)
{
    struct seen seen = { 0 };
    struct xc_sr_hv *hv = calloc(1, sizeof(*hv));

    ck_assert_ptr_nonnull(hv);
    hv->ops = &some_ops;
    hv->priv = &seen;
    xc_sr_hv_close(hv);
    ck_assert_uint_eq(seen.closes, 1);
    xc_sr_hv_close(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hv");
    TCase *tc = tcase_create("gate");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, calls_get_through_and_are_counted);
    tcase_add_test(tc, the_nth_call_fails_once);
    tcase_add_test(tc, from_the_nth_call_on_all_fail);
    tcase_add_test(tc, a_missing_member_is_not_supported);
    tcase_add_test(tc, a_probe_without_the_capability_gives_a_reason);
    tcase_add_test(tc, a_batch_is_bounded);
    tcase_add_test(tc, closing_asks_the_backend_and_takes_null);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

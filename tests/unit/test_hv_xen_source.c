/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_xen_source.c: the Xen backend at the source, on a Xen in memory
 * (fake_xen.h): what is asked of Xen, what the engine is told, and that
 * nothing is left open.
 */
#include "fake_xen_more.inc.c"

#define NR 700u /* not a multiple of 64 */

static struct fake_host *host;
static struct xc_sr_hv *hv;

/* ---- The toolstack's part -------------------------------------------------------- */

static struct
{
    unsigned int starts, resumes, logdirty_on, logdirty_off;
    bool suspends;
    int logdirty_rc;
} asked;

static int suspend_start(void *ctx)
{
    (void)ctx;
    asked.starts++;
    return 0;
}

static int suspend_poll(void *ctx, uint64_t timeout_us, bool *suspended_r)
{
    (void)ctx;
    (void)timeout_us;
    *suspended_r = host->suspended = asked.suspends;
    return 0;
}

static int resume(void *ctx)
{
    (void)ctx;
    asked.resumes++;
    host->suspended = false;
    return 0;
}

static int logdirty(void *ctx, bool on)
{
    (void)ctx;
    *(on ? &asked.logdirty_on : &asked.logdirty_off) += 1;
    return asked.logdirty_rc;
}

static const struct xc_sr_xen_source_hooks hooks = {
    .suspend_start = suspend_start,
    .suspend_poll = suspend_poll,
    .resume = resume,
    .logdirty = logdirty,
};

static char last_error[256];

static void keep_error(void *ctx, enum xc_sr_log_level level, const char *text)
{
    (void)ctx;
    if ( level == XC_SR_LOG_ERROR )
        snprintf(last_error, sizeof(last_error), "%s", text);
}

static const struct xc_sr_log log_to = { .write = keep_error };

static void set_up(void)
{
    memset(&asked, 0, sizeof(asked));
    fake_here = host = fake_host_new();
    fake_guest_full(host, NR);
    ck_assert_int_eq(xc_sr_hv_open_xen_source(FAKE_DOMID, &hooks, &log_to, &hv),
                     0);
}

static void assert_all_closed(void)
{
    ck_assert_uint_eq(host->handles, 0);
    ck_assert_uint_eq(host->buffers, 0);
    ck_assert_uint_eq(host->resources, 0);
    ck_assert_uint_eq(host->events, 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
}

static void tear_down(void)
{
    xc_sr_hv_close(hv);
    assert_all_closed();
    ck_assert(!host->dirty_log);
    fake_host_free(host);
}

static void suspend(void)
{
    enum xc_sr_hv_suspend state;

    asked.suspends = true;
    ck_assert_int_eq(xc_sr__hv_suspend_start(hv), 0);
    ck_assert_int_eq(xc_sr__hv_suspend_poll(hv, 0, &state), 0);
    ck_assert_int_eq(state, XC_SR_HV_SUSPENDED);
}

/* ---- Opening ----------------------------------------------------------------------- */

START_TEST(it_says_what_guest_it_is)
{
    struct xc_sr_hv_info info;

    host->pauses = 1;
    ck_assert_int_eq(xc_sr__hv_info(hv, &info), 0);
    ck_assert_uint_eq(info.nr_pfns, NR);
    ck_assert_uint_eq(info.nr_pages, NR);
    ck_assert_uint_eq(info.nr_vcpus, FAKE_VCPUS);
    ck_assert_uint_eq(info.guest_type, 2);
    ck_assert_uint_eq(info.domid, FAKE_DOMID);
    ck_assert_uint_eq(info.xen_major, 4);
    ck_assert_uint_eq(info.xen_minor, 17);
    ck_assert_uint_eq(info.caps, XC_SR_HV_CAP_DIRTY);
    ck_assert(info.paused);
}
END_TEST

/* Somebody goes by the record of a guest that was left suspended; what runs
 * under its number is another. */
START_TEST(only_a_suspended_guest_is_taken_up_again)
{
    const struct xc_sr_xen_source_hooks later = { .resume = resume };
    struct xc_sr_hv *again = NULL;
    unsigned int open = host->handles;

    ck_assert_int_eq(
        xc_sr_hv_open_xen_source(FAKE_DOMID, &later, &log_to, &again), -EBUSY);
    ck_assert_ptr_null(again);
    ck_assert_ptr_nonnull(strstr(last_error, "not suspended"));
    ck_assert_uint_eq(host->handles, open);
    host->suspended = true;
    ck_assert_int_eq(
        xc_sr_hv_open_xen_source(FAKE_DOMID, &later, &log_to, &again), 0);
    xc_sr_hv_close(again);
}
END_TEST

static void assert_not_opened(uint32_t domid, int rc, const char *why)
{
    struct xc_sr_hv *no = NULL;

    ck_assert_int_eq(xc_sr_hv_open_xen_source(domid, &hooks, &log_to, &no), rc);
    ck_assert_ptr_null(no);
    ck_assert_msg(strstr(last_error, why) != NULL, "%s", last_error);
}

START_TEST(what_cannot_be_opened_says_why)
{
    unsigned int open = host->handles;

    assert_not_opened(3, -ESRCH, "there is no such domain");
    host->pv = true;
    assert_not_opened(FAKE_DOMID, -EOPNOTSUPP, "PV guests");
    host->pv = false;
    host->fail_errno = EACCES;
    for ( int i = 1; i <= 3; i++ )
    {
        host->fail_at = host->calls + (uint64_t)i;
        assert_not_opened(FAKE_DOMID, -EACCES, "are you root?");
    }
    ck_assert_uint_eq(host->handles, open);
}
END_TEST

/* ---- Pages ----------------------------------------------------------------------------- */

/* Maps a page and compares it with the guest's. */
static void assert_readable(uint64_t pfn)
{
    const void *page = NULL;
    int err = -1;

    ck_assert_int_eq(xc_sr__hv_map(hv, &pfn, 1, &page, &err), 0);
    ck_assert_int_eq(err, 0);
    ck_assert_mem_eq(page, fake_contents(host, pfn), XC_SR_PAGE_SIZE);
    xc_sr__hv_unmap(hv, &pfn, 1, &page);
}

static void look_at(struct xc_sr_pageset *set, uint64_t first, uint64_t nr)
{
    for ( uint64_t i = 0; i < nr; i++ )
        xc_sr__pageset_add(set, first + i);
    xc_sr__hv_look_ahead(hv, set, first);
}

START_TEST(holes_and_pages_have_their_types)
{
    const uint64_t pfns[] = { 5, 6, 1000, 7 };
    uint32_t types[4];

    host->p2m[6].state = FAKE_HOLE;
    ck_assert_int_eq(xc_sr__hv_page_types(hv, pfns, 4, types), 0);
    ck_assert_uint_eq(types[0], 0);
    ck_assert_uint_eq(types[1], 0xf);
    ck_assert_uint_eq(types[2], 0xf);
    ck_assert_uint_eq(types[3], 0);
}
END_TEST

START_TEST(a_page_by_itself)
{
    uint64_t hole = 9;
    const void *page = NULL;
    int err = 0;

    assert_readable(8);
    ck_assert_uint_eq(fake_mapped(host), 0);
    host->p2m[9].state = FAKE_HOLE;
    ck_assert_int_eq(xc_sr__hv_map(hv, &hole, 1, &page, &err), 0);
    ck_assert_int_eq(err, -EINVAL);
    ck_assert_ptr_null(page);
    ck_assert_uint_eq(fake_mapped(host), 0);
}
END_TEST

/* What is looked at ahead costs one mapping and one question. */
START_TEST(looking_ahead_costs_two_calls)
{
    struct xc_sr_pageset set;
    uint64_t calls;

    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    look_at(&set, 100, 300);
    calls = host->calls;
    for ( uint64_t pfn = 100; pfn < 400; pfn++ )
    {
        uint32_t type = 99;

        ck_assert_int_eq(xc_sr__hv_page_types(hv, &pfn, 1, &type), 0);
        ck_assert_uint_eq(type, 0);
        assert_readable(pfn);
    }
    ck_assert_uint_eq(host->calls, calls);
    ck_assert_uint_eq(fake_mapped(host), 1);
    assert_readable(50);
    ck_assert_uint_eq(host->calls, calls + 1);
    xc_sr__pageset_dispose(&set);
}
END_TEST

/* A running guest may give a page up between the two questions. */
START_TEST(a_page_given_up_meanwhile_is_a_hole)
{
    struct xc_sr_pageset set;
    uint64_t pfn = 101;
    const void *page = NULL;
    uint32_t type = 0;
    int err = 0;

    host->p2m[101].type = 0;   /* Xen still says that it is RAM */
    host->p2m[103].type = 0xd; /* broken: has a type, and no contents */
    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    host->vanishes = 101;
    look_at(&set, 100, 8);
    ck_assert_int_eq(xc_sr__hv_page_types(hv, &pfn, 1, &type), 0);
    ck_assert_uint_eq(type, 0xf);
    ck_assert_int_eq(xc_sr__hv_map(hv, &pfn, 1, &page, &err), 0);
    ck_assert_int_eq(err, -EINVAL);
    pfn = 103;
    ck_assert_int_eq(xc_sr__hv_page_types(hv, &pfn, 1, &type), 0);
    ck_assert_uint_eq(type, 0xd);
    ck_assert_int_eq(xc_sr__hv_map(hv, &pfn, 1, &page, &err), 0);
    ck_assert_int_eq(err, -EINVAL);
    assert_readable(102);
    xc_sr__pageset_dispose(&set);
}
END_TEST

/* A gfn may get another frame while the guest runs. */
START_TEST(what_was_mapped_is_forgotten_with_the_log)
{
    struct xc_sr_pageset set, dirty;
    uint64_t count;

    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    ck_assert_int_eq(xc_sr__pageset_init(&dirty, NR), 0);
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    look_at(&set, 0, 64);
    ck_assert_uint_eq(fake_mapped(host), 1);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &dirty, &count), 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
    frame_put(host, host->p2m[3].frame);
    ck_assert(frame_get(host, &host->p2m[3].frame));
    fake_write(host, 3, 2);
    look_at(&set, 0, 64);
    assert_readable(3);
    xc_sr__pageset_dispose(&set);
    xc_sr__pageset_dispose(&dirty);
}
END_TEST

/* Of a suspended guest the neighbours are kept, also those of a fault far
 * away; resuming it ends that. */
START_TEST(a_suspended_guests_windows_are_kept)
{
    struct xc_sr_pageset set;
    uint64_t calls;

    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    suspend();
    look_at(&set, 0, NR);
    xc_sr__hv_look_ahead(hv, &set, 600);
    calls = host->calls;
    for ( uint64_t pfn = 0; pfn < NR; pfn += 37 )
        assert_readable(pfn);
    ck_assert_uint_eq(host->calls, calls);
    ck_assert_uint_eq(fake_mapped(host), 2);
    xc_sr__hv_look_ahead(hv, &set, NR); /* begins again: it is there */
    ck_assert_uint_eq(fake_mapped(host), 2);
    ck_assert_int_eq(xc_sr__hv_resume(hv), 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
    ck_assert_uint_eq(asked.resumes, 1);
    xc_sr__pageset_dispose(&set);
}
END_TEST

/* ---- The dirty log ------------------------------------------------------------------ */

START_TEST(the_log_names_what_was_written)
{
    struct xc_sr_pageset set;
    uint64_t count = 0;

    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    ck_assert_uint_eq(asked.logdirty_on, 1);
    fake_write(host, 0, 2);
    fake_write(host, NR - 1, 2);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_PEEK, &set, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &set, &count), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(set.count, 2);
    ck_assert(xc_sr__pageset_has(&set, 0) && xc_sr__pageset_has(&set, NR - 1));
    ck_assert(!host->final_look);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_FINAL, &set, &count), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert(host->final_look);
    ck_assert_int_eq(xc_sr__hv_dirty_off(hv), 0);
    ck_assert_int_eq(xc_sr__hv_dirty_off(hv), 0);
    ck_assert_uint_eq(asked.logdirty_off, 1);
    ck_assert(!host->dirty_log);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_PEEK, &set, &count), -EINVAL);
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(a_log_that_somebody_left_on_is_ours_now)
{
    host->dirty_log = true;
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    ck_assert(host->dirty_log);
}
END_TEST

START_TEST(a_device_model_that_does_not_log_is_said)
{
    asked.logdirty_rc = -EIO;
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), -EIO);
    ck_assert_msg(strstr(last_error, "device model") != NULL, "%s", last_error);
}
END_TEST

/* ---- Suspending ---------------------------------------------------------------------- */

START_TEST(suspending_is_the_toolstacks)
{
    enum xc_sr_hv_suspend state;

    ck_assert_int_eq(xc_sr__hv_suspend_start(hv), 0);
    ck_assert_uint_eq(asked.starts, 1);
    ck_assert_int_eq(xc_sr__hv_suspend_poll(hv, 0, &state), 0);
    ck_assert_int_eq(state, XC_SR_HV_SUSPEND_ASKED);
    suspend();
    ck_assert_int_eq(xc_sr__hv_retain(hv), 0);
    ck_assert(host->suspended);
}
END_TEST

/* ---- State ------------------------------------------------------------------------------ */

static struct xc_sr_hv_blob get(enum xc_sr_hv_state what)
{
    struct xc_sr_hv_blob blob = { 0 };

    ck_assert_int_eq(xc_sr__hv_state_get(hv, what, &blob), 0);
    return blob;
}

START_TEST(state_is_as_it_travels)
{
    struct xc_sr_hv_blob blob;
    uint32_t count;

    host->tsc[0] = 2;
    host->tsc[1] = 2500000;
    host->tsc[2] = 4;
    host->tsc_ns = 77;
    blob = get(XC_SR_HV_STATE_TSC);
    ck_assert_uint_eq(blob.len, 24);
    ck_assert_uint_eq(xc_sr__le32(blob.data), 2);
    ck_assert_uint_eq(xc_sr__le32(blob.data + 4), 2500000);
    ck_assert_uint_eq(xc_sr__le64(blob.data + 8), 77);
    ck_assert_uint_eq(xc_sr__le32(blob.data + 16), 4);
    free(blob.data);
    blob = get(XC_SR_HV_STATE_HVM_CONTEXT);
    ck_assert_uint_eq(blob.len, host->context_len);
    ck_assert_mem_eq(blob.data, host->context, blob.len);
    free(blob.data);
    blob = get(XC_SR_HV_STATE_HVM_PARAMS);
    count = xc_sr__le32(blob.data);
    ck_assert_uint_eq(count, 4); /* those that are not 0 */
    ck_assert_uint_eq(blob.len, 8 + count * 16);
    ck_assert_uint_eq(xc_sr__le64(blob.data + 8), HVM_PARAM_STORE_PFN);
    ck_assert_uint_eq(xc_sr__le64(blob.data + 16), NR - 1);
    free(blob.data);
    blob = get(XC_SR_HV_STATE_CPUID_POLICY);
    ck_assert_uint_eq(blob.len, 2 * sizeof(xen_cpuid_leaf_t));
    free(blob.data);
    blob = get(XC_SR_HV_STATE_MSR_POLICY);
    ck_assert_uint_eq(blob.len, sizeof(xen_msr_entry_t));
    free(blob.data);
}
END_TEST

START_TEST(a_guest_without_policies_has_none)
{
    struct xc_sr_hv_blob blob = { 0 };

    host->nr_leaves = host->nr_msrs = 0;
    ck_assert_int_eq(
        xc_sr__hv_state_get(hv, XC_SR_HV_STATE_CPUID_POLICY, &blob), -ENODATA);
    ck_assert_int_eq(
        xc_sr__hv_state_get(hv, XC_SR_HV_STATE_EARLY_PARAMS, &blob), -ENODATA);
    ck_assert_ptr_null(blob.data);
}
END_TEST

/* Adds a section to what Xen says of the guest. */
static void add_section(uint16_t code, const void *body, uint32_t len)
{
    struct hvm_save_descriptor desc = { .typecode = code, .length = len };

    memcpy(host->context + host->context_len, &desc, sizeof(desc));
    host->context_len += (uint32_t)sizeof(desc);
    memcpy(host->context + host->context_len, body, len);
    host->context_len += len;
}

START_TEST(pages_that_state_names_are_pinned)
{
    const struct hvm_viridian_domain_context domain = {
        .hypercall_gpa = 20 << XC_SR_PAGE_SHIFT | 1,
        .reference_tsc = 21 << XC_SR_PAGE_SHIFT, /* switched off */
    };
    const struct hvm_viridian_vcpu_context vcpu = {
        .vp_assist_msr = 22 << XC_SR_PAGE_SHIFT | 1,
    };
    static const uint64_t wanted[] = { 7,  20,     22,     40,     41,    50,
                                       51, NR - 4, NR - 3, NR - 2, NR - 1 };
    struct xc_sr_pageset set;

    add_section(HVM_SAVE_CODE(VIRIDIAN_DOMAIN), &domain, sizeof(domain));
    add_section(HVM_SAVE_CODE(VIRIDIAN_VCPU), &vcpu, sizeof(vcpu));
    host->params[HVM_PARAM_NR_IOREQ_SERVER_PAGES] = 2;
    host->params[HVM_PARAM_IOREQ_SERVER_PFN] = 40;
    host->params[HVM_PARAM_VM_GENERATION_ID_ADDR] =
        (51 << XC_SR_PAGE_SHIFT) - 8;
    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    ck_assert_int_eq(xc_sr__hv_pinned(hv, &set), 0);
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(wanted); i++ )
        ck_assert_msg(xc_sr__pageset_has(&set, wanted[i]), "pfn %llu is not",
                      (unsigned long long)wanted[i]);
    ck_assert_uint_eq(set.count, XC_SR_ARRAY_SIZE(wanted));
    xc_sr__pageset_dispose(&set);
}
END_TEST

/* A section that says that it is longer than the rest. */
START_TEST(a_context_cut_short_pins_what_is_whole)
{
    struct xc_sr_pageset set;

    host->context_len -= 1;
    ck_assert_int_eq(xc_sr__pageset_init(&set, NR), 0);
    ck_assert_int_eq(xc_sr__hv_pinned(hv, &set), 0);
    ck_assert(!xc_sr__pageset_has(&set, 7));
    xc_sr__pageset_dispose(&set);
}
END_TEST

static Suite *hv_xen_source_suite(void)
{
    Suite *s = suite_create("hv_xen_source");
    TCase *tc = tcase_create("hv_xen_source");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, it_says_what_guest_it_is);
    tcase_add_test(tc, only_a_suspended_guest_is_taken_up_again);
    tcase_add_test(tc, what_cannot_be_opened_says_why);
    tcase_add_test(tc, holes_and_pages_have_their_types);
    tcase_add_test(tc, a_page_by_itself);
    tcase_add_test(tc, looking_ahead_costs_two_calls);
    tcase_add_test(tc, a_page_given_up_meanwhile_is_a_hole);
    tcase_add_test(tc, what_was_mapped_is_forgotten_with_the_log);
    tcase_add_test(tc, a_suspended_guests_windows_are_kept);
    tcase_add_test(tc, the_log_names_what_was_written);
    tcase_add_test(tc, a_log_that_somebody_left_on_is_ours_now);
    tcase_add_test(tc, a_device_model_that_does_not_log_is_said);
    tcase_add_test(tc, suspending_is_the_toolstacks);
    tcase_add_test(tc, state_is_as_it_travels);
    tcase_add_test(tc, a_guest_without_policies_has_none);
    tcase_add_test(tc, pages_that_state_names_are_pinned);
    tcase_add_test(tc, a_context_cut_short_pins_what_is_whole);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(hv_xen_source_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

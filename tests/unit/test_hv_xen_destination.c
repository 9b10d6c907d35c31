/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_xen_destination.c: the Xen backend at the destination, on a Xen in
 * memory (fake_xen.h): frames and contents, state, pages out and in.
 */
#include "hv_xen_destination.inc.c"

#include <xen/grant_table.h>

/* ---- Frames and contents ------------------------------------------------------------ */

/* The first page of a block brings all of it; what nobody asked for goes back
 * before the guest's state is put in. */
START_TEST(frames_come_in_blocks_where_they_can)
{
    populate(0, 1000);
    ck_assert_uint_eq(host->superpages, 2);
    ck_assert_int_eq(
        xc_sr__hv_state_put(hv, XC_SR_HV_STATE_HVM_CONTEXT, contents, 300), 0);
    ck_assert_int_eq(xc_sr__hv_state_done(hv), 0);
    ck_assert_uint_eq(fake_count(host, FAKE_RAM), 1000);
}
END_TEST

/* The end of the first 4 GiB, where devices are, and of a PVH guest memory. */
static const struct
{
    bool pvh;
    uint64_t first;
    unsigned int blocks;
} ends_of_4_gib[] = {
    { true, 0xf0000, 1 },  { true, 0xfec00, 1 },  { true, 0xfee00, 0 },
    { false, 0xefe00, 1 }, { false, 0xf0000, 0 }, { false, 0xfec00, 0 },
};

START_TEST(blocks_reach_up_to_the_devices)
{
    uint64_t first = ends_of_4_gib[_i].first;

    close_it();
    host->max_pages = 0x110000; /* more than 4 GiB */
    host->pvh = ends_of_4_gib[_i].pvh;
    open_it();
    populate(first, 256);
    populate(first + 256, 256);
    ck_assert_uint_eq(host->superpages, ends_of_4_gib[_i].blocks);
    ck_assert_uint_eq(fake_count(host, FAKE_RAM), 512);
}
END_TEST

START_TEST(frames_come_singly_where_blocks_do_not)
{
    host->no_superpages = true;
    populate(1, 590);
    ck_assert_uint_eq(fake_count(host, FAKE_RAM), 590);
}
END_TEST

/* The host's last frames are for pages that are wanted. */
START_TEST(what_a_block_took_too_much_is_given_back)
{
    host->free_frames = 600;
    populate(1, 100);
    ck_assert_uint_eq(host->superpages, 1);
    populate(600, 450);
    ck_assert_uint_eq(fake_count(host, FAKE_RAM), 550);
}
END_TEST

START_TEST(too_few_frames_are_said_one_by_one)
{
    host->free_frames = 10;
    ck_assert_int_eq(xc_sr__hv_populate(hv, run_of(5, 20), 20, errs), 0);
    assert_errs(10, 0);
    for ( unsigned int i = 10; i < 20; i++ )
        ck_assert_int_eq(errs[i], -ENOMEM);
}
END_TEST

START_TEST(contents_are_written_and_unmapped_again)
{
    host->no_superpages = true;
    populate(10, 3);
    ck_assert_int_eq(
        xc_sr__hv_write_pages(hv, run_of(10, 4), 4, contents, errs), 0);
    assert_errs(3, 0);
    ck_assert_int_eq(errs[3], -EINVAL);
    ck_assert_uint_eq(fake_contents(host, 12)[4095], 0x5a);
    ck_assert_int_eq(xc_sr__hv_write_pages(hv, run_of(12, 1), 1, NULL, errs),
                     0);
    ck_assert_uint_eq(fake_contents(host, 12)[4095], 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
}
END_TEST

/* Mapping it would wait for ever for the one who maps. */
START_TEST(a_missing_page_is_never_mapped)
{
    paging_on();
    page_out(10, 1);
    ck_assert_int_eq(xc_sr__hv_write_pages(hv, run_of(9, 2), 2, contents, errs),
                     -EINVAL);
}
END_TEST

/* ---- State ------------------------------------------------------------------------------ */

static int put_params(const uint64_t (*pairs)[2], uint32_t nr)
{
    uint8_t body[8 + 8 * 16] = { 0 };

    xc_sr__put_le32(body, nr);
    for ( uint32_t i = 0; i < nr; i++ )
    {
        xc_sr__put_le64(body + 8 + 16 * i, pairs[i][0]);
        xc_sr__put_le64(body + 16 + 16 * i, pairs[i][1]);
    }
    return xc_sr__hv_state_put(hv, XC_SR_HV_STATE_HVM_PARAMS, body,
                               8 + 16 * nr);
}

START_TEST(state_takes_effect_when_all_is_there)
{
    static const uint64_t pairs[][2] = { { HVM_PARAM_STORE_PFN, STORE },
                                         { HVM_PARAM_CONSOLE_PFN, CONSOLE },
                                         { HVM_PARAM_PAE_ENABLED, 1 } };
    const grant_entry_v1_t *grants = (const void *)host->grants;
    uint8_t tsc[24] = { 2 };
    uint64_t store = 0, console = 0;

    xc_sr__put_le64(tsc + 8, 99);
    populate(STORE, 2);
    memset(fake_contents(host, STORE), 1, XC_SR_PAGE_SIZE);
    ck_assert_int_eq(xc_sr__hv_state_put(hv, XC_SR_HV_STATE_TSC, tsc, 24), 0);
    ck_assert_int_eq(put_params(pairs, 3), 0);
    ck_assert_uint_eq(host->params[HVM_PARAM_PAE_ENABLED], 0);
    ck_assert_int_eq(xc_sr_hv_xen_results(hv, &store, &console), -ENODATA);
    ck_assert_int_eq(xc_sr__hv_state_done(hv), -ENODATA);
    ck_assert_int_eq(
        xc_sr__hv_state_put(hv, XC_SR_HV_STATE_HVM_CONTEXT, contents, 300), 0);
    ck_assert_int_eq(xc_sr__hv_state_done(hv), 0);
    ck_assert_int_eq(xc_sr__hv_state_done(hv), 0);
    ck_assert_int_eq(xc_sr_hv_xen_results(hv, &store, &console), 0);
    ck_assert(store == STORE && console == CONSOLE);
    ck_assert_uint_eq(host->params[HVM_PARAM_STORE_EVTCHN], 3);
    ck_assert_uint_eq(host->params[HVM_PARAM_CONSOLE_EVTCHN], 4);
    ck_assert_uint_eq(host->context_len, 300);
    ck_assert_uint_eq(host->tsc[0], 2);
    ck_assert_uint_eq(host->tsc_ns, 99);
    ck_assert_uint_eq(fake_contents(host, STORE)[0], 0); /* starts empty */
    ck_assert_uint_eq(grants[GNTTAB_RESERVED_XENSTORE].frame, STORE);
    ck_assert_uint_eq(grants[GNTTAB_RESERVED_CONSOLE].domid, 1);
    ck_assert_uint_eq(grants[GNTTAB_RESERVED_CONSOLE].flags, GTF_permit_access);
}
END_TEST

START_TEST(state_of_a_hostile_peer_is_refused)
{
    static const uint64_t unknown[][2] = { { HVM_NR_PARAMS, 1 } };
    static const uint64_t nowhere[][2] = { { HVM_PARAM_STORE_PFN, 77 } };
    uint8_t body[24] = { 2 }; /* says two, has one */

    ck_assert_int_eq(put_params(unknown, 1), -EINVAL);
    ck_assert_int_eq(put_params(nowhere, 1), -EINVAL);
    ck_assert_msg(strstr(last_error, "pfn 0x4d (xenstore)") != NULL, "%s",
                  last_error);
    ck_assert_int_eq(
        xc_sr__hv_state_put(hv, XC_SR_HV_STATE_HVM_PARAMS, body, sizeof(body)),
        -EINVAL);
    ck_assert_int_eq(
        xc_sr__hv_state_put(hv, XC_SR_HV_STATE_EARLY_PARAMS, body, 4), -EINVAL);
    ck_assert_int_eq(xc_sr__hv_state_put(hv, XC_SR_HV_STATE_TSC, body, 23),
                     -EINVAL);
    ck_assert_int_eq(
        xc_sr__hv_state_put(hv, XC_SR_HV_STATE_CPUID_POLICY, body, 23),
        -EINVAL);
    ck_assert_int_eq(put_ring_gfn(UINT64_C(1) << 40), -EINVAL);
}
END_TEST

static uint32_t told_missing;

static int static_data_done(void *ctx, uint32_t missing)
{
    (void)ctx;
    told_missing = missing;
    return 0;
}

START_TEST(policies_are_set_together)
{
    xen_cpuid_leaf_t leaves[2] = { { .leaf = 1, .a = 5 }, { .leaf = 2 } };

    close_it();
    params.static_data_done = static_data_done;
    open_it();
    ck_assert_int_eq(xc_sr__hv_static_data_done(hv), 0);
    ck_assert_uint_eq(told_missing,
                      XC_SR_XEN_MISSING_CPUID | XC_SR_XEN_MISSING_MSR);
    ck_assert_int_eq(xc_sr__hv_state_put(hv, XC_SR_HV_STATE_CPUID_POLICY,
                                         leaves, sizeof(leaves)),
                     0);
    ck_assert_int_eq(xc_sr__hv_static_data_done(hv), 0);
    ck_assert_uint_eq(told_missing, XC_SR_XEN_MISSING_MSR);
    ck_assert_uint_eq(host->nr_leaves, 2);
    ck_assert_mem_eq(host->policy, leaves, sizeof(leaves));
    host->bad_policy = true;
    ck_assert_int_eq(xc_sr__hv_static_data_done(hv), -EINVAL);
    ck_assert_msg(strstr(last_error, "CPUID leaf 0x7") != NULL, "%s",
                  last_error);
}
END_TEST

/* ---- Paging can, or cannot, be switched on --------------------------------------------- */

static const struct
{
    int error;
    uint32_t reason;
    const char *why;
} refusals[] = {
    { ENOSYS, XC_SR_REASON_NO_PAGING, "built without memory paging" },
    { EOPNOTSUPP, XC_SR_REASON_NO_PAGING, "PV dom0" },
    { ENODEV, XC_SR_REASON_HAP, "hardware assisted paging" },
    { EMLINK, XC_SR_REASON_IOMMU, "no device may be passed through" },
    { EXDEV, XC_SR_REASON_GUEST_TYPE, "populate-on-demand" },
    { EBUSY, XC_SR_REASON_BUSY, "somebody else" },
    { ENOMEM, XC_SR_REASON_NO_MEMORY, "memory" },
    { EPERM, XC_SR_REASON_FAILED, "cannot be switched on" },
};

START_TEST(a_refusal_says_the_reason)
{
    uint32_t reason = 0;
    char why[200] = "";

    host->enable_errno = refusals[_i].error;
    ck_assert_int_eq(put_ring_gfn(RING), 0);
    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)),
                     -refusals[_i].error);
    ck_assert_uint_eq(reason, refusals[_i].reason);
    ck_assert_msg(strstr(why, refusals[_i].why) != NULL, "%s", why);
    ck_assert_uint_eq(fake_mapped(host), 0);
}
END_TEST

START_TEST(without_a_ring_page_there_is_no_paging)
{
    uint32_t reason = 0;
    char why[200] = "";

    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)),
                     -ENXIO);
    ck_assert_uint_eq(reason, XC_SR_REASON_GUEST_TYPE);
}
END_TEST

/* The ring is out of the guest's reach, and alive. */
START_TEST(the_ring_is_taken_from_the_guest)
{
    uint32_t reason;
    char why[200];

    ck_assert_int_eq(put_ring_gfn(RING), 0);
    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)), 0);
    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)), 0);
    ck_assert_int_eq(xc_sr__hv_paging_on(hv), 0);
    ck_assert(host->paging);
    ck_assert_int_eq(host->p2m[RING].state, FAKE_HOLE);
    ck_assert_uint_eq(host->refs[host->ring_frame], 2); /* Xen's and ours */
    ck_assert_int_eq(xc_sr__hv_event_fd(hv), host->event_fd);
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_uint_eq(host->refs[host->ring_frame], 0);
    ck_assert_int_eq(xc_sr__hv_event_fd(hv), -1);
}
END_TEST

START_TEST(all_memory_is_claimed_or_it_is_said)
{
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), 0);
    ck_assert_uint_eq(host->claimed, NR + 8);
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_uint_eq(host->claimed, 0);
    host->free_frames = 100;
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), -ENOMEM);
    ck_assert_msg(strstr(last_error, "4832 KiB") != NULL, "%s", last_error);
}
END_TEST

/* ---- Out and in --------------------------------------------------------------------------- */

/* More than one multicall; what had no frame gets one first. */
START_TEST(pages_go_out_in_batches)
{
    uint64_t calls;

    paging_on();
    populate(0, 300);
    calls = host->calls;
    page_out(0, 400);
    ck_assert_uint_eq(fake_count(host, FAKE_OUT), 400);
    ck_assert_uint_le(host->calls - calls, 6);
    calls = host->calls;
    page_out(0, 400); /* they are out */
    ck_assert_uint_eq(host->calls, calls);
}
END_TEST

START_TEST(a_page_in_use_stays_and_can_be_written)
{
    paging_on();
    populate(0, 10);
    host->refs[host->p2m[4].frame]++; /* somebody has it mapped */
    ck_assert_int_eq(xc_sr__hv_page_out(hv, run_of(0, 10), 10, errs), 0);
    ck_assert_int_eq(errs[4], -EBUSY);
    errs[4] = 0;
    assert_errs(10, 0);
    ck_assert_int_eq(host->p2m[4].state, FAKE_RAM);
    ck_assert_int_eq(xc_sr__hv_write_pages(hv, run_of(4, 1), 1, contents, errs),
                     0);
    ck_assert_int_eq(errs[0], 0);
}
END_TEST

/* Between nominating and evicting: it is taken back, whatever came between. */
START_TEST(a_page_taken_hold_of_meanwhile_stays)
{
    paging_on();
    populate(0, 4);
    host->fail_sub = host->sub_calls + 4; /* the second page's evict */
    ck_assert_int_eq(xc_sr__hv_page_out(hv, run_of(0, 4), 4, errs), 0);
    ck_assert_int_eq(errs[1], -EBUSY);
    errs[1] = 0;
    assert_errs(4, 0);
    ck_assert_int_eq(host->p2m[1].state, FAKE_RAM);
    ck_assert_uint_eq(fake_count(host, FAKE_NOMINATED), 0);
    ck_assert_int_eq(load(1), -EEXIST);
}
END_TEST

START_TEST(pages_come_in_with_their_contents)
{
    bool missing[4];
    uint64_t beyond = 1900;

    paging_on();
    page_out(0, 100);
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(0, 64), 64, contents, errs),
                     0);
    assert_errs(64, 0);
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(64, 34), 34, NULL, errs), 0);
    assert_errs(34, 0);
    ck_assert_uint_eq(fake_contents(host, 63)[1], 0x5a);
    ck_assert_uint_eq(fake_contents(host, 64)[1], 0);
    ck_assert_uint_eq(fake_count(host, FAKE_OUT), 2);
    ck_assert_int_eq(xc_sr__hv_is_missing(hv, run_of(96, 4), 4, missing), 0);
    ck_assert(!missing[0] && !missing[1] && missing[2] && missing[3]);
    ck_assert_int_eq(load(64), -EEXIST);
    ck_assert_int_eq(load(beyond), -EEXIST);
    /* The guest gave it up while it was away. */
    host->p2m[99].state = FAKE_HOLE;
    ck_assert_int_eq(load(99), -ENOENT);
}
END_TEST

/* One of a batch: the others are in, and it is said which. */
START_TEST(part_of_a_batch_fails)
{
    paging_on();
    page_out(0, 20);
    host->fail_sub = host->sub_calls + 8;
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(0, 20), 20, contents, errs),
                     0);
    ck_assert_int_eq(errs[7], -EIO);
    errs[7] = 0;
    assert_errs(20, 0);
    ck_assert_uint_eq(fake_count(host, FAKE_OUT), 1);
    ck_assert_int_eq(load(7), 0);
}
END_TEST

/* Told to give memory back while pages of it are away: they come all the same,
 * and the limit is as it was when all are here. */
static uint64_t limit_said, lifted_said;

static void on_limit_lifted(void *ctx, uint64_t limit_pages,
                            uint64_t lifted_pages)
{
    ck_assert_ptr_eq(ctx, &limit_said);
    limit_said = limit_pages;
    lifted_said = lifted_pages;
}

static void open_and_lower_limit(void)
{
    close_it();
    limit_said = lifted_said = 0;
    params.limit_lifted = on_limit_lifted;
    params.ctx = &limit_said;
    open_it();
    paging_on();
    populate(0, 30);
    page_out(0, 20);
    host->max_pages = 12;
}

START_TEST(a_limit_lowered_meanwhile_waits)
{
    open_and_lower_limit();
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(0, 20), 20, contents, errs),
                     0);
    assert_errs(20, 0);
    ck_assert_uint_ge(host->max_pages, 30);
    ck_assert_uint_eq(limit_said, 12);
    ck_assert_uint_eq(lifted_said, host->max_pages);
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_uint_eq(host->max_pages, 12);
}
END_TEST

/* The guest has used what was meant for its pages, so it is lifted again. */
START_TEST(a_limit_lifted_twice_is_the_first)
{
    open_and_lower_limit();
    ck_assert_int_eq(load(0), 0);
    populate(40, 5);
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(1, 19), 19, contents, errs),
                     0);
    assert_errs(19, 0);
    ck_assert_uint_eq(limit_said, 12);
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_uint_eq(host->max_pages, 12);
}
END_TEST

START_TEST(a_guest_that_has_ended_is_said)
{
    bool gone = true;

    paging_on();
    page_out(0, 8);
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(!gone);
    host->watch_fired = true;
    host->dying = true;
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(0, 8), 8, contents, errs),
                     -ESRCH);
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(gone && !host->watch_fired);
    host->exists = false;
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(gone);
    host->dying = false;
    host->exists = host->suspended = true; /* that is no end */
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(!gone);
}
END_TEST

#define COUNT(a) ((int)XC_SR_ARRAY_SIZE(a))

static Suite *hv_xen_destination_suite(void)
{
    Suite *s = suite_create("hv_xen_destination");
    TCase *tc = tcase_create("hv_xen_destination");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, frames_come_in_blocks_where_they_can);
    tcase_add_loop_test(tc, blocks_reach_up_to_the_devices, 0,
                        XC_SR_ARRAY_SIZE(ends_of_4_gib));
    tcase_add_test(tc, frames_come_singly_where_blocks_do_not);
    tcase_add_test(tc, what_a_block_took_too_much_is_given_back);
    tcase_add_test(tc, too_few_frames_are_said_one_by_one);
    tcase_add_test(tc, contents_are_written_and_unmapped_again);
    tcase_add_test(tc, a_missing_page_is_never_mapped);
    tcase_add_test(tc, state_takes_effect_when_all_is_there);
    tcase_add_test(tc, state_of_a_hostile_peer_is_refused);
    tcase_add_test(tc, policies_are_set_together);
    tcase_add_loop_test(tc, a_refusal_says_the_reason, 0, COUNT(refusals));
    tcase_add_test(tc, without_a_ring_page_there_is_no_paging);
    tcase_add_test(tc, the_ring_is_taken_from_the_guest);
    tcase_add_test(tc, all_memory_is_claimed_or_it_is_said);
    tcase_add_test(tc, pages_go_out_in_batches);
    tcase_add_test(tc, a_page_in_use_stays_and_can_be_written);
    tcase_add_test(tc, a_page_taken_hold_of_meanwhile_stays);
    tcase_add_test(tc, pages_come_in_with_their_contents);
    tcase_add_test(tc, part_of_a_batch_fails);
    tcase_add_test(tc, a_limit_lowered_meanwhile_waits);
    tcase_add_test(tc, a_limit_lifted_twice_is_the_first);
    tcase_add_test(tc, a_guest_that_has_ended_is_said);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(hv_xen_destination_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

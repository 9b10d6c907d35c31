/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_xen_faults.c: the Xen backend at the destination while the guest
 * runs, on a Xen in memory (fake_xen.h): the ring of faults, who runs, in what
 * order it is all taken down, and who takes a dead process's place.
 */
#include "hv_xen_destination.inc.c"

/* ---- Faults --------------------------------------------------------------------------------- */

START_TEST(a_vcpu_waits_and_goes_on)
{
    struct xc_sr_hv_fault faults[4];

    paging_on();
    page_out(0, 12);
    unleash(0, 4, 3);
    ck_assert_uint_eq(take_faults(faults, 4), 4);
    for ( unsigned int i = 0; i < 4; i++ )
    {
        ck_assert_uint_eq(faults[i].pfn, 3 * i);
        ck_assert_uint_eq(faults[i].vcpu, i);
        ck_assert_uint_eq(faults[i].flags, 0);
        ck_assert_int_eq(load(faults[i].pfn), 0);
    }
    ck_assert_uint_eq(take_faults(faults, 4), 0);
    ck_assert_int_eq(xc_sr__hv_fault_done(hv, faults, 4), 0);
    ck_assert_uint_eq(host->responses, 4);
    for ( unsigned int n = 0; n < 4; n++ )
        ck_assert_uint_eq(host->vcpus[n].at, 3 * n + 1); /* the next one */
    ck_assert_uint_eq(take_faults(faults, 4), 4);
    ck_assert_uint_eq(host->outstanding, 4);
}
END_TEST

/* Also those that nobody waits behind: each has a slot. */
START_TEST(everybodys_slot_becomes_free)
{
    struct xc_sr_hv_fault faults[8];

    paging_on();
    page_out(0, 9);
    for ( uint64_t pfn = 0; pfn < FAKE_SLOTS; pfn++ )
        fake_touch_foreign(host, pfn, pfn % 2);
    ck_assert_uint_eq(take_faults(faults, 3), 3);
    ck_assert_uint_eq(take_faults(faults + 3, 5), 5);
    for ( unsigned int i = 0; i < 8; i++ )
        ck_assert_uint_eq(faults[i].flags,
                          i % 2 ? XC_SR_HV_FAULT_DROP : XC_SR_HV_FAULT_FOREIGN);
    ck_assert_int_eq(xc_sr__hv_fault_done(hv, faults, 8), 0);
    ck_assert_uint_eq(host->outstanding, 0);
    for ( uint64_t pfn = 0; pfn < 3 * FAKE_SLOTS; pfn++ )
    {
        fake_touch_foreign(host, pfn, false);
        ck_assert_uint_eq(take_faults(faults, 8), 1);
        ck_assert_int_eq(xc_sr__hv_fault_done(hv, faults, 1), 0);
    }
}
END_TEST

/* A request that comes while the last is looked at rings again. */
START_TEST(no_request_is_overslept)
{
    struct xc_sr_hv_fault faults[8];
    uint64_t count;

    paging_on();
    page_out(0, 9);
    ck_assert_uint_eq(take_faults(faults, 8), 0); /* binding rings once */
    fake_touch_foreign(host, 1, false);
    ck_assert_uint_eq(take_faults(faults, 8), 1);
    fake_touch_foreign(host, 2, false);
    ck_assert_int_eq(read(xc_sr__hv_event_fd(hv), &count, sizeof(count)), 8);
}
END_TEST

/* ---- Who runs --------------------------------------------------------------------------------- */

START_TEST(our_pause_is_no_administrators)
{
    ck_assert_int_eq(xc_sr__hv_unpause(hv, false), 0);
    ck_assert_uint_eq(host->pauses, 0);
    ck_assert_int_eq(xc_sr__hv_pause(hv), 0);
    ck_assert_int_eq(xc_sr__hv_pause(hv), 0);
    ck_assert_uint_eq(host->pauses, 1);
    host->pauses++; /* the administrator's */
    ck_assert_int_eq(xc_sr__hv_unpause(hv, false), 0);
    ck_assert_uint_eq(host->pauses, 1);
}
END_TEST

START_TEST(a_guest_that_is_to_stay_paused_does)
{
    ck_assert_int_eq(xc_sr__hv_unpause(hv, true), 0);
    ck_assert_uint_eq(host->pauses, 1);
}
END_TEST

/* ---- Taking down ------------------------------------------------------------------------------ */

/* Nobody is left waiting, and Xen is asked until it can. */
START_TEST(paging_ends_when_everything_is_in)
{
    struct xc_sr_hv_fault faults[8];

    paging_on();
    page_out(0, 4);
    unleash(0, 4, 1);
    ck_assert_uint_eq(take_faults(faults, 2), 2);
    ck_assert_int_eq(xc_sr__hv_page_in(hv, run_of(0, 4), 4, contents, errs), 0);
    ck_assert_int_eq(xc_sr__hv_fault_done(hv, faults, 2), 0);
    host->disable_busy = 3;
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert(!host->paging && !host->crashed);
    for ( unsigned int n = 0; n < 4; n++ )
        ck_assert(!host->vcpus[n].paused);
    ck_assert_uint_eq(fake_mapped(host), 0);
    ck_assert_uint_eq(host->events, 0);
}
END_TEST

/* The domain is paused meanwhile, and for no longer: a call that fails once is
 * not what keeps it so. */
START_TEST(a_guest_goes_on_when_paging_has_ended)
{
    paging_on();
    unleash(0, 0, 0);
    ck_assert_uint_eq(host->pauses, 0);
    /* Pause, disable, unpause. */
    host->fail_at = host->calls + 3;
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_str_eq(host->failed_name, "xc_domain_unpause");
    ck_assert_uint_eq(host->pauses, 0);
    ck_assert(!host->paging);
}
END_TEST

START_TEST(paging_that_cannot_end_is_said)
{
    paging_on();
    host->disable_busy = 1000;
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), -EBUSY);
    host->disable_busy = 0;
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
}
END_TEST

START_TEST(an_empty_guest_is_left_without_paging)
{
    paging_on();
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), 0);
    page_out(0, 4);
    close_it();
    ck_assert(!host->paging);
}
END_TEST

/* It runs here and wants pages: without a ring a touch would be its death. */
START_TEST(a_running_guest_keeps_its_ring)
{
    paging_on();
    page_out(0, 4);
    unleash(0, 1, 4);
    close_it();
    ck_assert(host->paging);
    ck_assert(host->vcpus[0].paused && !host->crashed);
}
END_TEST

static int is_being_unpaused(void *ctx, bool leave_paused)
{
    (void)ctx;
    (void)leave_paused;
    return -EALREADY;
}

/* Who was to let it run may have done so by now. */
START_TEST(a_guest_that_may_run_keeps_its_ring)
{
    close_it();
    params.unpause = is_being_unpaused;
    open_it();
    paging_on();
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), 0);
    page_out(0, 20);
    ck_assert_int_eq(xc_sr__hv_unpause(hv, false), -EALREADY);
    close_it();
    ck_assert(host->paging);
    ck_assert_uint_gt(host->claimed, 0);
    fake_touch_foreign(host, 8, false);
    ck_assert(!host->crashed);
}
END_TEST

/* ---- In a dead process's place ------------------------------------------------------------------ */

/* Whoever dumps it would wait for what is out, for ever. */
START_TEST(a_crashed_guest_can_be_dumped)
{
    bool gone = false;

    paging_on();
    page_out(0, 300);
    unleash(0, 1, 0);
    host->crashed = true;
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(gone);
    close_it();
    ck_assert_uint_eq(fake_count(host, FAKE_OUT), 0);
    ck_assert(!host->paging);
    for ( uint64_t pfn = 0; pfn < 300; pfn++ )
        ck_assert_int_eq(*fake_contents(host, pfn), 0);
}
END_TEST

/* Nobody wants its pages, and it may be large: it is left as it is. */
START_TEST(a_guest_that_has_shut_down_is_not_filled)
{
    paging_on();
    page_out(0, 300);
    unleash(0, 1, 0);
    host->shut_down = true;
    close_it();
    ck_assert_uint_eq(fake_count(host, FAKE_OUT), 300);
}
END_TEST

START_TEST(a_guest_that_resets_itself_wants_its_pages)
{
    bool gone = true;

    paging_on();
    page_out(0, 8);
    unleash(0, 1, 0);
    host->shut_down = host->resets = true;
    ck_assert_int_eq(xc_sr__hv_is_gone(hv, &gone), 0);
    ck_assert(!gone);
    ck_assert_int_eq(load(3), 0);
}
END_TEST

/* Eight pages that its vCPUs want and a ninth are out, and nobody is there. */
static void die(void)
{
    struct xc_sr_hv_fault faults[8];

    paging_on();
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), 0);
    page_out(0, 9);
    unleash(0, 4, 2);
    ck_assert_uint_eq(take_faults(faults, 1), 1); /* read, and never answered */
    close_it();
    params.take_over = true;
    host->params[HVM_PARAM_PAGING_RING_PFN] = RING;
}

static void serve_to_the_end(void)
{
    struct xc_sr_hv_fault faults[8];
    unsigned int nr;

    ck_assert_uint_eq(host->pauses, 1);
    ck_assert(host->paging);
    ck_assert_int_eq(xc_sr__hv_unpause(hv, false), 0);
    for ( unsigned int rounds = 0; rounds < 20; rounds++ )
    {
        nr = take_faults(faults, 8);
        for ( unsigned int i = 0; i < nr; i++ )
            (void)load(faults[i].pfn);
        ck_assert_int_eq(xc_sr__hv_fault_done(hv, faults, nr), 0);
    }
    for ( unsigned int n = 0; n < 4; n++ )
        ck_assert_uint_eq(host->vcpus[n].at, host->vcpus[n].end);
    (void)load(8); /* it knows of the ninth too */
    ck_assert_int_eq(load(8), -EEXIST);
    ck_assert(!host->crashed);
    ck_assert_int_eq(xc_sr__hv_paging_off(hv), 0);
    ck_assert_uint_eq(host->pauses, 0);
}

START_TEST(another_process_takes_over)
{
    die();
    open_it();
    ck_assert_int_eq(xc_sr__hv_paging_on(hv), 0);
    serve_to_the_end();
}
END_TEST

/* Whatever fails: who tries again finds a guest that only waits, with frames
 * for its pages; and nobody is killed for touching one meanwhile. */
START_TEST(a_take_over_that_fails_is_tried_again)
{
    bool met = true;

    /* First the ring, then all pfns are asked after, 256 in a call. */
    for ( unsigned int nth = 1; met; nth += nth < 40 ? 1 : 2000 )
    {
        int rc;

        ck_assert_uint_lt(nth, 20000);
        die();
        open_it();
        host->fail_at = host->calls + nth;
        rc = xc_sr__hv_paging_on(hv);
        met = host->calls >= host->fail_at;
        host->fail_at = 0;
        ck_assert(met || !rc);
        close_it();
        fake_touch_foreign(host, 8, false);
        ck_assert_msg(!host->crashed, "killed after %s", host->failed_name);
        ck_assert_uint_gt(host->claimed, 0);
        params.is_paused = true;
        open_it();
        ck_assert_msg(!xc_sr__hv_paging_on(hv), "%s", last_error);
        serve_to_the_end();
        tear_down();
        set_up();
    }
}
END_TEST

/* It ends what the dead one has begun; unless somebody has set another. */
START_TEST(a_limit_that_was_lifted_is_put_back)
{
    die();
    params.limit_pages = 20;
    params.lifted_pages = host->max_pages - _i;
    open_it();
    ck_assert_int_eq(xc_sr__hv_paging_on(hv), 0);
    serve_to_the_end();
    ck_assert_uint_eq(host->max_pages, _i ? NR + 8 : 20);
}
END_TEST

/* What it had when it came it may have given back since, and its limit says no
 * more how far its pages reach. */
START_TEST(a_take_over_reaches_as_far_as_the_guest)
{
    close_it();
    params.take_over = true;
    host->nr_gpfns = 3 << 20;
    open_it();
    ck_assert_uint_eq(hv->info.nr_pfns, 3 << 20);
    close_it();
    host->nr_gpfns = 1000;
    open_it();
    ck_assert_uint_ge(hv->info.nr_pfns, host->max_pages);
}
END_TEST

START_TEST(a_take_over_that_fails_says_so)
{
    close_it();
    params.take_over = true;
    open_it();
    ck_assert_int_eq(xc_sr__hv_paging_on(hv), -ENODEV);
    ck_assert_msg(strstr(last_error, "cannot be taken over") != NULL, "%s",
                  last_error);
}
END_TEST

START_TEST(without_xenstore_it_works)
{
    close_it();
    host->no_xenstore = true;
    open_it();
    ck_assert_int_eq(xc_sr__hv_gone_fd(hv), -1);
    populate(0, 1);
}
END_TEST

static Suite *hv_xen_faults_suite(void)
{
    Suite *s = suite_create("hv_xen_faults");
    TCase *tc = tcase_create("hv_xen_faults");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_vcpu_waits_and_goes_on);
    tcase_add_test(tc, everybodys_slot_becomes_free);
    tcase_add_test(tc, no_request_is_overslept);
    tcase_add_test(tc, our_pause_is_no_administrators);
    tcase_add_test(tc, a_guest_that_is_to_stay_paused_does);
    tcase_add_test(tc, paging_ends_when_everything_is_in);
    tcase_add_test(tc, a_guest_goes_on_when_paging_has_ended);
    tcase_add_test(tc, paging_that_cannot_end_is_said);
    tcase_add_test(tc, an_empty_guest_is_left_without_paging);
    tcase_add_test(tc, a_running_guest_keeps_its_ring);
    tcase_add_test(tc, a_guest_that_may_run_keeps_its_ring);
    tcase_add_test(tc, a_crashed_guest_can_be_dumped);
    tcase_add_test(tc, a_guest_that_has_shut_down_is_not_filled);
    tcase_add_test(tc, a_guest_that_resets_itself_wants_its_pages);
    tcase_add_test(tc, another_process_takes_over);
    tcase_add_test(tc, a_take_over_that_fails_is_tried_again);
    tcase_add_loop_test(tc, a_limit_that_was_lifted_is_put_back, 0, 2);
    tcase_add_test(tc, a_take_over_reaches_as_far_as_the_guest);
    tcase_add_test(tc, a_take_over_that_fails_says_so);
    tcase_add_test(tc, without_xenstore_it_works);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(hv_xen_faults_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

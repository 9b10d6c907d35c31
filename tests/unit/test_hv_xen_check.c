/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_xen_check.c: what stands in the way of post-copy on a host or with
 * a guest, looked for on a Xen in memory (fake_xen.h): each obstacle is named
 * with what to do about it, nothing is named that is not there, and a look
 * that cannot be had says so.
 */
#include "fake_xen_more.inc.c"

#define NR 64u

static struct fake_host *host;
static struct xc_sr_xen_report report;

static void set_up(void)
{
    fake_here = host = fake_host_new();
    fake_guest_full(host, NR);
    memset(&report, 0, sizeof(report));
}

static void assert_all_closed(void)
{
    ck_assert_uint_eq(host->handles, 0);
    ck_assert_uint_eq(host->buffers, 0);
    ck_assert_uint_eq(host->resources, 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
}

static void tear_down(void)
{
    assert_all_closed();
    fake_host_free(host);
}

static int look_at(uint32_t domid)
{
    return xc_sr_xen_check(domid, NULL, &report);
}

static const struct xc_sr_xen_obstacle *obstacle(const char *part)
{
    for ( unsigned int i = 0; i < report.nr_obstacles; i++ )
        if ( strstr(report.obstacles[i].text, part) )
            return &report.obstacles[i];
    return NULL;
}

/* ---- Nothing in the way ------------------------------------------------------------ */

START_TEST(a_good_host_has_no_obstacles)
{
    ck_assert_int_eq(look_at(XC_SR_XEN_NO_DOMAIN), 0);
    ck_assert_uint_eq(report.nr_obstacles, 0);
    ck_assert(report.paging_built);
    ck_assert_uint_eq(report.xen_major, 4);
    ck_assert_uint_eq(report.xen_minor, 17);
    ck_assert_str_eq(report.xen_extra, ".7");
    ck_assert_uint_eq(report.free_kib, 4 * host->free_frames);
}
END_TEST

START_TEST(a_good_guest_has_no_obstacles)
{
    host->model_domid = _i ? "0" : NULL; /* in dom0, or it has none */
    ck_assert_int_eq(look_at(FAKE_DOMID), 0);
    ck_assert_uint_eq(report.nr_obstacles, 0);
    ck_assert_uint_eq(report.xen_major, 4);
}
END_TEST

/* ---- One thing in the way ------------------------------------------------------------ */

static const struct row
{
    const char *name;
    bool host; /* else the guest */
    uint32_t reason;
    const char *words; /* what to change, or why it cannot be */
} rows[] = {
    { "no paging", true, XC_SR_REASON_NO_PAGING, "CONFIG_MEM_PAGING=y" },
    { "PVH dom0", true, XC_SR_REASON_NO_PAGING, "boot without dom0=pvh" },
    { "host without HAP", true, XC_SR_REASON_HAP, "booted with hap=0" },
    { "PV guest", false, XC_SR_REASON_GUEST_TYPE, "it is a PV guest" },
    { "guest without HAP", false, XC_SR_REASON_HAP, "remove hap=0" },
    { "altp2m", false, XC_SR_REASON_GUEST_TYPE, "uses altp2m" },
    { "populate on demand", false, XC_SR_REASON_GUEST_TYPE,
      "17 pages of the guest are populate-on-demand" },
    { "PCI device", false, XC_SR_REASON_IOMMU, "detach it first" },
    { "stub domain", false, XC_SR_REASON_GUEST_TYPE, "domain 23" },
    { "nested VMX", false, XC_SR_REASON_GUEST_TYPE, "nestedhvm=1" },
};

static void make_obstacle(const char *name)
{
    host->no_paging = !strcmp(name, "no paging");
    host->pvh_dom0 = !strcmp(name, "PVH dom0");
    host->no_hap =
        !strcmp(name, "host without HAP") || !strcmp(name, "guest without HAP");
    host->pv = !strcmp(name, "PV guest");
    host->params[HVM_PARAM_ALTP2M] = !strcmp(name, "altp2m");
    host->pod_entries = strcmp(name, "populate on demand") ? 0 : 17;
    host->pci_device = !strcmp(name, "PCI device");
    host->model_domid = strcmp(name, "stub domain") ? NULL : "23";
    host->nested = !strcmp(name, "nested VMX");
}

START_TEST(an_obstacle_is_named_with_its_remedy)
{
    const struct row *r = &rows[_i];
    const struct xc_sr_xen_obstacle *found;

    make_obstacle(r->name);
    ck_assert_int_eq(look_at(r->host ? XC_SR_XEN_NO_DOMAIN : FAKE_DOMID), 0);
    found = obstacle(r->words);
    ck_assert_msg(found && report.nr_obstacles == 1,
                  "%s: %u obstacles, the first: %s", r->name,
                  report.nr_obstacles, report.obstacles[0].text);
    ck_assert_uint_eq(found->reason, r->reason);
    ck_assert(report.paging_built == (r->host && strcmp(r->name, "no paging")));
}
END_TEST

/* ---- More than one, or none to be had -------------------------------------------------- */

START_TEST(all_obstacles_are_named_at_once)
{
    host->no_hap = host->pci_device = host->nested = true;
    host->pod_entries = 1;
    host->params[HVM_PARAM_ALTP2M] = 1;
    host->model_domid = "23";
    ck_assert_int_eq(look_at(FAKE_DOMID), 0);
    ck_assert_uint_eq(report.nr_obstacles, 6);
}
END_TEST

/* What libxl has noted cannot be read: the rest is found all the same. */
START_TEST(without_xenstore_the_rest_is_found)
{
    host->no_xenstore = host->pci_device = host->nested = true;
    ck_assert_int_eq(look_at(FAKE_DOMID), 0);
    ck_assert_uint_eq(report.nr_obstacles, 1);
    ck_assert_ptr_nonnull(obstacle("nestedhvm=1"));
}
END_TEST

START_TEST(a_guest_that_is_not_there_is_no_guest_without_obstacles)
{
    ck_assert_int_eq(look_at(FAKE_DOMID + 1), -ESRCH);
    host->exists = false;
    ck_assert_int_eq(look_at(FAKE_DOMID), -ESRCH);
}
END_TEST

/* Each call of Xen's libraries fails: either the look is refused and *report_r
 * as it was, or all that was found is true. */
START_TEST(every_call_fails)
{
    uint32_t domid = _i ? FAKE_DOMID : XC_SR_XEN_NO_DOMAIN;
    unsigned int refused = 0;

    host->no_hap = true; /* one obstacle, of either */
    host->fail_errno = EACCES;
    for ( host->fail_at = 1;; host->fail_at++ )
    {
        int rc;

        ck_assert_uint_lt(host->fail_at, 100);
        memset(&report, 0x5a, sizeof(report));
        host->calls = 0;
        host->failed_name = NULL;
        rc = look_at(domid);
        assert_all_closed();
        if ( !rc )
            ck_assert_msg(report.nr_obstacles == 1, "%s: %u obstacles",
                          host->failed_name, report.nr_obstacles);
        else
        {
            refused++;
            ck_assert_int_eq(rc, strstr(host->failed_name, "alloc") ? -ENOMEM
                                                                    : -EACCES);
            ck_assert_uint_eq(report.nr_obstacles, 0x5a5a5a5au);
        }
        if ( !host->failed_name )
            break;
    }
    ck_assert_uint_gt(refused, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hv_xen_check");
    TCase *tc = tcase_create("hv_xen_check");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_good_host_has_no_obstacles);
    tcase_add_loop_test(tc, a_good_guest_has_no_obstacles, 0, 2);
    tcase_add_loop_test(tc, an_obstacle_is_named_with_its_remedy, 0,
                        XC_SR_ARRAY_SIZE(rows));
    tcase_add_test(tc, all_obstacles_are_named_at_once);
    tcase_add_test(tc, without_xenstore_the_rest_is_found);
    tcase_add_test(tc, a_guest_that_is_not_there_is_no_guest_without_obstacles);
    tcase_add_loop_test(tc, every_call_fails, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

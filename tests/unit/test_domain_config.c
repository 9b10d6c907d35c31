/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_domain_config.c: which configurations are refused and why, and what
 * libxl_postcopy_init() does to a process, with libxl's own library.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libxl_postcopy.h"
#include "shim_link.h"

static libxl_domain_config config;

static void set_up(void)
{
    libxl_domain_config_init(&config);
    libxl_domain_build_info_init_type(&config.b_info, LIBXL_DOMAIN_TYPE_PVH);
}

static void tear_down(void)
{
    libxl_domain_config_dispose(&config);
}

static void as_hvm(void)
{
    libxl_domain_config_dispose(&config);
    libxl_domain_config_init(&config);
    libxl_domain_build_info_init_type(&config.b_info, LIBXL_DOMAIN_TYPE_HVM);
}

static void assert_refused(uint32_t reason, const char *text)
{
    uint32_t got = 0;
    char why[200] = "";

    ck_assert_int_eq(
        libxl_postcopy_config_check(&config, &got, why, sizeof(why)),
        -EOPNOTSUPP);
    ck_assert_uint_eq(got, reason);
    ck_assert_msg(strstr(why, text) != NULL, "%s", why);
}

static void assert_taken(void)
{
    uint32_t reason;

    ck_assert_int_eq(libxl_postcopy_config_check(&config, &reason, NULL, 0), 0);
}

START_TEST(ordinary_guests_are_taken)
{
    assert_taken();
    as_hvm();
    assert_taken();
    config.b_info.device_model_version = LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN;
    libxl_defbool_set(&config.b_info.nested_hvm, false);
    libxl_defbool_set(&config.b_info.device_model_stubdomain, false);
    assert_taken();
}
END_TEST

START_TEST(others_are_refused)
{
    static libxl_device_pci pci;

    libxl_defbool_set(&config.b_info.nested_hvm, true);
    assert_refused(XC_SR_REASON_GUEST_TYPE, "nestedhvm");
    tear_down();
    set_up();
    config.b_info.altp2m = LIBXL_ALTP2M_MODE_EXTERNAL;
    assert_refused(XC_SR_REASON_GUEST_TYPE, "altp2m");
    as_hvm();
    libxl_defbool_set(&config.b_info.device_model_stubdomain, true);
    assert_refused(XC_SR_REASON_GUEST_TYPE, "device model");
    as_hvm();
    config.b_info.device_model_version =
        LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL;
    assert_refused(XC_SR_REASON_GUEST_TYPE, "qemu-xen-traditional");
    as_hvm();
    config.num_pcidevs = 1;
    config.pcidevs = &pci;
    assert_refused(XC_SR_REASON_IOMMU, "passed through");
    config.num_pcidevs = 0;
    config.pcidevs = NULL;
    config.c_info.passthrough = LIBXL_PASSTHROUGH_SHARE_PT;
    assert_refused(XC_SR_REASON_IOMMU, "passthrough");
    config.c_info.passthrough = LIBXL_PASSTHROUGH_DISABLED;
    assert_taken();
    libxl_domain_config_dispose(&config);
    libxl_domain_config_init(&config);
    libxl_domain_build_info_init_type(&config.b_info, LIBXL_DOMAIN_TYPE_PV);
    assert_refused(XC_SR_REASON_GUEST_TYPE, "PV guest");
}
END_TEST

START_TEST(a_process_is_prepared_once_and_can_be_undone)
{
    char why[256] = "", shim[512];

    ck_assert_ptr_nonnull(getenv("BUILD"));
    snprintf(shim, sizeof(shim), "%s/bin/xl-save-shim", getenv("BUILD"));
    ck_assert_int_eq(libxl_postcopy_init("/nonexistent", why, sizeof(why)),
                     -ENOENT);
    ck_assert_msg(strstr(why, "/nonexistent") != NULL, "%s", why);
    ck_assert_ptr_null(getenv("LIBXL_SAVE_HELPER"));
    ck_assert_int_eq(libxl_postcopy_init(shim, why, sizeof(why)), 0);
    ck_assert_str_eq(getenv("LIBXL_SAVE_HELPER"), shim);
    ck_assert_ptr_nonnull(getenv(LIBXL_PC_SHIM_ENV));
    ck_assert_int_eq(libxl_postcopy_init(shim, why, sizeof(why)), -EBUSY);
    libxl_postcopy_fini();
    ck_assert_ptr_null(getenv("LIBXL_SAVE_HELPER"));
    setenv("XEN_POSTCOPY_SHIM", shim, 1);
    ck_assert_int_eq(libxl_postcopy_init(NULL, why, sizeof(why)), 0);
    ck_assert_str_eq(getenv("LIBXL_SAVE_HELPER"), shim);
    libxl_postcopy_fini();
}
END_TEST

START_TEST(without_init_nothing_is_moved)
{
    struct libxl_postcopy_send_params send = { .domid = 1 };
    struct libxl_postcopy_receive_params receive = { .config = &config };
    struct libxl_postcopy_send_result sent;
    struct libxl_postcopy_receive_result received;

    ck_assert_int_eq(libxl_postcopy_send(NULL, &send, &sent), -EINVAL);
    ck_assert_int_eq(sent.engine.owner, XC_SR_OWNER_RESUMED);
    ck_assert_int_eq(libxl_postcopy_receive(NULL, &receive, &received),
                     -EINVAL);
    ck_assert_uint_eq(received.domid, (uint32_t)INVALID_DOMID);
}
END_TEST

static Suite *domain_config_suite(void)
{
    Suite *s = suite_create("domain_config");
    TCase *tc = tcase_create("domain_config");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, ordinary_guests_are_taken);
    tcase_add_test(tc, others_are_refused);
    tcase_add_test(tc, a_process_is_prepared_once_and_can_be_undone);
    tcase_add_test(tc, without_init_nothing_is_moved);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(domain_config_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

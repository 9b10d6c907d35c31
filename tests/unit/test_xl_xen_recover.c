/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_recover.c: a record says that a guest was handed over, the
 * process that kept the copy is gone, and somebody looks whether the domain of
 * that UUID is the copy.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <stdio.h>
#include <string.h>

#include "xl_xen_migrate.h"

static const struct
{
    uint32_t recorded; /* 0: an older xl did not note it */
    bool shutdown;
    libxl_shutdown_reason reason;
    bool kept;
} copies[] = {
    { 7, true, LIBXL_SHUTDOWN_REASON_SUSPEND, true },
    { 0, true, LIBXL_SHUTDOWN_REASON_SUSPEND, true },
    /* Started with its host: it has the UUID, and other contents. */
    { 7, false, LIBXL_SHUTDOWN_REASON_UNKNOWN, false },
    { 0, false, LIBXL_SHUTDOWN_REASON_UNKNOWN, false },
    { 7, true, LIBXL_SHUTDOWN_REASON_POWEROFF, false },
    { 7, true, LIBXL_SHUTDOWN_REASON_CRASH, false },
    /* Suspended by somebody else. */
    { 6, true, LIBXL_SHUTDOWN_REASON_SUSPEND, false },
};

START_TEST(only_the_copy_is_handed_over)
{
    struct xl_journal_record record = { .at_source = true,
                                        .owner = XC_SR_OWNER_COMMITTED,
                                        .domid = copies[_i].recorded };
    struct xl_xen_migration *x = calloc(1, sizeof(*x));

    ck_assert_ptr_nonnull(x);
    x->domain.domid = 7;
    x->domain.info.shutdown = copies[_i].shutdown;
    x->domain.info.shutdown_reason = copies[_i].reason;
    snprintf(x->name, sizeof(x->name), "w");
    snprintf(x->domain.name, sizeof(x->domain.name), "w");
    ck_assert_int_eq(xl_xen_migration_is_kept(x, &record),
                     copies[_i].kept ? 0 : XL_EXIT_FAILED);
    free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_recover");
    TCase *tc = tcase_create("copy");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(tc, only_the_copy_is_handed_over, 0,
                        sizeof(copies) / sizeof(copies[0]));
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

#include <stdio.h>

int main(void)
{
    puts("there is no libxl here");
    return 77;
}

#endif

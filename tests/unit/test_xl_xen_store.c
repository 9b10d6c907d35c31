/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_store.c: what is published in xenstore, against a xenstored of
 * our own that writes down what it is told and can stop answering: libxenstore
 * waits for ever then, and a migration must not.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xl_xen_store.h"

#include "fake_xenstored.inc.c"

#define UUID "0b5f9a1e-0000-4000-8000-000000000001"
#define BASE XL_XEN_STORE_ROOT "/" UUID

START_TEST(what_is_set_is_written)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "name", "%s", "web");
    xl_xen_store_set(s, "domid", "%u", 7u);
    xl_xen_store_set(s, "/local/domain/7/x", "y");
    ck_assert_int_eq(xl_xen_store_flush(s, 10000000), 0);
    ck_assert(has(&d, "w " BASE "/source/name=web\n"));
    ck_assert(has(&d, "w " BASE "/source/domid=7\n"));
    ck_assert(has(&d, "w /local/domain/7/x=y\n"));
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(!has(&d, "r "));
}
END_TEST

/* Figures wait for more of them, but not for ever, and the last one counts. */
START_TEST(the_last_figure_is_written)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;
    uint64_t i;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, false);
    for ( i = 0; i <= 5000; i++ )
        xl_xen_store_set_figure(s, "done-pages", i);
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(has(&d, "w " BASE "/destination/done-pages=5000\n"));
    /* 5000 lines would not fit either. */
    ck_assert_uint_lt(strlen(d.log), sizeof(d.log) / 2);
}
END_TEST

START_TEST(what_is_forgotten_goes)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "phase", "done");
    xl_xen_store_forget(s);
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(has(&d, "w " BASE "/source/phase=done\n"));
    ck_assert(has(&d, "r " BASE "/source\n"));
    /* Nobody else had anything in there. */
    ck_assert(has(&d, "r " BASE "\n"));
}
END_TEST

START_TEST(no_xenstored_is_said)
{
    struct xl_xen_store *s = NULL;

    setenv("XENSTORED_PATH", "/no/such/socket", 1);
    ck_assert_int_lt(xl_xen_store_open(10000000, &s), 0);
    ck_assert_ptr_null(s);
}
END_TEST

START_TEST(a_silent_xenstored_is_not_waited_for)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, 0);
    ck_assert_int_eq(xl_xen_store_open(100000, &s), -ETIMEDOUT);
    ck_assert_ptr_null(s);
    ck_assert_int_eq(xl_xen_store_probe(100000), -ETIMEDOUT);
    unlink(d.socket);
    rmdir(d.dir);
}
END_TEST

START_TEST(one_that_falls_silent_holds_nobody_up)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    /* The question of open() and one write. */
    start(&d, 2);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "name", "web");
    ck_assert_int_eq(xl_xen_store_flush(s, 10000000), 0);
    xl_xen_store_set(s, "owner", "committed");
    ck_assert_int_eq(xl_xen_store_flush(s, 100000), -ETIMEDOUT);
    xl_xen_store_set(s, "owner", "done");
    ck_assert_int_eq(xl_xen_store_flush(s, 100000), -ETIMEDOUT);
    xl_xen_store_close(s);
    ck_assert(!has(&d, "owner"));
    unlink(d.socket);
    rmdir(d.dir);
}
END_TEST

START_TEST(what_is_there_is_read)
{
    struct xl_xen_store *s = NULL;
    char text[8] = "none";
    struct daemon d;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, false);
    ck_assert_int_eq(
        xl_xen_store_get(s, "/nothing", text, sizeof(text), 10000000), -ENOENT);
    ck_assert_str_eq(text, "none");
    ck_assert_int_eq(xl_xen_store_get(s, "phase", text, sizeof(text), 10000000),
                     0);
    ck_assert_str_eq(text, "OK");
    xl_xen_store_close(s);
    finish(&d);
}
END_TEST

START_TEST(no_answer_is_not_waited_for)
{
    struct xl_xen_store *s = NULL;
    char text[8] = "none";
    struct daemon d;

    start(&d, 1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    for ( int i = 0; i < 2; i++ )
        ck_assert_int_eq(xl_xen_store_get(s, "/x", text, sizeof(text), 100000),
                         -ETIMEDOUT);
    ck_assert_str_eq(text, "none");
    xl_xen_store_close(s);
    unlink(d.socket);
    rmdir(d.dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_store");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_set_is_written);
    tcase_add_test(t, the_last_figure_is_written);
    tcase_add_test(t, what_is_forgotten_goes);
    tcase_add_test(t, no_xenstored_is_said);
    tcase_add_test(t, a_silent_xenstored_is_not_waited_for);
    tcase_add_test(t, one_that_falls_silent_holds_nobody_up);
    tcase_add_test(t, what_is_there_is_read);
    tcase_add_test(t, no_answer_is_not_waited_for);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
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

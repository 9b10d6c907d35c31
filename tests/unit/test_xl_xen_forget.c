/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_forget.c: what is recorded of a guest that is not on its host any
 * more, on a host that is made up (xen_hosts.inc.c): who asks hears of it, and
 * `migrate-abort` removes it, or says why not.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include "xen_hosts.inc.c"

#include "xen_hosts_libxl.inc.c"
#include "xen_hosts_more.inc.c"
#include "xen_hosts_store.inc.c"
#include "xen_hosts_hv.inc.c"
#include "xen_hosts_run.inc.c"

#define MUST(cond)                                                             \
    ck_assert_msg(cond, "%s: %s\n%s", world->refused, #cond, said(THERE))

static bool says(const char *text)
{
    return strstr(said(THERE), text);
}

static void forget_words(void)
{
    char file[100];

    snprintf(file, sizeof(file), "%s/said.%d", world->dir, THERE);
    ck_assert_int_eq(truncate(file, 0), 0);
}

static const enum xc_sr_owner owners[][2] = {
    { XC_SR_OWNER_PREP, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_FENCED, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_OWNER, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_LOST, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_FINISHED, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_ENDED, XC_SR_OWNER_NONE },
    { XC_SR_OWNER_FINISHED, XC_SR_OWNER_DONE },
    { XC_SR_OWNER_NONE, XC_SR_OWNER_RESUMED },
};

static bool is_left(int host, bool at_source)
{
    const char *side = at_source ? "source" : "destination";
    char path[200];

    snprintf(path, sizeof(path), "%s/%d/%s/%s.migration", world->dir, host,
             side, GUEST_UUID);
    if ( !access(path, F_OK) )
        return true;
    snprintf(path, sizeof(path), "%s/%s/%s", XL_XEN_STORE_ROOT, GUEST_UUID,
             side);
    for ( unsigned int i = 0; i < HOST_NODES; i++ )
        if ( is_below(world->hosts[host].nodes[i].path, path) )
            return true;
    return false;
}

/* A process that is gone has left it: file, nodes, the socket. */
static void leave_record(int host, enum xc_sr_owner owner, bool at_source)
{
    static const uint8_t session[16] = { 1, 2, 3 };
    struct xl_xen_record record;

    if ( owner == XC_SR_OWNER_NONE )
        return;
    here = host;
    ck_assert_int_eq(xl_xen_record_open(&record, GUEST_UUID, "g", at_source),
                     0);
    record.journal.domid = 12;
    ck_assert_int_eq(xl_xen_record_put(&record, owner, session, 1), 0);
    xl_xen_store_set(record.store, "domid", "12");
    xl_xen_record_close(&record);
    ck_assert(is_left(host, at_source));
}

static void forget_records(const enum xc_sr_owner left[2])
{
    bool both = left[0] && left[1];

    leave_record(THERE, left[0], false);
    leave_record(THERE, left[1], true);
    MUST(xl(THERE, "migrate-status g") == XL_EXIT_FAILED);
    MUST(says(xc_sr_owner_name(left[0] ? left[0] : left[1])));
    MUST(says("`xl migrate-abort g` removes that record"));
    MUST(is_left(THERE, false) == (left[0] != XC_SR_OWNER_NONE));
    forget_words();
    MUST(xl(THERE, both || !left[0] ? "migrate-abort " GUEST_UUID
                                    : "migrate-abort g") == XL_EXIT_DONE);
    MUST(says("is removed: "));
    MUST(!is_left(THERE, false) && !is_left(THERE, true));
    /* There is nothing more to be said of it. */
    MUST(xl(THERE, "migrate-abort g") == XL_EXIT_USAGE);
    MUST(says("there is no domain `g` here; `xl list`"));
}

/* Also where libxl or xenstored fails: it is gone, or somebody says why not. */
START_TEST(what_is_recorded_of_a_guest_that_is_gone_is_removed)
{
    unsigned int nth = 0;
    bool met;
    int status;

    open_hosts();
    for ( unsigned int i = 0; i < sizeof(owners) / sizeof(owners[0]); i++ )
    {
        reset_hosts();
        forget_records(owners[i]);
        wait_all();
        forget_files();
    }
    do
    {
        nth++;
        reset_hosts();
        leave_record(THERE, XC_SR_OWNER_LOST, false);
        world->order_host = THERE;
        world->order_what = _i ? XENSTORE : LIBXL_CALL;
        atomic_store(&world->used, 0);
        world->nth = nth;
        status = xl(THERE, "migrate-abort g");
        met = world->refused[0];
        MUST(status == XL_EXIT_DONE || (met && *said(THERE)));
        MUST(status != XL_EXIT_DONE || _i || !is_left(THERE, false));
        wait_all();
        MUST(!atomic_load(&world->leaks));
        forget_files();
    } while ( met );
    MUST(nth > 3);
    close_hosts();
}
END_TEST

static bool is_guest_watched(void)
{
    return atomic_load(&world->hosts[THERE].watchers);
}

static bool no_monitor_works(void)
{
    return !atomic_load(&world->hosts[THERE].monitors);
}

/* The guest, or what knows of it, can still be needed. */
START_TEST(what_is_needed_of_a_record_stays)
{
    struct xl_xen_record record;
    struct host_domain *d;
    uint8_t uuid[16];

    guest_uuid(uuid);
    open_hosts();
    reset_hosts();
    leave_record(THERE, XC_SR_OWNER_LOST, false);
    /* It runs, under another name. */
    lock_world();
    d = add_domain(THERE, "renamed", uuid);
    unlock_world();
    MUST(xl(THERE, "migrate-abort g") == XL_EXIT_FAILED);
    MUST(says("domain 12, under another name"));
    MUST(xl(THERE, "migrate-abort renamed") == XL_EXIT_FAILED);
    MUST(is_left(THERE, false) && guest_on(THERE));
    /* Its monitor has put it aside, and is about to start it again. */
    snprintf(d->name, sizeof(d->name), "g");
    MUST(xl(THERE, "postcopy-monitor 12") == XL_EXIT_DONE);
    wait_until(is_guest_watched);
    snprintf(d->name, sizeof(d->name), "g-old");
    d->uuid[0] = 99;
    MUST(xl(THERE, "migrate-abort g") == XL_EXIT_FAILED);
    MUST(says("watches domain 12 still works") && is_left(THERE, false));
    d->domid = 0;
    wait_until(no_monitor_works);
    /* A process has hold of it. */
    here = THERE;
    ck_assert_int_eq(xl_xen_record_open(&record, GUEST_UUID, "g", false), 0);
    MUST(xl(THERE, "migrate-abort g") == XL_EXIT_FAILED);
    MUST(says("another process works on that migration"));
    xl_xen_record_close(&record);
    MUST(is_left(THERE, false));
    /* A copy that was handed over is gone: but where does it run? */
    leave_record(THERE, XC_SR_OWNER_COMMITTED, true);
    MUST(xl(THERE, "migrate-abort g") == XL_EXIT_FAILED);
    MUST(says("make sure where it runs"));
    MUST(is_left(THERE, true) && !is_left(THERE, false));
    wait_all();
    close_hosts();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s;
    TCase *tc;
    SRunner *r;
    int failed;

    /* Before anything is there that a host's process would leak. */
    if ( getenv("XP_WORLD") )
        return be_a_host(argc, argv);
    s = suite_create("xl_xen_forget");
    tc = tcase_create("hosts");
    tcase_set_timeout(tc, 200);
    tcase_add_loop_test(tc, what_is_recorded_of_a_guest_that_is_gone_is_removed,
                        0, 2);
    tcase_add_test(tc, what_is_needed_of_a_record_stays);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
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

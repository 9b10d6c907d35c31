/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_forget.c: what processes that are gone have recorded, on hosts
 * that are made up (xen_hosts.inc.c): of a guest that is not there any more,
 * which `migrate-abort` removes, or says why not; and of one that was left, or
 * arrives, again since: what is older says nothing about that.
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

#include <sys/file.h>

#include "xl_control.h"

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
static void leave_record_of(int host, enum xc_sr_owner owner, bool at_source,
                            uint32_t domid)
{
    static const uint8_t session[16] = { 1, 2, 3 };
    struct xl_xen_record record;

    if ( owner == XC_SR_OWNER_NONE )
        return;
    here = host;
    ck_assert_int_eq(xl_xen_record_open(&record, GUEST_UUID, "g", at_source),
                     0);
    record.journal.domid = domid;
    ck_assert_int_eq(xl_xen_record_put(&record, owner, session, 1), 0);
    xl_xen_store_set(record.store, "domid", "12");
    xl_xen_record_close(&record);
    ck_assert(is_left(host, at_source));
}

static void leave_record(int host, enum xc_sr_owner owner, bool at_source)
{
    leave_record_of(host, owner, at_source, 12);
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

/* ---- And of one that is --------------------------------------------------------- */

static const struct
{
    enum xc_sr_owner owner;
    uint32_t domid; /* 12 is the domain that is there */
    bool goes;
} halves[] = {
    { XC_SR_OWNER_LOST, 5, true },     { XC_SR_OWNER_OWNER, 5, true },
    { XC_SR_OWNER_FINISHED, 5, true }, { XC_SR_OWNER_PREP, 12, true },
    { XC_SR_OWNER_OWNER, 12, false },
};

/* An older migration's record says nothing of what was left half-built since;
 * whoever believes FINISHED destroys the only copy. */
START_TEST(what_is_half_built_is_not_what_was_recorded_before)
{
    uint8_t uuid[16];

    guest_uuid(uuid);
    open_hosts();
    reset_hosts();
    leave_record_of(THERE, halves[_i].owner, false, halves[_i].domid);
    lock_world();
    add_domain(THERE, "g--incoming", uuid);
    unlock_world();
    MUST(xl(THERE, "migrate-status g") == XL_EXIT_FAILED);
    if ( halves[_i].domid != 12 )
        MUST(says("`xl migrate-abort g` removes it"));
    MUST(xl(THERE, "migrate-abort g") ==
         (halves[_i].goes ? XL_EXIT_DONE : XL_EXIT_FAILED));
    MUST(!guest_on(THERE) == halves[_i].goes);
    MUST(halves[_i].goes || says("`xl migrate-recover` at its source"));
    wait_all();
    close_hosts();
}
END_TEST

static void publish_owner(const char *owner)
{
    struct xs_handle *xs = xs_open(0);
    char path[120];

    snprintf(path, sizeof(path), "%s/%s/destination/owner", XL_XEN_STORE_ROOT,
             GUEST_UUID);
    ck_assert(xs_write(xs, XBT_NULL, path, owner, (unsigned)strlen(owner)));
    xs_close(xs);
}

/* xenstored did not take the last word of a process that has ended: the file
 * has it, and the guest may be saved. */
START_TEST(the_file_says_whether_pages_are_missing)
{
    open_hosts();
    reset_hosts();
    leave_record(THERE, XC_SR_OWNER_OWNER, false);
    ck_assert(xl_xen_pages_missing(GUEST_UUID, 12));
    ck_assert(!xl_xen_pages_missing(GUEST_UUID, 13));
    leave_record(THERE, XC_SR_OWNER_FINISHED, false);
    publish_owner("owner");
    ck_assert(!xl_xen_pages_missing(GUEST_UUID, 12));
    leave_record_of(THERE, XC_SR_OWNER_LOST, false, 5);
    ck_assert(!xl_xen_pages_missing(GUEST_UUID, 12));
    leave_record(THERE, XC_SR_OWNER_LOST, false);
    ck_assert(xl_xen_pages_missing(GUEST_UUID, 12));
    /* It is older than the last boot. */
    publish_owner("none");
    ck_assert(!xl_xen_pages_missing(GUEST_UUID, 12));
    close_hosts();
}
END_TEST

/* So does the next migration. */
START_TEST(an_older_record_does_not_keep_a_guest_away)
{
    uint8_t uuid[16];

    guest_uuid(uuid);
    open_hosts();
    reset_hosts();
    leave_record_of(THERE, XC_SR_OWNER_LOST, false, 5);
    lock_world();
    add_domain(THERE, "g--incoming", uuid);
    unlock_world();
    MUST(xl(HERE, "migrate --postcopy=require --progress=none "
                  "--recovery-wait 0 g there") == XL_EXIT_DONE);
    MUST(is_running(THERE) && is_whole_there());
    wait_all();
    close_hosts();
}
END_TEST

static void answer_it(void *ctx, const char *request, char *answer, size_t len)
{
    (void)ctx;
    snprintf(answer, len, "%s",
             here == HERE ? "error another attempt is under way"
             : !strncmp(request, "recoverable", 8) ? "ok"
                                                   : "ok it arrives");
}

/* A process that answers, and what it does so with, by host. */
static struct
{
    struct xl_control *control;
    pid_t pid;
} answering[2];

static void start_answering(int host)
{
    struct xl_control **control = &answering[host].control;
    struct pollfd fd = { .events = POLLIN };
    pid_t pid;

    here = host;
    must(!xl_control_open(xl_xen_place(host == HERE), GUEST_UUID, answer_it,
                          NULL, control));
    pid = fork();
    answering[host].pid = pid;
    if ( pid )
        return;
    for ( fd.fd = xl_control_fd(*control); poll(&fd, 1, -1) > 0; )
        xl_control_service(*control);
    _exit(1);
}

static void stop_answering(int host)
{
    kill(answering[host].pid, SIGKILL);
    xl_control_close(answering[host].control);
}

START_TEST(what_arrives_answers_before_what_was_left)
{
    uint8_t uuid[16];

    guest_uuid(uuid);
    open_hosts();
    reset_hosts();
    leave_record(THERE, XC_SR_OWNER_COMMITTED, true);
    leave_record(THERE, XC_SR_OWNER_PREP, false);
    lock_world();
    add_domain(THERE, "g--incoming", uuid);
    unlock_world();
    start_answering(THERE);
    MUST(xl(THERE, "migrate-status g") == XL_EXIT_DONE);
    MUST(says("it arrives"));
    stop_answering(THERE);
    wait_all();
    close_hosts();
}
END_TEST

/* Nothing is settled, and all is kept: not what status 1 says. */
START_TEST(a_second_attempt_settles_nothing)
{
    open_hosts();
    reset_hosts();
    guest_on(HERE)->shutdown = true;
    guest_on(HERE)->reason = LIBXL_SHUTDOWN_REASON_SUSPEND;
    snprintf(guest_on(HERE)->name, sizeof(guest_on(HERE)->name),
             "g--migratedaway");
    leave_record_of(HERE, XC_SR_OWNER_COMMITTED, true, 7);
    leave_record(THERE, XC_SR_OWNER_OWNER, false);
    start_answering(HERE);
    start_answering(THERE);
    MUST(xl(HERE, "migrate-recover -q g there") == XL_EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(said(HERE), "another attempt is under way"));
    stop_answering(HERE);
    stop_answering(THERE);
    wait_all();
    close_hosts();
}
END_TEST

static const char *lock_file(void)
{
    static char path[300];

    snprintf(path, sizeof(path), "%s/%s.lock", xl_xen_place(false), GUEST_UUID);
    return path;
}

/* As xl_xen_record_is_held() does, only slower. */
static void look_for_ever(void)
{
    int fd;

    for ( ;; usleep(3000) )
    {
        fd = open(lock_file(), O_RDONLY | O_CLOEXEC);
        if ( fd >= 0 && !flock(fd, LOCK_SH | LOCK_NB) )
            usleep(1000);
        if ( fd >= 0 )
            close(fd);
    }
}

START_TEST(who_only_looks_does_not_hold_it)
{
    struct xl_xen_record record;
    pid_t pid;

    open_hosts();
    reset_hosts();
    leave_record(THERE, XC_SR_OWNER_LOST, false);
    pid = fork();
    if ( !pid )
        look_for_ever();
    for ( unsigned int i = 0; i < 100; i++ )
    {
        /* Who was killed has left it. */
        close(open(lock_file(), O_RDWR | O_CREAT, 0600));
        usleep(2000);
        ck_assert_int_eq(xl_xen_record_open(&record, GUEST_UUID, "g", false),
                         0);
        xl_xen_record_close(&record);
    }
    kill(pid, SIGKILL);
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
    tcase_add_loop_test(tc, what_is_half_built_is_not_what_was_recorded_before,
                        0, sizeof(halves) / sizeof(halves[0]));
    tcase_add_test(tc, the_file_says_whether_pages_are_missing);
    tcase_add_test(tc, an_older_record_does_not_keep_a_guest_away);
    tcase_add_test(tc, what_arrives_answers_before_what_was_left);
    tcase_add_test(tc, a_second_attempt_settles_nothing);
    tcase_add_test(tc, who_only_looks_does_not_hold_it);
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

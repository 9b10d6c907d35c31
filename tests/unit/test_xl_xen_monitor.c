/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_monitor.c: `xl postcopy-monitor` on a host that is made up
 * (xen_hosts.inc.c): the guest shuts down, and what its configuration says is
 * done; also when libxl fails at any of its uses, once and for good: then the
 * monitor's log says what could not be done, and no guest runs twice.
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

#define OLD_DOMID 7u

static const struct
{
    libxl_action_on_shutdown action;
    libxl_shutdown_reason reason;
    bool old_stays;
    bool new_runs; /* under the guest's name */
    const char *says;
} ends[] = {
    { LIBXL_ACTION_ON_SHUTDOWN_DESTROY, LIBXL_SHUTDOWN_REASON_POWEROFF, false,
      false, "says: destroy" },
    { LIBXL_ACTION_ON_SHUTDOWN_RESTART, LIBXL_SHUTDOWN_REASON_REBOOT, false,
      true, "says: restart" },
    { LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME, LIBXL_SHUTDOWN_REASON_CRASH,
      true, true, "says: restart_rename" },
    { LIBXL_ACTION_ON_SHUTDOWN_PRESERVE, LIBXL_SHUTDOWN_REASON_WATCHDOG, true,
      false, "says: preserve" },
    { LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY, LIBXL_SHUTDOWN_REASON_CRASH,
      false, false, "its memory is in" },
    { LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART, LIBXL_SHUTDOWN_REASON_CRASH,
      false, true, "its memory is in" },
    { LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET, LIBXL_SHUTDOWN_REASON_SOFT_RESET,
      true, true, "says: soft_reset" },
    /* Whoever saves or moves it looks after it. */
    { LIBXL_ACTION_ON_SHUTDOWN_DESTROY, LIBXL_SHUTDOWN_REASON_SUSPEND, true,
      false, "has suspended" },
};
#define NR_ENDS ((int)(sizeof(ends) / sizeof(ends[0])))

static int at;                      /* which of them */
static const char *said_by_monitor; /* its log, and what it said before it */

#define MUST(cond)                                                             \
    ck_assert_msg(cond, "%s (%s): %s\n%s", ends[at].says, world->refused,      \
                  #cond, said_by_monitor)

static void read_log(void)
{
    static char text[8192];
    char file[100];
    size_t len;
    FILE *log;

    len = (size_t)snprintf(text, sizeof(text), "%s", said(HERE));
    snprintf(file, sizeof(file), "%s/%d.xl-g.log", world->dir, HERE);
    log = fopen(file, "r");
    if ( log )
    {
        len += fread(text + len, 1, sizeof(text) - 1 - len, log);
        fclose(log);
    }
    text[len] = '\0';
    said_by_monitor = text;
}

static bool watches_or_has_ended(void)
{
    return atomic_load(&me()->watchers) || !atomic_load(&me()->monitors);
}

/* It has: or watches what it has started. */
static bool has_acted(void)
{
    const struct host_domain *d = find_by_domid(OLD_DOMID);

    return !atomic_load(&me()->monitors) ||
           (atomic_load(&me()->watchers) && is_running(HERE) &&
            (!d || !d->shutdown || guest_on(HERE) != d));
}

static void shut_down(struct host_domain *d)
{
    lock_world();
    d->reason = ends[at].reason;
    d->shutdown = true;
    unlock_world();
}

static unsigned int nr_running(void)
{
    unsigned int nr = 0;

    for ( unsigned int i = 0; i < HOST_DOMAINS; i++ )
        nr += me()->domains[i].domid && !me()->domains[i].pauses &&
              !me()->domains[i].shutdown;
    return nr;
}

/* The guest comes to its end under a monitor; false if that did not even
 * begin to watch. */
static bool live_and_die(unsigned int nth, bool for_good)
{
    bool began;

    reset_hosts();
    me()->action = ends[at].action;
    world->order_host = HERE;
    world->order_what = LIBXL_CALL;
    world->for_good = for_good;
    world->nth = nth;
    MUST(xl(HERE, "postcopy-monitor 7") == XL_EXIT_DONE);
    wait_until(watches_or_has_ended);
    began = atomic_load(&me()->monitors);
    shut_down(find_by_domid(OLD_DOMID));
    wait_until(has_acted);
    return began;
}

static bool is_as_wanted(void)
{
    return is_running(HERE) == ends[at].new_runs &&
           !find_by_domid(OLD_DOMID) == !ends[at].old_stays;
}

static void clean_up(void)
{
    wait_all();
    MUST(!atomic_load(&world->leaks));
    forget_files();
}

START_TEST(what_the_configuration_says_is_done)
{
    at = _i;
    said_by_monitor = "";
    open_hosts();
    MUST(live_and_die(0, false));
    read_log();
    MUST(strstr(said_by_monitor, ends[at].says));
    MUST(is_as_wanted());
    MUST(!ends[at].new_runs || !strcmp(guest_on(HERE)->name, "g"));
    MUST(nr_running() == ends[at].new_runs);
    clean_up();
    close_hosts();
}
END_TEST

START_TEST(what_cannot_be_done_is_said)
{
    bool for_good = _i % 2;
    unsigned int nth = 0;

    at = _i / 2;
    said_by_monitor = "";
    open_hosts();
    do
    {
        nth++;
        (void)live_and_die(nth, for_good);
        read_log();
        MUST(nr_running() <= 1);
        /* Without a log it has nowhere to say it. */
        if ( (!is_as_wanted() ||
              !strcmp(world->refused, "libxl_domain_core_dump")) &&
             strcmp(world->refused, "libxl_event_wait") &&
             strcmp(world->refused, "libxl_create_logfile") )
            MUST(world->refused[0] && strstr(said_by_monitor, world->refused));
        clean_up();
    } while ( world->refused[0] );
    MUST(nth > 4);
    close_hosts();
}
END_TEST

static bool second_has_ended(void)
{
    return atomic_load(&me()->monitors) == 1 &&
           strstr(said(HERE), "is watched already");
}

/* Two would both start it again. */
START_TEST(a_guest_is_watched_once)
{
    at = 1;
    said_by_monitor = "";
    open_hosts();
    reset_hosts();
    me()->action = ends[at].action;
    MUST(xl(HERE, "postcopy-monitor 7") == XL_EXIT_DONE);
    wait_until(watches_or_has_ended);
    MUST(xl(HERE, "postcopy-monitor 7") == XL_EXIT_DONE);
    wait_until(second_has_ended);
    MUST(atomic_load(&me()->watchers) == 1);
    shut_down(find_by_domid(OLD_DOMID));
    wait_until(has_acted);
    MUST(is_as_wanted() && nr_running() == 1);
    /* Its successor is another domain, and watched by the same. */
    MUST(guest_on(HERE)->domid != OLD_DOMID);
    MUST(xl_xen_is_watched(guest_on(HERE)->domid));
    MUST(!xl_xen_is_watched(OLD_DOMID));
    clean_up();
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
    s = suite_create("xl_xen_monitor");
    tc = tcase_create("hosts");
    tcase_set_timeout(tc, 200);
    tcase_add_loop_test(tc, what_the_configuration_says_is_done, 0, NR_ENDS);
    tcase_add_loop_test(tc, what_cannot_be_done_is_said, 0, 2 * NR_ENDS);
    tcase_add_test(tc, a_guest_is_watched_once);
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

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_nth.c: whatever xl's commands for guests of Xen ask libxl and
 * xenstored for fails once, and for good.
 *
 * The commands run as users start them, on two hosts that are made up
 * (xen_hosts.inc.c).  Each answer fails at its first use, at its second, and so
 * on until a whole move has passed without meeting the failure; over pre-copy,
 * post-copy and version 2, a connection that is cut and recovered, and
 * receivers that die and are replaced.  After each of them the guest runs once,
 * or is kept and brought back by the command that the message names; somebody
 * says what it was that failed; nothing is left, leaked, or waited for.
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

enum move
{
    PRECOPY,
    POSTCOPY,
    VERSION_2,
    CUT,         /* it is recovered while both processes wait */
    TAKEN_OVER,  /* nobody waits any more, the guest runs there */
    TAKEN_EARLY, /* nor does the guest yet */
    TAKEN_NAMED, /* it does, and nobody watches it yet */
    NR_MOVES,
};

static const struct
{
    const char *name;
    const char *line;
    enum plan plan;
} moves[] = {
    { "pre-copy", "--precopy-iterations 1 --recovery-wait 0", NO_PLAN },
    { "post-copy", "--precopy-iterations 0 --recovery-wait 0", NO_PLAN },
    { "version 2", "--stream-version 2 --recovery-wait 0", NO_PLAN },
    { "cut", "--precopy-iterations 0 --postcopy-bandwidth 4", CUT_RUNNING },
    { "taken over",
      "--precopy-iterations 0 --postcopy-bandwidth 4 --recovery-wait 0",
      KILL_RUNNING },
    { "taken early", "--precopy-iterations 0 --recovery-wait 0",
      KILL_AT_OWNER },
    { "taken named",
      "--precopy-iterations 0 --postcopy-bandwidth 0.1 --recovery-wait 0",
      KILL_NAMED },
};

static const char *const what_names[] = { "libxl's function", "xenstore",
                                          "libxl's last word", "words" };

/* What is to fail in the move at hand. */
static struct
{
    enum move move;
    int host;
    enum what what;
    unsigned int nth; /* 0: nothing */
    bool for_good;
} order;

static const char *told(void)
{
    static char text[200];

    snprintf(text, sizeof(text), "%s, %s at %d, use %u%s (%s)",
             moves[order.move].name, what_names[order.what], order.host,
             order.nth, order.for_good ? " and on" : "", world->refused);
    return text;
}

static bool says(const char *text)
{
    return strstr(said(HERE), text) || strstr(said(THERE), text);
}

#define MUST(cond)                                                             \
    ck_assert_msg(cond, "%s: %s\n%s--\n%s", told(), #cond, said(HERE),         \
                  said(THERE))

/* ---- One move ------------------------------------------------------------------- */

static void arm(unsigned int nth)
{
    atomic_store(&world->used, 0);
    world->order_host = order.host;
    world->order_what = order.what;
    world->for_good = order.for_good;
    world->nth = nth;
}

static bool no_receiver_works(void)
{
    return !atomic_load(&world->receivers);
}

static bool both_have_lost(void)
{
    return atomic_load(&world->hosts[HERE].lost) &&
           atomic_load(&world->hosts[THERE].lost);
}

static pid_t waiting; /* with the guest, for a connection; 0: nobody does */
static pid_t recovering;

/* It has ended, or has become the one that waits. */
static bool has_recovered(void)
{
    siginfo_t info = { .si_pid = 0 };

    return (!waiting && atomic_load(&world->hosts[HERE].lost)) ||
           (!waitid(P_PID, (id_t)recovering, &info,
                    WEXITED | WNOHANG | WNOWAIT) &&
            info.si_pid);
}

/* `migrate-recover`, and its exit status. */
static int recover(unsigned int nth)
{
    int status;

    arm(nth);
    atomic_store(&world->hosts[HERE].lost, false);
    recovering = start_xl(HERE, "migrate-recover -q g there");
    wait_until(has_recovered);
    if ( !waiting && atomic_load(&world->hosts[HERE].lost) )
    {
        waiting = recovering;
        return XL_EXIT_UNKNOWN;
    }
    status = wait_xl(recovering);
    /* Who has waited has the last word. */
    if ( waiting && status == XL_EXIT_DONE )
        MUST(wait_xl(waiting) == XL_EXIT_DONE);
    return status;
}

/* The exit status of the command that something is made to fail in. */
static int run_move(void)
{
    enum plan plan = moves[order.move].plan;
    char line[200];
    pid_t pid;
    int status;

    snprintf(line, sizeof(line),
             "migrate --postcopy=require --progress=none %s g there",
             moves[order.move].line);
    waiting = 0;
    world->plan = plan;
    if ( !plan )
        arm(order.nth);
    pid = start_xl(HERE, line);
    if ( plan == CUT_RUNNING )
        wait_until(both_have_lost);
    else
        status = wait_xl(pid);
    if ( !plan )
    {
        wait_until(no_receiver_works);
        return status;
    }
    MUST(plan == CUT_RUNNING || status == XL_EXIT_UNKNOWN);
    if ( plan == CUT_RUNNING )
        waiting = pid;
    return recover(order.nth);
}

/* 0: all of it is there, 4: nobody can tell, 1: it is here; or, of a command
 * that takes a move up again, nothing has become of it. */
static void assert_status(int status)
{
    const struct host_domain *from = guest_on(HERE), *to = guest_on(THERE);
    bool kept = moves[order.move].plan || status == XL_EXIT_UNKNOWN;

    MUST(status == XL_EXIT_DONE || status == XL_EXIT_FAILED ||
         status == XL_EXIT_UNKNOWN);
    if ( status == XL_EXIT_DONE )
    {
        MUST(is_running(THERE) && is_whole_there());
        MUST(!from || says("cannot be removed"));
    }
    else if ( kept )
    {
        MUST(from && from->shutdown);
        MUST(!strcmp(from->name, "g--migratedaway"));
    }
    else
    {
        MUST(is_running(HERE) || says("`xl migrate-resume g` tries again"));
        MUST(!to || says("cannot remove"));
    }
}

/* Of something that failed, somebody says what it was. */
static void assert_says_why(int status)
{
    if ( !world->refused[0] || status == XL_EXIT_DONE )
        return;
    /* It is there. */
    MUST(!says("No such process"));
    if ( order.what == LIBXL_CALL )
        MUST(says(world->refused) || (order.for_good && says(" has failed")));
    else
        MUST(says(order.what == XENSTORE ? "xenstore" : "libxl"));
}

/* What the messages say is to be done, now that nothing fails. */
static void put_right(int status)
{
    const struct host_domain *from = guest_on(HERE);

    arm(0);
    if ( moves[order.move].plan && status != XL_EXIT_DONE )
        MUST(recover(0) == XL_EXIT_DONE);
    else if ( status == XL_EXIT_UNKNOWN && order.move == VERSION_2 )
    {
        /* Which is stock's at its end: nobody but the operator can tell. */
        MUST(says("`xl destroy 12` does"));
        here = THERE;
        remove_domain(guest_on(THERE));
        MUST(xl(HERE, "migrate-resume g") == XL_EXIT_DONE);
    }
    else if ( status == XL_EXIT_UNKNOWN )
        MUST(recover(0) != XL_EXIT_UNKNOWN);
    else if ( status == XL_EXIT_FAILED && from && from->shutdown )
        MUST(xl(HERE, "migrate-resume g") == XL_EXIT_DONE);
}

static void assert_sane(void)
{
    int at = is_running(THERE) ? THERE : HERE;

    MUST(!atomic_load(&world->two_ran));
    MUST(!atomic_load(&world->lost_guest));
    MUST(is_running(at));
    MUST(!is_running(!at));
    MUST(at == HERE || is_whole_there());
    MUST(!strcmp(guest_on(at)->name, "g") || says("under the name") ||
         says("still called"));
    MUST(!guest_on(!at) || says("be removed") || says("cannot remove"));
    MUST(!atomic_load(&world->leaks));
}

static void assert_watched(void)
{
    int at = is_running(THERE) ? THERE : HERE;

    /* Whoever watched it left when it suspended; and who watches it now may
     * have libxl fail under it. */
    if ( !world->hosts[HERE].helper.suspended ||
         (order.what == LIBXL_CALL && order.host == at && world->refused[0]) )
        return;
    MUST(atomic_load(&world->hosts[at].watchers) || says("no process watches"));
}

/* True if the failure was met. */
static bool try_move(void)
{
    bool met;
    int status;

    reset_hosts();
    status = run_move();
    met = order.nth && atomic_load(&world->used) >= order.nth;
    assert_status(status);
    assert_says_why(status);
    MUST(met || status == XL_EXIT_DONE);
    put_right(status);
    assert_watched();
    wait_all();
    assert_sane();
    forget_files();
    return met;
}

/* What make check has no time for; and of that its sanitizers. */
static bool left_out(void)
{
    bool most = order.move != POSTCOPY || order.what == XENSTORE;

    if ( getenv("XP_WHOLE") )
        return false;
    return getenv("XP_BRIEF")
               ? most || order.for_good
               : most && (order.what != LIBXL_CALL || order.for_good);
}

START_TEST(every_answer_fails)
{
    unsigned int i = (unsigned int)_i;

    order.move = (enum move)(i / (NR_WHATS * 4));
    order.what = (enum what)(i / 4 % NR_WHATS);
    order.host = i / 2 % 2;
    order.for_good = i % 2;
    if ( left_out() )
        return;
    open_hosts();
    for ( order.nth = 1; try_move(); order.nth++ )
        ck_assert_msg(order.nth < 500, "%s: no end", told());
    close_hosts();
}
END_TEST

/* ---- What is asked besides ------------------------------------------------------ */

static void forget_words(int host)
{
    char file[100];

    snprintf(file, sizeof(file), "%s/said.%d", world->dir, host);
    ck_assert_int_eq(truncate(file, 0), 0);
}

/* Another guest has the name there: which is found before ours is touched. */
START_TEST(a_name_that_is_taken_is_found)
{
    const uint8_t another[16] = { 1 };

    order.move = POSTCOPY;
    order.what = LIBXL_CALL;
    order.host = THERE;
    open_hosts();
    for ( order.nth = 0; order.nth < 8; order.nth++ )
    {
        reset_hosts();
        set_pauses(add_domain(THERE, "g", another), 0);
        MUST(run_move() == XL_EXIT_FAILED);
        MUST(is_running(HERE) && !world->hosts[HERE].helper.suspended);
        MUST(!guest_on(THERE));
        MUST(says("which is another guest") || says(world->refused));
        wait_all();
        forget_files();
    }
    close_hosts();
}
END_TEST

static bool is_watched_by_one(void)
{
    return atomic_load(&world->hosts[HERE].watchers) == 1 &&
           atomic_load(&world->hosts[HERE].monitors) == 1;
}

/* Whoever watched it leaves as it suspends, sooner or later than the next one
 * comes. */
START_TEST(a_guest_that_comes_back_is_watched_by_one)
{
    order.move = POSTCOPY;
    order.what = LIBXL_LATE;
    order.host = THERE;
    open_hosts();
    reset_hosts();
    MUST(xl(HERE, "postcopy-monitor 7") == XL_EXIT_DONE);
    wait_until(is_watched_by_one);
    order.nth = 1;
    MUST(run_move() == XL_EXIT_FAILED);
    MUST(is_running(HERE) && world->hosts[HERE].helper.suspended);
    wait_until(is_watched_by_one);
    MUST(!says("no process watches"));
    wait_all();
    close_hosts();
}
END_TEST

/* -e, and its receiver is replaced. */
START_TEST(a_guest_that_nobody_is_to_watch_is_not_watched)
{
    order.move = TAKEN_NAMED;
    open_hosts();
    reset_hosts();
    world->plan = KILL_NAMED;
    MUST(xl(HERE, "migrate --postcopy=require --precopy-iterations 0 "
                  "--postcopy-bandwidth 0.1 --recovery-wait 0 -e g there") ==
         XL_EXIT_UNKNOWN);
    waiting = 0;
    MUST(recover(0) == XL_EXIT_DONE);
    MUST(is_running(THERE) && is_whole_there());
    MUST(!atomic_load(&world->hosts[THERE].watchers));
    MUST(!atomic_load(&world->hosts[THERE].monitors));
    wait_all();
    close_hosts();
}
END_TEST

/* A guest that is kept is there, whatever libxl can say. */
START_TEST(who_asks_how_far_it_is_hears_that_libxl_failed)
{
    order.move = TAKEN_EARLY;
    order.what = LIBXL_CALL;
    order.host = HERE;
    open_hosts();
    reset_hosts();
    world->plan = KILL_AT_OWNER;
    MUST(xl(HERE, "migrate --postcopy=require --precopy-iterations 0 "
                  "--recovery-wait 0 g there") == XL_EXIT_UNKNOWN);
    do
    {
        order.nth++;
        world->refused[0] = '\0';
        forget_words(HERE);
        arm(order.nth);
        MUST(xl(HERE, "migrate-status g") == XL_EXIT_FAILED);
        MUST(says("`xl migrate-recover` goes on") ||
             (world->refused[0] && says(world->refused)));
    } while ( world->refused[0] );
    MUST(order.nth > 3);
    wait_all();
    close_hosts();
}
END_TEST

/* Left by a receiver that was killed: removed, or somebody says why not. */
START_TEST(what_is_half_built_is_removed)
{
    uint8_t uuid[16];
    bool met;
    int status;

    order.move = POSTCOPY;
    order.what = LIBXL_CALL;
    order.host = THERE;
    order.for_good = _i;
    guest_uuid(uuid);
    open_hosts();
    do
    {
        order.nth++;
        reset_hosts();
        add_domain(THERE, "g--incoming", uuid);
        arm(order.nth);
        status = xl(THERE, "migrate-abort g");
        met = world->refused[0];
        if ( status == XL_EXIT_DONE )
            MUST(!guest_on(THERE));
        else
            MUST(status == XL_EXIT_FAILED && met && guest_on(THERE) &&
                 says(" has failed"));
        MUST(is_running(HERE) && !atomic_load(&world->leaks));
        wait_all();
        forget_files();
    } while ( met );
    MUST(status == XL_EXIT_DONE && order.nth > 4);
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
    s = suite_create("xl_xen_nth");
    tc = tcase_create("hosts");
    tcase_set_timeout(tc, 400);
    tcase_add_loop_test(tc, every_answer_fails, 0, NR_MOVES * NR_WHATS * 4);
    tcase_add_test(tc, a_name_that_is_taken_is_found);
    tcase_add_loop_test(tc, what_is_half_built_is_removed, 0, 2);
    tcase_add_test(tc, a_guest_that_comes_back_is_watched_by_one);
    tcase_add_test(tc, a_guest_that_nobody_is_to_watch_is_not_watched);
    tcase_add_test(tc, who_asks_how_far_it_is_hears_that_libxl_failed);
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

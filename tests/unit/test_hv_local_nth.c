/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_local_nth.c: a local guest is made, moved page by page through the
 * seam and destroyed, and a system call or an allocation fails: the first, the
 * second, and so on until all of it has passed without meeting the failure; in
 * this process, in the guest's at the source, in that at the destination.
 *
 * After each of them at most one guest runs, one of them is whole (the one
 * that was there before as long as the other has not all of it), and nothing
 * stays open.
 */
#include "faulty_calls.inc.c"
#include "hv_local.inc.c"

#include <limits.h>

#define BATCH 16u

enum side
{
    TOOL,
    SOURCE,
    DESTINATION,
};

/* What is to fail. */
static struct
{
    enum side side;
    unsigned int nth;
    bool for_good;
} order;

static struct faulty *here;  /* and of what it forks */
static struct faulty *there; /* mapped by a guest too */
static char there_path[PATH_MAX];

static struct world
{
    struct xc_sr_local_config config[2];
    struct xc_sr_hv *from, *to;
    struct xc_sr_pageset dirty;
    bool made[2];
    bool retained;
    bool started;
    bool complete;
    bool ending; /* destroyed, or as good as that */
} w;

/* ---- The move, as far as it goes ----------------------------------------------------------- */

static int make(enum side side)
{
    bool incoming = side == DESTINATION;
    int rc;

    if ( order.side == side )
        setenv("XP_FAULTY", there_path, 1);
    rc = xc_sr_local_create(dir, &w.config[incoming], incoming, &log_to);
    unsetenv("XP_FAULTY");
    w.made[incoming] = !rc;
    return rc;
}

static int open_both(void)
{
    uint32_t reason;
    char why[256];
    int rc = xc_sr_hv_open_local(dir, w.config[0].name, XC_SR_HV_SOURCE,
                                 &log_to, &w.from);

    if ( !rc )
        rc = xc_sr_hv_open_local(dir, w.config[1].name, XC_SR_HV_DESTINATION,
                                 &log_to, &w.to);
    if ( !rc )
        rc = xc_sr__hv_paging_probe(w.to, &reason, why, sizeof(why));
    if ( !rc )
        rc = xc_sr__hv_paging_reserve(w.to);
    if ( !rc )
        rc = xc_sr__hv_paging_on(w.to);
    if ( !rc )
        rc = xc_sr__hv_dirty_on(w.from);
    return rc;
}

/* One page of the source to the destination, one way or the other. */
static int copy_one(uint64_t pfn, bool in)
{
    const void *page;
    int err = 0, rc = xc_sr__hv_map(w.from, &pfn, 1, &page, &err);

    if ( rc || err )
        return rc ? rc : err;
    rc = in ? xc_sr__hv_page_in(w.to, &pfn, 1, page, &err)
            : xc_sr__hv_write_pages(w.to, &pfn, 1, page, &err);
    xc_sr__hv_unmap(w.from, &pfn, 1, &page);
    return rc ? rc : err == -EEXIST ? 0 : err;
}

static int precopy(void)
{
    uint64_t count, pfns[BATCH];
    int errs[BATCH], rc = 0;

    for ( uint64_t pfn = 0; !rc && pfn < 2 * BATCH; pfn++ )
        rc = copy_one(pfn, false);
    if ( !rc )
        rc = xc_sr__hv_dirty_fetch(w.from, XC_SR_HV_FETCH_CLEAN, &w.dirty,
                                   &count);
    for ( unsigned int i = 0; i < BATCH; i++ )
        pfns[i] = i;
    if ( !rc )
        rc = xc_sr__hv_page_out(w.to, pfns, BATCH, errs);
    for ( unsigned int i = 0; !rc && i < BATCH; i++ )
        rc = errs[i];
    return rc;
}

static int stop_source(void)
{
    enum xc_sr_hv_suspend state = XC_SR_HV_SUSPEND_ASKED;
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US, count;
    int rc = xc_sr__hv_suspend_start(w.from);

    /* libcheck's own allocations would fail as well. */
    while ( !rc && state != XC_SR_HV_SUSPENDED )
        rc = xc_sr__now_us() < deadline_us
                 ? xc_sr__hv_suspend_poll(w.from, 100000, &state)
                 : -ETIMEDOUT;
    if ( !rc )
        rc = xc_sr__hv_dirty_fetch(w.from, XC_SR_HV_FETCH_FINAL, &w.dirty,
                                   &count);
    return rc;
}

/* What was written since is out of date there: it goes once more. */
static int put_stale(void)
{
    uint64_t pfn = xc_sr__pageset_next(&w.dirty, 0);
    int rc = 0;

    for ( ; !rc && pfn < w.dirty.nr_pfns;
          pfn = xc_sr__pageset_next(&w.dirty, pfn + 1) )
    {
        bool missing = true;

        rc = xc_sr__hv_is_missing(w.to, &pfn, 1, &missing);
        if ( !rc && (!missing || pfn >= info_pfn(w.from)) )
            rc = copy_one(pfn, false);
    }
    return rc;
}

static int put_state(void)
{
    static const enum xc_sr_hv_state all[] = { XC_SR_HV_STATE_TSC,
                                               XC_SR_HV_STATE_HVM_CONTEXT,
                                               XC_SR_HV_STATE_HVM_PARAMS };
    int rc = 0;

    for ( size_t i = 0; !rc && i < XC_SR_ARRAY_SIZE(all); i++ )
    {
        struct xc_sr_hv_blob blob = { 0 };

        rc = xc_sr__hv_state_get(w.from, all[i], &blob);
        if ( !rc )
            rc = xc_sr__hv_state_put(w.to, all[i], blob.data, blob.len);
        free(blob.data);
    }
    return rc;
}

static int pull(void)
{
    struct xc_sr_hv_fault faults[BATCH];
    unsigned int nr = 0;
    int rc = xc_sr__hv_next_faults(w.to, faults, BATCH, &nr);

    for ( unsigned int i = 0; !rc && i < nr; i++ )
        rc = copy_one(faults[i].pfn, true);
    return rc ? rc : xc_sr__hv_fault_done(w.to, faults, nr);
}

static int push(void)
{
    int rc = 0;

    for ( uint64_t pfn = 0; !rc && pfn < w.from->info.nr_pfns; pfn++ )
    {
        bool missing = false;

        if ( pfn % BATCH == 0 )
            rc = pull();
        if ( !rc )
            rc = xc_sr__hv_is_missing(w.to, &pfn, 1, &missing);
        if ( !rc && missing )
            rc = copy_one(pfn, true);
    }
    return rc ? rc : pull();
}

static int move(void)
{
    int rc = make(SOURCE);

    if ( !rc )
        rc = make(DESTINATION);
    if ( !rc )
        rc = open_both();
    if ( !rc )
        rc = precopy();
    if ( !rc )
        rc = stop_source();
    if ( !rc )
        rc = put_stale();
    if ( !rc )
        rc = put_state();
    if ( !rc )
        rc = xc_sr__hv_retain(w.from);
    w.retained = w.from && !rc;
    if ( !rc )
        rc = xc_sr__hv_unpause(w.to, false);
    w.started = w.retained && !rc;
    if ( !rc )
        rc = push();
    if ( !rc )
        rc = xc_sr__hv_paging_off(w.to);
    w.complete = w.started && !rc;
    return rc;
}

/* What an administrator asks. */
static int administer(void)
{
    const char *name = w.config[0].name;
    struct xc_sr_local_check check;
    struct xc_sr_local_info *infos = NULL, info;
    size_t nr;
    int rc = make(SOURCE);

    if ( !rc )
        rc = xc_sr_local_pause(dir, name, &log_to);
    if ( !rc )
        rc = xc_sr_local_check(dir, name, &log_to, &check);
    if ( !rc )
        rc = xc_sr_local_unpause(dir, name, &log_to);
    if ( !rc )
        rc = xc_sr_local_list(dir, &log_to, &infos, &nr);
    free(infos);
    if ( !rc )
        rc = xc_sr_local_wait(dir, name, XC_SR_LOCAL_RUNNING, PATIENCE_US,
                              &log_to, &info);
    if ( !rc )
        rc = xc_sr_local_rename(dir, name, w.config[1].name, &log_to);
    w.ending = !rc;
    return rc ? rc : xc_sr_local_destroy(dir, w.config[1].name, &log_to);
}

/* ---- What is left of it ---------------------------------------------------------------------- */

static bool is_there(unsigned int i, struct xc_sr_local_info *info_r)
{
    return !xc_sr_local_info_get(dir, w.config[i].name, NULL, info_r);
}

static bool runs(unsigned int i)
{
    struct xc_sr_local_info info;

    return is_there(i, &info) && info.state == XC_SR_LOCAL_RUNNING;
}

static void assert_whole(unsigned int i)
{
    struct xc_sr_local_info info;

    ck_assert_msg(!xc_sr_local_wait(dir, w.config[i].name, XC_SR_LOCAL_RUNNING,
                                    PATIENCE_US, &log_to, &info),
                  "%s, call %u: %s", there->name[0] ? there->name : here->name,
                  order.nth, last_error);
    assert_well(w.config[i].name);
}

static void forget(unsigned int i)
{
    int rc = xc_sr_local_destroy(dir, w.config[i].name, &log_to);

    ck_assert_msg(!rc || rc == -ENOENT, "%s", last_error);
}

/* The destination has not all of it, or never had: the source goes on. */
static void assert_source_goes_on(void)
{
    struct xc_sr_local_info info;

    /* One that was never opened waits for a minute. */
    if ( w.made[1] )
        forget(1);
    if ( w.made[0] && is_there(0, &info) && info.retained )
        ck_assert_int_eq(xc_sr_local_resume(dir, w.config[0].name, &log_to), 0);
    if ( w.made[0] )
        assert_whole(0);
}

static void judge_move(int rc)
{
    ck_assert_msg(!(runs(0) && runs(1)), "two of them run");
    if ( w.complete )
        assert_whole(1);
    else
    {
        ck_assert_int_lt(rc, 0);
        assert_source_goes_on();
    }
}

/* Whole under one of its names; which, may be decided a moment later. */
static void assert_somewhere(void)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    struct xc_sr_local_check check;

    for ( unsigned int i = 0;; i = !i )
    {
        ck_assert_msg(xc_sr__now_us() < deadline_us, "%s, call %u: %s",
                      here->name, order.nth, last_error);
        if ( !xc_sr_local_unpause(dir, w.config[i].name, &log_to) &&
             !xc_sr_local_check(dir, w.config[i].name, &log_to, &check) )
            break;
    }
    ck_assert(xc_sr_local_check_ok(&check));
}

static void judge_administration(int rc)
{
    struct xc_sr_local_info info;

    ck_assert_int_le(rc, 0);
    if ( !rc )
        ck_assert(!is_there(0, &info) && !is_there(1, &info));
    else if ( w.made[0] && !w.ending )
        assert_somewhere();
}

/* Whoever says that there is none has left none. */
static void assert_none_was_left(void)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    struct xc_sr_local_info info;

    for ( unsigned int i = 0; i < 2; i++ )
        while ( !w.made[i] && xc_sr_local_info_get(dir, w.config[i].name, NULL,
                                                   &info) != -ENOENT )
            ck_assert_msg(xc_sr__now_us() < deadline_us,
                          "%s, call %u: it is there",
                          there->name[0] ? there->name : here->name, order.nth);
}

/* ---- The matrix --------------------------------------------------------------------------------- */

static void begin(unsigned int run)
{
    memset(&w, 0, sizeof(w));
    memset(here, 0, sizeof(*here));
    memset(there, 0, sizeof(*there));
    last_error[0] = '\0';
    for ( unsigned int i = 0; i < 2; i++ )
    {
        w.config[i] = config_of("", 1);
        snprintf(w.config[i].name, sizeof(w.config[i].name), "%s%u",
                 i ? "there" : "here", run);
        w.config[i].memory_kib = XC_SR_LOCAL_MIN_MEMORY_KIB;
        w.config[i].rate_ops_per_s = 5000;
    }
    ck_assert_int_eq(
        xc_sr__pageset_init(&w.dirty, XC_SR_LOCAL_MIN_MEMORY_KIB / 4), 0);
    *(order.side == TOOL ? here : there) =
        (struct faulty){ .fail_at = order.nth, .for_good = order.for_good };
}

/* True if the failure was met. */
static bool try_once(int (*act)(void), void (*judge)(int rc))
{
    unsigned int before = open_fds(getpid()), calls;
    int rc;

    begin(order.nth);
    faulty = order.side == TOOL ? here : NULL;
    rc = act();
    faulty = NULL;
    calls = atomic_load(&here->calls) + atomic_load(&there->calls);
    there->fail_at = 0;
    xc_sr_hv_close(w.from);
    xc_sr_hv_close(w.to);
    ck_assert_msg(open_fds(getpid()) == before, "%s, call %u: left open",
                  here->name, order.nth);
    judge(rc);
    if ( act != administer )
        assert_none_was_left();
    forget(0);
    forget(1);
    xc_sr__pageset_dispose(&w.dirty);
    if ( calls < order.nth )
        ck_assert_int_eq(rc, 0);
    return calls >= order.nth;
}

static struct faulty *map_faulty(int fd)
{
    void *p = mmap(NULL, sizeof(struct faulty), PROT_READ | PROT_WRITE,
                   MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

static void map_both(void)
{
    char self[PATH_MAX - 16];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char program[PATH_MAX];
    int fd;

    ck_assert_int_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(program, sizeof(program), "%s/faulty_guest", self);
    setenv("XEN_POSTCOPY_GUEST", program, 1);
    snprintf(there_path, sizeof(there_path), "%s/faulty", dir);
    fd = open(there_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(ftruncate(fd, sizeof(*there)), 0);
    there = map_faulty(fd);
    here = map_faulty(-1);
    close(fd);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static void every_call_fails(enum side side, bool for_good, int (*act)(void),
                             void (*judge)(int rc))
{
    /* A guest takes its time to start, a sanitized one seven times that. */
    unsigned int step = getenv("XP_BRIEF")                 ? 7
                        : getenv("XP_WHOLE") && !sanitized ? 1
                                                           : 3;

    map_both();
    order.side = side;
    order.for_good = for_good;
    for ( order.nth = 1; try_once(act, judge); order.nth += step )
        ck_assert_uint_lt(order.nth, 5000);
    ck_assert_uint_gt(order.nth, 20);
    munmap(here, sizeof(*here));
    munmap(there, sizeof(*there));
}

static int make_one(void)
{
    return make(SOURCE);
}

static void judge_making(int rc)
{
    ck_assert_int_le(rc, 0);
    if ( !rc )
        assert_well(w.config[0].name);
}

/* Each of them, be it after the guest has said that it is ready. */
static void each_call_of_the_maker_fails(bool for_good)
{
    map_both();
    order.side = TOOL;
    order.for_good = for_good;
    for ( order.nth = 1; try_once(make_one, judge_making); order.nth++ )
        ck_assert_uint_lt(order.nth, 100);
    ck_assert_uint_gt(order.nth, 4);
    munmap(here, sizeof(*here));
    munmap(there, sizeof(*there));
}

START_TEST(a_call_of_whoever_makes_it_fails)
{
    each_call_of_the_maker_fails(false);
}
END_TEST

START_TEST(all_calls_of_whoever_makes_it_fail_from_then_on)
{
    each_call_of_the_maker_fails(true);
}
END_TEST

START_TEST(a_call_of_a_move_fails)
{
    every_call_fails(TOOL, false, move, judge_move);
}
END_TEST

START_TEST(all_calls_of_a_move_fail_from_then_on)
{
    every_call_fails(TOOL, true, move, judge_move);
}
END_TEST

START_TEST(a_call_of_the_guest_that_leaves_fails)
{
    every_call_fails(SOURCE, false, move, judge_move);
}
END_TEST

START_TEST(a_call_of_the_guest_that_arrives_fails)
{
    every_call_fails(DESTINATION, false, move, judge_move);
}
END_TEST

START_TEST(a_call_of_the_administrators_fails)
{
    every_call_fails(TOOL, false, administer, judge_administration);
}
END_TEST

START_TEST(all_calls_of_the_administrators_fail_from_then_on)
{
    every_call_fails(TOOL, true, administer, judge_administration);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_call_of_whoever_makes_it_fails,
        all_calls_of_whoever_makes_it_fail_from_then_on,
        a_call_of_a_move_fails,
        all_calls_of_a_move_fail_from_then_on,
        a_call_of_the_guest_that_leaves_fails,
        a_call_of_the_guest_that_arrives_fails,
        a_call_of_the_administrators_fails,
        all_calls_of_the_administrators_fail_from_then_on,
    };

    return run_tests("hv_local_nth", tests, XC_SR_ARRAY_SIZE(tests), false);
}

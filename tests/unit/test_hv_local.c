/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_local.c: the local backend at the source: dirty log, suspend and
 * resume, and what becomes of a guest whose migration ends early.
 */
#include "hv_local.inc.c"

/* ---- Dirty log ------------------------------------------------------------------- */

/* A guest that walks its memory dirties pages [first, first + n), modulo. */
static void assert_walked(const struct xc_sr_pageset *set, uint64_t first,
                          uint64_t nr, uint64_t work_pages)
{
    uint64_t expected = nr < work_pages ? nr : work_pages;

    ck_assert_uint_eq(set->count, expected);
    for ( uint64_t i = 0; i < expected; i++ )
        ck_assert(xc_sr__pageset_has(set, (first + i) % work_pages));
}

static void dirty_log(bool sync)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_pageset set = { 0 };
    uint64_t before, after, count, work_pages;
    struct xc_sr_hv *hv;

    config.workload = XC_SR_LOCAL_SEQ;
    config.rate_ops_per_s = 2000;
    config.sync_dirty_log = sync;
    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert(hv->info.caps & XC_SR_HV_CAP_DIRTY);
    work_pages = info_pfn(hv);
    ck_assert_int_eq(xc_sr__pageset_init(&set, hv->info.nr_pfns), 0);

    ck_assert_int_eq(xc_sr_local_pause(dir, "g", NULL), 0);
    before = look("g").ops; /* and it has stopped */
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    ck_assert_int_eq(xc_sr_local_unpause(dir, "g", NULL), 0);
    wait_ops("g", before + 50);
    ck_assert_int_eq(xc_sr_local_pause(dir, "g", NULL), 0);
    after = look("g").ops;

    for ( int round = 0; round < 2; round++ )
    {
        xc_sr__pageset_clear(&set);
        ck_assert_int_eq(xc_sr__hv_dirty_fetch(hv,
                                               round ? XC_SR_HV_FETCH_CLEAN
                                                     : XC_SR_HV_FETCH_PEEK,
                                               &set, &count),
                         0);
        ck_assert_uint_eq(count, set.count);
        assert_walked(&set, before, after - before, work_pages);
    }
    xc_sr__pageset_clear(&set);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &set, &count), 0);
    ck_assert_uint_eq(count, 0);

    ck_assert_int_eq(xc_sr_local_unpause(dir, "g", NULL), 0);
    wait_ops("g", after + 10);
    ck_assert_int_eq(xc_sr_local_pause(dir, "g", NULL), 0);
    before = look("g").ops;
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &set, &count), 0);
    assert_walked(&set, after, before - after, work_pages);

    ck_assert_int_eq(xc_sr__hv_dirty_off(hv), 0);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &set, &count), -EINVAL);
    xc_sr__pageset_dispose(&set);
    xc_sr_hv_close(hv);
    ck_assert(!holds_userfaultfd(look("g").info.pid));
    assert_well("g");
}

START_TEST(dirty_log_finds_what_was_written)
{
    dirty_log(false);
}
END_TEST

START_TEST(dirty_log_of_old_kernels_finds_the_same)
{
    dirty_log(true);
}
END_TEST

/*
 * A copy that is kept up by the dirty log alone, of a guest that writes as
 * fast as it can, is the guest's memory once it is suspended.
 */
static void copy_set(struct xc_sr_hv *hv, struct xc_sr_pageset *set,
                     uint8_t *copy)
{
    const void *page;
    int err;

    for ( uint64_t pfn = 0;
          (pfn = xc_sr__pageset_next(set, pfn)) < set->nr_pfns; pfn++ )
    {
        ck_assert_int_eq(xc_sr__hv_map(hv, &pfn, 1, &page, &err), 0);
        memcpy(copy + pfn * XC_SR_PAGE_SIZE, page, XC_SR_PAGE_SIZE);
        xc_sr__hv_unmap(hv, &pfn, 1, &page);
    }
    xc_sr__pageset_clear(set);
}

static void fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                  struct xc_sr_pageset *set)
{
    uint64_t count;

    ck_assert_int_eq(xc_sr__hv_dirty_fetch(hv, how, set, &count), 0);
}

static void suspend_logged(struct xc_sr_hv *hv, struct xc_sr_pageset *set)
{
    enum xc_sr_hv_suspend state = XC_SR_HV_SUSPEND_ASKED;
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;

    ck_assert_int_eq(xc_sr__hv_suspend_start(hv), 0);
    while ( state != XC_SR_HV_SUSPENDED )
    {
        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        ck_assert_int_eq(xc_sr__hv_suspend_poll(hv, 2000, &state), 0);
        if ( state != XC_SR_HV_SUSPENDED )
            fetch(hv, XC_SR_HV_FETCH_CLEAN, set);
    }
    fetch(hv, XC_SR_HV_FETCH_FINAL, set);
}

START_TEST(no_write_escapes_the_dirty_log)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_pageset set = { 0 };
    struct xc_sr_hv *hv;
    const void *page;
    uint8_t *copy;
    int err;

    config.memory_kib = 64 << 10;
    config.workload = XC_SR_LOCAL_RANDOM;
    create(&config, false);
    copy = malloc(config.memory_kib << 10);
    ck_assert_ptr_nonnull(copy);
    for ( int run = 0; run < 10; run++ )
    {
        hv = open_hv("g", XC_SR_HV_SOURCE);
        ck_assert_int_eq(xc_sr__pageset_init(&set, hv->info.nr_pfns), 0);
        ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
        xc_sr__pageset_fill(&set);
        for ( int round = 0; round < 4; round++ )
        {
            copy_set(hv, &set, copy);
            fetch(hv, XC_SR_HV_FETCH_CLEAN, &set);
        }
        suspend_logged(hv, &set);
        copy_set(hv, &set, copy);
        for ( uint64_t pfn = 0; pfn < hv->info.nr_pfns; pfn++ )
        {
            ck_assert_int_eq(xc_sr__hv_map(hv, &pfn, 1, &page, &err), 0);
            ck_assert_msg(
                !memcmp(copy + pfn * XC_SR_PAGE_SIZE, page, XC_SR_PAGE_SIZE),
                "run %d: pfn %" PRIu64 " is stale", run, pfn);
        }
        xc_sr__pageset_dispose(&set);
        xc_sr_hv_close(hv);
        wait_for("g", XC_SR_LOCAL_RUNNING);
    }
    free(copy);
}
END_TEST

/* Only vcpu_info is written between frozen and suspended. */
static void resume_set(bool sync)
{
    struct xc_sr_local_config config = config_of("g", 3);
    enum xc_sr_hv_suspend state = XC_SR_HV_SUSPEND_ASKED;
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US, count;
    struct xc_sr_pageset set = { 0 };
    struct xc_sr_hv *hv;

    config.sync_dirty_log = sync;
    config.suspend_delay_us = 2000;
    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert_int_eq(xc_sr__pageset_init(&set, hv->info.nr_pfns), 0);
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    ck_assert_int_eq(xc_sr__hv_suspend_start(hv), 0);
    while ( state != XC_SR_HV_SUSPENDED )
    {
        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        ck_assert_int_eq(xc_sr__hv_suspend_poll(hv, 100000, &state), 0);
        if ( state == XC_SR_HV_SUSPEND_SEEN )
            ck_assert_int_eq(
                xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_CLEAN, &set, &count),
                0);
    }
    xc_sr__pageset_clear(&set);
    ck_assert_int_eq(
        xc_sr__hv_dirty_fetch(hv, XC_SR_HV_FETCH_FINAL, &set, &count), 0);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(xc_sr__pageset_next(&set, 0), info_pfn(hv));
    xc_sr__pageset_dispose(&set);
    xc_sr_hv_close(hv);
    wait_for("g", XC_SR_LOCAL_RUNNING);
    assert_well("g");
}

START_TEST(the_resume_set_is_vcpu_info)
{
    resume_set(false);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "g", NULL), 0);
    resume_set(true);
}
END_TEST

/* ---- Suspend, resume, the handle ---------------------------------------------------- */

START_TEST(suspended_it_stands_still_and_resumes)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct xc_sr_hv *hv;
    uint64_t ops;

    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    for ( int round = 0; round < 3; round++ )
    {
        suspend(hv);
        wait_for("g", XC_SR_LOCAL_SUSPENDED);
        ops = look("g").ops;
        ck_assert_uint_eq(look("g").ops, ops);
        ck_assert_int_eq(xc_sr__hv_resume(hv), 0);
        wait_ops("g", ops);
    }
    xc_sr_hv_close(hv);
    assert_well("g");
}
END_TEST

START_TEST(a_paused_guest_suspends_and_stays_paused)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct xc_sr_hv *hv;

    create(&config, false);
    ck_assert_int_eq(xc_sr_local_pause(dir, "g", NULL), 0);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert(hv->info.paused);
    suspend(hv);
    ck_assert_int_eq(xc_sr__hv_resume(hv), 0);
    wait_for("g", XC_SR_LOCAL_PAUSED);
    xc_sr_hv_close(hv);
}
END_TEST

START_TEST(an_idle_and_a_slow_guest_suspend_at_once)
{
    struct xc_sr_local_config config = config_of("idle", 2);
    struct xc_sr_hv *hv;

    config.workload = XC_SR_LOCAL_IDLE;
    create(&config, false);
    hv = open_hv("idle", XC_SR_HV_SOURCE);
    suspend(hv);
    xc_sr_hv_close(hv);

    config = config_of("slow", 2);
    config.rate_ops_per_s = 1;
    create(&config, false);
    hv = open_hv("slow", XC_SR_HV_SOURCE);
    suspend(hv);
    xc_sr_hv_close(hv);
    wait_for("slow", XC_SR_LOCAL_RUNNING);
}
END_TEST

START_TEST(a_handle_lost_before_retain_resumes)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct xc_sr_hv *hv;
    uint64_t ops;

    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert_int_eq(xc_sr__hv_dirty_on(hv), 0);
    suspend(hv);
    ops = look("g").ops;
    xc_sr_hv_close(hv);
    wait_ops("g", ops);
    ck_assert(!holds_userfaultfd(look("g").info.pid));
    assert_well("g");
}
END_TEST

START_TEST(a_handle_lost_after_retain_does_not)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct xc_sr_local_info info;
    struct xc_sr_hv *hv;
    uint64_t ops;

    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert_int_eq(xc_sr__hv_retain(hv), -EBUSY); /* it still runs */
    suspend(hv);
    ck_assert_int_eq(xc_sr__hv_retain(hv), 0);
    ops = look("g").ops;
    xc_sr_hv_close(hv);
    do
        ck_assert_int_eq(xc_sr_local_info_get(dir, "g", NULL, &info), 0);
    while ( info.migrating );
    ck_assert_int_eq(info.state, XC_SR_LOCAL_SUSPENDED);
    ck_assert(info.retained);
    ck_assert_uint_eq(look("g").ops, ops);

    ck_assert_int_eq(xc_sr_local_resume(dir, "g", NULL), 0);
    wait_ops("g", ops);
    assert_well("g");
}
END_TEST

START_TEST(one_migration_at_a_time)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_hv *hv, *other = NULL;

    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert_int_eq(
        xc_sr_hv_open_local(dir, "g", XC_SR_HV_SOURCE, NULL, &other), -EBUSY);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(
        xc_sr_hv_open_local(dir, "g", XC_SR_HV_DESTINATION, NULL, &other),
        -EBUSY);
    ck_assert_int_eq(
        xc_sr_hv_open_local(dir, "nobody", XC_SR_HV_SOURCE, NULL, &other),
        -ENOENT);
    xc_sr_hv_close(hv);
}
END_TEST

START_TEST(an_incoming_guest_dies_with_its_handle)
{
    struct xc_sr_local_config config = config_of("g", 1);

    create(&config, true);
    wait_for("g", XC_SR_LOCAL_INCOMING);
    xc_sr_hv_close(open_hv("g", XC_SR_HV_DESTINATION));
    wait_gone("g");
}
END_TEST

START_TEST(a_destroyed_guest_is_gone)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);
    uint64_t pfn = 0;
    bool gone = true;
    int err, rc;

    ck_assert_int_eq(xc_sr__hv_is_gone(p.to, &gone), 0);
    ck_assert(!gone);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "there", NULL), 0);
    ck_assert_int_eq(xc_sr__hv_is_gone(p.to, &gone), 0);
    ck_assert(gone);
    /* In place nobody needs its process any more. */
    rc = xc_sr__hv_page_in(p.to, &pfn, 1, NULL, &err);
    ck_assert(rc == -ESRCH || (!rc && xc_sr__local_of(p.to)->place));
    close_pair(&p);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        dirty_log_finds_what_was_written,
        dirty_log_of_old_kernels_finds_the_same,
        no_write_escapes_the_dirty_log,
        the_resume_set_is_vcpu_info,
        suspended_it_stands_still_and_resumes,
        a_paused_guest_suspends_and_stays_paused,
        an_idle_and_a_slow_guest_suspend_at_once,
        a_handle_lost_before_retain_resumes,
        a_handle_lost_after_retain_does_not,
        one_migration_at_a_time,
        an_incoming_guest_dies_with_its_handle,
        a_destroyed_guest_is_gone,
    };

    return run_tests("hv_local", tests, XC_SR_ARRAY_SIZE(tests), false);
}

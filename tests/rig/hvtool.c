/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hvtool.c: drives the Xen backend alone, in the rig's dom0, on a guest that
 * stock xl has started: no stream, no second host.
 *
 *   hvtool check [DOMID]       what stands in the way of post-copy
 *   hvtool page DOMID MS       pages everything out that can be, lets the guest
 *                              run for MS ms on what it touches, loads the
 *                              rest while it runs, takes paging down
 *   hvtool takeover DOMID MS   the same, and the process that began it dies in
 *                              the middle: another one takes its place
 *   hvtool cost DOMID PAGES    what one page costs to page out and in, one
 *                              call each and in batches, the guest paused
 *
 * A tool of the tests: it looks behind the seam to say that the pages of its
 * guest are populated, which the backend has not done here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tools/libxc/xc_sr_hv_xen.h"
#include "../../tools/libxc/xc_sr_stream.h"

struct tool
{
    struct xc_sr_hv *src;
    struct xc_sr_hv *dst;
    struct xen *x; /* of dst */
    uint8_t *contents;
    uint64_t *pfns; /* of pages that have contents */
    uint32_t *slot; /* by pfn */
    struct xc_sr_pageset all;
    struct xc_sr_pageset hot; /* what the guest and Xen write all the time */
    uint64_t nr;
    uint64_t faults;
    uint64_t foreign;
    uint64_t drops;
};

static void write_line(void *ctx, enum xc_sr_log_level level, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s%s\n", level == XC_SR_LOG_ERROR ? "error: " : "", line);
}

static const struct xc_sr_log stderr_log = { .write = write_line,
                                             .max_level = XC_SR_LOG_INFO };

static int no_suspend(void *ctx)
{
    (void)ctx;
    return -EOPNOTSUPP;
}

static int no_poll(void *ctx, uint64_t timeout_us, bool *suspended_r)
{
    (void)ctx;
    (void)timeout_us;
    (void)suspended_r;
    return -EOPNOTSUPP;
}

static int fail(const char *what, int rc)
{
    fprintf(stderr, "hvtool: %s: %s\n", what, strerror(-rc));
    return rc;
}

/* ---- Contents, read through the source's side ------------------------------------ */

static int find_pages(struct tool *t)
{
    uint64_t nr_pfns = t->src->info.nr_pfns;
    uint64_t pfns[XC_SR_HV_BATCH];
    uint32_t types[XC_SR_HV_BATCH];
    unsigned int n = 0;
    int rc = 0;

    t->pfns = calloc(nr_pfns, sizeof(*t->pfns));
    t->slot = calloc(nr_pfns, sizeof(*t->slot));
    if ( !t->pfns || !t->slot || xc_sr__pageset_init(&t->all, nr_pfns) )
        return -ENOMEM;
    for ( uint64_t pfn = 0; !rc && pfn < nr_pfns; pfn++ )
    {
        pfns[n++] = pfn;
        if ( n < XC_SR_HV_BATCH && pfn + 1 < nr_pfns )
            continue;
        rc = xc_sr__hv_page_types(t->src, pfns, n, types);
        for ( unsigned int i = 0; !rc && i < n; i++ )
        {
            if ( !xc_sr__ptype_has_data(types[i]) )
                continue;
            t->slot[pfns[i]] = (uint32_t)t->nr;
            t->pfns[t->nr++] = pfns[i];
            xc_sr__pageset_add(&t->all, pfns[i]);
        }
        n = 0;
    }
    return rc;
}

static int read_pages(struct tool *t)
{
    const void *pages[XC_SR_HV_BATCH];
    int errs[XC_SR_HV_BATCH];
    int rc = 0;

    t->contents = malloc(t->nr * XC_SR_PAGE_SIZE);
    if ( !t->contents )
        return -ENOMEM;
    for ( uint64_t at = 0; !rc && at < t->nr; at += 64 )
    {
        unsigned int n = t->nr - at < 64 ? (unsigned int)(t->nr - at) : 64;

        xc_sr__hv_look_ahead(t->src, &t->all, t->pfns[at]);
        rc = xc_sr__hv_map(t->src, t->pfns + at, n, pages, errs);
        for ( unsigned int i = 0; !rc && i < n; i++ )
        {
            rc = errs[i];
            if ( !rc )
                memcpy(t->contents + (at + i) * XC_SR_PAGE_SIZE, pages[i],
                       XC_SR_PAGE_SIZE);
        }
        xc_sr__hv_unmap(t->src, t->pfns + at, n, pages);
    }
    return rc;
}

static int open_destination(struct tool *t, uint32_t domid, bool take_over)
{
    const struct xc_sr_xen_destination_params params = { .take_over =
                                                             take_over };
    int rc =
        xc_sr_hv_open_xen_destination(domid, &params, &stderr_log, &t->dst);

    if ( !rc )
        t->x = xc_sr__xen_of(t->dst);
    return rc;
}

static int open_both(struct tool *t, uint32_t domid)
{
    const struct xc_sr_xen_source_hooks hooks = {
        .suspend_start = no_suspend,
        .suspend_poll = no_poll,
        .resume = no_suspend,
    };
    int rc = xc_sr_hv_open_xen_source(domid, &hooks, &stderr_log, &t->src);

    return rc ? rc : open_destination(t, domid, false);
}

static void close_both(struct tool *t)
{
    xc_sr_hv_close(t->src);
    xc_sr_hv_close(t->dst);
    xc_sr__pageset_dispose(&t->all);
    xc_sr__pageset_dispose(&t->hot);
    free(t->contents);
    free(t->pfns);
    free(t->slot);
}

static int paging_on(struct tool *t)
{
    uint32_t reason = 0;
    char why[256] = "";
    int rc = xc_sr__hv_paging_probe(t->dst, &reason, why, sizeof(why));

    if ( rc )
    {
        printf("refused reason=%s why=%s\n", xc_sr_reason_name(reason), why);
        return rc;
    }
    return xc_sr__hv_paging_on(t->dst);
}

/*
 * What a migration's resume set has: pages that Xen itself writes when it
 * switches to a vCPU must not be out.  With the ring full it would wait for a
 * slot while it is on its way out of such a wait, and kills the guest then.
 */
static int find_hot(struct tool *t)
{
    uint64_t count = 0;
    int rc = xc_sr__pageset_init(&t->hot, t->src->info.nr_pfns);

    if ( !rc )
        rc = xc_sr__hv_dirty_on(t->src);
    if ( rc )
        return rc;
    /* The first look is at everything that was written before. */
    rc = xc_sr__hv_dirty_fetch(t->src, XC_SR_HV_FETCH_CLEAN, &t->hot, &count);
    xc_sr__pageset_clear(&t->hot);
    (void)poll(NULL, 0, 300);
    if ( !rc )
        rc = xc_sr__hv_pause(t->dst);
    if ( !rc )
        rc = xc_sr__hv_dirty_fetch(t->src, XC_SR_HV_FETCH_FINAL, &t->hot,
                                   &count);
    if ( !rc )
        rc = xc_sr__hv_dirty_off(t->src);
    return rc;
}

/* Of t->pfns, those that may be paged out. */
static uint64_t drop_hot(struct tool *t)
{
    uint64_t kept = 0, dropped = 0;

    for ( uint64_t i = 0; i < t->nr; i++ )
    {
        if ( xc_sr__pageset_has(&t->hot, t->pfns[i]) )
        {
            dropped++;
            continue;
        }
        memmove(t->contents + kept * XC_SR_PAGE_SIZE,
                t->contents + i * XC_SR_PAGE_SIZE, XC_SR_PAGE_SIZE);
        t->pfns[kept] = t->pfns[i];
        t->slot[t->pfns[i]] = (uint32_t)kept++;
    }
    t->nr = kept;
    return dropped;
}

/* ---- page -------------------------------------------------------------------------- */

static int out_all(struct tool *t, uint64_t *busy_r)
{
    int errs[XC_SR_HV_BATCH];
    uint64_t busy = 0;
    int rc = 0;

    for ( uint64_t i = 0; i < t->nr; i++ )
        xc_sr__pageset_add(&t->x->populated, t->pfns[i]);
    for ( uint64_t at = 0; !rc && at < t->nr; at += XC_SR_HV_BATCH )
    {
        unsigned int n = t->nr - at < XC_SR_HV_BATCH
                             ? (unsigned int)(t->nr - at)
                             : XC_SR_HV_BATCH;

        rc = xc_sr__hv_page_out(t->dst, t->pfns + at, n, errs);
        for ( unsigned int i = 0; !rc && i < n; i++ )
        {
            busy += errs[i] == -EBUSY;
            if ( errs[i] && errs[i] != -EBUSY )
                rc = errs[i];
        }
    }
    *busy_r = busy;
    return rc;
}

static int in_one(struct tool *t, uint64_t pfn)
{
    int err = 0;
    int rc = xc_sr__hv_page_in(
        t->dst, &pfn, 1, t->contents + (size_t)t->slot[pfn] * XC_SR_PAGE_SIZE,
        &err);

    if ( !rc && err && err != -EEXIST && err != -ENOENT )
        rc = err;
    return rc;
}

static int serve(struct tool *t)
{
    struct xc_sr_hv_fault faults[16];
    unsigned int nr = 0;
    int rc = xc_sr__hv_next_faults(t->dst, faults, 16, &nr);

    for ( unsigned int i = 0; !rc && i < nr; i++ )
    {
        t->foreign += !!(faults[i].flags & XC_SR_HV_FAULT_FOREIGN);
        t->drops += !!(faults[i].flags & XC_SR_HV_FAULT_DROP);
        if ( !(faults[i].flags & XC_SR_HV_FAULT_DROP) )
            rc = in_one(t, faults[i].pfn);
    }
    if ( !rc && nr )
        rc = xc_sr__hv_fault_done(t->dst, faults, nr);
    t->faults += nr;
    return rc;
}

static int serve_for(struct tool *t, uint64_t ms)
{
    uint64_t until_us = xc_sr__now_us() + ms * 1000;
    int rc = 0;

    while ( !rc && xc_sr__now_us() < until_us )
    {
        struct pollfd pfd = { .fd = xc_sr__hv_event_fd(t->dst),
                              .events = POLLIN };

        (void)poll(&pfd, 1, 10);
        rc = serve(t);
    }
    return rc;
}

/* Bulk, as a push does it, with faults in between. */
static int in_all(struct tool *t)
{
    int errs[16];
    int rc = 0;

    for ( uint64_t at = 0; !rc && at < t->nr; at += 16 )
    {
        unsigned int n = t->nr - at < 16 ? (unsigned int)(t->nr - at) : 16;

        rc = xc_sr__hv_page_in(t->dst, t->pfns + at, n,
                               t->contents + at * XC_SR_PAGE_SIZE, errs);
        for ( unsigned int i = 0; !rc && i < n; i++ )
            if ( errs[i] && errs[i] != -EEXIST && errs[i] != -ENOENT )
                rc = errs[i];
        if ( !rc )
            rc = serve(t);
    }
    return rc;
}

/* Contents of a guest that is paused from here on; t->src is closed then. */
static int take_contents(struct tool *t, uint64_t *hot_r)
{
    int rc = find_hot(t);

    if ( !rc )
        rc = find_pages(t);
    if ( !rc )
        rc = read_pages(t);
    if ( !rc )
        *hot_r = drop_hot(t);
    xc_sr_hv_close(t->src); /* what is mapped cannot be paged out */
    t->src = NULL;
    return rc;
}

static int out_and_run(struct tool *t, uint64_t hot, uint64_t ms)
{
    uint64_t busy = 0, start_us, us;
    int rc = paging_on(t);

    if ( rc )
        return rc;
    start_us = xc_sr__now_us();
    rc = out_all(t, &busy);
    us = xc_sr__now_us() - start_us;
    if ( rc )
        return rc;
    printf("out %llu of %llu pages in %llu us, %llu hot, %llu busy\n",
           (unsigned long long)t->x->evicted.count,
           (unsigned long long)(t->nr + hot), (unsigned long long)us,
           (unsigned long long)hot, (unsigned long long)busy);
    fflush(stdout);
    rc = xc_sr__hv_unpause(t->dst, false);
    return rc ? rc : serve_for(t, ms);
}

static int in_and_off(struct tool *t)
{
    uint64_t served = t->faults;
    int rc = in_all(t);
    uint64_t left = t->x->evicted.count;

    if ( !rc )
        rc = xc_sr__hv_paging_off(t->dst);
    printf("faults %llu on demand, %llu during the push, %llu foreign, %llu "
           "drops; left %llu\n",
           (unsigned long long)served, (unsigned long long)(t->faults - served),
           (unsigned long long)t->foreign, (unsigned long long)t->drops,
           (unsigned long long)left);
    return rc;
}

static int cmd_page(uint32_t domid, uint64_t ms)
{
    struct tool t = { 0 };
    uint64_t hot = 0;
    int rc = open_both(&t, domid);

    if ( !rc )
        rc = take_contents(&t, &hot);
    if ( !rc )
        rc = out_and_run(&t, hot, ms);
    if ( !rc )
        rc = in_and_off(&t);
    close_both(&t);
    return rc ? fail("page", rc) : 0;
}

/* A pager that ends in the middle: nothing is closed, nothing is said. */
static int die_paging(struct tool *t, uint32_t domid, uint64_t hot, uint64_t ms)
{
    int status = 1;
    pid_t pid = fork();

    if ( pid < 0 )
        return -errno;
    if ( pid == 0 )
    {
        int rc = open_destination(t, domid, false);

        _exit(!rc && !out_and_run(t, hot, ms) ? 0 : 1);
    }
    if ( waitpid(pid, &status, 0) != pid || status )
        return -ECHILD;
    return 0;
}

static int cmd_takeover(uint32_t domid, uint64_t ms)
{
    struct tool t = { 0 };
    uint64_t hot = 0;
    int rc = open_both(&t, domid);

    if ( !rc )
        rc = take_contents(&t, &hot);
    xc_sr_hv_close(t.dst); /* the guest stays paused */
    t.dst = NULL;
    if ( !rc )
        rc = die_paging(&t, domid, hot, ms);
    (void)poll(NULL, 0, 1000); /* vCPUs run into what nobody brings */
    if ( !rc )
        rc = open_destination(&t, domid, true);
    if ( !rc )
        rc = paging_on(&t);
    if ( !rc )
        rc = xc_sr__hv_unpause(t.dst, false);
    if ( !rc )
        rc = serve_for(&t, ms);
    if ( !rc )
        rc = in_and_off(&t);
    close_both(&t);
    return rc ? fail("takeover", rc) : 0;
}

/* ---- cost ----------------------------------------------------------------------------- */

struct cost
{
    uint64_t out_us;
    uint64_t in_us;
    uint64_t nr;
};

static int cost_plain(struct tool *t, uint64_t nr, struct cost *c)
{
    static uint8_t page[XC_SR_PAGE_SIZE]
        __attribute__((aligned(XC_SR_PAGE_SIZE)));
    uint64_t start_us = xc_sr__now_us();
    bool *gone = calloc(nr, sizeof(*gone));
    int rc = gone ? 0 : -ENOMEM;

    for ( uint64_t i = 0; !rc && i < nr; i++ )
        gone[i] = !xc_mem_paging_nominate(t->x->xch, t->x->domid, t->pfns[i]) &&
                  !xc_mem_paging_evict(t->x->xch, t->x->domid, t->pfns[i]);
    c->out_us = xc_sr__now_us() - start_us;
    start_us = xc_sr__now_us();
    for ( uint64_t i = 0; !rc && i < nr; i++ )
    {
        if ( !gone[i] )
            continue;
        memcpy(page, t->contents + i * XC_SR_PAGE_SIZE, sizeof(page));
        if ( xc_mem_paging_load(t->x->xch, t->x->domid, t->pfns[i], page) )
            rc = -errno;
        c->nr++;
    }
    c->in_us = xc_sr__now_us() - start_us;
    free(gone);
    return rc;
}

static int cost_batched(struct tool *t, uint64_t nr, struct cost *c)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t all = t->nr, busy = 0;
    int errs[XC_SR_HV_BATCH];
    int rc;

    t->nr = nr;
    rc = out_all(t, &busy);
    t->nr = all;
    c->nr = nr - busy;
    c->out_us = xc_sr__now_us() - start_us;
    start_us = xc_sr__now_us();
    for ( uint64_t at = 0; !rc && at < nr; at += 64 )
        rc = xc_sr__hv_page_in(t->dst, t->pfns + at,
                               nr - at < 64 ? (unsigned int)(nr - at) : 64,
                               t->contents + at * XC_SR_PAGE_SIZE, errs);
    c->in_us = xc_sr__now_us() - start_us;
    if ( !rc && t->x->evicted.count )
        rc = -EIO;
    return rc;
}

static void say_cost(const char *how, const struct cost *c)
{
    double nr = c->nr ? (double)c->nr : 1;

    printf("%s: %llu pages, out %.1f us/page, in %.1f us/page\n", how,
           (unsigned long long)c->nr, (double)c->out_us / nr,
           (double)c->in_us / nr);
}

static int cmd_cost(uint32_t domid, uint64_t nr)
{
    struct tool t = { 0 };
    struct cost plain = { 0 }, batched = { 0 };
    int rc = open_both(&t, domid);

    if ( rc )
        goto out;
    rc = xc_sr__hv_pause(t.dst);
    if ( !rc )
        rc = find_pages(&t);
    if ( !rc )
        rc = read_pages(&t);
    xc_sr_hv_close(t.src);
    t.src = NULL;
    if ( !rc )
        rc = paging_on(&t);
    if ( rc )
        goto out;
    if ( nr > t.nr )
        nr = t.nr;
    rc = cost_plain(&t, nr, &plain);
    if ( !rc )
        rc = cost_batched(&t, nr, &batched);
    say_cost("plain", &plain);
    say_cost("batched", &batched);
    if ( !rc )
        rc = xc_sr__hv_paging_off(t.dst);
    if ( !rc )
        rc = xc_sr__hv_unpause(t.dst, false);

out:
    close_both(&t);
    return rc ? fail("cost", rc) : 0;
}

/* ---- check ---------------------------------------------------------------------------- */

static int cmd_check(uint32_t domid)
{
    struct xc_sr_xen_report report;
    int rc = xc_sr_xen_check(domid, &stderr_log, &report);

    if ( rc )
        return fail("check", rc);
    printf("xen %u.%u%s paging=%d free_kib=%llu\n", report.xen_major,
           report.xen_minor, report.xen_extra, report.paging_built,
           (unsigned long long)report.free_kib);
    for ( unsigned int i = 0; i < report.nr_obstacles; i++ )
        printf("obstacle %s: %s\n",
               xc_sr_reason_name(report.obstacles[i].reason),
               report.obstacles[i].text);
    return report.nr_obstacles ? -EOPNOTSUPP : 0;
}

int main(int argc, char **argv)
{
    uint32_t domid =
        argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : XC_SR_XEN_NO_DOMAIN;
    uint64_t arg = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

    if ( argc == 4 && !strcmp(argv[1], "page") )
        return cmd_page(domid, arg) ? 1 : 0;
    if ( argc == 4 && !strcmp(argv[1], "takeover") )
        return cmd_takeover(domid, arg) ? 1 : 0;
    if ( argc == 4 && !strcmp(argv[1], "cost") )
        return cmd_cost(domid, arg) ? 1 : 0;
    if ( (argc == 2 || argc == 3) && !strcmp(argv[1], "check") )
        return cmd_check(domid) ? 1 : 0;
    fprintf(stderr, "usage: hvtool check [DOMID] | page DOMID MS | takeover "
                    "DOMID MS | cost DOMID PAGES\n");
    return 2;
}

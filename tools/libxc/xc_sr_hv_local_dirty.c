/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local_dirty.c: the dirty log of a local guest, the sender's side.
 *
 * With asynchronous write protection the sender scans the guest's pagemap by
 * itself: one system call finds what was written and protects it again, and
 * the guest's process has no part in it.  Otherwise the guest's handler keeps
 * the log and fills a shared bitmap when asked.  Which it is, the guest says.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "local_uffd.h"
#include "xc_sr_hv_local.h"

#define NR_REGIONS 4096u /* of one scan call: 96 KiB */

static size_t bitmap_len(const struct local *l)
{
    return (l->nr_pfns + 63) / 64 * 8;
}

void xc_sr__local_dirty_dispose(struct local *l)
{
    if ( l->bitmap )
        munmap(l->bitmap, bitmap_len(l));
    free(l->regions);
    xc_sr__pageset_dispose(&l->fetched);
    if ( l->dirty_fd >= 0 )
        close(l->dirty_fd);
    l->bitmap = NULL;
    l->regions = NULL;
    l->dirty_fd = -1;
    l->dirty = 0;
}

int xc_sr__local_dirty_on(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    struct lw_fds fds = { 0 };
    void *p;
    int rc;

    l->msg->len = 0;
    rc = xc_sr__local_ask(hv, LW_DIRTY_ON, "dirty log", &fds);
    if ( rc )
        return rc;
    if ( fds.nr != 1 )
    {
        xc_sr__lw_close_fds(&fds);
        return -EBADMSG;
    }
    l->dirty_fd = fds.fd[0];
    l->dirty = (enum lw_dirty)l->msg->arg[0];
    l->guest_base = l->msg->arg[1];
    if ( l->dirty == LW_DIRTY_SCAN )
    {
        l->regions = calloc(NR_REGIONS, sizeof(*l->regions));
        return l->regions ? xc_sr__pageset_init(&l->fetched, l->nr_pfns)
                          : -ENOMEM;
    }
    p = mmap(NULL, bitmap_len(l), PROT_READ, MAP_SHARED, l->dirty_fd, 0);
    if ( p == MAP_FAILED )
        return -errno;
    l->bitmap = p;
    return 0;
}

int xc_sr__local_dirty_off(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);

    if ( !l->dirty )
        return 0;
    xc_sr__local_dirty_dispose(l);
    l->msg->len = 0;
    return xc_sr__local_ask(hv, LW_DIRTY_OFF, "dirty log off", NULL);
}

/*
 * Regions are a set, not a list: a scan that is continued, or that only looks,
 * returns some again and not always in order, so nothing is concluded from
 * where the last one ended.
 */
static void add_region(struct local *l, const struct page_region *r)
{
    uint64_t pfn = (r->start - l->guest_base) >> XC_SR_PAGE_SHIFT;
    uint64_t end = (r->end - l->guest_base) >> XC_SR_PAGE_SHIFT;

    for ( ; pfn < end; pfn++ )
        xc_sr__pageset_add(&l->fetched, pfn);
}

static int fetch_scan(struct xc_sr_hv *hv, bool clean,
                      struct xc_sr_pageset *set, uint64_t *count_r)
{
    struct local *l = xc_sr__local_of(hv);
    uint64_t end = l->guest_base + (l->nr_pfns << XC_SR_PAGE_SHIFT);
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = clean ? PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC : 0,
        .start = l->guest_base,
        .end = end,
        .vec = (uintptr_t)l->regions,
        .vec_len = NR_REGIONS,
        .category_mask = PAGE_IS_WRITTEN,
        .return_mask = PAGE_IS_WRITTEN,
    };

    xc_sr__pageset_clear(&l->fetched);
    while ( arg.start < end )
    {
        int nr = ioctl(l->dirty_fd, PAGEMAP_SCAN, &arg);

        if ( nr < 0 && errno == EINTR )
            continue;
        if ( nr < 0 || arg.walk_end <= arg.start )
        {
            int rc = nr < 0 ? -errno : -EIO;

            xc_sr__error(hv->log, "guest %s: scan for dirty pages: %s", l->name,
                         strerror(-rc));
            return rc;
        }
        for ( int i = 0; i < nr; i++ )
            add_region(l, &l->regions[i]);
        arg.start = arg.walk_end;
    }
    xc_sr__pageset_or(set, &l->fetched);
    *count_r = l->fetched.count;
    return 0;
}

static int fetch_sync(struct xc_sr_hv *hv, bool clean,
                      struct xc_sr_pageset *set, uint64_t *count_r)
{
    struct local *l = xc_sr__local_of(hv);
    uint64_t count = 0;
    int rc;

    l->msg->len = 0;
    l->msg->arg[0] = clean;
    rc = xc_sr__local_ask(hv, LW_DIRTY_FETCH, "fetch of the dirty log", NULL);
    if ( rc )
        return rc;
    for ( uint64_t i = 0; i < (l->nr_pfns + 63) / 64; i++ )
    {
        uint64_t word = l->bitmap[i];

        for ( ; word; word &= word - 1, count++ )
            xc_sr__pageset_add(set, i * 64 + (uint64_t)__builtin_ctzll(word));
    }
    *count_r = count;
    return 0;
}

int xc_sr__local_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                             struct xc_sr_pageset *set, uint64_t *count_r)
{
    const struct local *l = xc_sr__local_of(hv);
    bool clean = how == XC_SR_HV_FETCH_CLEAN;

    if ( !l->dirty )
        return -EINVAL;
    return l->dirty == LW_DIRTY_SCAN ? fetch_scan(hv, clean, set, count_r)
                                     : fetch_sync(hv, clean, set, count_r);
}

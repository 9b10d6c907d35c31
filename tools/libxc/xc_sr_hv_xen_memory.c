/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_memory.c: the destination's guest before it runs: frames, and
 * what is written into them.
 *
 * Every mapping made here is undone at once: a page that somebody has mapped
 * cannot be paged out.  And a page that is paged out is never mapped:
 * libxenforeignmemory would wait for it, for ever, in the very thread that
 * loads pages.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "xc_sr_hv_xen.h"

/*
 * A block of 2 MiB is one frame as long as nobody takes a page of it out: the
 * guest is faster with it, and it is populated by one call instead of 512.
 */
#define BLOCK_ORDER 9u
#define BLOCK_PFNS  (1u << BLOCK_ORDER)

/* Below 4 GiB: pages of Xen's and of devices, which are no blocks.  A PVH guest
 * has no devices there but its local APIC, and memory up to that. */
#define SPECIAL_PFN     UINT64_C(0xf0000)
#define SPECIAL_PVH_PFN UINT64_C(0xfee00)
#define SPECIAL_END_PFN UINT64_C(0x100000)

/* ---- Frames ------------------------------------------------------------------ */

static int give_back(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr)
{
    struct xen *x = xc_sr__xen_of(hv);
    xen_pfn_t gfns[XC_SR_HV_BATCH];
    int rc;

    memcpy(gfns, pfns, nr * sizeof(*pfns));
    if ( !xc_domain_decrease_reservation_exact(x->xch, x->domid, nr, 0, gfns) )
        return 0;
    rc = errno ? -errno : -EIO;
    xc_sr__error(hv->log,
                 "domain %u: pfn 0x%llx and %u more cannot be given back: %s",
                 x->domid, (unsigned long long)pfns[0], nr - 1, strerror(-rc));
    return rc;
}

int xc_sr__xen_give_back_spare(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t pfns[XC_SR_HV_BATCH];
    uint64_t pfn = 0, nr_spare = x->spare.count;
    int rc = 0;

    x->no_blocks = true;
    while ( !rc && x->spare.count )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&x->spare, &pfn, pfns, XC_SR_HV_BATCH);

        rc = give_back(hv, pfns, nr);
        for ( unsigned int i = 0; !rc && i < nr; i++ )
            xc_sr__pageset_remove(&x->spare, pfns[i]);
    }
    if ( !rc && (x->nr_blocks || x->nr_small) )
        xc_sr__info(hv->log,
                    "domain %u: populated %llu blocks of 2 MiB and %llu single "
                    "pages, gave %llu pages back",
                    x->domid, (unsigned long long)x->nr_blocks,
                    (unsigned long long)x->nr_small,
                    (unsigned long long)nr_spare);
    x->nr_blocks = x->nr_small = 0;
    return rc;
}

static bool is_untouched(const struct xen *x, uint64_t first)
{
    uint64_t end = first + BLOCK_PFNS;

    return end <= x->nr_pfns &&
           (end <= SPECIAL_PVH_PFN || first >= SPECIAL_END_PFN) &&
           xc_sr__pageset_next(&x->populated, first) >= end &&
           xc_sr__pageset_next(&x->spare, first) >= end;
}

/* Never all of it: a claim that is used up does not come back (eviction). */
static bool may_have(const struct xen *x, uint64_t first)
{
    xc_domaininfo_t info;

    if ( xc_sr__xen_domain(x, x->domid, &info) )
        return false;
    return info.tot_pages + BLOCK_PFNS < info.max_pages &&
           (first < SPECIAL_PFN || first >= SPECIAL_END_PFN ||
            info.arch_config.emulation_flags == XEN_X86_EMU_LAPIC);
}

/*
 * Pages come a few at a time, in order.  Where one is ordinary memory its
 * neighbours most likely are, so the first brings all of its block; those
 * that are never asked for are given back in the end.
 */
static void bring_block(struct xen *x, uint64_t pfn)
{
    xen_pfn_t first = pfn - pfn % BLOCK_PFNS;

    if ( x->no_blocks || !is_untouched(x, first) || !may_have(x, first) )
        return;
    if ( xc_domain_populate_physmap(x->xch, x->domid, 1, BLOCK_ORDER, 0,
                                    &first) != 1 )
        return;
    x->nr_blocks++;
    first = pfn - pfn % BLOCK_PFNS;
    for ( unsigned int i = 0; i < BLOCK_PFNS; i++ )
        xc_sr__pageset_add(&x->spare, first + i);
}

/* The first *done_r of them have a frame afterwards. */
static int populate_small(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, unsigned int *done_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    xen_pfn_t gfns[XC_SR_HV_BATCH];
    int done;

    memcpy(gfns, pfns, nr * sizeof(*pfns));
    done = xc_domain_populate_physmap(x->xch, x->domid, nr, 0, 0, gfns);
    if ( done < 0 )
        return errno ? -errno : -EIO;
    *done_r = (unsigned int)done < nr ? (unsigned int)done : nr;
    x->nr_small += *done_r;
    return 0;
}

/* One by one; what blocks took too much is there again for a second try. */
static int populate_singles(struct xc_sr_hv *hv, const uint64_t *pfns,
                            unsigned int nr, unsigned int *done_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    unsigned int more = 0;
    int rc = populate_small(hv, pfns, nr, done_r);

    if ( rc || *done_r == nr || !x->spare.count )
        return rc;
    rc = xc_sr__xen_give_back_spare(hv);
    if ( !rc )
        rc = populate_small(hv, pfns + *done_r, nr - *done_r, &more);
    *done_r += more;
    return rc;
}

int xc_sr__xen_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t singles[XC_SR_HV_BATCH];
    unsigned int nr_singles = 0, done = 0;
    int rc = 0;

    for ( unsigned int i = 0; i < nr; i++ )
        if ( i == 0 || pfns[i] / BLOCK_PFNS != pfns[i - 1] / BLOCK_PFNS )
            bring_block(x, pfns[i]);
    for ( unsigned int i = 0; i < nr; i++ )
    {
        errs_r[i] = 0;
        if ( xc_sr__pageset_move(&x->spare, &x->populated, pfns[i]) )
            continue;
        errs_r[i] = -ENOMEM;
        singles[nr_singles++] = pfns[i];
    }
    if ( nr_singles )
        rc = populate_singles(hv, singles, nr_singles, &done);
    for ( unsigned int i = 0; !rc && i < nr && done; i++ )
    {
        if ( !errs_r[i] )
            continue;
        errs_r[i] = 0;
        done--;
        xc_sr__pageset_add(&x->populated, pfns[i]);
    }
    return rc;
}

/* ---- Contents ------------------------------------------------------------------ */

static void *map_pages(struct xen *x, const uint64_t *pfns, unsigned int nr,
                       int *errs_r)
{
    xen_pfn_t gfns[XC_SR_HV_BATCH];

    for ( unsigned int i = 0; i < nr; i++ )
    {
        if ( xc_sr__pageset_has(&x->evicted, pfns[i]) )
        {
            errno = EINVAL;
            return NULL;
        }
        gfns[i] = pfns[i];
    }
    return xenforeignmemory_map(x->fmem, x->domid, PROT_READ | PROT_WRITE, nr,
                                gfns, errs_r);
}

int xc_sr__xen_write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                           unsigned int nr, const void *contents, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    const uint8_t *from = contents;
    uint8_t *to = map_pages(x, pfns, nr, errs_r);

    if ( !to )
        return errno ? -errno : -EIO;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        uint8_t *page = to + (size_t)i * XC_SR_PAGE_SIZE;

        errs_r[i] = -abs(errs_r[i]);
        if ( errs_r[i] )
            continue;
        if ( from )
            memcpy(page, from + (size_t)i * XC_SR_PAGE_SIZE, XC_SR_PAGE_SIZE);
        else
            memset(page, 0, XC_SR_PAGE_SIZE);
    }
    xenforeignmemory_unmap(x->fmem, to, nr);
    return 0;
}

void *xc_sr__xen_map_one(struct xc_sr_hv *hv, uint64_t pfn, const char *what)
{
    struct xen *x = xc_sr__xen_of(hv);
    int err = 0;
    void *page = map_pages(x, &pfn, 1, &err);

    if ( page && !err )
        return page;
    xc_sr__error(hv->log, "domain %u: cannot map pfn 0x%llx (%s): %s", x->domid,
                 (unsigned long long)pfn, what,
                 strerror(page ? abs(err) : errno));
    if ( page )
        xenforeignmemory_unmap(x->fmem, page, 1);
    return NULL;
}

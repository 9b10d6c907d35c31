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

#define SUPER_ORDER 9u
#define SUPER_PFNS  (1u << SUPER_ORDER)

/* ---- Frames ------------------------------------------------------------------ */

/* How many of pfns[0..nr) can be one superpage: all of its pfns, or none. */
static bool is_superpage(const uint64_t *pfns, unsigned int nr)
{
    if ( nr < SUPER_PFNS || pfns[0] % SUPER_PFNS )
        return false;
    return pfns[SUPER_PFNS - 1] == pfns[0] + SUPER_PFNS - 1;
}

/* Pfns up to the next superpage, at least one. */
static unsigned int small_run(const uint64_t *pfns, unsigned int nr)
{
    unsigned int n = 1;

    while ( n < nr && !is_superpage(pfns + n, nr - n) )
        n++;
    return n;
}

static int populate_small(struct xen *x, const uint64_t *pfns, unsigned int nr,
                          int *errs_r)
{
    xen_pfn_t gfns[XC_SR_HV_BATCH];
    int done;

    memcpy(gfns, pfns, nr * sizeof(*pfns));
    done = xc_domain_populate_physmap(x->xch, x->domid, nr, 0, 0, gfns);
    if ( done < 0 )
        return -errno;
    for ( unsigned int i = 0; i < nr; i++ )
        errs_r[i] = i < (unsigned int)done ? 0 : -ENOMEM;
    return 0;
}

static bool populate_super(struct xen *x, uint64_t pfn, int *errs_r)
{
    xen_pfn_t gfn = pfn;

    if ( xc_domain_populate_physmap(x->xch, x->domid, 1, SUPER_ORDER, 0,
                                    &gfn) != 1 )
        return false;
    memset(errs_r, 0, SUPER_PFNS * sizeof(*errs_r));
    return true;
}

int xc_sr__xen_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    unsigned int n;
    int rc = 0;

    for ( unsigned int i = 0; !rc && i < nr; i += n )
    {
        n = SUPER_PFNS;
        if ( !is_superpage(pfns + i, nr - i) )
            n = small_run(pfns + i, nr - i);
        else if ( populate_super(x, pfns[i], errs_r + i) )
            continue;
        rc = populate_small(x, pfns + i, n, errs_r + i);
    }
    for ( unsigned int i = 0; !rc && i < nr; i++ )
        if ( !errs_r[i] )
            xc_sr__pageset_add(&x->populated, pfns[i]);
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

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_map.c: page types of the source's guest, and read access to
 * its pages.
 *
 * Asking Xen for a type and mapping a page cost about the same for one page
 * as for hundreds, and the engine sends a few at a time.  So what it is about
 * to ask for is fetched in one go, a window: while the guest runs the next
 * pfns of its set, thrown away when the next window is opened and whenever
 * the dirty log was cleaned (a gfn may have got another frame since); once
 * the guest is suspended by groups of neighbours, which are kept, since
 * nothing changes any more and faults jump to and fro.
 *
 * A pfn that no window has is looked up and mapped by itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "xc_sr_hv_xen.h"

#define GROUP_PFNS 512u
/* Each window is a mapping, of which Linux allows a process 65530. */
#define MAX_KEPT   32768u

#define TYPE_SHIFT 28 /* XEN_DOMCTL_PFINFO_LTAB_SHIFT: nibbles sit on top */

struct entry
{
    uint64_t pfn;
    uint32_t type;
    int32_t slot; /* in the mapping; negative: -errno */
};

struct xen_window
{
    void *base; /* NULL: nothing is mapped */
    unsigned int nr_mapped;
    unsigned int nr;
    struct entry entries[]; /* by pfn */
};

/* ---- Asking Xen ----------------------------------------------------------- */

int xc_sr__xen_map_init(struct xen *x)
{
    x->gfns = xencall_alloc_buffer(x->xcall, XC_SR_HV_BATCH * sizeof(*x->gfns));
    x->kept = calloc(x->nr_pfns / GROUP_PFNS + 1, sizeof(struct xen_window *));
    return x->gfns && x->kept ? 0 : -ENOMEM;
}

static int ask_types(struct xen *x, const uint64_t *pfns, unsigned int nr)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_getpageframeinfo3,
        .domain = (domid_t)x->domid,
        .u.getpageframeinfo3.num = nr,
    };

    memcpy(x->gfns, pfns, nr * sizeof(*pfns));
    set_xen_guest_handle_raw(op.u.getpageframeinfo3.array,
                             (xen_pfn_t *)x->gfns);
    return xc_domctl(x->xch, &op) ? -errno : 0;
}

/* The answer stands where the gfns were. */
static uint32_t type_at(const struct xen *x, unsigned int i)
{
    return (uint32_t)x->gfns[i] >> TYPE_SHIFT;
}

/* ---- Windows ---------------------------------------------------------------- */

static void close_window(struct xen *x, struct xen_window *w)
{
    if ( w && w->base )
        xenforeignmemory_unmap(x->fmem, w->base, w->nr_mapped);
    free(w);
}

/* Maps what has contents; a page that cannot be mapped says so in its slot. */
static int map_window(struct xen *x, struct xen_window *w)
{
    xen_pfn_t gfns[XC_SR_HV_BATCH];
    int errs[XC_SR_HV_BATCH];
    unsigned int nr = 0;

    for ( unsigned int i = 0; i < w->nr; i++ )
    {
        w->entries[i].slot = -EINVAL;
        if ( w->entries[i].type < XEN_DOMCTL_PFINFO_BROKEN >> TYPE_SHIFT )
        {
            w->entries[i].slot = (int32_t)nr;
            gfns[nr++] = w->entries[i].pfn;
        }
    }
    if ( nr == 0 )
        return 0;
    w->base =
        xenforeignmemory_map(x->fmem, x->domid, PROT_READ, nr, gfns, errs);
    if ( !w->base )
        return errno ? -errno : -EIO;
    w->nr_mapped = nr;
    for ( unsigned int i = 0; i < w->nr; i++ )
    {
        struct entry *e = &w->entries[i];

        if ( e->slot < 0 || !errs[e->slot] )
            continue;
        e->slot = -abs(errs[e->slot]);
        /* The running guest gave it up after its type was asked for. */
        if ( !x->suspended )
            e->type = XEN_DOMCTL_PFINFO_XTAB >> TYPE_SHIFT;
    }
    return 0;
}

static struct xen_window *open_window(struct xen *x, const uint64_t *pfns,
                                      unsigned int nr)
{
    struct xen_window *w = malloc(sizeof(*w) + nr * sizeof(w->entries[0]));

    if ( !w || ask_types(x, pfns, nr) )
    {
        free(w);
        return NULL;
    }
    w->base = NULL;
    w->nr_mapped = 0;
    w->nr = nr;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        w->entries[i].pfn = pfns[i];
        w->entries[i].type = type_at(x, i);
    }
    if ( map_window(x, w) )
    {
        close_window(x, w);
        return NULL;
    }
    return w;
}

static const struct entry *entry_in(const struct xen_window *w, uint64_t pfn)
{
    unsigned int lo = 0, hi = w ? w->nr : 0;

    while ( lo < hi )
    {
        unsigned int mid = lo + (hi - lo) / 2;

        if ( w->entries[mid].pfn == pfn )
            return &w->entries[mid];
        if ( w->entries[mid].pfn < pfn )
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static const struct entry *find(const struct xen *x, uint64_t pfn,
                                const struct xen_window **w_r)
{
    const struct entry *e = entry_in(x->ahead, pfn);

    *w_r = x->ahead;
    if ( e || pfn >= x->nr_pfns )
        return e;
    *w_r = x->kept[pfn / GROUP_PFNS];
    return entry_in(*w_r, pfn);
}

void xc_sr__xen_map_forget(struct xen *x)
{
    close_window(x, x->ahead);
    x->ahead = NULL;
    for ( uint64_t i = 0; x->nr_kept && i <= x->nr_pfns / GROUP_PFNS; i++ )
    {
        if ( !x->kept[i] )
            continue;
        close_window(x, x->kept[i]);
        x->kept[i] = NULL;
        x->nr_kept--;
    }
}

void xc_sr__xen_map_dispose(struct xen *x)
{
    if ( x->kept )
        xc_sr__xen_map_forget(x);
    free(x->kept);
    if ( x->gfns )
        xencall_free_buffer(x->xcall, x->gfns);
}

/* ---- Looking ahead ------------------------------------------------------------ */

/* A group of a suspended guest, all of it that is in set. */
static void keep_group(struct xen *x, const struct xc_sr_pageset *set,
                       uint64_t pfn)
{
    uint64_t pfns[GROUP_PFNS];
    uint64_t group = pfn / GROUP_PFNS;
    unsigned int nr = 0;

    for ( uint64_t p = group * GROUP_PFNS; p < (group + 1) * GROUP_PFNS; p++ )
        if ( xc_sr__pageset_has(set, p) )
            pfns[nr++] = p;
    x->nr_kept -= x->kept[group] != NULL;
    close_window(x, x->kept[group]);
    x->kept[group] = open_window(x, pfns, nr);
    x->nr_kept += x->kept[group] != NULL;
}

/* Nothing of ours is in use by the engine when it looks ahead. */
void xc_sr__xen_look_ahead(struct xc_sr_hv *hv, const struct xc_sr_pageset *set,
                           uint64_t pfn)
{
    struct xen *x = xc_sr__xen_of(hv);
    const struct xen_window *w;
    uint64_t pfns[XC_SR_HV_BATCH];
    unsigned int nr;

    pfn = xc_sr__pageset_next(set, pfn);
    if ( pfn >= set->nr_pfns )
        pfn = xc_sr__pageset_next(set, 0); /* a push begins again */
    if ( pfn >= set->nr_pfns || find(x, pfn, &w) )
        return;
    if ( x->suspended && x->nr_kept < MAX_KEPT )
    {
        keep_group(x, set, pfn);
        return;
    }
    nr = xc_sr__pageset_collect(set, &pfn, pfns, XC_SR_HV_BATCH);
    close_window(x, x->ahead);
    x->ahead = open_window(x, pfns, nr);
}

/* ---- What the engine asks ------------------------------------------------------- */

int xc_sr__xen_page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, uint32_t *types_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    const struct xen_window *w;
    const struct entry *e;
    unsigned int i;
    int rc;

    if ( !x->gfns )
        return -EINVAL;
    for ( i = 0; i < nr && (e = find(x, pfns[i], &w)); i++ )
        types_r[i] = e->type;
    if ( i == nr )
        return 0;
    rc = ask_types(x, pfns, nr);
    if ( rc )
        return rc;
    for ( i = 0; i < nr; i++ )
        types_r[i] = type_at(x, i);
    return 0;
}

static const void *map_single(struct xen *x, uint64_t pfn, int *err_r)
{
    xen_pfn_t gfn = pfn;
    int err = 0;
    void *page =
        xenforeignmemory_map(x->fmem, x->domid, PROT_READ, 1, &gfn, &err);

    *err_r = page ? -abs(err) : -errno;
    if ( page && err )
        xenforeignmemory_unmap(x->fmem, page, 1);
    return page && !err ? page : NULL;
}

int xc_sr__xen_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                   const void **pages_r, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    const struct xen_window *w;

    if ( !x->gfns )
        return -EINVAL;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        const struct entry *e = find(x, pfns[i], &w);

        pages_r[i] = NULL;
        if ( !e )
            pages_r[i] = map_single(x, pfns[i], &errs_r[i]);
        else if ( e->slot < 0 )
            errs_r[i] = e->slot;
        else
        {
            errs_r[i] = 0;
            pages_r[i] =
                (const uint8_t *)w->base + (size_t)e->slot * XC_SR_PAGE_SIZE;
        }
    }
    return 0;
}

static bool is_within(const struct xen_window *w, const void *page)
{
    const uint8_t *base = w->base, *p = page;

    return base && p >= base &&
           p < base + (size_t)w->nr_mapped * XC_SR_PAGE_SIZE;
}

void xc_sr__xen_unmap(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, const void **pages)
{
    struct xen *x = xc_sr__xen_of(hv);
    const struct xen_window *w;

    for ( unsigned int i = 0; i < nr; i++ )
        if ( pages[i] && !(find(x, pfns[i], &w) && is_within(w, pages[i])) )
            xenforeignmemory_unmap(x->fmem, (void *)pages[i], 1);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_page.c: pages of the destination's guest out and in.
 *
 * Xen's paging calls are for one page each; 256 of them go down in one
 * multicall, which costs an eighth of as many calls.  Each has its own
 * result.  Which pages are out is kept here, since asking costs a call.
 *
 * A page is nominated (nobody else may have it in use), then evicted: its
 * frame goes back to Xen.  The claim makes sure that there is a frame when it
 * comes in again.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv_xen.h"

/* Nominate and evict: two calls for a page. */
#define OUT_BATCH (XEN_MULTICALL / 2)
#define IN_BATCH  64u /* pages that are copied into hypercall memory at once */

int xc_sr__xen_page_init(struct xen *x)
{
    x->calls =
        xencall_alloc_buffer(x->xcall, XEN_MULTICALL * sizeof(*x->calls));
    x->ops = xencall_alloc_buffer(x->xcall, XEN_MULTICALL * sizeof(*x->ops));
    x->buffer = xencall_alloc_buffer_pages(x->xcall, IN_BATCH);
    return x->calls && x->ops && x->buffer ? 0 : -ENOMEM;
}

void xc_sr__xen_page_dispose(struct xen *x)
{
    if ( x->calls )
        xencall_free_buffer(x->xcall, x->calls);
    if ( x->ops )
        xencall_free_buffer(x->xcall, x->ops);
    if ( x->buffer )
        xencall_free_buffer_pages(x->xcall, x->buffer, IN_BATCH);
}

/* ---- The batch ------------------------------------------------------------------- */

/* Call n of the batch; page NULL: none. */
static void set_call(struct xen *x, unsigned int n, uint8_t op, uint64_t pfn,
                     const uint8_t *page)
{
    memset(&x->ops[n], 0, sizeof(x->ops[n]));
    x->ops[n].op = op;
    x->ops[n].domain = (domid_t)x->domid;
    x->ops[n].gfn = pfn;
    set_xen_guest_handle_raw(x->ops[n].buffer, page);
    memset(&x->calls[n], 0, sizeof(x->calls[n]));
    x->calls[n].op = __HYPERVISOR_memory_op;
    x->calls[n].args[0] = XENMEM_paging_op;
    x->calls[n].args[1] = (uintptr_t)&x->ops[n];
}

static int result_of(const struct xen *x, unsigned int n)
{
    return (int)(long)x->calls[n].result;
}

static int run_calls(struct xen *x, unsigned int nr)
{
    if ( xencall2(x->xcall, __HYPERVISOR_multicall, (uintptr_t)x->calls, nr) )
        return errno ? -errno : -EIO;
    return 0;
}

/* Paging calls for a dying domain say EINVAL, which means other things too. */
static int unless_gone(struct xc_sr_hv *hv, int rc)
{
    bool gone = false;

    if ( (rc == -EINVAL || rc == -ESRCH || rc == -ENODEV) &&
         !xc_sr__xen_is_gone(hv, &gone) && gone )
        return -ESRCH;
    return rc;
}

/* ---- The claim --------------------------------------------------------------------- */

/*
 * Everything the guest may ever have: what it has not got stays claimed for
 * it, and what is evicted adds to that, as long as the claim is not used up.
 */
int xc_sr__xen_paging_reserve(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    int rc = xc_sr__xen_domain(x, x->domid, &info);

    if ( rc )
        return rc;
    if ( xc_domain_claim_pages(x->xch, x->domid, info.max_pages) )
    {
        rc = -errno;
        xc_sr__error(
            hv->log, "domain %u: %llu KiB cannot be claimed for it: %s",
            x->domid, (unsigned long long)info.max_pages * 4, strerror(-rc));
        return rc;
    }
    x->claimed = true;
    return 0;
}

/*
 * A guest that is told to give memory back has its limit lowered at once.  It
 * cannot give back a page before it has it, so until all are here the limit
 * is not below what is here and what is still to come.
 */
static int lift_limit(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    uint64_t wanted;
    int rc = xc_sr__xen_domain(x, x->domid, &info);

    if ( rc )
        return rc;
    wanted = info.tot_pages + x->evicted.count;
    if ( info.max_pages >= wanted )
        return 0;
    /* Not what it was lifted to before. */
    if ( !x->lifted || info.max_pages != x->lifted )
        x->limit = info.max_pages;
    x->lifted = wanted;
    if ( x->params.limit_lifted )
        x->params.limit_lifted(x->params.ctx, x->limit, wanted);
    if ( xc_domain_setmaxmem(x->xch, x->domid, wanted * 4) )
        return -errno;
    xc_sr__info(hv->log,
                "domain %u: its limit of %llu pages is %llu until all are here",
                x->domid, (unsigned long long)x->limit,
                (unsigned long long)wanted);
    return 0;
}

/* Unless somebody has set another one since. */
static void restore_limit(struct xen *x)
{
    xc_domaininfo_t info;

    if ( x->lifted && !xc_sr__xen_domain(x, x->domid, &info) &&
         info.max_pages == x->lifted )
        (void)xc_domain_setmaxmem(x->xch, x->domid, x->limit * 4);
    x->lifted = 0;
}

void xc_sr__xen_paging_release(struct xen *x)
{
    restore_limit(x);
    if ( x->claimed )
        (void)xc_domain_claim_pages(x->xch, x->domid, 0);
    x->claimed = false;
}

/* ---- Out ---------------------------------------------------------------------------- */

/* Only what has a frame can be paged out. */
static int populate_all(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t wanted[XC_SR_HV_BATCH];
    int errs[XC_SR_HV_BATCH];
    unsigned int nr_wanted = 0;
    int rc;

    for ( unsigned int i = 0; i < nr; i++ )
        if ( !xc_sr__pageset_has(&x->populated, pfns[i]) )
            wanted[nr_wanted++] = pfns[i];
    if ( nr_wanted == 0 )
        return 0;
    rc = xc_sr__xen_populate(hv, wanted, nr_wanted, errs);
    for ( unsigned int i = 0; !rc && i < nr_wanted; i++ )
        rc = errs[i];
    return rc;
}

/*
 * Somebody took hold of the page between the two calls.  It keeps its frame
 * and becomes an ordinary page again; there may be a request for it, which is
 * answered like any other.
 */
static int take_back(struct xen *x, uint64_t pfn)
{
    int rc;

    set_call(x, 0, XENMEM_paging_op_prep, pfn, x->buffer);
    rc = run_calls(x, 1);
    if ( !rc )
        rc = result_of(x, 0);
    return rc ? rc : -EBUSY;
}

static int out_batch(struct xen *x, const uint64_t *pfns, unsigned int nr,
                     int *errs_r)
{
    bool nominated[OUT_BATCH];
    int rc;

    for ( unsigned int i = 0; i < nr; i++ )
    {
        set_call(x, 2 * i, XENMEM_paging_op_nominate, pfns[i], NULL);
        set_call(x, 2 * i + 1, XENMEM_paging_op_evict, pfns[i], NULL);
    }
    rc = run_calls(x, 2 * nr);
    if ( rc )
        return rc;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        nominated[i] = result_of(x, 2 * i) == 0;
        errs_r[i] = result_of(x, nominated[i] ? 2 * i + 1 : 2 * i);
        if ( errs_r[i] == 0 )
            xc_sr__pageset_add(&x->evicted, pfns[i]);
    }
    for ( unsigned int i = 0; i < nr; i++ )
        if ( errs_r[i] && nominated[i] )
            errs_r[i] = take_back(x, pfns[i]);
    return 0;
}

int xc_sr__xen_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t batch[OUT_BATCH];
    unsigned int at[OUT_BATCH];
    int errs[OUT_BATCH];
    unsigned int n = 0;
    int rc = populate_all(hv, pfns, nr);

    for ( unsigned int i = 0; !rc && i < nr; i++ )
    {
        errs_r[i] = 0;
        if ( !xc_sr__pageset_has(&x->evicted, pfns[i]) )
        {
            at[n] = i;
            batch[n++] = pfns[i];
        }
        if ( n == 0 || (n < OUT_BATCH && i + 1 < nr) )
            continue;
        rc = out_batch(x, batch, n, errs);
        for ( unsigned int k = 0; !rc && k < n; k++ )
            errs_r[at[k]] = errs[k];
        n = 0;
    }
    return unless_gone(hv, rc);
}

/* ---- In ------------------------------------------------------------------------------ */

/* There was no frame for it. */
static int in_again(struct xc_sr_hv *hv, uint64_t pfn, const uint8_t *page)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = lift_limit(hv);

    if ( rc )
        return rc;
    set_call(x, 0, XENMEM_paging_op_prep, pfn, page);
    rc = run_calls(x, 1);
    return rc ? rc : result_of(x, 0);
}

static int in_batch(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    const uint8_t *contents, int *errs_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    size_t step = contents ? XC_SR_PAGE_SIZE : 0;
    int rc;

    if ( contents )
        memcpy(x->buffer, contents, (size_t)nr * XC_SR_PAGE_SIZE);
    else
        memset(x->buffer, 0, XC_SR_PAGE_SIZE);
    for ( unsigned int i = 0; i < nr; i++ )
        set_call(x, i, XENMEM_paging_op_prep, pfns[i], x->buffer + i * step);
    rc = run_calls(x, nr);
    if ( rc )
        return rc;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        bool was_out = xc_sr__pageset_has(&x->evicted, pfns[i]);

        errs_r[i] = result_of(x, i);
        if ( errs_r[i] == -ENOMEM )
            errs_r[i] = in_again(hv, pfns[i], x->buffer + i * step);
        /* Xen has one answer for "it is there" and "there is no such page". */
        if ( errs_r[i] == -ENOENT && !was_out )
            errs_r[i] = -EEXIST;
        if ( !errs_r[i] || errs_r[i] == -ENOENT )
            xc_sr__pageset_remove(&x->evicted, pfns[i]);
        else if ( errs_r[i] != -EEXIST )
        {
            rc = unless_gone(hv, errs_r[i]);
            if ( rc == -ESRCH )
                return rc;
        }
    }
    return 0;
}

int xc_sr__xen_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void *contents, int *errs_r)
{
    const uint8_t *from = contents;
    int rc = 0;

    for ( unsigned int i = 0; !rc && i < nr; i += IN_BATCH )
    {
        unsigned int n = nr - i < IN_BATCH ? nr - i : IN_BATCH;

        rc = in_batch(hv, pfns + i, n,
                      from ? from + (size_t)i * XC_SR_PAGE_SIZE : NULL,
                      errs_r + i);
    }
    return rc;
}

/* Asked of Xen, not of our book: a missing page wants contents. */
int xc_sr__xen_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, bool *missing_r)
{
    struct xen *x = xc_sr__xen_of(hv);

    for ( unsigned int i = 0; i < nr; i += XEN_MULTICALL )
    {
        unsigned int n = nr - i < XEN_MULTICALL ? nr - i : XEN_MULTICALL;
        int rc;

        for ( unsigned int k = 0; k < n; k++ )
            set_call(x, k, XENMEM_paging_op_prep, pfns[i + k], NULL);
        rc = run_calls(x, n);
        if ( rc )
            return rc;
        for ( unsigned int k = 0; k < n; k++ )
            missing_r[i + k] = result_of(x, k) == -EINVAL;
    }
    return 0;
}

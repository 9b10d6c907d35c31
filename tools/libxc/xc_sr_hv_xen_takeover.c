/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_takeover.c: a guest that runs here with pages missing, and the
 * process that served it is dead.
 *
 * Xen still has the old ring, with requests in it that nobody will answer,
 * and gives out no second one.  So: the guest is paused, the ring is thrown
 * away and made anew, and every vCPU is told to go on; one that still wants
 * a page asks again.  Responses without requests upset the count of free
 * slots, so the ring on which that was said is thrown away as well.  Which
 * pages are missing is asked of Xen, page by page.
 *
 * While there is no ring a touch of a missing page kills the guest.  Its
 * vCPUs are paused; that nobody else touches it (a device model, a back end)
 * is the caller's to see to.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv_xen.h"

/* Slots of a ring of one page. */
#define RING_SLOTS 8u

static int wake_vcpus(struct xc_sr_hv *hv)
{
    struct xc_sr_hv_fault wake[RING_SLOTS];
    unsigned int n = 0;
    int rc = 0;

    for ( uint32_t vcpu = 0; !rc && vcpu < hv->info.nr_vcpus; vcpu++ )
    {
        /* Pfn 0 is present or not; no page is changed by an answer. */
        wake[n++] = (struct xc_sr_hv_fault){
            .vcpu = vcpu,
            .cookie = VM_EVENT_FLAG_VCPU_PAUSED,
        };
        if ( n < RING_SLOTS && vcpu + 1 < hv->info.nr_vcpus )
            continue;
        rc = xc_sr__xen_fault_done(hv, wake, n);
        n = 0;
    }
    return rc;
}

static int find_missing(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t pfns[XC_SR_HV_BATCH];
    bool missing[XC_SR_HV_BATCH];
    int rc = 0;

    for ( uint64_t pfn = 0; !rc && pfn < x->nr_pfns; )
    {
        unsigned int nr = 0;

        while ( nr < XC_SR_HV_BATCH && pfn < x->nr_pfns )
            pfns[nr++] = pfn++;
        rc = xc_sr__xen_is_missing(hv, pfns, nr, missing);
        for ( unsigned int i = 0; !rc && i < nr; i++ )
            if ( missing[i] )
                xc_sr__pageset_add(&x->evicted, pfns[i]);
    }
    return rc;
}

/* A pause of the dead process's becomes ours; Xen counts them. */
static int pause_guest(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    int rc = xc_sr__xen_domain(x, x->domid, &info);

    if ( rc )
        return rc;
    x->stopped = x->params.is_paused && (info.flags & XEN_DOMINF_paused);
    return hv->ops->pause(hv);
}

static int renew_ring(struct xc_sr_hv *hv)
{
    int rc = xc_sr__xen_ring_drop(hv);

    if ( !rc )
        rc = xc_sr__xen_ring_make(hv);
    if ( !rc )
        rc = wake_vcpus(hv);
    if ( !rc )
        rc = xc_sr__xen_ring_drop(hv);
    if ( !rc )
        rc = xc_sr__xen_ring_make(hv);
    return rc;
}

int xc_sr__xen_take_over(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = pause_guest(hv);

    if ( rc )
        return rc;
    x->ran = x->taking_over = true;
    /* By the one who is dead; the domain has it still. */
    x->claimed = true;
    x->limit = x->params.limit_pages;
    x->lifted = x->params.lifted_pages;
    rc = renew_ring(hv);
    if ( !rc )
        rc = find_missing(hv);
    x->taking_over = rc != 0;
    if ( !rc )
    {
        xc_sr__info(hv->log,
                    "domain %u: paging taken over, %llu pages are missing",
                    x->domid, (unsigned long long)x->evicted.count);
        return 0;
    }
    xc_sr__error(hv->log, "domain %u: its paging cannot be taken over: %s",
                 x->domid, strerror(-rc));
    /* Others than the guest may touch it before somebody tries again. */
    if ( !x->paging && xc_sr__xen_ring_make(hv) )
        xc_sr__debug(hv->log, "domain %u: there may be no ring now", x->domid);
    return rc;
}

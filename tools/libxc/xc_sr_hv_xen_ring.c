/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_ring.c: how Xen tells us that somebody waits for a page, and
 * how we tell Xen that it may go on.
 *
 * The ring is a page of the guest's, which is taken away from the guest once
 * Xen and we have it mapped.  It has 8 slots, each taken from the request to
 * Xen's reading of the response; a request without a response is a slot lost
 * and, where a vCPU waits, a vCPU that stands still for ever.  Every response
 * names the interface version, or Xen drops it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xc_sr_hv_xen.h"

#include <xen/hvm/params.h>

#define DISABLE_TRIES 200
#define DISABLE_US    5000
#define GO_ON_TRIES   20

/* ---- Setting up -------------------------------------------------------------------- */

static int map_ring(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xen_pfn_t gfn = x->ring_gfn;

    for ( int i = 0; i < 2 && !x->ring_page; i++ )
    {
        int err = 0;
        void *page;

        /* It is nobody's while nobody pages: given a frame when needed. */
        if ( i &&
             xc_domain_populate_physmap_exact(x->xch, x->domid, 1, 0, 0, &gfn) )
            return -errno;
        page = xenforeignmemory_map(x->fmem, x->domid, PROT_READ | PROT_WRITE,
                                    1, &gfn, &err);
        if ( page && !err )
            x->ring_page = page;
        else if ( page )
            xenforeignmemory_unmap(x->fmem, page, 1);
    }
    if ( !x->ring_page )
        return -EFAULT;
    memset(x->ring_page, 0, XC_SR_PAGE_SIZE);
    SHARED_RING_INIT((vm_event_sring_t *)x->ring_page);
    BACK_RING_INIT(&x->ring, (vm_event_sring_t *)x->ring_page, XC_SR_PAGE_SIZE);
    return 0;
}

static int bind_port(struct xen *x, uint32_t remote)
{
    x->xce = xenevtchn_open(&x->logger.vtable, 0);
    if ( !x->xce )
        return -errno;
    x->port = xenevtchn_bind_interdomain(x->xce, x->domid, remote);
    if ( x->port < 0 )
        return -errno;
    return xc_sr__set_nonblock(xenevtchn_fd(x->xce), true);
}

/* Undoes what was done of setting up; Xen's part is the caller's. */
static void unmap_ring(struct xen *x)
{
    if ( x->xce && x->port >= 0 )
        xenevtchn_unbind(x->xce, (evtchn_port_t)x->port);
    if ( x->xce )
        xenevtchn_close(x->xce);
    if ( x->ring_page )
        xenforeignmemory_unmap(x->fmem, x->ring_page, 1);
    x->xce = NULL;
    x->port = -1;
    x->ring_page = NULL;
}

static int find_ring_gfn(struct xen *x)
{
    if ( x->ring_gfn )
        return 0;
    if ( xc_hvm_param_get(x->xch, x->domid, HVM_PARAM_PAGING_RING_PFN,
                          &x->ring_gfn) )
        return -errno;
    return x->ring_gfn ? 0 : -ENXIO;
}

int xc_sr__xen_ring_make(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xen_pfn_t gfn;
    uint32_t remote = 0;
    int rc = find_ring_gfn(x);

    if ( !rc )
        rc = map_ring(hv);
    if ( !rc && xc_mem_paging_enable(x->xch, x->domid, &remote) )
        rc = -errno;
    if ( rc )
        goto out;
    x->paging = true;
    rc = bind_port(x, remote);
    if ( rc )
        goto out;
    /* Out of the guest's reach; the mappings keep it alive. */
    gfn = x->ring_gfn;
    if ( xc_domain_decrease_reservation_exact(x->xch, x->domid, 1, 0, &gfn) )
        rc = -errno;

out:
    if ( rc && x->paging )
    {
        (void)xc_mem_paging_disable(x->xch, x->domid);
        x->paging = false;
    }
    if ( rc )
        unmap_ring(x);
    return rc;
}

static const struct
{
    int rc;
    uint32_t reason;
    const char *why;
} refusals[] = {
    { -ENOSYS, XC_SR_REASON_NO_PAGING,
      "the hypervisor here is built without memory paging "
      "(CONFIG_MEM_PAGING)" },
    { -EOPNOTSUPP, XC_SR_REASON_NO_PAGING,
      "paging needs a PV dom0 here, this one is HVM or PVH" },
    { -ENODEV, XC_SR_REASON_HAP,
      "the guest has no hardware assisted paging (HAP) here" },
    { -EMLINK, XC_SR_REASON_IOMMU,
      "the guest has an IOMMU here: no device may be passed through, and the "
      "configuration needs passthrough=\"disabled\"" },
    { -EXDEV, XC_SR_REASON_GUEST_TYPE,
      "the guest was started with populate-on-demand (memory < maxmem)" },
    { -EBUSY, XC_SR_REASON_BUSY, "somebody else pages this guest already" },
    { -ENXIO, XC_SR_REASON_GUEST_TYPE,
      "the guest has no page for the paging ring" },
    { -ENOMEM, XC_SR_REASON_NO_MEMORY,
      "not enough free memory for the guest on this host" },
};

/* To know whether it can be done, do it: only Xen knows all the reasons. */
int xc_sr__xen_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                            size_t why_len)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = 0;

    /* Of a guest that is paged already nothing needs to be found out. */
    if ( !x->paging && !x->params.take_over )
        rc = xc_sr__xen_ring_make(hv);
    if ( !rc )
        return 0;
    *reason_r = XC_SR_REASON_FAILED;
    snprintf(why, why_len, "paging cannot be switched on: %s", strerror(-rc));
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(refusals); i++ )
    {
        if ( refusals[i].rc != rc )
            continue;
        *reason_r = refusals[i].reason;
        snprintf(why, why_len, "%s", refusals[i].why);
    }
    return rc;
}

int xc_sr__xen_paging_on(struct xc_sr_hv *hv)
{
    const struct xen *x = xc_sr__xen_of(hv);

    if ( x->paging && !x->taking_over )
        return 0;
    return x->params.take_over ? xc_sr__xen_take_over(hv)
                               : xc_sr__xen_ring_make(hv);
}

/* ---- Requests and responses ------------------------------------------------------------ */

int xc_sr__xen_event_fd(struct xc_sr_hv *hv)
{
    const struct xen *x = xc_sr__xen_of(hv);

    return x->xce ? xenevtchn_fd(x->xce) : -1;
}

/* What the response has to repeat. */
static uint64_t cookie_of(const vm_event_request_t *req)
{
    return (uint64_t)req->u.mem_paging.flags << 32 | req->flags;
}

int xc_sr__xen_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                           unsigned int max, unsigned int *nr_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    unsigned int nr = 0;
    int port;

    if ( !x->ring_page )
        return -EINVAL;
    /* Quiet first, then look: what comes later rings again. */
    port = xenevtchn_pending(x->xce);
    if ( port >= 0 )
        (void)xenevtchn_unmask(x->xce, (evtchn_port_t)port);
    while ( nr < max && RING_HAS_UNCONSUMED_REQUESTS(&x->ring) )
    {
        vm_event_request_t req;

        memcpy(&req, RING_GET_REQUEST(&x->ring, x->ring.req_cons), sizeof(req));
        x->ring.req_cons++;
        x->ring.sring->req_event = x->ring.req_cons + 1;
        faults[nr++] = (struct xc_sr_hv_fault){
            .pfn = req.u.mem_paging.gfn,
            .vcpu = req.vcpu_id,
            .flags = (req.flags & VM_EVENT_FLAG_FOREIGN ? XC_SR_HV_FAULT_FOREIGN
                                                        : 0) |
                     (req.u.mem_paging.flags & MEM_PAGING_DROP_PAGE
                          ? XC_SR_HV_FAULT_DROP
                          : 0),
            .cookie = cookie_of(&req),
        };
    }
    *nr_r = nr;
    return 0;
}

int xc_sr__xen_fault_done(struct xc_sr_hv *hv,
                          const struct xc_sr_hv_fault *faults, unsigned int nr)
{
    struct xen *x = xc_sr__xen_of(hv);

    if ( !x->ring_page )
        return -EINVAL;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        vm_event_response_t rsp = {
            .version = VM_EVENT_INTERFACE_VERSION,
            .flags = (uint32_t)faults[i].cookie & VM_EVENT_FLAG_VCPU_PAUSED,
            .reason = VM_EVENT_REASON_MEM_PAGING,
            .vcpu_id = faults[i].vcpu,
            .u.mem_paging.gfn = faults[i].pfn,
            .u.mem_paging.flags = (uint32_t)(faults[i].cookie >> 32),
        };

        memcpy(RING_GET_RESPONSE(&x->ring, x->ring.rsp_prod_pvt), &rsp,
               sizeof(rsp));
        x->ring.rsp_prod_pvt++;
    }
    RING_PUSH_RESPONSES(&x->ring);
    return xenevtchn_notify(x->xce, (evtchn_port_t)x->port) < 0 ? -errno : 0;
}

/* ---- Taking down ----------------------------------------------------------------------- */

/* Nobody may be left waiting: requests for pages that are in. */
static void answer_all(struct xc_sr_hv *hv)
{
    struct xc_sr_hv_fault faults[8];
    unsigned int nr = 0;

    while (
        !xc_sr__xen_next_faults(hv, faults, XC_SR_ARRAY_SIZE(faults), &nr) &&
        nr )
        (void)xc_sr__xen_fault_done(hv, faults, nr);
}

/* Nothing else would end this pause. */
static int go_on(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = -EAGAIN;

    for ( int i = 0; i < GO_ON_TRIES && rc && rc != -ESRCH; i++ )
    {
        if ( i )
            usleep(DISABLE_US);
        rc = xc_domain_unpause(x->xch, x->domid) ? -errno : 0;
    }
    if ( rc )
        xc_sr__error(hv->log,
                     "domain %u: was paused to end paging, and cannot be "
                     "unpaused: %s",
                     x->domid, strerror(-rc));
    return rc;
}

/*
 * A vCPU may have found a page missing and be about to ask for it, inside Xen,
 * while the last page comes in: its request would find no ring, and it would
 * wait for ever.  In a paused domain none is on its way there: it has asked.
 */
static int disable(struct xc_sr_hv *hv, int *go_on_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    bool paused = !xc_domain_pause(x->xch, x->domid);
    int rc;

    answer_all(hv);
    rc = xc_mem_paging_disable(x->xch, x->domid) ? -errno : 0;
    *go_on_r = paused ? go_on(hv) : 0;
    return rc;
}

int xc_sr__xen_ring_drop(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = -EBUSY, go_on_rc = 0;

    /* Busy: a vCPU is still on its way out of the queue for a slot. */
    for ( int i = 0; i < DISABLE_TRIES && rc == -EBUSY && !go_on_rc; i++ )
    {
        if ( i )
            usleep(DISABLE_US);
        rc = disable(hv, &go_on_rc);
    }
    if ( rc )
        return rc;
    x->paging = false;
    unmap_ring(x);
    return go_on_rc;
}

int xc_sr__xen_paging_off(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = x->paging ? xc_sr__xen_ring_drop(hv) : 0;

    if ( !rc )
        xc_sr__xen_paging_release(x);
    return rc;
}

/*
 * Whoever dumps a guest maps its pages, and libxenforeignmemory waits for one
 * that is out, for ever.  Of a guest that has crashed and lost its connection
 * they will not come any more: they are zeroes.
 */
static void fill_crashed(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t pfns[XC_SR_HV_BATCH], pfn = 0, nr_missing = x->evicted.count;
    int errs[XC_SR_HV_BATCH];
    int rc = 0;

    while ( !rc && pfn < x->nr_pfns )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&x->evicted, &pfn, pfns, XC_SR_HV_BATCH);

        rc = nr ? xc_sr__xen_page_in(hv, pfns, nr, NULL, errs) : 0;
    }
    xc_sr__warn(hv->log,
                "domain %u crashed: %llu of its pages never came, and are "
                "zeroes in a dump",
                x->domid, (unsigned long long)nr_missing);
}

/* Of a guest that has run here pages are out, or may be. */
static bool is_short(const struct xen *x)
{
    return x->ran && (x->evicted.count || x->taking_over);
}

/*
 * A guest that runs here with pages missing keeps Xen's side of the ring: it
 * waits for a page.  Without a ring it would be killed at the next touch.  And
 * it keeps the frames that were claimed for it: another process may take this
 * one's place.
 */
void xc_sr__xen_ring_dispose(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    bool gone = false;

    if ( x->paging && is_short(x) && xc_sr__xen_has_crashed(hv) )
        fill_crashed(hv);
    if ( x->paging && !is_short(x) && xc_sr__xen_paging_off(hv) )
        xc_sr__debug(hv->log, "domain %u: paging stays on", x->domid);
    if ( !is_short(x) || (!xc_sr__xen_is_gone(hv, &gone) && gone) )
        xc_sr__xen_paging_release(x);
    unmap_ring(x);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_put.c: state that came for the destination's guest.
 *
 * All of it is a peer's: form and bounds are checked before Xen sees it, and
 * Xen checks the rest.  Policies and HVM_CONTEXT are kept until everything
 * has come (static_data_done(), state_done()); params and TSC are set as they
 * come.  The pages of xenstore and console begin empty, with channels of this
 * host, and the grant table says whose they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "xc_sr_hv_xen.h"

#include <xen/grant_table.h>
#include <xen/hvm/params.h>

#define TSC_LEN    24u
#define PARAM_LEN  16u
#define MAX_PARAMS 64u /* of the stream; Xen has fewer */

/* ---- Kept for later ------------------------------------------------------------ */

static int keep(struct xc_sr_hv_blob *blob, const void *data, size_t len,
                size_t multiple_of)
{
    uint8_t *copy;

    if ( len == 0 || len % multiple_of )
        return -EINVAL;
    copy = malloc(len);
    if ( !copy )
        return -ENOMEM;
    memcpy(copy, data, len);
    free(blob->data);
    *blob = (struct xc_sr_hv_blob){ .data = copy, .len = len };
    return 0;
}

/* ---- TSC, params ------------------------------------------------------------------ */

static int put_tsc(struct xen *x, const uint8_t *body, size_t len)
{
    if ( len != TSC_LEN )
        return -EINVAL;
    if ( xc_domain_set_tsc_info(x->xch, x->domid, xc_sr__le32(body),
                                xc_sr__le64(body + 8), xc_sr__le32(body + 4),
                                xc_sr__le32(body + 16)) )
        return -errno;
    return 0;
}

static int set_param(struct xc_sr_hv *hv, uint32_t index, uint64_t value)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc;

    if ( !xc_hvm_param_set(x->xch, x->domid, index, value) )
        return 0;
    rc = -errno;
    xc_sr__error(hv->log, "domain %u: HVM param %u = 0x%llx: %s", x->domid,
                 index, (unsigned long long)value, strerror(-rc));
    return rc;
}

static int clear_page(struct xc_sr_hv *hv, uint64_t pfn, const char *what)
{
    void *page = xc_sr__xen_map_one(hv, pfn, what);

    if ( !page )
        return -EINVAL;
    memset(page, 0, XC_SR_PAGE_SIZE);
    xenforeignmemory_unmap(xc_sr__xen_of(hv)->fmem, page, 1);
    return 0;
}

/* Rings between the guest and this host start empty. */
static int put_special(struct xc_sr_hv *hv, uint64_t index, uint64_t value)
{
    struct xen *x = xc_sr__xen_of(hv);

    switch ( index )
    {
    case HVM_PARAM_STORE_PFN:
        x->store_gfn = value;
        return clear_page(hv, value, "xenstore");
    case HVM_PARAM_CONSOLE_PFN:
        x->console_gfn = value;
        return clear_page(hv, value, "console");
    case HVM_PARAM_IOREQ_PFN:
    case HVM_PARAM_BUFIOREQ_PFN:
        return clear_page(hv, value, "ioreq");
    default:
        return 0;
    }
}

static int put_param(struct xc_sr_hv *hv, uint64_t index, uint64_t value)
{
    int rc;

    if ( index >= HVM_NR_PARAMS )
        return -EINVAL;
    /* Old senders have it, nobody wants it. */
    if ( index == HVM_PARAM_PAE_ENABLED )
        return 0;
    rc = put_special(hv, index, value);
    return rc ? rc : set_param(hv, (uint32_t)index, value);
}

static bool params_ok(const uint8_t *body, size_t len)
{
    uint32_t count;

    if ( len < 8 )
        return false;
    count = xc_sr__le32(body);
    return count <= MAX_PARAMS && len == 8 + (size_t)count * PARAM_LEN;
}

static int put_params(struct xc_sr_hv *hv, const uint8_t *body, size_t len)
{
    int rc = params_ok(body, len) ? 0 : -EINVAL;

    for ( size_t at = 8; !rc && at < len; at += PARAM_LEN )
        rc = put_param(hv, xc_sr__le64(body + at), xc_sr__le64(body + at + 8));
    return rc;
}

/* Of what will come, only where the ring is: paging is set up with it. */
static int put_early_params(struct xc_sr_hv *hv, const uint8_t *body,
                            size_t len)
{
    struct xen *x = xc_sr__xen_of(hv);

    if ( !params_ok(body, len) )
        return -EINVAL;
    for ( size_t at = 8; at < len; at += PARAM_LEN )
        if ( xc_sr__le64(body + at) == HVM_PARAM_PAGING_RING_PFN )
            x->ring_gfn = xc_sr__le64(body + at + 8);
    if ( x->ring_gfn >= x->nr_pfns )
        return -EINVAL;
    return x->ring_gfn ? set_param(hv, HVM_PARAM_PAGING_RING_PFN, x->ring_gfn)
                       : 0;
}

int xc_sr__xen_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                         const void *data, size_t len)
{
    struct xen *x = xc_sr__xen_of(hv);

    switch ( what )
    {
    case XC_SR_HV_STATE_TSC:
        return put_tsc(x, data, len);
    case XC_SR_HV_STATE_HVM_CONTEXT:
        return keep(&x->context, data, len, 1);
    case XC_SR_HV_STATE_HVM_PARAMS:
        return put_params(hv, data, len);
    case XC_SR_HV_STATE_CPUID_POLICY:
        return keep(&x->cpuid, data, len, sizeof(xen_cpuid_leaf_t));
    case XC_SR_HV_STATE_MSR_POLICY:
        return keep(&x->msr, data, len, sizeof(xen_msr_entry_t));
    case XC_SR_HV_STATE_EARLY_PARAMS:
        return put_early_params(hv, data, len);
    }
    return -EINVAL;
}

/* ---- Policies ------------------------------------------------------------------------ */

static int set_policy(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint8_t *buf = xencall_alloc_buffer(x->xcall, x->cpuid.len + x->msr.len);
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_set_cpu_policy,
        .domain = (domid_t)x->domid,
        .u.cpu_policy = {
            .nr_leaves = (uint32_t)(x->cpuid.len / sizeof(xen_cpuid_leaf_t)),
            .nr_msrs = (uint32_t)(x->msr.len / sizeof(xen_msr_entry_t)),
            .err_leaf = UINT32_MAX,
            .err_subleaf = UINT32_MAX,
            .err_msr = UINT32_MAX,
        },
    };
    int rc = 0;

    if ( !buf )
        return -ENOMEM;
    if ( x->cpuid.len )
        memcpy(buf, x->cpuid.data, x->cpuid.len);
    if ( x->msr.len )
        memcpy(buf + x->cpuid.len, x->msr.data, x->msr.len);
    set_xen_guest_handle_raw(op.u.cpu_policy.leaves, (xen_cpuid_leaf_t *)buf);
    set_xen_guest_handle_raw(op.u.cpu_policy.msrs,
                             (xen_msr_entry_t *)(buf + x->cpuid.len));
    if ( xc_domctl(x->xch, &op) )
    {
        rc = -errno;
        xc_sr__error(hv->log,
                     "domain %u: this host's CPU does not suit the guest: %s "
                     "(CPUID leaf 0x%x subleaf 0x%x, MSR 0x%x)",
                     x->domid, strerror(-rc), op.u.cpu_policy.err_leaf,
                     op.u.cpu_policy.err_subleaf, op.u.cpu_policy.err_msr);
    }
    xencall_free_buffer(x->xcall, buf);
    return rc;
}

int xc_sr__xen_static_data_done(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint32_t missing = (x->cpuid.len ? 0 : XC_SR_XEN_MISSING_CPUID) |
                       (x->msr.len ? 0 : XC_SR_XEN_MISSING_MSR);
    int rc = x->cpuid.len || x->msr.len ? set_policy(hv) : 0;

    if ( !rc && x->params.static_data_done )
        rc = x->params.static_data_done(x->params.ctx, missing);
    return rc;
}

/* ---- Everything is here ------------------------------------------------------------------ */

static void grant(grant_entry_v1_t *table, unsigned int ref, uint32_t domid,
                  uint64_t gfn)
{
    if ( !gfn )
        return;
    table[ref].domid = (domid_t)domid;
    table[ref].frame = (uint32_t)gfn;
    table[ref].flags = GTF_permit_access;
}

static int seed_grants(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xenforeignmemory_resource_handle *res;
    void *table = NULL;
    int rc;

    res = xenforeignmemory_map_resource(
        x->fmem, (domid_t)x->domid, XENMEM_resource_grant_table,
        XENMEM_resource_grant_table_id_shared, 0, 1, &table,
        PROT_READ | PROT_WRITE, 0);
    if ( !res )
    {
        rc = errno ? -errno : -EIO;
        xc_sr__error(hv->log, "domain %u: cannot map its grant table: %s",
                     x->domid, strerror(-rc));
        return rc;
    }
    grant(table, GNTTAB_RESERVED_CONSOLE, x->params.console_domid,
          x->console_gfn);
    grant(table, GNTTAB_RESERVED_XENSTORE, x->params.store_domid, x->store_gfn);
    xenforeignmemory_unmap_resource(x->fmem, res);
    return 0;
}

int xc_sr__xen_state_done(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc;

    if ( x->state_done )
        return 0;
    if ( !x->context.len )
        return -ENODATA;
    rc = xc_sr__xen_give_back_spare(hv);
    if ( rc )
        return rc;
    rc = set_param(hv, HVM_PARAM_STORE_EVTCHN, x->params.store_evtchn);
    if ( !rc )
        rc = set_param(hv, HVM_PARAM_CONSOLE_EVTCHN, x->params.console_evtchn);
    if ( rc )
        return rc;
    if ( xc_domain_hvm_setcontext(x->xch, x->domid, x->context.data,
                                  (uint32_t)x->context.len) )
    {
        rc = -errno;
        xc_sr__error(hv->log, "domain %u: HVM context: %s", x->domid,
                     strerror(-rc));
        return rc;
    }
    rc = seed_grants(hv);
    x->state_done = !rc;
    return rc;
}

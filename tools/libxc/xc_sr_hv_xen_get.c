/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_get.c: state of the source's guest as bodies of records, and
 * the pages that state names.
 *
 * Xen gives HVM_CONTEXT and the policies in the form in which they travel; the
 * rest is put together here.  Which HVM params travel is what Xen 4.17's own
 * toolstack sends.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv_xen.h"

#include <xen/hvm/params.h>
#include <xen/hvm/save.h>

#define TSC_LEN    24u
#define PARAM_LEN  16u
#define PAGE_MASK  (~(uint64_t)(XC_SR_PAGE_SIZE - 1))
/* More than Xen has; it says when it needs more. */
#define MAX_LEAVES 1024u
#define MAX_MSRS   256u

#define CR0_PG   0x80000000u
#define CR4_PAE  0x00000020u
#define EFER_LMA 0x00000400u
#define MSR_ON   0x1u /* of viridian's page-naming registers */

static const uint32_t params[] = {
    HVM_PARAM_STORE_PFN,
    HVM_PARAM_CONSOLE_PFN,
    HVM_PARAM_IOREQ_PFN,
    HVM_PARAM_BUFIOREQ_PFN,
    HVM_PARAM_IOREQ_SERVER_PFN,
    HVM_PARAM_NR_IOREQ_SERVER_PAGES,
    HVM_PARAM_PAGING_RING_PFN,
    HVM_PARAM_MONITOR_RING_PFN,
    HVM_PARAM_SHARING_RING_PFN,
    HVM_PARAM_IDENT_PT,
    HVM_PARAM_VM86_TSS_SIZED,
    HVM_PARAM_VM_GENERATION_ID_ADDR,
    HVM_PARAM_ACPI_IOPORTS_LOCATION,
    HVM_PARAM_VIRIDIAN,
    HVM_PARAM_X87_FIP_WIDTH,
    HVM_PARAM_MCA_CAP,
};

static int get_param(struct xc_sr_hv *hv, uint32_t index, uint64_t *value_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc;

    if ( !xc_hvm_param_get(x->xch, x->domid, index, value_r) )
        return 0;
    rc = -errno;
    xc_sr__error(hv->log, "domain %u: HVM param %u: %s", x->domid, index,
                 strerror(-rc));
    return rc;
}

/* ---- Blobs --------------------------------------------------------------------- */

static int get_tsc(struct xen *x, struct xc_sr_hv_blob *blob_r)
{
    uint32_t mode, khz, incarnation;
    uint64_t nsec;
    uint8_t *body;

    if ( xc_domain_get_tsc_info(x->xch, x->domid, &mode, &nsec, &khz,
                                &incarnation) )
        return -errno;
    body = calloc(1, TSC_LEN);
    if ( !body )
        return -ENOMEM;
    xc_sr__put_le32(body, mode);
    xc_sr__put_le32(body + 4, khz);
    xc_sr__put_le64(body + 8, nsec);
    xc_sr__put_le32(body + 16, incarnation);
    *blob_r = (struct xc_sr_hv_blob){ .data = body, .len = TSC_LEN };
    return 0;
}

static int get_context(struct xen *x, struct xc_sr_hv_blob *blob_r)
{
    int len = xc_domain_hvm_getcontext(x->xch, x->domid, NULL, 0);
    uint8_t *body;

    if ( len < 0 )
        return -errno;
    body = malloc((size_t)len);
    if ( !body )
        return -ENOMEM;
    len = xc_domain_hvm_getcontext(x->xch, x->domid, body, (uint32_t)len);
    if ( len < 0 )
    {
        int rc = -errno;

        free(body);
        return rc;
    }
    *blob_r = (struct xc_sr_hv_blob){ .data = body, .len = (size_t)len };
    return 0;
}

static int get_params(struct xc_sr_hv *hv, struct xc_sr_hv_blob *blob_r)
{
    /* The header is half as long as an entry. */
    uint8_t *body = calloc(1 + XC_SR_ARRAY_SIZE(params), PARAM_LEN);
    uint32_t count = 0;
    int rc = body ? 0 : -ENOMEM;

    for ( size_t i = 0; !rc && i < XC_SR_ARRAY_SIZE(params); i++ )
    {
        uint8_t *entry = body + 8 + count * PARAM_LEN;
        uint64_t value = 0;

        rc = get_param(hv, params[i], &value);
        if ( rc || !value )
            continue;
        xc_sr__put_le64(entry, params[i]);
        xc_sr__put_le64(entry + 8, value);
        count++;
    }
    if ( rc )
    {
        free(body);
        return rc;
    }
    xc_sr__put_le32(body, count);
    *blob_r =
        (struct xc_sr_hv_blob){ .data = body, .len = 8 + count * PARAM_LEN };
    return 0;
}

/* Both come with one call; which is wanted, the caller says. */
static int get_policy(struct xen *x, bool cpuid, struct xc_sr_hv_blob *blob_r)
{
    const size_t leaves_len = MAX_LEAVES * sizeof(xen_cpuid_leaf_t);
    const size_t msrs_len = MAX_MSRS * sizeof(xen_msr_entry_t);
    uint8_t *buf = xencall_alloc_buffer(x->xcall, leaves_len + msrs_len);
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_get_cpu_policy,
        .domain = (domid_t)x->domid,
        .u.cpu_policy = { .nr_leaves = MAX_LEAVES, .nr_msrs = MAX_MSRS },
    };
    size_t len;
    int rc = buf ? 0 : -ENOMEM;

    if ( rc )
        return rc;
    set_xen_guest_handle_raw(op.u.cpu_policy.leaves, (xen_cpuid_leaf_t *)buf);
    set_xen_guest_handle_raw(op.u.cpu_policy.msrs,
                             (xen_msr_entry_t *)(buf + leaves_len));
    if ( xc_domctl(x->xch, &op) )
        rc = -errno;
    len = cpuid ? op.u.cpu_policy.nr_leaves * sizeof(xen_cpuid_leaf_t)
                : op.u.cpu_policy.nr_msrs * sizeof(xen_msr_entry_t);
    if ( !rc && !len )
        rc = -ENODATA;
    if ( !rc )
    {
        blob_r->data = malloc(len);
        blob_r->len = len;
        rc = blob_r->data ? 0 : -ENOMEM;
    }
    if ( !rc )
        memcpy(blob_r->data, cpuid ? buf : buf + leaves_len, len);
    xencall_free_buffer(x->xcall, buf);
    return rc;
}

int xc_sr__xen_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                         struct xc_sr_hv_blob *blob_r)
{
    struct xen *x = xc_sr__xen_of(hv);

    switch ( what )
    {
    case XC_SR_HV_STATE_TSC:
        return get_tsc(x, blob_r);
    case XC_SR_HV_STATE_HVM_CONTEXT:
        return get_context(x, blob_r);
    case XC_SR_HV_STATE_HVM_PARAMS:
        return get_params(hv, blob_r);
    case XC_SR_HV_STATE_CPUID_POLICY:
        return get_policy(x, true, blob_r);
    case XC_SR_HV_STATE_MSR_POLICY:
        return get_policy(x, false, blob_r);
    case XC_SR_HV_STATE_EARLY_PARAMS:
        break;
    }
    return -ENODATA;
}

/* ---- Pages that state names ------------------------------------------------------- */

static void pin_address(struct xc_sr_pageset *set, uint64_t address,
                        uint64_t len)
{
    uint64_t pfn = address >> XC_SR_PAGE_SHIFT;
    uint64_t last = (address + (len ? len - 1 : 0)) >> XC_SR_PAGE_SHIFT;

    for ( ; address && pfn <= last && pfn < set->nr_pfns; pfn++ )
        xc_sr__pageset_add(set, pfn);
}

static int pin_params(struct xc_sr_hv *hv, struct xc_sr_pageset *set)
{
    static const uint32_t by_pfn[] = {
        HVM_PARAM_STORE_PFN,        HVM_PARAM_CONSOLE_PFN,
        HVM_PARAM_IOREQ_PFN,        HVM_PARAM_BUFIOREQ_PFN,
        HVM_PARAM_PAGING_RING_PFN,  HVM_PARAM_MONITOR_RING_PFN,
        HVM_PARAM_SHARING_RING_PFN,
    };
    uint64_t value = 0, nr = 0;
    int rc = 0;

    for ( size_t i = 0; !rc && i < XC_SR_ARRAY_SIZE(by_pfn); i++ )
    {
        rc = get_param(hv, by_pfn[i], &value);
        pin_address(set, value << XC_SR_PAGE_SHIFT, 0);
    }
    if ( !rc )
        rc = get_param(hv, HVM_PARAM_NR_IOREQ_SERVER_PAGES, &nr);
    if ( !rc )
        rc = get_param(hv, HVM_PARAM_IOREQ_SERVER_PFN, &value);
    if ( rc )
        return rc;
    pin_address(set, nr ? value << XC_SR_PAGE_SHIFT : 0,
                nr << XC_SR_PAGE_SHIFT);
    rc = get_param(hv, HVM_PARAM_IDENT_PT, &value);
    if ( rc )
        return rc;
    pin_address(set, value, XC_SR_PAGE_SIZE);
    rc = get_param(hv, HVM_PARAM_VM86_TSS_SIZED, &value);
    if ( rc )
        return rc;
    /* The size stands above the address, a flag in the lowest bit. */
    pin_address(set, (uint32_t)value & PAGE_MASK,
                (value & ~PAGE_MASK) + (value >> 32));
    rc = get_param(hv, HVM_PARAM_VM_GENERATION_ID_ADDR, &value);
    if ( !rc )
        pin_address(set, value, 16);
    return rc;
}

static void pin_msr(struct xc_sr_pageset *set, uint64_t msr)
{
    if ( msr & MSR_ON )
        pin_address(set, msr & PAGE_MASK, 0);
}

/* A section may be shorter than ours: an older Xen wrote it. */
static void pin_section(struct xc_sr_pageset *set, uint16_t code,
                        const uint8_t *body, uint32_t len)
{
    if ( code == HVM_SAVE_CODE(CPU) && len >= sizeof(struct hvm_hw_cpu_compat) )
    {
        struct hvm_hw_cpu cpu = { 0 };

        memcpy(&cpu, body, len < sizeof(cpu) ? len : sizeof(cpu));
        if ( (cpu.cr0 & CR0_PG) && (cpu.cr4 & CR4_PAE) &&
             !(cpu.msr_efer & EFER_LMA) )
            pin_address(set, (uint32_t)cpu.cr3 & PAGE_MASK, 0);
    }
    else if ( code == HVM_SAVE_CODE(VIRIDIAN_DOMAIN) &&
              len >= sizeof(struct hvm_viridian_domain_context) )
    {
        struct hvm_viridian_domain_context v;

        memcpy(&v, body, sizeof(v));
        pin_msr(set, v.hypercall_gpa);
        pin_msr(set, v.reference_tsc);
    }
    else if ( code == HVM_SAVE_CODE(VIRIDIAN_VCPU) &&
              len >= sizeof(struct hvm_viridian_vcpu_context) )
    {
        struct hvm_viridian_vcpu_context v;

        memcpy(&v, body, sizeof(v));
        pin_msr(set, v.vp_assist_msr);
        pin_msr(set, v.simp_msr);
    }
}

static void pin_context(struct xc_sr_pageset *set,
                        const struct xc_sr_hv_blob *context)
{
    size_t at = 0;

    while ( context->len - at >= sizeof(struct hvm_save_descriptor) )
    {
        struct hvm_save_descriptor desc;

        memcpy(&desc, context->data + at, sizeof(desc));
        at += sizeof(desc);
        if ( desc.length > context->len - at )
            break;
        pin_section(set, desc.typecode, context->data + at, desc.length);
        at += desc.length;
    }
}

int xc_sr__xen_pinned(struct xc_sr_hv *hv, struct xc_sr_pageset *set)
{
    struct xc_sr_hv_blob context = { 0 };
    int rc = pin_params(hv, set);

    if ( !rc )
        rc = get_context(xc_sr__xen_of(hv), &context);
    if ( !rc )
        pin_context(set, &context);
    free(context.data);
    return rc;
}

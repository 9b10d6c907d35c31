/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_check.c: what stands in the way of post-copy, on this host or
 * with one of its guests.
 *
 * Called by xl postcopy-check, and by xl migrate before it touches a guest; it
 * changes nothing.  Whether a guest can be paged is known for certain only to
 * the destination's Xen, when it is asked (xc_sr__xen_paging_probe()); this
 * finds what can be found before.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_hv_xen.h"

#include <xen/hvm/params.h>

/* Nobody's: libxl and Xen count upwards from 1. */
#define UNUSED_DOMID 0x7fe0u

#define LEAF_FEATURES 0x1u
#define LEAF_EXTENDED 0x80000001u
#define ECX_VMX       0x20u
#define ECX_SVM       0x4u

static void add(struct xc_sr_xen_report *report, uint32_t reason,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add(struct xc_sr_xen_report *report, uint32_t reason,
                const char *fmt, ...)
{
    struct xc_sr_xen_obstacle *o = &report->obstacles[report->nr_obstacles];
    va_list ap;

    if ( report->nr_obstacles == XC_SR_XEN_MAX_OBSTACLES )
        return;
    o->reason = reason;
    va_start(ap, fmt);
    vsnprintf(o->text, sizeof(o->text), fmt, ap);
    va_end(ap);
    report->nr_obstacles++;
}

/* ---- This host ------------------------------------------------------------------------ */

static int look_at_version(struct xen *x, struct xc_sr_xen_report *report)
{
    xen_extraversion_t extra = "";
    int version = xc_version(x->xch, XENVER_version, NULL);

    if ( version < 0 || xc_version(x->xch, XENVER_extraversion, &extra) < 0 )
        return -errno;
    report->xen_major = (unsigned int)version >> 16;
    report->xen_minor = (unsigned int)version & 0xffff;
    snprintf(report->xen_extra, sizeof(report->xen_extra), "%s", extra);
    return 0;
}

/* A paging call for nobody tells a hypervisor that has it from one that has
 * not. */
static bool has_paging(struct xen *x)
{
    return xc_mem_paging_nominate(x->xch, UNUSED_DOMID, 0) == 0 ||
           errno != ENOSYS;
}

static int look_at_host(struct xen *x, struct xc_sr_xen_report *report)
{
    xc_physinfo_t phys = { 0 };
    xc_domaininfo_t dom0;
    int rc;

    if ( xc_physinfo(x->xch, &phys) )
        return -errno;
    report->free_kib = phys.free_pages * 4;
    report->paging_built = has_paging(x);
    if ( !report->paging_built )
        add(report, XC_SR_REASON_NO_PAGING,
            "the hypervisor is built without memory paging: install one with "
            "CONFIG_MEM_PAGING=y (make paging-hypervisor)");
    rc = xc_sr__xen_domain(x, 0, &dom0);
    if ( rc )
        return rc;
    if ( dom0.flags & XEN_DOMINF_hvm_guest )
        add(report, XC_SR_REASON_NO_PAGING,
            "dom0 is not PV, and Xen pages no guests then: boot without "
            "dom0=pvh");
    if ( !(phys.capabilities & XEN_SYSCTL_PHYSCAP_hap) )
        add(report, XC_SR_REASON_HAP,
            "the CPU has no hardware assisted paging, or Xen was booted with "
            "hap=0");
    return 0;
}

/* ---- One domain ------------------------------------------------------------------------- */

static bool leaf_has(const uint8_t *leaf, uint32_t number, uint32_t ecx_bit)
{
    return xc_sr__le32(leaf) == number &&
           (xc_sr__le32(leaf + offsetof(xen_cpuid_leaf_t, c)) & ecx_bit);
}

static int look_for_nested(struct xc_sr_hv *hv, struct xc_sr_xen_report *report)
{
    struct xc_sr_hv_blob cpuid = { 0 };
    bool nested = false;
    int rc = xc_sr__xen_state_get(hv, XC_SR_HV_STATE_CPUID_POLICY, &cpuid);

    if ( rc )
        return rc == -ENODATA ? 0 : rc;
    for ( size_t at = 0; at + sizeof(xen_cpuid_leaf_t) <= cpuid.len;
          at += sizeof(xen_cpuid_leaf_t) )
        nested = nested || leaf_has(cpuid.data + at, LEAF_FEATURES, ECX_VMX) ||
                 leaf_has(cpuid.data + at, LEAF_EXTENDED, ECX_SVM);
    free(cpuid.data);
    if ( nested )
        add(report, XC_SR_REASON_GUEST_TYPE,
            "the guest may itself run guests (nestedhvm=1): it cannot be "
            "paged");
    return 0;
}

static void look_for_pod(struct xen *x, struct xc_sr_xen_report *report)
{
    uint64_t total = 0, cache = 0, entries = 0;

    if ( !xc_domain_get_pod_target(x->xch, x->domid, &total, &cache,
                                   &entries) &&
         entries )
        add(report, XC_SR_REASON_GUEST_TYPE,
            "%llu pages of the guest are populate-on-demand still (memory < "
            "maxmem): they go once it has touched or ballooned them",
            (unsigned long long)entries);
}

/* NULL: there is none. */
static char *read_node(struct xs_handle *xs, const char *path)
{
    unsigned int len;

    return xs_read(xs, XBT_NULL, path, &len);
}

/* What libxl has noted of its devices and of who plays them. */
static void look_for_devices(struct xen *x, struct xc_sr_xen_report *report)
{
    struct xs_handle *xs = xs_open(0);
    char path[80], *found;

    if ( !xs )
        return;
    snprintf(path, sizeof(path), "/libxl/%u/device/pci/0", x->domid);
    found = read_node(xs, path);
    if ( found )
        add(report, XC_SR_REASON_IOMMU,
            "the guest has a PCI device passed through: detach it first");
    free(found);
    snprintf(path, sizeof(path), "/local/domain/%u/image/device-model-domid",
             x->domid);
    found = read_node(xs, path);
    if ( found && strcmp(found, "0") )
        add(report, XC_SR_REASON_GUEST_TYPE,
            "the guest's device model is domain %.10s: it needs one in dom0 "
            "(device_model_stubdomain_override=0)",
            found);
    free(found);
    xs_close(xs);
}

static int look_at_domain(struct xc_sr_hv *hv, struct xc_sr_xen_report *report)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    uint64_t altp2m = 0;
    int rc = xc_sr__xen_domain(x, x->domid, &info);

    if ( rc )
        return rc;
    if ( !(info.flags & XEN_DOMINF_hvm_guest) )
    {
        add(report, XC_SR_REASON_GUEST_TYPE,
            "it is a PV guest: only HVM and PVH guests can be paged");
        return 0;
    }
    if ( !(info.flags & XEN_DOMINF_hap) )
        add(report, XC_SR_REASON_HAP,
            "the guest runs without hardware assisted paging: remove hap=0 "
            "from its configuration");
    if ( !xc_hvm_param_get(x->xch, x->domid, HVM_PARAM_ALTP2M, &altp2m) &&
         altp2m )
        add(report, XC_SR_REASON_GUEST_TYPE,
            "the guest uses altp2m: it cannot be paged");
    look_for_pod(x, report);
    look_for_devices(x, report);
    return look_for_nested(hv, report);
}

int xc_sr_xen_check(uint32_t domid, const struct xc_sr_log *log,
                    struct xc_sr_xen_report *report_r)
{
    struct xen x = { .domid = domid, .port = -1 };
    struct xc_sr_hv hv = { .log = log, .priv = &x };
    struct xc_sr_xen_report report;
    int rc;

    memset(&report, 0, sizeof(report));
    rc = xc_sr__xen_open_libraries(&x, log);
    if ( !rc )
        rc = look_at_version(&x, &report);
    if ( !rc && domid == XC_SR_XEN_NO_DOMAIN )
        rc = look_at_host(&x, &report);
    else if ( !rc )
        rc = look_at_domain(&hv, &report);
    xc_sr__xen_close_libraries(&x);
    if ( !rc )
        *report_r = report;
    return rc;
}

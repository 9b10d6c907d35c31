/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_noxen.c: what stands behind xenpostcopy_xen.h where the library was
 * built without Xen's own libraries.  Callers need no second set of sources:
 * they are told at run time.
 */
#include <errno.h>

#include "xc_sr_base.h"
#include "xenpostcopy_xen.h"

static int without_xen(const struct xc_sr_log *log)
{
    xc_sr__error(log, "this xen-postcopy was built without Xen's libraries: "
                      "install libxen-dev and build it again");
    return -ENOSYS;
}

int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r)
{
    (void)domid;
    (void)hooks;
    (void)hv_r;
    return without_xen(log);
}

int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r)
{
    (void)domid;
    (void)params;
    (void)hv_r;
    return without_xen(log);
}

int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r)
{
    (void)hv;
    (void)store_gfn_r;
    (void)console_gfn_r;
    return -ENOSYS;
}

int xc_sr_xen_check(uint32_t domid, const struct xc_sr_log *log,
                    struct xc_sr_xen_report *report_r)
{
    (void)domid;
    (void)report_r;
    return without_xen(log);
}

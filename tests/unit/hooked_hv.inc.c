/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hooked_hv.inc.c: the hypervisor in memory (fake_hv.inc.c) as libxlpostcopy
 * gets it, which has hooks in it.  Included by the tests of both sides.
 */
#include "fake_hv.inc.c"

#include "xenpostcopy_xen.h"

static struct fake_guest guest; /* this process's side */

static struct xc_sr_hv_ops hooked_ops;
static struct xc_sr_xen_source_hooks source_hooks;
static struct xc_sr_xen_destination_params destination_hooks;

static int hooked_suspend_start(struct xc_sr_hv *hv)
{
    (void)hv;
    return source_hooks.suspend_start(source_hooks.ctx);
}

static int hooked_suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                               enum xc_sr_hv_suspend *state_r)
{
    bool done = false;
    int rc = source_hooks.suspend_poll(source_hooks.ctx, timeout_us, &done);

    guest_of(hv)->suspended = done;
    *state_r = done ? XC_SR_HV_SUSPENDED : XC_SR_HV_SUSPEND_ASKED;
    return rc;
}

static int hooked_resume(struct xc_sr_hv *hv)
{
    int rc = source_hooks.resume(source_hooks.ctx);

    return rc ? rc : fake_resume(hv);
}

static int hooked_dirty_on(struct xc_sr_hv *hv)
{
    int rc = source_hooks.logdirty(source_hooks.ctx, true);

    return rc ? rc : fake_dirty_on(hv);
}

static int hooked_dirty_off(struct xc_sr_hv *hv)
{
    int rc = source_hooks.logdirty(source_hooks.ctx, false);

    return rc ? rc : fake_dirty_off(hv);
}

static int hooked_static_data_done(struct xc_sr_hv *hv)
{
    int rc = destination_hooks.static_data_done(destination_hooks.ctx,
                                                XC_SR_XEN_MISSING_CPUID);

    return rc ? rc : fake_static_data_done(hv);
}

static int hooked_unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    int rc = destination_hooks.unpause(destination_hooks.ctx, leave_paused);

    return rc ? rc : fake_unpause(hv, leave_paused);
}

static void take_hold(struct xc_sr_hv **hv_r)
{
    hooked_ops = fake_ops;
    hooked_ops.suspend_start = hooked_suspend_start;
    hooked_ops.suspend_poll = hooked_suspend_poll;
    hooked_ops.resume = hooked_resume;
    hooked_ops.dirty_on = hooked_dirty_on;
    hooked_ops.dirty_off = hooked_dirty_off;
    hooked_ops.static_data_done = hooked_static_data_done;
    hooked_ops.unpause = hooked_unpause;
    *hv_r = malloc(sizeof(**hv_r)); /* xc_sr_hv_close() frees it */
    if ( !*hv_r )
        abort();
    **hv_r = guest.hv;
    (*hv_r)->ops = &hooked_ops;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xenpostcopy_xen.h: guests of a real Xen as the engine sees them.
 *
 * A toolstack that drives libxl opens a handle here and gives it to xc_sr_save()
 * or xc_sr_restore().  What only libxl can do (suspend a guest, resume it,
 * tell its device model something) the library asks for through hooks.
 *
 * Every hook is called in the thread that runs the engine, with its ctx; a
 * hook that must not block says so.  Hooks return 0 or -errno.
 *
 * A library built without Xen's own has these functions too: they fail with
 * -ENOSYS and say so in the log.
 */
#ifndef XENPOSTCOPY_XEN_H
#define XENPOSTCOPY_XEN_H

#include "xenpostcopy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Source ------------------------------------------------------------- */

struct xc_sr_xen_source_hooks
{
    /*
     * Asks for the guest's suspension (libxl: helper message 3) and returns
     * at once.
     */
    int (*suspend_start)(void *ctx);
    /*
     * Waits at most timeout_us (0: not at all) for the answer.  *suspended_r
     * true: it is suspended, nothing of it runs any more.  -errno: it will
     * not be, and the guest runs on.
     */
    int (*suspend_poll)(void *ctx, uint64_t timeout_us, bool *suspended_r);
    /*
     * The guest runs here again, whatever the suspending has come to: not
     * asked, asked, done.  May take a few seconds.
     */
    int (*resume)(void *ctx);
    /*
     * Switches the device model's dirty log (libxl: message 7); may take a
     * few seconds.  NULL: there is none to switch.
     */
    int (*logdirty)(void *ctx, bool on);
    void *ctx;
};

/*
 * Opens domain domid as a source.  *hooks is copied.  Closing the handle
 * switches the dirty log off, unmaps everything, and neither resumes nor ends
 * the guest: on Xen nobody but the caller can.  Of a guest that is suspended
 * already, because the process that held it is gone, a dirty log that was left
 * on is switched off; hooks without suspend_start() are for such a guest alone.
 * Errors: -ESRCH no such domain, -EOPNOTSUPP a PV guest, -EBUSY: it is not
 * suspended, and should be, -EACCES, -ENOSYS.
 */
int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r);

/* ---- Destination -------------------------------------------------------- */

/* Bits of `missing`: what the stream did not have. */
#define XC_SR_XEN_MISSING_CPUID 0x1u
#define XC_SR_XEN_MISSING_MSR   0x2u

struct xc_sr_xen_destination_params
{
    /* As libxl gave them on its helper's command line. */
    uint32_t store_evtchn;
    uint32_t store_domid;
    uint32_t console_evtchn;
    uint32_t console_domid;
    /*
     * Static data is in (libxl: message 8), before any memory is.  Called
     * exactly once.  NULL: nobody wants to know.
     */
    int (*static_data_done)(void *ctx, uint32_t missing);
    /*
     * Its first instruction here (libxl_domain_unpause()); leave_paused: it
     * is handed over, and somebody else unpauses it.  -EINPROGRESS: nobody
     * knows whether it runs; -EALREADY: under way, serve pages, call again.  NULL: the hypervisor is asked directly, which is
     * right for guests without a device model.
     */
    int (*unpause)(void *ctx, bool leave_paused);
    /*
     * The domain runs here with pages missing, and the process that served
     * it is dead: take its place.  The guest is paused from when paging is
     * switched on until it is unpaused; meanwhile the caller keeps device
     * models and back ends from touching its memory.  No state is put.
     * is_paused: the dead process had paused it, or not yet let it run; that
     * pause is ended, too.
     */
    bool take_over;
    bool is_paused;
    /*
     * An administrator has lowered the limit of the domain's memory while
     * pages are missing, and there is no room for them: it is about to be
     * lifted_pages until all are here, then limit_pages again.  Whoever takes
     * a dead process's place is given both; 0: not lifted, or not known.
     */
    void (*limit_lifted)(void *ctx, uint64_t limit_pages,
                         uint64_t lifted_pages);
    uint64_t limit_pages;
    uint64_t lifted_pages;
    void *ctx;
};

/*
 * Opens domain domid, empty and paused, as a destination.  *params is copied.
 * Closing the handle takes paging down as far as that is possible and leaves
 * the domain alone: ending it is the caller's, see
 * xc_sr_restore_params.destroy.
 * Errors: as xc_sr_hv_open_xen_source().
 */
int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r);

/*
 * The pages of xenstore and console (libxl: message 9).  Known from the first
 * call of upper.begin() on, and after a plain stream has ended; -ENODATA: not
 * yet.
 */
int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r);

/* ---- What this host can do ---------------------------------------------- */

/* One thing that stands in the way of post-copy. */
struct xc_sr_xen_obstacle
{
    uint32_t reason; /* XC_SR_REASON_* */
    char text[200];  /* one sentence: what, and what to change */
};

#define XC_SR_XEN_MAX_OBSTACLES 12

struct xc_sr_xen_report
{
    unsigned int xen_major;
    unsigned int xen_minor;
    char xen_extra[16]; /* ".5", "-rc3" */
    bool paging_built;  /* the hypervisor has memory paging */
    uint64_t free_kib;
    unsigned int nr_obstacles;
    struct xc_sr_xen_obstacle obstacles[XC_SR_XEN_MAX_OBSTACLES];
};

#define XC_SR_XEN_NO_DOMAIN UINT32_MAX

/*
 * Looks at this host as a destination (domid XC_SR_XEN_NO_DOMAIN), or at a
 * domain that is to leave it; changes nothing.  Returns 0 when it could look,
 * obstacles or not; -ENOSYS, -EACCES, -ESRCH, ... when it could not.
 */
int xc_sr_xen_check(uint32_t domid, const struct xc_sr_log *log,
                    struct xc_sr_xen_report *report_r);

#ifdef __cplusplus
}
#endif

#endif /* XENPOSTCOPY_XEN_H */

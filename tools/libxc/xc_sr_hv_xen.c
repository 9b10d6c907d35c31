/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen.c: the Xen backend of the hypervisor seam: opening, closing,
 * and the life of the guest.
 *
 * Called by the engines through xc_sr_hv.c, always from one thread.  What
 * only a toolstack can do (suspend, resume) it is asked for through hooks;
 * everything else goes to Xen's own libraries directly.  Nothing here knows
 * a stream.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "xc_sr_hv_xen.h"

#include <xen/sched.h>

/* Guests may have memory above their last page of RAM: device memory below
 * 4 GiB, and what was added later.  Sets of pfns cost one bit each. */
#define MMIO_HOLE_PFNS (1ull << 20)
#define SLACK_PFNS     (1ull << 18)

#define RELEASE_WATCH "@releaseDomain"

/* ---- Log ---------------------------------------------------------------- */

static void log_message(struct xentoollog_logger *logger,
                        xentoollog_level level, int errnoval,
                        const char *context, const char *format, va_list al)
    __attribute__((format(printf, 5, 0)));

/* Who calls Xen says once what failed; this is the detail behind it. */
static void log_message(struct xentoollog_logger *logger,
                        xentoollog_level level, int errnoval,
                        const char *context, const char *format, va_list al)
{
    const struct xen_logger *l = (const struct xen_logger *)logger;
    char text[256];

    (void)level;
    vsnprintf(text, sizeof(text), format, al);
    if ( errnoval >= 0 )
        xc_sr__debug(l->log, "%s: %s: %s", context ? context : "xen", text,
                     strerror(errnoval));
    else
        xc_sr__debug(l->log, "%s: %s", context ? context : "xen", text);
}

/* ---- Xen's libraries ------------------------------------------------------ */

int xc_sr__xen_open_libraries(struct xen *x, const struct xc_sr_log *log)
{
    x->logger.vtable.vmessage = log_message;
    x->logger.log = log;
    errno = ENOENT;
    x->xch = xc_interface_open(&x->logger.vtable, &x->logger.vtable, 0);
    if ( x->xch )
        x->fmem = xenforeignmemory_open(&x->logger.vtable, 0);
    if ( x->fmem )
        x->xcall = xencall_open(&x->logger.vtable, 0);
    if ( x->xcall )
        return 0;
    xc_sr__error(log,
                 "cannot speak to the hypervisor: %s (is this a Xen host's "
                 "control domain, and are you root?)",
                 strerror(errno));
    return errno ? -errno : -EIO;
}

void xc_sr__xen_close_libraries(struct xen *x)
{
    if ( x->xcall )
        xencall_close(x->xcall);
    if ( x->fmem )
        xenforeignmemory_close(x->fmem);
    if ( x->xch )
        xc_interface_close(x->xch);
}

int xc_sr__xen_domain(const struct xen *x, uint32_t domid,
                      xc_domaininfo_t *info_r)
{
    xc_domaininfo_t info;
    int nr = xc_domain_getinfolist(x->xch, domid, 1, &info);

    if ( nr < 0 )
        return -errno;
    if ( nr == 0 || info.domain != domid )
        return -ESRCH;
    *info_r = info;
    return 0;
}

/* ---- Life ------------------------------------------------------------------- */

static int get_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    int version = xc_version(x->xch, XENVER_version, NULL);
    int rc = version < 0 ? -errno : xc_sr__xen_domain(x, x->domid, &info);

    if ( rc )
        return rc;
    *info_r = (struct xc_sr_hv_info){
        .nr_pfns = x->nr_pfns,
        .nr_pages =
            x->role == XC_SR_HV_SOURCE ? info.tot_pages : info.max_pages,
        .nr_vcpus = info.max_vcpu_id + 1,
        .guest_type = info.flags & XEN_DOMINF_hvm_guest ? 2 : 1,
        .domid = x->domid,
        .xen_major = (uint32_t)version >> 16,
        .xen_minor = (uint32_t)version & 0xffff,
        .caps = x->role == XC_SR_HV_SOURCE ? XC_SR_HV_CAP_DIRTY
                                           : XC_SR_HV_CAP_PAGING,
        .paused = info.flags & XEN_DOMINF_paused,
    };
    return 0;
}

static int suspend_start(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    x->suspended = false;
    return x->hooks.suspend_start(x->hooks.ctx);
}

static int suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                        enum xc_sr_hv_suspend *state_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    bool suspended = false;
    int rc = x->hooks.suspend_poll(x->hooks.ctx, timeout_us, &suspended);

    if ( rc )
        return rc;
    x->suspended = suspended;
    *state_r = suspended ? XC_SR_HV_SUSPENDED : XC_SR_HV_SUSPEND_ASKED;
    return 0;
}

static int resume(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    x->suspended = false;
    xc_sr__xen_map_forget(x);
    return x->hooks.resume(x->hooks.ctx);
}

/* Closing a handle resumes nobody: there is nothing to be told. */
static int retain(struct xc_sr_hv *hv)
{
    (void)hv;
    return 0;
}

static int unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = 0;

    /* Ends our own pause, and no administrator's. */
    if ( x->stopped )
    {
        if ( xc_domain_unpause(x->xch, x->domid) )
            return -errno;
        x->stopped = false;
        return 0;
    }
    if ( x->params.unpause )
        rc = x->params.unpause(x->params.ctx, leave_paused);
    else if ( !leave_paused && xc_domain_unpause(x->xch, x->domid) )
        rc = -errno;
    /* Also while it is being done: that may succeed when nobody looks. */
    if ( !rc || rc == -EINPROGRESS || rc == -EALREADY )
        x->ran = true;
    return rc;
}

static int stop(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    if ( x->stopped )
        return 0;
    if ( xc_domain_pause(x->xch, x->domid) )
        return -errno;
    x->stopped = true;
    return 0;
}

static int gone_fd(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    return x->xs ? xs_fileno(x->xs) : -1;
}

/* Some domain somewhere has ended: the descriptor is to be quiet again. */
static void drain_watch(struct xen *x)
{
    char **event;

    while ( x->xs && (event = xs_check_watch(x->xs)) )
        free(event);
}

static bool has_stopped(const xc_domaininfo_t *info, unsigned int reason)
{
    return (info->flags & XEN_DOMINF_shutdown) &&
           (info->flags >> XEN_DOMINF_shutdownshift &
            XEN_DOMINF_shutdownmask) == reason;
}

static bool is_suspended(const xc_domaininfo_t *info)
{
    return has_stopped(info, SHUTDOWN_suspend);
}

/* A guest that is to be reset goes on with the memory it has. */
static bool is_over(const xc_domaininfo_t *info)
{
    return (info->flags & XEN_DOMINF_dying) ||
           ((info->flags & XEN_DOMINF_shutdown) && !is_suspended(info) &&
            !has_stopped(info, SHUTDOWN_soft_reset));
}

bool xc_sr__xen_has_crashed(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;

    return !xc_sr__xen_domain(x, x->domid, &info) &&
           !(info.flags & XEN_DOMINF_dying) &&
           (has_stopped(&info, SHUTDOWN_crash) ||
            has_stopped(&info, SHUTDOWN_watchdog));
}

int xc_sr__xen_is_gone(struct xc_sr_hv *hv, bool *gone_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    int rc;

    drain_watch(x);
    rc = xc_sr__xen_domain(x, x->domid, &info);
    if ( rc && rc != -ESRCH )
        return rc;
    *gone_r = rc == -ESRCH || is_over(&info);
    return 0;
}

/* ---- Opening and closing ------------------------------------------------------ */

static void dispose(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    if ( !x )
        return;
    xc_sr__xen_dirty_dispose(hv);
    xc_sr__xen_map_dispose(x);
    xc_sr__xen_ring_dispose(hv);
    xc_sr__xen_page_dispose(x);
    if ( x->xs )
        xs_close(x->xs);
    xc_sr__pageset_dispose(&x->populated);
    xc_sr__pageset_dispose(&x->spare);
    xc_sr__pageset_dispose(&x->evicted);
    free(x->context.data);
    free(x->cpuid.data);
    free(x->msr.data);
    xc_sr__xen_close_libraries(x);
    free(x);
}

static const struct xc_sr_hv_ops xen_ops = {
    .name = "xen",
    .close = dispose,
    .info = get_info,
    .suspend_start = suspend_start,
    .suspend_poll = suspend_poll,
    .resume = resume,
    .retain = retain,
    .unpause = unpause,
    .pause = stop,
    .gone_fd = gone_fd,
    .is_gone = xc_sr__xen_is_gone,
    .has_crashed = xc_sr__xen_has_crashed,
    .page_types = xc_sr__xen_page_types,
    .look_ahead = xc_sr__xen_look_ahead,
    .pinned = xc_sr__xen_pinned,
    .map = xc_sr__xen_map,
    .unmap = xc_sr__xen_unmap,
    .populate = xc_sr__xen_populate,
    .write_pages = xc_sr__xen_write_pages,
    .dirty_on = xc_sr__xen_dirty_on,
    .dirty_fetch = xc_sr__xen_dirty_fetch,
    .dirty_off = xc_sr__xen_dirty_off,
    .state_get = xc_sr__xen_state_get,
    .state_put = xc_sr__xen_state_put,
    .static_data_done = xc_sr__xen_static_data_done,
    .state_done = xc_sr__xen_state_done,
    .paging_probe = xc_sr__xen_paging_probe,
    .paging_reserve = xc_sr__xen_paging_reserve,
    .paging_on = xc_sr__xen_paging_on,
    .page_out = xc_sr__xen_page_out,
    .is_missing = xc_sr__xen_is_missing,
    .event_fd = xc_sr__xen_event_fd,
    .next_faults = xc_sr__xen_next_faults,
    .page_in = xc_sr__xen_page_in,
    .fault_done = xc_sr__xen_fault_done,
    .paging_off = xc_sr__xen_paging_off,
};

static int find_size(struct xen *x, const xc_domaininfo_t *info)
{
    uint64_t most = info->max_pages + MMIO_HOLE_PFNS + SLACK_PFNS;
    bool arrives = x->role == XC_SR_HV_DESTINATION && !x->params.take_over;
    xen_pfn_t nr = 0;

    if ( !arrives && xc_domain_nr_gpfns(x->xch, x->domid, &nr) < 0 )
        return -errno;
    /* One that runs may have given memory back since, and its limit with it. */
    x->nr_pfns = x->role == XC_SR_HV_SOURCE || nr > most ? nr : most;
    return 0;
}

static int open_source(struct xen *x, const xc_domaininfo_t *info)
{
    /* One that was left suspended is taken up again; what it writes was
     * logged for somebody who is gone. */
    x->suspended = is_suspended(info);
    if ( !x->suspended && !x->hooks.suspend_start )
        return -EBUSY;
    if ( x->suspended )
        (void)xc_shadow_control(x->xch, x->domid, XEN_DOMCTL_SHADOW_OP_OFF,
                                NULL, 0);
    return xc_sr__xen_map_init(x);
}

/* Without xenstore its end is noticed when a call for it fails. */
static void watch_release(struct xen *x, const struct xc_sr_log *log)
{
    x->xs = xs_open(0);
    if ( x->xs && xs_watch(x->xs, RELEASE_WATCH, "xen-postcopy") )
        return;
    xc_sr__warn(log, "domain %u: cannot watch for its end in xenstore: %s",
                x->domid, strerror(errno));
    if ( x->xs )
        xs_close(x->xs);
    x->xs = NULL;
}

static int open_destination(struct xen *x, const struct xc_sr_log *log)
{
    int rc = xc_sr__pageset_init(&x->populated, x->nr_pfns);

    if ( !rc )
        rc = xc_sr__pageset_init(&x->spare, x->nr_pfns);
    if ( !rc )
        rc = xc_sr__pageset_init(&x->evicted, x->nr_pfns);
    if ( !rc )
        rc = xc_sr__xen_page_init(x);
    if ( !rc )
        watch_release(x, log);
    return rc;
}

static int attach(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    xc_domaininfo_t info;
    int rc = xc_sr__xen_open_libraries(x, hv->log);

    if ( rc )
        return rc;
    rc = xc_sr__xen_domain(x, x->domid, &info);
    if ( !rc && !(info.flags & XEN_DOMINF_hvm_guest) )
        rc = -EOPNOTSUPP;
    if ( !rc )
        rc = find_size(x, &info);
    if ( !rc )
        rc = get_info(hv, &hv->info);
    if ( !rc )
        rc = x->role == XC_SR_HV_SOURCE ? open_source(x, &info)
                                        : open_destination(x, hv->log);
    if ( rc )
        xc_sr__error(hv->log, "domain %u: %s", x->domid,
                     rc == -EOPNOTSUPP ? "PV guests cannot be moved this way"
                     : rc == -ESRCH    ? "there is no such domain"
                     : rc == -EBUSY    ? "it is not suspended"
                                       : strerror(-rc));
    return rc;
}

/* *x comes with what the caller gave; it belongs to the handle from here. */
static int open_xen(struct xen *x, const struct xc_sr_log *log,
                    struct xc_sr_hv **hv_r)
{
    struct xc_sr_hv *hv = x ? calloc(1, sizeof(*hv)) : NULL;
    int rc;

    if ( !hv )
    {
        free(x);
        return -ENOMEM;
    }
    hv->ops = &xen_ops;
    hv->log = log;
    hv->priv = x;
    x->port = -1;
    rc = attach(hv);
    if ( rc )
    {
        xc_sr_hv_close(hv);
        return rc;
    }
    *hv_r = hv;
    return 0;
}

int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r)
{
    struct xen *x = calloc(1, sizeof(*x));

    if ( x )
    {
        x->domid = domid;
        x->role = XC_SR_HV_SOURCE;
        x->hooks = *hooks;
    }
    return open_xen(x, log, hv_r);
}

int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r)
{
    struct xen *x = calloc(1, sizeof(*x));

    if ( x )
    {
        x->domid = domid;
        x->role = XC_SR_HV_DESTINATION;
        x->params = *params;
    }
    return open_xen(x, log, hv_r);
}

int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r)
{
    const struct xen *x = xc_sr__xen_of(hv);

    if ( hv->ops != &xen_ops || x->role != XC_SR_HV_DESTINATION )
        return -EINVAL;
    if ( !x->state_done )
        return -ENODATA;
    *store_gfn_r = x->store_gfn;
    *console_gfn_r = x->console_gfn;
    return 0;
}

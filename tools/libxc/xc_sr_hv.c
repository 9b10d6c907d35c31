/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv.c: the gate in front of every backend.
 *
 * The engines call xc_sr__hv_<member>(); here each call is checked against
 * what the backend has (a missing member or capability is -EOPNOTSUPP),
 * counted, and, where a test asked for it, made to fail with -EIO before the
 * backend sees it.  Nothing here knows what a hypervisor is.
 *
 * Not counted, because they cannot fail: close, unmap, look_ahead and the two
 * members that only name a descriptor.  Members that a backend may do without
 * are counted where it has them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_hv.h"

/* Counts a call; -errno if the backend must not be asked. */
static int enter(struct xc_sr_hv *hv, bool has_member, uint32_t caps)
{
    uint64_t call = ++hv->calls;

    if ( hv->fail_at && (call == hv->fail_at ||
                         (hv->fail_from_then_on && call > hv->fail_at)) )
        return -EIO;
    if ( !has_member || (hv->info.caps & caps) != caps )
        return -EOPNOTSUPP;
    return 0;
}

/* The same for a batch, whose size is bounded by the seam's contract. */
static int enter_batch(struct xc_sr_hv *hv, bool has_member, uint32_t caps,
                       unsigned int nr)
{
    int rc = enter(hv, has_member, caps);

    if ( rc )
        return rc;
    return nr > XC_SR_HV_BATCH ? -EINVAL : 0;
}

void xc_sr_hv_close(struct xc_sr_hv *hv)
{
    if ( !hv )
        return;
    if ( hv->ops->close )
        hv->ops->close(hv);
    free(hv);
}

int xc_sr__hv_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r)
{
    int rc = enter(hv, hv->ops->info, 0);

    return rc ? rc : hv->ops->info(hv, info_r);
}

int xc_sr__hv_suspend_start(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->suspend_start, 0);

    return rc ? rc : hv->ops->suspend_start(hv);
}

int xc_sr__hv_suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                           enum xc_sr_hv_suspend *state_r)
{
    int rc = enter(hv, hv->ops->suspend_poll, 0);

    return rc ? rc : hv->ops->suspend_poll(hv, timeout_us, state_r);
}

int xc_sr__hv_resume(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->resume, 0);

    return rc ? rc : hv->ops->resume(hv);
}

int xc_sr__hv_retain(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->retain, 0);

    return rc ? rc : hv->ops->retain(hv);
}

int xc_sr__hv_unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    int rc = enter(hv, hv->ops->unpause, 0);

    return rc ? rc : hv->ops->unpause(hv, leave_paused);
}

int xc_sr_hv_retain(struct xc_sr_hv *hv)
{
    return xc_sr__hv_retain(hv);
}

int xc_sr_hv_handover(struct xc_sr_hv *hv, bool leave_paused)
{
    return xc_sr__hv_unpause(hv, leave_paused);
}

int xc_sr__hv_pause(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->pause, 0);

    return rc ? rc : hv->ops->pause(hv);
}

int xc_sr__hv_gone_fd(struct xc_sr_hv *hv)
{
    return hv->ops->gone_fd ? hv->ops->gone_fd(hv) : -1;
}

int xc_sr__hv_is_gone(struct xc_sr_hv *hv, bool *gone_r)
{
    int rc = enter(hv, hv->ops->is_gone, 0);

    return rc ? rc : hv->ops->is_gone(hv, gone_r);
}

bool xc_sr__hv_has_crashed(struct xc_sr_hv *hv)
{
    return hv->ops->has_crashed && hv->ops->has_crashed(hv);
}

bool xc_sr__hv_populates_zeroes(const struct xc_sr_hv *hv)
{
    return hv->ops->populates_zeroes;
}

int xc_sr__hv_page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, uint32_t *types_r)
{
    int rc = enter_batch(hv, hv->ops->page_types, 0, nr);

    return rc ? rc : hv->ops->page_types(hv, pfns, nr, types_r);
}

int xc_sr__hv_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                  const void **pages_r, int *errs_r)
{
    int rc = enter_batch(hv, hv->ops->map, 0, nr);

    return rc ? rc : hv->ops->map(hv, pfns, nr, pages_r, errs_r);
}

void xc_sr__hv_unmap(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                     const void **pages)
{
    if ( hv->ops->unmap )
        hv->ops->unmap(hv, pfns, nr, pages);
}

void xc_sr__hv_look_ahead(struct xc_sr_hv *hv, const struct xc_sr_pageset *set,
                          uint64_t pfn)
{
    if ( hv->ops->look_ahead )
        hv->ops->look_ahead(hv, set, pfn);
}

int xc_sr__hv_pinned(struct xc_sr_hv *hv, struct xc_sr_pageset *set)
{
    int rc = hv->ops->pinned ? enter(hv, true, 0) : 0;

    return rc || !hv->ops->pinned ? rc : hv->ops->pinned(hv, set);
}

int xc_sr__hv_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, int *errs_r)
{
    int rc = enter_batch(hv, hv->ops->populate, 0, nr);

    return rc ? rc : hv->ops->populate(hv, pfns, nr, errs_r);
}

int xc_sr__hv_write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, const void *contents, int *errs_r)
{
    int rc = enter_batch(hv, hv->ops->write_pages, 0, nr);

    return rc ? rc : hv->ops->write_pages(hv, pfns, nr, contents, errs_r);
}

int xc_sr__hv_dirty_on(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->dirty_on, XC_SR_HV_CAP_DIRTY);

    return rc ? rc : hv->ops->dirty_on(hv);
}

int xc_sr__hv_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                          struct xc_sr_pageset *set, uint64_t *count_r)
{
    int rc = enter(hv, hv->ops->dirty_fetch, XC_SR_HV_CAP_DIRTY);

    return rc ? rc : hv->ops->dirty_fetch(hv, how, set, count_r);
}

int xc_sr__hv_dirty_off(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->dirty_off, XC_SR_HV_CAP_DIRTY);

    return rc ? rc : hv->ops->dirty_off(hv);
}

int xc_sr__hv_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                        struct xc_sr_hv_blob *blob_r)
{
    int rc = enter(hv, hv->ops->state_get, 0);

    return rc ? rc : hv->ops->state_get(hv, what, blob_r);
}

int xc_sr__hv_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                        const void *data, size_t len)
{
    int rc = enter(hv, hv->ops->state_put, 0);

    return rc ? rc : hv->ops->state_put(hv, what, data, len);
}

int xc_sr__hv_static_data_done(struct xc_sr_hv *hv)
{
    int rc = hv->ops->static_data_done ? enter(hv, true, 0) : 0;

    return rc || !hv->ops->static_data_done ? rc
                                            : hv->ops->static_data_done(hv);
}

int xc_sr__hv_state_done(struct xc_sr_hv *hv)
{
    int rc = hv->ops->state_done ? enter(hv, true, 0) : 0;

    return rc || !hv->ops->state_done ? rc : hv->ops->state_done(hv);
}

/* A probe has to give a reason, also when there is nobody to ask. */
int xc_sr__hv_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                           size_t why_len)
{
    int rc = enter(hv, hv->ops->paging_probe, XC_SR_HV_CAP_PAGING);

    if ( rc )
    {
        *reason_r =
            rc == -EOPNOTSUPP ? XC_SR_REASON_NO_PAGING : XC_SR_REASON_FAILED;
        snprintf(why, why_len, "%s",
                 rc == -EOPNOTSUPP
                     ? "this hypervisor cannot page guests"
                     : "asking the hypervisor about paging failed");
        return rc;
    }
    return hv->ops->paging_probe(hv, reason_r, why, why_len);
}

int xc_sr__hv_paging_reserve(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->paging_reserve, XC_SR_HV_CAP_PAGING);

    return rc ? rc : hv->ops->paging_reserve(hv);
}

int xc_sr__hv_paging_on(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->paging_on, XC_SR_HV_CAP_PAGING);

    return rc ? rc : hv->ops->paging_on(hv);
}

int xc_sr__hv_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, int *errs_r)
{
    int rc = enter_batch(hv, hv->ops->page_out, XC_SR_HV_CAP_PAGING, nr);

    return rc ? rc : hv->ops->page_out(hv, pfns, nr, errs_r);
}

int xc_sr__hv_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, bool *missing_r)
{
    int rc = enter_batch(hv, hv->ops->is_missing, XC_SR_HV_CAP_PAGING, nr);

    return rc ? rc : hv->ops->is_missing(hv, pfns, nr, missing_r);
}

int xc_sr__hv_event_fd(struct xc_sr_hv *hv)
{
    return hv->ops->event_fd ? hv->ops->event_fd(hv) : -1;
}

int xc_sr__hv_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                          unsigned int max, unsigned int *nr_r)
{
    int rc = enter(hv, hv->ops->next_faults, XC_SR_HV_CAP_PAGING);

    return rc ? rc : hv->ops->next_faults(hv, faults, max, nr_r);
}

int xc_sr__hv_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, const void *contents, int *errs_r)
{
    int rc = enter_batch(hv, hv->ops->page_in, XC_SR_HV_CAP_PAGING, nr);

    return rc ? rc : hv->ops->page_in(hv, pfns, nr, contents, errs_r);
}

int xc_sr__hv_fault_done(struct xc_sr_hv *hv,
                         const struct xc_sr_hv_fault *faults, unsigned int nr)
{
    int rc = enter_batch(hv, hv->ops->fault_done, XC_SR_HV_CAP_PAGING, nr);

    return rc ? rc : hv->ops->fault_done(hv, faults, nr);
}

int xc_sr__hv_paging_off(struct xc_sr_hv *hv)
{
    int rc = enter(hv, hv->ops->paging_off, XC_SR_HV_CAP_PAGING);

    return rc ? rc : hv->ops->paging_off(hv);
}

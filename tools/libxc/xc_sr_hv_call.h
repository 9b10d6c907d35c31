/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_call.h: what the engines call: one counted, checked, fallible
 * function for each member of struct xc_sr_hv_ops (xc_sr_hv.h includes this,
 * and its contracts hold).  Implemented in xc_sr_hv.c.
 */
#ifndef XC_SR_HV_CALL_H
#define XC_SR_HV_CALL_H

#include "xc_sr_hv.h"

int xc_sr__hv_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r);
int xc_sr__hv_suspend_start(struct xc_sr_hv *hv);
int xc_sr__hv_suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                           enum xc_sr_hv_suspend *state_r);
int xc_sr__hv_resume(struct xc_sr_hv *hv);
int xc_sr__hv_retain(struct xc_sr_hv *hv);
int xc_sr__hv_unpause(struct xc_sr_hv *hv, bool leave_paused);
int xc_sr__hv_pause(struct xc_sr_hv *hv);
int xc_sr__hv_gone_fd(struct xc_sr_hv *hv);
int xc_sr__hv_is_gone(struct xc_sr_hv *hv, bool *gone_r);
bool xc_sr__hv_has_crashed(struct xc_sr_hv *hv);
bool xc_sr__hv_populates_zeroes(const struct xc_sr_hv *hv);
int xc_sr__hv_page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, uint32_t *types_r);
int xc_sr__hv_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                  const void **pages_r, int *errs_r);
void xc_sr__hv_look_ahead(struct xc_sr_hv *hv, const struct xc_sr_pageset *set,
                          uint64_t pfn);
int xc_sr__hv_pinned(struct xc_sr_hv *hv, struct xc_sr_pageset *set);
void xc_sr__hv_unmap(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                     const void **pages);
int xc_sr__hv_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, int *errs_r);
int xc_sr__hv_write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, const void *contents, int *errs_r);
int xc_sr__hv_dirty_on(struct xc_sr_hv *hv);
int xc_sr__hv_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                          struct xc_sr_pageset *set, uint64_t *count_r);
int xc_sr__hv_dirty_off(struct xc_sr_hv *hv);
int xc_sr__hv_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                        struct xc_sr_hv_blob *blob_r);
int xc_sr__hv_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                        const void *data, size_t len);
int xc_sr__hv_static_data_done(struct xc_sr_hv *hv);
int xc_sr__hv_state_done(struct xc_sr_hv *hv);
int xc_sr__hv_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                           size_t why_len);
int xc_sr__hv_paging_reserve(struct xc_sr_hv *hv);
int xc_sr__hv_paging_on(struct xc_sr_hv *hv);
int xc_sr__hv_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, int *errs_r);
int xc_sr__hv_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, bool *missing_r);
int xc_sr__hv_event_fd(struct xc_sr_hv *hv);
int xc_sr__hv_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                          unsigned int max, unsigned int *nr_r);
int xc_sr__hv_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, const void *contents, int *errs_r);
int xc_sr__hv_fault_done(struct xc_sr_hv *hv,
                         const struct xc_sr_hv_fault *faults, unsigned int nr);
int xc_sr__hv_paging_off(struct xc_sr_hv *hv);

#endif /* XC_SR_HV_CALL_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen.h: what the files of the Xen backend share.  The engines see
 * none of it.
 *
 * xc_sr_hv_xen.c         opening, closing, life and death of the guest
 * xc_sr_hv_xen_map.c     source: page types and read access
 * xc_sr_hv_xen_dirty.c   source: the dirty log
 * xc_sr_hv_xen_memory.c  destination: frames and contents before it runs
 * xc_sr_hv_xen_get.c     source: state blobs, and the pages they name
 * xc_sr_hv_xen_put.c     destination: state blobs
 * xc_sr_hv_xen_page.c    destination: paging calls in batches
 * xc_sr_hv_xen_ring.c    destination: the ring of requests and responses
 * xc_sr_hv_xen_takeover.c  destination: in the place of a dead process
 * xc_sr_hv_xen_check.c   what stands in the way
 */
#ifndef XC_SR_HV_XEN_H
#define XC_SR_HV_XEN_H

#include <xenctrl.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xenstore.h>
#include <xentoollog.h>
#include <xen/memory.h>
#include <xen/vm_event.h>

#include "xc_sr_hv.h"
#include "xenpostcopy_xen.h"

/* Paging calls that go to Xen in one multicall. */
#define XEN_MULTICALL 256u

struct xen_window; /* pages of the source's guest, see xc_sr_hv_xen_map.c */

/* Xen's libraries log here, and it goes on to the caller's log. */
struct xen_logger
{
    xentoollog_logger vtable;
    const struct xc_sr_log *log;
};

struct xen
{
    uint32_t domid;
    enum xc_sr_hv_role role;
    uint64_t nr_pfns;
    struct xen_logger logger;
    xc_interface *xch;
    xenforeignmemory_handle *fmem;
    xencall_handle *xcall;

    /* Source. */
    struct xc_sr_xen_source_hooks hooks;
    bool suspended; /* types and frames stay as they are */
    bool dirty_log;
    uint8_t *bitmap; /* for the dirty log: hypercall memory */
    size_t bitmap_pages;
    uint64_t *gfns; /* XC_SR_HV_BATCH of them: hypercall memory */
    struct xen_window *ahead;
    struct xen_window **kept; /* of the suspended guest, by group of pfns */
    uint64_t nr_kept;

    /* Destination. */
    struct xc_sr_xen_destination_params params;
    struct xs_handle *xs; /* watches for its end; NULL: nobody does */
    struct xc_sr_pageset populated;
    struct xc_sr_pageset spare; /* has a frame, nobody has asked for it yet */
    struct xc_sr_pageset evicted;
    uint64_t nr_blocks; /* populated so far, for the log */
    uint64_t nr_small;
    bool no_blocks; /* no more: all is here, or memory is short */
    bool ran;
    bool taking_over; /* begun, or failed: which pages are out is not known */
    bool stopped;     /* by us, after it ran */
    bool claimed;
    uint64_t limit;  /* of pages, while a higher one holds: ... */
    uint64_t lifted; /* ... this; 0: its own holds */
    struct xc_sr_hv_blob context;
    struct xc_sr_hv_blob cpuid;
    struct xc_sr_hv_blob msr;
    uint64_t store_gfn; /* 0: not known */
    uint64_t console_gfn;
    bool state_done;

    /* Destination: paging. */
    xenevtchn_handle *xce;
    int port; /* -1: none */
    bool paging;
    uint64_t ring_gfn; /* 0: not known */
    void *ring_page;
    vm_event_back_ring_t ring;
    multicall_entry_t *calls; /* XEN_MULTICALL of them, hypercall memory */
    xen_mem_paging_op_t *ops; /* likewise */
    uint8_t *buffer;          /* likewise, pages */
};

static inline struct xen *xc_sr__xen_of(const struct xc_sr_hv *hv)
{
    return hv->priv;
}

/* ---- xc_sr_hv_xen.c ---- */

/* -ESRCH: there is no such domain. */
int xc_sr__xen_domain(const struct xen *x, uint32_t domid,
                      xc_domaininfo_t *info_r);
int xc_sr__xen_open_libraries(struct xen *x, const struct xc_sr_log *log);
void xc_sr__xen_close_libraries(struct xen *x);
int xc_sr__xen_is_gone(struct xc_sr_hv *hv, bool *gone_r);
/* It is there, and its memory may be dumped. */
bool xc_sr__xen_has_crashed(struct xc_sr_hv *hv);

/* ---- xc_sr_hv_xen_map.c ---- */

int xc_sr__xen_map_init(struct xen *x);
void xc_sr__xen_map_dispose(struct xen *x);
/* Forgets what was looked at ahead: the guest has run since. */
void xc_sr__xen_map_forget(struct xen *x);
int xc_sr__xen_page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, uint32_t *types_r);
void xc_sr__xen_look_ahead(struct xc_sr_hv *hv, const struct xc_sr_pageset *set,
                           uint64_t pfn);
int xc_sr__xen_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                   const void **pages_r, int *errs_r);
void xc_sr__xen_unmap(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, const void **pages);

/* ---- xc_sr_hv_xen_dirty.c ---- */

int xc_sr__xen_dirty_on(struct xc_sr_hv *hv);
int xc_sr__xen_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                           struct xc_sr_pageset *set, uint64_t *count_r);
int xc_sr__xen_dirty_off(struct xc_sr_hv *hv);
void xc_sr__xen_dirty_dispose(struct xc_sr_hv *hv);

/* ---- xc_sr_hv_xen_memory.c ---- */

int xc_sr__xen_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, int *errs_r);
/* What came with a block of 2 MiB and is no page of the guest; from then on
 * pages are populated one by one. */
int xc_sr__xen_give_back_spare(struct xc_sr_hv *hv);
int xc_sr__xen_write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                           unsigned int nr, const void *contents, int *errs_r);
/* One page, read and write, never one that is paged out; NULL: logged. */
void *xc_sr__xen_map_one(struct xc_sr_hv *hv, uint64_t pfn, const char *what);

/* ---- xc_sr_hv_xen_get.c and _put.c ---- */

int xc_sr__xen_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                         struct xc_sr_hv_blob *blob_r);
int xc_sr__xen_pinned(struct xc_sr_hv *hv, struct xc_sr_pageset *set);
int xc_sr__xen_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                         const void *data, size_t len);
int xc_sr__xen_static_data_done(struct xc_sr_hv *hv);
int xc_sr__xen_state_done(struct xc_sr_hv *hv);

/* ---- xc_sr_hv_xen_page.c ---- */

int xc_sr__xen_page_init(struct xen *x);
void xc_sr__xen_page_dispose(struct xen *x);
int xc_sr__xen_paging_reserve(struct xc_sr_hv *hv);
void xc_sr__xen_paging_release(struct xen *x);
int xc_sr__xen_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, int *errs_r);
int xc_sr__xen_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void *contents, int *errs_r);
int xc_sr__xen_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, bool *missing_r);

/* ---- xc_sr_hv_xen_ring.c ---- */

int xc_sr__xen_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                            size_t why_len);
int xc_sr__xen_paging_on(struct xc_sr_hv *hv);
int xc_sr__xen_paging_off(struct xc_sr_hv *hv);
int xc_sr__xen_event_fd(struct xc_sr_hv *hv);
int xc_sr__xen_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                           unsigned int max, unsigned int *nr_r);
int xc_sr__xen_fault_done(struct xc_sr_hv *hv,
                          const struct xc_sr_hv_fault *faults, unsigned int nr);
/* Xen's side of the ring and ours; nothing else changes. */
int xc_sr__xen_ring_make(struct xc_sr_hv *hv);
int xc_sr__xen_ring_drop(struct xc_sr_hv *hv);
/* At close: the ring goes, the guest may stay. */
void xc_sr__xen_ring_dispose(struct xc_sr_hv *hv);

/* ---- xc_sr_hv_xen_takeover.c ---- */

/* Leaves the guest paused; the next unpause() ends that. */
int xc_sr__xen_take_over(struct xc_sr_hv *hv);

#endif /* XC_SR_HV_XEN_H */

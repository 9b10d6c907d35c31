/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv.h: the hypervisor seam.
 *
 * The engines see a hypervisor only through struct xc_sr_hv_ops; xc_sr_hv.c
 * wraps every member in a function xc_sr__hv_<member>() that checks the
 * capability, counts the call and can make the Nth one fail.  Backends: xen
 * (xc_sr_hv_xen*.c) and local (xc_sr_hv_local.c).
 *
 * Calls come from one thread.  Those that may block say so; none blocks
 * longer than a few seconds.  Batch calls take at most XC_SR_HV_BATCH pfns
 * and report per entry in errs[] (0 or -errno); their own return value is for
 * failures of the whole call.
 */
#ifndef XC_SR_HV_H
#define XC_SR_HV_H

#include "xc_sr_base.h"
#include "xc_sr_pageset.h"

#define XC_SR_HV_BATCH 1024u

/* Capabilities, in xc_sr_hv_info.caps. */
#define XC_SR_HV_CAP_DIRTY  0x1u /* dirty log */
#define XC_SR_HV_CAP_PAGING 0x2u /* missing pages can be trapped here */

struct xc_sr_hv_info
{
    uint64_t nr_pfns;  /* pfns of the guest are below this */
    uint64_t nr_pages; /* it has, or may have, of them; 0: as many */
    uint32_t nr_vcpus;
    uint32_t guest_type; /* 1 PV, 2 HVM: the stream's numbers */
    uint32_t domid;      /* for messages */
    uint32_t xen_major;
    uint32_t xen_minor;
    uint32_t caps;
    bool paused; /* by its administrator */
};

enum xc_sr_hv_fetch
{
    XC_SR_HV_FETCH_CLEAN, /* take what is dirty and start afresh */
    XC_SR_HV_FETCH_PEEK,  /* look, do not clean */
    XC_SR_HV_FETCH_FINAL, /* the guest is suspended: the last fetch */
};

/* How far a guest that was asked to suspend has come. */
enum xc_sr_hv_suspend
{
    XC_SR_HV_SUSPEND_ASKED, /* nothing is known yet */
    XC_SR_HV_SUSPEND_SEEN,  /* frozen, held before its suspend path */
    XC_SR_HV_SUSPENDED,
};

/* State that travels as one blob each; the engines map them to records. */
enum xc_sr_hv_state
{
    XC_SR_HV_STATE_TSC,          /* body of TSC_INFO, 24 octets */
    XC_SR_HV_STATE_HVM_CONTEXT,  /* body of HVM_CONTEXT */
    XC_SR_HV_STATE_HVM_PARAMS,   /* body of HVM_PARAMS */
    XC_SR_HV_STATE_CPUID_POLICY, /* body of X86_CPUID_POLICY */
    XC_SR_HV_STATE_MSR_POLICY,   /* body of X86_MSR_POLICY */
    /* What ADVISE says of the HVM params, as a body of HVM_PARAMS: put before
     * paging_probe(), never got. */
    XC_SR_HV_STATE_EARLY_PARAMS,
};

struct xc_sr_hv_blob
{
    uint8_t *data; /* malloc'd, the receiver of the blob frees it */
    size_t len;
};

/* One vCPU (or somebody else) waits for a page. */
struct xc_sr_hv_fault
{
    uint64_t pfn;
    uint32_t vcpu;
    uint32_t flags;  /* XC_SR_HV_FAULT_* */
    uint64_t cookie; /* the backend's own */
};
#define XC_SR_HV_FAULT_FOREIGN 0x1u /* not a vCPU: dom0, a device model */
#define XC_SR_HV_FAULT_DROP    0x2u /* the guest released the page */

struct xc_sr_hv
{
    const struct xc_sr_hv_ops *ops;
    const struct xc_sr_log *log;
    void *priv;                /* the backend's own */
    struct xc_sr_hv_info info; /* as of open */
    uint64_t calls;            /* of all wrappers together */
    uint64_t fail_at;          /* 0: never; N: the Nth call fails */
    bool fail_from_then_on;
};

struct xc_sr_hv_ops
{
    const char *name;
    /* A frame of populate()'s holds zeroes: they need not be written. */
    bool populates_zeroes;

    /* ---- life ---- */
    /* Frees the handle's resources; see xc_sr_hv_open_*() for what becomes of
     * the guest. */
    void (*close)(struct xc_sr_hv *hv);
    /* Fresh information, *info_r. */
    int (*info)(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r);
    /* Source: ask the guest to suspend; returns at once. */
    int (*suspend_start)(struct xc_sr_hv *hv);
    /* Waits at most timeout_us for the next step towards it; *state_r.  SEEN
     * is said at most once and only by a backend that holds the guest there:
     * frozen (its workload stopped), nothing of its suspend path run yet,
     * going on at the next call of suspend_poll().  The dirty log taken and
     * cleaned at SEEN therefore ends where the resume set begins. */
    int (*suspend_poll)(struct xc_sr_hv *hv, uint64_t timeout_us,
                        enum xc_sr_hv_suspend *state_r);
    /* Source: it runs here again, whatever state suspending was in.  Nothing
     * is mapped at that time. */
    int (*resume)(struct xc_sr_hv *hv);
    /* Source: from now on losing this handle does not resume the guest. */
    int (*retain)(struct xc_sr_hv *hv);
    /* Destination: first instruction here (honouring leave_paused: the guest
     * is then handed over but stays paused).  Afterwards losing this handle
     * does not end the guest.  An error means that it certainly has not
     * started; -EINPROGRESS that nobody knows; -EALREADY that it is being
     * done and may wait for pages: serve some and call again. */
    int (*unpause)(struct xc_sr_hv *hv, bool leave_paused);
    /* Destination, after unpause(): stops all vCPUs (the peer is lost), also
     * those that wait for a page.  The next unpause() ends that and nothing
     * else: a guest that its administrator has paused stays paused. */
    int (*pause)(struct xc_sr_hv *hv);
    /* Readable when the domain is gone or shut down; -1: none. */
    int (*gone_fd)(struct xc_sr_hv *hv);
    int (*is_gone)(struct xc_sr_hv *hv, bool *gone_r);
    /* It is gone, and it is there to be looked at: somebody may want its
     * memory, to dump it.  NULL: never. */
    bool (*has_crashed)(struct xc_sr_hv *hv);

    /* ---- memory ---- */
    /* Type nibbles of pfns, types_r[i]; XTAB for a hole. */
    int (*page_types)(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, uint32_t *types_r);
    /* Source, a hint: the members of set from pfn on will be asked for next,
     * in their order, by page_types() and map(). */
    void (*look_ahead)(struct xc_sr_hv *hv, const struct xc_sr_pageset *set,
                       uint64_t pfn);
    /* Source: adds the pfns that the destination needs from the guest's first
     * instruction on, whatever the guest does; called while it runs and again
     * when it is suspended.  Missing member: there are none. */
    int (*pinned)(struct xc_sr_hv *hv, struct xc_sr_pageset *set);
    /* Source: read access to pages, pages_r[i] each of 4 KiB.  Valid until
     * unmap(); a mapping made after the guest was suspended may be kept by
     * the backend until close. */
    int (*map)(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
               const void **pages_r, int *errs_r);
    void (*unmap)(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                  const void **pages);
    /* Destination: frames for pfns that have none.  What they hold may be
     * anything, unless populates_zeroes. */
    int (*populate)(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    int *errs_r);
    /* Destination, before the guest runs: contents of populated pages that
     * are not paged out.  contents: nr pages in a row; NULL: zeroes. */
    int (*write_pages)(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void *contents, int *errs_r);

    /* ---- dirty log (source) ---- */
    int (*dirty_on)(struct xc_sr_hv *hv);
    /* Adds dirty pfns to set; *count_r: how many were dirty.  Nothing is
     * mapped at that time. */
    int (*dirty_fetch)(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                       struct xc_sr_pageset *set, uint64_t *count_r);
    int (*dirty_off)(struct xc_sr_hv *hv);

    /* ---- state blobs ---- */
    /* -ENODATA: this guest has no such state. */
    int (*state_get)(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                     struct xc_sr_hv_blob *blob_r);
    int (*state_put)(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                     const void *data, size_t len);
    /* Destination: no more policies come, memory does.  May block for a few
     * seconds.  Missing member: nobody wants to know. */
    int (*static_data_done)(struct xc_sr_hv *hv);
    /* Destination: every other blob has been put; they take effect.  Called
     * before anything is paged out for good.  Missing member: they have. */
    int (*state_done)(struct xc_sr_hv *hv);

    /* ---- paging (destination) ---- */
    /* Could this guest be paged?  0, or -errno with an XC_SR_REASON_* and a
     * sentence in *reason_r and why (why_len octets). */
    int (*paging_probe)(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                        size_t why_len);
    /* Claims every frame the guest will need. */
    int (*paging_reserve)(struct xc_sr_hv *hv);
    int (*paging_on)(struct xc_sr_hv *hv);
    /* Makes pfns missing, populated before or not.  Idempotent.  errs_r[i]
     * -EBUSY: this one is in use and stays; it has a frame and may be written
     * with write_pages(). */
    int (*page_out)(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    int *errs_r);
    int (*is_missing)(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, bool *missing_r);
    /* Readable when next_faults() has something. */
    int (*event_fd)(struct xc_sr_hv *hv);
    /* At most max faults, never blocks; *nr_r may be 0. */
    int (*next_faults)(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                       unsigned int max, unsigned int *nr_r);
    /* Contents of missing pages (NULL: zeroes), pages in a row; wakes nobody
     * by contract, may wake by nature.  errs_r[i]: -EEXIST it was there,
     * -ENOENT nobody wants it any more; neither is a failure. */
    int (*page_in)(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                   const void *contents, int *errs_r);
    /* Answers faults whose pages are in (or were all along). */
    int (*fault_done)(struct xc_sr_hv *hv, const struct xc_sr_hv_fault *faults,
                      unsigned int nr);
    /* Every page is in: the guest becomes an ordinary one. */
    int (*paging_off)(struct xc_sr_hv *hv);
};

#include "xc_sr_hv_call.h"

#endif /* XC_SR_HV_H */

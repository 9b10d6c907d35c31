/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local.h: what the files of the local backend share.  The engines
 * see none of it.
 */
#ifndef XC_SR_HV_LOCAL_H
#define XC_SR_HV_LOCAL_H

#include "local_wire.h"
#include "xc_sr_hv.h"

struct page_region;
struct local_place;

/* What was written last before the guest runs here it will touch first. */
#define LOCAL_NR_RECENT 1024u

struct local
{
    char name[XC_SR_LOCAL_NAME_MAX + 1];
    enum xc_sr_hv_role role;
    int sock;       /* to the guest; closing it is the end of the migration */
    int mem_fd;     /* its memory */
    int suspend_fd; /* counts the steps towards suspended */
    int gone_fd;    /* readable when it crashed or is gone */
    struct lw_msg *msg;
    uint64_t nr_pfns;
    bool suspend_seen;
    bool suspend_going;
    bool suspend_done;

    /* Source. */
    const uint8_t *map;         /* all memory, read-only */
    struct xc_sr_pageset holes; /* had no frame when last looked at */
    enum lw_dirty dirty;        /* 0: off */
    int dirty_fd;               /* pagemap, or the bitmap */
    uint64_t guest_base;        /* where memory is in the guest's process */
    uint64_t *bitmap;
    struct page_region *regions;
    struct xc_sr_pageset fetched; /* by one fetch of the dirty log */

    /* Destination. */
    struct xc_sr_pageset present;     /* have contents */
    uint64_t recent[LOCAL_NR_RECENT]; /* written, a ring */
    uint64_t nr_recent;
    struct xc_sr_pageset wake; /* were there before their page_in */
    int uffd;                  /* -1: paging is off */
    struct local_place *place; /* NULL: by UFFDIO_COPY alone */
    int32_t tids[XC_SR_LOCAL_MAX_VCPUS];
    uint32_t nr_vcpus;
};

static inline struct local *xc_sr__local_of(struct xc_sr_hv *hv)
{
    return hv->priv;
}

/* Asks the guest; an error is logged with `what`. */
int xc_sr__local_ask(struct xc_sr_hv *hv, enum lw_op op, const char *what,
                     struct lw_fds *fds_r);
/* Ends of runs: how many of pfns[0..nr) follow one another from the first. */
unsigned int xc_sr__local_run(const struct local *l, const uint64_t *pfns,
                              unsigned int nr);

/* xc_sr_hv_local_dirty.c */
int xc_sr__local_dirty_on(struct xc_sr_hv *hv);
int xc_sr__local_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                             struct xc_sr_pageset *set, uint64_t *count_r);
int xc_sr__local_dirty_off(struct xc_sr_hv *hv);
void xc_sr__local_dirty_dispose(struct local *l);

/* xc_sr_hv_local_state.c */
int xc_sr__local_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                           struct xc_sr_hv_blob *blob_r);
int xc_sr__local_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                           const void *data, size_t len);

/* xc_sr_hv_local.c: pages that have just got contents, or new ones. */
void xc_sr__local_filled(struct local *l, uint64_t pfn, unsigned int nr);

/* xc_sr_hv_local_place.c; all but on, off and run need l->place. */
int xc_sr__local_place_on(struct xc_sr_hv *hv);
void xc_sr__local_place_off(struct local *l);
/* The guest is about to run here. */
int xc_sr__local_place_start(struct local *l);
/* How many of nr pages from pfn are of one kind; *in_place_r: they can be
 * written in place. */
unsigned int xc_sr__local_place_run(struct local *l, uint64_t pfn,
                                    unsigned int nr, bool *in_place_r);
/* contents NULL: zeroes. */
void xc_sr__local_place_write(struct local *l, uint64_t pfn, unsigned int nr,
                              const uint8_t *contents);
/* A page that had no contents has them now, or the other way round. */
void xc_sr__local_place_filled(struct local *l, uint64_t pfn);
void xc_sr__local_place_emptied(struct local *l, uint64_t pfn);
/* Pages of one block came in that the guest may see from now on. */
void xc_sr__local_place_arrived(struct local *l, uint64_t pfn, unsigned int nr);
/* The guest sees this page, and whoever waits for it goes on. */
int xc_sr__local_place_show(struct local *l, uint64_t pfn);

/* xc_sr_hv_local_paging.c */
int xc_sr__local_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r,
                              char *why, size_t why_len);
int xc_sr__local_paging_reserve(struct xc_sr_hv *hv);
int xc_sr__local_paging_on(struct xc_sr_hv *hv);
int xc_sr__local_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, int *errs_r);
int xc_sr__local_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                            unsigned int nr, bool *missing_r);
int xc_sr__local_event_fd(struct xc_sr_hv *hv);
int xc_sr__local_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                             unsigned int max, unsigned int *nr_r);
int xc_sr__local_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, const void *contents, int *errs_r);
int xc_sr__local_fault_done(struct xc_sr_hv *hv,
                            const struct xc_sr_hv_fault *faults,
                            unsigned int nr);
int xc_sr__local_paging_off(struct xc_sr_hv *hv);
/* page_in of pages that follow one another, by UFFDIO_COPY; contents NULL:
 * zeroes. */
int xc_sr__local_copy_run(struct xc_sr_hv *hv, uint64_t pfn, unsigned int nr,
                          const uint8_t *contents, int *errs_r);

#endif /* XC_SR_HV_LOCAL_H */

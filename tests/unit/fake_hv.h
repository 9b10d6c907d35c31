/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_hv.h: a hypervisor in memory for the engines' unit tests: guest memory
 * is an array, faults are scripted, everything that was asked of it is
 * counted.  Not a backend of the product.
 */
#ifndef FAKE_HV_H
#define FAKE_HV_H

#include <pthread.h>
#include <stdatomic.h>

#include "../../tools/libxc/xc_sr_hv.h"

struct fake_guest
{
    struct xc_sr_hv hv;
    uint64_t nr_pfns;
    uint8_t *memory;
    uint32_t *types;
    bool *missing;
    bool *populated;
    int event_fd;
    int gone_fd;

    /* Source: pages written between two looks at the dirty log. */
    unsigned int dirty_per_fetch;
    uint64_t dirty_seed;
    bool suspend_seen; /* says SEEN on the way */
    unsigned int suspend_polls;
    unsigned int suspend_slow; /* so many polls between the two vCPUs */
    bool early_write;          /* the first vCPU's page is dirty */
    uint64_t pinned_pfn;       /* must not be missing; 0: none */
    bool suspended;
    bool resumed;
    bool retained;
    bool dirty_on;
    unsigned int mapped_pages;

    /* Destination. */
    bool paging;
    bool unpaused;
    bool paused;         /* by pause(), since */
    unsigned int pauses; /* calls of it */
    bool left_paused;
    unsigned int faults_wanted; /* on unpause: so many pages are touched */
    uint64_t faults[64];
    unsigned int nr_faults;
    unsigned int faults_answered;
    bool *present_at_start; /* when it was unpaused */
    uint64_t order[4096];   /* pfns in the order in which they came in */
    unsigned int nr_order;
    atomic_bool hold;     /* next_faults() waits after its first faults */
    atomic_bool holding;  /* it does */
    uint64_t refused_pfn; /* page_in: nobody wants it any more; 0: none */
    uint64_t dropped_pfn; /* its fault says DROP; 0: none */
    unsigned int foreign; /* so many faults, the first, are not a vCPU's */
    uint64_t busy_pfn;    /* cannot be paged out; 0: none */
    bool busy_at_start;   /* ... and its contents had not come by then */
    bool state_done;
    unsigned int static_data_done;
    unsigned int early_params;
    unsigned int evicted_pages;
    unsigned int unpause_failures;
    int probe_error;
    bool probe_says_nothing;           /* of why */
    enum xc_sr_hv_state refused_state; /* state_put: if there is an error */
    int refused_state_error;
    int reserve_error;
    unsigned int unpause_calls; /* in vain, before it is done */
    bool unpause_begun;
    unsigned int page_in_failures;  /* so many calls of it, from then on */
    bool unpause_needs_page;        /* it is not done before a page has come */
    atomic_bool *unpause_waits_for; /* nor before this is true; NULL: no */
    bool unpause_crashes; /* it starts and ends before the call returns */
    bool unpause_unknown; /* it starts, and the call does not know */
    bool resume_fails;
    bool gone;
    bool crashed; /* gone, and there to be dumped */
};

void fake_guest_init(struct fake_guest *g, uint64_t nr_pfns, bool source);
void fake_guest_dispose(struct fake_guest *g);
/* One octet pattern per page and generation, to tell stale from fresh. */
void fake_guest_write(struct fake_guest *g, uint64_t pfn, uint32_t generation);

#endif /* FAKE_HV_H */

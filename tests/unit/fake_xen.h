/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_xen.h: a Xen in memory beneath the Xen backend: a host with one domain,
 * frames that are pages of a memfd (so that what is mapped twice is the same),
 * memory paging with its ring and its event channel, a claim, a dirty log.
 *
 * Each thread has its host (fake_here); a handle of Xen's libraries stands for
 * the host it was opened on.  Every call that may fail is counted and can be
 * made to fail.  What would hang a real host ends the test.
 */
#ifndef FAKE_XEN_H
#define FAKE_XEN_H

#include "../../tools/libxc/xc_sr_hv_xen.h"

#include <xen/hvm/params.h>
#include <xen/hvm/save.h>

#define FAKE_DOMID    5u
#define FAKE_PFNS     2048u
#define FAKE_FRAMES   4096u
#define FAKE_VCPUS    4u
/* The end of the first 4 GiB is there as far as the last block of p2m goes:
 * one of its blocks at a time. */
#define FAKE_HIGH     UINT64_C(0xe0000)
#define FAKE_HIGH_END UINT64_C(0x100000)
#define FAKE_PORT     9
#define FAKE_MAPPINGS 64u
#define FAKE_SLOTS    8u

enum fake_state
{
    FAKE_HOLE,
    FAKE_RAM,
    FAKE_NOMINATED,
    FAKE_OUT,
};

struct fake_page
{
    enum fake_state state;
    unsigned int frame; /* if it has one */
    bool requested;     /* somebody was told */
    bool dirty;
    uint32_t type; /* nibble that Xen says of it */
};

/* Works through pfns; a missing one stops it. */
struct fake_vcpu
{
    uint64_t at;
    uint64_t end;
    bool paused; /* by Xen, for a page */
    bool queued; /* for a slot of the ring */
};

struct fake_mapping
{
    void *at; /* NULL: this entry is free */
    size_t nr;
    unsigned int frames[XC_SR_HV_BATCH]; /* FAKE_FRAMES: none */
};

struct fake_host
{
    /* What fails. */
    uint64_t calls;
    uint64_t fail_at; /* 0: nothing; N: the Nth call that may */
    bool fail_from_then_on;
    int fail_errno;
    unsigned int fail_sub;   /* the Nth paging call of any multicall */
    unsigned int sub_calls;  /* paging calls so far */
    const char *failed_name; /* of the function that was made to fail */

    /* The host. */
    int memfd;
    int store_fd; /* of xenstore: readable when a watch has fired */
    uint8_t *memory;
    unsigned int refs[FAKE_FRAMES]; /* p2m, mappings, Xen's own */
    uint64_t free_frames;
    uint64_t claimed;
    uint64_t claims; /* calls that claimed something */
    bool no_paging;  /* built without */
    bool pvh_dom0;
    bool no_hap;
    bool no_xenstore;
    bool pci_device;
    const char *model_domid; /* whose device model it has; NULL: none */
    uint64_t pod_entries;
    bool watch_fired;

    /* What is open; all of it 0 when the backend has been closed. */
    unsigned int handles;
    unsigned int buffers;
    unsigned int resources;
    unsigned int events; /* event channel handles */
    struct fake_mapping mappings[FAKE_MAPPINGS];

    /* The domain. */
    bool exists;
    bool pv;
    bool pvh; /* HVM without devices */
    bool dying;
    bool crashed;
    bool suspended;
    bool shut_down;
    bool resets; /* shut_down, to go on with its memory */
    unsigned int pauses;
    uint64_t max_pages;
    uint64_t nr_gpfns;
    struct fake_page p2m[FAKE_PFNS];
    struct fake_vcpu vcpus[FAKE_VCPUS];
    uint64_t params[HVM_NR_PARAMS];
    uint8_t context[2048];
    uint32_t context_len;
    uint8_t policy[4096]; /* what was set: leaves, then MSRs */
    uint32_t nr_leaves;
    uint32_t nr_msrs;
    bool bad_policy;
    bool nested;
    uint32_t tsc[4]; /* mode, kHz, incarnation, set */
    uint64_t tsc_ns;
    uint8_t grants[XC_SR_PAGE_SIZE];
    uint64_t vanishes; /* a hole by the time that it is mapped; 0: none */
    bool no_superpages;
    unsigned int superpages;

    /* The dirty log. */
    bool dirty_log;
    bool final_look;
    unsigned int writes_per_look; /* pages the guest writes between two */
    uint64_t seed;

    /* Paging. */
    int enable_errno;          /* why it cannot be switched on; 0: it can */
    unsigned int disable_busy; /* so many times */
    bool paging;
    bool bound;
    int event_fd;
    bool event_masked;
    bool event_pending; /* came while masked */
    unsigned int ring_frame;
    vm_event_front_ring_t ring;
    unsigned int outstanding; /* slots taken */
    unsigned int requests;
    unsigned int responses;
    unsigned int bad_responses; /* of another version: dropped */
};

extern __thread struct fake_host *fake_here;

struct fake_host *fake_host_new(void);
void fake_host_free(struct fake_host *h);
/* A running guest with nr pages of RAM from pfn 0 on, each with contents. */
void fake_guest_full(struct fake_host *h, uint64_t nr);
/* One that waits for its memory, as libxl makes it. */
void fake_guest_empty(struct fake_host *h, uint64_t max_pages);
/* Contents of a page that has a frame. */
uint8_t *fake_contents(struct fake_host *h, uint64_t pfn);
void fake_write(struct fake_host *h, uint64_t pfn, uint32_t generation);
/* vCPUs go on as far as they can. */
void fake_run(struct fake_host *h);
/* Not a vCPU touches a page, or the guest gives it up (drop). */
void fake_touch_foreign(struct fake_host *h, uint64_t pfn, bool drop);
unsigned int fake_count(const struct fake_host *h, enum fake_state state);
unsigned int fake_mapped(const struct fake_host *h);

#endif /* FAKE_XEN_H */

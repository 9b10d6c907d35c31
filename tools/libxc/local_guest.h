/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest.h: the inside of xen-postcopy-guest.
 *
 * Threads: the control loop (main), one per vCPU, one that samples the speed,
 * and, with synchronous dirty logging, its handler.  `lock` guards everything
 * that is not said to be somebody's own; memory is touched without it, since
 * touching memory may wait for a page from another host.
 */
#ifndef LOCAL_GUEST_H
#define LOCAL_GUEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "local_wire.h"
#include "xc_sr_hv.h"

#define NO_STALL    UINT64_MAX
#define NR_SAMPLES  65536u /* of each vCPU, taken when it first stalls */
#define NR_BINS     128u
#define BIN_US      10000u
#define SAMPLE_UNIT 100u /* ns: 32 bits of it are seven minutes */

struct guest;

/* What a vCPU felt while pages were missing; its own, but while it runs
 * others may read counts that are a little old. */
struct stalls
{
    _Atomic uint64_t count;
    _Atomic uint64_t preemptions;
    _Atomic uint64_t sum_units;
    _Atomic uint64_t max_units;
    _Atomic uint64_t hist[XC_SR_HISTOGRAM_BUCKETS];
    _Atomic(_Atomic uint32_t *) samples;
};

struct vcpu
{
    _Alignas(64) struct guest *g;
    uint32_t id;
    _Atomic int32_t tid;
    pthread_t thread;

    /* "Registers": they travel. */
    uint64_t rng;
    uint64_t pos;
    _Atomic uint64_t ops;
    _Atomic uint64_t errors;
    _Atomic uint64_t last_op_us;

    uint64_t last_tick;           /* end of the last operation, 0: none yet */
    _Atomic uint64_t first_op_us; /* since it came here; 0: none yet */
    bool info_written;            /* vcpu_info, on the way to suspend */
    bool info_due;                /* to be found before it runs here */
    long waits;
    struct stalls stalls;
};

enum suspend_step
{
    SUSPEND_NONE,
    SUSPEND_ASKED, /* vCPUs on their way to an operation boundary */
    SUSPEND_SEEN,  /* all there, held */
    SUSPEND_GOING, /* each writes its vcpu_info after a while */
    SUSPEND_DONE,
};

struct speed
{
    uint64_t bins[NR_BINS]; /* operations per second, while running */
    uint64_t nr;            /* bins ever filled */
    uint64_t back_us;       /* since started_us; 0: not yet */
};

struct guest
{
    struct xc_sr_local_config config;
    char name[XC_SR_LOCAL_NAME_MAX + 1];

    /* Memory: constant after start. */
    int mem_fd;
    bool huge; /* the file has huge pages where the machine has */
    uint8_t *mem;
    uint64_t nr_pages;
    uint64_t work_pages;   /* below them the workload, above: vcpu_info */
    uint64_t ws_pages;     /* the working set starts at 0 */
    uint64_t signed_pages; /* the rest of the work pages is zero */

    pthread_mutex_t lock;
    pthread_cond_t vcpu_cond;     /* vCPUs: something changed */
    pthread_cond_t main_cond;     /* control loop: a vCPU parked */
    atomic_bool run;              /* vCPUs run: derived by recompute() */
    _Atomic uint64_t stall_ticks; /* longer operations are stalls */
    struct vcpu *vcpus;
    uint32_t nr_parked;
    uint32_t nr_info;

    bool admin_paused;
    bool stopped;                  /* by the migration's receiver */
    bool held;                     /* somebody checks */
    bool incoming;                 /* not handed over yet */
    bool have_state;               /* incoming: registers are in */
    _Atomic uint64_t info_missing; /* bit n: vCPU n has no vcpu_info */
    bool retained;
    bool crashed;
    char why[128];

    enum suspend_step suspend;
    uint64_t suspend_go_us;
    uint64_t suspend_count; /* of its life: marks vcpu_info, travels */

    uint64_t moves;
    uint64_t frozen_us;  /* at the source, travels */
    uint64_t started_us; /* here, after a move */
    uint64_t last_op_there_us;
    uint64_t baseline_ops_per_s;
    struct speed speed;

    /* The migration handle. */
    int handle; /* connection, -1: none */
    enum xc_sr_hv_role role;
    int suspend_event;
    int gone_sock;               /* our end */
    uint64_t attach_deadline_us; /* incoming: opened by then, or the end */

    /* Paging and dirty log; see local_guest_uffd.c. */
    uint32_t caps; /* XC_SR_HV_CAP_*, constant after start */
    int missing_uffd;
    struct dirty_log *dirty;
};

/* local_guest_mem.c */
int guest_mem_init(struct guest *g);
/* From now on each page is mapped, and written, by itself. */
void guest_mem_small(struct guest *g);
void guest_mem_fill(struct guest *g);
/* One operation on a page: true if what was there is right. */
bool guest_mem_op(struct guest *g, uint64_t pfn, uint64_t random);
/* All of it, nobody running. */
void guest_mem_check(struct guest *g, struct xc_sr_local_check *check);
void guest_info_write(struct vcpu *v);
/* NULL, or why the vCPU cannot go on. */
const char *guest_info_wrong(struct vcpu *v);

/* local_guest_run.c */
int guest_run_init(struct guest *g);
void guest_recompute(struct guest *g); /* lock held */
void guest_crash(struct guest *g, const char *why);
bool guest_hold(struct guest *g); /* false: they did not stop in time */
void guest_release(struct guest *g);
void guest_suspend(struct guest *g);
void guest_suspend_go(struct guest *g);
void guest_resume(struct guest *g);

/* local_guest_stats.c */
uint64_t guest_ticks(void);
uint64_t guest_ticks_per_us(void);
int guest_ticks_calibrate(void);
uint64_t guest_speed(struct guest *g); /* lock held */
int guest_sampler_start(struct guest *g);
void guest_slow_op(struct vcpu *v, uint64_t ticks);
long guest_waits(void);
void guest_stalls_reset(struct guest *g);
void guest_stalls_sum(struct guest *g, struct xc_sr_local_check *check);

/* local_guest_state.c */
int guest_state_get(struct guest *g, uint8_t *buf, size_t cap, size_t *len_r);
int guest_state_put(struct guest *g, const uint8_t *buf, size_t len);

/* local_guest_uffd.c */
void guest_caps_init(struct guest *g);
/* Frames that are not mapped yet can be trapped as missing ones are. */
bool guest_can_minor(void);
int guest_dirty_on(struct guest *g, struct lw_msg *msg, struct lw_fds *fds);
int guest_dirty_fetch(struct guest *g, bool clean);
void guest_dirty_off(struct guest *g);
int guest_paging_on(struct guest *g, struct lw_fds *fds);
int guest_paging_off(struct guest *g);

/* local_guest_control.c */
int guest_serve(struct guest *g, int listen_fd);

#endif /* LOCAL_GUEST_H */

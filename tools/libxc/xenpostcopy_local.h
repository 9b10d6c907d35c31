/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xenpostcopy_local.h: guests of the local backend, for whoever has no Xen.
 *
 * A local host is a directory.  A guest is a process (xen-postcopy-guest)
 * with a control socket DIR/NAME.sock and a log DIR/NAME.log; its memory is a
 * memfd, its vCPUs are threads that run a workload and check the memory they
 * run on.  Migration itself goes through xc_sr_hv_open_local() and the
 * engine, as on Xen; what is here is what a toolstack does to guests.
 *
 * Every function may be called from any thread; none keeps anything open.
 * Errors that several functions share: -ENOENT no such guest, -ECONNREFUSED
 * its process is gone, -ETIMEDOUT it does not answer, -EINVAL a bad name or
 * configuration (the log says which).
 */
#ifndef XENPOSTCOPY_LOCAL_H
#define XENPOSTCOPY_LOCAL_H

#include "xenpostcopy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Names: letters, digits, '_', '.', '-'; not starting with '.' or '-'. */
#define XC_SR_LOCAL_NAME_MAX 64 /* octets without the final NUL */

#define XC_SR_LOCAL_MIN_MEMORY_KIB 1024u      /* 256 pages */
#define XC_SR_LOCAL_MAX_MEMORY_KIB (1u << 30) /* 1 TiB: a typing error */
#define XC_SR_LOCAL_MAX_VCPUS      64u

enum xc_sr_local_workload
{
    XC_SR_LOCAL_IDLE,   /* vCPUs do nothing */
    XC_SR_LOCAL_SEQ,    /* each walks the working set page by page */
    XC_SR_LOCAL_RANDOM, /* each picks pages of the working set at random */
};

/* What makes a guest; all of it travels with a migration. */
struct xc_sr_local_config
{
    char name[XC_SR_LOCAL_NAME_MAX + 1];
    uint64_t memory_kib; /* a multiple of 4 */
    uint32_t vcpus;      /* 1..64 */
    enum xc_sr_local_workload workload;
    uint64_t rate_ops_per_s;   /* of each vCPU; 0: full speed */
    uint64_t working_set_kib;  /* 0: all memory */
    uint32_t populate_percent; /* of memory beyond the working set: how much
                                  has contents at first; the rest is zero */
    uint64_t seed;
    uint32_t suspend_delay_us; /* from "frozen" to "suspended" */
    bool sync_dirty_log;       /* dirty log as on kernels before 6.7, also where
                            this one could do better */
};

/* Sets every field but the name: 64 MiB, 1 vCPU, random, full speed, all
 * memory, 100 % populated, seed 1, 1000 us. */
void xc_sr_local_config_init(struct xc_sr_local_config *config);

enum xc_sr_local_state
{
    XC_SR_LOCAL_DEAD,     /* the socket is there, its process is not */
    XC_SR_LOCAL_INCOMING, /* being filled by a migration, never ran here */
    XC_SR_LOCAL_RUNNING,
    XC_SR_LOCAL_PAUSED,    /* by its administrator */
    XC_SR_LOCAL_SUSPENDED, /* by a migration that leaves from here */
    XC_SR_LOCAL_CRASHED,   /* see info.why */
};

const char *xc_sr_local_state_name(enum xc_sr_local_state state);
const char *xc_sr_local_workload_name(enum xc_sr_local_workload workload);
/* -EINVAL: no such workload. */
int xc_sr_local_workload_parse(const char *name,
                               enum xc_sr_local_workload *workload_r);

struct xc_sr_local_info
{
    struct xc_sr_local_config config;
    enum xc_sr_local_state state;
    int64_t pid;
    bool paging;    /* pages may still be missing */
    bool migrating; /* a migration holds this guest */
    bool retained;  /* suspended for good, unless an operator decides */
    uint64_t ops;   /* operations done in all its life */
    uint64_t errors;
    char why[128]; /* of a crash, or "" */
};

/*
 * Starts a guest and returns when it runs (incoming: when it can be opened as
 * a destination; one that is not opened within 60 s ends by itself).
 * -EEXIST: the name is taken.
 */
int xc_sr_local_create(const char *dir, const struct xc_sr_local_config *config,
                       bool incoming, const struct xc_sr_log *log);

/* *infos_r is malloc'd, sorted by name, and the caller's to free. */
int xc_sr_local_list(const char *dir, const struct xc_sr_log *log,
                     struct xc_sr_local_info **infos_r, size_t *nr_r);

/* One guest; .config is what another host needs to create it. */
int xc_sr_local_info_get(const char *dir, const char *name,
                         const struct xc_sr_log *log,
                         struct xc_sr_local_info *info_r);
int xc_sr_local_config_get(const char *dir, const char *name,
                           const struct xc_sr_log *log,
                           struct xc_sr_local_config *config_r);

int xc_sr_local_pause(const char *dir, const char *name,
                      const struct xc_sr_log *log);
int xc_sr_local_unpause(const char *dir, const char *name,
                        const struct xc_sr_log *log);
/* -EEXIST: the new name is taken.  Open handles stay valid. */
int xc_sr_local_rename(const char *dir, const char *name, const char *new_name,
                       const struct xc_sr_log *log);
/* Whatever its state; returns when its process has ended. */
int xc_sr_local_destroy(const char *dir, const char *name,
                        const struct xc_sr_log *log);
/* The operator's word on a retained guest: it runs here again. */
int xc_sr_local_resume(const char *dir, const char *name,
                       const struct xc_sr_log *log);

/* Waits until the guest is in `state` and no page is missing; *info_r is how
 * it was then.  -ETIMEDOUT after timeout_us. */
int xc_sr_local_wait(const char *dir, const char *name,
                     enum xc_sr_local_state state, uint64_t timeout_us,
                     const struct xc_sr_log *log,
                     struct xc_sr_local_info *info_r);

/*
 * What the guest finds when it is stopped and looks at all its memory, and
 * what it felt of its latest move.  Times as in xenpostcopy.h; instants of
 * the other host are comparable because both hosts are one machine.
 */
struct xc_sr_local_check
{
    struct xc_sr_local_info info;
    /* False while pages are missing or the guest has not arrived: memory was
     * not looked at, and of the rest only the stall figures hold. */
    bool complete;

    uint64_t ops;       /* sum over vCPUs */
    uint64_t counters;  /* sum over pages; equal to ops when all is well */
    uint64_t errors;    /* wrong contents the vCPUs met while running */
    uint64_t bad_pages; /* wrong contents this check met */
    uint64_t first_bad_pfn;
    uint64_t ops_per_s; /* over the last second it ran */

    /* The latest move; all 0 if it never moved. */
    uint64_t moves;
    uint64_t last_op_us;         /* last operation at the source */
    uint64_t first_op_us;        /* first one here */
    uint64_t downtime_us;        /* between the two; idle: stopped to started */
    uint64_t baseline_ops_per_s; /* before that migration began */
    uint64_t back_to_speed_us;   /* from the start here to 80 % of it, held
                                    for 3 bins of 10 ms; 0: not yet */
    /* Operations that waited for a missing page. */
    uint64_t stalls;
    uint64_t stall_sum_us;
    uint64_t stall_p50_us;
    uint64_t stall_p90_us;
    uint64_t stall_p99_us;
    uint64_t stall_max_us;
    uint64_t stall_hist[XC_SR_HISTOGRAM_BUCKETS];
    uint64_t stall_samples; /* percentiles are exact while equal to stalls */
    uint64_t preemptions;   /* slow operations that waited for no page */
};

/* Pauses the guest, looks, lets it go on.  0 means it could look; whether
 * all is well is xc_sr_local_check_ok()'s answer. */
int xc_sr_local_check(const char *dir, const char *name,
                      const struct xc_sr_log *log,
                      struct xc_sr_local_check *check_r);

/* Complete, not crashed, counters equal to ops, nothing wrong. */
bool xc_sr_local_check_ok(const struct xc_sr_local_check *check);

#ifdef __cplusplus
}
#endif

#endif /* XENPOSTCOPY_LOCAL_H */

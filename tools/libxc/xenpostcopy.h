/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xenpostcopy.h: the public interface of libxenpostcopy.
 *
 * libxenpostcopy moves a guest's memory and CPU state over two byte channels,
 * pre-copy first and then, where the caller allows it, post-copy.  It knows
 * nothing of libxl or of command lines: whoever links it supplies the
 * channels, a hypervisor handle, what belongs to its own layer of the stream,
 * and a journal that remembers who owns the guest.
 *
 * Conventions.  Every int function returns 0 or a negative errno value.
 * Out-parameters come last, end in _r and stay untouched on failure.  Times
 * are microseconds of CLOCK_MONOTONIC (_us), sizes are octets unless the name
 * says _pages.  A handle may be used by one thread at a time; the functions
 * that another thread may call say so.
 */
#ifndef XENPOSTCOPY_H
#define XENPOSTCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Logging ---------------------------------------------------------- */

enum xc_sr_log_level
{
    XC_SR_LOG_ERROR,
    XC_SR_LOG_WARN,
    XC_SR_LOG_INFO,
    XC_SR_LOG_DEBUG,
};

/*
 * Where messages go.  write() receives one line without a newline; it is
 * called from the thread that runs the engine and must not call back into
 * the library.  Messages above max_level are not formatted at all.  A NULL
 * pointer to this struct, or a NULL write, discards everything.
 */
struct xc_sr_log
{
    void (*write)(void *ctx, enum xc_sr_log_level level, const char *line);
    void *ctx;
    enum xc_sr_log_level max_level;
};

/* ---- Hypervisor handles ------------------------------------------------ */

struct xc_sr_hv;

/* What a handle is opened for. */
enum xc_sr_hv_role
{
    XC_SR_HV_SOURCE,      /* the guest runs here and is to leave */
    XC_SR_HV_DESTINATION, /* an empty, paused guest, to be filled */
    XC_SR_HV_PARKED,      /* suspended and retained by a source that is gone,
                             which recovery goes on with */
};

/*
 * Opens a guest of the local backend: `dir` is the host's directory, `name`
 * the guest.  The caller owns the handle and closes it.  A source handle that
 * is closed, or whose process dies, before the guest was retained lets the
 * guest run again; a destination handle that is closed before the guest was
 * handed over ends that guest.
 * Errors: -ENOENT no such guest, -EBUSY another migration holds it,
 * -ECONNREFUSED its process is gone.
 */
int xc_sr_hv_open_local(const char *dir, const char *name,
                        enum xc_sr_hv_role role, const struct xc_sr_log *log,
                        struct xc_sr_hv **hv_r);

/* Closes a handle; NULL is fine. */
void xc_sr_hv_close(struct xc_sr_hv *hv);

/*
 * For callers of a plain save or restore, who settle the hand-over
 * themselves.  retain: the source's guest stays suspended whatever becomes of
 * the handle.  handover: the destination's guest is an ordinary one from now
 * on, running unless leave_paused, and outlives the handle.
 */
int xc_sr_hv_retain(struct xc_sr_hv *hv);
int xc_sr_hv_handover(struct xc_sr_hv *hv, bool leave_paused);

/* ---- Progress and statistics ------------------------------------------- */

/* The phases of a migration, as both sides report them. */
enum xc_sr_phase
{
    XC_SR_PHASE_SETUP,    /* headers, ADVISE and READY */
    XC_SR_PHASE_PRECOPY,  /* the guest runs at the source, pages flow */
    XC_SR_PHASE_SUSPEND,  /* the guest is being stopped */
    XC_SR_PHASE_HANDOVER, /* stopped; state, COMMIT, RUNNING */
    XC_SR_PHASE_POSTCOPY, /* it runs at the destination, pages are missing */
    XC_SR_PHASE_DISCONNECTED, /* connection lost after COMMIT: all is kept,
                                 a new connection is waited for */
    XC_SR_PHASE_DONE,         /* every page is in */
    XC_SR_PHASE_FAILED,
};

const char *xc_sr_phase_name(enum xc_sr_phase phase);

/* Who may run the guest, as PROTOCOL records it on each side. */
enum xc_sr_owner
{
    XC_SR_OWNER_NONE,      /* source: it is ours; destination: no promise */
    XC_SR_OWNER_COMMITTED, /* source: COMMIT may be out, never resume alone */
    XC_SR_OWNER_RESUMED,   /* source: aborted, it runs here again */
    XC_SR_OWNER_DONE,      /* source: COMPLETE is known, our copy may go */
    XC_SR_OWNER_PREP,      /* destination: PREPARED may have been said */
    XC_SR_OWNER_OWNER,     /* destination: COMMIT came, it is ours */
    XC_SR_OWNER_FENCED,    /* destination: it never ran and never will here */
    XC_SR_OWNER_FINISHED,  /* destination: every page is in */
    XC_SR_OWNER_LOST,      /* destination: ours, pages missing, pager dead */
    XC_SR_OWNER_ENDED,     /* destination: it ran and is gone, before every
                              page was in; to the source as FINISHED */
};

const char *xc_sr_owner_name(enum xc_sr_owner owner);

/* Latency histogram: bucket n counts values of [2^n, 2^(n+1)) us, 0 with 0. */
#define XC_SR_HISTOGRAM_BUCKETS 24

/* At most this many pre-copy rounds are kept one by one in the statistics. */
#define XC_SR_MAX_ROUNDS 64

struct xc_sr_round_stats
{
    uint64_t sent_pages;  /* with contents or as zero pages */
    uint64_t dirty_pages; /* found dirty when the round ended */
    uint64_t duration_us;
    uint64_t bytes;
};

/* Times are absolute (CLOCK_MONOTONIC us); 0 only where it did not happen. */
struct xc_sr_stats
{
    uint64_t start_us;
    uint64_t ready_us; /* READY received / sent */
    uint64_t suspend_request_us;
    uint64_t suspended_us;
    uint64_t transition_us; /* TRANSITION written / read */
    uint64_t prepared_us;
    uint64_t commit_us;
    uint64_t running_us;
    uint64_t complete_us; /* COMPLETE received / sent */
    uint64_t end_us;

    /* Of the suspended time, how much went into (source): */
    uint64_t suspend_dirty_us; /* last fetch of the dirty log */
    uint64_t suspend_resume_set_us;
    uint64_t suspend_state_us;
    uint64_t suspend_pfns_us;

    uint64_t nr_pfns;
    uint64_t bytes_total; /* forward direction, all of it */
    uint64_t bytes_back;
    uint64_t bytes_precopy; /* page records before BEGIN */
    uint64_t bytes_resume_set;
    uint64_t bytes_announce; /* DISCARD and PFNS */
    uint64_t bytes_state;
    uint64_t bytes_fault; /* page records that answer a FAULT */
    uint64_t bytes_push;  /* page records nobody asked for */
    uint64_t bytes_other; /* headers, records of the hand-over */
    uint64_t bytes_upper; /* of the layer above, between ours */

    uint64_t pages_precopy;
    uint64_t pages_resume_set;
    uint64_t pages_announced; /* owed at TRANSITION, or when this process
                                 went on from a record */
    uint64_t pages_fault;
    uint64_t pages_push;
    uint64_t pages_zero; /* of all the above, sent as zero pages */

    uint64_t faults;          /* FAULT entries received / guest faults */
    uint64_t faults_late;     /* for pages already sent / already in */
    uint64_t faults_foreign;  /* not a vCPU's: dom0's (destination) */
    uint64_t duplicates;      /* pages that came twice (destination) */
    uint64_t released;        /* pages the guest gave back */
    uint64_t abandoned;       /* missing when it ended (destination) */
    uint64_t skipped_records; /* unknown optional records */

    uint64_t losses;          /* of the connection, after COMMIT */
    uint64_t recoveries;      /* of them, those that were recovered from */
    uint64_t disconnected_us; /* in all, without a connection */

    uint64_t fault_service_count; /* destination: fault read to page in */
    uint64_t fault_service_sum_us;
    uint64_t fault_service_max_us;
    uint64_t fault_service_hist[XC_SR_HISTOGRAM_BUCKETS];

    uint64_t dirty_pages_per_s; /* last measured */
    uint64_t bandwidth_bytes_per_s;

    unsigned int nr_rounds; /* rounds done, may exceed the array */
    struct xc_sr_round_stats rounds[XC_SR_MAX_ROUNDS];

    bool postcopy; /* went through the post-copy switch */
    unsigned int stream_version;
    uint32_t features; /* as accepted in READY */
};

struct xc_sr_progress
{
    enum xc_sr_phase phase;
    unsigned int round;
    uint64_t total_pages;
    uint64_t done_pages;  /* in, or not dirty, by this side's view */
    uint64_t bytes_per_s; /* over the last interval */
    uint64_t dirty_pages_per_s;
    uint64_t faults;
    uint64_t faults_outstanding; /* vCPUs (or others) wait for them now */
    uint64_t elapsed_us;
    const struct xc_sr_stats *stats;
    enum xc_sr_owner owner; /* this side's record */
};

/* ---- Policy ------------------------------------------------------------- */

enum xc_sr_decision
{
    XC_SR_DECIDE_CONTINUE, /* one more pre-copy round */
    XC_SR_DECIDE_STOP_AND_COPY,
    XC_SR_DECIDE_POSTCOPY,
};

/* What is known between two pre-copy rounds. */
struct xc_sr_policy_input
{
    unsigned int iteration;     /* rounds completed */
    uint64_t dirty_pages;       /* owed now */
    uint64_t dirty_pages_per_s; /* measured over the last round, 0 unknown */
    uint64_t
        bandwidth_bytes_per_s; /* measured over the last round, 0 unknown */
    bool postcopy_asked_now;   /* xc_sr_control_postcopy_now() was called */
};

/* What the user asked for. */
struct xc_sr_policy
{
    bool allow_postcopy;
    unsigned int max_iterations; /* pre-copy rounds, 0..n */
    uint64_t threshold_pages;    /* at most this many owed: finish */
    uint64_t max_downtime_us;    /* target for stop-and-copy, 0: none */
};

/* The default policy: a pure function of its arguments. */
enum xc_sr_decision xc_sr_policy_decide(const struct xc_sr_policy *policy,
                                        const struct xc_sr_policy_input *in);

/* ---- Control from another thread or a signal handler's pipe ------------- */

struct xc_sr_control;

/* Both may be called from any thread while a migration runs. */
int xc_sr_control_new(struct xc_sr_control **control_r);
void xc_sr_control_free(struct xc_sr_control *control);

/* Turn to post-copy as soon as possible.  A no-op after the switch. */
int xc_sr_control_postcopy_now(struct xc_sr_control *control);

/* Give up; honoured before COMMIT, ignored (and logged) after. */
int xc_sr_control_abort(struct xc_sr_control *control);

/*
 * A new connection for a migration whose connection was lost after COMMIT
 * (struct xc_sr_recovery).  From any thread.  On success the engine owns the
 * descriptors (they may be one) and closes them when it is done with them; of
 * several it has not looked at yet it takes the newest.  An engine that still
 * has a connection gives that up for this one.  One that has ended or cannot
 * recover never looks: xc_sr_control_free() closes them.
 */
int xc_sr_control_reconnect(struct xc_sr_control *control, int send_fd,
                            int recv_fd);

/*
 * Do not wait for a new connection any longer: the engine returns as when
 * recovery.timeout_us has passed, with everything kept that it can keep.  A
 * no-op while there is a connection.  From any thread.
 */
int xc_sr_control_stop_waiting(struct xc_sr_control *control);

/*
 * A descriptor of the caller's that the engine polls while it runs; on_ready
 * is called in the engine's thread when fd is readable and must not block.
 * fd -1: none.  Borrowed for the duration of the migration.
 */
struct xc_sr_watch
{
    int fd;
    void (*on_ready)(void *ctx);
    void *ctx;
};

/* ---- The caller's layer of the stream ----------------------------------- */

/*
 * Between TRANSITION and the pages the stream belongs to the layer above (on
 * Xen: libxl's records up to its END).  The sender pulls octets:
 *
 * read() fills at most cap octets; *len_r 0 with *done_r false means "nothing
 * yet": the engine then waits for ready_fd (-1: calls again at once, so
 * whatever there is must be there).  *done_r true ends this part.
 */
struct xc_sr_upper_source
{
    int (*read)(void *ctx, void *buf, size_t cap, size_t *len_r, bool *done_r);
    int ready_fd;
    void *ctx;
};

/*
 * The receiver pushes octets: write() takes a prefix, *used_r octets of it,
 * and says with *done_r when its part has ended; octets after that belong to
 * the engine again.  It must always take at least one octet, or fail.
 * begin() is called before, when its part is next, which may be some time
 * before the first octet; NULL: nobody wants to know.
 */
struct xc_sr_upper_sink
{
    int (*write)(void *ctx, const void *buf, size_t len, size_t *used_r,
                 bool *done_r);
    void *ctx;
    int (*begin)(void *ctx);
};

/*
 * The durable record of ownership (docs/specs, "Hand-over").  put() returns
 * only when `owner` outlives this process; the engine calls it before it acts
 * or speaks.  A failure before the point of no return aborts the migration.
 * -ENOTRECOVERABLE: nobody knows which of the two records will be read, this one or
 * the one before; after any other failure it is the one before.
 */
struct xc_sr_journal
{
    int (*put)(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
               uint64_t epoch);
    void *ctx;
};

/* ---- A connection that is lost after COMMIT ------------------------------ */

/*
 * Not enabled: the loss ends xc_sr_save() (owner COMMITTED, parked) and
 * xc_sr_restore() (owner OWNER, pages missing; at PREP: FENCED).  Enabled: the
 * engine keeps everything, serves the guest with what is there, and waits in
 * its thread for xc_sr_control_reconnect(), any number of times.  Version 3
 * only; needs a control.  The rules are docs/specs, "Recovery".
 */
struct xc_sr_recovery
{
    bool enabled;
    /* Destination: stop the guest while the connection is lost and pages are
     * missing (back ends and spinning vCPUs do not wait, on Xen). */
    bool pause;
    /* How long each loss may last, 0: for ever.  A destination that has not
     * seen COMMIT waits commit_timeout_us instead. */
    uint64_t timeout_us;
    /*
     * In the engine's thread; must not block.  lost(): the connection in use,
     * or one that was handed in and led to nothing, is not used any more;
     * descriptors of the caller's may be closed.  recovered(): the other side
     * has agreed to go on.  Either may be NULL.
     */
    void (*lost)(void *ctx, const char *why);
    void (*recovered)(void *ctx);
    void *ctx;
};

/* What a record says, for an engine that takes up where a dead one stopped. */
struct xc_sr_record_of
{
    enum xc_sr_owner owner;
    uint8_t session[16];
    uint64_t epoch;
};

/* ---- Save (source) ------------------------------------------------------- */

struct xc_sr_save_params
{
    struct xc_sr_hv *hv; /* borrowed */
    /*
     * The stream, borrowed, made non-blocking.  A socket or a pipe; with a
     * pipe the caller has SIGPIPE ignored or blocked.  May be recv_fd too.
     */
    int send_fd;
    int recv_fd;                 /* the back channel, likewise; -1: none */
    unsigned int stream_version; /* 2 or 3 */
    /*
     * Plain: a stock stream with no record of ours, no back channel and no
     * hand-over; save returns 0 with the guest suspended and END written, and
     * the caller decides who runs it.
     */
    bool plain;
    struct xc_sr_policy policy;
    uint64_t max_bandwidth_bytes_per_s;          /* pre-copy; 0 unlimited */
    uint64_t max_postcopy_bandwidth_bytes_per_s; /* push only, never faults */
    uint32_t deny_features; /* XC_SR_FEATURE_*: do not offer these */
    struct xc_sr_upper_source upper;
    struct xc_sr_journal journal;
    struct xc_sr_control *control; /* may be NULL */
    struct xc_sr_watch watch;      /* fd -1: none */
    const struct xc_sr_log *log;   /* may be NULL */
    void (*progress)(void *ctx, const struct xc_sr_progress *progress);
    void *progress_ctx;
    uint64_t ready_timeout_us; /* for READY, PREPARED, RUNNING; 0: default */
    struct xc_sr_recovery recovery;
    /*
     * Not NULL: nothing is migrated afresh; the guest behind hv is the one
     * that a migration left suspended with this record (COMMITTED), and the
     * engine starts where that one stopped: send_fd and recv_fd are the first
     * connection of a recovery.
     */
    const struct xc_sr_record_of *from;
    /* How long a peer that has agreed to KEEPALIVE may be silent, 0: 14 s. */
    uint64_t silence_timeout_us;
};

struct xc_sr_save_result
{
    enum xc_sr_owner owner; /* RESUMED, COMMITTED (parked) or DONE, or
                                    NONE after a plain save */
    bool suspended_here;    /* RESUMED, but resuming it failed */
    bool refused;           /* READY said no: the guest was not touched */
    uint32_t refuse_reason; /* XC_SR_REASON_* */
    char why[256];          /* one line for people, "" on success */
    struct xc_sr_stats stats;
    struct xc_sr_stats peer_stats; /* destination's, where peer_stats_valid */
    bool peer_stats_valid;
};

/*
 * Runs a whole migration at the source.  Returns 0 when the guest belongs to
 * the destination and every page is in (owner DONE), or a plain save is
 * complete.  On an error result_r->owner says where the guest is: RESUMED, it
 * runs here; COMMITTED, it is kept suspended because it may run there.
 * result_r is filled in either case.
 */
int xc_sr_save(const struct xc_sr_save_params *params,
               struct xc_sr_save_result *result_r);

/* ---- Restore (destination) ----------------------------------------------- */

struct xc_sr_restore_params
{
    struct xc_sr_hv *hv; /* borrowed */
    int recv_fd;         /* the stream, borrowed, made non-blocking */
    int send_fd;         /* the back channel; -1: none */
    uint32_t deny_features;
    bool leave_paused;           /* do not unpause after COMMIT */
    uint32_t max_stream_version; /* refuse newer ones; 0: newest known */
    struct xc_sr_upper_sink upper;
    struct xc_sr_journal journal;
    /*
     * Called when everything needed to run is in and upper is done, before
     * PREPARED is said; NULL: nothing to wait for.  With *ready_r left false
     * it is called again whenever prepare_fd is readable, until it says true.
     * It must not block: meanwhile pages come in and are given to whoever
     * waits for one, be it a device model that starts.
     */
    int (*prepare)(void *ctx, bool *ready_r);
    int prepare_fd; /* borrowed; not looked at before prepare() was called */
    /* Called once after the guest has been handed over (it runs here). */
    void (*running)(void *ctx);
    /*
     * Called at most once, after FENCED was recorded and before NAK is said:
     * ends the guest for good.  Returns 0 only if it is certainly gone; else
     * no NAK is said and the source keeps its copy parked.  hv is not used
     * afterwards (but still closed by the caller).  NULL: closing hv does it.
     */
    int (*destroy)(void *ctx);
    void *ctx;
    struct xc_sr_control *control;
    struct xc_sr_watch watch;
    const struct xc_sr_log *log;
    void (*progress)(void *ctx, const struct xc_sr_progress *progress);
    void *progress_ctx;
    /*
     * How long a promise waits for COMMIT, 0: 60 s; and how long the stream
     * may be silent at any other time, and prepare() may take, 0: 120 s.  The
     * source may itself wait ready_timeout_us for its guest to suspend, and
     * says nothing meanwhile: the second should be longer than that.
     */
    uint64_t commit_timeout_us;
    uint64_t stall_timeout_us;
    struct xc_sr_recovery recovery;
    /*
     * Not NULL: nothing arrives afresh; the guest behind hv runs here with
     * pages missing and this record (OWNER), and the process that served it is
     * dead.  hv was opened to take its place, asks the hypervisor what is
     * missing, and has the guest paused until pages come again; recv_fd and
     * send_fd are the first connection of a recovery.  -EOPNOTSUPP: this
     * hypervisor cannot, the guest is lost.
     */
    const struct xc_sr_record_of *from;
    /* As at the source. */
    uint64_t silence_timeout_us;
};

struct xc_sr_restore_result
{
    enum xc_sr_owner owner; /* NONE, FENCED, OWNER, FINISHED or ENDED */
    bool ran;               /* it has executed here, or may have */
    bool whole;             /* no page is missing any more: it runs here and
                                    has all of them, or it has ended */
    bool end_seen;          /* END or ABORT came: the record may go */
    bool plain;             /* a stock stream: the guest is complete and
                                    paused, the caller decides who runs it */
    char why[256];
    struct xc_sr_stats stats;
};

/*
 * Runs a whole migration at the destination.  Returns 0 when every page is
 * in, or none is wanted any more (owner ENDED).  owner FENCED or NONE: the
 * guest never ran here and the caller destroys it.  owner OWNER after an error:
 * it runs here with pages missing, or, if it is whole, without a record of that.
 */
int xc_sr_restore(const struct xc_sr_restore_params *params,
                  struct xc_sr_restore_result *result_r);

/*
 * For a destination whose process is gone and whose guest either never ran
 * here or needs nothing more: tells the source, on a new connection, what the
 * record says (FENCED, FINISHED, ENDED, LOST; NONE: nothing is known of it) and
 * waits for its word.  The epoch is raised and put into the journal first.
 * *settled_r: the source knows, the record may go.
 */
struct xc_sr_tell_params
{
    struct xc_sr_record_of record;
    int send_fd;
    int recv_fd;
    struct xc_sr_journal journal;
    const struct xc_sr_log *log;
    uint64_t timeout_us; /* 0: 60 s */
};

int xc_sr_restore_tell(const struct xc_sr_tell_params *params, bool *settled_r);

/* ---- What two engines can agree on, and reasons for a refusal ------------ */

#define XC_SR_FEATURE_ZERO_PAGES 0x00000001u /* pages of zeroes travel bare */
#define XC_SR_FEATURE_ACK        0x00000002u /* the receiver acknowledges */
#define XC_SR_FEATURE_STATS      0x00000004u /* POSTCOPY_STATS at the end */
#define XC_SR_FEATURE_KEEPALIVE  0x00000008u /* neither side is ever silent */
#define XC_SR_FEATURES_ALL       0x0000000fu

#define XC_SR_REASON_NONE       0u
#define XC_SR_REASON_VERSION    1u /* stream version not accepted */
#define XC_SR_REASON_NO_PAGING  2u /* this hypervisor cannot page */
#define XC_SR_REASON_NO_MEMORY  3u /* the guest does not fit */
#define XC_SR_REASON_GUEST_TYPE 4u /* this kind of guest cannot be paged */
#define XC_SR_REASON_HAP        5u /* no hardware assisted paging */
#define XC_SR_REASON_IOMMU      6u /* the guest has a device passed through */
#define XC_SR_REASON_BUSY       7u /* somebody else pages this guest */
#define XC_SR_REASON_FAILED     8u /* the text says what */
#define XC_SR_REASON_OPERATOR   9u /* somebody asked for it */
#define XC_SR_REASON_TIMEOUT    10u

const char *xc_sr_reason_name(uint32_t reason);

#ifdef __cplusplus
}
#endif

#endif /* XENPOSTCOPY_H */

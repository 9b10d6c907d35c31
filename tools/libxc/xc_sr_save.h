/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save.h: the sender's inside, shared by the xc_sr_save*.c files.
 *
 * xc_sr_save.c            the timeline, readable top to bottom
 * xc_sr_save_loop.c       the wait loop everything else runs in
 * xc_sr_save_precopy.c    rounds, suspending, the resume set
 * xc_sr_save_push.c       the push
 * xc_sr_save_postcopy.c   announcing, the point of no return, the back channel
 * xc_sr_save_recover.c    a connection lost after COMMIT, and the next one
 * xc_sr_save_batch.c      pfns to page records
 *
 * One thread, one poll loop, no locks.  A function that waits calls
 * sender_turn() until what it waits for is so; nothing else blocks.
 */
#ifndef XC_SR_SAVE_H
#define XC_SR_SAVE_H

#include "xc_sr_control.h"
#include "xc_sr_engine_recover.h"
#include "xc_sr_hv.h"
#include "xc_sr_outq.h"
#include "xc_sr_pageset.h"
#include "xc_sr_stream.h"
#include "xc_sr_window.h"

/*
 * Pages in a bulk record.  Small enough that a faulted page never waits long
 * behind a record that has already begun, large enough to cost little.
 */
#define XC_SR_BULK_PAGES 16u

/*
 * Faults that wait their turn.  A guest has no more than a few for each vCPU;
 * what a peer asks for beyond that is served by the push, which it steers.
 */
#define XC_SR_URGENT_MAX 4096u

/*
 * Resume set: the windows of the dirty log that are kept apart, and how many
 * pages of older windows stay with them.  A guest that has stopped its
 * workload dirties little, so everything since then fits; a window of a busy
 * guest does not, and what lies before it is forgotten.
 */
#define XC_SR_RESUME_WINDOWS     3u
#define XC_SR_RESUME_OLDER_PAGES 1024u

struct xc_sr_sender
{
    const struct xc_sr_save_params *params;
    struct xc_sr_hv *hv;
    const struct xc_sr_log *log;
    struct xc_sr_save_result *result;
    struct xc_sr_stats *stats;
    unsigned int version;
    uint8_t session[16];
    uint64_t epoch;
    uint64_t nr_pfns;

    /* The wire. */
    struct xc_sr_outq out;
    struct xc_sr_inbuf in; /* back channel; buf NULL: there is none */
    struct xc_sr_reader back;
    struct xc_sr_writer writer;
    struct xc_sr_window window;
    struct xc_sr_rate rate;
    struct xc_sr_pace pace;
    uint64_t queued_total; /* octets ever put into out */
    int upper_fd;          /* waited for; -1: none */
    bool back_eof;
    uint32_t features;
    /* Asked for once a turn: it is a system call in many a dom0. */
    uint64_t now_us;
    uint64_t said_us;   /* when octets went out last */
    uint64_t heard_us;  /* when octets came last */
    uint64_t turned_us; /* when that was asked last */

    /* A connection after the first: see xc_sr_save_recover.c. */
    uint64_t sent_base; /* queued_total when it began */
    bool owns_fds;      /* it was handed in: ours to close */
    bool parked;        /* there is none */
    bool handshaking;   /* RECOVER is to come, or to be answered */
    bool recover_in;    /* it came */
    bool gave_up;       /* waiting for another one */
    bool from_record;   /* started from a record: owed_all is not known */
    uint32_t recover_record;
    uint64_t recover_epoch;
    struct xc_sr_pageset present; /* the destination's bitmap */
    char loss_why[256];

    /* The book of pages. */
    struct xc_sr_pageset todo;      /* owed in pre-copy */
    struct xc_sr_pageset announced; /* DISCARDed, not taken back since */
    struct xc_sr_pageset owed;      /* post-copy: announced, not sent */
    struct xc_sr_pageset owed_all;  /* post-copy: all that was announced */
    struct xc_sr_pageset windows[XC_SR_RESUME_WINDOWS];
    struct xc_sr_pageset older;  /* small windows before those */
    struct xc_sr_pageset pinned; /* must not be missing: never announced */
    uint64_t cursor;             /* the push goes on here */
    uint64_t urgent[XC_SR_URGENT_MAX];
    unsigned int urgent_head;
    unsigned int urgent_nr;
    uint64_t mapped_pfns[XC_SR_BULK_PAGES * 4];
    const void *mapped[XC_SR_BULK_PAGES * 4];
    unsigned int nr_mapped;

    /* Where the hand-over stands. */
    enum xc_sr_phase phase;
    enum xc_sr_owner owner;
    bool dirty_log_on;
    bool suspend_asked;
    bool stock_tail; /* the back channel belongs to the caller again */
    bool upper_done; /* FAULTs are legal from here on */
    bool advised;
    bool ready;
    bool prepared;
    bool running;
    bool naked; /* NAK: the destination never ran it and never will */
    bool
        commit_unsaid; /* COMMITTED may be on the record, and is not acted on */
    bool complete;
    bool abort_refused; /* asked after COMMIT, and told so */
    bool at_boundary;   /* out holds whole records: ABORT could follow */

    bool spins;          /* in the push: see SPIN_US */
    uint64_t asked_us;   /* COMMIT, or the connection since: for RUNNING */
    uint64_t busy_at_us; /* the last turn in which something moved */
    uint64_t progress_at_us;
    uint64_t progress_bytes;
    uint64_t bandwidth;        /* of the last round */
    uint64_t dirty_rate_pages; /* per second, of the last round */
};

/* ---- xc_sr_save_loop.c ---- */

/* One line for people in result->why, the first one stays; returns rc. */
int xc_sr__sender_fail(struct xc_sr_sender *s, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * One turn of the loop: writes what can be written, reads and acts on what
 * has come, else waits until something happens or deadline_us.  Also reports
 * progress and serves control and watch.  -ECANCELED: asked to give up.
 */
int xc_sr__sender_turn(struct xc_sr_sender *s, uint64_t deadline_us);
/*
 * A turn that fails with -ETIMEDOUT when the peer, not our own rate limit,
 * has kept everything still for ready_timeout_us.  Start with a stall of
 * zeroes.
 */
struct xc_sr_stall
{
    uint64_t seen; /* octets, both ways */
    uint64_t deadline_us;
};
int xc_sr__sender_turn_or_stall(struct xc_sr_sender *s, uint64_t until_us,
                                struct xc_sr_stall *stall);

/*
 * Turns until there is room for more records in the queue: what is copied
 * into it, lists above all, would else be held whole for a slow peer.
 */
#define XC_SR_QUEUE_MAX (1u << 20)
int xc_sr__sender_room(struct xc_sr_sender *s);

/* Turns until all queued octets are written. */
int xc_sr__sender_drain(struct xc_sr_sender *s);
/* Moves what the writer holds to the queue (and empties the writer). */
int xc_sr__sender_queue(struct xc_sr_sender *s);
/* Calls the progress callback when it is due (now_us: the time). */
void xc_sr__sender_report(struct xc_sr_sender *s, uint64_t now_us);
/* Sums up; also who owns the guest. */
void xc_sr__sender_finish_stats(struct xc_sr_sender *s);
void xc_sr__sender_phase(struct xc_sr_sender *s, enum xc_sr_phase phase);

/* ---- xc_sr_save_batch.c ---- */

/* What a page record counts as. */
enum xc_sr_class
{
    XC_SR_CLASS_PRECOPY,
    XC_SR_CLASS_RESUME_SET,
    XC_SR_CLASS_FAULT,
    XC_SR_CLASS_PUSH,
};

/*
 * Queues nr pages (at most XC_SR_BULK_PAGES) as PAGE_DATA, POSTCOPY_PAGE_DATA
 * or ZERO_PAGES.  The queue must be empty of page references.
 */
int xc_sr__sender_batch(struct xc_sr_sender *s, const uint64_t *pfns,
                        unsigned int nr, enum xc_sr_class class);
/* Lets go of mappings once the queue has run empty. */
void xc_sr__sender_unmap(struct xc_sr_sender *s);

/* ---- xc_sr_save_precopy.c ---- */

int xc_sr__sender_precopy(struct xc_sr_sender *s,
                          enum xc_sr_decision *decision_r);
/* DISCARDs everything in todo while the guest still runs. */
int xc_sr__sender_discard(struct xc_sr_sender *s);
int xc_sr__sender_suspend(struct xc_sr_sender *s);
/* Sends every page of `set` as plain pages and empties it. */
int xc_sr__sender_send_set(struct xc_sr_sender *s, struct xc_sr_pageset *set,
                           enum xc_sr_class class);

/* ---- xc_sr_save_push.c ---- */

int xc_sr__sender_push(struct xc_sr_sender *s);

/* ---- xc_sr_save_postcopy.c ---- */

int xc_sr__sender_announce(struct xc_sr_sender *s);
/* Records COMMITTED and queues COMMIT: the point of no return. */
int xc_sr__sender_commit(struct xc_sr_sender *s);
/* Reads and acts on the back channel; *progress_r if anything came. */
int xc_sr__sender_back(struct xc_sr_sender *s, bool *progress_r);
void xc_sr__sender_write_session(struct xc_sr_sender *s, enum xc_sr_rec rec);

/* ---- xc_sr_save_recover.c ---- */

/* Would a failure now be waited out? */
bool xc_sr__sender_may_recover(const struct xc_sr_sender *s);
/*
 * Parks, waits for a new connection and settles on it where both sides stand.
 * 0: go on with the push, or everything is there (complete).  Else it is
 * over: nobody came, or the destination never ran it (naked).
 */
int xc_sr__sender_recover(struct xc_sr_sender *s);
/* The push; each loss after COMMIT is waited out, if the caller wants that. */
int xc_sr__sender_push_through(struct xc_sr_sender *s);
/* The first connection of a sender that starts from a record. */
int xc_sr__sender_recover_from(struct xc_sr_sender *s);
/* Events of POSTCOPY_RECOVER, of any other record during the handshake. */
int xc_sr__sender_on_recover(struct xc_sr_sender *s,
                             const struct xc_sr_event *ev);

#endif /* XC_SR_SAVE_H */

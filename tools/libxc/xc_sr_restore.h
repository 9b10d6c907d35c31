/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore.h: the receiver's inside, shared by the xc_sr_restore*.c
 * files.
 *
 * xc_sr_restore.c         the timeline, readable top to bottom
 * xc_sr_restore_loop.c    read > check > act, and all waiting
 * xc_sr_restore_act.c     what is done about each record, from the table
 * xc_sr_restore_pages.c   page contents into the guest
 * xc_sr_restore_pager.c   the guest's faults, and what is owed to it
 * xc_sr_restore_recover.c a lost connection, and the next one
 *
 * One thread, one poll loop, no locks.  The receiver never touches guest
 * memory itself: contents go through the seam.
 */
#ifndef XC_SR_RESTORE_H
#define XC_SR_RESTORE_H

#include "xc_sr_control.h"
#include "xc_sr_engine_recover.h"
#include "xc_sr_hv.h"
#include "xc_sr_outq.h"
#include "xc_sr_pageset.h"
#include "xc_sr_stream.h"

/*
 * Faults whose pages are on their way.  A guest's vCPUs and its back ends
 * cannot wait for more at once; beyond it the backend keeps them.
 */
#define XC_SR_OUTSTANDING_MAX 1024u

/* A fault taken from the hypervisor and not yet answered. */
struct xc_sr_waiter
{
    struct xc_sr_hv_fault fault;
    uint64_t since_us;
};

struct xc_sr_receiver
{
    const struct xc_sr_restore_params *params;
    struct xc_sr_hv *hv;
    const struct xc_sr_log *log;
    struct xc_sr_restore_result *result;
    struct xc_sr_stats *stats;
    uint8_t session[16];
    uint64_t epoch;
    uint64_t nr_pfns;
    uint64_t source_pfns; /* its count, of ADVISE: the bitmap's */
    uint32_t features;

    /* The wire. */
    struct xc_sr_inbuf in;
    struct xc_sr_reader reader;
    struct xc_sr_outq out; /* back channel */
    struct xc_sr_writer writer;
    size_t need; /* octets the reader wants to see */
    uint64_t acked;
    uint64_t upper_used;
    bool upper_begun;
    /* Asking for the time is a system call on some hosts, dom0s among them:
     * each turn does it once. */
    uint64_t now_us;
    uint64_t said_us;   /* when octets went out last */
    uint64_t heard_us;  /* when octets came last */
    uint64_t turned_us; /* when that was asked last */

    /* A connection after the first: see xc_sr_restore_recover.c. */
    uint64_t conn_base;   /* in.total when it began */
    bool owns_fds;        /* it was handed in: ours to close */
    bool conn_lost;       /* it is the connection that failed, not the peer */
    bool parked;          /* there is none */
    bool handshaking;     /* RECOVER is said, RESUME is to come */
    bool resumed;         /* RESUME(go) came on this one */
    bool gave_up;         /* waiting for another one */
    bool paused_here;     /* the guest, by us */
    bool missing_unknown; /* of a guest that was taken over: yet to be asked */
    char loss_why[256];

    /* The book of pages. */
    struct xc_sr_pageset populated;
    struct xc_sr_pageset announced; /* at TRANSITION: all that is to come */
    struct xc_sr_pageset missing;   /* announced and not in */
    struct xc_sr_pageset requested; /* missing, and the source was asked */
    struct xc_sr_pageset early;     /* loaded ahead of their turn */
    struct xc_sr_pageset stuck;     /* missing, but in use: not paged out */
    uint64_t ahead_at;              /* offset of the next record to look at */
    uint64_t ahead_next; /* ... of the one after it, if it is incomplete */
    struct xc_sr_waiter waiters[XC_SR_OUTSTANDING_MAX];
    unsigned int nr_waiters;

    /* The page record being read: pfns whose contents are to come. */
    uint64_t *pending;
    size_t pending_cap;
    size_t nr_pending;
    size_t nr_checked; /* of them, to be announced */

    /* Where the hand-over stands. */
    enum xc_sr_phase phase;
    enum xc_sr_owner owner;
    bool advised; /* ADVISE came: version 3 with a hand-over */
    bool may_postcopy;
    bool stays_paused; /* its administrator had paused it at the source */
    bool paging;       /* the backend traps missing pages */
    bool begun;        /* POSTCOPY_BEGIN came */
    bool upper_done;
    bool preparing; /* prepare_fd says when prepare() has something new */
    bool committed; /* COMMIT came */
    bool ran;
    bool unpausing;    /* it may have, when that is over */
    int start_failure; /* of the pager meanwhile, if nothing made it good */
    bool running_said; /* RUNNING; recovery says it again */
    bool aborted;      /* ABORT came */
    bool ended;        /* END came */
    bool eof;
    bool gone; /* the guest is gone: nothing is owed any more */
    bool crash_said;

    uint64_t progress_at_us;
    uint64_t progress_bytes;
    uint64_t begin_us;
    uint64_t pages_in;
};

/* ---- xc_sr_restore_loop.c ---- */

/* One line for people in result->why, the first one stays; returns rc. */
int xc_sr__receiver_fail(struct xc_sr_receiver *r, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void xc_sr__receiver_phase(struct xc_sr_receiver *r, enum xc_sr_phase phase);

/*
 * One turn: serves faults, reads and acts, acknowledges, writes what can be
 * written, else waits until something happens or deadline_us.  Returns early
 * after anything the timeline waits for.  -EPIPE: end of stream.
 */
int xc_sr__receiver_turn(struct xc_sr_receiver *r, uint64_t deadline_us);
/* Moves what the writer holds to the back channel; the next turn sends it. */
int xc_sr__receiver_queue(struct xc_sr_receiver *r);
/* Moves it there and tries to send it at once. */
int xc_sr__receiver_say(struct xc_sr_receiver *r);
/* Says something if it has been silent for long; where that may happen. */
int xc_sr__receiver_keepalive(struct xc_sr_receiver *r);
void xc_sr__receiver_report(struct xc_sr_receiver *r, uint64_t now_us);
/* COMPLETE is said, or about to be: nothing is wanted of the source. */
static inline bool xc_sr__receiver_is_through(const struct xc_sr_receiver *r)
{
    return r->owner == XC_SR_OWNER_FINISHED || r->owner == XC_SR_OWNER_ENDED;
}
static inline bool xc_sr__receiver_has_back(const struct xc_sr_receiver *r)
{
    return r->params->send_fd >= 0;
}

/* PREPARED or RUNNING. */
int xc_sr__receiver_say_session(struct xc_sr_receiver *r, enum xc_sr_rec rec);

/* ---- xc_sr_restore_recover.c ---- */

/* Would a failure now be waited out? */
bool xc_sr__receiver_may_recover(const struct xc_sr_receiver *r);
/*
 * Waits for a new connection and settles on it where both sides stand.  0: the
 * step that failed is to be tried again.  Else it is over: nobody came, or the
 * source has aborted.
 */
int xc_sr__receiver_recover(struct xc_sr_receiver *r);
/* It runs here, and nobody waits for another connection any more. */
void xc_sr__receiver_leave(struct xc_sr_receiver *r);
/* A step that takes as many connections as it needs. */
int xc_sr__receiver_through_losses(struct xc_sr_receiver *r,
                                   int (*step)(struct xc_sr_receiver *r));
/* Before anything else can fail: the guest of a record may run. */
void xc_sr__receiver_assume_record(struct xc_sr_receiver *r);
/* The place of a dead process is taken, and its source goes on. */
int xc_sr__receiver_take_over(struct xc_sr_receiver *r);
/* A turn; a connection that is lost in it is waited out. */
int xc_sr__receiver_turn_through(struct xc_sr_receiver *r,
                                 uint64_t deadline_us);

/* ---- xc_sr_restore_act.c ---- */

/* One event of the stream, already checked by the reader. */
int xc_sr__receiver_event(struct xc_sr_receiver *r,
                          const struct xc_sr_event *ev);

/* ---- xc_sr_restore_pages.c ---- */

/* Events of PAGE_DATA and ZERO_PAGES before, and of both after the switch. */
int xc_sr__receiver_page_data(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev);
int xc_sr__receiver_push_data(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev);
int xc_sr__receiver_zero_pages(struct xc_sr_receiver *r,
                               const struct xc_sr_event *ev);
/*
 * Looks for the answer to a fault behind the bulk that is already in the
 * window, and loads it first.
 */
int xc_sr__receiver_look_ahead(struct xc_sr_receiver *r);
/* Events of POSTCOPY_DISCARD and POSTCOPY_PFNS. */
int xc_sr__receiver_discard(struct xc_sr_receiver *r,
                            const struct xc_sr_event *ev);
int xc_sr__receiver_pfns(struct xc_sr_receiver *r,
                         const struct xc_sr_event *ev);

/* ---- xc_sr_restore_pager.c ---- */

int xc_sr__receiver_paging_on(struct xc_sr_receiver *r);
/* Takes the guest's faults, asks the source for what is missing. */
int xc_sr__receiver_faults(struct xc_sr_receiver *r);
/* Asks for what could not be paged out: the guest cannot wait for those. */
int xc_sr__receiver_ask_stuck(struct xc_sr_receiver *r);
/* FAULT for nr pages, unless nobody would read it. */
int xc_sr__receiver_ask(struct xc_sr_receiver *r, const uint64_t *pfns,
                        unsigned int nr);
/* A page has come in, or is not wanted any more: whoever waits goes on. */
int xc_sr__receiver_page_settled(struct xc_sr_receiver *r, uint64_t pfn);
/* Notices a guest that was destroyed or shut down. */
int xc_sr__receiver_check_gone(struct xc_sr_receiver *r);
/* What comes is not to be relied upon any more: whether anybody wants it. */
bool xc_sr__receiver_has_ended(struct xc_sr_receiver *r);
/* A call of the seam failed with rc: 0 if that is because the guest is gone. */
int xc_sr__receiver_unless_gone(struct xc_sr_receiver *r, int rc);
/* Before the migration is called done, which it is: whoever moved a guest that
 * has crashed meanwhile hears of it. */
void xc_sr__receiver_last_look(struct xc_sr_receiver *r);

#endif /* XC_SR_RESTORE_H */

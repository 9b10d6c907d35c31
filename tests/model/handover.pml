/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Hand-over, post-copy and recovery of one guest between two hosts.
 *
 * The rules are those of docs/specs/libxc-migration-stream.pandoc, "Hand-over"
 * and "Recovery"; README beside this file says what is left out, what the
 * bounds mean and how it is run.  The names of the records on disk and on the
 * wire are those of the code (tests/lint/check-model holds them together).
 *
 * Each engine is one process whose every step is atomic and may be its last:
 * what survives a crash stands under "Durable" below, the rest is lost with
 * it.  A rule that can be bent on purpose has its MUT_ next to it.
 */

#ifndef PAGES
#define PAGES 2 /* page 0 goes in pre-copy too, and the guest touches it */
#endif
#ifndef CUTS
#define CUTS 1 /* one direction of one connection, or both, fall silent */
#endif
#ifndef CRASHES
#define CRASHES 0 /* either process dies and is started again */
#endif
#ifndef QUITS
#define QUITS 1 /* either side gives up by itself */
#endif
/* A loss costs one connection, and no more: a new one is not to be had before. */
#ifdef MUT_OVERLAP
#define CONNS (2 + CUTS + CRASHES)
#else
#define CONNS (1 + CUTS + CRASHES)
#endif
#define NO_CONN 255

#define BIT(n) (1 << (n))
#define ALL    (BIT(PAGES) - 1)

/* What is checked.  Spin shows the number of what failed: assert((1 && ...)). */
#define TWO_RUNNERS     1 /* both sides run it */
#define RAN_TWICE       2 /* it goes on here though it ran there */
#define STALE           3 /* a vCPU sees what was overwritten long ago */
#define OVERWRITTEN     4 /* what a vCPU wrote is replaced */
#define FREED           5 /* a page is wanted that nobody has any more */
#define DESTROYED_EARLY 6 /* the source's copy goes, and is not replaced */
#define COMPLETE_EARLY  7 /* COMPLETE is said with pages missing */
#define IMPOSSIBLE      8 /* two records that cannot meet have met */
#define STUCK           9 /* nothing happens any more, and it is not settled */
#ifdef ONLY /* a mutation is caught by what it was meant to break */
#define HOLDS(property, what) assert(property && (property != ONLY || (what)))
#else
#define HOLDS(property, what) assert(property && (what))
#endif

mtype:owner = {
    XC_SR_OWNER_NONE, XC_SR_OWNER_COMMITTED, XC_SR_OWNER_RESUMED,
    XC_SR_OWNER_DONE, XC_SR_OWNER_PREP, XC_SR_OWNER_OWNER,
    XC_SR_OWNER_FENCED, XC_SR_OWNER_FINISHED, XC_SR_OWNER_LOST,
    XC_SR_OWNER_ENDED /* FINISHED to the other side, and here */
};

mtype:record = {
    XC_SR_REC_PAGE_DATA, XC_SR_REC_POSTCOPY_TRANSITION,
    XC_SR_REC_POSTCOPY_PAGE_DATA, XC_SR_REC_POSTCOPY_COMMIT,
    XC_SR_REC_POSTCOPY_ABORT, XC_SR_REC_POSTCOPY_RESUME, XC_SR_REC_END,
    XC_SR_REC_POSTCOPY_READY, XC_SR_REC_POSTCOPY_FAULT,
    XC_SR_REC_POSTCOPY_PREPARED, XC_SR_REC_POSTCOPY_RUNNING,
    XC_SR_REC_POSTCOPY_COMPLETE, XC_SR_REC_POSTCOPY_NAK,
    XC_SR_REC_POSTCOPY_RECOVER
};

/* ---- Durable: records, guests, pages ---------------------------------------- */

mtype:owner src_record = XC_SR_OWNER_NONE;
mtype:owner dst_record = XC_SR_OWNER_NONE;
byte dst_epoch;
bit src_runs = 1;
bit src_gone;   /* its memory too */
bit dst_exists = 1;
bit dst_runs;
bit dst_ran;
bit dst_wiped;  /* the host was lost, and its disk with it */
byte in;        /* pages at the destination */
byte old;       /* of these: with what the guest has overwritten since */
byte written;   /* of these: written by the guest there */
bit waiting;    /* a vCPU, or the device model, waits for page 0 */
byte freed;     /* pages the source has no more */

/* ---- The network -------------------------------------------------------------- */

chan fwd[CONNS] = [5 + PAGES] of { mtype:record, byte };
chan back[CONNS] = [6] of { mtype:record, byte, mtype:owner, byte };
bit source_dials;        /* who initiates, in the whole run */
byte nr_conns = 1;
byte fwd_cut, back_cut;  /* connections on which nothing more arrives */
byte src_shut, dst_shut; /* closed at this end */
byte cuts, crashes, quits; /* that may still come */
byte losses;               /* cuts and crashes that came */

/* ---- Volatile: the source ------------------------------------------------------ */

mtype:source = {
    S_SETUP,     /* waits for READY */
    S_PRECOPY,   /* sends what it has while the guest runs */
    S_SUSPEND,   /* suspends, announces, gives libxl its turn */
    S_WAIT,      /* pushes, waits for PREPARED */
    S_COMMIT,    /* writes COMMIT */
    S_COMMITTED, /* pushes, waits for RUNNING, NAK, COMPLETE; or is parked */
    S_ABORT,     /* says ABORT and closes */
    S_ABORTED,   /* says RESUME(aborted) */
    S_END,       /* says END */
    S_RESUME,    /* lets the guest run again */
    S_DONE,      /* says END, destroys its copy */
    S_OVER
};
mtype:source s_at = S_SETUP;
byte s_conn, s_new; /* s_new: those whose RECOVER was not read yet */
byte s_epoch, s_owed, s_sent;
bit s_running, s_ended;

/* ---- Volatile: the destination --------------------------------------------------- */

mtype:destination = {
    D_SETUP,    /* says READY */
    D_PRECOPY,  /* loads what comes */
    D_NEED,     /* the device model wants page 0: asks for it */
    D_LOAD,     /* records PREP when nothing is wanted any more */
    D_PREPARED, /* says PREPARED */
    D_WAIT,     /* for COMMIT */
    D_UNPAUSE,  /* lets the guest run */
    D_RUNNING,  /* says RUNNING */
    D_PAGES,    /* until the last page is in */
    D_COMPLETE, /* says COMPLETE */
    D_END,      /* waits for END */
    D_RESTART,  /* PREP was found: records FENCED */
    D_DESTROY,  /* destroys the guest, then */
    D_NAK,      /* says NAK */
    D_FORGET,   /* removes its record */
    D_FENCED,   /* waits for END */
    D_LOST,     /* nobody fetches what is missing */
    D_GONE      /* nothing to do */
};
mtype:destination d_at = D_SETUP;
byte d_conn;
bit d_mute;    /* RECOVER was said, RESUME not read yet */
bit d_fault;   /* the vCPU's FAULT has to be said */
bit d_aborted; /* nobody has to be told of the fence */
#ifdef MUT_EARLY_COMPLETE
bit d_early;
#endif

/* Used within one step only. */
hidden byte n, arg, map;
hidden mtype:record rec;
hidden mtype:owner peer;

/* ---- What both engines need --------------------------------------------------------- */

/* It was settled, or is for an operator to settle: the state at rest. */
#define ALL_MOVED  (src_record == XC_SR_OWNER_DONE && src_gone && dst_runs && \
                    dst_record == XC_SR_OWNER_NONE && in == ALL && !old)
#define NOT_MOVED  (src_runs && !dst_exists && \
                    dst_record == XC_SR_OWNER_NONE && \
                    (src_record == XC_SR_OWNER_RESUMED || \
                     src_record == XC_SR_OWNER_NONE))
#define OPERATOR   (src_record == XC_SR_OWNER_COMMITTED && !src_runs && \
                    !src_gone && !freed && \
                    (dst_record == XC_SR_OWNER_LOST || dst_wiped))
#define SETTLED    (ALL_MOVED || NOT_MOVED || OPERATOR)

#define DST_BOUND  (dst_record == XC_SR_OWNER_PREP || \
                    dst_record == XC_SR_OWNER_OWNER || \
                    dst_record == XC_SR_OWNER_FENCED || \
                    dst_record == XC_SR_OWNER_FINISHED)

inline drain(queue)
{
    do
    :: nempty(queue) -> queue?rec, _
    :: empty(queue) -> break
    od
}

inline drain_back(queue)
{
    do
    :: nempty(queue) -> queue?rec, _, _, _
    :: empty(queue) -> break
    od
}

/* Who reads from a closed end has what came before; what comes is dropped. */
inline src_close(c)
{
    src_shut = src_shut | BIT(c);
    s_new = s_new & ~BIT(c);
    drain_back(back[c]);
    if
    :: s_conn == c -> s_conn = NO_CONN
    :: else
    fi
}

inline dst_close(c)
{
    dst_shut = dst_shut | BIT(c);
    drain(fwd[c]);
    if
    :: d_conn == c ->
        d_conn = NO_CONN;
        d_mute = 0
    :: else
    fi
}

/* A write succeeds whatever becomes of it; without a connection it is left
 * out.  Queues are deep enough for all that can be said on a connection. */
inline src_say(what, value)
{
    if
    :: s_conn != NO_CONN && !(BIT(s_conn) & (fwd_cut | dst_shut)) ->
        assert(nfull(fwd[s_conn]));
        fwd[s_conn]!what, value
    :: else
    fi
}

inline dst_say(what, value, owner, present)
{
    if
    :: d_conn != NO_CONN && !(BIT(d_conn) & (back_cut | src_shut)) ->
        assert(nfull(back[d_conn]));
        back[d_conn]!what, value, owner, present
    :: else
    fi
}

#define DST_SAYS (d_conn != NO_CONN && !d_mute)

#include "source.pml"
#include "destination.pml"

/* ---- What neither of them decides ----------------------------------------------------- */

/* Cuts come at any time.  A deadline is a cut, too: its reader closes. */
#define CUT_FWD(c)  (!(BIT(c) & (fwd_cut | dst_shut)))
#define CUT_BACK(c) (!(BIT(c) & (back_cut | src_shut)))
#define CUT(c) \
    :: atomic { cuts && c < nr_conns && CUT_FWD(c) && !SETTLED -> \
        cuts--; losses++; fwd_cut = fwd_cut | BIT(c) } \
    :: atomic { cuts && c < nr_conns && CUT_BACK(c) && !SETTLED -> \
        cuts--; losses++; back_cut = back_cut | BIT(c) } \
    :: atomic { cuts && c < nr_conns && CUT_FWD(c) && CUT_BACK(c) && \
                !SETTLED -> \
        cuts--; losses++; \
        fwd_cut = fwd_cut | BIT(c); \
        back_cut = back_cut | BIT(c) }

proctype network()
{
end:
    do
    CUT(0)
#if CONNS > 1
    CUT(1)
#endif
#if CONNS > 2
    CUT(2)
#endif
#if CONNS > 3
    CUT(3)
#endif
#if CONNS > 4
    CUT(4)
#endif
    od
}

/* The user asks for a new attempt when the last is known to have failed. */
proctype dialler()
{
end:
    do
#ifdef MUT_OVERLAP
    :: atomic { source_dials && nr_conns < CONNS && losses &&
                src_record == XC_SR_OWNER_COMMITTED ->
        s_new = s_new | BIT(nr_conns);
        nr_conns++ }
#else
    :: atomic { source_dials && nr_conns <= losses &&
                s_conn == NO_CONN && !s_new &&
                (src_record == XC_SR_OWNER_COMMITTED ||
                 (DST_BOUND && d_conn == NO_CONN && s_at == S_OVER)) ->
        s_new = s_new | BIT(nr_conns);
        nr_conns++ }
#endif
    :: atomic { !source_dials && nr_conns <= losses && d_conn == NO_CONN &&
                (DST_BOUND || src_record == XC_SR_OWNER_COMMITTED) ->
        d_conn = nr_conns;
        nr_conns++;
        d_recover() }
    od
}

init
{
    atomic {
        if
        :: source_dials = 0
        :: source_dials = 1
        fi;
        /* Whatever may come need not: nobody is to wait for a failure. */
        select (cuts : 0 .. CUTS);
        select (crashes : 0 .. CRASHES);
        select (quits : 0 .. QUITS);
        run source();
        run destination();
        run network();
        run dialler()
    }
    timeout ->
#ifdef NEVER /* an outcome that is said to be out of reach */
    assert(!(NEVER));
#endif
    HOLDS(STUCK, SETTLED)
}

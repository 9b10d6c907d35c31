/* SPDX-License-Identifier: LGPL-2.1-only */
/* The destination's engine, its process from the outside, and its guest. */

#define D_FWD       (d_conn != NO_CONN && nempty(fwd[d_conn]))
#define D_BEFORE    (d_at == D_SETUP || d_at == D_PRECOPY || \
                     d_at == D_NEED || d_at == D_LOAD)
#define D_READS     (d_at != D_RESTART && d_at != D_DESTROY && \
                     d_at != D_FORGET)

#ifdef MUT_NO_DRAIN
#define D_DRAINED 1
#else
#define D_DRAINED empty(fwd[d_conn])
#endif
#define D_LOST_CONN (d_conn != NO_CONN && \
                     (BIT(d_conn) & (fwd_cut | src_shut)) && D_DRAINED)

/* The newest connection is its own: all others were closed before. */
inline d_recover()
{
    dst_epoch++;
    d_fault = 0;
    dst_say(XC_SR_REC_POSTCOPY_RECOVER, dst_epoch, dst_record, in);
    d_mute = 1
}

/* A page, unless it is there already or nobody wants it any more. */
inline d_page(p)
{
    if
    :: !dst_exists || dst_record == XC_SR_OWNER_FENCED
    :: else ->
#ifdef MUT_DUPLICATES
        HOLDS(OVERWRITTEN, !(written & BIT(p)));
        in = in & ~BIT(p);
#endif
        if
        :: !(in & BIT(p)) ->
            in = in | BIT(p);
            old = old & ~BIT(p);
            if
            :: p == 0 -> waiting = 0; d_fault = 0
            :: else
            fi
        :: else
        fi
    fi
}

/* What RESUME(go) says has to be said again, by the record. */
inline d_go_on()
{
    d_mute = 0;
    d_fault = waiting;
    if
    :: dst_record == XC_SR_OWNER_PREP -> d_at = D_PREPARED
    :: dst_record == XC_SR_OWNER_OWNER && dst_runs -> d_at = D_RUNNING
    :: dst_record == XC_SR_OWNER_FINISHED -> d_at = D_COMPLETE
    :: dst_record == XC_SR_OWNER_FENCED -> d_at = D_NAK
    :: else
    fi
}

/* The source resumes its copy, or has resumed it. */
inline d_aborted_there()
{
    if
    :: dst_record == XC_SR_OWNER_NONE && D_BEFORE -> d_at = D_DESTROY
    :: dst_record == XC_SR_OWNER_PREP ->
        dst_record = XC_SR_OWNER_FENCED;
        d_aborted = 1;
        d_at = D_DESTROY
    :: dst_record == XC_SR_OWNER_FENCED -> d_at = D_FORGET
    :: else
    fi
}

inline d_commit()
{
    if
    :: dst_record == XC_SR_OWNER_PREP ->
#ifndef MUT_OWNER_AFTER_UNPAUSE
        dst_record = XC_SR_OWNER_OWNER;
#endif
        d_at = D_UNPAUSE
#ifdef MUT_FENCE_UNDONE
    :: dst_record == XC_SR_OWNER_FENCED ->
        dst_exists = 1;
        dst_record = XC_SR_OWNER_OWNER;
        d_at = D_UNPAUSE
#endif
    :: else
    fi
}

inline d_act()
{
    if
    :: rec == XC_SR_REC_PAGE_DATA && d_at == D_PRECOPY ->
        in = in | BIT(0);
        old = old | BIT(0) /* the guest wrote it since */
    :: rec == XC_SR_REC_POSTCOPY_TRANSITION && d_at == D_PRECOPY ->
#ifndef MUT_NOT_PAGED_OUT
        in = 0;
        old = 0;
#endif
        if
        :: d_at = D_LOAD
        :: !(in & BIT(0)) -> d_at = D_NEED
        fi
    :: rec == XC_SR_REC_POSTCOPY_PAGE_DATA -> d_page(arg)
    :: rec == XC_SR_REC_POSTCOPY_COMMIT -> d_commit()
#ifdef MUT_ABORT_UNHEARD
    :: rec == XC_SR_REC_POSTCOPY_ABORT &&
       dst_record != XC_SR_OWNER_FENCED -> d_aborted_there()
#else
    :: rec == XC_SR_REC_POSTCOPY_ABORT -> d_aborted_there()
#endif
    :: rec == XC_SR_REC_POSTCOPY_RESUME && arg -> d_go_on()
    :: rec == XC_SR_REC_POSTCOPY_RESUME && !arg ->
        d_mute = 0;
        d_aborted_there()
    :: rec == XC_SR_REC_END && (dst_record == XC_SR_OWNER_FINISHED ||
                                dst_record == XC_SR_OWNER_FENCED) ->
        d_at = D_FORGET
    :: else
    fi;
    rec = 0; arg = 0
}

inline d_lose()
{
    dst_close(d_conn);
    if
    :: D_BEFORE -> d_at = D_DESTROY
    :: else
    fi
}

inline d_fence()
{
    HOLDS(RAN_TWICE, !dst_ran);
    dst_record = XC_SR_OWNER_FENCED;
    d_at = D_DESTROY
}

/* A process that is started again has its record, and asks the hypervisor
 * what is missing.  Whether its paging can be taken over is not in its hand. */
inline d_restart()
{
    if
    :: dst_record == XC_SR_OWNER_NONE && !dst_runs -> d_at = D_DESTROY
    :: dst_record == XC_SR_OWNER_NONE && dst_runs -> d_at = D_GONE
    :: dst_record == XC_SR_OWNER_PREP -> d_at = D_RESTART
    :: dst_record == XC_SR_OWNER_FENCED -> d_at = D_DESTROY
    :: dst_record == XC_SR_OWNER_OWNER && !dst_runs -> d_at = D_UNPAUSE
    :: dst_record == XC_SR_OWNER_OWNER && dst_runs -> d_at = D_RUNNING
    :: dst_record == XC_SR_OWNER_OWNER && in != ALL ->
        dst_record = XC_SR_OWNER_LOST;
        dst_runs = 0;
        d_at = D_LOST
    :: dst_record == XC_SR_OWNER_FINISHED -> d_at = D_COMPLETE
    :: dst_record == XC_SR_OWNER_LOST -> d_at = D_LOST
    fi
}

inline d_close_all()
{
    n = 0;
    do
    :: n < nr_conns && !(BIT(n) & dst_shut) -> dst_close(n); n++
    :: n < nr_conns && (BIT(n) & dst_shut) -> n++
    :: n == nr_conns -> break
    od;
    n = 0
}

inline d_crash()
{
    crashes--; losses++;
    d_close_all();
    d_fault = 0; d_aborted = 0;
#ifdef MUT_EPOCH_FORGOTTEN
    dst_epoch = 0;
#endif
    d_restart()
}

/* The host with its disk: what was there is nobody's promise any more. */
inline d_wipe()
{
    crashes--; losses++;
    d_close_all();
    d_fault = 0; d_aborted = 0;
    dst_wiped = 1;
    dst_exists = 0; dst_runs = 0; waiting = 0;
    in = 0; old = 0; written = 0;
    dst_record = XC_SR_OWNER_NONE;
    d_at = D_GONE
}

inline d_close_older(c)
{
    n = 0;
    do
#ifdef MUT_READ_OLD
    :: n < nr_conns && n != c && !(BIT(n) & dst_shut) ->
        dst_shut = dst_shut | BIT(n); n++
#else
    :: n < nr_conns && n != c && !(BIT(n) & dst_shut) -> dst_close(n); n++
#endif
    :: n < nr_conns && (n == c || (BIT(n) & dst_shut)) -> n++
    :: n == nr_conns -> break
    od;
    n = 0
}

#ifdef MUT_OVERLAP
/* Attempts that overlap arrive in any order. */
#define D_MAY_TAKE(c) (!(dst_shut & BIT(c)) && d_conn != c)
#else
#define D_MAY_TAKE(c) (c == nr_conns - 1 && !(dst_shut & BIT(c)) && d_conn != c)
#endif

#define D_NEW_CONNECTION(c) \
    :: atomic { source_dials && c < nr_conns && D_MAY_TAKE(c) -> \
        if \
        :: D_BEFORE -> d_at = D_DESTROY \
        :: else \
        fi; \
        d_close_older(c); \
        d_conn = c; \
        d_recover() }

proctype destination()
{
end:
    do
    /* Its timeline.  A record first, in a later step what it stands for. */
    :: atomic { d_at == D_SETUP && d_conn != NO_CONN ->
        if
        :: dst_say(XC_SR_REC_POSTCOPY_READY, 1, 0, 0); d_at = D_PRECOPY
        :: quits > 0 ->
            quits--;
            dst_say(XC_SR_REC_POSTCOPY_READY, 0, 0, 0);
            d_at = D_DESTROY
        fi }
    :: atomic { d_at == D_NEED && DST_SAYS ->
        if
        :: in & BIT(0)
        :: else ->
            waiting = 1;
            dst_say(XC_SR_REC_POSTCOPY_FAULT, 0, 0, 0)
        fi;
        d_at = D_LOAD }
    :: atomic { d_at == D_LOAD && !waiting ->
#ifndef MUT_PREP_AFTER_PREPARED
        dst_record = XC_SR_OWNER_PREP;
#endif
        d_at = D_PREPARED }
    :: atomic { d_at == D_PREPARED && DST_SAYS ->
        dst_say(XC_SR_REC_POSTCOPY_PREPARED, 0, 0, 0);
        d_at = D_WAIT;
#ifdef MUT_PREP_AFTER_PREPARED
        skip }
    :: atomic { d_at == D_WAIT && dst_record == XC_SR_OWNER_NONE ->
        dst_record = XC_SR_OWNER_PREP
#endif
       }
#ifdef MUT_OWN_LAST_PAGE
    :: atomic { d_at == D_WAIT && in == ALL ->
        dst_record = XC_SR_OWNER_OWNER;
        d_at = D_UNPAUSE }
#endif
    :: atomic { d_at == D_UNPAUSE ->
        HOLDS(TWO_RUNNERS, !src_runs);
        dst_runs = 1;
        dst_ran = 1;
        d_at = D_RUNNING;
#ifdef MUT_OWNER_AFTER_UNPAUSE
        skip }
    :: atomic { dst_runs && dst_record == XC_SR_OWNER_PREP ->
        dst_record = XC_SR_OWNER_OWNER
#endif
       }
    :: atomic { d_at == D_RUNNING && DST_SAYS ->
        dst_say(XC_SR_REC_POSTCOPY_RUNNING, 0, 0, 0);
        d_at = D_PAGES }
    :: atomic { d_at == D_PAGES && in == ALL ->
        dst_record = XC_SR_OWNER_FINISHED;
        d_at = D_COMPLETE }
#ifdef MUT_EARLY_COMPLETE
    :: atomic { d_at == D_UNPAUSE && in == ALL && DST_SAYS && !d_early ->
        d_early = 1;
        dst_say(XC_SR_REC_POSTCOPY_COMPLETE, 0, 0, 0) }
#endif
    :: atomic { d_at == D_COMPLETE && DST_SAYS ->
        HOLDS(COMPLETE_EARLY, in == ALL && !old);
        dst_say(XC_SR_REC_POSTCOPY_COMPLETE, 0, 0, 0);
        d_at = D_END }
    :: atomic { d_at == D_RESTART -> d_fence() }
    :: atomic { d_at == D_DESTROY ->
        HOLDS(RAN_TWICE, !dst_runs);
        dst_exists = 0;
        in = 0; old = 0; written = 0; waiting = 0; d_fault = 0;
        if
        :: d_aborted -> d_at = D_FORGET
        :: else -> d_at = D_NAK
        fi }
    :: atomic { d_at == D_NAK && (d_conn == NO_CONN || DST_SAYS) ->
        dst_say(XC_SR_REC_POSTCOPY_NAK, 0, 0, 0);
#ifdef MUT_FENCE_FORGOTTEN
        d_at = D_FORGET
#else
        if
        :: dst_record == XC_SR_OWNER_FENCED -> d_at = D_FENCED
        :: else -> d_at = D_FORGET
        fi
#endif
       }
    :: atomic { d_at == D_FORGET ->
        dst_record = XC_SR_OWNER_NONE;
        d_aborted = 0;
        if
        :: d_conn != NO_CONN -> dst_close(d_conn)
        :: else
        fi;
        d_at = D_GONE }

    /* What comes, and what does not come any more. */
    :: atomic { D_READS && D_FWD ->
        fwd[d_conn]?rec, arg;
        d_act() }
    :: atomic { D_READS && D_LOST_CONN -> d_lose() }
#ifdef MUT_READ_OLD
    :: atomic { D_READS && d_conn == 1 && nempty(fwd[0]) ->
        fwd[0]?rec, arg;
        d_act() }
#endif
#if CONNS > 1
    D_NEW_CONNECTION(1)
#endif
#if CONNS > 2
    D_NEW_CONNECTION(2)
#endif
#if CONNS > 3
    D_NEW_CONNECTION(3)
#endif
#if CONNS > 4
    D_NEW_CONNECTION(4)
#endif

    /* The guest: page 0 is touched some time, the others never. */
    :: atomic { dst_runs && !waiting && !(written & BIT(0)) ->
        if
        :: in & BIT(0) ->
            HOLDS(STALE, !(old & BIT(0)));
            written = written | BIT(0)
        :: else ->
            waiting = 1;
            d_fault = 1
        fi }
    :: atomic { d_fault && waiting && DST_SAYS ->
        dst_say(XC_SR_REC_POSTCOPY_FAULT, 0, 0, 0);
        d_fault = 0 }

    /* The user, or a failure.  What it says by itself comes in D_NAK. */
    :: atomic { quits > 0 && D_BEFORE ->
        quits--;
        d_at = D_DESTROY }
    :: atomic { quits > 0 && dst_record == XC_SR_OWNER_PREP &&
                (d_at == D_PREPARED || d_at == D_WAIT) ->
        quits--;
        d_fence() }
    :: atomic { quits > 0 && d_at == D_UNPAUSE && !dst_ran ->
        quits--;
        d_fence() }
    :: atomic { crashes > 0 && !SETTLED -> d_crash() }
    :: atomic { crashes > 0 && (dst_record == XC_SR_OWNER_PREP ||
                                dst_record == XC_SR_OWNER_FENCED ||
                                dst_record == XC_SR_OWNER_OWNER) ->
        d_wipe() }
    od
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/* The source's engine, and its process from the outside. */

#define S_BACK      (s_conn != NO_CONN && nempty(back[s_conn]))
#define S_BEFORE    (s_at == S_SETUP || s_at == S_PRECOPY || \
                     s_at == S_SUSPEND || s_at == S_WAIT)
#define S_IDLE      (S_BEFORE || s_at == S_COMMITTED || s_at == S_OVER)
#ifdef MUT_NO_PUSH
#define S_PUSHES    (s_at == S_COMMITTED)
#else
#define S_PUSHES    (s_at == S_WAIT || s_at == S_COMMITTED)
#endif

/* End of file, or a deadline on a dead line: what came before was read. */
#ifdef MUT_NO_DRAIN
#define S_DRAINED(c) 1
#else
#define S_DRAINED(c) empty(back[c])
#endif
#define S_LOST(c) ((BIT(c) & (back_cut | dst_shut)) && S_DRAINED(c))

inline s_send(p)
{
    HOLDS(FREED, !(freed & BIT(p)) && !src_gone);
    s_owed = s_owed & ~BIT(p);
    s_sent = s_sent | BIT(p);
#ifdef MUT_FREE_SENT
    freed = freed | BIT(p);
#endif
    src_say(XC_SR_REC_POSTCOPY_PAGE_DATA, p)
}

/* Any failure with record none. */
inline s_give_up()
{
    src_record = XC_SR_OWNER_RESUMED;
    s_at = S_ABORT
}

inline s_lose(c)
{
    if
    :: s_conn == c && src_record == XC_SR_OWNER_NONE -> s_give_up()
#ifdef MUT_RESUME_AFTER_COMMIT
    :: s_conn == c && src_record == XC_SR_OWNER_COMMITTED -> s_give_up()
#endif
    :: s_conn == c && s_at == S_COMMIT -> s_at = S_COMMITTED
    :: else
    fi;
    src_close(c)
}

/* The last: COMPLETE is known. */
inline s_done()
{
    s_at = S_DONE;
#ifndef MUT_END_BEFORE_DONE
    src_record = XC_SR_OWNER_DONE
#endif
}

/* The destination fenced itself before it said so. */
inline s_fenced()
{
    s_at = S_END;
#ifndef MUT_END_BEFORE_RESUMED
    src_record = XC_SR_OWNER_RESUMED
#endif
}

inline s_read_back()
{
    back[s_conn]?rec, arg, peer, map;
    if
    :: rec == XC_SR_REC_POSTCOPY_READY && s_at == S_SETUP ->
        if
        :: arg -> s_at = S_PRECOPY
        :: else -> s_give_up() /* refused; the fallback is another story */
        fi
    :: rec == XC_SR_REC_POSTCOPY_PREPARED && s_at == S_WAIT ->
        s_at = S_COMMIT;
#ifndef MUT_COMMITTED_AFTER_COMMIT
        src_record = XC_SR_OWNER_COMMITTED
#endif
    :: rec == XC_SR_REC_POSTCOPY_RUNNING && s_at == S_COMMITTED ->
        s_running = 1
    :: rec == XC_SR_REC_POSTCOPY_NAK && S_BEFORE ->
        s_give_up();
#ifdef MUT_NAK_UNANSWERED
        src_close(s_conn)
#endif
#ifndef MUT_NAK_IGNORED
    :: rec == XC_SR_REC_POSTCOPY_NAK && s_at == S_COMMITTED ->
        HOLDS(IMPOSSIBLE, !s_running);
        s_fenced()
#endif
    :: rec == XC_SR_REC_POSTCOPY_FAULT && S_PUSHES ->
        s_send(arg)
    :: rec == XC_SR_REC_POSTCOPY_COMPLETE && s_at == S_COMMITTED -> s_done()
    :: else
    fi;
    arg = 0; map = 0
}

/* RESUME(go): what was sent before counts for nothing. */
inline s_go_on(have, commit)
{
#ifdef MUT_TRUST_SENT
    s_owed = ALL & ~s_sent;
#else
    s_owed = ALL & ~have;
#endif
    s_running = 0;
    src_say(XC_SR_REC_POSTCOPY_RESUME, 1);
    if
    :: commit -> s_at = S_COMMIT
    :: else -> s_at = S_COMMITTED
    fi
}

inline s_answer_committed()
{
    if
#ifdef MUT_NO_RECORD
    :: s_go_on(map, 0)
#else
#ifdef MUT_ABORT_AT_PREP
    :: peer == XC_SR_OWNER_PREP ->
        src_record = XC_SR_OWNER_RESUMED;
        s_at = S_ABORTED
#else
    :: peer == XC_SR_OWNER_PREP -> s_go_on(map, 1)
#endif
    :: peer == XC_SR_OWNER_OWNER -> s_go_on(map, 0)
    :: peer == XC_SR_OWNER_FENCED -> s_fenced()
    :: peer == XC_SR_OWNER_FINISHED -> s_done()
#ifdef MUT_NONE_NEVER_RAN
    :: peer == XC_SR_OWNER_NONE || peer == XC_SR_OWNER_LOST -> s_fenced()
#else
    :: peer == XC_SR_OWNER_NONE || peer == XC_SR_OWNER_LOST ->
        s_at = S_COMMITTED /* parked; an operator may decide */
#endif
#endif
    fi
}

/* Record none or RESUMED: it will never be handed over. */
inline s_answer_aborted()
{
    HOLDS(IMPOSSIBLE, peer != XC_SR_OWNER_OWNER &&
                      peer != XC_SR_OWNER_FINISHED);
    src_record = XC_SR_OWNER_RESUMED;
    if
    :: peer == XC_SR_OWNER_PREP -> s_at = S_ABORTED
    :: else -> s_at = S_END
    fi
}

inline s_answer()
{
    if
    :: src_record == XC_SR_OWNER_COMMITTED -> s_answer_committed()
    :: src_record == XC_SR_OWNER_DONE ->
        HOLDS(IMPOSSIBLE, peer == XC_SR_OWNER_FINISHED ||
                          peer == XC_SR_OWNER_NONE);
        s_at = S_DONE;
        s_ended = 0
#ifdef MUT_NO_VERDICT
    :: else
#else
    :: else -> s_answer_aborted()
#endif
    fi
}

inline s_read_recover(c)
{
    back[c]?rec, arg, peer, map;
    if
#ifdef MUT_NO_EPOCH
    :: 1 ->
#else
    :: arg > s_epoch ->
#endif
        s_epoch = arg;
        if
        :: s_conn != NO_CONN -> src_close(s_conn)
        :: else
        fi;
        s_new = s_new & ~BIT(c);
        s_conn = c;
        s_answer()
#ifndef MUT_NO_EPOCH
    :: else -> src_close(c)
#endif
    fi;
    rec = 0; peer = 0; arg = 0; map = 0
}

/* The destination opened it; RECOVER comes; it was in vain. */
#define S_NEW_CONNECTION(c) \
    :: atomic { !source_dials && c < nr_conns && s_conn != c && \
                !(BIT(c) & (s_new | src_shut)) -> s_new = s_new | BIT(c) } \
    :: atomic { S_IDLE && (s_new & BIT(c)) && nempty(back[c]) -> \
                s_read_recover(c) } \
    :: atomic { (s_new & BIT(c)) && S_LOST(c) -> src_close(c) }

inline s_crash()
{
    crashes--; losses++;
    n = 0;
    do
    :: n < nr_conns && !(BIT(n) & src_shut) -> src_close(n); n++
    :: n < nr_conns && (BIT(n) & src_shut) -> n++
    :: n == nr_conns -> break
    od;
    n = 0;
    s_epoch = 0; s_owed = 0; s_sent = 0; s_running = 0; s_ended = 0;
    if
    :: src_record == XC_SR_OWNER_NONE ||
       src_record == XC_SR_OWNER_RESUMED -> s_at = S_RESUME
    :: src_record == XC_SR_OWNER_COMMITTED -> s_at = S_COMMITTED
    :: src_record == XC_SR_OWNER_DONE -> s_at = S_DONE
    fi
}

proctype source()
{
end:
    do
    /* Its timeline. */
    :: atomic { s_at == S_PRECOPY ->
        src_say(XC_SR_REC_PAGE_DATA, 0);
        s_at = S_SUSPEND }
    :: atomic { s_at == S_SUSPEND ->
        src_runs = 0;
        src_say(XC_SR_REC_POSTCOPY_TRANSITION, 0);
        s_owed = ALL;
        s_at = S_WAIT }
    :: atomic { S_PUSHES && s_conn != NO_CONN && s_owed ->
        n = 0;
        do
        :: s_owed & BIT(n) -> break
        :: else -> n++
        od;
        s_send(n);
        n = 0 }
#ifdef MUT_COMMIT_UNPREPARED
    :: atomic { s_at == S_WAIT ->
        src_record = XC_SR_OWNER_COMMITTED;
        s_at = S_COMMIT }
#endif
    :: atomic { s_at == S_COMMIT ->
        src_say(XC_SR_REC_POSTCOPY_COMMIT, 0);
        s_at = S_COMMITTED;
#ifdef MUT_COMMITTED_AFTER_COMMIT
        skip }
    :: atomic { s_at == S_COMMITTED && src_record == XC_SR_OWNER_NONE ->
        src_record = XC_SR_OWNER_COMMITTED
#endif
       }
#ifdef MUT_ALL_SENT
    :: atomic { s_at == S_COMMITTED && s_running && !s_owed -> s_done() }
#endif
    :: atomic { s_at == S_ABORT ->
        src_say(XC_SR_REC_POSTCOPY_ABORT, 0);
        if
        :: s_conn != NO_CONN -> src_close(s_conn)
        :: else
        fi;
        s_at = S_RESUME }
    :: atomic { s_at == S_ABORTED ->
        src_say(XC_SR_REC_POSTCOPY_RESUME, 0);
        s_at = S_RESUME }
    :: atomic { s_at == S_END ->
        src_say(XC_SR_REC_END, 0);
        s_at = S_RESUME }
    :: atomic { s_at == S_RESUME ->
#ifdef MUT_END_BEFORE_RESUMED
        src_record = XC_SR_OWNER_RESUMED;
#endif
        if
        :: !src_runs ->
            HOLDS(TWO_RUNNERS, !dst_runs);
            HOLDS(RAN_TWICE, !dst_ran);
            HOLDS(FREED, !freed && !src_gone);
            src_runs = 1
        :: else
        fi;
        s_at = S_OVER }
    :: atomic { s_at == S_DONE && !s_ended ->
        src_say(XC_SR_REC_END, 0);
        s_ended = 1 }
    :: atomic { s_at == S_DONE && src_record != XC_SR_OWNER_DONE && s_ended ->
        src_record = XC_SR_OWNER_DONE }
    :: atomic { s_at == S_DONE && src_record == XC_SR_OWNER_DONE && !src_gone ->
        HOLDS(DESTROYED_EARLY, dst_runs && in == ALL && !old);
        src_gone = 1 }
    :: atomic { s_at == S_DONE && src_gone && s_ended -> s_at = S_OVER }

    /* What comes, and what does not come any more. */
    :: atomic { S_IDLE && S_BACK -> s_read_back() }
    :: atomic { s_conn != NO_CONN && S_LOST(s_conn) -> s_lose(s_conn) }
#if CONNS > 1
    S_NEW_CONNECTION(1)
#endif
#if CONNS > 2
    S_NEW_CONNECTION(2)
#endif
#if CONNS > 3
    S_NEW_CONNECTION(3)
#endif
#if CONNS > 4
    S_NEW_CONNECTION(4)
#endif

    /* The user, or a failure. */
    :: atomic { quits > 0 && S_BEFORE && src_record == XC_SR_OWNER_NONE ->
        quits--;
        s_give_up() }
    :: atomic { crashes > 0 && !SETTLED -> s_crash() }
    od
}

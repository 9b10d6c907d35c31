/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore.c: the receiver's timeline, top to bottom in receive(), and
 * what is done about a failure in settle().
 *
 * Called by a toolstack through xc_sr_restore().  The guest runs here only
 * after take_ownership(), which is called from one place and records OWNER
 * before the first instruction; a guest that will not run here is recorded
 * FENCED before anybody is told.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Order of records" and
 * "Hand-over".
 */
#include <errno.h>
#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "xc_sr_restore.h"

/* Defaults.  A source may wait for its guest to suspend, and says nothing. */
#define STALL_TIMEOUT_US  120000000u
#define COMMIT_TIMEOUT_US 60000000u
#define END_TIMEOUT_US    5000000u /* COMPLETE is said: END is courtesy */
#define LAST_WORDS_US     1000000u
#define UNPAUSE_TRIES     5
#define UNPAUSE_WAIT_US   20000u
#define UNPAUSE_LIMIT_US  60000000u /* and no connection any more */
#define COMMIT_WAITS      10u
/*
 * One read takes what the sender's window may hold at its least, twice over;
 * larger bodies grow it.
 */
#define STREAM_WINDOW     (256u << 10)

/* ---- Turning until something is so ------------------------------------------------- */

static uint64_t stall_deadline_us(const struct xc_sr_receiver *r)
{
    return xc_sr__now_us() + r->params->stall_timeout_us;
}

static int heed_control(struct xc_sr_receiver *r)
{
    if ( xc_sr__control_aborted(r->params->control) &&
         r->owner != XC_SR_OWNER_OWNER )
        return xc_sr__receiver_fail(r, -ECANCELED, "given up on request");
    return 0;
}

/* Waits for any of what may come next, at most as long as a source may rest. */
static int turn_or_stall(struct xc_sr_receiver *r, uint64_t *seen,
                         uint64_t *deadline_us)
{
    int rc = xc_sr__receiver_turn(r, *deadline_us);

    if ( rc )
        return rc;
    if ( r->in.total != *seen )
    {
        *seen = r->in.total;
        *deadline_us = r->now_us + r->params->stall_timeout_us;
    }
    else if ( r->now_us >= *deadline_us )
        return xc_sr__receiver_fail(
            r, -ETIMEDOUT, "nothing came for %llu ms",
            (unsigned long long)(r->params->stall_timeout_us / 1000));
    return heed_control(r);
}

static int read_memory_and_state(struct xc_sr_receiver *r)
{
    uint64_t seen = 0, deadline_us = stall_deadline_us(r);
    int rc = 0;

    while ( !rc && !r->upper_done && !r->ended )
        rc = turn_or_stall(r, &seen, &deadline_us);
    if ( !rc && r->ended && r->advised )
        return xc_sr__receiver_fail(r, -EPROTO, "END before the hand-over");
    return rc;
}

/* ---- The hand-over -------------------------------------------------------------------- */

static int record_owner(struct xc_sr_receiver *r, enum xc_sr_owner owner)
{
    int rc = 0;

    if ( r->params->journal.put )
        rc = r->params->journal.put(r->params->journal.ctx, owner, r->session,
                                    r->epoch);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot record %s: %s",
                                    xc_sr_owner_name(owner), strerror(-rc));
    r->owner = owner;
    return 0;
}

/* The guest must not touch what it would not wait for. */
static int fetch_stuck(struct xc_sr_receiver *r)
{
    uint64_t seen = 0, deadline_us = stall_deadline_us(r);
    int rc = xc_sr__receiver_ask_stuck(r);

    while ( !rc && r->stuck.count && !r->ended )
        rc = turn_or_stall(r, &seen, &deadline_us);
    if ( !rc && r->stuck.count )
        return xc_sr__receiver_fail(r, -EPROTO, "END with pages still missing");
    return rc;
}

static int ask_prepare(struct xc_sr_receiver *r, bool *ready_r)
{
    int rc = r->params->prepare(r->params->ctx, ready_r);

    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot prepare the guest: %s",
                                    strerror(-rc));
    return 0;
}

/* Asked between any two turns: a busy stream never gets to wait. */
static bool is_readable(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

/* What is waited for may need pages itself: they go on coming. */
static int prepare(struct xc_sr_receiver *r)
{
    uint64_t deadline_us = stall_deadline_us(r);
    bool ready = r->params->prepare == NULL;
    int rc = ready ? 0 : ask_prepare(r, &ready);

    r->preparing = true;
    while ( !rc && !ready )
    {
        rc = xc_sr__receiver_turn(r, deadline_us);
        if ( !rc )
            rc = heed_control(r);
        if ( !rc && r->ended )
            rc = xc_sr__receiver_fail(r, -EPROTO, "END before the hand-over");
        if ( !rc && is_readable(r->params->prepare_fd) )
            rc = ask_prepare(r, &ready);
        if ( !rc && !ready && r->now_us >= deadline_us )
            rc = xc_sr__receiver_fail(
                r, -ETIMEDOUT, "the guest was not prepared in %llu ms",
                (unsigned long long)(r->params->stall_timeout_us / 1000));
    }
    r->preparing = false;
    return rc;
}

/* Recorded first; PREPARED is said in a later step. */
static int promise(struct xc_sr_receiver *r)
{
    int rc = record_owner(r, XC_SR_OWNER_PREP);

    if ( rc )
        return rc;
    r->stats->prepared_us = xc_sr__now_us();
    return xc_sr__receiver_say_session(r, XC_SR_REC_POSTCOPY_PREPARED);
}

/* A slow link may have a whole window ahead of COMMIT: the deadline counts
 * from the last octet, and in all it is not for ever. */
static int wait_commit(struct xc_sr_receiver *r)
{
    uint64_t deadline_us = xc_sr__now_us() + r->params->commit_timeout_us;
    uint64_t last_us =
        xc_sr__now_us() + COMMIT_WAITS * r->params->commit_timeout_us;
    uint64_t seen = r->in.total;

    while ( !r->committed )
    {
        int rc = xc_sr__receiver_turn(r, deadline_us);

        if ( !rc )
            rc = heed_control(r);
        if ( rc )
            return rc;
        if ( r->in.total != seen && r->now_us < last_us )
            deadline_us = r->now_us + r->params->commit_timeout_us;
        seen = r->in.total;
        if ( !r->committed && (r->ended || r->now_us >= deadline_us) )
            return xc_sr__receiver_fail(r, r->ended ? -EPROTO : -ETIMEDOUT,
                                        r->ended ? "END before COMMIT"
                                                 : "COMMIT did not come");
    }
    return 0;
}

static void pause_us(unsigned int us)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = us * 1000l }, NULL);
}

/*
 * Once.  Somebody who has to be told first, a device model, may wait for a
 * page himself: pages go on coming, over another connection if need be, and as
 * long as all can there is no limit.  A guest that starts after all needs them,
 * so a failure stops none; but what it took along the source does not send again.
 * One that was paused for the loss stays so when nobody is waited for any more:
 * to ask once more would end that pause.
 */
static int unpause(struct xc_sr_receiver *r)
{
    bool paused = r->params->leave_paused || r->stays_paused;
    uint64_t period_us = r->params->commit_timeout_us;
    uint64_t served_us = xc_sr__now_us(), warn_us = served_us + period_us;
    int rc, failure;

    r->preparing = r->params->prepare != NULL; /* prepare_fd: ask again */
    r->unpausing = true;
    while ( (rc = xc_sr__hv_unpause(r->hv, paused)) == -EALREADY && !r->gone )
    {
        uint64_t now_us = xc_sr__now_us();

        if ( now_us >= warn_us )
        {
            xc_sr__warn(r->log, "domain %u: it is still being started",
                        r->hv->info.domid);
            warn_us = now_us + period_us;
        }
        failure = xc_sr__receiver_turn_through(r, now_us + UNPAUSE_WAIT_US);
        if ( !r->start_failure )
            r->start_failure = failure;
        if ( !r->start_failure )
            served_us = xc_sr__now_us();
        else if ( now_us >= served_us + UNPAUSE_LIMIT_US || r->paused_here )
            break;
        if ( failure )
            pause_us(UNPAUSE_WAIT_US);
    }
    r->preparing = r->unpausing = false;
    return rc == -EALREADY && !r->gone ? -EINPROGRESS : rc;
}

/* The point of no return.  A failing unpause is tried again: the source has
 * let go, and giving up means that the guest runs nowhere until it is asked. */
static int take_ownership(struct xc_sr_receiver *r)
{
    int rc = record_owner(r, XC_SR_OWNER_OWNER);

    if ( rc )
        return rc;
    for ( int i = 0; i < UNPAUSE_TRIES; i++ )
    {
        if ( i )
            pause_us(UNPAUSE_WAIT_US);
        rc = unpause(r);
        /* Gone meanwhile: it has run, and whoever unpauses it may fail. */
        if ( r->gone )
            rc = 0;
        if ( !rc || rc == -EINPROGRESS )
            break;
        xc_sr__warn(r->log, "domain %u: cannot unpause it: %s",
                    r->hv->info.domid, strerror(-rc));
    }
    /* Where nobody knows whether it started it has to be taken to run. */
    r->ran = !rc || rc == -EINPROGRESS;
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot unpause the guest: %s",
                                    strerror(-rc));
    r->stats->running_us = xc_sr__now_us();
    if ( r->params->running )
        r->params->running(r->params->ctx);
    return 0;
}

/* ---- The pager, and the end -------------------------------------------------------------- */

/* Said here and not before: a connection that fails now is waited out. */
static int say_running(struct xc_sr_receiver *r)
{
    if ( !r->advised || r->running_said )
        return 0;
    r->running_said = true;
    return xc_sr__receiver_say_session(r, XC_SR_REC_POSTCOPY_RUNNING);
}

static int pull_pages(struct xc_sr_receiver *r)
{
    uint64_t seen = 0, deadline_us = stall_deadline_us(r);
    int rc = say_running(r);

    if ( !rc )
        rc = r->start_failure;
    xc_sr__receiver_phase(r, XC_SR_PHASE_POSTCOPY);
    while ( !rc && r->missing.count && !r->ended )
        rc = turn_or_stall(r, &seen, &deadline_us);
    /* Whatever else it was, nothing more is wanted from the peer.  Where that
     * cannot be recorded the source waits, with its copy, until it can. */
    if ( r->missing.count == 0 )
        return record_owner(r, r->stats->abandoned ? XC_SR_OWNER_ENDED
                                                   : XC_SR_OWNER_FINISHED);
    if ( !rc )
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "END with %llu pages still missing",
                                    (unsigned long long)r->missing.count);
    return rc;
}

static int say_stats(struct xc_sr_receiver *r)
{
    const struct xc_sr_stats *st = r->stats;
    const uint64_t head[] = {
        st->faults,
        st->faults_late,
        st->duplicates,
        st->released,
        st->fault_service_count,
        st->fault_service_sum_us,
        st->fault_service_max_us,
    };
    const uint64_t tail[] = {
        st->running_us - r->begin_us, r->pages_in,        r->in.total,
        st->skipped_records,          st->faults_foreign, st->abandoned,
    };
    const size_t nr_head = XC_SR_ARRAY_SIZE(head);
    const size_t nr_tail = XC_SR_ARRAY_SIZE(tail);

    if ( !(r->features & XC_SR_FEATURE_STATS) )
        return 0;
    xc_sr__write_begin(&r->writer, XC_SR_REC_POSTCOPY_STATS);
    xc_sr__write_u32(&r->writer,
                     (uint32_t)(nr_head + nr_tail + XC_SR_HISTOGRAM_BUCKETS));
    xc_sr__write_u32(&r->writer, 0);
    for ( size_t i = 0; i < nr_head; i++ )
        xc_sr__write_u64(&r->writer, head[i]);
    for ( size_t i = 0; i < XC_SR_HISTOGRAM_BUCKETS; i++ )
        xc_sr__write_u64(&r->writer, st->fault_service_hist[i]);
    for ( size_t i = 0; i < nr_tail; i++ )
        xc_sr__write_u64(&r->writer, tail[i]);
    xc_sr__write_end(&r->writer, 0);
    return xc_sr__receiver_say(r);
}

/* Every page is in, or the guest has ended, and that is recorded: from here on
 * the peer is not needed, and nothing that becomes of the connection fails. */
static int finish(struct xc_sr_receiver *r)
{
    uint64_t deadline_us;
    int rc = say_stats(r);

    if ( rc )
        return rc;
    xc_sr__write_empty(&r->writer, XC_SR_REC_POSTCOPY_COMPLETE);
    rc = xc_sr__receiver_say(r);
    r->stats->complete_us = xc_sr__now_us();
    if ( !rc && r->paging && !r->gone )
    {
        rc = xc_sr__hv_paging_off(r->hv);
        if ( rc )
            rc = xc_sr__receiver_unless_gone(r, rc);
    }
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot stop paging: %s",
                                    strerror(-rc));
    r->paging = false;
    xc_sr__receiver_phase(r, XC_SR_PHASE_DONE);
    deadline_us = xc_sr__now_us() + END_TIMEOUT_US;
    while ( !r->ended && !r->parked && xc_sr__now_us() < deadline_us )
        if ( xc_sr__receiver_turn(r, deadline_us) )
            break;
    if ( !r->ended )
        xc_sr__info(r->log,
                    "the source left before END: nothing is wanted of it");
    xc_sr__receiver_last_look(r);
    r->result->why[0] = '\0';
    return 0;
}

/* ---- The timeline ---------------------------------------------------------------------------- */

/* In place of a dead process: the guest runs, and some of its pages are here. */
static int go_on(struct xc_sr_receiver *r)
{
    int rc = xc_sr__receiver_take_over(r);

    if ( !rc )
        rc = xc_sr__receiver_through_losses(r, pull_pages);
    return rc ? rc : finish(r);
}

static int receive(struct xc_sr_receiver *r)
{
    bool handshake;
    int rc;

    rc = read_memory_and_state(r);
    if ( rc )
        return rc;
    r->result->plain = r->ended && !r->begun;
    if ( r->result->plain )
        return 0;
    handshake = r->advised;
    rc = fetch_stuck(r);
    if ( !rc )
        rc = prepare(r);
    if ( !rc && handshake )
        rc = promise(r);
    if ( !rc && handshake )
        rc = xc_sr__receiver_through_losses(r, wait_commit);
    if ( !rc )
        rc = take_ownership(r);
    if ( !rc )
        rc = xc_sr__receiver_through_losses(r, pull_pages);
    if ( !rc )
        rc = finish(r);
    return rc;
}

/* ---- What is done about a failure ------------------------------------------------------------- */

static void say_nak(struct xc_sr_receiver *r, int rc)
{
    const char *why = r->result->why;
    size_t len = strnlen(why, XC_SR_MAX_TEXT);
    uint32_t reason = rc == -EPROTONOSUPPORT ? XC_SR_REASON_VERSION
                      : rc == -ENOMEM        ? XC_SR_REASON_NO_MEMORY
                      : rc == -ECANCELED     ? XC_SR_REASON_OPERATOR
                      : rc == -ETIMEDOUT     ? XC_SR_REASON_TIMEOUT
                                             : XC_SR_REASON_FAILED;

    /* An old peer has no NAK; who said ABORT or was refused needs none. */
    if ( !xc_sr__receiver_has_back(r) || r->aborted || r->eof ||
         r->stats->stream_version == 2 )
        return;
    r->writer.version = 3;
    xc_sr__writer_reset(&r->writer);
    xc_sr__write_begin(&r->writer, XC_SR_REC_POSTCOPY_NAK);
    xc_sr__write_bytes(&r->writer, r->session, sizeof(r->session));
    xc_sr__write_u64(&r->writer, r->epoch);
    xc_sr__write_u32(&r->writer, reason);
    xc_sr__write_u32(&r->writer, (uint32_t)len);
    xc_sr__write_bytes(&r->writer, why, len);
    xc_sr__write_end(&r->writer, 0);
    if ( !xc_sr__receiver_say(r) )
        xc_sr__outq_drain(&r->out, xc_sr__now_us() + LAST_WORDS_US);
}

/* It never ran here and never will: recorded, ended, and only then said.  What
 * cannot be recorded or ended is not promised to anybody. */
static void fence(struct xc_sr_receiver *r, int rc)
{
    uint64_t deadline_us = xc_sr__now_us() + LAST_WORDS_US;
    bool promised = r->owner != XC_SR_OWNER_NONE && !r->aborted;
    int ended = 0;

    if ( r->owner != XC_SR_OWNER_NONE && record_owner(r, XC_SR_OWNER_FENCED) )
        return;
    if ( r->params->destroy )
        ended = r->params->destroy(r->params->ctx);
    if ( ended )
        xc_sr__error(r->log,
                     "domain %u: cannot be ended here (%s): the source is not "
                     "told to go on",
                     r->hv->info.domid, strerror(-ended));
    else
        say_nak(r, rc);
    /* A source that had committed answers END, behind pages for a guest that
     * is no more; then nobody will ask again. */
    r->gone = true;
    while ( promised && !ended && !r->ended && !r->parked &&
            xc_sr__now_us() < deadline_us )
        if ( xc_sr__receiver_turn(r, deadline_us) )
            break;
}

static void settle(struct xc_sr_receiver *r, int rc)
{
    if ( rc && !r->ran )
        fence(r, rc);
    else if ( rc && r->owner == XC_SR_OWNER_OWNER )
        xc_sr__receiver_leave(r);
    xc_sr__receiver_phase(r, rc ? XC_SR_PHASE_FAILED : XC_SR_PHASE_DONE);
}

/* ---- Set up and tear down ------------------------------------------------------------------------ */

static int receiver_init(struct xc_sr_receiver *r)
{
    struct xc_sr_pageset *sets[] = { &r->populated, &r->announced, &r->missing,
                                     &r->requested, &r->early,     &r->stuck };
    int rc;

    xc_sr__writer_init(&r->writer, 3);
    xc_sr__reader_init(&r->reader, XC_SR_FORWARD, 0);
    rc = xc_sr__outq_init(&r->out, r->params->send_fd);
    if ( !rc )
        rc = xc_sr__inbuf_init(&r->in, r->params->recv_fd, STREAM_WINDOW);
    for ( unsigned int i = 0; !rc && i < XC_SR_ARRAY_SIZE(sets); i++ )
        rc = xc_sr__pageset_init(sets[i], r->nr_pfns);
    if ( !rc )
        rc = xc_sr__set_nonblock(r->params->recv_fd, true);
    if ( !rc && r->params->send_fd >= 0 )
        rc = xc_sr__set_nonblock(r->params->send_fd, true);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot start: %s", strerror(-rc));
    return 0;
}

static void receiver_dispose(struct xc_sr_receiver *r)
{
    if ( r->owns_fds )
        xc_sr__close_pair(r->out.fd, r->in.fd);
    xc_sr__outq_dispose(&r->out);
    xc_sr__inbuf_dispose(&r->in);
    xc_sr__writer_dispose(&r->writer);
    xc_sr__pageset_dispose(&r->populated);
    xc_sr__pageset_dispose(&r->announced);
    xc_sr__pageset_dispose(&r->missing);
    xc_sr__pageset_dispose(&r->requested);
    xc_sr__pageset_dispose(&r->early);
    xc_sr__pageset_dispose(&r->stuck);
    free(r->pending);
    free(r);
}

/* What was read past END is the upper layer's (version 2: libxl's own END). */
static void pass_rest(struct xc_sr_receiver *r)
{
    const struct xc_sr_upper_sink *upper = &r->params->upper;
    bool done = upper->write == NULL;

    while ( !done && xc_sr__inbuf_len(&r->in) )
    {
        size_t used = 0;

        if ( upper->write(upper->ctx, xc_sr__inbuf_data(&r->in),
                          xc_sr__inbuf_len(&r->in), &used, &done) )
            return;
        xc_sr__inbuf_use(&r->in, used);
    }
}

/* Nothing has been read, nothing promised. */
static int no_room(const struct xc_sr_restore_params *p,
                   struct xc_sr_restore_result *result)
{
    snprintf(result->why, sizeof(result->why),
             "no memory to receive a guest of %llu pages",
             (unsigned long long)p->hv->info.nr_pfns);
    xc_sr__error(p->log, "domain %u: %s", p->hv->info.domid, result->why);
    return -ENOMEM;
}

int xc_sr_restore(const struct xc_sr_restore_params *params,
                  struct xc_sr_restore_result *result_r)
{
    struct xc_sr_restore_params p = *params;
    struct xc_sr_receiver *r;
    int rc;

    memset(result_r, 0, sizeof(*result_r));
    result_r->ran = p.from != NULL;
    result_r->owner = p.from ? p.from->owner : XC_SR_OWNER_NONE;
    r = calloc(1, sizeof(*r));
    if ( !r )
        return no_room(&p, result_r);
    if ( p.commit_timeout_us == 0 )
        p.commit_timeout_us = COMMIT_TIMEOUT_US;
    if ( p.stall_timeout_us == 0 )
        p.stall_timeout_us = STALL_TIMEOUT_US;
    if ( p.silence_timeout_us == 0 )
        p.silence_timeout_us = XC_SR_SILENCE_LOST_US;
    r->params = &p;
    r->hv = p.hv;
    r->log = p.log;
    r->result = result_r;
    r->stats = &result_r->stats;
    r->nr_pfns = p.hv->info.nr_pfns;
    r->stats->start_us = r->now_us = xc_sr__now_us();
    r->stats->nr_pfns = r->nr_pfns;
    if ( p.from )
        xc_sr__receiver_assume_record(r);
    rc = receiver_init(r);
    if ( rc == -ENOMEM )
        no_room(&p, result_r);
    if ( !rc )
        rc = p.from ? go_on(r) : receive(r);
    if ( !rc )
        pass_rest(r);
    settle(r, rc);
    r->stats->end_us = xc_sr__now_us();
    r->stats->bytes_total = r->in.total;
    r->stats->bytes_back = r->out.total;
    result_r->owner = r->owner;
    result_r->ran = r->ran;
    result_r->whole = r->ran && r->missing.count == 0 && !r->missing_unknown;
    result_r->end_seen = r->ended || r->aborted;
    xc_sr__receiver_report(r, r->stats->end_us);
    receiver_dispose(r);
    return rc;
}

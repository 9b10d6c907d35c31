/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_loop.c: the one loop in which the sender does all its waiting.
 *
 * Every function of the sender that waits does so by calling
 * xc_sr__sender_turn() until what it waits for has happened.  A turn writes
 * what the wire takes, reads and acts on the back channel, serves control and
 * watch, reports progress, and only when nothing moved sleeps in poll().
 * Nothing here decides who may run the guest.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "xc_sr_save.h"

#define PROGRESS_PERIOD_US 100000u
/*
 * While pages are owed and only the window holds them back, an answer is a
 * few microseconds away: sleeping and being woken would cost more than that
 * (tens of microseconds in a virtual machine).  Bounded, so that a slow link
 * does not cost a CPU.
 */
#define SPIN_US            20u

int xc_sr__sender_fail(struct xc_sr_sender *s, int rc, const char *fmt, ...)
{
    va_list ap;

    if ( s->result->why[0] )
        return rc;
    va_start(ap, fmt);
    vsnprintf(s->result->why, sizeof(s->result->why), fmt, ap);
    va_end(ap);
    xc_sr__error(s->log, "domain %u, %s: %s", s->hv->info.domid,
                 xc_sr_phase_name(s->phase), s->result->why);
    return rc;
}

void xc_sr__sender_phase(struct xc_sr_sender *s, enum xc_sr_phase phase)
{
    s->phase = phase;
    s->progress_at_us = 0; /* report it at the next turn */
    xc_sr__debug(s->log, "domain %u: phase %s", s->hv->info.domid,
                 xc_sr_phase_name(phase));
}

/* ---- The loop -------------------------------------------------------------- */

int xc_sr__sender_queue(struct xc_sr_sender *s)
{
    int rc = s->writer.error;

    if ( !rc )
        rc = xc_sr__outq_copy(&s->out, s->writer.buf, s->writer.len);
    s->queued_total += s->writer.len;
    xc_sr__writer_reset(&s->writer);
    return rc ? xc_sr__sender_fail(s, rc, "the stream: %s", strerror(-rc)) : 0;
}

/* Holes are no pages of the guest, and nobody waits for them. */
static uint64_t pages_total(const struct xc_sr_sender *s)
{
    return s->hv->info.nr_pages ? s->hv->info.nr_pages : s->nr_pfns;
}

static uint64_t pages_done(const struct xc_sr_sender *s)
{
    /* What is owed by post-copy has left todo. */
    uint64_t open = s->stats->transition_us ? s->owed.count : s->todo.count;
    uint64_t total = pages_total(s);

    return total - (open < total ? open : total);
}

void xc_sr__sender_report(struct xc_sr_sender *s, uint64_t now_us)
{
    struct xc_sr_progress p = {
        .phase = s->phase,
        .round = s->stats->nr_rounds,
        .total_pages = pages_total(s),
        .done_pages = pages_done(s),
        .dirty_pages_per_s = s->dirty_rate_pages,
        .faults = s->stats->faults,
        .faults_outstanding = s->urgent_nr,
        .elapsed_us = now_us - s->stats->start_us,
        .stats = s->stats,
        .owner = s->owner,
    };
    uint64_t since_us = now_us - s->progress_at_us;

    if ( !s->params->progress ||
         (s->progress_at_us && since_us < PROGRESS_PERIOD_US) )
        return;
    s->stats->bytes_total = s->out.total;
    if ( s->progress_at_us && since_us )
        p.bytes_per_s =
            (s->out.total - s->progress_bytes) * 1000000u / since_us;
    s->progress_at_us = now_us;
    s->progress_bytes = s->out.total;
    s->params->progress(s->params->progress_ctx, &p);
}

/* Waits for the descriptors; what is ready is found out by the next turn. */
static int wait_events(struct xc_sr_sender *s, uint64_t deadline_us)
{
    struct xc_sr_control *control = s->params->control;
    int ms = xc_sr__poll_ms(deadline_us, s->now_us);
    struct pollfd fds[5] = {
        { .fd = xc_sr__outq_len(&s->out) ? s->out.fd : -1, .events = POLLOUT },
        { .fd = s->in.buf && !s->back_eof && !s->stock_tail ? s->in.fd : -1,
          .events = POLLIN },
        { .fd = s->upper_fd, .events = POLLIN },
        { .fd = control ? control->fd : -1, .events = POLLIN },
        { .fd = s->params->watch.on_ready ? s->params->watch.fd : -1,
          .events = POLLIN },
    };

    /* Progress is due now and then even when nothing moves. */
    if ( ms < 0 || ms > (int)(PROGRESS_PERIOD_US / 1000) )
        ms = PROGRESS_PERIOD_US / 1000;
    if ( poll(fds, XC_SR_ARRAY_SIZE(fds), ms) < 0 && errno != EINTR )
        return xc_sr__sender_fail(s, -errno, "poll: %s", strerror(errno));
    s->now_us = xc_sr__now_us();
    if ( fds[3].fd >= 0 && fds[3].revents )
        xc_sr__control_drain(control);
    if ( fds[4].fd >= 0 && fds[4].revents )
        s->params->watch.on_ready(s->params->watch.ctx);
    return 0;
}

static int lost(struct xc_sr_sender *s, int rc)
{
    bool progress = true;
    int back_rc = 0;

    /* What the receiver said before it went explains more than EPIPE. */
    while ( !back_rc && progress && s->in.buf && !s->back_eof && !s->naked &&
            !s->complete )
        back_rc = xc_sr__sender_back(s, &progress);
    if ( back_rc )
        return back_rc;
    if ( s->complete )
        return 0;
    return xc_sr__sender_fail(s, rc, "the connection is lost: %s",
                              rc == -EPIPE ? "the receiver closed it"
                                           : strerror(-rc));
}

static int heed_control(struct xc_sr_sender *s)
{
    if ( !xc_sr__control_aborted(s->params->control) || s->abort_refused )
        return 0;
    if ( s->owner == XC_SR_OWNER_NONE )
        return xc_sr__sender_fail(s, -ECANCELED, "given up on request");
    s->abort_refused = true;
    xc_sr__warn(s->log,
                "domain %u: too late to give up: COMMIT was sent, the guest "
                "belongs to the destination",
                s->hv->info.domid);
    return 0;
}

/* Somebody has opened another connection: this one is not read any more. */
static bool is_replaced(struct xc_sr_sender *s)
{
    return xc_sr__control_has_pair(s->params->control) && !s->parked &&
           xc_sr__sender_may_recover(s);
}

/*
 * KEEPALIVE.  Ours may not stand inside the upper layer's part; theirs are not
 * expected while they prepare the guest, where they may have to wait.
 */
static int keep_alive(struct xc_sr_sender *s, uint64_t now_us)
{
    uint64_t lost_us = s->params->silence_timeout_us;
    bool preparing = s->phase == XC_SR_PHASE_HANDOVER && !s->prepared;

    if ( !(s->features & XC_SR_FEATURE_KEEPALIVE) || s->parked ||
         s->handshaking || s->complete || s->naked )
        return 0;
    if ( !preparing && now_us - s->heard_us > lost_us )
        return xc_sr__sender_fail(
            s, -ETIMEDOUT, "nothing has come from the destination for %llu s",
            (unsigned long long)(lost_us / 1000000));
    if ( !s->upper_done || !s->at_boundary || xc_sr__outq_len(&s->out) ||
         now_us - s->said_us < xc_sr__keepalive_every_us(lost_us) )
        return 0;
    s->said_us = now_us;
    xc_sr__write_empty(&s->writer, XC_SR_REC_POSTCOPY_KEEPALIVE);
    return xc_sr__sender_queue(s);
}

int xc_sr__sender_turn(struct xc_sr_sender *s, uint64_t deadline_us)
{
    bool progress = false;
    size_t wrote = 0;
    uint64_t now_us;
    int rc = 0;

    if ( xc_sr__outq_len(&s->out) )
    {
        rc = xc_sr__outq_flush(&s->out, &wrote);
        if ( rc )
            return lost(s, rc);
    }
    if ( xc_sr__outq_len(&s->out) == 0 && s->nr_mapped )
        xc_sr__sender_unmap(s);
    if ( s->in.buf && !s->back_eof && !s->stock_tail )
        rc = xc_sr__sender_back(s, &progress);
    if ( rc )
        return rc;
    if ( s->back_eof && !s->parked && !s->complete && !s->naked )
        return lost(s, -EPIPE);
    if ( is_replaced(s) )
        return xc_sr__sender_fail(s, -ECONNRESET,
                                  "a new connection takes its place");
    rc = heed_control(s);
    if ( rc )
        return rc;
    now_us = s->now_us = xc_sr__now_us();
    if ( wrote )
        s->said_us = now_us;
    if ( progress )
        s->heard_us = now_us;
    s->heard_us = xc_sr__heard_us(s->heard_us, s->turned_us, now_us,
                                  s->params->silence_timeout_us);
    s->turned_us = now_us;
    rc = keep_alive(s, now_us);
    if ( rc )
        return rc;
    xc_sr__sender_report(s, now_us);
    if ( wrote || progress )
        s->busy_at_us = now_us;
    if ( wrote || progress || now_us >= deadline_us )
        return 0;
    if ( s->spins && s->owed.count && now_us - s->busy_at_us < SPIN_US )
        return 0;
    return wait_events(s, deadline_us);
}

/* Nothing but the rate limit keeps us from sending. */
static bool is_held_by_rate(struct xc_sr_sender *s, uint64_t now_us)
{
    uint64_t until_us = UINT64_MAX;

    return xc_sr__outq_len(&s->out) == 0 && xc_sr__window_open(&s->window) &&
           !xc_sr__rate_allows(&s->rate, now_us, &until_us);
}

int xc_sr__sender_turn_or_stall(struct xc_sr_sender *s, uint64_t until_us,
                                struct xc_sr_stall *stall)
{
    uint64_t moved;
    int rc;

    if ( stall->deadline_us && until_us > stall->deadline_us )
        until_us = stall->deadline_us;
    rc = xc_sr__sender_turn(s, until_us);
    if ( rc )
        return rc;
    moved = s->out.total + s->in.total;
    if ( !stall->deadline_us || moved != stall->seen ||
         is_held_by_rate(s, s->now_us) )
    {
        stall->seen = moved;
        stall->deadline_us = s->now_us + s->params->ready_timeout_us;
    }
    else if ( s->now_us >= stall->deadline_us )
        return xc_sr__sender_fail(s, -ETIMEDOUT,
                                  "the destination has gone silent");
    return 0;
}

int xc_sr__sender_room(struct xc_sr_sender *s)
{
    struct xc_sr_stall stall = { .deadline_us = 0 };
    int rc = xc_sr__sender_turn(s, 0);

    while ( !rc && xc_sr__outq_len(&s->out) > XC_SR_QUEUE_MAX )
        rc = xc_sr__sender_turn_or_stall(s, UINT64_MAX, &stall);
    return rc;
}

int xc_sr__sender_drain(struct xc_sr_sender *s)
{
    struct xc_sr_stall stall = { .deadline_us = 0 };
    int rc = 0;

    while ( !rc && xc_sr__outq_len(&s->out) )
        rc = xc_sr__sender_turn_or_stall(s, UINT64_MAX, &stall);
    return rc;
}

/* ---- At the end ------------------------------------------------------------------ */

static uint64_t class_bytes(const struct xc_sr_stats *stats)
{
    uint64_t sum = stats->bytes_precopy + stats->bytes_resume_set +
                   stats->bytes_announce + stats->bytes_state +
                   stats->bytes_fault + stats->bytes_push + stats->bytes_upper;

    /* Classes are counted when queued: a broken connection may owe some. */
    return sum < stats->bytes_total ? sum : stats->bytes_total;
}

void xc_sr__sender_finish_stats(struct xc_sr_sender *s)
{
    uint64_t elapsed_us;

    s->stats->end_us = xc_sr__now_us();
    s->stats->bytes_total = s->out.total;
    s->stats->bytes_back = s->in.total;
    s->stats->bytes_other = s->out.total - class_bytes(s->stats);
    s->stats->skipped_records = s->back.nr_unknown;
    elapsed_us = s->stats->end_us - s->stats->start_us;
    if ( elapsed_us )
        s->stats->bandwidth_bytes_per_s = s->out.total * 1000000u / elapsed_us;
    s->stats->dirty_pages_per_s = s->dirty_rate_pages;
    s->result->owner = s->owner;
}

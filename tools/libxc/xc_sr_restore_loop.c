/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_loop.c: the one loop in which the receiver does all its
 * waiting, and the way from octets to events.
 *
 * The timeline in xc_sr_restore.c calls xc_sr__receiver_turn() until what it
 * waits for has happened.  The guest's faults are looked at between any two
 * pieces of the stream, so a fault never waits for a long record.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "xc_sr_restore.h"

#define PROGRESS_PERIOD_US 100000u
/*
 * Acknowledge in steps of this many octets, or when nothing more is there to
 * read: half of the sender's least window, so it never runs dry in between.
 */
#define ACK_STEP           (32u << 10)
/* Back channel octets that may wait; nothing is acknowledged above that. */
#define BACK_QUEUE_MAX     (64u << 10)

int xc_sr__receiver_fail(struct xc_sr_receiver *r, int rc, const char *fmt, ...)
{
    va_list ap;

    if ( r->result->why[0] )
        return rc;
    va_start(ap, fmt);
    vsnprintf(r->result->why, sizeof(r->result->why), fmt, ap);
    va_end(ap);
    xc_sr__error(r->log, "domain %u, %s: %s", r->hv->info.domid,
                 xc_sr_phase_name(r->phase), r->result->why);
    return rc;
}

void xc_sr__receiver_phase(struct xc_sr_receiver *r, enum xc_sr_phase phase)
{
    r->phase = phase;
    r->progress_at_us = 0;
    xc_sr__debug(r->log, "domain %u: phase %s", r->hv->info.domid,
                 xc_sr_phase_name(phase));
}

void xc_sr__receiver_report(struct xc_sr_receiver *r, uint64_t now_us)
{
    uint64_t since_us = now_us - r->progress_at_us;
    /* Holes are no pages of the guest. */
    uint64_t total = r->hv->info.nr_pages ? r->hv->info.nr_pages : r->nr_pfns;
    struct xc_sr_progress p = {
        .phase = r->phase,
        .total_pages = total,
        .done_pages =
            total - (r->missing.count < total ? r->missing.count : total),
        .faults = r->stats->faults,
        .faults_outstanding = r->nr_waiters,
        .elapsed_us = now_us - r->stats->start_us,
        .stats = r->stats,
        .owner = r->owner,
    };

    if ( !r->params->progress ||
         (r->progress_at_us && since_us < PROGRESS_PERIOD_US) )
        return;
    r->stats->bytes_total = r->in.total;
    if ( r->progress_at_us && since_us )
        p.bytes_per_s = (r->in.total - r->progress_bytes) * 1000000u / since_us;
    r->progress_at_us = now_us;
    r->progress_bytes = r->in.total;
    r->params->progress(r->params->progress_ctx, &p);
}

/* ---- The back channel --------------------------------------------------------- */

int xc_sr__receiver_queue(struct xc_sr_receiver *r)
{
    int rc = r->writer.error;

    if ( !rc )
        rc = xc_sr__outq_copy(&r->out, r->writer.buf, r->writer.len);
    xc_sr__writer_reset(&r->writer);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "back channel: %s", strerror(-rc));
    return 0;
}

static int flush_back(struct xc_sr_receiver *r)
{
    size_t wrote;
    int rc;

    if ( r->parked )
        xc_sr__outq_drop(&r->out);
    if ( xc_sr__outq_len(&r->out) == 0 )
        return 0;
    rc = xc_sr__outq_flush(&r->out, &wrote);
    if ( !rc && wrote )
        r->said_us = r->now_us;
    if ( !rc )
        return 0;
    xc_sr__outq_drop(&r->out);
    /* A source that is gone is noticed when the stream ends; one that is not
     * needed any more is not missed. */
    if ( rc == -EPIPE || xc_sr__receiver_is_through(r) )
        return 0;
    r->conn_lost = true;
    return xc_sr__receiver_fail(r, rc, "back channel: %s", strerror(-rc));
}

int xc_sr__receiver_say(struct xc_sr_receiver *r)
{
    int rc = xc_sr__receiver_queue(r);

    return rc ? rc : flush_back(r);
}

int xc_sr__receiver_say_session(struct xc_sr_receiver *r, enum xc_sr_rec rec)
{
    xc_sr__write_begin(&r->writer, rec);
    xc_sr__write_bytes(&r->writer, r->session, sizeof(r->session));
    xc_sr__write_u64(&r->writer, r->epoch);
    xc_sr__write_end(&r->writer, 0);
    return xc_sr__receiver_say(r);
}

static int acknowledge(struct xc_sr_receiver *r, uint64_t step)
{
    uint64_t used = r->in.total - xc_sr__inbuf_len(&r->in);

    if ( r->parked || r->handshaking )
        return 0;

    /* COMPLETE is the last word on the back channel, and so is NAK. */
    if ( xc_sr__receiver_is_through(r) || r->owner == XC_SR_OWNER_FENCED )
        return 0;
    if ( !(r->features & XC_SR_FEATURE_ACK) || used - r->acked < step ||
         used == r->acked || xc_sr__outq_len(&r->out) > BACK_QUEUE_MAX )
        return 0;
    r->acked = used;
    xc_sr__write_begin(&r->writer, XC_SR_REC_POSTCOPY_ACK);
    xc_sr__write_u64(&r->writer, used - r->conn_base);
    xc_sr__write_end(&r->writer, 0);
    return xc_sr__receiver_queue(r);
}

static bool is_agreed(const struct xc_sr_receiver *r, uint32_t feature)
{
    return r->features & feature;
}

int xc_sr__receiver_keepalive(struct xc_sr_receiver *r)
{
    uint64_t every_us =
        xc_sr__keepalive_every_us(r->params->silence_timeout_us);

    if ( !is_agreed(r, XC_SR_FEATURE_KEEPALIVE) || r->parked ||
         r->handshaking || r->aborted || r->eof ||
         (r->owner != XC_SR_OWNER_NONE && r->owner != XC_SR_OWNER_PREP &&
          r->owner != XC_SR_OWNER_OWNER) ||
         xc_sr__outq_len(&r->out) || r->now_us - r->said_us < every_us )
        return 0;
    r->said_us = r->now_us;
    xc_sr__write_empty(&r->writer, XC_SR_REC_POSTCOPY_ALIVE);
    return xc_sr__receiver_say(r);
}

/* Once pages are all that is to come the source is never silent for long. */
static int check_silence(struct xc_sr_receiver *r)
{
    uint64_t lost_us = r->params->silence_timeout_us;

    if ( !is_agreed(r, XC_SR_FEATURE_KEEPALIVE) || !r->upper_done ||
         r->parked || r->handshaking || r->ended ||
         (r->owner != XC_SR_OWNER_PREP && r->owner != XC_SR_OWNER_OWNER) ||
         r->now_us - r->heard_us <= lost_us )
        return 0;
    r->conn_lost = true;
    return xc_sr__receiver_fail(r, -ETIMEDOUT,
                                "nothing has come from the source for %llu s",
                                (unsigned long long)(lost_us / 1000000));
}

/* Somebody has opened another connection: this one is not read any more. */
static int check_replaced(struct xc_sr_receiver *r)
{
    bool before = r->conn_lost;

    if ( !xc_sr__control_has_pair(r->params->control) || r->parked )
        return 0;
    r->conn_lost = true;
    if ( !xc_sr__receiver_may_recover(r) )
    {
        r->conn_lost = before;
        return 0;
    }
    return xc_sr__receiver_fail(r, -ECONNRESET,
                                "a new connection takes its place");
}

/* ---- From octets to events ------------------------------------------------------ */

static int feed_upper(struct xc_sr_receiver *r)
{
    const struct xc_sr_upper_sink *upper = &r->params->upper;
    size_t len = xc_sr__inbuf_len(&r->in), used = 0;
    bool done = upper->write == NULL;
    int rc = 0;

    if ( !r->upper_begun && upper->begin )
        rc = upper->begin(upper->ctx);
    r->upper_begun = true;
    if ( !rc && !done && len == 0 )
    {
        r->need = 1;
        return 0;
    }
    if ( !rc && !done )
        rc = upper->write(upper->ctx, xc_sr__inbuf_data(&r->in), len, &used,
                          &done);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "the toolstack's records: %s",
                                    strerror(-rc));
    xc_sr__inbuf_use(&r->in, used);
    r->upper_used += used;
    if ( !done )
        return 0;
    xc_sr__reader_upper_done(&r->reader, r->upper_used);
    r->upper_done = true;
    r->ahead_at = r->in.total - xc_sr__inbuf_len(&r->in);
    return 0;
}

static int next_event(struct xc_sr_receiver *r, bool *stop_r)
{
    struct xc_sr_event ev;
    size_t used = 0;
    char text[256];
    int rc = xc_sr__reader_next(&r->reader, xc_sr__inbuf_data(&r->in),
                                xc_sr__inbuf_len(&r->in), &ev, &used);

    if ( rc )
        return xc_sr__receiver_fail(
            r, rc, "%s",
            xc_sr__fault_text(&r->reader.fault, text, sizeof(text)));
    if ( ev.kind == XC_SR_EV_NEED )
    {
        xc_sr__inbuf_use(&r->in, used);
        r->need = ev.need;
        return xc_sr__inbuf_need(&r->in, ev.need,
                                 XC_SR_WHOLE_MAX + XC_SR_RECORD_HEADER_LEN);
    }
    if ( ev.kind == XC_SR_EV_UPPER )
    {
        rc = feed_upper(r);
        *stop_r = r->upper_done;
        return rc;
    }
    rc = xc_sr__receiver_event(r, &ev);
    xc_sr__inbuf_use(&r->in, used);
    if ( rc )
        return rc;
    /* The timeline acts on these before anything else is looked at. */
    *stop_r = ev.kind == XC_SR_EV_END || r->aborted ||
              (ev.kind == XC_SR_EV_RECORD &&
               (ev.record.id == XC_SR_REC_POSTCOPY_COMMIT ||
                ev.record.id == XC_SR_REC_POSTCOPY_RESUME));
    if ( ev.kind == XC_SR_EV_CONTENT || ev.kind == XC_SR_EV_TAIL )
        rc = acknowledge(r, ACK_STEP);
    /* In post-copy the guest and the wire are looked at after each record. */
    if ( ev.kind == XC_SR_EV_TAIL && r->paging && r->upper_done )
        *stop_r = true;
    return rc;
}

static int use_window(struct xc_sr_receiver *r, bool *stop_r)
{
    int rc = 0;

    r->need = 0;
    while ( !rc && r->need == 0 && !*stop_r && !r->ended )
        rc = next_event(r, stop_r);
    return rc;
}

/* ---- Waiting ---------------------------------------------------------------------- */

/* A descriptor that is not read from must not be waited for either. */
static bool wants_faults(const struct xc_sr_receiver *r)
{
    return r->paging && r->upper_done && !r->gone &&
           r->nr_waiters < XC_SR_OUTSTANDING_MAX;
}

static int wait_events(struct xc_sr_receiver *r, uint64_t deadline_us)
{
    int ms = xc_sr__poll_ms(deadline_us, r->now_us);
    struct xc_sr_control *control = r->params->control;
    struct pollfd fds[7] = {
        { .fd = r->eof ? -1 : r->in.fd, .events = POLLIN },
        { .fd = xc_sr__outq_len(&r->out) ? r->out.fd : -1, .events = POLLOUT },
        { .fd = wants_faults(r) ? xc_sr__hv_event_fd(r->hv) : -1,
          .events = POLLIN },
        { .fd = r->gone ? -1 : xc_sr__hv_gone_fd(r->hv), .events = POLLIN },
        { .fd = control ? control->fd : -1, .events = POLLIN },
        { .fd = r->params->watch.on_ready ? r->params->watch.fd : -1,
          .events = POLLIN },
        { .fd = r->preparing ? r->params->prepare_fd : -1, .events = POLLIN },
    };

    if ( ms < 0 || ms > (int)(PROGRESS_PERIOD_US / 1000) )
        ms = PROGRESS_PERIOD_US / 1000;
    if ( poll(fds, XC_SR_ARRAY_SIZE(fds), ms) < 0 && errno != EINTR )
        return xc_sr__receiver_fail(r, -errno, "poll: %s", strerror(errno));
    if ( fds[4].fd >= 0 && fds[4].revents )
        xc_sr__control_drain(control);
    if ( fds[5].fd >= 0 && fds[5].revents )
        r->params->watch.on_ready(r->params->watch.ctx);
    if ( fds[3].fd >= 0 && fds[3].revents )
        return xc_sr__receiver_check_gone(r);
    return 0;
}

static int at_eof(struct xc_sr_receiver *r)
{
    char text[256];

    r->conn_lost = true;
    if ( xc_sr__inbuf_len(&r->in) == 0 && xc_sr__reader_eof(&r->reader) == 0 )
        return -EPIPE;
    return xc_sr__receiver_fail(
        r, -EPIPE, "the connection is lost: %s",
        xc_sr__reader_eof(&r->reader)
            ? xc_sr__fault_text(&r->reader.fault, text, sizeof(text))
            : "octets after the end");
}

int xc_sr__receiver_turn(struct xc_sr_receiver *r, uint64_t deadline_us)
{
    bool stop = false;
    size_t got = 0;
    int rc = 0;

    r->now_us = xc_sr__now_us();
    /* What was acknowledged last and what is wanted now go out together. */
    if ( r->paging && r->upper_done )
        rc = xc_sr__receiver_faults(r);
    if ( rc )
        return rc;
    rc = flush_back(r);
    if ( !rc && !r->eof )
        rc = xc_sr__inbuf_fill(&r->in, &r->eof, &got);
    if ( rc )
    {
        r->conn_lost = true;
        return xc_sr__receiver_fail(r, rc, "the stream: %s", strerror(-rc));
    }
    if ( got )
        r->heard_us = r->now_us;
    r->heard_us = xc_sr__heard_us(r->heard_us, r->turned_us, r->now_us,
                                  r->params->silence_timeout_us);
    r->turned_us = r->now_us;
    rc = check_replaced(r);
    if ( !rc )
        rc = check_silence(r);
    if ( !rc )
        rc = xc_sr__receiver_keepalive(r);
    if ( rc )
        return rc;
    if ( r->paging && r->upper_done && !r->gone )
        rc = xc_sr__receiver_look_ahead(r);
    if ( !rc )
        rc = use_window(r, &stop);
    xc_sr__receiver_report(r, r->now_us);
    if ( rc || stop )
        return rc;
    if ( got )
        return 0;
    if ( r->eof && !r->ended && !r->parked )
        return at_eof(r);
    rc = acknowledge(r, 1);
    if ( !rc )
        rc = flush_back(r);
    if ( rc || r->now_us >= deadline_us )
        return rc;
    return wait_events(r, deadline_us);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save.c: the sender's timeline, top to bottom in migrate(), and
 * what is done about a failure in settle().
 *
 * Called by a toolstack through xc_sr_save().  Who may run the guest changes
 * in two places only: xc_sr__sender_commit() in xc_sr_save_postcopy.c, after which
 * the source never resumes it on its own, and settle() here.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Order of records" and
 * "Hand-over".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "xc_sr_save.h"

#define DEFAULT_TIMEOUT_US 60000000u /* READY, PREPARED, RUNNING, any stall */
#define RESUME_TRIES       5
#define LAST_WORDS_US      1000000u /* for ABORT and END after a failure */
#define BACK_WINDOW        (64u << 10)
#define BULK_SOCKET_BUFFER (64 << 10)

/* ---- Opening ----------------------------------------------------------------- */

static bool wants_handshake(const struct xc_sr_sender *s)
{
    return !s->params->plain && s->version >= 3;
}

static int write_headers(struct xc_sr_sender *s)
{
    struct xc_sr_domain_header dhdr = {
        .type = s->hv->info.guest_type,
        .page_shift = XC_SR_PAGE_SHIFT,
        .xen_major = s->hv->info.xen_major,
        .xen_minor = s->hv->info.xen_minor,
    };

    xc_sr__write_image_header(&s->writer);
    xc_sr__write_domain_header(&s->writer, &dhdr);
    return xc_sr__sender_queue(s);
}

/* HVM params ride along: the destination may need them to set paging up. */
static int write_advise(struct xc_sr_sender *s)
{
    struct xc_sr_hv_blob params = { 0 };
    uint32_t flags = (s->params->policy.allow_postcopy ? 1u : 0) |
                     (s->hv->info.paused ? 2u : 0);
    uint32_t nr_params = 0;
    int rc = xc_sr__hv_state_get(s->hv, XC_SR_HV_STATE_HVM_PARAMS, &params);

    if ( rc && rc != -ENODATA )
        return xc_sr__sender_fail(s, rc, "cannot read HVM params: %s",
                                  strerror(-rc));
    if ( params.len >= 8 )
        nr_params = xc_sr__le32(params.data);
    xc_sr__write_begin(&s->writer, XC_SR_REC_POSTCOPY_ADVISE);
    xc_sr__write_bytes(&s->writer, s->session, sizeof(s->session));
    xc_sr__write_u32(&s->writer,
                     XC_SR_FEATURES_ALL & ~s->params->deny_features);
    xc_sr__write_u32(&s->writer, flags);
    xc_sr__write_u64(&s->writer, s->nr_pfns);
    xc_sr__write_u32(&s->writer, nr_params);
    xc_sr__write_u32(&s->writer, 0);
    if ( nr_params )
        xc_sr__write_bytes(&s->writer, params.data + 8, params.len - 8);
    xc_sr__write_end(&s->writer, 0);
    free(params.data);
    s->advised = true;
    return xc_sr__sender_queue(s);
}

static int wait_ready(struct xc_sr_sender *s)
{
    uint64_t deadline_us = xc_sr__now_us() + s->params->ready_timeout_us;

    while ( !s->ready )
    {
        int rc = xc_sr__sender_turn(s, deadline_us);

        if ( rc )
            return rc;
        if ( s->naked )
            return -EOPNOTSUPP;
        if ( !s->ready && xc_sr__now_us() >= deadline_us )
            return xc_sr__sender_fail(
                s, -ETIMEDOUT,
                "no answer to ADVISE in %llu s: is the receiver ours, or has "
                "it to wait for memory there?",
                (unsigned long long)(s->params->ready_timeout_us / 1000000));
    }
    s->stats->ready_us = xc_sr__now_us();
    s->heard_us = s->stats->ready_us;
    s->stats->features = s->features;
    s->window.enabled = s->features & XC_SR_FEATURE_ACK;
    return 0;
}

/* A blob as a record, where the guest has it; *had_r says whether. */
static int write_state(struct xc_sr_sender *s, enum xc_sr_hv_state what,
                       enum xc_sr_rec rec, bool *had_r)
{
    struct xc_sr_hv_blob blob = { 0 };
    int rc = xc_sr__hv_state_get(s->hv, what, &blob);

    *had_r = rc == 0;
    if ( rc == -ENODATA )
        return 0;
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot read the guest's %s: %s",
                                  xc_sr__rec_name(rec), strerror(-rc));
    xc_sr__write_begin(&s->writer, rec);
    xc_sr__write_bytes(&s->writer, blob.data, blob.len);
    xc_sr__write_end(&s->writer, 0);
    free(blob.data);
    return xc_sr__sender_queue(s);
}

static int write_static_data(struct xc_sr_sender *s)
{
    bool had;
    int rc;

    if ( s->version < 3 )
        return 0;
    rc = write_state(s, XC_SR_HV_STATE_CPUID_POLICY, XC_SR_REC_X86_CPUID_POLICY,
                     &had);
    if ( !rc )
        rc = write_state(s, XC_SR_HV_STATE_MSR_POLICY, XC_SR_REC_X86_MSR_POLICY,
                         &had);
    if ( rc )
        return rc;
    xc_sr__write_empty(&s->writer, XC_SR_REC_STATIC_DATA_END);
    return xc_sr__sender_queue(s);
}

static int open_stream(struct xc_sr_sender *s)
{
    int rc = write_headers(s);

    if ( !rc && wants_handshake(s) )
    {
        rc = write_advise(s);
        if ( !rc )
            rc = wait_ready(s);
    }
    if ( !rc )
        rc = write_static_data(s);
    return rc;
}

/* ---- State, tail, end ---------------------------------------------------------- */

static int write_context(struct xc_sr_sender *s)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t before = s->queued_total;
    bool had = false;
    int rc;

    rc = write_state(s, XC_SR_HV_STATE_TSC, XC_SR_REC_X86_TSC_INFO, &had);
    if ( !rc )
        rc = write_state(s, XC_SR_HV_STATE_HVM_CONTEXT, XC_SR_REC_HVM_CONTEXT,
                         &had);
    if ( !rc )
        rc = write_state(s, XC_SR_HV_STATE_HVM_PARAMS, XC_SR_REC_HVM_PARAMS,
                         &had);
    s->stats->bytes_state += s->queued_total - before;
    s->stats->suspend_state_us = xc_sr__now_us() - start_us;
    return rc;
}

static uint64_t stall_deadline(const struct xc_sr_sender *s)
{
    return xc_sr__now_us() + s->params->ready_timeout_us;
}

/* The stock way to end: context, END; who runs it is the caller's affair. */
static int finish_stock(struct xc_sr_sender *s)
{
    int rc;

    xc_sr__sender_phase(s, XC_SR_PHASE_HANDOVER);
    rc = xc_sr__sender_send_set(s, &s->todo, XC_SR_CLASS_PRECOPY);
    if ( !rc )
        rc = write_context(s);
    if ( rc )
        return rc;
    xc_sr__write_empty(&s->writer, XC_SR_REC_END);
    rc = xc_sr__sender_queue(s);
    /* What comes on the back channel from here on is for the caller. */
    s->stock_tail = true;
    return rc ? rc : xc_sr__sender_drain(s);
}

/* Nothing came from the layer above: until it has something, or too long. */
static int wait_upper(struct xc_sr_sender *s, struct xc_sr_stall *stall)
{
    int rc;

    s->upper_fd = s->params->upper.ready_fd;
    rc = xc_sr__sender_turn_or_stall(s, stall_deadline(s), stall);
    s->upper_fd = -1;
    return rc;
}

/* The layer above writes its part of the stream through us. */
static int relay_upper(struct xc_sr_sender *s)
{
    const struct xc_sr_upper_source *upper = &s->params->upper;
    struct xc_sr_stall stall = { .deadline_us = 0 };
    uint8_t buf[16384];
    bool done = upper->read == NULL;

    while ( !done )
    {
        size_t len = 0;
        int rc = upper->read(upper->ctx, buf, sizeof(buf), &len, &done);

        if ( rc )
            return xc_sr__sender_fail(s, rc, "the toolstack's records: %s",
                                      strerror(-rc));
        rc = xc_sr__outq_copy(&s->out, buf, len);
        if ( rc )
            return xc_sr__sender_fail(
                s, rc, "the toolstack's records cannot be kept: %s",
                strerror(-rc));
        s->queued_total += len;
        s->stats->bytes_upper += len;
        /* Known before the last octet is out: the answer may be quick. */
        s->upper_done = done;
        rc = len || done ? xc_sr__sender_room(s) : wait_upper(s, &stall);
        if ( rc )
            return rc;
    }
    s->upper_done = true;
    xc_sr__window_sent(&s->window, s->queued_total, xc_sr__now_us());
    return 0;
}

/* Everything that is said while the guest runs nowhere. */
static int hand_over(struct xc_sr_sender *s)
{
    int rc;

    xc_sr__sender_phase(s, XC_SR_PHASE_HANDOVER);
    xc_sr__write_empty(&s->writer, XC_SR_REC_POSTCOPY_BEGIN);
    rc = xc_sr__sender_queue(s);
    if ( !rc )
        rc = write_context(s);
    if ( !rc )
        rc = xc_sr__sender_announce(s);
    if ( rc )
        return rc;
    s->stats->transition_us = xc_sr__now_us();
    /* Version 2 has no COMMIT: what follows is what starts the guest. */
    if ( s->version < 3 )
        rc = xc_sr__sender_commit(s);
    if ( rc )
        return rc;
    s->at_boundary = false;
    rc = relay_upper(s);
    /* Where it failed, its octets may be half out: nothing of ours fits in. */
    if ( !rc )
        s->at_boundary = true;
    return rc;
}

/* Writes what is queued for a last moment, without reading any more. */
static void last_words(struct xc_sr_sender *s)
{
    xc_sr__outq_drain(&s->out, xc_sr__now_us() + LAST_WORDS_US);
}

/* COMPLETE is known: the copy here may go.  The rest is courtesy. */
static int close_stream(struct xc_sr_sender *s)
{
    int rc = 0;

    s->stats->complete_us = xc_sr__now_us();
    if ( s->params->journal.put )
        rc = s->params->journal.put(s->params->journal.ctx, XC_SR_OWNER_DONE,
                                    s->session, s->epoch);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot record DONE: %s",
                                  strerror(-rc));
    s->owner = XC_SR_OWNER_DONE;
    xc_sr__write_empty(&s->writer, XC_SR_REC_END);
    if ( !xc_sr__sender_queue(s) )
        last_words(s);
    s->result->why[0] = '\0';
    return 0;
}

/* ---- The timeline --------------------------------------------------------------- */

/* Where a dead process stopped: its guest, its record, a new connection. */
static int go_on(struct xc_sr_sender *s)
{
    int rc = xc_sr__sender_recover_from(s);

    if ( rc && xc_sr__sender_may_recover(s) )
        rc = xc_sr__sender_recover(s);
    if ( !rc && s->owner != XC_SR_OWNER_COMMITTED )
        return 0;
    if ( !rc && !s->complete )
        rc = xc_sr__sender_push_through(s);
    return rc ? rc : close_stream(s);
}

static int migrate(struct xc_sr_sender *s)
{
    enum xc_sr_decision decision = XC_SR_DECIDE_CONTINUE;
    bool postcopy, stock;
    int rc;

    rc = open_stream(s);
    if ( rc )
        return rc;
    xc_sr__sender_phase(s, XC_SR_PHASE_PRECOPY);
    rc = xc_sr__sender_precopy(s, &decision);
    if ( rc )
        return rc;
    postcopy = decision == XC_SR_DECIDE_POSTCOPY;
    stock = s->params->plain || (s->version < 3 && !postcopy);
    s->stats->postcopy = postcopy;
    if ( postcopy && s->version >= 3 )
        rc = xc_sr__sender_discard(s);
    if ( rc )
        return rc;
    xc_sr__sender_phase(s, XC_SR_PHASE_SUSPEND);
    rc = xc_sr__sender_suspend(s);
    if ( rc )
        return rc;
    if ( stock )
        return finish_stock(s);
    /* Stop-and-copy is a hand-over with nothing left to announce. */
    if ( !postcopy )
        rc = xc_sr__sender_send_set(s, &s->todo, XC_SR_CLASS_PRECOPY);
    if ( !rc )
        rc = hand_over(s);
    if ( !rc )
        rc = xc_sr__sender_push_through(s);
    if ( !rc )
        rc = close_stream(s);
    return rc;
}

/* ---- What is done about a failure -------------------------------------------------- */

/* ABORT makes sense to a receiver that has seen ADVISE, also to one that has
 * said NAK: it keeps its record until somebody answers. */
static bool advised(const struct xc_sr_sender *s)
{
    return wants_handshake(s) && s->advised && !s->result->refused;
}

/* The answer to a NAK after COMMIT: it fenced itself before it said so. */
static void say_end(struct xc_sr_sender *s)
{
    if ( !s->at_boundary )
        return;
    xc_sr__write_empty(&s->writer, XC_SR_REC_END);
    if ( !xc_sr__sender_queue(s) )
        last_words(s);
}

static void say_abort(struct xc_sr_sender *s)
{
    const char *why = s->result->why;
    size_t len = strnlen(why, XC_SR_MAX_TEXT);

    if ( s->out.fd < 0 || !advised(s) || !s->at_boundary )
        return;
    xc_sr__writer_reset(&s->writer);
    xc_sr__write_begin(&s->writer, XC_SR_REC_POSTCOPY_ABORT);
    xc_sr__write_bytes(&s->writer, s->session, sizeof(s->session));
    xc_sr__write_u64(&s->writer, s->epoch);
    xc_sr__write_u32(&s->writer, xc_sr__control_aborted(s->params->control)
                                     ? XC_SR_REASON_OPERATOR
                                     : XC_SR_REASON_FAILED);
    xc_sr__write_u32(&s->writer, (uint32_t)len);
    xc_sr__write_bytes(&s->writer, why, len);
    xc_sr__write_end(&s->writer, 0);
    if ( !xc_sr__sender_queue(s) )
        last_words(s);
}

/*
 * The guest runs here again: recorded first, then said, and the connection is
 * closed before it runs, so that nothing which comes later can be acted upon.
 */
static void resume_here(struct xc_sr_sender *s)
{
    int rc = 0;

    if ( s->params->journal.put )
        rc = s->params->journal.put(s->params->journal.ctx, XC_SR_OWNER_RESUMED,
                                    s->session, s->epoch);
    /* The durable record says COMMITTED, or may: it stays parked, as it would
     * after a restart.  Before that nothing has been said that binds us. */
    if ( rc && s->owner == XC_SR_OWNER_COMMITTED )
    {
        xc_sr__error(s->log, "domain %u: cannot record RESUMED: %s",
                     s->hv->info.domid, strerror(-rc));
        return;
    }
    if ( s->owner == XC_SR_OWNER_COMMITTED && !s->commit_unsaid )
        say_end(s);
    else
        say_abort(s);
    s->owner = XC_SR_OWNER_RESUMED;
    if ( s->out.fd >= 0 )
        (void)shutdown(s->out.fd, SHUT_RDWR);
    if ( !s->suspend_asked )
        return;
    /* A guest that runs again may be given other frames. */
    xc_sr__outq_drop(&s->out);
    xc_sr__sender_unmap(s);
    rc = -EAGAIN;
    for ( int i = 0; i < RESUME_TRIES && rc != -ETIMEDOUT; i++ )
    {
        rc = xc_sr__hv_resume(s->hv);
        if ( !rc )
            return;
        xc_sr__error(s->log, "domain %u: cannot resume it: %s",
                     s->hv->info.domid, strerror(-rc));
    }
    s->result->suspended_here = true;
}

static void settle(struct xc_sr_sender *s, int rc)
{
    bool never_there = (s->naked && !s->running) || s->commit_unsaid;

    if ( rc && (s->owner == XC_SR_OWNER_NONE ||
                (s->owner == XC_SR_OWNER_COMMITTED && never_there)) )
        resume_here(s);
    /* A copy that is parked or about to go needs no order in its dirty log,
     * and putting it in order takes time. */
    if ( s->dirty_log_on && s->owner != XC_SR_OWNER_COMMITTED &&
         s->owner != XC_SR_OWNER_DONE )
        (void)xc_sr__hv_dirty_off(s->hv);
    xc_sr__sender_phase(s, rc ? XC_SR_PHASE_FAILED : XC_SR_PHASE_DONE);
}

/* ---- Set up and tear down -------------------------------------------------------------- */

static int check_params(struct xc_sr_sender *s)
{
    const struct xc_sr_save_params *p = s->params;

    if ( p->stream_version != 2 && p->stream_version != 3 )
        return xc_sr__sender_fail(
            s, -EINVAL, "stream version %u does not exist", p->stream_version);
    if ( !p->plain && p->recv_fd < 0 &&
         (p->stream_version >= 3 || p->policy.allow_postcopy) )
        return xc_sr__sender_fail(s, -EINVAL, "no back channel");
    if ( p->policy.allow_postcopy && (p->plain || s->nr_pfns == 0) )
        return xc_sr__sender_fail(s, -EINVAL,
                                  "a plain stream cannot go post-copy");
    if ( p->from && (p->plain || p->stream_version < 3) )
        return xc_sr__sender_fail(s, -EINVAL,
                                  "only version 3 can be recovered");
    return 0;
}

static int sender_init(struct xc_sr_sender *s)
{
    struct xc_sr_pageset *sets[] = { &s->todo,     &s->announced, &s->owed,
                                     &s->owed_all, &s->older,     &s->pinned,
                                     &s->present };
    int rc;

    xc_sr__writer_init(&s->writer, s->version);
    xc_sr__window_init(&s->window);
    rc = xc_sr__outq_init(&s->out, s->params->send_fd);
    for ( unsigned int i = 0; !rc && i < XC_SR_ARRAY_SIZE(sets); i++ )
        rc = xc_sr__pageset_init(sets[i], s->nr_pfns);
    for ( unsigned int i = 0; !rc && i < XC_SR_RESUME_WINDOWS; i++ )
        rc = xc_sr__pageset_init(&s->windows[i], s->nr_pfns);
    if ( !rc && s->params->recv_fd >= 0 && !s->params->plain )
    {
        xc_sr__reader_init(&s->back, XC_SR_BACK, s->version);
        rc = xc_sr__inbuf_init(&s->in, s->params->recv_fd, BACK_WINDOW);
        if ( !rc )
            rc = xc_sr__set_nonblock(s->params->recv_fd, true);
    }
    if ( !rc )
        rc = xc_sr__set_nonblock(s->params->send_fd, true);
    if ( !rc && s->params->from )
        memcpy(s->session, s->params->from->session, sizeof(s->session));
    else if ( !rc && getrandom(s->session, sizeof(s->session), 0) !=
                         (ssize_t)sizeof(s->session) )
        rc = -errno;
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot start: %s", strerror(-rc));
    if ( s->version < 3 )
    {
        /*
         * Nobody acknowledges in version 2: what is queued ahead of a faulted
         * page is at least kept small on this side.  Pipes: left as they are.
         */
        int size = BULK_SOCKET_BUFFER;

        (void)setsockopt(s->params->send_fd, SOL_SOCKET, SO_SNDBUF, &size,
                         sizeof(size));
    }
    return 0;
}

static void sender_dispose(struct xc_sr_sender *s)
{
    xc_sr__sender_unmap(s);
    if ( s->owns_fds )
        xc_sr__close_pair(s->out.fd, s->in.fd);
    xc_sr__outq_dispose(&s->out);
    if ( s->in.buf )
        xc_sr__inbuf_dispose(&s->in);
    xc_sr__writer_dispose(&s->writer);
    xc_sr__pageset_dispose(&s->todo);
    xc_sr__pageset_dispose(&s->announced);
    xc_sr__pageset_dispose(&s->owed);
    xc_sr__pageset_dispose(&s->owed_all);
    xc_sr__pageset_dispose(&s->older);
    xc_sr__pageset_dispose(&s->pinned);
    xc_sr__pageset_dispose(&s->present);
    for ( unsigned int i = 0; i < XC_SR_RESUME_WINDOWS; i++ )
        xc_sr__pageset_dispose(&s->windows[i]);
    free(s);
}

/* Nothing has happened to the guest. */
static int no_room(const struct xc_sr_save_params *p,
                   struct xc_sr_save_result *result)
{
    snprintf(result->why, sizeof(result->why),
             "no memory for a migration of %llu pages",
             (unsigned long long)p->hv->info.nr_pfns);
    xc_sr__error(p->log, "domain %u: %s", p->hv->info.domid, result->why);
    return -ENOMEM;
}

int xc_sr_save(const struct xc_sr_save_params *params,
               struct xc_sr_save_result *result_r)
{
    struct xc_sr_save_params p = *params;
    struct xc_sr_sender *s;
    int rc;

    memset(result_r, 0, sizeof(*result_r));
    if ( p.from )
        result_r->owner = p.from->owner;
    s = calloc(1, sizeof(*s));
    if ( !s )
        return no_room(&p, result_r);
    if ( p.ready_timeout_us == 0 )
        p.ready_timeout_us = DEFAULT_TIMEOUT_US;
    if ( p.silence_timeout_us == 0 )
        p.silence_timeout_us = XC_SR_SILENCE_LOST_US;
    s->params = &p;
    s->hv = p.hv;
    s->log = p.log;
    s->result = result_r;
    s->stats = &result_r->stats;
    s->version = p.stream_version;
    s->nr_pfns = p.hv->info.nr_pfns;
    s->at_boundary = true;
    s->out.fd = s->in.fd = s->upper_fd = -1;
    if ( p.from )
    {
        s->owner = p.from->owner;
        s->epoch = p.from->epoch;
    }
    s->stats->start_us = s->now_us = xc_sr__now_us();
    s->stats->nr_pfns = s->nr_pfns;
    s->stats->stream_version = s->version;
    rc = check_params(s);
    if ( !rc )
        rc = sender_init(s);
    if ( rc == -ENOMEM )
        no_room(&p, result_r);
    if ( !rc )
    {
        rc = p.from ? go_on(s) : migrate(s);
        settle(s, rc);
    }
    xc_sr__sender_finish_stats(s);
    xc_sr__sender_report(s, s->stats->end_us);
    sender_dispose(s);
    return rc;
}

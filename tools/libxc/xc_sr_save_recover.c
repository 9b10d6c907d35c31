/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_recover.c: the sender without a connection, and its next one.
 *
 * Called from the timeline when anything fails after COMMIT.  The guest stays
 * suspended and every page of it stays,
 * also what was sent; nothing here resumes it.  A new connection is handed in
 * by another thread (xc_sr_control_reconnect()); the destination says on it
 * what it has recorded and which pages it has, and that alone counts.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Recovery".
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "xc_sr_save.h"

bool xc_sr__sender_may_recover(const struct xc_sr_sender *s)
{
    return s->params->recovery.enabled && s->params->control &&
           s->version >= 3 && s->owner == XC_SR_OWNER_COMMITTED && !s->naked &&
           !s->commit_unsaid && !s->complete && !s->gave_up;
}

/* ---- Letting go of a connection ------------------------------------------- */

/* The other side learns of it at once where the carrier lets it. */
static void drop_connection(struct xc_sr_sender *s)
{
    xc_sr__outq_drop(&s->out);
    xc_sr__sender_unmap(s);
    if ( s->out.fd >= 0 )
        (void)shutdown(s->out.fd, SHUT_RDWR);
    if ( s->in.fd >= 0 && s->in.fd != s->out.fd )
        (void)shutdown(s->in.fd, SHUT_RDWR);
    if ( s->owns_fds )
        xc_sr__close_pair(s->out.fd, s->in.fd);
    s->owns_fds = false;
    s->out.fd = s->in.fd = -1;
    s->in.start = s->in.end = 0;
    s->back_eof = true;
    s->parked = true;
    s->handshaking = s->recover_in = false;
}

/* What was in the way is told once and does not hide what comes later. */
static void lose(struct xc_sr_sender *s)
{
    const struct xc_sr_recovery *recovery = &s->params->recovery;

    drop_connection(s);
    snprintf(s->loss_why, sizeof(s->loss_why), "%s", s->result->why);
    s->result->why[0] = '\0';
    s->urgent_nr = 0;
    xc_sr__sender_phase(s, XC_SR_PHASE_DISCONNECTED);
    if ( recovery->lost )
        recovery->lost(recovery->ctx, s->loss_why);
}

/* ---- Waiting for another one ------------------------------------------------ */

static void take_connection(struct xc_sr_sender *s, int send_fd, int recv_fd,
                            bool owned)
{
    s->out.fd = send_fd;
    s->in.fd = recv_fd;
    s->owns_fds = owned;
    s->parked = s->back_eof = false;
    s->handshaking = true;
    s->recover_in = false;
    s->at_boundary = true;
    s->heard_us = s->said_us = xc_sr__now_us();
    xc_sr__writer_reset(&s->writer);
    xc_sr__reader_init(&s->back, XC_SR_BACK, s->version);
}

static int give_up(struct xc_sr_sender *s, int rc, const char *why)
{
    s->gave_up = true;
    return xc_sr__sender_fail(s, rc, "%s (%s)", s->loss_why, why);
}

static int wait_connection(struct xc_sr_sender *s, uint64_t deadline_us)
{
    struct xc_sr_control *control = s->params->control;
    int send_fd, recv_fd;

    while ( !xc_sr__control_take_pair(control, &send_fd, &recv_fd) )
    {
        int rc;

        if ( xc_sr__control_stops_waiting(control) )
            return give_up(s, -ECANCELED, "no longer waited for");
        if ( xc_sr__now_us() >= deadline_us )
            return give_up(s, -ETIMEDOUT, "nobody came to take it up again");
        rc = xc_sr__sender_turn(s, deadline_us);
        if ( rc )
        {
            s->gave_up = true;
            return rc;
        }
    }
    take_connection(s, send_fd, recv_fd, true);
    /* A descriptor that is none fails the handshake. */
    (void)xc_sr__set_nonblock(send_fd, true);
    (void)xc_sr__set_nonblock(recv_fd, true);
    return 0;
}

/* ---- What the destination says ------------------------------------------------ */

static int take_head(struct xc_sr_sender *s, const struct xc_sr_record *rec)
{
    const uint8_t *body = rec->body;
    uint64_t nr_pfns = xc_sr__le64(body + 32);
    uint32_t features = xc_sr__le32(body + 28);
    bool arrived;

    if ( memcmp(body, s->session, sizeof(s->session)) != 0 )
        return xc_sr__sender_fail(s, -EPROTO, "%s is for another session",
                                  xc_sr__rec_name(rec->id));
    s->recover_epoch = xc_sr__le64(body + 16);
    s->recover_record = xc_sr__le32(body + 24);
    arrived = s->recover_record == XC_SR_RECOVER_PREP ||
              s->recover_record == XC_SR_RECOVER_OWNER;
    /* Who has nothing to fetch need not say what it has. */
    if ( arrived && nr_pfns < s->nr_pfns )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "POSTCOPY_RECOVER speaks of %llu pages, the "
                                  "guest has %llu",
                                  (unsigned long long)nr_pfns,
                                  (unsigned long long)s->nr_pfns);
    if ( arrived && !s->from_record && (features & ~s->features) )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "POSTCOPY_RECOVER speaks of features 0x%x, "
                                  "0x%x were agreed upon",
                                  features, s->features);
    /* One that has taken a dead process's place may know of fewer. */
    if ( arrived )
        s->features = features;
    xc_sr__pageset_clear(&s->present);
    return 0;
}

static void take_words(struct xc_sr_sender *s, const struct xc_sr_event *ev)
{
    uint64_t nr_words = (s->nr_pfns + 63) / 64;

    for ( uint64_t i = 0; i < ev->count && ev->first + i < nr_words; i++ )
        s->present.words[ev->first + i] = xc_sr__le64(ev->entries + 8 * i);
    /* Its address space may be larger than that of the guest that left. */
    if ( s->nr_pfns % 64 )
        s->present.words[nr_words - 1] &= ~(~0ULL << (s->nr_pfns % 64));
}

int xc_sr__sender_on_recover(struct xc_sr_sender *s,
                             const struct xc_sr_event *ev)
{
    if ( ev->kind == XC_SR_EV_UNKNOWN )
        return 0;
    if ( ev->record.id != XC_SR_REC_POSTCOPY_RECOVER || s->recover_in )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "%s, where POSTCOPY_RECOVER and nothing "
                                  "else was expected",
                                  xc_sr__rec_name(ev->record.id));
    switch ( ev->kind )
    {
    case XC_SR_EV_HEAD:
        return take_head(s, &ev->record);
    case XC_SR_EV_ENTRIES:
        take_words(s, ev);
        return 0;
    case XC_SR_EV_TAIL:
        xc_sr__pageset_recount(&s->present);
        s->recover_in = true;
        return 0;
    default:
        return 0;
    }
}

/* ---- The answer --------------------------------------------------------------- */

static void write_resume(struct xc_sr_sender *s, bool aborted)
{
    xc_sr__write_begin(&s->writer, XC_SR_REC_POSTCOPY_RESUME);
    xc_sr__write_bytes(&s->writer, s->session, sizeof(s->session));
    xc_sr__write_u64(&s->writer, s->epoch);
    xc_sr__write_u32(&s->writer, aborted);
    xc_sr__write_u32(&s->writer, 0);
    xc_sr__write_end(&s->writer, 0);
}

/* What the bitmap lacks is owed, whatever was sent: the bitmap is the truth. */
static int owe_the_rest(struct xc_sr_sender *s)
{
    uint64_t pfn;

    if ( s->from_record )
    {
        xc_sr__pageset_fill(&s->owed_all);
        xc_sr__pageset_subtract(&s->owed_all, &s->present);
    }
    xc_sr__pageset_clear(&s->owed);
    pfn = xc_sr__pageset_next_gap(&s->present, 0);
    for ( ; pfn < s->nr_pfns; )
    {
        if ( !xc_sr__pageset_has(&s->owed_all, pfn) )
            return xc_sr__sender_fail(s, -EPROTO,
                                      "POSTCOPY_RECOVER lacks pfn 0x%llx, "
                                      "which was never announced",
                                      (unsigned long long)pfn);
        xc_sr__pageset_add(&s->owed, pfn);
        pfn = xc_sr__pageset_next_gap(&s->present, pfn + 1);
    }
    /* What this process has to send, the first time that it is asked. */
    if ( s->from_record && !s->stats->pages_announced )
        s->stats->pages_announced = s->owed.count;
    return 0;
}

static int answer_go(struct xc_sr_sender *s, bool commit)
{
    int rc = owe_the_rest(s);

    if ( !rc && s->params->journal.put )
    {
        rc =
            s->params->journal.put(s->params->journal.ctx,
                                   XC_SR_OWNER_COMMITTED, s->session, s->epoch);
        if ( rc )
            return xc_sr__sender_fail(s, rc, "cannot record the epoch: %s",
                                      strerror(-rc));
    }
    if ( rc )
        return rc;
    s->cursor = 0;
    s->urgent_head = s->urgent_nr = 0;
    s->sent_base = s->queued_total;
    xc_sr__window_init(&s->window);
    s->window.enabled = s->features & XC_SR_FEATURE_ACK;
    s->window.sent = s->window.acked = s->sent_base;
    s->asked_us = xc_sr__now_us();
    write_resume(s, false);
    if ( commit )
        xc_sr__sender_write_session(s, XC_SR_REC_POSTCOPY_COMMIT);
    return xc_sr__sender_queue(s);
}

/* Nothing is left to be done there; what it is told is all it waits for. */
static int answer_last(struct xc_sr_sender *s, bool aborted)
{
    uint64_t deadline_us = xc_sr__now_us() + s->params->ready_timeout_us;
    int rc;

    if ( aborted )
        write_resume(s, true);
    else
        xc_sr__write_empty(&s->writer, XC_SR_REC_END);
    rc = xc_sr__sender_queue(s);
    if ( !rc )
        xc_sr__outq_drain(&s->out, deadline_us);
    return rc;
}

static int impossible(struct xc_sr_sender *s)
{
    return xc_sr__sender_fail(
        s, -EPROTO,
        "the destination's record says %s, which cannot be: ours "
        "is %s",
        xc_sr_owner_name(xc_sr__recover_owner(s->recover_record)),
        xc_sr_owner_name(s->owner));
}

static int answer(struct xc_sr_sender *s)
{
    enum xc_sr_answer how = xc_sr__recover_answer(s->owner, s->recover_record);

    if ( s->recover_epoch <= s->epoch )
        return xc_sr__sender_fail(
            s, -ESTALE, "POSTCOPY_RECOVER has epoch %llu, the last was %llu",
            (unsigned long long)s->recover_epoch, (unsigned long long)s->epoch);
    s->epoch = s->recover_epoch;
    s->handshaking = false;
    switch ( how )
    {
    case XC_SR_ANSWER_GO:
    case XC_SR_ANSWER_COMMIT:
        return answer_go(s, how == XC_SR_ANSWER_COMMIT);
    case XC_SR_ANSWER_ABORTED:
    case XC_SR_ANSWER_END:
        return answer_last(s, how == XC_SR_ANSWER_ABORTED);
    case XC_SR_ANSWER_DONE:
        s->running = s->complete = true;
        return 0;
    case XC_SR_ANSWER_RESUME_HERE:
        if ( s->running )
            return impossible(s);
        s->naked = true;
        return xc_sr__sender_fail(s, -ECONNABORTED,
                                  "the guest never ran at the destination and "
                                  "never will");
    case XC_SR_ANSWER_PARK:
        return xc_sr__sender_fail(
            s, -ENODATA,
            "the destination's record says %s: the guest cannot "
            "be made whole there",
            xc_sr_owner_name(xc_sr__recover_owner(s->recover_record)));
    case XC_SR_ANSWER_IMPOSSIBLE:
        break;
    }
    return impossible(s);
}

static int shake_hands(struct xc_sr_sender *s)
{
    uint64_t deadline_us = xc_sr__now_us() + s->params->ready_timeout_us;

    while ( !s->recover_in )
    {
        int rc = xc_sr__sender_turn(s, deadline_us);

        if ( rc )
            return rc;
        if ( !s->recover_in && xc_sr__now_us() >= deadline_us )
            return xc_sr__sender_fail(s, -ETIMEDOUT,
                                      "no POSTCOPY_RECOVER came");
    }
    return answer(s);
}

/* ---- From loss to recovery ------------------------------------------------------ */

static void recovered(struct xc_sr_sender *s)
{
    const struct xc_sr_recovery *recovery = &s->params->recovery;

    s->stats->recoveries++;
    s->result->why[0] = '\0';
    if ( !s->complete )
        xc_sr__sender_phase(s, s->running ? XC_SR_PHASE_POSTCOPY
                                          : XC_SR_PHASE_HANDOVER);
    xc_sr__info(s->log, "domain %u: recovered (epoch %llu), %llu pages to go",
                s->hv->info.domid, (unsigned long long)s->epoch,
                (unsigned long long)s->owed.count);
    if ( recovery->recovered )
        recovery->recovered(recovery->ctx);
}

int xc_sr__sender_recover(struct xc_sr_sender *s)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t timeout_us = s->params->recovery.timeout_us;
    uint64_t deadline_us =
        timeout_us ? start_us + timeout_us : XC_SR_NO_DEADLINE;
    int rc;

    s->stats->losses++;
    /* Asked while there was a connection: that was not for this one. */
    (void)xc_sr__control_stops_waiting(s->params->control);
    do
    {
        lose(s);
        rc = wait_connection(s, deadline_us);
        if ( !rc )
            rc = shake_hands(s);
    } while ( rc && xc_sr__sender_may_recover(s) );
    s->stats->disconnected_us += xc_sr__now_us() - start_us;
    if ( !rc )
        recovered(s);
    return rc;
}

int xc_sr__sender_push_through(struct xc_sr_sender *s)
{
    int rc = xc_sr__sender_push(s);

    while ( rc && xc_sr__sender_may_recover(s) )
    {
        rc = xc_sr__sender_recover(s);
        if ( !rc && !s->complete )
            rc = xc_sr__sender_push(s);
    }
    return rc;
}

int xc_sr__sender_recover_from(struct xc_sr_sender *s)
{
    int rc;

    s->from_record = s->prepared = s->upper_done = s->advised = s->ready = true;
    s->stats->transition_us = s->stats->commit_us = xc_sr__now_us();
    s->stats->postcopy = true;
    /* The dead process has: if the guest is given back it has to be resumed. */
    s->suspend_asked = s->owner == XC_SR_OWNER_COMMITTED;
    take_connection(s, s->out.fd, s->in.fd, false);
    rc = shake_hands(s);
    if ( !rc )
        recovered(s);
    return rc;
}

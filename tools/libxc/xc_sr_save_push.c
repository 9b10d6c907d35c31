/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_push.c: the push: what is owed, faulted pages first, until the
 * destination has everything.
 *
 * Called from the timeline in xc_sr_save.c, once for each connection.  Also
 * says COMMIT when it is due; what it may be due for is read by
 * xc_sr_save_postcopy.c.
 *
 * Spec: "Post-copy", "Hand-over".
 */
#include <errno.h>

#include "xc_sr_save.h"

/* Faulted pages put into the queue before the wire is looked at again. */
#define URGENT_BURST 8u
/* Of ready_timeout_us, for an answer of a peer that is otherwise alive. */
#define ANSWER_WAITS 4u
/* Until the guest runs: a rest so many times as long as a record took. */
#define REST_SHARE   7u
/* However slow a moment was, the next one may be better. */
#define REST_MAX_US  250000u

/* ---- What goes next -------------------------------------------------------------------- */

static int send_urgent(struct xc_sr_sender *s)
{
    int rc = 0;

    for ( unsigned int n = 0; !rc && n < URGENT_BURST && s->urgent_nr; n++ )
    {
        uint64_t pfn = s->urgent[s->urgent_head];

        s->urgent_head = (s->urgent_head + 1) % XC_SR_URGENT_MAX;
        s->urgent_nr--;
        if ( !xc_sr__pageset_remove(&s->owed, pfn) )
            continue; /* the push came by in the meantime */
        rc = xc_sr__sender_batch(s, &pfn, 1, XC_SR_CLASS_FAULT);
    }
    return rc;
}

static int send_bulk(struct xc_sr_sender *s)
{
    uint64_t pfns[XC_SR_BULK_PAGES];
    uint64_t before = s->queued_total;
    unsigned int nr = 0, most = xc_sr__rate_pages(&s->rate, XC_SR_BULK_PAGES);
    int rc;

    xc_sr__hv_look_ahead(s->hv, &s->owed, s->cursor);
    while ( nr < most && s->owed.count )
    {
        uint64_t pfn = xc_sr__pageset_next(&s->owed, s->cursor);

        if ( pfn >= s->nr_pfns )
        {
            /* A record does not wrap: runs in memory stay runs. */
            s->cursor = 0;
            if ( nr )
                break;
            continue;
        }
        xc_sr__pageset_remove(&s->owed, pfn);
        pfns[nr++] = pfn;
        s->cursor = pfn + 1;
    }
    if ( nr == 0 )
        return 0;
    rc = xc_sr__sender_batch(s, pfns, nr, XC_SR_CLASS_PUSH);
    xc_sr__rate_charge(&s->rate, s->queued_total - before);
    return rc;
}

/*
 * The guest stands still until both hosts are done with their toolstacks'
 * part, which wants the processors and the connection for itself: COMMIT
 * queues behind all that is in flight.  So bulk pages, which nobody waits for,
 * go one record at a time until then, with a rest after each.
 */
static bool rests(struct xc_sr_sender *s, uint64_t *until_us)
{
    struct xc_sr_pace *p = &s->pace;

    if ( s->running || s->version < 3 || !s->window.enabled )
        return false;
    if ( xc_sr__window_in_flight(&s->window) )
        return true;
    if ( p->sent_us )
    {
        uint64_t rest_us = REST_SHARE * (s->now_us - p->sent_us);

        p->rest_until_us =
            s->now_us + (rest_us < REST_MAX_US ? rest_us : REST_MAX_US);
        p->sent_us = 0;
    }
    if ( s->now_us >= p->rest_until_us )
        return false;
    if ( *until_us > p->rest_until_us )
        *until_us = p->rest_until_us;
    return true;
}

/* Something to write, if there is room for it on the wire. */
static int queue_next(struct xc_sr_sender *s, uint64_t *until_us)
{
    if ( xc_sr__outq_len(&s->out) || s->nr_mapped )
        return 0;
    if ( s->urgent_nr )
        return send_urgent(s);
    if ( !s->owed.count || rests(s, until_us) ||
         !xc_sr__window_open(&s->window) ||
         !xc_sr__rate_allows(&s->rate, s->now_us, until_us) )
        return 0;
    s->pace.sent_us = s->now_us;
    return send_bulk(s);
}

/* ---- Until everything is there ------------------------------------------------------------ */

static bool commit_is_due(const struct xc_sr_sender *s)
{
    return s->prepared && s->owner == XC_SR_OWNER_NONE;
}

/*
 * The guest stands still until PREPARED and RUNNING are here, so a peer that
 * is merely busy taking pages gets no more time for them than one that is
 * silent, but for what lies in the pipe before its answer.
 */
static int check_answers(struct xc_sr_sender *s, uint64_t now_us)
{
    uint64_t patience_us = ANSWER_WAITS * s->params->ready_timeout_us;
    const struct xc_sr_stats *stats = s->stats;

    if ( s->version < 3 || s->running )
        return 0;
    if ( !s->prepared && now_us - stats->transition_us > patience_us )
        return xc_sr__sender_fail(s, -ETIMEDOUT,
                                  "the destination takes pages but does not "
                                  "say PREPARED");
    if ( s->prepared && s->asked_us && now_us - s->asked_us > patience_us )
        return xc_sr__sender_fail(s, -ETIMEDOUT,
                                  "the destination takes pages but does not "
                                  "say RUNNING");
    return 0;
}

int xc_sr__sender_push(struct xc_sr_sender *s)
{
    struct xc_sr_stall stall = { .deadline_us = 0 };
    int rc = 0;

    /* Version 2 says nothing when the guest runs there. */
    if ( s->version < 3 )
        xc_sr__sender_phase(s, XC_SR_PHASE_POSTCOPY);

    xc_sr__rate_start(&s->rate, s->params->max_postcopy_bandwidth_bytes_per_s);
    s->pace = (struct xc_sr_pace){ .sent_us = 0 };
    xc_sr__window_forget_rtt(&s->window);
    s->spins = true;
    while ( !s->complete )
    {
        uint64_t until_us = s->now_us + s->params->ready_timeout_us;

        if ( commit_is_due(s) )
            rc = xc_sr__sender_commit(s);
        if ( !rc )
            rc = queue_next(s, &until_us);
        if ( !rc )
            rc = xc_sr__sender_turn_or_stall(s, until_us, &stall);
        if ( rc )
            return rc;
        if ( s->naked )
            return -ECONNABORTED;
        rc = check_answers(s, s->now_us);
        if ( rc )
            return rc;
    }
    return 0;
}

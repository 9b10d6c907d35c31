/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_precopy.c: from the first page to the suspended guest.
 *
 * Called from the timeline in xc_sr_save.c: rounds of pre-copy under the
 * policy, DISCARD of what will come by post-copy while the guest still runs,
 * suspending, and the resume set: the pages a guest touches while it suspends
 * are the ones it touches first when it resumes, some of them in ways that
 * may not wait for a page (Xen refuses to map a missing vcpu_info page), so
 * they travel while it is suspended.
 *
 * Spec: "Pre-copy", "POSTCOPY_DISCARD", "The resume set".
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_save.h"

#define SUSPEND_TIMEOUT_US   60000000u /* as long as stock libxl waits */
#define WINDOW_US            2000u     /* between two looks at the dirty log */
#define LOOK_SHARE           4u /* ... or so many times what a look takes */
#define DISCARD_TIMEOUT_US   5000000u /* then the rest is done in the downtime */
#define DISCARD_TURNS        8u
/* So few can be announced while the guest stands still: under a millisecond. */
#define DISCARD_ENOUGH_PAGES 256u
#define PLAIN_FLIGHT         (1u << 20) /* octets: what a gigabit takes 8 ms for */

/*
 * Batches ahead of the wire: enough to keep it busy, no more.  Nothing urgent
 * comes behind them, and where processes wait for their processor a window
 * that was made to keep faults short leaves the wire idle.
 */
static bool may_queue(struct xc_sr_sender *s, uint64_t *wait_until_us)
{
    return xc_sr__outq_len(&s->out) == 0 &&
           (xc_sr__window_in_flight(&s->window) < PLAIN_FLIGHT ||
            xc_sr__window_open(&s->window)) &&
           xc_sr__rate_allows(&s->rate, s->now_us, wait_until_us);
}

static int send_some(struct xc_sr_sender *s, struct xc_sr_pageset *set,
                     uint64_t *pfn, enum xc_sr_class class)
{
    uint64_t pfns[XC_SR_BULK_PAGES];
    uint64_t before = s->queued_total;
    unsigned int nr = 0, most = xc_sr__rate_pages(&s->rate, XC_SR_BULK_PAGES);
    int rc;

    xc_sr__hv_look_ahead(s->hv, set, *pfn);
    while ( nr < most )
    {
        *pfn = xc_sr__pageset_next(set, *pfn);
        if ( *pfn >= set->nr_pfns )
            break;
        xc_sr__pageset_remove(set, *pfn);
        pfns[nr++] = (*pfn)++;
    }
    if ( nr == 0 )
        return 0;
    rc = xc_sr__sender_batch(s, pfns, nr, class);
    xc_sr__rate_charge(&s->rate, s->queued_total - before);
    return rc;
}

int xc_sr__sender_send_set(struct xc_sr_sender *s, struct xc_sr_pageset *set,
                           enum xc_sr_class class)
{
    struct xc_sr_stall stall = { .deadline_us = 0 };
    uint64_t pfn = 0;
    int rc = 0;

    while ( !rc && set->count )
    {
        uint64_t until_us = s->now_us + s->params->ready_timeout_us;

        if ( may_queue(s, &until_us) )
            rc = send_some(s, set, &pfn, class);
        if ( !rc )
            rc = xc_sr__sender_turn_or_stall(s, until_us, &stall);
    }
    return rc;
}

/* ---- Rounds -------------------------------------------------------------------- */

static int fetch_dirty(struct xc_sr_sender *s, enum xc_sr_hv_fetch how,
                       struct xc_sr_pageset *set, uint64_t *count_r)
{
    uint64_t count = 0;
    /* A backend may give its mappings up with this: none waits to be sent. */
    int rc = xc_sr__sender_drain(s);

    if ( rc )
        return rc;
    xc_sr__sender_unmap(s);
    rc = xc_sr__hv_dirty_fetch(s->hv, how, set, &count);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot read the dirty log: %s",
                                  strerror(-rc));
    if ( count_r )
        *count_r = count;
    return 0;
}

/* Turns to post-copy in mid-round are honoured between two batches. */
static bool leave_round(const struct xc_sr_sender *s)
{
    return s->params->policy.allow_postcopy &&
           xc_sr__control_postcopy(s->params->control);
}

static int send_round(struct xc_sr_sender *s, uint64_t *sent_r)
{
    uint64_t pfn = 0, before = s->stats->pages_precopy;
    struct xc_sr_stall stall = { .deadline_us = 0 };
    int rc = 0;

    while ( !rc && pfn < s->nr_pfns && s->todo.count && !leave_round(s) )
    {
        uint64_t until_us = s->now_us + s->params->ready_timeout_us;

        if ( may_queue(s, &until_us) )
            rc = send_some(s, &s->todo, &pfn, XC_SR_CLASS_PRECOPY);
        if ( !rc )
            rc = xc_sr__sender_turn_or_stall(s, until_us, &stall);
        if ( xc_sr__pageset_next(&s->todo, pfn) >= s->nr_pfns )
            break;
    }
    *sent_r = s->stats->pages_precopy - before;
    return rc;
}

static void note_round(struct xc_sr_sender *s, uint64_t start_us,
                       uint64_t bytes_before, uint64_t sent_pages,
                       uint64_t dirty_pages)
{
    struct xc_sr_stats *stats = s->stats;
    uint64_t duration_us = xc_sr__now_us() - start_us;
    uint64_t pages_bytes = sent_pages * XC_SR_PAGE_SIZE;
    struct xc_sr_round_stats round = {
        .sent_pages = sent_pages,
        .dirty_pages = dirty_pages,
        .duration_us = duration_us ? duration_us : 1,
        .bytes = s->queued_total - bytes_before,
    };

    /* A page of zeroes is as good as sent: what counts is pages a second. */
    if ( pages_bytes < round.bytes )
        pages_bytes = round.bytes;
    s->bandwidth = pages_bytes * 1000000u / round.duration_us;
    s->dirty_rate_pages = dirty_pages * 1000000u / round.duration_us;
    if ( stats->nr_rounds < XC_SR_MAX_ROUNDS )
        stats->rounds[stats->nr_rounds] = round;
    stats->nr_rounds++;
    xc_sr__info(s->log,
                "domain %u: round %u: %llu pages sent, %llu dirty, %llu ms",
                s->hv->info.domid, stats->nr_rounds,
                (unsigned long long)sent_pages, (unsigned long long)dirty_pages,
                (unsigned long long)(round.duration_us / 1000));
}

static enum xc_sr_decision decide(struct xc_sr_sender *s)
{
    struct xc_sr_policy_input in = {
        .iteration = s->stats->nr_rounds,
        .dirty_pages = s->todo.count,
        .dirty_pages_per_s = s->dirty_rate_pages,
        .bandwidth_bytes_per_s = s->bandwidth,
        .postcopy_asked_now = leave_round(s),
    };

    return xc_sr_policy_decide(&s->params->policy, &in);
}

static int one_round(struct xc_sr_sender *s)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t bytes_before = s->queued_total;
    uint64_t sent = 0, dirty = 0;
    int rc = send_round(s, &sent);

    if ( rc )
        return rc;
    rc = fetch_dirty(s, XC_SR_HV_FETCH_CLEAN, &s->todo, &dirty);
    if ( rc )
        return rc;
    note_round(s, start_us, bytes_before, sent, dirty);
    return 0;
}

/* What is a hole now is not owed; should a page come there, it is dirty. */
static int drop_holes(struct xc_sr_sender *s)
{
    uint64_t pfns[XC_SR_HV_BATCH];
    uint32_t types[XC_SR_HV_BATCH];
    uint64_t pfn = 0;
    int rc = 0;

    while ( !rc && pfn < s->nr_pfns )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&s->todo, &pfn, pfns, XC_SR_HV_BATCH);

        rc = xc_sr__hv_page_types(s->hv, pfns, nr, types);
        if ( rc )
            return xc_sr__sender_fail(s, rc, "cannot ask for page types: %s",
                                      strerror(-rc));
        for ( unsigned int i = 0; i < nr; i++ )
            if ( types[i] == XC_SR_PTYPE_XTAB )
                xc_sr__pageset_remove(&s->todo, pfns[i]);
        rc = xc_sr__sender_turn(s, 0);
    }
    return rc;
}

int xc_sr__sender_precopy(struct xc_sr_sender *s,
                          enum xc_sr_decision *decision_r)
{
    enum xc_sr_decision decision;
    int rc;

    rc = xc_sr__hv_dirty_on(s->hv);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot log dirty pages: %s",
                                  strerror(-rc));
    s->dirty_log_on = true;
    xc_sr__rate_start(&s->rate, s->params->max_bandwidth_bytes_per_s);
    xc_sr__pageset_fill(&s->todo);
    rc = drop_holes(s);
    if ( rc )
        return rc;
    while ( (decision = decide(s)) == XC_SR_DECIDE_CONTINUE )
    {
        rc = one_round(s);
        if ( rc )
            return rc;
    }
    xc_sr__rate_start(&s->rate, 0); /* the guest is about to wait for us */
    *decision_r = decision;
    return 0;
}

/* ---- DISCARD ------------------------------------------------------------------- */

struct runs
{
    uint64_t first;
    uint64_t nr_pages;
    uint32_t ptype;
    uint32_t in_record;
    size_t count_at; /* where the record's count stands in the writer */
};

static int close_record(struct xc_sr_sender *s, struct runs *r)
{
    if ( r->in_record == 0 )
        return 0;
    xc_sr__put_le32(s->writer.buf + r->count_at, r->in_record);
    xc_sr__write_end(&s->writer, 0);
    r->in_record = 0;
    s->stats->bytes_announce += s->writer.len;
    return xc_sr__sender_queue(s);
}

static int flush_run(struct xc_sr_sender *s, struct runs *r)
{
    if ( r->nr_pages == 0 )
        return 0;
    if ( r->in_record == 0 )
    {
        xc_sr__write_begin(&s->writer, XC_SR_REC_POSTCOPY_DISCARD);
        r->count_at = s->writer.len;
        xc_sr__write_u32(&s->writer, 0);
        xc_sr__write_u32(&s->writer, 0);
    }
    xc_sr__write_u64(&s->writer,
                     r->first | (uint64_t)r->ptype << XC_SR_ENTRY_TYPE_SHIFT);
    xc_sr__write_u64(&s->writer, r->nr_pages);
    if ( s->writer.error )
        return s->writer.error;
    r->in_record++;
    r->nr_pages = 0;
    /* Records of this size keep the wire's other traffic flowing. */
    return r->in_record >= 4096 ? close_record(s, r) : 0;
}

static int discard_batch(struct xc_sr_sender *s, struct runs *r,
                         const uint64_t *pfns, unsigned int nr)
{
    uint32_t types[XC_SR_HV_BATCH];
    int rc = xc_sr__hv_page_types(s->hv, pfns, nr, types);

    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot ask for page types: %s",
                                  strerror(-rc));
    for ( unsigned int i = 0; !rc && i < nr; i++ )
    {
        /* Stays in todo: sent as a bare entry, or as a plain page. */
        if ( !xc_sr__ptype_has_data(types[i]) ||
             xc_sr__pageset_has(&s->pinned, pfns[i]) )
            continue;
        xc_sr__pageset_move(&s->todo, &s->announced, pfns[i]);
        if ( r->nr_pages && r->first + r->nr_pages == pfns[i] &&
             r->ptype == types[i] )
        {
            r->nr_pages++;
            continue;
        }
        rc = flush_run(s, r);
        r->first = pfns[i];
        r->nr_pages = 1;
        r->ptype = types[i];
    }
    return rc;
}

static int discard_todo(struct xc_sr_sender *s)
{
    uint64_t pfns[XC_SR_HV_BATCH];
    struct runs runs = { 0 };
    uint64_t pfn = 0;
    int rc = 0;

    while ( !rc && pfn < s->nr_pfns )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&s->todo, &pfn, pfns, XC_SR_HV_BATCH);

        if ( nr )
            rc = discard_batch(s, &runs, pfns, nr);
        if ( !rc )
            rc = xc_sr__sender_room(s);
    }
    if ( !rc )
        rc = flush_run(s, &runs);
    if ( !rc )
        rc = close_record(s, &runs);
    /* What may not be announced is sent now, while nobody waits. */
    if ( !rc )
        rc = xc_sr__sender_send_set(s, &s->todo, XC_SR_CLASS_PRECOPY);
    xc_sr__window_sent(&s->window, s->queued_total, xc_sr__now_us());
    return rc;
}

static int find_pinned(struct xc_sr_sender *s)
{
    int rc = xc_sr__hv_pinned(s->hv, &s->pinned);

    if ( rc )
        return xc_sr__sender_fail(
            s, rc, "cannot tell which pages may not be missing: %s",
            strerror(-rc));
    return 0;
}

/* The destination has acted on all that was sent, or takes too long. */
static int wait_acted(struct xc_sr_sender *s)
{
    uint64_t mark = s->queued_total;
    uint64_t deadline_us = xc_sr__now_us() + DISCARD_TIMEOUT_US;

    while ( s->window.enabled && s->window.acked < mark &&
            xc_sr__now_us() < deadline_us )
    {
        int rc = xc_sr__sender_turn(s, deadline_us);

        if ( rc )
            return rc;
    }
    return 0;
}

/*
 * Paging out at the destination takes its time, and the guest is better off
 * running meanwhile.  What it dirties in that time is announced as well; a
 * page that was announced may be dirtied again for nothing, so this ends.
 */
int xc_sr__sender_discard(struct xc_sr_sender *s)
{
    int rc = find_pinned(s);

    for ( unsigned int n = 0; !rc && n < DISCARD_TURNS; n++ )
    {
        if ( n && s->todo.count <= DISCARD_ENOUGH_PAGES )
            break;
        rc = discard_todo(s);
        if ( !rc )
            rc = wait_acted(s);
        if ( s->announced.count == s->nr_pfns )
            break; /* nothing can be added */
        if ( !rc )
            rc = fetch_dirty(s, XC_SR_HV_FETCH_CLEAN, &s->todo, NULL);
        xc_sr__pageset_subtract(&s->todo, &s->announced);
    }
    return rc;
}

/* ---- Suspending ------------------------------------------------------------------ */

/* No longer near the end: plainly owed. */
static void retire(struct xc_sr_sender *s, struct xc_sr_pageset *set)
{
    if ( set->count == 0 )
        return;
    xc_sr__pageset_or(&s->todo, set);
    xc_sr__pageset_clear(set);
}

/*
 * The oldest window makes room.  vCPUs may run their suspend paths any time
 * apart (the host is busy), so a small window is kept however old it is.
 */
static struct xc_sr_pageset *next_window(struct xc_sr_sender *s,
                                         unsigned int nr)
{
    struct xc_sr_pageset *w = &s->windows[nr % XC_SR_RESUME_WINDOWS];

    if ( s->older.count + w->count > XC_SR_RESUME_OLDER_PAGES )
        retire(s, &s->older);
    if ( w->count > XC_SR_RESUME_OLDER_PAGES )
        retire(s, w);
    if ( w->count )
    {
        xc_sr__pageset_or(&s->older, w);
        xc_sr__pageset_clear(w);
    }
    return w;
}

/* A look costs the guest more than its time: it shall be the lesser part. */
static uint64_t window_after(uint64_t fetch_us)
{
    uint64_t us = LOOK_SHARE * fetch_us;

    return us < WINDOW_US ? WINDOW_US : us;
}

static int wait_suspended(struct xc_sr_sender *s, unsigned int *nr_windows_r)
{
    uint64_t deadline_us = xc_sr__now_us() + SUSPEND_TIMEOUT_US;
    enum xc_sr_hv_suspend state = XC_SR_HV_SUSPEND_ASKED;
    uint64_t window_us = WINDOW_US;
    unsigned int nr = 0;

    for ( ;; )
    {
        int rc = xc_sr__hv_suspend_poll(s->hv, window_us, &state);
        uint64_t start_us = xc_sr__now_us();

        if ( rc )
            return xc_sr__sender_fail(s, rc, "the guest does not suspend: %s",
                                      strerror(-rc));
        if ( state == XC_SR_HV_SUSPENDED )
            break;
        if ( state == XC_SR_HV_SUSPEND_SEEN )
        {
            /* What it did until now belongs to its workload. */
            for ( unsigned int i = 0; i < XC_SR_RESUME_WINDOWS; i++ )
                retire(s, &s->windows[i]);
            retire(s, &s->older);
            nr = 0;
            rc = fetch_dirty(s, XC_SR_HV_FETCH_CLEAN, &s->todo, NULL);
        }
        else
            rc = fetch_dirty(s, XC_SR_HV_FETCH_CLEAN, next_window(s, nr++),
                             NULL);
        window_us = window_after(xc_sr__now_us() - start_us);
        if ( !rc )
            rc = xc_sr__sender_turn(s, 0);
        if ( rc )
            return rc;
        if ( xc_sr__now_us() >= deadline_us )
            return xc_sr__sender_fail(s, -ETIMEDOUT,
                                      "the guest does not answer the request "
                                      "to suspend");
    }
    *nr_windows_r = nr;
    return 0;
}

/* Of the pinned pages, those that the destination has not got. */
static int add_pinned(struct xc_sr_sender *s, struct xc_sr_pageset *set)
{
    uint64_t pfn = 0;
    int rc = find_pinned(s);

    if ( rc )
        return rc;
    while ( (pfn = xc_sr__pageset_next(&s->pinned, pfn)) < s->nr_pfns )
    {
        if ( xc_sr__pageset_has(&s->todo, pfn) ||
             xc_sr__pageset_has(&s->announced, pfn) )
            xc_sr__pageset_add(set, pfn);
        pfn++;
    }
    return 0;
}

/* For a test alone: what becomes of a guest whose resume set comes later? */
static void spoil_resume_set(struct xc_sr_sender *s)
{
    if ( !s->stats->postcopy || !getenv("XEN_POSTCOPY_NO_RESUME_SET") )
        return;
    for ( unsigned int i = 0; i < XC_SR_RESUME_WINDOWS; i++ )
        retire(s, &s->windows[i]);
    retire(s, &s->older);
}

static int send_resume_set(struct xc_sr_sender *s)
{
    struct xc_sr_pageset *set = &s->older;
    uint64_t start_us = xc_sr__now_us();
    int rc;

    spoil_resume_set(s);
    rc = s->stats->postcopy ? add_pinned(s, set) : 0;

    if ( rc )
        return rc;

    for ( unsigned int i = 0; i < XC_SR_RESUME_WINDOWS; i++ )
    {
        xc_sr__pageset_or(set, &s->windows[i]);
        xc_sr__pageset_clear(&s->windows[i]);
    }
    xc_sr__pageset_subtract(&s->announced, set);
    xc_sr__pageset_subtract(&s->todo, set);
    rc = xc_sr__sender_send_set(s, set, XC_SR_CLASS_RESUME_SET);
    s->stats->suspend_resume_set_us = xc_sr__now_us() - start_us;
    return rc;
}

int xc_sr__sender_suspend(struct xc_sr_sender *s)
{
    unsigned int nr_windows = 0;
    uint64_t start_us;
    int rc;

    /* The dirty log starts afresh where the request does. */
    rc = fetch_dirty(s, XC_SR_HV_FETCH_CLEAN, &s->todo, NULL);
    if ( rc )
        return rc;
    s->stats->suspend_request_us = xc_sr__now_us();
    s->suspend_asked = true;
    rc = xc_sr__hv_suspend_start(s->hv);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot ask the guest to suspend: %s",
                                  strerror(-rc));
    rc = wait_suspended(s, &nr_windows);
    if ( rc )
        return rc;
    start_us = xc_sr__now_us();
    s->stats->suspended_us = start_us;
    rc = fetch_dirty(s, XC_SR_HV_FETCH_FINAL, next_window(s, nr_windows), NULL);
    s->stats->suspend_dirty_us = xc_sr__now_us() - start_us;
    return rc ? rc : send_resume_set(s);
}

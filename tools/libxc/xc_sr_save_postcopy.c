/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_postcopy.c: the guest is suspended; from here on pages are owed.
 *
 * Called from the timeline in xc_sr_save.c: announcing what is owed, the point
 * of no return, and everything the destination says on the back channel
 * (on_*(), one for each row of the record table's back half).
 *
 * Spec: "Post-copy", "Back channel", "Hand-over".
 */
#include <errno.h>

#include "xc_sr_save.h"

/* ---- Announcing ------------------------------------------------------------------ */

static int announce_batch(struct xc_sr_sender *s, const uint64_t *pfns,
                          unsigned int nr)
{
    uint32_t types[XC_SR_HV_BATCH];
    int rc = xc_sr__hv_page_types(s->hv, pfns, nr, types);

    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot ask for page types: %s",
                                  strerror(-rc));
    xc_sr__write_begin(&s->writer, XC_SR_REC_POSTCOPY_PFNS);
    xc_sr__write_u32(&s->writer, nr);
    xc_sr__write_u32(&s->writer, 0);
    for ( unsigned int i = 0; i < nr; i++ )
    {
        xc_sr__write_u64(&s->writer, pfns[i] | (uint64_t)types[i]
                                                   << XC_SR_ENTRY_TYPE_SHIFT);
        if ( xc_sr__ptype_has_data(types[i]) )
            xc_sr__pageset_add(&s->owed, pfns[i]);
    }
    xc_sr__write_end(&s->writer, 0);
    s->stats->bytes_announce += s->writer.len;
    return xc_sr__sender_queue(s);
}

int xc_sr__sender_announce(struct xc_sr_sender *s)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t pfns[XC_SR_HV_BATCH];
    uint64_t pfn = 0;
    int rc;

    xc_sr__pageset_or(&s->owed, &s->announced);
    xc_sr__pageset_subtract(&s->todo, &s->announced);
    xc_sr__write_empty(&s->writer, XC_SR_REC_POSTCOPY_PFNS_BEGIN);
    rc = xc_sr__sender_queue(s);
    while ( !rc && pfn < s->nr_pfns )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&s->todo, &pfn, pfns, XC_SR_HV_BATCH);

        if ( nr )
            rc = announce_batch(s, pfns, nr);
        if ( !rc )
            rc = xc_sr__sender_room(s);
    }
    if ( rc )
        return rc;
    xc_sr__pageset_clear(&s->todo);
    xc_sr__pageset_or(&s->owed_all, &s->owed);
    s->stats->pages_announced = s->owed.count;
    xc_sr__write_empty(&s->writer, XC_SR_REC_POSTCOPY_TRANSITION);
    s->stats->suspend_pfns_us = xc_sr__now_us() - start_us;
    return xc_sr__sender_queue(s);
}

/* ---- The point of no return --------------------------------------------------------- */

void xc_sr__sender_write_session(struct xc_sr_sender *s, enum xc_sr_rec rec)
{
    xc_sr__write_begin(&s->writer, rec);
    xc_sr__write_bytes(&s->writer, s->session, sizeof(s->session));
    xc_sr__write_u64(&s->writer, s->epoch);
    xc_sr__write_end(&s->writer, 0);
}

/*
 * After this the source never resumes the guest on its own.  Recorded first,
 * said in a later step (PROTOCOL, "Source").
 */
int xc_sr__sender_commit(struct xc_sr_sender *s)
{
    int rc = xc_sr__hv_retain(s->hv);

    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot retain the guest: %s",
                                  strerror(-rc));
    if ( s->params->journal.put )
        rc =
            s->params->journal.put(s->params->journal.ctx,
                                   XC_SR_OWNER_COMMITTED, s->session, s->epoch);
    if ( rc == -ENOTRECOVERABLE )
    {
        s->owner = XC_SR_OWNER_COMMITTED;
        s->commit_unsaid = true;
    }
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot record COMMITTED: %s",
                                  strerror(-rc));
    s->owner = XC_SR_OWNER_COMMITTED;
    s->stats->commit_us = s->asked_us = xc_sr__now_us();
    if ( s->version < 3 )
        return 0; /* TRANSITION and what follows it says it */
    xc_sr__sender_write_session(s, XC_SR_REC_POSTCOPY_COMMIT);
    return xc_sr__sender_queue(s);
}

/* ---- The back channel ------------------------------------------------------------------ */

static void take_text(char *to, size_t to_len, struct xc_sr_cursor *c,
                      uint32_t text_len)
{
    const uint8_t *text = xc_sr__cursor_bytes(c, text_len);

    if ( text && text_len < to_len )
    {
        memcpy(to, text, text_len);
        to[text_len] = '\0';
    }
}

static int wrong_session(struct xc_sr_sender *s, const struct xc_sr_record *rec)
{
    return xc_sr__sender_fail(s, -EPROTO, "%s is for another session",
                              xc_sr__rec_name(rec->id));
}

/* PREPARED, RUNNING, NAK: both the session and its connection must be ours. */
static int check_session(struct xc_sr_sender *s, const struct xc_sr_record *rec)
{
    if ( memcmp(rec->body, s->session, sizeof(s->session)) != 0 )
        return wrong_session(s, rec);
    if ( xc_sr__le64(rec->body + sizeof(s->session)) != s->epoch )
        return xc_sr__sender_fail(
            s, -EPROTO, "%s is of epoch %llu, this connection is %llu",
            xc_sr__rec_name(rec->id),
            (unsigned long long)xc_sr__le64(rec->body + sizeof(s->session)),
            (unsigned long long)s->epoch);
    return 0;
}

static int refuse(struct xc_sr_sender *s, uint32_t reason, const char *text)
{
    s->result->refused = true;
    s->result->refuse_reason = reason;
    s->naked = true;
    return xc_sr__sender_fail(s, -EOPNOTSUPP, "refused by the destination: %s",
                              text[0] ? text : xc_sr_reason_name(reason));
}

static int on_postcopy_ready(struct xc_sr_sender *s,
                             const struct xc_sr_record *rec)
{
    struct xc_sr_cursor c;
    char text[XC_SR_MAX_TEXT + 1] = "";
    uint32_t reason, features, text_len;

    if ( memcmp(rec->body, s->session, sizeof(s->session)) != 0 )
        return wrong_session(s, rec);
    xc_sr__cursor_init(&c, rec->body, rec->length);
    (void)xc_sr__cursor_bytes(&c, sizeof(s->session));
    reason = xc_sr__cursor_u32(&c);
    features = xc_sr__cursor_u32(&c);
    text_len = xc_sr__cursor_u32(&c);
    (void)xc_sr__cursor_u32(&c);
    take_text(text, sizeof(text), &c, text_len);
    if ( reason != XC_SR_REASON_NONE )
        return refuse(s, reason, text);
    if ( features & ~(XC_SR_FEATURES_ALL & ~s->params->deny_features) )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "READY accepts features 0x%x that were "
                                  "not offered",
                                  features);
    s->features = features;
    s->ready = true;
    return 0;
}

static int on_postcopy_prepared(struct xc_sr_sender *s,
                                const struct xc_sr_record *rec)
{
    int rc = check_session(s, rec);

    if ( rc )
        return rc;
    if ( s->stats->transition_us == 0 )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "PREPARED before everything was sent");
    s->prepared = true;
    s->stats->prepared_us = xc_sr__now_us();
    return 0;
}

static int on_postcopy_running(struct xc_sr_sender *s,
                               const struct xc_sr_record *rec)
{
    int rc = check_session(s, rec);

    if ( rc )
        return rc;
    if ( s->owner != XC_SR_OWNER_COMMITTED )
        return xc_sr__sender_fail(s, -EPROTO, "RUNNING without COMMIT");
    s->running = true;
    s->stats->running_us = xc_sr__now_us();
    xc_sr__sender_phase(s, XC_SR_PHASE_POSTCOPY);
    return 0;
}

static int on_postcopy_nak(struct xc_sr_sender *s,
                           const struct xc_sr_record *rec)
{
    static const uint8_t nobody[16];
    struct xc_sr_cursor c;
    char text[XC_SR_MAX_TEXT + 1] = "";
    uint32_t reason, text_len;
    int rc = 0;

    /* A stream that was not understood is refused without its session. */
    if ( s->ready || memcmp(rec->body, nobody, sizeof(nobody)) != 0 )
        rc = check_session(s, rec);
    if ( rc )
        return rc;
    xc_sr__cursor_init(&c, rec->body + XC_SR__SESSION_EPOCH,
                       rec->length - XC_SR__SESSION_EPOCH);
    reason = xc_sr__cursor_u32(&c);
    text_len = xc_sr__cursor_u32(&c);
    take_text(text, sizeof(text), &c, text_len);
    if ( !s->ready )
        return refuse(s, reason, text);
    s->naked = true;
    return xc_sr__sender_fail(s, -ECONNABORTED,
                              "the destination gave up before the guest ran "
                              "there: %s",
                              text[0] ? text : xc_sr_reason_name(reason));
}

static int on_postcopy_complete(struct xc_sr_sender *s,
                                const struct xc_sr_record *rec)
{
    (void)rec;
    if ( s->owner != XC_SR_OWNER_COMMITTED || (s->version >= 3 && !s->running) )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "COMPLETE before the guest ran there");
    s->complete = true;
    return 0;
}

static int on_postcopy_ack(struct xc_sr_sender *s,
                           const struct xc_sr_record *rec)
{
    uint64_t acked;

    if ( !(s->features & XC_SR_FEATURE_ACK) )
        return xc_sr__sender_fail(s, -EPROTO, "ACK was not agreed upon");
    /* Small records are not noted one by one, but may be acknowledged. */
    s->window.sent = s->queued_total;
    if ( !xc_sr__add_u64(xc_sr__le64(rec->body), s->sent_base, &acked) ||
         xc_sr__window_acked(&s->window, acked, s->now_us) )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "ACK of 0x%llx octets: more than were sent, "
                                  "or fewer than before",
                                  (unsigned long long)xc_sr__le64(rec->body));
    return 0;
}

/* Where value i of POSTCOPY_STATS goes; NULL: nobody here wants it. */
static uint64_t *stats_field(struct xc_sr_stats *peer, uint32_t i)
{
    uint64_t *const head[] = {
        &peer->faults,
        &peer->faults_late,
        &peer->duplicates,
        &peer->released,
        &peer->fault_service_count,
        &peer->fault_service_sum_us,
        &peer->fault_service_max_us,
    };
    /* After the histogram: downtime seen there, pages in. */
    uint64_t *const tail[] = {
        NULL,
        NULL,
        &peer->bytes_total,
        &peer->skipped_records,
        &peer->faults_foreign,
        &peer->abandoned,
    };

    if ( i < XC_SR_ARRAY_SIZE(head) )
        return head[i];
    i -= XC_SR_ARRAY_SIZE(head);
    if ( i < XC_SR_HISTOGRAM_BUCKETS )
        return &peer->fault_service_hist[i];
    i -= XC_SR_HISTOGRAM_BUCKETS;
    return i < XC_SR_ARRAY_SIZE(tail) ? tail[i] : NULL;
}

static int on_postcopy_stats(struct xc_sr_sender *s,
                             const struct xc_sr_record *rec)
{
    uint32_t count = xc_sr__le32(rec->body);

    for ( uint32_t i = 0; i < count; i++ )
    {
        uint64_t *field = stats_field(&s->result->peer_stats, i);

        if ( field )
            *field = xc_sr__le64(rec->body + 8 + 8u * i);
    }
    s->result->peer_stats_valid = true;
    return 0;
}

/* That it came is all it says. */
static int on_postcopy_alive(struct xc_sr_sender *s,
                             const struct xc_sr_record *rec)
{
    (void)s;
    (void)rec;
    return 0;
}

/* Records of the table's back half that have no place in a first connection. */
static int on_unwanted(struct xc_sr_sender *s, const struct xc_sr_record *rec)
{
    return xc_sr__sender_fail(s, -EPROTO, "%s is not expected here",
                              xc_sr__rec_name(rec->id));
}

#define on_checkpoint_dirty_pfn_list on_unwanted
#define on_postcopy_recover          on_unwanted /* comes as entries */
#define on_postcopy_fault            on_unwanted /* comes as entries */

static int act(struct xc_sr_sender *s, const struct xc_sr_record *rec)
{
    switch ( rec->id )
    {
#define ROW(NAME, lname, ...)                                                  \
    case XC_SR_REC_##NAME:                                                     \
        return on_##lname(s, rec);
        XC_SR_RECORDS_BACK(ROW)
#undef ROW
    default:
        return on_unwanted(s, rec);
    }
}

static int fault_on(struct xc_sr_sender *s, uint64_t pfn)
{
    if ( !xc_sr__pageset_has(&s->owed_all, pfn) )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "POSTCOPY_FAULT for pfn 0x%llx, which was "
                                  "never announced",
                                  (unsigned long long)pfn);
    s->stats->faults++;
    s->cursor = pfn + 1;
    if ( !xc_sr__pageset_has(&s->owed, pfn) )
    {
        s->stats->faults_late++; /* it is on its way already */
        return 0;
    }
    if ( s->urgent_nr == XC_SR_URGENT_MAX )
    {
        s->cursor = pfn; /* the push serves it next */
        return 0;
    }
    s->urgent[(s->urgent_head + s->urgent_nr) % XC_SR_URGENT_MAX] = pfn;
    s->urgent_nr++;
    return 0;
}

static int on_entries(struct xc_sr_sender *s, const struct xc_sr_event *ev)
{
    if ( ev->record.id != XC_SR_REC_POSTCOPY_FAULT )
        return on_unwanted(s, &ev->record);
    if ( s->stats->transition_us == 0 )
        return xc_sr__sender_fail(s, -EPROTO,
                                  "POSTCOPY_FAULT before the switch");
    for ( uint64_t i = 0; i < ev->count; i++ )
    {
        int rc = fault_on(s, xc_sr__le64(ev->entries + 8 * i));

        if ( rc )
            return rc;
    }
    return 0;
}

static int on_event(struct xc_sr_sender *s, const struct xc_sr_event *ev)
{
    if ( s->handshaking )
        return xc_sr__sender_on_recover(s, ev);
    switch ( ev->kind )
    {
    case XC_SR_EV_RECORD:
        return act(s, &ev->record);
    case XC_SR_EV_ENTRIES:
        return on_entries(s, ev);
    case XC_SR_EV_UNKNOWN:
        xc_sr__debug(s->log,
                     "optional record 0x%x from the destination: "
                     "skipped",
                     ev->record.type);
        return 0;
    default:
        return 0;
    }
}

/* Everything that is in the window; *more_r octets are needed to go on. */
static int use_window(struct xc_sr_sender *s, size_t *more_r)
{
    for ( ;; )
    {
        struct xc_sr_event ev;
        char text[256];
        size_t used = 0;
        int rc = xc_sr__reader_next(&s->back, xc_sr__inbuf_data(&s->in),
                                    xc_sr__inbuf_len(&s->in), &ev, &used);

        if ( rc )
            return xc_sr__sender_fail(
                s, rc, "back channel: %s",
                xc_sr__fault_text(&s->back.fault, text, sizeof(text)));
        if ( ev.kind == XC_SR_EV_NEED )
        {
            xc_sr__inbuf_use(&s->in, used);
            *more_r = ev.need;
            return 0;
        }
        rc = on_event(s, &ev);
        if ( rc )
            return rc;
        xc_sr__inbuf_use(&s->in, used);
        if ( ev.kind == XC_SR_EV_END || s->complete )
        {
            *more_r = 0;
            return 0;
        }
    }
}

int xc_sr__sender_back(struct xc_sr_sender *s, bool *progress_r)
{
    size_t got = 0, need = 0;
    int rc = xc_sr__inbuf_fill(&s->in, &s->back_eof, &got);

    *progress_r = got != 0;
    if ( rc )
        return xc_sr__sender_fail(s, rc, "back channel: %s", strerror(-rc));
    if ( got == 0 )
        return 0;
    rc = use_window(s, &need);
    if ( !rc && need )
        rc = xc_sr__inbuf_need(&s->in, need,
                               XC_SR_WHOLE_MAX + XC_SR_RECORD_HEADER_LEN);
    if ( rc && rc != -ECONNABORTED )
        return xc_sr__sender_fail(s, rc, "back channel: %s", strerror(-rc));
    return rc;
}

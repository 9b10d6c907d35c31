/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_act.c: what the receiver does about each record.
 *
 * One on_<record>() for each row of the forward half of the record table,
 * dispatched from the table: a new row does not build without its function.
 * The reader has checked form and phase before anything comes here.  These
 * functions move state into the guest or note what came; what follows from
 * it is decided by the timeline in xc_sr_restore.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_restore.h"

/* In ADVISE: where what has the form of a body of HVM_PARAMS begins. */
#define ADVISE_PARAMS 32u

static int put_state(struct xc_sr_receiver *r, const struct xc_sr_event *ev,
                     enum xc_sr_hv_state what)
{
    int rc =
        xc_sr__hv_state_put(r->hv, what, ev->record.body, ev->record.length);

    if ( rc )
        return xc_sr__receiver_fail(r, rc, "the guest does not take %s: %s",
                                    xc_sr__rec_name(ev->record.id),
                                    strerror(-rc));
    return 0;
}

/* A policy that this backend has no use for is not a failure. */
static int put_policy(struct xc_sr_receiver *r, const struct xc_sr_event *ev,
                      enum xc_sr_hv_state what)
{
    int rc =
        xc_sr__hv_state_put(r->hv, what, ev->record.body, ev->record.length);

    if ( rc == -EOPNOTSUPP || rc == -ENODATA )
    {
        xc_sr__debug(r->log, "%s: not used here",
                     xc_sr__rec_name(ev->record.id));
        return 0;
    }
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "the guest does not take %s: %s",
                                    xc_sr__rec_name(ev->record.id),
                                    strerror(-rc));
    return 0;
}

static int nothing(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    (void)r;
    (void)ev;
    return 0;
}

static int no_pv(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    return xc_sr__receiver_fail(r, -EOPNOTSUPP,
                                "%s: PV guests cannot be restored here",
                                xc_sr__rec_name(ev->record.id));
}

static int no_checkpoints(struct xc_sr_receiver *r,
                          const struct xc_sr_event *ev)
{
    return xc_sr__receiver_fail(r, -EOPNOTSUPP,
                                "%s: checkpointed streams belong to the stock "
                                "toolstack",
                                xc_sr__rec_name(ev->record.id));
}

/* ---- Opening: ADVISE and its answer ------------------------------------------------ */

static int say_ready(struct xc_sr_receiver *r, uint32_t reason,
                     const char *text)
{
    size_t len = strnlen(text, XC_SR_MAX_TEXT);

    r->stats->ready_us = xc_sr__now_us();
    xc_sr__write_begin(&r->writer, XC_SR_REC_POSTCOPY_READY);
    xc_sr__write_bytes(&r->writer, r->session, sizeof(r->session));
    xc_sr__write_u32(&r->writer, reason);
    xc_sr__write_u32(&r->writer, r->features);
    xc_sr__write_u32(&r->writer, (uint32_t)len);
    xc_sr__write_u32(&r->writer, 0);
    xc_sr__write_bytes(&r->writer, text, len);
    xc_sr__write_end(&r->writer, 0);
    return xc_sr__receiver_say(r);
}

static int refuse(struct xc_sr_receiver *r, int rc, uint32_t reason,
                  const char *text)
{
    r->features = 0;
    (void)say_ready(r, reason, text);
    r->owner = XC_SR_OWNER_NONE;
    r->aborted = true; /* it has been told: no NAK after this */
    return xc_sr__receiver_fail(r, rc, "refused: %s", text);
}

/* Can this host page this guest?  If not there is a reason, and a sentence. */
static int ask_host(struct xc_sr_receiver *r, uint32_t *reason,
                    char why[XC_SR_MAX_TEXT])
{
    int rc;

    *reason = XC_SR_REASON_FAILED;
    why[0] = '\0';
    rc = xc_sr__hv_paging_probe(r->hv, reason, why, XC_SR_MAX_TEXT);
    if ( rc && *reason == XC_SR_REASON_NONE )
        *reason = XC_SR_REASON_FAILED;
    if ( rc && !why[0] )
        snprintf(why, XC_SR_MAX_TEXT, "%s: %s", xc_sr_reason_name(*reason),
                 strerror(-rc));
    return rc;
}

/* Asked before anything happens to the guest. */
static int probe(struct xc_sr_receiver *r)
{
    char why[XC_SR_MAX_TEXT];
    uint32_t reason;
    int rc = ask_host(r, &reason, why);

    if ( rc )
        return refuse(r, rc, reason, why);
    rc = xc_sr__hv_paging_reserve(r->hv);
    if ( rc )
        return refuse(r, rc, XC_SR_REASON_NO_MEMORY,
                      "not enough free memory for the guest on this host");
    rc = xc_sr__receiver_paging_on(r);
    return rc ? refuse(r, rc, XC_SR_REASON_FAILED, r->result->why) : 0;
}

static int take_early_params(struct xc_sr_receiver *r,
                             const struct xc_sr_event *ev)
{
    int rc = xc_sr__hv_state_put(r->hv, XC_SR_HV_STATE_EARLY_PARAMS,
                                 ev->record.body + ADVISE_PARAMS,
                                 ev->record.length - ADVISE_PARAMS);

    if ( rc )
        return refuse(r, rc, XC_SR_REASON_FAILED,
                      "the guest does not take the HVM params of ADVISE");
    return 0;
}

static int on_postcopy_advise(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    struct xc_sr_cursor c;
    uint32_t offered, flags;
    uint64_t nr_pfns;
    char text[128];
    int rc = 0;

    xc_sr__cursor_init(&c, ev->record.body, ev->record.length);
    memcpy(r->session, xc_sr__cursor_bytes(&c, sizeof(r->session)),
           sizeof(r->session));
    offered = xc_sr__cursor_u32(&c);
    flags = xc_sr__cursor_u32(&c);
    nr_pfns = xc_sr__cursor_u64(&c);
    if ( !xc_sr__receiver_has_back(r) )
        return xc_sr__receiver_fail(r, -EINVAL,
                                    "POSTCOPY_ADVISE without a back channel");
    r->advised = true;
    r->source_pfns = nr_pfns;
    r->may_postcopy = flags & 1u;
    r->stays_paused = flags & 2u;
    r->features = offered & XC_SR_FEATURES_ALL & ~r->params->deny_features;
    if ( nr_pfns > r->nr_pfns )
    {
        snprintf(text, sizeof(text),
                 "the guest has %llu pages, its memory here %llu",
                 (unsigned long long)nr_pfns, (unsigned long long)r->nr_pfns);
        return refuse(r, -EINVAL, XC_SR_REASON_NO_MEMORY, text);
    }
    /* A hypervisor may leave room for more here than it has seen there; both
     * sides' bitmaps and bounds are the source's. */
    r->nr_pfns = nr_pfns;
    r->stats->nr_pfns = nr_pfns;
    if ( r->may_postcopy )
        rc = take_early_params(r, ev);
    if ( !rc && r->may_postcopy )
        rc = probe(r);
    if ( rc )
        return rc;
    r->stats->features = r->features;
    rc = say_ready(r, XC_SR_REASON_NONE, "");
    xc_sr__receiver_phase(r, XC_SR_PHASE_PRECOPY);
    return rc;
}

/* ---- Memory ---------------------------------------------------------------------------- */

static int on_page_data(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    return xc_sr__receiver_page_data(r, ev);
}

static int on_zero_pages(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    return xc_sr__receiver_zero_pages(r, ev);
}

static int on_postcopy_page_data(struct xc_sr_receiver *r,
                                 const struct xc_sr_event *ev)
{
    return xc_sr__receiver_push_data(r, ev);
}

static int on_postcopy_discard(struct xc_sr_receiver *r,
                               const struct xc_sr_event *ev)
{
    return xc_sr__receiver_discard(r, ev);
}

static int on_postcopy_pfns(struct xc_sr_receiver *r,
                            const struct xc_sr_event *ev)
{
    return xc_sr__receiver_pfns(r, ev);
}

/* ---- State -------------------------------------------------------------------------------- */

static int on_x86_cpuid_policy(struct xc_sr_receiver *r,
                               const struct xc_sr_event *ev)
{
    return put_policy(r, ev, XC_SR_HV_STATE_CPUID_POLICY);
}

static int on_x86_msr_policy(struct xc_sr_receiver *r,
                             const struct xc_sr_event *ev)
{
    return put_policy(r, ev, XC_SR_HV_STATE_MSR_POLICY);
}

static int on_x86_tsc_info(struct xc_sr_receiver *r,
                           const struct xc_sr_event *ev)
{
    return put_state(r, ev, XC_SR_HV_STATE_TSC);
}

static int on_hvm_context(struct xc_sr_receiver *r,
                          const struct xc_sr_event *ev)
{
    return put_state(r, ev, XC_SR_HV_STATE_HVM_CONTEXT);
}

static int on_static_data_end(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    int rc = xc_sr__hv_static_data_done(r->hv);

    (void)ev;
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "the guest's CPU policy: %s",
                                    strerror(-rc));
    return 0;
}

static int on_hvm_params(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    return put_state(r, ev, XC_SR_HV_STATE_HVM_PARAMS);
}

/* ---- The switch ------------------------------------------------------------------------------ */

static int on_postcopy_begin(struct xc_sr_receiver *r,
                             const struct xc_sr_event *ev)
{
    (void)ev;
    r->begun = true;
    r->begin_us = xc_sr__now_us();
    r->stats->suspended_us = r->begin_us;
    xc_sr__receiver_phase(r, XC_SR_PHASE_HANDOVER);
    return 0;
}

/* All of them are in: they take effect before a page they name can leave. */
static int finish_state(struct xc_sr_receiver *r)
{
    int rc = xc_sr__hv_state_done(r->hv);

    if ( rc )
        return xc_sr__receiver_fail(r, rc,
                                    "the guest does not take its "
                                    "state: %s",
                                    strerror(-rc));
    return 0;
}

static int on_postcopy_pfns_begin(struct xc_sr_receiver *r,
                                  const struct xc_sr_event *ev)
{
    char why[XC_SR_MAX_TEXT];
    uint32_t reason;
    int rc = finish_state(r);

    (void)ev;
    if ( rc )
        return rc;
    /* Version 2 has no ADVISE: this is the first that is heard of it. */
    if ( r->paging || r->reader.version >= 3 )
        return 0;
    if ( !xc_sr__receiver_has_back(r) )
        return xc_sr__receiver_fail(r, -EINVAL,
                                    "post-copy without a back channel");
    /* Nobody can be told any more; failing here is failing before TRANSITION. */
    rc = ask_host(r, &reason, why);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "%s", why);
    rc = xc_sr__hv_paging_reserve(r->hv);
    if ( rc )
        return xc_sr__receiver_fail(
            r, rc, "not enough free memory for the guest on this host");
    return xc_sr__receiver_paging_on(r);
}

static int on_postcopy_transition(struct xc_sr_receiver *r,
                                  const struct xc_sr_event *ev)
{
    (void)ev;
    xc_sr__pageset_or(&r->announced, &r->missing);
    r->stats->pages_announced = r->missing.count;
    r->stats->postcopy = r->missing.count != 0;
    r->stats->transition_us = xc_sr__now_us();
    return 0;
}

/* ---- Hand-over --------------------------------------------------------------------------------- */

static int check_session(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    const uint8_t *body = ev->record.body;

    if ( memcmp(body, r->session, sizeof(r->session)) != 0 )
        return xc_sr__receiver_fail(r, -EPROTO, "%s is for another session",
                                    xc_sr__rec_name(ev->record.id));
    if ( xc_sr__le64(body + sizeof(r->session)) != r->epoch )
        return xc_sr__receiver_fail(
            r, -EPROTO, "%s is of epoch %llu, this connection is %llu",
            xc_sr__rec_name(ev->record.id),
            (unsigned long long)xc_sr__le64(body + sizeof(r->session)),
            (unsigned long long)r->epoch);
    return 0;
}

static int on_postcopy_commit(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    int rc = check_session(r, ev);

    if ( rc )
        return rc;
    /* Said again on a new connection: it was heard the first time. */
    if ( r->owner == XC_SR_OWNER_OWNER || r->owner == XC_SR_OWNER_FENCED ||
         xc_sr__receiver_is_through(r) )
        return 0;
    if ( r->owner != XC_SR_OWNER_PREP )
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "POSTCOPY_COMMIT before PREPARED");
    r->committed = true;
    r->stats->commit_us = xc_sr__now_us();
    return 0;
}

static int on_postcopy_abort(struct xc_sr_receiver *r,
                             const struct xc_sr_event *ev)
{
    const uint8_t *text = ev->record.body + XC_SR__SESSION_EPOCH + 8;
    uint32_t len = xc_sr__le32(ev->record.body + XC_SR__SESSION_EPOCH + 4);
    int rc = check_session(r, ev);

    if ( rc )
        return rc;
    r->aborted = true;
    return xc_sr__receiver_fail(r, -ECONNABORTED, "the source gave up: %.*s",
                                (int)len, (const char *)text);
}

static int on_postcopy_resume(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    int rc;

    if ( !r->handshaking )
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "%s answers a RECOVER that was not sent",
                                    xc_sr__rec_name(ev->record.id));
    rc = check_session(r, ev);
    if ( rc )
        return rc;
    if ( xc_sr__le32(ev->record.body + XC_SR__SESSION_EPOCH) == 0 )
    {
        r->resumed = true;
        return 0;
    }
    if ( r->owner == XC_SR_OWNER_OWNER )
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "the source says it has aborted, after "
                                    "COMMIT");
    r->aborted = true;
    return xc_sr__receiver_fail(r, -ECONNABORTED,
                                "the source has given up and runs the guest");
}

/* ---- Rows that need no more than one of the above -------------------------------------------------- */

#define on_postcopy_keepalive   nothing /* that it came says it */
#define on_end                  nothing /* the END event says it */
#define on_verify               nothing
#define on_toolstack            nothing /* libxl's old record, obsolete */
#define on_shared_info          no_pv
#define on_x86_pv_info          no_pv
#define on_x86_pv_p2m_frames    no_pv
#define on_x86_pv_vcpu_basic    no_pv
#define on_x86_pv_vcpu_extended no_pv
#define on_x86_pv_vcpu_xsave    no_pv
#define on_x86_pv_vcpu_msrs     no_pv
#define on_checkpoint           no_checkpoints

static int act(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    switch ( ev->record.id )
    {
#define ROW(NAME, lname, ...)                                                  \
    case XC_SR_REC_##NAME:                                                     \
        return on_##lname(r, ev);
        XC_SR_RECORDS_FWD(ROW)
#undef ROW
    default:
        return xc_sr__receiver_fail(r, -EPROTO, "%s does not belong here",
                                    xc_sr__rec_name(ev->record.id));
    }
}

static int on_headers(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    uint32_t max = r->params->max_stream_version;

    if ( ev->kind == XC_SR_EV_IMAGE )
    {
        r->stats->stream_version = ev->image.version;
        r->writer.version = ev->image.version;
        if ( max && ev->image.version > max )
            return xc_sr__receiver_fail(
                r, -EPROTONOSUPPORT,
                "stream version %u is not accepted here, at most %u",
                ev->image.version, max);
        return 0;
    }
    if ( ev->domain.type != r->hv->info.guest_type )
        return xc_sr__receiver_fail(
            r, -EINVAL, "the stream holds a guest of type %u, this one is %u",
            ev->domain.type, r->hv->info.guest_type);
    /* Version 2 has no static data, and no record that says so. */
    return r->reader.version < 3 ? on_static_data_end(r, ev) : 0;
}

int xc_sr__receiver_event(struct xc_sr_receiver *r,
                          const struct xc_sr_event *ev)
{
    switch ( ev->kind )
    {
    case XC_SR_EV_IMAGE:
    case XC_SR_EV_DOMAIN:
        return on_headers(r, ev);
    case XC_SR_EV_RECORD:
    case XC_SR_EV_HEAD:
    case XC_SR_EV_ENTRIES:
    case XC_SR_EV_CONTENT:
    case XC_SR_EV_TAIL:
        return act(r, ev);
    case XC_SR_EV_UNKNOWN:
        r->stats->skipped_records++;
        xc_sr__info(r->log, "optional record 0x%x is not known here: skipped",
                    ev->record.type);
        return 0;
    case XC_SR_EV_END:
        r->ended = true;
        return r->begun ? 0 : finish_state(r);
    default:
        return 0;
    }
}

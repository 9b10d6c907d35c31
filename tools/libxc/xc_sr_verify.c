/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify.c: drives the stream reader for whoever wants to know whether
 * a stream is well-formed; nothing is acted upon.
 *
 * The reader wants to see a record's head (or a whole short body) in one
 * piece; what is fed in smaller pieces is carried over here until it is
 * complete.  Page contents are never carried.  Called by xen-verify-stream
 * and by fuzzers and tests; does no I/O, knows no hypervisor.
 */
#include "xc_sr_verify_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Faults ------------------------------------------------------------------ */

int xc_sr__verify_fail(struct xc_sr_verifier *v, const struct xc_sr_record *rec,
                       uint64_t offset, const char *field, const char *fmt, ...)
{
    struct xc_sr_verify_fault *fault = &v->fault;
    va_list ap;

    if ( fault->error )
        return fault->error; /* the first one counts */
    fault->error = -EPROTO;
    fault->offset = offset + v->params.base;
    fault->record = rec->number;
    snprintf(fault->type, sizeof(fault->type), "%s", xc_sr__rec_name(rec->id));
    snprintf(fault->field, sizeof(fault->field), "%s", field);
    va_start(ap, fmt);
    vsnprintf(fault->why, sizeof(fault->why), fmt, ap);
    va_end(ap);
    return -EPROTO;
}

/* The reader found it. */
static int pass_on_fault(struct xc_sr_verifier *v, int error)
{
    const struct xc_sr_stream_fault *from = &v->reader.fault;
    struct xc_sr_verify_fault *to = &v->fault;

    if ( to->error )
        return to->error;
    to->error = error;
    to->offset = from->offset + v->params.base;
    to->record = from->record;
    snprintf(to->type, sizeof(to->type), "%s", from->type);
    snprintf(to->field, sizeof(to->field), "%s", from->field);
    snprintf(to->why, sizeof(to->why), "%s", from->why);
    return error;
}

const struct xc_sr_verify_fault *xc_sr_verifier_fault(
    const struct xc_sr_verifier *v)
{
    return &v->fault;
}

const char *xc_sr_verify_fault_text(const struct xc_sr_verify_fault *fault,
                                    char *buf, size_t len)
{
    struct xc_sr_stream_fault inner = {
        .error = fault->error,
        .offset = fault->offset,
        .record = fault->record,
    };

    _Static_assert(sizeof(inner.type) == sizeof(fault->type) &&
                       sizeof(inner.field) == sizeof(fault->field) &&
                       sizeof(inner.why) == sizeof(fault->why),
                   "one fault, two names");
    memcpy(inner.type, fault->type, sizeof(inner.type));
    memcpy(inner.field, fault->field, sizeof(inner.field));
    memcpy(inner.why, fault->why, sizeof(inner.why));
    return xc_sr__fault_text(&inner, buf, len);
}

/* ---- Life -------------------------------------------------------------------- */

/*
 * The first four octets, a record's type where there are no headers, say what
 * this is.  The version of a back channel shows in the number as well.
 */
static void begin_reading(struct xc_sr_verifier *v, uint32_t first)
{
    unsigned int version = v->params.version;
    bool two = first == xc_sr__rec_type(XC_SR_REC_POSTCOPY_FAULT, 2) ||
               first == xc_sr__rec_type(XC_SR_REC_POSTCOPY_COMPLETE, 2);

    if ( v->params.back )
        xc_sr__reader_init(&v->reader, XC_SR_BACK,
                           version ? version : (two ? 2 : 3));
    else if ( first == xc_sr__rec_type(XC_SR_REC_POSTCOPY_RESUME, 3) )
    {
        xc_sr__reader_init_resuming(&v->reader);
        v->resuming = true;
    }
    else
        xc_sr__reader_init(&v->reader, XC_SR_FORWARD, 0);
    v->reader.skip_contents = true;
    v->reading = true;
}

int xc_sr_verifier_new(const struct xc_sr_verify_params *params,
                       struct xc_sr_verifier **v_r)
{
    struct xc_sr_verifier *v;

    if ( params->version == 1 || params->version > 3 )
        return -EINVAL;
    v = calloc(1, sizeof(*v));
    if ( !v )
        return -ENOMEM;
    v->params = *params;
    v->carry_need = sizeof(uint32_t); /* for begin_reading() */
    *v_r = v;
    return 0;
}

void xc_sr_verifier_free(struct xc_sr_verifier *v)
{
    if ( !v )
        return;
    xc_sr__verify_rules_dispose(&v->rules);
    free(v->carry);
    free(v);
}

/* ---- One event ---------------------------------------------------------------- */

static void on_record(struct xc_sr_verifier *v, const struct xc_sr_record *rec)
{
    xc_sr__verify_tell_record(v, rec);
    if ( rec->id == XC_SR_REC_CHECKPOINT && v->params.upper_at_checkpoint )
        v->status = XC_SR_VERIFY_CHECKPOINT;
    if ( rec->id == XC_SR_REC_POSTCOPY_ABORT )
        v->report.aborted = true;
}

static int on_end(struct xc_sr_verifier *v)
{
    int rc = 0;

    if ( !v->report.aborted )
        rc = xc_sr__verify_rules_end(v, &v->reader.rec);
    if ( rc )
        return rc;
    v->report.ended = true;
    v->status = XC_SR_VERIFY_END;
    return 0;
}

/* `at` is the offset in the stream of the window the event points into. */
static int on_event(struct xc_sr_verifier *v, const struct xc_sr_event *ev,
                    const uint8_t *window, uint64_t at)
{
    int rc;

    switch ( ev->kind )
    {
    case XC_SR_EV_IMAGE:
    case XC_SR_EV_DOMAIN:
        xc_sr__verify_tell_headers(v, ev, at);
        return 0;
    case XC_SR_EV_RECORD:
        on_record(v, &ev->record);
        return 0;
    case XC_SR_EV_HEAD:
        v->entries_left = ev->count;
        xc_sr__verify_tell_head(v, &ev->record);
        return 0;
    case XC_SR_EV_ENTRIES:
        v->entries_left -= ev->count;
        rc = xc_sr__verify_rules_entries(v, ev,
                                         at + (uint64_t)(ev->entries - window));
        if ( !rc )
            xc_sr__verify_tell_entries(v, ev);
        return rc;
    case XC_SR_EV_SKIP:
        v->skip_left = ev->need;
        return 0;
    case XC_SR_EV_UNKNOWN:
        xc_sr__verify_tell_record(v, &ev->record);
        return 0;
    case XC_SR_EV_UPPER:
        v->report.postcopy = true;
        v->status = XC_SR_VERIFY_TRANSITION;
        return 0;
    case XC_SR_EV_END:
        return on_end(v);
    case XC_SR_EV_NEED:
    case XC_SR_EV_CONTENT: /* not with skip_contents */
    case XC_SR_EV_TAIL:
        break;
    }
    return 0;
}

/* ---- Feeding -------------------------------------------------------------------- */

static int carry_more(struct xc_sr_verifier *v, const uint8_t *data, size_t len)
{
    size_t need = v->carry_len + len, cap = v->carry_cap ? v->carry_cap : 256;
    uint8_t *carry;

    /* What is not there yet is not paid for yet. */
    while ( cap < need )
        cap *= 2;
    if ( cap != v->carry_cap )
    {
        carry = realloc(v->carry, cap);
        if ( !carry )
            return -ENOMEM;
        v->carry = carry;
        v->carry_cap = cap;
    }
    memcpy(v->carry + v->carry_len, data, len);
    v->carry_len = need;
    return 0;
}

static int skip_now(struct xc_sr_verifier *v, uint64_t octets)
{
    v->skip_left -= octets;
    xc_sr__reader_skipped(&v->reader, octets);
    return 0;
}

/*
 * The reader refuses a window of entries as a whole.  Those before the one at
 * fault are held against the rules all the same: which fault is the first
 * shall not depend on how the stream was cut in pieces.
 */
static int reader_failed(struct xc_sr_verifier *v, int error,
                         const uint8_t *data, size_t len, uint64_t at)
{
    struct xc_sr_event ev = { .kind = XC_SR_EV_ENTRIES,
                              .record = v->reader.rec,
                              .entries = data };
    bool runs = xc_sr__rec_body(ev.record.id) == XC_SR_BODY_RUNS;
    uint64_t entry_len = runs ? 16 : 8, sound = len / entry_len;
    int rc = 0;

    if ( sound > v->entries_left )
        sound = v->entries_left;
    if ( v->reader.fault.offset >= at &&
         sound > (v->reader.fault.offset - at) / entry_len )
        sound = (v->reader.fault.offset - at) / entry_len;
    ev.count = sound;
    if ( sound )
        rc = xc_sr__verify_rules_entries(v, &ev, at);
    return rc ? rc : pass_on_fault(v, error);
}

/* Runs the reader over a window until it wants more or the caller is due. */
static int run_reader(struct xc_sr_verifier *v, const uint8_t *data, size_t len,
                      size_t *used_r)
{
    size_t used = 0;

    while ( v->status == XC_SR_VERIFY_MORE )
    {
        struct xc_sr_event ev = { .kind = XC_SR_EV_NEED };
        uint64_t at = v->reader.offset;
        size_t step = 0;
        int rc;

        if ( v->skip_left )
        {
            step = len - used;
            if ( step > v->skip_left )
                step = (size_t)v->skip_left;
            used += step;
            skip_now(v, step);
            if ( v->skip_left )
                break;
            continue;
        }
        rc =
            xc_sr__reader_next(&v->reader, data + used, len - used, &ev, &step);
        if ( rc )
            return reader_failed(v, rc, data + used, len - used, at);
        rc = on_event(v, &ev, data + used, at);
        if ( rc )
            return rc;
        used += step;
        if ( ev.kind == XC_SR_EV_NEED )
        {
            v->carry_need = ev.need;
            break;
        }
    }
    *used_r = used;
    return 0;
}

/* Completes what is carried, from data; *used_r octets of it. */
static int feed_carry(struct xc_sr_verifier *v, const uint8_t *data, size_t len,
                      size_t *used_r)
{
    size_t want =
        v->carry_need > v->carry_len ? v->carry_need - v->carry_len : 0;
    size_t used = 0;
    int rc;

    if ( want > len )
        want = len;
    rc = carry_more(v, data, want);
    if ( rc )
        return rc;
    *used_r = want;
    if ( v->carry_len < v->carry_need )
        return 0;
    if ( !v->reading )
        begin_reading(v, xc_sr__le32(v->carry));
    rc = run_reader(v, v->carry, v->carry_len, &used);
    if ( rc )
        return rc;
    v->carry_len -= used;
    memmove(v->carry, v->carry + used, v->carry_len);
    return 0;
}

int xc_sr_verifier_feed(struct xc_sr_verifier *v, const void *data, size_t len,
                        size_t *used_r, enum xc_sr_verify_status *status_r)
{
    const uint8_t *p = data;
    size_t used = 0;
    int rc = v->failed;

    while ( !rc && v->status == XC_SR_VERIFY_MORE && used < len )
    {
        size_t step = 0;

        if ( v->carry_len || !v->reading )
            rc = feed_carry(v, p + used, len - used, &step);
        else
        {
            rc = run_reader(v, p + used, len - used, &step);
            used += rc ? 0 : step;
            step = 0;
            if ( !rc && v->status == XC_SR_VERIFY_MORE && used < len )
            {
                rc = carry_more(v, p + used, len - used);
                step = len - used;
            }
        }
        used += rc ? 0 : step;
    }
    if ( v->status != XC_SR_VERIFY_MORE )
        xc_sr__verify_tell_flush(v);
    v->failed = rc;
    if ( rc )
        return rc;
    *used_r = used;
    *status_r = v->status;
    return 0;
}

uint64_t xc_sr_verifier_skippable(const struct xc_sr_verifier *v)
{
    return v->failed || v->carry_len ? 0 : v->skip_left;
}

int xc_sr_verifier_skip(struct xc_sr_verifier *v, uint64_t octets)
{
    if ( octets > xc_sr_verifier_skippable(v) )
        return -EINVAL;
    return skip_now(v, octets);
}

int xc_sr_verifier_upper_done(struct xc_sr_verifier *v, uint64_t octets)
{
    if ( v->failed )
        return v->failed;
    if ( v->status == XC_SR_VERIFY_TRANSITION )
        xc_sr__reader_upper_done(&v->reader, octets);
    else if ( v->status == XC_SR_VERIFY_CHECKPOINT )
        v->reader.offset += octets; /* the reader need not know */
    else
        return -EINVAL;
    v->report.upper_octets += octets;
    v->status = XC_SR_VERIFY_MORE;
    return 0;
}

int xc_sr_verifier_eof(struct xc_sr_verifier *v)
{
    static const uint8_t nothing[1];
    size_t used = 0;
    int rc = v->failed;

    xc_sr__verify_tell_flush(v);
    if ( rc )
        return rc;
    if ( v->status == XC_SR_VERIFY_END )
        return 0;
    if ( !v->reading )
        begin_reading(v, 0);
    /* Let the reader see what is carried: it says what is not there. */
    rc = run_reader(v, v->carry ? v->carry : nothing, v->carry_len, &used);
    if ( !rc )
        rc = xc_sr__reader_eof(&v->reader);
    if ( rc )
        return v->failed = pass_on_fault(v, rc);
    v->report.ended = true;
    return 0;
}

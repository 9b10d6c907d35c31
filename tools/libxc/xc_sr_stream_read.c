/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_stream_read.c: octets to events, without I/O.
 *
 *   image -> domain -> header -+-> whole ------------------------> header
 *                              +-> head -> entries -> content -> tail -+
 *                              +-> passing (unknown optional) ---------+
 *   TRANSITION -> upper -> header;   END, ABORT, COMPLETE ... -> ended
 *
 * The receiver runs this at the speed of the memory bus: page contents are
 * never copied or looked at, an event costs the same however long its record.
 * Only a WHOLE body has to lie in the window at once; every other record
 * passes through a window of any size above 24 octets and a page.
 */
#include <errno.h>
#include <stdio.h>

#include "xc_sr_stream.h"

enum state
{
    IN_IMAGE,
    IN_DOMAIN,
    AT_HEADER, /* at a record boundary */
    IN_WHOLE,  /* header seen, not used: the record goes in one piece */
    IN_HEAD,   /* likewise, with the octets before the entries */
    IN_ENTRIES,
    IN_CONTENT,
    AT_TAIL,
    IN_UNKNOWN, /* passing over an optional record */
    IN_UPPER,
    AT_END,
    FAILED,
};

/* What one call works on. */
struct step
{
    const uint8_t *data;
    size_t len;
    struct xc_sr_event ev;
    size_t used;
};

void xc_sr__reader_init(struct xc_sr_reader *r, enum xc_sr_direction direction,
                        unsigned int version)
{
    bool back = direction == XC_SR_BACK;

    *r = (struct xc_sr_reader){
        .version = back ? version : 0,
        .max_version = 3,
        .state = back ? AT_HEADER : IN_IMAGE,
    };
    if ( back ) /* only HVM guests speak on it */
        r->known.guest_type = XC_SR_GUEST_HVM;
    xc_sr__phase_init(&r->phase, direction, r->version);
}

void xc_sr__reader_init_resuming(struct xc_sr_reader *r)
{
    *r = (struct xc_sr_reader){
        .version = 3,
        .max_version = 3,
        .state = AT_HEADER,
        .known = { .guest_type = XC_SR_GUEST_HVM },
    };
    xc_sr__phase_init(&r->phase, XC_SR_FORWARD, 3);
    r->phase.phase = XC_SR_FWD_RESUMING;
    r->phase.guest_type = XC_SR_GUEST_HVM;
}

static int need(struct step *s, uint64_t octets)
{
    s->ev.kind = XC_SR_EV_NEED;
    s->ev.need = (size_t)octets;
    return 0;
}

/* ---- Headers ---------------------------------------------------------------- */

static int take_image(struct xc_sr_reader *r, struct step *s)
{
    int rc;

    if ( s->len < XC_SR_IMAGE_HEADER_LEN )
        return need(s, XC_SR_IMAGE_HEADER_LEN);
    rc = xc_sr__image_header_parse(s->data, r->offset, r->max_version,
                                   &s->ev.image, &r->fault);
    if ( rc )
        return rc;
    r->version = s->ev.image.version;
    xc_sr__phase_init(&r->phase, XC_SR_FORWARD, r->version);
    r->state = IN_DOMAIN;
    s->ev.kind = XC_SR_EV_IMAGE;
    s->used = XC_SR_IMAGE_HEADER_LEN;
    return 0;
}

static int take_domain(struct xc_sr_reader *r, struct step *s)
{
    int rc;

    if ( s->len < XC_SR_DOMAIN_HEADER_LEN )
        return need(s, XC_SR_DOMAIN_HEADER_LEN);
    rc = xc_sr__domain_header_parse(s->data, r->offset, &s->ev.domain,
                                    &r->fault);
    if ( rc )
        return rc;
    r->known.guest_type = s->ev.domain.type;
    r->phase.guest_type = s->ev.domain.type;
    r->state = AT_HEADER;
    s->ev.kind = XC_SR_EV_DOMAIN;
    s->used = XC_SR_DOMAIN_HEADER_LEN;
    return 0;
}

/* ---- Record header ------------------------------------------------------------ */

static uint64_t padded(uint32_t length)
{
    return ((uint64_t)length + 7) & ~7ULL;
}

/* A mandatory type number that no row of this version and direction has. */
static int unknown_type(struct xc_sr_reader *r)
{
    enum xc_sr_direction dir = r->phase.direction;
    enum xc_sr_direction other = dir == XC_SR_BACK ? XC_SR_FORWARD : XC_SR_BACK;
    unsigned int other_version = r->version == 2 ? 3 : 2;
    enum xc_sr_rec rec = xc_sr__rec_find(r->rec.type, r->version, other);

    if ( rec != XC_SR_REC_COUNT )
        return xc_sr__fault_set(&r->fault, -EPROTO, r->rec.offset, "type",
                                "0x%08x: %s belongs to the %s direction",
                                r->rec.type, xc_sr__rec_name(rec),
                                dir == XC_SR_BACK ? "forward" : "back");
    rec = xc_sr__rec_find(r->rec.type, other_version, dir);
    if ( rec != XC_SR_REC_COUNT )
        return xc_sr__fault_set(
            &r->fault, -EPROTONOSUPPORT, r->rec.offset, "type",
            "0x%08x: %s in version %u, nothing "
            "in version %u",
            r->rec.type, xc_sr__rec_name(rec), other_version, r->version);
    return xc_sr__fault_set(&r->fault, -EPROTONOSUPPORT, r->rec.offset, "type",
                            "0x%08x: unknown mandatory record", r->rec.type);
}

static int begin_unknown(struct xc_sr_reader *r, struct step *s)
{
    int rc = xc_sr__length_check(&r->rec, &r->fault);

    if ( rc )
        return rc;
    r->nr_unknown++;
    r->skip_left = padded(r->rec.length);
    r->state = IN_UNKNOWN;
    s->used = XC_SR_RECORD_HEADER_LEN;
    return 0;
}

static int parse_header(struct xc_sr_reader *r, struct step *s)
{
    int rc;

    if ( s->len < XC_SR_RECORD_HEADER_LEN )
        return need(s, XC_SR_RECORD_HEADER_LEN);
    r->rec = (struct xc_sr_record){
        .type = xc_sr__le32(s->data),
        .length = xc_sr__le32(s->data + 4),
        .offset = r->offset,
        .number = r->nr_records,
    };
    r->rec.id = xc_sr__rec_find(r->rec.type, r->version, r->phase.direction);
    if ( r->rec.id == XC_SR_REC_COUNT )
        return r->rec.type & XC_SR_TYPE_OPTIONAL ? begin_unknown(r, s)
                                                 : unknown_type(r);
    rc = xc_sr__length_check(&r->rec, &r->fault);
    if ( rc )
        return rc;
    r->fault.offset = r->rec.offset;
    rc = xc_sr__phase_step(&r->phase, r->rec.id, &r->fault);
    if ( rc )
        return rc;
    r->state =
        xc_sr__rec_body(r->rec.id) == XC_SR_BODY_WHOLE ? IN_WHOLE : IN_HEAD;
    return 0;
}

/* ---- Bodies -------------------------------------------------------------------- */

static int check_padding(struct xc_sr_reader *r, const uint8_t *p, uint64_t len,
                         uint64_t offset)
{
    for ( uint64_t i = 0; i < len; i++ )
        if ( p[i] )
            return xc_sr__fault_set(&r->fault, -EPROTO, offset + i, "padding",
                                    "octet 0x%02x, must be 0", p[i]);
    return 0;
}

/* Bodies that decide the phase: see the head of xc_sr_stream_check.c. */
static void follow_body(struct xc_sr_reader *r)
{
    if ( r->rec.id == XC_SR_REC_POSTCOPY_READY && r->known.verdict )
        r->phase.phase = XC_SR_BACK_ENDED;
    if ( r->rec.id == XC_SR_REC_POSTCOPY_RESUME && r->known.verdict )
        r->phase.phase = XC_SR_FWD_ENDED;
    if ( r->rec.id != XC_SR_REC_POSTCOPY_RECOVER )
        return;
    /* What the destination's record says was said before is not due again. */
    if ( r->known.verdict == XC_SR_RECOVER_FINISHED )
        r->phase.phase = XC_SR_BACK_RUNNING;
    else if ( r->known.verdict > XC_SR_RECOVER_PREP )
        r->phase.phase = XC_SR_BACK_PREPARED;
}

static bool has_ended(const struct xc_sr_reader *r)
{
    return r->phase.phase == (r->phase.direction == XC_SR_BACK
                                  ? XC_SR_BACK_ENDED
                                  : XC_SR_FWD_ENDED);
}

/* The record is complete: where the next call goes on. */
static void leave_record(struct xc_sr_reader *r)
{
    r->nr_records++;
    if ( has_ended(r) )
        r->state = AT_END;
    else if ( r->phase.direction == XC_SR_FORWARD &&
              r->phase.phase == XC_SR_FWD_UPPER )
        r->state = IN_UPPER;
    else
        r->state = AT_HEADER;
}

static int deliver_whole(struct xc_sr_reader *r, struct step *s)
{
    uint64_t total = XC_SR_RECORD_HEADER_LEN + padded(r->rec.length);
    uint64_t end = XC_SR_RECORD_HEADER_LEN + (uint64_t)r->rec.length;
    int rc;

    if ( s->len < total )
        return need(s, total);
    r->rec.body = s->data + XC_SR_RECORD_HEADER_LEN;
    rc = check_padding(r, s->data + end, total - end, r->offset + end);
    if ( !rc )
        rc = xc_sr__body_check(&r->rec, r->version, &r->known, &r->shape,
                               &r->fault);
    if ( rc )
        return rc;
    follow_body(r);
    leave_record(r);
    s->ev.kind = XC_SR_EV_RECORD;
    s->ev.record = r->rec;
    s->used = (size_t)total;
    return 0;
}

static int deliver_head(struct xc_sr_reader *r, struct step *s)
{
    uint64_t total = XC_SR_RECORD_HEADER_LEN + xc_sr__head_len(r->rec.id);
    int rc;

    if ( s->len < total )
        return need(s, total);
    r->rec.body = s->data + XC_SR_RECORD_HEADER_LEN;
    rc =
        xc_sr__body_check(&r->rec, r->version, &r->known, &r->shape, &r->fault);
    r->rec.body = NULL;
    if ( rc )
        return rc;
    follow_body(r);
    r->entries_at = 0;
    r->pages_found = 0;
    r->pages_at = 0;
    r->state = r->shape.count ? IN_ENTRIES : AT_TAIL;
    s->ev.kind = XC_SR_EV_HEAD;
    s->ev.record = r->rec;
    if ( r->rec.id == XC_SR_REC_POSTCOPY_RECOVER )
        s->ev.record.body = s->data + XC_SR_RECORD_HEADER_LEN;
    s->ev.count = r->shape.count;
    s->used = (size_t)total;
    return 0;
}

/* All entries are in: the contents they call for are those the body has? */
static int check_contents(struct xc_sr_reader *r)
{
    if ( xc_sr__rec_body(r->rec.id) != XC_SR_BODY_PAGES )
        return 0;
    if ( r->pages_found == r->shape.data_pages )
        return 0;
    return xc_sr__fault_set(
        &r->fault, -EPROTO, r->rec.offset + 4, "body_length",
        "%u octets: contents of %llu pages, the entries "
        "call for %llu",
        r->rec.length, (unsigned long long)r->shape.data_pages,
        (unsigned long long)r->pages_found);
}

static int deliver_entries(struct xc_sr_reader *r, struct step *s)
{
    uint64_t left = r->shape.count - r->entries_at;
    uint64_t n = s->len / r->shape.entry_len;
    int rc;

    if ( !n )
        return need(s, r->shape.entry_len);
    if ( n > left )
        n = left;
    rc = xc_sr__entries_check(&r->shape, s->data, r->entries_at, n,
                              &r->pages_found, &r->fault);
    if ( rc )
        return rc;
    if ( n == left )
    {
        rc = check_contents(r);
        if ( rc )
            return rc;
        r->skip_left = r->shape.data_pages * XC_SR_PAGE_SIZE;
        r->state = r->shape.data_pages ? IN_CONTENT : AT_TAIL;
    }
    s->ev.kind = XC_SR_EV_ENTRIES;
    s->ev.record = r->rec;
    s->ev.entries = s->data;
    s->ev.count = n;
    s->ev.first = r->entries_at;
    s->used = (size_t)(n * r->shape.entry_len);
    r->entries_at += n;
    return 0;
}

static int deliver_content(struct xc_sr_reader *r, struct step *s)
{
    uint64_t left = r->shape.data_pages - r->pages_at;
    uint64_t n = s->len / XC_SR_PAGE_SIZE;

    s->ev.record = r->rec;
    s->ev.first = r->pages_at;
    if ( r->skip_contents )
    {
        s->ev.kind = XC_SR_EV_SKIP;
        s->ev.need = (size_t)r->skip_left;
        return 0;
    }
    if ( !n )
        return need(s, XC_SR_PAGE_SIZE);
    if ( n > left )
        n = left;
    s->ev.kind = XC_SR_EV_CONTENT;
    s->ev.content = s->data;
    s->ev.count = n;
    s->used = (size_t)n * XC_SR_PAGE_SIZE;
    r->pages_at += n;
    if ( n == left )
        r->state = AT_TAIL;
    return 0;
}

static int deliver_tail(struct xc_sr_reader *r, struct step *s)
{
    leave_record(r);
    s->ev.kind = XC_SR_EV_TAIL;
    s->ev.record = r->rec;
    s->ev.count = r->shape.count;
    return 0;
}

/* Passes over what is there of an unknown record; only padding is looked at. */
static int pass_unknown(struct xc_sr_reader *r, struct step *s)
{
    const uint8_t *p = s->data + s->used;
    uint64_t have = s->len - s->used;
    uint64_t pad = padded(r->rec.length) - r->rec.length;
    uint64_t at = r->offset + s->used;
    int rc;

    if ( have > r->skip_left )
        have = r->skip_left;
    if ( r->skip_left - have < pad )
    {
        uint64_t body = r->skip_left > pad ? r->skip_left - pad : 0;

        rc = check_padding(r, p + body, have - body, at + body);
        if ( rc )
            return rc;
    }
    r->skip_left -= have;
    s->used += (size_t)have;
    if ( r->skip_left )
        return need(s, r->skip_left < XC_SR_PAGE_SIZE ? r->skip_left
                                                      : XC_SR_PAGE_SIZE);
    leave_record(r);
    s->ev.kind = XC_SR_EV_UNKNOWN;
    s->ev.record = r->rec;
    return 0;
}

/* ---- One call ------------------------------------------------------------------- */

static int step_once(struct xc_sr_reader *r, struct step *s)
{
    switch ( (enum state)r->state )
    {
    case IN_IMAGE:
        return take_image(r, s);
    case IN_DOMAIN:
        return take_domain(r, s);
    case AT_HEADER:
        return parse_header(r, s);
    case IN_WHOLE:
        return deliver_whole(r, s);
    case IN_HEAD:
        return deliver_head(r, s);
    case IN_ENTRIES:
        return deliver_entries(r, s);
    case IN_CONTENT:
        return deliver_content(r, s);
    case AT_TAIL:
        return deliver_tail(r, s);
    case IN_UNKNOWN:
        return pass_unknown(r, s);
    case IN_UPPER:
        s->ev.kind = XC_SR_EV_UPPER;
        return 0;
    case AT_END:
        s->ev.kind = XC_SR_EV_END;
        return 0;
    case FAILED:
        break;
    }
    return r->fault.error;
}

/* Which record, or which header, the reader is in: for a fault. */
static void name_fault(struct xc_sr_reader *r, enum state state)
{
    struct xc_sr_stream_fault *f = &r->fault;

    f->record = r->nr_records;
    if ( state == IN_IMAGE )
        snprintf(f->type, sizeof(f->type), "image header");
    else if ( state == IN_DOMAIN )
        snprintf(f->type, sizeof(f->type), "domain header");
    else if ( r->rec.id == XC_SR_REC_COUNT )
        snprintf(f->type, sizeof(f->type), "UNKNOWN");
    else
        snprintf(f->type, sizeof(f->type), "%s", xc_sr__rec_name(r->rec.id));
}

int xc_sr__reader_next(struct xc_sr_reader *r, const uint8_t *data, size_t len,
                       struct xc_sr_event *ev_r, size_t *used_r)
{
    struct step s = { .data = data, .len = len };
    enum state before = (enum state)r->state;
    int rc = step_once(r, &s);

    /* A record header delivers nothing by itself. */
    if ( !rc && before == AT_HEADER && r->state != AT_HEADER )
        rc = step_once(r, &s);
    if ( rc )
    {
        if ( before != FAILED )
            name_fault(r, before);
        r->state = FAILED;
        return rc;
    }
    r->offset += s.used;
    r->window = len - s.used;
    *ev_r = s.ev;
    *used_r = s.used;
    return 0;
}

void xc_sr__reader_skipped(struct xc_sr_reader *r, uint64_t octets)
{
    if ( r->state != IN_CONTENT )
        return;
    if ( octets > r->skip_left )
        octets = r->skip_left;
    r->skip_left -= octets;
    r->offset += octets;
    r->window = 0;
    r->pages_at = r->shape.data_pages -
                  (r->skip_left + XC_SR_PAGE_SIZE - 1) / XC_SR_PAGE_SIZE;
    if ( !r->skip_left )
        r->state = AT_TAIL;
}

void xc_sr__reader_upper_done(struct xc_sr_reader *r, uint64_t octets)
{
    if ( r->state != IN_UPPER && r->state != AT_HEADER )
        return;
    r->offset += octets;
    r->window = 0;
    r->state = AT_HEADER;
    xc_sr__phase_upper_done(&r->phase);
}

/* ---- End of file ------------------------------------------------------------------ */

/* The stream stops at a record boundary. */
static int eof_at_boundary(struct xc_sr_reader *r)
{
    const char *last = r->phase.direction == XC_SR_BACK ? "POSTCOPY_COMPLETE "
                                                          "or POSTCOPY_NAK"
                                                        : "END";

    /* A checkpointed stream's back channel has no last record. */
    if ( r->phase.seen & 1ULL << XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST )
        return 0;
    r->fault.record = r->nr_records;
    snprintf(r->fault.type, sizeof(r->fault.type), "end of stream");
    return xc_sr__fault_set(&r->fault, -EPROTO, r->offset, "truncated",
                            "stops in phase \"%s\" without %s",
                            xc_sr__phase_label(&r->phase), last);
}

static int eof_inside(struct xc_sr_reader *r, const char *field,
                      uint64_t expected)
{
    uint64_t missing = expected > r->window ? expected - r->window : 0;

    name_fault(r, (enum state)r->state);
    return xc_sr__fault_set(&r->fault, -EPROTO, r->offset + r->window, field,
                            "the stream ends here, %llu octets are missing",
                            (unsigned long long)missing);
}

static int eof_in_upper(struct xc_sr_reader *r)
{
    r->fault.record = r->nr_records;
    snprintf(r->fault.type, sizeof(r->fault.type), "end of stream");
    return xc_sr__fault_set(&r->fault, -EPROTO, r->offset, "truncated",
                            "stops after POSTCOPY_TRANSITION, where the layer "
                            "above has its part");
}

int xc_sr__reader_eof(struct xc_sr_reader *r)
{
    uint64_t all = XC_SR_RECORD_HEADER_LEN + padded(r->rec.length);

    switch ( (enum state)r->state )
    {
    case IN_IMAGE:
        return eof_inside(r, "truncated", XC_SR_IMAGE_HEADER_LEN);
    case IN_DOMAIN:
        return eof_inside(r, "truncated", XC_SR_DOMAIN_HEADER_LEN);
    case AT_HEADER:
        if ( !r->window )
            return eof_at_boundary(r);
        r->rec.id = XC_SR_REC_COUNT;
        return eof_inside(r, "header", XC_SR_RECORD_HEADER_LEN);
    case IN_WHOLE:
    case IN_HEAD:
        return eof_inside(r, "body", all);
    case IN_ENTRIES:
        return eof_inside(r, "entry",
                          (r->shape.count - r->entries_at) *
                                  r->shape.entry_len +
                              r->shape.data_pages * XC_SR_PAGE_SIZE);
    case IN_CONTENT:
        return eof_inside(r, "page_data",
                          r->skip_contents
                              ? r->skip_left
                              : (r->shape.data_pages - r->pages_at) *
                                    XC_SR_PAGE_SIZE);
    case IN_UNKNOWN:
        return eof_inside(r, "body", r->skip_left);
    case AT_TAIL:
        return eof_at_boundary(r);
    case IN_UPPER:
        return eof_in_upper(r);
    case AT_END:
        return 0;
    case FAILED:
        break;
    }
    return r->fault.error;
}

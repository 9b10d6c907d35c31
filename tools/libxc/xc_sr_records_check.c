/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_records_check.c: one check a row of the record table: does this body
 * say what the format lets it say?
 *
 * The reader calls it after framing, length rule and phase have passed, with
 * the whole body or, for records with entries, the octets before them.  A
 * check reads through a cursor, so it cannot step outside; the length rule of
 * the row has already made sure of the fixed part.  Nothing here is trusted
 * later that was not compared here.  The row's name is pasted into the
 * function's: a row without a check does not compile.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, one section a record.
 */
#include <errno.h>

#include "xc_sr_check.h"

/* PFINFO types 5 to 8 are reserved; page tables exist in PV guests only. */
#define TYPES_PV       0xfe1fu
#define TYPES_HVM      0xe001u
#define TYPES_ALL_DATA 0x1fffu

#define PLAIN_PFN_ZERO (~XC_SR_ENTRY_PFN_MASK)

/* What a check works on. */
struct body
{
    const struct xc_sr_record *rec;
    unsigned int version;
    struct xc_sr_cursor c;
    struct xc_sr_known *known;
    struct xc_sr_body_shape *shape;
    struct xc_sr_stream_fault *fault;
};

#define U(v) ((unsigned long long)(v))

/* A fault in the field that was read last, of `width` octets. */
#define BAD(b, width, field, ...)                                              \
    xc_sr__fault_set((b)->fault, -EPROTO,                                      \
                     (b)->rec->offset + 8 + (b)->c.at - (width), field,        \
                     __VA_ARGS__)

/* In the record's header: its length, or that it is here at all. */
#define BAD_LENGTH(b, ...)                                                     \
    xc_sr__fault_set((b)->fault, -EPROTO, (b)->rec->offset + 4, "body_length", \
                     __VA_ARGS__)
#define BAD_TYPE(b, ...)                                                       \
    xc_sr__fault_set((b)->fault, -EPROTO, (b)->rec->offset, "type", __VA_ARGS__)

static int reserved_u32(struct body *b)
{
    uint32_t v = xc_sr__cursor_u32(&b->c);

    if ( v )
        return BAD(b, 4, "reserved", "0x%08x, must be 0", v);
    return 0;
}

/* A body length that does not go with a count in the body. */
static int bad_length(struct body *b, uint64_t expected)
{
    return BAD_LENGTH(b, "%u octets, its count makes it %llu", b->rec->length,
                      U(expected));
}

static int whole_leaves(struct body *b, uint32_t leaf_len)
{
    if ( b->rec->length % leaf_len )
        return BAD_LENGTH(b, "%u octets, not a multiple of %u", b->rec->length,
                          leaf_len);
    return 0;
}

static int check_empty(struct body *b)
{
    (void)b; /* the length rule has said it all */
    return 0;
}

/* ---- Text for people ------------------------------------------------------ */

/* text_len was read last; the text is all that is left of the body. */
static int check_text(struct body *b, uint32_t text_len)
{
    size_t left = text_len;

    if ( text_len != b->c.left )
        return bad_length(b, b->c.at + (uint64_t)text_len);
    while ( left )
    {
        const uint8_t *p = b->c.p;
        size_t n = xc_sr__text_step(p, left);

        if ( !n )
            return BAD(b, 0, "text",
                       "octet 0x%02x: neither UTF-8 nor printable", *p);
        xc_sr__cursor_bytes(&b->c, n);
        left -= n;
    }
    return 0;
}

/* ---- Session and epoch ----------------------------------------------------- */

static void learn_session(struct body *b)
{
    memcpy(b->known->session, xc_sr__cursor_bytes(&b->c, 16), 16);
    b->known->session_known = true;
}

static int same_session_epoch(struct body *b)
{
    const uint8_t *session = xc_sr__cursor_bytes(&b->c, 16);
    uint64_t epoch;

    if ( b->known->session_known && memcmp(session, b->known->session, 16) )
        return BAD(b, 16, "session", "not the session of this stream");
    epoch = xc_sr__cursor_u64(&b->c);
    if ( epoch != b->known->epoch )
        return BAD(b, 8, "epoch", "%llu, this connection's is %llu", U(epoch),
                   U(b->known->epoch));
    return 0;
}

/* The first record of a later connection. */
static int learn_session_epoch(struct body *b)
{
    uint64_t epoch;

    learn_session(b);
    epoch = xc_sr__cursor_u64(&b->c);
    if ( !epoch )
        return BAD(b, 8, "epoch", "0, a later connection has at least 1");
    b->known->epoch = epoch;
    return 0;
}

/* session, epoch, reason, text_len, text: NAK and ABORT. */
static int check_refusal(struct body *b)
{
    uint32_t reason;
    int rc = same_session_epoch(b);

    if ( rc )
        return rc;
    reason = xc_sr__cursor_u32(&b->c);
    if ( reason == XC_SR_REASON_NONE )
        return BAD(b, 4, "reason", "0, a reason is due");
    return check_text(b, xc_sr__cursor_u32(&b->c));
}

/* ---- Records with entries --------------------------------------------------- */

/* The types that may stand in an entry of this stream. */
static uint16_t legal_types(const struct xc_sr_known *known)
{
    return known->guest_type == XC_SR_GUEST_PV ? TYPES_PV : TYPES_HVM;
}

static void shape_init(struct body *b, uint32_t entry_len)
{
    *b->shape = (struct xc_sr_body_shape){
        .entry_len = entry_len,
        .at = b->rec->offset + 8 + b->c.at,
        .zero_bits = XC_SR_ENTRY_RESERVED,
        .nr_pfns =
            b->known->nr_pfns ? b->known->nr_pfns : XC_SR_ENTRY_PFN_MASK + 1,
        .types = legal_types(b->known),
    };
}

/* The pages header: count and reserved, then count entries. */
static int pages_header(struct body *b, uint32_t entry_len)
{
    uint32_t count = xc_sr__cursor_u32(&b->c);
    uint64_t room = (b->rec->length - XC_SR_PAGES_HEADER_LEN) / entry_len;
    int rc;

    if ( !count )
        return BAD(b, 4, "count", "0, at least 1");
    if ( count > room )
        return BAD(b, 4, "count", "%u, the body has room for %llu", count,
                   U(room));
    rc = reserved_u32(b);
    if ( rc )
        return rc;
    shape_init(b, entry_len);
    b->shape->count = count;
    return 0;
}

/* Entries fill the body. */
static int check_entries_only(struct body *b, uint32_t entry_len)
{
    uint64_t expected;
    int rc = pages_header(b, entry_len);

    if ( rc )
        return rc;
    expected = XC_SR_PAGES_HEADER_LEN + b->shape->count * entry_len;
    return b->rec->length == expected ? 0 : bad_length(b, expected);
}

/* After the entries whole pages, no more of them than entries. */
static int check_page_data(struct body *b)
{
    uint64_t rest;
    int rc = pages_header(b, 8);

    if ( rc )
        return rc;
    rest = b->rec->length - XC_SR_PAGES_HEADER_LEN - b->shape->count * 8;
    if ( rest % XC_SR_PAGE_SIZE )
        return BAD_LENGTH(b, "%u octets: the contents are no whole pages",
                          b->rec->length);
    b->shape->data_pages = rest / XC_SR_PAGE_SIZE;
    if ( b->shape->data_pages > b->shape->count )
        return BAD_LENGTH(b, "contents of %llu pages, but %llu entries",
                          U(b->shape->data_pages), U(b->shape->count));
    return 0;
}

static int check_postcopy_page_data(struct body *b)
{
    int rc = check_page_data(b);

    b->shape->types &= TYPES_ALL_DATA;
    return rc;
}

static int check_postcopy_pfns(struct body *b)
{
    return check_entries_only(b, 8);
}

static int check_zero_pages(struct body *b)
{
    int rc = check_entries_only(b, 8);

    if ( rc )
        return rc;
    if ( b->known->features_known &&
         !(b->known->features & XC_SR_FEATURE_ZERO_PAGES) )
        return BAD_TYPE(b, "ADVISE did not offer ZERO_PAGES");
    b->shape->types &= TYPES_ALL_DATA;
    return 0;
}

static int check_postcopy_discard(struct body *b)
{
    int rc = check_entries_only(b, 16);

    b->shape->types &= TYPES_ALL_DATA;
    return rc;
}

static int check_postcopy_fault(struct body *b)
{
    int rc = check_entries_only(b, 8);

    b->shape->zero_bits = PLAIN_PFN_ZERO;
    return rc;
}

static int check_x86_pv_p2m_frames(struct body *b)
{
    uint32_t start = xc_sr__cursor_u32(&b->c);
    uint32_t end = xc_sr__cursor_u32(&b->c);
    /* Entries of the guest's own P2M that fit a page. */
    uint32_t per_frame =
        XC_SR_PAGE_SIZE / (b->known->guest_width ? b->known->guest_width : 8);

    if ( end < start )
        return BAD(b, 4, "p2m_end_pfn", "0x%x, before p2m_start_pfn 0x%x", end,
                   start);
    shape_init(b, 8);
    b->shape->zero_bits = PLAIN_PFN_ZERO;
    b->shape->count = (uint64_t)end / per_frame - start / per_frame + 1;
    if ( b->rec->length != 8 + 8 * b->shape->count )
        return bad_length(b, 8 + 8 * b->shape->count);
    return 0;
}

static int check_checkpoint_dirty_pfn_list(struct body *b)
{
    shape_init(b, 8);
    b->shape->zero_bits = PLAIN_PFN_ZERO;
    b->shape->count = b->rec->length / 8;
    return whole_leaves(b, 8);
}

/* ---- Stock records ---------------------------------------------------------- */

static int check_x86_pv_info(struct body *b)
{
    const uint8_t *p = xc_sr__cursor_bytes(&b->c, 2);

    if ( p[0] != 4 && p[0] != 8 )
        return BAD(b, 2, "guest_width", "%u, must be 4 or 8", p[0]);
    if ( p[1] != (p[0] == 4 ? 3 : 4) )
        return BAD(b, 1, "pt_levels", "%u, does not go with guest_width %u",
                   p[1], p[0]);
    if ( xc_sr__cursor_u16(&b->c) )
        return BAD(b, 2, "reserved", "must be 0");
    b->known->guest_width = p[0];
    return reserved_u32(b);
}

static int check_vcpu(struct body *b)
{
    xc_sr__cursor_u32(&b->c); /* any vcpu_id */
    return reserved_u32(b);
}

static int check_x86_pv_vcpu_basic(struct body *b)
{
    int rc = check_vcpu(b);

    if ( !rc && !b->c.left )
        return BAD(b, 0, "context", "empty");
    return rc;
}

/* Xen 4.6 to 4.8 wrote empty ones (errata of the stock spec). */
static int check_vcpu_maybe_empty(struct body *b)
{
    return b->version == 2 ? check_vcpu(b) : check_x86_pv_vcpu_basic(b);
}

static int check_x86_tsc_info(struct body *b)
{
    uint32_t mode = xc_sr__cursor_u32(&b->c);

    /* default, always emulate, never emulate, and the former PVRDTSCP */
    if ( mode > 3 )
        return BAD(b, 4, "mode", "%u, no such TSC mode", mode);
    xc_sr__cursor_u32(&b->c); /* khz */
    xc_sr__cursor_u64(&b->c); /* nsec */
    xc_sr__cursor_u32(&b->c); /* incarnation */
    return reserved_u32(b);
}

static int check_hvm_params(struct body *b)
{
    uint32_t count = xc_sr__cursor_u32(&b->c);
    int rc;

    /* Empty ones: the same erratum as of empty vCPU records. */
    if ( !count && b->version != 2 )
        return BAD(b, 4, "count", "0, at least 1");
    rc = reserved_u32(b);
    if ( rc )
        return rc;
    if ( b->rec->length != 8 + 16 * (uint64_t)count )
        return bad_length(b, 8 + 16 * (uint64_t)count);
    return 0;
}

static int check_x86_cpuid_policy(struct body *b)
{
    return whole_leaves(b, 24);
}

/* index u32, flags u32 (none is defined), value u64 */
static int check_x86_msr_policy(struct body *b)
{
    int rc = whole_leaves(b, 16);

    while ( !rc && b->c.left )
    {
        uint32_t flags;

        xc_sr__cursor_u32(&b->c);
        flags = xc_sr__cursor_u32(&b->c);
        if ( flags )
            rc = BAD(b, 4, "flags", "0x%08x, must be 0", flags);
        else
            xc_sr__cursor_u64(&b->c);
    }
    return rc;
}

/* ---- Records of ours -------------------------------------------------------- */

static int check_nr_pfns(struct body *b)
{
    uint64_t nr_pfns = xc_sr__cursor_u64(&b->c);

    if ( !nr_pfns || nr_pfns > XC_SR_MAX_NR_PFNS )
        return BAD(b, 8, "nr_pfns", "%llu, must be 1 to 2^40", U(nr_pfns));
    b->known->nr_pfns = nr_pfns;
    return 0;
}

static int check_features(struct body *b)
{
    uint32_t features = xc_sr__cursor_u32(&b->c);

    if ( features & ~XC_SR_FEATURES_ALL )
        return BAD(b, 4, "features", "0x%08x has undefined bits", features);
    b->known->features = features;
    b->known->features_known = true;
    return 0;
}

static int check_postcopy_advise(struct body *b)
{
    uint32_t flags, nr_params;
    int rc;

    learn_session(b);
    rc = check_features(b);
    if ( rc )
        return rc;
    flags = xc_sr__cursor_u32(&b->c);
    if ( flags & ~3u )
        return BAD(b, 4, "flags", "0x%08x has undefined bits", flags);
    rc = check_nr_pfns(b);
    if ( rc )
        return rc;
    nr_params = xc_sr__cursor_u32(&b->c);
    if ( nr_params > XC_SR_MAX_PARAMS )
        return BAD(b, 4, "nr_params", "%u, at most %u", nr_params,
                   XC_SR_MAX_PARAMS);
    rc = reserved_u32(b);
    if ( rc )
        return rc;
    if ( b->c.left != 16 * (uint64_t)nr_params )
        return bad_length(b, 40 + 16 * (uint64_t)nr_params);
    return 0;
}

static int check_postcopy_ready(struct body *b)
{
    uint32_t text_len;
    int rc;

    learn_session(b);
    b->known->verdict = xc_sr__cursor_u32(&b->c);
    rc = check_features(b);
    if ( rc )
        return rc;
    text_len = xc_sr__cursor_u32(&b->c);
    if ( b->known->verdict == XC_SR_REASON_NONE && text_len )
        return BAD(b, 4, "text_len", "%u, an acceptance has no text", text_len);
    rc = reserved_u32(b);
    return rc ? rc : check_text(b, text_len);
}

/* The bitmap passes by in pieces: that of the largest guest is never held. */
static int check_postcopy_recover(struct body *b)
{
    uint64_t nr_pfns;
    int rc = learn_session_epoch(b);

    if ( rc )
        return rc;
    b->known->verdict = xc_sr__cursor_u32(&b->c);
    if ( b->known->verdict > XC_SR_RECOVER_LOST )
        return BAD(b, 4, "record", "%u, at most %u", b->known->verdict,
                   XC_SR_RECOVER_LOST);
    rc = check_features(b);
    if ( rc )
        return rc;
    rc = check_nr_pfns(b);
    if ( rc )
        return rc;
    nr_pfns = b->known->nr_pfns;
    *b->shape = (struct xc_sr_body_shape){
        .entry_len = 8,
        .at = b->rec->offset + 8 + b->c.at,
        .count = (nr_pfns + 63) / 64,
        .nr_pfns = UINT64_MAX,
        .types = 0xffff,
        .last_zero_bits = nr_pfns % 64 ? ~0ULL << (nr_pfns % 64) : 0,
    };
    if ( b->rec->length != XC_SR_RECOVER_HEAD_LEN + 8 * b->shape->count )
        return bad_length(b, XC_SR_RECOVER_HEAD_LEN + 8 * b->shape->count);
    return 0;
}

static int check_postcopy_resume(struct body *b)
{
    int rc = learn_session_epoch(b);

    if ( rc )
        return rc;
    b->known->verdict = xc_sr__cursor_u32(&b->c);
    if ( b->known->verdict > 1 )
        return BAD(b, 4, "verdict", "%u, must be 0 or 1", b->known->verdict);
    return reserved_u32(b);
}

/* READY accepted the feature this record belongs to? */
static int accepted(struct body *b, uint32_t feature, const char *name)
{
    if ( b->known->features_known && !(b->known->features & feature) )
        return BAD_TYPE(b, "READY did not accept %s", name);
    return 0;
}

static int check_postcopy_ack(struct body *b)
{
    uint64_t octets;
    int rc = accepted(b, XC_SR_FEATURE_ACK, "ACK");

    if ( rc )
        return rc;
    octets = xc_sr__cursor_u64(&b->c);
    if ( octets < b->known->acked )
        return BAD(b, 8, "octets", "%llu, less than %llu before", U(octets),
                   U(b->known->acked));
    b->known->acked = octets;
    return 0;
}

static int check_keepalive(struct body *b)
{
    return accepted(b, XC_SR_FEATURE_KEEPALIVE, "KEEPALIVE");
}

static int check_postcopy_stats(struct body *b)
{
    uint32_t count;
    int rc = accepted(b, XC_SR_FEATURE_STATS, "STATS");

    if ( rc )
        return rc;
    count = xc_sr__cursor_u32(&b->c);
    rc = reserved_u32(b);
    if ( rc )
        return rc;
    return b->c.left == 8 * (uint64_t)count ? 0
                                            : bad_length(b, 8 + 8ULL * count);
}

/* ---- Rows that share a check ------------------------------------------------- */

#define check_end                  check_empty
#define check_shared_info          check_empty /* any 4096 octets */
#define check_hvm_context          check_empty /* Xen's own blob */
#define check_toolstack            check_empty /* the layer above's blob */
#define check_verify               check_empty
#define check_checkpoint           check_empty
#define check_static_data_end      check_empty
#define check_postcopy_begin       check_empty
#define check_postcopy_pfns_begin  check_empty
#define check_postcopy_transition  check_empty
#define check_postcopy_complete    check_empty
#define check_postcopy_keepalive   check_keepalive
#define check_postcopy_alive       check_keepalive
#define check_x86_pv_vcpu_extended check_vcpu_maybe_empty
#define check_x86_pv_vcpu_xsave    check_vcpu_maybe_empty
#define check_x86_pv_vcpu_msrs     check_vcpu_maybe_empty
#define check_postcopy_commit      same_session_epoch
#define check_postcopy_prepared    same_session_epoch
#define check_postcopy_running     same_session_epoch
#define check_postcopy_nak         check_refusal
#define check_postcopy_abort       check_refusal

#define CHECK(NAME, lname, ...) [XC_SR_REC_##NAME] = check_##lname,
static int (*const checks[XC_SR_REC_COUNT])(struct body *) = {
    XC_SR_RECORDS_FWD(CHECK) XC_SR_RECORDS_BACK(CHECK)
};
#undef CHECK

int xc_sr__body_check(const struct xc_sr_record *rec, unsigned int version,
                      struct xc_sr_known *known,
                      struct xc_sr_body_shape *shape_r,
                      struct xc_sr_stream_fault *fault)
{
    struct xc_sr_known learnt = *known;
    struct xc_sr_body_shape shape = { 0 };
    struct body b = { .rec = rec,
                      .version = version,
                      .known = &learnt,
                      .shape = &shape,
                      .fault = fault };
    bool whole = xc_sr__rec_body(rec->id) == XC_SR_BODY_WHOLE;
    int rc;

    xc_sr__cursor_init(&b.c, rec->body,
                       whole ? rec->length : xc_sr__head_len(rec->id));
    rc = checks[rec->id](&b);
    if ( rc )
        return rc;
    *known = learnt;
    *shape_r = shape;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * codec_kit.h: well-formed example records and streams for the codec's tests
 * and the fuzzer's seeds, and one way to run a reader over octets.
 */
#ifndef CODEC_KIT_H
#define CODEC_KIT_H

#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_stream.h"

#define KIT_NR_PFNS   100u
#define KIT_UPPER_LEN 40u /* the upper layer's part in every example stream */

static const uint8_t kit_session[16] = { 1, 2,  3,  4,  5,  6,  7,  8,
                                         9, 10, 11, 12, 13, 14, 15, 16 };

static inline uint64_t kit_entry(uint64_t pfn, uint64_t type)
{
    return pfn | type << XC_SR_ENTRY_TYPE_SHIFT;
}

static inline void kit_session_epoch(struct xc_sr_writer *w, uint64_t epoch)
{
    xc_sr__write_bytes(w, kit_session, sizeof(kit_session));
    xc_sr__write_u64(w, epoch);
}

static inline void kit_u32s(struct xc_sr_writer *w, uint32_t a, uint32_t b)
{
    xc_sr__write_u32(w, a);
    xc_sr__write_u32(w, b);
}

static inline void kit_text(struct xc_sr_writer *w, const char *text)
{
    xc_sr__write_bytes(w, text, strlen(text));
}

static inline void kit_fill(struct xc_sr_writer *w, size_t len)
{
    uint8_t octets[256];

    for ( size_t at = 0; at < len; at += sizeof(octets) )
    {
        for ( size_t i = 0; i < sizeof(octets); i++ )
            octets[i] = (uint8_t)(i * 7 + at / sizeof(octets) + 1);
        xc_sr__write_bytes(
            w, octets, len - at < sizeof(octets) ? len - at : sizeof(octets));
    }
}

/* A record with page contents, or entries only if pages is 0. */
static inline void kit_pages(struct xc_sr_writer *w, enum xc_sr_rec rec,
                             const uint64_t *entries, uint32_t count,
                             uint32_t pages)
{
    xc_sr__write_begin(w, rec);
    kit_u32s(w, count, 0);
    for ( uint32_t i = 0; i < count; i++ )
        xc_sr__write_u64(w, entries[i]);
    xc_sr__write_end(w, pages * XC_SR_PAGE_SIZE);
    kit_fill(w, (size_t)pages * XC_SR_PAGE_SIZE);
}

static inline void kit_page_data(struct xc_sr_writer *w, bool pv)
{
    const uint64_t hvm[] = { kit_entry(1, 0), kit_entry(2, 0xf),
                             kit_entry(3, 0), kit_entry(4, 0xd) };
    const uint64_t pvs[] = { kit_entry(1, 1), kit_entry(2, 0xc),
                             kit_entry(5, 0xe) };

    if ( pv )
        kit_pages(w, XC_SR_REC_PAGE_DATA, pvs, 3, 2);
    else
        kit_pages(w, XC_SR_REC_PAGE_DATA, hvm, 4, 2);
}

static inline void kit_params(struct xc_sr_writer *w)
{
    xc_sr__write_u64(w, 1);
    xc_sr__write_u64(w, 0xfeffc);
    xc_sr__write_u64(w, 28);
    xc_sr__write_u64(w, 0xfeff9);
}

/* One well-formed record of each kind, as part of the streams below. */
static inline void kit_record(struct xc_sr_writer *w, enum xc_sr_rec rec,
                              uint64_t epoch)
{
    const uint64_t two[] = { kit_entry(10, 0), kit_entry(11, 0) };
    const uint64_t mixed[] = { kit_entry(10, 0), kit_entry(12, 0xf),
                               kit_entry(11, 0) };

    switch ( (int)rec )
    {
    case XC_SR_REC_PAGE_DATA:
        kit_page_data(w, false);
        return;
    case XC_SR_REC_POSTCOPY_PFNS:
        kit_pages(w, rec, mixed, 3, 0);
        return;
    case XC_SR_REC_ZERO_PAGES:
    case XC_SR_REC_POSTCOPY_FAULT:
        kit_pages(w, rec, two, 2, 0);
        return;
    case XC_SR_REC_POSTCOPY_PAGE_DATA:
        kit_pages(w, rec, two, 2, 2);
        return;
    default:
        break;
    }

    xc_sr__write_begin(w, rec);
    switch ( (int)rec )
    {
    case XC_SR_REC_X86_PV_INFO:
        xc_sr__write_bytes(w, "\x08\x04\0\0\0\0\0\0", 8);
        break;
    case XC_SR_REC_X86_PV_P2M_FRAMES: /* pfns 500 to 1030: frames 0 to 2 */
        kit_u32s(w, 500, 1030);
        xc_sr__write_u64(w, 7);
        xc_sr__write_u64(w, 8);
        xc_sr__write_u64(w, 9);
        break;
    case XC_SR_REC_X86_PV_VCPU_BASIC:
    case XC_SR_REC_X86_PV_VCPU_EXTENDED:
    case XC_SR_REC_X86_PV_VCPU_XSAVE:
    case XC_SR_REC_X86_PV_VCPU_MSRS:
        kit_u32s(w, 1, 0);
        kit_fill(w, 21);
        break;
    case XC_SR_REC_SHARED_INFO:
        kit_fill(w, 4096);
        break;
    case XC_SR_REC_X86_TSC_INFO:
        kit_u32s(w, 2, 2400000);
        xc_sr__write_u64(w, 123456789);
        kit_u32s(w, 1, 0);
        break;
    case XC_SR_REC_HVM_CONTEXT:
    case XC_SR_REC_TOOLSTACK:
        kit_fill(w, 43);
        break;
    case XC_SR_REC_HVM_PARAMS:
        kit_u32s(w, 2, 0);
        kit_params(w);
        break;
    case XC_SR_REC_X86_CPUID_POLICY:
        kit_fill(w, 48);
        break;
    case XC_SR_REC_X86_MSR_POLICY:
        kit_u32s(w, 0xce, 0);
        xc_sr__write_u64(w, 0x80000000);
        break;
    case XC_SR_REC_POSTCOPY_ADVISE:
        xc_sr__write_bytes(w, kit_session, 16);
        kit_u32s(w, XC_SR_FEATURES_ALL, 1);
        xc_sr__write_u64(w, KIT_NR_PFNS);
        kit_u32s(w, 2, 0);
        kit_params(w);
        break;
    case XC_SR_REC_POSTCOPY_DISCARD:
        kit_u32s(w, 2, 0);
        xc_sr__write_u64(w, kit_entry(20, 0));
        xc_sr__write_u64(w, 30);
        xc_sr__write_u64(w, kit_entry(99, 0));
        xc_sr__write_u64(w, 1);
        break;
    case XC_SR_REC_POSTCOPY_COMMIT:
    case XC_SR_REC_POSTCOPY_PREPARED:
    case XC_SR_REC_POSTCOPY_RUNNING:
        kit_session_epoch(w, epoch);
        break;
    case XC_SR_REC_POSTCOPY_ABORT:
    case XC_SR_REC_POSTCOPY_NAK:
        kit_session_epoch(w, epoch);
        kit_u32s(w, XC_SR_REASON_FAILED, 13);
        kit_text(w, "d\xc3\xa9sol\xc3\xa9, no.");
        break;
    case XC_SR_REC_POSTCOPY_RESUME:
        kit_session_epoch(w, epoch);
        kit_u32s(w, 0, 0);
        break;
    case XC_SR_REC_POSTCOPY_READY:
        xc_sr__write_bytes(w, kit_session, 16);
        kit_u32s(w, XC_SR_REASON_NONE, XC_SR_FEATURES_ALL);
        kit_u32s(w, 0, 0);
        break;
    case XC_SR_REC_POSTCOPY_RECOVER:
        kit_session_epoch(w, epoch);
        kit_u32s(w, XC_SR_RECOVER_OWNER, 0);
        xc_sr__write_u64(w, KIT_NR_PFNS);
        xc_sr__write_u64(w, ~0ULL);
        xc_sr__write_u64(w, 0xfffffffffULL);
        break;
    case XC_SR_REC_POSTCOPY_ACK:
        xc_sr__write_u64(w, 1000);
        break;
    case XC_SR_REC_POSTCOPY_STATS:
        kit_u32s(w, 3, 0);
        xc_sr__write_u64(w, 5);
        xc_sr__write_u64(w, 1);
        xc_sr__write_u64(w, 0);
        break;
    case XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST:
        xc_sr__write_u64(w, 17);
        xc_sr__write_u64(w, 4);
        break;
    default:
        break;
    }
    xc_sr__write_end(w, 0);
}

/* An optional record nobody knows. */
static inline void kit_unknown(struct xc_sr_writer *w, size_t len)
{
    size_t at = w->len;

    kit_u32s(w, 0x80000abc, (uint32_t)len);
    kit_fill(w, len);
    while ( (w->len - at) % 8 )
        xc_sr__write_bytes(w, "", 1);
}

/*
 * A stream as a list of records; KIT_UPPER and KIT_UNKNOWN stand for what is
 * no record of the table.
 */
enum
{
    KIT_STOP = -1,
    KIT_UPPER = -2,
    KIT_UNKNOWN = -3,
    KIT_PV_PAGES = -4,
};

enum kit_head
{
    KIT_HEAD_NONE,
    KIT_HEAD_HVM,
    KIT_HEAD_PV,
    KIT_HEAD_RESUMING, /* a new connection: no headers, epoch 1 */
};

struct kit_stream
{
    const char *name;
    enum xc_sr_direction direction;
    unsigned int version;
    enum kit_head head;
    int records[24];
};

#define K(NAME) XC_SR_REC_##NAME
/* clang-format off */
static const struct kit_stream kit_streams[] = {
    { "stock-2-hvm", XC_SR_FORWARD, 2, KIT_HEAD_HVM,
      { K(PAGE_DATA), K(VERIFY), K(PAGE_DATA), K(X86_TSC_INFO), K(HVM_PARAMS),
        K(HVM_CONTEXT), K(TOOLSTACK), K(END), KIT_STOP } },
    { "stock-3-hvm", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(X86_CPUID_POLICY), K(X86_MSR_POLICY), K(STATIC_DATA_END),
        K(PAGE_DATA), KIT_UNKNOWN, K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(END), KIT_STOP } },
    { "stock-2-pv", XC_SR_FORWARD, 2, KIT_HEAD_PV,
      { K(X86_PV_INFO), K(X86_PV_P2M_FRAMES), KIT_PV_PAGES, K(X86_TSC_INFO),
        K(SHARED_INFO), K(X86_PV_VCPU_BASIC), K(X86_PV_VCPU_EXTENDED),
        K(X86_PV_VCPU_XSAVE), K(X86_PV_VCPU_MSRS), K(END), KIT_STOP } },
    { "stock-3-pv", XC_SR_FORWARD, 3, KIT_HEAD_PV,
      { K(X86_PV_INFO), K(X86_CPUID_POLICY), K(STATIC_DATA_END),
        K(X86_PV_P2M_FRAMES), KIT_PV_PAGES, K(X86_TSC_INFO), K(SHARED_INFO),
        K(X86_PV_VCPU_BASIC), K(X86_PV_VCPU_BASIC), K(END), KIT_STOP } },
    { "checkpointed-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(STATIC_DATA_END), K(PAGE_DATA), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(CHECKPOINT), K(PAGE_DATA), K(X86_TSC_INFO),
        K(HVM_CONTEXT), K(HVM_PARAMS), K(CHECKPOINT), K(END), KIT_STOP } },
    { "original-2", XC_SR_FORWARD, 2, KIT_HEAD_HVM,
      { K(PAGE_DATA), K(POSTCOPY_BEGIN), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(POSTCOPY_PFNS_BEGIN), K(POSTCOPY_PFNS),
        K(POSTCOPY_TRANSITION), KIT_UPPER, K(POSTCOPY_PAGE_DATA), KIT_UNKNOWN,
        K(END), KIT_STOP } },
    { "postcopy-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(POSTCOPY_ADVISE), K(X86_CPUID_POLICY), K(X86_MSR_POLICY),
        K(STATIC_DATA_END), K(PAGE_DATA), K(ZERO_PAGES), K(POSTCOPY_DISCARD),
        K(PAGE_DATA), K(POSTCOPY_BEGIN), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(POSTCOPY_PFNS_BEGIN), K(POSTCOPY_PFNS),
        K(POSTCOPY_TRANSITION), KIT_UPPER, K(POSTCOPY_PAGE_DATA),
        K(POSTCOPY_COMMIT), K(ZERO_PAGES), K(END), KIT_STOP } },
    { "aborted-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(POSTCOPY_ADVISE), K(STATIC_DATA_END), K(PAGE_DATA),
        K(POSTCOPY_ABORT), KIT_STOP } },
    { "resumed-3", XC_SR_FORWARD, 3, KIT_HEAD_RESUMING,
      { K(POSTCOPY_RESUME), K(POSTCOPY_COMMIT), K(POSTCOPY_PAGE_DATA), K(END),
        KIT_STOP } },
    { "back-2", XC_SR_BACK, 2, KIT_HEAD_NONE,
      { K(POSTCOPY_FAULT), K(POSTCOPY_FAULT), K(POSTCOPY_COMPLETE),
        KIT_STOP } },
    { "back-3", XC_SR_BACK, 3, KIT_HEAD_NONE,
      { K(POSTCOPY_READY), K(POSTCOPY_ACK), K(POSTCOPY_FAULT),
        K(POSTCOPY_PREPARED), K(POSTCOPY_RUNNING), K(POSTCOPY_FAULT),
        K(POSTCOPY_ACK), KIT_UNKNOWN, K(POSTCOPY_STATS), K(POSTCOPY_COMPLETE),
        KIT_STOP } },
    { "back-nak-3", XC_SR_BACK, 3, KIT_HEAD_NONE,
      { K(POSTCOPY_READY), K(POSTCOPY_NAK), KIT_STOP } },
    { "back-recover-3", XC_SR_BACK, 3, KIT_HEAD_RESUMING,
      { K(POSTCOPY_RECOVER), K(POSTCOPY_RUNNING), K(POSTCOPY_COMPLETE),
        KIT_STOP } },
};
/* clang-format on */
#undef K

#define KIT_NR_STREAMS XC_SR_ARRAY_SIZE(kit_streams)

/* Where each record of a built stream stands, headers not counted. */
struct kit_index
{
    size_t at[24];
    unsigned int nr;
};

static inline void kit_headers(struct xc_sr_writer *w, enum kit_head head)
{
    const struct xc_sr_domain_header dhdr = {
        .type = head == KIT_HEAD_PV ? XC_SR_GUEST_PV : XC_SR_GUEST_HVM,
        .page_shift = XC_SR_PAGE_SHIFT,
        .xen_major = 4,
        .xen_minor = 17,
    };

    if ( head != KIT_HEAD_HVM && head != KIT_HEAD_PV )
        return;
    xc_sr__write_image_header(w);
    xc_sr__write_domain_header(w, &dhdr);
}

static inline void kit_build(const struct kit_stream *s, struct xc_sr_writer *w,
                             struct kit_index *index)
{
    uint64_t epoch = s->head == KIT_HEAD_RESUMING ? 1 : 0;

    *index = (struct kit_index){ 0 };
    xc_sr__writer_init(w, s->version);
    kit_headers(w, s->head);
    for ( unsigned int i = 0; s->records[i] != KIT_STOP; i++ )
    {
        if ( s->records[i] == KIT_UPPER )
        {
            kit_fill(w, KIT_UPPER_LEN);
            continue;
        }
        index->at[index->nr++] = w->len;
        if ( s->records[i] == KIT_UNKNOWN )
            kit_unknown(w, 27);
        else if ( s->records[i] == KIT_PV_PAGES )
            kit_page_data(w, true);
        else
            kit_record(w, (enum xc_sr_rec)s->records[i], epoch);
    }
    if ( w->error )
        abort();
}

static inline const struct kit_stream *kit_find(const char *name)
{
    for ( unsigned int i = 0; i < KIT_NR_STREAMS; i++ )
        if ( !strcmp(kit_streams[i].name, name) )
            return &kit_streams[i];
    abort();
}

static inline void kit_reader(const struct kit_stream *s,
                              struct xc_sr_reader *r)
{
    if ( s->head == KIT_HEAD_RESUMING && s->direction == XC_SR_FORWARD )
        xc_sr__reader_init_resuming(r);
    else
        xc_sr__reader_init(r, s->direction, s->version);
}

/* ---- Running a reader ------------------------------------------------------- */

/* What came out, in a form that does not depend on the chunking. */
struct kit_trace
{
    char text[4096];
    size_t len;
    uint64_t entries; /* of the record being read */
    uint64_t pages;
    uint64_t digest; /* of the entries and contents */
    bool no_digest;  /* set by the caller: saves time */
    bool ended;
};

static inline void kit_digest(struct kit_trace *t, const uint8_t *p, size_t len)
{
    if ( t->no_digest )
        return;
    for ( size_t i = 0; i < len; i++ )
        t->digest = t->digest * 1099511628211u + p[i] + 1;
}

static inline void kit_note(struct kit_trace *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline void kit_note(struct kit_trace *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->text + t->len, sizeof(t->text) - t->len, fmt, args);
    va_end(args);
    if ( n < 0 || (size_t)n >= sizeof(t->text) - t->len )
        abort();
    t->len += (size_t)n;
}

static inline void kit_event(struct kit_trace *t, const struct xc_sr_event *ev,
                             bool runs)
{
    const struct xc_sr_record *rec = &ev->record;

    switch ( ev->kind )
    {
    case XC_SR_EV_IMAGE:
        kit_note(t, "image%u ", ev->image.version);
        break;
    case XC_SR_EV_DOMAIN:
        kit_note(t, "domain%u ", ev->domain.type);
        break;
    case XC_SR_EV_RECORD:
        kit_digest(t, rec->body, rec->length);
        kit_note(t, "%s(%u) ", xc_sr__rec_name(rec->id), rec->length);
        break;
    case XC_SR_EV_HEAD:
        t->entries = 0;
        t->pages = 0;
        kit_note(t, "%s[%llu ", xc_sr__rec_name(rec->id),
                 (unsigned long long)ev->count);
        break;
    case XC_SR_EV_ENTRIES:
        if ( ev->first != t->entries )
            kit_note(t, "?first ");
        t->entries += ev->count;
        kit_digest(t, ev->entries, (size_t)ev->count * (runs ? 16 : 8));
        break;
    case XC_SR_EV_CONTENT:
        if ( ev->first != t->pages )
            kit_note(t, "?first ");
        t->pages += ev->count;
        kit_digest(t, ev->content, (size_t)ev->count * XC_SR_PAGE_SIZE);
        break;
    case XC_SR_EV_TAIL:
        kit_note(t, "%llu+%llu] ", (unsigned long long)t->entries,
                 (unsigned long long)t->pages);
        break;
    case XC_SR_EV_UNKNOWN:
        kit_note(t, "0x%x(%u) ", rec->type, rec->length);
        break;
    case XC_SR_EV_UPPER:
        kit_note(t, "upper ");
        break;
    case XC_SR_EV_END:
        kit_note(t, "end");
        t->ended = true;
        break;
    case XC_SR_EV_SKIP:
    case XC_SR_EV_NEED:
        break;
    }
}

/*
 * Runs r over data, showing it at most `chunk` octets more whenever it asks.
 * 0, or the reader's error; at the end of data that of xc_sr__reader_eof().
 */
static inline int kit_run(struct xc_sr_reader *r, const uint8_t *data,
                          size_t len, size_t chunk, struct kit_trace *t)
{
    size_t at = 0, shown = 0, used;
    struct xc_sr_event ev;
    int rc;

    t->text[0] = '\0';
    t->len = 0;
    t->digest = 0;
    t->ended = false;
    while ( !t->ended )
    {
        rc = xc_sr__reader_next(r, data + at, shown - at, &ev, &used);
        if ( rc )
            return rc;
        if ( used > shown - at )
            abort();
        kit_event(t, &ev, r->rec.id == XC_SR_REC_POSTCOPY_DISCARD);
        at += used;
        if ( ev.kind == XC_SR_EV_SKIP )
        {
            size_t skip = ev.need < len - at ? ev.need : len - at;

            skip = skip > chunk ? chunk : skip;
            xc_sr__reader_skipped(r, skip);
            at += skip;
            if ( !skip )
                return xc_sr__reader_eof(r);
        }
        else if ( ev.kind == XC_SR_EV_UPPER )
        {
            if ( len - at < KIT_UPPER_LEN )
                return xc_sr__reader_eof(r);
            xc_sr__reader_upper_done(r, KIT_UPPER_LEN);
            at += KIT_UPPER_LEN;
        }
        else if ( ev.kind == XC_SR_EV_NEED )
        {
            if ( shown >= len )
                return xc_sr__reader_eof(r);
            if ( ev.need <= shown - at )
                abort(); /* it has what it asks for */
            shown += chunk < len - shown ? chunk : len - shown;
        }
        if ( shown < at )
            shown = at;
    }
    return 0;
}

#endif /* CODEC_KIT_H */

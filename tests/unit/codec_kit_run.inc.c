/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * codec_kit_run.inc.c: runs a reader over octets, as many at a time as a test
 * likes, and notes what came out.  Part of codec_kit.h.
 */
/* What came out, in a form that does not depend on the chunking. */
struct kit_trace
{
    char text[4096];
    size_t len;
    uint64_t entries; /* of the record being read */
    uint64_t pages;
    uint64_t digest; /* of the entries and contents */
    bool quiet;      /* set by the caller: notes nothing, saves time */
    bool ended;
};

static inline void kit_digest(struct kit_trace *t, const uint8_t *p, size_t len)
{
    if ( t->quiet )
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

    if ( t->quiet )
        return;
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

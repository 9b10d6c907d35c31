/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify_lines.c: what the verifier counts, and its one line a record.
 *
 * Records that carry entries come by the thousand; a run of one kind becomes
 * one line with page counts by type.  Called by xc_sr_verify.c alone, after
 * the record has passed every check.
 */
#include "xc_sr_verify_priv.h"

#include <inttypes.h>
#include <stdio.h>

/* Types of page entries, from their nibble; 5-8 do not exist. */
static const char *const page_types[XC_SR_VERIFY_PAGE_TYPES] = {
    "normal",   "L1",     "L2",     "L3",       "L4",       "type5",
    "type6",    "type7",  "type8",  "L1pinned", "L2pinned", "L3pinned",
    "L4pinned", "broken", "xalloc", "xtab",
};

static void say(struct xc_sr_verifier *v, const char *line)
{
    if ( v->params.line )
        v->params.line(v->params.ctx, line);
}

void xc_sr__verify_tell_headers(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev, uint64_t offset)
{
    char line[256];

    if ( ev->kind == XC_SR_EV_IMAGE )
    {
        v->report.version = ev->image.version;
        snprintf(line, sizeof(line),
                 "0x%08" PRIx64 " image header: version %u, little endian",
                 offset + v->params.base, ev->image.version);
    }
    else
    {
        v->report.guest_type = ev->domain.type;
        v->report.xen_major = ev->domain.xen_major;
        v->report.xen_minor = ev->domain.xen_minor;
        snprintf(line, sizeof(line),
                 "0x%08" PRIx64 " domain header: %s, Xen %u.%u",
                 offset + v->params.base,
                 ev->domain.type == XC_SR_GUEST_PV ? "x86 PV" : "x86 HVM",
                 ev->domain.xen_major, ev->domain.xen_minor);
    }
    say(v, line);
}

static void count_record(struct xc_sr_verifier *v,
                         const struct xc_sr_record *rec)
{
    v->report.records++;
    if ( rec->id < XC_SR_REC_COUNT )
        v->by_rec[rec->id]++;
    else
        v->report.unknown++;
}

void xc_sr__verify_tell_record(struct xc_sr_verifier *v,
                               const struct xc_sr_record *rec)
{
    char text[400], line[512];

    xc_sr__verify_tell_flush(v);
    count_record(v, rec);
    if ( !v->params.line )
        return;
    snprintf(
        line, sizeof(line), "0x%08" PRIx64 " record %" PRIu64 " %s",
        rec->offset + v->params.base, rec->number,
        xc_sr__record_describe(rec, v->reader.version, text, sizeof(text)));
    say(v, line);
}

void xc_sr__verify_tell_head(struct xc_sr_verifier *v,
                             const struct xc_sr_record *rec)
{
    struct xc_sr_verify_fold *fold = &v->fold;

    /* A head that says something by itself: RECOVER. */
    if ( rec->body )
    {
        xc_sr__verify_tell_record(v, rec);
        return;
    }
    count_record(v, rec);
    if ( fold->records && fold->id != rec->id )
        xc_sr__verify_tell_flush(v);
    if ( !fold->records++ )
    {
        fold->id = rec->id;
        fold->first = rec->number;
        fold->offset = rec->offset + v->params.base;
    }
    fold->last = rec->number;
}

void xc_sr__verify_tell_entries(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev)
{
    enum xc_sr_rec id = ev->record.id;
    enum xc_sr_body body = xc_sr__rec_body(id);
    struct xc_sr_verify_fold *fold = &v->fold;
    bool moves = body == XC_SR_BODY_PAGES || id == XC_SR_REC_ZERO_PAGES;

    if ( id == XC_SR_REC_POSTCOPY_RECOVER )
        return; /* words of a bitmap: its head was told */
    if ( body == XC_SR_BODY_LIST )
    {
        fold->items += ev->count;
        return;
    }
    for ( uint64_t i = 0; i < ev->count; i++ )
    {
        const uint8_t *p = ev->entries + i * (body == XC_SR_BODY_RUNS ? 16 : 8);
        uint32_t type = xc_sr__entry_type(xc_sr__le64(p));
        uint64_t pages = body == XC_SR_BODY_RUNS ? xc_sr__le64(p + 8) : 1;

        fold->items += pages;
        fold->by_type[type] += pages;
        if ( moves )
            v->report.by_page_type[type].count++;
    }
    if ( id == XC_SR_REC_ZERO_PAGES )
        v->report.zero_pages += ev->count;
}

/* ": 12 pages: 10 normal, 2 xtab" */
static void describe_fold(const struct xc_sr_verify_fold *fold, char *buf,
                          size_t cap)
{
    bool list = xc_sr__rec_body(fold->id) == XC_SR_BODY_LIST;
    bool typed = !list && fold->id != XC_SR_REC_POSTCOPY_FAULT;
    const char *sep = ": ";
    int len;

    len = snprintf(buf, cap, "%" PRIu64 " %s", fold->items,
                   list ? "values" : "pages");
    for ( unsigned int i = 0; typed && i < XC_SR_VERIFY_PAGE_TYPES; i++ )
    {
        if ( !fold->by_type[i] || len < 0 || (size_t)len >= cap )
            continue;
        len += snprintf(buf + len, cap - (size_t)len, "%s%" PRIu64 " %s", sep,
                        fold->by_type[i], page_types[i]);
        sep = ", ";
    }
}

void xc_sr__verify_tell_flush(struct xc_sr_verifier *v)
{
    struct xc_sr_verify_fold *fold = &v->fold;
    char text[400], line[512], numbers[48];

    if ( !fold->records )
        return;
    if ( v->params.line )
    {
        if ( fold->records == 1 )
            snprintf(numbers, sizeof(numbers), "record %" PRIu64, fold->first);
        else
            snprintf(numbers, sizeof(numbers), "records %" PRIu64 "-%" PRIu64,
                     fold->first, fold->last);
        describe_fold(fold, text, sizeof(text));
        snprintf(line, sizeof(line), "0x%08" PRIx64 " %s %s: %s", fold->offset,
                 numbers, xc_sr__rec_name(fold->id), text);
        say(v, line);
    }
    memset(fold, 0, sizeof(*fold));
}

void xc_sr_verifier_report(const struct xc_sr_verifier *v,
                           struct xc_sr_verify_report *report_r)
{
    _Static_assert(XC_SR_REC_COUNT <= XC_SR_VERIFY_RECORDS, "report too small");
    struct xc_sr_verify_report report = v->report;

    for ( unsigned int i = 0; i < XC_SR_REC_COUNT; i++ )
    {
        struct xc_sr_verify_count *count;

        if ( !v->by_rec[i] )
            continue;
        count = &report.by_record[report.nr_record_types++];
        count->name = xc_sr__rec_name((enum xc_sr_rec)i);
        count->count = v->by_rec[i];
    }
    for ( unsigned int i = 0; i < XC_SR_VERIFY_PAGE_TYPES; i++ )
        report.by_page_type[i].name = page_types[i];
    report.version = v->reader.version;
    report.octets = v->reader.offset;
    report.nr_pfns = v->reader.known.nr_pfns;
    report.announced_pages = v->rules.announced.count;
    report.missing_pages = v->rules.owed.count;
    report.untracked_pages = v->rules.untracked_pages;
    *report_r = report;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_pages.c: page contents into the guest.
 *
 * Called by xc_sr_restore_act.c with events whose form the reader has already
 * checked; what is checked here is what only an engine can know: that a pfn
 * belongs to this guest, that it was announced, whether it is still wanted.
 * Transfers are idempotent: a page that is there already, or that the guest
 * has released, is counted and dropped.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_restore.h"

static int bad_pfn(struct xc_sr_receiver *r, const struct xc_sr_event *ev,
                   uint64_t pfn, const char *why)
{
    return xc_sr__receiver_fail(
        r, -EPROTO, "offset 0x%llx: record %llu (%s): pfn 0x%llx: %s",
        (unsigned long long)ev->record.offset,
        (unsigned long long)ev->record.number, xc_sr__rec_name(ev->record.id),
        (unsigned long long)pfn, why);
}

static int hv_fail(struct xc_sr_receiver *r, int rc, const char *what,
                   uint64_t pfn)
{
    return xc_sr__receiver_fail(r, rc, "cannot %s pfn 0x%llx: %s", what,
                                (unsigned long long)pfn, strerror(-rc));
}

/* ---- Contents of missing pages ----------------------------------------------------- */

static int settle_page(struct xc_sr_receiver *r, uint64_t pfn, int err)
{
    if ( err == -ENOENT )
        r->stats->released++;
    else if ( err == -EEXIST )
        r->stats->duplicates++;
    else if ( err )
        return hv_fail(r, err, "load", pfn);
    else
        r->pages_in++;
    xc_sr__pageset_remove(&r->missing, pfn);
    return xc_sr__receiver_page_settled(r, pfn);
}

/* nr missing pages; contents NULL: zeroes. */
static int load_missing(struct xc_sr_receiver *r, const uint64_t *pfns,
                        unsigned int nr, const uint8_t *contents)
{
    int errs[XC_SR_HV_BATCH];
    int rc = xc_sr__hv_page_in(r->hv, pfns, nr, contents, errs);

    if ( rc )
        rc = xc_sr__receiver_unless_gone(r, rc);
    if ( rc )
        return hv_fail(r, rc, "load", pfns[0]);
    if ( r->gone )
        return 0;
    for ( unsigned int i = 0; !rc && i < nr; i++ )
        rc = settle_page(r, pfns[i], errs[i]);
    return rc;
}

/* ---- Contents of present pages ------------------------------------------------------ */

static int populate(struct xc_sr_receiver *r, const uint64_t *pfns,
                    unsigned int nr)
{
    uint64_t wanted[XC_SR_HV_BATCH];
    int errs[XC_SR_HV_BATCH];
    unsigned int nr_wanted = 0;
    int rc;

    for ( unsigned int i = 0; i < nr; i++ )
        if ( xc_sr__pageset_add(&r->populated, pfns[i]) )
            wanted[nr_wanted++] = pfns[i];
    if ( nr_wanted == 0 )
        return 0;
    rc = xc_sr__hv_populate(r->hv, wanted, nr_wanted, errs);
    if ( rc )
        return hv_fail(r, rc, "populate", wanted[0]);
    for ( unsigned int i = 0; i < nr_wanted; i++ )
        if ( errs[i] )
            return hv_fail(r, errs[i], "populate", wanted[i]);
    return 0;
}

static int store_present(struct xc_sr_receiver *r, const uint64_t *pfns,
                         unsigned int nr, const uint8_t *contents)
{
    int errs[XC_SR_HV_BATCH];
    int rc = populate(r, pfns, nr);

    if ( rc )
        return rc;
    rc = xc_sr__hv_write_pages(r->hv, pfns, nr, contents, errs);
    if ( rc )
        return hv_fail(r, rc, "write", pfns[0]);
    for ( unsigned int i = 0; i < nr; i++ )
        if ( errs[i] )
            return hv_fail(r, errs[i], "write", pfns[i]);
    r->pages_in += nr;
    return 0;
}

/*
 * Pages that were announced and could not be paged out, because somebody has
 * them in use: the guest does not run yet, so they are written.
 */
static int store_stuck(struct xc_sr_receiver *r, const uint64_t *pfns,
                       unsigned int nr, const uint8_t *contents)
{
    int rc = store_present(r, pfns, nr, contents);

    for ( unsigned int i = 0; !rc && i < nr; i++ )
    {
        xc_sr__pageset_remove(&r->stuck, pfns[i]);
        xc_sr__pageset_remove(&r->missing, pfns[i]);
        rc = xc_sr__receiver_page_settled(r, pfns[i]);
    }
    return rc;
}

/* ---- Runs of one kind ------------------------------------------------------------------ */

enum fate
{
    FATE_MISSING, /* to be loaded */
    FATE_STUCK,   /* to be written, before the guest runs */
    FATE_PRESENT, /* to be written */
    FATE_DROP,    /* there already: post-copy never overwrites */
};

static enum fate fate_of(const struct xc_sr_receiver *r, uint64_t pfn)
{
    if ( r->owner == XC_SR_OWNER_FENCED )
        return FATE_DROP;
    if ( xc_sr__pageset_has(&r->missing, pfn) )
        return xc_sr__pageset_has(&r->stuck, pfn) ? FATE_STUCK : FATE_MISSING;
    return r->upper_done ? FATE_DROP : FATE_PRESENT;
}

static int store_run(struct xc_sr_receiver *r, const uint64_t *pfns,
                     unsigned int nr, const uint8_t *contents, enum fate fate)
{
    switch ( fate )
    {
    case FATE_MISSING:
        return load_missing(r, pfns, nr, contents);
    case FATE_STUCK:
        return store_stuck(r, pfns, nr, contents);
    case FATE_PRESENT:
        return store_present(r, pfns, nr, contents);
    case FATE_DROP:
        break;
    }
    for ( unsigned int i = 0; i < nr; i++ )
        if ( !xc_sr__pageset_remove(&r->early, pfns[i]) )
            r->stats->duplicates++;
    return 0;
}

/* Hands pages on in runs that share their fate; contents NULL: zeroes. */
static int store(struct xc_sr_receiver *r, const uint64_t *pfns, uint64_t nr,
                 const uint8_t *contents)
{
    uint64_t at = 0;
    int rc = 0;

    while ( !rc && at < nr )
    {
        enum fate fate = fate_of(r, pfns[at]);
        unsigned int len = 1;

        while ( at + len < nr && len < XC_SR_HV_BATCH &&
                fate_of(r, pfns[at + len]) == fate )
            len++;
        rc = store_run(r, pfns + at, len,
                       contents ? contents + at * XC_SR_PAGE_SIZE : NULL, fate);
        at += len;
    }
    return rc;
}

/* ---- Page records ----------------------------------------------------------------------- */

static int start_record(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    uint64_t *p;

    r->nr_pending = r->nr_checked = 0;
    if ( ev->count <= r->pending_cap )
        return 0;
    /* What a record may list, by its own length, is more than we ever hold. */
    if ( ev->count > XC_SR_MAX_PFNS_ENTRIES )
        return xc_sr__receiver_fail(
            r, -EMSGSIZE, "record %llu (%s): %llu entries, at most %u",
            (unsigned long long)ev->record.number,
            xc_sr__rec_name(ev->record.id), (unsigned long long)ev->count,
            XC_SR_MAX_PFNS_ENTRIES);
    p = realloc(r->pending, ev->count * sizeof(*p));
    if ( !p )
        return xc_sr__receiver_fail(r, -ENOMEM, "no memory for %llu entries",
                                    (unsigned long long)ev->count);
    r->pending = p;
    r->pending_cap = ev->count;
    return 0;
}

/*
 * The guest gave the page up: nothing will come.  One that was announced is
 * paged out here, and would stay so for good where nobody waits for it any
 * more; it becomes what a page is that was given up later, in the push.
 */
static int note_hole(struct xc_sr_receiver *r, uint64_t pfn)
{
    if ( !xc_sr__pageset_has(&r->missing, pfn) )
        return 0;
    if ( !xc_sr__pageset_remove(&r->stuck, pfn) )
        return load_missing(r, &pfn, 1, NULL);
    xc_sr__pageset_remove(&r->missing, pfn);
    return xc_sr__receiver_page_settled(r, pfn);
}

static int note_entries(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    for ( uint64_t i = 0; i < ev->count; i++ )
    {
        uint64_t entry = xc_sr__le64(ev->entries + 8 * i);
        uint64_t pfn = xc_sr__entry_pfn(entry);
        uint32_t ptype = xc_sr__entry_type(entry);
        int rc = 0;

        if ( pfn >= r->nr_pfns )
            return bad_pfn(r, ev, pfn, "outside the guest");
        if ( xc_sr__ptype_has_data(ptype) )
        {
            /* The head found no memory for so many, and a guest that is being
             * started is served all the same: they stay missing, and that is
             * the failure of what follows its start. */
            if ( r->nr_pending >= r->pending_cap )
                return -ENOMEM;
            r->pending[r->nr_pending++] = pfn;
            continue;
        }
        rc = note_hole(r, pfn);
        if ( !rc && ptype == XC_SR_PTYPE_XALLOC )
            rc = populate(r, &pfn, 1);
        if ( rc )
            return rc;
    }
    return 0;
}

static int check_announced(struct xc_sr_receiver *r,
                           const struct xc_sr_event *ev)
{
    for ( ; r->nr_checked < r->nr_pending; r->nr_checked++ )
        if ( !xc_sr__pageset_has(&r->announced, r->pending[r->nr_checked]) )
            return bad_pfn(r, ev, r->pending[r->nr_checked],
                           "was never announced");
    return 0;
}

/* The reader numbers contents by the entries that have them, as we do. */
static int store_content(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    if ( ev->first + ev->count > r->nr_pending )
        return -EPROTO;
    return store(r, r->pending + ev->first, ev->count, ev->content);
}

int xc_sr__receiver_page_data(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    switch ( ev->kind )
    {
    case XC_SR_EV_HEAD:
        return start_record(r, ev);
    case XC_SR_EV_ENTRIES:
        return note_entries(r, ev);
    case XC_SR_EV_CONTENT:
        return store_content(r, ev);
    default:
        return 0;
    }
}

int xc_sr__receiver_push_data(struct xc_sr_receiver *r,
                              const struct xc_sr_event *ev)
{
    int rc = xc_sr__receiver_page_data(r, ev);

    if ( !rc && ev->kind == XC_SR_EV_ENTRIES )
        rc = check_announced(r, ev);
    return rc;
}

/* ---- Looking ahead --------------------------------------------------------- */

#define SINGLE_BODY (XC_SR_PAGES_HEADER_LEN + 8u + XC_SR_PAGE_SIZE)

/*
 * A record of one page, well-formed, for a pfn that somebody waits for: what
 * the reader will check when its turn comes holds already.
 */
static int load_early(struct xc_sr_receiver *r, const uint8_t *body)
{
    uint64_t entry = xc_sr__le64(body + XC_SR_PAGES_HEADER_LEN);
    uint64_t pfn = xc_sr__entry_pfn(entry);

    if ( xc_sr__le32(body) != 1 || xc_sr__le32(body + 4) != 0 ||
         (entry & XC_SR_ENTRY_RESERVED) ||
         !xc_sr__ptype_has_data(xc_sr__entry_type(entry)) ||
         !xc_sr__pageset_has(&r->requested, pfn) ||
         xc_sr__pageset_has(&r->stuck, pfn) )
        return 0;
    xc_sr__pageset_add(&r->early, pfn);
    return load_missing(r, &pfn, 1, body + XC_SR_PAGES_HEADER_LEN + 8);
}

int xc_sr__receiver_look_ahead(struct xc_sr_receiver *r)
{
    uint32_t wanted =
        xc_sr__rec_type(XC_SR_REC_POSTCOPY_PAGE_DATA, r->reader.version);
    uint64_t base = r->in.total - xc_sr__inbuf_len(&r->in);
    const uint8_t *window = xc_sr__inbuf_data(&r->in);
    int rc = 0;

    /* ahead_at is a record's first octet; the layer above has had its part. */
    /* The reader has begun the record that was incomplete last time. */
    if ( r->ahead_at < base )
        r->ahead_at = r->ahead_next;
    while ( !rc && r->ahead_at + XC_SR_RECORD_HEADER_LEN <= r->in.total )
    {
        const uint8_t *head = window + (r->ahead_at - base);
        uint64_t left = r->in.total - r->ahead_at - XC_SR_RECORD_HEADER_LEN;
        uint64_t length = ((uint64_t)xc_sr__le32(head + 4) + 7) & ~7ULL;

        if ( xc_sr__le32(head) == wanted &&
             xc_sr__le32(head + 4) == SINGLE_BODY )
        {
            if ( left < length )
            {
                /* It may be the one: look again when it is whole. */
                r->ahead_next = r->ahead_at + XC_SR_RECORD_HEADER_LEN + length;
                break;
            }
            if ( r->nr_waiters )
                rc = load_early(r, head + XC_SR_RECORD_HEADER_LEN);
        }
        r->ahead_at += XC_SR_RECORD_HEADER_LEN + length;
    }
    return rc;
}

static int store_zero(struct xc_sr_receiver *r)
{
    size_t kept = 0;

    /*
     * A frame may hold what another guest has left in it: Xen clears those of
     * a guest that has died, and none that a guest gave up, or lost by being
     * paged out.  Only where they are known to be clear nothing is written.
     */
    if ( !xc_sr__hv_populates_zeroes(r->hv) )
        return store(r, r->pending, r->nr_pending, NULL);
    for ( size_t i = 0; i < r->nr_pending; i++ )
    {
        uint64_t pfn = r->pending[i];

        if ( !xc_sr__pageset_has(&r->missing, pfn) && !r->upper_done &&
             !xc_sr__pageset_has(&r->populated, pfn) )
        {
            int rc = populate(r, &pfn, 1);

            if ( rc )
                return rc;
            r->pages_in++;
        }
        else
            r->pending[kept++] = pfn;
    }
    return store(r, r->pending, kept, NULL);
}

int xc_sr__receiver_zero_pages(struct xc_sr_receiver *r,
                               const struct xc_sr_event *ev)
{
    int rc;

    if ( !(r->features & XC_SR_FEATURE_ZERO_PAGES) )
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "ZERO_PAGES was not agreed upon");
    rc = r->upper_done ? xc_sr__receiver_push_data(r, ev)
                       : xc_sr__receiver_page_data(r, ev);
    if ( !rc && ev->kind == XC_SR_EV_TAIL )
        rc = store_zero(r);
    return rc;
}

/* ---- Announcements ------------------------------------------------------------------------ */

static int page_out(struct xc_sr_receiver *r, const uint64_t *pfns,
                    unsigned int nr)
{
    int errs[XC_SR_HV_BATCH];
    int rc = xc_sr__hv_page_out(r->hv, pfns, nr, errs);

    if ( rc )
        return hv_fail(r, rc, "page out", pfns[0]);
    for ( unsigned int i = 0; i < nr; i++ )
    {
        if ( errs[i] == -EBUSY )
            xc_sr__pageset_add(&r->stuck, pfns[i]);
        else if ( errs[i] )
            return hv_fail(r, errs[i], "page out", pfns[i]);
        else
            xc_sr__pageset_remove(&r->stuck, pfns[i]);
        xc_sr__pageset_add(&r->populated, pfns[i]);
        xc_sr__pageset_add(&r->missing, pfns[i]);
    }
    /* A long list takes its time, and the source is waiting. */
    r->now_us = xc_sr__now_us();
    return xc_sr__receiver_keepalive(r);
}

static int need_paging(struct xc_sr_receiver *r)
{
    if ( r->paging )
        return 0;
    return xc_sr__receiver_fail(r, -EPROTO,
                                "pages are announced for post-copy, which was "
                                "not advised");
}

static int discard_run(struct xc_sr_receiver *r, const struct xc_sr_event *ev,
                       uint64_t first, uint64_t nr_pages)
{
    uint64_t pfns[XC_SR_HV_BATCH];
    uint64_t end;
    int rc = 0;

    if ( !xc_sr__add_u64(first, nr_pages, &end) || end > r->nr_pfns )
        return bad_pfn(r, ev, first, "the run leaves the guest");
    while ( !rc && first < end )
    {
        unsigned int nr = 0;

        while ( nr < XC_SR_HV_BATCH && first < end )
            pfns[nr++] = first++;
        rc = page_out(r, pfns, nr);
    }
    return rc;
}

int xc_sr__receiver_discard(struct xc_sr_receiver *r,
                            const struct xc_sr_event *ev)
{
    int rc = need_paging(r);

    if ( ev->kind != XC_SR_EV_ENTRIES )
        return rc;
    for ( uint64_t i = 0; !rc && i < ev->count; i++ )
        rc = discard_run(r, ev,
                         xc_sr__entry_pfn(xc_sr__le64(ev->entries + 16 * i)),
                         xc_sr__le64(ev->entries + 16 * i + 8));
    return rc;
}

int xc_sr__receiver_pfns(struct xc_sr_receiver *r, const struct xc_sr_event *ev)
{
    int rc = need_paging(r);

    if ( rc )
        return rc;
    if ( ev->kind == XC_SR_EV_HEAD )
        return start_record(r, ev);
    if ( ev->kind == XC_SR_EV_ENTRIES )
        return note_entries(r, ev);
    if ( ev->kind != XC_SR_EV_TAIL )
        return 0;
    for ( size_t at = 0; !rc && at < r->nr_pending; at += XC_SR_HV_BATCH )
    {
        size_t nr = r->nr_pending - at;

        rc = page_out(r, r->pending + at,
                      nr < XC_SR_HV_BATCH ? (unsigned int)nr : XC_SR_HV_BATCH);
    }
    return rc;
}

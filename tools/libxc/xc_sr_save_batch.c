/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_save_batch.c: from pfns to page records in the out-queue.
 *
 * Called by the rounds of pre-copy and by the push.  Page contents are never
 * copied here: the queue refers to the mapped guest page, which stays mapped
 * until the queue has run empty.  Pages without contents (ballooned out,
 * broken) and pages of zeroes travel as entries alone.
 *
 * Spec: PAGE_DATA, POSTCOPY_PAGE_DATA, ZERO_PAGES.
 */
#include <errno.h>

#include "xc_sr_save.h"

/* A batch sorted into what travels with contents and what without. */
struct batch
{
    uint64_t data[XC_SR_BULK_PAGES];
    const void *pages[XC_SR_BULK_PAGES];
    unsigned int nr_data;
    uint64_t zero[XC_SR_BULK_PAGES];
    unsigned int nr_zero;
    uint64_t bare[XC_SR_BULK_PAGES]; /* types without contents */
    unsigned int nr_bare;
};

static uint64_t entry_of(uint64_t pfn, uint32_t ptype)
{
    return pfn | (uint64_t)ptype << XC_SR_ENTRY_TYPE_SHIFT;
}

static bool in_postcopy(enum xc_sr_class class)
{
    return class == XC_SR_CLASS_FAULT || class == XC_SR_CLASS_PUSH;
}

static int map_batch(struct xc_sr_sender *s, const uint64_t *pfns,
                     unsigned int nr)
{
    int errs[XC_SR_BULK_PAGES];
    unsigned int at = s->nr_mapped;
    int rc;

    if ( at + nr > XC_SR_ARRAY_SIZE(s->mapped) )
        return -ENOBUFS;
    rc = xc_sr__hv_map(s->hv, pfns, nr, &s->mapped[at], errs);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot map pfn 0x%llx: %s",
                                  (unsigned long long)pfns[0], strerror(-rc));
    memcpy(&s->mapped_pfns[at], pfns, nr * sizeof(*pfns));
    s->nr_mapped += nr;
    for ( unsigned int i = 0; i < nr; i++ )
        if ( errs[i] )
            return xc_sr__sender_fail(s, errs[i], "cannot map pfn 0x%llx: %s",
                                      (unsigned long long)pfns[i],
                                      strerror(-errs[i]));
    return 0;
}

void xc_sr__sender_unmap(struct xc_sr_sender *s)
{
    if ( s->nr_mapped )
        xc_sr__hv_unmap(s->hv, s->mapped_pfns, s->nr_mapped, s->mapped);
    s->nr_mapped = 0;
}

/*
 * The guest gave a page up after it was announced.  It is owed all the same,
 * and nobody can tell what it held: zeroes.
 */
static void add_hole(struct batch *b, uint64_t pfn, bool elide)
{
    static const uint8_t zeroes[XC_SR_PAGE_SIZE];

    if ( elide )
        b->zero[b->nr_zero++] = pfn;
    else
    {
        b->pages[b->nr_data] = zeroes;
        b->data[b->nr_data++] = pfn;
    }
}

static int sort_batch(struct xc_sr_sender *s, const uint64_t *pfns,
                      unsigned int nr, enum xc_sr_class class, struct batch *b)
{
    uint32_t types[XC_SR_BULK_PAGES];
    uint64_t wanted[XC_SR_BULK_PAGES];
    uint32_t wanted_types[XC_SR_BULK_PAGES];
    unsigned int first = s->nr_mapped, nr_wanted = 0;
    bool elide = s->features & XC_SR_FEATURE_ZERO_PAGES;
    int rc;

    memset(b, 0, sizeof(*b));
    rc = xc_sr__hv_page_types(s->hv, pfns, nr, types);
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot ask for page types: %s",
                                  strerror(-rc));
    for ( unsigned int i = 0; i < nr; i++ )
    {
        if ( !xc_sr__ptype_has_data(types[i]) && in_postcopy(class) )
            add_hole(b, pfns[i], elide);
        else if ( !xc_sr__ptype_has_data(types[i]) )
            b->bare[b->nr_bare++] = entry_of(pfns[i], types[i]);
        else
        {
            wanted_types[nr_wanted] = types[i];
            wanted[nr_wanted++] = pfns[i];
        }
    }
    if ( nr_wanted == 0 )
        return 0;
    rc = map_batch(s, wanted, nr_wanted);
    if ( rc )
        return rc;
    for ( unsigned int i = 0; i < nr_wanted; i++ )
    {
        const void *page = s->mapped[first + i];
        uint64_t entry = entry_of(wanted[i], wanted_types[i]);

        if ( elide && xc_sr__page_is_zero(page) )
            b->zero[b->nr_zero++] = entry;
        else
        {
            b->pages[b->nr_data] = page;
            b->data[b->nr_data++] = entry;
        }
    }
    return 0;
}

static void write_entries(struct xc_sr_writer *w, const uint64_t *entries,
                          unsigned int nr)
{
    for ( unsigned int i = 0; i < nr; i++ )
        xc_sr__write_u64(w, entries[i]);
}

static void write_pages_head(struct xc_sr_writer *w, enum xc_sr_rec rec,
                             unsigned int count)
{
    xc_sr__write_begin(w, rec);
    xc_sr__write_u32(w, count);
    xc_sr__write_u32(w, 0);
}

static int queue_data(struct xc_sr_sender *s, enum xc_sr_rec rec,
                      const struct batch *b)
{
    int rc;

    write_pages_head(&s->writer, rec, b->nr_data + b->nr_bare);
    write_entries(&s->writer, b->data, b->nr_data);
    write_entries(&s->writer, b->bare, b->nr_bare);
    xc_sr__write_end(&s->writer, b->nr_data * XC_SR_PAGE_SIZE);
    rc = xc_sr__sender_queue(s);
    for ( unsigned int i = 0; !rc && i < b->nr_data; i++ )
    {
        rc = xc_sr__outq_ref(&s->out, b->pages[i], XC_SR_PAGE_SIZE);
        s->queued_total += XC_SR_PAGE_SIZE;
    }
    return rc;
}

static void account(struct xc_sr_stats *stats, enum xc_sr_class class,
                    uint64_t pages, uint64_t bytes)
{
    switch ( class )
    {
    case XC_SR_CLASS_PRECOPY:
        stats->pages_precopy += pages;
        stats->bytes_precopy += bytes;
        break;
    case XC_SR_CLASS_RESUME_SET:
        stats->pages_resume_set += pages;
        stats->bytes_resume_set += bytes;
        break;
    case XC_SR_CLASS_FAULT:
        stats->pages_fault += pages;
        stats->bytes_fault += bytes;
        break;
    case XC_SR_CLASS_PUSH:
        stats->pages_push += pages;
        stats->bytes_push += bytes;
        break;
    }
}

int xc_sr__sender_batch(struct xc_sr_sender *s, const uint64_t *pfns,
                        unsigned int nr, enum xc_sr_class class)
{
    uint64_t before = s->queued_total;
    struct batch b;
    int rc = sort_batch(s, pfns, nr, class, &b);

    if ( rc )
        return rc;
    if ( in_postcopy(class) )
    {
        if ( b.nr_data )
            rc = queue_data(s, XC_SR_REC_POSTCOPY_PAGE_DATA, &b);
    }
    else if ( b.nr_data || b.nr_bare )
        rc = queue_data(s, XC_SR_REC_PAGE_DATA, &b);
    if ( !rc && b.nr_zero )
    {
        write_pages_head(&s->writer, XC_SR_REC_ZERO_PAGES, b.nr_zero);
        write_entries(&s->writer, b.zero, b.nr_zero);
        xc_sr__write_end(&s->writer, 0);
        rc = xc_sr__sender_queue(s);
        s->stats->pages_zero += b.nr_zero;
    }
    if ( rc )
        return xc_sr__sender_fail(s, rc, "cannot queue pages: %s",
                                  strerror(-rc));
    account(s->stats, class, nr, s->queued_total - before);
    xc_sr__window_sent(&s->window, s->queued_total, s->now_us);
    return 0;
}

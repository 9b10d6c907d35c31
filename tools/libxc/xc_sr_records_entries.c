/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_records_entries.c: the parts of bodies that are checked piece by piece:
 * page entries and runs, as many as the reader's window holds, and text.
 *
 * Entries are the one check whose cost grows with the guest, so the good case
 * is three comparisons an entry and every explanation is made only for the one
 * that failed.
 */
#include <errno.h>
#include <stdio.h>

#include "xc_sr_check.h"

size_t xc_sr__text_step(const uint8_t *p, size_t left)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t v = p[0];

    if ( len == 1 )
        return v >= 0x20 && v != 0x7f ? 1 : 0;
    if ( v < 0xc2 || v > 0xf4 || len > left )
        return 0;
    v &= 0x7fu >> len;
    for ( size_t i = 1; i < len; i++ )
    {
        if ( (p[i] & 0xc0) != 0x80 )
            return 0;
        v = v << 6 | (p[i] & 0x3fu);
    }
    if ( v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ||
         (v >= 0x80 && v < 0xa0) )
        return 0;
    return len;
}

/* What is wrong with an entry that failed the quick look. */
static int entry_fault(const struct xc_sr_body_shape *shape, uint64_t entry,
                       uint64_t index, struct xc_sr_stream_fault *fault)
{
    uint64_t at = shape->at + index * shape->entry_len;
    uint32_t type = xc_sr__entry_type(entry);
    char field[32];

    snprintf(field, sizeof(field), "entry[%llu]", (unsigned long long)index);
    if ( entry & shape->zero_bits )
        return xc_sr__fault_set(fault, -EPROTO, at, field,
                                "0x%016llx has bits that must be 0",
                                (unsigned long long)entry);
    if ( type >= 5 && type <= 8 )
        return xc_sr__fault_set(fault, -EPROTO, at, field,
                                "page type 0x%x is reserved", type);
    if ( !(shape->types >> type & 1) )
        return xc_sr__fault_set(fault, -EPROTO, at, field,
                                "page type 0x%x may not stand in this record "
                                "of this type of guest",
                                type);
    return xc_sr__fault_set(fault, -EPROTO, at, field,
                            "pfn 0x%llx, the guest's are below 0x%llx",
                            (unsigned long long)xc_sr__entry_pfn(entry),
                            (unsigned long long)shape->nr_pfns);
}

/*
 * A run: entry, and how many pages from there on.  Runs ascend and do not
 * overlap (*end_pfn: of the one before), or one record could name the whole
 * guest 65536 times.
 */
static int run_fault(const struct xc_sr_body_shape *shape, const uint8_t *run,
                     uint64_t index, uint64_t *end_pfn,
                     struct xc_sr_stream_fault *fault)
{
    uint64_t pfn = xc_sr__entry_pfn(xc_sr__le64(run));
    uint64_t nr_pages = xc_sr__le64(run + 8);
    uint64_t at = shape->at + index * 16 + 8;
    char field[32];

    if ( pfn < *end_pfn )
    {
        snprintf(field, sizeof(field), "entry[%llu]",
                 (unsigned long long)index);
        return xc_sr__fault_set(
            fault, -EPROTO, at - 8, field,
            "pfn 0x%llx lies before 0x%llx, where the run before it ended",
            (unsigned long long)pfn, (unsigned long long)*end_pfn);
    }
    if ( nr_pages && nr_pages <= shape->nr_pfns - pfn )
    {
        *end_pfn = pfn + nr_pages;
        return 0;
    }
    snprintf(field, sizeof(field), "nr_pages[%llu]", (unsigned long long)index);
    return xc_sr__fault_set(fault, -EPROTO, at, field,
                            "%llu from pfn 0x%llx on, the guest's are below "
                            "0x%llx",
                            (unsigned long long)nr_pages,
                            (unsigned long long)pfn,
                            (unsigned long long)shape->nr_pfns);
}

/* The bits of a bitmap's last word that stand for no page. */
static int last_fault(const struct xc_sr_body_shape *shape, uint64_t last,
                      struct xc_sr_stream_fault *fault)
{
    if ( !(last & shape->last_zero_bits) )
        return 0;
    return xc_sr__fault_set(fault, -EPROTO, shape->at + 8 * (shape->count - 1),
                            "bitmap", "bits at and above nr_pfns are set");
}

int xc_sr__entries_check(const struct xc_sr_body_shape *shape,
                         const uint8_t *entries, uint64_t first, uint64_t n,
                         uint64_t *pages, struct xc_sr_stream_fault *fault)
{
    uint64_t found = 0;

    for ( uint64_t i = 0; i < n; i++, entries += shape->entry_len )
    {
        uint64_t entry = xc_sr__le64(entries);
        uint32_t type = xc_sr__entry_type(entry);

        if ( (entry & shape->zero_bits) || !(shape->types >> type & 1) ||
             xc_sr__entry_pfn(entry) >= shape->nr_pfns )
            return entry_fault(shape, entry, first + i, fault);
        if ( shape->entry_len == 16 )
        {
            int rc = run_fault(shape, entries, first + i, pages, fault);

            if ( rc )
                return rc;
            continue;
        }
        found += xc_sr__ptype_has_data(type);
    }
    *pages += found;
    if ( !shape->last_zero_bits || first + n != shape->count || n == 0 )
        return 0;
    return last_fault(shape, xc_sr__le64(entries - shape->entry_len), fault);
}

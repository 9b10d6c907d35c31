/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify_rules.c: the pages of one stream, from record to record.
 *
 * The reader has checked every record by itself, its place in the order, and
 * what ADVISE or READY lay down (session, features, range of pfns).  Here: the
 * pages.  Only those come by post-copy that were announced, and all of those
 * come by END.  Called by xc_sr_verify.c alone.
 *
 * A later word about a pfn replaces an earlier one: PAGE_DATA or ZERO_PAGES
 * before POSTCOPY_BEGIN un-announces, DISCARD or PFNS announces again.
 */
#include "xc_sr_verify_priv.h"

#include <inttypes.h>

static int announce(struct xc_sr_verify_rules *rules, uint64_t pfn,
                    uint64_t nr_pages)
{
    uint64_t kept = 0;
    int rc;

    if ( pfn < XC_SR_VERIFY_MAX_PFNS )
        kept = XC_SR_VERIFY_MAX_PFNS - pfn;
    if ( nr_pages > kept )
        rules->untracked_pages += nr_pages - kept;
    rc = xc_sr__vset_add(&rules->announced, pfn, nr_pages);
    return rc ? rc : xc_sr__vset_add(&rules->owed, pfn, nr_pages);
}

static int unannounce(struct xc_sr_verify_rules *rules, uint64_t pfn)
{
    int rc;

    if ( !rules->announced.count )
        return 0;
    rc = xc_sr__vset_remove(&rules->announced, pfn);
    return rc ? rc : xc_sr__vset_remove(&rules->owed, pfn);
}

static int arrive(struct xc_sr_verifier *v, const struct xc_sr_record *rec,
                  uint64_t offset, uint64_t pfn)
{
    struct xc_sr_verify_rules *rules = &v->rules;

    if ( !v->resuming && pfn < XC_SR_VERIFY_MAX_PFNS &&
         !xc_sr__vset_has(&rules->announced, pfn) )
        return xc_sr__verify_fail(v, rec, offset, "pfn",
                                  "0x%" PRIx64 " was never announced", pfn);
    return xc_sr__vset_remove(&rules->owed, pfn);
}

static int check_entry(struct xc_sr_verifier *v, const struct xc_sr_record *rec,
                       uint64_t offset, uint64_t entry)
{
    uint64_t pfn = xc_sr__entry_pfn(entry);

    /* Types without contents (a hole) are told, and not owed. */
    if ( rec->id == XC_SR_REC_POSTCOPY_PFNS )
        return xc_sr__ptype_has_data(xc_sr__entry_type(entry))
                   ? announce(&v->rules, pfn, 1)
                   : unannounce(&v->rules, pfn);
    if ( v->reader.phase.phase == XC_SR_FWD_PUSH )
        return arrive(v, rec, offset, pfn);
    return unannounce(&v->rules, pfn);
}

int xc_sr__verify_rules_entries(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev, uint64_t offset)
{
    const struct xc_sr_record *rec = &ev->record;
    const uint8_t *p = ev->entries;
    int rc = 0;

    switch ( rec->id )
    {
    case XC_SR_REC_POSTCOPY_DISCARD:
        for ( uint64_t i = 0; !rc && i < ev->count; i++, p += 16, offset += 16 )
        {
            uint64_t pfn = xc_sr__entry_pfn(xc_sr__le64(p));
            uint64_t nr_pages = xc_sr__le64(p + 8);

            rc = announce(&v->rules, pfn, nr_pages);
        }
        break;
    case XC_SR_REC_PAGE_DATA:
    case XC_SR_REC_ZERO_PAGES:
    case XC_SR_REC_POSTCOPY_PFNS:
    case XC_SR_REC_POSTCOPY_PAGE_DATA:
        for ( uint64_t i = 0; !rc && i < ev->count; i++, p += 8, offset += 8 )
            rc = check_entry(v, rec, offset, xc_sr__le64(p));
        break;
    default: /* FAULT names what the other direction announced */
        break;
    }
    return rc;
}

int xc_sr__verify_rules_end(struct xc_sr_verifier *v,
                            const struct xc_sr_record *rec)
{
    struct xc_sr_verify_rules *rules = &v->rules;

    if ( !rules->owed.count || v->params.allow_missing )
        return 0;
    return xc_sr__verify_fail(v, rec, rec->offset, "pages",
                              "%" PRIu64 " announced pages never came, the "
                              "first is pfn 0x%" PRIx64,
                              rules->owed.count,
                              xc_sr__vset_first(&rules->owed));
}

void xc_sr__verify_rules_dispose(struct xc_sr_verify_rules *rules)
{
    xc_sr__vset_dispose(&rules->announced);
    xc_sr__vset_dispose(&rules->owed);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_pager.c: what the guest waits for, and asking for it.
 *
 * Called by the loop between any two pieces of the stream.  A fault is in one
 * of three places: with the hypervisor, among the waiters (its page has been
 * asked for, once, however many wait for it), or answered.
 *
 * Spec: POSTCOPY_FAULT; DESIGN section 8 for what Xen adds.
 */
#include <errno.h>

#include "xc_sr_restore.h"

/* Faults taken from the hypervisor at a time. */
#define FAULT_BATCH 64u

int xc_sr__receiver_paging_on(struct xc_sr_receiver *r)
{
    int rc = xc_sr__hv_paging_on(r->hv);

    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot trap missing pages here: %s",
                                    strerror(-rc));
    r->paging = true;
    return 0;
}

static void note_service(struct xc_sr_receiver *r, uint64_t since_us)
{
    uint64_t us = xc_sr__now_us() - since_us;
    unsigned int bucket = us ? 63u - (unsigned int)__builtin_clzll(us) : 0;

    if ( bucket >= XC_SR_HISTOGRAM_BUCKETS )
        bucket = XC_SR_HISTOGRAM_BUCKETS - 1;
    r->stats->fault_service_hist[bucket]++;
    r->stats->fault_service_count++;
    r->stats->fault_service_sum_us += us;
    if ( us > r->stats->fault_service_max_us )
        r->stats->fault_service_max_us = us;
}

static int answer(struct xc_sr_receiver *r, const struct xc_sr_hv_fault *fault)
{
    int rc = xc_sr__hv_fault_done(r->hv, fault, 1);

    if ( rc )
        rc = xc_sr__receiver_unless_gone(r, rc);
    if ( rc )
        return xc_sr__receiver_fail(
            r, rc, "cannot answer the fault on pfn 0x%llx: %s",
            (unsigned long long)fault->pfn, strerror(-rc));
    return 0;
}

int xc_sr__receiver_page_settled(struct xc_sr_receiver *r, uint64_t pfn)
{
    unsigned int i = 0;

    if ( !xc_sr__pageset_remove(&r->requested, pfn) )
        return 0;
    while ( i < r->nr_waiters )
    {
        struct xc_sr_waiter w = r->waiters[i];
        int rc;

        if ( w.fault.pfn != pfn )
        {
            i++;
            continue;
        }
        r->waiters[i] = r->waiters[--r->nr_waiters];
        rc = answer(r, &w.fault);
        if ( rc || r->gone )
            return rc;
        note_service(r, w.since_us);
    }
    return 0;
}

/* The guest gave the page up: nobody owes it any more. */
static int drop_page(struct xc_sr_receiver *r,
                     const struct xc_sr_hv_fault *fault)
{
    int rc = 0;

    if ( xc_sr__pageset_remove(&r->missing, fault->pfn) )
    {
        r->stats->released++;
        xc_sr__pageset_add(&r->early, fault->pfn); /* it may still come */
        rc = xc_sr__receiver_page_settled(r, fault->pfn);
    }
    return rc ? rc : answer(r, fault);
}

/* Not missing by our book: a hole that reads as zeroes, or it just came in. */
static int fill_hole(struct xc_sr_receiver *r,
                     const struct xc_sr_hv_fault *fault)
{
    int err = 0;
    int rc = 0;

    r->stats->faults_late++;
    if ( !xc_sr__pageset_has(&r->announced, fault->pfn) )
        rc = xc_sr__hv_page_in(r->hv, &fault->pfn, 1, NULL, &err);
    if ( rc )
        rc = xc_sr__receiver_unless_gone(r, rc);
    if ( rc || (err && err != -EEXIST && err != -ENOENT) )
        return xc_sr__receiver_fail(
            r, rc ? rc : err, "cannot fill pfn 0x%llx with zeroes: %s",
            (unsigned long long)fault->pfn, strerror(-(rc ? rc : err)));
    return answer(r, fault);
}

static int take_fault(struct xc_sr_receiver *r,
                      const struct xc_sr_hv_fault *fault, uint64_t now_us,
                      bool *ask_r)
{
    *ask_r = false;
    if ( fault->pfn >= r->nr_pfns )
    {
        xc_sr__warn(r->log, "fault on pfn 0x%llx outside the guest",
                    (unsigned long long)fault->pfn);
        return answer(r, fault);
    }
    if ( fault->flags & XC_SR_HV_FAULT_DROP )
        return drop_page(r, fault);
    r->stats->faults++;
    if ( fault->flags & XC_SR_HV_FAULT_FOREIGN )
        r->stats->faults_foreign++;
    if ( !xc_sr__pageset_has(&r->missing, fault->pfn) )
        return fill_hole(r, fault);
    r->waiters[r->nr_waiters++] =
        (struct xc_sr_waiter){ .fault = *fault, .since_us = now_us };
    *ask_r = xc_sr__pageset_add(&r->requested, fault->pfn);
    return 0;
}

int xc_sr__receiver_ask(struct xc_sr_receiver *r, const uint64_t *pfns,
                        unsigned int nr)
{
    if ( nr == 0 || r->eof || r->handshaking )
        return 0;
    xc_sr__write_begin(&r->writer, XC_SR_REC_POSTCOPY_FAULT);
    xc_sr__write_u32(&r->writer, nr);
    xc_sr__write_u32(&r->writer, 0);
    for ( unsigned int i = 0; i < nr; i++ )
        xc_sr__write_u64(&r->writer, pfns[i]);
    xc_sr__write_end(&r->writer, 0);
    return xc_sr__receiver_queue(r);
}

int xc_sr__receiver_ask_stuck(struct xc_sr_receiver *r)
{
    uint64_t pfns[FAULT_BATCH];
    uint64_t pfn = 0;
    int rc = 0;

    if ( r->stuck.count )
        xc_sr__info(r->log,
                    "domain %u: %llu pages are in use and could not be paged "
                    "out: fetched before it runs",
                    r->hv->info.domid, (unsigned long long)r->stuck.count);
    while ( !rc && pfn < r->nr_pfns )
    {
        unsigned int nr =
            xc_sr__pageset_collect(&r->stuck, &pfn, pfns, FAULT_BATCH);

        rc = xc_sr__receiver_ask(r, pfns, nr);
    }
    return rc;
}

int xc_sr__receiver_faults(struct xc_sr_receiver *r)
{
    struct xc_sr_hv_fault faults[FAULT_BATCH];
    uint64_t wanted[FAULT_BATCH];
    unsigned int room = XC_SR_OUTSTANDING_MAX - r->nr_waiters;
    unsigned int nr = 0, nr_wanted = 0;
    uint64_t now_us;
    int rc;

    if ( room == 0 || r->gone )
        return 0;
    rc = xc_sr__hv_next_faults(r->hv, faults,
                               room < FAULT_BATCH ? room : FAULT_BATCH, &nr);
    if ( rc )
        rc = xc_sr__receiver_unless_gone(r, rc);
    if ( rc )
        return xc_sr__receiver_fail(r, rc,
                                    "cannot read the guest's faults: "
                                    "%s",
                                    strerror(-rc));
    if ( nr == 0 )
        return 0;
    now_us = xc_sr__now_us();
    for ( unsigned int i = 0; !rc && i < nr; i++ )
    {
        bool ask;

        rc = take_fault(r, &faults[i], now_us, &ask);
        if ( !rc && ask )
            wanted[nr_wanted++] = faults[i].pfn;
    }
    return rc ? rc : xc_sr__receiver_ask(r, wanted, nr_wanted);
}

int xc_sr__receiver_unless_gone(struct xc_sr_receiver *r, int rc)
{
    /* Whatever its last calls said, its memory is no longer wanted. */
    if ( (r->ran || r->unpausing) && !xc_sr__receiver_check_gone(r) && r->gone )
        return 0;
    return rc;
}

/* As long as pages come a guest that has crashed gets them: whoever dumps it
 * wants to see them.  One that nobody keeps is destroyed, and then gone. */
static bool may_be_dumped(struct xc_sr_receiver *r)
{
    if ( !r->ran || r->missing.count == 0 || r->parked || r->conn_lost ||
         r->eof || r->ended || !xc_sr__hv_has_crashed(r->hv) )
        return false;
    if ( !r->crash_said )
        xc_sr__warn(r->log,
                    "domain %u has crashed: %llu pages of it still come, for "
                    "whoever dumps it",
                    r->hv->info.domid, (unsigned long long)r->missing.count);
    r->crash_said = true;
    return true;
}

void xc_sr__receiver_last_look(struct xc_sr_receiver *r)
{
    bool gone = r->gone;

    if ( r->crash_said || (!gone && xc_sr__hv_is_gone(r->hv, &gone)) || !gone ||
         !xc_sr__hv_has_crashed(r->hv) )
        return;
    xc_sr__warn(r->log, "domain %u has crashed; %llu pages of it did not come",
                r->hv->info.domid, (unsigned long long)r->stats->abandoned);
    r->crash_said = true;
}

static int look(struct xc_sr_receiver *r, bool pages_come)
{
    bool gone = false;
    int rc = xc_sr__hv_is_gone(r->hv, &gone);

    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot ask after the guest: %s",
                                    strerror(-rc));
    if ( !gone || (pages_come && may_be_dumped(r)) )
        return 0;
    if ( !r->ran && !r->unpausing )
        return xc_sr__receiver_fail(r, -ESRCH,
                                    "the guest was destroyed here before it "
                                    "ran");
    if ( !r->gone )
        xc_sr__info(r->log,
                    "domain %u is gone: %llu pages are no longer wanted",
                    r->hv->info.domid, (unsigned long long)r->missing.count);
    r->gone = true;
    r->stats->abandoned += r->missing.count;
    xc_sr__pageset_clear(&r->missing);
    xc_sr__pageset_clear(&r->requested);
    r->nr_waiters = 0;
    return 0;
}

int xc_sr__receiver_check_gone(struct xc_sr_receiver *r)
{
    return look(r, true);
}

/* It may have ended in the moment that the connection did. */
bool xc_sr__receiver_has_ended(struct xc_sr_receiver *r)
{
    if ( !r->ran || r->gone || r->missing.count == 0 || look(r, false) ||
         !r->gone )
        return false;
    r->conn_lost = true;
    return true;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_policy.c: when to leave pre-copy, and how.
 *
 * The sender asks once between two rounds (and once before the first, with
 * every page owed).  The answer depends on nothing but the arguments, so a
 * test can hold any situation against it and another toolstack can ask too.
 */
#include "xc_sr_base.h"

/* Microseconds to send so many pages at that rate; UINT64_MAX: for ever. */
static uint64_t transfer_us(uint64_t pages, uint64_t bytes_per_s)
{
    uint64_t us;

    if ( bytes_per_s == 0 ||
         !xc_sr__mul_u64(pages, XC_SR_PAGE_SIZE * 1000000ULL, &us) )
        return UINT64_MAX;
    return us / bytes_per_s;
}

/* Pages dirtied as fast as they are sent, or faster: it will not converge. */
static bool losing(const struct xc_sr_policy_input *in)
{
    return in->iteration > 0 && in->dirty_pages_per_s != 0 &&
           in->bandwidth_bytes_per_s != 0 &&
           in->dirty_pages_per_s >= in->bandwidth_bytes_per_s / XC_SR_PAGE_SIZE;
}

enum xc_sr_decision xc_sr_policy_decide(const struct xc_sr_policy *policy,
                                        const struct xc_sr_policy_input *in)
{
    bool few = in->iteration > 0 && in->dirty_pages <= policy->threshold_pages;
    bool quick = in->iteration > 0 && policy->max_downtime_us != 0 &&
                 transfer_us(in->dirty_pages, in->bandwidth_bytes_per_s) <=
                     policy->max_downtime_us;

    /* What little is owed travels faster than a switch would take. */
    if ( few || quick )
        return XC_SR_DECIDE_STOP_AND_COPY;
    if ( policy->allow_postcopy &&
         (in->postcopy_asked_now || in->iteration >= policy->max_iterations ||
          losing(in)) )
        return XC_SR_DECIDE_POSTCOPY;
    if ( !policy->allow_postcopy && in->iteration > 0 &&
         in->iteration >= policy->max_iterations )
        return XC_SR_DECIDE_STOP_AND_COPY;
    if ( !policy->allow_postcopy && policy->max_iterations == 0 )
        return XC_SR_DECIDE_STOP_AND_COPY;
    return XC_SR_DECIDE_CONTINUE;
}

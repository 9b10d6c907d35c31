/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * cold.c: the first pages of the pool as arguments.  Half of them serve
 * XENVER_get_features, which reads and writes its argument, the others in
 * pairs as source and destination of a grant copy.  Xen answers -EFAULT or
 * GNTST_eagain for a missing page and asks the pager for it, so the same call
 * succeeds later although the guest never touched the page itself; that is
 * what is tried here: the guest looks at a page only when the call is through.
 */
#include <errno.h>
#include <stdbool.h>

#include "cold.h"
#include "grant.h"
#include "map.h"
#include "work.h"
#include "xen.h"

#include <xen/grant_table.h>
#include <xen/version.h>

#define MAX_TRIES 1000u /* at one a tick: some seconds */

struct cold_counts cold_counts;

static uint32_t at, tries;
static uint32_t features;

static uint32_t nr_calls(void)
{
    return work_division.cold / 2;
}

/* Submap 0 is asked for, and the answer comes behind it. */
static void prepare(uint32_t index)
{
    map_page(index)[0] = 0;
}

static bool is_intact(uint32_t index, uint32_t as_pfn)
{
    struct pattern_fault fault;

    return pattern_check(&work_pattern, map_page(index), as_pfn, 0, &fault) ==
           PATTERN_GOOD;
}

void cold_init(void)
{
    struct xen_feature_info info = { .submap_idx = 0 };
    uint32_t i;

    hypercall2(__HYPERVISOR_xen_version, XENVER_get_features, &info);
    features = info.submap;
    for ( i = 0; i < nr_calls(); i++ )
        prepare(i);
}

void cold_restart(void)
{
    at = 0;
    tries = 0;
}

/* The page was written by Xen in its first word, and nowhere else. */
static bool call_was_right(uint32_t index)
{
    uint64_t *page = map_page(index), first;
    static uint64_t sample[PATTERN_WORDS]; /* stacks are small */
    bool right = page[0] == (uint64_t)features << 32;

    pattern_fill(&work_pattern, sample, map_pfn(index), 0);
    first = sample[0];
    page[0] = first;
    right = is_intact(index, map_pfn(index)) && right;
    pattern_fill(&work_pattern, page, map_pfn(index), 0);
    prepare(index);
    return right;
}

static void next(uint32_t step)
{
    at += step;
    tries = 0;
}

static void call_turn(void)
{
    long rc =
        hypercall2(__HYPERVISOR_xen_version, XENVER_get_features, map_page(at));

    if ( rc == -EFAULT && ++tries < MAX_TRIES )
    {
        cold_counts.fault++;
        return;
    }
    if ( rc == -EFAULT )
        cold_counts.stuck++;
    else if ( rc || !call_was_right(at) )
        cold_counts.bad++;
    else
        cold_counts.ok++;
    next(1);
}

static void grant_turn(void)
{
    int rc = grant_copy(map_pfn(at), map_pfn(at + 1));

    if ( rc == GNTST_eagain && ++tries < MAX_TRIES )
    {
        cold_counts.grant_again++;
        return;
    }
    if ( rc || !is_intact(at, map_pfn(at)) || !is_intact(at + 1, map_pfn(at)) )
        cold_counts.grant_bad++;
    else
        cold_counts.grant_ok++;
    next(2);
}

void cold_turn(void)
{
    if ( at < nr_calls() )
        call_turn();
    else if ( at + 1 < work_division.cold )
        grant_turn();
}

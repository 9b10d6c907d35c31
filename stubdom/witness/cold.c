/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * cold.c: the last pages of the pool as arguments.  Half of them serve
 * XENVER_get_features, which reads and writes its argument, the others in
 * pairs as source and destination of a grant copy.  Xen answers -EFAULT or
 * GNTST_eagain for a missing page and asks the pager for it, so the same call
 * succeeds later although the guest never touched the page itself; that is
 * what is tried here: the guest looks at a page only when the call is through.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cold.h"
#include "grant.h"
#include "map.h"
#include "work.h"
#include "xen.h"

#include <xen/grant_table.h>
#include <xen/version.h>

#define MAX_TRIES 1000u /* at one a tick: the better part of a minute */
#define DONE      UINT16_MAX

struct cold_counts cold_counts;

static uint16_t tries[COLD_MAX]; /* since the resume; DONE: it is through */
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
        prepare(work_cold_page(i));
}

void cold_restart(void)
{
    memset(tries, 0, sizeof(tries));
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

/* Has it been refused so often that no pager can be behind it? */
static bool is_stuck(uint32_t nr)
{
    return ++tries[nr] >= MAX_TRIES;
}

static void call_turn(uint32_t nr)
{
    uint32_t index = work_cold_page(nr);
    long rc = hypercall2(__HYPERVISOR_xen_version, XENVER_get_features,
                         map_page(index));

    if ( rc == -EFAULT && !is_stuck(nr) )
    {
        cold_counts.fault++;
        return;
    }
    tries[nr] = DONE;
    if ( rc == -EFAULT )
        cold_counts.stuck++;
    else if ( rc || !call_was_right(index) )
        cold_counts.bad++;
    else
        cold_counts.ok++;
}

static void grant_turn(uint32_t nr)
{
    uint32_t index = work_cold_page(nr);
    int rc = grant_copy(map_pfn(index), map_pfn(index + 1));

    if ( rc == GNTST_eagain && !is_stuck(nr) )
    {
        cold_counts.grant_again++;
        return;
    }
    tries[nr] = DONE;
    if ( rc || !is_intact(index, map_pfn(index)) ||
         !is_intact(index + 1, map_pfn(index)) )
        cold_counts.grant_bad++;
    else
        cold_counts.grant_ok++;
}

void cold_turn(void)
{
    uint32_t i;

    for ( i = 0; i < nr_calls(); i++ )
        if ( tries[i] != DONE )
            call_turn(i);
    for ( ; i + 1 < work_division.cold; i += 2 )
        if ( tries[i] != DONE )
            grant_turn(i);
}

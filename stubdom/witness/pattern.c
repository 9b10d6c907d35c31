/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * pattern.c: the contents of pages.  The work loop (work.c) fills and checks
 * with these; they touch the page they are given and nothing else.  Also built
 * for the host: tests/unit/test_witness.c, and whoever wants to look into a
 * saved image.
 */
#include <stdbool.h>

#include "pattern.h"

#define STEP 0x9e3779b97f4a7c15ull /* odd, no structure: 2^64 / golden ratio */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    return x;
}

static uint64_t identity(const struct pattern *p, uint32_t pfn,
                         uint32_t version)
{
    return mix(p->seed) ^ ((uint64_t)pfn << 32 | version);
}

static bool is_zero_page(const struct pattern *p, uint32_t pfn,
                         uint32_t version)
{
    return version == 0 && p->zero_every && pfn % p->zero_every == 0;
}

static uint64_t word_of(uint64_t id, unsigned int i)
{
    return i ? mix(mix(id) + i * STEP) : id;
}

void pattern_fill(const struct pattern *p, uint64_t *page, uint32_t pfn,
                  uint32_t version)
{
    uint64_t id = identity(p, pfn, version);
    uint64_t state = mix(id);
    unsigned int i;

    if ( is_zero_page(p, pfn, version) )
    {
        for ( i = 0; i < PATTERN_WORDS; i++ )
            page[i] = 0;
        return;
    }
    page[0] = id;
    for ( i = 1; i < PATTERN_WORDS; i++ )
        page[i] = mix(state += STEP);
}

/* The first word that differs, PATTERN_WORDS when none does. */
static unsigned int first_wrong(const uint64_t *page, uint64_t id)
{
    uint64_t state = mix(id);
    unsigned int i;

    if ( page[0] != id )
        return 0;
    for ( i = 1; i < PATTERN_WORDS; i++ )
        if ( page[i] != mix(state += STEP) )
            break;
    return i;
}

static unsigned int first_nonzero(const uint64_t *page)
{
    unsigned int i;

    for ( i = 0; i < PATTERN_WORDS; i++ )
        if ( page[i] )
            break;
    return i;
}

/* It is wrong; what is it? */
static enum pattern_verdict identify(const struct pattern *p,
                                     const uint64_t *page, uint32_t pfn,
                                     struct pattern_fault *fault)
{
    uint64_t id = page[0] ^ mix(p->seed);

    if ( first_nonzero(page) == PATTERN_WORDS )
        return PATTERN_ZERO;
    if ( first_wrong(page, page[0]) != PATTERN_WORDS )
        return PATTERN_BROKEN;
    fault->is_pfn = (uint32_t)(id >> 32);
    fault->is_version = (uint32_t)id;
    return fault->is_pfn == pfn ? PATTERN_STALE : PATTERN_FOREIGN;
}

enum pattern_verdict pattern_check(const struct pattern *p,
                                   const uint64_t *page, uint32_t pfn,
                                   uint32_t version,
                                   struct pattern_fault *fault_r)
{
    bool zero = is_zero_page(p, pfn, version);
    uint64_t id = identity(p, pfn, version);
    unsigned int wrong = zero ? first_nonzero(page) : first_wrong(page, id);

    if ( wrong == PATTERN_WORDS )
        return PATTERN_GOOD;
    fault_r->word = wrong;
    fault_r->found = page[wrong];
    fault_r->wanted = zero ? 0 : word_of(id, wrong);
    fault_r->is_pfn = 0;
    fault_r->is_version = 0;
    fault_r->verdict = identify(p, page, pfn, fault_r);
    return fault_r->verdict;
}

const char *pattern_verdict_name(enum pattern_verdict verdict)
{
    switch ( verdict )
    {
    case PATTERN_GOOD:
        return "good";
    case PATTERN_STALE:
        return "stale";
    case PATTERN_FOREIGN:
        return "foreign";
    case PATTERN_ZERO:
        return "zero";
    case PATTERN_BROKEN:
        return "broken";
    }
    return "?";
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_pageset.c: a set of pfns as a bitmap that knows its size.
 *
 * Both engines keep their book of pages in these: owed, announced, missing,
 * sent.  One bit a page, so the sets of a guest of any size stay small beside
 * the guest.  A pfn from a peer may be asked about without a check of its own:
 * outside the range it is never a member and cannot be added.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xc_sr_pageset.h"

static uint64_t nr_words(uint64_t nr_pfns)
{
    return nr_pfns / 64 + (nr_pfns % 64 != 0);
}

int xc_sr__pageset_init(struct xc_sr_pageset *set, uint64_t nr_pfns)
{
    uint64_t words = nr_words(nr_pfns);

    *set = (struct xc_sr_pageset){ 0 };
    if ( words > SIZE_MAX / sizeof(uint64_t) )
        return -ENOMEM;
    set->words = calloc(words ? (size_t)words : 1, sizeof(uint64_t));
    if ( !set->words )
        return -ENOMEM;
    set->nr_pfns = nr_pfns;
    return 0;
}

void xc_sr__pageset_dispose(struct xc_sr_pageset *set)
{
    free(set->words);
    *set = (struct xc_sr_pageset){ 0 };
}

int xc_sr__pageset_grow(struct xc_sr_pageset *set, uint64_t nr_pfns)
{
    uint64_t old = nr_words(set->nr_pfns);
    uint64_t words = nr_words(nr_pfns);
    uint64_t *grown;

    if ( nr_pfns <= set->nr_pfns )
        return 0;
    if ( words > SIZE_MAX / sizeof(uint64_t) )
        return -ENOMEM;
    if ( words > old || !set->words )
    {
        grown = realloc(set->words, (size_t)words * sizeof(uint64_t));
        if ( !grown )
            return -ENOMEM;
        memset(grown + old, 0, (size_t)(words - old) * sizeof(uint64_t));
        set->words = grown;
    }
    set->nr_pfns = nr_pfns;
    return 0;
}

bool xc_sr__pageset_add(struct xc_sr_pageset *set, uint64_t pfn)
{
    uint64_t bit = 1ULL << (pfn % 64);

    if ( pfn >= set->nr_pfns || (set->words[pfn / 64] & bit) )
        return false;
    set->words[pfn / 64] |= bit;
    set->count++;
    return true;
}

bool xc_sr__pageset_remove(struct xc_sr_pageset *set, uint64_t pfn)
{
    if ( !xc_sr__pageset_has(set, pfn) )
        return false;
    set->words[pfn / 64] &= ~(1ULL << (pfn % 64));
    set->count--;
    return true;
}

bool xc_sr__pageset_move(struct xc_sr_pageset *from, struct xc_sr_pageset *to,
                         uint64_t pfn)
{
    /* Never out of one book without a place in the other. */
    if ( pfn >= to->nr_pfns || !xc_sr__pageset_remove(from, pfn) )
        return false;
    xc_sr__pageset_add(to, pfn);
    return true;
}

void xc_sr__pageset_clear(struct xc_sr_pageset *set)
{
    if ( set->words )
        memset(set->words, 0, (size_t)nr_words(set->nr_pfns) * 8);
    set->count = 0;
}

void xc_sr__pageset_fill(struct xc_sr_pageset *set)
{
    uint64_t words = nr_words(set->nr_pfns);

    if ( !words )
        return;
    memset(set->words, 0xff, (size_t)words * 8);
    if ( set->nr_pfns % 64 )
        set->words[words - 1] = (1ULL << (set->nr_pfns % 64)) - 1;
    set->count = set->nr_pfns;
}

/*
 * These are called while a guest stands still.  What changes is sparse, and
 * what does not change costs a look at it, whatever the size of the guest.
 */
void xc_sr__pageset_or(struct xc_sr_pageset *set,
                       const struct xc_sr_pageset *other)
{
    uint64_t words = other->count ? nr_words(set->nr_pfns) : 0;

    for ( uint64_t i = 0; i < words; i++ )
    {
        uint64_t added = other->words[i] & ~set->words[i];

        if ( !added )
            continue;
        set->words[i] |= added;
        set->count += (uint64_t)__builtin_popcountll(added);
    }
}

void xc_sr__pageset_subtract(struct xc_sr_pageset *set,
                             const struct xc_sr_pageset *other)
{
    uint64_t words = set->count && other->count ? nr_words(set->nr_pfns) : 0;

    for ( uint64_t i = 0; i < words; i++ )
    {
        uint64_t gone = set->words[i] & other->words[i];

        if ( !gone )
            continue;
        set->words[i] &= ~gone;
        set->count -= (uint64_t)__builtin_popcountll(gone);
    }
}

void xc_sr__pageset_recount(struct xc_sr_pageset *set)
{
    uint64_t words = nr_words(set->nr_pfns);
    uint64_t count = 0;

    /* Bits above the range were never members. */
    if ( set->nr_pfns % 64 )
        set->words[words - 1] &= (1ULL << (set->nr_pfns % 64)) - 1;
    for ( uint64_t i = 0; i < words; i++ )
        count += (uint64_t)__builtin_popcountll(set->words[i]);
    set->count = count;
}

/* The first bit at or after pfn that differs from those of `skip`. */
static uint64_t find_from(const struct xc_sr_pageset *set, uint64_t pfn,
                          uint64_t skip)
{
    uint64_t words = nr_words(set->nr_pfns);
    uint64_t i = pfn / 64;
    uint64_t word;

    if ( pfn >= set->nr_pfns )
        return set->nr_pfns;
    word = (set->words[i] ^ skip) & (~0ULL << (pfn % 64));
    while ( !word )
    {
        if ( ++i == words )
            return set->nr_pfns;
        word = set->words[i] ^ skip;
    }
    pfn = i * 64 + (uint64_t)__builtin_ctzll(word);
    return pfn < set->nr_pfns ? pfn : set->nr_pfns;
}

uint64_t xc_sr__pageset_next(const struct xc_sr_pageset *set, uint64_t pfn)
{
    return find_from(set, pfn, 0);
}

uint64_t xc_sr__pageset_next_gap(const struct xc_sr_pageset *set, uint64_t pfn)
{
    return find_from(set, pfn, ~0ULL);
}

unsigned int xc_sr__pageset_collect(const struct xc_sr_pageset *set,
                                    uint64_t *pfn, uint64_t *pfns,
                                    unsigned int max)
{
    unsigned int nr = 0;

    while ( nr < max && (*pfn = xc_sr__pageset_next(set, *pfn)) < set->nr_pfns )
        pfns[nr++] = (*pfn)++;
    return nr;
}

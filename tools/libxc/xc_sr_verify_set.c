/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify_set.c: the verifier's sets of pfns, in chunks of 32768.
 *
 * A chunk of which none or all are members has no bitmap.  That bounds the
 * time of a run by the number of chunks and the memory of a set by one bit
 * for each pfn there can be.  Used by xc_sr_verify.c alone.
 */
#include "xc_sr_verify_set.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK_WORDS (XC_SR_VSET_CHUNK_PFNS / 64)

void xc_sr__vset_dispose(struct xc_sr_vset *set)
{
    for ( uint64_t i = 0; i < set->nr_chunks; i++ )
        free(set->chunks[i].words);
    free(set->chunks);
    set->chunks = NULL;
    set->nr_chunks = 0;
    set->count = 0;
}

bool xc_sr__vset_has(const struct xc_sr_vset *set, uint64_t pfn)
{
    const struct xc_sr_vset_chunk *chunk;
    uint64_t bit = pfn % XC_SR_VSET_CHUNK_PFNS;

    if ( pfn / XC_SR_VSET_CHUNK_PFNS >= set->nr_chunks )
        return false;
    chunk = &set->chunks[pfn / XC_SR_VSET_CHUNK_PFNS];
    if ( !chunk->words )
        return chunk->count != 0;
    return chunk->words[bit / 64] >> (bit % 64) & 1;
}

/* Gives a chunk its bitmap. */
static int unfold(struct xc_sr_vset_chunk *chunk)
{
    if ( chunk->words )
        return 0;
    chunk->words = malloc(CHUNK_WORDS * sizeof(uint64_t));
    if ( !chunk->words )
        return -ENOMEM;
    memset(chunk->words, chunk->count ? 0xff : 0,
           CHUNK_WORDS * sizeof(uint64_t));
    return 0;
}

/* Takes the bitmap away where it says nothing. */
static void fold(struct xc_sr_vset_chunk *chunk)
{
    if ( chunk->count && chunk->count != XC_SR_VSET_CHUNK_PFNS )
        return;
    free(chunk->words);
    chunk->words = NULL;
}

/* Pfns first to last of one chunk, both included. */
static int add_to_chunk(struct xc_sr_vset *set, struct xc_sr_vset_chunk *chunk,
                        uint64_t first, uint64_t last)
{
    uint32_t before = chunk->count;
    int rc;

    if ( before == XC_SR_VSET_CHUNK_PFNS )
        return 0;
    if ( first == 0 && last == XC_SR_VSET_CHUNK_PFNS - 1 )
    {
        chunk->count = XC_SR_VSET_CHUNK_PFNS;
        fold(chunk);
        set->count += XC_SR_VSET_CHUNK_PFNS - before;
        return 0;
    }
    rc = unfold(chunk);
    if ( rc )
        return rc;
    for ( uint64_t word = first / 64; word <= last / 64; word++ )
    {
        uint64_t mask = UINT64_MAX;

        if ( word == first / 64 )
            mask &= UINT64_MAX << (first % 64);
        if ( word == last / 64 )
            mask &= UINT64_MAX >> (63 - last % 64);
        mask &= ~chunk->words[word];
        chunk->words[word] |= mask;
        chunk->count += (uint32_t)__builtin_popcountll(mask);
    }
    set->count += chunk->count - before;
    fold(chunk);
    return 0;
}

/* Makes room for that many chunks, and some, so that it is rarely done. */
static int grow(struct xc_sr_vset *set, uint64_t need)
{
    uint64_t nr = set->nr_chunks ? set->nr_chunks : 8;
    struct xc_sr_vset_chunk *chunks;

    while ( nr < need )
        nr *= 2;
    if ( nr == set->nr_chunks )
        return 0;
    chunks = realloc(set->chunks, nr * sizeof(*chunks));
    if ( !chunks )
        return -ENOMEM;
    memset(chunks + set->nr_chunks, 0, (nr - set->nr_chunks) * sizeof(*chunks));
    set->chunks = chunks;
    set->nr_chunks = nr;
    return 0;
}

int xc_sr__vset_add(struct xc_sr_vset *set, uint64_t pfn, uint64_t nr_pages)
{
    uint64_t end;
    int rc = 0;

    if ( !xc_sr__add_u64(pfn, nr_pages, &end) || end > XC_SR_VERIFY_MAX_PFNS )
        end = XC_SR_VERIFY_MAX_PFNS;
    if ( pfn < end )
        rc = grow(set, (end - 1) / XC_SR_VSET_CHUNK_PFNS + 1);
    while ( !rc && pfn < end )
    {
        uint64_t base = pfn - pfn % XC_SR_VSET_CHUNK_PFNS;
        uint64_t stop = base + XC_SR_VSET_CHUNK_PFNS;

        if ( stop > end )
            stop = end;
        rc = add_to_chunk(set, &set->chunks[pfn / XC_SR_VSET_CHUNK_PFNS],
                          pfn - base, stop - 1 - base);
        pfn = stop;
    }
    return rc;
}

int xc_sr__vset_remove(struct xc_sr_vset *set, uint64_t pfn)
{
    struct xc_sr_vset_chunk *chunk;
    uint64_t bit = pfn % XC_SR_VSET_CHUNK_PFNS;
    int rc;

    if ( !xc_sr__vset_has(set, pfn) )
        return 0;
    chunk = &set->chunks[pfn / XC_SR_VSET_CHUNK_PFNS];
    rc = unfold(chunk);
    if ( rc )
        return rc;
    chunk->words[bit / 64] &= ~(1ULL << (bit % 64));
    chunk->count--;
    set->count--;
    fold(chunk);
    return 0;
}

uint64_t xc_sr__vset_first(const struct xc_sr_vset *set)
{
    for ( uint64_t i = 0; i < set->nr_chunks; i++ )
    {
        uint64_t pfn = i * XC_SR_VSET_CHUNK_PFNS;

        if ( !set->chunks[i].count )
            continue;
        while ( !xc_sr__vset_has(set, pfn) )
            pfn++;
        return pfn;
    }
    return XC_SR_VERIFY_MAX_PFNS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify_set.h: a set of pfns for the verifier.
 *
 * Unlike a pageset it takes whole runs, in time that does not grow with their
 * length, and costs memory only where it is mixed: a stream of a few octets
 * can neither make it large nor slow.  Pfns from XC_SR_VERIFY_MAX_PFNS on are
 * not kept.
 */
#ifndef XC_SR_VERIFY_SET_H
#define XC_SR_VERIFY_SET_H

#include "xc_sr_base.h"
#include "xenpostcopy_verify.h"

#define XC_SR_VSET_CHUNK_PFNS 32768u

/* words is NULL while none (count 0) or all of its pfns are members. */
struct xc_sr_vset_chunk
{
    uint64_t *words;
    uint32_t count;
};

struct xc_sr_vset
{
    uint64_t count;
    uint64_t nr_chunks; /* as many as the highest member so far needs */
    struct xc_sr_vset_chunk *chunks;
};

/* A zeroed struct is an empty set and safe to dispose. */
void xc_sr__vset_dispose(struct xc_sr_vset *set);
bool xc_sr__vset_has(const struct xc_sr_vset *set, uint64_t pfn);
/* Errors: -ENOMEM. */
int xc_sr__vset_add(struct xc_sr_vset *set, uint64_t pfn, uint64_t nr_pages);
int xc_sr__vset_remove(struct xc_sr_vset *set, uint64_t pfn);
/* The lowest member; XC_SR_VERIFY_MAX_PFNS if there is none. */
uint64_t xc_sr__vset_first(const struct xc_sr_vset *set);

#endif /* XC_SR_VERIFY_SET_H */

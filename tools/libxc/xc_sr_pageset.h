/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_pageset.h: a set of pfns that knows its size.  The engines keep their
 * whole book of pages in a few of these and move pfns between them.
 */
#ifndef XC_SR_PAGESET_H
#define XC_SR_PAGESET_H

#include <stdbool.h>
#include <stdint.h>

struct xc_sr_pageset
{
    uint64_t nr_pfns; /* members are below this */
    uint64_t count;
    uint64_t *words; /* (nr_pfns + 63) / 64 of them */
};

/* A zeroed struct is an empty set of nothing and safe to dispose. */
int xc_sr__pageset_init(struct xc_sr_pageset *set, uint64_t nr_pfns);
void xc_sr__pageset_dispose(struct xc_sr_pageset *set);

/* Makes room for pfns below nr_pfns; members stay. */
int xc_sr__pageset_grow(struct xc_sr_pageset *set, uint64_t nr_pfns);

static inline bool xc_sr__pageset_has(const struct xc_sr_pageset *set,
                                      uint64_t pfn)
{
    return pfn < set->nr_pfns && (set->words[pfn / 64] >> (pfn % 64) & 1);
}

/* True if pfn was not yet a member; a pfn out of range is never added. */
bool xc_sr__pageset_add(struct xc_sr_pageset *set, uint64_t pfn);
/* True if pfn was a member. */
bool xc_sr__pageset_remove(struct xc_sr_pageset *set, uint64_t pfn);
/* True if pfn moved: it was in `from` and is now in `to`. */
bool xc_sr__pageset_move(struct xc_sr_pageset *from, struct xc_sr_pageset *to,
                         uint64_t pfn);

void xc_sr__pageset_clear(struct xc_sr_pageset *set);
void xc_sr__pageset_fill(struct xc_sr_pageset *set); /* all pfns */
/* set |= other, set &= ~other; the sets are of one size. */
void xc_sr__pageset_or(struct xc_sr_pageset *set,
                       const struct xc_sr_pageset *other);
void xc_sr__pageset_subtract(struct xc_sr_pageset *set,
                             const struct xc_sr_pageset *other);
/* Recounts after somebody wrote words[] directly. */
void xc_sr__pageset_recount(struct xc_sr_pageset *set);

/* The first member at or after pfn; nr_pfns if there is none. */
uint64_t xc_sr__pageset_next(const struct xc_sr_pageset *set, uint64_t pfn);
/* The next members from *pfn on, at most max; *pfn goes behind the last. */
unsigned int xc_sr__pageset_collect(const struct xc_sr_pageset *set,
                                    uint64_t *pfn, uint64_t *pfns,
                                    unsigned int max);
/* The first non-member at or after pfn; nr_pfns if there is none. */
uint64_t xc_sr__pageset_next_gap(const struct xc_sr_pageset *set, uint64_t pfn);

#endif /* XC_SR_PAGESET_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * cold.h: hypercalls whose arguments lie in pages that nobody has touched
 * since the resume, so that after a post-copy migration they may be missing.
 */
#ifndef WITNESS_COLD_H
#define WITNESS_COLD_H

#include <stdint.h>

#define COLD_MAX 4096 /* pages: what args.c allows */

struct cold_counts
{
    uint64_t ok, fault, stuck, bad;            /* calls */
    uint64_t grant_ok, grant_again, grant_bad; /* copies of granted pages */
};

extern struct cold_counts cold_counts;

/* At start, when the pool is filled. */
void cold_init(void);

/* After a resume: they may be cold again. */
void cold_restart(void);

/* One attempt with each page that is not through; by the first vCPU. */
void cold_turn(void);

#endif

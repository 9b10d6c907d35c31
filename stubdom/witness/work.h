/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * work.h: what a vCPU does with its part of the pool.  The pool is: pages that
 * all vCPUs read and nobody writes, pages of which each vCPU has every so
 * many-th, and, at the end, pages for hypercalls with cold arguments (cold.c):
 * pages that follow in the background come in order.
 */
#ifndef WITNESS_WORK_H
#define WITNESS_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "pattern.h"

/* Only its vCPU writes it; the first vCPU reads them all for its report. */
struct work
{
    uint64_t reads, writes, scans, passes, late, errors;
    uint64_t verified;               /* the last `verify` that is done */
    uint64_t gap_ns;                 /* largest between two ticks */
    uint64_t op_max_ns;              /* longest single operation */
    uint64_t then_ns;                /* of the tick before */
    uint64_t op_credit, scan_credit; /* in pages * 1e9 */
    uint64_t random;
    uint32_t op_at, scan_at, verify_at;
    struct pattern_fault fault; /* the first, when there are errors */
    uint32_t fault_pfn, fault_version;
};

/* How the pool is divided.  Changes only while one vCPU runs. */
struct division
{
    uint32_t cold, shared, nr; /* pages: of these kinds, and in all */
};

extern struct pattern work_pattern;
extern struct division work_division;
extern volatile uint64_t work_verify_wanted;

void work_init(void);

/* The index of the cold page number nr. */
uint32_t work_cold_page(uint32_t nr);

/* Writes version 0 into this vCPU's part, some pages at a time: is it done? */
bool work_fill(unsigned int cpu, uint32_t *at, uint32_t max_pages);

/* All parts are filled: from now on ticks have work to do. */
void work_begin(void);

void work_gap(struct work *w, uint64_t then_ns, uint64_t now_ns);
void work_tick(struct work *w, unsigned int cpu, uint64_t now_ns);

/* Begins anew with the shared pages: all vCPUs want the same page first. */
void work_restart(struct work *w);

/* Spoils a page of the first vCPU's: "bit", "stale" or "zero"; else false. */
bool work_spoil(const char *how);

#endif

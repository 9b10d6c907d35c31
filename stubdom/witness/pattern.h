/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * pattern.h: what the witness writes into a page, and how it knows it again.
 *
 * A page's contents follow from the seed, its pfn and its version, the number
 * of times it was written.  The version is also kept outside the page, so a
 * page that was brought back to an older state is found out although it is
 * sound in itself.  The first word says which pfn and version it once was, for
 * the report; all others depend on them too.  Every so many pages version 0
 * is all zeroes, because zero pages travel in a way of their own.
 */
#ifndef WITNESS_PATTERN_H
#define WITNESS_PATTERN_H

#include <stdint.h>

#define PATTERN_WORDS 512u /* of 64 bits: one page */

struct pattern
{
    uint64_t seed;
    uint32_t zero_every; /* 0: no page begins as zeroes */
};

enum pattern_verdict
{
    PATTERN_GOOD,
    PATTERN_STALE,   /* sound, but an older version of this page */
    PATTERN_FOREIGN, /* sound, but the contents of another page */
    PATTERN_ZERO,    /* nothing but zeroes, and should not be */
    PATTERN_BROKEN,  /* nothing that was ever written */
};

struct pattern_fault
{
    enum pattern_verdict verdict;
    uint32_t word;               /* the first that is wrong */
    uint64_t found, wanted;      /* that word */
    uint32_t is_pfn, is_version; /* STALE, FOREIGN: what it is */
};

void pattern_fill(const struct pattern *p, uint64_t *page, uint32_t pfn,
                  uint32_t version);

/* Reads the whole page.  fault_r is filled when the verdict is not GOOD. */
enum pattern_verdict pattern_check(const struct pattern *p,
                                   const uint64_t *page, uint32_t pfn,
                                   uint32_t version,
                                   struct pattern_fault *fault_r);

const char *pattern_verdict_name(enum pattern_verdict verdict);

#endif

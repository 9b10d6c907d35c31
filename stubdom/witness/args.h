/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * args.h: the witness' parameters, on its command line and, for those that may
 * change while it runs, as a command in xenstore.  docs/man/witness.7.pod
 * says what each of them means.
 */
#ifndef WITNESS_ARGS_H
#define WITNESS_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct witness_args
{
    /* Fixed at start. */
    uint64_t seed;
    uint64_t mem_mib;    /* at most so much of it; 0: all there is */
    uint64_t cpus;       /* at most so many; 0: all there are */
    uint64_t shared_pct; /* part of the memory that all vCPUs read */
    uint64_t zero_every; /* every so many pages begin as zeroes; 0: none */
    uint64_t cold;       /* pages kept for hypercalls with cold arguments */
    /* May change. */
    uint64_t rate;      /* operations a second, all vCPUs together */
    uint64_t write_pct; /* how many of them write */
    uint64_t random;    /* 1: in random order */
    uint64_t hot;       /* pages that they are on; 0: all */
    uint64_t scan;      /* pages a second re-checked in order */
    uint64_t tick_ms;
    uint64_t duty_pct;   /* of one processor, for all vCPUs; the rest is idle */
    uint64_t report_ms;  /* between two reports in xenstore */
    uint64_t console_ms; /* between two on the console; 0: none */
};

void args_init(struct witness_args *args);

/*
 * Words of name=value, at blanks.  started: only what may change is taken.
 * 0, or -EINVAL with the reason in why, and args as it was.
 */
int args_parse(struct witness_args *args, const char *line, bool started,
               struct text *why);

#endif

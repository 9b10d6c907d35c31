/* SPDX-License-Identifier: LGPL-2.1-only */
/* main.h: what all of the witness knows: its parameters and its state. */
#ifndef WITNESS_MAIN_H
#define WITNESS_MAIN_H

#include <stdint.h>

#include "args.h"

struct hvm_start_info;

extern struct witness_args args;

/* Counted by suspend.c. */
struct life
{
    uint64_t resumes, cancelled;
    uint64_t stop_ns; /* how long the last suspend took, by the wall clock */
};

extern struct life life;

/* From start.S. */
void witness_main(const struct hvm_start_info *info);

#endif

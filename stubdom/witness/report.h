/* SPDX-License-Identifier: LGPL-2.1-only */
/* report.h: what the witness says about itself; docs/man/witness.7.pod. */
#ifndef WITNESS_REPORT_H
#define WITNESS_REPORT_H

#include <stdint.h>

/* One line: the event, then the status. */
void report_console(const char *event);

/* The status, in data/witness/status; and errors that are new, on the console. */
void report_store(const char *state);

/* Largest gap and longest operation begin anew. */
void report_reset(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_progress.h: what a user sees while a migration runs.
 */
#ifndef XL_PROGRESS_H
#define XL_PROGRESS_H

#include "xl_migrate_args.h"

/* At most four updates a second, besides changes of phase. */
#define XL_PROGRESS_PERIOD_US 250000u

struct xl_progress
{
    enum xl_progress_mode mode; /* never AUTO after init */
    const char *name;
    uint64_t shown_at_us; /* elapsed time of the latest update */
    bool shown;           /* anything at all */
    enum xc_sr_phase phase;
    unsigned int round;
};

void xl_progress_init(struct xl_progress *progress, enum xl_progress_mode mode,
                      const char *name);

/* The engine's progress callback; ctx is a struct xl_progress. */
void xl_progress_update(void *ctx, const struct xc_sr_progress *p);

/* Ends the line on a terminal. */
void xl_progress_end(struct xl_progress *progress);

/* What the source does, and where the guest runs: "pre-copy, round 2 (guest
 * runs here)". */
const char *xl_progress_phase_text(const struct xc_sr_progress *p, char *buf,
                                   size_t len);

/* "source", "nowhere", "destination" or "unknown": where it may run, as far as
 * the side knows whose progress it is. */
const char *xl_progress_guest_place(const struct xc_sr_progress *p);

/* Likewise, of what this side's record says alone. */
const char *xl_progress_place_by_record(enum xc_sr_owner owner);

/* One line for people, without newline. */
void xl_progress_line(const struct xc_sr_progress *p, char *buf, size_t len);

#endif /* XL_PROGRESS_H */

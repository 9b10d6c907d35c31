/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_stats.h: the story of a migration, as JSON and as a summary.
 */
#ifndef XL_STATS_H
#define XL_STATS_H

#include <stdio.h>

#include "xenpostcopy_local.h"
#include "xl_json.h"
#include "xl_migrate_args.h"

struct xl_story
{
    const struct xl_migrate_args *args;
    const struct xc_sr_save_result *result;
    enum xc_sr_owner owner;                /* after the last handshake */
    int exit_status;                       /* enum xl_exit */
    const char *why;                       /* "" when all went well */
    const struct xc_sr_local_check *guest; /* NULL: could not be asked */
    bool crashed;                          /* there, as far as we can look */
};

/* type: first member, NULL for none; the rest is what --stats documents. */
void xl_stats_write(struct xl_json *j, const char *type,
                    const struct xl_story *story);

/* Six to eight lines. */
void xl_summary_print(FILE *out, const struct xl_story *story);

/* Time the guest ran nowhere, as the source saw it; false if that is not
 * known (version 2 does not say when the guest runs). */
bool xl_story_downtime_us(const struct xl_story *story, uint64_t *us_r);

#endif /* XL_STATS_H */

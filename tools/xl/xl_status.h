/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_status.h: how far a migration is and what to do, for people and as JSON;
 * the same for either side.
 */
#ifndef XL_STATUS_H
#define XL_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "xenpostcopy.h"

struct xl_status
{
    bool at_source;
    const char *name;
    const char *peer; /* NULL: not known */
    enum xc_sr_owner owner;
    bool alive;                     /* a process works on it */
    const struct xc_sr_progress *p; /* NULL: not known */
    const char *lost_why;           /* of the latest loss; "": none */
    /* The source's own. */
    bool postcopy_allowed;
    bool abort_asked;
};

/* What the operator should know, and do, from what a side has recorded. */
const char *xl_status_advice(bool at_source, enum xc_sr_owner owner,
                             enum xc_sr_phase phase, bool alive);

/* One line; returns buf. */
const char *xl_status_line(const struct xl_status *status, char *buf,
                           size_t len);
/* One line of JSON without its newline; "" if there is no memory. */
const char *xl_status_json(const struct xl_status *status, char *buf,
                           size_t len);

#endif /* XL_STATUS_H */

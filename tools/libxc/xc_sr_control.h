/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_control.h: what another thread may ask of a running engine.  Requests
 * are flags beside an eventfd that the engine's poll loop watches.
 */
#ifndef XC_SR_CONTROL_H
#define XC_SR_CONTROL_H

#include <stdatomic.h>

#include "xc_sr_base.h"

struct xc_sr_control
{
    int fd;
    atomic_bool postcopy_now;
    atomic_bool abort;
};

/* Empties the eventfd after a poll said it is readable. */
void xc_sr__control_drain(struct xc_sr_control *control);

static inline bool xc_sr__control_aborted(struct xc_sr_control *control)
{
    return control && atomic_load(&control->abort);
}

static inline bool xc_sr__control_postcopy(struct xc_sr_control *control)
{
    return control && atomic_load(&control->postcopy_now);
}

#endif /* XC_SR_CONTROL_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_control.h: what another thread may ask of a running engine.  Requests
 * are flags beside an eventfd that the engine's poll loop watches.
 */
#ifndef XC_SR_CONTROL_H
#define XC_SR_CONTROL_H

#include <pthread.h>
#include <stdatomic.h>

#include "xc_sr_base.h"

struct xc_sr_control
{
    int fd;
    atomic_bool postcopy_now;
    atomic_bool abort;
    atomic_bool stop_waiting;
    atomic_bool has_pair;
    pthread_mutex_t lock; /* of the pair; never held across a wait */
    int send_fd;
    int recv_fd;
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

static inline bool xc_sr__control_stops_waiting(struct xc_sr_control *control)
{
    return control && atomic_exchange(&control->stop_waiting, false);
}

/* A new connection has been handed in. */
static inline bool xc_sr__control_has_pair(struct xc_sr_control *control)
{
    return control && atomic_load(&control->has_pair);
}

/* False: there is none.  The caller owns the descriptors from then on. */
bool xc_sr__control_take_pair(struct xc_sr_control *control, int *send_fd_r,
                              int *recv_fd_r);

/* Both may be one descriptor, or -1. */
void xc_sr__close_pair(int send_fd, int recv_fd);

#endif /* XC_SR_CONTROL_H */

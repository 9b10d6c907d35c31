/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_control.c: requests to a running engine from other threads.  A flag
 * is set first and the eventfd written after it, so an engine that wakes up
 * always sees what woke it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "xc_sr_control.h"

int xc_sr_control_new(struct xc_sr_control **control_r)
{
    struct xc_sr_control *control = calloc(1, sizeof(*control));

    if ( !control )
        return -ENOMEM;
    control->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if ( control->fd < 0 )
    {
        int rc = -errno;

        free(control);
        return rc;
    }
    *control_r = control;
    return 0;
}

void xc_sr_control_free(struct xc_sr_control *control)
{
    if ( !control )
        return;
    close(control->fd);
    free(control);
}

static int wake(struct xc_sr_control *control)
{
    uint64_t one = 1;

    /* EAGAIN: the counter is full, so it is readable, which is all we want. */
    if ( write(control->fd, &one, sizeof(one)) < 0 && errno != EAGAIN )
        return -errno;
    return 0;
}

int xc_sr_control_postcopy_now(struct xc_sr_control *control)
{
    atomic_store(&control->postcopy_now, true);
    return wake(control);
}

int xc_sr_control_abort(struct xc_sr_control *control)
{
    atomic_store(&control->abort, true);
    return wake(control);
}

void xc_sr__control_drain(struct xc_sr_control *control)
{
    uint64_t count;

    if ( read(control->fd, &count, sizeof(count)) < 0 )
        return; /* somebody else emptied it: nothing to do */
}

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
    control->send_fd = control->recv_fd = -1;
    pthread_mutex_init(&control->lock, NULL);
    control->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if ( control->fd < 0 )
    {
        int rc = -errno;

        pthread_mutex_destroy(&control->lock);
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
    xc_sr__close_pair(control->send_fd, control->recv_fd);
    close(control->fd);
    pthread_mutex_destroy(&control->lock);
    free(control);
}

void xc_sr__close_pair(int send_fd, int recv_fd)
{
    if ( send_fd >= 0 )
        close(send_fd);
    if ( recv_fd >= 0 && recv_fd != send_fd )
        close(recv_fd);
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

int xc_sr_control_stop_waiting(struct xc_sr_control *control)
{
    atomic_store(&control->stop_waiting, true);
    return wake(control);
}

int xc_sr_control_reconnect(struct xc_sr_control *control, int send_fd,
                            int recv_fd)
{
    int old_send_fd, old_recv_fd;

    if ( send_fd < 0 || recv_fd < 0 )
        return -EBADF;
    pthread_mutex_lock(&control->lock);
    old_send_fd = control->send_fd;
    old_recv_fd = control->recv_fd;
    control->send_fd = send_fd;
    control->recv_fd = recv_fd;
    atomic_store(&control->has_pair, true);
    pthread_mutex_unlock(&control->lock);
    xc_sr__close_pair(old_send_fd, old_recv_fd);
    /* Polled at least ten times a second all the same. */
    (void)wake(control);
    return 0;
}

bool xc_sr__control_take_pair(struct xc_sr_control *control, int *send_fd_r,
                              int *recv_fd_r)
{
    bool has;

    if ( !xc_sr__control_has_pair(control) )
        return false;
    pthread_mutex_lock(&control->lock);
    has = control->send_fd >= 0;
    if ( has )
    {
        *send_fd_r = control->send_fd;
        *recv_fd_r = control->recv_fd;
        control->send_fd = control->recv_fd = -1;
        atomic_store(&control->has_pair, false);
    }
    pthread_mutex_unlock(&control->lock);
    return has;
}

void xc_sr__control_drain(struct xc_sr_control *control)
{
    uint64_t count;

    if ( read(control->fd, &count, sizeof(count)) < 0 )
        return; /* somebody else emptied it: nothing to do */
}

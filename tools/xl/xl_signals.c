/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_signals.c: a signal must not do more than write an octet to a pipe; what
 * it means is decided by whoever polls the other end, in the engine's loop or
 * while waiting for the banner.
 */
#include "xl_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int signal_fd = -1;

static void on_signal(int number)
{
    int saved = errno;
    char octet = (char)number;

    /* A full pipe is readable already. */
    if ( write(signal_fd, &octet, 1) < 0 )
        errno = saved;
    errno = saved;
}

static int catch ( int number )
{
    struct sigaction now,
        action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    if ( sigaction(number, NULL, &now) )
        return -errno;
    /* Who started us in the background, or by nohup, wants it not to count. */
    if ( now.sa_handler == SIG_IGN )
        return 0;
    return sigaction(number, &action, NULL) ? -errno : 0;
}

int xl_signals_init(int *fd_r)
{
    int fds[2], rc;

    if ( pipe2(fds, O_CLOEXEC | O_NONBLOCK) )
        return -errno;
    signal_fd = fds[1];
    rc = catch ( SIGINT );
    /* As impatient as that may be: half a migration helps nobody, and whoever
     * means it has SIGKILL. */
    if ( !rc )
        rc = catch ( SIGQUIT );
    if ( !rc )
        rc = catch ( SIGTERM );
    /* A terminal that goes takes no guest with it that has been handed over. */
    if ( !rc )
        rc = catch ( SIGHUP );
    if ( !rc && signal(SIGPIPE, SIG_IGN) == SIG_ERR )
        rc = -errno;
    if ( rc )
    {
        close(fds[0]);
        return rc;
    }
    *fd_r = fds[0];
    return 0;
}

bool xl_signals_take(int fd)
{
    char octets[16];
    bool any = false;

    while ( read(fd, octets, sizeof(octets)) > 0 )
        any = true;
    return any;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_channel.c: how a receiver of either kind begins: its standard input and
 * output become the channel, and it takes care to outlive whoever started it.
 * Called by the `migrate-receive` commands before anything else.
 */
#include "xl_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "xl_signals.h"

int xl_channel_take(int *recv_fd_r, int *send_fd_r)
{
    int null_fd, rc = 0;
    int recv_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int send_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    if ( recv_fd < 0 || send_fd < 0 )
        return -errno;
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if ( null_fd < 0 )
        return -errno;
    if ( dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 )
        rc = -errno;
    close(null_fd);
    if ( rc )
        return rc;
    *recv_fd_r = recv_fd;
    *send_fd_r = send_fd;
    return 0;
}

int xl_channel_outlive_sender(int *signal_fd_r)
{
    if ( signal(SIGHUP, SIG_IGN) == SIG_ERR )
        return -errno;
    /* Refused to a process group leader, which a shell's child may be; then
     * ignoring SIGHUP has to do. */
    (void)setsid();
    return xl_signals_init(signal_fd_r);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * How rig_on.c (on the machine that runs the rig) and rig_agent.c (in dom0)
 * talk over a virtio-serial port: lines, some followed by bytes.
 *
 *   to the agent   RIG-RUN nonce flags length seconds microseconds\n script
 *                  I length\n bytes       standard input
 *                  E\n                    its end
 *                  W rows columns\n       the window has this size
 *   from it        RIG-START nonce\n      everything before this is stale
 *                  1 length\n bytes       standard output
 *                  2 length\n bytes       standard error
 *                  X status\n             ended; 128 + number for a signal
 *
 * One run at a time on a port.  The port has no flow of connections that both
 * ends could rely on: RIG-RUN at any time ends what runs and starts anew, and
 * a hang-up ends it too.  Both sides are ours and belong to one test run:
 * lengths are bounded so that a mistake shows, not because of a hostile peer.
 */
#ifndef RIG_WIRE_H
#define RIG_WIRE_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RIG_MAX_SCRIPT (1 << 20) /* a case file is a few KiB */
#define RIG_MAX_DATA   32768     /* one read of a pipe or terminal */
#define RIG_MAX_LINE   160
#define RIG_FLAG_STDIN 1
#define RIG_FLAG_TTY   2
#define RIG_FLAG_CLOCK 4 /* set the clock */

/* Writes everything; waits where the descriptor does not block. */
static inline int rig_write(int fd, const void *data, size_t length)
{
    const char *at = data;

    while ( length )
    {
        ssize_t done = write(fd, at, length);

        if ( done > 0 )
        {
            at += done;
            length -= done;
        }
        else if ( done < 0 && errno == EAGAIN )
        {
            struct pollfd p = { .fd = fd, .events = POLLOUT };

            if ( poll(&p, 1, 5000) == 0 )
                return -ETIMEDOUT;
            if ( p.revents & (POLLHUP | POLLERR) )
                return -EPIPE;
        }
        else if ( done < 0 && errno != EINTR )
            return -errno;
    }
    return 0;
}

/* A frame: its kind, its length, its bytes. */
static inline int rig_frame(int fd, char kind, const void *data, size_t length)
{
    char frame[RIG_MAX_DATA + 32];
    int head = snprintf(frame, 32, "%c %zu\n", kind, length);

    if ( length > RIG_MAX_DATA )
        return -EMSGSIZE;
    memcpy(frame + head, data, length);
    return rig_write(fd, frame, head + length);
}

#endif

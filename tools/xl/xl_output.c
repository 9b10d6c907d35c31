/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_output.c: words that nobody reads must not hold a migration up.
 *
 * The engine's thread tells its progress, and the guest at the destination
 * waits for pages that the same thread sends.  A terminal that was stopped,
 * an ssh whose other end is gone, a pager: each takes a few thousand octets
 * and then no more.  While a migration runs what such a one does not take is
 * lost; a pipe takes a line whole or not at all.  Called by both ends, before
 * and after the engine runs.
 */
#include "xl.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the descriptors led to before; -1: the same as now. */
static int before[] = { [STDOUT_FILENO] = -1, [STDERR_FILENO] = -1 };

/* What others write through the same pipe or terminal is not changed: it is
 * opened once more.  A socket cannot be, and is nobody else's. */
static void never_wait(int fd)
{
    int flags = fcntl(fd, F_GETFL), again;
    char path[32];
    struct stat st;

    if ( flags < 0 || (flags & O_NONBLOCK) || before[fd] >= 0 ||
         fstat(fd, &st) || S_ISREG(st.st_mode) )
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if ( again >= 0 )
    {
        before[fd] = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if ( before[fd] >= 0 )
            dup2(again, fd);
        close(again);
    }
    else if ( S_ISSOCK(st.st_mode) )
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void xl_output_never_waits(void)
{
    never_wait(STDOUT_FILENO);
    never_wait(STDERR_FILENO);
}

void xl_output_may_wait(void)
{
    int fd;

    for ( fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++ )
    {
        if ( before[fd] < 0 )
            continue;
        dup2(before[fd], fd);
        close(before[fd]);
        before[fd] = -1;
    }
    clearerr(stdout);
    clearerr(stderr);
}

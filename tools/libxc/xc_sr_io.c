/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_io.c: exact reads and writes with a deadline, and the input buffer
 * between a descriptor and the stream reader.
 *
 * Every octet of a stream passes through here, so nothing is copied that need
 * not be: the input buffer hands out windows on itself and moves only what is
 * left of a record when its end comes near.  The caller ignores SIGPIPE.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "xc_sr_base.h"

int xc_sr__set_nonblock(int fd, bool nonblock)
{
    int flags = fcntl(fd, F_GETFL);
    int wanted;

    if ( flags < 0 )
        return -errno;
    wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if ( wanted != flags && fcntl(fd, F_SETFL, wanted) < 0 )
        return -errno;
    return 0;
}

/* Until fd is ready for events (or has an error to tell) or the deadline. */
static int wait_ready(int fd, short events, uint64_t deadline_us)
{
    struct pollfd pfd = { .fd = fd, .events = events };

    for ( ;; )
    {
        int n = poll(&pfd, 1, xc_sr__poll_ms(deadline_us, xc_sr__now_us()));

        if ( n > 0 )
            return (pfd.revents & POLLNVAL) ? -EBADF : 0;
        if ( n < 0 && errno != EINTR )
            return -errno;
        if ( xc_sr__now_us() >= deadline_us )
            return -ETIMEDOUT;
    }
}

int xc_sr__read_exact(int fd, void *buf, size_t len, uint64_t deadline_us)
{
    uint8_t *p = buf;

    while ( len )
    {
        ssize_t got;
        int rc = wait_ready(fd, POLLIN, deadline_us);

        if ( rc )
            return rc;
        got = read(fd, p, len);
        if ( got == 0 )
            return -EPIPE;
        if ( got < 0 )
        {
            if ( errno == EINTR || errno == EAGAIN )
                continue;
            return -errno;
        }
        p += got;
        len -= (size_t)got;
    }
    return 0;
}

int xc_sr__write_exact(int fd, const void *buf, size_t len,
                       uint64_t deadline_us)
{
    const uint8_t *p = buf;
    int flags = fcntl(fd, F_GETFL);
    size_t most;

    if ( flags < 0 )
        return -errno;
    /*
     * A descriptor that blocks takes PIPE_BUF octets at once when poll() says
     * so; more might block past the deadline.
     */
    most = (flags & O_NONBLOCK) || deadline_us == XC_SR_NO_DEADLINE ? SIZE_MAX
                                                                    : PIPE_BUF;
    while ( len )
    {
        ssize_t put;
        int rc = wait_ready(fd, POLLOUT, deadline_us);

        if ( rc )
            return rc;
        put = write(fd, p, len < most ? len : most);
        if ( put < 0 )
        {
            if ( errno == EINTR || errno == EAGAIN )
                continue;
            return -errno;
        }
        p += put;
        len -= (size_t)put;
    }
    return 0;
}

int xc_sr__inbuf_init(struct xc_sr_inbuf *in, int fd, size_t cap)
{
    *in = (struct xc_sr_inbuf){ .fd = fd };
    in->buf = malloc(cap);
    if ( !in->buf )
        return -ENOMEM;
    in->cap = cap;
    return 0;
}

void xc_sr__inbuf_dispose(struct xc_sr_inbuf *in)
{
    free(in->buf);
    *in = (struct xc_sr_inbuf){ .fd = -1 };
}

/* The window to the front of the buffer. */
static void compact(struct xc_sr_inbuf *in)
{
    size_t len = xc_sr__inbuf_len(in);

    if ( !in->start )
        return;
    memmove(in->buf, in->buf + in->start, len);
    in->start = 0;
    in->end = len;
}

int xc_sr__inbuf_need(struct xc_sr_inbuf *in, size_t window, size_t max)
{
    uint8_t *grown;

    if ( window > max )
        return -EMSGSIZE;
    if ( window <= in->cap - in->start )
        return 0;
    if ( window <= in->cap )
    {
        compact(in);
        return 0;
    }
    compact(in);
    grown = realloc(in->buf, window);
    if ( !grown )
        return -ENOMEM;
    in->buf = grown;
    in->cap = window;
    return 0;
}

int xc_sr__inbuf_fill(struct xc_sr_inbuf *in, bool *eof_r, size_t *got_r)
{
    ssize_t got;

    /* A quarter free is room for a long read; until then nothing moves. */
    if ( in->start == in->end || in->cap - in->end < in->cap / 4 )
        compact(in);
    if ( in->end == in->cap )
        return -ENOBUFS;

    do
        got = read(in->fd, in->buf + in->end, in->cap - in->end);
    while ( got < 0 && errno == EINTR );

    if ( got < 0 && errno != EAGAIN )
        return -errno;
    *eof_r = got == 0;
    *got_r = got > 0 ? (size_t)got : 0;
    in->end += *got_r;
    in->total += *got_r;
    return 0;
}

bool xc_sr__page_is_zero(const void *page)
{
    static const uint8_t zeroes[XC_SR_PAGE_SIZE];

    /* libc compares with the widest registers there are and stops early. */
    return memcmp(page, zeroes, sizeof(zeroes)) == 0;
}

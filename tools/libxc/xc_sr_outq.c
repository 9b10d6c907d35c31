/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_outq.c: the out-queue of either engine.  Called from the engine's
 * poll loop only.  When the queue has run empty its buffers start afresh, so
 * a steady state allocates nothing.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "xc_sr_outq.h"

/* base NULL: `at` is an offset into q->bytes, which may move while growing */
struct xc_sr_outq_piece
{
    const uint8_t *base;
    size_t at;
    size_t len;
};

#define FLUSH_PIECES 64

int xc_sr__outq_init(struct xc_sr_outq *q, int fd)
{
    memset(q, 0, sizeof(*q));
    q->fd = fd;
    return 0;
}

void xc_sr__outq_dispose(struct xc_sr_outq *q)
{
    free(q->bytes);
    free(q->pieces);
    memset(q, 0, sizeof(*q));
    q->fd = -1;
}

void xc_sr__outq_drop(struct xc_sr_outq *q)
{
    q->bytes_len = 0;
    q->nr_pieces = 0;
    q->first = 0;
    q->first_done = 0;
    q->queued = 0;
}

static int grow(void **buf, size_t *cap, size_t need, size_t unit)
{
    size_t want = *cap ? *cap : 64;
    uint64_t octets;
    void *p;

    while ( want < need )
        if ( __builtin_mul_overflow(want, 2, &want) )
            return -ENOMEM;
    if ( want == *cap )
        return 0;
    if ( !xc_sr__mul_u64(want, unit, &octets) )
        return -ENOMEM;
    p = realloc(*buf, octets);
    if ( !p )
        return -ENOMEM;
    *buf = p;
    *cap = want;
    return 0;
}

static int add_piece(struct xc_sr_outq *q, const uint8_t *base, size_t at,
                     size_t len)
{
    struct xc_sr_outq_piece *last =
        q->nr_pieces > q->first ? &q->pieces[q->nr_pieces - 1] : NULL;
    int rc;

    /* Neighbours in memory travel as one piece: fewer iovecs. */
    if ( last && !last->base == !base &&
         (base ? last->base + last->len == base : last->at + last->len == at) )
    {
        last->len += len;
        q->queued += len;
        return 0;
    }
    rc = grow((void **)&q->pieces, &q->cap_pieces, q->nr_pieces + 1,
              sizeof(*q->pieces));
    if ( rc )
        return rc;
    q->pieces[q->nr_pieces++] =
        (struct xc_sr_outq_piece){ .base = base, .at = at, .len = len };
    q->queued += len;
    return 0;
}

int xc_sr__outq_copy(struct xc_sr_outq *q, const void *data, size_t len)
{
    size_t at = q->bytes_len;
    int rc;

    if ( len == 0 )
        return 0;
    rc = grow((void **)&q->bytes, &q->bytes_cap, q->bytes_len + len, 1);
    if ( rc )
        return rc;
    memcpy(q->bytes + at, data, len);
    rc = add_piece(q, NULL, at, len);
    if ( rc )
        return rc;
    q->bytes_len += len;
    return 0;
}

int xc_sr__outq_ref(struct xc_sr_outq *q, const void *data, size_t len)
{
    return len ? add_piece(q, data, 0, len) : 0;
}

static size_t fill_iov(const struct xc_sr_outq *q, struct iovec *iov)
{
    size_t n = 0;

    for ( size_t i = q->first; i < q->nr_pieces && n < FLUSH_PIECES; i++ )
    {
        const struct xc_sr_outq_piece *p = &q->pieces[i];
        const uint8_t *base = p->base ? p->base : q->bytes + p->at;
        size_t skip = i == q->first ? q->first_done : 0;

        iov[n].iov_base = (void *)(uintptr_t)(base + skip);
        iov[n++].iov_len = p->len - skip;
    }
    return n;
}

static void advance(struct xc_sr_outq *q, size_t wrote)
{
    q->queued -= wrote;
    q->total += wrote;
    while ( wrote )
    {
        size_t left = q->pieces[q->first].len - q->first_done;

        if ( wrote < left )
        {
            q->first_done += wrote;
            return;
        }
        wrote -= left;
        q->first++;
        q->first_done = 0;
    }
}

/* A socket must not raise SIGPIPE in a library's caller; a pipe has no way. */
static ssize_t write_some(int fd, struct iovec *iov, size_t n)
{
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
    ssize_t got = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if ( got < 0 && errno == ENOTSOCK )
        got = writev(fd, iov, (int)n);
    return got;
}

int xc_sr__outq_flush(struct xc_sr_outq *q, size_t *wrote_r)
{
    struct iovec iov[FLUSH_PIECES];
    size_t wrote = 0;

    while ( q->queued )
    {
        ssize_t got = write_some(q->fd, iov, fill_iov(q, iov));

        if ( got < 0 && errno == EINTR )
            continue;
        if ( got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) )
            break;
        if ( got < 0 )
            return errno == ECONNRESET ? -EPIPE : -errno;
        advance(q, (size_t)got);
        wrote += (size_t)got;
    }
    if ( q->queued == 0 )
        xc_sr__outq_drop(q);
    *wrote_r = wrote;
    return 0;
}

void xc_sr__outq_drain(struct xc_sr_outq *q, uint64_t deadline_us)
{
    while ( xc_sr__outq_len(q) )
    {
        struct pollfd fd = { .fd = q->fd, .events = POLLOUT };
        uint64_t now_us = xc_sr__now_us();
        size_t wrote;

        if ( xc_sr__outq_flush(q, &wrote) || now_us >= deadline_us )
            return;
        if ( xc_sr__outq_len(q) )
            (void)poll(&fd, 1, xc_sr__poll_ms(deadline_us, now_us));
    }
}

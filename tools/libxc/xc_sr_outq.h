/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_outq.h: octets on their way out.
 *
 * Small things (headers, lists, back channel records) are copied in; page
 * contents are referenced where they lie and must stay put until the queue is
 * empty.  Nothing here blocks: flush() writes what the descriptor takes.  The
 * engines look at len() before they put in more, which bounds the queue.
 */
#ifndef XC_SR_OUTQ_H
#define XC_SR_OUTQ_H

#include <sys/uio.h>

#include "xc_sr_base.h"

struct xc_sr_outq
{
    int fd;
    uint8_t *bytes; /* copied octets, referenced by offset until flushed */
    size_t bytes_len;
    size_t bytes_cap;
    struct xc_sr_outq_piece *pieces;
    size_t nr_pieces;
    size_t cap_pieces;
    size_t first;      /* piece being written */
    size_t first_done; /* octets of it already written */
    size_t queued;     /* octets not yet written */
    uint64_t total;    /* octets written so far */
};

int xc_sr__outq_init(struct xc_sr_outq *q, int fd);
void xc_sr__outq_dispose(struct xc_sr_outq *q);

/* Copies. */
int xc_sr__outq_copy(struct xc_sr_outq *q, const void *data, size_t len);
/* References; the caller keeps the octets until len() is 0. */
int xc_sr__outq_ref(struct xc_sr_outq *q, const void *data, size_t len);

/* Forgets everything that was not written. */
void xc_sr__outq_drop(struct xc_sr_outq *q);

static inline size_t xc_sr__outq_len(const struct xc_sr_outq *q)
{
    return q->queued;
}

/*
 * Writes until the descriptor would block or nothing is left; *wrote_r octets
 * went out.  -EPIPE when the peer is gone.
 */
int xc_sr__outq_flush(struct xc_sr_outq *q, size_t *wrote_r);

/*
 * Last words: waits for the descriptor alone, until all is written, the peer
 * is gone or deadline_us has passed.  Whether it arrived is nobody's business.
 */
void xc_sr__outq_drain(struct xc_sr_outq *q, uint64_t deadline_us);

#endif /* XC_SR_OUTQ_H */

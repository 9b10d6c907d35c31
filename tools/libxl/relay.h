/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * relay.h: libxl's own records between the wire and a stock libxl.
 *
 * libxl is given one end of a socket pair in the place of its stream.  It
 * reads that end blocking, inside its event loop and with its context locked:
 * so only whole records are passed on, and each is checked before libxl sees
 * any of it.  What is passed on waits in memory until it is taken, because
 * the thread that carries it serves a guest's faults as well.
 *
 * No waiting here; the descriptors are the callers' (domain_send.c,
 * domain_receive.c), and non-blocking.
 */
#ifndef LIBXL_POSTCOPY_RELAY_H
#define LIBXL_POSTCOPY_RELAY_H

#include "frames.h"

/*
 * Octets that may wait for libxl.  One record may be so long, and libxl takes
 * the one before it before it can say that it is ready for a guest.
 */
#define LIBXL_PC_RELAY_MAX (2u * LIBXL_PC_RECORD_MAX)

struct libxl_postcopy__relay
{
    struct libxl_postcopy__frames frames;
    uint8_t *data; /* [start, whole): to be passed on; [whole, end): a piece */
    size_t start;
    size_t whole;
    size_t end;
    size_t cap;
    uint32_t end_as; /* the record that ends a turn gets this number */
    bool turn_over;  /* nothing more of libxl's comes in this turn */
};

/* At libxl's header.  A zeroed struct is safe to dispose. */
void libxl_postcopy__relay_init(struct libxl_postcopy__relay *r);
void libxl_postcopy__relay_dispose(struct libxl_postcopy__relay *r);

/*
 * It is libxl's turn again.  Stock libxl ends its part with END; in a version
 * 2 stream the wire has another record there: end_as is what goes out.
 */
void libxl_postcopy__relay_turn(struct libxl_postcopy__relay *r,
                                enum libxl_postcopy__turn turn,
                                uint32_t end_as);

/* So many octets are libxl's for certain; 0 when the turn is over. */
size_t libxl_postcopy__relay_want(const struct libxl_postcopy__relay *r);

/*
 * Takes octets, at most to the end of the turn.  Errors are those of
 * libxl_postcopy__frames_feed() (frames.fault says where and why), and -ENOBUFS:
 * too much waits already.
 */
int libxl_postcopy__relay_put(struct libxl_postcopy__relay *r, const void *p,
                              size_t len, size_t *used_r);

/* Whole records that wait: octets and where; take() drops from their front. */
size_t libxl_postcopy__relay_waiting(const struct libxl_postcopy__relay *r,
                                     const uint8_t **p_r);
void libxl_postcopy__relay_take(struct libxl_postcopy__relay *r, size_t len);

/*
 * Writes what waits to fd, which does not block; 0 when all of it is out,
 * -EAGAIN when fd takes no more now.
 */
int libxl_postcopy__relay_flush(struct libxl_postcopy__relay *r, int fd);

/*
 * Reads what libxl says from fd, which does not block, as far as the turn
 * goes.  -EAGAIN: nothing now; -EPIPE: libxl closed it before its turn was
 * over.
 */
int libxl_postcopy__relay_fill(struct libxl_postcopy__relay *r, int fd);

/* Reads and forgets what fd holds; *eof_r: its other end is closed. */
void libxl_postcopy__relay_discard(int fd, bool *eof_r);

#endif /* LIBXL_POSTCOPY_RELAY_H */

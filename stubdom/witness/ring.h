/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * ring.h: one direction of a ring of octets in a page that is shared with
 * dom0, as the console and xenstore have them.  Indices run freely; what the
 * other side says about them is checked, never believed.
 */
#ifndef WITNESS_RING_H
#define WITNESS_RING_H

#include <stddef.h>
#include <stdint.h>

struct ring
{
    char *data;
    uint32_t size; /* a power of two */
    volatile uint32_t *cons, *prod;
};

/* As much of buf as there is room for: the number of octets, or -EPROTO. */
int ring_put(const struct ring *r, const char *buf, size_t len);

/* At most len octets of what is there: the number, or -EPROTO. */
int ring_get(const struct ring *r, char *buf, size_t len);

#endif

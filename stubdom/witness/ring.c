/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * ring.c: octets in and out of a shared ring.  console.c and store.c tell the
 * other side afterwards, through their event channel.  Also built for the host.
 */
#include <errno.h>

#include "ring.h"

/* Contents before index, index before contents: on x86 the compiler's order. */
#define barrier() __asm__ __volatile__("" : : : "memory")

int ring_put(const struct ring *r, const char *buf, size_t len)
{
    uint32_t prod = *r->prod, used = prod - *r->cons;
    uint32_t i, nr;

    if ( used > r->size )
        return -EPROTO;
    /* The other side reads what it frees before it says so: a full fence. */
    __sync_synchronize();
    nr = r->size - used < len ? r->size - used : (uint32_t)len;
    for ( i = 0; i < nr; i++ )
        r->data[(prod + i) & (r->size - 1)] = buf[i];
    barrier();
    *r->prod = prod + nr;
    __sync_synchronize();
    return (int)nr;
}

int ring_get(const struct ring *r, char *buf, size_t len)
{
    uint32_t cons = *r->cons, used = *r->prod - cons;
    uint32_t i, nr;

    if ( used > r->size )
        return -EPROTO;
    barrier();
    nr = used < len ? used : (uint32_t)len;
    for ( i = 0; i < nr; i++ )
        buf[i] = r->data[(cons + i) & (r->size - 1)];
    __sync_synchronize();
    *r->cons = cons + nr;
    __sync_synchronize();
    return (int)nr;
}

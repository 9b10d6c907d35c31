/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * relay.c: libxl's records, collected whole, checked, passed on.
 *
 * Called by the engine's thread on either side: as xc_sr_upper_source and
 * xc_sr_upper_sink while it is libxl's turn, directly for what stands before
 * the libxc stream and after a plain one.  Must not wait: whoever has to tells
 * it so by -EAGAIN.
 */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AS_IT_IS UINT32_MAX

void libxl_postcopy__relay_init(struct libxl_postcopy__relay *r)
{
    memset(r, 0, sizeof(*r));
    libxl_postcopy__frames_init(&r->frames, LIBXL_PC_START_LIBXL);
    r->end_as = AS_IT_IS;
}

void libxl_postcopy__relay_dispose(struct libxl_postcopy__relay *r)
{
    libxl_postcopy__frames_dispose(&r->frames);
    free(r->data);
    r->data = NULL;
}

void libxl_postcopy__relay_turn(struct libxl_postcopy__relay *r,
                                enum libxl_postcopy__turn turn, uint32_t end_as)
{
    libxl_postcopy__frames_begin_turn(&r->frames, turn, 0);
    r->end_as = end_as;
    r->turn_over = false;
}

size_t libxl_postcopy__relay_want(const struct libxl_postcopy__relay *r)
{
    return r->turn_over ? 0 : libxl_postcopy__frames_want(&r->frames);
}

/* ---- In ---------------------------------------------------------------------- */

/* Room for len octets more; grows with what came, not with what was announced. */
static int make_room(struct libxl_postcopy__relay *r, size_t len)
{
    size_t held = r->end - r->start, cap = r->cap ? r->cap : 4096;
    uint8_t *data;

    if ( len > LIBXL_PC_RELAY_MAX - held )
        return -ENOBUFS;
    if ( r->cap - r->end >= len )
        return 0;
    if ( r->start )
    {
        memmove(r->data, r->data + r->start, held);
        r->whole -= r->start;
        r->end -= r->start;
        r->start = 0;
    }
    while ( cap < held + len )
        cap *= 2;
    if ( cap == r->cap )
        return 0;
    data = realloc(r->data, cap);
    if ( !data )
        return -ENOMEM;
    r->data = data;
    r->cap = cap;
    return 0;
}

/* The record [whole, end) is complete. */
static void pass(struct libxl_postcopy__relay *r, bool ends_turn)
{
    if ( ends_turn && r->end_as != AS_IT_IS )
        for ( unsigned int i = 0; i < 4; i++ )
            r->data[r->whole + i] = (uint8_t)(r->end_as >> 8 * i);
    r->whole = r->end;
}

/* After a whole piece: is the turn over? */
static int look_further(struct libxl_postcopy__relay *r)
{
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    size_t used = 0;
    int rc = libxl_postcopy__frames_feed(&r->frames, NULL, 0, &used, &ev);

    r->turn_over = !rc && ev != LIBXL_PC_EV_MORE;
    return rc;
}

int libxl_postcopy__relay_put(struct libxl_postcopy__relay *r, const void *p,
                              size_t len, size_t *used_r)
{
    const uint8_t *from = p;
    size_t at = 0;
    int rc = make_room(r, len);

    while ( !rc && !r->turn_over )
    {
        enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
        size_t used = 0;

        rc = libxl_postcopy__frames_feed(&r->frames, from + at, len - at, &used,
                                         &ev);
        if ( rc )
            break;
        if ( used )
            memcpy(r->data + r->end, from + at, used);
        r->end += used;
        at += used;
        if ( ev == LIBXL_PC_EV_MORE )
            break;
        if ( ev == LIBXL_PC_EV_HEADER )
            pass(r, false);
        if ( ev != LIBXL_PC_EV_RECORD_END )
            continue;
        rc = look_further(r);
        if ( !rc )
            pass(r, r->turn_over);
    }
    *used_r = at;
    return rc;
}

/* ---- Out ----------------------------------------------------------------------- */

size_t libxl_postcopy__relay_waiting(const struct libxl_postcopy__relay *r,
                                     const uint8_t **p_r)
{
    *p_r = r->data + r->start;
    return r->whole - r->start;
}

void libxl_postcopy__relay_take(struct libxl_postcopy__relay *r, size_t len)
{
    r->start += len;
    if ( r->start == r->end )
        r->start = r->whole = r->end = 0;
}

int libxl_postcopy__relay_flush(struct libxl_postcopy__relay *r, int fd)
{
    const uint8_t *p;
    size_t len;

    while ( (len = libxl_postcopy__relay_waiting(r, &p)) > 0 )
    {
        ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if ( n < 0 && errno == EINTR )
            continue;
        if ( n < 0 )
            return -errno;
        libxl_postcopy__relay_take(r, (size_t)n);
    }
    return 0;
}

/* ---- From and to libxl ------------------------------------------------------------ */

int libxl_postcopy__relay_fill(struct libxl_postcopy__relay *r, int fd)
{
    uint8_t buf[16384];
    size_t used = 0;
    ssize_t n;
    int rc;

    do
        n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    while ( n < 0 && errno == EINTR );
    if ( n < 0 )
        return errno == ECONNRESET ? -EPIPE : -errno;
    if ( n == 0 )
        return -EPIPE;
    rc = libxl_postcopy__relay_put(r, buf, (size_t)n, &used);
    /* libxl says nothing after its END. */
    return !rc && used != (size_t)n ? -EPROTO : rc;
}

void libxl_postcopy__relay_discard(int fd, bool *eof_r)
{
    uint8_t buf[16384];
    ssize_t n;

    do
        n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    while ( n > 0 || (n < 0 && errno == EINTR) );
    *eof_r = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

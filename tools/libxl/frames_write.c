/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * frames_write.c: pieces of the xl and libxl layers, built in memory.
 *
 * The counterpart of frames.c: the sending side of xl migrate puts together
 * with these what goes out before, in the middle of and after a libxc stream.
 * Nothing here is written to a descriptor.
 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t xl_head[40] = "Xen saved domain, xl format\n \0 \r"
                                   "\4\3\2\1\3\0\0";

void libxl_postcopy__buf_dispose(struct libxl_postcopy__buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

/* Room for len octets more, or NULL with error set. */
static uint8_t *extend(struct libxl_postcopy__buf *b, size_t len)
{
    size_t need, cap = b->cap ? b->cap : 256;
    uint8_t *data;

    if ( b->error )
        return NULL;
    if ( __builtin_add_overflow(b->len, len, &need) )
        goto nomem;
    while ( cap < need )
        if ( __builtin_mul_overflow(cap, 2, &cap) )
            goto nomem;
    if ( cap != b->cap )
    {
        data = realloc(b->data, cap);
        if ( !data )
            goto nomem;
        b->data = data;
        b->cap = cap;
    }
    data = b->data + b->len;
    b->len = need;
    return data;

nomem:
    b->error = -ENOMEM;
    return NULL;
}

static void put(struct libxl_postcopy__buf *b, const void *p, size_t len)
{
    uint8_t *to = extend(b, len);

    if ( to && len )
        memcpy(to, p, len);
}

static void put_le32(struct libxl_postcopy__buf *b, uint32_t v)
{
    const uint8_t p[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                           (uint8_t)(v >> 24) };

    put(b, p, sizeof(p));
}

void libxl_postcopy__put_xl_header(struct libxl_postcopy__buf *b,
                                   const char *config, size_t config_len)
{
    if ( config_len >= LIBXL_PC_CONFIG_MAX )
    {
        b->error = b->error ? b->error : -EMSGSIZE;
        return;
    }
    put(b, xl_head, sizeof(xl_head));
    put_le32(b, 0); /* optional flags */
    put_le32(b, (uint32_t)config_len + 5);
    put_le32(b, (uint32_t)config_len + 1);
    put(b, config, config_len);
    put(b, "", 1); /* stock xl sends the NUL along */
}

void libxl_postcopy__put_header(struct libxl_postcopy__buf *b)
{
    put(b, "LibxlFmt\0\0\0\2\0\0\0", LIBXL_PC_HEADER_LEN);
}

void libxl_postcopy__put_empty(struct libxl_postcopy__buf *b,
                               enum libxl_postcopy__frame_type type)
{
    put_le32(b, (uint32_t)type);
    put_le32(b, 0);
}

void libxl_postcopy__put_emulator(struct libxl_postcopy__buf *b,
                                  enum libxl_postcopy__frame_type type,
                                  uint32_t id, uint32_t index, const void *data,
                                  size_t len)
{
    static const uint8_t zeroes[8];
    size_t max = type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA
                     ? LIBXL_PC_XENSTORE_MAX
                     : LIBXL_PC_RECORD_MAX;

    if ( len > max - LIBXL_PC_EMULATOR_HEAD_LEN )
    {
        b->error = b->error ? b->error : -EMSGSIZE;
        return;
    }
    put_le32(b, (uint32_t)type);
    put_le32(b, (uint32_t)len + LIBXL_PC_EMULATOR_HEAD_LEN);
    put_le32(b, id);
    put_le32(b, index);
    put(b, data, len);
    put(b, zeroes, (8 - len % 8) % 8);
}

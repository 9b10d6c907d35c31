/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * vectors_build.c: octets, and notes of what they are.
 */
#include "vectors_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *extend(struct vector *v, size_t len)
{
    if ( v->len + len >= v->cap ) /* one octet to spare, for tests */
    {
        v->cap = (v->len + len) * 2;
        v->data = realloc(v->data, v->cap);
        if ( !v->data )
            abort();
    }
    v->len += len;
    return v->data + v->len - len;
}

void vec_bytes(struct vector *v, const char *field, enum vec_rule rule,
               const void *p, size_t len)
{
    if ( rule != VEC_ANY && len )
    {
        if ( v->nr_marks == VEC_MAX_MARKS || !v->nr_spans )
            abort();
        v->marks[v->nr_marks++] = (struct vec_mark){
            .offset = v->len,
            .len = len,
            .rule = rule,
            .type = v->spans[v->nr_spans - 1].type,
            .field = field,
        };
    }
    memcpy(extend(v, len), p, len);
}

void vec_fill(struct vector *v, const char *field, enum vec_rule rule,
              uint8_t octet, size_t len)
{
    uint8_t octets[4096];

    if ( len > sizeof(octets) )
        abort();
    memset(octets, octet, sizeof(octets));
    vec_bytes(v, field, rule, octets, len);
}

static void put_le(struct vector *v, const char *field, enum vec_rule rule,
                   uint64_t value, size_t len)
{
    uint8_t octets[8];

    for ( size_t i = 0; i < len; i++ )
        octets[i] = (uint8_t)(value >> (8 * i));
    vec_bytes(v, field, rule, octets, len);
}

void vec_u16(struct vector *v, const char *field, enum vec_rule rule,
             uint16_t value)
{
    put_le(v, field, rule, value, 2);
}

void vec_u32(struct vector *v, const char *field, enum vec_rule rule,
             uint32_t value)
{
    put_le(v, field, rule, value, 4);
}

void vec_u64(struct vector *v, const char *field, enum vec_rule rule,
             uint64_t value)
{
    put_le(v, field, rule, value, 8);
}

void vec_be16(struct vector *v, const char *field, enum vec_rule rule,
              uint16_t value)
{
    vec_u16(v, field, rule, (uint16_t)(value << 8 | value >> 8));
}

void vec_be32(struct vector *v, const char *field, enum vec_rule rule,
              uint32_t value)
{
    vec_u32(v, field, rule, __builtin_bswap32(value));
}

void vec_header(struct vector *v, const char *type)
{
    if ( v->nr_spans == VEC_MAX_SPANS )
        abort();
    v->spans[v->nr_spans++] = (struct vec_span){
        .offset = v->len,
        .body = v->len,
        .type = type,
    };
}

void vec_record(struct vector *v, const char *name, uint32_t type,
                unsigned int flags)
{
    vec_header(v, name);
    vec_u32(v, "type", VEC_TYPE, type);
    vec_u32(v, "length", flags & VEC_FREE ? VEC_LENGTH : VEC_EXACT, 0);
    v->spans[v->nr_spans - 1].body = v->len;
}

void vec_end(struct vector *v)
{
    struct vec_span *span = &v->spans[v->nr_spans - 1];
    size_t len = v->len - span->body;

    if ( span->body != span->offset )
    {
        for ( int i = 0; i < 4; i++ )
            v->data[span->body - 4 + (size_t)i] = (uint8_t)(len >> (8 * i));
        vec_fill(v, "padding", VEC_EXACT, 0, (8 - len % 8) % 8);
    }
    span->end = v->len;
}

void vec_empty(struct vector *v, const char *name, uint32_t type)
{
    vec_record(v, name, type, 0);
    vec_end(v);
}

void vec_page(uint64_t pfn, uint8_t *page)
{
    uint64_t x = pfn * 0x9e3779b97f4a7c15ULL + 1;

    for ( size_t i = 0; i < 4096; i += 8 )
    {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        for ( size_t k = 0; k < 8; k++ )
            page[i + k] = (uint8_t)(x >> (8 * k));
    }
}

void vec_free(struct vector *v)
{
    if ( !v )
        return;
    free(v->data);
    free(v);
}

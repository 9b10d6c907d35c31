/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * vectors_build.h: the pieces vectors.c puts streams together from.
 */
#ifndef VECTORS_BUILD_H
#define VECTORS_BUILD_H

#include "vectors.h"

#define VEC_ANY ((enum vec_rule)99) /* every value is well-formed */

/* A body whose length is not fixed by anything else in it. */
#define VEC_FREE 0x1u

void vec_header(struct vector *v, const char *type); /* opens a span */
void vec_end(struct vector *v);                      /* closes it, pads */
void vec_record(struct vector *v, const char *name, uint32_t type,
                unsigned int flags);
void vec_empty(struct vector *v, const char *name, uint32_t type);

void vec_bytes(struct vector *v, const char *field, enum vec_rule rule,
               const void *p, size_t len);
void vec_fill(struct vector *v, const char *field, enum vec_rule rule,
              uint8_t octet, size_t len);
void vec_u16(struct vector *v, const char *field, enum vec_rule rule,
             uint16_t value);
void vec_u32(struct vector *v, const char *field, enum vec_rule rule,
             uint32_t value);
void vec_u64(struct vector *v, const char *field, enum vec_rule rule,
             uint64_t value);
void vec_be16(struct vector *v, const char *field, enum vec_rule rule,
              uint16_t value);
void vec_be32(struct vector *v, const char *field, enum vec_rule rule,
              uint32_t value);

#endif /* VECTORS_BUILD_H */

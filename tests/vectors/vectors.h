/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * vectors.h: golden streams, and where each of their fields is.
 *
 * Built octet by octet, without the codec's writer: what reads them and what
 * writes them shall not share a mistake.  The marks say how a field can be
 * made wrong, so that broken streams follow mechanically.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a field is made wrong; the fault must then name the mark's record. */
enum vec_rule
{
    VEC_EXACT,  /* a change of any single octet */
    VEC_HIGH,   /* all ones */
    VEC_ZERO,   /* all zeroes, and all ones */
    VEC_ENTRY,  /* reserved bits, or a page type that does not exist */
    VEC_LENGTH, /* of a body of free length: any octet but the lowest */
    VEC_TYPE,   /* a mandatory type nobody knows */
};

struct vec_mark
{
    size_t offset;
    size_t len;
    enum vec_rule rule;
    const char *type; /* as a fault names it */
    const char *field;
};

/* A header or a record: where truncation is blamed. */
struct vec_span
{
    size_t offset;
    size_t body; /* offset of its body; equal to offset for headers */
    size_t end;
    const char *type;
};

#define VEC_MAX_MARKS 1024
#define VEC_MAX_SPANS 64

struct vector
{
    const char *name;
    bool back;
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t nr_marks;
    size_t nr_spans;
    struct vec_mark marks[VEC_MAX_MARKS];
    struct vec_span spans[VEC_MAX_SPANS];
};

unsigned int vec_count(void);
/* NULL past the last; out of memory ends the program (a test's own). */
struct vector *vec_build(unsigned int index);
void vec_free(struct vector *v);

/* What a page with this pfn holds, 4096 octets. */
void vec_page(uint64_t pfn, uint8_t *page);

#endif /* VECTORS_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * text.h: lines put together without a libc.  Everything the witness says, on
 * the console and in xenstore, is built with these in a buffer of the
 * caller's.  What does not fit is cut off, and the text ends all the same.
 */
#ifndef WITNESS_TEXT_H
#define WITNESS_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text
{
    char *buf;
    size_t size; /* of buf; the final NUL is always in it */
    size_t len;
};

void text_init(struct text *t, char *buf, size_t size);
void text_char(struct text *t, char c);
void text_str(struct text *t, const char *str);
void text_dec(struct text *t, uint64_t value);
void text_hex(struct text *t, uint64_t value);

/* " key=value", the blank only behind something. */
void text_pair(struct text *t, const char *key, uint64_t value);

/* All of str[0..len) is a decimal number of at most max?  0 or -EINVAL. */
int text_to_number(const char *str, size_t len, uint64_t max,
                   uint64_t *value_r);

#endif

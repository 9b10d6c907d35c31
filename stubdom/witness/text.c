/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * text.c: lines and numbers as text.  No state, no memory of its own; also
 * built for the host, where tests/unit/test_witness.c tests it.
 */
#include <errno.h>

#include "text.h"

void text_init(struct text *t, char *buf, size_t size)
{
    t->buf = buf;
    t->size = size;
    t->len = 0;
    buf[0] = '\0';
}

void text_char(struct text *t, char c)
{
    if ( t->len + 1 >= t->size )
        return;
    t->buf[t->len++] = c;
    t->buf[t->len] = '\0';
}

void text_str(struct text *t, const char *str)
{
    while ( *str )
        text_char(t, *str++);
}

static void number(struct text *t, uint64_t value, unsigned int base)
{
    char digits[24];
    unsigned int nr = 0;

    do
    {
        digits[nr++] = "0123456789abcdef"[value % base];
        value /= base;
    } while ( value );
    while ( nr )
        text_char(t, digits[--nr]);
}

void text_dec(struct text *t, uint64_t value)
{
    number(t, value, 10);
}

void text_hex(struct text *t, uint64_t value)
{
    text_str(t, "0x");
    number(t, value, 16);
}

void text_pair(struct text *t, const char *key, uint64_t value)
{
    if ( t->len )
        text_char(t, ' ');
    text_str(t, key);
    text_char(t, '=');
    text_dec(t, value);
}

int text_to_number(const char *str, size_t len, uint64_t max, uint64_t *value_r)
{
    uint64_t value = 0;
    size_t i;

    if ( len == 0 )
        return -EINVAL;
    for ( i = 0; i < len; i++ )
    {
        unsigned int digit = (unsigned char)str[i] - '0';

        if ( digit > 9 || value > (max - digit) / 10 || digit > max )
            return -EINVAL;
        value = value * 10 + digit;
    }
    *value_r = value;
    return 0;
}

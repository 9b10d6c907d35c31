/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_number.c: numbers that a user typed.  strtoul() would take signs, blanks
 * and other bases; here a number is digits and nothing else, and a value out
 * of bounds is an error, never a clipped value.
 */
#include "xl.h"

#include <errno.h>

/* Takes digits from *text_io on; false without one or above max. */
static bool take_digits(const char **text_io, uint64_t max, uint64_t *v_r)
{
    const char *p = *text_io;
    uint64_t v = 0;

    if ( *p < '0' || *p > '9' )
        return false;
    for ( ; *p >= '0' && *p <= '9'; p++ )
    {
        if ( __builtin_mul_overflow(v, 10u, &v) ||
             __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v) || v > max )
            return false;
    }
    *text_io = p;
    *v_r = v;
    return true;
}

int xl_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *v_r)
{
    uint64_t v = 0;

    if ( !take_digits(&text, max, &v) || *text || v < min )
        return -EINVAL;
    *v_r = v;
    return 0;
}

int xl_parse_milli(const char *text, uint64_t max_milli, uint64_t *milli_r)
{
    uint64_t whole = 0, fraction = 0, milli;
    unsigned int scale = 100;

    if ( !take_digits(&text, max_milli / 1000, &whole) )
        return -EINVAL;
    if ( *text == '.' )
    {
        if ( !text[1] )
            return -EINVAL;
        for ( text++; *text >= '0' && *text <= '9' && scale; text++ )
        {
            fraction += (uint64_t)(*text - '0') * scale;
            scale /= 10;
        }
    }
    if ( *text )
        return -EINVAL;
    milli = whole * 1000 + fraction;
    if ( milli > max_milli )
        return -EINVAL;
    *milli_r = milli;
    return 0;
}

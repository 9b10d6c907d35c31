/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libmin.c: the few functions of a libc that the compiler or the parts that
 * are also built for the host call.  Not built for the host.
 */
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    void *result = to;

    __asm__ volatile("rep movsb"
                     : "+D"(to), "+S"(from), "+c"(len)
                     :
                     : "memory");
    return result;
}

void *memmove(void *to, const void *from, size_t len)
{
    char *last_to = (char *)to + len - 1;
    const char *last_from = (const char *)from + len - 1;

    if ( (char *)to <= (const char *)from )
        return memcpy(to, from, len);
    for ( ; len; len-- )
        *last_to-- = *last_from--;
    return to;
}

void *memset(void *to, int value, size_t len)
{
    void *result = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(value) : "memory");
    return result;
}

int memcmp(const void *a, const void *b, size_t len)
{
    const unsigned char *x = a, *y = b;

    for ( ; len; len--, x++, y++ )
        if ( *x != *y )
            return *x < *y ? -1 : 1;
    return 0;
}

void *memchr(const void *in, int value, size_t len)
{
    const unsigned char *at = in;

    for ( ; len; len--, at++ )
        if ( *at == (unsigned char)value )
            return (void *)at;
    return NULL;
}

size_t strlen(const char *str)
{
    size_t len = 0;

    while ( str[len] )
        len++;
    return len;
}

int strcmp(const char *a, const char *b)
{
    while ( *a && *a == *b )
    {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t len)
{
    while ( len && *a && *a == *b )
    {
        a++;
        b++;
        len--;
    }
    return len ? (unsigned char)*a - (unsigned char)*b : 0;
}

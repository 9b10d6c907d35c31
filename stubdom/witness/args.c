/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * args.c: the table of parameters and its parser.  main.c gives it the command
 * line, control.c the commands from xenstore.  Every value is bounded here,
 * with what the rest of the witness can bear.  Also built for the host.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "args.h"

/* A value is a decimal number; these two words stand for one. */
#define ORDER_SEQ    "seq"
#define ORDER_RANDOM "random"

static const struct param
{
    const char *name;
    size_t offset;
    uint64_t min, max, initial;
    bool fixed;
} params[] = {
#define PARAM(name, field, min, max, initial, fixed)                           \
    {                                                                          \
        name, offsetof(struct witness_args, field), min, max, initial, fixed   \
    }
    PARAM("seed", seed, 0, UINT64_MAX, 1, true),
    PARAM("mem", mem_mib, 0, 1 << 20, 0, true), /* a TiB: 32-bit page numbers */
    PARAM("cpus", cpus, 0, 16, 0, true),        /* stacks are static */
    PARAM("shared", shared_pct, 0, 90, 5, true),
    PARAM("zero", zero_every, 0, UINT32_MAX, 16, true),
    PARAM("cold", cold, 0, 4096, 32, true),
    PARAM("rate", rate, 0, 100000000, 0, false),
    PARAM("write", write_pct, 0, 100, 50, false),
    PARAM("order", random, 0, 1, 0, false),
    PARAM("hot", hot, 0, UINT32_MAX, 0, false),
    PARAM("scan", scan, 0, 100000000, 50, false),
    PARAM("tick", tick_ms, 1, 1000, 50, false),
    PARAM("duty", duty_pct, 1, 90, 25, false), /* never all of it */
    PARAM("report", report_ms, 50, 60000, 1000, false),
    PARAM("console", console_ms, 0, 3600000, 10000, false),
#undef PARAM
};

#define NR_PARAMS (sizeof(params) / sizeof(params[0]))

static uint64_t *field(struct witness_args *args, const struct param *p)
{
    return (uint64_t *)((char *)args + p->offset);
}

void args_init(struct witness_args *args)
{
    size_t i;

    for ( i = 0; i < NR_PARAMS; i++ )
        *field(args, &params[i]) = params[i].initial;
}

static int refuse(struct text *why, const char *word, size_t len,
                  const char *reason)
{
    size_t i;

    for ( i = 0; i < len; i++ )
        text_char(why, word[i]);
    text_str(why, ": ");
    text_str(why, reason);
    return -EINVAL;
}

static const struct param *lookup(const char *name, size_t len)
{
    size_t i;

    for ( i = 0; i < NR_PARAMS; i++ )
        if ( strlen(params[i].name) == len &&
             memcmp(params[i].name, name, len) == 0 )
            return &params[i];
    return NULL;
}

static bool is_word(const char *value, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(value, word, len) == 0;
}

static int value_of(const struct param *p, const char *value, size_t len,
                    uint64_t *value_r)
{
    if ( p->offset == offsetof(struct witness_args, random) )
    {
        if ( !is_word(value, len, ORDER_SEQ) &&
             !is_word(value, len, ORDER_RANDOM) )
            return -EINVAL;
        *value_r = is_word(value, len, ORDER_RANDOM);
        return 0;
    }
    return text_to_number(value, len, p->max, value_r);
}

static int parse_word(struct witness_args *args, const char *word, size_t len,
                      bool started, struct text *why)
{
    const struct param *p;
    uint64_t value;
    size_t name_len = 0;

    while ( name_len < len && word[name_len] != '=' )
        name_len++;
    p = lookup(word, name_len);
    if ( !p )
        return refuse(why, word, len, "no such parameter");
    if ( name_len == len )
        return refuse(why, word, len, "=value is missing");
    if ( started && p->fixed )
        return refuse(why, word, len, "is fixed at start");
    if ( value_of(p, word + name_len + 1, len - name_len - 1, &value) ||
         value < p->min )
        return refuse(why, word, len, "no such value");
    *field(args, p) = value;
    return 0;
}

int args_parse(struct witness_args *args, const char *line, bool started,
               struct text *why)
{
    struct witness_args next = *args;
    int rc;

    for ( ;; )
    {
        size_t len = 0;

        while ( *line == ' ' )
            line++;
        while ( line[len] && line[len] != ' ' )
            len++;
        if ( len == 0 )
            break;
        rc = parse_word(&next, line, len, started, why);
        if ( rc )
            return rc;
        line += len;
    }
    *args = next;
    return 0;
}

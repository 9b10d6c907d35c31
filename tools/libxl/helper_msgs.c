/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * helper_msgs.c: libxl's helper messages as octets, from one table.
 *
 * Called by the threads that play the helper (domain_link.c), and by tests,
 * which play libxl.  Never trusts a length: what is decoded may come from a
 * program that was put in the shim's place.
 */
#include "helper_msgs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/*
 * Fields: u = 32 bits, d = signed 32 bits, l = unsigned long, s = string (u32
 * length that counts its NUL, then the octets).  Answers: - none, + non-zero
 * is success, 0 zero is success, * whatever it is.
 */
static const struct row
{
    const char *name;
    const char *fields;
    char answer;
} rows[LIBXL_PC_MSG_COUNT] = {
    [LIBXL_PC_MSG_LOG] = { "log", "uuss", '-' },
    [LIBXL_PC_MSG_PROGRESS] = { "progress", "ssll", '-' },
    [LIBXL_PC_MSG_SUSPEND] = { "suspend", "", '+' },
    [LIBXL_PC_MSG_POSTCOPY] = { "postcopy", "", '+' },
    [LIBXL_PC_MSG_CHECKPOINT] = { "checkpoint", "", '+' },
    [LIBXL_PC_MSG_WAIT_CHECKPOINT] = { "wait_checkpoint", "", '+' },
    [LIBXL_PC_MSG_LOGDIRTY] = { "switch_qemu_logdirty", "uu", '0' },
    [LIBXL_PC_MSG_STATIC_DATA_DONE] = { "static_data_done", "u", '0' },
    [LIBXL_PC_MSG_RESTORE_RESULTS] = { "restore_results", "ll", '-' },
    [LIBXL_PC_MSG_COMPLETE] = { "complete", "dd", '*' },
};

static const struct row *row_of(unsigned int number)
{
    return number && number < LIBXL_PC_MSG_COUNT ? &rows[number] : NULL;
}

const char *libxl_postcopy__msg_name(unsigned int number)
{
    const struct row *row = row_of(number);

    return row ? row->name : NULL;
}

bool libxl_postcopy__msg_wants_answer(enum libxl_postcopy__msg number)
{
    const struct row *row = row_of(number);

    return row && row->answer != '-';
}

int libxl_postcopy__msg_verdict(enum libxl_postcopy__msg number, int answer)
{
    const struct row *row = row_of(number);

    if ( !row || row->answer == '-' )
        return -EINVAL;
    if ( row->answer == '+' )
        return answer ? 0 : -EIO;
    return row->answer == '0' && answer ? -EIO : 0;
}

/* ---- Writing ------------------------------------------------------------------ */

struct out
{
    uint8_t *at;
    size_t left;
    int error;
};

static void put(struct out *o, const void *p, size_t len)
{
    if ( o->error || len > o->left )
    {
        o->error = o->error ? o->error : -EMSGSIZE;
        return;
    }
    memcpy(o->at, p, len);
    o->at += len;
    o->left -= len;
}

static void put_field(struct out *o, char kind, uint64_t value)
{
    uint32_t word = (uint32_t)value;
    unsigned long whole = (unsigned long)value;

    if ( kind == 'l' )
        put(o, &whole, sizeof(whole));
    else if ( value == word || (kind == 'd' && value == (uint64_t)(int)word) )
        put(o, &word, sizeof(word));
    else
        o->error = -EINVAL;
}

static void put_string(struct out *o, const char *s)
{
    size_t len = s ? strnlen(s, LIBXL_PC_MSG_MAX) + 1 : 0;
    uint32_t word = (uint32_t)len;

    if ( !s )
        o->error = -EINVAL;
    put(o, &word, sizeof(word));
    if ( s && len <= LIBXL_PC_MSG_MAX )
        put(o, s, len);
    else
        o->error = o->error ? o->error : -EMSGSIZE;
}

int libxl_postcopy__msg_encode(const struct libxl_postcopy__message *msg,
                               void *buf, size_t cap, size_t *len_r)
{
    const struct row *row = row_of(msg->number);
    uint16_t number = (uint16_t)msg->number, length;
    unsigned int nr_values = 0, nr_strings = 0;
    size_t most = LIBXL_PC_MSG_PREFIX + LIBXL_PC_MSG_MAX;
    struct out o = { .at = buf, .left = cap < most ? cap : most };

    if ( !row )
        return -EINVAL;
    put(&o, &number, sizeof(number)); /* where the length will be */
    put(&o, &number, sizeof(number));
    for ( const char *f = row->fields; *f && !o.error; f++ )
    {
        if ( *f == 's' )
            put_string(&o, msg->strings[nr_strings++]);
        else
            put_field(&o, *f, msg->values[nr_values++]);
    }
    if ( o.error )
        return o.error;
    *len_r = (size_t)(o.at - (uint8_t *)buf);
    length = (uint16_t)(*len_r - LIBXL_PC_MSG_PREFIX);
    memcpy(buf, &length, sizeof(length));
    return 0;
}

/* ---- Reading ------------------------------------------------------------------- */

struct in
{
    const uint8_t *at;
    size_t left;
    bool short_of; /* more was wanted than there is */
};

static const uint8_t *take(struct in *in, size_t len)
{
    const uint8_t *p = in->at;

    if ( in->short_of || len > in->left )
    {
        in->short_of = true;
        return NULL;
    }
    in->at += len;
    in->left -= len;
    return p;
}

static uint64_t take_field(struct in *in, char kind)
{
    const uint8_t *p =
        take(in, kind == 'l' ? sizeof(unsigned long) : sizeof(uint32_t));
    unsigned long whole = 0;
    uint32_t word = 0;
    int number;

    if ( !p )
        return 0;
    if ( kind == 'l' )
    {
        memcpy(&whole, p, sizeof(whole));
        return whole;
    }
    memcpy(&word, p, sizeof(word));
    memcpy(&number, p, sizeof(number));
    return kind == 'd' ? (uint64_t)number : word;
}

static const char *take_string(struct in *in)
{
    uint32_t len = (uint32_t)take_field(in, 'u');
    const uint8_t *p = take(in, len);

    if ( !p || !len || memchr(p, 0, len) != p + len - 1 )
    {
        in->short_of = true;
        return NULL;
    }
    return (const char *)p;
}

int libxl_postcopy__msg_decode(const void *buf, size_t len,
                               struct libxl_postcopy__message *msg_r,
                               size_t *used_r)
{
    struct libxl_postcopy__message msg = { .number = LIBXL_PC_MSG_COUNT };
    unsigned int nr_values = 0, nr_strings = 0;
    struct in in = { .at = buf, .left = len };
    const struct row *row;
    uint16_t length, number;

    *used_r = 0;
    if ( len < sizeof(length) )
        return 0;
    memcpy(&length, take(&in, sizeof(length)), sizeof(length));
    if ( length < sizeof(number) )
        return -EPROTO;
    if ( in.left < length )
        return 0;
    in.left = length;
    memcpy(&number, take(&in, sizeof(number)), sizeof(number));
    row = row_of(number);
    if ( !row )
        return -EPROTO;
    msg.number = (enum libxl_postcopy__msg)number;
    for ( const char *f = row->fields; *f; f++ )
    {
        if ( *f == 's' )
            msg.strings[nr_strings++] = take_string(&in);
        else
            msg.values[nr_values++] = take_field(&in, *f);
    }
    if ( in.short_of || in.left )
        return -EPROTO;
    *msg_r = msg;
    *used_r = sizeof(length) + (size_t)length;
    return 0;
}

/* ---- The command line ------------------------------------------------------------ */

/* A decimal number and nothing else, at least `least`. */
static int parse_number(const char *text, long long least, long long most,
                        long long *value_r)
{
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if ( errno || end == text || *end || value < least || value > most )
        return -EINVAL;
    *value_r = value;
    return 0;
}

int libxl_postcopy__helper_args_parse(
    int argc, char *const argv[], struct libxl_postcopy__helper_args *args_r)
{
    enum
    {
        SAVE_ARGS = 8,
        RESTORE_ARGS = 11,
        MOST = RESTORE_ARGS - 2,
    };
    struct libxl_postcopy__helper_args args = { .io_fd = -1, .back_fd = -1 };
    long long n[MOST] = { 0 };

    if ( argc == RESTORE_ARGS && strcmp(argv[1], "--restore-domain") == 0 )
        args.restore = true;
    else if ( argc != SAVE_ARGS || strcmp(argv[1], "--save-domain") != 0 )
        return -EINVAL;
    for ( int i = 0; i < argc - 2; i++ )
    {
        bool fd = i < 2;

        if ( parse_number(argv[i + 2], fd ? -1 : 0, fd ? INT_MAX : UINT32_MAX,
                          &n[i]) )
            return -EINVAL;
    }
    args.io_fd = (int)n[0];
    args.back_fd = (int)n[1];
    args.domid = (uint32_t)n[2];
    if ( args.restore )
    {
        args.store_evtchn = (uint32_t)n[3];
        args.store_domid = (uint32_t)n[4];
        args.console_evtchn = (uint32_t)n[5];
        args.console_domid = (uint32_t)n[6];
    }
    else
        args.flags = (uint32_t)n[3];
    args.cbflags = (uint32_t)n[args.restore ? 7 : 4];
    args.stream_type = (uint32_t)n[args.restore ? 8 : 5];
    *args_r = args;
    return 0;
}

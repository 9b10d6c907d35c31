/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream.h: the parts of xen-verify-stream.
 *
 * The nest knows how xl's, libxl's and libxc's layers lie in one another and
 * hands each octet to the layer it belongs to; it does no I/O, so that tests
 * and the fuzzer drive it from memory.
 */
#ifndef VERIFY_STREAM_H
#define VERIFY_STREAM_H

#include <stdio.h>

#include "frames.h"

enum verify_format
{
    VERIFY_AUTO, /* the first octets tell */
    VERIFY_LIBXC,
    VERIFY_LIBXL,
    VERIFY_XL,
};

struct verify_options
{
    enum verify_format format;
    bool back;            /* a back channel: libxc records without headers */
    unsigned int version; /* of a back channel, 0: find out */
    bool partial;         /* announced pages may be missing at END */
    void (*line)(void *ctx, const char *line); /* NULL: no lines */
    void *ctx;
};

enum verify_turn
{
    VERIFY_TURN_DETECT, /* the format is not known yet */
    VERIFY_TURN_FRAMES,
    VERIFY_TURN_LIBXC,
    VERIFY_TURN_TEXT,   /* a fixed text of xl's */
    VERIFY_TURN_ANSWER, /* after the receiver's banner: a text or libxc */
    VERIFY_TURN_PEEK, /* bare libxc at TRANSITION: do libxl's records follow? */
    VERIFY_TURN_DONE,
};

enum verify_text
{
    VERIFY_TEXT_BANNER,
    VERIFY_TEXT_READY,
    VERIFY_TEXT_REPORT,
    VERIFY_TEXT_POSTCOPY2,
    VERIFY_TEXT_GO,
};

struct verify_nest
{
    struct verify_options options;
    enum verify_format format;
    enum verify_turn turn;
    struct xc_sr_verifier *libxc; /* NULL before LIBXC_CONTEXT */
    struct libxl_postcopy__frames frames;
    uint64_t offset;  /* octets of the stream so far */
    uint64_t turn_at; /* where libxl's turn began */
    uint8_t peek[8];
    size_t peek_have;
    size_t peek_want;
    enum verify_text text; /* being read */
    size_t text_at;
    uint32_t text_may; /* texts that may come next, a bit each */
    bool text_due;     /* one of them has to */
    struct xc_sr_verify_fault fault;
};

/* Errors: -ENOMEM, -EINVAL (a version that does not exist). */
int verify_nest_init(struct verify_nest *n,
                     const struct verify_options *options);
void verify_nest_dispose(struct verify_nest *n);
/* All of data, or an error: with n->fault.error set the stream is invalid. */
int verify_nest_feed(struct verify_nest *n, const void *data, size_t len);
/* Octets that need not be fed, and that they were passed over. */
uint64_t verify_nest_skippable(const struct verify_nest *n);
int verify_nest_skip(struct verify_nest *n, uint64_t octets);
/* No more octets. */
int verify_nest_eof(struct verify_nest *n);

/* verify_stream_text.c.  begin(): does a text that may come now begin with
 * this octet?  feed(): false at an octet that is not of the text. */
bool verify_text_begin(struct verify_nest *n, uint8_t first);
bool verify_text_feed(struct verify_nest *n, const uint8_t *p, size_t len,
                      size_t *used_r);

/* Feeds the nest from a descriptor to its end; an error without n->fault is
 * one of I/O or memory. */
int verify_input(struct verify_nest *n, int fd);

const char *verify_format_name(enum verify_format format);

/* 0, or -EPROTO with one line in why: is this text JSON? */
int verify_json_check(const char *text, size_t len, char *why, size_t cap);
/* One JSON object that says everything about the stream. */
int verify_json_report(const struct verify_nest *n, const char *name,
                       FILE *out);

#endif /* VERIFY_STREAM_H */

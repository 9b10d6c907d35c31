/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xsmsg.h: xenstore messages as octets: a header of four u32 (type, request,
 * transaction, length) and at most 4096 octets, the strings in them ended by
 * NULs.
 */
#ifndef WITNESS_XSMSG_H
#define WITNESS_XSMSG_H

#include <stddef.h>
#include <stdint.h>

#define XSMSG_HEADER_LEN 16u
#define XSMSG_BODY_MAX   4096u /* the protocol's own bound */
#define XSMSG_WATCH      4u    /* the one request with two strings */
#define XSMSG_MAX        (XSMSG_HEADER_LEN + XSMSG_BODY_MAX)

struct xsmsg
{
    uint32_t type, request, transaction;
    uint32_t len;
    const char *body; /* len octets, in the buffer they were read into */
};

/*
 * A message whose body is path, a NUL, and value: with a NUL too if it is a
 * watch's token, without if it is written, or nothing if value is NULL.
 * 0, or -E2BIG when it does not fit into size.
 */
int xsmsg_build(char *buf, size_t size, const struct xsmsg *head,
                const char *path, const char *value, size_t *len_r);

/*
 * The message at the start of buf.  0; -EAGAIN: have more octets first;
 * -EPROTO: no xenstore says that.
 */
int xsmsg_parse(const char *buf, size_t have, struct xsmsg *msg_r);

/* The string number nr of a body, NULL when it has not got so many. */
const char *xsmsg_string(const struct xsmsg *msg, unsigned int nr);

#endif

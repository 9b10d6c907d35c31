/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xsmsg.c: xenstore's messages in and out of a buffer.  store.c carries them
 * over the ring.  Octets that come in are xenstored's, which a guest has no
 * choice but to believe, but lengths are checked all the same.  Also built for
 * the host.
 */
#include <errno.h>
#include <string.h>

#include "xsmsg.h"

int xsmsg_build(char *buf, size_t size, const struct xsmsg *head,
                const char *path, const char *value, size_t *len_r)
{
    size_t path_len = strlen(path) + 1;
    size_t value_len = value ? strlen(value) + (head->type == XSMSG_WATCH) : 0;
    size_t len = path_len + value_len;
    uint32_t words[4] = { head->type, head->request, head->transaction,
                          (uint32_t)len };

    if ( len > XSMSG_BODY_MAX || size < XSMSG_HEADER_LEN + len )
        return -E2BIG;
    memcpy(buf, words, sizeof(words));
    memcpy(buf + XSMSG_HEADER_LEN, path, path_len);
    if ( value_len )
        memcpy(buf + XSMSG_HEADER_LEN + path_len, value, value_len);
    *len_r = XSMSG_HEADER_LEN + len;
    return 0;
}

int xsmsg_parse(const char *buf, size_t have, struct xsmsg *msg_r)
{
    uint32_t words[4];

    if ( have < XSMSG_HEADER_LEN )
        return -EAGAIN;
    memcpy(words, buf, sizeof(words));
    if ( words[3] > XSMSG_BODY_MAX )
        return -EPROTO;
    if ( have < XSMSG_HEADER_LEN + words[3] )
        return -EAGAIN;
    msg_r->type = words[0];
    msg_r->request = words[1];
    msg_r->transaction = words[2];
    msg_r->len = words[3];
    msg_r->body = buf + XSMSG_HEADER_LEN;
    return 0;
}

const char *xsmsg_string(const struct xsmsg *msg, unsigned int nr)
{
    const char *at = msg->body, *end = msg->body + msg->len;

    for ( ;; )
    {
        const char *nul = memchr(at, '\0', (size_t)(end - at));

        if ( !nul )
            return NULL;
        if ( nr-- == 0 )
            return at;
        at = nul + 1;
    }
}

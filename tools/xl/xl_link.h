/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_link.h: the connections of a migration, of which one may be lost and
 * another take its place; the same on both sides, local or Xen.
 *
 * A new connection comes through the control socket: a process that has one
 * says "reconnect SESSION" and passes its two descriptors.  That process stays
 * for as long as the connection is used (an ssh session ends with it), and is
 * told on the same socket what becomes of it, a line each:
 *
 *     recovered | lost WHY | done | resumed | parked
 *
 * after the last four of which nothing comes.
 */
#ifndef XL_LINK_H
#define XL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xl_control.h"
#include "xenpostcopy.h"

/* A session as it stands in requests and records. */
#define XL_SESSION_HEX_LEN 33

struct xl_link
{
    struct xc_sr_control *control; /* the engine's */
    bool connected;
    int in_use;    /* told what becomes of it; -1: nobody */
    int next;      /* handed in, not recovered yet; -1: none */
    char why[256]; /* of the latest loss; "": never */
};

void xl_link_init(struct xl_link *link, struct xc_sr_control *control);

/* What xc_sr_recovery's callbacks do with it, in the engine's thread. */
void xl_link_lost(struct xl_link *link, const char *why);
void xl_link_recovered(struct xl_link *link);

/* It is over; the last line for whoever is left. */
void xl_link_end(struct xl_link *link, const char *verdict);

/*
 * True if the request is one of ours; it is answered then.  may_recover: a new
 * connection makes sense now, else why_not says why it does not.
 */
struct xl_link_state
{
    const uint8_t *session;
    bool may_recover;
    const char *why_not;
};

bool xl_link_handle(struct xl_link *link, struct xl_control *server,
                    const char *request, const struct xl_link_state *state,
                    char *answer, size_t answer_len);

void xl_session_to_hex(const uint8_t session[16],
                       char hex_r[XL_SESSION_HEX_LEN]);

#endif /* XL_LINK_H */

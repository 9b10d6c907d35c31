/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_link.c: see xl_link.h.  Runs in the engine's thread, between two turns of
 * its loop; never waits.  Who may open the control socket may move the guest
 * anyway; the session is asked for so that connections of two migrations are
 * never mixed up.
 */
#include "xl_link.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void xl_session_to_hex(const uint8_t session[16],
                       char hex_r[XL_SESSION_HEX_LEN])
{
    unsigned int i;

    for ( i = 0; i < 16; i++ )
        snprintf(hex_r + 2 * i, 3, "%02x", session[i]);
}

void xl_link_init(struct xl_link *link, struct xc_sr_control *control)
{
    *link = (struct xl_link){
        .control = control, .connected = true, .in_use = -1, .next = -1
    };
}

/* One line; a reader that is not there, or slow, misses it. */
static void tell(int fd, const char *word, const char *text)
{
    char line[320];
    int len = snprintf(line, sizeof(line), "%s%s%.280s\n", word,
                       text[0] ? " " : "", text);

    if ( fd >= 0 && len > 0 &&
         send(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 )
        return;
}

static void let_go(int *fd, const char *word, const char *text)
{
    tell(*fd, word, text);
    if ( *fd >= 0 )
        close(*fd);
    *fd = -1;
}

void xl_link_lost(struct xl_link *link, const char *why)
{
    snprintf(link->why, sizeof(link->why), "%s", why);
    let_go(link->connected ? &link->in_use : &link->next, "lost", why);
    link->connected = false;
}

void xl_link_recovered(struct xl_link *link)
{
    link->in_use = link->next;
    link->next = -1;
    link->connected = true;
    tell(link->in_use, "recovered", "");
}

void xl_link_end(struct xl_link *link, const char *verdict)
{
    let_go(&link->in_use, verdict, "");
    let_go(&link->next, verdict, "");
}

static void reconnect(struct xl_link *link, struct xl_control *server,
                      char *answer, size_t answer_len)
{
    int fds[2];

    if ( !xl_control_take_fds(server, fds) )
    {
        snprintf(answer, answer_len, "error no connection came with it");
        return;
    }
    if ( xc_sr_control_reconnect(link->control, fds[0], fds[1]) )
    {
        close(fds[0]);
        close(fds[1]);
        snprintf(answer, answer_len, "error cannot reach the engine");
        return;
    }
    link->next = xl_control_take_client(server);
    snprintf(answer, answer_len, "ok");
}

bool xl_link_handle(struct xl_link *link, struct xl_control *server,
                    const char *request, const struct xl_link_state *state,
                    char *answer, size_t answer_len)
{
    bool asks = !strncmp(request, "recoverable ", 12);
    char hex[XL_SESSION_HEX_LEN];

    if ( !asks && strncmp(request, "reconnect ", 10) )
        return false;
    xl_session_to_hex(state->session, hex);
    if ( strcmp(strchr(request, ' ') + 1, hex) )
        snprintf(answer, answer_len, "error it is of another migration");
    else if ( !state->may_recover )
        snprintf(answer, answer_len, "error %s", state->why_not);
    else if ( link->next >= 0 )
        snprintf(answer, answer_len, "error another attempt is under way");
    else if ( asks )
        snprintf(answer, answer_len, "ok");
    else
        reconnect(link, server, answer, answer_len);
    return true;
}

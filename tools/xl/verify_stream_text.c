/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream_text.c: the few fixed texts by which two xl processes talk on
 * a migration's connection, around the streams; a save file has none.
 *
 *   back      banner, then libxc's back channel, or READY, REPORT + status
 *   forward   GO after a stream that is no post-copy one
 *
 * Called by verify_stream_nest.c while it is the texts' turn.
 */
#include "verify_stream.h"

#include <string.h>

#include "xl_transport.h"

static const struct
{
    const char *text;
    size_t len; /* the banner alone goes without its NUL */
} texts[] = {
    [VERIFY_TEXT_BANNER] = { XL_TEXT_BANNER, sizeof(XL_TEXT_BANNER) - 1 },
    [VERIFY_TEXT_READY] = { XL_TEXT_READY, sizeof(XL_TEXT_READY) },
    [VERIFY_TEXT_REPORT] = { XL_TEXT_REPORT, sizeof(XL_TEXT_REPORT) },
    [VERIFY_TEXT_POSTCOPY2] = { XL_TEXT_POSTCOPY2, sizeof(XL_TEXT_POSTCOPY2) },
    [VERIFY_TEXT_GO] = { XL_TEXT_GO, sizeof(XL_TEXT_GO) },
};

bool verify_text_begin(struct verify_nest *n, uint8_t first)
{
    for ( int i = VERIFY_TEXT_BANNER; i <= VERIFY_TEXT_GO; i++ )
    {
        if ( !(n->text_may & 1u << i) || texts[i].text[0] != (char)first )
            continue;
        n->text = (enum verify_text)i;
        n->text_at = 0;
        n->turn = VERIFY_TURN_TEXT;
        return true;
    }
    return false;
}

/* What may follow a text; the receiver's status octet is part of REPORT. */
static void end_text(struct verify_nest *n, uint8_t status)
{
    n->turn = VERIFY_TURN_DONE;
    n->text_may = 0;
    n->text_due = false;
    if ( n->text == VERIFY_TEXT_BANNER )
    {
        n->turn = VERIFY_TURN_ANSWER;
        n->text_may = 1u << VERIFY_TEXT_READY;
    }
    else if ( n->text == VERIFY_TEXT_READY )
    {
        n->text_may = 1u << VERIFY_TEXT_REPORT;
        n->text_due = true;
    }
    else if ( n->text == VERIFY_TEXT_REPORT && status )
        n->text_may = 1u << VERIFY_TEXT_GO;
}

bool verify_text_feed(struct verify_nest *n, const uint8_t *p, size_t len,
                      size_t *used_r)
{
    size_t all = texts[n->text].len + (n->text == VERIFY_TEXT_REPORT);

    for ( size_t i = 0; i < len; i++ )
    {
        if ( n->text_at < texts[n->text].len &&
             (char)p[i] != texts[n->text].text[n->text_at] )
        {
            *used_r = i;
            return false;
        }
        if ( ++n->text_at == all )
        {
            end_text(n, p[i]);
            *used_r = i + 1;
            return true;
        }
    }
    *used_r = len;
    return true;
}

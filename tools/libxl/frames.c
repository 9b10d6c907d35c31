/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * frames.c: reader of the xl save header and of libxl's header and records.
 *
 * A push parser: each state wants a known number of octets, collects the few
 * it has to look at in f->head and passes everything else through.  What may
 * come when is decided by the turn (why the layer below has stopped), so a
 * record out of place is found before its body is looked at.  Called by
 * verify_stream_nest.c (validator) and by the receiver's upper layer in tools/xl.  It never
 * reads from a descriptor and never allocates more than LIBXL_PC_CONFIG_MAX.
 */
#include "frames.h"
#include "frames_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *libxl_postcopy__frame_name(uint32_t type)
{
    static const char *const names[LIBXL_PC_FRAME_COUNT] = {
        [LIBXL_PC_FRAME_END] = "LIBXL_END",
        [LIBXL_PC_FRAME_LIBXC_CONTEXT] = "LIBXC_CONTEXT",
        [LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA] = "EMULATOR_XENSTORE_DATA",
        [LIBXL_PC_FRAME_EMULATOR_CONTEXT] = "EMULATOR_CONTEXT",
        [LIBXL_PC_FRAME_CHECKPOINT_END] = "CHECKPOINT_END",
        [LIBXL_PC_FRAME_CHECKPOINT_STATE] = "CHECKPOINT_STATE",
        [LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END] = "POSTCOPY_TRANSITION_END",
    };

    return type < LIBXL_PC_FRAME_COUNT ? names[type] : "UNKNOWN";
}

/* ---- Life ------------------------------------------------------------------ */

static void enter(struct libxl_postcopy__frames *f,
                  enum libxl_postcopy__frames_state state, size_t want)
{
    f->state = state;
    f->head_have = 0;
    f->head_want = want;
}

static void enter_record(struct libxl_postcopy__frames *f)
{
    enter(f, STATE_RECORD, LIBXL_PC_RECORD_HEADER_LEN);
}

void libxl_postcopy__frames_init(struct libxl_postcopy__frames *f,
                                 enum libxl_postcopy__frames_start start)
{
    memset(f, 0, sizeof(*f));
    f->turn = LIBXL_PC_TURN_OPENING;
    if ( start == LIBXL_PC_START_XL )
        enter(f, STATE_XL_HEADER, LIBXL_PC_XL_HEADER_LEN);
    else
        enter(f, STATE_HEADER, LIBXL_PC_HEADER_LEN);
}

void libxl_postcopy__frames_dispose(struct libxl_postcopy__frames *f)
{
    free(f->xl.config);
    f->xl.config = NULL;
}

void libxl_postcopy__frames_begin_turn(struct libxl_postcopy__frames *f,
                                       enum libxl_postcopy__turn turn,
                                       uint64_t octets)
{
    f->offset += octets;
    f->turn = turn;
    f->turn_over = false;
    f->had_xenstore = false;
    f->had_context = false;
    enter_record(f);
}

/* ---- The machine ---------------------------------------------------------------- */

static void enter_body(struct libxl_postcopy__frames *f, uint64_t left)
{
    f->body_left = left;
    f->pad_left = (8 - f->record.length % 8) % 8;
    enter(f, STATE_BODY, 0);
}

static int feed_body(struct libxl_postcopy__frames *f, const uint8_t *p,
                     size_t len, size_t *used_r)
{
    size_t n = len < f->body_left ? len : (size_t)f->body_left;
    int rc;

    if ( f->record.type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA )
    {
        rc = libxl_postcopy__check_xenstore(f, p, n);
        if ( rc )
            return rc;
    }
    f->body = p;
    f->body_len = n;
    f->body_left -= n;
    f->offset += n;
    f->octets += n;
    *used_r += n;
    return 0;
}

static int end_body(struct libxl_postcopy__frames *f)
{
    int rc = 0;

    if ( f->record.type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA )
        rc = libxl_postcopy__check_xenstore_end(f);
    enter(f, STATE_PAD, f->pad_left);
    return rc;
}

/* Collects what the state wants in f->head; true when it is complete. */
static bool collect(struct libxl_postcopy__frames *f, const uint8_t *p,
                    size_t len, size_t *used_r)
{
    size_t n = f->head_want - f->head_have;
    uint8_t *to =
        f->state == STATE_XL_CONFIG ? (uint8_t *)f->xl.config : f->head;

    if ( n > len - *used_r )
        n = len - *used_r;
    if ( n )
        memcpy(to + f->head_have, p + *used_r, n);
    f->head_have += n;
    f->offset += n;
    f->octets += n;
    *used_r += n;
    return f->head_have == f->head_want;
}

/* The head of a record is known: what its body looks like. */
static int begin_body(struct libxl_postcopy__frames *f)
{
    switch ( f->record.known ? f->record.type : LIBXL_PC_FRAME_COUNT )
    {
    case LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA:
    case LIBXL_PC_FRAME_EMULATOR_CONTEXT:
        enter(f, STATE_EMULATOR, LIBXL_PC_EMULATOR_HEAD_LEN);
        return 0;
    case LIBXL_PC_FRAME_CHECKPOINT_STATE:
        enter(f, STATE_CONTROL, 8);
        return 0;
    default:
        enter_body(f, f->record.length);
        return 0;
    }
}

static void end_record(struct libxl_postcopy__frames *f)
{
    if ( f->record.type == LIBXL_PC_FRAME_LIBXC_CONTEXT )
        enter(f, STATE_LIBXC_DUE, 0);
    else if ( !f->turn_over )
        enter_record(f);
    else if ( f->turn == LIBXL_PC_TURN_FINAL || f->turn == LIBXL_PC_TURN_LAST )
        enter(f, STATE_END_DUE, 0);
    else
        enter(f, STATE_TURN_DUE, 0);
}

/* The octets of a state are complete; *ev_r stays MORE if nothing is told. */
static int complete(struct libxl_postcopy__frames *f,
                    enum libxl_postcopy__frame_event *ev_r)
{
    uint64_t at = f->offset - f->head_have;
    int rc = 0;

    switch ( f->state )
    {
    case STATE_XL_HEADER:
        rc = libxl_postcopy__check_xl_header(f, at);
        if ( rc )
            return rc;
        if ( f->xl.optional_len )
        {
            f->xl.config = malloc(f->xl.optional_len + 1);
            if ( !f->xl.config )
                return -ENOMEM;
            enter(f, STATE_XL_CONFIG, f->xl.optional_len);
            return 0;
        }
        enter(f, STATE_HEADER, LIBXL_PC_HEADER_LEN);
        *ev_r = LIBXL_PC_EV_XL_HEADER;
        return 0;
    case STATE_XL_CONFIG:
        rc = libxl_postcopy__check_config(f);
        if ( rc )
            return rc;
        enter(f, STATE_HEADER, LIBXL_PC_HEADER_LEN);
        *ev_r = LIBXL_PC_EV_XL_HEADER;
        return 0;
    case STATE_HEADER:
        rc = libxl_postcopy__check_header(f, at);
        if ( rc )
            return rc;
        enter_record(f);
        *ev_r = LIBXL_PC_EV_HEADER;
        return 0;
    case STATE_RECORD:
        rc = libxl_postcopy__check_record(f, at);
        if ( rc )
            return rc;
        rc = begin_body(f);
        if ( f->state == STATE_BODY )
            *ev_r = LIBXL_PC_EV_RECORD;
        return rc;
    case STATE_EMULATOR:
        rc = libxl_postcopy__check_emulator(f);
        if ( !rc )
            enter_body(f, f->record.length - LIBXL_PC_EMULATOR_HEAD_LEN);
        *ev_r = LIBXL_PC_EV_RECORD;
        return rc;
    case STATE_CONTROL:
        rc = libxl_postcopy__check_control(f);
        if ( !rc )
            enter_body(f, 0);
        *ev_r = LIBXL_PC_EV_RECORD;
        return rc;
    case STATE_PAD:
        rc = libxl_postcopy__check_pad(f);
        enter(f, STATE_RECORD_DONE, 0);
        return rc;
    case STATE_RECORD_DONE:
        end_record(f);
        *ev_r = LIBXL_PC_EV_RECORD_END;
        return 0;
    case STATE_LIBXC_DUE:
        enter(f, STATE_LIBXC, 0);
        *ev_r = LIBXL_PC_EV_LIBXC;
        return 0;
    case STATE_TURN_DUE:
        enter(f, STATE_LIBXC, 0);
        *ev_r = LIBXL_PC_EV_TURN_END;
        return 0;
    default: /* STATE_END_DUE */
        enter(f, STATE_ENDED, 0);
        *ev_r = LIBXL_PC_EV_END;
        return 0;
    }
}

int libxl_postcopy__frames_feed(struct libxl_postcopy__frames *f,
                                const void *data, size_t len, size_t *used_r,
                                enum libxl_postcopy__frame_event *ev_r)
{
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    const uint8_t *p = data;
    size_t used = 0;
    int rc = 0;

    if ( f->fault.error )
        return f->fault.error;
    while ( !rc && ev == LIBXL_PC_EV_MORE )
    {
        if ( f->state == STATE_LIBXC || f->state == STATE_ENDED )
        {
            if ( used < len )
                rc = libxl_postcopy__frames_fail(
                    f, -EPROTO, f->offset, "length",
                    "octets that do not belong to libxl's part");
            break;
        }
        if ( f->state == STATE_BODY )
        {
            if ( !f->body_left )
            {
                rc = end_body(f);
                continue;
            }
            if ( used == len )
                break;
            rc = feed_body(f, p + used, len - used, &used);
            ev = LIBXL_PC_EV_BODY;
            continue;
        }
        if ( !collect(f, p, len, &used) )
            break;
        rc = complete(f, &ev);
    }
    if ( rc )
        return rc;
    *used_r = used;
    *ev_r = ev;
    return 0;
}

size_t libxl_postcopy__frames_want(const struct libxl_postcopy__frames *f)
{
    if ( f->fault.error )
        return 0;
    if ( f->state == STATE_BODY )
        return (size_t)(f->body_left + f->pad_left);
    return f->head_want - f->head_have;
}

uint64_t libxl_postcopy__frames_skippable(
    const struct libxl_postcopy__frames *f)
{
    if ( f->fault.error || f->state != STATE_BODY ||
         f->record.type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA )
        return 0;
    return f->body_left;
}

int libxl_postcopy__frames_skip(struct libxl_postcopy__frames *f,
                                uint64_t octets)
{
    if ( octets > libxl_postcopy__frames_skippable(f) )
        return -EINVAL;
    f->body_left -= octets;
    f->offset += octets;
    f->octets += octets;
    return 0;
}

int libxl_postcopy__frames_eof(struct libxl_postcopy__frames *f)
{
    if ( f->fault.error )
        return f->fault.error;
    if ( f->state == STATE_ENDED )
        return 0;
    if ( f->state == STATE_RECORD && !f->head_have )
        return libxl_postcopy__frames_fail(f, -EPROTO, f->offset, "truncated",
                                           "stops without libxl's END");
    if ( f->state == STATE_RECORD )
    {
        f->record.number = f->nr_records;
        f->record.type = LIBXL_PC_FRAME_COUNT;
    }
    return libxl_postcopy__frames_fail(
        f, -EPROTO, f->offset, f->state == STATE_PAD ? "padding" : "body",
        "the stream ends here, at least %zu octets are missing",
        libxl_postcopy__frames_want(f));
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_receive_wire.c: the octets of the destination that are not the
 * engine's; mirror image of xl_migrate_wire.c.
 *
 * Reads exactly as much as the frames reader says is libxl's for certain: the
 * octet after it belongs to the engine, which reads the same descriptor.
 *
 * Spec: docs/specs/libxl-migration-stream.pandoc.
 */
#include "xl_receive.h"

#include <errno.h>
#include <string.h>

#include "xl_transport.h"

#define COURTESY_TIMEOUT_US UINT64_C(5000000)

static int report_fault(const struct libxl_postcopy__frames *frames, int rc)
{
    const struct xc_sr_verify_fault *fault = &frames->fault;

    xl_error("the stream around the guest's memory, at octet 0x%llx: %s: %s",
             (unsigned long long)fault->offset, fault->field, fault->why);
    return rc;
}

int xl_read_frames(int fd, struct libxl_postcopy__frames *frames,
                   uint64_t deadline_us, int cancel_fd,
                   enum libxl_postcopy__frame_event *ev_r)
{
    uint8_t buf[4096];
    size_t want = libxl_postcopy__frames_want(frames);
    size_t used = 0, at = 0;
    int rc;

    if ( want > sizeof(buf) )
        want = sizeof(buf);
    rc = xl_read_exact(fd, buf, want, deadline_us, cancel_fd);
    if ( rc )
    {
        xl_error("the sender %s",
                 rc == -EPIPE       ? "ended the stream early"
                 : rc == -ECANCELED ? "is no longer waited for: a signal came"
                 : rc == -ETIMEDOUT ? "has gone silent (--timeout)"
                                    : strerror(-rc));
        return rc;
    }
    /* What is fed is what was wanted, so an event uses it up. */
    do
    {
        rc = libxl_postcopy__frames_feed(frames, buf + at, want - at, &used,
                                         ev_r);
        if ( rc )
            return report_fault(frames, rc);
        at += used;
    } while ( at < want && *ev_r == LIBXL_PC_EV_MORE );
    return at == want ? 0 : -EPROTO;
}

int xl_receiver_read_frames(struct xl_receiver *r, uint64_t deadline_us,
                            enum libxl_postcopy__frame_event *ev_r)
{
    return xl_read_frames(r->arrival.recv_fd, &r->frames, deadline_us,
                          r->arrival.signal_fd, ev_r);
}

/* ---- libxl's turn inside the libxc stream --------------------------------------- */

/*
 * Which turn it is stands in its first record: a local guest has no device
 * model, so that record is the one that ends it.
 */
static int begin_turn(struct xl_receiver *r)
{
    uint32_t type =
        (uint32_t)r->type_octets[0] | (uint32_t)r->type_octets[1] << 8 |
        (uint32_t)r->type_octets[2] << 16 | (uint32_t)r->type_octets[3] << 24;

    if ( type != LIBXL_PC_FRAME_END &&
         type != LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END )
    {
        xl_error("libxl's part of the stream has a record %s (0x%x), which a "
                 "local guest has no use for",
                 libxl_postcopy__frame_name(type), type);
        return -EPROTO;
    }
    libxl_postcopy__frames_begin_turn(&r->frames,
                                      type == LIBXL_PC_FRAME_END
                                          ? LIBXL_PC_TURN_POSTCOPY_3
                                          : LIBXL_PC_TURN_POSTCOPY_2,
                                      0);
    r->turn_begun = true;
    r->end_seen = false;
    return 0;
}

/* Feeds len octets or up to the end of the turn. */
static int feed(struct xl_receiver *r, const uint8_t *p, size_t len,
                size_t *used_r, bool *done_r)
{
    size_t at = 0, used = 0;

    for ( ;; )
    {
        enum libxl_postcopy__frame_event ev;
        int rc = libxl_postcopy__frames_feed(&r->frames, p + at, len - at,
                                             &used, &ev);

        if ( rc )
            return report_fault(&r->frames, rc);
        at += used;
        if ( ev == LIBXL_PC_EV_RECORD )
            r->end_seen = r->frames.record.type == LIBXL_PC_FRAME_END;
        if ( ev == LIBXL_PC_EV_TURN_END || ev == LIBXL_PC_EV_END )
        {
            *used_r = at;
            *done_r = true;
            return 0;
        }
        if ( ev == LIBXL_PC_EV_MORE )
        {
            *used_r = at;
            *done_r = false;
            return at == len ? 0 : -EPROTO;
        }
    }
}

int xl_receiver_write_upper(void *ctx, const void *buf, size_t len,
                            size_t *used_r, bool *done_r)
{
    struct xl_receiver *r = ctx;
    const uint8_t *p = buf;
    size_t at = 0, used = 0;
    bool done = false;
    int rc;

    while ( !r->turn_begun && r->type_have < 4 && at < len )
        r->type_octets[r->type_have++] = p[at++];
    if ( !r->turn_begun && r->type_have == 4 )
    {
        rc = begin_turn(r);
        if ( !rc )
            rc = feed(r, r->type_octets, 4, &used, &done);
        if ( rc )
            return rc;
    }
    used = 0;
    if ( r->turn_begun && !done )
    {
        rc = feed(r, p + at, len - at, &used, &done);
        if ( rc )
            return rc;
    }
    if ( done )
    {
        /* Version 2 has a second turn: libxl's END after libxc's. */
        r->turn_begun = false;
        r->type_have = 0;
    }
    *used_r = at + used;
    *done_r = done;
    return 0;
}

/* libxl's END, if the engine has not come across it already. */
static int read_libxl_end(struct xl_receiver *r, enum libxl_postcopy__turn turn)
{
    uint64_t deadline_us = xl_now_us() + r->timeout_us;
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    int rc = 0;

    if ( r->end_seen )
        return 0;
    libxl_postcopy__frames_begin_turn(&r->frames, turn, 0);
    while ( !rc && ev != LIBXL_PC_EV_END )
        rc = xl_receiver_read_frames(r, deadline_us, &ev);
    return rc;
}

/* ---- Stock xl's final handshake ---------------------------------------------------- */

/* Named, then running: as ours from here on. */
static int start_guest(struct xl_receiver *r)
{
    int rc = xl_receiver_rename_guest(r);

    if ( !rc )
        rc = xc_sr_hv_handover(r->hv, r->paused);
    if ( rc )
        xl_error("cannot start `%s` here: %s", r->config.name, strerror(-rc));
    return rc;
}

int xl_receiver_settle_plain(struct xl_receiver *r)
{
    int rc = read_libxl_end(r, LIBXL_PC_TURN_FINAL);

    if ( !rc )
        rc = xl_ask_permission(r->arrival.send_fd, r->arrival.recv_fd,
                               r->config.name, r->timeout_us,
                               r->arrival.signal_fd);
    if ( rc )
        return rc;
    rc = start_guest(r);
    xl_report_start(r->arrival.send_fd, r->config.name, rc ? 1 : 0);
    if ( !rc || xl_receiver_destroy_guest(r) )
        return rc;
    /* Only a copy that is gone gives the sender its guest back. */
    (void)xl_write_exact(r->arrival.send_fd, XL_TEXT_GO, sizeof(XL_TEXT_GO),
                         xl_now_us() + COURTESY_TIMEOUT_US, -1);
    return rc;
}

void xl_receiver_close_postcopy2(struct xl_receiver *r)
{
    if ( !read_libxl_end(r, LIBXL_PC_TURN_LAST) )
        (void)xl_write_exact(r->arrival.send_fd, XL_TEXT_POSTCOPY2,
                             sizeof(XL_TEXT_POSTCOPY2),
                             xl_now_us() + COURTESY_TIMEOUT_US, -1);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_receive.h: a migration at its destination, shared by the files
 *
 * xl_migrate_receive.c       the command, top to bottom
 * xl_migrate_receive_wire.c  what xl and libxl say around the libxc stream
 * xl_receive_requests.c      requests of other processes, lost connections
 */
#ifndef XL_RECEIVE_H
#define XL_RECEIVE_H

#include "frames.h"
#include "xl.h"
#include "xl_control.h"
#include "xl_journal.h"
#include "xl_link.h"

/* What arrives here, a guest of either kind, as other processes see it. */
struct xl_arrival
{
    const char *name; /* the guest's, once it runs here */
    int recv_fd;      /* the connection; -1: lost */
    int send_fd;
    int signal_fd;
    int watch_fd; /* readable when signal_fd or server is */
    struct xc_sr_control *control;
    struct xl_control *server;
    struct xl_link link;
    unsigned int recovery_wait_s;
    bool pause_on_loss;
    struct xc_sr_progress latest; /* .stats is not kept */
    /* Of the record put last: */
    enum xc_sr_owner owner;
    uint8_t session[16];
    uint64_t epoch;
};

struct xl_receiver
{
    const struct xl_global *global;
    struct xc_sr_log log;
    bool paused; /* -p */
    /* What the sender may need for any one answer outside the engine. */
    uint64_t timeout_us;
    bool timeout_given; /* --timeout: the engine's deadlines follow */
    struct xl_arrival arrival;
    struct xl_journal journal;
    bool recorded; /* by us; else the record is another migration's */

    struct libxl_postcopy__frames frames;
    uint8_t type_octets[4]; /* of the first record of libxl's turn */
    size_t type_have;
    bool turn_begun;
    bool end_seen; /* libxl's END, after which nothing of libxl comes */

    struct xc_sr_local_config config; /* with the guest's real name */
    char incoming[XC_SR_LOCAL_NAME_MAX + 1];
    bool created;
    bool renamed;
    struct xc_sr_hv *hv;
    struct xc_sr_restore_result result;
};

/* ---- xl_migrate_receive.c ---- */

int xl_receiver_destroy_guest(void *ctx); /* ctx: the receiver */
int xl_receiver_rename_guest(struct xl_receiver *r);

/* ---- xl_receive_requests.c ---- */

void xl_arrival_init(struct xl_arrival *a);
/* The control socket PLACE/KEY.migration.ctl, and the descriptor that stands
 * for it and for signals; name, control and signal_fd are there. */
int xl_arrival_open(struct xl_arrival *a, const char *place, const char *key);
void xl_arrival_close(struct xl_arrival *a);
/* Control, watch, progress and recovery. */
void xl_arrival_fill_params(struct xl_arrival *a,
                            struct xc_sr_restore_params *params);
/* What the engine reports, for whoever asks; ctx is the arrival. */
void xl_arrival_on_progress(void *ctx, const struct xc_sr_progress *p);
/* The record was put. */
void xl_arrival_note_record(struct xl_arrival *a, enum xc_sr_owner owner,
                            const uint8_t session[16], uint64_t epoch);
/* What has become of the guest, after FINISHED or ENDED: "`w` ...". */
const char *xl_arrival_outcome(enum xc_sr_owner owner);

/* ---- xl_migrate_receive_wire.c ---- */

/* Reads what belongs to xl's and libxl's layers and no octet more; the next
 * event.  Failures have been reported. */
int xl_read_frames(int fd, struct libxl_postcopy__frames *frames,
                   uint64_t deadline_us, int cancel_fd,
                   enum libxl_postcopy__frame_event *ev_r);
int xl_receiver_read_frames(struct xl_receiver *r, uint64_t deadline_us,
                            enum libxl_postcopy__frame_event *ev_r);

/* The engine's xc_sr_upper_sink.write; ctx is the receiver. */
int xl_receiver_write_upper(void *ctx, const void *buf, size_t len,
                            size_t *used_r, bool *done_r);

/* After a plain stream: libxl's END and stock xl's final handshake.  0: the
 * guest is ours; otherwise the caller destroys it. */
int xl_receiver_settle_plain(struct xl_receiver *r);

/* Version 2, every page is in: libxl's END, and good-bye. */
void xl_receiver_close_postcopy2(struct xl_receiver *r);

#endif /* XL_RECEIVE_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_receive.h: a guest of a real Xen at its destination, shared by the
 * process it arrives with and one that takes a dead one's place:
 *
 * xl_xen_receive.c   the command, top to bottom
 * xl_xen_takeover.c  the guest runs here, its receiver is dead
 * xl_xen_recover.c   a connection that `migrate-recover` has brought
 */
#ifndef XL_XEN_RECEIVE_H
#define XL_XEN_RECEIVE_H

#include "frames.h"
#include "libxl_postcopy.h"
#include "xl_migrate_args.h"
#include "xl_receive.h"
#include "xl_recover.h"
#include "xl_xen.h"
#include "xl_xen_record.h"

struct xl_xen_receiver
{
    const struct xl_global *global;
    struct xl_receive_args args;
    struct xc_sr_log log;
    uint64_t timeout_us;
    struct xl_arrival arrival;
    struct libxl_postcopy__frames frames;
    libxl_ctx *ctx; /* NULL once the guest runs */
    libxl_domain_config config;
    char name[XL_XEN_NAME_MAX + 1];
    char incoming[XL_XEN_NAME_MAX + 20];
    struct xl_xen_record record;
    int lock_fd; /* xl's; -1: not held */
    uint32_t domid;
    struct libxl_postcopy_receive_result result;
};

/* ---- xl_xen_receive.c ---- */

/* The engine's journal and progress; ctx is the receiver. */
int xl_xen_receiver_put_record(void *ctx, enum xc_sr_owner owner,
                               const uint8_t session[16], uint64_t epoch);
void xl_xen_receiver_on_progress(void *ctx, const struct xc_sr_progress *p);
/* xc_sr_xen_destination_params.limit_lifted; ctx is the receiver. */
void xl_xen_receiver_on_limit_lifted(void *ctx, uint64_t limit_pages,
                                     uint64_t lifted_pages);
/* For others than this xl, which asks xenstore first. */
void xl_xen_receiver_allow_saving(struct xl_xen_receiver *r, bool allow);
/* The guest depends on this process now: neither a full pipe, nor the
 * out-of-memory killer, nor a slow swap may keep its pages from it. */
void xl_xen_receiver_brace(void);
/* What the engine's outcome asks for; an exit status. */
int xl_xen_receiver_finish(struct xl_xen_receiver *r, int rc);

/* ---- xl_xen_takeover.c ---- */

/*
 * A guest of that UUID runs here, or is to, that is not the domain whose pages
 * were on their way: its monitor has started it again, or an administrator.
 */
bool xl_xen_has_started_anew(libxl_ctx *ctx, const char *uuid, uint32_t domid);

/* Nobody will ever take over what has failed so: the guest is not there, or
 * there is no paging of it. */
bool xl_xen_is_lost_by(int rc);

/* xl_recover_guest.take_over; r has libxl's context and a signal_fd. */
int xl_xen_take_over(struct xl_xen_receiver *r, const char *uuid,
                     const struct xl_recover_stand_in *how, bool *ok_said_r,
                     int *status_r);

/* ---- xl_xen_recover.c ---- */

/* `migrate-receive --postcopy --recover UUID`; an exit status. */
int xl_xen_recover_receive(struct xl_xen_receiver *r);

#endif /* XL_XEN_RECEIVE_H */

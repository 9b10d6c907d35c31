/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_recover.h: what is done, on either side and for guests of either kind,
 * about a connection that was lost after the guest was handed over.
 *
 * xl_recover.c          the process of the migration at its source, and what
 *                       the engine's recovery callbacks do there
 * xl_recover_source.c   `migrate-recover`: brings a new connection
 * xl_recover_receive.c  `migrate-receive --recover`: its other end
 */
#ifndef XL_RECOVER_H
#define XL_RECOVER_H

#include "xl_journal.h"
#include "xl_link.h"
#include "xl_migrate.h"
#include "xl_status.h"

/* ---- xl_recover.c ---- */

/* `migrate-recover` as it has to be typed; what cannot be known stands in
 * capitals. */
void xl_recover_command(const struct xl_migration *m, char *buf, size_t len);
/* For xc_sr_save_params.recovery; m->control is there. */
void xl_migration_recovery(struct xl_migration *m,
                           struct xc_sr_recovery *recovery_r);
/* After the engine has returned: whoever brought a connection is told. */
void xl_migration_end_link(struct xl_migration *m);

/* ---- xl_recover_source.c ---- */

/* A new connection to where the guest went: the child that carries it, with
 * the destination's "ok" read.  -errno, and a line in why. */
struct xl_recover_wish
{
    const struct xl_target *target;
    const struct xl_receiver_options *options;
    const uint8_t *session;
    uint64_t timeout_us;
    int cancel_fd; /* -1: none */
};

int xl_recover_connect(const struct xl_recover_wish *wish,
                       struct xl_child *child_r, char *why, size_t why_len);

/* What `migrate-recover` is made of.  An exit status after a line if there is
 * no migration of that name to be recovered. */
int xl_recover_check_record(const char *place, const char *key,
                            const char *name,
                            struct xl_journal_record *record_r);
void xl_recover_prepare(struct xl_migration *m,
                        const struct xl_recover_args *args,
                        const struct xl_journal_record *record);
/* m->target leads to the other end.  go_on: takes the place of a source that
 * is gone; m->from and m->child are there. */
int xl_recover_run(struct xl_migration *m, const struct xl_recover_args *args,
                   const struct xl_journal_record *record,
                   int (*go_on)(struct xl_migration *m));

/* ---- xl_recover_receive.c ---- */

/* The connection, and what the dead receiver has recorded. */
struct xl_recover_stand_in
{
    const struct xl_journal_record *record;
    int send_fd, recv_fd;
    uint64_t deadline_us; /* for "ok" */
};

/* What only the layer below knows of a guest whose receiver is gone. */
struct xl_recover_guest
{
    const char *place;
    const char *key;
    const char *name;
    /* A receiver is at work on it; NULL: the record's process tells. */
    bool (*is_held)(void *ctx);
    /* It never ran here and must not: ends it for good.  -errno. */
    int (*fence)(void *ctx);
    /* It ran here, and nobody brings its pages: FINISHED, none is missing;
     * ENDED, it is not there any more, and its pages are of no use; LOST. */
    enum xc_sr_owner (*outcome)(void *ctx,
                                const struct xl_journal_record *record);
    /*
     * It runs here and pages of it may be missing: takes the receiver's place,
     * says "ok" and serves the guest until that is over, or says nothing and
     * leaves it to another attempt; *status_r is how it ended.  -EBUSY: another
     * process has taken it.  Else -errno after a line, the guest is lost and the
     * source does not know it yet; *ok_said_r.  NULL: never possible.
     */
    int (*take_over)(void *ctx, const struct xl_recover_stand_in *how,
                     bool *ok_said_r, int *status_r);
    void *ctx;
    uint64_t timeout_us;
    const struct xc_sr_log *log;
};

/*
 * Standard input and output are in recv_fd and send_fd.  Hands them to the
 * receiver that waits and stays until it has done with them, or says itself
 * what the record of a receiver that is gone says.  An exit status.
 */
int xl_recover_serve(const struct xl_recover_guest *guest, int recv_fd,
                     int send_fd);
/* What comes after it on the connection is the engine's. */
int xl_recover_say_ok(int fd, uint64_t deadline_us);

#endif /* XL_RECOVER_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate.h: a migration at its source, shared by the xl_migrate*.c files.
 *
 * xl_migrate.c           the command, top to bottom; outcomes and exit codes
 * xl_migrate_args.c      the command line
 * xl_migrate_wire.c      what xl and libxl say around the libxc stream
 * xl_migrate_requests.c  signals and requests of other processes
 */
#ifndef XL_MIGRATE_H
#define XL_MIGRATE_H

#include <stdio.h>

#include "xl.h"
#include "xl_control.h"
#include "xl_journal.h"
#include "xl_link.h"
#include "xl_migrate_args.h"
#include "xl_progress.h"
#include "xl_transport.h"

struct xl_migration
{
    const struct xl_global *global;
    struct xl_migrate_args args;
    /* Where its record and its socket are, and what they are called there:
     * the local host's directory and the guest's name, on Xen its UUID. */
    const char *place;
    const char *key;
    struct xc_sr_log log;
    struct xl_target target;
    struct xl_child child;
    int child_status; /* of a child that ended early; -1: not known */
    struct xc_sr_hv *hv;
    struct xc_sr_local_config config;
    struct xl_receiver_options receiver;
    FILE *stats; /* --stats; NULL: none */
    uint64_t timeout_us;

    struct xc_sr_control *control;
    struct xl_control *server;
    struct xl_link link;
    struct xl_journal journal;
    int signal_fd;
    int watch_fd; /* readable when signal_fd or server is */
    bool abort_asked;

    struct xl_progress progress;
    struct xc_sr_progress latest; /* .stats is not kept */
    enum xc_sr_owner owner;       /* as recorded last */
    uint8_t session[16];          /* likewise */
    bool goes_on;                 /* migrate-recover, in place of one */
    struct xc_sr_record_of from;  /* that stopped here */
    bool upper_sent;
    struct xc_sr_save_result result;
    char why[320]; /* of the outcome, "" when all went well */
};

/* ---- xl_migrate.c ---- */

/* A source in place of one that is gone: m->from and m->child are there. */
int xl_migrate_go_on(struct xl_migration *m);
void xl_migrate_dispose(struct xl_migration *m);

/* ---- the same: what a guest of either kind needs ---- */

void xl_migration_init(struct xl_migration *m, const struct xl_global *global);
/* Once args are there. */
void xl_migration_take_args(struct xl_migration *m);
/* 0 or an exit status. */
int xl_migration_open_stats(struct xl_migration *m);
void xl_migration_close_stats(struct xl_migration *m);
/* Fills m->why in, unless it is known. */
void xl_migration_note_why(struct xl_migration *m, int rc);
/* Statistics, the last line of JSON, or the summary. */
void xl_migration_tell_story(struct xl_migration *m, int exit_status,
                             const struct xc_sr_local_check *guest);

/* ---- xl_migrate_wire.c ---- */

/* Waits for the receiver's banner, then says all that comes before the libxc
 * stream.  On failure m->why says what went wrong. */
int xl_migrate_greet(struct xl_migration *m);

/* The same with octets of the caller's. */
int xl_migrate_say_opening(struct xl_migration *m, const void *octets,
                           size_t len);

/* The engine's xc_sr_upper_source.read; ctx is the migration. */
int xl_migrate_read_upper(void *ctx, void *buf, size_t cap, size_t *len_r,
                          bool *done_r);

/* Version 2 after a post-copy phase: libxl's END, and the receiver's last
 * word, which nothing depends on. */
void xl_migrate_close_postcopy2(struct xl_migration *m);

/*
 * After a plain stream, to libxl's END: stock xl's final handshake.  commit()
 * records that the guest is not ours any more, right before that is said.
 * *owner_r says who may run it now: DONE it is the destination's, RESUMED it
 * is ours (and may still have to be resumed), COMMITTED nobody can tell.
 */
void xl_migrate_settle_plain(struct xl_migration *m,
                             int (*commit)(struct xl_migration *m),
                             enum xc_sr_owner *owner_r);

/* The same for a local guest, whose libxl's END is still to be said. */
void xl_migrate_settle_local(struct xl_migration *m, enum xc_sr_owner *owner_r);

/* ---- xl_migrate_requests.c, xl_status_command.c ---- */

/* Control socket, signals, and the descriptor that stands for both. */
int xl_migrate_open_requests(struct xl_migration *m);
void xl_migrate_close_requests(struct xl_migration *m);

/* Asks the migration whose socket is PLACE/KEY.migration.ctl on behalf of a
 * user who calls the guest name; an exit status. */
int xl_migration_ask(const char *place, const char *key, const char *name,
                     const char *request);

/* A line, or an object of JSON, for every migration of these directories,
 * under way or recorded; an exit status. */
int xl_migration_show_all(const char *const *dirs, unsigned int nr_dirs,
                          bool json);

/* The engine's xc_sr_watch.on_ready and progress. */
void xl_migrate_on_request(void *ctx);
void xl_migrate_on_progress(void *ctx, const struct xc_sr_progress *p);

#endif /* XL_MIGRATE_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_recover.c: `xl migrate-recover DOMAIN HOST`: a new connection for a
 * migration of a Xen guest that lost its own after the hand-over, brought to
 * the process that waits with the guest.  If that process is gone, this one
 * opens the suspended guest and becomes the source: libxl's part of the
 * stream is long over, so the engine alone is needed.  And `xl migrate-resume
 * DOMAIN`, by which an operator ends the waiting.
 */
#include "xl_xen_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xenpostcopy_xen.h"
#include "xl_recover.h"
#include "xl_signals.h"
#include "xl_xen_receive.h"

/* ---- The other end ---------------------------------------------------------------- */

struct answerer
{
    libxl_ctx *ctx;
    const char *uuid;
    struct xl_xen_receiver *receiver;
};

/* Its receiver is gone and the guest, which never ran here, may be left: not
 * one that another receiver builds. */
static int fence(void *ctx)
{
    struct answerer *a = ctx;
    struct xl_xen_record record;
    unsigned int removed = 0;
    int rc = xl_xen_record_open(&record, a->uuid, a->uuid, false);

    if ( !rc )
        rc = xl_xen_remove_half_built(a->ctx, a->uuid, &removed);
    xl_xen_record_close(&record);
    return rc;
}

/* What a dead receiver left in xenstore says what its record says by now. */
static void publish(struct xl_xen_receiver *r)
{
    const char *uuid = r->args.recover;
    struct xl_xen_record *record = &r->record;
    struct xl_journal_record known;
    int rc = xl_journal_read(xl_xen_place(false), uuid, &known);

    if ( rc && rc != -ENOENT )
        return;
    /* Held by whoever has tried to take its place. */
    if ( record->lock_fd < 0 &&
         xl_xen_record_open(record, uuid, rc ? uuid : known.name, false) )
        return;
    if ( rc || !record->store )
        return;
    xl_xen_store_set(record->store, "owner", "%s",
                     xc_sr_owner_name(known.owner));
    /* The dead one's last phase is no news of anybody's. */
    if ( known.owner == XC_SR_OWNER_LOST )
        xl_xen_store_set(record->store, "phase", "%s",
                         xc_sr_phase_name(XC_SR_PHASE_FAILED));
}

static bool is_held(void *ctx)
{
    const struct answerer *a = ctx;

    return xl_xen_record_is_held(a->uuid, false);
}

/* Whether it is whole turns out when its receiver's place is taken. */
static enum xc_sr_owner outcome(void *ctx,
                                const struct xl_journal_record *record)
{
    const struct answerer *a = ctx;

    return xl_xen_has_started_anew(a->ctx, a->uuid, record->domid)
               ? XC_SR_OWNER_ENDED
               : XC_SR_OWNER_LOST;
}

static int take_over(void *ctx, const struct xl_recover_stand_in *how,
                     bool *ok_said_r, int *status_r)
{
    const struct answerer *a = ctx;

    return xl_xen_take_over(a->receiver, a->uuid, how, ok_said_r, status_r);
}

int xl_xen_recover_receive(struct xl_xen_receiver *r)
{
    struct answerer a = { .uuid = r->args.recover, .receiver = r };
    const struct xl_recover_guest guest = {
        .place = xl_xen_place(false),
        .key = a.uuid,
        .name = a.uuid,
        .is_held = is_held,
        .fence = fence,
        .outcome = outcome,
        .take_over = take_over,
        .ctx = &a,
        .timeout_us = r->timeout_us,
        .log = &r->log,
    };
    int status, rc = xl_channel_take(&r->arrival.recv_fd, &r->arrival.send_fd);

    if ( !rc )
        rc = xl_channel_outlive_sender(&r->arrival.signal_fd);
    if ( rc )
    {
        xl_error("cannot start: %s", strerror(-rc));
        return XL_EXIT_FAILED;
    }
    status = xl_xen_open(r->global, &r->ctx);
    if ( status )
        return status;
    a.ctx = r->ctx;
    status = xl_recover_serve(&guest, r->arrival.recv_fd, r->arrival.send_fd);
    publish(r);
    return status;
}

/* ---- In place of a source that is gone ---------------------------------------- */

int xl_xen_migration_is_kept(const struct xl_xen_migration *x,
                             const struct xl_journal_record *record)
{
    const libxl_dominfo *info = &x->domain.info;
    bool suspended = info->shutdown &&
                     info->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND;

    if ( suspended && (!record->domid || record->domid == x->domain.domid) )
        return 0;
    xl_error("domain %u, `%s`, is not the copy that was kept when `%s` was "
             "handed over: %s",
             x->domain.domid, x->domain.name, x->name,
             suspended ? "that was another domain"
                       : "it is not suspended, so it was started since");
    xl_error("only one of the two guests may go on: `xl destroy` the other, "
             "then remove %s/%s.migration",
             xl_xen_place(true), x->domain.uuid);
    return XL_EXIT_FAILED;
}

static int resume(void *ctx)
{
    struct xl_xen_migration *x = ctx;

    return libxl_postcopy_resume(x->ctx, x->domain.domid);
}

static int run(struct xl_xen_migration *x)
{
    const struct xc_sr_xen_source_hooks hooks = { .resume = resume, .ctx = x };
    struct xl_migration *m = &x->m;
    struct xc_sr_save_params params;
    int rc;

    xl_xen_migration_fill_params(x, &params);
    params.from = &m->from;
    rc = xc_sr_hv_open_xen_source(x->domain.domid, &hooks, &m->log, &params.hv);
    if ( rc )
    {
        m->result.owner = XC_SR_OWNER_COMMITTED;
        snprintf(m->why, sizeof(m->why), "it cannot be taken hold of here: %s",
                 strerror(-rc));
        return rc;
    }
    rc = xc_sr_save(&params, &m->result);
    xc_sr_hv_close(params.hv);
    return rc;
}

static int go_on(struct xl_migration *m)
{
    struct xl_xen_migration *x = (struct xl_xen_migration *)m;
    struct xl_journal_record record;
    int status = xl_xen_migration_take_hold(x);

    if ( status )
        return XL_EXIT_UNKNOWN;
    /* Whoever held it until now may have settled it. */
    if ( xl_recover_check_record(xl_xen_place(true), x->domain.uuid, x->name,
                                 &record) ||
         memcmp(record.session, m->from.session, sizeof(record.session)) )
        return XL_EXIT_FAILED;
    m->from.epoch = record.epoch;
    xl_progress_init(&m->progress, m->args.progress, x->name);
    xl_output_never_waits();
    /* It was, by the one that is gone. */
    x->sent.suspended = true;
    x->renamed = strcmp(x->name, x->away) != 0;
    status = run(x);
    x->sent.engine = m->result;
    return xl_xen_migration_finish(x, status);
}

/* ---- The command ----------------------------------------------------------------- */

/* DOMAIN is its proper name or the one it has here now. */
static int find(struct xl_xen_migration *x, const char *wanted)
{
    size_t len;
    uint32_t domid;
    int status, rc;

    snprintf(x->away, sizeof(x->away), "%.*s%s", XL_XEN_NAME_MAX, wanted,
             XL_XEN_SUFFIX_MIGRATEDAWAY);
    rc = xl_xen_domid_of_name(x->ctx, x->away, &domid);
    status = rc == -EIO
                 ? xl_xen_cannot_ask(wanted)
                 : xl_xen_find(x->ctx, rc ? wanted : x->away, &x->domain);
    if ( status )
        return status;
    snprintf(x->away, sizeof(x->away), "%s", x->domain.name);
    snprintf(x->name, sizeof(x->name), "%s", x->domain.name);
    len = strlen(x->name);
    if ( len > strlen(XL_XEN_SUFFIX_MIGRATEDAWAY) &&
         !strcmp(x->name + len - strlen(XL_XEN_SUFFIX_MIGRATEDAWAY),
                 XL_XEN_SUFFIX_MIGRATEDAWAY) )
        x->name[len - strlen(XL_XEN_SUFFIX_MIGRATEDAWAY)] = '\0';
    return 0;
}

static int resolve(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    char arguments[120];
    struct xl_remote_wish wish = {
        .host = m->args.dest,
        .carrier = m->args.carrier,
        .remote_xl = m->args.remote_xl,
        .arguments = arguments,
    };

    snprintf(arguments, sizeof(arguments),
             "migrate-receive --postcopy --recover %s", x->domain.uuid);
    return xl_remote_command(&wish, &m->target.command) ? XL_EXIT_FAILED : 0;
}

static int recover(struct xl_xen_migration *x,
                   const struct xl_recover_args *args)
{
    struct xl_migration *m = &x->m;
    struct xl_journal_record record;
    int status = xl_xen_open(m->global, &x->ctx);

    if ( !status )
        status = find(x, args->name);
    if ( !status )
        status = xl_recover_check_record(xl_xen_place(true), x->domain.uuid,
                                         x->name, &record);
    if ( status )
        return status;
    m->place = xl_xen_place(true);
    m->key = x->domain.uuid;
    xl_recover_prepare(m, args, &record);
    m->args.name = x->name;
    m->args.no_monitor = record.no_monitor;
    /* Before the other end hears of it; whoever holds the copy knows it. */
    if ( !xl_xen_record_is_held(x->domain.uuid, true) )
        status = xl_xen_migration_is_kept(x, &record);
    if ( !status )
        status = resolve(x);
    if ( !status && xl_signals_init(&m->signal_fd) )
        status = XL_EXIT_FAILED;
    return status ? status : xl_recover_run(m, args, &record, go_on);
}

int xl_cmd_xen_migrate_recover(const struct xl_global *global, int argc,
                               char **argv)
{
    struct xl_xen_migration *x = calloc(1, sizeof(*x));
    struct xl_recover_args args;
    char why[256];
    int status;

    if ( !x )
        return XL_EXIT_FAILED;
    xl_xen_migration_init(x, global);
    if ( xl_recover_args_parse_xen(argc, argv, &args, why, sizeof(why)) )
        status = xl_usage_error(xl_command_find_xen(argv[0]), "%s", why);
    else
    {
        x->m.args.remote_xl = args.remote_xl;
        status = recover(x, &args);
        xl_xen_migration_dispose(x);
    }
    free(x);
    return status;
}

/* ---- When nobody goes on ------------------------------------------------------------- */

/* Before COMMITTED it never ran anywhere else, and nothing was recorded. */
static int may_run_here(const struct xl_xen_migration *x)
{
    const libxl_dominfo *info = &x->domain.info;

    if ( info->shutdown &&
         info->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND )
        return 0;
    xl_error("`%s` is not suspended here", x->away);
    return XL_EXIT_FAILED;
}

/*
 * What is on the disk has to say so before it runs: else somebody who comes
 * later could still hand it over.  Nobody else holds the record now.
 */
static int record_resumed(struct xl_xen_migration *x)
{
    struct xl_journal_record record;
    int rc = xl_journal_read(xl_xen_place(true), x->domain.uuid, &record);

    if ( rc == -ENOENT )
        return 0;
    if ( !rc && record.owner == XC_SR_OWNER_DONE )
    {
        xl_error("`%s` is done: it is the destination's, which wants nothing "
                 "more of it; `xl destroy %s`",
                 x->name, x->away);
        return XL_EXIT_FAILED;
    }
    if ( !rc )
    {
        x->m.args.no_monitor = record.no_monitor;
        rc = xl_xen_record_put(&x->record, XC_SR_OWNER_RESUMED, record.session,
                               record.epoch);
    }
    if ( !rc )
        return 0;
    xl_error("the record of `%s` cannot be read or written (%s): it stays "
             "suspended",
             x->name, strerror(-rc));
    return XL_EXIT_FAILED;
}

/* A source that was killed has left the log of dirty pages on, which nobody
 * reads any more; a handle of a suspended guest switches it off. */
static void stop_logging(const struct xl_xen_migration *x)
{
    const struct xc_sr_xen_source_hooks none = { .ctx = NULL };
    struct xc_sr_hv *hv = NULL;

    if ( !xc_sr_hv_open_xen_source(x->domain.domid, &none, NULL, &hv) )
        xc_sr_hv_close(hv);
}

/* The operator has seen to it that it runs nowhere else. */
static int run_here(struct xl_xen_migration *x)
{
    int status = xl_xen_migration_take_hold(x);

    if ( !status )
        status = record_resumed(x);
    if ( status )
        return status;
    stop_logging(x);
    if ( libxl_postcopy_resume(x->ctx, x->domain.domid) )
    {
        xl_error("`%s` cannot be resumed: %s", x->away, xl_xen_complaint());
        return XL_EXIT_FAILED;
    }
    if ( strcmp(x->name, x->away) &&
         xl_xen_rename(x->ctx, x->domain.domid, x->away, x->name) )
        xl_error("`%s` runs, and is still called %s: %s", x->name, x->away,
                 xl_xen_complaint());
    if ( !x->m.args.no_monitor )
        (void)xl_xen_start_monitor(x->domain.domid);
    xl_xen_record_forget(&x->record);
    return XL_EXIT_DONE;
}

int xl_cmd_xen_migrate_resume(const struct xl_global *global, int argc,
                              char **argv)
{
    struct xl_xen_migration *x = calloc(1, sizeof(*x));
    int status;

    if ( !x )
        return XL_EXIT_FAILED;
    xl_xen_migration_init(x, global);
    if ( argc != 2 || argv[1][0] == '-' || !argv[1][0] )
        status = xl_usage_error(xl_command_find_xen(argv[0]),
                                "one DOMAIN is wanted");
    else
    {
        status = xl_xen_open(global, &x->ctx);
        if ( !status && xl_signals_init(&x->m.signal_fd) )
            status = XL_EXIT_FAILED;
        if ( !status )
            status = find(x, argv[1]);
        if ( !status )
            status = may_run_here(x);
        x->m.args.dest = "nowhere";
        if ( !status )
            status = run_here(x);
        xl_xen_migration_dispose(x);
    }
    free(x);
    return status;
}

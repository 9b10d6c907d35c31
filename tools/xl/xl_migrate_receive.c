/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_receive.c: `xl --local DIR migrate-receive`, the other end.
 *
 * Standard input and output are the channel; messages go to stderr, which is
 * the sender's terminal.  Reads what stands before the libxc stream, creates
 * an empty guest NAME--incoming from it, and lets the engine fill it and
 * decide whether it runs.  It gets its real name the moment it runs here.
 *
 * The peer is not trusted: its configuration is checked before a guest is
 * made of it, and the names of all files derive from a checked name.  The
 * process outlives the sender, its terminal and its session.
 */
#include "xl_receive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "xl_commands.h"
#include "xl_config.h"
#include "xl_migrate_args.h"
#include "xl_recover.h"
#include "xl_signals.h"
#include "xl_transport.h"

#define GIVE_WAY_US UINT64_C(5000000)

/* ---- What stands before the libxc stream ----------------------------------------- */

static int take_config(struct xl_receiver *r,
                       const struct libxl_postcopy__xl_header *xl)
{
    char why[160] = "";
    int rc;

    if ( !xl->config )
    {
        xl_error("the stream brings no configuration of the guest");
        return -EINVAL;
    }
    rc = xl_config_from_json(xl->config, xl->config_len, &r->config, why,
                             sizeof(why));
    if ( rc )
        xl_error("the guest's configuration in the stream: %s", why);
    return rc;
}

static int read_opening(struct xl_receiver *r)
{
    uint64_t deadline_us = xl_now_us() + r->timeout_us;
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    int rc = 0;

    libxl_postcopy__frames_init(&r->frames, LIBXL_PC_START_XL);
    while ( !rc && ev != LIBXL_PC_EV_LIBXC )
    {
        rc = xl_receiver_read_frames(r, deadline_us, &ev);
        if ( !rc && ev == LIBXL_PC_EV_XL_HEADER )
            rc = take_config(r, &r->frames.xl);
    }
    return rc;
}

/* ---- The guest ------------------------------------------------------------------------ */

static bool name_is_free(struct xl_receiver *r, const char *name)
{
    struct xc_sr_local_info info;

    return xc_sr_local_info_get(r->global->local_dir, name, NULL, &info) ==
           -ENOENT;
}

/* True if the guest that was in the way is gone. */
static bool ask_to_give_way(struct xl_receiver *r)
{
    const char *dir = r->global->local_dir;
    uint64_t deadline_us = xl_now_us() + GIVE_WAY_US;
    struct xc_sr_local_info info;
    char answer[XL_CONTROL_ANSWER_MAX] = "";

    if ( xl_control_ask(dir, r->config.name, "give-way", answer,
                        sizeof(answer)) ||
         strcmp(answer, "ok") )
        return false;
    while ( xl_now_us() < deadline_us )
    {
        const struct timespec pause = { .tv_nsec = 20000000 };

        if ( xc_sr_local_info_get(dir, r->incoming, NULL, &info) == -ENOENT )
            return true;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* One that an earlier attempt left behind goes. */
static int clear_stale(struct xl_receiver *r)
{
    const char *dir = r->global->local_dir;
    struct xc_sr_local_info info;
    int rc = xc_sr_local_info_get(dir, r->incoming, NULL, &info);

    if ( !rc && info.migrating && ask_to_give_way(r) )
        rc = xc_sr_local_info_get(dir, r->incoming, NULL, &info);
    if ( rc == -ENOENT )
        return 0;
    if ( !rc && (info.migrating || info.state != XC_SR_LOCAL_INCOMING) &&
         info.state != XC_SR_LOCAL_DEAD )
    {
        if ( info.migrating )
            xl_error("`%s` is in use here: another migration of `%s` arrives",
                     r->incoming, r->config.name);
        else
            xl_error("a guest is called `%s` here, as `%s` is while it "
                     "arrives: `xl rename` it first",
                     r->incoming, r->config.name);
        return -EBUSY;
    }
    return xc_sr_local_destroy(dir, r->incoming, &r->log);
}

static void name_incoming(struct xl_receiver *r)
{
    static const char suffix[] = "--incoming";

    snprintf(r->incoming, sizeof(r->incoming), "%.*s%s",
             (int)(XC_SR_LOCAL_NAME_MAX - strlen(suffix)), r->config.name,
             suffix);
}

static int create_guest(struct xl_receiver *r)
{
    struct xc_sr_local_config config = r->config;
    const char *dir = r->global->local_dir;
    int rc;

    if ( !name_is_free(r, r->config.name) )
    {
        xl_error("there is a guest `%s` in %s already", r->config.name, dir);
        return -EEXIST;
    }
    name_incoming(r);
    rc = clear_stale(r);
    if ( rc )
        return rc;
    memcpy(config.name, r->incoming, sizeof(config.name));
    rc = xc_sr_local_create(dir, &config, true, &r->log);
    if ( rc )
    {
        xl_error("cannot create the guest in %s: %s", dir, strerror(-rc));
        return rc;
    }
    r->created = true;
    rc = xc_sr_hv_open_local(dir, r->incoming, XC_SR_HV_DESTINATION, &r->log,
                             &r->hv);
    if ( rc )
        xl_error("cannot fill the guest: %s", strerror(-rc));
    return rc;
}

int xl_receiver_destroy_guest(void *ctx)
{
    struct xl_receiver *r = ctx;
    int rc;

    if ( !r->created )
        return 0;
    rc =
        xc_sr_local_destroy(r->global->local_dir,
                            r->renamed ? r->config.name : r->incoming, &r->log);
    if ( rc == 0 || rc == -ENOENT )
    {
        r->created = false;
        return 0;
    }
    return rc;
}

/* Everything is loaded; the name is the last thing that could be missing. */
static int prepare(void *ctx, bool *ready_r)
{
    struct xl_receiver *r = ctx;

    *ready_r = name_is_free(r, r->config.name);
    if ( *ready_r )
        return 0;
    xl_error("a guest `%s` has come up in %s in the meantime", r->config.name,
             r->global->local_dir);
    return -EEXIST;
}

int xl_receiver_rename_guest(struct xl_receiver *r)
{
    int rc = xc_sr_local_rename(r->global->local_dir, r->incoming,
                                r->config.name, &r->log);

    if ( !rc )
        r->renamed = true;
    return rc;
}

static void on_running(void *ctx)
{
    struct xl_receiver *r = ctx;
    int rc = xl_receiver_rename_guest(r);

    if ( rc )
        xl_error("`%s` runs here, but under the name %s (%s)", r->config.name,
                 r->incoming, strerror(-rc));
    xl_output_never_waits();
}

/* FENCED is recorded and not said yet: the source must not hear of it before
 * the guest is gone for good. */
static int on_destroy(void *ctx)
{
    int rc = xl_receiver_destroy_guest(ctx);

    if ( rc )
        xl_error("cannot remove the guest that did not arrive: %s",
                 strerror(-rc));
    return rc;
}

/* ---- Running the engine -------------------------------------------------------------------- */

static int put_journal(void *ctx, enum xc_sr_owner owner,
                       const uint8_t session[16], uint64_t epoch)
{
    struct xl_receiver *r = ctx;
    int rc = xl_journal_put(&r->journal, owner, session, epoch);

    if ( rc )
        return rc;
    xl_arrival_note_record(&r->arrival, owner, session, epoch);
    r->recorded = true;
    return 0;
}

static int run_engine(struct xl_receiver *r)
{
    struct xc_sr_restore_params params = {
        .hv = r->hv,
        .recv_fd = r->arrival.recv_fd,
        .send_fd = r->arrival.send_fd,
        .leave_paused = r->paused,
        .upper = { .write = xl_receiver_write_upper, .ctx = r },
        .journal = { .put = put_journal, .ctx = r },
        .prepare = prepare,
        .prepare_fd = -1,
        .running = on_running,
        .destroy = on_destroy,
        .ctx = r,
        .log = &r->log,
    };

    xl_arrival_fill_params(&r->arrival, &params);
    if ( r->timeout_given )
    {
        params.commit_timeout_us = r->timeout_us;
        /* The sender may wait that long for its guest, and then tell us. */
        params.stall_timeout_us = 2 * r->timeout_us;
    }
    return xc_sr_restore(&params, &r->result);
}

/*
 * The source forgets what it did once it knows how we ended, and says END; not
 * before that may we.  What stays is replaced by the next migration of that
 * name, and keeps none from coming.
 */
static void settle_record(struct xl_receiver *r, const char *known)
{
    if ( !r->recorded )
        return;
    if ( r->result.end_seen )
    {
        (void)xl_journal_remove(&r->journal);
        return;
    }
    xl_note("`%s` %s; its source may not know that yet, so the record of it "
            "stays in %s until the next migration of that name or `xl destroy "
            "%s`",
            r->config.name, known, r->global->local_dir, r->config.name);
}

/* It never ran here and never will. */
static int give_up(struct xl_receiver *r)
{
    int rc;

    xc_sr_hv_close(r->hv);
    r->hv = NULL;
    rc = xl_receiver_destroy_guest(r);
    if ( rc )
        xl_error("cannot remove %s: %s", r->incoming, strerror(-rc));
    else
        settle_record(r, "never ran here and never will");
    return XL_EXIT_FAILED;
}

/* The migration is done all the same; nobody else would say it. */
static void tell_crash(const struct xl_receiver *r)
{
    struct xc_sr_local_info info;

    if ( !xc_sr_local_info_get(r->global->local_dir,
                               r->renamed ? r->config.name : r->incoming, NULL,
                               &info) &&
         info.state == XC_SR_LOCAL_CRASHED )
        xl_error("`%s` has crashed here: %s", r->config.name, info.why);
}

static int finish(struct xl_receiver *r, int rc)
{
    enum xc_sr_owner owner = r->result.owner;

    if ( rc == 0 && r->result.plain )
    {
        if ( xl_receiver_settle_plain(r) )
            return give_up(r);
        /* One that an earlier migration of that name left. */
        (void)xl_journal_remove(&r->journal);
        tell_crash(r);
        return XL_EXIT_DONE;
    }
    if ( owner == XC_SR_OWNER_FINISHED || owner == XC_SR_OWNER_ENDED )
    {
        if ( rc == 0 && r->result.stats.stream_version < 3 )
            xl_receiver_close_postcopy2(r);
        settle_record(r, xl_arrival_outcome(owner));
        tell_crash(r);
        return XL_EXIT_DONE;
    }
    if ( owner != XC_SR_OWNER_OWNER || !r->result.ran )
    {
        if ( r->global->verbose )
            xl_note("`%s` was not taken in: %s", r->config.name, r->result.why);
        return give_up(r);
    }
    if ( r->result.whole )
    {
        xl_error("`%s` %s; but that is not recorded: %s; `xl migrate-recover` "
                 "at its source settles it",
                 r->config.name,
                 xl_arrival_outcome(r->result.stats.abandoned
                                        ? XC_SR_OWNER_ENDED
                                        : XC_SR_OWNER_FINISHED),
                 r->result.why);
        return XL_EXIT_UNKNOWN;
    }
    /* The record stays: it is what an operator, or recovery, goes by. */
    (void)put_journal(r, XC_SR_OWNER_LOST, r->arrival.session,
                      r->arrival.epoch);
    xl_error("`%s` runs here but pages of it are missing for good: %s",
             r->config.name, r->result.why);
    xl_error("give it up: `xl --local %s destroy %s` here, then `xl resume "
             "%s` at the source, which has kept it with all its memory",
             r->global->local_dir, r->config.name, r->config.name);
    return XL_EXIT_UNKNOWN;
}

static int receive(struct xl_receiver *r)
{
    int status, rc = xl_channel_take(&r->arrival.recv_fd, &r->arrival.send_fd);

    if ( !rc )
        rc = xl_channel_outlive_sender(&r->arrival.signal_fd);
    if ( !rc )
        rc = xc_sr_control_new(&r->arrival.control);
    if ( !rc )
        rc = xl_write_exact(r->arrival.send_fd, XL_TEXT_BANNER,
                            sizeof(XL_TEXT_BANNER) - 1,
                            xl_now_us() + r->timeout_us, -1);
    if ( rc )
    {
        xl_error("cannot start: %s", strerror(-rc));
        return XL_EXIT_FAILED;
    }
    rc = read_opening(r);
    if ( rc )
        return XL_EXIT_FAILED;
    rc = xl_journal_open(&r->journal, r->global->local_dir, r->config.name,
                         false);
    if ( rc )
        xl_error("%s: %s", r->global->local_dir, strerror(-rc));
    else
        rc = create_guest(r);
    if ( !rc )
    {
        r->arrival.name = r->config.name;
        rc = xl_arrival_open(&r->arrival, r->global->local_dir, r->config.name);
        if ( rc )
            xl_error("cannot take requests: %s", strerror(-rc));
    }
    if ( rc )
        return give_up(r);
    status = finish(r, run_engine(r));
    xl_link_end(&r->arrival.link, status == XL_EXIT_DONE ? "done" : "parked");
    return status;
}

static void dispose(struct xl_receiver *r)
{
    xl_arrival_close(&r->arrival);
    xc_sr_hv_close(r->hv);
    xc_sr_control_free(r->arrival.control);
    xl_journal_close(&r->journal);
    libxl_postcopy__frames_dispose(&r->frames);
}

/* ---- A new connection of an old migration ------------------------------------- */

/* Its receiver is gone, and with the handle its guest; what if not. */
static int fence(void *ctx)
{
    struct xl_receiver *r = ctx;
    int rc = xc_sr_local_destroy(r->global->local_dir, r->incoming, NULL);

    return rc == -ENOENT ? 0 : rc;
}

static enum xc_sr_owner outcome(void *ctx,
                                const struct xl_journal_record *record)
{
    const struct xl_receiver *r = ctx;
    struct xc_sr_local_info info;

    (void)record;
    return !xc_sr_local_info_get(r->global->local_dir, r->config.name, NULL,
                                 &info) &&
                   !info.paging && info.state != XC_SR_LOCAL_DEAD
               ? XC_SR_OWNER_FINISHED
               : XC_SR_OWNER_LOST;
}

static int recover(struct xl_receiver *r, const char *name)
{
    const struct xl_recover_guest guest = {
        .place = r->global->local_dir,
        .key = name,
        .name = name,
        .fence = fence,
        .outcome = outcome,
        .ctx = r,
        .timeout_us = r->timeout_us,
        .log = &r->log,
    };
    int rc = xl_channel_take(&r->arrival.recv_fd, &r->arrival.send_fd);

    snprintf(r->config.name, sizeof(r->config.name), "%s", name);
    name_incoming(r);
    if ( !rc )
        rc = xl_channel_outlive_sender(&r->arrival.signal_fd);
    if ( !rc )
        return xl_recover_serve(&guest, r->arrival.recv_fd, r->arrival.send_fd);
    xl_error("cannot start: %s", strerror(-rc));
    return XL_EXIT_FAILED;
}

int xl_cmd_migrate_receive(const struct xl_global *global, int argc,
                           char **argv)
{
    struct xl_receiver r = { .global = global };
    const struct xl_command *command = xl_command_find(argv[0]);
    struct xl_receive_args args;
    char why[256];
    int status;

    xl_arrival_init(&r.arrival);
    r.journal.dir_fd = -1;
    if ( xl_receive_args_parse(argc, argv, &args, why, sizeof(why)) )
        return xl_usage_error(command, "%s", why);
    r.paused = args.paused;
    r.arrival.recovery_wait_s = args.recovery_wait_s;
    /* A local guest burns no CPU and times out no back end while it waits. */
    r.arrival.pause_on_loss = args.on_loss == XL_ON_LOSS_PAUSE;
    r.timeout_given = args.timeout_s;
    r.timeout_us = (r.timeout_given ? args.timeout_s : XL_DEFAULT_TIMEOUT_S) *
                   UINT64_C(1000000);
    if ( isatty(STDIN_FILENO) )
        return xl_usage_error(command, "standard input is a terminal; `xl "
                                       "migrate` starts this command");
    xl_set_message_prefix("xl migrate-receive: ");
    xl_log_init(global, &r.log);
    status = args.recover ? recover(&r, args.recover) : receive(&r);
    dispose(&r);
    return status;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate.c: `xl --local DIR migrate NAME DEST`, top to bottom: look before
 * touching anything, take hold of the guest, start the carrier, run the
 * engine, and do what its outcome asks for.
 *
 * The engine decides who owns the guest; here that is only turned into deeds
 * (destroy the copy, let it run, leave it suspended), words and an exit code.
 * No path here resumes a guest that the engine or the final handshake left as
 * COMMITTED.
 */
#include "xl_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xl_commands.h"
#include "xl_recover.h"
#include "xl_signals.h"
#include "xl_stats.h"

/* A receiver has nothing left to do when the engine is done. */
#define CHILD_END_TIMEOUT_MS  10000
#define CHILD_FAIL_TIMEOUT_MS 3000

/* ---- Before anything is touched ---------------------------------------------- */

static int check_directories(const struct xl_migration *m)
{
    struct stat here, there;

    if ( stat(m->global->local_dir, &here) || !S_ISDIR(here.st_mode) )
    {
        xl_error("%s is not a directory, so no local host",
                 m->global->local_dir);
        return XL_EXIT_USAGE;
    }
    if ( m->target.dir[0] && !stat(m->target.dir, &there) &&
         here.st_dev == there.st_dev && here.st_ino == there.st_ino )
    {
        xl_error("%s is where `%s` is already; DEST must be another host",
                 m->args.dest, m->args.name);
        return XL_EXIT_USAGE;
    }
    return 0;
}

static int resolve_target(struct xl_migration *m, char *why, size_t why_len)
{
    struct xl_target_wish wish = {
        .dest = m->args.dest,
        .carrier = m->args.carrier,
        .receiver = m->receiver,
    };

    return xl_target_resolve(&wish, &m->target, why, why_len);
}

/*
 * A guest that its administrator has paused arrives paused.  Version 3 says so
 * in the stream; for version 2 it is the receiver's -p.
 */
static int keep_paused(struct xl_migration *m, bool paused)
{
    char why[64] = "";
    int rc;

    if ( !paused || m->args.paused || m->args.stream_version >= 3 )
        return 0;
    xl_target_dispose(&m->target);
    m->receiver.paused = true;
    rc = resolve_target(m, why, sizeof(why));
    if ( !rc )
        return 0;
    xl_error("cannot start a receiver: %s", strerror(-rc));
    return XL_EXIT_FAILED;
}

static int check_guest(struct xl_migration *m)
{
    struct xc_sr_local_info info;
    const char *name = m->args.name;
    int rc = xc_sr_local_info_get(m->global->local_dir, name, NULL, &info);

    if ( rc == -ENOENT )
        xl_error("there is no guest `%s` in %s", name, m->global->local_dir);
    else if ( rc )
        xl_error("cannot ask guest `%s`: %s", name, strerror(-rc));
    else if ( info.retained )
    {
        xl_error("`%s` is kept suspended here by a migration that handed it "
                 "over: `xl --local %s migrate-recover %s DEST` goes on with "
                 "that. Where it cannot: `xl resume` it here if it does not "
                 "run there any more, `xl destroy` it here only if it runs "
                 "there with all its memory",
                 name, m->global->local_dir, name);
        return XL_EXIT_UNKNOWN;
    }
    else if ( info.state != XC_SR_LOCAL_RUNNING &&
              info.state != XC_SR_LOCAL_PAUSED && !info.migrating )
        xl_error("`%s` cannot be migrated: it is %s", name,
                 xc_sr_local_state_name(info.state));
    else if ( info.paging && xl_journal_tells_loss(m->global->local_dir, name) )
        xl_error("`%s` cannot be migrated: pages of it are missing for good, "
                 "its last migration was lost; `xl destroy` it here, then `xl "
                 "resume` it where it came from",
                 name);
    else if ( info.paging )
        xl_error("`%s` cannot be migrated yet: pages of it are still on their "
                 "way here",
                 name);
    else
    {
        m->config = info.config;
        return keep_paused(m, info.state == XC_SR_LOCAL_PAUSED);
    }
    return rc == -ENOENT ? XL_EXIT_USAGE : XL_EXIT_FAILED;
}

int xl_migration_open_stats(struct xl_migration *m)
{
    if ( !m->args.stats_file )
        return 0;
    m->stats = fopen(m->args.stats_file, "we");
    if ( m->stats )
        return 0;
    xl_error("--stats: cannot write %s: %s", m->args.stats_file,
             strerror(errno));
    return XL_EXIT_USAGE;
}

/* ---- Taking hold --------------------------------------------------------------- */

static int take_hold(struct xl_migration *m)
{
    const char *dir = m->global->local_dir, *name = m->args.name;
    int rc = xc_sr_hv_open_local(dir, name, XC_SR_HV_SOURCE, &m->log, &m->hv);

    if ( rc == -EBUSY )
    {
        xl_log_release("");
        xl_error("another migration of `%s` is under way; `xl migrate-status "
                 "%s` shows it",
                 name, name);
        return XL_EXIT_FAILED;
    }
    if ( !rc )
        rc = xl_journal_open(&m->journal, dir, name, true);
    if ( !rc )
        rc = xl_migrate_open_requests(m);
    if ( !rc )
        rc = xl_child_start(&m->target, &m->receiver, &m->child);
    if ( !rc )
        return 0;
    xl_error("cannot begin to migrate `%s`: %s; it goes on running here", name,
             strerror(-rc));
    return XL_EXIT_FAILED;
}

/* ---- Running the engine ---------------------------------------------------------- */

static int put_journal(void *ctx, enum xc_sr_owner owner,
                       const uint8_t session[16], uint64_t epoch)
{
    struct xl_migration *m = ctx;
    int rc = xl_journal_put(&m->journal, owner, session, epoch);

    if ( rc )
        return rc;
    m->owner = owner;
    memcpy(m->session, session, sizeof(m->session));
    return 0;
}

static int run_engine(struct xl_migration *m)
{
    struct xc_sr_save_params params = {
        .hv = m->hv,
        .send_fd = m->child.send_fd,
        .recv_fd = m->child.recv_fd,
        .stream_version = m->args.stream_version,
        .plain = m->args.stream_version < 3 && !m->args.policy.allow_postcopy,
        .policy = m->args.policy,
        .max_bandwidth_bytes_per_s = m->args.bandwidth_bytes_per_s,
        .max_postcopy_bandwidth_bytes_per_s =
            m->args.postcopy_bandwidth_bytes_per_s,
        .upper = { .read = xl_migrate_read_upper, .ready_fd = -1, .ctx = m },
        .journal = { .put = put_journal, .ctx = m },
        .control = m->control,
        .watch = { .fd = m->watch_fd,
                   .on_ready = xl_migrate_on_request,
                   .ctx = m },
        .log = &m->log,
        .progress = xl_migrate_on_progress,
        .progress_ctx = m,
        .ready_timeout_us = m->timeout_us,
        .from = m->goes_on ? &m->from : NULL,
    };

    xl_migration_recovery(m, &params.recovery);
    return xc_sr_save(&params, &m->result);
}

/* ---- What the outcome asks for ------------------------------------------------------ */

/* It is theirs, complete: our copy goes. */
static int finish_done(struct xl_migration *m)
{
    int rc = xc_sr_local_destroy(m->global->local_dir, m->args.name, &m->log);
    int status;

    if ( rc )
        xl_error("`%s` runs at the destination, but its copy here cannot be "
                 "removed (%s): xl destroy %s",
                 m->args.name, strerror(-rc), m->args.name);
    else
        (void)xl_journal_remove(&m->journal);
    /* What the user does next may count on the receiver being done. */
    xl_child_end(&m->child, CHILD_END_TIMEOUT_MS, false, &status);
    if ( status > 0 && m->global->verbose )
    {
        char text[96];

        xl_note("the receiver is done; %s",
                xl_child_status_text(status, text, sizeof(text)));
    }
    return XL_EXIT_DONE;
}

/* It is ours and does not run; rc says what resuming it ran into. */
static void tell_not_running(const struct xl_migration *m, int rc)
{
    const char *name = m->args.name;

    if ( rc == -ECONNREFUSED || rc == -ENOENT )
        xl_error("`%s` was not migrated (%s), and its process here is gone",
                 name, m->why);
    else if ( m->result.suspended_here )
        xl_error("`%s` was not migrated (%s); it is still suspended here, and "
                 "resuming it failed (%s): xl --local %s resume %s",
                 name, m->why, strerror(-rc), m->global->local_dir, name);
    else
        xl_error("`%s` was not migrated (%s) and does not answer here: %s",
                 name, m->why, strerror(-rc));
}

/* It is ours: whatever the engine left undone, it runs again. */
static int finish_resumed(struct xl_migration *m)
{
    const char *dir = m->global->local_dir, *name = m->args.name;
    struct xc_sr_local_info info;
    int status, rc;

    xc_sr_hv_close(m->hv);
    m->hv = NULL;
    rc = xc_sr_local_info_get(dir, name, &m->log, &info);
    if ( !rc && (info.retained || info.state == XC_SR_LOCAL_SUSPENDED) )
        rc = xc_sr_local_resume(dir, name, &m->log);
    if ( !rc )
        (void)xl_journal_remove(&m->journal);
    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, m->target.command != NULL,
                 &status);
    if ( rc )
        tell_not_running(m, rc);
    else if ( m->result.refused )
        xl_error("`%s` was not migrated: %s; it was not touched and runs here",
                 name, m->why);
    else
        xl_error("`%s` was not migrated: %s; it runs here", name, m->why);
    return m->result.refused ? XL_EXIT_REFUSED : XL_EXIT_FAILED;
}

/* Nobody here can tell who runs it. */
static int finish_unknown(struct xl_migration *m)
{
    const char *name = m->args.name;
    char command[512];
    int status;

    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, false, &status);
    xl_recover_command(m, command, sizeof(command));
    xl_error("`%s` was handed over, and then: %s", name, m->why);
    xl_error("it may run at %s, so it is kept here, suspended, with all its "
             "memory",
             m->args.dest);
    if ( m->args.stream_version >= 3 && !m->goes_on )
        xl_error("to go on with it, or to know where it stands: %s", command);
    xl_error("by hand, look there first: if it does NOT run there, `xl --local "
             "%s resume %s` runs it here",
             m->global->local_dir, name);
    xl_error("if it is there with pages missing for good, `xl destroy` it "
             "there first, and then resume it here");
    xl_error("if it runs there with all its memory, `xl --local %s destroy "
             "%s` removes this copy",
             m->global->local_dir, name);
    return XL_EXIT_UNKNOWN;
}

void xl_migration_note_why(struct xl_migration *m, int rc)
{
    if ( m->why[0] )
        return;
    if ( m->result.why[0] )
        snprintf(m->why, sizeof(m->why), "%s", m->result.why);
    else
        snprintf(m->why, sizeof(m->why), "%s", strerror(-rc));
}

/* The owner after the engine and the handshakes that are not its own. */
static enum xc_sr_owner settle(struct xl_migration *m, int rc)
{
    enum xc_sr_owner owner = m->result.owner;

    if ( rc )
    {
        xl_migration_note_why(m, rc);
        /* A failure before anything was recorded: it was ours all along. */
        return owner == XC_SR_OWNER_NONE ? XC_SR_OWNER_RESUMED : owner;
    }
    if ( owner == XC_SR_OWNER_NONE )
        xl_migrate_settle_local(m, &owner);
    else if ( owner == XC_SR_OWNER_DONE && m->args.stream_version < 3 )
        xl_migrate_close_postcopy2(m);
    return owner;
}

static int finish(struct xl_migration *m)
{
    xl_migration_end_link(m);
    xl_progress_end(&m->progress);
    xl_output_may_wait();
    xl_log_release(m->why[0] ? m->why : NULL);
    if ( m->owner == XC_SR_OWNER_DONE )
        return finish_done(m);
    if ( m->owner == XC_SR_OWNER_RESUMED )
        return finish_resumed(m);
    return finish_unknown(m);
}

/* Known only where DEST is a directory of this machine; another host's receiver
 * says it for itself. */
static bool has_crashed_there(const struct xl_migration *m)
{
    struct xc_sr_local_info info;

    return m->target.dir[0] &&
           !xc_sr_local_info_get(m->target.dir, m->args.name, NULL, &info) &&
           info.state == XC_SR_LOCAL_CRASHED;
}

/* ---- The story ------------------------------------------------------------------------ */

void xl_migration_tell_story(struct xl_migration *m, int exit_status,
                             const struct xc_sr_local_check *guest)
{
    struct xl_story story = {
        .args = &m->args,
        .result = &m->result,
        .owner = m->owner,
        .exit_status = exit_status,
        .why = m->why,
        .guest = guest,
        .crashed = exit_status == XL_EXIT_DONE && has_crashed_there(m),
    };
    struct xl_json j = { .gen = NULL };

    if ( m->stats )
    {
        if ( xl_json_init(&j, true) == 0 )
            xl_stats_write(&j, NULL, &story);
        if ( !j.gen || xl_json_print(&j, m->stats) )
            xl_error("--stats: could not write %s", m->args.stats_file);
        xl_json_dispose(&j);
    }
    if ( m->args.progress == XL_PROGRESS_JSON )
    {
        if ( xl_json_init(&j, false) == 0 )
            xl_stats_write(&j, "result", &story);
        if ( !j.gen || xl_json_print(&j, stdout) )
            xl_error("could not write the result to standard output");
        xl_json_dispose(&j);
    }
    else if ( exit_status == XL_EXIT_DONE && !m->args.quiet )
        xl_summary_print(stdout, &story);
}

/* Only for the statistics: the guest stands still while it looks. */
static const struct xc_sr_local_check *ask_guest(
    struct xl_migration *m, int exit_status, struct xc_sr_local_check *check)
{
    if ( m->stats && exit_status == XL_EXIT_DONE && m->target.dir[0] &&
         !xc_sr_local_check(m->target.dir, m->args.name, &m->log, check) )
        return check;
    return NULL;
}

void xl_migration_close_stats(struct xl_migration *m)
{
    if ( m->stats && fclose(m->stats) )
        xl_error("--stats: could not write %s: %s", m->args.stats_file,
                 strerror(errno));
    m->stats = NULL;
}

void xl_migrate_dispose(struct xl_migration *m)
{
    int status;

    xl_log_release(NULL);
    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, m->target.command != NULL,
                 &status);
    xl_migrate_close_requests(m);
    xc_sr_hv_close(m->hv);
    xl_journal_close(&m->journal);
    xl_target_dispose(&m->target);
    xl_migration_close_stats(m);
}

static int migrate(struct xl_migration *m)
{
    struct xc_sr_local_check check;
    int status = check_directories(m);

    if ( !status )
        status = check_guest(m);
    if ( !status )
        status = xl_migration_open_stats(m);
    if ( !status )
        status = take_hold(m);
    if ( status )
        return status;
    xl_progress_init(&m->progress, m->args.progress, m->args.name);
    xl_output_never_waits();
    if ( xl_migrate_greet(m) )
        m->owner = XC_SR_OWNER_RESUMED;
    else
        m->owner = settle(m, run_engine(m));
    status = finish(m);
    xl_migration_tell_story(m, status, ask_guest(m, status, &check));
    return status;
}

int xl_migrate_go_on(struct xl_migration *m)
{
    const char *dir = m->global->local_dir, *name = m->args.name;
    int status,
        rc = xc_sr_hv_open_local(dir, name, XC_SR_HV_PARKED, &m->log, &m->hv);

    if ( !rc )
        rc = xl_journal_open(&m->journal, dir, name, true);
    if ( !rc )
        rc = xl_migrate_open_requests(m);
    if ( rc )
    {
        xl_log_release("");
        xl_error("cannot open the suspended `%s`: %s", name, strerror(-rc));
        return XL_EXIT_UNKNOWN;
    }
    xl_progress_init(&m->progress, m->args.progress, name);
    xl_output_never_waits();
    m->owner = settle(m, run_engine(m));
    status = finish(m);
    xl_migration_tell_story(m, status, NULL);
    return status;
}

/* A receiver that nobody gave a --timeout has its own default. */
void xl_migration_take_args(struct xl_migration *m)
{
    unsigned int timeout_s = m->args.timeout_s;

    m->timeout_us =
        (timeout_s ? timeout_s : XL_DEFAULT_TIMEOUT_S) * UINT64_C(1000000);
    m->receiver.paused = m->args.paused;
    m->receiver.verbose = m->global->verbose;
    m->receiver.timeout_s = timeout_s;
    m->receiver.recovery_wait = m->args.recovery_wait;
    m->receiver.on_loss = m->args.on_loss;
}

void xl_migration_init(struct xl_migration *m, const struct xl_global *global)
{
    m->global = global;
    m->child.send_fd = m->child.recv_fd = m->child_status = -1;
    m->signal_fd = m->watch_fd = m->journal.dir_fd = -1;
    xl_link_init(&m->link, NULL);
    xl_log_init(global, &m->log);
    if ( !global->verbose )
        xl_log_hold();
}

int xl_cmd_migrate(const struct xl_global *global, int argc, char **argv)
{
    struct xl_migration *m = calloc(1, sizeof(*m));
    const struct xl_command *command = xl_command_find(argv[0]);
    char why[256] = "not enough memory";
    int rc, status;

    if ( !m )
        return XL_EXIT_FAILED;
    xl_migration_init(m, global);
    rc = xl_migrate_args_parse(argc, argv, &m->args, why, sizeof(why));
    if ( !rc )
    {
        m->place = global->local_dir;
        m->key = m->args.name;
        xl_migration_take_args(m);
        rc = resolve_target(m, why, sizeof(why));
    }
    if ( rc )
        status = xl_usage_error(command, "%s", why);
    else if ( (rc = xl_signals_init(&m->signal_fd)) != 0 )
    {
        xl_error("cannot catch signals: %s", strerror(-rc));
        status = XL_EXIT_FAILED;
    }
    else
    {
        status = migrate(m);
        xl_migrate_dispose(m);
    }
    free(m);
    return status;
}

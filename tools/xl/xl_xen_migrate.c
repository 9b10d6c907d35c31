/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_migrate.c: `xl migrate --postcopy DOMAIN HOST`, top to bottom: look
 * before touching anything (xl_xen_look.c), start the carrier, let libxlpostcopy move the
 * guest, and do what its outcome asks for.
 *
 * The engine decides who owns the guest, in a thread of libxlpostcopy's; here
 * that is turned into deeds (destroy the copy, give it its name back, leave it
 * suspended), words and an exit code.  A destination that cannot do post-copy
 * has said so before the guest was touched: then the system's xl migrates,
 * unless --postcopy=require was given.
 */
#include "xl_xen_migrate.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl_event.h>

#include "frames.h"
#include "xl_recover.h"
#include "xl_signals.h"

/* A receiver has nothing left to do when the engine is done. */
#define CHILD_END_TIMEOUT_MS  10000
#define CHILD_FAIL_TIMEOUT_MS 3000

/* ---- Taking hold --------------------------------------------------------------- */

static int resolve_target(struct xl_migration *m)
{
    char *extras = xl_receiver_arguments(&m->receiver), *arguments = NULL;
    struct xl_remote_wish wish = {
        .host = m->args.dest,
        .carrier = m->args.carrier,
        .remote_xl = m->args.remote_xl,
    };
    int rc = -ENOMEM;

    if ( extras && asprintf(&arguments, "%smigrate-receive --postcopy%s%s",
                            m->global->verbose > 1    ? "-vv "
                            : m->global->verbose == 1 ? "-v "
                                                      : "",
                            m->args.no_monitor ? " -e" : "", extras) >= 0 )
    {
        wish.arguments = arguments;
        rc = xl_remote_command(&wish, &m->target.command);
        free(arguments);
    }
    free(extras);
    return rc;
}

/* libxl collects every child of this process; the carrier is ours. */
static int on_reaped(pid_t pid, int status, void *user)
{
    struct xl_xen_migration *x = user;

    return xl_child_note_reaped(&x->m.child, pid, status) ? 0
                                                          : ERROR_UNKNOWN_CHILD;
}

static const libxl_childproc_hooks child_hooks = {
    .chldowner = libxl_sigchld_owner_libxl,
    .reaped_callback = on_reaped,
};

int xl_xen_migration_take_hold(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int rc = xl_xen_record_open(&x->record, x->domain.uuid, x->name, true);

    if ( rc == -EBUSY )
        xl_error("another migration of `%s` is under way; `xl migrate-status "
                 "%s` shows it",
                 x->name, x->name);
    /* A full disk is found before the guest stands still for it. */
    if ( rc || xl_xen_record_try(&x->record) )
        return XL_EXIT_FAILED;
    x->record.journal.domid = x->domain.domid;
    x->record.journal.no_monitor = m->args.no_monitor;
    xl_xen_store_set(x->record.store, "domid", "%u", x->domain.domid);
    xl_xen_store_set(x->record.store, "peer", "%s", m->args.dest);
    m->place = xl_xen_place(true);
    m->key = x->record.uuid;
    rc = xl_migrate_open_requests(m);
    if ( !rc )
        return 0;
    xl_error("cannot take requests for `%s`: %s", x->name, strerror(-rc));
    return XL_EXIT_FAILED;
}

static int start_carrier(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int rc = resolve_target(m);

    if ( !rc )
        rc = xl_child_start(&m->target, &m->receiver, &m->child);
    if ( !rc )
    {
        libxl_childproc_setmode(x->ctx, &child_hooks, x);
        return 0;
    }
    xl_error("cannot begin to migrate `%s`: %s; it goes on running here",
             x->name, strerror(-rc));
    return XL_EXIT_FAILED;
}

/* ---- The channel ------------------------------------------------------------------ */

static void add_why(struct xl_migration *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void add_why(struct xl_migration *m, const char *fmt, ...)
{
    size_t at = strlen(m->why);
    va_list args;

    va_start(args, fmt);
    vsnprintf(m->why + at, sizeof(m->why) - at, fmt, args);
    va_end(args);
}

/* The receiver ended before its banner: what that tells, and what to do. */
static void explain_receiver(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int status = m->child_status < 0 || !WIFEXITED(m->child_status)
                     ? -1
                     : WEXITSTATUS(m->child_status);

    if ( status == 255 && !m->args.carrier )
        add_why(m,
                " (ssh: the host cannot be reached, or wants to ask something; "
                "`ssh %s true` shows)",
                m->args.dest);
    else if ( status == XL_EXIT_NO_XL )
        add_why(m, " (--remote-xl PATH says where xl is there)");
    else if ( status == XL_EXIT_FAILED )
        add_why(m, " (its reason is above)");
    /* The option was not understood: nothing else of ours ends so. */
    else if ( status == XL_EXIT_USAGE )
        (void)xl_xen_migration_refuse(
            x, XC_SR_REASON_FAILED,
            "the xl there knows no post-copy, as the distribution's "
            "own: install xen-postcopy there, or name the right one "
            "by --remote-xl PATH");
}

static int greet(struct xl_xen_migration *x)
{
    struct libxl_postcopy__buf b = { .data = NULL };
    int rc;

    libxl_postcopy__put_xl_header(&b, x->config_json, strlen(x->config_json));
    rc = b.error ? b.error : xl_migrate_say_opening(&x->m, b.data, b.len);
    if ( rc == -EPIPE )
        explain_receiver(x);
    /* The question may be on the terminal, or nowhere. */
    else if ( rc == -ETIMEDOUT && !x->m.args.carrier )
        add_why(&x->m, " (ssh may want to ask something: `ssh %s true` shows)",
                x->m.args.dest);
    if ( rc )
        xl_migration_note_why(&x->m, rc);
    libxl_postcopy__buf_dispose(&b);
    return rc;
}

/* ---- Moving it -------------------------------------------------------------------- */

static int put_record(void *ctx, enum xc_sr_owner owner,
                      const uint8_t session[16], uint64_t epoch)
{
    struct xl_xen_migration *x = ctx;
    int rc = xl_xen_record_put(&x->record, owner, session, epoch);

    if ( rc )
        return rc;
    x->m.owner = owner;
    memcpy(x->m.session, session, sizeof(x->m.session));
    return 0;
}

static void on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_xen_migration *x = ctx;

    xl_migrate_on_progress(&x->m, p);
    xl_xen_record_progress(&x->record, &x->m.latest);
}

static void on_request(void *ctx)
{
    struct xl_xen_migration *x = ctx;

    xl_migrate_on_request(&x->m);
}

/* The guest stands still: the name is free for its other self from now on. */
static int before_commit(void *ctx)
{
    struct xl_xen_migration *x = ctx;
    int rc = xl_xen_rename(x->ctx, x->domain.domid, x->name, x->away);

    if ( rc )
        xl_error("cannot call the copy here %s (%s)", x->away,
                 rc == -EEXIST ? "there is one of that name"
                               : xl_xen_complaint());
    else
        x->renamed = true;
    return rc;
}

void xl_xen_migration_fill_params(struct xl_xen_migration *x,
                                  struct xc_sr_save_params *params)
{
    struct xl_migration *m = &x->m;

    *params = (struct xc_sr_save_params){
        .send_fd = m->child.send_fd,
        .recv_fd = m->child.recv_fd,
        .stream_version = m->args.stream_version,
        .policy = m->args.policy,
        .max_bandwidth_bytes_per_s = m->args.bandwidth_bytes_per_s,
        .max_postcopy_bandwidth_bytes_per_s =
            m->args.postcopy_bandwidth_bytes_per_s,
        .journal = { .put = put_record, .ctx = x },
        .control = m->control,
        .watch = { .fd = m->watch_fd, .on_ready = on_request, .ctx = x },
        .log = &m->log,
        .progress = on_progress,
        .progress_ctx = x,
        .ready_timeout_us = m->timeout_us,
    };
    xl_migration_recovery(m, &params->recovery);
}

static int commit_plain(struct xl_migration *m)
{
    static const uint8_t no_session[16];
    struct xl_xen_migration *x = (struct xl_xen_migration *)m;
    int rc = before_commit(x);

    return rc ? rc : put_record(x, XC_SR_OWNER_COMMITTED, no_session, 0);
}

/* Version 2 ends as a stock stream where so little was left that the guest
 * went without post-copy: who runs it is agreed upon by stock xl's words. */
static int settle_plain(struct xl_xen_migration *x)
{
    struct xc_sr_save_result *engine = &x->sent.engine;

    xl_migrate_settle_plain(&x->m, commit_plain, &engine->owner);
    /* It stands still since the stream has ended. */
    engine->suspended_here = engine->owner == XC_SR_OWNER_RESUMED;
    return engine->owner == XC_SR_OWNER_DONE ? 0 : -EIO;
}

static int run(struct xl_xen_migration *x)
{
    struct libxl_postcopy_send_params params = {
        .domid = x->domain.domid,
        .debug = x->m.args.debug,
        .before_commit = before_commit,
        .ctx = x,
    };
    int rc;

    xl_xen_migration_fill_params(x, &params.save);
    xl_xen_complaint_reset();
    rc = libxl_postcopy_send(x->ctx, &params, &x->sent);
    x->m.result = x->sent.engine;
    if ( !rc && x->sent.engine.owner == XC_SR_OWNER_NONE )
        rc = settle_plain(x);
    x->m.result.owner = x->sent.engine.owner;
    return rc;
}

/* ---- What the outcome asks for ------------------------------------------------------- */

/* It is theirs, complete: our copy goes. */
static int finish_done(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int status;

    xl_xen_complaint_reset();
    if ( libxl_domain_destroy(x->ctx, x->domain.domid, NULL) )
        xl_error("`%s` runs at %s, but its copy here, %s, cannot be removed "
                 "(%s): xl destroy %s",
                 x->name, m->args.dest, x->away, xl_xen_complaint(), x->away);
    else
        xl_xen_record_forget(&x->record);
    xl_child_end(&m->child, CHILD_END_TIMEOUT_MS, false, &status);
    return XL_EXIT_DONE;
}

/* It is ours and runs, or should: under its name, and watched again. */
static bool make_itself_again(struct xl_xen_migration *x)
{
    bool runs = !x->sent.engine.suspended_here ||
                !libxl_postcopy_resume(x->ctx, x->domain.domid);

    if ( x->renamed &&
         xl_xen_rename(x->ctx, x->domain.domid, x->away, x->name) )
        xl_error("`%s` is still called %s here (%s)", x->name, x->away,
                 xl_xen_complaint());
    /* Whoever watched it has left when it suspended. */
    if ( runs && x->sent.suspended && !x->m.args.no_monitor )
        (void)xl_xen_start_monitor(x->domain.domid);
    return runs;
}

static int finish_resumed(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    const char *name = x->name;
    char says[XL_XEN_SAYS_LEN];
    int status;
    bool runs;

    (void)xl_xen_libxl_says(says, sizeof(says));
    xl_xen_complaint_reset();
    runs = make_itself_again(x);

    if ( runs )
        xl_xen_record_forget(&x->record);
    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, true, &status);
    x->fall_back = m->result.refused;
    if ( x->fall_back )
        return XL_EXIT_REFUSED;
    if ( runs )
        xl_error("`%s` was not migrated: %s%s; it runs here", name, m->why,
                 says);
    else
        xl_error("`%s` was not migrated (%s%s); it is still suspended here, "
                 "and resuming it failed (%s); `xl migrate-resume %s` tries "
                 "again",
                 name, m->why, says, xl_xen_complaint(), name);
    return XL_EXIT_FAILED;
}

/* Nobody here can tell who runs it. */
static int finish_unknown(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    const char *name = x->name;
    int status;

    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, false, &status);
    xl_error("`%s` was handed over, and then: %s", name, m->why);
    xl_error("it may run at %s, so it is kept here as %s, suspended, with all "
             "its memory",
             m->args.dest, x->away);
    xl_error("`xl migrate-status %s` shows what to do; never resume it here "
             "while it is there",
             name);
    return XL_EXIT_UNKNOWN;
}

int xl_xen_migration_finish(struct xl_xen_migration *x, int rc)
{
    struct xl_migration *m = &x->m;

    xl_progress_end(&m->progress);
    xl_output_may_wait();
    m->owner = m->result.owner;
    if ( rc )
        xl_migration_note_why(m, rc);
    /* A failure before anything was recorded: it was ours all along. */
    if ( rc && m->owner == XC_SR_OWNER_NONE )
        m->owner = XC_SR_OWNER_RESUMED;
    xl_migration_end_link(m);
    xl_log_release(m->why[0] ? m->why : NULL);
    if ( m->owner == XC_SR_OWNER_DONE )
        return finish_done(x);
    if ( m->owner == XC_SR_OWNER_RESUMED )
        return finish_resumed(x);
    return finish_unknown(x);
}

/* ---- The story ------------------------------------------------------------------------ */

static int migrate(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int status = xl_xen_migration_look(x);

    if ( !status )
        status = xl_xen_migration_take_hold(x);
    if ( !status )
        status = xl_xen_migration_look_again(x);
    if ( !status )
        status = start_carrier(x);
    if ( status )
        return status;
    xl_progress_init(&m->progress, m->args.progress, x->name);
    xl_output_never_waits();
    xl_xen_complaint_reset();
    if ( greet(x) )
        m->result.owner = m->owner = XC_SR_OWNER_RESUMED;
    return xl_xen_migration_finish(x, m->why[0] ? -EIO : run(x));
}

void xl_xen_migration_init(struct xl_xen_migration *x,
                           const struct xl_global *global)
{
    xl_migration_init(&x->m, global);
    x->record.lock_fd = x->record.journal.dir_fd = -1;
    libxl_dominfo_init(&x->domain.info);
}

void xl_xen_migration_dispose(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int status;

    xl_log_release(NULL);
    xl_child_end(&m->child, CHILD_FAIL_TIMEOUT_MS, true, &status);
    xl_migrate_close_requests(m);
    xl_xen_record_close(&x->record);
    xl_target_dispose(&m->target);
    xl_xen_domain_dispose(&x->domain);
    free(x->config_json);
    if ( x->ctx )
        libxl_ctx_free(x->ctx);
    libxl_postcopy_fini();
}

/* Post-copy is not possible: what now is what the user said. */
static int go_on_without(const struct xl_xen_migration *x, int status)
{
    const struct xl_migration *m = &x->m;

    if ( !x->fall_back )
        return status;
    if ( m->args.require_postcopy )
    {
        xl_error("`%s` was not migrated: no post-copy: %s; it was not touched "
                 "and runs here",
                 m->args.name, m->why);
        return status;
    }
    xl_note("NO POST-COPY for `%s`: %s", m->args.name, m->why);
    xl_note("going on with an ordinary live migration by the system's xl, "
            "which may take long or not end for a busy guest "
            "(--postcopy=require would have stopped here)");
    return xl_xen_fall_back(m->global, &m->args);
}

/* Before there is a thread: libxl is told of our helper by the environment. */
static int prepare_process(struct xl_migration *m)
{
    char why[300] = "", shim[PATH_MAX];
    int rc = xl_xen_check_place(why, sizeof(why));

    if ( !rc )
        rc = libxl_postcopy_init(xl_xen_shim(shim, sizeof(shim)), why,
                                 sizeof(why));
    if ( !rc )
        rc = xl_signals_init(&m->signal_fd);
    if ( !rc )
        return 0;
    xl_error("cannot migrate: %s", *why ? why : strerror(-rc));
    return XL_EXIT_FAILED;
}

int xl_cmd_xen_migrate(const struct xl_global *global, int argc, char **argv)
{
    struct xl_xen_migration *x = calloc(1, sizeof(*x));
    const struct xl_command *command = xl_command_find_xen(argv[0]);
    char why[256] = "";
    int status;

    if ( !x )
        return XL_EXIT_FAILED;
    xl_xen_migration_init(x, global);
    if ( xl_migrate_args_parse_xen(argc, argv, &x->m.args, why, sizeof(why)) )
    {
        free(x);
        return xl_usage_error(command, "%s", why);
    }
    xl_migration_take_args(&x->m);
    status = xl_migration_open_stats(&x->m);
    if ( !status )
        status = prepare_process(&x->m);
    if ( !status )
    {
        status = migrate(x);
        xl_xen_migration_dispose(x);
        xl_migration_tell_story(&x->m, status, NULL);
        xl_migration_close_stats(&x->m);
        status = go_on_without(x, status);
    }
    free(x);
    return status;
}

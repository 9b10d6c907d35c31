/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_requests.c: what reaches a migration from outside while it runs,
 * signals and the control socket, and the three commands at the other end of
 * that socket.
 *
 * The serving half runs in the engine's thread between two turns of its loop:
 * it answers from what was reported last and never waits.
 */
#include "xl_migrate.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "xl_commands.h"
#include "xl_config.h"
#include "xl_signals.h"
#include "xl_status.h"

static bool is_too_late_to_abort(const struct xl_migration *m)
{
    return m->owner == XC_SR_OWNER_COMMITTED || m->owner == XC_SR_OWNER_DONE;
}

static void ask_for_abort(struct xl_migration *m, char *answer, size_t len)
{
    if ( is_too_late_to_abort(m) )
        snprintf(answer, len,
                 "error too late: the guest may run at the destination");
    else if ( xc_sr_control_abort(m->control) )
        snprintf(answer, len, "error cannot reach the engine");
    else
    {
        m->abort_asked = true;
        snprintf(answer, len, "ok");
    }
}

static void ask_for_postcopy(struct xl_migration *m, char *answer, size_t len)
{
    if ( !m->args.policy.allow_postcopy )
        snprintf(answer, len,
                 "error this migration was started without --postcopy");
    else if ( m->latest.phase >= XC_SR_PHASE_SUSPEND )
        snprintf(answer, len, "error it has already left pre-copy");
    else if ( xc_sr_control_postcopy_now(m->control) )
        snprintf(answer, len, "error cannot reach the engine");
    else
        snprintf(answer, len, "ok");
}

static void put_status(const struct xl_migration *m, bool json, char *answer,
                       size_t len)
{
    const struct xl_status status = {
        .at_source = true,
        .name = m->args.name,
        .peer = m->args.dest,
        .owner = m->owner,
        .alive = true,
        .p = &m->latest,
        .lost_why = m->link.why,
        .postcopy_allowed = m->args.policy.allow_postcopy,
        .abort_asked = m->abort_asked,
    };
    char text[XL_CONTROL_ANSWER_MAX - 8];

    snprintf(answer, len, "ok %s",
             json ? xl_status_json(&status, text, sizeof(text))
                  : xl_status_line(&status, text, sizeof(text)));
}

static void handle(void *ctx, const char *request, char *answer,
                   size_t answer_len)
{
    struct xl_migration *m = ctx;
    const struct xl_link_state state = {
        .session = m->session,
        .may_recover = m->owner == XC_SR_OWNER_COMMITTED &&
                       m->args.stream_version >= 3 &&
                       m->args.recovery_wait_s != 0,
        .why_not = "nothing is to be recovered: the guest has not been handed "
                   "over",
    };

    if ( xl_link_handle(&m->link, m->server, request, &state, answer,
                        answer_len) )
        return;
    if ( !strcmp(request, "abort") )
        ask_for_abort(m, answer, answer_len);
    else if ( !strcmp(request, "postcopy-now") )
        ask_for_postcopy(m, answer, answer_len);
    else if ( !strcmp(request, "status") || !strcmp(request, "status-json") )
        put_status(m, !strcmp(request, "status-json"), answer, answer_len);
    else
        snprintf(answer, answer_len, "error no such request");
}

void xl_migrate_on_request(void *ctx)
{
    struct xl_migration *m = ctx;

    if ( xl_signals_take(m->signal_fd) )
    {
        if ( m->latest.phase == XC_SR_PHASE_DISCONNECTED )
            (void)xc_sr_control_stop_waiting(m->control);
        else if ( is_too_late_to_abort(m) )
            xl_note("too late to give up: the guest may run at the "
                    "destination; going on");
        else if ( !m->abort_asked )
        {
            m->abort_asked = true;
            (void)xc_sr_control_abort(m->control);
        }
    }
    xl_control_service(m->server);
}

void xl_migrate_on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_migration *m = ctx;

    m->latest = *p;
    m->latest.stats = NULL;
    /* Before the first round nothing is owed by the engine's books. */
    if ( p->phase == XC_SR_PHASE_SETUP )
        m->latest.done_pages = 0;
    /* Version 2 has no word for "it runs": it does when libxl's part is read,
     * which was sent long ago compared with how often this is called. */
    if ( m->args.stream_version < 3 && m->upper_sent &&
         p->phase == XC_SR_PHASE_HANDOVER )
        m->latest.phase = XC_SR_PHASE_POSTCOPY;
    xl_progress_update(&m->progress, &m->latest);
}

int xl_migrate_open_requests(struct xl_migration *m)
{
    int rc = xc_sr_control_new(&m->control);

    if ( !rc )
        rc = xl_control_open(m->place, m->key, handle, m, &m->server);
    return rc ? rc : xl_control_watch(m->server, m->signal_fd, &m->watch_fd);
}

void xl_migrate_close_requests(struct xl_migration *m)
{
    if ( m->watch_fd >= 0 )
        close(m->watch_fd);
    m->watch_fd = -1;
    xl_control_close(m->server);
    m->server = NULL;
    xc_sr_control_free(m->control);
    m->control = NULL;
}

/* ---- The commands at the other end ------------------------------------------- */

/* Nobody serves requests; a record may tell of a migration that was. */
static void tell_absence(const char *place, const char *key, const char *name)
{
    struct xl_journal_record record;

    if ( xl_journal_read(place, key, &record) )
        xl_error("no migration of `%s` is under way in %s", name, place);
    else
        xl_error("no migration of `%s` is served in %s; process %llu has left "
                 "the record `%s` of the %s: %s",
                 name, place, (unsigned long long)record.pid,
                 xc_sr_owner_name(record.owner),
                 record.at_source ? "source" : "destination",
                 xl_status_advice(record.at_source, record.owner,
                                  XC_SR_PHASE_FAILED,
                                  !xl_journal_is_abandoned(&record)));
}

int xl_migration_ask(const char *place, const char *key, const char *name,
                     const char *request)
{
    char answer[XL_CONTROL_ANSWER_MAX] = "";
    int rc = xl_control_ask(place, key, request, answer, sizeof(answer));

    if ( rc == -ENOENT || rc == -ECONNREFUSED )
        tell_absence(place, key, name);
    else if ( rc )
        xl_error("the migration of `%s` does not answer: %s", name,
                 strerror(-rc));
    else if ( !strncmp(answer, "ok", 2) && (!answer[2] || answer[2] == ' ') )
    {
        if ( answer[2] && answer[3] )
            puts(answer + 3);
        return XL_EXIT_DONE;
    }
    else
        xl_error("%s: %s", name,
                 strncmp(answer, "error ", 6) ? answer : answer + 6);
    return XL_EXIT_FAILED;
}

/* NAME is the only argument. */
static int ask_about(const struct xl_global *global, int argc, char **argv,
                     const char *request)
{
    const struct xl_command *command = xl_command_find(argv[0]);

    if ( argc != 2 )
        return xl_usage_error(command, "one NAME is wanted");
    if ( !xl_name_is_valid(argv[1]) )
        return xl_usage_error(command, "`%s` cannot be a guest's name",
                              argv[1]);
    return xl_migration_ask(global->local_dir, argv[1], argv[1], request);
}

int xl_cmd_migrate_postcopy_now(const struct xl_global *global, int argc,
                                char **argv)
{
    return ask_about(global, argc, argv, "postcopy-now");
}

int xl_cmd_migrate_abort(const struct xl_global *global, int argc, char **argv)
{
    return ask_about(global, argc, argv, "abort");
}

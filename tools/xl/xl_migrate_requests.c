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
#include <sys/epoll.h>
#include <unistd.h>

#include "xl_commands.h"
#include "xl_config.h"
#include "xl_json.h"
#include "xl_signals.h"

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

static void put_status(const struct xl_migration *m, char *answer, size_t len)
{
    char line[256];

    xl_progress_line(&m->latest, line, sizeof(line));
    snprintf(answer, len, "ok %s to %s: %s", m->args.name, m->args.dest, line);
}

static void put_status_json(const struct xl_migration *m, char *answer,
                            size_t len)
{
    const struct xc_sr_progress *p = &m->latest;
    struct xl_json j = { .gen = NULL };
    const char *text;
    size_t text_len;

    if ( xl_json_init(&j, false) )
        return;
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "name", m->args.name);
    xl_json_string(&j, "phase", xc_sr_phase_name(p->phase));
    xl_json_string(&j, "owner", xc_sr_owner_name(m->owner));
    xl_json_string(&j, "guest_runs_at", xl_progress_guest_place(p->phase));
    xl_json_bool(&j, "postcopy_allowed", m->args.policy.allow_postcopy);
    xl_json_bool(&j, "abort_asked", m->abort_asked);
    xl_json_u64(&j, "round", p->round);
    xl_json_u64(&j, "done_pages", p->done_pages);
    xl_json_u64(&j, "total_pages", p->total_pages);
    xl_json_u64(&j, "bytes_per_s", p->bytes_per_s);
    xl_json_u64(&j, "dirty_pages_per_s", p->dirty_pages_per_s);
    xl_json_u64(&j, "faults", p->faults);
    xl_json_u64(&j, "elapsed_us", p->elapsed_us);
    xl_json_close_map(&j);
    if ( !xl_json_text(&j, &text, &text_len) )
        snprintf(answer, len, "ok %.*s", (int)text_len, text);
    xl_json_dispose(&j);
}

static void handle(void *ctx, const char *request, char *answer,
                   size_t answer_len)
{
    struct xl_migration *m = ctx;

    if ( !strcmp(request, "abort") )
        ask_for_abort(m, answer, answer_len);
    else if ( !strcmp(request, "postcopy-now") )
        ask_for_postcopy(m, answer, answer_len);
    else if ( !strcmp(request, "status") )
        put_status(m, answer, answer_len);
    else if ( !strcmp(request, "status-json") )
        put_status_json(m, answer, answer_len);
    else
        snprintf(answer, answer_len, "error no such request");
}

void xl_migrate_on_request(void *ctx)
{
    struct xl_migration *m = ctx;

    if ( xl_signals_take(m->signal_fd) )
    {
        if ( is_too_late_to_abort(m) )
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

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int xl_migrate_open_requests(struct xl_migration *m)
{
    int rc = xc_sr_control_new(&m->control);

    if ( !rc )
        rc = xl_control_open(m->place, m->key, handle, m, &m->server);
    if ( rc )
        return rc;
    m->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if ( m->watch_fd < 0 )
        return -errno;
    rc = watch(m->watch_fd, m->signal_fd);
    return rc ? rc : watch(m->watch_fd, xl_control_fd(m->server));
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

/* What a record that nobody goes on with means for the guest. */
static const char *explain_destination(const struct xl_journal_record *record,
                                       bool lost)
{
    if ( lost )
        return "it runs here and pages of it are missing for good; destroy it "
               "here, then resume it at its source";
    if ( record->owner == XC_SR_OWNER_FINISHED )
        return "it came here with all its memory; if its source keeps a "
               "suspended copy, destroy that, never resume it";
    /* A promise dies with its process, and the guest with it. */
    if ( record->owner == XC_SR_OWNER_FENCED ||
         (record->owner == XC_SR_OWNER_PREP &&
          xl_journal_is_abandoned(record)) )
        return "it never ran here and never will; if its source keeps it "
               "suspended, resume it there";
    return "it arrives here; its source can tell how far it is";
}

static const char *explain_source(const struct xl_journal_record *record)
{
    if ( record->owner == XC_SR_OWNER_COMMITTED )
        return "it may run at the destination, and is kept suspended here; "
               "look there, then resume or destroy it here";
    return record->owner == XC_SR_OWNER_DONE
               ? "it runs at the destination; destroy what is left of it here"
               : "it belongs here; resume it if it is suspended";
}

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
                 record.at_source
                     ? explain_source(&record)
                     : explain_destination(&record,
                                           xl_journal_tells_loss(place, key)));
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

int xl_cmd_migrate_status(const struct xl_global *global, int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");

    if ( json )
    {
        argv[1] = argv[0];
        return ask_about(global, argc - 1, argv + 1, "status-json");
    }
    if ( argc == 3 && !strcmp(argv[2], "--json") )
        return ask_about(global, argc - 1, argv, "status-json");
    return ask_about(global, argc, argv, "status");
}

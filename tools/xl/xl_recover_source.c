/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_recover_source.c: `migrate-recover NAME DEST`, on the source's side.
 *
 * Opens a new connection the way `migrate` did, has the other end check that
 * it is the same migration, and hands it to the process that waits with the
 * guest.  If that process is gone its record is enough: then this one opens
 * the suspended guest and becomes the source.
 */
#include "xl_recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xl_commands.h"
#include "xl_config.h"
#include "xl_signals.h"

#define CHILD_END_TIMEOUT_MS 10000
#define ANSWER_MAX           320u

/* ---- The new connection ---------------------------------------------------- */

/* One line, octet by octet: what follows it is the engine's. */
static int read_answer(int fd, char *line_r, size_t len, uint64_t deadline_us,
                       int cancel_fd)
{
    size_t have;

    for ( have = 0; have < len - 1; have++ )
    {
        int rc = xl_read_exact(fd, line_r + have, 1, deadline_us, cancel_fd);

        if ( rc )
            return rc;
        if ( line_r[have] == '\n' )
        {
            line_r[have] = '\0';
            return 0;
        }
        if ( (unsigned char)line_r[have] < 0x20 )
            line_r[have] = '.';
    }
    return -EPROTO;
}

static int ask_there(const struct xl_recover_wish *wish,
                     const struct xl_child *child, char *why, size_t why_len)
{
    uint64_t deadline_us = xl_now_us() + wish->timeout_us;
    char hex[XL_SESSION_HEX_LEN], line[ANSWER_MAX] = "", got[80] = "";
    int rc =
        xl_expect(child->recv_fd, XL_TEXT_RECOVER, sizeof(XL_TEXT_RECOVER) - 1,
                  deadline_us, wish->cancel_fd, got);

    if ( rc == -EPROTO )
        snprintf(why, why_len,
                 "there is no xl that recovers at the other "
                 "end: it said `%s`",
                 got);
    if ( rc )
        return rc;
    xl_session_to_hex(wish->session, hex);
    snprintf(line, sizeof(line), "recover %s\n", hex);
    rc = xl_write_exact(child->send_fd, line, strlen(line), deadline_us,
                        wish->cancel_fd);
    if ( !rc )
        rc = read_answer(child->recv_fd, line, sizeof(line), deadline_us,
                         wish->cancel_fd);
    if ( rc || !strcmp(line, "ok") )
        return rc;
    snprintf(why, why_len, "the destination: %s",
             strncmp(line, "error ", 6) ? line : line + 6);
    return -ENOTCONN;
}

int xl_recover_connect(const struct xl_recover_wish *wish,
                       struct xl_child *child_r, char *why, size_t why_len)
{
    struct xl_child child = { .send_fd = -1, .recv_fd = -1 };
    int rc = xl_child_start(wish->target, wish->options, &child);
    int status;
    char text[96];

    why[0] = '\0';
    if ( !rc )
        rc = ask_there(wish, &child, why, why_len);
    if ( !rc )
    {
        *child_r = child;
        return 0;
    }
    if ( rc == -ECANCELED )
        xl_child_give_up(&child, wish->target, &status);
    else
        xl_child_end(&child, 2000, true, &status);
    if ( !why[0] && rc == -EPIPE )
        snprintf(why, why_len, "the connection ended before it was ready; %s",
                 xl_child_status_text(status, text, sizeof(text)));
    else if ( !why[0] )
        snprintf(why, why_len, "%s",
                 rc == -ETIMEDOUT   ? "nobody answered in time (--timeout)"
                 : rc == -ECANCELED ? "given up on request"
                                    : strerror(-rc));
    return rc;
}

/* ---- To the process that waits ------------------------------------------------ */

/* The destination wants nothing more; false: the line says something else. */
static bool is_done(const struct xl_recover_args *args, const char *line)
{
    const char *name = args->name, *dest = args->dest;
    bool settled = !strcmp(line, "settled"), ended = !strcmp(line, "ended");

    if ( !settled && !ended && strcmp(line, "done") )
        return false;
    if ( args->quiet )
        return true;
    if ( ended )
        xl_note("`%s` has ended at %s, and nothing of it is wanted any more",
                name, dest);
    else
        xl_note("`%s` runs at %s with all its memory%s", name, dest,
                settled ? ", or has ended there" : "");
    return true;
}

/* What becomes of it; an exit status. */
static int follow(const struct xl_recover_args *args, int fd)
{
    char line[ANSWER_MAX];

    while ( !xl_control_next_line(fd, line, sizeof(line)) )
    {
        if ( !strcmp(line, "recovered") )
        {
            if ( !args->quiet )
                xl_note("`%s` goes on", args->name);
        }
        else if ( is_done(args, line) )
            return XL_EXIT_DONE;
        else if ( !strcmp(line, "resumed") )
        {
            xl_error("`%s` never ran at %s and never will; it runs here",
                     args->name, args->dest);
            return XL_EXIT_FAILED;
        }
        else
        {
            xl_error("`%s` is not recovered, and still kept here with all its "
                     "memory: %s",
                     args->name, strncmp(line, "lost ", 5) ? line : line + 5);
            return XL_EXIT_UNKNOWN;
        }
    }
    xl_error("the process that kept `%s` here has ended; `xl migrate-recover` "
             "again",
             args->name);
    return XL_EXIT_UNKNOWN;
}

/* *gone_r: nobody waits, the record is all there is. */
static int hand_over(const struct xl_migration *m,
                     const struct xl_recover_args *args,
                     const struct xl_child *child, bool *gone_r)
{
    const int fds[2] = { child->send_fd, child->recv_fd };
    struct xl_control_reply reply = { .fd = -1, .answer = "" };
    char hex[XL_SESSION_HEX_LEN], request[64];
    int rc, status;

    xl_session_to_hex(m->session, hex);
    snprintf(request, sizeof(request), "reconnect %s", hex);
    rc = xl_control_hand_over(m->place, m->key, request, fds, &reply);
    *gone_r = rc == -ENOENT || rc == -ECONNREFUSED;
    if ( *gone_r )
        return XL_EXIT_FAILED;
    if ( rc || strcmp(reply.answer, "ok") )
    {
        xl_error("`%s` cannot be recovered: %s", args->name,
                 rc                                   ? strerror(-rc)
                 : strncmp(reply.answer, "error ", 6) ? reply.answer
                                                      : reply.answer + 6);
        status = XL_EXIT_UNKNOWN;
    }
    else
    {
        /* They are theirs now; an end has to be an end. */
        close(fds[0]);
        close(fds[1]);
        status = follow(args, reply.fd);
    }
    if ( reply.fd >= 0 )
        close(reply.fd);
    return status;
}

/* ---- In its place --------------------------------------------------------------- */

int xl_recover_check_record(const char *place, const char *key,
                            const char *name,
                            struct xl_journal_record *record_r)
{
    int rc = xl_journal_read(place, key, record_r);

    if ( rc )
        xl_error("no migration of `%s` from %s is known, so none can be "
                 "recovered",
                 name, place);
    else if ( !record_r->at_source )
        xl_error("`%s` came to %s; `migrate-recover` is for the host it came "
                 "from",
                 name, place);
    else if ( record_r->owner != XC_SR_OWNER_COMMITTED )
        xl_error("nothing is to be recovered: %s",
                 xl_status_advice(true, record_r->owner,
                                  XC_SR_PHASE_DISCONNECTED,
                                  !xl_journal_is_abandoned(record_r)));
    else
        return 0;
    return rc == -ENOENT ? XL_EXIT_USAGE : XL_EXIT_FAILED;
}

static int resolve(struct xl_migration *m, const struct xl_recover_args *args,
                   const struct xl_command *command)
{
    const struct xl_target_wish wish = {
        .dest = args->dest,
        .carrier = args->carrier,
        .receiver = m->receiver,
    };
    char why[256] = "not enough memory";

    return xl_target_resolve(&wish, &m->target, why, sizeof(why))
               ? xl_usage_error(command, "%s", why)
               : 0;
}

void xl_recover_prepare(struct xl_migration *m,
                        const struct xl_recover_args *args,
                        const struct xl_journal_record *record)
{
    m->args.name = args->name;
    m->args.dest = args->dest;
    m->args.carrier = args->carrier;
    m->args.quiet = args->quiet;
    m->args.stream_version = 3;
    m->args.policy.allow_postcopy = true;
    m->args.recovery_wait_s = XL_RECOVERY_WAIT_FOR_EVER;
    m->args.timeout_s = args->timeout_s;
    if ( args->quiet )
        m->args.progress = XL_PROGRESS_NONE;
    xl_migration_take_args(m);
    m->receiver.timeout_s = 0;
    m->receiver.recover = args->name;
    m->owner = record->owner;
    memcpy(m->session, record->session, sizeof(m->session));
}

int xl_recover_run(struct xl_migration *m, const struct xl_recover_args *args,
                   const struct xl_journal_record *record,
                   int (*go_on)(struct xl_migration *m))
{
    const struct xl_recover_wish wish = {
        .target = &m->target,
        .options = &m->receiver,
        .session = m->session,
        .timeout_us = m->timeout_us,
        .cancel_fd = m->signal_fd,
    };
    struct xl_journal_record now;
    char why[320];
    bool gone = false;
    int status;

    if ( xl_recover_connect(&wish, &m->child, why, sizeof(why)) )
    {
        xl_error("`%s` is not recovered, and still kept here with all its "
                 "memory: %s",
                 args->name, why);
        return XL_EXIT_UNKNOWN;
    }
    status = hand_over(m, args, &m->child, &gone);
    if ( !gone )
    {
        /* The carrier ends with the connection, whoever has that. */
        m->child.send_fd = m->child.recv_fd = -1;
        if ( status == XL_EXIT_DONE )
            xl_child_end(&m->child, CHILD_END_TIMEOUT_MS, false, &(int){ 0 });
        m->child.pid = 0;
        return status;
    }
    /* It may have settled everything before it ended. */
    status = xl_recover_check_record(m->place, m->key, args->name, &now);
    if ( status || memcmp(now.session, record->session, sizeof(now.session)) )
        return status ? status : XL_EXIT_FAILED;
    m->goes_on = true;
    m->from.owner = now.owner;
    m->from.epoch = now.epoch;
    memcpy(m->from.session, now.session, sizeof(m->from.session));
    return go_on(m);
}

int xl_cmd_migrate_recover(const struct xl_global *global, int argc,
                           char **argv)
{
    const struct xl_command *command = xl_command_find(argv[0]);
    struct xl_migration *m = calloc(1, sizeof(*m));
    struct xl_journal_record record;
    struct xl_recover_args args;
    char why[256];
    int status;

    if ( !m )
        return XL_EXIT_FAILED;
    xl_migration_init(m, global);
    if ( xl_recover_args_parse(argc, argv, &args, why, sizeof(why)) )
        status = xl_usage_error(command, "%s", why);
    else if ( !xl_name_is_valid(args.name) )
        status =
            xl_usage_error(command, "`%s` cannot be a guest's name", args.name);
    else
    {
        status = xl_recover_check_record(global->local_dir, args.name,
                                         args.name, &record);
        if ( !status )
        {
            m->place = global->local_dir;
            m->key = args.name;
            xl_recover_prepare(m, &args, &record);
            status = resolve(m, &args, command);
        }
        if ( !status && xl_signals_init(&m->signal_fd) )
            status = XL_EXIT_FAILED;
        if ( !status )
            status = xl_recover_run(m, &args, &record, xl_migrate_go_on);
        xl_migrate_dispose(m);
    }
    free(m);
    return status;
}

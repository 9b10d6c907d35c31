/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_recover_receive.c: `migrate-receive --recover NAME`, the destination's
 * end of a new connection.
 *
 * Started by `migrate-recover` at the source, over ssh or as its child.  The
 * receiver of the migration waits with the guest in a process of its own: it
 * is handed this connection, and this process stays until it has done with
 * it, because an ssh session would end with its process.  A receiver that is
 * gone has left its record: then that is said to the source, and acted upon,
 * unless its place can be taken (guests of Xen).
 *
 * Spec: docs/specs, "Recovery": what a restarted process does.
 */
#include "xl_recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xl_transport.h"

#define SPARE_LINE 80u

static int say(int fd, const char *word, const char *text, uint64_t deadline_us)
{
    char line[320];

    snprintf(line, sizeof(line), "%s%s%.280s\n", word, text[0] ? " " : "",
             text);
    return xl_write_exact(fd, line, strlen(line), deadline_us, -1);
}

int xl_recover_say_ok(int fd, uint64_t deadline_us)
{
    return say(fd, "ok", "", deadline_us);
}

/* "recover SESSION", as the record has it. */
static int read_request(int fd, char session_r[XL_SESSION_HEX_LEN],
                        uint64_t deadline_us)
{
    static const char word[] = "recover ";
    char line[sizeof(word) - 1 + XL_SESSION_HEX_LEN];
    int rc = xl_read_exact(fd, line, sizeof(line), deadline_us, -1);

    if ( rc )
        return rc;
    if ( memcmp(line, word, sizeof(word) - 1) ||
         line[sizeof(line) - 1] != '\n' )
        return -EPROTO;
    memcpy(session_r, line + sizeof(word) - 1, XL_SESSION_HEX_LEN - 1);
    session_r[XL_SESSION_HEX_LEN - 1] = '\0';
    return 0;
}

/* ---- A receiver that waits --------------------------------------------------- */

static int pass_on(const struct xl_recover_guest *guest, const char *session,
                   const int fds[2], uint64_t deadline_us)
{
    struct xl_control_reply reply = { .fd = -1, .answer = "" };
    char request[SPARE_LINE];
    int rc;

    if ( xl_recover_say_ok(fds[0], deadline_us) )
        return XL_EXIT_FAILED;
    snprintf(request, sizeof(request), "reconnect %s", session);
    rc = xl_control_hand_over(guest->place, guest->key, request, fds, &reply);
    close(fds[0]);
    close(fds[1]);
    if ( rc || strcmp(reply.answer, "ok") )
    {
        xl_error("the receiver of `%s` did not take the connection: %s",
                 guest->name, rc ? strerror(-rc) : reply.answer);
        if ( reply.fd >= 0 )
            close(reply.fd);
        return XL_EXIT_FAILED;
    }
    while (
        !xl_control_next_line(reply.fd, reply.answer, sizeof(reply.answer)) )
        if ( strcmp(reply.answer, "recovered") )
            break;
    close(reply.fd);
    return strcmp(reply.answer, "done") ? XL_EXIT_FAILED : XL_EXIT_DONE;
}

/* ---- A receiver that is gone ---------------------------------------------------- */

/* What it would do when it was started again; the record that is left. */
static int act_on_record(const struct xl_recover_guest *guest,
                         struct xl_journal *journal,
                         struct xl_journal_record *record)
{
    enum xc_sr_owner owner = record->owner;
    int rc = 0;

    /* What it noted of a guest of Xen stays, and outlives the host. */
    journal->name = record->name[0] ? record->name : NULL;
    journal->domid = record->domid;
    journal->durable = record->domid != 0;
    if ( owner == XC_SR_OWNER_PREP )
        owner = XC_SR_OWNER_FENCED;
    else if ( owner == XC_SR_OWNER_OWNER )
        owner = guest->outcome(guest->ctx, record);
    if ( owner != record->owner )
        rc = xl_journal_put(journal, owner, record->session, record->epoch);
    record->owner = owner;
    if ( !rc && owner == XC_SR_OWNER_FENCED )
        rc = guest->fence(guest->ctx);
    if ( rc )
        xl_error("`%s`: cannot settle what its receiver left: %s", guest->name,
                 strerror(-rc));
    return rc;
}

static int tell(const struct xl_recover_guest *guest,
                struct xl_journal *journal,
                const struct xl_journal_record *record, const int fds[2])
{
    struct xc_sr_tell_params params = {
        .record = { .owner = record->owner, .epoch = record->epoch },
        .send_fd = fds[0],
        .recv_fd = fds[1],
        .journal = { .put = xl_journal_put, .ctx = journal },
        .log = guest->log,
        .timeout_us = guest->timeout_us,
    };
    bool settled = false;
    int rc;

    memcpy(params.record.session, record->session,
           sizeof(params.record.session));
    rc = xc_sr_restore_tell(&params, &settled);
    if ( !rc && settled && xl_journal_is_settled(record) )
        (void)xl_journal_remove(journal);
    xl_note("`%s`: %s", guest->name,
            xl_status_advice(false, record->owner, XC_SR_PHASE_FAILED, false));
    return rc ? XL_EXIT_FAILED : XL_EXIT_DONE;
}

static int tell_record(const struct xl_recover_guest *guest,
                       struct xl_journal_record *record, const int fds[2],
                       bool ok_said, uint64_t deadline_us)
{
    struct xl_journal journal = { .dir_fd = -1 };
    int status = XL_EXIT_FAILED;

    if ( xl_journal_open(&journal, guest->place, guest->key, false) )
        return status;
    if ( act_on_record(guest, &journal, record) )
    {
        if ( !ok_said )
            (void)say(fds[0], "error",
                      "its receiver is gone, and what is left cannot be "
                      "settled",
                      deadline_us);
    }
    else if ( ok_said || !xl_recover_say_ok(fds[0], deadline_us) )
        status = tell(guest, &journal, record, fds);
    xl_journal_close(&journal);
    return status;
}

static int answer_for_it(const struct xl_recover_guest *guest,
                         struct xl_journal_record *record, const int fds[2],
                         uint64_t deadline_us)
{
    const struct xl_recover_stand_in how = {
        .record = record,
        .send_fd = fds[0],
        .recv_fd = fds[1],
        .deadline_us = deadline_us,
    };
    int status = XL_EXIT_FAILED, rc = -EOPNOTSUPP;
    bool ok_said = false;

    if ( record->owner == XC_SR_OWNER_OWNER && guest->take_over )
        rc = guest->take_over(guest->ctx, &how, &ok_said, &status);
    if ( rc == -EBUSY )
        (void)say(fds[0], "error", "another process takes its receiver's place",
                  deadline_us);
    else if ( rc )
        status = tell_record(guest, record, fds, ok_said, deadline_us);
    else if ( !ok_said )
        (void)say(fds[0], "error", "its receiver's place cannot be taken now",
                  deadline_us);
    return status;
}

/* ---- Which of them ----------------------------------------------------------------- */

/* "" if somebody waits for the connection, else why not; *gone_r: nobody. */
static void ask_receiver(const struct xl_recover_guest *guest,
                         const char *session, char *why, size_t len,
                         bool *gone_r)
{
    char request[SPARE_LINE], answer[XL_CONTROL_ANSWER_MAX] = "";
    int rc;

    snprintf(request, sizeof(request), "recoverable %s", session);
    rc = xl_control_ask(guest->place, guest->key, request, answer,
                        sizeof(answer));
    *gone_r = rc == -ENOENT || rc == -ECONNREFUSED;
    why[0] = '\0';
    if ( rc )
        snprintf(why, len, "its receiver does not answer: %s", strerror(-rc));
    else if ( strcmp(answer, "ok") )
        snprintf(why, len, "%.200s",
                 strncmp(answer, "error ", 6) ? answer : answer + 6);
}

/* The record of that migration; else why not. */
static bool find_record(const struct xl_recover_guest *guest,
                        const char *session, struct xl_journal_record *record,
                        char *why, size_t len)
{
    char hex[XL_SESSION_HEX_LEN];

    if ( xl_journal_read(guest->place, guest->key, record) ||
         record->at_source )
    {
        snprintf(why, len, "no migration of `%.64s` to here is known",
                 guest->name);
        return false;
    }
    xl_session_to_hex(record->session, hex);
    if ( !strcmp(hex, session) )
        return true;
    snprintf(why, len, "the migration of `%.64s` known here is another one",
             guest->name);
    return false;
}

static bool is_abandoned(const struct xl_recover_guest *guest,
                         const struct xl_journal_record *record)
{
    return guest->is_held ? !guest->is_held(guest->ctx)
                          : xl_journal_is_abandoned(record);
}

static int serve(const struct xl_recover_guest *guest, const char *session,
                 const int fds[2], uint64_t deadline_us)
{
    struct xl_journal_record record;
    char why[256];
    bool gone = false;

    if ( find_record(guest, session, &record, why, sizeof(why)) )
    {
        ask_receiver(guest, session, why, sizeof(why), &gone);
        if ( !why[0] )
            return pass_on(guest, session, fds, deadline_us);
        /* Gone, and not about to say something itself.  It may have recorded
         * more since it was looked at, and only its last word counts. */
        if ( gone && find_record(guest, session, &record, why, sizeof(why)) &&
             is_abandoned(guest, &record) )
            return answer_for_it(guest, &record, fds, deadline_us);
    }
    (void)say(fds[0], "error", why, deadline_us);
    return XL_EXIT_FAILED;
}

int xl_recover_serve(const struct xl_recover_guest *guest, int recv_fd,
                     int send_fd)
{
    const int fds[2] = { send_fd, recv_fd };
    uint64_t deadline_us = xl_now_us() + guest->timeout_us;
    char session[XL_SESSION_HEX_LEN];
    int rc = xl_write_exact(send_fd, XL_TEXT_RECOVER,
                            sizeof(XL_TEXT_RECOVER) - 1, deadline_us, -1);

    if ( !rc )
        rc = read_request(recv_fd, session, deadline_us);
    if ( rc )
    {
        xl_error("no request to recover `%s` came: %s", guest->name,
                 strerror(-rc));
        return XL_EXIT_FAILED;
    }
    return serve(guest, session, fds, deadline_us);
}

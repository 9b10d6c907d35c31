/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_receive_requests.c: what reaches a receiver from outside while it works:
 * signals, its control socket, and what the engine's recovery callbacks do.
 *
 * Everything runs in the engine's thread between two turns of its loop: it
 * answers from what was reported last and never waits.
 */
#include "xl_receive.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xl_migrate_args.h"
#include "xl_signals.h"
#include "xl_status.h"

static void abort_it(struct xl_arrival *a, char *answer, size_t len)
{
    if ( a->owner == XC_SR_OWNER_OWNER || a->owner == XC_SR_OWNER_FINISHED )
        snprintf(answer, len, "error too late: the guest runs here");
    else if ( a->owner == XC_SR_OWNER_ENDED )
        snprintf(answer, len, "error too late: the guest has ended here");
    else if ( xc_sr_control_abort(a->control) )
        snprintf(answer, len, "error cannot reach the engine");
    else
        snprintf(answer, len, "ok");
}

/*
 * Another guest of that name arrives, and this one only waits for a source
 * that has probably given up: giving up a promise is always safe.
 */
static void give_way(struct xl_arrival *a, char *answer, size_t len)
{
    if ( a->owner == XC_SR_OWNER_PREP &&
         a->latest.phase == XC_SR_PHASE_DISCONNECTED )
        abort_it(a, answer, len);
    else
        snprintf(answer, len, "error another migration of `%s` arrives",
                 a->name);
}

static void put_status(const struct xl_arrival *a, bool json, char *answer,
                       size_t len)
{
    const struct xl_status status = {
        .name = a->name,
        .owner = a->owner,
        .alive = true,
        .p = &a->latest,
        .lost_why = a->link.why,
    };
    char text[XL_CONTROL_ANSWER_MAX - 8];

    snprintf(answer, len, "ok %s",
             json ? xl_status_json(&status, text, sizeof(text))
                  : xl_status_line(&status, text, sizeof(text)));
}

static void handle(void *ctx, const char *request, char *answer,
                   size_t answer_len)
{
    struct xl_arrival *a = ctx;
    const struct xl_link_state state = {
        .session = a->session,
        .may_recover =
            (a->owner == XC_SR_OWNER_PREP || a->owner == XC_SR_OWNER_OWNER) &&
            a->recovery_wait_s != 0,
        .why_not = "nothing is to be recovered here",
    };

    if ( xl_link_handle(&a->link, a->server, request, &state, answer,
                        answer_len) )
        return;
    if ( !strcmp(request, "abort") )
        abort_it(a, answer, answer_len);
    else if ( !strcmp(request, "give-way") )
        give_way(a, answer, answer_len);
    else if ( !strcmp(request, "status") || !strcmp(request, "status-json") )
        put_status(a, !strcmp(request, "status-json"), answer, answer_len);
    else if ( !strcmp(request, "postcopy-now") )
        snprintf(answer, answer_len,
                 "error it arrives here; its source decides that");
    else
        snprintf(answer, answer_len, "error no such request");
}

static void on_request(void *ctx)
{
    struct xl_arrival *a = ctx;

    if ( xl_signals_take(a->signal_fd) )
        (void)xc_sr_control_abort(a->control);
    if ( a->server )
        xl_control_service(a->server);
}

void xl_arrival_on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_arrival *a = ctx;

    a->latest = *p;
    a->latest.stats = NULL;
}

/* ---- A lost connection --------------------------------------------------------- */

static void on_lost(void *ctx, const char *why)
{
    struct xl_arrival *a = ctx;
    bool first = a->link.connected;
    const char *name = a->name;

    xl_link_lost(&a->link, why);
    if ( a->recv_fd >= 0 )
        close(a->recv_fd);
    if ( a->send_fd >= 0 )
        close(a->send_fd);
    a->recv_fd = a->send_fd = -1;
    if ( !first )
        xl_error("`%s` could not be taken up again: %s", name, why);
    else if ( a->owner == XC_SR_OWNER_OWNER )
        xl_error("the connection of `%s` is lost: %s; it %s and waits for `xl "
                 "migrate-recover %s HOST` at its source",
                 name, why,
                 a->pause_on_loss ? "is paused here"
                                  : "runs here with the pages it has",
                 name);
    else
        xl_error("the connection of `%s` is lost: %s; it is loaded here and "
                 "waits for its source",
                 name, why);
}

static void on_recovered(void *ctx)
{
    struct xl_arrival *a = ctx;

    xl_link_recovered(&a->link);
    xl_note("`%s` goes on", a->name);
}

/* ---- Setting it up ----------------------------------------------------------------- */

void xl_arrival_init(struct xl_arrival *a)
{
    *a = (struct xl_arrival){
        .recv_fd = -1,
        .send_fd = -1,
        .signal_fd = -1,
        .watch_fd = -1,
    };
    xl_link_init(&a->link, NULL);
}

int xl_arrival_open(struct xl_arrival *a, const char *place, const char *key)
{
    int rc = xl_control_open(place, key, handle, a, &a->server);

    return rc ? rc : xl_control_watch(a->server, a->signal_fd, &a->watch_fd);
}

void xl_arrival_close(struct xl_arrival *a)
{
    if ( a->watch_fd >= 0 )
        close(a->watch_fd);
    a->watch_fd = -1;
    xl_control_close(a->server);
    a->server = NULL;
}

void xl_arrival_fill_params(struct xl_arrival *a,
                            struct xc_sr_restore_params *params)
{
    xl_link_init(&a->link, a->control);
    params->control = a->control;
    params->watch = (struct xc_sr_watch){ .fd = a->watch_fd,
                                          .on_ready = on_request,
                                          .ctx = a };
    params->progress = xl_arrival_on_progress;
    params->progress_ctx = a;
    params->recovery = (struct xc_sr_recovery){
        .enabled = a->recovery_wait_s != 0,
        .pause = a->pause_on_loss,
        .lost = on_lost,
        .recovered = on_recovered,
        .ctx = a,
    };
    if ( a->recovery_wait_s != XL_RECOVERY_WAIT_FOR_EVER )
        params->recovery.timeout_us = a->recovery_wait_s * UINT64_C(1000000);
}

const char *xl_arrival_outcome(enum xc_sr_owner owner)
{
    return owner == XC_SR_OWNER_ENDED
               ? "has ended here (shut down, restarted or destroyed) while "
                 "pages of it were missing, which nobody wants any more"
               : "is here with all its memory";
}

void xl_arrival_note_record(struct xl_arrival *a, enum xc_sr_owner owner,
                            const uint8_t session[16], uint64_t epoch)
{
    a->owner = owner;
    memcpy(a->session, session, sizeof(a->session));
    a->epoch = epoch;
}

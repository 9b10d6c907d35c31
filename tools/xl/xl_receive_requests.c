/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_receive_requests.c: what reaches a receiver from outside while it works:
 * signals, its control socket, and what the engine's recovery callbacks do.
 *
 * Everything runs in the engine's thread between two turns of its loop: it
 * answers from what was reported last and never waits.
 */
#include "xl_receive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "xl_migrate_args.h"
#include "xl_signals.h"
#include "xl_status.h"

static void abort_it(struct xl_receiver *r, char *answer, size_t len)
{
    if ( r->owner == XC_SR_OWNER_OWNER || r->owner == XC_SR_OWNER_FINISHED )
        snprintf(answer, len, "error too late: the guest runs here");
    else if ( xc_sr_control_abort(r->control) )
        snprintf(answer, len, "error cannot reach the engine");
    else
        snprintf(answer, len, "ok");
}

/*
 * Another guest of that name arrives, and this one only waits for a source
 * that has probably given up: giving up a promise is always safe.
 */
static void give_way(struct xl_receiver *r, char *answer, size_t len)
{
    if ( r->owner == XC_SR_OWNER_PREP &&
         r->latest.phase == XC_SR_PHASE_DISCONNECTED )
        abort_it(r, answer, len);
    else
        snprintf(answer, len, "error another migration of `%s` arrives",
                 r->config.name);
}

static void put_status(const struct xl_receiver *r, bool json, char *answer,
                       size_t len)
{
    const struct xl_status status = {
        .name = r->config.name,
        .owner = r->owner,
        .alive = true,
        .p = &r->latest,
        .lost_why = r->link.why,
    };
    char text[XL_CONTROL_ANSWER_MAX - 8];

    snprintf(answer, len, "ok %s",
             json ? xl_status_json(&status, text, sizeof(text))
                  : xl_status_line(&status, text, sizeof(text)));
}

static void handle(void *ctx, const char *request, char *answer,
                   size_t answer_len)
{
    struct xl_receiver *r = ctx;
    const struct xl_link_state state = {
        .session = r->session,
        .may_recover =
            (r->owner == XC_SR_OWNER_PREP || r->owner == XC_SR_OWNER_OWNER) &&
            r->recovery_wait_s != 0,
        .why_not = "nothing is to be recovered here",
    };

    if ( xl_link_handle(&r->link, r->server, request, &state, answer,
                        answer_len) )
        return;
    if ( !strcmp(request, "abort") )
        abort_it(r, answer, answer_len);
    else if ( !strcmp(request, "give-way") )
        give_way(r, answer, answer_len);
    else if ( !strcmp(request, "status") || !strcmp(request, "status-json") )
        put_status(r, !strcmp(request, "status-json"), answer, answer_len);
    else if ( !strcmp(request, "postcopy-now") )
        snprintf(answer, answer_len,
                 "error it arrives here; its source decides that");
    else
        snprintf(answer, answer_len, "error no such request");
}

static void on_request(void *ctx)
{
    struct xl_receiver *r = ctx;

    if ( xl_signals_take(r->signal_fd) )
        (void)xc_sr_control_abort(r->control);
    if ( r->server )
        xl_control_service(r->server);
}

static void on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_receiver *r = ctx;

    r->latest = *p;
    r->latest.stats = NULL;
}

/* ---- A lost connection --------------------------------------------------------- */

static void on_lost(void *ctx, const char *why)
{
    struct xl_receiver *r = ctx;
    bool first = r->link.connected;
    const char *name = r->config.name;

    xl_link_lost(&r->link, why);
    if ( r->recv_fd >= 0 )
        close(r->recv_fd);
    if ( r->send_fd >= 0 )
        close(r->send_fd);
    r->recv_fd = r->send_fd = -1;
    if ( !first )
        xl_error("`%s` could not be taken up again: %s", name, why);
    else if ( r->owner == XC_SR_OWNER_OWNER )
        xl_error("the connection of `%s` is lost: %s; it runs here with pages "
                 "missing and waits for `xl migrate-recover %s HOST` at its "
                 "source",
                 name, why, name);
    else
        xl_error("the connection of `%s` is lost: %s; it is loaded here and "
                 "waits for its source",
                 name, why);
}

static void on_recovered(void *ctx)
{
    struct xl_receiver *r = ctx;

    xl_link_recovered(&r->link);
    xl_note("`%s` goes on", r->config.name);
}

/* ---- Setting it up ----------------------------------------------------------------- */

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int xl_receiver_open_requests(struct xl_receiver *r)
{
    int rc = xl_control_open(r->global->local_dir, r->config.name, handle, r,
                             &r->server);

    if ( rc )
        return rc;
    r->watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if ( r->watch_fd < 0 )
        return -errno;
    rc = watch(r->watch_fd, r->signal_fd);
    return rc ? rc : watch(r->watch_fd, xl_control_fd(r->server));
}

void xl_receiver_close_requests(struct xl_receiver *r)
{
    if ( r->watch_fd >= 0 )
        close(r->watch_fd);
    r->watch_fd = -1;
    xl_control_close(r->server);
    r->server = NULL;
}

void xl_receiver_fill_params(struct xl_receiver *r,
                             struct xc_sr_restore_params *params)
{
    xl_link_init(&r->link, r->control);
    params->control = r->control;
    params->watch = (struct xc_sr_watch){ .fd = r->watch_fd,
                                          .on_ready = on_request,
                                          .ctx = r };
    params->progress = on_progress;
    params->progress_ctx = r;
    params->recovery = (struct xc_sr_recovery){
        .enabled = r->recovery_wait_s != 0,
        .pause = r->pause_on_loss,
        .lost = on_lost,
        .recovered = on_recovered,
        .ctx = r,
    };
    if ( r->recovery_wait_s != XL_RECOVERY_WAIT_FOR_EVER )
        params->recovery.timeout_us = r->recovery_wait_s * UINT64_C(1000000);
}

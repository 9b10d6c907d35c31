/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_send.c: libxl_postcopy_send(): a guest leaves this host.
 *
 * The caller's thread is in libxl_domain_suspend() and then does what the
 * engine asks for (renaming by before_commit(), resuming); the engine's thread
 * runs send_engine(), top to bottom.  What goes on the wire before and after
 * the engine's own is libxl's, relayed.
 *
 * Whether the guest is resumed here is the engine's verdict, never libxl's
 * return code, which is misleading after a failure before the suspend.
 */
#include "domain_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xenpostcopy_xen.h"

#define DEFAULT_TIMEOUT_US UINT64_C(60000000)
/* Suspending is two waits of libxl's, and then its device model. */
#define SUSPEND_EXTRA_US   UINT64_C(15000000)

struct sender
{
    libxl_ctx *ctx;
    const struct libxl_postcopy_send_params *params;
    struct libxl_postcopy_send_result *result;
    struct libxl_postcopy__line line;
    struct xc_sr_save_params save;
    uint64_t suspend_until_us;
    bool asked_to_suspend;
    bool reason_known; /* the engine's why came before this library's own */
    bool qemu_logs;    /* its log of dirty pages is on */
    bool may_commit;   /* libxl and the caller have agreed, once for all */
    bool asked_last;   /* version 2: the caller has been asked */
    int rc;            /* what send() returns */
    bool ran;          /* the engine did, and says who owns the guest */
};

/* ---- In the caller's thread ------------------------------------------------------ */

int libxl_postcopy_resume(libxl_ctx *ctx, uint32_t domid)
{
    libxl_dominfo info;
    bool suspended;
    int rc;

    libxl_dominfo_init(&info);
    rc = libxl_domain_info(ctx, &info, domid);
    suspended =
        info.shutdown && info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND;
    libxl_dominfo_dispose(&info);
    if ( rc )
        return rc == ERROR_DOMAIN_NOTFOUND ? -ESRCH : -EIO;
    if ( !suspended )
        return 0;
    return libxl_domain_resume(ctx, domid, 1, NULL) ? -EIO : 0;
}

static int resume_now(void *ctx)
{
    struct sender *s = ctx;

    return libxl_postcopy_resume(s->ctx, s->params->domid);
}

static int before_commit_now(void *ctx)
{
    struct sender *s = ctx;
    int libxl_rc = 0;

    /* There will be no COMMIT: may_commit() says why. */
    if ( libxl_postcopy__run_has_returned(&s->line.run, &libxl_rc) && libxl_rc )
        return -EIO;
    return s->params->before_commit(s->params->ctx);
}

/* ---- The engine's hooks ------------------------------------------------------------ */

static int suspend_start(void *ctx)
{
    struct sender *s = ctx;
    const struct libxl_postcopy__message msg = { .number =
                                                     LIBXL_PC_MSG_SUSPEND };
    uint64_t deadline_us = libxl_postcopy__line_deadline(&s->line);

    s->suspend_until_us = deadline_us + s->line.timeout_us + SUSPEND_EXTRA_US;
    s->asked_to_suspend = true;
    return libxl_postcopy__shim_send(&s->line.shim, &msg, deadline_us);
}

static int suspend_poll(void *ctx, uint64_t timeout_us, bool *suspended_r)
{
    struct sender *s = ctx;
    uint64_t now_us = libxl_postcopy__now_us();
    uint64_t until_us = s->suspend_until_us;
    bool answered = false;
    int rc;

    if ( timeout_us < until_us - now_us )
        until_us = now_us + timeout_us;
    rc = libxl_postcopy__shim_answer(&s->line.shim, until_us, &answered);
    *suspended_r = answered && !rc;
    if ( *suspended_r )
        s->result->suspended = true;
    if ( rc )
        return libxl_postcopy__line_fail(
            &s->line, rc, "domain %u: %s", s->params->domid,
            rc == -EIO ? "libxl could not suspend it: does it answer "
                         "control/shutdown in xenstore?"
                       : "lost libxl while it suspended it");
    if ( !answered && libxl_postcopy__now_us() >= s->suspend_until_us )
        return libxl_postcopy__line_fail(
            &s->line, -ETIMEDOUT,
            "domain %u: libxl says nothing, asked to suspend it",
            s->params->domid);
    return 0;
}

static int logdirty(void *ctx, bool on)
{
    struct sender *s = ctx;
    int rc;

    /* complete() has done it, or there is nobody left to tell. */
    if ( s->line.shim.fd < 0 || s->qemu_logs == on ||
         !(s->line.shim.args.cbflags &
           libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_LOGDIRTY)) )
        return 0;
    rc = libxl_postcopy__line_call(&s->line, LIBXL_PC_MSG_LOGDIRTY,
                                   s->params->domid, on);
    if ( !rc )
        s->qemu_logs = on;
    return rc;
}

/* libxl's save has to be over first, whatever it was at. */
static int resume(void *ctx)
{
    struct sender *s = ctx;
    int rc;

    s->reason_known = s->line.why[0] == '\0';
    /* Nobody else would tell the device model, which goes on with its guest. */
    libxl_postcopy__line_await(&s->line);
    if ( !s->line.shim.asked )
        (void)logdirty(s, false);
    rc = libxl_postcopy__line_end(&s->line);
    /* If it stands still all the same, somebody else saves it, or moves it. */
    if ( rc || !s->asked_to_suspend )
        return rc;
    rc = libxl_postcopy__run_ask(&s->line.run, resume_now,
                                 libxl_postcopy__line_deadline(&s->line));
    if ( rc )
        return libxl_postcopy__line_fail(&s->line, rc,
                                         "domain %u: libxl cannot resume it",
                                         s->params->domid);
    return 0;
}

/* ---- libxl's part of the stream ------------------------------------------------------ */

/* libxl writes its records when its helper has done. */
static int complete(struct sender *s, enum libxl_postcopy__turn turn)
{
    bool version2 = turn != LIBXL_PC_TURN_FINAL && s->save.stream_version == 2;
    int rc = logdirty(s, false);

    if ( !rc )
        rc = libxl_postcopy__line_complete(&s->line);
    if ( rc )
        return rc;
    libxl_postcopy__relay_turn(&s->line.relay, turn,
                               version2 ? LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END
                                        : LIBXL_PC_FRAME_END);
    return 0;
}

/* Why libxl's part could not be read. */
static int stream_failed(struct sender *s, int rc)
{
    const struct xc_sr_verify_fault *fault = &s->line.relay.frames.fault;
    int libxl_rc = 0;

    if ( rc != -EPIPE )
        return libxl_postcopy__line_fail(
            &s->line, rc, "domain %u: libxl's own records: %s",
            s->params->domid, fault->why[0] ? fault->why : strerror(-rc));
    /* Its end is closed just before it is known how the call ended. */
    (void)libxl_postcopy__run_wait_returned(
        &s->line.run, libxl_postcopy__line_deadline(&s->line));
    (void)libxl_postcopy__run_has_returned(&s->line.run, &libxl_rc);
    return libxl_postcopy__line_fail(&s->line, rc,
                                     "domain %u: libxl gave up (error %d)",
                                     s->params->domid, libxl_rc);
}

/* More of libxl's records into the relay; -EAGAIN: none yet. */
static int fill(struct sender *s)
{
    int rc = libxl_postcopy__relay_fill(&s->line.relay, s->line.stream_fd);

    return !rc || rc == -EAGAIN ? rc : stream_failed(s, rc);
}

/* The destination has its work now: the time for ours here. */
static void ask_before_commit(struct sender *s)
{
    if ( !s->params->before_commit || s->save.stream_version < 3 )
        return;
    libxl_postcopy__run_post(&s->line.run, before_commit_now);
}

/*
 * Version 2: what is waiting has the last octet in it, which starts the guest
 * there.  A failure of the caller's, who has said why, is not reason enough to
 * keep it: COMMITTED is on the record.
 */
static void ask_before_last_octet(struct sender *s)
{
    uint64_t deadline_us = libxl_postcopy__line_deadline(&s->line);

    if ( !s->params->before_commit || s->save.stream_version >= 3 ||
         s->asked_last )
        return;
    s->asked_last = true;
    libxl_postcopy__run_post(&s->line.run, before_commit_now);
    (void)libxl_postcopy__run_wait_done(&s->line.run, deadline_us);
}

static int read_upper(void *ctx, void *buf, size_t cap, size_t *len_r,
                      bool *done_r)
{
    struct sender *s = ctx;
    const uint8_t *p;
    size_t len;
    int rc = 0;

    if ( !s->line.completed )
        rc = complete(s, LIBXL_PC_TURN_POSTCOPY_3);
    while ( !rc && !s->line.relay.turn_over &&
            !libxl_postcopy__relay_waiting(&s->line.relay, &p) )
        rc = fill(s);
    if ( rc && rc != -EAGAIN )
        return rc;
    if ( s->line.relay.turn_over )
        ask_before_last_octet(s);
    len = libxl_postcopy__relay_waiting(&s->line.relay, &p);
    if ( len > cap )
        len = cap;
    if ( len )
        memcpy(buf, p, len);
    libxl_postcopy__relay_take(&s->line.relay, len);
    *len_r = len;
    *done_r = s->line.relay.turn_over &&
              !libxl_postcopy__relay_waiting(&s->line.relay, &p);
    if ( *done_r )
        ask_before_commit(s);
    return 0;
}

/* Everything of this turn, from libxl to the wire, outside the engine. */
static int relay_turn(struct sender *s)
{
    uint64_t deadline_us = libxl_postcopy__line_deadline(&s->line);
    const uint8_t *p;
    size_t len;
    int rc = 0;

    while ( !rc && !(s->line.relay.turn_over &&
                     !libxl_postcopy__relay_waiting(&s->line.relay, &p)) )
    {
        len = libxl_postcopy__relay_waiting(&s->line.relay, &p);
        if ( len )
        {
            rc = libxl_postcopy__write_exact(
                s->save.send_fd, p, len,
                libxl_postcopy__line_deadline(&s->line));
            if ( rc )
                rc = libxl_postcopy__line_fail(
                    &s->line, rc, "cannot write the stream: %s", strerror(-rc));
            libxl_postcopy__relay_take(&s->line.relay, len);
            continue;
        }
        rc = fill(s);
        if ( rc != -EAGAIN )
            continue;
        rc = libxl_postcopy__line_wait(&s->line, s->line.stream_fd, POLLIN,
                                       deadline_us);
        if ( rc )
            rc = libxl_postcopy__line_fail(&s->line, rc,
                                           "domain %u: libxl says nothing",
                                           s->params->domid);
    }
    return rc;
}

/* ---- The record of ownership --------------------------------------------------------- */

/* libxl's part is over and went well, and the caller agrees.  The record is
 * written anew with each connection; this is asked before the first. */
static int may_commit(struct sender *s)
{
    uint64_t deadline_us = libxl_postcopy__line_deadline(&s->line);
    int libxl_rc = 0, rc;

    if ( s->may_commit )
        return 0;
    rc = libxl_postcopy__run_wait_returned(&s->line.run, deadline_us);
    if ( !rc && libxl_postcopy__run_has_returned(&s->line.run, &libxl_rc) &&
         libxl_rc )
        rc = -EIO;
    if ( rc )
        return libxl_postcopy__line_fail(
            &s->line, rc, "domain %u: libxl's save did not end well (error %d)",
            s->params->domid, libxl_rc);
    if ( s->params->before_commit )
        rc = libxl_postcopy__run_wait_done(&s->line.run, deadline_us);
    s->may_commit = rc == 0;
    return rc;
}

static int put_journal(void *ctx, enum xc_sr_owner owner,
                       const uint8_t session[16], uint64_t epoch)
{
    struct sender *s = ctx;
    const struct xc_sr_journal *journal = &s->params->save.journal;
    /* Version 2 has no COMMIT: libxl's own part is what starts the guest. */
    bool commits =
        owner == XC_SR_OWNER_COMMITTED && s->save.stream_version >= 3;
    int rc = commits ? may_commit(s) : 0;

    if ( !rc && journal->put )
        rc = journal->put(journal->ctx, owner, session, epoch);
    return rc;
}

/* ---- The timeline ----------------------------------------------------------------------- */

static int run_engine(struct sender *s)
{
    const struct xc_sr_xen_source_hooks hooks = {
        .suspend_start = suspend_start,
        .suspend_poll = suspend_poll,
        .resume = resume,
        .logdirty = logdirty,
        .ctx = s,
    };
    int rc = xc_sr_hv_open_xen_source(s->params->domid, &hooks, s->save.log,
                                      &s->save.hv);

    if ( rc )
        return libxl_postcopy__line_fail(
            &s->line, rc, "domain %u: cannot be taken hold of: %s",
            s->params->domid, strerror(-rc));
    s->save.upper = (struct xc_sr_upper_source){ .read = read_upper,
                                                 .ready_fd = s->line.stream_fd,
                                                 .ctx = s };
    s->save.journal = (struct xc_sr_journal){ .put = put_journal, .ctx = s };
    s->save.control = s->line.control;
    s->save.watch = libxl_postcopy__line_watch(&s->line);
    s->ran = true;
    return xc_sr_save(&s->save, &s->result->engine);
}

/* Version 2: libxl's real END stands after the pages. */
static int write_end(struct sender *s)
{
    static const uint8_t end[LIBXL_PC_RECORD_HEADER_LEN];

    return libxl_postcopy__write_exact(s->save.send_fd, end, sizeof(end),
                                       libxl_postcopy__line_deadline(&s->line));
}

static int finish(struct sender *s)
{
    int rc = 0;

    if ( s->result->engine.owner == XC_SR_OWNER_NONE )
    {
        rc = complete(s, LIBXL_PC_TURN_FINAL);
        if ( !rc )
            rc = relay_turn(s);
    }
    else if ( s->save.stream_version == 2 )
        (void)write_end(s); /* nothing depends on it any more */
    return rc;
}

/* The engine did not see to it: nothing was begun, or it was all done. */
static void stay_here(struct sender *s)
{
    s->result->engine.suspended_here = resume(s) != 0;
    s->result->engine.owner = XC_SR_OWNER_RESUMED;
}

static void send_engine(void *ctx)
{
    struct sender *s = ctx;
    struct xc_sr_save_result *engine = &s->result->engine;
    int rc = relay_turn(s);

    if ( !rc )
        rc = libxl_postcopy__line_accept(
            &s->line, false, libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_SUSPEND));
    if ( !rc )
        rc = run_engine(s);
    if ( !rc )
        rc = finish(s);
    if ( rc && (!s->ran || engine->owner == XC_SR_OWNER_NONE) )
        stay_here(s);
    /* A verdict that needed nobody's help may have left libxl where it is. */
    if ( rc )
        (void)libxl_postcopy__line_end(&s->line);
    xc_sr_hv_close(s->save.hv);
    if ( rc && s->line.why[0] && !(s->reason_known && engine->why[0]) )
        snprintf(engine->why, sizeof(engine->why), "%s", s->line.why);
    s->rc = rc;
}

static int check_params(const struct libxl_postcopy_send_params *params)
{
    if ( libxl_postcopy__listen_fd() < 0 || params->save.hv ||
         params->save.upper.read )
        return -EINVAL;
    return 0;
}

static int not_begun(struct sender *s, int rc)
{
    (void)libxl_postcopy__line_fail(
        &s->line, rc, "domain %u: its migration cannot be begun: %s",
        s->params->domid, strerror(-rc));
    snprintf(s->result->engine.why, sizeof(s->result->engine.why), "%s",
             s->line.why);
    return rc;
}

int libxl_postcopy_send(libxl_ctx *ctx,
                        const struct libxl_postcopy_send_params *params,
                        struct libxl_postcopy_send_result *result_r)
{
    struct sender s = {
        .ctx = ctx,
        .params = params,
        .result = result_r,
        .save = params->save,
    };
    int flags = LIBXL_SUSPEND_LIVE | (params->debug ? LIBXL_SUSPEND_DEBUG : 0);
    int rc = check_params(params);

    memset(result_r, 0, sizeof(*result_r));
    result_r->engine.owner = XC_SR_OWNER_RESUMED;
    s.line.domid = params->domid;
    s.line.timeout_us = params->libxl_timeout_us ? params->libxl_timeout_us
                                                 : DEFAULT_TIMEOUT_US;
    if ( !rc )
        rc = libxl_postcopy__line_init(&s.line, params->save.log,
                                       params->save.control,
                                       &params->save.watch);
    if ( rc )
        return not_begun(&s, rc);
    rc = libxl_postcopy__run_start(&s.line.run, send_engine, &s);
    if ( rc )
        (void)not_begun(&s, rc);
    else
    {
        result_r->libxl_rc = libxl_domain_suspend(
            ctx, params->domid, s.line.libxl_end, flags, NULL);
        /* Its end: what the other end still holds is followed by an EOF. */
        close(s.line.libxl_end);
        s.line.libxl_end = -1;
        libxl_postcopy__run_returned(&s.line.run, result_r->libxl_rc);
        libxl_postcopy__run_serve(&s.line.run);
        rc = s.rc;
    }
    libxl_postcopy__line_dispose(&s.line);
    return rc;
}

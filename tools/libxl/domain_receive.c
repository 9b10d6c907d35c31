/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_receive.c: libxl_postcopy_receive(): a guest arrives at this host.
 *
 * The caller's thread is in libxl_domain_create_restore() and then does what
 * the engine asks for (the caller's callbacks, unpausing, destroying); the
 * engine's thread runs receive_engine(), top to bottom.  libxl reads its own
 * records from one end of a socket pair and never sees the guest's memory.
 *
 * libxl builds its device model while the engine already serves pages: one
 * may wait for the other.
 */
#include "domain_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xenpostcopy_xen.h"

#define DEFAULT_TIMEOUT_US UINT64_C(120000000)

struct receiver
{
    libxl_ctx *ctx;
    const struct libxl_postcopy_receive_params *params;
    struct libxl_postcopy_receive_result *result;
    struct libxl_postcopy__line line;
    struct xc_sr_restore_params restore;
    int vifs_rc; /* of the same, to be read when prepared_now() has returned */
    int rc;      /* what receive() returns */
    bool turn_begun;  /* libxl's second part of the stream */
    bool asked_ready; /* prepared_now() was asked for */
    bool asked_unpause;
    bool running; /* it runs here: nothing is destroyed any more */
    bool ended;   /* destroy() was called */
    bool reason_known;
};

/* ---- In the caller's thread -------------------------------------------------------- */

static int prepared_now(void *ctx)
{
    struct receiver *r = ctx;

    if ( !r->result->engine.plain )
        r->vifs_rc = libxl_postcopy__vifs_distrust(r->ctx, r->line.domid);
    if ( r->vifs_rc )
        return r->vifs_rc;
    return r->params->prepared
               ? r->params->prepared(r->params->ctx, r->line.domid)
               : 0;
}

static int unpause_now(void *ctx)
{
    struct receiver *r = ctx;

    return libxl_domain_unpause(r->ctx, r->line.domid, NULL) ? -EIO : 0;
}

static int running_now(void *ctx)
{
    struct receiver *r = ctx;

    r->params->running(r->params->ctx, r->line.domid);
    return 0;
}

/* Gone, or going: then nothing of it runs any more. */
static bool is_gone(struct receiver *r)
{
    libxl_dominfo info;
    bool gone;
    int rc;

    libxl_dominfo_init(&info);
    rc = libxl_domain_info(r->ctx, &info, r->line.domid);
    gone = rc == ERROR_DOMAIN_NOTFOUND || (!rc && info.dying);
    libxl_dominfo_dispose(&info);
    return gone;
}

static int destroy_now(void *ctx)
{
    struct receiver *r = ctx;

    /* A creation that failed has seen to it itself. */
    if ( !is_gone(r) )
        (void)libxl_domain_destroy(r->ctx, r->line.domid, NULL);
    return is_gone(r) ? 0 : -EBUSY;
}

/* ---- The engine's hooks --------------------------------------------------------------- */

static int static_data_done(void *ctx, uint32_t missing)
{
    struct receiver *r = ctx;

    return libxl_postcopy__line_call(&r->line, LIBXL_PC_MSG_STATIC_DATA_DONE,
                                     missing, 0);
}

/* A device model that is told to go on may touch a page that is missing. */
static int unpause(void *ctx, bool leave_paused)
{
    struct receiver *r = ctx;
    int rc = 0;

    if ( leave_paused )
        return 0;
    libxl_postcopy__run_unwake(&r->line.run);
    if ( !r->asked_unpause )
        libxl_postcopy__run_post(&r->line.run, unpause_now);
    r->asked_unpause = !libxl_postcopy__run_is_done(&r->line.run, &rc);
    return r->asked_unpause ? -EALREADY : rc;
}

static void running(void *ctx)
{
    struct receiver *r = ctx;

    r->running = true;
    if ( r->params->running )
        libxl_postcopy__run_post(&r->line.run, running_now);
}

static void limit_lifted(void *ctx, uint64_t limit_pages, uint64_t lifted_pages)
{
    struct receiver *r = ctx;

    if ( r->params->limit_lifted )
        r->params->limit_lifted(r->params->ctx, limit_pages, lifted_pages);
}

/* libxl has come back, and the caller agrees. */
static int prepare(void *ctx, bool *ready_r)
{
    struct receiver *r = ctx;
    int libxl_rc = 0, rc = 0;

    libxl_postcopy__run_unwake(&r->line.run);
    if ( !libxl_postcopy__run_has_returned(&r->line.run, &libxl_rc) )
        return 0;
    if ( libxl_rc )
        return libxl_postcopy__line_fail(
            &r->line, -EIO, "domain %u: libxl could not build it (error %d)",
            r->line.domid, libxl_rc);
    if ( !r->asked_ready )
        libxl_postcopy__run_post(&r->line.run, prepared_now);
    else if ( libxl_postcopy__run_is_done(&r->line.run, &rc) )
        *ready_r = rc == 0;
    r->asked_ready = true;
    if ( rc && rc == r->vifs_rc )
        return libxl_postcopy__line_fail(
            &r->line, rc,
            "domain %u: its network cards cannot be told in xenstore to copy "
            "what they send: %s",
            r->line.domid, strerror(-rc));
    return rc;
}

/* 0 only if nothing of it runs, or ever will. */
static int destroy(void *ctx)
{
    struct receiver *r = ctx;
    int rc;

    r->ended = true;
    r->reason_known = r->line.why[0] == '\0';
    rc = libxl_postcopy__line_end(&r->line);
    if ( !rc && r->line.domid != (uint32_t)INVALID_DOMID )
        rc = libxl_postcopy__run_ask(&r->line.run, destroy_now,
                                     libxl_postcopy__line_deadline(&r->line));
    r->result->not_destroyed = rc != 0;
    if ( rc )
        return libxl_postcopy__line_fail(
            &r->line, rc, "domain %u: libxl cannot destroy it", r->line.domid);
    return 0;
}

/* ---- libxl's part of the stream ------------------------------------------------------- */

static int stream_failed(struct receiver *r, int rc)
{
    const struct xc_sr_verify_fault *fault = &r->line.relay.frames.fault;
    char which[24] = "";

    /* There may be none yet. */
    if ( r->line.domid != (uint32_t)INVALID_DOMID )
        snprintf(which, sizeof(which), "domain %u: ", r->line.domid);
    return libxl_postcopy__line_fail(
        &r->line, rc, "%slibxl's records in the stream: %s", which,
        fault->why[0]      ? fault->why
        : rc == -EPIPE     ? "the sender ended the stream early"
        : rc == -ECANCELED ? "libxl gave up"
                           : strerror(-rc));
}

/* libxl has its guest's memory and state; its own records are next. */
static int complete(struct receiver *r)
{
    uint64_t store_gfn = 0, console_gfn = 0;
    int rc = xc_sr_hv_xen_results(r->restore.hv, &store_gfn, &console_gfn);

    if ( rc )
        return libxl_postcopy__line_fail(
            &r->line, rc, "domain %u: its xenstore and console pages: %s",
            r->line.domid, strerror(-rc));
    rc = libxl_postcopy__line_call(&r->line, LIBXL_PC_MSG_RESTORE_RESULTS,
                                   store_gfn, console_gfn);
    return rc ? rc : libxl_postcopy__line_complete(&r->line);
}

/* The first octet of a turn: which one it is the engine knows. */
static void begin_turn(struct receiver *r)
{
    const struct xc_sr_stats *stats = &r->result->engine.stats;

    r->turn_begun = true;
    if ( stats->transition_us == 0 )
        libxl_postcopy__relay_turn(&r->line.relay, LIBXL_PC_TURN_FINAL,
                                   LIBXL_PC_FRAME_END);
    else
        libxl_postcopy__relay_turn(&r->line.relay,
                                   stats->stream_version == 2
                                       ? LIBXL_PC_TURN_POSTCOPY_2
                                       : LIBXL_PC_TURN_POSTCOPY_3,
                                   LIBXL_PC_FRAME_END);
}

/* Version 2's last END, which stock libxl has had already. */
static int drop_last(size_t len, size_t *used_r, bool *done_r)
{
    *used_r = len;
    *done_r = true;
    return 0;
}

/* libxl takes its time to see its helper off; its records are on their way. */
static int begin_upper(void *ctx)
{
    struct receiver *r = ctx;

    begin_turn(r);
    /* A plain stream is over before libxl is told. */
    return r->result->engine.stats.transition_us ? complete(r) : 0;
}

static int write_upper(void *ctx, const void *buf, size_t len, size_t *used_r,
                       bool *done_r)
{
    struct receiver *r = ctx;
    int rc;

    if ( r->turn_begun && r->line.relay.turn_over )
        return drop_last(len, used_r, done_r);
    /* After a plain stream: what was read along with its END. */
    if ( !r->turn_begun )
        begin_turn(r);
    rc = libxl_postcopy__relay_put(&r->line.relay, buf, len, used_r);
    if ( !rc && r->line.completed )
        rc = libxl_postcopy__line_flush(&r->line);
    if ( rc )
        return stream_failed(r, rc);
    *done_r = r->line.relay.turn_over;
    return 0;
}

/* From the wire to libxl outside the engine: exactly what is libxl's. */
static int relay_turn(struct receiver *r)
{
    uint64_t deadline_us = libxl_postcopy__line_deadline(&r->line);
    const uint8_t *p;
    size_t want;
    int rc = 0;

    while ( !rc && (want = libxl_postcopy__relay_want(&r->line.relay)) > 0 )
    {
        uint8_t buf[16384];
        size_t used;

        if ( want > sizeof(buf) )
            want = sizeof(buf);
        rc = libxl_postcopy__read_exact(r->restore.recv_fd, buf, want,
                                        r->line.run.wake_fd, deadline_us);
        if ( !rc )
            rc = libxl_postcopy__relay_put(&r->line.relay, buf, want, &used);
    }
    while ( !rc && libxl_postcopy__relay_waiting(&r->line.relay, &p) )
    {
        rc = libxl_postcopy__relay_flush(&r->line.relay, r->line.stream_fd);
        if ( rc == -EAGAIN )
            rc = libxl_postcopy__line_wait(&r->line, r->line.stream_fd, POLLOUT,
                                           deadline_us);
    }
    return rc ? stream_failed(r, rc) : 0;
}

/* ---- The timeline ------------------------------------------------------------------------ */

static int open_hv(struct receiver *r)
{
    const struct libxl_postcopy__helper_args *args = &r->line.shim.args;
    const struct xc_sr_xen_destination_params dest = {
        .store_evtchn = args->store_evtchn,
        .store_domid = args->store_domid,
        .console_evtchn = args->console_evtchn,
        .console_domid = args->console_domid,
        .static_data_done = static_data_done,
        .unpause = unpause,
        .limit_lifted = limit_lifted,
        .ctx = r,
    };
    int rc = xc_sr_hv_open_xen_destination(args->domid, &dest, r->restore.log,
                                           &r->restore.hv);

    if ( rc )
        return libxl_postcopy__line_fail(
            &r->line, rc, "domain %u: cannot be taken hold of: %s",
            r->line.domid, strerror(-rc));
    return 0;
}

static int run_engine(struct receiver *r)
{
    int rc = open_hv(r);

    if ( rc )
        return rc;
    r->restore.upper = (struct xc_sr_upper_sink){ .write = write_upper,
                                                  .ctx = r,
                                                  .begin = begin_upper };
    r->restore.prepare = prepare;
    r->restore.prepare_fd = r->line.run.wake_fd;
    r->restore.running = running;
    r->restore.destroy = destroy;
    r->restore.ctx = r;
    r->restore.control = r->line.control;
    r->restore.watch = libxl_postcopy__line_watch(&r->line);
    return xc_sr_restore(&r->restore, &r->result->engine);
}

/* A stock stream: the guest is whole, libxl's part follows. */
static int finish_plain(struct receiver *r)
{
    int libxl_rc = 0;
    int rc = complete(r);

    if ( rc )
        return rc;
    if ( !r->turn_begun )
        begin_turn(r);
    rc = relay_turn(r);
    if ( !rc )
        rc = libxl_postcopy__run_wait_returned(
            &r->line.run, libxl_postcopy__line_deadline(&r->line));
    if ( !rc && libxl_postcopy__run_has_returned(&r->line.run, &libxl_rc) &&
         libxl_rc )
        rc = -EIO;
    if ( rc )
        return libxl_postcopy__line_fail(
            &r->line, rc, "domain %u: libxl could not build it (error %d)",
            r->line.domid, libxl_rc);
    if ( r->params->prepared )
        rc = libxl_postcopy__run_ask(&r->line.run, prepared_now,
                                     libxl_postcopy__line_deadline(&r->line));
    return rc;
}

/* Version 2: libxl's END may still be on its way; it is nobody's. */
static void take_last(struct receiver *r)
{
    uint8_t end[LIBXL_PC_RECORD_HEADER_LEN];

    if ( r->result->engine.stats.stream_version == 2 )
        (void)libxl_postcopy__read_exact(r->restore.recv_fd, end, sizeof(end),
                                         -1,
                                         libxl_postcopy__now_us() + 1000000);
}

static int begin(struct receiver *r)
{
    int rc = relay_turn(r);

    if ( !rc )
        rc = libxl_postcopy__line_accept(
            &r->line, true,
            libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_STATIC_DATA_DONE) |
                libxl_postcopy__msg_cbflag(LIBXL_PC_MSG_RESTORE_RESULTS));
    if ( rc )
        return rc;
    r->result->domid = r->line.domid;
    if ( r->params->created )
        r->params->created(r->params->ctx, r->line.domid);
    return 0;
}

static void receive_engine(void *ctx)
{
    struct receiver *r = ctx;
    struct xc_sr_restore_result *engine = &r->result->engine;
    int rc = begin(r);

    if ( !rc )
        rc = run_engine(r);
    if ( !rc && engine->plain )
        rc = finish_plain(r);
    else if ( !rc )
        take_last(r);
    if ( rc && !r->running && !r->ended && engine->owner != XC_SR_OWNER_OWNER )
        (void)destroy(r);
    xc_sr_hv_close(r->restore.hv);
    if ( rc && r->line.why[0] && !(r->reason_known && engine->why[0]) )
        snprintf(engine->why, sizeof(engine->why), "%s", r->line.why);
    r->rc = rc;
}

static int check_params(const struct libxl_postcopy_receive_params *params)
{
    const struct xc_sr_restore_params *restore = &params->restore;

    if ( libxl_postcopy__listen_fd() < 0 || !params->config || restore->hv ||
         restore->upper.write || restore->prepare || restore->running ||
         restore->destroy )
        return -EINVAL;
    return 0;
}

/* libxl's long call. */
static void create(struct receiver *r)
{
    libxl_domain_restore_params how;
    uint32_t domid = INVALID_DOMID;

    libxl_domain_restore_params_init(&how);
    how.checkpointed_stream = LIBXL_CHECKPOINTED_STREAM_NONE;
    how.stream_version = 2; /* libxl's: its default is the legacy converter */
    r->result->libxl_rc =
        libxl_domain_create_restore(r->ctx, r->params->config, &domid,
                                    r->line.libxl_end, -1, &how, NULL, NULL);
    libxl_domain_restore_params_dispose(&how);
    close(r->line.libxl_end);
    r->line.libxl_end = -1;
    libxl_postcopy__run_returned(&r->line.run, r->result->libxl_rc);
}

/* Not worth a failure: they go on copying until they next connect. */
static void trust_again(struct receiver *r)
{
    const struct xc_sr_log *log = r->restore.log;
    int rc = 0;

    if ( r->result->engine.owner == XC_SR_OWNER_FINISHED )
        rc = libxl_postcopy__vifs_trust(r->line.domid);
    if ( rc && log && log->write && log->max_level >= XC_SR_LOG_INFO )
        log->write(log->ctx, XC_SR_LOG_INFO,
                   "network cards of the guest may go on copying what they "
                   "send: xenstore cannot be read or written");
}

static int not_begun(struct receiver *r, int rc)
{
    (void)libxl_postcopy__line_fail(
        &r->line, rc, "a guest cannot be received: %s", strerror(-rc));
    snprintf(r->result->engine.why, sizeof(r->result->engine.why), "%s",
             r->line.why);
    return rc;
}

int libxl_postcopy_receive(libxl_ctx *ctx,
                           const struct libxl_postcopy_receive_params *params,
                           struct libxl_postcopy_receive_result *result_r)
{
    struct receiver r = {
        .ctx = ctx,
        .params = params,
        .result = result_r,
        .restore = params->restore,
    };
    int rc = check_params(params);

    memset(result_r, 0, sizeof(*result_r));
    result_r->domid = INVALID_DOMID;
    r.line.domid = INVALID_DOMID;
    r.line.timeout_us = params->libxl_timeout_us ? params->libxl_timeout_us
                                                 : DEFAULT_TIMEOUT_US;
    if ( !rc )
        rc = libxl_postcopy__line_init(&r.line, params->restore.log,
                                       params->restore.control,
                                       &params->restore.watch);
    if ( rc )
        return not_begun(&r, rc);
    rc = libxl_postcopy__run_start(&r.line.run, receive_engine, &r);
    if ( rc )
        (void)not_begun(&r, rc);
    else
    {
        create(&r);
        libxl_postcopy__run_serve(&r.line.run);
        rc = r.rc;
        trust_again(&r);
    }
    if ( rc && !result_r->engine.ran && !result_r->not_destroyed &&
         result_r->engine.owner != XC_SR_OWNER_OWNER )
        result_r->domid = INVALID_DOMID;
    libxl_postcopy__line_dispose(&r.line);
    return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_takeover.c: a guest of Xen runs here with pages missing, and the
 * receiver that brought them is dead.  Called by `migrate-receive --recover`
 * (xl_recover_receive.c), which has a new connection to the source: this
 * process becomes the receiver.
 *
 * The guest stands still from when paging is taken over until the source has
 * answered.  While paging is off a touch of a missing page from outside would
 * kill it, so its device model is stopped meanwhile; back ends in the kernel
 * cannot be.
 */
#include "xl_xen_receive.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "domain_vifs.h"
#include "xenpostcopy_xen.h"

/* A device model in the middle of a system call stops when that is done. */
#define HOLD_TIMEOUT_US  UINT64_C(2000000)
#define STORE_TIMEOUT_US UINT64_C(2000000)

struct takeover
{
    struct xl_xen_receiver *r;
    const struct xl_recover_stand_in *how;
    struct xc_sr_record_of from;
    struct xc_sr_recovery recovery; /* what is done about losses besides */
    bool incoming;                  /* it may not have run yet */
    bool paused;                    /* by the one who is dead */
    pid_t held;                     /* its device model; 0: none */
};

/* ---- Its device model ------------------------------------------------------------ */

/* 0: it has none.  A xenstored that does not answer is no reason to go on
 * without it: it would touch pages while there is no paging. */
static int find_device_model(struct xl_xen_store *store, uint32_t domid,
                             pid_t *pid_r)
{
    char path[80], text[24] = "";
    uint64_t pid = 0;
    int rc;

    snprintf(path, sizeof(path), "/local/domain/%u/image/device-model-pid",
             domid);
    rc = xl_xen_store_get(store, path, text, sizeof(text), STORE_TIMEOUT_US);
    if ( rc && rc != -ENOENT )
        return rc;
    if ( rc || xl_parse_u64(text, 1, INT32_MAX, &pid) )
        pid = 0;
    *pid_r = (pid_t)pid;
    return 0;
}

/* Gone counts, too. */
static bool is_stopped(pid_t pid)
{
    char path[40], text[128] = "";
    const char *state;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if ( fd < 0 )
        return true;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    /* "PID (NAME) STATE": a name may have anything in it. */
    state = len > 0 ? strrchr(text, ')') : NULL;
    return !state || (state[1] && strchr("TtZX", state[2]));
}

static int hold(struct takeover *t)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    uint64_t deadline_us = xl_now_us() + HOLD_TIMEOUT_US;
    int rc = find_device_model(t->r->record.store, t->r->domid, &t->held);

    if ( rc )
    {
        xl_error("`%s`: cannot find its device model in xenstore: %s",
                 t->r->name, strerror(-rc));
        return rc;
    }
    if ( t->held && kill(t->held, SIGSTOP) )
        t->held = 0;
    while ( t->held && !is_stopped(t->held) && xl_now_us() < deadline_us )
        (void)nanosleep(&pause, NULL);
    return 0;
}

static void release(struct takeover *t)
{
    if ( t->held )
        (void)kill(t->held, SIGCONT);
    t->held = 0;
}

/* ---- What is there ----------------------------------------------------------------- */

/*
 * A copy that is suspended is the source's, on this very host.  wanted: the one
 * to be found if it is there, 0: any.  -ESRCH: there is none; -EIO: nobody can
 * tell.
 */
static int find_domain(libxl_ctx *ctx, const char *uuid, uint32_t wanted,
                       uint32_t *domid_r, bool *paused_r)
{
    uint32_t domid = INVALID_DOMID;
    int i, nr = 0;
    libxl_dominfo *list = libxl_list_domain(ctx, &nr);

    if ( !list )
        return -EIO;
    for ( i = 0; i < nr; i++ )
    {
        char text[XL_XEN_UUID_LEN];

        xl_xen_uuid_text(&list[i].uuid, text);
        if ( list[i].dying || list[i].shutdown || strcmp(text, uuid) ||
             (wanted && domid == wanted) )
            continue;
        domid = list[i].domid;
        *paused_r = list[i].paused;
    }
    libxl_dominfo_list_free(list, nr);
    if ( domid == (uint32_t)INVALID_DOMID )
        return -ESRCH;
    *domid_r = domid;
    return 0;
}

static bool is_incoming(const char *name)
{
    const size_t suffix = strlen(XL_XEN_SUFFIX_INCOMING);
    size_t len = strlen(name);

    return len > suffix && !strcmp(name + len - suffix, XL_XEN_SUFFIX_INCOMING);
}

bool xl_xen_has_started_anew(libxl_ctx *ctx, const char *uuid, uint32_t domid)
{
    uint32_t now = INVALID_DOMID;
    bool paused, anew;
    char *name;

    if ( !domid || find_domain(ctx, uuid, domid, &now, &paused) ||
         now == domid )
        return false;
    /* Half-built, it is nobody's guest yet. */
    name = libxl_domid_to_name(ctx, now);
    anew = name && name[0] && !is_incoming(name);
    free(name);
    return anew;
}

/* NAME, or NAME--incoming if it was given its name no more. */
static bool take_name(struct xl_xen_receiver *r, const char *name)
{
    const size_t suffix = strlen(XL_XEN_SUFFIX_INCOMING);
    size_t len = strlen(name);
    bool incoming = is_incoming(name);

    snprintf(r->name, sizeof(r->name), "%.*s",
             (int)(incoming ? len - suffix : len), name);
    snprintf(r->incoming, sizeof(r->incoming), "%s%s", r->name,
             XL_XEN_SUFFIX_INCOMING);
    return incoming;
}

static int look(struct takeover *t, const char *uuid)
{
    struct xl_xen_receiver *r = t->r;
    uint32_t recorded = t->how->record->domid;
    bool paused = false;
    char *name;
    int rc;

    xl_xen_complaint_reset();
    rc = find_domain(r->ctx, uuid, recorded, &r->domid, &paused);
    if ( !rc && recorded && r->domid != recorded )
    {
        xl_error(
            "the guest of %s has ended here: domain %u is gone, and domain "
            "%u was started in its place",
            uuid, recorded, r->domid);
        return -ESRCH;
    }
    name = rc ? NULL : libxl_domid_to_name(r->ctx, r->domid);
    if ( !rc && !name )
        rc = -EIO;
    if ( rc == -ESRCH )
        xl_error("the guest of %s does not run here any more", uuid);
    else if ( rc )
        xl_error("cannot look for the guest of %s: %s", uuid,
                 xl_xen_complaint());
    if ( rc )
        return rc;
    t->incoming = take_name(r, name);
    t->paused = paused && (t->incoming || t->how->record->paused);
    free(name);
    return 0;
}

/* ---- Its place ---------------------------------------------------------------------- */

/*
 * The guest is about to be paused, and Xen counts pauses.  Whoever comes after
 * us, should we not get to the end of that, goes by this, and ends ours.
 */
static int record_pause(struct takeover *t)
{
    struct xl_xen_record *record = &t->r->record;
    int rc;

    record->journal.paused = true;
    rc = xl_xen_record_put(record, record->owner, record->session,
                           record->epoch);
    if ( rc )
        xl_error("`%s`: that it is paused now cannot be recorded: %s",
                 t->r->name, strerror(-rc));
    return rc;
}

static void publish_phase(struct takeover *t)
{
    xl_xen_store_set(t->r->record.store, "phase", "%s",
                     xc_sr_phase_name(XC_SR_PHASE_DISCONNECTED));
}

static int take_hold(struct takeover *t, const char *uuid)
{
    const struct xl_journal_record *record = t->how->record;
    struct xl_xen_receiver *r = t->r;
    int rc = xl_xen_record_open(&r->record, uuid, r->name, false);

    if ( rc )
        return rc;
    r->record.journal.domid = r->domid;
    r->args.no_monitor = r->args.no_monitor || record->no_monitor;
    r->record.journal.no_monitor = r->args.no_monitor;
    r->record.journal.limit_pages = record->limit_pages;
    r->record.journal.lifted_pages = record->lifted_pages;
    r->record.owner = record->owner;
    memcpy(r->record.session, record->session, sizeof(r->record.session));
    r->record.epoch = record->epoch;
    xl_xen_store_set(r->record.store, "domid", "%u", r->domid);
    publish_phase(t);
    r->arrival.name = r->name;
    xl_arrival_note_record(&r->arrival, record->owner, record->session,
                           record->epoch);
    rc = xc_sr_control_new(&r->arrival.control);
    if ( !rc )
        rc = xl_arrival_open(&r->arrival, xl_xen_place(false), r->record.uuid);
    if ( rc )
        xl_error("cannot take requests: %s", strerror(-rc));
    return rc;
}

/* As when it began to run here, as far as its receiver did not come to it. */
static void name_it(struct takeover *t)
{
    struct xl_xen_receiver *r = t->r;

    xl_xen_receiver_allow_saving(r, false);
    if ( t->incoming && xl_xen_rename(r->ctx, r->domid, r->incoming, r->name) )
        xl_error("`%s` runs here, but under the name %s (%s)", r->name,
                 r->incoming, xl_xen_complaint());
    if ( !r->args.no_monitor && !xl_xen_is_watched(r->domid) )
        (void)xl_xen_start_monitor(r->domid);
}

static void on_lost(void *ctx, const char *why)
{
    struct takeover *t = ctx;

    release(t);
    t->recovery.lost(t->recovery.ctx, why);
}

static void on_recovered(void *ctx)
{
    struct takeover *t = ctx;

    release(t);
    t->recovery.recovered(t->recovery.ctx);
}

static int run(struct takeover *t, struct xc_sr_hv *hv)
{
    struct xl_xen_receiver *r = t->r;
    struct xc_sr_restore_params params = {
        .hv = hv,
        .recv_fd = r->arrival.recv_fd,
        .send_fd = r->arrival.send_fd,
        .journal = { .put = xl_xen_receiver_put_record, .ctx = r },
        .log = &r->log,
        .from = &t->from,
    };
    int rc;

    xl_arrival_fill_params(&r->arrival, &params);
    params.progress = xl_xen_receiver_on_progress;
    params.progress_ctx = r;
    t->recovery = params.recovery;
    params.recovery.lost = on_lost;
    params.recovery.recovered = on_recovered;
    params.recovery.ctx = t;
    xl_xen_receiver_brace();
    rc = hold(t);
    if ( !rc )
        rc = record_pause(t);
    if ( !rc )
        rc = xc_sr_restore(&params, &r->result.engine);
    release(t);
    return rc;
}

/* *began_r: the source has heard of us, the outcome is the engine's. */
static int serve(struct takeover *t, bool *began_r)
{
    struct xl_xen_receiver *r = t->r;
    const struct xc_sr_xen_destination_params dest = {
        .take_over = true,
        .is_paused = t->paused,
        .limit_lifted = xl_xen_receiver_on_limit_lifted,
        .limit_pages = t->how->record->limit_pages,
        .lifted_pages = t->how->record->lifted_pages,
        .ctx = r,
    };
    struct xc_sr_hv *hv = NULL;
    int rc = xc_sr_hv_open_xen_destination(r->domid, &dest, &r->log, &hv);

    if ( rc )
        return rc;
    name_it(t);
    xl_note("`%s`: its receiver is gone; this process takes its place",
            r->name);
    rc = run(t, hv);
    xc_sr_hv_close(hv);
    /* The dead one would have done it. */
    if ( r->result.engine.owner == XC_SR_OWNER_FINISHED &&
         libxl_postcopy__vifs_trust(r->domid) )
        xl_note("network cards of `%s` may go on copying what they send: "
                "xenstore cannot be read or written",
                r->name);
    *began_r = r->result.engine.stats.bytes_back > 0;
    return rc;
}

/* To be called lost is for good: not because a call of Xen's was busy. */
bool xl_xen_is_lost_by(int rc)
{
    return rc == -ESRCH || rc == -EOPNOTSUPP || rc == -ENODEV;
}

/* Nothing is settled by that: the record stays, and who asks again. */
static int put_off(struct takeover *t, const char *uuid, int rc)
{
    const char *name = t->r->name;

    xl_error("`%s`: this process cannot take its receiver's place now (%s); "
             "`xl migrate-recover` at its source tries again",
             name[0] ? name : uuid, strerror(-rc));
    if ( t->r->record.store )
        publish_phase(t);
    return XL_EXIT_FAILED;
}

int xl_xen_take_over(struct xl_xen_receiver *r, const char *uuid,
                     const struct xl_recover_stand_in *how, bool *ok_said_r,
                     int *status_r)
{
    struct takeover t = {
        .r = r,
        .how = how,
        .from = { .owner = how->record->owner, .epoch = how->record->epoch },
    };
    bool began = false;
    int rc = look(&t, uuid);

    memcpy(t.from.session, how->record->session, sizeof(t.from.session));
    if ( !rc )
        rc = take_hold(&t, uuid);
    if ( !rc )
        rc = xl_recover_say_ok(how->send_fd, how->deadline_us);
    *ok_said_r = !rc;
    if ( rc == -EBUSY )
        return rc;
    if ( !rc )
        rc = serve(&t, &began);
    if ( rc && !began && !xl_xen_is_lost_by(rc) )
    {
        *status_r = put_off(&t, uuid, rc);
        return 0;
    }
    if ( rc && !began )
        return rc;
    *status_r = xl_xen_receiver_finish(r, rc);
    xl_link_end(&r->arrival.link,
                *status_r == XL_EXIT_DONE ? "done" : "parked");
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_receive.c: `xl migrate-receive --postcopy`, the other end of
 * xl_xen_migrate.c, started by it through ssh.
 *
 * Standard input and output are the channel; messages go to stderr, which is
 * the sender's terminal.  Reads what stands before libxl's header and creates
 * NAME--incoming by libxlpostcopy, which fills it and decides whether it runs.
 * From then on the guest depends on this process: it brings the missing pages
 * in.  So it outlives ssh, keeps its memory where it is, and sees to it that
 * nobody saves the guest before it is whole.
 */
#include "xl_xen_receive.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "xl_signals.h"
#include "xl_transport.h"

#define COURTESY_TIMEOUT_US UINT64_C(5000000)
/* All pages are here, and this process has nothing else to do. */
#define ALLOW_TIMEOUT_US    UINT64_C(60000000)
/* A receiver that gives up destroys its guest. */
#define GIVE_WAY_US         UINT64_C(20000000)
/* An event channel that no guest has: who wants to suspend it through that
 * one, as every stock save does, is told at once that it is not there. */
#define NO_SUCH_CHANNEL     "1000000"

/* ---- What stands before libxl's header -------------------------------------------- */

static int read_opening(struct xl_xen_receiver *r)
{
    uint64_t deadline_us = xl_now_us() + r->timeout_us;
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    int rc = 0;

    libxl_postcopy__frames_init(&r->frames, LIBXL_PC_START_XL);
    while ( !rc && ev != LIBXL_PC_EV_XL_HEADER )
        rc = xl_read_frames(r->arrival.recv_fd, &r->frames, deadline_us,
                            r->arrival.signal_fd, &ev);
    if ( !rc )
        rc = xl_xen_config_parse(r->ctx, r->frames.xl.config,
                                 r->frames.xl.config_len, &r->config);
    if ( rc )
        return rc;
    snprintf(r->name, sizeof(r->name), "%s", r->config.c_info.name);
    snprintf(r->incoming, sizeof(r->incoming), "%s%s", r->name,
             XL_XEN_SUFFIX_INCOMING);
    free(r->config.c_info.name);
    r->config.c_info.name = strdup(r->incoming);
    return r->config.c_info.name ? 0 : -ENOMEM;
}

/* ---- Room for it -------------------------------------------------------------------- */

/* As xl_xen_uuid_of_name(), after a line. */
static int who_has_name(struct xl_xen_receiver *r, const char *name,
                        char uuid_r[XL_XEN_UUID_LEN], uint32_t *domid_r)
{
    int rc;

    xl_xen_complaint_reset();
    rc = xl_xen_uuid_of_name(r->ctx, name, uuid_r, domid_r);
    if ( rc )
        xl_error("cannot find out whether `%s` is in use here: %s", name,
                 xl_xen_complaint());
    return rc;
}

/* The name may be taken by the very guest, which comes from this host. */
static int check_name(struct xl_xen_receiver *r)
{
    char uuid[XL_XEN_UUID_LEN];
    uint32_t domid;
    int rc = who_has_name(r, r->name, uuid, &domid);

    if ( rc || !uuid[0] || !strcmp(uuid, r->record.uuid) )
        return rc;
    xl_error("there is a domain `%s` here already (%u), which is another "
             "guest",
             r->name, domid);
    return -EEXIST;
}

/* The name it has until it runs is its own, or left of it and of no use. */
static int check_incoming(struct xl_xen_receiver *r)
{
    char uuid[XL_XEN_UUID_LEN];
    uint32_t domid;
    int rc = who_has_name(r, r->incoming, uuid, &domid);

    if ( rc || !uuid[0] )
        return rc;
    if ( strcmp(uuid, r->record.uuid) )
    {
        xl_error("`%s` is in use here: another guest of that name arrives",
                 r->incoming);
        return -EBUSY;
    }
    if ( xl_xen_pages_missing(uuid, domid) &&
         xl_xen_record_fence(&r->record, domid) )
    {
        xl_error("`%s`, domain %u, is left of a migration that has been "
                 "promised something; `xl migrate-status %s` tells more",
                 r->incoming, domid, r->incoming);
        return -EBUSY;
    }
    return 0;
}

/* What an attempt left behind goes: whoever made it holds no record any more,
 * and with xl's lock nobody is creating a domain. */
static int clear_stale(struct xl_xen_receiver *r)
{
    unsigned int removed = 0;
    int rc = xl_xen_remove_half_built(r->ctx, r->record.uuid, &removed);

    if ( rc )
        xl_error("what an earlier attempt has left of `%s` here cannot be "
                 "removed: %s",
                 r->name, xl_xen_complaint());
    else if ( removed )
        xl_note("removed what an earlier attempt had left of `%s` here",
                r->name);
    return rc;
}

/* A receiver that only waits for a source which comes again gives up. */
static int take_record(struct xl_xen_receiver *r, const char *uuid,
                       uint64_t room_deadline_us)
{
    const struct timespec pause = { .tv_nsec = 50000000 };
    uint64_t deadline_us = xl_now_us() + GIVE_WAY_US;
    char answer[XL_CONTROL_ANSWER_MAX] = "";
    int rc = xl_xen_record_open(&r->record, uuid, r->name, false);

    if ( rc != -EBUSY ||
         xl_control_ask(xl_xen_place(false), uuid, "give-way", answer,
                        sizeof(answer)) ||
         strcmp(answer, "ok") )
        return rc;
    if ( deadline_us > room_deadline_us )
        deadline_us = room_deadline_us;
    while ( rc == -EBUSY && xl_now_us() < deadline_us )
    {
        (void)nanosleep(&pause, NULL);
        xl_xen_record_close(&r->record);
        rc = xl_xen_record_open(&r->record, uuid, r->name, false);
    }
    return rc;
}

/* Somebody else may be creating a large domain, and dom0 give memory back
 * slowly; the sender waits as long as --timeout says. */
static int make_room(struct xl_xen_receiver *r)
{
    uint64_t deadline_us = xl_xen_room_deadline_us(r->timeout_us);
    char uuid[XL_XEN_UUID_LEN];
    int rc;

    xl_xen_uuid_text(&r->config.c_info.uuid, uuid);
    rc = take_record(r, uuid, deadline_us);
    if ( rc == -EBUSY )
        xl_error("another migration of `%s` to this host is under way",
                 r->name);
    r->arrival.name = r->name;
    r->record.journal.no_monitor = r->args.no_monitor;
    if ( !rc )
        rc = xl_xen_record_try(&r->record);
    if ( !rc )
    {
        rc = xl_arrival_open(&r->arrival, xl_xen_place(false), uuid);
        if ( rc )
            xl_error("cannot take requests: %s", strerror(-rc));
    }
    if ( !rc )
        rc = check_name(r);
    if ( !rc )
        rc = check_incoming(r);
    if ( !rc )
        rc = xl_xen_lock(deadline_us, &r->lock_fd);
    if ( !rc )
        rc = clear_stale(r);
    if ( !rc )
        rc = xl_xen_free_memory(r->ctx, &r->config, deadline_us);
    return rc;
}

static void unlock(struct xl_xen_receiver *r)
{
    if ( r->lock_fd >= 0 )
        close(r->lock_fd);
    r->lock_fd = -1;
}

/* ---- While it arrives ------------------------------------------------------------------ */

void xl_xen_receiver_allow_saving(struct xl_xen_receiver *r, bool allow)
{
    char path[80];

    if ( r->domid == (uint32_t)INVALID_DOMID )
        return;
    snprintf(path, sizeof(path),
             "/local/domain/%u/device/suspend/event-channel", r->domid);
    xl_xen_store_set(r->record.store, path, "%s", allow ? "" : NO_SUCH_CHANNEL);
    /* Nobody comes after us who would do it. */
    if ( allow && xl_xen_store_flush(r->record.store, ALLOW_TIMEOUT_US) )
        xl_error("xenstored does not take that `%s` may be saved and migrated "
                 "again: `xenstore-write %s ''` says so",
                 r->name, path);
}

static void on_created(void *ctx, uint32_t domid)
{
    struct xl_xen_receiver *r = ctx;

    r->domid = domid;
    r->record.journal.domid = domid;
    xl_xen_store_set(r->record.store, "domid", "%u", domid);
}

/* Nobody may find it running and save it before all of it is there. */
static int on_prepared(void *ctx, uint32_t domid)
{
    struct xl_xen_receiver *r = ctx;

    (void)domid;
    unlock(r);
    if ( !r->result.engine.plain )
        xl_xen_receiver_allow_saving(r, false);
    return check_name(r);
}

/* Nothing that the host runs short of may stop the pages from coming in. */
static void harden(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if ( fd < 0 || write(fd, "-1000", 5) != 5 )
        xl_note("the out-of-memory killer may choose this process: %s",
                strerror(errno));
    if ( fd >= 0 )
        close(fd);
    if ( mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) )
        xl_note("this process may be swapped out: %s", strerror(errno));
}

void xl_xen_receiver_brace(void)
{
    xl_output_never_waits();
    harden();
}

static void start_monitor(const struct xl_xen_receiver *r)
{
    if ( !r->args.no_monitor )
        (void)xl_xen_start_monitor(r->domid);
}

static void on_running(void *ctx, uint32_t domid)
{
    struct xl_xen_receiver *r = ctx;

    r->domid = domid;
    xl_xen_receiver_brace();
    if ( xl_xen_rename(r->ctx, domid, r->incoming, r->name) )
        xl_error("`%s` runs here, but under the name %s (%s)", r->name,
                 r->incoming, xl_xen_complaint());
    libxl_ctx_free(r->ctx);
    r->ctx = NULL;
    start_monitor(r);
}

int xl_xen_receiver_put_record(void *ctx, enum xc_sr_owner owner,
                               const uint8_t session[16], uint64_t epoch)
{
    struct xl_xen_receiver *r = ctx;
    int rc = xl_xen_record_put(&r->record, owner, session, epoch);

    if ( !rc )
        xl_arrival_note_record(&r->arrival, owner, session, epoch);
    return rc;
}

static void put_again(struct xl_xen_receiver *r, const char *what)
{
    struct xl_xen_record *record = &r->record;
    int rc = record->put ? xl_xen_record_put(record, record->owner,
                                             record->session, record->epoch)
                         : 0;

    if ( rc )
        xl_note("%s cannot be recorded: %s; should this process die, nobody "
                "knows of it",
                what, strerror(-rc));
}

/* Xen counts pauses, and does not say whose they are. */
static void note_pause(struct xl_xen_receiver *r, enum xc_sr_phase phase)
{
    struct xl_xen_record *record = &r->record;
    bool paused = record->journal.paused;

    if ( phase == XC_SR_PHASE_DISCONNECTED &&
         record->owner == XC_SR_OWNER_OWNER )
        paused = paused || r->arrival.pause_on_loss;
    else if ( phase == XC_SR_PHASE_POSTCOPY || phase == XC_SR_PHASE_DONE )
        paused = false;
    if ( paused == record->journal.paused )
        return;
    record->journal.paused = paused;
    put_again(r, paused ? "that the guest is paused for its connection"
                        : "that the guest is not paused any more");
}

void xl_xen_receiver_on_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_xen_receiver *r = ctx;

    note_pause(r, p->phase);
    xl_arrival_on_progress(&r->arrival, p);
    xl_xen_record_progress(&r->record, p);
}

/* On the record before it is so: who takes this process's place ends it. */
void xl_xen_receiver_on_limit_lifted(void *ctx, uint64_t limit_pages,
                                     uint64_t lifted_pages)
{
    struct xl_xen_receiver *r = ctx;
    struct xl_xen_record *record = &r->record;

    record->journal.limit_pages = limit_pages;
    record->journal.lifted_pages = lifted_pages;
    put_again(r, "that the limit of the guest's memory is lifted");
}

static int run(struct xl_xen_receiver *r)
{
    struct libxl_postcopy_receive_params params = {
        .config = &r->config,
        .restore = {
            .recv_fd = r->arrival.recv_fd,
            .send_fd = r->arrival.send_fd,
            .leave_paused = r->args.paused,
            .journal = { .put = xl_xen_receiver_put_record, .ctx = r },
            .log = &r->log,
        },
        .created = on_created,
        .prepared = on_prepared,
        .running = on_running,
        .limit_lifted = xl_xen_receiver_on_limit_lifted,
        .ctx = r,
    };

    xl_arrival_fill_params(&r->arrival, &params.restore);
    params.restore.progress = xl_xen_receiver_on_progress;
    params.restore.progress_ctx = r;
    if ( r->args.timeout_s )
    {
        params.restore.commit_timeout_us = r->timeout_us;
        /* The sender may wait that long for its guest, and then tell us. */
        params.restore.stall_timeout_us = 2 * r->timeout_us;
    }
    xl_xen_complaint_reset();
    return libxl_postcopy_receive(r->ctx, &params, &r->result);
}

/* ---- A stream of stock Xen: stock xl's handshake ------------------------------------------ */

static int start_guest(struct xl_xen_receiver *r)
{
    int rc = xl_xen_rename(r->ctx, r->domid, r->incoming, r->name);

    if ( !rc && !r->args.paused &&
         libxl_domain_unpause(r->ctx, r->domid, NULL) )
        rc = -EIO;
    if ( rc )
        xl_error("cannot start `%s` here: %s", r->name,
                 rc == -EEXIST ? "its name is in use" : xl_xen_complaint());
    return rc;
}

static int finish_plain(struct xl_xen_receiver *r)
{
    int rc = xl_ask_permission(r->arrival.send_fd, r->arrival.recv_fd, r->name,
                               r->timeout_us, r->arrival.signal_fd);
    bool permitted = !rc, gone;

    if ( permitted )
    {
        rc = start_guest(r);
        xl_report_start(r->arrival.send_fd, r->name, rc ? 1 : 0);
    }
    if ( !rc )
    {
        start_monitor(r);
        xl_xen_record_forget(&r->record);
        return XL_EXIT_DONE;
    }
    gone = !libxl_domain_destroy(r->ctx, r->domid, NULL);
    if ( !gone )
        xl_error("cannot remove %s: %s; `xl destroy %u` does", r->incoming,
                 xl_xen_complaint(), r->domid);
    else
        xl_xen_record_forget(&r->record);
    /* Only a copy that is gone gives the sender its guest back. */
    if ( gone && permitted )
        (void)xl_write_exact(r->arrival.send_fd, XL_TEXT_GO, sizeof(XL_TEXT_GO),
                             xl_now_us() + COURTESY_TIMEOUT_US, -1);
    return XL_EXIT_FAILED;
}

/* ---- How it ended -------------------------------------------------------------------------- */

/*
 * The source forgets what it did once it knows how we ended, and says so; not
 * before that may we.
 */
static void settle_record(struct xl_xen_receiver *r, const char *known)
{
    if ( !r->record.put || r->result.engine.end_seen )
        xl_xen_record_forget(&r->record);
    else
        xl_note("`%s` %s; its source may not know that yet, so the record of "
                "it stays in %s",
                r->name, known, xl_xen_place(false));
}

/* All of it is here, but its record says less: so does whoever asks for it. */
static int finish_unrecorded(struct xl_xen_receiver *r)
{
    bool ended = r->result.engine.stats.abandoned;

    if ( !ended )
        xl_xen_receiver_allow_saving(r, true);
    xl_error(
        "`%s` %s; but that is not recorded: %s; `xl migrate-recover %s "
        "HOST` at its source settles it",
        r->name,
        xl_arrival_outcome(ended ? XC_SR_OWNER_ENDED : XC_SR_OWNER_FINISHED),
        r->result.engine.why, r->name);
    return XL_EXIT_UNKNOWN;
}

static int finish_missing(struct xl_xen_receiver *r)
{
    /* The record stays: it is what an operator, or recovery, goes by. */
    (void)xl_xen_record_put(&r->record, XC_SR_OWNER_LOST, r->record.session,
                            r->record.epoch);
    xl_error("`%s` runs here but pages of it are missing for good: %s", r->name,
             r->result.engine.why);
    xl_error("give it up: `xl destroy %s` here; its source has kept it with "
             "all its memory",
             r->name);
    return XL_EXIT_UNKNOWN;
}

/* It is not promised to be gone, nor is it. */
static int finish_not_started(const struct xl_xen_receiver *r)
{
    xl_error("`%s` could not be started here, and that it never ran could not "
             "be recorded: %s",
             r->name, r->result.engine.why);
    xl_error("it is kept as %s, paused; `xl migrate-recover %s HOST` at its "
             "source settles it",
             r->incoming, r->name);
    return XL_EXIT_UNKNOWN;
}

int xl_xen_receiver_finish(struct xl_xen_receiver *r, int rc)
{
    const struct xc_sr_restore_result *engine = &r->result.engine;
    char says[XL_XEN_SAYS_LEN];

    if ( !rc && engine->plain )
        return finish_plain(r);
    if ( engine->owner == XC_SR_OWNER_FINISHED ||
         engine->owner == XC_SR_OWNER_ENDED )
    {
        /* Of a guest that has ended nothing is left to be saved. */
        if ( engine->owner == XC_SR_OWNER_FINISHED )
            xl_xen_receiver_allow_saving(r, true);
        settle_record(r, xl_arrival_outcome(engine->owner));
        return XL_EXIT_DONE;
    }
    if ( engine->owner == XC_SR_OWNER_OWNER && engine->ran )
        return engine->whole ? finish_unrecorded(r) : finish_missing(r);
    if ( engine->owner == XC_SR_OWNER_OWNER )
        return finish_not_started(r);
    if ( r->result.not_destroyed )
        xl_error("cannot remove %s: %s; `xl destroy %s` does", r->incoming,
                 xl_xen_complaint(), r->incoming);
    else
        settle_record(r, "never ran here and never will");
    xl_error("`%s` was not taken in: %s%s", r->name,
             engine->why[0] ? engine->why : strerror(-rc),
             xl_xen_libxl_says(says, sizeof(says)));
    return XL_EXIT_FAILED;
}

/* ---- The story ------------------------------------------------------------------------------ */

static int begin(struct xl_xen_receiver *r)
{
    char why[300] = "", shim[PATH_MAX];
    int rc = xl_channel_take(&r->arrival.recv_fd, &r->arrival.send_fd);

    if ( !rc )
        rc = xl_xen_check_place(why, sizeof(why));
    if ( !rc )
        rc = libxl_postcopy_init(xl_xen_shim(shim, sizeof(shim)), why,
                                 sizeof(why));
    if ( !rc )
        rc = xl_channel_outlive_sender(&r->arrival.signal_fd);
    if ( !rc )
        rc = xc_sr_control_new(&r->arrival.control);
    if ( rc )
        xl_error("cannot start: %s", *why ? why : strerror(-rc));
    return rc;
}

static int receive(struct xl_xen_receiver *r)
{
    int rc, status;

    if ( begin(r) )
        return XL_EXIT_FAILED;
    status = xl_xen_open(r->global, &r->ctx);
    if ( status )
        return status;
    rc = xl_write_exact(r->arrival.send_fd, XL_TEXT_BANNER,
                        sizeof(XL_TEXT_BANNER) - 1, xl_now_us() + r->timeout_us,
                        -1);
    if ( rc )
        xl_error("the sender does not listen: %s", strerror(-rc));
    if ( !rc )
        rc = read_opening(r);
    if ( !rc )
        rc = make_room(r);
    if ( rc )
        return XL_EXIT_FAILED;
    rc = run(r);
    r->domid = r->result.domid;
    status = xl_xen_receiver_finish(r, rc);
    xl_link_end(&r->arrival.link, status == XL_EXIT_DONE ? "done" : "parked");
    return status;
}

static void dispose(struct xl_xen_receiver *r)
{
    unlock(r);
    xl_arrival_close(&r->arrival);
    xl_xen_record_close(&r->record);
    libxl_domain_config_dispose(&r->config);
    if ( r->ctx )
        libxl_ctx_free(r->ctx);
    libxl_postcopy_fini();
    xc_sr_control_free(r->arrival.control);
    libxl_postcopy__frames_dispose(&r->frames);
}

int xl_cmd_xen_migrate_receive(const struct xl_global *global, int argc,
                               char **argv)
{
    struct xl_xen_receiver r = { .global = global, .domid = INVALID_DOMID };
    const struct xl_command *command = xl_command_find_xen(argv[0]);
    char why[256];
    int status;

    if ( xl_receive_args_parse_xen(argc, argv, &r.args, why, sizeof(why)) )
        return xl_usage_error(command, "%s", why);
    if ( isatty(STDIN_FILENO) )
        return xl_usage_error(command, "standard input is a terminal; `xl "
                                       "migrate` starts this command");
    xl_arrival_init(&r.arrival);
    r.lock_fd = -1;
    r.arrival.recovery_wait_s = r.args.recovery_wait_s;
    /* Spinning vCPUs and back ends in dom0 do not wait. */
    r.arrival.pause_on_loss = r.args.on_loss != XL_ON_LOSS_RUN;
    r.record.lock_fd = r.record.journal.dir_fd = -1;
    r.timeout_us =
        (r.args.timeout_s ? r.args.timeout_s : XL_DEFAULT_TIMEOUT_S) *
        UINT64_C(1000000);
    libxl_domain_config_init(&r.config);
    xl_set_message_prefix("xl migrate-receive: ");
    xl_log_init(global, &r.log);
    status = r.args.recover ? xl_xen_recover_receive(&r) : receive(&r);
    dispose(&r);
    return status;
}

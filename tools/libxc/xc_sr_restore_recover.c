/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_recover.c: the receiver without a connection, and its next
 * one.
 *
 * Called from the timeline (xc_sr__receiver_through_losses()) when the
 * connection is lost at PREP, or anything fails at OWNER.  Until a new
 * connection is handed in (xc_sr_control_reconnect()) the guest runs on with
 * the pages it has, or is paused if its owner wants that; its faults are
 * taken and remembered.  The newest connection is the one that counts: older
 * ones are closed and never read again.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Recovery".
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "xc_sr_restore.h"

/* Words of the bitmap put into the queue at a time. */
#define BITMAP_WORDS 2048u
/* For RECOVER and its answer; a bitmap of 128 MiB takes its time. */
#define HANDSHAKE_US 60000000u

bool xc_sr__receiver_may_recover(const struct xc_sr_receiver *r)
{
    if ( !r->params->recovery.enabled || !r->params->control || !r->advised ||
         r->aborted || r->gave_up || r->gone )
        return false;
    /* Whatever else goes wrong before COMMIT, giving up loses nothing. */
    return r->owner == XC_SR_OWNER_OWNER
               ? r->ran || r->unpausing
               : r->owner == XC_SR_OWNER_PREP && r->conn_lost;
}

/* ---- Letting go of a connection ------------------------------------------- */

static void drop_connection(struct xc_sr_receiver *r)
{
    xc_sr__outq_drop(&r->out);
    xc_sr__writer_reset(&r->writer);
    if ( r->out.fd >= 0 )
        (void)shutdown(r->out.fd, SHUT_RDWR);
    if ( r->in.fd >= 0 && r->in.fd != r->out.fd )
        (void)shutdown(r->in.fd, SHUT_RDWR);
    if ( r->owns_fds )
        xc_sr__close_pair(r->out.fd, r->in.fd);
    r->owns_fds = false;
    r->out.fd = r->in.fd = -1;
    r->in.start = r->in.end = 0;
    r->ahead_at = r->ahead_next = r->in.total;
    r->nr_pending = r->nr_checked = 0;
    xc_sr__pageset_clear(&r->early);
    xc_sr__reader_init_resuming(&r->reader);
    r->eof = r->parked = true;
    r->conn_lost = r->handshaking = r->resumed = r->ended = false;
}

/* Also one that somebody has been told to let run, and may at any time. */
static void pause_guest(struct xc_sr_receiver *r)
{
    int rc;

    if ( !r->params->recovery.pause || r->paused_here || r->gone ||
         !(r->ran || r->unpausing) || r->missing.count == 0 )
        return;
    rc = xc_sr__hv_pause(r->hv);
    if ( rc )
        xc_sr__warn(r->log, "domain %u: cannot pause it: %s", r->hv->info.domid,
                    strerror(-rc));
    r->paused_here = !rc;
}

static void unpause_guest(struct xc_sr_receiver *r)
{
    int rc;

    if ( !r->paused_here || r->gone )
        return;
    rc = xc_sr__hv_unpause(r->hv, false);
    if ( rc )
        xc_sr__error(r->log, "domain %u: cannot unpause it: %s",
                     r->hv->info.domid, strerror(-rc));
    r->paused_here = false;
}

static void lose(struct xc_sr_receiver *r)
{
    const struct xc_sr_recovery *recovery = &r->params->recovery;

    pause_guest(r);
    drop_connection(r);
    snprintf(r->loss_why, sizeof(r->loss_why), "%s",
             r->result->why[0] ? r->result->why : "the connection has ended");
    r->result->why[0] = '\0';
    xc_sr__receiver_phase(r, XC_SR_PHASE_DISCONNECTED);
    if ( recovery->lost )
        recovery->lost(recovery->ctx, r->loss_why);
}

/* ---- Waiting for another one ------------------------------------------------ */

static int give_up(struct xc_sr_receiver *r, int rc, const char *why)
{
    r->gave_up = true;
    return xc_sr__receiver_fail(r, rc, "%s (%s)", r->loss_why, why);
}

static void take_connection(struct xc_sr_receiver *r, int send_fd, int recv_fd,
                            bool owned)
{
    r->out.fd = send_fd;
    r->in.fd = recv_fd;
    r->owns_fds = owned;
    r->parked = r->eof = false;
    r->conn_base = r->acked = r->in.total;
    r->heard_us = r->said_us = xc_sr__now_us();
    /* A descriptor that is none fails the handshake. */
    (void)xc_sr__set_nonblock(send_fd, true);
    (void)xc_sr__set_nonblock(recv_fd, true);
}

/* The guest may end meanwhile: then nothing is missing any more. */
static int wait_connection(struct xc_sr_receiver *r, uint64_t deadline_us)
{
    struct xc_sr_control *control = r->params->control;
    int send_fd, recv_fd;

    while ( !xc_sr__control_take_pair(control, &send_fd, &recv_fd) )
    {
        int rc;

        if ( xc_sr__control_stops_waiting(control) ||
             (r->owner == XC_SR_OWNER_PREP && xc_sr__control_aborted(control)) )
            return give_up(r, -ECANCELED, "no longer waited for");
        if ( xc_sr__now_us() >= deadline_us )
            return give_up(r, -ETIMEDOUT, "nobody came to take it up again");
        rc = xc_sr__receiver_turn(r, deadline_us);
        if ( rc )
        {
            r->gave_up = true;
            return rc;
        }
        if ( r->gone )
            return 0;
    }
    take_connection(r, send_fd, recv_fd, true);
    return 0;
}

/* ---- The handshake -------------------------------------------------------------- */

/* Recorded before it is said: no epoch is ever used twice. */
static int raise_epoch(struct xc_sr_receiver *r)
{
    int rc = 0;

    if ( r->params->journal.put )
        rc = r->params->journal.put(r->params->journal.ctx, r->owner,
                                    r->session, r->epoch + 1);
    if ( rc )
        return xc_sr__receiver_fail(r, rc, "cannot record the epoch: %s",
                                    strerror(-rc));
    r->epoch++;
    return 0;
}

static int say_recover(struct xc_sr_receiver *r, uint64_t nr_words)
{
    r->handshaking = true;
    xc_sr__write_recover(&r->writer, r->session, r->epoch,
                         xc_sr__recover_record(r->owner), r->features,
                         r->source_pfns);
    xc_sr__write_end(&r->writer, (uint32_t)(8 * nr_words));
    return xc_sr__receiver_say(r);
}

static uint64_t present_word(const struct xc_sr_receiver *r, uint64_t word)
{
    uint64_t left = r->source_pfns - 64 * word;
    uint64_t present = ~r->missing.words[word];

    return left < 64 ? present & ~(~0ULL << left) : present;
}

/*
 * Present is what is not missing.  As much as the descriptor takes, a piece
 * at a time: the bitmap of a large guest is never held twice.
 */
static int say_bitmap(struct xc_sr_receiver *r, uint64_t *word,
                      uint64_t nr_words)
{
    int rc = 0;

    while ( !rc && *word < nr_words && xc_sr__outq_len(&r->out) == 0 )
    {
        for ( unsigned int n = 0; n < BITMAP_WORDS && *word < nr_words; n++ )
            xc_sr__write_u64(&r->writer, present_word(r, (*word)++));
        rc = xc_sr__receiver_say(r);
    }
    return rc;
}

static int check_answer(struct xc_sr_receiver *r, uint64_t deadline_us)
{
    if ( r->ended )
    {
        r->ended = false;
        return xc_sr__receiver_fail(r, -EPROTO,
                                    "END answers a record of %s, which cannot "
                                    "be",
                                    xc_sr_owner_name(r->owner));
    }
    if ( !r->resumed && xc_sr__now_us() >= deadline_us )
        return xc_sr__receiver_fail(r, -ETIMEDOUT,
                                    "the source does not answer "
                                    "POSTCOPY_RECOVER");
    return 0;
}

static int shake_hands(struct xc_sr_receiver *r)
{
    uint64_t deadline_us = xc_sr__now_us() + HANDSHAKE_US;
    uint64_t word = 0, nr_words = (r->source_pfns + 63) / 64;
    int rc = raise_epoch(r);

    if ( !rc )
        rc = say_recover(r, nr_words);
    while ( !rc && !r->resumed )
    {
        rc = say_bitmap(r, &word, nr_words);
        if ( !rc )
            rc = xc_sr__receiver_turn(r, deadline_us);
        if ( !rc )
            rc = check_answer(r, deadline_us);
    }
    r->handshaking = false;
    return rc;
}

/* ---- What is due again ------------------------------------------------------------ */

/* The pages that somebody waits for, whatever was asked before. */
static int ask_again(struct xc_sr_receiver *r)
{
    uint64_t pfns[64], pfn = 0;
    unsigned int nr;
    int rc = 0;

    while ( !rc && pfn < r->nr_pfns )
    {
        nr = xc_sr__pageset_collect(&r->requested, &pfn, pfns,
                                    XC_SR_ARRAY_SIZE(pfns));
        rc = xc_sr__receiver_ask(r, pfns, nr);
    }
    return rc;
}

static int repeat(struct xc_sr_receiver *r)
{
    int rc = 0;

    if ( r->owner == XC_SR_OWNER_PREP )
        rc = xc_sr__receiver_say_session(r, XC_SR_REC_POSTCOPY_PREPARED);
    else if ( r->running_said )
        rc = xc_sr__receiver_say_session(r, XC_SR_REC_POSTCOPY_RUNNING);
    if ( !rc )
        rc = ask_again(r);
    if ( !rc && r->owner == XC_SR_OWNER_OWNER )
        unpause_guest(r);
    return rc;
}

static void recovered(struct xc_sr_receiver *r)
{
    const struct xc_sr_recovery *recovery = &r->params->recovery;

    r->stats->recoveries++;
    r->result->why[0] = '\0';
    xc_sr__receiver_phase(r, r->owner == XC_SR_OWNER_OWNER
                                 ? XC_SR_PHASE_POSTCOPY
                                 : XC_SR_PHASE_HANDOVER);
    xc_sr__info(r->log, "domain %u: recovered (epoch %llu), %llu pages missing",
                r->hv->info.domid, (unsigned long long)r->epoch,
                (unsigned long long)r->missing.count);
    if ( recovery->recovered )
        recovery->recovered(recovery->ctx);
}

static uint64_t loss_deadline_us(const struct xc_sr_receiver *r)
{
    uint64_t timeout_us = r->owner == XC_SR_OWNER_PREP
                              ? r->params->commit_timeout_us
                              : r->params->recovery.timeout_us;

    return timeout_us ? xc_sr__now_us() + timeout_us : XC_SR_NO_DEADLINE;
}

int xc_sr__receiver_recover(struct xc_sr_receiver *r)
{
    uint64_t start_us = xc_sr__now_us();
    uint64_t deadline_us = loss_deadline_us(r);
    int rc;

    r->stats->losses++;
    /* Asked while there was a connection: that was not for this one. */
    (void)xc_sr__control_stops_waiting(r->params->control);
    do
    {
        lose(r);
        rc = xc_sr__receiver_has_ended(r) ? 0 : wait_connection(r, deadline_us);
        if ( rc || r->gone )
            break;
        rc = shake_hands(r);
        if ( !rc )
            rc = repeat(r);
        /* A connection that leads to nothing is a lost one. */
        r->conn_lost = rc != 0;
    } while ( rc && xc_sr__receiver_may_recover(r) );
    r->stats->disconnected_us += xc_sr__now_us() - start_us;
    if ( !rc && !r->gone )
        recovered(r);
    return rc;
}

int xc_sr__receiver_turn_through(struct xc_sr_receiver *r, uint64_t deadline_us)
{
    bool preparing = r->preparing;
    int rc = xc_sr__receiver_turn(r, deadline_us);

    /* Its news is not read meanwhile, so it must not be waited for either. */
    r->preparing = false;
    /* Whatever it was: pages that were on their way come on the next one. */
    while ( rc && xc_sr__receiver_may_recover(r) )
        rc = xc_sr__receiver_recover(r);
    r->preparing = preparing;
    return rc;
}

int xc_sr__receiver_through_losses(struct xc_sr_receiver *r,
                                   int (*step)(struct xc_sr_receiver *r))
{
    int rc = step(r);

    /* Nobody waits for another connection for the sake of a dump. */
    while ( rc &&
            (xc_sr__receiver_has_ended(r) || xc_sr__receiver_may_recover(r)) )
    {
        rc = r->gone ? 0 : xc_sr__receiver_recover(r);
        if ( !rc )
            rc = step(r);
    }
    return rc;
}

void xc_sr__receiver_leave(struct xc_sr_receiver *r)
{
    int rc = 0;

    if ( r->missing.count )
        xc_sr__error(r->log,
                     "domain %u runs here and %llu of its pages are missing",
                     r->hv->info.domid, (unsigned long long)r->missing.count);
    /* Only the record is behind. */
    else if ( r->paging && !r->gone && !r->missing_unknown )
        rc = xc_sr__hv_paging_off(r->hv);
    if ( rc )
        xc_sr__error(r->log, "domain %u: cannot stop paging: %s",
                     r->hv->info.domid, strerror(-rc));
}

/* ---- In place of a dead process ---------------------------------------------------- */

/* What it had announced is not known; what is missing the hypervisor knows. */
static int find_missing(struct xc_sr_receiver *r)
{
    uint64_t pfns[XC_SR_HV_BATCH];
    bool missing[XC_SR_HV_BATCH];
    uint64_t pfn = 0;

    while ( pfn < r->nr_pfns )
    {
        unsigned int nr = 0;
        int rc;

        while ( nr < XC_SR_HV_BATCH && pfn < r->nr_pfns )
            pfns[nr++] = pfn++;
        rc = xc_sr__hv_is_missing(r->hv, pfns, nr, missing);
        if ( rc )
            return xc_sr__receiver_fail(
                r, rc, "cannot find out which pages are missing: %s",
                strerror(-rc));
        for ( unsigned int i = 0; i < nr; i++ )
            if ( missing[i] )
                xc_sr__pageset_add(&r->missing, pfns[i]);
    }
    xc_sr__pageset_or(&r->announced, &r->missing);
    r->stats->pages_announced = r->missing.count;
    r->missing_unknown = false;
    return 0;
}

/* Features are not known any more: 0, which every source can do with. */
void xc_sr__receiver_assume_record(struct xc_sr_receiver *r)
{
    const struct xc_sr_record_of *from = r->params->from;

    r->owner = from->owner;
    memcpy(r->session, from->session, sizeof(r->session));
    r->epoch = from->epoch;
    r->source_pfns = r->nr_pfns;
    r->advised = r->may_postcopy = r->begun = r->upper_done = true;
    r->committed = r->ran = r->running_said = r->paused_here = true;
    r->missing_unknown = true;
    r->writer.version = 3;
    r->stats->stream_version = 3;
    r->stats->postcopy = true;
    r->begin_us = r->stats->running_us = xc_sr__now_us();
}

int xc_sr__receiver_take_over(struct xc_sr_receiver *r)
{
    int rc;

    if ( r->owner != XC_SR_OWNER_OWNER )
        return xc_sr__receiver_fail(r, -EINVAL,
                                    "a record of %s is nothing to take over",
                                    xc_sr_owner_name(r->owner));
    /* Not a loss that can be waited out: nothing is served yet. */
    r->gave_up = true;
    rc = xc_sr__receiver_paging_on(r);
    if ( !rc )
        rc = find_missing(r);
    if ( rc )
        return rc;
    r->gave_up = false;
    xc_sr__reader_init_resuming(&r->reader);
    take_connection(r, r->params->send_fd, r->params->recv_fd, false);
    rc = shake_hands(r);
    if ( !rc )
        rc = repeat(r);
    if ( !rc )
        recovered(r);
    else if ( xc_sr__receiver_may_recover(r) )
        rc = xc_sr__receiver_recover(r);
    return rc;
}

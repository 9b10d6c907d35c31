/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_wire.c: the octets of the source that are not the engine's.
 *
 * Before the libxc stream: the receiver's banner, xl's header with the
 * guest's configuration, libxl's header and LIBXC_CONTEXT.  Inside it, when
 * the engine asks: libxl's records, of which a local guest has none but the
 * one that ends them.  After it, where the stream is not version 3: libxl's
 * END and stock xl's handshake about who runs the guest.
 *
 * Spec: docs/specs/libxl-migration-stream.pandoc.
 */
#include "xl_migrate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "xl_config.h"

/* Courtesy after everything is settled. */
#define COURTESY_TIMEOUT_US UINT64_C(5000000)

/* Says why the channel failed before the guest was touched. */
static void explain(struct xl_migration *m, int rc, const char *got)
{
    char status_text[96];

    switch ( rc )
    {
    case -EPROTO:
        snprintf(m->why, sizeof(m->why),
                 "the destination is no migration receiver: it said `%s`", got);
        break;
    case -EPIPE:
        xl_child_end(&m->child, 2000, true, &m->child_status);
        snprintf(m->why, sizeof(m->why),
                 "the receiver ended before it was ready; %s",
                 xl_child_status_text(m->child_status, status_text,
                                      sizeof(status_text)));
        break;
    case -ETIMEDOUT:
        snprintf(m->why, sizeof(m->why),
                 "no receiver answered within %llu s (--timeout)",
                 (unsigned long long)(m->timeout_us / 1000000));
        break;
    case -ECANCELED:
        xl_child_give_up(&m->child, &m->target, &m->child_status);
        snprintf(m->why, sizeof(m->why), "given up on request");
        break;
    default:
        snprintf(m->why, sizeof(m->why), "no way to the receiver: %s",
                 strerror(-rc));
        break;
    }
}

static int build_opening(struct xl_migration *m, struct libxl_postcopy__buf *b)
{
    char *config = NULL;
    size_t config_len = 0;
    int rc = xl_config_to_json(&m->config, &config, &config_len);

    if ( rc )
        return rc;
    libxl_postcopy__put_xl_header(b, config, config_len);
    libxl_postcopy__put_header(b);
    libxl_postcopy__put_empty(b, LIBXL_PC_FRAME_LIBXC_CONTEXT);
    free(config);
    return b->error;
}

int xl_migrate_say_opening(struct xl_migration *m, const void *octets,
                           size_t len)
{
    uint64_t deadline_us = xl_now_us() + m->timeout_us;
    char got[80] = "";
    int rc =
        xl_expect(m->child.recv_fd, XL_TEXT_BANNER, sizeof(XL_TEXT_BANNER) - 1,
                  deadline_us, m->signal_fd, got);

    if ( !rc )
        rc = xl_write_exact(m->child.send_fd, octets, len, deadline_us,
                            m->signal_fd);
    if ( rc )
        explain(m, rc, got);
    return rc;
}

int xl_migrate_greet(struct xl_migration *m)
{
    struct libxl_postcopy__buf b = { .data = NULL };
    int rc = build_opening(m, &b);

    if ( rc )
        explain(m, rc, "");
    else
        rc = xl_migrate_say_opening(m, b.data, b.len);
    libxl_postcopy__buf_dispose(&b);
    return rc;
}

/* An empty record of libxl's as octets. */
static int put_record(enum libxl_postcopy__frame_type type, void *buf,
                      size_t cap, size_t *len_r)
{
    struct libxl_postcopy__buf b = { .data = NULL };
    int rc;

    libxl_postcopy__put_empty(&b, type);
    rc = b.error ? b.error : b.len > cap ? -ENOBUFS : 0;
    if ( !rc )
    {
        memcpy(buf, b.data, b.len);
        *len_r = b.len;
    }
    libxl_postcopy__buf_dispose(&b);
    return rc;
}

int xl_migrate_read_upper(void *ctx, void *buf, size_t cap, size_t *len_r,
                          bool *done_r)
{
    struct xl_migration *m = ctx;
    int rc = put_record(m->args.stream_version >= 3
                            ? LIBXL_PC_FRAME_END
                            : LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END,
                        buf, cap, len_r);

    if ( !rc )
        *done_r = m->upper_sent = true;
    return rc;
}

static int write_libxl_end(struct xl_migration *m, uint64_t deadline_us)
{
    uint8_t buf[LIBXL_PC_RECORD_HEADER_LEN];
    size_t len = 0;
    int rc = put_record(LIBXL_PC_FRAME_END, buf, sizeof(buf), &len);

    return rc ? rc
              : xl_write_exact(m->child.send_fd, buf, len, deadline_us, -1);
}

void xl_migrate_close_postcopy2(struct xl_migration *m)
{
    uint64_t deadline_us = xl_now_us() + COURTESY_TIMEOUT_US;
    char got[80] = "";
    int rc = write_libxl_end(m, deadline_us);

    if ( !rc )
        rc = xl_expect(m->child.recv_fd, XL_TEXT_POSTCOPY2,
                       sizeof(XL_TEXT_POSTCOPY2), deadline_us, -1, got);
    if ( rc && m->global->verbose )
        xl_note("the receiver did not say good-bye (%s); the guest is "
                "complete there all the same",
                strerror(-rc));
}

/* ---- Stock xl's final handshake --------------------------------------------- */

static void unacknowledged(struct xl_migration *m, int rc)
{
    snprintf(m->why, sizeof(m->why),
             "the receiver did not acknowledge the guest: %s",
             rc == -EPIPE ? "it ended" : strerror(-rc));
}

/* Everything is there, nobody may run it yet. */
static int wait_until_received(struct xl_migration *m)
{
    uint64_t deadline_us = xl_now_us() + m->timeout_us;
    char got[80] = "";
    int rc = xl_expect(m->child.recv_fd, XL_TEXT_READY, sizeof(XL_TEXT_READY),
                       deadline_us, m->signal_fd, got);

    if ( rc )
        unacknowledged(m, rc);
    return rc;
}

/*
 * The point of no return of a plain migration: from here the guest is not
 * resumed unless the receiver says that it may be.
 */
static int give_permission(struct xl_migration *m,
                           int (*commit)(struct xl_migration *m),
                           uint64_t deadline_us)
{
    int rc = commit(m);

    if ( rc )
        snprintf(m->why, sizeof(m->why),
                 "cannot record that the guest is handed over: %s",
                 strerror(-rc));
    else
    {
        m->owner = XC_SR_OWNER_COMMITTED;
        /* A write that fails may have left octets behind: no way back. */
        rc = xl_write_exact(m->child.send_fd, XL_TEXT_GO, sizeof(XL_TEXT_GO),
                            deadline_us, -1);
        if ( rc )
            snprintf(m->why, sizeof(m->why),
                     "the connection was lost while the guest was handed "
                     "over: %s",
                     strerror(-rc));
    }
    return rc;
}

/* *ran_r: it runs there; otherwise the receiver has given it back. */
static int read_report(struct xl_migration *m, uint64_t deadline_us,
                       bool *ran_r)
{
    char got[80] = "";
    uint8_t status = 0;
    int rc = xl_expect(m->child.recv_fd, XL_TEXT_REPORT, sizeof(XL_TEXT_REPORT),
                       deadline_us, -1, got);

    if ( !rc )
        rc = xl_read_exact(m->child.recv_fd, &status, 1, deadline_us, -1);
    if ( !rc && !status )
        *ran_r = true;
    else if ( !rc )
    {
        snprintf(m->why, sizeof(m->why),
                 "the guest could not be started there (status %u)", status);
        /* Its copy is destroyed once it says the same word to us. */
        rc = xl_expect(m->child.recv_fd, XL_TEXT_GO, sizeof(XL_TEXT_GO),
                       deadline_us, -1, got);
        *ran_r = false;
    }
    if ( rc )
        snprintf(m->why, sizeof(m->why),
                 "the receiver did not report whether the guest runs: %s",
                 rc == -EPIPE ? "it ended" : strerror(-rc));
    return rc;
}

void xl_migrate_settle_plain(struct xl_migration *m,
                             int (*commit)(struct xl_migration *m),
                             enum xc_sr_owner *owner_r)
{
    uint64_t deadline_us = xl_now_us() + 2 * m->timeout_us;
    bool ran = false;

    if ( wait_until_received(m) )
    {
        *owner_r = XC_SR_OWNER_RESUMED;
        return;
    }
    if ( give_permission(m, commit, deadline_us) )
    {
        *owner_r = m->owner == XC_SR_OWNER_COMMITTED ? XC_SR_OWNER_COMMITTED
                                                     : XC_SR_OWNER_RESUMED;
        return;
    }
    m->result.stats.commit_us = xl_now_us();
    if ( read_report(m, deadline_us, &ran) )
        *owner_r = XC_SR_OWNER_COMMITTED;
    else
        *owner_r = ran ? XC_SR_OWNER_DONE : XC_SR_OWNER_RESUMED;
    m->result.stats.end_us = xl_now_us();
    if ( ran )
        m->result.stats.running_us = m->result.stats.end_us;
}

static int commit_local(struct xl_migration *m)
{
    static const uint8_t no_session[16];
    int rc = xc_sr_hv_retain(m->hv);

    return rc ? rc
              : xl_journal_put(&m->journal, XC_SR_OWNER_COMMITTED, no_session,
                               0);
}

void xl_migrate_settle_local(struct xl_migration *m, enum xc_sr_owner *owner_r)
{
    int rc = write_libxl_end(m, xl_now_us() + m->timeout_us);

    if ( !rc )
    {
        xl_migrate_settle_plain(m, commit_local, owner_r);
        return;
    }
    unacknowledged(m, rc);
    *owner_r = XC_SR_OWNER_RESUMED;
}

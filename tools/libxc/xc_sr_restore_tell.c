/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_restore_tell.c: a destination that has only its record left.
 *
 * Called by a toolstack when a source asks about a guest whose receiver's
 * process is gone: it never ran here (FENCED), came whole (FINISHED), is
 * lost, or nothing is known of it.  Says that in a POSTCOPY_RECOVER and waits
 * for END, or RESUME(aborted).  There is no guest behind it and no page moves.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Recovery".
 */
#include <errno.h>

#include "xc_sr_engine_recover.h"
#include "xc_sr_stream.h"

#define TELL_TIMEOUT_US 60000000u
/* RESUME is the longest that may come. */
#define ANSWER_MAX      64u

struct teller
{
    const struct xc_sr_tell_params *params;
    uint64_t epoch;
    uint64_t deadline_us;
    bool settled;
};

static int fail(const struct teller *t, int rc, const char *what)
{
    xc_sr__error(t->params->log, "telling the source: %s: %s", what,
                 strerror(-rc));
    return rc;
}

/* No page is to come, so the bitmap is of one page: it is here. */
static int say(struct teller *t)
{
    const struct xc_sr_record_of *record = &t->params->record;
    struct xc_sr_writer w;
    int rc;

    xc_sr__writer_init(&w, 3);
    xc_sr__write_recover(&w, record->session, t->epoch,
                         xc_sr__recover_record(record->owner), 0, 1);
    xc_sr__write_u64(&w, 1);
    xc_sr__write_end(&w, 0);
    rc = w.error;
    if ( !rc )
        rc = xc_sr__write_exact(t->params->send_fd, w.buf, w.len,
                                t->deadline_us);
    xc_sr__writer_dispose(&w);
    return rc;
}

static int take(struct teller *t, const struct xc_sr_event *ev)
{
    const uint8_t *body = ev->record.body;

    if ( ev->kind != XC_SR_EV_RECORD )
        return ev->kind == XC_SR_EV_UNKNOWN ? 0 : -EPROTO;
    if ( ev->record.id == XC_SR_REC_POSTCOPY_RESUME &&
         (memcmp(body, t->params->record.session, 16) != 0 ||
          xc_sr__le64(body + 16) != t->epoch ||
          xc_sr__le32(body + XC_SR__SESSION_EPOCH) == 0) )
        return -EPROTO;
    t->settled = true;
    return 0;
}

/* Exactly what the answer needs: the octets behind it are not ours. */
static int listen(struct teller *t)
{
    uint8_t buf[ANSWER_MAX];
    struct xc_sr_reader reader;
    size_t have = 0;
    int rc = 0;

    xc_sr__reader_init_resuming(&reader);
    while ( !rc && !t->settled )
    {
        struct xc_sr_event ev;
        size_t used = 0;

        rc = xc_sr__reader_next(&reader, buf, have, &ev, &used);
        if ( rc )
            break;
        if ( ev.kind != XC_SR_EV_NEED )
            rc = take(t, &ev);
        have -= used;
        memmove(buf, buf + used, have);
        if ( ev.kind != XC_SR_EV_NEED || ev.need <= have )
            continue;
        if ( ev.need > sizeof(buf) )
            return -EPROTO;
        rc = xc_sr__read_exact(t->params->recv_fd, buf + have, ev.need - have,
                               t->deadline_us);
        have = ev.need;
    }
    return rc;
}

int xc_sr_restore_tell(const struct xc_sr_tell_params *params, bool *settled_r)
{
    struct teller t = {
        .params = params,
        .epoch = params->record.epoch + 1,
        .deadline_us =
            xc_sr__now_us() +
            (params->timeout_us ? params->timeout_us : TELL_TIMEOUT_US),
    };
    int rc = 0;

    if ( params->journal.put )
        rc = params->journal.put(params->journal.ctx, params->record.owner,
                                 params->record.session, t.epoch);
    if ( rc )
        return fail(&t, rc, "cannot record the epoch");
    rc = say(&t);
    if ( rc )
        return fail(&t, rc, "cannot say what is recorded");
    rc = listen(&t);
    /* A source that has to leave it to an operator says nothing. */
    if ( rc == -EPIPE && params->record.owner != XC_SR_OWNER_FENCED &&
         params->record.owner != XC_SR_OWNER_FINISHED &&
         params->record.owner != XC_SR_OWNER_ENDED )
        rc = 0;
    if ( rc )
        return fail(&t, rc, "no answer");
    *settled_r = t.settled;
    return 0;
}

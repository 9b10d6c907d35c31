/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_status.c: see xl_status.h.  Pure: the processes of a migration call it to
 * answer on their control sockets, `migrate-status` for records that nobody
 * answers for.
 */
#include "xl_status.h"

#include <stdio.h>
#include <string.h>

#include "xl_json.h"
#include "xl_progress.h"

static const char *advise_source(enum xc_sr_owner owner, enum xc_sr_phase phase,
                                 bool alive)
{
    switch ( (int)owner )
    {
    case XC_SR_OWNER_COMMITTED:
        if ( alive && phase != XC_SR_PHASE_DISCONNECTED )
            return "it has been handed over; nothing is to be done";
        return "it may run at the destination, and is kept suspended here "
               "with all its memory: `xl migrate-recover` goes on";
    case XC_SR_OWNER_DONE:
        return alive ? "it is the destination's, which wants nothing more of it"
                     : "it is the destination's; destroy what is left of it "
                       "here";
    default:
        return alive ? "it runs here; `xl migrate-abort` gives up"
                     : "it belongs here; resume it if it is suspended";
    }
}

static const char *advise_owner(enum xc_sr_phase phase, bool alive)
{
    if ( !alive )
        return "it runs here, and the process that brought its pages is gone: "
               "`xl migrate-recover` at its source puts another in its place, "
               "or says that it is lost: destroy it here, then resume it at "
               "its source";
    return phase == XC_SR_PHASE_DISCONNECTED
               ? "it is here with pages missing: `xl migrate-recover` at its "
                 "source goes on"
               : "it runs here, its pages are on their way";
}

const char *xl_status_advice(bool at_source, enum xc_sr_owner owner,
                             enum xc_sr_phase phase, bool alive)
{
    if ( at_source )
        return advise_source(owner, phase, alive);
    switch ( (int)owner )
    {
    case XC_SR_OWNER_PREP:
        if ( alive )
            return phase == XC_SR_PHASE_DISCONNECTED
                       ? "it is loaded and waits for its source: `xl "
                         "migrate-recover` there"
                       : "it is loaded and waits for its source";
        return "it never ran here and never will; if its source keeps it "
               "suspended, resume it there";
    case XC_SR_OWNER_OWNER:
        return advise_owner(phase, alive);
    case XC_SR_OWNER_LOST:
        return "it runs here and pages of it are missing for good; destroy it "
               "here, then resume it at its source";
    case XC_SR_OWNER_FENCED:
        return "it never ran here and never will; if its source keeps it "
               "suspended, resume it there";
    case XC_SR_OWNER_FINISHED:
        return "it came here with all its memory; if its source keeps a "
               "suspended copy, destroy that, never resume it";
    case XC_SR_OWNER_ENDED:
        return "it ran here and has ended here (shut down, restarted or "
               "destroyed) while pages of it were missing, which nobody wants "
               "any more; if its source keeps a suspended copy, destroy that";
    default:
        return "it arrives here; its source can tell how far it is";
    }
}

/* Where it may execute, as far as this side knows. */
static const char *place(const struct xl_status *s)
{
    enum xc_sr_phase phase = s->p ? s->p->phase : XC_SR_PHASE_FAILED;

    if ( s->at_source && s->p && phase != XC_SR_PHASE_DISCONNECTED )
        return xl_progress_guest_place(s->p);
    return xl_progress_place_by_record(s->owner);
}

static uint64_t missing_pages(const struct xc_sr_progress *p)
{
    return p->total_pages > p->done_pages ? p->total_pages - p->done_pages : 0;
}

const char *xl_status_line(const struct xl_status *s, char *buf, size_t len)
{
    const struct xc_sr_progress *p = s->p;
    enum xc_sr_phase phase = p ? p->phase : XC_SR_PHASE_FAILED;
    char line[256] = "";
    int at;

    if ( s->at_source && p )
        xl_progress_line(p, line, sizeof(line));
    else if ( p )
        snprintf(line, sizeof(line),
                 "%s: %llu of %llu pages are missing, %llu faults, %llu of "
                 "them wait",
                 xc_sr_phase_name(phase), (unsigned long long)missing_pages(p),
                 (unsigned long long)p->total_pages,
                 (unsigned long long)p->faults,
                 (unsigned long long)p->faults_outstanding);
    else
        snprintf(line, sizeof(line), "no process works on it");
    at = snprintf(buf, len, "%s %s%s: %s; record `%s`: %s", s->name,
                  !s->at_source ? "arrives"
                  : s->peer     ? "to "
                                : "leaves",
                  s->at_source && s->peer ? s->peer : "", line,
                  xc_sr_owner_name(s->owner),
                  xl_status_advice(s->at_source, s->owner, phase, s->alive));
    if ( at > 0 && (size_t)at < len && s->lost_why[0] &&
         phase == XC_SR_PHASE_DISCONNECTED )
        snprintf(buf + at, len - (size_t)at, " (lost: %s)", s->lost_why);
    return buf;
}

static void put_progress(struct xl_json *j, const struct xl_status *s)
{
    const struct xc_sr_progress *p = s->p;

    if ( s->at_source )
    {
        xl_json_bool(j, "postcopy_allowed", s->postcopy_allowed);
        xl_json_bool(j, "abort_asked", s->abort_asked);
        xl_json_u64(j, "round", p->round);
        xl_json_u64(j, "dirty_pages_per_s", p->dirty_pages_per_s);
    }
    xl_json_u64(j, "done_pages", p->done_pages);
    xl_json_u64(j, "total_pages", p->total_pages);
    xl_json_u64(j, "bytes_per_s", p->bytes_per_s);
    xl_json_u64(j, "faults", p->faults);
    xl_json_u64(j, "faults_outstanding", p->faults_outstanding);
    xl_json_u64(j, "elapsed_us", p->elapsed_us);
}

const char *xl_status_json(const struct xl_status *s, char *buf, size_t len)
{
    enum xc_sr_phase phase = s->p ? s->p->phase : XC_SR_PHASE_FAILED;
    struct xl_json j = { .gen = NULL };
    const char *text;
    size_t text_len;

    buf[0] = '\0';
    if ( xl_json_init(&j, false) )
        return buf;
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "name", s->name);
    xl_json_string(&j, "side", s->at_source ? "source" : "destination");
    xl_json_string(&j, "peer", s->peer);
    xl_json_bool(&j, "alive", s->alive);
    xl_json_string(&j, "phase", s->p ? xc_sr_phase_name(phase) : NULL);
    xl_json_string(&j, "owner", xc_sr_owner_name(s->owner));
    xl_json_string(&j, "guest_runs_at", place(s));
    xl_json_bool(&j, "connected",
                 s->alive && phase != XC_SR_PHASE_DISCONNECTED);
    xl_json_string(&j, "lost_why", s->lost_why[0] ? s->lost_why : NULL);
    xl_json_string(&j, "advice",
                   xl_status_advice(s->at_source, s->owner, phase, s->alive));
    if ( s->p )
        put_progress(&j, s);
    xl_json_close_map(&j);
    if ( !xl_json_text(&j, &text, &text_len) )
        snprintf(buf, len, "%.*s", (int)text_len, text);
    xl_json_dispose(&j);
    return buf;
}

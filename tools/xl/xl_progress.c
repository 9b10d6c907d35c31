/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_progress.c: see xl_progress.h.  Called from the engine's loop ten times
 * a second, so it decides what is worth showing and returns.  On a terminal
 * one line on stderr is rewritten; otherwise there is a line for each phase;
 * JSON lines go to standard output for whoever asked for them.
 */
#include "xl_progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "xl.h"
#include "xl_format.h"
#include "xl_json.h"

void xl_progress_init(struct xl_progress *progress, enum xl_progress_mode mode,
                      const char *name)
{
    if ( mode == XL_PROGRESS_AUTO )
        mode = isatty(STDERR_FILENO) ? XL_PROGRESS_TTY : XL_PROGRESS_PLAIN;
    *progress = (struct xl_progress){ .mode = mode, .name = name };
}

const char *xl_progress_place_by_record(enum xc_sr_owner owner)
{
    switch ( owner )
    {
    case XC_SR_OWNER_COMMITTED:
        return "unknown";
    case XC_SR_OWNER_PREP:
    case XC_SR_OWNER_ENDED:
        return "nowhere";
    case XC_SR_OWNER_DONE:
    case XC_SR_OWNER_OWNER:
    case XC_SR_OWNER_FINISHED:
    case XC_SR_OWNER_LOST:
        return "destination";
    default:
        return "source";
    }
}

const char *xl_progress_guest_place(const struct xc_sr_progress *p)
{
    switch ( p->phase )
    {
    case XC_SR_PHASE_PRECOPY:
    case XC_SR_PHASE_SUSPEND:
        return "source";
    case XC_SR_PHASE_HANDOVER:
        return "nowhere";
    case XC_SR_PHASE_POSTCOPY:
    case XC_SR_PHASE_DONE:
        return p->owner == XC_SR_OWNER_ENDED ? "nowhere" : "destination";
    default:
        return xl_progress_place_by_record(p->owner);
    }
}

const char *xl_progress_phase_text(const struct xc_sr_progress *p, char *buf,
                                   size_t len)
{
    switch ( p->phase )
    {
    case XC_SR_PHASE_SETUP:
        snprintf(buf, len, "setting up (guest %s)",
                 strcmp(xl_progress_guest_place(p), "source") ? "may run there"
                                                              : "runs here");
        break;
    case XC_SR_PHASE_PRECOPY:
        snprintf(buf, len, "pre-copy, round %u (guest runs here)",
                 p->round + 1);
        break;
    case XC_SR_PHASE_SUSPEND:
        snprintf(buf, len, "suspending the guest");
        break;
    case XC_SR_PHASE_HANDOVER:
        snprintf(buf, len, "handing over (guest stands still)");
        break;
    case XC_SR_PHASE_POSTCOPY:
        snprintf(buf, len, "post-copy (guest runs there)");
        break;
    case XC_SR_PHASE_DISCONNECTED:
        snprintf(buf, len, "connection lost (guest may run there)");
        break;
    case XC_SR_PHASE_DONE:
        snprintf(buf, len, "every page is there");
        break;
    default:
        snprintf(buf, len, "failed");
        break;
    }
    return buf;
}

void xl_progress_line(const struct xc_sr_progress *p, char *buf, size_t len)
{
    char phase[64], rate[XL_FORMAT_LEN], count[XL_FORMAT_LEN];
    int at = snprintf(buf, len, "%s: %u%%, %s",
                      xl_progress_phase_text(p, phase, sizeof(phase)),
                      xl_percent(p->done_pages, p->total_pages),
                      xl_format_rate(p->bytes_per_s, rate));

    if ( at < 0 || (size_t)at >= len )
        return;
    if ( p->phase == XC_SR_PHASE_PRECOPY && p->dirty_pages_per_s )
        snprintf(buf + at, len - (size_t)at, ", %s pages/s dirtied",
                 xl_format_count(p->dirty_pages_per_s, count));
    else if ( p->phase >= XC_SR_PHASE_HANDOVER && p->faults )
        snprintf(buf + at, len - (size_t)at, ", %s faults",
                 xl_format_count(p->faults, count));
}

static void show_json(const struct xl_progress *progress,
                      const struct xc_sr_progress *p)
{
    struct xl_json j = { .gen = NULL };

    if ( xl_json_init(&j, false) )
        return;
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "type", "progress");
    xl_json_string(&j, "name", progress->name);
    xl_json_string(&j, "phase", xc_sr_phase_name(p->phase));
    xl_json_string(&j, "guest_runs_at", xl_progress_guest_place(p));
    xl_json_u64(&j, "round", p->round);
    xl_json_u64(&j, "percent", xl_percent(p->done_pages, p->total_pages));
    xl_json_u64(&j, "done_pages", p->done_pages);
    xl_json_u64(&j, "total_pages", p->total_pages);
    xl_json_u64(&j, "bytes_per_s", p->bytes_per_s);
    xl_json_u64(&j, "dirty_pages_per_s", p->dirty_pages_per_s);
    xl_json_u64(&j, "faults", p->faults);
    xl_json_u64(&j, "elapsed_us", p->elapsed_us);
    xl_json_close_map(&j);
    /* A reader that went away does not stop a migration. */
    (void)xl_json_print(&j, stdout);
    xl_json_dispose(&j);
}

static void show(struct xl_progress *progress, const struct xc_sr_progress *p)
{
    char line[160], phase[64];

    switch ( progress->mode )
    {
    case XL_PROGRESS_TTY:
        xl_progress_line(p, line, sizeof(line));
        /* 78 columns at most: a line that wraps cannot be rewritten. */
        fprintf(stderr, "\r\033[K%.78s", line);
        fflush(stderr);
        xl_set_progress_line_open(true);
        break;
    case XL_PROGRESS_PLAIN:
        xl_note("%s: %s", progress->name,
                xl_progress_phase_text(p, phase, sizeof(phase)));
        break;
    case XL_PROGRESS_JSON:
        show_json(progress, p);
        break;
    default:
        break;
    }
}

void xl_progress_update(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_progress *progress = ctx;
    bool news = !progress->shown || p->phase != progress->phase;
    bool due = p->elapsed_us - progress->shown_at_us >= XL_PROGRESS_PERIOD_US;

    if ( progress->mode == XL_PROGRESS_PLAIN )
        due = p->phase == XC_SR_PHASE_PRECOPY && p->round != progress->round;
    /* How it ended is for the summary to say. */
    if ( (!news && !due) ||
         (progress->mode == XL_PROGRESS_PLAIN && p->phase >= XC_SR_PHASE_DONE) )
        return;
    progress->shown = true;
    progress->phase = p->phase;
    progress->round = p->round;
    progress->shown_at_us = p->elapsed_us;
    show(progress, p);
}

void xl_progress_end(struct xl_progress *progress)
{
    if ( progress->mode == XL_PROGRESS_TTY && progress->shown )
    {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        xl_set_progress_line_open(false);
    }
}

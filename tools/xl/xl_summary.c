/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_summary.c: the end of a migration in a few lines of plain words, on
 * standard output.  Figures a line has no use for are left out of it.
 */
#include <inttypes.h>

#include "xl_format.h"
#include "xl_stats.h"

static void print_totals(FILE *out, const struct xl_story *story)
{
    const struct xc_sr_stats *s = &story->result->stats;
    char time[XL_FORMAT_LEN], bytes[XL_FORMAT_LEN], rate[XL_FORMAT_LEN];

    fprintf(out, "  total      %s, %s sent (%s)\n",
            xl_format_us(s->end_us - s->start_us, time),
            xl_format_bytes(s->bytes_total, bytes),
            xl_format_rate(s->bandwidth_bytes_per_s, rate));
}

static void print_downtime(FILE *out, const struct xl_story *story)
{
    const struct xc_sr_stats *s = &story->result->stats;
    char a[XL_FORMAT_LEN], b[XL_FORMAT_LEN];
    uint64_t us = 0;

    if ( !xl_story_downtime_us(story, &us) )
    {
        /* Version 2: only the guest itself can tell. */
        if ( story->guest && story->guest->downtime_us )
            fprintf(out, "  downtime   %s, as the guest felt it\n",
                    xl_format_us(story->guest->downtime_us, a));
        return;
    }
    fprintf(out, "  downtime   %s", xl_format_us(us, a));
    if ( s->transition_us >= s->suspended_us )
        fprintf(out, ", of it %s here",
                xl_format_us(s->transition_us - s->suspended_us, b));
    if ( story->guest && story->guest->downtime_us )
        fprintf(out, "; the guest felt %s",
                xl_format_us(story->guest->downtime_us, b));
    fputc('\n', out);
}

static void print_precopy(FILE *out, const struct xc_sr_stats *s)
{
    char a[XL_FORMAT_LEN], b[XL_FORMAT_LEN];

    fprintf(out, "  pre-copy   %u round%s, %s pages, %s\n", s->nr_rounds,
            s->nr_rounds == 1 ? "" : "s", xl_format_count(s->pages_precopy, a),
            xl_format_bytes(s->bytes_precopy, b));
}

static void print_postcopy(FILE *out, const struct xc_sr_stats *s)
{
    char a[XL_FORMAT_LEN], b[XL_FORMAT_LEN], c[XL_FORMAT_LEN];

    fprintf(out,
            "  post-copy  %s pages owed: %s on demand, %s pushed; %" PRIu64
            " in the resume set\n",
            xl_format_count(s->pages_announced, a),
            xl_format_count(s->pages_fault, b),
            xl_format_count(s->pages_push, c), s->pages_resume_set);
}

static void print_faults(FILE *out, const struct xl_story *story)
{
    const struct xc_sr_stats *p = &story->result->peer_stats;
    char a[XL_FORMAT_LEN], b[XL_FORMAT_LEN], c[XL_FORMAT_LEN];

    fprintf(out, "  faults     %" PRIu64, story->result->stats.faults);
    if ( story->result->peer_stats_valid && p->faults_foreign )
        fprintf(out, " (%" PRIu64 " found by dom0)", p->faults_foreign);
    if ( story->result->peer_stats_valid && p->fault_service_count )
        fprintf(out, ", answered in %s (half), %s (99 of 100), %s (slowest)",
                xl_format_us(xl_percentile_us(p->fault_service_hist,
                                              XC_SR_HISTOGRAM_BUCKETS, 500,
                                              p->fault_service_max_us),
                             a),
                xl_format_us(xl_percentile_us(p->fault_service_hist,
                                              XC_SR_HISTOGRAM_BUCKETS, 990,
                                              p->fault_service_max_us),
                             b),
                xl_format_us(p->fault_service_max_us, c));
    fputc('\n', out);
}

/* A record that was told to us does not say whether the guest has ended. */
static void print_place(FILE *out, const struct xl_story *story)
{
    const struct xc_sr_save_result *r = story->result;
    const struct xc_sr_stats *s = &r->stats;
    bool ended = r->peer_stats_valid && r->peer_stats.abandoned;
    bool told = s->postcopy && s->stream_version >= 3 && !r->peer_stats_valid;

    fprintf(out, "%s %s %s%s%s, moved %s\n", story->args->name,
            story->crashed ? "has crashed at"
            : ended        ? "has ended at"
                           : "is at",
            story->args->dest, story->args->paused ? " (paused)" : "",
            told && !story->crashed ? " or has ended there" : "",
            s->postcopy ? "post-copy" : "by stop-and-copy");
    if ( ended )
        fprintf(out,
                "  abandoned  %" PRIu64 " pages, which were missing when it "
                "ended\n",
                r->peer_stats.abandoned);
}

void xl_summary_print(FILE *out, const struct xl_story *story)
{
    const struct xc_sr_stats *s = &story->result->stats;
    char a[XL_FORMAT_LEN];

    print_place(out, story);
    print_totals(out, story);
    print_downtime(out, story);
    print_precopy(out, s);
    if ( s->postcopy )
    {
        print_postcopy(out, s);
        print_faults(out, story);
    }
    if ( s->pages_zero )
        fprintf(out, "  zero pages %s, sent without contents\n",
                xl_format_count(s->pages_zero, a));
    if ( story->guest )
        fprintf(out, "  memory     %s\n",
                xc_sr_local_check_ok(story->guest)
                    ? "checked by the guest: nothing lost"
                    : "NOT what the guest left behind: see xl check");
    fflush(out);
}

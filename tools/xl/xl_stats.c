/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_stats.c: everything that is known about a migration once it is over, as
 * one JSON object (xl-migrate(1) lists the members).  Instants are relative
 * to the start and null where they did not come; durations and counts are
 * numbers, 0 where there was nothing.
 */
#include "xl_stats.h"

#include "xl.h"
#include "xl_format.h"

bool xl_story_downtime_us(const struct xl_story *story, uint64_t *us_r)
{
    const struct xc_sr_stats *s = &story->result->stats;

    if ( !s->suspended_us || s->running_us < s->suspended_us )
        return false;
    *us_r = s->running_us - s->suspended_us;
    return true;
}

static const char *outcome_name(int exit_status)
{
    switch ( exit_status )
    {
    case XL_EXIT_DONE:
        return "done";
    case XL_EXIT_REFUSED:
        return "refused";
    case XL_EXIT_UNKNOWN:
        return "unknown";
    default:
        return "failed";
    }
}

/* An instant, relative to the start; null if it did not come. */
static void put_instant(struct xl_json *j, const char *key, uint64_t at_us,
                        uint64_t start_us)
{
    if ( at_us < start_us || !at_us )
        xl_json_null(j, key);
    else
        xl_json_u64(j, key, at_us - start_us);
}

/* From one instant to another; null if either did not come. */
static void put_step(struct xl_json *j, const char *key, uint64_t from_us,
                     uint64_t to_us)
{
    if ( !from_us || to_us < from_us )
        xl_json_null(j, key);
    else
        xl_json_u64(j, key, to_us - from_us);
}

static void put_parameters(struct xl_json *j,
                           const struct xl_migrate_args *args)
{
    xl_json_open_map(j, "parameters");
    xl_json_bool(j, "postcopy", args->policy.allow_postcopy);
    xl_json_u64(j, "precopy_iterations", args->policy.max_iterations);
    xl_json_u64(j, "threshold_pages", args->policy.threshold_pages);
    xl_json_u64(j, "max_downtime_us", args->policy.max_downtime_us);
    xl_json_u64(j, "bandwidth_bytes_per_s", args->bandwidth_bytes_per_s);
    xl_json_u64(j, "postcopy_bandwidth_bytes_per_s",
                args->postcopy_bandwidth_bytes_per_s);
    xl_json_u64(j, "stream_version", args->stream_version);
    xl_json_bool(j, "paused", args->paused);
    xl_json_u64(j, "timeout_s",
                args->timeout_s ? args->timeout_s : XL_DEFAULT_TIMEOUT_S);
    xl_json_close_map(j);
}

static void put_times(struct xl_json *j, const struct xl_story *story)
{
    const struct xc_sr_stats *s = &story->result->stats;
    uint64_t downtime_us = 0;

    xl_json_open_map(j, "times_us");
    put_instant(j, "ready", s->ready_us, s->start_us);
    put_instant(j, "suspend_request", s->suspend_request_us, s->start_us);
    put_instant(j, "suspended", s->suspended_us, s->start_us);
    put_instant(j, "transition", s->transition_us, s->start_us);
    put_instant(j, "prepared", s->prepared_us, s->start_us);
    put_instant(j, "commit", s->commit_us, s->start_us);
    put_instant(j, "running", s->running_us, s->start_us);
    put_instant(j, "complete", s->complete_us, s->start_us);
    put_instant(j, "end", s->end_us, s->start_us);
    xl_json_close_map(j);
    put_step(j, "total_us", s->start_us, s->end_us);
    if ( xl_story_downtime_us(story, &downtime_us) )
        xl_json_u64(j, "downtime_us", downtime_us);
    else
        xl_json_null(j, "downtime_us");

    xl_json_open_map(j, "downtime");
    /* Before the downtime proper: the guest gets ready to stop. */
    put_step(j, "suspend_us", s->suspend_request_us, s->suspended_us);
    xl_json_u64(j, "dirty_us", s->suspend_dirty_us);
    xl_json_u64(j, "resume_set_us", s->suspend_resume_set_us);
    xl_json_u64(j, "state_us", s->suspend_state_us);
    xl_json_u64(j, "pfns_us", s->suspend_pfns_us);
    put_step(j, "to_transition_us", s->suspended_us, s->transition_us);
    put_step(j, "prepare_us", s->transition_us, s->prepared_us);
    put_step(j, "commit_us", s->prepared_us, s->commit_us);
    put_step(j, "run_us", s->commit_us, s->running_us);
    xl_json_close_map(j);
}

static void put_bytes(struct xl_json *j, const struct xc_sr_stats *s)
{
    xl_json_open_map(j, "bytes");
    xl_json_u64(j, "total", s->bytes_total);
    xl_json_u64(j, "back", s->bytes_back);
    xl_json_u64(j, "precopy", s->bytes_precopy);
    xl_json_u64(j, "resume_set", s->bytes_resume_set);
    xl_json_u64(j, "announce", s->bytes_announce);
    xl_json_u64(j, "state", s->bytes_state);
    xl_json_u64(j, "fault", s->bytes_fault);
    xl_json_u64(j, "push", s->bytes_push);
    xl_json_u64(j, "other", s->bytes_other);
    xl_json_u64(j, "upper", s->bytes_upper);
    xl_json_close_map(j);
}

static void put_pages(struct xl_json *j, const struct xc_sr_stats *s)
{
    xl_json_open_map(j, "pages");
    xl_json_u64(j, "guest", s->nr_pfns);
    xl_json_u64(j, "precopy", s->pages_precopy);
    xl_json_u64(j, "resume_set", s->pages_resume_set);
    xl_json_u64(j, "announced", s->pages_announced);
    xl_json_u64(j, "fault", s->pages_fault);
    xl_json_u64(j, "push", s->pages_push);
    xl_json_u64(j, "zero", s->pages_zero);
    xl_json_close_map(j);
}

static void put_rounds(struct xl_json *j, const struct xc_sr_stats *s)
{
    unsigned int i;

    xl_json_u64(j, "nr_rounds", s->nr_rounds);
    xl_json_open_array(j, "rounds");
    for ( i = 0; i < s->nr_rounds && i < XC_SR_MAX_ROUNDS; i++ )
    {
        xl_json_open_map(j, NULL);
        xl_json_u64(j, "sent_pages", s->rounds[i].sent_pages);
        xl_json_u64(j, "dirty_pages", s->rounds[i].dirty_pages);
        xl_json_u64(j, "duration_us", s->rounds[i].duration_us);
        xl_json_u64(j, "bytes", s->rounds[i].bytes);
        xl_json_close_map(j);
    }
    xl_json_close_array(j);
}

static void put_histogram(struct xl_json *j, const uint64_t *hist)
{
    unsigned int i;

    xl_json_open_array(j, "histogram");
    for ( i = 0; i < XC_SR_HISTOGRAM_BUCKETS; i++ )
        xl_json_u64(j, NULL, hist[i]);
    xl_json_close_array(j);
}

static void put_percentile(struct xl_json *j, const char *key,
                           const struct xc_sr_stats *s, unsigned int permille)
{
    xl_json_u64(j, key,
                xl_percentile_us(s->fault_service_hist, XC_SR_HISTOGRAM_BUCKETS,
                                 permille, s->fault_service_max_us));
}

/* What the destination said of itself. */
static void put_peer(struct xl_json *j, const struct xc_sr_save_result *result)
{
    const struct xc_sr_stats *s = &result->peer_stats;

    if ( !result->peer_stats_valid )
    {
        xl_json_null(j, "destination");
        return;
    }
    xl_json_open_map(j, "destination");
    xl_json_u64(j, "faults", s->faults);
    xl_json_u64(j, "faults_late", s->faults_late);
    xl_json_u64(j, "faults_foreign", s->faults_foreign);
    xl_json_u64(j, "duplicates", s->duplicates);
    xl_json_u64(j, "released", s->released);
    xl_json_u64(j, "abandoned", s->abandoned);
    xl_json_u64(j, "skipped_records", s->skipped_records);
    xl_json_u64(j, "bytes", s->bytes_total);
    xl_json_open_map(j, "fault_service");
    xl_json_u64(j, "count", s->fault_service_count);
    xl_json_u64(j, "mean_us",
                s->fault_service_count
                    ? s->fault_service_sum_us / s->fault_service_count
                    : 0);
    put_percentile(j, "p50_us", s, 500);
    put_percentile(j, "p90_us", s, 900);
    put_percentile(j, "p99_us", s, 990);
    xl_json_u64(j, "max_us", s->fault_service_max_us);
    put_histogram(j, s->fault_service_hist);
    xl_json_close_map(j);
    xl_json_close_map(j);
}

/* What the guest felt. */
static void put_guest(struct xl_json *j, const struct xc_sr_local_check *c)
{
    if ( !c )
    {
        xl_json_null(j, "guest");
        return;
    }
    xl_json_open_map(j, "guest");
    xl_json_bool(j, "check_ok", xc_sr_local_check_ok(c));
    xl_json_u64(j, "ops", c->ops);
    xl_json_u64(j, "counters", c->counters);
    xl_json_u64(j, "errors", c->errors);
    xl_json_u64(j, "bad_pages", c->bad_pages);
    xl_json_u64(j, "downtime_us", c->downtime_us);
    xl_json_u64(j, "baseline_ops_per_s", c->baseline_ops_per_s);
    if ( c->back_to_speed_us )
        xl_json_u64(j, "back_to_speed_us", c->back_to_speed_us);
    else
        xl_json_null(j, "back_to_speed_us");
    xl_json_open_map(j, "stalls");
    xl_json_u64(j, "count", c->stalls);
    xl_json_u64(j, "mean_us", c->stalls ? c->stall_sum_us / c->stalls : 0);
    xl_json_u64(j, "p50_us", c->stall_p50_us);
    xl_json_u64(j, "p90_us", c->stall_p90_us);
    xl_json_u64(j, "p99_us", c->stall_p99_us);
    xl_json_u64(j, "max_us", c->stall_max_us);
    put_histogram(j, c->stall_hist);
    xl_json_close_map(j);
    xl_json_close_map(j);
}

static void put_outcome(struct xl_json *j, const struct xl_story *story)
{
    const struct xc_sr_save_result *result = story->result;

    xl_json_string(j, "name", story->args->name);
    xl_json_string(j, "destination_address", story->args->dest);
    xl_json_string(j, "outcome", outcome_name(story->exit_status));
    xl_json_i64(j, "exit_status", story->exit_status);
    xl_json_string(j, "owner", xc_sr_owner_name(story->owner));
    xl_json_string(j, "why", *story->why ? story->why : NULL);
    xl_json_bool(j, "refused", result->refused);
    xl_json_string(j, "refuse_reason",
                   result->refused ? xc_sr_reason_name(result->refuse_reason)
                                   : NULL);
}

void xl_stats_write(struct xl_json *j, const char *type,
                    const struct xl_story *story)
{
    const struct xc_sr_stats *s = &story->result->stats;

    xl_json_open_map(j, NULL);
    if ( type )
        xl_json_string(j, "type", type);
    put_outcome(j, story);
    put_parameters(j, story->args);
    xl_json_u64(j, "stream_version", s->stream_version);
    xl_json_bool(j, "postcopy", s->postcopy);
    xl_json_u64(j, "features", s->features);
    put_times(j, story);
    put_bytes(j, s);
    put_pages(j, s);
    put_rounds(j, s);
    xl_json_u64(j, "bandwidth_bytes_per_s", s->bandwidth_bytes_per_s);
    xl_json_u64(j, "dirty_pages_per_s", s->dirty_pages_per_s);
    xl_json_u64(j, "faults", s->faults);
    xl_json_u64(j, "faults_late", s->faults_late);
    xl_json_u64(j, "skipped_records", s->skipped_records);
    xl_json_open_map(j, "recovery");
    xl_json_u64(j, "losses", s->losses);
    xl_json_u64(j, "recoveries", s->recoveries);
    xl_json_u64(j, "disconnected_us", s->disconnected_us);
    xl_json_close_map(j);
    put_peer(j, story->result);
    put_guest(j, story->guest);
    xl_json_close_map(j);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_local_show.c: list and check on a local host, for people and as JSON.
 * A check's verdict is its exit code: 0 all is well, 1 something is lost or
 * wrong, or could not be looked at.
 */
#include "xl_local.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenpostcopy_local.h"
#include "xl.h"
#include "xl_config.h"
#include "xl_format.h"
#include "xl_journal.h"
#include "xl_json.h"

/* Takes --json and at most one name. */
static int parse_args(int argc, char **argv, bool *json_r, const char **name_r)
{
    static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
                                           { NULL, 0, NULL, 0 } };
    int opt;

    *json_r = false;
    *name_r = NULL;
    opterr = 0;
    optind = 0;
    while ( (opt = getopt_long(argc, argv, "", longs, NULL)) != -1 )
    {
        if ( opt != 'j' )
            return xl_usage_error(xl_command_find(argv[0]), "unknown option");
        *json_r = true;
    }
    if ( argc - optind > 1 )
        return xl_usage_error(xl_command_find(argv[0]), "too many arguments");
    if ( argc - optind == 1 )
        *name_r = argv[optind];
    if ( *name_r && !xl_name_is_valid(*name_r) )
        return xl_usage_error(xl_command_find(argv[0]), "not a guest's name");
    return XL_EXIT_DONE;
}

static int print_json(struct xl_json *j)
{
    int rc = xl_json_print(j, stdout);

    xl_json_dispose(j);
    if ( !rc )
        return XL_EXIT_DONE;
    xl_error("cannot write: %s", strerror(-rc));
    return XL_EXIT_FAILED;
}

/* ---- list ---------------------------------------------------------------------- */

static void put_info(struct xl_json *j, const struct xc_sr_local_info *info)
{
    const struct xc_sr_local_config *c = &info->config;

    xl_json_string(j, "name", c->name);
    xl_json_string(j, "state", xc_sr_local_state_name(info->state));
    xl_json_i64(j, "pid", info->pid);
    xl_json_u64(j, "memory_kib", c->memory_kib);
    xl_json_u64(j, "vcpus", c->vcpus);
    xl_json_string(j, "workload", xc_sr_local_workload_name(c->workload));
    xl_json_u64(j, "rate", c->rate_ops_per_s);
    xl_json_u64(j, "working_set_kib", c->working_set_kib);
    xl_json_bool(j, "migrating", info->migrating);
    xl_json_bool(j, "paging", info->paging);
    xl_json_bool(j, "retained", info->retained);
    xl_json_u64(j, "ops", info->ops);
    xl_json_u64(j, "errors", info->errors);
    xl_json_string(j, "why", *info->why ? info->why : NULL);
}

static void show_info(const struct xc_sr_local_info *info)
{
    const struct xc_sr_local_config *c = &info->config;

    printf("%-24s %6" PRIu64 " %5u  %-8s %-10s %14" PRIu64 "%s%s%s%s%s\n",
           c->name, c->memory_kib / 1024, c->vcpus,
           xc_sr_local_workload_name(c->workload),
           xc_sr_local_state_name(info->state), info->ops,
           info->migrating ? "  migrating" : "",
           info->paging ? "  pages-missing" : "",
           info->errors ? "  ERRORS" : "", *info->why ? "  " : "", info->why);
}

static int list_json(const struct xc_sr_local_info *infos, size_t nr)
{
    struct xl_json j = { 0 };

    if ( xl_json_init(&j, true) )
        return XL_EXIT_FAILED;
    xl_json_open_array(&j, NULL);
    for ( size_t i = 0; i < nr; i++ )
    {
        xl_json_open_map(&j, NULL);
        put_info(&j, &infos[i]);
        xl_json_close_map(&j);
    }
    xl_json_close_array(&j);
    return print_json(&j);
}

static int list_text(const struct xc_sr_local_info *infos, size_t nr)
{
    printf("%-24s %6s %5s  %-8s %-10s %14s\n", "Name", "MiB", "vCPUs",
           "Workload", "State", "Operations");
    for ( size_t i = 0; i < nr; i++ )
        show_info(&infos[i]);
    return fflush(stdout) ? XL_EXIT_FAILED : XL_EXIT_DONE;
}

/* Leaves of the list only the guest of that name, if there is one. */
static size_t keep(struct xc_sr_local_info *infos, size_t nr, const char *name)
{
    for ( size_t i = 0; i < nr; i++ )
    {
        if ( strcmp(infos[i].config.name, name) )
            continue;
        infos[0] = infos[i];
        return 1;
    }
    return 0;
}

int xl_local_list(const char *local_dir, int argc, char **argv)
{
    const struct xl_global global = { 0 };
    struct xc_sr_local_info *infos;
    struct xc_sr_log log;
    const char *name;
    bool json;
    size_t nr;
    int rc = parse_args(argc, argv, &json, &name);

    if ( rc )
        return rc;
    xl_log_init(&global, &log);
    if ( xc_sr_local_list(local_dir, &log, &infos, &nr) )
        return XL_EXIT_FAILED;
    if ( name && !(nr = keep(infos, nr, name)) )
    {
        xl_error("%s: no guest %s", local_dir, name);
        rc = XL_EXIT_FAILED;
    }
    else
        rc = json ? list_json(infos, nr) : list_text(infos, nr);
    free(infos);
    return rc;
}

/* ---- check --------------------------------------------------------------------- */

static void put_stalls(struct xl_json *j, const struct xc_sr_local_check *c)
{
    xl_json_open_map(j, "stalls");
    xl_json_u64(j, "count", c->stalls);
    xl_json_u64(j, "mean_us", c->stalls ? c->stall_sum_us / c->stalls : 0);
    xl_json_u64(j, "p50_us", c->stall_p50_us);
    xl_json_u64(j, "p90_us", c->stall_p90_us);
    xl_json_u64(j, "p99_us", c->stall_p99_us);
    xl_json_u64(j, "max_us", c->stall_max_us);
    xl_json_u64(j, "samples", c->stall_samples);
    xl_json_u64(j, "preemptions", c->preemptions);
    xl_json_open_array(j, "histogram");
    for ( unsigned int i = 0; i < XC_SR_HISTOGRAM_BUCKETS; i++ )
        xl_json_u64(j, NULL, c->stall_hist[i]);
    xl_json_close_array(j);
    xl_json_close_map(j);
}

static int check_json(const struct xc_sr_local_check *c)
{
    struct xl_json j = { 0 };

    if ( xl_json_init(&j, true) )
        return XL_EXIT_FAILED;
    xl_json_open_map(&j, NULL);
    xl_json_bool(&j, "ok", xc_sr_local_check_ok(c));
    xl_json_bool(&j, "complete", c->complete);
    put_info(&j, &c->info);
    xl_json_u64(&j, "sum", c->counters);
    xl_json_u64(&j, "bad_pages", c->bad_pages);
    if ( c->bad_pages )
        xl_json_u64(&j, "first_bad_pfn", c->first_bad_pfn);
    xl_json_u64(&j, "ops_per_s", c->ops_per_s);
    xl_json_u64(&j, "moves", c->moves);
    xl_json_u64(&j, "last_op_us", c->last_op_us);
    xl_json_u64(&j, "first_op_us", c->first_op_us);
    xl_json_u64(&j, "downtime_us", c->downtime_us);
    xl_json_u64(&j, "baseline_ops_per_s", c->baseline_ops_per_s);
    if ( c->back_to_speed_us )
        xl_json_u64(&j, "back_to_speed_us", c->back_to_speed_us);
    else
        xl_json_null(&j, "back_to_speed_us");
    put_stalls(&j, c);
    xl_json_close_map(&j);
    return print_json(&j);
}

static void show_move(const struct xc_sr_local_check *c)
{
    char a[XL_FORMAT_LEN], b[XL_FORMAT_LEN], d[XL_FORMAT_LEN];

    printf("  latest move: stood still for %s",
           xl_format_us(c->downtime_us, a));
    if ( c->back_to_speed_us )
        printf(", back at 80 %% speed after %s",
               xl_format_us(c->back_to_speed_us, b));
    putchar('\n');
    if ( c->stalls )
        printf("  waited for a page %" PRIu64
               " times: median %s, 99 %% %s, longest %s\n",
               c->stalls, xl_format_us(c->stall_p50_us, a),
               xl_format_us(c->stall_p99_us, b),
               xl_format_us(c->stall_max_us, d));
}

/* What is wrong, one line each. */
static void show_faults(const char *local_dir,
                        const struct xc_sr_local_check *c)
{
    const char *name = c->info.config.name;

    if ( c->info.state == XC_SR_LOCAL_CRASHED )
        xl_error("guest %s has crashed: %s", name, c->info.why);
    if ( !c->complete && xl_journal_tells_loss(local_dir, name) )
        xl_error("guest %s: pages of it are missing for good: its migration "
                 "was lost; `xl destroy` it here, then `xl resume` it where "
                 "it came from",
                 name);
    else if ( !c->complete && c->info.state == XC_SR_LOCAL_CRASHED )
        xl_error("guest %s: pages were missing when it crashed, so its memory "
                 "cannot be checked",
                 name);
    else if ( !c->complete )
        xl_error("guest %s: pages are still missing: check again when its "
                 "migration has ended",
                 name);
    else if ( c->ops != c->counters )
        xl_error("guest %s: it did %" PRIu64
                 " operations, its memory shows %" PRIu64,
                 name, c->ops, c->counters);
    if ( c->bad_pages )
        xl_error("guest %s: %" PRIu64
                 " pages have wrong contents, the first at pfn 0x%" PRIx64,
                 name, c->bad_pages, c->first_bad_pfn);
    if ( c->errors )
        xl_error("guest %s: its vCPUs met wrong contents %" PRIu64 " times",
                 name, c->errors);
}

int xl_local_check(const char *local_dir, int argc, char **argv)
{
    const struct xl_global global = { 0 };
    struct xc_sr_local_check check;
    struct xc_sr_log log;
    const char *name;
    bool json;
    int rc = parse_args(argc, argv, &json, &name);

    if ( rc )
        return rc;
    if ( !name )
        return xl_usage_error(xl_command_find(argv[0]),
                              "the name of one guest is needed");
    xl_log_init(&global, &log);
    if ( xc_sr_local_check(local_dir, name, &log, &check) )
        return XL_EXIT_FAILED;

    if ( json && (rc = check_json(&check)) )
        return rc;
    if ( xc_sr_local_check_ok(&check) )
    {
        if ( json )
            return XL_EXIT_DONE;
        printf("%s: all is well: %" PRIu64 " operations, all found in %" PRIu64
               " MiB of memory\n",
               name, check.ops, check.info.config.memory_kib / 1024);
        if ( check.moves )
            show_move(&check);
        return fflush(stdout) ? XL_EXIT_FAILED : XL_EXIT_DONE;
    }
    show_faults(local_dir, &check);
    return XL_EXIT_FAILED;
}

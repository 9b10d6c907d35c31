/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * report.c: sums over the vCPUs, as one line of name=value.  One write to
 * xenstore for each report, so that a reader never sees half of one.  Other
 * vCPUs go on counting meanwhile: figures are at most a tick apart.
 */
#include <stddef.h>

#include "clock.h"
#include "cold.h"
#include "console.h"
#include "cpu.h"
#include "hook.h"
#include "main.h"
#include "map.h"
#include "report.h"
#include "store.h"
#include "text.h"

static uint64_t beat, errors_told;

static uint64_t sum(size_t offset)
{
    uint64_t result = 0;
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
        result += *(volatile uint64_t *)((char *)&cpus[nr].work + offset);
    return result;
}

static uint64_t most(size_t offset)
{
    uint64_t result = 0, value;
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
    {
        value = *(volatile uint64_t *)((char *)&cpus[nr].work + offset);
        result = value > result ? value : result;
    }
    return result;
}

static uint64_t least(size_t offset)
{
    uint64_t result = UINT64_MAX, value;
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
    {
        value = *(volatile uint64_t *)((char *)&cpus[nr].work + offset);
        result = value < result ? value : result;
    }
    return result;
}

#define SUM(field)   sum(offsetof(struct work, field))
#define MOST(field)  most(offsetof(struct work, field))
#define LEAST(field) least(offsetof(struct work, field))

static void add_work(struct text *t)
{
    text_pair(t, "reads", SUM(reads));
    text_pair(t, "writes", SUM(writes));
    text_pair(t, "scans", SUM(scans));
    text_pair(t, "passes", LEAST(passes));
    text_pair(t, "verified", LEAST(verified));
    text_pair(t, "late", SUM(late));
    text_pair(t, "errors", SUM(errors));
    text_pair(t, "resumes", life.resumes);
    text_pair(t, "cancelled", life.cancelled);
    text_pair(t, "stop_us", life.stop_ns / 1000);
    text_pair(t, "gap_us", MOST(gap_ns) / 1000);
    text_pair(t, "op_max_us", MOST(op_max_ns) / 1000);
}

static void add_xen(struct text *t)
{
    uint64_t runstates = 0, times = 0;
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
    {
        runstates += hook_runstate_is_live(nr);
        times += hook_time_area_is_live(nr);
    }
    text_pair(t, "runstates", runstates);
    text_pair(t, "time_areas", times);
    text_pair(t, "cold_ok", cold_counts.ok);
    text_pair(t, "cold_fault", cold_counts.fault);
    text_pair(t, "cold_stuck", cold_counts.stuck);
    text_pair(t, "cold_bad", cold_counts.bad);
    text_pair(t, "grant_ok", cold_counts.grant_ok);
    text_pair(t, "grant_again", cold_counts.grant_again);
    text_pair(t, "grant_bad", cold_counts.grant_bad);
}

static void status(struct text *t)
{
    text_pair(t, "beat", beat);
    text_pair(t, "at_ms", clock_wall_ns() / 1000000);
    text_pair(t, "vcpus", nr_cpus);
    text_pair(t, "pages", work_division.nr);
    add_work(t);
    add_xen(t);
}

void report_console(const char *event)
{
    char buf[768];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_str(&t, event);
    text_str(&t, ":");
    status(&t);
    console_line(buf);
}

static void tell_fault(const struct work *w)
{
    char buf[256];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_str(&t, "ERROR: ");
    text_str(&t, pattern_verdict_name(w->fault.verdict));
    text_str(&t, " page: pfn ");
    text_hex(&t, w->fault_pfn);
    text_str(&t, " version ");
    text_dec(&t, w->fault_version);
    text_str(&t, " word ");
    text_dec(&t, w->fault.word);
    text_str(&t, " is ");
    text_hex(&t, w->fault.found);
    text_str(&t, ", not ");
    text_hex(&t, w->fault.wanted);
    if ( w->fault.verdict == PATTERN_STALE ||
         w->fault.verdict == PATTERN_FOREIGN )
    {
        text_str(&t, ": it is pfn ");
        text_hex(&t, w->fault.is_pfn);
        text_str(&t, " version ");
        text_dec(&t, w->fault.is_version);
    }
    console_line(buf);
    store_write("data/witness/error", buf);
}

static void tell_errors(void)
{
    uint64_t errors = SUM(errors);
    unsigned int nr;

    if ( errors == errors_told )
        return;
    for ( nr = 0; nr < nr_cpus && errors_told == 0; nr++ )
        if ( cpus[nr].work.errors )
            tell_fault(&cpus[nr].work);
    errors_told = errors;
    report_console("errors");
}

void report_store(const char *state)
{
    char buf[768];
    struct text t;

    beat++;
    tell_errors();
    text_init(&t, buf, sizeof(buf));
    text_str(&t, "state=");
    text_str(&t, state);
    status(&t);
    store_write("data/witness/status", buf);
}

void report_reset(void)
{
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
    {
        cpus[nr].work.gap_ns = 0;
        cpus[nr].work.op_max_ns = 0;
    }
}

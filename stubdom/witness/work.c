/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * work.c: operations on the pool, at the rate and in the order of the
 * parameters, and the check of everything in order that never ends.
 * cpu_turn() calls work_tick() on each vCPU, at every tick.  All of it stops
 * when the tick's share of time is used up, or when the vCPUs shall stop.
 */
#include <string.h>

#include "args.h"
#include "clock.h"
#include "cpu.h"
#include "main.h"
#include "map.h"
#include "work.h"

#define NS_PER_S     1000000000ull
#define VERIFY_PAGES 32u /* at least, in each tick */

struct pattern work_pattern;
struct division work_division;
volatile uint64_t work_verify_wanted;

static volatile bool begun;

void work_init(void)
{
    uint32_t nr = map_nr_pages();

    work_pattern.seed = args.seed;
    work_pattern.zero_every = (uint32_t)args.zero_every;
    work_division.nr = nr;
    work_division.cold = args.cold < nr / 4 ? (uint32_t)args.cold : nr / 4;
    work_division.shared =
        (uint32_t)((uint64_t)(nr - work_division.cold) * args.shared_pct / 100);
}

static uint32_t first_private(void)
{
    return work_division.shared;
}

uint32_t work_cold_page(uint32_t nr)
{
    return work_division.nr - work_division.cold + nr;
}

/* The number of pages this vCPU works on: the shared ones, then its own. */
static uint32_t nr_mine(unsigned int cpu)
{
    uint32_t rest = work_division.nr - work_division.cold - first_private();

    return work_division.shared + rest / nr_cpus +
           (cpu < rest % nr_cpus ? 1 : 0);
}

static uint32_t index_of(unsigned int cpu, uint32_t at)
{
    if ( at < work_division.shared )
        return at;
    return first_private() + (at - work_division.shared) * nr_cpus + cpu;
}

bool work_fill(unsigned int cpu, uint32_t *at, uint32_t max_pages)
{
    /* Shared and cold pages are the first vCPU's to fill. */
    uint32_t begin = cpu == 0 ? 0 : work_division.shared;
    uint32_t mine = nr_mine(cpu) - begin;
    uint32_t nr = mine + (cpu == 0 ? work_division.cold : 0);

    for ( ; *at < nr && max_pages; (*at)++, max_pages-- )
    {
        uint32_t index = *at < mine ? index_of(cpu, begin + *at)
                                    : work_cold_page(*at - mine);

        pattern_fill(&work_pattern, map_page(index), map_pfn(index), 0);
    }
    return *at == nr;
}

void work_begin(void)
{
    begun = true;
}

/* A page that is wrong is counted once: it is put right. */
static void check(struct work *w, uint32_t index)
{
    uint32_t pfn = map_pfn(index), version = map_versions[index];
    struct pattern_fault fault;

    if ( pattern_check(&work_pattern, map_page(index), pfn, version, &fault) ==
         PATTERN_GOOD )
        return;
    if ( w->errors == 0 )
    {
        w->fault = fault;
        w->fault_pfn = pfn;
        w->fault_version = version;
    }
    pattern_fill(&work_pattern, map_page(index), pfn, version);
    __sync_synchronize();
    w->errors++;
}

static uint64_t next_random(struct work *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

/* Operations are on nr of its pages, from the first of them on. */
static uint32_t first_op(unsigned int cpu, uint32_t *nr)
{
    uint32_t hot = (uint32_t)args.hot / nr_cpus;

    *nr = nr_mine(cpu);
    if ( args.hot == 0 || *nr == work_division.shared )
        return 0;
    *nr -= work_division.shared;
    if ( hot < *nr )
        *nr = hot ? hot : 1;
    return work_division.shared;
}

static void operate(struct work *w, unsigned int cpu)
{
    uint32_t nr, first = first_op(cpu, &nr), at, index;
    uint64_t random = next_random(w);

    if ( w->op_at >= nr )
        w->op_at = 0;
    at = first + (args.random ? (uint32_t)((random >> 20) % nr) : w->op_at++);
    index = index_of(cpu, at);
    check(w, index);
    if ( at >= work_division.shared && random % 100 < args.write_pct )
    {
        pattern_fill(&work_pattern, map_page(index), map_pfn(index),
                     ++map_versions[index]);
        w->writes++;
    }
    else
        w->reads++;
}

static void scan(struct work *w, unsigned int cpu)
{
    if ( w->scan_at >= nr_mine(cpu) )
    {
        w->scan_at = 0;
        w->passes++;
    }
    check(w, index_of(cpu, w->scan_at++));
    w->scans++;
}

static void verify(struct work *w, unsigned int cpu)
{
    check(w, index_of(cpu, w->verify_at++));
    if ( w->verify_at >= nr_mine(cpu) )
    {
        w->verify_at = 0;
        w->verified = work_verify_wanted;
    }
}

/* More credit than for two ticks is not owed: the guest stood still. */
static uint64_t earn(uint64_t credit, uint64_t per_s, uint64_t ns)
{
    uint64_t most = 2 * per_s * args.tick_ms * 1000000u + NS_PER_S;

    credit += per_s * ns;
    return credit > most ? most : credit;
}

/* One page of whatever is due; false when nothing is. */
static bool one_page(struct work *w, unsigned int cpu)
{
    if ( w->op_credit >= NS_PER_S )
    {
        w->op_credit -= NS_PER_S;
        operate(w, cpu);
    }
    else if ( w->scan_credit >= NS_PER_S )
    {
        w->scan_credit -= NS_PER_S;
        scan(w, cpu);
    }
    else if ( w->verified != work_verify_wanted )
        verify(w, cpu);
    else
        return false;
    return true;
}

/* However slow this machine is, a verify comes to its end. */
static void verify_some(struct work *w, unsigned int cpu)
{
    unsigned int i;

    for ( i = 0; i < VERIFY_PAGES && w->verified != work_verify_wanted; i++ )
    {
        if ( cpu_is_stopping() )
            return;
        verify(w, cpu);
    }
}

/* Pages, one by one, until nothing is due or the time is used up. */
static void use_budget(struct work *w, unsigned int cpu, uint64_t budget_ns)
{
    uint64_t from_ns = clock_system_ns(), begin_ns, end_ns = from_ns;

    do
    {
        begin_ns = end_ns;
        if ( cpu_is_stopping() || !one_page(w, cpu) )
            return;
        end_ns = clock_system_ns();
        if ( end_ns > begin_ns && end_ns - begin_ns > w->op_max_ns )
            w->op_max_ns = end_ns - begin_ns;
    } while ( end_ns - from_ns < budget_ns );
    if ( w->op_credit >= NS_PER_S )
        w->late++;
}

void work_tick(struct work *w, unsigned int cpu, uint64_t now_ns)
{
    uint64_t ns = now_ns - w->then_ns;

    if ( !begun )
        return;
    if ( !w->random )
        w->random = (args.seed | 1) * (cpu + 1) * 0x9e3779b97f4a7c15ull;
    w->then_ns = now_ns;
    if ( ns > NS_PER_S )
        ns = NS_PER_S; /* the first tick, or the first of another host */
    w->op_credit = earn(w->op_credit, args.rate / nr_cpus, ns);
    w->scan_credit = earn(w->scan_credit, args.scan / nr_cpus, ns);
    verify_some(w, cpu);
    use_budget(w, cpu, args.tick_ms * 10000u * args.duty_pct / nr_cpus);
}

void work_gap(struct work *w, uint64_t then_ns, uint64_t now_ns)
{
    if ( now_ns > then_ns && now_ns - then_ns > w->gap_ns )
        w->gap_ns = now_ns - then_ns;
}

void work_restart(struct work *w)
{
    w->op_at = 0;
    w->scan_at = 0;
}

bool work_spoil(const char *how)
{
    uint32_t index = first_private() + nr_cpus; /* the first vCPU's second */
    uint64_t *page = map_page(index);

    if ( strcmp(how, "bit") == 0 )
        page[PATTERN_WORDS / 2] ^= 1ull << 17;
    else if ( strcmp(how, "stale") == 0 )
    {
        pattern_fill(&work_pattern, page, map_pfn(index), map_versions[index]);
        map_versions[index]++;
    }
    else if ( strcmp(how, "zero") == 0 )
    {
        map_versions[index]++; /* version 0 may be zeroes by right */
        memset(page, 0, PATTERN_WORDS * sizeof(*page));
    }
    else
        return false;
    return true;
}

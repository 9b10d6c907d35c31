/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_stats.c: what a local guest knows of its own life: the cost of
 * operations that had to wait for a page, and how fast it goes.
 *
 * An operation that takes longer than a few microseconds while pages may be
 * missing is either a wait for a page or a preemption.  The thread's count of
 * voluntary context switches tells them apart: between two operations nothing
 * else sleeps.  (Its count of major faults does not: with per-VMA locks, since
 * Linux 6.4, waits for userfaultfd are not among them.)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "local_guest.h"

#define CALIBRATE_US 10000u
#define BACK_BINS    3u /* so many in a row at 80 % are "back to speed" */
#define SPEED_BINS   100u

static uint64_t ticks_per_us = 1000;

#if defined(__x86_64__)
uint64_t guest_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

int guest_ticks_calibrate(void)
{
    struct timespec ts = { .tv_nsec = CALIBRATE_US * 1000 };
    uint64_t start_us = xc_sr__now_us(), start = guest_ticks();

    nanosleep(&ts, NULL);
    ticks_per_us = (guest_ticks() - start) / (xc_sr__now_us() - start_us);
    return ticks_per_us ? 0 : -ENODEV;
}
#else
uint64_t guest_ticks(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int guest_ticks_calibrate(void)
{
    return 0;
}
#endif

uint64_t guest_ticks_per_us(void)
{
    return ticks_per_us;
}

long guest_waits(void)
{
    struct rusage ru;

    return getrusage(RUSAGE_THREAD, &ru) ? 0 : ru.ru_nvcsw;
}

/* ---- Stalls ---------------------------------------------------------------- */

static unsigned int bucket(uint64_t us)
{
    unsigned int n = us ? 63 - (unsigned int)__builtin_clzll(us) : 0;

    return n < XC_SR_HISTOGRAM_BUCKETS ? n : XC_SR_HISTOGRAM_BUCKETS - 1;
}

static void keep_sample(struct vcpu *v, uint64_t units)
{
    struct stalls *s = &v->stalls;
    uint64_t nr = atomic_load(&s->count), at = nr - 1;
    _Atomic uint32_t *samples = atomic_load(&s->samples);

    if ( !samples )
    {
        samples = calloc(NR_SAMPLES, sizeof(*samples));
        if ( !samples )
            return;
        atomic_store(&s->samples, samples);
    }
    /* When full, every stall has the same chance to be among the kept. */
    if ( at >= NR_SAMPLES )
        at = (v->rng >> 11) % nr;
    if ( at < NR_SAMPLES )
        atomic_store(&samples[at],
                     units < UINT32_MAX ? (uint32_t)units : UINT32_MAX);
}

void guest_slow_op(struct vcpu *v, uint64_t ticks)
{
    struct stalls *s = &v->stalls;
    uint64_t units = ticks * (1000 / SAMPLE_UNIT) / ticks_per_us;
    long waits = guest_waits();

    if ( waits == v->waits )
    {
        atomic_fetch_add(&s->preemptions, 1);
        return;
    }
    v->waits = waits;
    atomic_fetch_add(&s->count, 1);
    s->sum_units += units;
    if ( units > s->max_units )
        s->max_units = units;
    s->hist[bucket(units * SAMPLE_UNIT / 1000)]++;
    keep_sample(v, units);
}

/* Before the vCPUs run here for the first time. */
void guest_stalls_reset(struct guest *g)
{
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        free((void *)atomic_load(&g->vcpus[i].stalls.samples));
        memset(&g->vcpus[i].stalls, 0, sizeof(g->vcpus[i].stalls));
    }
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t to_us(uint64_t units)
{
    return (units * SAMPLE_UNIT + 500) / 1000;
}

/* Appends what a vCPU has kept, at most max; how many. */
static size_t copy_samples(struct stalls *s, uint32_t *to, size_t max)
{
    _Atomic uint32_t *samples = atomic_load(&s->samples);
    uint64_t nr = samples ? atomic_load(&s->count) : 0;

    if ( nr > NR_SAMPLES )
        nr = NR_SAMPLES;
    if ( nr > max )
        nr = max;
    for ( uint64_t i = 0; i < nr; i++ )
        to[i] = atomic_load_explicit(&samples[i], memory_order_relaxed);
    return nr;
}

static void percentiles(struct guest *g, struct xc_sr_local_check *check)
{
    size_t nr = 0, max = 0;
    uint32_t *all;

    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        uint64_t count = atomic_load(&g->vcpus[i].stalls.count);

        max += count < NR_SAMPLES ? count : NR_SAMPLES;
    }
    all = calloc(max, sizeof(*all));
    if ( !all )
        return;
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
        nr += copy_samples(&g->vcpus[i].stalls, all + nr, max - nr);
    qsort(all, nr, sizeof(*all), compare_u32);
    check->stall_samples = nr;
    if ( nr )
    {
        check->stall_p50_us = to_us(all[(nr - 1) * 50 / 100]);
        check->stall_p90_us = to_us(all[(nr - 1) * 90 / 100]);
        check->stall_p99_us = to_us(all[(nr - 1) * 99 / 100]);
    }
    free(all);
}

void guest_stalls_sum(struct guest *g, struct xc_sr_local_check *check)
{
    uint64_t sum = 0, max = 0;

    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        struct stalls *s = &g->vcpus[i].stalls;

        check->stalls += atomic_load(&s->count);
        check->preemptions += atomic_load(&s->preemptions);
        sum += s->sum_units;
        if ( s->max_units > max )
            max = s->max_units;
        for ( unsigned int n = 0; n < XC_SR_HISTOGRAM_BUCKETS; n++ )
            check->stall_hist[n] += s->hist[n];
    }
    check->stall_sum_us = to_us(sum);
    check->stall_max_us = to_us(max);
    if ( check->stalls )
        percentiles(g, check);
}

/* ---- Speed ------------------------------------------------------------------ */

static uint64_t total_ops(struct guest *g)
{
    uint64_t ops = 0;

    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
        ops += atomic_load_explicit(&g->vcpus[i].ops, memory_order_relaxed);
    return ops;
}

uint64_t guest_speed(struct guest *g)
{
    uint64_t nr = g->speed.nr < SPEED_BINS ? g->speed.nr : SPEED_BINS;
    uint64_t sum = 0;

    for ( uint64_t i = 1; i <= nr; i++ )
        sum += g->speed.bins[(g->speed.nr - i) % NR_BINS];
    return nr ? sum / nr : 0;
}

static bool fast_enough(const struct guest *g, uint64_t back)
{
    return g->speed.bins[(g->speed.nr - back) % NR_BINS] >=
           g->baseline_ops_per_s / 5 * 4;
}

/* A bin in which it ran all the time has ended (lock held). */
static void add_bin(struct guest *g, uint64_t ops_per_s, uint64_t now_us)
{
    struct speed *s = &g->speed;

    s->bins[s->nr++ % NR_BINS] = ops_per_s;
    if ( !g->started_us || !g->baseline_ops_per_s || s->back_us ||
         s->nr < BACK_BINS )
        return;
    for ( uint64_t back = 1; back <= BACK_BINS; back++ )
        if ( !fast_enough(g, back) )
            return;
    s->back_us = now_us - g->started_us;
    s->back_us -=
        s->back_us > (BACK_BINS - 1) * BIN_US ? (BACK_BINS - 1) * BIN_US : 0;
}

static void *sampler_main(void *arg)
{
    struct guest *g = arg;
    uint64_t before_ops = 0, before_us = 0;
    bool ran = false;

    for ( ;; )
    {
        struct timespec ts = { .tv_nsec = BIN_US * 1000 };
        uint64_t ops, now_us;

        nanosleep(&ts, NULL);
        pthread_mutex_lock(&g->lock);
        ops = total_ops(g);
        now_us = xc_sr__now_us();
        if ( ran && atomic_load(&g->run) && now_us > before_us )
            add_bin(g, (ops - before_ops) * 1000000 / (now_us - before_us),
                    now_us);
        ran = atomic_load(&g->run);
        pthread_mutex_unlock(&g->lock);
        before_ops = ops;
        before_us = now_us;
    }
    return NULL;
}

int guest_sampler_start(struct guest *g)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, sampler_main, g);

    if ( !rc )
        pthread_detach(thread);
    return -rc;
}

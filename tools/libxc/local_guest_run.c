/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_run.c: the vCPUs of a local guest, and when they run.
 *
 * A vCPU looks at one flag between operations; when it is down it parks, and
 * the last one to park carries a suspend forward.  What decides the flag is
 * in recompute() and nowhere else.  Suspend does what Linux does under Xen:
 * first everything stops (frozen), then each CPU still writes a page
 * (vcpu_info), then the guest is suspended.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "local_guest.h"

#define HOLD_TIMEOUT_US 5000000u
/* A vCPU at a given rate works in pieces of this length, and after a stop
 * does not make up for more than LATE_US. */
#define PIECE_US        1000u
#define LATE_US         100000u

static struct timespec to_timespec(uint64_t us)
{
    return (struct timespec){ .tv_sec = (time_t)(us / 1000000),
                              .tv_nsec = (long)(us % 1000000) * 1000 };
}

static void count_event(struct guest *g)
{
    uint64_t one = 1;

    if ( g->suspend_event >= 0 &&
         write(g->suspend_event, &one, sizeof(one)) < 0 )
        fprintf(stderr, "suspend event: %s\n", strerror(errno));
}

/* ---- What happens when (lock held) -------------------------------------------- */

/* All vCPUs are parked: is somebody waiting for that? */
static void all_parked(struct guest *g)
{
    pthread_cond_signal(&g->main_cond);
    if ( g->suspend == SUSPEND_ASKED )
    {
        g->suspend = SUSPEND_SEEN;
        g->frozen_us = xc_sr__now_us();
        count_event(g);
    }
}

void guest_recompute(struct guest *g)
{
    bool run = !g->incoming && !g->admin_paused && !g->stopped && !g->held &&
               !g->crashed && g->suspend == SUSPEND_NONE;

    atomic_store(&g->run, run);
    pthread_cond_broadcast(&g->vcpu_cond);
    if ( !run && g->nr_parked == g->config.vcpus )
        all_parked(g);
}

void guest_crash(struct guest *g, const char *why)
{
    if ( g->crashed )
        return;
    g->crashed = true;
    snprintf(g->why, sizeof(g->why), "%s", why);
    fprintf(stderr, "%s: crashed: %s\n", g->name, why);
    if ( g->gone_sock >= 0 && write(g->gone_sock, "c", 1) != 1 )
        fprintf(stderr, "%s: cannot report it\n", g->name);
    guest_recompute(g);
}

bool guest_hold(struct guest *g)
{
    struct timespec until = to_timespec(xc_sr__now_us() + HOLD_TIMEOUT_US);
    int rc = 0;

    g->held = true;
    guest_recompute(g);
    while ( g->nr_parked < g->config.vcpus && !rc )
        rc = pthread_cond_timedwait(&g->main_cond, &g->lock, &until);
    return g->nr_parked == g->config.vcpus;
}

void guest_release(struct guest *g)
{
    g->held = false;
    guest_recompute(g);
}

void guest_suspend(struct guest *g)
{
    if ( g->suspend != SUSPEND_NONE )
        return;
    g->suspend = SUSPEND_ASKED;
    g->nr_info = 0;
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
        g->vcpus[i].info_written = false;
    guest_recompute(g);
}

void guest_suspend_go(struct guest *g)
{
    if ( g->suspend != SUSPEND_SEEN )
        return;
    g->suspend = SUSPEND_GOING;
    g->suspend_count++;
    g->suspend_go_us = xc_sr__now_us() + g->config.suspend_delay_us;
    guest_recompute(g);
}

void guest_resume(struct guest *g)
{
    g->suspend = SUSPEND_NONE;
    g->retained = false;
    guest_recompute(g);
}

/* ---- A parked vCPU (lock held) -------------------------------------------------- */

static void write_info(struct vcpu *v)
{
    struct guest *g = v->g;
    struct timespec until = to_timespec(g->suspend_go_us);
    uint64_t which = g->suspend_count;

    if ( xc_sr__now_us() < g->suspend_go_us )
    {
        pthread_cond_timedwait(&g->vcpu_cond, &g->lock, &until);
        return; /* and look again */
    }

    /* The write may have to wait for the dirty log's handler. */
    v->info_written = true;
    pthread_mutex_unlock(&g->lock);
    guest_info_write(v);
    pthread_mutex_lock(&g->lock);
    /* It may have been called off meanwhile, and asked for again. */
    if ( g->suspend == SUSPEND_GOING && g->suspend_count == which &&
         ++g->nr_info == g->config.vcpus )
    {
        g->suspend = SUSPEND_DONE;
        count_event(g);
    }
}

/* The instant of the last operation, from when it is known to have ended. */
static void note_stop(struct vcpu *v)
{
    uint64_t ago_us;

    if ( !v->last_tick )
        return;
    ago_us = (guest_ticks() - v->last_tick) / guest_ticks_per_us();
    atomic_store(&v->last_op_us, xc_sr__now_us() - ago_us);
}

/* The first thing a vCPU does where it goes on (without the lock). */
static void find_info(struct vcpu *v)
{
    const char *why = guest_info_wrong(v);

    v->info_due = false;
    if ( !why )
        return;
    pthread_mutex_lock(&v->g->lock);
    guest_crash(v->g, why);
    pthread_mutex_unlock(&v->g->lock);
}

static void park(struct vcpu *v)
{
    struct guest *g = v->g;

    pthread_mutex_lock(&g->lock);
    note_stop(v);
    if ( ++g->nr_parked == g->config.vcpus )
        all_parked(g);
    while ( !atomic_load(&g->run) )
    {
        if ( g->suspend == SUSPEND_GOING && !v->info_written )
            write_info(v);
        else
            pthread_cond_wait(&g->vcpu_cond, &g->lock);
    }
    g->nr_parked--;
    pthread_mutex_unlock(&g->lock);
    if ( v->info_due )
        find_info(v);
    v->waits = guest_waits();
}

/* ---- A running one ---------------------------------------------------------------- */

static uint64_t next_random(struct vcpu *v)
{
    uint64_t x = v->rng;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return v->rng = x;
}

/* Sleeps until due_us or until it is to stop; true if it slept. */
static bool sleep_until(struct vcpu *v, uint64_t due_us)
{
    struct guest *g = v->g;
    struct timespec until = to_timespec(due_us);
    int rc = 0;

    if ( xc_sr__now_us() >= due_us )
        return false;
    pthread_mutex_lock(&g->lock);
    while ( atomic_load(&g->run) && !rc )
        rc = pthread_cond_timedwait(&g->vcpu_cond, &g->lock, &until);
    pthread_mutex_unlock(&g->lock);
    return true;
}

static void idle(struct vcpu *v)
{
    struct guest *g = v->g;

    pthread_mutex_lock(&g->lock);
    while ( atomic_load(&g->run) )
        pthread_cond_wait(&g->vcpu_cond, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void one_op(struct vcpu *v, bool sequential)
{
    struct guest *g = v->g;
    uint64_t random = next_random(v);
    uint64_t pfn;

    if ( sequential )
    {
        pfn = v->pos;
        v->pos = v->pos + 1 < g->ws_pages ? v->pos + 1 : 0;
    }
    else
        pfn = (uint64_t)((unsigned __int128)random * g->ws_pages >> 64);

    if ( !guest_mem_op(g, pfn, random) )
        atomic_fetch_add(&v->errors, 1);
    atomic_store_explicit(
        &v->ops, atomic_load_explicit(&v->ops, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

/*
 * The hot path: one clock reading per operation, since each begins where the
 * one before ended; nothing else but the operation itself.
 */
static void work(struct vcpu *v)
{
    struct guest *g = v->g;
    bool sequential = g->config.workload == XC_SR_LOCAL_SEQ;
    uint64_t rate = g->config.rate_ops_per_s;
    uint64_t piece = rate * PIECE_US / 1000000 ? rate * PIECE_US / 1000000 : 1;
    uint64_t due_us = xc_sr__now_us(), left = piece;
    uint64_t start = guest_ticks();

    while ( atomic_load_explicit(&g->run, memory_order_relaxed) )
    {
        uint64_t end, ticks;

        one_op(v, sequential);
        end = guest_ticks();
        ticks = end - start;
        start = v->last_tick = end;
        if ( ticks >
             atomic_load_explicit(&g->stall_ticks, memory_order_relaxed) )
        {
            guest_slow_op(v, ticks);
            start = guest_ticks();
        }
        if ( !atomic_load_explicit(&v->first_op_us, memory_order_relaxed) )
            atomic_store(&v->first_op_us, xc_sr__now_us());

        if ( rate && !--left )
        {
            left = piece;
            due_us += piece * 1000000 / rate;
            if ( sleep_until(v, due_us) )
                v->waits = guest_waits();
            else if ( due_us + LATE_US < xc_sr__now_us() )
                due_us = xc_sr__now_us();
            start = guest_ticks();
        }
    }
}

static void *vcpu_main(void *arg)
{
    struct vcpu *v = arg;
    char title[16];

    snprintf(title, sizeof(title), "vcpu%u", v->id);
    prctl(PR_SET_NAME, title);
    atomic_store(&v->tid, (int32_t)syscall(SYS_gettid));
    for ( ;; )
    {
        park(v);
        if ( v->g->config.workload == XC_SR_LOCAL_IDLE )
            idle(v);
        else
            work(v);
    }
    return NULL;
}

int guest_run_init(struct guest *g)
{
    pthread_condattr_t attr;
    size_t size = sizeof(*g->vcpus) * g->config.vcpus;

    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&g->vcpu_cond, &attr);
    pthread_cond_init(&g->main_cond, &attr);
    pthread_condattr_destroy(&attr);

    g->vcpus = aligned_alloc(_Alignof(struct vcpu), size);
    if ( !g->vcpus )
        return -ENOMEM;
    memset(g->vcpus, 0, size);
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        struct vcpu *v = &g->vcpus[i];
        int rc;

        v->g = g;
        v->id = i;
        v->rng = (g->config.seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
        v->pos = g->ws_pages * i / g->config.vcpus;
        rc = pthread_create(&v->thread, NULL, vcpu_main, v);
        if ( rc )
            return -rc;
    }
    return 0;
}

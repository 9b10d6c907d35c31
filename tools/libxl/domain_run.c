/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_run.c: one slot for requests, one condition, one eventfd.
 *
 * Called by domain_send.c and domain_receive.c, from both threads.  The
 * mutex covers the struct and is never held across a call of anybody else's.
 */
#include "domain_run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int libxl_postcopy__run_init(struct libxl_postcopy__run *run)
{
    pthread_condattr_t attr;

    memset(run, 0, sizeof(*run));
    run->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if ( run->wake_fd < 0 )
        return -errno;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&run->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&run->lock, NULL);
    return 0;
}

void libxl_postcopy__run_dispose(struct libxl_postcopy__run *run)
{
    close(run->wake_fd);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->lock);
}

/* With the lock held. */
static void tell(struct libxl_postcopy__run *run)
{
    const uint64_t one = 1;
    ssize_t n = write(run->wake_fd, &one, sizeof(one));

    (void)n; /* it is readable already if this fails */
    pthread_cond_broadcast(&run->changed);
}

/* ---- The caller's side ---------------------------------------------------------- */

static void *thread_main(void *arg)
{
    struct libxl_postcopy__run *run = arg;

    run->engine(run->ctx);
    pthread_mutex_lock(&run->lock);
    run->finished = true;
    tell(run);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

int libxl_postcopy__run_start(struct libxl_postcopy__run *run,
                              void (*engine)(void *ctx), void *ctx)
{
    sigset_t all, before;
    int rc;

    run->engine = engine;
    run->ctx = ctx;
    /* Signals are for the thread in libxl: SIGCHLD above all. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = -pthread_create(&run->thread, NULL, thread_main, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void libxl_postcopy__run_returned(struct libxl_postcopy__run *run, int rc)
{
    pthread_mutex_lock(&run->lock);
    run->returned = true;
    run->libxl_rc = rc;
    tell(run);
    pthread_mutex_unlock(&run->lock);
}

void libxl_postcopy__run_serve(struct libxl_postcopy__run *run)
{
    pthread_mutex_lock(&run->lock);
    for ( ;; )
    {
        if ( run->state == LIBXL_PC_REQUEST_POSTED )
        {
            int (*what)(void *ctx) = run->request;
            int rc;

            run->state = LIBXL_PC_REQUEST_TAKEN;
            pthread_mutex_unlock(&run->lock);
            rc = what(run->ctx);
            pthread_mutex_lock(&run->lock);
            run->request_rc = rc;
            run->state = LIBXL_PC_REQUEST_DONE;
            tell(run);
        }
        else if ( run->finished )
            break;
        else
            pthread_cond_wait(&run->changed, &run->lock);
    }
    pthread_mutex_unlock(&run->lock);
    pthread_join(run->thread, NULL);
}

/* ---- The engine's side ------------------------------------------------------------ */

bool libxl_postcopy__run_has_returned(struct libxl_postcopy__run *run,
                                      int *libxl_rc_r)
{
    bool returned;

    pthread_mutex_lock(&run->lock);
    returned = run->returned;
    if ( returned )
        *libxl_rc_r = run->libxl_rc;
    pthread_mutex_unlock(&run->lock);
    return returned;
}

void libxl_postcopy__run_unwake(struct libxl_postcopy__run *run)
{
    uint64_t count;
    ssize_t n = read(run->wake_fd, &count, sizeof(count));

    (void)n; /* nothing to read is as well */
}

/* Waits for a change, with the lock held; false: the deadline passed. */
static bool wait_change(struct libxl_postcopy__run *run, uint64_t deadline_us)
{
    const struct timespec until = {
        .tv_sec = (time_t)(deadline_us / 1000000),
        .tv_nsec = (long)(deadline_us % 1000000) * 1000,
    };

    return pthread_cond_timedwait(&run->changed, &run->lock, &until) !=
           ETIMEDOUT;
}

int libxl_postcopy__run_wait_returned(struct libxl_postcopy__run *run,
                                      uint64_t deadline_us)
{
    int rc;

    pthread_mutex_lock(&run->lock);
    while ( !run->returned && wait_change(run, deadline_us) )
        continue;
    rc = run->returned ? 0 : -ETIMEDOUT;
    pthread_mutex_unlock(&run->lock);
    return rc;
}

void libxl_postcopy__run_post(struct libxl_postcopy__run *run,
                              int (*what)(void *ctx))
{
    pthread_mutex_lock(&run->lock);
    run->request = what;
    run->state = LIBXL_PC_REQUEST_POSTED;
    tell(run);
    pthread_mutex_unlock(&run->lock);
}

bool libxl_postcopy__run_is_done(struct libxl_postcopy__run *run, int *rc_r)
{
    bool done;

    pthread_mutex_lock(&run->lock);
    done = run->state == LIBXL_PC_REQUEST_DONE;
    if ( done )
    {
        *rc_r = run->request_rc;
        run->state = LIBXL_PC_REQUEST_NONE;
    }
    pthread_mutex_unlock(&run->lock);
    return done;
}

int libxl_postcopy__run_wait_done(struct libxl_postcopy__run *run,
                                  uint64_t deadline_us)
{
    int rc = -ETIMEDOUT;

    pthread_mutex_lock(&run->lock);
    while ( run->state != LIBXL_PC_REQUEST_DONE &&
            wait_change(run, deadline_us) )
        continue;
    if ( run->state == LIBXL_PC_REQUEST_DONE )
    {
        rc = run->request_rc;
        run->state = LIBXL_PC_REQUEST_NONE;
    }
    pthread_mutex_unlock(&run->lock);
    return rc;
}

int libxl_postcopy__run_ask(struct libxl_postcopy__run *run,
                            int (*what)(void *ctx), uint64_t deadline_us)
{
    int rc;

    pthread_mutex_lock(&run->lock);
    /* One that nobody waited for any longer may still be at work. */
    while ( run->state == LIBXL_PC_REQUEST_TAKEN &&
            wait_change(run, deadline_us) )
        continue;
    if ( run->state == LIBXL_PC_REQUEST_TAKEN )
    {
        pthread_mutex_unlock(&run->lock);
        return -ETIMEDOUT;
    }
    run->request = what;
    run->state = LIBXL_PC_REQUEST_POSTED;
    tell(run);
    while ( run->state != LIBXL_PC_REQUEST_DONE &&
            wait_change(run, deadline_us) )
        continue;
    if ( run->state == LIBXL_PC_REQUEST_DONE )
        rc = run->request_rc;
    else
        rc = run->state == LIBXL_PC_REQUEST_TAKEN ? -EINPROGRESS : -ETIMEDOUT;
    if ( run->state != LIBXL_PC_REQUEST_TAKEN )
        run->state = LIBXL_PC_REQUEST_NONE;
    pthread_mutex_unlock(&run->lock);
    return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_run.h: two threads of one migration: the caller's, which is inside a
 * long call of libxl's and afterwards does what only libxl can do, and the
 * engine's, which does everything else and asks.
 *
 * The caller's thread: start(), the long call, returned(), serve().  The
 * engine's: everything below "The engine's side".  No lock is held while
 * libxl is called, so nothing that libxl does can block the engine.
 */
#ifndef LIBXL_POSTCOPY_DOMAIN_RUN_H
#define LIBXL_POSTCOPY_DOMAIN_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum libxl_postcopy__request_state
{
    LIBXL_PC_REQUEST_NONE,
    LIBXL_PC_REQUEST_POSTED,
    LIBXL_PC_REQUEST_TAKEN,
    LIBXL_PC_REQUEST_DONE,
};

struct libxl_postcopy__run
{
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wake_fd; /* readable when something below may have changed */
    bool returned;
    int libxl_rc;
    bool finished; /* the engine's thread wants nothing any more */
    enum libxl_postcopy__request_state state;
    int (*request)(void *ctx);
    void *ctx; /* of requests and of the engine's function */
    void (*engine)(void *ctx);
    int request_rc;
};

int libxl_postcopy__run_init(struct libxl_postcopy__run *run);
void libxl_postcopy__run_dispose(struct libxl_postcopy__run *run);

/* Runs engine(ctx) in a thread of its own, which takes no signals. */
int libxl_postcopy__run_start(struct libxl_postcopy__run *run,
                              void (*engine)(void *ctx), void *ctx);
/* The long call came back. */
void libxl_postcopy__run_returned(struct libxl_postcopy__run *run, int rc);
/* Does what the engine asks for until it has finished. */
void libxl_postcopy__run_serve(struct libxl_postcopy__run *run);

/* ---- The engine's side ---------------------------------------------------------- */

bool libxl_postcopy__run_has_returned(struct libxl_postcopy__run *run,
                                      int *libxl_rc_r);
/* wake_fd is not readable any more until something else happens. */
void libxl_postcopy__run_unwake(struct libxl_postcopy__run *run);
/* 0, or -ETIMEDOUT when libxl is still at it. */
int libxl_postcopy__run_wait_returned(struct libxl_postcopy__run *run,
                                      uint64_t deadline_us);

/* what(ctx) in the caller's thread, some time; ctx is start()'s. */
void libxl_postcopy__run_post(struct libxl_postcopy__run *run,
                              int (*what)(void *ctx));
/* Whether what was posted is done, and then what came of it. */
bool libxl_postcopy__run_is_done(struct libxl_postcopy__run *run, int *rc_r);
/* What came of what was posted, once it is done; -ETIMEDOUT: not yet. */
int libxl_postcopy__run_wait_done(struct libxl_postcopy__run *run,
                                  uint64_t deadline_us);
/*
 * Both: posts and waits.  -ETIMEDOUT: it was not begun and will not be;
 * -EINPROGRESS: it was begun, nobody knows.
 */
int libxl_postcopy__run_ask(struct libxl_postcopy__run *run,
                            int (*what)(void *ctx), uint64_t deadline_us);

#endif /* LIBXL_POSTCOPY_DOMAIN_RUN_H */

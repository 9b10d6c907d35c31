/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * coverage_dump.c: counters of processes that end without exit handlers, which
 * is where they are written.  In a build for coverage (make coverage links
 * this into every program, with its calls of _exit() wrapped) _exit() writes
 * them, and of a local guest, which may be ended by SIGKILL, a thread does now
 * and then.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
void __wrap__exit(int status) __attribute__((noreturn));
void __real__exit(int status) __attribute__((noreturn));

/* Of each program and library that this is linked into. */
__attribute__((visibility("hidden"))) void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}

static void *dump(void *arg)
{
    for ( ;; )
    {
        usleep(300000);
        __gcov_dump();
        __gcov_reset();
    }
    return arg;
}

__attribute__((constructor)) static void start(void)
{
    sigset_t all, before;
    pthread_t thread;

    if ( strcmp(program_invocation_short_name, "xen-postcopy-guest") )
        return;
    /* Signals are for the guest's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if ( !pthread_create(&thread, NULL, dump, NULL) )
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

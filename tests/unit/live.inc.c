/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * live.inc.c: what the code under test has allocated and not freed, for the
 * programs that stand between it and malloc().  Of any number of threads.
 */
#include <pthread.h>

#define MAX_LIVE 512u
static void *live[MAX_LIVE];
static unsigned int nr_live;
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

static void live_add(void *p)
{
    pthread_mutex_lock(&live_lock);
    if ( nr_live < MAX_LIVE )
        live[nr_live++] = p;
    pthread_mutex_unlock(&live_lock);
}

/* Others free too, what was never added. */
static void live_forget(const void *p)
{
    pthread_mutex_lock(&live_lock);
    for ( unsigned int i = 0; i < nr_live; i++ )
        if ( live[i] == p )
        {
            live[i] = live[--nr_live];
            break;
        }
    pthread_mutex_unlock(&live_lock);
}

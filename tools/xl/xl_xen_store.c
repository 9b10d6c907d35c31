/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_store.c: see xl_xen_store.h.
 *
 * libxenstore has no deadlines: a call returns when xenstored answers.  So
 * every call is made by one thread here, which the callers (the engine's
 * thread among them) hand values to and wait for no longer than they say.  A
 * thread that xenstored holds for ever is left behind with what it owns.
 */
#include "xl_xen_store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenstore.h>

#define MAX_ENTRIES      32u
#define KEY_LEN          80u
#define VALUE_LEN        320u
#define PATH_LEN         200u
#define LATER_PERIOD_US  UINT64_C(500000)
#define CLOSE_TIMEOUT_US UINT64_C(3000000)

struct entry
{
    char key[KEY_LEN];
    char value[VALUE_LEN];
    bool dirty;
    bool later;
};

struct xl_xen_store
{
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the thread waits for it */
    pthread_cond_t written; /* the others */
    /* Under the lock: */
    char dir[PATH_LEN];
    struct entry entries[MAX_ENTRIES];
    unsigned int nr_entries;
    uint64_t asked, done; /* counts of changes, but of those for later */
    bool later;           /* some of them are waiting */
    bool forget;
    bool ending, ended;
    /* One question, of whoever asked last. */
    enum
    {
        NOT_ASKED,
        ASKED,
        READ,
    } question;
    struct entry node;
    int node_rc;
    bool answered; /* xenstored, once */
    int error;     /* of the latest write */
    /* The thread's own: */
    struct xs_handle *xs;
};

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* False once deadline_us has passed. */
static bool wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                       uint64_t deadline_us)
{
    struct timespec ts = { .tv_sec = (time_t)(deadline_us / 1000000),
                           .tv_nsec = (long)(deadline_us % 1000000) * 1000 };

    return pthread_cond_timedwait(cond, lock, &ts) != ETIMEDOUT;
}

/* ---- The thread ---------------------------------------------------------- */

static void path_of(const char *dir, const struct entry *e,
                    char path_r[PATH_LEN + KEY_LEN + 2])
{
    if ( e->key[0] == '/' )
        snprintf(path_r, PATH_LEN + KEY_LEN + 2, "%s", e->key);
    else
        snprintf(path_r, PATH_LEN + KEY_LEN + 2, "%s/%s", dir, e->key);
}

static int write_node(struct xs_handle *xs, const char *dir,
                      const struct entry *e)
{
    char path[PATH_LEN + KEY_LEN + 2];

    path_of(dir, e, path);
    if ( xs_write(xs, XBT_NULL, path, e->value,
                  (unsigned int)strlen(e->value)) )
        return 0;
    return errno ? -errno : -EIO;
}

/* The side's directory, and the guest's if the other side has none. */
static void remove_dir(struct xs_handle *xs, char *dir)
{
    char **names, *slash;
    unsigned int nr = 0;

    xs_rm(xs, XBT_NULL, dir);
    slash = strrchr(dir, '/');
    if ( !slash )
        return;
    *slash = '\0';
    names = xs_directory(xs, XBT_NULL, dir, &nr);
    if ( names && !nr )
        xs_rm(xs, XBT_NULL, dir);
    free(names);
}

/* Takes what is dirty, with the lock held; the number. */
static unsigned int take_dirty(struct xl_xen_store *s, bool later,
                               struct entry *batch)
{
    unsigned int i, nr = 0;

    for ( i = 0; i < s->nr_entries; i++ )
    {
        if ( !s->entries[i].dirty || (s->entries[i].later && !later) )
            continue;
        s->entries[i].dirty = false;
        batch[nr++] = s->entries[i];
    }
    s->later = s->later && !later;
    return nr;
}

/* One turn with the lock held, given up while xenstored is spoken to. */
static void write_batch(struct xl_xen_store *s, bool later, struct entry *batch)
{
    unsigned int i, nr = take_dirty(s, later, batch);
    uint64_t upto = s->asked;
    char dir[PATH_LEN];
    int rc = 0;

    memcpy(dir, s->dir, sizeof(dir));
    pthread_mutex_unlock(&s->lock);
    for ( i = 0; i < nr; i++ )
    {
        int failed = write_node(s->xs, dir, &batch[i]);

        rc = rc ? rc : failed;
    }
    pthread_mutex_lock(&s->lock);
    s->error = rc;
    s->done = upto;
    pthread_cond_broadcast(&s->written);
}

/* Likewise. */
static void answer(struct xl_xen_store *s)
{
    struct entry node = s->node;
    char path[PATH_LEN + KEY_LEN + 2], *text;
    unsigned int len;
    int rc = 0;

    path_of(s->dir, &node, path);
    pthread_mutex_unlock(&s->lock);
    text = xs_read(s->xs, XBT_NULL, path, &len);
    if ( text )
        snprintf(node.value, sizeof(node.value), "%s", text);
    else
        rc = errno ? -errno : -EIO;
    free(text);
    pthread_mutex_lock(&s->lock);
    s->node = node;
    s->node_rc = rc;
    s->question = READ;
    pthread_cond_broadcast(&s->written);
}

/* Somebody may wait for a change: what may come later gives way to it. */
static void serve(struct xl_xen_store *s, struct entry *batch)
{
    uint64_t next_us = 0;

    while ( !s->ending || s->asked != s->done || s->later )
    {
        if ( s->question == ASKED )
            answer(s);
        else if ( s->asked != s->done )
            write_batch(s, false, batch);
        else if ( !s->later )
            pthread_cond_wait(&s->changed, &s->lock);
        else if ( s->ending || now_us() >= next_us ||
                  !wait_until(&s->changed, &s->lock, next_us) )
        {
            write_batch(s, true, batch);
            next_us = now_us() + LATER_PERIOD_US;
        }
    }
}

static void *run(void *arg)
{
    struct xl_xen_store *s = arg;
    struct entry *batch = calloc(MAX_ENTRIES, sizeof(*batch));
    struct xs_handle *xs = xs_open(0);
    unsigned int nr;
    int rc = !batch ? -ENOMEM : xs ? 0 : -(errno ? errno : EIO);
    char **names = xs ? xs_directory(xs, XBT_NULL, "/", &nr) : NULL;
    char dir[PATH_LEN];

    if ( !rc && !names )
        rc = -(errno ? errno : EIO);
    free(names);
    pthread_mutex_lock(&s->lock);
    s->xs = xs;
    s->error = rc;
    s->answered = true;
    pthread_cond_broadcast(&s->written);
    if ( !rc )
        serve(s, batch);
    memcpy(dir, s->dir, sizeof(dir));
    if ( !rc && s->forget && dir[0] )
    {
        pthread_mutex_unlock(&s->lock);
        remove_dir(xs, dir);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    if ( xs )
        xs_close(xs);
    free(batch);
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_broadcast(&s->written);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- The callers' side ---------------------------------------------------- */

static int start(struct xl_xen_store *s)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    int rc;

    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_cond_init(&s->written, &attr);
    pthread_condattr_destroy(&attr);
    /* Signals are for those who know what to do with them. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = -pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void end(struct xl_xen_store *s, uint64_t timeout_us)
{
    uint64_t deadline_us = now_us() + timeout_us;
    bool in_time = true;

    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->changed);
    while ( !s->ended && in_time )
        in_time = wait_until(&s->written, &s->lock, deadline_us);
    in_time = s->ended;
    pthread_mutex_unlock(&s->lock);
    if ( !in_time )
    {
        /* It may come back to what it uses at any time. */
        pthread_detach(s->thread);
        return;
    }
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_cond_destroy(&s->written);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int xl_xen_store_open(uint64_t timeout_us, struct xl_xen_store **store_r)
{
    struct xl_xen_store *s = calloc(1, sizeof(*s));
    uint64_t deadline_us = now_us() + timeout_us;
    bool in_time = true;
    int rc = s ? start(s) : -ENOMEM;

    if ( rc )
    {
        free(s);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    while ( !s->answered && in_time )
        in_time = wait_until(&s->written, &s->lock, deadline_us);
    rc = s->answered ? s->error : -ETIMEDOUT;
    pthread_mutex_unlock(&s->lock);
    if ( rc )
        end(s, rc == -ETIMEDOUT ? 0 : CLOSE_TIMEOUT_US);
    else
        *store_r = s;
    return rc;
}

int xl_xen_store_probe(uint64_t timeout_us)
{
    struct xl_xen_store *s = NULL;
    int rc = xl_xen_store_open(timeout_us, &s);

    xl_xen_store_close(s);
    return rc;
}

void xl_xen_store_close(struct xl_xen_store *store)
{
    if ( store )
        end(store, CLOSE_TIMEOUT_US);
}

static void make_dir(char dir[PATH_LEN], const char *uuid, bool at_source)
{
    snprintf(dir, PATH_LEN, "%s/%s/%s", XL_XEN_STORE_ROOT, uuid,
             at_source ? "source" : "destination");
}

void xl_xen_store_place(struct xl_xen_store *store, const char *uuid,
                        bool at_source)
{
    pthread_mutex_lock(&store->lock);
    make_dir(store->dir, uuid, at_source);
    pthread_mutex_unlock(&store->lock);
}

/* The entry of that key, new if need be; NULL if there are too many. */
static struct entry *find_entry(struct xl_xen_store *s, const char *key)
{
    unsigned int i;

    for ( i = 0; i < s->nr_entries; i++ )
        if ( !strcmp(s->entries[i].key, key) )
            return &s->entries[i];
    if ( i == MAX_ENTRIES || strlen(key) >= KEY_LEN )
        return NULL;
    snprintf(s->entries[i].key, KEY_LEN, "%s", key);
    s->nr_entries++;
    return &s->entries[i];
}

static void put(struct xl_xen_store *s, const char *key, const char *value,
                bool urgent)
{
    struct entry *e;

    pthread_mutex_lock(&s->lock);
    e = find_entry(s, key);
    if ( e && (!e->value[0] || strcmp(e->value, value)) )
    {
        snprintf(e->value, VALUE_LEN, "%s", value);
        e->dirty = true;
        e->later = !urgent;
        /* It knows already that there is something for later. */
        if ( urgent || !s->later )
            pthread_cond_signal(&s->changed);
        if ( urgent )
            s->asked++;
        else
            s->later = true;
    }
    pthread_mutex_unlock(&s->lock);
}

void xl_xen_store_set(struct xl_xen_store *store, const char *key,
                      const char *fmt, ...)
{
    char value[VALUE_LEN];
    va_list args;

    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    put(store, key, value, true);
}

void xl_xen_store_set_later(struct xl_xen_store *store, const char *key,
                            const char *fmt, ...)
{
    char value[VALUE_LEN];
    va_list args;

    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    put(store, key, value, false);
}

void xl_xen_store_set_figure(struct xl_xen_store *store, const char *key,
                             uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    put(store, key, text, false);
}

int xl_xen_store_flush(struct xl_xen_store *store, uint64_t timeout_us)
{
    uint64_t deadline_us = now_us() + timeout_us, upto;
    bool in_time = true;
    int rc;

    pthread_mutex_lock(&store->lock);
    upto = store->asked;
    while ( store->done < upto && in_time )
        in_time = wait_until(&store->written, &store->lock, deadline_us);
    rc = store->done < upto ? -ETIMEDOUT : store->error;
    pthread_mutex_unlock(&store->lock);
    return rc;
}

int xl_xen_store_get(struct xl_xen_store *store, const char *key, char *text_r,
                     size_t len, uint64_t timeout_us)
{
    uint64_t deadline_us = now_us() + timeout_us;
    bool in_time = true;
    int rc = -ETIMEDOUT;

    pthread_mutex_lock(&store->lock);
    if ( store->question != ASKED )
    {
        store->question = ASKED;
        snprintf(store->node.key, KEY_LEN, "%s", key);
        pthread_cond_signal(&store->changed);
        while ( store->question != READ && in_time )
            in_time = wait_until(&store->written, &store->lock, deadline_us);
    }
    if ( store->question == READ )
    {
        rc = store->node_rc;
        store->question = NOT_ASKED;
    }
    if ( !rc )
        snprintf(text_r, len, "%s", store->node.value);
    pthread_mutex_unlock(&store->lock);
    return rc;
}

void xl_xen_store_forget(struct xl_xen_store *store)
{
    pthread_mutex_lock(&store->lock);
    store->forget = true;
    pthread_mutex_unlock(&store->lock);
}

bool xl_xen_store_read(struct xs_handle *xs, const char *uuid, bool at_source,
                       const char *key, char *text_r, unsigned int len)
{
    char dir[PATH_LEN], path[PATH_LEN + KEY_LEN + 2];
    unsigned int got = 0;
    char *text;

    make_dir(dir, uuid, at_source);
    snprintf(path, sizeof(path), "%s/%s", dir, key);
    text = xs_read(xs, XBT_NULL, path, &got);
    if ( !text )
        return false;
    snprintf(text_r, len, "%s", text);
    free(text);
    return true;
}

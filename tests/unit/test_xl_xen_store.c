/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_store.c: what is published in xenstore, against a xenstored of
 * our own that writes down what it is told and can stop answering: libxenstore
 * waits for ever then, and a migration must not.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "xl_xen_store.h"

/* Requests of xenstore's protocol that come up here (public/io/xs_wire.h). */
enum
{
    REQ_DIRECTORY = 1,
    REQ_WRITE = 11,
    REQ_RM = 13,
};

struct head
{
    uint32_t type, req_id, tx_id, len;
};

struct daemon
{
    pthread_t thread;
    int listen_fd;
    int stop_after; /* answers so many requests and no more; -1: all */
    pthread_mutex_t lock;
    char log[8192]; /* "w PATH=VALUE\n", "r PATH\n" */
    char dir[64];
    char socket[128];
};

static bool take(int fd, void *buf, size_t len)
{
    return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static void note(struct daemon *d, uint32_t type, const char *body,
                 uint32_t len)
{
    char line[2 * 4097];

    if ( type == REQ_WRITE )
        snprintf(line, sizeof(line), "w %s=%.*s\n", body,
                 (int)(len - strlen(body) - 1), body + strlen(body) + 1);
    else if ( type == REQ_RM )
        snprintf(line, sizeof(line), "r %s\n", body);
    else
        return;
    pthread_mutex_lock(&d->lock);
    snprintf(d->log + strlen(d->log), sizeof(d->log) - strlen(d->log), "%s",
             line);
    pthread_mutex_unlock(&d->lock);
}

static void serve(struct daemon *d, int fd)
{
    struct head head;
    char body[4097];

    while ( take(fd, &head, sizeof(head)) && head.len < sizeof(body) &&
            take(fd, body, head.len) )
    {
        body[head.len] = '\0';
        if ( d->stop_after == 0 )
            continue;
        d->stop_after -= d->stop_after > 0;
        note(d, head.type, body, head.len);
        /* Nothing has children here; the rest is "OK". */
        head.len = head.type == REQ_DIRECTORY ? 0 : 3;
        if ( send(fd, &head, sizeof(head), MSG_NOSIGNAL) < 0 ||
             (head.len && send(fd, "OK", 3, MSG_NOSIGNAL) < 0) )
            break;
    }
}

static void *run(void *arg)
{
    struct daemon *d = arg;
    int fd = accept(d->listen_fd, NULL, NULL);

    if ( fd >= 0 )
    {
        serve(d, fd);
        close(fd);
    }
    return NULL;
}

static void start(struct daemon *d, int stop_after)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const char *tmp = getenv("TMPDIR");

    memset(d, 0, sizeof(*d));
    d->stop_after = stop_after;
    pthread_mutex_init(&d->lock, NULL);
    snprintf(d->dir, sizeof(d->dir), "%.40s/xs-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(d->dir));
    snprintf(d->socket, sizeof(d->socket), "%s/socket", d->dir);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%.100s", d->socket);
    d->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(d->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    ck_assert_int_eq(listen(d->listen_fd, 4), 0);
    setenv("XENSTORED_PATH", d->socket, 1);
    ck_assert_int_eq(pthread_create(&d->thread, NULL, run, d), 0);
}

/* Only where the client has hung up, so that the thread ends. */
static void finish(struct daemon *d)
{
    pthread_join(d->thread, NULL);
    close(d->listen_fd);
    unlink(d->socket);
    rmdir(d->dir);
}

static bool has(struct daemon *d, const char *line)
{
    bool found;

    pthread_mutex_lock(&d->lock);
    found = strstr(d->log, line) != NULL;
    pthread_mutex_unlock(&d->lock);
    return found;
}

#define UUID "0b5f9a1e-0000-4000-8000-000000000001"
#define BASE XL_XEN_STORE_ROOT "/" UUID

START_TEST(what_is_set_is_written)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "name", "%s", "web");
    xl_xen_store_set(s, "domid", "%u", 7u);
    xl_xen_store_set(s, "/local/domain/7/x", "y");
    ck_assert_int_eq(xl_xen_store_flush(s, 10000000), 0);
    ck_assert(has(&d, "w " BASE "/source/name=web\n"));
    ck_assert(has(&d, "w " BASE "/source/domid=7\n"));
    ck_assert(has(&d, "w /local/domain/7/x=y\n"));
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(!has(&d, "r "));
}
END_TEST

/* Figures wait for more of them, but not for ever, and the last one counts. */
START_TEST(the_last_figure_is_written)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;
    uint64_t i;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, false);
    for ( i = 0; i <= 5000; i++ )
        xl_xen_store_set_figure(s, "done-pages", i);
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(has(&d, "w " BASE "/destination/done-pages=5000\n"));
    /* 5000 lines would not fit either. */
    ck_assert_uint_lt(strlen(d.log), sizeof(d.log) / 2);
}
END_TEST

START_TEST(what_is_forgotten_goes)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, -1);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "phase", "done");
    xl_xen_store_forget(s);
    xl_xen_store_close(s);
    finish(&d);
    ck_assert(has(&d, "w " BASE "/source/phase=done\n"));
    ck_assert(has(&d, "r " BASE "/source\n"));
    /* Nobody else had anything in there. */
    ck_assert(has(&d, "r " BASE "\n"));
}
END_TEST

START_TEST(no_xenstored_is_said)
{
    struct xl_xen_store *s = NULL;

    setenv("XENSTORED_PATH", "/no/such/socket", 1);
    ck_assert_int_lt(xl_xen_store_open(10000000, &s), 0);
    ck_assert_ptr_null(s);
}
END_TEST

START_TEST(a_silent_xenstored_is_not_waited_for)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    start(&d, 0);
    ck_assert_int_eq(xl_xen_store_open(100000, &s), -ETIMEDOUT);
    ck_assert_ptr_null(s);
    ck_assert_int_eq(xl_xen_store_probe(100000), -ETIMEDOUT);
    unlink(d.socket);
    rmdir(d.dir);
}
END_TEST

START_TEST(one_that_falls_silent_holds_nobody_up)
{
    struct xl_xen_store *s = NULL;
    struct daemon d;

    /* The question of open() and one write. */
    start(&d, 2);
    ck_assert_int_eq(xl_xen_store_open(10000000, &s), 0);
    xl_xen_store_place(s, UUID, true);
    xl_xen_store_set(s, "name", "web");
    ck_assert_int_eq(xl_xen_store_flush(s, 10000000), 0);
    xl_xen_store_set(s, "owner", "committed");
    ck_assert_int_eq(xl_xen_store_flush(s, 100000), -ETIMEDOUT);
    xl_xen_store_set(s, "owner", "done");
    ck_assert_int_eq(xl_xen_store_flush(s, 100000), -ETIMEDOUT);
    xl_xen_store_close(s);
    ck_assert(!has(&d, "owner"));
    unlink(d.socket);
    rmdir(d.dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_store");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_set_is_written);
    tcase_add_test(t, the_last_figure_is_written);
    tcase_add_test(t, what_is_forgotten_goes);
    tcase_add_test(t, no_xenstored_is_said);
    tcase_add_test(t, a_silent_xenstored_is_not_waited_for);
    tcase_add_test(t, one_that_falls_silent_holds_nobody_up);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

#include <stdio.h>

int main(void)
{
    puts("there is no libxl here");
    return 77;
}

#endif

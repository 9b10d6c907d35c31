/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_xenstored.inc.c: a xenstored that writes down what it is told, has few
 * answers, and can stop giving them.  Included by test_xl_xen_*.c.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Requests of xenstore's protocol that come up here (public/io/xs_wire.h). */
enum
{
    REQ_DIRECTORY = 1,
    REQ_READ = 2,
    REQ_WRITE = 11,
    REQ_RM = 13,
    REQ_ERROR = 16,
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
    const char *text;
    char body[4097];

    while ( take(fd, &head, sizeof(head)) && head.len < sizeof(body) &&
            take(fd, body, head.len) )
    {
        body[head.len] = '\0';
        if ( d->stop_after == 0 )
            continue;
        d->stop_after -= d->stop_after > 0;
        note(d, head.type, body, head.len);
        /* Nothing has children here; the rest is "OK", or is not there. */
        if ( head.type == REQ_READ && strstr(body, "nothing") )
            head.type = REQ_ERROR;
        text = head.type == REQ_ERROR ? "ENOENT" : "OK";
        head.len = head.type == REQ_DIRECTORY ? 0 : (uint32_t)strlen(text) + 1;
        if ( send(fd, &head, sizeof(head), MSG_NOSIGNAL) < 0 ||
             (head.len && send(fd, text, head.len, MSG_NOSIGNAL) < 0) )
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
static __attribute__((unused)) void finish(struct daemon *d)
{
    pthread_join(d->thread, NULL);
    close(d->listen_fd);
    unlink(d->socket);
    rmdir(d->dir);
}

static __attribute__((unused)) bool has(struct daemon *d, const char *line)
{
    bool found;

    pthread_mutex_lock(&d->lock);
    found = strstr(d->log, line) != NULL;
    pthread_mutex_unlock(&d->lock);
    return found;
}

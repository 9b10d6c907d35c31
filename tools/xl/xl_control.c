/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_control.c: see xl_control.h.  The serving half runs inside the engine's
 * poll loop, so it never blocks and holds a bounded number of clients; one
 * that connects and says nothing is dropped when its place is needed.
 *
 * The socket is reached through a descriptor of its directory, because a
 * socket's path has room for 107 octets and a directory's need not fit.
 */
#include "xl_control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "xl_journal.h"

#define MAX_CLIENTS    8u
#define MAX_REQUEST    80u
#define MAX_PASSED     2u /* descriptors with a request */
#define ASK_TIMEOUT_MS 5000

struct client
{
    int fd; /* -1: free */
    size_t len;
    char line[MAX_REQUEST];
    int passed[MAX_PASSED];
    unsigned int nr_passed;
};

struct xl_control
{
    int epoll_fd;
    int listen_fd;
    int dir_fd;
    char file[XL_JOURNAL_NAME_LEN];
    xl_control_handler handler;
    void *ctx;
    unsigned int next_victim;
    struct client *current; /* whose request is being handled */
    struct client clients[MAX_CLIENTS];
};

/* /proc/self/fd/N/FILE in an address. */
static int make_address(int dir_fd, const char *file, struct sockaddr_un *sa)
{
    int len;

    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    len = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s",
                   dir_fd, file);
    return len < 0 || (size_t)len >= sizeof(sa->sun_path) ? -ENAMETOOLONG : 0;
}

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int start_listening(struct xl_control *c)
{
    struct sockaddr_un sa;
    mode_t mask;
    int rc = make_address(c->dir_fd, c->file, &sa);

    if ( rc )
        return rc;
    if ( unlinkat(c->dir_fd, c->file, 0) && errno != ENOENT )
        return -errno;
    c->listen_fd =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if ( c->listen_fd < 0 )
        return -errno;
    /* Whoever may write here may move the guest: nobody but its owner. */
    mask = umask(0177);
    if ( bind(c->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) )
        rc = -errno;
    umask(mask);
    if ( !rc && listen(c->listen_fd, MAX_CLIENTS) )
        rc = -errno;
    return rc ? rc : watch(c->epoll_fd, c->listen_fd);
}

int xl_control_open(const char *dir, const char *name,
                    xl_control_handler handler, void *ctx,
                    struct xl_control **control_r)
{
    struct xl_control *c = calloc(1, sizeof(*c));
    unsigned int i;
    int rc;

    if ( !c )
        return -ENOMEM;
    for ( i = 0; i < MAX_CLIENTS; i++ )
        c->clients[i].fd = -1;
    c->listen_fd = -1;
    c->handler = handler;
    c->ctx = ctx;
    snprintf(c->file, sizeof(c->file), "%s.migration.ctl", name);
    c->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    rc = c->dir_fd < 0 || c->epoll_fd < 0 ? -errno : start_listening(c);
    if ( rc )
    {
        xl_control_close(c);
        return rc;
    }
    *control_r = c;
    return 0;
}

int xl_control_fd(const struct xl_control *control)
{
    return control->epoll_fd;
}

int xl_control_watch(const struct xl_control *control, int signal_fd,
                     int *watch_fd_r)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = fd < 0 ? -errno : watch(fd, signal_fd);

    if ( !rc )
        rc = watch(fd, control->epoll_fd);
    if ( !rc )
        *watch_fd_r = fd;
    else if ( fd >= 0 )
        close(fd);
    return rc;
}

static void drop(struct client *client)
{
    /* Closing takes it out of the epoll set: there is no duplicate of it. */
    if ( client->fd >= 0 )
        close(client->fd);
    while ( client->nr_passed )
        close(client->passed[--client->nr_passed]);
    client->fd = -1;
    client->len = 0;
}

bool xl_control_take_fds(struct xl_control *control, int fds_r[2])
{
    struct client *client = control->current;

    if ( !client || client->nr_passed != 2 )
        return false;
    memcpy(fds_r, client->passed, sizeof(client->passed));
    client->nr_passed = 0;
    return true;
}

int xl_control_take_client(struct xl_control *control)
{
    struct client *client = control->current;

    if ( !client )
        return -1;
    /* It is no request's any more; ours is closed after the answer. */
    epoll_ctl(control->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
    return fcntl(client->fd, F_DUPFD_CLOEXEC, 3);
}

void xl_control_close(struct xl_control *control)
{
    unsigned int i;

    if ( !control )
        return;
    for ( i = 0; i < MAX_CLIENTS; i++ )
        drop(&control->clients[i]);
    if ( control->listen_fd >= 0 )
    {
        close(control->listen_fd);
        unlinkat(control->dir_fd, control->file, 0);
    }
    if ( control->epoll_fd >= 0 )
        close(control->epoll_fd);
    if ( control->dir_fd >= 0 )
        close(control->dir_fd);
    free(control);
}

static void take_connections(struct xl_control *c)
{
    unsigned int i, tries;

    for ( tries = 0; tries < MAX_CLIENTS; tries++ )
    {
        int fd =
            accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if ( fd < 0 )
            return;
        for ( i = 0; i < MAX_CLIENTS && c->clients[i].fd >= 0; i++ )
            ;
        if ( i == MAX_CLIENTS )
        {
            i = c->next_victim;
            c->next_victim = (i + 1) % MAX_CLIENTS;
            drop(&c->clients[i]);
        }
        c->clients[i].fd = fd;
        c->clients[i].len = 0;
        if ( watch(c->epoll_fd, fd) )
            drop(&c->clients[i]);
    }
}

static void answer(struct xl_control *c, struct client *client)
{
    char text[XL_CONTROL_ANSWER_MAX] = "error no answer";
    size_t len;

    c->current = client;
    c->handler(c->ctx, client->line, text, sizeof(text) - 1);
    c->current = NULL;
    len = strlen(text);
    text[len++] = '\n';
    /* A fresh socket has room for it; a client that does not read gets
     * nothing rather than our time. */
    if ( send(client->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 )
        return;
}

/* What came with octets, as far as there is room; the rest is closed. */
static void take_passed(struct client *client, struct msghdr *msg)
{
    struct cmsghdr *c;

    for ( c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c) )
    {
        size_t nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

        if ( c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS )
            continue;
        for ( i = 0; i < nr; i++ )
        {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if ( client->nr_passed < MAX_PASSED )
                client->passed[client->nr_passed++] = fd;
            else
                close(fd);
        }
    }
}

static ssize_t receive(struct client *client)
{
    union
    {
        struct cmsghdr align;
        char octets[CMSG_SPACE(MAX_PASSED * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = client->line + client->len,
                         .iov_len = sizeof(client->line) - 1 - client->len };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.octets,
                          .msg_controllen = sizeof(control.octets) };
    ssize_t got = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if ( got > 0 )
        take_passed(client, &msg);
    return got;
}

static void read_client(struct xl_control *c, struct client *client)
{
    ssize_t got = receive(client);
    char *end;

    if ( got < 0 && (errno == EAGAIN || errno == EINTR) )
        return;
    if ( got > 0 )
    {
        client->len += (size_t)got;
        client->line[client->len] = '\0';
        end = strchr(client->line, '\n');
        if ( !end && client->len < sizeof(client->line) - 1 )
            return;
        if ( end )
        {
            *end = '\0';
            answer(c, client);
        }
    }
    drop(client);
}

void xl_control_service(struct xl_control *control)
{
    unsigned int i;

    take_connections(control);
    for ( i = 0; i < MAX_CLIENTS; i++ )
        if ( control->clients[i].fd >= 0 )
            read_client(control, &control->clients[i]);
}

/* ---- The other end -------------------------------------------------------- */

static int connect_to(const char *dir, const char *name, int *fd_r)
{
    char file[XL_JOURNAL_NAME_LEN];
    struct sockaddr_un sa;
    int rc, fd, dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if ( dir_fd < 0 )
        return -errno;
    snprintf(file, sizeof(file), "%s.migration.ctl", name);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rc = fd < 0 ? -errno : make_address(dir_fd, file, &sa);
    if ( !rc && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) )
        rc = -errno;
    close(dir_fd);
    if ( rc && fd >= 0 )
        close(fd);
    if ( !rc )
        *fd_r = fd;
    return rc;
}

static long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Until there is something to read; deadline_ms -1: however long it takes. */
static int wait_readable(int fd, long deadline_ms)
{
    for ( ;; )
    {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        long left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
        int nr;

        if ( deadline_ms >= 0 && left <= 0 )
            return -ETIMEDOUT;
        nr = poll(&pfd, 1, (int)left);
        if ( nr > 0 )
            return 0;
        if ( nr < 0 && errno != EINTR )
            return -errno;
    }
}

/* One line and nothing behind it, or -EPIPE at an early end. */
static int read_line(int fd, char *line_r, size_t len, long deadline_ms)
{
    size_t have = 0;

    while ( have < len - 1 )
    {
        ssize_t got;
        int rc = wait_readable(fd, deadline_ms);

        if ( rc )
            return rc;
        got = recv(fd, line_r + have, 1, MSG_DONTWAIT);
        if ( got < 0 && (errno == EAGAIN || errno == EINTR) )
            continue;
        if ( got < 0 )
            return errno == ECONNRESET ? -EPIPE : -errno;
        if ( got == 0 )
            return -EPIPE;
        if ( line_r[have] == '\n' )
        {
            line_r[have] = '\0';
            return 0;
        }
        have++;
    }
    return -EPROTO;
}

int xl_control_next_line(int fd, char *line_r, size_t len)
{
    return read_line(fd, line_r, len, -1);
}

/* fds NULL: none go with it. */
static int send_request(int fd, const char *line, size_t len, const int *fds)
{
    union
    {
        struct cmsghdr align;
        char octets[CMSG_SPACE(MAX_PASSED * sizeof(int))];
    } control = { .octets = { 0 } };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)line, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if ( fds )
    {
        struct cmsghdr *c;

        msg.msg_control = control.octets;
        msg.msg_controllen = sizeof(control.octets);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(MAX_PASSED * sizeof(int));
        memcpy(CMSG_DATA(c), fds, MAX_PASSED * sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
}

/* fds NULL: none go with the request. */
static int ask(const char *dir, const char *name, const char *request,
               const int *fds, struct xl_control_reply *reply_r)
{
    char line[MAX_REQUEST];
    int fd = -1, len, rc;

    len = snprintf(line, sizeof(line), "%s\n", request);
    if ( len < 0 || (size_t)len >= sizeof(line) )
        return -EINVAL;
    rc = connect_to(dir, name, &fd);
    if ( rc )
        return rc;
    rc = send_request(fd, line, (size_t)len, fds);
    if ( !rc )
        rc = read_line(fd, reply_r->answer, sizeof(reply_r->answer),
                       now_ms() + ASK_TIMEOUT_MS);
    if ( rc )
    {
        close(fd);
        return rc == -EPIPE ? -EPROTO : rc;
    }
    reply_r->fd = fd;
    return 0;
}

int xl_control_ask(const char *dir, const char *name, const char *request,
                   char *answer_r, size_t answer_len)
{
    struct xl_control_reply reply;
    int rc = ask(dir, name, request, NULL, &reply);

    if ( rc )
        return rc;
    close(reply.fd);
    snprintf(answer_r, answer_len, "%s", reply.answer);
    return 0;
}

int xl_control_hand_over(const char *dir, const char *name, const char *request,
                         const int fds[2], struct xl_control_reply *reply_r)
{
    return ask(dir, name, request, fds, reply_r);
}

void xl_control_forget(const char *dir, const char *name)
{
    char file[XL_JOURNAL_NAME_LEN];
    int fd = -1, dir_fd, rc = connect_to(dir, name, &fd);

    if ( fd >= 0 )
        close(fd);
    if ( rc != -ECONNREFUSED )
        return;
    dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if ( dir_fd < 0 )
        return;
    snprintf(file, sizeof(file), "%s.migration.ctl", name);
    unlinkat(dir_fd, file, 0);
    close(dir_fd);
}

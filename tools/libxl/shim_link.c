/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * shim_link.c: the engine's end of the line to xl-save-shim.
 *
 * Called by libxl_postcopy_init() (listening) and by the engine's thread.
 * Whoever calls on the socket is checked: it has our user and is a child of
 * this process.  Does not know what the messages are for.
 */
#include "shim_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HELLO_TIMEOUT_US UINT64_C(5000000)

uint64_t libxl_postcopy__now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int poll_ms(uint64_t deadline_us)
{
    uint64_t now_us = libxl_postcopy__now_us();
    uint64_t ms;

    if ( deadline_us <= now_us )
        return 0;
    ms = (deadline_us - now_us + 999) / 1000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

int libxl_postcopy__poll(struct pollfd *fds, unsigned int nr,
                         uint64_t deadline_us)
{
    int n = poll(fds, nr, poll_ms(deadline_us));

    if ( n < 0 && errno != EINTR )
        return -errno;
    for ( unsigned int i = 0; n < 0 && i < nr; i++ )
        fds[i].revents = 0; /* they are of an earlier call */
    return n <= 0 && libxl_postcopy__now_us() >= deadline_us ? -ETIMEDOUT : 0;
}

/* ---- The socket ----------------------------------------------------------------- */

int libxl_postcopy__shim_listen(char *name_r, size_t cap, int *fd_r)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    char *name = addr.sun_path + 1; /* after the NUL of an abstract name */
    uint64_t nonce;
    int fd, len, rc;

    if ( getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce) )
        return -EIO;
    len = snprintf(name, sizeof(addr.sun_path) - 1, "xen-postcopy/%d/%016llx",
                   getpid(), (unsigned long long)nonce);
    if ( (size_t)len >= cap )
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if ( fd < 0 )
        return -errno;
    if ( bind(fd, (const struct sockaddr *)&addr,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                          (size_t)len)) ||
         listen(fd, 4) )
    {
        rc = -errno;
        close(fd);
        return rc;
    }
    memcpy(name_r, name, (size_t)len + 1);
    *fd_r = fd;
    return 0;
}

/* The parent of process pid, or 0. */
static pid_t parent_of(pid_t pid)
{
    char path[32], text[256];
    const char *after;
    ssize_t len;
    int fd, parent = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if ( fd < 0 )
        return 0;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if ( len <= 0 )
        return 0;
    text[len] = '\0';
    /* "pid (name) S ppid ...": a name may hold anything, also brackets. */
    after = strrchr(text, ')');
    if ( !after || sscanf(after, ") %*c %d", &parent) != 1 )
        return 0;
    return parent;
}

static int check_peer(int fd, pid_t *pid_r)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if ( getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) )
        return -errno;
    if ( cred.uid != geteuid() || parent_of(cred.pid) != getpid() )
        return -EPERM;
    *pid_r = cred.pid;
    return 0;
}

/* One packet; 0 octets: the peer is gone. */
static int take_packet(int fd, uint8_t *buf, size_t cap, uint64_t deadline_us,
                       size_t *len_r)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    for ( ;; )
    {
        ssize_t n = recv(fd, buf, cap, MSG_DONTWAIT);
        int rc;

        if ( n >= 0 )
        {
            *len_r = (size_t)n;
            return 0;
        }
        if ( errno == ECONNRESET )
        {
            *len_r = 0;
            return 0;
        }
        if ( errno != EAGAIN && errno != EINTR )
            return -errno;
        rc = errno == EAGAIN ? libxl_postcopy__poll(&pfd, 1, deadline_us) : 0;
        if ( rc )
            return rc;
    }
}

static int send_packet(int fd, const uint8_t *buf, size_t len,
                       uint64_t deadline_us)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    for ( ;; )
    {
        int rc;

        if ( send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 )
            return 0;
        if ( errno == ECONNRESET )
            return -EPIPE;
        if ( errno != EAGAIN && errno != EINTR )
            return -errno;
        rc = errno == EAGAIN ? libxl_postcopy__poll(&pfd, 1, deadline_us) : 0;
        if ( rc )
            return rc;
    }
}

/* HELLO's arguments; the first is the program's name. */
static int parse_hello(char *text, size_t len,
                       struct libxl_postcopy__helper_args *args_r)
{
    char *argv[16];
    int argc = 0;

    if ( !len || text[len - 1] != '\0' )
        return -EPROTO;
    for ( size_t at = 0; at < len; at += strlen(text + at) + 1 )
    {
        if ( argc == (int)(sizeof(argv) / sizeof(argv[0])) )
            return -EPROTO;
        argv[argc++] = text + at;
    }
    return libxl_postcopy__helper_args_parse(argc, argv, args_r) ? -EPROTO : 0;
}

static int take_hello(int fd, uint64_t deadline_us,
                      struct libxl_postcopy__helper_args *args_r)
{
    uint64_t hello_us = libxl_postcopy__now_us() + HELLO_TIMEOUT_US;
    uint8_t buf[1 + LIBXL_PC_HELLO_MAX];
    size_t len = 0;
    int rc = take_packet(fd, buf, sizeof(buf),
                         hello_us < deadline_us ? hello_us : deadline_us, &len);

    if ( rc )
        return rc;
    if ( len < 2 || buf[0] != LIBXL_PC_PACKET_HELLO )
        return -EPROTO;
    return parse_hello((char *)buf + 1, len - 1, args_r);
}

static int wait_caller(int listen_fd, int cancel_fd, uint64_t deadline_us,
                       int *fd_r)
{
    for ( ;; )
    {
        struct pollfd fds[2] = { { .fd = listen_fd, .events = POLLIN },
                                 { .fd = cancel_fd, .events = POLLIN } };
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        int rc;

        if ( fd >= 0 )
        {
            *fd_r = fd;
            return 0;
        }
        if ( errno != EAGAIN && errno != EINTR && errno != ECONNABORTED )
            return -errno;
        rc = libxl_postcopy__poll(fds, 2, deadline_us);
        if ( rc )
            return rc;
        if ( fds[1].revents && !fds[0].revents )
            return -ECANCELED;
    }
}

int libxl_postcopy__shim_accept(int listen_fd, int cancel_fd,
                                uint64_t deadline_us,
                                struct libxl_postcopy__shim *shim_r)
{
    for ( ;; )
    {
        struct libxl_postcopy__shim shim = { .fd = -1 };
        int rc = wait_caller(listen_fd, cancel_fd, deadline_us, &shim.fd);

        if ( rc )
            return rc;
        /* A stranger is shown the door, and does not disturb. */
        rc = check_peer(shim.fd, &shim.pid);
        if ( rc )
        {
            close(shim.fd);
            continue;
        }
        rc = take_hello(shim.fd, deadline_us, &shim.args);
        if ( rc )
        {
            close(shim.fd);
            return rc;
        }
        *shim_r = shim;
        return 0;
    }
}

/* ---- Messages and answers ---------------------------------------------------------- */

int libxl_postcopy__shim_send(struct libxl_postcopy__shim *shim,
                              const struct libxl_postcopy__message *msg,
                              uint64_t deadline_us)
{
    /* Our own messages: the longest is one line for a log. */
    uint8_t buf[2048];
    size_t len = 0;
    int rc;

    if ( shim->fd < 0 )
        return -EPIPE;
    if ( shim->asked )
        return -EBUSY;
    buf[0] = LIBXL_PC_PACKET_MESSAGE;
    rc = libxl_postcopy__msg_encode(msg, buf + 1, sizeof(buf) - 1, &len);
    if ( !rc )
        rc = send_packet(shim->fd, buf, len + 1, deadline_us);
    if ( rc )
        return rc;
    if ( libxl_postcopy__msg_wants_answer(msg->number) )
    {
        shim->asked = msg->number;
        shim->answer_have = 0;
    }
    return 0;
}

/* Octets of an answer; more than is due is no answer. */
static int take_answer(struct libxl_postcopy__shim *shim, const uint8_t *p,
                       size_t len)
{
    if ( !shim->asked || len > sizeof(shim->answer) - shim->answer_have )
        return -EPROTO;
    memcpy(shim->answer + shim->answer_have, p, len);
    shim->answer_have += len;
    return 0;
}

/* One packet; an error is the end of the line. */
static int take_one(struct libxl_postcopy__shim *shim, uint64_t deadline_us)
{
    uint8_t buf[64];
    size_t len = 0;
    int rc = take_packet(shim->fd, buf, sizeof(buf), deadline_us, &len);

    if ( rc == -ETIMEDOUT )
        return rc;
    if ( !rc && !len )
        rc = -EPIPE;
    if ( !rc )
        rc = buf[0] == LIBXL_PC_PACKET_ANSWER
                 ? take_answer(shim, buf + 1, len - 1)
                 : -EPROTO;
    if ( rc )
    {
        close(shim->fd);
        shim->fd = -1;
    }
    return rc;
}

int libxl_postcopy__shim_take(struct libxl_postcopy__shim *shim)
{
    int rc = shim->fd < 0 ? -EPIPE : 0;

    while ( !rc )
        rc = take_one(shim, 0);
    return rc == -ETIMEDOUT ? 0 : rc;
}

int libxl_postcopy__shim_answer(struct libxl_postcopy__shim *shim,
                                uint64_t deadline_us, bool *answered_r)
{
    int answer, rc = 0;

    *answered_r = false;
    while ( !rc && shim->asked && shim->answer_have < sizeof(answer) )
        rc = shim->fd < 0 ? -EPIPE : take_one(shim, deadline_us);
    if ( rc )
        return rc == -ETIMEDOUT ? 0 : rc;
    if ( !shim->asked )
        return -EINVAL;
    memcpy(&answer, shim->answer, sizeof(answer));
    rc = libxl_postcopy__msg_verdict(shim->asked, answer);
    shim->asked = (enum libxl_postcopy__msg)0;
    *answered_r = true;
    return rc;
}

int libxl_postcopy__shim_call(struct libxl_postcopy__shim *shim,
                              const struct libxl_postcopy__message *msg,
                              uint64_t deadline_us)
{
    bool answered = false;
    int rc = libxl_postcopy__shim_send(shim, msg, deadline_us);

    if ( rc || !shim->asked )
        return rc;
    rc = libxl_postcopy__shim_answer(shim, deadline_us, &answered);
    return rc || answered ? rc : -ETIMEDOUT;
}

void libxl_postcopy__shim_exit(struct libxl_postcopy__shim *shim,
                               uint8_t status)
{
    const uint8_t packet[2] = { LIBXL_PC_PACKET_EXIT, status };

    if ( shim->fd < 0 )
        return;
    /* Without room for two octets the end of file says it: failure. */
    (void)send_packet(shim->fd, packet, sizeof(packet), 0);
    close(shim->fd);
    shim->fd = -1;
    shim->asked = (enum libxl_postcopy__msg)0;
}

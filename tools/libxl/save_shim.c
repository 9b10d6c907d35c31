/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * save_shim.c: xl-save-shim, the program that libxl runs in the place of its
 * save helper (LIBXL_SAVE_HELPER).
 *
 * It carries octets: what the engine, in the process that called libxl, wants
 * to say goes to standard output, what libxl answers comes from standard input
 * (shim_link.h).  It looks at nothing, and holds nothing open that is libxl's:
 * a stream end kept here would hide the end of the file from everybody else.
 *
 * Exit status: what the engine says; 1 when the engine or libxl is gone, 2
 * when it was not started as libxl starts it.  SIGTERM is libxl giving up.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim_link.h"

enum
{
    EXIT_GONE = 1,
    EXIT_USAGE = 2,
};

static int complain(int status, const char *what)
{
    fprintf(stderr, "xl-save-shim: %s\n", what);
    return status;
}

/* What libxl's caller had ignored or blocked is not ours. */
static void reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A terminal's reach everybody in it; what they mean the engine's process
     * decides, and libxl cannot lose its helper while it suspends a guest. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGQUIT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
}

static int call_engine(int *fd_r)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *name = getenv(LIBXL_PC_SHIM_ENV);
    size_t len = name ? strlen(name) : 0;
    int fd;

    if ( !len || len > sizeof(addr.sun_path) - 1 )
        return complain(EXIT_USAGE, "is run by libxl, for xl migrate; it is "
                                    "of no use by itself");
    memcpy(addr.sun_path + 1, name, len);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if ( fd < 0 || connect(fd, (const struct sockaddr *)&addr,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                       1 + len)) )
        return complain(EXIT_GONE, "whoever called libxl does not answer");
    *fd_r = fd;
    return 0;
}

static int say_hello(int fd, int argc, char *argv[])
{
    uint8_t buf[1 + LIBXL_PC_HELLO_MAX];
    size_t at = 1;

    buf[0] = LIBXL_PC_PACKET_HELLO;
    for ( int i = 0; i < argc; i++ )
    {
        /* Of the program's name nobody needs more than that it is there. */
        const char *arg = i ? argv[i] : "xl-save-shim";
        size_t len = strlen(arg) + 1;

        if ( len > sizeof(buf) - at )
            return complain(EXIT_USAGE, "its arguments are too long");
        memcpy(buf + at, arg, len);
        at += len;
    }
    return send(fd, buf, at, 0) < 0 ? EXIT_GONE : 0;
}

static int write_all(const uint8_t *p, size_t len)
{
    while ( len )
    {
        ssize_t n = write(STDOUT_FILENO, p, len);

        if ( n < 0 && errno == EINTR )
            continue;
        if ( n <= 0 )
            return EXIT_GONE;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* What the engine says; *status_r: exit with that. */
static int from_engine(int fd, int *status_r)
{
    static uint8_t buf[LIBXL_PC_PACKET_MAX];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);

    if ( n < 0 && errno == EINTR )
        return 0;
    if ( n == 2 && buf[0] == LIBXL_PC_PACKET_EXIT )
    {
        *status_r = buf[1];
        return 0;
    }
    if ( n > 1 && buf[0] == LIBXL_PC_PACKET_MESSAGE )
        return write_all(buf + 1, (size_t)n - 1);
    return EXIT_GONE;
}

static int from_libxl(int fd)
{
    uint8_t buf[1 + 32];
    ssize_t n = read(STDIN_FILENO, buf + 1, sizeof(buf) - 1);

    if ( n < 0 && errno == EINTR )
        return 0;
    if ( n <= 0 )
        return EXIT_GONE;
    buf[0] = LIBXL_PC_PACKET_ANSWER;
    return send(fd, buf, (size_t)n + 1, 0) < 0 ? EXIT_GONE : 0;
}

static int carry(int fd)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
                             { .fd = STDIN_FILENO, .events = POLLIN } };
    int status = -1, rc = 0;

    while ( !rc && status < 0 )
    {
        if ( poll(fds, 2, -1) < 0 )
            rc = errno == EINTR ? 0 : EXIT_GONE;
        else if ( fds[0].revents )
            rc = from_engine(fd, &status);
        else if ( fds[1].revents )
            rc = from_libxl(fd);
    }
    return rc ? rc : status;
}

int main(int argc, char *argv[])
{
    int fd = -1, rc;

    reset_signals();
    /* libxl's stream and back channel, and whatever else was left open. */
    if ( close_range(STDERR_FILENO + 1, ~0u, 0) )
        for ( int i = STDERR_FILENO + 1; i < 1024; i++ )
            (void)close(i);
    rc = call_engine(&fd);
    if ( !rc )
        rc = say_hello(fd, argc, argv);
    return rc ? rc : carry(fd);
}

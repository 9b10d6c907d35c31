/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_local_create.c: starts the process that is a local guest.
 *
 * The process is nobody's child: it is forked twice and has a session of its
 * own, so that it outlives the tool that made it.  It says on a socket when it
 * is ready, or what is wrong, and stays if it is told that this was heard.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local_wire.h"

#ifndef XEN_POSTCOPY_LIBEXECDIR
#define XEN_POSTCOPY_LIBEXECDIR "/usr/local/libexec/xen-postcopy"
#endif
#define PROGRAM "xen-postcopy-guest"

#define PATH_LEN                     4096
/* Filling memory takes a second for two GiB, on a busy machine longer. */
#define START_TIMEOUT_US(memory_kib) (20000000 + (memory_kib)*5)

#define NR_ARGS 26
#define ARG_LEN 24

/* ---- Where the program is --------------------------------------------------------- */

static bool found(char *path, const char *format, const char *dir)
{
    int len = snprintf(path, PATH_LEN, "%s%s/" PROGRAM, dir, format);

    return len > 0 && len < PATH_LEN && !access(path, X_OK);
}

static int find_program(char path_r[PATH_LEN])
{
    const char *named = getenv("XEN_POSTCOPY_GUEST");
    char here[PATH_LEN];
    ssize_t len;

    if ( named && *named )
        return (size_t)snprintf(path_r, PATH_LEN, "%s", named) < PATH_LEN &&
                       !access(path_r, X_OK)
                   ? 0
                   : -ENOENT;

    /* Beside the running program, or, for build/tests, in ../bin. */
    len = readlink("/proc/self/exe", here, sizeof(here) - 1);
    if ( len > 0 )
    {
        here[len] = '\0';
        *strrchr(here, '/') = '\0';
        if ( found(path_r, "", here) || found(path_r, "/../bin", here) )
            return 0;
    }
    return found(path_r, "", XEN_POSTCOPY_LIBEXECDIR) ? 0 : -ENOENT;
}

/* ---- Its arguments ----------------------------------------------------------------- */

struct args
{
    char *argv[NR_ARGS + 1];
    char numbers[NR_ARGS][ARG_LEN];
    unsigned int nr;
};

static void add(struct args *a, const char *option, const char *value)
{
    a->argv[a->nr++] = (char *)option;
    a->argv[a->nr++] = (char *)value;
}

static void add_number(struct args *a, const char *option, uint64_t value)
{
    char *text = a->numbers[a->nr];

    snprintf(text, ARG_LEN, "%" PRIu64, value);
    add(a, option, text);
}

static void make_args(struct args *a, const char *dir,
                      const struct xc_sr_local_config *config, bool incoming)
{
    a->argv[a->nr++] = (char *)PROGRAM;
    add(a, "--dir", dir);
    add(a, "--name", config->name);
    add_number(a, "--memory-kib", config->memory_kib);
    add_number(a, "--vcpus", config->vcpus);
    add_number(a, "--workload", config->workload);
    add_number(a, "--rate", config->rate_ops_per_s);
    add_number(a, "--working-set-kib", config->working_set_kib);
    add_number(a, "--populate", config->populate_percent);
    add_number(a, "--seed", config->seed);
    add_number(a, "--suspend-delay-us", config->suspend_delay_us);
    add_number(a, "--sync-dirty-log", config->sync_dirty_log);
    add_number(a, "--incoming", incoming);
    a->argv[a->nr] = NULL;
}

/* ---- Starting it ------------------------------------------------------------------- */

/* Only calls that are safe after fork() in a process with threads. */
static void child(const char *path, char **argv, int report_fd)
{
    pid_t pid;

    setsid();
    pid = fork();
    if ( pid )
        _exit(pid < 0);
    if ( dup2(report_fd, 1) < 0 )
        _exit(1);
    execv(path, argv);
    _exit(1);
}

static int start(const char *path, char **argv, int report_fd)
{
    pid_t pid = fork();
    int status;

    if ( pid < 0 )
        return -errno;
    if ( !pid )
        child(path, argv, report_fd);
    while ( waitpid(pid, &status, 0) < 0 )
        if ( errno != EINTR )
            return -errno;
    return status ? -EAGAIN : 0;
}

/* "ok", an errno value, or nothing from a program that could not start. */
static int read_report(int fd, uint64_t timeout_us)
{
    uint64_t deadline_us = xc_sr__now_us() + timeout_us;
    char line[16] = "";
    size_t len = 0;
    long error;

    while ( len < sizeof(line) - 1 && !strchr(line, '\n') )
    {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        uint64_t now_us = xc_sr__now_us();
        ssize_t got;
        int nr;

        if ( now_us >= deadline_us )
            return -ETIMEDOUT;
        nr = poll(&pfd, 1, xc_sr__poll_ms(deadline_us, now_us));
        if ( nr < 0 && errno != EINTR )
            return -errno;
        if ( nr <= 0 )
            continue;
        got = read(fd, line + len, sizeof(line) - 1 - len);
        if ( got <= 0 )
            return -ENOEXEC;
        len += (size_t)got;
    }
    if ( !strcmp(line, "ok\n") )
        return 0;
    error = strtol(line, NULL, 10);
    return error > 0 && error < 4096 ? -(int)error : -ENOEXEC;
}

/* Whoever does not hear this ends: its maker has said that there is none. */
static int say_heard(int fd)
{
    return send(fd, "", 1, MSG_NOSIGNAL) == 1 ? 0 : -ENOEXEC;
}

int xc_sr_local_create(const char *dir, const struct xc_sr_local_config *config,
                       bool incoming, const struct xc_sr_log *log)
{
    char path[PATH_LEN];
    struct args args = { 0 };
    int fds[2] = { -1, -1 }, rc;

    if ( xc_sr__local_config_check(config) )
    {
        xc_sr__error(log, "%s: guest %s: name or configuration out of bounds",
                     dir, config->name);
        return -EINVAL;
    }
    rc = find_program(path);
    if ( rc )
    {
        xc_sr__error(log, "cannot find " PROGRAM ": set XEN_POSTCOPY_GUEST");
        return rc;
    }
    make_args(&args, dir, config, incoming);
    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 )
        return -errno;
    rc = start(path, args.argv, fds[1]);
    close(fds[1]);
    if ( !rc )
        rc = read_report(fds[0], START_TIMEOUT_US(config->memory_kib));
    if ( !rc )
        rc = say_heard(fds[0]);
    close(fds[0]);
    if ( rc )
        xc_sr__error(log, "%s: guest %s: cannot create it: %s", dir,
                     config->name,
                     rc == -ENOENT ? strerror(ENOENT) : xc_sr__local_why(rc));
    return rc;
}

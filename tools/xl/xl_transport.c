/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_transport.c: the child process that carries a migration, and exact reads
 * and writes on its channel outside the engine.
 *
 * The channel is two socket pairs, the child's standard input and output: ssh
 * and shells take them like pipes, they hold more than pipes do, and either
 * direction can be tuned here in one place.  They are two because a carrier
 * that closes its output must be seen to do so while it keeps its input.
 */
#include "xl_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xl.h"

/* A courtesy: the guest is where it is. */
#define REPORT_TIMEOUT_US  UINT64_C(5000000)
/* It gets SIGTERM, or is a receiver here and its input has ended. */
#define GIVE_UP_TIMEOUT_MS 2000

uint64_t xl_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* [0] is ours, [1] the child's. */
static int make_channel(int in_r[2], int out_r[2])
{
    int rc;

    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in_r) )
        return -errno;
    if ( !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out_r) )
        return 0;
    rc = -errno;
    close(in_r[0]);
    close(in_r[1]);
    return rc;
}

static void exec_receiver(const char *dir,
                          const struct xl_receiver_options *options)
{
    const char *argv[16] = { "xl", "--local", dir };
    char timeout[16];
    unsigned int n = 3;

    if ( options->verbose )
        argv[n++] = options->verbose > 1 ? "-vv" : "-v";
    argv[n++] = "migrate-receive";
    if ( options->paused )
        argv[n++] = "-p";
    if ( options->timeout_s )
    {
        snprintf(timeout, sizeof(timeout), "%u", options->timeout_s);
        argv[n++] = "--timeout";
        argv[n++] = timeout;
    }
    if ( options->recovery_wait )
    {
        argv[n++] = "--recovery-wait";
        argv[n++] = options->recovery_wait;
    }
    if ( options->on_loss )
    {
        argv[n++] = "--on-loss";
        argv[n++] = options->on_loss;
    }
    if ( options->recover )
    {
        argv[n++] = "--recover";
        argv[n++] = options->recover;
    }
    argv[n] = NULL;
    execv("/proc/self/exe", (char *const *)argv);
}

/* As exec will do: until then our handler would take a signal that is meant for
 * the child, and write of it to our own pipe. */
static void forget_handler(int number)
{
    struct sigaction now;

    if ( !sigaction(number, NULL, &now) && now.sa_handler != SIG_IGN )
        signal(number, SIG_DFL);
}

/* In the child, where all signals wait: never returns. */
static void run_child(const struct xl_target *target,
                      const struct xl_receiver_options *options,
                      const int fds[2], const sigset_t *mask)
{
    forget_handler(SIGTERM);
    signal(SIGPIPE, SIG_DFL);
    /* Ctrl-C, ctrl-\, or the end of the terminal, reaches every process of it;
     * what it means is our decision, and an ssh that died of it could not carry
     * that. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigprocmask(SIG_SETMASK, mask, NULL);
    if ( dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 )
        _exit(126);
    if ( target->command )
        execl("/bin/sh", "sh", "-c", target->command, (char *)NULL);
    else
    {
        /* The receiver outlives our session if it has to. */
        setsid();
        exec_receiver(target->dir, options);
    }
    _exit(127);
}

/* ---- The terminal, on which the child may ask for a password ----------------- */

static int open_terminal(void)
{
    return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static void look_at_terminal(struct xl_child *child)
{
    int fd = open_terminal();

    if ( fd < 0 )
        return;
    child->has_terminal = !tcgetattr(fd, &child->terminal);
    close(fd);
}

/* Who was ended while it asked may have left it without echo; what was typed
 * of an answer is nobody else's. */
static void restore_terminal(const struct xl_child *child)
{
    struct termios now;
    int fd = child->has_terminal ? open_terminal() : -1;

    if ( fd < 0 )
        return;
    /* In the background it is not ours to change. */
    if ( tcgetpgrp(fd) == getpgrp() && !tcgetattr(fd, &now) &&
         now.c_lflag != child->terminal.c_lflag )
        (void)tcsetattr(fd, TCSAFLUSH, &child->terminal);
    close(fd);
}

/* ---- The child ------------------------------------------------------------- */

int xl_child_start(const struct xl_target *target,
                   const struct xl_receiver_options *options,
                   struct xl_child *child_r)
{
    struct xl_child child = { .pid = 0 };
    int in[2], out[2], rc = make_channel(in, out);
    sigset_t all, before;
    pid_t pid;

    if ( rc )
        return rc;
    look_at_terminal(&child);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if ( pid == 0 )
    {
        const int fds[2] = { in[1], out[1] };

        run_child(target, options, fds, &before);
    }
    rc = pid < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(in[1]);
    close(out[1]);
    if ( rc )
    {
        close(in[0]);
        close(out[0]);
        return rc;
    }
    child.pid = pid;
    child.send_fd = in[0];
    child.recv_fd = out[0];
    *child_r = child;
    return 0;
}

/* True once the child has ended. */
static bool wait_for(pid_t pid, int timeout_ms, int *status_r)
{
    struct pollfd pfd = { .fd = pidfd_open(pid, 0), .events = POLLIN };

    if ( pfd.fd >= 0 )
    {
        uint64_t deadline = xl_now_us() + (uint64_t)timeout_ms * 1000;
        uint64_t now;

        /* A signal of ours may cut poll() short. */
        while ( (now = xl_now_us()) < deadline &&
                poll(&pfd, 1, (int)((deadline - now) / 1000 + 1)) < 0 &&
                errno == EINTR )
            ;
        close(pfd.fd);
    }
    return waitpid(pid, status_r, WNOHANG) == pid;
}

void xl_child_end(struct xl_child *child, int timeout_ms, bool kill_it,
                  int *status_r)
{
    int status = -1;

    if ( child->send_fd >= 0 )
        close(child->send_fd);
    if ( child->recv_fd >= 0 )
        close(child->recv_fd);
    child->send_fd = child->recv_fd = -1;
    *status_r = -1;
    if ( !child->pid )
        return;
    if ( child->reaped )
        *status_r = child->status;
    else if ( wait_for(child->pid, timeout_ms, &status) )
        *status_r = status;
    else if ( kill_it && !kill(child->pid, SIGTERM) &&
              wait_for(child->pid, 2000, &status) )
        *status_r = status;
    child->pid = 0;
    restore_terminal(child);
}

void xl_child_give_up(struct xl_child *child, const struct xl_target *target,
                      int *status_r)
{
    if ( target->command && child->pid && !child->reaped )
        kill(child->pid, SIGTERM);
    xl_child_end(child, GIVE_UP_TIMEOUT_MS, false, status_r);
}

bool xl_child_note_reaped(struct xl_child *child, pid_t pid, int status)
{
    if ( !child->pid || child->pid != pid )
        return false;
    child->reaped = true;
    child->status = status;
    return true;
}

const char *xl_child_status_text(int status, char *buf, size_t len)
{
    if ( status == -1 )
        snprintf(buf, len, "it is still running");
    else if ( WIFSIGNALED(status) )
        snprintf(buf, len, "it was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if ( WIFEXITED(status) )
        snprintf(buf, len, "its exit status was %d%s", WEXITSTATUS(status),
                 WEXITSTATUS(status) == 127 ? ": command not found" : "");
    else
        snprintf(buf, len, "wait status %d", status);
    return buf;
}

/* Waits for events on fd; -ECANCELED if cancel_fd is readable first. */
static int wait_fd(int fd, short events, uint64_t deadline_us, int cancel_fd)
{
    for ( ;; )
    {
        struct pollfd fds[2] = { { .fd = fd, .events = events },
                                 { .fd = cancel_fd, .events = POLLIN } };
        uint64_t now = xl_now_us();
        uint64_t left_ms;

        if ( now >= deadline_us )
            return -ETIMEDOUT;
        left_ms = (deadline_us - now) / 1000 + 1;
        if ( poll(fds, 2, left_ms > 60000 ? 60000 : (int)left_ms) < 0 )
        {
            if ( errno != EINTR )
                return -errno;
            continue;
        }
        if ( fds[1].revents )
            return -ECANCELED;
        if ( fds[0].revents )
            return 0;
    }
}

int xl_read_exact(int fd, void *buf, size_t len, uint64_t deadline_us,
                  int cancel_fd)
{
    uint8_t *p = buf;

    while ( len )
    {
        int rc = wait_fd(fd, POLLIN, deadline_us, cancel_fd);
        ssize_t got;

        if ( rc )
            return rc;
        got = read(fd, p, len);
        if ( got == 0 || (got < 0 && errno == ECONNRESET) )
            return -EPIPE;
        if ( got < 0 && (errno == EAGAIN || errno == EINTR) )
            continue;
        if ( got < 0 )
            return -errno;
        p += got;
        len -= (size_t)got;
    }
    return 0;
}

int xl_write_exact(int fd, const void *buf, size_t len, uint64_t deadline_us,
                   int cancel_fd)
{
    const uint8_t *p = buf;

    while ( len )
    {
        int rc = wait_fd(fd, POLLOUT, deadline_us, cancel_fd);
        ssize_t put;

        if ( rc )
            return rc;
        put = write(fd, p, len);
        if ( put < 0 && (errno == EAGAIN || errno == EINTR) )
            continue;
        if ( put < 0 )
            return errno == ECONNRESET ? -EPIPE : -errno;
        p += put;
        len -= (size_t)put;
    }
    return 0;
}

/* The rest of the line that began with `have` wrong octets, for a message. */
static void collect_line(int fd, char *line, size_t have, size_t cap)
{
    uint64_t deadline = xl_now_us() + 200000;
    size_t i;

    while ( have < cap - 1 && !memchr(line, '\n', have) &&
            !xl_read_exact(fd, line + have, 1, deadline, -1) )
        have++;
    for ( i = 0; i < have && line[i] != '\r' && line[i] != '\n'; i++ )
        if ( line[i] < 0x20 || line[i] > 0x7e )
            line[i] = '.';
    line[i] = '\0';
}

int xl_expect(int fd, const char *text, size_t len, uint64_t deadline_us,
              int cancel_fd, char got_r[80])
{
    size_t have;

    for ( have = 0; have < len; have++ )
    {
        char octet;
        int rc = xl_read_exact(fd, &octet, 1, deadline_us, cancel_fd);

        if ( rc )
            return rc;
        if ( octet == text[have] )
            continue;
        memcpy(got_r, text, have < 40 ? have : 40);
        have = have < 40 ? have : 40;
        got_r[have] = octet;
        collect_line(fd, got_r, have + 1, 80);
        return -EPROTO;
    }
    return 0;
}

int xl_ask_permission(int send_fd, int recv_fd, const char *name,
                      uint64_t timeout_us, int cancel_fd)
{
    uint64_t deadline_us = xl_now_us() + timeout_us;
    char got[80] = "";
    int rc = xl_write_exact(send_fd, XL_TEXT_READY, sizeof(XL_TEXT_READY),
                            deadline_us, -1);

    if ( !rc )
        rc = xl_expect(recv_fd, XL_TEXT_GO, sizeof(XL_TEXT_GO), deadline_us,
                       cancel_fd, got);
    if ( rc )
        xl_error("the sender did not permit `%s` to run here: %s", name,
                 rc == -EPIPE ? "it ended the connection" : strerror(-rc));
    return rc;
}

void xl_report_start(int fd, const char *name, uint8_t status)
{
    uint8_t text[sizeof(XL_TEXT_REPORT) + 1];
    uint64_t deadline_us = xl_now_us() + REPORT_TIMEOUT_US;

    memcpy(text, XL_TEXT_REPORT, sizeof(XL_TEXT_REPORT));
    text[sizeof(XL_TEXT_REPORT)] = status;
    if ( xl_write_exact(fd, text, sizeof(text), deadline_us, -1) )
        xl_error("the sender does not learn that `%s` %s", name,
                 status ? "failed to start" : "runs here");
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Runs in dom0 of a rig host: takes scripts from the virtio-serial ports
 * /dev/vport*, runs each with sh in a session of its own and carries its
 * input, output and exit status (rig_wire.h).  Several ports, so that a case
 * can watch a host while something runs there.
 *
 * Started by dom0-init as the last thing: that it answers means that the host
 * is ready.  It also sets the clock of the host from the first line of each
 * run, so that two hosts agree on the time.  It must outlive whatever is run:
 * it never waits for a program but in its own loop.
 */
#include <fcntl.h>
#include <glob.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "rig_wire.h"

#define MAX_PORTS 16

struct port
{
    int fd;
    char in[RIG_MAX_SCRIPT + RIG_MAX_LINE];
    size_t have;
    pid_t pid; /* 0: nothing runs */
    bool reaped;
    int status;
    int to, out, err; /* -1: closed */
    bool tty;
};

static struct port ports[MAX_PORTS];
static int nr_ports;

static void shut(int *fd)
{
    if ( *fd >= 0 )
        close(*fd);
    *fd = -1;
}

static void stop(struct port *p)
{
    if ( p->pid )
    {
        kill(-p->pid, SIGKILL);
        if ( !p->reaped )
            waitpid(p->pid, NULL, 0);
    }
    p->pid = 0;
    if ( p->out == p->to )
        p->to = -1;
    shut(&p->to);
    shut(&p->out);
    shut(&p->err);
}

static void set_clock(long long seconds, long micros)
{
    struct timeval now = { .tv_sec = seconds, .tv_usec = micros };

    settimeofday(&now, NULL);
}

static void __attribute__((noreturn)) exec_shell(const char *script)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* Ignored in what a shell starts in the background, as dom0-init does. */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    if ( *script )
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    else
        execl("/bin/sh", "-sh", (char *)NULL);
    _exit(127);
}

static int start_pipes(struct port *p, const char *script, bool with_stdin)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };

    if ( pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
         pipe2(err, O_CLOEXEC) )
        goto fail;
    p->pid = fork();
    if ( p->pid < 0 )
        goto fail;
    if ( !p->pid )
    {
        setsid();
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        exec_shell(script);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if ( !with_stdin )
        shut(&in[1]);
    p->to = in[1];
    p->out = out[0];
    p->err = err[0];
    return 0;

fail:
    p->pid = 0;
    for ( int i = 0; i < 2; i++ )
    {
        shut(&in[i]);
        shut(&out[i]);
        shut(&err[i]);
    }
    return -EAGAIN;
}

static int start_tty(struct port *p, const char *script)
{
    int fd;

    p->pid = forkpty(&fd, NULL, NULL, NULL);
    if ( p->pid < 0 )
    {
        p->pid = 0;
        return -EAGAIN;
    }
    if ( !p->pid )
        exec_shell(script);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    p->to = p->out = fd;
    return 0;
}

static void start(struct port *p, const char *nonce, int flags,
                  const char *script)
{
    char line[RIG_MAX_LINE];
    int n = snprintf(line, sizeof(line), "\nRIG-START %s\n", nonce);
    int rc;

    p->to = p->out = p->err = -1;
    p->reaped = false;
    p->tty = flags & RIG_FLAG_TTY;
    rig_write(p->fd, line, n);
    rc = p->tty ? start_tty(p, script)
                : start_pipes(p, script, flags & RIG_FLAG_STDIN);
    if ( rc )
        rig_write(p->fd, "X 126\n", 6);
}

static void consume(struct port *p, size_t length)
{
    memmove(p->in, p->in + length, p->have - length);
    p->have -= length;
}

/* Acts on the first line of the input; false: more bytes are needed. */
static bool act(struct port *p)
{
    char *end = memchr(p->in, '\n', p->have), nonce[64];
    size_t line, length, rows, columns;
    long long seconds;
    long micros;
    int flags;

    if ( !end )
    {
        if ( p->have > RIG_MAX_LINE )
            p->have = 0;
        return false;
    }
    line = end + 1 - p->in;
    *end = '\0';
    if ( sscanf(p->in, "RIG-RUN %63s %d %zu %lld %ld", nonce, &flags, &length,
                &seconds, &micros) == 5 &&
         length < RIG_MAX_SCRIPT )
    {
        char *script;

        if ( p->have < line + length )
        {
            *end = '\n';
            return false;
        }
        stop(p);
        if ( flags & RIG_FLAG_CLOCK )
            set_clock(seconds, micros);
        script = strndup(p->in + line, length);
        consume(p, line + length);
        if ( script )
            start(p, nonce, flags, script);
        free(script);
    }
    else if ( sscanf(p->in, "I %zu", &length) == 1 && length <= RIG_MAX_DATA )
    {
        if ( p->have < line + length )
        {
            *end = '\n';
            return false;
        }
        if ( p->to >= 0 )
            rig_write(p->to, p->in + line, length);
        consume(p, line + length);
    }
    else if ( sscanf(p->in, "W %zu %zu", &rows, &columns) == 2 )
    {
        struct winsize size = { .ws_row = rows, .ws_col = columns };

        if ( p->tty && p->to >= 0 )
            ioctl(p->to, TIOCSWINSZ, &size);
        consume(p, line);
    }
    else
    {
        if ( !strcmp(p->in, "E") && !p->tty )
            shut(&p->to);
        consume(p, line);
    }
    return true;
}

/* Output that is there; a descriptor at its end is closed. */
static void carry(struct port *p, int *fd, char kind)
{
    static char data[RIG_MAX_DATA];
    ssize_t n = read(*fd, data, sizeof(data));

    if ( n > 0 )
    {
        /* Nobody listens any more: the hang-up will be seen in the loop. */
        rig_frame(p->fd, kind, data, n);
        return;
    }
    if ( n < 0 && errno == EINTR )
        return;
    if ( p->tty )
        p->to = -1;
    shut(fd);
}

/*
 * A run has ended when its shell has, and what it wrote is read.  What it left
 * in the background may keep the pipes open: those are not waited for.
 */
static void finish(struct port *p)
{
    char line[32];
    int n, waiting = 0;

    if ( !p->pid )
        return;
    if ( !p->reaped && waitpid(p->pid, &p->status, WNOHANG) == p->pid )
        p->reaped = true;
    if ( !p->reaped )
        return;
    for ( int i = 0; i < 2; i++ )
    {
        int fd = i ? p->err : p->out;

        waiting = 0;
        if ( fd >= 0 && !ioctl(fd, FIONREAD, &waiting) && waiting > 0 )
            return;
    }
    n = snprintf(line, sizeof(line), "X %d\n",
                 WIFSIGNALED(p->status) ? 128 + WTERMSIG(p->status)
                                        : WEXITSTATUS(p->status));
    p->pid = 0;
    stop(p);
    rig_write(p->fd, line, n);
}

/* The input of a port, or its hang-up; true: there is somebody at the end. */
static bool serve(struct port *p, short events)
{
    if ( events & POLLHUP )
    {
        stop(p);
        p->have = 0;
        return false;
    }
    if ( events & POLLIN )
    {
        ssize_t n = read(p->fd, p->in + p->have, sizeof(p->in) - p->have);

        if ( n > 0 )
            p->have += n;
        while ( p->have && act(p) )
            ;
    }
    return true;
}

static int open_ports(void)
{
    glob_t found;

    if ( glob("/dev/vport*", 0, NULL, &found) )
        return -ENODEV;
    for ( size_t i = 0; i < found.gl_pathc && nr_ports < MAX_PORTS; i++ )
    {
        struct port *p = &ports[nr_ports];

        p->fd = open(found.gl_pathv[i], O_RDWR | O_NONBLOCK | O_CLOEXEC);
        p->to = p->out = p->err = -1;
        if ( p->fd < 0 )
            continue;
        fcntl(p->fd, F_SETOWN, getpid());
        fcntl(p->fd, F_SETFL, O_NONBLOCK | O_ASYNC);
        nr_ports++;
    }
    globfree(&found);
    return nr_ports ? 0 : -ENODEV;
}

/*
 * What may have changed without a descriptor becoming readable: the shell of
 * a run has ended, or somebody came to a port that nobody was at.
 */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGIO);
    if ( sigprocmask(SIG_BLOCK, &set, NULL) )
        return -errno;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* A port that nobody is at says so at every poll, so it is left out of it. */
static bool attended(struct port *p)
{
    struct pollfd once = { .fd = p->fd, .events = POLLIN };

    if ( poll(&once, 1, 0) <= 0 || !(once.revents & POLLHUP) )
        return true;
    serve(p, POLLHUP);
    return false;
}

static void wait_and_serve(int signals)
{
    struct pollfd polled[3 * MAX_PORTS + 1];
    struct signalfd_siginfo info;
    int n = 0;

    for ( int i = 0; i < nr_ports; i++ )
    {
        struct port *p = &ports[i];

        polled[n++] =
            (struct pollfd){ .fd = attended(p) ? p->fd : -1, .events = POLLIN };
        polled[n++] = (struct pollfd){ .fd = p->out, .events = POLLIN };
        polled[n++] = (struct pollfd){ .fd = p->err, .events = POLLIN };
    }
    polled[n++] = (struct pollfd){ .fd = signals, .events = POLLIN };
    poll(polled, n, 1000);
    while ( read(signals, &info, sizeof(info)) > 0 )
        ;
    for ( int i = 0; i < nr_ports; i++ )
    {
        struct port *p = &ports[i];

        if ( polled[3 * i].fd >= 0 && !serve(p, polled[3 * i].revents) )
            continue;
        if ( p->out >= 0 && polled[3 * i + 1].revents )
            carry(p, &p->out, '1');
        if ( p->err >= 0 && polled[3 * i + 2].revents )
            carry(p, &p->err, '2');
        finish(p);
    }
}

int main(void)
{
    int signals = open_signals();

    signal(SIGPIPE, SIG_IGN);
    if ( signals < 0 || open_ports() )
    {
        fprintf(stderr, "rig-agent: no virtio-serial port\n");
        return 1;
    }
    for ( ;; )
        wait_and_serve(signals);
}

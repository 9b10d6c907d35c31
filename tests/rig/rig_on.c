/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Runs a shell script in dom0 of a rig host, through the first free of the
 * virtio-serial ports that QEMU offers as unix sockets DIR/portN (rig_wire.h),
 * and passes on its output and exit status.
 *
 * usage: rig_on [-ic] [-t SECONDS] DIR SCRIPT   -i: with our standard input,
 *                                               -c: set the clock there
 *        rig_on -s DIR                          a shell on a terminal
 *        rig_on -r SOCKET                       our terminal to a raw console
 *
 * Exit status: the script's; 124 not finished in time (the script is ended);
 * 125 the host is gone.  Called by tests/rig/on and by lib.sh.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

#include "rig_wire.h"

#define MAX_PORTS 16
#define ESCAPE    0x1d /* Ctrl-] leaves the shell, as with telnet and xl console */
enum
{
    LATE = 124,
    GONE = 125,
    USAGE = 2
};

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int open_socket(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd, n;

    n = snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    if ( n < 0 || (size_t)n >= sizeof(to.sun_path) )
        return -ENAMETOOLONG;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if ( fd < 0 )
        return -errno;
    if ( !connect(fd, (struct sockaddr *)&to, sizeof(to)) )
        return fd;
    n = -errno;
    close(fd);
    return n;
}

/* The socket of a port that nobody else uses; the lock goes with us. */
static int take_port(const char *dir, long long until_ms)
{
    char path[PATH_MAX];
    int seen;

    do
    {
        seen = 0;
        for ( int i = 0; i < MAX_PORTS; i++ )
        {
            int lock, fd;

            snprintf(path, sizeof(path), "%s/port%d.lock", dir, i);
            lock = open(path, O_RDWR | O_CLOEXEC);
            if ( lock < 0 )
                break;
            seen++;
            if ( flock(lock, LOCK_EX | LOCK_NB) )
            {
                close(lock);
                continue;
            }
            snprintf(path, sizeof(path), "%s/port%d", dir, i);
            fd = open_socket(path);
            if ( fd < 0 )
                close(lock);
            return fd;
        }
        usleep(20000);
    } while ( seen && now_ms() < until_ms );
    return seen ? -EBUSY : -ENOENT;
}

/* Buffered reading: what came, and how far it is used up. */
static char in[65536];
static size_t have, used;
static int sock = -1;
static bool sends_input, is_tty, is_raw;
static long long until_ms = LLONG_MAX;

static void to_host(char kind, const char *data, size_t length)
{
    if ( is_raw   ? rig_write(sock, data, length)
         : length ? rig_frame(sock, kind, data, length)
                  : rig_write(sock, "E\n", 2) )
        sends_input = false;
}

/* The host's terminal is as large as ours, whenever that changes. */
static volatile sig_atomic_t resized;
static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static void tell_size(void)
{
    struct winsize size;
    char line[64];
    int n;

    resized = 0;
    if ( ioctl(0, TIOCGWINSZ, &size) )
        return;
    n = snprintf(line, sizeof(line), "W %d %d\n", size.ws_row, size.ws_col);
    rig_write(sock, line, n);
}

/* Our own input; a terminal's escape character ends everything. */
static void take_input(void)
{
    static char data[RIG_MAX_DATA];
    ssize_t n = read(0, data, sizeof(data));

    if ( n <= 0 )
    {
        sends_input = false;
        n = 0;
    }
    if ( is_tty && memchr(data, ESCAPE, n) )
        exit(0);
    to_host('I', data, n);
}

static void more(void)
{
    struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
                           { .fd = 0, .events = POLLIN } };
    ssize_t n;

    for ( ;; )
    {
        long long left = until_ms == LLONG_MAX ? 1000 : until_ms - now_ms();

        if ( left <= 0 )
            exit(LATE);
        if ( resized )
            tell_size();
        p[1].fd = sends_input ? 0 : -1;
        if ( poll(p, 2, left > 1000 ? 1000 : left) <= 0 )
            continue;
        if ( p[1].revents )
            take_input();
        if ( !p[0].revents )
            continue;
        memmove(in, in + used, have - used);
        have -= used;
        used = 0;
        n = read(sock, in + have, sizeof(in) - have);
        if ( n <= 0 )
            exit(GONE);
        have += n;
        return;
    }
}

/* The next line, without its end; longer ones are cut (they are stale). */
static void get_line(char *line, size_t size)
{
    for ( size_t n = 0;; )
    {
        char c;

        if ( used == have )
            more();
        c = in[used++];
        if ( c == '\n' )
        {
            line[n] = '\0';
            return;
        }
        if ( n + 1 < size )
            line[n++] = c;
    }
}

static void pass_on(int to, size_t length)
{
    while ( length )
    {
        size_t n;

        if ( used == have )
            more();
        n = have - used < length ? have - used : length;
        if ( rig_write(to, in + used, n) )
            exit(1);
        used += n;
        length -= n;
    }
}

static struct termios saved;
static void restore_tty(void)
{
    tcsetattr(0, TCSANOW, &saved);
}

static void prepare_tty(void)
{
    struct termios raw;

    if ( tcgetattr(0, &saved) )
        return;
    atexit(restore_tty);
    raw = saved;
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
    if ( is_raw )
        return;
    signal(SIGWINCH, on_resize);
    tell_size();
}

static void send_run(const char *nonce, int flags, const char *script)
{
    char head[RIG_MAX_LINE];
    struct timeval now;
    int n;

    gettimeofday(&now, NULL);
    n = snprintf(head, sizeof(head), "\nRIG-RUN %s %d %zu %lld %ld\n", nonce,
                 flags, strlen(script), (long long)now.tv_sec,
                 (long)now.tv_usec);
    if ( rig_write(sock, head, n) || rig_write(sock, script, strlen(script)) )
        exit(GONE);
}

static int run(int flags, const char *script)
{
    char nonce[64], want[96], line[RIG_MAX_LINE];
    size_t length;
    int status;

    snprintf(nonce, sizeof(nonce), "%d-%lld", getpid(), now_ms());
    snprintf(want, sizeof(want), "RIG-START %s", nonce);
    send_run(nonce, flags, script);
    do
        get_line(line, sizeof(line));
    while ( strcmp(line, want) );
    if ( flags & RIG_FLAG_TTY )
        prepare_tty();
    sends_input = flags & RIG_FLAG_STDIN;
    for ( ;; )
    {
        get_line(line, sizeof(line));
        if ( sscanf(line, "X %d", &status) == 1 )
            return status;
        if ( (line[0] == '1' || line[0] == '2') &&
             sscanf(line + 1, " %zu", &length) == 1 )
            pass_on(line[0] - '0', length);
        else
        {
            fprintf(stderr, "rig: the agent said \"%s\"\n", line);
            return GONE;
        }
    }
}

/* A console as it is, no frames around what is said. */
static int attach(const char *path)
{
    sock = open_socket(path);
    if ( sock < 0 )
    {
        fprintf(stderr, "rig: %s: %s\n", path, strerror(-sock));
        return GONE;
    }
    is_tty = is_raw = sends_input = true;
    prepare_tty();
    for ( ;; )
    {
        if ( used == have )
            more();
        pass_on(1, have - used);
    }
}

int main(int argc, char **argv)
{
    int c, flags = 0;
    long seconds = 120;

    while ( (c = getopt(argc, argv, "+cir:st:")) != -1 )
    {
        if ( c == 'i' )
            flags |= RIG_FLAG_STDIN;
        else if ( c == 'c' )
            flags |= RIG_FLAG_CLOCK;
        else if ( c == 'r' )
            return attach(optarg);
        else if ( c == 's' )
            flags |= RIG_FLAG_STDIN | RIG_FLAG_TTY;
        else if ( c == 't' )
            seconds = strtol(optarg, NULL, 10);
        else
            return USAGE;
    }
    is_tty = flags & RIG_FLAG_TTY;
    if ( argc - optind != (is_tty ? 1 : 2) || seconds <= 0 )
    {
        fprintf(stderr, "usage: rig_on [-ic] [-t SECONDS] DIR SCRIPT\n"
                        "       rig_on -s DIR\n"
                        "       rig_on -r SOCKET\n");
        return USAGE;
    }
    until_ms = is_tty ? LLONG_MAX : now_ms() + seconds * 1000;
    sock = take_port(argv[optind], until_ms);
    if ( sock < 0 )
    {
        fprintf(stderr, "rig: host %s cannot be reached: %s\n", argv[optind],
                strerror(-sock));
        return GONE;
    }
    return run(flags, is_tty ? "" : argv[optind + 1]);
}

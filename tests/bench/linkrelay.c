/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * linkrelay: a network link between two processes of one machine.
 *
 * Starts a command with a socketpair as its stdin and stdout and carries
 * octets between that and its own stdin and stdout, both ways independently.
 * Each way is a queue in front of a line: what is read joins the queue (full:
 * nothing more is read, so the writer feels it), the line serialises it at
 * the given rate, and an octet comes out no earlier than `delay` after its
 * turn on the line.  Benchmarks and tests put it where a migration would have
 * its network; it can also cut the connection after so many octets and write
 * down what passed.
 *
 * It never looks at what it carries.  Time is CLOCK_MONOTONIC in nanoseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define EXIT_OWN   125 /* what env(1) and its like use for their own failures */
#define EXIT_EXEC  127

/* One read; also the most that can be cut off the queue's bound by a read. */
#define READ_MAX     (256u << 10)
/* Deliver this much at a time when more is queued: 35 us of a 1 Gb/s line. */
#define QUANTUM      4096u
/* A read is one segment, so that a small message leaves at its own time. */
#define MAX_SEGMENTS 4096u
/* A sleep wakes up to 50 us late in a virtual machine: the rest is spun. */
#define SPIN_NS      20000.0

struct segment
{
    size_t len;
    double start_ns; /* its first octet starts on the line */
};

/* One direction. */
struct lane
{
    int in, out;  /* -1: closed */
    bool eof;     /* nothing more will be read */
    bool blocked; /* out took less than it was offered */
    bool done;
    uint8_t *ring;
    size_t cap, head, len;
    struct segment segs[MAX_SEGMENTS];
    size_t seg_head, nr_segs;
    double busy_until_ns; /* the line has sent all of the queue */
    uint64_t passed;
    uint64_t cut_after; /* UINT64_MAX: never */
    FILE *capture;
};

struct link
{
    double ns_per_octet; /* 0: no limit */
    double delay_ns;
    size_t queue;
    struct timespec epoch;
    struct lane forward, back;
    bool cut;
};

static double now_ns(const struct link *l)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - l->epoch.tv_sec) * 1e9 +
           (double)(t.tv_nsec - l->epoch.tv_nsec);
}

/* Closes an end in a way the other side notices even if the descriptor has
 * copies (a shell in between, say). */
static void hang_up(int *fd, int how)
{
    if ( *fd < 0 )
        return;
    (void)shutdown(*fd, how);
    close(*fd);
    *fd = -1;
}

/* ---- Queue --------------------------------------------------------------- */

/* How much may join the queue now. */
static size_t room(const struct link *l, const struct lane *d, double now)
{
    size_t room_ring = d->cap - d->len, waiting = 0;

    if ( d->nr_segs == MAX_SEGMENTS )
        return 0;
    if ( l->ns_per_octet > 0 && d->busy_until_ns > now )
        waiting = (size_t)((d->busy_until_ns - now) / l->ns_per_octet);
    if ( waiting >= l->queue )
        return 0;
    return l->queue - waiting < room_ring ? l->queue - waiting : room_ring;
}

static void enqueue(struct link *l, struct lane *d, size_t n, double now)
{
    struct segment *s = &d->segs[(d->seg_head + d->nr_segs++) % MAX_SEGMENTS];

    s->len = n;
    s->start_ns = d->busy_until_ns > now ? d->busy_until_ns : now;
    d->busy_until_ns = s->start_ns + (double)n * l->ns_per_octet;
    d->len += n;
}

/* How many octets of segment s are through at `now`. */
static size_t through(const struct link *l, const struct segment *s, double now)
{
    double ns = now - l->delay_ns - s->start_ns;

    if ( ns < 0 )
        return 0;
    if ( ns >= (double)s->len * l->ns_per_octet )
        return s->len;
    return (size_t)(ns / l->ns_per_octet);
}

/*
 * What to deliver at `now`: whole segments, and of an unfinished one only if
 * that makes a quantum.  *next_ns_r: when there will be more; untouched when
 * the queue is empty.
 */
static size_t deliverable(const struct link *l, const struct lane *d,
                          double now, double *next_ns_r)
{
    size_t total = 0, i;

    for ( i = 0; i < d->nr_segs; i++ )
    {
        const struct segment *s = &d->segs[(d->seg_head + i) % MAX_SEGMENTS];
        size_t n = through(l, s, now), want;

        if ( n == s->len )
        {
            total += n;
            continue;
        }
        if ( total + n >= QUANTUM )
            return total + n;
        want = QUANTUM - total < s->len ? QUANTUM - total : s->len;
        *next_ns_r = s->start_ns + l->delay_ns + (double)want * l->ns_per_octet;
        return total;
    }
    return total;
}

static void dequeue(struct link *l, struct lane *d, size_t n)
{
    d->head = (d->head + n) % d->cap;
    d->len -= n;
    d->passed += n;
    while ( n )
    {
        struct segment *s = &d->segs[d->seg_head];

        if ( n < s->len )
        {
            s->len -= n;
            s->start_ns += (double)n * l->ns_per_octet;
            return;
        }
        n -= s->len;
        d->seg_head = (d->seg_head + 1) % MAX_SEGMENTS;
        d->nr_segs--;
    }
}

/* ---- The two ends of a lane ---------------------------------------------- */

/* Takes what there is and what fits; *moved_r says whether that was anything. */
static int take(struct link *l, struct lane *d, bool *moved_r)
{
    size_t fits = room(l, d, now_ns(l));
    size_t tail = (d->head + d->len) % d->cap;
    ssize_t n;

    if ( d->eof || !fits )
        return 0;
    if ( fits > d->cap - tail )
        fits = d->cap - tail;
    if ( fits > READ_MAX )
        fits = READ_MAX;

    n = read(d->in, d->ring + tail, fits);
    if ( n < 0 && (errno == EAGAIN || errno == EINTR) )
        return 0;
    if ( n <= 0 )
    {
        /* A reset is an end like any other: the command's code says more. */
        d->eof = *moved_r = true;
        return 0;
    }
    enqueue(l, d, (size_t)n, now_ns(l));
    *moved_r = true;
    return 0;
}

/* The reader went away: nothing of this lane matters any more. */
static void abandon(struct lane *d)
{
    d->eof = d->done = true;
    d->len = d->nr_segs = 0;
    hang_up(&d->in, SHUT_RD);
    hang_up(&d->out, SHUT_WR);
}

static int give(struct link *l, struct lane *d, double *next_ns_r,
                bool *moved_r)
{
    size_t n = deliverable(l, d, now_ns(l), next_ns_r);
    ssize_t w;

    if ( n > d->cap - d->head )
        n = d->cap - d->head;
    if ( n > d->cut_after - d->passed )
        n = (size_t)(d->cut_after - d->passed);
    d->blocked = false;
    if ( n )
    {
        w = write(d->out, d->ring + d->head, n);
        if ( w < 0 && (errno == EAGAIN || errno == EINTR) )
        {
            d->blocked = true;
            return 0;
        }
        if ( w < 0 )
        {
            abandon(d);
            return 0;
        }
        if ( d->capture &&
             fwrite(d->ring + d->head, 1, (size_t)w, d->capture) != (size_t)w )
        {
            fprintf(stderr, "linkrelay: capture file: %s\n", strerror(errno));
            return -EIO;
        }
        dequeue(l, d, (size_t)w);
        *moved_r = true;
    }
    if ( d->passed == d->cut_after )
        l->cut = true;
    if ( d->eof && !d->len )
    {
        d->done = true;
        hang_up(&d->in, SHUT_RD);
        hang_up(&d->out, SHUT_WR);
    }
    return 0;
}

/* ---- The loop ------------------------------------------------------------ */

static void watch(const struct link *l, const struct lane *d,
                  struct pollfd p[2])
{
    bool in = !d->done && !d->eof && room(l, d, now_ns(l));

    p[0] = (struct pollfd){ .fd = in ? d->in : -1, .events = POLLIN };
    /* Asking for nothing still tells of a reader that went away. */
    p[1] = (struct pollfd){ .fd = d->done ? -1 : d->out,
                            .events = d->blocked ? POLLOUT : 0 };
}

/* Sleeps until a descriptor is ready or next_ns has come. */
static int wait_for_work(struct link *l, double next_ns)
{
    struct pollfd p[4];
    struct timespec t;
    double left = next_ns - now_ns(l);
    double sleep = left > SPIN_NS ? left - SPIN_NS : 0;

    watch(l, &l->forward, p);
    watch(l, &l->back, p + 2);
    t.tv_sec = (time_t)(sleep / 1e9);
    t.tv_nsec = (long)(sleep - (double)t.tv_sec * 1e9);
    if ( ppoll(p, 4, &t, NULL) < 0 )
    {
        if ( errno == EINTR )
            return 0;
        fprintf(stderr, "linkrelay: poll: %s\n", strerror(errno));
        return -EIO;
    }
    if ( p[1].revents & (POLLHUP | POLLERR) )
        abandon(&l->forward);
    if ( p[3].revents & (POLLHUP | POLLERR) )
        abandon(&l->back);
    return 0;
}

static int relay(struct link *l)
{
    int rc;

    while ( !l->cut && !(l->forward.done && l->back.done) )
    {
        /* An idle line looks up once a second; nothing depends on it. */
        double next_ns = now_ns(l) + 1e9;
        struct lane *lanes[2] = { &l->forward, &l->back };
        bool moved = false;

        for ( int i = 0; i < 2; i++ )
        {
            double lane_next_ns = next_ns;

            if ( lanes[i]->done )
                continue;
            rc = take(l, lanes[i], &moved);
            if ( !rc )
                rc = give(l, lanes[i], &lane_next_ns, &moved);
            if ( rc )
                return rc;
            if ( !lanes[i]->blocked && lane_next_ns < next_ns )
                next_ns = lane_next_ns;
        }
        if ( moved )
            continue;
        rc = wait_for_work(l, next_ns);
        if ( rc )
            return rc;
    }
    return 0;
}

/* ---- Setting up ---------------------------------------------------------- */

static int lane_init(const struct link *l, struct lane *d, int in, int out)
{
    int fds[2] = { in, out };

    d->in = in;
    d->out = out;
    /* What is on the line between its two ends is not in the queue. */
    d->cap = l->queue + READ_MAX;
    if ( l->ns_per_octet > 0 )
        d->cap += (size_t)(l->delay_ns / l->ns_per_octet);
    d->ring = malloc(d->cap);
    if ( !d->ring )
        return -ENOMEM;
    for ( int i = 0; i < 2; i++ )
    {
        int flags = fcntl(fds[i], F_GETFL);

        if ( flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) < 0 )
            return -errno;
    }
    return 0;
}

static int spawn(char *const *argv, int *sock_r, pid_t *pid_r)
{
    char *shell[] = { (char *)"/bin/sh", (char *)"-c", argv[0], NULL };
    int sv[2];
    pid_t pid;

    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) )
        return -errno;
    pid = fork();
    if ( pid < 0 )
        return -errno;
    if ( !pid )
    {
        if ( dup2(sv[1], 0) < 0 || dup2(sv[1], 1) < 0 )
            _exit(EXIT_OWN);
        signal(SIGPIPE, SIG_DFL);
        if ( argv[1] )
            execvp(argv[0], argv);
        else
            execv(shell[0], shell);
        fprintf(stderr, "linkrelay: %s: %s\n", argv[0], strerror(errno));
        _exit(EXIT_EXEC);
    }
    close(sv[1]);
    *sock_r = sv[0];
    *pid_r = pid;
    return 0;
}

/* As ssh does, this waits for as long as the command lives. */
static int exit_code(pid_t pid)
{
    int status;

    while ( waitpid(pid, &status, 0) < 0 )
        if ( errno != EINTR )
            return EXIT_OWN;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void usage(FILE *to)
{
    fputs("usage: linkrelay [OPTIONS] [--] CMD [ARG...]\n"
          "  --rate MB/S             line rate, 10^6 octets per second "
          "(117; 0: no limit)\n"
          "  --delay-us US           one way (50)\n"
          "  --queue KIB             in front of the line (4096)\n"
          "  --cut-after OCTETS      drop the connection after so many "
          "forward octets\n"
          "  --cut-back-after OCTETS the same, backward\n"
          "  --capture FILE          write down what went forward\n"
          "  --capture-back FILE     the same, backward\n"
          "A CMD without ARG is given to /bin/sh -c.\n"
          "Exit code: the command's; 128 + n for signal n; 125 a failure of "
          "linkrelay's own; 2 usage.\n",
          to);
}

static int parse_number(const char *name, const char *text, double max,
                        double *value_r)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if ( errno || end == text || *end || !(value >= 0 && value <= max) )
    {
        fprintf(stderr, "linkrelay: --%s %s: give a number from 0 to %.0f\n",
                name, text, max);
        return -EINVAL;
    }
    *value_r = value;
    return 0;
}

static int open_capture(const char *path, FILE **file_r)
{
    FILE *file = fopen(path, "we");

    if ( !file )
    {
        fprintf(stderr, "linkrelay: %s: %s\n", path, strerror(errno));
        return -EINVAL;
    }
    *file_r = file;
    return 0;
}

static int set_option(struct link *l, int which, const char *name,
                      const char *text)
{
    double value;
    int rc;

    if ( which == 'c' || which == 'C' )
        return open_capture(text,
                            &(which == 'c' ? &l->forward : &l->back)->capture);
    /* 2^50 octets: far above any run, far below where a double rounds. */
    rc = parse_number(name, text,
                      which == 'q'                   ? 1 << 20
                      : which == 'x' || which == 'X' ? (double)(1ull << 50)
                                                     : 1e7,
                      &value);
    if ( rc )
        return rc;
    if ( which == 'r' )
        l->ns_per_octet = value > 0 ? 1e3 / value : 0;
    else if ( which == 'd' )
        l->delay_ns = value * 1e3;
    else if ( which == 'q' )
        l->queue = (size_t)(value < 1 ? 1 : value) << 10;
    else if ( which == 'x' )
        l->forward.cut_after = (uint64_t)value;
    else
        l->back.cut_after = (uint64_t)value;
    return 0;
}

static int parse(int argc, char **argv, struct link *l)
{
    static const struct option options[] = {
        { "rate", required_argument, NULL, 'r' },
        { "delay-us", required_argument, NULL, 'd' },
        { "queue", required_argument, NULL, 'q' },
        { "cut-after", required_argument, NULL, 'x' },
        { "cut-back-after", required_argument, NULL, 'X' },
        { "capture", required_argument, NULL, 'c' },
        { "capture-back", required_argument, NULL, 'C' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int opt, index = 0;

    while ( (opt = getopt_long(argc, argv, "+", options, &index)) != -1 )
    {
        if ( opt == 'h' )
        {
            usage(stdout);
            exit(0);
        }
        if ( opt == '?' || set_option(l, opt, options[index].name, optarg) )
            return -EINVAL;
    }
    if ( optind == argc )
    {
        usage(stderr);
        return -EINVAL;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct link l = {
        .ns_per_octet = 1e3 / 117,
        .delay_ns = 50e3,
        .queue = 4u << 20,
        .forward = { .cut_after = UINT64_MAX },
        .back = { .cut_after = UINT64_MAX },
    };
    int sock = -1, back_sock, rc;
    pid_t pid = -1;

    if ( parse(argc, argv, &l) )
        return EXIT_USAGE;
    clock_gettime(CLOCK_MONOTONIC, &l.epoch);
    signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

    rc = spawn(argv + optind, &sock, &pid);
    if ( rc )
    {
        fprintf(stderr, "linkrelay: cannot start the command: %s\n",
                strerror(-rc));
        return EXIT_OWN;
    }
    back_sock = fcntl(sock, F_DUPFD_CLOEXEC, 3);
    rc = back_sock < 0 ? -errno : lane_init(&l, &l.forward, 0, sock);
    if ( !rc )
        rc = lane_init(&l, &l.back, back_sock, 1);
    if ( !rc )
        rc = relay(&l);
    else
        fprintf(stderr, "linkrelay: %s\n", strerror(-rc));

    hang_up(&l.forward.in, SHUT_RDWR);
    hang_up(&l.forward.out, SHUT_RDWR);
    hang_up(&l.back.in, SHUT_RDWR);
    hang_up(&l.back.out, SHUT_RDWR);
    if ( (l.forward.capture && fclose(l.forward.capture)) ||
         (l.back.capture && fclose(l.back.capture)) )
        rc = -EIO;
    free(l.forward.ring);
    free(l.back.ring);
    return rc ? (void)exit_code(pid), EXIT_OWN : exit_code(pid);
}

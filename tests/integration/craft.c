/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * craft.c: a filter that bends a migration stream on its way.
 *
 * It stands in a pipe between `xl migrate` and `xl migrate-receive` (forward)
 * or between the receiver and the sender (back), follows the stream record by
 * record and does to chosen records what the command line says; everything
 * else passes untouched.  So a peer that is hostile in exactly one place, and
 * a kill at exactly one phase, need no timing.
 *
 *   craft fwd|back VERSION [OP]...     OP = NAME[#N]:ACTION[:ARGUMENT...]
 *   craft rss FILE PIDFILE COMMAND...  runs it; its peak in KiB to FILE
 *
 * NAME is a record of the table, IMAGE or DOMAIN (the headers), UPPER (the
 * first octet of the upper layer's part) or ANY; the Nth of them, default the
 * first, 0 each.  Actions are listed at do_op().  Offsets count from the
 * record's header.  It deliberately uses nothing of the codec but the table:
 * what it lets through must not depend on the code under test.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xc_sr_records.h"

#define MAX_OPS    32
#define HEAD_MAX   8192u /* editable front of a record */
#define LIFETIME_S 100   /* nothing that hangs outlives its test for long */

struct op
{
    char name[40];
    unsigned long nth; /* 0: each */
    unsigned long seen;
    const char *action;
};

struct filter
{
    struct op ops[MAX_OPS];
    unsigned int nr_ops;
    unsigned int version;
    bool back;
    size_t out_limit; /* of the record at hand; SIZE_MAX: all of it */
    bool stop;        /* after this record: no more output */
    bool hang;        /* ... and hold the pipe open */
    bool drop;
    unsigned int dup;
    const char *run_after;
};

struct name
{
    const char *name;
    uint32_t v2;
    uint32_t v3;
};

#define ROW(NAME, lname, v2, v3, ...) { #NAME, v2, v3 },
static const struct name fwd_names[] = { XC_SR_RECORDS_FWD(ROW) };
static const struct name back_names[] = { XC_SR_RECORDS_BACK(ROW) };

static void __attribute__((noreturn)) die(const char *why)
{
    fprintf(stderr, "craft: %s\n", why);
    exit(2);
}

/* ---- Octets in and out ----------------------------------------------------- */

/*
 * Our ends may be non-blocking: a program at the other end of the pipeline
 * that shares the socket has made them so.  True: try again.
 */
static bool wait_for(int fd, short events)
{
    struct pollfd pfd = { .fd = fd, .events = events };

    if ( errno == EINTR )
        return true;
    return errno == EAGAIN && poll(&pfd, 1, -1) == 1;
}

/* Nobody reads any more: what may still come need not be waited for. */
static bool reader_has_gone(void)
{
    struct pollfd pfds[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
                              { .fd = STDOUT_FILENO } };

    while ( poll(pfds, 2, -1) < 0 && errno == EINTR )
        continue;
    return (pfds[1].revents & POLLERR) != 0;
}

static size_t read_some(uint8_t *buf, size_t len)
{
    ssize_t got;

    if ( reader_has_gone() )
        return 0;
    do
        got = read(STDIN_FILENO, buf, len);
    while ( got < 0 && wait_for(STDIN_FILENO, POLLIN) );
    return got > 0 ? (size_t)got : 0;
}

/* Ends the program at end of file: there is nothing left to filter. */
static void read_all(uint8_t *buf, size_t len)
{
    size_t got, at;

    for ( at = 0; at < len; at += got )
    {
        got = read_some(buf + at, len - at);
        if ( got == 0 )
        {
            ssize_t ignored = write(STDOUT_FILENO, buf, at);

            (void)ignored;
            exit(0);
        }
    }
}

static void write_all(const uint8_t *buf, size_t len)
{
    ssize_t put;
    size_t at;

    for ( at = 0; at < len; at += (size_t)put )
    {
        put = write(STDOUT_FILENO, buf + at, len - at);
        if ( put < 0 && !wait_for(STDOUT_FILENO, POLLOUT) )
            exit(0); /* the reader has gone: its own test's business */
        if ( put < 0 )
            put = 0;
    }
}

static void pass_rest(void)
{
    uint8_t buf[65536];
    size_t got;

    while ( (got = read_some(buf, sizeof(buf))) > 0 )
        write_all(buf, got);
    exit(0);
}

static void swallow_rest(void)
{
    uint8_t buf[65536];

    while ( read_some(buf, sizeof(buf)) > 0 )
        continue;
    exit(0);
}

/* ---- Names ------------------------------------------------------------------- */

static const char *name_of(const struct filter *f, uint32_t type)
{
    const struct name *names = f->back ? back_names : fwd_names;
    size_t nr =
        f->back ? XC_SR_ARRAY_SIZE(back_names) : XC_SR_ARRAY_SIZE(fwd_names);
    size_t i;

    for ( i = 0; i < nr; i++ )
        if ( (f->version == 2 ? names[i].v2 : names[i].v3) == type )
            return names[i].name;
    return "UNKNOWN";
}

static uint32_t number_in(const struct name *names, size_t nr,
                          unsigned int version, const char *name)
{
    size_t i;

    for ( i = 0; i < nr; i++ )
        if ( strcmp(names[i].name, name) == 0 )
            return version == 2 ? names[i].v2 : names[i].v3;
    return XC_SR_NO_TYPE;
}

/* A record's name in either direction, or a number. */
static uint32_t type_of(const struct filter *f, const char *name)
{
    uint32_t type;

    type = number_in(fwd_names, XC_SR_ARRAY_SIZE(fwd_names), f->version, name);
    if ( type == XC_SR_NO_TYPE )
        type = number_in(back_names, XC_SR_ARRAY_SIZE(back_names), f->version,
                         name);
    return type != XC_SR_NO_TYPE ? type : (uint32_t)strtoul(name, NULL, 0);
}

/* ---- Operations ---------------------------------------------------------------- */

/* HEX into out; returns how many octets. */
static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
    unsigned int octet;
    size_t n = 0;

    while ( hex[0] && hex[1] && n < cap && sscanf(hex, "%2x", &octet) == 1 )
    {
        out[n++] = (uint8_t)octet;
        hex += 2;
    }
    return n;
}

static void put_le(uint8_t *p, unsigned int octets, uint64_t v)
{
    unsigned int i;

    for ( i = 0; i < octets; i++ )
        p[i] = (uint8_t)(v >> (8 * i));
}

static void insert_record(const struct filter *f, const char *arg)
{
    uint8_t rec[8 + 4096 + 8] = { 0 };
    char type[40];
    size_t len, n;

    n = strcspn(arg, ":");
    if ( n >= sizeof(type) )
        die("insert: TYPE:HEX expected");
    memcpy(type, arg, n);
    type[n] = '\0';
    len = unhex(arg[n] ? arg + n + 1 : "", rec + 8, 4096);
    put_le(rec, 4, type_of(f, type));
    put_le(rec + 4, 4, len);
    write_all(rec, 8 + ((len + 7) & ~(size_t)7));
}

static void write_garbage(unsigned long octets)
{
    uint64_t x = 88172645463325252ULL;
    uint8_t v;

    for ( ; octets > 0; octets-- )
    {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v = (uint8_t)(x >> 32);
        write_all(&v, 1);
    }
}

static void set_field(unsigned int bits, const char *arg, uint8_t *head,
                      size_t len)
{
    char *end;
    unsigned long off = strtoul(arg, &end, 0);

    if ( *end != ':' || off + bits / 8 > len )
        die("set: OFFSET:VALUE inside the record's front expected");
    put_le(head + off, bits / 8, strtoull(end + 1, NULL, 0));
}

static void write_raw(const char *hex)
{
    uint8_t raw[4096];

    write_all(raw, unhex(hex, raw, sizeof(raw)));
}

static bool is(const char *action, const char *verb, const char **arg_r)
{
    size_t n = strlen(verb);

    if ( strncmp(action, verb, n) != 0 || (action[n] && action[n] != ':') )
        return false;
    *arg_r = action[n] ? action + n + 1 : "";
    return true;
}

/* One operation on the record whose front is head[0..len). */
static void do_op(struct filter *f, const char *action, uint8_t *head,
                  size_t len)
{
    unsigned int bits;
    const char *arg;

    if ( is(action, "drop", &arg) ) /* leave it out */
        f->drop = true;
    else if ( is(action, "dup", &arg) ) /* twice; small records only */
        f->dup = 1;
    else if ( is(action, "cut", &arg) || is(action, "hang", &arg) )
    { /* its first K octets (default none), then close, or then silence */
        f->out_limit = strtoul(arg, NULL, 0);
        f->stop = true;
        f->hang = action[0] == 'h';
    }
    else if ( is(action, "insert", &arg) ) /* a record before it */
        insert_record(f, arg);
    else if ( is(action, "raw", &arg) ) /* octets before it */
        write_raw(arg);
    else if ( is(action, "garbage", &arg) ) /* K octets of noise before it */
        write_garbage(strtoul(arg, NULL, 0));
    else if ( is(action, "run", &arg) ) /* a command, then the record */
        (void)!system(arg);
    else if ( is(action, "runafter", &arg) ) /* the record, then a command */
        f->run_after = arg;
    else if ( sscanf(action, "set%u:", &bits) == 1 &&
              (bits == 8 || bits == 16 || bits == 32 || bits == 64) )
        set_field(bits, strchr(action, ':') + 1, head, len);
    else
        die("unknown action");
}

static void apply_ops(struct filter *f, const char *name, uint8_t *head,
                      size_t len)
{
    unsigned int i;

    f->out_limit = SIZE_MAX;
    f->drop = false;
    f->dup = 0;
    f->run_after = NULL;
    for ( i = 0; i < f->nr_ops; i++ )
    {
        struct op *op = &f->ops[i];

        if ( strcmp(op->name, name) != 0 && strcmp(op->name, "ANY") != 0 )
            continue;
        op->seen++;
        if ( op->nth == 0 || op->seen == op->nth )
            do_op(f, op->action, head, len);
    }
}

/* ---- The stream ------------------------------------------------------------------ */

static void out(struct filter *f, const uint8_t *buf, size_t len)
{
    if ( len > f->out_limit )
        len = f->out_limit;
    f->out_limit -= f->out_limit == SIZE_MAX ? 0 : len;
    if ( !f->drop )
        write_all(buf, len);
}

static void after_record(struct filter *f)
{
    if ( f->run_after )
        (void)!system(f->run_after);
    if ( !f->stop )
        return;
    if ( !f->hang )
    {
        /* Others of the pipeline may hold the same socket: end it for all. */
        (void)shutdown(STDOUT_FILENO, SHUT_WR);
        exit(0);
    }
    swallow_rest();
}

/* head[0..have) has been read, body_left octets of the record have not. */
static void pass_unit(struct filter *f, const char *name, uint8_t *head,
                      size_t have, uint64_t body_left)
{
    uint8_t buf[65536];
    unsigned int i;
    size_t n;

    apply_ops(f, name, head, have);
    for ( i = 0; i <= f->dup; i++ )
        out(f, head, have);
    for ( ; body_left > 0; body_left -= n )
    {
        n = body_left < sizeof(buf) ? (size_t)body_left : sizeof(buf);
        read_all(buf, n);
        out(f, buf, n);
    }
    after_record(f);
}

/* One record; returns its type as it came. */
static uint32_t pass_record(struct filter *f)
{
    static uint8_t head[HEAD_MAX];
    uint64_t total;
    uint32_t type;
    size_t have;

    read_all(head, 8);
    type = xc_sr__le32(head);
    total = 8 + (((uint64_t)xc_sr__le32(head + 4) + 7) & ~(uint64_t)7);
    have = total < sizeof(head) ? (size_t)total : sizeof(head);
    read_all(head + 8, have - 8);
    pass_unit(f, name_of(f, type), head, have, total - have);
    return type;
}

/* libxl's records up to the one that hands the stream back. */
static void pass_upper(struct filter *f)
{
    uint32_t last = f->version == 2 ? 6 : 0; /* TRANSITION_END or END */
    uint8_t head[8], body[65536];
    uint64_t left;
    bool first = true;
    uint32_t type;

    do
    {
        read_all(head, 8);
        if ( first )
            apply_ops(f, "UPPER", head, 8);
        first = false;
        type = xc_sr__le32(head);
        left = ((uint64_t)xc_sr__le32(head + 4) + 7) & ~(uint64_t)7;
        out(f, head, 8);
        if ( left > sizeof(body) )
            die("an upper layer's record this long is not expected");
        read_all(body, left);
        out(f, body, left);
        after_record(f);
    } while ( type != last );
}

/* Everything up to the image header, octet by octet: it is found by its mark. */
static void pass_to_image(struct filter *f)
{
    static const uint8_t mark[12] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 'X',  'E',  'N',  'F' };
    uint8_t head[24] = { 0 };
    size_t have = 0;

    for ( ;; )
    {
        read_all(head + have, 1);
        have++;
        if ( memcmp(head, mark, have) != 0 )
        {
            write_all(head, 1);
            memmove(head, head + 1, --have);
        }
        while ( have > 0 && memcmp(head, mark, have) != 0 )
        {
            write_all(head, 1);
            memmove(head, head + 1, --have);
        }
        if ( have == sizeof(mark) )
            break;
    }
    read_all(head + have, sizeof(head) - have);
    pass_unit(f, "IMAGE", head, sizeof(head), 0);
    read_all(head, 16);
    pass_unit(f, "DOMAIN", head, 16, 0);
}

static void forward(struct filter *f)
{
    uint32_t transition = type_of(f, "POSTCOPY_TRANSITION");
    uint32_t type;

    pass_to_image(f);
    do
    {
        type = pass_record(f);
        if ( type == transition )
            pass_upper(f);
    } while ( type != 0 );
    pass_rest();
}

/* The receiver's banner is a line; after COMPLETE, NAK or a refusal the
 * channel belongs to xl again. */
static void backward(struct filter *f)
{
    uint32_t complete = type_of(f, "POSTCOPY_COMPLETE");
    uint32_t nak = f->version == 2 ? complete : type_of(f, "POSTCOPY_NAK");
    uint32_t type;
    uint8_t c;

    do
    {
        read_all(&c, 1);
        write_all(&c, 1);
    } while ( c != '\n' );
    do
        type = pass_record(f);
    while ( type != complete && type != nak );
    pass_rest();
}

static void parse_op(struct filter *f, char *text)
{
    struct op *op = &f->ops[f->nr_ops];
    char *action = strchr(text, ':');
    char *nth;

    if ( f->nr_ops == MAX_OPS || !action )
        die("NAME[#N]:ACTION expected, at most 32 of them");
    *action++ = '\0';
    nth = strchr(text, '#');
    if ( nth )
        *nth++ = '\0';
    if ( strlen(text) >= sizeof(op->name) )
        die("no record has a name this long");
    memcpy(op->name, text, strlen(text) + 1);
    op->nth = nth ? strtoul(nth, NULL, 0) : 1;
    op->action = action;
    f->nr_ops++;
}

static void write_number(const char *path, long number)
{
    FILE *file = fopen(path, "we");

    if ( !file || fprintf(file, "%ld\n", number) < 0 || fclose(file) != 0 )
        die("cannot write the number");
}

/* Exit code as the shell's: 128 and the signal. */
static int run_measured(const char *rss_path, const char *pid_path, char **argv)
{
    struct rusage usage;
    int status;
    pid_t pid;

    pid = fork();
    if ( pid < 0 )
        die("cannot fork");
    if ( pid == 0 )
    {
        execv(argv[0], argv);
        _exit(127);
    }
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    write_number(pid_path, pid);
    if ( wait4(pid, &status, 0, &usage) != pid )
        die("cannot wait");
    write_number(rss_path, usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    static struct filter f;
    int i;

    if ( argc < 3 )
        die("usage: craft fwd|back VERSION [NAME[#N]:ACTION[:ARG]]...");
    if ( strcmp(argv[1], "rss") == 0 && argc > 4 )
        return run_measured(argv[2], argv[3], argv + 4);
    f.back = strcmp(argv[1], "back") == 0;
    f.version = (unsigned int)strtoul(argv[2], NULL, 10);
    for ( i = 3; i < argc; i++ )
        parse_op(&f, argv[i]);
    signal(SIGPIPE, SIG_IGN);
    alarm(LIFETIME_S);
    if ( f.back )
        backward(&f);
    else
        forward(&f);
    return 0;
}

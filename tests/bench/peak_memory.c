/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * peak_memory: how much memory of their own the two sides of a migration
 * take at most.
 *
 * usage: peak_memory --exe XL --json FILE --side NAME=DIR... -- CMD ARG...
 *
 * Runs CMD and, until it ends, looks every few milliseconds at the RssAnon of
 * every process that is XL called with `--local DIR`: of each side the
 * largest sum is kept.  The guest's memory is a memfd and therefore not
 * anonymous: what is counted is what the engine and its buffers hold.
 * tests/bench/run calls it.  It reads /proc only and slows nothing down
 * noticeably: known processes every 10 ms, new ones every 50 ms.
 *
 * Exit code: the command's; 128 + n for signal n; 125 a failure of its own;
 * 2 usage.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define EXIT_OWN   125
#define MAX_SIDES  2u
#define MAX_PIDS   16u /* of one side; a migration has one or two */
#define TICK_MS    10
#define SCAN_TICKS 5

struct side
{
    char name[32];
    const char *dir;
    pid_t pids[MAX_PIDS];
    unsigned int nr_pids;
    uint64_t peak_kib;
    uint64_t samples;
};

struct options
{
    const char *exe;
    const char *json;
    struct side sides[MAX_SIDES];
    unsigned int nr_sides;
};

/* A whole /proc file, NUL-terminated; -1: gone. */
static ssize_t read_proc(pid_t pid, const char *what, char *buf, size_t size)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if ( fd < 0 )
        return -1;
    n = read(fd, buf, size - 1);
    close(fd);
    if ( n >= 0 )
        buf[n] = 0;
    return n;
}

static bool runs(pid_t pid, const char *exe)
{
    char path[64], target[4096];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    n = readlink(path, target, sizeof(target) - 1);
    if ( n < 0 )
        return false;
    target[n] = 0;
    return !strcmp(target, exe);
}

/* Is there `--local`, followed by dir, among its arguments? */
static bool works_on(pid_t pid, const char *dir)
{
    char args[4096];
    ssize_t n = read_proc(pid, "cmdline", args, sizeof(args));
    const char *before = "";

    for ( const char *a = args; n > 0 && a < args + n; a += strlen(a) + 1 )
    {
        if ( !strcmp(before, "--local") && !strcmp(a, dir) )
            return true;
        before = a;
    }
    return false;
}

static void find_processes(struct options *o)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;

    if ( !proc )
        return;
    for ( unsigned int i = 0; i < o->nr_sides; i++ )
        o->sides[i].nr_pids = 0;
    while ( (e = readdir(proc)) )
    {
        pid_t pid;

        if ( !isdigit((unsigned char)e->d_name[0]) )
            continue;
        pid = (pid_t)strtol(e->d_name, NULL, 10);
        if ( !runs(pid, o->exe) )
            continue;
        for ( unsigned int i = 0; i < o->nr_sides; i++ )
        {
            struct side *s = &o->sides[i];

            if ( s->nr_pids < MAX_PIDS && works_on(pid, s->dir) )
                s->pids[s->nr_pids++] = pid;
        }
    }
    closedir(proc);
}

static uint64_t anonymous_kib(pid_t pid)
{
    char status[4096], *at;

    if ( read_proc(pid, "status", status, sizeof(status)) <= 0 )
        return 0;
    at = strstr(status, "\nRssAnon:");
    return at ? strtoull(at + strlen("\nRssAnon:"), NULL, 10) : 0;
}

static void sample(struct options *o)
{
    for ( unsigned int i = 0; i < o->nr_sides; i++ )
    {
        struct side *s = &o->sides[i];
        uint64_t sum = 0;

        for ( unsigned int k = 0; k < s->nr_pids; k++ )
            sum += anonymous_kib(s->pids[k]);
        if ( sum > s->peak_kib )
            s->peak_kib = sum;
        if ( sum )
            s->samples++;
    }
}

/* Looks until the command has ended; *code_r is its exit code. */
static int look(struct options *o, pid_t pid, int *code_r)
{
    for ( unsigned int tick = 0;; tick++ )
    {
        struct timespec ts = { .tv_nsec = TICK_MS * 1000000L };
        int status;
        pid_t ended = waitpid(pid, &status, WNOHANG);

        if ( ended < 0 && errno != EINTR )
            return -errno;
        if ( ended == pid )
        {
            *code_r = WIFEXITED(status) ? WEXITSTATUS(status)
                                        : 128 + WTERMSIG(status);
            return 0;
        }
        if ( tick % SCAN_TICKS == 0 )
            find_processes(o);
        sample(o);
        nanosleep(&ts, NULL);
    }
}

static int write_json(const struct options *o)
{
    FILE *f = fopen(o->json, "we");
    int rc = 0;

    if ( !f )
        return -errno;
    fputs("{", f);
    for ( unsigned int i = 0; i < o->nr_sides; i++ )
        fprintf(f, "%s\"%s\": {\"peak_kib\": %llu, \"samples\": %llu}",
                i ? ", " : "", o->sides[i].name,
                (unsigned long long)o->sides[i].peak_kib,
                (unsigned long long)o->sides[i].samples);
    fputs("}\n", f);
    if ( ferror(f) )
        rc = -EIO;
    if ( fclose(f) && !rc )
        rc = -errno;
    return rc;
}

static int usage(void)
{
    fputs("usage: peak_memory --exe XL --json FILE --side NAME=DIR... -- CMD "
          "[ARG...]\n"
          "at most two sides; NAME: letters\n",
          stderr);
    return EXIT_USAGE;
}

static bool add_side(struct options *o, const char *text)
{
    const char *equals = strchr(text, '=');
    struct side *s = &o->sides[o->nr_sides];

    if ( o->nr_sides == MAX_SIDES || !equals || equals == text ||
         (size_t)(equals - text) >= sizeof(s->name) )
        return false;
    for ( const char *c = text; c < equals; c++ )
        if ( !isalpha((unsigned char)*c) )
            return false;
    memcpy(s->name, text, (size_t)(equals - text));
    s->dir = equals + 1;
    o->nr_sides++;
    return true;
}

/* Returns the command's place in argv, 0: usage. */
static int parse(int argc, char **argv, struct options *o)
{
    int i;

    for ( i = 1; i + 1 < argc && strcmp(argv[i], "--"); i += 2 )
    {
        if ( !strcmp(argv[i], "--exe") )
            o->exe = realpath(argv[i + 1], NULL);
        else if ( !strcmp(argv[i], "--json") )
            o->json = argv[i + 1];
        else if ( strcmp(argv[i], "--side") || !add_side(o, argv[i + 1]) )
            return 0;
    }
    if ( !o->exe || !o->json || !o->nr_sides || i + 1 >= argc )
        return 0;
    return i + 1;
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    int command = parse(argc, argv, &o), code = EXIT_OWN, rc;
    pid_t pid;

    if ( !command )
        return usage();
    pid = fork();
    if ( pid == 0 )
    {
        execvp(argv[command], argv + command);
        fprintf(stderr, "peak_memory: %s: %s\n", argv[command],
                strerror(errno));
        _exit(127);
    }
    rc = pid < 0 ? -errno : look(&o, pid, &code);
    if ( !rc )
        rc = write_json(&o);
    if ( rc )
        fprintf(stderr, "peak_memory: %s\n", strerror(-rc));
    free((void *)(uintptr_t)o.exe);
    return rc ? EXIT_OWN : code;
}

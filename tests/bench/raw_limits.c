/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * raw_limits: what this machine can do at all, measured in the same run as a
 * migration so that its figures have something to be held against.
 *
 * Socket throughput between two processes, memcpy, UFFDIO_COPY into a memfd,
 * and the round trip of a missing-page fault: handled by a thread of the same
 * process, and with the page fetched from a second process over a socket.
 * Nothing of the engine is used here.  tests/bench/run calls it, also as
 * `raw_limits --warm MIB`: touch that much memory and give it back, so that
 * the next program does not pay for memory that the virtual machine's host
 * has yet to find (5-10 us a page, for seconds).
 *
 * Exit code: 0; 2 usage; 3 the kernel gives us no userfaultfd; 1 otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE       4096u
#define MIB        (1u << 20)
#define COPY_BYTES (256u * MIB)
#define SOCK_BYTES (1024u * MIB)
#define NR_FAULTS  8000u
/* The whole program takes about three seconds; a stuck one must end. */
#define ALARM_S    120

struct results
{
    double socket_64k_mb_s, socket_256k_mb_s, memcpy_mb_s;
    double copy16_us, copy64_us; /* per page */
    double fault_p50_us, fault_p99_us;
    double hop_p50_us, hop_p99_us;
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int failed(const char *what)
{
    int rc = errno ? -errno : -EIO;

    fprintf(stderr, "raw_limits: %s: %s\n", what, strerror(-rc));
    return rc;
}

static int map_pages(size_t len, int flags, int fd, void **mem_r)
{
    void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

    if ( mem == MAP_FAILED )
        return failed("mmap");
    *mem_r = mem;
    return 0;
}

static int read_all(int fd, void *buf, size_t len)
{
    size_t got = 0;

    while ( got < len )
    {
        ssize_t n = read(fd, (char *)buf + got, len - got);

        if ( n < 0 && errno == EINTR )
            continue;
        if ( n <= 0 )
            return n ? -errno : -EPIPE;
        got += (size_t)n;
    }
    return 0;
}

static int write_all(int fd, const void *buf, size_t len)
{
    size_t put = 0;

    while ( put < len )
    {
        ssize_t n = send(fd, (const char *)buf + put, len - put, MSG_NOSIGNAL);

        if ( n < 0 && errno == EINTR )
            continue;
        if ( n < 0 )
            return -errno;
        put += (size_t)n;
    }
    return 0;
}

static int reap(pid_t pid)
{
    int status;

    while ( waitpid(pid, &status, 0) < 0 )
        if ( errno != EINTR )
            return failed("waitpid");
    return status ? -EIO : 0;
}

/* ---- Socket and memory ---------------------------------------------------- */

static int drain(int fd, size_t chunk)
{
    char *buf = malloc(chunk);
    int rc = buf ? 0 : -ENOMEM;

    for ( size_t left = SOCK_BYTES; !rc && left; left -= chunk )
        rc = read_all(fd, buf, chunk);
    if ( !rc )
        rc = write_all(fd, "k", 1);
    free(buf);
    return rc;
}

static int measure_socket(size_t chunk, double *mb_s_r)
{
    char *buf = NULL, ack;
    double start;
    pid_t pid;
    int sv[2], rc = 0;

    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) )
        return failed("socketpair");
    pid = fork();
    if ( !pid )
    {
        close(sv[0]);
        _exit(drain(sv[1], chunk) ? 1 : 0);
    }
    close(sv[1]);
    if ( pid < 0 )
    {
        rc = failed("fork");
        goto out;
    }
    /* As large as what a sender walks over, so that no cache helps. */
    buf = malloc(64 * MIB);
    if ( !buf )
        rc = -ENOMEM;
    else
        memset(buf, 0x5a, 64 * MIB);
    start = now_us();
    for ( size_t done = 0; !rc && done < SOCK_BYTES; done += chunk )
        rc = write_all(sv[0], buf + done % (64 * MIB), chunk);
    if ( !rc )
        rc = read_all(sv[0], &ack, 1);
    if ( !rc )
        *mb_s_r = SOCK_BYTES / (now_us() - start);
out:
    close(sv[0]);
    if ( pid > 0 && reap(pid) && !rc )
        rc = -EIO;
    free(buf);
    return rc;
}

static int measure_memcpy(double *mb_s_r)
{
    char *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
    double best_us = 0;
    int rc = from && to ? 0 : -ENOMEM;

    if ( !rc )
    {
        memset(from, 1, COPY_BYTES);
        memset(to, 2, COPY_BYTES);
    }
    for ( int i = 0; !rc && i < 3; i++ )
    {
        double start = now_us(), took;

        for ( size_t at = 0; at < COPY_BYTES; at += PAGE )
            memcpy(to + at, from + at, PAGE);
        __asm__ volatile("" : : "r"(to) : "memory");
        took = now_us() - start;
        if ( !i || took < best_us )
            best_us = took;
    }
    if ( !rc )
        *mb_s_r = COPY_BYTES / best_us;
    free(from);
    free(to);
    return rc;
}

/* ---- userfaultfd ---------------------------------------------------------- */

struct region
{
    int uffd, memfd;
    char *mem;
    size_t len;
};

static void region_dispose(struct region *r)
{
    if ( r->mem )
        munmap(r->mem, r->len);
    if ( r->uffd >= 0 )
        close(r->uffd);
    if ( r->memfd >= 0 )
        close(r->memfd);
    *r = (struct region){ .uffd = -1, .memfd = -1 };
}

/* A memfd, mapped, with every page missing. */
static int region_init(struct region *r, size_t len)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
    void *mem;
    int rc;

    *r = (struct region){ .uffd = -1, .memfd = -1, .len = len };
    r->memfd = memfd_create("raw_limits", MFD_CLOEXEC);
    if ( r->memfd < 0 || ftruncate(r->memfd, (off_t)len) )
        return failed("memfd");
    rc = map_pages(len, MAP_SHARED, r->memfd, &mem);
    if ( rc )
        return rc;
    r->mem = mem;
    r->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if ( r->uffd < 0 )
        r->uffd = (int)syscall(SYS_userfaultfd,
                               O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if ( r->uffd < 0 || ioctl(r->uffd, UFFDIO_API, &api) )
        return failed("userfaultfd");
    reg.range.start = (uintptr_t)mem;
    reg.range.len = len;
    if ( ioctl(r->uffd, UFFDIO_REGISTER, &reg) )
        return failed("UFFDIO_REGISTER");
    return 0;
}

static int place(const struct region *r, size_t at, const void *from,
                 size_t len)
{
    struct uffdio_copy copy = {
        .dst = (uintptr_t)r->mem + at,
        .src = (uintptr_t)from,
        .len = len,
    };

    return ioctl(r->uffd, UFFDIO_COPY, &copy) ? failed("UFFDIO_COPY") : 0;
}

static int measure_copy(size_t batch, double *us_per_page_r)
{
    struct region r;
    size_t step = batch * PAGE;
    char *from = malloc(step);
    double best_us = 0;
    int rc = 0;

    if ( !from )
        return -ENOMEM;
    memset(from, 3, step);
    for ( int i = 0; !rc && i < 3; i++ )
    {
        double start, took;

        rc = region_init(&r, COPY_BYTES);
        start = now_us();
        for ( size_t at = 0; !rc && at < COPY_BYTES; at += step )
            rc = place(&r, at, from, step);
        took = now_us() - start;
        region_dispose(&r);
        if ( !i || took < best_us )
            best_us = took;
    }
    free(from);
    if ( !rc )
        *us_per_page_r = best_us / (COPY_BYTES / PAGE);
    return rc;
}

struct handler
{
    struct region *region;
    int page_fd; /* the process that owns the pages; -1: we do */
    int stop_fd;
    int rc;
};

static int fetch(int fd, uint64_t pfn, char *page)
{
    uint64_t request[2] = { pfn, 1 }, header[2];
    int rc = write_all(fd, request, sizeof(request));

    if ( !rc )
        rc = read_all(fd, header, sizeof(header));
    return rc ? rc : read_all(fd, page, PAGE);
}

static void *handle_faults(void *arg)
{
    struct handler *h = arg;
    struct pollfd p[2] = { { h->region->uffd, POLLIN, 0 },
                           { h->stop_fd, POLLIN, 0 } };
    char page[PAGE];

    memset(page, 4, sizeof(page));
    while ( !h->rc )
    {
        struct uffd_msg msg;
        uint64_t at;

        if ( poll(p, 2, ALARM_S * 1000) <= 0 || p[1].revents )
            break;
        if ( read(h->region->uffd, &msg, sizeof(msg)) != sizeof(msg) )
            continue;
        at = (msg.arg.pagefault.address - (uintptr_t)h->region->mem) &
             ~(uint64_t)(PAGE - 1);
        if ( h->page_fd >= 0 )
            h->rc = fetch(h->page_fd, at / PAGE, page);
        if ( !h->rc )
            h->rc = place(h->region, at, page, PAGE);
    }
    return NULL;
}

static int own_pages(int fd)
{
    char reply[16 + PAGE];
    uint64_t request[2];

    memset(reply, 5, sizeof(reply));
    while ( !read_all(fd, request, sizeof(request)) )
    {
        memcpy(reply, request, sizeof(request));
        if ( write_all(fd, reply, sizeof(reply)) )
            return 1;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Touches NR_FAULTS pages scattered over the region, one store each. */
static int touch_and_time(struct handler *h, double *p50_r, double *p99_r)
{
    double *us = calloc(NR_FAULTS, sizeof(*us));
    size_t nr_pages = h->region->len / PAGE, pfn = 1;
    pthread_t thread;
    int stop[2] = { -1, -1 }, rc = 0;

    if ( !us )
        return -ENOMEM;
    if ( pipe2(stop, O_CLOEXEC) )
    {
        free(us);
        return failed("pipe");
    }
    h->stop_fd = stop[0];
    rc = -pthread_create(&thread, NULL, handle_faults, h);
    if ( !rc )
    {
        for ( unsigned int i = 0; i < NR_FAULTS; i++ )
        {
            double start = now_us();

            /* An odd stride visits every page of a power of two once. */
            pfn = (pfn + 12289) % nr_pages;
            *(volatile char *)(h->region->mem + pfn * PAGE) = 1;
            us[i] = now_us() - start;
        }
        close(stop[1]);
        stop[1] = -1;
        pthread_join(thread, NULL);
        rc = h->rc;
    }
    if ( !rc )
    {
        qsort(us, NR_FAULTS, sizeof(*us), compare);
        *p50_r = us[NR_FAULTS / 2];
        *p99_r = us[NR_FAULTS * 99ul / 100];
    }
    close(stop[0]);
    if ( stop[1] >= 0 )
        close(stop[1]);
    free(us);
    return rc;
}

static int measure_faults(bool hop, double *p50_r, double *p99_r)
{
    struct region r = { .uffd = -1, .memfd = -1 };
    struct handler h = { .region = &r, .page_fd = -1, .stop_fd = -1 };
    pid_t pid = -1;
    int sv[2] = { -1, -1 }, rc;

    if ( hop )
    {
        if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) )
            return failed("socketpair");
        pid = fork();
        if ( !pid )
        {
            close(sv[0]);
            _exit(own_pages(sv[1]));
        }
        close(sv[1]);
        h.page_fd = sv[0];
    }
    rc = hop && pid < 0 ? failed("fork") : region_init(&r, 64 * MIB);
    if ( !rc )
        rc = touch_and_time(&h, p50_r, p99_r);
    region_dispose(&r);
    if ( hop )
        close(sv[0]);
    if ( pid > 0 && reap(pid) && !rc )
        rc = -EIO;
    return rc;
}

/* ---- Results -------------------------------------------------------------- */

static void print_text(const struct results *r)
{
    printf("raw limits of this machine\n"
           "  unix socket, two processes   %6.0f MB/s (64 KiB writes)  "
           "%6.0f MB/s (256 KiB)\n"
           "  memcpy, 4 KiB pieces         %6.0f MB/s\n"
           "  UFFDIO_COPY into a memfd     %6.2f us/page (16 pages)    "
           "%6.2f us/page (64 pages)\n"
           "  missing fault, own thread    %6.1f us p50   %6.1f us p99\n"
           "  missing fault, other process %6.1f us p50   %6.1f us p99\n",
           r->socket_64k_mb_s, r->socket_256k_mb_s, r->memcpy_mb_s,
           r->copy16_us, r->copy64_us, r->fault_p50_us, r->fault_p99_us,
           r->hop_p50_us, r->hop_p99_us);
}

static int print_json(const struct results *r, const char *path)
{
    FILE *f = fopen(path, "we");
    int rc = 0;

    if ( !f )
        return failed(path);
    fprintf(f,
            "{\"socket_64k_mb_s\": %.1f, \"socket_256k_mb_s\": %.1f, "
            "\"memcpy_mb_s\": %.1f, \"uffd_copy16_us_per_page\": %.3f, "
            "\"uffd_copy64_us_per_page\": %.3f, \"fault_p50_us\": %.1f, "
            "\"fault_p99_us\": %.1f, \"fault_hop_p50_us\": %.1f, "
            "\"fault_hop_p99_us\": %.1f}\n",
            r->socket_64k_mb_s, r->socket_256k_mb_s, r->memcpy_mb_s,
            r->copy16_us, r->copy64_us, r->fault_p50_us, r->fault_p99_us,
            r->hop_p50_us, r->hop_p99_us);
    if ( ferror(f) )
        rc = -EIO;
    if ( fclose(f) || rc )
        return failed(path);
    return 0;
}

static int measure(struct results *r)
{
    int rc = measure_socket(64u << 10, &r->socket_64k_mb_s);

    if ( !rc )
        rc = measure_socket(256u << 10, &r->socket_256k_mb_s);
    if ( !rc )
        rc = measure_memcpy(&r->memcpy_mb_s);
    if ( !rc )
        rc = measure_copy(16, &r->copy16_us);
    if ( !rc )
        rc = measure_copy(64, &r->copy64_us);
    if ( !rc )
        rc = measure_faults(false, &r->fault_p50_us, &r->fault_p99_us);
    if ( !rc )
        rc = measure_faults(true, &r->hop_p50_us, &r->hop_p99_us);
    return rc;
}

static int warm(const char *text, bool huge)
{
    char *end;
    unsigned long mib = strtoul(text, &end, 10);
    void *mem = NULL;
    int rc;

    if ( !*text || *end || mib < 1 || mib > 1u << 20 )
    {
        fprintf(stderr, "raw_limits: --warm %s: give MiB from 1 to 1048576\n",
                text);
        return -EINVAL;
    }
    rc = map_pages((size_t)mib << 20, MAP_PRIVATE | MAP_ANONYMOUS, -1, &mem);
    if ( rc )
        return rc;
    madvise(mem, (size_t)mib << 20, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for ( size_t at = 0; at < (size_t)mib << 20; at += PAGE )
        *(volatile char *)((char *)mem + at) = 1;
    munmap(mem, (size_t)mib << 20);
    return 0;
}

int main(int argc, char **argv)
{
    struct results r = { 0 };
    int probe, rc;

    alarm(ALARM_S);
    if ( argc == 3 && !strcmp(argv[1], "--warm") )
        return warm(argv[2], true) || warm(argv[2], false) ? 1 : 0;
    if ( argc != 1 && !(argc == 3 && !strcmp(argv[1], "--json")) )
    {
        fprintf(stderr, "usage: raw_limits [--json FILE] | --warm MIB\n");
        return 2;
    }
    probe = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if ( probe < 0 )
    {
        (void)failed("userfaultfd");
        return 3;
    }
    close(probe);
    rc = measure(&r);
    if ( rc )
        return 1;
    print_text(&r);
    return argc == 3 && print_json(&r, argv[2]) ? 1 : 0;
}

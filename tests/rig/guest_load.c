/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a rig's Linux guest does: threads that fill memory with seeded pages,
 * rewrite some at a given rate and check others, for ever, and a clock that
 * notices how long the guest stood still.  Says so once a second, on standard
 * output (the guest's console) and in xenstore (data/load):
 *
 *   load: beat=7 written=… checked=… errors=0 gap_us=… stall_us=…
 *
 * gap_us is the longest time between two of the clock's ticks since the last
 * report, by the time that also counts suspended time; stall_us the longest
 * single touch of a page.  An error is told at once.  Cases read these lines
 * (tests/rig/lib.sh).  Everything sleeps between ticks: a guest that spins
 * takes the machine from all others.
 *
 * usage: load [mem=MIB] [rate=KIB] [check=KIB] [threads=N] [seed=N]
 *        KIB: KiB a second rewritten, and checked.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE           4096
#define WORDS          (PAGE / sizeof(uint64_t))
#define CLOCK_MS       20
#define WORK_MS        100 /* each time a guest wakes up costs its host a lot */
#define TICKS_A_SECOND (1000 / WORK_MS)
#define MAX_THREADS    64

static unsigned long mem_mib = 8, rate_kib = 64, check_kib = 256,
                     nr_threads = 1, seed = 1;

static atomic_ulong written, checked, errors, stall_us;
static atomic_uint filled;

struct worker
{
    unsigned long id, nr_pages;
    uint64_t *pages;
    uint32_t *versions; /* of each page, kept apart from it */
    uint64_t random;
};

static uint64_t now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15ULL;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ULL;
    return x ^ (x >> 32);
}

/* The first word of a page; the others follow from it and their place. */
static uint64_t first_word(const struct worker *w, unsigned long page)
{
    return mix(seed ^ (w->id << 56) ^ ((uint64_t)page << 32) ^
               w->versions[page]);
}

static void note_stall(uint64_t start)
{
    unsigned long took = now_us(CLOCK_BOOTTIME) - start;
    unsigned long old = atomic_load(&stall_us);

    while ( took > old && !atomic_compare_exchange_weak(&stall_us, &old, took) )
        ;
}

static void write_page(struct worker *w, unsigned long page)
{
    uint64_t *at = w->pages + page * WORDS, word;

    w->versions[page]++;
    word = first_word(w, page);
    for ( unsigned int i = 0; i < WORDS; i++ )
        at[i] = word + i * 0x100000001b3ULL;
    atomic_fetch_add(&written, 1);
}

static void check_page(struct worker *w, unsigned long page)
{
    const uint64_t *at = w->pages + page * WORDS;
    uint64_t word = first_word(w, page);

    for ( unsigned int i = 0; i < WORDS; i++ )
    {
        if ( at[i] == word + i * 0x100000001b3ULL )
            continue;
        printf("load: ERROR thread %lu page %lu word %u: %#lx, not %#lx\n",
               w->id, page, i, (unsigned long)at[i],
               (unsigned long)(word + i * 0x100000001b3ULL));
        atomic_fetch_add(&errors, 1);
        /* Told once: from here on the page is right again. */
        write_page(w, page);
        return;
    }
    atomic_fetch_add(&checked, 1);
}

static void nap(long ms)
{
    struct timespec tick = { .tv_nsec = ms * 1000000 };

    nanosleep(&tick, NULL);
}

/* How many of a per-second figure belong to this tick. */
static unsigned long share(unsigned long kib, unsigned long tick)
{
    unsigned long a_second = (kib / 4 + nr_threads - 1) / nr_threads;
    unsigned long in = tick % TICKS_A_SECOND;

    return a_second * (in + 1) / TICKS_A_SECOND -
           a_second * in / TICKS_A_SECOND;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    unsigned long next = 0;

    for ( unsigned long i = 0; i < w->nr_pages; i++ )
        write_page(w, i);
    atomic_fetch_add(&filled, 1);
    for ( unsigned long tick = 0;; tick++ )
    {
        unsigned long writes = share(rate_kib, tick);
        unsigned long checks = share(check_kib, tick);

        while ( writes-- )
        {
            uint64_t start = now_us(CLOCK_BOOTTIME);

            w->random = mix(w->random + 1);
            write_page(w, w->random % w->nr_pages);
            note_stall(start);
        }
        while ( checks-- )
        {
            uint64_t start = now_us(CLOCK_BOOTTIME);

            check_page(w, next);
            note_stall(start);
            next = (next + 1) % w->nr_pages;
        }
        nap(WORK_MS);
    }
    return NULL;
}

static int start_worker(unsigned long id)
{
    struct worker *w = calloc(1, sizeof(*w));
    pthread_t thread;

    if ( !w )
        return -ENOMEM;
    w->id = id;
    w->nr_pages = mem_mib * 256 / nr_threads;
    w->random = seed + id;
    w->versions = calloc(w->nr_pages, sizeof(*w->versions));
    w->pages = mmap(NULL, w->nr_pages * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ( !w->versions || w->pages == MAP_FAILED )
        return -ENOMEM;
    return -pthread_create(&thread, NULL, work, w);
}

/* One write request of xenstore's wire protocol: header, path, value. */
static void tell_xenstore(const char *path, const char *value)
{
    static int fd = -2;
    char data[512];
    uint32_t head[4] = { 11 /* write */, 0, 0, 0 };
    size_t path_size = strlen(path) + 1, value_size = strlen(value);

    if ( fd == -2 )
        fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
    if ( fd < 0 || sizeof(head) + path_size + value_size > sizeof(data) )
        return;
    head[3] = path_size + value_size;
    memcpy(data, head, sizeof(head));
    memcpy(data + sizeof(head), path, path_size);
    memcpy(data + sizeof(head) + path_size, value, value_size);
    if ( write(fd, data, sizeof(head) + head[3]) > 0 &&
         read(fd, data, sizeof(data)) < 0 )
        perror("load: xenstore");
}

static void report(unsigned long beat, unsigned long gap_us)
{
    char line[256];

    snprintf(line, sizeof(line),
             "beat=%lu written=%lu checked=%lu errors=%lu gap_us=%lu "
             "stall_us=%lu",
             beat, atomic_load(&written), atomic_load(&checked),
             atomic_load(&errors), gap_us, atomic_exchange(&stall_us, 0));
    printf("load: %s\n", line);
    tell_xenstore("data/load", line);
}

static void keep_time(void)
{
    uint64_t last = now_us(CLOCK_BOOTTIME), reported = last;
    unsigned long beat = 0, gap_us = 0;

    for ( ;; )
    {
        uint64_t now;

        nap(CLOCK_MS);
        now = now_us(CLOCK_BOOTTIME);
        if ( now > last && now - last > gap_us )
            gap_us = now - last;
        last = now;
        if ( now < reported + 1000000 )
            continue;
        reported = now;
        report(++beat, gap_us);
        gap_us = 0;
    }
}

static bool take_option(const char *word)
{
    static const struct
    {
        const char *name;
        unsigned long *value, most;
    } options[] = {
        { "mem=", &mem_mib, 1 << 20 },
        { "rate=", &rate_kib, 1 << 30 },
        { "check=", &check_kib, 1 << 30 },
        { "threads=", &nr_threads, MAX_THREADS },
        { "seed=", &seed, ~0UL },
    };

    for ( unsigned int i = 0; i < sizeof(options) / sizeof(*options); i++ )
    {
        size_t n = strlen(options[i].name);
        char *end;

        if ( strncmp(word, options[i].name, n) )
            continue;
        *options[i].value = strtoul(word + n, &end, 10);
        return end != word + n && !*end && *options[i].value <= options[i].most;
    }
    return false;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for ( int i = 1; i < argc; i++ )
    {
        if ( take_option(argv[i]) )
            continue;
        fprintf(stderr, "load: what is %s?\n", argv[i]);
        return 2;
    }
    if ( !nr_threads || mem_mib * 256 / nr_threads < 1 )
    {
        fprintf(stderr, "load: no memory to work on\n");
        return 2;
    }
    for ( unsigned long i = 0; i < nr_threads; i++ )
    {
        int rc = start_worker(i);

        if ( rc )
        {
            fprintf(stderr, "load: %s\n", strerror(-rc));
            return 1;
        }
    }
    while ( atomic_load(&filled) < nr_threads )
        nap(WORK_MS);
    printf("load: ready %lu MiB, %lu threads, seed %lu\n", mem_mib, nr_threads,
           seed);
    keep_time();
}

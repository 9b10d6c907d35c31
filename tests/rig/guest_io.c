/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a rig's Linux guest does with its devices: it reads and writes a disk
 * past the page cache, and talks to somebody who sends back all that he gets.
 * Both keep to memory that the guest's processor leaves alone: a pool of
 * pages is filled once, before anything else, and from then on only devices
 * look at it.  After a migration it is the back end in dom0 that comes upon
 * those pages first, not the guest.
 *
 * Says once a second what was done, on standard output (the guest's console):
 *
 *   io: disk ops=7 errors=0 longest_us=…
 *   io: net ops=7 errors=0 longest_us=…
 *
 * An operation is a write and a read of CHUNK octets, or the way there and
 * back of as many; longest_us is the longest since the last report.  An error
 * is told at once, and ends that half.  Cases read these lines
 * (tests/rig/lib_io.sh).
 *
 * usage: io [disk=DEVICE] [net=ADDRESS:PORT] [pool=MIB] [pause=MS]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK        32768u
#define CHUNK_WORDS  (CHUNK / sizeof(uint64_t))
#define MAX_POOL_MIB 1024
#define CONNECT_S    60  /* until the other end must be there */
#define SILENCE_S    120 /* a link that is moved comes back sooner */

static const char *disk, *net;
static unsigned long pool_mib = 4, pause_ms = 20;

/* Chunk n of a pool is always the same; pools of different salt differ. */
enum
{
    DISK_SALT = 1,
    NET_SALT = 2,
};

struct half
{
    const char *name;
    unsigned long nr_chunks;
    int pool_fd; /* the pool as a file, for sendfile() */
    uint8_t *pool;
    atomic_ulong ops, errors, longest_us;
};

static struct half disk_half = { .name = "disk" };
static struct half net_half = { .name = "net" };

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static void nap(unsigned long ms)
{
    struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    nanosleep(&t, NULL);
}

static uint64_t word_of(uint64_t salt, uint64_t chunk, uint64_t word)
{
    uint64_t x = salt << 48 ^ chunk << 16 ^ word;

    x *= 0x9e3779b97f4a7c15ULL;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    return x ^ x >> 29;
}

__attribute__((format(printf, 2, 3))) static void wrong(struct half *h,
                                                        const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("io: ERROR %s after %lu: %s\n", h->name, atomic_load(&h->ops), text);
    atomic_fetch_add(&h->errors, 1);
}

static void done(struct half *h, uint64_t start_us)
{
    unsigned long took = now_us() - start_us;
    unsigned long old = atomic_load(&h->longest_us);

    while ( took > old &&
            !atomic_compare_exchange_weak(&h->longest_us, &old, took) )
        ;
    atomic_fetch_add(&h->ops, 1);
    nap(pause_ms);
}

static bool is_chunk(struct half *h, uint64_t salt, unsigned long chunk,
                     const uint64_t *at)
{
    for ( unsigned int i = 0; i < CHUNK_WORDS; i++ )
    {
        if ( at[i] == word_of(salt, chunk, i) )
            continue;
        wrong(h, "chunk %lu word %u is %#llx, not %#llx", chunk, i,
              (unsigned long long)at[i],
              (unsigned long long)word_of(salt, chunk, i));
        return false;
    }
    return true;
}

static int make_pool(struct half *h, uint64_t salt)
{
    size_t size = (size_t)pool_mib << 20;

    h->nr_chunks = size / CHUNK;
    h->pool_fd = memfd_create(h->name, MFD_CLOEXEC);
    if ( h->pool_fd < 0 || ftruncate(h->pool_fd, size) )
        return -errno;
    h->pool =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, h->pool_fd, 0);
    if ( h->pool == MAP_FAILED )
        return -errno;
    for ( unsigned long n = 0; n < h->nr_chunks; n++ )
        for ( unsigned int i = 0; i < CHUNK_WORDS; i++ )
            ((uint64_t *)(h->pool + n * CHUNK))[i] = word_of(salt, n, i);
    return 0;
}

/* ---- The disk --------------------------------------------------------------------- */

/*
 * Operation n writes chunk n of the pool to the disk and reads it back into
 * another pool.  Disk and that pool have a chunk less than the pool, so that
 * what was there before was another one: an operation that was not done is
 * noticed.
 */
static bool disk_op(int fd, uint8_t *into, unsigned long n)
{
    struct half *h = &disk_half;
    unsigned long chunk = n % h->nr_chunks;
    unsigned long place = n % (h->nr_chunks - 1);
    uint8_t *to = into + place * CHUNK;
    uint64_t start_us = now_us();
    ssize_t got;

    got = pwrite(fd, h->pool + chunk * CHUNK, CHUNK, (off_t)place * CHUNK);
    if ( got != CHUNK )
    {
        wrong(h, "write: %s", got < 0 ? strerror(errno) : "short");
        return false;
    }
    got = pread(fd, to, CHUNK, (off_t)place * CHUNK);
    if ( got != CHUNK )
    {
        wrong(h, "read: %s", got < 0 ? strerror(errno) : "short");
        return false;
    }
    if ( !is_chunk(h, DISK_SALT, chunk, (const uint64_t *)to) )
        return false;
    done(h, start_us);
    return true;
}

static void *run_disk(void *arg)
{
    size_t size = (disk_half.nr_chunks - 1) * CHUNK;
    int fd = open(disk, O_RDWR | O_DIRECT | O_CLOEXEC);
    uint8_t *into = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arg;
    if ( fd < 0 || into == MAP_FAILED || lseek(fd, 0, SEEK_END) < (off_t)size )
    {
        wrong(&disk_half, "%s: %s", disk,
              errno ? strerror(errno) : "smaller than the pool");
        return NULL;
    }
    memset(into, 0, size);
    for ( unsigned long n = 0; disk_op(fd, into, n); n++ )
        ;
    return NULL;
}

/* ---- The network ------------------------------------------------------------------- */

static int connect_once(const struct sockaddr_in *to)
{
    struct timeval silence = { .tv_sec = SILENCE_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if ( fd < 0 )
        return -errno;
    if ( setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) ||
         setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence)) ||
         connect(fd, (const struct sockaddr *)to, sizeof(*to)) )
    {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int connect_to(const char *where)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    uint64_t deadline_us = now_us() + CONNECT_S * 1000000ULL;
    char address[INET_ADDRSTRLEN];
    const char *port = strchr(where, ':');
    int fd;

    if ( !port || (size_t)(port - where) >= sizeof(address) )
        return -EINVAL;
    memcpy(address, where, port - where);
    address[port - where] = '\0';
    to.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    if ( inet_pton(AF_INET, address, &to.sin_addr) != 1 )
        return -EINVAL;
    while ( (fd = connect_once(&to)) < 0 && now_us() < deadline_us )
        nap(200);
    return fd;
}

/* A call with a limit of time is not begun again by itself after a suspend, for
 * which the kernel wakes whoever waits. */
static bool is_only_woken(ssize_t rc)
{
    return rc < 0 && errno == EINTR;
}

/* Chunk n of the pool, from where it is: nothing of it is copied here. */
static bool send_chunk(int fd, unsigned long chunk)
{
    off_t at = (off_t)chunk * CHUNK;
    off_t end = at + CHUNK;

    while ( at < end )
    {
        ssize_t put = sendfile(fd, net_half.pool_fd, &at, end - at);

        if ( is_only_woken(put) )
            continue;
        if ( put <= 0 )
        {
            wrong(&net_half, "send: %s", put ? strerror(errno) : "nothing");
            return false;
        }
    }
    return true;
}

static bool receive_chunk(int fd, uint8_t *to)
{
    size_t have = 0;

    while ( have < CHUNK )
    {
        ssize_t got = recv(fd, to + have, CHUNK - have, 0);

        if ( is_only_woken(got) )
            continue;
        if ( got <= 0 )
        {
            wrong(&net_half, "receive: %s", got ? strerror(errno) : "closed");
            return false;
        }
        have += got;
    }
    return true;
}

static void *run_net(void *arg)
{
    static uint64_t back[CHUNK_WORDS];
    struct half *h = &net_half;
    int fd = connect_to(net);
    bool well = fd >= 0;

    (void)arg;
    if ( !well )
        wrong(h, "%s: %s", net, strerror(-fd));
    for ( unsigned long n = 0; well; n++ )
    {
        unsigned long chunk = n % h->nr_chunks;
        uint64_t start_us = now_us();

        well = send_chunk(fd, chunk) && receive_chunk(fd, (uint8_t *)back) &&
               is_chunk(h, NET_SALT, chunk, back);
        if ( well )
            done(h, start_us);
    }
    return NULL;
}

/* ---- All ----------------------------------------------------------------------------- */

static bool take_option(const char *word)
{
    char *end = NULL;

    if ( !strncmp(word, "disk=", 5) )
        disk = word + 5;
    else if ( !strncmp(word, "net=", 4) )
        net = word + 4;
    else if ( !strncmp(word, "pool=", 5) )
        pool_mib = strtoul(word + 5, &end, 10);
    else if ( !strncmp(word, "pause=", 6) )
        pause_ms = strtoul(word + 6, &end, 10);
    else
        return false;
    return !end || !*end;
}

static int start(struct half *h, uint64_t salt, void *(*run)(void *))
{
    pthread_t thread;
    int rc = make_pool(h, salt);

    return rc ? rc : -pthread_create(&thread, NULL, run, NULL);
}

static void report(struct half *h)
{
    printf("io: %s ops=%lu errors=%lu longest_us=%lu\n", h->name,
           atomic_load(&h->ops), atomic_load(&h->errors),
           atomic_exchange(&h->longest_us, 0));
}

int main(int argc, char **argv)
{
    int rc = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for ( int i = 1; i < argc; i++ )
    {
        if ( take_option(argv[i]) )
            continue;
        fprintf(stderr, "io: what is %s?\n", argv[i]);
        return 2;
    }
    if ( (!disk && !net) || pool_mib < 1 || pool_mib > MAX_POOL_MIB )
    {
        fprintf(stderr, "io: nothing to do\n");
        return 2;
    }
    if ( disk )
        rc = start(&disk_half, DISK_SALT, run_disk);
    if ( !rc && net )
        rc = start(&net_half, NET_SALT, run_net);
    if ( rc )
    {
        fprintf(stderr, "io: %s\n", strerror(-rc));
        return 1;
    }
    for ( ;; )
    {
        nap(1000);
        if ( disk )
            report(&disk_half);
        if ( net )
            report(&net_half);
    }
}

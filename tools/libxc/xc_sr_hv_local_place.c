/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local_place.c: missing pages put in place.
 *
 * Where the guest's memory file has huge pages and the kernel traps touches of
 * pages that have a frame but are not mapped yet (userfaultfd's minor faults),
 * contents are written straight into the file through a mapping of our own,
 * while the guest still cannot see them.  That costs a copy and nothing else:
 * no frame is made for each page, no system call, and a page that is announced
 * again need not even be taken away.
 *
 * Memory is dealt with in blocks of 2 MiB.  A block becomes visible as a whole
 * when its last page has come; before that single pages are shown to whoever
 * waits for them, and a touch of one that came unasked is a fault that needs
 * no network.  A block for which the machine has no huge page is filled by
 * UFFDIO_COPY (xc_sr_hv_local_paging.c), page by page.
 *
 * A thread makes the blocks ahead of their contents; whoever wants one that is
 * not made yet makes it, and nobody writes before that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "local_uffd.h"
#include "xc_sr_hv_local.h"

#define BLOCK_SHIFT 9u
#define BLOCK_PAGES (1u << BLOCK_SHIFT)
#define BLOCK_BYTES ((size_t)BLOCK_PAGES << XC_SR_PAGE_SHIFT)

/* The kernel asks for another try while the layout of the guest's memory
 * changes, which it never does for long. */
#define MAX_RETRIES 1000u

/* 400 MB/s. */
#define SLOW_PAGE_US 10u

enum kind
{
    KIND_UNKNOWN,
    KIND_CLAIMED, /* being made */
    KIND_PLACE,
    KIND_COPY,
};

struct local_place
{
    uint8_t *reserved; /* room in which `map` is aligned */
    size_t reserved_len;
    uint8_t *map;
    uint64_t nr_blocks;
    _Atomic uint8_t *kinds; /* of each block */
    uint16_t *filled;       /* its pages that have contents */
    bool *open;             /* the guest sees all of it */
    bool running;
    bool mixed; /* for tests: every other block as if it had no huge page */
    uint64_t arrived_us; /* the last pages */

    pthread_t thread;
    bool threaded;
    atomic_bool stop;
};

static uint64_t block_pages(const struct local *l, uint64_t block)
{
    uint64_t left = l->nr_pfns - (block << BLOCK_SHIFT);

    return left < BLOCK_PAGES ? left : BLOCK_PAGES;
}

/* ---- Making blocks ----------------------------------------------------------- */

static long minor_faults(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) ? -1 : usage.ru_minflt;
}

/* Makes a frame and changes nothing. */
static void touch(uint8_t *at)
{
    atomic_fetch_or_explicit((_Atomic uint8_t *)at, 0, memory_order_relaxed);
}

/* Takes back what make_block() made, all of it: the frame may be larger than
 * what was touched, and what is left would pass for contents. */
static int empty_block(const struct local *l, uint64_t block)
{
    off_t at = (off_t)(block << BLOCK_SHIFT << XC_SR_PAGE_SHIFT);

    return fallocate(l->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
                     (off_t)BLOCK_BYTES) < 0
               ? -errno
               : 0;
}

/* Of a block without contents.  A second page that makes no fault lies in the
 * first one's huge page; one that makes one may, too: faults have many causes. */
static enum kind make_block(struct local *l, uint64_t block)
{
    uint64_t pfn = block << BLOCK_SHIFT;
    uint8_t *at = l->place->map + (pfn << XC_SR_PAGE_SHIFT);
    long before;

    if ( block_pages(l, block) < BLOCK_PAGES )
        return KIND_COPY;
    touch(at);
    before = minor_faults();
    touch(at + XC_SR_PAGE_SIZE);
    if ( minor_faults() == before && !(l->place->mixed && block % 2) )
        return KIND_PLACE;
    /* Frames that stay can only be filled in place, small as they are. */
    return empty_block(l, block) ? KIND_PLACE : KIND_COPY;
}

static enum kind kind_of(struct local *l, uint64_t block)
{
    _Atomic uint8_t *at = &l->place->kinds[block];
    uint8_t kind = atomic_load_explicit(at, memory_order_acquire);

    if ( kind == KIND_UNKNOWN &&
         atomic_compare_exchange_strong(at, &kind, KIND_CLAIMED) )
    {
        kind = (uint8_t)make_block(l, block);
        atomic_store_explicit(at, kind, memory_order_release);
    }
    /* The other thread is at it: as long as clearing a huge page takes. */
    while ( kind == KIND_CLAIMED )
    {
        sched_yield();
        kind = atomic_load_explicit(at, memory_order_acquire);
    }
    return (enum kind)kind;
}

static void *maker_main(void *arg)
{
    struct local *l = arg;
    struct local_place *p = l->place;

    for ( uint64_t b = 0; b < p->nr_blocks && !atomic_load(&p->stop); b++ )
        kind_of(l, b);
    return NULL;
}

/* ---- On and off --------------------------------------------------------------- */

static void dispose(struct local_place *p)
{
    if ( !p )
        return;
    if ( p->threaded )
    {
        atomic_store(&p->stop, true);
        pthread_join(p->thread, NULL);
    }
    if ( p->reserved )
        munmap(p->reserved, p->reserved_len);
    free((void *)p->kinds);
    free(p->filled);
    free(p->open);
    free(p);
}

/* Huge pages are mapped as such where the mapping is aligned to them. */
static int map_aligned(const struct local *l, struct local_place *p)
{
    size_t len = (size_t)l->nr_pfns << XC_SR_PAGE_SHIFT;
    uintptr_t at;
    void *map;

    p->reserved_len = len + BLOCK_BYTES;
    map = mmap(NULL, p->reserved_len, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if ( map == MAP_FAILED )
        return -errno;
    p->reserved = map;
    at = ((uintptr_t)map + BLOCK_BYTES - 1) & ~(uintptr_t)(BLOCK_BYTES - 1);
    map = mmap((void *)at, len, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED | MAP_NORESERVE, l->mem_fd, 0);
    if ( map == MAP_FAILED )
        return -errno;
    p->map = map;
    return 0;
}

static int alloc_blocks(const struct local *l, struct local_place *p)
{
    p->nr_blocks = (l->nr_pfns + BLOCK_PAGES - 1) >> BLOCK_SHIFT;
    p->kinds = calloc(p->nr_blocks, sizeof(*p->kinds));
    p->filled = calloc(p->nr_blocks, sizeof(*p->filled));
    p->open = calloc(p->nr_blocks, sizeof(*p->open));
    return p->kinds && p->filled && p->open ? 0 : -ENOMEM;
}

/*
 * Contents that came before paging was switched on lie in frames of whatever
 * size the kernel chose, which may be larger than what was written: only in
 * place can the rest be filled.
 */
static void count_present(struct local *l)
{
    struct local_place *p = l->place;
    uint64_t pfn = xc_sr__pageset_next(&l->present, 0);

    for ( ; pfn < l->nr_pfns; pfn = xc_sr__pageset_next(&l->present, pfn + 1) )
    {
        p->filled[pfn >> BLOCK_SHIFT]++;
        atomic_store(&p->kinds[pfn >> BLOCK_SHIFT], KIND_PLACE);
    }
}

int xc_sr__local_place_on(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    struct local_place *p = calloc(1, sizeof(*p));
    const char *wish = getenv("XEN_POSTCOPY_LOCAL_MEMORY");
    int rc;

    if ( !p )
        return -ENOMEM;
    p->mixed = wish && !strcmp(wish, "mixed");
    rc = map_aligned(l, p);
    if ( !rc )
        rc = alloc_blocks(l, p);
    if ( rc )
    {
        xc_sr__error(hv->log, "guest %s: memory in place: %s", l->name,
                     strerror(-rc));
        dispose(p);
        return rc;
    }
    l->place = p;
    count_present(l);
    /* Without it blocks are made when they are wanted. */
    p->threaded = !pthread_create(&p->thread, NULL, maker_main, l);
    return 0;
}

void xc_sr__local_place_off(struct local *l)
{
    dispose(l->place);
    l->place = NULL;
}

/* ---- Showing pages to the guest ------------------------------------------------ */

/* Of blocks that are complete.  Where the kernel has no room for one more
 * piece of the mapping, their pages go on being shown one by one. */
static void open_blocks(struct local *l, uint64_t block, uint64_t nr)
{
    uint64_t first = block << BLOCK_SHIFT;
    uint64_t end = (block + nr) << BLOCK_SHIFT;
    struct uffdio_range range = {
        .start = l->guest_base + (first << XC_SR_PAGE_SHIFT),
        .len = ((end < l->nr_pfns ? end : l->nr_pfns) - first)
               << XC_SR_PAGE_SHIFT,
    };

    if ( ioctl(l->uffd, UFFDIO_UNREGISTER, &range) < 0 )
        return;
    for ( uint64_t b = block; b < block + nr; b++ )
        l->place->open[b] = true;
}

static bool complete(const struct local *l, uint64_t block)
{
    return l->place->filled[block] == block_pages(l, block);
}

/* The kernel wakes who waits in a block that is opened before its touches stop
 * being trapped, and who is quick is trapped once more: only a wake helps. */
int xc_sr__local_place_show(struct local *l, uint64_t pfn)
{
    struct uffdio_continue c = {
        .range = { .start = l->guest_base + (pfn << XC_SR_PAGE_SHIFT),
                   .len = XC_SR_PAGE_SIZE },
    };
    bool open = l->place->open[pfn >> BLOCK_SHIFT];
    unsigned int tries = 0;
    int rc = open ? -EEXIST : -EAGAIN;

    while ( rc == -EAGAIN && tries++ < MAX_RETRIES )
        rc = ioctl(l->uffd, UFFDIO_CONTINUE, &c) < 0 ? -errno : 0;
    if ( rc == -EEXIST )
        rc = ioctl(l->uffd, UFFDIO_WAKE, &c.range) < 0 ? -errno : 0;
    return rc == -ESRCH ? 0 : rc;
}

/*
 * A page that the guest finds saves it a fault, showing pages takes time: where
 * they come slowly there is time.
 */
void xc_sr__local_place_arrived(struct local *l, uint64_t pfn, unsigned int nr)
{
    struct local_place *p = l->place;
    uint64_t now_us = xc_sr__now_us(), since_us = now_us - p->arrived_us;
    struct uffdio_continue c = {
        .range = { .start = l->guest_base + (pfn << XC_SR_PAGE_SHIFT),
                   .len = (uint64_t)nr << XC_SR_PAGE_SHIFT },
    };

    p->arrived_us = now_us;
    if ( !p->running || p->open[pfn >> BLOCK_SHIFT] ||
         since_us < (uint64_t)nr * SLOW_PAGE_US )
        return;
    /* What it does not show now will be a fault. */
    if ( ioctl(l->uffd, UFFDIO_CONTINUE, &c) < 0 )
        return;
}

int xc_sr__local_place_start(struct local *l)
{
    struct local_place *p = l->place;
    uint64_t nr =
        l->nr_recent < LOCAL_NR_RECENT ? l->nr_recent : LOCAL_NR_RECENT;

    for ( uint64_t b = 0, end; b < p->nr_blocks; b = end )
    {
        bool whole = complete(l, b);

        for ( end = b + 1; end < p->nr_blocks; end++ )
            if ( complete(l, end) != whole )
                break;
        if ( whole )
            open_blocks(l, b, end - b);
    }
    p->running = true;
    for ( uint64_t i = 0; i < nr; i++ )
    {
        uint64_t pfn = l->recent[i];
        int rc = 0;

        if ( xc_sr__pageset_has(&l->present, pfn) &&
             !p->open[pfn >> BLOCK_SHIFT] )
            rc = xc_sr__local_place_show(l, pfn);
        if ( rc )
            return rc;
    }
    return 0;
}

/* ---- Contents -------------------------------------------------------------------- */

unsigned int xc_sr__local_place_run(struct local *l, uint64_t pfn,
                                    unsigned int nr, bool *in_place_r)
{
    uint64_t left = BLOCK_PAGES - (pfn & (BLOCK_PAGES - 1));

    *in_place_r = l->place && kind_of(l, pfn >> BLOCK_SHIFT) == KIND_PLACE;
    return l->place && nr > left ? (unsigned int)left : nr;
}

void xc_sr__local_place_write(struct local *l, uint64_t pfn, unsigned int nr,
                              const uint8_t *contents)
{
    uint8_t *to = l->place->map + (pfn << XC_SR_PAGE_SHIFT);
    size_t len = (size_t)nr << XC_SR_PAGE_SHIFT;

    if ( contents )
        memcpy(to, contents, len);
    else
        memset(to, 0, len);
}

void xc_sr__local_place_filled(struct local *l, uint64_t pfn)
{
    struct local_place *p = l->place;
    uint64_t block = pfn >> BLOCK_SHIFT;

    p->filled[block]++;
    if ( p->running && complete(l, block) )
        open_blocks(l, block, 1);
}

void xc_sr__local_place_emptied(struct local *l, uint64_t pfn)
{
    l->place->filled[pfn >> BLOCK_SHIFT]--;
}

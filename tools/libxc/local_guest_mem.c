/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_mem.c: a local guest's memory and what stands in it.
 *
 * A work page is 512 words: [0] its signature, from seed and pfn; [1] and
 * [511] a counter, raised at the begin and at the end of each operation;
 * between them words that follow from the signature.  So a page of somebody
 * else, a piece of one, or an old one cannot pass: an operation looks at the
 * signature, at one word between and at the order of the counters, and the
 * sum of all counters has to be the number of operations.
 *
 * The last pages, one for each vCPU, stand for vcpu_info: written on the way
 * to suspend, needed at once where the guest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "local_guest.h"

#define WORDS (XC_SR_PAGE_SIZE / 8)
#define HEAD  1u
#define TAIL  (WORDS - 1)

#define HUGE_SIZE ((size_t)2 << 20)

#define INFO_MAGIC 0x6f666e695f757063ull

typedef _Atomic uint64_t word;

static word *page_words(const struct guest *g, uint64_t pfn)
{
    return (word *)(g->mem + (pfn << XC_SR_PAGE_SHIFT));
}

/* Never 0, and different for neighbours (the finalizer of splitmix64). */
static uint64_t signature(uint64_t seed, uint64_t pfn)
{
    uint64_t z = seed + (pfn + 1) * 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) | 1;
}

static uint64_t body_word(uint64_t sig, unsigned int k)
{
    return sig * (2 * k + 1);
}

/*
 * A file of huge pages: filling one costs a tenth of filling its 512 small
 * ones.  Nobody else sees the file system it is in, and it goes with it.
 * -errno where the system, or our rights, do not allow it.
 */
static int huge_file(void)
{
    const char *wish = getenv("XEN_POSTCOPY_LOCAL_MEMORY");
    int fs = -1, root = -1, fd = -1, rc = 0;

    if ( wish && !strcmp(wish, "small") )
        return -EPERM;
    fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if ( fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0) < 0 ||
         fsconfig(fs, FSCONFIG_SET_STRING, "size", "0", 0) < 0 ||
         fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 )
        rc = -errno;
    if ( !rc )
        root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    if ( root >= 0 )
        fd = openat(root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if ( fd < 0 )
        rc = rc ? rc : -errno;
    if ( root >= 0 )
        close(root);
    if ( fs >= 0 )
        close(fs);
    return rc ? rc : fd;
}

/* Huge pages are mapped as such where the mapping is aligned to them. */
static int map_aligned(struct guest *g, size_t size)
{
    uint8_t *room = mmap(NULL, size + HUGE_SIZE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *mem;

    if ( room == MAP_FAILED )
        return -errno;
    room += -(uintptr_t)room & (HUGE_SIZE - 1);
    mem = mmap(room, size, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED | MAP_NORESERVE, g->mem_fd, 0);
    if ( mem == MAP_FAILED )
        return -errno;
    g->mem = mem;
    if ( !g->huge )
        guest_mem_small(g);
    return 0;
}

int guest_mem_init(struct guest *g)
{
    uint64_t ws_pages = g->config.working_set_kib / 4;
    uint64_t size;

    g->nr_pages = g->config.memory_kib / 4;
    g->work_pages = g->nr_pages - g->config.vcpus;
    g->ws_pages =
        ws_pages && ws_pages < g->work_pages ? ws_pages : g->work_pages;
    g->signed_pages = g->ws_pages + (g->work_pages - g->ws_pages) *
                                        g->config.populate_percent / 100;

    /* A guest that starts here may be logged from the first moment on. */
    g->mem_fd = g->incoming && guest_can_minor() ? huge_file() : -1;
    g->huge = g->mem_fd >= 0;
    if ( !g->huge )
        g->mem_fd = memfd_create(g->name, MFD_CLOEXEC);
    size = g->nr_pages << XC_SR_PAGE_SHIFT;
    if ( g->mem_fd < 0 || ftruncate(g->mem_fd, (off_t)size) < 0 )
        return -errno;
    return map_aligned(g, size);
}

void guest_mem_small(struct guest *g)
{
    size_t size = g->nr_pages << XC_SR_PAGE_SHIFT;

    madvise(g->mem, size, MADV_NOHUGEPAGE);
    /* What is mapped by huge pages comes back, when touched, by small ones;
     * the contents are the file's. */
    if ( g->huge )
        madvise(g->mem, size, MADV_DONTNEED);
}

void guest_mem_fill(struct guest *g)
{
    for ( uint64_t pfn = 0; pfn < g->signed_pages; pfn++ )
    {
        uint64_t *w = (uint64_t *)(g->mem + (pfn << XC_SR_PAGE_SHIFT));
        uint64_t sig = signature(g->config.seed, pfn);

        w[0] = sig;
        w[HEAD] = 0;
        for ( unsigned int k = HEAD + 1; k < TAIL; k++ )
            w[k] = body_word(sig, k);
        w[TAIL] = 0;
    }
}

bool guest_mem_op(struct guest *g, uint64_t pfn, uint64_t random)
{
    word *w = page_words(g, pfn);
    uint64_t sig = signature(g->config.seed, pfn);
    unsigned int k = HEAD + 1 + (unsigned int)(random >> 40) % (TAIL - 2);
    uint64_t tail = atomic_load_explicit(&w[TAIL], memory_order_relaxed);
    uint64_t head = atomic_fetch_add(&w[HEAD], 1);
    uint64_t wrong =
        (atomic_load_explicit(&w[0], memory_order_relaxed) ^ sig) |
        (atomic_load_explicit(&w[k], memory_order_relaxed) ^ body_word(sig, k));

    atomic_fetch_add(&w[TAIL], 1);
    return !wrong && tail <= head;
}

/* ---- The whole of it -------------------------------------------------------- */

static void bad_page(struct xc_sr_local_check *check, uint64_t pfn)
{
    if ( !check->bad_pages++ )
        check->first_bad_pfn = pfn;
}

static bool signed_page_right(const struct guest *g, uint64_t pfn,
                              uint64_t *counter_r)
{
    const uint64_t *w = (const uint64_t *)(g->mem + (pfn << XC_SR_PAGE_SHIFT));
    uint64_t sig = signature(g->config.seed, pfn);
    uint64_t wrong = (w[0] ^ sig) | (w[HEAD] ^ w[TAIL]);

    for ( unsigned int k = HEAD + 1; k < TAIL; k++ )
        wrong |= w[k] ^ body_word(sig, k);
    *counter_r = w[HEAD];
    return !wrong;
}

/* Pages [pfn, end) have frames, or have none and read as zeroes. */
static void check_run(struct guest *g, struct xc_sr_local_check *check,
                      uint64_t pfn, uint64_t end, bool frames)
{
    for ( ; pfn < end && pfn < g->work_pages; pfn++ )
    {
        uint64_t counter = 0;
        bool right;

        if ( pfn < g->signed_pages )
            right = frames && signed_page_right(g, pfn, &counter);
        else
            right = !frames ||
                    xc_sr__page_is_zero(g->mem + (pfn << XC_SR_PAGE_SHIFT));
        check->counters += counter;
        if ( !right )
            bad_page(check, pfn);
    }
}

/* Looks only where there are frames: reading elsewhere would make some. */
void guest_mem_check(struct guest *g, struct xc_sr_local_check *check)
{
    uint64_t pfn = 0;

    while ( pfn < g->nr_pages )
    {
        off_t data =
            lseek(g->mem_fd, (off_t)(pfn << XC_SR_PAGE_SHIFT), SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(g->mem_fd, data, SEEK_HOLE);
        uint64_t start =
            data < 0 ? g->nr_pages : (uint64_t)data >> XC_SR_PAGE_SHIFT;
        uint64_t end =
            hole < 0 ? g->nr_pages : (uint64_t)hole >> XC_SR_PAGE_SHIFT;

        check_run(g, check, pfn, start, false);
        check_run(g, check, start, end, true);
        pfn = end;
    }
}

/* ---- vcpu_info --------------------------------------------------------------- */

void guest_info_write(struct vcpu *v)
{
    struct guest *g = v->g;
    word *w = page_words(g, g->work_pages + v->id);

    atomic_store(&w[0], INFO_MAGIC);
    atomic_store(&w[1], v->id);
    atomic_store(&w[2], g->suspend_count);
    atomic_store(&w[3], atomic_load(&v->ops));
}

/*
 * As Xen does it: a frame that is not there is not waited for.  Whether it is
 * only the receiver can tell: the kernel takes pages that have not been used
 * for a while out of a mapping, and then one that has come is trapped as one
 * that has not.  Such a touch waits for the pager, so nothing may be held.
 */
const char *guest_info_wrong(struct vcpu *v)
{
    struct guest *g = v->g;
    uint64_t pfn = g->work_pages + v->id;
    word *w = page_words(g, pfn);

    if ( atomic_load(&g->info_missing) >> v->id & 1 )
        return "register_vcpu_info failed: its frame is missing";
    if ( atomic_load(&w[0]) != INFO_MAGIC || atomic_load(&w[1]) != v->id ||
         atomic_load(&w[2]) != g->suspend_count ||
         atomic_load(&w[3]) != atomic_load(&v->ops) )
        return "register_vcpu_info failed: its frame is out of date";
    return NULL;
}

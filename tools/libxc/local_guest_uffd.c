/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_uffd.c: userfaultfd on a local guest's own memory.
 *
 * Dirty log, two ways.  Asynchronous (Linux 6.7): write faults are resolved
 * in the kernel, and whoever holds the guest's pagemap scans for them and
 * write-protects again in one call; nothing runs here.  Synchronous (before
 * that): a thread here takes each first write, notes it and lets it pass.
 *
 * Missing pages: the descriptor goes to the migration's receiver, but one
 * reference stays here, for as long as pages may be missing: when the last
 * one goes the kernel would let the vCPUs read zeroes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "local_guest.h"
#include "local_uffd.h"

/* Shorter than any wait for another process, longer than a cold operation. */
#define STALL_US 3u

#define FEATURES_SCAN                                                          \
    (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM |        \
     UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC)
#define FEATURES_SYNC                                                          \
    (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define FEATURES_MISSING (UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID)
#define FEATURES_MINOR   (FEATURES_MISSING | UFFD_FEATURE_MINOR_SHMEM)

struct dirty_log
{
    int uffd;
    enum lw_dirty how;
    /* Synchronous only: */
    pthread_t thread;
    int stop_fd;
    pthread_mutex_t lock; /* the two bitmaps and protection go together */
    uint64_t *dirty;      /* the log */
    uint64_t *shared;     /* what a fetch found, for the sender */
    int shared_fd;
    size_t map_len;
};

/* No kernel code touches guest memory, so faults from user mode will do, and
 * those need no privilege. */
static int uffd_open(uint64_t features, int *fd_r)
{
    struct uffdio_api api = { .api = UFFD_API, .features = features };
    int fd = (int)syscall(SYS_userfaultfd,
                          O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    int rc;

    if ( fd < 0 && errno == EINVAL )
        fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if ( fd < 0 )
        return -errno;
    if ( ioctl(fd, UFFDIO_API, &api) < 0 )
    {
        rc = -errno;
        close(fd);
        return rc;
    }
    *fd_r = fd;
    return 0;
}

static bool available(uint64_t features)
{
    int fd;

    if ( uffd_open(features, &fd) )
        return false;
    close(fd);
    return true;
}

void guest_caps_init(struct guest *g)
{
    g->caps = (available(FEATURES_SYNC) ? XC_SR_HV_CAP_DIRTY : 0) |
              (available(FEATURES_MISSING) ? XC_SR_HV_CAP_PAGING : 0);
}

bool guest_can_minor(void)
{
    return available(FEATURES_MINOR);
}

static struct uffdio_range all_of(const struct guest *g)
{
    return (struct uffdio_range){ .start = (uintptr_t)g->mem,
                                  .len = g->nr_pages << XC_SR_PAGE_SHIFT };
}

static int uffd_register(const struct guest *g, int uffd, uint64_t mode)
{
    struct uffdio_register reg = { .range = all_of(g), .mode = mode };

    return ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 ? -errno : 0;
}

/* Whoever waits goes on. */
static void uffd_end(const struct guest *g, int *uffd)
{
    struct uffdio_range range = all_of(g);

    if ( *uffd < 0 )
        return;
    ioctl(*uffd, UFFDIO_UNREGISTER, &range);
    close(*uffd);
    *uffd = -1;
}

/* ---- Dirty log ---------------------------------------------------------------- */

static int protect(const struct guest *g, int uffd, uint64_t pfn,
                   uint64_t nr_pages, bool on)
{
    struct uffdio_writeprotect wp = {
        .range = { .start = (uintptr_t)g->mem + (pfn << XC_SR_PAGE_SHIFT),
                   .len = nr_pages << XC_SR_PAGE_SHIFT },
        .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
    };
    int rc;

    do
        rc = ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
    while ( rc < 0 && errno == EAGAIN );
    return rc < 0 ? -errno : 0;
}

/*
 * The first protection of everything.  A scan that reports nothing protects a
 * guest that goes on writing three times faster than UFFDIO_WRITEPROTECT does.
 */
static int protect_by_scan(const struct guest *g, int pagemap)
{
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
        .start = (uintptr_t)g->mem,
        .end = (uintptr_t)g->mem + (g->nr_pages << XC_SR_PAGE_SHIFT),
        .category_mask = PAGE_IS_WRITTEN,
        .return_mask = PAGE_IS_WRITTEN,
    };
    int rc;

    do
        rc = ioctl(pagemap, PAGEMAP_SCAN, &arg);
    while ( rc < 0 && errno == EINTR );
    return rc < 0 ? -errno : 0;
}

static void log_write(struct guest *g, struct dirty_log *log,
                      const struct uffd_msg *msg)
{
    uint64_t pfn;

    if ( msg->event != UFFD_EVENT_PAGEFAULT )
        return;
    pfn = (msg->arg.pagefault.address - (uintptr_t)g->mem) >> XC_SR_PAGE_SHIFT;
    pthread_mutex_lock(&log->lock);
    log->dirty[pfn / 64] |= 1ull << (pfn % 64);
    protect(g, log->uffd, pfn, 1, false);
    pthread_mutex_unlock(&log->lock);
}

static void *handler_main(void *arg)
{
    struct guest *g = arg;
    struct dirty_log *log = g->dirty;
    struct pollfd pfds[2] = { { .fd = log->uffd, .events = POLLIN },
                              { .fd = log->stop_fd, .events = POLLIN } };

    for ( ;; )
    {
        struct uffd_msg msgs[16];
        ssize_t got;

        if ( poll(pfds, 2, -1) < 0 && errno != EINTR )
            break;
        if ( pfds[1].revents )
            break;
        got = read(log->uffd, msgs, sizeof(msgs));
        for ( ssize_t i = 0; i < got / (ssize_t)sizeof(msgs[0]); i++ )
            log_write(g, log, &msgs[i]);
    }
    return NULL;
}

static int sync_start(struct guest *g, struct dirty_log *log)
{
    int rc;

    log->map_len = (g->nr_pages + 63) / 64 * 8;
    log->stop_fd = eventfd(0, EFD_CLOEXEC);
    log->shared_fd = memfd_create("dirty", MFD_CLOEXEC);
    log->dirty = calloc(1, log->map_len);
    if ( log->stop_fd < 0 || log->shared_fd < 0 || !log->dirty )
        return -ENOMEM;
    if ( ftruncate(log->shared_fd, (off_t)log->map_len) < 0 )
        return -errno;
    log->shared = mmap(NULL, log->map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                       log->shared_fd, 0);
    if ( log->shared == MAP_FAILED )
    {
        log->shared = NULL;
        return -errno;
    }
    rc = pthread_create(&log->thread, NULL, handler_main, g);
    if ( rc )
    {
        close(log->stop_fd);
        log->stop_fd = -1;
    }
    return -rc;
}

static void sync_stop(struct dirty_log *log)
{
    uint64_t one = 1;

    if ( log->stop_fd >= 0 && log->thread &&
         write(log->stop_fd, &one, sizeof(one)) == sizeof(one) )
        pthread_join(log->thread, NULL);
    if ( log->stop_fd >= 0 )
        close(log->stop_fd);
    if ( log->shared )
        munmap(log->shared, log->map_len);
    if ( log->shared_fd >= 0 )
        close(log->shared_fd);
    free(log->dirty);
    pthread_mutex_destroy(&log->lock);
}

void guest_dirty_off(struct guest *g)
{
    struct dirty_log *log = g->dirty;

    if ( !log )
        return;
    /* The handler lives until nobody can wait for it any more. */
    uffd_end(g, &log->uffd);
    sync_stop(log);
    free(log);
    g->dirty = NULL;
}

static int log_open(struct guest *g, struct dirty_log *log)
{
    const char *forced = getenv("XEN_POSTCOPY_LOCAL_DIRTY");
    int rc = -EOPNOTSUPP;

    if ( !g->config.sync_dirty_log && !(forced && !strcmp(forced, "sync")) )
        rc = uffd_open(FEATURES_SCAN, &log->uffd);
    log->how = rc ? LW_DIRTY_SYNC : LW_DIRTY_SCAN;
    if ( rc )
        rc = uffd_open(FEATURES_SYNC, &log->uffd);
    return rc;
}

int guest_dirty_on(struct guest *g, struct lw_msg *msg, struct lw_fds *fds)
{
    struct dirty_log *log;
    int rc, fd = -1;

    if ( g->dirty )
        return -EALREADY;
    log = calloc(1, sizeof(*log));
    if ( !log )
        return -ENOMEM;
    log->uffd = log->stop_fd = log->shared_fd = -1;
    pthread_mutex_init(&log->lock, NULL);
    g->dirty = log;

    guest_mem_small(g);
    rc = log_open(g, log);
    if ( !rc )
        rc = uffd_register(g, log->uffd, UFFDIO_REGISTER_MODE_WP);
    if ( !rc && log->how == LW_DIRTY_SYNC )
        rc = sync_start(g, log);
    if ( !rc )
    {
        fd = log->how == LW_DIRTY_SYNC
                 ? fcntl(log->shared_fd, F_DUPFD_CLOEXEC, 0)
                 : open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? -errno : 0;
    }
    if ( !rc )
        rc = log->how == LW_DIRTY_SYNC
                 ? protect(g, log->uffd, 0, g->nr_pages, true)
                 : protect_by_scan(g, fd);
    if ( rc )
    {
        fprintf(stderr, "%s: dirty log: %s\n", g->name, strerror(-rc));
        if ( fd >= 0 )
            close(fd);
        guest_dirty_off(g);
        return rc;
    }
    /* The slower one: worth a line in the guest's log. */
    if ( log->how == LW_DIRTY_SYNC )
        fprintf(stderr, "%s: dirty log: synchronous\n", g->name);
    msg->arg[0] = log->how;
    msg->arg[1] = (uintptr_t)g->mem;
    fds->fd[fds->nr++] = fd;
    return 0;
}

/* Protects again what is dirty, run by run. */
static int protect_dirty(struct guest *g, struct dirty_log *log)
{
    struct xc_sr_pageset set = { .nr_pfns = g->nr_pages, .words = log->dirty };
    uint64_t pfn = xc_sr__pageset_next(&set, 0);

    while ( pfn < g->nr_pages )
    {
        uint64_t end = xc_sr__pageset_next_gap(&set, pfn);
        int rc = protect(g, log->uffd, pfn, end - pfn, true);

        if ( rc )
            return rc;
        pfn = xc_sr__pageset_next(&set, end);
    }
    return 0;
}

int guest_dirty_fetch(struct guest *g, bool clean)
{
    struct dirty_log *log = g->dirty;
    int rc = 0;

    if ( !log || log->how != LW_DIRTY_SYNC )
        return -EINVAL;
    /* Under the lock no write is let through, so none falls between. */
    pthread_mutex_lock(&log->lock);
    memcpy(log->shared, log->dirty, log->map_len);
    if ( clean )
    {
        rc = protect_dirty(g, log);
        if ( !rc )
            memset(log->dirty, 0, log->map_len);
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

/* ---- Missing pages -------------------------------------------------------------- */

/* With huge pages the receiver writes contents in place before the guest may
 * see them, so frames that are not mapped are trapped too. */
int guest_paging_on(struct guest *g, struct lw_fds *fds)
{
    uint64_t mode = UFFDIO_REGISTER_MODE_MISSING;
    int uffd = -1, fd = -1, rc;

    if ( !g->incoming )
        return -EBUSY;
    if ( g->missing_uffd >= 0 )
        return -EALREADY;
    if ( g->huge )
        mode |= UFFDIO_REGISTER_MODE_MINOR;
    rc = uffd_open(g->huge ? FEATURES_MINOR : FEATURES_MISSING, &uffd);
    if ( !rc )
        rc = uffd_register(g, uffd, mode);
    if ( !rc )
    {
        fd = fcntl(uffd, F_DUPFD_CLOEXEC, 0);
        rc = fd < 0 ? -errno : 0;
    }
    if ( rc )
    {
        fprintf(stderr, "%s: paging: %s\n", g->name, strerror(-rc));
        if ( uffd >= 0 )
            close(uffd);
        return rc;
    }
    fds->fd[fds->nr++] = fd;
    g->missing_uffd = uffd;
    atomic_store(&g->stall_ticks, STALL_US * guest_ticks_per_us());
    return 0;
}

int guest_paging_off(struct guest *g)
{
    uffd_end(g, &g->missing_uffd);
    atomic_store(&g->stall_ticks, NO_STALL);
    /* A guest that was left paused has not looked yet, and has them now. */
    atomic_store(&g->info_missing, 0);
    return 0;
}

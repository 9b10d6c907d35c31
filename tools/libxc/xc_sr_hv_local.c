/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local.c: the local backend of the hypervisor seam: a guest is a
 * process (local_guest*.c), its memory a memfd of which we have a descriptor.
 *
 * Here: life and memory.  The source reads the guest's own pages through one
 * mapping of everything; the destination writes with pwrite, or in place where
 * that is cheap (xc_sr_hv_local_place.c).  Nothing on the path of a page asks the
 * guest's process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xc_sr_hv_local.h"

#define TYPE_NOTAB 0x0u
#define TYPE_XTAB  0xfu

/* Holes of the source read as this. */
static const uint8_t zero_page[XC_SR_PAGE_SIZE]
    __attribute__((aligned(XC_SR_PAGE_SIZE)));

int xc_sr__local_ask(struct xc_sr_hv *hv, enum lw_op op, const char *what,
                     struct lw_fds *fds_r)
{
    struct local *l = xc_sr__local_of(hv);
    int rc;

    l->msg->op = op;
    rc = xc_sr__lw_call(l->sock, l->msg, fds_r, LW_TIMEOUT_US);
    if ( rc )
        xc_sr__error(hv->log, "guest %s: %s: %s", l->name, what,
                     xc_sr__local_why(rc));
    return rc;
}

/* The same for requests that carry nothing. */
static int tell(struct xc_sr_hv *hv, enum lw_op op, uint64_t arg,
                const char *what)
{
    struct local *l = xc_sr__local_of(hv);

    l->msg->len = 0;
    l->msg->arg[0] = arg;
    return xc_sr__local_ask(hv, op, what, NULL);
}

unsigned int xc_sr__local_run(const struct local *l, const uint64_t *pfns,
                              unsigned int nr)
{
    unsigned int n = 1;

    while ( n < nr && pfns[n] == pfns[0] + n && pfns[n] < l->nr_pfns )
        n++;
    return n;
}

/* ---- Life -------------------------------------------------------------------- */

static int get_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r)
{
    struct local *l = xc_sr__local_of(hv);
    struct xc_sr_local_info info;
    int rc = tell(hv, LW_INFO, 0, "info");

    if ( rc )
        return rc;
    if ( l->msg->len != sizeof(info) )
        return -EBADMSG;
    memcpy(&info, l->msg->data, sizeof(info));
    *info_r = (struct xc_sr_hv_info){
        .nr_pfns = info.config.memory_kib / 4,
        .nr_vcpus = info.config.vcpus,
        .guest_type = 2,
        .domid = (uint32_t)info.pid,
        .xen_major = 4,
        .xen_minor = 17,
        .caps = (uint32_t)l->msg->arg[0],
        .paused = l->msg->arg[1],
    };
    return 0;
}

static int suspend_start(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    uint64_t old;

    /* What an earlier attempt left in the counter. */
    if ( read(l->suspend_fd, &old, sizeof(old)) < 0 && errno != EAGAIN )
        return -errno;
    l->suspend_seen = l->suspend_going = l->suspend_done = false;
    return tell(hv, LW_SUSPEND, 0, "suspend");
}

/* One step has been counted, or more than one. */
static void step_suspend(struct local *l, uint64_t steps)
{
    l->suspend_done = l->suspend_seen || steps > 1;
    l->suspend_seen = true;
}

static int suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                        enum xc_sr_hv_suspend *state_r)
{
    struct local *l = xc_sr__local_of(hv);
    uint64_t deadline_us = xc_sr__now_us() + timeout_us, steps = 0;

    if ( l->suspend_done )
    {
        *state_r = XC_SR_HV_SUSPENDED;
        return 0;
    }
    if ( l->suspend_seen && !l->suspend_going )
    {
        int rc;

        l->msg->op = LW_SUSPEND_GO;
        l->msg->len = 0;
        rc = xc_sr__lw_send(l->sock, l->msg, NULL);
        if ( rc )
            return rc;
        l->suspend_going = true;
    }
    for ( ;; )
    {
        struct pollfd pfds[2] = { { .fd = l->suspend_fd, .events = POLLIN },
                                  { .fd = l->gone_fd, .events = POLLIN } };
        uint64_t now_us = xc_sr__now_us();
        int wait_ms =
            now_us >= deadline_us ? 0 : xc_sr__poll_ms(deadline_us, now_us);

        if ( poll(pfds, 2, wait_ms) < 0 && errno != EINTR )
            return -errno;
        if ( read(l->suspend_fd, &steps, sizeof(steps)) == sizeof(steps) )
            break;
        if ( pfds[1].revents )
            return -ESHUTDOWN;
        if ( !wait_ms )
        {
            *state_r = XC_SR_HV_SUSPEND_ASKED;
            return 0;
        }
    }
    step_suspend(l, steps);
    *state_r = l->suspend_done ? XC_SR_HV_SUSPENDED : XC_SR_HV_SUSPEND_SEEN;
    return 0;
}

static int resume(struct xc_sr_hv *hv)
{
    return tell(hv, LW_RESUME, 0, "resume");
}

static int retain(struct xc_sr_hv *hv)
{
    return tell(hv, LW_RETAIN, 0, "retain");
}

/* Of which vCPUs: the last pages are one for each (local_guest_mem.c). */
static uint64_t missing_info(const struct local *l)
{
    uint64_t missing = 0;

    for ( uint32_t i = 0; i < l->nr_vcpus; i++ )
        if ( !xc_sr__pageset_has(&l->present, l->nr_pfns - l->nr_vcpus + i) )
            missing |= UINT64_C(1) << i;
    return missing;
}

static int unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    struct local *l = xc_sr__local_of(hv);
    int rc = l->place ? xc_sr__local_place_start(l) : 0;

    if ( l->role != XC_SR_HV_DESTINATION )
        return -EINVAL;
    l->msg->arg[1] = missing_info(l);
    if ( !rc )
        rc = tell(hv, LW_START, leave_paused, "start");

    /* Told, and no answer in time: it may run. */
    return rc == -ETIMEDOUT ? -EINPROGRESS : rc;
}

static int stop(struct xc_sr_hv *hv)
{
    return tell(hv, LW_STOP, 0, "stop");
}

static int gone_fd(struct xc_sr_hv *hv)
{
    return xc_sr__local_of(hv)->gone_fd;
}

static int is_gone(struct xc_sr_hv *hv, bool *gone_r)
{
    struct pollfd pfd = { .fd = xc_sr__local_of(hv)->gone_fd,
                          .events = POLLIN };
    int nr = poll(&pfd, 1, 0);

    if ( nr < 0 )
        return -errno;
    *gone_r = nr > 0;
    return 0;
}

/* ---- Memory -------------------------------------------------------------------- */

static int page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                      unsigned int nr, uint32_t *types_r)
{
    const struct local *l = xc_sr__local_of(hv);

    for ( unsigned int i = 0; i < nr; i++ )
        types_r[i] = pfns[i] < l->nr_pfns ? TYPE_NOTAB : TYPE_XTAB;
    return 0;
}

/* Reading a hole through a mapping would give the guest a frame for it. */
static bool still_hole(struct local *l, uint64_t pfn)
{
    if ( !xc_sr__pageset_has(&l->holes, pfn) )
        return false;
    if ( xc_sr__lw_is_hole(l->mem_fd, pfn) )
        return true;
    xc_sr__pageset_remove(&l->holes, pfn);
    return false;
}

static int map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
               const void **pages_r, int *errs_r)
{
    struct local *l = xc_sr__local_of(hv);

    if ( !l->map )
        return -EINVAL;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        errs_r[i] = pfns[i] < l->nr_pfns ? 0 : -EINVAL;
        if ( errs_r[i] )
            pages_r[i] = NULL;
        else if ( still_hole(l, pfns[i]) )
            pages_r[i] = zero_page;
        else
            pages_r[i] = l->map + (pfns[i] << XC_SR_PAGE_SHIFT);
    }
    return 0;
}

static int populate(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    int *errs_r)
{
    const struct local *l = xc_sr__local_of(hv);

    /* A frame comes with the first contents; only the range is checked. */
    for ( unsigned int i = 0; i < nr; i++ )
        errs_r[i] = pfns[i] < l->nr_pfns ? 0 : -EINVAL;
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len, off_t at)
{
    while ( len )
    {
        ssize_t done = pwrite(fd, data, len, at);

        if ( done < 0 && errno == EINTR )
            continue;
        if ( done < 0 )
            return -errno;
        data += done;
        at += done;
        len -= (size_t)done;
    }
    return 0;
}

void xc_sr__local_filled(struct local *l, uint64_t pfn, unsigned int nr)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        l->recent[l->nr_recent++ % LOCAL_NR_RECENT] = pfn + i;
        if ( xc_sr__pageset_add(&l->present, pfn + i) && l->place )
            xc_sr__local_place_filled(l, pfn + i);
    }
}

/* Through the file.  Zeroes are frames too: a hole would count as missing once
 * paging is on. */
static int write_file(struct local *l, uint64_t pfn, unsigned int nr,
                      const uint8_t *contents)
{
    off_t at = (off_t)(pfn << XC_SR_PAGE_SHIFT);
    off_t len = (off_t)nr << XC_SR_PAGE_SHIFT;

    if ( contents )
        return write_all(l->mem_fd, contents, (size_t)len, at);
    if ( fallocate(l->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
                   len) < 0 ||
         fallocate(l->mem_fd, 0, at, len) < 0 )
        return -errno;
    return 0;
}

/*
 * While pages may be missing the file must not get a frame larger than what is
 * written, as it may from a write to a hole.
 */
static int write_run(struct xc_sr_hv *hv, uint64_t pfn, unsigned int nr,
                     const uint8_t *contents, bool in_place)
{
    static const uint8_t zeroes[XC_SR_PAGE_SIZE];
    struct local *l = xc_sr__local_of(hv);
    int rc = 0, err;

    if ( in_place )
        xc_sr__local_place_write(l, pfn, nr, contents);
    else if ( !l->place )
        rc = write_file(l, pfn, nr, contents);
    for ( unsigned int i = 0; l->place && !in_place && !rc && i < nr; i++ )
    {
        const uint8_t *page =
            contents ? contents + (size_t)i * XC_SR_PAGE_SIZE : NULL;

        if ( xc_sr__pageset_has(&l->present, pfn + i) )
            rc = write_file(l, pfn + i, 1, page ? page : zeroes);
        else
            rc = xc_sr__local_copy_run(hv, pfn + i, 1, page, &err);
    }
    return rc;
}

/* Writes the first of *nr pages that follow one another, and says how many. */
static int write_some(struct xc_sr_hv *hv, uint64_t pfn, unsigned int *nr,
                      const uint8_t *contents)
{
    struct local *l = xc_sr__local_of(hv);
    bool in_place = false;
    int rc;

    if ( pfn >= l->nr_pfns )
        return -EINVAL;
    *nr = xc_sr__local_place_run(l, pfn, *nr, &in_place);
    rc = write_run(hv, pfn, *nr, contents, in_place);
    if ( rc )
        return rc;
    xc_sr__local_filled(l, pfn, *nr);
    return 0;
}

static int write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void *contents, int *errs_r)
{
    struct local *l = xc_sr__local_of(hv);
    const uint8_t *from = contents;
    unsigned int run;

    if ( l->role != XC_SR_HV_DESTINATION )
        return -EINVAL;
    for ( unsigned int i = 0; i < nr; i += run )
    {
        int rc;

        run = xc_sr__local_run(l, pfns + i, nr - i);
        rc = write_some(hv, pfns[i], &run,
                        from ? from + (size_t)i * XC_SR_PAGE_SIZE : NULL);
        for ( unsigned int k = i; k < i + run; k++ )
            errs_r[k] = rc;
    }
    return 0;
}

/* ---- Opening and closing ----------------------------------------------------------- */

static void dispose(struct local *l)
{
    if ( !l )
        return;
    xc_sr__local_dirty_dispose(l);
    xc_sr__local_place_off(l);
    if ( l->map )
        munmap((void *)l->map, l->nr_pfns << XC_SR_PAGE_SHIFT);
    xc_sr__pageset_dispose(&l->holes);
    xc_sr__pageset_dispose(&l->present);
    xc_sr__pageset_dispose(&l->wake);
    if ( l->uffd >= 0 )
        close(l->uffd);
    if ( l->mem_fd >= 0 )
        close(l->mem_fd);
    if ( l->suspend_fd >= 0 )
        close(l->suspend_fd);
    if ( l->gone_fd >= 0 )
        close(l->gone_fd);
    if ( l->sock >= 0 )
        close(l->sock);
    free(l->msg);
    free(l);
}

static void close_local(struct xc_sr_hv *hv)
{
    dispose(hv->priv);
}

/* Which pages have contents now, into set.  A frame that write_run() made for
 * zeroes and nobody has touched since is not among them, and need not be: it
 * reads as what a hole reads as. */
static int find_present(const struct local *l, struct xc_sr_pageset *set)
{
    uint64_t pfn = 0;

    while ( pfn < l->nr_pfns )
    {
        off_t data =
            lseek(l->mem_fd, (off_t)(pfn << XC_SR_PAGE_SHIFT), SEEK_DATA);
        off_t hole;

        if ( data < 0 )
            return errno == ENXIO ? 0 : -errno;
        hole = lseek(l->mem_fd, data, SEEK_HOLE);
        if ( hole < 0 )
            return -errno;
        for ( pfn = (uint64_t)data >> XC_SR_PAGE_SHIFT;
              pfn < (uint64_t)hole >> XC_SR_PAGE_SHIFT; pfn++ )
            xc_sr__pageset_add(set, pfn);
    }
    return 0;
}

static int open_source(struct local *l)
{
    struct xc_sr_pageset present = { 0 };
    void *p = mmap(NULL, l->nr_pfns << XC_SR_PAGE_SHIFT, PROT_READ,
                   MAP_SHARED | MAP_NORESERVE, l->mem_fd, 0);
    int rc;

    if ( p == MAP_FAILED )
        return -errno;
    l->map = p;
    rc = xc_sr__pageset_init(&present, l->nr_pfns);
    if ( !rc )
        rc = xc_sr__pageset_init(&l->holes, l->nr_pfns);
    if ( !rc )
        rc = find_present(l, &present);
    if ( !rc )
    {
        xc_sr__pageset_fill(&l->holes);
        xc_sr__pageset_subtract(&l->holes, &present);
    }
    xc_sr__pageset_dispose(&present);
    return rc;
}

static int open_destination(struct local *l)
{
    int rc = xc_sr__pageset_init(&l->present, l->nr_pfns);

    if ( !rc )
        rc = xc_sr__pageset_init(&l->wake, l->nr_pfns);
    if ( !rc )
        rc = find_present(l, &l->present);
    return rc;
}

static int attach(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    struct lw_fds fds = { 0 };
    int rc;

    l->msg->len = 0;
    l->msg->arg[0] = l->role;
    rc = xc_sr__local_ask(hv, LW_ATTACH, "open", &fds);
    if ( rc )
        return rc;
    if ( fds.nr != 3 )
    {
        xc_sr__lw_close_fds(&fds);
        return -EBADMSG;
    }
    l->mem_fd = fds.fd[0];
    l->suspend_fd = fds.fd[1];
    l->gone_fd = fds.fd[2];

    rc = get_info(hv, &hv->info);
    if ( rc )
        return rc;
    l->nr_pfns = hv->info.nr_pfns;
    l->nr_vcpus = hv->info.nr_vcpus;
    return l->role == XC_SR_HV_DESTINATION ? open_destination(l)
                                           : open_source(l);
}

static const struct xc_sr_hv_ops local_ops = {
    .name = "local",
    .populates_zeroes = true,
    .close = close_local,
    .info = get_info,
    .suspend_start = suspend_start,
    .suspend_poll = suspend_poll,
    .resume = resume,
    .retain = retain,
    .unpause = unpause,
    .pause = stop,
    .gone_fd = gone_fd,
    .is_gone = is_gone,
    .page_types = page_types,
    .map = map,
    .populate = populate,
    .write_pages = write_pages,
    .dirty_on = xc_sr__local_dirty_on,
    .dirty_fetch = xc_sr__local_dirty_fetch,
    .dirty_off = xc_sr__local_dirty_off,
    .state_get = xc_sr__local_state_get,
    .state_put = xc_sr__local_state_put,
    .paging_probe = xc_sr__local_paging_probe,
    .paging_reserve = xc_sr__local_paging_reserve,
    .paging_on = xc_sr__local_paging_on,
    .page_out = xc_sr__local_page_out,
    .is_missing = xc_sr__local_is_missing,
    .event_fd = xc_sr__local_event_fd,
    .next_faults = xc_sr__local_next_faults,
    .page_in = xc_sr__local_page_in,
    .fault_done = xc_sr__local_fault_done,
    .paging_off = xc_sr__local_paging_off,
};

int xc_sr_hv_open_local(const char *dir, const char *name,
                        enum xc_sr_hv_role role, const struct xc_sr_log *log,
                        struct xc_sr_hv **hv_r)
{
    struct xc_sr_hv *hv = calloc(1, sizeof(*hv));
    struct local *l = hv ? calloc(1, sizeof(*l)) : NULL;
    int rc = -ENOMEM;

    if ( !l )
        goto out;
    hv->ops = &local_ops;
    hv->log = log;
    hv->priv = l;
    l->role = role;
    l->sock = l->mem_fd = l->suspend_fd = l->gone_fd = -1;
    l->dirty_fd = l->uffd = -1;
    snprintf(l->name, sizeof(l->name), "%s", name);
    l->msg = calloc(1, sizeof(*l->msg));
    if ( !l->msg )
        goto out;

    rc = xc_sr__lw_connect(dir, name, &l->sock);
    if ( rc )
        xc_sr__error(log, "%s: guest %s: %s", dir, name, xc_sr__local_why(rc));
    else
        rc = attach(hv);
    if ( rc )
        goto out;
    *hv_r = hv;
    return 0;

out:
    dispose(l);
    free(hv);
    return rc;
}

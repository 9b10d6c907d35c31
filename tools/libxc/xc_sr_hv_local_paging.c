/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local_paging.c: missing pages of a local guest, the receiver's
 * side.  The guest's process registers its memory with userfaultfd and gives
 * us the descriptor; from then on pages go in with one system call for each
 * run of neighbours, or in place with none (xc_sr_hv_local_place.c), and the
 * guest's process is not asked.
 *
 * Which pages have frames is known here without asking: while pages may be
 * missing nobody but us makes any.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "local_uffd.h"
#include "xc_sr_hv_local.h"

#define READ_BATCH  64u /* messages of one read */
/* The kernel asks for another try while the layout of the guest's memory
 * changes, which it never does for long. */
#define MAX_RETRIES 1000u

/* Tests refuse with this variable what the machine would allow. */
static bool refuse(const char *what)
{
    const char *named = getenv("XEN_POSTCOPY_LOCAL_REFUSE");

    return named && !strcmp(named, what);
}

int xc_sr__local_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r,
                              char *why, size_t why_len)
{
    (void)hv; /* without userfaultfd there is no such capability */
    if ( !refuse("no-paging") )
        return 0;
    *reason_r = XC_SR_REASON_NO_PAGING;
    snprintf(why, why_len,
             "this host was told not to page "
             "(XEN_POSTCOPY_LOCAL_REFUSE=no-paging)");
    return -EOPNOTSUPP;
}

static int available_kib(uint64_t *kib_r)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    uint64_t kib = 0;
    bool found = false;

    if ( !f )
        return -errno;
    while ( !found && fgets(line, sizeof(line), f) )
        found = sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1;
    fclose(f);
    if ( !found )
        return -ENOENT;
    *kib_r = kib;
    return 0;
}

int xc_sr__local_paging_reserve(struct xc_sr_hv *hv)
{
    const struct local *l = xc_sr__local_of(hv);
    uint64_t need_kib = (l->nr_pfns - l->present.count) * 4, have_kib = 0;
    int rc;

    if ( refuse("no-memory") )
        return -ENOMEM;
    rc = available_kib(&have_kib);
    if ( rc )
        return rc;
    if ( have_kib >= need_kib )
        return 0;
    xc_sr__error(hv->log,
                 "guest %s needs %" PRIu64 " KiB, %" PRIu64 " KiB are free",
                 l->name, need_kib, have_kib);
    return -ENOMEM;
}

int xc_sr__local_paging_on(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    struct lw_fds fds = { 0 };
    int rc;

    l->msg->len = 0;
    rc = xc_sr__local_ask(hv, LW_PAGING_ON, "paging", &fds);
    if ( rc )
        return rc;
    if ( fds.nr != 1 || l->msg->len != l->nr_vcpus * 4 )
    {
        xc_sr__lw_close_fds(&fds);
        return -EBADMSG;
    }
    l->uffd = fds.fd[0];
    l->guest_base = l->msg->arg[0];
    memcpy(l->tids, l->msg->data, l->msg->len);
    return l->msg->arg[1] ? xc_sr__local_place_on(hv) : 0;
}

int xc_sr__local_paging_off(struct xc_sr_hv *hv)
{
    struct local *l = xc_sr__local_of(hv);
    int rc;

    if ( l->uffd < 0 )
        return 0;
    l->msg->len = 0;
    rc = xc_sr__local_ask(hv, LW_PAGING_OFF, "paging off", NULL);
    if ( rc )
        return rc;
    xc_sr__local_place_off(l);
    close(l->uffd);
    l->uffd = -1;
    return 0;
}

int xc_sr__local_event_fd(struct xc_sr_hv *hv)
{
    return xc_sr__local_of(hv)->uffd;
}

/* ---- Out -------------------------------------------------------------------------- */

/* How many from the first follow one another and have frames, or have none. */
static unsigned int like_run(const struct local *l, const uint64_t *pfns,
                             unsigned int nr)
{
    bool present = xc_sr__pageset_has(&l->present, pfns[0]);
    unsigned int n = 1, run = xc_sr__local_run(l, pfns, nr);

    while ( n < run && xc_sr__pageset_has(&l->present, pfns[n]) == present )
        n++;
    return n;
}

int xc_sr__local_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                          unsigned int nr, int *errs_r)
{
    struct local *l = xc_sr__local_of(hv);
    unsigned int run;

    for ( unsigned int i = 0; i < nr; i += run )
    {
        int rc = pfns[i] < l->nr_pfns ? 0 : -EINVAL;
        bool in_place = false;

        run = like_run(l, pfns + i, nr - i);
        if ( !rc && xc_sr__pageset_has(&l->present, pfns[i]) )
            run = xc_sr__local_place_run(l, pfns[i], run, &in_place);
        if ( !in_place && xc_sr__pageset_has(&l->present, pfns[i]) &&
             fallocate(l->mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       (off_t)(pfns[i] << XC_SR_PAGE_SHIFT),
                       (off_t)run << XC_SR_PAGE_SHIFT) < 0 )
            rc = -errno;
        for ( unsigned int k = i; k < i + run; k++ )
        {
            errs_r[k] = rc;
            if ( !rc && xc_sr__pageset_remove(&l->present, pfns[k]) &&
                 l->place )
                xc_sr__local_place_emptied(l, pfns[k]);
        }
    }
    return 0;
}

int xc_sr__local_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                            unsigned int nr, bool *missing_r)
{
    const struct local *l = xc_sr__local_of(hv);

    for ( unsigned int i = 0; i < nr; i++ )
        missing_r[i] =
            pfns[i] < l->nr_pfns && !xc_sr__pageset_has(&l->present, pfns[i]);
    return 0;
}

/* ---- In --------------------------------------------------------------------------- */

/* Copies some of nr pages from pfn in; *done_r: how many.  One ioctl. */
static int copy_some(struct local *l, uint64_t pfn, unsigned int nr,
                     const uint8_t *contents, unsigned int *done_r)
{
    uint64_t to = l->guest_base + (pfn << XC_SR_PAGE_SHIFT);
    uint64_t len = (uint64_t)nr << XC_SR_PAGE_SHIFT;
    int64_t done;
    int rc;

    if ( contents )
    {
        struct uffdio_copy copy = { .dst = to,
                                    .src = (uintptr_t)contents,
                                    .len = len };

        rc = ioctl(l->uffd, UFFDIO_COPY, &copy) < 0 ? -errno : 0;
        done = copy.copy;
    }
    else
    {
        struct uffdio_zeropage zero = { .range = { .start = to, .len = len } };

        rc = ioctl(l->uffd, UFFDIO_ZEROPAGE, &zero) < 0 ? -errno : 0;
        done = zero.zeropage;
    }
    /* A stop in the middle is reported as -EAGAIN with what was done. */
    if ( rc == -EAGAIN && done > 0 )
        rc = 0;
    if ( rc )
        return rc;
    *done_r = (unsigned int)(done >> XC_SR_PAGE_SHIFT);
    return 0;
}

static void mark(struct local *l, uint64_t pfn, unsigned int nr, int rc,
                 int *errs_r)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        errs_r[i] = rc;
        if ( !rc || rc == -EEXIST )
            xc_sr__local_filled(l, pfn + i, 1);
        if ( rc == -EEXIST )
            xc_sr__pageset_add(&l->wake, pfn + i);
    }
}

int xc_sr__local_copy_run(struct xc_sr_hv *hv, uint64_t pfn, unsigned int nr,
                          const uint8_t *contents, int *errs_r)
{
    struct local *l = xc_sr__local_of(hv);
    unsigned int i = 0, retries = 0;

    while ( i < nr )
    {
        unsigned int done = 0;
        int rc = copy_some(
            l, pfn + i, nr - i,
            contents ? contents + (size_t)i * XC_SR_PAGE_SIZE : NULL, &done);

        if ( rc == -ESRCH || rc == -ENOSPC )
            return -ESRCH; /* its process is on its way out */
        if ( rc == -EAGAIN && ++retries < MAX_RETRIES )
        {
            sched_yield();
            continue;
        }
        if ( rc || !done )
        {
            rc = rc ? rc : -EIO;
            /* Nobody but us makes frames: this one has no contents. */
            if ( rc == -EEXIST && !xc_sr__pageset_has(&l->present, pfn + i) )
                rc = -EIO;
            done = 1;
            if ( rc != -EEXIST && rc != -ENOENT )
                xc_sr__error(hv->log, "guest %s: pfn %" PRIx64 ": page in: %s",
                             l->name, pfn + i, strerror(-rc));
        }
        mark(l, pfn + i, done, rc, errs_r + i);
        i += done;
    }
    return 0;
}

/* The pages have no contents yet, or all of them have. */
static void place_run(struct local *l, uint64_t pfn, unsigned int nr,
                      const uint8_t *contents, int *errs_r)
{
    bool there = xc_sr__pageset_has(&l->present, pfn);

    if ( !there )
        xc_sr__local_place_write(l, pfn, nr, contents);
    mark(l, pfn, nr, there ? -EEXIST : 0, errs_r);
    if ( !there )
        xc_sr__local_place_arrived(l, pfn, nr);
}

int xc_sr__local_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, const void *contents, int *errs_r)
{
    struct local *l = xc_sr__local_of(hv);
    const uint8_t *from = contents;
    unsigned int run;

    if ( l->uffd < 0 )
        return -EINVAL;
    for ( unsigned int i = 0; i < nr; i += run )
    {
        const uint8_t *at = from ? from + (size_t)i * XC_SR_PAGE_SIZE : NULL;
        bool in_place = false;
        int rc = 0;

        run = like_run(l, pfns + i, nr - i);
        if ( pfns[i] >= l->nr_pfns )
        {
            errs_r[i] = -EINVAL;
            continue;
        }
        run = xc_sr__local_place_run(l, pfns[i], run, &in_place);
        if ( in_place )
            place_run(l, pfns[i], run, at, errs_r + i);
        else
            rc = xc_sr__local_copy_run(hv, pfns[i], run, at, errs_r + i);
        if ( rc )
            return rc;
    }
    return 0;
}

/* ---- Faults ------------------------------------------------------------------------ */

static uint32_t vcpu_of(const struct local *l, int32_t tid)
{
    for ( uint32_t i = 0; i < l->nr_vcpus; i++ )
        if ( l->tids[i] == tid )
            return i;
    return UINT32_MAX;
}

int xc_sr__local_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                             unsigned int max, unsigned int *nr_r)
{
    const struct local *l = xc_sr__local_of(hv);
    struct uffd_msg msgs[READ_BATCH];
    unsigned int nr = 0;
    ssize_t got;

    if ( max > READ_BATCH )
        max = READ_BATCH;
    got = read(l->uffd, msgs, max * sizeof(msgs[0]));
    if ( got < 0 && errno != EAGAIN && errno != EINTR )
        return -errno;
    for ( ssize_t i = 0; i < got / (ssize_t)sizeof(msgs[0]); i++ )
    {
        const struct uffd_msg *msg = &msgs[i];
        uint64_t pfn;

        if ( msg->event != UFFD_EVENT_PAGEFAULT )
            continue;
        pfn = (msg->arg.pagefault.address - l->guest_base) >> XC_SR_PAGE_SHIFT;
        if ( pfn >= l->nr_pfns )
            continue;
        faults[nr++] = (struct xc_sr_hv_fault){
            .pfn = pfn,
            .vcpu = vcpu_of(l, (int32_t)msg->arg.pagefault.feat.ptid),
            .cookie = xc_sr__pageset_has(&l->present, pfn),
        };
    }
    *nr_r = nr;
    return 0;
}

/* A page that page_in placed has woken its waiters; one that was there before
 * has not, and they would wait for ever. */
int xc_sr__local_fault_done(struct xc_sr_hv *hv,
                            const struct xc_sr_hv_fault *faults,
                            unsigned int nr)
{
    struct local *l = xc_sr__local_of(hv);

    for ( unsigned int i = 0; i < nr; i++ )
    {
        struct uffdio_range range = {
            .start = l->guest_base + (faults[i].pfn << XC_SR_PAGE_SHIFT),
            .len = XC_SR_PAGE_SIZE,
        };

        if ( faults[i].pfn < l->nr_pfns && l->place )
        {
            int rc = xc_sr__local_place_show(l, faults[i].pfn);

            if ( rc )
                return rc;
            continue;
        }
        if ( faults[i].pfn >= l->nr_pfns ||
             (!faults[i].cookie &&
              !xc_sr__pageset_has(&l->wake, faults[i].pfn)) )
            continue;
        if ( ioctl(l->uffd, UFFDIO_WAKE, &range) < 0 && errno != ESRCH )
            return -errno;
    }
    return 0;
}

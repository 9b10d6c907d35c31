/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_hv.inc.c: see fake_hv.h.  Included by the tests that use it, so that
 * each test program stays one file for the build.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_hv.h"
#include "../../tools/libxc/xc_sr_stream.h"

static struct fake_guest *guest_of(struct xc_sr_hv *hv)
{
    return hv->priv;
}

static uint8_t *page_of(struct fake_guest *g, uint64_t pfn)
{
    return g->memory + pfn * XC_SR_PAGE_SIZE;
}

void fake_guest_write(struct fake_guest *g, uint64_t pfn, uint32_t generation)
{
    uint8_t *p = page_of(g, pfn);

    for ( unsigned int i = 0; i < XC_SR_PAGE_SIZE; i += 16 )
    {
        xc_sr__put_le64(p + i, pfn * 2654435761u + i);
        xc_sr__put_le64(p + i + 8, generation);
    }
}

static int fake_info(struct xc_sr_hv *hv, struct xc_sr_hv_info *info_r)
{
    *info_r = hv->info;
    return 0;
}

static int fake_suspend_start(struct xc_sr_hv *hv)
{
    guest_of(hv)->suspend_polls = 0;
    return 0;
}

static int fake_suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                             enum xc_sr_hv_suspend *state_r)
{
    struct fake_guest *g = guest_of(hv);
    unsigned int n = g->suspend_polls++;

    (void)timeout_us;
    if ( n == 0 )
        *state_r =
            g->suspend_seen ? XC_SR_HV_SUSPEND_SEEN : XC_SR_HV_SUSPEND_ASKED;
    else
        *state_r = n < 4 + g->suspend_slow ? XC_SR_HV_SUSPEND_ASKED
                                           : XC_SR_HV_SUSPENDED;
    /* One vCPU has run its suspend path, the other one is late. */
    if ( n == 1 && g->suspend_slow )
    {
        fake_guest_write(g, g->nr_pfns - 1, 77);
        g->early_write = true;
    }
    g->suspended = *state_r == XC_SR_HV_SUSPENDED;
    return 0;
}

static int fake_resume(struct xc_sr_hv *hv)
{
    if ( guest_of(hv)->resume_fails )
        return -EIO;
    guest_of(hv)->resumed = true;
    return 0;
}

static int fake_retain(struct xc_sr_hv *hv)
{
    guest_of(hv)->retained = true;
    return 0;
}

/* A device model that is told to go on, and reads a page of the guest first:
 * true until it has it. */
static bool reads_page(struct fake_guest *g)
{
    for ( uint64_t pfn = g->nr_pfns; pfn-- && !g->nr_faults; )
        if ( g->missing[pfn] )
            g->faults[g->nr_faults++] = pfn;
    return g->faults_answered == 0;
}

static int fake_unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    struct fake_guest *g = guest_of(hv);
    uint64_t one = 1;

    if ( g->paused )
    {
        g->paused = false;
        return 0;
    }
    if ( g->unpause_failures )
    {
        g->unpause_failures--;
        return -EAGAIN;
    }
    g->unpause_begun = true;
    if ( g->unpause_calls )
    {
        g->unpause_calls--;
        return -EALREADY;
    }
    if ( g->unpause_needs_page && reads_page(g) )
        return -EALREADY;
    if ( g->unpause_waits_for && !atomic_load(g->unpause_waits_for) )
        return -EALREADY;
    if ( g->unpause_crashes && !g->gone )
    {
        g->gone = true;
        return write(g->gone_fd, &one, sizeof(one)) < 0 ? -errno : -EALREADY;
    }
    g->unpaused = true;
    if ( g->unpause_unknown )
        return -EINPROGRESS;
    g->left_paused = leave_paused;
    if ( g->busy_at_start || !g->state_done )
        return -EINVAL;
    for ( uint64_t pfn = 0; pfn < g->nr_pfns; pfn++ )
        g->present_at_start[pfn] = !g->missing[pfn];
    for ( uint64_t pfn = g->nr_pfns; pfn-- && g->nr_faults < g->faults_wanted; )
        if ( g->missing[pfn] )
            g->faults[g->nr_faults++] = pfn;
    if ( g->nr_faults && write(g->event_fd, &one, sizeof(one)) < 0 )
        return -errno;
    return 0;
}

static int fake_pause(struct xc_sr_hv *hv)
{
    guest_of(hv)->paused = true;
    guest_of(hv)->pauses++;
    return 0;
}

static int fake_gone_fd(struct xc_sr_hv *hv)
{
    return guest_of(hv)->gone_fd;
}

static int fake_is_gone(struct xc_sr_hv *hv, bool *gone_r)
{
    *gone_r = guest_of(hv)->gone;
    return 0;
}

static bool fake_has_crashed(struct xc_sr_hv *hv)
{
    return guest_of(hv)->crashed;
}

static int fake_page_types(struct xc_sr_hv *hv, const uint64_t *pfns,
                           unsigned int nr, uint32_t *types_r)
{
    for ( unsigned int i = 0; i < nr; i++ )
        types_r[i] = guest_of(hv)->types[pfns[i]];
    return 0;
}

static int fake_map(struct xc_sr_hv *hv, const uint64_t *pfns, unsigned int nr,
                    const void **pages_r, int *errs_r)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        pages_r[i] = page_of(guest_of(hv), pfns[i]);
        errs_r[i] = 0;
        guest_of(hv)->mapped_pages++;
    }
    return 0;
}

static void fake_unmap(struct xc_sr_hv *hv, const uint64_t *pfns,
                       unsigned int nr, const void **pages)
{
    (void)pfns;
    (void)pages;
    guest_of(hv)->mapped_pages -= nr;
}

static int fake_pinned(struct xc_sr_hv *hv, struct xc_sr_pageset *set)
{
    if ( guest_of(hv)->pinned_pfn )
        xc_sr__pageset_add(set, guest_of(hv)->pinned_pfn);
    return 0;
}

static int fake_populate(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, int *errs_r)
{
    for ( unsigned int i = 0; i < nr; i++ )
    {
        guest_of(hv)->populated[pfns[i]] = true;
        /* A frame comes as somebody else has left it. */
        memset(page_of(guest_of(hv), pfns[i]), 0x5a, XC_SR_PAGE_SIZE);
        errs_r[i] = 0;
    }
    return 0;
}

static int fake_write_pages(struct xc_sr_hv *hv, const uint64_t *pfns,
                            unsigned int nr, const void *contents, int *errs_r)
{
    struct fake_guest *g = guest_of(hv);
    const uint8_t *from = contents;

    for ( unsigned int i = 0; i < nr; i++ )
    {
        errs_r[i] = g->missing[pfns[i]] ? -EINVAL : 0;
        if ( errs_r[i] )
            continue;
        if ( pfns[i] == g->busy_pfn )
            g->busy_at_start = false;
        if ( from )
            memcpy(page_of(g, pfns[i]), from + i * XC_SR_PAGE_SIZE,
                   XC_SR_PAGE_SIZE);
        else
            memset(page_of(g, pfns[i]), 0, XC_SR_PAGE_SIZE);
    }
    return 0;
}

static int fake_dirty_on(struct xc_sr_hv *hv)
{
    guest_of(hv)->dirty_on = true;
    return 0;
}

static int fake_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                            struct xc_sr_pageset *set, uint64_t *count_r)
{
    struct fake_guest *g = guest_of(hv);
    unsigned int nr = how == XC_SR_HV_FETCH_FINAL ? 1 : g->dirty_per_fetch;

    if ( !g->dirty_on )
        return -EINVAL;
    /* As a backend that gives its mappings up. */
    if ( g->mapped_pages )
        return -EFAULT;
    for ( unsigned int i = 0; i < nr; i++ )
    {
        uint64_t pfn;

        g->dirty_seed = g->dirty_seed * 6364136223846793005ULL + 1;
        pfn = (g->dirty_seed >> 33) % g->nr_pfns;
        if ( xc_sr__ptype_has_data(g->types[pfn]) )
        {
            fake_guest_write(g, pfn, (uint32_t)g->dirty_seed);
            xc_sr__pageset_add(set, pfn);
        }
    }
    if ( g->early_write )
        xc_sr__pageset_add(set, g->nr_pfns - 1);
    g->early_write = false;
    *count_r = nr;
    return 0;
}

static int fake_dirty_off(struct xc_sr_hv *hv)
{
    guest_of(hv)->dirty_on = false;
    return 0;
}

static int fake_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                          struct xc_sr_hv_blob *blob_r)
{
    static const uint8_t params[24] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
    struct xc_sr_hv_blob blob = { 0 };

    (void)hv;
    if ( what != XC_SR_HV_STATE_TSC && what != XC_SR_HV_STATE_HVM_CONTEXT &&
         what != XC_SR_HV_STATE_HVM_PARAMS )
        return -ENODATA;
    blob.len = what == XC_SR_HV_STATE_HVM_CONTEXT ? 100 : 24;
    blob.data = calloc(1, blob.len);
    if ( !blob.data )
        return -ENOMEM;
    if ( what == XC_SR_HV_STATE_HVM_PARAMS )
        memcpy(blob.data, params, sizeof(params));
    *blob_r = blob;
    return 0;
}

static int fake_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                          const void *data, size_t len)
{
    (void)data;
    if ( guest_of(hv)->refused_state_error &&
         what == guest_of(hv)->refused_state )
        return guest_of(hv)->refused_state_error;
    if ( what == XC_SR_HV_STATE_EARLY_PARAMS )
        guest_of(hv)->early_params++;
    return len ? 0 : -EINVAL;
}

static int fake_static_data_done(struct xc_sr_hv *hv)
{
    guest_of(hv)->static_data_done++;
    return 0;
}

static int fake_state_done(struct xc_sr_hv *hv)
{
    guest_of(hv)->state_done = true;
    return 0;
}

static int fake_paging_probe(struct xc_sr_hv *hv, uint32_t *reason_r, char *why,
                             size_t why_len)
{
    struct fake_guest *g = guest_of(hv);

    *reason_r = XC_SR_REASON_NONE;
    if ( g->probe_error && !g->probe_says_nothing )
    {
        *reason_r = XC_SR_REASON_NO_PAGING;
        snprintf(why, why_len, "no paging in this fake");
    }
    return g->probe_error;
}

static int fake_paging_reserve(struct xc_sr_hv *hv)
{
    return guest_of(hv)->reserve_error;
}

static int fake_paging_on(struct xc_sr_hv *hv)
{
    guest_of(hv)->paging = true;
    return 0;
}

static int fake_page_out(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, int *errs_r)
{
    struct fake_guest *g = guest_of(hv);

    for ( unsigned int i = 0; i < nr; i++ )
    {
        memset(page_of(g, pfns[i]), 0xee, XC_SR_PAGE_SIZE);
        errs_r[i] = g->busy_pfn && pfns[i] == g->busy_pfn ? -EBUSY : 0;
        if ( errs_r[i] )
            g->busy_at_start = true;
        else
            g->missing[pfns[i]] = true;
    }
    g->evicted_pages += nr;
    return 0;
}

static int fake_is_missing(struct xc_sr_hv *hv, const uint64_t *pfns,
                           unsigned int nr, bool *missing_r)
{
    for ( unsigned int i = 0; i < nr; i++ )
        missing_r[i] = guest_of(hv)->missing[pfns[i]];
    return 0;
}

static int fake_event_fd(struct xc_sr_hv *hv)
{
    return guest_of(hv)->event_fd;
}

static int fake_next_faults(struct xc_sr_hv *hv, struct xc_sr_hv_fault *faults,
                            unsigned int max, unsigned int *nr_r)
{
    struct fake_guest *g = guest_of(hv);
    uint64_t count;
    unsigned int nr = 0;

    for ( int i = 0; i < 5000 && !g->nr_faults && atomic_load(&g->hold); i++ )
    {
        atomic_store(&g->holding, true);
        usleep(1000);
    }
    if ( read(g->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN )
        return -errno;
    while ( nr < max && g->nr_faults )
    {
        uint64_t pfn = g->faults[--g->nr_faults];

        faults[nr++] = (struct xc_sr_hv_fault){
            .pfn = pfn,
            .flags = g->dropped_pfn && pfn == g->dropped_pfn
                         ? XC_SR_HV_FAULT_DROP
                     : g->foreign ? XC_SR_HV_FAULT_FOREIGN
                                  : 0,
        };
        g->foreign -= g->foreign != 0;
    }
    *nr_r = nr;
    return 0;
}

static int fake_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                        unsigned int nr, const void *contents, int *errs_r)
{
    struct fake_guest *g = guest_of(hv);
    const uint8_t *from = contents;

    if ( g->gone && !g->crashed )
        return -ESRCH;
    if ( g->unpause_begun && g->page_in_failures )
    {
        g->page_in_failures--;
        return -EIO;
    }
    for ( unsigned int i = 0; i < nr; i++ )
    {
        errs_r[i] = g->missing[pfns[i]] ? 0 : -EEXIST;
        if ( g->refused_pfn && pfns[i] == g->refused_pfn )
            errs_r[i] = -ENOENT;
        if ( errs_r[i] )
            continue;
        g->missing[pfns[i]] = false;
        if ( g->nr_order < XC_SR_ARRAY_SIZE(g->order) )
            g->order[g->nr_order++] = pfns[i];
        if ( from )
            memcpy(page_of(g, pfns[i]), from + i * XC_SR_PAGE_SIZE,
                   XC_SR_PAGE_SIZE);
        else
            memset(page_of(g, pfns[i]), 0, XC_SR_PAGE_SIZE);
    }
    return 0;
}

static int fake_fault_done(struct xc_sr_hv *hv,
                           const struct xc_sr_hv_fault *faults, unsigned int nr)
{
    struct fake_guest *g = guest_of(hv);

    for ( unsigned int i = 0; i < nr; i++ )
        if ( g->missing[faults[i].pfn] &&
             !(faults[i].flags & XC_SR_HV_FAULT_DROP) )
            return -EINVAL;
    g->faults_answered += nr;
    return 0;
}

static int fake_paging_off(struct xc_sr_hv *hv)
{
    guest_of(hv)->paging = false;
    return 0;
}

static const struct xc_sr_hv_ops fake_ops = {
    .name = "fake",
    .info = fake_info,
    .suspend_start = fake_suspend_start,
    .suspend_poll = fake_suspend_poll,
    .resume = fake_resume,
    .retain = fake_retain,
    .unpause = fake_unpause,
    .pause = fake_pause,
    .gone_fd = fake_gone_fd,
    .is_gone = fake_is_gone,
    .has_crashed = fake_has_crashed,
    .page_types = fake_page_types,
    .map = fake_map,
    .unmap = fake_unmap,
    .pinned = fake_pinned,
    .populate = fake_populate,
    .write_pages = fake_write_pages,
    .dirty_on = fake_dirty_on,
    .dirty_fetch = fake_dirty_fetch,
    .dirty_off = fake_dirty_off,
    .state_get = fake_state_get,
    .state_put = fake_state_put,
    .static_data_done = fake_static_data_done,
    .state_done = fake_state_done,
    .paging_probe = fake_paging_probe,
    .paging_reserve = fake_paging_reserve,
    .paging_on = fake_paging_on,
    .page_out = fake_page_out,
    .is_missing = fake_is_missing,
    .event_fd = fake_event_fd,
    .next_faults = fake_next_faults,
    .page_in = fake_page_in,
    .fault_done = fake_fault_done,
    .paging_off = fake_paging_off,
};

void fake_guest_init(struct fake_guest *g, uint64_t nr_pfns, bool source)
{
    memset(g, 0, sizeof(*g));
    g->nr_pfns = nr_pfns;
    g->memory = calloc(nr_pfns, XC_SR_PAGE_SIZE);
    g->types = calloc(nr_pfns, sizeof(*g->types));
    g->missing = calloc(nr_pfns, sizeof(*g->missing));
    g->populated = calloc(nr_pfns, sizeof(*g->populated));
    g->present_at_start = calloc(nr_pfns, sizeof(*g->present_at_start));
    g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->gone_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->dirty_seed = 12345;
    g->hv.ops = &fake_ops;
    g->hv.priv = g;
    g->hv.info = (struct xc_sr_hv_info){
        .nr_pfns = nr_pfns,
        .nr_vcpus = 1,
        .guest_type = 2,
        .xen_major = 4,
        .xen_minor = 17,
        .caps = XC_SR_HV_CAP_DIRTY | XC_SR_HV_CAP_PAGING,
    };
    /* Every fourth page stays zero, one is ballooned out. */
    for ( uint64_t pfn = 0; source && pfn < nr_pfns; pfn++ )
        if ( pfn % 4 != 3 )
            fake_guest_write(g, pfn, 1);
    if ( source && nr_pfns > 10 )
        g->types[9] = XC_SR_PTYPE_XTAB;
}

void fake_guest_dispose(struct fake_guest *g)
{
    free(g->memory);
    free(g->types);
    free(g->missing);
    free(g->populated);
    free(g->present_at_start);
    close(g->event_fd);
    close(g->gone_fd);
}

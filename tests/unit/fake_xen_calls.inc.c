/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_xen_calls.inc.c: Xen's libraries, as far as the Xen backend calls them,
 * on a fake host (fake_xen.inc.c); these definitions come before theirs.
 * Included by test_hv_xen*.c.
 */
#include "fake_xen.inc.c"

#include <xen/sched.h>

static xc_interface *handle_of(struct fake_host *h)
{
    return (xc_interface *)h;
}

/* The opposite; handles differ in their types only. */
static struct fake_host *host_of(const void *handle)
{
    return (struct fake_host *)handle;
}

/* What every call that may fail asks first. */
static bool denied(struct fake_host *h, const char *name)
{
    h->calls++;
    if ( !h->fail_at || h->calls < h->fail_at ||
         (h->calls > h->fail_at && !h->fail_from_then_on) )
        return false;
    if ( !h->failed_name )
        h->failed_name = name;
    errno = h->fail_errno;
    return true;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* 0, or what a library function returns for -errno. */
static int as_library(int rc)
{
    return rc ? refuse(-rc) : 0;
}

/* A call about the domain: 0, or it failed. */
static int for_domain(struct fake_host *h, uint32_t domid, const char *name)
{
    if ( denied(h, name) )
        return -1;
    return h->exists && domid == FAKE_DOMID ? 0 : refuse(ESRCH);
}

/* ---- Handles ------------------------------------------------------------------------- */

xc_interface *xc_interface_open(xentoollog_logger *logger,
                                xentoollog_logger *dombuild_logger,
                                unsigned int open_flags)
{
    (void)dombuild_logger;
    (void)open_flags;
    if ( denied(fake_here, __func__) )
    {
        xtl_log(logger, XTL_ERROR, errno, "xc", "cannot open privcmd");
        return NULL;
    }
    fake_here->handles++;
    return handle_of(fake_here);
}

int xc_interface_close(xc_interface *xch)
{
    host_of(xch)->handles--;
    return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned int open_flags)
{
    return (xenforeignmemory_handle *)xc_interface_open(logger, NULL,
                                                        open_flags);
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    host_of(fmem)->handles--;
    return 0;
}

xencall_handle *xencall_open(struct xentoollog_logger *logger,
                             unsigned int open_flags)
{
    return (xencall_handle *)xc_interface_open(logger, NULL, open_flags);
}

int xencall_close(xencall_handle *xcall)
{
    host_of(xcall)->handles--;
    return 0;
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    if ( denied(host_of(xcall), __func__) )
        return NULL;
    host_of(xcall)->buffers++;
    return malloc(size ? size : 1);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    host_of(xcall)->buffers--;
    free(p);
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    return xencall_alloc_buffer(xcall, nr_pages * XC_SR_PAGE_SIZE);
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    (void)nr_pages;
    xencall_free_buffer(xcall, p);
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1,
             uint64_t arg2)
{
    struct fake_host *h = host_of(xcall);
    multicall_entry_t *calls = (multicall_entry_t *)(uintptr_t)arg1;

    if ( denied(h, __func__) )
        return -1;
    ck_assert_uint_eq(op, __HYPERVISOR_multicall);
    ck_assert_uint_le(arg2, XEN_MULTICALL);
    for ( uint64_t i = 0; i < arg2; i++ )
    {
        const xen_mem_paging_op_t *page =
            (const xen_mem_paging_op_t *)calls[i].args[1];
        const uint8_t *buffer;

        /* libcheck takes note of each thing that it asserts: too slow here. */
        if ( calls[i].op != __HYPERVISOR_memory_op ||
             calls[i].args[0] != XENMEM_paging_op )
            ck_abort_msg("no paging call");
        memcpy(&buffer, &page->buffer, sizeof(buffer));
        calls[i].result = (unsigned long)(long)paging_op(h, page, buffer);
    }
    return 0;
}

/* ---- The host ------------------------------------------------------------------------- */

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    if ( denied(host_of(xch), __func__) )
        return -1;
    if ( cmd == XENVER_extraversion )
        memcpy(arg, ".7", 3);
    return cmd == XENVER_version ? 4 << 16 | 17 : 0;
}

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    struct fake_host *h = host_of(xch);

    if ( denied(h, __func__) )
        return -1;
    info->free_pages = h->free_frames;
    info->capabilities = h->no_hap ? 0 : XEN_SYSCTL_PHYSCAP_hap;
    return 0;
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain,
                          unsigned int max_domains, xc_domaininfo_t *info)
{
    struct fake_host *h = host_of(xch);
    uint32_t flags = h->pv ? 0 : XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;

    ck_assert_uint_eq(max_domains, 1);
    if ( denied(h, __func__) )
        return -1;
    memset(info, 0, sizeof(*info));
    if ( first_domain == 0 )
    {
        info->flags = h->pvh_dom0 ? XEN_DOMINF_hvm_guest : 0;
        return 1;
    }
    if ( !h->exists || first_domain > FAKE_DOMID )
        return 0;
    if ( h->dying )
        flags |= XEN_DOMINF_dying;
    if ( h->pauses )
        flags |= XEN_DOMINF_paused;
    if ( h->crashed || h->suspended || h->shut_down )
        flags |=
            XEN_DOMINF_shutdown | (uint32_t)(h->crashed     ? SHUTDOWN_crash
                                             : h->suspended ? SHUTDOWN_suspend
                                             : h->resets ? SHUTDOWN_soft_reset
                                                         : SHUTDOWN_poweroff)
                                      << XEN_DOMINF_shutdownshift;
    info->domain = FAKE_DOMID;
    info->flags = flags & (h->no_hap ? ~(uint32_t)XEN_DOMINF_hap : ~0u);
    info->tot_pages = fake_count(h, FAKE_RAM) + fake_count(h, FAKE_NOMINATED);
    info->max_pages = h->max_pages;
    info->max_vcpu_id = FAKE_VCPUS - 1;
    info->arch_config.emulation_flags =
        h->pvh ? XEN_X86_EMU_LAPIC
               : XEN_X86_EMU_ALL & ~(XEN_X86_EMU_VPCI | XEN_X86_EMU_USE_PIRQ);
    return 1;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    if ( for_domain(host_of(xch), domid, __func__) )
        return -1;
    *gpfns = host_of(xch)->nr_gpfns;
    return 0;
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    if ( for_domain(host_of(xch), domid, __func__) )
        return -1;
    host_of(xch)->pauses++;
    return 0;
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    ck_assert_uint_gt(h->pauses, 0);
    h->pauses--;
    fake_run(h);
    return 0;
}

int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    if ( for_domain(host_of(xch), domid, __func__) )
        return -1;
    host_of(xch)->max_pages = max_memkb / 4;
    return 0;
}

int xc_domain_get_pod_target(xc_interface *xch, uint32_t domid,
                             uint64_t *tot_pages, uint64_t *pod_cache_pages,
                             uint64_t *pod_entries)
{
    if ( for_domain(host_of(xch), domid, __func__) )
        return -1;
    *tot_pages = *pod_cache_pages = 0;
    *pod_entries = host_of(xch)->pod_entries;
    return 0;
}

/* ---- Memory --------------------------------------------------------------------------- */

int xc_domain_claim_pages(xc_interface *xch, uint32_t domid,
                          unsigned long nr_pages)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    if ( nr_pages > h->free_frames + fake_count(h, FAKE_RAM) )
        return refuse(ENOMEM);
    h->claimed = nr_pages;
    h->claims += nr_pages != 0;
    return 0;
}

int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid,
                               unsigned long nr_extents,
                               unsigned int extent_order,
                               unsigned int mem_flags, xen_pfn_t *extent_start)
{
    struct fake_host *h = host_of(xch);
    uint64_t each = 1ull << extent_order;

    (void)mem_flags;
    if ( for_domain(h, domid, __func__) )
        return -1;
    if ( each > 1 && (h->no_superpages || h->free_frames < each) )
        return 0;
    for ( unsigned long i = 0; i < nr_extents; i++ )
        for ( uint64_t k = 0; k < each; k++ )
        {
            const struct fake_page *p = page_at(h, extent_start[i] + k);

            if ( p && p->state == FAKE_RAM )
                continue;
            if ( !give_frame(h, extent_start[i] + k) )
                return (int)i;
            /* As whoever had the frame before has left it. */
            if ( extent_start[i] + k < FAKE_PFNS )
                memset(fake_contents(h, extent_start[i] + k), 0x5a,
                       XC_SR_PAGE_SIZE);
        }
    h->superpages += each > 1;
    return (int)nr_extents;
}

int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid,
                                     unsigned long nr_extents,
                                     unsigned int extent_order,
                                     unsigned int mem_flags,
                                     xen_pfn_t *extent_start)
{
    int done = xc_domain_populate_physmap(xch, domid, nr_extents, extent_order,
                                          mem_flags, extent_start);

    if ( done < 0 )
        return -1;
    return done == (int)nr_extents ? 0 : refuse(EBUSY);
}

int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents,
                                         unsigned int extent_order,
                                         xen_pfn_t *extent_start)
{
    struct fake_host *h = host_of(xch);

    ck_assert_uint_eq(extent_order, 0);
    if ( for_domain(h, domid, __func__) )
        return -1;
    for ( unsigned long i = 0; i < nr_extents; i++ )
    {
        struct fake_page *p = page_at(h, extent_start[i]);

        if ( !p || p->state != FAKE_RAM )
            return refuse(EBUSY);
        p->state = FAKE_HOLE;
        frame_put(h, p->frame);
    }
    return 0;
}

/* One page of a mapping; what cannot be had says so. */
static int map_page(struct fake_host *h, struct fake_mapping *m, size_t i,
                    uint64_t gfn, int prot)
{
    struct fake_page *p = page_at(h, gfn);
    void *at = (uint8_t *)m->at + i * XC_SR_PAGE_SIZE;

    m->frames[i] = FAKE_FRAMES;
    ck_assert_msg(!p || p->state != FAKE_OUT,
                  "pfn %llu is mapped, but paged out: waits for ever",
                  (unsigned long long)gfn);
    if ( !p || p->state == FAKE_HOLE || (gfn && gfn == h->vanishes) )
        return -EINVAL;
    m->frames[i] = p->frame;
    h->refs[p->frame]++;
    ck_assert_ptr_eq(mmap(at, XC_SR_PAGE_SIZE, prot, MAP_SHARED | MAP_FIXED,
                          h->memfd, (off_t)p->frame * XC_SR_PAGE_SIZE),
                     at);
    return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom,
                           int prot, size_t pages, const xen_pfn_t arr[],
                           int err[])
{
    struct fake_host *h = host_of(fmem);
    struct fake_mapping *m = h->mappings;

    if ( for_domain(h, dom, __func__) )
        return NULL;
    ck_assert_uint_le(pages, XC_SR_HV_BATCH);
    while ( m->at )
        m++;
    ck_assert(m < h->mappings + FAKE_MAPPINGS);
    m->at = mmap(NULL, pages * XC_SR_PAGE_SIZE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(m->at, MAP_FAILED);
    m->nr = pages;
    for ( size_t i = 0; i < pages; i++ )
        err[i] = map_page(h, m, i, arr[i], prot);
    return m->at;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr,
                           size_t pages)
{
    struct fake_host *h = host_of(fmem);
    struct fake_mapping *m = h->mappings;

    while ( m < h->mappings + FAKE_MAPPINGS && m->at != addr )
        m++;
    ck_assert(m < h->mappings + FAKE_MAPPINGS);
    ck_assert_uint_eq(m->nr, pages);
    for ( size_t i = 0; i < pages; i++ )
        if ( m->frames[i] < FAKE_FRAMES )
            frame_put(h, m->frames[i]);
    munmap(addr, pages * XC_SR_PAGE_SIZE);
    m->at = NULL;
    return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
    unsigned int id, unsigned long frame, unsigned long nr_frames, void **paddr,
    int prot, int flags)
{
    struct fake_host *h = host_of(fmem);

    (void)prot;
    (void)flags;
    if ( for_domain(h, domid, __func__) )
        return NULL;
    ck_assert_uint_eq(type, XENMEM_resource_grant_table);
    ck_assert_uint_eq(id, XENMEM_resource_grant_table_id_shared);
    ck_assert(frame == 0 && nr_frames == 1);
    h->resources++;
    *paddr = h->grants;
    return (xenforeignmemory_resource_handle *)h;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    ck_assert_ptr_eq(host_of(fmem), host_of(fres));
    host_of(fmem)->resources--;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_xen.inc.c: the host and its domain (fake_xen.h).  What Xen's libraries
 * say of them is fake_xen_calls.inc.c.  Included by test_hv_xen*.c.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_xen.h"

__thread struct fake_host *fake_here;

/* ---- Frames ---------------------------------------------------------------------- */

static uint8_t *frame_at(struct fake_host *h, unsigned int frame)
{
    return h->memory + (size_t)frame * XC_SR_PAGE_SIZE;
}

uint8_t *fake_contents(struct fake_host *h, uint64_t pfn)
{
    ck_assert_msg(pfn < FAKE_PFNS && (h->p2m[pfn].state == FAKE_RAM ||
                                      h->p2m[pfn].state == FAKE_NOMINATED),
                  "pfn %llu has no frame", (unsigned long long)pfn);
    return frame_at(h, h->p2m[pfn].frame);
}

/* False: there is none left. */
static bool frame_get(struct fake_host *h, unsigned int *frame_r)
{
    if ( !h->free_frames )
        return false;
    for ( unsigned int i = 0; i < FAKE_FRAMES; i++ )
        if ( !h->refs[i] )
        {
            h->refs[i] = 1;
            h->free_frames--;
            *frame_r = i;
            return true;
        }
    return false;
}

static void frame_put(struct fake_host *h, unsigned int frame)
{
    ck_assert_uint_gt(h->refs[frame], 0);
    if ( --h->refs[frame] )
        return;
    memset(frame_at(h, frame), 0xcc, XC_SR_PAGE_SIZE); /* somebody else's */
    h->free_frames++;
}

static struct fake_page *page_at(struct fake_host *h, uint64_t pfn)
{
    if ( pfn >= FAKE_HIGH && pfn < FAKE_HIGH_END )
        pfn = FAKE_PFNS - 512 + pfn % 512;
    return pfn < FAKE_PFNS ? &h->p2m[pfn] : NULL;
}

static bool give_frame(struct fake_host *h, uint64_t pfn)
{
    struct fake_page *p = page_at(h, pfn);

    if ( !p || !frame_get(h, &p->frame) )
        return false;
    p->state = FAKE_RAM;
    p->requested = false;
    return true;
}

void fake_write(struct fake_host *h, uint64_t pfn, uint32_t generation)
{
    uint8_t *c = fake_contents(h, pfn);

    for ( unsigned int i = 0; i < XC_SR_PAGE_SIZE; i += 16 )
    {
        xc_sr__put_le64(c + i, pfn * 2654435761u + i);
        xc_sr__put_le64(c + i + 8, generation);
    }
    h->p2m[pfn].dirty = true;
}

unsigned int fake_count(const struct fake_host *h, enum fake_state state)
{
    unsigned int nr = 0;

    for ( unsigned int i = 0; i < FAKE_PFNS; i++ )
        nr += h->p2m[i].state == state;
    return nr;
}

unsigned int fake_mapped(const struct fake_host *h)
{
    unsigned int nr = 0;

    for ( unsigned int i = 0; i < FAKE_MAPPINGS; i++ )
        nr += h->mappings[i].at != NULL;
    return nr;
}

/* ---- The event channel and the ring -------------------------------------------------- */

static void event_fire(struct fake_host *h)
{
    const uint64_t one = 1;

    if ( !h->bound )
        return;
    if ( h->event_masked )
        h->event_pending = true;
    else
    {
        h->event_masked = true;
        ck_assert_int_eq(write(h->event_fd, &one, sizeof(one)), sizeof(one));
    }
}

/* False: no slot is free. */
static bool request(struct fake_host *h, uint64_t pfn, uint32_t vcpu,
                    uint32_t flags, uint32_t paging_flags)
{
    vm_event_request_t req = {
        .version = VM_EVENT_INTERFACE_VERSION,
        .flags = flags,
        .reason = VM_EVENT_REASON_MEM_PAGING,
        .vcpu_id = vcpu,
        .u.mem_paging = { .gfn = pfn, .flags = paging_flags },
    };

    if ( h->outstanding == FAKE_SLOTS )
        return false;
    h->outstanding++;
    h->requests++;
    memcpy(RING_GET_REQUEST(&h->ring, h->ring.req_prod_pvt), &req, sizeof(req));
    h->ring.req_prod_pvt++;
    RING_PUSH_REQUESTS(&h->ring);
    event_fire(h);
    return true;
}

void fake_touch_foreign(struct fake_host *h, uint64_t pfn, bool drop)
{
    ck_assert(request(h, pfn, 0, drop ? 0 : VM_EVENT_FLAG_FOREIGN,
                      drop ? MEM_PAGING_DROP_PAGE : 0));
}

/* True: it is there. */
static bool touch(struct fake_host *h, unsigned int n)
{
    struct fake_vcpu *v = &h->vcpus[n];
    struct fake_page *p = page_at(h, v->at);

    if ( !p || p->state == FAKE_RAM || p->state == FAKE_HOLE )
        return true;
    if ( !h->paging )
    {
        h->crashed = true;
        return false;
    }
    /* Another one asked: this one spins. */
    if ( p->requested )
        return false;
    v->queued = !request(h, v->at, n, VM_EVENT_FLAG_VCPU_PAUSED, 0);
    v->paused = !v->queued;
    p->requested = v->paused;
    return false;
}

void fake_run(struct fake_host *h)
{
    for ( unsigned int n = 0; n < FAKE_VCPUS && !h->pauses; n++ )
    {
        struct fake_vcpu *v = &h->vcpus[n];

        while ( !v->paused && !h->crashed && v->at < v->end && touch(h, n) )
            v->at++;
    }
}

/* We were told that there are responses. */
static void take_responses(struct fake_host *h)
{
    while ( h->paging && RING_HAS_UNCONSUMED_RESPONSES(&h->ring) )
    {
        vm_event_response_t rsp;

        memcpy(&rsp, RING_GET_RESPONSE(&h->ring, h->ring.rsp_cons),
               sizeof(rsp));
        h->ring.rsp_cons++;
        if ( rsp.version != VM_EVENT_INTERFACE_VERSION )
        {
            h->bad_responses++;
            continue;
        }
        h->responses++;
        if ( h->outstanding )
            h->outstanding--;
        if ( (rsp.flags & VM_EVENT_FLAG_VCPU_PAUSED) &&
             rsp.vcpu_id < FAKE_VCPUS )
            h->vcpus[rsp.vcpu_id].paused = false;
    }
    fake_run(h);
}

static int ring_on(struct fake_host *h)
{
    uint64_t gfn = h->params[HVM_PARAM_PAGING_RING_PFN];
    struct fake_page *p = page_at(h, gfn);
    vm_event_sring_t *shared;

    if ( h->no_paging )
        return -ENOSYS;
    if ( h->paging )
        return -EBUSY;
    if ( h->enable_errno )
        return -h->enable_errno;
    if ( !gfn || !p || p->state != FAKE_RAM )
        return -EINVAL;
    h->ring_frame = p->frame;
    h->refs[p->frame]++;
    shared = (vm_event_sring_t *)frame_at(h, p->frame);
    FRONT_RING_INIT(&h->ring, shared, XC_SR_PAGE_SIZE);
    h->outstanding = 0;
    h->paging = true;
    return 0;
}

static int ring_off(struct fake_host *h)
{
    if ( !h->paging )
        return -ENODEV;
    if ( h->disable_busy )
    {
        h->disable_busy--;
        return -EBUSY;
    }
    /* Whoever waits for a slot waits for it in vain. */
    for ( unsigned int n = 0; n < FAKE_VCPUS; n++ )
        h->vcpus[n].queued = false;
    for ( unsigned int i = 0; i < FAKE_PFNS; i++ )
        h->p2m[i].requested = false;
    frame_put(h, h->ring_frame);
    h->paging = false;
    return 0;
}

/* ---- Paging calls ------------------------------------------------------------------- */

static int page_nominate(struct fake_host *h, struct fake_page *p)
{
    if ( p->state != FAKE_RAM )
        return -EINVAL;
    if ( h->refs[p->frame] != 1 )
        return -EBUSY;
    p->state = FAKE_NOMINATED;
    return 0;
}

static int page_evict(struct fake_host *h, struct fake_page *p)
{
    if ( p->state != FAKE_NOMINATED )
        return -EINVAL;
    if ( h->refs[p->frame] != 1 )
        return -EBUSY;
    frame_put(h, p->frame);
    p->state = FAKE_OUT;
    return 0;
}

static int page_prep(struct fake_host *h, struct fake_page *p,
                     const uint8_t *buffer)
{
    if ( p->state != FAKE_OUT && p->state != FAKE_NOMINATED )
        return -ENOENT;
    if ( p->state == FAKE_OUT )
    {
        if ( !buffer )
            return -EINVAL;
        if ( fake_count(h, FAKE_RAM) >= h->max_pages ||
             !frame_get(h, &p->frame) )
            return -ENOMEM;
        memcpy(frame_at(h, p->frame), buffer, XC_SR_PAGE_SIZE);
    }
    p->state = FAKE_RAM;
    p->requested = false;
    return 0;
}

static int paging_op(struct fake_host *h, const xen_mem_paging_op_t *op,
                     const uint8_t *buffer)
{
    struct fake_page *p = page_at(h, op->gfn);

    h->sub_calls++;
    if ( h->fail_sub && h->sub_calls == h->fail_sub )
        return -EIO;
    if ( op->domain != FAKE_DOMID || !h->exists )
        return -ESRCH;
    if ( h->dying )
        return -EINVAL;
    if ( !p )
        return op->op == XENMEM_paging_op_prep ? -ENOENT : -EINVAL;
    switch ( op->op )
    {
    case XENMEM_paging_op_nominate:
        return page_nominate(h, p);
    case XENMEM_paging_op_evict:
        return page_evict(h, p);
    default:
        return page_prep(h, p, buffer);
    }
}

/* ---- Hosts and guests -------------------------------------------------------------- */

struct fake_host *fake_host_new(void)
{
    struct fake_host *h = calloc(1, sizeof(*h));

    ck_assert_ptr_nonnull(h);
    h->memfd = memfd_create("frames", MFD_CLOEXEC);
    h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->store_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert(h->memfd >= 0 && h->event_fd >= 0 && h->store_fd >= 0);
    ck_assert_int_eq(ftruncate(h->memfd, (off_t)FAKE_FRAMES * XC_SR_PAGE_SIZE),
                     0);
    h->memory = mmap(NULL, (size_t)FAKE_FRAMES * XC_SR_PAGE_SIZE,
                     PROT_READ | PROT_WRITE, MAP_SHARED, h->memfd, 0);
    ck_assert_ptr_ne(h->memory, MAP_FAILED);
    h->free_frames = FAKE_FRAMES;
    h->fail_errno = EIO;
    h->seed = 1;
    return h;
}

void fake_host_free(struct fake_host *h)
{
    munmap(h->memory, (size_t)FAKE_FRAMES * XC_SR_PAGE_SIZE);
    close(h->memfd);
    close(h->event_fd);
    close(h->store_fd);
    free(h);
}

/* A vCPU with paging as 32-bit PAE guests have it: its CR3 names a page. */
static void make_context(struct fake_host *h, uint64_t cr3_pfn)
{
    struct hvm_save_descriptor desc = {
        .typecode = HVM_SAVE_CODE(CPU),
        .length = sizeof(struct hvm_hw_cpu),
    };
    struct hvm_hw_cpu cpu = {
        .cr0 = 0x80000001u,
        .cr4 = 0x20,
        .cr3 = cr3_pfn << XC_SR_PAGE_SHIFT,
    };

    memcpy(h->context, &desc, sizeof(desc));
    memcpy(h->context + sizeof(desc), &cpu, sizeof(cpu));
    h->context_len = sizeof(desc) + sizeof(cpu);
}

void fake_guest_full(struct fake_host *h, uint64_t nr)
{
    h->exists = true;
    h->max_pages = nr;
    h->nr_gpfns = nr;
    for ( uint64_t pfn = 0; pfn < nr; pfn++ )
    {
        ck_assert(give_frame(h, pfn));
        fake_write(h, pfn, 1);
    }
    h->params[HVM_PARAM_STORE_PFN] = nr - 1;
    h->params[HVM_PARAM_CONSOLE_PFN] = nr - 2;
    h->params[HVM_PARAM_PAGING_RING_PFN] = nr - 3;
    h->params[HVM_PARAM_IDENT_PT] = (nr - 4) << XC_SR_PAGE_SHIFT;
    make_context(h, 7);
    h->nr_leaves = 2;
    h->nr_msrs = 1;
}

void fake_guest_empty(struct fake_host *h, uint64_t max_pages)
{
    h->exists = true;
    h->max_pages = max_pages;
    h->pauses = 1;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_xen_more.inc.c: the rest of fake_xen_calls.inc.c: state of the domain,
 * its dirty log, paging, event channels, xenstore.  Included by test_hv_xen*.c.
 */
#include "fake_xen_calls.inc.c"

/* ---- State ----------------------------------------------------------------------------- */

int xc_hvm_param_get(xc_interface *handle, uint32_t dom, uint32_t param,
                     uint64_t *value)
{
    if ( for_domain(host_of(handle), dom, __func__) )
        return -1;
    *value = host_of(handle)->params[param];
    return 0;
}

int xc_hvm_param_set(xc_interface *handle, uint32_t dom, uint32_t param,
                     uint64_t value)
{
    if ( for_domain(host_of(handle), dom, __func__) )
        return -1;
    ck_assert_uint_lt(param, HVM_NR_PARAMS);
    host_of(handle)->params[param] = value;
    return 0;
}

int xc_domain_hvm_getcontext(xc_interface *xch, uint32_t domid,
                             uint8_t *ctxt_buf, uint32_t size)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    if ( ctxt_buf )
    {
        ck_assert_uint_ge(size, h->context_len);
        memcpy(ctxt_buf, h->context, h->context_len);
    }
    return (int)h->context_len;
}

int xc_domain_hvm_setcontext(xc_interface *xch, uint32_t domid,
                             uint8_t *hvm_ctxt, uint32_t size)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    if ( size > sizeof(h->context) )
        return refuse(EINVAL);
    memcpy(h->context, hvm_ctxt, size);
    h->context_len = size;
    return 0;
}

int xc_domain_get_tsc_info(xc_interface *xch, uint32_t domid,
                           uint32_t *tsc_mode, uint64_t *elapsed_nsec,
                           uint32_t *gtsc_khz, uint32_t *incarnation)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    *tsc_mode = h->tsc[0];
    *gtsc_khz = h->tsc[1];
    *incarnation = h->tsc[2];
    *elapsed_nsec = h->tsc_ns;
    return 0;
}

int xc_domain_set_tsc_info(xc_interface *xch, uint32_t domid, uint32_t tsc_mode,
                           uint64_t elapsed_nsec, uint32_t gtsc_khz,
                           uint32_t incarnation)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domid, __func__) )
        return -1;
    h->tsc[0] = tsc_mode;
    h->tsc[1] = gtsc_khz;
    h->tsc[2] = incarnation;
    h->tsc[3] = 1;
    h->tsc_ns = elapsed_nsec;
    return 0;
}

static int get_policy_of(struct fake_host *h, struct xen_domctl_cpu_policy *p)
{
    xen_cpuid_leaf_t *leaves;
    xen_msr_entry_t *msrs;

    memcpy(&leaves, &p->leaves, sizeof(leaves));
    memcpy(&msrs, &p->msrs, sizeof(msrs));
    ck_assert_uint_ge(p->nr_leaves, h->nr_leaves);
    ck_assert_uint_ge(p->nr_msrs, h->nr_msrs);
    for ( uint32_t i = 0; i < h->nr_leaves; i++ )
        leaves[i] = (xen_cpuid_leaf_t){ .leaf = i,
                                        .subleaf = UINT32_MAX,
                                        .a = 100 + i,
                                        .c = h->nested && i == 1 ? 0x20 : 0 };
    for ( uint32_t i = 0; i < h->nr_msrs; i++ )
        msrs[i] = (xen_msr_entry_t){ .idx = 0xce + i, .val = 3 };
    p->nr_leaves = h->nr_leaves;
    p->nr_msrs = h->nr_msrs;
    return 0;
}

static int set_policy_of(struct fake_host *h, struct xen_domctl_cpu_policy *p)
{
    size_t leaves_len = p->nr_leaves * sizeof(xen_cpuid_leaf_t);
    size_t msrs_len = p->nr_msrs * sizeof(xen_msr_entry_t);
    const void *leaves, *msrs;

    if ( h->bad_policy )
    {
        p->err_leaf = 7;
        p->err_subleaf = 0;
        return refuse(EINVAL);
    }
    memcpy(&leaves, &p->leaves, sizeof(leaves));
    memcpy(&msrs, &p->msrs, sizeof(msrs));
    ck_assert_uint_le(leaves_len + msrs_len, sizeof(h->policy));
    if ( leaves_len )
        memcpy(h->policy, leaves, leaves_len);
    if ( msrs_len )
        memcpy(h->policy + leaves_len, msrs, msrs_len);
    h->nr_leaves = p->nr_leaves;
    h->nr_msrs = p->nr_msrs;
    return 0;
}

/* ---- The dirty log --------------------------------------------------------------------- */

int xc_shadow_control(xc_interface *xch, uint32_t domid, unsigned int sop,
                      unsigned int *mb, unsigned int mode)
{
    struct fake_host *h = host_of(xch);
    bool on = sop == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;

    (void)mb;
    (void)mode;
    if ( for_domain(h, domid, __func__) )
        return -1;
    if ( on && h->dirty_log )
        return refuse(EINVAL);
    h->dirty_log = on;
    for ( unsigned int i = 0; i < FAKE_PFNS; i++ )
        h->p2m[i].dirty = false;
    return 0;
}

/* The guest has run for a while. */
static void write_some(struct fake_host *h)
{
    for ( unsigned int i = 0; i < h->writes_per_look && !h->suspended; i++ )
    {
        uint64_t pfn;

        h->seed = h->seed * 6364136223846793005ULL + 1;
        pfn = (h->seed >> 33) % h->nr_gpfns;
        if ( h->p2m[pfn].state == FAKE_RAM )
            fake_write(h, pfn, (uint32_t)h->seed);
    }
}

/* Beyond the guest's last page Xen says what it likes. */
static int look(struct fake_host *h, struct xen_domctl_shadow_op *op)
{
    uint8_t *bitmap;

    memcpy(&bitmap, &op->dirty_bitmap, sizeof(bitmap));
    ck_assert(h->dirty_log);
    ck_assert_uint_eq(op->pages, h->nr_gpfns);
    write_some(h);
    for ( uint64_t pfn = 0; pfn < (h->nr_gpfns + 63) / 64 * 64; pfn++ )
        if ( pfn >= h->nr_gpfns || h->p2m[pfn].dirty )
            bitmap[pfn / 8] |= (uint8_t)(1u << pfn % 8);
    if ( op->op == XEN_DOMCTL_SHADOW_OP_CLEAN )
        for ( uint64_t pfn = 0; pfn < h->nr_gpfns; pfn++ )
            h->p2m[pfn].dirty = false;
    if ( op->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL )
        h->final_look = true;
    return 0;
}

static int say_types(struct fake_host *h,
                     struct xen_domctl_getpageframeinfo3 *op)
{
    xen_pfn_t *array;

    memcpy(&array, &op->array, sizeof(array));
    ck_assert_uint_le(op->num, 1024);
    for ( uint64_t i = 0; i < op->num; i++ )
    {
        const struct fake_page *p = page_at(h, array[i]);

        array[i] = p && p->state != FAKE_HOLE ? (xen_pfn_t)p->type << 28
                                              : XEN_DOMCTL_PFINFO_XTAB;
    }
    return 0;
}

int xc_domctl(xc_interface *xch, struct xen_domctl *domctl)
{
    struct fake_host *h = host_of(xch);

    if ( for_domain(h, domctl->domain, __func__) )
        return -1;
    switch ( domctl->cmd )
    {
    case XEN_DOMCTL_getpageframeinfo3:
        return say_types(h, &domctl->u.getpageframeinfo3);
    case XEN_DOMCTL_shadow_op:
        return look(h, &domctl->u.shadow_op);
    case XEN_DOMCTL_get_cpu_policy:
        return get_policy_of(h, &domctl->u.cpu_policy);
    case XEN_DOMCTL_set_cpu_policy:
        return set_policy_of(h, &domctl->u.cpu_policy);
    default:
        return refuse(ENOSYS);
    }
}

/* ---- Paging ------------------------------------------------------------------------------ */

int xc_mem_paging_enable(xc_interface *xch, uint32_t domain_id, uint32_t *port)
{
    if ( for_domain(host_of(xch), domain_id, __func__) )
        return -1;
    *port = FAKE_PORT;
    return as_library(ring_on(host_of(xch)));
}

int xc_mem_paging_disable(xc_interface *xch, uint32_t domain_id)
{
    if ( for_domain(host_of(xch), domain_id, __func__) )
        return -1;
    return as_library(ring_off(host_of(xch)));
}

int xc_mem_paging_nominate(xc_interface *xch, uint32_t domain_id, uint64_t gfn)
{
    (void)gfn;
    if ( denied(host_of(xch), __func__) )
        return -1;
    ck_assert_uint_ne(domain_id, FAKE_DOMID); /* the backend has multicalls */
    return refuse(host_of(xch)->no_paging ? ENOSYS : ESRCH);
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger,
                                 unsigned int open_flags)
{
    (void)logger;
    (void)open_flags;
    if ( denied(fake_here, __func__) )
        return NULL;
    fake_here->events++;
    return (xenevtchn_handle *)fake_here;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    host_of(xce)->events--;
    host_of(xce)->bound = false;
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return host_of(xce)->event_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce,
                                                     uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    struct fake_host *h = host_of(xce);
    uint64_t count;

    if ( for_domain(h, domid, __func__) )
        return -1;
    ck_assert_uint_eq(remote_port, FAKE_PORT);
    h->bound = true;
    h->event_masked = h->event_pending = false;
    while ( read(h->event_fd, &count, sizeof(count)) > 0 )
        continue;
    event_fire(h); /* binding makes it pending */
    return FAKE_PORT + 1;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    ck_assert_uint_eq(port, FAKE_PORT + 1);
    host_of(xce)->bound = false;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    uint64_t count;

    if ( read(host_of(xce)->event_fd, &count, sizeof(count)) < 0 )
        return -1;
    return FAKE_PORT + 1;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    struct fake_host *h = host_of(xce);

    ck_assert_uint_eq(port, FAKE_PORT + 1);
    h->event_masked = false;
    if ( h->event_pending )
    {
        h->event_pending = false;
        event_fire(h);
    }
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    if ( denied(host_of(xce), __func__) )
        return -1;
    ck_assert_uint_eq(port, FAKE_PORT + 1);
    take_responses(host_of(xce));
    return 0;
}

/* ---- xenstore ------------------------------------------------------------------------------ */

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    if ( denied(fake_here, __func__) || fake_here->no_xenstore )
        return NULL;
    fake_here->handles++;
    return (struct xs_handle *)fake_here;
}

void xs_close(struct xs_handle *xsh)
{
    host_of(xsh)->handles--;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    ck_assert_str_eq(path, "@releaseDomain");
    ck_assert_ptr_nonnull(token);
    return !denied(host_of(h), __func__);
}

int xs_fileno(struct xs_handle *h)
{
    return host_of(h)->store_fd;
}

char **xs_check_watch(struct xs_handle *h)
{
    bool fired = host_of(h)->watch_fired;

    host_of(h)->watch_fired = false;
    return fired ? calloc(2, sizeof(char *)) : NULL;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    const struct fake_host *fake = host_of(h);
    const char *value = NULL;

    (void)t;
    if ( denied(host_of(h), __func__) )
        return NULL;
    if ( !strcmp(path, "/libxl/5/device/pci/0") )
        value = fake->pci_device ? "" : NULL;
    else if ( !strcmp(path, "/local/domain/5/image/device-model-domid") )
        value = fake->model_domid;
    else
        ck_abort_msg("nobody reads %s", path);
    if ( !value )
        return NULL;
    *len = (unsigned int)strlen(value);
    return strdup(value);
}

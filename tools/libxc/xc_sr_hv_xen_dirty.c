/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_xen_dirty.c: the dirty log of the source's guest: Xen's, and that
 * of its device model, which libxl switches.
 *
 * Xen copies out a bitmap of all pfns and, when it cleans, protects every
 * page again: what a look costs grows with the guest.  The last look also
 * wants what Xen itself has mapped for writing (vcpu_info and the like).
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv_xen.h"

static int shadow_op(struct xen *x, unsigned int op)
{
    return xc_shadow_control(x->xch, x->domid, op, NULL, 0) < 0 ? -errno : 0;
}

static int alloc_bitmap(struct xen *x)
{
    size_t octets = (x->nr_pfns + 63) / 64 * 8;

    if ( x->bitmap )
        return 0;
    x->bitmap_pages = (octets + XC_SR_PAGE_SIZE - 1) / XC_SR_PAGE_SIZE;
    x->bitmap = xencall_alloc_buffer_pages(x->xcall, x->bitmap_pages);
    return x->bitmap ? 0 : -ENOMEM;
}

int xc_sr__xen_dirty_on(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc = alloc_bitmap(x);

    if ( rc )
        return rc;
    rc = shadow_op(x, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
    if ( rc )
    {
        /* Somebody left it on: whoever that was, it is ours now. */
        (void)shadow_op(x, XEN_DOMCTL_SHADOW_OP_OFF);
        rc = shadow_op(x, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
    }
    if ( rc )
        return rc;
    x->dirty_log = true;
    if ( x->hooks.logdirty )
        rc = x->hooks.logdirty(x->hooks.ctx, true);
    if ( rc )
        xc_sr__error(hv->log,
                     "domain %u: its device model does not log dirty pages: "
                     "%s",
                     x->domid, strerror(-rc));
    return rc;
}

static int fetch_bitmap(struct xen *x, enum xc_sr_hv_fetch how)
{
    struct xen_domctl op = {
        .cmd = XEN_DOMCTL_shadow_op,
        .domain = (domid_t)x->domid,
        .u.shadow_op.op = how == XC_SR_HV_FETCH_PEEK
                              ? XEN_DOMCTL_SHADOW_OP_PEEK
                              : XEN_DOMCTL_SHADOW_OP_CLEAN,
        .u.shadow_op.mode =
            how == XC_SR_HV_FETCH_FINAL ? XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0,
        .u.shadow_op.pages = x->nr_pfns,
    };

    memset(x->bitmap, 0, x->bitmap_pages * XC_SR_PAGE_SIZE);
    set_xen_guest_handle_raw(op.u.shadow_op.dirty_bitmap, x->bitmap);
    return xc_domctl(x->xch, &op) ? -errno : 0;
}

int xc_sr__xen_dirty_fetch(struct xc_sr_hv *hv, enum xc_sr_hv_fetch how,
                           struct xc_sr_pageset *set, uint64_t *count_r)
{
    struct xen *x = xc_sr__xen_of(hv);
    uint64_t nr_words = (x->nr_pfns + 63) / 64, count = 0;
    int rc;

    if ( !x->dirty_log || set->nr_pfns != x->nr_pfns )
        return -EINVAL;
    rc = fetch_bitmap(x, how);
    if ( rc )
        return rc;
    /* Nearly all words are 0: guests have special pages just below 4 GiB. */
    for ( uint64_t i = 0; i < nr_words; i++ )
    {
        uint64_t word = xc_sr__le64(x->bitmap + 8 * i);

        if ( !word )
            continue;
        if ( i == nr_words - 1 && x->nr_pfns % 64 )
            word &= (1ull << (x->nr_pfns % 64)) - 1;
        count += (uint64_t)__builtin_popcountll(word);
        set->count += (uint64_t)__builtin_popcountll(word & ~set->words[i]);
        set->words[i] |= word;
    }
    /* A gfn may have got another frame: what is mapped may be the old one. */
    xc_sr__xen_map_forget(x);
    *count_r = count;
    return 0;
}

int xc_sr__xen_dirty_off(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);
    int rc, hook_rc = 0;

    if ( !x->dirty_log )
        return 0;
    x->dirty_log = false;
    rc = shadow_op(x, XEN_DOMCTL_SHADOW_OP_OFF);
    if ( x->hooks.logdirty )
        hook_rc = x->hooks.logdirty(x->hooks.ctx, false);
    return rc ? rc : hook_rc;
}

/* The device model's is switched by whoever owns the hooks: they may be gone
 * by now. */
void xc_sr__xen_dirty_dispose(struct xc_sr_hv *hv)
{
    struct xen *x = xc_sr__xen_of(hv);

    if ( x->dirty_log && shadow_op(x, XEN_DOMCTL_SHADOW_OP_OFF) )
        xc_sr__debug(hv->log, "domain %u: dirty log off: %s", x->domid,
                     strerror(errno));
    if ( x->bitmap )
        xencall_free_buffer_pages(x->xcall, x->bitmap, x->bitmap_pages);
}

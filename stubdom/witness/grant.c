/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * grant.c: one frame of a version 1 grant table, and GNTTABOP_copy.  hook.c
 * sets it up, cold.c uses it.
 */
#include "grant.h"
#include "xen.h"

#include <xen/grant_table.h>
#include <xen/memory.h>

#define FIRST_REF 8 /* those before are the toolstack's */

static struct grant_entry_v1 table[PAGE_SIZE / sizeof(struct grant_entry_v1)]
    __attribute__((aligned(4096)));

void grant_init(void)
{
    long rc = xen_map_here(XENMAPSPACE_grant_table, 0, table);

    if ( rc )
        xen_die("no grant table", rc);
}

int grant_copy(uint32_t from_pfn, uint32_t to_pfn)
{
    volatile struct grant_entry_v1 *entry = &table[FIRST_REF];
    struct gnttab_copy op = {
        .source = { .u.ref = FIRST_REF, .domid = DOMID_SELF },
        .dest = { .u.gmfn = to_pfn, .domid = DOMID_SELF },
        .len = PAGE_SIZE,
        .flags = GNTCOPY_source_gref,
    };
    long rc;

    entry->frame = from_pfn;
    entry->domid = xen_domid();
    __sync_synchronize();
    entry->flags = GTF_permit_access | GTF_readonly;
    rc = hypercall3(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uint64_t)&op,
                    (void *)1);
    entry->flags = 0;
    return rc ? (int)rc : op.status;
}

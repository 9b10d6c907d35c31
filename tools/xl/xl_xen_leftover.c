/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_leftover.c: what processes that were killed have left on this host,
 * without a record or with one that nobody holds: a domain that a receiver was
 * building and that never ran, or a guest that a source had suspended.  Says
 * what it is and what to do, and takes away the first.
 *
 * Called by the commands that speak to a migration (xl_xen_requests.c), and by
 * receivers that need the room.  Whoever removes something holds the record of
 * that side, so nobody is at work on it.
 */
#include "xl_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xl_control.h"
#include "xl_transport.h"
#include "xl_xen_record.h"

/* Somebody may be creating a domain. */
#define LOCK_TIMEOUT_US UINT64_C(60000000)

/* One that has run has its proper name, whatever has stopped it since.  None
 * at all has one whose receiver was killed before it could give it that. */
static bool is_half_built(libxl_ctx *ctx, const libxl_dominfo *info)
{
    static const char suffix[] = XL_XEN_SUFFIX_INCOMING;
    char *name;
    size_t len;
    bool half_built;

    if ( !info->paused || info->dying || info->domid == 0 )
        return false;
    name = libxl_domid_to_name(ctx, info->domid);
    len = name ? strlen(name) : 0;
    half_built = !len || (len > sizeof(suffix) - 1 &&
                          !strcmp(name + len - (sizeof(suffix) - 1), suffix));
    free(name);
    return half_built;
}

static bool has_uuid(const libxl_dominfo *info, const char *uuid)
{
    char text[XL_XEN_UUID_LEN];

    xl_xen_uuid_text(&info->uuid, text);
    return !strcmp(text, uuid);
}

int xl_xen_remove_half_built(libxl_ctx *ctx, const char *uuid,
                             unsigned int *removed_r)
{
    int i, nr = 0, rc = 0;
    unsigned int removed = 0;
    libxl_dominfo *list = libxl_list_domain(ctx, &nr);

    if ( !list )
        return -EIO;
    for ( i = 0; i < nr; i++ )
    {
        if ( !has_uuid(&list[i], uuid) || !is_half_built(ctx, &list[i]) )
            continue;
        if ( libxl_domain_destroy(ctx, list[i].domid, NULL) )
            rc = -EIO;
        else
            removed++;
    }
    libxl_dominfo_list_free(list, nr);
    if ( !rc )
        *removed_r = removed;
    return rc;
}

/* ---- What an operator is told, and may do ------------------------------------ */

enum xl_xen_leftover xl_xen_leftover(libxl_ctx *ctx,
                                     const struct xl_xen_domain *domain)
{
    const libxl_dominfo *info = &domain->info;

    if ( info->shutdown &&
         info->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND )
        return XL_XEN_LEFT_SUSPENDED;
    return is_half_built(ctx, info) ? XL_XEN_LEFT_HALF_BUILT : XL_XEN_LEFT_NONE;
}

int xl_xen_leftover_tell(const struct xl_xen_domain *domain,
                         enum xl_xen_leftover what, const char *wanted)
{
    if ( what == XL_XEN_LEFT_SUSPENDED )
        xl_error("`%s` is suspended here, and no migration of ours holds it: "
                 "if one was killed (or a save was), `xl migrate-resume %s` "
                 "runs it again",
                 wanted, wanted);
    else
        xl_error("`%s`, domain %u, was left half-built by a receiver that was "
                 "killed: it never ran here and never will; `xl migrate-abort "
                 "%s` removes it, and so does its next migration to here",
                 wanted, domain->domid, wanted);
    return XL_EXIT_FAILED;
}

int xl_xen_leftover_remove(libxl_ctx *ctx, const struct xl_xen_domain *domain,
                           const char *wanted)
{
    struct xl_xen_record record;
    unsigned int removed = 0;
    int lock_fd = -1, rc;
    bool ran = false;

    rc = xl_xen_record_open(&record, domain->uuid, domain->name, false);
    if ( !rc )
        rc = xl_xen_lock(xl_now_us() + LOCK_TIMEOUT_US, &lock_fd);
    if ( !rc )
    {
        rc = xl_xen_record_fence(&record, domain->domid);
        ran = rc == -EBUSY;
        rc = rc == -ENOENT ? 0 : rc;
    }
    if ( !rc )
        rc = xl_xen_remove_half_built(ctx, domain->uuid, &removed);
    if ( rc )
        xl_error("`%s`, domain %u, is not removed: %s", wanted, domain->domid,
                 ran ? "it was handed over and may have run here; `xl "
                       "migrate-recover` at its source settles it"
                 : rc == -EBUSY ? "a migration holds it"
                 : rc == -EIO   ? xl_xen_complaint()
                                : strerror(-rc));
    else
        xl_note("`%s`, domain %u, is removed", wanted, domain->domid);
    if ( !rc )
        xl_control_forget(xl_xen_place(false), domain->uuid);
    if ( lock_fd >= 0 )
        close(lock_fd);
    xl_xen_record_close(&record);
    return rc ? XL_EXIT_FAILED : XL_EXIT_DONE;
}

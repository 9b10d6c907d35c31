/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_vifs.c: no network back end is to come upon a page that is missing.
 *
 * Linux's copies and maps what a guest sends in a softirq.  If a page of that
 * is missing it sleeps there for up to 32 s, on top of whatever process it has
 * interrupted, and that may be the one that would bring the page in.
 *
 * A guest that does not trust its back end (node "trusted" of the front end,
 * which it reads whenever it connects, so after each move) puts all it sends
 * into fresh pages, and so comes upon what is missing itself.  That is what a
 * guest is told here before it runs with pages missing; when it has them all
 * the node says again what it did.  Other back ends have threads that may
 * sleep.
 *
 * What was changed is noted beside libxl's own entry of the card, out of the
 * guest's reach: whoever has brought the last page in need not be the process
 * that changed it.  xenstore is asked directly, as the caller's libxl context
 * may be gone by then.
 */
#include "domain_vifs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#define PATH_LEN  80u
#define MAX_TRIES 50u /* of a transaction: somebody else writes all the time */

/* A card's node, and the note that it was changed. */
struct vif
{
    char node[PATH_LEN];
    char note[PATH_LEN];
};

static void make_paths(uint32_t domid, int devid, struct vif *vif)
{
    snprintf(vif->node, sizeof(vif->node),
             "/local/domain/%u/device/vif/%d/trusted", domid, devid);
    snprintf(vif->note, sizeof(vif->note),
             "/libxl/%u/device/vif/%d/xen-postcopy-trusted", domid, devid);
}

static int put(struct xs_handle *xs, xs_transaction_t t, const char *path,
               const char *value)
{
    if ( xs_write(xs, t, path, value, (unsigned int)strlen(value)) )
        return 0;
    return errno ? -errno : -EIO;
}

/* If there is such a node and it says that the back end is trusted. */
static int distrust_one(struct xs_handle *xs, xs_transaction_t t,
                        const struct vif *vif, bool *changed_r)
{
    char *now = xs_read(xs, t, vif->node, NULL);
    bool trusts = now && strcmp(now, "0");
    int rc = trusts ? put(xs, t, vif->node, "0") : 0;

    free(now);
    if ( trusts && !rc )
        rc = put(xs, t, vif->note, "1");
    *changed_r = trusts;
    return rc;
}

/* If it was changed; a card that has gone since has no node any more. */
static int trust_one(struct xs_handle *xs, xs_transaction_t t,
                     const struct vif *vif, bool *changed_r)
{
    char *note = xs_read(xs, t, vif->note, NULL);
    char *now = note ? xs_read(xs, t, vif->node, NULL) : NULL;
    int rc = now ? put(xs, t, vif->node, "1") : 0;

    if ( note && !rc && !xs_rm(xs, t, vif->note) )
        rc = errno ? -errno : -EIO;
    *changed_r = note != NULL;
    free(now);
    free(note);
    return rc;
}

/* A card at a time, and nobody sees half of it. */
static int change(struct xs_handle *xs, uint32_t domid, int devid,
                  int (*one)(struct xs_handle *xs, xs_transaction_t t,
                             const struct vif *vif, bool *changed_r))
{
    struct vif vif;
    bool ended = false;

    make_paths(domid, devid, &vif);
    for ( unsigned int i = 0; i < MAX_TRIES && !ended; i++ )
    {
        xs_transaction_t t = xs_transaction_start(xs);
        bool changed = false;
        int rc;

        if ( t == XBT_NULL )
            return errno ? -errno : -EIO;
        rc = one(xs, t, &vif, &changed);
        ended = xs_transaction_end(xs, t, rc || !changed);
        if ( rc )
            return rc;
        if ( !ended && errno != EAGAIN )
            return errno ? -errno : -EIO;
    }
    return ended ? 0 : -EAGAIN;
}

int libxl_postcopy__vifs_distrust(libxl_ctx *ctx, uint32_t domid)
{
    struct xs_handle *xs = NULL;
    int nr = 0, rc = 0;
    libxl_device_nic *nics = libxl_device_nic_list(ctx, domid, &nr);

    if ( nr > 0 )
        xs = xs_open(0);
    if ( nr > 0 && !xs )
        rc = errno ? -errno : -EIO;
    for ( int i = 0; !rc && i < nr; i++ )
        rc = change(xs, domid, nics[i].devid, distrust_one);
    if ( xs )
        xs_close(xs);
    if ( nics )
        libxl_device_nic_list_free(nics, nr);
    return rc;
}

int libxl_postcopy__vifs_trust(uint32_t domid)
{
    struct xs_handle *xs = xs_open(0);
    unsigned int nr = 0;
    char path[PATH_LEN], **names;
    int rc = 0;

    if ( !xs )
        return errno ? -errno : -EIO;
    snprintf(path, sizeof(path), "/libxl/%u/device/vif", domid);
    names = xs_directory(xs, XBT_NULL, path, &nr);
    if ( !names && errno != ENOENT )
        rc = errno ? -errno : -EIO;
    for ( unsigned int i = 0; names && !rc && i < nr; i++ )
    {
        char *end;
        long devid = strtol(names[i], &end, 10);

        if ( end != names[i] && !*end && devid >= 0 && devid <= INT32_MAX )
            rc = change(xs, domid, (int)devid, trust_one);
    }
    free(names);
    xs_close(xs);
    return rc;
}

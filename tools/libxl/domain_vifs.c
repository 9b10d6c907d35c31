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
 * The caller's thread; xenstore is asked directly, as the caller's libxl
 * context may be gone by the end.
 */
#include "domain_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#define PATH_LEN  64u
#define MAX_TRIES 50u /* of a transaction: somebody else writes all the time */

static void make_path(const struct libxl_postcopy__vifs *vifs, unsigned int i,
                      char path[PATH_LEN])
{
    snprintf(path, PATH_LEN, "/local/domain/%u/device/vif/%d/trusted",
             vifs->domid, vifs->devids[i]);
}

/* If there is such a node, and it does not say so yet; *changed_r. */
static int change(struct xs_handle *xs, const char *path, const char *value,
                  bool *changed_r)
{
    bool changed = false, ended = false;

    for ( unsigned int i = 0; i < MAX_TRIES && !ended; i++ )
    {
        xs_transaction_t t = xs_transaction_start(xs);
        char *now = t == XBT_NULL ? NULL : xs_read(xs, t, path, NULL);

        if ( t == XBT_NULL )
            return errno ? -errno : -EIO;
        changed = now && strcmp(now, value) &&
                  xs_write(xs, t, path, value, (unsigned int)strlen(value));
        free(now);
        ended = xs_transaction_end(xs, t, !changed);
        if ( !ended && errno != EAGAIN )
            return errno ? -errno : -EIO;
    }
    if ( !ended )
        return -EAGAIN;
    *changed_r = changed;
    return 0;
}

static int note_devids(struct libxl_postcopy__vifs *vifs, libxl_ctx *ctx,
                       uint32_t domid)
{
    int nr = 0, rc = 0;
    libxl_device_nic *nics = libxl_device_nic_list(ctx, domid, &nr);

    if ( nr > 0 )
        vifs->devids = calloc((size_t)nr, sizeof(*vifs->devids));
    if ( nr > 0 && !vifs->devids )
        rc = -ENOMEM;
    for ( int i = 0; !rc && i < nr; i++ )
        vifs->devids[vifs->nr++] = nics[i].devid;
    if ( nics )
        libxl_device_nic_list_free(nics, nr);
    vifs->domid = domid;
    return rc;
}

int libxl_postcopy__vifs_distrust(struct libxl_postcopy__vifs *vifs,
                                  libxl_ctx *ctx, uint32_t domid)
{
    struct xs_handle *xs;
    unsigned int nr = 0;
    int rc = note_devids(vifs, ctx, domid);

    if ( rc || !vifs->nr )
        return rc;
    xs = xs_open(0);
    if ( !xs )
        return errno ? -errno : -EIO;
    for ( unsigned int i = 0; !rc && i < vifs->nr; i++ )
    {
        char path[PATH_LEN];
        bool changed = false;

        make_path(vifs, i, path);
        rc = change(xs, path, "0", &changed);
        if ( changed )
            vifs->devids[nr++] = vifs->devids[i];
    }
    vifs->nr = nr; /* those that have to be put back */
    xs_close(xs);
    return rc;
}

int libxl_postcopy__vifs_trust(struct libxl_postcopy__vifs *vifs)
{
    struct xs_handle *xs;
    int rc = 0;

    if ( !vifs->nr )
        return 0;
    xs = xs_open(0);
    if ( !xs )
        return errno ? -errno : -EIO;
    for ( unsigned int i = 0; !rc && i < vifs->nr; i++ )
    {
        char path[PATH_LEN];
        bool changed;

        make_path(vifs, i, path);
        rc = change(xs, path, "1", &changed);
    }
    xs_close(xs);
    return rc;
}

void libxl_postcopy__vifs_dispose(struct libxl_postcopy__vifs *vifs)
{
    free(vifs->devids);
    vifs->devids = NULL;
    vifs->nr = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_libxl.inc.c: what libxlpostcopy calls of libxl and of xenstore, without
 * a Xen; the long calls are fake_helper.inc.c's.  Included by
 * domain_world.inc.c; these definitions come before libxl's own.
 */
#include <xenstore.h>

#include "fake_helper.inc.c"

/* This thread is not in the library but in libxl, or in the test. */
static __thread unsigned int fake_inside;

/* ---- What libxlpostcopy calls ------------------------------------------------------------ */

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *how)
{
    int rc;

    (void)ctx;
    (void)flags;
    (void)how;
    fake_inside++;
    rc = suspend(domid, fd);
    fake_inside--;
    return rc;
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *config,
                                uint32_t *domid, int fd, int back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *how,
                                const libxl_asyncprogress_how *console_how)
{
    int rc = ERROR_FAIL;

    (void)ctx;
    (void)config;
    (void)how;
    (void)console_how;
    fake_inside++;
    if ( back_fd == -1 && params->stream_version == 2 )
        rc = create(domid, fd);
    fake_inside--;
    return rc;
}

/* Of the short ones: fails before it does anything. */
static bool refuses(void)
{
    bool fails;

    fake_inside++;
    fails = trouble(FAKE_USE_CALL);
    fake_inside--;
    return fails;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
    (void)ctx;
    if ( refuses() )
        return ERROR_FAIL;
    if ( !fake->exists || domid != FAKE_DOMID )
        return ERROR_DOMAIN_NOTFOUND;
    info->shutdown = fake->suspended;
    info->shutdown_reason = LIBXL_SHUTDOWN_REASON_SUSPEND;
    return 0;
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int cancel,
                        const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)domid;
    (void)how;
    if ( !cancel || refuses() )
        return ERROR_FAIL;
    fake->resumes++;
    fake->suspended = false;
    return 0;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)domid;
    (void)how;
    if ( refuses() )
        return ERROR_FAIL;
    fake->unpauses++;
    fake->trusted_at_start = fake->trusted;
    return 0;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)ctx;
    (void)domid;
    (void)how;
    if ( refuses() )
        return ERROR_FAIL;
    fake->destroys++;
    fake->exists = false;
    return 0;
}

libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid,
                                        int *num)
{
    libxl_device_nic *nics;

    (void)ctx;
    fake_inside++;
    nics = calloc(1, sizeof(*nics));
    fake_inside--;
    if ( !nics || !fake->trusted || domid != FAKE_DOMID )
    {
        free(nics);
        *num = 0;
        return NULL;
    }
    nics->devid = 3;
    *num = 1;
    return nics;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int num)
{
    (void)num;
    free(list);
}

/* ---- xenstore, as much as there is of it ------------------------------------------------- */

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    errno = ENOENT;
    return fake->store_fails || refuses() ? NULL : (struct xs_handle *)fake;
}

void xs_close(struct xs_handle *xsh)
{
    (void)xsh;
}

static bool written; /* in the transaction */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    (void)h;
    written = false;
    return 1;
}

static bool is_note(const char *path)
{
    return !strcmp(path, "/libxl/7/device/vif/3/xen-postcopy-trusted");
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    const char text[] = { fake->trusted, '\0' };

    (void)h;
    (void)t;
    (void)len;
    if ( is_note(path) )
        return fake->noted ? strdup("1") : NULL;
    if ( strcmp(path, "/local/domain/7/device/vif/3/trusted") ||
         fake->trusted == '-' )
        return NULL;
    return strdup(text);
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path,
                    unsigned int *num)
{
    char **names;

    (void)h;
    (void)t;
    *num = 0;
    errno = ENOENT;
    if ( !fake->trusted || strcmp(path, "/libxl/7/device/vif") )
        return NULL;
    fake_inside++;
    names = calloc(1, 2 * sizeof(*names));
    fake_inside--;
    if ( !names )
        return NULL;
    names[0] = memcpy(names + 1, "3", 2);
    *num = 1;
    return names;
}

/* What a transaction does that is in vain is not seen. */
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    (void)h;
    (void)t;
    written = true;
    if ( fake->store_busy )
        return true;
    if ( is_note(path) )
        fake->noted = true;
    else
        fake->store_writes++;
    if ( !is_note(path) && len == 1 )
        fake->trusted = *(const char *)data;
    return true;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    (void)h;
    (void)t;
    written = true;
    if ( fake->store_busy == 0 && is_note(path) )
        fake->noted = false;
    return true;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    (void)h;
    (void)t;
    errno = EIO;
    if ( refuses() )
        return false;
    if ( abort || !written || fake->store_busy == 0 )
        return true;
    fake->store_busy--;
    errno = EAGAIN;
    return false;
}

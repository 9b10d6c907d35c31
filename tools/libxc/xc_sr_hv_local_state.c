/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_hv_local_state.c: a local guest's state blobs.  HVM_CONTEXT is the
 * guest's own (local_guest_state.c); TSC_INFO and HVM_PARAMS are bodies of
 * the right form that say what a fresh HVM guest would.  There is no policy.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_hv_local.h"

#define TSC_LEN 24u

#define PARAM_PAE_ENABLED 4u /* the one we have */
#define PARAM_LEN         16u
#define MAX_PARAMS        64u /* Xen has 39 */

static int give(const void *data, size_t len, struct xc_sr_hv_blob *blob_r)
{
    uint8_t *copy = malloc(len ? len : 1);

    if ( !copy )
        return -ENOMEM;
    memcpy(copy, data, len);
    *blob_r = (struct xc_sr_hv_blob){ .data = copy, .len = len };
    return 0;
}

static int get_tsc(struct xc_sr_hv_blob *blob_r)
{
    /* Mode 0 (native where it is stable); no frequency, no offset. */
    static const uint8_t body[TSC_LEN];

    return give(body, sizeof(body), blob_r);
}

static int get_params(struct xc_sr_hv_blob *blob_r)
{
    uint8_t body[8 + PARAM_LEN] = { 0 };

    xc_sr__put_le32(body, 1);
    xc_sr__put_le64(body + 8, PARAM_PAE_ENABLED);
    xc_sr__put_le64(body + 16, 1);
    return give(body, sizeof(body), blob_r);
}

static int get_context(struct xc_sr_hv *hv, struct xc_sr_hv_blob *blob_r)
{
    struct local *l = xc_sr__local_of(hv);
    int rc;

    l->msg->len = 0;
    rc = xc_sr__local_ask(hv, LW_STATE_GET, "reading its registers", NULL);
    return rc ? rc : give(l->msg->data, l->msg->len, blob_r);
}

int xc_sr__local_state_get(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                           struct xc_sr_hv_blob *blob_r)
{
    switch ( what )
    {
    case XC_SR_HV_STATE_TSC:
        return get_tsc(blob_r);
    case XC_SR_HV_STATE_HVM_PARAMS:
        return get_params(blob_r);
    case XC_SR_HV_STATE_HVM_CONTEXT:
        return get_context(hv, blob_r);
    default:
        return -ENODATA;
    }
}

/* ---- In: a peer's, so the form is checked also where nothing is kept ------------ */

static bool params_ok(const uint8_t *body, size_t len)
{
    uint32_t count;

    if ( len < 8 )
        return false;
    count = xc_sr__le32(body);
    return count <= MAX_PARAMS && !xc_sr__le32(body + 4) &&
           len == 8 + (size_t)count * PARAM_LEN;
}

static int put_context(struct xc_sr_hv *hv, const void *data, size_t len)
{
    struct local *l = xc_sr__local_of(hv);

    if ( len > sizeof(l->msg->data) )
        return -EINVAL;
    memcpy(l->msg->data, data, len);
    l->msg->len = (uint32_t)len;
    return xc_sr__local_ask(hv, LW_STATE_PUT, "loading its registers", NULL);
}

int xc_sr__local_state_put(struct xc_sr_hv *hv, enum xc_sr_hv_state what,
                           const void *data, size_t len)
{
    switch ( what )
    {
    case XC_SR_HV_STATE_TSC:
        return len == TSC_LEN ? 0 : -EINVAL;
    case XC_SR_HV_STATE_HVM_PARAMS:
        return params_ok(data, len) ? 0 : -EINVAL;
    case XC_SR_HV_STATE_HVM_CONTEXT:
        return put_context(hv, data, len);
    default:
        /* A policy of the stream's: these vCPUs are threads of this machine
         * and have none to be set. */
        return 0;
    }
}

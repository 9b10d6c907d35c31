/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_config.c: what a guest's configuration says about post-copy.
 *
 * Called by toolstacks, at the source before anything is done and at the
 * destination before a domain is made.  Looks at nothing but the
 * configuration; what the hypervisor has to say is the engine's probe.
 */
#include <errno.h>
#include <stdio.h>

#include "domain_priv.h"

static int refuse(char *why, size_t why_len, const char *text)
{
    if ( why && why_len )
        snprintf(why, why_len, "%s", text);
    return -EOPNOTSUPP;
}

static bool is_on(libxl_defbool b)
{
    return !libxl_defbool_is_default(b) && libxl_defbool_val(b);
}

static const char *guest_obstacle(const libxl_domain_build_info *b)
{
    if ( b->type != LIBXL_DOMAIN_TYPE_HVM && b->type != LIBXL_DOMAIN_TYPE_PVH )
        return "a PV guest's memory cannot be paged: only PVH and HVM guests "
               "can be moved post-copy";
    if ( is_on(b->nested_hvm) ||
         (b->type == LIBXL_DOMAIN_TYPE_HVM && is_on(b->u.hvm.nested_hvm)) )
        return "the guest may run guests of its own (nestedhvm)";
    if ( b->altp2m != LIBXL_ALTP2M_MODE_DISABLED ||
         (b->type == LIBXL_DOMAIN_TYPE_HVM && is_on(b->u.hvm.altp2m)) )
        return "the guest has alternative page tables (altp2m)";
    return NULL;
}

static const char *device_model_obstacle(const libxl_domain_build_info *b)
{
    if ( b->type != LIBXL_DOMAIN_TYPE_HVM )
        return NULL;
    if ( is_on(b->device_model_stubdomain) )
        return "its device model is a domain of its own "
               "(device_model_stubdomain_override)";
    if ( b->device_model_version ==
         LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL )
        return "its device model is qemu-xen-traditional";
    return NULL;
}

int libxl_postcopy_config_check(const libxl_domain_config *config,
                                uint32_t *reason_r, char *why, size_t why_len)
{
    const char *text = guest_obstacle(&config->b_info);

    if ( !text )
        text = device_model_obstacle(&config->b_info);
    if ( text )
    {
        *reason_r = XC_SR_REASON_GUEST_TYPE;
        return refuse(why, why_len, text);
    }
    if ( config->num_pcidevs || config->num_dtdevs || config->num_rdms )
    {
        *reason_r = XC_SR_REASON_IOMMU;
        return refuse(why, why_len,
                      "a device is passed through to it, whose accesses "
                      "cannot wait for a page");
    }
    if ( config->c_info.passthrough != LIBXL_PASSTHROUGH_DEFAULT &&
         config->c_info.passthrough != LIBXL_PASSTHROUGH_DISABLED )
    {
        *reason_r = XC_SR_REASON_IOMMU;
        return refuse(why, why_len,
                      "its configuration gives it an IOMMU, which no paged "
                      "guest may have: passthrough=\"disabled\"");
    }
    return 0;
}

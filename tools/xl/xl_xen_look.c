/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_look.c: what `xl migrate --postcopy` looks at before it touches
 * anything or asks anybody: what state the guest is in, what earlier
 * migrations have left, what it is by its configuration and by what Xen says.
 *
 * Called first of all by xl_xen_migrate.c; what only the destination can know
 * its READY says.
 */
#include "xl_xen_migrate.h"

#include <errno.h>
#include <string.h>

#include "xenpostcopy_xen.h"

int xl_xen_migration_refuse(struct xl_xen_migration *x, uint32_t reason,
                            const char *why)
{
    x->m.result.refused = true;
    x->m.result.refuse_reason = reason;
    snprintf(x->m.why, sizeof(x->m.why), "%s", why);
    x->fall_back = true;
    return XL_EXIT_REFUSED;
}

static int check_state(const struct xl_xen_migration *x)
{
    const libxl_dominfo *info = &x->domain.info;
    const char *name = x->name;

    if ( x->domain.domid == 0 )
        xl_error("domain 0 cannot be migrated");
    else if ( info->shutdown || info->dying )
        xl_error("`%s` cannot be migrated: it %s", name,
                 info->dying ? "is being destroyed"
                 : info->shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND
                     ? "is suspended (`xl migrate-resume` runs it again, if a "
                       "migration that was killed has left it so)"
                     : "has shut down");
    else
        return 0;
    return XL_EXIT_FAILED;
}

/* Of one that was handed over and runs here all the same, on a host that was
 * started again for instance. */
static bool is_copy_gone(const struct xl_xen_migration *x)
{
    uint32_t domid;

    return !xl_xen_record_is_held(x->domain.uuid, true) &&
           libxl_name_to_domid(x->ctx, x->away, &domid) != 0;
}

/* What earlier migrations have left. */
static int check_records(const struct xl_xen_migration *x)
{
    struct xl_journal_record record;
    const char *name = x->name;

    if ( xl_xen_pages_missing(x->domain.uuid, x->domain.domid) )
    {
        xl_error("`%s` cannot be migrated yet: pages of it are still on their "
                 "way here",
                 name);
        return XL_EXIT_FAILED;
    }
    if ( !xl_journal_read(xl_xen_place(true), x->domain.uuid, &record) &&
         record.owner == XC_SR_OWNER_COMMITTED )
    {
        xl_error("`%s` was handed over by an earlier migration whose outcome "
                 "is not known; `xl migrate-status %s` shows what to do",
                 name, name);
        if ( is_copy_gone(x) )
            xl_error("the copy that was kept is gone, and this one was started "
                     "since: make sure that it runs nowhere else, then remove "
                     "%s/%s.migration",
                     xl_xen_place(true), x->domain.uuid);
        return XL_EXIT_UNKNOWN;
    }
    return 0;
}

static int check_config(struct xl_xen_migration *x)
{
    libxl_domain_config config;
    char why[256] = "";
    uint32_t reason = XC_SR_REASON_FAILED;
    int status;

    libxl_domain_config_init(&config);
    status = xl_xen_config_get(x->ctx, &x->m.args, &x->domain, &config,
                               &x->config_json);
    /* An HVM guest without drivers of its own is suspended from outside. */
    if ( !status && x->domain.info.paused &&
         config.c_info.type == LIBXL_DOMAIN_TYPE_PVH )
    {
        xl_error("`%s` is paused and could not answer the request to suspend: "
                 "`xl unpause` it first",
                 x->name);
        status = XL_EXIT_FAILED;
    }
    if ( !status &&
         libxl_postcopy_config_check(&config, &reason, why, sizeof(why)) )
        status = xl_xen_migration_refuse(x, reason, why);
    libxl_domain_config_dispose(&config);
    return status;
}

/* What it is, whatever a configuration says. */
static int check_guest(struct xl_xen_migration *x)
{
    struct xc_sr_xen_report report;
    char why[256];
    int rc;

    memset(&report, 0, sizeof(report));
    rc = xc_sr_xen_check(x->domain.domid, NULL, &report);
    if ( rc )
    {
        snprintf(why, sizeof(why), "the hypervisor cannot be asked: %s",
                 strerror(-rc));
        return xl_xen_migration_refuse(x, XC_SR_REASON_FAILED, why);
    }
    if ( report.nr_obstacles )
        return xl_xen_migration_refuse(x, report.obstacles[0].reason,
                                       report.obstacles[0].text);
    return 0;
}

int xl_xen_migration_look_again(struct xl_xen_migration *x)
{
    libxl_dominfo *info = &x->domain.info;
    int status, rc;

    libxl_dominfo_dispose(info);
    libxl_dominfo_init(info);
    xl_xen_complaint_reset();
    rc = libxl_domain_info(x->ctx, info, x->domain.domid);
    if ( rc && rc != ERROR_DOMAIN_NOTFOUND )
        return xl_xen_cannot_ask(x->name);
    if ( rc )
    {
        xl_error("`%s` is not here any more", x->name);
        return XL_EXIT_FAILED;
    }
    status = check_state(x);
    return status ? status : check_records(x);
}

int xl_xen_migration_look(struct xl_xen_migration *x)
{
    struct xl_migration *m = &x->m;
    int status = xl_xen_open(m->global, &x->ctx);

    if ( !status )
        status = xl_xen_find(x->ctx, m->args.name, &x->domain);
    if ( status )
        return status;
    snprintf(x->name, sizeof(x->name), "%s", x->domain.name);
    snprintf(x->away, sizeof(x->away), "%s%s", x->domain.name,
             XL_XEN_SUFFIX_MIGRATEDAWAY);
    status = check_state(x);
    if ( !status )
        status = check_records(x);
    if ( !status )
        status = check_config(x);
    if ( !status )
        status = check_guest(x);
    return status;
}

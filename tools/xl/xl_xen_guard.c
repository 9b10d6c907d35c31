/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_guard.c: a guest that runs here while pages of it are missing must
 * not be saved or migrated again (Xen would silently leave the missing pages
 * out); vCPUs that are plugged in meanwhile could not start, and a network
 * card would be trusted (see libxl/domain_vifs.c).  The stock tools do not
 * know; whoever comes through our xl is told.  The receiver keeps the others
 * from saving it, see xl_xen_receive.c.
 */
#include "xl_xen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "xl_xen_record.h"

/* What is refused, and which short options of it take a value. */
static const struct
{
    const char *name;
    const char *with_value;
} guarded[] = {
    { "migrate", "sC" }, { "save", "" },     { "remus", "sNi" },
    { "suspend", "" },   { "vcpu-set", "" }, { "network-attach", "" },
};

/* By a destination's record. */
static bool is_short_of_pages(const char *owner)
{
    return !strcmp(owner, xc_sr_owner_name(XC_SR_OWNER_PREP)) ||
           !strcmp(owner, xc_sr_owner_name(XC_SR_OWNER_OWNER)) ||
           !strcmp(owner, xc_sr_owner_name(XC_SR_OWNER_LOST));
}

/* What everybody can read. */
static bool is_published(const char *uuid, uint32_t domid)
{
    struct xs_handle *xs = xs_open(0);
    char owner[32] = "", number[16] = "", mine[16];
    bool missing = false;

    if ( !xs )
        return false;
    snprintf(mine, sizeof(mine), "%u", domid);
    if ( xl_xen_store_read(xs, uuid, false, "owner", owner, sizeof(owner)) &&
         xl_xen_store_read(xs, uuid, false, "domid", number, sizeof(number)) &&
         !strcmp(number, mine) )
        missing = is_short_of_pages(owner);
    xs_close(xs);
    return missing;
}

/*
 * The file decides: a slow xenstored may not have been told yet of what is on
 * the disk, or never have been, if its process ended meanwhile.  Of a process
 * that is gone, the file may be older than the last boot, which xenstore does
 * not outlive: then the number is another's.
 */
bool xl_xen_pages_missing(const char *uuid, uint32_t domid)
{
    struct xl_journal_record record;

    if ( xl_journal_read(xl_xen_place(false), uuid, &record) )
        return is_published(uuid, domid);
    return record.domid == domid &&
           is_short_of_pages(xc_sr_owner_name(record.owner)) &&
           (xl_xen_record_is_held(uuid, false) || is_published(uuid, domid));
}

/* The system's xl takes a command's first letters for it, as long as no other
 * begins with them. */
static bool is_command(const char *arg, const char *name)
{
    return *arg && !strncmp(arg, name, strlen(arg));
}

/* The first argument that is neither an option nor the value of one. */
static const char *find_domain_argument(int argc, char **argv,
                                        const char *with_value)
{
    int i;

    for ( i = 1; i < argc; i++ )
    {
        const char *arg = argv[i];

        if ( arg[0] != '-' || !arg[1] )
            return arg;
        if ( arg[1] != '-' && !arg[2] && strchr(with_value, arg[1]) )
            i++;
    }
    return NULL;
}

/* No context of libxl's is needed to find out that there is no migration. */
static bool is_any_arriving(void)
{
    struct xs_handle *xs =
        access("/dev/xen/xenbus", F_OK) && access("/proc/xen/xenbus", F_OK)
            ? NULL
            : xs_open(0);
    unsigned int nr = 0;
    char **names;

    if ( !xs )
        return false;
    names = xs_directory(xs, XBT_NULL, XL_XEN_STORE_ROOT, &nr);
    free(names);
    xs_close(xs);
    return nr > 0;
}

bool xl_xen_is_refused(const struct xl_global *global, int argc, char **argv)
{
    const char *wanted = NULL;
    libxl_ctx *ctx = NULL;
    uint32_t domid;
    libxl_dominfo info;
    char uuid[XL_XEN_UUID_LEN];
    bool refused = false;
    size_t i;

    for ( i = 0; i < sizeof(guarded) / sizeof(guarded[0]) && !wanted; i++ )
        if ( is_command(argv[0], guarded[i].name) )
            wanted = find_domain_argument(argc, argv, guarded[i].with_value);
    /* Whatever is wrong with it, the system's xl says so. */
    if ( !wanted || geteuid() || !is_any_arriving() ||
         xl_xen_open(global, &ctx) )
        return false;
    libxl_dominfo_init(&info);
    if ( !libxl_domain_qualifier_to_domid(ctx, wanted, &domid) &&
         !libxl_domain_info(ctx, &info, domid) )
    {
        xl_xen_uuid_text(&info.uuid, uuid);
        refused = xl_xen_pages_missing(uuid, domid);
    }
    libxl_dominfo_dispose(&info);
    libxl_ctx_free(ctx);
    if ( refused )
        xl_error("%s: refused: pages of `%s` are still on their way here from "
                 "the host it came from; `xl migrate-status %s` shows how far "
                 "they are",
                 argv[0], wanted, wanted);
    return refused;
}

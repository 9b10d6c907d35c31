/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_requests.c: `migrate-status`, `migrate-abort` and
 * `migrate-postcopy-now` for a guest of Xen: finds out which migration is
 * meant, by the guest's name or number, and asks its process, at the source or
 * at the destination; on one host that is both, at the source.  Where there is
 * none, what one has left is explained, and removed by `migrate-abort`; of a
 * guest that is not here either xl_xen_forget.c does that.
 */
#include "xl_xen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xl_control.h"
#include "xl_migrate.h"
#include "xl_xen_record.h"

static const struct
{
    const char *command;
    const char *request;
} requests[] = {
    { "migrate-status", "status" },
    { "migrate-abort", "abort" },
    { "migrate-postcopy-now", "postcopy-now" },
};

static bool has_source_record(const char *uuid)
{
    static const char *const suffixes[] = { "migration", "migration.ctl" };
    char file[256];
    unsigned int i;

    for ( i = 0; i < 2; i++ )
    {
        snprintf(file, sizeof(file), "%s/%s.%s", xl_xen_place(true), uuid,
                 suffixes[i]);
        if ( !access(file, F_OK) )
            return true;
    }
    return false;
}

static bool is_unknown(libxl_ctx *ctx, const char *wanted)
{
    uint32_t domid;
    int rc = libxl_domain_qualifier_to_domid(ctx, wanted, &domid);

    return rc == ERROR_INVAL || rc == ERROR_DOMAIN_NOTFOUND;
}

/* NAME, or what NAME is called while it is on its way.  -ENOENT: there is none,
 * but a record tells of it. */
static int find(libxl_ctx *ctx, const char *wanted,
                struct xl_xen_domain *domain_r)
{
    static const char *const suffixes[] = { XL_XEN_SUFFIX_MIGRATEDAWAY,
                                            XL_XEN_SUFFIX_INCOMING };
    char name[XL_XEN_NAME_MAX + 20];
    uint32_t domid;
    unsigned int i;

    for ( i = 0; i < 2; i++ )
    {
        int rc;

        snprintf(name, sizeof(name), "%.*s%s", XL_XEN_NAME_MAX, wanted,
                 suffixes[i]);
        rc = libxl_domain_qualifier_to_domid(ctx, wanted, &domid)
                 ? xl_xen_domid_of_name(ctx, name, &domid)
                 : -ENOENT;
        if ( rc != -ENOENT )
            return rc ? xl_xen_cannot_ask(wanted)
                      : xl_xen_find(ctx, name, domain_r);
    }
    if ( xl_xen_is_recorded(wanted) && is_unknown(ctx, wanted) )
        return -ENOENT;
    return xl_xen_find_any(ctx, wanted, domain_r);
}

bool xl_xen_is_served(const char *place, const char *uuid)
{
    char answer[XL_CONTROL_ANSWER_MAX];
    int rc = xl_control_ask(place, uuid, "status", answer, sizeof(answer));

    return rc != -ENOENT && rc != -ECONNREFUSED;
}

/* A source that was killed may have left something long ago, while somebody
 * answers for what arrives now. */
static bool is_from_here(const char *uuid)
{
    return has_source_record(uuid) &&
           (xl_xen_is_served(xl_xen_place(true), uuid) ||
            !xl_xen_is_served(xl_xen_place(false), uuid));
}

/* Of either side; what an older migration to here has recorded says nothing
 * about a domain that was left half-built since. */
static bool is_recorded(const struct xl_xen_domain *domain,
                        enum xl_xen_leftover left)
{
    struct xl_journal_record record;
    int rc;

    if ( xl_journal_read(xl_xen_place(true), domain->uuid, &record) != -ENOENT )
        return true;
    rc = xl_journal_read(xl_xen_place(false), domain->uuid, &record);
    return rc ? rc != -ENOENT
              : left != XL_XEN_LEFT_HALF_BUILT || !record.domid ||
                    record.domid == domain->domid;
}

static int ask(libxl_ctx *ctx, const char *wanted, const char *request)
{
    enum xl_xen_leftover left = XL_XEN_LEFT_NONE;
    struct xl_xen_domain domain;
    const char *place;
    int status = find(ctx, wanted, &domain);

    if ( status == -ENOENT )
        return xl_xen_ask_records(ctx, wanted, request);
    if ( status )
        return status;
    place = xl_xen_place(is_from_here(domain.uuid));
    if ( !xl_xen_is_served(place, domain.uuid) )
        left = xl_xen_leftover(ctx, &domain);
    if ( left == XL_XEN_LEFT_HALF_BUILT && !strcmp(request, "abort") )
        status = xl_xen_leftover_remove(ctx, &domain, wanted);
    else if ( left != XL_XEN_LEFT_NONE && !is_recorded(&domain, left) )
        status = xl_xen_leftover_tell(&domain, left, wanted);
    else
        status = xl_migration_ask(place, domain.uuid, wanted, request);
    xl_xen_domain_dispose(&domain);
    return status;
}

/* Those from here and those to here; a side that there never was has none. */
static int show_all(bool json)
{
    const char *dirs[2];
    unsigned int i, nr = 0;
    char why[300] = "";

    if ( xl_xen_check_place(why, sizeof(why)) )
    {
        xl_error("%s", why);
        return XL_EXIT_FAILED;
    }
    for ( i = 0; i < 2; i++ )
        if ( !access(xl_xen_place(!i), F_OK) )
            dirs[nr++] = xl_xen_place(!i);
    return xl_migration_show_all(dirs, nr, json);
}

int xl_cmd_xen_migrate_request(const struct xl_global *global, int argc,
                               char **argv)
{
    const struct xl_command *command = xl_command_find_xen(argv[0]);
    const char *wanted = NULL, *request = "status";
    libxl_ctx *ctx = NULL;
    bool json = false;
    unsigned int i;
    int at, status;

    for ( i = 0; i < sizeof(requests) / sizeof(requests[0]); i++ )
        if ( !strcmp(argv[0], requests[i].command) )
            request = requests[i].request;
    for ( at = 1; at < argc; at++ )
    {
        if ( !strcmp(argv[at], "--json") && !strcmp(request, "status") )
            json = true;
        else if ( argv[at][0] == '-' || wanted )
            return xl_usage_error(command, "`%s` is not wanted", argv[at]);
        else
            wanted = argv[at];
    }
    if ( !wanted && !strcmp(request, "status") )
        return show_all(json);
    if ( !wanted || !*wanted )
        return xl_usage_error(command, "one DOMAIN is wanted");
    status = xl_xen_open(global, &ctx);
    if ( status )
        return status;
    status = ask(ctx, wanted, json ? "status-json" : request);
    libxl_ctx_free(ctx);
    return status;
}

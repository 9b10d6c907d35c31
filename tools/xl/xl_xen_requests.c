/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_requests.c: `migrate-status`, `migrate-abort` and
 * `migrate-postcopy-now` for a guest of Xen: finds out which migration is
 * meant, by the guest's name or number, and asks its process; a guest that
 * arrives is looked up in xenstore, where its receiver publishes it.
 */
#include "xl_xen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "xl_json.h"
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

/* Nodes of a destination, in the order in which they are shown. */
static const char *const nodes[] = {
    "name",        "domid",       "phase",  "owner", "done-pages",
    "total-pages", "bytes-per-s", "faults", "pid",
};

#define NR_NODES (sizeof(nodes) / sizeof(nodes[0]))

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

/* NAME, or what NAME is called while it is on its way. */
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
        snprintf(name, sizeof(name), "%.*s%s", XL_XEN_NAME_MAX, wanted,
                 suffixes[i]);
        if ( libxl_domain_qualifier_to_domid(ctx, wanted, &domid) &&
             !libxl_name_to_domid(ctx, name, &domid) )
            return xl_xen_find(ctx, name, domain_r);
    }
    return xl_xen_find(ctx, wanted, domain_r);
}

static void print_nodes(char texts[NR_NODES][80])
{
    unsigned int i;

    printf("%s: %s, as domain %s; %s of %s pages are here, %s faults\n",
           texts[0], texts[2], texts[1], texts[4], texts[5], texts[7]);
    for ( i = 0; i < NR_NODES; i++ )
        if ( !strcmp(nodes[i], "owner") &&
             !strcmp(texts[i], xc_sr_owner_name(XC_SR_OWNER_LOST)) )
            puts("the process that brought its pages is gone");
}

static void print_nodes_json(char texts[NR_NODES][80])
{
    struct xl_json j = { .gen = NULL };
    unsigned int i;

    if ( xl_json_init(&j, false) )
        return;
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "side", "destination");
    for ( i = 0; i < NR_NODES; i++ )
        xl_json_string(&j, nodes[i], texts[i][0] ? texts[i] : NULL);
    xl_json_close_map(&j);
    (void)xl_json_print(&j, stdout);
    xl_json_dispose(&j);
}

/* What its receiver publishes; false: there is none. */
static bool show_arrival(const char *uuid, bool json)
{
    struct xs_handle *xs = xs_open(0);
    char texts[NR_NODES][80] = { "" };
    bool any = false;
    unsigned int i;

    if ( !xs )
        return false;
    for ( i = 0; i < NR_NODES; i++ )
        any = xl_xen_store_read(xs, uuid, false, nodes[i], texts[i],
                                sizeof(texts[i])) ||
              any;
    xs_close(xs);
    if ( any && json )
        print_nodes_json(texts);
    else if ( any )
        print_nodes(texts);
    return any;
}

static int ask(libxl_ctx *ctx, const char *wanted, const char *request,
               bool json)
{
    struct xl_xen_domain domain;
    bool is_status = !strcmp(request, "status");
    int status = find(ctx, wanted, &domain);

    if ( status )
        return status;
    if ( is_status && !has_source_record(domain.uuid) &&
         show_arrival(domain.uuid, json) )
        status = XL_EXIT_DONE;
    else
        status = xl_migration_ask(xl_xen_place(true), domain.uuid, wanted,
                                  is_status && json ? "status-json" : request);
    xl_xen_domain_dispose(&domain);
    return status;
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
    if ( !wanted || !*wanted )
        return xl_usage_error(command, "one DOMAIN is wanted");
    status = xl_xen_open(global, &ctx);
    if ( status )
        return status;
    status = ask(ctx, wanted, request, json);
    libxl_ctx_free(ctx);
    return status;
}

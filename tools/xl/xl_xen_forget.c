/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_forget.c: records of guests that are not on this host any more.  What
 * the commands of xl_xen_requests.c say of a guest that libxl does not know,
 * and how an operator gets rid of what is left: `migrate-abort`.
 *
 * A record goes when nobody holds it and no domain of its UUID is here, after
 * a line that says what it meant: the source, should it still ask, hears then
 * that nothing is known here.  The record of a source that has handed its guest
 * over stays: it keeps a guest that is started here again from being taken for
 * the only one.
 */
#include "xl_xen.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xl_control.h"
#include "xl_migrate.h"
#include "xl_status.h"
#include "xl_xen_record.h"

#define STORE_TIMEOUT_US UINT64_C(2000000)

struct stray
{
    char uuid[XL_XEN_UUID_LEN];
    bool at_source;
    struct xl_journal_record record;
};

/* ---- Finding one ------------------------------------------------------------------ */

static bool is_meant(const char *file, const char *wanted, bool at_source,
                     struct stray *s)
{
    static const char suffix[] = ".migration";

    if ( strlen(file) != XL_XEN_UUID_LEN - 1 + sizeof(suffix) - 1 ||
         strcmp(file + XL_XEN_UUID_LEN - 1, suffix) )
        return false;
    snprintf(s->uuid, sizeof(s->uuid), "%.*s", XL_XEN_UUID_LEN - 1, file);
    s->at_source = at_source;
    return !xl_journal_read(xl_xen_place(at_source), s->uuid, &s->record) &&
           (!strcmp(s->uuid, wanted) || !strcmp(s->record.name, wanted));
}

static bool find(const char *wanted, bool at_source, struct stray *stray_r)
{
    DIR *dir = opendir(xl_xen_place(at_source));
    struct dirent *entry;
    struct stray s;
    bool found = false;

    while ( dir && !found && (entry = readdir(dir)) )
        found = is_meant(entry->d_name, wanted, at_source, &s);
    if ( dir )
        closedir(dir);
    if ( found )
        *stray_r = s;
    return found;
}

bool xl_xen_is_recorded(const char *wanted)
{
    struct stray s;

    return find(wanted, true, &s) || find(wanted, false, &s);
}

/* ---- Whether it may go --------------------------------------------------------------- */

/* -ENOENT: none; -EIO: libxl cannot tell. */
static int find_domain(libxl_ctx *ctx, const char *uuid, uint32_t *domid_r)
{
    int i, nr = 0, rc = -ENOENT;
    libxl_dominfo *list = libxl_list_domain(ctx, &nr);

    if ( !list )
        return -EIO;
    for ( i = 0; i < nr; i++ )
    {
        char text[XL_XEN_UUID_LEN];

        xl_xen_uuid_text(&list[i].uuid, text);
        if ( strcmp(text, uuid) )
            continue;
        *domid_r = list[i].domid;
        rc = 0;
    }
    libxl_dominfo_list_free(list, nr);
    return rc;
}

/* An exit status, after a line if it may not. */
static int check(libxl_ctx *ctx, const char *wanted, const struct stray *s)
{
    uint32_t domid = 0;
    int rc;

    if ( s->at_source && s->record.owner == XC_SR_OWNER_COMMITTED )
    {
        xl_error("`%s` was handed over and may run at the destination, and no "
                 "copy of it is here any more: make sure where it runs, then "
                 "remove %s/%s.migration",
                 wanted, xl_xen_place(true), s->uuid);
        return XL_EXIT_FAILED;
    }
    xl_xen_complaint_reset();
    rc = find_domain(ctx, s->uuid, &domid);
    if ( rc == -EIO )
        return xl_xen_cannot_ask(wanted);
    if ( rc == -ENOENT )
        return 0;
    xl_error("`%s` is here, domain %u, under another name: the record of its "
             "migration stays",
             wanted, domid);
    return XL_EXIT_FAILED;
}

/* Its monitor may be about to start it again.  A number is of use as long as
 * the host has not been started, and so is xenstore. */
static bool is_watched(const struct xl_xen_record *record,
                       const struct stray *s)
{
    char text[24] = "";
    uint64_t domid = 0;

    return !xl_xen_store_get(record->store, "domid", text, sizeof(text),
                             STORE_TIMEOUT_US) &&
           !xl_parse_u64(text, 1, UINT32_MAX, &domid) &&
           domid == s->record.domid && xl_xen_is_watched(s->record.domid);
}

/* ---- Its end ------------------------------------------------------------------------------ */

static const char *meaning(const struct stray *s)
{
    enum xc_sr_owner owner = s->record.owner;

    if ( s->at_source )
        return owner == XC_SR_OWNER_DONE ? "it is the destination's"
                                         : "it went on here";
    if ( owner == XC_SR_OWNER_OWNER || owner == XC_SR_OWNER_LOST )
        return "it ran here without all of its pages and is gone; if its "
               "source keeps it suspended, that copy goes on from the "
               "hand-over: `xl migrate-resume` there";
    return xl_status_advice(false, owner, XC_SR_PHASE_FAILED, false);
}

/* The record is held. */
static int remove_held(libxl_ctx *ctx, const char *wanted,
                       struct xl_xen_record *record, struct stray *s)
{
    struct xl_journal_record left;
    const char *place = xl_xen_place(s->at_source);
    int status;

    /* It may have changed before it was. */
    if ( xl_journal_read(place, s->uuid, &s->record) )
        return XL_EXIT_FAILED;
    status = check(ctx, wanted, s);
    if ( status )
        return status;
    if ( is_watched(record, s) )
    {
        xl_error("`%s`: the process that watches domain %u still works: the "
                 "record of its migration stays",
                 wanted, s->record.domid);
        return XL_EXIT_FAILED;
    }
    xl_xen_record_forget(record);
    if ( xl_journal_read(place, s->uuid, &left) != -ENOENT )
        return XL_EXIT_FAILED;
    xl_control_forget(place, s->uuid);
    xl_note("there is no domain `%s` here; the record `%s` of its migration "
            "%s is removed: %s",
            wanted, xc_sr_owner_name(s->record.owner),
            s->at_source ? "from here" : "to here", meaning(s));
    return XL_EXIT_DONE;
}

static int forget(libxl_ctx *ctx, const char *wanted, struct stray *s)
{
    struct xl_xen_record record;
    int rc, status = check(ctx, wanted, s);

    if ( status )
        return status;
    rc = xl_xen_record_open(&record, s->uuid, s->record.name, s->at_source);
    if ( rc == -EBUSY )
        xl_error("`%s`: another process works on that migration", wanted);
    status = rc ? XL_EXIT_FAILED : remove_held(ctx, wanted, &record, s);
    xl_xen_record_close(&record);
    return status;
}

/* Nobody serves it. */
static int tell(const char *wanted, const char *request, const struct stray *s)
{
    int status =
        xl_migration_ask(xl_xen_place(s->at_source), s->uuid, wanted, request);

    if ( !s->at_source || s->record.owner != XC_SR_OWNER_COMMITTED )
        xl_note("there is no domain `%s` here; `xl migrate-abort %s` removes "
                "that record",
                wanted, wanted);
    return status;
}

static int ask_side(libxl_ctx *ctx, const char *wanted, const char *request,
                    bool at_source)
{
    const char *place = xl_xen_place(at_source);
    int status = XL_EXIT_DONE;
    struct stray s;

    while ( !status && find(wanted, at_source, &s) )
    {
        if ( xl_xen_is_served(place, s.uuid) )
            return xl_migration_ask(place, s.uuid, wanted, request);
        status = strcmp(request, "abort") ? tell(wanted, request, &s)
                                          : forget(ctx, wanted, &s);
    }
    return status;
}

int xl_xen_ask_records(libxl_ctx *ctx, const char *wanted, const char *request)
{
    int there = ask_side(ctx, wanted, request, true);
    int here = ask_side(ctx, wanted, request, false);

    return there ? there : here;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_status_command.c: `migrate-status [--json] [NAME]` of a local host.  With
 * NAME it asks that migration's process, whichever side it is; without one it
 * looks for all of them by their records and sockets, as the same command does
 * for guests of Xen (xl_xen_requests.c).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xl_commands.h"
#include "xl_config.h"
#include "xl_migrate.h"
#include "xl_status.h"

/* More migrations than that in one directory are a mistake. */
#define MAX_NAMES 1024u

struct names
{
    char (*names)[XC_SR_LOCAL_NAME_MAX + 1];
    size_t nr;
};

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool has(const struct names *n, const char *name)
{
    size_t i;

    for ( i = 0; i < n->nr; i++ )
        if ( !strcmp(n->names[i], name) )
            return true;
    return false;
}

/* NAME.migration and NAME.migration.ctl */
static void take_file(struct names *n, const char *file)
{
    static const char suffix[] = ".migration";
    const char *end = strstr(file, suffix);
    char name[XC_SR_LOCAL_NAME_MAX + 1];

    if ( !end || (size_t)(end - file) >= sizeof(name) || n->nr == MAX_NAMES ||
         (strcmp(end, suffix) && strcmp(end, ".migration.ctl")) )
        return;
    snprintf(name, sizeof(name), "%.*s", (int)(end - file), file);
    if ( xl_name_is_valid(name) && !has(n, name) )
        memcpy(n->names[n->nr++], name, sizeof(name));
}

static int find_names(const char *dir, struct names *n)
{
    struct dirent *entry;
    DIR *d = opendir(dir);

    if ( !d )
        return -errno;
    n->names = calloc(MAX_NAMES, sizeof(*n->names));
    while ( n->names && (entry = readdir(d)) )
        take_file(n, entry->d_name);
    closedir(d);
    if ( !n->names )
        return -ENOMEM;
    qsort(n->names, n->nr, sizeof(*n->names), compare);
    return 0;
}

/* Nobody answers: what the record says. */
static bool read_record(const char *dir, const char *name, bool json,
                        char *text, size_t len)
{
    struct xl_journal_record record;
    struct xl_status status = { .name = name, .lost_why = "" };

    if ( xl_journal_read(dir, name, &record) )
        return false;
    if ( record.name[0] )
        status.name = record.name;
    status.at_source = record.at_source;
    status.owner = record.owner;
    status.alive = !xl_journal_is_abandoned(&record);
    if ( json )
        xl_status_json(&status, text, len);
    else
        xl_status_line(&status, text, len);
    return true;
}

static bool read_one(const char *dir, const char *name, bool json, char *text,
                     size_t len)
{
    char answer[XL_CONTROL_ANSWER_MAX] = "";

    if ( xl_control_ask(dir, name, json ? "status-json" : "status", answer,
                        sizeof(answer)) ||
         strncmp(answer, "ok ", 3) )
        return read_record(dir, name, json, text, len);
    snprintf(text, len, "%s", answer + 3);
    return true;
}

/* *before: what goes before the next one. */
static int show_dir(const char *dir, bool json, const char **before)
{
    struct names n = { .names = NULL };
    char text[XL_CONTROL_ANSWER_MAX];
    int rc = find_names(dir, &n);
    size_t i;

    for ( i = 0; i < n.nr; i++ )
    {
        if ( !read_one(dir, n.names[i], json, text, sizeof(text)) )
            continue;
        printf("%s%s%s", *before, text, json ? "" : "\n");
        *before = json ? ",\n " : "";
    }
    free(n.names);
    return rc;
}

int xl_migration_show_all(const char *const *dirs, unsigned int nr_dirs,
                          bool json)
{
    const char *before = json ? "[" : "";
    int status = XL_EXIT_DONE;
    unsigned int i;

    for ( i = 0; i < nr_dirs; i++ )
    {
        int rc = show_dir(dirs[i], json, &before);

        if ( !rc )
            continue;
        xl_error("%s: %s", dirs[i], strerror(-rc));
        status = XL_EXIT_USAGE;
    }
    if ( json && (!status || *before != '[') )
        puts(*before == '[' ? "[]" : "]");
    return status;
}

int xl_cmd_migrate_status(const struct xl_global *global, int argc, char **argv)
{
    const struct xl_command *command = xl_command_find(argv[0]);
    const char *name = NULL;
    bool json = false;
    int i;

    for ( i = 1; i < argc; i++ )
    {
        if ( !strcmp(argv[i], "--json") )
            json = true;
        else if ( name || argv[i][0] == '-' )
            return xl_usage_error(command, "at most one NAME is wanted");
        else
            name = argv[i];
    }
    if ( !name )
        return xl_migration_show_all(&global->local_dir, 1, json);
    if ( !xl_name_is_valid(name) )
        return xl_usage_error(command, "`%s` cannot be a guest's name", name);
    return xl_migration_ask(global->local_dir, name, name,
                            json ? "status-json" : "status");
}

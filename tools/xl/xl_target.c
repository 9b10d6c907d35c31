/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_target.c: reads DEST.  A directory is a local host; HOST:DIR is one on
 * another machine, reached by ssh or by what -s names; with -s '' DEST is a
 * shell command that leads to a receiver's standard input and output.
 */
#include "xl_transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* text in single quotes for a shell; malloc'd. */
static char *quote(const char *text, size_t len)
{
    char *out = malloc(4 * len + 3), *p = out;
    size_t i;

    if ( !out )
        return NULL;
    *p++ = '\'';
    for ( i = 0; i < len; i++ )
    {
        if ( text[i] == '\'' )
        {
            memcpy(p, "'\\''", 4);
            p += 4;
        }
        else
            *p++ = text[i];
    }
    *p++ = '\'';
    *p = '\0';
    return out;
}

/* The colon between HOST and DIR; [v6::address]:DIR is fine.  NULL: none. */
static const char *find_colon(const char *dest)
{
    const char *p = dest[0] == '[' ? strchr(dest, ']') : dest;

    return p ? strchr(p, ':') : NULL;
}

/* exec CARRIER HOST 'xl --local DIR migrate-receive'.  What the far shell
 * reads is quoted once for it and once more for ours. */
static int build_command(const char *dest, const char *colon,
                         const char *carrier, const char *options[2],
                         char **command_r)
{
    char *host = quote(dest, (size_t)(colon - dest));
    char *dir = quote(colon + 1, strlen(colon + 1));
    char *remote = NULL, *quoted = NULL;
    int rc = -ENOMEM;

    if ( host && dir &&
         asprintf(&remote, "xl%s --local %s migrate-receive%s", options[0], dir,
                  options[1]) >= 0 )
    {
        quoted = quote(remote, strlen(remote));
        if ( quoted && asprintf(command_r, "exec %s %s %s",
                                carrier ? carrier : "ssh", host, quoted) >= 0 )
            rc = 0;
        free(quoted);
        free(remote);
    }
    free(dir);
    free(host);
    return rc;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int xl_target_resolve(const struct xl_target_wish *wish,
                      struct xl_target *target_r, char *why, size_t why_len)
{
    const char *options[2] = { wish->verbose > 1    ? " -vv"
                               : wish->verbose == 1 ? " -v"
                                                    : "",
                               wish->paused ? " -p" : "" };
    const char *dest = wish->dest, *carrier = wish->carrier;
    const char *colon;

    target_r->dir[0] = '\0';
    target_r->command = NULL;
    if ( carrier && !*carrier )
    {
        if ( dest[strspn(dest, " \t\n")] == '\0' )
        {
            snprintf(why, why_len,
                     "DEST is empty, and -s '' makes it the "
                     "command to run");
            return -EINVAL;
        }
        target_r->command = strdup(dest);
        return target_r->command ? 0 : -ENOMEM;
    }
    if ( !carrier && is_directory(dest) )
    {
        if ( strlen(dest) >= sizeof(target_r->dir) )
            return -ENAMETOOLONG;
        memcpy(target_r->dir, dest, strlen(dest) + 1);
        return 0;
    }
    colon = find_colon(dest);
    if ( !colon || colon == dest || !colon[1] || dest[0] == '-' )
    {
        snprintf(why, why_len,
                 "`%s` is neither a directory here nor HOST:DIR (with -s '' it "
                 "would be a shell command)",
                 dest);
        return -EINVAL;
    }
    return build_command(dest, colon, carrier, options, &target_r->command);
}

void xl_target_dispose(struct xl_target *target)
{
    free(target->command);
    target->command = NULL;
}

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

/* What the far shell is to run; malloc'd. */
static char *build_remote(const char *dir,
                          const struct xl_receiver_options *options)
{
    char timeout[32] = "", *remote = NULL;

    if ( options->timeout_s )
        snprintf(timeout, sizeof(timeout), " --timeout %u", options->timeout_s);
    if ( asprintf(&remote, "xl%s --local %s migrate-receive%s%s",
                  options->verbose > 1    ? " -vv"
                  : options->verbose == 1 ? " -v"
                                          : "",
                  dir, options->paused ? " -p" : "", timeout) < 0 )
        return NULL;
    return remote;
}

/* exec CARRIER HOST 'xl --local DIR migrate-receive'.  What the far shell
 * reads is quoted once for it and once more for ours. */
static int build_command(const struct xl_target_wish *wish, const char *colon,
                         char **command_r)
{
    char *host = quote(wish->dest, (size_t)(colon - wish->dest));
    char *dir = quote(colon + 1, strlen(colon + 1));
    char *remote = NULL, *quoted = NULL;
    int rc = -ENOMEM;

    if ( host && dir )
        remote = build_remote(dir, &wish->receiver);
    if ( remote )
    {
        quoted = quote(remote, strlen(remote));
        if ( quoted && asprintf(command_r, "exec %s %s %s",
                                wish->carrier ? wish->carrier : "ssh", host,
                                quoted) >= 0 )
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
    return build_command(wish, colon, &target_r->command);
}

void xl_target_dispose(struct xl_target *target)
{
    free(target->command);
    target->command = NULL;
}

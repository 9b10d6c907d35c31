/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_target.c: reads DEST.  A directory is a local host; HOST:DIR is one on
 * another machine, reached by ssh or by what -s names; with -s '' DEST is a
 * shell command that leads to a receiver's standard input and output.
 */
#include "xl_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A host that does not answer, or answers no more, is noticed within 15 s. */
#define SSH                                                                    \
    "ssh -o ConnectTimeout=15 -o ServerAliveInterval=5 "                       \
    "-o ServerAliveCountMax=3"
/* Without a terminal nobody could answer a question. */
#define SSH_ASKS_NOTHING SSH " -o BatchMode=yes"

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

char *xl_receiver_arguments(const struct xl_receiver_options *options)
{
    const struct
    {
        const char *name;
        const char *value;
    } extras[] = {
        { "recovery-wait", options->recovery_wait },
        { "on-loss", options->on_loss },
        { "recover", options->recover },
    };
    char timeout[32] = "", *text = NULL;
    size_t i;

    if ( options->timeout_s )
        snprintf(timeout, sizeof(timeout), " --timeout %u", options->timeout_s);
    if ( asprintf(&text, "%s%s", options->paused ? " -p" : "", timeout) < 0 )
        return NULL;
    for ( i = 0; text && i < sizeof(extras) / sizeof(extras[0]); i++ )
    {
        char *longer = NULL;

        if ( !extras[i].value )
            continue;
        if ( asprintf(&longer, "%s --%s %s", text, extras[i].name,
                      extras[i].value) < 0 )
            longer = NULL;
        free(text);
        text = longer;
    }
    return text;
}

/* What the far shell is to run; malloc'd. */
static char *build_remote(const char *dir,
                          const struct xl_receiver_options *options)
{
    char *arguments = xl_receiver_arguments(options), *remote = NULL;

    if ( arguments && asprintf(&remote, "xl%s --local %s migrate-receive%s",
                               options->verbose > 1    ? " -vv"
                               : options->verbose == 1 ? " -v"
                                                       : "",
                               dir, arguments) < 0 )
        remote = NULL;
    free(arguments);
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

/* ---- An xl on another host --------------------------------------------------- */

static const char *default_carrier(void)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    if ( fd < 0 )
        return SSH_ASKS_NOTHING;
    close(fd);
    return SSH;
}

/* What the far shell is to run: the xl that was named, or the one that is
 * where this one is, or whichever it finds.  malloc'd. */
static char *build_script(const struct xl_remote_wish *wish)
{
    char self[PATH_MAX], *file, *script = NULL;
    ssize_t len;

    if ( wish->remote_xl )
    {
        file = quote(wish->remote_xl, strlen(wish->remote_xl));
        if ( file &&
             asprintf(&script, "exec %s %s", file, wish->arguments) < 0 )
            script = NULL;
        free(file);
        return script;
    }
    len = readlink("/proc/self/exe", self, sizeof(self));
    file = len > 0 && (size_t)len < sizeof(self) ? quote(self, (size_t)len)
                                                 : strdup("''");
    if ( file &&
         asprintf(&script, "x=%s; test -x \"$x\" || x=xl; exec \"$x\" %s", file,
                  wish->arguments) < 0 )
        script = NULL;
    free(file);
    return script;
}

/* The far login shell may be any; what it is given, any understands. */
static char *build_far_command(const struct xl_remote_wish *wish)
{
    char *script = build_script(wish), *quoted = NULL, *far = NULL;

    if ( script )
        quoted = quote(script, strlen(script));
    if ( quoted && asprintf(&far, "exec sh -c %s", quoted) < 0 )
        far = NULL;
    free(quoted);
    free(script);
    return far;
}

int xl_remote_command(const struct xl_remote_wish *wish, char **command_r)
{
    char *far, *far_quoted = NULL, *host;
    int rc = -ENOMEM;

    if ( wish->carrier && !*wish->carrier )
    {
        *command_r = strdup(wish->host);
        return *command_r ? 0 : -ENOMEM;
    }
    far = build_far_command(wish);
    host = quote(wish->host, strlen(wish->host));
    if ( far )
        far_quoted = quote(far, strlen(far));
    if ( host && far_quoted &&
         asprintf(command_r, "exec %s %s %s",
                  wish->carrier ? wish->carrier : default_carrier(), host,
                  far_quoted) >= 0 )
        rc = 0;
    free(host);
    free(far_quoted);
    free(far);
    return rc;
}

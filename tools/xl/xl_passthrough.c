/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_passthrough.c: hands what is not ours to the system's xl.
 *
 * This program is called xl and usually stands before the stock one in PATH,
 * so "the next xl" is the first one that is a different file.  exec keeps the
 * process, its descriptors and its environment: the caller cannot tell.
 */
#include "xl.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Debian's /usr/sbin/xl is a wrapper around the versioned directories. */
static const char *const usual_places[] = { "/usr/local/sbin", "/usr/sbin",
                                            "/sbin" };

/* True for an executable regular file that is not self. */
static bool is_other_program(const char *file, const struct stat *self)
{
    struct stat st;

    if ( stat(file, &st) || !S_ISREG(st.st_mode) || access(file, X_OK) )
        return false;
    return st.st_dev != self->st_dev || st.st_ino != self->st_ino;
}

/* dir/xl; exec does not come back when it works.  Otherwise true if there was
 * something to try. */
static bool try_dir(const char *dir, size_t dir_len, const struct stat *self,
                    char **argv)
{
    char file[PATH_MAX];
    int len = snprintf(file, sizeof(file), "%.*s/xl", (int)dir_len, dir);

    if ( !dir_len || len < 0 || (size_t)len >= sizeof(file) ||
         !is_other_program(file, self) )
        return false;
    execv(file, argv);
    xl_error("cannot run %s: %s", file, strerror(errno));
    return true;
}

static bool try_path(const char *path, const struct stat *self, char **argv)
{
    while ( path && *path )
    {
        size_t len = strcspn(path, ":");

        /* An element longer than a path can be is not one. */
        if ( len < PATH_MAX && try_dir(path, len, self, argv) )
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

/* The newest of /usr/lib/xen-VERSION/bin. */
static bool try_versioned(const struct stat *self, char **argv)
{
    glob_t found;
    bool tried = false;
    size_t i;

    if ( glob("/usr/lib/xen*/bin", 0, NULL, &found) )
        return false;
    for ( i = found.gl_pathc; i > 0 && !tried; i-- )
        tried = try_dir(found.gl_pathv[i - 1], strlen(found.gl_pathv[i - 1]),
                        self, argv);
    globfree(&found);
    return tried;
}

bool xl_passthrough_try(const char *path, char **argv)
{
    struct stat self;
    size_t i;

    if ( stat("/proc/self/exe", &self) )
    {
        xl_error("cannot tell which file this program is (/proc/self/exe: %s)",
                 strerror(errno));
        return true;
    }
    if ( try_path(path, &self, argv) )
        return true;
    for ( i = 0; i < sizeof(usual_places) / sizeof(usual_places[0]); i++ )
        if ( try_dir(usual_places[i], strlen(usual_places[i]), &self, argv) )
            return true;
    return try_versioned(&self, argv);
}

int xl_passthrough(const char *path, char **argv)
{
    if ( xl_passthrough_try(path, argv) )
        return XL_EXIT_NO_XL;
    xl_error("this command needs the system's xl, and there is no other xl in "
             "PATH, /usr/sbin or /usr/lib/xen*/bin (for guests of the local "
             "backend, give --local DIR before the command)");
    return XL_EXIT_NO_XL;
}

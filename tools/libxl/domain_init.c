/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_init.c: makes this process one whose libxl runs our shim, and says
 * whether that libxl is one we know.
 *
 * Called first of all: what is set here is process-wide (the environment, the
 * disposition of SIGPIPE), which is why there is one migration at a time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain_priv.h"

#define HELPER_ENV "LIBXL_SAVE_HELPER"
#define SHIM_ENV   "XEN_POSTCOPY_SHIM"

/*
 * The helper protocol is generated in Xen's build and has no version of its
 * own; the library's file name is all there is.
 */
static const char *const tried[] = { "libxenlight.so.4.17" };

static int listen_fd = -1;
static bool prepared; /* init() was called, and nothing has undone it */

static int say(char *why, size_t why_len, int rc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int say(char *why, size_t why_len, int rc, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if ( why && why_len )
        vsnprintf(why, why_len, fmt, args);
    va_end(args);
    return rc;
}

/* "libxenlight.so.4.17", and that with another dot and a patch level. */
static bool was_tried(const char *name)
{
    for ( size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++ )
    {
        size_t len = strlen(tried[i]);

        if ( strncmp(name, tried[i], len) == 0 &&
             (name[len] == '\0' || name[len] == '.') )
            return true;
    }
    return false;
}

int libxl_postcopy_check_libxl(char *why, size_t why_len)
{
    void *symbol = dlsym(RTLD_DEFAULT, "libxl_ctx_alloc");
    Dl_info info;
    const char *name;

    if ( !symbol || !dladdr(symbol, &info) || !info.dli_fname )
        return say(why, why_len, -EPROTONOSUPPORT,
                   "cannot tell which libxl this program runs with");
    name = strrchr(info.dli_fname, '/');
    name = name ? name + 1 : info.dli_fname;
    if ( !was_tried(name) )
        return say(why, why_len, -EPROTONOSUPPORT,
                   "libxl is %s; post-copy was tried with %s only", name,
                   tried[0]);
    return 0;
}

static const char *find_shim(const char *shim)
{
    const char *named = secure_getenv(SHIM_ENV);

    if ( shim )
        return shim;
    return named && *named ? named : XEN_POSTCOPY_LIBEXECDIR "/xl-save-shim";
}

int libxl_postcopy_init(const char *shim, char *why, size_t why_len)
{
    char name[64];
    int fd, rc;

    if ( prepared )
        return say(why, why_len, -EBUSY, "it was prepared already");
    rc = libxl_postcopy_check_libxl(why, why_len);
    if ( rc )
        return rc;
    shim = find_shim(shim);
    if ( access(shim, X_OK) )
        return say(why, why_len, -errno, "libxl's save helper %s: %s", shim,
                   strerror(errno));
    rc = libxl_postcopy__shim_listen(name, sizeof(name), &fd);
    if ( rc )
        return say(why, why_len, rc, "cannot wait for libxl's save helper: %s",
                   strerror(-rc));
    if ( setenv(HELPER_ENV, shim, 1) || setenv(LIBXL_PC_SHIM_ENV, name, 1) )
    {
        close(fd);
        return say(why, why_len, -ENOMEM, "no memory");
    }
    (void)signal(SIGPIPE, SIG_IGN);
    listen_fd = fd;
    prepared = true;
    return 0;
}

void libxl_postcopy_fini(void)
{
    if ( !prepared )
        return;
    (void)libxl_postcopy__hang_up();
    prepared = false;
    unsetenv(HELPER_ENV);
    unsetenv(LIBXL_PC_SHIM_ENV);
}

int libxl_postcopy__listen_fd(void)
{
    return listen_fd;
}

bool libxl_postcopy__hang_up(void)
{
    bool listened = listen_fd >= 0;

    if ( listened )
        close(listen_fd);
    listen_fd = -1;
    return listened;
}

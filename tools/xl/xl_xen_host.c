/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_host.c: the way to libxl.  Looks at what libxl would stumble over
 * (no root, no Xen, no control domain, a xenstored that does not answer) and
 * says it in a line of ours before libxl says it in ten of its own.
 *
 * libxl's complaints are kept rather than shown, unless -v asks for them: a
 * command that fails puts the first of them, the cause, into its own line.
 * libxl logs from children that it has forked from a process with threads, so
 * nothing here takes a lock.
 */
#include "xl_xen.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xentoollog.h>

#include "xl_xen_store.h"

/* Long enough for a busy host, short enough for a person. */
#define STORE_TIMEOUT_US UINT64_C(10000000)

/* ---- libxl's messages ---------------------------------------------------- */

struct logger
{
    xentoollog_logger vtable; /* must be first */
    xentoollog_level min_level;
    pid_t pid;
};

static char complaint[400];

const char *xl_xen_complaint(void)
{
    return complaint;
}

void xl_xen_complaint_reset(void)
{
    complaint[0] = '\0';
}

const char *xl_xen_libxl_says(char *buf, size_t len)
{
    snprintf(buf, len, complaint[0] ? " (libxl: %s)" : "%s", complaint);
    return buf;
}

/* "libxl_x.c:12:function:text" is for libxl's authors up to the text. */
static const char *skip_origin(const char *text)
{
    const char *p = text;

    while ( isalnum((unsigned char)*p) || *p == '_' )
        p++;
    if ( strncmp(p, ".c:", 3) || !isdigit((unsigned char)p[3]) )
        return text;
    p += 3 + strspn(p + 3, "0123456789");
    if ( *p++ != ':' )
        return text;
    p += strcspn(p, ":");
    return *p ? p + 1 + strspn(p + 1, " ") : text;
}

static void take_message(xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context, const char *format,
                         va_list args) __attribute__((format(printf, 5, 0)));

static void take_message(xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context, const char *format,
                         va_list args)
{
    const struct logger *l = (const struct logger *)logger;
    char text[320], line[400];
    int len;

    vsnprintf(text, sizeof(text), format, args);
    len = snprintf(line, sizeof(line), "%s%s%s", skip_origin(text),
                   errnoval >= 0 ? ": " : "",
                   errnoval >= 0 ? strerror(errnoval) : "");
    if ( level >= XTL_ERROR && !complaint[0] )
        memcpy(complaint, line, sizeof(complaint));
    /* What a child of libxl's has to say dies with it unless it is shown. */
    if ( level < l->min_level && !(level >= XTL_ERROR && getpid() != l->pid) )
        return;
    if ( len > 0 )
        dprintf(STDERR_FILENO, "%s: %s: %s\n", context ? context : "libxl",
                xtl_level_to_string(level), line);
}

static void ignore_progress(xentoollog_logger *logger, const char *context,
                            const char *doing_what, int percent,
                            unsigned long done, unsigned long total)
{
    (void)logger;
    (void)context;
    (void)doing_what;
    (void)percent;
    (void)done;
    (void)total;
}

static void keep_logger(xentoollog_logger *logger)
{
    (void)logger; /* it is static */
}

static xentoollog_logger *get_logger(const struct xl_global *global)
{
    static struct logger logger = {
        .vtable = { .vmessage = take_message,
                    .progress = ignore_progress,
                    .destroy = keep_logger },
    };

    logger.min_level = global->verbose > 1    ? XTL_DEBUG
                       : global->verbose == 1 ? XTL_WARN
                                              : XTL_NUM_LEVELS;
    logger.pid = getpid();
    return &logger.vtable;
}

/* ---- The context ---------------------------------------------------------- */

/* True in dom0 and in no other domain. */
static bool is_control_domain(void)
{
    char text[256] = "";
    FILE *f = fopen("/proc/xen/capabilities", "re");
    size_t len;

    if ( !f )
        return false;
    len = fread(text, 1, sizeof(text) - 1, f);
    text[len] = '\0';
    fclose(f);
    return strstr(text, "control_d");
}

int xl_xen_check_place(char *why, size_t len)
{
    if ( access("/proc/xen", F_OK) || access("/dev/xen/privcmd", F_OK) )
        snprintf(why, len,
                 "this is not a Xen host: there is no /proc/xen or no "
                 "/dev/xen/privcmd (guests of the local backend: give --local "
                 "DIR before the command)");
    else if ( geteuid() )
        snprintf(why, len, "Xen takes orders from root only; you are user %u",
                 (unsigned int)geteuid());
    else if ( !is_control_domain() )
        snprintf(why, len,
                 "this is not the control domain of the Xen host, or xenfs is "
                 "not mounted on /proc/xen");
    else
        return 0;
    return -EPERM;
}

int xl_xen_try_open(const struct xl_global *global, libxl_ctx **ctx_r,
                    char *why, size_t why_len)
{
    libxl_ctx *ctx = NULL;
    int rc = xl_xen_check_place(why, why_len);

    if ( rc )
        return rc;
    rc = xl_xen_store_probe(STORE_TIMEOUT_US);
    if ( rc )
    {
        snprintf(why, why_len,
                 "xenstored does not answer (%s): is it running? "
                 "`xenstore-ls /tool` shows",
                 strerror(-rc));
        return rc;
    }
    if ( libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, get_logger(global)) )
    {
        snprintf(why, why_len, "libxl cannot be used here: %s",
                 xl_xen_complaint());
        return -EIO;
    }
    *ctx_r = ctx;
    return 0;
}

int xl_xen_open(const struct xl_global *global, libxl_ctx **ctx_r)
{
    char why[512] = "";

    if ( !xl_xen_try_open(global, ctx_r, why, sizeof(why)) )
        return 0;
    xl_error("%s", why);
    return XL_EXIT_FAILED;
}

/* The first of: beside this program, one directory up from it. */
const char *xl_xen_shim(char *buf, size_t len)
{
    char self[PATH_MAX];
    ssize_t got = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *slash;
    int dir_len, i;

    if ( got <= 0 || getenv("XEN_POSTCOPY_SHIM") )
        return NULL;
    self[got] = '\0';
    slash = strrchr(self, '/');
    dir_len = slash ? (int)(slash - self) : 0;
    for ( i = 0; i < 2; i++ )
    {
        int used = i ? snprintf(buf, len, "%.*s/../xl-save-shim", dir_len, self)
                     : snprintf(buf, len, "%.*s/xl-save-shim", dir_len, self);

        if ( used > 0 && (size_t)used < len && !access(buf, X_OK) )
            return buf;
    }
    return NULL;
}

/* ---- Domains ----------------------------------------------------------------- */

void xl_xen_uuid_text(const libxl_uuid *uuid, char text_r[XL_XEN_UUID_LEN])
{
    snprintf(text_r, XL_XEN_UUID_LEN, LIBXL_UUID_FMT,
             LIBXL_UUID_BYTES((*uuid)));
}

void xl_xen_domain_dispose(struct xl_xen_domain *domain)
{
    libxl_dominfo_dispose(&domain->info);
}

int xl_xen_cannot_ask(const char *wanted)
{
    xl_error("cannot ask about domain `%s`: %s", wanted, xl_xen_complaint());
    return XL_EXIT_FAILED;
}

int xl_xen_domid_of_name(libxl_ctx *ctx, const char *name, uint32_t *domid_r)
{
    int rc = libxl_name_to_domid(ctx, name, domid_r);

    if ( !rc )
        return 0;
    return rc == ERROR_INVAL || rc == ERROR_DOMAIN_NOTFOUND ? -ENOENT : -EIO;
}

int xl_xen_find_any(libxl_ctx *ctx, const char *wanted,
                    struct xl_xen_domain *domain_r)
{
    struct xl_xen_domain d = { .domid = INVALID_DOMID };
    char *name;
    int rc;

    xl_xen_complaint_reset();
    libxl_dominfo_init(&d.info);
    rc = libxl_domain_qualifier_to_domid(ctx, wanted, &d.domid);
    if ( !rc )
        rc = libxl_domain_info(ctx, &d.info, d.domid);
    if ( !rc )
    {
        name = libxl_domid_to_name(ctx, d.domid);
        if ( name && strlen(name) <= XL_XEN_NAME_MAX )
            snprintf(d.name, sizeof(d.name), "%s", name);
        xl_xen_uuid_text(&d.info.uuid, d.uuid);
        free(name);
        *domain_r = d;
        return 0;
    }
    libxl_dominfo_dispose(&d.info);
    if ( rc == ERROR_DOMAIN_NOTFOUND || rc == ERROR_INVAL )
    {
        xl_error("there is no domain `%s` here; `xl list` shows them", wanted);
        return XL_EXIT_USAGE;
    }
    return xl_xen_cannot_ask(wanted);
}

int xl_xen_find(libxl_ctx *ctx, const char *wanted,
                struct xl_xen_domain *domain_r)
{
    struct xl_xen_domain d;
    int status = xl_xen_find_any(ctx, wanted, &d);

    if ( !status && !d.name[0] )
    {
        xl_xen_domain_dispose(&d);
        if ( *xl_xen_complaint() )
            return xl_xen_cannot_ask(wanted);
        xl_error("cannot ask about domain `%s`: it has no name", wanted);
        status = XL_EXIT_FAILED;
    }
    if ( !status )
        *domain_r = d;
    return status;
}

int xl_xen_uuid_of_name(libxl_ctx *ctx, const char *name,
                        char uuid_r[XL_XEN_UUID_LEN], uint32_t *domid_r)
{
    libxl_dominfo info;
    int rc;

    uuid_r[0] = '\0';
    *domid_r = INVALID_DOMID;
    rc = xl_xen_domid_of_name(ctx, name, domid_r);
    if ( rc )
        return rc == -ENOENT ? 0 : rc;
    libxl_dominfo_init(&info);
    rc = libxl_domain_info(ctx, &info, *domid_r);
    if ( !rc )
        xl_xen_uuid_text(&info.uuid, uuid_r);
    libxl_dominfo_dispose(&info);
    return !rc || rc == ERROR_DOMAIN_NOTFOUND ? 0 : -EIO;
}

int xl_xen_rename(libxl_ctx *ctx, uint32_t domid, const char *from,
                  const char *to)
{
    char other[XL_XEN_UUID_LEN];
    uint32_t other_domid;

    /* What cannot be known now libxl looks at once more. */
    (void)xl_xen_uuid_of_name(ctx, to, other, &other_domid);
    if ( other[0] && other_domid != domid )
        return -EEXIST;
    return libxl_domain_rename(ctx, domid, from, to) ? -EIO : 0;
}

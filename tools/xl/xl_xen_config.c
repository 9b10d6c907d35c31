/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_config.c: the configuration of a domain as it travels in xl's save
 * header: libxl's JSON, of the running domain or of a file in xl's own syntax.
 * That syntax only the system's xl can read, and it prints what it made of it
 * as JSON when it is asked for a dry run: so it is asked.
 *
 * The file is read before this process has threads: it forks.
 */
#include "xl_xen.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"
#include "xl_migrate_args.h"
#include "xl_transport.h"

/* A dry run reads a file and prints. */
#define DRY_RUN_TIMEOUT_US UINT64_C(30000000)

static void run_dry(const char *file, int out_fd)
{
    char *argv[] = { (char *)"xl", (char *)"create", (char *)"-q", (char *)"-n",
                     (char *)"-f", (char *)file,     NULL };

    if ( dup2(out_fd, STDOUT_FILENO) >= 0 )
        _exit(xl_passthrough(getenv("PATH"), argv));
    _exit(XL_EXIT_FAILED);
}

/* Everything up to the end of file; -EMSGSIZE above what a stream may have. */
static int read_all(int fd, char **text_r, size_t *len_r)
{
    uint64_t deadline_us = xl_now_us() + DRY_RUN_TIMEOUT_US;
    char *text = malloc(LIBXL_PC_CONFIG_MAX);
    size_t len = 0;
    int rc = text ? 0 : -ENOMEM;

    while ( !rc && len < LIBXL_PC_CONFIG_MAX - 1 )
    {
        rc = xl_read_exact(fd, text + len, 1, deadline_us, -1);
        len += !rc;
    }
    if ( rc == -EPIPE )
    {
        text[len] = '\0';
        *text_r = text;
        *len_r = len;
        return 0;
    }
    free(text);
    return rc ? rc : -EMSGSIZE;
}

/* The JSON that the system's xl makes of file; malloc'd. */
static int translate(const char *file, char **text_r, size_t *len_r)
{
    int fds[2], status = -1, rc;
    pid_t pid;

    if ( pipe2(fds, O_CLOEXEC) )
        return -errno;
    pid = fork();
    if ( !pid )
        run_dry(file, fds[1]);
    rc = pid < 0 ? -errno : 0;
    close(fds[1]);
    if ( !rc )
        rc = read_all(fds[0], text_r, len_r);
    close(fds[0]);
    /* Silent for too long, or it says too much: it is not waited for. */
    if ( rc && pid > 0 )
        (void)kill(pid, SIGKILL);
    if ( pid > 0 && (waitpid(pid, &status, 0) != pid || status) && !rc )
    {
        free(*text_r);
        rc = -EINVAL;
    }
    return rc;
}

static int read_file(libxl_ctx *ctx, const char *file,
                     libxl_domain_config *config_r)
{
    char *text = NULL, *json;
    size_t len = 0;
    int rc;

    if ( access(file, R_OK) )
    {
        xl_error("-C: cannot read %s: %s", file, strerror(errno));
        return XL_EXIT_USAGE;
    }
    rc = translate(file, &text, &len);
    if ( rc )
    {
        xl_error("-C: the system's xl makes no configuration of %s (%s); `xl "
                 "create -n %s` shows why",
                 file, strerror(-rc), file);
        return XL_EXIT_USAGE;
    }
    json = strchr(text, '{');
    if ( !json || libxl_domain_config_from_json(ctx, config_r, json) )
        rc = XL_EXIT_USAGE;
    if ( rc )
        xl_error("-C: what the system's xl makes of %s is no configuration",
                 file);
    free(text);
    return rc;
}

int xl_xen_config_get(libxl_ctx *ctx, const struct xl_migrate_args *args,
                      const struct xl_xen_domain *domain,
                      libxl_domain_config *config_r, char **json_r)
{
    uint32_t domid = domain->domid;
    int rc = 0;

    if ( args->config_file )
        rc = read_file(ctx, args->config_file, config_r);
    else if ( libxl_retrieve_domain_configuration(ctx, domid, config_r, NULL) )
    {
        xl_error("libxl has no configuration of domain %u (%s); -C FILE gives "
                 "one",
                 domid, xl_xen_complaint());
        rc = XL_EXIT_FAILED;
    }
    if ( rc )
        return rc;
    /* Whatever a file says: both sides know the migration by it. */
    libxl_uuid_copy(ctx, &config_r->c_info.uuid, &domain->info.uuid);
    config_r->c_info.domid = args->keep_domid ? domid : (uint32_t)INVALID_DOMID;
    *json_r = libxl_domain_config_to_json(ctx, config_r);
    if ( *json_r )
        return 0;
    xl_error("libxl cannot write down the configuration of domain %u: %s",
             domid, xl_xen_complaint());
    return XL_EXIT_FAILED;
}

/* Names become words of commands, nodes and file names further on. */
static bool is_fit_for_name(const char *name)
{
    size_t i;

    if ( !name || !*name || strlen(name) > XL_XEN_NAME_MAX )
        return false;
    for ( i = 0; name[i]; i++ )
        if ( !isprint((unsigned char)name[i]) || name[i] == '/' )
            return false;
    return true;
}

int xl_xen_config_parse(libxl_ctx *ctx, const char *json, size_t len,
                        libxl_domain_config *config_r)
{
    if ( !json || !len )
        xl_error("the stream brings no configuration of the guest");
    else if ( libxl_domain_config_from_json(ctx, config_r, json) )
        xl_error("the guest's configuration in the stream is not one that "
                 "this libxl understands: %s",
                 xl_xen_complaint());
    else if ( !is_fit_for_name(config_r->c_info.name) )
        xl_error("the guest's configuration in the stream has no proper name");
    else
        return 0;
    return -EINVAL;
}

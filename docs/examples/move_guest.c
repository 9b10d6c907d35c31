/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * move_guest.c: the smallest program that moves a Xen guest with
 * libxlpostcopy: an example for toolstack authors, see libxlpostcopy(3).
 *
 *     move_guest send DOMID          on the host that has the guest
 *     move_guest receive             on the other
 *
 * Standard input and output of the two have to be joined crosswise, by nc -e
 * or ssh for example.  In front of the stream the sender puts the guest's
 * configuration: a length of 4 octets and libxl's JSON.  What a real tool does
 * besides (freeing memory, a monitor for the guest, a durable record of who
 * owns it) is not here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libxl_postcopy.h"

#define CONFIG_MAX (1u << 20) /* a configuration is a few KiB of JSON */

struct guest
{
    libxl_ctx *ctx;
    uint32_t domid;
    char name[64];
};

static void write_log(void *ctx, enum xc_sr_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "move_guest: %s\n", line);
}

static const struct xc_sr_log stderr_log = {
    .write = write_log,
    .max_level = XC_SR_LOG_INFO,
};

static int rename_guest(struct guest *g, const char *suffix)
{
    char name[96];

    snprintf(name, sizeof(name), "%s%s", g->name, suffix);
    return libxl_domain_rename(g->ctx, g->domid, NULL, name) ? -EIO : 0;
}

/* All of len octets; 0 or -1. */
static int transfer(ssize_t (*how)(int, void *, size_t), int fd, void *buf,
                    size_t len)
{
    for ( size_t done = 0; done < len; )
    {
        ssize_t n = how(fd, (char *)buf + done, len - done);

        if ( n <= 0 && !(n < 0 && errno == EINTR) )
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static ssize_t put(int fd, void *buf, size_t len)
{
    return write(fd, buf, len);
}

static void print_stats(const struct xc_sr_stats *st)
{
    fprintf(stderr,
            "move_guest: %s, %u rounds, %llu octets, resume set %llu, "
            "announced %llu, faults %llu, downtime here %llu us\n",
            st->postcopy ? "post-copy" : "pre-copy", st->nr_rounds,
            (unsigned long long)st->bytes_total,
            (unsigned long long)st->pages_resume_set,
            (unsigned long long)st->pages_announced,
            (unsigned long long)st->faults,
            (unsigned long long)(st->suspended_us && st->running_us
                                     ? st->running_us - st->suspended_us
                                     : 0));
}

/* ---- The source -------------------------------------------------------------- */

static int before_commit(void *ctx)
{
    return rename_guest(ctx, "--migratedaway");
}

static int send_config(struct guest *g, int fd)
{
    libxl_domain_config config;
    uint32_t len = 0;
    char *json = NULL;
    int rc = -1;

    libxl_domain_config_init(&config);
    if ( libxl_retrieve_domain_configuration(g->ctx, g->domid, &config, NULL) )
        goto out;
    snprintf(g->name, sizeof(g->name), "%s", config.c_info.name);
    json = libxl_domain_config_to_json(g->ctx, &config);
    if ( !json )
        goto out;
    len = (uint32_t)strlen(json);
    rc = transfer(put, fd, &len, sizeof(len));
    if ( !rc )
        rc = transfer(put, fd, json, len);

out:
    free(json);
    libxl_domain_config_dispose(&config);
    return rc;
}

static int send_guest(struct guest *g, int recv_fd, int send_fd)
{
    const char *rounds = getenv("ROUNDS"), *version = getenv("STREAM_VERSION");
    struct libxl_postcopy_send_params params = {
        .domid = g->domid,
        .save =
            {
                .send_fd = send_fd,
                .recv_fd = recv_fd,
                .stream_version = version ? (unsigned int)strtoul(version, NULL, 10) : 3,
                .plain = getenv("PLAIN") != NULL,
                .policy =
                    {
                        .allow_postcopy = !getenv("PRECOPY") && !getenv("PLAIN"),
                        .max_iterations = rounds ? (unsigned int)strtoul(rounds, NULL, 10) : 1,
                        .threshold_pages = 50,
                    },
                .watch = { .fd = -1 },
                .log = &stderr_log,
            },
        .before_commit = before_commit,
        .ctx = g,
    };
    struct libxl_postcopy_send_result result;
    int rc = send_config(g, send_fd);

    if ( rc )
        return rc;
    rc = libxl_postcopy_send(g->ctx, &params, &result);
    print_stats(&result.engine.stats);
    fprintf(stderr, "move_guest: source: %s, owner %s%s%s\n",
            rc ? strerror(-rc) : "done", xc_sr_owner_name(result.engine.owner),
            result.engine.why[0] ? ": " : "", result.engine.why);
    if ( result.engine.owner == XC_SR_OWNER_DONE )
        libxl_domain_destroy(g->ctx, g->domid, NULL);
    else if ( result.engine.owner == XC_SR_OWNER_RESUMED )
        (void)rename_guest(g, "");
    return rc;
}

/* ---- The destination ----------------------------------------------------------- */

static void running(void *ctx, uint32_t domid)
{
    struct guest *g = ctx;

    g->domid = domid;
    if ( rename_guest(g, "") )
        fprintf(stderr, "move_guest: cannot rename %s\n", g->name);
}

static int receive_config(struct guest *g, int fd, libxl_domain_config *config)
{
    char name[96];
    uint32_t len = 0;
    char *json;
    int rc;

    if ( transfer(read, fd, &len, sizeof(len)) || len > CONFIG_MAX )
        return -1;
    json = calloc(1, len + 1);
    if ( !json )
        return -1;
    rc = transfer(read, fd, json, len);
    if ( !rc && libxl_domain_config_from_json(g->ctx, config, json) )
        rc = -1;
    free(json);
    if ( rc || !config->c_info.name )
        return -1;
    snprintf(g->name, sizeof(g->name), "%s", config->c_info.name);
    snprintf(name, sizeof(name), "%s--incoming", g->name);
    free(config->c_info.name);
    config->c_info.name = strdup(name);
    return config->c_info.name ? 0 : -1;
}

static int receive_guest(struct guest *g, int recv_fd, int send_fd)
{
    libxl_domain_config config;
    struct libxl_postcopy_receive_params params = {
        .config = &config,
        .restore =
            {
                .recv_fd = recv_fd,
                .send_fd = send_fd,
                .watch = { .fd = -1 },
                .log = &stderr_log,
            },
        .running = running,
        .ctx = g,
    };
    struct libxl_postcopy_receive_result result;
    int rc;

    libxl_domain_config_init(&config);
    rc = receive_config(g, recv_fd, &config);
    if ( rc )
        fprintf(stderr, "move_guest: no configuration came\n");
    else
    {
        rc = libxl_postcopy_receive(g->ctx, &params, &result);
        print_stats(&result.engine.stats);
        fprintf(stderr, "move_guest: destination: %s, owner %s%s%s\n",
                rc ? strerror(-rc) : "done",
                xc_sr_owner_name(result.engine.owner),
                result.engine.why[0] ? ": " : "", result.engine.why);
        if ( !rc && result.engine.plain )
        {
            rc = libxl_domain_unpause(g->ctx, result.domid, NULL);
            running(g, result.domid);
        }
    }
    libxl_domain_config_dispose(&config);
    return rc;
}

int main(int argc, char *argv[])
{
    bool sends = argc == 3 && strcmp(argv[1], "send") == 0;
    struct guest guest = { .domid = sends ? (uint32_t)strtoul(argv[2], NULL, 10)
                                          : 0 };
    xentoollog_logger_stdiostream *logger;
    int recv_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int send_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    char why[256];
    int rc;

    if ( !sends && !(argc == 2 && strcmp(argv[1], "receive") == 0) )
    {
        fprintf(stderr, "usage: move_guest send DOMID | receive\n");
        return 2;
    }
    /* Nothing that libxl starts is to see the stream. */
    if ( !freopen("/dev/null", "r", stdin) ||
         dup2(STDERR_FILENO, STDOUT_FILENO) < 0 )
        return 1;
    if ( libxl_postcopy_init(NULL, why, sizeof(why)) )
    {
        fprintf(stderr, "move_guest: %s\n", why);
        return 1;
    }
    logger = xtl_createlogger_stdiostream(stderr, XTL_PROGRESS, 0);
    if ( !logger || libxl_ctx_alloc(&guest.ctx, LIBXL_VERSION, 0,
                                    (xentoollog_logger *)logger) )
        return 1;
    rc = sends ? send_guest(&guest, recv_fd, send_fd)
               : receive_guest(&guest, recv_fd, send_fd);
    libxl_ctx_free(guest.ctx);
    libxl_postcopy_fini();
    xtl_logger_destroy((xentoollog_logger *)logger);
    return rc ? 1 : 0;
}

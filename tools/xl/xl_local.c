/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_local.c: create, pause, unpause, rename, resume and destroy on a local
 * host: options in, one call of xenpostcopy_local.h, an exit code out.  What
 * prints is in xl_local_show.c; migrating is elsewhere.
 */
#include "xl_local.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "xenpostcopy_local.h"
#include "xl.h"
#include "xl_config.h"

static struct xc_sr_log make_log(void)
{
    const struct xl_global global = { 0 };
    struct xc_sr_log log;

    xl_log_init(&global, &log);
    return log;
}

static int usage_error(const char *command, const char *why)
{
    return xl_usage_error(xl_command_find(command), "%s", why);
}

/* Exit code of a library call; it has said what was wrong. */
static int exit_code(int rc)
{
    return rc == -EINVAL ? XL_EXIT_USAGE : rc ? XL_EXIT_FAILED : XL_EXIT_DONE;
}

/* ---- create -------------------------------------------------------------------- */

/* "256" and "256M" are MiB, "64k" KiB, "1G" GiB. */
static int parse_size(const char *text, uint64_t *kib_r)
{
    size_t digits = strspn(text, "0123456789");
    const char *suffix = text + digits;
    char number[24];
    uint64_t value, factor;

    if ( !digits || digits >= sizeof(number) )
        return -EINVAL;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if ( !*suffix || !strcasecmp(suffix, "m") || !strcasecmp(suffix, "mib") )
        factor = 1024;
    else if ( !strcasecmp(suffix, "k") || !strcasecmp(suffix, "kib") )
        factor = 1;
    else if ( !strcasecmp(suffix, "g") || !strcasecmp(suffix, "gib") )
        factor = 1024 * 1024;
    else
        return -EINVAL;
    if ( xl_parse_u64(number, 0, XC_SR_LOCAL_MAX_MEMORY_KIB / factor, &value) )
        return -EINVAL;
    *kib_r = value * factor;
    return *kib_r % 4 ? -EINVAL : 0;
}

static const struct option create_options[] = {
    { "memory", required_argument, NULL, 'm' },
    { "vcpus", required_argument, NULL, 'c' },
    { "workload", required_argument, NULL, 'w' },
    { "rate", required_argument, NULL, 'r' },
    { "working-set", required_argument, NULL, 's' },
    { "populate", required_argument, NULL, 'p' },
    { "seed", required_argument, NULL, 'x' },
    { "suspend-delay-us", required_argument, NULL, 'u' },
    { "sync-dirty-log", no_argument, NULL, 'y' },
    { "paused", no_argument, NULL, 'P' },
    { NULL, 0, NULL, 0 },
};

/* NULL, or what the option should have been. */
static const char *take_option(struct xc_sr_local_config *c, int opt,
                               const char *arg)
{
    uint64_t n;

    switch ( opt )
    {
    case 'm':
        return !parse_size(arg, &c->memory_kib) &&
                       c->memory_kib >= XC_SR_LOCAL_MIN_MEMORY_KIB
                   ? NULL
                   : "--memory: a multiple of 4k from 1M on, such as 256M";
    case 'c':
        if ( xl_parse_u64(arg, 1, XC_SR_LOCAL_MAX_VCPUS, &n) )
            return "--vcpus: a number from 1 to 64";
        c->vcpus = (uint32_t)n;
        return NULL;
    case 'w':
        return xc_sr_local_workload_parse(arg, &c->workload)
                   ? "--workload: idle, seq or random"
                   : NULL;
    case 'r':
        return xl_parse_u64(arg, 0, 1000000000, &c->rate_ops_per_s)
                   ? "--rate: operations per second and vCPU, 0 for full speed"
                   : NULL;
    case 's':
        return parse_size(arg, &c->working_set_kib)
                   ? "--working-set: a size, such as 64M"
                   : NULL;
    case 'p':
        if ( xl_parse_u64(arg, 0, 100, &n) )
            return "--populate: percent, 0 to 100";
        c->populate_percent = (uint32_t)n;
        return NULL;
    case 'x':
        return xl_parse_u64(arg, 0, UINT64_MAX, &c->seed) ? "--seed: a number"
                                                          : NULL;
    case 'u':
        if ( xl_parse_u64(arg, 0, 10000000, &n) )
            return "--suspend-delay-us: microseconds, at most 10000000";
        c->suspend_delay_us = (uint32_t)n;
        return NULL;
    default:
        c->sync_dirty_log = true;
        return NULL;
    }
}

int xl_local_create(const char *local_dir, int argc, char **argv)
{
    struct xc_sr_log log = make_log();
    struct xc_sr_local_config config;
    bool paused = false;
    int opt, rc;

    xc_sr_local_config_init(&config);
    opterr = 0;
    optind = 0;
    while ( (opt = getopt_long(argc, argv, "", create_options, NULL)) != -1 )
    {
        const char *why = "unknown option, or one without its value";

        if ( opt == 'P' )
        {
            paused = true;
            continue;
        }
        if ( opt != '?' )
            why = take_option(&config, opt, optarg);
        if ( why )
            return usage_error("create", why);
    }
    if ( argc - optind != 1 )
        return usage_error("create", "one name is needed");
    if ( !xl_name_is_valid(argv[optind]) )
        return usage_error("create", "a name is up to 64 letters, digits, "
                                     "'_', '.' or '-'");
    if ( config.working_set_kib > config.memory_kib )
        return usage_error("create", "--working-set is larger than --memory");
    snprintf(config.name, sizeof(config.name), "%s", argv[optind]);

    rc = xc_sr_local_create(local_dir, &config, false, &log);
    if ( !rc && paused )
        rc = xc_sr_local_pause(local_dir, config.name, &log);
    return exit_code(rc);
}

/* ---- Those that take a name -------------------------------------------------------- */

static int with_name(const char *local_dir, int argc, char **argv,
                     int (*act)(const char *dir, const char *name,
                                const struct xc_sr_log *log))
{
    struct xc_sr_log log = make_log();

    if ( argc != 2 || !xl_name_is_valid(argv[1]) )
        return usage_error(argv[0], "the name of one guest is needed");
    return exit_code(act(local_dir, argv[1], &log));
}

int xl_local_pause(const char *local_dir, int argc, char **argv)
{
    return with_name(local_dir, argc, argv, xc_sr_local_pause);
}

int xl_local_unpause(const char *local_dir, int argc, char **argv)
{
    return with_name(local_dir, argc, argv, xc_sr_local_unpause);
}

int xl_local_resume(const char *local_dir, int argc, char **argv)
{
    return with_name(local_dir, argc, argv, xc_sr_local_resume);
}

int xl_local_destroy(const char *local_dir, int argc, char **argv)
{
    return with_name(local_dir, argc, argv, xc_sr_local_destroy);
}

int xl_local_rename(const char *local_dir, int argc, char **argv)
{
    struct xc_sr_log log = make_log();

    if ( argc != 3 || !xl_name_is_valid(argv[1]) || !xl_name_is_valid(argv[2]) )
        return usage_error("rename", "a guest's name and a new one are needed");
    return exit_code(xc_sr_local_rename(local_dir, argv[1], argv[2], &log));
}

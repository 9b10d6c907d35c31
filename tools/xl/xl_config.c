/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_config.c: a local guest's configuration to JSON (the sender) and back
 * (the receiver, from a peer it need not trust).
 *
 * Every number is held against what the local backend can do before anything
 * is created from it, so that a refusal names the member at fault.  The seed
 * has 64 bits, which JSON numbers do not, and travels as a string of digits.
 */
#include "xl_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xl.h"
#include "xl_json.h"

/* A vCPU does some ten million operations a second at most. */
#define RATE_MAX             UINT64_C(1000000000)
/* Longer, and migrate's own deadline for the guest comes first; what the
 * local backend takes too. */
#define SUSPEND_DELAY_MAX_US UINT64_C(10000000)

bool xl_name_is_valid(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(name);

    return len > 0 && len <= XC_SR_LOCAL_NAME_MAX && name[0] != '.' &&
           name[0] != '-' && strspn(name, allowed) == len;
}

int xl_config_to_json(const struct xc_sr_local_config *config, char **text_r,
                      size_t *len_r)
{
    struct xl_json j = { .gen = NULL };
    char seed[24], *copy;
    const char *text;
    size_t len;
    int rc = xl_json_init(&j, false);

    if ( rc )
        return rc;
    snprintf(seed, sizeof(seed), "%" PRIu64, config->seed);
    xl_json_open_map(&j, NULL);
    xl_json_open_map(&j, "local_guest");
    xl_json_string(&j, "name", config->name);
    xl_json_u64(&j, "memory_kib", config->memory_kib);
    xl_json_u64(&j, "vcpus", config->vcpus);
    xl_json_string(&j, "workload", xc_sr_local_workload_name(config->workload));
    xl_json_u64(&j, "rate", config->rate_ops_per_s);
    xl_json_u64(&j, "working_set_kib", config->working_set_kib);
    xl_json_u64(&j, "populate_percent", config->populate_percent);
    xl_json_string(&j, "seed", seed);
    xl_json_u64(&j, "suspend_delay_us", config->suspend_delay_us);
    xl_json_bool(&j, "sync_dirty_log", config->sync_dirty_log);
    xl_json_close_map(&j);
    xl_json_close_map(&j);
    rc = xl_json_text(&j, &text, &len);
    if ( !rc )
    {
        copy = strndup(text, len);
        if ( copy )
        {
            *text_r = copy;
            *len_r = len;
        }
        else
            rc = -ENOMEM;
    }
    xl_json_dispose(&j);
    return rc;
}

/* One number with its bounds; mandatory ones have to be there. */
struct number
{
    const char *key;
    uint64_t min;
    uint64_t max;
    bool mandatory;
    uint64_t *value_r;
};

static int read_numbers(yajl_val map, const struct number *numbers,
                        unsigned int nr, char *why, size_t why_len)
{
    unsigned int i;

    for ( i = 0; i < nr; i++ )
    {
        const struct number *n = &numbers[i];
        uint64_t v = 0;
        int rc = xl_json_get_u64(map, n->key, n->max, &v);

        if ( rc == -ENOENT && !n->mandatory )
            continue;
        if ( rc == -ENOENT )
            snprintf(why, why_len, "%s is missing", n->key);
        else if ( rc || v < n->min )
            snprintf(why, why_len,
                     "%s: not an integer from %" PRIu64 " to %" PRIu64, n->key,
                     n->min, n->max);
        else
        {
            *n->value_r = v;
            continue;
        }
        return -EINVAL;
    }
    return 0;
}

static int read_name(yajl_val map, struct xc_sr_local_config *config, char *why,
                     size_t why_len)
{
    int rc =
        xl_json_get_string(map, "name", config->name, sizeof(config->name));

    if ( rc == -ENOENT )
        snprintf(why, why_len, "name is missing");
    else if ( rc || !xl_name_is_valid(config->name) )
        snprintf(why, why_len,
                 "name: not 1 to %d letters, digits or _.- (and no . or - "
                 "first)",
                 XC_SR_LOCAL_NAME_MAX);
    else
        return 0;
    return -EINVAL;
}

/* The members that are neither numbers nor the name. */
static int read_others(yajl_val map, struct xc_sr_local_config *config,
                       char *why, size_t why_len)
{
    char text[24];
    int rc = xl_json_get_string(map, "workload", text, sizeof(text));

    if ( !rc )
        rc = xc_sr_local_workload_parse(text, &config->workload);
    if ( rc && rc != -ENOENT )
    {
        snprintf(why, why_len, "workload: not one that is known here");
        return -EINVAL;
    }
    rc = xl_json_get_string(map, "seed", text, sizeof(text));
    if ( !rc )
        rc = xl_parse_u64(text, 0, UINT64_MAX, &config->seed);
    if ( rc && rc != -ENOENT )
    {
        snprintf(why, why_len, "seed: not a string of digits");
        return -EINVAL;
    }
    rc = xl_json_get_bool(map, "sync_dirty_log", &config->sync_dirty_log);
    if ( rc && rc != -ENOENT )
    {
        snprintf(why, why_len, "sync_dirty_log: neither true nor false");
        return -EINVAL;
    }
    return 0;
}

/* What one member alone does not tell: sizes in whole pages, one inside the
 * other. */
static int check_sizes(const struct xc_sr_local_config *config, char *why,
                       size_t why_len)
{
    if ( config->memory_kib % 4 )
        snprintf(why, why_len, "memory_kib: not a multiple of 4");
    else if ( config->working_set_kib % 4 )
        snprintf(why, why_len, "working_set_kib: not a multiple of 4");
    else if ( config->working_set_kib > config->memory_kib )
        snprintf(why, why_len, "working_set_kib: more than memory_kib");
    else
        return 0;
    return -EINVAL;
}

static int read_guest(yajl_val map, struct xc_sr_local_config *config_r,
                      char *why, size_t why_len)
{
    struct xc_sr_local_config config = { .name = "" };
    uint64_t vcpus = 0, populate, delay;
    int rc;

    xc_sr_local_config_init(&config);
    populate = config.populate_percent;
    delay = config.suspend_delay_us;

    const struct number numbers[] = {
        { "memory_kib", XC_SR_LOCAL_MIN_MEMORY_KIB, XC_SR_LOCAL_MAX_MEMORY_KIB,
          true, &config.memory_kib },
        { "vcpus", 1, XC_SR_LOCAL_MAX_VCPUS, true, &vcpus },
        { "rate", 0, RATE_MAX, false, &config.rate_ops_per_s },
        { "working_set_kib", 0, XC_SR_LOCAL_MAX_MEMORY_KIB, false,
          &config.working_set_kib },
        { "populate_percent", 0, 100, false, &populate },
        { "suspend_delay_us", 0, SUSPEND_DELAY_MAX_US, false, &delay },
    };

    rc = read_name(map, &config, why, why_len);
    if ( !rc )
        rc = read_numbers(map, numbers, sizeof(numbers) / sizeof(numbers[0]),
                          why, why_len);
    if ( !rc )
        rc = read_others(map, &config, why, why_len);
    if ( !rc )
        rc = check_sizes(&config, why, why_len);
    if ( rc )
        return rc;
    config.vcpus = (uint32_t)vcpus;
    config.populate_percent = (uint32_t)populate;
    config.suspend_delay_us = (uint32_t)delay;
    *config_r = config;
    return 0;
}

int xl_config_from_json(const char *text, size_t len,
                        struct xc_sr_local_config *config_r, char *why,
                        size_t why_len)
{
    yajl_val tree = NULL, guest;
    int rc = xl_json_parse(text, len, &tree, why, why_len);

    if ( rc )
        return rc == -ENOMEM ? rc : -EINVAL;
    if ( xl_json_get_map(tree, "local_guest", &guest) )
    {
        snprintf(why, why_len,
                 "no local_guest in it: not a guest of the local backend");
        rc = -EINVAL;
    }
    else
        rc = read_guest(guest, config_r, why, why_len);
    yajl_tree_free(tree);
    return rc;
}

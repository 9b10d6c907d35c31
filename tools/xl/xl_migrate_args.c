/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_args.c: the command lines of `migrate` and `migrate-receive`,
 * and the defaults.  Pure: says what is wrong in a line, touches nothing.
 */
#include "xl_migrate_args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "xl.h"
#include "xl_config.h"

/* Rounds beyond this are a typing error, and statistics keep only some. */
#define ITERATIONS_MAX      1000000u
/* An hour without the guest; a million MB/s is faster than memory. */
#define DOWNTIME_MAX_MS     3600000u
#define BANDWIDTH_MAX_MILLI UINT64_C(1000000000)
/* Who waits longer than an hour does not want a deadline. */
#define TIMEOUT_MAX_S       3600u
/* A year is for ever. */
#define RECOVERY_WAIT_MAX_S 31536000u

enum option_id
{
    OPT_POSTCOPY = 256,
    OPT_ITERATIONS,
    OPT_THRESHOLD,
    OPT_DOWNTIME,
    OPT_BANDWIDTH,
    OPT_POSTCOPY_BANDWIDTH,
    OPT_VERSION,
    OPT_PROGRESS,
    OPT_STATS,
    OPT_TIMEOUT,
    OPT_REMOTE_XL,
    OPT_DEBUG,
    OPT_RECOVERY_WAIT,
    OPT_ON_LOSS,
    OPT_RECOVER,
};

#define SHORT_OPTIONS             ":ps:q"
#define SHORT_OPTIONS_XEN         ":ps:qeDC:"
#define RECEIVE_SHORT_OPTIONS     ":p"
#define RECEIVE_SHORT_OPTIONS_XEN ":pe"

/* Those that both kinds of guests have. */
#define COMMON_OPTIONS                                                         \
    { "precopy-iterations", required_argument, NULL, OPT_ITERATIONS },         \
        { "threshold", required_argument, NULL, OPT_THRESHOLD },               \
        { "max-downtime", required_argument, NULL, OPT_DOWNTIME },             \
        { "bandwidth", required_argument, NULL, OPT_BANDWIDTH },               \
        { "postcopy-bandwidth", required_argument, NULL,                       \
          OPT_POSTCOPY_BANDWIDTH },                                            \
        { "stream-version", required_argument, NULL, OPT_VERSION },            \
        { "progress", required_argument, NULL, OPT_PROGRESS },                 \
        { "stats", required_argument, NULL, OPT_STATS },                       \
        { "recovery-wait", required_argument, NULL, OPT_RECOVERY_WAIT },       \
        { "on-loss", required_argument, NULL, OPT_ON_LOSS },                   \
    {                                                                          \
        "timeout", required_argument, NULL, OPT_TIMEOUT                        \
    }

static const struct option long_options[] = {
    COMMON_OPTIONS,
    { "postcopy", no_argument, NULL, OPT_POSTCOPY },
    { NULL, 0, NULL, 0 },
};

static const struct option long_options_xen[] = {
    COMMON_OPTIONS,
    { "postcopy", optional_argument, NULL, OPT_POSTCOPY },
    { "remote-xl", required_argument, NULL, OPT_REMOTE_XL },
    { "debug", no_argument, NULL, OPT_DEBUG },
    { NULL, 0, NULL, 0 },
};

static const struct option receive_options[] = {
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "recovery-wait", required_argument, NULL, OPT_RECOVERY_WAIT },
    { "on-loss", required_argument, NULL, OPT_ON_LOSS },
    { "recover", required_argument, NULL, OPT_RECOVER },
    { NULL, 0, NULL, 0 },
};

static const struct option receive_options_xen[] = {
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "recovery-wait", required_argument, NULL, OPT_RECOVERY_WAIT },
    { "on-loss", required_argument, NULL, OPT_ON_LOSS },
    { "recover", required_argument, NULL, OPT_RECOVER },
    { "postcopy", no_argument, NULL, OPT_POSTCOPY },
    { NULL, 0, NULL, 0 },
};

static int parse_progress(const char *text, enum xl_progress_mode *mode_r)
{
    static const struct
    {
        const char *name;
        enum xl_progress_mode mode;
    } modes[] = {
        { "auto", XL_PROGRESS_AUTO },
        { "tty", XL_PROGRESS_TTY },
        { "json", XL_PROGRESS_JSON },
        { "none", XL_PROGRESS_NONE },
    };
    unsigned int i;

    for ( i = 0; i < sizeof(modes) / sizeof(modes[0]); i++ )
    {
        if ( !strcmp(text, modes[i].name) )
        {
            *mode_r = modes[i].mode;
            return 0;
        }
    }
    return -EINVAL;
}

/* MB/s with up to three decimals, in octets per second; 0 is no limit. */
static int parse_bandwidth(const char *text, uint64_t *bytes_per_s_r)
{
    uint64_t milli = 0;

    if ( xl_parse_milli(text, BANDWIDTH_MAX_MILLI, &milli) || !milli )
        return -EINVAL;
    *bytes_per_s_r = milli * 1000;
    return 0;
}

static const char *take_timeout(const char *text, unsigned int *timeout_s_r)
{
    uint64_t v = 0;

    if ( xl_parse_u64(text, 1, TIMEOUT_MAX_S, &v) )
        return "seconds, from 1 to 3600";
    *timeout_s_r = (unsigned int)v;
    return NULL;
}

static const char *take_recovery_wait(const char *text, unsigned int *seconds_r)
{
    uint64_t v = 0;

    if ( xl_parse_u64(text, 0, RECOVERY_WAIT_MAX_S, &v) )
        return "seconds, from 0 to 31536000";
    *seconds_r = (unsigned int)v;
    return NULL;
}

static const char *take_on_loss(const char *text, enum xl_on_loss *on_loss_r)
{
    if ( !strcmp(text, "pause") )
        *on_loss_r = XL_ON_LOSS_PAUSE;
    else if ( !strcmp(text, "run") )
        *on_loss_r = XL_ON_LOSS_RUN;
    else
        return "pause or run";
    return NULL;
}

/* NULL, or what the option's value should have been. */
static const char *take_value(int option, const char *text,
                              struct xl_migrate_args *args)
{
    enum xl_on_loss on_loss;
    uint64_t v = 0;
    int rc;

    switch ( option )
    {
    case OPT_ITERATIONS:
        rc = xl_parse_u64(text, 0, ITERATIONS_MAX, &v);
        args->policy.max_iterations = (unsigned int)v;
        return rc ? "a number of rounds, 0 or more" : NULL;
    case OPT_THRESHOLD:
        rc = xl_parse_u64(text, 0, UINT64_MAX, &args->policy.threshold_pages);
        return rc ? "a number of pages" : NULL;
    case OPT_DOWNTIME:
        rc = xl_parse_u64(text, 1, DOWNTIME_MAX_MS, &v);
        args->policy.max_downtime_us = v * 1000;
        return rc ? "milliseconds, from 1 to 3600000" : NULL;
    case OPT_BANDWIDTH:
        rc = parse_bandwidth(text, &args->bandwidth_bytes_per_s);
        return rc ? "megabytes per second, more than 0, with up to three "
                    "decimals"
                  : NULL;
    case OPT_POSTCOPY_BANDWIDTH:
        rc = parse_bandwidth(text, &args->postcopy_bandwidth_bytes_per_s);
        return rc ? "megabytes per second, more than 0, with up to three "
                    "decimals"
                  : NULL;
    case OPT_VERSION:
        rc = xl_parse_u64(text, 2, 3, &v);
        args->stream_version = (unsigned int)v;
        return rc ? "2 or 3" : NULL;
    case OPT_TIMEOUT:
        return take_timeout(text, &args->timeout_s);
    case OPT_POSTCOPY:
        args->policy.allow_postcopy = true;
        args->require_postcopy = text && !strcmp(text, "require");
        return text && !args->require_postcopy ? "`require`, or nothing" : NULL;
    case OPT_RECOVERY_WAIT:
        args->recovery_wait = text;
        return take_recovery_wait(text, &args->recovery_wait_s);
    case OPT_ON_LOSS:
        args->on_loss = text;
        return take_on_loss(text, &on_loss);
    case OPT_REMOTE_XL:
        args->remote_xl = text;
        return *text ? NULL : "the file name of an xl";
    default:
        return parse_progress(text, &args->progress) ? "auto, tty, json or none"
                                                     : NULL;
    }
}

static const char *option_name(int option)
{
    const struct option *o;

    for ( o = long_options_xen; o->name; o++ )
        if ( o->val == option )
            return o->name;
    return "";
}

/* Options that need no look at their value; false if it is not one. */
static bool take_simple(int option, struct xl_migrate_args *args)
{
    switch ( option )
    {
    case OPT_STATS:
        args->stats_file = optarg;
        return true;
    case 's':
        args->carrier = optarg;
        return true;
    case 'p':
        args->paused = true;
        return true;
    case 'q':
        args->quiet = true;
        return true;
    case 'e':
        args->no_monitor = true;
        return true;
    case 'D':
        args->keep_domid = true;
        return true;
    case 'C':
        args->config_file = optarg;
        return true;
    case OPT_DEBUG:
        args->debug = true;
        return true;
    default:
        return false;
    }
}

static void begin_scan(void)
{
    optind = 0; /* glibc: forget an earlier scan */
    opterr = 0;
}

/* getopt_long() has come across no option of ours. */
static int refuse_option(int option, char **argv, char *why, size_t why_len)
{
    const char *what = option == ':' ? "a value is missing"
                                     : "no such option, or no value wanted";

    /* One of several letters in a word: optind may be before that still. */
    if ( optopt > ' ' && optopt < 127 )
        snprintf(why, why_len, "-%c: %s", optopt, what);
    else
        snprintf(why, why_len, "%s: %s", argv[optind - 1], what);
    return -EINVAL;
}

static int next_option(int argc, char **argv, bool xen)
{
    return xen ? getopt_long(argc, argv, SHORT_OPTIONS_XEN, long_options_xen,
                             NULL)
               : getopt_long(argc, argv, SHORT_OPTIONS, long_options, NULL);
}

static int parse_options(int argc, char **argv, bool xen,
                         struct xl_migrate_args *args, char *why,
                         size_t why_len)
{
    int option;

    begin_scan();
    while ( (option = next_option(argc, argv, xen)) != -1 )
    {
        const char *wanted;

        if ( option == '?' || option == ':' )
            return refuse_option(option, argv, why, why_len);
        if ( take_simple(option, args) )
            continue;
        wanted = take_value(option, optarg, args);
        if ( wanted )
        {
            snprintf(why, why_len, "--%s: `%s` is not %s", option_name(option),
                     optarg, wanted);
            return -EINVAL;
        }
    }
    return 0;
}

/* What the options mean together. */
static int check_together(struct xl_migrate_args *args, char *why,
                          size_t why_len)
{
    if ( args->postcopy_bandwidth_bytes_per_s && !args->policy.allow_postcopy )
    {
        snprintf(why, why_len, "--postcopy-bandwidth needs --postcopy");
        return -EINVAL;
    }
    if ( args->remote_xl && args->carrier && !*args->carrier )
    {
        snprintf(why, why_len,
                 "--remote-xl has no meaning with -s '': HOST is "
                 "the whole command then");
        return -EINVAL;
    }
    if ( args->policy.max_iterations == UINT32_MAX )
        args->policy.max_iterations = args->policy.allow_postcopy
                                          ? XL_DEFAULT_ITERATIONS_POSTCOPY
                                          : XL_DEFAULT_ITERATIONS;
    if ( args->quiet )
        args->progress = XL_PROGRESS_NONE;
    return 0;
}

static int parse_migrate(int argc, char **argv, bool xen,
                         struct xl_migrate_args *args, char *why,
                         size_t why_len)
{
    int rc;

    *args = (struct xl_migrate_args){
        .policy = { .max_iterations = UINT32_MAX,
                    .threshold_pages = XL_DEFAULT_THRESHOLD_PAGES },
        .stream_version = 3,
        .recovery_wait_s = XL_RECOVERY_WAIT_FOR_EVER,
    };
    rc = parse_options(argc, argv, xen, args, why, why_len);
    if ( rc )
        return rc;
    if ( argc - optind != 2 )
    {
        snprintf(why, why_len, "%s are wanted, %d argument%s given",
                 xen ? "DOMAIN and HOST" : "NAME and DEST", argc - optind,
                 argc - optind == 1 ? " was" : "s were");
        return -EINVAL;
    }
    args->name = argv[optind];
    args->dest = argv[optind + 1];
    return 0;
}

int xl_migrate_args_parse(int argc, char **argv, struct xl_migrate_args *args_r,
                          char *why, size_t why_len)
{
    struct xl_migrate_args args;
    int rc = parse_migrate(argc, argv, false, &args, why, why_len);

    if ( !rc && !xl_name_is_valid(args.name) )
    {
        snprintf(why, why_len, "`%s` cannot be a guest's name", args.name);
        return -EINVAL;
    }
    if ( !rc )
        rc = check_together(&args, why, why_len);
    if ( !rc )
        *args_r = args;
    return rc;
}

int xl_migrate_args_parse_xen(int argc, char **argv,
                              struct xl_migrate_args *args_r, char *why,
                              size_t why_len)
{
    struct xl_migrate_args args;
    int rc = parse_migrate(argc, argv, true, &args, why, why_len);

    if ( rc )
        return rc;
    if ( !*args.name || !*args.dest || args.dest[0] == '-' )
    {
        snprintf(why, why_len, "`%s` cannot be a %s",
                 *args.name ? args.dest : args.name,
                 *args.name ? "host" : "domain");
        return -EINVAL;
    }
    rc = check_together(&args, why, why_len);
    if ( !rc )
        *args_r = args;
    return rc;
}

static int next_receive_option(int argc, char **argv, bool xen)
{
    return xen ? getopt_long(argc, argv, RECEIVE_SHORT_OPTIONS_XEN,
                             receive_options_xen, NULL)
               : getopt_long(argc, argv, RECEIVE_SHORT_OPTIONS, receive_options,
                             NULL);
}

/* NULL, or what is wanted; *name_r: of which option. */
static const char *take_receive_value(int option, struct xl_receive_args *args,
                                      const char **name_r)
{
    switch ( option )
    {
    case OPT_TIMEOUT:
        *name_r = "timeout";
        return take_timeout(optarg, &args->timeout_s);
    case OPT_RECOVERY_WAIT:
        *name_r = "recovery-wait";
        return take_recovery_wait(optarg, &args->recovery_wait_s);
    case OPT_ON_LOSS:
        *name_r = "on-loss";
        return take_on_loss(optarg, &args->on_loss);
    case OPT_RECOVER:
        *name_r = "recover";
        args->recover = optarg;
        return xl_name_is_valid(optarg) ? NULL : "a guest's name";
    case 'p':
        args->paused = true;
        return NULL;
    case 'e':
        args->no_monitor = true;
        return NULL;
    default:
        return NULL;
    }
}

static int parse_receive(int argc, char **argv, bool xen,
                         struct xl_receive_args *args_r, char *why,
                         size_t why_len)
{
    struct xl_receive_args args = { .recovery_wait_s =
                                        XL_RECOVERY_WAIT_FOR_EVER };
    int option;

    begin_scan();
    while ( (option = next_receive_option(argc, argv, xen)) != -1 )
    {
        const char *name = "", *wanted;

        if ( option == '?' || option == ':' )
            return refuse_option(option, argv, why, why_len);
        wanted = take_receive_value(option, &args, &name);
        if ( wanted )
        {
            snprintf(why, why_len, "--%s: `%s` is not %s", name, optarg,
                     wanted);
            return -EINVAL;
        }
    }
    if ( optind < argc )
    {
        snprintf(why, why_len,
                 "`%s` is not wanted: the guest comes on "
                 "standard input",
                 argv[optind]);
        return -EINVAL;
    }
    *args_r = args;
    return 0;
}

int xl_receive_args_parse(int argc, char **argv, struct xl_receive_args *args_r,
                          char *why, size_t why_len)
{
    return parse_receive(argc, argv, false, args_r, why, why_len);
}

int xl_receive_args_parse_xen(int argc, char **argv,
                              struct xl_receive_args *args_r, char *why,
                              size_t why_len)
{
    return parse_receive(argc, argv, true, args_r, why, why_len);
}

static int parse_recover(int argc, char **argv, bool xen,
                         struct xl_recover_args *args_r, char *why,
                         size_t why_len)
{
    static const struct option all[] = {
        { "remote-xl", required_argument, NULL, OPT_REMOTE_XL },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { NULL, 0, NULL, 0 },
    };
    const struct option *options = xen ? all : all + 1;
    struct xl_recover_args args = { .name = NULL };
    int option;

    begin_scan();
    while ( (option = getopt_long(argc, argv, ":s:q", options, NULL)) != -1 )
    {
        const char *wanted = NULL;

        if ( option == '?' || option == ':' )
            return refuse_option(option, argv, why, why_len);
        if ( option == 's' )
            args.carrier = optarg;
        else if ( option == 'q' )
            args.quiet = true;
        else if ( option == OPT_REMOTE_XL )
            args.remote_xl = optarg;
        else
            wanted = take_timeout(optarg, &args.timeout_s);
        if ( wanted )
        {
            snprintf(why, why_len, "--timeout: `%s` is not %s", optarg, wanted);
            return -EINVAL;
        }
    }
    if ( argc - optind != 2 )
    {
        snprintf(why, why_len, "%s are wanted, %d argument%s given",
                 xen ? "DOMAIN and HOST" : "NAME and DEST", argc - optind,
                 argc - optind == 1 ? " was" : "s were");
        return -EINVAL;
    }
    args.name = argv[optind];
    args.dest = argv[optind + 1];
    *args_r = args;
    return 0;
}

int xl_recover_args_parse(int argc, char **argv, struct xl_recover_args *args_r,
                          char *why, size_t why_len)
{
    return parse_recover(argc, argv, false, args_r, why, why_len);
}

int xl_recover_args_parse_xen(int argc, char **argv,
                              struct xl_recover_args *args_r, char *why,
                              size_t why_len)
{
    return parse_recover(argc, argv, true, args_r, why, why_len);
}

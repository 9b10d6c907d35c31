/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream.c: xen-verify-stream: is this a well-formed migration stream?
 *
 * Options, exit codes and what is said to people; the work is done by
 * verify_stream_nest.c (layers) and libxenpostcopy's verifier (records).
 * Exit: 0 valid, 1 invalid, 2 usage or I/O error.  Man page:
 * xen-verify-stream(1).
 */
#include "verify_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_VALID   0
#define EXIT_INVALID 1
#define EXIT_TROUBLE 2

struct arguments
{
    struct verify_options options;
    bool verbose;
    bool json;
    const char *file;
};

static const char help[] =
    "usage: xen-verify-stream [options] [FILE|-]\n"
    "Says whether FILE (default: standard input) is a well-formed migration\n"
    "stream, and where and why not.\n"
    "\n"
    "  -f, --format FORMAT     auto (default), libxc, libxl or xl\n"
    "  -v, --verbose           one line for each record\n"
    "      --json              one JSON object instead of text\n"
    "      --back              FILE is a capture of the back channel; with\n"
    "                          -f xl, of all that migrate-receive says\n"
    "      --stream-version N  of the back channel: 2 or 3 (default: found "
    "out)\n"
    "      --partial           announced pages may be missing at the end\n"
    "  -h, --help              this text\n"
    "  -V, --version\n"
    "\n"
    "Exit status: 0 valid, 1 invalid, 2 usage or I/O error.\n";

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    puts(line);
}

/* ---- Options ------------------------------------------------------------------- */

static int parse_format(const char *text, enum verify_format *format_r)
{
    for ( int i = VERIFY_AUTO; i <= VERIFY_XL; i++ )
    {
        if ( strcmp(text, verify_format_name((enum verify_format)i)) )
            continue;
        *format_r = (enum verify_format)i;
        return 0;
    }
    fprintf(stderr,
            "xen-verify-stream: format '%s': must be auto, libxc, libxl or "
            "xl\n",
            text);
    return -EINVAL;
}

static int parse_version(const char *text, unsigned int *version_r)
{
    if ( strcmp(text, "2") && strcmp(text, "3") )
    {
        fprintf(stderr,
                "xen-verify-stream: stream version '%s': must be 2 or 3\n",
                text);
        return -EINVAL;
    }
    *version_r = text[0] == '2' ? 2 : 3;
    return 0;
}

enum
{
    OPT_JSON = 256,
    OPT_BACK,
    OPT_VERSION_OF,
    OPT_PARTIAL,
};

static const struct option long_options[] = {
    { "format", required_argument, NULL, 'f' },
    { "verbose", no_argument, NULL, 'v' },
    { "json", no_argument, NULL, OPT_JSON },
    { "back", no_argument, NULL, OPT_BACK },
    { "stream-version", required_argument, NULL, OPT_VERSION_OF },
    { "partial", no_argument, NULL, OPT_PARTIAL },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
};

/* -ECANCELED: everything is said and done. */
static int parse_option(int opt, struct arguments *args)
{
    switch ( opt )
    {
    case 'f':
        return parse_format(optarg, &args->options.format);
    case 'v':
        args->verbose = true;
        return 0;
    case OPT_JSON:
        args->json = true;
        return 0;
    case OPT_BACK:
        args->options.back = true;
        return 0;
    case OPT_VERSION_OF:
        return parse_version(optarg, &args->options.version);
    case OPT_PARTIAL:
        args->options.partial = true;
        return 0;
    case 'h':
        fputs(help, stdout);
        return -ECANCELED;
    case 'V':
        printf("xen-verify-stream (xen-postcopy) %s\n", PACKAGE_VERSION);
        return -ECANCELED;
    default: /* getopt has said what is wrong */
        return -EINVAL;
    }
}

static int check_arguments(struct arguments *args, int argc, char **argv)
{
    const char *problem = NULL;

    if ( optind + 1 < argc )
        problem = "more than one file";
    else if ( args->verbose && args->json )
        problem = "-v and --json exclude each other";
    else if ( args->options.back && args->options.format == VERIFY_LIBXL )
        problem = "a back channel (--back) is of format libxc or xl";
    else if ( args->options.version && !args->options.back )
        problem = "--stream-version is for --back: a stream names its own";
    if ( problem )
    {
        fprintf(stderr, "xen-verify-stream: %s\n", problem);
        return -EINVAL;
    }
    args->file = optind < argc ? argv[optind] : "-";
    if ( args->verbose )
        args->options.line = print_line;
    return 0;
}

static int parse_arguments(int argc, char **argv, struct arguments *args_r)
{
    struct arguments args = { .file = "-" };
    int opt, rc = 0;

    while ( !rc &&
            (opt = getopt_long(argc, argv, "f:vhV", long_options, NULL)) != -1 )
        rc = parse_option(opt, &args);
    if ( !rc )
        rc = check_arguments(&args, argc, argv);
    if ( rc == -EINVAL )
        fputs("Try 'xen-verify-stream --help'.\n", stderr);
    if ( rc )
        return rc;
    *args_r = args;
    return 0;
}

/* ---- Saying it ------------------------------------------------------------------- */

static void print_summary(const struct verify_nest *n, const char *name)
{
    struct xc_sr_verify_report report;
    uint64_t pages = 0;

    memset(&report, 0, sizeof(report));
    if ( n->libxc ) /* a plain migration has no back channel of libxc's */
        xc_sr_verifier_report(n->libxc, &report);
    for ( unsigned int i = 0; i < XC_SR_VERIFY_PAGE_TYPES; i++ )
        pages += report.by_page_type[i].count;
    printf("%s: valid %s %s, version %u%s%s, %" PRIu64 " records", name,
           verify_format_name(n->format),
           n->options.back ? "back channel" : "stream", report.version,
           report.guest_type == 1   ? ", x86 PV"
           : report.guest_type == 2 ? ", x86 HVM"
                                    : "",
           report.postcopy ? ", post-copy" : "", report.records);
    if ( !n->options.back )
        printf(", %" PRIu64 " pages", pages);
    if ( report.missing_pages )
        printf(" (%" PRIu64 " announced pages missing)", report.missing_pages);
    printf(", %" PRIu64 " octets%s\n", n->offset,
           report.aborted ? ", aborted" : "");
}

static int say_result(const struct verify_nest *n, const struct arguments *args,
                      const char *name)
{
    char text[300];
    int rc = 0;

    if ( args->json )
    {
        rc = verify_json_report(n, name, stdout);
        if ( rc )
            fprintf(stderr, "xen-verify-stream: writing the report: %s\n",
                    strerror(-rc));
    }
    else if ( !n->fault.error )
        print_summary(n, name);
    /* Lines about records come before the fault that stopped them. */
    if ( fflush(stdout) || ferror(stdout) )
    {
        rc = rc ? rc : -EIO;
        fprintf(stderr, "xen-verify-stream: standard output: %s\n",
                strerror(errno));
    }
    if ( n->fault.error )
        fprintf(stderr, "%s: %s\n", name,
                xc_sr_verify_fault_text(&n->fault, text, sizeof(text)));
    if ( rc )
        return EXIT_TROUBLE;
    return n->fault.error ? EXIT_INVALID : EXIT_VALID;
}

int main(int argc, char **argv)
{
    struct arguments args;
    struct verify_nest nest;
    const char *name;
    int fd = STDIN_FILENO, status, rc = parse_arguments(argc, argv, &args);

    if ( rc )
        return rc == -ECANCELED ? EXIT_VALID : EXIT_TROUBLE;
    name = strcmp(args.file, "-") ? args.file : "standard input";
    if ( strcmp(args.file, "-") )
    {
        fd = open(args.file, O_RDONLY | O_CLOEXEC);
        if ( fd < 0 )
        {
            fprintf(stderr, "xen-verify-stream: %s: %s\n", name,
                    strerror(errno));
            return EXIT_TROUBLE;
        }
    }

    rc = verify_nest_init(&nest, &args.options);
    if ( !rc )
        rc = verify_input(&nest, fd);
    if ( rc && !nest.fault.error )
    {
        fprintf(stderr, "xen-verify-stream: %s: %s\n", name, strerror(-rc));
        status = EXIT_TROUBLE;
    }
    else
        status = say_result(&nest, &args, name);
    verify_nest_dispose(&nest);
    if ( fd != STDIN_FILENO )
        close(fd);
    return status;
}

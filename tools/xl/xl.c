/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl.c: the program.  Reads the global options, then runs a sub-command of
 * one of the tables in xl_commands.c, or becomes the system's xl with the very
 * arguments it was given.
 *
 * With --local everything is about guests of the local backend.  Without, the
 * stock xl keeps all that it can do itself; ours are the commands it does not
 * have, and those of its own that are asked for with --postcopy.
 */
#include "xl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xl_commands.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void print_commands(FILE *out, const struct xl_command *c)
{
    for ( ; c->name; c++ )
        fprintf(out, "  %-22s%s\n", c->name, c->help);
}

static void print_help(FILE *out)
{
    fprintf(out, "usage: xl [-v] --local DIR COMMAND [OPTIONS] ...\n"
                 "       xl [-v] migrate --postcopy DOMAIN HOST\n"
                 "       xl COMMAND ...        as the system's xl\n\n"
                 "Commands for guests of the local host DIR:\n");
    print_commands(out, xl_commands);
    if ( xl_xen_commands[0].name )
        fprintf(out, "\nCommands for guests of Xen that the system's xl does "
                     "not have:\n");
    print_commands(out, xl_xen_commands);
    fprintf(out,
            "\n`xl help COMMAND` shows its options.  -v says more, -vv all.\n"
            "Exit status: 0 done, 1 failed, 2 bad usage or input, 3 refused "
            "by the\ndestination, 4 outcome unknown, 127 no system xl to hand "
            "a command to.\n");
}

static int print_command_help(const char *name)
{
    const struct xl_command *local = xl_command_find(name);
    const struct xl_command *xen = xl_command_find_xen(name);
    const struct xl_command *any = local ? local : xen;

    if ( !any )
    {
        xl_error("help: no command called `%s`; `xl help` lists them", name);
        return XL_EXIT_USAGE;
    }
    if ( local )
        printf("usage: xl --local DIR %s %s\n", name, local->usage);
    if ( xen )
        printf("%s xl %s %s\n", local ? "   or:" : "usage:", name, xen->usage);
    puts(any->help);
    if ( !xen )
        printf("Without --local it is a command of the system's xl, if that "
               "has it: `xl %s --help`\n",
               name);
    return XL_EXIT_DONE;
}

/* xl help COMMAND: of a command that is not ours the system's xl knows. */
static int help_about(const struct xl_global *global, char **argv,
                      const char *name)
{
    if ( !global->local_dir && !xl_command_find(name) &&
         !xl_command_find_xen(name) &&
         xl_passthrough_try(getenv("PATH"), argv) )
        return XL_EXIT_NO_XL;
    return print_command_help(name);
}

/* True for -v, -vv, ...; *count_r how many. */
static bool is_verbose_option(const char *arg, int *count_r)
{
    size_t nr = strspn(arg + (*arg == '-'), "v");

    if ( arg[0] != '-' || !nr || arg[1 + nr] || nr > 8 )
        return false;
    *count_r = (int)nr;
    return true;
}

/*
 * Global options; *first_r is the index of the sub-command, or argc.  False
 * if there is one we do not know (*first_r then is its index).
 */
static bool read_global(int argc, char **argv, struct xl_global *global,
                        int *first_r)
{
    int i, nr;

    for ( i = 1; i < argc && argv[i][0] == '-'; i++ )
    {
        if ( is_verbose_option(argv[i], &nr) )
            global->verbose += nr;
        else if ( !strcmp(argv[i], "--local") && i + 1 < argc )
            global->local_dir = argv[++i];
        else if ( !strncmp(argv[i], "--local=", 8) )
            global->local_dir = argv[i] + 8;
        else
            break;
    }
    *first_r = i;
    return i == argc || argv[i][0] != '-';
}

static bool wants_help(const char *arg)
{
    return !strcmp(arg, "help") || !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

static bool asks_for_postcopy(int argc, char **argv)
{
    int i;

    for ( i = 1; i < argc && strcmp(argv[i], "--"); i++ )
        if ( !strcmp(argv[i], "--postcopy") ||
             !strncmp(argv[i], "--postcopy=", 11) )
            return true;
    return false;
}

/* What the system's xl cannot do: commands it does not have, and options. */
static bool is_for_us(int argc, char **argv)
{
    if ( !strcmp(argv[0], "migrate") || !strcmp(argv[0], "migrate-receive") )
        return asks_for_postcopy(argc, argv);
    return !strncmp(argv[0], "migrate-", 8) ||
           !strncmp(argv[0], "postcopy-", 9);
}

#ifdef HAVE_XENLIGHT
/* Without --local: the system's xl, unless only we know the command. */
static int run_system(const struct xl_global *global, int argc, char **argv,
                      int first)
{
    const struct xl_command *c = xl_command_find_xen(argv[first]);

    argc -= first;
    if ( c && is_for_us(argc, argv + first) )
    {
        if ( argc > 1 && (!strcmp(argv[first + 1], "--help") ||
                          !strcmp(argv[first + 1], "-h")) )
            return print_command_help(argv[first]);
        return c->run(global, argc, argv + first);
    }
    if ( xl_xen_is_refused(global, argc, argv + first) )
        return XL_EXIT_FAILED;
    return xl_passthrough(getenv("PATH"), argv);
}
#else
static int run_system(const struct xl_global *global, int argc, char **argv,
                      int first)
{
    (void)global;
    if ( is_for_us(argc - first, argv + first) )
    {
        xl_error("%s: this xl was built without libxl and moves guests of the "
                 "local backend only (give --local DIR before the command)",
                 argv[first]);
        return XL_EXIT_USAGE;
    }
    return xl_passthrough(getenv("PATH"), argv);
}
#endif

/* After an option of the system's xl, before a command that may be guarded. */
static int run_with_options(const struct xl_global *global, int argc,
                            char **argv, int first)
{
#ifdef HAVE_XENLIGHT
    while ( first < argc && argv[first][0] == '-' )
        first++; /* none of them has a value */
    if ( first < argc && xl_xen_is_refused(global, argc - first, argv + first) )
        return XL_EXIT_FAILED;
#else
    (void)global;
    (void)argc;
    (void)first;
#endif
    return xl_passthrough(getenv("PATH"), argv);
}

static int run_local(const struct xl_global *global, int argc, char **argv)
{
    const struct xl_command *c = xl_command_find(argv[0]);

    if ( !*global->local_dir )
    {
        xl_error("--local: the directory's name is empty");
        return XL_EXIT_USAGE;
    }
    if ( !c )
    {
        xl_error("`%s` is not a command for local guests; `xl help` lists "
                 "those that are",
                 argv[0]);
        return XL_EXIT_USAGE;
    }
    if ( argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) )
        return print_command_help(argv[0]);
    return c->run ? c->run(global, argc, argv)
                  : c->run_local(global->local_dir, argc, argv);
}

int main(int argc, char **argv)
{
    struct xl_global global = { .local_dir = NULL };
    int first;
    bool known = read_global(argc, argv, &global, &first);

    if ( first == argc )
    {
        print_help(stderr);
        return XL_EXIT_USAGE;
    }
    if ( !strcmp(argv[first], "--version") )
    {
        printf("xl (xen-postcopy) %s\n", PACKAGE_VERSION);
        return XL_EXIT_DONE;
    }
    if ( wants_help(argv[first]) )
    {
        if ( first + 1 < argc )
            return help_about(&global, argv, argv[first + 1]);
        print_help(stdout);
        return XL_EXIT_DONE;
    }
    if ( global.local_dir && known )
        return run_local(&global, argc - first, argv + first);
    if ( !known && (global.local_dir || !strcmp(argv[first], "--local")) )
    {
        xl_error("%s: %s; `xl help` shows how to use it", argv[first],
                 strcmp(argv[first], "--local") ? "unknown option"
                                                : "needs a directory");
        return XL_EXIT_USAGE;
    }
    if ( !known )
        return run_with_options(&global, argc, argv, first);
    return run_system(&global, argc, argv, first);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_fallback.c: what `migrate --postcopy` does where post-copy is not
 * possible and the user did not insist on it: the same migration, by the
 * system's xl.  Nothing of ours is left by then; what follows is its own
 * connection, its own messages and its own exit status.
 */
#include "xl_xen.h"

#include <stdlib.h>

#include "xl_migrate_args.h"

#define MAX_ARGUMENTS 16

int xl_xen_fall_back(const struct xl_global *global,
                     const struct xl_migrate_args *args)
{
    const char *argv[MAX_ARGUMENTS];
    unsigned int n = 0;
    int i;

    argv[n++] = "xl";
    for ( i = 0; i < global->verbose && i < 3; i++ )
        argv[n++] = "-v";
    argv[n++] = "migrate";
    if ( args->no_monitor )
        argv[n++] = "-e";
    if ( args->paused )
        argv[n++] = "-p";
    if ( args->keep_domid )
        argv[n++] = "-D";
    if ( args->debug )
        argv[n++] = "--debug";
    if ( args->config_file )
    {
        argv[n++] = "-C";
        argv[n++] = args->config_file;
    }
    if ( args->carrier )
    {
        argv[n++] = "-s";
        argv[n++] = args->carrier;
    }
    argv[n++] = args->name;
    argv[n++] = args->dest;
    argv[n] = NULL;
    return xl_passthrough(getenv("PATH"), (char **)(uintptr_t)argv);
}

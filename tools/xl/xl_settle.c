/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_settle.c: `destroy` and `resume`, with which an operator also decides
 * about a guest that a migration left suspended.  The deed is xl_local.c's;
 * here the record of that migration goes with it, once it has nothing left to
 * say.
 */
#include "xl.h"
#include "xl_control.h"
#include "xl_journal.h"
#include "xl_local.h"

static void forget_migration(const char *local_dir, const char *name)
{
    struct xl_journal journal = { .dir_fd = -1 };

    xl_control_forget(local_dir, name);
    if ( xl_journal_open(&journal, local_dir, name, true) )
        return;
    if ( xl_journal_remove(&journal) )
        xl_note("could not remove the record %s/%s", local_dir, journal.file);
    xl_journal_close(&journal);
}

int xl_cmd_destroy(const struct xl_global *global, int argc, char **argv)
{
    int status = xl_local_destroy(global->local_dir, argc, argv);

    if ( status == XL_EXIT_DONE )
        forget_migration(global->local_dir, argv[argc - 1]);
    return status;
}

int xl_cmd_resume(const struct xl_global *global, int argc, char **argv)
{
    int status = xl_local_resume(global->local_dir, argc, argv);

    if ( status == XL_EXIT_DONE )
        forget_migration(global->local_dir, argv[argc - 1]);
    return status;
}

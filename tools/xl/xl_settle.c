/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_settle.c: `destroy` and `resume`, with which an operator also decides
 * about a guest that a migration left suspended.  The deed is xl_local.c's;
 * here the record of that migration goes with it, once it has nothing left to
 * say.  `destroy` also takes a record whose guest is not, or no longer, here.
 */
#include <errno.h>

#include "xl.h"
#include "xl_control.h"
#include "xl_config.h"
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

/* No guest, but a record of one that nobody goes on with: that was meant. */
static bool forget_record_alone(const char *local_dir, const char *name)
{
    struct xl_journal_record record;
    struct xc_sr_local_info info;

    if ( xc_sr_local_info_get(local_dir, name, NULL, &info) != -ENOENT ||
         xl_journal_read(local_dir, name, &record) ||
         !(xl_journal_is_settled(&record) || xl_journal_is_abandoned(&record)) )
        return false;
    forget_migration(local_dir, name);
    xl_note("there is no guest `%s` in %s; the record `%s` of its last "
            "migration is removed",
            name, local_dir, xc_sr_owner_name(record.owner));
    return true;
}

int xl_cmd_destroy(const struct xl_global *global, int argc, char **argv)
{
    int status;

    if ( argc == 2 && xl_name_is_valid(argv[1]) &&
         forget_record_alone(global->local_dir, argv[1]) )
        return XL_EXIT_DONE;
    status = xl_local_destroy(global->local_dir, argc, argv);
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

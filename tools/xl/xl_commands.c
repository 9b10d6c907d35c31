/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_commands.c: the tables of sub-commands, for local guests and for guests of
 * a real Xen, in the order in which help shows them.  main() walks them; so do
 * usage messages.  What is in neither belongs to the system's xl.
 */
#include "xl_commands.h"

#include <string.h>

#include "xl_local.h"

const struct xl_command xl_commands[] = {
    { "create", NULL, xl_local_create,
      "[--memory SIZE] [--vcpus N] [--workload idle|seq|random]\n"
      "           [--rate OPS] [--working-set SIZE] [--populate PERCENT]\n"
      "           [--seed N] [--suspend-delay-us US] [--sync-dirty-log]\n"
      "           [--paused] NAME",
      "start a guest" },
    { "list", NULL, xl_local_list, "[--json] [NAME]", "show guests" },
    { "pause", NULL, xl_local_pause, "NAME", "stop a guest's vCPUs" },
    { "unpause", NULL, xl_local_unpause, "NAME", "let them run again" },
    { "check", NULL, xl_local_check, "[--json] NAME",
      "have a guest verify all of its memory" },
    { "rename", NULL, xl_local_rename, "NAME NEW-NAME",
      "give a guest another name" },
    { "resume", xl_cmd_resume, NULL, "NAME",
      "run a guest here again that a migration left suspended" },
    { "destroy", xl_cmd_destroy, NULL, "NAME", "end a guest" },
    { "migrate", xl_cmd_migrate, NULL,
      "[--postcopy] [--precopy-iterations N] [--threshold PAGES]\n"
      "           [--max-downtime MS] [--bandwidth MB/S] "
      "[--postcopy-bandwidth MB/S]\n"
      "           [--stream-version 2|3] [--timeout SECONDS] [-p] [-s "
      "COMMAND]\n"
      "           [--recovery-wait SECONDS] [--on-loss=pause|run]\n"
      "           [-q] [--progress=auto|tty|json|none] [--stats FILE] NAME "
      "DEST",
      "move a running guest to another host" },
    { "migrate-receive", xl_cmd_migrate_receive, NULL,
      "[-p] [--timeout SECONDS] [--recovery-wait SECONDS]\n"
      "           [--on-loss=pause|run] [--recover NAME]",
      "take in a guest (started by migrate)" },
    { "migrate-postcopy-now", xl_cmd_migrate_postcopy_now, NULL, "NAME",
      "turn a migration under way to post-copy" },
    { "migrate-abort", xl_cmd_migrate_abort, NULL, "NAME",
      "give up a migration under way" },
    { "migrate-status", xl_cmd_migrate_status, NULL, "[--json] [NAME]",
      "how far migrations are, and what to do" },
    { "migrate-recover", xl_cmd_migrate_recover, NULL,
      "[-q] [-s COMMAND] [--timeout SECONDS] NAME DEST",
      "take a migration up again whose connection was lost" },
    { NULL, NULL, NULL, NULL, NULL },
};

const struct xl_command xl_xen_commands[] = {
#ifdef HAVE_XENLIGHT
    { "migrate", xl_cmd_xen_migrate, NULL,
      "--postcopy[=require] [-s COMMAND] [-e] [-p] [-D] [-C FILE]\n"
      "           [--debug] [--precopy-iterations N] [--threshold PAGES]\n"
      "           [--max-downtime MS] [--bandwidth MB/S]\n"
      "           [--postcopy-bandwidth MB/S] [--stream-version 2|3]\n"
      "           [--timeout SECONDS] [--recovery-wait SECONDS]\n"
      "           [--on-loss pause|run] [--remote-xl PATH] [-q]\n"
      "           [--progress=auto|tty|json|none] [--stats FILE] DOMAIN HOST",
      "move a running guest to another Xen host, post-copy" },
    { "migrate-receive", xl_cmd_xen_migrate_receive, NULL,
      "--postcopy [-e] [-p] [--timeout SECONDS]\n"
      "           [--recovery-wait SECONDS] [--on-loss pause|run]\n"
      "           [--recover UUID]",
      "take in a guest (started by migrate)" },
    { "migrate-recover", xl_cmd_xen_migrate_recover, NULL,
      "[-s COMMAND] [--remote-xl PATH] [--timeout SECONDS] [-q] DOMAIN HOST",
      "go on with a migration that lost its connection" },
    { "migrate-resume", xl_cmd_xen_migrate_resume, NULL, "DOMAIN",
      "run here again what a migration left suspended" },
    { "migrate-postcopy-now", xl_cmd_xen_migrate_request, NULL, "DOMAIN",
      "turn a migration under way to post-copy" },
    { "migrate-abort", xl_cmd_xen_migrate_request, NULL, "DOMAIN",
      "give up a migration under way, or what one has left" },
    { "migrate-status", xl_cmd_xen_migrate_request, NULL, "[--json] [DOMAIN]",
      "how far migrations are, and what to do" },
    { "postcopy-check", xl_cmd_postcopy_check, NULL,
      "[--json] [-s COMMAND] [--remote-xl PATH] [--domain DOMAIN] [HOST]",
      "can this host, and that one, do post-copy" },
    { "postcopy-monitor", xl_cmd_postcopy_monitor, NULL, "DOMID",
      "do what is to be done when a guest shuts down" },
#endif
    { NULL, NULL, NULL, NULL, NULL },
};

static const struct xl_command *find(const struct xl_command *c,
                                     const char *name)
{
    for ( ; c->name; c++ )
        if ( !strcmp(c->name, name) )
            return c;
    return NULL;
}

const struct xl_command *xl_command_find(const char *name)
{
    return find(xl_commands, name);
}

const struct xl_command *xl_command_find_xen(const char *name)
{
    return find(xl_xen_commands, name);
}

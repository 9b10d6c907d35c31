/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_recover.c: the source's process when its connection is lost after COMMIT.
 *
 * Called by the engine, in its thread, through struct xc_sr_recovery.  Says
 * what has happened and the exact command that goes on, lets go of the
 * carrier, and stays: the guest's memory is safe here with or without this
 * process, but with it nothing has to be opened again.
 */
#include "xl_recover.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void xl_recover_command(const struct xl_migration *m, char *buf, size_t len)
{
    const struct xl_migrate_args *args = &m->args;
    const char *dir = m->global->local_dir;
    char local[160] = "", options[240] = "";

    if ( dir )
        snprintf(local, sizeof(local), "--local %.140s ", dir);
    if ( args->carrier )
        snprintf(options, sizeof(options), "-s '%.100s' ", args->carrier);
    if ( args->remote_xl )
        snprintf(options + strlen(options), sizeof(options) - strlen(options),
                 "--remote-xl %.100s ", args->remote_xl);
    if ( !args->carrier || *args->carrier )
        snprintf(buf, len, "xl %smigrate-recover %s%s %s", local, options,
                 args->name, args->dest);
    else
        snprintf(buf, len,
                 "xl %smigrate-recover %s%s COMMAND, where COMMAND leads to "
                 "`xl %smigrate-receive %s--recover %s` at the destination",
                 local, options, args->name, dir ? "--local DIR " : "",
                 dir ? "" : "--postcopy ", m->key);
}

static void on_lost(void *ctx, const char *why)
{
    struct xl_migration *m = ctx;
    char command[512];
    bool first = m->link.connected;

    xl_link_lost(&m->link, why);
    /* A carrier that is left has nothing to carry; it ends by itself. */
    if ( m->child.send_fd >= 0 )
        close(m->child.send_fd);
    if ( m->child.recv_fd >= 0 )
        close(m->child.recv_fd);
    m->child.send_fd = m->child.recv_fd = -1;
    /* The terminal may go as the network did. */
    signal(SIGHUP, SIG_IGN);
    xl_progress_end(&m->progress);
    xl_log_release("");
    if ( !first )
    {
        xl_error("`%s` could not be taken up again: %s", m->args.name, why);
        return;
    }
    xl_recover_command(m, command, sizeof(command));
    xl_error("the connection of `%s` is lost: %s", m->args.name, why);
    xl_error("it may run at %s; it is kept here, suspended, with all its "
             "memory, and this process waits for: %s",
             m->args.dest, command);
}

static void on_recovered(void *ctx)
{
    struct xl_migration *m = ctx;

    xl_link_recovered(&m->link);
    xl_note("`%s` goes on: both sides have agreed where they stand",
            m->args.name);
}

void xl_migration_recovery(struct xl_migration *m,
                           struct xc_sr_recovery *recovery_r)
{
    xl_link_init(&m->link, m->control);
    *recovery_r = (struct xc_sr_recovery){
        .enabled = m->args.recovery_wait_s != 0,
        .lost = on_lost,
        .recovered = on_recovered,
        .ctx = m,
    };
    if ( m->args.recovery_wait_s != XL_RECOVERY_WAIT_FOR_EVER )
        recovery_r->timeout_us = m->args.recovery_wait_s * UINT64_C(1000000);
}

/* A record that was told to us does not say whether the guest has ended. */
static const char *how_done(const struct xc_sr_save_result *result)
{
    if ( !result->peer_stats_valid )
        return "settled";
    return result->peer_stats.abandoned ? "ended" : "done";
}

void xl_migration_end_link(struct xl_migration *m)
{
    xl_link_end(&m->link, m->owner == XC_SR_OWNER_DONE ? how_done(&m->result)
                          : m->owner == XC_SR_OWNER_RESUMED ? "resumed"
                                                            : "parked");
}

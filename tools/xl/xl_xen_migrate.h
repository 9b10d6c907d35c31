/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_migrate.h: a migration of a Xen guest at its source, shared by
 * xl_xen_migrate.c, which begins it once xl_xen_look.c has found nothing in its
 * way, and xl_xen_recover.c, which takes it up again where its process is gone.
 */
#ifndef XL_XEN_MIGRATE_H
#define XL_XEN_MIGRATE_H

#include "libxl_postcopy.h"
#include "xl_migrate.h"
#include "xl_xen.h"
#include "xl_xen_record.h"

struct xl_xen_migration
{
    struct xl_migration m; /* what it has in common with a local one */
    libxl_ctx *ctx;
    struct xl_xen_domain domain;
    char name[XL_XEN_NAME_MAX + 20]; /* its proper one */
    char away[XL_XEN_NAME_MAX + 20]; /* its name once it has left */
    char *config_json;
    struct xl_xen_record record;
    struct libxl_postcopy_send_result sent;
    bool renamed;
    bool fall_back; /* nothing was touched, and stock can do it */
};

/* A zeroed struct becomes one that may be disposed of. */
void xl_xen_migration_init(struct xl_xen_migration *x,
                           const struct xl_global *global);
void xl_xen_migration_dispose(struct xl_xen_migration *x);

/* Everything that can be known without a receiver: the domain is found, and
 * nothing stands in its way.  An exit status. */
int xl_xen_migration_look(struct xl_xen_migration *x);

/* Nobody else migrates it now: what somebody may have done to it since the
 * first look.  An exit status. */
int xl_xen_migration_look_again(struct xl_xen_migration *x);

/* Post-copy is not possible, and stock migration is; reason is the engine's,
 * for the statistics.  An exit status. */
int xl_xen_migration_refuse(struct xl_xen_migration *x, uint32_t reason,
                            const char *why);

/* Its record and its socket; x->domain and x->name are there.  0 or an exit
 * status after a line. */
int xl_xen_migration_take_hold(struct xl_xen_migration *x);

/*
 * Whether it is the copy that a migration with this record has left, suspended.
 * One that runs was started since, with other contents: nothing of it may be
 * handed over, or given back.  An exit status after a line.
 */
int xl_xen_migration_is_kept(const struct xl_xen_migration *x,
                             const struct xl_journal_record *record);

/* What the engine is given besides the stream. */
void xl_xen_migration_fill_params(struct xl_xen_migration *x,
                                  struct xc_sr_save_params *params);

/* x->sent is there; does what it asks for.  An exit status. */
int xl_xen_migration_finish(struct xl_xen_migration *x, int rc);

#endif /* XL_XEN_MIGRATE_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen.h: what the files of xl that drive a real Xen share.
 *
 * xl_xen_host.c     libxl's context, its messages, domains by name
 * xl_xen_config.c   a domain's configuration
 * xl_xen_conf.c     xl.conf, xl's lock file, memory for a new domain
 * xl_xen_store.c    what is published in xenstore
 * xl_xen_record.c   the durable record of a migration
 * xl_xen_place.c    where it is kept
 * xl_xen_migrate.c  `migrate --postcopy`; xl_xen_receive.c its other end
 * xl_xen_requests.c the commands that speak to a migration under way
 * xl_xen_recover.c  a new connection for a migration that lost its own
 * xl_xen_takeover.c the place of a receiver that is dead
 * xl_xen_leftover.c what processes that were killed have left
 * xl_xen_forget.c   records of guests that are not here any more
 * xl_xen_monitor.c  what becomes of a guest that shuts down
 * xl_xen_watch.c    that one process sees to that, and whether one does
 * xl_xen_check.c    `postcopy-check`
 * xl_xen_guard.c    what must not be done to a guest with pages missing
 * xl_xen_fallback.c ordinary migration, by the system's xl
 *
 * Only these see libxl and libxenstore; the rest of xl calls them through
 * xl.h, and is built without them where there is no libxl.
 */
#ifndef XL_XEN_H
#define XL_XEN_H

#include <libxl.h>
#include <libxl_utils.h>

#include "xl.h"

/* "xl: ..." names are far shorter; libxl itself has no bound. */
#define XL_XEN_NAME_MAX 200
#define XL_XEN_UUID_LEN 37

/* While it arrives, and once it has left. */
#define XL_XEN_SUFFIX_INCOMING     "--incoming"
#define XL_XEN_SUFFIX_MIGRATEDAWAY "--migratedaway"

struct xl_xen_domain
{
    uint32_t domid;
    libxl_dominfo info; /* to be disposed */
    char name[XL_XEN_NAME_MAX + 1];
    char uuid[XL_XEN_UUID_LEN];
};

/* ---- xl_xen_host.c ---- */

/*
 * libxl's context, for this thread.  0, or an exit status after one line that
 * says what is missing: root, Xen, its control domain, a xenstored that
 * answers.
 */
int xl_xen_open(const struct xl_global *global, libxl_ctx **ctx_r);

/* The same, -errno and the line in why. */
int xl_xen_try_open(const struct xl_global *global, libxl_ctx **ctx_r,
                    char *why, size_t why_len);

/* The first part of that: root, Xen, its control domain. */
int xl_xen_check_place(char *why, size_t len);

/* The save helper that belongs to this very program, if it is not where
 * libxlpostcopy looks for one; NULL: leave it to look. */
const char *xl_xen_shim(char *buf, size_t len);

/* What libxl has complained of first since reset; "" if of nothing. */
const char *xl_xen_complaint(void);
void xl_xen_complaint_reset(void);
/* The same for the end of a line, " (libxl: ...)" or "", in buf. */
#define XL_XEN_SAYS_LEN 440
const char *xl_xen_libxl_says(char *buf, size_t len);

/* By name or number.  0, or an exit status after one line. */
int xl_xen_find(libxl_ctx *ctx, const char *wanted,
                struct xl_xen_domain *domain_r);
/* The same; one without a name will do. */
int xl_xen_find_any(libxl_ctx *ctx, const char *wanted,
                    struct xl_xen_domain *domain_r);
void xl_xen_domain_dispose(struct xl_xen_domain *domain);

/* Says that libxl could not, and what it said; an exit status. */
int xl_xen_cannot_ask(const char *wanted);

/* -ENOENT: there is none of that name; -EIO: libxl could not tell. */
int xl_xen_domid_of_name(libxl_ctx *ctx, const char *name, uint32_t *domid_r);

/* The UUID of the domain of that name, or "" if there is none; -EIO: libxl
 * could not tell. */
int xl_xen_uuid_of_name(libxl_ctx *ctx, const char *name,
                        char uuid_r[XL_XEN_UUID_LEN], uint32_t *domid_r);
void xl_xen_uuid_text(const libxl_uuid *uuid, char text_r[XL_XEN_UUID_LEN]);

/* -EEXIST: there is another of that name; -EIO: libxl could not. */
int xl_xen_rename(libxl_ctx *ctx, uint32_t domid, const char *from,
                  const char *to);

/* ---- xl_xen_config.c ---- */

struct xl_migrate_args;

/*
 * The configuration that travels: the domain's own, or -C's with the domain's
 * UUID.  0 or an exit
 * status after a line.  *json_r is malloc'd; config_r is initialised by the
 * caller and disposed of by him.
 */
int xl_xen_config_get(libxl_ctx *ctx, const struct xl_migrate_args *args,
                      const struct xl_xen_domain *domain,
                      libxl_domain_config *config_r, char **json_r);

/* What came with xl's header.  -EINVAL after a line. */
int xl_xen_config_parse(libxl_ctx *ctx, const char *json, size_t len,
                        libxl_domain_config *config_r);

/* ---- xl_xen_conf.c ---- */

/*
 * Until when a receiver may look for room for its guest, if its sender waits
 * for timeout_us from now: so that there is time to say why it found none.
 */
uint64_t xl_xen_room_deadline_us(uint64_t timeout_us);

/*
 * xl's own lock file, which every xl takes to count free memory and create a
 * domain.  -ETIMEDOUT after a line that says who has it.  *fd_r: close()
 * releases it.
 */
int xl_xen_lock(uint64_t deadline_us, int *fd_r);

/* Whether dom0 gives memory back for a new domain, by xl.conf. */
bool xl_xen_may_balloon(libxl_ctx *ctx);

/* As stock xl: balloons dom0 down, where xl.conf lets it, until config fits.
 * The lock is held.  -ENOMEM after a line. */
int xl_xen_free_memory(libxl_ctx *ctx, libxl_domain_config *config,
                       uint64_t deadline_us);

/* ---- xl_xen_monitor.c ---- */

/* Starts a process that honours on_poweroff and the like for domid from now
 * on, and outlives this one.  Waits until it watches; -errno after a line. */
int xl_xen_start_monitor(uint32_t domid);

/* ---- xl_xen_watch.c ---- */

struct xl_xen_watch
{
    int fd;         /* -1: not open */
    uint32_t domid; /* the domain that is this process's; 0: none */
};

/* From now on this process, and no other, looks after that domain instead of
 * the one before.  -EBUSY: another does; others: nobody can tell. */
int xl_xen_watch_take(struct xl_xen_watch *watch, uint32_t domid);
void xl_xen_watch_leave(struct xl_xen_watch *watch);

/* A process of ours looks after it. */
bool xl_xen_is_watched(uint32_t domid);

/* ---- xl_xen_leftover.c ---- */

enum xl_xen_leftover
{
    XL_XEN_LEFT_NONE,
    XL_XEN_LEFT_SUSPENDED,
    XL_XEN_LEFT_HALF_BUILT,
};

/* What a domain that nobody works on looks like. */
enum xl_xen_leftover xl_xen_leftover(libxl_ctx *ctx,
                                     const struct xl_xen_domain *domain);

/* One line about it; an exit status. */
int xl_xen_leftover_tell(const struct xl_xen_domain *domain,
                         enum xl_xen_leftover what, const char *wanted);

/* Destroys what was half-built, or says why not; an exit status. */
int xl_xen_leftover_remove(libxl_ctx *ctx, const struct xl_xen_domain *domain,
                           const char *wanted);

/*
 * Destroys the domains with that UUID that receivers left half-built.  The
 * caller holds the record of the destination, so none is at work on one.
 * -EIO: libxl could not.
 */
int xl_xen_remove_half_built(libxl_ctx *ctx, const char *uuid,
                             unsigned int *removed_r);

/* ---- xl_xen_forget.c ---- */

/* A record of either side is about a guest of that name or UUID. */
bool xl_xen_is_recorded(const char *wanted);

/* `request` (xl_control.h) about such a guest where no domain has its name: is
 * answered by the records, which "abort" removes.  An exit status. */
int xl_xen_ask_records(libxl_ctx *ctx, const char *wanted, const char *request);

/* ---- xl_xen_requests.c ---- */

/* A process answers for the migration. */
bool xl_xen_is_served(const char *place, const char *uuid);

/* ---- xl_xen_guard.c ---- */

/* It runs here, or is about to, and pages of it are elsewhere. */
bool xl_xen_pages_missing(const char *uuid, uint32_t domid);

/* ---- xl_xen_fallback.c ---- */

/* Becomes the system's xl, which migrates as it always did.  Returns an exit
 * status if there is none. */
int xl_xen_fall_back(const struct xl_global *global,
                     const struct xl_migrate_args *args);

#endif /* XL_XEN_H */

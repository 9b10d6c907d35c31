/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_store.h: what other programs can read in xenstore about a migration
 * (docs/features/migration-postcopy.pandoc lists the nodes), written by a
 * thread of its own: a slow xenstored never holds up a migration.
 */
#ifndef XL_XEN_STORE_H
#define XL_XEN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XL_XEN_STORE_ROOT "/tool/xen-postcopy"

struct xl_xen_store;

/* Starts the thread and waits until xenstored has answered it once; deadlines
 * are relative.  -ETIMEDOUT: it does not; others: there is none to ask. */
int xl_xen_store_open(uint64_t timeout_us, struct xl_xen_store **store_r);

/* Only that: whether it answers. */
int xl_xen_store_probe(uint64_t timeout_us);

/* Under which directory keys are from now on: ROOT/UUID/SIDE. */
void xl_xen_store_place(struct xl_xen_store *store, const char *uuid,
                        bool at_source);

/*
 * The node `key` of that directory, or of all xenstore if it begins with a
 * slash, gets this value as soon as xenstored takes it.  A value that was not
 * written yet is replaced.  At most a few hundred octets; longer ones are cut.
 */
void xl_xen_store_set(struct xl_xen_store *store, const char *key,
                      const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for what nobody waits for: written twice a second at most. */
void xl_xen_store_set_later(struct xl_xen_store *store, const char *key,
                            const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void xl_xen_store_set_figure(struct xl_xen_store *store, const char *key,
                             uint64_t value);

/* Waits until everything set before is written, but what may come later;
 * -ETIMEDOUT, or what xenstored said. */
int xl_xen_store_flush(struct xl_xen_store *store, uint64_t timeout_us);

/*
 * What node `key` says; -ENOENT: there is none, -ETIMEDOUT: xenstored does not
 * answer, not even what it was asked here before.
 */
int xl_xen_store_get(struct xl_xen_store *store, const char *key, char *text_r,
                     size_t len, uint64_t timeout_us);

/* The directory goes, with all that is in it, when the store is closed. */
void xl_xen_store_forget(struct xl_xen_store *store);

/* Writes what is left, for three seconds at most.  NULL is fine. */
void xl_xen_store_close(struct xl_xen_store *store);

/* A node as text, read at once; false if there is none. */
struct xs_handle;
bool xl_xen_store_read(struct xs_handle *xs, const char *uuid, bool at_source,
                       const char *key, char *text_r, unsigned int len);

#endif /* XL_XEN_STORE_H */

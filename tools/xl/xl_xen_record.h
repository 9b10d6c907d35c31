/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_record.h: the durable record of a migration of a Xen guest, a file
 * that outlives a reboot, and what of it everybody can read in xenstore.
 */
#ifndef XL_XEN_RECORD_H
#define XL_XEN_RECORD_H

#include "xl_journal.h"
#include "xl_xen.h"
#include "xl_xen_store.h"

struct xl_xen_record
{
    struct xl_journal journal;
    struct xl_xen_store *store; /* NULL: not open */
    int lock_fd;
    char uuid[XL_XEN_UUID_LEN];
    char name[XL_XEN_NAME_MAX + 1];
    enum xc_sr_owner owner; /* put last */
    uint8_t session[16];
    uint64_t epoch;
    bool put; /* by us; else the file is another migration's */
    bool slow_said;
};

/* Records and control sockets: DIR/source/UUID.migration, ... */
const char *xl_xen_state_dir(void);
/* Where those of one side are. */
const char *xl_xen_place(bool at_source);

/*
 * Takes hold of this side's record of the domain.  -EBUSY: another process
 * has it; others have been reported.  A zeroed record with lock_fd -1 and
 * journal.dir_fd -1 is safe to close.
 */
int xl_xen_record_open(struct xl_xen_record *record, const char *uuid,
                       const char *name, bool at_source);

/* Whether the disk would take a record now; what it says has been reported. */
int xl_xen_record_try(const struct xl_xen_record *record);

/* A process has hold of it.  The number in a record can be another process's
 * by now, after a reboot above all. */
bool xl_xen_record_is_held(const char *uuid, bool at_source);

/* The engine's xc_sr_journal.put; ctx is the record. */
int xl_xen_record_put(void *ctx, enum xc_sr_owner owner,
                      const uint8_t session[16], uint64_t epoch);

/*
 * Of a destination whose process is gone: what it has promised is taken back,
 * because the guest never ran here and now never will.  domid: what it has left
 * here; a record of another domain is an older migration's, and stays as it is.
 * -EBUSY: it has run, or may have; -ENOENT: nothing was promised.
 */
int xl_xen_record_fence(struct xl_xen_record *record, uint32_t domid);

/* The engine's progress; ctx is the record. */
void xl_xen_record_progress(void *ctx, const struct xc_sr_progress *p);

/* Both sides know how it ended: nothing of it stays. */
void xl_xen_record_forget(struct xl_xen_record *record);

/* What was recorded stays; if nothing was, nothing is published either. */
void xl_xen_record_close(struct xl_xen_record *record);

#endif /* XL_XEN_RECORD_H */

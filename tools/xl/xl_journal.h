/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_journal.h: the record of who owns a guest that is being migrated, kept
 * in DIR/KEY.migration while it matters.  A guest of the local backend is known
 * by its name, one of Xen by its UUID.
 */
#ifndef XL_JOURNAL_H
#define XL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "xenpostcopy_local.h"

/* Octets of "NAME.migration.ctl.new" with the longest name. */
#define XL_JOURNAL_NAME_LEN (XC_SR_LOCAL_NAME_MAX + 24)

/* Of a guest's own name; a longer one is not read back. */
#define XL_JOURNAL_GUEST_MAX 200

struct xl_journal
{
    int dir_fd; /* -1: not open */
    char file[XL_JOURNAL_NAME_LEN];
    bool at_source;
    /* The caller may change these after open(): */
    bool durable;     /* outlives the host as well as the process */
    const char *name; /* noted for people; NULL: not */
    uint32_t domid;   /* likewise; 0: not */
    /* Of the guest's memory, while its limit is lifted; 0: it is not. */
    uint64_t limit_pages;
    uint64_t lifted_pages;
    bool paused;     /* for want of a connection; whoever goes on ends that */
    bool no_monitor; /* of a guest of Xen: nobody is to wait for its end */
};

struct xl_journal_record
{
    bool at_source;
    enum xc_sr_owner owner;
    uint8_t session[16];
    uint64_t epoch;
    uint64_t pid;
    uint64_t
        began; /* that process, in ticks since the host did; 0: not noted */
    /* For people and for comparing: "" and 0 where they were not noted. */
    char name[XL_JOURNAL_GUEST_MAX + 1];
    uint32_t domid;
    uint64_t limit_pages;
    uint64_t lifted_pages;
    bool paused;
    bool no_monitor;
};

/* key: the name of the guest, or what else names the migration in dir. */
int xl_journal_open(struct xl_journal *journal, const char *dir,
                    const char *key, bool at_source);
/* Leaves the record where it is. */
void xl_journal_close(struct xl_journal *journal);

/*
 * The engine's xc_sr_journal.put; ctx is a struct xl_journal.  What failed has
 * left the record that was there before, but for -ENOTRECOVERABLE: that the new one
 * is in place could not be made sure, and not be undone.
 */
int xl_journal_put(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
                   uint64_t epoch);

/* Whether a record could be written now, where there is no telling later. */
int xl_journal_try(const struct xl_journal *journal);

/* Settled: the record goes.  0 also when there was none. */
int xl_journal_remove(struct xl_journal *journal);

/* -ENOENT: none; -EINVAL: not a record of ours. */
int xl_journal_read(const char *dir, const char *key,
                    struct xl_journal_record *record_r);
/* FENCED, FINISHED, ENDED, RESUMED, DONE: nothing is left to be decided by it. */
bool xl_journal_is_settled(const struct xl_journal_record *record);
/* The process that put it is gone. */
bool xl_journal_is_abandoned(const struct xl_journal_record *record);
/* A guest that runs here without some of its pages, and nobody brings them:
 * the receiver is gone.  False also if the record cannot be read. */
bool xl_journal_tells_loss(const char *dir, const char *name);

#endif /* XL_JOURNAL_H */

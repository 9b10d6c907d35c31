/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_record.c: see xl_xen_record.h.  Called by the engine's thread before
 * it acts or speaks, so the file comes first and decides; xenstore gets its
 * copy at once but is waited for only shortly, because a xenstored that has
 * stopped must not stop a guest.
 *
 * One process at a time holds a side's record of a domain, by a lock on a
 * file beside it.
 */
#include "xl_xen_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "xl_progress.h"

#define PATH_LEN         200
#define OPEN_TIMEOUT_US  UINT64_C(10000000)
#define WRITE_TIMEOUT_US UINT64_C(2000000)
#define LOCK_TRIES       25u

static int make_dir(const char *dir)
{
    int rc = mkdir(dir, 0700) && errno != EEXIST ? -errno : 0;

    if ( rc )
        xl_error("cannot make %s: %s", dir, strerror(-rc));
    return rc;
}

/*
 * The lock file goes with its holder, so the one that was opened may be gone
 * by the time it is locked.  Who only looks whether it is held (is_held below)
 * holds it for a moment itself, and must not be taken for a migration.
 */
static int take_lock(struct xl_xen_record *r, const char *file)
{
    const struct timespec pause = { .tv_nsec = 4000000 };
    unsigned int tries = LOCK_TRIES;

    for ( ;; )
    {
        struct stat st;
        int fd = openat(r->journal.dir_fd, file,
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if ( fd < 0 )
            return -errno;
        if ( flock(fd, LOCK_EX | LOCK_NB) )
        {
            int rc = errno == EWOULDBLOCK ? -EBUSY : -errno;

            close(fd);
            if ( rc != -EBUSY || !--tries )
                return rc;
            (void)nanosleep(&pause, NULL);
            continue;
        }
        if ( !fstat(fd, &st) && st.st_nlink )
        {
            r->lock_fd = fd;
            return 0;
        }
        close(fd);
    }
}

static void lock_name(const struct xl_xen_record *r, char *buf, size_t len)
{
    snprintf(buf, len, "%s.lock", r->uuid);
}

bool xl_xen_record_is_held(const char *uuid, bool at_source)
{
    char path[PATH_LEN + XL_XEN_UUID_LEN + 8];
    bool held;
    int fd;

    snprintf(path, sizeof(path), "%.*s/%s.lock", PATH_LEN,
             xl_xen_place(at_source), uuid);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if ( fd < 0 )
        return false;
    held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static int open_file(struct xl_xen_record *r, bool at_source)
{
    const char *dir = xl_xen_place(at_source);
    char file[XL_XEN_UUID_LEN + 8];
    int rc = make_dir(xl_xen_state_dir());

    if ( !rc )
        rc = make_dir(dir);
    if ( rc )
        return rc;
    rc = xl_journal_open(&r->journal, dir, r->uuid, at_source);
    lock_name(r, file, sizeof(file));
    if ( !rc )
        rc = take_lock(r, file);
    if ( rc && rc != -EBUSY )
        xl_error("cannot keep a record in %s: %s", dir, strerror(-rc));
    r->journal.durable = true;
    r->journal.name = r->name;
    return rc;
}

int xl_xen_record_open(struct xl_xen_record *record, const char *uuid,
                       const char *name, bool at_source)
{
    int rc;

    *record = (struct xl_xen_record){ .lock_fd = -1 };
    record->journal.dir_fd = -1;
    snprintf(record->uuid, sizeof(record->uuid), "%s", uuid);
    snprintf(record->name, sizeof(record->name), "%s", name);
    rc = open_file(record, at_source);
    if ( rc )
        return rc;
    rc = xl_xen_store_open(OPEN_TIMEOUT_US, &record->store);
    if ( rc )
    {
        xl_error("xenstored does not answer: %s", strerror(-rc));
        return rc;
    }
    xl_xen_store_place(record->store, uuid, at_source);
    xl_xen_store_set(record->store, "name", "%s", name);
    xl_xen_store_set(record->store, "pid", "%d", (int)getpid());
    return 0;
}

int xl_xen_record_try(const struct xl_xen_record *record)
{
    int rc = xl_journal_try(&record->journal);

    if ( rc )
        xl_error("cannot keep a record in %s: %s",
                 xl_xen_place(record->journal.at_source), strerror(-rc));
    return rc;
}

int xl_xen_record_put(void *ctx, enum xc_sr_owner owner,
                      const uint8_t session[16], uint64_t epoch)
{
    struct xl_xen_record *r = ctx;
    unsigned int i;
    char hex[33];
    int rc = xl_journal_put(&r->journal, owner, session, epoch);

    if ( rc )
        return rc;
    r->owner = owner;
    memcpy(r->session, session, sizeof(r->session));
    r->epoch = epoch;
    r->put = true;
    for ( i = 0; i < 16; i++ )
        snprintf(hex + 2 * i, 3, "%02x", session[i]);
    /* The guest may stand still until this is written: who owns it is what
     * others act upon. */
    xl_xen_store_set(r->store, "owner", "%s", xc_sr_owner_name(owner));
    xl_xen_store_set_later(r->store, "session", "%s", hex);
    xl_xen_store_set_later(r->store, "epoch", "%llu",
                           (unsigned long long)epoch);
    rc = xl_xen_store_flush(r->store, WRITE_TIMEOUT_US);
    if ( rc && !r->slow_said )
    {
        r->slow_said = true;
        xl_note("xenstored does not take what others are to read about this "
                "migration (%s); going on, the record is in %s/%s",
                strerror(-rc), xl_xen_place(r->journal.at_source),
                r->journal.file);
    }
    return 0;
}

int xl_xen_record_fence(struct xl_xen_record *record, uint32_t domid)
{
    struct xl_journal_record known;
    int rc = xl_journal_read(xl_xen_place(false), record->uuid, &known);

    /* Of an older migration, FINISHED say: nothing was promised since. */
    if ( rc || xl_journal_is_settled(&known) ||
         (known.domid && known.domid != domid) )
        return rc;
    if ( known.owner != XC_SR_OWNER_PREP )
        return -EBUSY;
    return xl_xen_record_put(record, XC_SR_OWNER_FENCED, known.session,
                             known.epoch);
}

void xl_xen_record_progress(void *ctx, const struct xc_sr_progress *p)
{
    struct xl_xen_record *r = ctx;
    struct xl_xen_store *s = r->store;

    /* Somebody has to see to it. */
    if ( p->phase == XC_SR_PHASE_DISCONNECTED )
        xl_xen_store_set(s, "phase", "%s", xc_sr_phase_name(p->phase));
    else
        xl_xen_store_set_later(s, "phase", "%s", xc_sr_phase_name(p->phase));
    xl_xen_store_set_later(s, "guest-runs-at", "%s",
                           xl_progress_guest_place(p));
    /* The guest stands still: xenstored has what libxl wants of it to do, and
     * on a small host every word to it is time of the guest's. */
    if ( p->phase == XC_SR_PHASE_SUSPEND || p->phase == XC_SR_PHASE_HANDOVER )
        return;
    xl_xen_store_set_figure(s, "round", p->round);
    xl_xen_store_set_figure(s, "done-pages", p->done_pages);
    xl_xen_store_set_figure(s, "total-pages", p->total_pages);
    xl_xen_store_set_figure(s, "bytes-per-s", p->bytes_per_s);
    xl_xen_store_set_figure(s, "dirty-pages-per-s", p->dirty_pages_per_s);
    xl_xen_store_set_figure(s, "faults", p->faults);
}

void xl_xen_record_forget(struct xl_xen_record *record)
{
    if ( record->journal.dir_fd >= 0 && xl_journal_remove(&record->journal) )
        xl_note("could not remove the record %s/%s",
                xl_xen_place(record->journal.at_source), record->journal.file);
    if ( record->store )
        xl_xen_store_forget(record->store);
}

/* Without a record there is nothing to look after, whatever was begun. */
static bool is_recorded(const struct xl_xen_record *record)
{
    return record->put ||
           !faccessat(record->journal.dir_fd, record->journal.file, F_OK, 0);
}

void xl_xen_record_close(struct xl_xen_record *record)
{
    char file[XL_XEN_UUID_LEN + 8];

    if ( record->store && !is_recorded(record) )
        xl_xen_store_forget(record->store);
    xl_xen_store_close(record->store);
    record->store = NULL;
    if ( record->lock_fd >= 0 )
    {
        lock_name(record, file, sizeof(file));
        unlinkat(record->journal.dir_fd, file, 0);
        close(record->lock_fd);
        record->lock_fd = -1;
    }
    xl_journal_close(&record->journal);
}

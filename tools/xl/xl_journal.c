/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_journal.c: see xl_journal.h.  Called by the engine before it acts or
 * speaks (docs/specs, "Hand-over"), and by whoever wants to know afterwards.
 *
 * A record replaces the older one by rename, so a reader sees one or the
 * other and a crash of xl loses neither.  For the local backend it is not
 * synced to the disk: its guest is a process and dies with its host, so after a
 * power failure there is nothing left that two hosts could both run.  For Xen
 * it is (durable): the other host's guest goes on.  What could not be synced is
 * taken back: who was told that it failed goes by the record before it, and so
 * does everybody who reads it.
 */
#include "xl_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xl_json.h"

/* A record is far shorter; a longer file is none. */
#define RECORD_MAX 4096u
/* What Xen's own counts go to; in KiB it still fits. */
#define MAX_PAGES  UINT32_MAX

static const enum xc_sr_owner owners[] = {
    XC_SR_OWNER_NONE,   XC_SR_OWNER_COMMITTED, XC_SR_OWNER_RESUMED,
    XC_SR_OWNER_DONE,   XC_SR_OWNER_PREP,      XC_SR_OWNER_OWNER,
    XC_SR_OWNER_FENCED, XC_SR_OWNER_FINISHED,  XC_SR_OWNER_LOST,
    XC_SR_OWNER_ENDED,
};

int xl_journal_open(struct xl_journal *journal, const char *dir,
                    const char *key, bool at_source)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if ( fd < 0 )
        return -errno;
    *journal = (struct xl_journal){ .dir_fd = fd, .at_source = at_source };
    snprintf(journal->file, sizeof(journal->file), "%s.migration", key);
    return 0;
}

void xl_journal_close(struct xl_journal *journal)
{
    if ( journal->dir_fd >= 0 )
        close(journal->dir_fd);
    journal->dir_fd = -1;
}

static void session_to_hex(const uint8_t session[16], char hex[33])
{
    unsigned int i;

    for ( i = 0; i < 16; i++ )
        snprintf(hex + 2 * i, 3, "%02x", session[i]);
}

/* When a process began, in ticks since the host did; 0: not known. */
static uint64_t began(pid_t pid)
{
    char path[40], text[1024];
    unsigned long long ticks = 0;
    const char *p;
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if ( fd < 0 )
        return 0;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    /* "PID (NAME) STATE ...", whatever is in NAME; it is the 22nd. */
    p = strrchr(text, ')');
    for ( int i = 2; p && i < 22; i++ )
        p = strchr(p + 1, ' ');
    return p && sscanf(p, " %llu", &ticks) == 1 ? ticks : 0;
}

static int write_record(FILE *out, const struct xl_journal *journal,
                        enum xc_sr_owner owner, const uint8_t session[16],
                        uint64_t epoch)
{
    struct xl_json j = { .gen = NULL };
    char hex[33];
    int rc = xl_json_init(&j, false);

    if ( rc )
        return rc;
    session_to_hex(session, hex);
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "side", journal->at_source ? "source" : "destination");
    xl_json_string(&j, "owner", xc_sr_owner_name(owner));
    xl_json_string(&j, "session", hex);
    xl_json_u64(&j, "epoch", epoch);
    xl_json_u64(&j, "pid", (uint64_t)getpid());
    xl_json_u64(&j, "began", began(getpid()));
    if ( journal->name )
        xl_json_string(&j, "name", journal->name);
    if ( journal->domid )
        xl_json_u64(&j, "domid", journal->domid);
    if ( journal->paused )
        xl_json_bool(&j, "paused", true);
    if ( journal->no_monitor )
        xl_json_bool(&j, "no_monitor", true);
    if ( journal->lifted_pages )
    {
        xl_json_u64(&j, "limit_pages", journal->limit_pages);
        xl_json_u64(&j, "lifted_pages", journal->lifted_pages);
    }
    xl_json_close_map(&j);
    rc = xl_json_print(&j, out);
    xl_json_dispose(&j);
    return rc;
}

/* Beside the one that counts; what could not be written is not left there. */
static int write_beside(const struct xl_journal *journal, const char *file,
                        enum xc_sr_owner owner, const uint8_t session[16],
                        uint64_t epoch)
{
    int rc, fd = openat(journal->dir_fd, file,
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                        0600);
    FILE *out;

    if ( fd < 0 )
        return -errno;
    out = fdopen(fd, "w");
    if ( !out )
    {
        rc = -errno;
        close(fd);
    }
    else
    {
        rc = write_record(out, journal, owner, session, epoch);
        if ( !rc && journal->durable && fsync(fd) )
            rc = -errno;
        if ( fclose(out) && !rc )
            rc = -errno;
    }
    if ( rc )
        unlinkat(journal->dir_fd, file, 0);
    return rc;
}

static void name_beside(const struct xl_journal *journal,
                        char name[XL_JOURNAL_NAME_LEN + 8])
{
    snprintf(name, XL_JOURNAL_NAME_LEN + 8, "%s.new", journal->file);
}

int xl_journal_try(const struct xl_journal *journal)
{
    static const uint8_t no_session[16];
    char temporary[XL_JOURNAL_NAME_LEN + 8];
    int rc;

    name_beside(journal, temporary);
    rc = write_beside(journal, temporary, XC_SR_OWNER_NONE, no_session, 0);
    if ( !rc && unlinkat(journal->dir_fd, temporary, 0) )
        rc = -errno;
    return rc;
}

/* What became of the record that was there when a new one took its place. */
enum older
{
    OLDER_NONE,   /* there was none */
    OLDER_BESIDE, /* it has the other name */
    OLDER_GONE,   /* perhaps: the file system cannot exchange two files */
};

static int swap_in(const struct xl_journal *journal, const char *temporary,
                   enum older *older_r)
{
    int fd = journal->dir_fd;
    enum older older = OLDER_BESIDE;

    if ( renameat2(fd, temporary, fd, journal->file, RENAME_EXCHANGE) )
    {
        older = errno == ENOENT ? OLDER_NONE : OLDER_GONE;
        if ( renameat(fd, temporary, fd, journal->file) )
            return -errno;
    }
    *older_r = older;
    return 0;
}

static int take_back(const struct xl_journal *journal, const char *temporary,
                     enum older older)
{
    int fd = journal->dir_fd;

    if ( older == OLDER_GONE )
        return -EOPNOTSUPP;
    if ( older == OLDER_NONE ? unlinkat(fd, journal->file, 0)
                             : renameat(fd, temporary, fd, journal->file) )
        return -errno;
    return 0;
}

int xl_journal_put(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
                   uint64_t epoch)
{
    struct xl_journal *journal = ctx;
    char temporary[XL_JOURNAL_NAME_LEN + 8];
    enum older older = OLDER_GONE;
    int rc;

    name_beside(journal, temporary);
    rc = write_beside(journal, temporary, owner, session, epoch);
    if ( rc )
        return rc;
    rc = swap_in(journal, temporary, &older);
    if ( !rc && journal->durable && fsync(journal->dir_fd) )
    {
        rc = -errno;
        if ( take_back(journal, temporary, older) )
            rc = -ENOTRECOVERABLE;
    }
    unlinkat(journal->dir_fd, temporary, 0);
    return rc;
}

int xl_journal_remove(struct xl_journal *journal)
{
    char temporary[XL_JOURNAL_NAME_LEN + 8];

    /* Of a process that was killed in put(). */
    name_beside(journal, temporary);
    unlinkat(journal->dir_fd, temporary, 0);
    if ( unlinkat(journal->dir_fd, journal->file, 0) && errno != ENOENT )
        return -errno;
    return 0;
}

static int hex_to_session(const char *hex, uint8_t session_r[16])
{
    unsigned int i;

    if ( strlen(hex) != 32 || strspn(hex, "0123456789abcdef") != 32 )
        return -EINVAL;
    for ( i = 0; i < 16; i++ )
    {
        char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

        session_r[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return 0;
}

static int read_owner(yajl_val tree, enum xc_sr_owner *owner_r)
{
    char text[32];
    unsigned int i;

    if ( xl_json_get_string(tree, "owner", text, sizeof(text)) )
        return -EINVAL;
    for ( i = 0; i < sizeof(owners) / sizeof(owners[0]); i++ )
    {
        if ( !strcmp(text, xc_sr_owner_name(owners[i])) )
        {
            *owner_r = owners[i];
            return 0;
        }
    }
    return -EINVAL;
}

/* What only some records have. */
static void read_notes(yajl_val tree, struct xl_journal_record *record)
{
    uint64_t domid = 0;

    if ( xl_json_get_u64(tree, "began", INT64_MAX, &record->began) )
        record->began = 0;
    if ( xl_json_get_string(tree, "name", record->name, sizeof(record->name)) )
        record->name[0] = '\0';
    if ( !xl_json_get_u64(tree, "domid", UINT32_MAX, &domid) )
        record->domid = (uint32_t)domid;
    if ( xl_json_get_bool(tree, "paused", &record->paused) )
        record->paused = false;
    if ( xl_json_get_bool(tree, "no_monitor", &record->no_monitor) )
        record->no_monitor = false;
    /* Both or none: one says nothing without the other. */
    if ( xl_json_get_u64(tree, "limit_pages", MAX_PAGES,
                         &record->limit_pages) ||
         xl_json_get_u64(tree, "lifted_pages", MAX_PAGES,
                         &record->lifted_pages) )
        record->limit_pages = record->lifted_pages = 0;
}

static int read_record(const char *text, size_t len,
                       struct xl_journal_record *record_r)
{
    struct xl_journal_record record = { .at_source = false };
    char side[16], hex[40], why[80];
    yajl_val tree = NULL;
    int rc = xl_json_parse(text, len, &tree, why, sizeof(why));

    if ( rc )
        return rc == -ENOMEM ? rc : -EINVAL;
    if ( xl_json_get_string(tree, "side", side, sizeof(side)) ||
         xl_json_get_string(tree, "session", hex, sizeof(hex)) ||
         xl_json_get_u64(tree, "epoch", INT64_MAX, &record.epoch) ||
         xl_json_get_u64(tree, "pid", INT32_MAX, &record.pid) ||
         hex_to_session(hex, record.session) ||
         read_owner(tree, &record.owner) )
        rc = -EINVAL;
    else
    {
        record.at_source = !strcmp(side, "source");
        read_notes(tree, &record);
        *record_r = record;
    }
    yajl_tree_free(tree);
    return rc;
}

int xl_journal_read(const char *dir, const char *key,
                    struct xl_journal_record *record_r)
{
    struct xl_journal journal = { .dir_fd = -1 };
    char text[RECORD_MAX];
    ssize_t len;
    int fd, rc = xl_journal_open(&journal, dir, key, true);

    if ( rc )
        return rc;
    fd = openat(journal.dir_fd, journal.file,
                O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if ( fd < 0 )
        rc = -errno;
    else
    {
        len = read(fd, text, sizeof(text));
        rc = len < 0 ? -errno
             : (size_t)len == sizeof(text)
                 ? -EINVAL
                 : read_record(text, (size_t)len, record_r);
        close(fd);
    }
    xl_journal_close(&journal);
    return rc;
}

bool xl_journal_is_settled(const struct xl_journal_record *record)
{
    return record->owner == XC_SR_OWNER_FENCED ||
           record->owner == XC_SR_OWNER_FINISHED ||
           record->owner == XC_SR_OWNER_ENDED ||
           record->owner == XC_SR_OWNER_RESUMED ||
           record->owner == XC_SR_OWNER_DONE;
}

bool xl_journal_is_abandoned(const struct xl_journal_record *record)
{
    pid_t pid = (pid_t)record->pid;
    uint64_t ticks;

    if ( record->pid == 0 || (kill(pid, 0) && errno == ESRCH) )
        return true;
    /* Numbers are used again, above all after the host has been started. */
    ticks = record->began ? began(pid) : 0;
    return ticks && ticks != record->began;
}

bool xl_journal_tells_loss(const char *dir, const char *name)
{
    struct xl_journal_record record;

    if ( xl_journal_read(dir, name, &record) || record.at_source )
        return false;
    return record.owner == XC_SR_OWNER_LOST ||
           (record.owner == XC_SR_OWNER_OWNER &&
            xl_journal_is_abandoned(&record));
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_journal.c: the record of ownership on disk, and the control socket
 * beside it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xl_control.h"
#include "xl_journal.h"

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/xl-journal.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *text, size_t len)
{
    char path[128];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    out = fopen(path, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(text, 1, len, out), len);
    ck_assert_int_eq(fclose(out), 0);
}

static unsigned int files_in_dir(void)
{
    char command[128], line[16] = "";
    FILE *out;

    snprintf(command, sizeof(command), "ls -A '%s' | wc -l", dir);
    out = popen(command, "r");
    ck_assert_ptr_nonnull(out);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), out));
    pclose(out);
    return (unsigned int)strtoul(line, NULL, 10);
}

START_TEST(the_last_record_is_the_one_that_is_read)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16];
    unsigned int i;

    for ( i = 0; i < 16; i++ )
        session[i] = (uint8_t)(i * 17);
    ck_assert_int_eq(xl_journal_open(&j, dir, "g", true), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), -ENOENT);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 0), 0);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_DONE, session, 42), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert(r.at_source);
    ck_assert_int_eq(r.owner, XC_SR_OWNER_DONE);
    ck_assert_mem_eq(r.session, session, 16);
    ck_assert_uint_eq(r.epoch, 42);
    ck_assert_uint_eq(r.pid, (uint64_t)getpid());
    ck_assert_uint_eq(files_in_dir(), 1);
    ck_assert_int_eq(xl_journal_remove(&j), 0);
    ck_assert_int_eq(xl_journal_remove(&j), 0);
    ck_assert_uint_eq(files_in_dir(), 0);
    xl_journal_close(&j);
}
END_TEST

/* Whether it can be written is found out without touching the one there is. */
START_TEST(a_record_is_tried_beforehand)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16] = { 1 };
    char path[128];

    ck_assert_int_eq(xl_journal_open(&j, dir, "g", true), 0);
    j.durable = true;
    ck_assert_int_eq(xl_journal_try(&j), 0);
    ck_assert_uint_eq(files_in_dir(), 0);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 7), 0);
    ck_assert_int_eq(xl_journal_try(&j), 0);
    snprintf(path, sizeof(path), "%s/g.migration.new", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0); /* no room for a record there */
    ck_assert_int_eq(xl_journal_try(&j), -EISDIR);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_DONE, session, 7), -EISDIR);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_int_eq(r.owner, XC_SR_OWNER_COMMITTED);
    ck_assert_uint_eq(r.epoch, 7);
    xl_journal_close(&j);
}
END_TEST

/* ---- A disk that fails ------------------------------------------------------- */

static struct
{
    bool sync;     /* of a directory */
    bool killed;   /* there, before it is known what it says */
    bool exchange; /* of two files; else the file system knows no such thing */
    bool rename;
    bool unlink;
} fails;

/* The journal calls these. */
int fsync(int fd)
{
    struct stat st;

    if ( !fstat(fd, &st) && S_ISDIR(st.st_mode) )
    {
        if ( fails.killed )
            _exit(0);
        errno = EIO;
        if ( fails.sync )
            return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to,
              unsigned int flags)
{
    errno = EINVAL;
    return fails.exchange
               ? -1
               : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    errno = EROFS;
    return fails.rename ? -1
                        : (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *name, int flags)
{
    errno = EROFS;
    return fails.unlink ? -1 : (int)syscall(SYS_unlinkat, fd, name, flags);
}

static void open_durable(struct xl_journal *j, enum xc_sr_owner first)
{
    uint8_t session[16] = { 1 };

    memset(&fails, 0, sizeof(fails));
    ck_assert_int_eq(xl_journal_open(j, dir, "g", true), 0);
    j->durable = true;
    if ( first != XC_SR_OWNER_NONE )
        ck_assert_int_eq(xl_journal_put(j, first, session, 1), 0);
}

static void assert_read(enum xc_sr_owner owner)
{
    struct xl_journal_record r;

    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_str_eq(xc_sr_owner_name(r.owner), xc_sr_owner_name(owner));
}

/* Whoever is told that it failed has to be right about it. */
START_TEST(what_cannot_be_synced_is_not_there)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16] = { 1 };

    open_durable(&j, XC_SR_OWNER_NONE);
    fails.sync = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 0),
                     -EIO);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), -ENOENT);
    ck_assert_uint_eq(files_in_dir(), 0);
    fails.sync = false;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_PREP, session, 1), 0);
    fails.sync = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_OWNER, session, 1), -EIO);
    assert_read(XC_SR_OWNER_PREP);
    ck_assert_uint_eq(files_in_dir(), 1);
    xl_journal_close(&j);
}
END_TEST

START_TEST(what_cannot_be_taken_back_is_told)
{
    struct xl_journal j = { .dir_fd = -1 };
    uint8_t session[16] = { 1 };

    open_durable(&j, _i ? XC_SR_OWNER_PREP : XC_SR_OWNER_NONE);
    fails.sync = true;
    *(_i ? &fails.rename : &fails.unlink) = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_OWNER, session, 1),
                     -ENOTRECOVERABLE);
    memset(&fails, 0, sizeof(fails));
    assert_read(XC_SR_OWNER_OWNER);
    xl_journal_close(&j);
}
END_TEST

START_TEST(a_file_system_that_cannot_exchange_will_do)
{
    struct xl_journal j = { .dir_fd = -1 };
    uint8_t session[16] = { 1 };

    open_durable(&j, XC_SR_OWNER_PREP);
    fails.exchange = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_OWNER, session, 1), 0);
    assert_read(XC_SR_OWNER_OWNER);
    ck_assert_uint_eq(files_in_dir(), 1);
    /* The one before is not there any more: nobody is told that it is. */
    fails.sync = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_FINISHED, session, 1),
                     -ENOTRECOVERABLE);
    assert_read(XC_SR_OWNER_FINISHED);
    xl_journal_close(&j);
}
END_TEST

/* It is read as what it says, and its process is known to be gone. */
START_TEST(one_that_was_killed_before_it_was_synced_counts)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16] = { 1 };
    pid_t pid;

    open_durable(&j, XC_SR_OWNER_NONE);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
    {
        fails.killed = true;
        (void)xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 3);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_int_eq(r.owner, XC_SR_OWNER_COMMITTED);
    ck_assert_uint_eq(r.epoch, 3);
    ck_assert(xl_journal_is_abandoned(&r));
    ck_assert(!xl_journal_is_settled(&r));
    /* What it could not finish goes along. */
    write_file("g.migration.new", "x", 1);
    ck_assert_int_eq(xl_journal_remove(&j), 0);
    ck_assert_uint_eq(files_in_dir(), 0);
    xl_journal_close(&j);
}
END_TEST

START_TEST(every_owner_is_read_back)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16] = { 1 };
    int owner;

    ck_assert_int_eq(xl_journal_open(&j, dir, "g", false), 0);
    for ( owner = XC_SR_OWNER_NONE; owner <= XC_SR_OWNER_ENDED; owner++ )
    {
        ck_assert_int_eq(
            xl_journal_put(&j, (enum xc_sr_owner)owner, session, 1), 0);
        ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
        ck_assert_int_eq((int)r.owner, owner);
        ck_assert(!r.at_source);
    }
    xl_journal_close(&j);
}
END_TEST

START_TEST(what_was_noted_of_a_guest_is_read_back)
{
    struct xl_journal j = { .dir_fd = -1 };
    struct xl_journal_record r;
    uint8_t session[16] = { 1 };
    char longer[XL_JOURNAL_GUEST_MAX + 2];

    ck_assert_int_eq(xl_journal_open(&j, dir, "g", false), 0);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_PREP, session, 1), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_str_eq(r.name, "");
    ck_assert_uint_eq(r.domid, 0);
    ck_assert_uint_eq(r.lifted_pages, 0);
    ck_assert(!r.paused);
    ck_assert(!r.no_monitor);
    j.name = "a guest";
    j.domid = 7;
    j.limit_pages = 1000;
    j.lifted_pages = 2000;
    j.paused = true;
    j.no_monitor = true;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_PREP, session, 1), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_str_eq(r.name, "a guest");
    ck_assert_uint_eq(r.domid, 7);
    ck_assert_uint_eq(r.limit_pages, 1000);
    ck_assert_uint_eq(r.lifted_pages, 2000);
    ck_assert(r.paused);
    ck_assert(r.no_monitor);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    j.name = longer;
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_PREP, session, 1), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_str_eq(r.name, "");
    xl_journal_close(&j);
}
END_TEST

/* The process that put it is dead, and its number is somebody else's. */
START_TEST(a_number_that_is_in_use_again_is_not_the_process)
{
    struct xl_journal j = { .dir_fd = -1 };
    uint8_t session[16] = { 1 };
    struct xl_journal_record r;

    ck_assert_int_eq(xl_journal_open(&j, dir, "g", true), 0);
    ck_assert_int_eq(xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 1), 0);
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), 0);
    ck_assert_uint_eq(r.pid, (uint64_t)getpid());
    ck_assert_uint_gt(r.began, 0);
    ck_assert(!xl_journal_is_abandoned(&r));
    r.began--;
    ck_assert(xl_journal_is_abandoned(&r));
    r.began = 0; /* of an older xl */
    ck_assert(!xl_journal_is_abandoned(&r));
    xl_journal_close(&j);
}
END_TEST

START_TEST(settled_and_abandoned_records_are_told_apart)
{
    static const struct
    {
        enum xc_sr_owner owner;
        bool settled;
    } rows[] = {
        { XC_SR_OWNER_NONE, false },   { XC_SR_OWNER_COMMITTED, false },
        { XC_SR_OWNER_RESUMED, true }, { XC_SR_OWNER_DONE, true },
        { XC_SR_OWNER_PREP, false },   { XC_SR_OWNER_OWNER, false },
        { XC_SR_OWNER_FENCED, true },  { XC_SR_OWNER_FINISHED, true },
        { XC_SR_OWNER_LOST, false },   { XC_SR_OWNER_ENDED, true },
    };
    struct xl_journal_record r = { .pid = (uint64_t)getpid() };
    pid_t pid;
    unsigned int i;

    for ( i = 0; i < sizeof(rows) / sizeof(rows[0]); i++ )
    {
        r.owner = rows[i].owner;
        ck_assert_msg(xl_journal_is_settled(&r) == rows[i].settled, "%s",
                      xc_sr_owner_name(r.owner));
    }
    ck_assert(!xl_journal_is_abandoned(&r));
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
        _exit(0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    r.pid = (uint64_t)pid;
    ck_assert(xl_journal_is_abandoned(&r));
}
END_TEST

START_TEST(a_record_that_cannot_be_written_is_an_error)
{
    struct xl_journal j = { .dir_fd = -1 };
    uint8_t session[16] = { 1 };

    ck_assert_int_eq(xl_journal_open(&j, "/no/such", "g", true), -ENOENT);
    ck_assert_int_eq(xl_journal_open(&j, dir, "g", true), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    ck_assert_int_lt(xl_journal_put(&j, XC_SR_OWNER_COMMITTED, session, 0), 0);
    xl_journal_close(&j);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
}
END_TEST

START_TEST(other_texts_are_no_records)
{
    static const char *const texts[] = {
        "",
        "null",
        "{}",
        "{\"side\":\"source\"}",
        "{\"side\":\"source\",\"owner\":\"ME\",\"session\":"
        "\"00000000000000000000000000000000\",\"epoch\":0,\"pid\":1}",
        "{\"side\":\"source\",\"owner\":\"DONE\",\"session\":"
        "\"0000000000000000000000000000000g\",\"epoch\":0,\"pid\":1}",
        "{\"side\":\"source\",\"owner\":\"DONE\",\"session\":"
        "\"00\",\"epoch\":0,\"pid\":1}",
        "{\"side\":\"source\",\"owner\":\"DONE\",\"session\":"
        "\"00000000000000000000000000000000\",\"epoch\":-1,\"pid\":1}",
    };
    struct xl_journal_record r;
    char big[5000];
    unsigned int i;

    for ( i = 0; i < sizeof(texts) / sizeof(texts[0]); i++ )
    {
        write_file("g.migration", texts[i], strlen(texts[i]));
        ck_assert_msg(xl_journal_read(dir, "g", &r) == -EINVAL, "taken: %s",
                      texts[i]);
    }
    memset(big, ' ', sizeof(big));
    write_file("g.migration", big, sizeof(big));
    ck_assert_int_eq(xl_journal_read(dir, "g", &r), -EINVAL);
}
END_TEST

/* ---- The control socket ------------------------------------------------------ */

static void echo(void *ctx, const char *request, char *answer, size_t len)
{
    unsigned int *count = ctx;

    ++*count;
    snprintf(answer, len, "ok %s", request);
}

/* Serves until the child is done; returns its exit status. */
static int serve_child(struct xl_control *c, pid_t pid)
{
    int status, rounds;

    for ( rounds = 0; rounds < 2000; rounds++ )
    {
        struct pollfd pfd = { .fd = xl_control_fd(c), .events = POLLIN };

        ck_assert_int_ge(poll(&pfd, 1, 5), 0);
        if ( pfd.revents )
            xl_control_service(c);
        if ( waitpid(pid, &status, WNOHANG) == pid )
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    return -1;
}

START_TEST(a_request_is_answered)
{
    struct xl_control *c = NULL;
    unsigned int count = 0;
    char answer[XL_CONTROL_ANSWER_MAX], path[128];
    struct stat st;
    pid_t pid;

    ck_assert_int_eq(xl_control_ask(dir, "g", "x", answer, sizeof(answer)),
                     -ENOENT);
    ck_assert_int_eq(xl_control_open(dir, "g", echo, &count, &c), 0);
    snprintf(path, sizeof(path), "%s/g.migration.ctl", dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
    {
        int i;

        for ( i = 0; i < 20; i++ )
            if ( xl_control_ask(dir, "g", "hello", answer, sizeof(answer)) ||
                 strcmp(answer, "ok hello") )
                _exit(1);
        _exit(0);
    }
    ck_assert_int_eq(serve_child(c, pid), 0);
    ck_assert_uint_eq(count, 20);
    xl_control_close(c);
    ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

static int connect_silently(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -1 : fd;
}

START_TEST(clients_that_say_nothing_do_not_shut_others_out)
{
    struct xl_control *c = NULL;
    unsigned int count = 0;
    char answer[XL_CONTROL_ANSWER_MAX], path[96], junk[200];
    int silent[12], i;
    pid_t pid;

    ck_assert_int_eq(xl_control_open(dir, "g", echo, &count, &c), 0);
    snprintf(path, sizeof(path), "%s/g.migration.ctl", dir);
    memset(junk, 'x', sizeof(junk));
    for ( i = 0; i < 12; i++ )
    {
        silent[i] = connect_silently(path);
        ck_assert_int_ge(silent[i], 0);
        xl_control_service(c);
    }
    /* And one whose line never ends. */
    ck_assert_int_gt(send(silent[11], junk, sizeof(junk), MSG_NOSIGNAL), 0);
    xl_control_service(c);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
        _exit(xl_control_ask(dir, "g", "hello", answer, sizeof(answer)) != 0);
    ck_assert_int_eq(serve_child(c, pid), 0);
    ck_assert_uint_eq(count, 1);
    for ( i = 0; i < 12; i++ )
        close(silent[i]);
    xl_control_close(c);
}
END_TEST

START_TEST(a_directory_with_a_long_name_will_do)
{
    struct xl_control *c = NULL;
    char deep[256], answer[XL_CONTROL_ANSWER_MAX];
    unsigned int count = 0;
    pid_t pid;

    snprintf(deep, sizeof(deep), "%s/%0150d", dir, 7);
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    ck_assert_int_eq(xl_control_open(deep, "g", echo, &count, &c), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
        _exit(xl_control_ask(deep, "g", "hello", answer, sizeof(answer)) != 0);
    ck_assert_int_eq(serve_child(c, pid), 0);
    xl_control_close(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_journal");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_set_timeout(t, 30);
    tcase_add_test(t, the_last_record_is_the_one_that_is_read);
    tcase_add_test(t, a_record_is_tried_beforehand);
    tcase_add_test(t, what_cannot_be_synced_is_not_there);
    tcase_add_loop_test(t, what_cannot_be_taken_back_is_told, 0, 2);
    tcase_add_test(t, a_file_system_that_cannot_exchange_will_do);
    tcase_add_test(t, one_that_was_killed_before_it_was_synced_counts);
    tcase_add_test(t, every_owner_is_read_back);
    tcase_add_test(t, what_was_noted_of_a_guest_is_read_back);
    tcase_add_test(t, a_number_that_is_in_use_again_is_not_the_process);
    tcase_add_test(t, settled_and_abandoned_records_are_told_apart);
    tcase_add_test(t, a_record_that_cannot_be_written_is_an_error);
    tcase_add_test(t, other_texts_are_no_records);
    tcase_add_test(t, a_request_is_answered);
    tcase_add_test(t, clients_that_say_nothing_do_not_shut_others_out);
    tcase_add_test(t, a_directory_with_a_long_name_will_do);
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_local_talk.c: a local guest that is asked nonsense goes on as if
 * nothing had been said; one that cannot be made, is gone or does not answer
 * any more is told from one that is there.
 */
#include "hv_local.inc.c"

#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- A guest is asked nonsense ----------------------------------------------------------- */

static int connect_to(const char *name)
{
    int sock = -1;

    ck_assert_int_eq(xc_sr__lw_connect(dir, name, &sock), 0);
    return sock;
}

static int ask_raw(int sock, enum lw_op op, const char *data, size_t len)
{
    static struct lw_msg msg;

    msg.op = op;
    msg.len = (uint32_t)len;
    msg.arg[0] = msg.arg[1] = 0;
    memcpy(msg.data, data, len);
    return xc_sr__lw_call(sock, &msg, NULL, PATIENCE_US);
}

/* What a migration may ask nobody else may. */
START_TEST(nobody_but_its_migration_moves_a_guest)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_hv *hv;
    int sock;

    create(&config, false);
    sock = connect_to("g");
    hv = open_hv("g", XC_SR_HV_SOURCE);
    for ( int op = LW_SUSPEND; op <= LW_PAGING_OFF; op++ )
        if ( op != LW_SUSPEND_GO )
            ck_assert_int_eq(ask_raw(sock, (enum lw_op)op, "", 0), -EPERM);
    /* A source's may not do what a destination's may. */
    ck_assert_int_eq(xc_sr__hv_pause(hv), -EPERM);
    ck_assert_int_eq(ask_raw(sock, (enum lw_op)1000, "", 0), -ENOSYS);
    xc_sr_hv_close(hv);
    close(sock);
    wait_for("g", XC_SR_LOCAL_RUNNING);
    assert_well("g");
}
END_TEST

static void send_raw(int sock, const void *data, size_t len, int fd)
{
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
    union
    {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf) };
    struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);

    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
    ck_assert_int_eq(sendmsg(sock, &mh, MSG_NOSIGNAL), (ssize_t)len);
}

/* Whoever sends what is no message is not talked to any more, and what came
 * with it is closed. */
START_TEST(what_is_no_message_ends_the_talk)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct lw_msg head = { .magic = LW_MAGIC, .op = LW_INFO };
    unsigned int before;
    char c;

    create(&config, false);
    before = open_fds(look("g").info.pid);
    for ( int i = 0; i < 3; i++ )
    {
        int sock = connect_to("g");

        head.magic = i == 1 ? LW_MAGIC + 1 : LW_MAGIC;
        head.len = i == 2 ? 8 : 0; /* more than there is */
        send_raw(sock, &head, i == 0 ? 3 : LW_HEAD, sock);
        ck_assert_int_eq(recv(sock, &c, 1, 0), 0);
        close(sock);
    }
    assert_well("g");
    /* It may not have seen yet that the latest look has ended. */
    ck_assert_uint_le(open_fds(look("g").info.pid), before + 1);
}
END_TEST

#define MANY 40 /* more than a guest talks to at once */

START_TEST(too_many_askers_are_turned_away)
{
    struct xc_sr_local_config config = config_of("g", 1);
    unsigned int answered = 0;
    int socks[MANY];

    create(&config, false);
    for ( int i = 0; i < MANY; i++ )
        socks[i] = connect_to("g");
    for ( int i = 0; i < MANY; i++ )
        answered += !ask_raw(socks[i], LW_INFO, "", 0);
    ck_assert_uint_eq(answered, 32);
    for ( int i = 0; i < MANY; i++ )
        close(socks[i]);
    assert_well("g");
}
END_TEST

START_TEST(a_guest_that_runs_refuses_what_does_not_fit)
{
    struct xc_sr_local_config config = config_of("g", 1);
    char name[XC_SR_LOCAL_NAME_MAX + 10];
    int sock;

    create(&config, false);
    memset(name, 'x', sizeof(name));
    sock = connect_to("g");
    ck_assert_int_eq(ask_raw(sock, LW_RENAME, name, sizeof(name)), -EINVAL);
    ck_assert_int_eq(ask_raw(sock, LW_RENAME, "../g", 4), -EINVAL);
    ck_assert_int_eq(ask_raw(sock, LW_FORCE_RESUME, "", 0), -EALREADY);
    close(sock);
    ck_assert_int_eq(xc_sr_local_resume(dir, "g", &log_to), -EALREADY);
    assert_said("it is in that state already");
    ck_assert_int_eq(xc_sr_local_rename(dir, "g", "-g", &log_to), -EINVAL);
    assert_said("not a guest's name");
    assert_well("g");
}
END_TEST

/* Its own migration asks what it may, at the wrong time. */
START_TEST(a_migration_cannot_ask_out_of_order)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);
    struct lw_fds fds = { 0 };
    struct local *from = xc_sr__local_of(p.from), *to = xc_sr__local_of(p.to);

    ck_assert_int_eq(ask_raw(from->sock, LW_DIRTY_FETCH, "", 0), -EINVAL);
    ck_assert_int_eq(xc_sr__hv_dirty_on(p.from), 0);
    from->msg->len = 0;
    ck_assert_int_eq(xc_sr__local_ask(p.from, LW_DIRTY_ON, "", &fds),
                     -EALREADY);
    to->msg->len = 0;
    ck_assert_int_eq(xc_sr__local_ask(p.to, LW_PAGING_ON, "", &fds), -EALREADY);
    ck_assert_uint_eq(fds.nr, 0);
    ck_assert_int_eq(xc_sr_local_unpause(dir, "there", &log_to), -EBUSY);
    /* There is nothing to start yet. */
    ck_assert_int_eq(ask_raw(to->sock, LW_START, "", 0), -EINVAL);
    wait_ops("g", look("g").ops);
    close_pair(&p);
    wait_for("g", XC_SR_LOCAL_RUNNING);
    assert_well("g");
}
END_TEST

/* Until LW_START its vCPUs do nothing. */
START_TEST(a_destination_can_be_stopped)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct xc_sr_local_info info;
    struct pair p;
    uint64_t ops;

    config.working_set_kib = 400;
    p = make_pair(&config);
    hand_over(&p);
    serve(&p, 10);
    push_rest(&p);
    ck_assert_int_eq(xc_sr__hv_pause(p.to), 0);
    wait_for("there", XC_SR_LOCAL_PAUSED);
    ops = look("there").ops; /* once they have stopped */
    ck_assert_int_eq(xc_sr_local_info_get(dir, "there", NULL, &info), 0);
    ck_assert_uint_eq(info.ops, ops);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), 0);
    wait_ops("there", ops);
    close_pair(&p);
    assert_well("there");
}
END_TEST

/* ---- A guest that cannot be made, and one that is no more ------------------------------------ */

static void assert_not_made(const struct xc_sr_local_config *config, int rc,
                            const char *words)
{
    struct xc_sr_local_info info;

    last_error[0] = '\0';
    ck_assert_int_eq(xc_sr_local_create(dir, config, false, &log_to), rc);
    assert_said(words);
    ck_assert_int_ne(xc_sr_local_info_get(dir, config->name, NULL, &info), 0);
}

START_TEST(a_guest_that_cannot_be_made_is_said)
{
    struct xc_sr_local_config config = config_of("g", 1);
    char program[128], before[64];

    setenv("XEN_POSTCOPY_GUEST", "/nowhere/at/all", 1);
    assert_not_made(&config, -ENOENT, "cannot find xen-postcopy-guest");
    setenv("XEN_POSTCOPY_GUEST", "/bin/true", 1); /* says nothing */
    assert_not_made(&config, -ENOEXEC, "cannot create it");
    for ( int i = 0; i < 2; i++ ) /* an error; a word that is none */
    {
        FILE *f;

        snprintf(program, sizeof(program), "%s/program%d", dir, i);
        f = fopen(program, "we");
        ck_assert_ptr_nonnull(f);
        fprintf(f, "#!/bin/sh\necho %s\n", i ? "fine" : "12");
        ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
        fclose(f);
        setenv("XEN_POSTCOPY_GUEST", program, 1);
        assert_not_made(&config, i ? -ENOEXEC : -ENOMEM, "cannot create it");
    }
    unsetenv("XEN_POSTCOPY_GUEST");
    config.vcpus = 0;
    assert_not_made(&config, -EINVAL, "out of bounds");
    config.vcpus = 1;
    snprintf(before, sizeof(before), "%s", dir);
    snprintf(dir, sizeof(dir), "/nowhere/at/all");
    assert_not_made(&config, -ENOENT, "No such file");
    snprintf(dir, sizeof(dir), "%s", before);
}
END_TEST

START_TEST(a_name_is_taken_while_its_guest_lives)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_local_info *infos, info;
    int64_t first;
    size_t nr;

    create(&config, false);
    first = look("g").info.pid;
    ck_assert_int_eq(xc_sr_local_create(dir, &config, false, &log_to), -EEXIST);
    assert_said("there is a guest of that name already");
    ck_assert_int_eq(kill((pid_t)first, SIGKILL), 0);
    while ( xc_sr_local_info_get(dir, "g", NULL, &info) != -ECONNREFUSED )
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    ck_assert_int_eq(xc_sr_local_list(dir, NULL, &infos, &nr), 0);
    ck_assert_uint_eq(nr, 1);
    ck_assert_int_eq(infos[0].state, XC_SR_LOCAL_DEAD);
    ck_assert_str_eq(infos[0].config.name, "g");
    ck_assert_str_eq(infos[0].why, "its process is gone");
    free(infos);
    /* Of its socket, nobody waits behind it. */
    create(&config, false);
    ck_assert_int_ne(look("g").info.pid, first);
    assert_well("g");
}
END_TEST

START_TEST(what_is_no_guest_is_not_listed)
{
    static const char *const names[] = { "x.socket", ".sock", "a b.sock",
                                         ".hidden.sock" };
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_local_info *infos;
    char path[128];
    size_t nr;

    create(&config, false);
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(names); i++ )
    {
        int fd;

        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
    ck_assert_int_eq(xc_sr_local_list(dir, &log_to, &infos, &nr), 0);
    ck_assert_uint_eq(nr, 1);
    ck_assert_str_eq(infos[0].config.name, "g");
    free(infos);
    ck_assert_int_eq(xc_sr_local_list("/nowhere/at/all", &log_to, &infos, &nr),
                     -ENOENT);
    assert_said("No such file");
    unlink(path);
}
END_TEST

START_TEST(a_wait_in_vain_says_what_it_is_instead)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_local_info info = { .ops = 77 };

    create(&config, false);
    ck_assert_int_eq(xc_sr_local_pause(dir, "g", NULL), 0);
    ck_assert_int_eq(
        xc_sr_local_wait(dir, "g", XC_SR_LOCAL_RUNNING, 20000, &log_to, &info),
        -ETIMEDOUT);
    assert_said("is not running, it is paused");
    ck_assert_uint_eq(info.ops, 77);
}
END_TEST

/* Nobody is asked for ever: it answers nothing, and is ended all the same. */
START_TEST(a_guest_that_does_not_answer_can_be_destroyed)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_local_info info;

    create(&config, false);
    ck_assert_int_eq(kill((pid_t)look("g").info.pid, SIGSTOP), 0);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "g", &log_to), 0);
    ck_assert_int_eq(xc_sr_local_info_get(dir, "g", NULL, &info), -ENOENT);
}
END_TEST

static void program_path(char path_r[PATH_MAX])
{
    char self[PATH_MAX - 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    ck_assert_int_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path_r, PATH_MAX, "%s/../bin/xen-postcopy-guest", self);
}

/* Whoever wanted it has given up and said that there is none. */
START_TEST(a_guest_that_nobody_waits_for_ends)
{
    struct xc_sr_local_info info;
    char path[PATH_MAX];
    int fds[2], status;
    pid_t pid;

    program_path(path);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    pid = fork();
    if ( !pid )
    {
        dup2(fds[1], 1);
        execl(path, path, "--dir", dir, "--name", "g", (char *)NULL);
        _exit(99);
    }
    close(fds[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    ck_assert_int_eq(xc_sr_local_info_get(dir, "g", NULL, &info), -ENOENT);
}
END_TEST

/* It is not for hand use, and says so. */
START_TEST(its_program_refuses_options_it_does_not_know)
{
    static const char *const options[] = {
        "",
        "--frobnicate",
        "--vcpus x",
        "--vcpus -1",
        "--name g more",
        "--name g --vcpus 0",
        "--name g --memory-kib 99999999999999999999",
    };
    char command[PATH_MAX + 256], path[PATH_MAX];

    program_path(path);
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(options); i++ )
    {
        char line[256] = "";
        FILE *f;

        snprintf(command, sizeof(command), "'%s' --dir %s %s 2>&1", path, dir,
                 options[i]);
        f = popen(command, "re");
        ck_assert_ptr_nonnull(f);
        while ( fgets(line, sizeof(line), f) && !strstr(line, "Usage:") )
            continue;
        ck_assert_msg(strstr(line, "Usage:"), "%s: %s", options[i], line);
        while ( fgets(line, sizeof(line), f) )
            continue;
        ck_assert_int_eq(WEXITSTATUS(pclose(f)), 2);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nobody_but_its_migration_moves_a_guest,
        what_is_no_message_ends_the_talk,
        too_many_askers_are_turned_away,
        a_guest_that_runs_refuses_what_does_not_fit,
        a_migration_cannot_ask_out_of_order,
        a_destination_can_be_stopped,
        a_guest_that_cannot_be_made_is_said,
        a_name_is_taken_while_its_guest_lives,
        what_is_no_guest_is_not_listed,
        a_wait_in_vain_says_what_it_is_instead,
        a_guest_that_does_not_answer_can_be_destroyed,
        a_guest_that_nobody_waits_for_ends,
        its_program_refuses_options_it_does_not_know,
    };

    return run_tests("hv_local_talk", tests, XC_SR_ARRAY_SIZE(tests), false);
}

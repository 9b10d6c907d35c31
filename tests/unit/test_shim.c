/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_shim.c: xl-save-shim, run as libxl runs it, by a libxl of ours: what it
 * carries, what it holds open, how it ends, and who may call in its place.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim_link.h"

#define SOON (libxl_postcopy__now_us() + 20000000)

/* libxl's side of a helper. */
static struct
{
    pid_t pid;
    int to;     /* its standard input */
    int from;   /* its standard output */
    int stream; /* the other end of what it inherits as io_fd */
} libxl;

static int listen_fd = -1;
static char name[64];
static struct libxl_postcopy__shim shim;

/* Forks and execs as libxl__exec() does: pipes on 0 and 1, the stream's end
 * inherited under its number. */
static void start_shim(void)
{
    int in[2], out[2], stream[2];
    char fd_text[12];

    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream),
                     0);
    snprintf(fd_text, sizeof(fd_text), "%d", stream[1]);
    libxl.pid = fork();
    /* Nothing of libcheck's in the child: it would write to the same file. */
    if ( libxl.pid == 0 )
    {
        dup2(in[0], 0);
        dup2(out[1], 1);
        fcntl(stream[1], F_SETFD, 0);
        execlp("xl-save-shim", "xl-save-shim", "--save-domain", fd_text, "-1",
               "5", "1", "136", "0", (char *)NULL);
        _exit(127);
    }
    ck_assert_int_gt(libxl.pid, 0);
    close(in[0]);
    close(out[1]);
    close(stream[1]);
    libxl.to = in[1];
    libxl.from = out[0];
    libxl.stream = stream[0];
}

/* Its exit status, or 128 and the signal. */
static int wait_shim(void)
{
    int status = 0;

    ck_assert_int_eq(waitpid(libxl.pid, &status, 0), libxl.pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int accept_shim(void)
{
    return libxl_postcopy__shim_accept(listen_fd, -1, SOON, &shim);
}

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&shim, 0, sizeof(shim));
    shim.fd = -1;
    ck_assert_int_eq(
        libxl_postcopy__shim_listen(name, sizeof(name), &listen_fd), 0);
    setenv(LIBXL_PC_SHIM_ENV, name, 1);
    start_shim();
}

/* Once: under its number there may be somebody else's by then. */
static void let_go(int *fd)
{
    if ( *fd >= 0 )
        close(*fd);
    *fd = -1;
}

static void tear_down(void)
{
    let_go(&listen_fd);
    let_go(&shim.fd);
    let_go(&libxl.to);
    let_go(&libxl.from);
    let_go(&libxl.stream);
}

static void read_message(struct libxl_postcopy__message *msg_r)
{
    uint8_t buf[512];
    size_t have = 0, used = 0;

    while ( !used )
    {
        ssize_t n = read(libxl.from, buf + have, 1);

        ck_assert_int_eq(n, 1);
        have++;
        ck_assert_int_eq(libxl_postcopy__msg_decode(buf, have, msg_r, &used),
                         0);
    }
}

static void answer(int value)
{
    ck_assert_int_eq(write(libxl.to, &value, sizeof(value)), sizeof(value));
}

START_TEST(a_whole_save)
{
    const struct libxl_postcopy__message suspend = { .number =
                                                         LIBXL_PC_MSG_SUSPEND };
    const struct libxl_postcopy__message complete = {
        .number = LIBXL_PC_MSG_COMPLETE
    };
    struct libxl_postcopy__message got;
    bool answered = true;

    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(shim.pid, libxl.pid);
    ck_assert(!shim.args.restore);
    ck_assert_uint_eq(shim.args.domid, 5);
    ck_assert_uint_eq(shim.args.cbflags, 136);

    ck_assert_int_eq(libxl_postcopy__shim_send(&shim, &suspend, SOON), 0);
    ck_assert_int_eq(libxl_postcopy__shim_send(&shim, &suspend, SOON), -EBUSY);
    read_message(&got);
    ck_assert_int_eq((int)got.number, LIBXL_PC_MSG_SUSPEND);
    /* Not yet, and in two pieces. */
    ck_assert_int_eq(libxl_postcopy__shim_answer(&shim, 0, &answered), 0);
    ck_assert(!answered);
    ck_assert_int_eq(write(libxl.to, "\1", 1), 1);
    ck_assert_int_eq(write(libxl.to, "\0\0\0", 3), 3);
    ck_assert_int_eq(libxl_postcopy__shim_answer(&shim, SOON, &answered), 0);
    ck_assert(answered);

    ck_assert_int_eq(libxl_postcopy__shim_send(&shim, &complete, SOON), 0);
    read_message(&got);
    ck_assert_int_eq((int)got.number, LIBXL_PC_MSG_COMPLETE);
    answer(0);
    ck_assert_int_eq(libxl_postcopy__shim_answer(&shim, SOON, &answered), 0);
    ck_assert(answered);
    libxl_postcopy__shim_exit(&shim, 0);
    ck_assert_int_eq(wait_shim(), 0);
}
END_TEST

START_TEST(an_answer_that_does_not_come)
{
    const struct libxl_postcopy__message msg = { .number =
                                                     LIBXL_PC_MSG_LOGDIRTY,
                                                 .values = { 5, 1 } };

    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(libxl_postcopy__shim_call(
                         &shim, &msg, libxl_postcopy__now_us() + 20000),
                     -ETIMEDOUT);
    libxl_postcopy__shim_exit(&shim, 1);
    ck_assert_int_eq(wait_shim(), 1);
}
END_TEST

START_TEST(a_no_is_an_error)
{
    const struct libxl_postcopy__message msg = { .number =
                                                     LIBXL_PC_MSG_SUSPEND };

    ck_assert_int_eq(accept_shim(), 0);
    answer(0);
    ck_assert_int_eq(libxl_postcopy__shim_call(&shim, &msg, SOON), -EIO);
    libxl_postcopy__shim_exit(&shim, 1);
    ck_assert_int_eq(wait_shim(), 1);
}
END_TEST

/* With the shim holding it, the end of libxl's stream would never be seen. */
START_TEST(holds_no_end_of_the_stream)
{
    uint8_t octet;

    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(read(libxl.stream, &octet, 1), 0);
    libxl_postcopy__shim_exit(&shim, 0);
    ck_assert_int_eq(wait_shim(), 0);
}
END_TEST

START_TEST(ends_with_libxl)
{
    bool answered;

    ck_assert_int_eq(accept_shim(), 0);
    let_go(&libxl.to);
    ck_assert_int_eq(wait_shim(), 1);
    libxl.to = dup(libxl.from);
    shim.asked = LIBXL_PC_MSG_SUSPEND;
    ck_assert_int_eq(libxl_postcopy__shim_answer(&shim, SOON, &answered),
                     -EPIPE);
    ck_assert_int_eq(shim.fd, -1);
}
END_TEST

START_TEST(ends_with_the_engine)
{
    ck_assert_int_eq(accept_shim(), 0);
    let_go(&shim.fd);
    shim.fd = -1;
    ck_assert_int_eq(wait_shim(), 1);
}
END_TEST

START_TEST(ends_at_once_when_libxl_gives_up)
{
    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(kill(libxl.pid, SIGTERM), 0);
    ck_assert_int_eq(wait_shim(), 128 + SIGTERM);
    ck_assert_int_eq(libxl_postcopy__shim_take(&shim), -EPIPE);
}
END_TEST

/* Control-C or control-\ in the terminal of xl reaches it as well. */
START_TEST(stays_when_the_terminal_signals)
{
    const struct libxl_postcopy__message suspend = { .number =
                                                         LIBXL_PC_MSG_SUSPEND };
    struct libxl_postcopy__message got;
    bool answered = false;

    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(libxl_postcopy__shim_send(&shim, &suspend, SOON), 0);
    ck_assert_int_eq(kill(libxl.pid, SIGINT), 0);
    ck_assert_int_eq(kill(libxl.pid, SIGQUIT), 0);
    ck_assert_int_eq(kill(libxl.pid, SIGHUP), 0);
    read_message(&got);
    answer(1);
    ck_assert_int_eq(libxl_postcopy__shim_answer(&shim, SOON, &answered), 0);
    ck_assert(answered);
    libxl_postcopy__shim_exit(&shim, 0);
    ck_assert_int_eq(wait_shim(), 0);
}
END_TEST

/* Somebody who is no child of ours is not listened to. */
START_TEST(a_stranger_is_turned_away)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    socklen_t len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    memcpy(addr.sun_path + 1, name, strlen(name));
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(shim.pid, libxl.pid);
    libxl_postcopy__shim_exit(&shim, 0);
    ck_assert_int_eq(wait_shim(), 0);
    close(fd);
}
END_TEST

START_TEST(waiting_for_it_ends)
{
    struct libxl_postcopy__shim second;
    int wake[2];

    ck_assert_int_eq(accept_shim(), 0);
    ck_assert_int_eq(
        libxl_postcopy__shim_accept(listen_fd, -1,
                                    libxl_postcopy__now_us() + 20000, &second),
        -ETIMEDOUT);
    ck_assert_int_eq(pipe(wake), 0);
    ck_assert_int_eq(write(wake[1], "", 1), 1);
    ck_assert_int_eq(
        libxl_postcopy__shim_accept(listen_fd, wake[0], SOON, &second),
        -ECANCELED);
    libxl_postcopy__shim_exit(&shim, 0);
    ck_assert_int_eq(wait_shim(), 0);
    close(wake[0]);
    close(wake[1]);
}
END_TEST

static Suite *shim_suite(void)
{
    Suite *s = suite_create("shim");
    TCase *tc = tcase_create("shim");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_whole_save);
    tcase_add_test(tc, an_answer_that_does_not_come);
    tcase_add_test(tc, a_no_is_an_error);
    tcase_add_test(tc, holds_no_end_of_the_stream);
    tcase_add_test(tc, ends_with_libxl);
    tcase_add_test(tc, ends_with_the_engine);
    tcase_add_test(tc, ends_at_once_when_libxl_gives_up);
    tcase_add_test(tc, stays_when_the_terminal_signals);
    tcase_add_test(tc, a_stranger_is_turned_away);
    tcase_add_test(tc, waiting_for_it_ends);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(shim_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

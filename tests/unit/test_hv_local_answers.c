/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_local_answers.c: a local guest that is played by the test answers
 * something else than it was asked, or not at all: whoever asked says so,
 * takes nothing of it and keeps nothing open.
 */
#include "hv_local.inc.c"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum lie
{
    NO_LIE,
    NO_ANSWER,  /* hangs up */
    NO_MESSAGE, /* not of this version */
    OTHER_QUESTION,
    NO_DATA,
    NO_FDS,
    FDS, /* that nobody expects */
    TOO_MANY_FDS,
    REFUSED_WITH_FDS,
};

/* A guest that is played: it lies about one question. */
static struct
{
    enum lw_op op;
    enum lie lie;
    int listen_fd;
    pthread_t thread;
} played;

static struct lw_msg answer;

static void put_info(void)
{
    struct xc_sr_local_info info = { .config = config_of("played", 1),
                                     .state = XC_SR_LOCAL_RUNNING };

    memcpy(answer.data, &info, sizeof(info));
    answer.len = sizeof(info);
    answer.arg[0] = XC_SR_HV_CAP_DIRTY | XC_SR_HV_CAP_PAGING;
}

static void put_fds(struct lw_fds *fds, unsigned int nr)
{
    while ( fds->nr < nr )
        fds->fd[fds->nr++] = eventfd(0, EFD_CLOEXEC);
}

static void put_honest(struct lw_fds *fds)
{
    answer.len = 0;
    answer.rc = 0;
    if ( answer.op == LW_INFO )
        put_info();
    put_fds(fds, answer.op == LW_ATTACH                                  ? 3
                 : answer.op == LW_DIRTY_ON || answer.op == LW_PAGING_ON ? 1
                                                                         : 0);
    if ( answer.op == LW_ATTACH )
    {
        close(fds->fd[0]);
        fds->fd[0] = memfd_create("played", MFD_CLOEXEC);
        ck_assert_int_eq(ftruncate(fds->fd[0], KIB << 10), 0);
    }
}

/* False: hang up. */
static bool put_lie(struct lw_fds *fds)
{
    switch ( played.lie )
    {
    case NO_ANSWER:
        xc_sr__lw_close_fds(fds);
        return false;
    case OTHER_QUESTION:
        answer.op++;
        break;
    case NO_DATA:
        answer.len = 0;
        break;
    case NO_FDS:
        xc_sr__lw_close_fds(fds);
        break;
    case TOO_MANY_FDS:
        put_fds(fds, LW_FDS_MAX);
        break;
    case REFUSED_WITH_FDS:
        answer.rc = -EBUSY;
        put_fds(fds, 1);
        break;
    case FDS:
        put_fds(fds, 1);
        break;
    default:
        break;
    }
    return true;
}

static bool answer_one(int sock)
{
    struct pollfd pfd = { .fd = sock, .events = POLLIN };
    struct lw_fds fds = { 0 };
    bool lies;
    int rc;

    ck_assert_int_eq(poll(&pfd, 1, -1), 1);
    if ( xc_sr__lw_recv(sock, &answer, NULL) )
        return false;
    lies = played.lie != NO_LIE && answer.op == (uint32_t)played.op;
    put_honest(&fds);
    if ( lies && !put_lie(&fds) )
        return false;
    if ( lies && played.lie == NO_MESSAGE )
        return send(sock, "hello", 5, MSG_NOSIGNAL) == 5;
    rc = xc_sr__lw_send(sock, &answer, &fds);
    xc_sr__lw_close_fds(&fds);
    return !rc;
}

/* One talk, to its end. */
static void *play_guest(void *arg)
{
    int sock = accept4(played.listen_fd, NULL, NULL, SOCK_CLOEXEC);

    while ( sock >= 0 && answer_one(sock) )
        continue;
    if ( sock >= 0 )
        close(sock);
    return arg;
}

static void play(enum lw_op op, enum lie lie)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    played.op = op;
    played.lie = lie;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/played.sock", dir);
    unlink(sa.sun_path);
    played.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(played.listen_fd, (struct sockaddr *)&sa, sizeof(sa)),
                     0);
    ck_assert_int_eq(listen(played.listen_fd, 1), 0);
    ck_assert_int_eq(pthread_create(&played.thread, NULL, play_guest, NULL), 0);
}

static void played_out(void)
{
    pthread_join(played.thread, NULL);
    close(played.listen_fd);
}

/* It ends before it has so much as taken the call. */
START_TEST(who_calls_a_guest_that_ends_hears_that_it_is_gone)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    static struct lw_msg msg = { .op = LW_DESTROY };
    int listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int sock = -1;

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/ends.sock", dir);
    ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    ck_assert_int_eq(listen(listen_fd, 1), 0);
    ck_assert_int_eq(xc_sr__lw_connect(dir, "ends", &sock), 0);
    close(listen_fd);
    ck_assert_int_eq(xc_sr__lw_call(sock, &msg, NULL, 1000000), -ECONNREFUSED);
    close(sock);
}
END_TEST

static const struct
{
    enum lie lie;
    int rc;
    const char *words;
} lies[] = {
    { NO_ANSWER, -ECONNREFUSED, "its process is gone" },
    { NO_MESSAGE, -EBADMSG, "of another version" },
    { OTHER_QUESTION, -EBADMSG, "of another version" },
    { NO_DATA, -EBADMSG, "of another version" },
    { FDS, -EBADMSG, "of another version" },
};

START_TEST(an_answer_that_is_none_is_said)
{
    struct xc_sr_local_info info = { .ops = 77 };
    unsigned int before = open_fds(getpid());

    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(lies); i++ )
    {
        last_error[0] = '\0';
        play(LW_INFO, lies[i].lie);
        ck_assert_int_eq(xc_sr_local_info_get(dir, "played", &log_to, &info),
                         lies[i].rc);
        played_out();
        assert_said(lies[i].words);
        ck_assert_uint_eq(info.ops, 77);
        ck_assert_uint_eq(open_fds(getpid()), before);
    }
}
END_TEST

START_TEST(what_is_asked_of_a_guest_that_is_gone_is_said)
{
    struct xc_sr_local_config config = { .vcpus = 77 };
    struct xc_sr_local_info info;

    play(LW_INFO, NO_LIE);
    ck_assert_int_eq(xc_sr_local_config_get(dir, "played", NULL, &config), 0);
    played_out();
    ck_assert_uint_eq(config.vcpus, 1);
    ck_assert_int_eq(xc_sr_local_config_get(dir, "played", &log_to, &config),
                     -ECONNREFUSED);
    assert_said("its process is gone");
    ck_assert_int_eq(xc_sr_local_pause(dir, "nobody", &log_to), -ENOENT);
    assert_said("there is no such guest");
    ck_assert_int_eq(xc_sr_local_wait("/nowhere/at/all", "g",
                                      XC_SR_LOCAL_RUNNING, 0, &log_to, &info),
                     -ETIMEDOUT);
    assert_said("No such file");
    ck_assert_int_eq(
        xc_sr_local_wait(dir, "a name", XC_SR_LOCAL_RUNNING, 0, &log_to, &info),
        -EINVAL);
}
END_TEST

static const struct
{
    enum lw_op op;
    enum lie lie;
    int rc;
} opening[] = {
    { LW_ATTACH, NO_ANSWER, -ECONNREFUSED },
    { LW_ATTACH, NO_FDS, -EBADMSG },
    { LW_ATTACH, TOO_MANY_FDS, -EBADMSG },
    { LW_ATTACH, REFUSED_WITH_FDS, -EBADMSG },
    { LW_ATTACH, OTHER_QUESTION, -EBADMSG },
    { LW_INFO, NO_DATA, -EBADMSG },
    { LW_INFO, NO_ANSWER, -ECONNREFUSED },
};

START_TEST(a_guest_that_answers_nonsense_is_not_opened)
{
    unsigned int before = open_fds(getpid());

    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(opening); i++ )
    {
        struct xc_sr_hv *hv = NULL;

        play(opening[i].op, opening[i].lie);
        ck_assert_int_eq(
            xc_sr_hv_open_local(dir, "played", XC_SR_HV_SOURCE, NULL, &hv),
            opening[i].rc);
        played_out();
        ck_assert_ptr_null(hv);
        ck_assert_uint_eq(open_fds(getpid()), before);
    }
}
END_TEST

static const struct
{
    enum lw_op op;
    enum lie lie;
    int rc;
} later[] = {
    { LW_DIRTY_ON, NO_FDS, -EBADMSG },
    { LW_DIRTY_ON, TOO_MANY_FDS, -EBADMSG },
    { LW_DIRTY_ON, NO_ANSWER, -ECONNREFUSED },
    { LW_PAGING_ON, NO_FDS, -EBADMSG },
    { LW_PAGING_ON, TOO_MANY_FDS, -EBADMSG },
    { LW_PAGING_ON, FDS, -EBADMSG }, /* one, and no threads */
    { LW_PAGING_ON, NO_ANSWER, -ECONNREFUSED },
};

START_TEST(a_guest_that_answers_nonsense_is_not_moved)
{
    unsigned int before = open_fds(getpid());

    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(later); i++ )
    {
        bool source = later[i].op == LW_DIRTY_ON;
        struct xc_sr_hv *hv;

        play(later[i].op, later[i].lie);
        hv = open_hv("played", source ? XC_SR_HV_SOURCE : XC_SR_HV_DESTINATION);
        ck_assert_int_eq(source ? xc_sr__hv_dirty_on(hv)
                                : xc_sr__hv_paging_on(hv),
                         later[i].rc);
        xc_sr_hv_close(hv);
        played_out();
        ck_assert_uint_eq(open_fds(getpid()), before);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        who_calls_a_guest_that_ends_hears_that_it_is_gone,
        an_answer_that_is_none_is_said,
        what_is_asked_of_a_guest_that_is_gone_is_said,
        a_guest_that_answers_nonsense_is_not_opened,
        a_guest_that_answers_nonsense_is_not_moved,
    };

    return run_tests("hv_local_answers", tests, XC_SR_ARRAY_SIZE(tests), false);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_hostile.c: what a new connection may bring that is no recovery:
 * a peer that is somebody else, or lies about what it has.  Each time the side
 * that is attacked keeps its guest as it was and says what was wrong.
 *
 * All that the peer says is written before the engine looks, or from its own
 * callbacks: one thread, no waiting.
 */
#include <check.h>
#include <signal.h>
#include <sys/socket.h>

#include "fake_hv.inc.c"

#include "codec_kit.h"

struct attack
{
    struct fake_guest guest;
    int engine_fd;
    int peer_fd;
    struct xc_sr_control *control;
    struct xc_sr_writer later; /* said when PREP is recorded */
    struct xc_sr_writer again; /* said on the second connection */
    unsigned int losses;
    enum xc_sr_owner last; /* record */
    bool destroyed;
    int put_rc; /* the journal's answer */
};

/* A record with one field changed. */
struct lie
{
    const char *what;
    size_t at; /* in the record, its header included */
    unsigned int len;
    uint64_t value;
    const char *why; /* part of the sentence */
};

static void tell_lie(struct xc_sr_writer *w, size_t start,
                     const struct lie *lie)
{
    for ( unsigned int i = 0; i < lie->len; i++ )
        w->buf[start + lie->at + i] = (uint8_t)(lie->value >> 8 * i);
}

static void connect_pair(struct attack *a)
{
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    a->engine_fd = fd[0];
    a->peer_fd = fd[1];
}

static void say(struct attack *a, const struct xc_sr_writer *w)
{
    ck_assert_int_eq(send(a->peer_fd, w->buf, w->len, MSG_NOSIGNAL),
                     (ssize_t)w->len);
}

static int put_record(void *ctx, enum xc_sr_owner owner,
                      const uint8_t session[16], uint64_t epoch)
{
    struct attack *a = ctx;

    (void)session;
    (void)epoch;
    a->last = owner;
    if ( a->put_rc )
        return a->put_rc;
    if ( owner == XC_SR_OWNER_PREP )
    {
        say(a, &a->later);
        shutdown(a->peer_fd, SHUT_WR);
    }
    return 0;
}

static int on_destroy(void *ctx)
{
    ((struct attack *)ctx)->destroyed = true;
    return 0;
}

static void attack_init(struct attack *a, bool source)
{
    memset(a, 0, sizeof(*a));
    fake_guest_init(&a->guest, KIT_NR_PFNS, source);
    connect_pair(a);
    ck_assert_int_eq(xc_sr_control_new(&a->control), 0);
    xc_sr__writer_init(&a->later, 3);
    xc_sr__writer_init(&a->again, 3);
}

static void attack_dispose(struct attack *a)
{
    xc_sr_control_free(a->control);
    fake_guest_dispose(&a->guest);
    xc_sr__writer_dispose(&a->later);
    xc_sr__writer_dispose(&a->again);
    if ( a->engine_fd >= 0 )
        close(a->engine_fd);
    close(a->peer_fd);
}

/* ---- A source that is parked --------------------------------------------------- */

#define RECOVER_EPOCH  24
#define RECOVER_RECORD 32

static const struct lie recovers[] = {
    { "another session", 8, 1, 0xff, "session" },
    { "an epoch that is not newer", RECOVER_EPOCH, 8, 0, "epoch" },
    { "a record nobody knows", RECOVER_RECORD, 4, 6, "record" },
    { "features nobody has", 36, 4, 0x80000000, "features" },
    { "too small a guest", 40, 8, KIT_NR_PFNS - 1, "pages" },
    { "no size", 40, 8, 0, "pfns" },
    { "a size that overflows", 40, 8, UINT64_MAX, "pfns" },
    { "pages behind the end", 56, 8, UINT64_MAX, "bitmap" },
    { "4 GiB", 4, 4, UINT32_MAX, "length" },
    { "no bitmap", 4, 4, 40, "length" },
    { "LOST", RECOVER_RECORD, 4, XC_SR_RECOVER_LOST, "" },
    { "no record", RECOVER_RECORD, 4, XC_SR_RECOVER_NONE, "" },
};

START_TEST(a_parked_source_stays_parked)
{
    const struct lie *lie = &recovers[_i];
    struct xc_sr_record_of from = { .owner = XC_SR_OWNER_COMMITTED };
    struct xc_sr_save_result result;
    struct attack a;
    int rc;

    attack_init(&a, true);
    memcpy(from.session, kit_session, sizeof(from.session));
    kit_record(&a.again, XC_SR_REC_POSTCOPY_RECOVER, 1);
    tell_lie(&a.again, 0, lie);
    say(&a, &a.again);
    shutdown(a.peer_fd, SHUT_WR);
    rc = xc_sr_save(
        &(struct xc_sr_save_params){ .hv = &a.guest.hv,
                                     .send_fd = a.engine_fd,
                                     .recv_fd = a.engine_fd,
                                     .stream_version = 3,
                                     .policy = { .allow_postcopy = true },
                                     .journal = { put_record, &a },
                                     .watch = { .fd = -1 },
                                     .control = a.control,
                                     .from = &from },
        &result);
    ck_assert_msg(rc != 0, "%s", lie->what);
    ck_assert_int_eq(result.owner, XC_SR_OWNER_COMMITTED);
    ck_assert_msg(strstr(result.why, lie->why), "%s: %s", lie->what,
                  result.why);
    ck_assert(!a.guest.resumed);
    ck_assert_int_ne(a.last, XC_SR_OWNER_DONE);
    ck_assert_int_ne(a.last, XC_SR_OWNER_RESUMED);
    attack_dispose(&a);
}
END_TEST

/* ---- A destination whose guest runs with pages missing --------------------------- */

static void on_lost(void *ctx, const char *why)
{
    struct attack *a = ctx;

    (void)why;
    if ( a->losses++ )
    {
        ck_assert_int_eq(xc_sr_control_stop_waiting(a->control), 0);
        return;
    }
    close(a->engine_fd);
    close(a->peer_fd);
    connect_pair(a);
    say(a, &a->again);
    shutdown(a->peer_fd, SHUT_WR);
    ck_assert_int_eq(
        xc_sr_control_reconnect(a->control, a->engine_fd, a->engine_fd), 0);
    a->engine_fd = -1;
}

static int take_upper(void *ctx, const void *buf, size_t len, size_t *used_r,
                      bool *done_r)
{
    size_t *left = ctx;

    (void)buf;
    *used_r = len < *left ? len : *left;
    *left -= *used_r;
    *done_r = *left == 0;
    return 0;
}

/* As far as PREP, COMMIT, and no page afterwards. */
static void say_hand_over(struct attack *a)
{
    const struct kit_stream *s = kit_find("postcopy-3");
    struct kit_index index;
    struct xc_sr_writer w;
    unsigned int push = 0;

    kit_build(s, &w, &index);
    for ( unsigned int i = 0, r = 0; i < index.nr; i++, r++ )
    {
        r += s->records[r] == KIT_UPPER;
        if ( !push && s->records[r] == XC_SR_REC_POSTCOPY_PAGE_DATA )
            push = i;
    }
    ck_assert_uint_gt(push, 0);
    w.len = index.at[push];
    say(a, &w);
    xc_sr__writer_dispose(&w);
    kit_record(&a->later, XC_SR_REC_POSTCOPY_COMMIT, 0);
}

static void restore(struct attack *a, struct xc_sr_restore_result *result_r)
{
    size_t upper = KIT_UPPER_LEN;

    ck_assert_int_ne(
        xc_sr_restore(
            &(struct xc_sr_restore_params){
                .hv = &a->guest.hv,
                .recv_fd = a->engine_fd,
                .send_fd = a->engine_fd,
                .upper = { take_upper, &upper },
                .journal = { put_record, a },
                .destroy = on_destroy,
                .ctx = a,
                .control = a->control,
                .watch = { .fd = -1 },
                .recovery = { .enabled = true, .lost = on_lost, .ctx = a } },
            result_r),
        0);
}

static unsigned int count_missing(const struct fake_guest *g)
{
    unsigned int nr = 0;

    for ( uint64_t pfn = 0; pfn < g->nr_pfns; pfn++ )
        nr += g->missing[pfn];
    return nr;
}

static void assert_runs_on(const struct attack *a, const char *what,
                           const struct xc_sr_restore_result *result)
{
    ck_assert_msg(result->owner == XC_SR_OWNER_OWNER, "%s: %s", what,
                  result->why);
    ck_assert(a->guest.unpaused);
    ck_assert(!a->destroyed);
    ck_assert_uint_gt(count_missing(&a->guest), 0);
    ck_assert_uint_eq(a->losses, 2);
}

static const struct lie resumes[] = {
    { "another session", 8, 1, 0xff, "session" },
    { "another epoch", 24, 8, 2, "epoch" },
    { "the epoch before", 24, 8, 0, "epoch" },
    { "a verdict nobody knows", 32, 4, 2, "verdict" },
    { "aborted, though it runs", 32, 4, 1, "" },
    { "4 GiB", 4, 4, UINT32_MAX, "length" },
    { "too short", 4, 4, 24, "length" },
};

START_TEST(a_guest_that_runs_is_not_given_up)
{
    const struct lie *lie = &resumes[_i];
    struct xc_sr_restore_result result;
    struct attack a;

    attack_init(&a, false);
    say_hand_over(&a);
    kit_record(&a.again, XC_SR_REC_POSTCOPY_RESUME, 1);
    tell_lie(&a.again, 0, lie);
    kit_record(&a.again, XC_SR_REC_POSTCOPY_PAGE_DATA, 1);
    restore(&a, &result);
    assert_runs_on(&a, lie->what, &result);
    ck_assert_msg(strstr(result.why, lie->why), "%s: %s", lie->what,
                  result.why);
    ck_assert_msg(a.guest.nr_order == 0, "%s: its pages were taken", lie->what);
    attack_dispose(&a);
}
END_TEST

static const struct lie pushes[] = {
    { "a page that was never announced", 16, 8, 60, "announced" },
    { "a page outside the guest", 16, 8, KIT_NR_PFNS, "guest" },
    { "a page far outside", 16, 8, UINT64_C(0xfffffffff), "guest" },
    { "reserved bits", 16, 8, UINT64_C(1) << 55, "bits" },
    { "2^32 - 1 pages", 8, 4, UINT32_MAX, "count" },
};

START_TEST(pages_of_a_new_connection_are_held_to_what_was_announced)
{
    const struct lie *lie = &pushes[_i];
    struct xc_sr_restore_result result;
    struct attack a;
    size_t start;

    attack_init(&a, false);
    say_hand_over(&a);
    kit_record(&a.again, XC_SR_REC_POSTCOPY_RESUME, 1);
    start = a.again.len;
    kit_record(&a.again, XC_SR_REC_POSTCOPY_PAGE_DATA, 1);
    tell_lie(&a.again, start, lie);
    restore(&a, &result);
    assert_runs_on(&a, lie->what, &result);
    ck_assert_msg(strstr(result.why, lie->why), "%s: %s", lie->what,
                  result.why);
    attack_dispose(&a);
}
END_TEST

/* ---- A destination that has promised, and what is not its source's word ------------ */

static const struct
{
    enum xc_sr_rec rec;
    struct lie lie;
} words[] = {
    { XC_SR_REC_POSTCOPY_COMMIT,
      { "COMMIT of another session", 8, 1, 0xff, "session" } },
    { XC_SR_REC_POSTCOPY_COMMIT,
      { "COMMIT of another epoch", 24, 8, 3, "epoch: 3" } },
    { XC_SR_REC_POSTCOPY_ABORT,
      { "ABORT of another session", 8, 1, 0xff, "session" } },
};

START_TEST(a_word_of_somebody_else_starts_no_guest)
{
    const struct lie *lie = &words[_i].lie;
    struct xc_sr_restore_result result;
    struct attack a;

    attack_init(&a, false);
    say_hand_over(&a);
    xc_sr__writer_reset(&a.later);
    kit_record(&a.later, words[_i].rec, 0);
    tell_lie(&a.later, 0, lie);
    restore(&a, &result);
    ck_assert_msg(strstr(result.why, lie->why), "%s: %s", lie->what,
                  result.why);
    ck_assert(!a.guest.unpaused && a.destroyed);
    ck_assert_int_eq(result.owner, XC_SR_OWNER_FENCED);
    attack_dispose(&a);
}
END_TEST

/* ---- A record that is told, and an answer that is none ---------------------------- */

static const struct lie answers[] = {
    { "another session", 8, 1, 0xff, NULL },
    { "another epoch", 24, 8, 2, NULL },
    { "go on, with a guest that is fenced", 32, 4, 0, NULL },
    { "a record that does not belong here", 0, 4, 0x124, NULL },
    { "4 GiB", 4, 4, UINT32_MAX, NULL },
};

static int tell(struct attack *a, bool *settled_r)
{
    struct xc_sr_tell_params params = {
        .record = { .owner = XC_SR_OWNER_FENCED },
        .send_fd = a->engine_fd,
        .recv_fd = a->engine_fd,
        .journal = { put_record, a },
    };

    memcpy(params.record.session, kit_session, sizeof(kit_session));
    say(a, &a->again);
    shutdown(a->peer_fd, SHUT_WR);
    return xc_sr_restore_tell(&params, settled_r);
}

START_TEST(a_record_stays_until_the_source_has_answered)
{
    const struct lie *lie = &answers[_i];
    bool settled = false;
    struct attack a;

    attack_init(&a, false);
    kit_record(&a.again, XC_SR_REC_POSTCOPY_RESUME, 1);
    tell_lie(&a.again, 0, lie);
    ck_assert_msg(tell(&a, &settled) != 0, "%s", lie->what);
    ck_assert(!settled);
    attack_dispose(&a);
}
END_TEST

/* What is meant to be: aborted, or END. */
START_TEST(a_record_goes_when_the_source_knows)
{
    bool settled = false;
    struct attack a;
    const struct lie aborted = { "", 32, 4, 1, NULL };

    attack_init(&a, false);
    kit_record(&a.again, _i ? XC_SR_REC_END : XC_SR_REC_POSTCOPY_RESUME, 1);
    if ( !_i )
        tell_lie(&a.again, 0, &aborted);
    ck_assert_int_eq(tell(&a, &settled), 0);
    ck_assert(settled);
    attack_dispose(&a);
}
END_TEST

/* Nothing is said that could not be recorded, and who is gone hears nothing. */
START_TEST(a_record_that_cannot_be_told_stays)
{
    bool settled = false;
    struct attack a;
    char c;

    attack_init(&a, false);
    kit_record(&a.again, XC_SR_REC_END, 1);
    a.put_rc = -EIO;
    ck_assert_int_eq(tell(&a, &settled), -EIO);
    ck_assert_int_eq(recv(a.peer_fd, &c, 1, MSG_DONTWAIT), -1);
    a.put_rc = 0;
    signal(SIGPIPE, SIG_IGN); /* as every caller does */
    shutdown(a.engine_fd, SHUT_WR);
    ck_assert_int_eq(xc_sr_restore_tell(
                         &(struct xc_sr_tell_params){
                             .record = { .owner = XC_SR_OWNER_FENCED },
                             .send_fd = a.engine_fd,
                             .recv_fd = a.engine_fd },
                         &settled),
                     -EPIPE);
    ck_assert(!settled);
    attack_dispose(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("engine-hostile");
    TCase *tc = tcase_create("recovery");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(tc, a_parked_source_stays_parked, 0,
                        XC_SR_ARRAY_SIZE(recovers));
    tcase_add_loop_test(tc, a_guest_that_runs_is_not_given_up, 0,
                        XC_SR_ARRAY_SIZE(resumes));
    tcase_add_loop_test(
        tc, pages_of_a_new_connection_are_held_to_what_was_announced, 0,
        XC_SR_ARRAY_SIZE(pushes));
    tcase_add_loop_test(tc, a_word_of_somebody_else_starts_no_guest, 0,
                        XC_SR_ARRAY_SIZE(words));
    tcase_add_loop_test(tc, a_record_stays_until_the_source_has_answered, 0,
                        XC_SR_ARRAY_SIZE(answers));
    tcase_add_loop_test(tc, a_record_goes_when_the_source_knows, 0, 2);
    tcase_add_test(tc, a_record_that_cannot_be_told_stays);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}

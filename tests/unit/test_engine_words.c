/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_words.c: a destination says what is well-formed and not its turn,
 * or somebody else's.  Before COMMIT the guest goes on at the source, after it
 * it stays parked there; the sender says what was wrong.
 */
#include "played_peer.inc.c"

enum when
{
    ASKED,     /* it has been asked whether it is ready */
    READY,     /* and has said so, without a feature */
    COMMITTED, /* the guest is its */
};

enum word
{
    A_READY,
    AN_ACK,
    A_PREPARED,
    A_RUNNING,
    A_NAK,
    A_COMPLETE,
    A_RECOVER,
    A_FAULT,
};

static const struct row
{
    const char *what;
    enum when when;
    enum word word;
    bool stranger; /* of another session */
    uint64_t value;
    const char *why; /* part of the sentence */
} rows[] = {
    { "ready for somebody else", ASKED, A_READY, true, 0, "session" },
    { "prepared before it is ready", ASKED, A_PREPARED, false, 0, "PREPARED" },
    { "ready twice", READY, A_READY, false, 0, "READY" },
    { "acknowledged, not agreed upon", READY, AN_ACK, false, 0, "ACK" },
    { "running already", READY, A_RUNNING, false, 0, "RUNNING" },
    { "not wanted by somebody else", READY, A_NAK, true, 0, "session" },
    { "complete already", READY, A_COMPLETE, false, 0, "COMPLETE" },
    { "recovers what was not lost", READY, A_RECOVER, false, 0, "RECOVER" },
    { "a page of no guest", READY, A_FAULT, false, NR_PFNS, "FAULT" },
    { "running for somebody else", COMMITTED, A_RUNNING, true, 0, "session" },
    { "running in another epoch", COMMITTED, A_RUNNING, false, 7, "epoch" },
    { "prepared once more", COMMITTED, A_PREPARED, false, 0, "PREPARED" },
    { "complete without its pages", COMMITTED, A_COMPLETE, false, 0,
      "COMPLETE" },
    { "recovers on this connection", COMMITTED, A_RECOVER, false, 0,
      "RECOVER" },
    { "a page outside the guest", COMMITTED, A_FAULT, false, NR_PFNS, "pfn" },
};

static void say_word(struct peer *p, const struct row *r)
{
    static const enum xc_sr_rec recs[] = {
        [A_READY] = XC_SR_REC_POSTCOPY_READY,
        [AN_ACK] = XC_SR_REC_POSTCOPY_ACK,
        [A_PREPARED] = XC_SR_REC_POSTCOPY_PREPARED,
        [A_RUNNING] = XC_SR_REC_POSTCOPY_RUNNING,
        [A_NAK] = XC_SR_REC_POSTCOPY_NAK,
        [A_COMPLETE] = XC_SR_REC_POSTCOPY_COMPLETE,
        [A_RECOVER] = XC_SR_REC_POSTCOPY_RECOVER,
    };
    uint8_t session[16];

    memcpy(session, p->session, sizeof(session));
    session[5] ^= r->stranger;
    if ( r->word == A_FAULT )
    {
        say_fault(p, r->value);
        return;
    }
    xc_sr__write_begin(&p->w, recs[r->word]);
    if ( r->word != AN_ACK && r->word != A_COMPLETE )
        xc_sr__write_bytes(&p->w, session, sizeof(session));
    if ( r->word != A_COMPLETE )
        xc_sr__write_u64(&p->w, r->word == AN_ACK ? 8 : r->value);
    if ( r->word == A_READY || r->word == A_NAK || r->word == A_RECOVER )
        xc_sr__write_u64(&p->w, r->word == A_NAK ? XC_SR_REASON_FAILED : 0);
    if ( r->word == A_RECOVER )
    {
        xc_sr__write_u64(&p->w, 1);
        xc_sr__write_u64(&p->w, 1);
    }
    xc_sr__write_end(&p->w, 0);
    peer_flush(p);
}

static void go_to(struct peer *p, enum when when)
{
    peer_wait_for(p, XC_SR_REC_POSTCOPY_ADVISE);
    if ( when == ASKED )
        return;
    say_ready(p, 0);
    if ( when == READY )
        return;
    peer_wait_for(p, XC_SR_REC_POSTCOPY_TRANSITION);
    ck_assert_int_eq(peer_next(p).kind, XC_SR_EV_UPPER);
    xc_sr__reader_upper_done(&p->reader, 0);
    put_session(p, XC_SR_REC_POSTCOPY_PREPARED);
    peer_flush(p);
    peer_wait_for(p, XC_SR_REC_POSTCOPY_COMMIT);
}

START_TEST(a_word_out_of_turn_is_refused)
{
    const struct row *r = &rows[_i];
    struct sender_case c;
    struct peer p;
    char rest[4096];

    start_sender(&c, &p);
    go_to(&p, r->when);
    say_word(&p, r);
    while ( read(p.fd, rest, sizeof(rest)) > 0 )
        continue;
    pthread_join(c.thread, NULL);
    ck_assert_msg(c.rc < 0, "%s: taken", r->what);
    ck_assert_msg(strstr(c.result.why, r->why), "%s: %s", r->what,
                  c.result.why);
    if ( r->when == COMMITTED )
    {
        ck_assert_int_eq(c.result.owner, XC_SR_OWNER_COMMITTED);
        ck_assert(!c.src.resumed && c.src.suspended);
    }
    else
    {
        ck_assert_int_eq(c.result.owner, XC_SR_OWNER_RESUMED);
        ck_assert(c.src.resumed || !c.src.suspended);
    }
    close(c.params.send_fd);
    peer_dispose(&p);
    fake_guest_dispose(&c.src);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_words");
    TCase *tc = tcase_create("engine_words");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, a_word_out_of_turn_is_refused, 0,
                        XC_SR_ARRAY_SIZE(rows));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

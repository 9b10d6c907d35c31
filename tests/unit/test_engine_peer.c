/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_peer.c: one engine against a peer that is played by the test,
 * record by record: what comes when, and in which order.
 */
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "played_peer.inc.c"

#define RESUME_SET 1u /* what the fake dirties while it suspends */

/* ---- The sender, and a receiver that asks ------------------------------------ */

/*
 * Nothing is acknowledged, so the push stops at its window; the faulted page
 * comes all the same, alone; then the push goes on behind it, wraps round,
 * and sends every page once.
 */
START_TEST(test_fault_first_then_its_neighbours)
{
    struct sender_case c;
    struct peer p;
    uint64_t first_after = 0;

    start_sender(&c, &p);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_ADVISE);
    say_ready(&p, XC_SR_FEATURE_ACK);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_DISCARD);
    say_ack(&p);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_TRANSITION);
    ck_assert_int_eq(peer_next(&p).kind, XC_SR_EV_UPPER);
    xc_sr__reader_upper_done(&p.reader, 0);
    put_session(&p, XC_SR_REC_POSTCOPY_PREPARED);
    peer_flush(&p);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_COMMIT);
    put_session(&p, XC_SR_REC_POSTCOPY_RUNNING);
    say_fault(&p, 400);

    /* What was under way before the fault, all of it bulk. */
    do
        peer_wait_for(&p, XC_SR_REC_POSTCOPY_PAGE_DATA);
    while ( p.nr_pfns != 1 );
    ck_assert_uint_eq(p.pfns[0], 400);
    /* 64 KiB of window and what was begun: never the whole guest. */
    ck_assert_uint_lt(p.nr_pushed, 8 * 16);
    say_ack(&p);
    while ( p.nr_pushed < NR_PFNS - RESUME_SET )
    {
        peer_wait_for(&p, XC_SR_REC_POSTCOPY_PAGE_DATA);
        if ( first_after == 0 )
            first_after = p.pfns[0];
        say_ack(&p);
    }
    for ( unsigned int pfn = 0; pfn < NR_PFNS; pfn++ )
        ck_assert_msg(p.pushed[pfn] <= 1, "pfn %u came twice", pfn);
    ck_assert_uint_eq(first_after, 401);
    xc_sr__write_empty(&p.w, XC_SR_REC_POSTCOPY_COMPLETE);
    peer_flush(&p);
    peer_wait_for(&p, XC_SR_REC_END);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.rc, 0);
    ck_assert_uint_eq(c.result.stats.pages_fault, 1);
    ck_assert_uint_eq(c.result.stats.pages_push + c.result.stats.pages_fault,
                      p.nr_pushed);
    close(c.params.send_fd);
    peer_dispose(&p);
    fake_guest_dispose(&c.src);
}
END_TEST

/* A destination that was PREP keeps its record until it is answered. */
START_TEST(test_nak_before_commit_is_answered)
{
    struct sender_case c;
    struct peer p;

    start_sender(&c, &p);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_ADVISE);
    say_ready(&p, 0);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_TRANSITION);
    ck_assert_int_eq(peer_next(&p).kind, XC_SR_EV_UPPER);
    xc_sr__reader_upper_done(&p.reader, 0);
    put_session(&p, XC_SR_REC_POSTCOPY_PREPARED);
    xc_sr__write_begin(&p.w, XC_SR_REC_POSTCOPY_NAK);
    xc_sr__write_bytes(&p.w, p.session, sizeof(p.session));
    xc_sr__write_u64(&p.w, 0);
    xc_sr__write_u32(&p.w, XC_SR_REASON_OPERATOR);
    xc_sr__write_u32(&p.w, 0);
    xc_sr__write_end(&p.w, 0);
    peer_flush(&p);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_ABORT);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.result.owner, XC_SR_OWNER_RESUMED);
    ck_assert(c.src.resumed);
    close(c.params.send_fd);
    peer_dispose(&p);
    fake_guest_dispose(&c.src);
}
END_TEST

/* ---- The receiver, and a source that answers --------------------------------- */

struct receiver_case
{
    struct fake_guest dst;
    struct xc_sr_restore_params params;
    struct xc_sr_restore_result result;
    int rc;
    pthread_t thread;
    bool hold_when_running;
    bool ends_at_once; /* the guest, with its first instruction */
    uint32_t features; /* ADVISE offers them */
    bool overlapping;  /* DISCARD says its run twice, and nothing follows */
};

/* From here on: the faults of the start are there, later looks wait. */
static void on_running(void *ctx)
{
    struct receiver_case *c = ctx;

    atomic_store(&c->dst.hold, c->hold_when_running);
    c->dst.gone = c->ends_at_once;
    if ( c->dst.gone )
        ck_assert_int_eq(eventfd_write(c->dst.gone_fd, 1), 0);
}

static void *run_restore(void *arg)
{
    struct receiver_case *c = arg;

    c->rc = xc_sr_restore(&c->params, &c->result);
    return NULL;
}

static void put_state(struct peer *p)
{
    static const uint8_t params[24] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
    static const uint8_t zeroes[24];

    xc_sr__write_empty(&p->w, XC_SR_REC_POSTCOPY_BEGIN);
    xc_sr__write_begin(&p->w, XC_SR_REC_X86_TSC_INFO);
    xc_sr__write_bytes(&p->w, zeroes, sizeof(zeroes));
    xc_sr__write_end(&p->w, 0);
    xc_sr__write_begin(&p->w, XC_SR_REC_HVM_CONTEXT);
    xc_sr__write_bytes(&p->w, zeroes, sizeof(zeroes));
    xc_sr__write_end(&p->w, 0);
    xc_sr__write_begin(&p->w, XC_SR_REC_HVM_PARAMS);
    xc_sr__write_bytes(&p->w, params, sizeof(params));
    xc_sr__write_end(&p->w, 0);
    xc_sr__write_empty(&p->w, XC_SR_REC_POSTCOPY_PFNS_BEGIN);
    xc_sr__write_empty(&p->w, XC_SR_REC_POSTCOPY_TRANSITION);
}

static void put_pages(struct peer *p, uint64_t first, unsigned int nr)
{
    uint8_t page[XC_SR_PAGE_SIZE];

    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_PAGE_DATA);
    xc_sr__write_u32(&p->w, nr);
    xc_sr__write_u32(&p->w, 0);
    for ( unsigned int i = 0; i < nr; i++ )
        xc_sr__write_u64(&p->w, first + i);
    for ( unsigned int i = 0; i < nr; i++ )
    {
        memset(page, (int)(first + i), sizeof(page));
        xc_sr__write_bytes(&p->w, page, sizeof(page));
    }
    xc_sr__write_end(&p->w, 0);
}

/* Up to the guest running there with `owed` pages from pfn 0 missing. */
static void start_receiver(struct receiver_case *c, struct peer *p,
                           uint64_t owed)
{
    struct xc_sr_domain_header dhdr = { .type = 2, .page_shift = 12 };

    c->params.watch.fd = -1;
    c->params.running = on_running;
    c->params.ctx = c;
    c->params.hv = &c->dst.hv;
    xc_sr__write_image_header(&p->w);
    xc_sr__write_domain_header(&p->w, &dhdr);
    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_ADVISE);
    memset(p->session, 5, sizeof(p->session));
    xc_sr__write_bytes(&p->w, p->session, sizeof(p->session));
    xc_sr__write_u32(&p->w, c->features); /* mostly 0: no ACKs in between */
    xc_sr__write_u32(&p->w, 1);
    xc_sr__write_u64(&p->w, NR_PFNS);
    xc_sr__write_u64(&p->w, 0);
    xc_sr__write_end(&p->w, 0);
    peer_flush(p);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, run_restore, c), 0);
    peer_wait_for(p, XC_SR_REC_POSTCOPY_READY);
    xc_sr__write_empty(&p->w, XC_SR_REC_STATIC_DATA_END);
    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_DISCARD);
    xc_sr__write_u32(&p->w, c->overlapping ? 2 : 1);
    xc_sr__write_u32(&p->w, 0);
    for ( int i = 0; i < (c->overlapping ? 2 : 1); i++ )
    {
        xc_sr__write_u64(&p->w, 0);
        xc_sr__write_u64(&p->w, owed);
    }
    xc_sr__write_end(&p->w, 0);
    if ( c->overlapping )
    {
        peer_flush(p);
        return;
    }
    put_state(p);
    peer_flush(p);
    peer_wait_for(p, XC_SR_REC_POSTCOPY_PREPARED);
    put_session(p, XC_SR_REC_POSTCOPY_COMMIT);
    peer_flush(p);
}

static void connect_receiver(struct receiver_case *c, struct peer *p)
{
    const int room = 1 << 20;
    int fd[2];

    memset(c, 0, sizeof(*c));
    fake_guest_init(&c->dst, NR_PFNS, false);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    c->params.send_fd = c->params.recv_fd = fd[1];
    /* What a test writes in one go fits. */
    ck_assert_int_eq(
        setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    peer_init(p, fd[0], XC_SR_BACK);
}

static void finish_receiver(struct receiver_case *c, struct peer *p)
{
    peer_wait_for(p, XC_SR_REC_POSTCOPY_COMPLETE);
    xc_sr__write_empty(&p->w, XC_SR_REC_END);
    peer_flush(p);
    pthread_join(c->thread, NULL);
    ck_assert_msg(c->rc == 0, "%d %s", c->rc, c->result.why);
    ck_assert_int_eq(c->result.owner, XC_SR_OWNER_FINISHED);
    close(c->params.recv_fd);
    peer_dispose(p);
}

/*
 * The answer lies behind 16 pages of bulk and is in the socket with them when
 * the receiver looks (it is held until all is written): it is loaded first.
 */
START_TEST(test_answer_is_loaded_ahead_of_bulk)
{
    struct receiver_case c;
    struct peer p;

    connect_receiver(&c, &p);
    c.dst.faults_wanted = 1; /* the highest missing pfn: 23 */
    c.hold_when_running = true;
    start_receiver(&c, &p, 24);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_FAULT);
    ck_assert_uint_eq(p.nr_pfns, 1);
    ck_assert_uint_eq(p.pfns[0], 23);
    for ( int i = 0; i < 5000 && !atomic_load(&c.dst.holding); i++ )
        usleep(1000);
    ck_assert(atomic_load(&c.dst.holding));
    put_pages(&p, 0, 8);
    put_pages(&p, 8, 8);
    put_pages(&p, 23, 1);
    put_pages(&p, 16, 7);
    peer_flush(&p);
    atomic_store(&c.dst.hold, false);
    finish_receiver(&c, &p);
    ck_assert_uint_eq(c.dst.nr_order, 24);
    ck_assert_msg(c.dst.order[0] == 23,
                  "the answer waited for the bulk: %llu first",
                  (unsigned long long)c.dst.order[0]);
    ck_assert_uint_eq(c.dst.faults_answered, 1);
    ck_assert_uint_eq(c.result.stats.duplicates, 0);
    for ( uint64_t pfn = 0; pfn < 24; pfn++ )
        ck_assert_uint_eq(c.dst.memory[pfn * XC_SR_PAGE_SIZE + 77],
                          (uint8_t)pfn);
    fake_guest_dispose(&c.dst);
}
END_TEST

/* Twice the same page, one the guest gave back, one it no longer wants. */
START_TEST(test_duplicates_and_released_pages)
{
    struct receiver_case c;
    struct peer p;

    connect_receiver(&c, &p);
    c.dst.faults_wanted = 1;
    c.dst.dropped_pfn = 31;
    c.dst.refused_pfn = 5;
    start_receiver(&c, &p, 32);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_RUNNING);
    put_pages(&p, 0, 16);
    put_pages(&p, 3, 1);
    c.dst.memory[3 * XC_SR_PAGE_SIZE] = 3;
    put_pages(&p, 16, 15);
    peer_flush(&p);
    finish_receiver(&c, &p);
    ck_assert_uint_eq(c.result.stats.duplicates, 1);
    ck_assert_uint_eq(c.result.stats.released, 2);
    ck_assert_uint_eq(c.dst.memory[3 * XC_SR_PAGE_SIZE], 3);
    fake_guest_dispose(&c.dst);
}
END_TEST

/* Pages are on their way when it shuts down.  COMPLETE is the last word. */
START_TEST(test_nothing_follows_the_end_of_a_guest)
{
    uint64_t until_us = deadline();
    struct receiver_case c;
    struct peer p;
    int unread = 1;
    char octet;

    connect_receiver(&c, &p);
    c.features = XC_SR_FEATURE_ACK;
    c.ends_at_once = true;
    start_receiver(&c, &p, 32);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_COMPLETE);
    put_pages(&p, 0, 16);
    put_pages(&p, 16, 16);
    peer_flush(&p);
    /* It has taken them, and would say so before it looks for more. */
    while ( ioctl(p.fd, SIOCOUTQ, &unread) == 0 && unread &&
            xc_sr__now_us() < until_us )
        usleep(1000);
    ck_assert_int_eq(unread, 0);
    xc_sr__write_empty(&p.w, XC_SR_REC_END);
    peer_flush(&p);
    pthread_join(c.thread, NULL);
    ck_assert_msg(c.rc == 0, "%d %s", c.rc, c.result.why);
    ck_assert_int_eq(c.result.owner, XC_SR_OWNER_ENDED);
    ck_assert(c.result.end_seen);
    close(c.params.recv_fd);
    ck_assert_uint_eq(xc_sr__inbuf_len(&p.in), 0);
    ck_assert_int_eq(read(p.fd, &octet, 1), 0);
    peer_dispose(&p);
    fake_guest_dispose(&c.dst);
}
END_TEST

/* Runs of a DISCARD record that overlap would have memory paged out for ever. */
START_TEST(test_overlapping_runs_are_refused)
{
    struct receiver_case c;
    struct peer p;

    connect_receiver(&c, &p);
    c.overlapping = true;
    start_receiver(&c, &p, 32);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.rc, -EPROTO);
    ck_assert_ptr_nonnull(strstr(c.result.why, "the run before it"));
    ck_assert(!c.dst.unpaused);
    close(c.params.recv_fd);
    peer_dispose(&p);
    fake_guest_dispose(&c.dst);
}
END_TEST

/* What was announced, and nothing else, and never outside the guest. */
START_TEST(test_pages_that_were_not_announced)
{
    struct receiver_case c;
    struct peer p;

    connect_receiver(&c, &p);
    start_receiver(&c, &p, 32);
    peer_wait_for(&p, XC_SR_REC_POSTCOPY_RUNNING);
    put_pages(&p, _i ? NR_PFNS : 40, 1);
    peer_flush(&p);
    pthread_join(c.thread, NULL);
    ck_assert_int_eq(c.rc, -EPROTO);
    ck_assert_int_eq(c.result.owner, XC_SR_OWNER_OWNER);
    ck_assert_msg(c.dst.unpaused, "it runs here, whatever the source says");
    ck_assert_uint_eq(c.dst.nr_order, 0);
    close(c.params.recv_fd);
    peer_dispose(&p);
    fake_guest_dispose(&c.dst);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_peer");
    TCase *tc = tcase_create("engine_peer");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_fault_first_then_its_neighbours);
    tcase_add_test(tc, test_nak_before_commit_is_answered);
    tcase_add_test(tc, test_answer_is_loaded_ahead_of_bulk);
    tcase_add_test(tc, test_nothing_follows_the_end_of_a_guest);
    tcase_add_test(tc, test_duplicates_and_released_pages);
    tcase_add_test(tc, test_overlapping_runs_are_refused);
    tcase_add_loop_test(tc, test_pages_that_were_not_announced, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

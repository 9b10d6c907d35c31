/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * played_peer.inc.c: one end of a migration that is played by the test, record
 * by record, and a sender at the other.  Included by test_engine_peer.c and
 * test_engine_words.c, each of which uses a part of it.
 */
#include <check.h>
#include <pthread.h>
#include <sys/socket.h>

#include "fake_hv.inc.c"

#define NR_PFNS 700u

/* ---- A played peer: its end of the socket, a reader, a writer -------------- */

struct peer
{
    int fd;
    struct xc_sr_inbuf in;
    struct xc_sr_reader reader;
    struct xc_sr_writer w;
    uint8_t session[16];
    /* The page record that was read last. */
    uint64_t pfns[64];
    unsigned int nr_pfns;
    /* How often each page has come in the push, and how many did in all. */
    unsigned int pushed[NR_PFNS];
    unsigned int nr_pushed;
};

static uint64_t deadline(void)
{
    return xc_sr__now_us() + 10000000u;
}

static void peer_init(struct peer *p, int fd, enum xc_sr_direction reads)
{
    memset(p, 0, sizeof(*p));
    p->fd = fd;
    ck_assert_int_eq(xc_sr__inbuf_init(&p->in, fd, 1 << 20), 0);
    xc_sr__reader_init(&p->reader, reads, 3);
    xc_sr__writer_init(&p->w, 3);
}

static void peer_dispose(struct peer *p)
{
    xc_sr__inbuf_dispose(&p->in);
    xc_sr__writer_dispose(&p->w);
    close(p->fd);
}

/* The next event that ends a record, or UPPER, IMAGE, DOMAIN, END. */
static struct xc_sr_event peer_next(struct peer *p)
{
    for ( ;; )
    {
        struct xc_sr_event ev;
        size_t used = 0, got = 0;
        bool eof = false;

        ck_assert_msg(xc_sr__reader_next(&p->reader, xc_sr__inbuf_data(&p->in),
                                         xc_sr__inbuf_len(&p->in), &ev,
                                         &used) == 0,
                      "%s: %s", p->reader.fault.type, p->reader.fault.why);
        if ( ev.kind == XC_SR_EV_HEAD )
            p->nr_pfns = 0;
        for ( uint64_t i = 0; ev.kind == XC_SR_EV_ENTRIES && i < ev.count; i++ )
            if ( p->nr_pfns < XC_SR_ARRAY_SIZE(p->pfns) )
                p->pfns[p->nr_pfns++] =
                    xc_sr__entry_pfn(xc_sr__le64(ev.entries + 8 * i));
        for ( unsigned int i = 0; ev.kind == XC_SR_EV_TAIL && i < p->nr_pfns &&
                                  ev.record.id == XC_SR_REC_POSTCOPY_PAGE_DATA;
              i++ )
        {
            p->pushed[p->pfns[i]]++;
            p->nr_pushed++;
        }
        xc_sr__inbuf_use(&p->in, used);
        switch ( ev.kind )
        {
        case XC_SR_EV_NEED:
            ck_assert_int_eq(xc_sr__inbuf_need(&p->in, ev.need, 1 << 20), 0);
            ck_assert_int_eq(xc_sr__inbuf_fill(&p->in, &eof, &got), 0);
            ck_assert_msg(got != 0, "the engine closed the connection");
            break;
        case XC_SR_EV_HEAD:
        case XC_SR_EV_ENTRIES:
        case XC_SR_EV_CONTENT:
            break;
        default:
            return ev;
        }
    }
}

static void peer_wait_for(struct peer *p, enum xc_sr_rec rec)
{
    struct xc_sr_event ev;

    do
        ev = peer_next(p);
    while ( (ev.kind != XC_SR_EV_RECORD && ev.kind != XC_SR_EV_TAIL) ||
            ev.record.id != rec );
    if ( rec == XC_SR_REC_POSTCOPY_ADVISE )
        memcpy(p->session, ev.record.body, sizeof(p->session));
}

static void peer_flush(struct peer *p)
{
    ck_assert_int_eq(p->w.error, 0);
    ck_assert_int_eq(xc_sr__write_exact(p->fd, p->w.buf, p->w.len, deadline()),
                     0);
    xc_sr__writer_reset(&p->w);
}

static __attribute__((unused)) void put_session(struct peer *p,
                                                enum xc_sr_rec rec)
{
    xc_sr__write_begin(&p->w, rec);
    xc_sr__write_bytes(&p->w, p->session, sizeof(p->session));
    xc_sr__write_u64(&p->w, 0);
    xc_sr__write_end(&p->w, 0);
}

/* ---- The sender, and a receiver that asks ------------------------------------ */

struct sender_case
{
    struct fake_guest src;
    struct xc_sr_save_params params;
    struct xc_sr_save_result result;
    int rc;
    pthread_t thread;
};

static void *run_save(void *arg)
{
    struct sender_case *c = arg;

    c->rc = xc_sr_save(&c->params, &c->result);
    shutdown(c->params.send_fd, SHUT_RDWR);
    return NULL;
}

static void start_sender(struct sender_case *c, struct peer *p)
{
    int fd[2];

    memset(c, 0, sizeof(*c));
    fake_guest_init(&c->src, NR_PFNS, true);
    for ( uint64_t pfn = 0; pfn < NR_PFNS; pfn++ )
        fake_guest_write(&c->src, pfn, 1);
    c->src.types[9] = 0;
    c->src.suspend_seen = true;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    c->params = (struct xc_sr_save_params){
        .hv = &c->src.hv,
        .send_fd = fd[0],
        .recv_fd = fd[0],
        .stream_version = 3,
        .policy = { .allow_postcopy = true },
        .watch = { .fd = -1 },
        .ready_timeout_us = 5000000,
    };
    peer_init(p, fd[1], XC_SR_FORWARD);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, run_save, c), 0);
}

static __attribute__((unused)) void say_ready(struct peer *p, uint32_t features)
{
    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_READY);
    xc_sr__write_bytes(&p->w, p->session, sizeof(p->session));
    xc_sr__write_u32(&p->w, 0);
    xc_sr__write_u32(&p->w, features);
    xc_sr__write_u64(&p->w, 0);
    xc_sr__write_end(&p->w, 0);
    peer_flush(p);
}

static __attribute__((unused)) void say_ack(struct peer *p)
{
    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_ACK);
    xc_sr__write_u64(&p->w, p->reader.offset);
    xc_sr__write_end(&p->w, 0);
    peer_flush(p);
}

static __attribute__((unused)) void say_fault(struct peer *p, uint64_t pfn)
{
    xc_sr__write_begin(&p->w, XC_SR_REC_POSTCOPY_FAULT);
    xc_sr__write_u32(&p->w, 1);
    xc_sr__write_u32(&p->w, 0);
    xc_sr__write_u64(&p->w, pfn);
    xc_sr__write_end(&p->w, 0);
    peer_flush(p);
}

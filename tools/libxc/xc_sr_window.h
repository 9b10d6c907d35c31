/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_window.h: how much may be on its way and not yet acknowledged.
 *
 * A faulted page waits for whatever is queued ahead of it anywhere between
 * the two engines, so the sender keeps that to what the link needs to stay
 * busy: the product of the best bandwidth and the least round trip seen
 * lately, and a bit.  Pure bookkeeping: no clock, no I/O.
 */
#ifndef XC_SR_WINDOW_H
#define XC_SR_WINDOW_H

#include "xc_sr_base.h"

/*
 * Never less: two records of the sender.  Never more: above this a link of
 * 40 Gbit/s and 3 ms is full, and the other side must buffer what it is sent.
 */
#define XC_SR_WINDOW_MIN (64u << 10)
#define XC_SR_WINDOW_MAX (16u << 20)

#define XC_SR_WINDOW_SAMPLES 256

struct xc_sr_window
{
    bool enabled; /* the peer acknowledges */
    uint64_t limit;
    uint64_t sent;
    uint64_t acked;
    uint64_t min_rtt_us;
    uint64_t min_rtt_at_us;
    uint64_t bandwidth; /* octets/s, slowly forgetting maximum */
    uint64_t rate_mark; /* acked and time when the rate sample began */
    uint64_t rate_mark_us;
    /* When octet number `sent` went out, a ring of the latest sends. */
    struct
    {
        uint64_t sent;
        uint64_t at_us;
    } ring[XC_SR_WINDOW_SAMPLES];
    unsigned int head;
    unsigned int tail;
};

/* Of the push before the guest runs: rests() in xc_sr_save_push.c. */
struct xc_sr_pace
{
    uint64_t sent_us; /* a record that is not acknowledged; 0: none */
    uint64_t rest_until_us;
};

void xc_sr__window_init(struct xc_sr_window *w);
/* Round trips until now had more in flight than there will be. */
void xc_sr__window_forget_rtt(struct xc_sr_window *w);
/* `sent`: octets queued for sending in all, at now_us. */
void xc_sr__window_sent(struct xc_sr_window *w, uint64_t sent, uint64_t now_us);
/* -EPROTO: it acknowledges what was not sent, or goes backwards. */
int xc_sr__window_acked(struct xc_sr_window *w, uint64_t acked,
                        uint64_t now_us);

static inline uint64_t xc_sr__window_in_flight(const struct xc_sr_window *w)
{
    return w->sent - w->acked;
}

/* May one more bulk record go out? */
static inline bool xc_sr__window_open(const struct xc_sr_window *w)
{
    return !w->enabled || xc_sr__window_in_flight(w) < w->limit;
}

/* A limit of the user's: octets spend credit that comes with time. */
struct xc_sr_rate
{
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t credit;
    uint64_t at_us; /* until when it was counted; 0: nothing yet */
};

/* Nothing has been earned yet. */
void xc_sr__rate_start(struct xc_sr_rate *rate, uint64_t bytes_per_s);
/* May a bulk record go out under it?  *wait_until_us if not. */
bool xc_sr__rate_allows(struct xc_sr_rate *rate, uint64_t now_us,
                        uint64_t *wait_until_us);
/* How many pages it may hold now: at least one, at most so many. */
unsigned int xc_sr__rate_pages(const struct xc_sr_rate *rate,
                               unsigned int most);
void xc_sr__rate_charge(struct xc_sr_rate *rate, uint64_t octets);

#endif /* XC_SR_WINDOW_H */

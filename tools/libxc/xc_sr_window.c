/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_window.c: the window's arithmetic, and the rate's.  Called by the sender
 * whenever it queues octets and whenever an ACK comes in.
 *
 * The round trip is the time from queueing an octet to its acknowledgement,
 * least over some seconds (a queue that we built ourselves only adds to it);
 * the bandwidth is what was acknowledged over an interval, the best lately.
 */
#include <errno.h>

#include "xc_sr_window.h"

#define MIN_RTT_LIFETIME_US 10000000u /* routes change; forget after 10 s */
#define RATE_INTERVAL_US    5000u     /* shorter ones measure bursts */
/*
 * Data for this long beyond the round trip, but no more than so many octets:
 * neither side is scheduled the microsecond it could go on, which a slow link
 * notices in time lost and a fast one in octets that a fault waits behind.
 */
#define CUSHION_US          1200u
#define CUSHION_MAX         (128u << 10)

/*
 * Credit for so long is kept while nothing is sent.  On a busy host the loop
 * comes tens of milliseconds late, again and again, and what it could not keep
 * would be lost; what is sent at once after that the window bounds.
 */
#define RATE_BURST_US    200000u
#define RATE_AWAY_MAX_US 1000000000u /* no product overflows by it */

void xc_sr__window_init(struct xc_sr_window *w)
{
    memset(w, 0, sizeof(*w));
    w->limit = XC_SR_WINDOW_MIN;
}

void xc_sr__window_forget_rtt(struct xc_sr_window *w)
{
    w->min_rtt_us = 0;
    w->tail = w->head;
    w->limit = XC_SR_WINDOW_MIN;
}

void xc_sr__window_sent(struct xc_sr_window *w, uint64_t sent, uint64_t now_us)
{
    unsigned int next = (w->head + 1) % XC_SR_WINDOW_SAMPLES;

    w->sent = sent;
    if ( next == w->tail )
        return; /* a full ring keeps its oldest: those are acked first */
    w->ring[w->head].sent = sent;
    w->ring[w->head].at_us = now_us;
    w->head = next;
}

static void sample_rtt(struct xc_sr_window *w, uint64_t now_us)
{
    uint64_t sent_at_us = 0;
    bool found = false;
    uint64_t rtt_us;

    while ( w->tail != w->head && w->ring[w->tail].sent <= w->acked )
    {
        sent_at_us = w->ring[w->tail].at_us;
        found = true;
        w->tail = (w->tail + 1) % XC_SR_WINDOW_SAMPLES;
    }
    if ( !found )
        return;
    rtt_us = now_us - sent_at_us;
    if ( rtt_us == 0 )
        rtt_us = 1;
    if ( w->min_rtt_us == 0 || rtt_us <= w->min_rtt_us ||
         now_us - w->min_rtt_at_us > MIN_RTT_LIFETIME_US )
    {
        w->min_rtt_us = rtt_us;
        w->min_rtt_at_us = now_us;
    }
}

static void sample_rate(struct xc_sr_window *w, uint64_t now_us)
{
    uint64_t interval_us = now_us - w->rate_mark_us;
    uint64_t rate;

    if ( w->rate_mark_us == 0 )
    {
        w->rate_mark = w->acked;
        w->rate_mark_us = now_us;
        return;
    }
    if ( interval_us < RATE_INTERVAL_US )
        return;
    rate = (w->acked - w->rate_mark) * 1000000u / interval_us;
    w->rate_mark = w->acked;
    w->rate_mark_us = now_us;
    if ( rate >= w->bandwidth )
        w->bandwidth = rate;
    else
        w->bandwidth -= (w->bandwidth - rate) / 16;
}

int xc_sr__window_acked(struct xc_sr_window *w, uint64_t acked, uint64_t now_us)
{
    uint64_t product, cushion;

    if ( acked < w->acked || acked > w->sent )
        return -EPROTO;
    w->acked = acked;
    sample_rtt(w, now_us);
    sample_rate(w, now_us);
    if ( w->min_rtt_us == 0 || w->bandwidth == 0 )
        return 0;
    /* A quarter more than the round trip, so that a growing rate is seen. */
    if ( !xc_sr__mul_u64(w->bandwidth, w->min_rtt_us + w->min_rtt_us / 4,
                         &product) )
        product = UINT64_MAX;
    product /= 1000000u;
    cushion = w->bandwidth / 1000000u * CUSHION_US;
    product += cushion < CUSHION_MAX ? cushion : CUSHION_MAX;
    if ( product < XC_SR_WINDOW_MIN )
        product = XC_SR_WINDOW_MIN;
    if ( product > XC_SR_WINDOW_MAX )
        product = XC_SR_WINDOW_MAX;
    w->limit = product;
    return 0;
}

/* ---- The rate ---------------------------------------------------------------- */

void xc_sr__rate_start(struct xc_sr_rate *rate, uint64_t bytes_per_s)
{
    *rate = (struct xc_sr_rate){ .bytes_per_s = bytes_per_s };
}

bool xc_sr__rate_allows(struct xc_sr_rate *rate, uint64_t now_us,
                        uint64_t *wait_until_us)
{
    uint64_t cap =
        rate->bytes_per_s / (1000000u / RATE_BURST_US) + XC_SR_PAGE_SIZE;
    uint64_t away_us, earned;

    if ( rate->bytes_per_s == 0 )
        return true;
    if ( rate->at_us == 0 )
        rate->at_us = now_us;
    away_us = now_us - rate->at_us;
    if ( away_us > RATE_AWAY_MAX_US )
        away_us = RATE_AWAY_MAX_US;
    earned = away_us * rate->bytes_per_s / 1000000u;
    if ( earned )
    {
        rate->credit =
            rate->credit + earned > cap ? cap : rate->credit + earned;
        rate->at_us = now_us;
    }
    if ( rate->credit >= XC_SR_PAGE_SIZE )
        return true;
    *wait_until_us =
        now_us +
        (XC_SR_PAGE_SIZE - rate->credit) * 1000000u / rate->bytes_per_s + 1;
    return false;
}

/* Never more than has been earned: a debt would be silence on the wire. */
unsigned int xc_sr__rate_pages(const struct xc_sr_rate *rate, unsigned int most)
{
    uint64_t pages = rate->credit / XC_SR_PAGE_SIZE;

    if ( rate->bytes_per_s == 0 || pages >= most )
        return most;
    return pages ? (unsigned int)pages : 1;
}

void xc_sr__rate_charge(struct xc_sr_rate *rate, uint64_t octets)
{
    rate->credit -= octets < rate->credit ? octets : rate->credit;
}

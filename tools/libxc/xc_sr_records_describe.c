/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_records_describe.c: what a record says, in one line for people.
 *
 * For `xen-verify-stream -v` and debug logs.  Works on records the reader has
 * delivered; a body that is not held whole (page data, pfn lists) is described
 * by its length, whoever folds such records counts their pages.  The row's
 * name is pasted into the function's: a row without one does not compile.
 */
#include <stdio.h>

#include "xc_sr_check.h"

/* The line so far; what does not fit is cut. */
struct line
{
    char *buf;
    size_t len;
    size_t at;
    struct xc_sr_cursor c;
    const struct xc_sr_record *rec;
};

static void say(struct line *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct line *l, const char *fmt, ...)
{
    va_list args;
    int n;

    if ( l->at + 1 >= l->len )
        return;
    va_start(args, fmt);
    n = vsnprintf(l->buf + l->at, l->len - l->at, fmt, args);
    va_end(args);
    if ( n > 0 )
        l->at += (size_t)n;
}

static unsigned long long take_u64(struct line *l)
{
    return xc_sr__cursor_u64(&l->c);
}

static void describe_empty(struct line *l)
{
    (void)l; /* the name says it */
}

static void describe_octets(struct line *l)
{
    say(l, ", %u octets", l->rec->length);
}

static void describe_x86_pv_info(struct line *l)
{
    const uint8_t *p = xc_sr__cursor_bytes(&l->c, 2);

    if ( p )
        say(l, ", guest width %u, %u page table levels", p[0], p[1]);
}

static void describe_vcpu(struct line *l)
{
    uint32_t vcpu = xc_sr__cursor_u32(&l->c);

    say(l, ", vcpu %u, %u octets of context", vcpu, l->rec->length - 8);
}

static void describe_x86_tsc_info(struct line *l)
{
    uint32_t mode = xc_sr__cursor_u32(&l->c);
    uint32_t khz = xc_sr__cursor_u32(&l->c);
    unsigned long long nsec = take_u64(l);

    say(l, ", mode %u, %u kHz, %llu ns, incarnation %u", mode, khz, nsec,
        xc_sr__cursor_u32(&l->c));
}

/* index and value pairs, the first few of them */
static void say_params(struct line *l, uint32_t count)
{
    const uint32_t most = 8;

    for ( uint32_t i = 0; i < count && i < most; i++ )
    {
        unsigned long long index = take_u64(l);

        say(l, "%s %llu=0x%llx", i ? "," : ":", index, take_u64(l));
    }
    if ( count > most )
        say(l, ", ...");
}

static void describe_hvm_params(struct line *l)
{
    uint32_t count = xc_sr__cursor_u32(&l->c);

    xc_sr__cursor_u32(&l->c);
    say(l, ", %u parameters", count);
    say_params(l, count);
}

static void describe_x86_cpuid_policy(struct line *l)
{
    say(l, ", %u leaves", l->rec->length / 24);
}

static void describe_x86_msr_policy(struct line *l)
{
    say(l, ", %u entries", l->rec->length / 16);
}

static void say_session(struct line *l)
{
    const uint8_t *p = xc_sr__cursor_bytes(&l->c, 16);

    say(l, ", session ");
    for ( int i = 0; p && i < 16; i++ )
        say(l, "%02x", p[i]);
}

static void say_session_epoch(struct line *l)
{
    say_session(l);
    say(l, ", epoch %llu", take_u64(l));
}

static void say_text(struct line *l, uint32_t len)
{
    const uint8_t *p = xc_sr__cursor_bytes(&l->c, len);

    if ( p && len )
        say(l, ": %.*s", (int)len, (const char *)p);
}

static void describe_postcopy_advise(struct line *l)
{
    uint32_t features, flags, count;

    say_session(l);
    features = xc_sr__cursor_u32(&l->c);
    flags = xc_sr__cursor_u32(&l->c);
    say(l, ", features 0x%x, flags 0x%x, %llu pfns", features, flags,
        take_u64(l));
    count = xc_sr__cursor_u32(&l->c);
    xc_sr__cursor_u32(&l->c);
    say(l, ", %u parameters", count);
    say_params(l, count);
}

static void describe_postcopy_ready(struct line *l)
{
    uint32_t reason, features, text_len;

    say_session(l);
    reason = xc_sr__cursor_u32(&l->c);
    features = xc_sr__cursor_u32(&l->c);
    text_len = xc_sr__cursor_u32(&l->c);
    xc_sr__cursor_u32(&l->c);
    if ( reason == XC_SR_REASON_NONE )
        say(l, ", accepted, features 0x%x", features);
    else
        say(l, ", refused (%u, %s)", reason, xc_sr_reason_name(reason));
    say_text(l, text_len);
}

static void describe_refusal(struct line *l)
{
    uint32_t reason;

    say_session_epoch(l);
    reason = xc_sr__cursor_u32(&l->c);
    say(l, ", reason %u (%s)", reason, xc_sr_reason_name(reason));
    say_text(l, xc_sr__cursor_u32(&l->c));
}

/* Its bitmap has passed by; the head may be held. */
static void describe_postcopy_recover(struct line *l)
{
    static const char *const records[] = { "none",   "prep",     "owner",
                                           "fenced", "finished", "lost" };
    uint32_t record;
    unsigned long long nr_pfns;

    if ( !l->rec->body )
    {
        describe_octets(l);
        return;
    }
    say_session_epoch(l);
    record = xc_sr__cursor_u32(&l->c);
    xc_sr__cursor_u32(&l->c);
    nr_pfns = take_u64(l);
    say(l, ", record %s, which of %llu pages are present",
        record < XC_SR_ARRAY_SIZE(records) ? records[record] : "unknown",
        nr_pfns);
}

static void describe_postcopy_resume(struct line *l)
{
    say_session_epoch(l);
    say(l, ", %s", xc_sr__cursor_u32(&l->c) ? "aborted" : "go on");
}

static void describe_postcopy_ack(struct line *l)
{
    say(l, ", %llu octets", take_u64(l));
}

static void describe_postcopy_stats(struct line *l)
{
    uint32_t count = xc_sr__cursor_u32(&l->c);
    unsigned long long faults;

    xc_sr__cursor_u32(&l->c);
    faults = take_u64(l);
    say(l, ", %u values, %llu faults", count, faults);
}

/* ---- Rows that share a description ------------------------------------------ */

#define describe_end                       describe_empty
#define describe_page_data                 describe_octets
#define describe_x86_pv_p2m_frames         describe_octets
#define describe_x86_pv_vcpu_basic         describe_vcpu
#define describe_x86_pv_vcpu_extended      describe_vcpu
#define describe_x86_pv_vcpu_xsave         describe_vcpu
#define describe_x86_pv_vcpu_msrs          describe_vcpu
#define describe_shared_info               describe_octets
#define describe_hvm_context               describe_octets
#define describe_toolstack                 describe_octets
#define describe_verify                    describe_empty
#define describe_checkpoint                describe_empty
#define describe_static_data_end           describe_empty
#define describe_postcopy_begin            describe_empty
#define describe_postcopy_pfns_begin       describe_empty
#define describe_postcopy_pfns             describe_octets
#define describe_postcopy_transition       describe_empty
#define describe_postcopy_page_data        describe_octets
#define describe_postcopy_discard          describe_octets
#define describe_postcopy_commit           say_session_epoch
#define describe_postcopy_abort            describe_refusal
#define describe_zero_pages                describe_octets
#define describe_checkpoint_dirty_pfn_list describe_octets
#define describe_postcopy_fault            describe_octets
#define describe_postcopy_complete         describe_empty
#define describe_postcopy_keepalive        describe_empty
#define describe_postcopy_alive            describe_empty
#define describe_postcopy_prepared         say_session_epoch
#define describe_postcopy_running          say_session_epoch
#define describe_postcopy_nak              describe_refusal

#define DESCRIBE(NAME, lname, ...) [XC_SR_REC_##NAME] = describe_##lname,
static void (*const describes[XC_SR_REC_COUNT])(struct line *) = {
    XC_SR_RECORDS_FWD(DESCRIBE) XC_SR_RECORDS_BACK(DESCRIBE)
};
#undef DESCRIBE

const char *xc_sr__record_describe(const struct xc_sr_record *rec,
                                   unsigned int version, char *buf, size_t len)
{
    struct line l = { .buf = buf, .len = len, .rec = rec };
    bool known = (unsigned int)rec->id < XC_SR_REC_COUNT;

    if ( !len )
        return buf;
    buf[0] = '\0';
    xc_sr__cursor_init(&l.c, rec->body, rec->body ? rec->length : 0);
    say(&l, "%s (0x%x)", xc_sr__rec_name(rec->id),
        known ? xc_sr__rec_type(rec->id, version) : rec->type);
    if ( known )
        describes[rec->id](&l);
    else
        say(&l, ", optional, %u octets", rec->length);
    return buf;
}

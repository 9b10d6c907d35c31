/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * codec_kit.h: well-formed example records and streams for the codec's tests
 * and the fuzzer's seeds, and one way to run a reader over octets.
 */
#ifndef CODEC_KIT_H
#define CODEC_KIT_H

#include <stdio.h>
#include <stdlib.h>

#include "xc_sr_stream.h"

#define KIT_NR_PFNS   100u
#define KIT_UPPER_LEN 40u /* the upper layer's part in every example stream */

static const uint8_t kit_session[16] = { 1, 2,  3,  4,  5,  6,  7,  8,
                                         9, 10, 11, 12, 13, 14, 15, 16 };

#include "codec_kit_records.inc.c"

/*
 * A stream as a list of records; KIT_UPPER and KIT_UNKNOWN stand for what is
 * no record of the table.
 */
enum
{
    KIT_STOP = -1,
    KIT_UPPER = -2,
    KIT_UNKNOWN = -3,
    KIT_PV_PAGES = -4,
};

enum kit_head
{
    KIT_HEAD_NONE,
    KIT_HEAD_HVM,
    KIT_HEAD_PV,
    KIT_HEAD_RESUMING, /* a new connection: no headers, epoch 1 */
};

struct kit_stream
{
    const char *name;
    enum xc_sr_direction direction;
    unsigned int version;
    enum kit_head head;
    int records[24];
};

#define K(NAME) XC_SR_REC_##NAME
/* clang-format off */
static const struct kit_stream kit_streams[] = {
    { "stock-2-hvm", XC_SR_FORWARD, 2, KIT_HEAD_HVM,
      { K(PAGE_DATA), K(VERIFY), K(PAGE_DATA), K(X86_TSC_INFO), K(HVM_PARAMS),
        K(HVM_CONTEXT), K(TOOLSTACK), K(END), KIT_STOP } },
    { "stock-3-hvm", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(X86_CPUID_POLICY), K(X86_MSR_POLICY), K(STATIC_DATA_END),
        K(PAGE_DATA), KIT_UNKNOWN, K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(END), KIT_STOP } },
    { "stock-2-pv", XC_SR_FORWARD, 2, KIT_HEAD_PV,
      { K(X86_PV_INFO), K(X86_PV_P2M_FRAMES), KIT_PV_PAGES, K(X86_TSC_INFO),
        K(SHARED_INFO), K(X86_PV_VCPU_BASIC), K(X86_PV_VCPU_EXTENDED),
        K(X86_PV_VCPU_XSAVE), K(X86_PV_VCPU_MSRS), K(END), KIT_STOP } },
    { "stock-3-pv", XC_SR_FORWARD, 3, KIT_HEAD_PV,
      { K(X86_PV_INFO), K(X86_CPUID_POLICY), K(STATIC_DATA_END),
        K(X86_PV_P2M_FRAMES), KIT_PV_PAGES, K(X86_TSC_INFO), K(SHARED_INFO),
        K(X86_PV_VCPU_BASIC), K(X86_PV_VCPU_BASIC), K(END), KIT_STOP } },
    { "checkpointed-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(STATIC_DATA_END), K(PAGE_DATA), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(CHECKPOINT), K(PAGE_DATA), K(X86_TSC_INFO),
        K(HVM_CONTEXT), K(HVM_PARAMS), K(CHECKPOINT), K(END), KIT_STOP } },
    { "original-2", XC_SR_FORWARD, 2, KIT_HEAD_HVM,
      { K(PAGE_DATA), K(POSTCOPY_BEGIN), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(POSTCOPY_PFNS_BEGIN), K(POSTCOPY_PFNS),
        K(POSTCOPY_TRANSITION), KIT_UPPER, K(POSTCOPY_PAGE_DATA), KIT_UNKNOWN,
        K(END), KIT_STOP } },
    { "postcopy-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(POSTCOPY_ADVISE), K(X86_CPUID_POLICY), K(X86_MSR_POLICY),
        K(STATIC_DATA_END), K(PAGE_DATA), K(ZERO_PAGES), K(POSTCOPY_DISCARD),
        K(PAGE_DATA), K(POSTCOPY_BEGIN), K(X86_TSC_INFO), K(HVM_CONTEXT),
        K(HVM_PARAMS), K(POSTCOPY_PFNS_BEGIN), K(POSTCOPY_PFNS),
        K(POSTCOPY_TRANSITION), KIT_UPPER, K(POSTCOPY_PAGE_DATA),
        K(POSTCOPY_COMMIT), K(ZERO_PAGES), K(POSTCOPY_KEEPALIVE), K(END),
        KIT_STOP } },
    { "aborted-3", XC_SR_FORWARD, 3, KIT_HEAD_HVM,
      { K(POSTCOPY_ADVISE), K(STATIC_DATA_END), K(PAGE_DATA),
        K(POSTCOPY_ABORT), KIT_STOP } },
    { "resumed-3", XC_SR_FORWARD, 3, KIT_HEAD_RESUMING,
      { K(POSTCOPY_RESUME), K(POSTCOPY_COMMIT), K(POSTCOPY_PAGE_DATA), K(END),
        KIT_STOP } },
    { "back-2", XC_SR_BACK, 2, KIT_HEAD_NONE,
      { K(POSTCOPY_FAULT), K(POSTCOPY_FAULT), K(POSTCOPY_COMPLETE),
        KIT_STOP } },
    { "back-3", XC_SR_BACK, 3, KIT_HEAD_NONE,
      { K(POSTCOPY_READY), K(POSTCOPY_ACK), K(POSTCOPY_FAULT),
        K(POSTCOPY_PREPARED), K(POSTCOPY_RUNNING), K(POSTCOPY_FAULT),
        K(POSTCOPY_ACK), KIT_UNKNOWN, K(POSTCOPY_STATS), K(POSTCOPY_COMPLETE),
        KIT_STOP } },
    { "back-nak-3", XC_SR_BACK, 3, KIT_HEAD_NONE,
      { K(POSTCOPY_READY), K(POSTCOPY_NAK), KIT_STOP } },
    { "back-recover-3", XC_SR_BACK, 3, KIT_HEAD_RESUMING,
      { K(POSTCOPY_RECOVER), K(POSTCOPY_RUNNING), K(POSTCOPY_ALIVE),
        K(POSTCOPY_COMPLETE), KIT_STOP } },
};
/* clang-format on */
#undef K

#define KIT_NR_STREAMS XC_SR_ARRAY_SIZE(kit_streams)

/* Where each record of a built stream stands, headers not counted. */
struct kit_index
{
    size_t at[24];
    unsigned int nr;
};

static inline void kit_headers(struct xc_sr_writer *w, enum kit_head head)
{
    const struct xc_sr_domain_header dhdr = {
        .type = head == KIT_HEAD_PV ? XC_SR_GUEST_PV : XC_SR_GUEST_HVM,
        .page_shift = XC_SR_PAGE_SHIFT,
        .xen_major = 4,
        .xen_minor = 17,
    };

    if ( head != KIT_HEAD_HVM && head != KIT_HEAD_PV )
        return;
    xc_sr__write_image_header(w);
    xc_sr__write_domain_header(w, &dhdr);
}

static inline void kit_build(const struct kit_stream *s, struct xc_sr_writer *w,
                             struct kit_index *index)
{
    uint64_t epoch = s->head == KIT_HEAD_RESUMING ? 1 : 0;

    *index = (struct kit_index){ 0 };
    xc_sr__writer_init(w, s->version);
    kit_headers(w, s->head);
    for ( unsigned int i = 0; s->records[i] != KIT_STOP; i++ )
    {
        if ( s->records[i] == KIT_UPPER )
        {
            kit_fill(w, KIT_UPPER_LEN);
            continue;
        }
        index->at[index->nr++] = w->len;
        if ( s->records[i] == KIT_UNKNOWN )
            kit_unknown(w, 27);
        else if ( s->records[i] == KIT_PV_PAGES )
            kit_page_data(w, true);
        else
            kit_record(w, (enum xc_sr_rec)s->records[i], epoch);
    }
    if ( w->error )
        abort();
}

static inline const struct kit_stream *kit_find(const char *name)
{
    for ( unsigned int i = 0; i < KIT_NR_STREAMS; i++ )
        if ( !strcmp(kit_streams[i].name, name) )
            return &kit_streams[i];
    abort();
}

static inline void kit_reader(const struct kit_stream *s,
                              struct xc_sr_reader *r)
{
    if ( s->head == KIT_HEAD_RESUMING && s->direction == XC_SR_FORWARD )
        xc_sr__reader_init_resuming(r);
    else
        xc_sr__reader_init(r, s->direction, s->version);
}

#include "codec_kit_run.inc.c"

#endif /* CODEC_KIT_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_records.h: THE record table.
 *
 * One row a record; the enum, names, numbers, length rules, legal phases,
 * body checks and descriptions all come from it.  xc_sr_records_check.c
 * defines check_<lname>(), xc_sr_records_describe.c describe_<lname>() for
 * every row; the receiver (xc_sr_restore.c) on_<lname>() for the rows it
 * acts on.
 *
 * Row: R(NAME, lname, v2, v3, body, min, max, phases)
 *   v2, v3   the type number in stream version 2 and 3, XC_SR_NO_TYPE if the
 *            record does not exist there
 *   body     how the reader delivers it, see enum xc_sr_body
 *   min, max body length in octets; the reason for a max stands at the row
 *   phases   mask of the phases of its direction in which it may appear
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc.
 */
#ifndef XC_SR_RECORDS_H
#define XC_SR_RECORDS_H

#include "xc_sr_base.h"

#define XC_SR_NO_TYPE       0xffffffffu
#define XC_SR_TYPE_OPTIONAL 0x80000000u

/* Stock limit of a record's body in either version. */
#define XC_SR_RECORD_MAX (128u << 20)
/* A body delivered whole has to be held: nothing legitimate is larger. */
#define XC_SR_WHOLE_MAX  (16u << 20)

enum xc_sr_body
{
    XC_SR_BODY_WHOLE, /* delivered in one piece */
    XC_SR_BODY_PAGES, /* pages header, entries, page contents */
    XC_SR_BODY_PFNS,  /* pages header, entries, no contents */
    XC_SR_BODY_RUNS,  /* pages header, (entry, u64 length) pairs */
    XC_SR_BODY_LIST,  /* bare u64 values, after a fixed head */
};

/* Forward phases, in order.  See the spec's phase diagram. */
#define XC_SR_FWD_OPENING  0x001u /* headers read, nothing else */
#define XC_SR_FWD_ADVISED  0x002u /* ADVISE seen (version 3) */
#define XC_SR_FWD_STATIC   0x004u /* static data (version 3) */
#define XC_SR_FWD_MEMORY   0x008u /* PAGE_DATA, context of a stock stream */
#define XC_SR_FWD_CONTEXT  0x010u /* after POSTCOPY_BEGIN */
#define XC_SR_FWD_ANNOUNCE 0x020u /* after POSTCOPY_PFNS_BEGIN */
#define XC_SR_FWD_UPPER    0x040u /* after TRANSITION: the layer above */
#define XC_SR_FWD_PUSH     0x080u /* post-copy pages */
#define XC_SR_FWD_ENDED    0x100u
#define XC_SR_FWD_RESUMING 0x200u /* new connection: POSTCOPY_RESUME first */

/* Back phases. */
#define XC_SR_BACK_OPENING  0x001u
#define XC_SR_BACK_READY    0x002u /* READY said (version 3) */
#define XC_SR_BACK_PREPARED 0x004u
#define XC_SR_BACK_RUNNING  0x008u
#define XC_SR_BACK_ENDED    0x010u /* COMPLETE, NAK or a refusal said */

/* Bounds of our own records, in entries; the spec repeats them. */
#define XC_SR_MAX_FAULT_ENTRIES 1024u   /* one hv batch */
#define XC_SR_MAX_PFNS_ENTRIES  524288u /* the original's batch: 4 MiB */
#define XC_SR_MAX_PUSH_ENTRIES  1024u   /* one hv batch; original: 64 */
#define XC_SR_MAX_RUNS          65536u  /* 1 MiB of runs */
#define XC_SR_MAX_PARAMS        64u     /* Xen knows fewer HVM params */
#define XC_SR_MAX_TEXT          256u    /* a reason is one line */
#define XC_SR_MAX_STATS         256u
#define XC_SR_MAX_BITMAP_WORDS  ((XC_SR_RECORD_MAX - 40u) / 8u)

#define XC_SR_RECOVER_HEAD_LEN 40u /* of RECOVER, before the bitmap */

#define XC_SR__SESSION_EPOCH 24u /* u8 session[16], u64 epoch */

/* clang-format off */
#define XC_SR_FWD_ANYWHERE (XC_SR_FWD_ADVISED | XC_SR_FWD_STATIC | \
                            XC_SR_FWD_MEMORY | XC_SR_FWD_CONTEXT | \
                            XC_SR_FWD_ANNOUNCE | XC_SR_FWD_PUSH)

#define XC_SR__STATIC (XC_SR_FWD_OPENING | XC_SR_FWD_ADVISED | XC_SR_FWD_STATIC)

/*  NAME, lname, v2, v3, body, min, max, phases */
#define XC_SR_RECORDS_FWD(R) \
R(END, end, 0x00, 0x00, WHOLE, 0, 0, \
  XC_SR_FWD_MEMORY | XC_SR_FWD_PUSH | XC_SR_FWD_RESUMING) \
R(PAGE_DATA, page_data, 0x01, 0x01, PAGES, 16, XC_SR_RECORD_MAX, \
  XC_SR_FWD_MEMORY) \
R(X86_PV_INFO, x86_pv_info, 0x02, 0x02, WHOLE, 8, 8, \
  XC_SR__STATIC | XC_SR_FWD_MEMORY) \
R(X86_PV_P2M_FRAMES, x86_pv_p2m_frames, 0x03, 0x03, LIST, 16, \
  XC_SR_RECORD_MAX, XC_SR_FWD_MEMORY) \
R(X86_PV_VCPU_BASIC, x86_pv_vcpu_basic, 0x04, 0x04, WHOLE, 8, \
  XC_SR_WHOLE_MAX, XC_SR_FWD_MEMORY) \
R(X86_PV_VCPU_EXTENDED, x86_pv_vcpu_extended, 0x05, 0x05, WHOLE, 8, \
  XC_SR_WHOLE_MAX, XC_SR_FWD_MEMORY) \
R(X86_PV_VCPU_XSAVE, x86_pv_vcpu_xsave, 0x06, 0x06, WHOLE, 8, \
  XC_SR_WHOLE_MAX, XC_SR_FWD_MEMORY) \
R(SHARED_INFO, shared_info, 0x07, 0x07, WHOLE, 4096, 4096, XC_SR_FWD_MEMORY) \
R(X86_TSC_INFO, x86_tsc_info, 0x08, 0x08, WHOLE, 24, 24, \
  XC_SR_FWD_MEMORY | XC_SR_FWD_CONTEXT) \
R(HVM_CONTEXT, hvm_context, 0x09, 0x09, WHOLE, 1, XC_SR_WHOLE_MAX, \
  XC_SR_FWD_MEMORY | XC_SR_FWD_CONTEXT) \
R(HVM_PARAMS, hvm_params, 0x0a, 0x0a, WHOLE, 8, \
  8 + 16 * XC_SR_MAX_PARAMS, XC_SR_FWD_MEMORY | XC_SR_FWD_CONTEXT) \
R(TOOLSTACK, toolstack, 0x0b, 0x0b, WHOLE, 0, XC_SR_WHOLE_MAX, \
  XC_SR_FWD_MEMORY) \
R(X86_PV_VCPU_MSRS, x86_pv_vcpu_msrs, 0x0c, 0x0c, WHOLE, 8, \
  XC_SR_WHOLE_MAX, XC_SR_FWD_MEMORY) \
R(VERIFY, verify, 0x0d, 0x0d, WHOLE, 0, 0, XC_SR_FWD_MEMORY) \
R(CHECKPOINT, checkpoint, 0x0e, 0x0e, WHOLE, 0, 0, XC_SR_FWD_MEMORY) \
R(STATIC_DATA_END, static_data_end, XC_SR_NO_TYPE, 0x10, WHOLE, 0, 0, \
  XC_SR__STATIC) \
R(X86_CPUID_POLICY, x86_cpuid_policy, XC_SR_NO_TYPE, 0x11, WHOLE, 24, \
  XC_SR_WHOLE_MAX, XC_SR__STATIC) \
R(X86_MSR_POLICY, x86_msr_policy, XC_SR_NO_TYPE, 0x12, WHOLE, 16, \
  XC_SR_WHOLE_MAX, XC_SR__STATIC) \
R(POSTCOPY_BEGIN, postcopy_begin, 0x10, 0x110, WHOLE, 0, 0, \
  XC_SR_FWD_MEMORY) \
R(POSTCOPY_PFNS_BEGIN, postcopy_pfns_begin, 0x11, 0x111, WHOLE, 0, 0, \
  XC_SR_FWD_CONTEXT) \
R(POSTCOPY_PFNS, postcopy_pfns, 0x12, 0x112, PFNS, 16, \
  8 + 8 * XC_SR_MAX_PFNS_ENTRIES, XC_SR_FWD_ANNOUNCE) \
R(POSTCOPY_TRANSITION, postcopy_transition, 0x13, 0x113, WHOLE, 0, 0, \
  XC_SR_FWD_ANNOUNCE) \
R(POSTCOPY_PAGE_DATA, postcopy_page_data, 0x14, 0x114, PAGES, 16 + 4096, \
  8 + (8 + 4096) * XC_SR_MAX_PUSH_ENTRIES, XC_SR_FWD_PUSH) \
R(POSTCOPY_ADVISE, postcopy_advise, XC_SR_NO_TYPE, 0x120, WHOLE, 40, \
  40 + 16 * XC_SR_MAX_PARAMS, XC_SR_FWD_OPENING) \
R(POSTCOPY_DISCARD, postcopy_discard, XC_SR_NO_TYPE, 0x122, RUNS, 24, \
  8 + 16 * XC_SR_MAX_RUNS, XC_SR_FWD_MEMORY) \
R(POSTCOPY_COMMIT, postcopy_commit, XC_SR_NO_TYPE, 0x124, WHOLE, \
  XC_SR__SESSION_EPOCH, XC_SR__SESSION_EPOCH, XC_SR_FWD_PUSH) \
R(POSTCOPY_ABORT, postcopy_abort, XC_SR_NO_TYPE, 0x127, WHOLE, \
  XC_SR__SESSION_EPOCH + 8, XC_SR__SESSION_EPOCH + 8 + XC_SR_MAX_TEXT, \
  XC_SR_FWD_ANYWHERE) \
R(POSTCOPY_RESUME, postcopy_resume, XC_SR_NO_TYPE, 0x129, WHOLE, \
  XC_SR__SESSION_EPOCH + 8, XC_SR__SESSION_EPOCH + 8, XC_SR_FWD_RESUMING) \
R(ZERO_PAGES, zero_pages, XC_SR_NO_TYPE, 0x12b, PFNS, 16, \
  8 + 8 * XC_SR_MAX_PFNS_ENTRIES, XC_SR_FWD_MEMORY | XC_SR_FWD_PUSH) \
R(POSTCOPY_KEEPALIVE, postcopy_keepalive, XC_SR_NO_TYPE, 0x12e, WHOLE, 0, 0, \
  XC_SR_FWD_PUSH)

#define XC_SR_RECORDS_BACK(R) \
R(CHECKPOINT_DIRTY_PFN_LIST, checkpoint_dirty_pfn_list, 0x0f, 0x0f, LIST, 0, \
  XC_SR_RECORD_MAX, XC_SR_BACK_OPENING) \
R(POSTCOPY_FAULT, postcopy_fault, 0x15, 0x115, PFNS, 16, \
  8 + 8 * XC_SR_MAX_FAULT_ENTRIES, \
  XC_SR_BACK_OPENING | XC_SR_BACK_READY | XC_SR_BACK_PREPARED | \
  XC_SR_BACK_RUNNING) \
R(POSTCOPY_COMPLETE, postcopy_complete, 0x16, 0x116, WHOLE, 0, 0, \
  XC_SR_BACK_OPENING | XC_SR_BACK_RUNNING) \
R(POSTCOPY_READY, postcopy_ready, XC_SR_NO_TYPE, 0x121, WHOLE, 32, \
  32 + XC_SR_MAX_TEXT, XC_SR_BACK_OPENING) \
R(POSTCOPY_PREPARED, postcopy_prepared, XC_SR_NO_TYPE, 0x123, WHOLE, \
  XC_SR__SESSION_EPOCH, XC_SR__SESSION_EPOCH, XC_SR_BACK_READY) \
R(POSTCOPY_RUNNING, postcopy_running, XC_SR_NO_TYPE, 0x125, WHOLE, \
  XC_SR__SESSION_EPOCH, XC_SR__SESSION_EPOCH, XC_SR_BACK_PREPARED) \
R(POSTCOPY_NAK, postcopy_nak, XC_SR_NO_TYPE, 0x126, WHOLE, \
  XC_SR__SESSION_EPOCH + 8, XC_SR__SESSION_EPOCH + 8 + XC_SR_MAX_TEXT, \
  XC_SR_BACK_OPENING | XC_SR_BACK_READY | XC_SR_BACK_PREPARED) \
R(POSTCOPY_RECOVER, postcopy_recover, XC_SR_NO_TYPE, 0x128, LIST, 48, \
  40 + 8 * XC_SR_MAX_BITMAP_WORDS, XC_SR_BACK_OPENING) \
R(POSTCOPY_ACK, postcopy_ack, XC_SR_NO_TYPE, 0x12a, WHOLE, 8, 8, \
  XC_SR_BACK_READY | XC_SR_BACK_PREPARED | XC_SR_BACK_RUNNING) \
R(POSTCOPY_STATS, postcopy_stats, XC_SR_NO_TYPE, 0x12d, WHOLE, 8, \
  8 + 8 * XC_SR_MAX_STATS, XC_SR_BACK_RUNNING) \
R(POSTCOPY_ALIVE, postcopy_alive, XC_SR_NO_TYPE, 0x12f, WHOLE, 0, 0, \
  XC_SR_BACK_READY | XC_SR_BACK_PREPARED | XC_SR_BACK_RUNNING)
/* clang-format on */

enum xc_sr_direction
{
    XC_SR_FORWARD,
    XC_SR_BACK,
};

/* The first thing wrong with a stream.  error is the -errno to pass on. */
struct xc_sr_stream_fault
{
    int error;
    uint64_t offset; /* of the octet at fault, from the stream's start */
    uint64_t record; /* number of the record, headers do not count */
    char type[32];   /* record name, "image header", "domain header" */
    char field[32];
    char why[128];
};

/*
 * "offset 0x…: record N (TYPE): FIELD: why" into buf; returns buf.
 */
const char *xc_sr__fault_text(const struct xc_sr_stream_fault *fault, char *buf,
                              size_t len);

/* ---- Typed cursor over a body -------------------------------------------- */

struct xc_sr_cursor
{
    const uint8_t *p;
    size_t left;
    size_t at;       /* octets taken so far */
    bool short_read; /* something was asked for that is not there */
};

void xc_sr__cursor_init(struct xc_sr_cursor *c, const void *body, size_t len);
uint16_t xc_sr__cursor_u16(struct xc_sr_cursor *c);
uint32_t xc_sr__cursor_u32(struct xc_sr_cursor *c);
uint64_t xc_sr__cursor_u64(struct xc_sr_cursor *c);
/* NULL (and short_read) if len octets are not there. */
const uint8_t *xc_sr__cursor_bytes(struct xc_sr_cursor *c, size_t len);
/* True if everything was there and nothing is left. */
bool xc_sr__cursor_at_end(const struct xc_sr_cursor *c);

/* ---- Records -------------------------------------------------------------- */

#define XC_SR_REC_ENUM(NAME, ...) XC_SR_REC_##NAME,
enum xc_sr_rec
{
    XC_SR_RECORDS_FWD(XC_SR_REC_ENUM) XC_SR_RECORDS_BACK(XC_SR_REC_ENUM)
        XC_SR_REC_COUNT, /* also: "a record this table does not know" */
};
#undef XC_SR_REC_ENUM

const char *xc_sr__rec_name(enum xc_sr_rec rec);
/* XC_SR_NO_TYPE if the record does not exist in that version. */
uint32_t xc_sr__rec_type(enum xc_sr_rec rec, unsigned int version);
/* XC_SR_REC_COUNT if unknown. */
enum xc_sr_rec xc_sr__rec_find(uint32_t type, unsigned int version,
                               enum xc_sr_direction direction);
enum xc_sr_body xc_sr__rec_body(enum xc_sr_rec rec);

/* A record delivered whole, or the head of one that is not. */
struct xc_sr_record
{
    enum xc_sr_rec id; /* XC_SR_REC_COUNT: unknown optional */
    uint32_t type;
    uint32_t length; /* of the body, without padding */
    uint64_t offset; /* of its header in the stream */
    uint64_t number; /* 0 for the first record */
    /* WHOLE bodies, and in the HEAD event of a RECOVER the octets before its
     * bitmap; valid until the next call. */
    const uint8_t *body;
};

/* One line for people: what the record says.  Returns buf. */
const char *xc_sr__record_describe(const struct xc_sr_record *rec,
                                   unsigned int version, char *buf, size_t len);

#endif /* XC_SR_RECORDS_H */

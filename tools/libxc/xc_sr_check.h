/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_check.h: what a record's body must look like.
 *
 * Stands between the reader (framing, order) and the record table: one check
 * a row, given the body or, for records that are not held whole, its head,
 * and the rule for their entries.  What a stream has said of itself, and later
 * records have to agree with, is in struct xc_sr_known.
 */
#ifndef XC_SR_CHECK_H
#define XC_SR_CHECK_H

#include "xc_sr_records.h"

#define XC_SR_PAGES_HEADER_LEN 8u

#define XC_SR_GUEST_PV  1u
#define XC_SR_GUEST_HVM 2u

/* A page entry: pfn in bits 0-51, type nibble in bits 60-63. */
#define XC_SR_ENTRY_PFN_MASK   0x000fffffffffffffULL
#define XC_SR_ENTRY_RESERVED   0x0ff0000000000000ULL
#define XC_SR_ENTRY_TYPE_SHIFT 60
#define XC_SR_PTYPE_NOTAB      0x0u
#define XC_SR_PTYPE_BROKEN     0xdu
#define XC_SR_PTYPE_XALLOC     0xeu
#define XC_SR_PTYPE_XTAB       0xfu

static inline uint64_t xc_sr__entry_pfn(uint64_t entry)
{
    return entry & XC_SR_ENTRY_PFN_MASK;
}

static inline uint32_t xc_sr__entry_type(uint64_t entry)
{
    return (uint32_t)(entry >> XC_SR_ENTRY_TYPE_SHIFT);
}

/* Does a page of this type come with contents in PAGE_DATA? */
static inline bool xc_sr__ptype_has_data(uint32_t ptype)
{
    return ptype < XC_SR_PTYPE_BROKEN;
}

/* Every pfn of a guest is below this: 4 PiB of memory. */
#define XC_SR_MAX_NR_PFNS (1ULL << 40)

/* What a RECOVER says of the destination's record of ownership. */
#define XC_SR_RECOVER_NONE     0u
#define XC_SR_RECOVER_PREP     1u
#define XC_SR_RECOVER_OWNER    2u
#define XC_SR_RECOVER_FENCED   3u
#define XC_SR_RECOVER_FINISHED 4u
#define XC_SR_RECOVER_LOST     5u

/* What ADVISE, READY and RECOVER say; nothing of it in a stock stream. */
struct xc_sr_known
{
    uint32_t guest_type;  /* XC_SR_GUEST_*; 0: not known */
    uint32_t guest_width; /* of a PV guest, octets; 0: not known */
    uint64_t nr_pfns;     /* 0: not known */
    bool session_known;
    uint8_t session[16];
    uint64_t epoch;
    bool features_known;
    uint32_t features; /* offered (forward) or accepted (back) */
    uint64_t acked;    /* octets acknowledged so far */
    uint32_t verdict;  /* of READY (reason), RECOVER (record) */
};

/* A record with entries: how many, and what each of them has to obey. */
struct xc_sr_body_shape
{
    uint32_t entry_len;      /* 8, or 16 for runs */
    uint64_t at;             /* where in the stream the entries begin */
    uint64_t count;          /* entries */
    uint64_t data_pages;     /* pages of contents after the entries */
    uint64_t zero_bits;      /* of an entry */
    uint64_t nr_pfns;        /* pfns are below this */
    uint16_t types;          /* bit per type nibble that may occur */
    uint64_t last_zero_bits; /* of the last entry: the end of a bitmap */
};

/* Fills in all but record and type; returns error. */
int xc_sr__fault_set(struct xc_sr_stream_fault *fault, int error,
                     uint64_t offset, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The length rule of the record's row. */
int xc_sr__length_check(const struct xc_sr_record *rec,
                        struct xc_sr_stream_fault *fault);

/* Octets of a body that is not WHOLE which are needed to know its shape. */
uint32_t xc_sr__head_len(enum xc_sr_rec rec);

/*
 * rec->body is the whole body, or head_len octets of it.  Remembers in known
 * what later records are held against; *shape_r is set unless WHOLE.
 */
int xc_sr__body_check(const struct xc_sr_record *rec, unsigned int version,
                      struct xc_sr_known *known,
                      struct xc_sr_body_shape *shape_r,
                      struct xc_sr_stream_fault *fault);

/*
 * n entries, the first of which is number `first` of the record; adds to
 * *pages those that have contents; of runs it keeps in *pages where the last
 * one ended.
 */
int xc_sr__entries_check(const struct xc_sr_body_shape *shape,
                         const uint8_t *entries, uint64_t first, uint64_t n,
                         uint64_t *pages, struct xc_sr_stream_fault *fault);

/* Octets of the UTF-8 character at p; 0: none, or a control character. */
size_t xc_sr__text_step(const uint8_t *p, size_t left);

#endif /* XC_SR_CHECK_H */

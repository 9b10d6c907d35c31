/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xenpostcopy_verify.h: is this a well-formed migration stream?
 *
 * Public part of libxenpostcopy.  The verifier does no I/O: it is fed octets,
 * in pieces of any size, and never wants an octet twice.  Page contents it
 * need not see at all; the caller may seek over them.  Its memory is bounded
 * whatever the stream says: see XC_SR_VERIFY_MAX_PFNS and the record bounds
 * in docs/specs/libxc-migration-stream.pandoc.
 *
 * The octets of the layer above (libxl) are not its business: it says where
 * they begin and the caller says where they end.
 */
#ifndef XENPOSTCOPY_VERIFY_H
#define XENPOSTCOPY_VERIFY_H

#include "xenpostcopy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The first thing wrong with a stream. */
struct xc_sr_verify_fault
{
    int error;       /* a negative errno value; 0: no fault */
    uint64_t offset; /* of the octet at fault, from the stream's start */
    uint64_t record; /* the record's number, headers do not count */
    char type[32];   /* the record's name, or "image header" and such */
    char field[32];
    char why[128];
};

/* Which announced page has come is followed for pfns below this: guests of
 * 1 TiB, which costs at most 64 MiB.  Higher pfns are only range-checked. */
#define XC_SR_VERIFY_MAX_PFNS (1ULL << 28)

struct xc_sr_verify_params
{
    bool back;            /* a back channel: records without headers */
    unsigned int version; /* of a back channel: 2, 3, or 0: find out */
    /* Octets of the layer above follow CHECKPOINT too, as they do inside
         * a libxl stream. */
    bool upper_at_checkpoint;
    /* Announced pages may be missing at END: the guest was abandoned at
         * the destination, which only the back channel tells. */
    bool allow_missing;
    /* Where this stream begins in what people see; lines and faults
         * count from there. */
    uint64_t base;
    /* One line for each record; NULL: nobody wants them. */
    void (*line)(void *ctx, const char *line);
    void *ctx;
};

enum xc_sr_verify_status
{
    XC_SR_VERIFY_MORE,       /* go on feeding, or skip */
    XC_SR_VERIFY_TRANSITION, /* the layer above has its turn now */
    XC_SR_VERIFY_CHECKPOINT, /* likewise, at a checkpoint */
    XC_SR_VERIFY_END,        /* complete; further octets are not ours */
};

#define XC_SR_VERIFY_PAGE_TYPES 16
#define XC_SR_VERIFY_RECORDS    64

struct xc_sr_verify_count
{
    const char *name;
    uint64_t count;
};

/* What has been seen so far. */
struct xc_sr_verify_report
{
    unsigned int version; /* 0: not known yet */
    uint32_t guest_type;  /* 1 PV, 2 HVM, 0 not known */
    uint32_t xen_major;
    uint32_t xen_minor;
    uint64_t nr_pfns;      /* as ADVISE says; 0: no ADVISE */
    bool postcopy;         /* TRANSITION was seen */
    bool aborted;          /* ABORT ended it */
    bool ended;            /* a normal end was seen */
    uint64_t octets;       /* of this layer */
    uint64_t upper_octets; /* of those, the layer above had */
    uint64_t records;
    uint64_t unknown; /* optional records passed over */
    uint64_t announced_pages;
    uint64_t missing_pages;   /* announced, not come yet */
    uint64_t untracked_pages; /* announced above the bound */
    unsigned int nr_record_types;
    struct xc_sr_verify_count by_record[XC_SR_VERIFY_RECORDS];
    /* Page entries of PAGE_DATA, POSTCOPY_PAGE_DATA and ZERO_PAGES. */
    struct xc_sr_verify_count by_page_type[XC_SR_VERIFY_PAGE_TYPES];
    uint64_t zero_pages;
};

struct xc_sr_verifier;

/* Errors: -ENOMEM, -EINVAL (a version that does not exist). */
int xc_sr_verifier_new(const struct xc_sr_verify_params *params,
                       struct xc_sr_verifier **v_r);
void xc_sr_verifier_free(struct xc_sr_verifier *v);

/*
     * Takes a prefix of data, *used_r octets of it: all of them when *status_r
     * is MORE, unless contents that may be skipped come next.  An error is
     * final: see xc_sr_verifier_fault(); -ENOMEM has no fault.
     */
int xc_sr_verifier_feed(struct xc_sr_verifier *v, const void *data, size_t len,
                        size_t *used_r, enum xc_sr_verify_status *status_r);

/* How many octets, from here on, need not be fed (0: the next must be). */
uint64_t xc_sr_verifier_skippable(const struct xc_sr_verifier *v);

/* The caller passed over that many, at most what skippable() says. */
int xc_sr_verifier_skip(struct xc_sr_verifier *v, uint64_t octets);

/* The layer above is done, after that many octets of its own. */
int xc_sr_verifier_upper_done(struct xc_sr_verifier *v, uint64_t octets);

/* No more octets: 0 if a stream may end here, else -EPROTO (fault). */
int xc_sr_verifier_eof(struct xc_sr_verifier *v);

/* Valid after an error, until free. */
const struct xc_sr_verify_fault *xc_sr_verifier_fault(
    const struct xc_sr_verifier *v);

/* "offset 0x…: record N (TYPE): FIELD: why" into buf; returns buf. */
const char *xc_sr_verify_fault_text(const struct xc_sr_verify_fault *fault,
                                    char *buf, size_t len);

void xc_sr_verifier_report(const struct xc_sr_verifier *v,
                           struct xc_sr_verify_report *report_r);

#ifdef __cplusplus
}
#endif

#endif /* XENPOSTCOPY_VERIFY_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_verify_priv.h: the verifier from inside: xc_sr_verify.c drives the
 * reader, xc_sr_verify_rules.c knows the rules that span records,
 * xc_sr_verify_lines.c counts and tells.  Nobody else includes it.
 */
#ifndef XC_SR_VERIFY_PRIV_H
#define XC_SR_VERIFY_PRIV_H

#include "xc_sr_stream.h"
#include "xc_sr_verify_set.h"
#include "xenpostcopy_verify.h"

/* What earlier records have laid down for later ones. */
struct xc_sr_verify_rules
{
    uint64_t untracked_pages;
    struct xc_sr_vset announced;
    struct xc_sr_vset owed; /* announced and not come */
};

/* A run of records of one kind, told in one line. */
struct xc_sr_verify_fold
{
    uint64_t records; /* 0: none */
    enum xc_sr_rec id;
    uint64_t first;
    uint64_t last;
    uint64_t offset;
    uint64_t items; /* pages, or values of a list */
    uint64_t by_type[XC_SR_VERIFY_PAGE_TYPES];
};

struct xc_sr_verifier
{
    struct xc_sr_verify_params params;
    struct xc_sr_reader reader;
    bool reading;  /* the reader is set up */
    bool resuming; /* a later connection, it began with RESUME */
    int failed;    /* sticky */
    struct xc_sr_verify_fault fault;
    enum xc_sr_verify_status status; /* not MORE: waits for the caller */
    uint64_t skip_left;
    uint64_t entries_left; /* of the record being read */
    /* The head of something that was fed in pieces, and how much of it the
     * reader wants to see at once. */
    uint8_t *carry;
    size_t carry_len;
    size_t carry_cap;
    size_t carry_need;
    struct xc_sr_verify_rules rules;
    struct xc_sr_verify_fold fold;
    struct xc_sr_verify_report report;
    uint64_t by_rec[XC_SR_REC_COUNT];
};

/* ---- xc_sr_verify.c --------------------------------------------------------- */

/* Notes the first fault, about `rec`; returns -EPROTO. */
int xc_sr__verify_fail(struct xc_sr_verifier *v, const struct xc_sr_record *rec,
                       uint64_t offset, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- xc_sr_verify_rules.c --------------------------------------------------- */

/* Entries; `offset` is that of the first. */
int xc_sr__verify_rules_entries(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev, uint64_t offset);
/* END was read. */
int xc_sr__verify_rules_end(struct xc_sr_verifier *v,
                            const struct xc_sr_record *rec);
void xc_sr__verify_rules_dispose(struct xc_sr_verify_rules *rules);

/* ---- xc_sr_verify_lines.c --------------------------------------------------- */

void xc_sr__verify_tell_headers(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev, uint64_t offset);
void xc_sr__verify_tell_record(struct xc_sr_verifier *v,
                               const struct xc_sr_record *rec);
void xc_sr__verify_tell_head(struct xc_sr_verifier *v,
                             const struct xc_sr_record *rec);
void xc_sr__verify_tell_entries(struct xc_sr_verifier *v,
                                const struct xc_sr_event *ev);
/* Whatever is folded is complete. */
void xc_sr__verify_tell_flush(struct xc_sr_verifier *v);

#endif /* XC_SR_VERIFY_PRIV_H */

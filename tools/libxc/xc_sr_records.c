/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_records.c: the record table as data: names, type numbers of both
 * stream versions, length rules; and the cursor over a body.
 *
 * The reader asks it what a type number means, the writer which number to
 * write, people what a record is called.  Everything here is constant; what a
 * body must hold is in xc_sr_records_check.c.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "xc_sr_records.h"
#include "xc_sr_check.h"

struct row
{
    const char *name;
    uint32_t types[2]; /* stream version 2, 3 */
    enum xc_sr_body body;
    uint32_t min;
    uint32_t max;
    enum xc_sr_direction direction;
};

#define ROW(NAME, dir, v2, v3, shape, low, high)                               \
    [XC_SR_REC_##NAME] = { .name = #NAME,                                      \
                           .types = { v2, v3 },                                \
                           .body = XC_SR_BODY_##shape,                         \
                           .min = low,                                         \
                           .max = high,                                        \
                           .direction = dir },
#define ROW_FWD(NAME, lname, v2, v3, shape, low, high, phases)                 \
    ROW(NAME, XC_SR_FORWARD, v2, v3, shape, low, high)
#define ROW_BACK(NAME, lname, v2, v3, shape, low, high, phases)                \
    ROW(NAME, XC_SR_BACK, v2, v3, shape, low, high)

static const struct row rows[XC_SR_REC_COUNT] = { XC_SR_RECORDS_FWD(
    ROW_FWD) XC_SR_RECORDS_BACK(ROW_BACK) };

#define CHECK_ROW(NAME, lname, v2, v3, shape, low, high, phases)               \
    _Static_assert((low) <= (high) && (high) <= XC_SR_RECORD_MAX,              \
                   #NAME ": bounds");
XC_SR_RECORDS_FWD(CHECK_ROW)
XC_SR_RECORDS_BACK(CHECK_ROW)
#undef CHECK_ROW

const char *xc_sr__rec_name(enum xc_sr_rec rec)
{
    return (unsigned int)rec < XC_SR_REC_COUNT ? rows[rec].name : "unknown";
}

uint32_t xc_sr__rec_type(enum xc_sr_rec rec, unsigned int version)
{
    if ( (unsigned int)rec >= XC_SR_REC_COUNT || version < 2 || version > 3 )
        return XC_SR_NO_TYPE;
    return rows[rec].types[version - 2];
}

enum xc_sr_rec xc_sr__rec_find(uint32_t type, unsigned int version,
                               enum xc_sr_direction direction)
{
    if ( type == XC_SR_NO_TYPE || version < 2 || version > 3 )
        return XC_SR_REC_COUNT;
    for ( unsigned int i = 0; i < XC_SR_REC_COUNT; i++ )
        if ( rows[i].types[version - 2] == type &&
             rows[i].direction == direction )
            return (enum xc_sr_rec)i;
    return XC_SR_REC_COUNT;
}

enum xc_sr_body xc_sr__rec_body(enum xc_sr_rec rec)
{
    return (unsigned int)rec < XC_SR_REC_COUNT ? rows[rec].body
                                               : XC_SR_BODY_WHOLE;
}

uint32_t xc_sr__head_len(enum xc_sr_rec rec)
{
    switch ( (int)rec )
    {
    case XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST:
        return 0;
    case XC_SR_REC_POSTCOPY_RECOVER:
        return XC_SR_RECOVER_HEAD_LEN;
    default:
        return XC_SR_PAGES_HEADER_LEN;
    }
}

int xc_sr__length_check(const struct xc_sr_record *rec,
                        struct xc_sr_stream_fault *fault)
{
    uint64_t at = rec->offset + 4;
    const struct row *row;

    if ( rec->length > XC_SR_RECORD_MAX )
        return xc_sr__fault_set(fault, -EMSGSIZE, at, "body_length",
                                "%u octets, no record is longer than %u",
                                rec->length, XC_SR_RECORD_MAX);
    if ( rec->id == XC_SR_REC_COUNT )
        return 0;

    row = &rows[rec->id];
    if ( row->min == row->max && rec->length != row->min )
        return xc_sr__fault_set(fault, -EPROTO, at, "body_length",
                                "%u octets, must be %u", rec->length, row->min);
    if ( rec->length < row->min )
        return xc_sr__fault_set(fault, -EPROTO, at, "body_length",
                                "%u octets, at least %u", rec->length,
                                row->min);
    if ( rec->length > row->max )
        return xc_sr__fault_set(fault, -EMSGSIZE, at, "body_length",
                                "%u octets, at most %u", rec->length, row->max);
    return 0;
}

int xc_sr__fault_set(struct xc_sr_stream_fault *fault, int error,
                     uint64_t offset, const char *field, const char *fmt, ...)
{
    va_list args;

    fault->error = error;
    fault->offset = offset;
    snprintf(fault->field, sizeof(fault->field), "%s", field);
    va_start(args, fmt);
    vsnprintf(fault->why, sizeof(fault->why), fmt, args);
    va_end(args);
    return error;
}

const char *xc_sr__fault_text(const struct xc_sr_stream_fault *fault, char *buf,
                              size_t len)
{
    /* Headers and the end of the stream are no records: no number. */
    bool numbered = !islower((unsigned char)fault->type[0]);
    char number[32] = "";

    if ( numbered )
        snprintf(number, sizeof(number), "record %llu (",
                 (unsigned long long)fault->record);
    snprintf(buf, len, "offset 0x%llx: %s%s%s: %s: %s",
             (unsigned long long)fault->offset, number, fault->type,
             numbered ? ")" : "", fault->field, fault->why);
    return buf;
}

void xc_sr__cursor_init(struct xc_sr_cursor *c, const void *body, size_t len)
{
    *c = (struct xc_sr_cursor){ .p = body, .left = len };
}

const uint8_t *xc_sr__cursor_bytes(struct xc_sr_cursor *c, size_t len)
{
    const uint8_t *p = c->p;

    if ( c->short_read || len > c->left )
    {
        c->short_read = true;
        return NULL;
    }
    c->p += len;
    c->left -= len;
    c->at += len;
    return p;
}

uint16_t xc_sr__cursor_u16(struct xc_sr_cursor *c)
{
    const uint8_t *p = xc_sr__cursor_bytes(c, 2);

    return p ? xc_sr__le16(p) : 0;
}

uint32_t xc_sr__cursor_u32(struct xc_sr_cursor *c)
{
    const uint8_t *p = xc_sr__cursor_bytes(c, 4);

    return p ? xc_sr__le32(p) : 0;
}

uint64_t xc_sr__cursor_u64(struct xc_sr_cursor *c)
{
    const uint8_t *p = xc_sr__cursor_bytes(c, 8);

    return p ? xc_sr__le64(p) : 0;
}

bool xc_sr__cursor_at_end(const struct xc_sr_cursor *c)
{
    return !c->short_read && c->left == 0;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_stream_write.c: records built in memory, in the numbers and framing of
 * the writer's stream version.
 *
 * Both engines, the golden vectors and the unit tests write through this.  It
 * does no I/O and never holds page contents of a bulk record: those follow
 * from the guest's own memory, counted by xc_sr__write_end().  A failure is
 * kept in the writer and asked for once, after the last record.
 */
#include <errno.h>
#include <stdlib.h>

#include "xc_sr_stream.h"

/* The first allocation: control records and a bulk record's entries fit. */
#define WRITER_MIN_CAP 4096u

void xc_sr__writer_init(struct xc_sr_writer *w, unsigned int version)
{
    *w = (struct xc_sr_writer){ .version = version };
}

void xc_sr__writer_dispose(struct xc_sr_writer *w)
{
    free(w->buf);
    *w = (struct xc_sr_writer){ .version = w->version };
}

/* len octets at the end of the buffer, NULL (and error) if there are none. */
static uint8_t *extend(struct xc_sr_writer *w, size_t len)
{
    uint8_t *p;

    if ( w->error )
        return NULL;
    if ( len > w->cap - w->len )
    {
        size_t cap = w->cap ? w->cap : WRITER_MIN_CAP;

        while ( cap - w->len < len && cap <= SIZE_MAX / 2 )
            cap *= 2;
        p = cap - w->len < len ? NULL : realloc(w->buf, cap);
        if ( !p )
        {
            w->error = -ENOMEM;
            return NULL;
        }
        w->buf = p;
        w->cap = cap;
    }
    p = w->buf + w->len;
    w->len += len;
    return p;
}

void xc_sr__write_image_header(struct xc_sr_writer *w)
{
    uint8_t *p = extend(w, XC_SR_IMAGE_HEADER_LEN);

    if ( !p )
        return;
    memset(p, 0, XC_SR_IMAGE_HEADER_LEN);
    memset(p, 0xff, 8);
    xc_sr__put_be32(p + 8, XC_SR_IMAGE_ID);
    xc_sr__put_be32(p + 12, w->version);
}

void xc_sr__write_domain_header(struct xc_sr_writer *w,
                                const struct xc_sr_domain_header *dhdr)
{
    xc_sr__write_u32(w, dhdr->type);
    xc_sr__write_u16(w, dhdr->page_shift);
    xc_sr__write_u16(w, 0);
    xc_sr__write_u32(w, dhdr->xen_major);
    xc_sr__write_u32(w, dhdr->xen_minor);
}

void xc_sr__write_begin(struct xc_sr_writer *w, enum xc_sr_rec rec)
{
    uint32_t type = xc_sr__rec_type(rec, w->version);

    if ( type == XC_SR_NO_TYPE && !w->error )
        w->error = -EINVAL; /* our own bug: nothing wrong may go out */
    w->record_at = w->len;
    xc_sr__write_u32(w, type);
    xc_sr__write_u32(w, 0);
}

void xc_sr__write_u16(struct xc_sr_writer *w, uint16_t v)
{
    uint8_t *p = extend(w, 2);

    if ( p )
        xc_sr__put_le16(p, v);
}

void xc_sr__write_u32(struct xc_sr_writer *w, uint32_t v)
{
    uint8_t *p = extend(w, 4);

    if ( p )
        xc_sr__put_le32(p, v);
}

void xc_sr__write_u64(struct xc_sr_writer *w, uint64_t v)
{
    uint8_t *p = extend(w, 8);

    if ( p )
        xc_sr__put_le64(p, v);
}

void xc_sr__write_bytes(struct xc_sr_writer *w, const void *bytes, size_t len)
{
    uint8_t *p = extend(w, len);

    if ( p && len )
        memcpy(p, bytes, len);
}

void xc_sr__write_end(struct xc_sr_writer *w, uint32_t contents)
{
    uint64_t length;
    uint8_t *pad;
    size_t pad_len;

    if ( w->error )
        return;
    length = (uint64_t)w->len - w->record_at - XC_SR_RECORD_HEADER_LEN;
    pad_len = (size_t)(-length & 7);
    if ( length + contents > XC_SR_RECORD_MAX ||
         (contents && (pad_len || contents % 8)) )
    {
        w->error = -EMSGSIZE;
        return;
    }
    pad = extend(w, pad_len);
    if ( !pad )
        return;
    memset(pad, 0, pad_len);
    xc_sr__put_le32(w->buf + w->record_at + 4, (uint32_t)length + contents);
}

void xc_sr__write_empty(struct xc_sr_writer *w, enum xc_sr_rec rec)
{
    xc_sr__write_begin(w, rec);
    xc_sr__write_end(w, 0);
}

void xc_sr__write_recover(struct xc_sr_writer *w, const uint8_t session[16],
                          uint64_t epoch, uint32_t record, uint32_t features,
                          uint64_t nr_pfns)
{
    xc_sr__write_begin(w, XC_SR_REC_POSTCOPY_RECOVER);
    xc_sr__write_bytes(w, session, 16);
    xc_sr__write_u64(w, epoch);
    xc_sr__write_u32(w, record);
    xc_sr__write_u32(w, features);
    xc_sr__write_u64(w, nr_pfns);
}

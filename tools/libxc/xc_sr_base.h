/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_base.h: what every part of the engine stands on: log lines, the
 * clock, little-endian access, checked arithmetic, exact I/O with deadlines.
 * Nothing here knows a record, a guest or a hypervisor.
 */
#ifndef XC_SR_BASE_H
#define XC_SR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "xenpostcopy.h"

#define XC_SR_PAGE_SHIFT 12
#define XC_SR_PAGE_SIZE  4096u

#define XC_SR_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- Log ---------------------------------------------------------------- */

void xc_sr__log(const struct xc_sr_log *log, enum xc_sr_log_level level,
                const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define xc_sr__error(log, ...) xc_sr__log(log, XC_SR_LOG_ERROR, __VA_ARGS__)
#define xc_sr__warn(log, ...)  xc_sr__log(log, XC_SR_LOG_WARN, __VA_ARGS__)
#define xc_sr__info(log, ...)  xc_sr__log(log, XC_SR_LOG_INFO, __VA_ARGS__)
#define xc_sr__debug(log, ...) xc_sr__log(log, XC_SR_LOG_DEBUG, __VA_ARGS__)

/* ---- Time --------------------------------------------------------------- */

#define XC_SR_NO_DEADLINE UINT64_MAX

uint64_t xc_sr__now_us(void);

/* Milliseconds for poll(): rounded up, 0 when past, -1 for no deadline. */
int xc_sr__poll_ms(uint64_t deadline_us, uint64_t now_us);

/* ---- Little endian ------------------------------------------------------- */

static inline uint16_t xc_sr__le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t xc_sr__le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t xc_sr__le64(const uint8_t *p)
{
    return (uint64_t)xc_sr__le32(p) | (uint64_t)xc_sr__le32(p + 4) << 32;
}

static inline uint16_t xc_sr__be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t xc_sr__be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           (uint32_t)p[3];
}

static inline void xc_sr__put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void xc_sr__put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void xc_sr__put_le64(uint8_t *p, uint64_t v)
{
    xc_sr__put_le32(p, (uint32_t)v);
    xc_sr__put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline void xc_sr__put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void xc_sr__put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* ---- Checked arithmetic --------------------------------------------------- */

static inline bool xc_sr__add_u64(uint64_t a, uint64_t b, uint64_t *sum_r)
{
    return !__builtin_add_overflow(a, b, sum_r);
}

static inline bool xc_sr__mul_u64(uint64_t a, uint64_t b, uint64_t *product_r)
{
    return !__builtin_mul_overflow(a, b, product_r);
}

/* ---- I/O ------------------------------------------------------------------ */

int xc_sr__set_nonblock(int fd, bool nonblock);

/*
 * All of len, or an error, before deadline_us; works on blocking and
 * non-blocking descriptors.  -EPIPE: the peer closed in the middle;
 * -ETIMEDOUT: the deadline passed.
 */
int xc_sr__read_exact(int fd, void *buf, size_t len, uint64_t deadline_us);
int xc_sr__write_exact(int fd, const void *buf, size_t len,
                       uint64_t deadline_us);

/*
 * A window on what has been read from a descriptor and not yet used.  fill()
 * reads once and waits only where the descriptor blocks; *eof_r is true at end
 * of file; -ENOBUFS: the window fills the whole buffer, see need().  Octets
 * between start and end are the window; use() drops from its front; need()
 * makes sure that a window of that many octets can be held.
 */
struct xc_sr_inbuf
{
    int fd;
    uint8_t *buf;
    size_t cap;
    size_t start;
    size_t end;
    uint64_t total; /* octets read so far */
};

int xc_sr__inbuf_init(struct xc_sr_inbuf *in, int fd, size_t cap);
void xc_sr__inbuf_dispose(struct xc_sr_inbuf *in);
int xc_sr__inbuf_need(struct xc_sr_inbuf *in, size_t window, size_t max);
int xc_sr__inbuf_fill(struct xc_sr_inbuf *in, bool *eof_r, size_t *got_r);

static inline size_t xc_sr__inbuf_len(const struct xc_sr_inbuf *in)
{
    return in->end - in->start;
}

static inline const uint8_t *xc_sr__inbuf_data(const struct xc_sr_inbuf *in)
{
    return in->buf + in->start;
}

static inline void xc_sr__inbuf_use(struct xc_sr_inbuf *in, size_t len)
{
    in->start += len;
}

/* True if the 4 KiB at page hold nothing but zero octets. */
bool xc_sr__page_is_zero(const void *page);

#endif /* XC_SR_BASE_H */

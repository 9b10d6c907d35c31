/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_stream.h: the codec: octets to events and back.
 *
 * The reader does no I/O.  It is given a window of octets and answers with
 * one event and how many octets it used; validator, receiver, sender (for the
 * back channel), fuzzers and unit tests all drive the same reader, so they
 * cannot disagree about what is well-formed.  It checks, in this order:
 * framing, the record table, the length rule, the phase (all before the body
 * is asked for), padding, the body.  Nothing reaches an engine before all of
 * them have passed.
 */
#ifndef XC_SR_STREAM_H
#define XC_SR_STREAM_H

#include "xc_sr_check.h"

#define XC_SR_IMAGE_ID          0x58454e46u /* "XENF" */
#define XC_SR_IMAGE_HEADER_LEN  24u
#define XC_SR_DOMAIN_HEADER_LEN 16u
#define XC_SR_RECORD_HEADER_LEN 8u

struct xc_sr_image_header
{
    uint32_t version;
    uint16_t options; /* bit 0: big endian, refused */
};

struct xc_sr_domain_header
{
    uint32_t type;
    uint16_t page_shift;
    uint32_t xen_major;
    uint32_t xen_minor;
};

/* p holds the whole header, which stands at `offset` of the stream. */
int xc_sr__image_header_parse(const uint8_t *p, uint64_t offset,
                              unsigned int max_version,
                              struct xc_sr_image_header *image_r,
                              struct xc_sr_stream_fault *fault);
int xc_sr__domain_header_parse(const uint8_t *p, uint64_t offset,
                               struct xc_sr_domain_header *domain_r,
                               struct xc_sr_stream_fault *fault);

/* ---- The phase automaton --------------------------------------------------- */

/*
 * One per direction.  legal() asks whether a record may come now and moves
 * on; -EPROTO with fault->why naming record and phase if not.
 */
struct xc_sr_phase_check
{
    enum xc_sr_direction direction;
    unsigned int version;
    uint32_t guest_type; /* 0 until known */
    uint32_t phase;      /* one XC_SR_FWD_* or XC_SR_BACK_* bit */
    uint64_t seen;       /* bit per enum xc_sr_rec */
    bool checkpointed;
};

void xc_sr__phase_init(struct xc_sr_phase_check *check,
                       enum xc_sr_direction direction, unsigned int version);
int xc_sr__phase_step(struct xc_sr_phase_check *check, enum xc_sr_rec rec,
                      struct xc_sr_stream_fault *fault);
/* The layer above has had its part: UPPER becomes PUSH. */
void xc_sr__phase_upper_done(struct xc_sr_phase_check *check);
const char *xc_sr__phase_label(const struct xc_sr_phase_check *check);

/* ---- Reader ----------------------------------------------------------------- */

enum xc_sr_event_kind
{
    XC_SR_EV_NEED,    /* the window has to hold .need octets to go on */
    XC_SR_EV_IMAGE,   /* .image */
    XC_SR_EV_DOMAIN,  /* .domain */
    XC_SR_EV_RECORD,  /* .record, whole body at .record.body */
    XC_SR_EV_HEAD,    /* .record: PAGES, PFNS, RUNS or LIST starts; .count */
    XC_SR_EV_ENTRIES, /* .entries: .count LE u64s (pairs for RUNS), checked;
                          .first: index of the first of them */
    XC_SR_EV_CONTENT, /* .content: .count whole pages, .first: index among
                          the pages of this record that have contents */
    XC_SR_EV_SKIP,    /* skip_contents only: .need octets of contents come
                          now; the caller disposes of them and calls
                          xc_sr__reader_skipped() */
    XC_SR_EV_TAIL,    /* that record is complete */
    XC_SR_EV_UNKNOWN, /* unknown optional record: passed over; .record */
    XC_SR_EV_UPPER,   /* TRANSITION was read: octets belong to the layer
                          above until xc_sr__reader_upper_done() */
    XC_SR_EV_END,     /* END was read: nothing more belongs to the stream */
};

struct xc_sr_event
{
    enum xc_sr_event_kind kind;
    size_t need;
    uint64_t count;
    uint64_t first;
    const uint8_t *entries;
    const uint8_t *content;
    struct xc_sr_record record;
    struct xc_sr_image_header image;
    struct xc_sr_domain_header domain;
};

struct xc_sr_reader
{
    struct xc_sr_phase_check phase;
    struct xc_sr_stream_fault fault; /* valid after an error */
    unsigned int version;            /* 0 until the image header is read */
    unsigned int max_version;
    bool skip_contents;
    uint64_t offset; /* octets used so far */
    uint64_t nr_records;
    uint64_t nr_unknown;
    struct xc_sr_known known; /* what the stream has said of itself */
    /* The reader's own: where it is inside a record. */
    struct xc_sr_record rec;
    struct xc_sr_body_shape shape;
    int state;
    size_t window;        /* octets seen and not used at the last call */
    uint64_t entries_at;  /* entries delivered */
    uint64_t pages_found; /* entries among them that have contents */
    uint64_t pages_at;    /* page contents delivered */
    uint64_t skip_left;   /* of contents or of an unknown body, in octets */
};

/*
 * A forward reader starts at the image header (version is ignored: the header
 * says); a back reader (no headers) needs the version.  max_version, the
 * newest an image header may name, may be lowered after init.  The struct
 * holds no resources.
 */
void xc_sr__reader_init(struct xc_sr_reader *r, enum xc_sr_direction direction,
                        unsigned int version);
/* A forward reader of a new connection: no headers, RESUME or END first. */
void xc_sr__reader_init_resuming(struct xc_sr_reader *r);

/*
 * Looks at data[0..len) and delivers one event; *used_r octets of the window
 * are done with (pointers in the event point into the window and stay valid
 * until the caller drops those octets).  NEED: drop *used_r octets as after
 * any event (not 0 only inside an unknown optional record, which is never
 * held), read until the window has ev_r->need octets, and call again.  After
 * END and UPPER the event repeats and uses nothing.  Any error is final: -EPROTO
 * malformed, -EPROTONOSUPPORT version or mandatory record not known, -EMSGSIZE
 * above a bound; r->fault says where and why.
 */
int xc_sr__reader_next(struct xc_sr_reader *r, const uint8_t *data, size_t len,
                       struct xc_sr_event *ev_r, size_t *used_r);

void xc_sr__reader_skipped(struct xc_sr_reader *r, uint64_t octets);
/*
 * The layer above used `octets` of the stream and is done: after TRANSITION,
 * and also after the RECORD event of a CHECKPOINT where the stream stands
 * inside a libxl stream.
 */
void xc_sr__reader_upper_done(struct xc_sr_reader *r, uint64_t octets);
/* End of file here: 0 if the stream may end here, else -EPROTO (fault). */
int xc_sr__reader_eof(struct xc_sr_reader *r);

/* ---- Writer ------------------------------------------------------------------ */

/*
 * Records built in memory.  A buffer that is too small grows; after a failed
 * allocation error stays -ENOMEM and everything else is ignored.
 */
struct xc_sr_writer
{
    uint8_t *buf;
    size_t len;
    size_t cap;
    unsigned int version;
    size_t record_at; /* of the record being built */
    int error;
};

void xc_sr__writer_init(struct xc_sr_writer *w, unsigned int version);
void xc_sr__writer_dispose(struct xc_sr_writer *w);
static inline void xc_sr__writer_reset(struct xc_sr_writer *w)
{
    w->len = 0;
}

void xc_sr__write_image_header(struct xc_sr_writer *w);
void xc_sr__write_domain_header(struct xc_sr_writer *w,
                                const struct xc_sr_domain_header *dhdr);
void xc_sr__write_begin(struct xc_sr_writer *w, enum xc_sr_rec rec);
void xc_sr__write_u16(struct xc_sr_writer *w, uint16_t v);
void xc_sr__write_u32(struct xc_sr_writer *w, uint32_t v);
void xc_sr__write_u64(struct xc_sr_writer *w, uint64_t v);
void xc_sr__write_bytes(struct xc_sr_writer *w, const void *p, size_t len);
/*
 * Closes the record: fills in the length and pads.  `contents` octets of page
 * contents, or of a bitmap, will follow outside the buffer and count as body
 * (a multiple of 8, so no padding is due after them).
 */
void xc_sr__write_end(struct xc_sr_writer *w, uint32_t contents);
/* Begins a RECOVER and writes its head; the bitmap and the end are left. */
void xc_sr__write_recover(struct xc_sr_writer *w, const uint8_t session[16],
                          uint64_t epoch, uint32_t record, uint32_t features,
                          uint64_t nr_pfns);
/* A record with an empty body. */
void xc_sr__write_empty(struct xc_sr_writer *w, enum xc_sr_rec rec);

#endif /* XC_SR_STREAM_H */

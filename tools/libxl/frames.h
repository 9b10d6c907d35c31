/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * frames.h: the two layers around a libxc stream: xl's save header with the
 * domain's configuration, and libxl's header and records.
 *
 *     xl header | libxl header | LIBXC_CONTEXT | libxc stream ... | END
 *
 * The reader does no I/O and is fed octets in pieces of any size; whoever
 * reads from a descriptor asks want() first and so never takes octets that
 * belong to the libxc stream.  The writer builds pieces in memory.  Used by
 * xl migrate on the local backend, both ends, and by xen-verify-stream.
 *
 * Spec: docs/specs/libxl-migration-stream.pandoc.
 */
#ifndef LIBXL_POSTCOPY_FRAMES_H
#define LIBXL_POSTCOPY_FRAMES_H

#include "xenpostcopy_verify.h"

#define LIBXL_PC_XL_HEADER_LEN     48u /* magic[32], then four u32 */
#define LIBXL_PC_HEADER_LEN        16u
#define LIBXL_PC_RECORD_HEADER_LEN 8u
#define LIBXL_PC_EMULATOR_HEAD_LEN 8u

/* A domain's configuration is a few KiB of JSON; nobody's is larger. */
#define LIBXL_PC_CONFIG_MAX   (1u << 20)
/* Xenstore's own quotas keep a device model's nodes far below this. */
#define LIBXL_PC_XENSTORE_MAX (1u << 20)
/* A device model's state: the bound of every record of the libxc stream. */
#define LIBXL_PC_RECORD_MAX   (128u << 20)

#define LIBXL_PC_XL_MANDATORY_JSON     0x1u
#define LIBXL_PC_XL_MANDATORY_STREAMV2 0x2u

#define LIBXL_PC_OPTION_BIG_ENDIAN 0x1u /* refused: x86 never writes it */
#define LIBXL_PC_OPTION_LEGACY     0x2u /* made by a converter */

/* Record types, their numbers on the wire. */
enum libxl_postcopy__frame_type
{
    LIBXL_PC_FRAME_END = 0,
    LIBXL_PC_FRAME_LIBXC_CONTEXT = 1,
    LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA = 2,
    LIBXL_PC_FRAME_EMULATOR_CONTEXT = 3,
    LIBXL_PC_FRAME_CHECKPOINT_END = 4,
    LIBXL_PC_FRAME_CHECKPOINT_STATE = 5,        /* COLO's back channel only */
    LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END = 6, /* version 2 streams */
    LIBXL_PC_FRAME_COUNT,
};

#define LIBXL_PC_EMULATOR_UNKNOWN          0u
#define LIBXL_PC_EMULATOR_QEMU_TRADITIONAL 1u
#define LIBXL_PC_EMULATOR_QEMU_UPSTREAM    2u

/* "UNKNOWN" for a number that is none of them. */
const char *libxl_postcopy__frame_name(uint32_t type);

/* ---- Reader ---------------------------------------------------------------- */

/* Where a reader starts. */
enum libxl_postcopy__frames_start
{
    LIBXL_PC_START_XL,    /* at the xl header */
    LIBXL_PC_START_LIBXL, /* at the libxl header */
};

/*
 * Why it is libxl's turn again after the libxc stream had its own; it decides
 * which records may come and which one ends the turn.
 */
enum libxl_postcopy__turn
{
    LIBXL_PC_TURN_FINAL,      /* libxc END: emulators, then END */
    LIBXL_PC_TURN_CHECKPOINT, /* emulators, then CHECKPOINT_END */
    LIBXL_PC_TURN_POSTCOPY_2, /* emulators, then POSTCOPY_TRANSITION_END */
    LIBXL_PC_TURN_POSTCOPY_3, /* emulators, then END; libxc goes on after it */
    LIBXL_PC_TURN_LAST,       /* version 2, all pages in: END alone */
};

enum libxl_postcopy__frame_event
{
    LIBXL_PC_EV_MORE,       /* everything used up: feed more */
    LIBXL_PC_EV_XL_HEADER,  /* .xl is filled in */
    LIBXL_PC_EV_HEADER,     /* .options is filled in */
    LIBXL_PC_EV_RECORD,     /* .record: a record starts */
    LIBXL_PC_EV_BODY,       /* .body, .body_len: a piece of emulator data */
    LIBXL_PC_EV_RECORD_END, /* that record is complete */
    LIBXL_PC_EV_LIBXC,      /* the libxc stream starts here; see begin_turn() */
    LIBXL_PC_EV_TURN_END,   /* the libxc stream goes on here */
    LIBXL_PC_EV_END,        /* nothing more belongs to this stream */
};

struct libxl_postcopy__xl_header
{
    uint32_t mandatory_flags;
    uint32_t optional_flags;
    uint32_t optional_len;
    char *config;      /* NUL-terminated whatever was sent; NULL: none came */
    size_t config_len; /* without a NUL */
};

struct libxl_postcopy__frame
{
    uint32_t type;
    uint32_t length;      /* of the body */
    uint64_t offset;      /* of its header in the stream */
    uint64_t number;      /* of libxl's records, 0 for the first */
    bool known;           /* false: optional and unknown, passed over */
    uint32_t emulator_id; /* EMULATOR_* only */
    uint32_t emulator_index;
};

struct libxl_postcopy__frames
{
    struct libxl_postcopy__xl_header xl;
    uint32_t options;
    struct libxl_postcopy__frame record;
    const uint8_t *body; /* points into what was fed */
    size_t body_len;
    uint64_t offset; /* octets of the stream so far */
    uint64_t octets; /* of those, this layer's own */
    uint64_t nr_records;
    uint64_t nr_unknown;
    uint64_t by_type[LIBXL_PC_FRAME_COUNT];
    struct xc_sr_verify_fault fault; /* valid after an error */
    /* The reader's own. */
    int state;
    enum libxl_postcopy__turn turn;
    uint8_t head[LIBXL_PC_XL_HEADER_LEN];
    size_t head_have;
    size_t head_want;
    uint64_t body_left;
    uint32_t pad_left;
    bool turn_over;    /* the record being read ends the turn */
    bool had_xenstore; /* this turn, for the emulator in xenstore_id */
    bool had_context;
    uint64_t xenstore_of; /* emulator id and index, one above the other */
    uint64_t context_of;
    uint64_t strings; /* NULs seen in xenstore data */
    bool in_string;
};

/* A zeroed struct is safe to dispose. */
void libxl_postcopy__frames_init(struct libxl_postcopy__frames *f,
                                 enum libxl_postcopy__frames_start start);
void libxl_postcopy__frames_dispose(struct libxl_postcopy__frames *f);

/*
 * Takes a prefix of data and says what happened: MORE when all of it was used
 * and nothing is pending, so call again, with the rest or with nothing, until
 * then (or until LIBXC, TURN_END or END).  Errors are final, f->fault says
 * where and why: -EPROTO malformed, -EPROTONOSUPPORT a format or mandatory
 * record not known, -EMSGSIZE above a bound, -ENOMEM.
 */
int libxl_postcopy__frames_feed(struct libxl_postcopy__frames *f,
                                const void *data, size_t len, size_t *used_r,
                                enum libxl_postcopy__frame_event *ev_r);

/* So many octets, from here on, are this layer's for certain; 0: it is the
 * libxc stream's turn, or the end. */
size_t libxl_postcopy__frames_want(const struct libxl_postcopy__frames *f);

/* Emulator context that need not be fed, and that it was passed over. */
uint64_t libxl_postcopy__frames_skippable(
    const struct libxl_postcopy__frames *f);
int libxl_postcopy__frames_skip(struct libxl_postcopy__frames *f,
                                uint64_t octets);

/* After LIBXC or TURN_END: the libxc stream used `octets` of the stream and it
 * is libxl's turn again.  Also starts a reader of nothing but one turn (a
 * receiver's upper layer): init() with any start, then this with octets 0. */
void libxl_postcopy__frames_begin_turn(struct libxl_postcopy__frames *f,
                                       enum libxl_postcopy__turn turn,
                                       uint64_t octets);

/* End of file here: 0 after END, else -EPROTO and f->fault. */
int libxl_postcopy__frames_eof(struct libxl_postcopy__frames *f);

/* ---- Writer ---------------------------------------------------------------- */

/* Grows as needed; after a failed allocation error stays -ENOMEM and the rest
 * is ignored.  A zeroed struct is an empty buffer. */
struct libxl_postcopy__buf
{
    uint8_t *data;
    size_t len;
    size_t cap;
    int error;
};

void libxl_postcopy__buf_dispose(struct libxl_postcopy__buf *b);

/* config: JSON text without its NUL; at most LIBXL_PC_CONFIG_MAX - 1. */
void libxl_postcopy__put_xl_header(struct libxl_postcopy__buf *b,
                                   const char *config, size_t config_len);
void libxl_postcopy__put_header(struct libxl_postcopy__buf *b);
/* END, LIBXC_CONTEXT, CHECKPOINT_END, POSTCOPY_TRANSITION_END. */
void libxl_postcopy__put_empty(struct libxl_postcopy__buf *b,
                               enum libxl_postcopy__frame_type type);
/* type: EMULATOR_XENSTORE_DATA or EMULATOR_CONTEXT. */
void libxl_postcopy__put_emulator(struct libxl_postcopy__buf *b,
                                  enum libxl_postcopy__frame_type type,
                                  uint32_t id, uint32_t index, const void *data,
                                  size_t len);

#endif /* LIBXL_POSTCOPY_FRAMES_H */

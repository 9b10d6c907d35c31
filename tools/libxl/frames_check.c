/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * frames_check.c: what the xl header, libxl's header and each libxl record
 * must look like; every rule that is not about where octets go.
 *
 * Called by frames.c alone, with the octets in f->head (or in xl.config).
 * Each check fills in f->fault itself and changes nothing else but what it
 * has read.  Spec: docs/specs/libxl-migration-stream.pandoc.
 */
#include "frames_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char xl_magic[32] = "Xen saved domain, xl format\n \0 \r";
static const char libxl_ident[8] = { 'L', 'i', 'b', 'x', 'l', 'F', 'm', 't' };

#define XL_BYTEORDER   0x01020304u
#define HEADER_VERSION 2u
#define TYPE_OPTIONAL  0x80000000u

static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 |
           (uint32_t)p[0] << 24;
}

/* ---- Faults ---------------------------------------------------------------- */

int libxl_postcopy__frames_fail(struct libxl_postcopy__frames *f, int error,
                                uint64_t offset, const char *field,
                                const char *fmt, ...)
{
    struct xc_sr_verify_fault *fault = &f->fault;
    const char *type;
    va_list ap;

    if ( fault->error )
        return fault->error; /* the first one counts */
    if ( !strcmp(field, "truncated") )
        type = "end of stream";
    else if ( f->state <= STATE_XL_CONFIG )
        type = "xl header";
    else if ( f->state == STATE_HEADER )
        type = "libxl header";
    else
        type = libxl_postcopy__frame_name(f->record.type);

    fault->error = error;
    fault->offset = offset;
    fault->record = f->record.number;
    snprintf(fault->type, sizeof(fault->type), "%s", type);
    snprintf(fault->field, sizeof(fault->field), "%s", field);
    va_start(ap, fmt);
    vsnprintf(fault->why, sizeof(fault->why), fmt, ap);
    va_end(ap);
    return error;
}

/* ---- The xl header ----------------------------------------------------------- */

int libxl_postcopy__check_xl_header(struct libxl_postcopy__frames *f,
                                    uint64_t at)
{
    struct libxl_postcopy__xl_header *xl = &f->xl;
    uint32_t order = get_le32(f->head + 32);

    if ( memcmp(f->head, xl_magic, sizeof(xl_magic)) )
        return libxl_postcopy__frames_fail(f, -EPROTO, at, "magic",
                                           "not an xl save file");
    if ( order == __builtin_bswap32(XL_BYTEORDER) )
        return libxl_postcopy__frames_fail(
            f, -EPROTONOSUPPORT, at + 32, "byteorder",
            "big-endian, which x86 never writes");
    if ( order != XL_BYTEORDER )
        return libxl_postcopy__frames_fail(f, -EPROTO, at + 32, "byteorder",
                                           "0x%08x, not 0x%08x", order,
                                           XL_BYTEORDER);
    xl->mandatory_flags = get_le32(f->head + 36);
    xl->optional_flags = get_le32(f->head + 40);
    xl->optional_len = get_le32(f->head + 44);
    if ( xl->mandatory_flags &
         ~(LIBXL_PC_XL_MANDATORY_JSON | LIBXL_PC_XL_MANDATORY_STREAMV2) )
        return libxl_postcopy__frames_fail(
            f, -EPROTONOSUPPORT, at + 36, "mandatory_flags",
            "0x%08x has bits nobody knows", xl->mandatory_flags);
    if ( !(xl->mandatory_flags & LIBXL_PC_XL_MANDATORY_STREAMV2) )
        return libxl_postcopy__frames_fail(
            f, -EPROTONOSUPPORT, at + 36, "mandatory_flags",
            "0x%08x: a stream of Xen 4.5 or older", xl->mandatory_flags);
    if ( xl->optional_len > LIBXL_PC_CONFIG_MAX + 4 )
        return libxl_postcopy__frames_fail(
            f, -EMSGSIZE, at + 44, "optional_data_len", "%u, at most %u",
            xl->optional_len, LIBXL_PC_CONFIG_MAX + 4);
    if ( xl->optional_len && xl->optional_len < 4 )
        return libxl_postcopy__frames_fail(
            f, -EPROTO, at + 44, "optional_data_len",
            "%u, too short for the config's length", xl->optional_len);
    return 0;
}

/* The optional data is complete in xl.config: u32 length, configuration. */
int libxl_postcopy__check_config(struct libxl_postcopy__frames *f)
{
    struct libxl_postcopy__xl_header *xl = &f->xl;
    uint64_t at = f->offset - xl->optional_len;
    uint32_t len = get_le32((const uint8_t *)xl->config);
    const char *nul;

    /* What else there may be only optional flags could explain. */
    if ( len > xl->optional_len - 4 ||
         (!xl->optional_flags && len != xl->optional_len - 4) )
        return libxl_postcopy__frames_fail(
            f, -EPROTO, at, "config_len",
            "%u, but %u octets of optional data follow", len,
            xl->optional_len - 4);
    memmove(xl->config, xl->config + 4, len);
    if ( len && xl->config[len - 1] == '\0' )
        len--;
    xl->config[len] = '\0';
    xl->config_len = len;
    nul = memchr(xl->config, '\0', len);
    if ( nul )
        return libxl_postcopy__frames_fail(
            f, -EPROTO, at + 4 + (uint64_t)(nul - xl->config), "config",
            "a NUL inside the text");
    return 0;
}

/* ---- libxl's header and record heads ------------------------------------------ */

int libxl_postcopy__check_header(struct libxl_postcopy__frames *f, uint64_t at)
{
    uint32_t version = get_be32(f->head + 8);

    f->options = get_be32(f->head + 12);
    if ( memcmp(f->head, libxl_ident, sizeof(libxl_ident)) )
        return libxl_postcopy__frames_fail(f, -EPROTO, at, "ident",
                                           "not a libxl stream");
    if ( version != HEADER_VERSION )
        return libxl_postcopy__frames_fail(f, -EPROTONOSUPPORT, at + 8,
                                           "version", "%u, not %u", version,
                                           HEADER_VERSION);
    if ( f->options & LIBXL_PC_OPTION_BIG_ENDIAN )
        return libxl_postcopy__frames_fail(
            f, -EPROTONOSUPPORT, at + 12, "options",
            "big-endian, which x86 never writes");
    if ( f->options & ~LIBXL_PC_OPTION_LEGACY )
        return libxl_postcopy__frames_fail(f, -EPROTO, at + 12, "options",
                                           "0x%08x: reserved bits must be 0",
                                           f->options);
    return 0;
}

static int check_length(struct libxl_postcopy__frames *f)
{
    struct libxl_postcopy__frame *rec = &f->record;
    uint32_t min = 0, max = 0;

    switch ( rec->known ? rec->type : LIBXL_PC_FRAME_COUNT )
    {
    case LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA:
        min = LIBXL_PC_EMULATOR_HEAD_LEN;
        max = LIBXL_PC_XENSTORE_MAX;
        break;
    case LIBXL_PC_FRAME_EMULATOR_CONTEXT:
        min = LIBXL_PC_EMULATOR_HEAD_LEN;
        max = LIBXL_PC_RECORD_MAX;
        break;
    case LIBXL_PC_FRAME_CHECKPOINT_STATE:
        min = max = 8;
        break;
    case LIBXL_PC_FRAME_COUNT:
        max = LIBXL_PC_RECORD_MAX;
        break;
    }
    if ( rec->length < min )
        return libxl_postcopy__frames_fail(f, -EPROTO, rec->offset + 4,
                                           "length", "%u, at least %u",
                                           rec->length, min);
    if ( rec->length > max )
        return libxl_postcopy__frames_fail(f, max ? -EMSGSIZE : -EPROTO,
                                           rec->offset + 4, "length",
                                           "%u, at most %u", rec->length, max);
    return 0;
}

/* May this record come in this turn, and does it end it? */
static int check_turn(struct libxl_postcopy__frames *f)
{
    static const struct
    {
        const char *label;
        uint32_t allowed; /* mask of types */
        uint32_t ends;    /* the type that ends the turn */
    } turns[] = {
        [LIBXL_PC_TURN_FINAL] = { "after the libxc stream's END", 0x0d,
                                  LIBXL_PC_FRAME_END },
        [LIBXL_PC_TURN_CHECKPOINT] = { "at a checkpoint", 0x3c,
                                       LIBXL_PC_FRAME_CHECKPOINT_END },
        [LIBXL_PC_TURN_POSTCOPY_2] = { "at the transition (version 2)", 0x4c,
                                       LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END },
        [LIBXL_PC_TURN_POSTCOPY_3] = { "at the transition", 0x0d,
                                       LIBXL_PC_FRAME_END },
        [LIBXL_PC_TURN_LAST] = { "after the post-copy pages", 0x01,
                                 LIBXL_PC_FRAME_END },
    };
    struct libxl_postcopy__frame *rec = &f->record;

    if ( !rec->known )
        return 0;
    if ( f->turn == LIBXL_PC_TURN_OPENING )
        return rec->type == LIBXL_PC_FRAME_LIBXC_CONTEXT
                   ? 0
                   : libxl_postcopy__frames_fail(
                         f, -EPROTO, rec->offset, "type",
                         "may not come before LIBXC_CONTEXT");
    if ( !(turns[f->turn].allowed & 1u << rec->type) )
        return libxl_postcopy__frames_fail(f, -EPROTO, rec->offset, "type",
                                           "may not come %s",
                                           turns[f->turn].label);
    f->turn_over = rec->type == turns[f->turn].ends;
    return 0;
}

int libxl_postcopy__check_record(struct libxl_postcopy__frames *f, uint64_t at)
{
    struct libxl_postcopy__frame *rec = &f->record;
    int rc;

    memset(rec, 0, sizeof(*rec));
    rec->type = get_le32(f->head);
    rec->length = get_le32(f->head + 4);
    rec->offset = at;
    rec->number = f->nr_records++;
    rec->known = rec->type < LIBXL_PC_FRAME_COUNT;

    if ( !rec->known && !(rec->type & TYPE_OPTIONAL) )
        return libxl_postcopy__frames_fail(
            f, -EPROTONOSUPPORT, at, "type",
            "0x%08x: a mandatory record nobody knows", rec->type);
    if ( (rc = check_turn(f)) || (rc = check_length(f)) )
        return rc;
    if ( rec->known )
        f->by_type[rec->type]++;
    else
        f->nr_unknown++;
    return 0;
}

int libxl_postcopy__check_emulator(struct libxl_postcopy__frames *f)
{
    struct libxl_postcopy__frame *rec = &f->record;
    uint64_t at = rec->offset + LIBXL_PC_RECORD_HEADER_LEN, key;
    bool xenstore = rec->type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA;

    rec->emulator_id = get_le32(f->head);
    rec->emulator_index = get_le32(f->head + 4);
    key = (uint64_t)rec->emulator_id << 32 | rec->emulator_index;

    if ( rec->emulator_id > LIBXL_PC_EMULATOR_QEMU_UPSTREAM )
        return libxl_postcopy__frames_fail(f, -EPROTO, at, "emulator_id",
                                           "%u, at most %u", rec->emulator_id,
                                           LIBXL_PC_EMULATOR_QEMU_UPSTREAM);
    if ( (xenstore && f->had_xenstore && f->xenstore_of == key) ||
         (!xenstore && f->had_context && f->context_of == key) )
        return libxl_postcopy__frames_fail(
            f, -EPROTO, at + 4, "index", "emulator %u,%u has sent this already",
            rec->emulator_id, rec->emulator_index);
    if ( xenstore && f->had_context && f->context_of == key )
        return libxl_postcopy__frames_fail(
            f, -EPROTO, at + 4, "index",
            "must come before the context of emulator %u,%u", rec->emulator_id,
            rec->emulator_index);
    if ( xenstore )
    {
        f->had_xenstore = true;
        f->xenstore_of = key;
    }
    else
    {
        f->had_context = true;
        f->context_of = key;
    }
    f->strings = 0;
    f->in_string = false;
    return 0;
}

/* COLO: what the two sides tell each other; a number and nothing else. */
int libxl_postcopy__check_control(struct libxl_postcopy__frames *f)
{
    uint64_t at = f->record.offset + LIBXL_PC_RECORD_HEADER_LEN;

    if ( get_le32(f->head) > 3 )
        return libxl_postcopy__frames_fail(f, -EPROTO, at, "control_id",
                                           "%u, at most 3", get_le32(f->head));
    if ( get_le32(f->head + 4) )
        return libxl_postcopy__frames_fail(f, -EPROTO, at + 4, "reserved",
                                           "0x%08x, must be 0",
                                           get_le32(f->head + 4));
    return 0;
}

/* ---- Bodies -------------------------------------------------------------------- */

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c && strchr("-/_@", c));
}

/* Pairs of NUL-terminated strings; keys are relative xenstore paths. */
int libxl_postcopy__check_xenstore(struct libxl_postcopy__frames *f,
                                   const uint8_t *p, size_t len)
{
    uint64_t at = f->offset;

    for ( size_t i = 0; i < len; i++ )
    {
        bool key = f->strings % 2 == 0;

        if ( key && !f->in_string && (p[i] == '\0' || p[i] == '/') )
            return libxl_postcopy__frames_fail(
                f, -EPROTO, at + i, "key", p[i] ? "an absolute path" : "empty");
        if ( key && p[i] && !is_key_char((char)p[i]) )
            return libxl_postcopy__frames_fail(
                f, -EPROTO, at + i, "key",
                "octet 0x%02x, not of a xenstore path", p[i]);
        f->in_string = p[i] != '\0';
        f->strings += p[i] == '\0';
    }
    return 0;
}

int libxl_postcopy__check_xenstore_end(struct libxl_postcopy__frames *f)
{
    if ( f->in_string )
        return libxl_postcopy__frames_fail(f, -EPROTO, f->offset - 1,
                                           f->strings % 2 ? "value" : "key",
                                           "not NUL-terminated");
    if ( f->strings % 2 )
        return libxl_postcopy__frames_fail(f, -EPROTO, f->offset - 1, "value",
                                           "a key without one");
    return 0;
}

int libxl_postcopy__check_pad(struct libxl_postcopy__frames *f)
{
    for ( size_t i = 0; i < f->head_have; i++ )
        if ( f->head[i] )
            return libxl_postcopy__frames_fail(
                f, -EPROTO, f->offset - f->head_have + i, "padding",
                "octet 0x%02x, must be 0", f->head[i]);
    return 0;
}

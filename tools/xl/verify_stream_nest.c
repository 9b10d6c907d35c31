/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream_nest.c: xl around libxl around libxc, each octet to its layer.
 *
 * Stock: libxl's header and LIBXC_CONTEXT, the libxc stream to its END, then
 * libxl's records to END.  At a checkpoint and at the post-copy transition
 * libxl has a turn in the middle of the libxc stream; which record ends it,
 * and what comes last, depends on the stream's version (frames.h).  Called by
 * verify_stream_io.c, the fuzzer and tests.
 */
#include "verify_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const uint8_t libxc_marker[8] = { 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff };
/* A later connection has no headers and begins with POSTCOPY_RESUME. */
static const uint8_t resume_head[8] = { 0x29, 0x01, 0, 0, 32, 0, 0, 0 };

const char *verify_format_name(enum verify_format format)
{
    static const char *const names[] = {
        [VERIFY_AUTO] = "auto",
        [VERIFY_LIBXC] = "libxc",
        [VERIFY_LIBXL] = "libxl",
        [VERIFY_XL] = "xl",
    };

    return names[format];
}

/* ---- Faults and lines ---------------------------------------------------------- */

static int fail(struct verify_nest *n, const char *type, const char *field,
                const char *why)
{
    struct xc_sr_verify_fault *fault = &n->fault;

    fault->error = -EPROTO;
    fault->offset = n->offset;
    snprintf(fault->type, sizeof(fault->type), "%s", type);
    snprintf(fault->field, sizeof(fault->field), "%s", field);
    snprintf(fault->why, sizeof(fault->why), "%s", why);
    return -EPROTO;
}

static int libxc_failed(struct verify_nest *n, int rc)
{
    n->fault = *xc_sr_verifier_fault(n->libxc);
    return rc;
}

static int frames_failed(struct verify_nest *n, int rc)
{
    n->fault = n->frames.fault;
    return rc;
}

static void say(struct verify_nest *n, uint64_t offset, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct verify_nest *n, uint64_t offset, const char *fmt, ...)
{
    char line[256];
    int len;
    va_list ap;

    if ( !n->options.line )
        return;
    len = snprintf(line, sizeof(line), "0x%08" PRIx64 " ", offset);
    va_start(ap, fmt);
    vsnprintf(line + len, sizeof(line) - (size_t)len, fmt, ap);
    va_end(ap);
    n->options.line(n->options.ctx, line);
}

/* ---- Turns --------------------------------------------------------------------- */

static int begin_libxc(struct verify_nest *n)
{
    const struct xc_sr_verify_params params = {
        .back = n->options.back,
        .version = n->options.version,
        .upper_at_checkpoint = n->format != VERIFY_LIBXC,
        .allow_missing = n->options.partial,
        .line = n->options.line,
        .ctx = n->options.ctx,
        .base = n->offset,
    };

    n->turn = VERIFY_TURN_LIBXC;
    return xc_sr_verifier_new(&params, &n->libxc);
}

static void begin_frames(struct verify_nest *n, enum libxl_postcopy__turn turn)
{
    libxl_postcopy__frames_begin_turn(&n->frames, turn,
                                      n->offset - n->frames.offset);
    n->turn_at = n->offset;
    n->turn = VERIFY_TURN_FRAMES;
}

static int end_frames(struct verify_nest *n)
{
    n->turn = VERIFY_TURN_LIBXC;
    return xc_sr_verifier_upper_done(n->libxc, n->offset - n->turn_at);
}

/* The libxc layer has stopped: whose turn is it? */
static void after_libxc(struct verify_nest *n, enum xc_sr_verify_status status)
{
    struct xc_sr_verify_report report;

    xc_sr_verifier_report(n->libxc, &report);
    switch ( status )
    {
    case XC_SR_VERIFY_MORE:
        break;
    case XC_SR_VERIFY_TRANSITION:
        if ( n->format == VERIFY_LIBXC )
        {
            n->turn = VERIFY_TURN_PEEK;
            n->peek_have = 0;
            n->peek_want = 4;
        }
        else
            begin_frames(n, report.version == 2 ? LIBXL_PC_TURN_POSTCOPY_2
                                                : LIBXL_PC_TURN_POSTCOPY_3);
        break;
    case XC_SR_VERIFY_CHECKPOINT:
        begin_frames(n, LIBXL_PC_TURN_CHECKPOINT);
        break;
    case XC_SR_VERIFY_END:
        if ( n->options.back && n->format == VERIFY_XL && report.version == 2 )
            n->text_may = 1u << VERIFY_TEXT_POSTCOPY2;
        /* In version 3 libxl's END has come at the transition; an aborted
         * stream has none. */
        if ( n->format == VERIFY_LIBXC || n->options.back || report.aborted ||
             (report.postcopy && report.version != 2) )
            n->turn = VERIFY_TURN_DONE;
        else
            begin_frames(n, report.postcopy ? LIBXL_PC_TURN_LAST
                                            : LIBXL_PC_TURN_FINAL);
        break;
    }
}

/* ---- Octets of unknown owner ------------------------------------------------------ */

static int detect(struct verify_nest *n)
{
    n->offset = 0;
    if ( n->format == VERIFY_AUTO )
    {
        if ( !memcmp(n->peek, libxc_marker, 8) ||
             !memcmp(n->peek, resume_head, 8) )
            n->format = VERIFY_LIBXC;
        else if ( !memcmp(n->peek, "LibxlFmt", 8) )
            n->format = VERIFY_LIBXL;
        else if ( !memcmp(n->peek, "Xen save", 8) )
            n->format = VERIFY_XL;
        else
            return fail(n, "stream", "format",
                        "begins like none of xl, libxl and libxc");
    }
    if ( n->options.back && n->format == VERIFY_XL )
    {
        n->text_may = 1u << VERIFY_TEXT_BANNER;
        n->turn = VERIFY_TURN_DONE;
        n->text_due = true;
        return 0;
    }
    if ( n->format == VERIFY_LIBXC || n->options.back )
        return begin_libxc(n);
    libxl_postcopy__frames_init(&n->frames, n->format == VERIFY_XL
                                                ? LIBXL_PC_START_XL
                                                : LIBXL_PC_START_LIBXL);
    n->turn = VERIFY_TURN_FRAMES;
    return 0;
}

/*
 * A bare libxc stream in post-copy: what the layer above had to say may or may
 * not be part of the capture, and the next record's type tells.  Neither
 * version allows a libxc record of those numbers here.
 */
static int peeked(struct verify_nest *n)
{
    struct xc_sr_verify_report report;
    uint32_t type = n->peek[0] | (uint32_t)n->peek[1] << 8 |
                    (uint32_t)n->peek[2] << 16 | (uint32_t)n->peek[3] << 24;
    bool v2;

    xc_sr_verifier_report(n->libxc, &report);
    v2 = report.version == 2;
    n->offset -= n->peek_have;
    if ( type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA ||
         type == LIBXL_PC_FRAME_EMULATOR_CONTEXT ||
         type == (v2 ? LIBXL_PC_FRAME_POSTCOPY_TRANSITION_END
                     : LIBXL_PC_FRAME_END) )
    {
        begin_frames(n,
                     v2 ? LIBXL_PC_TURN_POSTCOPY_2 : LIBXL_PC_TURN_POSTCOPY_3);
        return 0;
    }
    n->turn = VERIFY_TURN_LIBXC;
    return xc_sr_verifier_upper_done(n->libxc, 0);
}

static int feed_peek(struct verify_nest *n, const uint8_t *p, size_t len,
                     size_t *used_r)
{
    size_t take = n->peek_want - n->peek_have;
    bool begun = n->turn == VERIFY_TURN_PEEK;
    int rc;

    if ( take > len )
        take = len;
    memcpy(n->peek + n->peek_have, p, take);
    n->peek_have += take;
    n->offset += take;
    *used_r = take;
    if ( n->peek_have < n->peek_want )
        return 0;
    rc = begun ? peeked(n) : detect(n);
    if ( rc )
        return rc;
    take = n->peek_have;
    n->peek_have = 0;
    return verify_nest_feed(n, n->peek, take);
}

/* ---- Feeding --------------------------------------------------------------------- */

static int check_config(struct verify_nest *n)
{
    const struct libxl_postcopy__xl_header *xl = &n->frames.xl;
    char why[128];

    say(n, 0, "xl header: flags 0x%x, configuration of %zu octets",
        xl->mandatory_flags, xl->config_len);
    if ( !(xl->mandatory_flags & LIBXL_PC_XL_MANDATORY_JSON) || !xl->config )
        return 0;
    if ( !verify_json_check(xl->config, xl->config_len, why, sizeof(why)) )
        return 0;
    n->offset = LIBXL_PC_XL_HEADER_LEN + 4;
    return fail(n, "xl header", "config", why);
}

static void tell_frame(struct verify_nest *n)
{
    const struct libxl_postcopy__frame *rec = &n->frames.record;

    if ( !rec->known )
        say(n, rec->offset,
            "libxl record %" PRIu64
            " unknown optional 0x%08x: %u octets passed over",
            rec->number, rec->type, rec->length);
    else if ( rec->type == LIBXL_PC_FRAME_EMULATOR_CONTEXT ||
              rec->type == LIBXL_PC_FRAME_EMULATOR_XENSTORE_DATA )
        say(n, rec->offset,
            "libxl record %" PRIu64 " %s: emulator %u, index %u, %u octets",
            rec->number, libxl_postcopy__frame_name(rec->type),
            rec->emulator_id, rec->emulator_index,
            rec->length - LIBXL_PC_EMULATOR_HEAD_LEN);
    else
        say(n, rec->offset, "libxl record %" PRIu64 " %s", rec->number,
            libxl_postcopy__frame_name(rec->type));
}

static int on_frame(struct verify_nest *n, enum libxl_postcopy__frame_event ev)
{
    switch ( ev )
    {
    case LIBXL_PC_EV_XL_HEADER:
        return check_config(n);
    case LIBXL_PC_EV_HEADER:
        say(n, n->frames.offset - LIBXL_PC_HEADER_LEN,
            "libxl header: version 2, options 0x%x", n->frames.options);
        return 0;
    case LIBXL_PC_EV_RECORD:
        tell_frame(n);
        return 0;
    case LIBXL_PC_EV_LIBXC:
        return begin_libxc(n);
    case LIBXL_PC_EV_TURN_END:
        return end_frames(n);
    case LIBXL_PC_EV_END:
        n->turn = VERIFY_TURN_DONE;
        if ( n->format == VERIFY_XL && n->frames.turn == LIBXL_PC_TURN_FINAL )
            n->text_may = 1u << VERIFY_TEXT_GO; /* a migration, not a save */
        return 0;
    case LIBXL_PC_EV_MORE:
    case LIBXL_PC_EV_BODY:
    case LIBXL_PC_EV_RECORD_END:
        break;
    }
    return 0;
}

static int feed_frames(struct verify_nest *n, const uint8_t *p, size_t len,
                       size_t *used_r)
{
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    size_t used = 0;
    int rc;

    do
    {
        size_t step = 0;

        rc = libxl_postcopy__frames_feed(&n->frames, p + used, len - used,
                                         &step, &ev);
        if ( rc )
            return frames_failed(n, rc);
        used += step;
        n->offset += step;
        rc = on_frame(n, ev);
    } while ( !rc && ev != LIBXL_PC_EV_MORE && n->turn == VERIFY_TURN_FRAMES );
    *used_r = used;
    return rc;
}

static int feed_libxc(struct verify_nest *n, const uint8_t *p, size_t len,
                      size_t *used_r)
{
    enum xc_sr_verify_status status = XC_SR_VERIFY_MORE;
    size_t used = 0;
    int rc = xc_sr_verifier_feed(n->libxc, p, len, &used, &status);

    if ( rc )
        return libxc_failed(n, rc);
    n->offset += used;
    *used_r = used;
    after_libxc(n, status);
    return 0;
}

static int feed_text(struct verify_nest *n, const uint8_t *p, size_t len,
                     size_t *used_r)
{
    size_t used = 0;
    bool fits = verify_text_feed(n, p, len, &used);

    n->offset += used;
    *used_r = used;
    return fits ? 0 : fail(n, "xl message", "text", "not what xl says here");
}

int verify_nest_feed(struct verify_nest *n, const void *data, size_t len)
{
    const uint8_t *p = data;
    int rc = n->fault.error;

    while ( !rc && len )
    {
        size_t used = 0;

        switch ( n->turn )
        {
        case VERIFY_TURN_DETECT:
        case VERIFY_TURN_PEEK:
            rc = feed_peek(n, p, len, &used);
            break;
        case VERIFY_TURN_FRAMES:
            rc = feed_frames(n, p, len, &used);
            break;
        case VERIFY_TURN_LIBXC:
            rc = feed_libxc(n, p, len, &used);
            break;
        case VERIFY_TURN_TEXT:
            rc = feed_text(n, p, len, &used);
            break;
        case VERIFY_TURN_ANSWER:
            if ( !verify_text_begin(n, *p) )
                rc = begin_libxc(n);
            break;
        case VERIFY_TURN_DONE:
            if ( !verify_text_begin(n, *p) )
                rc = fail(n, n->text_due ? "xl message" : "end of stream",
                          n->text_due ? "text" : "trailing",
                          n->text_due ? "none that may come here"
                                      : "octets after the end of the stream");
            break;
        }
        p += used;
        len -= used;
    }
    return rc;
}

uint64_t verify_nest_skippable(const struct verify_nest *n)
{
    if ( n->fault.error )
        return 0;
    if ( n->turn == VERIFY_TURN_FRAMES )
        return libxl_postcopy__frames_skippable(&n->frames);
    if ( n->turn == VERIFY_TURN_LIBXC )
        return xc_sr_verifier_skippable(n->libxc);
    return 0;
}

int verify_nest_skip(struct verify_nest *n, uint64_t octets)
{
    int rc = n->turn == VERIFY_TURN_FRAMES
                 ? libxl_postcopy__frames_skip(&n->frames, octets)
                 : xc_sr_verifier_skip(n->libxc, octets);

    if ( !rc )
        n->offset += octets;
    return rc;
}

int verify_nest_eof(struct verify_nest *n)
{
    int rc = n->fault.error;

    if ( rc )
        return rc;
    switch ( n->turn )
    {
    case VERIFY_TURN_DETECT:
        return fail(n, "stream", "format", "too short for any header");
    case VERIFY_TURN_FRAMES:
        rc = libxl_postcopy__frames_eof(&n->frames);
        return rc ? frames_failed(n, rc) : 0;
    case VERIFY_TURN_PEEK:
        rc = xc_sr_verifier_upper_done(n->libxc, 0);
        if ( !rc && n->peek_have )
        {
            n->turn = VERIFY_TURN_LIBXC;
            rc = verify_nest_feed(n, n->peek, n->peek_have);
        }
        if ( rc )
            return rc;
        break;
    case VERIFY_TURN_LIBXC:
        break;
    case VERIFY_TURN_TEXT:
    case VERIFY_TURN_ANSWER:
        return fail(n, "xl message", "text", "the stream ends here");
    case VERIFY_TURN_DONE:
        if ( n->text_due )
            return fail(n, "xl message", "text", "the stream ends before it");
        return 0;
    }
    rc = xc_sr_verifier_eof(n->libxc);
    return rc ? libxc_failed(n, rc) : 0;
}

/* ---- Life ------------------------------------------------------------------------ */

int verify_nest_init(struct verify_nest *n,
                     const struct verify_options *options)
{
    memset(n, 0, sizeof(*n));
    n->options = *options;
    n->format = options->format;
    if ( options->back && n->format != VERIFY_XL )
        n->format = VERIFY_LIBXC;
    if ( n->format != VERIFY_AUTO )
        return detect(n);
    n->turn = VERIFY_TURN_DETECT;
    n->peek_want = sizeof(n->peek);
    return 0;
}

void verify_nest_dispose(struct verify_nest *n)
{
    xc_sr_verifier_free(n->libxc);
    libxl_postcopy__frames_dispose(&n->frames);
}

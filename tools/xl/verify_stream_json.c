/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream_json.c: what xen-verify-stream says to programs, and whether
 * a domain's configuration is JSON at all.  The only file of the validator
 * that knows yajl.
 */
#include "verify_stream.h"

#include <errno.h>
#include <string.h>

#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

int verify_json_check(const char *text, size_t len, char *why, size_t cap)
{
    yajl_handle parser = yajl_alloc(NULL, NULL, NULL);
    const unsigned char *p = (const unsigned char *)text;
    unsigned char *message;
    yajl_status status;
    int rc = 0;

    if ( !parser )
        return -ENOMEM;
    status = yajl_parse(parser, p, len);
    if ( status == yajl_status_ok )
        status = yajl_complete_parse(parser);
    if ( status != yajl_status_ok )
    {
        message = yajl_get_error(parser, 0, p, len);
        snprintf(why, cap, "not JSON: %s",
                 message ? (const char *)message : "unknown error");
        why[strcspn(why, "\n")] = '\0';
        yajl_free_error(parser, message);
        rc = -EPROTO;
    }
    yajl_free(parser);
    return rc;
}

static void put_text(yajl_gen gen, const char *text)
{
    yajl_gen_string(gen, (const unsigned char *)text, strlen(text));
}

static void put_number(yajl_gen gen, const char *key, uint64_t value)
{
    put_text(gen, key);
    yajl_gen_integer(gen, (long long)value);
}

static void put_pair(yajl_gen gen, const char *key, const char *value)
{
    put_text(gen, key);
    put_text(gen, value);
}

static void put_bool(yajl_gen gen, const char *key, bool value)
{
    put_text(gen, key);
    yajl_gen_bool(gen, value);
}

static void put_counts(yajl_gen gen, const char *key,
                       const struct xc_sr_verify_count *counts, unsigned int nr)
{
    put_text(gen, key);
    yajl_gen_map_open(gen);
    for ( unsigned int i = 0; i < nr; i++ )
        if ( counts[i].count )
            put_number(gen, counts[i].name, counts[i].count);
    yajl_gen_map_close(gen);
}

static void put_fault(yajl_gen gen, const struct xc_sr_verify_fault *fault)
{
    put_text(gen, "fault");
    if ( !fault->error )
    {
        yajl_gen_null(gen);
        return;
    }
    yajl_gen_map_open(gen);
    put_number(gen, "offset", fault->offset);
    put_number(gen, "record", fault->record);
    put_pair(gen, "type", fault->type);
    put_pair(gen, "field", fault->field);
    put_pair(gen, "why", fault->why);
    yajl_gen_map_close(gen);
}

static void put_libxc(yajl_gen gen, const struct xc_sr_verify_report *report)
{
    put_text(gen, "guest_type");
    if ( report->guest_type )
        put_text(gen, report->guest_type == 1 ? "PV" : "HVM");
    else
        yajl_gen_null(gen);
    put_text(gen, "xen_version");
    yajl_gen_array_open(gen);
    yajl_gen_integer(gen, report->xen_major);
    yajl_gen_integer(gen, report->xen_minor);
    yajl_gen_array_close(gen);
    put_counts(gen, "records", report->by_record, report->nr_record_types);
    put_counts(gen, "pages", report->by_page_type, XC_SR_VERIFY_PAGE_TYPES);
    put_number(gen, "zero_pages", report->zero_pages);
    put_number(gen, "nr_pfns", report->nr_pfns);
    put_bool(gen, "postcopy", report->postcopy);
    put_bool(gen, "aborted", report->aborted);
    put_number(gen, "announced_pages", report->announced_pages);
    put_number(gen, "missing_pages", report->missing_pages);
    put_number(gen, "untracked_pages", report->untracked_pages);
}

static void put_libxl(yajl_gen gen, const struct libxl_postcopy__frames *f)
{
    put_text(gen, "libxl_records");
    yajl_gen_map_open(gen);
    for ( uint32_t i = 0; i < LIBXL_PC_FRAME_COUNT; i++ )
        if ( f->by_type[i] )
            put_number(gen, libxl_postcopy__frame_name(i), f->by_type[i]);
    yajl_gen_map_close(gen);
}

int verify_json_report(const struct verify_nest *n, const char *name, FILE *out)
{
    struct xc_sr_verify_report report = { .version = 0 };
    const unsigned char *text;
    yajl_gen gen = yajl_gen_alloc(NULL);
    size_t len;
    int rc = 0;

    if ( !gen )
        return -ENOMEM;
    /* A file's name may be any octets, JSON may not. */
    yajl_gen_config(gen, yajl_gen_validate_utf8, 0);
    yajl_gen_config(gen, yajl_gen_beautify, 1);
    if ( n->libxc )
        xc_sr_verifier_report(n->libxc, &report);

    yajl_gen_map_open(gen);
    put_pair(gen, "name", name);
    put_bool(gen, "valid", !n->fault.error);
    put_pair(gen, "format", verify_format_name(n->format));
    put_pair(gen, "direction", n->options.back ? "back" : "forward");
    put_text(gen, "versions");
    yajl_gen_map_open(gen);
    if ( n->format == VERIFY_XL || n->format == VERIFY_LIBXL )
        put_number(gen, "libxl", 2);
    if ( report.version )
        put_number(gen, "libxc", report.version);
    yajl_gen_map_close(gen);
    put_number(gen, "bytes", n->offset);
    put_libxc(gen, &report);
    put_libxl(gen, &n->frames);
    put_number(gen, "unknown_records", report.unknown + n->frames.nr_unknown);
    put_fault(gen, &n->fault);
    yajl_gen_map_close(gen);

    if ( yajl_gen_get_buf(gen, &text, &len) != yajl_gen_status_ok )
        rc = -ENOMEM;
    else if ( fwrite(text, 1, len, out) != len )
        rc = -EIO;
    yajl_gen_free(gen);
    return rc;
}

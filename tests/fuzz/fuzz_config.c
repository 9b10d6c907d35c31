/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fuzz_config.c: what a sender says of its guest before any memory: xl's
 * header with a configuration, read as the receiver on Xen reads it, with the
 * libxl that is installed.
 *
 * The first octet chooses: the header whole, or a configuration alone.  What
 * is taken has a proper name, must survive being written and read once more,
 * and is either one that can be paged or is refused with a reason.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "libxl_postcopy.h"
#include "xl_xen.h"

#include <xenctrl.h>
#include <xenstore.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed);

#define MUST(cond)                                                             \
    do                                                                         \
    {                                                                          \
        if ( !(cond) )                                                         \
            abort();                                                           \
    } while ( 0 )

static libxl_ctx *ctx;
static int nobody;

/* ---- libxl wants a host beneath it; of this one nothing is asked ---------------- */

xc_interface *xc_interface_open(xentoollog_logger *logger,
                                xentoollog_logger *dombuild_logger,
                                unsigned int open_flags)
{
    (void)logger;
    (void)dombuild_logger;
    (void)open_flags;
    return (xc_interface *)&nobody;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&nobody;
}

void xs_close(struct xs_handle *xsh)
{
    (void)xsh;
}

/* Complaints are not of interest. */
void xl_error(const char *fmt, ...)
{
    (void)fmt;
}

static void drop(struct xentoollog_logger *logger, xentoollog_level level,
                 int errnoval, const char *context, const char *format,
                 va_list al)
{
    (void)logger;
    (void)level;
    (void)errnoval;
    (void)context;
    (void)format;
    (void)al;
}

/* ---- Golden starts -------------------------------------------------------------------- */

static const char pvh[] =
    "{\"c_info\":{\"type\":\"pvh\",\"name\":\"web\",\"uuid\":"
    "\"00112233-4455-6677-8899-aabbccddeeff\"},\"b_info\":{\"max_vcpus\":2,"
    "\"avail_vcpus\":[0,1],\"max_memkb\":262144,\"target_memkb\":262144,"
    "\"kernel\":\"/boot/vmlinuz\",\"cmdline\":\"console=hvc0\","
    "\"type.pvh\":{}},\"disks\":[{\"pdev_path\":\"/dev/vg/web\",\"vdev\":"
    "\"xvda\",\"format\":\"raw\",\"readwrite\":1}],\"on_reboot\":\"restart\"}";
static const char hvm[] =
    "{\"c_info\":{\"type\":\"hvm\",\"name\":\"win\"},\"b_info\":{"
    "\"device_model_version\":\"qemu_xen\",\"nested_hvm\":\"True\","
    "\"type.hvm\":{\"altp2m\":\"False\",\"bios\":\"seabios\"}},\"pcidevs\":["
    "{\"func\":0,\"dev\":2,\"bus\":3,\"domain\":0}],\"nics\":[{\"devid\":0,"
    "\"mac\":\"00:16:3e:00:00:01\"}]}";
static const char pv[] = "{\"c_info\":{\"type\":\"pv\",\"name\":\"old\"},"
                         "\"b_info\":{\"type.pv\":{}}}";

static const char *const golden[] = { pvh, hvm, pv };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct xentoollog_logger logger = { .vmessage = drop };

    (void)argc;
    (void)argv;
    MUST(libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger) == 0);
    /* One that is refused would start nothing. */
    for ( size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++ )
    {
        libxl_domain_config config;

        libxl_domain_config_init(&config);
        MUST(!xl_xen_config_parse(ctx, golden[i], strlen(golden[i]), &config));
        libxl_domain_config_dispose(&config);
    }
    return 0;
}

/* ---- Reading ------------------------------------------------------------------------ */

static void write_and_read_again(libxl_domain_config *config)
{
    char *json = libxl_domain_config_to_json(ctx, config);
    libxl_domain_config again;

    MUST(json);
    libxl_domain_config_init(&again);
    MUST(xl_xen_config_parse(ctx, json, strlen(json), &again) == 0);
    MUST(!strcmp(config->c_info.name, again.c_info.name));
    libxl_domain_config_dispose(&again);
    free(json);
}

static void read_config(const char *json, size_t len)
{
    libxl_domain_config config;
    char why[200] = "";
    uint32_t reason = 0;

    libxl_domain_config_init(&config);
    if ( xl_xen_config_parse(ctx, json, len, &config) == 0 )
    {
        MUST(config.c_info.name && config.c_info.name[0]);
        MUST(!strchr(config.c_info.name, '/'));
        if ( libxl_postcopy_config_check(&config, &reason, why, sizeof(why)) )
            MUST(reason && why[0]);
        write_and_read_again(&config);
    }
    libxl_domain_config_dispose(&config);
}

/* As much at a time as is wanted, and never more. */
static void read_header(const uint8_t *data, size_t size)
{
    struct libxl_postcopy__frames frames;
    enum libxl_postcopy__frame_event ev = LIBXL_PC_EV_MORE;
    size_t at = 0;
    int rc = 0;

    libxl_postcopy__frames_init(&frames, LIBXL_PC_START_XL);
    while ( !rc && ev != LIBXL_PC_EV_XL_HEADER )
    {
        size_t want = libxl_postcopy__frames_want(&frames), used = 0;

        MUST(want);
        if ( want > 4096 )
            want = 4096;
        if ( want > size - at )
            break;
        rc = libxl_postcopy__frames_feed(&frames, data + at, want, &used, &ev);
        MUST(rc || used == want || ev != LIBXL_PC_EV_MORE);
        at += used;
    }
    MUST(!rc || frames.fault.why[0]);
    if ( !rc && ev == LIBXL_PC_EV_XL_HEADER )
        read_config(frames.xl.config, frames.xl.config_len);
    libxl_postcopy__frames_dispose(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *json;

    if ( !size )
        return 0;
    if ( data[0] & 1 )
    {
        read_header(data + 1, size - 1);
        return 0;
    }
    json = malloc(size);
    MUST(json);
    memcpy(json, data + 1, size - 1);
    json[size - 1] = '\0';
    if ( strlen(json) == size - 1 ) /* the frames' reader sees to that */
        read_config(json, size - 1);
    free(json);
    return 0;
}

/* ---- Mutations ------------------------------------------------------------------------ */

static size_t start_anew(uint8_t *data, size_t max_size, unsigned int seed)
{
    const char *json = golden[(seed >> 1) % 3];
    struct libxl_postcopy__buf b = { 0 };
    size_t len = strlen(json);

    data[0] = seed & 1;
    if ( data[0] )
        libxl_postcopy__put_xl_header(&b, json, len);
    if ( data[0] )
        len = b.len;
    if ( len >= max_size )
        len = max_size - 1;
    memcpy(data + 1, data[0] ? (const void *)b.data : json, len);
    libxl_postcopy__buf_dispose(&b);
    return len + 1;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed)
{
    if ( seed % 32 || max_size < 2048 )
        return LLVMFuzzerMutate(data, size, max_size);
    return start_anew(data, max_size, seed >> 5);
}

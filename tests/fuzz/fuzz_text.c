/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fuzz_text.c: what is read besides streams: a guest's configuration as it
 * travels in the xl header, the record of ownership on disk, and what a save
 * helper and libxl say to each other.
 *
 * The first octet chooses.  What is accepted must survive being written and
 * read once more; what is not must leave the result alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper_msgs.h"
#include "xl_config.h"
#include "xl_journal.h"

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

static char dir[] = "/tmp/fuzz-text.XXXXXX";
static char file[64];

static void clean_up(void)
{
    unlink(file);
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    MUST(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/g.migration", dir);
    atexit(clean_up);
    return 0;
}

/* ---- A guest's configuration ---------------------------------------------------- */

static void read_config(const uint8_t *data, size_t size)
{
    struct xc_sr_local_config config, again;
    char why[200] = "", *text = NULL;
    size_t len = 0;
    int rc;

    memset(&config, 0, sizeof(config));
    memset(&again, 0, sizeof(again));
    rc = xl_config_from_json((const char *)data, size, &config, why,
                             sizeof(why));
    MUST(memchr(why, '\0', sizeof(why)));
    if ( rc )
    {
        MUST(rc == -EINVAL || rc == -ENOMEM);
        MUST(why[0] && !strchr(why, '\n'));
        return;
    }
    MUST(xl_name_is_valid(config.name));
    MUST(xl_config_to_json(&config, &text, &len) == 0);
    MUST(xl_config_from_json(text, len, &again, why, sizeof(why)) == 0);
    MUST(!strcmp(config.name, again.name) &&
         config.memory_kib == again.memory_kib && config.seed == again.seed &&
         config.workload == again.workload && config.vcpus == again.vcpus);
    free(text);
}

/* ---- The record on disk ------------------------------------------------------------ */

static void read_record(const uint8_t *data, size_t size)
{
    struct xl_journal_record record;
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc;

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    rc = xl_journal_read(dir, "g", &record);
    MUST(rc <= 0);
    if ( !rc )
    {
        MUST(record.owner <= XC_SR_OWNER_LOST);
        (void)xl_journal_is_settled(&record);
    }
}

/* ---- Helper and libxl ----------------------------------------------------------------- */

static void read_messages(const uint8_t *data, size_t size)
{
    static uint8_t buf[LIBXL_PC_MSG_PREFIX + LIBXL_PC_MSG_MAX];
    struct libxl_postcopy__message msg, again;
    size_t at = 0, used = 1, len = 0;

    while ( used )
    {
        used = 0;
        memset(&msg, 0, sizeof(msg));
        memset(&again, 0, sizeof(again));
        if ( libxl_postcopy__msg_decode(data + at, size - at, &msg, &used) )
            return;
        MUST(used <= size - at);
        if ( !used )
            return;
        MUST(libxl_postcopy__msg_name(msg.number));
        MUST(libxl_postcopy__msg_encode(&msg, buf, sizeof(buf), &len) == 0);
        MUST(len == used && !memcmp(buf, data + at, len));
        MUST(libxl_postcopy__msg_decode(buf, len, &again, &len) == 0);
        MUST(again.number == msg.number &&
             !memcmp(again.values, msg.values, sizeof(msg.values)));
        at += used;
    }
}

/* Arguments, each ended by a NUL, as the shim hands them on. */
static void read_arguments(const uint8_t *data, size_t size)
{
    struct libxl_postcopy__helper_args args;
    char text[1024], *argv[17];
    int argc = 0, rc;

    if ( size >= sizeof(text) )
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    for ( size_t at = 0; at < size && argc < 16; at += strlen(text + at) + 1 )
        argv[argc++] = text + at;
    argv[argc] = NULL;
    memset(&args, 0x5a, sizeof(args));
    rc = libxl_postcopy__helper_args_parse(argc, argv, &args);
    MUST(rc == 0 || rc == -EINVAL);
    if ( rc )
        MUST(args.domid == 0x5a5a5a5a); /* untouched */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if ( !size )
        return 0;
    switch ( data[0] & 3 )
    {
    case 0:
        read_config(data + 1, size - 1);
        break;
    case 1:
        read_record(data + 1, size - 1);
        break;
    case 2:
        read_messages(data + 1, size - 1);
        break;
    default:
        read_arguments(data + 1, size - 1);
        break;
    }
    return 0;
}

/* ---- Golden starts ---------------------------------------------------------------------- */

static size_t golden_messages(uint8_t *out, size_t cap)
{
    size_t at = 0, len = 0;

    for ( unsigned int n = 1; n < LIBXL_PC_MSG_COUNT; n++ )
    {
        struct libxl_postcopy__message msg = {
            .number = (enum libxl_postcopy__msg)n,
            .values = { n, 2, 1, 3 },
            .strings = { "save", "a line" },
        };

        if ( !libxl_postcopy__msg_encode(&msg, out + at, cap - at, &len) )
            at += len;
    }
    return at;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed)
{
    static const char config[] =
        "{\"local_guest\":{\"name\":\"g\",\"memory_kib\":65536,\"vcpus\":2,"
        "\"workload\":\"random\",\"rate_ops_per_s\":0,\"working_set_kib\":0,"
        "\"populate_percent\":100,\"seed\":1,\"suspend_delay_us\":1000}}";
    static const char record[] =
        "{\"side\":\"source\",\"owner\":\"committed\",\"session\":"
        "\"000102030405060708090a0b0c0d0e0f\",\"epoch\":3,\"pid\":17,"
        "\"name\":\"g\",\"domid\":4}\n";
    static const char save[] = "helper\0--save-domain\0"
                               "8\0"
                               "9\0"
                               "4\0"
                               "3\0"
                               "136\0"
                               "0";

    if ( seed % 64 || max_size < 4096 )
        return LLVMFuzzerMutate(data, size, max_size);
    data[0] = seed >> 6 & 3;
    switch ( data[0] )
    {
    case 0:
        memcpy(data + 1, config, sizeof(config) - 1);
        return sizeof(config);
    case 1:
        memcpy(data + 1, record, sizeof(record) - 1);
        return sizeof(record);
    case 2:
        return 1 + golden_messages(data + 1, max_size - 1);
    default:
        memcpy(data + 1, save, sizeof(save));
        return 1 + sizeof(save);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fuzz_frames.c: libFuzzer target: any octets, through xl, libxl and libxc.
 *
 * The first octet picks direction and format and how the rest is cut in
 * pieces.  Fed once in one piece and once in many, skipping what may be
 * skipped: both must say the same.  Seeds: make_vectors, each with an octet
 * put in front (tests/run-fuzz needs none, the nest finds its way).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vectors/vectors.h"
#include "verify_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static struct vector *seeds[64];
static unsigned int nr_seeds;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char max_len[] = "-max_len=30000"; /* the longest golden stream */
    static char *args[64];
    int n = *argc;

    if ( n > 0 && n < 60 )
    {
        memcpy(args, *argv, (size_t)n * sizeof(args[0]));
        memmove(args + 2, args + 1, (size_t)(n - 1) * sizeof(args[0]));
        args[1] = max_len;
        *argv = args;
        *argc = n + 1;
    }
    while ( nr_seeds < 64 && (seeds[nr_seeds] = vec_build(nr_seeds)) )
        nr_seeds++;
    return 0;
}

/*
 * Streams are mostly page contents, which say nothing: now and then start
 * anew from a golden stream, and mutate its fields rather than its pages.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed)
{
    const struct vector *v = seeds[seed % nr_seeds];
    size_t at;

    if ( seed % 7 == 0 && v->len + 1 <= max_size )
    {
        data[0] = (uint8_t)(v->back ? 0x80 : 0) | (uint8_t)(seed >> 8 & 0x1c);
        memcpy(data + 1, v->data, v->len);
        size = v->len + 1;
        at = 1 + v->marks[(seed >> 4) % v->nr_marks].offset;
        LLVMFuzzerMutate(data + at, 8 < size - at ? 8 : size - at,
                         8 < size - at ? 8 : size - at);
        return size;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}

static void drop_line(void *ctx, const char *line)
{
    *(size_t *)ctx += strlen(line);
}

static int judge(const uint8_t *data, size_t size, size_t piece, bool skip,
                 struct xc_sr_verify_fault *fault_r)
{
    size_t octets = 0, at = 1;
    struct verify_options options = {
        .format = (enum verify_format)(data[0] & 3),
        .back = data[0] & 0x80,
        .partial = data[0] & 0x40,
        .version = data[0] & 0x80 && data[0] & 0x20 ? 2 : 0,
        .line = drop_line,
        .ctx = &octets,
    };
    struct verify_nest nest;
    int rc = verify_nest_init(&nest, &options);

    while ( !rc && at < size )
    {
        uint64_t may = skip ? verify_nest_skippable(&nest) : 0;
        size_t n = size - at;

        if ( may )
        {
            n = n < may ? n : (size_t)may;
            rc = verify_nest_skip(&nest, n);
        }
        else
        {
            n = n < piece ? n : piece;
            rc = verify_nest_feed(&nest, data + at, n);
        }
        at += n;
    }
    if ( !rc )
        rc = verify_nest_eof(&nest);
    *fault_r = nest.fault;
    verify_nest_dispose(&nest);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xc_sr_verify_fault one, many;
    size_t piece;

    if ( !size )
        return 0;
    memset(&one, 0, sizeof(one));
    memset(&many, 0, sizeof(many));
    piece = 1 + (data[0] >> 2 & 7) * 5;
    if ( judge(data, size, size, false, &one) !=
         judge(data, size, piece, true, &many) )
        abort();
    if ( memcmp(&one, &many, sizeof(one)) )
        abort();
    return 0;
}

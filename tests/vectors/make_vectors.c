/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * make_vectors.c: writes the golden streams into a directory, or one large
 * stock stream for tests/bench/verify-bench.  The output is the same octet by
 * octet on every machine; tests/vectors/SHA256SUMS holds the sums.
 *
 *     make_vectors DIR            every vector, as DIR/<name>
 *     make_vectors --big MIB FILE a version 3 HVM stream with MIB of pages
 */
#include "vectors_build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1024u /* pages in a record of stock Xen */

static int save(const char *path, const uint8_t *data, size_t len)
{
    FILE *f = fopen(path, "wbe");
    int rc = 0;

    if ( !f || fwrite(data, 1, len, f) != len )
        rc = -EIO;
    if ( f && fclose(f) )
        rc = -EIO;
    if ( rc )
        fprintf(stderr, "make_vectors: %s: cannot write\n", path);
    return rc;
}

static int save_all(const char *dir)
{
    int rc = 0;

    for ( unsigned int i = 0; !rc && i < vec_count(); i++ )
    {
        struct vector *v = vec_build(i);
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", dir, v->name);
        rc = save(path, v->data, v->len);
        vec_free(v);
    }
    return rc;
}

static void set_le(uint8_t *p, uint64_t value, size_t len)
{
    for ( size_t i = 0; i < len; i++ )
        p[i] = (uint8_t)(value >> (8 * i));
}

/* The small stock stream, its memory replaced by that of a large guest. */
static int save_big(uint64_t mib, const char *path)
{
    static uint8_t record[16 + BATCH * (8 + 4096)];
    struct vector *v = NULL;
    size_t from = 0, to = 0;
    FILE *f = fopen(path, "wbe");
    bool ok = f != NULL;

    for ( unsigned int i = 0; i < vec_count(); i++ )
    {
        v = vec_build(i);
        if ( !strcmp(v->name, "stock3-hvm") )
            break;
        vec_free(v);
    }
    for ( size_t i = 0; i < v->nr_spans; i++ )
    {
        if ( strcmp(v->spans[i].type, "PAGE_DATA") )
            continue;
        from = from ? from : v->spans[i].offset;
        to = v->spans[i].end;
    }
    ok = ok && fwrite(v->data, 1, from, f) == from;

    set_le(record, 1, 4);
    set_le(record + 4, sizeof(record) - 8, 4);
    set_le(record + 8, BATCH, 4);
    for ( size_t i = 0; i < BATCH; i++ )
        vec_page(i, record + 16 + BATCH * 8 + i * 4096);
    for ( uint64_t pfn = 0; ok && pfn < mib * 256; pfn += BATCH )
    {
        for ( size_t i = 0; i < BATCH; i++ )
            set_le(record + 16 + i * 8, pfn + i, 8);
        ok = fwrite(record, 1, sizeof(record), f) == sizeof(record);
    }
    ok = ok && fwrite(v->data + to, 1, v->len - to, f) == v->len - to;
    if ( f && fclose(f) )
        ok = false;
    if ( !ok )
        fprintf(stderr, "make_vectors: %s: cannot write\n", path);
    vec_free(v);
    return ok ? 0 : -EIO;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    uint64_t mib;

    if ( argc == 2 && argv[1][0] != '-' )
        return save_all(argv[1]) ? 1 : 0;
    if ( argc == 4 && !strcmp(argv[1], "--big") )
    {
        mib = strtoull(argv[2], &end, 10);
        if ( *argv[2] && !*end && mib >= 4 && mib % 4 == 0 && mib <= 1u << 20 )
            return save_big(mib, argv[3]) ? 1 : 0;
    }
    fputs("usage: make_vectors DIR | make_vectors --big MIB FILE\n"
          "MIB: a multiple of 4, at most 1048576\n",
          stderr);
    return 2;
}

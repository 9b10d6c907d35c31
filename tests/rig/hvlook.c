/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hvlook.c: a program in the rig's dom0 that looks at memory of a guest, as a
 * debugger or a back end would: by a foreign mapping, with nothing of ours in
 * between.  A page that is missing there is asked for by Xen, on its behalf.
 *
 *   hvlook DOMID NR    finds pages that the guest's load has written
 *                      (guest_load.c) among the first NR: prints a line
 *                      "PFN WORD" of each, WORD what it starts with
 *   hvlook DOMID       does that of the pages whose lines it reads, and prints
 *                      only those that are the load's still
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenforeignmemory.h>

#define PAGE  4096
#define WORDS (PAGE / sizeof(uint64_t))
#define STEP  0x100000001b3ULL /* from word to word, in guest_load.c */
#define BATCH 256

static xenforeignmemory_handle *fmem;
static uint32_t domid;

static bool is_loads(const uint64_t *words)
{
    for ( unsigned int i = 1; i < WORDS; i++ )
        if ( words[i] != words[0] + i * STEP )
            return false;
    return true;
}

/* Pages that are no memory at all are passed over. */
static int look(const xen_pfn_t *pfns, unsigned int nr)
{
    int errs[BATCH];
    const uint8_t *pages =
        xenforeignmemory_map(fmem, domid, PROT_READ, nr, pfns, errs);

    if ( !pages )
    {
        fprintf(stderr, "hvlook: pages from %#lx on: %s\n",
                (unsigned long)pfns[0], strerror(errno));
        return -errno;
    }
    for ( unsigned int i = 0; i < nr; i++ )
    {
        const uint64_t *words = (const void *)(pages + (size_t)i * PAGE);

        if ( !errs[i] && is_loads(words) )
            printf("%#lx %#lx\n", (unsigned long)pfns[i],
                   (unsigned long)words[0]);
    }
    xenforeignmemory_unmap(fmem, (void *)(uintptr_t)pages, nr);
    return 0;
}

static int look_at_first(unsigned long nr)
{
    xen_pfn_t pfns[BATCH];
    unsigned int n = 0;
    int rc = 0;

    for ( unsigned long pfn = 0; !rc && pfn < nr; pfn++ )
    {
        pfns[n++] = pfn;
        if ( n < BATCH && pfn + 1 < nr )
            continue;
        rc = look(pfns, n);
        n = 0;
    }
    return rc;
}

static int look_at_lines(void)
{
    xen_pfn_t pfns[BATCH];
    unsigned int n = 0;
    char line[80];
    int rc = 0;

    while ( !rc && fgets(line, sizeof(line), stdin) )
    {
        pfns[n++] = strtoul(line, NULL, 0);
        if ( n < BATCH )
            continue;
        rc = look(pfns, n);
        n = 0;
    }
    return rc || !n ? rc : look(pfns, n);
}

int main(int argc, char **argv)
{
    int rc;

    if ( argc < 2 || argc > 3 )
    {
        fprintf(stderr, "usage: hvlook DOMID [NR]\n");
        return 2;
    }
    domid = (uint32_t)strtoul(argv[1], NULL, 10);
    fmem = xenforeignmemory_open(NULL, 0);
    if ( !fmem )
    {
        perror("hvlook: xenforeignmemory_open");
        return 1;
    }
    rc = argc == 3 ? look_at_first(strtoul(argv[2], NULL, 0)) : look_at_lines();
    xenforeignmemory_close(fmem);
    return rc ? 1 : 0;
}

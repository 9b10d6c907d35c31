/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * map.c: from the memory map of the start info to the pool.  main.c calls
 * map_init() once; work.c uses the pool.  Page tables for what lies above
 * 4 GiB and the table of versions are taken from the pool's first pages.
 */
#include <stddef.h>

#include "map.h"
#include "xen.h"

#include <xen/arch-x86/hvm/start_info.h>

#define MAX_REGIONS      8
#define ENTRIES          512u
#define LARGE_PAGE_SHIFT 21
#define GIB_SHIFT        30
#define MAPPED_GIB       4u /* by start.S */
#define TABLE_FLAGS      0x7u
#define LARGE_FLAGS      0xe7u

struct region
{
    uint32_t pfn, nr;
};

extern uint64_t page_map_gib[];
extern uint8_t image_start[], image_end[];

static struct region regions[MAX_REGIONS];
static unsigned int nr_regions;
static uint32_t nr_pages;

uint32_t *map_versions;

static void add_region(uint64_t from, uint64_t to, uint64_t max_pages)
{
    uint64_t room = max_pages - nr_pages;

    if ( from >= to || room == 0 || nr_regions == MAX_REGIONS ||
         to > UINT32_MAX )
        return;
    if ( to - from > room )
        to = from + room;
    regions[nr_regions].pfn = (uint32_t)from;
    regions[nr_regions++].nr = (uint32_t)(to - from);
    nr_pages += (uint32_t)(to - from);
}

/* RAM in whole pages, without page 0 and the image. */
static void add_ram(uint64_t addr, uint64_t size, uint64_t max_pages)
{
    uint64_t from = (addr + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t to = (addr + size) / PAGE_SIZE;
    uint64_t hole = (uint64_t)image_start / PAGE_SIZE;
    uint64_t hole_end = (uint64_t)image_end / PAGE_SIZE;

    if ( from == 0 )
        from = 1;
    if ( to <= hole || from >= hole_end )
    {
        add_region(from, to, max_pages);
        return;
    }
    add_region(from, hole, max_pages);
    add_region(hole_end, to, max_pages);
}

/* Off the front of the first region that has so many. */
static void *carve(uint32_t nr)
{
    unsigned int i;

    for ( i = 0; i < nr_regions; i++ )
        if ( regions[i].nr > nr )
        {
            uint64_t pfn = regions[i].pfn;

            regions[i].pfn += nr;
            regions[i].nr -= nr;
            nr_pages -= nr;
            return (void *)(pfn * PAGE_SIZE);
        }
    xen_die("there is too little memory", 0);
}

static void map_gib(uint64_t gib)
{
    uint64_t *table, i;

    if ( gib < MAPPED_GIB || gib >= ENTRIES || page_map_gib[gib] )
        return;
    table = carve(1);
    for ( i = 0; i < ENTRIES; i++ )
        table[i] = (gib << GIB_SHIFT) + (i << LARGE_PAGE_SHIFT) + LARGE_FLAGS;
    page_map_gib[gib] = (uint64_t)table | TABLE_FLAGS;
}

static void map_high(void)
{
    uint64_t pages_per_gib = (1u << GIB_SHIFT) / PAGE_SIZE, gib;
    unsigned int i;

    for ( i = 0; i < nr_regions; i++ )
        for ( gib = regions[i].pfn / pages_per_gib;
              gib * pages_per_gib < (uint64_t)regions[i].pfn + regions[i].nr;
              gib++ )
            map_gib(gib);
}

void map_init(const struct hvm_start_info *info, uint64_t max_mib)
{
    uint64_t max_pages = max_mib ? max_mib << 8 : UINT32_MAX;
    const struct hvm_memmap_table_entry *entries;
    uint32_t table_pages, i;

    if ( info->version < 1 || info->memmap_entries == 0 )
        xen_die("the start info has no memory map", 0);
    entries = (const void *)info->memmap_paddr;
    for ( i = 0; i < info->memmap_entries; i++ )
        if ( entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM )
            add_ram(entries[i].addr, entries[i].size, max_pages);
    if ( nr_pages < 64 )
        xen_die("there is too little memory", 0);
    map_high();
    table_pages =
        (uint32_t)(((uint64_t)nr_pages * sizeof(uint32_t) + PAGE_SIZE - 1) /
                   PAGE_SIZE);
    map_versions = carve(table_pages);
    for ( i = 0; i < nr_pages; i++ )
        map_versions[i] = 0;
}

uint32_t map_nr_pages(void)
{
    return nr_pages;
}

uint32_t map_pfn(uint32_t index)
{
    unsigned int i;

    for ( i = 0; i < nr_regions; i++ )
    {
        if ( index < regions[i].nr )
            return regions[i].pfn + index;
        index -= regions[i].nr;
    }
    xen_die("a page that is not in the pool", 0);
}

uint64_t *map_page(uint32_t index)
{
    return (uint64_t *)((uint64_t)map_pfn(index) * PAGE_SIZE);
}

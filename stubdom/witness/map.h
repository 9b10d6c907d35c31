/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * map.h: the guest's memory.  All RAM but the image itself, and a few tables,
 * is the pool: pages 0 to map_nr_pages() - 1, wherever they are.  All memory
 * is mapped one to one, so an address is a physical address.
 */
#ifndef WITNESS_MAP_H
#define WITNESS_MAP_H

#include <stdint.h>

struct hvm_start_info;

/* Before the pool is written to: the start info lies somewhere in it. */
void map_init(const struct hvm_start_info *info, uint64_t max_mib);

uint32_t map_nr_pages(void);
uint32_t map_pfn(uint32_t index);
uint64_t *map_page(uint32_t index);

/* How often each page was written: the truth about it, kept elsewhere. */
extern uint32_t *map_versions;

#endif

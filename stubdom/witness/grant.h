/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * grant.h: the grant table, used as a real guest's: pages are granted, and Xen
 * copies from a granted page.  Granted to this domain itself, so that nobody
 * else has to take part.
 */
#ifndef WITNESS_GRANT_H
#define WITNESS_GRANT_H

#include <stdint.h>

/* Maps the table; all grants are gone.  At start and after a resume. */
void grant_init(void);

/*
 * Grants page `from`, has Xen copy it into page `to`, takes the grant back.
 * GNTST_*: GNTST_eagain says that one of the pages is missing.
 */
int grant_copy(uint32_t from_pfn, uint32_t to_pfn);

#endif

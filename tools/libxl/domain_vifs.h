/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_vifs.h: what the network front ends of a guest with pages missing are
 * told; used by the receiver, and by whoever takes a dead receiver's place.
 */
#ifndef LIBXL_POSTCOPY_DOMAIN_VIFS_H
#define LIBXL_POSTCOPY_DOMAIN_VIFS_H

#include <stdint.h>

#include <libxl.h>

/* Before a guest runs with pages missing: its front ends of network cards
 * copy what they send. */
int libxl_postcopy__vifs_distrust(libxl_ctx *ctx, uint32_t domid);

/* It has all of them: those that were told so need not, when they connect
 * next. */
int libxl_postcopy__vifs_trust(uint32_t domid);

#endif /* LIBXL_POSTCOPY_DOMAIN_VIFS_H */

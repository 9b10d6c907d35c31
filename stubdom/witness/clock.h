/* SPDX-License-Identifier: LGPL-2.1-only */
/* clock.h: the two clocks a guest has from Xen, read by the vCPU that runs. */
#ifndef WITNESS_CLOCK_H
#define WITNESS_CLOCK_H

#include <stdint.h>

#include <xen/xen.h>

/* Since this host's Xen started: timers count by it; jumps at a migration. */
uint64_t clock_system_ns(void);

/* Since 1970, as this host has it: goes on over a migration. */
uint64_t clock_wall_ns(void);

/* A version of the first kind in any such structure. */
uint64_t clock_read_ns(const volatile struct vcpu_time_info *time);

#endif

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hook.h: what the guest has told Xen about itself, and has to tell it again
 * when it was resumed in a new domain: shared info, vcpu_info, runstate and
 * time areas, the callback, event channels, the grant table.
 */
#ifndef WITNESS_HOOK_H
#define WITNESS_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>

#define HOOK_VECTOR 0xf3 /* any above the exceptions */

struct cpu;

extern struct shared_info *const hook_shared;
extern uint64_t hook_generation; /* how often the domain was hooked */

/* Everything that is the domain's; by the first vCPU, the others stopped. */
void hook_domain(void);

/* What is one vCPU's, by that vCPU; comes back with interrupts off. */
void hook_cpu(struct cpu *cpu);

/* The event channels of a vCPU that is about to be started. */
void hook_ports_of(unsigned int nr);

void hook_notify(uint32_t port);
uint32_t hook_store_port(void);
uint32_t hook_console_port(void);

/* Has Xen updated it since it was registered?  Yes if it was refused. */
bool hook_runstate_is_live(unsigned int nr);
bool hook_time_area_is_live(unsigned int nr);

#endif

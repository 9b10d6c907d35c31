/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * cpu.h: the vCPUs: what each of them has, how it is started, how it waits,
 * how all but the first are brought to a halt for a suspend.  A vCPU finds its
 * own struct through %gs; nobody writes into another one's but where it says.
 */
#ifndef WITNESS_CPU_H
#define WITNESS_CPU_H

#define CPU_MAX        16
#define CPU_STACK_SIZE 8192

#ifndef __ASSEMBLER__

#include "work.h"
#include "xen.h"

struct cpu
{
    struct cpu *self; /* first: %gs:0 */
    unsigned int nr;
    /* Where Xen keeps this vCPU's flags and clock: moves at registration. */
    struct vcpu_info *volatile info;
    uint32_t timer_port, ipi_port;
    volatile bool woken;   /* by the upcall */
    volatile bool up;      /* for the first vCPU to see */
    volatile bool stopped; /* same */
    uint64_t last_tick_ns; /* by the wall clock */
    uint64_t next_tick_ns; /* by the system time */
    struct work work;
} __attribute__((aligned(4096)));

extern struct cpu cpus[CPU_MAX];
extern unsigned int nr_cpus;
extern uint8_t cpu_stacks[CPU_MAX][CPU_STACK_SIZE];

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

/* The first vCPU's own things; then events may come. */
void cpu_first_init(void);

/* All further vCPUs, at most max in all. */
void cpu_start_others(unsigned int max);

/* Blocks until an event or that system time. */
void cpu_wait(uint64_t until_ns);

/* One round of a vCPU's life: its tick, its work, then blocked. */
void cpu_turn(void);

/* The first vCPU alone runs from here to cpu_go_on(). */
void cpu_stop_others(void);
void cpu_go_on(void);
bool cpu_is_stopping(void);

void cpu_further_main(unsigned int nr);

#endif
#endif

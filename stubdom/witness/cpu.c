/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * cpu.c: starting, waiting and stopping vCPUs, and the one interrupt there is,
 * Xen's event upcall.  main.c runs on the first vCPU, cpu_further_main() on
 * the others; both go through cpu_turn().  A vCPU that has nothing to do is
 * halted, also while it waits for another one.
 */
#include <string.h>

#include "args.h"
#include "clock.h"
#include "cpu.h"
#include "hook.h"
#include "main.h"

#include <xen/hvm/hvm_vcpu.h>
#include <xen/vcpu.h>

#define MSR_GS_BASE   0xc0000101u
#define CR0_PE_ET_PG  0x80000011u
#define CR4_PAE       0x20u
#define EFER_LME_LMA  0x500u
#define STOP_POLL_NS  1000000u
#define SELECTOR_CODE 0x08

struct cpu cpus[CPU_MAX];
unsigned int nr_cpus;
uint8_t cpu_stacks[CPU_MAX][CPU_STACK_SIZE] __attribute__((aligned(4096)));

extern uint64_t page_map[];
extern void start_further(void);

static volatile bool stopping;

struct gate
{
    uint16_t offset_low, selector, flags, offset_mid;
    uint32_t offset_high, reserved;
};

static struct gate gates[256] __attribute__((aligned(16)));

struct interrupt_frame;

static void die_of(const char *what)
{
    uint64_t cr2;

    __asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
    xen_die(what, 0);
}

#define TRAP(name, what)                                                       \
    __attribute__((interrupt)) static void name(struct interrupt_frame *f)     \
    {                                                                          \
        (void)f;                                                               \
        die_of(what);                                                          \
    }
#define TRAP_WITH_CODE(name, what)                                             \
    __attribute__((interrupt)) static void name(struct interrupt_frame *f,     \
                                                uint64_t code)                 \
    {                                                                          \
        (void)f;                                                               \
        (void)code;                                                            \
        die_of(what);                                                          \
    }

TRAP(trap_other, "exception")
TRAP(trap_opcode, "invalid opcode")
TRAP_WITH_CODE(trap_double, "double fault")
TRAP_WITH_CODE(trap_protection, "general protection")
TRAP_WITH_CODE(trap_page, "page fault")

/* Only notes that something happened; whoever waits looks at what. */
__attribute__((interrupt)) static void upcall(struct interrupt_frame *f)
{
    struct cpu *cpu = this_cpu();
    struct vcpu_info *info = cpu->info;
    uint64_t groups;

    (void)f;
    info->evtchn_upcall_pending = 0;
    groups =
        __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    for ( ; groups; groups &= groups - 1 )
    {
        unsigned int group = (unsigned int)__builtin_ctzl(groups);
        uint64_t masked = hook_shared->evtchn_mask[group];

        __atomic_and_fetch(&hook_shared->evtchn_pending[group], masked,
                           __ATOMIC_SEQ_CST);
    }
    cpu->woken = true;
}

static void set_gate(unsigned int vector, uint64_t handler)
{
    gates[vector] = (struct gate){
        .offset_low = (uint16_t)handler,
        .selector = SELECTOR_CODE,
        .flags = 0x8e00, /* present, interrupt gate */
        .offset_mid = (uint16_t)(handler >> 16),
        .offset_high = (uint32_t)(handler >> 32),
    };
}

static void init_gates(void)
{
    unsigned int i;

    for ( i = 0; i < 32; i++ )
        set_gate(i, (uint64_t)trap_other);
    set_gate(6, (uint64_t)trap_opcode);
    set_gate(8, (uint64_t)trap_double);
    set_gate(13, (uint64_t)trap_protection);
    set_gate(14, (uint64_t)trap_page);
    set_gate(HOOK_VECTOR, (uint64_t)upcall);
}

static void init_this(unsigned int nr)
{
    struct cpu *cpu = &cpus[nr];
    struct
    {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = { sizeof(gates) - 1, (uint64_t)gates };

    cpu->self = cpu;
    cpu->nr = nr;
    write_msr(MSR_GS_BASE, (uint64_t)cpu);
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void cpu_first_init(void)
{
    init_gates();
    init_this(0);
    nr_cpus = 1;
}

static long start_one(unsigned int nr)
{
    struct vcpu_hvm_context start = {
        .mode = VCPU_HVM_MODE_64B,
        .cpu_regs.x86_64 = {
            .rsp = (uint64_t)cpu_stacks[nr] + CPU_STACK_SIZE,
            .rdi = nr,
            .rip = (uint64_t)start_further,
            .rflags = 2,
            .cr0 = CR0_PE_ET_PG,
            .cr3 = (uint64_t)page_map,
            .cr4 = CR4_PAE,
            .efer = EFER_LME_LMA,
        },
    };
    long rc = hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_initialise, nr, &start);

    return rc ? rc : hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_up, nr, NULL);
}

void cpu_start_others(unsigned int max)
{
    unsigned int nr;

    for ( nr = 1; nr < max; nr++ )
    {
        long rc = hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_is_up, nr, NULL);

        if ( rc < 0 )
            break; /* there are no more */
        hook_ports_of(nr);
        rc = start_one(nr);
        if ( rc )
            xen_die("a vCPU does not start", rc);
        while ( !cpus[nr].up )
            cpu_wait(clock_system_ns() + STOP_POLL_NS);
        nr_cpus++;
    }
}

void cpu_wait(uint64_t until_ns)
{
    struct cpu *cpu = this_cpu();
    struct vcpu_set_singleshot_timer timer = { .timeout_abs_ns = until_ns };
    long rc = hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer,
                         cpu->nr, &timer);

    if ( rc )
        xen_die("no timer", rc);
    irqs_off();
    if ( !cpu->woken )
        __asm__ volatile("sti; hlt" : : : "memory");
    else
        irqs_on();
    cpu->woken = false;
}

void cpu_turn(void)
{
    struct cpu *cpu = this_cpu();
    uint64_t wall_ns = clock_wall_ns(), now_ns = clock_system_ns();
    uint64_t tick_ns = args.tick_ms * 1000000u;

    work_gap(&cpu->work, cpu->last_tick_ns, wall_ns);
    cpu->last_tick_ns = wall_ns;
    if ( cpu->next_tick_ns <= now_ns || cpu->next_tick_ns > now_ns + tick_ns )
    {
        work_tick(&cpu->work, cpu->nr, now_ns);
        cpu->next_tick_ns = now_ns + tick_ns;
    }
    if ( !stopping || cpu->nr == 0 )
        cpu_wait(cpu->next_tick_ns);
}

bool cpu_is_stopping(void)
{
    return stopping;
}

void cpu_stop_others(void)
{
    unsigned int nr;

    stopping = true;
    __sync_synchronize();
    for ( nr = 1; nr < nr_cpus; nr++ )
        hook_notify(cpus[nr].ipi_port);
    for ( nr = 1; nr < nr_cpus; nr++ )
        while ( !cpus[nr].stopped )
            cpu_wait(clock_system_ns() + STOP_POLL_NS);
}

void cpu_go_on(void)
{
    unsigned int nr;

    stopping = false;
    __sync_synchronize();
    for ( nr = 1; nr < nr_cpus; nr++ )
        hook_notify(cpus[nr].ipi_port);
}

/* A timer would not outlive a suspend; the event that ends the stop wakes. */
static void stop_here(struct cpu *cpu)
{
    uint64_t generation = hook_generation;

    cpu->stopped = true;
    while ( stopping )
    {
        irqs_off();
        if ( stopping && !cpu->woken )
            __asm__ volatile("sti; hlt" : : : "memory");
        else
            irqs_on();
        cpu->woken = false;
    }
    if ( hook_generation != generation )
        hook_cpu(cpu);
    irqs_on();
    cpu->stopped = false;
}

void cpu_further_main(unsigned int nr)
{
    struct cpu *cpu = &cpus[nr];

    init_this(nr);
    hook_cpu(cpu);
    irqs_on();
    cpu->last_tick_ns = clock_wall_ns();
    cpu->up = true;
    for ( ;; )
    {
        if ( stopping )
            stop_here(cpu);
        cpu_turn();
    }
}

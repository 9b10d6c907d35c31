/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hook.c: registrations with Xen.  main.c calls it at start, suspend.c after
 * each resume in a new domain.  As in a real guest, what is registered lies in
 * ordinary pages of the guest: a vcpu_info whose page is missing then cannot
 * be registered, which is the end of any guest, and of this one.
 */
#include <stddef.h>

#include "hook.h"
#include "cpu.h"
#include "clock.h"
#include "grant.h"

#include <xen/event_channel.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/vcpu.h>

static uint8_t shared_page[PAGE_SIZE] __attribute__((aligned(4096)));

/* Each in a page of its own, as a real guest's per-CPU data nearly is. */
union area
{
    struct vcpu_info info;
    struct vcpu_runstate_info runstate;
    struct vcpu_time_info time;
    uint8_t page[PAGE_SIZE];
} __attribute__((aligned(4096)));

static union area infos[CPU_MAX], runstates[CPU_MAX], times[CPU_MAX];
static bool has_runstate[CPU_MAX], has_time[CPU_MAX];
static uint64_t seen_runstate[CPU_MAX], seen_time[CPU_MAX];
static uint32_t store_port, console_port;

struct shared_info *const hook_shared = (struct shared_info *)shared_page;
uint64_t hook_generation;

static long event_op(unsigned int cmd, void *arg)
{
    return hypercall2(__HYPERVISOR_event_channel_op, cmd, arg);
}

static void unmask(uint32_t port)
{
    struct evtchn_unmask op = { .port = port };
    long rc = event_op(EVTCHNOP_unmask, &op);

    if ( rc )
        xen_die("an event channel cannot be unmasked", rc);
}

void hook_ports_of(unsigned int nr)
{
    struct evtchn_bind_virq virq = { .virq = VIRQ_TIMER, .vcpu = nr };
    struct evtchn_bind_ipi ipi = { .vcpu = nr };
    long rc = event_op(EVTCHNOP_bind_virq, &virq);

    if ( rc )
        xen_die("no timer event", rc);
    rc = event_op(EVTCHNOP_bind_ipi, &ipi);
    if ( rc )
        xen_die("no event between vCPUs", rc);
    cpus[nr].timer_port = virq.port;
    cpus[nr].ipi_port = ipi.port;
    cpus[nr].info = &hook_shared->vcpu_info[nr];
    unmask(virq.port);
    unmask(ipi.port);
}

void hook_notify(uint32_t port)
{
    struct evtchn_send op = { .port = port };

    event_op(EVTCHNOP_send, &op);
}

void hook_domain(void)
{
    unsigned int nr;
    long rc = xen_map_here(XENMAPSPACE_shared_info, 0, hook_shared);

    if ( rc )
        xen_die("no shared info", rc);
    for ( nr = 0; nr < nr_cpus; nr++ )
        cpus[nr].info = &hook_shared->vcpu_info[nr];
    rc = xen_hvm_param_set(HVM_PARAM_CALLBACK_IRQ,
                           (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 |
                               HOOK_VECTOR);
    if ( rc )
        xen_die("no event callback", rc);
    for ( nr = 0; nr < nr_cpus; nr++ )
        hook_ports_of(nr);
    store_port = (uint32_t)xen_hvm_param(HVM_PARAM_STORE_EVTCHN);
    console_port = (uint32_t)xen_hvm_param(HVM_PARAM_CONSOLE_EVTCHN);
    if ( store_port )
        unmask(store_port);
    if ( console_port )
        unmask(console_port);
    grant_init();
    hook_generation++;
}

static void register_info(struct cpu *cpu)
{
    struct vcpu_info *info = &infos[cpu->nr].info;
    struct vcpu_register_vcpu_info op = { .mfn = (uint64_t)info / PAGE_SIZE };
    long rc = hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info,
                         cpu->nr, &op);

    if ( rc )
        xen_die("register_vcpu_info failed", rc);
    cpu->info = info;
}

void hook_cpu(struct cpu *cpu)
{
    struct vcpu_register_runstate_memory_area runstate;
    struct vcpu_register_time_memory_area time;

    set_xen_guest_handle(runstate.addr.h, &runstates[cpu->nr].runstate);
    set_xen_guest_handle(time.addr.h, &times[cpu->nr].time);
    irqs_off(); /* no upcall between the two places */
    register_info(cpu);
    has_runstate[cpu->nr] =
        !hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area,
                    cpu->nr, &runstate);
    has_time[cpu->nr] =
        !hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area,
                    cpu->nr, &time);
    seen_runstate[cpu->nr] = runstates[cpu->nr].runstate.state_entry_time;
    seen_time[cpu->nr] = times[cpu->nr].time.system_time;
    hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, cpu->nr, NULL);
    /* What came before the move may have been noted in the old place. */
    cpu->woken = true;
}

uint32_t hook_store_port(void)
{
    return store_port;
}

uint32_t hook_console_port(void)
{
    return console_port;
}

bool hook_runstate_is_live(unsigned int nr)
{
    const volatile struct vcpu_runstate_info *r = &runstates[nr].runstate;

    return !has_runstate[nr] || r->state_entry_time != seen_runstate[nr];
}

bool hook_time_area_is_live(unsigned int nr)
{
    const volatile struct vcpu_time_info *t = &times[nr].time;

    return !has_time[nr] || t->system_time != seen_time[nr];
}

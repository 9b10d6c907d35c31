/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen.c: the hypervisor as all other files of the witness see it.  It must not
 * touch the console's or xenstore's rings: xen_die() is called when nothing of
 * that may work.
 */
#include "xen.h"
#include "text.h"

#include <xen/arch-x86/cpuid.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

#define LOG_PORT 0xe9

uint8_t xen_hypercall_page[PAGE_SIZE] __attribute__((aligned(4096)));

static uint32_t cpuid_base;

static void cpuid(uint32_t leaf, uint32_t sub, uint32_t regs[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]),
                       "=d"(regs[3])
                     : "0"(leaf), "2"(sub));
}

void xen_init(void)
{
    uint32_t regs[4], base;

    for ( base = 0x40000000; base < 0x40010000; base += 0x100 )
    {
        cpuid(base, 0, regs);
        if ( regs[1] == XEN_CPUID_SIGNATURE_EBX &&
             regs[2] == XEN_CPUID_SIGNATURE_ECX &&
             regs[3] == XEN_CPUID_SIGNATURE_EDX )
            break;
    }
    if ( base == 0x40010000 )
        xen_die("there is no Xen", 0);
    cpuid_base = base;
    cpuid(base + 2, 0, regs);
    write_msr(regs[1], (uint64_t)xen_hypercall_page);
}

domid_t xen_domid(void)
{
    uint32_t regs[4];

    cpuid(cpuid_base + 4, 0, regs);
    return regs[0] & XEN_HVM_CPUID_DOMID_PRESENT ? (domid_t)regs[2]
                                                 : DOMID_SELF;
}

uint64_t xen_hvm_param(uint32_t index)
{
    struct xen_hvm_param param = { .domid = DOMID_SELF, .index = index };
    long rc = hypercall2(__HYPERVISOR_hvm_op, HVMOP_get_param, &param);

    return rc ? 0 : param.value;
}

long xen_hvm_param_set(uint32_t index, uint64_t value)
{
    struct xen_hvm_param param = { .domid = DOMID_SELF,
                                   .index = index,
                                   .value = value };

    return hypercall2(__HYPERVISOR_hvm_op, HVMOP_set_param, &param);
}

long xen_map_here(unsigned int space, uint64_t index, void *page)
{
    struct xen_add_to_physmap add = { .domid = DOMID_SELF,
                                      .space = space,
                                      .idx = index,
                                      .gpfn = (uint64_t)page / PAGE_SIZE };

    return hypercall2(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add);
}

long xen_shutdown(unsigned int reason)
{
    struct sched_shutdown shutdown = { .reason = reason };

    return hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &shutdown);
}

void xen_log(const char *str)
{
    while ( *str )
        __asm__ volatile("outb %b0, %w1" : : "a"(*str++), "Nd"(LOG_PORT));
}

void xen_die(const char *why, long rc)
{
    char buf[160];
    struct text line;

    text_init(&line, buf, sizeof(buf));
    text_str(&line, "witness: ");
    text_str(&line, why);
    if ( rc < 0 )
    {
        text_str(&line, ": error ");
        text_dec(&line, (uint64_t)-rc);
    }
    text_str(&line, "\n");
    xen_log(line.buf);
    if ( cpuid_base )
        xen_shutdown(SHUTDOWN_crash);
    for ( ;; )
        __asm__ volatile("cli; hlt");
}

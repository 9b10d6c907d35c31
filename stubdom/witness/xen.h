/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen.h: hypercalls, and what of the machine is needed beside them.  Layouts
 * are those of Xen's public headers; everything returns Xen's own values,
 * negative for errors.
 */
#ifndef WITNESS_XEN_H
#define WITNESS_XEN_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>

#define PAGE_SIZE 4096u

/* The 4 KiB that Xen fills with its entry points. */
extern uint8_t xen_hypercall_page[PAGE_SIZE];

static inline long hypercall5(unsigned int nr, uint64_t a, uint64_t b,
                              uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    long rc;

    __asm__ volatile("call *%[entry]"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     : [entry] "r"(xen_hypercall_page + nr * 32)
                     : "memory", "rcx", "r9", "r11");
    return rc;
}

static inline long hypercall2(unsigned int nr, uint64_t cmd, void *arg)
{
    return hypercall5(nr, cmd, (uint64_t)arg, 0, 0, 0);
}

static inline long hypercall3(unsigned int nr, uint64_t cmd, uint64_t b,
                              void *arg)
{
    return hypercall5(nr, cmd, b, (uint64_t)arg, 0, 0);
}

static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value),
                       "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline void irqs_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void irqs_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

/* Finds Xen and fills the hypercall page.  Nothing works before it. */
void xen_init(void);

/* This domain's own number, which changes when it migrates. */
domid_t xen_domid(void);

/* 0 when there is no such parameter. */
uint64_t xen_hvm_param(uint32_t index);
long xen_hvm_param_set(uint32_t index, uint64_t value);

/* Puts a page of Xen's (XENMAPSPACE_*) where `page` is; what was there goes. */
long xen_map_here(unsigned int space, uint64_t index, void *page);

/* SHUTDOWN_*; SHUTDOWN_suspend comes back, 0 resumed, 1 cancelled. */
long xen_shutdown(unsigned int reason);

/* The last words: to Xen's own log, where nothing but a port is needed. */
void xen_log(const char *str);
void xen_die(const char *why, long rc) __attribute__((noreturn));

#endif

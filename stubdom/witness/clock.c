/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * clock.c: time from the structures that Xen keeps up to date.  Xen makes the
 * version odd while it writes.  No hypercall, no state.
 */
#include "clock.h"
#include "cpu.h"
#include "hook.h"
#include "xen.h"

#define NS_PER_S 1000000000ull

#define barrier() __asm__ __volatile__("" : : : "memory")

uint64_t clock_read_ns(const volatile struct vcpu_time_info *time)
{
    uint64_t delta, ns;
    uint32_t version;

    do
    {
        version = time->version & ~1u;
        barrier();
        delta = read_tsc() - time->tsc_timestamp;
        if ( (int64_t)delta < 0 )
            delta = 0; /* processors need not agree to the last tick */
        if ( time->tsc_shift >= 0 )
            delta <<= time->tsc_shift;
        else
            delta >>= -time->tsc_shift;
        ns = time->system_time +
             (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >>
                        32);
        barrier();
    } while ( version != time->version );
    return ns;
}

uint64_t clock_system_ns(void)
{
    return clock_read_ns(&this_cpu()->info->time);
}

uint64_t clock_wall_ns(void)
{
    const volatile struct shared_info *shared = hook_shared;
    uint64_t ns;
    uint32_t version;

    do
    {
        version = shared->wc_version & ~1u;
        barrier();
        ns = ((uint64_t)shared->wc_sec_hi << 32 | shared->wc_sec) * NS_PER_S +
             shared->wc_nsec;
        barrier();
    } while ( version != shared->wc_version );
    return ns + clock_system_ns();
}

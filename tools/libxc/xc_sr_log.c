/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_log.c: log lines, the clock, and the names of the public enums.
 *
 * The engines and the hypervisor backends log through here, the codec never
 * does (it fills struct xc_sr_stream_fault instead).  No lock is taken and
 * nothing is allocated, so a line can be written from a process that was
 * forked without exec.  The names are what people and JSON readers see: they
 * are part of the public interface and do not change.
 */
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "xc_sr_base.h"

/* One line of text for people; a longer one is cut. */
#define LOG_LINE_MAX 512

void xc_sr__log(const struct xc_sr_log *log, enum xc_sr_log_level level,
                const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;
    int len;

    if ( !log || !log->write || level > log->max_level )
        return;

    va_start(args, fmt);
    len = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if ( len < 0 )
        return;
    log->write(log->ctx, level, line);
}

uint64_t xc_sr__now_us(void)
{
    struct timespec ts = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

int xc_sr__poll_ms(uint64_t deadline_us, uint64_t now_us)
{
    uint64_t left_us;

    if ( deadline_us == XC_SR_NO_DEADLINE )
        return -1;
    if ( deadline_us <= now_us )
        return 0;
    left_us = deadline_us - now_us;
    if ( left_us / 1000u >= INT_MAX )
        return INT_MAX;
    return (int)((left_us + 999u) / 1000u);
}

const char *xc_sr_phase_name(enum xc_sr_phase phase)
{
    static const char *const names[] = {
        [XC_SR_PHASE_SETUP] = "setup",
        [XC_SR_PHASE_PRECOPY] = "precopy",
        [XC_SR_PHASE_SUSPEND] = "suspend",
        [XC_SR_PHASE_HANDOVER] = "handover",
        [XC_SR_PHASE_POSTCOPY] = "postcopy",
        [XC_SR_PHASE_DISCONNECTED] = "disconnected",
        [XC_SR_PHASE_DONE] = "done",
        [XC_SR_PHASE_FAILED] = "failed",
    };

    if ( (unsigned int)phase >= XC_SR_ARRAY_SIZE(names) )
        return "unknown";
    return names[phase];
}

const char *xc_sr_owner_name(enum xc_sr_owner owner)
{
    static const char *const names[] = {
        [XC_SR_OWNER_NONE] = "none",
        [XC_SR_OWNER_COMMITTED] = "committed",
        [XC_SR_OWNER_RESUMED] = "resumed",
        [XC_SR_OWNER_DONE] = "done",
        [XC_SR_OWNER_PREP] = "prep",
        [XC_SR_OWNER_OWNER] = "owner",
        [XC_SR_OWNER_FENCED] = "fenced",
        [XC_SR_OWNER_FINISHED] = "finished",
        [XC_SR_OWNER_LOST] = "lost",
        [XC_SR_OWNER_ENDED] = "ended",
    };

    if ( (unsigned int)owner >= XC_SR_ARRAY_SIZE(names) )
        return "unknown";
    return names[owner];
}

const char *xc_sr_reason_name(uint32_t reason)
{
    static const char *const names[] = {
        [XC_SR_REASON_NONE] = "none",
        [XC_SR_REASON_VERSION] = "stream version not accepted",
        [XC_SR_REASON_NO_PAGING] = "no memory paging in this hypervisor",
        [XC_SR_REASON_NO_MEMORY] = "not enough memory",
        [XC_SR_REASON_GUEST_TYPE] = "this type of guest cannot be paged",
        [XC_SR_REASON_HAP] = "no hardware assisted paging",
        [XC_SR_REASON_IOMMU] = "a device is passed through",
        [XC_SR_REASON_BUSY] = "another pager has this guest",
        [XC_SR_REASON_FAILED] = "failed",
        [XC_SR_REASON_OPERATOR] = "asked for by the operator",
        [XC_SR_REASON_TIMEOUT] = "timed out",
    };

    if ( reason >= XC_SR_ARRAY_SIZE(names) )
        return "unknown reason";
    return names[reason];
}

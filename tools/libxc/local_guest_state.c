/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_guest_state.c: a local guest's registers as a body of HVM_CONTEXT.
 *
 * The form is Xen's: entries of {u16 typecode, u16 instance, u32 length} and
 * a body, HEADER first, one CPU for each vCPU, END last; little endian.  The
 * body of a CPU is our own: CPU_WORDS words, named below.  What comes in is
 * a peer's, so everything about it is checked.
 */
#include <errno.h>
#include <stdio.h>

#include "local_guest.h"

#define ENTRY_LEN 8u

#define TYPE_END    0u
#define TYPE_HEADER 1u
#define TYPE_CPU    2u

#define HEADER_LEN     24u
#define HEADER_MAGIC   0x54381286u
#define HEADER_VERSION 2u

enum cpu_word
{
    CPU_LAYOUT, /* CPU_MAGIC: this layout */
    CPU_RNG,
    CPU_POS,
    CPU_OPS,
    CPU_ERRORS,
    CPU_LAST_OP_US,
    CPU_FROZEN_US,
    CPU_BASELINE_OPS_PER_S,
    CPU_MOVES,
    CPU_SUSPEND_COUNT,
    CPU_WORDS,
};
#define CPU_MAGIC 0x317570636c61636full
#define CPU_LEN   (CPU_WORDS * 8u)

static uint8_t *put_entry(uint8_t *p, unsigned int type, unsigned int instance,
                          uint32_t len)
{
    xc_sr__put_le16(p, (uint16_t)type);
    xc_sr__put_le16(p + 2, (uint16_t)instance);
    xc_sr__put_le32(p + 4, len);
    return p + ENTRY_LEN;
}

static void put_cpu(const struct guest *g, const struct vcpu *v, uint8_t *p)
{
    uint64_t words[CPU_WORDS] = {
        [CPU_LAYOUT] = CPU_MAGIC,
        [CPU_RNG] = v->rng,
        [CPU_POS] = v->pos,
        [CPU_OPS] = atomic_load(&v->ops),
        [CPU_ERRORS] = atomic_load(&v->errors),
        [CPU_LAST_OP_US] = atomic_load(&v->last_op_us),
        [CPU_FROZEN_US] = g->frozen_us,
        [CPU_BASELINE_OPS_PER_S] = g->baseline_ops_per_s,
        [CPU_MOVES] = g->moves,
        [CPU_SUSPEND_COUNT] = g->suspend_count,
    };

    for ( unsigned int i = 0; i < CPU_WORDS; i++ )
        xc_sr__put_le64(p + 8 * i, words[i]);
}

int guest_state_get(struct guest *g, uint8_t *buf, size_t cap, size_t *len_r)
{
    size_t len = ENTRY_LEN + HEADER_LEN + ENTRY_LEN +
                 (size_t)g->config.vcpus * (ENTRY_LEN + CPU_LEN);
    uint8_t *p = buf;

    if ( g->nr_parked < g->config.vcpus )
        return -EBUSY;
    if ( len > cap )
        return -E2BIG;

    memset(buf, 0, len);
    p = put_entry(p, TYPE_HEADER, 0, HEADER_LEN);
    xc_sr__put_le32(p, HEADER_MAGIC);
    xc_sr__put_le32(p + 4, HEADER_VERSION);
    p += HEADER_LEN;
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        p = put_entry(p, TYPE_CPU, i, CPU_LEN);
        put_cpu(g, &g->vcpus[i], p);
        p += CPU_LEN;
    }
    put_entry(p, TYPE_END, 0, 0);
    *len_r = len;
    return 0;
}

/* ---- In -------------------------------------------------------------------- */

static bool entry_is(const uint8_t *p, const uint8_t *end, unsigned int type,
                     unsigned int instance, uint32_t len)
{
    return (size_t)(end - p) >= ENTRY_LEN + len && xc_sr__le16(p) == type &&
           xc_sr__le16(p + 2) == instance && xc_sr__le32(p + 4) == len;
}

static void take_cpu(struct guest *g, struct vcpu *v, const uint8_t *p)
{
    uint64_t words[CPU_WORDS];

    for ( unsigned int i = 0; i < CPU_WORDS; i++ )
        words[i] = xc_sr__le64(p + 8 * i);
    v->rng = words[CPU_RNG] ? words[CPU_RNG] : 1;
    v->pos = words[CPU_POS] < g->ws_pages ? words[CPU_POS] : 0;
    atomic_store(&v->ops, words[CPU_OPS]);
    atomic_store(&v->errors, words[CPU_ERRORS]);
    atomic_store(&v->last_op_us, words[CPU_LAST_OP_US]);
    v->last_tick = 0;
    v->info_due = true;
    g->frozen_us = words[CPU_FROZEN_US];
    g->baseline_ops_per_s = words[CPU_BASELINE_OPS_PER_S];
    g->moves = words[CPU_MOVES];
    g->suspend_count = words[CPU_SUSPEND_COUNT];
}

int guest_state_put(struct guest *g, const uint8_t *buf, size_t len)
{
    const uint8_t *p = buf, *end = buf + len;

    if ( !g->incoming )
        return -EBUSY;
    if ( !entry_is(p, end, TYPE_HEADER, 0, HEADER_LEN) ||
         xc_sr__le32(p + ENTRY_LEN) != HEADER_MAGIC ||
         xc_sr__le32(p + ENTRY_LEN + 4) != HEADER_VERSION )
        return -EINVAL;
    p += ENTRY_LEN + HEADER_LEN;

    /* All of it is looked at before any of it is taken. */
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
    {
        const uint8_t *cpu = p + (size_t)i * (ENTRY_LEN + CPU_LEN);

        if ( !entry_is(cpu, end, TYPE_CPU, i, CPU_LEN) ||
             xc_sr__le64(cpu + ENTRY_LEN) != CPU_MAGIC )
            return -EINVAL;
        if ( i == g->config.vcpus - 1 )
        {
            cpu += ENTRY_LEN + CPU_LEN;
            if ( !entry_is(cpu, end, TYPE_END, 0, 0) || end - cpu != ENTRY_LEN )
                return -EINVAL;
        }
    }
    for ( uint32_t i = 0; i < g->config.vcpus; i++ )
        take_cpu(g, &g->vcpus[i],
                 p + (size_t)i * (ENTRY_LEN + CPU_LEN) + ENTRY_LEN);
    g->have_state = true;
    return 0;
}

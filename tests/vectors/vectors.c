/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * vectors.c: the golden streams: each shape a stream can have, as small as it
 * can be.  Numbers and layouts are written out here once more on purpose; see
 * vectors.h.
 */
#include "vectors_build.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t session[16] = "golden session!";

#define NR_PFNS 64u

/* ---- Headers ------------------------------------------------------------------- */

static void put_headers(struct vector *v, uint32_t version, uint32_t guest)
{
    vec_header(v, "image header");
    vec_fill(v, "marker", VEC_EXACT, 0xff, 8);
    vec_be32(v, "id", VEC_EXACT, 0x58454e46);
    vec_be32(v, "version", VEC_EXACT, version);
    vec_be16(v, "options", VEC_EXACT, 0);
    vec_fill(v, "reserved", VEC_EXACT, 0, 6);
    vec_end(v);
    vec_header(v, "domain header");
    vec_u32(v, "type", VEC_EXACT, guest);
    vec_u16(v, "page_shift", VEC_EXACT, 12);
    vec_u16(v, "reserved", VEC_EXACT, 0);
    vec_u32(v, "xen_major", VEC_ANY, 4);
    vec_u32(v, "xen_minor", VEC_ANY, 17);
    vec_end(v);
}

static void put_libxl(struct vector *v)
{
    vec_header(v, "libxl header");
    vec_bytes(v, "ident", VEC_EXACT, "LibxlFmt", 8);
    vec_be32(v, "version", VEC_EXACT, 2);
    vec_be32(v, "options", VEC_EXACT, 0);
    vec_end(v);
    vec_empty(v, "LIBXC_CONTEXT", 1);
}

static void put_xl(struct vector *v)
{
    static const char config[] = "{\"c_info\":{\"name\":\"golden\"}}";

    vec_header(v, "xl header");
    vec_bytes(v, "magic", VEC_EXACT, "Xen saved domain, xl format\n \0 \r", 32);
    vec_u32(v, "byteorder", VEC_EXACT, 0x01020304);
    vec_u32(v, "mandatory_flags", VEC_EXACT, 3);
    vec_u32(v, "optional_flags", VEC_ANY, 0);
    vec_u32(v, "optional_data_len", VEC_HIGH, sizeof(config) + 4);
    vec_u32(v, "config_len", VEC_EXACT, sizeof(config));
    vec_bytes(v, "config", VEC_ZERO, config, sizeof(config) - 1);
    vec_fill(v, "nul", VEC_EXACT, 0, 1);
    vec_end(v);
    put_libxl(v);
}

static void put_emulator(struct vector *v)
{
    vec_record(v, "EMULATOR_XENSTORE_DATA", 2, VEC_FREE);
    vec_u32(v, "emulator_id", VEC_EXACT, 2);
    vec_u32(v, "index", VEC_ANY, 0);
    vec_bytes(v, "key", VEC_HIGH, "physmap/0", 9);
    vec_bytes(v, "value", VEC_ANY, "\0start\0", 7);
    vec_bytes(v, "key", VEC_ZERO, "x", 1);
    vec_bytes(v, "value", VEC_ANY, "\0y", 3);
    vec_end(v);
    vec_record(v, "EMULATOR_CONTEXT", 3, VEC_FREE);
    vec_u32(v, "emulator_id", VEC_EXACT, 2);
    vec_u32(v, "index", VEC_ANY, 0);
    vec_bytes(v, "context", VEC_ANY, "QEVM then some", 13);
    vec_end(v);
}

/* ---- Pages --------------------------------------------------------------------- */

static uint64_t entry(uint64_t type, uint64_t pfn)
{
    return type << 60 | pfn;
}

static void put_entries(struct vector *v, const uint64_t *entries,
                        uint32_t count)
{
    vec_u32(v, "count", VEC_EXACT, count);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    for ( uint32_t i = 0; i < count; i++ )
        vec_u64(v, "entry", VEC_ENTRY, entries[i]);
}

static void put_pages(struct vector *v, const char *name, uint32_t type,
                      const uint64_t *entries, uint32_t count)
{
    uint8_t page[4096];

    vec_record(v, name, type, 0);
    put_entries(v, entries, count);
    for ( uint32_t i = 0; i < count; i++ )
    {
        if ( entries[i] >> 60 >= 0xd )
            continue; /* broken, not allocated, a hole: no contents */
        vec_page(entries[i] & 0xfffff, page);
        vec_bytes(v, "page_data", VEC_ANY, page, sizeof(page));
    }
    vec_end(v);
}

static void put_page_data(struct vector *v, uint64_t pfn)
{
    put_pages(v, "PAGE_DATA", 1, (const uint64_t[]){ pfn }, 1);
}

static void put_pfns(struct vector *v, const char *name, uint32_t type,
                     const uint64_t *entries, uint32_t count)
{
    vec_record(v, name, type, 0);
    put_entries(v, entries, count);
    vec_end(v);
}

/* ---- Stock records ---------------------------------------------------------------- */

static void put_policies(struct vector *v)
{
    vec_record(v, "X86_CPUID_POLICY", 0x11, VEC_FREE);
    for ( uint32_t i = 0; i < 6; i++ )
        vec_u32(v, "leaf", VEC_ANY, i ? i * 0x11 : 1);
    vec_end(v);
    vec_record(v, "X86_MSR_POLICY", 0x12, VEC_FREE);
    vec_u32(v, "index", VEC_ANY, 0xce);
    vec_u32(v, "flags", VEC_EXACT, 0);
    vec_u64(v, "value", VEC_ANY, 0x80000000);
    vec_end(v);
    vec_empty(v, "STATIC_DATA_END", 0x10);
}

static void put_tsc(struct vector *v)
{
    vec_record(v, "X86_TSC_INFO", 8, 0);
    vec_u32(v, "mode", VEC_EXACT, 0);
    vec_u32(v, "khz", VEC_ANY, 2400000);
    vec_u64(v, "nsec", VEC_ANY, 123456789);
    vec_u32(v, "incarnation", VEC_ANY, 1);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_end(v);
}

static void put_hvm_state(struct vector *v)
{
    put_tsc(v);
    vec_record(v, "HVM_CONTEXT", 9, VEC_FREE);
    vec_fill(v, "context", VEC_ANY, 0x5a, 37);
    vec_end(v);
    vec_record(v, "HVM_PARAMS", 0xa, 0);
    vec_u32(v, "count", VEC_EXACT, 2);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    for ( uint64_t i = 1; i <= 2; i++ )
    {
        vec_u64(v, "index", VEC_ANY, i);
        vec_u64(v, "value", VEC_ANY, 0xfeff0 + i);
    }
    vec_end(v);
}

static void put_pv_info(struct vector *v)
{
    vec_record(v, "X86_PV_INFO", 2, 0);
    vec_bytes(v, "guest_width", VEC_EXACT, "\x8\x4", 2);
    vec_u16(v, "reserved", VEC_EXACT, 0);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_end(v);
}

static void put_vcpu(struct vector *v, const char *name, uint32_t type)
{
    vec_record(v, name, type, VEC_FREE);
    vec_u32(v, "vcpu_id", VEC_ANY, 0);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_fill(v, "context", VEC_ANY, 0x33, 19);
    vec_end(v);
}

static void put_pv_body(struct vector *v)
{
    static const uint64_t entries[] = {
        0x0000000000000001, 0x1000000000000002, 0x2000000000000003,
        0xb000000000000004, 0xc000000000000005, 0xf000000000000006,
    };

    vec_record(v, "X86_PV_P2M_FRAMES", 3, 0);
    vec_u32(v, "p2m_start_pfn", VEC_HIGH, 0);
    vec_u32(v, "p2m_end_pfn", VEC_HIGH, 1023);
    for ( uint64_t i = 0; i < 2; i++ )
        vec_u64(v, "p2m_pfn", VEC_ENTRY, 0x100 + i);
    vec_end(v);
    put_pages(v, "PAGE_DATA", 1, entries, 6);
    put_tsc(v);
    vec_record(v, "SHARED_INFO", 7, 0);
    vec_fill(v, "shared_info", VEC_ANY, 0x77, 4096);
    vec_end(v);
    put_vcpu(v, "X86_PV_VCPU_BASIC", 4);
    put_vcpu(v, "X86_PV_VCPU_EXTENDED", 5);
    put_vcpu(v, "X86_PV_VCPU_XSAVE", 6);
    put_vcpu(v, "X86_PV_VCPU_MSRS", 0xc);
    vec_empty(v, "END", 0);
}

static void put_unknown(struct vector *v)
{
    vec_record(v, "UNKNOWN", 0x80000abc, VEC_FREE);
    vec_bytes(v, "body", VEC_ANY, "passed over", 11);
    vec_end(v);
}

/* ---- Stock streams ---------------------------------------------------------------- */

static void build_stock2_hvm(struct vector *v)
{
    put_headers(v, 2, 2);
    put_page_data(v, 1);
    put_unknown(v);
    vec_record(v, "TOOLSTACK", 0xb, VEC_FREE);
    vec_fill(v, "data", VEC_ANY, 1, 5);
    vec_end(v);
    put_hvm_state(v);
    vec_empty(v, "VERIFY", 0xd);
    put_page_data(v, 1);
    vec_empty(v, "END", 0);
}

static void put_stock3_hvm(struct vector *v)
{
    static const uint64_t entries[] = {
        0x0000000000000001, 0xf000000000000002, 0xd000000000000003,
        0xe000000000000004, 0x0000000000000005,
    };

    put_headers(v, 3, 2);
    put_policies(v);
    put_pages(v, "PAGE_DATA", 1, entries, 5);
    put_page_data(v, 5);
    put_hvm_state(v);
    vec_empty(v, "END", 0);
}

static void build_stock2_pv(struct vector *v)
{
    put_headers(v, 2, 1);
    put_pv_info(v);
    put_pv_body(v);
}

static void build_stock3_pv(struct vector *v)
{
    put_headers(v, 3, 1);
    put_pv_info(v);
    put_policies(v);
    put_pv_body(v);
}

/* Two checkpoints; libxl has a turn at each when it is there. */
static void put_checkpointed(struct vector *v, bool libxl)
{
    put_headers(v, 3, 2);
    put_policies(v);
    for ( uint64_t i = 0; i < 2; i++ )
    {
        put_page_data(v, i);
        put_hvm_state(v);
        vec_empty(v, "CHECKPOINT", 0xe);
        if ( libxl )
        {
            put_emulator(v);
            vec_empty(v, "CHECKPOINT_END", 4);
        }
    }
    vec_empty(v, "END", 0);
}

static void build_checkpointed3(struct vector *v)
{
    put_checkpointed(v, false);
}

/* ---- Post-copy streams -------------------------------------------------------------- */

static void put_postcopy2(struct vector *v, bool libxl)
{
    static const uint64_t pfns[] = { 2, 3, 9 };

    put_headers(v, 2, 2);
    put_pages(v, "PAGE_DATA", 1, (const uint64_t[]){ 1, entry(0xf, 2) }, 2);
    vec_empty(v, "POSTCOPY_BEGIN", 0x10);
    put_hvm_state(v);
    vec_empty(v, "POSTCOPY_PFNS_BEGIN", 0x11);
    put_pfns(v, "POSTCOPY_PFNS", 0x12, pfns, 3);
    vec_empty(v, "POSTCOPY_TRANSITION", 0x13);
    if ( libxl )
    {
        put_emulator(v);
        vec_empty(v, "POSTCOPY_TRANSITION_END", 6);
    }
    put_pages(v, "POSTCOPY_PAGE_DATA", 0x14, pfns + 1, 2);
    put_pages(v, "POSTCOPY_PAGE_DATA", 0x14, pfns, 1);
    vec_empty(v, "END", 0);
}

static void put_session_epoch(struct vector *v, const char *name, uint32_t type,
                              unsigned int flags)
{
    vec_record(v, name, type, flags);
    vec_bytes(v, "session", VEC_EXACT, session, 16);
    vec_u64(v, "epoch", VEC_EXACT, 0);
}

static void put_commit(struct vector *v)
{
    put_session_epoch(v, "POSTCOPY_COMMIT", 0x124, 0);
    vec_end(v);
}

/* reason, text_len, text: ABORT and NAK. */
static void put_reason(struct vector *v)
{
    vec_u32(v, "reason", VEC_ANY, 9);
    vec_u32(v, "text_len", VEC_EXACT, 5);
    vec_bytes(v, "text", VEC_ZERO, "asked", 5);
    vec_end(v);
}

static void put_advise(struct vector *v)
{
    vec_record(v, "POSTCOPY_ADVISE", 0x120, 0);
    vec_bytes(v, "session", VEC_ANY, session, 16);
    vec_u32(v, "features", VEC_EXACT, 7);
    vec_u32(v, "flags", VEC_EXACT, 1);
    vec_u64(v, "nr_pfns", VEC_ZERO, NR_PFNS);
    vec_u32(v, "nr_params", VEC_EXACT, 1);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_u64(v, "index", VEC_ANY, 27);
    vec_u64(v, "value", VEC_ANY, 0x3d);
    vec_end(v);
}

static void put_precopy3(struct vector *v)
{
    put_headers(v, 3, 2);
    put_advise(v);
    put_policies(v);
    put_page_data(v, 1);
    put_pfns(v, "ZERO_PAGES", 0x12b, (const uint64_t[]){ 2, 3 }, 2);
    vec_record(v, "POSTCOPY_DISCARD", 0x122, 0);
    vec_u32(v, "count", VEC_EXACT, 2);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_u64(v, "entry", VEC_ENTRY, 1);
    vec_u64(v, "nr_pages", VEC_ZERO, 1);
    vec_u64(v, "entry", VEC_ENTRY, 8);
    vec_u64(v, "nr_pages", VEC_ZERO, 4);
    vec_end(v);
}

static void put_postcopy3(struct vector *v, bool libxl)
{
    put_precopy3(v);
    put_page_data(v, 9); /* the last word counts: no longer announced */
    vec_empty(v, "POSTCOPY_BEGIN", 0x110);
    put_hvm_state(v);
    vec_empty(v, "POSTCOPY_PFNS_BEGIN", 0x111);
    put_pfns(v, "POSTCOPY_PFNS", 0x112, (const uint64_t[]){ 3, 40 }, 2);
    vec_empty(v, "POSTCOPY_TRANSITION", 0x113);
    if ( libxl )
    {
        put_emulator(v);
        vec_empty(v, "LIBXL_END", 0);
    }
    put_pages(v, "POSTCOPY_PAGE_DATA", 0x114, (const uint64_t[]){ 40 }, 1);
    put_commit(v);
    put_pfns(v, "ZERO_PAGES", 0x12b, (const uint64_t[]){ 3, 8, 10, 11 }, 4);
    put_pages(v, "POSTCOPY_PAGE_DATA", 0x114, (const uint64_t[]){ 1, 40 }, 2);
    vec_empty(v, "END", 0);
}

static void build_abort3(struct vector *v)
{
    put_precopy3(v);
    put_session_epoch(v, "POSTCOPY_ABORT", 0x127, 0);
    put_reason(v);
}

static void build_resumed3(struct vector *v)
{
    vec_record(v, "POSTCOPY_RESUME", 0x129, 0);
    vec_bytes(v, "session", VEC_ANY, session, 16);
    vec_u64(v, "epoch", VEC_ANY, 1);
    vec_u32(v, "verdict", VEC_EXACT, 0);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_end(v);
    put_pages(v, "POSTCOPY_PAGE_DATA", 0x114, (const uint64_t[]){ 7 }, 1);
    vec_empty(v, "END", 0);
}

/* ---- Back channels -------------------------------------------------------------------- */

static void put_fault(struct vector *v, uint32_t type, uint64_t pfn)
{
    put_pfns(v, "POSTCOPY_FAULT", type, (const uint64_t[]){ pfn }, 1);
}

static void build_back2(struct vector *v)
{
    put_fault(v, 0x15, 3);
    put_fault(v, 0x15, 9);
    vec_empty(v, "POSTCOPY_COMPLETE", 0x16);
}

static void put_ready(struct vector *v, uint32_t reason, const char *text)
{
    vec_record(v, "POSTCOPY_READY", 0x121, 0);
    vec_bytes(v, "session", VEC_ANY, session, 16);
    vec_u32(v, "reason", VEC_ANY, reason);
    vec_u32(v, "features", VEC_EXACT, 7);
    vec_u32(v, "text_len", VEC_EXACT, (uint32_t)strlen(text));
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_bytes(v, "text", VEC_ZERO, text, strlen(text));
    vec_end(v);
}

static void put_ack(struct vector *v, uint64_t octets)
{
    vec_record(v, "POSTCOPY_ACK", 0x12a, 0);
    vec_u64(v, "octets", VEC_ANY, octets);
    vec_end(v);
}

static void build_back3(struct vector *v)
{
    put_ready(v, 0, "");
    put_ack(v, 5000);
    put_fault(v, 0x115, 40);
    put_session_epoch(v, "POSTCOPY_PREPARED", 0x123, 0);
    vec_end(v);
    put_session_epoch(v, "POSTCOPY_RUNNING", 0x125, 0);
    vec_end(v);
    put_fault(v, 0x115, 3);
    put_ack(v, 25000);
    vec_record(v, "POSTCOPY_STATS", 0x12d, 0);
    vec_u32(v, "count", VEC_EXACT, 2);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_u64(v, "faults", VEC_ANY, 2);
    vec_u64(v, "faults_late", VEC_ANY, 0);
    vec_end(v);
    vec_empty(v, "POSTCOPY_COMPLETE", 0x116);
}

static void build_back3_refused(struct vector *v)
{
    put_ready(v, 2, "no paging here");
}

static void build_back3_nak(struct vector *v)
{
    put_ready(v, 0, "");
    put_session_epoch(v, "POSTCOPY_NAK", 0x126, 0);
    put_reason(v);
}

static void build_back3_recover(struct vector *v)
{
    vec_record(v, "POSTCOPY_RECOVER", 0x128, 0);
    vec_bytes(v, "session", VEC_ANY, session, 16);
    vec_u64(v, "epoch", VEC_ANY, 1);
    vec_u32(v, "record", VEC_EXACT, 2);
    vec_u32(v, "reserved", VEC_EXACT, 0);
    vec_u64(v, "nr_pfns", VEC_ZERO, 40);
    vec_bytes(v, "bitmap", VEC_ANY, "\xff\x0f\0\0", 5);
    vec_fill(v, "bitmap", VEC_EXACT, 0, 3);
    vec_end(v);
    put_session_epoch(v, "POSTCOPY_RUNNING", 0x125, 0);
    v->data[v->len - 8] = 1; /* epoch */
    vec_end(v);
    vec_empty(v, "POSTCOPY_COMPLETE", 0x116);
}

/* ---- In libxl and xl ------------------------------------------------------------------ */

static void build_stock3_hvm(struct vector *v)
{
    put_stock3_hvm(v);
}

static void build_postcopy2(struct vector *v)
{
    put_postcopy2(v, false);
}

static void build_postcopy3(struct vector *v)
{
    put_postcopy3(v, false);
}

static void build_libxl_stock3(struct vector *v)
{
    put_libxl(v);
    put_stock3_hvm(v);
    put_emulator(v);
    put_unknown(v);
    vec_empty(v, "LIBXL_END", 0);
}

static void build_libxl_checkpointed3(struct vector *v)
{
    put_libxl(v);
    put_checkpointed(v, true);
    vec_empty(v, "LIBXL_END", 0);
}

static void build_xl_stock3(struct vector *v)
{
    put_xl(v);
    put_stock3_hvm(v);
    put_emulator(v);
    vec_empty(v, "LIBXL_END", 0);
}

static void build_xl_postcopy2(struct vector *v)
{
    put_xl(v);
    put_postcopy2(v, true);
    vec_empty(v, "LIBXL_END", 0);
}

static void build_xl_postcopy3(struct vector *v)
{
    put_xl(v);
    put_postcopy3(v, true);
}

static const struct
{
    const char *name;
    void (*build)(struct vector *v);
    bool back;
} builders[] = {
    { "stock2-hvm", build_stock2_hvm, false },
    { "stock3-hvm", build_stock3_hvm, false },
    { "stock2-pv", build_stock2_pv, false },
    { "stock3-pv", build_stock3_pv, false },
    { "checkpointed3-hvm", build_checkpointed3, false },
    { "postcopy2", build_postcopy2, false },
    { "postcopy3", build_postcopy3, false },
    { "abort3", build_abort3, false },
    { "resumed3", build_resumed3, false },
    { "back2", build_back2, true },
    { "back3", build_back3, true },
    { "back3-refused", build_back3_refused, true },
    { "back3-nak", build_back3_nak, true },
    { "back3-recover", build_back3_recover, true },
    { "libxl-stock3-hvm", build_libxl_stock3, false },
    { "libxl-checkpointed3-hvm", build_libxl_checkpointed3, false },
    { "xl-stock3-hvm", build_xl_stock3, false },
    { "xl-postcopy2", build_xl_postcopy2, false },
    { "xl-postcopy3", build_xl_postcopy3, false },
};

unsigned int vec_count(void)
{
    return sizeof(builders) / sizeof(builders[0]);
}

struct vector *vec_build(unsigned int index)
{
    struct vector *v;

    if ( index >= vec_count() )
        return NULL;
    v = calloc(1, sizeof(*v));
    if ( !v )
        abort();
    v->name = builders[index].name;
    v->back = builders[index].back;
    builders[index].build(v);
    return v;
}

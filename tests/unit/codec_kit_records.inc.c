/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * codec_kit_records.inc.c: one well-formed record of each kind.  Part of
 * codec_kit.h.
 */
static inline uint64_t kit_entry(uint64_t pfn, uint64_t type)
{
    return pfn | type << XC_SR_ENTRY_TYPE_SHIFT;
}

static inline void kit_session_epoch(struct xc_sr_writer *w, uint64_t epoch)
{
    xc_sr__write_bytes(w, kit_session, sizeof(kit_session));
    xc_sr__write_u64(w, epoch);
}

static inline void kit_u32s(struct xc_sr_writer *w, uint32_t a, uint32_t b)
{
    xc_sr__write_u32(w, a);
    xc_sr__write_u32(w, b);
}

static inline void kit_text(struct xc_sr_writer *w, const char *text)
{
    xc_sr__write_bytes(w, text, strlen(text));
}

static inline void kit_fill(struct xc_sr_writer *w, size_t len)
{
    uint8_t octets[256];

    for ( size_t at = 0; at < len; at += sizeof(octets) )
    {
        for ( size_t i = 0; i < sizeof(octets); i++ )
            octets[i] = (uint8_t)(i * 7 + at / sizeof(octets) + 1);
        xc_sr__write_bytes(
            w, octets, len - at < sizeof(octets) ? len - at : sizeof(octets));
    }
}

/* A record with page contents, or entries only if pages is 0. */
static inline void kit_pages(struct xc_sr_writer *w, enum xc_sr_rec rec,
                             const uint64_t *entries, uint32_t count,
                             uint32_t pages)
{
    xc_sr__write_begin(w, rec);
    kit_u32s(w, count, 0);
    for ( uint32_t i = 0; i < count; i++ )
        xc_sr__write_u64(w, entries[i]);
    xc_sr__write_end(w, pages * XC_SR_PAGE_SIZE);
    kit_fill(w, (size_t)pages * XC_SR_PAGE_SIZE);
}

static inline void kit_page_data(struct xc_sr_writer *w, bool pv)
{
    const uint64_t hvm[] = { kit_entry(1, 0), kit_entry(2, 0xf),
                             kit_entry(3, 0), kit_entry(4, 0xd) };
    const uint64_t pvs[] = { kit_entry(1, 1), kit_entry(2, 0xc),
                             kit_entry(5, 0xe) };

    if ( pv )
        kit_pages(w, XC_SR_REC_PAGE_DATA, pvs, 3, 2);
    else
        kit_pages(w, XC_SR_REC_PAGE_DATA, hvm, 4, 2);
}

static inline void kit_params(struct xc_sr_writer *w)
{
    xc_sr__write_u64(w, 1);
    xc_sr__write_u64(w, 0xfeffc);
    xc_sr__write_u64(w, 28);
    xc_sr__write_u64(w, 0xfeff9);
}

/* Records with entries; false if rec is none of them. */
static inline bool kit_paged(struct xc_sr_writer *w, enum xc_sr_rec rec)
{
    const uint64_t two[] = { kit_entry(10, 0), kit_entry(11, 0) };
    const uint64_t mixed[] = { kit_entry(10, 0), kit_entry(12, 0xf),
                               kit_entry(11, 0) };

    switch ( (int)rec )
    {
    case XC_SR_REC_PAGE_DATA:
        kit_page_data(w, false);
        return true;
    case XC_SR_REC_POSTCOPY_PFNS:
        kit_pages(w, rec, mixed, 3, 0);
        return true;
    case XC_SR_REC_ZERO_PAGES:
    case XC_SR_REC_POSTCOPY_FAULT:
        kit_pages(w, rec, two, 2, 0);
        return true;
    case XC_SR_REC_POSTCOPY_PAGE_DATA:
        kit_pages(w, rec, two, 2, 2);
        return true;
    default:
        return false;
    }
}

/* The body of a stock record that has one. */
static inline void kit_stock_body(struct xc_sr_writer *w, enum xc_sr_rec rec)
{
    switch ( (int)rec )
    {
    case XC_SR_REC_X86_PV_INFO:
        xc_sr__write_bytes(w, "\x08\x04\0\0\0\0\0\0", 8);
        break;
    case XC_SR_REC_X86_PV_P2M_FRAMES: /* pfns 500 to 1030: frames 0 to 2 */
        kit_u32s(w, 500, 1030);
        xc_sr__write_u64(w, 7);
        xc_sr__write_u64(w, 8);
        xc_sr__write_u64(w, 9);
        break;
    case XC_SR_REC_X86_PV_VCPU_BASIC:
    case XC_SR_REC_X86_PV_VCPU_EXTENDED:
    case XC_SR_REC_X86_PV_VCPU_XSAVE:
    case XC_SR_REC_X86_PV_VCPU_MSRS:
        kit_u32s(w, 1, 0);
        kit_fill(w, 21);
        break;
    case XC_SR_REC_SHARED_INFO:
        kit_fill(w, 4096);
        break;
    case XC_SR_REC_X86_TSC_INFO:
        kit_u32s(w, 2, 2400000);
        xc_sr__write_u64(w, 123456789);
        kit_u32s(w, 1, 0);
        break;
    case XC_SR_REC_HVM_CONTEXT:
    case XC_SR_REC_TOOLSTACK:
        kit_fill(w, 43);
        break;
    case XC_SR_REC_HVM_PARAMS:
        kit_u32s(w, 2, 0);
        kit_params(w);
        break;
    case XC_SR_REC_X86_CPUID_POLICY:
        kit_fill(w, 48);
        break;
    case XC_SR_REC_X86_MSR_POLICY:
        kit_u32s(w, 0xce, 0);
        xc_sr__write_u64(w, 0x80000000);
        break;
    case XC_SR_REC_CHECKPOINT_DIRTY_PFN_LIST:
        xc_sr__write_u64(w, 17);
        xc_sr__write_u64(w, 4);
        break;
    default:
        break;
    }
}

/* The body of a record of ours that has one. */
static inline void kit_our_body(struct xc_sr_writer *w, enum xc_sr_rec rec,
                                uint64_t epoch)
{
    switch ( (int)rec )
    {
    case XC_SR_REC_POSTCOPY_ADVISE:
        xc_sr__write_bytes(w, kit_session, 16);
        kit_u32s(w, XC_SR_FEATURES_ALL, 1);
        xc_sr__write_u64(w, KIT_NR_PFNS);
        kit_u32s(w, 2, 0);
        kit_params(w);
        break;
    case XC_SR_REC_POSTCOPY_DISCARD:
        kit_u32s(w, 2, 0);
        xc_sr__write_u64(w, kit_entry(20, 0));
        xc_sr__write_u64(w, 30);
        xc_sr__write_u64(w, kit_entry(99, 0));
        xc_sr__write_u64(w, 1);
        break;
    case XC_SR_REC_POSTCOPY_COMMIT:
    case XC_SR_REC_POSTCOPY_PREPARED:
    case XC_SR_REC_POSTCOPY_RUNNING:
        kit_session_epoch(w, epoch);
        break;
    case XC_SR_REC_POSTCOPY_ABORT:
    case XC_SR_REC_POSTCOPY_NAK:
        kit_session_epoch(w, epoch);
        kit_u32s(w, XC_SR_REASON_FAILED, 13);
        kit_text(w, "d\xc3\xa9sol\xc3\xa9, no.");
        break;
    case XC_SR_REC_POSTCOPY_RESUME:
        kit_session_epoch(w, epoch);
        kit_u32s(w, 0, 0);
        break;
    case XC_SR_REC_POSTCOPY_READY:
        xc_sr__write_bytes(w, kit_session, 16);
        kit_u32s(w, XC_SR_REASON_NONE, XC_SR_FEATURES_ALL);
        kit_u32s(w, 0, 0);
        break;
    case XC_SR_REC_POSTCOPY_RECOVER:
        kit_session_epoch(w, epoch);
        kit_u32s(w, XC_SR_RECOVER_OWNER, XC_SR_FEATURES_ALL);
        xc_sr__write_u64(w, KIT_NR_PFNS);
        xc_sr__write_u64(w, ~0ULL);
        xc_sr__write_u64(w, 0xfffffffffULL);
        break;
    case XC_SR_REC_POSTCOPY_ACK:
        xc_sr__write_u64(w, 1000);
        break;
    case XC_SR_REC_POSTCOPY_STATS:
        kit_u32s(w, 3, 0);
        xc_sr__write_u64(w, 5);
        xc_sr__write_u64(w, 1);
        xc_sr__write_u64(w, 0);
        break;
    default:
        break;
    }
}

/* One well-formed record of each kind, as part of the streams below. */
static inline void kit_record(struct xc_sr_writer *w, enum xc_sr_rec rec,
                              uint64_t epoch)
{
    if ( kit_paged(w, rec) )
        return;
    xc_sr__write_begin(w, rec);
    kit_stock_body(w, rec);
    kit_our_body(w, rec, epoch);
    xc_sr__write_end(w, 0);
}

/* An optional record nobody knows. */
static inline void kit_unknown(struct xc_sr_writer *w, size_t len)
{
    size_t at = w->len;

    kit_u32s(w, 0x80000abc, (uint32_t)len);
    kit_fill(w, len);
    while ( (w->len - at) % 8 )
        xc_sr__write_bytes(w, "", 1);
}

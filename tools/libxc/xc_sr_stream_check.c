/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_stream_check.c: the phase automaton: which record may come when.
 *
 *   forward   opening -> [advised] -> static -> memory -> context -> announce
 *               -> upper -> push -> ended            (memory -> ended: stock)
 *   back      opening -> ready -> prepared -> running -> ended
 *
 * Version 2 has neither advised nor static nor any back phase but opening.
 * The table's masks say in which phases a record may appear at all; the rules
 * here say what must have come before it and what must not.  Where a phase
 * depends on a record's body (a refusal, RECOVER) the reader moves it.
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Phases".
 */
#include <errno.h>

#include "xc_sr_stream.h"

#define BIT(NAME) (1ULL << XC_SR_REC_##NAME)

_Static_assert(XC_SR_REC_COUNT <= 64, "seen is a mask of 64 bits");

/* Records that only make sense for one type of guest. */
#define PV_ONLY                                                                \
    (BIT(X86_PV_INFO) | BIT(X86_PV_P2M_FRAMES) | BIT(X86_PV_VCPU_BASIC) |      \
     BIT(X86_PV_VCPU_EXTENDED) | BIT(X86_PV_VCPU_XSAVE) |                      \
     BIT(X86_PV_VCPU_MSRS) | BIT(SHARED_INFO))
#define PV_VCPU                                                                \
    (BIT(X86_PV_VCPU_BASIC) | BIT(X86_PV_VCPU_EXTENDED) |                      \
     BIT(X86_PV_VCPU_XSAVE) | BIT(X86_PV_VCPU_MSRS))
#define HVM_ONLY                                                               \
    (BIT(HVM_CONTEXT) | BIT(HVM_PARAMS) | BIT(POSTCOPY_BEGIN) |                \
     BIT(POSTCOPY_DISCARD) | BIT(ZERO_PAGES))

#define HVM_STATE     (BIT(HVM_CONTEXT) | BIT(HVM_PARAMS))
#define HVM_STATE_ALL (HVM_STATE | BIT(X86_TSC_INFO))
#define PV_STATE                                                               \
    (BIT(X86_PV_INFO) | BIT(X86_PV_P2M_FRAMES) | BIT(SHARED_INFO) |            \
     BIT(X86_PV_VCPU_BASIC))

/* At most once; those of STATE once again after a CHECKPOINT. */
#define STATE (HVM_STATE_ALL | BIT(SHARED_INFO) | PV_VCPU)
#define ONCE                                                                   \
    (HVM_STATE_ALL | BIT(SHARED_INFO) | BIT(X86_PV_INFO) |                     \
     BIT(X86_CPUID_POLICY) | BIT(X86_MSR_POLICY) | BIT(VERIFY) |               \
     BIT(POSTCOPY_COMMIT) | BIT(POSTCOPY_STATS) | BIT(POSTCOPY_RESUME))

/* Version 3: only in a stream that began with ADVISE (or RESUME). */
#define NEEDS_ADVISE                                                           \
    (BIT(POSTCOPY_BEGIN) | BIT(POSTCOPY_DISCARD) | BIT(POSTCOPY_ABORT) |       \
     BIT(ZERO_PAGES))

/* What an advised stream may hold before BEGIN. */
#define ADVISED_MEMORY                                                         \
    (BIT(PAGE_DATA) | BIT(ZERO_PAGES) | BIT(POSTCOPY_DISCARD) |                \
     BIT(POSTCOPY_BEGIN) | BIT(POSTCOPY_ABORT))

#define PHASES_OF(NAME, lname, v2, v3, shape, low, high, phases)               \
    [XC_SR_REC_##NAME] = (phases),
static const uint32_t fwd_phases[XC_SR_REC_COUNT] = { XC_SR_RECORDS_FWD(
    PHASES_OF) };
static const uint32_t back_phases[XC_SR_REC_COUNT] = { XC_SR_RECORDS_BACK(
    PHASES_OF) };
#undef PHASES_OF

void xc_sr__phase_init(struct xc_sr_phase_check *check,
                       enum xc_sr_direction direction, unsigned int version)
{
    *check = (struct xc_sr_phase_check){
        .direction = direction,
        .version = version,
        .phase =
            direction == XC_SR_BACK ? XC_SR_BACK_OPENING : XC_SR_FWD_OPENING,
    };
    /* Nothing of version 2 comes before memory. */
    if ( direction == XC_SR_FORWARD && version == 2 )
        check->phase = XC_SR_FWD_MEMORY;
}

const char *xc_sr__phase_label(const struct xc_sr_phase_check *check)
{
    static const char *const fwd[] = { "opening", "advised", "static",
                                       "memory",  "context", "announce",
                                       "upper",   "push",    "ended",
                                       "resuming" };
    static const char *const back[] = { "opening", "ready", "prepared",
                                        "running", "ended" };
    unsigned int n = (unsigned int)__builtin_ctz(check->phase);

    if ( check->direction == XC_SR_BACK )
        return n < XC_SR_ARRAY_SIZE(back) ? back[n] : "unknown";
    return n < XC_SR_ARRAY_SIZE(fwd) ? fwd[n] : "unknown";
}

static int out_of_phase(struct xc_sr_stream_fault *fault, const char *why)
{
    return xc_sr__fault_set(fault, -EPROTO, fault->offset, "phase", "%s", why);
}

/* The name of the first record of a mask, for messages. */
static const char *first_of(uint64_t mask)
{
    return xc_sr__rec_name((enum xc_sr_rec)__builtin_ctzll(mask));
}

/* Everything in `needs` must have been seen. */
static int need_seen(const struct xc_sr_phase_check *check, uint64_t needs,
                     struct xc_sr_stream_fault *fault)
{
    uint64_t missing = needs & ~check->seen;

    if ( !missing )
        return 0;
    return xc_sr__fault_set(fault, -EPROTO, fault->offset, "phase",
                            "%s has to come first", first_of(missing));
}

/* The records of one guest type stay out of the other's stream. */
static int check_guest(const struct xc_sr_phase_check *check, uint64_t bit,
                       struct xc_sr_stream_fault *fault)
{
    if ( (bit & PV_ONLY) && check->guest_type == XC_SR_GUEST_HVM )
        return out_of_phase(fault, "a PV record in the stream of an HVM guest");
    if ( (bit & HVM_ONLY) && check->guest_type == XC_SR_GUEST_PV )
        return out_of_phase(fault, "an HVM record in the stream of a PV guest");
    return 0;
}

/* What stock streams ask to come before a record. */
static uint64_t stock_needs(const struct xc_sr_phase_check *check, uint64_t bit)
{
    bool pv = check->guest_type == XC_SR_GUEST_PV;

    if ( pv && (bit & (BIT(STATIC_DATA_END) | BIT(X86_PV_P2M_FRAMES))) )
        return BIT(X86_PV_INFO);
    if ( pv && (bit & BIT(PAGE_DATA)) )
        return BIT(X86_PV_P2M_FRAMES);
    if ( bit & PV_VCPU )
        return BIT(PAGE_DATA);
    /* What ends a set of state has to have the state. */
    if ( bit & BIT(CHECKPOINT) )
        return pv ? PV_STATE : HVM_STATE;
    if ( (bit & BIT(END)) && check->phase == XC_SR_FWD_MEMORY &&
         !check->checkpointed )
        return pv ? PV_STATE : HVM_STATE;
    return 0;
}

/* Records of ours: what has to be, and must not have been, before them. */
static int check_postcopy(const struct xc_sr_phase_check *check, uint64_t bit,
                          struct xc_sr_stream_fault *fault)
{
    bool v3 = check->version == 3;
    bool advised = check->seen & BIT(POSTCOPY_ADVISE);
    bool resumed = check->seen & BIT(POSTCOPY_RESUME);

    if ( v3 && !advised && !resumed && (bit & NEEDS_ADVISE) )
        return out_of_phase(fault, "in a stream that has no POSTCOPY_ADVISE");
    if ( advised && check->phase == XC_SR_FWD_MEMORY &&
         !(bit & ADVISED_MEMORY) )
        return out_of_phase(fault, "after POSTCOPY_ADVISE it cannot come "
                                   "before POSTCOPY_BEGIN");
    if ( (bit & BIT(POSTCOPY_BEGIN)) &&
         (check->seen & (HVM_STATE_ALL | BIT(VERIFY) | BIT(CHECKPOINT))) )
        return out_of_phase(fault, "after state records, VERIFY or CHECKPOINT");
    if ( bit & BIT(POSTCOPY_PFNS_BEGIN) )
        return need_seen(check, HVM_STATE_ALL, fault);
    if ( (bit & BIT(POSTCOPY_ABORT)) && (check->seen & BIT(POSTCOPY_COMMIT)) )
        return out_of_phase(fault, "after POSTCOPY_COMMIT");
    if ( (bit & BIT(END)) && v3 && check->phase == XC_SR_FWD_PUSH && !resumed )
        return need_seen(check, BIT(POSTCOPY_COMMIT), fault);
    return 0;
}

static int forward_rules(const struct xc_sr_phase_check *check, uint64_t bit,
                         struct xc_sr_stream_fault *fault)
{
    int rc = check_guest(check, bit, fault);

    if ( rc )
        return rc;
    if ( (bit & BIT(X86_PV_INFO)) && check->version == 3 &&
         check->phase == XC_SR_FWD_MEMORY )
        return out_of_phase(fault, "has to come before STATIC_DATA_END");
    rc = check_postcopy(check, bit, fault);
    return rc ? rc : need_seen(check, stock_needs(check, bit), fault);
}

static int back_rules(const struct xc_sr_phase_check *check, uint64_t bit,
                      struct xc_sr_stream_fault *fault)
{
    const uint64_t list = BIT(CHECKPOINT_DIRTY_PFN_LIST);
    bool stock = check->seen & list;

    if ( stock && bit != list )
        return out_of_phase(fault,
                            "after CHECKPOINT_DIRTY_PFN_LIST nothing else");
    if ( !stock && bit == list && check->seen )
        return out_of_phase(fault, "not on a post-copy back channel");
    /* Version 2 has no READY: its two records stand in the first phase. */
    if ( check->version == 3 && check->phase == XC_SR_BACK_OPENING &&
         (bit & (BIT(POSTCOPY_FAULT) | BIT(POSTCOPY_COMPLETE))) )
        return out_of_phase(fault, "POSTCOPY_READY has to come first");
    if ( (check->seen & BIT(POSTCOPY_STATS)) && bit != BIT(POSTCOPY_COMPLETE) )
        return out_of_phase(fault, "after POSTCOPY_STATS only "
                                   "POSTCOPY_COMPLETE");
    return 0;
}

/* The phase after a record; the same one for most. */
static uint32_t next_phase(const struct xc_sr_phase_check *check,
                           enum xc_sr_rec rec)
{
    switch ( (int)rec )
    {
    case XC_SR_REC_POSTCOPY_ADVISE:
        return XC_SR_FWD_ADVISED;
    case XC_SR_REC_X86_PV_INFO:
        return check->version == 3 ? XC_SR_FWD_STATIC : check->phase;
    case XC_SR_REC_X86_CPUID_POLICY:
    case XC_SR_REC_X86_MSR_POLICY:
        return XC_SR_FWD_STATIC;
    case XC_SR_REC_STATIC_DATA_END:
        return XC_SR_FWD_MEMORY;
    case XC_SR_REC_POSTCOPY_BEGIN:
        return XC_SR_FWD_CONTEXT;
    case XC_SR_REC_POSTCOPY_PFNS_BEGIN:
        return XC_SR_FWD_ANNOUNCE;
    case XC_SR_REC_POSTCOPY_TRANSITION:
        return XC_SR_FWD_UPPER;
    case XC_SR_REC_POSTCOPY_RESUME:
        return XC_SR_FWD_PUSH;
    case XC_SR_REC_END:
    case XC_SR_REC_POSTCOPY_ABORT:
        return XC_SR_FWD_ENDED;
    case XC_SR_REC_POSTCOPY_READY:
    case XC_SR_REC_POSTCOPY_RECOVER:
        return XC_SR_BACK_READY;
    case XC_SR_REC_POSTCOPY_PREPARED:
        return XC_SR_BACK_PREPARED;
    case XC_SR_REC_POSTCOPY_RUNNING:
        return XC_SR_BACK_RUNNING;
    case XC_SR_REC_POSTCOPY_COMPLETE:
    case XC_SR_REC_POSTCOPY_NAK:
        return XC_SR_BACK_ENDED;
    default:
        return check->phase;
    }
}

int xc_sr__phase_step(struct xc_sr_phase_check *check, enum xc_sr_rec rec,
                      struct xc_sr_stream_fault *fault)
{
    bool back = check->direction == XC_SR_BACK;
    uint64_t bit = 1ULL << rec;
    int rc;

    if ( !((back ? back_phases : fwd_phases)[rec] & check->phase) )
        return xc_sr__fault_set(fault, -EPROTO, fault->offset, "phase",
                                "%s may not come in phase \"%s\"",
                                xc_sr__rec_name(rec),
                                xc_sr__phase_label(check));
    if ( check->seen & bit & ONCE )
        return out_of_phase(fault, "came already, may come once only");
    rc =
        back ? back_rules(check, bit, fault) : forward_rules(check, bit, fault);
    if ( rc )
        return rc;

    check->seen |= bit;
    check->phase = next_phase(check, rec);
    if ( rec == XC_SR_REC_CHECKPOINT )
        check->seen &= ~STATE;
    if ( !back )
        check->checkpointed = rec == XC_SR_REC_CHECKPOINT;
    return 0;
}

void xc_sr__phase_upper_done(struct xc_sr_phase_check *check)
{
    if ( check->phase == XC_SR_FWD_UPPER )
        check->phase = XC_SR_FWD_PUSH;
}

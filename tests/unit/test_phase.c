/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The phase automaton: for each example stream, at each point of it, which
 * records may come next; and the rules one by one.
 */
#include <check.h>
#include <errno.h>

#include "codec_kit.h"

#define MAX_STEPS 16

/* One step of a scenario: a record, or one of these. */
enum
{
    STOP = -1,
    UPPER = -2, /* the layer above is done */
};

#define R(NAME) XC_SR_REC_##NAME

struct scenario
{
    enum xc_sr_direction direction;
    unsigned int version;
    uint32_t guest;
    int steps[MAX_STEPS];
    int refused;     /* the record that may not follow; STOP: all is well */
    const char *why; /* part of what is said */
};

#define FWD2    XC_SR_FORWARD, 2, XC_SR_GUEST_HVM
#define FWD3    XC_SR_FORWARD, 3, XC_SR_GUEST_HVM
#define PV2     XC_SR_FORWARD, 2, XC_SR_GUEST_PV
#define PV3     XC_SR_FORWARD, 3, XC_SR_GUEST_PV
#define BACK2   XC_SR_BACK, 2, XC_SR_GUEST_HVM
#define BACK3   XC_SR_BACK, 3, XC_SR_GUEST_HVM
#define ADVISED R(POSTCOPY_ADVISE), R(STATIC_DATA_END)
#define STATE   R(X86_TSC_INFO), R(HVM_CONTEXT), R(HVM_PARAMS)
#define SWITCHED                                                               \
    ADVISED, R(POSTCOPY_BEGIN), STATE, R(POSTCOPY_PFNS_BEGIN),                 \
        R(POSTCOPY_TRANSITION)

/* clang-format off */
static const struct scenario scenarios[] = {
    /* stock order */
    { FWD3, { STOP }, R(PAGE_DATA), "phase \"opening\"" },
    { FWD3, { STOP }, R(END), "phase \"opening\"" },
    { FWD3, { R(X86_CPUID_POLICY), STOP }, R(PAGE_DATA), "phase \"static\"" },
    { FWD3, { R(X86_CPUID_POLICY), STOP }, R(X86_CPUID_POLICY), "once" },
    { FWD3, { R(STATIC_DATA_END), STOP }, R(STATIC_DATA_END), "phase" },
    { FWD3, { R(STATIC_DATA_END), STOP }, R(X86_MSR_POLICY), "phase" },
    { FWD3, { R(STATIC_DATA_END), R(PAGE_DATA), STOP }, R(END),
      "HVM_CONTEXT has to come first" },
    { FWD3, { R(STATIC_DATA_END), R(HVM_CONTEXT), STOP }, R(END),
      "HVM_PARAMS has to come first" },
    { FWD3, { R(STATIC_DATA_END), R(HVM_PARAMS), R(HVM_CONTEXT), R(END),
      STOP }, R(PAGE_DATA), "phase \"ended\"" },
    { FWD2, { STATE, STOP }, R(X86_TSC_INFO), "once" },
    { FWD2, { STATE, STOP }, R(HVM_CONTEXT), "once" },
    { FWD2, { STATE, STOP }, R(HVM_PARAMS), "once" },
    { FWD2, { R(VERIFY), STOP }, R(VERIFY), "once" },
    { FWD2, { R(PAGE_DATA), STOP }, R(CHECKPOINT), "HVM_CONTEXT" },
    { FWD2, { STATE, R(CHECKPOINT), STATE, STOP }, R(X86_TSC_INFO), "once" },
    { FWD2, { STATE, R(CHECKPOINT), R(PAGE_DATA), STOP }, R(END),
      "HVM_CONTEXT" },
    { FWD2, { STATE, R(CHECKPOINT), R(END), STOP }, STOP, NULL },
    /* the guest's type */
    { FWD2, { STOP }, R(X86_PV_INFO), "PV record" },
    { FWD2, { STOP }, R(SHARED_INFO), "PV record" },
    { PV2, { STOP }, R(HVM_CONTEXT), "HVM record" },
    { PV2, { STOP }, R(POSTCOPY_BEGIN), "HVM record" },
    { PV2, { STOP }, R(PAGE_DATA), "X86_PV_P2M_FRAMES has to come first" },
    { PV2, { STOP }, R(X86_PV_P2M_FRAMES), "X86_PV_INFO has to come first" },
    { PV2, { R(X86_PV_INFO), STOP }, R(X86_PV_INFO), "once" },
    { PV2, { R(X86_PV_INFO), R(X86_PV_P2M_FRAMES), STOP },
      R(X86_PV_VCPU_BASIC), "PAGE_DATA has to come first" },
    { PV2, { R(X86_PV_INFO), R(X86_PV_P2M_FRAMES), R(PAGE_DATA), STOP },
      R(END), "X86_PV_VCPU_BASIC has to come first" },
    { PV2, { R(X86_PV_INFO), R(X86_PV_P2M_FRAMES), R(PAGE_DATA),
      R(X86_PV_VCPU_BASIC), STOP }, R(END), "SHARED_INFO has to come" },
    { PV3, { STOP }, R(STATIC_DATA_END), "X86_PV_INFO has to come first" },
    { PV3, { R(X86_PV_INFO), R(STATIC_DATA_END), STOP }, R(X86_PV_INFO),
      "once" },
    /* nothing of ours without ADVISE */
    { FWD3, { R(STATIC_DATA_END), STOP }, R(POSTCOPY_BEGIN), "no POSTCOPY_ADV" },
    { FWD3, { R(STATIC_DATA_END), STOP }, R(POSTCOPY_DISCARD), "no POSTCOPY_A" },
    { FWD3, { R(STATIC_DATA_END), STOP }, R(ZERO_PAGES), "no POSTCOPY_ADVISE" },
    { FWD3, { R(STATIC_DATA_END), STOP }, R(POSTCOPY_ABORT), "no POSTCOPY_A" },
    { FWD3, { STOP }, R(POSTCOPY_ABORT), "phase \"opening\"" },
    { FWD3, { R(X86_CPUID_POLICY), STOP }, R(POSTCOPY_ADVISE), "phase" },
    { FWD3, { R(POSTCOPY_ADVISE), STOP }, R(POSTCOPY_ADVISE), "phase" },
    /* an advised stream */
    { FWD3, { R(POSTCOPY_ADVISE), STOP }, R(PAGE_DATA), "phase \"advised\"" },
    { FWD3, { ADVISED, STOP }, R(END), "before POSTCOPY_BEGIN" },
    { FWD3, { ADVISED, STOP }, R(X86_TSC_INFO), "before POSTCOPY_BEGIN" },
    { FWD3, { ADVISED, STOP }, R(HVM_CONTEXT), "before POSTCOPY_BEGIN" },
    { FWD3, { ADVISED, STOP }, R(CHECKPOINT), "before POSTCOPY_BEGIN" },
    { FWD3, { ADVISED, STOP }, R(VERIFY), "before POSTCOPY_BEGIN" },
    { FWD3, { ADVISED, STOP }, R(POSTCOPY_PFNS_BEGIN), "phase \"memory\"" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STOP }, R(PAGE_DATA), "\"context\"" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STOP }, R(POSTCOPY_DISCARD),
      "\"context\"" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STOP }, R(POSTCOPY_PFNS_BEGIN),
      "has to come first" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), R(HVM_CONTEXT), R(HVM_PARAMS),
      STOP }, R(POSTCOPY_PFNS_BEGIN), "X86_TSC_INFO has to come first" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), R(HVM_PARAMS), R(X86_TSC_INFO),
      R(HVM_CONTEXT), R(POSTCOPY_PFNS_BEGIN), STOP }, STOP, NULL },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STATE, STOP }, R(HVM_PARAMS),
      "once" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STATE, STOP },
      R(POSTCOPY_TRANSITION), "phase \"context\"" },
    { FWD3, { ADVISED, R(POSTCOPY_BEGIN), STATE, STOP }, R(POSTCOPY_PFNS),
      "phase \"context\"" },
    { FWD3, { SWITCHED, STOP }, R(POSTCOPY_PAGE_DATA), "phase \"upper\"" },
    { FWD3, { SWITCHED, STOP }, R(POSTCOPY_ABORT), "phase \"upper\"" },
    { FWD3, { SWITCHED, UPPER, STOP }, R(PAGE_DATA), "phase \"push\"" },
    { FWD3, { SWITCHED, UPPER, STOP }, R(POSTCOPY_PFNS), "phase \"push\"" },
    { FWD3, { SWITCHED, UPPER, STOP }, R(END), "POSTCOPY_COMMIT has to come" },
    { FWD3, { SWITCHED, UPPER, R(POSTCOPY_COMMIT), STOP }, R(POSTCOPY_COMMIT),
      "once" },
    { FWD3, { SWITCHED, UPPER, R(POSTCOPY_COMMIT), STOP }, R(POSTCOPY_ABORT),
      "after POSTCOPY_COMMIT" },
    { FWD3, { SWITCHED, UPPER, R(POSTCOPY_ABORT), STOP }, R(END),
      "phase \"ended\"" },
    { FWD3, { SWITCHED, UPPER, R(ZERO_PAGES), R(POSTCOPY_COMMIT), R(END),
      STOP }, STOP, NULL },
    { FWD3, { R(POSTCOPY_ADVISE), R(POSTCOPY_ABORT), STOP }, STOP, NULL },
    { FWD3, { STOP }, R(POSTCOPY_RESUME), "phase \"opening\"" },
    /* the original's order */
    { FWD2, { STATE, STOP }, R(POSTCOPY_BEGIN), "after state records" },
    { FWD2, { R(VERIFY), STOP }, R(POSTCOPY_BEGIN), "after state records" },
    { FWD2, { R(POSTCOPY_BEGIN), STOP }, R(END), "phase \"context\"" },
    { FWD2, { R(POSTCOPY_BEGIN), STATE, R(POSTCOPY_PFNS_BEGIN),
      R(POSTCOPY_TRANSITION), UPPER, R(END), STOP }, STOP, NULL },
    /* the back channel */
    { BACK2, { R(POSTCOPY_FAULT), R(POSTCOPY_COMPLETE), STOP },
      R(POSTCOPY_FAULT), "phase \"ended\"" },
    { BACK2, { R(POSTCOPY_FAULT), STOP }, R(CHECKPOINT_DIRTY_PFN_LIST),
      "not on a post-copy" },
    { BACK2, { R(CHECKPOINT_DIRTY_PFN_LIST), R(CHECKPOINT_DIRTY_PFN_LIST),
      STOP }, R(POSTCOPY_FAULT), "nothing else" },
    { BACK3, { STOP }, R(POSTCOPY_FAULT), "READY has to come first" },
    { BACK3, { STOP }, R(POSTCOPY_COMPLETE), "READY has to come first" },
    { BACK3, { R(POSTCOPY_NAK), STOP }, R(POSTCOPY_READY), "phase \"ended\"" },
    { BACK3, { STOP }, R(POSTCOPY_ACK), "phase \"opening\"" },
    { BACK3, { R(POSTCOPY_READY), STOP }, R(POSTCOPY_READY), "phase" },
    { BACK3, { R(POSTCOPY_READY), STOP }, R(POSTCOPY_RECOVER), "phase" },
    { BACK3, { R(POSTCOPY_READY), STOP }, R(POSTCOPY_RUNNING),
      "phase \"ready\"" },
    { BACK3, { R(POSTCOPY_READY), STOP }, R(POSTCOPY_COMPLETE),
      "phase \"ready\"" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_FAULT), R(POSTCOPY_PREPARED),
      STOP }, R(POSTCOPY_PREPARED), "phase \"prepared\"" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), STOP },
      R(POSTCOPY_COMPLETE), "phase \"prepared\"" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), R(POSTCOPY_RUNNING),
      STOP }, R(POSTCOPY_NAK), "phase \"running\"" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), R(POSTCOPY_RUNNING),
      R(POSTCOPY_STATS), STOP }, R(POSTCOPY_STATS), "once" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), R(POSTCOPY_RUNNING),
      R(POSTCOPY_STATS), STOP }, R(POSTCOPY_FAULT), "only POSTCOPY_COMPLETE" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), R(POSTCOPY_NAK),
      STOP }, R(POSTCOPY_COMPLETE), "phase \"ended\"" },
    { BACK3, { R(POSTCOPY_READY), R(POSTCOPY_PREPARED), R(POSTCOPY_RUNNING),
      R(POSTCOPY_FAULT), R(POSTCOPY_ACK), R(POSTCOPY_STATS),
      R(POSTCOPY_COMPLETE), STOP }, STOP, NULL },
    /* a record of the other direction */
    { FWD3, { STOP }, R(POSTCOPY_READY), "may not come" },
    { BACK3, { STOP }, R(POSTCOPY_ADVISE), "may not come" },
};
/* clang-format on */

START_TEST(rule)
{
    const struct scenario *s = &scenarios[_i];
    struct xc_sr_phase_check check;
    struct xc_sr_stream_fault fault = { .offset = 77 };
    uint32_t phase;
    int rc;

    xc_sr__phase_init(&check, s->direction, s->version);
    check.guest_type = s->guest;
    for ( int i = 0; s->steps[i] != STOP; i++ )
    {
        if ( s->steps[i] == UPPER )
        {
            xc_sr__phase_upper_done(&check);
            continue;
        }
        rc = xc_sr__phase_step(&check, (enum xc_sr_rec)s->steps[i], &fault);
        ck_assert_msg(!rc, "case %d, step %d: %s", _i, i, fault.why);
    }
    if ( s->refused == STOP )
        return;
    phase = check.phase;
    rc = xc_sr__phase_step(&check, (enum xc_sr_rec)s->refused, &fault);
    ck_assert_msg(rc == -EPROTO, "case %d: rc %d", _i, rc);
    ck_assert_msg(strstr(fault.why, s->why), "case %d: \"%s\"", _i, fault.why);
    ck_assert_uint_eq(fault.offset, 77);
    ck_assert_str_eq(fault.field, "phase");
    ck_assert_uint_eq(check.phase, phase);
}
END_TEST

/*
 * Whatever may follow a prefix of an example stream must be in the table for
 * that phase: the rules only ever forbid more than the table does.
 */
START_TEST(nothing_is_legal_that_the_table_forbids)
{
    static const uint32_t fwd[XC_SR_REC_COUNT] = {
#define PHASES(NAME, l, v2, v3, b, lo, hi, p) [R(NAME)] = (p),
        XC_SR_RECORDS_FWD(PHASES)
    };
    static const uint32_t back[XC_SR_REC_COUNT] = { XC_SR_RECORDS_BACK(
        PHASES) };
#undef PHASES
    const struct kit_stream *s = &kit_streams[_i];
    const uint32_t *table = s->direction == XC_SR_BACK ? back : fwd;
    struct xc_sr_phase_check check;
    struct xc_sr_stream_fault fault;

    if ( s->head == KIT_HEAD_RESUMING )
        return; /* the reader sets these phases from a body */
    xc_sr__phase_init(&check, s->direction, s->version);
    check.guest_type =
        s->head == KIT_HEAD_PV ? XC_SR_GUEST_PV : XC_SR_GUEST_HVM;
    for ( int i = 0; s->records[i] != KIT_STOP; i++ )
    {
        int rec = s->records[i];

        for ( unsigned int next = 0; next < XC_SR_REC_COUNT; next++ )
        {
            struct xc_sr_phase_check copy = check;

            if ( !xc_sr__phase_step(&copy, (enum xc_sr_rec)next, &fault) )
                ck_assert_uint_ne(table[next] & check.phase, 0);
        }
        if ( rec == KIT_UPPER )
            xc_sr__phase_upper_done(&check);
        else if ( rec != KIT_UNKNOWN )
            ck_assert_int_eq(xc_sr__phase_step(&check,
                                               rec == KIT_PV_PAGES
                                                   ? R(PAGE_DATA)
                                                   : (enum xc_sr_rec)rec,
                                               &fault),
                             0);
    }
    ck_assert_str_eq(xc_sr__phase_label(&check), "ended");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phase");
    TCase *tc = tcase_create("phase");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, rule, 0, (int)XC_SR_ARRAY_SIZE(scenarios));
    tcase_add_loop_test(tc, nothing_is_legal_that_the_table_forbids, 0,
                        (int)KIT_NR_STREAMS);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

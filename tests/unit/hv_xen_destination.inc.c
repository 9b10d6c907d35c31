/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hv_xen_destination.inc.c: the Xen backend at the destination, on a Xen in
 * memory (fake_xen.h), and the small steps of its tests.  Included by
 * test_hv_xen_destination.c and test_hv_xen_faults.c.
 */
#include "fake_xen_more.inc.c"

#define NR      1200u
#define RING    1100u
#define STORE   1101u
#define CONSOLE 1102u

static struct fake_host *host;
static struct xc_sr_hv *hv;
static struct xc_sr_xen_destination_params params;
static char last_error[256];
static uint8_t contents[64 * XC_SR_PAGE_SIZE];

static void keep_error(void *ctx, enum xc_sr_log_level level, const char *text)
{
    (void)ctx;
    if ( level == XC_SR_LOG_ERROR )
        snprintf(last_error, sizeof(last_error), "%s", text);
}

static const struct xc_sr_log log_to = { .write = keep_error };

static void open_it(void)
{
    ck_assert_int_eq(
        xc_sr_hv_open_xen_destination(FAKE_DOMID, &params, &log_to, &hv), 0);
}

static void set_up(void)
{
    params = (struct xc_sr_xen_destination_params){
        .store_evtchn = 3,
        .store_domid = 0,
        .console_evtchn = 4,
        .console_domid = 1,
    };
    last_error[0] = '\0';
    fake_here = host = fake_host_new();
    fake_guest_empty(host, NR + 8);
    memset(contents, 0x5a, sizeof(contents));
    open_it();
}

static void assert_all_closed(void)
{
    ck_assert_uint_eq(host->handles, 0);
    ck_assert_uint_eq(host->buffers, 0);
    ck_assert_uint_eq(host->resources, 0);
    ck_assert_uint_eq(host->events, 0);
    ck_assert_uint_eq(fake_mapped(host), 0);
    /* What is still to come has its frames. */
    if ( !fake_count(host, FAKE_OUT) || host->shut_down )
        ck_assert_uint_eq(host->claimed, 0);
    ck_assert_uint_eq(host->bad_responses, 0);
}

static void close_it(void)
{
    xc_sr_hv_close(hv);
    hv = NULL;
    assert_all_closed();
}

static void tear_down(void)
{
    if ( hv )
        close_it();
    fake_host_free(host);
}

/* ---- Small steps -------------------------------------------------------------------- */

static int errs[XC_SR_HV_BATCH];

static const uint64_t *run_of(uint64_t first, unsigned int nr)
{
    static uint64_t pfns[XC_SR_HV_BATCH];

    for ( unsigned int i = 0; i < nr; i++ )
        pfns[i] = first + i;
    return pfns;
}

static void assert_errs(unsigned int nr, int wanted)
{
    for ( unsigned int i = 0; i < nr; i++ )
        ck_assert_msg(errs[i] == wanted, "entry %u: %d", i, errs[i]);
}

static __attribute__((unused)) void populate(uint64_t first, unsigned int nr)
{
    ck_assert_int_eq(xc_sr__hv_populate(hv, run_of(first, nr), nr, errs), 0);
    assert_errs(nr, 0);
}

static void page_out(uint64_t first, unsigned int nr)
{
    ck_assert_int_eq(xc_sr__hv_page_out(hv, run_of(first, nr), nr, errs), 0);
    assert_errs(nr, 0);
}

/* What ADVISE says of the params, as a body of HVM_PARAMS. */
static int put_ring_gfn(uint64_t gfn)
{
    uint8_t body[24] = { 1 };

    xc_sr__put_le64(body + 8, HVM_PARAM_PAGING_RING_PFN);
    xc_sr__put_le64(body + 16, gfn);
    return xc_sr__hv_state_put(hv, XC_SR_HV_STATE_EARLY_PARAMS, body,
                               sizeof(body));
}

static void paging_on(void)
{
    ck_assert_int_eq(put_ring_gfn(RING), 0);
    ck_assert_int_eq(xc_sr__hv_paging_on(hv), 0);
    ck_assert(host->paging);
}

static __attribute__((unused)) unsigned int take_faults(
    struct xc_sr_hv_fault *faults, unsigned int max)
{
    unsigned int nr = 0;

    ck_assert_int_eq(xc_sr__hv_next_faults(hv, faults, max, &nr), 0);
    return nr;
}

/* A guest that runs, one vCPU a page, from pfn first on. */
static __attribute__((unused)) void unleash(uint64_t first, unsigned int vcpus,
                                            uint64_t each)
{
    for ( unsigned int n = 0; n < vcpus; n++ )
        host->vcpus[n] = (struct fake_vcpu){ .at = first + n * each,
                                             .end = first + (n + 1) * each };
    ck_assert_int_eq(xc_sr__hv_unpause(hv, false), 0);
}

static int load(uint64_t pfn)
{
    int err = -1;

    ck_assert_int_eq(xc_sr__hv_page_in(hv, &pfn, 1, contents, &err), 0);
    return err;
}

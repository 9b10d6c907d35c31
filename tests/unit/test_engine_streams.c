/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_engine_streams.c: the receiver reads whole streams that no engine of
 * ours wrote, as out of a file: what it takes arrives, and what it cannot take
 * it refuses by name, with no guest started.
 */
#include <check.h>
#include <sys/socket.h>

#include "fake_hv.inc.c"

#include "codec_kit.h"

static struct world
{
    struct fake_guest guest;
    struct xc_sr_restore_result result;
    bool destroyed;
    int rc;
} w;

static void set_up(void)
{
    memset(&w, 0, sizeof(w));
    fake_guest_init(&w.guest, KIT_NR_PFNS, false);
}

static void tear_down(void)
{
    fake_guest_dispose(&w.guest);
}

static int on_destroy(void *ctx)
{
    (void)ctx;
    w.destroyed = true;
    return 0;
}

static void restore(const char *name, bool back)
{
    const struct kit_stream *s = kit_find(name);
    struct kit_index index;
    struct xc_sr_writer stream;
    int fd[2];

    kit_build(s, &stream, &index);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    ck_assert_int_eq(send(fd[1], stream.buf, stream.len, MSG_NOSIGNAL),
                     (ssize_t)stream.len);
    shutdown(fd[1], SHUT_WR);
    w.rc = xc_sr_restore(
        &(struct xc_sr_restore_params){ .hv = &w.guest.hv,
                                        .recv_fd = fd[0],
                                        .send_fd = back ? fd[0] : -1,
                                        .destroy = on_destroy,
                                        .watch = { .fd = -1 } },
        &w.result);
    close(fd[0]);
    close(fd[1]);
    xc_sr__writer_dispose(&stream);
}

static void assert_refused(const char *why)
{
    ck_assert_int_lt(w.rc, 0);
    ck_assert_msg(strstr(w.result.why, why), "not \"%s\": %s", why,
                  w.result.why);
    ck_assert(!w.guest.unpaused);
    ck_assert(!w.result.ran);
    ck_assert(w.destroyed);
}

/* ---- What arrives -------------------------------------------------------------------- */

static const char *const stock[] = { "stock-2-hvm", "stock-3-hvm" };

static void assert_arrived(void)
{
    const uint8_t *page = w.guest.memory + XC_SR_PAGE_SIZE;

    ck_assert_msg(w.rc == 0, "%s", w.result.why);
    ck_assert(w.result.plain && w.result.end_seen && !w.destroyed);
    ck_assert(!w.guest.unpaused); /* the caller decides who runs it */
    ck_assert(w.guest.state_done);
    ck_assert_uint_eq(w.guest.static_data_done, 1);
    for ( unsigned int i = 0; i < 256; i++ )
        ck_assert_uint_eq(page[i], (uint8_t)(i * 7 + 1));
    ck_assert(w.guest.populated[3] && !w.guest.populated[2]);
}

START_TEST(a_stock_stream_arrives)
{
    restore(stock[_i], false);
    assert_arrived();
}
END_TEST

/* Xen decides what of the policies it has a use for. */
START_TEST(policies_that_the_hypervisor_does_not_have_are_left_out)
{
    w.guest.refused_state = XC_SR_HV_STATE_CPUID_POLICY;
    w.guest.refused_state_error = _i ? -ENODATA : -EOPNOTSUPP;
    restore("stock-3-hvm", false);
    assert_arrived();
}
END_TEST

/* ---- What the guest does not take ----------------------------------------------------- */

static const struct
{
    enum xc_sr_hv_state state;
    const char *why;
} states[] = {
    { XC_SR_HV_STATE_CPUID_POLICY, "does not take X86_CPUID_POLICY" },
    { XC_SR_HV_STATE_MSR_POLICY, "does not take X86_MSR_POLICY" },
    { XC_SR_HV_STATE_TSC, "does not take X86_TSC_INFO" },
    { XC_SR_HV_STATE_HVM_CONTEXT, "does not take HVM_CONTEXT" },
    { XC_SR_HV_STATE_HVM_PARAMS, "does not take HVM_PARAMS" },
};

START_TEST(state_that_the_guest_does_not_take_is_named)
{
    w.guest.refused_state = states[_i].state;
    w.guest.refused_state_error = -EINVAL;
    restore("stock-3-hvm", false);
    ck_assert_int_eq(w.rc, -EINVAL);
    assert_refused(states[_i].why);
}
END_TEST

START_TEST(params_of_advise_that_the_guest_does_not_take)
{
    w.guest.refused_state = XC_SR_HV_STATE_EARLY_PARAMS;
    w.guest.refused_state_error = -EINVAL;
    restore("postcopy-3", true);
    assert_refused("HVM params of ADVISE");
}
END_TEST

/* ---- What this receiver does not take --------------------------------------------------- */

static const char *const pv[] = { "stock-2-pv", "stock-3-pv" };

START_TEST(a_pv_guest_is_refused)
{
    restore(pv[_i], false);
    assert_refused("holds a guest of type 1, this one is 2");
}
END_TEST

/* The domain that was made for it is PV too. */
START_TEST(a_pv_guest_is_refused_in_a_pv_domain)
{
    w.guest.hv.info.guest_type = 1;
    restore(pv[_i], false);
    ck_assert_int_eq(w.rc, -EOPNOTSUPP);
    assert_refused("PV guests cannot be restored here");
}
END_TEST

START_TEST(a_checkpointed_stream_is_refused)
{
    restore("checkpointed-3", false);
    ck_assert_int_eq(w.rc, -EOPNOTSUPP);
    assert_refused("checkpointed streams belong to the stock toolstack");
}
END_TEST

/* Nobody could be asked for a page. */
START_TEST(post_copy_out_of_a_file_is_refused)
{
    restore(_i ? "postcopy-3" : "original-2", false);
    ck_assert_int_eq(w.rc, -EINVAL);
    assert_refused("without a back channel");
    ck_assert_uint_eq(w.guest.evicted_pages, 0);
}
END_TEST

START_TEST(a_host_that_cannot_page_says_so)
{
    w.guest.probe_error = -ENODEV;
    w.guest.probe_says_nothing = _i % 2;
    restore(_i < 2 ? "original-2" : "postcopy-3", true);
    assert_refused(_i % 2 ? "failed: No such device"
                          : "no paging in this fake");
}
END_TEST

START_TEST(a_source_that_gives_up_is_quoted)
{
    restore("aborted-3", true);
    ck_assert_int_eq(w.rc, -ECONNABORTED);
    assert_refused("the source gave up: d\xc3\xa9sol\xc3\xa9, no.");
    ck_assert(w.result.end_seen);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_streams");
    TCase *tc = tcase_create("engine_streams");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, a_stock_stream_arrives, 0, 2);
    tcase_add_loop_test(
        tc, policies_that_the_hypervisor_does_not_have_are_left_out, 0, 2);
    tcase_add_loop_test(tc, state_that_the_guest_does_not_take_is_named, 0,
                        XC_SR_ARRAY_SIZE(states));
    tcase_add_test(tc, params_of_advise_that_the_guest_does_not_take);
    tcase_add_loop_test(tc, a_pv_guest_is_refused, 0, 2);
    tcase_add_loop_test(tc, a_pv_guest_is_refused_in_a_pv_domain, 0, 2);
    tcase_add_test(tc, a_checkpointed_stream_is_refused);
    tcase_add_loop_test(tc, post_copy_out_of_a_file_is_refused, 0, 2);
    tcase_add_loop_test(tc, a_host_that_cannot_page_says_so, 0, 4);
    tcase_add_test(tc, a_source_that_gives_up_is_quoted);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

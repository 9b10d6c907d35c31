/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_domain.c: libxl_postcopy_send() and libxl_postcopy_receive() with a
 * libxl that does as told (domain_world.inc.c).  Whatever fails, and whenever:
 * exactly one side has the guest, and nobody hangs.
 */
#include "domain_world.inc.c"
#include "../../tools/libxl/domain_vifs.h"

/* It runs at the source, and there is no trace of it at the destination. */
static void assert_stayed(void)
{
    ck_assert_int_ne(world->send_rc, 0);
    ck_assert_int_ne(world->receive_rc, 0);
    ck_assert_int_eq(world->sent.engine.owner, XC_SR_OWNER_RESUMED);
    ck_assert(!world->sent.engine.suspended_here);
    ck_assert(world->sent.engine.why[0]);
    ck_assert(!world->source.suspended);
    ck_assert(!world->unpaused);
    ck_assert_uint_eq(world->destination.unpauses, 0);
    ck_assert(!world->destination.exists);
    ck_assert(!world->received.not_destroyed);
    ck_assert_uint_eq(world->received.domid, (uint32_t)INVALID_DOMID);
    ck_assert_uint_eq(world->runs, 0);
}

/* ---- It goes well ---------------------------------------------------------------------------- */

START_TEST(postcopy)
{
    send_params.save.stream_version = _i ? 2 : 3;
    migrate();
    assert_moved();
    ck_assert(world->sent.engine.stats.postcopy);
}
END_TEST

/* Version 2: the guest is on its way when the caller is asked. */
START_TEST(version_2_moves_without_its_other_name)
{
    send_params.save.stream_version = 2;
    world->before_commit_rc = -EEXIST;
    migrate();
    assert_moved();
}
END_TEST

START_TEST(precopy_only)
{
    send_params.save.policy.allow_postcopy = false;
    migrate();
    assert_moved();
    ck_assert(!world->sent.engine.stats.postcopy);
}
END_TEST

/* Much more than a socket holds. */
START_TEST(a_large_device_model)
{
    world->source.emulator_octets = 5 << 20;
    migrate();
    assert_moved();
    ck_assert_uint_gt(world->sent.engine.stats.bytes_upper, 5 << 20);
}
END_TEST

START_TEST(plain)
{
    world->source.emulator_octets = _i ? 300000 : 0;
    send_params.save.plain = true;
    send_params.save.policy.allow_postcopy = false;
    send_params.save.stream_version = 3;
    migrate();
    ck_assert_msg(world->send_rc == 0, "%s", world->sent.engine.why);
    ck_assert_msg(world->receive_rc == 0, "%s", world->received.engine.why);
    ck_assert_int_eq(world->sent.engine.owner, XC_SR_OWNER_NONE);
    ck_assert(world->source.suspended);
    ck_assert(world->received.engine.plain);
    ck_assert_uint_eq(world->prepared, 1);
    ck_assert_uint_eq(world->destination.unpauses, 0);
    ck_assert(world->destination.exists);
    assert_memory_arrived();
}
END_TEST

/* All of it at once: what follows the guest's memory is read along with it. */
START_TEST(plain_from_a_file)
{
    int file = memfd_create("stream", MFD_CLOEXEC), status = 1;
    pid_t pid;

    ck_assert_int_ge(file, 0);
    world->source.emulator_octets = 30000;
    send_params.save.plain = true;
    send_params.save.policy.allow_postcopy = false;
    send_params.save.send_fd = file;
    send_params.save.recv_fd = -1;
    fake = &world->source;
    fake_guest_init(&guest, NR_PFNS, true);
    prepare_process();
    world->send_rc =
        libxl_postcopy_send((libxl_ctx *)&pid, &send_params, &world->sent);
    ck_assert_msg(world->send_rc == 0, "%s", world->sent.engine.why);
    ck_assert_int_eq(lseek(file, 0, SEEK_SET), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
    {
        libxl_postcopy_fini();
        fake_guest_dispose(&guest);
        receive_params.restore.recv_fd = file;
        receive_params.restore.send_fd = -1;
        receive();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(file);
    ck_assert_msg(world->receive_rc == 0, "%s", world->received.engine.why);
    ck_assert(world->received.engine.plain);
    ck_assert(world->destination.exists);
    assert_memory_arrived();
}
END_TEST

/* ---- libxl fails ------------------------------------------------------------------------------ */

static const struct
{
    enum fake_failure failure;
    unsigned int at;
    const char *why;
} source_failures[] = {
    { FAKE_AT_ONCE, 0, "libxl gave up" },
    { FAKE_KILLS, LIBXL_PC_MSG_LOGDIRTY, "" },
    { FAKE_KILLS, LIBXL_PC_MSG_SUSPEND, "" },
    { FAKE_KILLS, LIBXL_PC_MSG_COMPLETE, "" },
    { FAKE_SAYS_NO, LIBXL_PC_MSG_LOGDIRTY, "could not do it" },
    { FAKE_SAYS_NO, LIBXL_PC_MSG_SUSPEND, "could not suspend" },
    { FAKE_TAIL, 0, "libxl gave up" },
    { FAKE_RETURNS_BAD, 0, "did not end well (error -" },
};

START_TEST(libxl_fails_at_the_source)
{
    world->source.failure = source_failures[_i].failure;
    world->source.at = source_failures[_i].at;
    world->source.emulator_octets = 100000;
    migrate();
    assert_stayed();
    ck_assert_msg(strstr(world->sent.engine.why, source_failures[_i].why) !=
                      NULL,
                  "%s", world->sent.engine.why);
}
END_TEST

START_TEST(libxl_is_silent_at_the_source)
{
    world->source.failure = FAKE_SILENT;
    world->source.at = _i ? LIBXL_PC_MSG_COMPLETE : LIBXL_PC_MSG_LOGDIRTY;
    send_params.libxl_timeout_us = SECOND / 5;
    migrate();
    assert_stayed();
    ck_assert_msg(strstr(world->sent.engine.why, "no answer") != NULL, "%s",
                  world->sent.engine.why);
}
END_TEST

/* A suspend that failed, or that a lost connection came in between: stock save
 * helpers switch the device model's log off as well. */
START_TEST(the_device_model_logs_no_more)
{
    world->source.failure = FAKE_SAYS_NO;
    world->source.at = LIBXL_PC_MSG_SUSPEND;
    migrate();
    assert_stayed();
    ck_assert_uint_eq(world->source.met[LIBXL_PC_MSG_LOGDIRTY], 2);
}
END_TEST

/* ---- The connection is lost ------------------------------------------------------------------ */

static int cut_at_commit(void *ctx, enum xc_sr_owner owner,
                         const uint8_t session[16], uint64_t epoch)
{
    (void)ctx;
    (void)session;
    if ( owner == XC_SR_OWNER_COMMITTED && !epoch )
        shutdown(wire[0], SHUT_RDWR);
    return 0;
}

static void connect_anew(void *ctx, const char *why)
{
    struct xc_sr_control *control = fake == &world->source
                                        ? send_params.save.control
                                        : receive_params.restore.control;
    const int *fd = ctx;

    (void)why;
    ck_assert_int_eq(xc_sr_control_reconnect(control, dup(*fd), dup(*fd)), 0);
}

/* COMMITTED is recorded once more; the caller has been asked already. */
START_TEST(recovered_after_commit)
{
    ck_assert_int_eq(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, next_wire), 0);
    ck_assert_int_eq(xc_sr_control_new(&send_params.save.control), 0);
    ck_assert_int_eq(xc_sr_control_new(&receive_params.restore.control), 0);
    send_params.save.journal.put = cut_at_commit;
    send_params.save.recovery = (struct xc_sr_recovery){ .enabled = true,
                                                         .lost = connect_anew,
                                                         .ctx = &next_wire[0] };
    receive_params.restore.recovery = (struct xc_sr_recovery){
        .enabled = true, .lost = connect_anew, .ctx = &next_wire[1]
    };
    migrate();
    assert_moved();
    ck_assert_uint_eq(world->sent.engine.stats.recoveries, 1);
    xc_sr_control_free(send_params.save.control);
    xc_sr_control_free(receive_params.restore.control);
    close(next_wire[0]);
    close(next_wire[1]);
}
END_TEST

static const struct
{
    enum fake_failure failure;
    unsigned int at;
    const char *why;
} destination_failures[] = {
    { FAKE_AT_ONCE, 0, "" },
    { FAKE_KILLS, LIBXL_PC_MSG_STATIC_DATA_DONE, "" },
    { FAKE_KILLS, LIBXL_PC_MSG_RESTORE_RESULTS, "" },
    { FAKE_SAYS_NO, LIBXL_PC_MSG_STATIC_DATA_DONE, "could not do it" },
    { FAKE_TAIL, 0, "could not build it" },
    { FAKE_RETURNS_BAD, 0, "could not build it" },
};

START_TEST(libxl_fails_at_the_destination)
{
    world->destination.failure = destination_failures[_i].failure;
    world->destination.at = destination_failures[_i].at;
    world->source.emulator_octets = 100000;
    migrate();
    assert_stayed();
    ck_assert_msg(strstr(world->received.engine.why,
                         destination_failures[_i].why) != NULL,
                  "%s", world->received.engine.why);
}
END_TEST

/* A save by another program, say, in the middle of which it must not run. */
START_TEST(who_has_suspended_nobody_resumes_nobody)
{
    world->source.suspended = true;
    world->destination.failure = FAKE_AT_ONCE;
    migrate();
    ck_assert_int_ne(world->send_rc, 0);
    ck_assert_int_eq(world->sent.engine.owner, XC_SR_OWNER_RESUMED);
    ck_assert(world->source.suspended);
    ck_assert_uint_eq(world->source.resumes, 0);
}
END_TEST

START_TEST(the_caller_may_refuse)
{
    if ( _i )
        world->before_commit_rc = -EEXIST;
    else
        world->prepared_rc = -EEXIST;
    migrate();
    assert_stayed();
}
END_TEST

START_TEST(network_cards_copy_while_pages_are_missing)
{
    world->destination.store_busy = 3;
    migrate();
    assert_moved();
    ck_assert_int_eq(world->destination.trusted_at_start, '0');
    ck_assert_int_eq(world->destination.trusted, '1');
    ck_assert_uint_eq(world->destination.store_writes, 2);
    ck_assert(!world->destination.noted);
}
END_TEST

/* The receiver died; whoever brought the last page in knows only the number of
 * the domain. */
START_TEST(whoever_comes_after_a_dead_receiver_puts_cards_back)
{
    fake = &world->destination;
    ck_assert_int_eq(libxl_postcopy__vifs_distrust(NULL, FAKE_DOMID), 0);
    ck_assert_int_eq(fake->trusted, '0');
    /* Told once more, by a migration that comes after: still known. */
    ck_assert_int_eq(libxl_postcopy__vifs_distrust(NULL, FAKE_DOMID), 0);
    ck_assert_int_eq(libxl_postcopy__vifs_trust(FAKE_DOMID), 0);
    ck_assert_int_eq(fake->trusted, '1');
    ck_assert(!fake->noted);
    /* One that its administrator does not trust is not touched. */
    fake->trusted = '0';
    ck_assert_int_eq(libxl_postcopy__vifs_distrust(NULL, FAKE_DOMID), 0);
    ck_assert_int_eq(libxl_postcopy__vifs_trust(FAKE_DOMID), 0);
    ck_assert_int_eq(fake->trusted, '0');
}
END_TEST

START_TEST(cards_that_copy_or_have_no_node_are_left)
{
    world->destination.trusted = _i ? '-' : '0';
    migrate();
    assert_moved();
    ck_assert_uint_eq(world->destination.store_writes, 0);
}
END_TEST

START_TEST(it_stays_if_network_cards_cannot_be_told)
{
    world->destination.store_fails = _i == 0;
    world->destination.store_busy = _i ? 1000000 : 0;
    migrate();
    assert_stayed();
    ck_assert_ptr_nonnull(strstr(world->received.engine.why, "network cards"));
}
END_TEST

START_TEST(a_plain_save_that_fails_late)
{
    send_params.save.plain = true;
    send_params.save.policy.allow_postcopy = false;
    world->source.failure = FAKE_TAIL;
    world->source.emulator_octets = 100000;
    migrate();
    assert_stayed();
    ck_assert_uint_eq(world->source.resumes, 1);
}
END_TEST

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

static Suite *domain_suite(void)
{
    Suite *s = suite_create("domain");
    TCase *tc = tcase_create("domain");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, postcopy, 0, 2);
    tcase_add_test(tc, version_2_moves_without_its_other_name);
    tcase_add_test(tc, precopy_only);
    tcase_add_test(tc, a_large_device_model);
    tcase_add_loop_test(tc, plain, 0, 2);
    tcase_add_test(tc, plain_from_a_file);
    tcase_add_loop_test(tc, libxl_fails_at_the_source, 0,
                        COUNT(source_failures));
    tcase_add_loop_test(tc, libxl_is_silent_at_the_source, 0, 2);
    tcase_add_test(tc, the_device_model_logs_no_more);
    tcase_add_test(tc, recovered_after_commit);
    tcase_add_loop_test(tc, libxl_fails_at_the_destination, 0,
                        COUNT(destination_failures));
    tcase_add_test(tc, who_has_suspended_nobody_resumes_nobody);
    tcase_add_loop_test(tc, the_caller_may_refuse, 0, 2);
    tcase_add_test(tc, network_cards_copy_while_pages_are_missing);
    tcase_add_test(tc, whoever_comes_after_a_dead_receiver_puts_cards_back);
    tcase_add_loop_test(tc, cards_that_copy_or_have_no_node_are_left, 0, 2);
    tcase_add_loop_test(tc, it_stays_if_network_cards_cannot_be_told, 0, 2);
    tcase_add_test(tc, a_plain_save_that_fails_late);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(domain_suite());
    int failed;

    signal(SIGPIPE, SIG_IGN);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

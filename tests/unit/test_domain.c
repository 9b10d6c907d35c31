/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_domain.c: libxl_postcopy_send() and libxl_postcopy_receive(), each in a
 * process of its own as on two hosts, with xl-save-shim as it is, a libxl that
 * does as told (fake_libxl.inc.c) and a hypervisor in memory.  Whatever fails,
 * and whenever: exactly one side has the guest, and nobody hangs.
 */
#include <check.h>
#include <sys/socket.h>

#include "fake_hv.inc.c"
#include "fake_libxl.inc.c"

#include "libxl_postcopy.h"
#include "xenpostcopy_xen.h"

#define NR_PFNS 600u
#define SECOND  UINT64_C(1000000)

/* What both processes see. */
struct world
{
    struct fake_libxl source;
    struct fake_libxl destination;
    struct libxl_postcopy_send_result sent;
    struct libxl_postcopy_receive_result received;
    int send_rc;
    int receive_rc;
    unsigned int before_commits;
    int before_commit_rc;
    unsigned int created;
    unsigned int prepared;
    int prepared_rc;
    unsigned int runs;
    bool unpaused;
    uint64_t max_pages_per_s;
    uint8_t memory[NR_PFNS * XC_SR_PAGE_SIZE]; /* as it arrived */
};

static struct world *world;
static struct fake_guest guest; /* this process's side */
static int wire[2];
static int next_wire[2]; /* for a connection after the first */
static struct libxl_postcopy_send_params send_params;
static struct libxl_postcopy_receive_params receive_params;

/* ---- The hypervisor, with libxlpostcopy's hooks --------------------------------------- */

static struct xc_sr_hv_ops hooked_ops;
static struct xc_sr_xen_source_hooks source_hooks;
static struct xc_sr_xen_destination_params destination_hooks;

static int hooked_suspend_start(struct xc_sr_hv *hv)
{
    (void)hv;
    return source_hooks.suspend_start(source_hooks.ctx);
}

static int hooked_suspend_poll(struct xc_sr_hv *hv, uint64_t timeout_us,
                               enum xc_sr_hv_suspend *state_r)
{
    bool done = false;
    int rc = source_hooks.suspend_poll(source_hooks.ctx, timeout_us, &done);

    guest_of(hv)->suspended = done;
    *state_r = done ? XC_SR_HV_SUSPENDED : XC_SR_HV_SUSPEND_ASKED;
    return rc;
}

static int hooked_resume(struct xc_sr_hv *hv)
{
    int rc = source_hooks.resume(source_hooks.ctx);

    return rc ? rc : fake_resume(hv);
}

static int hooked_dirty_on(struct xc_sr_hv *hv)
{
    int rc = source_hooks.logdirty(source_hooks.ctx, true);

    return rc ? rc : fake_dirty_on(hv);
}

static int hooked_dirty_off(struct xc_sr_hv *hv)
{
    int rc = source_hooks.logdirty(source_hooks.ctx, false);

    return rc ? rc : fake_dirty_off(hv);
}

static int hooked_static_data_done(struct xc_sr_hv *hv)
{
    int rc = destination_hooks.static_data_done(destination_hooks.ctx,
                                                XC_SR_XEN_MISSING_CPUID);

    return rc ? rc : fake_static_data_done(hv);
}

static int hooked_unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    int rc = destination_hooks.unpause(destination_hooks.ctx, leave_paused);

    return rc ? rc : fake_unpause(hv, leave_paused);
}

static void take_hold(struct xc_sr_hv **hv_r)
{
    hooked_ops = fake_ops;
    hooked_ops.suspend_start = hooked_suspend_start;
    hooked_ops.suspend_poll = hooked_suspend_poll;
    hooked_ops.resume = hooked_resume;
    hooked_ops.dirty_on = hooked_dirty_on;
    hooked_ops.dirty_off = hooked_dirty_off;
    hooked_ops.static_data_done = hooked_static_data_done;
    hooked_ops.unpause = hooked_unpause;
    *hv_r = malloc(sizeof(**hv_r)); /* xc_sr_hv_close() frees it */
    ck_assert_ptr_nonnull(*hv_r);
    **hv_r = guest.hv;
    (*hv_r)->ops = &hooked_ops;
}

int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r)
{
    (void)log;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    source_hooks = *hooks;
    take_hold(hv_r);
    return 0;
}

int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r)
{
    (void)log;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    ck_assert_uint_eq(params->store_evtchn, 1);
    ck_assert_uint_eq(params->console_evtchn, 2);
    destination_hooks = *params;
    take_hold(hv_r);
    return 0;
}

int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r)
{
    ck_assert(guest_of(hv)->state_done);
    *store_gfn_r = 0xfeffc;
    *console_gfn_r = 0xfefff;
    return 0;
}

/* ---- Both sides -------------------------------------------------------------------------- */

static int before_commit(void *ctx)
{
    (void)ctx;
    ck_assert(fake->suspended);
    world->before_commits++;
    return world->before_commit_rc;
}

static void created(void *ctx, uint32_t domid)
{
    (void)ctx;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    world->created++;
}

static int prepared(void *ctx, uint32_t domid)
{
    (void)ctx;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    ck_assert_uint_eq(fake->unpauses, 0);
    world->prepared++;
    return world->prepared_rc;
}

static void running(void *ctx, uint32_t domid)
{
    (void)ctx;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    world->runs++;
}

static void prepare_process(void)
{
    char why[256] = "", shim[512];

    ck_assert_ptr_nonnull(getenv("BUILD"));
    snprintf(shim, sizeof(shim), "%s/bin/xl-save-shim", getenv("BUILD"));
    ck_assert_msg(libxl_postcopy_init(shim, why, sizeof(why)) == 0, "%s", why);
}

static void receive(void)
{
    libxl_domain_config config;
    libxl_ctx *nobody = (libxl_ctx *)&config;

    fake = &world->destination;
    fake_guest_init(&guest, NR_PFNS, false);
    prepare_process();
    receive_params.config = &config;
    world->receive_rc =
        libxl_postcopy_receive(nobody, &receive_params, &world->received);
    shutdown(wire[1], SHUT_RDWR);
    world->unpaused = guest.unpaused;
    memcpy(world->memory, guest.memory, sizeof(world->memory));
}

static void migrate(void)
{
    pid_t pid = fork();
    int status = 0;

    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
    {
        close(wire[0]);
        receive();
        _exit(0);
    }
    close(wire[1]);
    fake = &world->source;
    fake_guest_init(&guest, NR_PFNS, true);
    prepare_process();
    world->send_rc =
        libxl_postcopy_send((libxl_ctx *)&pid, &send_params, &world->sent);
    shutdown(wire[0], SHUT_RDWR);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void set_up(void)
{
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(world, MAP_FAILED);
    world->source.exists = true;
    world->destination.trusted = '1';
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire),
                     0);
    send_params = (struct libxl_postcopy_send_params){
        .domid = FAKE_DOMID,
        .save = { .send_fd = wire[0],
                  .recv_fd = wire[0],
                  .stream_version = 3,
                  .policy = { .allow_postcopy = true },
                  .watch = { .fd = -1 },
                  .ready_timeout_us = 10 * SECOND },
        .before_commit = before_commit,
        .libxl_timeout_us = 10 * SECOND,
    };
    receive_params = (struct libxl_postcopy_receive_params){
        .restore = { .send_fd = wire[1],
                     .recv_fd = wire[1],
                     .watch = { .fd = -1 },
                     .stall_timeout_us = 10 * SECOND,
                     .commit_timeout_us = 10 * SECOND },
        .created = created,
        .prepared = prepared,
        .running = running,
        .libxl_timeout_us = 10 * SECOND,
    };
}

static void tear_down(void)
{
    fake_guest_dispose(&guest);
    libxl_postcopy_fini();
    munmap(world, sizeof(*world));
}

static void assert_memory_arrived(void)
{
    for ( unsigned int pfn = 0; pfn < NR_PFNS; pfn++ )
        if ( xc_sr__ptype_has_data(guest.types[pfn]) )
            ck_assert_msg(memcmp(world->memory + pfn * XC_SR_PAGE_SIZE,
                                 page_of(&guest, pfn), XC_SR_PAGE_SIZE) == 0,
                          "pfn %u differs", pfn);
}

static void assert_moved(void)
{
    ck_assert_msg(world->send_rc == 0, "send: %d %s", world->send_rc,
                  world->sent.engine.why);
    ck_assert_msg(world->receive_rc == 0, "receive: %d %s", world->receive_rc,
                  world->received.engine.why);
    ck_assert_int_eq(world->sent.engine.owner, XC_SR_OWNER_DONE);
    ck_assert_int_eq(world->received.engine.owner, XC_SR_OWNER_FINISHED);
    ck_assert_int_eq(world->sent.libxl_rc, 0);
    ck_assert_int_eq(world->received.libxl_rc, 0);
    ck_assert_uint_eq(world->received.domid, FAKE_DOMID);
    ck_assert_uint_eq(world->before_commits, 1);
    ck_assert_uint_eq(world->created, 1);
    ck_assert_uint_eq(world->prepared, 1);
    ck_assert_uint_eq(world->runs, 1);
    ck_assert_uint_eq(world->source.resumes, 0);
    ck_assert_uint_eq(world->destination.unpauses, 1);
    ck_assert_uint_eq(world->destination.destroys, 0);
    ck_assert_uint_eq(world->source.met[LIBXL_PC_MSG_SUSPEND], 1);
    ck_assert_uint_eq(world->source.met[LIBXL_PC_MSG_LOGDIRTY], 2);
    ck_assert_uint_eq(world->destination.met[LIBXL_PC_MSG_STATIC_DATA_DONE], 1);
    ck_assert_uint_eq(world->destination.met[LIBXL_PC_MSG_RESTORE_RESULTS], 1);
    assert_memory_arrived();
}

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
    if ( _i )
        world->before_commits = 1; /* version 2 has no COMMIT to wait for */
    assert_moved();
    ck_assert(world->sent.engine.stats.postcopy);
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
    tcase_add_test(tc, precopy_only);
    tcase_add_test(tc, a_large_device_model);
    tcase_add_loop_test(tc, plain, 0, 2);
    tcase_add_loop_test(tc, libxl_fails_at_the_source, 0,
                        COUNT(source_failures));
    tcase_add_loop_test(tc, libxl_is_silent_at_the_source, 0, 2);
    tcase_add_test(tc, the_device_model_logs_no_more);
    tcase_add_test(tc, recovered_after_commit);
    tcase_add_loop_test(tc, libxl_fails_at_the_destination, 0,
                        COUNT(destination_failures));
    tcase_add_loop_test(tc, the_caller_may_refuse, 0, 2);
    tcase_add_test(tc, network_cards_copy_while_pages_are_missing);
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

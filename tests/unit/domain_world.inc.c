/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_world.inc.c: libxl_postcopy_send() and libxl_postcopy_receive(), each
 * in a process of its own as on two hosts, with xl-save-shim as it is, a libxl
 * that does as told (fake_libxl.inc.c) and a hypervisor in memory.  Included
 * by test_domain*.c.
 */
#include <check.h>
#include <sys/socket.h>

#include "hooked_hv.inc.c"
#include "fake_libxl.inc.c"

#include "libxl_postcopy.h"
#include "xenpostcopy_xen.h"

#ifndef NR_PFNS
#define NR_PFNS 600u
#endif
#define SECOND UINT64_C(1000000)

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
    unsigned int before_commits_at_run;
    int before_commit_rc;
    unsigned int created;
    unsigned int prepared;
    int prepared_rc;
    unsigned int runs;
    bool unpaused;
    uint8_t memory[NR_PFNS * XC_SR_PAGE_SIZE]; /* as it arrived */
};

static struct world *world;
static int wire[2];
static int next_wire[2]; /* for a connection after the first */
static struct libxl_postcopy_send_params send_params;
static struct libxl_postcopy_receive_params receive_params;
/* Called in each process just before and after the library is; may be NULL. */
static void (*around)(bool begins);

/* ---- The hypervisor --------------------------------------------------------------------- */

int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r)
{
    (void)log;
    fake_inside++;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    source_hooks = *hooks;
    take_hold(hv_r);
    fake_inside--;
    return 0;
}

int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r)
{
    (void)log;
    fake_inside++;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    ck_assert_uint_eq(params->store_evtchn, 1);
    ck_assert_uint_eq(params->console_evtchn, 2);
    destination_hooks = *params;
    take_hold(hv_r);
    fake_inside--;
    return 0;
}

int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r)
{
    fake_inside++;
    ck_assert(guest_of(hv)->state_done);
    fake_inside--;
    *store_gfn_r = 0xfeffc;
    *console_gfn_r = 0xfefff;
    return 0;
}

/* ---- What a caller is asked and told -------------------------------------------------------------------------- */

static int before_commit(void *ctx)
{
    (void)ctx;
    fake_inside++;
    ck_assert(fake->suspended);
    fake_inside--;
    world->before_commits++;
    return world->before_commit_rc;
}

static void assert_domid(uint32_t domid)
{
    fake_inside++;
    ck_assert_uint_eq(domid, FAKE_DOMID);
    fake_inside--;
}

static void created(void *ctx, uint32_t domid)
{
    (void)ctx;
    assert_domid(domid);
    world->created++;
}

static int prepared(void *ctx, uint32_t domid)
{
    (void)ctx;
    assert_domid(domid);
    world->prepared += fake->unpauses == 0;
    return world->prepared_rc;
}

static void running(void *ctx, uint32_t domid)
{
    (void)ctx;
    assert_domid(domid);
    world->before_commits_at_run = world->before_commits;
    world->runs++;
}

/* ---- Both sides -------------------------------------------------------------------------- */

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
    if ( around )
        around(true);
    world->receive_rc =
        libxl_postcopy_receive(nobody, &receive_params, &world->received);
    if ( around )
        around(false);
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
    if ( around )
        around(true);
    world->send_rc =
        libxl_postcopy_send((libxl_ctx *)&pid, &send_params, &world->sent);
    if ( around )
        around(false);
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
    if ( guest.memory )
        fake_guest_dispose(&guest);
    memset(&guest, 0, sizeof(guest));
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
    ck_assert_uint_eq(world->before_commits_at_run, 1);
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

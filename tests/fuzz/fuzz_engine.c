/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fuzz_engine.c: a whole sender or a whole receiver, on a hypervisor in
 * memory, against a peer that says anything at any time.
 *
 * The first octet of the input chooses which, and whether it is one that goes
 * on where another process stopped; then come items: a stage, a
 * length, octets.  An item is written when its stage is reached: 0 at once, 1
 * when everything is in or sent but for the hand-over, 2 when the point of no
 * return is passed, 3 and more on a new connection each.  A watch descriptor
 * that is always readable stands in for time: an engine that only waits gets
 * the next stage, and at last the end of the stream.
 *
 * Whatever is said: the engine comes back, and what it has done with its
 * guest is what its record says.  Items are mutated as records: fields,
 * order, stage, repetition; golden streams are the start.
 */
#include <sys/random.h>
#include <sys/socket.h>

#include "../unit/fake_hv.inc.c"

#include "engine_items.inc.c"

#define PATIENCE 64 /* turns without an event until the next stage */
#define STAGES   5

/* The first octet: 1 receiver, 2 recovers, 8 version 2, 0x30 how many faults
 * or rounds. */
#define GOES_ON 0x40 /* a sender */
#define TELLS   0x40 /* a receiver that has its record and nothing else */

/* What an engine has put into its record, in order. */
struct puts
{
    enum xc_sr_owner seen[64];
    unsigned int nr;
};

struct drive
{
    struct items items;
    unsigned int next; /* item */
    unsigned int stage;
    unsigned int turns;
    bool receiver;
    struct xc_sr_record_of from; /* what another process has left */
    int engine_fd;
    int peer_fd;
    int turn_fd;
    struct xc_sr_control *control;
    struct puts puts;
    struct fake_guest guest;
    bool destroyed;
};

/* The sender's session is the one the items speak of. */
ssize_t getrandom(void *buf, size_t len, unsigned int flags)
{
    (void)flags;
    memset(buf, 0, len);
    memcpy(buf, kit_session,
           len < sizeof(kit_session) ? len : sizeof(kit_session));
    return (ssize_t)len;
}

static bool has(const struct drive *d, enum xc_sr_owner owner)
{
    for ( unsigned int i = 0; i < d->puts.nr; i++ )
        if ( d->puts.seen[i] == owner )
            return true;
    return false;
}

/* ---- The peer --------------------------------------------------------------- */

static void write_items(struct drive *d)
{
    bool more = false;

    for ( ; d->next < d->items.nr; d->next++ )
    {
        const struct item *it = &d->items.item[d->next];

        if ( it->stage > d->stage )
            break;
        /* The engine may have let go, and what does not fit is lost. */
        (void)!send(d->peer_fd, it->data, it->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    for ( unsigned int i = d->next; i < d->items.nr; i++ )
        more = more || d->items.item[i].stage < 3;
    if ( d->stage >= 3 || !more )
        shutdown(d->peer_fd, SHUT_WR);
}

static void reach(struct drive *d, unsigned int stage)
{
    if ( stage <= d->stage )
        return;
    d->stage = stage;
    d->turns = 0;
    write_items(d);
}

static void connect_pair(struct drive *d)
{
    int size = 1 << 20, fd[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
    setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    d->engine_fd = fd[0];
    d->peer_fd = fd[1];
}

static void on_turn(void *ctx)
{
    struct drive *d = ctx;
    uint8_t buf[4096];

    /* What the engine says is not of interest, but must not block it. */
    while ( recv(d->peer_fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 )
        continue;
    if ( ++d->turns < PATIENCE )
        return;
    d->turns = 0;
    if ( d->stage < 2 )
        reach(d, d->stage + 1);
    else
    {
        shutdown(d->peer_fd, SHUT_RDWR);
        (void)xc_sr_control_stop_waiting(d->control);
        (void)xc_sr_control_abort(d->control);
    }
}

static void on_lost(void *ctx, const char *why)
{
    struct drive *d = ctx;

    (void)why;
    close(d->peer_fd);
    d->peer_fd = -1;
    if ( d->next == d->items.nr || d->stage >= STAGES )
    {
        (void)xc_sr_control_stop_waiting(d->control);
        return;
    }
    connect_pair(d);
    reach(d, d->stage < 3 ? 3 : d->stage + 1);
    /* From here the descriptor is the engine's. */
    if ( xc_sr_control_reconnect(d->control, d->engine_fd, d->engine_fd) )
        close(d->engine_fd);
    d->engine_fd = -1;
}

static int on_put(void *ctx, enum xc_sr_owner owner, const uint8_t session[16],
                  uint64_t epoch)
{
    struct drive *d = ctx;

    (void)session;
    (void)epoch;
    MUST(d->puts.nr < XC_SR_ARRAY_SIZE(d->puts.seen));
    d->puts.seen[d->puts.nr++] = owner;
    if ( owner == XC_SR_OWNER_PREP )
        reach(d, 1);
    if ( owner == XC_SR_OWNER_OWNER || owner == XC_SR_OWNER_COMMITTED )
        reach(d, 2);
    return 0;
}

static void on_progress(void *ctx, const struct xc_sr_progress *p)
{
    if ( p->phase == XC_SR_PHASE_HANDOVER )
        reach(ctx, 1);
}

/* ---- What has to be true in the end -------------------------------------------- */

static void check_order(const struct drive *d, enum xc_sr_owner first,
                        enum xc_sr_owner later)
{
    bool seen = false;

    for ( unsigned int i = 0; i < d->puts.nr; i++ )
    {
        seen = seen || d->puts.seen[i] == first;
        MUST(d->puts.seen[i] != later || seen);
    }
}

static void check_sender(const struct drive *d, int rc,
                         const struct xc_sr_save_result *result)
{
    const struct fake_guest *g = &d->guest;

    check_order(d, XC_SR_OWNER_COMMITTED, XC_SR_OWNER_DONE);
    /* Nothing was left for post-copy: a stock stream, the caller decides. */
    if ( rc == 0 && result->stats.stream_version < 3 &&
         !result->stats.postcopy )
    {
        MUST(result->owner == XC_SR_OWNER_NONE && g->suspended && !g->resumed);
        return;
    }
    MUST((rc == 0) == (result->owner == XC_SR_OWNER_DONE));
    MUST(!has(d, XC_SR_OWNER_DONE) || !has(d, XC_SR_OWNER_RESUMED));
    MUST(rc == 0 || result->why[0]);
    if ( result->owner == XC_SR_OWNER_RESUMED )
        MUST(g->resumed || !g->suspended);
    else
        MUST(g->retained && !g->resumed);
}

static void check_receiver(const struct drive *d, int rc,
                           const struct xc_sr_restore_result *result)
{
    const struct fake_guest *g = &d->guest;

    if ( result->plain )
    {
        MUST(!g->unpaused);
        return;
    }
    check_order(d, XC_SR_OWNER_OWNER, XC_SR_OWNER_FINISHED);
    MUST(!g->unpaused || has(d, XC_SR_OWNER_OWNER));
    /* In version 2 there is no promise: the stream makes the owner. */
    if ( result->stats.stream_version >= 3 )
        check_order(d, XC_SR_OWNER_PREP, XC_SR_OWNER_OWNER);
    MUST(!has(d, XC_SR_OWNER_FENCED) || !g->unpaused);
    MUST(!d->destroyed || !g->unpaused);
    MUST(rc == 0 || result->why[0]);
    for ( uint64_t pfn = 0; rc == 0 && pfn < g->nr_pfns; pfn++ )
        MUST(!g->missing[pfn]);
}

/* ---- One run ------------------------------------------------------------------------ */

static int on_destroy(void *ctx)
{
    struct drive *d = ctx;

    d->destroyed = true;
    return 0;
}

static int take_upper(void *ctx, const void *buf, size_t len, size_t *used_r,
                      bool *done_r)
{
    size_t *left = ctx;

    (void)buf;
    *used_r = len < *left ? len : *left;
    *left -= *used_r;
    *done_r = *left == 0;
    return 0;
}

static struct xc_sr_recovery recovery_of(struct drive *d, bool enabled)
{
    return (struct xc_sr_recovery){
        .enabled = enabled,
        .pause = true,
        .lost = on_lost,
        .ctx = d,
    };
}

static void tell(struct drive *d, uint8_t choice)
{
    static const enum xc_sr_owner owners[] = { XC_SR_OWNER_NONE,
                                               XC_SR_OWNER_FENCED,
                                               XC_SR_OWNER_FINISHED,
                                               XC_SR_OWNER_LOST };
    struct xc_sr_tell_params params = {
        .record = { .owner = owners[choice >> 4 & 3] },
        .send_fd = d->engine_fd,
        .recv_fd = d->engine_fd,
        .journal = { on_put, d },
    };
    bool settled = false;

    memcpy(params.record.session, kit_session, sizeof(kit_session));
    /* It has no watch: nothing comes after this. */
    shutdown(d->peer_fd, SHUT_WR);
    if ( xc_sr_restore_tell(&params, &settled) )
        MUST(!settled);
}

static void drive_receiver(struct drive *d, uint8_t choice)
{
    size_t upper = KIT_UPPER_LEN;
    struct xc_sr_restore_params params = {
        .hv = &d->guest.hv,
        .recv_fd = d->engine_fd,
        .send_fd = d->engine_fd,
        .upper = { take_upper, &upper },
        .journal = { on_put, d },
        .destroy = on_destroy,
        .ctx = d,
        .control = d->control,
        .watch = { d->turn_fd, on_turn, d },
        .recovery = recovery_of(d, choice & 2),
    };
    struct xc_sr_restore_result result;
    int rc;

    d->guest.faults_wanted = choice >> 4 & 3;
    if ( choice & TELLS )
    {
        tell(d, choice);
        return;
    }
    rc = xc_sr_restore(&params, &result);
    if ( getenv("FUZZ_SHOW") )
        fprintf(stderr, "restore: %s, %s: %s\n", strerror(-rc),
                xc_sr_owner_name(result.owner), result.why);
    check_receiver(d, rc, &result);
}

static void drive_sender(struct drive *d, uint8_t choice)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct xc_sr_save_params params = {
        .hv = &d->guest.hv,
        .send_fd = null,
        .recv_fd = d->engine_fd,
        .stream_version = choice & 8 ? 2 : 3,
        .policy = { .allow_postcopy = true, .max_iterations = choice >> 4 & 1 },
        .journal = { on_put, d },
        .control = d->control,
        .watch = { d->turn_fd, on_turn, d },
        .progress = on_progress,
        .progress_ctx = d,
        .recovery = recovery_of(d, choice & 2),
    };
    struct xc_sr_save_result result;
    int rc;

    MUST(null >= 0);
    if ( choice & GOES_ON )
    {
        d->from = (struct xc_sr_record_of){ .owner = XC_SR_OWNER_COMMITTED };
        memcpy(d->from.session, kit_session, sizeof(kit_session));
        d->puts.seen[d->puts.nr++] = XC_SR_OWNER_COMMITTED;
        d->guest.suspended = d->guest.retained = true;
        params.from = &d->from;
        params.send_fd = d->engine_fd;
    }
    rc = xc_sr_save(&params, &result);
    if ( getenv("FUZZ_SHOW") )
        fprintf(stderr, "save: %s, %s: %s\n", strerror(-rc),
                xc_sr_owner_name(result.owner), result.why);
    check_sender(d, rc, &result);
    close(null);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drive *d;
    uint64_t one = 1;

    if ( !size )
        return 0;
    d = calloc(1, sizeof(*d));
    MUST(d);
    items_parse(&d->items, data + 1, size - 1);
    d->receiver = data[0] & 1;
    fake_guest_init(&d->guest, KIT_NR_PFNS, !d->receiver);
    connect_pair(d);
    d->turn_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    MUST(write(d->turn_fd, &one, sizeof(one)) == sizeof(one));
    MUST(xc_sr_control_new(&d->control) == 0);
    if ( data[0] & GOES_ON )
        d->stage = 3;
    write_items(d);
    if ( d->receiver )
        drive_receiver(d, data[0]);
    else
        drive_sender(d, data[0]);
    xc_sr_control_free(d->control);
    if ( d->engine_fd >= 0 )
        close(d->engine_fd);
    if ( d->peer_fd >= 0 )
        close(d->peer_fd);
    close(d->turn_fd);
    fake_guest_dispose(&d->guest);
    free(d);
    return 0;
}

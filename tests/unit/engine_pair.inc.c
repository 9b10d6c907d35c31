/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * engine_pair.inc.c: a sender and a receiver over a socketpair, each with a
 * hypervisor in memory, and what a finished or a failed move has to look like.
 * Included by test_engine*.c.
 */
#include <check.h>
#include <sys/socket.h>

#include "fake_hv.inc.c"

struct journal
{
    enum xc_sr_owner seen[64];
    unsigned int nr;
    uint8_t session[16];
    uint64_t epoch;
    enum xc_sr_owner fail_on;
    unsigned int failures;      /* so often, then no more; 0: always */
    enum xc_sr_owner unsure_of; /* it is there, and nobody can be sure */
};

struct pair
{
    struct fake_guest src;
    struct fake_guest dst;
    struct journal src_journal;
    struct journal dst_journal;
    struct xc_sr_save_params save;
    struct xc_sr_restore_params restore;
    struct xc_sr_save_result saved;
    struct xc_sr_restore_result restored;
    int save_rc;
    int restore_rc;
    bool destroyed;
    int destroy_rc;
    bool ballooned;
    int fd[2];
};

static int put_journal(void *ctx, enum xc_sr_owner owner,
                       const uint8_t session[16], uint64_t epoch)
{
    struct journal *j = ctx;

    memcpy(j->session, session, sizeof(j->session));
    j->epoch = epoch;
    if ( j->fail_on == owner )
    {
        if ( j->failures && !--j->failures )
            j->fail_on = XC_SR_OWNER_NONE;
        return -EIO;
    }
    ck_assert_uint_lt(j->nr, XC_SR_ARRAY_SIZE(j->seen));
    j->seen[j->nr++] = owner;
    return j->unsure_of == owner ? -ENOTRECOVERABLE : 0;
}

static int on_destroy(void *ctx)
{
    struct pair *p = ctx;

    p->destroyed = true;
    return p->destroy_rc;
}

static void pair_init(struct pair *p, uint64_t nr_pfns, unsigned int version)
{
    memset(p, 0, sizeof(*p));
    fake_guest_init(&p->src, nr_pfns, true);
    fake_guest_init(&p->dst, nr_pfns, false);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p->fd),
                     0);
    p->save = (struct xc_sr_save_params){
        .hv = &p->src.hv,
        .send_fd = p->fd[0],
        .recv_fd = p->fd[0],
        .stream_version = version,
        .policy = { .allow_postcopy = true },
        .journal = { put_journal, &p->src_journal },
        .watch = { .fd = -1 },
        .ready_timeout_us = 5000000,
    };
    p->restore = (struct xc_sr_restore_params){
        .hv = &p->dst.hv,
        .send_fd = p->fd[1],
        .recv_fd = p->fd[1],
        .journal = { put_journal, &p->dst_journal },
        .destroy = on_destroy,
        .ctx = p,
        .watch = { .fd = -1 },
        .commit_timeout_us = 5000000,
    };
}

static void pair_dispose(struct pair *p)
{
    fake_guest_dispose(&p->src);
    fake_guest_dispose(&p->dst);
    for ( int i = 0; i < 2; i++ )
        if ( p->fd[i] >= 0 )
            close(p->fd[i]);
}

static void *run_restore(void *arg)
{
    struct pair *p = arg;

    p->restore_rc = xc_sr_restore(&p->restore, &p->restored);
    if ( p->restore_rc )
        shutdown(p->fd[1], SHUT_RDWR);
    return NULL;
}

static __attribute__((unused)) void run(struct pair *p)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, run_restore, p), 0);
    p->save_rc = xc_sr_save(&p->save, &p->saved);
    if ( p->save_rc )
        shutdown(p->fd[0], SHUT_RDWR);
    pthread_join(thread, NULL);
}

static void assert_memory_equal(const struct pair *p)
{
    for ( uint64_t pfn = 0; pfn < p->src.nr_pfns; pfn++ )
    {
        if ( !xc_sr__ptype_has_data(p->src.types[pfn]) )
            continue;
        ck_assert_msg(!p->dst.missing[pfn], "pfn %llu is missing",
                      (unsigned long long)pfn);
        ck_assert_msg(memcmp(p->src.memory + pfn * XC_SR_PAGE_SIZE,
                             p->dst.memory + pfn * XC_SR_PAGE_SIZE,
                             XC_SR_PAGE_SIZE) == 0,
                      "pfn %llu differs", (unsigned long long)pfn);
    }
}

static __attribute__((unused)) void assert_moved(const struct pair *p)
{
    ck_assert_msg(p->save_rc == 0, "save: %d %s", p->save_rc, p->saved.why);
    ck_assert_msg(p->restore_rc == 0, "restore: %d %s", p->restore_rc,
                  p->restored.why);
    ck_assert_int_eq(p->saved.owner, XC_SR_OWNER_DONE);
    ck_assert_int_eq(p->restored.owner, XC_SR_OWNER_FINISHED);
    ck_assert(p->dst.unpaused);
    ck_assert(p->src.retained);
    ck_assert(!p->src.resumed);
    ck_assert(!p->destroyed);
    ck_assert(!p->dst.paging);
    assert_memory_equal(p);
}

static __attribute__((unused)) void assert_stays(const struct pair *p)
{
    ck_assert_int_ne(p->save_rc, 0);
    ck_assert_int_eq(p->saved.owner, XC_SR_OWNER_RESUMED);
    ck_assert(p->saved.why[0] != '\0');
    ck_assert(!p->dst.unpaused);
    ck_assert(p->src.resumed || !p->src.suspended);
}

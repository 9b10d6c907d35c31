/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * hv_local.inc.c: what the tests of the local backend share: real guests in a
 * scratch directory, moved by hand through the seam, without an engine.
 * Included by test_hv_local*.c, each of which uses a part of it.
 *
 * The directory is made, and emptied of guests, outside the forked test, so a
 * failing test leaves none behind.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "xc_sr_hv_local.h"

#define PATIENCE_US 20000000u
#define KIB         4096u /* memory of most guests: 1024 pages */

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_hv_local.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void empty_dir(void)
{
    struct xc_sr_local_info *infos;
    size_t nr;
    struct dirent *entry;
    DIR *d;

    if ( !xc_sr_local_list(dir, NULL, &infos, &nr) )
    {
        for ( size_t i = 0; i < nr; i++ )
            xc_sr_local_destroy(dir, infos[i].config.name, NULL);
        free(infos);
    }
    d = opendir(dir);
    while ( d && (entry = readdir(d)) )
        if ( entry->d_name[0] != '.' )
            unlinkat(dirfd(d), entry->d_name, 0);
    if ( d )
        closedir(d);
    rmdir(dir);
}

/* ---- What was said ------------------------------------------------------------ */

static char last_error[512];

static void keep_error(void *ctx, enum xc_sr_log_level level, const char *text)
{
    (void)ctx;
    if ( level == XC_SR_LOG_ERROR )
        snprintf(last_error, sizeof(last_error), "%s", text);
}

static const
    __attribute__((unused)) struct xc_sr_log log_to = { .write = keep_error };

static __attribute__((unused)) unsigned int open_fds(int64_t pid)
{
    char path[64];
    unsigned int nr = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%" PRIi64 "/fd", pid);
    d = opendir(path);
    ck_assert_ptr_nonnull(d);
    while ( readdir(d) )
        nr++;
    closedir(d);
    return nr;
}

static __attribute__((unused)) void assert_said(const char *part)
{
    ck_assert_msg(strstr(last_error, part), "not \"%s\": %s", part, last_error);
}

/* ---- Tools -------------------------------------------------------------------- */

static __attribute__((unused)) struct xc_sr_local_config config_of(
    const char *name, uint32_t vcpus)
{
    struct xc_sr_local_config config;

    xc_sr_local_config_init(&config);
    snprintf(config.name, sizeof(config.name), "%s", name);
    config.memory_kib = KIB;
    config.vcpus = vcpus;
    config.suspend_delay_us = 0;
    return config;
}

static __attribute__((unused)) void create(
    const struct xc_sr_local_config *config, bool incoming)
{
    ck_assert_int_eq(xc_sr_local_create(dir, config, incoming, NULL), 0);
}

static __attribute__((unused)) struct xc_sr_hv *open_hv(const char *name,
                                                        enum xc_sr_hv_role role)
{
    struct xc_sr_hv *hv = NULL;

    ck_assert_int_eq(xc_sr_hv_open_local(dir, name, role, NULL, &hv), 0);
    return hv;
}

static __attribute__((unused)) struct xc_sr_local_check look(const char *name)
{
    struct xc_sr_local_check check;

    ck_assert_int_eq(xc_sr_local_check(dir, name, NULL, &check), 0);
    return check;
}

static __attribute__((unused)) void assert_well(const char *name)
{
    struct xc_sr_local_check check = look(name);

    ck_assert(check.complete);
    ck_assert_uint_eq(check.ops, check.counters);
    ck_assert_uint_eq(check.errors, 0);
    ck_assert_uint_eq(check.bad_pages, 0);
    ck_assert(xc_sr_local_check_ok(&check));
}

static __attribute__((unused)) void wait_for(const char *name,
                                             enum xc_sr_local_state state)
{
    struct xc_sr_local_info info;

    ck_assert_int_eq(
        xc_sr_local_wait(dir, name, state, PATIENCE_US, NULL, &info), 0);
}

/* Its counter of operations has passed `above`. */
static __attribute__((unused)) void wait_ops(const char *name, uint64_t above)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    struct timespec step = { .tv_nsec = 1000000 };
    struct xc_sr_local_info info;

    do
    {
        ck_assert_int_eq(xc_sr_local_info_get(dir, name, NULL, &info), 0);
        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        nanosleep(&step, NULL);
    } while ( info.ops <= above );
}

static __attribute__((unused)) void wait_gone(const char *name)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    struct timespec step = { .tv_nsec = 1000000 };
    struct xc_sr_local_info info;

    while ( xc_sr_local_info_get(dir, name, NULL, &info) != -ENOENT )
    {
        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        nanosleep(&step, NULL);
    }
}

static __attribute__((unused)) void suspend(struct xc_sr_hv *hv)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    enum xc_sr_hv_suspend state = XC_SR_HV_SUSPEND_ASKED;
    bool seen = false;

    ck_assert_int_eq(xc_sr__hv_suspend_start(hv), 0);
    while ( state != XC_SR_HV_SUSPENDED )
    {
        ck_assert_int_eq(xc_sr__hv_suspend_poll(hv, 100000, &state), 0);
        seen = seen || state == XC_SR_HV_SUSPEND_SEEN;
        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
    }
    ck_assert(seen);
}

/* Page pfn of the destination, read behind the guest's back. */
static __attribute__((unused)) void read_page(struct xc_sr_hv *hv, uint64_t pfn,
                                              void *page_r)
{
    ck_assert_int_eq(pread(xc_sr__local_of(hv)->mem_fd, page_r, XC_SR_PAGE_SIZE,
                           (off_t)(pfn * XC_SR_PAGE_SIZE)),
                     XC_SR_PAGE_SIZE);
}

static __attribute__((unused)) void copy_page(struct xc_sr_hv *from,
                                              struct xc_sr_hv *to, uint64_t pfn,
                                              bool in)
{
    const void *page;
    int err = 1;

    ck_assert_int_eq(xc_sr__hv_map(from, &pfn, 1, &page, &err), 0);
    ck_assert_int_eq(err, 0);
    err = 1;
    ck_assert_int_eq(in ? xc_sr__hv_page_in(to, &pfn, 1, page, &err)
                        : xc_sr__hv_write_pages(to, &pfn, 1, page, &err),
                     0);
    ck_assert_msg(!err || (in && err == -EEXIST), "pfn %" PRIx64 ": %d", pfn,
                  err);
    xc_sr__hv_unmap(from, &pfn, 1, &page);
}

static __attribute__((unused)) void copy_state(struct xc_sr_hv *from,
                                               struct xc_sr_hv *to)
{
    static const enum xc_sr_hv_state all[] = { XC_SR_HV_STATE_TSC,
                                               XC_SR_HV_STATE_HVM_CONTEXT,
                                               XC_SR_HV_STATE_HVM_PARAMS };

    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(all); i++ )
    {
        struct xc_sr_hv_blob blob;

        ck_assert_int_eq(xc_sr__hv_state_get(from, all[i], &blob), 0);
        ck_assert_int_eq(xc_sr__hv_state_put(to, all[i], blob.data, blob.len),
                         0);
        free(blob.data);
    }
}

/* The first pfn of vcpu_info. */
static __attribute__((unused)) uint64_t info_pfn(struct xc_sr_hv *hv)
{
    return hv->info.nr_pfns - hv->info.nr_vcpus;
}

/* A source and an empty destination, paging on. */
struct pair
{
    struct xc_sr_hv *from, *to;
};

static __attribute__((unused)) struct pair make_pair(
    const struct xc_sr_local_config *config)
{
    struct xc_sr_local_config there = *config;
    struct pair p;

    create(config, false);
    snprintf(there.name, sizeof(there.name), "there");
    create(&there, true);
    p.from = open_hv(config->name, XC_SR_HV_SOURCE);
    p.to = open_hv("there", XC_SR_HV_DESTINATION);
    ck_assert_int_eq(xc_sr__hv_paging_on(p.to), 0);
    return p;
}

/* Suspends the one and starts the other, which has its vcpu_info pages only. */
static __attribute__((unused)) void hand_over(struct pair *p)
{
    suspend(p->from);
    for ( uint64_t pfn = info_pfn(p->from); pfn < p->from->info.nr_pfns; pfn++ )
        copy_page(p->from, p->to, pfn, false);
    copy_state(p->from, p->to);
    ck_assert_int_eq(xc_sr__hv_retain(p->from), 0);
    ck_assert_int_eq(xc_sr__hv_unpause(p->to, false), 0);
}

/* Waits for faults and answers them, at least `want`; how many vCPUs spoke. */
static __attribute__((unused)) unsigned int serve(struct pair *p,
                                                  unsigned int want)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US;
    uint64_t vcpus = 0;
    unsigned int served = 0;

    while ( served < want )
    {
        struct pollfd pfd = { .fd = xc_sr__hv_event_fd(p->to),
                              .events = POLLIN };
        struct xc_sr_hv_fault faults[64];
        unsigned int nr;

        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        ck_assert_int_ge(poll(&pfd, 1, 100), 0);
        ck_assert_int_eq(xc_sr__hv_next_faults(p->to, faults, 64, &nr), 0);
        for ( unsigned int i = 0; i < nr; i++ )
        {
            ck_assert_uint_lt(faults[i].pfn, p->to->info.nr_pfns);
            ck_assert_uint_lt(faults[i].vcpu, p->to->info.nr_vcpus);
            vcpus |= 1ull << faults[i].vcpu;
            copy_page(p->from, p->to, faults[i].pfn, true);
        }
        ck_assert_int_eq(xc_sr__hv_fault_done(p->to, faults, nr), 0);
        served += nr;
    }
    return (unsigned int)__builtin_popcountll(vcpus);
}

static __attribute__((unused)) void push_rest(struct pair *p)
{
    for ( uint64_t pfn = 0; pfn < p->from->info.nr_pfns; pfn++ )
    {
        bool missing;

        ck_assert_int_eq(xc_sr__hv_is_missing(p->to, &pfn, 1, &missing), 0);
        if ( missing )
            copy_page(p->from, p->to, pfn, true);
    }
    ck_assert_int_eq(xc_sr__hv_paging_off(p->to), 0);
}

static __attribute__((unused)) void close_pair(struct pair *p)
{
    xc_sr_hv_close(p->from);
    xc_sr_hv_close(p->to);
}

static __attribute__((unused)) bool holds_userfaultfd(int64_t pid)
{
    char path[64], target[64];
    struct dirent *entry;
    bool found = false;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%" PRIi64 "/fd", pid);
    d = opendir(path);
    ck_assert_ptr_nonnull(d);
    while ( (entry = readdir(d)) )
    {
        ssize_t len =
            readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);

        target[len > 0 ? len : 0] = '\0';
        found = found || strstr(target, "userfaultfd");
    }
    closedir(d);
    return found;
}

static void make_dir_small(void)
{
    setenv("XEN_POSTCOPY_LOCAL_MEMORY", "small", 1);
    make_dir();
}

static void make_dir_mixed(void)
{
    setenv("XEN_POSTCOPY_LOCAL_MEMORY", "mixed", 1);
    make_dir();
}

static void empty_dir_unset(void)
{
    empty_dir();
    unsetenv("XEN_POSTCOPY_LOCAL_MEMORY");
}

static void add_tests(Suite *suite, const TTest *const *tests, size_t nr,
                      void (*setup)(void))
{
    for ( size_t i = 0; i < nr; i++ )
    {
        TCase *tc = tcase_create(tests[i]->name);

        tcase_set_timeout(tc, 240);
        tcase_add_unchecked_fixture(tc, setup, empty_dir_unset);
        tcase_add_test(tc, tests[i]);
        suite_add_tcase(suite, tc);
    }
}

/* Runs each test in a host of its own, `all` also with incoming memory of
 * small pages and of both kinds; what main() returns. */
static int run_tests(const char *name, const TTest *const *tests, size_t nr,
                     bool all)
{
    Suite *suite = suite_create(name);
    SRunner *runner;
    int failed;

    add_tests(suite, tests, nr, make_dir);
    if ( all )
    {
        add_tests(suite, tests, nr, make_dir_small);
        add_tests(suite, tests, nr, make_dir_mixed);
    }
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_hv_local_pages.c: the local backend's memory: pages out and in, whole
 * moves by hand, and what must not work.
 */
#include "hv_local.inc.c"

/* ---- Memory ------------------------------------------------------------------------- */

START_TEST(holes_of_the_source_stay_holes)
{
    struct xc_sr_local_config config = config_of("g", 1);
    static const uint8_t zero[XC_SR_PAGE_SIZE];
    uint64_t pfns[512];
    const void *pages[512];
    int errs[512];
    struct stat before, after;
    struct xc_sr_hv *hv;

    config.workload = XC_SR_LOCAL_IDLE;
    config.working_set_kib = 64;
    config.populate_percent = 0;
    create(&config, false);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    ck_assert_int_eq(fstat(xc_sr__local_of(hv)->mem_fd, &before), 0);
    for ( unsigned int i = 0; i < 512; i++ )
        pfns[i] = i;
    ck_assert_int_eq(xc_sr__hv_map(hv, pfns, 512, pages, errs), 0);
    for ( unsigned int i = 0; i < 512; i++ )
    {
        ck_assert_int_eq(errs[i], 0);
        ck_assert((memcmp(pages[i], zero, sizeof(zero)) != 0) == (i < 16));
    }
    ck_assert_int_eq(fstat(xc_sr__local_of(hv)->mem_fd, &after), 0);
    ck_assert_int_eq(after.st_blocks, before.st_blocks);
    ck_assert_int_eq(after.st_blocks * 512, 64 * 1024);
    xc_sr_hv_close(hv);
    assert_well("g");
}
END_TEST

START_TEST(a_pfn_outside_the_guest_is_refused)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);
    uint64_t pfns[3] = { 1, KIB / 4, UINT64_MAX };
    static uint8_t contents[3][XC_SR_PAGE_SIZE];
    const void *pages[3];
    uint32_t types[3];
    bool missing[3];
    int errs[3];

    ck_assert_int_eq(xc_sr__hv_page_types(p.from, pfns, 3, types), 0);
    ck_assert_uint_eq(types[0], 0);
    ck_assert_uint_eq(types[1], 0xf);
    ck_assert_uint_eq(types[2], 0xf);
    ck_assert_int_eq(xc_sr__hv_map(p.from, pfns, 3, pages, errs), 0);
    ck_assert(errs[0] == 0 && errs[1] == -EINVAL && errs[2] == -EINVAL);
    ck_assert_int_eq(xc_sr__hv_populate(p.to, pfns, 3, errs), 0);
    ck_assert(errs[0] == 0 && errs[1] == -EINVAL && errs[2] == -EINVAL);
    ck_assert_int_eq(xc_sr__hv_page_in(p.to, pfns, 3, contents, errs), 0);
    ck_assert(errs[0] == 0 && errs[1] == -EINVAL && errs[2] == -EINVAL);
    ck_assert_int_eq(xc_sr__hv_page_out(p.to, pfns, 3, errs), 0);
    ck_assert(errs[0] == 0 && errs[1] == -EINVAL && errs[2] == -EINVAL);
    ck_assert_int_eq(xc_sr__hv_write_pages(p.to, pfns, 3, contents, errs), 0);
    ck_assert(errs[0] == 0 && errs[1] == -EINVAL && errs[2] == -EINVAL);
    ck_assert_int_eq(xc_sr__hv_is_missing(p.to, pfns, 3, missing), 0);
    ck_assert(!missing[0] && !missing[1] && !missing[2]);
    close_pair(&p);
}
END_TEST

START_TEST(pages_go_out_and_in)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);
    uint64_t pfns[4] = { 10, 11, 12, 500 };
    struct stat before, after;
    static uint8_t contents[4][XC_SR_PAGE_SIZE], page[XC_SR_PAGE_SIZE];
    bool missing[4];
    int errs[4];

    for ( unsigned int i = 0; i < 4; i++ )
        memset(contents[i], 'a' + (int)i, sizeof(contents[i]));
    ck_assert_int_eq(xc_sr__hv_write_pages(p.to, pfns, 4, contents, errs), 0);
    ck_assert_int_eq(xc_sr__hv_is_missing(p.to, pfns, 4, missing), 0);
    ck_assert(!missing[0] && !missing[1] && !missing[2] && !missing[3]);
    read_page(p.to, 500, page);
    ck_assert_mem_eq(page, contents[3], sizeof(page));

    /* Out, some of them twice. */
    ck_assert_int_eq(xc_sr__hv_page_out(p.to, pfns, 2, errs), 0);
    ck_assert_int_eq(xc_sr__hv_page_out(p.to, pfns, 4, errs), 0);
    ck_assert_int_eq(xc_sr__hv_is_missing(p.to, pfns, 4, missing), 0);
    ck_assert(missing[0] && missing[1] && missing[2] && missing[3]);

    /* In again: one that is there is told and left alone. */
    ck_assert_int_eq(xc_sr__hv_page_in(p.to, &pfns[1], 1, contents[3], errs),
                     0);
    ck_assert_int_eq(errs[0], 0);
    ck_assert_int_eq(xc_sr__hv_page_in(p.to, pfns, 4, contents, errs), 0);
    ck_assert(!errs[0] && errs[1] == -EEXIST && !errs[2] && !errs[3]);
    read_page(p.to, 10, page);
    ck_assert_mem_eq(page, contents[0], sizeof(page));
    read_page(p.to, 11, page);
    ck_assert_mem_eq(page, contents[3], sizeof(page));
    read_page(p.to, 12, page);
    ck_assert_mem_eq(page, contents[2], sizeof(page));

    /* A page of zeroes is a page. */
    ck_assert_int_eq(xc_sr__hv_page_out(p.to, pfns, 4, errs), 0);
    ck_assert_int_eq(xc_sr__hv_page_in(p.to, pfns, 4, NULL, errs), 0);
    ck_assert(!errs[0] && !errs[1] && !errs[2] && !errs[3]);
    ck_assert_int_eq(xc_sr__hv_is_missing(p.to, pfns, 4, missing), 0);
    ck_assert(!missing[0] && !missing[3]);
    memset(contents[0], 0, sizeof(contents[0]));
    read_page(p.to, 500, page);
    ck_assert_mem_eq(page, contents[0], sizeof(page));
    ck_assert_int_eq(xc_sr__hv_write_pages(p.to, pfns, 1, contents[1], errs),
                     0);
    ck_assert_int_eq(xc_sr__hv_write_pages(p.to, pfns, 1, NULL, errs), 0);
    ck_assert_int_eq(xc_sr__hv_is_missing(p.to, pfns, 1, missing), 0);
    ck_assert(!missing[0]);
    read_page(p.to, 10, page);
    ck_assert_mem_eq(page, contents[0], sizeof(page));
    /* With a frame, or a vCPU would wait for it for ever. */
    ck_assert_int_eq(xc_sr__hv_page_out(p.to, pfns, 1, errs), 0);
    ck_assert_int_eq(fstat(xc_sr__local_of(p.to)->mem_fd, &before), 0);
    ck_assert_int_eq(xc_sr__hv_write_pages(p.to, pfns, 1, NULL, errs), 0);
    ck_assert_int_eq(fstat(xc_sr__local_of(p.to)->mem_fd, &after), 0);
    if ( !xc_sr__local_of(p.to)->place ) /* where it has one all along */
        ck_assert_int_eq((after.st_blocks - before.st_blocks) * 512,
                         XC_SR_PAGE_SIZE);
    close_pair(&p);
}
END_TEST

START_TEST(a_check_finds_damage)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct xc_sr_local_check check;
    uint64_t count;
    struct xc_sr_hv *hv;
    off_t at = 77 * XC_SR_PAGE_SIZE;
    int fd;

    config.workload = XC_SR_LOCAL_SEQ;
    create(&config, false);
    wait_ops("g", 5000);
    hv = open_hv("g", XC_SR_HV_SOURCE);
    suspend(hv);
    assert_well("g");
    fd = xc_sr__local_of(hv)->mem_fd;

    /* An old page: right in itself, but its work is lost. */
    ck_assert_int_eq(pread(fd, &count, 8, at + 8), 8);
    count--;
    ck_assert_int_eq(pwrite(fd, &count, 8, at + 8), 8);
    ck_assert_int_eq(pwrite(fd, &count, 8, at + 4088), 8);
    check = look("g");
    ck_assert(!xc_sr_local_check_ok(&check));
    ck_assert_uint_eq(check.counters, check.ops - 1);
    ck_assert_uint_eq(check.bad_pages, 0);

    /* A torn one. */
    count++;
    ck_assert_int_eq(pwrite(fd, &count, 8, at + 8), 8);
    check = look("g");
    ck_assert_uint_eq(check.bad_pages, 1);
    ck_assert_uint_eq(check.first_bad_pfn, 77);
    ck_assert_int_eq(pwrite(fd, &count, 8, at + 4088), 8);
    assert_well("g");

    /* A lost one. */
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               at, XC_SR_PAGE_SIZE),
                     0);
    check = look("g");
    ck_assert(!xc_sr_local_check_ok(&check));
    ck_assert_uint_eq(check.bad_pages, 1);
    xc_sr_hv_close(hv);
    /* Its vCPU meets it too. */
    wait_ops("g", check.ops + 2000);
    ck_assert_uint_gt(look("g").errors, 0);
}
END_TEST

/* ---- A whole move, by hand ------------------------------------------------------------ */

/* Every vCPU stands at a missing page before the first is answered. */
static void serve_all(struct pair *p)
{
    uint64_t deadline_us = xc_sr__now_us() + PATIENCE_US, vcpus = 0;
    struct xc_sr_hv_fault faults[64];
    unsigned int nr = 0;

    while ( (unsigned int)__builtin_popcountll(vcpus) < p->to->info.nr_vcpus )
    {
        struct pollfd pfd = { .fd = xc_sr__hv_event_fd(p->to),
                              .events = POLLIN };
        unsigned int more;

        ck_assert_uint_lt(xc_sr__now_us(), deadline_us);
        ck_assert_int_ge(poll(&pfd, 1, 100), 0);
        ck_assert_int_eq(
            xc_sr__hv_next_faults(p->to, faults + nr, 64 - nr, &more), 0);
        for ( ; more; more--, nr++ )
        {
            ck_assert_uint_lt(faults[nr].vcpu, p->to->info.nr_vcpus);
            vcpus |= 1ull << faults[nr].vcpu;
        }
    }
    for ( unsigned int i = 0; i < nr; i++ )
        copy_page(p->from, p->to, faults[i].pfn, true);
    ck_assert_int_eq(xc_sr__hv_fault_done(p->to, faults, nr), 0);
}

static void move(uint32_t vcpus, enum xc_sr_local_workload workload)
{
    struct xc_sr_local_config config = config_of("g", vcpus);
    struct xc_sr_local_check check;
    struct xc_sr_hv *again = NULL;
    struct pair p;
    uint64_t ops;

    config.workload = workload;
    p = make_pair(&config);
    wait_ops("g", 1000);
    hand_over(&p);

    ck_assert(holds_userfaultfd(look("there").info.pid));
    ck_assert(!look("there").complete);
    ck_assert_int_eq(
        xc_sr_hv_open_local(dir, "there", XC_SR_HV_SOURCE, NULL, &again),
        -EBUSY);

    serve_all(&p);
    serve(&p, 200 - vcpus);
    push_rest(&p);
    xc_sr_hv_close(p.from);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "g", NULL), 0);
    ops = look("there").ops;
    wait_ops("there", ops);
    xc_sr_hv_close(p.to);

    ops = look("there").ops;
    wait_ops("there", ops);
    assert_well("there");
    check = look("there");
    ck_assert(!holds_userfaultfd(check.info.pid));
    ck_assert_uint_eq(check.moves, 1);
    ck_assert_uint_gt(check.stalls, 0);
    ck_assert_uint_gt(check.last_op_us, 0);
    ck_assert_uint_gt(check.first_op_us, check.last_op_us);
    ck_assert_uint_eq(check.downtime_us, check.first_op_us - check.last_op_us);
    ck_assert_uint_le(check.stall_p50_us, check.stall_p99_us);
    ck_assert_uint_le(check.stall_p99_us, check.stall_max_us);
    ck_assert_uint_eq(check.stall_samples, check.stalls);
}

START_TEST(one_vcpu_moves)
{
    move(1, XC_SR_LOCAL_RANDOM);
}
END_TEST

START_TEST(sixteen_vcpus_move)
{
    move(16, XC_SR_LOCAL_SEQ);
}
END_TEST

START_TEST(an_idle_guest_moves_and_stays_paused)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct pair p;

    config.workload = XC_SR_LOCAL_IDLE;
    p = make_pair(&config);
    suspend(p.from);
    copy_state(p.from, p.to);
    for ( uint64_t pfn = info_pfn(p.from); pfn < p.from->info.nr_pfns; pfn++ )
        copy_page(p.from, p.to, pfn, false);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, true), 0);
    push_rest(&p);
    close_pair(&p);
    wait_for("there", XC_SR_LOCAL_PAUSED);
    assert_well("there");
    ck_assert_int_eq(xc_sr_local_unpause(dir, "there", NULL), 0);
    wait_for("there", XC_SR_LOCAL_RUNNING);
    assert_well("there");
}
END_TEST

START_TEST(stopped_on_loss_it_goes_on_when_told)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);

    hand_over(&p);
    serve(&p, 10);
    ck_assert_int_eq(xc_sr__hv_pause(p.to), 0);
    push_rest(&p);
    wait_for("there", XC_SR_LOCAL_PAUSED);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), 0);
    wait_ops("there", look("there").ops);
    close_pair(&p);
    ck_assert_uint_eq(look("there").moves, 1);
    assert_well("there");
}
END_TEST

/* The pager dies: vCPUs wait, for ever if need be, but never read zeroes. */
START_TEST(a_dead_pager_is_no_page_of_zeroes)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);
    struct xc_sr_local_info info;

    hand_over(&p);
    serve(&p, 10);
    close_pair(&p);
    do
        ck_assert_int_eq(xc_sr_local_info_get(dir, "there", NULL, &info), 0);
    while ( info.migrating );
    ck_assert(info.paging);
    ck_assert(holds_userfaultfd(info.pid));
    ck_assert_uint_eq(look("there").errors, 0);
    ck_assert(!look("there").complete);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "there", NULL), 0);
}
END_TEST

/* ---- What must not work ----------------------------------------------------------------- */

static void assert_crashed(struct pair *p, const char *word)
{
    struct pollfd pfd = { .fd = xc_sr__hv_gone_fd(p->to), .events = POLLIN };
    struct xc_sr_local_info info;
    bool gone = false;

    ck_assert_int_eq(poll(&pfd, 1, PATIENCE_US / 1000), 1);
    ck_assert_int_eq(xc_sr__hv_is_gone(p->to, &gone), 0);
    ck_assert(gone);
    ck_assert_int_eq(xc_sr_local_info_get(dir, "there", NULL, &info), 0);
    ck_assert_int_eq(info.state, XC_SR_LOCAL_CRASHED);
    ck_assert_ptr_nonnull(strstr(info.why, word));
}

START_TEST(without_vcpu_info_it_crashes)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct pair p = make_pair(&config);

    suspend(p.from);
    copy_page(p.from, p.to, info_pfn(p.from), false); /* one of two */
    copy_state(p.from, p.to);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), 0);
    assert_crashed(&p, "missing");
    close_pair(&p);
}
END_TEST

/* The kernel takes pages out of mappings as it pleases: here before the guest
 * finds what it was shown. */
START_TEST(a_vcpu_info_that_is_only_unmapped_is_found)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct pair p = make_pair(&config);
    struct local *to = xc_sr__local_of(p.to);

    suspend(p.from);
    for ( uint64_t pfn = info_pfn(p.from); pfn < p.from->info.nr_pfns; pfn++ )
        copy_page(p.from, p.to, pfn, false);
    copy_state(p.from, p.to);
    ck_assert_int_eq(xc_sr__hv_retain(p.from), 0);
    to->nr_recent = 0;
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), 0);
    serve(&p, 4);
    push_rest(&p);
    close_pair(&p);
    wait_for("there", XC_SR_LOCAL_RUNNING);
    assert_well("there");
}
END_TEST

/* What is missing when it is started is there when it runs. */
START_TEST(a_vcpu_info_that_comes_while_it_is_paused_is_found)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct pair p = make_pair(&config);
    uint64_t ops;

    suspend(p.from);
    copy_state(p.from, p.to);
    ck_assert_int_eq(xc_sr__hv_retain(p.from), 0);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, true), 0);
    push_rest(&p);
    close_pair(&p);
    ops = look("there").ops;
    ck_assert_int_eq(xc_sr_local_unpause(dir, "there", NULL), 0);
    wait_ops("there", ops);
    assert_well("there");
}
END_TEST

START_TEST(with_an_old_vcpu_info_it_crashes)
{
    struct xc_sr_local_config config = config_of("g", 1);
    struct pair p = make_pair(&config);

    suspend(p.from);
    copy_page(p.from, p.to, info_pfn(p.from), false);
    ck_assert_int_eq(xc_sr__hv_resume(p.from), 0);
    wait_for("g", XC_SR_LOCAL_RUNNING);
    suspend(p.from);
    copy_state(p.from, p.to);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), 0);
    assert_crashed(&p, "out of date");
    close_pair(&p);
}
END_TEST

START_TEST(registers_of_another_shape_are_refused)
{
    struct xc_sr_local_config config = config_of("g", 2);
    struct pair p = make_pair(&config);
    struct xc_sr_hv_blob blob;

    ck_assert_int_eq(
        xc_sr__hv_state_get(p.from, XC_SR_HV_STATE_CPUID_POLICY, &blob),
        -ENODATA);
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), -EINVAL);
    suspend(p.from);
    ck_assert_int_eq(
        xc_sr__hv_state_get(p.from, XC_SR_HV_STATE_HVM_CONTEXT, &blob), 0);
    for ( size_t len = 0; len < blob.len; len++ )
        ck_assert_int_eq(xc_sr__hv_state_put(p.to, XC_SR_HV_STATE_HVM_CONTEXT,
                                             blob.data, len),
                         -EINVAL);
    for ( size_t at = 0; at < 8; at++ )
    {
        blob.data[at] ^= 1;
        ck_assert_int_eq(xc_sr__hv_state_put(p.to, XC_SR_HV_STATE_HVM_CONTEXT,
                                             blob.data, blob.len),
                         -EINVAL);
        blob.data[at] ^= 1;
    }
    ck_assert_int_eq(xc_sr__hv_unpause(p.to, false), -EINVAL);
    ck_assert_int_eq(xc_sr__hv_state_put(p.to, XC_SR_HV_STATE_HVM_CONTEXT,
                                         blob.data, blob.len),
                     0);
    ck_assert_int_eq(
        xc_sr__hv_state_put(p.to, XC_SR_HV_STATE_TSC, blob.data, 23), -EINVAL);
    ck_assert_int_eq(xc_sr__hv_state_put(p.to, XC_SR_HV_STATE_HVM_PARAMS,
                                         blob.data, blob.len),
                     -EINVAL);
    free(blob.data);
    close_pair(&p);
}
END_TEST

START_TEST(a_host_can_be_told_to_refuse)
{
    struct xc_sr_local_config config = config_of("g", 1);
    uint32_t reason = XC_SR_REASON_NONE;
    char why[128] = "";
    struct xc_sr_hv *hv;

    create(&config, true);
    hv = open_hv("g", XC_SR_HV_DESTINATION);
    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)), 0);
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), 0);
    setenv("XEN_POSTCOPY_LOCAL_REFUSE", "no-paging", 1);
    ck_assert_int_eq(xc_sr__hv_paging_probe(hv, &reason, why, sizeof(why)),
                     -EOPNOTSUPP);
    ck_assert_uint_eq(reason, XC_SR_REASON_NO_PAGING);
    ck_assert_str_ne(why, "");
    setenv("XEN_POSTCOPY_LOCAL_REFUSE", "no-memory", 1);
    ck_assert_int_eq(xc_sr__hv_paging_reserve(hv), -ENOMEM);
    xc_sr_hv_close(hv);
}
END_TEST

START_TEST(names_are_checked_and_unique)
{
    static const char *const bad[] = { "",    ".x", "-x",      "a/b",
                                       "a b", "..", "\xc3\xa4" };
    struct xc_sr_local_config config = config_of("g", 1), other;
    struct xc_sr_local_info *infos;
    size_t nr;

    create(&config, false);
    ck_assert_int_eq(xc_sr_local_create(dir, &config, false, NULL), -EEXIST);
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(bad); i++ )
    {
        other = config_of(bad[i], 1);
        ck_assert_int_eq(xc_sr_local_create(dir, &other, false, NULL), -EINVAL);
        ck_assert_int_eq(xc_sr_local_rename(dir, "g", bad[i], NULL), -EINVAL);
    }
    other = config_of("h", 1);
    create(&other, false);
    ck_assert_int_eq(xc_sr_local_rename(dir, "g", "h", NULL), -EEXIST);
    ck_assert_int_eq(xc_sr_local_rename(dir, "g", "a", NULL), 0);
    ck_assert_int_eq(xc_sr_local_list(dir, NULL, &infos, &nr), 0);
    ck_assert_uint_eq(nr, 2);
    ck_assert_str_eq(infos[0].config.name, "a");
    ck_assert_str_eq(infos[1].config.name, "h");
    free(infos);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "g", NULL), -ENOENT);
    ck_assert_int_eq(xc_sr_local_destroy(dir, "a", NULL), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        holes_of_the_source_stay_holes,
        a_pfn_outside_the_guest_is_refused,
        pages_go_out_and_in,
        a_check_finds_damage,
        one_vcpu_moves,
        sixteen_vcpus_move,
        an_idle_guest_moves_and_stays_paused,
        stopped_on_loss_it_goes_on_when_told,
        a_dead_pager_is_no_page_of_zeroes,
        without_vcpu_info_it_crashes,
        a_vcpu_info_that_is_only_unmapped_is_found,
        a_vcpu_info_that_comes_while_it_is_paused_is_found,
        with_an_old_vcpu_info_it_crashes,
        registers_of_another_shape_are_refused,
        a_host_can_be_told_to_refuse,
        names_are_checked_and_unique,
    };

    return run_tests("hv_local_pages", tests, XC_SR_ARRAY_SIZE(tests), true);
}

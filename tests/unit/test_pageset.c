/* SPDX-License-Identifier: LGPL-2.1-only */
/* Sets of pfns, against a plain array of bools. */
#include <check.h>
#include <stdlib.h>

#include "xc_sr_pageset.h"

/* Sizes around the edges of words. */
static const uint64_t sizes[] = { 1, 63, 64, 65, 127, 128, 1000 };
#define NR_SIZES ((int)(sizeof(sizes) / sizeof(sizes[0])))

static uint64_t count_bits(const struct xc_sr_pageset *set)
{
    uint64_t count = 0;

    for ( uint64_t pfn = 0; pfn < set->nr_pfns; pfn++ )
        count += xc_sr__pageset_has(set, pfn);
    return count;
}

START_TEST(members_come_and_go)
{
    struct xc_sr_pageset set;
    uint64_t n = sizes[_i];

    ck_assert_int_eq(xc_sr__pageset_init(&set, n), 0);
    for ( uint64_t pfn = 0; pfn < n; pfn++ )
    {
        ck_assert(!xc_sr__pageset_has(&set, pfn));
        ck_assert(xc_sr__pageset_add(&set, pfn));
        ck_assert(!xc_sr__pageset_add(&set, pfn));
        ck_assert(xc_sr__pageset_has(&set, pfn));
        ck_assert_uint_eq(set.count, pfn + 1);
    }
    for ( uint64_t pfn = 0; pfn < n; pfn += 3 )
    {
        ck_assert(xc_sr__pageset_remove(&set, pfn));
        ck_assert(!xc_sr__pageset_remove(&set, pfn));
    }
    ck_assert_uint_eq(set.count, n - (n + 2) / 3);
    ck_assert_uint_eq(set.count, count_bits(&set));
    xc_sr__pageset_dispose(&set);
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(nothing_outside_the_range)
{
    struct xc_sr_pageset set = { 0 };
    const uint64_t outside[] = { 70, 127, 128, 1ULL << 40, UINT64_MAX };

    ck_assert(!xc_sr__pageset_has(&set, 0));
    ck_assert(!xc_sr__pageset_add(&set, 0));
    ck_assert(!xc_sr__pageset_remove(&set, 0));
    ck_assert_uint_eq(xc_sr__pageset_next(&set, 0), 0);

    ck_assert_int_eq(xc_sr__pageset_init(&set, 70), 0);
    xc_sr__pageset_fill(&set);
    for ( int i = 0; i < 5; i++ )
    {
        ck_assert(!xc_sr__pageset_has(&set, outside[i]));
        ck_assert(!xc_sr__pageset_add(&set, outside[i]));
        ck_assert(!xc_sr__pageset_remove(&set, outside[i]));
        ck_assert_uint_eq(xc_sr__pageset_next(&set, outside[i]), 70);
    }
    ck_assert_uint_eq(set.count, 70);
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(a_pfn_moves_between_sets)
{
    struct xc_sr_pageset from, to;

    ck_assert_int_eq(xc_sr__pageset_init(&from, 200), 0);
    ck_assert_int_eq(xc_sr__pageset_init(&to, 100), 0);
    xc_sr__pageset_add(&from, 50);
    xc_sr__pageset_add(&from, 150);
    ck_assert(xc_sr__pageset_move(&from, &to, 50));
    ck_assert(!xc_sr__pageset_move(&from, &to, 50));
    ck_assert(!xc_sr__pageset_has(&from, 50));
    ck_assert(xc_sr__pageset_has(&to, 50));
    /* No place for it there: it stays here. */
    ck_assert(!xc_sr__pageset_move(&from, &to, 150));
    ck_assert(xc_sr__pageset_has(&from, 150));
    ck_assert_uint_eq(from.count + to.count, 2);
    xc_sr__pageset_dispose(&from);
    xc_sr__pageset_dispose(&to);
}
END_TEST

START_TEST(all_and_none)
{
    struct xc_sr_pageset set;
    uint64_t n = sizes[_i];

    ck_assert_int_eq(xc_sr__pageset_init(&set, n), 0);
    xc_sr__pageset_fill(&set);
    ck_assert_uint_eq(set.count, n);
    ck_assert_uint_eq(count_bits(&set), n);
    ck_assert_uint_eq(xc_sr__pageset_next_gap(&set, 0), n);
    ck_assert_uint_eq(xc_sr__pageset_next(&set, n - 1), n - 1);
    xc_sr__pageset_clear(&set);
    ck_assert_uint_eq(set.count, 0);
    ck_assert_uint_eq(count_bits(&set), 0);
    ck_assert_uint_eq(xc_sr__pageset_next(&set, 0), n);
    ck_assert_uint_eq(xc_sr__pageset_next_gap(&set, 0), 0);
    xc_sr__pageset_dispose(&set);
}
END_TEST

/* Every third pfn, and every pfn from 40 on that is below 60. */
static bool chosen(uint64_t pfn)
{
    return pfn % 3 == 0 || (pfn >= 40 && pfn < 60);
}

START_TEST(walking_finds_each_member_and_each_gap)
{
    struct xc_sr_pageset set;
    uint64_t n = sizes[_i];

    ck_assert_int_eq(xc_sr__pageset_init(&set, n), 0);
    for ( uint64_t pfn = 0; pfn < n; pfn++ )
        if ( chosen(pfn) )
            xc_sr__pageset_add(&set, pfn);
    for ( uint64_t from = 0; from <= n; from++ )
    {
        uint64_t member = from, gap = from;

        while ( member < n && !chosen(member) )
            member++;
        while ( gap < n && chosen(gap) )
            gap++;
        ck_assert_uint_eq(xc_sr__pageset_next(&set, from), member);
        ck_assert_uint_eq(xc_sr__pageset_next_gap(&set, from), gap);
    }
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(sets_are_joined_and_subtracted)
{
    struct xc_sr_pageset a, b;

    ck_assert_int_eq(xc_sr__pageset_init(&a, 130), 0);
    ck_assert_int_eq(xc_sr__pageset_init(&b, 130), 0);
    for ( uint64_t pfn = 0; pfn < 130; pfn++ )
    {
        if ( pfn % 2 == 0 )
            xc_sr__pageset_add(&a, pfn);
        if ( pfn % 3 == 0 )
            xc_sr__pageset_add(&b, pfn);
    }
    xc_sr__pageset_or(&a, &b);
    for ( uint64_t pfn = 0; pfn < 130; pfn++ )
        ck_assert_int_eq(xc_sr__pageset_has(&a, pfn),
                         pfn % 2 == 0 || pfn % 3 == 0);
    ck_assert_uint_eq(a.count, count_bits(&a));
    xc_sr__pageset_subtract(&a, &b);
    for ( uint64_t pfn = 0; pfn < 130; pfn++ )
        ck_assert_int_eq(xc_sr__pageset_has(&a, pfn),
                         pfn % 2 == 0 && pfn % 3 != 0);
    ck_assert_uint_eq(a.count, count_bits(&a));
    xc_sr__pageset_dispose(&a);
    xc_sr__pageset_dispose(&b);
}
END_TEST

START_TEST(a_set_grows_and_keeps_its_members)
{
    struct xc_sr_pageset set = { 0 };

    ck_assert_int_eq(xc_sr__pageset_grow(&set, 10), 0);
    xc_sr__pageset_fill(&set);
    ck_assert_int_eq(xc_sr__pageset_grow(&set, 64), 0);
    ck_assert_int_eq(xc_sr__pageset_grow(&set, 1000), 0);
    ck_assert_int_eq(xc_sr__pageset_grow(&set, 5), 0);
    ck_assert_uint_eq(set.nr_pfns, 1000);
    ck_assert_uint_eq(set.count, 10);
    ck_assert_uint_eq(count_bits(&set), 10);
    ck_assert_uint_eq(xc_sr__pageset_next_gap(&set, 0), 10);
    ck_assert(xc_sr__pageset_add(&set, 999));
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(a_recount_drops_what_is_out_of_range)
{
    struct xc_sr_pageset set;

    ck_assert_int_eq(xc_sr__pageset_init(&set, 70), 0);
    set.words[0] = 0xf0;
    set.words[1] = ~0ULL;
    xc_sr__pageset_recount(&set);
    ck_assert_uint_eq(set.count, 4 + 6);
    ck_assert_uint_eq(xc_sr__pageset_next(&set, 8), 64);
    xc_sr__pageset_dispose(&set);
}
END_TEST

START_TEST(members_are_collected_in_order)
{
    struct xc_sr_pageset set = { 0 };
    uint64_t pfns[3], pfn = 0;

    ck_assert_int_eq(xc_sr__pageset_init(&set, 200), 0);
    ck_assert_uint_eq(xc_sr__pageset_collect(&set, &pfn, pfns, 3), 0);
    ck_assert_uint_eq(pfn, 200);
    for ( uint64_t member = 60; member < 200; member += 40 )
        xc_sr__pageset_add(&set, member);
    pfn = 0;
    ck_assert_uint_eq(xc_sr__pageset_collect(&set, &pfn, pfns, 3), 3);
    ck_assert_uint_eq(pfns[0], 60);
    ck_assert_uint_eq(pfns[2], 140);
    ck_assert_uint_eq(pfn, 141);
    ck_assert_uint_eq(xc_sr__pageset_collect(&set, &pfn, pfns, 3), 1);
    ck_assert_uint_eq(pfns[0], 180);
    xc_sr__pageset_dispose(&set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pageset");
    TCase *tc = tcase_create("pageset");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tc, members_come_and_go, 0, NR_SIZES);
    tcase_add_test(tc, members_are_collected_in_order);
    tcase_add_test(tc, nothing_outside_the_range);
    tcase_add_test(tc, a_pfn_moves_between_sets);
    tcase_add_loop_test(tc, all_and_none, 0, NR_SIZES);
    tcase_add_loop_test(tc, walking_finds_each_member_and_each_gap, 0,
                        NR_SIZES);
    tcase_add_test(tc, sets_are_joined_and_subtracted);
    tcase_add_test(tc, a_set_grows_and_keeps_its_members);
    tcase_add_test(tc, a_recount_drops_what_is_out_of_range);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

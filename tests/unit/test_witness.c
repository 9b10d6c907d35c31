/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_witness.c: the parts of stubdom/witness that need no Xen: what it
 * writes into pages and how it knows a wrong one, its parameters, its rings
 * and its xenstore messages.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "pattern.h"
#include "ring.h"
#include "text.h"
#include "xsmsg.h"

static const struct pattern P = { .seed = 7, .zero_every = 16 };

static enum pattern_verdict judge(const uint64_t *page, uint32_t pfn,
                                  uint32_t version, struct pattern_fault *fault)
{
    memset(fault, 0, sizeof(*fault));
    return pattern_check(&P, page, pfn, version, fault);
}

START_TEST(pages_are_known_again)
{
    uint64_t page[PATTERN_WORDS];
    struct pattern_fault fault;
    uint32_t pfn, version;

    for ( pfn = 0; pfn < 40; pfn++ )
        for ( version = 0; version < 3; version++ )
        {
            pattern_fill(&P, page, pfn, version);
            ck_assert_int_eq(judge(page, pfn, version, &fault), PATTERN_GOOD);
        }
}
END_TEST

START_TEST(every_sixteenth_page_begins_as_zeroes)
{
    static const uint64_t zeroes[PATTERN_WORDS];
    uint64_t page[PATTERN_WORDS];
    uint32_t pfn;

    for ( pfn = 0; pfn < 64; pfn++ )
    {
        pattern_fill(&P, page, pfn, 0);
        ck_assert_int_eq(!memcmp(page, zeroes, sizeof(page)), pfn % 16 == 0);
        pattern_fill(&P, page, pfn, 1);
        ck_assert_int_ne(memcmp(page, zeroes, sizeof(page)), 0);
    }
}
END_TEST

/* One wrong bit anywhere, in a page with contents and in one of zeroes. */
START_TEST(each_wrong_bit_is_found)
{
    uint64_t page[PATTERN_WORDS];
    struct pattern_fault fault;
    unsigned int word;

    for ( word = 0; word < PATTERN_WORDS; word++ )
    {
        pattern_fill(&P, page, 5, 3);
        page[word] ^= 1ull << (word % 64);
        ck_assert_int_eq(judge(page, 5, 3, &fault), PATTERN_BROKEN);
        ck_assert_uint_eq(fault.word, word);
        ck_assert_uint_eq(fault.found ^ fault.wanted, 1ull << (word % 64));

        memset(page, 0, sizeof(page));
        page[word] = 1;
        ck_assert_int_eq(judge(page, 16, 0, &fault), PATTERN_BROKEN);
        ck_assert_uint_eq(fault.word, word);
    }
}
END_TEST

START_TEST(sound_but_wrong_pages_are_named)
{
    uint64_t page[PATTERN_WORDS];
    struct pattern_fault fault;
    struct pattern other = { .seed = 8, .zero_every = 16 };

    pattern_fill(&P, page, 5, 2);
    ck_assert_int_eq(judge(page, 5, 3, &fault), PATTERN_STALE);
    ck_assert_uint_eq(fault.is_version, 2);
    ck_assert_int_eq(judge(page, 6, 2, &fault), PATTERN_FOREIGN);
    ck_assert_uint_eq(fault.is_pfn, 5);
    memset(page, 0, sizeof(page));
    ck_assert_int_eq(judge(page, 5, 3, &fault), PATTERN_ZERO);
    pattern_fill(&other, page, 5, 3);
    ck_assert_int_ne(judge(page, 5, 3, &fault), PATTERN_GOOD);
}
END_TEST

static int parse(struct witness_args *a, const char *line, bool started,
                 char why[128])
{
    struct text text;

    text_init(&text, why, 128);
    return args_parse(a, line, started, &text);
}

START_TEST(parameters_have_defaults_and_are_taken)
{
    struct witness_args a;
    char why[128];

    args_init(&a);
    ck_assert_uint_eq(a.rate, 0);
    ck_assert_uint_eq(a.tick_ms, 50);
    ck_assert_int_eq(parse(&a, "", false, why), 0);
    ck_assert_int_eq(parse(&a,
                           "  seed=18446744073709551615 rate=500 write=100 "
                           "order=random mem=64 duty=90 ",
                           false, why),
                     0);
    ck_assert_uint_eq(a.seed, UINT64_MAX);
    ck_assert_uint_eq(a.rate, 500);
    ck_assert_uint_eq(a.write_pct, 100);
    ck_assert_uint_eq(a.random, 1);
    ck_assert_uint_eq(a.mem_mib, 64);
    ck_assert_uint_eq(a.duty_pct, 90);
    ck_assert_int_eq(parse(&a, "order=seq", true, why), 0);
    ck_assert_uint_eq(a.random, 0);
}
END_TEST

START_TEST(bad_parameters_are_named_and_nothing_is_taken)
{
    static const struct
    {
        const char *line, *why;
        bool started;
    } cases[] = {
        { "rate=1 speed=2", "speed=2: no such parameter", false },
        { "rate", "rate: =value is missing", false },
        { "=3", "=3: no such parameter", false },
        { "rate=", "rate=: no such value", false },
        { "rate=-1", "rate=-1: no such value", false },
        { "rate=1k", "rate=1k: no such value", false },
        { "write=101", "write=101: no such value", false },
        { "duty=0", "duty=0: no such value", false },
        { "tick=99999999999999999999",
          "tick=99999999999999999999: no such value", false },
        { "order=1", "order=1: no such value", false },
        { "order=randomly", "order=randomly: no such value", false },
        { "rate=1 seed=2", "seed=2: is fixed at start", true },
    };
    struct witness_args a, before;
    char why[128];
    size_t i;

    args_init(&a);
    before = a;
    for ( i = 0; i < sizeof(cases) / sizeof(cases[0]); i++ )
    {
        ck_assert_int_eq(parse(&a, cases[i].line, cases[i].started, why),
                         -EINVAL);
        ck_assert_str_eq(why, cases[i].why);
        ck_assert_int_eq(memcmp(&a, &before, sizeof(a)), 0);
    }
}
END_TEST

START_TEST(rings_carry_everything_in_order)
{
    char data[16], out[5], next_in = 0, next_out = 0;
    volatile uint32_t cons = UINT32_MAX - 20, prod = UINT32_MAX - 20;
    struct ring r = { data, sizeof(data), &cons, &prod };
    int round, i, nr;

    for ( round = 0; round < 40; round++ )
    {
        char in[7];

        for ( i = 0; i < 7; i++ )
            in[i] = (char)(next_in + i);
        nr = ring_put(&r, in, 7);
        ck_assert_int_ge(nr, 0);
        ck_assert_uint_le(prod - cons, sizeof(data));
        next_in = (char)(next_in + nr);
        nr = ring_get(&r, out, sizeof(out));
        ck_assert_int_eq(nr, sizeof(out));
        for ( i = 0; i < nr; i++ )
            ck_assert_int_eq(out[i], next_out++);
    }
}
END_TEST

START_TEST(rings_that_cannot_be_are_refused)
{
    char data[16], octet = 1;
    volatile uint32_t cons = 0, prod = 17;
    struct ring r = { data, sizeof(data), &cons, &prod };

    ck_assert_int_eq(ring_get(&r, &octet, 1), -EPROTO);
    ck_assert_int_eq(ring_put(&r, &octet, 1), -EPROTO);
    cons = 18;
    ck_assert_int_eq(ring_get(&r, &octet, 1), -EPROTO);
    prod = cons + sizeof(data);
    ck_assert_int_eq(ring_put(&r, &octet, 1), 0); /* full, which is no error */
}
END_TEST

START_TEST(messages_are_what_xenstore_expects)
{
    static const unsigned char written[] = {
        11, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 'a', '/', 'b', 0, '1',
    };
    struct xsmsg head = { .type = 11, .request = 9 };
    char buf[64];
    size_t len = 0;

    ck_assert_int_eq(xsmsg_build(buf, sizeof(buf), &head, "a/b", "1", &len), 0);
    ck_assert_uint_eq(len, sizeof(written));
    ck_assert_int_eq(memcmp(buf, written, len), 0);
    head.type = XSMSG_WATCH;
    ck_assert_int_eq(xsmsg_build(buf, sizeof(buf), &head, "a/b", "1", &len), 0);
    ck_assert_uint_eq(len, sizeof(written) + 1);
    ck_assert_int_eq(buf[len - 1], 0);
    ck_assert_int_eq(xsmsg_build(buf, sizeof(buf), &head, "a/b", NULL, &len),
                     0);
    ck_assert_uint_eq(len, sizeof(written) - 1);
    ck_assert_int_eq(xsmsg_build(buf, 20, &head, "a/b", "1", &len), -E2BIG);
}
END_TEST

START_TEST(messages_are_read_when_they_are_whole)
{
    struct xsmsg head = { .type = XSMSG_WATCH, .request = 3 }, msg;
    char buf[64];
    size_t len = 0, have;

    xsmsg_build(buf, sizeof(buf), &head, "path", "token", &len);
    for ( have = 0; have < len; have++ )
        ck_assert_int_eq(xsmsg_parse(buf, have, &msg), -EAGAIN);
    ck_assert_int_eq(xsmsg_parse(buf, len, &msg), 0);
    ck_assert_uint_eq(msg.type, XSMSG_WATCH);
    ck_assert_uint_eq(msg.request, 3);
    ck_assert_str_eq(xsmsg_string(&msg, 0), "path");
    ck_assert_str_eq(xsmsg_string(&msg, 1), "token");
    ck_assert_ptr_null(xsmsg_string(&msg, 2));
    msg.len--; /* a string that does not end in the body is none */
    ck_assert_ptr_null(xsmsg_string(&msg, 1));
    buf[14] = 1; /* 64 KiB more */
    ck_assert_int_eq(xsmsg_parse(buf, len, &msg), -EPROTO);
}
END_TEST

START_TEST(text_is_cut_off_at_the_end)
{
    char buf[12];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_pair(&t, "a", 0);
    text_pair(&t, "b", 45);
    ck_assert_str_eq(buf, "a=0 b=45");
    text_hex(&t, 0xabcdef);
    ck_assert_str_eq(buf, "a=0 b=450xa");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("witness");
    TCase *tcase = tcase_create("witness");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, pages_are_known_again);
    tcase_add_test(tcase, every_sixteenth_page_begins_as_zeroes);
    tcase_add_test(tcase, each_wrong_bit_is_found);
    tcase_add_test(tcase, sound_but_wrong_pages_are_named);
    tcase_add_test(tcase, parameters_have_defaults_and_are_taken);
    tcase_add_test(tcase, bad_parameters_are_named_and_nothing_is_taken);
    tcase_add_test(tcase, rings_carry_everything_in_order);
    tcase_add_test(tcase, rings_that_cannot_be_are_refused);
    tcase_add_test(tcase, messages_are_what_xenstore_expects);
    tcase_add_test(tcase, messages_are_read_when_they_are_whole);
    tcase_add_test(tcase, text_is_cut_off_at_the_end);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_takeover.c: the receiver of a guest is dead, and somebody looks
 * whether the guest is still the one whose pages were on their way, with a
 * libxl that lists what it is told to.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xl_xen_receive.h"

#include "fake_xenstored.inc.c"

#define UUID "00010203-0405-0607-0809-0a0b0c0d0e0f"

/* A domain of this host; domid 0 ends the list. */
struct domain
{
    uint32_t domid;
    const char *name; /* NULL: it has none */
    bool other;       /* another guest's UUID */
    bool shutdown;
    bool dying;
};

static const struct domain *host;

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nr_r)
{
    libxl_dominfo *list = calloc(8, sizeof(*list));
    int nr = 0;

    (void)ctx;
    if ( !host )
    {
        free(list);
        return NULL;
    }
    ck_assert_ptr_nonnull(list);
    for ( ; host[nr].domid; nr++ )
    {
        uint8_t *uuid = libxl_uuid_bytearray(&list[nr].uuid);

        for ( unsigned int i = 0; i < 16; i++ )
            uuid[i] = (uint8_t)(i + (host[nr].other ? 100 : 0));
        list[nr].domid = host[nr].domid;
        list[nr].shutdown = host[nr].shutdown;
        list[nr].dying = host[nr].dying;
    }
    *nr_r = nr;
    return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int nr)
{
    (void)nr;
    free(list);
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    const struct domain *d = host;

    (void)ctx;
    while ( d->domid && d->domid != domid )
        d++;
    return d->name ? strdup(d->name) : NULL;
}

/* What is there, when domain 7 was the one whose pages were on their way. */
static const struct
{
    struct domain host[4];
    bool anew;
} hosts[] = {
    { { { 0 } }, false },
    { { { 7, "g", .other = false } }, false },
    { { { 7, "g", .dying = true } }, false },
    { { { 9, "g", .other = false } }, true },
    { { { 7, "g", .dying = true }, { 9, "g", .other = false } }, true },
    { { { 7, "g", .shutdown = true }, { 9, "g", .other = false } }, true },
    { { { 9, "g2", .other = false }, { 7, "g", .other = false } }, false },
    { { { 7, "g", .other = false }, { 9, "g2", .other = false } }, false },
    { { { 9, "other", .other = true } }, false },
    /* Suspended: the source's own copy, on this very host. */
    { { { 9, "g--migratedaway", .shutdown = true } }, false },
    /* Left half-built by an attempt that was killed. */
    { { { 9, "g--incoming", .other = false } }, false },
    { { { 9, NULL, .other = false } }, false },
};

START_TEST(a_guest_that_was_started_anew_is_another)
{
    host = hosts[_i].host;
    ck_assert(xl_xen_has_started_anew(NULL, UUID, 7) == hosts[_i].anew);
}
END_TEST

/* Records of old did not say. */
START_TEST(without_a_number_nothing_is_assumed)
{
    static const struct domain one[] = { { 9, "g", .other = false }, { 0 } };

    host = one;
    ck_assert(!xl_xen_has_started_anew(NULL, UUID, 0));
    host = NULL; /* nor where nobody can tell */
    ck_assert(!xl_xen_has_started_anew(NULL, UUID, 7));
}
END_TEST

/* Who is told that it is lost destroys it. */
START_TEST(what_fails_once_does_not_lose_a_guest)
{
    static const int passing[] = { -ENOMEM, -EBUSY,     -EAGAIN, -EMFILE,
                                   -EIO,    -ETIMEDOUT, -EFAULT, -EPERM };

    for ( unsigned int i = 0; i < sizeof(passing) / sizeof(passing[0]); i++ )
        ck_assert(!xl_xen_is_lost_by(passing[i]));
    ck_assert(xl_xen_is_lost_by(-ESRCH));
    ck_assert(xl_xen_is_lost_by(-EOPNOTSUPP));
    ck_assert(xl_xen_is_lost_by(-ENODEV));
}
END_TEST

/* ---- Whose pause it is --------------------------------------------------------- */

static char dir[64];
static struct daemon xenstored;

/* A receiver whose guest runs; on_loss says whether it pauses it. */
static struct xl_xen_receiver *new_receiver(bool pause_on_loss)
{
    struct xl_xen_receiver *r = calloc(1, sizeof(*r));
    static const uint8_t session[16] = { 1, 2, 3 };

    ck_assert_ptr_nonnull(r);
    snprintf(dir, sizeof(dir), "/tmp/takeover.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    start(&xenstored, -1);
    xl_arrival_init(&r->arrival);
    r->arrival.pause_on_loss = pause_on_loss;
    r->record.lock_fd = -1;
    ck_assert_int_eq(xl_journal_open(&r->record.journal, dir, "g", false), 0);
    ck_assert_int_eq(xl_xen_store_open(10000000, &r->record.store), 0);
    xl_xen_store_place(r->record.store, UUID, false);
    ck_assert_int_eq(
        xl_xen_receiver_put_record(r, XC_SR_OWNER_OWNER, session, 1), 0);
    return r;
}

static void report(struct xl_xen_receiver *r, enum xc_sr_phase phase)
{
    const struct xc_sr_progress p = { .phase = phase };

    xl_xen_receiver_on_progress(r, &p);
}

static struct xl_journal_record recorded(void)
{
    struct xl_journal_record record;

    ck_assert_int_eq(xl_journal_read(dir, "g", &record), 0);
    return record;
}

static void end_receiver(struct xl_xen_receiver *r)
{
    char command[100];

    xl_xen_store_close(r->record.store);
    finish(&xenstored);
    xl_journal_close(&r->record.journal);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    free(r);
}

/* Should it die who takes its place knows what to end, whatever xenstored
 * says. */
START_TEST(a_pause_for_want_of_a_connection_is_recorded)
{
    struct xl_xen_receiver *r = new_receiver(_i);

    report(r, XC_SR_PHASE_POSTCOPY);
    ck_assert(!recorded().paused);
    report(r, XC_SR_PHASE_DISCONNECTED);
    ck_assert_int_eq(recorded().paused, _i);
    ck_assert_int_eq(recorded().owner, XC_SR_OWNER_OWNER);
    ck_assert_uint_eq(recorded().epoch, 1);
    /* Also where it gives up: then it is paused still. */
    report(r, XC_SR_PHASE_FAILED);
    ck_assert_int_eq(recorded().paused, _i);
    report(r, XC_SR_PHASE_POSTCOPY);
    ck_assert(!recorded().paused);
    end_receiver(r);
}
END_TEST

/* Whoever watches xenstore looks for it there, as long as the record stays. */
START_TEST(what_gives_up_says_where_it_runs)
{
    struct xl_xen_receiver *r = new_receiver(true);
    const struct xc_sr_progress p = { .phase = XC_SR_PHASE_FAILED,
                                      .owner = XC_SR_OWNER_OWNER };

    xl_xen_receiver_on_progress(r, &p);
    end_receiver(r);
    ck_assert(has(&xenstored, "/destination/phase=failed\n"));
    ck_assert(has(&xenstored, "/destination/guest-runs-at=destination\n"));
}
END_TEST

START_TEST(a_limit_that_is_lifted_is_recorded)
{
    struct xl_xen_receiver *r = new_receiver(true);

    ck_assert_uint_eq(recorded().lifted_pages, 0);
    xl_xen_receiver_on_limit_lifted(r, 1000, 2000);
    ck_assert_uint_eq(recorded().limit_pages, 1000);
    ck_assert_uint_eq(recorded().lifted_pages, 2000);
    ck_assert_int_eq(recorded().owner, XC_SR_OWNER_OWNER);
    end_receiver(r);
}
END_TEST

/* It may be handed over, and nobody may be told otherwise. */
START_TEST(what_is_not_recorded_is_not_promised)
{
    struct xl_xen_receiver *r = new_receiver(true);

    r->result.engine.owner = XC_SR_OWNER_OWNER;
    ck_assert_int_eq(xl_xen_receiver_finish(r, -EIO), XL_EXIT_UNKNOWN);
    ck_assert_int_eq(recorded().owner, XC_SR_OWNER_OWNER);
    end_receiver(r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_takeover");
    TCase *tc = tcase_create("look");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(tc, a_guest_that_was_started_anew_is_another, 0,
                        sizeof(hosts) / sizeof(hosts[0]));
    tcase_add_test(tc, without_a_number_nothing_is_assumed);
    tcase_add_test(tc, what_fails_once_does_not_lose_a_guest);
    tcase_add_loop_test(tc, a_pause_for_want_of_a_connection_is_recorded, 0, 2);
    tcase_add_test(tc, what_gives_up_says_where_it_runs);
    tcase_add_test(tc, a_limit_that_is_lifted_is_recorded);
    tcase_add_test(tc, what_is_not_recorded_is_not_promised);
    suite_add_tcase(s, tc);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

#include <stdio.h>

int main(void)
{
    puts("there is no libxl here");
    return 77;
}

#endif

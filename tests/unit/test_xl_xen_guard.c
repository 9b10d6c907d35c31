/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_guard.c: what must not be done to a guest of which pages are
 * missing is refused, however the system's xl lets it be written.  One guest,
 * w, of number 7, and a xenstore and a libxl that know of nothing else.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#include "xl_xen.h"
#include "xl_xen_record.h"

static const char *owner; /* published of it; NULL: nothing arrives */
static unsigned int nr_said;
static int a_handle;

/* ---- What xl_xen_guard.c calls ------------------------------------------------ */

void xl_error(const char *fmt, ...)
{
    (void)fmt;
    nr_said++;
}

int access(const char *name, int type)
{
    (void)name;
    (void)type;
    return 0;
}

uid_t geteuid(void)
{
    return 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&a_handle;
}

void xs_close(struct xs_handle *xs)
{
    (void)xs;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path,
                    unsigned int *nr)
{
    (void)xs;
    (void)t;
    (void)path;
    *nr = owner ? 1 : 0;
    return NULL;
}

bool xl_xen_store_read(struct xs_handle *xs, const char *uuid, bool at_source,
                       const char *node, char *buf, unsigned int len)
{
    (void)xs;
    (void)uuid;
    ck_assert(!at_source);
    snprintf(buf, len, "%s", strcmp(node, "owner") ? "7" : owner);
    return true;
}

const char *xl_xen_place(bool at_source)
{
    (void)at_source;
    return "/nowhere";
}

bool xl_xen_record_is_held(const char *uuid, bool at_source)
{
    (void)uuid;
    (void)at_source;
    return false;
}

int xl_journal_read(const char *place, const char *key,
                    struct xl_journal_record *record_r)
{
    (void)place;
    (void)key;
    (void)record_r;
    return -ENOENT;
}

void xl_xen_uuid_text(const libxl_uuid *uuid, char text[XL_XEN_UUID_LEN])
{
    (void)uuid;
    text[0] = '\0';
}

int xl_xen_open(const struct xl_global *global, libxl_ctx **ctx_r)
{
    (void)global;
    *ctx_r = (libxl_ctx *)&a_handle;
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    (void)ctx;
    return 0;
}

int libxl_domain_qualifier_to_domid(libxl_ctx *ctx, const char *name,
                                    uint32_t *domid)
{
    (void)ctx;
    *domid = 7;
    return strcmp(name, "w") ? ERROR_INVAL : 0;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
    (void)ctx;
    (void)info;
    return domid == 7 ? 0 : ERROR_DOMAIN_NOTFOUND;
}

/* ---- Tests ------------------------------------------------------------------------ */

static bool refused(const char *words)
{
    const struct xl_global global = { .local_dir = NULL };
    char line[64], *argv[8], *save = NULL, *word;
    int argc = 0;

    snprintf(line, sizeof(line), "%s", words);
    for ( word = strtok_r(line, " ", &save); word && argc < 7;
          word = strtok_r(NULL, " ", &save) )
        argv[argc++] = word;
    argv[argc] = NULL;
    return xl_xen_is_refused(&global, argc, argv);
}

static const char *const dangerous[] = {
    "save w /tmp/w.img",
    "save -c w /tmp/w.img",
    "migrate w xen1",
    "migrate -s ssh -C cfg w xen1",
    "remus -i 100 w xen1",
    "vcpu-set w 4",
    "network-attach w bridge=b",
    /* As the system's xl understands them. */
    "sav w /tmp/w.img",
    "mig w xen1",
    "vcpu-s w 4",
    "network-a w bridge=b",
};

START_TEST(what_would_lose_pages_is_refused)
{
    owner = "owner";
    ck_assert(refused(dangerous[_i]));
    ck_assert_uint_eq(nr_said, 1);
}
END_TEST

START_TEST(but_not_when_none_is_missing)
{
    owner = _i ? "finished" : NULL;
    for ( size_t i = 0; i < sizeof(dangerous) / sizeof(dangerous[0]); i++ )
        ck_assert(!refused(dangerous[i]));
    ck_assert_uint_eq(nr_said, 0);
}
END_TEST

static const char *const harmless[] = {
    "list w",
    "destroy w",
    "network-detach w 0",
    "vcpu-list w",
    "save other /tmp/other.img",
    "save",
    "migrate-receive",
};

START_TEST(nor_is_anything_else)
{
    owner = "owner";
    ck_assert(!refused(harmless[_i]));
    ck_assert_uint_eq(nr_said, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xl_xen_guard");
    TCase *t = tcase_create("all");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, what_would_lose_pages_is_refused, 0,
                        sizeof(dangerous) / sizeof(dangerous[0]));
    tcase_add_loop_test(t, but_not_when_none_is_missing, 0, 2);
    tcase_add_loop_test(t, nor_is_anything_else, 0,
                        sizeof(harmless) / sizeof(harmless[0]));
    suite_add_tcase(s, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
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

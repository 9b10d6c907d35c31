/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * test_xl_xen_conf.c: a receiver looks for room, xl's lock and memory, while
 * its sender waits: with an xl.conf, a libxl and a clock of our own, which
 * goes on when somebody sleeps.
 */
#include <check.h>
#include <stdlib.h>

#ifdef HAVE_XENLIGHT

#include <errno.h>
#include <fcntl.h>
#include <libxlutil.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xl_transport.h"
#include "xl_xen.h"

#define SECOND    UINT64_C(1000000)
#define SENDER_US (60 * SECOND)

static uint64_t clock_us;
static char lockfile[sizeof("/tmp/xp-lock.XXXXXX")];
static char said[600];
/* dom0 gives back so much in each second; the domain needs 1 GiB more. */
static uint64_t free_kb, given_kb_per_s;

static void pass(uint64_t us)
{
    clock_us += us;
    free_kb += given_kb_per_s * (us / SECOND);
}

/* ---- What xl_xen_conf.c calls ------------------------------------------------ */

uint64_t xl_now_us(void)
{
    return clock_us;
}

int nanosleep(const struct timespec *want, struct timespec *left)
{
    (void)left;
    pass((uint64_t)want->tv_sec * SECOND + (uint64_t)want->tv_nsec / 1000);
    return 0;
}

void xl_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said, sizeof(said), fmt, ap);
    va_end(ap);
}

const char *xl_xen_complaint(void)
{
    return "";
}

XLU_Config *xlu_cfg_init(FILE *report, const char *source)
{
    (void)report;
    (void)source;
    return (XLU_Config *)&clock_us;
}

int xlu_cfg_readfile(XLU_Config *cfg, const char *path)
{
    (void)cfg;
    (void)path;
    return 0;
}

int xlu_cfg_get_string(const XLU_Config *cfg, const char *name,
                       const char **value_r, int dont_warn)
{
    (void)cfg;
    (void)dont_warn;
    if ( strcmp(name, "lockfile") )
        return ESRCH;
    *value_r = lockfile;
    return 0;
}

void xlu_cfg_destroy(XLU_Config *cfg)
{
    (void)cfg;
}

/* There is an xl.conf, whether this machine has one or not. */
int access(const char *path, int mode)
{
    (void)path;
    (void)mode;
    return 0;
}

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
    (void)ctx;
    return NULL;
}

int libxl_domain_need_memory(libxl_ctx *ctx, libxl_domain_config *config,
                             uint32_t domid, uint64_t *need_r)
{
    (void)ctx;
    (void)config;
    (void)domid;
    *need_r = 1 << 20;
    return 0;
}

int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *kb_r)
{
    (void)ctx;
    *kb_r = free_kb;
    return 0;
}

int libxl_set_memory_target(libxl_ctx *ctx, uint32_t domid, int64_t kb,
                            int relative, int enforce)
{
    (void)ctx;
    (void)domid;
    (void)kb;
    (void)relative;
    (void)enforce;
    return 0;
}

int libxl_wait_for_free_memory(libxl_ctx *ctx, uint32_t domid, uint64_t kb,
                               int wait_s)
{
    (void)ctx;
    (void)domid;
    while ( free_kb < kb && wait_s-- > 0 )
        pass(SECOND);
    return free_kb < kb ? ERROR_NOMEM : 0;
}

int libxl_wait_for_memory_target(libxl_ctx *ctx, uint32_t domid, int wait_s)
{
    (void)ctx;
    (void)domid;
    pass((uint64_t)wait_s * SECOND);
    return given_kb_per_s ? 0 : ERROR_FAIL;
}

/* ---- Somebody else has the lock ---------------------------------------------- */

/* The lock is a process's: another one. */
static pid_t hold_lock(int *until_r)
{
    int up[2], down[2];
    char c;
    pid_t pid;

    ck_assert_int_eq(pipe(up), 0);
    ck_assert_int_eq(pipe(down), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if ( pid == 0 )
    {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int fd = open(lockfile, O_WRONLY);

        close(down[1]);
        if ( fcntl(fd, F_SETLK, &lock) || write(up[1], "", 1) != 1 )
            _exit(1);
        _exit(read(down[0], &c, 1) < 0);
    }
    close(up[1]);
    close(down[0]);
    ck_assert_int_eq(read(up[0], &c, 1), 1);
    close(up[0]);
    *until_r = down[1];
    return pid;
}

START_TEST(who_has_the_lock_is_said_before_the_sender_gives_up)
{
    uint64_t start_us = clock_us;
    char who[32];
    int until = -1, fd = -1;
    pid_t pid = hold_lock(&until);

    ck_assert_int_eq(xl_xen_lock(xl_xen_room_deadline_us(SENDER_US), &fd),
                     -ETIMEDOUT);
    ck_assert_uint_lt(clock_us - start_us, SENDER_US);
    ck_assert_uint_ge(clock_us - start_us, SENDER_US / 2);
    snprintf(who, sizeof(who), "process %d has it", (int)pid);
    ck_assert_msg(strstr(said, who) != NULL, "%s", said);
    close(until);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(xl_xen_lock(xl_xen_room_deadline_us(SENDER_US), &fd), 0);
    close(fd);
}
END_TEST

/* ---- dom0 takes its time ------------------------------------------------------- */

START_TEST(memory_that_comes_too_slowly_is_said_before_the_sender_gives_up)
{
    libxl_domain_config config = { 0 };
    uint64_t start_us = clock_us;
    uint64_t deadline_us = xl_xen_room_deadline_us(SENDER_US);

    /* The lock took most of the time. */
    if ( _i )
        pass(SENDER_US / 4 * 3 - 2 * SECOND);
    given_kb_per_s = 1 << 10;
    ck_assert_int_eq(xl_xen_free_memory(NULL, &config, deadline_us), -ENOMEM);
    ck_assert_uint_lt(clock_us - start_us, SENDER_US);
    ck_assert_msg(strstr(said, "too slowly") != NULL, "%s", said);
}
END_TEST

START_TEST(memory_that_comes_in_time_is_waited_for)
{
    libxl_domain_config config = { 0 };

    given_kb_per_s = (1 << 20) / 30;
    ck_assert_int_eq(
        xl_xen_free_memory(NULL, &config, xl_xen_room_deadline_us(SENDER_US)),
        0);
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(dom0_that_gives_nothing_is_not_waited_for)
{
    libxl_domain_config config = { 0 };
    uint64_t start_us = clock_us;

    given_kb_per_s = 0;
    ck_assert_int_eq(
        xl_xen_free_memory(NULL, &config, xl_xen_room_deadline_us(SENDER_US)),
        -ENOMEM);
    ck_assert_uint_lt(clock_us - start_us, SENDER_US / 2);
    ck_assert_msg(strstr(said, "no more") != NULL, "%s", said);
}
END_TEST

static void begin(void)
{
    int fd;

    snprintf(lockfile, sizeof(lockfile), "/tmp/xp-lock.XXXXXX");
    fd = mkstemp(lockfile);
    ck_assert_int_ge(fd, 0);
    close(fd);
    clock_us = 1000 * SECOND;
    free_kb = 0;
    said[0] = '\0';
}

static void end(void)
{
    unlink(lockfile);
}

int main(void)
{
    Suite *s = suite_create("xl_xen_conf");
    TCase *tc = tcase_create("room");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, who_has_the_lock_is_said_before_the_sender_gives_up);
    tcase_add_loop_test(
        tc, memory_that_comes_too_slowly_is_said_before_the_sender_gives_up, 0,
        2);
    tcase_add_test(tc, memory_that_comes_in_time_is_waited_for);
    tcase_add_test(tc, dom0_that_gives_nothing_is_not_waited_for);
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

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_conf.c: what our xl does as the stock one does because both use one
 * host: reads xl.conf, takes the lock file under which memory is counted and
 * domains are created, and balloons dom0 down where the administrator lets it.
 *
 * Called by the receiver before libxl creates a domain, and by the monitor
 * before it starts one again.  Both say until when; a receiver's sender waits,
 * and is to hear from it why it gives up.
 */
#include "xl_xen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libxlutil.h>

#include "xl_transport.h"

#define XL_CONF          "/etc/xen/xl.conf"
#define DEFAULT_LOCKFILE "/var/lock/xl"
/* Somebody who creates a large domain may have the lock for this long. */
#define LOCK_POLL_NS     100000000L
/* As long as dom0 gives something back within each. */
#define BALLOON_TRIES    6
#define BALLOON_WAIT_S   10

enum autoballoon
{
    AUTOBALLOON_AUTO,
    AUTOBALLOON_OFF,
    AUTOBALLOON_ON,
};

struct conf
{
    char lockfile[256];
    enum autoballoon autoballoon;
};

static enum autoballoon read_autoballoon(const char *text)
{
    static const char *const off[] = { "0", "off", "no", "false" };
    static const char *const on[] = { "1", "on", "yes", "true" };
    unsigned int i;

    for ( i = 0; i < 4; i++ )
    {
        if ( !strcmp(text, off[i]) )
            return AUTOBALLOON_OFF;
        if ( !strcmp(text, on[i]) )
            return AUTOBALLOON_ON;
    }
    return AUTOBALLOON_AUTO;
}

/* What is not there, or cannot be read, is as by default. */
static void read_conf(struct conf *conf_r)
{
    XLU_Config *xlu = xlu_cfg_init(stderr, XL_CONF);
    const char *text = NULL;

    *conf_r = (struct conf){ .lockfile = DEFAULT_LOCKFILE };
    if ( !xlu )
        return;
    if ( !access(XL_CONF, R_OK) && !xlu_cfg_readfile(xlu, XL_CONF) )
    {
        if ( !xlu_cfg_get_string(xlu, "lockfile", &text, 1) )
            snprintf(conf_r->lockfile, sizeof(conf_r->lockfile), "%s", text);
        if ( !xlu_cfg_get_string(xlu, "autoballoon", &text, 1) )
            conf_r->autoballoon = read_autoballoon(text);
    }
    xlu_cfg_destroy(xlu);
}

/* ---- The lock file --------------------------------------------------------- */

static void tell_holder(int fd, const char *file)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if ( fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK )
        lock.l_pid = 0;
    xl_error("gave up waiting for %s, xl's lock: process %d has it", file,
             (int)lock.l_pid);
}

uint64_t xl_xen_room_deadline_us(uint64_t timeout_us)
{
    return xl_now_us() + timeout_us / 4 * 3;
}

int xl_xen_lock(uint64_t deadline_us, int *fd_r)
{
    const struct timespec pause = { .tv_nsec = LOCK_POLL_NS };
    struct conf conf;
    int fd;

    read_conf(&conf);
    fd = open(conf.lockfile, O_WRONLY | O_CREAT | O_CLOEXEC, 0200);
    if ( fd < 0 )
    {
        int rc = -errno;

        xl_error("cannot open xl's lock %s: %s", conf.lockfile, strerror(-rc));
        return rc;
    }
    for ( ;; )
    {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int rc = fcntl(fd, F_SETLK, &lock) ? -errno : 0;

        if ( !rc )
        {
            *fd_r = fd;
            return 0;
        }
        if ( (rc == -EACCES || rc == -EAGAIN) && xl_now_us() >= deadline_us )
        {
            tell_holder(fd, conf.lockfile);
            rc = -ETIMEDOUT;
        }
        else if ( rc == -EACCES || rc == -EAGAIN || rc == -EINTR )
        {
            nanosleep(&pause, NULL);
            continue;
        }
        else
            xl_error("cannot lock %s: %s", conf.lockfile, strerror(-rc));
        close(fd);
        return rc;
    }
}

/* ---- Memory ------------------------------------------------------------------ */

/* dom0's size was given to Xen: then it is meant to stay what it is. */
static bool is_dom0_size_given(libxl_ctx *ctx)
{
    const libxl_version_info *info = libxl_get_version_info(ctx);
    const char *p = info ? info->commandline : NULL;

    while ( p && (p = strstr(p, "dom0_mem=")) != NULL )
    {
        if ( p == info->commandline || p[-1] == ' ' )
            return true;
        p++;
    }
    return false;
}

bool xl_xen_may_balloon(libxl_ctx *ctx)
{
    struct conf conf;

    read_conf(&conf);
    return conf.autoballoon == AUTOBALLOON_ON ||
           (conf.autoballoon == AUTOBALLOON_AUTO && !is_dom0_size_given(ctx));
}

/* Whole seconds of what is left, the last one always. */
static int balloon_wait_s(uint64_t deadline_us)
{
    uint64_t now_us = xl_now_us();
    uint64_t left_s =
        now_us < deadline_us ? (deadline_us - now_us) / 1000000 : 0;

    return left_s < 1                ? 1
           : left_s > BALLOON_WAIT_S ? BALLOON_WAIT_S
                                     : (int)left_s;
}

static int balloon(libxl_ctx *ctx, uint64_t need_kb, uint64_t deadline_us)
{
    const char *complaint = xl_xen_complaint();
    uint64_t free_kb = 0;
    bool in_time = true;
    int tries;

    for ( tries = 0; in_time && tries < BALLOON_TRIES; tries++ )
    {
        if ( libxl_get_free_memory(ctx, &free_kb) )
            return -EIO;
        if ( free_kb >= need_kb )
            return 0;
        if ( libxl_set_memory_target(ctx, 0, (int64_t)(free_kb - need_kb), 1,
                                     0) )
            break;
        if ( !libxl_wait_for_free_memory(ctx, 0, need_kb,
                                         balloon_wait_s(deadline_us)) )
            return 0;
        in_time = xl_now_us() < deadline_us;
        /* It has no more to give. */
        if ( in_time && libxl_wait_for_memory_target(ctx, 0, 1) )
            break;
    }
    xl_error("the domain needs %llu MiB; only %llu MiB are free, and dom0 "
             "gives back %s%s%s",
             (unsigned long long)(need_kb >> 10),
             (unsigned long long)(free_kb >> 10),
             in_time ? "no more" : "too slowly (--timeout)",
             *complaint ? ": " : "", complaint);
    return -ENOMEM;
}

int xl_xen_free_memory(libxl_ctx *ctx, libxl_domain_config *config,
                       uint64_t deadline_us)
{
    uint64_t need_kb = 0;
    int rc;

    if ( !xl_xen_may_balloon(ctx) )
        return 0;
    if ( libxl_domain_need_memory(ctx, config, INVALID_DOMID, &need_kb) )
        rc = -EIO;
    else
        rc = balloon(ctx, need_kb, deadline_us);
    if ( rc == -EIO )
        xl_error("cannot find out how much memory the domain needs: %s",
                 xl_xen_complaint());
    return rc;
}

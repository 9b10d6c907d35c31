/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_watch.c: one process at a time looks after a domain's end
 * (xl_xen_monitor.c): two would both destroy it and start it again.  Whoever
 * takes the place of a dead receiver finds out here whether that one came to
 * start such a process.
 *
 * It is a lock on one octet of a file, that of the domain's number, which goes
 * with its process, however that ends, and is no child's of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xl_xen.h"
#include "xl_xen_record.h"

#define PATH_LEN 200

static int open_file(int *fd_r)
{
    char path[PATH_LEN + 20];
    int fd;

    if ( mkdir(xl_xen_state_dir(), 0700) && errno != EEXIST )
        return -errno;
    snprintf(path, sizeof(path), "%.*s/monitors.lock", PATH_LEN,
             xl_xen_state_dir());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if ( fd < 0 )
        return -errno;
    *fd_r = fd;
    return 0;
}

static struct flock octet_of(uint32_t domid, short type)
{
    return (struct flock){ .l_type = type,
                           .l_whence = SEEK_SET,
                           .l_start = (off_t)domid,
                           .l_len = 1 };
}

static void give_back(struct xl_xen_watch *watch)
{
    struct flock octet = octet_of(watch->domid, F_UNLCK);

    if ( watch->domid )
        (void)fcntl(watch->fd, F_SETLK, &octet);
    watch->domid = 0;
}

int xl_xen_watch_take(struct xl_xen_watch *watch, uint32_t domid)
{
    struct flock octet = octet_of(domid, F_WRLCK);
    int rc = watch->fd < 0 ? open_file(&watch->fd) : 0;

    if ( rc || watch->domid == domid )
        return rc;
    if ( fcntl(watch->fd, F_SETLK, &octet) )
        return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
    give_back(watch);
    watch->domid = domid;
    return 0;
}

void xl_xen_watch_leave(struct xl_xen_watch *watch)
{
    if ( watch->fd >= 0 )
        close(watch->fd);
    watch->fd = -1;
    watch->domid = 0;
}

bool xl_xen_is_watched(uint32_t domid)
{
    struct flock octet = octet_of(domid, F_WRLCK);
    bool watched = false;
    int fd;

    if ( !open_file(&fd) )
    {
        watched = !fcntl(fd, F_GETLK, &octet) && octet.l_type != F_UNLCK;
        close(fd);
    }
    return watched;
}

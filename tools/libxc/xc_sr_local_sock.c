/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_local_sock.c: messages on a local guest's control socket, for both
 * ends: the guest program, and the library's clients of it.  Lengths and
 * descriptor counts are checked here; what a message means is not known.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "local_wire.h"

void xc_sr__lw_close_fds(struct lw_fds *fds)
{
    for ( unsigned int i = 0; i < fds->nr; i++ )
        if ( fds->fd[i] >= 0 )
            close(fds->fd[i]);
    fds->nr = 0;
}

int xc_sr__lw_send(int sock, struct lw_msg *msg, const struct lw_fds *fds)
{
    union
    {
        struct cmsghdr align;
        char buf[CMSG_SPACE(LW_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov = { .iov_base = msg, .iov_len = LW_HEAD + msg->len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t sent;

    msg->magic = LW_MAGIC;
    if ( fds && fds->nr )
    {
        struct cmsghdr *cm;

        mh.msg_control = control.buf;
        mh.msg_controllen = CMSG_SPACE(fds->nr * sizeof(int));
        cm = CMSG_FIRSTHDR(&mh);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN(fds->nr * sizeof(int));
        memcpy(CMSG_DATA(cm), fds->fd, fds->nr * sizeof(int));
    }

    do
        sent = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    while ( sent < 0 && errno == EINTR );
    return sent < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *mh, struct lw_fds *fds)
{
    for ( struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm; cm = CMSG_NXTHDR(mh, cm) )
    {
        size_t nr;

        if ( cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS )
            continue;
        nr = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for ( size_t i = 0; i < nr; i++ )
        {
            int fd;

            memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(fd));
            if ( fds->nr < LW_FDS_MAX )
                fds->fd[fds->nr++] = fd;
            else
                close(fd);
        }
    }
}

int xc_sr__lw_recv(int sock, struct lw_msg *msg, struct lw_fds *fds_r)
{
    union
    {
        struct cmsghdr align;
        char buf[CMSG_SPACE(LW_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf) };
    struct lw_fds fds = { 0 };
    ssize_t got;

    do
        got = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while ( got < 0 && errno == EINTR );
    if ( got < 0 )
        return -errno;
    if ( got == 0 )
        return -EPIPE;

    take_fds(&mh, &fds);
    if ( (size_t)got < LW_HEAD || msg->magic != LW_MAGIC ||
         msg->len != (size_t)got - LW_HEAD ||
         (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (fds.nr && !fds_r) )
    {
        xc_sr__lw_close_fds(&fds);
        return -EBADMSG;
    }
    if ( fds_r )
        *fds_r = fds;
    return 0;
}

bool xc_sr__lw_name_ok(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= XC_SR_LOCAL_NAME_MAX && name[0] != '.' &&
           name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_.-") == len;
}

int xc_sr__lw_connect(const char *dir, const char *name, int *sock_r)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int dir_fd = -1, sock = -1, rc;

    if ( !xc_sr__lw_name_ok(name) )
        return -EINVAL;
    /* By way of the directory's descriptor, because its path may be longer
     * than a socket address. */
    dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if ( dir_fd < 0 )
        return -errno;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s.sock",
             dir_fd, name);

    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if ( sock < 0 )
    {
        rc = -errno;
        goto out;
    }
    if ( connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0 )
    {
        rc = -errno;
        goto out;
    }
    *sock_r = sock;
    sock = -1;
    rc = 0;

out:
    if ( sock >= 0 )
        close(sock);
    close(dir_fd);
    return rc;
}

/* However its process went, and whether it had read what was asked. */
static int ended_or(int rc)
{
    return rc == -EPIPE || rc == -ECONNRESET ? -ECONNREFUSED : rc;
}

int xc_sr__lw_call(int sock, struct lw_msg *msg, struct lw_fds *fds_r,
                   uint64_t timeout_us)
{
    uint64_t deadline_us = xc_sr__now_us() + timeout_us;
    uint32_t op = msg->op;
    int rc = xc_sr__lw_send(sock, msg, NULL);

    if ( rc )
        return ended_or(rc);
    for ( ;; )
    {
        struct pollfd pfd = { .fd = sock, .events = POLLIN };
        uint64_t now_us = xc_sr__now_us();

        if ( now_us >= deadline_us )
            return -ETIMEDOUT;
        if ( poll(&pfd, 1, xc_sr__poll_ms(deadline_us, now_us)) < 0 &&
             errno != EINTR )
            return -errno;
        rc = xc_sr__lw_recv(sock, msg, fds_r);
        if ( rc == -EAGAIN )
            continue;
        if ( rc )
            return ended_or(rc);
        if ( msg->op != op || (msg->rc && fds_r && fds_r->nr) )
        {
            if ( fds_r )
                xc_sr__lw_close_fds(fds_r);
            return -EBADMSG;
        }
        return msg->rc;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * faulty_calls.inc.c: system calls and allocations that fail when they are
 * told to.  Included by the programs whose calls come here by the linker's
 * --wrap (FAULTY in config/build.mk): a test, and the guest that it starts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

struct faulty
{
    atomic_uint calls;
    unsigned int fail_at; /* the Nth of them; 0: none */
    bool for_good;        /* and all that follow */
    char name[24];        /* of the one that failed first */
};

/* NULL: nothing fails and nothing is counted. */
static struct faulty *faulty;

static bool fails(const char *name, int error)
{
    struct faulty *f = faulty;
    unsigned int n;

    if ( !f )
        return false;
    n = atomic_fetch_add(&f->calls, 1) + 1;
    if ( !f->fail_at || n < f->fail_at || (n > f->fail_at && !f->for_good) )
        return false;
    if ( !f->name[0] )
        snprintf(f->name, sizeof(f->name), "%s", name);
    errno = error;
    return true;
}

/* Both names are the linker's. */
#define FAULTY(type, name, params, args, error, failed)                        \
    type __real_##name params;                                                 \
    type __wrap_##name params;                                                 \
    type __wrap_##name params                                                  \
    {                                                                          \
        return fails(#name, error) ? (failed) : __real_##name args;            \
    }

/* clang-format off */
FAULTY(void *, malloc, (size_t len), (len), ENOMEM, NULL)
FAULTY(void *, calloc, (size_t nr, size_t len), (nr, len), ENOMEM, NULL)
FAULTY(void *, realloc, (void *p, size_t len), (p, len), ENOMEM, NULL)
FAULTY(void *, aligned_alloc, (size_t to, size_t len), (to, len), ENOMEM, NULL)
FAULTY(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t off),
       (at, len, prot, flags, fd, off), ENOMEM, MAP_FAILED)
FAULTY(int, socket, (int domain, int type, int protocol),
       (domain, type, protocol), EMFILE, -1)
FAULTY(int, socketpair, (int domain, int type, int protocol, int *sv),
       (domain, type, protocol, sv), EMFILE, -1)
FAULTY(int, connect, (int fd, const struct sockaddr *sa, socklen_t len),
       (fd, sa, len), ENOMEM, -1)
FAULTY(int, bind, (int fd, const struct sockaddr *sa, socklen_t len),
       (fd, sa, len), ENOSPC, -1)
FAULTY(int, listen, (int fd, int backlog), (fd, backlog), ENOMEM, -1)
FAULTY(int, accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags),
       (fd, sa, len, flags), EMFILE, -1)
FAULTY(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
       (fd, level, name, value, len), ENOMEM, -1)
FAULTY(int, poll, (struct pollfd *fds, nfds_t nr, int ms), (fds, nr, ms), ENOMEM, -1)
FAULTY(ssize_t, sendmsg, (int fd, const struct msghdr *mh, int flags),
       (fd, mh, flags), ENOMEM, -1)
FAULTY(ssize_t, recvmsg, (int fd, struct msghdr *mh, int flags),
       (fd, mh, flags), ENOMEM, -1)
FAULTY(ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len), EIO, -1)
FAULTY(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t at),
       (fd, buf, len, at), EIO, -1)
FAULTY(int, fallocate, (int fd, int mode, off_t at, off_t len),
       (fd, mode, at, len), ENOSPC, -1)
FAULTY(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence), EIO, -1)
FAULTY(int, ftruncate, (int fd, off_t len), (fd, len), ENOSPC, -1)
FAULTY(int, memfd_create, (const char *name, unsigned int flags),
       (name, flags), EMFILE, -1)
FAULTY(int, eventfd, (unsigned int count, int flags), (count, flags), EMFILE, -1)
FAULTY(int, pipe2, (int *fds, int flags), (fds, flags), EMFILE, -1)
FAULTY(int, dup2, (int fd, int as), (fd, as), EMFILE, -1)
FAULTY(int, fsopen, (const char *name, unsigned int flags), (name, flags), EPERM, -1)
FAULTY(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr,
                             void *(*start)(void *), void *arg),
       (thread, attr, start, arg), EAGAIN, EAGAIN)
FAULTY(pid_t, fork, (void), (), EAGAIN, -1)
FAULTY(DIR *, opendir, (const char *name), (name), EMFILE, NULL)
FAULTY(FILE *, fopen, (const char *name, const char *mode), (name, mode), EMFILE, NULL)
/* clang-format on */

/* Those with a last argument that may be there or not, of one word. */
#define FAULTY_MORE(name, first, second)                                       \
    int __real_##name(first a, second b, ...);                                 \
    int __wrap_##name(first a, second b, ...);                                 \
    int __wrap_##name(first a, second b, ...)                                  \
    {                                                                          \
        va_list more;                                                          \
        long word;                                                             \
                                                                               \
        va_start(more, b);                                                     \
        word = va_arg(more, long);                                             \
        va_end(more);                                                          \
        return fails(#name, EMFILE) ? -1 : __real_##name(a, b, word);          \
    }

FAULTY_MORE(open, const char *, int)
FAULTY_MORE(fcntl, int, int)
FAULTY_MORE(ioctl, int, unsigned long)

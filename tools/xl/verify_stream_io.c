/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * verify_stream_io.c: from a descriptor into the nest.
 *
 * Page contents are most of a stream and nobody looks at them: a file is
 * seeked over them, a pipe is emptied into /dev/null without copying, and
 * only what is neither is read and dropped.  Memory is one buffer.
 */
#include "verify_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Holds the head of a stock PAGE_DATA record: 1024 entries. */
#define BUFFER_LEN 16384u

struct input
{
    int fd;
    bool regular;
    off_t size;  /* of a regular file */
    int null_fd; /* for splice; -1: not a pipe */
};

/* Passes over at most `octets`; *done_r of them, 0: has to be read. */
static int pass_over(struct input *in, uint64_t octets, uint64_t *done_r)
{
    off_t at, room;
    ssize_t n;

    *done_r = 0;
    if ( in->regular )
    {
        at = lseek(in->fd, 0, SEEK_CUR);
        if ( at < 0 )
            return -errno;
        /* Never beyond the end, where nothing would be missed. */
        room = in->size > at ? in->size - at : 0;
        if ( octets > (uint64_t)room )
            octets = (uint64_t)room;
        if ( octets && lseek(in->fd, (off_t)octets, SEEK_CUR) < 0 )
            return -errno;
        *done_r = octets;
    }
    else if ( in->null_fd >= 0 )
    {
        if ( octets > 1u << 30 )
            octets = 1u << 30;
        do
            n = splice(in->fd, NULL, in->null_fd, NULL, (size_t)octets, 0);
        while ( n < 0 && errno == EINTR );
        if ( n < 0 )
            return -errno;
        *done_r = (uint64_t)n;
    }
    return 0;
}

static int open_input(struct input *in, int fd)
{
    struct stat st;

    if ( fstat(fd, &st) )
        return -errno;
    in->fd = fd;
    in->regular = S_ISREG(st.st_mode);
    in->size = st.st_size;
    in->null_fd = -1;
    /* Where there is no splice the contents are read. */
    if ( S_ISFIFO(st.st_mode) )
        in->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return 0;
}

/* One read; *eof_r at the end. */
static int feed_some(struct verify_nest *n, struct input *in, bool *eof_r)
{
    static uint8_t buffer[BUFFER_LEN];
    ssize_t len;

    do
        len = read(in->fd, buffer, sizeof(buffer));
    while ( len < 0 && errno == EINTR );
    if ( len < 0 )
        return -errno;
    *eof_r = len == 0;
    return verify_nest_feed(n, buffer, (size_t)len);
}

int verify_input(struct verify_nest *n, int fd)
{
    struct input in = { .null_fd = -1 };
    bool eof = false;
    int rc = open_input(&in, fd);

    while ( !rc && !eof )
    {
        uint64_t octets = verify_nest_skippable(n), done = 0;

        if ( octets )
            rc = pass_over(&in, octets, &done);
        if ( !rc && done )
            rc = verify_nest_skip(n, done);
        else if ( !rc )
            rc = feed_some(n, &in, &eof);
    }
    if ( !rc )
        rc = verify_nest_eof(n);
    if ( in.null_fd >= 0 )
        close(in.null_fd);
    return rc;
}

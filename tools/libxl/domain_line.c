/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_line.c: a migration's connection to libxl: the shim for messages, a
 * socket pair for libxl's stream, and one descriptor that stands for both and
 * for the caller's own in the engine's loop.
 *
 * Called in the engine's thread by domain_send.c and domain_receive.c.  Never
 * calls libxl: what only libxl can do is asked for through domain_run.c.
 */
#include "domain_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What an event is of. */
enum source
{
    SOURCE_CALLER,
    SOURCE_SHIM,
    SOURCE_STREAM,
};

int libxl_postcopy__line_fail(struct libxl_postcopy__line *line, int rc,
                              const char *fmt, ...)
{
    va_list args;

    if ( line->why[0] )
        return rc;
    va_start(args, fmt);
    vsnprintf(line->why, sizeof(line->why), fmt, args);
    va_end(args);
    if ( line->log && line->log->write )
        line->log->write(line->log->ctx, XC_SR_LOG_ERROR, line->why);
    return rc;
}

uint64_t libxl_postcopy__line_deadline(const struct libxl_postcopy__line *line)
{
    return libxl_postcopy__now_us() + line->timeout_us;
}

/* ---- Exact reading and writing ---------------------------------------------------- */

int libxl_postcopy__write_exact(int fd, const void *buf, size_t len,
                                uint64_t deadline_us)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    const uint8_t *p = buf;

    while ( len )
    {
        int rc = libxl_postcopy__poll(&pfd, 1, deadline_us);
        ssize_t n;

        if ( rc )
            return rc;
        n = pfd.revents ? write(fd, p, len) : 0;
        if ( n < 0 && errno != EAGAIN && errno != EINTR )
            return -errno;
        if ( n > 0 )
        {
            p += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int libxl_postcopy__read_exact(int fd, void *buf, size_t len, int cancel_fd,
                               uint64_t deadline_us)
{
    struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
                             { .fd = cancel_fd, .events = POLLIN } };
    uint8_t *p = buf;

    while ( len )
    {
        int rc = libxl_postcopy__poll(fds, 2, deadline_us);
        ssize_t n;

        if ( rc )
            return rc;
        if ( fds[1].revents )
            return -ECANCELED;
        if ( !fds[0].revents )
            continue;
        n = read(fd, p, len);
        if ( n == 0 )
            return -EPIPE;
        if ( n < 0 && errno != EAGAIN && errno != EINTR )
            return -errno;
        if ( n > 0 )
        {
            p += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* ---- Events ----------------------------------------------------------------------- */

static int watch_fd(struct libxl_postcopy__line *line, int op, int fd,
                    uint32_t events, enum source source)
{
    struct epoll_event ev = { .events = events, .data.u32 = source };

    if ( !epoll_ctl(line->epoll_fd, op, fd, &ev) )
        return 0;
    return libxl_postcopy__line_fail(
        line, -errno, "domain %u: libxl cannot be waited for: %s", line->domid,
        strerror(errno));
}

/* What is going wrong has to stop the engine, which waits elsewhere. */
static void break_off(struct libxl_postcopy__line *line)
{
    line->broken = true;
    (void)xc_sr_control_abort(line->control);
}

static void on_shim(struct libxl_postcopy__line *line)
{
    int rc = libxl_postcopy__shim_take(&line->shim);

    if ( rc && !line->completed )
    {
        (void)libxl_postcopy__line_fail(
            line, rc, "domain %u: libxl's save helper %s", line->domid,
            rc == -EPIPE ? "(xl-save-shim) ended early: killed?"
                         : "said something that it never says");
        break_off(line);
    }
}

/* An event each; they are few, and come again. */
static void on_ready(void *ctx)
{
    struct libxl_postcopy__line *line = ctx;
    struct epoll_event evs[4];
    int nr = epoll_wait(line->epoll_fd, evs, 4, 0);

    for ( int i = 0; i < nr; i++ )
    {
        if ( evs[i].data.u32 == SOURCE_CALLER )
            line->watch.on_ready(line->watch.ctx);
        else if ( evs[i].data.u32 == SOURCE_SHIM )
            on_shim(line);
        else if ( libxl_postcopy__line_flush(line) )
            break_off(line);
    }
}

struct xc_sr_watch libxl_postcopy__line_watch(struct libxl_postcopy__line *line)
{
    return (struct xc_sr_watch){
        .fd = line->epoll_fd,
        .on_ready = on_ready,
        .ctx = line,
    };
}

int libxl_postcopy__line_wait(struct libxl_postcopy__line *line, int fd,
                              short events, uint64_t deadline_us)
{
    struct pollfd fds[2] = { { .fd = fd, .events = events },
                             { .fd = line->run.wake_fd, .events = POLLIN } };

    /* The caller's thread may have had its last news long ago. */
    if ( libxl_postcopy__now_us() >= deadline_us )
        return -ETIMEDOUT;
    return libxl_postcopy__poll(fds, 2, deadline_us);
}

/* ---- Life -------------------------------------------------------------------------- */

static int open_line(struct libxl_postcopy__line *line)
{
    int fds[2];

    line->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if ( line->epoll_fd < 0 )
        return -errno;
    if ( socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) )
        return -errno;
    line->stream_fd = fds[0];
    line->libxl_end = fds[1];
    if ( line->watch.on_ready && line->watch.fd >= 0 )
        return watch_fd(line, EPOLL_CTL_ADD, line->watch.fd, EPOLLIN,
                        SOURCE_CALLER);
    return 0;
}

int libxl_postcopy__line_init(struct libxl_postcopy__line *line,
                              const struct xc_sr_log *log,
                              struct xc_sr_control *control,
                              const struct xc_sr_watch *watch)
{
    int rc;

    line->log = log;
    line->watch = *watch;
    line->shim.fd = line->epoll_fd = line->stream_fd = line->libxl_end = -1;
    libxl_postcopy__relay_init(&line->relay);
    rc = libxl_postcopy__run_init(&line->run);
    if ( rc )
        return rc;
    rc = control ? 0 : xc_sr_control_new(&line->own_control);
    line->control = control ? control : line->own_control;
    if ( !rc )
        rc = open_line(line);
    if ( rc )
        libxl_postcopy__line_dispose(line);
    return rc;
}

void libxl_postcopy__line_dispose(struct libxl_postcopy__line *line)
{
    int *const fds[] = { &line->shim.fd, &line->stream_fd, &line->libxl_end,
                         &line->epoll_fd };

    for ( size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++ )
        if ( *fds[i] >= 0 )
            close(*fds[i]);
    libxl_postcopy__relay_dispose(&line->relay);
    if ( line->own_control )
        xc_sr_control_free(line->own_control);
    libxl_postcopy__run_dispose(&line->run);
}

/* ---- The shim ------------------------------------------------------------------------ */

static int check_args(struct libxl_postcopy__line *line, bool restore,
                      uint32_t cbflags)
{
    const struct libxl_postcopy__helper_args *args = &line->shim.args;

    if ( args->restore != restore || args->stream_type )
        return libxl_postcopy__line_fail(
            line, -EPROTO,
            "libxl asks its save helper for something else than "
            "a plain %s",
            restore ? "restore" : "save");
    if ( (args->cbflags & cbflags) != cbflags )
        return libxl_postcopy__line_fail(
            line, -EPROTO,
            "libxl does not take the messages that are needed "
            "(0x%x of 0x%x)",
            args->cbflags, cbflags);
    if ( !restore && args->domid != line->domid )
        return libxl_postcopy__line_fail(
            line, -EPROTO, "libxl saves domain %u, %u was asked for",
            args->domid, line->domid);
    line->domid = args->domid;
    return 0;
}

int libxl_postcopy__line_accept(struct libxl_postcopy__line *line, bool restore,
                                uint32_t cbflags)
{
    int libxl_rc = 0;
    int rc = libxl_postcopy__shim_accept(
        libxl_postcopy__listen_fd(), line->run.wake_fd,
        libxl_postcopy__line_deadline(line), &line->shim);

    if ( rc == -ECANCELED )
    {
        (void)libxl_postcopy__run_has_returned(&line->run, &libxl_rc);
        return libxl_postcopy__line_fail(
            line, -EIO, "libxl gave up at once (error %d)", libxl_rc);
    }
    if ( rc )
        return libxl_postcopy__line_fail(
            line, rc, "libxl's save helper (xl-save-shim) did not call: %s",
            strerror(-rc));
    line->called = true;
    rc = check_args(line, restore, cbflags);
    if ( rc )
        return rc;
    return watch_fd(line, EPOLL_CTL_ADD, line->shim.fd, EPOLLIN, SOURCE_SHIM);
}

int libxl_postcopy__line_call(struct libxl_postcopy__line *line,
                              enum libxl_postcopy__msg number, uint64_t a,
                              uint64_t b)
{
    const struct libxl_postcopy__message msg = { .number = number,
                                                 .values = { a, b } };
    int rc = libxl_postcopy__shim_call(&line->shim, &msg,
                                       libxl_postcopy__line_deadline(line));

    if ( rc )
        return libxl_postcopy__line_fail(
            line, rc, "domain %u: libxl, asked for %s: %s", line->domid,
            libxl_postcopy__msg_name(number),
            rc == -EIO         ? "could not do it"
            : rc == -ETIMEDOUT ? "no answer"
                               : strerror(-rc));
    return 0;
}

int libxl_postcopy__line_complete(struct libxl_postcopy__line *line)
{
    int rc = libxl_postcopy__line_call(line, LIBXL_PC_MSG_COMPLETE, 0, 0);

    if ( rc )
        return rc;
    line->completed = true;
    libxl_postcopy__shim_exit(&line->shim, 0);
    return 0;
}

/* libxl could not bear to lose its helper in the middle of suspending a guest,
 * nor to be asked for something else. */
void libxl_postcopy__line_await(struct libxl_postcopy__line *line)
{
    bool answered;

    if ( !line->shim.asked || line->awaited )
        return;
    line->awaited = true;
    (void)libxl_postcopy__shim_answer(
        &line->shim, libxl_postcopy__line_deadline(line) + line->timeout_us,
        &answered);
}

static void end_shim(struct libxl_postcopy__line *line)
{
    uint64_t deadline_us = libxl_postcopy__line_deadline(line);
    struct libxl_postcopy__message log = {
        .number = LIBXL_PC_MSG_LOG,
        .values = { LIBXL_PC_LOG_ERROR, 0 },
        .strings = { "xen-postcopy", line->why },
    };
    const struct libxl_postcopy__message complete = {
        .number = LIBXL_PC_MSG_COMPLETE,
        .values = { (uint64_t)-1, EIO },
    };

    libxl_postcopy__line_await(line);
    if ( line->why[0] )
        (void)libxl_postcopy__shim_send(&line->shim, &log, deadline_us);
    (void)libxl_postcopy__shim_call(&line->shim, &complete, deadline_us);
    libxl_postcopy__shim_exit(&line->shim, 1);
}

/* A helper that nobody waits for any more is told to go. */
static void dismiss_caller(struct libxl_postcopy__line *line)
{
    int rc = libxl_postcopy__shim_accept(libxl_postcopy__listen_fd(), -1,
                                         libxl_postcopy__now_us(), &line->shim);

    line->called = rc == 0;
    if ( line->called )
        end_shim(line);
    else if ( rc != -ETIMEDOUT ) /* that was somebody else */
        (void)libxl_postcopy__hang_up();
}

/* libxl's call, its stream, or its helper's first word. */
static int wait_libxl(struct libxl_postcopy__line *line, bool eof,
                      uint64_t deadline_us)
{
    struct pollfd fds[3] = {
        { .fd = eof ? -1 : line->stream_fd, .events = POLLIN },
        { .fd = line->run.wake_fd, .events = POLLIN },
        { .fd = line->called ? -1 : libxl_postcopy__listen_fd(),
          .events = POLLIN },
    };

    /* What cannot be waited for may come all the same. */
    if ( !libxl_postcopy__poll(fds, 3, deadline_us) && fds[2].revents )
        dismiss_caller(line);
    return libxl_postcopy__now_us() >= deadline_us ? -ETIMEDOUT : 0;
}

int libxl_postcopy__line_end(struct libxl_postcopy__line *line)
{
    uint64_t deadline_us;
    bool eof = false;
    int libxl_rc;

    end_shim(line);
    deadline_us = libxl_postcopy__line_deadline(line) + line->timeout_us;
    /* To a libxl that reads: this is all. */
    (void)shutdown(line->stream_fd, SHUT_WR);
    libxl_postcopy__run_unwake(&line->run);
    while ( !libxl_postcopy__run_has_returned(&line->run, &libxl_rc) )
    {
        int rc = wait_libxl(line, eof, deadline_us);

        if ( rc && !line->called && libxl_postcopy__hang_up() )
            deadline_us = libxl_postcopy__line_deadline(line);
        else if ( rc )
            return libxl_postcopy__line_fail(
                line, rc, "domain %u: libxl does not come back", line->domid);
        if ( !eof )
            libxl_postcopy__relay_discard(line->stream_fd, &eof);
    }
    return 0;
}

/* ---- libxl's stream -------------------------------------------------------------------- */

int libxl_postcopy__line_flush(struct libxl_postcopy__line *line)
{
    int rc = libxl_postcopy__relay_flush(&line->relay, line->stream_fd);
    bool wait = rc == -EAGAIN;

    if ( wait != line->waits_for_room )
    {
        line->waits_for_room = wait;
        rc = watch_fd(line, wait ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
                      line->stream_fd, EPOLLOUT, SOURCE_STREAM);
        if ( rc )
            return rc;
    }
    return wait ? 0 : rc;
}

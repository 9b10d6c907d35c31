/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * domain_priv.h: what sending and receiving share; not for anybody else.
 *
 * domain_init.c      the process, and the libxl it runs with
 * domain_run.c       the two threads
 * domain_line.c      the shim, libxl's stream, one descriptor to watch
 * domain_send.c      libxl_postcopy_send()
 * domain_receive.c   libxl_postcopy_receive()
 * domain_vifs.c      what a guest with pages missing has to know of its network
 */
#ifndef LIBXL_POSTCOPY_DOMAIN_PRIV_H
#define LIBXL_POSTCOPY_DOMAIN_PRIV_H

#include "libxl_postcopy.h"

#include "domain_run.h"
#include "domain_vifs.h"
#include "relay.h"
#include "shim_link.h"

/*
 * A migration's connection to libxl, used by the engine's thread; libxl_end
 * is the caller's thread's.
 */
struct libxl_postcopy__line
{
    struct libxl_postcopy__run run;
    struct libxl_postcopy__shim shim;
    struct libxl_postcopy__relay relay;
    const struct xc_sr_log *log;
    struct xc_sr_control *control; /* the caller's, or own_control */
    struct xc_sr_control *own_control;
    struct xc_sr_watch watch; /* the caller's */
    int stream_fd;            /* our end of libxl's stream; -1: closed */
    int libxl_end;            /* libxl's */
    int epoll_fd;             /* everything that on_ready() looks at */
    uint64_t timeout_us;      /* for one answer of libxl's */
    uint32_t domid;           /* for messages */
    bool called;              /* the shim has */
    bool waits_for_room;      /* stream_fd is watched for writing */
    bool completed;           /* libxl was told that the memory part is done */
    bool awaited;             /* an answer that was due at the end, once */
    bool broken;              /* the shim or the stream went, too early */
    char why[256];            /* the first failure of this library's own */
};

int libxl_postcopy__line_init(struct libxl_postcopy__line *line,
                              const struct xc_sr_log *log,
                              struct xc_sr_control *control,
                              const struct xc_sr_watch *watch);
void libxl_postcopy__line_dispose(struct libxl_postcopy__line *line);

/* What the engine shall watch. */
struct xc_sr_watch libxl_postcopy__line_watch(
    struct libxl_postcopy__line *line);

/* Notes the sentence, unless there is one, logs it, and returns rc. */
int libxl_postcopy__line_fail(struct libxl_postcopy__line *line, int rc,
                              const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t libxl_postcopy__line_deadline(const struct libxl_postcopy__line *line);

/* Waits for events of fd (-1: none), or until the caller's thread has news;
 * -ETIMEDOUT. */
int libxl_postcopy__line_wait(struct libxl_postcopy__line *line, int fd,
                              short events, uint64_t deadline_us);

/* Waits for the shim and checks what libxl runs it for. */
int libxl_postcopy__line_accept(struct libxl_postcopy__line *line, bool restore,
                                uint32_t cbflags);

/* A message, and its answer if it has one. */
int libxl_postcopy__line_call(struct libxl_postcopy__line *line,
                              enum libxl_postcopy__msg number, uint64_t a,
                              uint64_t b);

/* Waits for an answer that is still due, whatever it says. */
void libxl_postcopy__line_await(struct libxl_postcopy__line *line);

/* The memory part has gone well: libxl goes on. */
int libxl_postcopy__line_complete(struct libxl_postcopy__line *line);

/*
 * libxl's call is to come back, whatever it is at: a shim that is there says
 * that it failed; what libxl still writes is read and dropped.  -ETIMEDOUT: it
 * did not come back.
 */
int libxl_postcopy__line_end(struct libxl_postcopy__line *line);

/* Writes to libxl what waits in the relay, as far as it goes; the rest when
 * the engine next watches. */
int libxl_postcopy__line_flush(struct libxl_postcopy__line *line);

/* Where the shim calls; -1: init() has not been called. */
int libxl_postcopy__listen_fd(void);
/* A shim that called and cannot be accepted is to know that nobody comes: the
 * last resort, since init() has to be called again.  False: it was done. */
bool libxl_postcopy__hang_up(void);

/* len octets to or from a descriptor that may or may not block.  -EPIPE, a
 * deadline: -ETIMEDOUT; reading gives up (-ECANCELED) when cancel_fd has
 * something. */
int libxl_postcopy__write_exact(int fd, const void *buf, size_t len,
                                uint64_t deadline_us);
int libxl_postcopy__read_exact(int fd, void *buf, size_t len, int cancel_fd,
                               uint64_t deadline_us);

#endif /* LIBXL_POSTCOPY_DOMAIN_PRIV_H */

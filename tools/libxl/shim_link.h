/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * shim_link.h: the line between xl-save-shim, which libxl runs, and the
 * process that called libxl, where the engine is.
 *
 * A SOCK_SEQPACKET unix socket, so that every piece arrives whole: the first
 * octet of a packet says what it is.
 *
 *     shim   -> engine   HELLO   the shim's arguments, each with its NUL
 *                        ANSWER  octets libxl wrote for the helper, as read
 *     engine -> shim     MESSAGE octets to be written to libxl, one message
 *                        EXIT    one octet: exit with this status
 *
 * The socket's name is abstract and in the environment of the shim; only a
 * child of this process, of the same user, gets in.
 *
 * The engine's side: all functions are called by one thread at a time, waits
 * have deadlines (CLOCK_MONOTONIC us).
 */
#ifndef LIBXL_POSTCOPY_SHIM_LINK_H
#define LIBXL_POSTCOPY_SHIM_LINK_H

#include <poll.h>

#include "helper_msgs.h"

#define LIBXL_PC_SHIM_ENV "XEN_POSTCOPY_SHIM_SOCKET"

enum libxl_postcopy__packet
{
    LIBXL_PC_PACKET_HELLO = 'H',
    LIBXL_PC_PACKET_ANSWER = 'A',
    LIBXL_PC_PACKET_MESSAGE = 'M',
    LIBXL_PC_PACKET_EXIT = 'X',
};

/* The kind, a message and its length: nothing longer is ever sent. */
#define LIBXL_PC_PACKET_MAX (1u + LIBXL_PC_MSG_PREFIX + LIBXL_PC_MSG_MAX)

/* Arguments of a helper: libxl's have 10, their text is short. */
#define LIBXL_PC_HELLO_MAX 1024u

struct libxl_postcopy__shim
{
    int fd; /* -1: none (any more) */
    pid_t pid;
    struct libxl_postcopy__helper_args args;
    enum libxl_postcopy__msg asked; /* waits for its answer; 0: none */
    uint8_t answer[sizeof(int)];
    size_t answer_have;
};

/* Opens the socket; name_r (cap octets) is what LIBXL_PC_SHIM_ENV shall be. */
int libxl_postcopy__shim_listen(char *name_r, size_t cap, int *fd_r);

/*
 * Waits for the shim to call and to say what libxl runs it for.  cancel_fd
 * (-1: none) readable: -ECANCELED.  -EPROTO: it says something else than
 * libxl 4.17 would.
 */
int libxl_postcopy__shim_accept(int listen_fd, int cancel_fd,
                                uint64_t deadline_us,
                                struct libxl_postcopy__shim *shim_r);

/* Sends a message.  -EPIPE: the shim is gone; -EBUSY: an answer is due. */
int libxl_postcopy__shim_send(struct libxl_postcopy__shim *shim,
                              const struct libxl_postcopy__message *msg,
                              uint64_t deadline_us);

/* Takes what has come, without waiting.  -EPIPE: the shim is gone. */
int libxl_postcopy__shim_take(struct libxl_postcopy__shim *shim);

/*
 * Takes what has come, waiting until deadline_us for the answer that is due:
 * *answered_r says whether it came, and 0 or an error what it was.  -EPIPE:
 * the shim is gone without it.
 */
int libxl_postcopy__shim_answer(struct libxl_postcopy__shim *shim,
                                uint64_t deadline_us, bool *answered_r);

/* Sends and waits: -ETIMEDOUT when libxl does not answer in time. */
int libxl_postcopy__shim_call(struct libxl_postcopy__shim *shim,
                              const struct libxl_postcopy__message *msg,
                              uint64_t deadline_us);

/* Ends the shim: exit status, then the line is closed.  Fine without one. */
void libxl_postcopy__shim_exit(struct libxl_postcopy__shim *shim,
                               uint8_t status);

/* Monotonic microseconds. */
uint64_t libxl_postcopy__now_us(void);
/* poll() with a deadline: 0 with events or, now and then, without (a signal);
 * -ETIMEDOUT, or what poll() says. */
int libxl_postcopy__poll(struct pollfd *fds, unsigned int nr,
                         uint64_t deadline_us);

#endif /* LIBXL_POSTCOPY_SHIM_LINK_H */

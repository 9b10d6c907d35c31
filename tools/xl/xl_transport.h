/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_transport.h: where a migration goes, the child that carries it there,
 * and the fixed texts of xl's own protocol around the streams.
 */
#ifndef XL_TRANSPORT_H
#define XL_TRANSPORT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

/* The texts of the protocol, as stock xl says them.  The banner is sent
 * without its NUL, the others with it. */
#define XL_TEXT_BANNER    "xl migration receiver ready, send binary domain data.\n"
#define XL_TEXT_READY     "domain received, ready to unpause"
#define XL_TEXT_GO        "domain is yours, you are cleared to unpause"
#define XL_TEXT_REPORT    "my copy unpause results are as follows"
#define XL_TEXT_POSTCOPY2 "postcopy migration completed successfully"

/* Ours, for a new connection of an old migration: the banner; then the sender
 * says "recover SESSION", and is answered "ok" or "error WHY", a line each. */
#define XL_TEXT_RECOVER "xl migration receiver ready to recover.\n"

/* ---- Where to ------------------------------------------------------------- */

struct xl_target
{
    char dir[PATH_MAX]; /* a local directory: we start the receiver; or "" */
    char *command;      /* else: what sh is to run, malloc'd */
};

/* What a receiver that we start is told. */
struct xl_receiver_options
{
    bool paused; /* the guest is to stay paused there */
    int verbose;
    unsigned int timeout_s; /* 0: its default */
    /* Arguments as they stand, none of which a shell would touch. */
    const char *recovery_wait; /* NULL: its default */
    const char *on_loss;       /* likewise */
    const char *recover;       /* the guest it is to be asked about; NULL:
                                  a new one arrives */
};

/* " --NAME VALUE" for each of them that is set, but verbose; malloc'd. */
char *xl_receiver_arguments(const struct xl_receiver_options *options);

struct xl_target_wish
{
    const char *dest;
    const char *carrier; /* NULL: ssh; "": dest is the command itself */
    struct xl_receiver_options receiver;
};

/* -EINVAL and a line in why if dest cannot be a destination. */
int xl_target_resolve(const struct xl_target_wish *wish,
                      struct xl_target *target_r, char *why, size_t why_len);
void xl_target_dispose(struct xl_target *target);

/*
 * An xl on another host, for guests of a real Xen: what sh is to run here so
 * that it runs there.  arguments are for its shell as they stand.
 */
struct xl_remote_wish
{
    const char *host;
    const char *carrier;   /* NULL: ssh; "": host is the command itself */
    const char *remote_xl; /* NULL: where ours is, else the one in PATH */
    const char *arguments;
};

/* *command_r is malloc'd. */
int xl_remote_command(const struct xl_remote_wish *wish, char **command_r);

/* ---- The child ------------------------------------------------------------- */

struct xl_child
{
    pid_t pid;   /* 0: none */
    int send_fd; /* to its standard input; -1: closed */
    int recv_fd; /* from its standard output; -1: closed */
    bool reaped; /* somebody else of this process has waited for it: */
    int status;  /* and this came of it */
    bool has_terminal;
    struct termios terminal; /* before it could ask something there */
};

int xl_child_start(const struct xl_target *target,
                   const struct xl_receiver_options *options,
                   struct xl_child *child_r);

/* As xl_child_end(), on request and before anything was said.  A carrier is
 * ended at once: to an ssh that asks for a password control-C, of which it must
 * not die later, is a wrong answer, and it would ask again. */
void xl_child_give_up(struct xl_child *child, const struct xl_target *target,
                      int *status_r);

/* Closes our end and waits at most timeout_ms for the child to end; after
 * that it gets SIGTERM if kill_it is set, and is left alone otherwise.  The
 * terminal's settings are those of before, even if it was asking there.
 * *status_r as of waitpid(), -1 if it has not ended. */
void xl_child_end(struct xl_child *child, int timeout_ms, bool kill_it,
                  int *status_r);

/* Takes note of what somebody else's waitpid() gave; false: not this child. */
bool xl_child_note_reaped(struct xl_child *child, pid_t pid, int status);

/* What a wait status means, in words. */
const char *xl_child_status_text(int status, char *buf, size_t len);

/* ---- The channel of a receiver ----------------------------------------------- */

/* Moves standard input and output away, so that nothing written by accident
 * ends up in the stream; descriptors 0 and 1 lead nowhere afterwards. */
int xl_channel_take(int *recv_fd_r, int *send_fd_r);

/* The sender's session and terminal may go, we stay.  *signal_fd_r as
 * xl_signals_init() gives it. */
int xl_channel_outlive_sender(int *signal_fd_r);

/* ---- Exact octets ---------------------------------------------------------- */

uint64_t xl_now_us(void);

/*
 * All len octets before deadline_us, on a blocking or non-blocking
 * descriptor.  -EPIPE: end of file or nobody reads; -ETIMEDOUT; -ECANCELED:
 * cancel_fd became readable (-1: none).
 */
int xl_read_exact(int fd, void *buf, size_t len, uint64_t deadline_us,
                  int cancel_fd);
int xl_write_exact(int fd, const void *buf, size_t len, uint64_t deadline_us,
                   int cancel_fd);

/*
 * Reads the octets of text.  -EPROTO if others come; got_r then holds the
 * first line of what came instead, made printable.
 */
int xl_expect(int fd, const char *text, size_t len, uint64_t deadline_us,
              int cancel_fd, char got_r[80]);

/* Asks a sender of a stock stream, as stock xl does, whether guest `name` may
 * run here; 0, or -errno after a line.  cancel_fd as above. */
int xl_ask_permission(int send_fd, int recv_fd, const char *name,
                      uint64_t timeout_us, int cancel_fd);

/* Tells a sender of a stock stream, as stock xl does, whether guest `name`
 * runs here (status 0); a sender that does not listen is told of on stderr. */
void xl_report_start(int fd, const char *name, uint8_t status);

#endif /* XL_TRANSPORT_H */

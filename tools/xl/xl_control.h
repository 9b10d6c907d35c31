/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_control.h: how other processes talk to a migration under way: a socket
 * DIR/NAME.migration.ctl, one line in, one line out.
 *
 *     postcopy-now | abort | status | status-json
 *     recoverable SESSION | reconnect SESSION | give-way
 *
 * The answer is "ok", "ok TEXT" or "error TEXT".  `reconnect` comes with the
 * two descriptors of a new connection; see xl_link.h.
 */
#ifndef XL_CONTROL_H
#define XL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

/* The longest answer; a status line is a few hundred octets. */
#define XL_CONTROL_ANSWER_MAX 2048u

struct xl_control;

/* Writes an answer without newline; must not block. */
typedef void (*xl_control_handler)(void *ctx, const char *request, char *answer,
                                   size_t answer_len);

/* A left-over socket of that name is replaced: the caller holds the guest. */
int xl_control_open(const char *dir, const char *name,
                    xl_control_handler handler, void *ctx,
                    struct xl_control **control_r);

/* Readable when service() has something to do. */
int xl_control_fd(const struct xl_control *control);

/* A descriptor that is readable when that is, or when signal_fd is; the
 * caller closes it. */
int xl_control_watch(const struct xl_control *control, int signal_fd,
                     int *watch_fd_r);

/* Does what can be done without blocking. */
void xl_control_service(struct xl_control *control);

/*
 * For a handler, of the request at hand: the descriptors that came with it
 * (false: not exactly two), and the connection it came on, which then stays
 * open after the answer.  The caller owns them.
 */
bool xl_control_take_fds(struct xl_control *control, int fds_r[2]);
int xl_control_take_client(struct xl_control *control);

/* Removes the socket.  NULL is fine. */
void xl_control_close(struct xl_control *control);

/* Removes the socket of a process that is gone; another stays. */
void xl_control_forget(const char *dir, const char *name);

/*
 * The other end: sends request, waits at most five seconds for the answer.
 * -ENOENT: no migration of that name is under way; -ECONNREFUSED: its process
 * is gone.
 */
int xl_control_ask(const char *dir, const char *name, const char *request,
                   char *answer_r, size_t answer_len);

/*
 * The same with a pair of descriptors (which stay the caller's).  reply_r->fd:
 * the connection, on which more lines may come; see xl_control_next_line().
 */
struct xl_control_reply
{
    int fd;
    char answer[XL_CONTROL_ANSWER_MAX];
};

int xl_control_hand_over(const char *dir, const char *name, const char *request,
                         const int fds[2], struct xl_control_reply *reply_r);
/* The next line, however long it takes; -EPIPE: there is none any more. */
int xl_control_next_line(int fd, char *line_r, size_t len);

#endif /* XL_CONTROL_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_control.h: how other processes talk to a migration under way: a socket
 * DIR/NAME.migration.ctl, one line in, one line out.
 *
 *     postcopy-now | abort | status | status-json
 *
 * The answer is "ok", "ok TEXT" or "error TEXT".
 */
#ifndef XL_CONTROL_H
#define XL_CONTROL_H

#include <stddef.h>

/* The longest answer; a status line is a few hundred octets. */
#define XL_CONTROL_ANSWER_MAX 1024u

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

/* Does what can be done without blocking. */
void xl_control_service(struct xl_control *control);

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

#endif /* XL_CONTROL_H */

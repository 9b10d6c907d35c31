/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_signals.h: SIGINT, SIGQUIT, SIGTERM and SIGHUP as readable octets.
 */
#ifndef XL_SIGNALS_H
#define XL_SIGNALS_H

#include <stdbool.h>

/* From now on each of them that was not ignored makes *fd_r readable, and
 * SIGPIPE is ignored.  To be called once; the descriptor stays open. */
int xl_signals_init(int *fd_r);

/* Empties fd; true if a signal had come. */
bool xl_signals_take(int fd);

#endif /* XL_SIGNALS_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * store.h: xenstore, for the first vCPU.  One request at a time; while its
 * answer is waited for the vCPU goes on with its ticks.  Paths are relative to
 * the domain's own directory.
 */
#ifndef WITNESS_STORE_H
#define WITNESS_STORE_H

#include <stdbool.h>
#include <stddef.h>

enum store_token
{
    STORE_SHUTDOWN,
    STORE_COMMAND,
    STORE_TARGET,
    STORE_NR_TOKENS,
};

/* At start and after a resume: the ring is new, nothing is under way. */
void store_init(void);

/* All return 0, an error of xenstored's (negative), or -ETIMEDOUT. */
int store_write(const char *path, const char *value);
int store_read(const char *path, char *buf, size_t size);
int store_watch(const char *path, enum store_token token);

/* Has the watch fired since it was last asked? */
bool store_fired(enum store_token token);

#endif

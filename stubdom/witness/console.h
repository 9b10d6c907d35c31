/* SPDX-License-Identifier: LGPL-2.1-only */
/* console.h: the PV console, written to by the first vCPU only. */
#ifndef WITNESS_CONSOLE_H
#define WITNESS_CONSOLE_H

void console_init(void);

/* "witness: " and the line.  What the ring has no room for is lost. */
void console_line(const char *line);

#endif

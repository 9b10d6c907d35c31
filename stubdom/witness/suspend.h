/* SPDX-License-Identifier: LGPL-2.1-only */
/* suspend.h: what the toolstack asks for in control/shutdown. */
#ifndef WITNESS_SUSPEND_H
#define WITNESS_SUSPEND_H

/* Everything of xenstore that a new domain has to be told. */
void suspend_attach(void);

/* Does what control/shutdown says, if it says anything. */
void suspend_asked(void);

#endif

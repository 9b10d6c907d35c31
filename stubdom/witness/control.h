/* SPDX-License-Identifier: LGPL-2.1-only */
/* control.h: commands to a running witness, in data/witness/command. */
#ifndef WITNESS_CONTROL_H
#define WITNESS_CONTROL_H

/* Does what is there, and says so in data/witness/answer. */
void control_asked(void);

#endif

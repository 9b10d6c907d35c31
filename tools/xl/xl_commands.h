/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_commands.h: the table of sub-commands.
 */
#ifndef XL_COMMANDS_H
#define XL_COMMANDS_H

#include "xl.h"

/* Ends with an entry without a name. */
extern const struct xl_command xl_commands[];

#endif /* XL_COMMANDS_H */

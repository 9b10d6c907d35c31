/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_commands.h: the table of sub-commands.
 */
#ifndef XL_COMMANDS_H
#define XL_COMMANDS_H

#include "xl.h"

/* Each ends with an entry without a name.  The second is of commands for
 * guests of a real Xen, empty where libxl is missing. */
extern const struct xl_command xl_commands[];
extern const struct xl_command xl_xen_commands[];

#endif /* XL_COMMANDS_H */

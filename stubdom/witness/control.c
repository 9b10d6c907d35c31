/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * control.c: one command at a time: `reset`, `verify=NUMBER`, `break=HOW`, or
 * parameters that may change (args.c).  main.c calls it when the watch has
 * fired; it answers in data/witness/answer with the command and what became of
 * it.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "control.h"
#include "main.h"
#include "report.h"
#include "store.h"
#include "text.h"
#include "work.h"

#define NODE "data/witness/"

static bool after(const char *command, const char *name, const char **value_r)
{
    size_t len = strlen(name);

    if ( strncmp(command, name, len) )
        return false;
    *value_r = command + len;
    return true;
}

static int act(const char *command, struct text *why)
{
    const char *value;
    uint64_t number;

    if ( strcmp(command, "reset") == 0 )
        report_reset();
    else if ( after(command, "verify=", &value) )
    {
        if ( text_to_number(value, strlen(value), UINT64_MAX, &number) )
            return -EINVAL;
        work_verify_wanted = number;
    }
    else if ( after(command, "break=", &value) )
        return work_spoil(value) ? 0 : -EINVAL;
    else
        return args_parse(&args, command, true, why);
    return 0;
}

void control_asked(void)
{
    char command[128], buf[320], reason[160];
    struct text answer, why;
    int rc = store_read(NODE "command", command, sizeof(command));

    if ( rc || !command[0] )
        return;
    text_init(&why, reason, sizeof(reason));
    rc = act(command, &why);
    text_init(&answer, buf, sizeof(buf));
    text_str(&answer, command);
    text_str(&answer, rc ? ": refused" : ": ok");
    if ( why.len )
    {
        text_str(&answer, ": ");
        text_str(&answer, reason);
    }
    store_write(NODE "answer", buf);
}

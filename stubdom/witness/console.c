/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * console.c: lines into the console ring.  Nobody may be reading it, so it
 * never waits.  The same lines go to Xen's log port, where they are seen when
 * the console is not there yet or no more.
 */
#include <string.h>

#include "console.h"
#include "hook.h"
#include "ring.h"
#include "xen.h"

#include <xen/hvm/params.h>
#include <xen/io/console.h>

#define PREFIX "witness: "

static struct xencons_interface *page;

void console_init(void)
{
    page = (void *)(xen_hvm_param(HVM_PARAM_CONSOLE_PFN) * PAGE_SIZE);
}

static void put(const char *str)
{
    struct ring out = { .data = page->out,
                        .size = sizeof(page->out),
                        .cons = &page->out_cons,
                        .prod = &page->out_prod };

    ring_put(&out, str, strlen(str));
}

void console_line(const char *line)
{
    xen_log(PREFIX);
    xen_log(line);
    xen_log("\n");
    if ( !page || !hook_console_port() )
        return;
    put(PREFIX);
    put(line);
    put("\r\n");
    hook_notify(hook_console_port());
}

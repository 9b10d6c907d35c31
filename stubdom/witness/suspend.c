/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * suspend.c: suspend and resume, and the other ways to go.  main.c calls
 * suspend_asked() when the watch has fired.  As in a real guest all further
 * vCPUs stop first, each on its own, having taken an upcall; what the guest
 * touches on the way down it needs on the way up.
 */
#include <string.h>

#include "clock.h"
#include "cold.h"
#include "console.h"
#include "cpu.h"
#include "hook.h"
#include "main.h"
#include "report.h"
#include "store.h"
#include "suspend.h"

#include <xen/sched.h>

#define SHUTDOWN_NODE "control/shutdown"

struct life life;

void suspend_attach(void)
{
    store_init();
    store_watch(SHUTDOWN_NODE, STORE_SHUTDOWN);
    store_write("data/witness/command", "");
    store_watch("data/witness/command", STORE_COMMAND);
    store_write("control/feature-suspend", "1");
    store_write("control/feature-poweroff", "1");
    store_write("control/feature-reboot", "1");
}

/* In a new domain nothing of what was registered holds any more. */
static void hook_again(void)
{
    unsigned int nr;

    hook_domain();
    hook_cpu(&cpus[0]);
    for ( nr = 0; nr < nr_cpus; nr++ )
        work_restart(&cpus[nr].work);
    cold_restart();
    life.resumes++;
}

static void suspend(void)
{
    uint64_t begin_ns;
    long rc;

    cpu_stop_others();
    begin_ns = clock_wall_ns();
    irqs_off();
    rc = xen_shutdown(SHUTDOWN_suspend);
    if ( rc < 0 )
        xen_die("suspend failed", rc);
    if ( rc == 0 )
        hook_again();
    else
        life.cancelled++;
    irqs_on();
    life.stop_ns = clock_wall_ns() - begin_ns;
    cpu_go_on();
    if ( rc == 0 )
    {
        cold_turn(); /* at once: soon all pages will have arrived */
        console_init();
        suspend_attach();
    }
    report_console(rc == 0 ? "resumed" : "suspend cancelled");
}

void suspend_asked(void)
{
    char what[32];

    if ( store_read(SHUTDOWN_NODE, what, sizeof(what)) || !what[0] )
        return;
    /* The toolstack waits for this. */
    store_write(SHUTDOWN_NODE, "");
    if ( strcmp(what, "suspend") == 0 )
    {
        suspend();
        return;
    }
    report_console(what);
    if ( strcmp(what, "poweroff") == 0 || strcmp(what, "halt") == 0 )
        xen_shutdown(SHUTDOWN_poweroff);
    else if ( strcmp(what, "reboot") == 0 )
        xen_shutdown(SHUTDOWN_reboot);
    else if ( strcmp(what, "crash") == 0 )
        xen_shutdown(SHUTDOWN_crash);
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * main.c: the life of a witness, top to bottom: find Xen, hook up, fill the
 * memory, then for ever: a tick's work, what xenstore asks, a report.  Called
 * from start.S on the first vCPU; the others are in cpu_further_main().
 */
#include <string.h>

#include "clock.h"
#include "cold.h"
#include "console.h"
#include "control.h"
#include "cpu.h"
#include "hook.h"
#include "main.h"
#include "map.h"
#include "report.h"
#include "store.h"
#include "suspend.h"
#include "work.h"

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/sched.h>

#define FILL_CHUNK_PAGES 512u /* a few milliseconds, then it blocks */
#define NS_PER_MS        1000000ull

struct witness_args args;

static char command_line[1024];

/* The start info and all it refers to will be overwritten by the pattern. */
static void take_command_line(const struct hvm_start_info *info)
{
    const char *line = (const char *)info->cmdline_paddr;
    size_t len = line ? strlen(line) : 0;

    if ( len >= sizeof(command_line) )
        len = sizeof(command_line) - 1;
    if ( line )
        memcpy(command_line, line, len);
}

static void take_args(void)
{
    char reason[160];
    struct text why;

    args_init(&args);
    text_init(&why, reason, sizeof(reason));
    if ( args_parse(&args, command_line, false, &why) == 0 )
        return;
    console_line("bad parameter, see witness(7):");
    console_line(reason);
    xen_shutdown(SHUTDOWN_poweroff);
    xen_die("the parameters are wrong", 0);
}

static void fill(void)
{
    uint32_t at[CPU_MAX] = { 0 };
    unsigned int nr;

    for ( nr = 0; nr < nr_cpus; nr++ )
        while ( !work_fill(nr, &at[nr], FILL_CHUNK_PAGES) )
            cpu_wait(clock_system_ns() + NS_PER_MS);
    work_begin();
}

static void loop(void)
{
    uint64_t report_ns = 0, console_ns = 0;

    for ( ;; )
    {
        uint64_t now_ns = clock_wall_ns();

        cpu_turn();
        cold_turn();
        if ( store_fired(STORE_SHUTDOWN) )
            suspend_asked();
        if ( store_fired(STORE_COMMAND) )
            control_asked();
        if ( now_ns - report_ns >= args.report_ms * NS_PER_MS )
        {
            report_ns = now_ns;
            report_store("run");
        }
        if ( args.console_ms &&
             now_ns - console_ns >= args.console_ms * NS_PER_MS )
        {
            console_ns = now_ns;
            report_console("runs");
        }
    }
}

void witness_main(const struct hvm_start_info *info)
{
    xen_init();
    if ( info->magic != XEN_HVM_START_MAGIC_VALUE )
        xen_die("no start info", 0);
    take_command_line(info);
    cpu_first_init();
    hook_domain();
    hook_cpu(&cpus[0]);
    irqs_on();
    console_init();
    take_args();
    map_init(info, args.mem_mib);
    work_init();
    cpu_start_others(args.cpus ? (unsigned int)args.cpus : CPU_MAX);
    fill();
    cold_init();
    cpus[0].last_tick_ns = clock_wall_ns();
    suspend_attach();
    report_console("started");
    loop();
}

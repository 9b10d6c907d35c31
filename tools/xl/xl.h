/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl.h: what the files of the xl program share: global options, exit codes,
 * the shape of a sub-command, and how messages reach the user.
 *
 * xl sees the engine only through the public headers xenpostcopy*.h, and the
 * layers above it through tools/libxl.
 */
#ifndef XL_H
#define XL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xenpostcopy.h"

/* What every sub-command of ours returns to the shell. */
enum xl_exit
{
    XL_EXIT_DONE = 0,
    XL_EXIT_FAILED = 1,  /* it did not happen; a guest involved runs here */
    XL_EXIT_USAGE = 2,   /* bad option, bad name, bad input */
    XL_EXIT_REFUSED = 3, /* the destination said no before it began */
    XL_EXIT_UNKNOWN = 4, /* the guest may run there: kept suspended here */
    XL_EXIT_NO_XL = 127, /* no other xl to hand the sub-command to */
};

struct xl_global
{
    const char *local_dir; /* --local; NULL: not given */
    int verbose;           /* times -v was given */
};

struct xl_command
{
    const char *name;
    /* One of the two; argv[0] is the sub-command's name.  They return an enum
     * xl_exit. */
    int (*run)(const struct xl_global *global, int argc, char **argv);
    int (*run_local)(const char *local_dir, int argc, char **argv);
    const char *usage; /* what follows the name */
    const char *help;  /* one line */
};

/* The command called name, for guests of the local backend and for those of
 * Xen, or NULL. */
const struct xl_command *xl_command_find(const char *name);
const struct xl_command *xl_command_find_xen(const char *name);

/* ---- Messages ------------------------------------------------------------ */

/* What stands before messages instead of "xl: "; not copied. */
void xl_set_message_prefix(const char *prefix);

/* One line on stderr, "xl: " in front.  A progress line is ended first. */
void xl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same for news that are no error. */
void xl_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * From the first to the second nothing that is said is waited for: what a
 * reader of either output does not take is lost (xl_output.c).  Results come
 * after the second.
 */
void xl_output_never_waits(void);
void xl_output_may_wait(void);

/* "xl NAME: text" and where to read on, in a line; returns XL_EXIT_USAGE. */
int xl_usage_error(const struct xl_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* True while the cursor stands behind an unfinished progress line. */
void xl_set_progress_line_open(bool open);

/* The engine's messages on stderr, at the level that -v asks for. */
void xl_log_init(const struct xl_global *global, struct xc_sr_log *log_r);

/*
 * For a command that says in its own words what the engine's last error means
 * for the user: that error is held back until the next message of the engine
 * or until release(), which drops it if it contains already_said (NULL: never,
 * "": always).
 */
void xl_log_hold(void);
void xl_log_release(const char *already_said);

/* ---- Handing over to the system's xl -------------------------------------- */

/*
 * Replaces this process by the next xl that is not this program, looked for
 * in path (as $PATH) and then where distributions put it.  Returns only on
 * failure, with XL_EXIT_NO_XL, having said why.
 */
int xl_passthrough(const char *path, char **argv);
/* Likewise; false, and nothing was said, if there is none. */
bool xl_passthrough_try(const char *path, char **argv);

/* ---- Sub-commands outside xl_local.c -------------------------------------- */

int xl_cmd_migrate(const struct xl_global *global, int argc, char **argv);
int xl_cmd_destroy(const struct xl_global *global, int argc, char **argv);
int xl_cmd_resume(const struct xl_global *global, int argc, char **argv);
int xl_cmd_migrate_receive(const struct xl_global *global, int argc,
                           char **argv);
int xl_cmd_migrate_postcopy_now(const struct xl_global *global, int argc,
                                char **argv);
int xl_cmd_migrate_abort(const struct xl_global *global, int argc, char **argv);
int xl_cmd_migrate_status(const struct xl_global *global, int argc,
                          char **argv);
int xl_cmd_migrate_recover(const struct xl_global *global, int argc,
                           char **argv);

/* For guests of a real Xen; only where libxl is (HAVE_XENLIGHT). */
int xl_cmd_xen_migrate(const struct xl_global *global, int argc, char **argv);
int xl_cmd_xen_migrate_receive(const struct xl_global *global, int argc,
                               char **argv);
int xl_cmd_xen_migrate_recover(const struct xl_global *global, int argc,
                               char **argv);
int xl_cmd_xen_migrate_resume(const struct xl_global *global, int argc,
                              char **argv);
int xl_cmd_xen_migrate_request(const struct xl_global *global, int argc,
                               char **argv);
int xl_cmd_postcopy_check(const struct xl_global *global, int argc,
                          char **argv);
int xl_cmd_postcopy_monitor(const struct xl_global *global, int argc,
                            char **argv);

/* A command that the system's xl would carry out and must not, now; the user
 * has been told. */
bool xl_xen_is_refused(const struct xl_global *global, int argc, char **argv);

/* ---- Numbers on the command line ------------------------------------------ */

/* A decimal integer within [min, max] and nothing after it, else -EINVAL. */
int xl_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *v_r);

/*
 * A decimal number with at most three digits after the point, in thousandths:
 * "1.5" is 1500.  Above max_milli: -EINVAL.
 */
int xl_parse_milli(const char *text, uint64_t max_milli, uint64_t *milli_r);

#endif /* XL_H */

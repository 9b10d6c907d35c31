/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_message.c: the only place of the xl program that writes to stderr,
 * except for the progress line.
 *
 * A rewritten progress line may stand on the terminal when something has to
 * be said; whoever draws it tells us, and we end it first.  Standard output
 * belongs to results: nothing here writes to it.
 *
 * On Xen the engine has a thread of its own, so there is a lock.  libxl, which
 * forks without exec, does not come here (xl_xen_host.c).
 */
#include "xl.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock: */
static bool progress_line_open;
static const char *message_prefix = "xl: ";

void xl_set_message_prefix(const char *prefix)
{
    message_prefix = prefix;
}

void xl_set_progress_line_open(bool open)
{
    pthread_mutex_lock(&lock);
    progress_line_open = open;
    pthread_mutex_unlock(&lock);
}

static void end_progress_line(void)
{
    if ( progress_line_open )
        fputc('\n', stderr);
    progress_line_open = false;
}

static void put_line(const char *prefix, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void put_line(const char *prefix, const char *fmt, va_list args)
{
    pthread_mutex_lock(&lock);
    end_progress_line();
    fputs(prefix, stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    pthread_mutex_unlock(&lock);
}

void xl_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line(message_prefix, fmt, args);
    va_end(args);
}

void xl_note(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    put_line(message_prefix, fmt, args);
    va_end(args);
}

int xl_usage_error(const struct xl_command *command, const char *fmt, ...)
{
    va_list args;

    end_progress_line();
    fprintf(stderr, "xl %s: ", command->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " (`xl help %s` shows how to use it)\n", command->name);
    return XL_EXIT_USAGE;
}

/* The latest error of the engine, not shown yet; under the lock. */
static bool hold_errors;
static char held_error[400];

static void put_log_line(enum xc_sr_log_level level, const char *line)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };

    end_progress_line();
    fprintf(stderr, "%s%s: %s\n", message_prefix,
            (unsigned int)level < 4 ? names[level] : "log", line);
}

static void release(const char *already_said)
{
    if ( held_error[0] && !(already_said && strstr(held_error, already_said)) )
        put_log_line(XC_SR_LOG_ERROR, held_error);
    held_error[0] = '\0';
}

void xl_log_release(const char *already_said)
{
    pthread_mutex_lock(&lock);
    release(already_said);
    pthread_mutex_unlock(&lock);
}

void xl_log_hold(void)
{
    hold_errors = true;
}

static void write_log_line(void *ctx, enum xc_sr_log_level level,
                           const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&lock);
    release(NULL);
    if ( hold_errors && level == XC_SR_LOG_ERROR )
        snprintf(held_error, sizeof(held_error), "%s", line);
    else
        put_log_line(level, line);
    pthread_mutex_unlock(&lock);
}

void xl_log_init(const struct xl_global *global, struct xc_sr_log *log_r)
{
    log_r->write = write_log_line;
    log_r->ctx = NULL;
    log_r->max_level = global->verbose > 1    ? XC_SR_LOG_DEBUG
                       : global->verbose == 1 ? XC_SR_LOG_INFO
                                              : XC_SR_LOG_WARN;
}

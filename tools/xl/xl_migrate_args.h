/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_migrate_args.h: what `migrate` and `migrate-receive` were asked for.
 */
#ifndef XL_MIGRATE_ARGS_H
#define XL_MIGRATE_ARGS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xenpostcopy.h"

/* Rounds of pre-copy without --postcopy: what stock Xen does as well. */
#define XL_DEFAULT_ITERATIONS          5u
/* With --postcopy one pass over all memory, then the switch: pages that are
 * seldom written need no fault, and no round is spent on chasing the others. */
#define XL_DEFAULT_ITERATIONS_POSTCOPY 1u
#define XL_DEFAULT_THRESHOLD_PAGES     50u
/* How long either side puts up with the other's silence. */
#define XL_DEFAULT_TIMEOUT_S           60u

/* --recovery-wait without it: a lost connection is waited for as long as it
 * takes. */
#define XL_RECOVERY_WAIT_FOR_EVER UINT_MAX

/* What becomes of the guest while its connection is lost. */
enum xl_on_loss
{
    XL_ON_LOSS_DEFAULT, /* local guests run on, Xen's pause */
    XL_ON_LOSS_RUN,
    XL_ON_LOSS_PAUSE,
};

enum xl_progress_mode
{
    XL_PROGRESS_AUTO,  /* tty on a terminal, else plain */
    XL_PROGRESS_TTY,   /* one line, rewritten */
    XL_PROGRESS_PLAIN, /* a line for each phase */
    XL_PROGRESS_JSON,  /* lines of JSON on standard output */
    XL_PROGRESS_NONE,
};

struct xl_migrate_args
{
    const char *name;
    const char *dest;
    const char *carrier;    /* -s; NULL: ssh */
    const char *stats_file; /* NULL: none */
    struct xc_sr_policy policy;
    uint64_t bandwidth_bytes_per_s;
    uint64_t postcopy_bandwidth_bytes_per_s;
    unsigned int stream_version;
    bool paused; /* -p */
    bool quiet;  /* -q */
    enum xl_progress_mode progress;
    unsigned int timeout_s;       /* 0: not given */
    unsigned int recovery_wait_s; /* 0: a loss after COMMIT ends it */
    const char *recovery_wait;    /* as given; NULL: not */
    const char *on_loss;          /* likewise: pause or run */

    /* Of guests of a real Xen only: */
    bool require_postcopy;   /* --postcopy=require: never fall back */
    bool no_monitor;         /* -e */
    bool keep_domid;         /* -D */
    bool debug;              /* --debug */
    const char *config_file; /* -C; NULL: as the guest runs */
    const char *remote_xl;   /* --remote-xl; NULL: where ours is, else PATH */
};

/* What `migrate-receive` was asked for. */
struct xl_receive_args
{
    bool paused;            /* -p */
    unsigned int timeout_s; /* 0: not given */
    bool no_monitor;        /* -e, real Xen only */
    unsigned int recovery_wait_s;
    enum xl_on_loss on_loss;
    const char *recover; /* --recover: the guest's name; NULL: a new one */
};

/* What `migrate-recover` was asked for. */
struct xl_recover_args
{
    const char *name;
    const char *dest;
    const char *carrier;    /* -s; NULL: ssh */
    unsigned int timeout_s; /* 0: not given */
    bool quiet;             /* -q */
    const char *remote_xl;  /* --remote-xl, real Xen only */
};

/* -EINVAL and a line in why if it makes no sense.  Strings point into argv.
 * Those in _xen are for guests of Xen, the others for local ones. */
int xl_migrate_args_parse(int argc, char **argv, struct xl_migrate_args *args_r,
                          char *why, size_t why_len);
int xl_receive_args_parse(int argc, char **argv, struct xl_receive_args *args_r,
                          char *why, size_t why_len);
int xl_recover_args_parse(int argc, char **argv, struct xl_recover_args *args_r,
                          char *why, size_t why_len);
int xl_recover_args_parse_xen(int argc, char **argv,
                              struct xl_recover_args *args_r, char *why,
                              size_t why_len);
int xl_migrate_args_parse_xen(int argc, char **argv,
                              struct xl_migrate_args *args_r, char *why,
                              size_t why_len);
int xl_receive_args_parse_xen(int argc, char **argv,
                              struct xl_receive_args *args_r, char *why,
                              size_t why_len);

#endif /* XL_MIGRATE_ARGS_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * helper_msgs.h: what stock libxl and its save helper say to each other.
 *
 * libxl runs the program that LIBXL_SAVE_HELPER names for the memory part of
 * a save or a restore.  The program's arguments say what it is for; on its
 * standard output it writes messages, and where a message wants an answer
 * libxl writes one native int to its standard input.  Both ends are spoken
 * here: ours is the helper's (domain_*.c, through the shim), libxl's is that
 * of tests.
 *
 * Octets in, octets out: no I/O.  Native byte order, because both ends run on
 * one machine.  The list is libxl 4.17's; libxl_postcopy_check_libxl() refuses
 * others.
 */
#ifndef LIBXL_POSTCOPY_HELPER_MSGS_H
#define LIBXL_POSTCOPY_HELPER_MSGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Numbers on the wire. */
enum libxl_postcopy__msg
{
    LIBXL_PC_MSG_LOG = 1,
    LIBXL_PC_MSG_PROGRESS = 2,
    LIBXL_PC_MSG_SUSPEND = 3,
    LIBXL_PC_MSG_POSTCOPY = 4, /* Remus' name: after the checkpoint copy */
    LIBXL_PC_MSG_CHECKPOINT = 5,
    LIBXL_PC_MSG_WAIT_CHECKPOINT = 6,
    LIBXL_PC_MSG_LOGDIRTY = 7,
    LIBXL_PC_MSG_STATIC_DATA_DONE = 8,
    LIBXL_PC_MSG_RESTORE_RESULTS = 9,
    LIBXL_PC_MSG_COMPLETE = 10,
    LIBXL_PC_MSG_COUNT,
};

/* The level of an error in a LOG message: xentoollog's XTL_ERROR. */
#define LIBXL_PC_LOG_ERROR 8u

/* A message's length is a u16 in front of it. */
#define LIBXL_PC_MSG_MAX     65535u
#define LIBXL_PC_MSG_PREFIX  2u
#define LIBXL_PC_MSG_NUMBERS 4
#define LIBXL_PC_MSG_STRINGS 2

/*
 * One message.  Its numbers and its strings are in the order in which they
 * are written; see the table in helper_msgs.c.  Signed numbers travel as their
 * two's complement.
 */
struct libxl_postcopy__message
{
    enum libxl_postcopy__msg number;
    uint64_t values[LIBXL_PC_MSG_NUMBERS];
    const char *strings[LIBXL_PC_MSG_STRINGS]; /* into what was decoded */
};

/* "suspend", "complete"; NULL for a number that is none. */
const char *libxl_postcopy__msg_name(unsigned int number);
bool libxl_postcopy__msg_wants_answer(enum libxl_postcopy__msg number);
/* What an answer means: 0, or the error it stands for. */
int libxl_postcopy__msg_verdict(enum libxl_postcopy__msg number, int answer);
static inline uint32_t libxl_postcopy__msg_cbflag(enum libxl_postcopy__msg n)
{
    return 1u << n;
}

/*
 * Writes the message with its length in front to buf; *len_r octets.
 * -EMSGSIZE: more than cap, or than a u16 says; -EINVAL: no such message, a
 * number that does not fit its field, a string that is NULL.
 */
int libxl_postcopy__msg_encode(const struct libxl_postcopy__message *msg,
                               void *buf, size_t cap, size_t *len_r);

/*
 * Reads one message from the front of buf: *used_r octets were its; 0: it is
 * not complete yet.  -EPROTO: not a message, as libxl would find.
 */
int libxl_postcopy__msg_decode(const void *buf, size_t len,
                               struct libxl_postcopy__message *msg_r,
                               size_t *used_r);

/* ---- The helper's command line ---------------------------------------------- */

struct libxl_postcopy__helper_args
{
    bool restore;
    int io_fd;   /* libxl's stream: nothing of it is used by us */
    int back_fd; /* likewise; -1: none */
    uint32_t domid;
    uint32_t flags; /* save: XCFLAGS_* */
    uint32_t store_evtchn;
    uint32_t store_domid;
    uint32_t console_evtchn;
    uint32_t console_domid;
    uint32_t cbflags;     /* bit n: message n is understood */
    uint32_t stream_type; /* 0: neither Remus nor COLO */
};

/* argv[0] is the program.  -EINVAL: not what libxl 4.17 says. */
int libxl_postcopy__helper_args_parse(
    int argc, char *const argv[], struct libxl_postcopy__helper_args *args_r);

#endif /* LIBXL_POSTCOPY_HELPER_MSGS_H */

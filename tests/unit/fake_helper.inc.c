/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fake_helper.inc.c: the two long calls of libxl without a Xen: writes and
 * reads libxl's records, runs the program of LIBXL_SAVE_HELPER and speaks with
 * it as libxl 4.17 does.  Failures are scripted; what was asked of it is
 * counted in memory that both sides' processes share.  Included by what else
 * there is of a libxl (fake_libxl.inc.c, xen_hosts_libxl.inc.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libxl.h>

#include "frames.h"
#include "helper_msgs.h"

#define FAKE_DOMID 7u
#define NOT_MET    99u

enum fake_failure
{
    FAKE_NO_FAILURE,
    FAKE_AT_ONCE,     /* the call fails before anything */
    FAKE_KILLS,       /* the helper is killed when it has said `at` */
    FAKE_SAYS_NO,     /* `at` is answered with failure */
    FAKE_SILENT,      /* `at` is not answered */
    FAKE_TAIL,        /* it fails in the middle of its own records */
    FAKE_RETURNS_BAD, /* all is done, and the return code says failure */
};

/* One side's libxl. */
struct fake_libxl
{
    enum fake_failure failure;
    unsigned int at;        /* a message */
    size_t emulator_octets; /* of device model state; 0: no device model */
    bool suspended;
    unsigned int met[16]; /* messages, by number */
    unsigned int resumes;
    unsigned int unpauses;
    unsigned int destroys;
    bool exists;
    unsigned int helper_status;
    /* One network card, and its node in xenstore; '-': it has none. */
    char trusted, trusted_at_start;
    bool store_fails;
    unsigned int store_busy;   /* so many transactions are in vain */
    unsigned int store_writes; /* of those that were not */
    bool noted;                /* that its node was changed */
};

static struct fake_libxl *fake; /* this process's */
static uint32_t fake_domid = FAKE_DOMID;
/* Called when the guest has suspended; may be NULL. */
static void (*fake_suspends)(void);

/* What of libxl a test may let fail, use by use. */
enum fake_use
{
    FAKE_USE_CALL,    /* one of its functions, before it does anything */
    FAKE_USE_LATE,    /* one of its long ones, when all is done */
    FAKE_USE_REFUSAL, /* an answer to a message */
    FAKE_USE_SILENCE, /* the same, and there is none */
    FAKE_USE_DEATH,   /* the helper, killed when it has said a message */
    FAKE_USE_RECORD,  /* reading or writing of libxl's own records */
};

static bool (*fake_fails)(enum fake_use use); /* NULL: nothing does */

static bool trouble(enum fake_use use)
{
    return fake_fails && fake_fails(use);
}

/* ---- The helper ------------------------------------------------------------------ */

struct helper
{
    pid_t pid;
    int to;
    int from;
};

static void start_helper(struct helper *h, const char *mode, int stream)
{
    bool save = strcmp(mode, "--save-domain") == 0;
    int in[2], out[2];
    char fd_text[12], id[12];

    snprintf(fd_text, sizeof(fd_text), "%d", stream);
    snprintf(id, sizeof(id), "%u", fake_domid);
    if ( pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) )
        abort();
    h->pid = fork();
    if ( h->pid == 0 )
    {
        const char *program = getenv("LIBXL_SAVE_HELPER");

        dup2(in[0], 0);
        dup2(out[1], 1);
        fcntl(stream, F_SETFD, 0);
        if ( save )
            execlp(program, program, mode, fd_text, "-1", id, "1", "136", "0",
                   (char *)NULL);
        else
            execlp(program, program, mode, fd_text, "-1", id, "1", "0", "2",
                   "0", "768", "0", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    h->to = in[1];
    h->from = out[0];
}

/* The next message; false: the helper ended. */
static bool next_message(struct helper *h, struct libxl_postcopy__message *m)
{
    static uint8_t buf[LIBXL_PC_MSG_PREFIX + LIBXL_PC_MSG_MAX];
    size_t have = 0, used = 0;

    while ( !used )
    {
        if ( read(h->from, buf + have, 1) != 1 )
            return false;
        have++;
        if ( libxl_postcopy__msg_decode(buf, have, m, &used) )
            abort();
    }
    return true;
}

/* Success of `number`, as an answer. */
static int yes(unsigned int number)
{
    return number >= LIBXL_PC_MSG_SUSPEND &&
           number <= LIBXL_PC_MSG_WAIT_CHECKPOINT;
}

static void answer(struct helper *h, unsigned int number)
{
    int value = yes(number);

    if ( (fake->failure == FAKE_SILENT && fake->at == number) ||
         trouble(FAKE_USE_SILENCE) )
        return;
    if ( (fake->failure == FAKE_SAYS_NO && fake->at == number) ||
         trouble(FAKE_USE_REFUSAL) )
        value = !value;
    else if ( number == LIBXL_PC_MSG_SUSPEND )
    {
        fake->suspended = true;
        if ( fake_suspends )
            fake_suspends();
    }
    if ( write(h->to, &value, sizeof(value)) < 0 )
        return;
}

/* All of the helper's life; 0 if it completed well. */
static int run_helper(const char *mode, int stream)
{
    struct libxl_postcopy__message m;
    struct helper h;
    int result = ERROR_FAIL, status = 0;

    start_helper(&h, mode, stream);
    while ( next_message(&h, &m) )
    {
        fake->met[m.number]++;
        if ( (fake->failure == FAKE_KILLS && fake->at == m.number) ||
             trouble(FAKE_USE_DEATH) )
            kill(h.pid, SIGKILL);
        else if ( libxl_postcopy__msg_wants_answer(m.number) )
            answer(&h, m.number);
        if ( m.number == LIBXL_PC_MSG_COMPLETE )
            result = m.values[0] ? ERROR_FAIL : 0;
    }
    waitpid(h.pid, &status, 0);
    fake->helper_status = (unsigned int)status;
    close(h.to);
    close(h.from);
    return status ? ERROR_FAIL : result;
}

/* ---- libxl's records ----------------------------------------------------------------- */

static int write_buf(int fd, struct libxl_postcopy__buf *b, size_t most)
{
    size_t len = b->len < most ? b->len : most;
    ssize_t n = trouble(FAKE_USE_RECORD) ? -1 : write(fd, b->data, len);

    libxl_postcopy__buf_dispose(b);
    return n == (ssize_t)len ? 0 : ERROR_FAIL;
}

static int write_opening(int fd)
{
    struct libxl_postcopy__buf b = { 0 };

    libxl_postcopy__put_header(&b);
    libxl_postcopy__put_empty(&b, LIBXL_PC_FRAME_LIBXC_CONTEXT);
    return write_buf(fd, &b, SIZE_MAX);
}

static int write_tail(int fd)
{
    struct libxl_postcopy__buf b = { 0 };
    size_t most = SIZE_MAX;
    uint8_t *state = calloc(1, fake->emulator_octets + 1);

    if ( fake->emulator_octets )
        libxl_postcopy__put_emulator(&b, LIBXL_PC_FRAME_EMULATOR_CONTEXT,
                                     LIBXL_PC_EMULATOR_QEMU_UPSTREAM, 0, state,
                                     fake->emulator_octets);
    libxl_postcopy__put_empty(&b, LIBXL_PC_FRAME_END);
    free(state);
    if ( fake->failure == FAKE_TAIL )
        most = b.len / 2;
    if ( write_buf(fd, &b, most) )
        return ERROR_FAIL;
    return fake->failure == FAKE_TAIL ? ERROR_FAIL : 0;
}

static int read_all(int fd, void *buf, size_t len)
{
    if ( trouble(FAKE_USE_RECORD) )
        return ERROR_FAIL;
    for ( size_t have = 0; have < len; )
    {
        ssize_t n = read(fd, (uint8_t *)buf + have, len - have);

        if ( n <= 0 )
            return ERROR_FAIL;
        have += (size_t)n;
    }
    return 0;
}

/* Records to END, read as libxl does: blocking, each in two reads. */
static int read_tail(int fd)
{
    for ( ;; )
    {
        uint32_t head[2];
        uint8_t *body;
        int rc = read_all(fd, head, sizeof(head));

        if ( rc || head[0] == LIBXL_PC_FRAME_END )
            return rc;
        body = malloc((head[1] + 7) / 8 * 8 + 1);
        rc = body ? read_all(fd, body, (head[1] + 7) / 8 * 8) : ERROR_FAIL;
        free(body);
        if ( rc || fake->failure == FAKE_TAIL )
            return ERROR_FAIL;
    }
}

/* ---- The long calls ----------------------------------------------------------------------- */

static int suspend(uint32_t domid, int fd)
{
    int rc;

    if ( fake->failure == FAKE_AT_ONCE || domid != fake_domid ||
         trouble(FAKE_USE_CALL) )
        return ERROR_FAIL;
    rc = write_opening(fd);
    if ( !rc )
        rc = run_helper("--save-domain", fd);
    if ( !rc )
        rc = write_tail(fd);
    if ( fake->failure == FAKE_RETURNS_BAD || trouble(FAKE_USE_LATE) )
        return ERROR_GUEST_TIMEDOUT;
    return rc;
}

/* A creation that fails takes the domain away again. */
static int create(uint32_t *domid, int fd)
{
    uint8_t opening[24];
    int rc;

    if ( fake->failure == FAKE_AT_ONCE || trouble(FAKE_USE_CALL) )
        return ERROR_FAIL;
    *domid = fake_domid;
    fake->exists = true;
    rc = read_all(fd, opening, sizeof(opening));
    if ( !rc )
        rc = run_helper("--restore-domain", fd);
    if ( !rc )
        rc = read_tail(fd);
    if ( fake->failure == FAKE_RETURNS_BAD || trouble(FAKE_USE_LATE) )
        rc = ERROR_FAIL;
    if ( rc )
        fake->exists = false;
    return rc;
}

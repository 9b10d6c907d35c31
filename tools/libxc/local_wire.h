/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_wire.h: what is said on a local guest's control socket.
 *
 * One SOCK_SEQPACKET message asks, one answers (LW_SUSPEND_GO: none does),
 * in native form: both ends are one build on one machine, and LW_MAGIC
 * changes with the layout.  The first connection that says LW_ATTACH becomes
 * the guest's migration handle: closing it means what xc_sr_hv_open_local()
 * promises.  Descriptors travel as SCM_RIGHTS, in the order given here.
 */
#ifndef LOCAL_WIRE_H
#define LOCAL_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "xc_sr_base.h"
#include "xenpostcopy_local.h"

#define LW_MAGIC 0x6c670001u

enum lw_op
{
    LW_INFO = 1, /* data: struct xc_sr_local_info; arg[0]: capabilities */
    LW_CHECK,    /* data: struct xc_sr_local_check */
    LW_PAUSE,    /* the administrator's */
    LW_UNPAUSE,
    LW_RENAME,       /* data: the new name */
    LW_DESTROY,      /* answered, then the process ends */
    LW_FORCE_RESUME, /* a retained guest runs again */

    /* arg[0]: enum xc_sr_hv_role.  fds: memory, suspend eventfd, a socket
     * that is readable when the guest crashed or is gone. */
    LW_ATTACH = 32,
    LW_SUSPEND,    /* eventfd counts 1 at frozen, 1 at suspended */
    LW_SUSPEND_GO, /* not answered: leave "frozen", go on to "suspended" */
    LW_RESUME,
    LW_RETAIN,
    LW_START,       /* arg[0]: leave it paused; [1]: bit n: no contents have
                       come for vCPU n's vcpu_info */
    LW_STOP,        /* vCPUs stop at their next operation; LW_START undoes it */
    LW_DIRTY_ON,    /* arg[0] of the answer: enum lw_dirty; data: see below;
                    fds: LW_DIRTY_SCAN: pagemap, LW_DIRTY_SYNC: bitmap */
    LW_DIRTY_FETCH, /* sync only; arg[0]: clean; the bitmap is filled */
    LW_DIRTY_OFF,
    LW_STATE_GET, /* data: body of HVM_CONTEXT */
    LW_STATE_PUT, /* likewise */
    LW_PAGING_ON, /* of the answer: arg[0]: address of the memory, [1]: pages
                     may be put in place, those without a mapping are trapped;
                     data: u32 thread id of each vCPU; fds: userfaultfd */
    LW_PAGING_OFF,
};

enum lw_dirty
{
    LW_DIRTY_SCAN = 1, /* asynchronous write protection, scanned by pagemap:
                          arg[1] of the answer is the memory's address */
    LW_DIRTY_SYNC,     /* write protection with a handler in the guest */
};

/* 64 vCPU records and room to spare; well below a socket's buffer. */
#define LW_DATA_MAX (32u * 1024)
#define LW_FDS_MAX  4u

struct lw_msg
{
    uint32_t magic;
    uint32_t op;
    int32_t rc;
    uint32_t len; /* of data */
    uint64_t arg[2];
    uint8_t data[LW_DATA_MAX];
};

#define LW_HEAD offsetof(struct lw_msg, data)

struct lw_fds
{
    unsigned int nr;
    int fd[LW_FDS_MAX];
};

void xc_sr__lw_close_fds(struct lw_fds *fds);
/* Neither blocks: -EAGAIN.  recv: -EPIPE at end of file, -EBADMSG. */
int xc_sr__lw_send(int sock, struct lw_msg *msg, const struct lw_fds *fds);
int xc_sr__lw_recv(int sock, struct lw_msg *msg, struct lw_fds *fds_r);

bool xc_sr__lw_name_ok(const char *name);
/* -EINVAL: something is out of bounds. */
int xc_sr__local_config_check(const struct xc_sr_local_config *config);
/* One connection, non-blocking; see xenpostcopy_local.h for errors. */
int xc_sr__lw_connect(const char *dir, const char *name, int *sock_r);
/*
 * Asks with *msg (op, arg, len, data) and replaces it by the answer; returns
 * its rc.  expect_fds descriptors or none come with it: fds_r may be NULL.
 */
int xc_sr__lw_call(int sock, struct lw_msg *msg, struct lw_fds *fds_r,
                   uint64_t timeout_us);

/* An error of ours as a line for people. */
const char *xc_sr__local_why(int rc);

#define LW_TIMEOUT_US 10000000u /* longest answer: a check of all memory */

/*
 * Of the guest's memory, which both ends have open: no frame is there, for
 * certain.  Where it cannot be known a frame too many is better than a page
 * lost.
 */
static inline bool xc_sr__lw_is_hole(int mem_fd, uint64_t pfn)
{
    off_t at = (off_t)(pfn << XC_SR_PAGE_SHIFT);
    off_t data = lseek(mem_fd, at, SEEK_DATA);

    return data < 0 ? errno == ENXIO : data != at;
}

#endif /* LOCAL_WIRE_H */

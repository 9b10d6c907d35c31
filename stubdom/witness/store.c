/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * store.c: the xenstore client: requests into the ring, answers and watch
 * events out of it.  Called by main.c, suspend.c, control.c and report.c on
 * the first vCPU.  It waits in cpu_turn(), at most DEADLINE_NS; an answer that
 * comes later is recognised by its number and dropped.
 */
#include <errno.h>
#include <string.h>

#include "clock.h"
#include "cpu.h"
#include "hook.h"
#include "ring.h"
#include "store.h"
#include "text.h"
#include "xsmsg.h"

#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>

#define DEADLINE_NS 10000000000ull /* dom0 may be busy with a migration */

static struct xenstore_domain_interface *page;
static char request[XSMSG_MAX], answer[XSMSG_MAX];
static size_t answer_len;
static uint32_t last_request;
static bool fired[STORE_NR_TOKENS];

void store_init(void)
{
    unsigned int i;

    page = (void *)(xen_hvm_param(HVM_PARAM_STORE_PFN) * PAGE_SIZE);
    if ( !page || !hook_store_port() )
        xen_die("no xenstore", 0);
    answer_len = 0;
    for ( i = 0; i < STORE_NR_TOKENS; i++ )
        fired[i] = false;
}

static int put(const char *buf, size_t len, uint64_t deadline_ns)
{
    struct ring out = { .data = page->req,
                        .size = sizeof(page->req),
                        .cons = &page->req_cons,
                        .prod = &page->req_prod };

    while ( len )
    {
        int nr = ring_put(&out, buf, len);

        if ( nr < 0 )
            return nr;
        buf += nr;
        len -= (size_t)nr;
        hook_notify(hook_store_port());
        if ( len && clock_system_ns() > deadline_ns )
            return -ETIMEDOUT;
        if ( len )
            cpu_turn();
    }
    return 0;
}

/* More octets of the ring into `answer`, and room made in the ring. */
static int fetch(void)
{
    struct ring in = { .data = page->rsp,
                       .size = sizeof(page->rsp),
                       .cons = &page->rsp_cons,
                       .prod = &page->rsp_prod };
    int nr = ring_get(&in, answer + answer_len, sizeof(answer) - answer_len);

    if ( nr > 0 )
    {
        answer_len += (size_t)nr;
        hook_notify(hook_store_port());
    }
    return nr;
}

static void drop(const struct xsmsg *msg)
{
    size_t used = XSMSG_HEADER_LEN + msg->len;

    answer_len -= used;
    memmove(answer, answer + used, answer_len);
}

static void watch_event(const struct xsmsg *msg)
{
    const char *token = xsmsg_string(msg, 1);

    if ( token && token[0] >= '0' && token[0] < '0' + STORE_NR_TOKENS )
        fired[token[0] - '0'] = true;
}

/*
 * The next message that is no watch event, which stays in `answer` until
 * drop().  0, -EAGAIN, or -EPROTO.
 */
static int next_answer(struct xsmsg *msg_r)
{
    int rc;

    for ( ;; )
    {
        rc = xsmsg_parse(answer, answer_len, msg_r);
        if ( rc == -EAGAIN )
        {
            rc = fetch();
            if ( rc < 0 )
                return rc;
            if ( rc == 0 )
                return -EAGAIN;
            continue;
        }
        if ( rc || msg_r->type != XS_WATCH_EVENT )
            return rc;
        watch_event(msg_r);
        drop(msg_r);
    }
}

/* Sends and waits for its answer, which stays in `answer` until drop(). */
static int ask(uint32_t type, const char *path, const char *value,
               struct xsmsg *msg_r)
{
    struct xsmsg head = { .type = type, .request = ++last_request };
    uint64_t deadline_ns = clock_system_ns() + DEADLINE_NS;
    size_t len;
    int rc = xsmsg_build(request, sizeof(request), &head, path, value, &len);

    if ( !rc )
        rc = put(request, len, deadline_ns);
    while ( !rc )
    {
        rc = next_answer(msg_r);
        if ( rc == 0 && msg_r->request == last_request )
            return msg_r->type == XS_ERROR ? -EIO : 0;
        if ( rc == 0 )
        {
            drop(msg_r);
            msg_r->body = NULL;
        }
        else if ( rc == -EAGAIN )
        {
            rc = clock_system_ns() > deadline_ns ? -ETIMEDOUT : 0;
            cpu_turn();
        }
    }
    return rc;
}

int store_write(const char *path, const char *value)
{
    struct xsmsg msg = { .body = NULL };
    int rc = ask(XS_WRITE, path, value, &msg);

    if ( msg.body )
        drop(&msg);
    return rc;
}

int store_watch(const char *path, enum store_token token)
{
    char name[2] = { (char)('0' + token), '\0' };
    struct xsmsg msg = { .body = NULL };
    int rc = ask(XS_WATCH, path, name, &msg);

    if ( msg.body )
        drop(&msg);
    return rc;
}

int store_read(const char *path, char *buf, size_t size)
{
    struct xsmsg msg = { .body = NULL };
    int rc = ask(XS_READ, path, NULL, &msg);

    if ( !rc && msg.len >= size )
        rc = -E2BIG;
    if ( !rc )
    {
        memcpy(buf, msg.body, msg.len);
        buf[msg.len] = '\0';
    }
    if ( msg.body )
        drop(&msg);
    return rc;
}

bool store_fired(enum store_token token)
{
    struct xsmsg msg;
    bool result;

    /* An answer that nobody waits for any more stands in the way of events. */
    while ( next_answer(&msg) == 0 )
        drop(&msg);
    result = fired[token];
    fired[token] = false;
    return result;
}

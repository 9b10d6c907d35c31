/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libxl_postcopy.h: the public interface of libxlpostcopy: migration of a
 * real Xen guest, post-copy where that was asked for, by a program that is
 * linked with a stock libxl.
 *
 * libxl does what it always did (suspending, creating, device models,
 * xenstore); memory and CPU state travel through libxenpostcopy.  The hook is
 * libxl's own: the program that LIBXL_SAVE_HELPER names, here a shim that
 * carries messages between libxl and a thread of this library, the engine's.
 *
 *     libxl_postcopy_init()            first thing in main()
 *     libxl_ctx_alloc(), ...
 *     libxl_postcopy_send()  or  libxl_postcopy_receive()
 *
 * Threads.  init() comes before any thread and before any libxl_ctx.  One
 * migration at a time in a process.  send() and receive() are synchronous;
 * they call libxl in the thread that called them, and no other call on that
 * ctx may be in progress.  Each callback below says which thread runs it:
 * "the caller's" may use libxl, "the engine's" may not and must not block.
 *
 * Children and signals.  The ctx keeps libxl's default for SIGCHLD
 * (libxl_sigchld_owner_libxl): the program installs no handler for it and
 * reaps nothing while a migration runs; its own children, an ssh for example,
 * it learns about by libxl_childproc_setmode()'s reaped_callback.  SIGPIPE is
 * ignored by init().
 *
 * Every int function returns 0 or a negative errno value, never one of
 * libxl's own codes.  Out-parameters end in _r; a result is filled in whatever
 * is returned.
 */
#ifndef LIBXL_POSTCOPY_H
#define LIBXL_POSTCOPY_H

#include <libxl.h>

#include "xenpostcopy.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Prepares this process: finds the shim (NULL: the one that was installed, or
 * the program that XEN_POSTCOPY_SHIM names), opens the socket on which it will
 * call, sets LIBXL_SAVE_HELPER.  From then on every save or restore that this
 * process asks libxl for has to go through send() or receive().  After one
 * of these whose shim could not be accepted (no descriptors, say) they return
 * -EINVAL, until it is undone and done again.
 * -EPROTONOSUPPORT: this libxl was never tried with this library; -ENOENT or
 * -EACCES: there is no such shim; -EBUSY: called twice.  why (why_len octets,
 * may be NULL) gets a sentence for people.
 */
int libxl_postcopy_init(const char *shim, char *why, size_t why_len);

/*
 * Only that check: is the libxl that this process runs with one that this
 * library was tried with?
 */
int libxl_postcopy_check_libxl(char *why, size_t why_len);

/* Undoes it: an ordinary process again.  No migration may be in progress. */
void libxl_postcopy_fini(void);

/*
 * Whether a guest with this configuration can be moved post-copy at all: PV
 * guests, passed-through devices, nested HVM, altp2m, stub-domain and
 * qemu-traditional device models cannot.  Asks no hypervisor.  -EOPNOTSUPP
 * with an XC_SR_REASON_* and a sentence.
 */
int libxl_postcopy_config_check(const libxl_domain_config *config,
                                uint32_t *reason_r, char *why, size_t why_len);

/* ---- Sending ----------------------------------------------------------------- */

struct libxl_postcopy_send_params
{
    uint32_t domid;
    /*
     * What the engine is to do.  All members are the caller's, as
     * xenpostcopy.h describes them, but hv and upper, which this library
     * fills in.  The stream starts on save.send_fd with libxl's own header;
     * what xl puts before it the caller has written.  journal, progress,
     * watch and log run in the engine's thread.
     */
    struct xc_sr_save_params save;
    bool debug; /* LIBXL_SUSPEND_DEBUG */
    /*
     * The caller's thread, once, libxl at its disposal: the guest is
     * suspended, the destination has been sent all it needs and prepares; not
     * before this has returned COMMITTED is recorded and COMMIT sent.  The
     * place to give the domain its other name.  An error gives the migration
     * up and the guest runs on here; it may also do so after a success, if
     * the destination gives up.  With a version 2 stream, which has no COMMIT,
     * it is called before the last octet that the destination waits for, when
     * COMMITTED is on the record: an error changes nothing any more.  Not
     * called by a plain save.  May be NULL.
     */
    int (*before_commit)(void *ctx);
    void *ctx;
    /* Longest time for one answer of libxl's, 0: 60 s; twice that and 15 s
     * more when it suspends the guest, which libxl itself limits. */
    uint64_t libxl_timeout_us;
};

struct libxl_postcopy_send_result
{
    /*
     * owner says where the guest is and what is left to do:
     * NONE     (plain only, 0 returned) suspended, the whole stream is out;
     *          run it here again with libxl_postcopy_resume(), or destroy it;
     * RESUMED  it runs here again (engine.suspended_here: it could not be
     *          resumed: libxl_postcopy_resume() may be tried again);
     * COMMITTED  it may run there: keep it suspended;
     * DONE     it runs there with all its pages: destroy it here.
     */
    struct xc_sr_save_result engine;
    int libxl_rc;   /* of libxl_domain_suspend(), for a log; not a verdict */
    bool suspended; /* it was asked to suspend, and did */
};

int libxl_postcopy_send(libxl_ctx *ctx,
                        const struct libxl_postcopy_send_params *params,
                        struct libxl_postcopy_send_result *result_r);

/*
 * libxl_domain_resume() for a guest that is suspended, and nothing for one
 * that runs.  send() does it by itself where its owner says RESUMED.
 * -ESRCH: there is no such domain; -EIO: libxl could not.
 */
int libxl_postcopy_resume(libxl_ctx *ctx, uint32_t domid);

/* ---- Receiving --------------------------------------------------------------- */

struct libxl_postcopy_receive_params
{
    /*
     * What the guest is built from: parsed from xl's header by the caller
     * (libxl_domain_config_from_json()), with the name it shall have until it
     * runs.  libxl changes it, as in libxl_domain_create_restore().
     */
    libxl_domain_config *config;
    /*
     * As in sending: hv, upper, prepare, running, destroy and ctx are this
     * library's, the rest is the caller's.  restore.recv_fd is read from
     * libxl's header on, and not an octet further than the stream goes.
     */
    struct xc_sr_restore_params restore;
    /* The engine's thread: libxl has made the domain, this is its number. */
    void (*created)(void *ctx, uint32_t domid);
    /* The caller's: all is built and the device model is up; PREPARED is said
     * after it.  An error fences the guest.  May be NULL, as all three. */
    int (*prepared)(void *ctx, uint32_t domid);
    /* The caller's: it runs here now.  The place to give it its name; pages
     * come in meanwhile.  Called also where it stays paused.  May free the ctx
     * (libxl_ctx_free()), which this library does not use afterwards. */
    void (*running)(void *ctx, uint32_t domid);
    void *ctx;
    uint64_t libxl_timeout_us; /* one answer of libxl's, 0: 120 s */
    /* The engine's, which serves no page meanwhile: as in
     * xc_sr_xen_destination_params.  May be NULL. */
    void (*limit_lifted)(void *ctx, uint64_t limit_pages,
                         uint64_t lifted_pages);
};

struct libxl_postcopy_receive_result
{
    /*
     * plain: the guest is complete and paused, the caller decides who runs
     * it.  Else owner says: FINISHED or OWNER, it runs here (OWNER: with pages
     * missing); ENDED, it ran here and is gone; NONE or FENCED, it never did,
     * and has been destroyed.
     */
    struct xc_sr_restore_result engine;
    uint32_t domid;     /* INVALID_DOMID: no such domain, or no more */
    int libxl_rc;       /* of libxl_domain_create_restore() */
    bool not_destroyed; /* it should be gone, and libxl could not do it */
};

int libxl_postcopy_receive(libxl_ctx *ctx,
                           const struct libxl_postcopy_receive_params *params,
                           struct libxl_postcopy_receive_result *result_r);

#ifdef __cplusplus
}
#endif

#endif /* LIBXL_POSTCOPY_H */

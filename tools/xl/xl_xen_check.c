/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_check.c: `xl postcopy-check`: whether this host can send guests
 * post-copy and receive them, whether a guest can be moved so, and the same of
 * another host, whose own xl is asked through ssh.  Changes nothing anywhere.
 *
 * What it finds is what `migrate --postcopy` would find later, in the same
 * words, each with what is to be changed.
 */
#include "xl_xen.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libxl_postcopy.h"
#include "xenpostcopy_xen.h"
#include "xl_json.h"
#include "xl_signals.h"
#include "xl_transport.h"

/* A host that is asked starts a program and looks at itself. */
#define REMOTE_TIMEOUT_US UINT64_C(40000000)
/* An answer is a few hundred octets for each obstacle. */
#define ANSWER_MAX        65536u
#define MAX_OBSTACLES     (XC_SR_XEN_MAX_OBSTACLES + 4)
#define TEXT_LEN          400

struct obstacle
{
    char reason[32];
    char text[TEXT_LEN];
};

/* What is known of a host, or of a guest. */
struct finding
{
    char what[80];    /* "this host", "host xen2", "guest `web`" */
    bool is_guest;    /* can_receive has no meaning */
    bool can_send;    /* nothing stands in the way of it */
    bool can_receive; /* likewise */
    bool paging_built;
    char xen_version[48];
    uint64_t free_kib;
    bool balloons;     /* dom0 gives back more than is free */
    uint64_t need_kib; /* of a guest: what it may have in all */
    unsigned int nr_obstacles;
    struct obstacle obstacles[MAX_OBSTACLES];
};

struct wish
{
    bool json;
    const char *carrier, *remote_xl, *domain, *host;
};

static void add(struct finding *f, const char *reason, const char *text)
{
    struct obstacle *o = &f->obstacles[f->nr_obstacles];

    if ( f->nr_obstacles == MAX_OBSTACLES )
        return;
    snprintf(o->reason, sizeof(o->reason), "%s", reason);
    snprintf(o->text, sizeof(o->text), "%s", text);
    f->nr_obstacles++;
}

/* ---- This host ----------------------------------------------------------------- */

static void take_report(struct finding *f,
                        const struct xc_sr_xen_report *report)
{
    unsigned int i;

    snprintf(f->xen_version, sizeof(f->xen_version), "%u.%u%s",
             report->xen_major, report->xen_minor, report->xen_extra);
    f->paging_built = report->paging_built;
    f->free_kib = report->free_kib;
    for ( i = 0; i < report->nr_obstacles && i < XC_SR_XEN_MAX_OBSTACLES; i++ )
        add(f, xc_sr_reason_name(report->obstacles[i].reason),
            report->obstacles[i].text);
}

/* The hypervisor's view, of the host or of a guest. */
static void ask_hypervisor(struct finding *f, uint32_t domid)
{
    struct xc_sr_xen_report report;
    char text[TEXT_LEN];
    int rc;

    memset(&report, 0, sizeof(report));
    rc = xc_sr_xen_check(domid, NULL, &report);
    if ( !rc )
    {
        take_report(f, &report);
        return;
    }
    snprintf(text, sizeof(text), "the hypervisor cannot be asked: %s",
             strerror(-rc));
    add(f, xc_sr_reason_name(XC_SR_REASON_FAILED), text);
}

static void look_at_host(const struct xl_global *global, struct finding *f,
                         libxl_ctx **ctx_r)
{
    const char *failed = xc_sr_reason_name(XC_SR_REASON_FAILED);
    char why[TEXT_LEN] = "", shim[PATH_MAX];

    snprintf(f->what, sizeof(f->what), "this host");
    if ( libxl_postcopy_init(xl_xen_shim(shim, sizeof(shim)), why,
                             sizeof(why)) )
        add(f, xc_sr_reason_name(XC_SR_REASON_VERSION), why);
    else
        libxl_postcopy_fini();
    if ( xl_xen_try_open(global, ctx_r, why, sizeof(why)) )
        add(f, failed, why);
    /* What was found so far a source needs as well. */
    f->can_send = !f->nr_obstacles;
    if ( *ctx_r )
    {
        ask_hypervisor(f, XC_SR_XEN_NO_DOMAIN);
        f->balloons = xl_xen_may_balloon(*ctx_r);
    }
    f->can_receive = !f->nr_obstacles;
}

/* ---- A guest -------------------------------------------------------------------- */

static int look_at_guest(libxl_ctx *ctx, const char *wanted, struct finding *f)
{
    struct xl_xen_domain domain;
    libxl_domain_config config;
    char why[TEXT_LEN] = "";
    uint32_t reason = XC_SR_REASON_FAILED;
    int status = xl_xen_find(ctx, wanted, &domain);

    if ( status )
        return status;
    f->is_guest = true;
    f->need_kib = domain.info.max_memkb;
    snprintf(f->what, sizeof(f->what), "guest `%.60s`", domain.name);
    libxl_domain_config_init(&config);
    if ( libxl_retrieve_domain_configuration(ctx, domain.domid, &config, NULL) )
        add(f, xc_sr_reason_name(reason), "libxl has no configuration of it");
    else if ( libxl_postcopy_config_check(&config, &reason, why, sizeof(why)) )
        add(f, xc_sr_reason_name(reason), why);
    libxl_domain_config_dispose(&config);
    /* A PV guest has no more to say for itself. */
    if ( !f->nr_obstacles )
        ask_hypervisor(f, domain.domid);
    f->can_send = !f->nr_obstacles;
    xl_xen_domain_dispose(&domain);
    return 0;
}

/* ---- Another host ------------------------------------------------------------------ */

static int read_answer(int fd, int cancel_fd, char *text, size_t *len_r)
{
    uint64_t deadline_us = xl_now_us() + REMOTE_TIMEOUT_US;
    size_t len = 0;
    int rc = 0;

    while ( !rc && len < ANSWER_MAX - 1 )
    {
        rc = xl_read_exact(fd, text + len, 1, deadline_us, cancel_fd);
        len += !rc;
    }
    text[len] = '\0';
    *len_r = len;
    return rc == -EPIPE ? 0 : rc ? rc : -EMSGSIZE;
}

static void take_obstacles(struct finding *f, yajl_val tree)
{
    static const char *path[] = { "obstacles", NULL };
    yajl_val list = yajl_tree_get(tree, path, yajl_t_array);
    size_t i;

    for ( i = 0; list && i < YAJL_GET_ARRAY(list)->len; i++ )
    {
        yajl_val one = YAJL_GET_ARRAY(list)->values[i];
        char reason[32] = "failed", text[TEXT_LEN] = "?";

        (void)xl_json_get_string(one, "reason", reason, sizeof(reason));
        (void)xl_json_get_string(one, "text", text, sizeof(text));
        add(f, reason, text);
    }
}

/* The first line of the answer is one object, about that host. */
static int take_answer(struct finding *f, const char *text, size_t len)
{
    const char *end = memchr(text, '\n', len);
    yajl_val tree = NULL;
    char why[80];
    int rc = xl_json_parse(text, end ? (size_t)(end - text) : len, &tree, why,
                           sizeof(why));

    if ( rc )
        return rc;
    if ( xl_json_get_bool(tree, "can_receive", &f->can_receive) ||
         xl_json_get_bool(tree, "can_send", &f->can_send) )
        rc = -EINVAL;
    else
    {
        (void)xl_json_get_bool(tree, "paging", &f->paging_built);
        (void)xl_json_get_string(tree, "xen_version", f->xen_version,
                                 sizeof(f->xen_version));
        (void)xl_json_get_u64(tree, "free_kib", INT64_MAX, &f->free_kib);
        (void)xl_json_get_bool(tree, "balloons", &f->balloons);
        take_obstacles(f, tree);
    }
    yajl_tree_free(tree);
    return rc;
}

/* What went wrong on the way to that host, as an obstacle. */
static void explain(struct finding *f, const struct wish *wish, int rc,
                    int status)
{
    char text[TEXT_LEN], ended[96];

    if ( rc == -ETIMEDOUT )
        snprintf(text, sizeof(text), "it does not answer within %u s",
                 (unsigned int)(REMOTE_TIMEOUT_US / 1000000));
    else if ( status > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 255 &&
              !wish->carrier )
        snprintf(text, sizeof(text),
                 "ssh cannot reach it, or wants to ask something: `ssh %s "
                 "true` shows",
                 wish->host);
    else if ( status > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127 )
        snprintf(text, sizeof(text),
                 "there is no xl: --remote-xl PATH says where ours is");
    else
        snprintf(text, sizeof(text),
                 "its xl knows no postcopy-check (%s): it is the "
                 "distribution's own; install xen-postcopy there, or --remote-"
                 "xl PATH names the right one",
                 xl_child_status_text(status, ended, sizeof(ended)));
    add(f, xc_sr_reason_name(XC_SR_REASON_FAILED), text);
}

static int ask_remote(const struct wish *wish, const struct xl_target *target,
                      char *text, struct finding *f)
{
    struct xl_receiver_options none = { .paused = false };
    struct xl_child child = { .send_fd = -1, .recv_fd = -1 };
    int signal_fd = -1, status = -1;
    size_t len = 0;
    /* Not before ssh has left the terminal as it was do we. */
    int rc = xl_signals_init(&signal_fd);

    if ( !rc )
        rc = xl_child_start(target, &none, &child);
    if ( rc )
        return rc;
    rc = read_answer(child.recv_fd, signal_fd, text, &len);
    if ( rc == -ECANCELED )
    {
        xl_child_give_up(&child, target, &status);
        return rc;
    }
    xl_child_end(&child, 3000, true, &status);
    if ( rc || take_answer(f, text, len) )
        explain(f, wish, rc, status);
    return 0;
}

static int look_at_remote(const struct wish *wish, struct finding *f)
{
    struct xl_remote_wish remote = { .host = wish->host,
                                     .carrier = wish->carrier,
                                     .remote_xl = wish->remote_xl,
                                     .arguments = "postcopy-check --json" };
    struct xl_target target = { .command = NULL };
    char *text = malloc(ANSWER_MAX);
    int rc = text ? xl_remote_command(&remote, &target.command) : -ENOMEM;

    snprintf(f->what, sizeof(f->what), "host %.70s", wish->host);
    if ( !rc )
        rc = ask_remote(wish, &target, text, f);
    if ( rc )
        xl_error("%s was not asked: %s", f->what,
                 rc == -ECANCELED ? "given up on request" : strerror(-rc));
    xl_target_dispose(&target);
    free(text);
    return rc;
}

/* Every frame that the guest may ever have is claimed for it at once. */
static void compare_memory(struct finding *there, const struct finding *guest)
{
    char text[TEXT_LEN];

    if ( !there->can_receive || there->balloons ||
         there->free_kib >= guest->need_kib )
        return;
    snprintf(text, sizeof(text),
             "the guest may need %llu MiB and %llu are free: give back as much "
             "there (`xl mem-set`, of dom0 or a guest), or have xl do so "
             "(autoballoon in xl.conf)",
             (unsigned long long)((guest->need_kib + 1023) >> 10),
             (unsigned long long)(there->free_kib >> 10));
    add(there, xc_sr_reason_name(XC_SR_REASON_NO_MEMORY), text);
    there->can_receive = false;
}

/* ---- Showing it ------------------------------------------------------------------------ */

static void print_json(const struct finding *f)
{
    struct xl_json j = { .gen = NULL };
    unsigned int i;

    if ( xl_json_init(&j, false) )
        return;
    xl_json_open_map(&j, NULL);
    xl_json_string(&j, "what", f->what);
    xl_json_bool(&j, "can_send", f->can_send);
    if ( !f->is_guest )
    {
        xl_json_bool(&j, "can_receive", f->can_receive);
        xl_json_string(&j, "xen_version",
                       f->xen_version[0] ? f->xen_version : NULL);
        xl_json_bool(&j, "paging", f->paging_built);
        xl_json_u64(&j, "free_kib", f->free_kib);
        xl_json_bool(&j, "balloons", f->balloons);
    }
    xl_json_open_array(&j, "obstacles");
    for ( i = 0; i < f->nr_obstacles; i++ )
    {
        xl_json_open_map(&j, NULL);
        xl_json_string(&j, "reason", f->obstacles[i].reason);
        xl_json_string(&j, "text", f->obstacles[i].text);
        xl_json_close_map(&j);
    }
    xl_json_close_array(&j);
    xl_json_close_map(&j);
    (void)xl_json_print(&j, stdout);
    xl_json_dispose(&j);
}

static void print_text(const struct finding *f)
{
    unsigned int i;

    if ( f->is_guest )
        printf("%s: %s be moved post-copy\n", f->what,
               f->can_send ? "can" : "cannot");
    else
    {
        printf("%s: %s send, %s receive guests post-copy", f->what,
               f->can_send ? "can" : "cannot",
               f->can_receive ? "can" : "cannot");
        if ( f->xen_version[0] )
            printf(" (Xen %s, %llu MiB free)", f->xen_version,
                   (unsigned long long)(f->free_kib >> 10));
        putchar('\n');
    }
    for ( i = 0; i < f->nr_obstacles; i++ )
        printf("  - %s\n", f->obstacles[i].text);
}

static void show(const struct wish *wish, const struct finding *f)
{
    if ( wish->json )
        print_json(f);
    else
        print_text(f);
}

/* ---- The command -------------------------------------------------------------------------- */

static int parse(int argc, char **argv, struct wish *wish_r)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "remote-xl", required_argument, NULL, 'r' },
        { "domain", required_argument, NULL, 'd' },
        { NULL, 0, NULL, 0 },
    };
    struct wish wish = { .json = false };
    int option;

    optind = 0;
    opterr = 0;
    while ( (option = getopt_long(argc, argv, ":s:", options, NULL)) != -1 )
    {
        switch ( option )
        {
        case 'j':
            wish.json = true;
            break;
        case 'r':
            wish.remote_xl = optarg;
            break;
        case 'd':
            wish.domain = optarg;
            break;
        case 's':
            wish.carrier = optarg;
            break;
        default:
            return xl_usage_error(xl_command_find_xen(argv[0]),
                                  "%s: no such option, or a value is missing",
                                  argv[optind - 1]);
        }
    }
    if ( argc - optind > 1 )
        return xl_usage_error(xl_command_find_xen(argv[0]),
                              "at most one HOST is wanted");
    wish.host = argv[optind];
    if ( wish.host && (!*wish.host || *wish.host == '-') )
        return xl_usage_error(xl_command_find_xen(argv[0]),
                              "`%s` cannot be a host", wish.host);
    *wish_r = wish;
    return 0;
}

int xl_cmd_postcopy_check(const struct xl_global *global, int argc, char **argv)
{
    struct finding here = { .nr_obstacles = 0 }, guest = here, there = here;
    libxl_ctx *ctx = NULL;
    struct wish wish = { .json = false };
    int status = parse(argc, argv, &wish);
    bool fine;

    if ( status )
        return status;
    look_at_host(global, &here, &ctx);
    show(&wish, &here);
    fine = here.can_send && (wish.host || here.can_receive);
    if ( wish.domain && ctx )
    {
        status = look_at_guest(ctx, wish.domain, &guest);
        if ( !status )
            show(&wish, &guest);
        fine = fine && guest.can_send;
    }
    if ( wish.host && look_at_remote(&wish, &there) )
        status = XL_EXIT_FAILED;
    else if ( wish.host )
    {
        compare_memory(&there, &guest);
        show(&wish, &there);
        fine = fine && there.can_receive;
    }
    if ( ctx )
        libxl_ctx_free(ctx);
    return status ? status : fine ? XL_EXIT_DONE : XL_EXIT_REFUSED;
}

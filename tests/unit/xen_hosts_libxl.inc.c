/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts_libxl.inc.c: the libxl of a host, as far as xl and libxlpostcopy
 * use it: domains with a name, a UUID, pauses and a reason why they are shut
 * down.  A function that is to fail does nothing, and complains as libxl does.
 * Included after xen_hosts.inc.c; comes before libxl's own.
 */
#include <libxl.h>
#include <libxl_utils.h>
#include <libxlutil.h>
#include <xentoollog.h>

struct libxl__ctx
{
    xentoollog_logger *lg;
};

static libxl_ctx *last_ctx; /* of this process */

/* ---- Domains ----------------------------------------------------------------------- */

static struct host_domain *find_on(int host, uint32_t domid)
{
    struct host_domain *d = world->hosts[host].domains;

    for ( unsigned int i = 0; i < HOST_DOMAINS; i++ )
        if ( domid && d[i].domid == domid )
            return &d[i];
    return NULL;
}

static struct host_domain *find_by_domid(uint32_t domid)
{
    return find_on(here, domid);
}

static struct host_domain *find_by_name(const char *name)
{
    for ( unsigned int i = 0; i < HOST_DOMAINS; i++ )
        if ( me()->domains[i].domid && !strcmp(me()->domains[i].name, name) )
            return &me()->domains[i];
    return NULL;
}

static void guest_uuid(uint8_t uuid_r[16])
{
    for ( uint8_t i = 0; i < 16; i++ )
        uuid_r[i] = i;
}

/* The guest's domain on a host; NULL: there is none. */
static struct host_domain *guest_on(int host)
{
    uint8_t uuid[16];

    guest_uuid(uuid);
    for ( unsigned int i = 0; i < HOST_DOMAINS; i++ )
    {
        struct host_domain *d = &world->hosts[host].domains[i];

        if ( d->domid && !memcmp(d->uuid, uuid, 16) )
            return d;
    }
    return NULL;
}

static bool is_running(int host)
{
    const struct host_domain *d = guest_on(host);

    return d && !d->pauses && !d->shutdown;
}

static struct host_domain *add_domain(int host, const char *name,
                                      const uint8_t uuid[16])
{
    struct host *h = &world->hosts[host];
    struct host_domain *d = h->domains;

    while ( d < h->domains + HOST_DOMAINS && d->domid )
        d++;
    must(d < h->domains + HOST_DOMAINS);
    *d = (struct host_domain){ .domid = h->next_domid++, .pauses = 1 };
    snprintf(d->name, sizeof(d->name), "%s", name);
    memcpy(d->uuid, uuid, 16);
    return d;
}

/* It was let go on.  With the lock held. */
static void note_running(struct host_domain *d)
{
    const struct host_domain *other = guest_on(!here);

    d->ran = !d->pauses && !d->shutdown;
    if ( d->ran && d == guest_on(here) &&
         (is_running(!here) || (here == HERE && other && other->ran)) )
        atomic_store(&world->two_ran, true);
}

static void set_pauses(struct host_domain *d, unsigned int pauses)
{
    if ( !d )
        return;
    d->pauses = pauses;
    if ( !pauses )
        note_running(d);
}

static bool is_whole_there(void);

/* With the lock held. */
static void remove_domain(struct host_domain *d)
{
    const struct host_domain *there = guest_on(THERE);
    bool only =
        d == guest_on(here) &&
        (here == THERE ? d->ran : !there || !there->ran || !is_whole_there());

    if ( only )
        atomic_store(&world->lost_guest, true);
    d->domid = 0;
}

/* ---- What fails -------------------------------------------------------------------- */

static void complain(libxl_ctx *ctx, const char *text)
{
    if ( ctx )
        xtl_log(ctx->lg, XTL_ERROR, -1, "libxl",
                "libxl_fake.c:1:fake: Domain 7:%s", text);
}

static bool fails(libxl_ctx *ctx, const char *name)
{
    char text[80];

    if ( !is_refused(LIBXL_CALL, name) )
        return false;
    snprintf(text, sizeof(text), "%s has failed", name);
    complain(ctx, text);
    return true;
}

/* In functions that return libxl's codes. */
#define FAIL_IF_TOLD(ctx)                                                      \
    do                                                                         \
    {                                                                          \
        if ( fails(ctx, __func__) )                                            \
            return ERROR_FAIL;                                                 \
    } while ( 0 )

/* ---- The context -------------------------------------------------------------------- */

int libxl_ctx_alloc(libxl_ctx **ctx_r, int version, unsigned int flags,
                    xentoollog_logger *lg)
{
    libxl_ctx start = { .lg = lg };

    (void)version;
    (void)flags;
    FAIL_IF_TOLD(&start);
    *ctx_r = malloc(sizeof(**ctx_r));
    must(*ctx_r != NULL);
    **ctx_r = start;
    last_ctx = *ctx_r;
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
    free(ctx);
    last_ctx = NULL;
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    return 0;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks,
                             void *user)
{
    (void)ctx;
    (void)hooks;
    (void)user;
}

/* ---- Questions ----------------------------------------------------------------------- */

static void fill_info(libxl_dominfo *info, const struct host_domain *d)
{
    info->domid = d->domid;
    memcpy(libxl_uuid_bytearray(&info->uuid), d->uuid, 16);
    info->paused = d->pauses != 0;
    info->shutdown = d->shutdown;
    info->shutdown_reason = (libxl_shutdown_reason)d->reason;
    info->running = !d->pauses && !d->shutdown;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
    const struct host_domain *d;

    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_domid(domid);
    if ( d )
        fill_info(info, d);
    unlock_world();
    return d ? 0 : ERROR_DOMAIN_NOTFOUND;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nr_r)
{
    libxl_dominfo *list;
    int nr = 0;

    if ( fails(ctx, __func__) )
        return NULL;
    list = calloc(HOST_DOMAINS + 1, sizeof(*list));
    must(list != NULL);
    lock_world();
    for ( unsigned int i = 0; i < HOST_DOMAINS; i++ )
        if ( me()->domains[i].domid )
            fill_info(&list[nr++], &me()->domains[i]);
    unlock_world();
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    *nr_r = nr;
    return list;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int nr)
{
    (void)nr;
    free(list);
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid_r)
{
    const struct host_domain *d;

    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_name(name);
    if ( d )
        *domid_r = d->domid;
    unlock_world();
    return d ? 0 : ERROR_INVAL;
}

int libxl_domain_qualifier_to_domid(libxl_ctx *ctx, const char *name,
                                    uint32_t *domid_r)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);

    if ( end != name && !*end )
    {
        *domid_r = (uint32_t)number;
        return 0;
    }
    return libxl_name_to_domid(ctx, name, domid_r);
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    const struct host_domain *d;
    char *name = NULL;

    if ( fails(ctx, __func__) )
        return NULL;
    lock_world();
    d = find_by_domid(domid);
    if ( d && d->name[0] )
        name = strdup(d->name);
    unlock_world();
    return name;
}

/* ---- Deeds ---------------------------------------------------------------------------- */

int libxl_domain_rename(libxl_ctx *ctx, uint32_t domid, const char *old_name,
                        const char *new_name)
{
    struct host_domain *d, *other;
    bool fits;

    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_domid(domid);
    other = find_by_name(new_name);
    fits = d && (!old_name || !strcmp(d->name, old_name)) &&
           (!other || other == d);
    if ( fits )
        snprintf(d->name, sizeof(d->name), "%s", new_name);
    unlock_world();
    if ( fits && here == THERE && world->plan == KILL_NAMED )
        die();
    return fits ? 0 : ERROR_INVAL;
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    (void)how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    set_pauses(find_by_domid(domid), 0);
    unlock_world();
    return 0;
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int cancel,
                        const libxl_asyncop_how *how)
{
    struct host_domain *d;

    (void)how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_domid(domid);
    if ( d && d->shutdown && cancel )
    {
        d->shutdown = false;
        note_running(d);
    }
    unlock_world();
    return d ? 0 : ERROR_DOMAIN_NOTFOUND;
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid,
                         const libxl_asyncop_how *how)
{
    struct host_domain *d;

    (void)how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_domid(domid);
    if ( d )
        remove_domain(d);
    unlock_world();
    return d ? 0 : ERROR_DOMAIN_NOTFOUND;
}

/* ---- The long calls ---------------------------------------------------------------------- */

static void guest_suspends(void)
{
    struct host_domain *d;

    lock_world();
    d = find_by_domid(fake_domid);
    if ( d )
    {
        d->shutdown = true;
        d->reason = LIBXL_SHUTDOWN_REASON_SUSPEND;
    }
    unlock_world();
}

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
                         const libxl_asyncop_how *how)
{
    int rc;

    (void)flags;
    (void)how;
    fake_domid = domid;
    fake_suspends = guest_suspends;
    rc = find_by_domid(domid) ? suspend(domid, fd) : ERROR_DOMAIN_NOTFOUND;
    if ( rc )
        complain(ctx, "libxl_domain_suspend has failed");
    return rc;
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *config,
                                uint32_t *domid_r, int fd, int back_fd,
                                const libxl_domain_restore_params *params,
                                const libxl_asyncop_how *how,
                                const libxl_asyncprogress_how *console_how)
{
    struct host_domain *d;
    int rc;

    (void)back_fd;
    (void)params;
    (void)how;
    (void)console_how;
    lock_world();
    d = add_domain(here, config->c_info.name,
                   libxl_uuid_bytearray(&config->c_info.uuid));
    fake_domid = d->domid;
    unlock_world();
    rc = create(domid_r, fd);
    if ( !rc )
        return 0;
    complain(ctx, "libxl_domain_create_restore has failed");
    lock_world();
    remove_domain(d);
    unlock_world();
    return rc;
}

/* ---- Configurations ------------------------------------------------------------------------ */

static void fill_config(libxl_domain_config *config, const char *name,
                        const uint8_t uuid[16])
{
    config->c_info.type = LIBXL_DOMAIN_TYPE_PVH;
    free(config->c_info.name);
    config->c_info.name = strdup(name);
    memcpy(libxl_uuid_bytearray(&config->c_info.uuid), uuid, 16);
    libxl_domain_build_info_init_type(&config->b_info, LIBXL_DOMAIN_TYPE_PVH);
    config->on_poweroff = config->on_reboot = config->on_crash =
        config->on_watchdog = config->on_soft_reset =
            (libxl_action_on_shutdown)me()->action;
}

int libxl_retrieve_domain_configuration(libxl_ctx *ctx, uint32_t domid,
                                        libxl_domain_config *config,
                                        const libxl_asyncop_how *how)
{
    struct host_domain d = { .domid = 0 };

    (void)how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    if ( find_by_domid(domid) )
        d = *find_by_domid(domid);
    unlock_world();
    if ( !d.domid )
        return ERROR_DOMAIN_NOTFOUND;
    fill_config(config, d.name, d.uuid);
    return 0;
}

char *libxl_domain_config_to_json(libxl_ctx *ctx, libxl_domain_config *config)
{
    char *text = NULL;

    if ( fails(ctx, __func__) ||
         asprintf(&text, "{ \"name\": \"%s\" }\n", config->c_info.name) < 0 )
        return NULL;
    return text;
}

int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *config,
                                  const char *text)
{
    char name[80];
    uint8_t uuid[16];

    FAIL_IF_TOLD(ctx);
    if ( sscanf(text, "{ \"name\": \"%79[^\"]\" }", name) != 1 )
        return ERROR_INVAL;
    guest_uuid(uuid);
    fill_config(config, name, uuid);
    return 0;
}

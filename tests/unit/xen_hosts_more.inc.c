/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts_more.inc.c: more of a host's libxl: its memory, network cards, xl's
 * own settings, and the events of domains that a monitor waits for.  Included
 * after xen_hosts_libxl.inc.c.
 */
#include <libxl_event.h>

/* ---- Memory --------------------------------------------------------------------------- */

#define NEED_KB UINT64_C(1024)

const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx)
{
    (void)ctx;
    return NULL;
}

int libxl_domain_need_memory(libxl_ctx *ctx, libxl_domain_config *config,
                             uint32_t domid, uint64_t *need_r)
{
    (void)config;
    (void)domid;
    FAIL_IF_TOLD(ctx);
    *need_r = NEED_KB;
    return 0;
}

int libxl_get_free_memory(libxl_ctx *ctx, uint64_t *kb_r)
{
    FAIL_IF_TOLD(ctx);
    *kb_r = me()->free_kb;
    return 0;
}

int libxl_set_memory_target(libxl_ctx *ctx, uint32_t domid, int64_t kb,
                            int relative, int enforce)
{
    (void)domid;
    (void)kb;
    (void)relative;
    (void)enforce;
    FAIL_IF_TOLD(ctx);
    me()->free_kb += NEED_KB;
    return 0;
}

int libxl_wait_for_free_memory(libxl_ctx *ctx, uint32_t domid, uint64_t kb,
                               int wait_s)
{
    (void)domid;
    (void)wait_s;
    FAIL_IF_TOLD(ctx);
    return me()->free_kb < kb ? ERROR_NOMEM : 0;
}

int libxl_wait_for_memory_target(libxl_ctx *ctx, uint32_t domid, int wait_s)
{
    (void)domid;
    (void)wait_s;
    FAIL_IF_TOLD(ctx);
    return 0;
}

/* ---- xl.conf ------------------------------------------------------------------------------ */

XLU_Config *xlu_cfg_init(FILE *report, const char *source)
{
    (void)report;
    (void)source;
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    return (XLU_Config *)world;
}

int xlu_cfg_readfile(XLU_Config *cfg, const char *path)
{
    (void)cfg;
    (void)path;
    return 0;
}

int xlu_cfg_get_string(const XLU_Config *cfg, const char *name,
                       const char **value_r, int dont_warn)
{
    static char file[100];

    (void)cfg;
    (void)dont_warn;
    snprintf(file, sizeof(file), "%s/%d.lock", world->dir, here);
    *value_r = strcmp(name, "lockfile") ? "on" : file;
    return 0;
}

void xlu_cfg_destroy(XLU_Config *cfg)
{
    (void)cfg;
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

/* ---- Network cards: one ------------------------------------------------------------------- */

/* It says nothing of a failure but that there are none. */
libxl_device_nic *libxl_device_nic_list(libxl_ctx *ctx, uint32_t domid,
                                        int *num)
{
    libxl_device_nic *nics = calloc(1, sizeof(*nics));

    (void)ctx;
    (void)domid;
    must(nics != NULL);
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    *num = 1;
    return nics;
}

void libxl_device_nic_list_free(libxl_device_nic *list, int num)
{
    (void)num;
    free(list);
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

/* ---- What a monitor does --------------------------------------------------------------- */

int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config,
                            uint32_t *domid_r, const libxl_asyncop_how *how,
                            const libxl_asyncprogress_how *console_how)
{
    (void)how;
    (void)console_how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    *domid_r = add_domain(here, config->c_info.name,
                          libxl_uuid_bytearray(&config->c_info.uuid))
                   ->domid;
    unlock_world();
    return 0;
}

int libxl_domain_soft_reset(libxl_ctx *ctx, libxl_domain_config *config,
                            uint32_t domid, const libxl_asyncop_how *how,
                            const libxl_asyncprogress_how *console_how)
{
    (void)config;
    (void)how;
    (void)console_how;
    FAIL_IF_TOLD(ctx);
    lock_world();
    find_by_domid(domid)->pauses = 1;
    find_by_domid(domid)->shutdown = false;
    unlock_world();
    return 0;
}

int libxl_domain_preserve(libxl_ctx *ctx, uint32_t domid,
                          libxl_domain_create_info *info, const char *suffix,
                          libxl_uuid uuid)
{
    struct host_domain *d;

    FAIL_IF_TOLD(ctx);
    lock_world();
    d = find_by_domid(domid);
    snprintf(d->name, sizeof(d->name), "%s%s", info->name, suffix);
    memcpy(d->uuid, libxl_uuid_bytearray(&uuid), 16);
    unlock_world();
    return 0;
}

int libxl_domain_core_dump(libxl_ctx *ctx, uint32_t domid, const char *file,
                           const libxl_asyncop_how *how)
{
    (void)domid;
    (void)file;
    (void)how;
    FAIL_IF_TOLD(ctx);
    return 0;
}

/* ---- Events ------------------------------------------------------------------------------- */

static uint32_t watched; /* domain, of this process */

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid,
                                libxl_ev_user user,
                                libxl_evgen_domain_death **evgen_r)
{
    (void)user;
    FAIL_IF_TOLD(ctx);
    watched = domid;
    *evgen_r = (libxl_evgen_domain_death *)&watched;
    atomic_fetch_add(&me()->watchers, 1);
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    return 0;
}

void libxl_evdisable_domain_death(libxl_ctx *ctx,
                                  libxl_evgen_domain_death *evgen)
{
    (void)ctx;
    (void)evgen;
    atomic_fetch_sub(&me()->watchers, 1);
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

/* 0: nothing has happened to it. */
static libxl_event_type look_at_watched(uint8_t *reason_r)
{
    const struct host_domain *d;
    libxl_event_type type = (libxl_event_type)0;

    lock_world();
    d = find_by_domid(watched);
    if ( !d || atomic_load(&world->over) )
        type = LIBXL_EVENT_TYPE_DOMAIN_DEATH;
    else if ( d->shutdown )
        type = LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN;
    if ( d )
        *reason_r = (uint8_t)d->reason;
    unlock_world();
    return type;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                     libxl_event_predicate *predicate, void *user)
{
    libxl_event *event;
    libxl_event_type type;
    uint8_t reason = 0;

    (void)typemask;
    (void)predicate;
    (void)user;
    FAIL_IF_TOLD(ctx);
    while ( !(type = look_at_watched(&reason)) )
        usleep(1000);
    event = calloc(1, sizeof(*event));
    must(event != NULL);
    libxl_event_init_type(event, type);
    event->domid = watched;
    event->type = type;
    if ( type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN )
        event->u.domain_shutdown.shutdown_reason = reason;
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    *event_r = event;
    return 0;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx;
    free(event);
    __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

int libxl_create_logfile(libxl_ctx *ctx, const char *name, char **file_r)
{
    FAIL_IF_TOLD(ctx);
    return asprintf(file_r, "%s/%d.%s.log", world->dir, here, name) < 0
               ? ERROR_NOMEM
               : 0;
}

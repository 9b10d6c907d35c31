/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts_hv.inc.c: the guest's memory on either host.  It is the domain's,
 * so it is there when a process that served it is not.  Included after
 * xen_hosts_libxl.inc.c.
 */

/* The arrays of a guest of its own become the host's. */
static void adopt_memory(struct fake_guest *g, bool known)
{
    struct host *h = me();

    if ( !known )
    {
        memcpy(h->memory, g->memory, sizeof(h->memory));
        memcpy(h->types, g->types, sizeof(h->types));
        memset(h->missing, 0, sizeof(h->missing));
        memset(h->populated, 0, sizeof(h->populated));
    }
    free(g->memory);
    free(g->types);
    free(g->missing);
    free(g->populated);
    free(g->present_at_start);
    g->memory = h->memory;
    g->types = h->types;
    g->missing = h->missing;
    g->populated = h->populated;
    g->present_at_start = h->present;
    h->has_guest = true;
}

static void hosts_close(struct xc_sr_hv *hv)
{
    (void)hv;
    close(guest.event_fd);
    close(guest.gone_fd);
}

/* ---- It leaves --------------------------------------------------------------------- */

int xc_sr_hv_open_xen_source(uint32_t domid,
                             const struct xc_sr_xen_source_hooks *hooks,
                             const struct xc_sr_log *log,
                             struct xc_sr_hv **hv_r)
{
    (void)log;
    if ( !find_by_domid(domid) )
        return -ESRCH;
    fake_guest_init(&guest, HOST_PFNS, true);
    adopt_memory(&guest, me()->has_guest);
    guest.dirty_per_fetch = 3;
    /* Without hooks it is suspended already. */
    guest.suspended = !hooks->suspend_start;
    source_hooks = *hooks;
    take_hold(hv_r);
    hooked_ops.close = hosts_close;
    if ( guest.suspended )
    {
        hooked_ops.dirty_on = fake_dirty_on;
        hooked_ops.dirty_off = fake_dirty_off;
    }
    return 0;
}

/* ---- It arrives --------------------------------------------------------------------- */

static uint32_t arriving; /* its domain */

static void set_paused(bool paused)
{
    lock_world();
    set_pauses(find_by_domid(arriving), paused);
    unlock_world();
}

static int hosts_pause(struct xc_sr_hv *hv)
{
    set_paused(true);
    return fake_pause(hv);
}

/* libxl's at first, without which it is the hypervisor that is asked. */
static int hosts_unpause(struct xc_sr_hv *hv, bool leave_paused)
{
    bool asks_libxl = destination_hooks.unpause && !guest.paused;
    int rc = asks_libxl ? hooked_unpause(hv, leave_paused)
                        : fake_unpause(hv, leave_paused);

    if ( !rc && !asks_libxl && !leave_paused )
        set_paused(false);
    return rc;
}

static int hosts_static_data_done(struct xc_sr_hv *hv)
{
    return destination_hooks.static_data_done ? hooked_static_data_done(hv)
                                              : fake_static_data_done(hv);
}

static int hosts_page_in(struct xc_sr_hv *hv, const uint64_t *pfns,
                         unsigned int nr, const void *contents, int *errs_r)
{
    if ( is_running(THERE) && world->plan == KILL_RUNNING )
        die();
    if ( is_running(THERE) && world->plan == CUT_RUNNING )
    {
        world->plan = NO_PLAN;
        kill(world->carrier, SIGKILL);
    }
    return fake_page_in(hv, pfns, nr, contents, errs_r);
}

int xc_sr_hv_open_xen_destination(
    uint32_t domid, const struct xc_sr_xen_destination_params *params,
    const struct xc_sr_log *log, struct xc_sr_hv **hv_r)
{
    (void)log;
    if ( !find_by_domid(domid) )
        return -ESRCH;
    fake_guest_init(&guest, HOST_PFNS, false);
    adopt_memory(&guest, params->take_over);
    guest.faults_wanted = 3;
    destination_hooks = *params;
    arriving = domid;
    take_hold(hv_r);
    hooked_ops.close = hosts_close;
    hooked_ops.pause = hosts_pause;
    hooked_ops.unpause = hosts_unpause;
    hooked_ops.page_in = hosts_page_in;
    hooked_ops.static_data_done = hosts_static_data_done;
    if ( params->take_over )
    {
        guest.paging = guest.unpaused = guest.state_done = true;
        guest.paused = true;
        set_paused(true);
    }
    return 0;
}

int xc_sr_hv_xen_results(struct xc_sr_hv *hv, uint64_t *store_gfn_r,
                         uint64_t *console_gfn_r)
{
    (void)hv;
    *store_gfn_r = 0xfeffc;
    *console_gfn_r = 0xfefff;
    return 0;
}

int xc_sr_xen_check(uint32_t domid, const struct xc_sr_log *log,
                    struct xc_sr_xen_report *report_r)
{
    (void)log;
    if ( domid != XC_SR_XEN_NO_DOMAIN && !find_by_domid(domid) )
        return -ESRCH;
    *report_r = (struct xc_sr_xen_report){ .xen_major = 4,
                                           .xen_minor = 17,
                                           .paging_built = true,
                                           .free_kib = me()->free_kb };
    return 0;
}

/* ---- What a test asks --------------------------------------------------------------- */

/* All that the guest left here is there. */
static bool is_whole_there(void)
{
    const struct host *from = &world->hosts[HERE], *to = &world->hosts[THERE];

    for ( unsigned int pfn = 0; pfn < HOST_PFNS; pfn++ )
    {
        size_t at = pfn * XC_SR_PAGE_SIZE;

        if ( to->missing[pfn] ||
             (xc_sr__ptype_has_data(from->types[pfn]) &&
              memcmp(from->memory + at, to->memory + at, XC_SR_PAGE_SIZE)) )
            return false;
    }
    return true;
}

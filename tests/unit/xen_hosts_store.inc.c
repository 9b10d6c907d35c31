/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xen_hosts_store.inc.c: a host's xenstore, for any number of processes, as
 * much of it as xl and libxlpostcopy use; transactions take effect at once.
 * Included after xen_hosts.inc.c; comes before libxenstore.
 */
#include <xenstore.h>

static bool store_fails(const char *name)
{
    errno = EIO;
    return is_refused(XENSTORE, name);
}

/* With the lock held. */
static struct host_node *find_node(const char *path)
{
    for ( unsigned int i = 0; i < HOST_NODES; i++ )
        if ( !strcmp(me()->nodes[i].path, path) )
            return &me()->nodes[i];
    return NULL;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    if ( store_fails("xs_open") )
        return NULL;
    __atomic_add_fetch(&objects, 1, __ATOMIC_SEQ_CST);
    return (struct xs_handle *)world;
}

void xs_close(struct xs_handle *xsh)
{
    if ( xsh )
        __atomic_sub_fetch(&objects, 1, __ATOMIC_SEQ_CST);
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    (void)h;
    return store_fails("xs_transaction_start") ? XBT_NULL : 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    (void)h;
    (void)t;
    (void)abort;
    return !store_fails("xs_transaction_end");
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
              unsigned int *len)
{
    const struct host_node *node;
    char *value = NULL;

    (void)h;
    (void)t;
    if ( store_fails("xs_read") )
        return NULL;
    lock_world();
    node = find_node(path);
    if ( node )
        value = strdup(node->value);
    unlock_world();
    errno = ENOENT;
    if ( value && len )
        *len = (unsigned int)strlen(value);
    return value;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
              const void *data, unsigned int len)
{
    struct host_node *node;

    (void)h;
    (void)t;
    if ( store_fails("xs_write") )
        return false;
    lock_world();
    node = find_node(path);
    if ( !node )
        node = find_node("");
    if ( node )
    {
        snprintf(node->path, sizeof(node->path), "%s", path);
        snprintf(node->value, sizeof(node->value), "%.*s", (int)len,
                 (const char *)data);
    }
    unlock_world();
    errno = ENOSPC;
    return node != NULL;
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return !strncmp(path, dir, len) && (!path[len] || path[len] == '/');
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    (void)h;
    (void)t;
    if ( store_fails("xs_rm") )
        return false;
    lock_world();
    for ( unsigned int i = 0; i < HOST_NODES; i++ )
        if ( is_below(me()->nodes[i].path, path) )
            me()->nodes[i].path[0] = '\0';
    unlock_world();
    return true;
}

/* The first name below dir in path, if there is one; its length. */
static size_t child_of(const char *path, const char *dir, const char **name_r)
{
    size_t len = strlen(dir);

    if ( !is_below(path, dir) || !path[len] )
        return 0;
    *name_r = path + len + 1;
    return strcspn(*name_r, "/");
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path,
                    unsigned int *num)
{
    char **names = calloc(HOST_NODES + 1, sizeof(*names) + 80);
    char *text = (char *)(names + HOST_NODES + 1);
    unsigned int nr = 0;

    (void)h;
    (void)t;
    *num = 0;
    if ( !names || store_fails("xs_directory") )
    {
        free(names);
        return NULL;
    }
    lock_world();
    for ( unsigned int i = 0; i < HOST_NODES; i++ )
    {
        const char *name;
        size_t len = child_of(me()->nodes[i].path, path, &name);
        bool known = !len || len >= 80;

        for ( unsigned int k = 0; !known && k < nr; k++ )
            known = !strncmp(names[k], name, len) && !names[k][len];
        if ( known )
            continue;
        names[nr] = memcpy(text + 80 * nr, name, len);
        nr++;
    }
    unlock_world();
    *num = nr;
    errno = ENOENT;
    if ( nr || !strcmp(path, "/") )
        return names;
    free(names);
    return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_config.h: the configuration of a local guest as it travels in the xl
 * header: {"local_guest": {"name": ..., "memory_kib": ..., ...}}.
 */
#ifndef XL_CONFIG_H
#define XL_CONFIG_H

#include "xenpostcopy_local.h"

/* True for what the local backend takes as a guest's name; a name becomes part
 * of file names, so everything that reads one asks here first. */
bool xl_name_is_valid(const char *name);

/* *text_r is malloc'd, NUL-terminated and the caller's. */
int xl_config_to_json(const struct xc_sr_local_config *config, char **text_r,
                      size_t *len_r);

/*
 * The opposite.  Members that are missing get their default, except for name,
 * memory_kib and vcpus; unknown ones are passed over.  -EINVAL and a line in
 * why if it is not a configuration.
 */
int xl_config_from_json(const char *text, size_t len,
                        struct xc_sr_local_config *config_r, char *why,
                        size_t why_len);

#endif /* XL_CONFIG_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_json.h: JSON in and out, on yajl.
 *
 * The writer remembers its first failure, so a caller adds what it has and
 * asks once at the end.  The reader bounds what it takes: text comes from
 * files and peers.
 */
#ifndef XL_JSON_H
#define XL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

/* Deeper nesting than any text of ours; yajl's tree is built recursively. */
#define XL_JSON_MAX_DEPTH 16u

struct xl_json
{
    yajl_gen gen;
    int error; /* 0 or the first -errno */
};

/* A zeroed struct is safe to dispose. */
int xl_json_init(struct xl_json *j, bool pretty);
void xl_json_dispose(struct xl_json *j);

/* key NULL: an array's element or the outermost value. */
void xl_json_open_map(struct xl_json *j, const char *key);
void xl_json_close_map(struct xl_json *j);
void xl_json_open_array(struct xl_json *j, const char *key);
void xl_json_close_array(struct xl_json *j);
void xl_json_u64(struct xl_json *j, const char *key, uint64_t value);
void xl_json_i64(struct xl_json *j, const char *key, int64_t value);
void xl_json_bool(struct xl_json *j, const char *key, bool value);
void xl_json_null(struct xl_json *j, const char *key);
/* text NULL: null.  Octets that are not UTF-8 become '?'. */
void xl_json_string(struct xl_json *j, const char *key, const char *text);

/* The text so far, without a final newline; it lives as long as j. */
int xl_json_text(struct xl_json *j, const char **text_r, size_t *len_r);

/* The text and a newline, flushed. */
int xl_json_print(struct xl_json *j, FILE *out);

/*
 * Parses len octets into a tree (yajl_tree_free()).  why, of why_len octets,
 * gets a line for people on failure: -EINVAL not JSON, nested too deep or
 * with a NUL in it, -ENOMEM.
 */
int xl_json_parse(const char *text, size_t len, yajl_val *tree_r, char *why,
                  size_t why_len);

/*
 * Member `key` of map.  -ENOENT: there is none, or it is null; -EINVAL: it is
 * something else or does not fit.
 */
int xl_json_get_u64(yajl_val map, const char *key, uint64_t max, uint64_t *v_r);
int xl_json_get_bool(yajl_val map, const char *key, bool *v_r);
/* At most len - 1 octets, none of them a control character. */
int xl_json_get_string(yajl_val map, const char *key, char *buf_r, size_t len);
int xl_json_get_map(yajl_val map, const char *key, yajl_val *map_r);

#endif /* XL_JSON_H */

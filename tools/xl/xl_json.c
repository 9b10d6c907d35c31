/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_json.c: see xl_json.h.  Used for a domain's configuration, the journal,
 * progress lines, statistics and status answers; knows none of them.
 */
#include "xl_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int xl_json_init(struct xl_json *j, bool pretty)
{
    j->error = 0;
    j->gen = yajl_gen_alloc(NULL);
    if ( !j->gen )
        return -ENOMEM;
    yajl_gen_config(j->gen, yajl_gen_beautify, pretty ? 1 : 0);
    yajl_gen_config(j->gen, yajl_gen_indent_string, "  ");
    return 0;
}

void xl_json_dispose(struct xl_json *j)
{
    if ( j->gen )
        yajl_gen_free(j->gen);
    j->gen = NULL;
}

static void note(struct xl_json *j, yajl_gen_status status)
{
    if ( status != yajl_gen_status_ok &&
         status != yajl_gen_generation_complete && !j->error )
        j->error = -ENOMEM;
}

static void put_text(struct xl_json *j, const char *text)
{
    note(j, yajl_gen_string(j->gen, (const unsigned char *)text, strlen(text)));
}

static void put_key(struct xl_json *j, const char *key)
{
    if ( key )
        put_text(j, key);
}

void xl_json_open_map(struct xl_json *j, const char *key)
{
    put_key(j, key);
    note(j, yajl_gen_map_open(j->gen));
}

void xl_json_close_map(struct xl_json *j)
{
    note(j, yajl_gen_map_close(j->gen));
}

void xl_json_open_array(struct xl_json *j, const char *key)
{
    put_key(j, key);
    note(j, yajl_gen_array_open(j->gen));
}

void xl_json_close_array(struct xl_json *j)
{
    note(j, yajl_gen_array_close(j->gen));
}

void xl_json_i64(struct xl_json *j, const char *key, int64_t value)
{
    put_key(j, key);
    note(j, yajl_gen_integer(j->gen, value));
}

void xl_json_u64(struct xl_json *j, const char *key, uint64_t value)
{
    /* JSON readers, yajl among them, hold integers in 64 signed bits. */
    xl_json_i64(j, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void xl_json_bool(struct xl_json *j, const char *key, bool value)
{
    put_key(j, key);
    note(j, yajl_gen_bool(j->gen, value));
}

void xl_json_null(struct xl_json *j, const char *key)
{
    put_key(j, key);
    note(j, yajl_gen_null(j->gen));
}

/* Length of the UTF-8 sequence at p, 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p)
{
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xc2 ? 0
                 : p[0] < 0xe0 ? 2
                 : p[0] < 0xf0 ? 3
                 : p[0] < 0xf5 ? 4
                               : 0;
    size_t i;

    for ( i = 1; i < len; i++ )
        if ( (p[i] & 0xc0) != 0x80 )
            return 0;
    return len;
}

void xl_json_string(struct xl_json *j, const char *key, const char *text)
{
    char *copy;
    size_t i;

    if ( !text )
    {
        xl_json_null(j, key);
        return;
    }
    put_key(j, key);
    copy = strdup(text);
    if ( !copy )
    {
        note(j, yajl_gen_in_error_state);
        return;
    }
    for ( i = 0; copy[i]; )
    {
        size_t len = utf8_sequence((const unsigned char *)copy + i);

        if ( !len )
            copy[i] = '?';
        i += len ? len : 1;
    }
    put_text(j, copy);
    free(copy);
}

int xl_json_text(struct xl_json *j, const char **text_r, size_t *len_r)
{
    const unsigned char *text;

    if ( j->error )
        return j->error;
    if ( yajl_gen_get_buf(j->gen, &text, len_r) != yajl_gen_status_ok )
        return -ENOMEM;
    *text_r = (const char *)text;
    /* A pretty text brings its own newline; lines of ours never do. */
    while ( *len_r && text[*len_r - 1] == '\n' )
        --*len_r;
    return 0;
}

int xl_json_print(struct xl_json *j, FILE *out)
{
    const char *text;
    size_t len;
    int rc = xl_json_text(j, &text, &len);

    if ( rc )
        return rc;
    if ( fwrite(text, 1, len, out) != len || fputc('\n', out) == EOF ||
         fflush(out) )
        return errno ? -errno : -EIO;
    return 0;
}

/*
 * Looks over the text before the recursive parser sees it: brackets outside
 * strings, and NULs in strings, which yajl's tree would end them at.  NULL, or
 * what is wrong.
 */
static const char *find_unfit(const char *text, size_t len)
{
    unsigned int depth = 0;
    bool in_string = false;
    size_t i;

    if ( memchr(text, 0, len) )
        return "a NUL in the text";
    for ( i = 0; i < len; i++ )
    {
        if ( in_string && text[i] == '\\' )
        {
            if ( len - i >= 6 && !memcmp(text + i + 1, "u0000", 5) )
                return "a NUL in a string";
            i++;
        }
        else if ( text[i] == '"' )
            in_string = !in_string;
        else if ( !in_string && (text[i] == '{' || text[i] == '[') &&
                  ++depth > XL_JSON_MAX_DEPTH )
            return "nested too deep";
        else if ( !in_string && (text[i] == '}' || text[i] == ']') && depth )
            depth--;
    }
    return NULL;
}

int xl_json_parse(const char *text, size_t len, yajl_val *tree_r, char *why,
                  size_t why_len)
{
    const char *unfit = find_unfit(text, len);
    char error[128] = "";
    char *copy;
    yajl_val tree;

    if ( unfit )
    {
        snprintf(why, why_len, "%s", unfit);
        return -EINVAL;
    }
    copy = strndup(text, len);
    if ( !copy )
        return -ENOMEM;
    tree = yajl_tree_parse(copy, error, sizeof(error));
    free(copy);
    if ( !tree )
    {
        /* yajl's explanation is several lines: the first one will do. */
        error[strcspn(error, "\n")] = '\0';
        snprintf(why, why_len, "%s", *error ? error : "it is empty");
        return -EINVAL;
    }
    *tree_r = tree;
    return 0;
}

/* The member itself; -ENOENT without one.  Of two of a name the first. */
static int find(yajl_val map, const char *key, yajl_val *v_r)
{
    size_t i;

    if ( !YAJL_IS_OBJECT(map) )
        return -EINVAL;
    for ( i = 0; i < map->u.object.len; i++ )
    {
        if ( strcmp(map->u.object.keys[i], key) )
            continue;
        if ( YAJL_IS_NULL(map->u.object.values[i]) )
            return -ENOENT;
        *v_r = map->u.object.values[i];
        return 0;
    }
    return -ENOENT;
}

int xl_json_get_u64(yajl_val map, const char *key, uint64_t max, uint64_t *v_r)
{
    yajl_val v;
    int rc = find(map, key, &v);

    if ( rc )
        return rc;
    if ( !YAJL_IS_INTEGER(v) || YAJL_GET_INTEGER(v) < 0 ||
         (uint64_t)YAJL_GET_INTEGER(v) > max )
        return -EINVAL;
    *v_r = (uint64_t)YAJL_GET_INTEGER(v);
    return 0;
}

int xl_json_get_bool(yajl_val map, const char *key, bool *v_r)
{
    yajl_val v;
    int rc = find(map, key, &v);

    if ( rc )
        return rc;
    if ( !YAJL_IS_TRUE(v) && !YAJL_IS_FALSE(v) )
        return -EINVAL;
    *v_r = YAJL_IS_TRUE(v);
    return 0;
}

int xl_json_get_string(yajl_val map, const char *key, char *buf_r, size_t len)
{
    const char *text, *p;
    yajl_val v;
    int rc = find(map, key, &v);

    if ( rc )
        return rc;
    if ( !YAJL_IS_STRING(v) )
        return -EINVAL;
    text = YAJL_GET_STRING(v);
    if ( strlen(text) >= len )
        return -EINVAL;
    for ( p = text; *p; p++ )
        if ( (unsigned char)*p < 0x20 || *p == 0x7f )
            return -EINVAL;
    memcpy(buf_r, text, strlen(text) + 1);
    return 0;
}

int xl_json_get_map(yajl_val map, const char *key, yajl_val *map_r)
{
    yajl_val v;
    int rc = find(map, key, &v);

    if ( rc )
        return rc;
    if ( !YAJL_IS_OBJECT(v) )
        return -EINVAL;
    *map_r = v;
    return 0;
}

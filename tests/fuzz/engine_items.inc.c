/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * engine_items.inc.c: the input of fuzz_engine.c as a list of items, what it
 * starts from, and how it is mutated.  Part of fuzz_engine.c.
 *
 * An item is mostly one record: its stage, its length (u16), its octets.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "../unit/codec_kit.h"

#define MAX_ITEMS  40u
#define ITEM_HEAD  3u
#define MAX_OCTETS 60000u

#define MUST(cond)                                                             \
    do                                                                         \
    {                                                                          \
        if ( !(cond) )                                                         \
            abort();                                                           \
    } while ( 0 )

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed);

struct item
{
    uint8_t stage;
    uint16_t len;
    const uint8_t *data;
};

struct items
{
    struct item item[MAX_ITEMS];
    unsigned int nr;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char max_len[] = "-max_len=60000";
    static char *args[64];
    int n = *argc;

    signal(SIGPIPE, SIG_IGN);
    if ( n > 0 && n < 60 )
    {
        memcpy(args, *argv, (size_t)n * sizeof(args[0]));
        memmove(args + 2, args + 1, (size_t)(n - 1) * sizeof(args[0]));
        args[1] = max_len;
        *argv = args;
        *argc = n + 1;
    }
    return 0;
}

static void items_parse(struct items *list, const uint8_t *p, size_t len)
{
    list->nr = 0;
    while ( list->nr < MAX_ITEMS && len > ITEM_HEAD )
    {
        struct item it = {
            .stage = p[0] & 7,
            .len = (uint16_t)(p[1] | p[2] << 8),
            .data = p + ITEM_HEAD,
        };

        if ( it.len > len - ITEM_HEAD )
            it.len = (uint16_t)(len - ITEM_HEAD);
        list->item[list->nr++] = it;
        p += ITEM_HEAD + it.len;
        len -= ITEM_HEAD + it.len;
    }
}

/* *out may hold what the items point to: they are gathered elsewhere. */
static size_t items_store(const struct items *list, uint8_t *out, size_t cap)
{
    static uint8_t buf[MAX_OCTETS];
    size_t at = 0;

    for ( unsigned int i = 0; i < list->nr; i++ )
    {
        const struct item *it = &list->item[i];

        if ( at + ITEM_HEAD + it->len > sizeof(buf) ||
             at + ITEM_HEAD + it->len > cap )
            break;
        buf[at] = it->stage;
        buf[at + 1] = (uint8_t)it->len;
        buf[at + 2] = (uint8_t)(it->len >> 8);
        memcpy(buf + at + ITEM_HEAD, it->data, it->len);
        at += ITEM_HEAD + it->len;
    }
    memcpy(out, buf, at);
    return at;
}

/* ---- Golden starts ------------------------------------------------------------ */

/* When a record is due, so that a well-behaved run comes to its end. */
static uint8_t stage_of(const struct kit_stream *s, int rec, uint8_t before)
{
    if ( s->head == KIT_HEAD_RESUMING )
        return 3;
    switch ( rec )
    {
    case XC_SR_REC_POSTCOPY_COMMIT:
    case XC_SR_REC_POSTCOPY_PREPARED:
        return 1;
    case XC_SR_REC_POSTCOPY_RUNNING:
        return 2;
    case XC_SR_REC_POSTCOPY_FAULT:
    case XC_SR_REC_POSTCOPY_NAK:
        return before ? before : 1;
    case XC_SR_REC_END:
    case XC_SR_REC_POSTCOPY_COMPLETE:
        return 2;
    default:
        return before;
    }
}

/* The octets of a stream, kept in w, cut at its records. */
static void add_stream(struct items *list, const struct kit_stream *s,
                       struct xc_sr_writer *w)
{
    struct kit_index index;
    uint8_t stage = 0;

    kit_build(s, w, &index);
    if ( index.nr && index.at[0] && list->nr < MAX_ITEMS )
        list->item[list->nr++] =
            (struct item){ 0, (uint16_t)index.at[0], w->buf };
    for ( unsigned int i = 0, r = 0; i < index.nr && list->nr < MAX_ITEMS;
          i++, r++ )
    {
        size_t end = i + 1 < index.nr ? index.at[i + 1] : w->len;

        while ( s->records[r] == KIT_UPPER )
            r++;
        stage = stage_of(s, s->records[r], stage);
        list->item[list->nr++] =
            (struct item){ stage, (uint16_t)(end - index.at[i]),
                           w->buf + index.at[i] };
    }
}

static size_t golden(uint8_t *data, size_t cap, unsigned int seed)
{
    static const char *const forward[] = { "postcopy-3", "original-2",
                                           "aborted-3", "stock-3-hvm" };
    static const char *const backward[] = { "back-3", "back-2", "back-nak-3",
                                            "back-3" };
    bool receiver = seed & 1;
    const char *name =
        receiver ? forward[seed >> 1 & 3] : backward[seed >> 1 & 3];
    struct xc_sr_writer w, again;
    struct items list = { .nr = 0 };
    size_t len;

    add_stream(&list, kit_find(name), &w);
    add_stream(&list, kit_find(receiver ? "resumed-3" : "back-recover-3"),
               &again);
    data[0] =
        (uint8_t)(receiver | (seed >> 3 & 1) << 1 |
                  (!strcmp(name, "back-2") ? 8 : 0) | (seed >> 4 & 3) << 4);
    len = 1 + items_store(&list, data + 1, cap - 1);
    xc_sr__writer_dispose(&w);
    xc_sr__writer_dispose(&again);
    return len;
}

/* ---- Mutations ------------------------------------------------------------------- */

/* One record of the table, well-formed, at any place. */
static void insert_record(struct items *list, struct xc_sr_writer *w,
                          unsigned int seed)
{
    unsigned int at = list->nr ? (seed >> 8) % list->nr : 0;

    xc_sr__writer_init(w, 3);
    kit_record(w, (enum xc_sr_rec)(seed % XC_SR_REC_COUNT), seed >> 20 & 1);
    if ( w->error || w->len > 20000 || list->nr == MAX_ITEMS )
        return;
    memmove(&list->item[at + 1], &list->item[at],
            (list->nr - at) * sizeof(list->item[0]));
    list->item[at] = (struct item){ seed >> 16 & 3, (uint16_t)w->len, w->buf };
    list->nr++;
}

/* The fields of one item, not the contents of its pages; its length field is
 * made true again, mostly. */
static void change_fields(struct item *it, uint8_t *copy, unsigned int seed)
{
    size_t len = it->len < 96 ? it->len : 96;

    memcpy(copy, it->data, it->len);
    LLVMFuzzerMutate(copy, len, len);
    if ( seed & 3 && it->len >= 8 )
        memcpy(copy, it->data, 8);
    it->data = copy;
}

static void mutate(struct items *list, struct xc_sr_writer *w, uint8_t *copy,
                   unsigned int seed)
{
    unsigned int a = (seed >> 3) % list->nr, b = (seed >> 11) % list->nr;
    struct item it = list->item[a];

    switch ( seed & 7 )
    {
    case 0:
        insert_record(list, w, seed >> 3);
        break;
    case 1: /* swap */
        list->item[a] = list->item[b];
        list->item[b] = it;
        break;
    case 2: /* once more */
        if ( list->nr < MAX_ITEMS )
            list->item[list->nr++] = it;
        break;
    case 3: /* never */
        memmove(&list->item[a], &list->item[a + 1],
                (list->nr - a - 1) * sizeof(it));
        list->nr--;
        break;
    case 4:
        list->item[a].stage = seed >> 20 & 7;
        break;
    default:
        change_fields(&list->item[a], copy, seed >> 20);
        break;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed)
{
    static uint8_t copy[MAX_OCTETS];
    struct xc_sr_writer w = { 0 };
    struct items list;

    if ( seed % 32 == 0 || size < 2 )
        return max_size < 20000 ? LLVMFuzzerMutate(data, size, max_size)
                                : golden(data, max_size, seed >> 5);
    if ( seed % 32 == 1 )
        data[0] ^= (uint8_t)(1u << (seed >> 5 & 7));
    items_parse(&list, data + 1, size - 1);
    if ( list.nr )
        mutate(&list, &w, copy, seed >> 5);
    size = 1 + items_store(&list, data + 1, max_size - 1);
    xc_sr__writer_dispose(&w);
    return size;
}

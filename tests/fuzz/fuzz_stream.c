/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * fuzz_stream.c: the stream reader on hostile octets, without I/O.
 *
 * The last octet of the input chooses direction, version, whether contents are
 * skipped, and how many octets more the reader is shown at a time; what is
 * before it is the stream, so a golden vector is a good seed.  Whatever it says: the reader uses no more than it was
 * shown, its offset never runs back, its events point into the window, it
 * comes to an end, and a second run in one piece comes to the same end.
 * Example streams are mutated in, so that deep phases are reached early.
 */
#include <stdint.h>

#include "../unit/codec_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed);

#define MUST(cond)                                                             \
    do                                                                         \
    {                                                                          \
        if ( !(cond) )                                                         \
            abort();                                                           \
    } while ( 0 )

struct run
{
    const uint8_t *data;
    size_t len;
    size_t at;
    size_t shown;
    size_t chunk;
    uint64_t events; /* of those that deliver something */
    bool ended;
};

static void init_reader(struct xc_sr_reader *r, uint8_t choice)
{
    switch ( choice & 3 )
    {
    case 1:
        xc_sr__reader_init_resuming(r);
        break;
    case 2:
    case 3:
        xc_sr__reader_init(r, XC_SR_BACK, choice & 3);
        break;
    default:
        xc_sr__reader_init(r, XC_SR_FORWARD, 0);
        break;
    }
    r->skip_contents = choice & 4;
}

static bool inside(const struct run *run, const uint8_t *p, uint64_t len)
{
    const uint8_t *window = run->data + run->at;

    return p >= window && len <= run->shown - run->at &&
           (size_t)(p - window) <= run->shown - run->at - len;
}

static void check_event(const struct run *run, const struct xc_sr_event *ev,
                        unsigned int version)
{
    char text[300];

    if ( ev->kind == XC_SR_EV_RECORD )
    {
        MUST(inside(run, ev->record.body, ev->record.length));
        xc_sr__record_describe(&ev->record, version, text, sizeof(text));
        MUST(memchr(text, '\0', sizeof(text)));
    }
    if ( ev->kind == XC_SR_EV_ENTRIES )
        MUST(ev->count && inside(run, ev->entries, 8 * ev->count));
    if ( ev->kind == XC_SR_EV_CONTENT )
        MUST(ev->count &&
             inside(run, ev->content, XC_SR_PAGE_SIZE * ev->count));
    if ( ev->kind == XC_SR_EV_NEED )
        MUST(ev->need <= 8 + XC_SR_RECORD_MAX);
}

/* What the caller of the reader has to do; false when there is no more. */
static bool after_event(struct run *run, struct xc_sr_reader *r,
                        const struct xc_sr_event *ev)
{
    size_t left = run->len - run->at;
    size_t n;

    switch ( ev->kind )
    {
    case XC_SR_EV_SKIP:
        MUST(ev->need);
        n = ev->need < left ? ev->need : left;
        n = n < run->chunk ? n : run->chunk;
        xc_sr__reader_skipped(r, n);
        run->at += n;
        return n > 0;
    case XC_SR_EV_UPPER:
        n = KIT_UPPER_LEN < left ? KIT_UPPER_LEN : left;
        xc_sr__reader_upper_done(r, n);
        run->at += n;
        return true;
    case XC_SR_EV_NEED:
        MUST(ev->need > run->shown - run->at);
        if ( run->shown == run->len )
            return false;
        n = run->len - run->shown;
        run->shown += run->chunk < n ? run->chunk : n;
        return true;
    case XC_SR_EV_END:
        run->ended = true;
        return false;
    default:
        run->events +=
            ev->kind != XC_SR_EV_ENTRIES && ev->kind != XC_SR_EV_CONTENT;
        return true;
    }
}

static int run_reader(struct run *run, struct xc_sr_reader *r)
{
    uint64_t calls = 0;
    bool more = true;
    int rc;

    while ( more )
    {
        struct xc_sr_event ev;
        uint64_t before = r->offset;
        size_t used;

        MUST(++calls < 16 * (uint64_t)run->len + 64);
        rc = xc_sr__reader_next(r, run->data + run->at, run->shown - run->at,
                                &ev, &used);
        if ( rc )
            return rc;
        MUST(used <= run->shown - run->at && r->offset == before + used);
        check_event(run, &ev, r->version);
        run->at += used;
        more = after_event(run, r, &ev);
        if ( run->shown < run->at )
            run->shown = run->at;
        MUST(r->offset == run->at);
    }
    return run->ended ? 0 : xc_sr__reader_eof(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xc_sr_reader pieces, whole;
    struct run a, b;
    uint8_t choice;
    char text[400];
    int rc;

    if ( !size )
        return 0;
    a = (struct run){ .data = data, .len = size - 1 };
    choice = data[a.len];
    a.chunk = (size_t)1 << (choice >> 3 & 15);
    b = a;
    b.chunk = b.shown = b.len;
    b.chunk += 1;

    init_reader(&pieces, choice);
    rc = run_reader(&a, &pieces);
    init_reader(&whole, choice);
    MUST(rc == run_reader(&b, &whole));
    MUST(a.events == b.events && a.ended == b.ended);
    if ( rc )
    {
        MUST(pieces.fault.offset == whole.fault.offset);
        MUST(!strcmp(pieces.fault.field, whole.fault.field));
        MUST(xc_sr__fault_text(&pieces.fault, text, sizeof(text))[0]);
    }
    return 0;
}

/* Now and then a well-formed stream takes the input's place. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned int seed)
{
    const struct kit_stream *s = &kit_streams[seed / 64 % KIT_NR_STREAMS];
    struct kit_index index;
    struct xc_sr_writer w;

    if ( seed % 64 )
        return LLVMFuzzerMutate(data, size, max_size);
    kit_build(s, &w, &index);
    if ( w.len < max_size )
    {
        uint8_t choice = s->direction == XC_SR_BACK     ? (uint8_t)s->version
                         : s->head == KIT_HEAD_RESUMING ? 1
                                                        : 0;

        memcpy(data, w.buf, w.len);
        data[w.len] = choice | (uint8_t)(seed >> 13 & 0x7c);
        size = w.len + 1;
    }
    xc_sr__writer_dispose(&w);
    return size;
}

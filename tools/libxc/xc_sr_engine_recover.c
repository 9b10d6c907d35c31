/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_engine_recover.c: who says what on a new connection, as a function of
 * what both sides have recorded.  Pure: the sender acts on the answer
 * (xc_sr_save_recover.c), the destination's half is to say its record
 * (xc_sr_restore_recover.c).
 *
 * Spec: docs/specs/libxc-migration-stream.pandoc, "Recovery".
 */
#include "xc_sr_engine_recover.h"

static enum xc_sr_answer answer_committed(uint32_t destination)
{
    switch ( destination )
    {
    case XC_SR_RECOVER_PREP:
        return XC_SR_ANSWER_COMMIT;
    case XC_SR_RECOVER_OWNER:
        return XC_SR_ANSWER_GO;
    case XC_SR_RECOVER_FENCED:
        return XC_SR_ANSWER_RESUME_HERE;
    case XC_SR_RECOVER_FINISHED:
        return XC_SR_ANSWER_DONE;
    default: /* LOST, none: pages are gone, or all trace of the guest */
        return XC_SR_ANSWER_PARK;
    }
}

/* The guest runs here, or is about to: nobody else may. */
static enum xc_sr_answer answer_resumed(uint32_t destination)
{
    switch ( destination )
    {
    case XC_SR_RECOVER_PREP:
        return XC_SR_ANSWER_ABORTED;
    case XC_SR_RECOVER_OWNER:
    case XC_SR_RECOVER_FINISHED:
        return XC_SR_ANSWER_IMPOSSIBLE;
    default:
        return XC_SR_ANSWER_END;
    }
}

enum xc_sr_answer xc_sr__recover_answer(enum xc_sr_owner source,
                                        uint32_t destination)
{
    switch ( (int)source )
    {
    case XC_SR_OWNER_COMMITTED:
        return answer_committed(destination);
    case XC_SR_OWNER_NONE: /* has aborted first, so: as RESUMED */
    case XC_SR_OWNER_RESUMED:
        return answer_resumed(destination);
    case XC_SR_OWNER_DONE:
        return destination == XC_SR_RECOVER_FINISHED ||
                       destination == XC_SR_RECOVER_LOST ||
                       destination == XC_SR_RECOVER_NONE
                   ? XC_SR_ANSWER_END
                   : XC_SR_ANSWER_IMPOSSIBLE;
    default:
        return XC_SR_ANSWER_IMPOSSIBLE;
    }
}

static const struct
{
    enum xc_sr_owner owner;
    uint32_t record;
} records[] = {
    { XC_SR_OWNER_NONE, XC_SR_RECOVER_NONE },
    { XC_SR_OWNER_PREP, XC_SR_RECOVER_PREP },
    { XC_SR_OWNER_OWNER, XC_SR_RECOVER_OWNER },
    { XC_SR_OWNER_FENCED, XC_SR_RECOVER_FENCED },
    { XC_SR_OWNER_FINISHED, XC_SR_RECOVER_FINISHED },
    { XC_SR_OWNER_LOST, XC_SR_RECOVER_LOST },
    /* The source need not know more: its copy may go. */
    { XC_SR_OWNER_ENDED, XC_SR_RECOVER_FINISHED },
};

uint32_t xc_sr__recover_record(enum xc_sr_owner owner)
{
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(records); i++ )
        if ( records[i].owner == owner )
            return records[i].record;
    return XC_SR_RECOVER_NONE;
}

enum xc_sr_owner xc_sr__recover_owner(uint32_t record)
{
    for ( size_t i = 0; i < XC_SR_ARRAY_SIZE(records); i++ )
        if ( records[i].record == record )
            return records[i].owner;
    return XC_SR_OWNER_NONE;
}

uint64_t xc_sr__keepalive_every_us(uint64_t silence_timeout_us)
{
    uint64_t every_us = silence_timeout_us / 4;

    return every_us < XC_SR_KEEPALIVE_EVERY_US ? every_us
                                               : XC_SR_KEEPALIVE_EVERY_US;
}

uint64_t xc_sr__heard_us(uint64_t heard_us, uint64_t turned_us, uint64_t now_us,
                         uint64_t silence_timeout_us)
{
    uint64_t away_us = now_us - turned_us;
    uint64_t long_us = silence_timeout_us / 2;

    if ( long_us < XC_SR_STALL_US )
        long_us = XC_SR_STALL_US;
    if ( turned_us == 0 || away_us < long_us )
        return heard_us;
    return now_us - heard_us > away_us ? heard_us + away_us : now_us;
}

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_engine_recover.h: what both engines know of recovery: the table of
 * answers, and how long a peer may be silent.
 */
#ifndef XC_SR_ENGINE_RECOVER_H
#define XC_SR_ENGINE_RECOVER_H

#include "xc_sr_check.h"

/*
 * With KEEPALIVE a side that has nothing to say says that, this often, and a
 * side that has heard nothing for the longer time takes the connection for
 * lost: four tries, and noticed within 15 s however the peer's clock ticks.
 */
#define XC_SR_KEEPALIVE_EVERY_US 3000000u
#define XC_SR_SILENCE_LOST_US    14000000u
/* Ten times as long as an engine waits at a time. */
#define XC_SR_STALL_US           1000000u

/* How a source answers a POSTCOPY_RECOVER. */
enum xc_sr_answer
{
    XC_SR_ANSWER_GO,          /* RESUME(go); owed is what the bitmap lacks */
    XC_SR_ANSWER_COMMIT,      /* the same, then COMMIT again */
    XC_SR_ANSWER_ABORTED,     /* RESUME(aborted) */
    XC_SR_ANSWER_RESUME_HERE, /* END, record RESUMED, resume the guest */
    XC_SR_ANSWER_DONE,        /* record DONE, END */
    XC_SR_ANSWER_END,         /* END: nothing is left to be settled */
    XC_SR_ANSWER_PARK,        /* nothing: an operator has to decide */
    XC_SR_ANSWER_IMPOSSIBLE,  /* the peer is not what it says */
};

/* The table of docs/specs, "Recovery": by the records of both sides. */
enum xc_sr_answer xc_sr__recover_answer(enum xc_sr_owner source,
                                        uint32_t destination);

/* XC_SR_RECOVER_* of a destination's record; NONE for one of a source. */
uint32_t xc_sr__recover_record(enum xc_sr_owner owner);
/* The opposite, for messages. */
enum xc_sr_owner xc_sr__recover_owner(uint32_t record);

/* How often to say something, so that a peer of ours is not taken for lost. */
uint64_t xc_sr__keepalive_every_us(uint64_t silence_timeout_us);

/*
 * When the peer was heard last, for one that asks now and asked before at
 * turned_us.  A long time in between means that this process did not run,
 * perhaps with all of its machine: then the peer may not have run either,
 * and that time is no silence of its.
 */
uint64_t xc_sr__heard_us(uint64_t heard_us, uint64_t turned_us, uint64_t now_us,
                         uint64_t silence_timeout_us);

#endif /* XC_SR_ENGINE_RECOVER_H */

/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * frames_priv.h: between frames.c (the machine) and frames_check.c (what each
 * piece must look like).  Nobody else includes it.
 */
#ifndef LIBXL_POSTCOPY_FRAMES_PRIV_H
#define LIBXL_POSTCOPY_FRAMES_PRIV_H

#include "frames.h"

enum libxl_postcopy__frames_state
{
    STATE_XL_HEADER,
    STATE_XL_CONFIG,
    STATE_HEADER,
    STATE_RECORD,
    STATE_EMULATOR, /* the emulator's id and index */
    STATE_CONTROL,  /* body of CHECKPOINT_STATE */
    STATE_BODY,
    STATE_PAD,
    STATE_RECORD_DONE,
    STATE_LIBXC_DUE, /* LIBXC_CONTEXT was told, LIBXC not yet */
    STATE_TURN_DUE,
    STATE_END_DUE,
    STATE_LIBXC, /* not ours */
    STATE_ENDED,
};

/* Turns are an enum of the header; this one comes before all of them. */
#define LIBXL_PC_TURN_OPENING ((enum libxl_postcopy__turn)99)

/*
 * All checks: 0, or the error with f->fault filled in.  `at` is the offset of
 * what stands in f->head.
 */
int libxl_postcopy__frames_fail(struct libxl_postcopy__frames *f, int error,
                                uint64_t offset, const char *field,
                                const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
int libxl_postcopy__check_xl_header(struct libxl_postcopy__frames *f,
                                    uint64_t at);
/* The optional data is complete in xl.config; strips it to the text. */
int libxl_postcopy__check_config(struct libxl_postcopy__frames *f);
int libxl_postcopy__check_header(struct libxl_postcopy__frames *f, uint64_t at);
/* Fills f->record in. */
int libxl_postcopy__check_record(struct libxl_postcopy__frames *f, uint64_t at);
int libxl_postcopy__check_emulator(struct libxl_postcopy__frames *f);
int libxl_postcopy__check_control(struct libxl_postcopy__frames *f);
/* A piece of xenstore data, then the end of all of it. */
int libxl_postcopy__check_xenstore(struct libxl_postcopy__frames *f,
                                   const uint8_t *p, size_t len);
int libxl_postcopy__check_xenstore_end(struct libxl_postcopy__frames *f);
int libxl_postcopy__check_pad(struct libxl_postcopy__frames *f);

#endif /* LIBXL_POSTCOPY_FRAMES_PRIV_H */

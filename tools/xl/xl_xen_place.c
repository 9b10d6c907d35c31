/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_xen_place.c: the directories that records and control sockets are in.
 * They outlive a reboot.  Alone in a file, so that tests of whole commands
 * have a place of their own.
 */
#include "xl_xen_record.h"

#define STATE_DIR "/var/lib/xen-postcopy"

const char *xl_xen_state_dir(void)
{
    return STATE_DIR;
}

const char *xl_xen_place(bool at_source)
{
    return at_source ? STATE_DIR "/source" : STATE_DIR "/destination";
}

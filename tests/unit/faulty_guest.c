/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * faulty_guest.c: linked with xen-postcopy-guest's own objects it is a local
 * guest whose system calls fail when test_hv_local_nth, which starts it, says
 * so, by a file (XP_FAULTY) that both have mapped.
 */
#include "faulty_calls.inc.c"

static __attribute__((constructor)) void start(void)
{
    const char *path = getenv("XP_FAULTY");
    int fd = path ? __real_open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p;

    if ( fd < 0 )
        return;
    p = __real_mmap(NULL, sizeof(*faulty), PROT_READ | PROT_WRITE, MAP_SHARED,
                    fd, 0);
    close(fd);
    if ( p != MAP_FAILED )
        faulty = p;
}

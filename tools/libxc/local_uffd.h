/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * local_uffd.h: userfaultfd and PAGEMAP_SCAN as current kernels have them;
 * what older headers (Debian 12's are Linux 6.1's) lack is defined here.
 */
#ifndef LOCAL_UFFD_H
#define LOCAL_UFFD_H

#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM /* 5.19 */
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1ull << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED /* 6.4 */
#define UFFD_FEATURE_WP_UNPOPULATED (1ull << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC /* 6.7 */
#define UFFD_FEATURE_WP_ASYNC (1ull << 15)
#endif

#ifndef PAGEMAP_SCAN /* 6.7 */
#define PAGE_IS_WRITTEN       (1ull << 1)
#define PM_SCAN_WP_MATCHING   (1ull << 0)
#define PM_SCAN_CHECK_WPASYNC (1ull << 1)

struct page_region
{
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct pm_scan_arg
{
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#endif /* LOCAL_UFFD_H */

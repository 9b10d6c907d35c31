/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_format.h: quantities as people read them, and percentiles out of the
 * engine's histograms.  Pure functions; the texts fit XL_FORMAT_LEN.
 */
#ifndef XL_FORMAT_H
#define XL_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define XL_FORMAT_LEN 32

/* "87 us", "4.50 ms", "1.23 s", "2 min 05 s". */
const char *xl_format_us(uint64_t us, char buf[XL_FORMAT_LEN]);

/* "512 B", "4.2 kB", "1.07 GB": powers of 1000, as --bandwidth counts. */
const char *xl_format_bytes(uint64_t bytes, char buf[XL_FORMAT_LEN]);

/* The same, per second. */
const char *xl_format_rate(uint64_t bytes_per_s, char buf[XL_FORMAT_LEN]);

/* "950", "12.3k", "4.5M". */
const char *xl_format_count(uint64_t count, char buf[XL_FORMAT_LEN]);

/*
 * The value below which permille of all entries of a logarithmic histogram
 * lie (bucket n: [2^n, 2^(n+1)), bucket 0 with 0), taking entries as evenly
 * spread within their bucket; never above max.  0 for an empty histogram.
 */
uint64_t xl_percentile_us(const uint64_t *hist, unsigned int nr_buckets,
                          unsigned int permille, uint64_t max);

/* part of whole in percent, 0..100; 100 when whole is 0. */
unsigned int xl_percent(uint64_t part, uint64_t whole);

#endif /* XL_FORMAT_H */

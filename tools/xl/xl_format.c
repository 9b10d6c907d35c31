/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl_format.c: see xl_format.h.  Called by the progress line, the summary and
 * the statistics; knows nothing of any of them.
 */
#include "xl_format.h"

#include <inttypes.h>
#include <stdio.h>

const char *xl_format_us(uint64_t us, char buf[XL_FORMAT_LEN])
{
    if ( us < 1000 )
        snprintf(buf, XL_FORMAT_LEN, "%" PRIu64 " us", us);
    else if ( us < 1000000 )
        snprintf(buf, XL_FORMAT_LEN, "%.2f ms", (double)us / 1e3);
    else if ( us < 100000000 )
        snprintf(buf, XL_FORMAT_LEN, "%.2f s", (double)us / 1e6);
    else
        snprintf(buf, XL_FORMAT_LEN, "%" PRIu64 " min %02u s", us / 60000000,
                 (unsigned int)(us / 1000000 % 60));
    return buf;
}

/* value in units of 1000^n, with what follows the unit's letter. */
static const char *format_scaled(uint64_t value, const char *const *units,
                                 const char *tail, char buf[XL_FORMAT_LEN])
{
    double v = (double)value;
    unsigned int unit = 0;

    if ( value < 1000 )
    {
        snprintf(buf, XL_FORMAT_LEN, "%" PRIu64 "%s%s", value, units[0], tail);
        return buf;
    }
    while ( v >= 999.5 && unit < 5 )
    {
        v /= 1000;
        unit++;
    }
    snprintf(buf, XL_FORMAT_LEN, "%.*f%s%s",
             v < 9.995   ? 2
             : v < 99.95 ? 1
                         : 0,
             v, units[unit], tail);
    return buf;
}

static const char *const byte_units[] = { " B",  " kB", " MB",
                                          " GB", " TB", " PB" };
static const char *const count_units[] = { "", "k", "M", "G", "T", "P" };

const char *xl_format_bytes(uint64_t bytes, char buf[XL_FORMAT_LEN])
{
    return format_scaled(bytes, byte_units, "", buf);
}

const char *xl_format_rate(uint64_t bytes_per_s, char buf[XL_FORMAT_LEN])
{
    return format_scaled(bytes_per_s, byte_units, "/s", buf);
}

const char *xl_format_count(uint64_t count, char buf[XL_FORMAT_LEN])
{
    return format_scaled(count, count_units, "", buf);
}

uint64_t xl_percentile_us(const uint64_t *hist, unsigned int nr_buckets,
                          unsigned int permille, uint64_t max)
{
    uint64_t total = 0, below = 0;
    unsigned int i;
    double rank;

    for ( i = 0; i < nr_buckets; i++ )
        total += hist[i];
    if ( !total )
        return 0;
    rank = (double)total * permille / 1000;
    for ( i = 0; i < nr_buckets; i++ )
    {
        double low = i ? (double)(UINT64_C(1) << i) : 0;
        double high = (double)(UINT64_C(2) << i);
        double value;

        if ( !hist[i] || (double)(below + hist[i]) < rank )
        {
            below += hist[i];
            continue;
        }
        value = low + (high - low) * (rank - (double)below) / (double)hist[i];
        return value < (double)max ? (uint64_t)value : max;
    }
    return max;
}

unsigned int xl_percent(uint64_t part, uint64_t whole)
{
    if ( !whole || part >= whole )
        return 100;
    /* 100 is kept for "all of it": rounding down does that. */
    return (unsigned int)((double)part * 100 / (double)whole);
}

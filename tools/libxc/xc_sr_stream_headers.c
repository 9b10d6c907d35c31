/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_sr_stream_headers.c: the two headers a stream begins with.
 *
 * The image header says that this is a migration stream, and of which version;
 * its integers are big endian whatever the rest is.  The domain header says
 * what kind of guest.  Called by the reader once each; nothing that follows is
 * looked at before both have passed.
 */
#include <errno.h>

#include "xc_sr_stream.h"

int xc_sr__image_header_parse(const uint8_t *p, uint64_t offset,
                              unsigned int max_version,
                              struct xc_sr_image_header *image_r,
                              struct xc_sr_stream_fault *fault)
{
    static const uint8_t ones[8] = { 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff };
    uint32_t id = xc_sr__be32(p + 8);
    uint32_t version = xc_sr__be32(p + 12);
    uint16_t options = xc_sr__be16(p + 16);

    if ( memcmp(p, ones, sizeof(ones)) )
        return xc_sr__fault_set(fault, -EPROTO, offset, "marker",
                                "not all ones: no migration stream, or a "
                                "legacy one");
    if ( id != XC_SR_IMAGE_ID )
        return xc_sr__fault_set(fault, -EPROTO, offset + 8, "id",
                                "0x%08x, must be 0x%08x", id, XC_SR_IMAGE_ID);
    if ( version < 2 || version > max_version )
        return xc_sr__fault_set(fault, -EPROTONOSUPPORT, offset + 12, "version",
                                "%u, 2 to %u are accepted", version,
                                max_version);
    if ( options & 1 )
        return xc_sr__fault_set(fault, -EPROTONOSUPPORT, offset + 16, "options",
                                "a big-endian stream");
    if ( options )
        return xc_sr__fault_set(fault, -EPROTO, offset + 16, "options",
                                "0x%04x has undefined bits", options);
    if ( xc_sr__be16(p + 18) || xc_sr__be32(p + 20) )
        return xc_sr__fault_set(fault, -EPROTO, offset + 18, "reserved",
                                "must be 0");

    image_r->version = version;
    image_r->options = options;
    return 0;
}

int xc_sr__domain_header_parse(const uint8_t *p, uint64_t offset,
                               struct xc_sr_domain_header *domain_r,
                               struct xc_sr_stream_fault *fault)
{
    uint32_t type = xc_sr__le32(p);
    uint16_t page_shift = xc_sr__le16(p + 4);

    if ( type != XC_SR_GUEST_PV && type != XC_SR_GUEST_HVM )
        return xc_sr__fault_set(fault, -EPROTO, offset, "type",
                                "%u, must be 1 (PV) or 2 (HVM)", type);
    if ( page_shift != XC_SR_PAGE_SHIFT )
        return xc_sr__fault_set(fault, -EPROTO, offset + 4, "page_shift",
                                "%u, must be 12", page_shift);
    if ( xc_sr__le16(p + 6) )
        return xc_sr__fault_set(fault, -EPROTO, offset + 6, "reserved",
                                "must be 0");

    domain_r->type = type;
    domain_r->page_shift = page_shift;
    domain_r->xen_major = xc_sr__le32(p + 8);
    domain_r->xen_minor = xc_sr__le32(p + 12);
    return 0;
}

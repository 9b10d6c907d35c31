#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# make paging-hypervisor: the package holds the very hypervisor that the rig
# boots, goes beside the distribution's, and dpkg would install it.

set -uo pipefail

n=0
check()
{
    local text=$1
    shift
    n=$((n + 1))
    if "$@" >"$TMPDIR/out" 2>&1; then
        echo "ok $n - $text"
    else
        echo "not ok $n - $text"
        sed 's/^/# /' "$TMPDIR/out"
    fi
}

images=$("$TOP/tests/rig/build") || { echo "Bail out! no rig"; exit 1; }
deb=$("$TOP/config/hypervisor" --deb "$TMPDIR") ||
    { echo "Bail out! no package"; exit 1; }

holds_hypervisor()
{
    dpkg-deb --fsys-tarfile "$deb" |
        tar -xO ./boot/xen-4.17-amd64-postcopy.gz | zcat |
        cmp - "$images/xen-paging"
}
# files_of DEB: files, not directories.
files_of() { dpkg-deb -c "$1" | awk '$1 !~ /^d/ { print $6 }' | sort; }
is_apart()
{
    (cd "$TMPDIR" && apt-get -q download xen-hypervisor-4.17-amd64) || return
    files_of "$TMPDIR"/xen-hypervisor-4.17-amd64_*.deb >"$TMPDIR/theirs"
    [ -s "$TMPDIR/theirs" ] || return
    files_of "$deb" | comm -12 - "$TMPDIR/theirs" | { ! grep .; }
}
owned_by_root() { dpkg-deb -c "$deb" | { ! grep -v ' root/root '; }; }
sums_right()
{
    local root=$TMPDIR/root
    dpkg-deb -R "$deb" "$root" && (cd "$root" && md5sum -c DEBIAN/md5sums)
}

check "the package holds the hypervisor that the rig boots" holds_hypervisor
check "none of its files is the distribution's" is_apart
check "they are root's" owned_by_root
check "their sums are right" sums_right
check "dpkg would install it" dpkg --dry-run -i "$deb"
echo "1..$n"

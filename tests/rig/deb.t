#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# make paging-hypervisor: the package holds the very hypervisor that the rig
# boots, goes beside the distribution's, and dpkg would install it.  In the full
# suite it is installed, into a root directory of its own (lib_grub.sh), the boot
# menu is looked at, a host boots what was installed, and it is removed again.

set -uo pipefail

n=0
check()
{
    local text=$1
    shift
    n=$((n + 1))
    if "$@" >"$TMPDIR/out" 2>&1; then
        echo "ok $n - $text"
        return
    fi
    echo "not ok $n - $text"
    sed 's/^/# /' "$TMPDIR/out"
    return 1
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
if [ "${RIG_SUITE:-}" != full ]; then
    echo "1..$n"
    exit
fi

# ---- installed -------------------------------------------------------------

# shellcheck source=tests/rig/lib_grub.sh
source "$TOP/tests/rig/lib_grub.sh"
name=xen-hypervisor-4.17-amd64-postcopy
installed=$TMPDIR/installed debs=$TMPDIR/debs as_root=()
boot=$installed/boot menu=$installed/boot/grub/grub.cfg
[ "$(id -u)" -eq 0 ] || as_root=(unshare -r)

fetch()
{
    mkdir "$debs" && (cd "$debs" && apt-get -q -o APT::Sandbox::User=root \
        download "${grub_packages[@]}" xen-hypervisor-{common,4.17-amd64})
}
# Its dependencies, Xen's tools, are not of interest here.
in_root()
{
    "${as_root[@]}" dpkg --root="$installed" --force-depends \
        --force-unsafe-io "$@"
}
their_files()
{
    (cd "$installed" && find boot etc usr -type f ! -path boot/grub/grub.cfg \
        -exec sha256sum {} + | sort)
}
# The hypervisor of GRUB's own entry for Xen, which Debian makes the default.
default_xen()
{
    awk '/^menuentry / { on = /with Xen hypervisor/ } /^}/ { on = 0 }
        on && $1 == "multiboot2" { print $2 }' "$menu"
}
offers() { grep -F "menuentry 'Debian GNU/Linux, with Xen $1 and Linux "; }
boots_what_it_installed()
{
    "$TOP/tests/rig/run" -b "$BUILD" -x "$TMPDIR/xen" "$TMPDIR/deb.case" \
        postcopy-localhost
}

check "there are GRUB and the distribution's hypervisor" fetch || exit 1
check "a root directory to install into" grub_root "$installed" "$debs" || exit 1
check "the distribution's hypervisor is installed there" \
    in_root -i "$debs"/xen-hypervisor-*.deb
cp "$menu" "$TMPDIR/menu" && their_files >"$TMPDIR/files"
check "GRUB boots that" test "$(default_xen)" = /boot/xen-4.17-amd64.gz
check "the package is installed" in_root -i "$deb"
check "nothing of what was there has changed" \
    eval 'their_files | comm -13 - "$TMPDIR/files" | { ! grep .; }'
check "it is in the boot menu" eval 'offers 4.17-amd64-postcopy <"$menu"'
check "so is the distribution's" eval 'offers 4.17-amd64 <"$menu"'
check "its configuration is not" eval '! grep "postcopy\.config" "$menu"'
check "GRUB boots it from now on, as its README says" eval \
    'test "$(default_xen)" = /boot/xen-4.17-amd64-postcopy.gz &&
    grep "is what GRUB boots" "$installed/usr/share/doc/$name/README.Debian"'
check "GRUB takes it for a hypervisor" "${as_root[@]}" chroot "$installed" \
    grub-file --is-x86-multiboot2 /boot/xen-4.17-amd64-postcopy.gz

zcat "$boot/xen-4.17-amd64-postcopy.gz" >"$TMPDIR/xen"
cat >"$TMPDIR/deb.case" <<'END'
check "QEMU loads what dpkg installed" \
    grep -qz "^$TMPDIR/xen$" "/proc/$(cat "$RIG_DIR/1/pid")/cmdline"
check "the host runs it" h1 "xl info xen_extra | grep +postcopy"
check "and can take guests in" h1 "$PXL postcopy-check"
END
check "a host boots it, and a guest moves" boots_what_it_installed

check "it is removed" in_root -r "$name"
check "the boot menu is as it was" cmp "$menu" "$TMPDIR/menu"
check "it is purged" in_root -P "$name"
check "nothing of it is left" \
    eval '! find "$installed" -name "*postcopy*" | grep . &&
    ! grep -r postcopy "$installed/var/lib/dpkg/status" "$menu"'
check "and all that was there is" eval 'their_files | cmp - "$TMPDIR/files"'
echo "1..$n"

# SPDX-License-Identifier: LGPL-2.1-only
#
# For deb.t: a small root directory in which dpkg installs packages and GRUB's
# own scripts write the boot menu.  What is there is Debian's but for the kernel
# (its scripts look at names only) and grub-probe, which would look for the
# disk that this directory is on.

grub_packages=(grub-common grub2-common libdevmapper1.02.1 busybox-static)

# grub_root DIR DEBS: makes DIR, from the packages in the directory DEBS.
grub_root()
{
    local root=$1 debs=$2 name
    mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,etc,tmp,proc,dev,run} \
        "$root"/{lib64,lib/x86_64-linux-gnu,boot/grub} \
        "$root"/var/lib/dpkg/{info,updates,triggers} || return
    : >"$root/var/lib/dpkg/status"
    for name in "${grub_packages[@]}"; do
        dpkg -x "$debs/${name}"_*.deb "$root" || return
    done
    cp /usr/bin/dpkg "$root/usr/bin/" && # compares versions there
        grub_libraries "$root" || return
    "$root/bin/busybox" --list | while read -r name; do
        [ -e "$root/usr/bin/$name" ] || [ -e "$root/usr/sbin/$name" ] ||
            [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
    done
    # Debian's scripts want no more of bash than any sh has.
    printf '#!/bin/sh\nexec sh "$@"\n' >"$root/bin/bash"
    grub_probe >"$root/usr/sbin/grub-probe"
    chmod 755 "$root/bin/bash" "$root/usr/sbin/grub-probe"
    printf 'GRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=Debian\n' >"$root/etc/default/grub"
    for name in vmlinuz initrd.img config; do
        echo CONFIG_XEN_DOM0=y >"$root/boot/$name-6.1.0-amd64"
    done
}

grub_libraries()
{
    local root=$1 lib
    while read -r lib; do
        case $lib in
        "$root"/*) ;;
        /lib64/*) cp -nL "$lib" "$root/lib64/" ;;
        *) cp -nL "$lib" "$root/lib/x86_64-linux-gnu/" ;;
        esac
    done < <(LD_LIBRARY_PATH=$root/lib/x86_64-linux-gnu ldd "$root/usr/bin/dpkg" \
        "$root"/usr/bin/grub-{file,mkrelpath,script-check} |
        awk '$3 ~ /^\// { print $3 } $1 ~ /^\/lib64/ { print $1 }' | sort -u)
}

# /boot and / on one disk's only file system, an ext4.
grub_probe()
{
    cat <<'END'
#!/bin/sh
for word; do
    case $word in
    --target=device) echo /dev/sda1 ;;
    --target=fs) echo ext2 ;;
    --target=fs_uuid) echo 6d1c6f5e-3a55-4a44-8d0e-0a4a3f0f7c11 ;;
    --target=partmap) echo msdos ;;
    --target=drive) echo '(hd0,msdos1)' ;;
    --target=compatibility_hint) echo 'hd0,msdos1' ;;
    esac
done
END
}

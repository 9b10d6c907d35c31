# SPDX-License-Identifier: LGPL-2.1-only
#
# Linux guests with firmware, a qemu, serial ports and a disk, for the rig's
# cases.  tests/rig/lib.sh reads this.  Their dom0 wants "#: dom0 900",
# "#: memory 2048".

# with_hvm HOST: what HVM guests need in its dom0; a destination needs it too.
with_hvm()
{
    on "$1" 'test -e /usr/libexec/xen-qemu-system-i386 ||
        tar -xf /mnt/hvm.tar -C /'
}

# hvm_guest HOST NAME [WORD=VALUE...]: as guest().  Its first serial port has a
# copy of its console, log/console/serial-NAME.log; at the second it answers
# serial_ask().  With a disk of that name (hvm_disk) this is its emulated IDE
# disk, /dev/sda.  (Without pci=noearly Linux asks its emulated buses for a
# minute.)
hvm_guest()
{
    local host=$1 name=$2 disk='' cmdline
    cmdline='console=ttyS0 console=hvc0 pci=noearly rig.serial rig.ask'
    if [ -e "$RIG_DIR/$host/$name.img" ]; then
        disk="disk=[ 'format=raw,vdev=hda,backendtype=qdisk,target=/tmp/$name.img' ]"
        # Read through qemu, by DMA to memory that nobody has touched before.
        cmdline+=' rig.ide xen_emul_unplug=never init_on_alloc=0'
    fi
    guest_config "type=\"hvm\"
kernel=\"/mnt/guest-bzimage\"
tsc_mode=\"native\"
device_model_override=\"/usr/libexec/xen-qemu-system-i386\"
vga=\"none\"
vnc=0
serial=[ \"file:/host/log/console/serial-$name.log\", \"pty\" ]
$disk" 192 "$cmdline" "$@"
    with_hvm "$host" || return
    local GUEST_LIMIT=${GUEST_LIMIT:-480}
    start_guest "$host" "$name"
}

# hvm_disk NAME MIB HOST...: the same disk, of random contents, on each.  (In
# dom0's memory: from 9p nothing can be read straight to a guest's.)
hvm_disk()
{
    local name=$1 mib=$2 host
    shift 2
    head -c "$((mib << 20))" /dev/urandom >"$OUT/$name.img" || return
    for host; do
        cp "$OUT/$name.img" "$RIG_DIR/$host/" &&
            on "$host" "cp /host/$name.img /tmp/" || return
    done
}

# disk_sum NAME MIB [SKIP]: of MiB of that disk, from the start or behind SKIP
# of them, as md5sum says it.
disk_sum()
{
    dd if="$OUT/$1.img" bs=1M count="$2" skip="${3-0}" 2>/dev/null | md5sum
}

# serial_ask HOST NAME COMMAND: typed at the guest's second serial port, it is
# run there, and what it prints comes back; so does whether it went well.
# (No single quotes in it; each line has 200 s to come: qemu may be waiting
# for pages.)
serial_ask()
{
    local host=$1 name=$2 said
    shift 2
    said=$(on "$host" "tty=\$(xenstore-read \
            /local/domain/\$(xl domid $name)/serial/1/tty) || exit
        exec 3<>\$tty && stty -F \$tty raw -echo && echo '$*' >&3 || exit
        while read -r -t 200 line <&3; do
            echo \"\$line\"
            case \$line in answered*) exit 0 ;; esac
        done
        exit 1" | tr -d '\r') || { echo "$said"; return 1; }
    sed '$d' <<<"$said"
    [ "$(tail -n 1 <<<"$said")" = 'answered 0' ]
}

# serial_answers HOST NAME: input reaches the guest, and its output us.
serial_answers()
{
    local said
    said=$(serial_ask "$1" "$2" 'echo $((6 * 7))')
    [ "$said" = 42 ] || { echo "$said"; return 1; }
}

# serial_prints HOST NAME: more of the guest's console comes out of the first.
serial_prints()
{
    local log=$RIG_DIR/$1/log/console/serial-$2.log before
    before=$(grep -c '^load: beat' "$log")
    more_beats() { [ "$(grep -c '^load: beat' "$log")" -gt "$before" ]; }
    within 60 more_beats && return
    tail -n 5 "$log"
    return 1
}

# disk_right HOST NAME MIB [SKIP]: so much of the disk reads as it was written.
disk_right()
{
    local said
    said=$(serial_ask "$1" "$2" \
        "dd if=/dev/sda bs=64k count=$(($3 * 16)) skip=$((${4-0} * 16)) 2>/dev/null | md5sum")
    [ "$said" = "$(disk_sum "${@:2}")" ] || { echo "$said"; return 1; }
}

# forget_disk HOST NAME: what was read of it is read from it again.
forget_disk() { serial_ask "$1" "$2" 'sync; echo 3 >/proc/sys/vm/drop_caches'; }

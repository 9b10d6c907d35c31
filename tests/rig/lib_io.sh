# SPDX-License-Identifier: LGPL-2.1-only
#
# Guests with a disk and a network card, both busy (guest_io.c), and the back
# ends of these in dom0.  tests/rig/lib.sh reads this.  A case that uses them
# says "#: disk MIB".

# network HOST [port]: a bridge for guests, the same network on all hosts if
# eth0 is a port of it, and somebody at port 7 who sends back what he gets.
network()
{
    hotplug "$1" || return
    on "$1" "brctl addbr xenbr0 && ip link set xenbr0 up || exit
        if [ -n '${2-}' ]; then
            ip addr flush dev eth0
            brctl addif xenbr0 eth0
        fi
        ip addr add 10.9.0.$1/24 dev xenbr0
        nc -ll -p 7 -e cat </dev/null >/dev/null 2>&1 &"
    within 20 on "$1" 'netstat -tln | grep -q ":7 "'
}
# hotplug HOST: what of Xen's scripts is needed here.  They start hundreds of
# programs, each of which takes its time on an emulated processor, while the
# guest stands still.
hotplug()
{
    on "$1" 'cat >/etc/xen/scripts/rig-block <<\END
#!/bin/sh
[ "$1" = add ] || exit 0
device=$(xenstore-read "$XENBUS_PATH/params") &&
    xenstore-write "$XENBUS_PATH/physical-device" "$(stat -c %t:%T "$device")" \
        "$XENBUS_PATH/hotplug-status" connected
END
cat >/etc/xen/scripts/rig-vif <<\END
#!/bin/sh
[ "$1" = online ] || exit 0
brctl addif xenbr0 "$vif" && ip link set "$vif" up &&
    xenstore-write "$XENBUS_PATH/hotplug-status" connected
END
chmod 755 /etc/xen/scripts/rig-*'
}

# io_guest HOST NAME [WORD=VALUE...]: a guest() whose devices are busy.
# Its disk is given the very pages that are to be written, or, with
# IO_PERSISTENT=1, as is Linux's habit, copies of them in pages it keeps mapped.
io_guest()
{
    local host=$1 name=$2
    shift 2
    guest "$host" "$name" "$@" \
        extra='disk=["format=raw,vdev=xvda,access=rw,script=rig-block,target=/dev/vda"];vif=["bridge=xenbr0,script=rig-vif,mac=00:16:3e:09:00:09"]' \
        cmdline="io.disk=/dev/xvda io.net=10.9.0.1:7 rig.address=10.9.0.9/24 xen_blkfront.feature_persistent=${IO_PERSISTENT:-0}" &&
        within 60 io_past "$host" "$name" disk 0 &&
        within 60 io_past "$host" "$name" net 0
}

# io_ops HOST NAME disk|net: how many it has done, by its last report there.
io_ops()
{
    console "$1" "$2" | sed -n "s/^io: $3 ops=\([0-9]*\) .*longest.*/\1/p" |
        tail -n 1
}
io_past()
{
    local now
    now=$(io_ops "$1" "$2" "$3")
    [ "${now:-0}" -gt "$4" ]
}
# io_goes_on HOST NAME disk|net: from now on, some more of them.
io_goes_on()
{
    local before
    before=$(io_ops "$1" "$2" "$3")
    within 90 io_past "$1" "$2" "$3" $((${before:-0} + 5)) && return
    console "$1" "$2" | tail -n 20
    on "$1" 'dmesg | tail -n 20'
    return 1
}
# io_right HOST NAME: no operation ever failed, or found what it should not.
io_right()
{
    ! console "$1" "$2" | grep -E '^io: ERROR|errors=[1-9]|init: io ended'
}

# pages_missing HOST: a guest runs there, short of pages.
pages_missing()
{
    on "$1" 'd=/tool/xen-postcopy
        xenstore-read $d/$(xenstore-list $d)/destination/phase' 2>/dev/null |
        grep -qx postcopy
}
# io_meanwhile HOST NAME disk|net: it goes on, and pages are missing after that
# as they were before.
io_meanwhile() { io_goes_on "$@" && pages_missing "$1"; }

# io_moved FROM TO NAME: the case's move() from host to host, with checks that
# the devices are busy through it.
io_moved()
{
    local job said=$RIG_DIR/$1/$CASE.said
    move &
    job=$!
    check "it runs at the destination, pages are missing" \
        within 90 pages_missing "$2" || { cat "$said"; exit 1; }
    check "its disk goes on meanwhile" io_meanwhile "$2" "$3" disk
    check "its network goes on meanwhile" io_meanwhile "$2" "$3" net
    wait "$job"
    check "the move is complete" \
        grep -qx 0 "$RIG_DIR/$1/$CASE.status" || sed 's/^/# /' "$said"
}

# trusted HOST NAME: as its configuration has it.
trusted()
{
    [ "$(on "$1" "xenstore-read /local/domain/\$(xl domid $2)/device/vif/0/trusted")" = 1 ]
}

# dom0_well HOST: what its kernel says when a back end is in trouble.
dom0_well()
{
    ! on "$1" dmesg | grep -E 'BUG|WARNING:|Oops|scheduling|I/O error|eagain|bad page'
}

# back_ends HOST [DOMID]: dom0 has none but those of that domain.
back_ends()
{
    local left
    left=$(on "$1" 'ls /sys/bus/xen-backend/devices
        for kind in vbd vif; do
            xenstore-list /local/domain/0/backend/$kind 2>/dev/null |
                sed "s/^/$kind-/; s/\$/-/"
        done') || return
    left=$(grep -Ev -e "^[a-z]+-${2-none}-" <<<"$left")
    [ -z "$left" ] || { echo "$left"; return 1; }
}

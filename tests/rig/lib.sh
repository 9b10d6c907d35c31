# SPDX-License-Identifier: LGPL-2.1-only
#
# For the rig's cases (tests/rig/cases/*.case), which tests/rig/run sources
# after this file, in a shell of their own, on the machine that runs QEMU:
# commands on the hosts, guests, and what has to be true of them.
#
# A case sees: RIG_DIR, the hosts' directory (tests/rig/up); OUT, a directory
# of its own; CASE, its name.  Guests are named by the case: see guest().
# In dom0: `xl` is the distribution's, $PXL ours.

PXL=/usr/local/libexec/xen-postcopy/bin/xl

# shellcheck source=tests/rig/lib_witness.sh
source "${BASH_SOURCE[0]%/*}/lib_witness.sh"
# shellcheck source=tests/rig/lib_io.sh
source "${BASH_SOURCE[0]%/*}/lib_io.sh"
# shellcheck source=tests/rig/lib_hvm.sh
source "${BASH_SOURCE[0]%/*}/lib_hvm.sh"

# ---- verdicts ------------------------------------------------------------

# check TEXT COMMAND...: one TAP line; a failed one shows what was printed.
check()
{
    local text=$1 out rc=0 start=$SECONDS
    shift
    out=$("$@" 2>&1) || rc=$?
    text="$CASE: $text ($((SECONDS - start)) s)"
    if [ "$rc" -eq 0 ]; then
        echo "ok $text"
    else
        echo "not ok $text"
        echo "$out" | sed 's/^/# /'
        echo "# ($* returned $rc)"
    fi
    return "$rc"
}

# bail TEXT: what follows makes no sense any more.
bail()
{
    echo "not ok $CASE: $*"
    exit 1
}

# within SECONDS COMMAND...: true as soon as the command is.
within()
{
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "not within its time: $*"
            return 1
        fi
        sleep 0.2
    done
}

# ---- hosts ---------------------------------------------------------------

# on HOST COMMAND...; options of tests/rig/on in ON_OPTIONS (words).
on()
{
    local host=$1
    shift
    # shellcheck disable=SC2086  # words
    "$RIG_DIR/on" ${ON_OPTIONS:--t 150} "$RIG_DIR/sockets/$host" \
        "PXL=$PXL; $*"
}
h1() { on 1 "$@"; }
h2() { on 2 "$@"; }

# monitor HOST COMMAND: to QEMU, as "set_link nic off".
monitor()
{
    python3 - "$RIG_DIR/sockets/$1/monitor" "$2" <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
def prompt():
    data = b""
    while not data.endswith(b"(qemu) "):
        more = s.recv(4096)
        if not more:
            break
        data += more
prompt()
s.sendall(sys.argv[2].encode() + b"\n")
prompt()
END
}

# listen HOST COMMAND: what connects to port 9100 there talks to it.
listen()
{
    on "$1" "cat >/tmp/listener <<'END'
#!/bin/sh
exec $2 2>>/host/log/$CASE-receive.log
END
chmod 755 /tmp/listener
start-stop-daemon -K -q -x /bin/nc 2>/dev/null
killall nc 2>/dev/null
n=0; while netstat -tln | grep -q \":9100 \" && [ \$n -lt 50 ]; do
    n=\$((n + 1)); sleep 0.1
done
nc -ll -p 9100 -e /tmp/listener </dev/null >/dev/null 2>&1 &"
    within 20 on "$1" 'netstat -tln | grep -q ":9100 "'
}

# ---- guests --------------------------------------------------------------

# console HOST NAME: what the guest has said there.  One that arrives by
# migration is called NAME--incoming at first, and its log stays called that.
console()
{
    local name
    # shellcheck disable=SC2012  # the oldest first; the names are ours
    ls -tr "$RIG_DIR/$1/log/console/guest-$2"{,--incoming}.log 2>/dev/null |
        while read -r name; do tr -d '\r' <"$name"; done
}

# guest HOST NAME [WORD=VALUE...]: starts a PVH Linux guest, and waits until
# its load runs (guest_load.c).  memory= (MiB) vcpus= extra= (lines of xl.cfg,
# separated by ;) cmdline= (words); others are the load's: mem= rate= check=
# threads= seed=.
guest()
{
    guest_config 'type="pvh"
kernel="/mnt/guest-kernel"
tsc_mode="native"' 128 'console=hvc0' "$@"
    start_guest "$1" "$2"
}

guest_config()
{
    local lines=$1 memory=$2 cmdline=$3 host=$4 name=$5
    local vcpus=1 extra='' load='' word
    shift 5
    for word; do
        case $word in
        memory=*) memory=${word#*=} ;;
        vcpus=*) vcpus=${word#*=} ;;
        extra=*) extra=${word#*=} ;;
        cmdline=*) cmdline+=" ${word#*=}" ;;
        *) load+=" load.$word" ;;
        esac
    done
    cat >"$RIG_DIR/$host/$name.cfg" <<END
name="$name"
$lines
ramdisk="/mnt/guest-initrd"
cmdline="$cmdline quiet load.threads=$vcpus$load"
memory=$memory
vcpus=$vcpus
on_crash="preserve"
$(tr ';' '\n' <<<"$extra")
END
}

start_guest()
{
    local host=$1 name=$2
    rm -f "$RIG_DIR/$host/log/console"/{guest,serial}-"$name"*
    on "$host" "xl -f create /host/$name.cfg" >"$OUT/$name-create.log" 2>&1 ||
        { cat "$OUT/$name-create.log"; return 1; }
    within "${GUEST_LIMIT:-90}" guest_ready "$host" "$name"
}
guest_ready() { console "$1" "$2" | grep -q '^load: ready'; }

# domid HOST NAME
domid() { on "$1" "xl domid $2" 2>/dev/null; }

# beats HOST NAME: of the last whole report there.
beats()
{
    console "$1" "$2" | sed -n 's/^load: beat=\([0-9]*\) .*stall_us=.*/\1/p' |
        tail -n 1
}
beats_past()
{
    local now
    now=$(beats "$1" "$2")
    [ "${now:-0}" -ge "$3" ]
}

# runs HOST NAME: the guest gets ahead there, without an error of memory.
runs()
{
    local before
    before=$(beats "$1" "$2")
    within 90 beats_past "$1" "$2" $((${before:-0} + 3)) || {
        console "$1" "$2" | tail -n 20
        on "$1" 'xl list; xl dmesg | tail -n 5'
        return 1
    }
    intact "$1" "$2"
}

# intact HOST NAME: nothing that the guest read back was wrong, ever.
intact()
{
    ! console "$1" "$2" | grep -E '^load: ERROR|errors=[1-9]|Kernel panic|init: the load ended'
}

# gap_us HOST NAME: the longest standstill it has seen, by its own clock.
gap_us()
{
    console "$1" "$2" | sed -n 's/.* gap_us=\([0-9]*\) .*/\1/p' | sort -n |
        tail -n 1
}

# absent HOST NAME: no such domain, in any disguise.
absent()
{
    ! on "$1" 'xl list' | grep -E "^$2( |--)"
}

destroy() { on "$1" "xl destroy $2" >/dev/null 2>&1; }

# ---- what our xl refuses ------------------------------------------------

# watch NAME: says() is about this guest of the first host.
watch()
{
    watched_name=$1
    watched_id=$(domid 1 "$1") || return
    watched_uuid=$(h1 "xenstore-read /local/domain/$watched_id/vm") || return
    watched_uuid=${watched_uuid#/vm/}
}

# says STATUS TEXT COMMAND: in dom0 of the first host, within a minute.  One
# line is xl's, and TEXT is in it or in one of its receiver's; a line of ssh's
# or of a shell's may stand before it.  The guest is not touched.
says()
{
    local out rc=0
    out=$(h1 "timeout 60 sh -c '$3' 2>&1 >/dev/null") || rc=$?
    out=${out//(y\/n) xl: /$'(y/n)\n'xl: } # a question ends no line
    [ "$rc" -eq "$1" ] && [ "$(grep -Ec '^xl( migrate)?: ' <<<"$out")" -eq 1 ] &&
        grep -q "^xl.*: .*$2" <<<"$out" && untouched && return
    echo "status $rc, said: $out"
    return 1
}

untouched()
{
    h1 "[ \"\$(xl domid $watched_name)\" = $watched_id ] &&
        ! xl list $watched_name | grep -q -e '--p' &&
        ! ls /var/lib/xen-postcopy/source 2>/dev/null | grep $watched_uuid &&
        ! xenstore-list /tool/xen-postcopy 2>/dev/null | grep $watched_uuid" &&
        return
    h1 'xl list; ls /var/lib/xen-postcopy/source; xenstore-ls /tool/xen-postcopy'
    return 1
}

# unknown HOST: nothing tells of a migration of it there.
unknown()
{
    on "$1" "! { xenstore-list /tool/xen-postcopy
        ls -A /var/lib/xen-postcopy/source /var/lib/xen-postcopy/destination
        } 2>/dev/null | grep $watched_uuid"
}

# ---- left behind ---------------------------------------------------------

# clean HOST NAME...: no domains but these and dom0, none half-built; none of
# our programs runs; no domain is paused.
clean()
{
    local host=$1 left
    shift
    left=$(on "$host" 'xl list; ps -o comm,args | grep -E \
        "xl-save-shim|xen-postcopy|libxl-save-helper" | grep -v grep || true') ||
        return
    left=$(awk -v names=" Name Domain-0 $* " \
        'NF && index(names, " " $1 " ") == 0 || / --p/' <<<"$left")
    [ -z "$left" ] || { echo "$left"; return 1; }
}

# logged HOST, unlogged HOST: Xen notes which pages of some domain are written,
# of none.
logged()
{
    on "$1" 'xl dmesg -c >/dev/null; xl debug-keys q
        xl dmesg >/tmp/keys; grep -q "^(XEN) General information for domain 0" /tmp/keys &&
        grep log_dirty /tmp/keys'
}
unlogged()
{
    on "$1" 'xl dmesg -c >/dev/null; xl debug-keys q
        xl dmesg >/tmp/keys; grep -q "^(XEN) General information for domain 0" /tmp/keys &&
        ! grep log_dirty /tmp/keys'
}

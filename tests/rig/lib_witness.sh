# SPDX-License-Identifier: LGPL-2.1-only
#
# The witness (stubdom/witness, docs/man/witness.7.pod) as a guest of the
# rig's cases.  tests/rig/lib.sh reads this.

WITNESS=/usr/local/rig/witness

# witness HOST NAME [WORD=VALUE...]: starts one, and waits for its first
# report.  memory= (MiB) vcpus= extra= as for guest(); others are its own.
witness()
{
    local host=$1 name=$2 memory=32 vcpus=1 extra='' word words=''
    shift 2
    for word; do
        case $word in
        memory=*) memory=${word#*=} ;;
        vcpus=*) vcpus=${word#*=} ;;
        extra=*) extra=${word#*=} ;;
        *) words="$words $word" ;;
        esac
    done
    cat >"$RIG_DIR/$host/$name.cfg" <<END
type="pvh"
name="$name"
kernel="$WITNESS"
cmdline="$words"
memory=$memory
vcpus=$vcpus
tsc_mode="native"
on_crash="preserve"
$(tr ';' '\n' <<<"$extra")
END
    rm -f "$RIG_DIR/$host/log/console/guest-$name"*
    on "$host" "xl -f create /host/$name.cfg" >"$OUT/$name-create.log" 2>&1 ||
        { cat "$OUT/$name-create.log"; return 1; }
    within "${GUEST_LIMIT:-90}" witness_status "$host" "$name" >/dev/null
}

# witness_node HOST NAME NODE: of data/witness there; fails when it is not.
witness_node()
{
    on "$1" "id=\$(xl domid $2 2>/dev/null) &&
        xenstore-read /local/domain/\$id/data/witness/$3" 2>/dev/null
}
witness_status() { witness_node "$1" "$2" status; }

# witness_value HOST NAME FIELD: of its last report.
witness_value()
{
    witness_status "$1" "$2" | tr ' ' '\n' | sed -n "s/^$3=//p"
}
witness_has()
{
    witness_status "$1" "$2" | grep -q -w -e "$3"
}
witness_past()
{
    local now
    now=$(witness_value "$1" "$2" "$3") && [ "${now:-0}" -gt "$4" ]
}

# witness_tell HOST NAME COMMAND: and waits for its answer, which must be yes.
witness_tell()
{
    within 60 witness_status "$1" "$2" >/dev/null || return
    on "$1" "id=\$(xl domid $2) && d=/local/domain/\$id/data/witness &&
        xenstore-write \$d/answer '' \$d/command '$3'" || return
    within 60 witness_answered "$1" "$2" "$3"
}
witness_answered() { [ "$(witness_node "$1" "$2" answer)" = "$3: ok" ]; }

# witness_intact HOST NAME: all of its memory, checked from now on, is right,
# and so was all before.
witness_intact()
{
    local number
    number=$(date +%s%N) # larger than any before
    witness_tell "$1" "$2" "verify=$number" || return
    within 120 witness_has "$1" "$2" "verified=$number" ||
        { witness_status "$1" "$2"; return 1; }
    witness_has "$1" "$2" errors=0 && return
    witness_node "$1" "$2" error
    return 1
}

# witness_resumed HOST NAME TIMES: it has been, and goes on reporting.
witness_resumed()
{
    local beat
    within 90 witness_has "$1" "$2" "resumes=$3" ||
        { witness_status "$1" "$2"; on "$1" 'xl list; xl dmesg | tail -n 5'; return 1; }
    beat=$(witness_value "$1" "$2" beat)
    within 60 witness_past "$1" "$2" beat "$beat"
}

# witness_hooked HOST NAME VCPUS: Xen keeps all areas of all vCPUs up to date,
# and every hypercall and grant copy got through in the end.
witness_hooked()
{
    within 60 witness_has "$1" "$2" "runstates=$3" &&
        within 60 witness_has "$1" "$2" "time_areas=$3" &&
        witness_has "$1" "$2" "cold_stuck=0" &&
        witness_has "$1" "$2" "cold_bad=0" &&
        witness_has "$1" "$2" "grant_bad=0" && return
    witness_status "$1" "$2"
    return 1
}

# ---- moved by our xl -----------------------------------------------------

# postcopy_here NAME [OPTION...]: to the same host; figures in
# /host/NAME.json (moved_figure).
postcopy_here()
{
    local name=$1
    shift
    h1 "$PXL migrate --postcopy=require --stats /host/$name.json $* -s '' \
        $name '$PXL migrate-receive --postcopy' 2>&1"
}
# moved_figure NAME FILTER: of its last move (jq).
moved_figure() { jq -r "$2" "$RIG_DIR/1/$1.json"; }

# SPDX-License-Identifier: LGPL-2.1-only
#
# For the cases fault-*: witnesses that are moved from the first host to the
# second so slowly that they can be hit where it hurts, and what has to be true
# of them then.  A case reads this itself.

RECORDS=/var/lib/xen-postcopy

# fault_witness HOST NAME [WORD=VALUE...]
fault_witness()
{
    witness "$@" &&
        on "$1" "xenstore-read /local/domain/$(domid "$1" "$2")/vm" |
        sed 's,^/vm/,,' >"$OUT/$2.uuid"
}
# uuid NAME: what it keeps wherever it goes.
uuid() { cat "$OUT/$1.uuid"; }

# ---- on its way ----------------------------------------------------------

# sets_out FROM NAME WORDS...: `xl migrate --postcopy WORDS` in dom0 of FROM, in
# the background.  What it says: FROM/NAME.said; its status: FROM/NAME.status.
sets_out()
{
    local from=$1 name=$2
    shift 2
    rm -f "$RIG_DIR/$from/$name".{said,status}
    on "$from" "($PXL migrate --postcopy=require $* >/host/$name.said 2>&1 &
        echo \$! >/tmp/$name.pid; wait \$!; echo \$? >/host/$name.status) \
        </dev/null >/dev/null 2>&1 &"
}

# ended FROM NAME STATUS: the command has, with that status.
ended()
{
    within 120 test -s "$RIG_DIR/$1/$2.status" &&
        grep -qx "$3" "$RIG_DIR/$1/$2.status" && return
    cat "$RIG_DIR/$1/$2".{said,status}
    return 1
}

says() { grep -q -e "$3" "$RIG_DIR/$1/$2.said" || { cat "$RIG_DIR/$1/$2.said"; return 1; }; }

# phase_is HOST SIDE NAME PHASE: as xenstore has it there.
phase_is()
{
    on "$1" "[ \"\$(xenstore-read \
        /tool/xen-postcopy/$(uuid "$3")/$2/phase 2>/dev/null)\" = $4 ]"
}

# owner_is HOST SIDE NAME OWNER: as the record there has it.
owner_is()
{
    on "$1" "grep -Eq '\"owner\": ?\"$4\"' \
        $RECORDS/$2/$(uuid "$3").migration 2>/dev/null"
}
no_record() { on "$1" "! test -e $RECORDS/$2/$(uuid "$3").migration"; }

# in_precopy NAME, in_push NAME: from host 1 to 2.
in_precopy()
{
    within 90 phase_is 1 source "$1" precopy &&
        within 60 h2 "xl list | grep -q '^$1--incoming '" && return
    cat "$RIG_DIR/1/$1.said"
    return 1
}
in_push()
{
    within 120 phase_is 2 destination "$1" postcopy &&
        within 30 phase_is 1 source "$1" postcopy && return
    cat "$RIG_DIR/1/$1.said"
    return 1
}

# on_record HOST SIDE NAME OWNER COMMAND: in dom0 there, as soon as that is
# recorded.  To be called before it is.  The next step of the hand-over may be a
# few milliseconds away, so what it does should not start a program first; and
# who never rests is given the processor last.
on_record()
{
    on "$1" "(f=$RECORDS/$2/$(uuid "$3").migration n=0 xs=\$(pidof xenstored)
        until read -r line <\$f 2>/dev/null; case \$line in
            *'\"$4\"'*) true ;; *) false ;; esac
        do
            n=\$((n + 1)); [ \$((n % 100)) -ne 0 ] || sleep 0.01
            [ \$n -lt 1000000 ] || exit
        done 2>/dev/null; $5) </dev/null >/dev/null 2>&1 &"
}

# stops_before_commit NAME: on host 1 its process is stopped when the destination
# has been sent all it needs to get ready: then its copy here is given the other
# name, and PREPARED takes some 100 ms more.  To be called before it sets out.
stops_before_commit()
{
    h1 "(n=0; until [ \"\$(xenstore-read \
            /local/domain/$(domid 1 "$1")/name)\" = $1--migratedaway ]; do
            n=\$((n + 1)); [ \$n -lt 20000 ] || exit
        done; kill -STOP \$(cat /tmp/$1.pid)) </dev/null >/dev/null 2>&1 &"
}

# With its xenstored stopped a destination that has read COMMIT cannot let the
# guest run, so RUNNING is not said.
stop_xenstored='kill -STOP ${xs:-$(pidof xenstored)}'
cont_xenstored='kill -CONT $(pidof xenstored)'

# held NAME: it stands between COMMIT and RUNNING, after stops_before_commit: the
# source goes on when the destination's xenstored stands still.
held()
{
    within 120 owner_is 2 destination "$1" prep &&
        within 30 h1 "grep -q '^State:.*T' /proc/\$(cat /tmp/$1.pid)/status" &&
        h2 "$stop_xenstored" && h1 "kill -CONT \$(cat /tmp/$1.pid)" &&
        within 60 owner_is 2 destination "$1" owner &&
        owner_is 1 source "$1" committed && return
    cat "$RIG_DIR/1/$1.said"
    h2 "cat $RECORDS/destination/*.migration; ps -o pid,stat,comm"
    return 1
}

# ---- who runs it -----------------------------------------------------------

# copies NAME: "HOST STATE" of each.
copies()
{
    local host
    for host in 1 2; do
        [ ! -e "$RIG_DIR/$host/gone" ] || continue
        on "$host" 'xl list' | awk -v name="$1" -v host="$host" 'NR > 1 &&
            ($1 == name || index($1, name "--") == 1) { print host, $5 }'
    done
}
# Neither paused nor shut down, for suspending or otherwise, nor dying.
runners() { copies "$1" | awk '$2 !~ /[psdc]/ { print $1 }'; }
runs_only_at()
{
    [ "$(runners "$1")" = "$2" ] && return
    copies "$1"
    return 1
}
runs_nowhere() { runs_only_at "$1" ''; }

# kept NAME: its copy at the source, suspended.
kept() { h1 "xl list | grep -q '^$1--migratedaway .*s'"; }

# both_wait NAME: without a connection, and each says so.
both_wait()
{
    within 60 phase_is 1 source "$1" disconnected &&
        within 60 phase_is 2 destination "$1" disconnected && return
    cat "$RIG_DIR/1/$1.said"
    return 1
}

# ---- the receiver of w is killed -----------------------------------------

kill_pager()
{
    h2 "kill -9 \$(xenstore-read \
        /tool/xen-postcopy/$(uuid w)/destination/pid)"
}

# taken_over WHEN: `xl migrate-recover` puts another in its place.
taken_over()
{
    check "another takes its place ($1)" h1 "$PXL migrate-recover w xen2 2>&1" ||
        return
    check "the source's process knows, status 0 ($1)" ended 1 w 0
    check "the guest has come with all its memory ($1)" witness_intact 2 w
    check "it has its name, and what it registered works ($1)" witness_hooked 2 w 1
    check "its copy is gone ($1)" clean 1
    check "nothing but the guest is there ($1)" within 30 clean 2 w
    check "it can be saved now ($1)" h2 'xl save w /tmp/w.img &&
        xl restore /tmp/w.img && rm /tmp/w.img'
}

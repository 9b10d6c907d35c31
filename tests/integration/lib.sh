# SPDX-License-Identifier: LGPL-2.1-only
# lib.sh: what every migration test stands on.  Sourced by *.t (bash).
#
# Two local hosts A and B in a temporary directory; guests are made, moved and
# examined only through xl, as a user would.  A case collects any number of
# expectations and prints one TAP line.  Whatever a test started is gone when
# it ends: guests by their host's list, processes by the pid noted here.
#
# Environment: BUILD (default build/), XL, VERIFY, KEEP=1 leaves the directory.

set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$HERE/../.." && pwd)
BUILD=${BUILD:-$TOP/build}
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
XL=${XL:-$BUILD/bin/xl}
VERIFY=${VERIFY:-$BUILD/bin/xen-verify-stream}
export XEN_POSTCOPY_GUEST=${XEN_POSTCOPY_GUEST:-$BUILD/bin/xen-postcopy-guest}
export LC_ALL=C

PIDS=()
CASES=0
FAILED=0
CASE=
WHY=()

say() { printf '# %s\n' "$*"; }

bail()
{
    printf 'Bail out! %s\n' "$*"
    exit 1
}

skip_all()
{
    printf '1..0 # SKIP %s\n' "$*"
    exit 0
}

# ---- Set-up and cleaning up ---------------------------------------------------

cleanup()
{
    local rc=$? pid
    trap - EXIT
    for pid in "${PIDS[@]+"${PIDS[@]}"}"
    do
        kill -KILL "$pid" 2>/dev/null
    done
    destroy_all
    if [ "${KEEP:-}" ]
    then
        say "kept $T"
    else
        rm -rf "$T"
    fi
    exit "$rc"
}

destroy_all()
{
    local dir name
    for dir in "$A" "$B"
    do
        for name in $(guest_names "$dir")
        do
            "$XL" --local "$dir" destroy "$name" >/dev/null 2>&1 ||
                kill -KILL "$(guest_pid "$dir" "$name")" 2>/dev/null
        done
    done
}

setup()
{
    command -v jq >/dev/null || bail "jq is not installed (apt-get install jq)"
    [ -x "$XL" ] || bail "$XL is not built (run make)"
    XL_REAL=$(readlink -f "$XL")
    T=$(mktemp -d "${TMPDIR:-/tmp}/xpc-test.XXXXXX") || bail "no temporary directory"
    A=$T/A
    B=$T/B
    mkdir "$A" "$B"
    trap cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 131' QUIT
    trap 'exit 143' TERM
}

# Builds the stream bender once for this test; CRAFT is its path.
need_craft()
{
    CRAFT=$BUILD/bin/craft
    [ -x "$CRAFT" ] && [ "$CRAFT" -nt "$HERE/craft.c" ] && return
    CRAFT=$T/craft
    ${CC:-cc} -std=gnu11 -O1 -D_GNU_SOURCE -I"$TOP/tools/libxc" \
        -o "$CRAFT" "$HERE/craft.c" 2>"$T/craft.log" ||
        bail "craft.c does not build: $(head -n 3 "$T/craft.log")"
}

# left_out: every other turn, where there is little time (XP_BRIEF=1, check-asan),
# and of the same run, without sanitizers, what was not (XP_HALF=1, check).
nr_turns=0
left_out()
{
    nr_turns=$((nr_turns + 1))
    if [ "${XP_BRIEF:-}" ]; then
        [ $((nr_turns % 2)) = 0 ]
    else
        [ "${XP_HALF:-}" ] && [ $((nr_turns % 2)) = 1 ]
    fi
}

# ---- Cases ----------------------------------------------------------------------

begin()
{
    CASE=$1
    WHY=()
}

fail()
{
    WHY+=("$*")
    return 1
}

# expect WHAT COMMAND...: WHAT is said when COMMAND fails.
expect()
{
    local what=$1
    shift
    "$@" || fail "$what"
}

# expect_eq WHAT GOT WANTED
expect_eq()
{
    [ "$2" = "$3" ] || fail "$1: is '$2', should be '$3'"
}

# expect_match WHAT TEXT REGEX
expect_match()
{
    printf '%s\n' "$2" | grep -Eq -- "$3" ||
        fail "$1: '$(printf '%s' "$2" | tr '\n' '|')' does not match /$3/"
}

# expect_json WHAT FILE FILTER: a jq filter that has to be true.
expect_json()
{
    # jq 1.6 is content with an empty file.
    { [ -s "$2" ] && jq -e "$3" "$2" >/dev/null 2>"$T/jq.err"; } ||
        fail "$1: not so: $3 $(head -c 200 "$T/jq.err")"
}

end()
{
    local line
    CASES=$((CASES + 1))
    if [ ${#WHY[@]} = 0 ]
    then
        printf 'ok %d - %s\n' "$CASES" "$CASE"
        return
    fi
    FAILED=$((FAILED + 1))
    printf 'not ok %d - %s\n' "$CASES" "$CASE"
    for line in "${WHY[@]}"
    do
        say "$line"
    done
    [ -s "$T/mig.err" ] && sed 's/^/#   xl: /' "$T/mig.err" | tail -n 8
    [ -s "$T/recv.err" ] && sed 's/^/#   receiver: /' "$T/recv.err" | tail -n 8
    return 0
}

skip()
{
    CASES=$((CASES + 1))
    printf 'ok %d - %s # SKIP %s\n' "$CASES" "$1" "$2"
}

finish()
{
    printf '1..%d\n' "$CASES"
    [ "$FAILED" = 0 ] || exit 1
    exit 0
}

# ---- Waiting ----------------------------------------------------------------------

# wait_until SECONDS COMMAND...: until it succeeds; fails when the time is up.
wait_until()
{
    local end=$((SECONDS + $1))
    shift
    until "$@"
    do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.02
    done
}

gone() { ! kill -0 "$1" 2>/dev/null; }
has() { [ -s "$1" ]; }

# await PID SECONDS: its exit code in RC, 999 (and killed) if it does not end.
# Bash reports here, on its stderr, what signal ended a job: nobody asked.
await()
{
    if ! wait_until "$2" gone "$1"
    then
        kill -KILL "$1" 2>/dev/null
        RC=999
        return 1
    fi
    wait "$1"
    RC=$?
} 2>/dev/null

# ---- Guests -------------------------------------------------------------------------

# create_guest DIR NAME MEMORY_MIB VCPUS WORKLOAD [OPTION...]
create_guest()
{
    local dir=$1 name=$2 mib=$3 vcpus=$4 workload=$5
    shift 5
    "$XL" --local "$dir" create --memory "$mib" --vcpus "$vcpus" \
        --workload "$workload" "$@" "$name" >"$T/create.out" 2>&1 ||
        fail "create $name: $(cat "$T/create.out")"
}

destroy_guest() { "$XL" --local "$1" destroy "$2" >/dev/null 2>&1; }

list_json() { "$XL" --local "$1" list --json 2>/dev/null; }

guest_names() { list_json "$1" | jq -r '.[].name' 2>/dev/null; }

# guest_field DIR NAME FIELD, of `list`
guest_field()
{
    list_json "$1" | jq -r --arg n "$2" ".[] | select(.name == \$n) | .$3"
}

guest_pid() { guest_field "$1" "$2" pid; }
guest_state() { guest_field "$1" "$2" state; }

guest_ops() { guest_field "$1" "$2" ops; }

is_here() { guest_names "$1" | grep -qx -- "$2"; }
is_gone() { ! is_here "$1" "$2"; }
is_state() { [ "$(guest_state "$1" "$2")" = "$3" ]; }

ops_above()
{
    local now
    now=$(guest_ops "$1" "$2")
    [ "${now:-0}" -gt "$3" ] 2>/dev/null
}

# It runs and does work: its counter of operations moves on.  An idle guest
# has no work to do.
works()
{
    local before
    is_state "$1" "$2" running || return 1
    [ "$(guest_field "$1" "$2" workload)" = idle ] && return
    before=$(guest_ops "$1" "$2")
    [ "$before" ] || return 1
    wait_until 10 ops_above "$1" "$2" "$before"
}

# On one line, without what says nothing of its memory: it may be all that is
# left of a long log.
account() { jq -c 'del(.stalls)' "$1" 2>/dev/null || tr -d '\n ' <"$1"; }

# No page lost, stale or doubled, by the guest's own account.
sound()
{
    "$XL" --local "$1" check --json "$2" >"$T/check.json" 2>"$T/check.err" ||
        { fail "check $2: $(cat "$T/check.err") $(account "$T/check.json")"; return 1; }
    expect_json "check of $2 ($(account "$T/check.json"))" "$T/check.json" \
        '.ok and .complete and .errors == 0 and .bad_pages == 0 and .sum == .ops'
}

# Nothing of a migration is left in a host's directory.  A record that says
# FENCED may stay (journal.t): the source may not know it.
no_leftovers()
{
    local left
    left=$(find "$1" \( -name '*.migration*' -o -name '*--incoming.sock' \) -print |
        while IFS= read -r f
        do
            jq -es '.[0].owner == "fenced"' "$f" >/dev/null 2>&1 || printf '%s ' "$f"
        done)
    [ -z "$left" ] || fail "left over: $left"
}

# After COMPLETE the guest is an ordinary process.
no_userfaultfd()
{
    local pid left
    pid=$(guest_pid "$1" "$2")
    [ -d "/proc/$pid/fd" ] || { fail "no process for $2"; return 1; }
    left=$(find "/proc/$pid/fd" -lname '*userfaultfd*' -print)
    [ -z "$left" ] || fail "$2 still holds a userfaultfd: $left"
}

# no_pager DIR: no xl that works on that host is left.
no_pager()
{
    local f
    for f in $(grep -lzxF -- "$1" /proc/[0-9]*/cmdline 2>/dev/null)
    do
        [ "$(readlink "${f%cmdline}exe" 2>/dev/null)" = "$XL_REAL" ] && return 1
    done
    return 0
}

# assert_runs_at DIR NAME: there, running, sound, and its work goes on.
assert_runs_at()
{
    expect "$2 is not on $(basename "$1")" is_here "$1" "$2" || return
    expect "$2 does no work on $(basename "$1")" works "$1" "$2"
    sound "$1" "$2"
}

assert_source_gone()
{
    expect "$2 is still on $(basename "$1")" wait_until 10 is_gone "$1" "$2"
}

# Everything a user may expect after NAME moved from $1 to $2.
assert_moved()
{
    assert_runs_at "$2" "$3"
    assert_source_gone "$1" "$3"
    expect "an xl for $(basename "$1") is left" wait_until 10 no_pager "$1"
    expect "an xl for $(basename "$2") is left" wait_until 10 no_pager "$2"
    no_userfaultfd "$2" "$3"
    no_leftovers "$1"
    no_leftovers "$2"
}

# ... and after a migration that had to leave NAME at $1.  What a killed
# process could not tidy up is taken over by the next migration: KILLED=1.
assert_stayed()
{
    assert_runs_at "$1" "$3"
    expect "$3 is still on $(basename "$2")" wait_until 10 is_gone "$2" "$3"
    expect "an xl for $(basename "$1") is left" wait_until 10 no_pager "$1"
    expect "an xl for $(basename "$2") is left" wait_until 10 no_pager "$2"
    [ "${KILLED:-}" ] && return 0
    no_leftovers "$1"
    no_leftovers "$2"
}

# ---- Migrations ------------------------------------------------------------------------

# migrate_bg FROM DEST NAME [OPTION...]: MIG_PID, $T/mig.out, .err, .stats
migrate_bg()
{
    local from=$1 dest=$2 name=$3
    shift 3
    rm -f "$T"/mig.* "$T"/recv.*
    (
        echo "$BASHPID" >"$T/mig.pid"
        exec "$XL" --local "$from" migrate --progress=none \
            --stats "$T/mig.stats" --recovery-wait "${RECOVERY_WAIT:-0}" "$@" \
            "$name" "$dest" >"$T/mig.out" 2>"$T/mig.err" </dev/null
    ) &
    MIG_PID=$!
    PIDS+=("$MIG_PID")
}

# migrate FROM DEST NAME [OPTION...]: exit code in RC
migrate()
{
    migrate_bg "$@"
    await "$MIG_PID" "${MIG_LIMIT:-60}"
}

# receiver_script FILE VERSION TO [FWD_OP...] -- [BACK_OP...]: a command for
# DEST (with -s '') that bends the stream on its way.  The receiver's pid,
# stderr and exit code go to $T/recv.{pid,err,rc}.
receiver_script()
{
    local file=$1 version=$2 to=$3 fwd=() back=()
    shift 3
    while [ $# -gt 0 ] && [ "$1" != -- ]
    do
        fwd+=("$1")
        shift
    done
    [ $# -gt 0 ] && shift
    back=("$@")
    {
        printf '#!/bin/bash\n'
        printf 'receiver()\n{\n'
        printf '    %q rss %q %q %q --local %q migrate-receive %s 2>%q\n' \
            "$CRAFT" "$T/recv.rss" "$T/recv.pid" "$XL" "$to" \
            "--recovery-wait ${RECOVERY_WAIT:-0} ${RECEIVER_OPTIONS:-}" "$T/recv.err"
        printf '    echo $? >%q\n}\n' "$T/recv.rc"
        stage fwd "$version" "${fwd[@]+"${fwd[@]}"}"
        printf 'receiver'
        [ ${#back[@]} = 0 ] || printf ' | '
        stage back "$version" "${back[@]+"${back[@]}"}"
        printf '\n'
    } >"$file"
    chmod +x "$file"
}

stage()
{
    local way=$1 version=$2
    shift 2
    [ $# -gt 0 ] || return 0
    printf '%q %s %s' "$CRAFT" "$way" "$version"
    printf ' %q' "$@"
    [ "$way" = fwd ] && printf ' | '
    return 0
}

# migrate_bent FROM TO NAME VERSION "MIGRATE OPTIONS" FWD_OP... -- BACK_OP...
migrate_bent_bg()
{
    local from=$1 to=$2 name=$3 version=$4 options=$5
    shift 5
    receiver_script "$T/dest.sh" "$version" "$to" "$@"
    # shellcheck disable=SC2086 # the options are words
    migrate_bg "$from" "$T/dest.sh" "$name" -s '' \
        --stream-version="$version" $options
}

migrate_bent()
{
    migrate_bent_bg "$@"
    await "$MIG_PID" "${MIG_LIMIT:-60}"
}

# A command for craft's run: that ends a side at once; WHO: sender, receiver.
killer()
{
    local file=$T/kill.$1 pid=$T/mig.pid
    [ "$1" = receiver ] && pid=$T/recv.pid
    {
        printf '#!/bin/sh\n'
        printf 'until [ -s %q ]; do sleep 0.01; done\n' "$pid"
        printf 'kill -KILL "$(cat %q)"\n' "$pid"
    } >"$file"
    chmod +x "$file"
    printf '%s' "$file"
}

# The receiver's own exit code, once it has ended.
recv_rc()
{
    wait_until 10 has "$T/recv.rc" || { echo none; return; }
    cat "$T/recv.rc"
}

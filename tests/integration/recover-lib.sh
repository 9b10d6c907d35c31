# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-only
# recover-lib.sh: connections that fail as asked, and what a user does then.
# Sourced by recover*.t after lib.sh's setup.

RELAY=$BUILD/bin/linkrelay
# shellcheck disable=SC2034 # lib.sh does
RECOVERY_WAIT=600
RECEIVER_OPTIONS="--timeout 8"
P0="--postcopy --precopy-iterations 0 --timeout 8"

# xl ARG...: output in $T/out and $T/err, exit code in RC.
xl()
{
    "$XL" "$@" >"$T/out" 2>"$T/err" </dev/null
    RC=$?
}

# A destination behind a relay with these options.
through_relay()
{
    local file=$1 verb=$2
    shift 2
    {
        printf '#!/bin/bash\n'
        # The relay's pid, for whoever wants to stop it.
        printf 'echo $$ >%q\n' "$T/relay.pid"
        printf 'exec %q --rate 0' "$RELAY"
        [ $# -gt 0 ] && printf ' %q' "$@"
        printf ' -- %q --local %q %s 2>>%q\n' "$XL" "$B" "$verb" "$T/recv.err"
    } >"$file"
    chmod +x "$file"
}

status_is()
{
    "$XL" --local "$1" migrate-status --json g 2>/dev/null |
        jq -es --arg k "$2" --arg v "$3" '.[0][$k] == $v' >/dev/null
}

disconnected() { status_is "$1" phase disconnected; }
lost_or_over() { disconnected "$A" || gone "$MIG_PID"; }
both_lost() { disconnected "$A" && disconnected "$B"; }

# start RELAY_OPTION... : a migration until it has lost its connection or ended
start()
{
    through_relay "$T/dest.sh" "migrate-receive --recovery-wait 600 --timeout 8" "$@"
    # shellcheck disable=SC2086 # the options are words
    migrate_bg "$A" "$T/dest.sh" g -s '' $P0 ${EXTRA:-}
}

# Recovery until it is over, whatever is cut on the way: at most $1 tries.
recover_until_over()
{
    local tries=$1
    while [ "$tries" -gt 0 ] && ! gone "$MIG_PID"
    do
        xl --local "$A" migrate-recover g "$B"
        tries=$((tries - 1))
        [ "$RC" = 4 ] || break
    done
    await "$MIG_PID" 20
}

# Moved, or it stayed; the exit code has to say which.
settled()
{
    case $RC in
    0)
        # Where END was cut the record stays; journal.t has that.
        jq -e '.owner == "finished"' "$B/g.migration" >"$T/jq" 2>&1 && rm "$B/g.migration"
        assert_moved "$A" "$B" g
        back
        ;;
    1)
        # A promise is kept until --timeout: the source might have committed.
        expect "the destination waits for ever" wait_until 20 no_pager "$B"
        KILLED=1 assert_stayed "$A" "$B" g
        ;;
    *) fail "exit code of the sender: $RC" ;;
    esac
    [ ${#WHY[@]} = 0 ] || fresh_guest
}

# For the next case the guest is on A again.
back()
{
    # shellcheck disable=SC2086
    RECOVERY_WAIT=0 migrate "$B" "$A" g --postcopy
    [ "$RC" = 0 ] || fail "exit code of the way back: $RC"
    rm -f "$A/g.migration" "$B/g.migration"
}

fresh_guest()
{
    kill -KILL "$MIG_PID" 2>/dev/null
    [ -s "$T/relay.pid" ] && kill -CONT "$(cat "$T/relay.pid")" 2>/dev/null
    destroy_all
    rm -f "$A"/* "$B"/*
    # shellcheck disable=SC2086 # the options are words
    create_guest "$A" g 8 2 random ${SLOW:-}
}

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# recover.t: the connection of a migration is cut at many octets of either
# direction, half-closed, silenced; recovery is cut too, and either xl is
# killed.  Whatever happens, exactly one guest runs and its counters are whole.

. "$(dirname "$0")/lib.sh"
setup
need_craft
RELAY=$BUILD/bin/linkrelay
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

create_guest "$A" g 8 2 random

begin "cut in the middle: both sides wait, say what to type, and recovery goes on"
start --cut-after 3000000
expect "no loss" wait_until 20 both_lost
expect_match "the sender" "$(cat "$T/mig.err")" "^xl: it may run at .*waits for: xl --local $A migrate-recover "
expect_match "the receiver" "$(cat "$T/recv.err")" 'waits for .xl migrate-recover g HOST. at its source'
expect "the guest does not run at the destination" is_state "$B" g running
expect "the guest is not suspended at the source" is_state "$A" g suspended
expect "the socket at the source is not its owner's alone" test "$(stat -c %a "$A/g.migration.ctl")" = 600
expect "the socket at the destination is not its owner's alone" test "$(stat -c %a "$B/g.migration.ctl")" = 600
xl --local "$A" migrate-status
expect_match "migrate-status at the source" "$(cat "$T/out")" '^g to .*connection lost.*record .committed.*migrate-recover. goes on'
xl --local "$B" migrate-status
expect_match "migrate-status at the destination" "$(cat "$T/out")" '^g arrives: disconnected: [1-9][0-9]* of 2048 pages are missing.*record .owner'
xl --local "$A" migrate-status --json
expect_json "status of all as JSON" "$T/out" 'length == 1 and .[0].owner == "committed" and .[0].connected == false and .[0].guest_runs_at == "unknown" and (.[0].lost_why | length) > 0'
xl --local "$B" migrate-status --json g
expect_json "status at the destination" "$T/out" '.side == "destination" and .owner == "owner" and .guest_runs_at == "destination" and .faults_outstanding >= 0'
xl --local "$A" migrate-abort g
expect_eq "exit code of migrate-abort after the hand-over" "$RC" 1
expect_match "migrate-abort" "$(cat "$T/err")" 'too late'
xl --local "$B" migrate-abort g
expect_match "migrate-abort at the destination" "$(cat "$T/err")" 'too late: the guest runs here'
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
expect_match "migrate-recover" "$(cat "$T/err")" 'runs at .* with all its memory'
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 0
expect_json "statistics" "$T/mig.stats" '.outcome == "done" and .recovery.losses == 1 and .recovery.recoveries == 1'
settled
end

# 8 MiB: the forward stream has some 8.4 million octets, the one back 30 thousand.
RANDOM=4711
for i in 1 2 3 4 5 6 7 8 9 10 11 12
do
    at=$(((RANDOM * 32768 + RANDOM) % 8400000))
    [ "$i" -gt 3 ] || at=$((RANDOM % 90000))
    again=$(((RANDOM * 32768 + RANDOM) % 3000000))
    begin "forward cut after $at octets, the next connection after $again"
    start --cut-after "$at"
    expect "neither lost nor over" wait_until 30 lost_or_over
    if ! gone "$MIG_PID"
    then
        through_relay "$T/again.sh" "migrate-receive --recover g" --cut-after "$again"
        xl --local "$A" migrate-recover -s '' g "$T/again.sh"
    fi
    recover_until_over 3
    settled
    end
done
for i in 1 2 3 4 5 6 7 8 9 10
do
    at=$((RANDOM % 12000))
    [ "$i" -gt 4 ] || at=$((RANDOM % 400))
    again=$((RANDOM % 2000))
    begin "back channel cut after $at octets, the next one after $again"
    start --cut-back-after "$at"
    expect "neither lost nor over" wait_until 30 lost_or_over
    if ! gone "$MIG_PID"
    then
        through_relay "$T/again.sh" "migrate-receive --recover g" --cut-back-after "$again"
        xl --local "$A" migrate-recover -s '' g "$T/again.sh"
    fi
    recover_until_over 3
    settled
    end
done

# at RECORD WAY: the connection is cut right after a record
for point in "POSTCOPY_TRANSITION fwd" "UPPER fwd" "POSTCOPY_PREPARED back" \
    "POSTCOPY_COMMIT fwd" "POSTCOPY_RUNNING back" "POSTCOPY_PAGE_DATA#3 fwd" \
    "POSTCOPY_FAULT back" "POSTCOPY_ACK#4 back" "POSTCOPY_STATS back" \
    "POSTCOPY_COMPLETE back" "END fwd"
do
    read -r record way <<<"$point"
    begin "cut at $record"
    ops=("$record:cut")
    if [ "$way" = fwd ]
    then
        receiver_script "$T/dest.sh" 3 "$B" "${ops[@]}" --
    else
        receiver_script "$T/dest.sh" 3 "$B" -- "${ops[@]}"
    fi
    # shellcheck disable=SC2086
    migrate_bg "$A" "$T/dest.sh" g -s '' $P0
    expect "neither lost nor over" wait_until 30 lost_or_over
    recover_until_over 3
    settled
    end
done

# From here on post-copy takes its time: what the guest asks for knows no limit.
SLOW="--rate 40"
fresh_guest

begin "a silent network is noticed within 15 s, by both sides"
EXTRA="--postcopy-bandwidth 0.5" start
running() { status_is "$B" phase postcopy; }
expect "no post-copy" wait_until 20 running
before=$SECONDS
kill -STOP "$(cat "$T/relay.pid")"
expect "not noticed" wait_until 40 both_lost
expect "noticed after $((SECONDS - before)) s only" test $((SECONDS - before)) -le 17
expect_match "the sender" "$(cat "$T/mig.err")" 'nothing has come from the destination for 14 s'
kill -KILL "$(cat "$T/relay.pid")"
recover_until_over 2
settled
end

begin "the source's xl is killed while pages are missing: another takes its place"
EXTRA="--postcopy-bandwidth 0.5" start
expect "no post-copy" wait_until 20 running
kill -KILL "$MIG_PID"
await "$MIG_PID" 10
expect "the destination has not noticed" wait_until 20 disconnected "$B"
xl --local "$A" migrate-status g
expect_eq "exit code of migrate-status" "$RC" 1
expect_match "migrate-status" "$(cat "$T/err")" 'kept suspended here with all its memory: .xl migrate-recover. goes on'
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
settled
end

begin "an interrupt to the source that waits: status 4, and recovery all the same"
start --cut-after 2000000
expect "no loss" wait_until 20 both_lost
kill -INT "$MIG_PID"
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 4
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
settled
end

begin "the destination's xl is killed while pages are missing: lost, said plainly, kept here"
EXTRA="--postcopy-bandwidth 0.5" start
expect "no post-copy" wait_until 20 running
kill -KILL "$(jq -r .pid "$B/g.migration")"
expect "no loss" wait_until 20 disconnected "$A"
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 4
expect_match "migrate-recover" "$(cat "$T/err")" 'kept here with all its memory: .*record says lost'
expect "the record at the destination" jq -e '.owner == "lost"' "$B/g.migration" >"$T/jq"
expect "the source does not wait any more" disconnected "$A"
expect "the guest is not kept at the source" is_state "$A" g suspended
kill -INT "$MIG_PID"
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 4
xl --local "$B" destroy g
xl --local "$A" resume g
expect_eq "exit code of resume" "$RC" 0
KILLED=1 assert_stayed "$A" "$B" g
end

begin "the destination's xl is killed at PREPARED with COMMIT on its way: it runs here again"
receiver_script "$T/dest.sh" 3 "$B" "POSTCOPY_COMMIT:run:$(killer receiver)" POSTCOPY_COMMIT:cut --
# shellcheck disable=SC2086
migrate_bg "$A" "$T/dest.sh" g -s '' $P0
expect "no loss" wait_until 20 disconnected "$A"
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 1
expect_match "migrate-recover" "$(cat "$T/err")" 'never ran at .* and never will; it runs here'
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 1
KILLED=1 assert_stayed "$A" "$B" g
expect "a record is left: $(ls "$B")" test ! -e "$B/g.migration"
end

begin "a promise to a source that has given up gives way to its next migration"
receiver_script "$T/dest.sh" 3 "$B" -- "POSTCOPY_PREPARED:run:$(killer sender)" POSTCOPY_PREPARED:cut
# shellcheck disable=SC2086
migrate_bg "$A" "$T/dest.sh" g -s '' $P0
await "$MIG_PID" 30
expect_eq "exit code of the sender" "$RC" 137
expect "no promise is left waiting" wait_until 10 disconnected "$B"
# shellcheck disable=SC2086
migrate "$A" "$B" g $P0
settled
end

begin "nobody waits for ever who was told not to"
RECOVERY_WAIT=1
start --cut-after 2000000
await "$MIG_PID" 20
RECOVERY_WAIT=600
expect_eq "exit code" "$RC" 4
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
settled
end

begin "recovering what is not lost, not known, or somebody else's is refused"
xl --local "$A" migrate-recover nosuch "$B"
expect_eq "no such guest" "$RC" 2
xl --local "$A" migrate-recover g "$B"
expect_eq "no migration" "$RC" 2
EXTRA="--postcopy-bandwidth 0.5" start
expect "no post-copy" wait_until 20 running
xl --local "$B" migrate-recover g "$A"
expect_eq "at the destination" "$RC" 1
expect_match "at the destination" "$(cat "$T/err")" 'for the host it came from'
printf 'recover %032d\n' 7 | timeout 20 "$XL" --local "$B" migrate-receive --recover g >"$T/out" 2>"$T/err"
expect_match "another session" "$(tail -n 1 "$T/out")" '^error .*another one'
mkdir -p "$T/C"
xl --local "$A" migrate-recover g "$T/C"
expect_eq "another destination" "$RC" 4
expect_match "another destination" "$(cat "$T/err")" 'no migration of .g. to here is known'
# A connection that is alive gives way to a new one.
xl --local "$A" migrate-recover g "$B"
await "$MIG_PID" 60
expect_eq "exit code of the sender" "$RC" 0
settled
end

destroy_all
finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# recover.t: the connection of a migration is cut at many octets of either
# direction, and recovery is cut too.  Whatever happens, exactly one guest runs
# and its counters are whole.

. "$(dirname "$0")/lib.sh"
setup
need_craft
. "$(dirname "$0")/recover-lib.sh"

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

begin "--on-loss=pause: it stands still while there is no connection, and that is said"
through_relay "$T/dest.sh" "migrate-receive --recovery-wait 600 --timeout 8 --on-loss=pause" --cut-after 3000000
# shellcheck disable=SC2086
migrate_bg "$A" "$T/dest.sh" g -s '' $P0
expect "no loss" wait_until 20 both_lost
expect "the guest is not paused" is_state "$B" g paused
expect_match "the receiver" "$(cat "$T/recv.err")" 'it is paused here and waits for .xl migrate-recover g HOST.'
xl --local "$B" migrate-status
expect_match "migrate-status at the destination" "$(cat "$T/out")" 'it is here with pages missing: .xl migrate-recover. at its source goes on'
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 0
settled
end

begin "the guest ends while there is no connection: it has ended, and that is what everybody says"
start --cut-after 3000000
expect "no loss" wait_until 20 both_lost
kill -KILL "$(guest_pid "$B" g)"
expect "the receiver goes on" wait_until 20 no_pager "$B"
expect_match "the receiver" "$(cat "$T/recv.err")" '.g. has ended here .shut down, restarted or destroyed. while pages of it were missing'
expect_json "the record" "$B/g.migration" '.owner == "ended"'
xl --local "$B" migrate-status
expect_match "migrate-status at the destination" "$(cat "$T/out")" 'record .ended.: it ran here and has ended here'
xl --local "$B" migrate-status --json
expect_json "the same as JSON" "$T/out" '.[0].owner == "ended" and .[0].guest_runs_at == "nowhere"'
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
expect_match "migrate-recover" "$(cat "$T/err")" 'or has ended there'
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 0
expect_match "the sender" "$(cat "$T/mig.out")" '^g is at .* or has ended there'
expect_eq "records left" "$(find "$A" "$B" -name '*.migration*')" ""
expect "an xl for A is left" wait_until 10 no_pager "$A"
fresh_guest
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

destroy_all
finish

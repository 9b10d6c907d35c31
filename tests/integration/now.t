#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# now.t: a migration under way in the hands of its operator: to post-copy at
# once, given up, interrupted; and a second one for the same guest is refused.

. "$(dirname "$0")/lib.sh"
setup

# A random writer at full speed over a slow link: pre-copy never converges.
start_endless()
{
    create_guest "$A" g 32 2 random
    migrate_bg "$A" "$B" g --bandwidth 20 --precopy-iterations 100000 \
        --progress=json "$@"
    expect "pre-copy does not get to its second round" wait_until 20 in_round 2
}

in_round()
{
    cat "$T/mig.out" "$T/mig.err" 2>/dev/null |
        jq -R -c --argjson n "$1" 'fromjson? | select(.phase == "precopy" and .round >= $n)' 2>/dev/null |
        grep -q .
}

begin "migrate-postcopy-now ends a pre-copy that does not converge"
start_endless --postcopy
expect "migrate-postcopy-now failed" "$XL" --local "$A" migrate-postcopy-now g
await "$MIG_PID" 40
expect_eq "exit code" "$RC" 0
expect_json "it went through post-copy" "$T/mig.stats" '[.. | .postcopy? // empty] | any(. == true)'
assert_moved "$A" "$B" g
destroy_all
end

begin "migrate-abort before the switch leaves the guest at the source"
start_endless --postcopy
expect "migrate-abort failed" "$XL" --local "$A" migrate-abort g
await "$MIG_PID" 20
expect_eq "exit code" "$RC" 1
assert_stayed "$A" "$B" g
destroy_all
end

for signal in INT QUIT TERM
do
    begin "SIG$signal before the switch leaves the guest at the source"
    start_endless --postcopy
    kill -"$signal" "$MIG_PID"
    await "$MIG_PID" 20
    expect "exit code is $RC" [ "$RC" = 1 -o "$RC" = 130 -o "$RC" = 131 -o "$RC" = 143 ]
    assert_stayed "$A" "$B" g
    destroy_all
    end
done

# What is typed at a terminal reaches the carrier, too: an ssh, say.
for signal in INT QUIT
do
    begin "SIG$signal to all that stand in the terminal is a wish, not a lost connection"
    create_guest "$A" g 32 2 random
    migrate_bg "$A" "$XL --local $B migrate-receive; exit" g -s '' --postcopy \
        --bandwidth 20 --precopy-iterations 100000 --progress=json
    expect "pre-copy does not get to its second round" wait_until 20 in_round 2
    # shellcheck disable=SC2046 # the children's numbers are words
    kill -"$signal" $(cat "/proc/$MIG_PID/task/$MIG_PID/children") "$MIG_PID"
    await "$MIG_PID" 20
    expect_eq "exit code" "$RC" 1
    expect_match "the sender" "$(cat "$T/mig.err")" 'given up on request; it runs here'
    assert_stayed "$A" "$B" g
    destroy_all
    end
done

begin "a second migration of the same guest is refused, the first goes on"
start_endless --postcopy
"$XL" --local "$A" migrate --postcopy g "$B" >"$T/second.out" 2>&1
expect "the second one was not refused" [ $? != 0 ]
expect_match "message" "$(cat "$T/second.out")" 'migrat|busy|another|already'
expect "migrate-postcopy-now failed" "$XL" --local "$A" migrate-postcopy-now g
await "$MIG_PID" 40
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
destroy_all
end

begin "migrate-postcopy-now, migrate-abort and migrate-status without a migration"
create_guest "$A" g 4 1 idle
for command in migrate-postcopy-now migrate-abort migrate-status
do
    "$XL" --local "$A" "$command" g >"$T/now.out" 2>&1
    expect_eq "exit code of $command" $? 1
    expect_match "$command" "$(cat "$T/now.out")" 'migrat'
done
assert_runs_at "$A" g
destroy_all
end

begin "migrate-status shows the migration under way"
start_endless --postcopy
"$XL" --local "$A" migrate-status --json g >"$T/status.json" 2>&1
expect_json "status: $(cat "$T/status.json")" "$T/status.json" '.phase == "precopy" and .round >= 1'
kill -INT "$MIG_PID"
await "$MIG_PID" 20
assert_stayed "$A" "$B" g
destroy_all
end

finish

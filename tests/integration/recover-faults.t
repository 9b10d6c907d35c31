#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# recover-faults.t: a silent network, either xl killed or interrupted after the
# guest was handed over, waits that end, and recovering what must not be.

. "$(dirname "$0")/lib.sh"
setup
need_craft
. "$(dirname "$0")/recover-lib.sh"

# From here on post-copy takes its time: what the guest asks for knows no limit.
# shellcheck disable=SC2034 # fresh_guest() does
SLOW="--rate 40"
create_guest "$A" g 8 2 random --rate 40

begin "a silent network is noticed within 15 s, by both sides"
EXTRA="--postcopy-bandwidth 0.5" start
running() { status_is "$B" phase postcopy; }
expect "no post-copy" wait_until 20 running
kill -STOP "$(cat "$T/relay.pid")"
expect "not noticed" wait_until 40 both_lost
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
expect_match "what it had to send" "$(cat "$T/out")" 'post-copy  [1-9][^ ]* pages owed'
settled
end

begin "an interrupt to the source that waits: status 4, and recovery all the same"
EXTRA="--progress=json" start --cut-after 2000000
expect "no loss" wait_until 20 both_lost
kill -INT "$MIG_PID"
await "$MIG_PID" 20
expect_eq "exit code of the sender" "$RC" 4
expect_match "the sender" "$(cat "$T/mig.err")" 'to go on with it.*: xl --local .* migrate-recover .*g .*xl --local DIR migrate-receive --recover g'
expect_eq "where it runs, when the sender ends" "$(jq -s 'map(select(.type == "progress")) | .[-1].guest_runs_at' "$T/mig.out")" '"unknown"'
xl --local "$A" migrate-recover g "$B"
expect_eq "exit code of migrate-recover" "$RC" 0
expect_match "the sender that takes its place" "$(cat "$T/err")" 'setting up .guest may run there'
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

begin "that the guest has ended cannot be recorded, and is said all the same"
EXTRA="--postcopy-bandwidth 0.5" start
expect "no post-copy" wait_until 20 running
mkdir "$B/g.migration.new"
kill -KILL "$(guest_pid "$B" g)"
expect "the receiver goes on" wait_until 20 no_pager "$B"
expect_match "the receiver" "$(cat "$T/recv.err")" '.g. has ended here .*; but that is not recorded: .*migrate-recover'
rmdir "$B/g.migration.new"
fresh_guest
end

begin "nobody waits for ever who was told not to"
RECOVERY_WAIT=1
start --cut-after 2000000
await "$MIG_PID" 20
# shellcheck disable=SC2034 # migrate_bg() does
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

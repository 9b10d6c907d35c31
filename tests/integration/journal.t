#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# journal.t: the destination's record outlives its process until the source is
# known to know: it can be asked, keeps no later migration from coming, and is
# touched by nobody whose it is not.

. "$(dirname "$0")/lib.sh"
setup
need_craft
C=$T/C
mkdir "$C"

# xl ARG...: output in $T/out and $T/err, exit code in RC.
xl()
{
    "$XL" "$@" >"$T/out" 2>"$T/err" </dev/null
    RC=$?
}

record_is()
{
    expect "the record at the destination is not '$1': $(cat "$B/g.migration" 2>&1)" \
        jq -e --arg o "$1" '.side == "destination" and .owner == $o' "$B/g.migration" >"$T/jq"
}

# Here not even FENCED may be left.
nothing_left()
{
    expect "a record is left: $(ls "$B")" test ! -e "$B/g.migration"
}

# status_says REGEX, at the destination
status_says()
{
    xl --local "$B" migrate-status g
    expect_eq "exit code of migrate-status" "$RC" 1
    expect_match "migrate-status" "$(cat "$T/err")" "$1"
}

P0="--postcopy --precopy-iterations 0"

# finished: a guest that came to B whole, from a source whose END was cut off
finished()
{
    migrate_bent "$A" "$B" g 3 "$P0" END:cut --
    expect_eq "exit code of the sender" "$RC" 0
    expect_eq "exit code of the receiver" "$(recv_rc)" 0
    expect_match "the receiver" "$(cat "$T/recv.err")" 'is here with all its memory; its source may not know'
    record_is finished
    assert_runs_at "$B" g
}

begin "END does not come: FINISHED stays, explains itself, and goes with the guest"
create_guest "$A" g 16 1 random
finished
status_says 'finished.*came here with all its memory.*never resume it'
xl --local "$B" destroy g
expect_eq "exit code of destroy" "$RC" 0
nothing_left
destroy_all
end

begin "FINISHED keeps the guest neither from going nor from coming again"
create_guest "$A" g 16 1 random
finished
# shellcheck disable=SC2086 # the options are words
migrate "$B" "$A" g $P0
expect_eq "exit code of the way back" "$RC" 0
assert_moved "$B" "$A" g
finished
rm -f "$T/old"
cp "$B/g.migration" "$T/old"
"$XL" --local "$B" destroy g >"$T/out" 2>&1
cp "$T/old" "$B/g.migration"
create_guest "$A" g 16 1 random
# shellcheck disable=SC2086
migrate "$A" "$B" g $P0
expect_eq "exit code over a stale record" "$RC" 0
assert_moved "$A" "$B" g
nothing_left
destroy_all
end

begin "the sender dies at PREPARED: FENCED stays, explains itself, and can be removed"
create_guest "$A" g 16 1 random
migrate_bent "$A" "$B" g 3 "$P0" -- "POSTCOPY_PREPARED:run:$(killer sender)" POSTCOPY_PREPARED:cut
expect_eq "exit code of the sender" "$RC" 137
expect_eq "exit code of the receiver" "$(recv_rc)" 1
expect_match "the receiver" "$(cat "$T/recv.err")" 'never ran here and never will; its source may not know'
KILLED=1 assert_stayed "$A" "$B" g
record_is fenced
status_says 'fenced.*never ran here and never will.*resume it there'
xl --local "$B" destroy g
expect_eq "exit code of destroy" "$RC" 0
expect_match "destroy" "$(cat "$T/err")" 'record .fenced. .*is removed'
nothing_left
xl --local "$B" destroy g
expect_eq "exit code of destroying nothing" "$RC" 1
end

begin "FENCED does not keep the guest from coming, plain or in two steps"
for options in "$P0" "--stream-version=2"
do
    migrate_bent "$A" "$B" g 3 "$P0" -- "POSTCOPY_PREPARED:run:$(killer sender)" POSTCOPY_PREPARED:cut
    expect_eq "exit code of the receiver" "$(recv_rc)" 1
    record_is fenced
    # shellcheck disable=SC2086
    migrate "$A" "$B" g $options
    expect_eq "exit code, $options" "$RC" 0
    assert_moved "$A" "$B" g
    nothing_left
    migrate "$B" "$A" g
    expect_eq "exit code of the way back" "$RC" 0
done
destroy_all
end

begin "a receiver whose process is gone at PREP: it never ran, and may be forgotten"
printf '{"side":"destination","owner":"prep","session":"%032d","epoch":0,"pid":%d}\n' \
    1 "$(sh -c 'echo $$')" >"$B/g.migration"
status_says 'prep.*never ran here and never will'
xl --local "$B" destroy g
expect_eq "exit code of destroy" "$RC" 0
nothing_left
end

begin "a dead process whose number is another's by now is not taken for alive"
printf '{"side":"source","owner":"committed","session":"%032d","epoch":0,"pid":%d,"began":1}\n' \
    0 $$ >"$B/g.migration"
xl --local "$B" migrate-status --json
expect_json "status" "$T/out" '.[0].alive == false and .[0].owner == "committed"'
rm "$B/g.migration"
end

begin "one that is refused does not touch the record of the one that is under way"
create_guest "$A" g 32 1 random
create_guest "$C" g 8 1 idle
in_postcopy()
{
    "$XL" --local "$A" migrate-status --json g 2>/dev/null |
        jq -es '.[0].phase == "postcopy"' >/dev/null
}
# shellcheck disable=SC2086
migrate_bg "$A" "$B" g $P0 --postcopy-bandwidth 0.5
expect "no post-copy" wait_until 20 in_postcopy
first=$MIG_PID
xl --local "$C" migrate -q g "$B"
expect_eq "exit code of the second" "$RC" 1
record_is owner
expect "the second speaks of a record that is not its own: $(cat "$T/err")" \
    sh -c "! grep -q 'record' '$T/err'"
kill -KILL "$first"
await "$first" 10
"$XL" --local "$C" destroy g >"$T/out" 2>&1
destroy_all
end

finish

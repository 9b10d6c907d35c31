#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# refuse.t: a destination that cannot take the guest says so before the guest
# is touched: exit code 3, one clear line, never suspended, nothing left there.

. "$(dirname "$0")/lib.sh"
setup
need_craft

# Neither suspended nor stopped for a moment, by both accounts.
untouched()
{
    expect_json "never suspended" "$T/mig.stats" \
        '[.. | objects | to_entries[] | select(.key | test("suspend(ed|_request)_us$")) | .value] | all(. == 0 or . == null)'
    expect_json "refused in the statistics" "$T/mig.stats" '[.. | .refused? // empty] | any'
    assert_stayed "$A" "$B" g
}

create_guest "$A" g 16 2 random
while read -r what version message options
do
    begin "the destination says $what, stream version $version, $options"
    export XEN_POSTCOPY_LOCAL_REFUSE=$what
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g --stream-version="$version" $options
    unset XEN_POSTCOPY_LOCAL_REFUSE
    expect_eq "exit code" "$RC" 3
    expect_match "message" "$(cat "$T/mig.err")" "$message"
    untouched
    end
done <<'TABLE'
no-paging 3 paging --postcopy --precopy-iterations 1
no-paging 3 paging --postcopy --precopy-iterations 0
no-memory 3 memory --postcopy --precopy-iterations 1
TABLE

begin "pre-copy alone asks for no paging"
export XEN_POSTCOPY_LOCAL_REFUSE=no-paging
migrate "$A" "$B" g
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
migrate "$B" "$A" g
expect_eq "exit code back" "$RC" 0
unset XEN_POSTCOPY_LOCAL_REFUSE
end

begin "a stream version the destination does not know"
migrate_bent "$A" "$B" g 3 "--postcopy --precopy-iterations 1" IMAGE:set32:12:0x09000000 --
expect_eq "exit code" "$RC" 3
expect_match "message" "$(cat "$T/mig.err" "$T/recv.err")" 'version'
expect_json "never suspended" "$T/mig.stats" \
    '[.. | objects | to_entries[] | select(.key | test("suspend(ed|_request)_us$")) | .value] | all(. == 0 or . == null)'
assert_stayed "$A" "$B" g
end

begin "READY with a refusal and a reason of its own"
migrate_bent "$A" "$B" g 3 "--postcopy --precopy-iterations 1" -- \
    POSTCOPY_READY:set32:24:6 POSTCOPY_READY:cut:40
expect_eq "exit code" "$RC" 3
expect_match "message" "$(cat "$T/mig.err")" '[Ii][Oo][Mm][Mm][Uu]|passed through'
untouched
end

begin "no feature accepted: it moves without them"
migrate_bent "$A" "$B" g 3 "--postcopy --precopy-iterations 1" \
    POSTCOPY_ADVISE:set32:24:0 -- POSTCOPY_READY:set32:28:0
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
end

begin "the same name at the destination already"
create_guest "$A" g 4 1 idle
migrate "$A" "$B" g
expect "it did not fail" [ "$RC" != 0 ]
expect_match "message" "$(cat "$T/mig.err")" 'exists|already|taken'
expect "the guest is still on A" is_here "$A" g
assert_runs_at "$B" g
end

begin "a guest there that has the name for what arrives"
expect "it cannot be named so" "$XL" --local "$B" rename g g--incoming
migrate "$A" "$B" g
expect_eq "exit code" "$RC" 1
expect_match "message" "$(cat "$T/mig.err")" 'a guest is called .g--incoming. here.*xl rename'
expect "the guest is still on A" is_here "$A" g
assert_runs_at "$B" g--incoming
end

finish

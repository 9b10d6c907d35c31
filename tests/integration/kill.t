#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# kill.t: either side, or both, killed at any point before COMMIT: the guest
# runs at the source with nothing lost, nothing is left at the destination,
# and the next migration succeeds.  After COMMIT the source never resumes.
#
# Version 2 has no COMMIT: its source lets go when it has written TRANSITION,
# which may be in a pipe's buffer by then, so its points lie in pre-copy.

. "$(dirname "$0")/lib.sh"
setup
need_craft

KILLED=1
SENDER=$(killer sender)
RECEIVER=$(killer receiver)

# killed WHO VERSION WAY RECORD "OPTIONS"
killed()
{
    local who=$1 version=$2 way=$3 record=$4 options=$5 op fwd=() back=()
    begin "$who killed at $record ($way), stream version $version, ${options:-pre-copy}"
    case $who in
    sender) op="$record:run:$SENDER" ;;
    receiver) op="$record:run:$RECEIVER" ;;
    both) op="$record:run:$SENDER; $RECEIVER" ;;
    esac
    if [ "$way" = fwd ]
    then
        fwd=("$op" "$record:cut")
    else
        back=("$op" "$record:cut")
    fi
    migrate_bent "$A" "$B" g "$version" "$options" \
        "${fwd[@]+"${fwd[@]}"}" -- "${back[@]+"${back[@]}"}"
    case $who in
    receiver) expect_eq "exit code of the sender" "$RC" 1 ;;
    *) expect_eq "exit code of the sender" "$RC" 137 ;;
    esac
    assert_stayed "$A" "$B" g
    [ ${#WHY[@]} = 0 ] || fresh_guest
    end
}

# One broken case does not spoil the next.
fresh_guest()
{
    destroy_all
    rm -f "$A"/* "$B"/*
    create_guest "$A" g 16 2 random
}

create_guest "$A" g 16 2 random
while read -r who version way record options
do
    killed "$who" "$version" "$way" "$record" "$options"
done <<'TABLE'
receiver 3 fwd IMAGE --postcopy
sender   3 fwd DOMAIN --postcopy
sender   3 fwd POSTCOPY_ADVISE --postcopy
both     3 back POSTCOPY_READY --postcopy
sender   3 back POSTCOPY_READY --postcopy
receiver 3 back POSTCOPY_READY
receiver 3 fwd PAGE_DATA#1 --postcopy --precopy-iterations 2
sender   3 fwd PAGE_DATA#3 --postcopy --precopy-iterations 2
both     3 fwd PAGE_DATA#2
receiver 3 fwd POSTCOPY_DISCARD --postcopy --precopy-iterations 0
sender   3 fwd POSTCOPY_BEGIN --postcopy --precopy-iterations 1
receiver 3 fwd POSTCOPY_BEGIN
receiver 3 fwd HVM_CONTEXT --postcopy --precopy-iterations 0
both     3 fwd HVM_PARAMS --postcopy --precopy-iterations 1
sender   3 fwd POSTCOPY_PFNS_BEGIN --postcopy --precopy-iterations 0
receiver 3 fwd POSTCOPY_TRANSITION --postcopy --precopy-iterations 1
sender   3 fwd POSTCOPY_TRANSITION
both     3 fwd UPPER --postcopy --precopy-iterations 1
sender   3 back POSTCOPY_PREPARED --postcopy --precopy-iterations 0
receiver 3 back POSTCOPY_PREPARED --postcopy --precopy-iterations 1
both     3 back POSTCOPY_PREPARED
receiver 2 fwd PAGE_DATA#1 --postcopy --precopy-iterations 1
sender   2 fwd PAGE_DATA#9 --postcopy --precopy-iterations 1
both     2 fwd PAGE_DATA#9 --postcopy --precopy-iterations 2
sender   2 fwd HVM_CONTEXT
receiver 2 fwd HVM_PARAMS
TABLE

begin "after all of that the guest still moves, and nothing is left over"
KILLED=
migrate "$A" "$B" g --postcopy --precopy-iterations 1
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
destroy_all
end

begin "the guest's own process dies while it is suspended: nobody says it runs"
create_guest "$A" g 16 1 random
migrate_bent "$A" "$B" g 3 "--postcopy --precopy-iterations 0" -- \
    "POSTCOPY_PREPARED:run:kill -KILL $(guest_pid "$A" g)" POSTCOPY_PREPARED:cut
expect_eq "exit code" "$RC" 1
expect_match "message" "$(cat "$T/mig.err")" '^xl: .g. was not migrated .*its process here is gone$'
expect "the guest is left at the destination" wait_until 10 is_gone "$B" g
destroy_all
end

# COMMIT has been written and nobody knows whether it was read: parked.
begin "receiver killed with COMMIT on its way: the source does not resume"
create_guest "$A" g 16 2 random
migrate_bent "$A" "$B" g 3 "--postcopy --precopy-iterations 0" \
    "POSTCOPY_COMMIT:run:$RECEIVER" POSTCOPY_COMMIT:cut --
expect_eq "exit code" "$RC" 4
before=$(guest_ops "$A" g)
expect "the source's copy is kept" is_here "$A" g
expect_eq "operations of the parked guest" "$(guest_ops "$A" g)" "$before"
expect "the guest is not left at the destination" wait_until 10 is_gone "$B" g
destroy_all
end

finish

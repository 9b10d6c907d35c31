#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# cli-loss.t: a side is lost in post-copy.  Both copies are kept, every command
# says so in words that lead out, and the way they name gets the guest back.

. "$(dirname "$0")/lib.sh"
setup
mkdir "$T/C"

# xl ARG...: output in $T/out and $T/err, exit code in RC.
xl()
{
    "$XL" "$@" >"$T/out" 2>"$T/err" </dev/null
    RC=$?
}

in_postcopy()
{
    # jq 1.6 is content with no input; -s makes it an empty array.
    "$XL" --local "$A" migrate-status --json g 2>/dev/null |
        jq -es '.[0].phase == "postcopy"' >/dev/null
}

# The process of a side's record.
recorded_pid() { jq -r .pid "$1/g.migration"; }

# CPU time of a process so far, in ticks.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# What either side says about the guest while nobody has decided.
say_what_is_known()
{
    expect_eq "state at the source" "$(guest_state "$A" g)" suspended
    expect "the record at the source" \
        jq -e '.side == "source" and .owner == "committed"' "$A/g.migration" >"$T/jq"
    expect "pages are not said to be missing at the destination" \
        test "$(guest_field "$B" g paging)" = true
    xl --local "$B" check g
    expect_eq "exit code of check at the destination" "$RC" 1
    expect_match "check at the destination" "$(cat "$T/err")" 'missing for good.*xl destroy.*xl resume'
    xl --local "$A" migrate-status g
    expect_eq "exit code of migrate-status at the source" "$RC" 1
    expect_match "migrate-status at the source" "$(cat "$T/err")" 'kept suspended here'
    xl --local "$B" migrate-status g
    expect_match "migrate-status at the destination" "$(cat "$T/err")" 'destroy it here, then resume it at its source'
    xl --local "$B" migrate g "$T/C"
    expect_eq "exit code of migrating it on" "$RC" 1
    expect_match "migrating it on" "$(cat "$T/err")" 'missing for good.*xl destroy.*xl resume'
    xl --local "$A" migrate g "$B"
    expect_eq "exit code of another migration" "$RC" 4
    expect_match "another migration" "$(cat "$T/err")" 'migrate-recover g DEST. goes on.*xl resume.*xl destroy'
}

# The guest waits for pages that never come: it must not burn the CPU.
nothing_spins()
{
    local pid before dir
    expect "an xl for A is left" wait_until 10 no_pager "$A"
    expect "an xl for B is left" wait_until 10 no_pager "$B"
    for dir in "$A" "$B"
    do
        pid=$(guest_pid "$dir" g)
        # Whatever it was at, it blocks soon: a quarter second without a tick.
        idle_soon() { before=$(ticks "$pid"); sleep 0.25; [ "$(ticks "$pid")" = "$before" ]; }
        expect "the guest in $(basename "$dir") spins" wait_until 8 idle_soon
    done
}

way_out()
{
    xl --local "$B" destroy g
    expect_eq "exit code of destroy" "$RC" 0
    xl --local "$A" resume g
    expect_eq "exit code of resume" "$RC" 0
    assert_stayed "$A" "$B" g
}

# lost WHO
lost()
{
    local receiver
    begin "the $1 is killed in post-copy"
    create_guest "$A" g 32 1 random
    migrate_bg "$A" "$B" g --postcopy --precopy-iterations 0 --postcopy-bandwidth 0.5
    expect "no post-copy" wait_until 20 in_postcopy
    receiver=$(recorded_pid "$B")
    xl --local "$A" resume g
    expect_eq "exit code of resume at a source under way" "$RC" 1
    case $1 in
    receiver) kill -KILL "$receiver" ;;
    sender) kill -KILL "$MIG_PID" ;;
    esac
    await "$MIG_PID" 20
    expect "the receiver has not ended" wait_until 20 gone "$receiver"
    case $1 in
    receiver)
        expect_eq "exit code of the sender" "$RC" 4
        expect_match "the sender" "$(cat "$T/mig.err")" 'kept here, suspended'
        expect_match "the sender" "$(cat "$T/mig.err")" 'pages missing for good.*destroy.*resume'
        ;;
    sender)
        expect_match "the receiver" "$(cat "$T/mig.err")" 'missing for good'
        expect_match "the receiver" "$(cat "$T/mig.err")" 'xl --local .* destroy g. here, then .xl resume g'
        expect "the record at the destination" \
            jq -e '.side == "destination" and .owner == "lost"' "$B/g.migration" >"$T/jq"
        ;;
    esac
    say_what_is_known
    nothing_spins
    way_out
    destroy_all
    end
}

lost receiver
lost sender

finish

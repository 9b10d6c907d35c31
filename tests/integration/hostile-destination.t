#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# hostile-destination.t: what comes back to `xl migrate` is bent in one place,
# or is no receiver at all.  Every case: one clear line, the documented exit
# code, and the guest runs on at the source with nothing lost.

. "$(dirname "$0")/lib.sh"
setup
need_craft

P1="--postcopy --precopy-iterations 1"
P0="--postcopy --precopy-iterations 0"

sender_spoke()
{
    local lines
    lines=$(grep -c '^xl: ' "$T/mig.err")
    [ "$lines" -ge 1 ] && [ "$lines" -le 2 ] ||
        fail "the sender said $lines lines, one was expected"
    expect_match "the sender's message" "$(cat "$T/mig.err")" "$1"
}

# bent WHAT VERSION "OPTIONS" MESSAGE-REGEX OP...
bent()
{
    local what=$1 version=$2 options=$3 message=$4
    shift 4
    ! left_out || return 0
    begin "version $version ${options:-pre-copy}: $what"
    migrate_bent "$A" "$B" g "$version" "$options" -- "$@"
    expect_eq "exit code" "$RC" "${WANT_RC:-1}"
    sender_spoke "$message"
    assert_stayed "$A" "$B" g
    end
}

# no_receiver WHAT MESSAGE-REGEX COMMAND
no_receiver()
{
    begin "instead of a receiver: $1"
    # shellcheck disable=SC2086
    migrate "$A" "$3" g -s '' $P1
    expect_eq "exit code" "$RC" 1
    sender_spoke "$2"
    assert_stayed "$A" "$B" g
    end
}

none_runs() { ! pgrep -f "^$1" >/dev/null; }

create_guest "$A" g 16 2 random

no_receiver "a command that does nothing" 'receiver|close|end|ready' 'exit 0'
no_receiver "a command that fails" 'receiver|close|end|exit|ready' 'exit 7'
no_receiver "a command that is not there" 'receiver|close|end|exit|ready' './no-such-command'
no_receiver "a chatty login shell" 'receiver|banner|ready|unexpected' 'yes "Welcome to this machine."'
no_receiver "zeroes" 'receiver|banner|ready|unexpected' 'cat /dev/zero'

# Silence has a deadline, but nobody has to wait for it.
begin "instead of a receiver: silence, and SIGINT"
migrate_bg "$A" "exec sleep 50" g -s '' $P1
expect "nothing listens" wait_until 10 grep -qs . "/proc/$MIG_PID/comm"
kill -INT "$MIG_PID"
await "$MIG_PID" 15
expect "exit code is $RC" [ "$RC" = 130 -o "$RC" = 1 ]
assert_stayed "$A" "$B" g
end

# What is started is not itself yet, and must not take the signal for ours.
begin "instead of a receiver: silence, and SIGINT as soon as it is there"
for try in $(seq 30); do
    migrate_bg "$A" "exec sleep 50.$$" g -s '' $P1
    # No rest in between: what is looked for lasts less than a millisecond.
    end=$((SECONDS + 10)) child=''
    until [ "$child" ] || [ "$SECONDS" -ge "$end" ]; do
        read -r child <"/proc/$MIG_PID/task/$MIG_PID/children"
    done 2>/dev/null
    kill -INT "$MIG_PID"
    await "$MIG_PID" 15
    expect "try $try: exit code is $RC" [ "$RC" = 130 -o "$RC" = 1 ]
done
expect "it still runs" wait_until 10 none_runs "sleep 50.$$"
assert_stayed "$A" "$B" g
end

# As an ssh that wants a password does, to which a line that is cut short is one.
begin "instead of a receiver: a question, and SIGINT: it is not asked again"
migrate_bg "$A" "echo asked >'$T/words'; cat >/dev/null; echo again >>'$T/words'" \
    g -s '' $P1
expect "nothing is asked" wait_until 10 grep -qs asked "$T/words"
kill -INT "$MIG_PID"
await "$MIG_PID" 15
expect_eq "exit code" "$RC" 1
expect_eq "what was asked" "$(cat "$T/words")" asked
expect_eq "what was said" "$(cat "$T/mig.err")" \
    "xl: \`g\` was not migrated: given up on request; it runs here"
assert_stayed "$A" "$B" g
end

# What is on its way to it by then fills every buffer.
begin "the banner, and then nothing is read: migrate-abort"
in_phase() { "$XL" --local "$A" migrate-status --json g 2>/dev/null | jq -es --arg p "$1" '.[0].phase == $p' >/dev/null; }
migrate_bg "$A" "printf 'xl migration receiver ready, send binary domain data.\\n'; exec sleep 50" \
    g -s '' --stream-version=2
expect "it does not get to pre-copy" wait_until 20 in_phase precopy
expect "migrate-abort failed" "$XL" --local "$A" migrate-abort g
await "$MIG_PID" 15
expect_eq "exit code" "$RC" 1
sender_spoke 'given up on request; it runs here'
assert_stayed "$A" "$B" g
end

begin "the banner, and then ADVISE is not answered: migrate-abort"
abort_it() { "$XL" --local "$A" migrate-abort g 2>/dev/null; }
# shellcheck disable=SC2086 # the options are words
migrate_bg "$A" "printf 'xl migration receiver ready, send binary domain data.\\n'; exec sleep 50" g -s '' $P1
expect "nothing can be given up" wait_until 20 abort_it
await "$MIG_PID" 15
expect_eq "exit code" "$RC" 1
sender_spoke 'given up on request; it runs here'
assert_stayed "$A" "$B" g
end

for record in POSTCOPY_READY POSTCOPY_PREPARED
do
    begin "silence instead of $record, and migrate-abort"
    migrate_bent_bg "$A" "$B" g 3 "$P1" -- "$record:run:touch $T/silent" "$record:hang"
    expect "$record never came" wait_until 20 test -e "$T/silent"
    expect "migrate-abort failed" "$XL" --local "$A" migrate-abort g
    await "$MIG_PID" 20
    expect_eq "exit code" "$RC" 1
    assert_stayed "$A" "$B" g
    rm -f "$T/silent"
    end
done

bent "closes before READY" 3 "$P1" 'close|end|lost|READY' POSTCOPY_READY:cut
bent "closes inside READY" 3 "$P1" 'close|end|lost|READY' POSTCOPY_READY:cut:11
bent "READY of another session" 3 "$P1" 'session' POSTCOPY_READY:set64:8:1
bent "READY accepts what was not offered" 3 "$P1" 'feature' POSTCOPY_READY:set32:28:0xff00
bent "READY with a text that is not there" 3 "$P1" 'text|length|READY' POSTCOPY_READY:set32:32:200
bent "READY of 4 GiB" 3 "$P1" 'length' POSTCOPY_READY:set32:4:0xffffffff
bent "READY twice" 3 "$P1" 'READY' POSTCOPY_READY:dup
bent "noise for READY" 3 "$P1" 'record|type|unknown|not known|length' POSTCOPY_READY:garbage:64
bent "COMPLETE before READY" 3 "$P1" 'COMPLETE' POSTCOPY_READY:insert:POSTCOPY_COMPLETE
bent "COMPLETE before PREPARED" 3 "$P0" 'COMPLETE' POSTCOPY_PREPARED:insert:POSTCOPY_COMPLETE
bent "PREPARED before READY" 3 "$P1" 'PREPARED' \
    POSTCOPY_READY:insert:POSTCOPY_PREPARED:000102030405060708090a0b0c0d0e0f0000000000000000
bent "RUNNING before PREPARED" 3 "$P0" 'RUNNING' \
    POSTCOPY_PREPARED:insert:POSTCOPY_RUNNING:000102030405060708090a0b0c0d0e0f0000000000000000
bent "PREPARED of another session" 3 "$P0" 'session' POSTCOPY_PREPARED:set64:8:1
bent "PREPARED of another epoch" 3 "$P0" 'epoch' POSTCOPY_PREPARED:set64:24:7
bent "closes before PREPARED" 3 "$P0" 'close|end|lost|PREPARED' POSTCOPY_PREPARED:cut
bent "FAULT outside the guest" 3 "$P0" 'pfn|FAULT' \
    POSTCOPY_PREPARED:insert:POSTCOPY_FAULT:0100000000000000ffffffffff000000
bent "FAULT with a type" 3 "$P0" 'type|entry|reserved' \
    POSTCOPY_PREPARED:insert:POSTCOPY_FAULT:010000000000000005000000000000f0
bent "FAULT for no page" 3 "$P0" 'count|length' \
    POSTCOPY_PREPARED:insert:POSTCOPY_FAULT:0000000000000000
bent "FAULT before anything was announced" 3 "$P1" 'FAULT|announced' \
    POSTCOPY_READY:runafter:true POSTCOPY_ACK:insert:POSTCOPY_FAULT:01000000000000000500000000000000
bent "ACK for more than was sent" 3 "$P1" 'ACK' POSTCOPY_ACK:set64:8:0xffffffffffff
bent "a mandatory record nobody knows" 3 "$P1" '0x77|unknown|not known' POSTCOPY_PREPARED:insert:0x77:00
bent "a record of the forward channel" 3 "$P1" '0x113|TRANSITION|unknown|not known' POSTCOPY_PREPARED:insert:0x113
bent "NAK of another session" 3 "$P0" 'session|NAK' \
    POSTCOPY_PREPARED:insert:POSTCOPY_NAK:000102030405060708090a0b0c0d0e0f00000000000000000800000000000000
destroy_all

create_guest "$A" g 16 1 idle
bent "FAULT for a page never announced" 3 "$P1" 'announced|FAULT' \
    POSTCOPY_PREPARED:insert:POSTCOPY_FAULT:01000000000000000500000000000000
destroy_all

begin "version 3: optional records nobody knows are skipped"
create_guest "$A" g 16 2 random
migrate_bent "$A" "$B" g 3 "$P1" -- POSTCOPY_READY:insert:0x800000ff:01 \
    POSTCOPY_COMPLETE:insert:0x80000100:0102030405060708
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
destroy_all
end

finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# hostile-source.t: a real stream bent in one place on its way to
# migrate-receive.  Every case: the receiver says one clear line and ends with
# its documented exit code in bounded memory, nothing is left at the
# destination, and the guest runs on at the source with nothing lost.

. "$(dirname "$0")/lib.sh"
setup
need_craft

# What a receiver of a 16 MiB guest may hold (64 MiB and 4 octets a page);
# sanitizers keep shadow memory of their own, so there it is not asked.
limit_kib=$((64 * 1024 + 16 + 8 * 1024))
grep -q __asan_init "$XL" && limit_kib=

# The receiver's own words: one line, perhaps one more of xl's summing up.
receiver_spoke()
{
    local lines
    lines=$(grep -c . "$T/recv.err")
    [ "$lines" -ge 1 ] && [ "$lines" -le 2 ] ||
        fail "the receiver said $lines lines, one was expected"
    expect_match "the receiver's message" "$(cat "$T/recv.err")" "$1"
}

memory_bounded()
{
    [ "$limit_kib" ] || return 0
    [ "$(cat "$T/recv.rss" 2>/dev/null || echo 999999999)" -le "$limit_kib" ] ||
        fail "the receiver held $(cat "$T/recv.rss") KiB"
}

# bent WHAT VERSION "OPTIONS" MESSAGE-REGEX OP...
bent()
{
    local what=$1 version=$2 options=$3 message=$4
    shift 4
    ! left_out || return 0
    begin "version $version ${options:-pre-copy}: $what"
    migrate_bent "$A" "$B" g "$version" "$options" "$@" --
    expect_eq "exit code of the sender" "$RC" "$want"
    expect_eq "exit code of the receiver" "$(recv_rc)" 1
    receiver_spoke "$message"
    memory_bounded
    assert_stayed "$A" "$B" g
    [ ${#WHY[@]} = 0 ] || fresh_guest
    end
}

fresh_guest()
{
    destroy_all
    rm -f "$A"/* "$B"/*
    create_guest "$A" g 16 2 random
}

P1="--postcopy --precopy-iterations 1"
P0="--postcopy --precopy-iterations 0"
SESSION=000102030405060708090a0b0c0d0e0f
EPOCH=0000000000000000

create_guest "$A" g 16 2 random
want=3 # refused before the guest was touched

# Headers.
bent "a stream version nobody knows" 3 "$P1" 'version' IMAGE:set32:12:0x09000000
bent "big-endian" 3 "$P1" 'endian|options' IMAGE:set16:16:0x0100
bent "another mark" 3 "$P1" 'marker|image header|id' IMAGE:set8:0:0
bent "another id" 3 "$P1" 'id|image header' IMAGE:set8:8:0
bent "a PV guest" 3 "$P1" 'type|PV' DOMAIN:set32:0:1
bent "a kind of guest nobody knows" 3 "$P1" 'type' DOMAIN:set32:0:77
bent "pages of 8 KiB" 3 "$P1" 'page_shift|page shift' DOMAIN:set16:4:13

bent "noise for an image" 3 "$P1" 'image|marker' IMAGE:garbage:4096 IMAGE:cut
bent "ADVISE with 2^32 - 1 params" 3 "$P1" 'param|length' POSTCOPY_ADVISE:set32:40:0xffffffff
bent "ADVISE of a guest of 2^40 pages" 3 "$P1" 'pages' POSTCOPY_ADVISE:set64:32:0x10000000000
bent "ADVISE of a guest without pages" 3 "$P1" 'nr_pfns' POSTCOPY_ADVISE:set64:32:0

want=1 # it failed, and runs here

# The stream ends too early.
bent "cut in the image header" 3 "$P1" 'end|close|lost' IMAGE:cut:10
bent "cut in the domain header" 3 "$P1" 'end|close|lost' DOMAIN:cut:3
bent "cut in ADVISE" 3 "$P1" 'end|close|lost' POSTCOPY_ADVISE:cut:20
bent "cut in a record's header" 3 "$P1" 'end|close|lost' PAGE_DATA:cut:5
bent "cut in page contents" 3 "$P1" 'end|close|lost' PAGE_DATA:cut:3000
bent "cut in HVM_CONTEXT" 3 "$P1" 'end|close|lost' HVM_CONTEXT:cut:12
bent "cut at TRANSITION" 3 "$P0" 'end|close|lost' POSTCOPY_TRANSITION:cut
bent "cut in the upper layer" 3 "$P0" 'end|close|lost' UPPER:cut:4
bent "cut in page contents" 2 "" 'end|close|lost' PAGE_DATA:cut:3000

# Noise.
bent "noise for a record" 3 "$P1" 'record|type|length' PAGE_DATA:garbage:4096 PAGE_DATA:cut

# Sizes.
bent "PAGE_DATA of 4 GiB" 3 "$P1" 'length' PAGE_DATA:set32:4:0xffffffff
bent "PAGE_DATA of 0 octets" 3 "$P1" 'length' PAGE_DATA:set32:4:0
bent "PAGE_DATA with 2^32 - 1 pages" 3 "$P1" 'count' PAGE_DATA:set32:8:0xffffffff
bent "PAGE_DATA with no page" 3 "$P1" 'count' PAGE_DATA:set32:8:0
bent "HVM_CONTEXT of 128 MiB" 3 "$P1" 'length' HVM_CONTEXT:set32:4:0x08000000
bent "HVM_PARAMS with 2^32 - 1 entries" 2 "" 'count|length' HVM_PARAMS:set32:8:0xffffffff

# Pages.
bent "PAGE_DATA outside the guest" 3 "$P1" 'pfn' PAGE_DATA:set64:16:0x0000000fffffffff
bent "PAGE_DATA outside the guest" 2 "$P1" 'pfn' PAGE_DATA:set64:16:0x0000000fffffffff
bent "PAGE_DATA outside the guest" 2 "" 'pfn' PAGE_DATA:set64:16:0x0000000fffffffff
bent "reserved bits in an entry" 3 "$P1" 'entry|pfn|reserved' PAGE_DATA:set64:16:0x0010000000000001
bent "DISCARD outside the guest" 3 "$P0" 'pfn|run|entry|nr_pages' POSTCOPY_DISCARD:set64:24:0xffffffffff
bent "PFNS outside the guest" 3 "$P0" 'pfn' \
    POSTCOPY_TRANSITION:insert:POSTCOPY_PFNS:0100000000000000ffffffff0f000000

# Order.
bent "TRANSITION during pre-copy" 3 "$P1" 'TRANSITION' PAGE_DATA:insert:POSTCOPY_TRANSITION
bent "END during pre-copy of an advised stream" 3 "$P1" 'END' PAGE_DATA:insert:END
bent "COMMIT during pre-copy" 3 "$P1" 'COMMIT' "PAGE_DATA:insert:POSTCOPY_COMMIT:$SESSION$EPOCH"
bent "ADVISE twice" 3 "$P1" 'ADVISE' POSTCOPY_ADVISE:dup
bent "BEGIN twice" 3 "$P1" 'BEGIN' POSTCOPY_BEGIN:dup
bent "no PFNS_BEGIN" 3 "$P0" 'TRANSITION|PFNS' POSTCOPY_PFNS_BEGIN:drop
bent "no HVM_CONTEXT" 3 "$P1" 'HVM_CONTEXT' HVM_CONTEXT:drop
bent "a PV record" 3 "$P1" 'PV_INFO' PAGE_DATA:insert:X86_PV_INFO:0200000000000000
bent "a mandatory record nobody knows" 3 "$P1" '0x0*7f.*unknown' PAGE_DATA:insert:0x7f:0102030405060708
bent "a mandatory record nobody knows" 2 "$P1" '0x0*7f.*unknown' PAGE_DATA:insert:0x7f:0102030405060708
bent "a record of version 3" 2 "$P1" '0x0*120' PAGE_DATA:insert:0x120:0102030405060708
bent "a record of the back channel" 3 "$P1" '0x0*115' \
    PAGE_DATA:insert:0x115:01000000000000000500000000000000

# State.
bent "HVM_CONTEXT that is noise" 3 "$P1" 'HVM|context' HVM_CONTEXT:set64:8:0xdeadbeefdeadbeef HVM_CONTEXT:set64:16:0xffffffffffffffff
bent "ABORT of another session" 3 "$P1" 'session|ABORT' "PAGE_DATA:insert:POSTCOPY_ABORT:$SESSION${EPOCH}0800000000000000"

# COMMIT is out, but for another session: the destination fences itself and
# says so, and only then the source takes the guest back.
begin "version 3 $P0: COMMIT of another session"
migrate_bent "$A" "$B" g 3 "$P0" POSTCOPY_COMMIT:set64:8:1 --
expect_eq "exit code of the sender" "$RC" 1
expect_eq "exit code of the receiver" "$(recv_rc)" 1
receiver_spoke 'session'
assert_stayed "$A" "$B" g
destroy_all
end

# An idle guest owes nothing after a round: any page pushed was not announced.
create_guest "$A" g 16 1 idle
bent "a page pushed that was not announced" 3 "$P1" 'announced' \
    POSTCOPY_COMMIT:insert:ZERO_PAGES:01000000000000000500000000000000
destroy_all

# What may be skipped is.  (ACK counts octets, and there are more of them now
# than were sent: it is not offered.)
for version in 3 2
do
    begin "version $version: optional records nobody knows are skipped and counted"
    create_guest "$A" g 16 2 random
    migrate_bent "$A" "$B" g "$version" "$P1" \
        PAGE_DATA:insert:0x800000ff:0102030405060708 \
        POSTCOPY_BEGIN:insert:0x80000100 \
        POSTCOPY_PAGE_DATA:insert:0x8fffffff:01 \
        POSTCOPY_ADVISE:set32:24:5 --
    expect_eq "exit code" "$RC" 0
    assert_moved "$A" "$B" g
    [ "$version" = 2 ] || expect_json "skipped records in the statistics" \
        "$T/mig.stats" '[.. | .skipped_records? // empty] | max == 3'
    destroy_all
    end
done

# No stream at all.
begin "migrate-receive and noise instead of a stream"
head -c 100000 "$XL" | timeout 20 "$XL" --local "$B" migrate-receive \
    >"$T/recv.out" 2>"$T/recv.err"
expect_eq "exit code" "$?" 1
receiver_spoke 'xl save file'
no_leftovers "$B"
end

begin "migrate-receive and nothing at all"
timeout 20 "$XL" --local "$B" migrate-receive </dev/null >"$T/recv.out" 2>"$T/recv.err"
expect_eq "exit code" "$?" 1
receiver_spoke 'end|close|header'
no_leftovers "$B"
end

finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# wire.t: what our two sides really say to each other is valid, in both
# directions, by the validator that also judges streams of stock Xen.

. "$(dirname "$0")/lib.sh"
setup

# What is not the stream's on the channels is xl's: the banner line in front of
# the back channel, and stock xl's texts after either.
GO_LEN=44       # "domain is yours, you are cleared to unpause" and its NUL
POSTCOPY2_LEN=42 # "postcopy migration completed successfully", likewise

# A receiver whose octets are kept, both ways.
printf '#!/bin/sh\ntee %s | %s --local %s migrate-receive %s 2>%s | tee %s\n' \
    "$T/fwd" "$XL" "$B" "\${RECV_OPTS:-}" "$T/recv.err" "$T/back" >"$T/dest.sh"
chmod +x "$T/dest.sh"

forward_is_valid()
{
    local texts=0
    [ "$1$2" = 2 ] && texts=$GO_LEN
    head -c "-$texts" "$T/fwd" >"$T/stream"
    "$VERIFY" -f xl "$T/stream" >"$T/verify.out" 2>&1 ||
        fail "forward: $(tail -n 2 "$T/verify.out")"
    "$VERIFY" "$T/stream" >"$T/verify.out" 2>&1 ||
        fail "forward, format found out: $(tail -n 2 "$T/verify.out")"
}

back_is_valid()
{
    local texts=0
    [ "$1$2" = 2 ] && return # stock xl's texts, no record
    [ "$1" = 2 ] && texts=$POSTCOPY2_LEN
    head -n 1 "$T/back" | grep -q 'receiver ready' || fail "no banner"
    tail -n +2 "$T/back" | head -c "-$texts" >"$T/stream"
    "$VERIFY" -f libxc --back --stream-version "$1" "$T/stream" >"$T/verify.out" 2>&1 ||
        fail "back: $(tail -n 2 "$T/verify.out")"
}

while read -r version workload options
do
    begin "stream version $version, $workload, ${options:-pre-copy}"
    create_guest "$A" g 16 2 "$workload"
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$T/dest.sh" g -s '' --stream-version="$version" $options
    expect_eq "exit code" "$RC" 0
    forward_is_valid "$version" "$options"
    back_is_valid "$version" "$options"
    assert_moved "$A" "$B" g
    destroy_all
    end
done <<'TABLE'
3 random --postcopy --precopy-iterations 0
3 seq --postcopy --precopy-iterations 2
3 idle --postcopy --precopy-iterations 1
3 random
3 idle
2 random --postcopy --precopy-iterations 0
2 random --postcopy --precopy-iterations 2
2 seq
TABLE

finish

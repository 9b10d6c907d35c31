#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# pause.t: -p leaves the guest paused at the destination with every page in;
# a guest its administrator had paused arrives paused; unpause then works.

. "$(dirname "$0")/lib.sh"
setup

arrives_paused()
{
    expect "not on B" is_here "$B" g
    expect_eq "state on B" "$(guest_state "$B" g)" paused
    sound "$B" g
    no_userfaultfd "$B" g
    before=$(guest_ops "$B" g)
    expect_eq "operations while paused" "$(guest_ops "$B" g)" "$before"
    assert_source_gone "$A" g
    expect "unpause failed" "$XL" --local "$B" unpause g
    assert_moved "$A" "$B" g
}

while read -r version options
do
    begin "-p, stream version $version, ${options:-pre-copy}"
    create_guest "$A" g 16 2 random
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g -p --stream-version="$version" $options
    expect_eq "exit code" "$RC" 0
    arrives_paused
    destroy_all
    end

    begin "paused by its administrator, stream version $version, ${options:-pre-copy}"
    create_guest "$A" g 16 2 random
    expect "pause failed" "$XL" --local "$A" pause g
    # shellcheck disable=SC2086
    migrate "$A" "$B" g --stream-version="$version" $options
    expect_eq "exit code" "$RC" 0
    arrives_paused
    destroy_all
    end
done <<'TABLE'
3 --postcopy --precopy-iterations 0
3 --postcopy --precopy-iterations 2
3
2 --postcopy --precopy-iterations 1
2
TABLE

finish

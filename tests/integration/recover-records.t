#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# recover-records.t: one direction of a migration's connection is cut right at
# each record of the hand-over and of post-copy, the other is left to notice.

. "$(dirname "$0")/lib.sh"
setup
need_craft
. "$(dirname "$0")/recover-lib.sh"

create_guest "$A" g 8 2 random

# at RECORD WAY: the connection is cut right after a record
for point in "POSTCOPY_TRANSITION fwd" "UPPER fwd" "POSTCOPY_PREPARED back" \
    "POSTCOPY_COMMIT fwd" "POSTCOPY_RUNNING back" "POSTCOPY_PAGE_DATA#3 fwd" \
    "POSTCOPY_FAULT back" "POSTCOPY_ACK#4 back" "POSTCOPY_STATS back" \
    "POSTCOPY_COMPLETE back" "END fwd"
do
    read -r record way <<<"$point"
    begin "cut at $record"
    ops=("$record:cut")
    if [ "$way" = fwd ]
    then
        receiver_script "$T/dest.sh" 3 "$B" "${ops[@]}" --
    else
        receiver_script "$T/dest.sh" 3 "$B" -- "${ops[@]}"
    fi
    # shellcheck disable=SC2086
    migrate_bg "$A" "$T/dest.sh" g -s '' $P0
    expect "neither lost nor over" wait_until 30 lost_or_over
    recover_until_over 3
    settled
    end
done

destroy_all
finish

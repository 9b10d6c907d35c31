#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# limits.t: what a user sets on a migration is kept to: rates are not exceeded,
# and --threshold and --max-downtime decide when pre-copy has done enough.

. "$(dirname "$0")/lib.sh"
setup

stat_is() { expect_json "$1" "$T/mig.stats" "$2"; }

# Never faster than the rate, over the whole phase; slower is no fault.
# no_faster BYTES FROM TO MB/S: jq expressions
no_faster()
{
    stat_is "no faster than $4 MB/s ($(jq -c "[$1, $3 - $2]" "$T/mig.stats") octets, us)" \
        "$1 > 0 and ($3 - $2) * $4 >= 0.9 * $1"
}

# ---- Rates -----------------------------------------------------------------------

# An idle guest takes no page out of turn: all go at the rate.
for version in 3 2
do
    begin "--bandwidth 8, version $version"
    create_guest "$A" g 32 1 idle
    migrate "$A" "$B" g --stream-version="$version" --bandwidth 8
    expect_eq "exit code" "$RC" 0
    stat_is "the whole guest went in pre-copy" '.pages.precopy >= .pages.guest'
    no_faster .bytes.precopy 0 .times_us.suspend_request 8
    destroy_all
    end

    begin "--postcopy-bandwidth 8, version $version"
    create_guest "$A" g 32 1 idle
    migrate "$A" "$B" g --stream-version="$version" --postcopy --precopy-iterations 0 --postcopy-bandwidth 8
    expect_eq "exit code" "$RC" 0
    stat_is "it was the push that brought the pages" '.pages.push > .pages.guest * 0.9'
    no_faster .bytes.push .times_us.transition .total_us 8
    assert_moved "$A" "$B" g
    destroy_all
    end
done

begin "--postcopy-bandwidth does not hold pre-copy back, nor pages that are waited for"
create_guest "$A" g 8 1 random
migrate "$A" "$B" g --postcopy --precopy-iterations 1 --postcopy-bandwidth 0.1
expect_eq "exit code" "$RC" 0
# At 0.1 MB/s one round of the guest would take a minute and a half.
stat_is "pre-copy was not the push" '.pages.precopy >= .pages.guest'
stat_is "pages were asked for" '.pages.fault > .pages.push'
assert_moved "$A" "$B" g
destroy_all
end

# ---- When pre-copy has done enough --------------------------------------------------

# Dirties 800 pages a second where 2900 are sent: every round leaves less, the
# second still hundreds; a machine four times too slow changes nothing.
while IFS='|' read -r rounds postcopy options
do
    begin "two rounds allowed, $options: $rounds taken, post-copy $postcopy"
    create_guest "$A" g 16 1 random --rate 800
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g --postcopy --precopy-iterations 2 --bandwidth 12 $options
    expect_eq "exit code" "$RC" 0
    expect_json "rounds and post-copy ($(jq -c '[.nr_rounds, .postcopy, .rounds[].dirty_pages]' "$T/mig.stats"))" \
        "$T/mig.stats" ".nr_rounds == $rounds and .postcopy == $postcopy"
    assert_moved "$A" "$B" g
    destroy_all
    end
done <<'TABLE'
2|true|--threshold 0
1|false|--threshold 4096
2|true|--threshold 0 --max-downtime 1
1|false|--threshold 0 --max-downtime 60000
TABLE

finish

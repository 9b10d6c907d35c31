#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# stats.t: the statistics hold together: sums, order of instants, both ends'
# figures; progress lines parse and their phases come in order.

. "$(dirname "$0")/lib.sh"
setup

stat_is() { expect_json "$1" "$T/mig.stats" "$2"; }

members_documented()
{
    stat_is "every member is there" 'def has_all($k): . as $o | all($k[]; . as $m | $o | has($m));
        has_all(["name", "destination_address", "outcome", "exit_status", "owner", "why", "refused", "refuse_reason",
            "parameters", "stream_version", "postcopy", "features", "times_us", "total_us", "downtime_us", "downtime",
            "bytes", "pages", "nr_rounds", "rounds", "bandwidth_bytes_per_s", "dirty_pages_per_s", "faults",
            "faults_late", "skipped_records", "destination", "guest"])
        and (.times_us | has_all(["ready", "suspend_request", "suspended", "transition", "prepared", "commit",
            "running", "complete", "end"]))
        and (.bytes | has_all(["total", "back", "precopy", "resume_set", "announce", "state", "fault", "push",
            "other", "upper"]))
        and (.pages | has_all(["guest", "precopy", "resume_set", "announced", "fault", "push", "zero"]))'
}

sums_hold()
{
    stat_is "octets by class add up to the total" \
        '.bytes | .total == .precopy + .resume_set + .announce + .state + .fault + .push + .other + .upper'
    # Headers, ADVISE, BEGIN, COMMIT, END and the like.
    stat_is "what no class claims is little" '.bytes.other < 2048'
    stat_is "every announced page was sent once" '.pages | .fault + .push == .announced'
    # Stop-and-copy sends its last pages behind the rounds; a guest that gets
    # little of a busy machine may well end so.
    stat_is "rounds add up" '([.rounds[].sent_pages] | add // 0) as $sum | (if .postcopy then $sum == .pages.precopy
        else $sum <= .pages.precopy end) and (.rounds | length) == .nr_rounds'
    stat_is "no more faults than announced pages" '.faults <= .pages.announced'
    stat_is "pages asked for were faults" '.pages.fault + .faults_late <= .faults'
    stat_is "the outcome" '.outcome == "done" and .exit_status == 0 and .refused == false and .why == null and .owner == "done"'
    stat_is "the guest's own account" '.guest.check_ok and .guest.ops == .guest.counters and .guest.errors == 0'
}

order_holds()
{
    stat_is "instants in order" '[.times_us | .ready, .suspend_request, .suspended, .transition, .prepared, .commit, .running, .complete, .end]
        | map(select(. != null)) | . == sort and length >= 6'
    stat_is "downtime is less than the whole" '.downtime_us == null or .downtime_us <= .total_us'
}

while read -r version workload rounds
do
    begin "post-copy, version $version, $workload, $rounds rounds"
    create_guest "$A" g 32 1 "$workload"
    migrate "$A" "$B" g --postcopy --precopy-iterations "$rounds" --stream-version="$version"
    expect_eq "exit code" "$RC" 0
    members_documented
    sums_hold
    order_holds
    stat_is "what was asked for" ".stream_version == $version and .nr_rounds <= $rounds and (.postcopy or $rounds > 0)"
    [ "$rounds" != 0 ] || stat_is "with no round every page travels once, while suspended or after" \
        '.pages | .precopy == 0 and .resume_set + .announced == .guest'
    if [ "$version" = 3 ]
    then
        # One it took from a page that came meanwhile is not asked for.
        stat_is "no fault the destination did not have" '.destination.faults >= .faults'
        stat_is "no page came twice" '.destination.duplicates == 0'
        stat_is "fault service histogram" '.destination.fault_service | (.histogram | add) == .count and .p50_us <= .p99_us and .p99_us <= .max_us'
        stat_is "steps of the downtime add up to it" \
            '(.downtime | .to_transition_us + .prepare_us + .commit_us + .run_us) == .downtime_us'
    fi
    assert_moved "$A" "$B" g
    destroy_all
    end
done <<'TABLE'
3 random 0
3 seq 2
3 idle 1
2 random 0
2 seq 1
TABLE

begin "pre-copy: nothing announced, nothing pushed, no fault"
create_guest "$A" g 32 1 random
migrate "$A" "$B" g
expect_eq "exit code" "$RC" 0
members_documented
stat_is "no post-copy" '.postcopy == false and .faults == 0 and .pages.announced == 0 and .pages.push == 0 and .pages.fault == 0'
stat_is "every page travelled" '.pages.precopy + .pages.resume_set >= .pages.guest'
destroy_all
end

begin "a guest of zeroes costs next to nothing"
create_guest "$A" g 64 1 random --working-set 1 --populate 0
migrate "$A" "$B" g --postcopy --precopy-iterations 0
expect_eq "exit code" "$RC" 0
stat_is "zero pages travel bare" '.pages.zero > 15000 and .bytes.total < 4000000'
assert_moved "$A" "$B" g
destroy_all
end

begin "progress lines parse, their phases come in order"
create_guest "$A" g 64 2 random
migrate "$A" "$B" g --postcopy --precopy-iterations 2 --bandwidth 200 --progress=json
expect_eq "exit code" "$RC" 0
jq -s . "$T/mig.out" >"$T/lines.json" 2>/dev/null
expect_json "every line is a JSON object" "$T/lines.json" 'length > 4 and all(.[]; type == "object")'
jq -s '[.[] | select(.type == "progress")]' "$T/mig.out" >"$T/progress.json" 2>/dev/null
expect_json "phases in order" "$T/progress.json" 'map(.phase) | map({setup: 0, precopy: 1, "pre-copy": 1, suspend: 2, handover: 3, postcopy: 4, done: 5}[.] // -1) |
    length >= 4 and . == sort and min >= 0'
expect_json "time goes on, rounds do not go back" "$T/progress.json" \
    '(map(.elapsed_us) | . == sort) and (map(select(.phase == "precopy") | .round) | . == sort)'
expect_json "pages stay within the guest" "$T/progress.json" 'all(.[]; .done_pages <= .total_pages and .percent <= 100 and .name == "g")'
assert_moved "$A" "$B" g
destroy_all
end

# A pipe that is full when it begins, and nobody reads: descriptor 7 has it open.
# stuck WHICH: 1 is where progress goes, 2 what else is said
stuck()
{
    local ways=(-1 "$T/mig.out" "$T/mig.err")
    ways[$1]=$T/pipe
    mkfifo "$T/pipe"
    exec 7<>"$T/pipe"
    dd if=/dev/zero of="$T/pipe" oflag=nonblock bs=4096 count=1024 2>/dev/null
    "$XL" --local "$A" migrate --postcopy --precopy-iterations 0 \
        --progress="$2" g "$B" >"${ways[1]}" 2>"${ways[2]}" 7>&- </dev/null &
    MIG_PID=$!
    PIDS+=("$MIG_PID")
}
read_on()
{
    cat <&7 >/dev/null &
    PIDS+=("$!")
    await "$MIG_PID" 20
    exec 7>&-
    rm "$T/pipe"
}
for way in '1 json' '2 auto'
do
    begin "a reader that does not read holds nothing up ($way)"
    create_guest "$A" g 32 1 random
    # shellcheck disable=SC2086  # two words
    stuck $way
    expect "the guest does not leave" wait_until 30 is_gone "$A" g
    assert_runs_at "$B" g
    read_on
    expect_eq "exit code" "$RC" 0
    destroy_all
    end
done

finish

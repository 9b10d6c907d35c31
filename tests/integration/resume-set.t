#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# resume-set.t: a guest's vcpu_info pages, which it registers anew the moment
# it resumes, must not be missing then (DESIGN section 5).  They travel while
# it is suspended, also with no pre-copy round; left out, it crashes.

. "$(dirname "$0")/lib.sh"
setup
need_craft

while read -r version vcpus workload rounds
do
    begin "alive: stream version $version, $vcpus vCPUs, $workload, $rounds rounds"
    create_guest "$A" g 16 "$vcpus" "$workload"
    migrate "$A" "$B" g --postcopy --precopy-iterations "$rounds" \
        --stream-version="$version"
    expect_eq "exit code" "$RC" 0
    assert_moved "$A" "$B" g
    destroy_all
    end
done <<'TABLE'
3 16 random 0
3 1 idle 0
3 2 seq 2
2 16 random 0
2 2 random 1
TABLE

# With 0 rounds every plain page before BEGIN belongs to the resume set.
begin "the resume set kept from the destination: the guest crashes there"
create_guest "$A" g 16 2 random
migrate_bent_bg "$A" "$B" g 3 "--postcopy --precopy-iterations 0" \
    PAGE_DATA#0:drop --
expect "no crash was noticed" wait_until 20 is_state "$B" g crashed
await "$MIG_PID" 30
[ "$(guest_state "$A" g)" != running ] || fail "the source runs it as well"
expect_eq "exit code" "$RC" 0
expect_match "the receiver" "$(cat "$T/recv.err")" \
    '.g. has crashed here: register_vcpu_info'
destroy_all
end

begin "a guest that crashed where it arrived: said by both sides, and by check"
create_guest "$A" g 16 2 random
XEN_POSTCOPY_NO_RESUME_SET=1 migrate "$A" "$B" g --postcopy \
    --precopy-iterations 0 --postcopy-bandwidth 2
expect_eq "exit code" "$RC" 0
expect_match "summary" "$(cat "$T/mig.out")" "^g has crashed at $B, moved post-copy"
expect_match "the receiver" "$(cat "$T/mig.err")" \
    '.g. has crashed here: register_vcpu_info'
"$XL" --local "$B" check g >"$T/out" 2>&1 && fail "check calls it well"
expect_match "check" "$(cat "$T/out")" 'has crashed: register_vcpu_info'
expect_match "check" "$(cat "$T/out")" 'pages were missing when it crashed'
[ "$(grep -c 'check again' "$T/out")" = 0 ] || fail "check says: check again"
destroy_all
end

finish

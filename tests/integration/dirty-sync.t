#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# dirty-sync.t: the dirty log of kernels without WP_ASYNC and PAGEMAP_SCAN
# (Debian 12's own), forced here, loses nothing either.

. "$(dirname "$0")/lib.sh"
setup
export XEN_POSTCOPY_LOCAL_DIRTY=sync

while read -r version workload vcpus options
do
    begin "synchronous dirty log, version $version, $workload, $vcpus vCPUs, ${options:-pre-copy}"
    rm -f "$A/g.log"
    create_guest "$A" g 32 "$vcpus" "$workload"
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g --stream-version="$version" $options
    expect_eq "exit code" "$RC" 0
    expect "another dirty log was in force" grep -qs '^g: dirty log: synchronous$' "$A/g.log"
    assert_moved "$A" "$B" g
    destroy_all
    end
done <<'TABLE'
3 random 2
3 seq 16 --postcopy --precopy-iterations 0
3 random 2 --postcopy --precopy-iterations 3
2 random 1 --postcopy --precopy-iterations 1
2 seq 2
TABLE

# A guest that arrived has memory of huge pages, one that started here has not;
# and a machine without huge pages to spare gives small ones.
unset XEN_POSTCOPY_LOCAL_DIRTY
while read -r dirty memory options
do
    begin "there and back, ${dirty/-/any} dirty log, ${memory/-/any} memory, ${options:-pre-copy}"
    [ "$dirty" = - ] || export XEN_POSTCOPY_LOCAL_DIRTY=$dirty
    [ "$memory" = - ] || export XEN_POSTCOPY_LOCAL_MEMORY=$memory
    create_guest "$A" g 32 2 random
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g $options
    expect_eq "exit code" "$RC" 0
    assert_moved "$A" "$B" g
    # shellcheck disable=SC2086
    migrate "$B" "$A" g $options
    expect_eq "exit code of the way back" "$RC" 0
    assert_moved "$B" "$A" g
    destroy_all
    unset XEN_POSTCOPY_LOCAL_DIRTY XEN_POSTCOPY_LOCAL_MEMORY
    end
done <<'TABLE'
- - --postcopy --precopy-iterations 2
- small --postcopy --precopy-iterations 1
- mixed --postcopy --precopy-iterations 1
sync -
sync - --postcopy --precopy-iterations 1
TABLE

finish

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

finish

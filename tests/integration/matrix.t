#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# matrix.t: a working guest moves there and back again, nothing lost, over
# every pair of: way of moving, stream version, workload, vCPUs and memory.
# XP_BRIEF=1 (check-asan) takes every third row and no gigabyte.

. "$(dirname "$0")/lib.sh"
setup

options_of()
{
    case $1 in
    precopy) echo "" ;;
    postcopy*) echo "--postcopy --precopy-iterations ${1#postcopy}" ;;
    esac
}

there_and_back()
{
    local how=$1 version=$2 workload=$3 vcpus=$4 mib=$5 rate=$6 options
    options=$(options_of "$how")
    begin "$how, stream version $version, $workload, $vcpus vCPUs, $mib MiB, rate $rate"
    create_guest "$A" g "$mib" "$vcpus" "$workload" --rate "$rate"
    # shellcheck disable=SC2086 # the options are words
    migrate "$A" "$B" g --stream-version="$version" $options
    expect_eq "exit code there" "$RC" 0
    assert_moved "$A" "$B" g
    # shellcheck disable=SC2086
    migrate "$B" "$A" g --stream-version="$version" $options
    expect_eq "exit code back" "$RC" 0
    assert_moved "$B" "$A" g
    destroy_all
    end
}

# way, version, workload, vCPUs, MiB, operations per second and vCPU (0: full
# speed; sixteen vCPUs at full speed would leave two cores no time to migrate)
row=0
while read -r how version workload vcpus mib rate
do
    row=$((row + 1))
    [ -z "${XP_BRIEF:-}" ] || [ $((row % 3)) = 1 ] || continue
    there_and_back "$how" "$version" "$workload" "$vcpus" "$mib" "$rate"
done <<'TABLE'
precopy   3 idle   1  4   0
precopy   3 random 2  64  0
precopy   2 seq    16 256 2000
precopy   2 random 1  64  0
postcopy0 3 random 2  256 20000
postcopy0 2 idle   16 64  0
postcopy0 2 seq    1  4   0
postcopy0 3 seq    16 64  5000
postcopy1 3 seq    2  4   0
postcopy1 2 random 16 4   5000
postcopy1 3 idle   1  256 0
postcopy1 2 seq    2  64  0
postcopy3 3 random 16 64  20000
postcopy3 3 seq    1  64  0
postcopy3 2 random 2  256 20000
postcopy3 2 idle   2  4   0
TABLE

[ -z "${XP_BRIEF:-}" ] || finish

begin "post-copy, 1 round, random, 2 vCPUs, 1 GiB"
create_guest "$A" big 1024 2 random --rate 50000
MIG_LIMIT=100 migrate "$A" "$B" big --postcopy --precopy-iterations 1
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" big
end

finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# The model is searched to its end: as the rules are, for several bounds, and
# with each rule bent, which must break just what the rule is there for.
# README says what the columns mean.  MODEL_FULL=1 takes larger bounds (make
# check-model-full); else it is the part that make check has time for.

set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v spin >/dev/null ||
    { echo "1..0 # SKIP spin is not installed: run config/install-deps"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

properties=(none TWO_RUNNERS RAN_TWICE STALE OVERWRITTEN FREED DESTROYED_EARLY
    COMPLETE_EARLY IMPOSSIBLE STUCK)

# PAGES CUTS CRASHES QUITS: the rules hold.
if [ -n "${MODEL_FULL:-}" ]; then
    hash=26
    rules=("2 3 0 2" "3 3 0 1" "2 1 2 1" "3 1 1 2" "2 2 1 2" "3 2 1 1")
else
    hash=22
    rules=("2 2 0 1" "2 1 1 1")
fi

# MUTATION PROPERTY CUTS CRASHES: the rule that is bent, what must fail.
mutations=(
    "COMMIT_UNPREPARED STUCK 1 0"
    "RESUME_AFTER_COMMIT TWO_RUNNERS 1 0"
    "ALL_SENT DESTROYED_EARLY 1 0"
    "OWN_LAST_PAGE TWO_RUNNERS 1 0"
    "NO_EPOCH STUCK 2 0"
    "TRUST_SENT STUCK 1 0"
    "NO_RECORD STUCK 1 0"
    "NAK_IGNORED STUCK 1 0"
    "EARLY_COMPLETE DESTROYED_EARLY 1 0"
    "FENCE_FORGOTTEN STUCK 1 0"
    "FENCE_UNDONE TWO_RUNNERS 1 0"
    "DUPLICATES OVERWRITTEN 1 0"
    "NOT_PAGED_OUT STALE 1 0"
    "NO_PUSH STUCK 1 0"
    "FREE_SENT FREED 1 0"
    "NO_VERDICT STUCK 1 0"
    "OVERLAP STUCK 1 0"
    "NO_DRAIN STUCK 1 0"
    "END_BEFORE_DONE STUCK 1 1"
    "COMMITTED_AFTER_COMMIT TWO_RUNNERS 1 1"
    "OWNER_AFTER_UNPAUSE RAN_TWICE 1 1"
    "PREP_AFTER_PREPARED STUCK 1 1"
    "NONE_NEVER_RAN RAN_TWICE 1 1"
    "EPOCH_FORGOTTEN STUCK 1 1"
    "END_BEFORE_RESUMED STUCK 1 1"
    "NAK_UNANSWERED STUCK 0 0"
    "ABORT_UNHEARD STUCK 0 0"
    "READ_OLD,ABORT_AT_PREP TWO_RUNNERS 1 0"
)
# Bent, and yet safe: what is said of them in README is true.
harmless=("READ_OLD 1 0" "ABORT_AT_PREP 1 0")

# Each way to end is there: a search that finds none of them proves nothing.
ends=("ALL_MOVED 0" "NOT_MOVED 0" "OPERATOR 1")

# build DIR GCC-OPTION... -- SPIN-OPTION...: makes DIR/pan
build()
{
    local dir=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    mkdir -p "$dir" && cd "$dir" || return
    if ! spin "$@" -a "$here/handover.pml" >log 2>&1 ||
        ! gcc -w -DCOLLAPSE -DMEMLIM=7500 "${options[@]}" -o pan pan.c >>log 2>&1; then
        sed 's/^/# /' log | tail -n 5
        return 1
    fi
}

# Spin knows of depth and of options it does not like; both would be silent.
searched()
{
    grep -q 'errors: 0$' out && grep -q '^State-vector' out &&
        ! grep -Eq 'not completed|max search depth|out of memory' out
}

figures()
{
    awk '/states, stored/ { s = $1 } /depth reached/ { d = $6 + 0 }
         END { printf "%s states, depth %s", s, d }' out
}

# Each case prints one line of TAP without its number; see `one` below.
case_rules()
{
    build "$1" -O2 -DSAFETY -- \
        "-DPAGES=$2" "-DCUTS=$3" "-DCRASHES=$4" "-DQUITS=$5" &&
        ./pan -m100000 "-w$hash" >out 2>&1
    searched && echo -n ok || echo -n "not ok"
    echo " - $2 pages, $3 cuts, $4 crashes, $5 quits: $(figures)"
}

case_endless()
{
    build "$1" -O0 -DNP -- -DCUTS=1 && ./pan -l -m100000 >out 2>&1
    searched && echo -n ok || echo -n "not ok"
    echo " - no run goes on for ever: $(figures)"
}

case_end()
{
    build "$1" -O0 -DSAFETY -- "-DNEVER=$2" "-DCRASHES=$3" &&
        ./pan -m100000 >out 2>&1
    grep -Eq 'assertion violated  *!\(' out && echo -n ok || echo -n "not ok"
    echo " - it can end with $2"
}

# What fails must be what was expected: other properties are switched off.
case_mutation()
{
    local n names=() name
    for n in "${!properties[@]}"; do
        [ "${properties[n]}" != "$3" ] || break
    done
    for name in ${2//,/ }; do names+=("-DMUT_$name"); done
    build "$1" -O0 -DSAFETY -- "${names[@]}" "-DONLY=$n" "-DCUTS=$4" \
        "-DCRASHES=$5" && ./pan -m100000 >out 2>&1
    grep -q "assertion violated ($n&&" out && echo -n ok || echo -n "not ok"
    echo " - $2 is caught: $3"
}

case_harmless()
{
    build "$1" -O0 -DSAFETY -- "-DMUT_$2" "-DCUTS=$3" "-DCRASHES=$4" &&
        ./pan -m100000 >out 2>&1
    searched && echo -n ok || echo -n "not ok"
    echo " - $2 alone does no harm: $(figures)"
}

cases=()
for c in "${rules[@]}"; do cases+=("rules $c"); done
cases+=("endless")
for c in "${ends[@]}"; do cases+=("end $c"); done
for c in "${mutations[@]}"; do cases+=("mutation $c"); done
for c in "${harmless[@]}"; do cases+=("harmless $c"); done

# one NUMBER KIND ARGUMENT...
one()
{
    local number=$1 kind=$2 line
    shift 2
    line=$("case_$kind" "$work/$number" "$@")
    line=${line:-"not ok - $kind $*"}
    # A case that did not even start says why, and has not passed.
    grep -v '^\(not \)\?ok' <<<"$line"
    line=$(grep '^\(not \)\?ok' <<<"$line")
    echo "${line/ - / $number - }"
    [[ $line == ok* ]] || sed 's/^/# /' "$work/$number/out" 2>/dev/null | head -n 20
    rm -rf "${work:?}/$number"
}

# The large searches want all the memory there is: one at a time.
jobs=2
[ -z "${MODEL_FULL:-}" ] || jobs=1
echo "1..${#cases[@]}"
for i in "${!cases[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    # shellcheck disable=SC2086  # words
    one "$((i + 1))" ${cases[i]} &
done
wait

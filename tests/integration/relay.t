#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# relay.t: linkrelay, on which benchmarks and link tests stand: what goes in
# comes out, both ways at once; ends, codes and cuts are passed on; and it
# never carries more than its line could have carried in the time it took.

set -u
export LC_ALL=C
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
relay=${BUILD:-$top/build}/bin/linkrelay
dir=$(mktemp -d "${TMPDIR:-/tmp}/xpc-relay.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cases=0 failed=0

[ -x "$relay" ] || { echo "Bail out! $relay is not built (run make)"; exit 1; }

# report NAME GOT WANTED
report()
{
    cases=$((cases + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $cases - $1"
    else
        failed=1
        echo "not ok $cases - $1"
        echo "# is '$2', should be '$3'"
    fi
}

# Every run is bounded: 124 is the code of one that did not end.
bounded() { timeout -k 5 60 "$relay" "$@"; }
sum() { sha256sum | cut -d' ' -f1; }
size() { stat -c %s "$1"; }

head -c 20000003 /dev/urandom >"$dir/data"
want=$(sum <"$dir/data")

report "there and back, unlimited" \
    "$(bounded --rate 0 --delay-us 0 -- cat <"$dir/data" | sum)" "$want"
report "there and back at 117 MB/s" "$(bounded -- cat <"$dir/data" | sum)" "$want"
report "through a queue of 4 KiB" \
    "$(bounded --rate 0 --queue 4 -- cat <"$dir/data" | sum)" "$want"
report "through pipes" "$(bounded --rate 0 -- cat < <(cat "$dir/data") | cat | sum)" "$want"

# Not slower is for the benchmark to say; faster would be a lie of the relay's.
before=$(date +%s%N)
bounded --rate 20 -- sha256sum <"$dir/data" | cut -d' ' -f1 >"$dir/sum"
took_ms=$((($(date +%s%N) - before) / 1000000))
report "20 MB at 20 MB/s arrive whole" "$(cat "$dir/sum")" "$want"
report "20 MB at 20 MB/s take no less than their second" $((took_ms >= 1000)) 1

before=$(date +%s%N)
echo ping | bounded --delay-us 150000 -- cat >"$dir/pong"
took_ms=$((($(date +%s%N) - before) / 1000000))
report "an answer comes" "$(cat "$dir/pong")" ping
report "an answer takes the delay twice" $((took_ms >= 300)) 1

bounded -- sh -c 'cat >/dev/null; exit 7' <"$dir/data"
report "end of input is passed on, exit code comes back" $? 7
mkfifo "$dir/quiet"
exec 9<>"$dir/quiet"
bounded -- sh -c 'exit 8' <"$dir/quiet"
report "ends with its command, though its input stays open" $? 8
exec 9>&-
bounded -- sh -c 'echo last words; exit 9' </dev/null >"$dir/words"
report "exit code after output" "$? $(cat "$dir/words")" "9 last words"
bounded -- sh -c 'kill -TERM $$' </dev/null
report "a signal becomes 128 + n" $? 143
report "a command alone is for the shell" "$(bounded 'echo a | tr a b' </dev/null)" b
bounded -- /nonexistent/command x </dev/null 2>"$dir/err"
report "no such command" "$? $(wc -l <"$dir/err")" "127 1"
yes 2>/dev/null | bounded -- cat | head -c 1000000 >"$dir/head"
report "a reader that leaves ends it" "$(size "$dir/head")" 1000000

# The command writes to a file: its own output would be cut off too.
bounded --rate 0 --cut-after 123457 --capture "$dir/cap" -- \
    sh -c 'cat >"$0"; exit 3' "$dir/cut" <"$dir/data"
report "cut after so many octets, code still there" "$? $(size "$dir/cut")" "3 123457"
report "capture is what passed" "$(sum <"$dir/cap")" "$(head -c 123457 "$dir/data" | sum)"
bounded --rate 0 --cut-back-after 54321 --capture-back "$dir/cap" -- cat \
    <"$dir/data" >"$dir/cut"
report "cut on the way back" "$(size "$dir/cut") $(sum <"$dir/cap")" \
    "54321 $(head -c 54321 "$dir/data" | sum)"

for bad in "--rate x" "--rate -1" "--queue" "--cut-after 1e99" "--capture /nonexistent/f" "--nonsense" ""; do
    # shellcheck disable=SC2086 # the options are words
    bounded $bad ${bad:+true} </dev/null >/dev/null 2>"$dir/err"
    report "refused: linkrelay $bad" "$? $(head -c 1 "$dir/err" | wc -c)" "2 1"
done

echo "1..$cases"
exit "$failed"

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# xen-verify-stream as its user sees it: exit codes, messages, -v, --json,
# files and pipes, memory; on the golden streams, on streams broken here, and
# on a save of stock Xen where one is at hand.

# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

[ -x "$VERIFY" ] || bail "$VERIFY is not built (run make)"
command -v jq >/dev/null || bail "jq is not installed (apt-get install jq)"
T=$(mktemp -d "${TMPDIR:-/tmp}/xpc-verify.XXXXXX") || bail "no temporary directory"
trap 'kill -KILL "${PIDS[@]+"${PIDS[@]}"}" 2>/dev/null; rm -rf "$T"' EXIT
mkdir "$T/v"
"$BUILD/bin/make_vectors" "$T/v" || bail "make_vectors failed"

# run OPTION...: RC, $T/out, $T/err
run()
{
    timeout 60 "$VERIFY" "$@" >"$T/out" 2>"$T/err" </dev/null
    RC=$?
}

back() { case $1 in back*) echo --back ;; esac; }

# broken NAME FROM OFFSET OCTETS: a copy with octets (printf format) put in
broken()
{
    cp "$T/v/$2" "$T/$1"
    # shellcheck disable=SC2059 # the format is the point
    printf "$4" | dd of="$T/$1" bs=1 seek="$(($3))" conv=notrunc status=none
}

# ---- Golden streams ------------------------------------------------------------

begin "the golden streams are what they always were"
expect "other octets than in SHA256SUMS" \
    sh -c "cd '$T/v' && grep -v '^#' '$TOP/tests/vectors/SHA256SUMS' | sha256sum -c --quiet"
expect_eq "how many" "$(find "$T/v" -type f | wc -l)" \
    "$(grep -vc '^#' "$TOP/tests/vectors/SHA256SUMS")"
end

begin "every golden stream is valid, as a file, from a pipe and as JSON"
for f in "$T"/v/*
do
    n=$(basename "$f")
    # shellcheck disable=SC2046 # one word or none
    run $(back "$n") "$f"
    expect_eq "$n, exit code" "$RC" 0
    expect_match "$n, summary" "$(cat "$T/out")" ": valid (xl|libxl|libxc) (stream|back channel), version [23]"
    expect_eq "$n, standard error" "$(cat "$T/err")" ""
    # shellcheck disable=SC2046
    cat "$f" | timeout 60 "$VERIFY" $(back "$n") >"$T/out" 2>&1 ||
        fail "$n through a pipe: $(cat "$T/out")"
    # shellcheck disable=SC2046
    run --json $(back "$n") "$f"
    expect_json "$n, JSON" "$T/out" ".valid and .fault == null and .bytes == $(stat -c %s "$f")"
done
end

begin "a pipe that delivers in dribs and drabs"
(
    exec 3<"$T/v/xl-postcopy3"
    while IFS= read -r n
    do
        head -c "$n" <&3
    done < <(printf '%s\n' 1 2 5 40 1 3 500 7 4096 1 9000 50000)
) | timeout 60 "$VERIFY" >"$T/out" 2>"$T/err"
expect_eq "exit code" "$?" 0
end

begin "-v: one line for each record, runs of pages folded"
run -v "$T/v/xl-postcopy3"
expect_eq "exit code" "$RC" 0
for what in 'xl header: flags 0x3' 'libxl header: version 2' \
    'libxl record 0 LIBXC_CONTEXT' 'image header: version 3' \
    'domain header: x86 HVM, Xen 4.17' 'record 0 POSTCOPY_ADVISE' \
    'record 4 PAGE_DATA: 1 pages: 1 normal' \
    'record 6 POSTCOPY_DISCARD: 5 pages: 5 normal' \
    'libxl record 2 EMULATOR_CONTEXT: emulator 2, index 0, 13 octets' \
    'record [0-9]+ POSTCOPY_COMMIT' 'record [0-9]+ END'
do
    expect_match "-v" "$(cat "$T/out")" "^0x[0-9a-f]{8} $what"
done
run -v "$T/v/stock3-hvm"
expect_match "folded" "$(cat "$T/out")" \
    'records 3-4 PAGE_DATA: 6 pages: 3 normal, 1 broken, 1 xalloc, 1 xtab$'
end

begin "--json says what there was"
run --json "$T/v/xl-postcopy3"
expect_json "formats" "$T/out" '.format == "xl" and .versions == {"libxl": 2, "libxc": 3}'
expect_json "guest" "$T/out" '.guest_type == "HVM" and .xen_version == [4, 17] and .nr_pfns == 64'
expect_json "records" "$T/out" '.records.POSTCOPY_PAGE_DATA == 2 and .records.END == 1'
expect_json "libxl records" "$T/out" '.libxl_records.EMULATOR_CONTEXT == 1'
expect_json "pages" "$T/out" '.pages == {"normal": 11} and .zero_pages == 6'
expect_json "post-copy" "$T/out" '.postcopy and .announced_pages == 6 and .missing_pages == 0'
run --json "$T/v/stock3-pv"
expect_json "PV pages" "$T/out" \
    '.guest_type == "PV" and .pages == {"normal":1,"L1":1,"L2":1,"L3pinned":1,"L4pinned":1,"xtab":1}'
end

# ---- Invalid ---------------------------------------------------------------------

begin "the first fault: one line, where and why, exit 1"
broken bad postcopy3 0x54 '\1'
run "$T/bad"
expect_eq "exit code" "$RC" 1
expect_eq "lines" "$(wc -l <"$T/err")" 1
expect_match "message" "$(cat "$T/err")" \
    "^$T/bad: offset 0x[0-9a-f]+: record [0-9]+ \([A-Z0-9_]+\): [a-z0-9_]+: .+"
run --json "$T/bad"
expect_eq "exit code of --json" "$RC" 1
expect_json "fault" "$T/out" \
    '.valid == false and .fault.offset > 0 and .fault.type != "" and .fault.field != "" and .fault.why != ""'
end

begin "faults of each layer are named after it"
broken bad xl-stock3-hvm 32 '\0'
run "$T/bad"
expect_match "xl" "$(cat "$T/err")" 'offset 0x20: xl header: byteorder: '
broken bad xl-stock3-hvm 52 '['
run "$T/bad"
expect_match "config" "$(cat "$T/err")" 'offset 0x34: xl header: config: not JSON'
broken bad libxl-stock3-hvm 11 '\3'
run "$T/bad"
expect_match "libxl" "$(cat "$T/err")" 'offset 0x8: libxl header: version: 3, not 2'
broken bad libxl-stock3-hvm 39 '\4'
run "$T/bad"
expect_match "libxc in libxl" "$(cat "$T/err")" 'offset 0x24: image header: version: 4'
end

begin "cut off: in a record's contents, and where a record should follow"
head -c 6000 "$T/v/stock3-hvm" >"$T/bad"
run "$T/bad"
expect_eq "exit code" "$RC" 1
expect_match "in a page" "$(cat "$T/err")" 'offset 0x1770: record 3 \(PAGE_DATA\): page_data: .* ends here'
run - <"$T/bad"
head -c 6000 "$T/v/stock3-hvm" | timeout 60 "$VERIFY" >"$T/out" 2>"$T/err"
expect_match "in a page of a pipe" "$(cat "$T/err")" '^standard input: offset 0x1770: record 3 \(PAGE_DATA\)'
head -c -8 "$T/v/stock3-hvm" >"$T/bad"
run "$T/bad"
expect_match "no END" "$(cat "$T/err")" 'end of stream: truncated: .*without END'
: >"$T/empty"
run "$T/empty"
expect_eq "empty file, exit code" "$RC" 1
end

begin "octets after the end"
(cat "$T/v/xl-stock3-hvm" && printf x) >"$T/bad"
run "$T/bad"
expect_eq "exit code" "$RC" 1
expect_match "message" "$(cat "$T/err")" 'end of stream: trailing: '
end

begin "the wrong format, and no format at all"
for f in libxc libxl
do
    run -f "$f" "$T/v/xl-stock3-hvm"
    expect_eq "-f $f, exit code" "$RC" 1
done
run -f xl "$T/v/xl-stock3-hvm"
expect_eq "-f xl, exit code" "$RC" 0
run "$VERIFY"
expect_eq "a program, exit code" "$RC" 1
expect_match "message" "$(cat "$T/err")" 'offset 0x0: stream: format: '
end

begin "announced pages that never came, and --partial"
# The last POSTCOPY_PAGE_DATA is gone, END has moved up.
size=$(stat -c %s "$T/v/postcopy2")
(head -c $((size - 8 - 4120)) "$T/v/postcopy2" && tail -c 8 "$T/v/postcopy2") >"$T/bad"
run "$T/bad"
expect_eq "exit code" "$RC" 1
expect_match "message" "$(cat "$T/err")" '\(END\): pages: 1 announced pages never came, the first is pfn 0x2'
run --partial "$T/bad"
expect_eq "--partial, exit code" "$RC" 0
expect_match "--partial, summary" "$(cat "$T/out")" '1 announced pages missing'
end

begin "--back: the version is found out, or given"
run --back --stream-version 2 "$T/v/back2"
expect_eq "version 2, exit code" "$RC" 0
run --back --stream-version 3 "$T/v/back2"
expect_eq "version 2 taken for 3, exit code" "$RC" 1
expect_match "message" "$(cat "$T/err")" 'POSTCOPY_FAULT in version 2'
run --back "$T/v/postcopy3"
expect_eq "a forward stream, exit code" "$RC" 1
end

begin "-f xl: the texts of two xl around the streams"
banner='xl migration receiver ready, send binary domain data.\n'
ready='domain received, ready to unpause\0'
go='domain is yours, you are cleared to unpause\0'
# texts WANTED-EXIT-CODE WHAT FORMAT [OPTION...]: judges a stream of printf's
texts()
{
    local wanted=$1 what=$2 format=$3
    shift 3
    # shellcheck disable=SC2059 # the format is the point
    printf "$format" >"$T/texts"
    run "$@" "$T/texts"
    expect_eq "$what, exit code ($(cat "$T/err"))" "$RC" "$wanted"
}
report='my copy unpause results are as follows\0'
texts 0 "it runs there" "$banner$ready$report\0" --back -f xl
texts 0 "it failed there" "$banner$ready$report\1$go" --back -f xl
texts 1 "go, but it runs there" "$banner$ready$report\0$go" --back -f xl
texts 1 "no report" "$banner$ready" --back -f xl
texts 1 "half a text" "$banner${ready%?????}" --back -f xl
texts 1 "no banner" "$ready" --back -f xl
texts 1 "banner alone" "$banner" --back -f xl
texts 1 "another banner" "xl migration retriever" --back -f xl
# shellcheck disable=SC2059
(printf "$banner" && cat "$T/v/back3") >"$T/texts"
run --back -f xl "$T/texts"
expect_eq "version 3 back channel, exit code" "$RC" 0
# shellcheck disable=SC2059
(printf "$banner" && cat "$T/v/back2" &&
    printf 'postcopy migration completed successfully\0') >"$T/texts"
run --back -f xl "$T/texts"
expect_eq "version 2 back channel, exit code" "$RC" 0
# shellcheck disable=SC2059
(cat "$T/v/xl-stock3-hvm" && printf "$go") >"$T/texts"
run "$T/texts"
expect_eq "permission after a plain stream, exit code" "$RC" 0
# shellcheck disable=SC2059
(cat "$T/v/xl-postcopy3" && printf "$go") >"$T/texts"
run "$T/texts"
expect_eq "permission after a post-copy stream, exit code" "$RC" 1
end

# ---- Trouble ----------------------------------------------------------------------

begin "usage and I/O errors: exit 2 and one line"
for args in '--nonsense' '-f xm x' 'a b' '-v --json x' '--back -f libxl x' \
    '--stream-version 3 x' '--back --stream-version 1 x'
do
    # shellcheck disable=SC2086 # words are meant
    run $args
    expect_eq "$args, exit code" "$RC" 2
    expect_match "$args" "$(cat "$T/err")" '--help'
done
run "$T/no-such-file"
expect_eq "no file, exit code" "$RC" 2
expect_match "no file" "$(cat "$T/err")" 'no-such-file: No such file'
run "$T"
expect_eq "a directory, exit code" "$RC" 2
timeout 60 "$VERIFY" "$T/v/stock3-hvm" >/dev/full 2>"$T/err"
expect_eq "nowhere to write, exit code" "$?" 2
expect_match "nowhere to write" "$(cat "$T/err")" 'standard output: No space'
end

begin "--help and --version"
run --help
expect_eq "--help" "$RC" 0
expect_match "--help" "$(cat "$T/out")" 'usage: xen-verify-stream'
run --version
expect_eq "--version" "$RC" 0
expect_match "--version" "$(cat "$T/out")" '[0-9]+\.[0-9]+'
end

# ---- Size ---------------------------------------------------------------------------

# peak MIB: kB of memory the verifier took for a stream of MIB from a pipe.
peak()
{
    "$BUILD/bin/make_vectors" --big "$1" "$T/big" || return
    rm -f "$T/fifo"
    mkfifo "$T/fifo"
    "$VERIFY" - <"$T/fifo" >"$T/out" 2>&1 &
    local pid=$!
    PIDS=("$pid")
    exec 4>"$T/fifo"
    # All but END: it has seen everything and still waits.
    head -c -8 "$T/big" >&4
    wait_until 60 sh -c "! grep -q '^State:.*R' /proc/$pid/status"
    PEAK=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")
    tail -c 8 "$T/big" >&4
    exec 4>&-
    wait "$pid"
    RC=$?
    PIDS=()
    rm -f "$T/big"
}

begin "memory does not grow with the stream"
peak 4
expect_eq "4 MiB, exit code" "$RC" 0
small=$PEAK
peak 256
expect_eq "256 MiB, exit code" "$RC" 0
say "peak memory: $small kB for 4 MiB, $PEAK kB for 256 MiB"
expect "it grew from $small kB to $PEAK kB" [ "$PEAK" -lt $((small + 1024)) ]
end

# ---- Stock Xen -----------------------------------------------------------------------

STREAMS=${STOCK_STREAMS:-$TOP/../shared/streams}
what="a save that stock Xen 4.17 wrote"
if ! [ -r "$STREAMS/hvm-seabios-24M.xl-save.zst" ]
then
    skip "$what" "no $STREAMS/hvm-seabios-24M.xl-save.zst here"
elif ! command -v zstd >/dev/null
then
    skip "$what" "zstd is not installed (apt-get install zstd)"
else
    begin "$what"
    zstd -qdc "$STREAMS/hvm-seabios-24M.xl-save.zst" >"$T/save"
    run -v "$T/save"
    expect_eq "exit code" "$RC" 0
    expect_match "pages" "$(cat "$T/out")" 'records 3-1022 PAGE_DATA: 1044480 pages: 6128 normal, 1038352 xtab'
    run --json "$T/save"
    expect_json "records" "$T/out" \
        '.records.PAGE_DATA == 1020 and .records.HVM_CONTEXT == 1 and .libxl_records.EMULATOR_CONTEXT == 1'
    truncate -s -4 "$T/save"
    run "$T/save"
    expect_eq "cut off, exit code" "$RC" 1
    end
fi

find_stock() { find "${1%/}/usr/lib" -path '*/xen-*/bin/verify-stream-v2' 2>/dev/null | sort -V | tail -n 1; }

# Of this machine, or out of Debian's package, which is kept in the build tree
# and not installed.
fetch_stock()
{
    local dir=$BUILD/stock-xen
    [ -n "$(find_stock "$dir")" ] && return
    say "downloading xen-utils-4.17 for its verify-stream-v2"
    mkdir -p "$T/deb" &&
        (cd "$T/deb" && timeout 60 apt-get -qq download xen-utils-4.17 && dpkg -x ./*.deb "$T/stock-xen") >"$T/out" 2>&1 &&
        rm -rf "$dir" && mv "$T/stock-xen" "$dir"
}

what="stock verify-stream-v2 takes the golden stock streams"
stock=$(find_stock /)
if [ -z "$stock" ]
then
    fetch_stock
    stock=$(find_stock "$BUILD/stock-xen")
fi
if ! command -v python3 >/dev/null
then
    skip "$what" "python3 is not installed"
elif [ -z "$stock" ]
then
    skip "$what" "xen-utils-4.17 is neither installed nor to be had (apt-get download: $(tail -n 1 "$T/out"))"
else
    begin "$what"
    for n in stock3-hvm stock2-pv stock3-pv checkpointed3-hvm
    do
        PYTHONPATH=${stock%/bin/*}/lib/python timeout 60 python3 "$stock" \
            --in "$T/v/$n" --format libxc >"$T/out" 2>&1 ||
            fail "$n: $(tail -n 1 "$T/out")"
    done
    end
fi

finish

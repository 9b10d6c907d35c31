#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# cli-timeout.t: --timeout on either side: who says nothing is not waited for
# longer than that, and what is left is what the manual promises.

. "$(dirname "$0")/lib.sh"
setup

BANNER='xl migration receiver ready, send binary domain data.'

# Takes everything, says nothing, goes when its standard input ends.
silent="cat >/dev/null; :"
greeting="printf '%s\\n' '$BANNER'; "

create_guest "$A" g 16 1 random

# ---- The sender -------------------------------------------------------------------

# silence WHAT COMMAND MESSAGE [OPTION...]
silence()
{
    local what=$1 command=$2 message=$3
    shift 3
    begin "migrate --timeout 1: $what"
    MIG_LIMIT=20 migrate "$A" "$command" g -q -s '' --timeout 1 "$@"
    expect_eq "exit code" "$RC" 1
    expect_eq "lines on stderr" "$(wc -l <"$T/mig.err")" 1
    expect_match "message" "$(cat "$T/mig.err")" \
        "^xl: .g. was not migrated: .*$message.*; it runs here$"
    expect "g does no work" works "$A" g
    no_leftovers "$A"
    end
}

silence "no banner" "$silent" 'no receiver answered within 1 s'
silence "a banner, and no READY" "$greeting$silent" 'no answer to ADVISE'
# A socket takes some of the memory; then nobody reads it.
silence "a receiver that stops reading, version 2" \
    "${greeting}exec sleep 30" 'gone silent' --stream-version=2
silence "a receiver that takes all and never answers, version 2" \
    "$greeting$silent" 'did not acknowledge' --stream-version=2

begin "a receiver that migrate starts is told"
mkdir "$T/fake"
printf '#!/bin/sh\nprintf "%%s\\n" "$2" >%q\nexit 9\n' "$T/words" >"$T/fake/ssh"
chmod +x "$T/fake/ssh"
PATH="$T/fake:$PATH" migrate "$A" host:dir g -q --timeout 77
expect_eq "exit code" "$RC" 1
expect_match "what ssh was given" "$(cat "$T/words")" 'migrate-receive --timeout 77( |$)'
end

# ---- The receiver -----------------------------------------------------------------

# receive OPTION...: RC; $T/recv.out, .err.  Its standard input stays open.
receive()
{
    mkfifo "$T/fifo"
    exec 9<>"$T/fifo"
    [ "$FEED" ] && cat "$FEED" >&9 &
    "$XL" --local "$B" migrate-receive "$@" <"$T/fifo" >"$T/recv.out" 2>"$T/recv.err" &
    PIDS+=("$!")
    await "$!" 20
    exec 9>&-
    rm "$T/fifo"
}

begin "migrate-receive --timeout 1: nothing comes"
FEED='' receive --timeout 1
expect_eq "exit code" "$RC" 1
expect_eq "lines on stderr" "$(wc -l <"$T/recv.err")" 1
expect_match "message" "$(cat "$T/recv.err")" 'the sender has gone silent'
expect_eq "guests there" "$(guest_names "$B")" ""
end

# Everything up to PREPARED, and COMMIT never leaves: a carrier keeps it.  The
# sender has let go by then and hears the receiver's NAK.
begin "migrate-receive --timeout 1: no COMMIT comes"
need_craft
receiver_script "$T/dest.sh" 3 "$B" POSTCOPY_COMMIT:hang --
sed -i 's/ migrate-receive / migrate-receive --timeout 1 /' "$T/dest.sh"
migrate "$A" "$T/dest.sh" g -q -s '' --timeout 15 --postcopy --precopy-iterations 0
expect_eq "exit code of the sender" "$RC" 1
expect_match "message" "$(tail -n 1 "$T/mig.err")" 'COMMIT did not come.*it runs here$'
expect_eq "exit code of the receiver" "$(recv_rc)" 1
assert_stayed "$A" "$B" g
end

destroy_all
finish

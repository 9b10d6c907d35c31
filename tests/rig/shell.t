#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# make rig-shell, as a person uses it, on a terminal: shells and consoles of
# both hosts, one at a time and in tmux; and whatever ends it, nothing is left.

set -uo pipefail

n=0 session='' mark=none
check()
{
    local text=$1
    shift
    n=$((n + 1))
    if "$@" >"$TMPDIR/out" 2>&1; then
        echo "ok $n - $text"
        return
    fi
    echo "not ok $n - $text"
    tail -n 20 "$screen" | cat -v | cut -c 1-500 | sed 's/^/# /'
    sed 's/^/# /' "$TMPDIR/out"
    return 1
}

# within SECONDS COMMAND...: true as soon as the command is.
within()
{
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# ---- a person ------------------------------------------------------------

screen=$TMPDIR/screen

# sits_down TERM COMMAND...: before a terminal of that kind, at a command.
sits_down()
{
    local keys=$TMPDIR/keys.$n
    mark=$$.$n
    mkfifo "$keys"
    : >"$screen"
    TERM=$1 RIG_SHELL_MARK=$mark \
        "$TOP/tests/rig/terminal" "$screen" "${@:2}" <"$keys" >"$TMPDIR/end" &
    session=$!
    exec 5>"$keys"
}
types() { printf '%b' "$*" >&5; }
closes_terminal() { exec 5>&-; }
shows() { within "${2:-30}" grep -qa -e "$1" "$screen"; }
# answers LINE WORD: typed at a shell; WORD is what it says, not what is typed.
answers()
{
    types "$1\n"
    shows "$2"
}

# ---- what is there meanwhile, and is not afterwards ------------------------

# Processes of this session, whoever is their parent now.
processes()
{
    grep -lz "^RIG_SHELL_MARK=$mark\$" /proc/[0-9]*/environ 2>/dev/null |
        cut -d/ -f3
}
# The directories that they were told: of the session, of the sockets.
directories()
{
    local pid
    for pid in $(processes); do
        tr '\0' '\n' <"/proc/$pid/cmdline"
    done 2>/dev/null | grep -oE '/tmp/rig(-shell)?\.[A-Za-z0-9]{6}' | sort -u
}
has_hosts()
{
    directories >"$TMPDIR/directories"
    [ "$(wc -l <"$TMPDIR/directories")" -eq 2 ] &&
        ps -o comm= -p "$(processes | paste -sd,)" | grep -q '^qemu'
}
gone() { [ -z "$(processes)" ]; }

# ends STATUS [ECHO]: and leaves nothing; the terminal works as before.
ends()
{
    local dir rc=0
    within 60 gone || { look_at_rest; rc=1; }
    exec 5>&-
    wait "$session"
    cat "$TMPDIR/end"
    while read -r dir; do
        [ ! -e "$dir" ] || { echo "$dir is left"; rc=1; }
    done <"$TMPDIR/directories"
    [ "$(cat "$TMPDIR/end")" = "status=$1 echo=${2:-on}" ] && return "$rc"
}
# What should not be there is shown, and ended.
look_at_rest()
{
    ps -o pid,ppid,stat,args -p "$(processes | paste -sd,)" | cut -c 1-150
    # shellcheck disable=SC2046  # words
    kill -KILL $(processes)
}

cd "$TOP" || exit 1
"$TOP/tests/rig/build" >/dev/null || { echo "Bail out! no rig"; exit 1; }
trap 'gone || look_at_rest >/dev/null' EXIT
trap 'exit 130' HUP INT TERM
trap '' PIPE # a session may have ended before something is typed

# ---- ended while the hosts boot ---------------------------------------------

# boots: a session whose hosts are not up yet.
boots()
{
    sits_down dumb tests/rig/visit -b "$BUILD"
    check "hosts boot" within 60 has_hosts
}
boots
pkill -TERM -P "$session"
check "SIGTERM ends it, and leaves nothing" ends 143
boots
types '\003'
check "control-C ends it, and leaves nothing" ends 130
boots
closes_terminal
check "so does the end of the terminal" ends 129 closed
check "nobody was asked" eval '! grep -a "c1 c2" "$screen"'

# ---- one at a time: on this terminal tmux cannot be -------------------------

asks() { types '\n'; shows 'rig (1 2 c1 c2 q)>'; }
leaves() { : >"$screen"; types '\035'; shows 'rig (1 2 c1 c2 q)>'; }

# From another terminal meanwhile; the reader keeps the fifo open.
another_way()
{
    local said
    mkfifo "$TMPDIR/other.keys" && exec 6<>"$TMPDIR/other.keys" || return
    printf 'echo $((60 + 1))-$(hostname)\nexit 7\n' >&6
    said=$(timeout 60 tests/rig/terminal "$TMPDIR/other" \
        tests/rig/shell "$(grep shell "$TMPDIR/directories")" 2 <&6)
    exec 6>&-
    echo "$said"
    cat -v "$TMPDIR/other"
    [ "$said" = "status=7 echo=on" ] && grep -qa '^61-xen2' "$TMPDIR/other"
}

sits_down dumb env -u MAKEFLAGS -u MAKELEVEL \
    make --no-print-directory rig-shell BUILD="${BUILD#"$TOP"/}"
check "make rig-shell asks where to go" shows 'rig (1 2 c1 c2 q)>' 150 ||
    exit 1
check "there are hosts" has_hosts
types '1\n'
check "a shell on the first" answers 'echo $((40 + 2))-$(hostname)' 42-xen1
check "Xen answers" answers 'xl list' '^Domain-0  *0 '
answers 'echo $((40 + 3))-; sleep 1000' 43-
types '\003'
check "control-C ends what runs there" answers 'echo $((40 + 4))-$?' 44-130
check "the other can take guests of this one" answers \
    '/usr/local/libexec/xen-postcopy/bin/xl postcopy-check xen2; echo =$?=' '=0='
check "tests/rig/shell is one more way in" another_way
check "it is left" leaves
types '2\n'
check "a shell on the second" answers 'echo $((40 + 3))-$(hostname)' 43-xen2
: >"$screen"
types 'exit\n'
check "it ends" shows 'rig (1 2 c1 c2 q)>'
types 'c1\n'
check "the first's console" answers '\necho $((40 + 4))-$(hostname)' 44-xen1
check "it is left" leaves
types 'c2\n'
check "the second's console" answers '\necho $((40 + 5))-$(hostname)' 45-xen2
check "it is left" leaves
types 'q\n'
check "leaving ends both hosts, and leaves nothing" ends 0

sits_down dumb tests/rig/visit -b "$BUILD"
check "once more" shows 'rig (1 2 c1 c2 q)>' 150 || exit 1
check "there are hosts" has_hosts
types '1\n'
check "a shell on the first" answers 'echo $((40 + 6))-$(hostname)' 46-xen1
pkill -TERM -P "$session"
check "SIGTERM ends it there too; the terminal is as it was" ends 143

# ---- all at once ------------------------------------------------------------

tmux_part()
{
    sits_down xterm tests/rig/visit -b "$BUILD"
    check "tmux shows four panes" shows 'C-b d ends both' 150 || exit 1
    check "there are hosts" has_hosts
    check "a shell on the first" answers 'echo $((50 + 1))-$(hostname)' 51-xen1
    check "it knows the size of its pane" answers 'stty size | tr " " -' '-\(79\|80\)'
    types '\002o'
    check "its console" answers '\necho $((50 + 2))-$(hostname)' 52-xen1
    types '\002o'
    check "a shell on the second" answers 'echo $((50 + 3))-$(hostname)' 53-xen2
    types '\002o'
    check "its console" answers '\necho $((50 + 4))-$(hostname)' 54-xen2
    "$@"
}

if command -v tmux >/dev/null; then
    tmux_part types '\002d'
    check "who detaches ends it, and leaves nothing" ends 0
    tmux_part closes_terminal
    check "so does the end of the terminal" ends 129 closed
else
    n=$((n + 1))
    echo "ok $n - four panes # skip tmux is not installed"
fi
echo "1..$n"

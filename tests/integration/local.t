#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# local.t: xl --local DIR create, list, pause, unpause, check, rename, resume
# and destroy, as a user meets them: output, exit codes, what is left behind.

. "$(dirname "$0")/lib.sh"
setup

# xl_is WANTED_EXIT_CODE ARGUMENT...: output in $T/out, messages in $T/err.
xl_is()
{
    local wanted=$1 rc
    shift
    "$XL" --local "$A" "$@" >"$T/out" 2>"$T/err"
    rc=$?
    [ "$rc" = "$wanted" ] ||
        fail "xl $*: exit code $rc, should be $wanted: $(cat "$T/err")"
}

one_line_about()
{
    expect_match "message" "$(head -n 1 "$T/err")" "^xl.*$1"
}

begin "an empty host"
xl_is 0 list
expect_eq "guests" "$(grep -c . "$T/out")" 1
xl_is 0 list --json
expect_json "list" "$T/out" '. == []'
xl_is 1 list nobody
one_line_about nobody
end

for workload in idle seq random
do
    begin "a guest that is $workload: made, listed, checked, destroyed"
    xl_is 0 create --memory 8M --vcpus 2 --workload "$workload" \
        --rate 5000 --working-set 2M "$workload"
    xl_is 0 list --json
    expect_json "list" "$T/out" ".[0] | .name == \"$workload\" and .vcpus == 2 and
        .memory_kib == 8192 and .working_set_kib == 2048 and .rate == 5000 and
        .state == \"running\" and .errors == 0 and .pid > 1"
    [ "$workload" = idle ] || expect "it does no work" works "$A" "$workload"
    xl_is 0 check "$workload"
    expect_match "verdict" "$(cat "$T/out")" "^$workload: all is well"
    sound "$A" "$workload"
    pid=$(guest_pid "$A" "$workload")
    expect_eq "mode of the socket" "$(stat -c %a "$A/$workload.sock")" 600
    expect_eq "session" "$(ps -o sid= -p "$pid" | tr -d ' ' |
        grep -cx "$(ps -o sid= -p $$ | tr -d ' ')")" 0
    xl_is 0 destroy "$workload"
    expect "its process is still there" wait_until 10 gone "$pid" # reaped
    expect_eq "files left" "$(ls -A "$A")" ""
    end
done

begin "pause stops it, unpause lets it go on"
xl_is 0 create --memory 4M g
expect "it does no work" works "$A" g
xl_is 0 pause g
expect_eq "state" "$(guest_state "$A" g)" paused
before=$(guest_ops "$A" g)
expect_eq "operations while paused" "$(guest_ops "$A" g)" "$before"
xl_is 0 unpause g
expect "it does not go on" works "$A" g
end

begin "rename: its work goes on under the new name"
xl_is 0 rename g h
xl_is 1 check g
one_line_about "g.*no such guest"
expect "it does no work" works "$A" h
sound "$A" h
xl_is 0 create --memory 4M g
xl_is 1 rename g h
one_line_about "already"
sound "$A" g
sound "$A" h
destroy_all
end

begin "a name can be had once"
xl_is 0 create --memory 4M g
pid=$(guest_pid "$A" g)
xl_is 1 create --memory 4M g
one_line_about "already"
expect_eq "process" "$(guest_pid "$A" g)" "$pid"
sound "$A" g
end

begin "a killed guest is listed as dead, and its name can be had again"
kill -KILL "$(guest_pid "$A" g)"
expect "not dead" wait_until 10 is_state "$A" g dead
xl_is 1 check g
one_line_about "gone"
xl_is 0 create --memory 4M g
sound "$A" g
kill -KILL "$(guest_pid "$A" g)"
expect "not dead" wait_until 10 is_state "$A" g dead
xl_is 0 destroy g
expect_eq "guests" "$(guest_names "$A")" ""
end

begin "resume is for guests that stand suspended"
xl_is 0 create --memory 4M g
xl_is 1 resume g
one_line_about "already"
sound "$A" g
destroy_all
end

begin "a host with a long path"
long=$A/$(printf 'd%.0s' {1..200})
mkdir "$long"
expect "create failed" "$XL" --local "$long" create --memory 4M g
expect "check failed" "$XL" --local "$long" check g >/dev/null
expect "destroy failed" "$XL" --local "$long" destroy g
rm -rf "$long"
end

while read -r what
do
    begin "bad usage: xl $what"
    # shellcheck disable=SC2086 # the words of a command line
    xl_is 2 $what
    expect_match "message" "$(head -n 1 "$T/err")" "^xl.*: ."
    expect_eq "guests" "$(guest_names "$A")" ""
    end
done <<'END'
create
create a b
create --memory
create --memory 0 g
create --memory 10Q g
create --memory 99999999999999999999G g
create --memory 3k g
create --vcpus 0 g
create --vcpus 65 g
create --workload busy g
create --rate -1 g
create --memory 4M --working-set 8M g
create --populate 101 g
create --nonsense g
create ../g
create -g
list --jason
list a b
check
check a/b
pause
rename a
destroy
END

begin "a host that is not there"
"$XL" --local "$T/nowhere" create g >"$T/out" 2>"$T/err"
expect_eq "exit code" "$?" 1
expect_match "message" "$(cat "$T/err")" "nowhere"
"$XL" --local "$T/nowhere" list >"$T/out" 2>"$T/err"
expect_eq "exit code" "$?" 1
end

finish

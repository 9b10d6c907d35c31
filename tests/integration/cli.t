#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
# cli.t: the xl program as a user meets it at the keyboard: help, usage
# errors, what is handed to the system's xl, and destinations that are none.

. "$(dirname "$0")/lib.sh"
setup

# xl ARG...: output in $T/out and $T/err, exit code in RC.
xl()
{
    "$XL" "$@" >"$T/out" 2>"$T/err" </dev/null
    RC=$?
}

# One line on stderr, nothing on stdout.
one_line()
{
    expect_eq "lines on stderr ($(cat "$T/err"))" "$(wc -l <"$T/err")" 1
    expect_eq "octets on stdout" "$(wc -c <"$T/out")" 0
}

# ---- Help -----------------------------------------------------------------------

begin "without arguments: how to use it, exit code 2"
xl
expect_eq "exit code" "$RC" 2
expect_match "stderr" "$(cat "$T/err")" '^usage: xl'
end

# Where there is one.
system_xl()
{
    compgen -G '/usr/lib/xen*/bin/xl' >/dev/null || [ -e /usr/sbin/xl ] ||
        [ -e /usr/local/sbin/xl ]
}

begin "help lists every command, help COMMAND and --help show its options"
xl help
expect_eq "exit code" "$RC" 0
for command in create list pause unpause check destroy rename resume migrate \
    migrate-receive migrate-postcopy-now migrate-abort migrate-status
do
    expect_match "help" "$(cat "$T/out")" "^  $command +[a-z]"
done
xl help migrate
expect_eq "exit code of help migrate" "$RC" 0
expect_match "help migrate" "$(cat "$T/out")" '--postcopy'
cp "$T/out" "$T/help"
xl --local "$A" migrate --help
expect_eq "exit code of migrate --help" "$RC" 0
expect "migrate --help says something else" cmp -s "$T/help" "$T/out"
PATH=/usr/bin:/bin xl help frob
system_xl || expect_eq "exit code of help frob" "$RC" 2
xl help create
expect_match "help create" "$(cat "$T/out")" 'xl create --help'
end

begin "--version"
xl --version
expect_eq "exit code" "$RC" 0
expect_match "version" "$(cat "$T/out")" '^xl \(xen-postcopy\) [0-9]+\.'
end

# ---- Usage errors ------------------------------------------------------------------

while IFS='|' read -r args message
do
    begin "bad usage: xl $args"
    # shellcheck disable=SC2086 # the arguments are words
    eval "xl $args"
    expect_eq "exit code" "$RC" 2
    one_line
    expect_match "message" "$(cat "$T/err")" "$message"
    end
done <<'TABLE'
--local|--local: needs a directory
--local '' list|empty
--local "$A" frob|`frob` is not a command
--local "$A" --frob list|--frob: unknown option
--local "$A" migrate|NAME and DEST
--local "$A" migrate g|NAME and DEST
--local "$A" migrate --stream-version 4 g "$B"|`4` is not 2 or 3
--local "$A" migrate --precopy-iterations=-1 g "$B"|--precopy-iterations
--local "$A" migrate --bandwidth fast g "$B"|--bandwidth: `fast`
--local "$A" migrate --postcopy-bandwidth 5 g "$B"|needs --postcopy
--local "$A" migrate --progress=loud g "$B"|auto, tty, json or none
--local "$A" migrate ../g "$B"|cannot be a guest's name
--local "$A" migrate nobody "$B"|no guest `nobody`
--local "$A" migrate nobody there|neither a directory here nor HOST:DIR
--local "$A" migrate nobody :there|neither a directory here nor HOST:DIR
--local "$A" migrate -s '' nobody ''|DEST is empty
--local "$T/none" migrate g "$B"|is not a directory
--local "$A" migrate-receive -x|-x: no such option
--local "$A" migrate-receive g|`g` is not wanted
--local "$A" migrate-receive --timeout 0|--timeout: `0` is not seconds
--local "$A" migrate --timeout 4000 g "$B"|from 1 to 3600
--local "$A" migrate-status a b|at most one NAME
--local "$A" migrate-abort a/b|cannot be a guest's name
migrate --postcopy=perhaps g h|xl
migrate-receive --postcopy g|xl
postcopy-check -x|xl
TABLE

# ---- Guests of a real Xen, where there is none -----------------------------------------

# With libxl it is found out that this is no Xen host, without it is known; and
# in a guest of Xen, as some test machines are, that it is not the control
# domain.
if "$XL" help | grep -q postcopy-check; then
    status=1 says='give --local DIR|control domain|from root only'
else
    status=2 says='built without libxl'
fi
while IFS= read -r args; do
    begin "no Xen: xl $args"
    eval "xl $args" </dev/null
    expect_eq "exit code" "$RC" "$status"
    one_line
    expect_match "message" "$(cat "$T/err")" "$says"
    end
done <<'TABLE'
migrate --postcopy g h
migrate --postcopy=require -s '' g true
migrate-receive --postcopy
migrate-status g
migrate-abort g
migrate-postcopy-now g
migrate-recover g h
TABLE

# ---- The system's xl -----------------------------------------------------------------

# A stock xl that says how it was called.
mkdir "$T/early" "$T/late" "$T/none"
cat >"$T/late/xl" <<'FAKE'
#!/bin/sh
printf 'system xl:'
printf ' <%s>' "$@"
printf '\n'
exit 42
FAKE
chmod +x "$T/late/xl"
ln -s "$XL_REAL" "$T/early/xl"

while IFS='|' read -r args
do
    begin "handed to the system's xl: xl $args"
    PATH="$T/early:$T/late:$PATH" eval "xl $args"
    expect_eq "exit code" "$RC" 42
    # shellcheck disable=SC2086
    eval "set -- $args"
    expect_eq "its arguments" "$(cat "$T/out")" "system xl:$(printf ' <%s>' "$@")"
    expect_eq "stderr" "$(cat "$T/err")" ""
    end
done <<'TABLE'
list
-v list -l
-vvv list
create /etc/xen/guest.cfg 'name="a b"'
migrate guest host
migrate --live -s '' guest 'nc host 9100'
migrate-receive
-N create x
-t info
help save
-f vcpu-set guest 2
TABLE

begin "the first xl in PATH that is not ourselves is taken, also when it stands first"
cp "$T/late/xl" "$T/none/xl"
sed -i 's/system xl:/other xl:/' "$T/none/xl"
PATH="$T/none:$T/early:$T/late:$PATH" xl info
expect_eq "exit code" "$RC" 42
expect_eq "which one" "$(cat "$T/out")" "other xl: <info>"
end

begin "a second name of ourselves, a directory and a file without x are passed over"
mkdir "$T/p1" "$T/p2" "$T/p3" "$T/p2/xl"
ln "$XL_REAL" "$T/p1/xl" 2>/dev/null || ln -s "$XL_REAL" "$T/p1/xl"
cp "$T/none/xl" "$T/p3/xl"
chmod -x "$T/p3/xl"
PATH="$T/p1:$T/p2:$T/p3:$T/late:$PATH" xl info
expect_eq "exit code" "$RC" 42
expect_eq "which one" "$(cat "$T/out")" "system xl: <info>"
end

if system_xl
then
    skip "no other xl anywhere: exit code 127" "this machine has a system xl"
else
    begin "no other xl anywhere: exit code 127 and one clear line"
    PATH="$T/early:/usr/bin:/bin" xl list
    expect_eq "exit code" "$RC" 127
    one_line
    expect_match "message" "$(cat "$T/err")" 'no other xl'
    end
fi

begin "a system xl that cannot be run: exit code 127"
printf '#!/no/such/interpreter\n' >"$T/p3/xl"
chmod +x "$T/p3/xl"
PATH="$T/p3:$PATH" xl list
expect_eq "exit code" "$RC" 127
expect_match "message" "$(cat "$T/err")" "cannot run $T/p3/xl"
end

# ---- Destinations that are none ------------------------------------------------------

create_guest "$A" g 8 1 random

while IFS='|' read -r what command message
do
    begin "no receiver: $what"
    xl --local "$A" migrate -q -s '' g "$command"
    expect_eq "exit code" "$RC" 1
    expect_match "message" "$(tail -n 1 "$T/err")" "^xl: .g. was not migrated: .*$message.*it runs here$"
    expect "g does no work" works "$A" g
    no_leftovers "$A"
    end
done <<'TABLE'
a command that is not there|/no/such/command|exit status was 127
a command that fails|exit 7|exit status was 7
a command that is killed|kill -KILL $$|signal 9
a greeting|echo Welcome to this machine|it said `Welcome to this machine`
zeroes|cat /dev/zero|no migration receiver
half a banner|printf 'xl migration receiver'|ended before it was ready
a banner with a typing error|printf 'xl migration receiver ready, send binary domain date.\n'|it said
nothing but the banner|printf 'xl migration receiver ready, send binary domain data.\n'|
TABLE

begin "a host that ssh cannot reach"
mkdir "$T/fake"
printf '#!/bin/sh\necho "ssh: $1: unreachable" >&2\nexit 255\n' >"$T/fake/ssh"
chmod +x "$T/fake/ssh"
PATH="$T/fake:$PATH" xl --local "$A" migrate -q g "nowhere:/srv/guests"
expect_eq "exit code" "$RC" 1
expect_match "message" "$(cat "$T/err")" 'exit status was 255'
expect "g does no work" works "$A" g
end

begin "ssh gets HOST and the command for the far shell"
# Our own far side: the host's name is dropped, the command goes to a shell.
printf '#!/bin/sh\nshift\nPATH=%s:$PATH exec sh -c "$*"\n' "$T/early" >"$T/fake/ssh"
PATH="$T/fake:$PATH" xl --local "$A" migrate -q --postcopy g "elsewhere:$B"
expect_eq "exit code" "$RC" 0
assert_moved "$A" "$B" g
end

begin "-s replaces ssh, words and all"
printf '#!/bin/sh\nprintf "%%s\\n" "$@" >%s/words\nshift 3\nPATH=%s:$PATH exec sh -c "$*"\n' \
    "$T" "$T/early" >"$T/fake/carrier"
chmod +x "$T/fake/carrier"
xl --local "$B" migrate -q -s "$T/fake/carrier -p 22" g "elsewhere:$A"
expect_eq "exit code" "$RC" 0
expect_eq "its words" "$(head -n 3 "$T/words" | tr '\n' ' ')" "-p 22 elsewhere "
assert_moved "$B" "$A" g
end

# ---- The guest's own state -------------------------------------------------------------

begin "DEST is the very host the guest is on"
xl --local "$A" migrate g "$A/../A"
expect_eq "exit code" "$RC" 2
one_line
expect_match "message" "$(cat "$T/err")" 'already'
expect "g does no work" works "$A" g
end

begin "--stats where nothing can be written: said before anything is touched"
xl --local "$A" migrate --stats "$T/no/such/dir/stats" g "$B"
expect_eq "exit code" "$RC" 2
one_line
expect_match "message" "$(cat "$T/err")" '^xl: --stats: cannot write'
expect "g does no work" works "$A" g
end

begin "a second migration of the same guest is refused while the first goes on"
"$XL" --local "$A" migrate -q --precopy-iterations 1000000 --bandwidth 4 g "$B" \
    >"$T/first.out" 2>&1 </dev/null &
first=$!
PIDS+=("$first")
under_way() { "$XL" --local "$A" migrate-status g >/dev/null 2>&1; }
expect "the first did not start" wait_until 20 under_way
xl --local "$A" migrate -q g "$B"
expect_eq "exit code" "$RC" 1
one_line
expect_match "message" "$(cat "$T/err")" 'another migration of .g. is under way'
expect "the first has gone" under_way
expect_eq "mode of its socket" "$(stat -c %a "$A/g.migration.ctl")" 600
kill -TERM "$first"
await "$first" 20
expect_eq "exit code of the first" "$RC" 1
expect_match "message of the first" "$(cat "$T/first.out")" 'given up on request; it runs here'
assert_stayed "$A" "$B" g
end

begin "migrate-receive refuses a configuration that is none"
head -c 4096 /dev/zero | "$XL" --local "$B" migrate-receive >"$T/out" 2>"$T/err"
expect_eq "exit code" "$?" 1
expect_match "message" "$(cat "$T/err")" '^xl migrate-receive: '
expect_eq "all it says on the channel" "$(cat "$T/out")" "xl migration receiver ready, send binary domain data."
expect_eq "guests there" "$(guest_names "$B")" ""
end

begin "migrate-receive whose sender says nothing and goes"
"$XL" --local "$B" migrate-receive >"$T/out" 2>"$T/err" </dev/null
expect_eq "exit code" "$?" 1
one_line_err=$(wc -l <"$T/err")
expect_eq "lines on stderr" "$one_line_err" 1
expect_match "message" "$(cat "$T/err")" 'ended the stream early'
end

destroy_all
finish

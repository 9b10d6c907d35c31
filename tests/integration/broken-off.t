#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-only
#
# Tests that are broken off, by control-C or by a signal, run no further: a
# rig's hosts would keep the processors busy for hours.

set -u
count=0
ok()
{
    count=$((count + 1))
    if "${@:2}"; then echo "ok $count - $1"; else echo "not ok $count - $1"; fi
}

# What takes long: a test whose process is told of in a file.
cat >"$TMPDIR/long.t" <<'END'
#!/bin/bash
echo $$ >"$HERE/pid.new"
mv "$HERE/pid.new" "$HERE/pid"
trap 'touch "$HERE/ended"; exit 1' TERM
sleep 60 &
wait
END
chmod +x "$TMPDIR/long.t"
cat >"$TMPDIR/Makefile" <<END
all:
	@MAKE='make -f $TMPDIR/Makefile' tests/check '$TMPDIR' part
part:
	@tests/run -b '$TMPDIR' '$TMPDIR/long.t'
END

# broken_off HOW COMMAND...: on a terminal of its own; once the test runs it is
# broken off by control-C (HOW is C) or by that signal to the command alone.
broken_off()
{
    rm -f "$TMPDIR/pid" "$TMPDIR/ended"
    HERE=$TMPDIR timeout 40 python3 - "$@" >"$TMPDIR/said" 2>&1 <<'END'
import os, pty, select, signal, sys, time
how, command = sys.argv[1], sys.argv[2:]
here = os.environ["HERE"]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
deadline = time.monotonic() + 30
told = False
while time.monotonic() < deadline:
    if not told and os.path.exists(here + "/pid"):
        if how == "C":
            os.write(terminal, b"\x03")
        else:
            os.kill(pid, getattr(signal, "SIG" + how))
        told = True
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            sys.stdout.write(os.read(terminal, 4096).decode())
        except OSError:
            break
_, status = os.waitpid(pid, 0)
sys.exit(0 if told and status != 0 else 1)
END
}

# It is over, and was told to end, so that it could tidy up.
is_over()
{
    local deadline=$((SECONDS + 20))
    until [ -e "$TMPDIR/ended" ] && ! kill -0 "$(cat "$TMPDIR/pid")"; do
        [ "$SECONDS" -lt "$deadline" ] || { cat "$TMPDIR/said"; return 1; }
        sleep 0.1
    done 2>/dev/null
}

cd "$TOP" || exit
unset MAKEFLAGS MAKELEVEL TALLY
ok "control-C is noticed" broken_off C make -f "$TMPDIR/Makefile" all
ok "the test is over with it" is_over
ok "a signal to the outermost make is noticed" \
    broken_off TERM make -f "$TMPDIR/Makefile" all
ok "the test is over with that" is_over
ok "a signal to tests/run is noticed" \
    broken_off HUP "$TOP/tests/run" -b "$TMPDIR" "$TMPDIR/long.t"
ok "the test is over with that as well" is_over
echo "1..$count"

#!/usr/bin/env python3
"""test_launcher.py [--guest] - tests of ./quire, as TAP.

Without --guest the machine is fake_qemu.py: the first program and the commands run on the host's Linux. With it they run in QEMU. The tests that
need no machine, or that need a machine which misbehaves, run only without.
"""
import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUIRE = os.path.join(ROOT, "quire")
GUEST = "--guest" in sys.argv
BOUND = 240 if GUEST else 30
ONLY = [word for word in sys.argv[1:] if not word.startswith("-")]
TESTS = []
scratch = None


def test(fn):
    TESTS.append((fn, "host guest"))
    return fn


def host_test(fn):
    TESTS.append((fn, "host"))
    return fn


def guest_test(fn):
    TESTS.append((fn, "guest"))
    return fn


def environment(**more):
    env = {**os.environ, **{k: str(v) for k, v in more.items()}}
    if not GUEST:
        kernel = os.path.join(scratch, "kernel")
        open(kernel, "ab").close()
        env |= {"QUIRE_QEMU": os.path.join(ROOT, "tests", "launcher", "fake_qemu.py"), "QUIRE_KERNEL": kernel, "QUIRE_INITRD": kernel}
    return env


def words_of(*words, root=True):
    """A command line of ./quire run. On the host the root image is not used, so any file will do."""
    image = [] if GUEST or not root else ["--root", os.path.join(scratch, "image")]
    return [QUIRE, "run", *([] if "--root" in words else image), *words]


def start(*words, root=True, env=None, **how):
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")} | how
    return subprocess.Popen(words_of(*words, root=root), env=environment(**(env or {})), **pipes)


def run(*words, data=b"", root=True, env=None):
    """(status, output, errors)"""
    child = start(*words, root=root, env=env)
    try:
        output, errors = child.communicate(data, BOUND)
    except subprocess.TimeoutExpired:
        child.kill()
        output, errors = child.communicate()
        return "hangs", output, errors
    return child.returncode, output, errors


class Wrong(Exception):
    pass


def equal(got, wanted, what="result"):
    if got != wanted:
        raise Wrong(f"{what}: got {got!r}, wanted {wanted!r}"[:2000])


def holds(condition, what):
    if not condition:
        raise Wrong(what)


def one_line(errors, *words):
    text = errors.decode()
    holds(text.count("\n") == 1 and text.startswith("quire: "), f"one line, not {text!r}")
    for word in words:
        holds(word in text, f"{word!r} in {text!r}")


# What needs no machine -------------------------------------------------------------------------------------------------------


@host_test
def help_is_complete():
    result = subprocess.run([QUIRE, "--help"], capture_output=True, text=True, check=True)
    for word in "--cpus --memory --root --package --copy --persist --timeout --log --trace --display 124 125 126 127 figlet TMPDIR".split():
        holds(word in result.stdout, f"help tells of {word}")
    equal(subprocess.run([QUIRE, "run", "--help"], capture_output=True, text=True, check=True).stdout, result.stdout)
    holds(max(map(len, result.stdout.split("\n"))) <= 150, "lines are short")


@host_test
def wrong_options_are_told():
    for words, tells in (
        (["--cpus", "0", "--", "true"], "--cpus"),
        (["--cpus", "x", "--", "true"], "--cpus"),
        (["--memory", "1M", "--", "true"], "--memory"),
        (["--memory", "12Q", "--", "true"], "--memory"),
        (["--timeout", "0", "--", "true"], "--timeout"),
        (["--timeout", "-1", "--", "true"], "--timeout"),
        (["--copy", "nothing", "--", "true"], "--copy"),
        (["--copy", "a:b", "--", "true"], "--copy"),
        (["--nonsense", "--", "true"], "--nonsense"),
        (["--persist=yes", "--", "true"], "--persist"),
        (["--log"], "--log"),
        (["--package", "jq", "--", "true"], "--root"),
        (["--"], "no command"),
        ([], "no command"),
    ):
        status, output, errors = run(*words)
        equal((status, output), (125, b""), f"{words}")
        one_line(errors, tells)


@host_test
def missing_things_are_told():
    status, _, errors = run("--root", "/nonexistent/image", "--", "true", root=False)
    equal(status, 125)
    one_line(errors, "/nonexistent/image")
    status, _, errors = run("--", "true", env={"PATH": "/nonexistent", "QUIRE_QEMU": "x"})
    holds(status in (125, 127), f"status {status}")
    status, _, errors = run("--log", "/nonexistent/log", "--", "true")
    equal(status, 125)
    one_line(errors, "/nonexistent/log")
    status, _, errors = run("--copy", "/nonexistent/file:/tmp/", "--", "true")
    equal(status, 125)
    one_line(errors, "/nonexistent/file")


@host_test
def emulator_is_started_as_asked():
    arguments = os.path.join(scratch, "arguments")
    log = os.path.join(scratch, "a,b.log")
    status, _, _ = run("--cpus=3", "--memory", "48M", "--log", log, "--trace", "--", "true", env={"FAKE_QEMU_ARGS": arguments})
    equal(status, 0)
    with open(arguments, encoding="utf-8") as f:
        text = f.read()
    for part in ("-smp 3", "-m 49152K", "a,,b.log", " trace -- --port", "snapshot=on", "name=quire.run", "-display none", "-no-reboot"):
        holds(part in text, f"{part} in {text}")
    run("--persist", "--", "true", env={"FAKE_QEMU_ARGS": arguments, "QUIRE_MACHINE": "q35"})
    with open(arguments, encoding="utf-8") as f:
        text = f.read()
    holds("snapshot" not in text and "virtio-blk-pci" in text, text)


@host_test
def display_is_a_window_where_there_can_be_one():
    arguments = os.path.join(scratch, "arguments")
    there = {"DISPLAY": ":77", "FAKE_QEMU_ARGS": arguments}
    equal(run("--display", "--", "true", env=there)[0], 0)
    with open(arguments, encoding="utf-8") as f:
        text = f.read()
    for part in ("-display gtk", "-device VGA", "-M q35", "virtio-blk-pci"):
        holds(part in text, f"{part} in {text}")
    for env, tells in (({"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "neither DISPLAY"), ({**there, "FAKE_QEMU": "no window"}, "qemu-system-gui")):
        status, _, errors = run("--display", "--", "true", env=env)
        equal(status, 125)
        one_line(errors, "--display", tells)


@host_test
def trace_is_kept():
    status, _, errors = run("--trace", "--", "true")
    equal(status, 0)
    one_line(errors, "trace", ".log")
    os.unlink(errors.decode().split()[-1])


@host_test
def crash_of_the_kernel_is_told():
    for how in ("panic", "panic-later"):
        status, output, errors = run("--", "sleep", "100", env={"FAKE_QEMU": how})
        equal((status, output), (125, b""))
        one_line(errors, "crashed", ".log")
        log = errors.decode().split()[-1]
        holds(os.path.exists(log), "the log is kept")
        os.unlink(log)


@host_test
def refusal_of_the_emulator_is_told():
    status, _, errors = run("--", "true", env={"FAKE_QEMU": "refuse"})
    equal(status, 125)
    one_line(errors, "does not please me")


@host_test
def timeout_ends_a_machine_that_does_not_boot():
    begin = time.monotonic()
    equal(run("--timeout", "0.5", "--", "true", env={"FAKE_QEMU": "silent"})[0], 124)
    holds(time.monotonic() - begin < 10, "in time")


def wait_until(condition):
    """A busy host takes its time."""
    end = time.monotonic() + BOUND
    while not condition():
        if time.monotonic() > end:
            raise Wrong("it does not come to that")
        time.sleep(0.05)


def handles(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"^SigCgt:\s*(\w+)", f.read(), re.M).group(1), 16) >> (number - 1) & 1


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


@host_test
def signal_ends_a_machine_that_does_not_boot():
    child = start("--", "true", env={"FAKE_QEMU": "silent"})
    wait_until(lambda: handles(child.pid, signal.SIGTERM))
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=BOUND)
    equal(child.returncode, 128 + signal.SIGTERM)


@host_test
def nothing_is_left_behind():
    where = os.path.join(scratch, "tmp")
    os.mkdir(where)
    equal(run("--", "true", env={"TMPDIR": where})[0], 0)
    equal(run("--timeout", "0.5", "--", "sleep", "100", env={"TMPDIR": where})[0], 124)
    equal(os.listdir(where), [])


@host_test
def killed_launcher_takes_the_machine_along():
    child = start("--", "sleep", "1000", env={"FAKE_QEMU_ARGS": os.path.join(scratch, "arguments-2")})
    wait_until(lambda: children(child.pid))
    machine = children(child.pid)[0]
    child.kill()
    child.communicate()
    for _ in range(100):
        try:
            with open(f"/proc/{machine}/stat", encoding="ascii") as f:
                if f.read().split(")")[1].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.05)
    raise Wrong("the machine is still there")


# Commands --------------------------------------------------------------------------------------------------------------------


@test
def statuses():
    for script, wanted in (("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)):
        equal(run("--", "sh", "-c", script), (wanted, b"", b""), script)


@test
def commands_that_cannot_run():
    status, output, errors = run("--", "no-such-command")
    equal((status, output), (127, b""))
    one_line(errors, "no-such-command")
    status, output, errors = run("--", "/etc/passwd")
    equal((status, output), (126, b""))
    one_line(errors, "/etc/passwd")


@test
def arguments_pass_unchanged():
    words = ["", " ", "a b", "'", '"', "$HOME", "\\", "*", "ä€\n", "--", "-x"]
    equal(run("--", "printf", "[%s]", *words)[1], b"".join(b"[" + word.encode() + b"]" for word in words))
    equal(run("printf", "%s", "--cpus")[1], b"--cpus", "options after the command")


@test
def streams_are_separate():
    equal(run("--", "sh", "-c", "echo out; echo err >&2; echo out2; echo err2 >&2"), (0, b"out\nout2\n", b"err\nerr2\n"))


@test
def environment_is_ours():
    status, output, _ = run("--", "env", env={"SECRET": "x"})
    names = sorted(line.split("=")[0] for line in output.decode().splitlines())
    equal(names, ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"])


@test
def streams_are_pipes():
    script = "stat -c %F -; stat -c %F - <&1; stat -c %F - <&2; for i in 0 1 2; do test -t $i && echo tty; done; true"
    equal(run("--", "sh", "-c", script), (0, b"fifo\nfifo\nfifo\n", b""))


@test
def input_reaches_its_end():
    equal(run("--", "cat"), (0, b"", b""))
    equal(run("--", "cat", data=b"abc"), (0, b"abc", b""))
    equal(run("--", "wc", "-c", data=b"\0" * 100000)[1], b"100000\n")
    child = start("--", "wc", "-c", stdin=subprocess.DEVNULL)
    equal(child.communicate(timeout=BOUND)[0], b"0\n")


@test
def megabytes_pass_unchanged():
    size = 10 << 20
    data = b"".join(hashlib.sha256(struct.pack("<Q", i)).digest() for i in range(size // 32))
    status, output, errors = run("--", "cat", data=data)
    equal((status, len(output), output == data, errors), (0, size, True, b""))


@test
def output_and_errors_at_once():
    script = "for i in 1 2 3 4 5 6 7 8; do head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2; done"
    status, output, errors = run("--", "sh", "-c", script)
    equal((status, len(output), len(errors)), (0, 800000, 800000))


@test
def slow_reader_holds_up_its_stream_only():
    child = start("--", "sh", "-c", "echo first >&2; head -c 3000000 /dev/zero; echo last >&2")
    equal(child.stderr.readline(), b"first\n")
    time.sleep(2)
    equal(len(child.stdout.read()), 3000000)
    equal(child.stderr.read(), b"last\n")
    equal(child.wait(BOUND), 0)


@test
def command_that_does_not_read_ends():
    equal(run("--", "true", data=b"x" * 3000000)[0], 0)
    equal(run("--", "head", "-c", "3", data=b"abcdef" * 500000)[:2], (0, b"abc"))


@test
def writer_is_told_that_nobody_reads():
    child = start("--", "sh", "-c", "head -c 3; exec <&-; sleep 100")
    child.stdin.write(b"abc")
    child.stdin.flush()
    equal(os.read(child.stdout.fileno(), 3), b"abc")
    try:
        end = time.monotonic() + BOUND / 2
        while time.monotonic() < end:
            child.stdin.write(b"x" * 4096)
            child.stdin.flush()
        raise Wrong("the writer was not told")
    except BrokenPipeError:
        pass
    finally:
        child.terminate()
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
        child.wait(BOUND)


@test
def reader_that_goes_away_ends_the_writer():
    child = start("--", "sh", "-c", "yes; echo $? >&2")
    child.stdout.read(1000)
    child.stdout.close()
    equal(child.stderr.read(), b"141\n", "status of yes")
    equal(child.wait(BOUND), 0)
    child = start("--", "yes")
    child.stdout.read(1000)
    child.stdout.close()
    equal(child.wait(BOUND), 128 + signal.SIGPIPE)


@test
def what_is_left_behind_does_not_stay():
    begin = time.monotonic()
    equal(run("--", "sh", "-c", "sleep 1000 & echo done"), (0, b"done\n", b""))
    holds(time.monotonic() - begin < BOUND / 2, "it ends at once")


@test
def last_words_arrive():
    equal(len(run("--", "sh", "-c", "head -c 60000 /dev/zero; exit 3")[1]), 60000)


@test
def timeout_ends_the_command():
    status, output, errors = run("--timeout", "8" if GUEST else "1.5", "--", "sh", "-c", "echo begun; sleep 1000")
    equal((status, output, errors), (124, b"begun\n", b""))


@test
def signals_are_passed_on():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        child = start("--", "sh", "-c", "echo ready; exec sleep 1000")
        equal(child.stdout.readline(), b"ready\n")
        child.send_signal(number)
        equal(child.wait(BOUND), 128 + number, f"status after {number.name}")
        child.communicate()
    child = start("--", "sh", "-c", "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.1; done")
    equal(child.stdout.readline(), b"ready\n")
    child.send_signal(signal.SIGTERM)
    equal(child.communicate(timeout=BOUND)[0], b"caught\n")
    equal(child.returncode, 7)


@test
def third_signal_ends_the_machine():
    child = start("--", "sh", "-c", "trap 'echo again' TERM; echo ready; while :; do sleep 0.1; done")
    equal(child.stdout.readline(), b"ready\n")
    for _ in range(2):
        child.send_signal(signal.SIGTERM)
        equal(child.stdout.readline(), b"again\n")
    child.send_signal(signal.SIGTERM)
    equal(child.wait(BOUND), 143)
    child.communicate()


@test
def files_are_copied():
    tree = os.path.join(scratch, "tree")
    target = "/tmp" if GUEST else os.path.join(scratch, "target")
    os.makedirs(os.path.join(tree, "sub"), exist_ok=True)
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(tree, "sub", "program"), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho run by $1\n")
    os.chmod(os.path.join(tree, "sub", "program"), 0o755)
    with open(os.path.join(tree, "big"), "wb") as f:
        f.write(os.urandom(300000))
    if not os.path.islink(os.path.join(tree, "link")):
        os.symlink("sub/program", os.path.join(tree, "link"))
    status, output, errors = run("--copy", f"{tree}:{target}/new/deep", "--copy", f"{tree}/big:{target}/", "--", "sh", "-c",
        f"{target}/new/deep/link me; wc -c < {target}/big; readlink {target}/new/deep/link; cmp {target}/big {target}/new/deep/big")  # fmt: skip
    equal((status, output, errors), (0, b"run by me\n300000\nsub/program\n", b""))
    status, _, errors = run("--copy", f"{tree}/big:/dev/null/x", "--", "true")
    equal(status, 125)
    one_line(errors, "/dev/null/x")


@guest_test
def changes_are_thrown_away_or_kept():
    image = os.path.join(scratch, "kept.img")
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "base"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["cp", "--sparse=always", made, image], check=True)
    equal(run("--root", image, "--", "sh", "-c", "echo lost > /root/lost; cat /root/lost")[:2], (0, b"lost\n"))
    equal(run("--root", image, "--persist", "--", "sh", "-c", "test ! -e /root/lost && echo kept > /root/kept"), (0, b"", b""))
    check = subprocess.run(["/usr/sbin/e2fsck", "-fn", image], capture_output=True, text=True, check=False)
    equal(check.returncode, 0, check.stdout)
    equal(run("--root", image, "--", "cat", "/root/kept"), (0, b"kept\n", b""))
    status, _, _ = run("--root", image, "--persist", "--timeout", "10", "--", "sh", "-c", "echo late > /root/late; sleep 1000")
    equal(status, 124)
    equal(run("--root", image, "--", "cat", "/root/late"), (0, b"late\n", b""))


@guest_test
def directory_is_a_root():
    tree = os.path.join(scratch, "own-root")
    os.makedirs(os.path.join(tree, "bin"))
    shutil.copy(os.path.join(ROOT, "build", "initrd", "bin", "ureboot"), os.path.join(tree, "bin", "probe"))
    status, output, _ = run("--root", tree, "--", "/bin/probe")
    equal((status, output[:4]), (0, b"1..3"))


@guest_test
def calls_are_traced():
    log = os.path.join(scratch, "trace.log")
    words = ("--cpus", "2", "--log", log)
    status, output, errors = run("--trace", *words, "--", "sh", "-c", "echo hi; (exit 5) & wait; ls /missing; kill -TERM $$; exit 3")
    equal((status, output), (128 + signal.SIGTERM, b"hi\n"))
    holds(errors.count(b"\n") == 1 and b"/missing" in errors, f"{errors!r}")
    with open(log, encoding="utf-8") as f:
        lines = re.findall(r"^\[ *\d+\.\d+\] trace: \[(\d+)\] (.*)\n", f.read(), re.M)
    shell, first = lines[0]
    texts = {pid: [text for who, text in lines if who == pid] for pid, _ in lines}
    holds(first.startswith('execve("/') and '["sh", "-c", "echo hi; (exit 5) & wait; ls /mi"...]' in first, first)
    holds(re.search(r'^execve\("/usr/bin/sh", .* vars \*/\) = 0$', "\n".join(texts[shell]), re.M), "exec that succeeds")
    for text in ('write(1, "hi\\n", 3) = 3', f"kill({shell}, SIGTERM) = 0", "--- SIGTERM ---"):
        holds(text in texts[shell], f"{text} of {shell}")
    equal(texts[shell][-1], "+++ killed by SIGTERM +++")
    equal(len(texts), 3, "processes")
    ends = sorted(texts[pid][-2:] for pid in texts if pid != shell)
    equal(ends, [["exit_group(2) = ?", "+++ exited with 2 +++"], ["exit_group(5) = ?", "+++ exited with 5 +++"]])
    for call in (r"openat\(AT_FDCWD, .*, O_RDONLY\|O_CLOEXEC\) = 3", r'(newfstatat|statx)\(.*"/missing".* = -1 ENOENT', r"clone\(.*\|SIGCHLD, .* = \d+"):
        holds(any(re.fullmatch(call, text) for _, text in lines), call)
    for _, text in lines:
        holds(re.fullmatch(r"[a-z0-9_]+\(.*\) = (-?\d+|0[xX]?[0-9a-f]+|-1 E[A-Z0-9]+|\?( ERESTART\w+)?)|--- SIG\w+ ---|\+\+\+ .* \+\+\+|.* \.\.\.|\.\.\. .*", text), text)
    equal(run(*words, "--", "sh", "-c", "echo hi; exit 3"), (3, b"hi\n", b""))
    with open(log, encoding="utf-8") as f:
        holds("trace: " not in f.read(), "lines of a trace that nobody wanted")


@guest_test
def many_processors_trace_whole_lines():
    log = os.path.join(scratch, "trace.log")
    command = "for i in 1 2 3 4; do (for j in 1 2 3 4 5 6 7 8 9; do kill -0 $$; cd /; done) & done; wait"
    status, _, _ = run("--trace", "--cpus", "4", "--log", log, "--", "sh", "-c", command)
    equal(status, 0)
    with open(log, encoding="utf-8") as f:
        text = f.read()
    holds("records lost" not in text, "lost records")
    equal(len(re.findall(r"\] trace: \[\d+\] kill\(\d+, 0\) = 0$", text, re.M)), 36, "calls of kill")
    equal(len(re.findall(r'\] trace: \[\d+\] chdir\("/"\) = 0$', text, re.M)), 36, "calls of chdir")
    equal(text.count("+++ exited with 0 +++"), 5, "ends")


@guest_test
def small_machine_is_enough():
    equal(run("--memory", "16M", "--", "busybox", "sh", "-c", "echo small"), (0, b"small\n", b""))


@guest_test
def buses_and_processors():
    equal(run("--cpus", "2", "--", "nproc", env={"QUIRE_MACHINE": "q35"})[:2], (0, b"2\n"))
    data = os.urandom(1 << 20)
    equal(run("--", "cat", data=data, env={"QUIRE_MACHINE": "q35"})[1] == data, True)


@guest_test
def figlet_greets():
    status, output, errors = run("--", "figlet", "Quire")
    equal((status, errors), (0, b""))
    holds(output.startswith(b"  ___        _") and output.count(b"\n") == 6, f"{output!r}")


# A terminal -----------------------------------------------------------------------------------------------------------------


class OnTerminal:
    """quire with a terminal of ours as its streams."""

    def __init__(self, *words, rows=33, columns=77):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = b""
        self.child = subprocess.Popen(words_of(*words), env=environment(TERM="xterm"), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))  # fmt: skip

    def wait_for(self, text, seconds=None):
        end = time.monotonic() + (seconds or BOUND)
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Wrong(f"{text!r} did not come, but {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, keys):
        os.write(self.master, keys)

    def close(self):
        status = self.child.wait(BOUND)
        equal(termios.tcgetattr(self.slave), self.before, "the terminal's settings afterwards")
        os.close(self.slave)
        os.close(self.master)
        return status


@test
def terminal_is_one():
    t = OnTerminal("--", "sh", "-c", "stty size; for i in 0 1 2; do test -t $i || echo $i; done; echo $TERM; tty >/dev/null && echo end; exit 5")
    t.wait_for(b"33 77\r\nxterm\r\nend\r\n")
    equal(t.close(), 5)


@test
def terminal_sends_signals():
    t = OnTerminal("--", "sh", "-c", "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done")
    t.wait_for(b"ready\r\n")
    t.type(b"\x03")
    t.wait_for(b"interrupted\r\n")
    equal(t.close(), 9)


@test
def terminal_has_job_control():
    t = OnTerminal("--", "bash", "--norc", "-i")
    t.wait_for(b"# " if GUEST or os.geteuid() == 0 else b"$ ")
    t.type(b"sh -c 'echo begun-$((6*6)); exec sleep 1000'\r")
    t.wait_for(b"begun-36\r\n")  # who says so has the terminal
    t.type(b"\x1a")
    t.wait_for(b"Stopped")
    t.type(b"kill %1; while kill -0 %1; do sleep 0.1; done; echo rest-$((6*7))\r")  # wait would not: to bash it is stopped for a while yet
    t.wait_for(b"rest-42")
    t.type(b"exit 3\r")
    equal(t.close(), 3)


@test
def terminal_changes_size():
    t = OnTerminal("--", "sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done")
    t.wait_for(b"ready\r\n")
    fcntl.ioctl(t.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
    t.wait_for(b"50 132\r\n")
    equal(t.close(), 0)


@test
def terminal_ends_input():
    t = OnTerminal("--", "sh", "-c", "echo ready; exec cat")
    t.wait_for(b"ready\r\n")
    t.type(b"line\r")
    t.wait_for(b"line\r\nline\r\n")
    t.type(b"\x04")
    equal(t.close(), 0)


def main():
    global scratch
    os.chdir(ROOT)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore them, the commands here do not
    tests = [fn for fn, where in TESTS if ("guest" if GUEST else "host") in where and (not ONLY or fn.__name__ in ONLY)]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="quire-test-") as scratch:
        with open(os.path.join(scratch, "image"), "wb") as f:
            f.truncate(1 << 20)
        for i, fn in enumerate(tests, 1):
            begin = time.monotonic()
            try:
                fn()
                print(f"ok {i} - {fn.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
            except (Wrong, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"not ok {i} - {fn.__name__}\n# {type(error).__name__}: {error}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

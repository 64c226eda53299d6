#!/usr/bin/env python3
"""session.py - sessions of ./quire on a disk that keeps its changes, as TAP: a busy one that ends in order, one whose machine is killed after
sync, and shells that share their text."""
import json
import os
import re
import signal
import subprocess
import sys

from tap import ROOT, Wrong, copy_of_base, holds, named, run_each, test, tool

QUIRE = os.path.join(ROOT, "quire")
PROGRAMS = [os.path.join(ROOT, "build", "initrd", "bin", name) for name in ("ufd", "upoll", "usocket", "utty", "ummap")]
BOUND = 280

# Files, names and mounts of every kind, in use when the machine is told to end.
BUSY = r"""
set -e
cd /root
seq 1 200000 > numbers
mkdir -p tree && for i in $(seq 1 200); do echo $i > tree/file-$i; done
rm tree/file-*7; ln numbers second; ln -s numbers third; mv tree/file-1 tree/renamed
exec 5> deleted; echo text >&5; rm deleted
mkfifo fifo; sleep 1000 < numbers 6<> fifo &
mkdir -p mnt bound && mount -t tmpfs none mnt && mount --bind tree bound
echo inside > mnt/file; (cd mnt && exec sleep 1000 7< file) &
(cd bound && exec sleep 1000 8>> renamed) &
dd if=/dev/zero of=sparse bs=1 count=1 seek=100M 2> /dev/null
yes | head -c 300000 > yes
for p in ufd upoll usocket utty ummap; do ./$p >> programs.log; done
truncate -s 12345 yes
sync & sleep 1000 | sleep 1000 &
echo done
"""

SHARED = r"""
mkfifo /tmp/f; exec 3<> /tmp/f
for i in 1 2 3 4; do bash -c 'read line < /tmp/f' & pids="$pids $!"; done
for p in $pids; do until read -r _ _ state _ < /proc/$p/stat && [ $state = S ]; do sleep 0.1; done; done
for p in $pids; do echo "pid $p"; cat /proc/$p/vm; grep -E 'VmRSS|RssFile' /proc/$p/status; ps -o rss= -p $p; done
kill $pids
"""


def start(*words):
    return subprocess.Popen([QUIRE, "run", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*words):
    child = start(*words)
    try:
        output, errors = child.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        child.terminate()
        raise Wrong("it does not end") from None
    return child.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def check_volume(image, clean):
    done = tool("e2fsck", "-fn", image)
    holds(done.returncode == 0, done.stdout.decode(errors="replace"))
    state = next(line for line in tool("dumpe2fs", "-h", image).stdout.decode().splitlines() if line.startswith("Filesystem state"))
    holds(("not clean" not in state) == clean, state)


def contents(image, path):
    return tool("debugfs", "-R", f"cat {path}", image).stdout


NUMBERS = "".join(f"{i}\n" for i in range(1, 200001)).encode()


@test
def busy_session_ends_in_order(scratch):
    image, log = copy_of_base(scratch), os.path.join(scratch, "log")
    copies = [word for path in PROGRAMS for word in ("--copy", f"{path}:/root/")]
    result = run("--root", image, "--persist", "--log", log, *copies, "--", "bash", "-c", BUSY)
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    holds(result == (0, "done\n", ""), f"{result}\n{contents(image, '/root/programs.log')}\n{text[-800:]}")
    holds("every reference is accounted for" in text, text)
    check_volume(image, clean=True)
    holds(contents(image, "/root/numbers") == NUMBERS, "/root/numbers holds something else")
    holds(contents(image, "/root/second") == NUMBERS, "/root/second holds something else")
    holds(contents(image, "/root/yes") == (b"y\n" * 6173)[:12345], "/root/yes holds something else")
    names = tool("debugfs", "-R", "ls -p /root/tree", image).stdout.decode()
    holds(names.count("/file-") == 200 - 20 - 1 and "/renamed/" in names, names)
    holds(b"Size: 104857601\n" in tool("debugfs", "-R", "stat /root/sparse", image).stdout, "/root/sparse has another size")
    holds(b"File not found" not in tool("debugfs", "-R", "stat /root/third", image).stdout, "/root/third is not there")


def emulator_of(child):
    """The process id of QEMU: the launcher's only child."""
    with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as f:
        return int(f.read().split()[0])


@test
def what_was_synced_survives_a_kill(scratch):
    image = copy_of_base(scratch)
    script = "cd /root; seq 1 200000 > numbers; mkdir -p a/b/c; mv numbers a/b/c; rm -f .profile; sync; echo synced; sleep 1000"
    child = start("--root", image, "--persist", "--timeout", str(BOUND), "--", "sh", "-c", script)
    holds(child.stdout.readline() == b"synced\n", "nothing was synced")
    os.kill(emulator_of(child), signal.SIGKILL)
    _, errors = child.communicate(timeout=60)
    holds(child.returncode == 125 and b"QEMU was ended by signal 9" in errors, errors)
    check_volume(image, clean=False)
    holds(contents(image, "/root/a/b/c/numbers") == NUMBERS, "/root/a/b/c/numbers holds something else")
    holds(contents(image, "/root/.profile") == b"", "/root/.profile is still there")
    again = run("--root", image, "--persist", "--", "sh", "-c", "tail -n 1 /root/a/b/c/numbers; echo more > /root/more")
    holds(again == (0, "200000\n", ""), again)
    holds(contents(image, "/root/more") == b"more\n", "/root/more holds something else")
    holds(tool("e2fsck", "-fn", image).returncode == 0, "e2fsck after the second session")


def text_region(shell):
    """What /proc/PID/vm says of the window on the program's text."""
    regions = [json.loads(line) for line in shell.splitlines() if line.startswith("{")]
    found = [r for r in regions if r["protection"] == "r-x" and r["backed"] and not r["shared"] and r["name"].endswith("/bash")]
    holds(len(found) == 1, shell)
    return found[0]


@test
def shells_share_their_text(_):
    status, output, errors = run("--", "bash", "-c", SHARED)
    shells = output.split("pid ")[1:]
    holds(status == 0 and len(shells) == 4, (status, output, errors))
    for shell in shells:
        text = text_region(shell)
        resident = text["resident"]
        holds(resident > 50 and text["shared_pages"] == resident, text)
        rss, file_rss = (int(re.search(rf"{name}:\s+(\d+) kB", shell).group(1)) for name in ("VmRSS", "RssFile"))
        holds(file_rss * 4 > resident and rss > file_rss > rss // 4, f"VmRSS {rss} RssFile {file_rss}")
        holds(int(shell.split()[-1]) == rss, f"ps does not say {rss}: {shell.split()[-1]}")


@test
def stacks_have_names(_):
    """A dynamic program that waits in the C library."""
    status, output, errors = run("--", "bash", "-c", "sleep 1000 & until grep -q nanosleep /proc/$!/stack; do sleep 0.1; done; cat /proc/$!/stack; kill $!")
    holds(status == 0 and re.search(r"^\[<[0-9a-f]+>\] clock_nanosleep\+0x[0-9a-f]+ in /\S+/libc\.so\.6$", output, re.M), (output, errors))


@test
def hardened_programs_work(_):
    """Debian's programs under all rules, and under all but W^X where they generate code; and one that breaks a rule."""
    script = "/run/harden bash -c 'ls / | sort | tail -n 1; exit 3'; echo $?; /run/harden -w dd if=/dev/zero bs=1 count=1 2>&1 | wc -c"
    status, output, errors = run("--", "bash", "-c", script)
    holds(status == 0 and re.match(r"var\n3\n\d\d", output), (status, output, errors))


if __name__ == "__main__":
    sys.exit(run_each(named(sys.argv[1] if len(sys.argv) > 1 else "")))

#!/usr/bin/env python3
"""init.py - machines whose root has a configuration of its own, a bad one, or none and no launcher; as TAP. Each ends with a clean volume."""
import os
import re
import select
import subprocess
import sys
import time

from tap import ROOT, Wrong, copy_of_base, holds, named, run_each, test, tool

QUIRE = os.path.join(ROOT, "quire")
BOUND = int(os.environ.get("BOUND", "280"))

MOUNTS = """
mount proc /proc proc nosuid,nodev,noexec
mount tmpfs /run tmpfs nosuid,nodev
mount none "/mnt" tmpfs ro,noatime,size=1m
"""

SERVICES = """
hostname minded
service server {
	program /root/uinit
	argument server
	output /root/server.out
	keep endpoint
	ping 50s
	restart 1ms 1ms 0s
}
service com2 {
	program /root/uinit
	argument driver
	output /root/com2.out
	environment "COLOUR=dark blue"
	irq 3
	ports 0x2f8 8
	keep endpoint
	ping 50s
	restart 1s 1s 1s
}
service missing {
	# no such program in the archive
}
"""

# Services are seen, killed, stopped; then somebody who wants to end well, somebody who does not want to end, and mounts of ours.
SESSION = r"""
hostname; grep ' /mnt ' /proc/mounts; ls /run
process() { /run/service status server | sed -n 's/.*runs, pid \([0-9]*\),.*/\1/p'; }
until /run/service status com2 | grep 'is done'; do sleep 0.1; done
for i in 1 2 3; do
	until p=$(process) && [ -n "$p" ]; do sleep 0.1; done
	kill -KILL $p
	until q=$(process) && [ -n "$q" ] && [ "$q" != "$p" ]; do sleep 0.1; done
done
/run/service | sed 's/pid [0-9]*/pid N/'
cd /root && mkdir 'a b' && mount -t tmpfs none 'a b' && mkdir 'a b/c' && mount -t tmpfs none 'a b/c'
(cd 'a b/c' && exec sleep 1000) &
(trap 'echo well > /root/ended; exit' TERM; echo; while :; do sleep 0.1; done) > /root/begun 2>&1 &
(trap '' TERM; exec sleep 1000) &
until [ -s /root/begun ]; do sleep 0.1; done
echo over
"""

SEEN = """minded
none /mnt tmpfs ro,noatime 0 0
harden
service
service.socket
com2 is done, started again 0 times; it last exited with status 0
server runs, pid N, started again 3 times; it last was ended by signal 9 (Killed)
com2 is done, started again 0 times; it last exited with status 0
missing has failed, started again 0 times; it last cannot be started (missing: No such file or directory)
over
"""


def image_with(scratch, text=None):
    """A root image of our own, with a configuration."""
    image = copy_of_base(scratch)
    if text is not None:
        conf = os.path.join(scratch, "quire.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)
        for source, target in ((conf, "/etc/quire.conf"), (os.path.join(ROOT, "build/initrd/bin/uinit"), "/root/uinit")):
            done = tool("debugfs", "-w", "-R", f"write {source} {target}", image)
            holds(done.returncode == 0 and b"Allocated inode" in done.stdout, done.stdout + done.stderr)
    return image


def contents(image, path):
    return subprocess.run(["/sbin/debugfs", "-R", f"cat {path}", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout


def check_volume(image):
    done = tool("e2fsck", "-fn", image)
    holds(done.returncode == 0, done.stdout.decode(errors="replace"))


def run(scratch, image, script):
    """(status, output, errors), and the log."""
    log = os.path.join(scratch, "log")
    words = [QUIRE, "run", "--root", image, "--persist", "--timeout", str(BOUND), "--log", log]
    done = subprocess.run([*words, "--", "bash", "-c", script], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False)
    with open(log, encoding="utf-8", errors="replace") as f:
        return (done.returncode, done.stdout, done.stderr), f.read()


@test
def services_of_the_root_are_minded(scratch):
    image = image_with(scratch, MOUNTS + SERVICES)
    result, log = run(scratch, image, SESSION)
    holds(result == (0, SEEN, ""), f"{result}\n{log[-1500:]}")
    for line in (
        r"init\[1\]: service server\[\d+\] was ended by signal 9 \(Killed\): start 4, in 0 ms",
        r"init\[1\]: service com2\[\d+\] is done",
        r"init\[1\]: service missing cannot be started \(missing: No such file or directory\) and is not started again",
        r"every reference is accounted for",
    ):
        holds(re.search(line, log), f"{line}\n{log}")
    holds("cannot unmount" not in log and "cannot kill" not in log, log)
    check_volume(image)
    holds(contents(image, "/root/ended") == "well\n", "nobody was asked to end")


@test
def bad_configuration_is_told_and_not_used(scratch):
    image = image_with(scratch, "hostname wrong\nservise x {\nmount proc /proc proc\n")
    result, log = run(scratch, image, "hostname; grep -c . /proc/mounts; ls /run")
    holds(result == (0, "quire\n8\nharden\n", ""), (result, log))
    holds("init[1]: /etc/quire.conf:2: there is no such directive: servise" in log and "init[1]: /etc/quire.conf is not used" in log, log)
    check_volume(image)


class Console:
    """A machine without a launcher, and what is typed on its serial port."""

    def __init__(self, image):
        words = ["python3", "tools/qemu.py", "run", "--machine", "q35", "--kernel", "build/quire.elf", "--initrd", "build/run.cpio",
                 "--append", "run", f"--qemu-arg=-drive", f"--qemu-arg=if=none,id=root,format=raw,file={image}",
                 "--qemu-arg=-device", "--qemu-arg=virtio-blk-pci,drive=root"]  # fmt: skip
        self.machine = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = ""

    def wait_for(self, text):
        end = time.monotonic() + BOUND
        while text not in self.seen:
            if not select.select([self.machine.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise Wrong(f"{text!r} does not come:\n{self.seen}")
            data = os.read(self.machine.stdout.fileno(), 4096)
            holds(data, f"the machine has ended before {text!r}:\n{self.seen}")
            self.seen += data.decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def type(self, text):
        self.machine.stdin.write(text.encode())
        self.machine.stdin.flush()


@test
def console_has_shells_until_the_machine_is_turned_off(scratch):
    image = image_with(scratch)
    console = Console(image)
    try:
        console.wait_for("# ")
        console.type("echo said-$((6*7)) > /root/said; exit\r")
        console.wait_for("exit\r\n")
        console.wait_for("# ")  # another one
        console.type("cat /root/said; ps -o tty= $$; busybox poweroff\r")
        console.wait_for("said-42\r\n")
        rest, _ = console.machine.communicate(timeout=BOUND)
        holds(console.machine.returncode == 0, rest.decode(errors="replace"))
    finally:
        console.machine.kill()
        console.machine.wait()
    check_volume(image)
    holds(contents(image, "/root/said") == "said-42\n", "/root/said holds something else")


if __name__ == "__main__":
    sys.exit(run_each(named(sys.argv[1] if len(sys.argv) > 1 else "")))

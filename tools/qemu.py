#!/usr/bin/env python3
"""qemu.py - start Quire in QEMU: to use it, to debug it, to test it, to count its instructions.

  qemu.py run   --kernel ELF ...        on this terminal (Ctrl-A X ends it)
  qemu.py debug --kernel ELF ...        the same, waiting for gdb on port 1234
  qemu.py test  --name NAME ...         a configuration of tests/run: prints the guest's TAP as this configuration's own

The guest ends QEMU by the isa-debug-exit device: exit status 33 means clean, 95 means panic. A test that is silent for too long, or
not done in its time, gets an NMI (the kernel answers with the state of every CPU), then is killed; it has failed, and the
last lines of its log are shown. The emulator is always TCG: results do not depend on the host's virtualisation.
"""
import argparse
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import oracle
import scratch_disk

CLEAN, FAILED, PANIC = 33, 35, 95
ENDS = {CLEAN: "cleanly", FAILED: "with failed tests", PANIC: "with a panic"}
OVMF = "/usr/share/OVMF"
TAIL = 60  # lines of the log shown after a failure
SECOND_PORT = ["-chardev", "null,id=com2", "-device", "isa-serial,index=1,chardev=com2"]  # for who drives it in user mode: usystem
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class ExpectLog(argparse.Action):
    """--expect-log REGEX is about the boot whose --append it follows, or about all of them if it comes first."""

    def __call__(self, parser, opts, value, option=None):
        boot_of = len(opts.append) - 1 if opts.append else None
        opts.expect_log = [*opts.expect_log, (boot_of, value)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--machine", default="q35", choices=["q35", "microvm", "iso-bios", "iso-uefi"])
    common.add_argument("--variant", default="debug", help="kernel to use, if --kernel does not name one")
    common.add_argument("--kernel")
    common.add_argument("--initrd")
    common.add_argument("--append", action="append", default=[], help="kernel command line; a test boots once for each that is given")
    common.add_argument("--cpus", type=int, default=1)
    common.add_argument("--mem", default="256M")
    common.add_argument("--cpu", default="max")
    common.add_argument("--icount", action="store_true", help="count instructions: one is one nanosecond, runs are repeatable")
    common.add_argument("--qemu-arg", action="append", default=[], help="passed on as it is")
    commands.add_parser("run", parents=[common])
    commands.add_parser("debug", parents=[common])
    test = commands.add_parser("test", parents=[common])
    test.add_argument("--name", required=True)
    test.add_argument("--timeout", type=float, default=600, help="seconds for the run")
    test.add_argument("--silence", type=float, default=240, help="seconds without output that count as a hang")
    test.add_argument("--retries", type=int, default=0, help="further tries if not a single byte arrived")
    test.add_argument("--expect", choices=["clean", "fail", "panic", "hang"], default="clean")
    test.add_argument("--expect-log", action=ExpectLog, default=[], metavar="REGEX", help="must match in the log of the boot before it")
    test.add_argument("--disk", default="", help="attach a scratch disk, and check it after the boot: see scratch_disk.py")
    test.add_argument("--oracle", action="store_true", help="what init=/bin/urun says must be what this Linux says: see oracle.py")
    test.add_argument("--host-mem", type=float, default=0, help="GiB that the host must have free, else the test is skipped")
    return parser.parse_args()


def make_iso(opts, kernel, append):
    """Write the ISO that carries the command line in its grub.cfg; returns its path."""
    iso = os.path.join(ROOT, "build", "iso", f"{getattr(opts, 'name', 'run')}.iso")
    os.makedirs(os.path.dirname(iso), exist_ok=True)
    subprocess.run([os.path.join(ROOT, "tools", "mkiso.sh"), kernel, opts.initrd or "-", iso, append], check=True)
    return iso


def machine_arguments(opts, kernel, append, scratch):
    """What differs between the machines: chipset, firmware, and how the kernel gets in."""
    if opts.machine.startswith("iso"):
        args = ["-M", "q35", "-vga", "std", "-cdrom", make_iso(opts, kernel, append)]
        if opts.machine == "iso-uefi":
            variables = os.path.join(scratch, "vars.fd")
            shutil.copy(os.path.join(OVMF, "OVMF_VARS_4M.fd"), variables)
            args += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"]
            args += ["-drive", f"if=pflash,format=raw,file={variables}"]
        return args
    args = ["-M", opts.machine, "-kernel", kernel, "-append", append]
    return args + (["-initrd", opts.initrd] if opts.initrd else [])


def command_line(opts, append, scratch):
    kernel = opts.kernel or os.path.join(ROOT, "build", f"gcc-{opts.variant}", "quire.elf")
    thread = ",thread=single" if opts.icount else ""
    args = ["qemu-system-x86_64", *machine_arguments(opts, kernel, append, scratch)]
    args += ["-accel", f"tcg{thread}", "-cpu", opts.cpu, "-smp", str(opts.cpus), "-m", opts.mem]
    args += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    args += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if opts.icount:
        args += ["-icount", "shift=0,sleep=off"]
    return args + opts.qemu_arg


# Interactive ------------------------------------------------------------------------------------------------------------


def interactive(opts, scratch):
    args = command_line(opts, " ".join(opts.append), scratch) + ["-serial", "mon:stdio"]
    if opts.command == "debug":
        kernel = os.path.relpath(opts.kernel or f"build/gcc-{opts.variant}/quire.elf")
        args += ["-S", "-gdb", "tcp::1234"]
        print(f"Waiting for gdb. In another terminal:\n\n  gdb {kernel} -x tools/gdb/quire.py -ex 'target remote :1234'\n", flush=True)
    status = subprocess.call(args)
    return 0 if status in (0, CLEAN) else status


# Tests ------------------------------------------------------------------------------------------------------------------


class Guest:
    """One run of QEMU: its serial output goes to a log file, line by line, within bounds of time."""

    def __init__(self, opts, append, scratch, log_path):
        self.opts = opts
        self.qmp_path = os.path.join(scratch, "qmp")
        args = command_line(opts, append, scratch) + ["-serial", "stdio", "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *SECOND_PORT]
        if opts.disk:
            args += scratch_disk.attach(opts.machine, opts.disk.split(","), scratch)
        self.log_path = log_path
        self.log = open(log_path, "wb")
        self.errors = open(log_path + ".qemu", "wb")
        self.process = subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True
        )
        self.started = self.last_output = time.monotonic()

    def read(self, seconds):
        """Wait for output up to `seconds`; False at its end."""
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return True
        data = os.read(self.process.stdout.fileno(), 65536)
        self.log.write(data)
        self.log.flush()
        self.last_output = time.monotonic()
        return bool(data)

    def why_late(self):
        now = time.monotonic()
        if now - self.started > self.opts.timeout:
            return f"not done after {self.opts.timeout:g} s"
        if now - self.last_output > self.opts.silence:
            return f"silent for {self.opts.silence:g} s"
        return None

    def run(self):
        """Run to the end. Returns (exit status, why it was stopped or None)."""
        late = None
        while not late and self.read(1):
            late = self.why_late()
        if late:
            self.provoke()
            self.kill()
        status = self.process.wait()
        self.log.close()
        self.errors.close()
        return status, late

    def provoke(self):
        """Ask by NMI for the state of every CPU, and give the guest some seconds to print it."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as qmp:
                qmp.settimeout(5)
                qmp.connect(self.qmp_path)
                for request in ("qmp_capabilities", "inject-nmi"):
                    qmp.sendall(json.dumps({"execute": request}).encode() + b"\n")
                    qmp.recv(65536)
                end = time.monotonic() + 10
                while time.monotonic() < end and self.read(1):
                    pass
        except OSError as error:
            self.log.write(f"\nqemu.py: no NMI could be sent: {error}\n".encode())

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def lines(self):
        """The log; what the kernel's test runner said loses the log's prefix and so is TAP."""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return [KTEST.sub("", line.rstrip("\r\n")) for line in f]


class Tap:
    """Writes this configuration's test points; what failed is also told on standard error, which prove lets through."""

    def __init__(self, prefix):
        self.prefix, self.count, self.failed = prefix, 0, 0
        self.notes = []  # since the last point

    def point(self, good, name, directive=""):
        self.count += 1
        self.failed += not good
        line = f"{'ok' if good else 'not ok'} {self.count} - {self.prefix}: {name}{directive}"
        print(line)
        if not good:
            print("", *self.notes, line, sep="\n", file=sys.stderr)
        self.notes = []

    def note(self, text):
        print(f"# {text}")
        self.notes.append(f"# {text}")

    def end(self):
        print(f"1..{self.count}", flush=True)


KTEST = re.compile(r"^.*?\bktest: ")
POINT = re.compile(r"^(not )?ok (\d+)(?: -)?\s*(.*?)(\s+# (?:SKIP|TODO)\b.*)?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)\b")


def lines_before_replay(lines):
    """A panic ends with the last lines of the log once more; they are of no use behind the log itself."""
    return list(itertools.takewhile(lambda text: not text.startswith("last lines of the log:"), lines))


def repeat_points(tap, lines):
    """Print the guest's test points as ours. Several plans may follow one another (the kernel's, those of programs); points that
    were planned and not reported have failed."""
    planned = seen = 0
    for line in lines_before_replay(lines):
        if match := PLAN.match(line):
            planned += int(match.group(1))
        elif match := POINT.match(line):
            seen += 1
            tap.point(not match.group(1), match.group(3), match.group(4) or "")
        elif line.startswith("# "):
            tap.note(line[2:])
    for _ in range(planned - seen):
        tap.point(False, "planned, but did not report")
    return planned, seen


def ask_oracle(tap, lines):
    """The same programs on this Linux: their points are compared with the guest's."""
    if os.geteuid():
        tap.point(True, "Linux agrees", " # SKIP only the superuser can run what the guest runs")
        return
    wrong, agree = oracle.differences(lines_before_replay(lines))
    for text in wrong:
        tap.note(text)
    tap.point(not wrong, f"Linux agrees on {agree} points")


def log_checks(tap, patterns, lines):
    text = "\n".join(lines)
    for pattern in patterns:
        tap.point(re.search(pattern, text, re.M) is not None, f"the log has /{pattern}/")


def show_failure(guest, lines):
    """The end of the log, for a human, past prove."""
    print(f"--- {guest.opts.name}: the last lines of {os.path.relpath(guest.log_path)}", file=sys.stderr)
    with open(guest.log_path + ".qemu", encoding="utf-8", errors="replace") as f:
        for line in f.read().splitlines()[-5:] + lines_before_replay(lines)[-TAIL:]:
            print(f"    {line}", file=sys.stderr)


def ending(status, late):
    """How a run ended, in the words of --expect and for people."""
    if late:
        return "hang", late
    word = {CLEAN: "clean", FAILED: "fail", PANIC: "panic"}.get(status, "error")
    return word, f"ended {ENDS.get(status, f'by itself: QEMU has exit status {status}')}"


def boot(tap, opts, append, patterns, log_path, scratch):
    """Boot once, and turn what came of it into test points. Where something else than a clean end is wanted, the guest's own points do not count."""
    for attempt in range(opts.retries + 1):
        guest = Guest(opts, append, scratch, log_path)
        status, late = guest.run()
        lines = guest.lines()
        if any(lines) or status in ENDS:
            break
        tap.note(f"try {attempt + 1} did not reach the kernel: {ending(status, late)[1]}")
    if opts.expect == "clean":
        planned, _ = repeat_points(tap, lines)
        if "test=" in append:
            tap.point(planned > 0, "the tests ran")
    log_checks(tap, patterns, lines)
    if opts.oracle and append == "init=/bin/urun":
        ask_oracle(tap, lines)
    if opts.disk:
        wrong = scratch_disk.differences(scratch, opts.disk.split(","))
        tap.point(not wrong, "; ".join(["the disk afterwards", *wrong]))
    how, words = ending(status, late)
    tap.point(how == opts.expect, f"{append}: {words}")
    tap.note(f"{time.monotonic() - guest.started:.1f} s")
    if how != opts.expect and how != "fail":  # the guest does not say itself what failed
        show_failure(guest, lines)


def available_gib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return int(re.search(r"^MemAvailable:\s+(\d+)", f.read(), re.M).group(1)) / 2**20


def test(opts, scratch):
    if opts.host_mem and available_gib() < opts.host_mem:
        print(f"1..0 # SKIP the host has less than {opts.host_mem:g} GiB of memory free")
        return 0
    if not opts.initrd and os.path.exists(os.path.join(ROOT, "build", "initrd.cpio")):
        opts.initrd = os.path.join(ROOT, "build", "initrd.cpio")
    os.makedirs(os.path.join(ROOT, "build", "log"), exist_ok=True)
    tap = Tap(opts.name)
    for i, append in enumerate(opts.append or [""]):
        log = os.path.join(ROOT, "build", "log", f"{opts.name}{f'-{i + 1}' if i else ''}.log")
        patterns = [pattern for n, pattern in opts.expect_log if n in (None, i)]
        boot(tap, opts, append, patterns, log, scratch)
    tap.end()
    return bool(tap.failed)


def main():
    opts = arguments()
    with tempfile.TemporaryDirectory(prefix="quire-") as scratch:
        return test(opts, scratch) if opts.command == "test" else interactive(opts, scratch)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""console.py - type on the serial port of a guest that runs /bin/uconsole, as it asks for; TAP on standard output."""
import os
import select
import subprocess
import sys
import time

KEYS = {b"hellx": b"hellx\x7fo\r", b"one key": b"\r", b"interrupt": b"\x03", b"x, return": b"x\r"}
BOUND = 120  # seconds
COMMAND = ["python3", "tools/qemu.py", "run", "--kernel", "build/gcc-debug/quire.elf", "--initrd", "build/initrd.cpio",
           "--cpus", "2", "--append", "init=/bin/uconsole"]


def answer(line):
    """What to type for a line of the guest's output."""
    for asked, keys in KEYS.items():
        if line.startswith(b"# type: " + asked):
            return keys
    return b""


def talk(guest):
    """Type what is asked for until the guest ends; its lines."""
    end, rest, lines = time.monotonic() + BOUND, b"", []
    while time.monotonic() < end:
        if not select.select([guest.stdout], [], [], 1)[0]:
            continue
        data = os.read(guest.stdout.fileno(), 4096)
        if not data:
            break
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            lines.append(line.rstrip(b"\r"))
            guest.stdin.write(answer(line))
            guest.stdin.flush()
    return lines


def main():
    guest = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        lines = talk(guest)
        status = guest.wait(timeout=10)
    finally:
        guest.kill()
    points = [line for line in lines if line.startswith((b"ok ", b"not ok ", b"# tests/"))]
    for line in points:
        print(line.decode(errors="replace"))
    count = sum(not line.startswith(b"#") for line in points)
    echoed = b"hellx\x08 \x08o" in lines
    print(f"{'ok' if echoed else 'not ok'} {count + 1} - what is typed is echoed")
    print(f"{'ok' if status == 0 else 'not ok'} {count + 2} - the guest ended cleanly")
    print(f"1..{count + 2}")
    if status or not echoed or count != 4:
        print("\n".join("# " + line.decode(errors="replace") for line in lines[-40:]), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

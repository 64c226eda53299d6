#!/usr/bin/env python3
"""bench.py --kernel ELF --initrd CPIO [--write FILE | --tap] - count what the memory core costs, in instructions.

Boots the kernel on one CPU in QEMU's instruction-count mode, where one instruction is one tick of the time-stamp counter and
figures repeat exactly; kbench.c and ubench.c print them. Prints a table with the limits, and fails if one is passed. --write: put the
table between the markers of a Markdown file. --tap: print a test point for each limit instead.
"""
import argparse
import os
import re
import subprocess
import sys

import page

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIGURE = re.compile(r"\bbench:? (.+?) (?:= )?(\d+)$", re.M)
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

# Name, limit (None: shown only). Functions make figures of others.
LIMITS = [
    ("frame_alloc and frame_free", 60),
    ("page_tree_lookup at height 3", 40),
    ("clone of 1 page", None),
    ("clone of 1M pages", lambda f: f["clone of 1 page"] * 105 // 100),
    ("destroy of a clone of 1 page", None),
    ("destroy of a clone of 1M pages", lambda f: f["destroy of a clone of 1 page"] * 105 // 100),
    ("zeroing a frame", None),
    ("write fault on anonymous memory, zeroing apart", 500),
    ("read fault of the zero page", 450),
    ("null system call", 100),
    ("null system call, its stack checked", lambda f: f["null system call"] + 12),
    ("null system call, its stack and its code checked", lambda f: f["null system call"] + 16),
    ("call and reply, 8 bytes to another process and back", 2360),  # a quarter of a pipe's round trip on Linux: 9,439 (compare.py)
    ("64 KiB to another process by pipe, in pieces of 4 KiB", None),
    ("64 KiB to another process by ring, in pieces of 4 KiB", lambda f: f["64 KiB to another process by pipe, in pieces of 4 KiB"] // 7),
    ("4 KiB into a ring and out, neither empty nor full", 90),
    ("write to anonymous memory, page after page", 633),
    ("write to anonymous memory, one page in 97", None),
    ("write fault on a page that a child shares", None),
    ("fork, exit and wait", None),
    ("fork, exit and wait with 16 MiB resident", None),
    ("spawn, exit and wait with 1 MiB resident", None),
    ("spawn, exit and wait with 256 MiB resident", lambda f: f["spawn, exit and wait with 1 MiB resident"] * 110 // 100),
    ("smaps, each of 100 windows side by side on a file", None),
    ("smaps, each of 400 such windows", lambda f: f["smaps, each of 100 windows side by side on a file"] * 105 // 100),
    ("smaps, each of 100 windows on the same 256 pages", None),
    ("smaps, each of 400 such windows on the same pages", lambda f: f["smaps, each of 100 windows on the same 256 pages"] * 105 // 100),
    ("reset to the first program", 30_000_000),
]
# What ubench.c calls it.
NAMES = {
    "boot_to_user": "reset to the first program",
    "null_syscall": "null system call",
    "null_syscall_stack": "null system call, its stack checked",
    "null_syscall_code": "null system call, its stack and its code checked",
    "call_and_reply": "call and reply, 8 bytes to another process and back",
    "stream_pipe": "64 KiB to another process by pipe, in pieces of 4 KiB",
    "stream_ring": "64 KiB to another process by ring, in pieces of 4 KiB",
    "ring_steady": "4 KiB into a ring and out, neither empty nor full",
    "fault_zero_read": "read fault of the zero page",
    "touch_anon_write_sequential": "write to anonymous memory, page after page",
    "touch_anon_write_sparse": "write to anonymous memory, one page in 97",
    "fault_cow_write": "write fault on a page that a child shares",
    "fork_exit_wait_small": "fork, exit and wait",
    "fork_exit_wait_16MiB": "fork, exit and wait with 16 MiB resident",
    "spawn_exit_wait_1MiB": "spawn, exit and wait with 1 MiB resident",
    "spawn_exit_wait_256MiB": "spawn, exit and wait with 256 MiB resident",
    "smaps_beside_100": "smaps, each of 100 windows side by side on a file",
    "smaps_beside_400": "smaps, each of 400 such windows",
    "smaps_same_100": "smaps, each of 100 windows on the same 256 pages",
    "smaps_same_400": "smaps, each of 400 such windows on the same pages",
}


def run(opts):
    """{name: instructions}"""
    command = [os.path.join(ROOT, "tools", "qemu.py"), "test", "--name", "bench", "--machine", "microvm", "--icount", "--mem", "1G"]
    command += ["--kernel", opts.kernel, "--initrd", opts.initrd, "--timeout", "300"]
    command += ["--append", "test=bench", "--append", "init=/bin/harden -- -s /bin/ubench null_syscall_stack"]
    command += ["--append", "init=/bin/harden -- -s -c /bin/ubench null_syscall_code", "--append", "init=/bin/ubench"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    figures = {}
    for log in ("bench.log", "bench-2.log", "bench-3.log", "bench-4.log"):
        with open(os.path.join(ROOT, "build", "log", log), encoding="utf-8", errors="replace") as f:
            figures.update({NAMES.get(name, name): int(value) for name, value in FIGURE.findall(f.read())})
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    if "fault_anon_write" in figures and "zeroing a frame" in figures:
        figures["write fault on anonymous memory, zeroing apart"] = figures["fault_anon_write"] - figures["zeroing a frame"]
    return figures, done.returncode == 0


def judge(figures):
    """(name, figure or None, limit or None, good) of each line of the table."""
    for name, limit in LIMITS:
        try:
            bound = limit(figures) if callable(limit) else limit
        except KeyError:
            bound = 0
        value = figures.get(name)
        yield name, value, bound, value is not None and (bound is None or value <= bound)


def table(rows):
    text = ["| instructions | count | limit |", "|---|---:|---:|"]
    for name, value, bound, good in rows:
        shown = "missing" if value is None else f"{value:,}"
        text.append(f"| {name} | {shown}{'' if good else ' **over**'} | {'' if bound is None else f'{bound:,}'} |")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--initrd", required=True)
    parser.add_argument("--write")
    parser.add_argument("--tap", action="store_true")
    opts = parser.parse_args()
    figures, clean = run(opts)
    rows = list(judge(figures))
    if opts.tap:
        print(f"1..{len(rows) + 1}")
        print(f"{'ok' if clean else 'not ok'} 1 - bench: ends cleanly")
        for i, (name, value, bound, good) in enumerate(rows, 2):
            print(f"{'ok' if good else 'not ok'} {i} - bench: {name}: {value}{'' if bound is None else f' of {bound}'} instructions")
        return 0
    print(table(rows))
    if opts.write:
        page.write(opts.write, BEGIN, END, table(rows))
    return 0 if clean and all(row[3] for row in rows) else 1


sys.exit(main())

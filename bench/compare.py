#!/usr/bin/env python3
"""compare.py --kernel ELF --initrd CPIO ... - what Unix operations cost on Quire and on Debian's Linux.

Boots both in the same QEMU with the same flags, on one CPU in instruction-count mode, each with bench/compare.c as its only program,
and prints the counts side by side. Linux is Debian's linux-image-cloud-amd64, downloaded from the machine's package sources and
unpacked below build/, not installed; its command line turns off what makes it slower and Quire has not. --write: put the table between
the markers of a Markdown file. --only: the operations whose names contain TEXT, which is one word.
"""
import argparse
import os
import re
import subprocess
import sys

import page

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, "build", "linux")
LOGS = os.path.join(ROOT, "build", "log")
PACKAGE = "linux-image-cloud-amd64"
COUNT = re.compile(r"\bcompare (.+) = (\d+)\r?$", re.M)
BEGIN, END = "<!-- comparison -->", "<!-- end of comparison -->"
EXPLAINED = 1.5  # beyond this ratio an operation is marked, and docs/performance.md has to say why

# Repeated string instructions count once for each repetition. Without ERMS both kernels move words with them, not bytes.
MACHINE = ["-M", "q35", "-cpu", "max,erms=off,fsrm=off", "-smp", "1", "-m", "1G", "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
MACHINE += ["-rtc", "base=2026-01-01,clock=vm", "-seed", "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
MACHINE += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio"]
QUIRE = ["init=/init"]
# Its best: no mitigations, no hardening, no accounting, no security modules. Words that the kernel does not know are arguments of init, but
# for those before rdinit=.
LINUX = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", "nokaslr", "norandmaps", "init_on_alloc=0", "audit=0"]
LINUX += ["cgroup_disable=memory", "apparmor=0", "lsm=", "randomize_kstack_offset=off", "preempt=none", "numa_balancing=disable", "rdinit=/init"]


def linux_kernel():
    """Path of the kernel and its release."""
    show = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", show).group(1)
    release = package.removeprefix("linux-image-")
    path = os.path.join(CACHE, f"vmlinuz-{release}")
    if not os.path.exists(path):
        print(f"Downloading {package} ...", file=sys.stderr)
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=CACHE, check=True)
        deb = next(name for name in os.listdir(CACHE) if name.startswith(f"{package}_") and name.endswith(".deb"))
        unpack = "dpkg-deb --fsys-tarfile \"$1\" | tar -xO \"./boot/vmlinuz-$2\" > vmlinuz.new && mv vmlinuz.new \"vmlinuz-$2\" && rm \"$1\""
        subprocess.run(["sh", "-c", unpack, "sh", deb, release], cwd=CACHE, check=True)
    return path, release


def count(name, kernel, initrd, words, only):
    """{operation: instructions}; ends the program if the guest did not come to its end."""
    append = " ".join(words + (["--", only] if only else []))
    command = ["qemu-system-x86_64", "-kernel", kernel, "-initrd", initrd, "-append", append, *MACHINE]
    log = os.path.join(LOGS, f"compare-{name}.log")
    os.makedirs(LOGS, exist_ok=True)
    with open(log, "wb") as f:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, timeout=600, check=False)
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    if "compare done" not in text or "compare failed" in text:
        sys.exit(f"compare.py: {name} did not finish; its log is {os.path.relpath(log)}")
    return {operation: int(value) for operation, value in COUNT.findall(text)}


def table(quire, linux, release):
    lines = [f"| instructions | Quire | Linux {release.split('-cloud')[0]} | ratio |", "|---|---:|---:|---:|"]
    for operation, ours in quire.items():
        ratio = ours / linux[operation]
        shown = f"**{ratio:.2f}**" if ratio > EXPLAINED else f"{ratio:.2f}"
        lines.append(f"| {operation} | {ours:,} | {linux[operation]:,} | {shown} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--initrd", required=True)
    parser.add_argument("--write")
    parser.add_argument("--only", default="")
    opts = parser.parse_args()
    path, release = linux_kernel()
    quire = count("quire", opts.kernel, opts.initrd, QUIRE, opts.only)
    text = table(quire, count("linux", path, opts.initrd, LINUX, opts.only), release)
    print(text)
    if opts.write:
        page.write(opts.write, BEGIN, END, text)
    return 0


sys.exit(main())

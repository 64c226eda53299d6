#!/usr/bin/env python3
"""run.py [cache | store] ... - run a demo as the only program of a small machine, on Quire and on Debian's Linux, and print both.

Both machines are the same QEMU, in instruction-count mode (bench/boot.py). Makes what is missing.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import boot  # noqa: E402

MEMORY = {"cache": "256M", "store": "512M"}
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-O2", "-static", "-no-pie", "-fno-pie", "-Iabi"]


def archive(name):
    """Path of a boot archive with the program as /init."""
    folder = os.path.join(ROOT, "build", "demos", name)
    os.makedirs(os.path.join(folder, "dev"), exist_ok=True)
    subprocess.run(["musl-gcc", *FLAGS, "-o", os.path.join(folder, "init"), f"demos/{name}.c"], cwd=ROOT, check=True)
    with open(f"{folder}.cpio", "wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "--reproducible"], cwd=folder, input=b"dev\ninit\n", stdout=out, check=True)
    return f"{folder}.cpio"


def show(system, name, kernel, words):
    text = boot.run(f"{name}-{system}", kernel, archive(name), words, memory=MEMORY[name])
    print(f"--- {name} on {system}")
    print("\n".join(line.rstrip() for line in text.splitlines() if line.startswith(f"{name}:")), flush=True)


def main():
    subprocess.run(["make", "-s", "build/quire.elf"], cwd=ROOT, check=True)
    linux, _ = boot.linux_kernel()
    for name in sys.argv[1:] or MEMORY:
        show("quire", name, os.path.join(ROOT, "build", "quire.elf"), boot.QUIRE)
        show("linux", name, linux, boot.LINUX)
    return 0


sys.exit(main())

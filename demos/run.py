#!/usr/bin/env python3
"""run.py [cache | store | forkserver] ... - run a demo as the only program of a small machine, on Quire and on Debian's Linux, and print both.

Both machines are the same QEMU, in instruction-count mode (bench/boot.py). Makes what is missing.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import boot  # noqa: E402

MEMORY = {"cache": "256M", "store": "512M", "forkserver": "1G"}
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-O2", "-static", "-no-pie", "-fno-pie", "-Iabi"]


LEFT_OUT = ("test", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "pydoc_data", "config-*", "distutils", "dist-packages", "site-packages")


def make_program(name, folder):
    """The demo as /init, alone."""
    subprocess.run(["musl-gcc", *FLAGS, "-o", os.path.join(folder, "init"), f"demos/{name}.c"], cwd=ROOT, check=True)
    return "/init", []


def make_python(name, folder):
    """Debian's python3, as it is installed here, with its libraries and modules, and the demo."""
    python = os.path.realpath("/usr/bin/python3")
    needed = subprocess.run(["ldd", python], capture_output=True, text=True, check=True).stdout
    stdlib = subprocess.run([python, "-c", "import os; print(os.path.dirname(os.__file__))"], capture_output=True, text=True, check=True).stdout.strip()
    modules = [os.path.join(stdlib, "lib-dynload", f) for f in os.listdir(os.path.join(stdlib, "lib-dynload"))]
    for module in modules:
        if "_json." in module or "_socket." in module:
            needed += subprocess.run(["ldd", module], capture_output=True, text=True, check=True).stdout
    for path in {python, *re.findall(r"(/\S+) \(0x", needed)}:
        os.makedirs(folder + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, folder + path)
    shutil.copytree(stdlib, folder + stdlib, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    shutil.copy(os.path.join(ROOT, "demos", f"{name}.py"), folder)
    return python, ["--", f"/{name}.py"]


def archive(name):
    """Make a boot archive with the demo; its path, its first program, and the words for that."""
    folder = os.path.join(ROOT, "build", "demos", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "dev"))
    make = make_python if os.path.exists(os.path.join(ROOT, "demos", f"{name}.py")) else make_program
    init, words = make(name, folder)
    files = sorted(os.path.relpath(os.path.join(at, f), folder) for at, dirs, found in os.walk(folder) for f in dirs + found)
    with open(f"{folder}.cpio", "wb") as out:
        order = "\n".join(files).encode()
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "--reproducible"], cwd=folder, input=order, stdout=out, check=True)
    return f"{folder}.cpio", init, words


def show(system, name, kernel, words):
    initrd, init, more = archive(name)
    words = [word.replace("init=/init", f"init={init}") for word in words] + more
    text = boot.run(f"{name}-{system}", kernel, initrd, words, memory=MEMORY[name])
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

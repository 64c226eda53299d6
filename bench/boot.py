"""boot.py - a program alone on Quire, or on Debian's Linux, in the emulator's instruction-count mode.

Linux is Debian's linux-image-cloud-amd64, downloaded from the machine's package sources and unpacked below build/, not installed; its
command line turns off what makes it slower and Quire has not.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(ROOT, "build", "linux")
LOGS = os.path.join(ROOT, "build", "log")
PACKAGE = "linux-image-cloud-amd64"

# Repeated string instructions count once for each repetition. Without ERMS both kernels move words with them, not bytes.
MACHINE = ["-M", "q35", "-cpu", "max,erms=off,fsrm=off", "-smp", "1", "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
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


def run(name, kernel, initrd, words, memory="1G"):
    """What the guest wrote; ends the program if the guest did not come to its end. Programs say "PROGRAM done" then."""
    command = ["qemu-system-x86_64", "-kernel", kernel, "-initrd", initrd, "-append", " ".join(words), "-m", memory, *MACHINE]
    log = os.path.join(LOGS, f"{name}.log")
    os.makedirs(LOGS, exist_ok=True)
    with open(log, "wb") as f:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, timeout=1200, check=False)
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    program = name.split("-", maxsplit=1)[0]
    if f"{program} done" not in text or f"{program} failed" in text:
        sys.exit(f"{program}.py: {name} did not finish; its log is {os.path.relpath(log)}")
    return text

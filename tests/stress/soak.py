#!/usr/bin/env python3
"""soak.py - stress-ng's memory classes in the guest with memory short, on the debug kernel: nothing leaks, no invariant breaks. Prints TAP.

  soak.py --minutes 15 --cpus 2,4       for so long on each number of CPUs, classes taken together at random
  soak.py --each 2                      every class once, alone, for so many seconds

The debug kernel has every assertion, poisons what it frees, and checks all invariants of docs/invariants.md that hold at any moment whenever somebody writes to /proc/sys/vm/validate: that is done every
few seconds while the stressors run. Between two rounds nothing may be left: free frames, objects of slabs and open files are compared with those after the first round.
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Not here: vm-segv wants ptrace and hangs without it, here as elsewhere; oom-pipe is refused without --pathological.
CLASSES = """vm mmap mremap mprotect madvise mlock brk stack bigheap fork vforkmany shm shm-sysv memfd mincore msync vm-rw vm-splice
	pageswap mmapaddr mmapfork mmapfixed mmapmany munmap zombie vm-addr fault malloc pagemove remap""".split()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=15, help="for each number of CPUs")
    parser.add_argument("--each", type=int, help="seconds for each class, alone, instead")
    parser.add_argument("--classes", default=",".join(CLASSES))
    parser.add_argument("--cpus", default="2,4")
    parser.add_argument("--memory", default="128M")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--image", help="root image with stress-ng, instead of the base one with the package")
    return parser.parse_args()


def find_image(opts):
    if opts.image:
        return opts.image
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "base", "--package", "stress-ng"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode or not made.stdout.strip():
        print("1..0 # SKIP no root file system with stress-ng")
        sys.exit(0)
    return made.stdout.splitlines()[-1]


def soak(opts, image, cpus):
    """One machine. Returns what is wrong, and what the guest said."""
    log = os.path.join(ROOT, "build", "log", f"soak-{cpus}cpu.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    classes = opts.classes.split(",")
    seconds = opts.each * len(classes) if opts.each else int(opts.minutes * 60)
    words = [str(opts.each or 0), str(seconds), str(opts.seed), *classes]
    command = [os.path.join(ROOT, "quire"), "run", "--root", image, "--memory", opts.memory, "--cpus", str(cpus), "--log", log]
    command += ["--timeout", str(seconds * 3 + 1800), "--copy", f"{os.path.join(HERE, 'soak.sh')}:/run/", "--", "bash", "/run/soak.sh", *words]
    env = dict(os.environ, QUIRE_KERNEL=os.path.join(ROOT, "build", "gcc-debug", "quire.elf"))
    out = log.replace(".log", ".out")
    with open(out, "w", encoding="utf-8") as f:
        status = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT, check=False).returncode
    with open(out, encoding="utf-8", errors="replace") as f:
        return status, f.read()


def main():
    opts = arguments()
    image = find_image(opts)
    machines = [int(n) for n in opts.cpus.split(",")]
    print(f"1..{3 * len(machines)}", flush=True)
    failed = 0
    for number, cpus in enumerate(machines):
        status, out = soak(opts, image, cpus)
        leaks = re.findall(r"^left: .*", out, re.M)
        failures = re.findall(r"^stress-ng: fail: .*", out, re.M)
        rounds = re.findall(r"^round \d+: .*", out, re.M)
        points = [
            (f"{cpus} CPUs: {len(rounds)} rounds, and the machine ended in order", status == 0 and "soak done" in out and rounds),
            (f"{cpus} CPUs: no stressor found anything wrong", not failures),
            (f"{cpus} CPUs: nothing is left", not leaks),
        ]
        for at, (name, good) in enumerate(points, 1):
            failed += not good
            print(f"{'ok' if good else 'not ok'} {3 * number + at} - {name}", flush=True)
        print("\n".join(f"# {line}" for line in rounds[-40:]))
        if status or leaks or failures:
            print("\n".join([out[-4000:], *failures, *leaks]), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

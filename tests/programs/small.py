#!/usr/bin/env python3
"""small.py - gcc in a machine of 64 MiB: `make -j2` of a project of several files completes, nothing is killed, what it made runs. Prints TAP.

Each source has a number of functions (--functions), which tells how much memory the compiler wants: 4 MiB of its own for one, 22 for thirty. --ballast takes memory away by a
file on a tmpfs, so that small sources are as tight as large ones and take less time. Whether memory was short is a test point as well.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FILES = 4

FUNCTION = """static int f%(i)d(const int *v, int n, char *out) {
	int s = %(i)d, t[16] = {0};
	for (int i = 0; i < n; i++) {
		switch (v[i] %% 7) {
		case 0: s += v[i] * 3; break;
		case 1: s ^= t[i & 15]; break;
		case 2: t[v[i] & 15] += s; break;
		case 3: s -= strlen(out); break;
		case 4: snprintf(out, 16, "%%d", s); break;
		default: s = s %% 65521 * 31 + %(i)d;
		}
		for (int k = 0; k < 4; k++) t[k] += v[i] >> k;
	}
	return s + t[3];
}
"""
HEADERS = "".join(f"#include <{name}.h>\n" for name in ("stdio", "stdlib", "string", "math", "pthread", "signal", "sys/stat"))
MAKEFILE = """OBJ := main.o %s
all: prog
prog: $(OBJ); gcc -o $@ $(OBJ)
%%.o: %%.c; gcc -O2 -g -c -o $@ $<
"""
# In the guest, from the disk: what a tmpfs holds is memory as well.
SCRIPT = """cp -r /run/project /root/ && rm -r /run/project && cd /root/project || exit 1
head -c %s /dev/zero > /dev/shm/ballast
make -s -j2; echo "make: $?"
./prog
grep -E '^(oom_kill|pgsteal_kswapd|pgsteal_direct|workingset_refault_file) ' /proc/vmstat
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--functions", type=int, default=1, help="in each source")
    parser.add_argument("--ballast", default="0", help="bytes that are in the way, with K or M")
    parser.add_argument("--timeout", type=int, default=400, help="seconds for the machine")
    parser.add_argument("--root", help="image to use, instead of the full one of tools/mkroot.py")
    return parser.parse_args()


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text)


def write_project(folder, functions):
    for number in range(1, FILES + 1):
        calls = "".join(f" s = s % 65521 + f{i}(v, n, out);" for i in range(functions))
        body = "".join(FUNCTION % {"i": i} for i in range(functions))
        write(folder, f"m{number}.c", f'{HEADERS}{body}int sum{number}(const int *v, int n) {{ char out[32] = ""; int s = {number};{calls} return s; }}\n')
    names = [f"sum{number}" for number in range(1, FILES + 1)]
    declared = "".join(f"int {name}(const int *, int);\n" for name in names)
    shown = "".join(f' printf("%d\\n", {name}(v, 7));' for name in names)
    write(folder, "main.c", f"#include <stdio.h>\n{declared}int main(void) {{ int v[] = {{1, 2, 3, 4, 5, 6, 7}};{shown} return 0; }}\n")
    write(folder, "Makefile", MAKEFILE % " ".join(f"m{number}.o" for number in range(1, FILES + 1)))


def expected_output(folder):
    """What the program says if this machine's compiler makes it."""
    program = os.path.join(folder, "expected")
    subprocess.run(["gcc", "-o", program, *(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".c"))], check=True)
    out = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    os.unlink(program)
    return out


def find_image(opts):
    if opts.root:
        return opts.root
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "full"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode or not made.stdout.strip():
        print("1..0 # SKIP no root file system: tools/mkroot.py full failed")
        sys.exit(0)
    return made.stdout.splitlines()[-1]


def in_guest(opts, image, project, log):
    """Run it; exit status and output."""
    command = [os.path.join(ROOT, "quire"), "run", "--root", image, "--memory", "64M", "--cpus", "2", "--timeout", str(opts.timeout)]
    command += ["--log", log, "--copy", f"{project}:/run/", "--", "sh", "-c", SCRIPT % opts.ballast]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def number_of(name, out):
    match = re.search(rf"^{name} (\d+)$", out, re.M)
    return int(match.group(1)) if match else -1


def main():
    opts = arguments()
    image = find_image(opts)
    log = os.path.join(ROOT, "build", "log", "small.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        project = os.path.join(scratch, "project")
        os.mkdir(project)
        write_project(project, opts.functions)
        expected = expected_output(project)
        status, out = in_guest(opts, image, project, log)
    with open(log, encoding="utf-8", errors="replace") as f:
        killed = [line for line in f.read().splitlines() if "oom:" in line]
    taken = number_of("pgsteal_kswapd", out) + number_of("pgsteal_direct", out)
    points = [
        ("make -j2 completes", "make: 0\n" in out),
        ("the program that it made runs", expected in out),
        ("nothing was killed", not killed and number_of("oom_kill", out) == 0),
        ("memory was short", taken > 0),
        ("the machine ended in order", status == 0),
    ]
    print(f"1..{len(points)}")
    for number, (name, good) in enumerate(points, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
    good = all(point[1] for point in points)
    print(f"# {taken} pages taken back, {number_of('workingset_refault_file', out)} of them read again soon")
    if not good:
        print("\n".join([out, *killed]), file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

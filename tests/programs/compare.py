#!/usr/bin/env python3
"""compare.py - run the command lines of tests/programs/list in the guest and, by chroot into the same root directory, on this machine's Linux, and
compare their standard output, standard error and exit status byte for byte. Prints TAP.

  compare.py                 all of them            --group shell,text   only these groups
  compare.py NAME...         only these             --quick              only those marked so

The list is made of blocks, and of filters before them for all:

  === NAME [GROUP] [quick]   what it is called, and the group it belongs to (else that of the block before)
  ~ REGEX => TEXT -- WHY     what cannot be the same in two runs is replaced by TEXT in the output of both, for the reason WHY
  COMMANDS                   run by bash in an empty directory on a tmpfs, standard input being /dev/null

Two runs on Linux alone (--self) must agree as well: that shows what is a matter of luck rather than of the system.
"""
import argparse
import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
JOB = "/programs"
HEADER = re.compile(rb"([\w.+-]+) (\d+) (\d+) (\d+) (\d+)\n")

# The host's side: the same tree, with file systems of its own where the guest has them.
CHROOT = """set -e
mount --make-rprivate /
mkdir -p lower upper
mount -t tmpfs tmpfs upper
mkdir -p upper/up upper/work upper/root
mount -t overlay overlay -o lowerdir="$1",upperdir=upper/up,workdir=upper/work upper/root
cd upper/root
mkdir -p dev proc sys tmp run programs
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs tmp
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs run
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=0755 tmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts -o newinstance,mode=0620,gid=5,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
	IFS=: read name major minor <<< "$node"
	mknod -m 666 dev/$name c $major $minor
done
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount --bind "$2" programs
shift 2
hostname quire
exec chroot . "$@"
"""


def parse_filter(line, where):
    match = re.fullmatch(r"~ (.*) => (.*) -- (.+)", line)
    if not match:
        sys.exit(f"{where}: not `~ REGEX => TEXT -- WHY`: {line}")
    return re.compile(match.group(1).encode(), re.M), match.group(2).encode()


class Command:
    """A block of the list."""

    def __init__(self, words, group, filters):
        self.name = words[0]
        self.quick = "quick" in words[1:]
        self.group = next((word for word in words[1:] if word != "quick"), group)
        self.filters, self.lines = list(filters), []

    def add(self, line, where):
        if line.startswith("~ "):
            self.filters.append(parse_filter(line, where))
        else:
            self.lines.append(line)

    def filtered(self, data):
        for regex, text in self.filters:
            data = regex.sub(text, data)
        return data


def read_list(path):
    commands, group, filters = [], "shell", []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("=== "):
                commands.append(Command(line.split()[1:], group, filters))
                group = commands[-1].group
            elif commands and not line.startswith("#:"):
                commands[-1].add(line, f"{path}:{number}")
            elif line.startswith("~ "):
                filters.append(parse_filter(line, f"{path}:{number}"))
    names = [command.name for command in commands]
    if len(set(names)) != len(names):
        sys.exit(f"{path}: a name is there twice: {sorted(name for name in names if names.count(name) > 1)[0]}")
    return commands


def take_results(path):
    """What job.sh printed, as {name: (status, out, err, milliseconds)}; what was cut off is left out."""
    with open(path, "rb") as f:
        data = f.read()
    results, at = {}, 0
    while match := HEADER.match(data, at):
        status, nout, nerr, took = (int(word) for word in match.groups()[1:])
        at = match.end() + nout + nerr
        if at <= len(data):
            middle = match.end() + nout
            results[match.group(1).decode()] = (status, data[match.end() : middle], data[middle:at], took)
    return results


def collect(command, output, cwd=None, prepare=None):
    """Run job.sh wherever; what it prints is kept in a file, so that one can look while it runs. Returns its exit status."""
    with open(output, "wb") as f:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=f, cwd=cwd, check=False, preexec_fn=prepare).returncode


def usual_niceness():
    """What the commands see of it does not depend on how this program is run."""
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def on_linux(tree, folder, words, output):
    with tempfile.TemporaryDirectory() as scratch:
        command = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child", "bash", "-c", CHROOT, "chroot", tree, folder]
        return collect([*command, *words], output, scratch, usual_niceness)


def in_guest(opts, folder, words, output):
    command = [os.path.join(ROOT, "quire"), "run", "--cpus", str(opts.cpus), "--memory", opts.memory, "--timeout", str(opts.timeout), "--log", opts.log]
    command += ["--root", opts.image, "--copy", f"{folder}:{JOB}", "--", *words]
    status = collect(command, output)
    if status:
        print(f"# the guest ended with status {status}; its log is {opts.log}")
    return status


def show(text, name, which, expected, got):
    lines = list(difflib.unified_diff(expected.splitlines(), got.splitlines(), f"{which} on Linux", f"{which} here", lineterm="", n=1))
    for line in lines[:text]:
        print(f"#   {line[:200]}")
    if len(lines) > text:
        print(f"#   ... and {len(lines) - text} lines more")


def compare(command, linux, guest, opts):
    """Do they agree? What differs is shown as diagnostics."""
    if not linux or not guest:
        print(f"#   no result {'on Linux' if not linux else 'here'}")
        return False
    same = linux[0] == guest[0]
    if not same:
        print(f"#   status {guest[0]}, on Linux {linux[0]}")
    for which, expected, got in (("stdout", linux[1], guest[1]), ("stderr", linux[2], guest[2])):
        expected, got = (command.filtered(data).decode("utf-8", "backslashreplace") for data in (expected, got))
        if expected != got:
            same = False
            show(opts.lines, command.name, which, expected, got)
    return same


def seconds(result):
    return f"{result[3] / 1000:.1f} s" if result else "nothing"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", default=os.path.join(HERE, "list"))
    parser.add_argument("--group", help="only these groups, with commas between")
    parser.add_argument("--quick", action="store_true", help="only what is marked quick")
    parser.add_argument("--self", action="store_true", dest="twice", help="compare Linux with Linux")
    parser.add_argument("--tree", help="the root directory; else the one that tools/mkroot.py makes")
    parser.add_argument("--image", help="its image")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--limit", type=int, default=180, help="seconds for one command")
    parser.add_argument("--timeout", type=int, default=7200, help="seconds for the guest")
    parser.add_argument("--lines", type=int, default=12, help="lines of difference shown")
    parser.add_argument("--keep", default=os.path.join(ROOT, "build", "programs"), help="directory for the results and the kernel's log")
    parser.add_argument("--again", action="store_true", help="take the results on Linux from the last run")
    opts = parser.parse_args()
    os.makedirs(opts.keep, exist_ok=True)
    opts.log = os.path.join(opts.keep, "log")
    return opts


def choose(opts):
    commands = read_list(opts.list)
    unknown = set(opts.names) - {command.name for command in commands}
    if unknown:
        sys.exit(f"no such command: {' '.join(sorted(unknown))}")
    if opts.names:
        commands = [command for command in commands if command.name in opts.names]
    if opts.group:
        commands = [command for command in commands if command.group in opts.group.split(",")]
    return [command for command in commands if command.quick or not opts.quick]


def find_root(opts):
    """The image and the tree, made if they are not there."""
    tool = os.path.join(ROOT, "tools", "mkroot.py")
    for name, flags in (("tree", ["--tree"]), ("image", [])):
        if not getattr(opts, name):
            made = subprocess.run([tool, "full", *flags], stdout=subprocess.PIPE, text=True, check=False)
            if made.returncode or not made.stdout.strip():
                print(f"1..0 # SKIP no root file system: {shlex.join([tool, 'full', *flags])} failed")
                sys.exit(0)
            setattr(opts, name, made.stdout.splitlines()[-1])


def main():
    opts = arguments()
    commands = choose(opts)
    find_root(opts)
    if os.geteuid():
        print("1..0 # SKIP chroot is for root only")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            with open(os.path.join(folder, command.name), "w", encoding="utf-8") as f:
                f.write("\n".join(command.lines) + "\n")
        shutil.copy(os.path.join(HERE, "job.sh"), folder)
        words = ["bash", f"{JOB}/job.sh", JOB, str(opts.limit), *(command.name for command in commands)]
        outputs = [os.path.join(opts.keep, name) for name in ("linux.out", "guest.out")]
        if not opts.again:
            on_linux(os.path.abspath(opts.tree), folder, words, outputs[0])
        if opts.twice:
            on_linux(os.path.abspath(opts.tree), folder, words, outputs[1])
        else:
            in_guest(opts, folder, words, outputs[1])
    linux, guest = (take_results(path) for path in outputs)
    print(f"1..{len(commands)}")
    failed = 0
    for number, command in enumerate(commands, 1):
        same = compare(command, linux.get(command.name), guest.get(command.name), opts)
        failed += not same
        took = f"{seconds(guest.get(command.name))}, on Linux {seconds(linux.get(command.name))}"
        print(f"{'ok' if same else 'not ok'} {number} - {command.name} ({took})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

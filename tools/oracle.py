#!/usr/bin/env python3
"""oracle.py LOG - does the host's Linux agree with a guest that ran init=/bin/urun, whose log this is?

The same static programs run here, one after another, each in a session of its own and in an empty folder. Every test point must have the
same name and the same outcome on both sides; what may differ is listed in tests/oracle.differences, with reasons. Also used by
`qemu.py test --oracle`, which has such a log anyway.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = os.path.join(ROOT, "build", "initrd", "bin")
DIFFERENCES = os.path.join(ROOT, "tests", "oracle.differences")
NO_TESTS = ("urun", "ubench", "uconsole", "ucore", "udriver", "uguarded", "uharden", "uioerr", "uline", "uown", "ustress", "upressure")  # what urun does not run
OURS = ("uendpoint", "uhandoff", "uinit", "ulog", "uobject", "upurge", "uring", "userial", "usnapshot", "uspawn", "usystem", "uthreadfd", "uvmo")  # of calls that Linux has not
PLAN = re.compile(r"^1\.\.(\d+)\s*$")
POINT = re.compile(r"^(not ok|ok) \d+ - (.*?)\s*$")
BOUND = 120  # seconds for one program
POINTS_MIN = 150


def points_of(lines):
    """What TAP says, one list of (name, outcome) for each plan."""
    programs = []
    for line in lines:
        if PLAN.match(line):
            programs.append([])
        elif (match := POINT.match(line)) and programs:
            programs[-1].append((match.group(2), match.group(1)))
    return programs


def default_signals():
    """As the first program of a machine has them: whoever started us may ignore some (nohup)."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run_here(path):
    """The points of a program on this Linux, and its remarks; one that does not end, or dies, has one point that says so."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as scratch:
        try:
            done = subprocess.run(
                [path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=scratch,
                timeout=BOUND,
                start_new_session=True,
                check=False,
                preexec_fn=default_signals,
            )
        except subprocess.TimeoutExpired:
            return [("it ends", "not ok")], []
    lines = done.stdout.decode(errors="replace").splitlines()
    points = points_of(lines)
    good = len(points) == 1 and done.returncode in (0, 1)
    return points[0] if good else [("it ends as tests do", "not ok")], [line.strip("# ") for line in lines if line.startswith("#")]


def allowed_differences():
    """{program: {name of a point: reason}}"""
    allowed = {}
    with open(DIFFERENCES, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                program, name, reason = (word.strip() for word in line.split("|"))
                allowed.setdefault(program, {})[name] = reason
    return allowed


def compare(name, here, guest, allowed):
    """What differs in one program: a list of texts."""
    there, mine = dict(guest), dict(here)
    if [n for n, _ in here] != [n for n, _ in guest]:
        odd = [n for n in [*mine, *there] if n not in mine or n not in there]
        return [f"{name}: other points: {', '.join(odd[:5]) or 'in another order'}"]
    return [
        f"{name}: {point}: '{there[point]}' in the guest, '{outcome}' on Linux"
        for point, outcome in here
        if there[point] != outcome and point not in allowed
    ]


def differences(lines):
    """Compare with the guest's log. Returns (texts of what differs, number of points that agree)."""
    names = sorted(n for n in os.listdir(PROGRAMS) if n not in NO_TESTS and os.path.exists(os.path.join(ROOT, "tests", "guest", f"{n}.c")))
    guest = points_of(lines)
    if len(guest) != len(names):
        return [f"the log has {len(guest)} programs, here are {len(names)}"], 0
    allowed, wrong, agree = allowed_differences(), [], 0
    for name, theirs in zip(names, guest):
        if name in OURS:
            continue
        mine, remarks = run_here(os.path.join(PROGRAMS, name))
        found = compare(name, mine, theirs, allowed.get(name, {}))
        wrong += found + [f"{name}: on Linux: {text}" for text in remarks if found]
        agree += len(mine) - len(found)
    if agree < POINTS_MIN:
        wrong.append(f"only {agree} points agree, at least {POINTS_MIN} must")
    return wrong, agree


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as f:
        wrong, agree = differences([line.rstrip("\r\n") for line in f])
    print(*wrong, f"{agree} points agree, {len(wrong)} differences", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

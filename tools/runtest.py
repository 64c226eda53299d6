#!/usr/bin/env python3
"""runtest.py TEST - run one test for prove: TAP on standard output, diagnostics on standard error.

TEST is a guest configuration (tests/run/NAME.case: arguments of `qemu.py test`, `#` starts a comment), a fuzzer (fuzz_NAME, run for
FUZZ_SECONDS), or a program that prints TAP. A program that does not end within its bound is killed with all its children, and that is
a failed test point.
"""
import os
import shlex
import signal
import subprocess
import sys

TOOLS = os.path.dirname(os.path.abspath(__file__))
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
BOUND = int(os.environ.get("TEST_TIMEOUT", "600"))  # seconds for one program


def case_arguments(path):
    with open(path, encoding="utf-8") as f:
        return shlex.split(f.read(), comments=True)


def run_program(path):
    """Run a program with a bound and pass on its TAP; of one that fails, its last lines go to standard error as well. Its exit status."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    name = os.path.basename(path)
    child = subprocess.Popen([os.path.abspath(path)], env=env, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = child.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        output += f"\nnot ok - {name} did not end within {BOUND} s\n"
    if child.returncode < 0 and "did not end" not in output:
        output += f"\nnot ok - {name} was ended by {signal.Signals(-child.returncode).name}\n"
    sys.stdout.write(output)
    if child.returncode:
        print("\n".join(f"# {name}: {line}" for line in output.splitlines()[-40:]), file=sys.stderr)
    return child.returncode and 1


def run_fuzzer(path):
    """A bounded run; a finding is shown on standard error and kept under build/crashes."""
    name = os.path.basename(path)
    print("1..1", flush=True)
    fuzz = [os.path.join(TOOLS, "fuzz.sh"), path, str(FUZZ_SECONDS)]
    done = subprocess.run(fuzz, capture_output=True, text=True, errors="replace", timeout=BOUND, check=False)
    runs = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    print(f"{'not ' if done.returncode else ''}ok 1 - {name}: {runs[0] if runs else 'no'} inputs in {FUZZ_SECONDS} s")
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
    return done.returncode


def main():
    path = sys.argv[1]
    if os.path.basename(path).startswith("fuzz_"):
        sys.exit(run_fuzzer(path))
    if path.endswith(".case"):
        name = os.path.basename(path)[: -len(".case")]
        os.execv(sys.executable, [sys.executable, os.path.join(TOOLS, "qemu.py"), "test", "--name", name, *case_arguments(path)])
    sys.exit(run_program(path))


main()

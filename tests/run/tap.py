"""tap.py - what the scripts beside it share: tests are functions, each is a point, and TAP says how it went."""
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = []  # in the order of the text


def test(fn):
    TESTS.append(fn)
    return fn


class Wrong(Exception):
    """What a test found is not what it wants."""


def holds(condition, what):
    if not condition:
        raise Wrong(str(what)[-3000:])


def named(name, tests=None):
    """Those with `name` in their names."""
    return [fn for fn in (TESTS if tests is None else tests) if name in fn.__name__]


def point(number, fn, argument):
    """Try one test and tell how it went; whether it went well."""
    try:
        fn(argument)
        print(f"ok {number} - {fn.__name__}", flush=True)
    except (Wrong, OSError, ValueError, subprocess.SubprocessError) as wrong:
        print(f"not ok {number} - {fn.__name__}\n# " + str(wrong).replace("\n", "\n# "), flush=True)
        return False
    return True


def run_each(tests):
    """Every test, with an empty directory of its own. Returns the exit status."""
    print(f"1..{len(tests)}", flush=True)
    good = True
    for i, fn in enumerate(tests, 1):
        with tempfile.TemporaryDirectory(prefix="quire-", ignore_cleanup_errors=True) as scratch:
            good = point(i, fn, scratch) and good
    return not good


def tool(*words):
    """Run a tool of e2fsprogs, which may be where users' paths do not lead."""
    env = {**os.environ, "PATH": os.environ["PATH"] + ":/sbin:/usr/sbin"}
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, check=False)


def copy_of_base(scratch):
    """A root image of our own, which may be written."""
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "base"], capture_output=True, text=True, check=True).stdout
    image = os.path.join(scratch, "root.img")
    subprocess.run(["cp", "--sparse=always", made.strip().splitlines()[-1], image], check=True)
    return image

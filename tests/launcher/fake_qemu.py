#!/usr/bin/env python3
"""fake_qemu.py - takes QEMU's place in tests of the launcher: the first program serves the launcher's port here on the host.

What to do besides comes by FAKE_QEMU: "silent" never speaks, "panic" ends as a kernel that panics does, "panic-later" after the
request has come, "no window" has no display, "refuse" as a QEMU that does not like its arguments. FAKE_QEMU_ARGS names a file that gets the arguments.
"""
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    arguments = " ".join(sys.argv[1:])
    how = os.environ.get("FAKE_QEMU", "")
    if arguments == "-display help":
        print("Available display backend types:\nnone" + ("" if how == "no window" else "\nsdl\ngtk"))
        return 0
    if "FAKE_QEMU_ARGS" in os.environ:
        with open(os.environ["FAKE_QEMU_ARGS"], "w", encoding="utf-8") as f:
            f.write(arguments)
    if how == "refuse":
        print("qemu-system-x86_64: it does not please me\nmore", file=sys.stderr)
        return 1
    if how == "panic":
        return 95
    if how == "silent":
        time.sleep(600)
    port = int(re.search(r"socket,id=run,fd=(\d+)", arguments).group(1))
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if os.geteuid() == 0 else []  # so that nothing outlives it
    serve = [*alone, os.path.join(ROOT, "build", "run", "init"), "--serve", str(port)]
    with subprocess.Popen(serve, pass_fds=(port,), stdin=subprocess.DEVNULL) as init:
        os.close(port)
        if how == "panic-later":
            time.sleep(1)
            init.kill()
            return 95
    return 33


sys.exit(main())

#!/usr/bin/env python3
"""serial.py - the other end of the second serial port of a guest that runs /bin/uline: lines with numbers go both ways, and somebody types
to a shell there. TAP on standard output."""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import md5

from tap import ROOT, Wrong, holds

BOUND = int(os.environ.get("SERIAL_BOUND", "500"))  # seconds
WAIT = 120  # seconds for an answer of the shell
LINES, KILLS, HANDS, TESTS = 30000, 100, 16, 8  # as in tests/guest/uline.c
NUMBERS = b"".join(b"%d\n" % i for i in range(1, 3001))
DIALOGUE = (  # what is typed to the shell, the line that must come, and what is typed then
    ("tty\n", r"^/dev/ttyS1\r$", ""),
    ("stty -F /dev/ttyS1 | head -n 1\n", r"^speed 115200 baud; line = 0;\r$", ""),
    ("stty -F /dev/ttyS1 9600 evenp crtscts; stty -a | tr ' ;' '\\n' | grep -c -x -e 9600 -e parenb -e cs7 -e crtscts\n", r"^4\r$", ""),
    ("stty 115200 -evenp -crtscts; echo $((6 * 7))\n", r"^42\r$", ""),
    ("sh -c 'echo begun; exec sleep 1000'\n", r"^begun\r$", "\x03"),
    ("echo status $?\n", r"^status 130\r$", ""),
    ("seq 1 3000 | md5sum\n", f"^{md5(NUMBERS).hexdigest()}  -\r$", ""),
    ("exit 5\n", "", ""),
)


class Line:
    """The socket: what has come, byte by byte, without ever making the guest wait."""

    def __init__(self, connection):
        self.connection = connection
        self.data = bytearray()
        self.ended = False
        self.news = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                data = self.connection.recv(65536)
            except OSError:
                data = b""
            with self.news:
                self.ended = not data
                self.data += data
                self.news.notify_all()
            if not data:
                return

    def take(self, pattern, seconds):
        """All that has come up to the end of what matches."""
        end, pattern, seen = time.monotonic() + seconds, re.compile(pattern, re.M), 0
        with self.news:
            while not (found := pattern.search(self.data, seen)):
                holds(time.monotonic() < end and not self.ended, f"no {pattern.pattern} in {bytes(self.data[-500:])}")
                seen = max(0, self.data.rfind(b"\n"))  # what matches lies within a line
                self.news.wait(1)
            taken = bytes(self.data[: found.end()])
            del self.data[: found.end()]
        return taken

    def send(self, data):
        self.connection.sendall(data)


def line_of(n):
    return b"%08x %08x\n" % (n, n * 2654435761 & 0xFFFFFFFF)


def number_of(text):
    """Of a whole line; None: it is none."""
    found = re.fullmatch(rb"([0-9a-f]{8}) [0-9a-f]{8}", text)
    n = int(found.group(1), 16) if found else 0
    return n if line_of(n) == text + b"\n" else None


def exchange_lines(line, kills):
    """Send lines with numbers until those of the guest have ended, and judge them."""
    over = threading.Event()

    def talk():
        sent = 0
        while not over.is_set() or sent < (0 if kills else LINES):
            line.send(b"".join(line_of(n) for n in range(sent, sent + 64)))
            sent += 64
        line.send(b"\nEND\n")

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    try:
        text = line.take(rb"^END\n", BOUND)
    finally:
        over.set()
    talker.join(BOUND)
    holds(not talker.is_alive(), "the guest does not take what is sent")
    whole = [n for n in map(number_of, text.split(b"\n")) if n is not None]
    holds(len(whole) >= LINES or kills, f"{len(whole)} lines came")
    holds(all(a < b for a, b in zip(whole, whole[1:])), "they came in another order")
    missing = whole[-1] + 1 - len(whole)
    print(f"# of {whole[-1] + 1} lines of the guest {missing} are missing")
    holds(kills or len(text) == len(line_of(0)) * len(whole) + len(b"\nEND\n"), "something else came as well")
    holds(missing * len(line_of(0)) <= kills * (HANDS + 2 * (len(line_of(0)) - 1)), f"{missing} lines are missing")


def type_to_shell(line):
    for typed, answer, then in DIALOGUE:
        line.take(rb"ready\$ ", WAIT)
        line.send(typed.encode())
        if answer:
            line.take(answer.encode(), WAIT)
        line.send(then.encode())


PARTS = {  # what the guest asks for, in this order
    "lines": [lambda line: exchange_lines(line, 0), lambda line: exchange_lines(line, KILLS)],
    "session": [type_to_shell],
}


def root_image():
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "base"], capture_output=True, text=True, check=False)
    return made.stdout.strip().splitlines()[-1] if made.returncode == 0 else None


def command(path, image):
    args = ["-chardev", f"socket,id=com2,path={path}", "-device", "isa-serial,index=1,chardev=com2"]
    if image:
        args += ["-drive", f"if=none,id=root,format=raw,snapshot=on,file={image}", "-device", "virtio-blk-pci,drive=root"]
    return [sys.executable, os.path.join(ROOT, "tools", "qemu.py"), "run", "--kernel", "build/gcc-debug/quire.elf", "--initrd", "build/initrd.cpio",
            "--cpus", "2", "--append", "init=/bin/uline", *(f"--qemu-arg={arg}" for arg in args)]


def end(guest):
    """With the emulator, its child."""
    os.killpg(guest.pid, signal.SIGKILL)


class Points:
    def __init__(self, image):
        self.count = self.failed = 0
        self.without = "" if image else " # SKIP there is no root image"

    def point(self, good, name):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}{self.without if 'bash' in name else ''}", flush=True)


def play(guest, listener, tap):
    """Do as the guest asks until it ends; its lines."""
    line, lines = None, []
    parts = {word: iter(fns) for word, fns in PARTS.items()}
    for text in guest.stdout:
        text = text.decode(errors="replace").rstrip("\r\n")
        lines.append(text)
        line = line or Line(listener.accept()[0])
        if found := re.match(r"# host: (\w+)$", text):
            word = found.group(1)
            try:
                next(parts[word])(line)
                tap.point(True, f"the host's part: {word}")
            except Wrong as wrong:
                print(f"# {wrong}", flush=True)
                tap.point(False, f"the host's part: {word}")
                end(guest)
        elif found := re.match(r"(ok|not ok) \d+ - (.*)", text):
            tap.point(found.group(1) == "ok", found.group(2))
        elif text.startswith("# "):
            print(text, flush=True)
    return lines


def main():
    image = root_image()
    tap = Points(image)
    with tempfile.TemporaryDirectory(prefix="quire-") as scratch, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(scratch, "line"))
        listener.listen(1)
        guest = subprocess.Popen(command(os.path.join(scratch, "line"), image), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        late = threading.Timer(BOUND, end, [guest])
        late.start()
        lines = play(guest, listener, tap)
        tap.point(guest.wait() == 0, "the guest ended cleanly")
        late.cancel()
    parts = len(PARTS["lines"]) + bool(image)
    tap.point(tap.count == TESTS + parts + 1, f"all {TESTS} tests and the host's {parts} parts were there")
    print(f"1..{tap.count}")
    if tap.failed:
        print("\n".join("# " + text for text in lines[-40:]), file=sys.stderr)
    return tap.failed != 0


if __name__ == "__main__":
    sys.exit(main())

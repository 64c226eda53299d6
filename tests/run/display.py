#!/usr/bin/env python3
"""display.py - the console on a framebuffer, as TAP: boots without a window, types on the emulated keyboard, and reads the screen's text
back from pictures of it. Nothing depends on how long anything takes: each step waits for what is to be on the screen.

  display.py [NAME]     only the tests with NAME in their names
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

from screen_reader import Font, Screen
from tap import ROOT, Wrong, holds, named, point, test

KERNEL, ARCHIVE = os.path.join(ROOT, "build/gcc-debug/quire.elf"), os.path.join(ROOT, "build/display.cpio")
FONT = "/usr/share/unifont/unifont.hex"
CLEAN = 33  # QEMU's exit status when the guest has ended cleanly
BOUND = 180  # seconds for any one thing to appear
PROMPT = "root@quire:~#"
KILLS = int(os.environ.get("DISPLAY_KILLS", "10"))
KEY_BYTES = 12  # that are sent before they are seen to arrive: the emulated keyboard keeps 16, and loses what comes then
QCODES = {" ": "spc", "\n": "ret", "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right", ";": "semicolon",
          "'": "apostrophe", "`": "grave_accent", "\\": "backslash", ",": "comma", ".": "dot", "/": "slash"}  # fmt: skip
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./"))


class Machine:
    """QEMU with the console in it."""

    def __init__(self, scratch, *words):
        self.scratch, self.font = scratch, Font(FONT)
        self.log = os.path.join(scratch, "log")
        path = os.path.join(scratch, f"qmp-{time.monotonic_ns()}")
        args = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "256M", "-nodefaults"]
        args += ["-no-user-config", "-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        args += ["-drive", f"if=none,id=root,format=raw,snapshot=on,cache=unsafe,file={image()}", "-device", "virtio-blk-pci,drive=root"]
        args += ["-serial", f"file:{self.log}", "-qmp", f"unix:{path},server=on,wait=off", *words]
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        self.stream = None
        try:
            self.connect(path)
            self.ask("qmp_capabilities")
        except BaseException:
            self.end()
            raise

    def connect(self, path):
        end = time.monotonic() + BOUND
        while True:
            try:
                self.socket.connect(path)
                self.stream = self.socket.makefile("rw", encoding="utf-8")
                return self.stream.readline()
            except OSError:
                holds(time.monotonic() < end and self.process.poll() is None, "QEMU does not start")
                time.sleep(0.1)

    def ask(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            holds("error" not in answer, answer)
            if "return" in answer:
                return answer["return"]

    def screen(self):
        path = os.path.join(self.scratch, "screen.ppm")
        self.ask("screendump", filename=path)
        return Screen(path, self.font)

    def until(self, condition, what):
        """The first screen of which the condition holds."""
        end = time.monotonic() + BOUND
        while True:
            screen = self.screen()
            if condition(screen):
                return screen
            text = "\n".join(line for line in screen.text() if line)
            holds(time.monotonic() < end and self.process.poll() is None, f"{what} does not appear; there is:\n{text}")
            time.sleep(0.02)

    def until_line(self, pattern):
        return self.until(lambda screen: any(re.fullmatch(pattern, line) for line in screen.text()), f"/{pattern}/")

    # Keys ---------------------------------------------------------------------------------------------------------------

    def keys(self, *qcodes):
        """Press keys together and release them."""
        events = [(qcode, True) for qcode in qcodes] + [(qcode, False) for qcode in reversed(qcodes)]
        self.ask("input-send-event", events=[
            {"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": qcode}}} for qcode, down in events
        ])  # fmt: skip

    def key_of(self, char):
        if char.isupper():
            return self.keys("shift", char.lower())
        base = SHIFTED.get(char, char)
        qcode = QCODES.get(base, base)
        return self.keys("shift", qcode) if char in SHIFTED else self.keys(qcode)

    @staticmethod
    def cost(char):
        """Bytes that the keyboard sends for it."""
        return 6 if char in SHIFTED or char.isupper() else 3

    def line_typed(self, screen):
        """What was typed behind the last prompt."""
        lines = [line for line in screen.text() if line.startswith(PROMPT)]
        return lines[-1][len(PROMPT) + 1 :] if lines else None

    def type(self, text):
        """Type at the prompt, no faster than it is echoed."""
        at = 0
        while at < len(text):
            room = KEY_BYTES
            while at < len(text) and room >= self.cost(text[at]):
                self.key_of(text[at])
                room -= self.cost(text[at])
                at += 1
            so_far = self.font.text(text[:at].rstrip())
            self.until(lambda screen, so_far=so_far: self.line_typed(screen) == so_far, f"what was typed ({so_far})")

    def enter(self, text):
        self.type(text)
        self.keys("ret")

    def until_logged(self, text):
        end = time.monotonic() + BOUND
        while True:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                if text in f.read():
                    return
            holds(time.monotonic() < end, f"{text!r} does not come to be logged")
            time.sleep(0.1)

    def prompt(self):
        """Wait for a prompt with nothing behind it."""
        return self.until(lambda screen: self.line_typed(screen) == "", "a prompt")

    def run(self, command, pattern):
        """Enter a command at a clean screen, wait for a line of its output and the prompt; the match."""
        self.keys("ctrl", "l")
        self.until(lambda screen: screen.text()[0] == PROMPT and not any(screen.text()[1:]), "an empty screen")
        self.enter(command)
        self.until_line(pattern)
        screen = self.prompt()
        return next(m for m in (re.fullmatch(pattern, line) for line in screen.text()) if m)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.stream:
            self.stream.close()
        self.socket.close()


def image():
    made = subprocess.run([os.path.join(ROOT, "tools", "mkroot.py"), "base"], capture_output=True, text=True, check=True).stdout
    return made.strip().splitlines()[-1]


def pid_of_console(m):
    return int(m.run("pgrep -x fbcon", r"(\d+)").group(1))


# The tests, in the order of a session -------------------------------------------------------------------------------------


@test
def a_shell_on_the_screen(m):
    screen = m.until_line(re.escape(PROMPT))
    holds((screen.width, screen.height) == (640, 480), f"{screen.width} x {screen.height}")
    m.run("stty size", "30 80")
    m.run("tty", r"/dev/pts/\d+")
    holds(m.run("stty -a | grep -o .iutf8", r"[- ]iutf8").group() == " iutf8", "the terminal does not know of UTF-8")


@test
def text_in_utf_8(m):
    m.run(r"echo -e '\u416\u3bb\ue9 \u65e5\u672c\u8a9e \u2500\u253c\u20ac'", m.font.text("Жλé 日本語 ─┼€"))


@test
def colours_and_styles(m):
    m.run(r"printf '\e[38;5;208mor\e[0;1;4mbu\e[0;7mrv\e[0;34mbl\e[m\n'", "orburvbl")
    line = next(line for line in m.screen().lines if "".join(c.char or "" for c in line).startswith("orburvbl"))
    orange, bold, reverse, blue = line[0], line[2], line[4], line[6]
    holds(orange.fg == (0xFF, 0x87, 0) and orange.bg == (0, 0, 0), orange)
    holds(bold.bold and bold.underline and not orange.bold and not orange.underline, bold)
    holds(reverse.bg == blue.bg or sum(reverse.bg) > sum(blue.bg), reverse)
    plain = line[8] if line[8].bg else orange
    holds(plain.bg == (0, 0, 0) and blue.fg[2] > max(blue.fg[:2]), blue)


@test
def reverse_has_a_light_ground(m):
    """A blank in reverse is all ground."""
    m.run(r"printf '\e[7m  \e[mX\n'", "  X")
    line = next(line for line in m.screen().lines if line[2].char == "X")
    holds(min(line[0].bg) > 128 and line[3].bg == (0, 0, 0), line[:4])


@test
def keys_that_are_no_characters(m):
    m.run("echo one$((1+1))", "one2")
    m.keys("up")
    m.until(lambda screen: m.line_typed(screen) == "echo one$((1+1))", "the command before")
    m.keys("home")
    m.keys("delete")
    m.until(lambda screen: m.line_typed(screen) == "cho one$((1+1))", "the command without its first letter")
    m.keys("end")
    m.keys("backspace")
    m.until(lambda screen: m.line_typed(screen) == "cho one$((1+1)", "the command without its last letter")
    m.keys("ctrl", "c")
    m.prompt()


@test
def every_key_of_the_layout(m):
    m.run("echo ok", "ok")
    for first in (0x21, 0x50):
        m.type("".join(chr(c) for c in range(first, min(first + 0x2F, 0x7F))))
        m.keys("ctrl", "c")
        m.prompt()
    m.keys("caps_lock")
    m.keys("a")
    m.until(lambda screen: m.line_typed(screen) == "A", "A")
    m.keys("1")
    m.keys("shift", "b")
    m.until(lambda screen: m.line_typed(screen) == "A1b", "A1b")
    m.keys("caps_lock")
    m.keys("c")
    m.until(lambda screen: m.line_typed(screen) == "A1bc", "A1bc")
    m.keys("ctrl", "c")
    m.prompt()


@test
def it_listens_while_text_streams(m):
    m.run("echo ok", "ok")
    m.enter("yes")
    m.until(lambda screen: screen.text().count("y") > 20, "a screen full of y")
    m.keys("ctrl", "c")
    m.prompt()


@test
def a_second_terminal(m):
    first = m.run("tty", r"/dev/pts/(\d+)").group(1)
    m.keys("alt", "f2")
    m.until(lambda screen: not any("pts" in line for line in screen.text()) and m.line_typed(screen) == "", "a second shell")
    second = m.run("tty", r"/dev/pts/(\d+)").group(1)
    holds(first != second, f"both have /dev/pts/{first}")
    m.keys("alt", "f1")
    m.until_line(f"/dev/pts/{first}")
    m.prompt()
    m.keys("alt", "f2")
    m.until_line(f"/dev/pts/{second}")
    m.keys("alt", "f1")
    m.until_line(f"/dev/pts/{first}")


@test
def scrolled_back(m):
    """By whole pages: a picture may be taken while one is drawn, so each is waited for as it is to be."""
    top = int(m.run("seq 200", "200").string) - 28  # below it is the prompt
    for key, by in (("pgup", -30), ("pgup", -30), ("pgup", -30), ("pgup", -30), ("pgdn", 30)):
        m.keys("shift", key)
        top += by
        wanted = [str(n) for n in range(top, top + 30)]
        m.until(lambda screen, wanted=wanted: screen.text() == wanted, f"the lines from {top} on")
    m.keys("right")  # any key leads back
    m.until(lambda screen: "200" in screen.text() and m.line_typed(screen) == "", "the end")


@test
def it_sleeps_when_nothing_happens(m):
    """A console that draws for ever has sixty turns a second."""
    m.run("s=/proc/$(pgrep fbcon)/status; echo $s", r"/proc/\d+/status")
    m.run("g() { grep ^vol $s; }; (g; sleep 4; g) > x; echo ok", "ok")
    found = m.run("cut -f 2 x | paste -s -d -", r"(\d+)-(\d+)")
    first, last = (int(n) for n in found.groups())
    holds(last - first < 120, f"{last - first} switches in 4 seconds")


@test
def a_shell_that_ends_is_followed_by_another(m):
    before = m.run("echo shell $$", r"shell (\d+)").group(1)
    m.enter("exit")
    m.until(lambda screen: "logout" in screen.text() and m.line_typed(screen) == "", "another shell")
    holds(m.run("echo shell $$", r"shell (\d+)").group(1) != before, "it is the same shell")


@test
def killed_it_comes_again(m):
    before = pid_of_console(m)
    m.enter(f"kill -9 {before}")
    m.until(lambda screen: not any("kill" in line for line in screen.text()) and m.line_typed(screen) == "", "another console")
    holds(pid_of_console(m) != before, "it is the same process")
    m.run("echo again", "again")
    m.run("ps -C bash -o tty= | sort -u | wc -l", "2")  # the serial port's and the one here: those of before were hung up


@test
def killed_at_any_moment(m):
    """While it starts, draws the first prompt, or has just done so."""
    m.run("date +%s%N; echo ok", "ok")  # what the shell needs is in memory
    for line in (
        f"for i in $(seq {KILLS}); do",
        "p=$(pgrep -x fbcon); kill -9 $p",
        "until q=$(pgrep -x fbcon) && [ $q != $p ]",
        "do sleep .0$((i%7)); done; done",
        "echo all killed >/dev/kmsg",
    ):
        m.enter(f"echo '{line}' >>k")
        m.prompt()
        m.keys("ctrl", "l")
    m.enter("setsid sh k &")
    m.until_logged("all killed")
    m.until_line(re.escape(PROMPT))
    m.run("echo again", "again")


@test
def everything_is_given_back(m, restarts=1 + KILLS):
    m.enter("kill -USR2 1")
    status = m.process.wait(BOUND)
    with open(m.log, encoding="utf-8", errors="replace") as f:
        log = f.read()
    holds(status == CLEAN and "every reference is accounted for" in log, f"{status}: {log[-1500:]}")
    holds(len(re.findall(r"service fbcon\[\d+\] .*: start", log)) == restarts, log[-1500:])


# The same on other screens ------------------------------------------------------------------------------------------------


def other_screen(scratch, size, *words):
    """A shell comes up, and the machine ends in order."""
    m = Machine(scratch, *words)
    try:
        m.until_line(re.escape(PROMPT))
        m.run("stty size", size)
        everything_is_given_back(m, restarts=0)
    finally:
        m.end()


def screen_of_the_boot_loader(scratch):
    iso = os.path.join(scratch, "quire.iso")
    subprocess.run([os.path.join(ROOT, "tools", "mkiso.sh"), KERNEL, ARCHIVE, iso], check=True)
    other_screen(scratch, "48 128", "-cdrom", iso, "-boot", "d", "-vga", "std")


def display_without_vga(scratch):
    other_screen(scratch, "37 100", "-kernel", KERNEL, "-initrd", ARCHIVE, "-device", "bochs-display,xres=800,yres=600")


SCREENS = (screen_of_the_boot_loader, display_without_vga)


def session(tests, scratch):
    """One machine for all of these, each of which stands on those before; whether all went well."""
    machine = Machine(scratch, "-kernel", KERNEL, "-initrd", ARCHIVE, "-device", "VGA,xres=640,yres=480")
    good = True
    try:
        for i, fn in enumerate(tests, 1):
            if not good:
                print(f"not ok {i} - {fn.__name__}: not tried", flush=True)
            good = good and point(i, fn, machine)
    finally:
        machine.end()
    return good


def main(only):
    tests, screens = named(only), named(only, SCREENS)
    print(f"1..{len(tests) + len(screens)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="quire-display-") as scratch:
        good = not tests or session(tests, scratch)
        for i, fn in enumerate(screens, len(tests) + 1):
            good = point(i, fn, scratch) and good
    return not good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))

"""machine.py - QEMU with Quire in it: how it is started, ended, and what its end means."""
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .options import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLEAN, FAILED, PANIC = 33, 35, 95  # QEMU's exit status when the kernel ends it
END_SECONDS = 30  # the guest may take so long to write everything back and turn itself off
PR_SET_PDEATHSIG = 1


def kvm_is_usable():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M):
                return False
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
        return True
    except OSError:
        return False


def image_format(path):
    with open(path, "rb") as f:
        return "qcow2" if f.read(4) == b"QFI\xfb" else "raw"


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def escape(path):
    """A file name in an option of QEMU: commas are doubled."""
    return path.replace(",", ",,")


def archive_for(opts):
    """The initial archive that brings what was asked for."""
    return "build/display.cpio" if opts.display else "build/run.cpio"


def window_kind(emulator):
    """How this QEMU shows a window here."""
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        raise Failure("--display: there is nowhere to show a window: neither DISPLAY nor WAYLAND_DISPLAY is set")
    kinds = subprocess.run([emulator, "-display", "help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.split()
    for kind in ("gtk", "sdl"):
        if kind in kinds:
            return kind
    raise Failure("--display: this QEMU shows no windows: install the package qemu-system-gui")


class Machine:
    """A running QEMU. `port` is our end of the guest's port."""

    def __init__(self, opts, image):
        self.opts = opts
        self.kernel = self.find("QUIRE_KERNEL", "build/quire.elf")
        self.initrd = self.find("QUIRE_INITRD", archive_for(opts))
        self.emulator = shutil.which(os.environ.get("QUIRE_QEMU", "qemu-system-x86_64"))
        if not self.emulator:
            raise Failure("QEMU is missing: install the package qemu-system-x86")
        self.window = window_kind(self.emulator) if opts.display else "none"
        self.image = image
        self.keep_log = opts.log is not None
        self.log = self.open_log()
        self.errors = tempfile.TemporaryFile()
        self.port, guest_end = socket.socketpair()
        with guest_end:
            self.process = self.start(guest_end.fileno())

    @staticmethod
    def find(variable, otherwise):
        path = os.environ.get(variable) or os.path.join(ROOT, otherwise)
        if not os.path.exists(path):
            raise Failure(f"{path} is missing: run `make` first")
        return path

    def open_log(self):
        try:
            if self.opts.log is None:
                fd, path = tempfile.mkstemp(prefix="quire-", suffix=".log")
            else:
                path = os.path.abspath(self.opts.log)
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.close(fd)
        except OSError as error:
            raise Failure(f"--log: {error.strerror}: {error.filename}") from error
        return path

    def command_line(self, port):
        machine = os.environ.get("QUIRE_MACHINE", "q35" if self.opts.display else "microvm")
        bus = "device" if machine == "microvm" else "pci"
        args = [self.emulator, "-nodefaults", "-no-user-config", "-display", self.window, "-no-reboot"]
        if machine == "microvm":
            args += ["-M", "microvm", "-global", "virtio-mmio.force-legacy=false"]
        else:
            args += ["-M", machine]
        args += ["-accel", "kvm", "-cpu", "host"] if kvm_is_usable() else ["-accel", "tcg", "-cpu", "max"]
        args += ["-smp", str(self.opts.cpus), "-m", f"{self.opts.memory >> 10}K"]
        args += ["-kernel", self.kernel, "-initrd", self.initrd, "-append", self.kernel_words()]
        args += ["-chardev", f"file,id=log,path={escape(self.log)}", "-serial", "chardev:log"]
        args += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        if self.opts.display:
            args += ["-device", "VGA"]
        if self.image:
            args += ["-drive", self.drive(), "-device", f"virtio-blk-{bus},drive=root"]
        args += ["-chardev", f"socket,id=run,fd={port},server=off"]
        args += ["-device", f"virtio-serial-{bus},max_ports=2", "-device", "virtserialport,chardev=run,name=quire.run"]
        return args

    def drive(self):
        keep = "cache=writeback" if self.opts.persist else "snapshot=on,cache=unsafe"
        return f"if=none,id=root,format={image_format(self.image)},{keep},file={escape(self.image)}"

    def kernel_words(self):
        words = ["trace"] if self.opts.trace else []
        return " ".join(["run", *words, *os.environ.get("QUIRE_APPEND", "").split(), "--", "--port"])

    def start(self, port):
        try:
            return subprocess.Popen(
                self.command_line(port), stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                pass_fds=(port,), start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as error:
            raise Failure(f"cannot start {self.emulator}: {error.strerror}") from error

    def wait(self, seconds):
        """QEMU's exit status, or None if it is still there after so many seconds."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def why_stopped(self):
        """The machine ended before the command: in one line, why. The log is kept then, if there is something in it."""
        status = self.wait(END_SECONDS)
        if status is None:
            self.kill()
            return f"the guest has closed its port; the kernel's log is {self.kept_log()}"
        if status == PANIC:
            return f"the kernel crashed; its log is {self.kept_log()}"
        if status < 0:
            return f"QEMU was ended by signal {-status}"
        if status in (CLEAN, FAILED, 0):
            return f"the machine was turned off before the command had ended; the kernel's log is {self.kept_log()}"
        self.errors.seek(0)
        words = self.errors.read().decode(errors="replace").strip().splitlines()
        return words[0] if words else f"QEMU ended with status {status}"

    def crashed(self):
        return self.process.poll() == PANIC

    def left_something(self):
        """The guest has ended, and found that something was not accounted for."""
        return self.process.poll() == FAILED

    def kept_log(self):
        self.keep_log = True
        return self.log

    def close(self):
        """Nothing is left behind, but a log that was asked for or that somebody was told of."""
        self.kill()
        self.port.close()
        self.errors.close()
        if not self.keep_log:
            try:
                os.unlink(self.log)
            except FileNotFoundError:
                pass


def deadline_after(seconds):
    return None if seconds is None else time.monotonic() + seconds

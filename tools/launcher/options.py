"""options.py - what can be asked of ./quire, and how it is told."""
import re

HELP = """\
NAME
    quire - run a Linux program in a small machine of its own

SYNOPSIS
    quire run [OPTION]... [--] COMMAND [ARGUMENT]...
    quire shell [OPTION]...
    quire --help | --version

DESCRIPTION
    "quire run" boots the Quire kernel in QEMU and runs COMMAND there, as user root, in /root, on a Debian 12 root file system. COMMAND has
    the caller's standard input, output and error: three separate streams that pass every byte as it is, and their ends. When
    COMMAND ends the machine is gone, whatever COMMAND has left behind; so are its changes to files, unless --persist is given.

    Where both standard input and standard output are terminals, COMMAND gets a terminal of the same size with job
    control, and all keys, Ctrl-C and Ctrl-Z included, are its own. Otherwise SIGINT, SIGQUIT and SIGHUP are passed on to COMMAND and its
    children, SIGTERM, SIGUSR1 and SIGUSR2 to COMMAND alone. The third SIGINT or SIGTERM within two seconds ends the machine at once.

    "quire shell" is "quire run" with bash as the command.

OPTIONS
    --cpus N
        Number of processors, 1 to 64; 1 if not given.
    --memory SIZE
        Memory of the machine: a number with K, M or G behind it; without a letter, M is meant. 512M if not given. 16M is enough for
        small programs.
    --root DIR|IMAGE
        The root file system: an image of an ext2 volume (raw or qcow2), or a directory, of which an image is made for this run. If
        not given, a small Debian system of about 30 programs, made once, in about a minute, and kept under build/root.
    --package NAME
        Have this Debian package and what it needs in the root file system as well. May be given several times. The image is
        made when a set of packages is asked for the first time. Not together with --root.
    --copy HOSTPATH:GUESTPATH
        Copy a file or a directory from the host before COMMAND starts. If GUESTPATH is a directory or ends with a slash the
        copy is made in it; directories that lead to it are made. May be given several times.
    --persist
        Keep changes to files: in the image that --root names, or else in build/root/persistent.img, which begins as a
        copy of the root file system that would be used without.
    --display
        Show the console on a framebuffer in a window: four terminals with login shells, Alt-F1 to Alt-F4. The machine is a PC with PCI.
    --timeout S
        End the machine, and with it COMMAND, after S seconds; may have a fraction. Counted from the start of the machine.
    --log FILE
        Where the kernel's log goes. If not given it is kept only when the kernel fails.
    --trace
        Let the kernel log every system call of COMMAND and its children, with arguments and results, and the signals that they get and
        how they end. Without --log the log is kept in a file whose name is told on standard error in the end.
    -h, --help
        This text.

EXIT STATUS
    that of COMMAND, if it ended by itself
    128+N   COMMAND was ended by signal N
    124     the time was up
    125     quire itself failed: a wrong option, no image, no QEMU, or the kernel crashed. One line on standard error says what.
    126     COMMAND was found but cannot be run
    127     COMMAND was not found

ENVIRONMENT
    TERM, COLORTERM
        Passed on to COMMAND where it has a terminal.
    DISPLAY, WAYLAND_DISPLAY
        Where the window of --display is to be.
    QUIRE_KERNEL, QUIRE_INITRD
        The kernel and the initial archive to boot, instead of build/quire.elf and build/run.cpio (build/display.cpio with --display).
    QUIRE_QEMU
        The emulator, instead of qemu-system-x86_64.
    QUIRE_MACHINE
        microvm (the default, which boots fastest) or q35, a PC with PCI.
    QUIRE_APPEND
        Further words for the kernel's command line.
    TMPDIR
        Where changes to files are kept while the machine runs, and logs of kernels that crashed; /tmp if not set.

NOTES
    KVM is used if the processor has vmx or svm and /dev/kvm can be opened; else QEMU emulates the processor. No rights are
    needed but those to read and write the files named.

EXAMPLES
    quire run -- figlet Quire
    echo 2^64 | quire run -- bc
    quire run --package jq --copy data.json:/tmp/ -- jq .name /tmp/data.json
    quire run --cpus 4 --memory 1G --timeout 60 -- sh -c 'nproc; free -m'
    quire shell --persist
"""
USAGE = "usage: quire run [OPTION]... [--] COMMAND [ARGUMENT]... (quire --help tells more)"
UNITS = {"": 1 << 20, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MEMORY_MIN, MEMORY_MAX = 8 << 20, 1 << 40
CPUS_MAX = 64


class Failure(Exception):
    """Why ./quire cannot do what was asked, in one line; `status` is what it exits with."""

    def __init__(self, text, status=125):
        super().__init__(text)
        self.status = status


class Options:
    """What was asked for."""

    def __init__(self):
        self.cpus, self.memory, self.timeout = 1, 512 << 20, None
        self.root, self.log = None, None
        self.packages, self.copies, self.command = [], [], []
        self.persist = self.trace = self.display = False


def parse_size(text):
    match = re.fullmatch(r"(\d+)([kmg]?)(?:i?b)?", text.lower())
    size = int(match.group(1)) * UNITS[match.group(2)] if match else 0
    if not MEMORY_MIN <= size <= MEMORY_MAX:
        raise Failure(f"--memory {text}: wants a size of at least 8M, such as 512M or 2G")
    return size


def parse_cpus(text):
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= CPUS_MAX:
        raise Failure(f"--cpus {text}: wants a number from 1 to {CPUS_MAX}")
    return int(text)


def parse_seconds(text):
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)s?", text) or float(text.rstrip("s")) <= 0:
        raise Failure(f"--timeout {text}: wants a number of seconds above 0")
    return float(text.rstrip("s"))


def parse_copy(text):
    host, colon, guest = text.rpartition(":")
    if not colon or not host or not guest.startswith("/"):
        raise Failure(f"--copy {text}: wants HOSTPATH:GUESTPATH, the second beginning with /")
    return host, guest


def parse_text(text):
    if not text:
        raise Failure("an option has an empty value")
    return text


# Options with a value: attribute, how it is read, whether it may be repeated.
VALUES = {
    "--cpus": ("cpus", parse_cpus, False),
    "--memory": ("memory", parse_size, False),
    "--root": ("root", parse_text, False),
    "--package": ("packages", parse_text, True),
    "--copy": ("copies", parse_copy, True),
    "--timeout": ("timeout", parse_seconds, False),
    "--log": ("log", parse_text, False),
}
FLAGS = {"--persist": "persist", "--trace": "trace", "--display": "display"}


def parse_run(words):
    """Options up to the first word that is none, or to --; the rest is the command. None: help is asked for."""
    opts, words = Options(), list(words)
    while words and words[0].startswith("-") and words[0] != "-":
        name, equals, value = words.pop(0).partition("=")
        if name == "--" and not equals:
            break
        if name in ("-h", "--help") and not equals:
            return None
        if name in FLAGS and not equals:
            setattr(opts, FLAGS[name], True)
        elif name in VALUES:
            if not equals and not words:
                raise Failure(f"{name} wants a value")
            attribute, parse, repeats = VALUES[name]
            value = parse(value if equals else words.pop(0))
            setattr(opts, attribute, [*getattr(opts, attribute), value] if repeats else value)
        else:
            raise Failure(f"{name}: there is no such option (quire --help tells more)")
    opts.command = words
    if opts.root and opts.packages:
        raise Failure("--package adds to the system that quire makes: it cannot be used with --root")
    return opts

"""core_files.py - is the core file that tests/guest/ucore.c left what it should be? Read twice: by this program, note by note, and by gdb."""
import os
import re
import struct
import subprocess

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "initrd", "bin", "ucore")
THREADS, MARKER, VECTOR = 4, 0x5EED5EED5EED5EED, 0x0123456789ABCDEF  # of ucore.c
PRSTATUS, FPREGSET, PRPSINFO, AUXV, XSTATE, FILE, SIGINFO = 1, 2, 3, 6, 0x202, 0x46494C45, 0x53494749
PT_LOAD, PT_NOTE, SIGSEGV = 1, 4, 11


def headers(data):
    """The program headers: (type, flags, offset, vaddr, filesz, memsz)."""
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, flags, offset, vaddr, _, filesz, memsz, _ = struct.unpack_from("<IIQQQQQQ", data, phoff + i * size)
        yield kind, flags, offset, vaddr, filesz, memsz


def notes(data, offset, size):
    """The notes in their order: (owner, type, contents)."""
    end = offset + size
    while offset < end:
        namesz, descsz, kind = struct.unpack_from("<III", data, offset)
        owner = data[offset + 12 : offset + 12 + namesz - 1].decode()
        start = offset + 12 + (namesz + 3 & ~3)
        yield owner, kind, data[start : start + descsz]
        offset = start + (descsz + 3 & ~3)


def word_at(data, address):
    """The 64-bit word that the memory in the file has at this address, or None."""
    for kind, _, offset, vaddr, filesz, _ in headers(data):
        if kind == PT_LOAD and vaddr <= address < vaddr + filesz:
            return struct.unpack_from("<Q", data, offset + address - vaddr)[0]
    return None


def symbol(name):
    text = subprocess.run(["nm", PROGRAM], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) \w {name}$", text, re.M).group(1), 16)


def note_differences(found):
    """What is wrong with the notes."""
    first = [PRSTATUS, PRPSINFO, SIGINFO, AUXV, FILE, FPREGSET, XSTATE]
    want = first + [PRSTATUS, FPREGSET, XSTATE] * (THREADS - 1)
    kinds = [kind for _, kind, _ in found]
    if kinds != want:
        return [f"its notes are {kinds}"]
    by_kind = {kind: desc for _, kind, desc in reversed(found)}
    states = [desc for _, kind, desc in found if kind == PRSTATUS]
    pids = [struct.unpack_from("<I", desc, 32)[0] for desc in states]
    checks = {
        "the sizes of its notes": [len(by_kind[k]) for k in (PRSTATUS, PRPSINFO, SIGINFO, FPREGSET)] == [336, 136, 128, 512],
        "the numbers of its threads": len(set(pids)) == THREADS,
        "the signal": all(struct.unpack_from("<h", desc, 12)[0] == SIGSEGV for desc in states),
        "the siginfo": struct.unpack_from("<iii4xQ", by_kind[SIGINFO]) == (SIGSEGV, 0, 1, 16),
        "the process": by_kind[PRPSINFO][40:45] == b"ucore" and by_kind[PRPSINFO][56:].rstrip(b"\0 ") == b"/bin/ucore threads",
        "the process's number": struct.unpack_from("<I", by_kind[PRPSINFO], 24)[0] in pids,
        "the entry in the auxiliary vector": (9, symbol("_start")) in list(struct.iter_unpack("<QQ", by_kind[AUXV])),
        "the mapped files": by_kind[FILE].endswith(b"/bin/ucore\0") and struct.unpack_from("<Q", by_kind[FILE], 8)[0] == 4096,
        "the components of the extended state": struct.unpack_from("<Q", by_kind[XSTATE], 464)[0] & 3 == 3,
        "xmm9 of a thread": any(struct.unpack_from("<Q", d, 160 + 9 * 16)[0] == VECTOR for _, k, d in found if k == FPREGSET),
        "the owners of notes": all(owner == ("LINUX" if kind == XSTATE else "CORE") for owner, kind, _ in found),
    }
    return [f"{what}: not as expected" for what, good in checks.items() if not good]


def gdb_differences(path):
    """What gdb does not find in it: every thread's calls, and a variable."""
    commands = ["info threads", "thread apply all backtrace", "print/x ucore_marker", "print ucore_text"]
    words = ["gdb", "-batch", "-nx", *(w for c in commands for w in ("-ex", c)), PROGRAM, path]
    text = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120).stdout
    patterns = {
        "the signal": r"terminated with signal SIGSEGV",
        "the crash": r"#0 .*\bcrash_inner\b.*\n#1 .*\bcrash_outer\b",
        "the thread that waits": r"\bwait_for_ever\b",
        "the thread that runs": r"\brun_for_ever\b",
        "the thread that reads": r"\bread_for_ever\b",
        "the variable": rf"= 0x{MARKER:x}\b",
        "the text": r'= "what the core file is to show"',
    }
    wrong = [f"gdb does not see {what}" for what, pattern in patterns.items() if not re.search(pattern, text)]
    if len(re.findall(r"^Thread \d+ ", text, re.M)) != THREADS:
        wrong.append("gdb sees another number of threads")
    return wrong + ([text[-3000:]] if wrong else [])


def differences(path):
    """A list of texts: what is wrong with the core file."""
    if not os.path.exists(path):
        return ["there is no core file"]
    with open(path, "rb") as f:
        data = f.read()
    if data[:20] != b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 4, 62):
        return ["it is no core file"]
    kind, _, offset, _, size, _ = next(headers(data))
    wrong = note_differences(list(notes(data, offset, size))) if kind == PT_NOTE else ["the notes do not come first"]
    loads = [h for h in headers(data) if h[0] == PT_LOAD]
    if any(h[2] % 4096 or h[3] % 4096 for h in loads) or loads != sorted(loads, key=lambda h: h[3]):
        wrong.append("its segments are not in order")
    if word_at(data, symbol("ucore_marker")) != MARKER:
        wrong.append("a variable has another value")
    return wrong + gdb_differences(path)

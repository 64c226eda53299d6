"""scratch_disk.py - disks for guest tests: made before a boot, looked at after it. tests/guest/kblk.c knows the same patterns.

Kinds of --disk, as a list with commas: `plain`, or `errors` for a disk whose emulator fails some requests; `lines` without messages, `direct`
without indirect descriptors, `tiny` with a ring of 8; `two` adds a read-only disk. `ext2` is something else: a volume, which tests/guest/kext2.c fills;
e2fsck and debugfs look at it afterwards. `core` is an empty volume, on which ucore.c leaves core files: core_files.py reads them. `ioerr` is a volume with files, whose emulator fails requests for some of their blocks: for uioerr.c.
"""
import os
import re
import struct
import subprocess
import tempfile

import core_files

SECTORS, SECTOR_WORDS = 16384, 64
MASK = 2**64 - 1
REGIONS = [(0, 2048, 1, "what nobody wrote"), (2048, 4096, 2, "what blk_mark wrote"), (SECTORS - 1, SECTORS, 2, "the last sector")]
# Which sector fails, by what, how often; kblk.c expects these.
ERRORS = [("read", 6000, 5, "off"), ("write", 6100, 5, "off"), ("write", 6200, 28, "on"), ("flush", None, 5, "on")]


def pattern(first, end, generation):
    """The bytes of sectors [first, end)."""
    mix = generation * 0xD6E8FEB86659FD93 & MASK
    words = ((i + 1) * 0x9E3779B97F4A7C15 & MASK ^ mix for i in range(first * SECTOR_WORDS, end * SECTOR_WORDS))
    return b"".join(map(struct.Struct("<Q").pack, words))


VOLUME_BYTES, BIG_BYTES, FAR, NAMES = 32 << 20, 3 << 20, 5 << 30, 1500  # of kext2.c


def tool(*words):
    """Run one of e2fsprogs' programs, which may be where only the superuser looks for programs; returns its status and what it said."""
    path = os.environ["PATH"] + ":/sbin:/usr/sbin"
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PATH": path}, check=False)
    return done.returncode, done.stdout


# Flags of files as debugfs tells them, and what they have all: kext2.c.
MARKED = {"/marked-a": 0x90, "/marked-b": 0x68, "/marked-c": 0x10000}
MARK_LARGE = bytes((i * 2654435761 & 0xFFFFFFFF) >> 13 & 0xFF for i in range(700))


def marked_differences(image):
    """What is wrong with flags and extended attributes on the volume that kext2.c wrote to."""
    wrong = []
    for name, flags in MARKED.items():
        if f"Flags: {flags:#x}\n".encode() not in tool("debugfs", "-R", f"stat {name}", image)[1]:
            wrong.append(f"{name} has other flags")
        values = {"user.large": MARK_LARGE, "trusted.name": b"/mnt" + name.encode()}
        for key, value in values.items():
            with tempfile.NamedTemporaryFile() as out:
                tool("debugfs", "-R", f"ea_get -f {out.name} {name} {key}", image)
                if out.read() != value:
                    wrong.append(f"{name} has another {key}")
        if b"user.gone" in tool("debugfs", "-R", f"ea_list {name}", image)[1]:
            wrong.append(f"{name} has what was removed")
    return wrong


def volume_differences(image):
    """What is wrong with the volume that kext2.c wrote to: a list of texts."""
    wrong = []
    status, text = tool("e2fsck", "-fn", image)
    if status:
        wrong.append("e2fsck: " + text.decode(errors="replace")[-500:])
    if b"clean" not in next((line for line in tool("dumpe2fs", "-h", image)[1].splitlines() if b"state" in line), b""):
        wrong.append("it is not marked clean")
    big = tool("debugfs", "-R", "cat /names/hard", image)[1]
    if big != bytes((i * 2654435761 & MASK & 0xFFFFFFFF) >> 13 & 0xFF for i in range(BIG_BYTES)):
        wrong.append("/names/hard holds something else")
    listed = tool("debugfs", "-R", "ls -p /names", image)[1].splitlines()
    names = sum(b"a-name-of-some-length-" in line and not line.startswith(b"/0/") for line in listed)
    if names != NAMES - (NAMES + 2) // 3:
        wrong.append(f"/names has {names} names")
    if f"Size: {FAR + 1}\n".encode() not in tool("debugfs", "-R", "stat /far", image)[1]:
        wrong.append("/far has another size")
    if b"many/hard" not in tool("debugfs", "-R", "stat /soft", image)[1] or b"Type: directory" not in tool("debugfs", "-R", "stat /again", image)[1]:
        wrong.append("/soft or /again is not there")
    return wrong + marked_differences(image)


# The volume of uioerr.c: the file, what fails at its block BAD_BLOCK, how often, and what that block holds in the end.
BLOCK, FILE_BLOCKS, BAD_BLOCK, FILLERS, INODE_SIZE = 4096, 16, 5, 64, 128
FAILING = [("read", "read", "off", 5), ("partial", "read", "off", 99), ("write", "write", "on", 77), ("msync", "write", "on", 88), ("later", "write", "on", 66)]


def debugfs(image, *requests):
    return tool("debugfs", "-w", "-R", requests[0], image)[1] if len(requests) == 1 else [debugfs(image, r) for r in requests]


def make_failing_volume(image, scratch):
    """A volume with files whose blocks hold their own numbers; returns what fails, as in ERRORS."""
    if tool("mke2fs", "-q", "-t", "ext2", "-b", str(BLOCK), "-I", str(INODE_SIZE), image)[0]:
        raise RuntimeError("mke2fs failed")
    content = os.path.join(scratch, "content")
    with open(content, "wb") as f:
        f.write(b"".join(bytes([i]) * BLOCK for i in range(FILE_BLOCKS)))
    for name in [name for name, *_ in FAILING] + [f"filler-{i}" for i in range(FILLERS)] + ["meta"]:
        debugfs(image, f"write {content} {name}")
    errors = [("flush", None, 5, "on")]
    for name, kind, once, _ in FAILING:
        block = int(debugfs(image, f"bmap {name} {BAD_BLOCK}"))
        errors.append((kind, block * BLOCK // 512, 5, once))
    inode = re.search(rb"block (\d+), offset", debugfs(image, "imap meta"))  # no other file of FAILING has its inode there
    return [*errors, ("write", int(inode.group(1)) * BLOCK // 512, 5, "off")]


def failing_differences(image):
    """What is wrong with the volume that uioerr.c wrote to: what it was told is on the disk, and nothing is in disorder."""
    status, text = tool("e2fsck", "-fn", image)
    wrong = ["e2fsck: " + text.decode(errors="replace")[-500:]] if status else []
    if b"with errors" not in tool("dumpe2fs", "-h", image)[1]:
        wrong.append("it is not marked as having errors")
    for name, _, _, value in FAILING:
        want = b"".join(bytes([value if i == BAD_BLOCK else i]) * BLOCK for i in range(FILE_BLOCKS))
        if tool("debugfs", "-R", f"cat {name}", image)[1] != want:
            wrong.append(f"/{name} holds something else")
    return wrong


def core_differences(image, scratch):
    """What is wrong with the core files that ucore.c left."""
    status, text = tool("e2fsck", "-fn", image)
    wrong = ["e2fsck: " + text.decode(errors="replace")[-500:]] if status else []
    core = os.path.join(scratch, "core")
    tool("debugfs", "-R", f"dump /threads/core {core}", image)
    return wrong + core_files.differences(core)


def write_errors(path, errors):
    with open(path, "w", encoding="ascii") as f:
        for kind, sector, errno, once in errors:
            f.write(f'[inject-error]\nevent = "none"\niotype = "{kind}"\nerrno = "{errno}"\nonce = "{once}"\n')
            f.write(f'sector = "{sector}"\n' if sector is not None else "")


def device(machine, name, kinds):
    """The -device argument for the drive of this name."""
    options = ["virtio-blk-device" if machine == "microvm" else "virtio-blk-pci", f"drive={name}"]
    if machine != "microvm" and "lines" in kinds:
        options.append("vectors=0")
    if "direct" in kinds:
        options.append("indirect_desc=off")
    if "tiny" in kinds:
        options += ["queue-size=8", "seg-max-adjust=on"]
    return ",".join(options)


def attach(machine, kinds, scratch):
    """Make the images in the folder `scratch`; returns arguments for the emulator."""
    image, args = os.path.join(scratch, "disk.img"), []
    with open(image, "wb") as f:
        if "ext2" in kinds or "core" in kinds or "ioerr" in kinds:
            f.truncate(VOLUME_BYTES)
        else:
            f.write(pattern(0, SECTORS, 1))
    if ("ext2" in kinds or "core" in kinds) and tool("mke2fs", "-q", "-t", "ext2", "-b", "1024" if "1k" in kinds else "4096", image)[0]:
        raise RuntimeError("mke2fs failed")
    file = image
    if "errors" in kinds or "ioerr" in kinds:
        config = os.path.join(scratch, "errors.conf")
        write_errors(config, make_failing_volume(image, scratch) if "ioerr" in kinds else ERRORS)
        file = f"blkdebug:{config}:{image}"
    if machine == "microvm":
        args += ["-global", "virtio-mmio.force-legacy=false"]
    drive = f"if=none,format=raw,werror=report,rerror=report,discard=unmap,file={file}"
    args += ["-drive", f"id=scratch,{drive}", "-device", device(machine, "scratch", kinds)]
    if "two" in kinds:
        second = os.path.join(scratch, "second.img")
        with open(second, "wb") as f:
            f.write(pattern(0, 16, 1))
        args += ["-drive", f"if=none,id=second,format=raw,readonly=on,file={second}", "-device", device(machine, "second", kinds)]
    return args


def differences(scratch, kinds):
    """What is not on the disk as it should be after the tests: a list of texts."""
    if "ext2" in kinds:
        return volume_differences(os.path.join(scratch, "disk.img"))
    if "core" in kinds:
        return core_differences(os.path.join(scratch, "disk.img"), scratch)
    if "ioerr" in kinds:
        return failing_differences(os.path.join(scratch, "disk.img"))
    with open(os.path.join(scratch, "disk.img"), "rb") as f:
        data = f.read()
    wrong = [] if len(data) == SECTORS * 512 else [f"the image has {len(data)} bytes"]
    for first, end, generation, what in REGIONS:
        if data[first * 512 : end * 512] != pattern(first, end, generation):
            wrong.append(f"{what} is not there, sectors [{first}, {end})")
    return wrong

"""scratch_disk.py - disks for guest tests: made before a boot, looked at after it. tests/guest/kblk.c knows the same patterns.

Kinds of --disk, as a list with commas: `plain`, or `errors` for a disk whose emulator fails some requests; `lines` without messages, `direct`
without indirect descriptors, `tiny` with a ring of 8; `two` adds a read-only disk.
"""
import os
import struct

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


def write_errors(path):
    with open(path, "w", encoding="ascii") as f:
        for kind, sector, errno, once in ERRORS:
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
        f.write(pattern(0, SECTORS, 1))
    file = image
    if "errors" in kinds:
        config = os.path.join(scratch, "errors.conf")
        write_errors(config)
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


def differences(scratch):
    """What is not on the disk as it should be after the tests: a list of texts."""
    with open(os.path.join(scratch, "disk.img"), "rb") as f:
        data = f.read()
    wrong = [] if len(data) == SECTORS * 512 else [f"the image has {len(data)} bytes"]
    for first, end, generation, what in REGIONS:
        if data[first * 512 : end * 512] != pattern(first, end, generation):
            wrong.append(f"{what} is not there, sectors [{first}, {end})")
    return wrong

#!/usr/bin/env python3
"""check_layers.py FILE... - the include rule of STYLE.md: a file includes headers of its own layer and lower ones.

A layer is a folder of kernel/. Ports (arch/x86_64, arch/host) implement the contract headers of arch/ and stand on lib, kern and
mm; the headers "machine/x.h" that they supply belong to the contract. Nobody includes debug/ but debug/ itself: panic is
declared in lib/assert.h. The rule is about includes, so a declaration written by hand to get round it is not seen; reviewers are.
"""
import os
import re
import sys

LAYERS = ["lib", "arch", "kern", "mm", "vm", "object", "dev", "fs", "proc", "sys", "init"]

# What a folder may include besides its own layer and lower ones, and folders that are no layer. "quire/x.h" is of abi/, which user
# programs share and which includes nothing of the kernel.
UP_TO = {layer: set(LAYERS[: i + 1]) | {"quire"} for i, layer in enumerate(LAYERS)}
ALLOWED = {
    **UP_TO,
    # Ports are not below everything: they stand on what they need to implement the contract.
    "arch/x86_64": {"lib", "arch", "kern", "mm", "machine"},
    "arch/host": {"lib", "arch", "kern", "mm", "vm", "machine"},
    "debug": {"lib", "arch", "kern", "mm", "vm", "machine", "debug"},
    "tests/guest": set(LAYERS) | {"machine", "tests/guest"},
}
# Single headers that a folder may include out of its order, each with its reason.
EXCEPTIONS = {
    ("arch/x86_64", "dev/acpi.h"): "the MADT names the CPUs and the interrupt controllers",
    ("arch/x86_64", "dev/claim.h"): "no program gets the devices that every PC has and the kernel uses",
    ("arch/x86_64", "dev/uart.h"): "the serial console is alive before anything else",
    ("arch/x86_64", "dev/pci.h"): "PCI functions are counted while the machine is set up",
    ("dev", "machine/cpu.h"): "devices of the PC are reached by port instructions",
    ("dev", "machine/boot.h"): "ACPI tables are noted as memory in use before the memory map is final",
    ("mm", "machine/host.h"): "the host's mock MMU looks whether a TLB still translates to a frame that is freed",
}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def folder_of(path):
    """The folder that decides what `path` may include, or None if the rule does not cover it."""
    if path.startswith("tests/guest/"):
        return "tests/guest" if os.path.basename(path).startswith("k") else None
    if not path.startswith("kernel/"):
        return None
    parts = path.split("/")[1:-1]
    return "/".join(parts[:2]) if parts[0] == "arch" and len(parts) > 1 else parts[0]


def included_layer(folder, header):
    """The layer of an included header: the folder in its name, or the includer's own for a bare name (and for tests' ../host/)."""
    if folder.startswith("tests/") and header.startswith("../"):
        return folder
    return header.split("/")[0] if "/" in header else folder


def check(path):
    folder = folder_of(path)
    if folder is None:
        return
    if folder not in ALLOWED:
        yield f"{path}: kernel/{folder} is not a layer"
        return
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for match in INCLUDE.finditer(text):
        header = match.group(1)
        layer = included_layer(folder, header)
        fine = layer == folder or layer in ALLOWED[folder]
        if layer == "machine" and folder in ("arch", "kern"):
            fine = path.endswith(".h")  # contract headers, and kern/cpu.h for the port's part of a CPU's record
        if not fine and (folder, header) not in EXCEPTIONS:
            line = text.count("\n", 0, match.start()) + 1
            yield f'{path}:{line}: {folder} may not include "{header}"'


def main():
    problems = [p for path in sys.argv[1:] for p in check(path)]
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))


main()

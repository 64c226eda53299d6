#!/usr/bin/env python3
"""ksyms.py - the kernel's own symbol table, for backtraces.

  nm -n --defined-only first.elf | ksyms.py make > ksyms.S     functions of the first link as an assembler file for the second one
  nm -n --defined-only quire.elf | ksyms.py check ksyms.S      fail if the second link moved a function

The table (section .ksyms, read by kernel/debug/symbols.c) is sorted by address:
  ksyms_count   u32
  ksyms         {u32 low half of the address, u32 offset of the name}[count]; the high half is all ones
  ksyms_names   strings, each with a terminator
kernel.ld puts .ksyms behind all code, so that growing it moves no function.
"""
import re
import sys

HIGH = 0xFFFFFFFF00000000
IGNORED = re.compile(r"^(\.L|__compound_literal|\$)")


def functions(lines):
    """(address, name) of each text symbol in the kernel half, by address; the first name of an address wins."""
    seen = {}
    for line in lines:
        fields = line.split()
        if len(fields) != 3:  # a weak symbol that nobody defines has no address
            continue
        address, kind, name = fields
        address = int(address, 16)
        if kind in "tTwW" and address >= HIGH and not IGNORED.match(name):
            seen.setdefault(address, name)
    return sorted(seen.items())


def make(symbols):
    print('.section .ksyms, "a", @progbits')
    print(".global ksyms_count, ksyms, ksyms_names\n.balign 8\nksyms_count: .long %d\n.balign 8\nksyms:" % len(symbols))
    offset = 0
    for address, name in symbols:
        print(".long 0x%x, %d" % (address - HIGH, offset))
        offset += len(name) + 1
    print("ksyms_names:")
    for _, name in symbols:
        print('.asciz "%s"' % name)
    print('.section .note.GNU-stack, "", @progbits')


def check(symbols, path):
    with open(path) as f:
        made = [int(m, 16) for m in re.findall(r"^\.long (0x[0-9a-f]+),", f.read(), re.M)]
    if made != [address - HIGH for address, _ in symbols]:
        sys.exit("ksyms.py: the second link moved functions; .ksyms must lie behind all code in kernel.ld")


if sys.argv[1] == "make":
    make(functions(sys.stdin))
else:
    check(functions(sys.stdin), sys.argv[2])

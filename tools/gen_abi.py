#!/usr/bin/env python3
"""Make C from the system-call tables.

    gen_abi.py proto TABLE...    prototypes of the functions that serve the calls: sys_NAME(...)
    gen_abi.py table TABLE...    wrappers and dispatch tables, for kernel/sys/dispatch.c
    gen_abi.py trace TABLE...    names, and how arguments and results are shown, by kernel/proc/trace_format.c
    gen_abi.py numbers TABLE...  #defines for user programs
    gen_abi.py docs TABLE...     docs/abi.md: which calls there are; what stands behind a # in a line is a note

A wrapper takes the six argument registers and narrows each to its C type, so that a call never sees the upper half of a register that
the ABI says it ignores; it compiles to a tail call.
"""
import re
import sys

TYPES = {
    "int": "int32_t", "uint": "uint32_t", "long": "int64_t", "size": "uint64_t", "fd": "int32_t", "pid": "int32_t",
    "addr": "uaddr_t", "in": "uaddr_t", "out": "uaddr_t", "inout": "uaddr_t", "str": "uaddr_t",
    # What follows is one of these, and says how --trace shows it.
    "hex": "uint64_t", "hexint": "uint32_t", "inbuf": "uaddr_t", "outbuf": "uaddr_t", "argv": "uaddr_t", "envp": "uaddr_t",
    "dirfd": "int32_t", "open": "int32_t", "fdflags": "int32_t", "inmask": "uint32_t", "omode": "uint32_t", "mode": "uint32_t", "prot": "int32_t", "map": "int32_t",
    "clone": "uint64_t", "atflags": "int32_t", "access": "int32_t", "signal": "int32_t", "whence": "uint32_t", "how": "int32_t",
    "fcntl": "uint32_t", "clock": "int32_t", "futex": "int32_t", "advice": "int32_t", "family": "int32_t", "socktype": "int32_t",
    "wait": "int32_t", "sigset": "uaddr_t", "timespec": "uaddr_t", "outint": "uaddr_t", "outints": "uaddr_t", "exit": "int32_t",
}
RESULTS = ("hex", "octal")


class Call:
    def __init__(self, nr, name, args, result, note):
        self.nr, self.name, self.args, self.note = nr, name, args, note  # args None: known but not offered
        self.result = result  # one of RESULTS, or None: a number


def parse(path):
    calls, seen = [], set()
    for lineno, line in enumerate(open(path, encoding="utf-8"), 1):
        line, _, note = line.partition("#")
        line = line.strip()
        if not line:
            continue
        where = f"{path}:{lineno}"
        words = line.split()
        if len(words) < 2 or not re.fullmatch(r"[a-z_][a-z0-9_]*", words[1]):
            sys.exit(f"{where}: expected: number name type:name...")
        result = words.pop()[1:] if words[-1].startswith("=") else None
        if result and result not in RESULTS:
            sys.exit(f"{where}: bad result ={result}")
        nr, name = int(words[0], 0), words[1]
        args = None if words[2:] == ["?"] else [tuple(w.split(":", 1)) for w in words[2:]]
        for arg in args or []:
            if len(arg) != 2 or arg[0] not in TYPES:
                sys.exit(f"{where}: bad argument {':'.join(arg)}")
        if args and len(args) > 6:
            sys.exit(f"{where}: more than six arguments")
        if {nr, name} & seen:
            sys.exit(f"{where}: number or name given twice")
        seen |= {nr, name}
        calls.append(Call(nr, name, args, result, note.strip()))
    return calls


def offered(calls):
    return [c for c in calls if c.args is not None]


def proto(tables):
    print("#pragma once\n/* Made by tools/gen_abi.py: what serves each system call. */\n#include \"lib/types.h\"\n")
    for calls in tables.values():
        for c in offered(calls):
            params = ", ".join(f"{TYPES[t]} {n}" for t, n in c.args) or "void"
            print(f"int64_t sys_{c.name}({params});")


def first_number(family, calls):
    return 0 if family == "linux" else min(c.nr for c in calls)


def table(tables):
    print("/* Made by tools/gen_abi.py: included by dispatch.c only. */")
    params = ", ".join(f"UNUSED uint64_t a{i}" for i in range(6))
    for family, calls in tables.items():
        for c in offered(calls):
            args = ", ".join(f"({TYPES[t]})a{i}" for i, (t, _) in enumerate(c.args))
            print(f"static int64_t call_{c.name}({params})\n{{\n\treturn sys_{c.name}({args});\n}}")
        base = first_number(family, calls)
        print(f"enum {{ {family.upper()}_BASE = {base:#x}, {family.upper()}_COUNT = {max(c.nr for c in calls) + 1 - base} }};")
        print(f"static syscall_fn *const {family}_calls[{family.upper()}_COUNT] = {{")
        for c in offered(calls):
            print(f"\t[{c.nr - base}] = call_{c.name},")
        print("};")


def trace(tables):
    print("/* Made by tools/gen_abi.py: every call by its number less the BASE of its table. */")
    for family, calls in tables.items():
        print(f"static const struct trace_call {family}_traces[] = {{")
        base = first_number(family, calls)
        for c in calls:
            nargs = "TRACE_NOT_OFFERED" if c.args is None else len(c.args)
            types = ", ".join(f"TRACE_{t.upper()}" for t, _ in c.args or []) or "0"
            result = f"TRACE_RESULT_{(c.result or 'long').upper()}"
            print(f"\t[{c.nr - base}] = {{\"{c.name}\", {nargs}, {result}, {{{types}}}}},")
        print("};")


def numbers(tables):
    print("#pragma once\n/* Made by tools/gen_abi.py: numbers of the native system calls. */")
    for family, calls in tables.items():
        for c in calls if family != "linux" else []:
            print(f"#define SYS_quire_{c.name} {c.nr:#x}")


def docs(tables):
    calls = tables["linux"]
    print("# The Linux ABI: which system calls there are\n")
    print("Made from `abi/linux.tbl` by `make docs`; do not edit. A call that is offered behaves as Linux's does, but for what its note says.")
    print("One that is not offered is `ENOSYS`, and the log has a line about the first program that wanted it.\n")
    print(f"{len(offered(calls))} of {len(calls)} calls are offered.\n")
    print("| number | call | state | note |\n|---:|---|---|---|")
    for c in sorted(calls, key=lambda c: c.nr):
        args = "(" + ", ".join(n for _, n in c.args) + ")" if c.args is not None else ""
        print(f"| {c.nr} | `{c.name}{args}` | {'offered' if c.args is not None else 'not offered'} | {c.note} |")


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("proto", "table", "trace", "numbers", "docs"):
        sys.exit(__doc__)
    tables = {re.sub(r".*/|\.tbl$", "", path): parse(path) for path in sys.argv[2:]}
    {"proto": proto, "table": table, "trace": trace, "numbers": numbers, "docs": docs}[sys.argv[1]](tables)


main()

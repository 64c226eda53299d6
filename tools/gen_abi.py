#!/usr/bin/env python3
"""Make C from the system-call tables.

    gen_abi.py proto TABLE...    prototypes of the functions that serve the calls: sys_NAME(...)
    gen_abi.py table TABLE...    wrappers and dispatch tables, for kernel/sys/dispatch.c
    gen_abi.py trace TABLE...    names, and how arguments and results are shown, by kernel/proc/trace_format.c
    gen_abi.py stubs TABLE...    quire/calls.h of libquire: numbers and functions for user programs
    gen_abi.py checks TABLE...   what the native calls take, for the test that walks them
    gen_abi.py docs TABLE...     docs/abi.md: which calls there are; what stands behind a # in a line is a note
    gen_abi.py objects FILE TABLE...  docs/objects.md anew: its part between the marks is made of the native table and of its comments

A wrapper takes the six argument registers and narrows each to its C type, so that a call never sees the upper half of a register that
the ABI says it ignores; it compiles to a tail call. Where the table names an object, it looks the descriptor up first: type, then rights.
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
OBJECTS = ("any", "file", "channel", "vmo", "process", "thread", "endpoint", "irq", "system", "event", "reply", "ttyport")
RIGHTS = ("read", "write", "exec", "map", "wait", "signal", "duplicate", "transfer", "inspect", "manage")


class Arg:
    """One argument: `type:name`, `type.struct:name` (what it points to), or `@object[rights]:name`; then also `@object?` where -1 is
    nothing, and `@object!` where the call wants the number as well,
    and `@object^` where it lets go of the file itself."""

    def __init__(self, word):
        spec, _, self.name = word.partition(":")
        m = re.fullmatch(r"@([a-z]+)([?!^]*)\[([a-z,]*)\]", spec)
        self.object = m.group(1) if m else None
        self.type, _, self.struct = ("fd", "", "") if m else spec.partition(".")
        self.optional, self.number = bool(m and "?" in m.group(2)), bool(m and "!" in m.group(2))
        self.given = bool(m and "^" in m.group(2))
        self.rights = [r for r in m.group(3).split(",") if r] if m else []
        self.valid = bool(self.name) and self.type in TYPES and (not m or (self.object in OBJECTS and set(self.rights) <= set(RIGHTS)))

    def params(self):
        if not self.object:
            return [f"{TYPES[self.type]} {self.name}"]
        return [f"struct file *{self.name}"] + ([f"int32_t {self.name}_fd"] if self.number else [])

    def mask(self):
        return " | ".join(f"RIGHT_{r.upper()}" for r in self.rights) or "0"

    def kind(self):
        return "KO_TYPES" if self.object == "any" else f"KO_{self.object.upper()}"


class Call:
    def __init__(self, nr, name, args, result, note):
        self.nr, self.name, self.args, self.note = nr, name, args, note  # args None: known but not offered
        self.comment = ""  # the lines of comment before it
        self.result = result  # one of RESULTS, or None: a number


def parse(path):
    calls, seen, comment = [], set(), []
    for lineno, line in enumerate(open(path, encoding="utf-8"), 1):
        line, _, note = line.partition("#")
        line = line.strip()
        if not line:
            comment = comment + [note.strip()] if note else []
            continue
        where = f"{path}:{lineno}"
        words = line.split()
        if len(words) < 2 or not re.fullmatch(r"[a-z_][a-z0-9_]*", words[1]):
            sys.exit(f"{where}: expected: number name type:name...")
        result = words.pop()[1:] if words[-1].startswith("=") else None
        if result and result not in RESULTS:
            sys.exit(f"{where}: bad result ={result}")
        nr, name = int(words[0], 0), words[1]
        args = None if words[2:] == ["?"] else [Arg(w) for w in words[2:]]
        for word, arg in zip(words[2:], args or []):
            if not arg.valid:
                sys.exit(f"{where}: bad argument {word}")
        if args and len(args) > 6:
            sys.exit(f"{where}: more than six arguments")
        if {nr, name} & seen:
            sys.exit(f"{where}: number or name given twice")
        seen |= {nr, name}
        calls.append(Call(nr, name, args, result, note.strip()))
        calls[-1].comment, comment = " ".join(comment), []
    return calls


def offered(calls):
    return [c for c in calls if c.args is not None]


def proto(tables):
    print("#pragma once\n/* Made by tools/gen_abi.py: what serves each system call. */\n#include \"lib/types.h\"\n\nstruct file;\n")
    for calls in tables.values():
        for c in offered(calls):
            params = ", ".join(p for a in c.args for p in a.params()) or "void"
            print(f"int64_t sys_{c.name}({params});")


def first_number(family, calls):
    return 0 if family == "linux" else min(c.nr for c in calls)


def passed(i, a):
    if not a.object:
        return [f"({TYPES[a.type]})a{i}"]
    return [f"file_take(&f{i})" if a.given else f"f{i}"] + ([f"(int32_t)a{i}"] if a.number else [])


def body(c):
    """Look up what the call is on, call, let go in reverse."""
    objects = [(i, a) for i, a in enumerate(c.args) if a.object]
    call = f"sys_{c.name}({', '.join(p for i, a in enumerate(c.args) for p in passed(i, a))})"
    if not objects:
        return [f"\treturn {call};"]
    lines = [f"\tstruct file {', '.join(f'*f{i} = NULL' for i, _ in objects)};", "\tint64_t result = 0;"]
    for i, a in objects:
        unless = f" && (int32_t)a{i} != -1" if a.optional else ""
        lines.append(f"\tif (!result{unless})\n\t\tresult = fd_object((int32_t)a{i}, {a.kind()}, {a.mask()}, &f{i});")
    lines.append(f"\tif (!result)\n\t\tresult = {call};")
    lines += [f"\tif (f{i})\n\t\tfile_put(f{i});" for i, _ in reversed(objects)]
    return lines + ["\treturn result;"]


def table(tables):
    print("/* Made by tools/gen_abi.py: included by dispatch.c only. */")
    params = ", ".join(f"UNUSED uint64_t a{i}" for i in range(6))
    for family, calls in tables.items():
        for c in offered(calls):
            print(f"static int64_t call_{c.name}({params})\n{{")
            print("\n".join(body(c)) + "\n}")
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
            types = ", ".join(f"TRACE_{a.type.upper()}" for a in c.args or []) or "0"
            result = f"TRACE_RESULT_{(c.result or 'long').upper()}"
            print(f"\t[{c.nr - base}] = {{\"{c.name}\", {nargs}, {result}, {{{types}}}}},")
        print("};")


C_TYPES = {
    "int": "int", "uint": "unsigned", "long": "int64_t", "size": "uint64_t", "fd": "int", "pid": "int", "addr": "void *",
    "str": "const char *", "in": "const {} *", "out": "{} *", "inout": "{} *", "hex": "uint64_t", "outints": "int *",
    "argv": "char *const *", "envp": "char *const *",
}


def c_param(a):
    base = C_TYPES[a.type].format(f"struct {a.struct}" if a.struct else "void")
    return base + ("" if base.endswith("*") else " ") + a.name


def stubs(tables):
    print("#pragma once\n/*\n * calls.h - Quire's own system calls, made by tools/gen_abi.py of abi/native.tbl. Each returns -1 and sets errno if it fails;")
    print(" * man/ has a page for each.\n */\n#include <quire/object.h>\n#include <quire/system.h>\n#include <quire/ttyport.h>\n#include <stdint.h>\n#include <unistd.h>\n")
    for c in offered(tables["native"]):
        print(f"#define SYS_quire_{c.name} {c.nr:#x}")
    for c in offered(tables["native"]):
        args = "".join(f", {a.name}" for a in c.args)
        params = ", ".join(c_param(a) for a in c.args) or "void"
        print(f"\nstatic inline long quire_{c.name}({params})\n{{\n\treturn syscall(SYS_quire_{c.name}{args});\n}}")


def checks(tables):
    """One line a call: CALL(nr, name, number of arguments, what they are): WORD, BYTES(in, out, size; 0: not known), or an object."""
    print("/* Made by tools/gen_abi.py of abi/native.tbl. */")
    for c in offered(tables["native"]):
        args = []
        for a in c.args:
            size = f"sizeof(struct {a.struct})" if a.struct else "0"
            if a.object:
                rights = " | ".join(f"QUIRE_RIGHT_{r.upper()}" for r in a.rights) or "0"
                args.append(f"OBJECT(QUIRE_{a.object.upper()}, {rights})")
            elif a.type in ("in", "out", "inout", "str", "outints"):
                args.append(f"BYTES({int(a.type not in ('out', 'outints'))}, {int(a.type in ('out', 'inout', 'outints'))}, {size})")
            else:
                args.append("WORD")
        print(f"CALL({c.nr:#x}, {c.name}, {len(c.args)}, {', '.join(args) or 'WORD'})")


def shown(a):
    if a.object:
        return f"{a.object}{'?' if a.optional else ''}{'[' + ', '.join(a.rights) + ']' if a.rights else ''} {a.name}"
    return f"{a.type}{' ' + a.struct if a.struct else ''} {a.name}"


def objects(path, tables):
    text = open(path, encoding="utf-8").read()
    begin, end = "<!-- calls -->\n", "<!-- end of calls -->\n"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    lines = ["| number | call | what it does |", "|---:|---|---|"]
    for c in offered(tables["native"]):
        lines.append(f"| {c.nr:#x} | `{c.name}({', '.join(shown(a) for a in c.args)})` | {c.comment} |")
    print(head + begin + "\n".join(lines) + "\n" + end + tail, end="")


def docs(tables):
    calls = tables["linux"]
    print("# The Linux ABI: which system calls there are\n")
    print("Made from `abi/linux.tbl` by `make docs`; do not edit. A call that is offered behaves as Linux's does, but for what its note says.")
    print("One that is not offered is `ENOSYS`, and the log has a line about the first program that wanted it.\n")
    print(f"{len(offered(calls))} of {len(calls)} calls are offered.\n")
    print("| number | call | state | note |\n|---:|---|---|---|")
    for c in sorted(calls, key=lambda c: c.nr):
        args = "(" + ", ".join(a.name for a in c.args) + ")" if c.args is not None else ""
        print(f"| {c.nr} | `{c.name}{args}` | {'offered' if c.args is not None else 'not offered'} | {c.note} |")


MAKERS = {"proto": proto, "table": table, "trace": trace, "stubs": stubs, "checks": checks, "docs": docs}


def main():
    args = sys.argv[1:]
    if len(args) < 2 or args[0] not in (*MAKERS, "objects"):
        sys.exit(__doc__)
    tables = {re.sub(r".*/|\.tbl$", "", path): parse(path) for path in args[1:] if path.endswith(".tbl")}
    if args[0] == "objects":
        objects(args[1], tables)
    else:
        MAKERS[args[0]](tables)


main()

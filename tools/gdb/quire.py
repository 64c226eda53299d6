"""quire.py - gdb commands that know the kernel's structures. Load with `gdb build/quire.elf -x tools/gdb/quire.py`.

  quire-pt [ADDR [CR3]]   without ADDR: ranges of equal rights in the user half of this CPU's page table; with ADDR: its entries
                          on every level. CR3: another table, a number or an expression like space->mmu.root
  quire-space [EXPR]      regions of a struct vm_space *; without EXPR: of the current thread
  quire-tree EXPR         nodes and pages of a struct page_tree (or of a struct vm_object's)
  quire-page EXPR         the record of a frame: a frame number, or a struct page *
  quire-threads           every thread, with a backtrace
  quire-where ADDR        function and line of an address
  quire-trace [MAX]       step to the return into user mode (or MAX instructions, 10000), and count instructions by function:
                          what a fault or a system call consists of. Start at the user instruction that enters the kernel

They read memory of the stopped guest and change nothing.
"""
import gdb

DIRECT_MAP = 0xFFFF800000000000
PAGE_RECORDS, RECORD = 0xFFFFC00000000000, 32
ADDRESS = 0x000FFFFFFFFFF000
PRESENT, WRITE, USER, LARGE, GLOBAL, NX = 1, 2, 4, 1 << 7, 1 << 8, 1 << 63
KINDS = ["virgin", "reserved", "free", "cached", "kernel", "slab", "table", "anon", "file"]
STATES = ["new", "ready", "running", "blocked", "dead"]
DEAD = 4


def number(expression):
    return int(gdb.parse_and_eval(expression)) & (2**64 - 1)


def word(address):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, 8).tobytes(), "little")


def table(physical):
    data = gdb.selected_inferior().read_memory(DIRECT_MAP + (physical & ADDRESS), 4096).tobytes()
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, 4096, 8)]


def rights(entry):
    return "".join(
        [
            "r",
            "w" if entry & WRITE else "-",
            "-" if entry & NX else "x",
            " user" if entry & USER else "",
            " global" if entry & GLOBAL else "",
        ]
    )


def container(pointer, type_name, member):
    kind = gdb.lookup_type(type_name)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    return gdb.Value(int(pointer) - offset).cast(kind.pointer())


def list_members(head, type_name, member):
    """Members of a struct list, by its head."""
    link = head["next"]
    while int(link) != int(head.address):
        yield container(link, type_name, member)
        link = link["next"]


def tree_members(node, type_name, member):
    """Members of a red-black tree below node, in order."""
    if int(node):
        yield from tree_members(node["left"], type_name, member)
        yield container(node, type_name, member)
        yield from tree_members(node["right"], type_name, member)


class Command(gdb.Command):
    """A quire-* command; errors of gdb (unreadable memory, unknown symbols) are shown, not raised."""

    def __init__(self, name, run, kind=gdb.COMPLETE_EXPRESSION):
        super().__init__(name, gdb.COMMAND_DATA, kind)
        self.run = run

    def invoke(self, argument, from_tty):
        self.run([argument] if argument else [])


# Page tables ------------------------------------------------------------------------------------------------------------


def walk_one(address, cr3):
    physical, shift = cr3, 39
    for name in ("PML4", "PDPT", "PD", "PT"):
        entry = table(physical)[address >> shift & 511]
        state = rights(entry) if entry & PRESENT else "not present"
        print(f"  {name:4} [{address >> shift & 511:3}] {entry:#018x}  {state}{' large' if entry & LARGE and shift < 39 else ''}")
        if not entry & PRESENT or shift == 12 or (entry & LARGE and shift < 39):
            return
        physical, shift = entry, shift - 9


def leaves(physical, base, shift, inherited):
    """(address, size, entry with the rights of all levels) of each translation."""
    for i, entry in enumerate(table(physical)):
        if not entry & PRESENT:
            continue
        address = base + (i << shift)
        rights_here = (entry & inherited & (WRITE | USER)) | ((entry | inherited) & NX)
        if shift == 12 or (entry & LARGE and shift < 39):
            yield address, 1 << shift, rights_here | (entry & GLOBAL) | PRESENT
        else:
            yield from leaves(entry, address, shift - 9, rights_here)


def page_table(arguments):
    arguments = arguments[0].split() if arguments else []
    cr3 = number(arguments[1]) if len(arguments) > 1 else number("$cr3")
    if arguments:
        walk_one(number(arguments[0]), cr3)
        return
    start = end = flags = None
    for i, entry in enumerate(table(cr3)[:256]):
        if not entry & PRESENT:
            continue
        for address, size, now in leaves(entry, i << 39, 30, entry & (WRITE | USER | NX)):
            if address == end and now == flags:
                end += size
                continue
            if start is not None:
                print(f"  {start:#014x}-{end:#014x} {(end - start) >> 12:8} pages {rights(flags)}")
            start, end, flags = address, address + size, now
    print(f"  {start:#014x}-{end:#014x} {(end - start) >> 12:8} pages {rights(flags)}" if start is not None else "  empty")


# VM ---------------------------------------------------------------------------------------------------------------------


def current_thread():
    """The current thread of the CPU that gdb looks at: in the kernel, %gs is its struct cpu."""
    base = number("$gs_base")
    if base < DIRECT_MAP:
        base = number("$k_gs_base")
    return gdb.Value(base).cast(gdb.lookup_type("struct cpu").pointer())["current"]


def show_space(arguments):
    space = gdb.parse_and_eval(arguments[0]) if arguments else current_thread()["space"]
    if not int(space):
        print("no space: a kernel thread")
        return
    print(f"space {int(space):#x}: {int(space['regions']['count'])} regions, {int(space['npages'])} pages")
    for r in tree_members(space["regions"]["tree"]["root"], "struct region", "node"):
        o, prot = r["object"], int(r["prot"])
        letters = "".join(c if prot & bit else "-" for c, bit in zip("rwx", (1, 2, 4)))
        print(
            f"  {int(r['start']):#014x}-{int(r['end']):#014x} {letters} flags {int(r['flags']):#x} offset {int(r['offset']):#x} "
            f"object {int(o):#x} {o['kind']}"
        )


def show_node(node, depth):
    print(f"{'  ' * depth}node {int(node):#x} level {int(node['level'])} base {int(node['base']):#x} references {int(node['refs'])}")
    present = int(node["present"])
    for i in range(64):
        if not present >> i & 1:
            continue
        if int(node["level"]):
            show_node(node["slots"][i]["child"], depth + 1)
        else:
            print(f"{'  ' * (depth + 1)}{int(node['base']) + i:#x}: {page_text(node['slots'][i]['page'])}")


def show_tree(arguments):
    value = gdb.parse_and_eval(arguments[0])
    if value.type.code == gdb.TYPE_CODE_PTR:
        value = value.dereference()
    if value.type.strip_typedefs().tag == "vm_object":
        value = value["tree"]
    if int(value["root"]):
        show_node(value["root"], 1)
    else:
        print("  empty")


def page_text(page):
    state = int(page["state"])
    kind = state >> 56
    pfn = (int(page) - PAGE_RECORDS) // RECORD
    return (
        f"frame {pfn:#x} {KINDS[kind] if kind < len(KINDS) else kind} shares {state & 0xffffffff} pins {state >> 32 & 0xffff} "
        f"order {state >> 48 & 15} flags {state >> 52 & 15:#x}"
    )


def show_page(arguments):
    value = gdb.parse_and_eval(arguments[0])
    if value.type.code != gdb.TYPE_CODE_PTR:
        value = gdb.Value(PAGE_RECORDS + int(value) * RECORD).cast(gdb.lookup_type("struct page").pointer())
    print(page_text(value))
    print(value.dereference())


# Threads ----------------------------------------------------------------------------------------------------------------


def where(address):
    block = gdb.execute(f"info symbol {address:#x}", to_string=True).split(" in section")[0].strip()
    line = gdb.find_pc_line(address)
    return f"{block} ({line.symtab.filename}:{line.line})" if line.symtab else block


def frames(rbp, low, high):
    """Return addresses on a kernel stack, by frame pointers; none of a stack that rbp does not point into."""
    while low <= rbp < high - 8 and word(rbp + 8):
        yield word(rbp + 8)
        following = word(rbp)
        if following <= rbp:
            return
        rbp = following


def stopped_at(thread):
    """(return address, frame pointer) of a thread that does not run: switch_stacks left six registers at arch.rsp, %rbp last, below its
    return address."""
    rsp = int(thread["arch"]["rsp"])
    return word(rsp + 48), word(rsp + 40)


def show_threads(arguments):
    running = {}
    for inferior_thread in gdb.selected_inferior().threads():
        inferior_thread.switch()
        running[int(current_thread())] = (inferior_thread.num, number("$rip"), number("$rbp"))
    for t in list_members(gdb.parse_and_eval("threads.list"), "struct thread", "all_link"):
        state = int(t["state"])
        name = t["name"].string()
        on = running.get(int(t))
        place = f"on CPU {on[0] - 1}" if on else f"last on CPU {int(t['cpu'])}"
        print(f"thread {int(t['tid'])} {name}: {STATES[state]}, {place}")
        if int(t["state"]) == DEAD or (not on and not int(t["arch"]["rsp"])):
            continue
        rip, rbp = on[1:] if on else stopped_at(t)
        print(f"    {where(rip)}")
        for address in frames(rbp, int(t["stack"]), int(t["stack_end"])):
            print(f"    {where(address)}")


def trace(arguments):
    limit = number(arguments[0]) if arguments else 10000
    counts, path, total = {}, [], 0
    gdb.execute("set suppress-cli-notifications on")
    while total < limit:
        gdb.execute("stepi", to_string=True)
        pc = number("$pc")
        if pc < DIRECT_MAP:
            break
        total += 1
        name = gdb.execute(f"info symbol {pc:#x}", to_string=True).split()[0]
        counts[name] = counts.get(name, 0) + 1
        if not path or path[-1] != name:
            path.append(name)
    gdb.execute("set suppress-cli-notifications off")
    print(f"{total} instructions: {' > '.join(path)}")
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"  {count:6} {name}")


def show_symbol(arguments):
    print(where(number(arguments[0])))


Command("quire-pt", page_table)
Command("quire-space", show_space)
Command("quire-tree", show_tree)
Command("quire-page", show_page)
Command("quire-threads", show_threads)
Command("quire-where", show_symbol)
Command("quire-trace", trace)

#!/usr/bin/env python3
"""curve.py --kernel ELF --initrd CPIO [--write FILE] - what fork costs by the memory that the process has touched.

Boots bench/curve.c as the only program on Quire and on Debian's Linux, as compare.py does, with memory for 4 GiB, and prints a table of
instructions. Fails if Quire's figures for the least and the most memory are more than a tenth apart, or if at 64 MiB it takes more than a
hundredth of Linux's. --write: put the table between the markers of a Markdown file, and the plot beside it as fork.svg. --quire: Quire
alone, for a quick look.
"""
import argparse
import math
import os
import re
import sys

import boot
import page

COUNT = re.compile(r"\bcurve (fork|whole) (\d+) = (\d+)\r?$", re.M)
BEGIN, END = "<!-- curve -->", "<!-- end of curve -->"
MEMORY = "6G"

LEFT, TOP, WIDTH, HEIGHT = 90, 20, 520, 300
COLOURS = {"Quire": "#1f6fb2", "Linux": "#c2511b"}


def measure(name, kernel, initrd, words):
    """{("fork" | "whole", MiB): instructions}"""
    text = boot.run(f"curve-{name}", kernel, initrd, words, memory=MEMORY)
    return {(what, int(mib)): int(value) for what, mib, value in COUNT.findall(text)}


def sizes(figures):
    return sorted({mib for _, mib in figures})


def size_name(mib):
    return f"{mib // 1024} GiB" if mib >= 1024 else f"{mib} MiB"


def table(quire, linux, release):
    lines = [f"| touched | Quire: fork | with exit, wait | Linux {release}: fork | with exit, wait | ratio |", "|---:|---:|---:|---:|---:|---:|"]
    for mib in sizes(quire):
        counts = [quire["fork", mib], quire["whole", mib], linux["fork", mib], linux["whole", mib]]
        lines.append(f"| {size_name(mib)} | {' | '.join(f'{n:,}' for n in counts)} | 1/{counts[3] // counts[1]} |")
    return "\n".join(lines)


def check(quire, linux):
    """What is not as promised, as lines."""
    least, most = sizes(quire)[0], sizes(quire)[-1]
    bad = [f"{what}: {quire[what, most]:,} for {size_name(most)}, {quire[what, least]:,} for {size_name(least)}"
           for what in ("fork", "whole") if abs(quire[what, most] - quire[what, least]) * 10 > quire[what, least]]
    if linux and quire["whole", 64] * 100 > linux["whole", 64]:
        bad.append(f"64 MiB: {quire['whole', 64]:,}, Linux {linux['whole', 64]:,}")
    return bad


def svg(curves):
    """Both axes logarithmic: sizes by factors of 4, instructions by factors of 10. curves: {name: {MiB: instructions}}"""
    mibs = sorted(next(iter(curves.values())))
    low = math.floor(min(math.log10(n) for c in curves.values() for n in c.values()))
    high = math.ceil(max(math.log10(n) for c in curves.values() for n in c.values()))

    def at_x(mib):
        return LEFT + WIDTH * math.log2(mib / mibs[0]) / math.log2(mibs[-1] / mibs[0])

    def at_y(count):
        return TOP + HEIGHT * (high - math.log10(count)) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{TOP + HEIGHT + 60}" font-family="sans-serif" font-size="12">',
           "<title>Instructions of fork, exit and wait, by the memory that the parent has touched</title>",
           '<rect width="100%" height="100%" fill="white"/>']
    for power in range(low, high + 1):
        y = at_y(10**power)
        out.append(f'<path d="M{LEFT} {y:.0f}h{WIDTH}" stroke="#ddd"/><text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{10**power:,}</text>')
    out += [f'<text x="{at_x(mib):.0f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{size_name(mib)}</text>' for mib in mibs]
    out.append(f'<text x="{LEFT + WIDTH // 2}" y="{TOP + HEIGHT + 45}" text-anchor="middle">memory that the parent has touched; instructions of fork, exit and wait</text>')
    for name, counts in curves.items():
        points = " ".join(f"{at_x(mib):.0f},{at_y(counts[mib]):.0f}" for mib in mibs)
        out.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        out.append(f'<text x="{LEFT + WIDTH + 8}" y="{at_y(counts[mibs[-1]]) + 4:.0f}" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])


def write(path, quire, linux, text):
    page.write(path, BEGIN, END, text)
    curves = {name: {mib: f["whole", mib] for mib in sizes(f)} for name, f in (("Quire", quire), ("Linux", linux))}
    with open(os.path.join(os.path.dirname(path), "fork.svg"), "w", encoding="utf-8") as f:
        f.write(svg(curves))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--initrd", required=True)
    parser.add_argument("--write")
    parser.add_argument("--quire", action="store_true")
    opts = parser.parse_args()
    quire, linux = measure("quire", opts.kernel, opts.initrd, boot.QUIRE), {}
    if opts.quire:
        print("\n".join(f"{size_name(mib):>8} {quire['fork', mib]:>12,} {quire['whole', mib]:>12,}" for mib in sizes(quire)))
    else:
        path, release = boot.linux_kernel()
        linux = measure("linux", path, opts.initrd, boot.LINUX)
        text = table(quire, linux, release.split("-cloud", maxsplit=1)[0])
        print(text)
        if opts.write:
            write(opts.write, quire, linux, text)
    bad = check(quire, linux)
    print("".join(f"curve.py: not as promised: {line}\n" for line in bad), file=sys.stderr, end="")
    return 1 if bad else 0


sys.exit(main())

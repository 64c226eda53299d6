#!/usr/bin/env python3
"""compare.py --kernel ELF --initrd CPIO ... - what Unix operations cost on Quire and on Debian's Linux.

Boots both in the same QEMU with the same flags, on one CPU in instruction-count mode, each with bench/compare.c as its only program,
and prints the counts side by side. --write: put the table between the markers of a Markdown file. --only: the operations whose names
contain TEXT, which is one word.
"""
import argparse
import re
import sys

import boot
import page

COUNT = re.compile(r"\bcompare (.+) = (\d+)\r?$", re.M)
BEGIN, END = "<!-- comparison -->", "<!-- end of comparison -->"
EXPLAINED = 1.5  # beyond this ratio an operation is marked, and docs/performance.md has to say why


def count(name, kernel, initrd, words, only):
    """{operation: instructions}"""
    text = boot.run(f"compare-{name}", kernel, initrd, words + (["--", only] if only else []))
    return {operation: int(value) for operation, value in COUNT.findall(text)}


def table(quire, linux, release):
    lines = [f"| instructions | Quire | Linux {release.split('-cloud')[0]} | ratio |", "|---|---:|---:|---:|"]
    for operation, ours in quire.items():
        ratio = ours / linux[operation]
        shown = f"**{ratio:.2f}**" if ratio > EXPLAINED else f"{ratio:.2f}"
        lines.append(f"| {operation} | {ours:,} | {linux[operation]:,} | {shown} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--initrd", required=True)
    parser.add_argument("--write")
    parser.add_argument("--only", default="")
    opts = parser.parse_args()
    path, release = boot.linux_kernel()
    quire = count("quire", opts.kernel, opts.initrd, boot.QUIRE, opts.only)
    text = table(quire, count("linux", path, opts.initrd, boot.LINUX, opts.only), release)
    print(text)
    if opts.write:
        page.write(opts.write, BEGIN, END, text)
    return 0


sys.exit(main())

#!/usr/bin/env python3
"""tutorial.py TEXT FOLDER - cut the files out of a tutorial: each block that begins with ```c NAME is the next part of FOLDER/NAME.

What the compiler says about them names the line of the text.
"""
import os
import re
import sys

FENCE = re.compile(r"^```(?:c (\S+)|\w*)\s*$")


def parts(text):
    """(name, number of its first line, lines) of each block that has a name."""
    name, first, lines = None, 0, None
    with open(text, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            fence = FENCE.match(line)
            if not fence:
                if lines is not None:
                    lines.append(line)
            elif lines is None:
                name, first, lines = fence.group(1), number + 1, []
            else:
                if name:
                    yield name, first, lines
                lines = None
    if lines is not None:
        sys.exit(f"{text}:{first - 1}: a block without an end")


def main():
    text, folder = sys.argv[1:]
    files = {}
    for name, first, lines in parts(text):
        files.setdefault(name, []).append(f'#line {first} "{text}"\n{"".join(lines)}')
    os.makedirs(folder, exist_ok=True)
    for name, blocks in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.writelines(blocks)


main()

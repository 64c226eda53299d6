#!/usr/bin/env python3
"""check_size.py FILE... - the size rules of STYLE.md: functions have a median under 15 lines and none over 100, files under 1,000;
sentences in comments end at column 110 (clang-format leaves them alone, as it would break drawings).

Lengths are those of the whole definition, from the line of the name to the closing brace, found by universal-ctags. Tables are
not functions, and assembly is not looked at.
"""
import json
import re
import statistics
import subprocess
import sys

MEDIAN, LONGEST, FILE, COLUMNS = 15, 100, 1000, 110
PROSE = re.compile(r"\s*(/\*| \*) \S")  # drawings and tables are indented by more


def functions(files):
    """(length, path, line, name) of each function defined in files."""
    command = ["ctags", "--output-format=json", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f", "--fields=+ne", "-f", "-", *files]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        tag = json.loads(line)
        if tag.get("_type") == "tag" and "end" in tag:
            yield tag["end"] - tag["line"] + 1, tag["path"], tag["line"], tag["name"]


def main():
    files = sys.argv[1:]
    problems = []
    for path in files:
        with open(path, encoding="utf-8") as f:
            lines = [line.rstrip("\n").expandtabs(8) for line in f]
        if len(lines) >= FILE:
            problems.append(f"{path}: {len(lines)} lines; a file has fewer than {FILE:,}")
        wide = [n for n, line in enumerate(lines, 1) if len(line) > COLUMNS and PROSE.match(line)]
        problems += [f"{path}:{n}: a comment wider than {COLUMNS} columns" for n in wide]
    lengths = []
    for length, path, line, name in functions(files):
        lengths.append(length)
        if length > LONGEST:
            problems.append(f"{path}:{line}: {name} has {length} lines; a function has at most {LONGEST}")
    median = statistics.median(lengths) if lengths else 0
    if median >= MEDIAN:
        problems.append(f"the median function has {median} lines; the limit is below {MEDIAN}")
    print("\n".join(problems), end="\n" if problems else "")
    print(f"{len(lengths)} functions, median {median:g} lines, longest {max(lengths, default=0)}; {len(files)} files")
    sys.exit(bool(problems))


main()

#!/usr/bin/env python3
"""coverage.py OBJECTS FOLDER... - run the host tests of an instrumented build and print which lines of the folders they ran.

Lines that no test ran are listed behind each file. Fails below LIMIT per cent over all.
"""
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile

LIMIT = 95.0


def run_tests(objects):
    for directory, _, names in os.walk(objects):
        for name in names:
            if name.endswith(".gcda"):
                os.remove(os.path.join(directory, name))
    tests = sorted(os.path.join(objects, n) for n in os.listdir(objects) if n.startswith("test_"))
    tests = [t for t in tests if os.access(t, os.X_OK) and os.path.isfile(t)]
    subprocess.run(["prove", "-Q", "-j2", "--exec", "tools/runtest.py", *tests], check=True)


def line_counts(objects, folders):
    """{file: {line: times it ran}} of the sources in the folders, headers of these folders included."""
    counts = {}
    found = [os.path.join(d, n) for d, _, names in os.walk(objects) for n in names if n.endswith(".gcda")]
    with tempfile.TemporaryDirectory() as scratch:
        for path in found:
            subprocess.run(["gcov", "--json-format", os.path.abspath(path)], cwd=scratch, check=True, capture_output=True)
            for name in os.listdir(scratch):
                with gzip.open(os.path.join(scratch, name), "rt") as f:
                    merge(counts, json.load(f), folders)
                os.remove(os.path.join(scratch, name))
    return counts


def merge(counts, report, folders):
    for entry in report["files"]:
        name = os.path.relpath(os.path.join(report["current_working_directory"], entry["file"]))
        if os.path.dirname(name) in folders:
            lines = counts.setdefault(name, {})
            for line in entry["lines"]:
                lines[line["line_number"]] = lines.get(line["line_number"], 0) + line["count"]


def ranges(numbers):
    """[1, 2, 3, 7] -> "1-3, 7"."""
    text = re.sub(r"(\d+)(?: \d+)* (\d+);", r"\1-\2;", "".join(
        (";" if i and n != numbers[i - 1] + 1 else "") + (" " if i and n == numbers[i - 1] + 1 else "") + str(n)
        for i, n in enumerate(numbers)) + ";")
    return text.rstrip(";").replace(";", ", ")


def main():
    objects, folders = sys.argv[1], [f.rstrip("/") for f in sys.argv[2:]]
    run_tests(objects)
    counts = line_counts(objects, folders)
    all_run = all_lines = 0
    for name, lines in sorted(counts.items()):
        missed = sorted(n for n, count in lines.items() if not count)
        all_run += len(lines) - len(missed)
        all_lines += len(lines)
        print(f"{100 * (len(lines) - len(missed)) / len(lines):6.1f} % {name}{'  not run: ' + ranges(missed) if missed else ''}")
    percent = 100 * all_run / max(all_lines, 1)
    print(f"{percent:6.1f} % of {all_lines} lines in {', '.join(folders)}")
    sys.exit(percent < LIMIT)


main()

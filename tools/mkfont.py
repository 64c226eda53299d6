#!/usr/bin/env python3
"""mkfont.py HEX OUT - make the console's font (user/fbcon/font.c says of what form) of a file in GNU Unifont's form: lines of
CODE:ROWS, where 16 rows are two or four hexadecimal digits each."""
import struct
import sys

HEIGHT = 16


def read_glyphs(path):
    """[(code, wide, rows)], sorted."""
    glyphs = []
    with open(path, encoding="ascii") as f:
        for line in f:
            code, _, digits = line.strip().partition(":")
            rows = bytes.fromhex(digits)
            if len(rows) not in (HEIGHT, 2 * HEIGHT):
                raise SystemExit(f"{path}: {code} has {len(rows)} bytes")
            glyphs.append((int(code, 16), len(rows) > HEIGHT, rows))
    return sorted(glyphs)


def runs_of(glyphs):
    """[[first code, count, wide]]: neighbours of one width."""
    runs = []
    for code, wide, _ in glyphs:
        if runs and code == runs[-1][0] + runs[-1][1] and wide == runs[-1][2]:
            runs[-1][1] += 1
        else:
            runs.append([code, 1, wide])
    return runs


def main(source, target):
    glyphs = read_glyphs(source)
    runs = runs_of(glyphs)
    place = 4 + 16 * len(runs)
    table = struct.pack("<I", len(runs))
    for first, count, wide in runs:
        table += struct.pack("<4I", first, count, place, wide)
        place += count * HEIGHT * (2 if wide else 1)
    with open(target, "wb") as f:
        f.write(table + b"".join(rows for _, _, rows in glyphs))


if __name__ == "__main__":
    main(*sys.argv[1:])

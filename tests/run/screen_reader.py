"""screen_reader.py - read the text on a screen back from its pixels, by the console's own font: each cell must be just a glyph of it."""
import collections
import functools

WIDTH, HEIGHT = 8, 16
Cell = collections.namedtuple("Cell", "char fg bg bold underline wide")


class Font:
    """Glyphs as tuples of rows. Many characters look the same, such as Latin and Greek A: the first of them stands for all."""

    def __init__(self, path):
        self.pictures, self.looks = {}, {}
        with open(path, encoding="ascii") as f:
            for line in f:
                code, _, digits = line.strip().partition(":")
                step = len(digits) // HEIGHT
                rows = tuple(int(digits[i : i + step], 16) for i in range(0, len(digits), step))
                self.add(chr(int(code, 16)), rows, step == 4)

    def add(self, char, rows, wide):
        self.pictures[char] = (rows, wide)
        self.looks.setdefault((rows, wide, False), char)
        self.looks.setdefault((tuple(row | row >> 1 for row in rows), wide, True), char)

    def look(self, char):
        """The character that stands for all that look like this one."""
        return self.looks[(*self.pictures[char], False)]

    def text(self, text):
        return "".join(self.look(char) for char in text)

    @functools.lru_cache(maxsize=None)
    def find(self, rows, wide):
        """(char, bold, underline) of a picture; None: there is no such glyph."""
        full = 0xFFFF if wide else 0xFF
        for last in (rows[-1], 0):
            if last != rows[-1] and rows[-1] != full:
                break
            for bold in (False, True):
                char = self.looks.get(((*rows[:-1], last), wide, bold))
                if char is not None:
                    return char, bold, last != rows[-1]
        return None


class Screen:
    """A picture (PPM) as rows of cells."""

    def __init__(self, path, font):
        with open(path, "rb") as f:
            magic, size, depth, pixels = f.read().split(b"\n", 3)
        if magic != b"P6" or depth != b"255":
            raise ValueError(f"{path} is no picture")
        self.width, self.height = (int(n) for n in size.split())
        strip = self.width * HEIGHT * 3
        self.lines = [read_line(font, pixels[y * strip : (y + 1) * strip], self.width) for y in range(self.height // HEIGHT)]

    def text(self):
        return ["".join(cell.char or "\ufffd" for cell in line).rstrip() for line in self.lines]


@functools.lru_cache(maxsize=1000)
def read_line(font, strip, width):
    """The cells of a strip as high as a character; most strips of a screen are as they were the last time."""
    rows = [strip[at : at + width * 3] for at in range(0, len(strip), width * 3)]
    columns, line, x = width // WIDTH, [], 0

    def read(x, cells):
        return read_picture(font, tuple(row[x * WIDTH * 3 : (x + cells) * WIDTH * 3] for row in rows), cells)

    while x < columns:
        cell = read(x, 1)
        if x + 1 < columns and (cell.char is None or read(x + 1, 1).char is None):
            wide = read(x, 2)
            cell = wide if wide.char is not None else cell
        line.append(cell)
        x += 2 if cell.wide else 1
    return line


@functools.lru_cache(maxsize=100000)
def read_picture(font, rows, cells):
    """Two colours make a glyph in one of two ways, of which the one with the darker ground is tried first; one colour makes a blank."""
    pixels = [row[i : i + 3] for row in rows for i in range(0, len(row), 3)]
    colours = sorted(set(pixels), key=sum)
    if len(colours) == 1:
        return Cell(" " if cells == 1 else None, None, tuple(colours[0]), False, False, False)
    if len(colours) > 2:
        return Cell(None, None, None, False, False, False)
    for bg, fg in (colours, colours[::-1]):
        bits = tuple(
            functools.reduce(lambda all_, i, row=row: all_ << 1 | (row[i : i + 3] == fg), range(0, len(row), 3), 0) for row in rows
        )
        if found := font.find(bits, cells == 2):
            return Cell(found[0], tuple(fg), tuple(bg), *found[1:], cells == 2)
    return Cell(None, None, None, False, False, False)

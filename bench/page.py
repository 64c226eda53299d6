"""page.py - the part of a page of docs/ that a program writes: what stands between two lines."""


def write(path, begin, end, text):
    """Put text between the lines `begin` and `end` of the file, which is left alone if that changes nothing."""
    with open(path, encoding="utf-8") as f:
        old = f.read()
    head, rest = old.split(begin)
    new = f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    if new != old:
        with open(path, "w", encoding="utf-8") as f:
            f.write(new)

"""frames.py - the launcher's half of the protocol that user/init/launcher.h describes."""
import os
import stat
import struct

VERSION = 1
HEADER = struct.Struct("<BBHI")
FRAME_MAX = 132 << 10
WINDOW = 256 << 10
CHUNK = 32 << 10

HELLO, ITEM, COPY_TO, COPY_DIR, COPY_FILE, COPY_DATA, COPY_END, COPY_LINK, START = range(1, 10)
DATA, END, ACK, CLOSED, SIZE, SIGNAL, SHUTDOWN, EXIT, ERROR = range(10, 19)
ARGUMENT, VARIABLE, DIRECTORY, USER, TERMINAL = b"aecut"

U32 = struct.Struct("<I")
SCREEN = struct.Struct("<HH")
SIGNAL_PAYLOAD = struct.Struct("<II")


def frame(kind, stream=0, payload=b""):
    return HEADER.pack(kind, stream, 0, len(payload)) + payload


class Decoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        """Yield (kind, stream, payload) for each frame that is complete. ValueError: this is not the protocol."""
        self.data += data
        while len(self.data) >= HEADER.size:
            kind, stream, zero, length = HEADER.unpack_from(self.data)
            if zero or length > FRAME_MAX or not HELLO <= kind <= ERROR or stream > 255:
                raise ValueError("the guest does not speak the launcher's protocol")
            if len(self.data) < HEADER.size + length:
                return
            payload = bytes(self.data[HEADER.size : HEADER.size + length])
            del self.data[: HEADER.size + length]
            yield kind, stream, payload


def copy_one(path, below):
    """Frames that make one file of the host at a path below the target."""
    st = os.lstat(path)
    name = os.fsencode(below)
    if stat.S_ISLNK(st.st_mode):
        yield frame(COPY_LINK, 0, name + b"\0" + os.fsencode(os.readlink(path)))
    elif stat.S_ISDIR(st.st_mode):
        yield frame(COPY_DIR, 0, U32.pack(stat.S_IMODE(st.st_mode)) + name)
        for entry in sorted(os.listdir(path)):
            yield from copy_one(os.path.join(path, entry), f"{below}/{entry}" if below else entry)
    elif stat.S_ISREG(st.st_mode):
        yield frame(COPY_FILE, 0, U32.pack(stat.S_IMODE(st.st_mode)) + name)
        with open(path, "rb") as f:
            while data := f.read(CHUNK):
                yield frame(COPY_DATA, 0, data)
        yield frame(COPY_END)
    else:
        raise OSError(f"{path} is neither a file nor a directory")


def copy(host, guest):
    """Frames that copy a file or a directory of the host. A symbolic link that was named itself is followed."""
    real = os.path.realpath(host, strict=True)
    name = os.path.basename(os.path.abspath(host))
    yield frame(COPY_TO, 0, os.fsencode(guest) + b"\0" + os.fsencode(name))
    yield from copy_one(real, "")


def request(command, variables, terminal=None):
    """Frames that describe the command; terminal: (rows, columns) or None."""
    for word in command:
        data = os.fsencode(word)
        if len(data) >= FRAME_MAX:
            raise OSError("an argument is too long")
        yield frame(ITEM, ARGUMENT, data)
    for name, value in variables.items():
        yield frame(ITEM, VARIABLE, os.fsencode(f"{name}={value}"))
    if terminal:
        yield frame(ITEM, TERMINAL, SCREEN.pack(*terminal))

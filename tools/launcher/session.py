"""session.py - the conversation with the guest while a command runs: streams, terminal, signals, time.

One loop waits for the port, the caller's streams and signals at once. Nothing in it blocks but writing to a standard stream that said it has
room; bytes that wait for such room are bounded by the protocol's window.
"""
import collections
import errno
import fcntl
import os
import select
import signal
import struct
import termios
import time
import tty

from . import frames
from .options import Failure

GROUP_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
OWN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
IMPATIENT = (signal.SIGINT, signal.SIGTERM)  # the third of these within PATIENCE seconds ends the machine
PATIENCE = 2.0
TIMEOUT_STATUS = 124
BOOT_SECONDS = 120  # a machine that says nothing for so long does not boot
PIPE_ATOMIC = 4096  # a pipe that polls as writable takes so much without blocking


class Stopped(Exception):
    """The machine is not needed any more: exit with `status`."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


class NoAnswer(Exception):
    """The machine does not boot."""


class Terminal:
    """The caller's terminal, in raw mode while in use."""

    def __init__(self):
        self.saved = None

    def raw(self):
        self.saved = self.saved or termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)

    def restore(self):
        if self.saved:
            try:
                termios.tcsetattr(0, termios.TCSADRAIN, self.saved)
            except termios.error:
                pass  # it has gone away
            self.saved = None

    @staticmethod
    def size():
        try:
            rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))
        except OSError:
            rows, columns = 24, 80
        return rows or 24, columns or 80

    @staticmethod
    def is_there():
        return os.isatty(0) and os.isatty(1)


class Signals:
    """Signals that came, in order, and a descriptor that tells of them."""

    def __init__(self, numbers):
        self.reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.writer = writer
        self.wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.saved = {}
        for number in numbers:
            if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGWINCH:  # nohup stays in force
                self.saved[number] = signal.signal(number, lambda *_: None)

    def take(self):
        try:
            return list(os.read(self.reader, 512))
        except BlockingIOError:
            return []

    def close(self):
        signal.set_wakeup_fd(self.wakeup)
        for number, handler in self.saved.items():
            signal.signal(number, handler)
        os.close(self.reader)
        os.close(self.writer)


class Output:
    """One of the caller's output streams: what the command wrote and the stream has not taken yet."""

    def __init__(self, stream):
        self.stream, self.waiting, self.closed = stream, collections.deque(), False

    def write(self):
        """Write a piece. Returns the bytes that are gone from the queue, or None: nobody reads any more."""
        data = self.waiting[0]
        try:
            done = os.write(self.stream, data[:PIPE_ATOMIC] if len(data) > PIPE_ATOMIC else data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.waiting.clear()
            self.closed = True
            if error.errno not in (errno.EPIPE, errno.EBADF, errno.EIO):
                os.write(2, f"quire: cannot write: {error.strerror}\n".encode())
            return None
        if done == len(data):
            self.waiting.popleft()
        else:
            self.waiting[0] = data[done:]
        return done


class Session:
    """Runs one command. `port` is a connected socket to the guest."""

    def __init__(self, port, opts, variables, deadline):
        self.port, self.opts, self.variables, self.deadline = port, opts, variables, deadline
        self.terminal = Terminal() if Terminal.is_there() else None
        self.decoder = frames.Decoder()
        self.to_guest = collections.deque()  # memoryviews
        self.sending = None                  # frames of the request that were not made yet
        self.greeted = self.started = self.port_closed = False
        self.input_open, self.credit = True, frames.WINDOW
        self.outputs = {1: Output(1), 2: Output(2)}
        self.boot_deadline = time.monotonic() + BOOT_SECONDS
        self.result = None  # wait status, or (exit status, text)
        self.impatience = []
        port.setblocking(False)

    # Sending

    def send(self, kind, stream=0, payload=b""):
        self.to_guest.append(memoryview(frames.frame(kind, stream, payload)))

    def request(self):
        """All that the guest must know before it starts the command."""
        for host, guest in self.opts.copies:
            try:
                yield from frames.copy(host, guest)
            except OSError as error:
                raise Failure(f"--copy {host}: {error.strerror or error}") from error
        yield from frames.request(self.opts.command, self.variables, Terminal.size() if self.terminal else None)
        yield frames.frame(frames.START)

    def refill(self):
        """Make the next frames of the request when the last have gone."""
        while self.sending and not self.to_guest:
            try:
                data = next(self.sending, None)
            except OSError as error:
                raise Failure(f"the command cannot be passed on: {error}") from error
            if data is not None:
                self.to_guest.append(memoryview(data))
                continue
            self.sending = None
            self.started = True
            if self.terminal:
                self.terminal.raw()
                self.send(frames.SIZE, 0, frames.SCREEN.pack(*Terminal.size()))

    def write_port(self):
        self.refill()
        while self.to_guest:
            try:
                done = self.port.send(self.to_guest[0])
            except BlockingIOError:
                return
            except OSError:  # nobody takes it any more; what the guest said before can still be read, and the end after it
                self.to_guest.clear()
                self.sending = None
                return
            if done < len(self.to_guest[0]):
                self.to_guest[0] = self.to_guest[0][done:]
                return
            self.to_guest.popleft()
            self.refill()

    # Receiving

    def read_port(self):
        try:
            data = self.port.recv(1 << 17)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.port_closed = True
            return
        try:
            for kind, stream, payload in self.decoder.feed(data):
                self.take(kind, stream, payload)
        except (ValueError, struct.error) as error:
            raise Failure(f"{error}") from error

    def take(self, kind, stream, payload):
        if kind == frames.HELLO and not self.greeted:
            if frames.U32.unpack(payload)[0] != frames.VERSION:
                raise Failure("build/run.cpio is of another version than quire: make it again")
            self.greeted, self.sending = True, self.request()
        elif kind == frames.DATA and stream in self.outputs:
            if self.outputs[stream].closed:
                return
            self.outputs[stream].waiting.append(payload)
        elif kind == frames.END and stream in self.outputs:
            pass  # the caller sees it when quire ends
        elif kind == frames.ACK and stream == 0:
            self.credit += frames.U32.unpack(payload)[0]
        elif kind == frames.CLOSED and stream == 0:
            self.close_input()
        elif kind == frames.EXIT:
            self.result = frames.U32.unpack(payload)[0]
        elif kind == frames.ERROR:
            self.result = (frames.U32.unpack_from(payload)[0], payload[4:].decode(errors="replace"))
        else:
            raise ValueError("the guest does not speak the launcher's protocol")

    def close_input(self):
        """Whoever writes to our standard input is told, if it is a pipe, that nobody reads."""
        if self.input_open:
            self.input_open = False
            if not self.terminal:
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.close(null)

    # The caller's streams

    def read_input(self):
        try:
            data = os.read(0, min(self.credit, frames.CHUNK))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self.credit -= len(data)
            self.send(frames.DATA, 0, data)
            return
        self.input_open = False
        self.send(frames.END, 0)
        if self.terminal:
            self.send(frames.SIGNAL, 0, frames.SIGNAL_PAYLOAD.pack(signal.SIGHUP, 1))

    def write_output(self, stream):
        done = self.outputs[stream].write()
        if done is None:
            self.send(frames.CLOSED, stream)
        elif done:
            self.send(frames.ACK, stream, frames.U32.pack(done))

    def take_signal(self, number):
        if number == signal.SIGWINCH:
            if self.started and self.terminal:
                self.send(frames.SIZE, 0, frames.SCREEN.pack(*Terminal.size()))
        elif number == signal.SIGCONT:
            if self.started and self.terminal:
                self.terminal.raw()
        elif number in GROUP_SIGNALS + OWN_SIGNALS:
            self.forward(number)

    def forward(self, number):
        now = time.monotonic()
        if number in IMPATIENT:
            self.impatience = [*(t for t in self.impatience if now - t < PATIENCE), now]
        if not self.started or len(self.impatience) >= 3:
            raise Stopped(128 + number)
        self.send(frames.SIGNAL, 0, frames.SIGNAL_PAYLOAD.pack(number, number in GROUP_SIGNALS))

    # The loop

    def poll(self):
        """Wait for something; the descriptors and what they are ready for."""
        p = select.poll()
        p.register(self.port, select.POLLIN | (select.POLLOUT if self.to_guest or self.sending else 0))
        p.register(self.signals.reader, select.POLLIN)
        if self.started and self.input_open and self.credit:
            p.register(0, select.POLLIN)
        for stream, output in self.outputs.items():
            if output.waiting:
                p.register(stream, select.POLLOUT)
        ends = [end for end in (self.deadline, None if self.greeted else self.boot_deadline) if end is not None]
        return dict(p.poll(max(0, min(ends) - time.monotonic()) * 1000 if ends else None))

    def turn(self):
        ready = self.poll()
        if self.signals.reader in ready:
            for number in self.signals.take():
                self.take_signal(number)
        for stream in self.outputs:
            if stream in ready and self.outputs[stream].waiting:
                self.write_output(stream)
        if 0 in ready and self.input_open:
            self.read_input()
        events = ready.get(self.port.fileno(), 0)
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self.read_port()
        if self.to_guest or self.sending:
            self.write_port()
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise Stopped(TIMEOUT_STATUS)
        if not self.greeted and time.monotonic() >= self.boot_deadline:
            raise NoAnswer

    def is_over(self):
        """The guest has said all, or will not say anything any more; and the caller has it."""
        return (self.result is not None or self.port_closed) and not any(o.waiting for o in self.outputs.values())

    def run(self):
        """Until the command has ended: its wait status, or (exit status, text), or None if the machine stopped before. Stopped, Failure."""
        self.signals = Signals((*GROUP_SIGNALS, *OWN_SIGNALS, signal.SIGWINCH, signal.SIGCONT))
        try:
            while not self.is_over():
                self.turn()
                if self.port_closed and not self.is_over():
                    self.drain()
            return self.result
        finally:
            if self.terminal:
                self.terminal.restore()
            self.signals.close()

    def drain(self):
        """The machine has gone; what it said before goes to its readers."""
        for stream, output in self.outputs.items():
            while output.waiting:
                p = select.poll()
                p.register(stream, select.POLLOUT)
                p.poll()
                output.write()

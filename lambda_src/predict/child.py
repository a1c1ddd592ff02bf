"""A forked process, and whole messages between it and its parent.

multiprocessing does the same. It is not used because each cold start would wait for its import (benchmarks/README.md).
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable

_LENGTH = struct.Struct("!Q")
_SMALL = 16_384  # bytes, which are copied


class Messages:
    """One end of a pair of sockets. Its methods raise EOFError or OSError where nobody is at the other end."""

    def __init__(self, end: socket.socket):
        self._socket = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, message: bytes | memoryview) -> None:
        length = _LENGTH.pack(len(message))
        if len(message) <= _SMALL:  # at once, so that the other end wakes up once
            self._socket.sendall(length + message)
        else:
            self._socket.sendall(length)
            self._socket.sendall(message)

    def receive(self, most: int | None = None) -> bytes:
        """The next message. Raises OSError for one of more than `most` bytes."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if most is not None and length > most:
            raise OSError(f"a message of {length} bytes, and at most {most} are taken")
        return self._exactly(length)

    def wait(self, seconds: float) -> bool:
        """Whether a message begins, or the other end closes, within so many seconds."""
        return bool(self._poll.poll(max(0.0, seconds) * 1000))

    def _exactly(self, count: int) -> bytes:
        read = bytearray(count)
        left = memoryview(read)
        while left:
            received = self._socket.recv_into(left)
            if not received:
                raise EOFError("the other end is closed")
            left = left[received:]
        return bytes(read)

    def close(self) -> None:
        self._socket.close()


class Child:
    """A process that runs `work` with its end of the messages, and ends when that returns.

    `pid`: its process id. `messages`: its parent's end. Raises OSError where the system allows no more processes.
    """

    def __init__(self, work: Callable[[Messages], None]):
        ours, theirs = socket.socketpair()
        try:
            self.pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                work(Messages(theirs))
                code = 0
            finally:
                os._exit(code)  # nothing of the parent's is run to its end here
        theirs.close()  # so that the child's death reads as the end of file
        self.messages = Messages(ours)
        self._exit_code: int | None = None

    def exit_code(self, seconds: float = 0.0) -> int | None:
        """How it ended within so many seconds, a signal's number negative; None while it runs."""
        end = time.monotonic() + seconds
        while self._exit_code is None:
            self._reap(os.WNOHANG)
            if time.monotonic() >= end:
                break
            time.sleep(0.001)
        return self._exit_code

    def end(self) -> None:
        """End it, whatever it does. A second time does nothing."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._reap(0)
        self.messages.close()

    def _reap(self, options: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:  # somebody else has waited for it
            self._exit_code = 1
        else:
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)

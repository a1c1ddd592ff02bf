"""Decode strangers' images in a process of their own.

Image decoders are C code that reads whatever it is sent. In a child process a picture that takes forever can be given
up in time for an answer, one that wants too much memory meets a limit of ours before it meets Lambda's, and one that
crashes the decoder takes neither the model nor the request with it. The child is forked before the model is loaded and
before there are threads, and reused; it alone imports Pillow. A file's bytes go in through a socket, and the network's
input comes out in memory that both share; nothing is unpickled.
"""

import contextlib
import ctypes
import gc
import json
import math
import mmap
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .child import Child, Messages
from .errors import NO_MEMORY, STATUS, PredictionError, failure
from .fitting import DEFAULT, Fitting

_MEGABYTE = 1 << 20
_PARENT_MEGABYTES = 450  # the function without the child, model included: 263 MB measured, the rest is margin
_LEAST_MEGABYTES = 64
_USUAL_MEGABYTES = 1300  # 50 million pixels of WebP with transparency need about 1,000
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_SHARED_BYTES = _MEGABYTE  # the usual input takes 150,528, the largest 786,432 (fitting.MAX_SIDE)
# What the parent says: an image comes soon; an image comes next, to be fitted as the rest of the message has it.
_SOON, _IMAGE = b"s", b"i"
_AWAKE_SECONDS = 0.002
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

Buffer = bytes | memoryview


class Prepared(NamedTuple):
    """The network's input, and what is to be said of the picture that it was made of (`images.read`)."""

    batch: Buffer  # uint8 (1, 3, size, size), RGB
    partial: bool = False
    notes: tuple[str, ...] = ()

    @property
    def said(self) -> dict[str, Any]:
        """`partial` and `notes` where there is something to say: members of an answer and of a log line."""
        return ({"partial": True} if self.partial else {}) | ({"notes": list(self.notes)} if self.notes else {})


def memory_limit(environ: Mapping[str, str]) -> int:
    """How many bytes a decode may allocate: what Lambda's memory setting leaves beside the model."""
    megabytes = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if not megabytes.isdecimal():
        return _USUAL_MEGABYTES * _MEGABYTE
    return max(_LEAST_MEGABYTES, int(megabytes) - _PARENT_MEGABYTES) * _MEGABYTE


def network_input(data: bytes, fitting: Fitting = DEFAULT) -> Prepared:
    """What the child does with an image: what `images.network_input` and `images.read` do. Raises PredictionError."""
    from . import images  # there already: `_serve` imports it, and the parent never needs it

    decoded = images.read(data, enough=fitting.enough)
    return Prepared(images.prepare(decoded.image, fitting).cast("B"), decoded.partial, decoded.notes)


class DecoderProcess:
    """A child process that turns image files into the network's input; started when first used, replaced when it dies.

    `work` is what the child does with an image's bytes and the fitting, its batch a megabyte at most; `limit` the bytes
    that it may allocate for it.
    """

    def __init__(self, work: Callable[[bytes, Fitting], Prepared] = network_input, limit: int | None = None):
        self._work = work
        self._limit = limit
        self._lock = threading.Lock()
        self._child: tuple[Child, mmap.mmap] | None = None  # and the memory that both share

    @property
    def pid(self) -> int | None:
        """The child's process id, None where there is none."""
        return self._child[0].pid if self._child else None

    def prepare(self, data: bytes, max_seconds: float = 20.0, fitting: Fitting = DEFAULT) -> Prepared:
        """`images.network_input(data, fitting)`, made by the child, and whether all of the picture came.

        Raises PredictionError: those of `images.decode`; 422 `image_broken` when the decoder crashed; 504 `time_limit`
        after `max_seconds`.
        """
        end = time.monotonic() + max_seconds
        with self._lock:
            try:
                reply = self._ask(data, fitting, end)
            except (EOFError, OSError):
                # Once more: the child may have died of something else since the last image.
                self._stop()
                try:
                    reply = self._ask(data, fitting, end)
                except (EOFError, OSError):
                    if not self._child:  # none could be started, which the image has no part in
                        raise
                    raise self._crash(self._child[0]) from None
        if reply is None:
            raise failure("time_limit", f"the image did not decode within {max_seconds:.1f} s: send a smaller image")
        if isinstance(reply, dict):
            raise PredictionError(reply["code"], STATUS[reply["code"]], reply["message"], reply["detail"])
        side = math.isqrt(len(reply.batch) // 3)
        return reply._replace(batch=memoryview(reply.batch).cast("B", (1, 3, side, side)))

    def _ask(self, data: bytes, fitting: Fitting, end: float) -> Prepared | dict[str, str] | None:
        """What the child made of the image, or the members of its refusal; None when it said nothing in time.

        Raises EOFError or OSError when the child died.
        """
        messages, shared = self._running()
        messages.send(_IMAGE + json.dumps(fitting).encode())
        messages.send(data)
        if not messages.wait(end - time.monotonic()):
            self._stop()
            return None
        said = json.loads(messages.receive(_MEGABYTE))
        if "code" in said:
            return said
        # a copy, for the next one overwrites it
        return Prepared(shared[: said["bytes"]], said["partial"], tuple(said["notes"]))

    def expect(self) -> None:
        """Tell the child that an image comes within a millisecond or two, so that it is awake by then.

        What goes wrong here `prepare` will meet, too, and deals with.
        """
        with self._lock, contextlib.suppress(OSError):
            self._running()[0].send(_SOON)

    def start(self) -> None:
        """Start the child unless it runs, as the first use would: better before the program has threads."""
        with self._lock:
            self._running()

    def stop(self) -> None:
        """End the child. The next use starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> tuple[Messages, mmap.mmap]:
        if self._child and self._child[0].exit_code() is not None:
            self._stop()
        if not self._child:
            shared = mmap.mmap(-1, _SHARED_BYTES)
            limit = memory_limit(os.environ) if self._limit is None else self._limit
            self._child = Child(lambda messages: _serve(messages, shared, self._work, limit)), shared
        return self._child[0].messages, self._child[1]

    def _crash(self, child: Child) -> PredictionError:
        exit_code = child.exit_code(1.0)
        self._stop()
        if exit_code == -signal.SIGKILL:  # the system's answer to a lack of memory
            return failure("image_too_large", NO_MEMORY)
        return failure(
            "image_broken",
            "the image is damaged and crashes its decoder: save it again",
            f"decoder exited with {exit_code}",
        )

    def _stop(self) -> None:
        if self._child:
            child, shared = self._child
            child.end()
            shared.close()
        self._child = None


SHARED = DecoderProcess()


def _serve(messages: Messages, shared: mmap.mmap, work: Callable[[bytes, Fitting], Prepared], limit: int) -> None:
    """What the child does until its parent is gone."""
    gc.disable()  # what is imported stays
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if hasattr(libc, "mallopt"):  # what one usual picture took is kept for the next: 500 page faults take 0.6 ms
        libc.mallopt(_M_TRIM_THRESHOLD, 16 * _MEGABYTE)
        libc.mallopt(_M_MMAP_THRESHOLD, 8 * _MEGABYTE)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # libtiff writes its warnings to stderr; the parent's pipes are not the child's to hold
        os.dup2(nowhere, standard)
    from . import images  # noqa: F401  here alone, so that the parent need not wait for Pillow, and before memory is short

    gc.enable()  # without `gc.freeze`: decoding took 0.3 ms longer with it
    _limit_memory(limit)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            said = messages.receive()
            if said.startswith(_IMAGE):
                fitting = Fitting(*json.loads(said.removeprefix(_IMAGE)))
                messages.send(json.dumps(_reply(messages.receive(), fitting, shared, work)).encode())
            else:  # to fall asleep and wake up again would take longer than what is waited for
                until = time.monotonic() + _AWAKE_SECONDS
                while time.monotonic() < until and not messages.wait(0):
                    pass


def _limit_memory(limit: int) -> None:
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + limit, in_use + limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a decoder has nothing to write


def _reply(
    data: bytes, fitting: Fitting, shared: mmap.mmap, work: Callable[[bytes, Fitting], Prepared]
) -> dict[str, Any]:
    """How many bytes of a batch `shared` now begins with and what is said of it, or why there are none."""
    try:
        made = work(data, fitting)
        shared[: len(made.batch)] = made.batch
        return {"bytes": len(made.batch), "partial": made.partial, "notes": made.notes}
    except MemoryError:
        problem = failure("image_too_large", NO_MEMORY)
    except PredictionError as refused:
        problem = refused
    return {"code": problem.code, "message": problem.message, "detail": problem.detail}

"""Decode strangers' images in a process of their own.

Image decoders are C code that reads whatever it is sent. In a child process a picture that takes forever can be given
up in time for an answer, one that wants too much memory meets a limit of ours before it meets Lambda's, and one that
crashes the decoder takes neither the model nor the request with it. The child is forked before the model is loaded and
before there are threads, and reused; it alone imports Pillow. Bytes go in and bytes come out, nothing is unpickled.
"""

import contextlib
import ctypes
import json
import math
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from errors import STATUS, PredictionError, error

_MEGABYTE = 1 << 20
_PARENT_MEGABYTES = 450  # the function without the child, model included: 263 MB measured, the rest is margin
_LEAST_MEGABYTES = 64
_USUAL_MEGABYTES = 1300  # 50 million pixels of WebP with transparency need about 1,000
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def memory_limit(environ: Mapping[str, str]) -> int:
    """How many bytes a decode may allocate: what Lambda's memory setting leaves beside the model."""
    megabytes = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    if not megabytes.isdecimal():
        return _USUAL_MEGABYTES * _MEGABYTE
    return max(_LEAST_MEGABYTES, int(megabytes) - _PARENT_MEGABYTES) * _MEGABYTE


def network_input(data: bytes) -> bytes:
    """What the child does with an image: `images.network_input(data)` as bytes. Raises PredictionError."""
    import images  # there already: `_serve` imports it, and the parent never needs it

    return images.network_input(data).tobytes()


class DecoderProcess:
    """A child process that turns image files into the network's input; started when first used, replaced when it dies.

    `work` is what the child does with an image's bytes, `limit` the bytes that it may allocate for it.
    """

    def __init__(self, work: Callable[[bytes], bytes] = network_input, limit: int | None = None):
        self._work = work
        self._limit = limit
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, None where there is none."""
        return self._process.pid if self._process else None

    def prepare(self, data: bytes, max_seconds: float = 20.0) -> memoryview:
        """`images.network_input(data)`, made by the child: float32 (1, 3, 224, 224), RGB, 0 to 255.

        Raises PredictionError: those of `images.decode`; 422 `image_broken` when the decoder crashed; 504 `time_limit`
        after `max_seconds`.
        """
        end = time.monotonic() + max_seconds
        with self._lock:
            try:
                reply = self._ask(data, end)
            except (EOFError, OSError):
                # Once more: the child may have died of something else since the last image.
                self._stop()
                try:
                    reply = self._ask(data, end)
                except (EOFError, OSError):
                    raise self._crash() from None
        if reply is None:
            raise error("time_limit", f"the image did not decode within {max_seconds:.1f} s")
        outcome, content = reply[:1], reply[1:]
        if outcome == b"-":
            refused = json.loads(content)
            raise PredictionError(refused["code"], STATUS[refused["code"]], refused["message"], refused["detail"])
        side = math.isqrt(len(content) // 12)  # three planes of float32
        return memoryview(content).cast("f", (1, 3, side, side))

    def _ask(self, data: bytes, end: float) -> bytes | None:
        """The child's reply; None when there was none in time. Raises EOFError or OSError when the child died."""
        connection = self._running()
        connection.send_bytes(data)
        if not connection.poll(max(0.0, end - time.monotonic())):
            self._stop()
            return None
        return connection.recv_bytes(maxlength=_MEGABYTE)

    def start(self) -> None:
        """Start the child unless it runs, as the first use would: better before the program has threads."""
        with self._lock:
            self._running()

    def stop(self) -> None:
        """End the child. The next use starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> Connection:
        if self._process and not self._process.is_alive():
            self._stop()
        if not self._process:
            context = multiprocessing.get_context("fork")
            ours, theirs = context.Pipe()
            limit = memory_limit(os.environ) if self._limit is None else self._limit
            process = context.Process(
                target=_serve, args=(theirs, ours, self._work, limit), name="image-decoder", daemon=True
            )
            process.start()
            theirs.close()  # so that the child's death reads as the end of file
            self._process, self._connection = process, ours
        return self._connection

    def _crash(self) -> PredictionError:
        self._process.join(1)
        exit_code = self._process.exitcode
        self._stop()
        if exit_code == -signal.SIGKILL:  # the system's answer to a lack of memory
            return error("image_too_large", "the image needs more memory to decode than there is")
        return error("image_broken", "the image crashes its decoder: it is damaged", f"decoder exited with {exit_code}")

    def _stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._connection.close()
        self._process = self._connection = None


SHARED = DecoderProcess()


def _serve(connection: Connection, parents_end: Connection, work: Callable[[bytes], bytes], limit: int) -> None:
    """What the child does until its parent is gone."""
    parents_end.close()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # libtiff writes its warnings to stderr; the parent's pipes are not the child's to hold
        os.dup2(nowhere, standard)
    import images  # noqa: F401  here alone, so that the parent need not wait for Pillow, and before memory is short

    _limit_memory(limit)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            connection.send_bytes(_reply(connection.recv_bytes(), work))


def _limit_memory(limit: int) -> None:
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + limit, in_use + limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a decoder has nothing to write


def _reply(data: bytes, work: Callable[[bytes], bytes]) -> bytes:
    try:
        return b"+" + work(data)
    except MemoryError:
        problem = error("image_too_large", "the image needs more memory to decode than there is")
    except PredictionError as refused:
        problem = refused
    return b"-" + json.dumps({"code": problem.code, "message": problem.message, "detail": problem.detail}).encode()

"""Requests in the background while a version changes, and which version answered each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

import requests

from workshop.client import endpoint
from workshop.lab import Lab
from workshop.samples import sample_path


@dataclass(frozen=True)
class Answered:
    """One request: when it was sent (seconds since the traffic began), its status (0 for none), the version."""

    at: float
    status: int
    version: str


class Traffic:
    """One picture over and over, `rate` requests a second, each in a thread of its own; `with` begins and ends it.

    Where the endpoint is slower than that, at most `at_once` requests are under way.
    """

    def __init__(self, lab: Lab, rate: float = 4.0, sample: str = "church", at_once: int = 2) -> None:
        self.endpoint, self.rate, self.picture = endpoint(lab), rate, sample_path(sample).read_bytes()
        self.answered: list[Answered] = []
        self._ending, self._free = threading.Event(), threading.Semaphore(at_once)
        self._threads: list[threading.Thread] = []

    @property
    def seconds(self) -> float:
        """Seconds since the traffic began."""
        return time.monotonic() - self._began

    def wait_for(self, more: int, seconds: float = 120.0) -> None:
        """Wait until so many more requests are answered. Raises TimeoutError."""
        wanted, end = len(self.answered) + more, time.monotonic() + seconds
        while len(self.answered) < wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.answered)} of {wanted} requests were answered in {seconds:.0f} s")
            self._ending.wait(0.1)

    def by_version(self) -> Counter[tuple[int, str]]:
        """The number of answers by status and version."""
        return Counter((one.status, one.version) for one in self.answered)

    def __enter__(self) -> Traffic:
        self._began = time.monotonic()
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._sender.join()
        for thread in self._threads:
            thread.join(60)

    def _send(self) -> None:
        due = self._began
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / self.rate, time.monotonic())
            with self._free:
                pass
            self._threads.append(threading.Thread(target=self._ask, daemon=True))
            self._threads[-1].start()

    def _ask(self) -> None:
        with self._free:
            at = self.seconds
            try:
                to, headers = self.endpoint, {"Content-Type": "image/jpeg"}
                answer = requests.post(to.url, self.picture, headers=headers, auth=to.auth, timeout=60)
                one = Answered(at, answer.status_code, answer.headers.get("X-Version", ""))
            except requests.RequestException:
                one = Answered(at, 0, "")
            self.answered.append(one)

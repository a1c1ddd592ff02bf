"""The Predict function in a process of its own, with nothing of the outside in reach, and an eye on what it tries.

Lambda runs it so: one process, one request at a time, for as long as it lives. What it would fetch comes from a server
here; what its resolver says is decided here; connections to anywhere else fail and are held against it.
"""

import contextlib
import ipaddress
import json
import multiprocessing
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "s3cr3t"  # in every place that must not be logged: user info, query strings, headers
HOST, HOST_ADDRESS = "images.test", "127.0.0.77"  # the only host that may be private
PORT = "PORT"  # stands for the server's port in an event
_SECONDS = 60.0  # after which a worker counts as hanging; its own limit is 29
NAMES = {
    HOST: [HOST_ADDRESS],
    "public.test": ["93.184.215.14", "2606:2800:21f:cb07::1"],
    "inside.test": ["10.0.0.1"],
    "both.test": ["93.184.215.14", "127.0.0.1"],
    "rebind.test": ["93.184.215.14"],  # the first time; then the function's own machine
    "localhost": ["127.0.0.1", "::1"],
    "metadata.test": ["fd00:ec2::254"],
    "nat64.test": ["64:ff9b::a9fe:a9fe"],
}


@dataclass
class Outcome:
    """What an event came to. `faults` says what is wrong with it, if anything; `log` is the function's own log line."""

    response: dict[str, Any] | None
    log: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def status(self) -> int:
        return self.response["statusCode"] if self.response else 0

    @property
    def code(self) -> str:
        return self.log.get("code", "none")


class Worker:
    """A running function. `model` is a folder with a model's files and manifest."""

    def __init__(self, model: Path):
        self._model = model
        self.crashes = 0
        self.answers: dict[str, bytes] = {}  # what the server sends, by path; what is not here is a 404
        self._listener = socket.create_server((HOST_ADDRESS, 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, self._model))
        self._process.start()
        theirs.close()

    def ask(self, event: Any, seconds: float = 29.0) -> Outcome:
        """One request with so many seconds left. A worker that dies or hangs is counted and replaced."""
        begun = time.monotonic()
        try:
            self._connection.send((event, seconds))
            if not self._connection.poll(_SECONDS):
                self._process.kill()
                raise TimeoutError(f"no answer in {_SECONDS} s")
            response, lines, faults = self._connection.recv()
        except (EOFError, OSError) as problem:
            self._process.join(5)
            self.crashes += 1
            fault = f"the worker died ({self._process.exitcode}): {problem!r}"
            self._start()
            return Outcome(None, faults=[fault], seconds=time.monotonic() - begun)
        log, more = checked_lines(lines, response)
        return Outcome(response, log, faults + more, time.monotonic() - begun)

    def usage(self) -> dict[str, int]:
        """The worker's own resources, and its decoder's resident memory (0 where none runs)."""
        self._connection.send("usage")
        return self._connection.recv()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        self._process.kill()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(0.3)
                request = b""
                while b"\r\n\r\n" not in request and (received := connection.recv(65536)):
                    request += received
                path = request.partition(b" ")[2].partition(b" ")[0].decode("latin-1").partition("?")[0]
                connection.sendall(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


def checked_lines(text: str, response: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The request's log line, and what is wrong with what the function printed."""
    faults, requests = [], []
    if SECRET in text:
        faults.append("a secret was logged")
    for line in filter(str.strip, text.split("\n")):  # as Lambda does: other characters end no line
        try:
            content = json.loads(line)
        except ValueError:
            faults.append(f"printed what is not JSON: {line[:200]!r}")
            continue
        if content.get("message") == "request":
            requests.append(content)
    if [line["status"] for line in requests] != [response["statusCode"]]:
        faults.append(f"one log line with the answer's status was expected, got {len(requests)}")
    return requests[0] if requests else {}, faults


# --- in the worker ---------------------------------------------------------------------------------


class _Outside:
    """The resolver and the network as the function sees them."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._may_connect: list[None] = []  # one for each time that the name was resolved; several threads ask
        self._resolve, self._connect = socket.getaddrinfo, socket.socket.connect
        self._times: dict[str, int] = {}
        socket.getaddrinfo = self.getaddrinfo
        outside = self

        def connect(sock: socket.socket, address: Any) -> None:
            outside.connect(sock, address)

        socket.socket.connect = connect

    def getaddrinfo(self, host: Any, port: Any, *arguments: Any, **options: Any) -> list:
        name = host.decode("ascii") if isinstance(host, bytes) else host
        if name == HOST:
            self._may_connect.append(None)
        addresses = NAMES.get(name)
        if name == "rebind.test":
            self._times[name] = self._times.get(name, 0) + 1
            addresses = addresses if self._times[name] % 2 else ["127.0.0.1"]
        if addresses is None:  # numbers, in all the forms that the system takes; no name is looked up
            options["flags"] = socket.AI_NUMERICHOST
            return self._resolve(host, port, *arguments[:3], **options)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    def connect(self, sock: socket.socket, address: Any) -> None:
        if address[0] == HOST_ADDRESS and self._may_connect:
            self._may_connect.pop()  # the next hop must resolve the name again
            self._connect(sock, address)
            return
        number = ipaddress.ip_address(address[0])
        inside = [number, getattr(number, "ipv4_mapped", None), getattr(number, "sixtofour", None)]
        if number in ipaddress.ip_network("64:ff9b::/96"):
            inside.append(ipaddress.ip_address(int(number) & 0xFFFFFFFF))
        if not all(each.is_global and not each.is_multicast for each in inside if each):
            self.faults.append(f"connected to {address}")
        raise OSError(101, "Network is unreachable")


class _Printed:
    """Standard output, kept until it is taken."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        self._parts.append(text)

    def flush(self) -> None:
        pass

    def take(self) -> str:
        text = "".join(self._parts)
        self._parts.clear()
        return text


class _Context:
    function_name = "fuzzed"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:fuzzed"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._end - time.monotonic()) * 1000))


def resident(pid: int | str) -> int:
    """Resident bytes of a process; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _run(connection: Any, model: Path) -> None:
    os.environ |= {
        "MODEL_STORE_BUCKET_NAME": "store",
        "MODEL_STORE_PREFIX": "models/fuzzed",
        "MODEL_PARAMS_FILE_NAME": "model-0000.params",
        "MODEL_SYMBOL_FILE_NAME": "model-symbol.json",
        "MODEL_SYNSET_FILE_NAME": "model-synset.txt",
        "ALLOWED_PRIVATE_HOSTS": os.environ.get("FUZZ_ALLOW", HOST),  # the fuzzer's own tests allow more
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "OMP_NUM_THREADS": "1",  # that memory comes with one core, and waiting threads would take from other programs
    }
    from predict import model_store

    model_store.get_from_s3 = lambda bucket, seconds: lambda key: (model / key.rpartition("/")[2]).read_bytes()
    from predict import (
        decoder,
        entry,  # as Lambda does: it begins to load the model
        lambda_function,
    )

    outside, printed = _Outside(), _Printed()
    lambda_function.logger.registered_handler.stream = printed
    with contextlib.redirect_stdout(printed):
        while (task := connection.recv()) is not None:
            if task == "usage":
                connection.send(
                    {
                        "resident": resident("self"),
                        "decoder_resident": resident(decoder.SHARED.pid or 0),
                        "threads": threading.active_count(),
                        "files": len(list(Path("/proc/self/fd").iterdir())),
                    }
                )
                continue
            event, seconds = task
            response = entry.lambda_handler(event, _Context(seconds))
            faults, outside.faults = outside.faults, []
            connection.send((response, printed.take(), faults))

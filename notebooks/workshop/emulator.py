"""AWS on this machine: MiniStack, started with IAM enforced on the loopback address, and stopped again.

    python -m workshop.emulator start|stop|status [--port 4566]

It keeps everything in memory: stopping it deletes every stack, bucket and role of the local target.
Its log is `.emulator/<port>/emulator.log`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from workshop import ROOT, UserError, emulator_record
from workshop.emulator_record import HOST, is_taken

DEFAULT_PORT = 4566
SERVICES = (
    "s3",
    "iam",
    "sts",
    "cloudformation",
    "lambda",
    "apigateway",
    "logs",
    "monitoring",
    "states",
    "sqs",
    "events",
)
ENVIRONMENT = ROOT / ".venv-emulator"
PROGRAM = Path(__file__).with_name("amended_emulator.py")


class EmulatorError(UserError):
    """What is in the way, and what to do about it, in one line."""


def endpoint(port: int) -> str:
    """The URL at which the emulator of `port` answers."""
    return f"http://{HOST}:{port}"


def port_of(url: str | None) -> int:
    """The port of an endpoint URL, or the default one when there is none."""
    return (urlsplit(url).port if url else None) or DEFAULT_PORT


def health(port: int, timeout: float = 2.0) -> dict | None:
    """What MiniStack says of itself at `port`, or None when it is not there (or something else is)."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", "/_ministack/health")
        answer = json.loads(connection.getresponse().read(65536))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and "services" in answer and "auth" in answer else None


def free_port() -> int:
    """A port that nothing listens at now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Emulator:
    """The emulator of one port and one folder for its state (process id, log, temporary files)."""

    def __init__(self, port: int = DEFAULT_PORT, folder: Path | None = None) -> None:
        if not 1 <= port <= 65535:
            raise EmulatorError(f"port {port} is not valid: 1 to 65535")
        self.port = port
        self.folder = folder or emulator_record.FOLDER / str(port)
        self.log = self.folder / "emulator.log"
        self.temporary = self.folder / "tmp"
        self._record = self.folder / emulator_record.RECORD

    @property
    def endpoint(self) -> str:
        return endpoint(self.port)

    def _settings(self) -> dict[str, str]:
        """Its whole environment. Nothing of the user's AWS_* or PYTHONPATH may reach it or its Lambda workers."""
        return {
            "PATH": os.pathsep.join([str(ENVIRONMENT / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self.temporary),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
            "AUTH": "true",
            "BIND_HOST": HOST,  # it listens on every interface otherwise
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": HOST,
            "SERVICES": ",".join(SERVICES),
            "S3_DATA_DIR": str(self.temporary / "s3"),
            "STATE_DIR": str(self.temporary / "state"),
            "DOCKER_HOST": f"unix://{self.temporary}/no-docker.sock",  # workers are processes, never containers
        }

    def _fingerprint(self) -> str:
        lock = (ROOT / "requirements-emulator.txt").read_bytes()
        settings = json.dumps(self._settings(), sort_keys=True).encode()
        return hashlib.sha256(lock + PROGRAM.read_bytes() + settings).hexdigest()

    def _recorded(self) -> dict | None:
        """The record of an emulator of ours that still lives, else None."""
        return emulator_record.living(self._record)

    def is_running(self) -> bool:
        """Whether an emulator that this folder started lives and answers."""
        return self._recorded() is not None and health(self.port) is not None

    def start(self, timeout: float = 60.0) -> str:
        """Start it unless it runs, wait until it answers, and return its endpoint.

        Raises EmulatorError when its environment is missing, the port is taken, or it does not come up in `timeout` s.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            record = self._recorded()
            if record:
                if record["fingerprint"] == self._fingerprint() and health(self.port, timeout=10):
                    return self.endpoint
                print("The emulator runs with other settings, or hangs: starting it again, empty.", file=sys.stderr)
            self._stop(record)
            if is_taken(self.port):
                who = "another emulator" if health(self.port) else "another program"
                raise EmulatorError(
                    f"port {self.port} is taken by {who} that this folder did not start: stop that, or use another "
                    f"port: `make deploy PORT={self.port + 1}`"
                )
            make_environment()
            return self._launch(timeout)

    def _launch(self, timeout: float) -> str:
        self.temporary.mkdir(parents=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [ENVIRONMENT / "bin" / "python", "-P", PROGRAM],
                env=self._settings(),
                cwd=self.temporary,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own: its workers go with it
            )
        record: dict[str, Any] = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        record |= {"port": self.port, "fingerprint": self._fingerprint()}
        self._record.write_text(json.dumps(record), encoding="utf-8")
        deadline = time.monotonic() + timeout
        while health(self.port) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
                self._stop(record)
                raise EmulatorError(f"the emulator did not start: {said[-1]} (see {_shown(self.log)})")
            time.sleep(0.1)
        return self.endpoint

    def stop(self) -> bool:
        """Stop it and its workers and remove their files; returns whether it ran."""
        if not self.folder.exists():
            return False
        with self._alone():
            record = self._recorded()
            self._stop(record)
            return record is not None

    def _stop(self, record: dict | None) -> None:
        if record:
            process = emulator_record.process_of(record)
            for number in (signal.SIGTERM, signal.SIGKILL):
                # Workers do not all heed the first signal; the group lives as long as one of them does.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(record["pid"], number)
                with contextlib.suppress(psutil.Error):
                    if process:
                        process.wait(5)
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self.temporary, ignore_errors=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two starts at once, of the same port, come one after the other."""
        with (self.folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def make_environment() -> None:
    """Make `.venv-emulator` when it is missing or its lock has changed. Raises EmulatorError."""
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "setup.py", "emulator"], stderr=subprocess.PIPE, text=True, check=False
    )
    if result.returncode:
        raise EmulatorError(result.stderr.strip() or "the emulator's environment could not be made")


def start(port: int | None = None) -> str:
    """Have an emulator running and return its endpoint.

    `port` defaults to that of AWS_ENDPOINT_URL, then to 4566. An emulator that AWS_ENDPOINT_URL names and that enforces
    IAM is used as it is, whoever started it. AWS_ENDPOINT_URL is set to the endpoint for what this process starts next.
    """
    named = os.environ.get("AWS_ENDPOINT_URL")
    if port is None and named:
        from workshop.lab import check_loopback

        port = port_of(check_loopback(named))
        answer = health(port)
        if answer and answer["auth"] == "enabled":
            return endpoint(port)
    url = Emulator(DEFAULT_PORT if port is None else port).start()
    os.environ["AWS_ENDPOINT_URL"] = url
    return url


def stop(port: int | None = None) -> list[int]:
    """Stop the emulator of `port`, or every one that this folder started; returns the ports stopped."""
    if port is None:
        ports = sorted(int(path.name) for path in emulator_record.FOLDER.glob("[0-9]*"))
    else:
        ports = [port]
    return [number for number in ports if Emulator(number).stop()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="workshop.emulator", description="AWS on this machine.")
    parser.add_argument("command", choices=["start", "stop", "status"])
    parser.add_argument("--port", type=int, help=f"default {DEFAULT_PORT}; stop: every one that this folder started")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "stop":
            stopped = stop(chosen.port)
            print(f"Stopped: {', '.join(map(endpoint, stopped))}" if stopped else "No emulator of this folder runs.")
            return 0
        emulator = Emulator(DEFAULT_PORT if chosen.port is None else chosen.port)
        if chosen.command == "start":
            print(f"The emulator answers at {emulator.start()} (log: {_shown(emulator.log)})")
            return 0
        running = emulator.is_running()
        print(f"{emulator.endpoint}: {'running' if running else 'not running'}")
        return 0 if running else 3
    except EmulatorError as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""The records of the emulators that this folder started: `.emulator/<port>/emulator.json`."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workshop import ROOT

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
FOLDER = ROOT / ".emulator"
RECORD = "emulator.json"


def is_taken(port: int) -> bool:
    """Whether anything listens at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def process_of(record: dict[str, Any]) -> psutil.Process | None:
    """The process of a record while it lives: its pid alone may have become another's."""
    import psutil  # not above: the pipeline's build has no psutil, and imports `lab`

    try:
        process = psutil.Process(record["pid"])
        same = process.create_time() == record["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None


def living(file: Path) -> dict[str, Any] | None:
    """The record in `file` while its emulator lives; None where there is none, or it has ended."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        return record if process_of(record) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def running_ports(folder: Path | None = None) -> list[int]:
    """The ports of this folder's emulators that live and listen, in order."""
    records = map(living, (folder or FOLDER).glob(f"*/{RECORD}"))
    ports = (record.get("port") for record in records if record)
    return sorted(port for port in ports if type(port) is int and 0 < port < 65536 and is_taken(port))


def on_another_port(port: int | None) -> str:
    """The end of a message that nothing answers at `port`: the port that this folder's emulator has; or ""."""
    others = [other for other in running_ports() if other != port]
    if not others:
        return ""
    run = "emulator runs on port" if len(others) == 1 else "emulators run on ports"
    named = " and ".join(map(str, others))
    return f"; this folder's {run} {named}: give the command {' or '.join(f'PORT={other}' for other in others)}"

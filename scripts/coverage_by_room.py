"""Branch coverage by room (folder), from the data that `make coverage` has taken: what is not tried shows first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def by_room(files: dict[str, dict]) -> dict[str, tuple[int, int]]:
    """(what was taken, what there is) by folder: statements and branches together, as coverage.py counts them."""
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in files.items():
        found = file["summary"]
        room = rooms[str(Path(name).parent)]
        room[0] += found["covered_lines"] + found["covered_branches"]
        room[1] += found["num_statements"] + found["num_branches"]
    return {room: (taken, there) for room, (taken, there) in rooms.items()}


def main() -> None:
    command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"]
    report = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    rooms = by_room(report["files"])
    rooms["together"] = (sum(taken for taken, _ in rooms.values()), sum(there for _, there in rooms.values()))
    for room, (taken, there) in rooms.items():
        print(f"{taken / max(there, 1):6.1%}  {there:6,}  {room}")


if __name__ == "__main__":
    main()

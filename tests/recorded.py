"""What a notebook's kernel sent while JupyterLab ran it: nbval judges that, and the notebook runs once for both.

`Recording` listens beside JupyterLab to the kernel that it started. `Replay` is nbval's kernel afterwards: it runs
nothing, and hands nbval each message again, so that nbval's own comparison is made. A notebook of which there is no
recording (its test was not chosen, failed half way, or there is no browser) is run by nbval itself.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client import BlockingKernelClient

Message = dict[str, Any]
SHOWN = ("stream", "error", "display_data", "execute_result")
_recordings: dict[Path, list[Cell]] = {}


class Cell:
    """A piece of code that a kernel ran, and all messages that came of it, the last of them that it is idle."""

    def __init__(self, request: str, code: str, messages: list[Message]):
        self.request, self.code, self.messages = request, code, messages

    @property
    def problem(self) -> str:
        """Its error and its warnings, as a page shows them: each stretch of stderr, unless it is a progress bar."""
        found = []
        shown = [each for each in self.messages if each["msg_type"] in SHOWN]
        for name, group in itertools.groupby(shown, lambda each: each["content"].get("name", each["msg_type"])):
            contents = [each["content"] for each in group]
            if name == "error":
                found += ["\n".join(content["traceback"]) for content in contents]
            elif name == "stderr":
                text = "".join(content["text"] for content in contents).strip()
                found.append("" if re.search(r"\d+%\|", text) else text)
        return "\n".join(filter(None, found))


class Recording:
    """All that a kernel sends, from `start` to `stop`. `connection` is the kernel's connection file."""

    def __init__(self, connection: Path):
        self.client = BlockingKernelClient(connection_file=str(connection))
        self.messages: list[Message] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Recording:
        self.client.load_connection_file()
        self.client.start_channels(stdin=False, hb=False, control=False)
        self.client.wait_for_ready(timeout=60)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.client.stop_channels()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self.messages.append(self.client.get_iopub_msg(timeout=0.2))
            except Empty:
                continue

    def run(self, code: str, seconds: float) -> Cell:
        """Run more code in the kernel. Raises TimeoutError when it is not done in time."""
        before = len(self.messages)
        request = self.client.execute(code, store_history=False, allow_stdin=False, stop_on_error=False)
        deadline = time.monotonic() + seconds
        while True:
            for cell in cells_of(self.messages[before:]):
                if cell.request == request:
                    return cell
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done after {seconds} s: {json.dumps(code)}")
            time.sleep(0.1)

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until so many pieces of code have run, or one has failed. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while len(self.cells()) < count and not any(each["msg_type"] == "error" for each in list(self.messages)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count - len(self.cells())} cells are still to run after {seconds} s")
            time.sleep(1)

    def cells(self) -> list[Cell]:
        """What was run so far, in order; a cell that is not done is left out."""
        return cells_of(self.messages)

    def keep(self, notebook: Path, changes: Iterable[str] = ()) -> None:
        """From now on nbval judges this in place of a run of its own.

        `changes`: code of cells that ran last, once more. What came of it stands for what the notebook's cell of the
        same place sent: the first cell for the first, which had other parameters, and each other for one of its code.
        """
        cells = self.cells()
        if changes := list(changes):
            cells, (first, *others) = cells[: -len(changes)], cells[-len(changes) :]
            once_more = {cell.code: cell for cell in others}
            cells = [first, *(once_more.pop(cell.code, cell) for cell in cells[1:])]
            assert not once_more, f"JupyterLab did not run {json.dumps(next(iter(once_more)))}"
        _recordings[notebook.resolve()] = cells


def cells_of(messages: Iterable[Message]) -> list[Cell]:
    """Messages by the code that they came of. Others, such as those of widgets that a person moved, are dropped."""
    by_request: dict[str, list[Message]] = {}
    for message in list(messages):
        by_request.setdefault(message["parent_header"].get("msg_id", ""), []).append(message)
    found = []
    for request, group in by_request.items():
        codes = [each["content"]["code"] for each in group if each["msg_type"] == "execute_input"]
        last = group[-1]
        if codes and last["msg_type"] == "status" and last["content"]["execution_state"] == "idle":
            found.append(Cell(request, codes[0], group))
    return found


def of(notebook: Path) -> list[Cell] | None:
    """The recording of a notebook, if there is one."""
    return _recordings.get(notebook.resolve())


def set_up(file: Any, cells: Iterable[Cell]) -> None:
    """nbval's set-up of a notebook, in place of the one that starts a kernel."""
    file.kernel = Replay(cells)
    file.setup_sanitize_files()


class Replay:
    """nbval's kernel, as far as nbval asks one, out of recorded cells."""

    def __init__(self, cells: Iterable[Cell]):
        self._cells = deque(cells)
        self._messages: deque[Message] = deque()

    def execute_cell_input(self, code: str, allow_stdin: bool | None = None) -> str:
        """The id of the request that the next recorded cell was. Raises AssertionError when it is of other code."""
        assert self._cells, f"JupyterLab did not run this cell to its end: {json.dumps(code)}"
        cell = self._cells.popleft()
        assert cell.code == code, f"JupyterLab ran {json.dumps(cell.code)}"
        self._messages = deque(cell.messages)
        return cell.request

    def get_message(self, stream: str, timeout: float | None = None) -> Message:
        if not self._messages:
            raise Empty
        return self._messages.popleft()

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Nothing to wait for."""

    def await_idle(self, parent_id: str, timeout: float) -> None:
        self._messages.clear()

    def is_alive(self) -> bool:
        return True

    def interrupt(self) -> None:
        """Nothing to interrupt."""

    def stop(self) -> None:
        """Nothing to stop."""

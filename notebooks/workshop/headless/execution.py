"""Run one notebook under papermill, with its progress, the text of a failure, and its page."""

from __future__ import annotations

import logging
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from workshop.headless.run import Result

if TYPE_CHECKING:
    from workshop.headless.kernels import Kernel

SAVE_SECONDS = 2.0
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Progress:
    """One bar over the code cells of all notebooks; where there is no terminal, one line per notebook."""

    def __init__(self, total: int, is_terminal: bool | None = None) -> None:
        self.is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self.bar = tqdm(
            total=total,
            unit="cell",
            disable=not self.is_terminal,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| cell {n_fmt} of {total_fmt}, {elapsed}",
        )

    def notebook(self, name: str) -> None:
        self.bar.set_description_str(name)

    def cell(self, count: int = 1) -> None:
        self.bar.update(count)

    def done(self, result: Result) -> None:
        line = f"{result.status:9s} {result.name:32s} {result.cells:3d} cells {result.seconds:6.1f} s"
        self.bar.write(line) if self.is_terminal else print(line, flush=True)

    def close(self) -> None:
        self.bar.set_description_str("")
        self.bar.close()


def progress_engine(progress: Progress) -> type:
    """papermill's own engine, telling `progress` of each code cell that has run.

    papermill saves the notebook twice for each cell, a twelfth of a run's processor time. Here it does so every
    `SAVE_SECONDS`, and at the end.
    """
    from papermill.engines import NBClientEngine

    class ProgressEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **settings: Any) -> Any:
            complete, save, saved = nb_man.cell_complete, nb_man.save, time.monotonic()

            def save_now_and_then(**named: Any) -> None:
                nonlocal saved
                if time.monotonic() - saved >= SAVE_SECONDS:
                    save(**named)
                    saved = time.monotonic()

            def cell_complete(cell: Any, *arguments: Any, **named: Any) -> None:
                complete(cell, *arguments, **named)
                # The parameters that papermill itself puts in are no cell of the notebook's.
                if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", []):
                    progress.cell()

            nb_man.cell_complete, nb_man.save = cell_complete, save_now_and_then
            try:
                return super().execute_managed_notebook(nb_man, kernel_name, **settings)
            finally:
                nb_man.save = save

    return ProgressEngine


def failure_text(name: str, error: BaseException) -> str:
    """What failed, for a person: the notebook, the cell's source, and what it raised."""
    from papermill.exceptions import PapermillExecutionError

    if not isinstance(error, PapermillExecutionError):
        return f"{name} failed outside of its cells: {type(error).__name__}: {error}"
    source = "\n".join(f"    {line}" for line in error.source.strip().splitlines())
    trace = "\n".join(error.traceback).strip() or f"{error.ename}: {error.evalue}"
    trace = trace if sys.stderr.isatty() else ANSI.sub("", trace)
    return f"{name} failed in cell [{error.exec_count}]:\n\n{source}\n\n{trace}"


def execute(path: Path, parameters: dict[str, Any], folder: Path, progress: Progress, kernel: Kernel) -> None:
    """Run one notebook in `kernel` into `folder`. Raises PapermillExecutionError at a failing cell."""
    # Here and not at the top: papermill takes seconds to import, and most refusals and `--endpoint` need none of it.
    import papermill
    from papermill.engines import papermill_engines

    papermill_engines.register("progress", progress_engine(progress))
    logging.getLogger("papermill").setLevel(logging.ERROR)
    papermill.execute_notebook(
        str(path),
        str(folder / path.name),
        parameters=parameters,
        cwd=str(path.parent),
        kernel_name="python3",
        language="python",
        engine_name="progress",
        km=kernel,
        progress_bar=False,
    )


def write_page(notebook: Path) -> Path:
    """The executed notebook as an HTML page beside it, with the figures' alternative texts."""
    from nbconvert import HTMLExporter

    template = Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    body, _ = HTMLExporter(raw_template=template).from_filename(str(notebook))
    page = notebook.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page

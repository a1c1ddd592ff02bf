"""The kernels of a run: the next notebook's starts, and imports what that notebook will, while one runs.

To start a kernel and to import MXNet, OpenCV, matplotlib and boto3 takes seconds of one core. A module that is imported
ahead is in none of the notebook's names: a notebook that forgets an import fails as before.
"""

import ast
import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync


class Kernel(AsyncKernelManager):
    """A kernel's process, and the client that was made for it last."""

    last_client: AsyncKernelClient | None = None

    def client(self, **options: Any) -> Any:
        self.last_client = super().client(**options)
        return self.last_client


class Kernels:
    """Kernels for notebooks of one folder; a context manager, which ends the one that was started in vain."""

    def __init__(self) -> None:
        self.waiting: Kernel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.waiting:
            end(self.waiting)

    def start_ahead(self, notebook: Path) -> None:
        """Start a kernel for `notebook`, unless one is waiting: a kernel serves any notebook."""
        if self.waiting is None:
            self.waiting = started(notebook)

    @contextlib.contextmanager
    def one(self, notebook: Path) -> Iterator[Kernel]:
        """The kernel that waits, or one that is started now. It is shut down at the end."""
        kernel, self.waiting = self.waiting or started(notebook), None
        try:
            yield kernel
        finally:
            end(kernel)


def started(notebook: Path) -> Kernel:
    """A new kernel in the notebook's folder, which begins by importing its modules. Does not wait for it."""
    kernel = Kernel(kernel_name="python3")
    ahead = f"__import__({__name__!r}, fromlist=['']).import_ahead({imported(notebook)!r})"
    run_sync(kernel.start_kernel)(cwd=str(notebook.parent), extra_arguments=[f"--IPKernelApp.exec_lines={ahead}"])
    return kernel


def end(kernel: Kernel) -> None:
    """Shut the kernel down, whatever state it is in."""

    async def shut_down() -> None:
        if await kernel.is_alive():
            await kernel.shutdown_kernel()
        if kernel.last_client:
            kernel.last_client.stop_channels()
        await kernel.cleanup_resources()

    run_sync(shut_down)()


def imported(notebook: Path) -> list[str]:
    """The modules that the notebook's code cells import, in their order; IPython's own lines are passed over."""
    modules: dict[str, None] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        with contextlib.suppress(SyntaxError):
            for node in ast.walk(ast.parse("".join(cell["source"]) if cell["cell_type"] == "code" else "")):
                if isinstance(node, ast.Import):
                    modules.update((each.name, None) for each in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules[node.module] = None
                    modules.update((f"{node.module}.{each.name}", None) for each in node.names)
    return list(modules)


def import_ahead(modules: list[str]) -> None:
    """Import those of `modules` that can be imported. An error is left to the cell that imports it."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)

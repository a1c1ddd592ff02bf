"""A running `make lab`, and what a person does in it: open a menu, run all cells, look."""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page

from tests import recorded
from tests.browser.gateway import ROOT
from tests.recorded import Recording
from tests.solutions import solutions

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SECONDS = 840  # for one notebook; the longest builds the package and deploys it, or measures under load
SETTINGS = {
    "docmanager-extension/plugin": {"autosave": False},  # nothing is written into the checkout
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, those out of sight too
}
# Each code cell's prompt, and what it shows as stderr: errors and warnings; some progress bars too, which do not count.
CELLS = """(panel) => [...panel.querySelectorAll(".jp-CodeCell")].map((cell) => ({
    prompt: cell.querySelector(".jp-InputPrompt").textContent.replace(/[^0-9*]/g, ""),
    problem: [...cell.querySelectorAll("[data-mime-type='application/vnd.jupyter.stderr']")]
        .map((output) => output.textContent.trim()).filter((text) => !/\\d+%\\|/.test(text)).join("\\n"),
}))"""


@dataclass
class Lab:
    """A running `make lab`: the address that it printed, the port of its emulator, and the file with all it printed."""

    url: str
    emulator: int
    log: Path
    folder: Path

    @property
    def server(self) -> str:
        return self.url.partition("/lab")[0]

    def request(self, method: str, path: str, body: dict | None = None) -> bytes:
        address = f"{self.server}/api/{path}?token={self.url.partition('token=')[2]}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(address, data, method=method), timeout=60) as answer:
            return answer.read()

    def connection(self, notebook: Path) -> Path:
        """The connection file of the kernel that runs a notebook."""
        (kernel,) = (each["kernel"]["id"] for each in self.sessions() if Path(each["path"]).name == notebook.name)
        return self.folder / "runtime" / f"kernel-{kernel}.json"

    def sessions(self) -> list[dict]:
        return json.loads(self.request("GET", "sessions"))

    def start_console(self) -> Path:
        """Start a kernel in the notebooks' folder, as a console's, which no page shows; its connection file."""
        body = {"path": "notebooks/console", "name": "", "type": "console", "kernel": {"name": "python3"}}
        kernel = json.loads(self.request("POST", "sessions", body))["kernel"]["id"]
        return self.folder / "runtime" / f"kernel-{kernel}.json"

    def stop_kernels(self, kind: str = "notebook") -> None:
        """Kernels hold MXNet's memory; the next notebook starts its own."""
        for session in self.sessions():
            if session["type"] == kind:
                self.request("DELETE", f"sessions/{session['id']}")


def menu(page: Page, name: str, item: str) -> None:
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def wait_until_done(page: Page, panel: Locator) -> list[dict[str, str]]:
    """Wait until each cell has run, or none waits behind one with a problem; the cells."""
    deadline = time.monotonic() + SECONDS
    while True:
        cells = panel.evaluate(CELLS)
        left = [cell for cell in cells if not cell["prompt"].isdigit()]
        if not left or (any(cell["problem"] for cell in cells) and not any("*" in cell["prompt"] for cell in left)):
            page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle").wait_for()
            return panel.evaluate(CELLS)
        assert time.monotonic() < deadline, f"{len(left)} cells are still to run after {SECONDS} s"
        page.wait_for_timeout(1000)  # JupyterLab itself needs the core, too


def edit(page: Page, panel: Locator, changes: dict[str, str]) -> None:
    """Write other values into the notebook's first code cell, which holds its parameters."""
    source = panel.locator(".jp-CodeCell").first.locator(".cm-content")
    text = source.inner_text() if changes else ""
    for old, new in changes.items():
        assert old in text, text
        text = text.replace(old, new)
    if changes:
        source.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(text)


def run_all(page: Page, panel: Locator, recording: Recording | None = None) -> list[dict[str, str]]:
    """The saved outputs away, then Run > Run All Cells: what is to be seen afterwards comes from this run.

    With a recording the page is not looked at before the kernel is done: a look takes a tenth of a CPU second.
    """
    menu(page, "Edit", "Clear Outputs of All Cells")
    menu(page, "Run", "Run All Cells")
    if recording:
        recording.wait_for(panel.locator(".jp-CodeCell").count(), SECONDS)
    return wait_until_done(page, panel)


def check(panel: Locator, cells: list[dict[str, str]], first: int = 1) -> None:
    """Each cell has run once, in order, from prompt `first` on; no error, no warning, no broken widget."""
    assert not [cell["problem"] for cell in cells if cell["problem"]]
    assert [int(cell["prompt"]) for cell in cells] == list(range(first, first + len(cells)))
    text = panel.inner_text()
    assert "Error displaying widget" not in text and "Loading widget" not in text


def run_in(console: Recording, notebook: Path) -> None:
    """Run a notebook's code cells in a kernel that may have run others: no error, no warning.

    Its names are cleared first. The modules stay imported, which saves 3 CPU seconds for each notebook.
    """
    codes = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    for code in ["%reset -f", *codes]:
        cell = console.run(code, SECONDS)
        assert not cell.problem, f"{code}\n\n{cell.problem}"


def take(page: Page, panel: Locator, path: Path, at: str = ".jp-MarkdownCell h1") -> None:
    """A picture of the window, scrolled to the first element of the notebook that is `at`."""
    panel.locator(at).first.scroll_into_view_if_needed()
    page.mouse.move(720, 450)
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def run_for_all(
    page: Page, panel: Locator, lab: Lab, screenshots: Callable[[str], Path], notebook: Path, changes: dict[str, str]
) -> None:
    """Run a notebook, look at it, and at its first run keep what its kernel sent: nbval judges that."""
    edit(page, panel, changes)
    with Recording(lab.connection(notebook)) as recording:
        cells = run_all(page, panel, recording)
        take(page, panel, screenshots(f"lab-{notebook.stem}"))
        check(panel, cells)
        if not recorded.of(notebook):
            read = nbformat.read(notebook, as_version=4)
            once_more = announced(read) if changes else []
            for code in [*solutions(read), *once_more]:
                recording.run(code, SECONDS)
            recording.keep(notebook, once_more)


def announced(notebook: nbformat.NotebookNode) -> list[str]:
    """The parameters' cell as it is committed, and the cell that prints what they may cost, if there is one."""
    first, *others = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    return [first, *(code for code in others if code.startswith("planned = "))]

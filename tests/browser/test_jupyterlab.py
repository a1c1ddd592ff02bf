"""`make lab` as a person uses it: JupyterLab opens, each notebook runs by Run All Cells, and no error is to be seen."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway import ROOT
from playwright.sync_api import Locator, Page

from workshop.emulator import Emulator, free_port

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SECONDS = 420  # for one notebook; the longest builds the package and deploys it, or measures under load
SETTINGS = {
    "docmanager-extension/plugin": {"autosave": False},  # nothing is written into the checkout
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, those out of sight too
}
# Each code cell's prompt, and what it shows as stderr: errors and warnings; some progress bars too, which do not count.
CELLS = """(panel) => [...panel.querySelectorAll(".jp-CodeCell")].map((cell) => ({
    prompt: cell.querySelector(".jp-InputPrompt").textContent.replace(/[^0-9*]/g, ""),
    problem: [...cell.querySelectorAll("[data-mime-type='application/vnd.jupyter.stderr']")]
        .map((output) => output.innerText.trim()).filter((text) => !/\\d+%\\|/.test(text)).join("\\n"),
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

    def request(self, method: str, path: str) -> bytes:
        address = f"{self.server}/api/{path}?token={self.url.partition('token=')[2]}"
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=60) as answer:
            return answer.read()

    def stop_kernels(self) -> None:
        """Kernels hold MXNet's memory; the next notebook starts its own."""
        for session in json.loads(self.request("GET", "sessions")):
            self.request("DELETE", f"sessions/{session['id']}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """`make lab`, with Jupyter's settings of a new user and an emulator of its own, which notebook 00 starts."""
    folder, emulator = tmp_path_factory.mktemp("jupyterlab"), free_port()
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "MFLAGS"))}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "IPYTHONDIR": str(folder / "ipython")}
    arguments = f"--no-browser --port={free_port()} --ServerApp.port_retries=0"
    arguments += f" --FileCheckpoints.checkpoint_dir={folder / 'checkpoints'}"
    log = folder / "log"
    with log.open("wb") as output:
        make = subprocess.Popen(
            ["make", "lab", f"PORT={emulator}", f"ARGS={arguments}"],
            env=env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:\S+", log.read_text(errors="replace"))):
            assert make.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        yield Lab(found[0], emulator, log, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(make.pid, signal.SIGTERM)
        make.wait(60)
        Emulator(emulator).stop()


@pytest.fixture
def opened(chromium, lab):
    """Open a notebook of the lab and wait for its kernel; afterwards nothing has been written into the checkout."""
    before = {file: hashlib.sha256(file.read_bytes()).digest() for file in NOTEBOOKS}
    contexts = []

    def open_notebook(path: str) -> tuple[Page, Locator]:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(path if "://" in path else lab.url.replace("/lab", f"/lab/tree/{path}", 1))
        panel = page.locator(".jp-NotebookPanel:visible")
        panel.locator(".jp-CodeCell").first.wait_for()
        panel.locator(".jp-KernelName").filter(has_text="Python 3 (ipykernel)").wait_for()
        page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        return page, panel

    yield open_notebook
    for context in contexts:
        for page in context.pages:
            page.close(run_before_unload=False)
        context.close()
    lab.stop_kernels()
    assert {file: hashlib.sha256(file.read_bytes()).digest() for file in NOTEBOOKS} == before


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
        page.wait_for_timeout(200)


def run_all(page: Page, panel: Locator) -> list[dict[str, str]]:
    """The saved outputs away, then Run > Run All Cells: what is to be seen afterwards comes from this run."""
    menu(page, "Edit", "Clear Outputs of All Cells")
    menu(page, "Run", "Run All Cells")
    return wait_until_done(page, panel)


def check(panel: Locator, cells: list[dict[str, str]], first: int = 1) -> None:
    """Each cell has run once, in order, from prompt `first` on; no error, no warning, no broken widget."""
    assert not [cell["problem"] for cell in cells if cell["problem"]]
    assert [int(cell["prompt"]) for cell in cells] == list(range(first, first + len(cells)))
    text = panel.inner_text()
    assert "Error displaying widget" not in text and "Loading widget" not in text


def take(page: Page, panel: Locator, path: Path, at: str = ".jp-MarkdownCell h1") -> None:
    """A picture of the window, scrolled to the first element of the notebook that is `at`."""
    panel.locator(at).first.scroll_into_view_if_needed()
    page.mouse.move(720, 450)
    page.wait_for_timeout(500)
    page.screenshot(path=path)


def test_opens_on_the_first_notebook_with_nothing_to_choose(opened, lab, screenshots):
    page, panel = opened(lab.url)
    assert page.locator(".jp-mod-current [role=tab]:visible, .lm-TabBar-tab.jp-mod-current").first.is_visible()
    assert panel.locator("h1").first.inner_text().startswith("Start here")
    contents = page.locator(".jp-TableOfContents:visible")
    for heading in ("What will be built", "Check", "Exercises"):
        contents.get_by_text(heading, exact=True).wait_for()
    assert page.locator(".jp-Dialog").count() == 0, page.locator(".jp-Dialog").inner_text()
    assert page.locator(".Toastify__toast").count() == 0  # no news to agree to, no build to start
    take(page, panel, screenshots("lab"))


def test_prints_nothing_but_where_it_is(lab):
    printed = [line.strip() for line in lab.log.read_text().splitlines()]
    known = re.compile(r"|\[C .*ServerApp\]|To access the server.*|Or copy and paste.*|file:///\S+|http://\S+")
    assert not [line for line in printed if not known.fullmatch(line)]


def named(number: str) -> Path:
    return next(file for file in NOTEBOOKS if file.name.startswith(number))


def problem(page: Page, panel: Locator) -> str:
    """Run all cells; what the one cell that fails shows: a sentence, and no line of code."""
    (said,) = [cell["problem"] for cell in run_all(page, panel) if cell["problem"]]
    assert len(said.splitlines()) == 1, said
    return said


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("03", "LabError: the emulator does not answer at .*: run notebook 00, or `make deploy`"),
        ("05", "LabError: stack 'predictions-app' does not exist in us-east-1: run notebook 04.*, or `make deploy`"),
    ],
)
def test_too_early_it_says_what_must_run_first(opened, number, sentence):
    assert re.fullmatch(sentence, problem(*opened(named(number).name)))


def test_without_its_model_it_says_which_notebook_fetches_it(opened):
    page, panel = opened(named("02").name)
    cell = panel.locator(".jp-CodeCell").first
    source = cell.locator(".cm-content")
    text = source.inner_text()
    assert '"practice"' in text
    source.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text.replace('"practice"', '"imagenet"'))
    assert re.search("Run 01_fetch_models with the same model first", problem(page, panel))


def test_cell_by_cell_runs_as_well(opened):
    page, panel = opened(named("00").name)
    menu(page, "Edit", "Clear Outputs of All Cells")
    panel.locator(".jp-Cell").first.click()
    page.keyboard.press("Escape")
    for _ in range(panel.locator(".jp-Cell").count()):
        page.keyboard.press("Shift+Enter")
    cells = wait_until_done(page, panel)
    # Behind the last cell Shift+Enter makes an empty one.
    check(panel, [cell for cell in cells if cell["prompt"]])


# Once in a fresh project and once in one that is there; at last the clean-up where nothing is left to clean.
RUNS = [*NOTEBOOKS[:-1], *NOTEBOOKS, NOTEBOOKS[-1]]


@pytest.mark.parametrize("notebook", RUNS, ids=lambda file: file.stem)
def test_run_all_shows_no_error(opened, screenshots, notebook):
    page, panel = opened(notebook.name)
    cells = run_all(page, panel)
    take(page, panel, screenshots(f"lab-{notebook.stem}"))
    check(panel, cells)

"""A headless Chromium for the tests, and a front page to open in it."""

import contextlib
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from hello import index
from predict import lambda_function, model_store
from tests import leftovers
from tests.browser.gateway import ROOT, serve
from tests.browser.labpage import NOTEBOOKS, SETTINGS, Lab
from tests.browser.webpage import sources
from workshop.emulator import Emulator, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
]


def missing_browser() -> str:
    """What to install before the browser tests can run; empty when nothing is missing."""
    if CHROMIUM is None:
        return "no Chromium on the PATH: apt-get install chromium"
    if importlib.util.find_spec("playwright") is None:
        return "no playwright in this environment: make setup"
    return ""


@pytest.fixture(scope="session")
def chromium():
    """Playwright's handle on a headless Chromium. Without one the test is skipped, and in CI it fails."""
    if problem := missing_browser():
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
        # A decoder that was forked meanwhile holds the pipe whose end tells Playwright's driver to stop.
        me = psutil.Process()
        for child in me.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie counts as such
                if child.cmdline() == me.cmdline():
                    child.kill()
                    child.wait(10)


@pytest.fixture(scope="session")
def practice_model():
    """The practice model, loaded from the fetched files by the function's own code."""
    from workshop import models

    folder = models.fetch("practice", progress=False).folder
    files = model_store.ModelStore(
        "here", "models/practice", "model-0000.params", "model-symbol.json", "model-synset.txt"
    )
    return files.load(get_object=lambda key: (folder / Path(key).name).read_bytes())


@pytest.fixture(scope="session")
def _served() -> Iterator[tuple[str, list[dict], Callable[[], None]]]:
    """The two functions behind one address for all tests, the events of Predict, and a way to wait until both rest."""
    events: list[dict] = []

    def predict(event, context):
        events.append(event)
        return lambda_function.lambda_handler(event, context)

    with serve(index.handler, predict) as (address, rest):
        yield address, events, rest


@pytest.fixture
def received(_served) -> list[dict]:
    """The events that Predict was invoked with, oldest first."""
    _, events, _ = _served
    events.clear()
    return events


@pytest.fixture
def page_url(practice_model, pictures, received, _served, monkeypatch) -> Iterator[str]:
    """The front page of an API whose two functions run in this process."""
    monkeypatch.setattr(model_store, "_model", practice_model)
    monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", pictures.removeprefix("http://"))
    address, _, rest = _served
    yield address
    rest()


WINDOW = {"reduced_motion": "reduce", "viewport": {"width": 1200, "height": 900}, "color_scheme": "light"}


@pytest.fixture(scope="session")
def windows(chromium) -> "Iterator[Callable[..., Page]]":
    """A window for each set of settings that only a new window can have: one takes a CPU second, and they are few.

    A window keeps its renderer, too, as long as it shows pages of one origin.
    """
    made: dict[str, Page] = {}

    def window(color_scheme, viewport, **settings) -> "Page":
        key = json.dumps(settings, sort_keys=True)
        if key not in made:
            made[key] = chromium.new_context(color_scheme=color_scheme, viewport=viewport, **settings).new_page()
        made[key].emulate_media(color_scheme=color_scheme)
        made[key].set_viewport_size(viewport)
        return made[key]

    yield window
    for page in made.values():
        page.context.close()


def forget(page: "Page") -> None:
    """Take from a window what its page may have kept, and the browser for it: the next test starts with nothing."""
    page.evaluate("() => { window.stop(); sessionStorage.clear(); localStorage.clear(); }")
    page.context.clear_cookies()
    session = page.context.new_cdp_session(page)
    session.send("Network.clearBrowserCache")
    session.detach()


@pytest.fixture
def open_page(chromium, page_url, windows):
    """Open the page with given settings of the browser; afterwards nothing may have been logged or thrown."""
    contexts, shared, complaints = [], [], []

    def opened(address=page_url, **settings):
        page = windows(**WINDOW | settings) if address == page_url else None
        if page in (None, *shared):
            contexts.append(chromium.new_context(**WINDOW | settings))
            page = contexts[-1].new_page()
        else:
            shared.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", on_error)
        page.on("console", on_console)
        page.goto(address)
        return page

    def on_error(problem):
        complaints.append(str(problem))

    def on_console(line):  # the browser itself logs each answer that is an error and each picture it cannot load
        if not line.text.startswith("Failed to load resource"):
            complaints.append(line.text)

    yield opened
    for context in contexts:
        context.close()
    for page in shared:
        page.unroute_all(behavior="ignoreErrors")
        forget(page)
        page.remove_listener("pageerror", on_error)
        page.remove_listener("console", on_console)
    assert not complaints


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture(scope="session")
def pictures() -> Iterator[str]:
    """A host of pictures: the samples' folder over HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = partial(Quiet, directory=ROOT / "notebooks" / "samples")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def screenshots() -> Iterator[Callable[[str], Path]]:
    """Where a screenshot goes, by its name: into `runs/screenshots`, or the folder that SCREENSHOTS names.

    There, beside the pictures, it is noted of which sources they are.
    """
    chosen = os.environ.get("SCREENSHOTS")
    folder = ROOT / (chosen or "runs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    taken = set()

    def path(name: str) -> Path:
        taken.add(name.partition("-")[0])
        return folder / f"{name}.png"

    yield path
    for kind in taken if chosen else ():
        (folder / f"{kind}.sha256").write_text(sources(kind) + "\n")


@pytest.fixture(scope="session")
def lab(tmp_path_factory, pictures) -> Iterator[Lab]:
    """`make lab`, with Jupyter's settings of a new user and an emulator of its own, which notebook 00 starts.

    Its kernels may fetch from the tests' host of pictures.
    """
    folder, emulator = tmp_path_factory.mktemp("jupyterlab"), free_port()
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE", "MFLAGS"))}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "IPYTHONDIR": str(folder / "ipython")}
    env |= {"ALLOWED_PRIVATE_HOSTS": pictures.removeprefix("http://")}
    env |= {"TQDM_MININTERVAL": "1"}  # a bar that is drawn ten times a second keeps Chromium as busy as the kernel
    arguments = f"--no-browser --port={free_port()} --ServerApp.port_retries=0"
    arguments += " --LabApp.expose_app_in_browser=True"  # for the tests to open and close notebooks in it
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
    leftovers.note(folder, make.pid, emulator)
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
        stopped = Emulator(emulator)
        stopped.stop()
        shutil.rmtree(stopped.folder, ignore_errors=True)
        (folder / leftovers.RECORD).unlink()


@pytest.fixture(scope="session")
def jupyterlab(chromium) -> "Iterator[Page]":
    """A window in which JupyterLab is loaded once: that takes 10 CPU seconds, and to open a notebook in it one."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(120_000)
    yield page
    context.close()


# Whatever was open goes, without a question about what is not saved.
OPEN = """async (path) => {
    const app = window.jupyterapp;
    await app.restored;
    for (const widget of [...app.shell.widgets("main")]) widget.dispose();
    if (!path) return;
    app.shell.activateById("filebrowser");
    const widget = await app.commands.execute("docmanager:open", {path});
    await widget.revealed;
    await widget.context.sessionContext.ready;
}"""


@pytest.fixture
def opened(lab, jupyterlab):
    """Open a notebook of the lab and wait for its kernel; afterwards nothing has been written into the checkout.

    An address is opened as by a person who follows it; the first one loads JupyterLab for all tests.
    """
    before = {file: hashlib.sha256(file.read_bytes()).digest() for file in NOTEBOOKS}

    def open_notebook(path: str) -> tuple:
        page = jupyterlab
        if "://" in path:
            page.goto(path)
        elif page.url == "about:blank":
            page.goto(lab.url.replace("/lab", "/lab/workspaces/tests", 1))
        page.locator("#jp-main-dock-panel").wait_for()
        page.wait_for_function("() => window.jupyterapp")
        if "://" not in path:
            page.evaluate(OPEN, f"notebooks/{path}")
        panel = page.locator(".jp-NotebookPanel:visible")
        panel.locator(".jp-CodeCell").first.wait_for()
        panel.locator(".jp-KernelName").filter(has_text="Python 3 (ipykernel)").wait_for()
        page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        return page, panel

    yield open_notebook
    jupyterlab.evaluate(OPEN, "")
    lab.stop_kernels()
    for dialog in jupyterlab.locator(".jp-Dialog").all():  # that a kernel is gone
        dialog.press("Escape")
    assert {file: hashlib.sha256(file.read_bytes()).digest() for file in NOTEBOOKS} == before

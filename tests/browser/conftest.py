"""A headless Chromium for the tests, and a front page to open in it."""

import hashlib
import http.server
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gateway import ROOT, load, serve

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


@pytest.fixture(scope="session")
def practice_model():
    """The practice model, loaded from the fetched files by the function's own code."""
    from workshop import models

    folder = models.fetch("practice", progress=False).folder
    store = load("predict", "model_store")
    files = store.ModelStore(
        "here", "models/practice", "resnet-18-0000.params", "resnet-18-symbol.json", "resnet-18-synset.txt"
    )
    return files.load(get_object=lambda _bucket, key, _deadline: (folder / Path(key).name).read_bytes())


@pytest.fixture
def received() -> list[dict]:
    """The events that Predict was invoked with, oldest first."""
    return []


@pytest.fixture
def page_url(practice_model, pictures, received, monkeypatch) -> Iterator[str]:
    """The front page of an API whose two functions run in this process."""
    function = load("predict", "lambda_function")
    monkeypatch.setattr(function, "_model", practice_model)
    monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", pictures.removeprefix("http://"))

    def predict(event, context):
        received.append(event)
        return function.lambda_handler(event, context)

    with serve(load("hello", "index").handler, predict) as address:
        yield address


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
def page_sources() -> str:
    """One SHA-256 over all that decides how the page looks, the model's answers among it."""
    folder = ROOT / "lambda_src" / "hello"
    digest = hashlib.sha256()
    for file in [
        *sorted(folder.glob("page.*")),
        *sorted(folder.glob("samples/*")),
        ROOT / "models/practice/SHA256SUMS",
    ]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def screenshots(page_sources) -> Iterator[Callable[[str], Path]]:
    """Where a screenshot goes, by its name: into `runs/screenshots`, or the folder that SCREENSHOTS names."""
    chosen = os.environ.get("SCREENSHOTS")
    folder = ROOT / (chosen or "runs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    taken = set()

    def path(name: str) -> Path:
        taken.add(name)
        return folder / f"{name}.png"

    yield path
    if chosen and any(name.startswith("page") for name in taken):
        (folder / "page.sha256").write_text(page_sources + "\n")

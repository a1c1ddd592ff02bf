"""Every notebook, opened in JupyterLab by a person's means: Run All Cells from the menu, and no error to be seen."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import ROOT
from playwright.sync_api import TimeoutError as TimedOut

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
JUPYTER = ROOT / "scripts" / "jupyter"  # what `make lab` uses: settings, and a workspace with the contents at the side
SECONDS = 420  # for one notebook; the longest builds the package and deploys it
SETTINGS = {
    "docmanager-extension/plugin": {"autosave": False},  # nothing is written into the checkout
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, those out of sight too
}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def jupyterlab(emulator_url, tmp_path_factory) -> Iterator[str]:
    """JupyterLab of the environment that runs the tests, on a free port, with settings and checkpoints of its own."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={ROOT / 'notebooks'}"),
        *(
            "--LabApp.news_url=",
            "--ServerApp.disable_check_xsrf=True",
            f"--FileCheckpoints.checkpoint_dir={folder / 'checkpoints'}",
        ),
    ]
    env = os.environ | {
        "AWS_ENDPOINT_URL": emulator_url,
        "JUPYTER_CONFIG_PATH": str(JUPYTER),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    workspace = [sys.executable, "-m", "jupyter", "lab", "workspaces", "import", JUPYTER / "lab.jupyterlab-workspace"]
    subprocess.run(workspace, env=env, check=True, capture_output=True, timeout=120)
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=env, cwd=ROOT / "notebooks", stdout=output, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"JupyterLab did not start: {log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def run_all(page) -> None:
    """Run > Run All Cells, and wait until no cell is waiting or running."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    waiting = page.locator(".jp-NotebookPanel:visible .jp-InputPrompt").filter(has_text="[*]:")
    waiting.first.wait_for(timeout=30_000)
    try:
        waiting.first.wait_for(state="detached", timeout=SECONDS * 1000)
    except TimedOut:
        pytest.fail(f"{waiting.count()} cells still wait after {SECONDS} s")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[file.stem for file in NOTEBOOKS])
def test_run_all_shows_no_error(chromium, jupyterlab, screenshots, notebook):
    before = digest(notebook)
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    try:
        page.goto(f"{jupyterlab}/lab/tree/{notebook.name}")
        panel = page.locator(".jp-NotebookPanel:visible")
        panel.locator(".jp-CodeCell").first.wait_for()
        panel.locator(".jp-KernelName").filter(has_text="Python 3").wait_for()
        assert page.locator(".jp-Dialog").count() == 0, page.locator(".jp-Dialog").inner_text()  # nothing to choose
        page.locator("#jp-main-statusbar").get_by_text("(ipykernel) | Idle").wait_for()
        page.locator(".jp-TableOfContents").get_by_text("Check", exact=True).wait_for()
        assert page.locator(".Toastify__toast").count() == 0  # no news to agree to
        run_all(page)
        path = screenshots(f"lab-{notebook.stem}")
        panel.locator(".jp-MarkdownCell h1").first.scroll_into_view_if_needed()
        page.wait_for_timeout(500)  # the scrolling is animated
        page.screenshot(path=path)
        errors = panel.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.first.inner_text()
        ran = panel.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        assert all(prompt.strip("[]: ").isdigit() for prompt in ran), ran
    finally:
        page.close(run_before_unload=False)
        context.close()
        stop_kernels(jupyterlab)
    assert digest(notebook) == before


def stop_kernels(address: str) -> None:
    """Kernels hold MXNet's memory; the next notebook starts its own."""
    with urllib.request.urlopen(f"{address}/api/sessions", timeout=30) as answer:
        sessions = json.load(answer)
    for session in sessions:
        request = urllib.request.Request(f"{address}/api/sessions/{session['id']}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()

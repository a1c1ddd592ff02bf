"""What all tests share: an emulator of their own, no AWS settings of the user's, the order, and the cores."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from nbformat.v4 import new_code_cell

from tests import building, leftovers, parallel, recorded
from tests.solutions import solutions
from workshop import emulator, models
from workshop.deployment import all_at_once
from workshop.headless import runner
from workshop.lab import Lab, connect

# Servers of the tests' own listen here, on any port; 127.0.0.1 and the rest of 127.0.0.0/8 stay refused.
SERVERS = "127.0.0.2"
TEMPORARY = pytest.StashKey[Path]()
_emulators: list[emulator.Emulator] = []


@pytest.hookimpl(trylast=True)  # pytest's own temporary folder is known by then
def pytest_configure(config: pytest.Config) -> None:
    """No test, kernel or subprocess of one may see the user's AWS settings, kernels or start-up files."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_PLATFORM_DIRS": "1",
        # MXNet's threads would spin while they wait, on cores that another worker's tests need.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    # Of `make test`, too: a test that calls make does so as a person would.
    for name in (
        "JUPYTER_PATH",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "MAKEOVERRIDES",
    ):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end that is asked for cleans up, too
    if not hasattr(config, "workerinput"):
        config.stash[TEMPORARY] = leftovers.temporary_folder(config._tmp_path_factory.getbasetemp())
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n auto`, which is what `make test` asks for: a worker for each core, and none for a few chosen files."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return len(os.sched_getaffinity(0)) if everything else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parallel.ByRoom:
    """Which worker runs what: tests that share something expensive stay together."""
    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return parallel.ByRoom(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Alone, quick tests first and the notebooks last; on several cores the longest groups first."""
    order = parallel.LONGEST_FIRST if hasattr(config, "workerinput") else parallel.QUICKEST_FIRST
    items.sort(key=lambda item: parallel.rank(item.nodeid, order))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Behind a notebook's cells, nbval runs the solutions of its exercises. What they print is not compared."""
    report = yield
    if type(collector).__name__ == "IPyNbFile" and report.passed:
        cells = report.result
        for number, source in enumerate(solutions(collector.nb), 1):
            cell = new_code_cell(source)
            options = {"skip": False, "check": False, "check_exception": False}
            named = {"name": f"Solution {number}", "cell_num": len(cells), "cell": cell, "options": options}
            cells.append(type(cells[0]).from_parent(collector, **named))
    return report


def shared_emulator(config: pytest.Config) -> str:
    """The endpoint of the tests' emulator, started by the first who asks. A running lab has its own."""
    if not _emulators:
        folder = config._tmp_path_factory.mktemp("emulator")
        tests_own = emulator.Emulator(emulator.free_port(), folder)
        tests_own.start()
        _emulators.append(tests_own)
        os.environ["AWS_ENDPOINT_URL"] = tests_own.endpoint
    return _emulators[0].endpoint


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """nbval's cells are no functions and take no fixtures, so what their kernels inherit is set here."""
    is_cell = type(item).__name__ == "IPyNbCell"
    cells = recorded.of(item.path) if is_cell else None
    building.hold_while("05_" in item.path.name and not cells)
    if cells:
        item.parent.setup = partial(recorded.set_up, item.parent, cells)
    elif is_cell:
        shared_emulator(item.config)
        if "IPYTHONDIR" not in os.environ:
            folder = item.config._tmp_path_factory.mktemp("ipython")
            os.environ["IPYTHONDIR"] = str(runner.ipython_folder(folder))


@pytest.hookimpl(tryfirst=True)  # pytest removes the folder of a run that passed, and the emulator's record with it
def pytest_sessionfinish() -> None:
    building.hold_while(False)
    while _emulators:
        if not _emulators.pop().stop():
            raise RuntimeError("the tests' emulator ended before the tests, or has lost its record")


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("dsession"):
        for what in leftovers.end(config._tmp_path_factory.getbasetemp()):
            print(f"ended what a worker left running: {what}")
    if (folder := config.stash.get(TEMPORARY, None)) and (left := leftovers.forget(folder)):
        print(f"left in the temporary folder, and removed: {', '.join(left)}")


@pytest.fixture(scope="session")
def emulator_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The endpoint of the tests' own emulator; AWS_ENDPOINT_URL names it too, so `workshop.lab.connect()` finds it."""
    yield shared_emulator(pytestconfig)


@pytest.fixture(scope="session")
def deployed(emulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab whose function is built, deployed, granted its store and given the practice model: one for all tests."""
    lab = connect("local", "us-east-1", "e2e-tests")
    files = models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)
    allowed = f"{urlsplit(emulator_url).netloc},{SERVERS}"
    with building.alone():
        all_at_once.deploy(lab, files, AllowedPrivateHosts=allowed, AccessLogs="true", AlarmEmail="nobody@example.com")
    return lab

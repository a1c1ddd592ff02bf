"""Run the notebooks in order under papermill: the headless deploy.

    python -m workshop.headless.runner --target local --model practice MemorySize=3008

The executed notebooks, an HTML page of each, `report.html` on the whole run and `summary.json` go to
`runs/<UTC time>/`; `runs/latest` names the newest. 02 and 03 only look: they run again where something has changed that
they read. 07, which ships versions, is run by `--ship`. 08 and 09, which measure, are run by `--scale`. 10, which
deletes everything, and the appendices are not run.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workshop import ROOT, UserError, emulator
from workshop.client import predict_url, timed_sample
from workshop.headless import kept, report
from workshop.headless.arguments import parameters_of, parse, with_the_deployed_model
from workshop.headless.execution import Progress, execute, failure_text, write_page
from workshop.headless.run import Result, Run
from workshop.lab import Lab, connect

NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"
# Change or measure what is deployed, for minutes and, on AWS, for money: run when they are asked for.
SHIP, SCALE = ("07_",), ("08_", "09_")
NOT_RUN = (*SHIP, *SCALE, "10_")


class RunError(Exception):
    """Why the run cannot start, and what to do about it."""


def notebooks(folder: Path = NOTEBOOKS, alone: tuple[str, ...] = ()) -> list[Path]:
    """The notebooks of a deploy, in order: `NN_*.ipynb` but those of `NOT_RUN`; `alone`: those that begin so."""
    numbered = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in numbered if (path.name.startswith(alone) if alone else not path.name.startswith(NOT_RUN))]


def code_cells(path: Path) -> list[dict]:
    """The notebook's code cells, as they are in its JSON."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def known_parameters(path: Path) -> dict[str, Any]:
    """The names that the notebook's parameters cell assigns, with their values: source where no literal."""
    sources = [cell["source"] for cell in code_cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    statements = [statement for source in sources for statement in ast.parse("".join(source)).body]
    assigned = [statement for statement in statements if isinstance(statement, ast.Assign)]
    return {
        target.id: _value(statement.value)
        for statement in assigned
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _value(expression: ast.expr) -> Any:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return ast.unparse(expression)


def share(parameters: dict[str, Any], paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """Give each notebook those of `parameters` that it has. Raises RunError when one is in no notebook."""
    known = {path: known_parameters(path) for path in paths}
    everywhere = set().union(*known.values())
    unknown = sorted(set(parameters) - everywhere)
    if unknown:
        raise RunError(
            f"no notebook has a parameter {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(everywhere))}"
        )
    return {path: {name: value for name, value in parameters.items() if name in known[path]} for path in paths}


def write_pages(run: Run, folder: Path, executed: Result | None = None) -> None:
    """`report.html`, and `summary.json`, that holds the same for programs; first the page of the one just executed."""
    if executed and executed.status != "unchanged" and (folder / executed.name).exists():
        write_page(folder / executed.name)
    report.write(run, folder)
    summary = asdict(run) | {"passed": run.passed}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def new_folder(runs: Path = RUNS) -> Path:
    """A folder for this run, named by the UTC time, and `latest` pointing at it."""
    stem = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        with contextlib.suppress(FileExistsError):
            folder = runs / f"{stem}{suffix}"
            folder.mkdir(parents=True)
            break
    link = runs / f".latest-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(runs / "latest")
    return folder


@contextlib.contextmanager
def alone(runs: Path = RUNS) -> Iterator[None]:
    """Hold the lock of `runs`. Raises RunError when another run of this folder holds it."""
    runs.mkdir(exist_ok=True)
    with (runs / ".lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise RunError(f"another run is at work here (process {handle.read().strip()}): wait for it") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def run_all(paths: Sequence[Path], parameters: dict[str, Any], folder: Path, progress: Progress | None = None) -> Run:
    """Run `paths` in order into `folder` until one fails. Raises RunError for a parameter that none of them has.

    While one runs, the page of the one before is written, and the kernel of the next starts; but not beside one that
    measures.
    """
    from workshop.headless.kernels import Kernels  # imports Jupyter

    shares = share(parameters, paths)
    started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    run = Run(started, parameters, [Result(path.name, cells=len(code_cells(path))) for path in paths])
    progress = progress or Progress(sum(result.cells for result in run.results))
    place = folder.parent / ".kept"

    def digest_of(path: Path) -> str:
        looks = path.name.startswith(kept.LOOK)
        return kept.digest_of(path, known_parameters(path) | shares[path]) if looks else ""

    began = time.monotonic()
    with Kernels() as kernels, ThreadPoolExecutor(1) as pages:
        written = []
        try:
            for number, (path, result) in enumerate(zip(paths, run.results, strict=True), start=1):
                progress.notebook(path.stem)
                notebook_began = time.monotonic()
                digest = ""
                try:
                    digest = digest_of(path)
                    if digest and kept.take(path, digest, folder, place):
                        result.status = "unchanged"
                        progress.cell(result.cells)
                        continue
                    with kernels.one(path) as kernel:
                        for following in () if path.name.startswith(SCALE) else paths[number:]:
                            if not kept.holds(following, digest_of(following), place):
                                kernels.start_ahead(following)
                                break
                        execute(path, shares[path], folder, progress, kernel)
                    result.status = "passed"
                except Exception as error:
                    result.status, result.error = "failed", failure_text(path.name, error)
                except KeyboardInterrupt:
                    result.error = f"{path.name} was interrupted"
                    raise
                finally:
                    result.seconds = round(time.monotonic() - notebook_began, 2)
                    run.seconds = round(time.monotonic() - began, 2)
                    written.append(pages.submit(write_pages, run, folder, result))
                    progress.done(result)
                if digest and result.status == "passed":
                    pages.submit(kept.keep, path, digest, folder, place)
                if result.status == "failed":
                    break
        finally:
            progress.close()
    for pages_of_one in written:
        pages_of_one.result()  # raises what went wrong there
    return run


def ipython_folder(folder: Path) -> Path:
    """Make an IPYTHONDIR: none of the user's start-up files, no history kept, a quiet kernel.

    Each kernel start would otherwise warn that its sockets, on the loopback address, are not encrypted.
    """
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    settings = "c.IPKernelApp.log_level = 'CRITICAL'\nc.HistoryManager.enabled = False\n"
    (profile / "ipython_kernel_config.py").write_text(settings, encoding="utf-8")
    return folder


def prepare_environment(target: str, port: int) -> None:
    """Set what the kernels inherit: where AWS is, and nothing of the user's Jupyter or IPython."""
    os.environ.pop("PYTHONPATH", None)
    os.environ.pop("JUPYTER_PATH", None)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # our kernel, whatever kernels the user has registered
    os.environ["IPYTHONDIR"] = str(ipython_folder(RUNS / ".ipython"))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if target == "aws":
        for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]:
            del os.environ[name]
    else:
        os.environ["AWS_ENDPOINT_URL"] = emulator.Emulator(port).start()


def lab_of(parameters: dict[str, Any]) -> Lab:
    return connect(**{name: parameters[name] for name in ("target", "region", "project_id") if name in parameters})


def print_endpoint(chosen: argparse.Namespace) -> None:
    if chosen.target != "aws":
        os.environ["AWS_ENDPOINT_URL"] = emulator.endpoint(chosen.port)
    print(predict_url(lab_of(parameters_of(chosen))))


def describe(run: Run, lab: Lab) -> None:
    """Ask for one prediction and for what is deployed, and note both in `run`."""

    run.target, run.region, run.endpoint = lab.target, lab.region, predict_url(lab)
    run.prediction, run.request_seconds = timed_sample(lab, run.sample)
    run.facts = report.facts(lab)


def ending(run: Run, place: str) -> list[str]:
    """The lines that a deploy ends with: where its report is, where to ask, and one prediction."""
    lines = [f"Report    {place}", f"Page      {run.facts['front_page']}", f"Endpoint  {run.endpoint}"]
    if run.facts["inbox"]:
        lines.append(f"Inbox     {run.facts['inbox']}")
    return lines + [f"          {one['probability']:6.1%}  {one['class']}" for one in run.prediction["predictions"]]


def building_ahead(lab: Lab, chosen: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    """Build for notebook 05 while the ones before it run."""
    from workshop.deployment import build, parameters

    parameters.write_built_for(parameters.built_for(lab, chosen))
    return build.ahead(lab.environment())


def deploy(chosen: argparse.Namespace) -> int:
    """Check everything that can be checked first, run the notebooks, print the URLs and one prediction."""
    alone_ = SHIP if chosen.ship else SCALE if chosen.scale else ()
    paths, parameters = notebooks(alone=alone_), parameters_of(chosen)
    share(parameters, paths)
    if parameters.get("target") == "aws":
        lab_of(parameters)
    with alone():
        prepare_environment(parameters.get("target", "local"), chosen.port)
        lab = lab_of(parameters)
        if not chosen.scale:  # 07 names the model that is to answer in the end, too
            parameters = with_the_deployed_model(parameters, lab)
        folder = new_folder()
        count = f"{len(paths)} notebook{'s' if len(paths) > 1 else ''}"
        print(f"Target {lab.target}, region {lab.region}, project {lab.project_id}: running {count}", flush=True)
        with contextlib.nullcontext() if alone_ else building_ahead(lab, parameters.get("chosen", {})):
            run = run_all(paths, parameters, folder)
        for result in run.results:
            if result.error:
                print(f"\n{result.error}\n\nReport: {folder.relative_to(ROOT)}/report.html", file=sys.stderr)
                return 1
        describe(run, lab)
        write_pages(run, folder)
        print("", *ending(run, f"{folder.relative_to(ROOT)}/report.html"), sep="\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    # A shell that starts it in the background has SIGINT ignored; and an end that is asked for is no crash.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if chosen.endpoint:
            print_endpoint(chosen)
            return 0
        return deploy(chosen)
    except (RunError, UserError) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndeploy: interrupted; run it again: the stacks that are deployed stay", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

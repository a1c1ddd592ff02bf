"""The headless run: order, parameters, progress, pages, and what a failing cell or an interruption leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill.engines
import psutil
import pytest

from workshop import ROOT
from workshop.headless import kept, kernels, report, runner

pytestmark = pytest.mark.slow


def write_notebook(folder: Path, name: str, *cells: str, parameters: str | None = None) -> Path:
    """A small notebook; its first cell holds `parameters`, when given."""
    tree = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    if parameters is not None:
        tree.cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    tree.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    path = folder / name
    nbformat.write(tree, path)
    return path


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    return out


def test_the_deploy_runs_all_but_the_clean_up_and_the_appendix(tmp_path):
    for name in (
        "01_b.ipynb",
        "00_a.ipynb",
        "10_clean_up.ipynb",
        "A1_train.ipynb",
        "notes.txt",
        "09_plan.ipynb",
        "08_scale.ipynb",
        "07_ship.ipynb",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in runner.notebooks(tmp_path)] == ["00_a.ipynb", "01_b.ipynb"]
    assert [path.name for path in runner.notebooks(tmp_path, runner.SCALE)] == ["08_scale.ipynb", "09_plan.ipynb"]
    assert [path.name for path in runner.notebooks(tmp_path, runner.SHIP)] == ["07_ship.ipynb"]


def test_each_notebook_gets_the_parameters_it_has(tmp_path):
    one = write_notebook(tmp_path, "00_a.ipynb", parameters='target = "local"  # where\nregion = "us-east-1"')
    two = write_notebook(tmp_path, "01_b.ipynb", parameters='model = "practice"')
    three = write_notebook(tmp_path, "02_c.ipynb", "1 + 1")
    shares = runner.share({"target": "aws", "model": "imagenet"}, [one, two, three])
    assert shares == {one: {"target": "aws"}, two: {"model": "imagenet"}, three: {}}


def test_a_parameter_that_no_notebook_has_is_refused(tmp_path):
    path = write_notebook(tmp_path, "00_a.ipynb", parameters='target = "local"')
    with pytest.raises(runner.RunError, match="'taget'.*there are: target"):
        runner.run_all([path], {"taget": "aws"}, tmp_path)


def test_the_repositorys_notebooks_have_the_commands_parameters():
    everywhere = set().union(*(runner.known_parameters(path) for path in runner.notebooks()))
    assert {"target", "region", "project_id", "model"} <= everywhere


def test_notebooks_run_in_order_with_their_parameters_and_leave_pages(tmp_path, folder, capsys):
    log = tmp_path / "log.txt"
    append = f"open({str(log)!r}, 'a').write(name)"
    paths = [
        write_notebook(tmp_path, "00_a.ipynb", append, parameters="name = 'unset'"),
        write_notebook(tmp_path, "01_b.ipynb", append, "import os; print(os.getcwd())", parameters="name = 'unset'"),
    ]
    run = runner.run_all(paths, {"name": "x"}, folder, runner.Progress(5, is_terminal=False))
    assert run.passed
    assert log.read_text() == "xx"
    assert [result.cells for result in run.results] == [2, 3]
    executed = nbformat.read(folder / "01_b.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text.strip() == str(tmp_path)
    index = (folder / "report.html").read_text()
    assert 'href="00_a.html"' in index and (folder / "00_a.html").stat().st_size
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["passed"] and summary["parameters"] == {"name": "x"}
    assert [result["seconds"] > 0 for result in summary["results"]] == [True, True]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["passed", "00_a.ipynb"], ["passed", "01_b.ipynb"]]
    assert nbformat.read(paths[0], as_version=4).cells[0].source == "name = 'unset'"


def test_a_notebook_that_only_looks_runs_again_where_something_has_changed(tmp_path, capsys):
    log = tmp_path / "log.txt"
    path = write_notebook(tmp_path, "02_c.ipynb", f"open({str(log)!r}, 'a').write(name)", parameters="name = 'a'")

    def run(name: str, number: int) -> str:
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        given = {"name": name} if number > 1 else {}  # the default is the same as if it was named
        done = runner.run_all([path], given, folder, runner.Progress(2, is_terminal=False))
        assert done.passed and (folder / "02_c.html").stat().st_size
        assert nbformat.read(folder / "02_c.ipynb", as_version=4).cells[-1].execution_count
        assert "1 of\n  1 notebooks have run" in (folder / "report.html").read_text()
        return done.results[0].status

    assert [run("a", 1), run("a", 2), run("b", 3), run("b", 4)] == ["passed", "unchanged", "passed", "unchanged"]
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["unchanged", "02_c.ipynb"]
    (tmp_path / ".kept" / "02_c" / "02_c.html").unlink()
    assert run("b", 5) == "passed"
    write_notebook(tmp_path, "02_c.ipynb", f"open({str(log)!r}, 'a').write('c')", parameters="name = 'unset'")
    assert run("b", 6) == "passed"
    assert log.read_text() == "abbc"


def test_a_parameter_may_be_an_expression(tmp_path):
    path = write_notebook(tmp_path, "00_a.ipynb", parameters="requests = 2 * 80\nsizes = [1, 2]")
    assert runner.known_parameters(path) == {"requests": "2 * 80", "sizes": [1, 2]}


def test_what_cannot_be_kept_is_no_failure(tmp_path, folder):
    path = write_notebook(tmp_path, "02_c.ipynb", "1")
    (tmp_path / ".kept").write_text("a file where the folder should be")
    assert runner.run_all([path], {}, folder, runner.Progress(1, is_terminal=False)).passed


def test_a_notebook_that_only_looks_and_fails_is_not_kept(tmp_path, folder):
    path = write_notebook(tmp_path, "03_d.ipynb", "1 / 0")
    statuses = [
        runner.run_all([path], {}, folder, runner.Progress(1, is_terminal=False)).results[0].status for _ in range(2)
    ]
    assert statuses == ["failed", "failed"]


def test_what_such_a_notebook_reads_decides(tmp_path):
    notebook, other = tmp_path / "02_c.ipynb", tmp_path / "model.json"
    notebook.write_text("{}"), other.write_text("{}")
    before = kept.digest_of(notebook, {"model": "a"}, [other])
    assert before == kept.digest_of(notebook, {"model": "a"}, [other]) != kept.digest_of(notebook, {}, [other])
    other.write_text("{ }")
    assert before != kept.digest_of(notebook, {"model": "a"}, [other])
    read = {str(file.relative_to(ROOT)) for file in kept.files()}
    assert not [name for name in read if name.rpartition("/")[2].startswith(".")]
    assert {"notebooks/workshop/plots.py", "lambda_src/predict/predictor.py", "models/practice/model.json"} <= read


def test_a_failing_cell_stops_the_run_and_is_shown(tmp_path, folder):
    paths = [
        write_notebook(tmp_path, "00_a.ipynb", "1 + 1"),
        write_notebook(tmp_path, "01_b.ipynb", "ready = False", "assert ready, 'the store is empty'", "print('after')"),
        write_notebook(tmp_path, "02_c.ipynb", "1 + 1"),
    ]
    run = runner.run_all(paths, {}, folder, runner.Progress(5, is_terminal=False))
    assert [result.status for result in run.results] == ["passed", "failed", "not run"]
    shown = run.results[1].error
    assert shown.startswith("01_b.ipynb failed in cell [2]")
    assert "    assert ready, 'the store is empty'" in shown
    assert "AssertionError: the store is empty" in shown
    assert "the store is empty" in (folder / "report.html").read_text()
    assert (folder / "01_b.html").exists() and not (folder / "02_c.ipynb").exists()
    assert not json.loads((folder / "summary.json").read_text())["passed"]


def test_a_notebook_is_saved_while_it_runs_but_not_at_each_cell(tmp_path, folder, monkeypatch):
    cells = ["1 + 1"] * 30 + ["import time; time.sleep(2.5)", "2 + 2", "import time; time.sleep(0.1)"]
    path = write_notebook(tmp_path, "00_a.ipynb", *cells)
    whole, done = [], papermill.engines.write_ipynb

    def write(notebook, place):
        whole.append(sum(cell["execution_count"] is not None for cell in notebook.cells))
        done(notebook, place)

    monkeypatch.setattr(papermill.engines, "write_ipynb", write)
    assert runner.run_all([path], {}, folder, runner.Progress(len(cells), is_terminal=False)).passed
    assert whole[-1] == len(cells)
    assert 31 <= whole[-2] < len(cells) and len(whole) < 10


def test_a_kernel_that_dies_is_a_failure(tmp_path, folder):
    path = write_notebook(tmp_path, "00_a.ipynb", "import os; os._exit(3)")
    run = runner.run_all([path], {}, folder, runner.Progress(1, is_terminal=False))
    assert run.results[0].status == "failed"
    assert "Kernel" in run.results[0].error


def test_the_progress_is_one_bar_over_all_cells(tmp_path, folder, capsys):
    paths = [write_notebook(tmp_path, f"0{number}_a.ipynb", *["1 + 1"] * 3) for number in range(2)]
    progress = runner.Progress(6, is_terminal=True)
    runner.run_all(paths, {}, folder, progress)
    shown = capsys.readouterr().err
    assert progress.bar.n == 6
    assert "cell 4 of 6" in shown and "01_a" in shown


def test_a_kernel_of_the_users_with_the_same_name_is_not_used(tmp_path, folder, monkeypatch):
    kernel = tmp_path / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "Mine", "language": "python"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    path = write_notebook(tmp_path, "00_a.ipynb", "import sys; print(sys.executable)")
    assert runner.run_all([path], {}, folder, runner.Progress(1, is_terminal=False)).passed
    executed = nbformat.read(folder / "00_a.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text.strip() == sys.executable


def test_two_runs_at_once_say_so(tmp_path):
    says = pytest.raises(runner.RunError, match=rf"another run.*process {os.getpid()}")
    with runner.alone(tmp_path), says, runner.alone(tmp_path):
        pass
    with runner.alone(tmp_path):
        pass


def test_latest_names_the_newest_run(tmp_path):
    first, second = runner.new_folder(tmp_path), runner.new_folder(tmp_path)
    assert first != second
    assert (tmp_path / "latest").resolve() == second.resolve()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first.name, second.name, "latest"])


def test_parameters_are_those_named_with_their_types():
    chosen = runner.parse(["--target", "aws", "--project-id", "ab", "-p", "count", "3", "-p", "word", "three"])
    assert runner.parameters_of(chosen) == {"target": "aws", "project_id": "ab", "count": 3, "word": "three"}
    assert runner.parameters_of(runner.parse([])) == {}


def test_parameters_of_the_stacks_go_to_the_notebooks_that_deploy_them():
    parameters = runner.parameters_of(runner.parse(["MemorySize=3008", "ApiLogsRole=true", "AlarmEmail=a=b@c.d"]))
    assert parameters == {"chosen": {"MemorySize": "3008", "ApiLogsRole": "true", "AlarmEmail": "a=b@c.d"}}
    shares = runner.share(parameters, runner.notebooks())
    assert [path.stem for path, share in shares.items() if share == parameters] == [
        "00_start_here", "05_build_and_deploy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("imagenet", "imagenet"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("./models/practice/", str(ROOT / "models" / "practice")),
        (str(ROOT / "docs"), str(ROOT / "docs")),
    ],
)
def test_a_path_to_a_model_is_taken_from_the_repository(model, expected):
    assert runner.parameters_of(runner.parse(["--model", model]))["model"] == expected


def test_a_deploy_ends_with_the_urls_the_inbox_and_a_prediction():
    run = runner.Run("2026-01-02 03:04:05 UTC", {}, [], endpoint="http://127.0.0.1:4566/x/predict")
    run.facts = {"front_page": "http://127.0.0.1:4566/x/", "inbox": ""}
    run.prediction = {"predictions": [{"class": "n03445777 golf ball", "probability": 0.857}]}
    lines = [
        "Report    runs/a/report.html",
        "Page      http://127.0.0.1:4566/x/",
        "Endpoint  http://127.0.0.1:4566/x/predict",
        "           85.7%  n03445777 golf ball",
    ]
    assert runner.ending(run, "runs/a/report.html") == lines
    run.facts["inbox"] = "s3://a/inbox/"
    assert runner.ending(run, "runs/a/report.html") == [*lines[:3], "Inbox     s3://a/inbox/", lines[3]]


def test_the_facts_of_a_stack_name_its_page_and_its_inbox():
    outputs = {"Api": "a1", "PredictFunction": "predict"}
    function = {"Runtime": "python3.13", "MemorySize": 1769, "Timeout": 29, "CodeSize": 1}
    lab = SimpleNamespace(
        target="local", endpoint_url="http://127.0.0.1:9", app_stack="a-app", outputs=lambda stack: outputs,
        client=lambda service: SimpleNamespace(
            get_paginator=lambda name: SimpleNamespace(paginate=lambda StackName: []),
            get_function_configuration=lambda FunctionName: function,
        ),
    )  # fmt: skip
    facts = report.facts(lab)
    assert facts["front_page"] == "http://127.0.0.1:9/restapis/a1/Prod/_user_request_/"
    assert facts["inbox"] == ""
    outputs["InboxBucket"] = "a-inbox"
    assert report.facts(lab)["inbox"] == "s3://a-inbox/inbox/"


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "workshop.headless.runner", *arguments]
    environment = os.environ | variables
    return subprocess.run(
        line, cwd=ROOT / "notebooks", env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "taget", "aws"], "no notebook has a parameter 'taget'"),
        (["--project-id", "Predictions"], "2 to 15 characters"),
        (["--region", "nowhere"], "is not valid"),
        (["--target", "asw"], "'local' (the emulator) or 'aws'"),
        (["--precision", "int4"], "expected one of float32, int8"),
        (["AlarmEmial=x"], "did you mean AlarmEmail?"),
        (["--target", "aws"], "no AWS credentials were found"),
        (["--endpoint", "--port", "9"], "does not answer"),
    ],
)
def test_what_cannot_start_is_one_line_and_a_non_zero_exit(arguments, said):
    result = command(*arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_an_interruption_ends_the_kernel_too(tmp_path, folder):
    beat = tmp_path / "kernel.pid"
    source = f"import os, time; open({str(beat)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    write_notebook(tmp_path, "00_a.ipynb", source)
    script = (
        "import sys; from pathlib import Path; from workshop.headless import runner\n"
        "runner.notebooks = lambda **chosen: [Path(sys.argv[1])]\n"
        "runner.prepare_environment = lambda *arguments: None\n"
        "runner.lab_of = lambda parameters: runner.Lab('local', 'us-east-1', 'predictions')\n"
        "runner.with_the_deployed_model = lambda parameters, lab: parameters\n"
        "runner.RUNS = runner.ROOT / 'runs'\n"
        "runner.new_folder = lambda: Path(sys.argv[2])\n"
        "runner.building_ahead = lambda *arguments: __import__('contextlib').nullcontext()\n"
        "runner.alone = __import__('contextlib').nullcontext\n"
        "runner.ROOT = Path('/')\n"
        "sys.exit(runner.main([]))\n"
    )
    line = [sys.executable, "-c", script, str(tmp_path / "00_a.ipynb"), str(folder)]
    process = subprocess.Popen(line, cwd=ROOT / "notebooks", stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (beat.exists() and beat.read_text()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "interrupted" in err.strip().splitlines()[-1]
    kernel = int(beat.read_text())
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        deadline = time.monotonic() + 20
        while Path(f"/proc/{kernel}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, "the kernel lives on"
            time.sleep(0.1)
            os.kill(kernel, 0)


NOTE = "import time; open({file!r}, 'a').write(f'{{time.time()}}\\n')"


def own_kernels() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "ipykernel_launcher" in " ".join(each.cmdline())]


def test_the_modules_of_a_notebook_are_read_from_its_cells(tmp_path):
    path = write_notebook(
        tmp_path,
        "00_a.ipynb",
        "import os.path, json as j",
        "%matplotlib inline",
        "def f():\n  from email import policy",
    )
    assert kernels.imported(path) == ["os.path", "json", "email", "email.policy"]


def test_the_modules_of_a_notebook_of_the_lab_are_found():
    modules = kernels.imported(next(path for path in runner.notebooks() if path.name.startswith("05_")))
    assert {"workshop.deployment.build", "matplotlib.pyplot", "workshop.lab"} <= set(modules)


def test_a_module_that_cannot_be_imported_is_left_to_the_cell(monkeypatch, tmp_path):
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    kernels.import_ahead(["no.such.module", "broken_module", "colorsys"])
    assert "colorsys" in sys.modules


def test_a_module_that_is_imported_ahead_is_no_name_of_the_notebook(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    paths = [
        write_notebook(tmp_path, "00_a.ipynb", "1"),
        write_notebook(
            tmp_path, "01_b.ipynb", "import sys; assert 'mine' in sys.modules", "if False:\n  import mine\nmine"
        ),
    ]
    (tmp_path / "mine.py").write_text("")
    run = runner.run_all(paths, {}, folder, runner.Progress(3, is_terminal=False))
    assert [result.status for result in run.results] == ["passed", "failed"]
    assert "failed in cell [2]" in run.results[1].error and "NameError" in run.results[1].error


@pytest.mark.parametrize(("first", "ahead"), [("00_a.ipynb", True), ("08_a.ipynb", False)])
def test_the_next_kernel_starts_while_one_runs_that_does_not_measure(tmp_path, folder, first, ahead):
    ended, started = tmp_path / "ended", tmp_path / "started"
    (tmp_path / "noted.py").write_text(NOTE.format(file=str(started)))
    paths = [
        write_notebook(tmp_path, first, "import time; time.sleep(3)", NOTE.format(file=str(ended))),
        write_notebook(tmp_path, "09_b.ipynb", "import noted", "1 / 0"),
        write_notebook(tmp_path, "09_c.ipynb", "1"),  # whose kernel starts in vain, if at all
    ]
    run = runner.run_all(paths, {}, folder, runner.Progress(5, is_terminal=False))
    assert [result.status for result in run.results] == ["passed", "failed", "not run"]
    assert (float(started.read_text()) < float(ended.read_text())) is ahead
    assert not own_kernels()


def test_a_kernel_that_starts_in_vain_is_ended(tmp_path, folder):
    paths = [write_notebook(tmp_path, "00_a.ipynb", "1 / 0"), write_notebook(tmp_path, "01_b.ipynb", "1")]
    assert not runner.run_all(paths, {}, folder, runner.Progress(2, is_terminal=False)).passed
    assert not own_kernels()


def test_no_kernel_is_started_for_a_notebook_that_is_kept(tmp_path):
    looks = write_notebook(tmp_path, "02_b.ipynb", "1")
    paths = [
        write_notebook(tmp_path, "00_a.ipynb", "1"),
        looks,
        write_notebook(tmp_path, "04_c.ipynb", "import sys; assert 'colorsys' in sys.modules", "import colorsys"),
    ]
    for number in range(2):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        run = runner.run_all(paths, {}, folder, runner.Progress(4, is_terminal=False))
        assert run.passed, [result.error for result in run.results]
    assert run.results[1].status == "unchanged"

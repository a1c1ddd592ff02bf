"""The notebooks as they are committed: the design's conventions, which nbval itself does not look at.

That their outputs are what they print today is nbval's part: `pytest notebooks` runs them in order.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.solutions import exercises, first_exercise
from workshop import ROOT
from workshop import exercises as workshop_exercises
from workshop.printing import WIDTH

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9A][0-9]_*.ipynb"))
EXPECTED = [
    "00_start_here",
    "01_fetch_models",
    "02_inspect_predictions",
    "03_measure_predictions",
    "04_edit_iam",
    "05_build_and_deploy",
    "06_call_the_endpoint",
    "07_ship_a_model",
    "08_predict_at_scale",
    "09_plan_cost_and_peaks",
    "10_clean_up",
    "A1_train_the_practice_model",
]
# Whatever machine ran them last must not show.
TRACES = re.compile(
    r"(/(home|root|work|Users|tmp|opt)/|site-packages|\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}:4[0-9]{4}\b)"
)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def printed(path: Path) -> str:
    """All text that the committed outputs show."""
    texts = []
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            texts.append("".join(output.get("text", [])))
            texts += ["".join(data) for kind, data in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(texts)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_every_notebook_of_the_lab_is_there():
    assert set(EXPECTED) <= {path.stem for path in NOTEBOOKS}


def test_it_opens_with_one_title_and_a_short_introduction(notebook):
    texts = [source(cell) for cell in cells(notebook, "markdown")]
    fenceless = re.sub(r"(?s)```.*?```", "", "\n".join(texts))
    assert texts[0].startswith("# ")
    assert len(re.findall(r"(?m)^# ", fenceless)) == 1
    introduction = texts[0].partition("\n")[2]
    assert len(introduction.split()) <= 120


def test_its_parameters_are_one_cell_of_literals(notebook):
    tagged = [cell for cell in cells(notebook, "code") if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    for statement in ast.parse(source(tagged[0])).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)


def test_its_code_cells_are_short(notebook):
    long = [source(cell) for cell in cells(notebook, "code") if len(source(cell).strip().splitlines()) > 20]
    assert not long


def test_its_outputs_are_of_one_clean_run(notebook):
    code = cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]


def test_its_outputs_name_no_place_of_the_machine_that_made_them(notebook):
    assert not TRACES.findall(printed(notebook))


def test_its_printed_lines_fit_a_page(notebook):
    texts = [
        (cell["id"], "".join(output["text"]))
        for cell in cells(notebook, "code")
        for output in cell["outputs"]
        if output["output_type"] == "stream"
    ]
    lines = [(name, line) for name, text in texts for line in text.splitlines() if not re.search(r"\d%\|", line)]
    assert [(name, line) for name, line in lines if len(line) > WIDTH] == []


def test_its_figures_have_alternative_text(notebook):
    figures = [
        (cell["id"], output["metadata"])
        for cell in cells(notebook, "code")
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert [name for name, metadata in figures if len(metadata.get("image/png", {}).get("alt", "")) < 20] == []


def test_it_ends_with_a_check_that_can_fail(notebook):
    tree = nbformat.read(notebook, 4)
    code = [cell.source for cell in tree.cells[: first_exercise(tree)] if cell.cell_type == "code"]
    assert any("assert " in text for text in code[-4:])


def test_it_runs_in_any_python3_kernel_and_its_cells_have_ids(notebook):
    tree = read(notebook)
    assert tree["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell.get("id") for cell in tree["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)


def test_it_waits_for_conditions_and_not_for_time(notebook):
    assert "time.sleep" not in "\n".join(source(cell) for cell in cells(notebook, "code"))


def test_its_exercises_have_cells_to_answer_in_and_solutions_that_the_check_calls_right(notebook):
    found = exercises(nbformat.read(notebook, 4))
    assert found
    for text, answer, check, solution in found:
        assert answer and check and solution, text
        assert all(ast.unparse(line.value).strip("()") in ("...", "..., ...") for line in ast.parse(answer).body), (
            answer
        )
        called = ast.parse(check).body[-1].value
        assert ast.unparse(called.func).startswith("exercises."), check
        asserted = [node for node in ast.walk(ast.parse(solution)) if isinstance(node, ast.Assert)]
        assert any(ast.unparse(called) in ast.unparse(node.test) for node in asserted), solution
        names = [node.id for node in ast.walk(ast.parse(answer)) if isinstance(node, ast.Name)]
        assert names == [ast.unparse(one) for one in called.args], check
        parameters = inspect.signature(getattr(workshop_exercises, called.func.attr)).parameters.values()
        assert names == [one.name for one in parameters if one.kind is not inspect.Parameter.KEYWORD_ONLY], check


def test_it_ends_with_five_questions_and_their_folded_answers(notebook):
    last = source(read(notebook)["cells"][-1])
    form = r"## Questionnaire\n\n(.*\?)\n\n<details><summary>Answers</summary>\n\n(.*)\n\n</details>"
    found = re.fullmatch(form, last, re.DOTALL)
    assert found, last
    for part in found.groups():
        assert re.findall(r"(?m)^(\d)\. \S", part) == list("12345")


def test_solutions_run_behind_the_notebook_and_a_wrong_one_fails(tmp_path):
    texts = ["## Exercises\n\n1. Double it."]
    texts += [
        f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\nSo.\n\n</details>"
        for code in ("print(two)\nassert two == 2", "assert two == 3, 'it is not three'")
    ]
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [*map(nbformat.v4.new_markdown_cell, texts), nbformat.v4.new_code_cell("two = 1 + 1")]
    nbformat.write(book, tmp_path / "00_a.ipynb")
    (tmp_path / "conftest.py").write_text(
        f"exec(open({str(ROOT / 'conftest.py')!r}).read())\nshared_emulator = lambda config: None\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "00_a.ipynb"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "1 failed, 2 passed" in run.stdout, run.stdout
    assert "it is not three" in run.stdout


def test_nbval_collects_the_labs_notebooks_in_order(pytestconfig):
    assert pytestconfig.getoption("nbval")
    assert pytestconfig.getini("testpaths")[-1] == "notebooks"
    assert [path.stem for path in NOTEBOOKS] == sorted(path.stem for path in NOTEBOOKS)

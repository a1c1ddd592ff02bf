"""What JupyterLab's kernel sent, judged by nbval: another output fails, and so does a cell that did not run."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval.plugin import IPyNbFile, NbCellError

from tests import recorded


def message(request, kind, **content):
    return {"parent_header": {"msg_id": request}, "msg_type": kind, "content": content}


def run(request, code, *said):
    """The messages of one cell, as a kernel sends them."""
    return [
        message(request, "status", execution_state="busy"),
        message(request, "execute_input", code=code, execution_count=1),
        *said,
        message(request, "status", execution_state="idle"),
    ]


def stream(request, text):
    return message(request, "stream", name="stdout", text=text)


SENT = [
    message("", "status", execution_state="starting"),
    *run("a", "requests = 8", stream("a", "8\n")),
    *run("moved", "", stream("moved", "by a person"))[2:],  # of a widget: no code came with it
    *run("b", "2", stream("b", "took 3 s\n")),
    *run("c", "3")[:-1],  # not done
]
ONCE_MORE = [*run("d", "requests = 160", stream("d", "160\n")), *run("e", "2", stream("e", "took 5 s\n"))]


@pytest.fixture
def judged(request, tmp_path):
    """nbval's items for a notebook of two cells with given outputs, before a recording of SENT."""

    def items(first="160\n", second="took 4 s\n", codes=("requests = 160", "2"), once_more=("requests = 160", "2")):
        cells = [
            new_code_cell(code, execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
            for code, text in zip(codes, (first, second), strict=True)
        ]
        path = tmp_path / "notebook.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        file = IPyNbFile.from_parent(request.session, path=path)
        found = list(file.collect())
        kept = recorded.Recording.__new__(recorded.Recording)
        kept.messages = SENT + ONCE_MORE[: 4 * len(once_more)]
        kept.keep(path, once_more)
        recorded.set_up(file, recorded.of(path))
        return found

    yield items
    recorded._recordings.pop((tmp_path / "notebook.ipynb").resolve(), None)


def test_cells_are_told_apart_and_one_that_is_not_done_is_left_out():
    assert [(cell.request, cell.code) for cell in recorded.cells_of(SENT)] == [("a", "requests = 8"), ("b", "2")]


@pytest.mark.parametrize("once_more", [("requests = 160",), ("requests = 160", "2")])
def test_the_same_output_passes_and_what_is_sanitised_may_differ(judged, once_more):
    for item in judged(once_more=once_more):
        item.runtest()


def test_another_output_fails(judged):
    first, second = judged(first="8\n")
    with pytest.raises(NbCellError, match="outputs differ"):
        first.runtest()
    second.runtest()


def test_other_parameters_fail_where_the_committed_ones_did_not_run(judged):
    first, second = judged(once_more=())
    with pytest.raises(AssertionError, match="requests = 8"):
        first.runtest()
    second.runtest()


def test_a_cell_that_jupyterlab_did_not_run_fails(judged):
    first, second = judged(codes=("requests = 160", "3"), once_more=("requests = 160",))
    first.runtest()
    with pytest.raises(AssertionError, match=json.dumps("2")):
        second.runtest()


def test_what_runs_once_more_has_run_before():
    kept = recorded.Recording.__new__(recorded.Recording)
    kept.messages = [*run("a", "1"), *run("d", "1"), *run("e", "2")]
    with pytest.raises(AssertionError, match="did not run"):
        kept.keep(Path("any.ipynb"), ["1", "2"])


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([stream("a", "8\n")], ""),
        ([message("a", "stream", name="stderr", text="\n")], ""),
        ([message("a", "stream", name="stderr", text="requests:  50%|█████     | 4/8")], ""),
        (
            [message("a", "stream", name="stderr", text=text) for text in ("Future", "Warning: no\n")],
            "FutureWarning: no",
        ),
        (
            [
                message("a", "stream", name="stderr", text="50%|█████     | 4/8"),
                stream("a", "8\n"),
                message("a", "stream", name="stderr", text="no"),
            ],
            "no",
        ),
        ([message("a", "error", ename="NameError", traceback=["line 1", "NameError: x"])], "line 1\nNameError: x"),
    ],
)
def test_an_error_and_a_warning_are_problems_and_a_progress_bar_is_none(said, problem):
    (cell,) = recorded.cells_of(run("a", "1", *said))
    assert cell.problem == problem


def test_waiting_ends_when_all_has_run_or_something_has_failed():
    kept = recorded.Recording.__new__(recorded.Recording)
    kept.messages = [*run("a", "1"), *run("b", "2")]
    kept.wait_for(2, seconds=0)
    with pytest.raises(TimeoutError, match="1 cells are still to run"):
        kept.wait_for(3, seconds=0)
    kept.messages += run("c", "3", message("c", "error", ename="NameError"))
    kept.wait_for(9, seconds=0)

"""What JupyterLab's kernel sent, judged by nbval: another output fails, and so does a cell that did not run."""

import json

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


@pytest.fixture
def judged(request, tmp_path):
    """nbval's items for a notebook of two cells with given outputs, before a recording of SENT."""

    def items(first="160\n", second="took 4 s\n", codes=("requests = 160", "2")):
        cells = [
            new_code_cell(code, execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
            for code, text in zip(codes, (first, second), strict=True)
        ]
        path = tmp_path / "notebook.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        file = IPyNbFile.from_parent(request.session, path=path)
        found = list(file.collect())
        kept = recorded.Recording.__new__(recorded.Recording)
        kept.messages = SENT
        kept.keep(path, {"requests = 160": "requests = 8"})
        recorded.set_up(file, recorded.of(path))
        return found

    yield items
    recorded._recordings.pop((tmp_path / "notebook.ipynb").resolve(), None)


def test_cells_are_told_apart_and_one_that_is_not_done_is_left_out():
    assert [(cell.request, cell.code) for cell in recorded.cells_of(SENT)] == [("a", "requests = 8"), ("b", "2")]


def test_the_same_output_passes_and_what_is_sanitised_may_differ(judged):
    for item in judged(first="8\n"):
        item.runtest()


def test_another_output_fails(judged):
    first, second = judged()
    with pytest.raises(NbCellError, match="outputs differ"):
        first.runtest()
    second.runtest()


def test_a_cell_that_jupyterlab_did_not_run_fails(judged):
    first, second = judged(first="8\n", codes=("requests = 160", "3"))
    first.runtest()
    with pytest.raises(AssertionError, match=json.dumps("2")):
        second.runtest()

"""Figures: their alternative text, and titles that state the data."""

import ast
import base64
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from traitlets.config import Config

from workshop import ROOT, plots
from workshop.headless import execution
from workshop.scale import figures

MODULES = sorted((ROOT / "notebooks" / "workshop").rglob("*.py"))
CALLS = {"headline": 3, "canvas": 4}  # how many arguments there are with the alternative text


@pytest.fixture
def shell():
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    select_figure_formats(shell, {"png"})
    return shell


def test_a_figure_is_shown_as_png_with_its_alternative_text(shell):
    figure, _ = plt.subplots(figsize=(1, 1))
    plots.headline(figure, "Twice\nas many", "Bars of a and b")
    data, metadata = shell.display_formatter.format(figure)
    plt.close(figure)
    assert "image/png" in data
    assert metadata["image/png"]["alt"] == "Bars of a and b. Twice as many."


@pytest.mark.slow
def test_a_page_of_a_notebook_has_the_alternative_text(tmp_path):
    bundle = {"image/png": base64.b64encode(b"png").decode()}
    metadata = {"image/png": {"alt": 'Bars of "a" & b'}}
    output = nbformat.v4.new_output("display_data", bundle, metadata=metadata)
    bare = nbformat.v4.new_output("display_data", bundle)
    cells = [nbformat.v4.new_code_cell("show()", outputs=[output, bare])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "00_a.ipynb")
    page = execution.write_page(tmp_path / "00_a.ipynb").read_text(encoding="utf-8")
    texts = [image["alt"] for image in BeautifulSoup(page, "html.parser").find_all("img")]
    assert texts == ['Bars of "a" & b', "No description has been provided for this image"]


def unnamed(module: Path) -> list[int]:
    """The lines of calls that give a figure a title and no alternative text."""
    lines = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if len(node.args) < CALLS.get(name, 0):
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.relative_to(ROOT).as_posix())
def test_each_figure_has_alternative_text_where_it_is_made(module):
    assert unnamed(module) == []


def test_a_figure_without_alternative_text_is_seen(tmp_path):
    module = tmp_path / "figures.py"
    module.write_text("headline(figure, 'One')\nplots.headline(figure, 'One', 'Bars')\ncanvas(1, 2, 'Two')\n")
    assert unnamed(module) == [1, 3]


@pytest.mark.parametrize(
    ("slow", "title"),
    [(30.0, "0.50 times the duration, 1.00 times the price"), (150.0, "2.50 times the duration, 5.00 times the price")],
    ids=["faster", "slower"],
)
def test_the_title_about_memory_compares_the_measured_durations(slow, title):
    sizes = np.array([1000, 2000])
    figures.memory(sizes, np.array([60.0, 60.0]), np.array([1.0, 2.0]), {1769: 60.0, 3538: slow})
    assert plt.gcf().get_suptitle() == f"3,538 MB instead of 1,769: {title}"
    plt.close()

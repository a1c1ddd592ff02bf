"""`make lab` as a person uses it: JupyterLab opens, each notebook runs by Run All Cells, and no error is to be seen."""

import contextlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from tests import building
from tests.browser.labpage import NOTEBOOKS, check, edit, menu, run_all, run_for_all, run_in, take, wait_until_done
from tests.recorded import Recording


def test_screenshot_of_the_first_notebook_with_nothing_to_choose(opened, lab, screenshots):
    page, panel = opened(lab.url)
    assert page.locator(".jp-mod-current [role=tab]:visible, .lm-TabBar-tab.jp-mod-current").first.is_visible()
    assert panel.locator("h1").first.inner_text().startswith("Start here")
    contents = page.locator(".jp-TableOfContents:visible")
    for heading in ("The application", "Check", "Exercises"):
        contents.get_by_text(heading, exact=True).wait_for()
    assert page.locator(".jp-Dialog").count() == 0, page.locator(".jp-Dialog").inner_text()
    assert page.locator(".Toastify__toast").count() == 0  # no news to agree to, no build to start
    take(page, panel, screenshots("lab"))


def test_prints_nothing_but_where_it_is(lab):
    printed = [line.strip() for line in lab.log.read_text().splitlines()]
    known = re.compile(r"|\[C .*ServerApp\]|To access the server.*|Or copy and paste.*|file:/\S+|http://\S+")
    assert not [line for line in printed if not known.fullmatch(line)]


def named(number: str) -> Path:
    return next(file for file in NOTEBOOKS if file.name.startswith(number))


def problem(page: Page, panel: Locator) -> str:
    """Run all cells; what the one cell that fails shows: a sentence, and no line of code."""
    (said,) = [cell["problem"] for cell in run_all(page, panel) if cell["problem"]]
    assert len(said.splitlines()) == 1, said
    return said


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (
            "04",
            "LabError: the emulator does not answer .+: (run notebook 00, or `make deploy`|give the command PORT=.+)",
        ),
        ("06", "LabError: stack 'predictions-app' does not exist in us-east-1: run notebook 05.*, or `make deploy`"),
    ],
)
def test_too_early_it_says_what_must_run_first(opened, number, sentence):
    assert re.fullmatch(sentence, problem(*opened(named(number).name)))


def test_without_its_model_it_says_which_notebook_fetches_it(opened):
    page, panel = opened(named("02").name)
    edit(page, panel, {'"practice"': '"imagenet"'})
    assert re.search("Run 01_fetch_models with the same model first", problem(page, panel))


# In a fresh project, in the browser. 02 makes nothing in a project: test_widget.py runs it, and goes on in it.
CLEAN_UP = named("10")
FIRST = [file for file in NOTEBOOKS if file not in (named("02"), CLEAN_UP)]
# Then in one that is there: 00 cell by cell, the others without a page. Not again: 07 to 09, which measure for minutes.
AGAIN = [file for file in FIRST if file not in map(named, ("00", "07", "08", "09"))]
# Fewer requests; 12 in a round are as many for each client, of one to four. The cell that announces their cost runs
# once more with the committed parameters. No other output that is compared depends on them. nbval alone
# (`pytest notebooks`) sends all requests.
SHORTER = {
    "08": {"requests = 160": "requests = 24", "rounds = 8": "rounds = 2"},
    "09": {"requests = 160": "requests = 96", "repeats = 20": "repeats = 5"},
}


def alone(notebook: Path) -> contextlib.AbstractContextManager[None]:
    return building.alone() if notebook == named("05") else contextlib.nullcontext()


@pytest.fixture(scope="module")
def console(lab):
    """A kernel of this JupyterLab that no page shows."""
    with Recording(lab.start_console()) as kernel:
        yield kernel
    lab.stop_kernels("console")


@pytest.mark.parametrize("notebook", FIRST, ids=lambda file: file.stem)
def test_run_all_shows_no_error(opened, lab, screenshots, notebook):
    page, panel = opened(notebook.name)
    with alone(notebook):
        run_for_all(page, panel, lab, screenshots, notebook, SHORTER.get(notebook.stem[:2], {}))


def test_cell_by_cell_runs_as_well(opened):
    page, panel = opened(named("00").name)
    menu(page, "Edit", "Clear Outputs of All Cells")
    panel.locator(".jp-Cell").first.click()
    page.keyboard.press("Escape")
    for _ in range(panel.locator(".jp-Cell").count() - 1):
        page.keyboard.press("Shift+Enter")
    page.keyboard.press("Control+Enter")  # which makes no new cell behind the last one
    check(panel, wait_until_done(page, panel))


@pytest.mark.parametrize("notebook", AGAIN, ids=lambda file: file.stem)
def test_it_runs_again_in_a_project_that_is_there(console, notebook):
    with alone(notebook):
        run_in(console, notebook)


def test_the_clean_up_shows_no_error(opened, lab, screenshots):
    run_for_all(*opened(CLEAN_UP.name), lab, screenshots, CLEAN_UP, {})


def test_the_clean_up_runs_where_nothing_is_left_to_clean(console):
    run_in(console, CLEAN_UP)

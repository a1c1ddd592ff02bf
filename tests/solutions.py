"""The exercises of a notebook, the cells below each, and their folded solutions.

An exercise is a numbered paragraph of a Markdown cell below `## Exercises`. Below it are a code cell for the answers,
each of them `...` at first, and a code cell that ends in a call of `workshop.exercises`. The Markdown cell after these
is

    <details><summary>Solution</summary>

    ```python
    …code that runs in this notebook after its last cell, and asserts that the check calls it right…
    ```

    </details>
"""

import re

from nbformat import NotebookNode

SOLUTION = re.compile(r"\A<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n.*</details>\Z", re.DOTALL)
EXERCISE = re.compile(r"^\d+\. ", re.MULTILINE)


def solutions(notebook: NotebookNode) -> list[str]:
    """The code of each folded solution, in order."""
    texts = [cell.source.strip() for cell in notebook.cells if cell.cell_type == "markdown"]
    return [found[1] for found in map(SOLUTION.match, texts) if found]


def first_exercise(notebook: NotebookNode) -> int:
    """The index of the cell with the heading `## Exercises`; the number of cells when there is none."""
    headings = (bool(re.search(r"^## Exercises?$", cell.source, re.MULTILINE)) for cell in notebook.cells)
    return next((index for index, found in enumerate(headings) if found), len(notebook.cells))


def exercises(notebook: NotebookNode) -> list[tuple[str, str, str, str]]:
    """(text, the cell for the answers, the cell that checks them, the solution's code) of each exercise; "" for each
    that is missing. A cell with two exercises has the cells of one.
    """
    cells = [(cell.cell_type, cell.source.strip()) for cell in notebook.cells[first_exercise(notebook) :]]
    cells = [(kind, text) for kind, text in cells if not text.startswith("## Questionnaire")]
    found = []
    for at, (kind, text) in enumerate(cells):
        numbers = EXERCISE.findall(text) if kind == "markdown" and not SOLUTION.match(text) else []
        below = [*cells[at + 1 : at + 4], ("", ""), ("", ""), ("", "")][:3]
        whole = [kind for kind, _ in below] == ["code", "code", "markdown"] and SOLUTION.match(below[2][1])
        for number in numbers:
            (_, answer), (_, check) = below[:2]
            complete = whole and number == numbers[-1]
            found.append((text, answer, check, whole[1]) if complete else (text, "", "", ""))
    return found

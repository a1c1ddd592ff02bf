"""The exercises of a notebook and their folded solutions.

An exercise is a numbered paragraph of a Markdown cell below `## Exercises`; the Markdown cell right after it is

    <details><summary>Solution</summary>

    ```python
    …code that runs in this notebook after its last cell, and asserts what it found…
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


def exercises(notebook: NotebookNode) -> list[tuple[str, bool]]:
    """(text, is followed by its solution) of each exercise."""
    cells = notebook.cells
    begin = next((i for i, cell in enumerate(cells) if re.search(r"^## Exercises?$", cell.source, re.MULTILINE)), None)
    if begin is None:
        return []
    found = []
    for cell, following in zip(cells[begin:], [*cells[begin + 1 :], None], strict=True):
        numbered = EXERCISE.findall(cell.source) if not SOLUTION.match(cell.source.strip()) else []
        for position, _ in enumerate(numbered, 1):
            solved = position == len(numbered) and following and SOLUTION.match(following.source.strip())
            found.append((cell.source, bool(solved)))
    return found

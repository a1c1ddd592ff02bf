"""Relative links in the Markdown files and notebooks lead to files and headings that are there."""

import json
import re
from pathlib import Path

import pytest

from scripts import language
from workshop import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")


FILES = (*language.FILES, "benchmarks/*.md", "models/practice/*.md", "notebooks/samples/*.md")
TEXTS = sorted({path for pattern in FILES for path in ROOT.glob(pattern)})


def markdown(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"(?s)```.*?```", "", text)


def anchors(path: Path) -> set[str]:
    """The names of a text's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", markdown(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(path: Path) -> list[str]:
    found = []
    for link in LINK.findall(markdown(path)):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            target = (path.parent / name) if name else path
            if not target.exists() or (anchor and anchor not in anchors(target)):
                found.append(link)
    return found


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_link_is_dead(path):
    assert dead(path) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "b.md").write_text("# One, two\n")
    text = "[1](b.md#one-two) [2](b.md#three) [3](c.md) [4](#here) [5](https://example.com)"
    (tmp_path / "a.md").write_text(f"{text}\n\n```\n[6](d.md)\n```\n# Here\n")
    assert dead(tmp_path / "a.md") == ["b.md#three", "c.md"]

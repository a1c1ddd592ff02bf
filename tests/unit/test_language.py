"""The counts of `make language`: sentences, their places, and clauses with "what"."""

import json

import pytest

from scripts import language

LONG = "It " + "is " * 29 + "so."  # 31 words


def found(text):
    return [(sentence.line, str(sentence)) for sentence in language.sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three\nfour! Five?", [(1, "One two."), (1, "Three four!"), (2, "Five?")]),
        ("About 3.5 s, e.g. here.", [(1, "About 3.5 s, e.g. here.")]),
        (
            "# Title\nText\n- one\n- two\n  three\n1. four",
            [(1, "Title"), (2, "Text"), (3, "one"), (4, "two three"), (6, "four")],
        ),
        ("| a b | `c` |\n|---|---:|\n| f | |", [(1, "a b"), (1, "CODE"), (3, "f")]),
        ("```python\nwhat = 1\n```\n\nAfter `a\nb` it.", [(5, "After CODE it.")]),
        ("See [the\nguide](docs/a.md) and ![a picture](b.png).", [(1, "See the guide and a picture.")]),
        ("<!-- what\nnot --> Seen. <b>Bold</b> **text**", [(2, "Seen."), (2, "Bold text")]),
        ("<details><summary>Solution</summary>\n\nIt is $a + b$.", [(1, "Solution"), (3, "It is CODE.")]),
        ("> Quoted\n> text.", [(1, "Quoted text.")]),
    ],
)
def test_sentences_and_the_lines_that_they_begin_on(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("It says what it does and what not.", 2),
        ("What is left is billed.", 1),
        ("What is billed?", 0),
        ("What is billed, and what is not?", 1),
        ("Whatever comes is `what`.", 0),
    ],
)
def test_clauses_with_what(text, clauses):
    (sentence,) = language.sentences(text)
    assert sentence.clauses == clauses


def write(folder, name, text):
    path = folder / name
    if name.endswith(".ipynb"):
        cells = [
            {"cell_type": "markdown", "id": "first", "source": ["# Title\n", "\n", text]},
            {"cell_type": "code", "id": "second", "source": [f"# {LONG} what what"]},
        ]
        text = json.dumps({"cells": cells})
    path.write_text(text)
    return str(path)


def test_a_good_file_passes(tmp_path, capsys):
    names = [write(tmp_path, name, "It is short. " * 120 + "It is what it is.") for name in ("a.md", "b.ipynb")]
    assert language.main(names) == 0
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(
    ("name", "place"),
    [("a.md", "a.md:1: "), ("b.ipynb", "b.ipynb, cell first, line 3: ")],
    ids=["markdown", "notebook"],
)
@pytest.mark.parametrize(
    ("text", "fault"),
    [(LONG, f"31 words: {LONG}"), ("It is what it is.", '"what": It is what it is.')],
    ids=["long", "what"],
)
def test_a_fault_is_named_with_its_file_line_and_sentence(tmp_path, capsys, name, place, text, fault):
    assert language.main([write(tmp_path, name, text)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{place}{fault}")


def test_30_words_are_not_too_many(tmp_path):
    assert language.main([write(tmp_path, "a.md", LONG.replace("is ", "", 1))]) == 0


def test_every_text_of_the_project_is_counted():
    named = {path.relative_to(language.ROOT).as_posix() for each in language.FILES for path in language.ROOT.glob(each)}
    assert {"README.md", "docs/style.md", "notebooks/02_inspect_predictions.ipynb"} <= named

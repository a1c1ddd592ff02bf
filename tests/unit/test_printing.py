"""Lines that fit a page."""

import pytest

from workshop.printing import WIDTH, fill, table

ARN = "cloudformation:us-east-1:aws:transform/Serverless-2016-10-31-and-a-name-that-is-longer-than-others"


def test_a_narrow_table_is_aligned():
    assert table(["a", "long"], [["wide", 1]]).splitlines() == ["a     long", "────  ────", "wide  1"]


def test_a_wide_last_column_is_broken_between_its_words():
    price = "for 1,000,000 requests, " * 5
    lines = table(["name", "price"], [["x" * 40, price], ["y", "22"]]).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].split() == ["name", "price"] and lines[-1].split() == ["y", "22"]
    assert lines[3].startswith(" " * 42)
    assert " ".join(" ".join(lines[2:-1]).split()) == f"{'x' * 40} {price.strip()}"


def test_an_arn_that_does_not_fit_stands_whole_on_a_line_of_its_own():
    lines = table(["statement", "actions", "on"], [["Manage", "25 of lambda", ARN], ["Find", "1", "*"]]).splitlines()
    assert lines == [
        "statement  actions",
        "    on",
        "─────────  ────────────",
        "Manage     25 of lambda",
        f"    {ARN}",
        "Find       1",
        "    *",
    ]


def test_a_table_of_no_rows_is_its_heading():
    assert table(["name", "value"], []).splitlines() == ["name  value", "────  ─────"]


@pytest.mark.parametrize("indent", [0, 4, 30])
def test_a_long_line_is_broken_between_words_and_goes_on_indented(indent):
    text = "  refused: " + "send the picture's own bytes or a well-known address, " * 4
    lines = fill(f"short\n{text}", indent).splitlines()
    assert lines[0] == "short" and lines[1].startswith("  refused") and max(map(len, lines)) <= WIDTH
    assert all(len(line) - len(line.lstrip()) == 2 + indent for line in lines[2:]) and len(lines) > 3
    assert " ".join(" ".join(lines[1:]).split()) == " ".join(text.split())


def test_no_word_and_no_empty_line_is_lost():
    assert fill(f"a\n\n{ARN * 2} b").splitlines() == ["a", "", ARN * 2, "    b"]

"""Lines that fit a page: no word, number or ARN is broken, and no two columns run together."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100  # characters: a cell's output in JupyterLab at 1,024 pixels


def fill(text: str, indent: int = 4, width: int = WIDTH) -> str:
    """Break long lines between words. A broken line goes on `indent` characters behind its own beginning."""
    lines = []
    for line in text.splitlines():
        further = " " * (len(line) - len(line.lstrip()) + indent)
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=further,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        ) or [""]
    return "\n".join(lines)


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH) -> str:
    """Rows of text in aligned columns, under a heading.

    When the table is wider than the page, the last column is broken between words. Where a word of it would not fit,
    such as an ARN, the last column stands on lines of its own.
    """
    cells = [[str(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    last = min(widths[-1], width - left)
    if max((len(word) for row in cells for word in row[-1].split()), default=0) > last:
        lines = [line for row in cells for line in (_line(row[:-1], widths), f"    {row[-1]}".rstrip())]
        return "\n".join([*lines[:2], _rule(widths[:-1]), *lines[2:]])
    broken = [textwrap.wrap(row[-1], last, break_long_words=False, break_on_hyphens=False) or [""] for row in cells]
    lines = []
    for row, parts in zip(cells, broken, strict=True):
        lines.append(_line([*row[:-1], parts[0]], widths))
        lines += [" " * left + part for part in parts[1:]]
    heads = len(broken[0])
    return "\n".join([*lines[:heads], _rule([*widths[:-1], last]), *lines[heads:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


def _rule(widths: Sequence[int]) -> str:
    return "  ".join("─" * width for width in widths)

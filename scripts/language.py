"""Hold the texts to docs/style.md: `make language`, or with the files that you name.

For each Markdown file and for the Markdown cells of each notebook it counts the clauses with "what", direct questions
aside, and the words of the longest sentence. Code blocks, URLs and comments are no text; code in a line is one word.
The exit status is 1 when a file has too many such clauses or too long a sentence; each is listed with its place.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "notebooks/*.ipynb")
MOST_CLAUSES = 3  # in 1,000 words
MOST_WORDS = 30  # in a sentence

FENCE = re.compile(r"\s*(```|~~~)")
TABLE_RULE = re.compile(r"\s*\|?(\s*:?-+:?\s*\|)+\s*(:?-+:?)?\s*$")
# Marks at the beginning of a line: of quotes, and of headings, lists and HTML, which begin a new block.
QUOTE, HEADING, OPENING = (
    re.compile(r"^\s*>\s?"),
    re.compile(r"\s*#{1,6}\s"),
    re.compile(r"\s*(#{1,6}\s|[-*+]\s|\d+[.)]\s|<)"),
)
NO_TEXT = (
    (re.compile(r"<!--.*?-->|<https?://[^>]*>|</?[a-zA-Z][^>]*>"), " "),
    (re.compile(r"(?s)(`+).+?\1|\$[^$\s][^$]*\$"), "CODE"),
    (re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"https?://\S+"), "CODE"),
    (re.compile(r"[*_~#]+"), ""),
)
SENTENCE_END = re.compile(r"[.?!…][\"'”’)]*$")
WHAT = re.compile(r"\bwhat\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """Words of a block of text up to a full stop, and the line of the file or cell that it begins on."""

    line: int
    words: tuple[str, ...]

    @property
    def length(self) -> int:
        return sum(any(letter.isalnum() for letter in word) for word in self.words)

    @property
    def clauses(self) -> int:
        """Clauses that begin with "what"; a direct question that begins with it is none."""
        text = str(self)
        return len(WHAT.findall(text)) - bool(re.match(r"\W*what\b.*\?\W*$", text, re.IGNORECASE))

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass
class Count:
    """A file's number of words, and the places and sentences that the limits are about."""

    words: int = 0
    clauses: list[tuple[str, Sentence]] = field(default_factory=list)
    longest: int = 0
    long: list[tuple[str, Sentence]] = field(default_factory=list)

    def add(self, place: str, sentence: Sentence) -> None:
        self.words += sentence.length
        self.clauses += [(place, sentence)] * sentence.clauses
        self.longest = max(self.longest, sentence.length)
        if sentence.length > MOST_WORDS:
            self.long.append((place, sentence))

    @property
    def clauses_in_1000(self) -> float:
        return 1000 * len(self.clauses) / max(self.words, 1)

    def faults(self) -> list[str]:
        """One line for each fault: place, what is wrong, sentence."""
        found = [f"{place}: {sentence.length} words: {sentence}" for place, sentence in self.long]
        if self.clauses_in_1000 > MOST_CLAUSES:
            found += [f'{place}: "what": {sentence}' for place, sentence in self.clauses]
        return found


def blocks(text: str) -> Iterator[list[tuple[int, str]]]:
    """Paragraphs, headings, list items and table cells, as (line, word) pairs."""
    block: list[tuple[int, str]] = []
    fenced = False
    # A comment may go over lines; its line breaks stay, for the counting of lines.
    text = re.sub(r"(?s)<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), text)
    for number, line in enumerate(text.splitlines(), 1):
        line = QUOTE.sub("", line)
        if FENCE.match(line):
            fenced = not fenced
            line = ""
        if fenced or not line.strip() or TABLE_RULE.match(line) or OPENING.match(line) or line.lstrip().startswith("|"):
            yield block
            block = []
        if fenced or TABLE_RULE.match(line):
            continue
        if line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                yield [(number, cell)]
        elif line.strip():
            block.append((number, re.sub(r"^\s*([-*+]|\d+[.)])\s", "", line)))
        if HEADING.match(line):
            yield block
            block = []
    yield block


def substituted(pattern: re.Pattern[str], replacement: str, text: str) -> str:
    """The text with `replacement` for each match, and as many lines as before."""

    def with_its_lines(found: re.Match[str]) -> str:
        new = found.expand(replacement)
        return new + "\n" * (found[0].count("\n") - new.count("\n"))

    return pattern.sub(with_its_lines, text)


def sentences(text: str) -> Iterator[Sentence]:
    """The sentences of a Markdown text, in order."""
    for block in filter(None, blocks(text)):
        # A line break stays a character of its own, so that code and links may go over it.
        plain = "\n".join(line for _, line in block)
        for pattern, replacement in NO_TEXT:
            plain = substituted(pattern, replacement, plain)
        numbers = [number for number, _ in block]
        words: list[tuple[int, str]] = []
        for number, line in zip(numbers, plain.split("\n"), strict=True):
            for word in line.split():
                if words and SENTENCE_END.search(words[-1][1]) and not word[0].islower():
                    yield Sentence(words[0][0], tuple(each for _, each in words))
                    words = []
                words.append((number, word))
        if words:
            yield Sentence(words[0][0], tuple(each for _, each in words))


def count(path: Path) -> Count:
    """The counts of a Markdown file, or of a notebook's Markdown cells."""
    counted, text = Count(), path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    if path.suffix != ".ipynb":
        for sentence in sentences(text):
            counted.add(f"{name}:{sentence.line}", sentence)
        return counted
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "markdown":
            for sentence in sentences("".join(cell["source"])):
                counted.add(f"{name}, cell {cell['id']}, line {sentence.line}", sentence)
    return counted


def main(names: list[str]) -> int:
    paths = [Path(name).resolve() for name in names] or sorted({path for each in FILES for path in ROOT.glob(each)})
    counts = {path: count(path) for path in paths}
    faults = [fault for counted in counts.values() for fault in counted.faults()]
    print('words  "what" in 1,000  longest sentence')
    for path, counted in counts.items():
        print(f"{counted.words:5}{counted.clauses_in_1000:17.1f}{counted.longest:18}  {path.name}")
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

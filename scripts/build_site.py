"""Make the site: `make site`, into .build/site. It needs no network and runs no notebook.

The pages are README, the notebooks with their stored outputs, `docs/`, CONTRIBUTING, CHANGELOG, the pages on
benchmarks, model and samples, and openapi.yml as tables. They are laid out in .build/site-pages as in the repository,
so that their links hold, and Sphinx makes the site of them. Each warning of Sphinx is an error: a dead link is one.

Runs in `.venv-site`, which scripts/setup.py makes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts import contract_page

ROOT = Path(__file__).resolve().parents[1]
PAGES, SITE = ROOT / ".build/site-pages", ROOT / ".build/site"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
# Patterns of the HTML that the theme and Sphinx write, and the HTML that a screen reader needs: axe names each of them.
MENDED = {
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    '<p class="caption" role="heading">': '<p class="caption">',
    '<th class="head[^"]*"><p></p></th>': "<td></td>",
    '<div id="search-results">': '<h1>Search</h1>\n<div id="search-results">',
}
# The parts of the contents, each with its pages in order.
CONTENTS = {
    "Notebooks": ("notebooks/*.ipynb",),
    "Using it": (
        "docs/endpoint.md",
        "openapi.md",
        "docs/models.md",
        "docs/model-json.md",
        "docs/aws.md",
        "docs/troubleshooting.md",
        "docs/instructor.md",
    ),
    "Changing it": ("CONTRIBUTING.md", "docs/style.md", "docs/decisions/README.md", "CHANGELOG.md"),
    "Measurements": ("benchmarks/README.md", "models/practice/README.md", "notebooks/samples/README.md"),
}


def sources() -> list[str]:
    """The files that become pages, by their path in the repository."""
    patterns = ["README.md", "docs/**/*.md", *(pattern for part in CONTENTS.values() for pattern in part)]
    return sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})


def text_of(path: Path) -> str:
    """A page's Markdown; of a notebook that of its texts."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return text


def entry(page: str) -> str:
    """A line of the contents: a notebook's has its number, which its heading lacks."""
    name, suffix = page.rsplit(".", 1)
    if suffix != "ipynb":
        return name
    heading = next(line for line in text_of(ROOT / page).splitlines() if line.startswith("# "))
    return f"{Path(page).name[:2]} {heading.removeprefix('# ')} <{name}>"


def contents() -> str:
    """The trees of contents, which the first page holds and the theme shows at the left."""
    trees = []
    for caption, patterns in CONTENTS.items():
        pages = [page for pattern in patterns for page in matching(pattern)]
        lines = "\n".join(map(entry, pages))
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n")
    return "\n".join(trees)


def matching(pattern: str) -> list[str]:
    """The pages of a pattern; `openapi.md` is made here, so it is in no folder."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
    return found or [pattern]


def lay_out() -> None:
    """Write all pages, and the files that they link to, to PAGES."""
    shutil.rmtree(PAGES, ignore_errors=True)
    pages = sources()
    for page in pages:
        target = PAGES / ("index.md" if page == "README.md" else page)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in LINK.findall(text_of(ROOT / page)):
            copy_linked((ROOT / page).parent / link, pages)
        target.write_text(relinked(text, page), encoding="utf-8")
    index, decisions = PAGES / "index.md", PAGES / "docs/decisions/README.md"
    index.write_text(f"{index.read_text(encoding='utf-8')}\n{contents()}", encoding="utf-8")
    tree = "\n\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
    decisions.write_text(decisions.read_text(encoding="utf-8") + tree, encoding="utf-8")
    contract = yaml.safe_load((ROOT / "openapi.yml").read_text(encoding="utf-8"))
    (PAGES / "openapi.md").write_text(contract_page.page(contract), encoding="utf-8")
    copy_linked(ROOT / "openapi.yml", pages)


def copy_linked(file: Path, pages: list[str]) -> None:
    """Copy a file that a page links to or shows, unless it is a page itself. Raises SystemExit for a dead link."""
    file = file.resolve()
    if not file.is_file() or not file.is_relative_to(ROOT):
        sys.exit(f"make site: a page links to {file}, which is no file of the project")
    name = file.relative_to(ROOT).as_posix()
    if name not in pages:
        (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, PAGES / name)


def relinked(text: str, page: str) -> str:
    """`text` with the links to the two files whose page has another name: README is the first, openapi.yml a table."""

    def changed(match: re.Match[str]) -> str:
        link = match[1]
        target = ((ROOT / page).parent / link).resolve()
        if target == ROOT / "README.md":
            return link.removesuffix("README.md") + "index.md"
        return link.removesuffix(".yml") + ".md" if target == ROOT / "openapi.yml" else link

    return LINK.sub(changed, text)


def mend() -> None:
    """Write the pages again with their MENDED parts. Raises SystemExit for one that stands nowhere any more."""
    missing = set(MENDED)
    for file in SITE.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        for pattern, better in MENDED.items():
            text, count = re.subn(pattern, better, text)
            missing -= {pattern} if count else set()
        file.write_text(text, encoding="utf-8")
    if missing:
        sys.exit(f"make site: no page has {', '.join(missing)} any more: see MENDED in scripts/build_site.py")


def main() -> int:
    lay_out()
    shutil.rmtree(SITE, ignore_errors=True)
    options = [
        "-q",
        "-E",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-c",
        str(ROOT / "docs/site"),
        "-d",
        str(PAGES / ".doctrees"),
    ]
    status = subprocess.run([sys.executable, "-m", "sphinx", *options, str(PAGES), str(SITE)]).returncode
    if status == 0:
        mend()
        print(f"Site  {SITE / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())

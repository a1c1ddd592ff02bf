"""The site of `make site`: whole, without a dead link, searchable without a network, and readable by everybody."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.gateway import ROOT
from tests.browser.webpage import PHONE, assert_accessible

pytestmark = pytest.mark.slow

DESKTOP = {"viewport": {"width": 1440, "height": 900}}


@dataclass
class Parsed(HTMLParser):
    """A page's links, the names that a link can lead to, and its images' alternative texts."""

    links: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    images: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag == "img":
            self.images[given["src"]] = given.get("alt") or ""


def parsed(folder: Path) -> dict[Path, Parsed]:
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path] = Parsed()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def dead(pages: dict[Path, Parsed]) -> list[str]:
    """The links within the site that lead to no file, or to no name in one."""
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].names):
                found.append(f"{path.name}: {link}")
    return found


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site, made anew."""
    subprocess.run([sys.executable, ROOT / "scripts/setup.py", "site"], check=True)
    subprocess.run([ROOT / ".venv-site/bin/python", ROOT / "scripts/build_site.py"], check=True)
    return ROOT / ".build/site"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Parsed]:
    return parsed(site)


@pytest.fixture(scope="module")
def shown(chromium):
    """A window of each device, by the width of its screen; afterwards no other host was asked for anything."""
    contexts = {settings["viewport"]["width"]: chromium.new_context(**settings) for settings in (DESKTOP, PHONE)}
    windows, asked = {width: context.new_page() for width, context in contexts.items()}, []
    for window in windows.values():
        window.on("request", lambda request: asked.append(request.url))
    yield windows
    for context in contexts.values():
        context.close()
    assert asked and [url for url in asked if not url.startswith(("file://", "data:"))] == []


def test_every_text_and_notebook_is_a_page(site, pages):
    texts = [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("notebooks/*.ipynb"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
    ]
    wanted = {site / text.relative_to(ROOT).with_suffix(".html") for text in texts}
    assert len(wanted) > 20
    assert wanted | {site / "index.html", site / "openapi.html"} <= set(pages)


def test_no_link_is_dead(pages):
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert dead(pages) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#one"></a><a href="b.html#two"></a><a href="c.html"></a><p id="here">'
    )
    (tmp_path / "b.html").write_text('<h1 id="one"></h1><a href="#one"></a><a href="#here"></a><img src="d.png">')
    assert dead(parsed(tmp_path)) == ["a.html: b.html#two", "a.html: c.html", "b.html: #here", "b.html: d.png"]


def test_each_figure_of_a_notebook_is_there_with_its_alternative_text(site, pages):
    for notebook in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        wanted = [o["metadata"]["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
        assert wanted, notebook.name
        found = pages[site / "notebooks" / f"{notebook.stem}.html"].images.values()
        assert [text for text in wanted if text not in found] == []
    assert [(path.name, src) for path, page in pages.items() for src, text in page.images.items() if not text] == []


def test_the_page_of_the_contract_has_each_operation_and_code(site):
    text = re.sub(r"<[^>]+>", "", (site / "openapi.html").read_text(encoding="utf-8"))
    for line in (
        "GET /predict",
        "POST /predict",
        "HEAD /",
        "image_too_large",
        "timings_ms.fetch",
        "parameter_repeated",
    ):
        assert line in text


def test_the_search_finds_a_word_of_a_notebook_without_a_network(site, shown):
    window, problems = shown[1440], []
    window.on("console", lambda line: problems.append(line.text))
    window.goto(f"file://{site}/search.html?q=throttled")
    window.get_by_text("Search finished").wait_for()
    results = window.locator("#search-results li a")
    assert problems == []
    assert any("notebooks/08" in link.get_attribute("href") for link in results.all())


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", ["index", "openapi", "notebooks/03_measure_predictions"])
def test_it_is_readable_by_everybody(site, shown, name, width):
    shown[width].goto(f"file://{site}/{name}.html")
    assert_accessible(shown[width])


def test_no_page_is_wider_than_a_phone(site, pages, shown):
    wide = []
    for path in pages:
        shown[390].goto(f"file://{path}")
        if shown[390].evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path.name)
    assert wide == []


def test_a_figure_scrolls_in_its_frame_on_a_phone(site, shown):
    shown[390].goto(f"file://{site}/notebooks/02_inspect_predictions.html")
    frame = shown[390].locator(".cell_output:has(> img)").first
    assert frame.evaluate("frame => frame.scrollWidth > 1.5 * frame.clientWidth && frame.tabIndex === 0")

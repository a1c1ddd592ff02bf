"""What the tests of pages do and read there."""

import base64
import hashlib

from axe_playwright_python.sync_playwright import Axe

from tests.browser.gateway import ROOT
from tests.browser.labpage import NOTEBOOKS

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
AXE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def best(page) -> str:
    """Wait for an answer; the first class's name."""
    page.locator("#result").wait_for()
    return page.locator("#bars .name").first.text_content()


def problem(page) -> str:
    """Wait for an error; its title and text."""
    page.locator("#problem").wait_for()
    assert not page.locator("#result").is_visible()
    return page.locator("#problem").inner_text()


def give(page, event: str, carrier: str, *, file: tuple[str, str, bytes] | None = None, text: str = "") -> None:
    """Drop or paste onto the page: a file (name, type, bytes) or a text."""
    name, media_type, data = file or ("", "", b"")
    page.evaluate(
        """([event, carrier, name, type, data, text]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            if (name) transfer.items.add(new File([bytes], name, { type }));
            if (text) transfer.setData("text/plain", text);
            const Kind = event === "drop" ? DragEvent : ClipboardEvent;
            const made = new Kind(event, { [carrier]: transfer, bubbles: true, cancelable: true });
            document.querySelector("main").dispatchEvent(made);
        }""",
        [event, carrier, name, media_type, base64.b64encode(data).decode(), text],
    )


def assert_accessible(page) -> None:
    """Nothing that axe finds to complain about. The page was opened with `bypass_csp`: axe is a script."""
    # Of what passes, one element of each rule is described instead of all: that is half of axe's time on a long page.
    found = Axe().run(page, options={"runOnly": AXE, "resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def sources(kind: str) -> str:
    """One SHA-256 over all that decides how the page, JupyterLab or the report looks."""
    hello, headless, model = ROOT / "lambda_src/hello", ROOT / "notebooks/workshop/headless", ROOT / "models/practice"
    files = {
        "page": [*sorted(hello.glob("page.*")), *sorted(hello.glob("samples/*")), model / "SHA256SUMS"],
        "lab": [NOTEBOOKS[0], *sorted(file for file in (ROOT / "scripts/jupyter").rglob("*") if file.is_file())],
        "report": [headless / "report.html.jinja", headless / "report.py", model / "results.json"],
    }
    return hashlib.sha256(b"".join(file.read_bytes() for file in files[kind])).hexdigest()

"""The run's report in a browser, with what is really deployed; and the committed screenshots."""

import pytest

from tests import building
from tests.browser.gateway import ROOT
from tests.browser.webpage import PHONE, assert_accessible, sources
from workshop.headless import runner

LAST = ROOT / "runs" / "latest" / "report.html"


@pytest.fixture(scope="module")
def reports(deployed, tmp_path_factory):
    """The report of a run that passed and of one that did not, by name."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("passed", "failed")}
    results = [runner.Result(path.name, 1.0, 9, "passed") for path in runner.notebooks()]
    run = runner.Run("2026-01-02 03:04:05 UTC", {}, results, seconds=6.0)
    with building.alone():  # it weighs the package
        runner.describe(run, deployed)
    runner.write_pages(run, folders["passed"])
    results[2].status, results[2].error = (
        "failed",
        "02 failed in cell [3]:\n\n    1 / 0\n\n" + "ZeroDivisionError " * 20,
    )
    runner.write_pages(runner.Run(run.started, {}, results, seconds=3.0), folders["failed"])
    return {name: f"file://{folder}/report.html" for name, folder in folders.items()}


@pytest.mark.parametrize("name", ["passed", "failed"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_it_is_readable_by_everybody_and_asks_for_nothing(windows, reports, screenshots, device, scheme, name):
    page = windows(**{"viewport": {"width": 1280, "height": 720}, **device}, color_scheme=scheme, bypass_csp=True)
    asked = []

    def note(request):
        asked.append(request.url)

    page.on("request", note)
    page.goto(reports[name])
    page.remove_listener("request", note)
    assert [url for url in asked if not url.startswith("data:")] == [reports[name]]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert name == "failed" or page.evaluate("document.querySelector('img').naturalWidth") == 500
    if not device:
        page.screenshot(path=screenshots(f"tried-report-{name}-{scheme}"), full_page=True)
    assert_accessible(page)


@pytest.mark.skipif(not LAST.exists(), reason="nothing was deployed from here: make deploy")
def test_screenshot_of_the_last_run(chromium, screenshots):
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    page.goto(f"file://{LAST}")
    assert "the endpoint answers" in page.locator(".verdict").inner_text()
    page.screenshot(path=screenshots("report"), full_page=True)
    page.close()


@pytest.mark.parametrize("kind", ["page", "lab", "report"])
def test_committed_screenshots_are_not_stale(kind):
    recorded = ROOT / "docs" / "screenshots" / f"{kind}.sha256"
    assert recorded.read_text().strip() == sources(kind), f"{kind} looks otherwise by now: make screenshots"

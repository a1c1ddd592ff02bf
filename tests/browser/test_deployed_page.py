"""The front page as the deployed function serves it through API Gateway: each way in, each error, cold and warm."""

from collections.abc import Iterator

import pytest

from tests.browser.webpage import PHONE, assert_accessible, best, give, problem
from workshop import client
from workshop.samples import sample_path


@pytest.fixture
def page_url(deployed) -> str:
    return client.hello_url(deployed)


@pytest.fixture
def address(deployed) -> Iterator[str]:
    """A presigned address of a picture in the model store."""
    with client.lent_sample(deployed, "golf_ball") as url:
        yield url


def test_cold_start_is_told_and_then_the_warm_one(deployed, page, screenshots):
    client.force_cold_start(deployed)
    page.locator("[data-name=golf_ball]").click()
    assert best(page) == "golf ball"
    assert page.locator("#start").inner_text() == "cold start"
    assert "load" in page.locator("#legend").inner_text()
    page.screenshot(path=screenshots("page-deployed"), full_page=True, scale="css")
    page.locator("#again").click()
    page.locator("#history").wait_for()
    assert page.locator("#start").inner_text() == "warm"


def test_picture_is_chosen(page):
    page.set_input_files("#file", sample_path("church"))
    assert best(page) == "church"


@pytest.mark.parametrize(("event", "carrier"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_picture_is_dropped_or_pasted(page, event, carrier):
    give(page, event, carrier, file=("ball.jpg", "image/jpeg", sample_path("golf_ball").read_bytes()))
    assert best(page) == "golf ball"


def test_address_is_typed(page, address):
    page.fill("#url", address)
    page.press("#url", "Enter")
    assert best(page) == "golf ball"
    assert "fetch" in page.locator("#legend").inner_text()


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("http://169.254.169.254/latest/meta-data/", "This URL is not on the public Internet"),
        ("http://127.0.0.1:9001/2018-06-01/runtime", "This URL is not on the public Internet"),
        ("file:///proc/self/environ", "This URL cannot be fetched"),
        ("{endpoint}/e2e-tests-no-such-bucket/none.jpg", "The image’s host did not send it"),
        ("{endpoint}/_ministack/health", "This is not a supported image"),
    ],
)
def test_address_that_yields_no_picture(deployed, page, address, title):
    page.fill("#url", address.format(endpoint=deployed.endpoint_url))
    page.press("#url", "Enter")
    assert problem(page).startswith(title)


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (b"hello", "This is not a supported image"),
        (sample_path("golf_ball").read_bytes()[:9_000], "The image is damaged"),
    ],
    ids=["no picture", "half a picture"],
)
def test_file_that_is_no_picture(page, data, title):
    page.set_input_files("#file", {"name": "fake.jpg", "mimeType": "image/jpeg", "buffer": data})
    assert problem(page).startswith(title)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
def test_accessible_by_axe(open_page, device, scheme):
    page = open_page(color_scheme=scheme, bypass_csp=True, **device)
    assert_accessible(page)
    page.locator("[data-name=golf_ball]").click()
    best(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)

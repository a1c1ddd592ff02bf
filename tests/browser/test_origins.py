"""A page of another origin: refused by the browser unless the stack says whose pages may ask."""

import base64

import pytest

from predict import lambda_function
from workshop.samples import sample_path

# What a page does with a file that its reader chose.
ASK = """async ([address, base64, type]) => {
  const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  try {
    const response = await fetch(address, {method: "POST", body: new Blob([bytes], {type})});
    return [response.status, await response.json(), response.headers.get("X-Cold-Start")];
  } catch (problem) {
    return [0, String(problem), null];
  }
}"""


@pytest.fixture
def other_page(chromium, pictures):
    """A page that the host of pictures serves: another port is another origin."""
    page = chromium.new_page()
    page.goto(f"{pictures}/golf_ball.jpg")
    yield page
    page.close()


def ask(page, address: str, data: bytes, media_type: str) -> tuple:
    return tuple(page.evaluate(ASK, [f"{address}predict", base64.b64encode(data).decode(), media_type]))


def test_a_page_of_another_origin_is_refused_by_default(other_page, page_url):
    status, said, _ = ask(other_page, page_url, sample_path("golf_ball").read_bytes(), "image/jpeg")
    assert status == 0 and "Failed to fetch" in said


@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_page_of_another_origin_gets_its_prediction_where_it_is_allowed(
    other_page, page_url, pictures, monkeypatch, all_of_them
):
    monkeypatch.setattr(lambda_function, "ALLOW_ORIGIN", "*" if all_of_them else pictures)
    # image/jpeg is no simple request: the browser asks first, by OPTIONS.
    status, body, cold = ask(other_page, page_url, sample_path("golf_ball").read_bytes(), "image/jpeg")
    assert status == 200 and body["predictions"][0]["class"].startswith("n03445777")
    assert cold in ("true", "false"), "the header is not exposed to the page"
    status, body, _ = ask(other_page, page_url, b"no image", "image/jpeg")
    assert (status, body["error"]["code"]) == (415, "not_an_image"), "an error must reach the page, too"


def test_a_page_of_a_third_origin_is_still_refused(other_page, page_url, monkeypatch):
    monkeypatch.setattr(lambda_function, "ALLOW_ORIGIN", "https://pages.example")
    status, said, _ = ask(other_page, page_url, sample_path("golf_ball").read_bytes(), "image/jpeg")
    assert status == 0 and "Failed to fetch" in said

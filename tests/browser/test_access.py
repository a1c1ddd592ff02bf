"""The page where the endpoint asks for a key or a signature: asked once, kept in the tab alone, never shown."""

import shlex

import pytest

from hello import index
from predict import lambda_function
from tests.browser.webpage import PHONE, assert_accessible, best, problem

KEY = "a-key-of-at-least-20-characters"
REFUSED = {
    "statusCode": 403,
    "body": '{"error": {"code": "key_not_valid", "message": "Send a valid key of this API in the header x-api-key."}}',
}


@pytest.fixture
def auth(monkeypatch):
    """Makes HelloWorld's page that of an `Auth`."""

    def choose(value: str) -> None:
        monkeypatch.setattr(index, "AUTH", value)
        index.page.cache_clear()

    yield choose
    index.page.cache_clear()


@pytest.fixture
def keyed(auth, monkeypatch):
    """An endpoint with a key, as API Gateway guards it."""
    auth("key")
    answered, sent = lambda_function.lambda_handler, []

    def guarded(event, context):
        sent.append({name.lower(): value for name, value in event["headers"].items()}.get("x-api-key"))
        return answered(event, context) if sent[-1] == KEY else REFUSED

    monkeypatch.setattr(lambda_function, "lambda_handler", guarded)
    return sent


def enter(page, key: str) -> None:
    page.locator("#key").fill(key)
    page.locator("#key-form button").click()


def test_an_open_endpoint_asks_for_nothing(page):
    for name in ("key-form", "key-kept", "signed"):
        assert not page.locator(f"#{name}").is_visible()
    page.locator("[data-name=golf_ball]").click()
    assert best(page) == "golf ball"
    assert "x-api-key" not in page.locator("#curl").text_content()


def test_the_key_is_asked_for_once_and_kept_in_the_tab_alone(keyed, page):
    page.locator("[data-name=golf_ball]").click()
    assert "asks for a key" in problem(page) and keyed == []
    enter(page, f" {KEY} ")
    assert best(page) == "golf ball", "the picture that was chosen is sent then"
    assert keyed == [KEY] and not page.locator("#key-form").is_visible()
    page.reload()
    assert not page.locator("#key-form").is_visible()
    page.locator("[data-name=church]").click()
    assert best(page) == "church"
    assert page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [[KEY], 0, ""]
    other = page.context.new_page()
    other.goto(page.url)
    assert other.locator("#key-form").is_visible(), "another tab does not have it"
    other.close()
    assert KEY not in page.content()
    command = shlex.split(page.locator("#curl").text_content())
    assert command[:3] == ["curl", "-H", "x-api-key: $API_KEY"]


def test_a_key_that_is_refused_is_forgotten_and_another_may_be_given(keyed, page):
    enter(page, "wrong")
    page.locator("[data-name=golf_ball]").click()
    assert problem(page).splitlines()[0] == "This key is not valid here"
    assert page.locator("#key-form").is_visible() and page.evaluate("sessionStorage.length") == 0
    assert not page.locator("#retry").is_visible()
    enter(page, KEY)
    assert best(page) == "golf ball" and keyed == ["wrong", KEY]


def test_the_key_can_be_forgotten(keyed, page):
    enter(page, KEY)
    page.locator("#forget").click()
    assert page.locator("#key-form").is_visible() and page.evaluate("sessionStorage.length") == 0


def test_where_requests_must_be_signed_the_page_shows_the_command_and_asks_nothing(auth, page, received):
    auth("iam")
    page.reload()
    assert page.locator("#signed").is_visible() and not page.locator("#key-form").is_visible()
    page.locator("[data-name=church]").click()
    assert "signed requests" in problem(page)
    command = shlex.split(page.locator("#problem-code").text_content())
    assert command[1:5] == [
        "--aws-sigv4", "aws:amz:us-east-1:execute-api", "--user", "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY",
    ]  # fmt: skip
    assert "@notebooks/samples/church.jpg" in command
    assert not [event for event in received if event["path"] == "/predict"]


@pytest.mark.parametrize("device", [{}, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("value", ["key", "iam"])
def test_accessible_by_axe(auth, open_page, value, device):
    auth(value)
    page = open_page(bypass_csp=True, **device)
    page.locator("[data-name=church]").click()
    problem(page)
    assert_accessible(page)

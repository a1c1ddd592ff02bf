"""The front page in a real browser: each way in, each error, by keyboard, in the dark, on a phone, and by axe."""

import base64
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from predict import errors, images, predictor
from tests.browser.gateway import ROOT
from tests.browser.webpage import PHONE, assert_accessible, best, give, problem
from workshop.samples import SAMPLES, sample_path

ANSWER = {
    "predictions": [
        {"class": "n03445777 golf ball", "probability": 0.9712},
        {"class": "n03888257 parachute, chute", "probability": 0.0284},
        {"class": "n03028079 church, church building", "probability": 0.0004},
    ],
    "model": {
        "name": "practice",
        "classes": 10,
        "licence": "research",
        "not_for": "people",
        "sha256": "0123456789abcdef" * 4,
    },
    "timings_ms": {"fetch": 0, "decode": 2.1, "predict": 31.5},
}


def answer_with(page, body, status=200, content_type="application/json"):
    """Answer the page's requests for predictions from here on."""
    text = body if isinstance(body, str) else json.dumps(body)
    page.route("**/predict?*", lambda route: route.fulfill(status=status, body=text, content_type=content_type))


def noise(height: int, width: int, suffix: str) -> bytes:
    """A picture that compresses badly."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


# Ways in


def test_each_sample_looks_to_the_network_as_in_full_size(page, practice_model):
    names = [button.get_attribute("data-name") for button in page.locator(".samples button").all()]
    assert sorted(names) == sorted(SAMPLES)
    for name in names:
        probabilities = practice_model.predictor.predict(images.network_input(sample_path(name).read_bytes()))
        (first,) = predictor.rank(probabilities, practice_model.labels, 1)
        with page.expect_response("**/predict?*") as response:
            page.locator(f"[data-name={name}]").click()
        assert response.value.json()["predictions"][0]["class"] == first["class"]
        assert best(page) in first["class"]
        assert page.locator(f"[data-name={name}]").get_attribute("aria-pressed") == "true"
    assert page.locator("#bars li").count() == 5
    assert page.locator("#history").is_visible()


def test_a_caption_of_two_lines_does_not_shift_its_picture(page):
    boxes = [button.bounding_box() for button in page.locator(".samples button").all()]
    shifts = {
        round(image.bounding_box()["y"] - box["y"], 1)
        for image, box in zip(page.locator(".samples img").all(), boxes, strict=True)
    }
    assert len(shifts) == 1, shifts
    captions = page.locator(".samples span")
    assert len({box["height"] for box in (one.bounding_box() for one in captions.all())}) > 1  # one has two lines


def test_the_samples_of_its_classes_are_spelled_as_the_classes(page, practice_model):
    classes = {label.split(" ", 1)[1].split(",")[0] for label in practice_model.labels}
    shown = set(page.locator(".samples span").all_text_contents())
    of_no_class = {name.removeprefix("unknown_") for name in SAMPLES if name.startswith("unknown_")}
    assert shown - of_no_class <= classes


def test_file_is_chosen_and_sent_as_it_is(page, received):
    with page.expect_request("**/predict?*") as request:
        page.set_input_files("#file", sample_path("golf_ball"))
    assert request.value.method == "POST"
    assert request.value.headers["content-type"] == "image/jpeg"
    assert best(page) == "golf ball"
    assert base64.b64decode(received[-1]["body"]) == sample_path("golf_ball").read_bytes()
    assert page.locator("#caption").text_content() == "golf_ball.jpg"
    assert page.evaluate("document.querySelector('#picture').naturalWidth") == 500


@pytest.mark.parametrize(("event", "carrier"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_picture_is_dropped_or_pasted(page, event, carrier):
    give(page, event, carrier, file=("ball.jpg", "image/jpeg", sample_path("golf_ball").read_bytes()))
    assert best(page) == "golf ball"


@pytest.mark.parametrize(("event", "carrier"), [("drop", "dataTransfer"), ("paste", "clipboardData")])
def test_address_is_dropped_or_pasted(page, pictures, event, carrier):
    give(page, event, carrier, text=f"{pictures}/golf_ball.jpg")
    assert best(page) == "golf ball"
    assert page.locator("#url").input_value() == f"{pictures}/golf_ball.jpg"


def test_address_is_typed(page, pictures):
    page.fill("#url", f"  {pictures}/golf_ball.jpg?a=1&b=%20 ")
    with page.expect_request("**/predict?*") as request:
        page.press("#url", "Enter")
    assert request.value.method == "GET"
    assert best(page) == "golf ball"
    assert "fetch" in page.locator("#legend").inner_text()
    assert page.evaluate("document.querySelector('#picture').naturalWidth") == 500  # shown from where it is


def test_address_without_a_scheme_means_https(page):
    answer_with(page, ANSWER)
    page.fill("#url", "example.org:8443/cat.jpg")
    with page.expect_request("**/predict?*") as request:
        page.press("#url", "Enter")
    assert "url=https%3A%2F%2Fexample.org%3A8443%2Fcat.jpg" in request.value.url


def test_large_picture_is_made_smaller_first(page, received):
    data = noise(1500, 2400, ".png")
    assert len(data) > 6_291_456  # more than Lambda takes
    with page.expect_request("**/predict?*") as request:
        page.set_input_files("#file", {"name": "big.png", "mimeType": "image/png", "buffer": data})
    assert request.value.headers["content-type"] == "image/jpeg"
    best(page)
    sent = base64.b64decode(received[-1]["body"])
    assert len(sent) <= 4_000_000
    assert cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (1000, 1600)
    assert "1600 × 1000 pixels" in page.locator("#note").inner_text()


def test_picture_just_under_the_limit_is_taken_as_it_is(page):
    data = noise(1100, 1200, ".bmp")
    assert 3_900_000 < len(data) <= 4_000_000
    with page.expect_response("**/predict?*") as response:
        page.set_input_files("#file", {"name": "noise.bmp", "mimeType": "image/bmp", "buffer": data})
    assert response.value.status == 200
    best(page)


def test_newer_request_supersedes_the_older(page):
    answers = []

    def answer(route):
        answers.append(route)  # the first one is left waiting
        if len(answers) > 1:
            route.fulfill(json=ANSWER | {"predictions": [{"class": "n02979186 cassette player", "probability": 1}]})

    page.route("**/predict?*", answer)
    page.locator("[data-name=golf_ball]").click()
    page.locator("#busy").wait_for()
    page.locator("[data-name=church]").click()
    assert best(page) == "cassette player"
    assert page.locator("[data-name=golf_ball]").get_attribute("aria-pressed") == "false"


def test_missing_slash_at_the_end_is_mended(open_page, page_url):
    page = open_page(page_url.rstrip("/"))
    page.locator("[data-name=golf_ball]").click()
    assert best(page) == "golf ball"
    assert page.url == page_url


def test_address_works_without_javascript(open_page, pictures):
    page = open_page(java_script_enabled=False)
    assert page.locator("noscript").is_visible() or "JavaScript" in page.content()
    page.fill("#url", f"{pictures}/golf_ball.jpg")
    page.locator("#form button").click()
    page.wait_for_url("**/predict?url=*")
    assert "golf ball" in page.locator("body").inner_text()


# What an answer says


@pytest.mark.parametrize(
    ("cold", "badge"), [(True, "cold start"), ("restored", "restored"), (False, "warm"), (None, None)]
)
def test_cold_start_is_told(page, cold, badge):
    answer_with(page, ANSWER if cold is None else ANSWER | {"cold_start": cold})
    page.locator("[data-name=golf_ball]").click()
    best(page)
    start = page.locator("#start")
    assert (start.inner_text() if start.is_visible() else None) == badge
    told = page.locator("#status").text_content()
    assert ("cold start" in told, "from a snapshot" in told) == (cold is True, cold == "restored")


@pytest.mark.parametrize(
    ("cold", "load", "words"),
    [
        (True, 210, "Lambda started an environment and loaded the model first."),
        ("restored", None, "Lambda started an environment from a snapshot of another."),
        (False, 210, "The environment was there already; it loaded the model first."),
        (False, None, "The model was in memory already."),
    ],
)
def test_what_the_model_s_loading_had_to_do_with_it(page, cold, load, words):
    timings = ANSWER["timings_ms"] | ({"load": load} if load else {})
    answer_with(page, ANSWER | {"cold_start": cold, "timings_ms": timings})
    page.locator("[data-name=golf_ball]").click()
    best(page)
    assert page.locator("#start-text").inner_text() == words


def test_probabilities_are_bars_and_numbers(page):
    answer_with(page, ANSWER)
    page.locator("[data-name=golf_ball]").click()
    best(page)
    assert page.locator("#bars .percent").all_text_contents() == ["97.1 %", "2.8 %", "< 0.1 %"]
    widths = [box.bounding_box()["width"] for box in page.locator("#bars .fill").all()]
    track = page.locator("#bars .track").first.bounding_box()["width"]
    assert widths[0] / track == pytest.approx(0.9712, abs=0.01)
    assert widths == sorted(widths, reverse=True) and widths[-1] > 0
    assert page.locator("#status").text_content().startswith("golf ball, 97.1 %")  # what a screen reader hears
    assert "10 classes" in page.locator("#note").inner_text()
    assert json.loads(page.locator("#json").text_content()) == ANSWER


@pytest.mark.parametrize(("said", "noted"), [({"known": False}, True), ({"known": True}, False), ({}, False)], ids=str)
def test_a_picture_of_none_of_the_classes_is_said_to_be_one(page, said, noted):
    answer_with(page, ANSWER | said)
    page.locator("[data-name=golf_ball]").click()
    best(page)
    words = page.locator("#note").inner_text()
    assert ("may show none of the model’s classes" in words) is noted
    assert ("10 classes" in words) is not noted
    assert "10 classes, licence: research" in page.locator("#model").inner_text()
    assert page.locator("#not-for").inner_text() == "Not for people."


def test_answer_s_text_is_never_markup(page):
    label = "n00000000 <img src=x onerror=alert(1)>, <script>alert(1)</script>"
    answer_with(page, ANSWER | {"predictions": [{"class": label, "probability": 1}], "model": {"name": "<b>"}})
    page.locator("[data-name=golf_ball]").click()
    assert best(page) == "<img src=x onerror=alert(1)>"


def test_policy_stops_foreign_script(chromium, page_url):
    page = chromium.new_page()
    page.goto(page_url)
    page.evaluate(
        """() => {
            window.blocked = new Promise((done) => {
                document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
            });
            const image = new Image();
            try {
                image.setAttribute("onerror", "window.ran = true");
                image.src = "data:,";
                document.body.append(image);
            } catch { /* trusted types refuse it earlier still */ }
        }"""
    )
    assert page.evaluate("window.blocked").startswith(("script-src", "require-trusted-types-for"))
    assert page.evaluate("window.ran") is None
    page.close()


@pytest.mark.parametrize("way", ["sample", "file", "address"])
def test_curl_line_does_the_same(page, pictures, tmp_path, way):
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    folder = tmp_path
    if way == "sample":
        page.locator("[data-name=golf_ball]").click()
        folder = ROOT
    elif way == "file":
        picture = tmp_path / "it's a $ball`s & more.jpg"
        picture.write_bytes(sample_path("golf_ball").read_bytes())
        page.set_input_files("#file", picture)
    else:
        page.fill("#url", f"{pictures}/golf_ball.jpg?quote='&and=1")
        page.press("#url", "Enter")
    best(page)
    command = page.locator("#curl").text_content()
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["predictions"][0]["class"].startswith("n03445777")


def test_curl_line_is_copied(open_page, page_url):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    answer_with(page, ANSWER)
    page.locator("[data-name=golf_ball]").click()
    best(page)
    page.get_by_text("The same from a terminal").click()
    page.locator("#copy").click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#curl").text_content()
    assert page_url + "predict?top=5" in page.locator("#curl").text_content()


def test_curl_line_is_selected_where_copying_is_denied(page):
    answer_with(page, ANSWER)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }")
    page.locator("[data-name=golf_ball]").click()
    best(page)
    page.get_by_text("The same from a terminal").click()
    page.locator("#copy").click()
    page.get_by_text("Selected: press Ctrl+C", exact=True).wait_for()
    assert page.evaluate("getSelection().toString()") == page.locator("#curl").text_content()


def test_ask_again_asks_the_same(page):
    page.locator("[data-name=golf_ball]").click()
    best(page)
    with page.expect_request("**/predict?*") as request:
        page.locator("#again").click()
    assert request.value.method == "POST"
    page.locator("#history").wait_for()
    assert page.locator("#history").inner_text().count(" s") == 2


# Errors


def test_empty_address(page):
    page.fill("#url", "  ")
    page.locator("#form button").click()
    assert page.locator("#url-error").inner_text() == "Paste the URL of an image first."
    assert page.locator("#url").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "url"
    assert page.locator("#empty").is_visible()


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("http://127.0.0.1:8080/x.jpg", "This URL is not on the public Internet"),
        ("http://[::1]/x.jpg", "This URL is not on the public Internet"),
        ("file:///etc/passwd", "This URL cannot be fetched"),
        ("{pictures}/none.jpg", "The image’s host did not send it"),
        ("{pictures}/README.md", "This is not a supported image"),
    ],
)
def test_address_that_yields_no_picture(page, pictures, address, title):
    page.fill("#url", address.format(pictures=pictures))
    page.press("#url", "Enter")
    text = problem(page)
    assert text.startswith(title)
    assert len(text.splitlines()) >= 3  # the endpoint's own words, and the code for those who know it


def test_file_that_is_no_picture(page):
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    assert "notes.txt is text/plain" in problem(page)
    page.set_input_files("#file", {"name": "fake.jpg", "mimeType": "image/jpeg", "buffer": b"hello"})
    page.get_by_text("not_an_image").wait_for()
    assert problem(page).startswith("This is not a supported image")


def test_file_that_is_damaged(page):
    whole = sample_path("golf_ball").read_bytes()
    page.set_input_files("#file", {"name": "cut.jpg", "mimeType": "image/jpeg", "buffer": whole[: len(whole) // 4]})
    assert problem(page).startswith("The image is damaged")


def test_file_that_is_empty(page):
    page.set_input_files("#file", {"name": "none.jpg", "mimeType": "image/jpeg", "buffer": b""})
    assert problem(page).startswith("This file is empty")


def test_large_file_that_the_browser_cannot_read(page):
    page.set_input_files(
        "#file", {"name": "scan.tiff", "mimeType": "image/tiff", "buffer": b"II*\0" + bytes(4_100_000)}
    )
    assert "this browser cannot make it smaller" in problem(page)


def test_every_error_of_the_contract_has_words(page):
    script = (ROOT / "lambda_src/hello/page.js").read_text()
    known = set(re.findall(r"^    (\w+): \"", re.search(r"WORDS = \{(.*?)\};", script, re.DOTALL)[1], re.MULTILINE))
    codes = errors.STATUS | errors.GATEWAY_STATUS | errors.GUARD_STATUS
    # Not to be met from this page: it sends well-formed requests to the right path.
    impossible = {
        "request_malformed",
        "parameter_repeated",
        "parameter_unknown",
        "path_not_found",
        "method_not_allowed",
    }
    assert codes.keys() - known == impossible


@pytest.mark.parametrize(
    ("status", "code", "title"),
    [
        (429, "throttled", "There are too many requests at once"),
        (502, "host_unreachable", "The image’s host cannot be reached"),
        (503, "model_store_denied", "The endpoint may not read its model"),
        (503, "unavailable", "The endpoint could not answer"),
        (504, "time_limit", "It took too long"),
    ],
)
def test_error_that_may_pass_can_be_tried_again(page, status, code, title):
    answer_with(page, {"error": {"code": code, "message": "so it is"}}, status)
    page.locator("[data-name=golf_ball]").click()
    assert problem(page).splitlines()[0] == title
    assert "So it is." in problem(page)
    page.unroute("**/predict?*")
    page.locator("#retry").click()
    assert best(page) == "golf ball"


@pytest.mark.parametrize(
    "body", ["<html>Bad gateway</html>", "", "null", "[]", '{"message": "Forbidden"}', '{"predictions": 1}']
)
@pytest.mark.parametrize("status", [200, 403, 502])
def test_answer_that_is_none_of_the_contract(page, status, body):
    answer_with(page, body, status)
    page.locator("[data-name=golf_ball]").click()
    assert problem(page).startswith("The endpoint gave an answer that this page does not know")


def test_endpoint_is_gone(page):
    page.route("**/predict?*", lambda route: route.abort())
    page.locator("[data-name=golf_ball]").click()
    assert problem(page).startswith("The endpoint cannot be reached")
    assert page.locator("#retry").is_visible()


def test_endpoint_never_answers(page):
    page.clock.install()
    page.route("**/predict?*", lambda route: None)
    page.locator("[data-name=golf_ball]").click()
    page.clock.run_for(2_000)
    assert "cold start" in page.locator("#busy-text").inner_text()
    page.clock.run_for(40_000)
    assert "No answer came within 40 seconds" in problem(page)


# For everybody


def test_keyboard_alone_is_enough(page, pictures):
    order = []
    for _ in range(4 + len(SAMPLES)):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate("(({ dataset, id, className }) => dataset.name || id || className)(document.activeElement)")
        )
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    assert order[:4] == ["skip", "file", "url", "primary"]
    assert set(order[4:]) >= set(SAMPLES)
    page.locator("[data-name=golf_ball]").focus()
    page.keyboard.press("Enter")
    assert best(page) == "golf ball"
    assert page.evaluate("document.activeElement.dataset.name") == "golf_ball"  # an answer does not steal the focus
    page.locator("#again").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "copy"


def test_skip_link_leads_to_the_answer(page):
    page.keyboard.press("Tab")
    assert page.get_by_text("Skip to the answer").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"


STATES = {
    "empty": None,
    "result": ANSWER | {"cold_start": True},
    "problem": {"error": {"code": "throttled", "message": "wait"}},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_accessible_by_axe(open_page, device, scheme, state):
    page = open_page(color_scheme=scheme, bypass_csp=True, **(PHONE if device == "phone" else {}))
    if state != "empty":
        answer_with(page, STATES[state], 200 if state == "result" else 429)
        page.locator("[data-name=golf_ball]").click()
        page.locator(f"#{state}").wait_for()
        for details in page.locator("details:visible").all():
            details.locator("summary").click()
    assert_accessible(page)


def test_dark_and_light_differ(open_page):
    colours = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        colours[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == {"light": "rgb(244, 243, 239)", "dark": "rgb(18, 22, 27)"}


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    answer_with(
        page, ANSWER | {"predictions": [{"class": "n0 " + "Very" * 60, "probability": 1}, *ANSWER["predictions"]]}
    )
    page.fill("#url", "https://example.org/" + "long" * 100)
    page.press("#url", "Enter")
    best(page)
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_phone_shows_the_answer_and_has_room_for_thumbs(open_page):
    page = open_page(**PHONE)
    for target in page.locator("button:visible, #url, .drop label").all():
        assert target.bounding_box()["height"] >= 44
    page.locator("[data-name=golf_ball]").tap()
    best(page)
    assert page.evaluate("document.querySelector('#answer').getBoundingClientRect().top") < 844 / 2


def test_page_asks_for_nothing_but_itself(open_page, page_url):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_url)
    page.locator("[data-name=golf_ball]").click()
    best(page)
    outside = [url for url in asked if not url.startswith(("data:", "blob:"))]
    assert outside == [page_url, f"{page_url}predict?top=5"]


# Pictures of it


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("page", {}),
        ("page-dark", {"color_scheme": "dark"}),
        ("page-phone", PHONE),
        ("page-error", {}),
    ],
)
def test_screenshot(open_page, screenshots, name, settings):
    page = open_page(**settings)
    if name == "page-error":
        page.fill("#url", "http://169.254.169.254/latest/meta-data/")
        page.press("#url", "Enter")
        problem(page)
    else:
        page.locator("[data-name=golf_ball]").click()
        best(page)
        page.locator("#again").click()
        page.locator("#history").wait_for()
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    path = screenshots(name)
    page.screenshot(path=path, full_page=True, scale="css")
    assert cv2.imread(str(path)).std() > 5  # something is on it

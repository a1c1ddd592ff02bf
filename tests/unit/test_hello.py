"""The front page's function: who gets a page, who gets JSON, what is refused, and the policy that guards the page."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import cv2
import numpy as np
import pytest

from hello import index
from tests import contract

ROOT = Path(__file__).resolve().parents[2]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def ask(method="GET", path="/", accept="*/*", **more):
    event = {"httpMethod": method, "path": path, "headers": {"Accept": accept}, "requestContext": {"stage": "Prod"}}
    answer = index.handler(event | more, None)
    assert not contract.proxy_violations("/", event | more, answer)
    return answer


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", False),
        ("*/*", False),
        ("", False),
        ("text/html;q=0, application/json", False),
        ("text/htmlx", False),
    ],
)
def test_page_for_browsers_and_json_for_others(accept, is_page):
    answer = ask(accept=accept)
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"].startswith("text/html" if is_page else "application/json")
    assert answer["headers"]["Vary"] == "Accept"  # or a cache gives one the other's


@pytest.mark.parametrize("accept", ["application/json", BROWSER])
def test_post_is_json_for_everybody(accept):
    answer = ask("POST", accept=accept)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["message"] == "Hello World"


@pytest.mark.parametrize(
    ("front_page", "predict"),
    [
        (
            "https://a1.execute-api.us-east-1.amazonaws.com/Prod/",
            "https://a1.execute-api.us-east-1.amazonaws.com/Prod/predict",
        ),
        ("https://images.example/", "https://images.example/predict"),  # custom domains
        ("https://images.example/lab/", "https://images.example/lab/predict"),
        (
            "http://127.0.0.1:4566/restapis/a1/Prod/_user_request_/",
            "http://127.0.0.1:4566/restapis/a1/Prod/_user_request_/predict",
        ),
    ],
)
def test_the_greeting_leads_to_predict_from_each_url(front_page, predict):
    greeting = json.loads(ask()["body"])
    assert urljoin(front_page, greeting["predict"]) == predict
    assert "relative to this URL with / at its end" in greeting["usage"] and greeting["usage"].isascii()


def test_head_has_the_headers_and_no_body():
    answer = ask("HEAD", accept=BROWSER)
    assert answer["headers"] == ask(accept=BROWSER)["headers"]
    assert answer["body"] == ""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "", None, "get"])
def test_other_methods_are_not_allowed(method):
    answer = ask(method, accept=BROWSER)
    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "GET, HEAD, POST")
    assert json.loads(answer["body"])["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/predictions", "/../etc/passwd", "/index.html", "//", "/x" * 500, "/\u2603\r\nSet-Cookie: a=b", 7]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_other_paths_are_not_found(method, path):
    answer = ask(method, path, accept=BROWSER)
    assert answer["statusCode"] == 404
    error = json.loads(answer["body"])["error"]
    assert error["code"] == "path_not_found"
    assert error["message"].isprintable() and len(error["message"]) < 700


def test_a_custom_domain_with_a_base_path_serves_the_page():
    assert ask(path="/lab/", accept=BROWSER, resource="/")["headers"]["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "event",
    [None, [], "text", {}, {"path": "/"}, {"path": "/", "httpMethod": "GET", "headers": None},
     {"path": "/", "httpMethod": "GET", "headers": {"Accept": None, 3: 4}, "requestContext": []}],
)  # fmt: skip
def test_odd_events_get_an_answer(event):
    answer = index.handler(event, None)
    assert answer["statusCode"] in (200, 404, 405)
    assert json.loads(answer["body"])


def policy() -> dict[str, str]:
    return dict(part.split(" ", 1) for part in index.page()[1]["Content-Security-Policy"].split("; "))


def test_policy_names_the_page_s_own_style_and_script_and_nothing_else():
    document = index.page()[0]
    for directive, tag in {"script-src": "script", "style-src": "style"}.items():
        (source,) = re.findall(rf"<{tag}>(.*?)</{tag}>", document, re.DOTALL)
        assert policy()[directive] == f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
    assert policy()["default-src"] == policy()["base-uri"] == policy()["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(policy())


def test_page_has_no_external_part_and_nothing_that_the_policy_forbids():
    document = index.page()[0]
    markup = re.sub(r"<(script|style)>.*?</\1>", "", document, flags=re.DOTALL)
    assert re.findall(r'(?:src|href|action)="(?!data:)([^"]*)"', markup) == ["#answer", "predict"]
    assert not re.findall(r"\s(style|on\w+)=", markup)
    assert "innerHTML" not in document
    assert "<!-- samples -->" not in document and "page.css" not in document and "page.js" not in document


def test_page_is_small_enough_for_a_phone():
    assert len(index.page()[0].encode()) < 300_000


def test_samples_are_small_copies_of_the_notebooks_samples():
    small = {file.name: file for file in (ROOT / "lambda_src/hello/samples").glob("*.jpg")}
    large = {file.name: file for file in (ROOT / "notebooks/samples").glob("*.jpg")}
    assert small.keys() == large.keys(), "run python scripts/page_samples.py"
    for name, file in small.items():
        pixels = cv2.imread(str(file))
        whole = cv2.resize(cv2.imread(str(large[name])), pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(pixels.astype(int) - whole).mean() < 6, f"{name} has changed: run python scripts/page_samples.py"
        assert file.stat().st_size < 20_000


def test_script_parses():
    node = shutil.which("node")
    if not node:
        pytest.skip("no node here; the browser tests run the script itself")
    subprocess.run([node, "--check", ROOT / "lambda_src/hello/page.js"], check=True)

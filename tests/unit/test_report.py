"""The run's report: what a colleague reads there, and what must never get into it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from workshop import ROOT
from workshop.headless import report
from workshop.headless.runner import Result, Run

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Every tag closed; addresses and text noted."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.addresses, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.addresses += [(tag, value) for name, value in attrs if name in ("src", "href")]
        assert tag != "script" and not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " " if tag == "td" else ""

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.replace("\xa0", " ").split())


def passed_run() -> Run:
    results = [Result("00_a.ipynb", 3.21, 7, "passed"), Result("01_b.ipynb", 60.0, 12, "passed")]
    run = Run("2026-01-02 03:04:05 UTC", {"model": "practice"}, results, seconds=63.4, target="local")
    run.region, run.endpoint, run.request_seconds = "eu-central-1", "http://127.0.0.1:4566/x/predict", 0.25
    classes = [("n03445777 golf ball", 0.857), ("n03888257 parachute, chute", 0.0641), ("n0 <b>odd</b>", 0.0001)]
    run.prediction = {
        "predictions": [{"class": name, "probability": share} for name, share in classes],
        "model": {"name": "practice", "sha256": "0123456789abcdef" * 4},
        "timings_ms": {"fetch": 12.4, "decode": 4.0, "predict": 31.6},
        "cold_start": False,
    }
    run.facts = {
        "front_page": "http://127.0.0.1:4566/x/",
        "inbox": "",
        "stack": "predictions-app",
        "resources": {"AWS::ApiGateway::RestApi": 1, "AWS::Lambda::Function": 3},
        "function": {"Runtime": "python3.13", "MemorySize": 1769, "Timeout": 29, "CodeSize": 80_000_000},
        "unzipped": 213_206_488,
    }
    return run


@pytest.fixture
def page(tmp_path):
    def written(run: Run) -> Page:
        return Page(report.write(run, tmp_path).read_text(encoding="utf-8"))

    return written


def test_it_says_what_was_deployed_and_how_it_answers(page, tmp_path):
    (tmp_path / "00_a.html").touch()
    shown = page(passed_run())
    for words in (
        "Deployed in 63 seconds, and the endpoint answers",
        "One prediction: golf ball, 86 %",
        "parachute 6.4 %",
        "odd</b> 0.0 %",  # a label is text, never markup
        "answered after 250 ms: fetch 12 ms, decode 4 ms, predict 32 ms, outside of the function 202 ms.",
        "eu-central-1",
        "1 ApiGateway RestApi, 3 Lambda Function",
        "1,769 MB of memory",
        "213 MB of the 262 that Lambda takes",
        "213,206,488 bytes unzipped, 48,937,512 below the limit",
        "88.3 % of 3,925 images of the test set",
        "01_b.ipynb passed 12 60.0",
        "Parameters: model = practice.",
    ):
        assert words in shown.words, words
    assert "cold start" not in shown.words


def test_the_inbox_is_there_when_the_stack_has_one(page):
    run = passed_run()
    assert "Inbox" not in page(run).words
    run.facts["inbox"] = "s3://predictions-us-east-1-000000000000-inbox/inbox/"
    assert "Inboxs3://predictions-us-east-1-000000000000-inbox/inbox/" in page(run).words  # a term and its text


def test_it_stands_alone(page, tmp_path):
    (tmp_path / "00_a.html").touch()
    shown = page(passed_run())
    pictures = [value for tag, value in shown.addresses if tag == "img"]
    assert len(pictures) == 1 and pictures[0].startswith("data:image/jpeg;base64,")
    links = {value for tag, value in shown.addresses if tag == "a"}
    assert links == {"http://127.0.0.1:4566/x/", "http://127.0.0.1:4566/x/predict", "00_a.html"}


def test_a_failure_says_what_failed_and_where_and_names_no_place_of_the_machine(page):
    home = Path.home()
    error = f"01_b.ipynb failed in cell [3]:\n\n    \x1b[31mopen\x1b[0m('{ROOT}/a<b') {home}/.aws/x"
    results = [Result("00_a.ipynb", 3.2, 7, "passed"), Result("01_b.ipynb", 1, 9, "failed", error)]
    shown = page(Run("2026-01-02", {"model": f"{ROOT}/mine"}, [*results, Result("02_c.ipynb")], seconds=4))
    assert "The run failed in 01_b.ipynb" in shown.words
    assert "01_b.ipynb failed in cell [3]: open('./a<b') ~/.aws/x" in shown.words
    assert "02_c.ipynb not run" in shown.words
    assert "model = ./mine" in shown.words
    assert "Deployed in" not in shown.words
    assert str(ROOT) not in shown.text and not re.search(r"\x1b", shown.text)


def test_a_model_without_measured_results_gets_none(page):
    run = passed_run()
    run.prediction["model"]["name"] = "mine"
    assert "No results were measured for it here" in page(run).words


def test_the_report_says_what_the_model_says_of_itself():
    said = {"fit": "centre-crop", "size": 240, "fraction": 0.9}
    facts = report.model_facts({"name": "mine", "classes": 1000, "licence": "MIT", "not_for": "people", "input": said})
    assert facts == {
        "Classes": "1,000",
        "Input": "its middle square, at 240 × 240 pixels",
        "Licence": "MIT",
        "Not for": "people",
    }
    assert report.model_facts({"name": "mine", "sha256": "0"}) == {}

"""Requests as their two ends saw them: answers and log lines brought together, and where the time went."""

import json

import pytest
import requests
from matplotlib.patches import Rectangle

from workshop import client, diagrams

URL = "http://127.0.0.1:1/predict"


class Answer:
    ok, status_code, text = True, 200, ""

    def __init__(self, body):
        self.body = body

    def json(self):
        return self.body


class Logs:
    """CloudWatch Logs that shows one event more each time it is asked, the newest first, with lines of other kinds."""

    def __init__(self, lines):
        self.lines, self.shown = [json.dumps({"message": "request", "ms": ms}) for ms in lines], 0

    def get_paginator(self, name):
        assert name == "filter_log_events"
        return self

    def paginate(self, logGroupName, startTime):
        assert logGroupName == "/aws/lambda/lab-predict" and startTime > 1e12
        self.shown += 1
        yield {"events": [{"message": "START RequestId: 1"}, {"message": json.dumps({"message": "other"})}]}
        yield {"events": [{"message": line + "\n"} for line in self.lines[: self.shown]]}


class Lab:
    project_id = "lab"

    def __init__(self, lines):
        self.logs = Logs(lines)

    def client(self, name):
        assert name == "logs"
        return self.logs


COLD = {"fetch": 10.0, "decode": 50.0, "load": 300.0, "predict": 200.0}
WARM = {"fetch": 9.0, "decode": 4.0, "predict": 40.0}


@pytest.fixture
def answers(monkeypatch):
    """What the endpoint answers, one after the other."""
    waiting = [Answer({"timings_ms": COLD}), Answer({"timings_ms": WARM})]
    monkeypatch.setattr(client, "predict_url", lambda lab: URL)
    monkeypatch.setattr(client.access, "mode", lambda lab: "none")
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(requests, "get", lambda url, params, auth, timeout: waiting.pop(0))
    return waiting


def test_each_answer_is_found_again_in_the_log(answers):
    """Whatever the order, with a line of somebody else's request, and after asking until both are there."""
    lab = Lab([WARM | {"predict": 41.0, "total": 50.0}, WARM | {"total": 54.5}, COLD | {"total": 563.0}])
    cold, warm = client.traced(lab, "https://example.com/a.jpg", 2)
    assert (cold.log["ms"]["total"], warm.log["ms"]["total"]) == (563.0, 54.5)
    assert (cold.answer["timings_ms"], warm.answer["timings_ms"]) == (COLD, WARM)
    assert lab.logs.shown == 3


def test_a_line_that_does_not_come_is_said(answers):
    with pytest.raises(TimeoutError, match="1 of 2"):
        client.traced(Lab([WARM | {"total": 54.5}, WARM | {"predict": 41.0}]), "https://example.com/", 2, wait=0.01)


def test_the_log_is_asked_until_a_request_is_there(answers):
    lab = Lab([COLD])
    assert client.request_log(lab, 1e10) == [{"message": "request", "ms": COLD}] and lab.logs.shown == 1
    with pytest.raises(TimeoutError, match="0 of 1"):
        client.request_log(Lab([]), 1e10, wait=0.01)


def test_a_refused_request_is_an_error_in_the_endpoints_words(answers, monkeypatch):
    refused = Answer({})
    refused.ok, refused.status_code, refused.text = False, 502, '{"error": {"code": "host_not_found"}}'
    monkeypatch.setattr(requests, "get", lambda *_, **__: refused)
    with pytest.raises(requests.HTTPError, match="502.*host_not_found"):
        client.traced(Lab([]), "https://example.com/", 1)


def trace(seconds, stages, total):
    return client.Trace(seconds, {}, {"ms": stages | {"total": total}})


def test_the_path_adds_up_to_what_the_client_waited():
    path = trace(2.5, COLD, 563.0).path
    assert path == pytest.approx({"way": 1937, **COLD, "rest": 3})
    assert sum(path.values()) == pytest.approx(2500)


def test_the_paths_picture_is_true_to_its_numbers():
    figure = diagrams.request_path(trace(2.5, COLD, 563.0).path, trace(0.06, WARM, 54.5).path)
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    # The way is as long in both; what the cold request waited beyond it, 1,937 - 5.5 ms, is the start.
    assert "1,932 ms" in texts and texts.count("5.5 ms") == 2 and texts.count("–") == 2
    assert figure.get_suptitle() == "2.5 s cold, 60 ms warm: “Start” is 79% of the difference"
    widths = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert sum(widths[:7]) / sum(widths[7:]) == pytest.approx(2500 / 60)

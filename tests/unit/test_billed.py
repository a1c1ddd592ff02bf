"""Reading Lambda's log: which durations were billed, of cold starts and of warm invocations."""

import json
from types import SimpleNamespace

import pytest

from workshop import client


def line(request, cold):
    return json.dumps({"message": "request", "function_request_id": request, "cold_start": cold})


def report(request, ms, init=""):
    return (
        f"REPORT RequestId: {request}\tDuration: {ms - 1} ms\tBilled Duration: {ms} ms\tMemory Size: 1769 MB\t"
        f"Max Memory Used: 286 MB\t{init}\n"
    )


@pytest.fixture
def lab():
    messages = []

    def paginate(**request):
        assert request == {"logGroupName": "/aws/lambda/p-predict", "startTime": 5000}
        return [{"events": [{"message": each} for each in messages]}]

    logs = SimpleNamespace(get_paginator=lambda _operation: SimpleNamespace(paginate=paginate))
    return SimpleNamespace(project_id="p", client=lambda _service: logs, messages=messages)


def test_billed_durations_are_told_apart_by_the_functions_own_lines(lab):
    lab.messages += [
        "START RequestId: a Version: $LATEST",
        line("a", True),
        report("a", 1946, "Init Duration: 600 ms"),
        line("b", False),
        report("b", 27),
        "not json",
        report("other-handler", 5),
    ]
    assert client.billed_ms(lab, since=5.0, count=2) == ([1946], [27])


def test_missing_lines_are_waited_for(lab, monkeypatch):
    lab.messages += [line("a", False), report("a", 30)]
    monkeypatch.setattr(client.time, "sleep", lambda _seconds: lab.messages.extend([line("b", False), report("b", 40)]))
    assert client.billed_ms(lab, since=5.0, count=2) == ([], [30, 40])
    with pytest.raises(TimeoutError, match="2 of 9 requests' lines in the log group /aws/lambda/p-predict"):
        client.billed_ms(lab, since=5.0, count=9, wait=0.0)

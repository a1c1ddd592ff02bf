"""The soak test's own reckoning: what counts as answered, as asked again, and as growth."""

import json
import os
import subprocess
import sys

import pytest
import requests

from benchmarks import soak

GOOD_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Cold-Start": "false",
    "X-Version": "1",
}


def response(status: int, body: dict) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer._content = status, json.dumps(body).encode()
    answer.headers.update({"Content-Type": "application/json", **GOOD_HEADERS})
    answer.request = requests.Request("GET", "http://127.0.0.1/").prepare()
    return answer


def failed(code: str, status: int) -> requests.Response:
    return response(status, {"error": {"code": code, "message": "so it is"}})


def test_an_error_is_right_only_as_the_one_that_is_due():
    case = soak.Case("html", {}, "not_an_image")
    assert soak.judge(case, failed("not_an_image", 415)) == ("415 not_an_image", True)
    assert soak.judge(case, failed("image_broken", 422)) == ("422 image_broken", False)
    assert soak.judge(soak.Case("good", {}), failed("not_an_image", 415)) == ("415 not_an_image", False)


def test_answers_of_the_emulator_and_of_api_gateway_are_asked_for_again():
    crashed, right = soak.judge(soak.Case("good", {}), response(502, {"message": "Worker process died"}))
    assert crashed.startswith("502 not of the contract") and not right
    assert soak.worth_a_retry(crashed)
    assert soak.worth_a_retry("429 throttled") and soak.worth_a_retry("503 unavailable")
    assert not soak.worth_a_retry("200") and not soak.worth_a_retry("502 host_answer")


def test_every_case_of_the_end_to_end_tests_is_among_them_once():
    good, bad, slow = soak.cases(1)
    assert {case.wnid for case in good} == set(soak.KNOWN.values())
    assert {case.code for case in slow} == {"fetch_timeout"}
    names = [case.name for case in good + bad + slow]
    hosts = set(soak.hostile.HOSTS) - set(soak.KNOWN)
    assert hosts <= set(names)
    assert len(bad + slow) == len(hosts) + len(soak.hostile.ADDRESSES) + len(soak.hostile.BODIES)


def test_growth_is_told_from_noise():
    steady = [(float(at), 250.0 + at % 2) for at in range(0, 120, 5)]
    growing = [(float(at), 250.0 + at / 60) for at in range(0, 120, 5)]
    assert abs(soak.trend(steady)) < 0.5
    assert soak.trend(growing) == pytest.approx(1.0)


def test_a_wrong_answer_is_named_in_the_summary():
    case = soak.Case("GET golf_ball", {}, wnid="n03445777")
    lost = "502 not of the contract: x"
    outcomes = [soak.Outcome(0.0, case, ("200",), True, 0.1), soak.Outcome(1.0, case, (lost, "200"), False, 0.2)]
    memory = {1: ("emulator", [(float(at), 100.0) for at in range(0, 120, 5)])}
    result = soak.summary(outcomes, [(0.5, "worker", 9)], memory, 2.0)
    assert (result["good"], result["good_with_the_right_class"], result["killed_workers"]) == (2, 1, 1)
    assert result["wrong_in_the_end"] == ["GET golf_ball: 200"]
    assert (result["tries_that_the_emulator_answered"], result["of_those_right_in_the_end"]) == (1, 0)


def test_children_and_their_memory_are_read_from_proc():
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        process.stdout.readline()  # a process that has only been forked has hardly any memory
        assert process.pid in soak.children(os.getpid())
        assert soak.megabytes(process.pid) > 1
        assert not soak.is_predict(process.pid)
    finally:
        process.communicate(b"\n")
    assert process.pid not in soak.children(os.getpid())
    assert soak.megabytes(process.pid) == 0

"""What refuses a new version: its answers to the golden pictures, and the requests that it gets."""

import importlib.util

import pytest

from workshop import ROOT
from workshop.deployment import canary
from workshop.models import golden
from workshop.models.files import PRACTICE, ModelFiles
from workshop.samples import SAMPLES


@pytest.fixture(scope="module")
def hook():
    """The function's module, which lies outside of every package."""
    spec = importlib.util.spec_from_file_location("canary_index", ROOT / "lambda_src" / "canary" / "index.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = {
    "tolerance": {"float32": 0.05, "int8": 0.12},
    "pictures": [
        {"file": "a.jpg", "class": "n1", "probability": 0.9},
        {"file": "b.jpg", "class": "n2", "probability": 0.8},
    ],
}


KNOWN = {"n1", "n2", "n7", "n8"}


def answer(label, probability, ms=20.0):
    best = {"class": label, "probability": probability}
    return {"status": 200, "body": {"predictions": [best], "timings_ms": {"predict": ms}}}


def good(ms=20.0):
    return {"a.jpg": answer("n1 one", 0.91, ms), "b.jpg": answer("n2 two", 0.79, ms)}


def test_right_answers_pass_with_an_old_version_and_without(hook):
    for old in ({}, good()):
        report = hook.judge(GOLDEN, "float32", good(), old, KNOWN)
        assert (report["passed"], report["reasons"], report["pictures"]) == (True, [], 2)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"a.jpg": answer("n2 two", 0.9)}, "a.jpg: n2 two, expected n1"),
        ({"a.jpg": answer("n1 one", 0.84)}, "a.jpg: 0.84, expected 0.90"),
        ({"b.jpg": {"status": 503, "body": {"error": {"code": "model_not_usable"}}}}, "b.jpg: 503 model_not_usable"),
        ({"b.jpg": {"status": 0, "body": {"error": {"code": "Runtime.ExitError"}}}}, "b.jpg: 0 Runtime.ExitError"),
    ],
    ids=["another class", "another probability", "an error", "a crash"],
)
def test_a_wrong_answer_refuses_and_says_which(hook, changed, reason):
    report = hook.judge(GOLDEN, "float32", good() | changed, {}, KNOWN)
    assert not report["passed"] and report["reasons"][0].startswith(reason)


def test_int8_may_be_further_off(hook):
    off = good() | {"a.jpg": answer("n1 one", 0.80)}
    assert hook.judge(GOLDEN, "int8", off, {}, KNOWN)["passed"]
    assert not hook.judge(GOLDEN, "float32", off, {}, KNOWN)["passed"]


def test_a_slow_version_is_refused_and_a_little_slower_one_is_not(hook):
    assert not hook.judge(GOLDEN, "float32", good(400), good(20), KNOWN)["passed"]
    assert hook.judge(GOLDEN, "float32", good(100), good(20), KNOWN)["passed"], "five times, but 80 ms"
    assert hook.judge(GOLDEN, "float32", good(900), good(400), KNOWN)["passed"], "500 ms, but not three times"


def test_disagreement_with_the_old_version_refuses(hook):
    other = {"a.jpg": answer("n7 seven", 0.9), "b.jpg": answer("n8 eight", 0.9)}
    report = hook.judge(GOLDEN, "float32", good(), other, KNOWN)
    assert report["disagreement"] == 1.0 and not report["passed"]


def test_an_old_model_of_other_classes_says_nothing_against_a_new_one(hook):
    flowers = {"a.jpg": answer("rose", 0.9), "b.jpg": answer("tulip", 0.9)}
    report = hook.judge(GOLDEN, "float32", good(), flowers, KNOWN)
    assert (report["disagreement"], report["passed"]) == (0.0, True)
    one = {"a.jpg": answer("n7 seven", 0.9), "b.jpg": answer("tulip", 0.9)}
    assert not hook.judge(GOLDEN, "float32", good(), one, KNOWN)["passed"]


class Functions:
    def __init__(self, version, weights):
        self.alias = {"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": weights}}

    def get_alias(self, FunctionName, Name):
        return self.alias


@pytest.mark.parametrize(
    ("version", "weights", "old"),
    [("2", {"1": 1.0}, "1"), ("1", {}, "1"), ("1", {"2": 0.1}, "1"), ("2", {}, None)],
    ids=["held", "not moved yet", "on AWS", "the first"],
)
def test_the_old_version_is_found_however_the_alias_stands(hook, version, weights, old):
    assert hook.answering(Functions(version, weights), "predict", "2") == old


# --- requests


def line(version, status=200, ms=20.0, best=0.9, code="ok"):
    return {"version": version, "status": status, "code": code, "ms": {"predict": ms}, "best": best}


OLD = [line("1")] * 20
LIMITS = canary.Limits()


def test_requests_as_before_take_nothing_back():
    assert canary.exceeded(OLD + [line("2")] * 20, "2", "1", LIMITS) == []
    assert canary.exceeded(OLD, "2", "1", LIMITS) == []


def test_other_peoples_failures_are_no_reason():
    failed = {"version": "2", "status": 502, "code": "host_refused", "ms": {}}
    assert canary.exceeded([*OLD, failed, failed], "2", "1", LIMITS) == []


def test_a_fault_of_its_own_is():
    failed = {"version": "2", "status": 503, "code": "model_not_usable", "ms": {}}
    assert canary.exceeded([*OLD, failed], "2", "1", LIMITS) == ["1 of 1 requests failed: model_not_usable"]
    assert canary.exceeded([*OLD, failed | {"version": "1"}], "2", "1", LIMITS) == [], "the old one's"


def test_slow_ones_and_unsure_ones_are_from_enough_requests_on():
    for kind, word in (({"ms": 900.0}, "900 ms"), ({"best": 0.3}, "no class")):
        few, many = ([line("2", **kind)] * count for count in (4, 5))
        assert canary.exceeded(OLD + few, "2", "1", LIMITS) == []
        assert word in canary.exceeded(OLD + many, "2", "1", LIMITS)[0]


# --- golden pictures


def test_the_practice_models_golden_pictures_are_its_samples():
    files = ModelFiles(PRACTICE, "practice", "practice", "", [], {})
    said = golden.of(files)
    known = {f"{name}.jpg": wnid for name, wnid in SAMPLES.items() if wnid}
    assert {one["file"]: one["class"] for one in said["pictures"]} == known
    assert all(0.5 < one["probability"] <= 1 for one in said["pictures"])
    assert said["tolerance"] == golden.TOLERANCE


def test_a_folders_own_golden_pictures_come_first(tmp_path):
    (tmp_path / golden.GOLDEN).write_text('{"pictures": [], "tolerance": {}}')
    assert golden.of(ModelFiles(tmp_path, "practice", "practice", "", [], {})) == {"pictures": [], "tolerance": {}}

"""The HTTP contract at the handler: events of API Gateway in, its responses, the log and the metrics out."""

import ast
import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from predict import errors, fetching, lambda_function, limits, model_store
from predict.errors import STATUS, PredictionError, failure
from predict.model_store import MANIFEST, ModelStore
from predict.params_file import layout
from predict.predictor import Predictor
from tests import contract
from workshop import ROOT

PREDICT = ROOT / "lambda_src" / "predict"
URL = "https://images.example/dog.jpg"
ENVIRONMENT = {
    "MODEL_STORE_BUCKET_NAME": "store",
    "MODEL_STORE_PREFIX": "models/tiny",
    "MODEL_PARAMS_FILE_NAME": "model-0000.params",
    "MODEL_SYMBOL_FILE_NAME": "model-symbol.json",
    "MODEL_SYNSET_FILE_NAME": "model-synset.txt",
}


class Context:
    """What Lambda hands to a handler beside the event."""

    function_name = "predictions-predict"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:predictions-predict"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def __init__(self, seconds: float = 29.0):
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._end - time.monotonic()) * 1000))


def event(method: str = "GET", path: str = "/predict", **members: Any) -> dict[str, Any]:
    """An event of API Gateway's REST proxy integration."""
    return {
        "resource": "/predict",
        "path": path,
        "httpMethod": method,
        "headers": {"Host": "api.example", "User-Agent": "curl/8"},
        "multiValueHeaders": {"Host": ["api.example"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "Prod", "requestId": "req-1", "path": f"/Prod{path}", "identity": {}},
        "body": None,
        "isBase64Encoded": False,
    } | members


def query(**parameters: str | list[str]) -> dict[str, Any]:
    several = {name: [value] if isinstance(value, str) else value for name, value in parameters.items()}
    return {
        "multiValueQueryStringParameters": several,
        "queryStringParameters": {name: values[-1] if values else "" for name, values in several.items()},
    }


def upload(data: bytes, content_type: str | None = "image/jpeg", **members: Any) -> dict[str, Any]:
    headers = {} if content_type is None else {"content-type": content_type}
    body = base64.b64encode(data).decode()
    return event("POST", headers=headers, body=body, isBase64Encoded=True, **members)


def as_json(body: str, content_type: str = "application/json", **members: Any) -> dict[str, Any]:
    return event("POST", headers={"Content-Type": content_type}, body=body, **members)


def picture(kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, kind)
    return file.getvalue()


JPEG = picture()


class Store:
    """A model store in memory that can be broken and mended."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.problem: Exception | None = None
        self.reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        if self.problem:
            raise self.problem
        return self.files[key.rpartition("/")[2]]


@pytest.fixture(autouse=True)
def store(tiny_model, monkeypatch) -> Store:
    """Each test begins with a cold start: no model is loaded yet."""
    store = Store(tiny_model.files)
    monkeypatch.setattr(model_store, "_model", None)
    monkeypatch.setattr("predict.model_store.get_from_s3", lambda *_: store.get)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("ALLOWED_PRIVATE_HOSTS", "CONTACT_URL"):
        monkeypatch.delenv(name, raising=False)
    return store


@pytest.fixture
def output(capsys):
    """What the function prints from here on: its log and its metrics."""
    handler = lambda_function.logger.registered_handler
    now = SimpleNamespace(write=lambda text: sys.stdout.write(text), flush=lambda: None)
    before, handler.stream = handler.stream, now
    yield capsys
    handler.stream = before


@pytest.fixture
def fetched(monkeypatch) -> list[tuple[str, dict]]:
    """Fetching gives a JPEG; the list tells what was asked for."""
    calls = []

    def fetch(url, **options):
        calls.append((url, options))
        return JPEG

    monkeypatch.setattr(fetching, "fetch", fetch)
    return calls


def ask(request: Any, seconds: float = 29.0) -> tuple[int, dict]:
    """One request; holds the response to what is true of every response of the contract."""
    response = lambda_function.lambda_handler(request, Context(seconds))
    assert response["isBase64Encoded"] is False
    headers = response["headers"]
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Cold-Start"] in ("true", "false")
    assert headers["X-Version"] == "$LATEST", "where Lambda gave no number"
    assert not contract.proxy_violations("/predict", request, response)
    body = json.loads(response["body"])
    json.dumps(response)
    if response["statusCode"] == 200:
        assert headers["X-Cold-Start"] == str(body["cold_start"]).lower()
        assert {"fetch", "decode", "predict"} <= body["timings_ms"].keys() <= lambda_function.METRIC_NAMES.keys()
    else:
        assert STATUS[body["error"]["code"]] == response["statusCode"]
        assert "Traceback" not in response["body"]
        assert str(ROOT) not in response["body"]
    return response["statusCode"], body


def code(request: Any, **options: Any) -> str:
    status, body = ask(request, **options)
    assert status != 200, body
    return body["error"]["code"]


# --- predictions -----------------------------------------------------------------------------------


def test_a_prediction_by_url(fetched, tiny_model):
    status, body = ask(event(**query(url=URL, top="3")))
    assert status == 200
    probabilities = [entry["probability"] for entry in body["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(probabilities) == 3
    assert all(entry["class"] in tiny_model.labels for entry in body["predictions"])
    assert (body["model"]["name"], body["model"]["precision"]) == ("tiny", "float32")
    assert f"{body['model']['sha256']}  model-0000.params" in tiny_model.files[MANIFEST].decode()
    assert body["timings_ms"].keys() == {"fetch", "load", "decode", "predict"}
    assert fetched[0][0] == URL


@pytest.mark.parametrize("content_type", ["image/jpeg", "IMAGE/PNG", "application/octet-stream", "image/x-own; q=1"])
def test_a_prediction_by_bytes(content_type):
    status, body = ask(upload(JPEG, content_type, **query(top="1")))
    assert (status, len(body["predictions"])) == (200, 1)
    assert body["timings_ms"]["fetch"] == 0
    assert not {"partial", "notes"} & body.keys()


def test_an_answer_about_a_part_of_a_picture_says_so(output):
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    status, body = ask(upload(file.getvalue()[: len(file.getvalue()) * 3 // 4], "image/png"))
    assert (status, body["partial"]) == (200, True)
    assert "the image's rows came" in body["notes"][0]
    (line,) = log(output)
    assert (line["code"], line["partial"], line["notes"]) == ("ok", True, body["notes"])


def test_the_decoder_is_woken_for_bytes_in_the_request_and_not_before_a_fetch(monkeypatch, fetched):
    woken = []
    monkeypatch.setattr(lambda_function._decoder, "expect", lambda: woken.append(True))
    ask(event(**query(url=URL)))
    assert woken == []
    ask(upload(JPEG))
    assert woken == [True]


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_prediction_by_json(fetched, encoded, content_type):
    text = json.dumps({"url": URL, "top": 2})
    body = base64.b64encode(text.encode()).decode() if encoded else text
    status, answer = ask(as_json(body, content_type, isBase64Encoded=encoded))
    assert (status, len(answer["predictions"])) == (200, 2)
    assert fetched[0][0] == URL


def test_all_ways_in_predict_the_same(fetched):
    requests = event(**query(url=URL)), upload(JPEG), as_json(json.dumps({"url": URL}))
    answers = [ask(request)[1] for request in requests]
    assert answers[0]["predictions"] == answers[1]["predictions"] == answers[2]["predictions"]


def test_top_is_five_unless_told(fetched):
    assert limits.TOP_DEFAULT == 5
    assert len(ask(event(**query(url=URL)))[1]["predictions"]) == 4  # as many classes as the tiny model has
    assert len(ask(event(**query(url=URL, top="20")))[1]["predictions"]) == 4


def test_an_event_without_lists_of_values_is_read_too(fetched):
    assert ask(event(queryStringParameters={"url": URL, "top": "1"}))[0] == 200


@pytest.mark.parametrize("path", ["/predict", "/predict/"])
def test_the_path_may_end_in_a_slash(fetched, path):
    assert ask(event(path=path, **query(url=URL)))[0] == 200


def test_an_address_with_parameters_of_its_own_arrives_whole(fetched):
    url = URL + "?X-Amz-Signature=abc&X-Amz-Expires=300"
    assert ask(event(**query(url=url)))[0] == 200
    assert fetched[0][0] == url


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_event", "expected"),
    [
        (event(), "parameter_missing"),
        (event(**query(top="5")), "parameter_missing"),
        (event(**query(url="")), "parameter_malformed"),
        (event(**query(url=[])), "parameter_malformed"),
        (event(**query(url=[URL, URL])), "parameter_repeated"),
        (event(**query(url=URL, top=["1", "2"])), "parameter_repeated"),
        (event(**query(url=URL, size="1")), "parameter_unknown"),
        (event(**query(URL=URL)), "parameter_unknown"),
        (event(**query(url=URL, **{"X-Amz-Signature": "abc"})), "parameter_unknown"),
        (event(multiValueQueryStringParameters={"url": URL}), "request_malformed"),
        (event(multiValueQueryStringParameters={"url": [None]}), "request_malformed"),
        (event(multiValueQueryStringParameters=[URL]), "parameter_missing"),
        (event("POST"), "request_malformed"),
        (upload(JPEG, "text/html"), "media_type_not_supported"),
        (upload(JPEG, "multipart/form-data; boundary=x"), "request_malformed"),
        (upload(JPEG, "imagejpeg"), "media_type_not_supported"),
        (upload(b""), "request_malformed"),
        (upload(JPEG) | {"body": None}, "request_malformed"),
        (upload(JPEG) | {"body": "*not base64*"}, "request_malformed"),
        (upload(JPEG) | {"body": "AAAA="}, "request_malformed"),
        (upload(JPEG) | {"body": "\ud800", "isBase64Encoded": False}, "request_malformed"),
        (upload(JPEG, **query(url=URL)), "parameter_unknown"),
        (upload(JPEG, **query(top="0")), "parameter_malformed"),
        (upload(b"<html></html>"), "not_an_image"),
        (upload(JPEG[:400]), "image_broken"),
        (upload(bytes(limits.BODY_BYTES + 1)), "image_too_large"),
        (upload(JPEG) | {"body": "A" * 14_000_000}, "image_too_large"),
        (as_json(json.dumps({"url": URL}), **query(top="1")), "parameter_unknown"),
        (event("PUT"), "method_not_allowed"),
        (event("DELETE"), "method_not_allowed"),
        (event("HEAD"), "method_not_allowed"),
        (event("OPTIONS"), "method_not_allowed"),
        (event("PROPFIND", "/predict/"), "method_not_allowed"),
        (event(path="/"), "path_not_found"),
        (event(path="/predict/x"), "path_not_found"),
        (event(path="/Predict"), "path_not_found"),
        (event(path="/..%2fpredict"), "path_not_found"),
        (event("POST", "/other"), "path_not_found"),
        (None, "request_malformed"),
        ([], "request_malformed"),
        ("event", "request_malformed"),
        ({}, "request_malformed"),
        ({"httpMethod": "GET"}, "request_malformed"),
        ({"httpMethod": 5, "path": "/predict"}, "request_malformed"),
        (event() | {"body": 5}, "request_malformed"),
        ({"version": "2.0", "rawPath": "/predict", "requestContext": {"http": {"method": "GET"}}}, "parameter_missing"),
        ({"version": "2.0", "rawPath": "/predict", "requestContext": {"http": {}}}, "request_malformed"),
        ({"version": "2.0", "rawPath": 5, "requestContext": {"http": {"method": "GET"}}}, "request_malformed"),
        ({"httpMethod": "GET", "path": "/predict", "requestContext": {"elb": {}}}, "parameter_missing"),
    ],
)
def test_what_is_refused_and_how(fetched, request_event, expected):
    assert code(request_event) == expected
    assert not fetched


@pytest.mark.parametrize(
    "top", ["", "0", "21", "-1", "+5", "5.0", "5e0", " 5", "five", "0x5", "\u0665", "1_0", "9" * 5000]
)
def test_top_must_be_a_whole_number_from_1_to_20(fetched, top):
    assert code(event(**query(url=URL, top=top))) == "parameter_malformed"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "request_malformed"),
        ("{", "request_malformed"),
        ("not json", "request_malformed"),
        ("[]", "request_malformed"),
        ("null", "request_malformed"),
        ('"https://images.example"', "request_malformed"),
        ("{}", "parameter_missing"),
        ('{"top": 5}', "parameter_missing"),
        ('{"url": ""}', "parameter_malformed"),
        ('{"url": null}', "parameter_malformed"),
        ('{"url": 5}', "parameter_malformed"),
        ('{"url": ["https://images.example"]}', "parameter_malformed"),
        ('{"url": "u", "top": 0}', "parameter_malformed"),
        ('{"url": "u", "top": 21}', "parameter_malformed"),
        ('{"url": "u", "top": "5"}', "parameter_malformed"),
        ('{"url": "u", "top": 5.0}', "parameter_malformed"),
        ('{"url": "u", "top": true}', "parameter_malformed"),
        ('{"url": "u", "top": null}', "parameter_malformed"),
        ('{"url": "u", "top": NaN}', "parameter_malformed"),
        ('{"url": "u", "top": 1e999}', "parameter_malformed"),
        ('{"url": "u", "url": "v"}', "parameter_repeated"),
        ('{"url": "u", "size": 1}', "parameter_unknown"),
        ('{"url": "\\ud800"}', "url_malformed"),
        ("[" * 19_000, "request_malformed"),
        ('{"url": "u", "top": ' + "9" * 5000 + "}", "request_malformed"),
        ('{"url": "' + "u" * 20_000 + '"}', "url_malformed"),
        ("\ufeff{}", "parameter_missing"),
    ],
)
def test_json_of_the_wrong_shape(body, expected):
    assert code(as_json(body)) == expected


def test_methods_that_are_allowed_are_named():
    response = lambda_function.lambda_handler(event("PUT"), Context())
    assert response["headers"]["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9001/", "http://[::1]/", "file:///proc/self/environ", "\0", "x" * 9000],
)
def test_addresses_are_checked_with_nothing_replaced(url):
    assert code(event(**query(url=url))) in ("address_not_public", "url_malformed")


def test_hosts_that_may_be_private_come_from_the_environment(fetched, monkeypatch):
    monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", "127.0.0.1:4566, store.example")
    ask(event(**query(url=URL)))
    allowed = fetched[0][1]["allowed"]
    assert allowed.allow("127.0.0.1", 4566)
    assert not allowed.allow("127.0.0.1", 9001)
    monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", "http://oops")
    assert code(event(**query(url=URL))) == "misconfigured"


def test_hosts_are_told_whom_to_ask(fetched, monkeypatch):
    ask(event(**query(url=URL)))
    monkeypatch.setenv("CONTACT_URL", "mailto:lab@pages.example")
    ask(event(**query(url=URL)))
    assert [options["contact"] for _, options in fetched] == [fetching.CONTACT_URL, "mailto:lab@pages.example"]
    monkeypatch.setenv("CONTACT_URL", "me)\r\nX-Injected: 1")
    assert code(event(**query(url=URL))) == "misconfigured"


# --- failures of its own ---------------------------------------------------------------------------


def test_the_model_is_loaded_once(store):
    for _ in range(3):
        assert ask(upload(JPEG))[0] == 200
    assert store.reads == 5


def test_loading_is_timed_in_the_answer_of_the_request_that_loads():
    loaded, kept = (ask(upload(JPEG))[1]["timings_ms"] for _ in range(2))
    assert loaded["load"] > 0
    assert "load" not in kept


@pytest.mark.parametrize("first", [upload(JPEG), upload(b"no image"), event("PUT"), None])
def test_the_environments_first_answer_says_cold_as_its_log_line_and_its_metric_do(first, monkeypatch, output):
    monkeypatch.setattr("aws_lambda_powertools.logging.logger.is_cold_start", True)
    monkeypatch.setattr("aws_lambda_powertools.metrics.provider.cold_start.is_cold_start", True)
    said = []
    for request in (first, upload(JPEG), event()):
        response = lambda_function.lambda_handler(request, Context())
        headers = response["headers"]
        lines = printed(output)
        logged = [line["cold_start"] for line in lines if "_aws" not in line]
        said.append((headers["X-Cold-Start"], logged, any("ColdStart" in line for line in lines)))
    assert said == [("true", [True], True), ("false", [False], False), ("false", [False], False)]


def test_an_environment_that_lambda_provisioned_is_never_cold(monkeypatch):
    monkeypatch.setattr("aws_lambda_powertools.logging.logger.is_cold_start", True)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
    assert ask(upload(JPEG))[1]["cold_start"] is False


def test_a_bad_request_loads_no_model(store):
    ask(event())
    ask(upload(b"no image"))
    assert store.reads == 0


@pytest.mark.parametrize(
    "problem",
    [
        failure("model_store_denied", "the model store denied s3:GetObject on f (AccessDenied): grant it"),
        failure("model_store_unreachable", "no answer"),
        failure("model_file_missing", "no f"),
    ],
)
def test_a_failing_store_is_503_and_the_next_request_tries_again(store, problem):
    store.problem = problem
    for _ in range(2):
        status, body = ask(upload(JPEG))
        assert (status, body["error"]) == (503, {"code": problem.code, "message": problem.message})
    store.problem = None
    assert ask(upload(JPEG))[0] == 200


@pytest.mark.parametrize("file", ["model-0000.params", "model-symbol.json", MANIFEST])
def test_a_damaged_model_is_503_and_a_mended_one_is_taken(store, file):
    whole = store.files[file]
    store.files[file] = whole[:-9]
    status, body = ask(upload(JPEG))
    assert (status, body["error"]["code"]) == (503, "model_file_mismatch")
    store.files[file] = whole
    assert ask(upload(JPEG))[0] == 200


def not_a_number(params: bytes) -> bytes:
    """The first weight is none: the network answers nonsense, and the file has its usual form."""
    place = layout(memoryview(params))[0][2]
    return params[:place] + b"\xff\xff\xff\x7f" + params[place + 4 :]


@pytest.mark.parametrize("much", [0, 1 << 30], ids=["in a thread", "at once"])
@pytest.mark.parametrize("asked", ["one", "several"])
def test_nothing_is_told_of_weights_that_are_not_the_manifests(store, monkeypatch, fetched, much, asked):
    monkeypatch.setattr(model_store, "_MUCH", much)
    file = "model-0000.params"
    whole = store.files[file]
    store.files[file] = not_a_number(whole)
    request = upload(JPEG) if asked == "one" else as_json(json.dumps({"urls": [URL, URL]}))
    for _ in range(2):
        status, body = ask(request)
        assert (status, body["error"]["code"]) == (503, "model_file_mismatch")
        assert file in body["error"]["message"] and "predictions" not in body
        assert model_store.present_model() is None
    store.files[file] = whole
    assert ask(upload(JPEG))[0] == 200


def test_the_network_predicts_while_the_weights_are_verified(store, monkeypatch):
    """To compute their digest takes as long as a third of the first prediction."""
    predicted = threading.Event()
    run, hexdigest = Predictor.run, model_store.Digest.hexdigest
    of_the_weights = hashlib.sha256(store.files["model-0000.params"]).hexdigest()

    def waiting(digest: model_store.Digest) -> str:
        computed = hexdigest(digest)
        assert computed != of_the_weights or predicted.wait(10), "the prediction waits for the digest"
        return computed

    monkeypatch.setattr(model_store, "_MUCH", 0)
    monkeypatch.setattr(model_store.Digest, "hexdigest", waiting)
    monkeypatch.setattr(Predictor, "run", lambda *given: (run(*given), predicted.set())[0])
    assert ask(upload(JPEG))[0] == 200


def test_a_function_without_its_variables_is_503(monkeypatch):
    monkeypatch.delenv("MODEL_STORE_BUCKET_NAME")
    assert code(upload(JPEG)) == "misconfigured"


def test_a_defect_is_a_500_of_the_contract_and_logged_with_its_trace(monkeypatch, output):
    monkeypatch.setattr(ModelStore, "bind", lambda *_: 1 / 0)
    assert code(upload(JPEG)) == "internal_error"
    (line,) = log(output)
    assert (line["level"], line["status"]) == ("ERROR", 500)
    assert "ZeroDivisionError" in line["exception"]


# --- time ------------------------------------------------------------------------------------------


def test_a_request_without_time_left_is_504(fetched):
    assert code(event(**query(url=URL)), seconds=1.0) == "time_limit"
    assert not fetched


def test_fetching_gets_no_more_than_is_left(fetched):
    ask(event(**query(url=URL)), seconds=5.0)
    assert 3 < fetched[0][1]["max_seconds"] <= 5 - lambda_function.RESERVE_SECONDS
    ask(event(**query(url=URL)), seconds=900.0)
    assert fetched[1][1]["max_seconds"] == fetching.MAX_SECONDS


def described(store: Store, **members: Any) -> None:
    """Put a model.json into the store."""
    about = {
        "schema": 1,
        "classes": 4,
        "licence": "MIT",
        "not_for": "anything",
        "input": {"size": 224, "fit": "squash"},
    }
    store.files = dict(store.files) | {"model.json": json.dumps(about | members).encode()}
    line = f"{hashlib.sha256(store.files['model.json']).hexdigest()}  model.json\n".encode()
    store.files[MANIFEST] = store.files[MANIFEST] + line


CALIBRATED = {"method": "linear", "layers": ["relu0"], "weights": [0.0] * 4, "bias": 0.25, "threshold": 0.5}


@pytest.mark.parametrize(("threshold", "known"), [(0.25, True), (0.26, False)])
def test_an_answer_says_whether_the_picture_is_known(store, threshold, known, output):
    plain = ask(upload(JPEG))[1]
    model_store._model = None
    described(store, rejection=CALIBRATED | {"threshold": threshold})
    body = ask(upload(JPEG))[1]
    assert (body["known"], body["known_score"], body["model"]["known_from"]) == (known, 0.25, threshold)
    assert body["predictions"] == plain["predictions"]
    assert "known" not in plain and "known_from" not in plain["model"]
    lines = [json.loads(line) for line in output.readouterr().out.splitlines()]
    assert [line["Unknown"] for line in lines if "Unknown" in line] == [[float(not known)]]
    assert [line["known"] for line in lines if "known" in line] == [known]


def test_a_picture_is_fitted_as_the_model_says_at_a_cold_start_too(store):
    """The first picture is decoded before the model is there; then the model may want it otherwise."""
    tall = io.BytesIO()
    picture = Image.new("RGB", (100, 400), (255, 255, 255))
    picture.paste(Image.linear_gradient("L").resize((100, 100)).convert("RGB"), (0, 150))
    picture.save(tall, "PNG")
    squashed = ask(upload(tall.getvalue(), "image/png"))[1]
    model_store._model = None
    described(store, input={"size": 224, "fit": "centre-crop", "fraction": 1.0})
    cold, warm = (ask(upload(tall.getvalue(), "image/png"))[1] for _ in range(2))
    assert cold["model"]["input"] == {"size": 224, "fit": "centre-crop", "fraction": 1.0}
    assert cold["predictions"] == warm["predictions"] != squashed["predictions"]


def test_a_slow_decode_is_answered_before_the_limit(monkeypatch):
    from predict.decoder import DecoderProcess

    slow = DecoderProcess(lambda data, fitting: time.sleep(60))
    monkeypatch.setattr(lambda_function, "_decoder", slow)
    begun = time.monotonic()
    assert code(upload(JPEG), seconds=2.0) == "time_limit"
    assert time.monotonic() - begun < 2.0
    slow.stop()


def test_a_cold_start_counts_against_the_gateways_limit(fetched):
    received = (time.time() - 25) * 1000
    context = event()["requestContext"] | {"requestTimeEpoch": int(received)}
    assert ask(event(**query(url=URL), requestContext=context))[0] == 200
    assert fetched[0][1]["max_seconds"] < 29 - 25 - lambda_function.RESERVE_SECONDS + 0.5


@pytest.mark.parametrize(
    ("received", "seconds"),
    [(None, 0), ("x", 0), (True, 0), (99_000, 1), (100_000, 0), (100_500, 0), (60_000, 0), (71_000, 29)],
)
def test_how_long_the_gateway_has_waited(received, seconds):
    assert lambda_function.waited({"requestContext": {"requestTimeEpoch": received}}, 100.0) == seconds


# --- operation -------------------------------------------------------------------------------------


def printed(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def log(capsys) -> list[dict]:
    return [line for line in printed(capsys) if "_aws" not in line]


def test_one_log_line_per_request(fetched, output):
    ask(event(**query(url=URL + "?X-Amz-Signature=secret", top="1")))
    ask(event())
    ask(None)
    good, bad, odd = log(output)
    assert good["message"] == "request"
    assert (good["method"], good["path"], good["status"], good["code"]) == ("GET", "/predict", 200, "ok")
    assert (good["api_request_id"], good["function_request_id"]) == ("req-1", Context.aws_request_id)
    assert good["bytes"] == len(JPEG)
    assert good["ms"].keys() == {"fetch", "decode", "load", "predict", "total"}
    assert good["model"]["name"] == "tiny"
    assert isinstance(good["cold_start"], bool)
    assert (bad["status"], bad["code"]) == (400, "parameter_missing")
    assert odd["code"] == "request_malformed"


@pytest.mark.parametrize("fails", [False, True])
def test_no_picture_and_no_secret_is_logged(monkeypatch, output, fails):
    def fetch(url, **options):
        if fails:
            raise failure("host_answer", "images.example answered 403")
        return JPEG

    monkeypatch.setattr(fetching, "fetch", fetch)
    secret = {"headers": {"Authorization": "Bearer s3cr3t", "Content-Type": "image/jpeg", "Cookie": "s3cr3t"}}
    ask(event(**query(url=URL + "?X-Amz-Signature=s3cr3t"), **secret))
    ask(upload(JPEG) | secret)
    ask(as_json(json.dumps({"url": "http://user:s3cr3t@images.example/?s3cr3t"})))
    ask(event(**query(url=URL, s3cr3t="1")) | {"path": "/predict"})
    lines = output.readouterr().out.replace("the parameter 's3cr3t' is unknown", "")
    assert lines.count('"message":"request"') == 4
    assert "s3cr3t" not in lines
    assert base64.b64encode(JPEG).decode()[:40] not in lines


def test_metrics(fetched, capsys):
    ask(event(**query(url=URL)))
    ask(event(path="/x"))
    metrics = [line for line in printed(capsys) if "_aws" in line]
    by_name = {}
    for line in metrics:
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "ServerlessPredictions"
            assert line["service"] == "predict"
            for metric in directive["Metrics"]:
                by_name.setdefault(metric["Name"], []).append((directive["Dimensions"], line))
    assert by_name.keys() - {"ColdStart"} == {
        "Requests", "Latency", "FetchTime", "DecodeTime", "ModelLoadTime", "PredictTime", "Errors", "Faults",
        "Unsure",
    }  # fmt: skip
    assert len(by_name["Requests"]) == 2
    assert len(by_name["Unsure"]) == 1, "of pictures that were answered"
    ((dimensions, line),) = by_name["Errors"]
    assert dimensions == [["service", "code"]]
    assert line["code"] == "path_not_found"


@pytest.mark.parametrize(("failed", "faults"), [("host_answer", 0), ("fetch_timeout", 0), ("model_file_missing", 1)])
def test_faults_are_the_endpoints_own(monkeypatch, store, capsys, failed, faults):
    def fetch(url, **options):
        if failed.startswith("model"):
            return JPEG
        raise failure(failed, "so it is")

    monkeypatch.setattr(fetching, "fetch", fetch)
    store.problem = failure("model_file_missing", "so it is")
    assert code(event(**query(url=URL))) == failed
    assert [line["Faults"] for line in printed(capsys) if "Faults" in line] == [[faults]]


def test_importing_touches_no_network_and_starts_no_process():
    code = """
import os, socket, sys
def refuse(*_): raise AssertionError("import reached out")
socket.socket.connect = socket.getaddrinfo = os.fork = refuse
from predict import lambda_function
assert "boto3" not in sys.modules and "mxnet" not in sys.modules and "numpy" not in sys.modules
assert "libmxnet" not in open("/proc/self/maps").read()
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MODEL_", "AWS_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr


def test_every_code_is_used_and_every_used_code_is_in_the_table():
    used = set()
    for file in PREDICT.glob("*.py"):
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failure":
                code = node.args[0]  # no constant where a code is handed on
                used |= {code.value} if isinstance(code, ast.Constant) else set()
    assert used == STATUS.keys()


def constant(node: ast.expr | None, names: dict[str, ast.expr]) -> str | None:
    """The constant part of a message, or of the message that a variable of its function holds; None where none is."""
    if isinstance(node, ast.Name):
        known = getattr(errors, node.id, None)
        return known if isinstance(known, str) else constant(names.get(node.id), names)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [constant(getattr(part, "value", None), names) if isinstance(part, ast.FormattedValue) else part.value
                 for part in node.values]  # fmt: skip
        return "".join(part or "x" for part in parts)
    return None


def test_every_message_says_what_is_wrong_and_what_to_do():
    """Two parts with a colon or a semicolon between them, in one line, without the words that the texts avoid."""
    messages = []
    for file in PREDICT.glob("*.py"):
        for function in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(function, ast.FunctionDef):
                inner = list(ast.walk(function))
                names = {node.targets[0].id: node.value for node in inner
                         if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}  # fmt: skip
                places = {"failure": 1, "Unsupported": 0}
                messages += [constant(node.args[places[node.func.id]], names) for node in inner
                             if isinstance(node, ast.Call) and getattr(node.func, "id", "") in places]  # fmt: skip
    found = {message for message in messages if message}
    # The dead letters of an inbox: the queue gives both out again.
    found -= {"the images before it took the worker's time", "other workers write this result again and again"}
    assert len(found) > 60
    for message in found:
        assert re.search("[:;] |must ", message) and "\n" not in message, message
        assert not re.search(r"\b(picture|refused|what)\b", message), message


def test_an_unknown_code_cannot_be_raised():
    with pytest.raises(KeyError):
        failure("no_such_code", "")
    assert isinstance(failure("time_limit", ""), PredictionError)


# --- odd events ------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars | st.sampled_from([URL, "5", "image/png"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
known = ["url", "top", "Content-Type", "content-type", "requestTimeEpoch", "stage", "path"]
names = st.sampled_from(known) | st.text(max_size=5)
texts = st.dictionaries(names, values, max_size=3)
lists = st.dictionaries(names, st.lists(values, max_size=2) | values, max_size=3)
members = st.fixed_dictionaries(
    {},
    optional={
        "httpMethod": st.sampled_from(["GET", "POST", "PUT"]) | values,
        "path": st.sampled_from(["/predict", "/predict/", "/"]) | values,
        "headers": texts | values,
        "multiValueQueryStringParameters": lists | values,
        "queryStringParameters": texts | values,
        "requestContext": texts | values,
        "body": st.sampled_from(['{"url": "u"}', base64.b64encode(JPEG).decode()]) | values,
        "isBase64Encoded": st.booleans() | values,
    },
)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.booleans(), members)
def test_any_event_gets_an_answer_of_the_contract(fetched, whole, changes):
    status, body = ask((event() if whole else {}) | changes)
    assert status < 500 or body["error"]["code"] == "time_limit"

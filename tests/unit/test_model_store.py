"""The model store: what is read, how it is checked, and what each failure of S3 becomes."""

import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import trustme
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from obstore.exceptions import PermissionDeniedError

from predict import model_store, predictor
from predict.errors import PredictionError
from predict.fitting import Fitting
from predict.model_store import (
    MANIFEST,
    ModelStore,
    check_sums,
    expected_fitting,
    get_from_s3,
    load_ahead,
    loaded_model,
    read_labels,
    s3_error,
)
from workshop import models

ENVIRONMENT = {
    "MODEL_STORE_BUCKET_NAME": "predictions-us-east-1-000000000000-models",
    "MODEL_STORE_PREFIX": "models/practice",
    "MODEL_PARAMS_FILE_NAME": "model-0000.params",
    "MODEL_SYMBOL_FILE_NAME": "model-symbol.json",
    "MODEL_SYNSET_FILE_NAME": "model-synset.txt",
}
STORE = ModelStore.from_environment(ENVIRONMENT)


def holding(files: dict[str, bytes]) -> model_store.GetObject:
    """A store in memory."""

    def get(key: str) -> bytes:
        prefix, _, file = key.rpartition("/")
        assert prefix == "models/practice"
        if file not in files:
            raise s3_error(FileNotFoundError("<Code>NoSuchKey</Code>"), STORE.bucket, key)
        return files[file]

    return get


def refusal(call: Callable, *arguments, **options) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        call(*arguments, **options)
    return caught.value


def test_a_model_is_loaded_checked_and_named(tiny_model):
    model = STORE.load(get_object=holding(tiny_model.files))
    assert model.name == "practice"
    assert model.sha256 in tiny_model.files[MANIFEST].decode()
    assert model.labels == tiny_model.labels
    assert len(model.predictor.predict(np.zeros((1, 3, 224, 224), np.uint8))) == 4


def test_the_files_are_fetched_at_the_same_time(tiny_model):
    together = threading.Barrier(5, timeout=10)  # breaks unless all five are under way at once

    def get(key: str) -> bytes:
        together.wait()
        return holding(tiny_model.files)(key)

    assert STORE.load(get_object=get).name == "practice"


ABOUT = {"schema": 1, "classes": 4, "licence": "MIT", "input": {"size": 224, "fit": "centre-crop", "fraction": 0.875}}


def describing(tiny_model, about: bytes | dict, listed: bool = True) -> dict[str, bytes]:
    """The model's files with a model.json."""
    data = about if isinstance(about, bytes) else json.dumps(about).encode()
    line = f"{hashlib.sha256(data).hexdigest()}  model.json\n".encode() if listed else b""
    return tiny_model.files | {"model.json": data, MANIFEST: tiny_model.files[MANIFEST] + line}


def test_a_model_says_what_it_is(tiny_model):
    model = STORE.load(get_object=holding(describing(tiny_model, ABOUT)))
    assert model.description.fitting == Fitting(224, 0.875)
    assert {name: model.told[name] for name in ("name", "classes", "licence", "input")} == {
        "name": "practice", "classes": 4, "licence": "MIT", "input": ABOUT["input"],
    }  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_a_model_that_is_not_to_say_what_it_is_is_as_before(tiny_model, there):
    """The manifest decides: what it does not list may be there, and may be refused."""
    files = describing(tiny_model, ABOUT, listed=False) if there else tiny_model.files

    def get(key: str) -> bytes:
        if key.endswith("model.json") and not there:
            raise s3_error(PermissionDeniedError("<Code>AccessDenied</Code>"), STORE.bucket, key)
        return holding(files)(key)

    model = STORE.load(get_object=get)
    assert model.description.fitting == Fitting()
    assert model.told.keys() == {"name", "precision", "sha256"}


def test_a_model_json_that_is_listed_and_gone_is_missed(tiny_model):
    files = describing(tiny_model, ABOUT)
    del files["model.json"]
    assert refusal(STORE.load, get_object=holding(files)).code == "model_file_missing"


def test_a_changed_model_json_is_refused_by_name(tiny_model):
    files = describing(tiny_model, ABOUT)
    problem = refusal(STORE.load, get_object=holding(files | {"model.json": files["model.json"] + b" "}))
    assert (problem.code, "model.json" in problem.message) == ("model_file_mismatch", True)


@pytest.mark.parametrize(
    ("about", "word"),
    [
        (b"{", "JSON"),
        (b"[]", "schema"),
        ({"schema": 2, "input": ABOUT["input"]}, "schema"),
        ({"schema": 1}, "input"),
        ({"schema": 1, "input": {"size": 1024, "fit": "squash"}}, "1024"),
        ({"schema": 1, "input": {"size": 224, "fit": "stretch"}}, "stretch"),
        (ABOUT | {"rejection": {}}, "rejection"),
    ],
)
def test_a_model_json_that_says_nonsense_is_refused_with_what_is_wrong(tiny_model, about, word):
    problem = refusal(STORE.load, get_object=holding(describing(tiny_model, about)))
    assert (problem.code, problem.status) == ("model_not_usable", 503)
    assert "model.json" in problem.message and word in problem.message


def test_the_description_is_there_before_the_weights(tiny_model):
    """The first picture is fitted while the weights are still on their way."""
    told = threading.Event()

    def get(key: str) -> bytes:
        if key.endswith(".params"):
            assert told.wait(10), "the description waited for the weights"
        return holding(describing(tiny_model, ABOUT))(key)

    STORE.load(get_object=get, described=lambda description: told.set())


def test_the_network_is_read_before_the_weights_are_there(tiny_model, monkeypatch):
    read, codes = threading.Event(), predictor._codes

    def get(key: str) -> bytes:
        if key.endswith(".params"):
            assert read.wait(10), "the symbol waited for the weights"
        return holding(tiny_model.files)(key)

    monkeypatch.setattr(predictor, "_codes", lambda symbol: (read.set(), codes(symbol))[1])
    assert STORE.load(get_object=get).name == "practice"


def test_the_store_is_asked_by_bucket_and_time(tiny_model, monkeypatch):
    asked = []
    monkeypatch.setattr(model_store, "get_from_s3", lambda *given: asked.append(given) or holding(tiny_model.files))
    assert STORE.load(12.0).name == "practice"
    assert asked == [(STORE.bucket, 12.0)]


@pytest.mark.parametrize("file", ["model-0000.params", "model-symbol.json", "model-synset.txt"])
def test_a_changed_file_is_refused_by_name(tiny_model, file):
    files = tiny_model.files
    files[file] = files[file][:-1] + b"!"
    problem = refusal(STORE.load, get_object=holding(files))
    assert (problem.code, problem.status) == ("model_file_mismatch", 503)
    assert file in problem.message


@pytest.mark.parametrize("file", ["model-0000.params", "model-symbol.json", "model-synset.txt", MANIFEST])
def test_a_missing_file_is_named(tiny_model, file):
    files = tiny_model.files
    del files[file]
    problem = refusal(STORE.load, get_object=holding(files))
    assert (problem.code, problem.status) == ("model_file_missing", 503)
    assert file in problem.message


@pytest.mark.parametrize("manifest", [b"", b"\xff\xfe", b"no digest  model-0000.params\n", b"0" * 64 + b"  a\n"])
def test_a_file_that_the_manifest_does_not_list_is_refused(tiny_model, manifest):
    problem = refusal(STORE.load, get_object=holding(tiny_model.files | {MANIFEST: manifest}))
    assert problem.code == "model_file_mismatch"


def test_the_manifest_is_what_sha256sum_writes():
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc", FIPS 180-2
    for mark in (" ", "*"):
        check_sums(f"{digest} {mark}a\r\n".encode(), {"a": digest})
        assert refusal(check_sums, f"{digest} {mark}b\n".encode(), {"a": digest}).code == "model_file_mismatch"


@pytest.mark.parametrize("change", ["labels", "symbol"])
def test_files_that_match_the_manifest_and_not_each_other(tiny_model, change):
    changed = {"labels": {"labels": ["one"]}, "symbol": {"symbol": b"{}"}}[change]
    broken = type(tiny_model)(**{**vars(tiny_model), **changed})
    problem = refusal(STORE.load, get_object=holding(broken.files))
    assert (problem.code, problem.status) == ("model_not_usable", 503)


def test_a_missing_library_is_503(tiny_model, monkeypatch):
    def missing(*_arguments):
        raise FileNotFoundError("libmxnet.so is nowhere")

    monkeypatch.setattr(model_store, "Predictor", missing)
    assert refusal(STORE.load, get_object=holding(tiny_model.files)).code == "model_not_usable"


def test_labels():
    assert read_labels("n1 one\r\n\nn2 zwei, ö \n".encode()) == ["n1 one", "n2 zwei, ö"]
    assert refusal(read_labels, b"\xff").code == "model_not_usable"


@pytest.mark.parametrize("name", [name for name in ENVIRONMENT if name != "MODEL_STORE_PREFIX"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(name, value):
    environ = {key: text for key, text in ENVIRONMENT.items() if key != name} | ({} if value is None else {name: value})
    problem = refusal(ModelStore.from_environment, environ)
    assert (problem.code, problem.status) == ("misconfigured", 503)
    assert name in problem.message


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("models/practice", "models/practice/f", "practice"),
        ("/models/own/", "models/own/f", "own"),
        ("one", "one/f", "one"),
        ("", "f", STORE.bucket),
    ],
)
def test_keys_and_names_follow_from_the_prefix(prefix, key, name):
    store = ModelStore.from_environment(ENVIRONMENT | {"MODEL_STORE_PREFIX": prefix})
    assert (store.key("f"), store.name) == (key, name)


# --- Loading ahead ---------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setattr(model_store, "_model", None)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


class Stores:
    """What one load after the other finds: its files, after a pause in seconds."""

    def __init__(self, monkeypatch, *contents: dict[str, bytes], pause: float = 0.0):
        self.contents, self.pause, self.used = list(contents), pause, 0
        monkeypatch.setattr(model_store, "get_from_s3", self.get_from_s3)

    def get_from_s3(self, bucket: str, max_seconds: float) -> model_store.GetObject:
        get = holding(self.contents[self.used])
        self.used += 1
        return lambda key: time.sleep(self.pause) or get(key)


def test_what_was_loaded_ahead_is_taken_and_kept(tiny_model, environment, monkeypatch):
    stores = Stores(monkeypatch, tiny_model.files)
    loading = load_ahead()
    assert model_store.present_model() is None
    assert loaded_model(10) is loading.result()
    assert loaded_model(10) is model_store.present_model() is loading.result()
    assert stores.used == 1


def test_what_failed_ahead_is_tried_again_by_the_request(tiny_model, environment, monkeypatch):
    stores = Stores(monkeypatch, {}, tiny_model.files)
    assert load_ahead().exception().code == "model_file_missing"
    with ThreadPoolExecutor() as pool:  # a picture does not wait for what failed
        assert pool.submit(expected_fitting, 60).result(10) == Fitting()
    assert loaded_model(10).name == "practice"
    assert stores.used == 2


def test_what_fails_again_says_why(environment, monkeypatch):
    Stores(monkeypatch, {}, {})
    load_ahead()
    assert refusal(loaded_model, 10).code == "model_file_missing"


def test_a_misconfigured_environment_does_not_stop_the_start(monkeypatch):
    monkeypatch.delenv("MODEL_STORE_BUCKET_NAME", raising=False)
    assert load_ahead().exception().code == "misconfigured"
    assert refusal(loaded_model, 10).code == "misconfigured"


def test_who_cannot_wait_is_told_and_the_next_one_has_it(tiny_model, environment, monkeypatch):
    stores = Stores(monkeypatch, tiny_model.files, pause=0.5)
    loading = load_ahead()
    problem = refusal(loaded_model, 0.1)
    assert (problem.code, problem.status) == ("time_limit", 504)
    assert loaded_model(10) is loading.result()
    assert stores.used == 1


@pytest.mark.parametrize(("kind", "pause", "done"), [("on-demand", 30, 0), ("provisioned-concurrency", 0.5, 1)])
@pytest.mark.slow
def test_lambdas_import_starts_the_loading_and_the_decoder(s3, kind, pause, done):
    """And waits for the loading only where the environment is provisioned. It imports no resolver that is not used."""
    s3.status, s3.body, s3.first = 404, b"<Error><Code>NoSuchKey</Code></Error>", pause
    program = (
        "import os, sys; from predict import decoder, entry; finished = int(entry.loading.done()); "
        "os.kill(decoder.SHARED.pid, 0); "
        "print(finished, entry.lambda_handler.__module__, 'asyncio' in sys.modules, flush=True); os._exit(0)"
    )
    environ = {name: value for name, value in os.environ.items() if name.startswith("AWS_")} | ENVIRONMENT
    environ |= {"AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environ, timeout=60)
    assert ran.stdout.split() == [str(done), "predict.lambda_function", "False"], ran.stderr
    assert len(s3.paths) == 5 or not done


# --- S3, spoken by a server of the test's own ------------------------------------------------------


class S3(http.server.ThreadingHTTPServer):
    """Answers every GET with one status and body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.length, self.pause, self.first = 200, b"content", None, 0.0, 0.0
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        self.server.headers.append(self.headers)
        time.sleep(self.server.first)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length or len(self.server.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        for index in range(0, len(self.server.body), 1 << 20):
            self.wfile.write(self.server.body[index : index + (1 << 20)])
            time.sleep(self.server.pause)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def s3(monkeypatch) -> Iterator[S3]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with S3() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def read(key: str = "models/practice/model-symbol.json", seconds: float = 10.0) -> bytes:
    return bytes(get_from_s3("store", seconds)(key))


def test_an_object_is_read_whole(s3):
    s3.body = bytes(range(256)) * 20_000
    assert read() == s3.body
    assert s3.paths == ["/store/models/practice/model-symbol.json"]


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (403, "AccessDenied", "model_store_denied", ["s3:GetObject", "model-symbol.json", "grant"]),
        (403, "InvalidAccessKeyId", "model_store_denied", ["s3:GetObject"]),
        (404, "NoSuchKey", "model_file_missing", ["model-symbol.json"]),
        (404, "NoSuchBucket", "model_file_missing", ["bucket"]),
        (400, "ExpiredToken", "model_store_unreachable", ["ExpiredToken"]),
        (500, "InternalError", "model_store_unreachable", ["s3:GetObject"]),
        (503, "SlowDown", "model_store_unreachable", ["SlowDown"]),
    ],
)
def test_what_s3_refuses(s3, status, code, expected, words):
    s3.status = status
    s3.body = f"<Error><Code>{code}</Code><Message>arn:aws:iam::1:role/r may not</Message></Error>".encode()
    problem = refusal(read)
    assert (problem.code, problem.status) == (expected, 503)
    assert all(word in problem.message for word in words)
    assert "arn:" not in problem.message  # a stranger learns no account and no role; the log does
    assert code in problem.detail


def test_a_body_that_breaks_off(s3):
    s3.length = 1000
    assert refusal(read).code == "model_store_unreachable"


def test_a_store_that_takes_too_long(s3):
    s3.body, s3.pause = bytes(8 << 20), 0.1
    problem = refusal(read, seconds=0.2)
    assert (problem.code, problem.status) == ("time_limit", 504)


def test_nobody_listens(s3):
    s3.shutdown()
    s3.server_close()
    problem = refusal(read)
    assert (problem.code, problem.status) == ("model_store_unreachable", 503)


@pytest.mark.parametrize("key", ["models/practice/model-symbol.json", "models/mine+its/ä b=c&d%20e'()*!~$@,:;"])
def test_requests_are_signed_as_by_botocore(s3, key):
    read(key)
    (path,), (sent,) = s3.paths, s3.headers
    request = AWSRequest("GET", f"http://{sent['host']}{path}", {"x-amz-content-sha256": sent["x-amz-content-sha256"]})
    request.context["timestamp"] = sent["x-amz-date"]
    signer = S3SigV4Auth(Credentials("test", "test", "token"), "s3", "eu-central-1")
    scope = sent["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert scope == "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    for name in ("x-amz-date", "x-amz-security-token"):
        request.headers[name] = sent[name]
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert sent["authorization"].endswith(f"Signature={expected}")


def test_a_failure_that_passes_is_tried_again_once(s3):
    s3.status = 503
    assert refusal(read).code == "model_store_unreachable"
    assert len(s3.paths) == 2


def test_the_services_own_endpoint_comes_first(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert read() == s3.body


def test_https_trusts_the_systems_authorities_alone(s3, monkeypatch, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    s3.socket = context.wrap_socket(s3.socket, server_side=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{s3.server_port}")
    assert refusal(read).code == "model_store_unreachable"
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert read() == s3.body


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "s3.eu-west-1.amazonaws.com"), ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn")],
)
def test_without_an_endpoint_the_regions_own_is_asked(s3, monkeypatch, region, host):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{s3.server_port}")  # answers its CONNECT with 501
    problem = refusal(read)
    assert problem.code == "model_store_unreachable"
    assert f"https://{host}/store/" in problem.detail


def test_no_credentials(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    problem = refusal(read)
    assert (problem.code, problem.status) == ("model_store_unreachable", 503)
    assert "credentials" in problem.message
    assert not s3.paths


def test_importing_imports_no_boto3():
    code = (
        "import sys; from predict import model_store; assert not {'boto3', 'botocore', 'urllib3'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={})


def test_the_symbols_name_tells_the_precision(tiny_model):
    int8 = STORE._replace(symbol_file=models.INT8_SYMBOL)
    assert (STORE.precision, int8.precision) == ("float32", "int8")
    files = tiny_model.files
    content = files[STORE.symbol_file]
    manifest = files[MANIFEST] + f"{hashlib.sha256(content).hexdigest()}  {models.INT8_SYMBOL}\n".encode()
    model = int8.load(get_object=holding(files | {models.INT8_SYMBOL: content, MANIFEST: manifest}))
    assert model.precision == "int8"

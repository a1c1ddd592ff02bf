"""SnapStart by a snapshot of the test's own: a process that is frozen after its initialization, and copies of it.

`fork` copies a process's memory and nothing else: neither its children nor its other threads are in the copy. Lambda's
snapshot keeps the threads of the libraries, which S3 is read by; where it is to be read, the frozen process itself goes
on. Each environment gets other variables and other credentials, and two requests.
"""

import base64
import http.server
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from predict import credentials, snapshot
from predict.errors import PredictionError
from workshop import ROOT

# Begins as Lambda does, runs the hooks as its runtime does, and becomes each line of its input in turn.
PROGRAM = """
import json, os, random, signal, sys, threading
from snapshot_restore_py import get_after_restore, get_before_snapshot
from predict import decoder, entry, lambda_function, model_store

class Context:
    function_name, memory_limit_in_mb, aws_request_id = "predict", 1769, "c6af"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:predict"
    get_remaining_time_in_millis = lambda self: 29_000

event = json.loads(sys.stdin.readline())
pid = decoder.SHARED.pid
os.kill(pid, 0)
for function, arguments, named in reversed(get_before_snapshot()):
    function(*arguments, **named)
frozen = {"decoder": pid, "threads": [thread.name for thread in threading.enumerate()],
          "children": open(f"/proc/self/task/{os.getpid()}/children").read().split(),
          "model": model_store.present_model() is not None}
print(json.dumps(frozen), flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
for line in sys.stdin:
    variables = json.loads(line)
    if (copied := variables.pop("COPIED")) == "no" or os.fork() == 0:
        os.environ.update(variables)
        for function, arguments, named in get_after_restore():
            function(*arguments, **named)
        drawn, pid = random.random(), decoder.SHARED.pid
        answers = [entry.lambda_handler(event, Context()) for _ in range(2)]
        print(json.dumps({"drawn": drawn, "decoder": pid, "answers": answers}), flush=True)
        os._exit(0)
    os.wait()
"""


class Lambda(http.server.ThreadingHTTPServer):
    """What is beside an environment: the address that gives credentials for a token, and S3, which asks for them."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.token, self.reads, self.allowed = files, "first", [], True
        self.given: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Lambda

    def do_GET(self) -> None:
        lambda_ = self.server
        if self.path.startswith("/credentials"):
            if self.headers["Authorization"] != lambda_.token:
                return self._answer(401, b"{}")
            lambda_.given.append(lambda_.token)
            keys = {"AccessKeyId": f"KEY{lambda_.token}", "SecretAccessKey": "secret", "Token": f"of {lambda_.token}"}
            return self._answer(200, json.dumps(keys | {"Expiration": "2030-01-01T00:00:00Z"}).encode())
        signed = f"Credential=KEY{lambda_.token}/" in self.headers["Authorization"]
        if not (lambda_.allowed and signed and self.headers["x-amz-security-token"] == f"of {lambda_.token}"):
            return self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        name = self.path.rpartition("/")[2]
        lambda_.reads.append(name)
        if name not in lambda_.files:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, lambda_.files[name])

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def beside(tiny_model) -> Iterator[Lambda]:
    with Lambda(tiny_model.files) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def environment(beside: Lambda, token: str) -> dict[str, str]:
    """The variables of an environment under SnapStart: no keys, and the place of the credentials."""
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": beside.url,
        credentials.URI: f"{beside.url}/credentials?of={token}",
        credentials.TOKEN: token,
        "OMP_NUM_THREADS": "1",  # libgomp's threads are not in a copy that fork makes; in Lambda's snapshot they are
        "MODEL_STORE_BUCKET_NAME": "store",
        "MODEL_STORE_PREFIX": "models/tiny",
        "MODEL_PARAMS_FILE_NAME": "model-0000.params",
        "MODEL_SYMBOL_FILE_NAME": "model-symbol.json",
        "MODEL_SYNSET_FILE_NAME": "model-synset.txt",
    }


class Environments:
    """An environment that was initialised and frozen, and those that start from it."""

    def __init__(self, beside: Lambda, folder: Path):
        (hooks,) = ROOT.glob(".venv-emulator/lib/python*/site-packages/snapshot_restore_py.py")  # as in the runtime
        shutil.copy(hooks, folder)
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        inherited = {name: value for name, value in os.environ.items() if name not in keys}
        variables = inherited | environment(beside, beside.token) | {"PYTHONPATH": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._say(_event())
        self.frozen = self._next("threads")
        status = Path(f"/proc/{self.process.pid}/stat")
        until = time.monotonic() + 10
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < until, "the process does not stop"
            time.sleep(0.01)

    def restore(self, copied: bool = True, **variables: str) -> dict[str, Any]:
        """Another environment, with these variables: what it drew, its decoder, and its answers to two requests.

        `copied`: whether it is a copy; otherwise the frozen process goes on, which happens once.
        """
        self.process.send_signal(signal.SIGCONT)
        self._say(variables | {"COPIED": "yes" if copied else "no"})
        return self._next("answers")

    def _say(self, words: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def _next(self, member: str) -> dict[str, Any]:
        """The next line of output with `member`; the function's log and metrics are kept in `log`."""
        assert self.process.stdout
        self.log = []
        for line in self.process.stdout:
            said = json.loads(line)
            if member in said:
                return said
            self.log.append(said)
        raise AssertionError("the environment ended")

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def _event() -> dict[str, Any]:
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    body = base64.b64encode(file.getvalue()).decode()
    headers = {"content-type": "image/jpeg"}
    return {"httpMethod": "POST", "path": "/predict", "headers": headers, "body": body, "isBase64Encoded": True}


@pytest.fixture
def environments(beside, tmp_path) -> Iterator[Environments]:
    made = Environments(beside, tmp_path)
    yield made
    made.end()


def body(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])


@pytest.mark.slow
def test_a_snapshot_has_the_model_and_neither_process_nor_thread(environments, beside):
    frozen = environments.frozen
    assert frozen["model"] and set(beside.files) <= set(beside.reads)
    assert (frozen["threads"], frozen["children"]) == (["MainThread"], [])
    with pytest.raises(ProcessLookupError):
        os.kill(frozen["decoder"], 0)


@pytest.mark.slow
def test_environments_of_one_snapshot_answer_with_its_model_and_differ_in_all_else(environments, beside):
    reads, given = len(beside.reads), len(beside.given)
    beside.token = "second"  # what the snapshot knows is worth nothing any more
    one, other = (environments.restore(**environment(beside, "second")) for _ in range(2))
    assert len({one["decoder"], other["decoder"], environments.frozen["decoder"]}) == 3
    assert one["drawn"] != other["drawn"]
    assert (len(beside.reads), len(beside.given)) == (reads, given)  # the model was in memory
    for restored in (one, other):
        first, second = map(body, restored["answers"])
        assert (first["cold_start"], second["cold_start"]) == ("restored", False)
        assert [answer["headers"]["X-Cold-Start"] for answer in restored["answers"]] == ["restored", "false"]
        assert "load" not in first["timings_ms"]
        assert first["predictions"] == body(one["answers"][0])["predictions"]
    logged = [line["cold_start"] for line in environments.log if line.get("message") == "request"]
    assert logged == ["restored", False]
    assert sum("ColdStart" in line for line in environments.log) == 1


@pytest.mark.slow
def test_a_snapshot_without_its_model_loads_it_with_the_credentials_of_later(beside, tmp_path):
    beside.allowed = False  # as before the role has its statement
    made = Environments(beside, tmp_path)
    try:
        assert not made.frozen["model"] and made.frozen["threads"] == ["MainThread"]
        beside.allowed, beside.token = True, "second"
        restored = made.restore(copied=False, **environment(beside, "second"))
    finally:
        made.end()
    assert [body(answer)["cold_start"] for answer in restored["answers"]] == ["restored", False]
    assert beside.given == ["first", "second"] and set(beside.files) <= set(beside.reads)


@pytest.mark.slow
def test_credentials_of_the_snapshot_are_told_of_when_they_have_expired(beside, tmp_path):
    beside.allowed = False
    made = Environments(beside, tmp_path)
    try:
        beside.allowed, beside.token = True, "second"
        denied = made.restore(copied=False, **environment(beside, "first"))
    finally:
        made.end()
    assert {answer["statusCode"] for answer in denied["answers"]} == {503}
    assert "credentials" in json.loads(denied["answers"][0]["body"])["error"]["message"]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("https://credentials.example/", "expected plain HTTP to this machine"),
        ("http://169.254.169.254/latest", "expected plain HTTP to this machine"),
        ("http://127.0.0.1:9/", "Connection"),
    ],
)
def test_an_address_that_gives_no_credentials(uri, words):
    with pytest.raises(PredictionError) as refused:
        credentials.current({credentials.URI: uri, credentials.TOKEN: "t"})
    assert (refused.value.code, refused.value.status) == ("model_store_unreachable", 503)
    assert words in refused.value.detail


@pytest.mark.parametrize("given", ["", "[]", "{}", '{"AccessKeyId": "KEY"}'])
def test_an_answer_that_is_no_credentials(beside, monkeypatch, given):
    monkeypatch.setattr(_Handler, "do_GET", lambda self: self._answer(200, given.encode()))
    with pytest.raises(PredictionError, match="credentials"):
        credentials.current(environment(beside, "first"))


def test_variables_come_first_and_need_no_address():
    assert credentials.current({"AWS_ACCESS_KEY_ID": "KEY", credentials.URI: "http://127.0.0.1:9/"}) == {}
    with pytest.raises(PredictionError, match="no credentials"):
        credentials.current({})


def test_only_an_environment_of_a_snapshot_is_restored(monkeypatch):
    for kind in ("on-demand", "provisioned-concurrency", "snap-start"):
        monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
        assert snapshot.is_taken() is (kind == "snap-start")
    monkeypatch.delenv("AWS_LAMBDA_INITIALIZATION_TYPE")
    assert not snapshot.is_taken() and snapshot.initialization() not in snapshot.WAITING

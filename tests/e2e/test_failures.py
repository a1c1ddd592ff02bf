"""The deployed function when its own side fails: the model store, and time. Nothing that failed stays broken."""

import socket
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest
import requests

from workshop import client, emulator, models
from workshop.samples import sample_path

LAMBDA_SECONDS = 6  # the function's time limit here; it keeps 1.5 s of it back to answer in
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
BUSY = b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"


class Store(socketserver.ThreadingTCPServer):
    """Stands between the function and the emulator's S3, and does what `behaviour` says with each connection."""

    daemon_threads = True

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), Connection)
        self.behind = ("127.0.0.1", port)
        self.behaviour = "forward"
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_arguments):
        """A client that gives up is none of the store's troubles."""


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        behaviour = self.server.behaviour
        if behaviour == "forward":
            with socket.create_connection(self.server.behind) as behind:
                back = threading.Thread(target=self.copy, args=(behind, self.request), daemon=True)
                back.start()
                self.copy(self.request, behind)
                back.join()
        elif behaviour == "hang":
            time.sleep(2 * LAMBDA_SECONDS)
        elif behaviour in ("deny", "busy"):
            self.request.recv(65536)
            status, body = {"deny": (b"403 Forbidden", DENIED), "busy": (b"503 Slow Down", BUSY)}[behaviour]
            self.request.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def configured(lab, seconds: int, **variables: str):
    """Give Predict another time limit and more variables for a while: its environments are started anew, twice."""
    functions, name = lab.client("lambda"), lab.outputs(lab.app_stack)["PredictFunction"]
    before = functions.get_function_configuration(FunctionName=name)

    def configure(seconds, variables):
        client.reconfigure(lab, Timeout=seconds, Environment={"Variables": variables})

    configure(seconds, before["Environment"]["Variables"] | variables)
    try:
        yield
    finally:
        configure(before["Timeout"], before["Environment"]["Variables"])


@pytest.fixture(scope="module")
def store(lab):
    """The store's stand-in, and a function that has not loaded its model yet and has little time."""
    with (
        Store(emulator.port_of(lab.endpoint_url)) as store,
        configured(lab, LAMBDA_SECONDS, AWS_ENDPOINT_URL=store.endpoint),
    ):
        yield store
        store.shutdown()


def ask(url: str) -> requests.Response:
    """One picture's answer."""
    picture = sample_path("golf_ball").read_bytes()
    return requests.post(url, picture, headers={"Content-Type": "image/jpeg"}, timeout=60)


def failure(url: str) -> tuple[int, str]:
    response = ask(url)
    return response.status_code, response.json()["error"]["code"]


# The order matters: until the last of these no request of the environment has loaded the model.


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ("hang up", 503, "model_store_unreachable"),
        ("busy", 503, "model_store_unreachable"),
        ("deny", 503, "model_store_denied"),
    ],
)
def test_a_store_that_fails_is_503_with_what_is_wrong(store, url, behaviour, status, code):
    store.behaviour = behaviour
    for _ in range(2):
        assert failure(url) == (status, code)


def test_a_store_that_hangs_is_504_before_lambda_cuts_the_function_off(store, url):
    store.behaviour = "hang"
    response = ask(url)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "time_limit"), response.text
    assert response.headers["X-Cold-Start"] == "false"


def test_a_file_that_is_missing_or_of_another_model_is_503(store, lab, url):
    store.behaviour = "forward"
    function = {"FunctionName": client.predict_function(lab), "Qualifier": client.ALIAS}
    variables = lab.client("lambda").get_function_configuration(**function)["Environment"]["Variables"]
    s3, key = lab.client("s3"), f"{variables['MODEL_STORE_PREFIX']}/{models.SYNSET}"
    whole = s3.get_object(Bucket=lab.model_bucket, Key=key)["Body"].read()
    try:
        s3.delete_object(Bucket=lab.model_bucket, Key=key)
        assert failure(url) == (503, "model_file_missing")
        s3.put_object(Bucket=lab.model_bucket, Key=key, Body=whole[:-1])
        assert failure(url) == (503, "model_file_mismatch")
    finally:
        s3.put_object(Bucket=lab.model_bucket, Key=key, Body=whole)


def test_the_next_request_after_all_that_is_answered_by_the_same_environment(store, url):
    store.behaviour = "forward"
    loading, keeping = ask(url).json(), ask(url).json()
    for answer in (loading, keeping):
        assert answer["cold_start"] is False
        assert answer["predictions"][0]["class"].startswith("n03445777")
    assert loading["timings_ms"]["load"] > 0
    assert "load" not in keeping["timings_ms"]


def test_a_slow_host_gets_what_time_is_left_and_no_more(store, url):
    class Silent(socketserver.BaseRequestHandler):
        def handle(self):
            for _ in range(4 * LAMBDA_SECONDS):
                self.request.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.5)

    with socketserver.ThreadingTCPServer(("127.0.0.2", 0), Silent) as host:
        host.daemon_threads = True
        threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True).start()
        response = requests.get(url, params={"url": f"http://127.0.0.2:{host.server_address[1]}/"}, timeout=60)
        host.shutdown()
    assert (response.status_code, response.json()["error"]["code"]) == (504, "fetch_timeout"), response.text


def test_the_log_says_which_failures_there_were(store, lab):
    codes = {line["code"] for line in client.request_log(lab, 0)}
    assert {"model_store_unreachable", "model_store_denied", "model_file_missing", "time_limit"} <= codes

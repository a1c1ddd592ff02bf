"""Several images in one request: a real server on loopback, the real fetcher and decoder, a small network."""

import base64
import contextlib
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from predict import decoder, fetching, lambda_function, limits, several
from predict.errors import PredictionError, failure
from predict.room import Room
from tests import contract
from tests.unit.test_lambda_function import (  # noqa: F401  fixtures among them
    JPEG,
    as_json,
    ask,
    code,
    log,
    output,
    picture,
    printed,
    store,
)

pytestmark = pytest.mark.timeout(60)
DATA_URL = "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()
Pages = dict[str, bytes | Callable[[], bytes]]


@pytest.fixture
def served(monkeypatch) -> Iterator[Callable[[Pages], str]]:
    """Serves pages by their paths, the rest as 404; gives the address before the path, which the function may fetch."""
    servers: list[ThreadingHTTPServer] = []

    def start(pages: Pages) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                page = pages.get(self.path)
                body = page() if callable(page) else page
                self.send_response(404 if body is None else 200)
                if self.path.endswith(".gz"):
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked has enough
                    self.wfile.write(body or b"")

            def log_message(self, *_arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", f"127.0.0.1:{server.server_port}")
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask_for(*urls: str, **members) -> dict:
    """The body of the answer, which is held to the contract."""
    status, body = ask(as_json(json.dumps({"urls": urls, **members})))
    assert status == 200, body
    assert len(body["results"]) == len(urls)
    return body


def outcomes(body: dict) -> list[str]:
    return [result["error"]["code"] if "error" in result else "ok" for result in body["results"]]


@pytest.mark.slow
def test_each_has_its_own_answer_or_error_in_the_order_of_the_addresses(served):
    host = served({"/a.jpg": JPEG, "/b.png": picture("PNG"), "/text": b"no image", "/cut.jpg": JPEG[:40]})
    urls = [f"{host}/{name}" for name in ("a.jpg", "missing", "text", "b.png", "cut.jpg")]
    urls += ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:9001/", "file:///etc/passwd", DATA_URL]
    body = ask_for(*urls, "data:image/jpeg;base64,%", top=2)
    assert outcomes(body) == [
        "ok", "host_answer", "not_an_image", "ok", "image_broken", "address_not_public", "address_not_public",
        "url_malformed", "ok", "parameter_malformed",
    ]  # fmt: skip
    for place in (0, 3, 8):
        assert len(body["results"][place]["predictions"]) == 2
        assert body["results"][place]["timings_ms"].keys() == {"fetch", "decode", "predict"}
    assert body.keys() == {"results", "model", "cold_start", "timings_ms"}, "what is true of all is told once"


def test_each_predicts_what_a_request_of_its_own_does(served):
    host = served({"/a.jpg": JPEG, "/b.png": picture("PNG")})
    urls = [f"{host}/b.png", f"{host}/a.jpg", f"{host}/b.png"]
    alone = [ask(as_json(json.dumps({"url": url})))[1] for url in urls]
    body = ask_for(*urls)
    assert [result["predictions"] for result in body["results"]] == [one["predictions"] for one in alone]
    assert body["model"] == alone[0]["model"]


@pytest.mark.slow
def test_sixteen_are_fetched_at_the_same_time(served):
    barrier = threading.Barrier(limits.URLS_MAX)

    def page() -> bytes:
        barrier.wait(10)  # until all sixteen are asked for
        return JPEG

    host = served({f"/{number}": page for number in range(limits.URLS_MAX)})
    body = ask_for(*(f"{host}/{number}" for number in range(limits.URLS_MAX)))
    assert outcomes(body) == ["ok"] * limits.URLS_MAX


@pytest.mark.slow
def test_hosts_that_are_silent_share_one_deadline(served, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_SECONDS", 3.0)  # in which the one that answers must be done, on a busy machine
    released = threading.Event()

    def silent() -> bytes:
        released.wait(20)
        return JPEG

    pages: Pages = {f"/{number}": silent for number in range(15)}
    host = served(pages | {"/a.jpg": JPEG})
    begun = time.monotonic()
    body = ask_for(*(f"{host}{path}" for path in pages), f"{host}/a.jpg")
    seconds = time.monotonic() - begun
    released.set()
    assert outcomes(body) == ["fetch_timeout"] * 15 + ["ok"]
    assert 3.0 <= seconds < 12.0


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.slow
def test_together_they_have_so_many_bytes_and_no_more(served, coded):
    """Of five with 9 MB, four fit; where they come compressed, the bytes that they become count."""
    page = bytes(9_000_000)
    host = served({"/page": page, "/page.gz": gzip.compress(page)})
    body = ask_for(*[f"{host}/page.gz" if coded else f"{host}/page"] * 5)
    assert sorted(outcomes(body)) == ["image_too_large", *["not_an_image"] * 4]
    (told,) = [result["error"]["message"] for result in body["results"] if "together" in result["error"]["message"]]
    assert str(several.MAX_BYTES) in told


def test_an_image_that_finds_no_room_leaves_its_own_to_the_others():
    room = Room(10)
    first, second = room.share(), room.share()
    first.take(6)
    second.take(4)
    with pytest.raises(PredictionError) as caught:
        first.take(1)
    assert caught.value.code == "image_too_large"
    second.take(6)
    second.take(-3)
    with pytest.raises(ConnectionError), room.share() as broken:
        broken.take(3)
        raise ConnectionError
    room.share().take(3)


@pytest.mark.slow
def test_a_picture_that_decodes_for_ever_leaves_the_others_theirs(served, monkeypatch):
    def work(data, fitting):
        if data == b"for ever":
            time.sleep(60)
        return decoder.network_input(data, fitting)

    slow = decoder.DecoderProcess(work)
    monkeypatch.setattr(lambda_function, "_decoder", slow)
    monkeypatch.setattr(several, "LEAST_DECODE_SECONDS", 0.5)

    def later() -> bytes:
        time.sleep(0.5)
        return JPEG

    host = served({"/a.jpg": later, "/slow": b"for ever"})
    try:
        slow.start()
        begun = time.monotonic()
        urls = [f"{host}/slow", *[f"{host}/a.jpg"] * 3]
        status, body = ask(as_json(json.dumps({"urls": urls})), seconds=lambda_function.RESERVE_SECONDS + 8)
    finally:
        slow.stop()
    assert status == 200 and outcomes(body) == ["time_limit", "ok", "ok", "ok"]
    assert time.monotonic() - begun < 6


@pytest.mark.slow
def test_a_crash_of_the_decoder_is_one_images_error(served, monkeypatch):
    def work(data, fitting):
        if data == b"crash":
            raise SystemExit(1)
        return decoder.network_input(data, fitting)

    fragile = decoder.DecoderProcess(work)
    monkeypatch.setattr(lambda_function, "_decoder", fragile)
    host = served({"/a.jpg": JPEG, "/crash": b"crash"})
    try:
        body = ask_for(*[f"{host}/a.jpg", f"{host}/crash"] * 4)
    finally:
        fragile.stop()
    assert outcomes(body) == ["ok", "image_broken"] * 4


def test_an_image_for_which_no_time_is_left_says_so():
    with pytest.raises(PredictionError) as caught:
        several.decode_seconds(time.monotonic() - 0.1, 3)
    assert caught.value.code == "time_limit"
    assert several.decode_seconds(time.monotonic() + 2, 3) <= 2, "no more than there is"
    assert 5 <= several.decode_seconds(time.monotonic() + 27, 16) < 5.1, "the least"
    assert 13 < several.decode_seconds(time.monotonic() + 27, 2) <= 13.5, "the share"


def test_one_log_line_and_one_set_of_metrics(served, output):  # noqa: F811
    host = served({"/a.jpg": JPEG, "/text": b"no image"})
    signed = f"{host}/missing?X-Amz-Signature=s3cr3t"
    ask_for(f"{host}/a.jpg", signed, f"{host}/text", f"{host}/a.jpg", signed)
    lines = printed(output)
    (line,) = [line for line in lines if "_aws" not in line]
    assert (line["code"], line["status"], line["source"]) == ("ok", 200, "urls")
    assert (line["images"], line["answered"], line["failed"]) == (5, 2, 3)
    assert line["bytes"] == 2 * len(JPEG) + len(b"no image")
    assert sorted((one["place"], one["code"]) for one in line["errors"]) == [
        (1, "host_answer"), (2, "not_an_image"), (4, "host_answer"),
    ]  # fmt: skip
    assert "s3cr3t" not in json.dumps(lines)
    found: dict[str, list] = {}
    for metric in (line for line in lines if "_aws" in line):
        for name in ("Requests", "Latency", "FetchTime", "DecodeTime", "PredictTime", "Unsure", "Faults"):
            found.setdefault(name, []).extend(metric.get(name, []))
    assert found["Requests"] == [1.0] and found["Faults"] == [0.0] and len(found["Latency"]) == 1
    assert {name: len(found[name]) for name in ("FetchTime", "DecodeTime", "PredictTime", "Unsure")} == {
        "FetchTime": 5, "DecodeTime": 3, "PredictTime": 2, "Unsure": 2,
    }  # fmt: skip
    errors = {line["code"]: line["Errors"] for line in lines if "Errors" in line}
    assert errors == {"host_answer": [2.0], "not_an_image": [1.0]}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"urls": []}, "parameter_malformed"),
        ({"urls": [DATA_URL] * (limits.URLS_MAX + 1)}, "parameter_malformed"),
        ({"urls": DATA_URL}, "parameter_malformed"),
        ({"urls": {"0": DATA_URL}}, "parameter_malformed"),
        ({"urls": None}, "parameter_malformed"),
        ({"urls": [DATA_URL, ""]}, "parameter_malformed"),
        ({"urls": [DATA_URL, 5]}, "parameter_malformed"),
        ({"urls": [[DATA_URL]]}, "parameter_malformed"),
        ({"urls": [DATA_URL], "top": 0}, "parameter_malformed"),
        ({"urls": [DATA_URL], "url": DATA_URL}, "parameter_repeated"),
        ({"urls": [DATA_URL], "image": DATA_URL}, "parameter_repeated"),
        ({"urls": [DATA_URL], "size": 1}, "parameter_unknown"),
    ],
)
def test_a_list_of_the_wrong_shape_is_refused_as_a_whole(members, expected):
    assert code(as_json(json.dumps(members))) == expected


def test_a_list_of_one_is_answered_as_a_list(output):  # noqa: F811
    assert outcomes(ask_for(DATA_URL)) == ["ok"]
    (line,) = log(output)
    assert line["images"] == 1


def test_without_a_model_nothing_is_fetched(served, store):  # noqa: F811
    asked: list[int] = []

    def page() -> bytes:
        asked.append(1)
        return JPEG

    host = served({"/a.jpg": page})
    store.problem = failure("model_store_denied", "refused")
    assert code(as_json(json.dumps({"urls": [f"{host}/a.jpg"]}))) == "model_store_denied"
    assert not asked


def test_settings_that_are_malformed_fail_the_request(monkeypatch):
    monkeypatch.setenv("ALLOWED_PRIVATE_HOSTS", "http://oops")
    assert code(as_json(json.dumps({"urls": ["https://images.example/a.jpg"]}))) == "misconfigured"


def test_a_defect_fails_the_request(monkeypatch, output):  # noqa: F811
    def defect(*_arguments, **_options):
        raise RuntimeError("a defect")

    monkeypatch.setattr(fetching, "fetch", defect)
    assert code(as_json(json.dumps({"urls": ["https://images.example/a.jpg"] * 3}))) == "internal_error"
    (line,) = log(output)
    assert line["level"] == "ERROR" and "a defect" in line["exception"]


def test_the_contract_tells_several_from_one():
    body = ask_for(DATA_URL)
    one = contract.document()["components"]["schemas"]["Prediction"]
    assert contract.problems(one, body)

"""The load generator against a small HTTP server that throttles, fails and hangs up on request."""

import json
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from workshop import load


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.running += 1
            server.most = max(server.most, server.running)
            server.asked += 1
            number = server.asked
        try:
            status, answer = server.answer(body, number)
            if status is None:
                self.close_connection = True
                return
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("x-amzn-RequestId", f"id-{number}")
            self.end_headers()
            self.wfile.write(data)
        finally:
            with server.lock:
                server.running -= 1

    def log_message(self, *_arguments):
        pass


def prediction(body, _number):
    return 200, {"predictions": [{"class": body.decode(), "probability": 1.0}]}


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.lock, server.running, server.most, server.asked, server.answer = threading.Lock(), 0, 0, 0, prediction
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/predict"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


PICTURES = [f"picture {number}".encode() for number in range(40)]


def seen(result):
    return [answer.body["predictions"][0]["class"] for answer in result.answers if answer.ok]


@pytest.mark.parametrize("clients", [1, 4])
def test_each_picture_is_answered_once_and_its_own_answer_is_kept(endpoint, clients):
    result = load.run(endpoint.url, PICTURES, clients=clients)
    assert seen(result) == [picture.decode() for picture in PICTURES]
    assert [answer.picture for answer in result.answers] == list(range(40))
    assert endpoint.asked == 40 and endpoint.most <= clients
    assert result.codes == {"200": 40}
    assert result.throughput == pytest.approx(40 / result.elapsed)


def test_clients_really_work_at_the_same_time(endpoint):
    together = threading.Barrier(8, timeout=30)  # opens when eight requests are there at once

    def meet(body, number):
        together.wait()
        return prediction(body, number)

    endpoint.answer = meet
    result = load.run(endpoint.url, PICTURES, clients=8)
    assert endpoint.most == 8
    assert result.codes == {"200": 40}


def test_throttled_pictures_come_back_and_none_is_lost_or_doubled(endpoint):
    def throttling(body, number):
        if endpoint.running > 2:
            return 429, {"__type": "TooManyRequestsException"}
        time.sleep(0.01)
        with endpoint.lock:
            scored[body] += 1
        return prediction(body, number)

    scored = Counter()
    endpoint.answer = throttling
    result = load.run(endpoint.url, PICTURES, clients=10)
    assert all(answer.ok for answer in result.answers) and len(result.answers) == 40
    assert set(scored.values()) == {1} and len(scored) == 40
    assert result.codes["429 TooManyRequestsException"] == len(result.tries) - 40 > 0
    assert sum(answer.tries for answer in result.answers) == len(result.tries)


def test_without_retry_a_throttled_picture_is_reported(endpoint):
    endpoint.answer = lambda _body, _number: (429, {"error": {"code": "throttled", "message": "…"}})
    result = load.run(endpoint.url, PICTURES[:3], retry=False)
    assert [answer.status for answer in result.answers] == [429] * 3
    assert result.codes == {"429 throttled": 3}
    assert result.throughput == 0 and np.isnan(result.percentile(95))


def test_an_error_that_is_no_throttle_is_not_repeated(endpoint):
    endpoint.answer = lambda _body, _number: (415, {"error": {"code": "not_an_image", "message": "…"}})
    result = load.run(endpoint.url, PICTURES[:5], clients=2)
    assert endpoint.asked == 5
    assert result.codes == {"415 not_an_image": 5}


def test_a_lost_connection_is_tried_again(endpoint):
    endpoint.answer = lambda body, number: (None, None) if number in (2, 3) else prediction(body, number)
    result = load.run(endpoint.url, PICTURES[:6])
    assert seen(result) == [picture.decode() for picture in PICTURES[:6]]
    assert sum(one.status == load.NO_CONNECTION for one in result.tries) == 2


def test_count_takes_the_pictures_in_turn(endpoint):
    result = load.run(endpoint.url, PICTURES[:3], clients=2, count=8)
    assert seen(result) == [PICTURES[number % 3].decode() for number in range(8)]


def test_time_is_a_bound_too(endpoint):
    def slow(body, number):
        time.sleep(0.05)
        return prediction(body, number)

    endpoint.answer = slow
    result = load.run(endpoint.url, PICTURES, count=10_000, max_seconds=0.5)
    assert 1 <= len(result.answers) < 12
    assert result.elapsed < 2


def test_a_throttle_without_end_ends_with_the_time(endpoint):
    endpoint.answer = lambda _body, _number: (429, {})
    result = load.run(endpoint.url, PICTURES[:2], clients=2, max_seconds=0.5)
    assert [answer.status for answer in result.answers] == [429, 429]


def test_progress_is_told_of_every_answer(endpoint):
    told = []
    load.run(endpoint.url, PICTURES[:5], progress=told.append)
    assert told == [1] * 5


@pytest.mark.parametrize("wrong", [{"clients": 0}, {"count": 0}, {"max_seconds": 0}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="at least one"):
        load.run("http://127.0.0.1:9/", PICTURES, **wrong)
    with pytest.raises(ValueError, match="at least one"):
        load.run("http://127.0.0.1:9/", [])


def test_backoff_has_full_jitter_and_a_ceiling():
    rng = np.random.default_rng(1)
    for tries, ceiling in ((1, 0.1), (2, 0.2), (3, 0.4), (20, load.BACKOFF_MOST)):
        waits = [load.backoff(tries, rng) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * ceiling and 0.95 * ceiling < max(waits) <= ceiling
        assert np.mean(waits) == pytest.approx(ceiling / 2, rel=0.06)


def test_cold_is_told_from_warm_by_the_functions_log(endpoint):
    result = load.run(endpoint.url, PICTURES[:4])
    log = [{"api_request_id": "id-1", "cold_start": True}, {"api_request_id": "id-2", "cold_start": False},
           {"api_request_id": "id-4", "cold_start": False}, {"cold_start": True}]
    cold, warm = load.cold_and_warm(result, log)
    assert [one.picture for one in cold] == [0]
    assert [one.picture for one in warm] == [1, 2, 3]


def test_cold_is_told_by_the_time_where_the_ids_differ(endpoint):
    def slow_at_first(body, number):
        time.sleep(0.3 if number == 1 else 0.01)
        return prediction(body, number)

    endpoint.answer = slow_at_first
    result = load.run(endpoint.url, PICTURES[:4])
    ended = datetime.fromtimestamp(result.started + result.tries[0].seconds - 0.1, UTC)
    stamp = ended.strftime("%Y-%m-%d %H:%M:%S,%f")[:-3] + "+0000"
    cold, warm = load.cold_and_warm(result, [{"api_request_id": "x", "cold_start": True, "timestamp": stamp}])
    assert [one.picture for one in cold] == [0]
    assert len(warm) == 3

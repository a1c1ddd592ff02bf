"""The load generator against a small HTTP server that throttles, fails and hangs up on request."""

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from workshop.scale import load

pytestmark = pytest.mark.slow


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
            self.send_header("X-Cold-Start", "true" if number in server.cold else "false")
            self.end_headers()
            self.wfile.write(data)
        finally:
            with server.lock:
                server.running -= 1

    def log_message(self, *_arguments):
        pass


def prediction(body, _number):
    timings = {"fetch": 0.0, "decode": 1.0, "predict": 9.0}
    return 200, {"predictions": [{"class": body.decode(), "probability": 1.0}], "timings_ms": timings}


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.lock, server.running, server.most, server.asked, server.answer = threading.Lock(), 0, 0, 0, prediction
    server.cold = ()
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


@pytest.mark.parametrize("status", [429, 500, 503])
def test_throttled_pictures_come_back_and_none_is_lost_or_doubled(endpoint, status):
    def throttling(body, number):
        if endpoint.running > 2:
            return status, {"__type": "TooManyRequestsException"}
        time.sleep(0.01)
        with endpoint.lock:
            scored[body] += 1
        return prediction(body, number)

    scored = Counter()
    endpoint.answer = throttling
    result = load.run(endpoint.url, PICTURES, clients=10)
    assert all(answer.ok for answer in result.answers) and len(result.answers) == 40
    assert set(scored.values()) == {1} and len(scored) == 40
    assert result.codes[f"{status} TooManyRequestsException"] == len(result.tries) - 40 > 0
    assert sum(one.refused for one in result.tries) == len(result.tries) - 40
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
    for tries, ceiling in ((1, 0.1), (2, 0.2), (3, 0.4), (20, load.MAX_BACKOFF)):
        waits = [load.backoff(tries, rng) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * ceiling and 0.95 * ceiling < max(waits) <= ceiling
        assert np.mean(waits) == pytest.approx(ceiling / 2, rel=0.06)


def test_cold_is_told_from_warm_by_the_header(endpoint):
    endpoint.cold = (1, 3)
    result = load.run(endpoint.url, PICTURES[:4])
    assert [one.picture for one in result.cold] == [0, 2]
    assert [one.picture for one in result.warm] == [1, 3]


def test_a_refusal_is_neither_cold_nor_warm(endpoint):
    endpoint.answer = lambda _body, _number: (429, {})
    result = load.run(endpoint.url, PICTURES[:2], retry=False)
    assert result.cold == result.warm == []


def test_the_functions_own_seconds_are_the_sum_of_its_timings(endpoint):
    assert load.run(endpoint.url, PICTURES[:3]).execution_seconds == pytest.approx([0.010] * 3)


def tried(picture, began, seconds, status=200):
    return load.Try(picture, began, seconds, status, "", False)


def answered(picture, status=200):
    return load.Answer(picture, status, 1, 1.0, {})


def test_runs_together_are_one_run_after_the_other():
    first = load.Load(2, 4.0, [answered(0), answered(1)], [tried(0, 0.0, 1.0), tried(1, 0.0, 4.0)])
    second = load.Load(2, 2.0, [answered(0)], [tried(0, 0.0, 0.1, 429), tried(0, 0.5, 1.5)])
    both = load.together([first, second])
    assert [one.picture for one in both.answers] == [0, 1, 2]
    assert [(one.picture, one.began) for one in both.tries] == [(0, 0.0), (1, 0.0), (2, 4.0), (2, 4.5)]
    assert both.elapsed == 6.0 and both.throughput == pytest.approx(0.5)
    # Answered at 1, 4 and 6 s: half of them by the second, all by the third.
    assert both.done_by(0.5) == pytest.approx(4.0) and both.done_by(1.0) == pytest.approx(6.0)
    with pytest.raises(ValueError, match="same number of clients"):
        load.together([first, load.Load(1, 1.0, [], [])])


def test_the_numbers_of_clients_take_turns_and_a_first_request_of_each_client_does_not_count(endpoint):
    told = []
    runs = load.in_turns(endpoint.url, PICTURES, [1, 3], requests=12, rounds=3, progress=told.append)
    assert {clients: [len(one.answers) for one in done] for clients, done in runs.items()} == {1: [4] * 3, 3: [4] * 3}
    assert {one.clients for one in runs[3]} == {3}
    assert endpoint.asked == 1 + 3 + 24 and sum(told) == 24

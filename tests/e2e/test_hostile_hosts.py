"""The deployed function against hosts that misbehave: servers of the test's own, asked for over HTTP, several at once.

What each function of a server does is the misbehaviour; what the endpoint must answer stands beside it. The servers
listen on 127.0.0.2, which the stack lets through by name, so every other spelling and address stays refused.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from predict.errors import STATUS
from tests.cases import hostile
from tests.cases.hostile import ADDRESSES, BODIES, HOST, HOSTS, JPEG
from workshop import client

AT_ONCE = 5  # each request of those has a worker of the emulator to itself


@pytest.fixture(scope="module")
def server():
    with hostile.Server() as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def answers(url, server):
    """Every request's response, asked for `AT_ONCE` at a time."""
    by_url = {name: f"http://{HOST}:{server.port}/{name}" for name in HOSTS}
    by_url |= {address: address.replace("{port}", str(server.port)) for address in ADDRESSES}

    def ask(key):
        if isinstance(key, bytes):
            return requests.post(url, key, headers={"Content-Type": "application/json"}, timeout=60)
        return requests.get(url, params={"url": by_url[key]}, timeout=60)

    keys = [*by_url, *BODIES]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(keys, pool.map(ask, keys), strict=True))


def check(response: requests.Response, code: str | None) -> None:
    """Hold a response to the contract: a prediction where `code` is None, else that error and nothing more."""
    assert hostile.violations(response) == []
    body = response.json()
    if code is None:
        assert response.status_code == 200, body
        assert body["predictions"]
        return
    assert (response.status_code, body["error"]["code"]) == (STATUS[code], code), body
    assert "secret" not in response.text and "Traceback" not in response.text


@pytest.mark.parametrize("name", HOSTS)
def test_what_a_host_does(answers, name):
    check(answers[name], HOSTS[name][1])


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address[:50])
def test_what_an_address_may_be(answers, address):
    check(answers[address], ADDRESSES[address])


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:50]))
def test_what_a_json_body_may_be(answers, body):
    check(answers[body], BODIES[body])


def test_no_request_took_its_worker_with_it(answers, lab, url):
    """As many cold starts as requests at once, at most; and no error in the log but those of the contract."""
    assert len(answers) == len(HOSTS) + len(ADDRESSES) + len(BODIES)
    lines = [line for line in client.request_log(lab, 0) if line["code"] in STATUS or line["code"] == "ok"]
    assert len(lines) >= len(answers)
    assert not [line for line in lines if line["level"] == "ERROR"]
    last = requests.post(url, JPEG, headers={"Content-Type": "image/jpeg"}, timeout=60).json()
    assert last["cold_start"] is False
    assert last["predictions"][0]["class"].startswith("n03445777")


def test_a_body_over_the_cap_is_refused(url):
    response = requests.post(url, bytes(10_000_001), headers={"Content-Type": "image/png"}, timeout=60)
    check(response, "image_too_large")

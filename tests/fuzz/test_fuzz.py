"""A short run of the fuzzer, and that it sees what it looks for. The long run is `make fuzz`."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings

from hello import index
from predict import images
from predict.errors import PredictionError
from tests import contract
from tests.fuzz import events, fuzzing, mutation
from tests.fuzz.worker import HOST, PORT, SECRET, Outcome, Worker, checked_lines
from workshop import ROOT, models


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False).folder)
    yield worker
    worker.close()


def by_url(url: str) -> dict:
    return events.event("GET", {}, {"url": [url]}, None, False)


def test_odd_requests_get_answers_of_the_contract(worker):
    tally = fuzzing.fuzz_events(worker, 1, 1000)
    assert not tally.faults and not worker.crashes
    assert tally.growth < 30e6, tally.usage
    assert {"200 ok", "400 url_malformed", "502 host_answer", "415 not_an_image"} <= tally.answers.keys()


def test_damaged_images_get_answers_of_the_contract(worker, tmp_path):
    tally, more = fuzzing.fuzz_images(worker, 1, 400, tmp_path)
    assert not tally.faults and not worker.crashes
    assert not more["decoder_crashes"]
    assert more["by_format"].keys() == set(images.FORMATS)
    statuses = {answer[:3] for answer in tally.answers}
    assert {"200", "422"} <= statuses <= {"200", "413", "415", "422"}


@settings(max_examples=500, deadline=None, database=None)
@given(events.cases())
def test_the_front_page_answers_odd_requests(case):
    answer = index.handler(case.event, None)
    resource = case.event.get("resource") if isinstance(case.event, dict) else None
    assert answer["statusCode"] == 404 or resource in ("/", None, "")
    assert not contract.proxy_violations("/", case.event, answer) or answer["statusCode"] == 200


# --- the fuzzer itself -----------------------------------------------------------------------------


def test_a_run_can_be_repeated():
    seeds = mutation.seeds()
    for name, data in seeds.items():
        damaged = [mutation.mutate(Random(f"7/{name}"), data, seeds["PNG rgb"]) for _ in range(2)]
        assert damaged[0] == damaged[1] != data


def test_what_is_new_does_not_depend_on_where_memory_lies():
    words = [
        fuzzing.wording(f"cannot identify image file <_io.BytesIO object at {place}>") for place in ("0x7f2c", "0x9e1b")
    ]
    assert words[0] == words[1] == "cannot identify image file <_io.BytesIO object at #>"


def test_every_structure_is_followed():
    for name, data in mutation.seeds().items():
        fields, segments = mutation.parts(data)
        assert len(fields) > 30 and len(segments) >= (1 if name.startswith(("WEBP", "BMP array")) else 2), name
        if not name.endswith("cut"):  # whose last segment ends behind the file
            assert max(end for _, end in segments) <= len(data) + 1, name


@pytest.mark.parametrize("count", [0, 2**15, 2**31, 2**63, 2**64 - 1])
def test_counts_that_lead_nowhere_end_the_walk(count):
    data = bytearray(mutation.seeds()["TIFF big"])
    directory = int.from_bytes(data[8:16], "little")
    data[directory : directory + 8] = count.to_bytes(8, "little")
    assert mutation.parts(bytes(data))[1]


def test_damage_below_the_checksums_reaches_the_decoders():
    """Most files with a field set still open: their checksums were made again."""
    opened, png = 0, mutation.seeds()["PNG alpha"]
    for number in range(100):
        data = mutation.mutate(Random(number), png, b"")
        try:
            images.decode(data)
            opened += 1
        except PredictionError:
            pass
    assert opened > 5


def test_a_worker_that_dies_is_a_fault_and_is_replaced(worker):
    os.kill(worker._process.pid, signal.SIGKILL)
    outcome, faults = fuzzing.ask(worker, events.Case(by_url("http://inside.test/"), 29.0, {}))
    assert worker.crashes == 1 and "the worker died (-9)" in faults[0]
    outcome, faults = fuzzing.ask(worker, events.Case(by_url("http://inside.test/"), 29.0, {}))
    assert (outcome.code, faults) == ("address_not_public", [])
    worker.crashes = 0


def test_the_hosts_answer_is_fetched(worker):
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + events.JPEG
    case = events.Case(by_url(f"http://{HOST}:{PORT}/a.jpg?{SECRET}"), 29.0, {"/a.jpg": answer})
    outcome, faults = fuzzing.ask(worker, case)
    assert (outcome.status, faults) == (200, [])


@pytest.mark.parametrize("host", ["rebind.test", "both.test", "nat64.test", "localhost", "0177.1", "[::ffff:7f00:1]"])
def test_names_and_numbers_of_the_inside_are_refused(worker, host):
    for _ in range(2):
        outcome, faults = fuzzing.ask(worker, events.Case(by_url(f"http://{host}:9001/"), 29.0, {}))
        assert not faults
        assert outcome.code == "address_not_public" or (host == "rebind.test" and outcome.code == "host_unreachable")


def test_a_connection_to_the_inside_would_be_seen(worker, monkeypatch):
    """A function that lets every host be private gets as far as the network, which tells."""
    monkeypatch.setenv("FUZZ_ALLOW", "127.0.0.1,10.0.0.1")
    open_worker = Worker(worker._model)
    try:
        _outcome, faults = fuzzing.ask(open_worker, events.Case(by_url("http://127.0.0.1:9001/"), 29.0, {}))
        assert "connected to ('127.0.0.1', 9001)" in faults
    finally:
        open_worker.close()


LINE = '{"message": "request", "status": 200}'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "one log line"),
        (LINE + "\n" + LINE, "one log line"),
        (LINE.replace("200", "500"), "one log line"),
        (LINE + "\nTraceback", "not JSON"),
        (LINE.replace("request", f"request?{SECRET}") + "\n" + LINE, "secret"),
    ],
)
def test_what_the_log_must_not_be_is_seen(text, fault):
    assert not checked_lines(LINE, {"statusCode": 200})[1]
    assert fault in " ".join(checked_lines(text, {"statusCode": 200})[1])


def test_a_500_is_a_fault():
    body = '{"error": {"code": "internal_error", "message": "m"}}'
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Cold-Start": "false",
        "X-Version": "1",
    }
    response = {"statusCode": 500, "headers": {"Content-Type": "application/json"} | headers, "body": body}
    (fault,) = fuzzing.faults_of({"httpMethod": "GET"}, Outcome(response, {"code": "internal_error"}))
    assert fault.startswith("500 internal_error")


def tried() -> str:
    """The section of benchmarks/README.md about requests and images that were tried, in one line."""
    _, _, section = (ROOT / "benchmarks" / "README.md").read_text().partition("\n## Odd requests and damaged images\n")
    return re.sub(r"\s+", " ", section.partition("\n## ")[0])


def test_the_table_has_the_figures_of_the_long_run():
    figures = json.loads((ROOT / "benchmarks" / "fuzz.json").read_text())
    table = tried()
    for part, enough in {"events": 100_000, "images": 20_000}.items():
        run = figures[part]
        assert run["cases"] >= enough and run["faults"] == run["worker_crashes"] == 0
        assert f"{run['cases']:,} " in table
        by_status = Counter()
        for answer, count in run["answers"].items():
            by_status[int(answer[:3])] += count
        assert sum(by_status.values()) == run["cases"] and 500 not in by_status and 503 not in by_status
        for status, count in by_status.items():
            assert f"{count:,} × {status}" in table, (part, status)
        megabytes = [round(sum(run[when][name] for name in ("resident", "decoder_resident")) / 1e6)
                     for when in ("first_usage", "last_usage")]  # fmt: skip
        assert f"{megabytes[0]} MB before, {megabytes[1]} MB after" in table, part
    crashes = len(figures["images"]["decoder_crashes"])
    assert f"the decoder's process crashed on {crashes or 'none'}" in table


def test_the_table_has_the_figures_of_the_soak_test():
    soak = json.loads((ROOT / "benchmarks" / "soak.json").read_text())
    kills = soak["killed_workers"] + soak["killed_decoders"]
    table = tried()
    assert f"{soak['requests']:,} requests, {kills} kills" in table
    assert soak["good"] == soak["good_with_the_right_class"] and f"all {soak['good']:,} good ones" in table
    assert f"{soak['bad_with_the_right_error']:,} of {soak['bad']:,} bad ones" in table


def test_the_table_counts_no_more_cases_than_there_are():
    table = tried()
    folders = ("unit/test_fetching", "unit/test_images", "unit/test_decoder", "unit/test_lambda_function",
               "unit/test_model_store", "e2e/test_hostile_hosts")  # fmt: skip
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *(f"tests/{name}.py" for name in folders)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
    cases = Counter(re.findall(r"^tests/(\w+/\w+)\.py::", listed, re.MULTILINE))
    fetching, images_, decoder, handler, store, deployed = (cases[name] for name in folders)
    assert fetching > 240 and deployed > 120
    assert "over 240 cases, and over 120 against the deployed function" in table
    assert images_ + decoder > 230 and "over 230 cases" in table
    assert handler + store > 200 and "over 200 cases" in table

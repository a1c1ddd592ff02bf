"""schemathesis asks the deployed endpoint all that openapi.yml allows, and much that it does not.

Addresses lead to a server of this test's own, to addresses that are refused, and to names that do not exist (RFC 6761),
so that nothing leaves this machine. `SCHEMATHESIS_EXAMPLES` says how many requests hypothesis makes up for each
operation beside those that schemathesis derives from the document; `make fuzz` asks for more.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from tests.fuzz import mutation
from workshop import ROOT, client
from workshop.samples import sample_path

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "40"))
SAME_EACH_TIME = "SCHEMATHESIS_EXAMPLES" not in os.environ  # what fails in a short run is the change's fault
# Of the request line and the headers together, less some for the rest of them:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
GATEWAY_BYTES = 10_240 - 1_000
# What an address can lead to although it is one of the document's: nothing there, no picture there, not public.
OF_THE_ADDRESS = ["400", "413", "415", "422", "502", "504"]
CONFIG = {
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "502", "504"]},
        "positive_data_acceptance": {"expected-statuses": ["2xx", *OF_THE_ADDRESS]},
        "negative_data_rejection": {"expected-statuses": ["405", *OF_THE_ADDRESS]},
    },
    "generation": {"deterministic": True},
    # Not TRACE: API Gateway cannot route it, and its own 405 (template.yml) is one that the emulator does not make.
    "phases": {"coverage": {"unexpected-methods": ["put", "patch", "delete", "options"]}},
}
schema = schemathesis.openapi.from_path(ROOT / "openapi.yml", config=SchemathesisConfig.from_dict(CONFIG))
PICTURES = [sample_path("golf_ball").read_bytes(), *mutation.seeds().values()]
PATHS = {
    "/picture": (200, "image/jpeg", PICTURES[0]),
    "/broken": (200, "image/jpeg", PICTURES[0][:2000]),
    "/page": (200, "text/html", b"<!DOCTYPE html><p>No picture."),
    "/error": (500, "text/plain", b"No."),
}


class Host(BaseHTTPRequestHandler):
    """Where the addresses lead."""

    def do_GET(self) -> None:
        status, media_type, body = PATHS.get(self.path.partition("?")[0], (404, "text/plain", b""))
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


# Bound already here, for schemathesis draws addresses as soon as it collects the tests.
SERVER = ThreadingHTTPServer(("127.0.0.2", 0), Host)


@pytest.fixture(scope="module", autouse=True)
def host():
    threading.Thread(target=SERVER.serve_forever, daemon=True).start()
    yield
    SERVER.shutdown()
    SERVER.server_close()


def addresses() -> st.SearchStrategy[str]:
    served = st.sampled_from(["/picture", "/picture?a=1&b=%2F", "/broken", "/page", "/error", "/missing"])
    return st.one_of(
        served.map(lambda path: f"http://127.0.0.2:{SERVER.server_port}{path}"),
        st.sampled_from(
            ["http://127.0.0.1:9001/", "https://[::1]/", "HTTP://169.254.169.254/latest", "https://localhost"]
        ),
        st.sampled_from(["http://missing.invalid/a.jpg", "https://b\u00fccher.invalid/"]),
    )


def damaged() -> st.SearchStrategy[bytes]:
    """Pictures whole and damaged, and what is none."""
    hurt = st.builds(
        mutation.mutate, st.randoms(use_true_random=False), st.sampled_from(PICTURES[1:]), st.sampled_from(PICTURES)
    )
    return st.one_of(st.sampled_from(PICTURES), hurt, st.binary(max_size=100))


schemathesis.openapi.format("iri", addresses())
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, damaged())


@pytest.fixture(scope="module")
def tally() -> Iterator[Counter]:
    """Counts of answers by operation, status and code, printed at the end (`pytest -s`)."""
    counts = Counter()
    yield counts
    print(f"\nschemathesis: {counts.total()} requests")
    for answer, count in sorted(counts.items()):
        print(f"{count:6} {answer}")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=SAME_EACH_TIME,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_the_endpoint_is_what_openapi_says(case, lab, tally):
    if case.media_type == "application/json" and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.query.pop("top", None)  # the one rule that OpenAPI cannot state: with JSON, top is a member of the body
    assume(len(urlencode(case.query)) < GATEWAY_BYTES)  # what is longer never comes to the function
    response = case.call_and_validate(base_url=client.hello_url(lab).rstrip("/"), timeout=60)
    found = re.search(rb'"code": ?"(\w+)"', response.content)
    tally[f"{case.operation.label} {response.status_code} {found[1].decode() if found else ''}"] += 1

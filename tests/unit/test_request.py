"""The same request through every service that can stand in front of a function."""

import base64
import json

import pytest

from predict import fetching, lambda_function
from predict.request import Request, is_ping
from tests.unit.test_lambda_function import Context, event

URL = "https://images.example/a b.jpg?x=1&y=ü"
QUOTED = "https%3A%2F%2Fimages.example%2Fa%20b.jpg%3Fx%3D1%26y%3D%C3%BC"


def http_api(path: str = "/predict", route: str = "GET /predict", stage: str = "$default", **more) -> dict:
    """Payload format 2.0: an HTTP API's, and a function URL's."""
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": f"url={QUOTED}&top=3",
        "queryStringParameters": {"url": URL, "top": "3"},
        "headers": {"accept": "*/*", "content-type": "image/jpeg"},
        "requestContext": {"http": {"method": "GET", "path": path}, "stage": stage, "requestId": "r", "timeEpoch": 0},
        "isBase64Encoded": False,
    } | more


def balancer(lists: bool) -> dict:
    names = ("multiValueHeaders", "multiValueQueryStringParameters") if lists else ("headers", "queryStringParameters")
    headers, query = {"Accept": "*/*", "content-type": "image/jpeg"}, {"url": QUOTED, "top": "3"}
    listed = [{name: [value] for name, value in one.items()} if lists else one for one in (headers, query)]
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:0:targetgroup/a/b"}},
        "httpMethod": "GET", "path": "/predict", "body": "", "isBase64Encoded": False,
    } | dict(zip(names, listed, strict=True))  # fmt: skip


LISTS = {"url": [URL], "top": ["3"]}
FRONTS = {
    "REST API": event(multiValueQueryStringParameters=LISTS, headers={"Content-Type": "image/jpeg"}),
    "REST API with lists alone": {
        "httpMethod": "GET", "path": "/predict", "multiValueHeaders": {"Content-Type": ["text/html", "image/jpeg"]},
        "multiValueQueryStringParameters": LISTS, "requestContext": {"stage": "Prod"}, "body": None,
    },
    "REST API, custom domain": event(path="/base/predict", multiValueQueryStringParameters=LISTS,
                                     headers={"CONTENT-TYPE": "image/jpeg"}),
    "HTTP API": http_api(),
    "HTTP API, stage": http_api("/prod/predict", stage="prod"),
    "HTTP API, custom domain": http_api("/base/predict"),
    "HTTP API, greedy route": http_api("/prod/predict", "ANY /{proxy+}", "prod"),
    "function URL": http_api(route="$default"),
    "load balancer": balancer(lists=False),
    "load balancer with lists": balancer(lists=True),
}  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_the_request_is_the_same_behind_every_front(front):
    request = Request.of(FRONTS[front])
    assert (request.method, request.path) == ("GET", "/predict")
    assert request.parameters({"url", "top"}) == {"url": URL, "top": "3"}
    assert request.media_type == "image/jpeg"


def test_a_body_of_an_http_api_is_read():
    more = {"body": base64.b64encode(b"bytes").decode(), "isBase64Encoded": True}
    assert Request.of(http_api(**more)).body(10) == b"bytes"


def test_a_balancer_with_lists_is_answered_with_lists(monkeypatch):
    for front, wanted in (("load balancer", "headers"), ("load balancer with lists", "multiValueHeaders")):
        answer = lambda_function.lambda_handler(FRONTS[front] | {"path": "/other"}, Context())
        assert answer["statusCode"] == 404
        assert {"headers", "multiValueHeaders"} & answer.keys() == {wanted}
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]


@pytest.mark.parametrize(
    ("warms", "sent"),
    [
        (True, {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
        (True, {"source": "aws.scheduler"}),
        (True, {"source": "serverless-plugin-warmup"}),
        (True, {"warmer": True, "concurrency": 1}),
        (False, {"source": "aws.s3"}),
        (False, event() | {"source": "aws.events"}),
        (False, None),
    ],
)
def test_a_ping_keeps_warm_and_counts_as_nothing(warms, sent, capsys, monkeypatch):
    assert is_ping(sent) is warms
    if warms:
        monkeypatch.setattr(fetching, "fetch", None)
        assert lambda_function.lambda_handler(sent, Context()) == {"warm": True}
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert not [line for line in printed if "Requests" in line or line.get("message") == "request"]


# --- Pages of other origins ------------------------------------------------------------------------


def test_no_page_of_another_origin_may_ask_unless_it_is_said(monkeypatch):
    for one in (event("OPTIONS"), event(path="/x")):
        assert not [name for name in lambda_function.lambda_handler(one, Context())["headers"] if "Access" in name]
    assert lambda_function.lambda_handler(event("OPTIONS"), Context())["statusCode"] == 405


@pytest.mark.parametrize("origin", ["*", "https://pages.example"])
def test_a_page_of_another_origin_may_ask_where_it_is_said(monkeypatch, origin):
    monkeypatch.setattr(lambda_function, "ALLOW_ORIGIN", origin)
    preflight = lambda_function.lambda_handler(event("OPTIONS", headers={"Origin": "https://pages.example"}), Context())
    assert (preflight["statusCode"], preflight["body"]) == (204, "")
    assert preflight["headers"]["Access-Control-Allow-Methods"] == "GET, POST"
    assert preflight["headers"]["Access-Control-Allow-Headers"] == "Content-Type"
    monkeypatch.setattr(lambda_function, "ALLOW_HEADERS", "Content-Type, X-Api-Key")  # with Auth=key
    refused = lambda_function.lambda_handler(event(path="/x"), Context())
    assert refused["headers"]["Access-Control-Allow-Headers"] == "Content-Type, X-Api-Key"
    assert refused["headers"]["Access-Control-Allow-Origin"] == origin
    assert refused["headers"]["Vary"] == "Origin"

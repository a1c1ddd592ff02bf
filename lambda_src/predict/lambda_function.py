"""The Predict function: `GET /predict?url=…` and `POST /predict` behind API Gateway.

The handler is thin. Fetch, decode, prepare, predict and rank are functions of other modules; here is the HTTP contract,
the time limit, and what is logged and measured.
"""

import binascii
import functools
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pybase64
from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.event_handler.api_gateway import APIGatewayRestResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from . import decoder, fetching, predictor
from .errors import PredictionError, error, shown
from .model_store import Model, loaded_model

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "predict")  # the stack names its project
NAMESPACE = "ServerlessPredictions"
TOP_DEFAULT, TOP_MOST = 5, 20
MAX_JSON_BYTES = 20_000  # a URL of the greatest length, escaped
# API Gateway gives up after 29 s: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
GATEWAY_SECONDS = 29.0
RESERVE_SECONDS = 1.5  # kept back to answer in, and for what is under way when the limit comes
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METRIC_NAMES = {"load": "ModelLoadTime", "fetch": "FetchTime", "decode": "DecodeTime", "predict": "PredictTime"}

logger = Logger(service=SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)
app = APIGatewayRestResolver()

# Both live as long as the execution environment.
_decoder = decoder.SHARED
_model: Model | None = None


class Record:
    """What one request took and came to: the source of its log line and its metrics."""

    def __init__(self, event: Any, context: LambdaContext):
        self.started = time.monotonic()
        left = min(context.get_remaining_time_in_millis() / 1000, GATEWAY_SECONDS - waited(event, time.time()))
        self.deadline = self.started + left - RESERVE_SECONDS
        # The logger's own: the environment's first invocation, and false where Lambda provisioned it beforehand.
        self.cold_start: bool = logger.get_current_keys()["cold_start"]
        self.stages: dict[str, float] = {}  # milliseconds
        self.fields: dict[str, Any] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[float]:
        """Time a stage; yields the seconds that are left. Raises PredictionError 504 when there are none."""
        begun = time.monotonic()
        if begun >= self.deadline:
            raise error("time_limit", f"the request ran out of time before the stage {name!r}")
        try:
            yield self.deadline - begun
        finally:
            self.stages[name] = round((time.monotonic() - begun) * 1000, 1)


def waited(event: Any, now: float) -> float:
    """Seconds from API Gateway's receiving the request to now: a cold start's, before any line of ours runs.

    `now`: Unix time. 0 where the event does not say, or says what cannot be (a replayed event, clocks that differ).
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    received = context.get("requestTimeEpoch") if isinstance(context, dict) else None
    seconds = now - received / 1000 if type(received) in (int, float) else 0.0
    return seconds if 0 <= seconds <= GATEWAY_SECONDS else 0.0


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's REST proxy integration; every answer is JSON of the contract."""
    record = Record(event, context)
    problem: Exception | None = None
    try:
        if isinstance(event, dict) and event.get("isBase64Encoded") is True:
            _decoder.expect()
        app.append_context(record=record)
        response = app.resolve(_checked_event(event), context)
    except PredictionError as refused:  # not an API Gateway request at all
        response = _plain(_failed(record, refused))
    except Exception as defect:
        problem = defect
        response = _plain(_failed(record, error("internal_error", "the function failed; the failure is in its log")))
    _report(record, event, response["statusCode"], problem)
    return response


@app.get("/predict")
def predict_from_url() -> Response:
    """`GET /predict?url=<http(s) URL>&top=5`"""
    record = app.context["record"]
    parameters = _query({"url", "top"})
    if "url" not in parameters:
        raise error("parameter_missing", "the parameter url is missing: GET /predict?url=<address of an image>&top=5")
    top = _top(parameters.get("top"))
    return _answer(record, _fetched(record, parameters["url"]), top)


@app.post("/predict")
def predict_from_body() -> Response:
    """`POST /predict?top=5` with an image's bytes, or `POST /predict` with JSON `{"url": "…", "top": 5}`."""
    record = app.context["record"]
    media_type = _media_type()
    if media_type == "application/json":
        _query(set())
        url, top = _json_request(_body(MAX_JSON_BYTES))
        return _answer(record, _fetched(record, url), top)
    if not media_type.startswith("image/") and media_type != "application/octet-stream":
        raise error(
            "media_type_not_supported",
            f"Content-Type {shown(media_type)} is not supported: send an image's bytes as image/* or "
            'application/octet-stream, or {"url": "…"} as application/json',
        )
    top = _top(_query({"top"}).get("top"))
    data = _body(fetching.MAX_BYTES)
    record.fields["source"] = "body"
    return _answer(record, data, top)


@app.not_found
def no_such_route(_problem: Exception) -> Response:
    """404, or 405 where the path is right and the method is not."""
    record = app.context["record"]
    method, path = app.current_event.http_method, app.current_event.path
    if path.rstrip("/") == "/predict":
        refused = error("method_not_allowed", f"{shown(method)} is not allowed on /predict: use GET or POST")
        return _failed(record, refused, {"Allow": "GET, POST"})
    return _failed(record, error("path_not_found", f"there is no {shown(path)} here: use /predict"))


@app.exception_handler(PredictionError)
def _refuse(problem: PredictionError) -> Response:
    return _failed(app.context["record"], problem)


def _answer(record: Record, data: bytes, top: int) -> Response:
    record.fields["bytes"] = len(data)
    with record.stage("decode") as seconds:
        made = _decoder.prepare(data, seconds)
    record.fields |= made.said
    model = _loaded_model(record)
    with record.stage("predict"):
        predictions = predictor.rank(model.predictor.predict(made.batch), model.labels, top)
    body = {
        "predictions": predictions,
        "model": {"name": model.name, "precision": model.precision, "sha256": model.sha256},
        "cold_start": record.cold_start,
        "timings_ms": {"fetch": 0.0, **record.stages},  # "load" where this request loaded the model
        **made.said,
    }
    return Response(200, "application/json", body, _headers(record))


def _fetched(record: Record, url: str) -> bytes:
    record.fields["source"] = "url"
    with record.stage("fetch") as seconds:
        return fetching.fetch(
            url,
            max_seconds=min(seconds, fetching.MAX_SECONDS),
            allowed=_allowed_hosts(os.environ.get("ALLOWED_PRIVATE_HOSTS", "")),
        )


@functools.lru_cache(maxsize=1)
def _allowed_hosts(text: str) -> fetching.AllowedHosts:
    try:
        return fetching.AllowedHosts.parse(text)
    except ValueError as problem:
        raise error("misconfigured", str(problem)) from None


def _loaded_model(record: Record) -> Model:
    """The model, loaded by the first request that needs it. A failure leaves nothing behind: the next tries again."""
    global _model
    if _model is None:
        with record.stage("load") as seconds:
            _model = loaded_model(seconds)
    record.fields["model"] = {"name": _model.name, "precision": _model.precision, "sha256": _model.sha256}
    return _model


def _checked_event(event: Any) -> dict[str, Any]:
    """The parts of the event that are read, each of the type that API Gateway sends.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    if not isinstance(event, dict):
        raise error("request_malformed", "this function answers API Gateway's REST proxy events only")
    method, path, body = event.get("httpMethod"), event.get("path"), event.get("body")
    if not isinstance(method, str) or not isinstance(path, str) or not isinstance(body, str | None):
        raise error("request_malformed", "this function answers API Gateway's REST proxy events only")
    return {
        "httpMethod": method,
        "path": path,
        "headers": {name: value for name, value in _items(event, "headers") if isinstance(value, str)},
        "multiValueQueryStringParameters": {
            **{name: [value] for name, value in _items(event, "queryStringParameters")},
            **dict(_items(event, "multiValueQueryStringParameters")),
        },
        "body": body,
        "isBase64Encoded": event.get("isBase64Encoded") is True,
    }


def _items(event: dict, key: str) -> list[tuple[str, Any]]:
    found = event.get(key)
    return [(name, value) for name, value in found.items() if isinstance(name, str)] if isinstance(found, dict) else []


def _query(allowed: set[str]) -> dict[str, str]:
    """The query string's parameters: each one known, given once and not empty."""
    parameters = {}
    for name, values in app.current_event.multi_value_query_string_parameters.items():
        if name not in allowed:
            hint = f"allowed: {', '.join(sorted(allowed))}" if allowed else "none is allowed here"
            raise error(
                "parameter_unknown",
                f"the parameter {shown(name)} is unknown ({hint}); percent-encode an address that has parameters",
            )
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise error("request_malformed", f"the parameter {name} is not text")
        if len(values) > 1:
            raise error("parameter_repeated", f"the parameter {name} is given {len(values)} times: give it once")
        if not values or not values[0]:
            raise error("parameter_malformed", f"the parameter {name} is empty")
        parameters[name] = values[0]
    return parameters


def _top(text: str | None) -> int:
    if text is None:
        return TOP_DEFAULT
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= TOP_MOST:
        raise error("parameter_malformed", f"top is {shown(text)}: expected a whole number from 1 to {TOP_MOST}")
    return int(text)


def _media_type() -> str:
    """The request's Content-Type without its parameters, in lower case."""
    return app.current_event.headers.get("content-type", "").partition(";")[0].strip().lower()


def _body(most: int) -> bytes:
    """The request's body as bytes."""
    text = app.current_event.body or ""
    if len(text) > most * 4 // 3 + 4:
        raise error("image_too_large", f"the request's body has more than {most} bytes")
    try:
        data = pybase64.b64decode(text, validate=True) if app.current_event.is_base64_encoded else text.encode("utf-8")
    except (binascii.Error, ValueError):  # ValueError: characters that are not ASCII, or lone surrogates
        raise error("request_malformed", "the request's body does not decode") from None
    if len(data) > most:
        raise error("image_too_large", f"the request's body has more than {most} bytes")
    if not data:
        raise error("request_malformed", 'the request\'s body is empty: send an image\'s bytes, or JSON {"url": "…"}')
    return data


def _json_request(data: bytes) -> tuple[str, int]:
    """`url` and `top` of a JSON body."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise error("parameter_repeated", "a member of the JSON body is given more than once")
        return members

    try:
        request = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise error("request_malformed", 'the body is not JSON: expected {"url": "…", "top": 5}') from None
    if not isinstance(request, dict):
        raise error("request_malformed", 'the JSON body is not an object: expected {"url": "…", "top": 5}')
    unknown = sorted(request.keys() - {"url", "top"})
    if unknown:
        raise error("parameter_unknown", f"the member {shown(unknown[0])} is unknown (allowed: top, url)")
    if "url" not in request:
        raise error("parameter_missing", 'the member url is missing: expected {"url": "…", "top": 5}')
    url, top = request["url"], request.get("top", TOP_DEFAULT)
    if not isinstance(url, str) or not url:
        raise error("parameter_malformed", "url is empty or not a string")
    if type(top) is not int or not 1 <= top <= TOP_MOST:  # True is an int
        came = shown(json.dumps(top))
        raise error("parameter_malformed", f"top is {came}: expected a whole number from 1 to {TOP_MOST}")
    return url, top


def _failed(record: Record, problem: PredictionError, headers: dict[str, str] | None = None) -> Response:
    record.fields["code"] = problem.code
    record.fields["error"] = problem.message
    if problem.detail:
        record.fields["detail"] = problem.detail
    return Response(problem.status, "application/json", problem.body(), {**_headers(record), **(headers or {})})


def _headers(record: Record) -> dict[str, str]:
    return {**HEADERS, "X-Cold-Start": str(record.cold_start).lower()}


def _plain(response: Response) -> dict[str, Any]:
    """A response for an event that the router cannot take."""
    return {
        "statusCode": response.status_code,
        "headers": response.headers,
        "body": json.dumps(response.body),
        "isBase64Encoded": False,
    }


def _report(record: Record, event: Any, status: int, defect: Exception | None) -> None:
    """One log line and the metrics of one request. No picture, no query string, no header, no credential."""
    event = event if isinstance(event, dict) else {}
    request_context = event.get("requestContext")
    total = round((time.monotonic() - record.started) * 1000, 1)
    code = record.fields.setdefault("code", "ok")
    line = {
        "api_request_id": request_context.get("requestId") if isinstance(request_context, dict) else None,
        "method": str(event.get("httpMethod"))[:16],
        "path": str(event.get("path"))[:80],
        "status": status,
        **record.fields,
        "ms": {**record.stages, "total": total},
    }
    logger.log(40 if defect else 30 if status >= 500 else 20, "request", extra=line, exc_info=defect)
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, total)
    for stage, milliseconds in record.stages.items():
        metrics.add_metric(METRIC_NAMES[stage], MetricUnit.Milliseconds, milliseconds)
    # The endpoint's own failures: other people's hosts cause the other 5xx. As 0 or 1, so that the mean is a rate.
    metrics.add_metric("Faults", MetricUnit.Count, int(status in (500, 503)))
    if code != "ok":
        dimensions = {"service": SERVICE, "code": code}
        with single_metric("Errors", MetricUnit.Count, 1, namespace=NAMESPACE, default_dimensions=dimensions):
            pass  # printed on leaving

"""The Predict function: `GET /predict?url=…` and `POST /predict` behind API Gateway.

The handler is thin. Fetch, decode, prepare, predict and rank are functions of other modules; here is the HTTP contract,
the time limit, and what is logged and measured.
"""

import functools
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from . import decoder, fetching, model_store, predictor
from .errors import PredictionError, error, shown
from .limits import GATEWAY_SECONDS, TOP_DEFAULT, TOP_MAX
from .model_store import Model
from .request import Request

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "predict")  # the stack names its project
NAMESPACE = "ServerlessPredictions"
MAX_JSON_BYTES = 20_000  # a URL of the greatest length, escaped
RESERVE_SECONDS = 1.5  # kept back to answer in, and for what is under way when the limit comes
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METRIC_NAMES = {"load": "ModelLoadTime", "fetch": "FetchTime", "decode": "DecodeTime", "predict": "PredictTime"}

logger = Logger(service=SERVICE)
metrics = Metrics(namespace=NAMESPACE, service=SERVICE)

_decoder = decoder.SHARED  # it lives as long as the execution environment


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

    def refused(self, problem: PredictionError) -> None:
        """Note why the request was refused."""
        self.fields |= {"code": problem.code, "error": problem.message}
        if problem.detail:
            self.fields["detail"] = problem.detail


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
    status, headers, defect = 200, _headers(record), None
    try:
        if isinstance(event, dict) and event.get("isBase64Encoded") is True:
            _decoder.expect()
        body = respond(record, Request.of(event))
    except Exception as problem:
        refused = problem
        if not isinstance(problem, PredictionError):
            defect = problem
            refused = error("internal_error", "the function failed; the failure is in its log")
        record.refused(refused)
        status, body = refused.status, refused.body()
        headers |= {"Allow": "GET, POST"} if refused.code == "method_not_allowed" else {}
    _report(record, event, status, defect)
    text = json.dumps(body, separators=(",", ":"))
    return {"statusCode": status, "headers": headers, "body": text, "isBase64Encoded": False}


def respond(record: Record, request: Request) -> dict[str, Any]:
    """The body of the answer. Raises PredictionError for every request that is refused."""
    if request.path.rstrip("/") != "/predict":
        raise error("path_not_found", f"there is no {shown(request.path)} here: use /predict")
    if request.method == "GET":
        return predict_from_url(record, request)
    if request.method == "POST":
        return predict_from_body(record, request)
    raise error("method_not_allowed", f"{shown(request.method)} is not allowed on /predict: use GET or POST")


def predict_from_url(record: Record, request: Request) -> dict[str, Any]:
    """`GET /predict?url=<http(s) URL>&top=5`"""
    parameters = request.parameters({"url", "top"})
    if "url" not in parameters:
        raise error("parameter_missing", "the parameter url is missing: GET /predict?url=<address of an image>&top=5")
    top = _top(parameters.get("top"))
    return _answer(record, _fetched(record, parameters["url"]), top)


def predict_from_body(record: Record, request: Request) -> dict[str, Any]:
    """`POST /predict?top=5` with an image's bytes, or `POST /predict` with JSON `{"url": "…", "top": 5}`."""
    media_type = request.media_type
    if media_type == "application/json":
        request.parameters(set())
        url, top = _json_request(request.body(MAX_JSON_BYTES))
        return _answer(record, _fetched(record, url), top)
    if not media_type.startswith("image/") and media_type != "application/octet-stream":
        raise error(
            "media_type_not_supported",
            f"Content-Type {shown(media_type)} is not supported: send an image's bytes as image/* or "
            'application/octet-stream, or {"url": "…"} as application/json',
        )
    top = _top(request.parameters({"top"}).get("top"))
    data = request.body(fetching.MAX_BYTES)
    record.fields["source"] = "body"
    return _answer(record, data, top)


def _answer(record: Record, data: bytes, top: int) -> dict[str, Any]:
    record.fields["bytes"] = len(data)
    with record.stage("decode") as seconds:
        batch = _decoder.prepare(data, seconds)
    model = _loaded_model(record)
    with record.stage("predict"):
        predictions = predictor.rank(model.predictor.predict(batch), model.labels, top)
    return {
        "predictions": predictions,
        "model": {"name": model.name, "precision": model.precision, "sha256": model.sha256},
        "cold_start": record.cold_start,
        "timings_ms": {"fetch": 0.0, **record.stages},  # "load" where this request loaded the model
    }


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
    model = model_store.present_model()
    if model is None:
        with record.stage("load") as seconds:
            model = model_store.loaded_model(seconds)
    record.fields["model"] = {"name": model.name, "precision": model.precision, "sha256": model.sha256}
    return model


def _top(text: str | None) -> int:
    if text is None:
        return TOP_DEFAULT
    if not re.fullmatch("[0-9]{1,2}", text) or not 1 <= int(text) <= TOP_MAX:
        raise error("parameter_malformed", f"top is {shown(text)}: expected a whole number from 1 to {TOP_MAX}")
    return int(text)


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
    if type(top) is not int or not 1 <= top <= TOP_MAX:  # True is an int
        came = shown(json.dumps(top))
        raise error("parameter_malformed", f"top is {came}: expected a whole number from 1 to {TOP_MAX}")
    return url, top


def _headers(record: Record) -> dict[str, str]:
    return {**HEADERS, "X-Cold-Start": str(record.cold_start).lower()}


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

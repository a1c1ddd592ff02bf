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

from . import decoder, fetching, model_store, payload, predictor, snapshot
from .errors import PredictionError, error, shown
from .limits import GATEWAY_SECONDS
from .model_store import Model
from .request import Request, is_ping

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "predict")  # the stack names its project
NAMESPACE = "ServerlessPredictions"
VERSION = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
UNSURE = 0.5  # below this the best class is a guess
METHODS = ("GET", "POST")
# Whose pages may ask, besides the API's own: `*`, one origin, or nobody.
ALLOW_ORIGIN = os.environ.get("ALLOW_ORIGIN", "")
# Which headers such a page may send: those of a key or a signature, too, where the endpoint asks for one.
ALLOW_HEADERS = os.environ.get("ALLOW_HEADERS", "Content-Type")
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
        self.cold_start: bool | str = logger.get_current_keys()["cold_start"]
        if self.cold_start and snapshot.is_taken():
            self.cold_start = snapshot.RESTORED
            logger.append_keys(cold_start=self.cold_start)
        self.stages: dict[str, float] = {}  # milliseconds
        self.fields: dict[str, Any] = {}
        self.request: Request | None = None  # none where the event is no request
        context_of = event.get("requestContext") if isinstance(event, dict) else None
        self.request_id = context_of.get("requestId") if isinstance(context_of, dict) else None

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
    context = context if isinstance(context, dict) else {}
    received = context.get("requestTimeEpoch", context.get("timeEpoch"))  # of a REST API, of an HTTP API
    seconds = now - received / 1000 if isinstance(received, int | float) and not isinstance(received, bool) else 0.0
    return seconds if 0 <= seconds <= GATEWAY_SECONDS else 0.0


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway, a function URL or a load balancer; every answer is JSON of the contract.

    An event that only keeps the environment warm is answered at once, and neither logged nor counted as a request.
    """
    if is_ping(event):
        metrics.add_metric("WarmUps", MetricUnit.Count, 1)
        return {"warm": True}
    record = Record(event, context)
    status, headers, body, defect = 200, _headers(record), None, None
    try:
        if isinstance(event, dict) and event.get("isBase64Encoded") is True:
            _decoder.expect()
        record.request = Request.of(event)
        body = respond(record, record.request)
        status = 200 if body else 204
    except Exception as problem:
        if isinstance(problem, PredictionError):
            refused = problem
        else:
            defect = problem
            refused = error("internal_error", "the function failed; the failure is in its log")
        record.refused(refused)
        status, body = refused.status, refused.body()
        headers |= {"Allow": ", ".join(METHODS)} if refused.code == "method_not_allowed" else {}
    _report(record, status, defect)
    text = json.dumps(body, separators=(",", ":")) if body else ""
    answer: dict[str, Any] = {"statusCode": status, "headers": headers, "body": text, "isBase64Encoded": False}
    if record.request and record.request.wants_lists:
        answer["multiValueHeaders"] = {name: [value] for name, value in answer.pop("headers").items()}
    return answer


def respond(record: Record, request: Request) -> dict[str, Any] | None:
    """The body of the answer; None for a browser's preflight. Raises PredictionError for a request that is refused."""
    if request.path.rstrip("/") != "/predict":
        raise error("path_not_found", f"there is no {shown(request.path)} here: use /predict")
    if request.method == "OPTIONS" and ALLOW_ORIGIN:
        return None
    if request.method not in METHODS:
        raise error("method_not_allowed", f"{shown(request.method)} is not allowed on /predict: use GET or POST")
    asked = _in_query(request) if request.method == "GET" else payload.read(request)
    return _answer(record, _image(record, asked), asked.top)


def _in_query(request: Request) -> payload.Asked:
    """`GET /predict?url=<http(s) URL>&top=5`"""
    parameters = request.parameters({"url", "top"})
    if "url" not in parameters:
        raise error("parameter_missing", "the parameter url is missing: GET /predict?url=<address of an image>&top=5")
    return payload.Asked(payload.parse_top(parameters.get("top")), url=parameters["url"])


def _answer(record: Record, data: bytes, top: int) -> dict[str, Any]:
    record.fields["bytes"] = len(data)
    with record.stage("decode") as seconds:
        fitting = model_store.expected_fitting(seconds)
        made = _decoder.prepare(data, seconds, fitting)
    record.fields |= made.said
    model = _loaded_model(record)
    if model.description.fitting != fitting:  # which could not be known before
        with record.stage("decode") as seconds:
            made = _decoder.prepare(data, seconds, model.description.fitting)
    with record.stage("predict"):
        outputs = model.predictor.run(made.batch)
        predictions = predictor.rank(outputs[0], model.labels, top)
        verdict = model.description.verdict(outputs)
    record.fields |= verdict
    record.fields["best"] = round(predictions[0]["probability"], 4)
    return {
        "predictions": predictions,
        **verdict,
        "model": model.told,
        "cold_start": record.cold_start,
        "timings_ms": {"fetch": 0.0, **record.stages},  # "load" where this request loaded the model
        **made.said,
    }


def _image(record: Record, asked: payload.Asked) -> bytes:
    """The image's bytes: out of the body, or fetched."""
    if asked.url is None:
        record.fields["source"] = "body"
        return asked.data or b""
    record.fields["source"] = "url"
    with record.stage("fetch") as seconds:
        return fetching.fetch(
            asked.url,
            max_seconds=min(seconds, fetching.MAX_SECONDS),
            allowed=_allowed_hosts(os.environ.get("ALLOWED_PRIVATE_HOSTS", "")),
            contact=_contact(os.environ.get("CONTACT_URL") or fetching.CONTACT_URL),
        )


@functools.lru_cache(maxsize=1)
def _allowed_hosts(text: str) -> fetching.AllowedHosts:
    try:
        return fetching.AllowedHosts.parse(text)
    except ValueError as problem:
        raise error("misconfigured", str(problem)) from None


def _contact(text: str) -> str:
    if not re.fullmatch(r"[!-'*-~]{1,200}", text):  # it goes into a header, in brackets
        raise error("misconfigured", "CONTACT_URL is no address of printable ASCII, without blanks and round brackets")
    return text


def _loaded_model(record: Record) -> Model:
    """The model, loaded by the first request that needs it. A failure leaves nothing behind: the next tries again."""
    model = model_store.present_model()
    if model is None:
        with record.stage("load") as seconds:
            model = model_store.loaded_model(seconds)
    record.fields["model"] = {"name": model.name, "precision": model.precision, "sha256": model.sha256}
    return model


def _headers(record: Record) -> dict[str, str]:
    headers = {**HEADERS, "X-Cold-Start": str(record.cold_start).lower(), "X-Version": VERSION}
    if ALLOW_ORIGIN:  # https://fetch.spec.whatwg.org/#http-cors-protocol
        headers |= {
            "Access-Control-Allow-Origin": ALLOW_ORIGIN,
            "Access-Control-Allow-Methods": ", ".join(METHODS),
            "Access-Control-Allow-Headers": ALLOW_HEADERS,
            "Access-Control-Expose-Headers": "X-Cold-Start, X-Version, Retry-After",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        }
    return headers


def _report(record: Record, status: int, defect: Exception | None) -> None:
    """One log line and the metrics of one request. No picture, no query string, no header, no credential."""
    total = round((time.monotonic() - record.started) * 1000, 1)
    code = record.fields.setdefault("code", "ok")
    line = {
        "api_request_id": record.request_id,
        "method": record.request.method[:16] if record.request else None,
        "path": record.request.path[:80] if record.request else None,
        "status": status,
        "version": VERSION,
        **record.fields,
        "ms": {**record.stages, "total": total},
    }
    level = 40 if defect else 30 if status >= 500 else 20
    logger.log(level, "request", extra=line, exc_info=defect)  # type: ignore[attr-defined]  # logging's: not in the stubs
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, total)
    for stage, milliseconds in record.stages.items():
        metrics.add_metric(METRIC_NAMES[stage], MetricUnit.Milliseconds, milliseconds)
    if "known" in record.fields:  # as 0 or 1, so that the mean is the share: it grows when other pictures come
        metrics.add_metric("Unknown", MetricUnit.Count, int(not record.fields["known"]))
    # The endpoint's own failures: other people's hosts cause the other 5xx. As 0 or 1, so that the mean is a rate.
    metrics.add_metric("Faults", MetricUnit.Count, int(status in (500, 503)))
    if "best" in record.fields:
        metrics.add_metric("Unsure", MetricUnit.Count, int(record.fields["best"] < UNSURE))
    if code != "ok":
        dimensions = {"service": SERVICE, "code": code}
        with single_metric("Errors", MetricUnit.Count, 1, namespace=NAMESPACE, default_dimensions=dimensions):
            pass  # printed on leaving

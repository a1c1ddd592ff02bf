"""The Predict function: `GET /predict?url=…` and `POST /predict` behind API Gateway.

The handler is thin. Fetch, decode, prepare, predict and rank are functions of other modules; here is the HTTP contract,
the time limit, and what is logged and measured.
"""

import functools
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from . import decoder, fetching, model_store, payload, predictor, several, snapshot
from .errors import PredictionError, failure, shown
from .limits import GATEWAY_SECONDS
from .model_store import Model
from .request import Request, is_ping
from .room import Room

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
        self.each: dict[str, list[float]] = {}  # of several images: the milliseconds of each one
        self.seen: list[dict[str, Any]] = []  # `_seen` of each image
        self.codes: Counter[str] = Counter()
        self.fields: dict[str, Any] = {}
        self.request: Request | None = None  # none where the event is no request
        context_of = event.get("requestContext") if isinstance(event, dict) else None
        self.request_id = context_of.get("requestId") if isinstance(context_of, dict) else None

    @contextmanager
    def stage(self, name: str) -> Iterator[float]:
        """Time a stage; yields the seconds that are left. Raises PredictionError 504 when there are none."""
        begun = time.monotonic()
        if begun >= self.deadline:
            raise failure(
                "time_limit",
                f"the request ran out of time before the stage {name!r}: try again, or send a smaller image",
            )
        try:
            yield self.deadline - begun
        finally:
            self.stages[name] = round((time.monotonic() - begun) * 1000, 1)

    def refused(self, problem: PredictionError) -> None:
        """Note why the request was refused."""
        self.codes[problem.code] += 1
        self.fields |= _noted(problem)

    def refused_one(self, place: int, problem: PredictionError) -> None:
        """Note why one of several images has no predictions."""
        self.codes[problem.code] += 1
        self.fields.setdefault("errors", []).append({"place": place, **_noted(problem)})


def _noted(problem: PredictionError) -> dict[str, str]:
    return {"code": problem.code, "error": problem.message} | ({"detail": problem.detail} if problem.detail else {})


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
            refused = failure(
                "internal_error", "the function failed: try another image, and tell its owner, whose log has the error"
            )
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
        raise failure("path_not_found", f"there is no {shown(request.path)} here: use /predict")
    if request.method == "OPTIONS" and ALLOW_ORIGIN:
        return None
    if request.method not in METHODS:
        raise failure("method_not_allowed", f"{shown(request.method)} is not allowed on /predict: use GET or POST")
    asked = _in_query(request) if request.method == "GET" else payload.read(request)
    if asked.urls:
        return _answers(record, asked.urls, asked.top)
    return _answer(record, _image(record, asked), asked.top)


def _in_query(request: Request) -> payload.Asked:
    """`GET /predict?url=<http(s) URL>&top=5`"""
    parameters = request.parameters({"url", "top"})
    if "url" not in parameters:
        raise failure("parameter_missing", "the parameter url is missing: GET /predict?url=<URL of an image>&top=5")
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
        seen = _seen(record, model, made, top)
    record.fields |= {name: value for name, value in seen.items() if name != "predictions"}
    record.fields["best"] = _best(seen)
    return {
        **seen,
        "model": model.told,
        "cold_start": record.cold_start,
        "timings_ms": {"fetch": 0.0, **record.stages},  # "load" where this request loaded the model
        **made.said,
    }


def _answers(record: Record, urls: tuple[str, ...], top: int) -> dict[str, Any]:
    """Of several images, in the order of `urls`, each one's own answer or error; what is true of all is told once."""
    record.fields |= {"source": "urls", "images": len(urls)}
    model = model_store.verified(_loaded_model(record))
    record.each = {"fetch": [], "decode": [], "predict": []}
    with record.stage("fetch") as seconds:
        fetch = _fetcher(seconds, Room(several.MAX_BYTES))
    results: list[dict[str, Any]] = [{}] * len(urls)
    for done, image in enumerate(several.fetched(urls, fetch)):
        timings = {"fetch": image.milliseconds, "decode": 0.0, "predict": 0.0}
        try:
            results[image.place] = _one_of_several(record, model, image, top, len(urls) - done, timings)
        except PredictionError as problem:
            record.refused_one(image.place, problem)
            results[image.place] = problem.body()
        for stage, milliseconds in timings.items():
            record.each[stage] += [milliseconds] * (milliseconds > 0)
    record.fields |= {"answered": len(record.seen), "failed": len(urls) - len(record.seen)}
    # The images are fetched at the same time, and decoded and predicted one after another.
    record.stages["fetch"] = max(record.each["fetch"], default=0.0)
    record.stages |= {stage: round(sum(record.each[stage]), 1) for stage in ("decode", "predict")}
    return {
        "results": results,
        "model": model.told,
        "cold_start": record.cold_start,
        "timings_ms": record.stages,
    }


def _one_of_several(
    record: Record, model: Model, image: several.Fetched, top: int, waiting: int, timings: dict[str, float]
) -> dict[str, Any]:
    """The answer for one of `waiting` images; writes into `timings`. Raises PredictionError for this image alone."""
    if isinstance(image.data, PredictionError):
        raise image.data
    record.fields["bytes"] = record.fields.get("bytes", 0) + len(image.data)
    seconds, begun = several.decode_seconds(record.deadline, waiting), time.monotonic()
    try:
        made = _decoder.prepare(image.data, seconds, model.description.fitting)
    finally:
        decoded = time.monotonic()
        timings["decode"] = round((decoded - begun) * 1000, 1)
    seen = _seen(record, model, made, top)
    timings["predict"] = round((time.monotonic() - decoded) * 1000, 1)
    return {**seen, "timings_ms": timings, **made.said}


def _seen(record: Record, model: Model, made: decoder.Prepared, top: int) -> dict[str, Any]:
    """The classes of one image, and whether the model knows the like of it."""
    outputs = model.predictor.run(made.batch)
    model_store.verified(model)
    seen = {"predictions": predictor.rank(outputs[0], model.labels, top), **model.description.verdict(outputs)}
    record.seen.append(seen)
    return seen


def _best(seen: dict[str, Any]) -> float:
    return round(seen["predictions"][0]["probability"], 4)


def _image(record: Record, asked: payload.Asked) -> bytes:
    """The image's bytes: out of the body, or fetched."""
    if asked.url is None:
        record.fields["source"] = "body"
        return asked.data or b""
    record.fields["source"] = "url"
    with record.stage("fetch") as seconds:
        return _fetcher(seconds)(asked.url)


def _fetcher(seconds: float, room: Room | None = None) -> Callable[[str], bytes]:
    """`fetching.fetch` with the function's settings. Raises PredictionError 503 where they are malformed."""
    return functools.partial(
        fetching.fetch,
        max_seconds=min(seconds, fetching.MAX_SECONDS),
        allowed=_allowed_hosts(os.environ.get("ALLOWED_PRIVATE_HOSTS", "")),
        contact=_contact(os.environ.get("CONTACT_URL") or fetching.CONTACT_URL),
        room=room,
    )


@functools.lru_cache(maxsize=1)
def _allowed_hosts(text: str) -> fetching.AllowedHosts:
    try:
        return fetching.AllowedHosts.parse(text)
    except ValueError as problem:
        raise failure("misconfigured", str(problem)) from None


def _contact(text: str) -> str:
    if not re.fullmatch(r"[!-'*-~]{1,200}", text):  # it goes into a header, in brackets
        raise failure(
            "misconfigured",
            "CONTACT_URL must be printable ASCII without blanks and brackets: deploy with another ContactUrl",
        )
    return text


def _loaded_model(record: Record) -> Model:
    """The model, loaded by the first request that needs it, and verified before it is told what it says.

    A failure leaves nothing behind: the next request tries again.
    """
    model = model_store.present_model()
    if model is None:
        with record.stage("load") as seconds:
            model = model_store.bound_model(seconds)
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
    record.fields.setdefault("code", "ok")
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
        for value in record.each.get(stage, [milliseconds]):
            metrics.add_metric(METRIC_NAMES[stage], MetricUnit.Milliseconds, value)
    for seen in record.seen:  # as 0 or 1, so that the mean is the share
        if "known" in seen:  # which grows when other pictures come
            metrics.add_metric("Unknown", MetricUnit.Count, int(not seen["known"]))
        metrics.add_metric("Unsure", MetricUnit.Count, int(_best(seen) < UNSURE))
    # The endpoint's own failures: other people's hosts cause the other 5xx. As 0 or 1, so that the mean is a rate.
    metrics.add_metric("Faults", MetricUnit.Count, int(status in (500, 503)))
    for code, count in record.codes.items():
        dimensions = {"service": SERVICE, "code": code}
        with single_metric("Errors", MetricUnit.Count, count, namespace=NAMESPACE, default_dimensions=dimensions):
            pass  # printed on leaving

"""What a caller of the endpoint needs: where it is, a picture it can fetch, the log of what it did."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests

from predict.model_files import SYNSET
from workshop import access
from workshop.lab import Lab, LabError, patience
from workshop.samples import sample_path

STAGE = "Prod"
ALIAS = "live"  # names the version of Predict that the API calls (template.yml, AutoPublishAlias)
BY_HAND = "made by hand"  # begins the description of a version that no deployment published
REPORT = re.compile(r"REPORT RequestId: (?P<id>\S+)\s.*?Billed Duration: (?P<ms>\d+) ms")


def _api_url(lab: Lab, output: str, path: str) -> str:
    outputs = lab.outputs(lab.app_stack)
    if lab.target == "aws":
        return outputs[output]
    # The emulator serves every API at its own address, below a path that names the API and the stage.
    return f"{lab.endpoint_url}/restapis/{outputs['Api']}/{STAGE}/_user_request_/{path}"


def predict_url(lab: Lab) -> str:
    """The URL of `GET` and `POST /predict`. Raises LabError when the stack is not deployed."""
    return _api_url(lab, "PredictUrl", "predict")


def hello_url(lab: Lab) -> str:
    """The URL of the API's front page. Raises LabError when the stack is not deployed."""
    return _api_url(lab, "HelloUrl", "")


def endpoint(lab: Lab) -> access.Endpoint:
    """The URL of `/predict`, and what a request to it must carry. Raises LabError when the stack is not deployed."""
    return access.Endpoint(predict_url(lab), auth(lab))


def auth(lab: Lab, wait: float = 60.0) -> access.Auth | None:
    """What requests and httpx take as `auth`: None, the lab's own API key, or a signature of the lab's credentials.

    The key is made when there is none. API Gateway takes a new key after some seconds: asks with it until then. Raises
    TimeoutError after `wait` s, and LabError when the stack is not deployed.
    """
    url, mode = predict_url(lab), access.mode(lab)
    if mode == "none":
        return None
    if mode == "iam":
        return access.signed(lab)
    value, is_new = access.own_key(lab)
    keyed, deadline = access.Keyed(value), time.monotonic() + wait
    while is_new and requests.get(url, auth=keyed, timeout=60).status_code == 403:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the endpoint does not take the lab's new key after {wait:.0f} s")
        time.sleep(0.5)
    return keyed


def labels(lab: Lab) -> list[str]:
    """The classes of the model that answers, in the order of its outputs: one line of its synset each.

    Raises LabError when the stack is not deployed.
    """
    asked = {"FunctionName": predict_function(lab), "Qualifier": ALIAS}
    variables = lab.client("lambda").get_function_configuration(**asked)["Environment"]["Variables"]
    store, key = lab.outputs(lab.app_stack)["ModelStoreBucket"], f"{variables['MODEL_STORE_PREFIX']}/{SYNSET}"
    synset = lab.client("s3").get_object(Bucket=store, Key=key)["Body"].read().decode()
    return [line.strip() for line in synset.splitlines() if line.strip()]


@contextmanager
def lent_sample(lab: Lab, name: str, seconds: int = 300) -> Iterator[str]:
    """Put a sample into the model store for a while and yield a presigned URL that reads it for `seconds`."""
    store, key = lab.outputs(lab.app_stack)["ModelStoreBucket"], f"samples/{uuid4().hex}.jpg"
    s3 = lab.client(
        "s3", signature_version="s3v4", s3={"addressing_style": "virtual" if lab.target == "aws" else "path"}
    )
    version = s3.put_object(Bucket=store, Key=key, Body=sample_path(name).read_bytes(), ContentType="image/jpeg")[
        "VersionId"
    ]
    try:
        yield s3.generate_presigned_url("get_object", Params={"Bucket": store, "Key": key}, ExpiresIn=seconds)
    finally:
        s3.delete_object(Bucket=store, Key=key, VersionId=version)


def predict_sample(lab: Lab, name: str = "golf_ball", top: int = 5) -> dict:
    """One prediction by URL of a sample. Raises requests.HTTPError, in the endpoint's own words, when refused."""
    return timed_sample(lab, name, top)[0]


def timed_sample(lab: Lab, name: str = "golf_ball", top: int = 5) -> tuple[dict, float]:
    """As `predict_sample`, and the seconds from the request until the answer."""
    with lent_sample(lab, name) as url:
        query: dict[str, str | int] = {"url": url, "top": top}
        answer = _checked(requests.get(predict_url(lab), params=query, auth=auth(lab), timeout=60))
    return answer.json(), answer.elapsed.total_seconds()


def _checked(answer: requests.Response) -> requests.Response:
    if not answer.ok:
        raise requests.HTTPError(f"{answer.status_code}: {answer.text}", response=answer)
    return answer


@dataclass(frozen=True)
class Trace:
    """One request as its two ends saw it: the client's `seconds`, the `answer`, and the function's `log` line of it."""

    seconds: float
    answer: dict
    log: dict

    @property
    def path(self) -> dict[str, float]:
        """Where the time went, ms: `way` (outside of the function's handler: the network, API Gateway and, in a cold
        start, the environment's own), the handler's stages (`load` in a cold start alone) and its `rest`.
        """
        stages = {name: ms for name, ms in self.log["ms"].items() if name != "total"}
        inside = self.log["ms"]["total"]
        return {"way": self.seconds * 1000 - inside, **stages, "rest": inside - sum(stages.values())}


def traced(lab: Lab, picture_url: str, count: int, wait: float = 60.0) -> list[Trace]:
    """Ask for one picture `count` times, one request after the other, and find the log line of each.

    Raises requests.HTTPError, in the endpoint's own words, when refused, and TimeoutError when the lines are not there
    after `wait` s.
    """
    url, own, since, asked = predict_url(lab), auth(lab), time.time() - 1, []
    for _ in range(count):
        begin = time.perf_counter()
        answer = requests.get(url, params={"url": picture_url}, auth=own, timeout=60)
        asked.append((time.perf_counter() - begin, _checked(answer).json()))
    # A line and its answer tell the same stages, to the tenth of a millisecond.
    stages = [_stages(answer["timings_ms"]) for _, answer in asked]

    def ours(messages: list[str]) -> list[dict]:
        return [line for line in _requests(messages) if _stages(line["ms"]) in stages]

    lines = {_stages(line["ms"]): line for line in _logged(lab, since, wait, ours, count)}
    return [Trace(seconds, answer, lines[each]) for (seconds, answer), each in zip(asked, stages, strict=True)]


def _stages(timings: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((name, ms) for name, ms in timings.items() if name != "total"))


def predict_function(lab: Lab) -> str:
    """The name of the function Predict. Raises LabError when the stack is not deployed."""
    name = lab.outputs(lab.app_stack).get("PredictFunction")
    if name is None:  # its first change set is made and not executed
        raise LabError(f"stack {lab.app_stack!r} has no function yet: run notebook 05, or `make deploy`")
    return name


def reconfigure(lab: Lab, **settings: Any) -> None:
    """Give Predict other settings (as `update_function_configuration` takes them), and let a version of them answer.

    A version that this made before, and that answered until now, is removed.
    """
    functions, name = lab.client("lambda"), predict_function(lab)
    functions.update_function_configuration(FunctionName=name, **settings)
    ready = patience(functions, 300)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=ready)
    before = functions.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"]
    version = functions.publish_version(FunctionName=name, Description=f"{BY_HAND}: {', '.join(settings)}")["Version"]
    functions.get_waiter("function_active_v2").wait(FunctionName=name, Qualifier=version, WaiterConfig=ready)
    functions.update_alias(
        FunctionName=name, Name=ALIAS, FunctionVersion=version, RoutingConfig={"AdditionalVersionWeights": {}}
    )
    if before not in (version, "$LATEST"):
        left = functions.get_function_configuration(FunctionName=name, Qualifier=before)
        if left.get("Description", "").startswith(BY_HAND):
            functions.delete_function(FunctionName=name, Qualifier=before)


def force_cold_start(lab: Lab) -> None:
    """Make Lambda start new environments of Predict, by a variable of no other use, and wait until that is in force.

    The settings are those of the newest version, the model among them, whichever version answered before.
    """
    functions, name = lab.client("lambda"), predict_function(lab)
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables["STARTED_ANEW_AT"] = str(time.time_ns())
    reconfigure(lab, Environment={"Variables": variables})


def request_log(lab: Lab, since: float, wait: float = 60.0) -> list[dict]:
    """The function's own log lines, one JSON object per request answered since `since` (Unix time, s), oldest first.

    CloudWatch takes some seconds to show a line: asks again until there is one. Raises TimeoutError after `wait` s.
    """
    return _logged(lab, since, wait, _requests, 1)


def billed_ms(lab: Lab, since: float, count: int, wait: float = 60.0) -> tuple[list[int], list[int]]:
    """The billed durations (ms) of the invocations since `since` (Unix time, s): of cold ones and of warm ones.

    From Lambda's REPORT lines, told apart by the function's own line of the same invocation. Asks again until there are
    `count` of them. Raises TimeoutError after `wait` s.
    """
    pairs = _logged(lab, since, wait, _reports, count)
    return [ms for ms, cold in pairs if cold], [ms for ms, cold in pairs if not cold]


def _logged(lab: Lab, since: float, wait: float, read: Callable[[list[str]], list], count: int) -> list:
    logs, group = lab.client("logs"), f"/aws/lambda/{lab.project_id}-predict"
    deadline = time.monotonic() + wait
    while True:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=int(since * 1000))
        found = read([event["message"].strip() for page in pages for event in page["events"]])
        if len(found) >= count:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} of {count} requests' lines in the log group {group} after {wait:.0f} s")
        time.sleep(0.5)


def _requests(messages: list[str]) -> list[dict]:
    lines = [json.loads(message) for message in messages if message.startswith("{")]
    return [line for line in lines if line.get("message") == "request"]


def _reports(messages: list[str]) -> list[tuple[int, bool]]:
    cold = {line["function_request_id"]: line["cold_start"] for line in _requests(messages)}
    found = [REPORT.match(message) for message in messages]
    return [(int(match["ms"]), cold[match["id"]]) for match in found if match and match["id"] in cold]

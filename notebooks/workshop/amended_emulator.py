"""MiniStack with eight amendments, without which parts of the lab would not be here as they are on AWS.

- It keeps the weights of an alias, and sends all requests to one version: here they follow the weights.
  https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
- It keeps a function's reserved concurrency for the function alone: here it holds for its versions and aliases too.
  https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
- It leaves out the gateway responses of an API's OpenAPI text: here the API has them.
  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.html
- It gives the SAM transform no parameters: here the transform sees those of the stack, as on AWS.
- It runs SnapStart's hooks and does not tell the function that it is in a snapshot: here the variable says so.
  https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
- It keeps the text that a template's parameter is, where a mapping's number of batches at once is one: its poller fails
  then. CloudFormation makes it a number.
- It ignores a Distributed Map's ItemBatcher, and hands out one item at a time: here a worker gets a batch.
  https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html
- It unpacks a function's package for each environment, 240 MB for Predict: here it does so once for each package.

The Python of the emulator's own environment runs this file, where nothing else of the lab is.
"""

import contextvars
import hashlib
import os
import random
import shutil
import sys
import tempfile
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

from ministack import app  # type: ignore[import-not-found]
from ministack.core import lambda_runtime  # type: ignore[import-not-found]
from ministack.services import apigateway_v1, lambda_svc, stepfunctions  # type: ignore[import-not-found]
from ministack.services.cloudformation import changesets, engine, handlers  # type: ignore[import-not-found]
from samtranslator.translator import transform

_parameters: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("parameters")


def drawn(function: dict[str, Any] | None, qualifier: str | None) -> str | None:
    """The version that a request to an alias with weights goes to; the qualifier itself where there are none."""
    alias = (function or {}).get("aliases", {}).get(qualifier or "", {})
    at = random.random()
    for version, weight in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}).items():
        if at < weight:
            return version
        at -= weight
    return qualifier


def follow_weights() -> None:
    """Let API Gateway's requests and direct invocations draw a version."""
    resolve, invoke = lambda_svc._effective_func_record_for_qualifier, lambda_svc._invoke

    async def weighted_invoke(
        name: str, event: Any, headers: Any, path_qualifier: str | None = None, query: Any = None
    ) -> Any:
        asked = path_qualifier or lambda_svc._qp_first(query or {}, "Qualifier") or None
        return await invoke(name, event, headers, drawn(lambda_svc._functions.get(name), asked), query)

    lambda_svc._effective_func_record_for_qualifier = lambda function, asked: resolve(function, drawn(function, asked))
    lambda_svc._invoke = weighted_invoke


def share_concurrency() -> None:
    """Let a function's reserved concurrency hold for whatever version of it runs."""
    reserved = lambda_svc._reserved_concurrency

    def shared(function: dict[str, Any] | None, config: dict[str, Any]) -> int | None:
        return reserved(lambda_svc._functions.get(config.get("FunctionName"), function), config)

    lambda_svc._reserved_concurrency = shared


def take_gateway_responses() -> None:
    """Let an API answer its own errors as the text says that it is made from."""
    make = apigateway_v1._import_rest_api

    def made(spec: dict[str, Any], base: Any = None) -> str:
        api = make(spec, base)
        for kind, response in spec.get("x-amazon-apigateway-gateway-responses", {}).items():
            apigateway_v1._put_gateway_response(api, kind, response)
        return api

    apigateway_v1._import_rest_api = made


def hand_on_parameters() -> None:
    """Let the SAM transform see the parameters of the stack that it is applied for."""
    apply, expand = engine._apply_transforms, transform.transform

    def applied(template: dict, provided: Any = None, previous: Any = None) -> Any:
        token = _parameters.set(engine._transform_parameters(template, provided, previous))
        try:
            return apply(template, provided, previous)
        finally:
            _parameters.reset(token)

    for module in (engine, changesets, handlers):
        module._apply_transforms = applied
    transform.transform = lambda template, _none, policies: expand(template, _parameters.get({}), policies)


def tell_of_snapshots() -> None:
    """Set AWS_LAMBDA_INITIALIZATION_TYPE for the environments of a version that has a snapshot."""
    credentials = lambda_runtime.execution_credentials

    def with_the_kind(config: dict[str, Any]) -> dict[str, str]:
        # The worker's own variables come last: this is the one place where they can be added to.
        taken = (config.get("SnapStart") or {}).get("OptimizationStatus") == "On"
        kind = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"} if taken else {}
        return credentials(config) | kind

    lambda_runtime.execution_credentials = with_the_kind


def count_batches() -> None:
    """Let a queue's mapping have its number of batches at once as text, as `!Ref` of a parameter is."""
    at_once = lambda_svc._sqs_esm_concurrency

    def counted(mapping: dict[str, Any], *rest: Any) -> int:
        scaling = mapping.get("ScalingConfig") or {}
        numbers = {name: int(value) for name, value in scaling.items()}
        return at_once({**mapping, "ScalingConfig": numbers}, *rest)

    lambda_svc._sqs_esm_concurrency = counted


def hand_out_batches() -> None:
    """Let a Distributed Map hand its items out in batches, each the input `{"Items": […]}` of an execution."""
    run = stepfunctions._run_distributed_map

    def batched(state: dict[str, Any], raw: Any, given: Any, iterator: Any, execution: Any, context: Any) -> Any:
        most = (state.get("ItemBatcher") or {}).get("MaxItemsPerBatch")
        if not most:
            return run(state, raw, given, iterator, execution, context)
        items = stepfunctions._read_map_items(state["ItemReader"], given, context)
        if selector := state.get("ItemSelector"):
            places = ({**context, "Map": {"Item": {"Index": at, "Value": item}}} for at, item in enumerate(items))
            items = [stepfunctions._resolve_params_obj(selector, given, place) for place in places]
        batches = [{"Items": items[start : start + most]} for start in range(0, len(items), most)]
        rest = {name: value for name, value in state.items() if name not in ("ItemReader", "ItemSelector")}
        return run({**rest, "ItemsPath": "$"}, raw, batches, iterator, execution, context)

    stepfunctions._run_distributed_map = batched


class Package(zipfile.ZipFile):
    """A function's package: unpacked once, and linked into the folder of each environment."""

    kept = Path(tempfile.gettempdir()) / "packages"
    _alone = threading.Lock()

    def extractall(self, path: Any = None, members: Any = None, pwd: Any = None) -> None:
        """Unpack everything into the folder `path`. Files are links, folders are the environment's own."""
        with Path(str(self.filename)).open("rb") as file:
            unpacked = self.kept / hashlib.file_digest(file, "sha256").hexdigest()
        with self._alone:
            if not unpacked.exists():
                for other in self.kept.glob("*"):
                    if not _is_in_use(other):
                        shutil.rmtree(other)
                half = unpacked.with_suffix(".part")
                super().extractall(half, members, pwd)
                half.rename(unpacked)
            shutil.copytree(unpacked, path, copy_function=os.link, dirs_exist_ok=True)


def _is_in_use(unpacked: Path) -> bool:
    """Whether an environment has links to a package's files."""
    return any(file.stat().st_nlink > 1 for file in unpacked.rglob("*") if file.is_file())


def unpack_once() -> None:
    """Let environments of the same package share its files, which they only read, as on AWS."""
    lambda_runtime.zipfile = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": Package})


if __name__ == "__main__":
    unpack_once()
    follow_weights()
    tell_of_snapshots()
    share_concurrency()
    take_gateway_responses()
    hand_on_parameters()
    count_batches()
    hand_out_batches()
    sys.exit(app.main())

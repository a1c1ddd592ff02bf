"""The HTTP contract as openapi.yml states it, for every test that looks at an answer."""

import functools
import json
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from workshop import ROOT

NO_OPERATION = {404: "PathNotFound", 405: "MethodNotAllowed"}  # what paths and methods that are not listed answer


@functools.cache
def document() -> dict[str, Any]:
    """openapi.yml."""
    return yaml.safe_load((ROOT / "openapi.yml").read_text())


@functools.cache
def resolved(reference: str) -> dict[str, Any]:
    """What a local reference (`#/components/…`) names."""
    found = document()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def whole(node: dict[str, Any]) -> dict[str, Any]:
    """A node, or the one that it refers to."""
    return resolved(node["$ref"]) if "$ref" in node else node


@functools.cache
def response(path: str, method: str, status: int) -> dict[str, Any]:
    """The response that `path` has for a method (lower case) and a status. Raises KeyError where there is none."""
    responses = document()["paths"].get(path, {}).get(method, {}).get("responses", {})
    if str(status) in responses:
        return whole(responses[str(status)])
    return document()["components"]["responses"][NO_OPERATION[status]]


def gateway_answers(api: dict[str, Any]) -> list[tuple[str, int, str, dict[str, Any]]]:
    """What API Gateway answers by itself: (type, status, body, headers), two of a type whose answer depends on Auth.

    `api`: the properties of template.yml's Api. SAM's GatewayResponses take no condition, the OpenAPI text does.
    """
    found = []
    for kind, answer in api["GatewayResponses"].items():
        (body,) = answer["ResponseTemplates"].values()
        found.append((kind, int(answer["StatusCode"]), body, answer["ResponseParameters"]["Headers"]))
    for kind, answer in api["DefinitionBody"]["x-amazon-apigateway-gateway-responses"].items():
        (body,) = answer["responseTemplates"].values()
        assert body["Fn::If"][0] == answer["statusCode"]["Fn::If"][0] == "IsSigned", kind
        for status, text in zip(answer["statusCode"]["Fn::If"][1:], body["Fn::If"][1:], strict=True):
            names = {name.rpartition(".")[2]: value for name, value in answer["responseParameters"].items()}
            found.append((kind, int(status), text, names))
    return found


def codes(response: dict[str, Any]) -> set[str]:
    """The error codes that a response may have."""
    _error, narrowed = response["content"]["application/json"]["schema"]["allOf"]
    return set(narrowed["properties"]["error"]["properties"]["code"]["enum"])


@functools.cache
def validator(schema: str) -> Draft202012Validator:
    """A validator of a schema, given as JSON, that may refer to openapi.yml's components."""
    return Draft202012Validator(json.loads(schema) | {"components": document()["components"]})


def problems(schema: dict[str, Any], instance: Any) -> list[str]:
    """What is wrong with an instance of a schema of openapi.yml."""
    checked = validator(json.dumps(schema))
    return [f"{fault.json_path}: {fault.message}" for fault in checked.iter_errors(instance)]


def no_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def violations(path: str, method: str, status: int, headers: dict[str, str], body: str) -> list[str]:
    """How an answer differs from the contract: an empty list where it does not.

    `headers` with their names as in openapi.yml. Every header of a response is expected but Retry-After, which
    comes with API Gateway's own answers.
    """
    try:
        stated = response(path, method, status)
    except KeyError:
        return [f"{method} {path} has no response {status}"]
    wrong = []
    for name, header in stated.get("headers", {}).items():
        if name not in headers:
            wrong += [f"the header {name} is missing"] if name != "Retry-After" else []
        else:
            wrong += [f"{name}: {problem}" for problem in problems(whole(header)["schema"], headers[name])]
    contents = stated.get("content", {})
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if contents and media_type not in contents:
        return [*wrong, f"the Content-Type is {media_type!r}, not one of {sorted(contents)}"]
    if media_type == "application/json" and contents:
        try:
            instance = json.loads(body, parse_constant=no_json)
        except ValueError as problem:
            return [*wrong, f"the body is not JSON: {problem}"]
        wrong += problems(contents[media_type]["schema"], instance)
    return wrong


def proxy_violations(path: str, event: Any, response: dict[str, Any]) -> list[str]:
    """`violations` of the answer that the function of `path` gives to an event of API Gateway's, or to what is none."""
    method = str(event.get("httpMethod")).lower() if isinstance(event, dict) else ""
    if method not in document()["paths"][path] and response["statusCode"] == 400:
        method = "get"  # what is no request at all is refused like a bad one
    headers = response.get("headers") or {name: values[0] for name, values in response["multiValueHeaders"].items()}
    return violations(path, method, response["statusCode"], headers, response["body"])

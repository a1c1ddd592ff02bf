"""A request as it reaches the function, whichever service of AWS stands in front of it."""

import binascii
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote_plus

import pybase64

from .errors import failure, shown

# What schedules and warm-up plug-ins send to keep an environment from being stopped.
_PINGS = ("aws.events", "aws.scheduler", "serverless-plugin-warmup")


class Request(NamedTuple):
    """What the function reads of a request; the rest of the event, it ignores.

    `path`: below the stage and below a custom domain's base path. `headers`: by name in lower case, of repeated ones
    the last. `query`: each parameter's values, decoded. `text`: the body, in base64 where `is_base64`.
    `wants_lists`: whether the answer's headers must be lists, as a load balancer with multi-value headers has them.
    """

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    text: str
    is_base64: bool
    wants_lists: bool = False

    @classmethod
    def of(cls, event: Any) -> "Request":
        """The request in an event of API Gateway (REST API or HTTP API), a function URL or a load balancer.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
        Raises PredictionError 400 for any other event.
        """
        event = event if isinstance(event, dict) else {}
        context = event.get("requestContext")
        context = context if isinstance(context, dict) else {}
        http = context.get("http")
        is_balancer = "elb" in context
        if event.get("version") == "2.0" and isinstance(http, dict):
            method, path, query = http.get("method"), _http_api_path(event, context), _raw_query(event)
        else:
            method, path, query = event.get("httpMethod"), _rest_path(event), _query(event, encoded=is_balancer)
        body = event.get("body")
        if not isinstance(method, str) or not isinstance(path, str) or not isinstance(body, str | None):
            raise failure(
                "request_malformed",
                "the event has an unknown form: send it through API Gateway, a function URL or a load balancer",
            )
        lists = event.get("multiValueHeaders")
        return cls(
            method=method,
            path=path,
            headers=_headers(event),
            query=query,
            text=body or "",
            is_base64=event.get("isBase64Encoded") is True,
            wants_lists=is_balancer and isinstance(lists, dict),
        )

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; "" where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def parameters(self, allowed: set[str]) -> dict[str, str]:
        """The query string's parameters. Raises PredictionError 400 for one that is unknown, repeated or empty."""
        found = {}
        for name, values in self.query.items():
            if name not in allowed:
                hint = f"allowed: {', '.join(sorted(allowed))}" if allowed else "none is allowed here"
                raise failure(
                    "parameter_unknown",
                    f"the parameter {shown(name)} is unknown ({hint}); percent-encode a URL that has parameters",
                )
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise failure("request_malformed", f"the parameter {name} is not text: expected one text")
            if len(values) > 1:
                raise failure("parameter_repeated", f"the parameter {name} is given {len(values)} times: give it once")
            if not values or not values[0]:
                raise failure("parameter_malformed", f"the parameter {name} is empty: give it a value")
            found[name] = values[0]
        return found

    def body(self, max_bytes: int) -> bytes:
        """The body. Raises PredictionError: 413 for more than `max_bytes`, 400 for an empty or malformed one."""
        if len(self.text) > max_bytes * 4 // 3 + 4:
            raise _too_large(max_bytes)
        try:
            data = pybase64.b64decode(self.text, validate=True) if self.is_base64 else self.text.encode("utf-8")
        except (binascii.Error, ValueError):  # ValueError: characters that are not ASCII, or lone surrogates
            raise failure(
                "request_malformed", "the request's body does not decode: send an image's bytes as they are"
            ) from None
        if len(data) > max_bytes:
            raise _too_large(max_bytes)
        if not data:
            message = 'the request\'s body is empty: does the file exist? Send an image\'s bytes, or JSON {"url": "…"}'
            raise failure("request_malformed", message)
        return data


def is_ping(event: Any) -> bool:
    """Whether the event only keeps the environment warm: a schedule's, or that of a warm-up plug-in."""
    if not isinstance(event, dict) or "requestContext" in event:
        return False
    return event.get("source") in _PINGS or event.get("warmer") is True


def _too_large(max_bytes: int) -> Exception:
    return failure(
        "image_too_large",
        f"the request's body has more than {max_bytes} bytes, which is all that Lambda takes: send a smaller image, or "
        "its URL as url",
    )


def _rest_path(event: dict) -> Any:
    # Below a custom domain the path begins with the base path; the resource that was matched does not.
    resource, path = event.get("resource"), event.get("path")
    if isinstance(resource, str) and isinstance(path, str) and resource[:1] == "/" != resource:
        return resource if path.rstrip("/").endswith(resource) else path
    return path


def _http_api_path(event: dict, context: dict) -> Any:
    route = event.get("routeKey")
    path = route.partition(" ")[2] if isinstance(route, str) else ""
    if path.startswith("/") and "{" not in path:
        return path
    path, stage = event.get("rawPath"), context.get("stage")
    if isinstance(path, str) and isinstance(stage, str) and stage != "$default":
        return path.removeprefix(f"/{stage}") or "/"
    return path


def _headers(event: dict) -> dict[str, str]:
    lists = _items(event, "multiValueHeaders")
    found = {name.lower(): values[-1] for name, values in lists if isinstance(values, list) and values}
    found |= {name.lower(): value for name, value in _items(event, "headers")}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _query(event: dict, encoded: bool) -> dict[str, list[str]]:
    found = {name: [value] for name, value in _items(event, "queryStringParameters")}
    found |= dict(_items(event, "multiValueQueryStringParameters"))
    if not encoded:
        return found
    return {
        unquote_plus(name): [unquote_plus(value) if isinstance(value, str) else value for value in values]
        if isinstance(values, list)
        else values
        for name, values in found.items()
    }


def _raw_query(event: dict) -> dict[str, list[str]]:
    raw = event.get("rawQueryString")
    try:
        return parse_qs(raw, keep_blank_values=True, max_num_fields=100) if isinstance(raw, str) else {}
    except ValueError:
        raise failure(
            "request_malformed", "the query string has more than 100 parameters: give url and top alone"
        ) from None


def _items(event: dict, key: str) -> list[tuple[str, Any]]:
    found = event.get(key)
    return [(name, value) for name, value in found.items() if isinstance(name, str)] if isinstance(found, dict) else []

"""A request of API Gateway, out of the event that Lambda is given."""

import binascii
from dataclasses import dataclass
from typing import Any

import pybase64

from .errors import error, shown


@dataclass(frozen=True)
class Request:
    """What the function reads of a request; the rest of the event, it ignores.

    `headers`: by name in lower case. `query`: each parameter's values, decoded. `text`: the body, in base64 where
    `is_base64`.
    """

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    text: str
    is_base64: bool

    @classmethod
    def of(cls, event: Any) -> "Request":
        """The request of a REST proxy event; each part must be of the type that API Gateway sends.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
        Raises PredictionError 400 for any other event.
        """
        event = event if isinstance(event, dict) else {}
        method, path, body = event.get("httpMethod"), event.get("path"), event.get("body")
        if not isinstance(method, str) or not isinstance(path, str) or not isinstance(body, str | None):
            raise error("request_malformed", "this function answers API Gateway's REST proxy events only")
        return cls(
            method,
            path,
            {name.lower(): value for name, value in _items(event, "headers") if isinstance(value, str)},
            {
                **{name: [value] for name, value in _items(event, "queryStringParameters")},
                **dict(_items(event, "multiValueQueryStringParameters")),
            },
            body or "",
            event.get("isBase64Encoded") is True,
        )

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def parameters(self, allowed: set[str]) -> dict[str, str]:
        """The query string's parameters. Raises PredictionError 400 for one that is unknown, repeated or empty."""
        found = {}
        for name, values in self.query.items():
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
            found[name] = values[0]
        return found

    def body(self, max_bytes: int) -> bytes:
        """The body. Raises PredictionError: 413 for more than `max_bytes`, 400 for an empty or malformed one."""
        if len(self.text) > max_bytes * 4 // 3 + 4:
            raise error("image_too_large", f"the request's body has more than {max_bytes} bytes")
        try:
            data = pybase64.b64decode(self.text, validate=True) if self.is_base64 else self.text.encode("utf-8")
        except (binascii.Error, ValueError):  # ValueError: characters that are not ASCII, or lone surrogates
            raise error("request_malformed", "the request's body does not decode") from None
        if len(data) > max_bytes:
            raise error("image_too_large", f"the request's body has more than {max_bytes} bytes")
        if not data:
            message = 'the request\'s body is empty: send an image\'s bytes, or JSON {"url": "…"}'
            raise error("request_malformed", message)
        return data


def _items(event: dict, key: str) -> list[tuple[str, Any]]:
    found = event.get(key)
    return [(name, value) for name, value in found.items() if isinstance(name, str)] if isinstance(found, dict) else []

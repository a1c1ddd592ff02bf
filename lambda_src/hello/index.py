"""HelloWorld: the front page. `GET /` is a page to a browser and JSON to everything else; `POST /` is JSON.

It needs nothing but Python, so it answers even where Predict cannot. The page is one document without any external
part: its style and script are inline, and its Content-Security-Policy names them by their SHA-256.
"""

import base64
import functools
import hashlib
import html
import json
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
METHODS = "GET, HEAD, POST"
AUTH = os.environ.get("AUTH", "none")  # who may ask /predict: `none` (everybody), `key` or `iam`
USAGE = {"none": "", "key": ", with your key in the header x-api-key", "iam": ", signed for execute-api (SigV4)"}
JSON_HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one request of API Gateway's REST proxy integration.

    `/` to GET, HEAD and POST; 405 to other methods there; 404 to every other path. Odd events count as an unknown path.
    """
    event = event if isinstance(event, dict) else {}
    method, path = event.get("httpMethod"), event.get("path")
    if (event.get("resource") or path) != "/":  # below a custom domain the path may begin with a mapping's own part
        return _json(404, _problem("path_not_found", f"there is no {_shown(path)} here: use / or /predict"))
    if method not in METHODS.split(", "):
        message = f"{_shown(method)} is not allowed on /: use GET or POST"
        return _json(405, _problem("method_not_allowed", message), {"Allow": METHODS})
    answer = _page() if method != "POST" and wants_html(event.get("headers")) else _json(200, _greeting())
    if method == "HEAD":
        answer["body"] = ""
    return answer


def wants_html(headers: Any) -> bool:
    """Whether the request's Accept header names text/html, as a browser's does and curl's `*/*` does not."""
    if not isinstance(headers, dict):
        return False
    accepted = ",".join(
        v for k, v in headers.items() if isinstance(k, str) and k.lower() == "accept" and isinstance(v, str)
    )
    for entry in accepted.lower().split(","):
        media_type, *parameters = (part.strip() for part in entry.split(";"))
        if media_type in ("text/html", "application/xhtml+xml"):
            return not any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for part in parameters)
    return False


@functools.cache
def page() -> tuple[str, dict[str, str]]:
    """The page as one document, and the headers that go with it; made once per execution environment."""
    style, script = ((HERE / name).read_text("utf-8") for name in ("page.css", "page.js"))
    document = (HERE / "page.html").read_text("utf-8")
    for mark, part in {
        '<link rel="stylesheet" href="page.css">': f"<style>{style}</style>",
        '<script src="page.js"></script>': f"<script>{script}</script>",
        '<html lang="en">': '<html lang="en">'
        if AUTH == "none"
        else f'<html lang="en" data-auth="{html.escape(AUTH)}">',
        "<!-- samples -->": "\n".join(map(_sample, sorted((HERE / "samples").glob("*.jpg")))),
    }.items():
        document = document.replace(mark, part)
    policy = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        # The picture at an address that was typed in is shown from there.
        "img-src": "data: blob: https: http:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return document, {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "public, max-age=60",
        "Vary": "Accept",
    }


def _page() -> dict[str, Any]:
    document, headers = page()
    return {"statusCode": 200, "headers": dict(headers), "body": document, "isBase64Encoded": False}


def _sample(file: Path) -> str:
    """A button with a sample picture, the picture in it."""
    name = html.escape(file.stem)
    data = base64.b64encode(file.read_bytes()).decode()
    shown = name.removeprefix("unknown_").replace("_", " ").replace("french", "French")  # as the synset spells it
    return (
        f'      <li><button type="button" data-name="{name}" aria-pressed="false">'
        f'<img src="data:image/jpeg;base64,{data}" alt="" width="320" height="240">'
        f"<span>{shown}</span></button></li>"
    )


def _digest(source: str) -> str:
    """The Content-Security-Policy's name for an inline part: https://www.w3.org/TR/CSP3/#framework-directive-source-list"""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _greeting() -> dict[str, str]:
    """The JSON of the front page. An event does not tell the URL that the client asked (a custom domain, the emulator),
    so `predict` is relative to it: https://www.rfc-editor.org/rfc/rfc3986#section-5
    """
    return {
        "message": "Hello World",
        "lab": "Serverless Predictions at Scale",
        "predict": "predict",
        "usage": "GET predict?url=<URL of an image>&top=5, or POST an image's bytes to predict"
        + USAGE.get(AUTH, "")
        + "; predict is relative to this URL with / at its end",
    }


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": JSON_HEADERS | (headers or {}),
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def _problem(code: str, message: str) -> dict[str, dict[str, str]]:
    return {"error": {"code": code, "message": message}}


def _shown(value: Any) -> str:
    """A value fit for a message: quoted, printable ASCII, of bounded length."""
    text = str(value)
    return ascii(text if len(text) <= 80 else text[:80] + "…")

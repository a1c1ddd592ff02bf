"""API Gateway for tests: HTTP on loopback to the two handlers' events, without the rest of AWS."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from predict.limits import PAYLOAD_BYTES

ROOT = Path(__file__).resolve().parents[2]
STAGE = "/Prod"

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def context() -> SimpleNamespace:
    """A Lambda context with what Powertools reads."""
    return SimpleNamespace(
        function_name="test",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:test",
        aws_request_id="00000000-0000-0000-0000-000000000000",
        get_remaining_time_in_millis=lambda: 29_000,
    )


def event_of(method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The proxy event of a request below the stage.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    parts = urlsplit(target)
    path = parts.path.removeprefix(STAGE) or "/"
    query = parse_qs(parts.query, keep_blank_values=True)
    text = base64.b64encode(body).decode() if body else None  # template.yml declares every media type binary
    return {
        "resource": path if path in ("/", "/predict") else "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {"stage": STAGE.strip("/"), "path": parts.path, "requestId": "test"},
        "body": text,
        "isBase64Encoded": bool(body),
    }


@contextmanager
def serve(hello: Handler, predict: Handler) -> Iterator[tuple[str, Callable[[], None]]]:
    """Serve both handlers below `/Prod` on a free port of loopback.

    Yields the page's address, and a call that returns when all invocations so far have ended. They share one thread, as
    in one execution environment.
    """
    environment = ThreadPoolExecutor(1)

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            event = event_of(self.command, self.path, dict(self.headers), body)
            if not urlsplit(self.path).path.startswith(STAGE):
                response = {"statusCode": 403, "body": '{"message": "Forbidden"}'}
            elif len(json.dumps(event)) > PAYLOAD_BYTES:
                response = {"statusCode": 413, "body": '{"message": "Request Too Long"}'}
            else:
                handler = predict if event["resource"] == "/predict" else hello
                response = environment.submit(handler, event, context()).result()
            payload = response["body"].encode()
            self.send_response(response["statusCode"])
            for name, value in {"Content-Type": "application/json", **(response.get("headers") or {})}.items():
                self.send_header(name, value)
            for name, values in (response.get("multiValueHeaders") or {}).items():
                for value in values:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            with suppress(BrokenPipeError, ConnectionResetError):  # the page asks for something else already
                self.end_headers()
                self.wfile.write(payload)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{STAGE}/", lambda: environment.submit(int).result() and None
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        environment.shutdown()

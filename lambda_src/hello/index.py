"""HelloWorld: `GET /` and `POST /`. It needs nothing but Python, so it answers even where Predict cannot."""

import json
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Say hello, and where the predictions are."""
    request_context = (event.get("requestContext") if isinstance(event, dict) else None) or {}
    stage = request_context.get("stage") if isinstance(request_context, dict) else None
    body = {
        "message": "Hello World",
        "lab": "Serverless Predictions at Scale",
        "predict": f"/{stage}/predict" if isinstance(stage, str) else "/predict",
        "usage": "GET <predict>?url=<address of an image>&top=5, or POST an image's bytes to it",
    }
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }

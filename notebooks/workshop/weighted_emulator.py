"""MiniStack with weighted aliases: it keeps an alias's weights, and this makes requests follow them.

The Python of the emulator's own environment runs this file, where nothing else of the lab is. Lambda does the same:
https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

import random
import sys
from typing import Any

from ministack import app  # type: ignore[import-not-found]
from ministack.services import lambda_svc  # type: ignore[import-not-found]


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


if __name__ == "__main__":
    follow_weights()
    sys.exit(app.main())

"""What AWS accepts and somebody pays for later: metrics per method, packages that expire, partitions by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .finding import Finding
from .resolving import Resolved

PACKAGES = "artifacts/"  # the prefix of buildspec.yml's `sam package`
BY_HAND = re.compile(r"\barn:aws:(?!\.)")


def judge(resolved: Resolved, place: str) -> Iterator[Finding]:
    """The resources of a resolved template."""
    for name, resource in resolved.resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::ApiGateway::Stage":
            for setting in properties.get("MethodSettings", []):
                if setting.get("MetricsEnabled") in (True, "true"):
                    yield Finding(
                        "upkeep", f"{place}/{name}", "metrics of each method are billed, and nothing reads them"
                    )
        if resource["Type"] == "AWS::S3::Bucket":
            yield from _judge_lifecycle(properties, f"{place}/{name}")


def _judge_lifecycle(properties: dict[str, Any], place: str) -> Iterator[Finding]:
    if not str(properties.get("BucketName", "")).endswith("-artifacts"):
        return
    for rule in properties.get("LifecycleConfiguration", {}).get("Rules", []):
        prefix = rule.get("Prefix", "")
        expires = "ExpirationInDays" in rule or "ExpirationDate" in rule
        if expires and rule["Status"] == "Enabled" and (PACKAGES.startswith(prefix) or prefix.startswith(PACKAGES)):
            yield Finding(
                "upkeep", f"{place}/{rule.get('Id', 'rule')}", "forgets packages that a later update may need"
            )


def partitions(texts: Mapping[str, str]) -> Iterator[Finding]:
    """`arn:aws:` by hand in source text: in China and GovCloud the partition is another. `texts`: by file."""
    for place, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if BY_HAND.search(line):
                yield Finding("partition", f"{place}:{number}", "arn:aws: by hand: ask for the partition")

"""What Lambda refuses beside SnapStart: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-runtimes"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .finding import Finding
from .resolving import Resolved, physical_name

STORAGE = 512  # MB of ephemeral storage
FIRST = (3, 12)  # Python


def judge(resolved: Resolved, place: str) -> Iterator[Finding]:
    """The functions of a resolved template that publish versions with a snapshot, their versions and aliases."""
    for name, resource in resolved.resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Lambda::Function" and _taken(properties):
            yield from _judge_function(properties, f"{place}/{name}")
        if properties.get("ProvisionedConcurrencyConfig") and _function_of(properties, resolved):
            yield Finding(
                "snapshot", f"{place}/{name}", "provisioned concurrency, which Lambda refuses beside SnapStart"
            )


def _judge_function(properties: dict[str, Any], place: str) -> Iterator[Finding]:
    runtime = re.fullmatch(r"python(\d+)\.(\d+)", str(properties.get("Runtime")))
    if not runtime or (int(runtime[1]), int(runtime[2])) < FIRST:
        yield Finding("snapshot", place, f"the runtime {properties.get('Runtime')}, which has no SnapStart")
    if int(properties.get("EphemeralStorage", {}).get("Size", STORAGE)) > STORAGE:
        yield Finding("snapshot", place, f"more than {STORAGE} MB of ephemeral storage, which has no SnapStart")
    if properties.get("FileSystemConfigs"):
        yield Finding("snapshot", place, "a file system of EFS, which Lambda refuses beside SnapStart")


def _taken(properties: dict[str, Any]) -> bool:
    return properties.get("SnapStart", {}).get("ApplyOn") == "PublishedVersions"


def _function_of(properties: dict[str, Any], resolved: Resolved) -> bool:
    """Whether a version or an alias is of a function of this template that has snapshots."""
    taken = {
        physical_name(name, resource, resolved.world)
        for name, resource in resolved.resources.items()
        if resource["Type"] == "AWS::Lambda::Function" and _taken(resource.get("Properties", {}))
    }
    return str(properties.get("FunctionName", "")).rpartition(":function:")[2] in taken

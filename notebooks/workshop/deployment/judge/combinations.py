"""Which parameters decide how a part of a template resolves: those alone must be combined to see all that it can be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from .resolving import naming

Reference = tuple[str, str]


def seen_together(template: dict[str, Any], names: Collection[str]) -> list[frozenset[str]]:
    """The sets of the parameters `names` that one resource or output depends on, without those within another set.

    A part depends on a parameter by a reference, by a condition, and by what it refers to: that resource's condition
    and name. A combination of two parameters that no part depends on both of shows nothing that each alone does not.
    """
    parts = (part for section in ("Resources", "Outputs") for part in template.get(section, {}).values())
    sets = {frozenset(_decisive(template, part, names)) for part in parts}
    return sorted((each for each in sets if not any(each < other for other in sets)), key=sorted)


def references(value: Any) -> Iterator[Reference]:
    """("Ref" or "Condition", name) of each parameter, resource and condition that a part of a template names."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        for key, operand in value.items():
            if key == "Condition" and isinstance(operand, str):
                yield "Condition", operand
            elif key == "Ref":
                yield "Ref", operand
            elif key == "Fn::GetAtt":
                yield "Ref", operand.split(".")[0] if isinstance(operand, str) else operand[0]
            else:
                yield from _named_first(key, operand)
                yield from references(operand)


def _named_first(key: str, operand: Any) -> Iterator[Reference]:
    """What `Fn::If` and `Fn::Sub` name in their first operand."""
    if key == "Fn::If":
        yield "Condition", operand[0]
    elif key == "Fn::Sub":
        text = operand[0] if isinstance(operand, list) else operand
        yield from (("Ref", name.strip().split(".")[0]) for name in re.findall(r"\$\{([^}!]+)\}", text))


def _decisive(
    template: dict[str, Any], part: Any, names: Collection[str], inside: frozenset[Reference] = frozenset()
) -> Iterator[str]:
    for reference in set(references(part)) - inside:
        kind, name = reference
        if kind == "Ref" and name in names:
            yield name
            continue
        for each in _behind(template, kind, name):
            yield from _decisive(template, each, names, inside | {reference})


def _behind(template: dict[str, Any], kind: str, name: str) -> Iterable[Any]:
    """What decides a condition, or whether a resource is there and how it is called."""
    if kind == "Condition":
        return [template.get("Conditions", {}).get(name)]
    resource = template.get("Resources", {}).get(name, {"Type": ""})
    named = {key: each for key, each in resource.get("Properties", {}).items() if key in naming(resource["Type"])}
    return [{"Condition": resource.get("Condition")}, named]

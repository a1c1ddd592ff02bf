"""The parameters to judge a template with: every combination of conditions that a resource sees, and the extremes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

# Values for parameters that have no default, or whose default switches something off.
SAMPLES = {
    "ProjectId": "predictions",
    "AlarmEmail": "someone@example.com",
    "BudgetEmail": "someone@example.com",
    "ConnectionArn": "arn:aws:codeconnections:eu-central-1:123456789012:connection/a1b2",
    "RepositoryId": "owner/name",
}


def cases(template: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Parameters for every combination of the conditions that decide on a resource or an output, for each of them.

    Those are the conditions that it names, and those of the resources that it names. A combination of two that no
    resource sees together changes none. Then come all on, with the least and most numbers.

    Raises KeyError for a parameter that has no default and no sample here.
    """
    declared = template.get("Parameters", {})
    plain = {name: _plain(name, rule) for name, rule in declared.items()}
    choices: dict[str, list[str]] = {}
    for condition in template.get("Conditions", {}).values():
        for name, literal in _comparisons(condition):
            values = choices.setdefault(name, [])
            values += [value for value in (literal, _other(name, declared[name], literal)) if value not in values]
    for names in _seen_together(template):
        for values in itertools.product(*(choices[name] for name in names)):
            yield plain | dict(zip(names, values, strict=True))
    for extreme in (min, max):
        numbers = {name: str(extreme(_numbers(rule))) for name, rule in declared.items() if _numbers(rule)}
        longest = {name: "p" * rule["MaxLength"] for name, rule in declared.items() if "MaxLength" in rule}
        on = {name: values[-1] if values[0] in ("", "false") else values[0] for name, values in choices.items()}
        yield plain | on | numbers | (longest if extreme is max else {})


def _seen_together(template: dict[str, Any]) -> list[tuple[str, ...]]:
    """The parameters whose conditions decide together on some resource or output; none that are within others."""
    conditions, resources = template.get("Conditions", {}), template.get("Resources", {})

    def deciding(block: Any) -> frozenset[str]:
        words = set(re.findall(r"\w+", json.dumps(block)))
        words |= {resources[name].get("Condition", "") for name in words & resources.keys()}
        todo, asked = words & conditions.keys(), set[str]()
        while todo:
            asked |= todo
            todo = set(re.findall(r"\w+", json.dumps([conditions[name] for name in todo]))) & conditions.keys() - asked
        return frozenset(name for each in asked for name, _ in _comparisons(conditions[each]))

    shared = template.get("Globals", {})
    blocks = [*resources.values(), *template.get("Outputs", {}).values()]
    found: set[frozenset[str]] = {deciding([block, shared]) for block in blocks} | {frozenset()}
    return [tuple(sorted(one)) for one in sorted(found, key=sorted) if not any(one < other for other in found)]


def _plain(name: str, rule: dict[str, Any]) -> str:
    if name in SAMPLES and rule.get("Default", "") == "":
        return SAMPLES[name]
    if "Default" not in rule:
        raise KeyError(f"parameter {name} has no default: give it a value in judge/parameters.py, SAMPLES")
    return str(rule["Default"])


def _comparisons(condition: Any) -> Iterator[tuple[str, str]]:
    """(parameter, literal) of each Fns::Equals below a condition that compares the two."""
    if isinstance(condition, dict):
        for key, value in condition.items():
            if key == "Fn::Equals":
                names = [each["Ref"] for each in value if isinstance(each, dict) and "Ref" in each]
                literals = [each for each in value if not isinstance(each, dict)]
                yield from ((name, str(literal)) for name in names for literal in literals)
            else:
                yield from _comparisons(value)
    elif isinstance(condition, list):
        for each in condition:
            yield from _comparisons(each)


def _other(name: str, rule: dict[str, Any], literal: str) -> str:
    """A value of a parameter that is not the literal."""
    given = [rule.get("Default", literal), *rule.get("AllowedValues", []), SAMPLES.get(name, literal)]
    candidates = [str(value) for value in [*given, rule.get("MaxValue", 1)]]
    return next(value for value in candidates if value != literal)


def _numbers(rule: dict[str, Any]) -> list[int]:
    if rule.get("Type") != "Number":
        return []
    allowed = rule.get("AllowedValues") or [rule[key] for key in ("MinValue", "MaxValue") if key in rule]
    return [int(value) for value in [*allowed, rule.get("Default", allowed[0] if allowed else 0)]]

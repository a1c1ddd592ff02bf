"""The parameters to judge a template with: every combination that a part of it can see, and the extremes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from .combinations import seen_together

# Values for parameters that have no default, or whose default switches something off.
SAMPLES = {
    "ProjectId": "predictions",
    "AlarmEmail": "someone@example.com",
    "BudgetEmail": "someone@example.com",
    "ConnectionArn": "arn:aws:codeconnections:eu-central-1:123456789012:connection/a1b2",
    "RepositoryId": "owner/name",
}

SWITCH = {"true", "false"}  # the values of a parameter that switches something on


def cases(template: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Parameters for every combination that a resource or an output of the template can see, each once.

    Then all on with the least and the most numbers. A template is to be expanded before: the transform's resources are
    parts of it, too. Raises KeyError for a parameter that has no default and no sample here.
    """
    declared = template.get("Parameters", {})
    plain = {name: _plain(name, rule) for name, rule in declared.items()}
    choices: dict[str, list[str]] = {}
    for condition in template.get("Conditions", {}).values():
        for name, literal in _comparisons(condition):
            values = choices.setdefault(name, [])
            values += [value for value in (literal, _other(name, declared[name], literal)) if value not in values]
    given: set[tuple[str, ...]] = set()
    for names in seen_together(template, choices):
        for values in itertools.product(*(choices[name] for name in names)):
            chosen = plain | dict(zip(names, values, strict=True))
            if (key := tuple(chosen.values())) not in given:
                given.add(key)
                yield chosen
    for extreme in (min, max):
        numbers = {name: str(extreme(_numbers(rule))) for name, rule in declared.items() if _numbers(rule)}
        longest = {name: "p" * rule["MaxLength"] for name, rule in declared.items() if "MaxLength" in rule}
        on = {name: values[-1] if values[0] in ("", "false") else values[0] for name, values in choices.items()}
        switched = {name: "true" for name, rule in declared.items() if set(rule.get("AllowedValues", [])) == SWITCH}
        yield plain | switched | on | numbers | (longest if extreme is max else {})


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

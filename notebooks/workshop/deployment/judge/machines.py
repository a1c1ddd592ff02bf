"""State machines, as Step Functions gets them, held to the Amazon States Language.

The schema is cfn-lint's, made stricter where Step Functions is; what no schema says (where a state leads, how many
characters a label has) is checked here. https://states-language.net/spec.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .finding import Finding
from .resolving import Resolved

if TYPE_CHECKING:  # importing it takes 2 s, which a notebook that only resolves a template need not wait for
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

DEFINITION_BYTES = 1_048_576
NAME_CHARACTERS, LABEL_CHARACTERS = 80, 40
ENDS = {"Succeed", "Fail"}
WHOLE = {"type": "integer", "minimum": 0}
RETRY = {
    "type": "object",
    "required": ["ErrorEquals"],
    "additionalProperties": False,
    "properties": {
        "Comment": {"type": "string"},
        "ErrorEquals": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        "IntervalSeconds": {"type": "integer", "minimum": 1},
        "MaxAttempts": {"type": "integer", "minimum": 0, "maximum": 99_999_999},
        "BackoffRate": {"type": "number", "minimum": 1},
        "MaxDelaySeconds": {"type": "integer", "minimum": 1, "maximum": 31_622_400},
        "JitterStrategy": {"enum": ["FULL", "NONE"]},
    },
}
MAP = {
    "MaxConcurrency": WHOLE,
    "ToleratedFailureCount": WHOLE,
    "ToleratedFailurePercentage": {"type": "number", "minimum": 0, "maximum": 100},
    "Label": {"type": "string", "maxLength": LABEL_CHARACTERS, "pattern": r"^[^\s?*<>{}\[\]:;,\\|^~$#%&`\"]+$"},
    "ItemBatcher": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "BatchInput": {"type": "object"},
            "MaxItemsPerBatch": {"type": "integer", "minimum": 1},
            "MaxItemsPerBatchPath": {"type": "string"},
            "MaxInputBytesPerBatch": {"type": "integer", "minimum": 1, "maximum": 262_144},
            "MaxInputBytesPerBatchPath": {"type": "string"},
        },
    },
}
PROCESSOR = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"Mode": {"enum": ["INLINE", "DISTRIBUTED"]}, "ExecutionType": {"enum": ["STANDARD", "EXPRESS"]}},
}


def judge(resolved: Resolved, place: str) -> Iterator[Finding]:
    """Every state machine of a resolved template."""
    for name, resource in resolved.resources.items():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            yield from judge_text(definition(resource["Properties"]), f"{place}/{name}")


def definition(properties: dict[str, Any]) -> str:
    """The text that Step Functions gets: an object is written as JSON, then the substitutions are put in."""
    given = properties.get("DefinitionString", properties.get("Definition"))
    text = given if isinstance(given, str) else json.dumps(given)
    for key, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace("${" + key + "}", str(value))
    return text


def judge_text(text: str, place: str) -> Iterator[Finding]:
    """A definition as JSON."""
    if len(text.encode()) > DEFINITION_BYTES:
        yield Finding("machine", place, f"a definition takes {DEFINITION_BYTES} bytes")
    try:
        machine = json.loads(text)
    except ValueError as error:
        yield Finding("machine", place, f"the definition is no JSON: {error}")
        return
    for refused in validator().iter_errors(machine):
        for each in _deepest(refused):
            where = "/".join(str(part) for part in each.absolute_path)
            yield Finding("machine", f"{place}/{where}", each.message[:200])
    if isinstance(machine, dict):
        yield from _judge_graph(machine, place)


@cache
def validator() -> Draft202012Validator:
    """A validator of the Amazon States Language."""
    from jsonschema import Draft202012Validator, validators

    schema = files("cfnlint.data.schemas.other.step_functions").joinpath("statemachine.json").read_text()
    stricter = json.loads(schema.replace('"$ref": "#/"', '"$ref": "#"').replace('"$ref":"#/"', '"$ref":"#"'))
    kinds = stricter["definitions"]
    kinds["map"]["properties"] |= MAP
    kinds["map"]["properties"]["ItemProcessor"]["properties"]["ProcessorConfig"] = PROCESSOR
    for kind in kinds.values():
        if "Retry" in kind.get("properties", {}):
            kind["properties"]["Retry"] = {"type": "array", "items": RETRY}
    return validators.extend(Draft202012Validator, {"requiredXor": _required_xor})(stricter)


def _required_xor(_validator: Any, names: list[str], instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """cfn-lint's own keyword: exactly one of these."""
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, dict) and sum(name in instance for name in names) != 1:
        shown = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
        yield ValidationError(f"expected exactly one of {shown}")


def _deepest(error: ValidationError) -> Iterator[ValidationError]:
    """The errors that say something: of alternatives, those of the one that got furthest."""
    if not error.context:
        yield error
        return
    depth = max(len(each.absolute_path) for each in error.context)
    for each in error.context:
        if len(each.absolute_path) == depth:
            yield from _deepest(each)


def _judge_graph(machine: dict[str, Any], place: str) -> Iterator[Finding]:
    """Names that lead somewhere, states that are reached, and an end, in this machine and those within its states."""
    states = machine.get("States", {})
    targets = {machine.get("StartAt")}
    for name, state in states.items():
        where = f"{place}/States/{name}"
        if len(name) > NAME_CHARACTERS:
            yield Finding("machine", where, f"a state's name takes {NAME_CHARACTERS} characters")
        if not isinstance(state, dict):
            continue
        steps = [state, *state.get("Choices", []), *state.get("Catch", [])]
        targets |= {step["Next"] for step in steps if "Next" in step} | {state.get("Default")}
        yield from _judge_paths(state, where)
        for inner in [*state.get("Branches", []), state.get("ItemProcessor"), state.get("Iterator")]:
            if isinstance(inner, dict):
                yield from _judge_graph(inner, where)
    for missing in sorted(str(target) for target in targets - set(states) - {None}):
        yield Finding("machine", place, f"leads to a state {missing!r} that is not there")
    for lost in sorted(set(states) - targets):
        yield Finding("machine", place, f"no way leads to the state {lost!r}")
    if not any(
        isinstance(state, dict) and (state.get("End") or state.get("Type") in ENDS) for state in states.values()
    ):
        yield Finding("machine", place, "no state ends the machine")


def _judge_paths(value: Any, place: str) -> Iterator[Finding]:
    """A key that ends with `.$` holds a path or an intrinsic function."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        where = f"{place}/{key}"
        if isinstance(key, str) and key.endswith(".$") and not str(each).startswith(("$", "States.")):
            yield Finding("machine", where, f"{each!r} is neither a path nor an intrinsic function")
        if key not in ("ItemProcessor", "Iterator", "Branches") and isinstance(each, dict | list):
            yield from _judge_paths(each, where)

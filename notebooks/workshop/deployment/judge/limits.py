"""What CloudFormation refuses of any template: a null, too much of something, a reference that leads nowhere."""

from collections.abc import Iterator
from typing import Any

from workshop.deployment import stacks

from .finding import Finding
from .resolving import text_of

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
EXPANDED_BYTES = 1_000_000  # after the transforms
DESCRIPTION_BYTES = 1_024
COUNTS = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}
MAPPING_ATTRIBUTES = 200
NAME_CHARACTERS = 255
VALUE_BYTES = 4_096  # of a parameter


def judge_text(text: str, place: str) -> Iterator[Finding]:
    """A template's file, which the lab sends within the request."""
    try:
        stacks.request_body(text)
    except stacks.StackError as error:
        yield Finding("limit", place, str(error))


def judge_template(template: dict[str, Any], place: str) -> Iterator[Finding]:
    """A template after the transforms."""
    yield from nulls(template, place)
    size = len(text_of(template).encode())
    if size > EXPANDED_BYTES:
        yield Finding("limit", place, f"{size} bytes after the transform, and CloudFormation takes {EXPANDED_BYTES}")
    description = len(str(template.get("Description", "")).encode())
    if description > DESCRIPTION_BYTES:
        yield Finding("limit", f"{place}/Description", f"{description} bytes of {DESCRIPTION_BYTES}")
    for section, most in COUNTS.items():
        entries = template.get(section) or {}
        if len(entries) > most:
            yield Finding("limit", f"{place}/{section}", f"{len(entries)} entries of {most}")
        for name, entry in entries.items():
            if len(name) > NAME_CHARACTERS:
                yield Finding("limit", f"{place}/{section}/{name[:20]}…", f"a name of {len(name)} characters")
            if section == "Mappings" and len(entry) > MAPPING_ATTRIBUTES:
                yield Finding("limit", f"{place}/{section}/{name}", f"{len(entry)} keys of {MAPPING_ATTRIBUTES}")
            if section == "Parameters" and len(str(entry.get("Default", "")).encode()) > VALUE_BYTES:
                yield Finding("limit", f"{place}/{section}/{name}", f"a default of more than {VALUE_BYTES} bytes")


def nulls(value: Any, place: str) -> Iterator[Finding]:
    """Every null of a template, anywhere: "'null' values are not allowed in templates"."""
    if value is None:
        yield Finding("null", place, "CloudFormation takes no null anywhere in a template")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from nulls(each, f"{place}/{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from nulls(each, f"{place}/{index}")


def untyped_numbers(template: dict[str, Any], place: str) -> Iterator[Finding]:
    """Each `Ref` of a Number parameter at a place where no schema makes a number of the string that it becomes."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    numbers = {name for name, rule in template.get("Parameters", {}).items() if rule.get("Type") == "Number"}
    for name, resource in template.get("Resources", {}).items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema
        where = f"{place}/Resources/{name}/Properties"
        yield from _untyped(resource.get("Properties", {}), schema, schema, numbers, where)


def _untyped(value: Any, node: dict | None, root: dict, numbers: set[str], place: str) -> Iterator[Finding]:
    """`node`: the schema of `value`; None below an object of which the schema says nothing more."""
    while node and "$ref" in node:
        node = _at(root, node["$ref"])
    if isinstance(value, dict):
        if set(value) == {"Ref"} and value["Ref"] in numbers and node is None:
            yield Finding("number", place, f"{value['Ref']} arrives as a string: nothing here makes a number of it")
        if "Fn::If" in value:
            for branch in value["Fn::If"][1:]:
                yield from _untyped(branch, node, root, numbers, place)
            return
        if any(key.startswith("Fn::") for key in value):
            return  # a text of its own
        inner = (node or {}).get("properties")
        for key, each in value.items():
            below = (inner.get(key) or {}) if inner else None
            yield from _untyped(each, below if node is not None else None, root, numbers, f"{place}/{key}")
    elif isinstance(value, list):
        items = node.get("items", {}) if node is not None else None
        for index, each in enumerate(value):
            yield from _untyped(each, items, root, numbers, f"{place}/{index}")


def _at(root: dict, pointer: str) -> dict:
    for part in pointer.removeprefix("#/").split("/"):
        root = root.get(part, {})
    return root

"""openapi.yml as a page of tables, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
LIMITS = {
    "const": "always {}",
    "default": "{} by default",
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} of them",
    "pattern": "matches {}",
}


def page(contract: Node) -> str:
    """The whole page. Raises KeyError for a reference to a component that is not there."""
    return "\n".join(lines(contract)) + "\n"


def lines(contract: Node) -> Iterator[str]:
    components = contract["components"]
    yield from ("# The HTTP contract", "")
    yield from (contract["info"]["description"], "[openapi.yml](openapi.yml) is the same for programs.", "")
    yield from ("## Servers", "")
    for server in contract["servers"]:
        yield f"- {code(server['url'])}: {server['description']}."
    yield ""
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            yield from operation_lines(f"{method.upper()} {path}", operation, components)
    yield from ("## Responses", "", "The codes of errors stand with the response that brings them.", "")
    for name, response in components["responses"].items():
        yield from response_lines(name, response, statuses(name, contract))
    yield from ("## Headers", "")
    headers = components["headers"].items()
    yield from table(("name", "value", "meaning"), ((code(n), kind(h["schema"]), h["description"]) for n, h in headers))
    yield from ("## Schemas", "")
    for name, schema in components["schemas"].items():
        yield from (f"(schema-{name.lower()})=", f"### {name}", "", schema.get("description", ""), "")
        rows = list(fields(schema))
        yield from table(("field", "value", "meaning"), rows) if rows else (f"Value: {kind(schema)}.", "")


def operation_lines(title: str, operation: Node, components: Node) -> Iterator[str]:
    yield from (f"## {title}", "", f"{operation['summary']}.", "", operation.get("description", ""), "")
    parameters = [resolved(each, components) for each in operation.get("parameters", [])]
    if parameters:
        rows = (
            (
                code(p["name"]),
                p["in"],
                kind(p["schema"]),
                ("required. " if p.get("required") else "") + p["description"],
            )
            for p in parameters
        )
        yield from ("**Parameters**", "", *table(("name", "in", "value", "meaning"), rows))
    if "requestBody" in operation:
        contents = operation["requestBody"]["content"].items()
        yield from ("**Body**", "")
        yield from table(("media type", "value"), ((code(name), kind(each["schema"])) for name, each in contents))
    rows = ((status, outcome(response, components)) for status, response in operation["responses"].items())
    yield from ("**Responses**", "", *table(("status", "response"), rows))


def outcome(response: Node, components: Node) -> str:
    """A response in a table's cell: a link to its section, or its own description."""
    if "$ref" in response:
        name = last(response)
        return f"[{name}](response-{name.lower()})"
    schemas = (each["schema"] for each in response.get("content", {}).values())
    links = [kind(schema) for schema in schemas if "$ref" in schema]
    return ": ".join([response["description"], *links])


def statuses(name: str, contract: Node) -> list[str]:
    """The status codes that operations give a response; none for one that comes with each path, or with no path."""
    operations = [operation for path in contract["paths"].values() for operation in path.values()]
    answers = [pair for operation in operations for pair in operation["responses"].items()]
    return sorted({status for status, answer in answers if "$ref" in answer and last(answer) == name})


def response_lines(name: str, response: Node, found: list[str]) -> Iterator[str]:
    yield from (f"(response-{name.lower()})=", f"### {name}", "", response["description"], "")
    if found:
        yield from (f"Status: {', '.join(map(code, found))}.", "")
    if headers := response.get("headers"):
        yield from (f"Headers: {', '.join(map(code, headers))}.", "")
    for each in response["content"].values():
        schema = each["schema"]
        yield from (f"Body: {kind(schema['allOf'][0] if 'allOf' in schema else schema)}. For example:", "")
        yield from ("```json", json.dumps(each["example"], indent=2, ensure_ascii=False), "```", "")


def fields(schema: Node, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """A row for each property, those of properties too: name, value, meaning."""
    for name, each in schema.get("properties", {}).items():
        meaning = "" if name in schema.get("required", ()) else "may be absent. "
        yield code(prefix + name), kind(each), meaning + each.get("description", "")
        yield from fields(each, f"{prefix}{name}.")
        yield from fields(each.get("items", {}), f"{prefix}{name}[].")


def kind(schema: Node) -> str:
    """The values that a schema allows, in a few words, with a link where the schema has a section."""
    if "$ref" in schema:
        return f"[{last(schema)}](schema-{last(schema).lower()})"
    words = [str(schema.get("type", ""))]
    if "properties" in schema and "description" not in schema:
        words[0] = "object: " + ", ".join(map(code, schema["properties"]))
    if "enum" in schema:
        words = [", ".join(code(str(value)) for value in schema["enum"])]
    words += [text.format(code(str(schema[key]))) for key, text in LIMITS.items() if key in schema]
    if "items" in schema:
        words[0] = f"array of {schema['items'].get('type', '')}"
    return ", ".join(filter(None, words))


def table(head: tuple[str, ...], rows: Any) -> Iterator[str]:
    """A table's lines, and an empty one."""
    yield row(head)
    yield row(["---"] * len(head))
    yield from map(row, rows)
    yield ""


def row(cells: Any) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def code(text: str) -> str:
    return f"`{text}`"


def last(reference: Node) -> str:
    """The name of the component that a reference leads to."""
    return str(reference["$ref"]).rsplit("/", 1)[1]


def resolved(node: Node, components: Node) -> Node:
    """A parameter itself, whether it stands here or is referred to."""
    return components["parameters"][last(node)] if "$ref" in node else node

"""openapi.yml is a sound document, and says of the code what the code does.

That real answers fit it is checked where answers are made: tests/unit/test_lambda_function.py and test_hello.py, the
fuzzer, and schemathesis over the deployed function.
"""

import re
from collections.abc import Iterable

import pytest
from cfnlint.decode import cfn_yaml
from openapi_spec_validator import validate

from predict import addresses, fetching, images, lambda_function, limits, several
from predict.errors import GUARD_STATUS, STATUS
from tests import contract
from workshop import ROOT

DOCUMENT = contract.document()
PATHS = {"/": "HelloWorld", "/predict": "Predict"}
TEMPLATE = cfn_yaml.load(str(ROOT / "template.yml"))["Resources"]


def gateway_codes(without: Iterable[str] = ()) -> dict[int, set[str]]:
    """The codes of template.yml's gateway answers by status."""
    found: dict[int, set[str]] = {}
    for _kind, status, body, _headers in contract.gateway_answers(TEMPLATE["Api"]["Properties"]):
        (code,) = re.findall(r'"code": "(\w+)"', body)
        if code not in without:
            found.setdefault(status, set()).add(code)
    return found


def operations() -> list[tuple[str, str, dict]]:
    return [(path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()]


def examples(node, schema=None):
    """Each example of the document with the schema that stands beside it."""
    if isinstance(node, dict):
        if "example" in node:
            yield node["example"], node["schema"]
        for child in node.values():
            yield from examples(child)
    elif isinstance(node, list):
        for child in node:
            yield from examples(child)


def test_it_is_openapi():
    validate(DOCUMENT)


def test_every_example_fits_its_schema():
    found = list(examples(DOCUMENT))
    assert len(found) > 15
    for example, schema in found:
        assert not contract.problems(schema, example)


def test_every_status_has_the_codes_of_the_code_and_of_the_template():
    stated: dict[int, set[str]] = {}
    for _path, _method, operation in operations():
        for status, response in operation["responses"].items():
            if status != "200":
                stated.setdefault(int(status), set()).update(contract.codes(contract.whole(response)))
    for status, name in contract.NO_OPERATION.items():
        stated[status] = contract.codes(DOCUMENT["components"]["responses"][name])
    expected = gateway_codes()
    for code, status in STATUS.items():
        expected.setdefault(status, set()).add(code)
    assert stated == expected
    assert DOCUMENT["components"]["schemas"]["ErrorCode"]["enum"] == sorted(set.union(*expected.values()))


def test_the_front_page_has_none_of_predicts_codes():
    open_codes = gateway_codes(without=GUARD_STATUS)
    for path, method, operation in operations():
        if path == "/":
            for status, response in operation["responses"].items():
                if status != "200":
                    assert contract.codes(contract.whole(response)) == open_codes[int(status)], (method, status)


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENT["components"]["responses"] if not name.startswith("Predicted")]
)
def test_every_code_is_explained_and_each_response_has_an_example(name):
    response = DOCUMENT["components"]["responses"][name]
    explained = re.findall(r"^- `(\w+)`: \S", response["description"], re.MULTILINE)
    assert sorted(explained) == sorted(contract.codes(response))
    assert response["content"]["application/json"]["example"]["error"]["code"] in explained


def test_all_that_is_defined_is_used():
    text = (ROOT / "openapi.yml").read_text()
    for kind, parts in DOCUMENT["components"].items():
        for name in parts if kind != "securitySchemes" else ():
            if name not in contract.NO_OPERATION.values():
                assert f'"#/components/{kind}/{name}"' in text, name


def test_predict_alone_may_ask_for_a_key_or_a_signature_as_the_template_does():
    body = TEMPLATE["Api"]["Properties"]["DefinitionBody"]
    for path, method, operation in operations():
        names = [name for scheme in operation.get("security", []) for name in scheme]
        assert names == (["key", "signature"] if path == "/predict" else []), (path, method)
        assert ("security" in body["paths"].get(path, {}).get(method, {})) is bool(names)
    schemes, theirs = DOCUMENT["components"]["securitySchemes"], body["securityDefinitions"]
    for name, other in {"key": "api_key", "signature": "sigv4"}.items():
        assert {each: schemes[name][each] for each in ("type", "name", "in")}.items() <= theirs[other].items()


def test_the_paths_and_methods_are_the_templates():
    routed = {
        (event["Properties"]["Path"], event["Properties"]["Method"])
        for function in PATHS.values()
        for event in TEMPLATE[function]["Properties"]["Events"].values()
    }
    assert {path for path, _ in routed} == {*PATHS, "/{proxy+}"}
    for path, method, _ in operations():
        assert (path, method) in routed
    assert DOCUMENT["paths"].keys() == PATHS.keys()


def test_the_media_types_reach_the_function_as_bytes():
    body = DOCUMENT["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert body.keys() == {"application/json", "image/*", "application/octet-stream", "multipart/form-data"}
    (everything,) = TEMPLATE["Api"]["Properties"]["BinaryMediaTypes"]
    assert everything["Fn::If"][1:] == ["*/*", "*~1*"]


def test_the_bounds_are_the_codes():
    schemas = DOCUMENT["components"]["schemas"]
    assert (schemas["Top"]["minimum"], schemas["Top"]["maximum"], schemas["Top"]["default"]) == (
        1,
        limits.TOP_MAX,
        limits.TOP_DEFAULT,
    )
    assert schemas["Predictions"]["maxItems"] == limits.TOP_MAX
    assert schemas["PictureUrl"]["maxLength"] == addresses.MAX_URL_LENGTH
    for name, part in (("Request", "urls"), ("PredictionsOfSeveral", "results")):
        bounds = schemas[name]["properties"][part]
        assert (bounds["minItems"], bounds["maxItems"]) == (1, limits.URLS_MAX)
    assert f"at most {several.MAX_BYTES} bytes together" in DOCUMENT["paths"]["/predict"]["post"]["description"]
    assert f"at most {limits.BODY_BYTES} bytes" in DOCUMENT["paths"]["/predict"]["post"]["description"]
    assert f"{fetching.MAX_BYTES} bytes and {images.MAX_PIXELS} pixels" in schemas["Picture"]["description"].replace(
        "\n", " "
    )
    assert f"at most {fetching.MAX_REDIRECTS} redirects" in DOCUMENT["paths"]["/predict"]["get"]["description"]
    assert (
        f"more than {fetching.MAX_REDIRECTS} times" in DOCUMENT["components"]["responses"]["HostFailed"]["description"]
    )
    slow = DOCUMENT["components"]["responses"]["TooSlow"]["description"]
    assert (
        f"more than {fetching.MAX_SECONDS:.0f} s" in slow
        and f"more than {lambda_function.GATEWAY_SECONDS:.0f} s" in slow
    )
    names = {name.replace("WEBP", "WebP") for name in images.FORMATS}
    assert names <= set(re.findall(r"\w+", schemas["Picture"]["description"]))


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ((200, {}, ""), "the header Cache-Control is missing"),
        ((418, {}, ""), "no response 418"),
        ((404, {"Content-Type": "text/html"}, ""), "Content-Type"),
        ((404, {"Content-Type": "application/json"}, '{"error": {"code": "timeout", "message": "m"}}'), "timeout"),
        ((404, {"Content-Type": "application/json"}, '{"error": {"code": "path_not_found"}}'), "message"),
        ((404, {"Content-Type": "application/json"}, '{"error": NaN}'), "not JSON"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_told(answer, wrong):
    status, headers, body = answer
    assert wrong in " ".join(contract.violations("/predict", "get", status, headers, body))

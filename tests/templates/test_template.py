"""template.yml: handlers that resolve, the original lab's names, a closed store."""

import ast
import fnmatch
import json
import re
from pathlib import Path

import pytest

from predict import fetching
from workshop import ROOT, models

FUNCTIONS = ("HelloWorld", "Predict")


def listed(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_handler_is_a_function_of_its_code(template, name):
    properties = template["Resources"][name]["Properties"]
    place, function = properties["Handler"].rsplit(".", 1)
    package, _, module = place.rpartition(".")
    # A function of a package is built from the package's folder, and found below it.
    assert not package or package == Path(properties["CodeUri"]).name

    def nodes(module, kind):
        source = (ROOT / properties["CodeUri"] / f"{module}.py").read_text()
        return [node for node in ast.parse(source).body if isinstance(node, kind)]

    imported = {alias.name: node.module for node in nodes(module, ast.ImportFrom) for alias in node.names}
    defined = {node.name: node for node in nodes(imported.get(function, module), ast.FunctionDef)}
    assert function in defined
    assert [argument.arg for argument in defined[function].args.args] == ["event", "context"]


def test_there_are_no_functions_but_those(template):
    functions = {
        name for name, resource in template["Resources"].items() if resource["Type"] == "AWS::Serverless::Function"
    }
    # BulkScore on request (tests/unit/test_bulk.py); GoldenCheck: tests/unit/test_canary.py
    assert functions == {*FUNCTIONS, "BulkScore", "InboxScore", "GoldenCheck"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_run_as_the_imported_role_on_the_chosen_python_with_tracing(template, name):
    properties = template["Globals"]["Function"] | template["Resources"][name]["Properties"]
    assert properties["Role"] == {"Fn::ImportValue": {"Fn::Sub": "${ProjectId}-${AWS::Region}-LambdaTrustRole"}}
    assert properties["Runtime"] == {"Ref": "Runtime"}
    assert template["Parameters"]["Runtime"]["Default"] == "python3.13"
    assert properties["Architectures"] == [{"Ref": "Architecture"}]
    assert properties["Tracing"] == "Active"
    assert "Policies" not in properties, "permissions are notebook 04's subject: none come in by a side door"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_write_to_a_log_group_that_expires_and_the_role_may_write_to(template, toolchain, name):
    properties = template["Resources"][name]["Properties"]
    group = template["Resources"][properties["LoggingConfig"]["LogGroup"]["Ref"]]
    assert group["Type"] == "AWS::Logs::LogGroup"
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    writable = [
        resource["Fn::Sub"]
        for policy in toolchain["Resources"]["LambdaRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Sid"] == "WriteLogs"
        for resource in listed(statement["Resource"])
    ]
    path = group["Properties"]["LogGroupName"]["Fn::Sub"]
    assert any(
        fnmatch.fnmatchcase(f":log-group:{path}:log-stream:any", pattern[pattern.index(":log-group:") :])
        for pattern in writable
    )


def test_names_of_the_original_lab_are_kept(template):
    assert "ProjectId" in template["Parameters"]
    assert template["Resources"]["HelloWorld"]["Properties"]["Handler"] == "index.handler"
    bucket = template["Resources"]["ModelStoreBucket"]
    assert bucket["Properties"]["BucketName"] == {"Fn::Sub": "${ProjectId}-${AWS::Region}-${AWS::AccountId}-models"}
    variables = template["Resources"]["Predict"]["Properties"]["Environment"]["Variables"]
    assert {
        "MODEL_STORE_BUCKET_NAME",
        "MODEL_STORE_PREFIX",
        "MODEL_PARAMS_FILE_NAME",
        "MODEL_SYMBOL_FILE_NAME",
        "MODEL_SYNSET_FILE_NAME",
    } <= set(variables)
    assert variables["MODEL_STORE_BUCKET_NAME"] == {"Ref": "ModelStoreBucket"}
    assert {"ModelStoreBucket", "PredictUrl", "PredictFunction"} <= set(template["Outputs"])


@pytest.mark.parametrize("function", ["Predict", "BulkScore", "InboxScore"])
def test_precision_chooses_one_of_the_symbols_that_a_model_has(template, function):
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    int8, float32 = models.SYMBOLS["int8"], models.SYMBOLS["float32"]
    assert variables["MODEL_SYMBOL_FILE_NAME"] == {"Fn::If": ["IsInt8", int8, float32]}
    assert set(template["Parameters"]["Precision"]["AllowedValues"]) == set(models.SYMBOLS)


def test_project_id_follows_the_toolchains_rule(template, toolchain):
    rule, other = template["Parameters"]["ProjectId"], toolchain["Parameters"]["ProjectId"]
    for key in ("AllowedPattern", "MinLength", "MaxLength"):
        assert rule[key] == other[key]


@pytest.mark.parametrize(
    ("name", "path", "methods"),
    [
        ("HelloWorld", "/", {"get", "post"}),
        ("Predict", "/predict", {"get", "post"}),
    ],
)
def test_routes(template, name, path, methods):
    events = [event["Properties"] for event in template["Resources"][name]["Properties"]["Events"].values()]
    assert {"Ref": "Api"} in [event["RestApiId"] for event in events]
    served = {event["Method"].lower() for event in events if event["Path"] == path}
    assert methods <= served or "any" in served


def test_the_default_memory_is_one_whole_vcpu_and_concurrency_is_a_parameter(template):
    assert template["Parameters"]["MemorySize"]["Default"] == 1769
    assert template["Resources"]["Predict"]["Properties"]["MemorySize"] == {"Ref": "MemorySize"}
    reserved = template["Resources"]["Predict"]["Properties"]["ReservedConcurrentExecutions"]
    assert "ReservedConcurrency" in json.dumps(reserved)


def test_no_host_may_be_private_by_default(template):
    assert template["Parameters"]["AllowedPrivateHosts"]["Default"] == ""


def test_hosts_are_told_whom_to_ask(template):
    contact = template["Parameters"]["ContactUrl"]
    assert contact["Default"] == fetching.CONTACT_URL and re.fullmatch(contact["AllowedPattern"], contact["Default"])
    assert not re.fullmatch(contact["AllowedPattern"], "https://pages.example/ (lab)")
    variables = template["Resources"]["Predict"]["Properties"]["Environment"]["Variables"]
    assert variables["CONTACT_URL"] == {"Ref": "ContactUrl"}


def test_the_api_throttles_and_traces(template):
    api = template["Resources"]["Api"]["Properties"]
    assert api["TracingEnabled"] is True
    (everywhere,) = [
        setting for setting in api["MethodSettings"] if (setting["HttpMethod"], setting["ResourcePath"]) == ("*", "/*")
    ]
    assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= set(everywhere)
    assert everywhere["MetricsEnabled"] is False, "metrics of each method are billed"


def test_the_model_store_is_encrypted_versioned_and_private(template):
    bucket = template["Resources"]["ModelStoreBucket"]["Properties"]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    blocked = bucket["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4
    assert all(value is True for value in blocked.values())


def store_statements(template):
    """The bucket policy's statements by Sid, as they are with every parameter at its default."""
    policy = template["Resources"]["ModelStoreBucketPolicy"]["Properties"]
    assert policy["Bucket"] == {"Ref": "ModelStoreBucket"}
    chosen = [
        statement["Fn::If"][2] if "Fn::If" in statement else statement
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return {statement["Sid"]: statement for statement in chosen}


def test_the_model_store_takes_tls_only_unless_told_otherwise(template):
    statement = store_statements(template)["TlsOnly"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2
    assert template["Parameters"]["Emulator"]["Default"] == "false"
    assert template["Conditions"]["IsEmulator"] == {"Fn::Equals": [{"Ref": "Emulator"}, "true"]}


def test_the_bucket_policy_names_the_lambda_role_and_lets_it_read_objects_only(template):
    allowed = [statement for statement in store_statements(template).values() if statement["Effect"] == "Allow"]
    (statement,) = allowed
    role = {"Fn::ImportValue": {"Fn::Sub": "${ProjectId}-${AWS::Region}-LambdaTrustRole"}}
    assert statement["Principal"] == {"AWS": role}
    assert listed(statement["Action"]) == ["s3:GetObject"]
    assert statement["Resource"] == {"Fn::Sub": "${ModelStoreBucket.Arn}/*"}

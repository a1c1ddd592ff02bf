"""Each parameter of both templates, from make's command line through the notebooks to a stack; and what stays there."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from botocore.stub import Stubber

import workshop
from tests.making import make
from workshop import ROOT, choices, models, together
from workshop.choices import APPLICATION, TOOLCHAIN
from workshop.deployment import parameters, stacks
from workshop.headless import runner
from workshop.headless.arguments import with_the_deployed_model
from workshop.lab import Lab, connect, patience
from workshop.scale import bulk

PROJECT, MODEL = "choices-test", "choices-test-model"
CELLS = {
    "00_start_here": ["code-01", "code-07", "code-09"],
    "05_build_and_deploy": ["code-01", "code-02", "code-11"],
}
# A value that its pattern takes, for each parameter that has one, or no rule at all.
EXAMPLES = {
    "ConnectionArn": "arn:aws:codeconnections:us-east-1:000000000000:connection/0a1b",
    "RepositoryId": "owner/name",
    "BranchName": "feature/choices",
    "AlarmEmail": "nobody@example.com",
    "BudgetEmail": "nobody@example.com",
    "AllowOrigin": "https://pages.example",
    "AllowedPrivateHosts": "127.0.0.9:8080,pictures.example",
    "ContactUrl": "https://contact.example/lab",
}


def other(parameter: choices.Parameter) -> str:
    """A value that the parameter takes and that is not its default."""
    if "AllowedValues" in parameter.rules:
        value = next(each for each in parameter.rules["AllowedValues"] if each != parameter.default)
    elif parameter.rules["Type"] == "Number":
        value = str(int(parameter.default) + 3)
    else:
        assert parameter.name in EXAMPLES, f"give {parameter.name} a value in EXAMPLES"
        value = EXAMPLES[parameter.name]
    assert parameter.takes(value) and value != parameter.default, parameter.name
    return value


def without(text: str, *names: str) -> str:
    """A template without some of its resources and outputs: each is a block below a name with two spaces before it."""
    for name in names:
        text, count = re.subn(rf"(?m)^  {name}:\n(?:    .*\n|\n)+", "", text)
        assert count == 1, name
    return text


@pytest.fixture(scope="module")
def lab(emulator_url: str) -> Iterator[Lab]:
    lab = connect("local", "us-east-1", PROJECT)
    yield lab
    cloudformation = lab.client("cloudformation")
    bulk.empty(lab)
    for stack in (lab.app_stack, lab.toolchain_stack):
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=patience(cloudformation))


@pytest.fixture(scope="module")
def root(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the notebooks deploy: both templates, but without the pipeline, and with tiny code."""
    folder = tmp_path_factory.mktemp("root")
    toolchain = without((ROOT / TOOLCHAIN).read_text(), "DeliveryPipeline", "Pipeline")  # the output of this name
    (folder / TOOLCHAIN).write_text(toolchain)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): pass\n")
    s3, bucket = lab.client("s3"), f"{PROJECT}-code"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="code.zip", Body=buffer.getvalue())
    text = (ROOT / APPLICATION).read_text()
    body, count = re.subn(r"CodeUri: \S+", f"CodeUri: s3://{bucket}/code.zip", text)
    assert count == 5
    (folder / APPLICATION).write_text(text)
    (folder / "template-export.yml").write_text(body)
    yield folder
    s3.delete_object(Bucket=bucket, Key="code.zip")
    s3.delete_bucket(Bucket=bucket)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model under another name, fetched as notebook 01 does."""
    folder = tmp_path_factory.mktemp("source") / MODEL
    shutil.copytree(models.PRACTICE, folder)
    models.fetch(folder, progress=False)
    yield folder
    shutil.rmtree(models.FETCHED / MODEL)
    (models.FETCHED / f".{MODEL}.lock").unlink()


def cell(notebook: Path, name: str) -> str:
    tree = json.loads(notebook.read_text(encoding="utf-8"))
    (found,) = ["".join(each["source"]) for each in tree["cells"] if each["id"] == name]
    return found


def deploy(lab: Lab, root: Path, *line: str) -> dict[str, dict[str, str]]:
    """`make deploy` with `line`, but for what is neither choosing nor deploying; returns both stacks' parameters.

    make, the runner's command line and the cells of the notebooks are the real ones.
    """
    done = make("deploy", f"PROJECT_ID={PROJECT}", *line)
    assert done.returncode == 0, done.stderr
    program, *arguments = done.stdout.splitlines()
    assert program == "workshop.headless.runner"
    named = runner.parameters_of(runner.parse(arguments))
    shares = runner.share(with_the_deployed_model(named, lab), runner.notebooks())
    cloudformation = lab.client("cloudformation")
    for notebook, share in shares.items():
        names: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workshop, "ROOT", root)
            for identifier in CELLS.get(notebook.stem, []):
                exec(cell(notebook, identifier), names)
                if identifier == "code-01":
                    assert share.keys() <= {target.id for statement in ast.parse(cell(notebook, identifier)).body
                                            for target in statement.targets}  # fmt: skip
                    names |= share | {"target": "local"}
        if names.get("change_set"):
            stacks.execute(cloudformation, names["change_set"])
    return {template: stacks.parameters(cloudformation, stack)
            for template, stack in ((TOOLCHAIN, lab.toolchain_stack), (APPLICATION, lab.app_stack))}  # fmt: skip


@pytest.fixture(scope="module")
def chosen() -> dict[str, str]:
    possible = {"Runtime": "python3.12", "Architecture": "x86_64"}  # beside snapshots, and beside int8
    return {name: other(parameter) for name, parameter in choices.choosable().items()} | possible


@pytest.fixture(scope="module")
def deployed(lab, root, model, chosen) -> dict[str, dict[str, str]]:
    line = [f"{name}={value}" for name, value in chosen.items()]
    return deploy(lab, root, "TARGET=aws", f"MODEL={model}", "PRECISION=int8", *line)


@pytest.mark.slow
@pytest.mark.parametrize("template", [TOOLCHAIN, APPLICATION])
def test_each_parameter_reaches_its_stack_by_make_deploy(lab, deployed, chosen, template):
    expected = chosen | {"ProjectId": PROJECT, "ModelName": MODEL, "Precision": "int8", "Emulator": "true"}
    expected |= {"Runtime": together.THIS, "Architecture": together.HERE}  # whatever is chosen, the emulator's own
    manifest = models.FETCHED / MODEL / models.MANIFEST
    expected["ModelDigest"] = hashlib.sha256(manifest.read_bytes()).hexdigest()[:12]
    expected["Settings"] = parameters.settings(deployed[APPLICATION])
    expected["AllowedPrivateHosts"] = f"{lab.endpoint_url.rpartition('/')[2]},{chosen['AllowedPrivateHosts']}"
    declared = yaml.load((ROOT / template).read_text(), yaml.BaseLoader)["Parameters"]
    assert deployed[template] == {name: expected[name] for name in declared}
    for name, rules in declared.items():
        assert deployed[template][name] != rules.get("Default") or name in ("Runtime", "Architecture"), name


@pytest.mark.slow
def test_what_an_update_does_not_name_stays_and_a_default_that_is_named_is_set(lab, root, deployed):
    again = deploy(lab, root)
    assert again == deployed
    one = deploy(lab, root, "ThrottlingRate=7", "ApiLogsRole=false")
    assert one[APPLICATION] == deployed[APPLICATION] | {"ThrottlingRate": "7"}
    assert one[TOOLCHAIN] == deployed[TOOLCHAIN] | {"ApiLogsRole": "false"}
    default = choices.choosable()["MemorySize"].default
    reset = deploy(lab, root, f"MemorySize={default}", "AlarmEmail=", "PRECISION=float32")
    changed = {"MemorySize": default, "AlarmEmail": "", "Precision": "float32"}
    assert reset[APPLICATION].pop("Settings") != one[APPLICATION].pop("Settings"), "another version is published"
    assert reset[APPLICATION] == one[APPLICATION] | changed
    assert reset[TOOLCHAIN] == one[TOOLCHAIN]
    name = lab.outputs(lab.app_stack)["PredictFunction"]
    assert lab.client("lambda").get_function_configuration(FunctionName=name)["MemorySize"] == int(default)


@pytest.mark.slow
def test_the_pipeline_deploys_with_the_parameters_that_the_stack_has(lab, root, deployed, monkeypatch, tmp_path):
    for name, value in lab.environment().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "template-configuration.json"
    parameters.write_configuration(file)
    given = json.loads(file.read_text())["Parameters"]
    cloudformation = lab.client("cloudformation")
    assert given == stacks.parameters(cloudformation, lab.app_stack)
    assert given.keys() == choices.parameters(APPLICATION).keys()
    assert given["ModelName"] == MODEL and given["ThrottlingBurst"] == deployed[APPLICATION]["ThrottlingBurst"]
    # CodePipeline gives each of them by its value, and nothing changes.
    role = lab.role_arn(lab.cloudformation_role)
    assert stacks.create_change_set(cloudformation, lab.app_stack, root / "template-export.yml", given, role) is None


@pytest.mark.slow
def test_the_build_is_told_of_what_the_artifact_depends_on(lab, deployed, monkeypatch):
    assert parameters.for_the_build({"Runtime": "python3.14", "MemorySize": "3008"}) == {"RUNTIME": "python3.14"}
    assert parameters.for_the_build({"Architecture": "arm64"}) == {"ARCHITECTURE": "arm64"}
    assert parameters.for_the_build({"MemorySize": "3008"}) == {}
    monkeypatch.setenv("RUNTIME", "python3.14")
    cloudformation = lab.client("cloudformation")
    given = parameters.configuration(cloudformation, PROJECT)["Parameters"]
    assert given == stacks.parameters(cloudformation, lab.app_stack) | {"Runtime": "python3.14"}


def test_a_runtime_is_not_chosen_on_the_local_target():
    with pytest.raises(choices.ChoiceError, match=r"Runtime needs TARGET=aws.*PYTHON="):
        choices.check({"Runtime": "python3.12"})
    assert choices.check({"Runtime": "python3.12", "TARGET": "aws"})["Runtime"] == "python3.12"


def test_a_snapshot_is_refused_where_the_deployed_runtime_has_none(lab, monkeypatch):
    on_aws = SimpleNamespace(target="aws", project_id="x", app_stack="x", endpoint_url=None, client=lambda _: None)
    monkeypatch.setattr(stacks, "parameters", lambda *_: {"Runtime": "python3.11"})
    with pytest.raises(choices.ChoiceError, match="needs Python 3.12 or later"):
        parameters.application(on_aws, "practice", "float32", {"SnapStart": True})
    named = parameters.application(on_aws, "practice", "float32", {"SnapStart": True, "Runtime": "python3.12"})
    assert (named["SnapStart"], named["Runtime"]) == ("true", "python3.12")


def test_a_pipeline_that_finds_no_application_deploys_with_the_defaults(lab):
    given = parameters.configuration(lab.client("cloudformation"), "nobody")["Parameters"]
    declared = choices.parameters(APPLICATION)
    assert given == {name: rule.default for name, rule in declared.items()} | {"ProjectId": "nobody"}


@pytest.mark.slow
def test_bulk_scoring_goes_back_to_how_it_was_chosen(lab, deployed):
    cloudformation = lab.client("cloudformation")
    before, as_chosen = stacks.parameters(cloudformation, lab.app_stack), bulk.chosen(lab)
    numbers = {name: int(deployed[APPLICATION][parameter]) for name, parameter in bulk.NUMBERS.items()}
    assert as_chosen == {"on": True, **numbers}
    bulk.switch(lab, on=True, concurrency=2, batch=3)
    assert stacks.parameters(cloudformation, lab.app_stack) == before | {"BulkConcurrency": "2", "BulkBatch": "3"}
    bulk.switch(lab, **as_chosen)
    assert stacks.parameters(cloudformation, lab.app_stack) == before


def test_a_deployed_model_that_this_machine_did_not_fetch_has_to_be_named(lab, deployed, monkeypatch, tmp_path):
    monkeypatch.setattr(models, "FETCHED", tmp_path)
    with pytest.raises(workshop.UserError, match=f"serves the model '{MODEL}'.*name its source, MODEL="):
        with_the_deployed_model({}, lab)
    assert with_the_deployed_model({"model": "practice"}, lab)["model"] == "practice"


# --- what is sent


def test_a_request_names_what_is_named_and_keeps_the_previous_value_of_the_rest():
    named, declared, previous = {"A": 1, "B": ""}, ["A", "B", "C", "New"], ["A", "C", "Gone"]
    assert choices.parameter_list(named, declared, previous) == [
        {"ParameterKey": "A", "ParameterValue": "1"},
        {"ParameterKey": "B", "ParameterValue": ""},
        {"ParameterKey": "C", "UsePreviousValue": True},
    ]
    assert choices.parameter_list({}, declared, []) == []


def test_a_value_that_cloudformation_would_not_keep_is_said_and_not_dropped(lab):
    cloudformation = lab.client("cloudformation")
    refusal = {"service_error_code": "ValidationError", "service_message": "No updates are to be performed."}
    with Stubber(cloudformation) as aws:  # the emulator updates a stack for the value's sake
        for operation in ("describe_stacks", "describe_stack_events"):
            aws.add_client_error(operation, "ValidationError", "Stack x does not exist")
        aws.add_client_error("update_stack", **refusal)
        change_set = {"StackName": "x", "Changes": [], "Update": {"StackName": "x"}, "Other": {"BulkConcurrency": "50"}}
        with pytest.raises(stacks.StackError, match="x: BulkConcurrency=50 would change no resource"):
            stacks.execute(cloudformation, change_set)
        aws.assert_no_pending_responses()


def test_the_parameters_of_a_template_are_found_in_each_of_its_forms():
    text = (ROOT / APPLICATION).read_text()
    assert stacks.declared(text) == list(choices.parameters(APPLICATION))
    assert stacks.declared(json.dumps({"Parameters": {"A": {}}, "Resources": {}})) == ["A"]
    assert stacks.declared("Resources: {}") == []

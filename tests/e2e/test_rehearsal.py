"""The pipeline, rehearsed: a commit is built in a clean environment and deployed by the pipeline's own change set."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from workshop.deployment import delivery, rehearsal, stacks
from workshop.lab import connect


def test_a_commit_becomes_an_endpoint_with_the_parameters_that_were_there(lab):
    cloudformation = lab.client("cloudformation")
    before = stacks.parameters(cloudformation, lab.app_stack)
    said = []
    done = rehearsal.rehearse(lab, say=said.append)
    assert [line.split()[0] for line in said] == [
        "source", "install", "pre_build", "build", "post_build", "change", "smoke",
    ]  # fmt: skip
    assert done["prediction"]["predictions"][0]["class"].startswith("n03445777")
    assert done["parameters"] == before == stacks.parameters(cloudformation, lab.app_stack)


def test_the_pipeline_is_the_toolchains_own(lab):
    actions = delivery.stages(lab)
    assert [(each.stage, each.provider, each.detail) for each in actions] == [
        ("Source", "CodeCommit", lab.project_id),
        ("Build", "CodeBuild", f"{lab.project_id}-build"),
        ("Deploy", "CloudFormation", lab.app_stack),
        ("Deploy", "CloudFormation", lab.app_stack),
    ]
    configuration = delivery.change_set(actions)
    assert configuration["StackName"] == lab.app_stack
    assert configuration["RoleArn"] == lab.role_arn(lab.cloudformation_role)
    assert configuration["TemplateConfiguration"] == "Package::template-configuration.json"


def test_nothing_of_the_callers_environment_reaches_the_build(lab, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    seen = rehearsal.environment_of(lab)
    assert not {"PYTHONPATH", "SECRET_OF_MINE", "VIRTUAL_ENV"} & seen.keys()
    assert seen["AWS_ENDPOINT_URL"] == lab.endpoint_url and seen["ARTIFACT_BUCKET"] == lab.artifact_bucket


@pytest.mark.parametrize("commit", ["no-such-branch", "0" * 40])
def test_an_unknown_commit_is_told(tmp_path, commit):
    with pytest.raises(rehearsal.RehearsalError, match="name one of this repository"):
        rehearsal.check_out(commit, tmp_path)


def test_a_project_that_is_not_deployed_is_told(emulator_url):
    with pytest.raises(rehearsal.RehearsalError, match="make deploy"):
        rehearsal.rehearse(connect("local", "us-east-1", "never-was"))


def test_without_a_pipeline_there_is_no_run(lab):
    assert delivery.last_run(lab) == []


def test_the_last_run_is_that_of_the_stacks_pipeline():
    """AWS CodePipeline's own form of an answer; the emulator has no CodePipeline."""
    codepipeline = boto3.client(
        "codepipeline", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )
    answer = {
        "stageStates": [{"stageName": "Source", "latestExecution": {"pipelineExecutionId": "1", "status": "Succeeded"}},
                        {"stageName": "Build"}],
    }  # fmt: skip
    with Stubber(codepipeline) as stubbed:
        stubbed.add_response("get_pipeline_state", answer, {"name": "mine-pipeline"})
        lab = SimpleNamespace(
            toolchain_stack="mine-toolchain",
            outputs=lambda stack: {"Pipeline": "mine-pipeline"},
            client=lambda service: codepipeline,
        )
        assert delivery.last_run(lab) == [("Source", "Succeeded"), ("Build", "not run yet")]

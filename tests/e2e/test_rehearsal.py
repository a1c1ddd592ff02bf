"""The pipeline, rehearsed: a commit is built in a clean environment and deployed by the pipeline's own change set."""

import pytest

from workshop.deployment import rehearsal, stacks
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


def test_the_action_is_the_toolchains_own(lab):
    configuration = rehearsal.action(lab, rehearsal.ROOT)
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
    with pytest.raises(rehearsal.RehearsalError, match="what is committed"):
        rehearsal.check_out(commit, tmp_path)


def test_a_project_that_is_not_deployed_is_told(emulator_url):
    with pytest.raises(rehearsal.RehearsalError, match="make deploy"):
        rehearsal.rehearse(connect("local", "us-east-1", "never-was"))
